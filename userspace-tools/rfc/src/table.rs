// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The requirement table: tab-separated, a heading and one requirement a line.

use std::collections::HashSet;

use anyhow::{bail, ensure, Result};

const HEADING: &str = "id\tsection\tlevel\tside\trequirement\thow_seen\tstate";

/// One requirement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) level: String,
    pub(crate) side: String,
    pub(crate) requirement: String,
    /// Why it is not built yet, if so.
    pub(crate) not_yet: Option<String>,
}

/// Reads the table.
pub(crate) fn parse(text: &str) -> Result<Vec<Row>> {
    let mut lines = text.lines();
    ensure!(
        lines.next() == Some(HEADING),
        "the first line is not the heading"
    );
    let mut seen = HashSet::new();
    let mut rows = Vec::new();
    for (number, line) in lines.enumerate() {
        let number = number + 2;
        let fields: Vec<&str> = line.split('\t').collect();
        let &[id, _, level, side, requirement, _, state] = fields.as_slice() else {
            bail!("line {number}: {} fields, not 7", fields.len());
        };
        ensure!(seen.insert(id), "line {number}: {id} is there twice");
        ensure!(
            ["must", "should", "may"].contains(&level),
            "line {number}: level {level}"
        );
        let not_yet = match state.split_once(": ") {
            None if state == "built" => None,
            Some(("not yet", reason)) if !reason.trim().is_empty() => Some(reason.to_owned()),
            _ => bail!("line {number}: the state is neither `built` nor `not yet: REASON`"),
        };
        rows.push(Row {
            id: id.to_owned(),
            level: level.to_owned(),
            side: side.to_owned(),
            requirement: requirement.to_owned(),
            not_yet,
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_built_or_says_why_not() {
        let table = |state| {
            parse(&format!(
                "{HEADING}\n1-a\t1\tmust\thost\tIs.\tLook.\t{state}\n"
            ))
        };
        assert_eq!(table("built").unwrap()[0].not_yet, None);
        assert_eq!(
            table("not yet: security").unwrap()[0].not_yet.as_deref(),
            Some("security")
        );
        for bad in ["", "Built", "not yet", "not yet: "] {
            assert!(table(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_there_once() {
        let row = "1-a\t1\tmust\thost\tIs.\tLook.\tbuilt\n";
        assert!(parse(&format!("{HEADING}\n{row}{row}")).is_err());
    }
}
