// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp show`: the tables of /proc/net/vmtp, in columns or as JSON.
//!
//! It knows no column by name, so it shows what the vmtp.ko that is loaded has. A table's first
//! line names its columns, each further line is a record; `snmp` has a name and a value on each
//! line.

use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{json, Map, Value};

use crate::args::{self, Table};
use crate::output;

impl Table {
    /// What users and JSON call it.
    fn name(self) -> &'static str {
        match self {
            Table::Entities => "entities",
            Table::Transactions => "transactions",
            Table::Groups => "groups",
            Table::Hosts => "hosts",
            Table::Stats => "stats",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Table::Stats => "snmp",
            table => table.name(),
        }
    }
}

pub(crate) fn run(show: args::Show, proc_root: &Path, json: bool) -> Result<bool> {
    let text = read(proc_root, show.what)?;
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    if json {
        let value = match show.what {
            Table::Stats => counters(&rows),
            Table::Entities | Table::Transactions | Table::Groups | Table::Hosts => records(&rows),
        };
        let value = json!({ show.what.name(): value });
        output::line(&value.to_string())?;
    } else {
        output::line(columns(&rows, show.what == Table::Stats).trim_end())?;
    }
    Ok(true)
}

/// The text of a table.
pub(crate) fn read(proc_root: &Path, table: Table) -> Result<String> {
    let path = proc_root.join("net/vmtp").join(table.file());
    match std::fs::read_to_string(&path) {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && !proc_root.join("net/vmtp").is_dir() =>
        {
            Err(vmtp::Error::NotLoaded.into())
        }
        result => result.with_context(|| path.display().to_string()),
    }
}

/// A number where it is one, text where not.
fn value(text: &str) -> Value {
    match text.parse::<u64>() {
        Ok(number) if !text.starts_with('+') => json!(number),
        _ => json!(text),
    }
}

fn counters(rows: &[Vec<&str>]) -> Value {
    let counter = |row: &Vec<&str>| Some((row.first()?.to_string(), value(row.get(1)?)));
    Value::Object(rows.iter().filter_map(counter).collect())
}

/// One object a record. A column that a record lacks is null.
fn records(rows: &[Vec<&str>]) -> Value {
    let Some((header, rows)) = rows.split_first() else {
        return json!([]);
    };
    let record = |row: &Vec<&str>| {
        let member = |(index, name): (usize, &&str)| {
            (
                name.to_ascii_lowercase(),
                row.get(index).map_or(Value::Null, |text| value(text)),
            )
        };
        Value::Object(header.iter().enumerate().map(member).collect::<Map<_, _>>())
    };
    rows.iter()
        .filter(|row| !row.is_empty())
        .map(record)
        .collect()
}

/// Every column as wide as its widest text; numbers at the right if `numbers` says.
fn columns(rows: &[Vec<&str>], numbers: bool) -> String {
    let mut widths = Vec::new();
    for row in rows {
        for (index, text) in row.iter().enumerate() {
            if index == widths.len() {
                widths.push(0);
            }
            widths[index] = widths[index].max(text.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for ((index, text), width) in row.iter().enumerate().zip(&widths) {
            if numbers && index > 0 {
                line.push_str(&format!("{text:>width$}"));
            } else {
                line.push_str(&format!("{text:<width$}"));
            }
            line.push_str("  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<&str>> {
        text.lines()
            .map(|line| line.split_whitespace().collect())
            .collect()
    }

    #[test]
    fn a_table_is_a_list_of_objects() {
        let rows = rows("Entity Pid Host\nLE-7-10.0.0.1 42 10.0.0.1\nLE-8-10.0.0.1 43\n\n");
        assert_eq!(
            records(&rows),
            json!([
                { "entity": "LE-7-10.0.0.1", "pid": 42, "host": "10.0.0.1" },
                { "entity": "LE-8-10.0.0.1", "pid": 43, "host": null },
            ])
        );
        assert_eq!(records(&[]), json!([]));
    }

    #[test]
    fn counters_are_one_object() {
        assert_eq!(
            counters(&rows(
                "VmtpInPackets\t12\nVmtpTooGreat\t18446744073709551616\nVmtpAlone\n"
            )),
            json!({ "VmtpInPackets": 12, "VmtpTooGreat": "18446744073709551616" })
        );
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        assert_eq!(
            columns(&rows("a bbb\ncccc d\n"), false),
            "a     bbb\ncccc  d\n"
        );
        assert_eq!(columns(&rows("a 1\nb 100\n"), true), "a    1\nb  100\n");
    }
}
