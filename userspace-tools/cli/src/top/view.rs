// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What two looks at a host tell: rates, and tables with columns that can be sorted. Not how it is
//! shown.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use serde_json::{json, Map, Value};

use super::sample::{Record, Records, Sample};

/// What is in a cell, from which follow its text and its place among others.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Number(u64),
    /// A rate: so many a second.
    Rate(f64),
    Nanoseconds(u64),
    Milliseconds(u64),
    /// Not known, or there is none.
    Nothing,
}

impl Cell {
    pub(super) fn text(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Number(number) => number.to_string(),
            Cell::Rate(rate) => short(*rate),
            Cell::Nanoseconds(ns) => format!("{:.3}ms", *ns as f64 / 1e6),
            Cell::Milliseconds(ms) => seconds(*ms),
            Cell::Nothing => "-".into(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => json!(text),
            Cell::Number(number) => json!(number),
            Cell::Rate(rate) => json!(rate),
            Cell::Nanoseconds(ns) => json!(ns),
            Cell::Milliseconds(ms) => json!(u128::from(*ms) * 1_000_000),
            Cell::Nothing => Value::Null,
        }
    }

    fn size(&self) -> Option<f64> {
        match self {
            Cell::Number(number) | Cell::Nanoseconds(number) | Cell::Milliseconds(number) => {
                Some(*number as f64)
            }
            Cell::Rate(rate) => Some(*rate),
            Cell::Text(_) | Cell::Nothing => None,
        }
    }

    /// Whether it comes before another: names from A to Z, numbers from the greatest to the
    /// smallest, and what is not known at the end.
    fn order(&self, other: &Cell) -> Ordering {
        match (self, other) {
            (Cell::Text(mine), Cell::Text(theirs)) => mine.cmp(theirs),
            (Cell::Text(_), _) => Ordering::Less,
            (_, Cell::Text(_)) => Ordering::Greater,
            _ => {
                let size = |cell: &Cell| cell.size().unwrap_or(-1.0);
                size(other).total_cmp(&size(self))
            }
        }
    }

    fn of_number(number: Option<u64>) -> Cell {
        number.map_or(Cell::Nothing, Cell::Number)
    }

    fn of_rate(rate: Option<f64>) -> Cell {
        rate.map_or(Cell::Nothing, Cell::Rate)
    }

    fn of_text(text: &str) -> Cell {
        if text == "-" {
            Cell::Nothing
        } else {
            Cell::Text(text.into())
        }
    }
}

/// Three digits or so: `0`, `0.4`, `12.0`, `1234`, `123k`, `12.3M`.
pub(super) fn short(number: f64) -> String {
    match number {
        n if n < 0.05 => "0".into(),
        n if n < 99.95 => format!("{n:.1}"),
        n if n < 99_999.5 => format!("{n:.0}"),
        n if n < 999_500.0 => format!("{:.0}k", n / 1e3),
        n if n < 99_950_000.0 => format!("{:.1}M", n / 1e6),
        n if n < 999_500_000.0 => format!("{:.0}M", n / 1e6),
        n => format!("{:.1}G", n / 1e9),
    }
}

fn seconds(milliseconds: u64) -> String {
    if milliseconds < 100_000 {
        format!("{:.1}s", milliseconds as f64 / 1e3)
    } else {
        format!("{}s", milliseconds / 1000)
    }
}

/// A table that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Entities,
    Transactions,
    Hosts,
    Counters,
}

impl Pane {
    pub(super) const ALL: [Pane; 4] = [
        Pane::Entities,
        Pane::Transactions,
        Pane::Hosts,
        Pane::Counters,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Pane::Entities => "Entities",
            Pane::Transactions => "Transactions",
            Pane::Hosts => "Hosts",
            Pane::Counters => "Counters",
        }
    }

    /// The names of the columns, the more telling first: a narrow terminal cuts at the right.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Pane::Entities => &[
                "ENTITY", "PID", "UID", "QUEUED", "CLIENTS", "CALLS/S", "COMMAND",
            ],
            Pane::Transactions => &[
                "CLIENT",
                "SERVER",
                "STATE",
                "TRANSACTION",
                "EXPIRES",
                "WAITING",
                "PEER",
            ],
            Pane::Hosts => &["HOST", "CLIENTS", "MTU", "RTT", "DEVIATION", "GAP", "IDLE"],
            Pane::Counters => &["COUNTER", "TOTAL", "PER-SECOND"],
        }
    }
}

/// By which column a table is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sorting {
    /// None: as the kernel has it.
    pub(super) column: Option<usize>,
    pub(super) reverse: bool,
}

impl Sorting {
    /// By name; counters as the kernel has them, because it has them by what they are about.
    pub(super) fn usual(pane: Pane) -> Sorting {
        Sorting {
            column: (pane != Pane::Counters).then_some(0),
            reverse: false,
        }
    }
}

/// What has happened between two looks, and what there was at the second.
pub(super) struct View {
    pub(super) interval: Option<Duration>,
    /// Counter, total, and how many a second; no rate without an earlier look.
    pub(super) counters: Vec<(String, u64, Option<f64>)>,
    entities: Vec<Vec<Cell>>,
    transactions: Vec<Vec<Cell>>,
    hosts: Vec<Vec<Cell>>,
}

impl View {
    pub(super) fn new(before: Option<&Sample>, now: &Sample) -> View {
        let interval = before
            .map(|before| now.time.saturating_duration_since(before.time))
            .filter(|interval| !interval.is_zero());
        let per_second = |count: u64| interval.map(|i| count as f64 / i.as_secs_f64());
        let rate = |name: &str, value: u64| {
            // A counter that is smaller than before is one of a module that was loaded anew.
            let grown = value.checked_sub(before?.counter(name)?)?;
            per_second(grown)
        };
        View {
            interval,
            counters: now
                .counters
                .iter()
                .map(|(name, value)| (name.clone(), *value, rate(name, *value)))
                .collect(),
            entities: entities(before, now, &per_second),
            transactions: now.transactions.iter().map(transaction).collect(),
            hosts: hosts(now),
        }
    }

    /// How many of something happened a second; None as long as it is not known.
    pub(super) fn rate(&self, counter: &str) -> Option<f64> {
        let mut counters = self.counters.iter();
        counters.find(|(name, ..)| name == counter)?.2
    }

    /// The reasons for which packets were thrown away, the most frequent first.
    pub(super) fn drops(&self) -> Vec<(&str, f64)> {
        let mut drops: Vec<_> = self
            .counters
            .iter()
            .filter_map(|(name, _, rate)| Some((name.strip_prefix("Drop")?, (*rate)?)))
            .filter(|(_, rate)| *rate > 0.0)
            .collect();
        drops.sort_by(|a, b| b.1.total_cmp(&a.1));
        drops
    }

    pub(super) fn len(&self, pane: Pane) -> usize {
        match pane {
            Pane::Entities => self.entities.len(),
            Pane::Transactions => self.transactions.len(),
            Pane::Hosts => self.hosts.len(),
            Pane::Counters => self.counters.len(),
        }
    }

    /// The rows of a table in the order that was asked for.
    pub(super) fn rows(&self, pane: Pane, sorting: Sorting) -> Vec<Vec<Cell>> {
        let mut rows = match pane {
            Pane::Entities => self.entities.clone(),
            Pane::Transactions => self.transactions.clone(),
            Pane::Hosts => self.hosts.clone(),
            Pane::Counters => self
                .counters
                .iter()
                .map(|(name, total, rate)| {
                    vec![
                        Cell::Text(name.clone()),
                        Cell::Number(*total),
                        Cell::of_rate(*rate),
                    ]
                })
                .collect(),
        };
        if let Some(column) = sorting.column {
            rows.sort_by(|a, b| match (a.get(column), b.get(column)) {
                (Some(a), Some(b)) => a.order(b),
                _ => Ordering::Equal,
            });
        }
        if sorting.reverse {
            rows.reverse();
        }
        rows
    }

    pub(super) fn json(&self, sorting: impl Fn(Pane) -> Sorting) -> Value {
        let interval = self.interval.map_or(Duration::ZERO, |interval| interval);
        let counter = |(name, total, rate): &(String, u64, Option<f64>)| {
            (name.clone(), json!({ "total": total, "per_second": rate }))
        };
        let mut object = Map::new();
        object.insert("interval_ns".into(), crate::output::nanoseconds(interval));
        object.insert(
            "counters".into(),
            Value::Object(self.counters.iter().map(counter).collect()),
        );
        for pane in [Pane::Entities, Pane::Transactions, Pane::Hosts] {
            let record = |row: Vec<Cell>| {
                let members = pane.columns().iter().zip(&row);
                let member = |(name, cell): (&&str, &Cell)| (member_name(name), cell.json());
                Value::Object(members.map(member).collect())
            };
            let rows = self.rows(pane, sorting(pane));
            object.insert(
                pane.title().to_ascii_lowercase(),
                rows.into_iter().map(record).collect(),
            );
        }
        Value::Object(object)
    }
}

/// What JSON calls a column.
fn member_name(column: &str) -> String {
    match column {
        "CALLS/S" => "calls_per_second".into(),
        "RTT" | "DEVIATION" | "GAP" | "IDLE" | "EXPIRES" => {
            format!("{}_ns", column.to_ascii_lowercase())
        }
        _ => column.to_ascii_lowercase(),
    }
}

/// The identifier of a transaction has 32 bits and goes round (RFC 1045, 2.2).
fn started_between(before: u64, now: u64) -> u64 {
    u64::from((now as u32).wrapping_sub(before as u32))
}

fn entities(
    before: Option<&Sample>,
    now: &Sample,
    per_second: &impl Fn(u64) -> Option<f64>,
) -> Vec<Vec<Cell>> {
    let earlier: HashMap<(&str, &str), u64> = before
        .into_iter()
        .flat_map(|before| before.entities.iter())
        .filter_map(|record| {
            let key = (record.text("ENTITY"), record.text("PID"));
            Some((key, record.number("TRANSACTION")?))
        })
        .collect();
    let clients = occurrences(&now.transactions, "SERVER");
    let row = |record: Record<'_>| {
        let name = record.text("ENTITY");
        let key = (name, record.text("PID"));
        let calls = || {
            let before = *earlier.get(&key)?;
            per_second(started_between(before, record.number("TRANSACTION")?))
        };
        vec![
            Cell::of_text(name),
            Cell::of_number(record.number("PID").filter(|pid| *pid != 0)),
            Cell::of_number(record.number("UID")),
            Cell::of_number(record.number("QUEUED")),
            Cell::Number(clients.get(name).copied().unwrap_or(0)),
            Cell::of_rate(calls()),
            now.commands
                .get(record.text("PID"))
                .map_or(Cell::Nothing, |name| Cell::Text(name.clone())),
        ]
    };
    now.entities.iter().map(row).collect()
}

fn transaction(record: Record<'_>) -> Vec<Cell> {
    vec![
        Cell::of_text(record.text("CLIENT")),
        Cell::of_text(record.text("SERVER")),
        Cell::of_text(record.text("STATE")),
        Cell::of_number(record.number("TRANSACTION")),
        record
            .number("EXPIRES_MS")
            .map_or(Cell::Nothing, Cell::Milliseconds),
        Cell::of_number(record.number("WAITING")),
        Cell::of_text(record.text("PEER")),
    ]
}

fn hosts(now: &Sample) -> Vec<Vec<Cell>> {
    let clients = occurrences(&now.transactions, "PEER");
    let nanoseconds = |record: Record<'_>, column| {
        let number = record.number(column);
        number.map_or(Cell::Nothing, Cell::Nanoseconds)
    };
    let row = |record: Record<'_>| {
        vec![
            Cell::of_text(record.text("HOST")),
            Cell::Number(clients.get(record.text("HOST")).copied().unwrap_or(0)),
            Cell::of_number(record.number("MTU")),
            nanoseconds(record, "RTT_NS"),
            nanoseconds(record, "DEVIATION_NS"),
            nanoseconds(record, "GAP_NS"),
            record
                .number("IDLE_MS")
                .map_or(Cell::Nothing, Cell::Milliseconds),
        ]
    };
    now.hosts.iter().map(row).collect()
}

fn occurrences<'a>(records: &'a Records, column: &str) -> HashMap<&'a str, u64> {
    let mut count = HashMap::new();
    for record in records.iter() {
        *count.entry(record.text(column)).or_insert(0) += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts: Vec<_> = [
            0.0,
            0.04,
            0.05,
            99.94,
            99.96,
            99_999.0,
            123_456.0,
            12_345_678.0,
            4e9,
        ]
        .into_iter()
        .map(short)
        .collect();
        assert_eq!(
            texts,
            ["0", "0", "0.1", "99.9", "100", "99999", "123k", "12.3M", "4.0G"]
        );
    }

    #[test]
    fn transaction_identifiers_go_round() {
        assert_eq!(started_between(7, 9), 2);
        assert_eq!(started_between(u64::from(u32::MAX), 1), 2);
    }

    #[test]
    fn names_rise_numbers_fall_and_the_unknown_is_last() {
        let mut cells = vec![
            Cell::Nothing,
            Cell::Rate(0.0),
            Cell::Text("b".into()),
            Cell::Rate(7.0),
            Cell::Text("a".into()),
        ];
        cells.sort_by(Cell::order);
        assert_eq!(
            cells,
            [
                Cell::Text("a".into()),
                Cell::Text("b".into()),
                Cell::Rate(7.0),
                Cell::Rate(0.0),
                Cell::Nothing
            ]
        );
    }
}
