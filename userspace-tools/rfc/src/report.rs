// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is shown, what is not, and where table and tests disagree.

use std::collections::{BTreeMap, HashSet};

use crate::claims::Claims;
use crate::table::Row;

/// How many requirements of a side are in which condition.
#[derive(Default, Clone, Copy)]
struct Count {
    total: usize,
    shown: usize,
    not_yet: usize,
}

/// Ids that tests claim and the table does not have.
pub(crate) fn unknown(rows: &[Row], claims: &Claims) -> Vec<String> {
    let ids: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let strange = claims
        .tests
        .iter()
        .filter(|(id, _)| !ids.contains(id.as_str()));
    strange
        .map(|(id, tests)| {
            format!(
                "{id} is not in the table, but claimed by {}",
                tests.join("; ")
            )
        })
        .collect()
}

/// Prints it all. False if table and tests disagree.
pub(crate) fn print(rows: &[Row], claims: &Claims, unknown: &[String], full: bool) -> bool {
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut problems: Vec<String> = claims.errors.clone();
    problems.extend_from_slice(unknown);
    for row in rows {
        let tests = claims.tests.get(&row.id).map_or(&[][..], Vec::as_slice);
        let count = counts.entry(&row.side).or_default();
        count.total += 1;
        count.shown += usize::from(!tests.is_empty());
        count.not_yet += usize::from(row.not_yet.is_some());
        match &row.not_yet {
            Some(reason) if !tests.is_empty() => {
                problems.push(format!(
                    "{} is listed as not yet built ({reason}), but claimed by {}",
                    row.id,
                    tests.join("; ")
                ));
            }
            None if tests.is_empty() => problems.push(format!(
                "{} ({}, {}) is shown by no test: {}",
                row.id, row.side, row.level, row.requirement
            )),
            Some(_) | None => {}
        }
        if full {
            list(row, tests);
        }
    }
    summary(&counts);
    for problem in &problems {
        eprintln!("{problem}");
    }
    problems.is_empty()
}

fn list(row: &Row, tests: &[String]) {
    println!(
        "{} ({}, {}): {}",
        row.id, row.side, row.level, row.requirement
    );
    match (&row.not_yet, tests) {
        (Some(reason), []) => println!("    not yet built: {reason}"),
        (None, []) => println!("    NOT SHOWN"),
        (_, tests) => {
            for test in tests {
                println!("    {test}");
            }
        }
    }
}

fn summary(counts: &BTreeMap<&str, Count>) {
    let mut all = Count::default();
    println!(
        "{:<10} {:>6} {:>6} {:>8} {:>7}",
        "side", "shown", "of", "not yet", "share"
    );
    for (side, count) in counts {
        line(side, count);
        all.total += count.total;
        all.shown += count.shown;
        all.not_yet += count.not_yet;
    }
    line("all", &all);
}

fn line(side: &str, count: &Count) {
    let share = 100.0 * count.shown as f64 / count.total.max(1) as f64;
    println!(
        "{side:<10} {:>6} {:>6} {:>8} {share:>6.1}%",
        count.shown, count.total, count.not_yet
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, not_yet: Option<&str>) -> Row {
        Row {
            id: id.to_owned(),
            level: "must".to_owned(),
            side: "host".to_owned(),
            requirement: "It holds.".to_owned(),
            not_yet: not_yet.map(str::to_owned),
        }
    }

    fn agrees(rows: &[Row], claimed: &[&str]) -> bool {
        let mut claims = Claims::default();
        for id in claimed {
            claims.tests.insert((*id).to_owned(), vec!["t".to_owned()]);
        }
        print(rows, &claims, &unknown(rows, &claims), false)
    }

    #[test]
    fn what_is_built_must_be_claimed_and_what_is_not_must_not() {
        assert!(agrees(&[row("1-a", None)], &["1-a"]));
        assert!(!agrees(&[row("1-a", None)], &[]));
        assert!(agrees(&[row("1-a", Some("security"))], &[]));
        assert!(!agrees(&[row("1-a", Some("security"))], &["1-a"]));
    }

    #[test]
    fn what_is_not_in_the_table_cannot_be_claimed() {
        assert!(!agrees(&[row("1-a", None)], &["1-a", "1-b"]));
    }

    #[test]
    fn a_claim_of_no_test_is_a_disagreement() {
        let claims = Claims {
            errors: vec!["f:1: no test follows 1-a".to_owned()],
            ..Claims::default()
        };
        assert!(!print(&[], &claims, &[], false));
    }
}
