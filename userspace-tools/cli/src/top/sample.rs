// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One look at a host's VMTP: the tables of /proc/net/vmtp and the counters, at one time. What two
//! looks mean together is in `view`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::args::Table;
use crate::output::harmless;
use crate::show;

/// The records of a table, by the names of the columns: the loaded vmtp.ko may have more or fewer
/// columns than are asked for.
#[derive(Default)]
pub(super) struct Records {
    columns: HashMap<String, usize>,
    rows: Vec<Vec<String>>,
}

impl Records {
    fn parse(text: &str) -> Records {
        let words = |line: &str| line.split_whitespace().map(harmless).collect::<Vec<_>>();
        let mut lines = text.lines();
        let header = lines.next().map(words).unwrap_or_default();
        let columns = header.into_iter().enumerate();
        Records {
            columns: columns.map(|(index, name)| (name, index)).collect(),
            rows: lines.map(words).filter(|row| !row.is_empty()).collect(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        let columns = &self.columns;
        self.rows.iter().map(move |row| Record { columns, row })
    }
}

/// One record of a table.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    columns: &'a HashMap<String, usize>,
    row: &'a [String],
}

impl<'a> Record<'a> {
    /// The text in a column, or "-".
    pub(super) fn text(self, column: &str) -> &'a str {
        let index = self.columns.get(column);
        index
            .and_then(|&index| self.row.get(index))
            .map_or("-", String::as_str)
    }

    /// The number in a column, if there is one.
    pub(super) fn number(self, column: &str) -> Option<u64> {
        self.text(column).parse().ok()
    }
}

/// What a host's VMTP has and has counted at a time.
pub(super) struct Sample {
    pub(super) time: Instant,
    pub(super) entities: Records,
    pub(super) transactions: Records,
    pub(super) hosts: Records,
    /// In the order of the kernel, without the leading `Vmtp`.
    pub(super) counters: Vec<(String, u64)>,
    /// The names of the processes that have entities.
    pub(super) commands: HashMap<String, String>,
}

impl Sample {
    pub(super) fn take(proc_root: &Path) -> Result<Sample> {
        let entities = Records::parse(&show::read(proc_root, Table::Entities)?);
        let commands = commands(proc_root, &entities);
        Ok(Sample {
            transactions: Records::parse(&show::read(proc_root, Table::Transactions)?),
            hosts: Records::parse(&show::read(proc_root, Table::Hosts)?),
            counters: counters(&show::read(proc_root, Table::Stats)?),
            // Last: the rates are of the counters.
            time: Instant::now(),
            entities,
            commands,
        })
    }

    pub(super) fn counter(&self, name: &str) -> Option<u64> {
        let mut counters = self.counters.iter();
        counters.find(|(n, _)| n == name).map(|(_, value)| *value)
    }
}

fn counters(text: &str) -> Vec<(String, u64)> {
    let counter = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let name = harmless(name.strip_prefix("Vmtp").unwrap_or(name));
        Some((name, words.next()?.parse().ok()?))
    };
    text.lines().filter_map(counter).collect()
}

fn commands(proc_root: &Path, entities: &Records) -> HashMap<String, String> {
    let mut commands = HashMap::new();
    for entity in entities.iter() {
        let process = entity.text("PID");
        // The kernel's own entities have process 0. A process may have ended since.
        if entity.number("PID").is_none_or(|number| number == 0) || commands.contains_key(process) {
            continue;
        }
        if let Ok(name) = fs::read(proc_root.join(process).join("comm")) {
            let name = harmless(String::from_utf8_lossy(&name).trim_end_matches('\n'));
            commands.insert(process.to_string(), name);
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_may_be_missing() {
        let records = Records::parse("NEW ENTITY PID\nx LE-7-10.0.0.1 42\n\ny LE-8-10.0.0.1\n");
        let rows: Vec<_> = records
            .iter()
            .map(|record| {
                (
                    record.text("ENTITY"),
                    record.number("PID"),
                    record.text("UID"),
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("LE-7-10.0.0.1", Some(42), "-"),
                ("LE-8-10.0.0.1", None, "-")
            ]
        );
    }

    #[test]
    fn counters_lose_their_prefix() {
        assert_eq!(
            counters("VmtpInPackets\t12\nVmtpOdd\n"),
            [("InPackets".to_string(), 12)]
        );
    }
}
