// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp-rfc`: which tests show which requirement of RFC 1045.
//!
//! The requirements are in selftests/rfc1045.tsv; a test names those that it shows in a comment
//! above it, `Shows: id, id`. Exit status: 0 if table and tests agree, 1 if not, 2 if they cannot be
//! read.

mod claims;
mod report;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

/// Prints how much of the requirement table the tests show, and fails where the two disagree.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder of the project
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Also list every requirement with the tests that show it
    #[arg(long)]
    full: bool,
    /// Only requirements of this side
    #[arg(long)]
    side: Option<String>,
}

/// The table, from the project's folder.
const TABLE: &str = "selftests/rfc1045.tsv";
/// Where tests are.
const FOLDERS: [&str; 3] = ["userspace-tools", "vmtp", "selftests"];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("vmtp-rfc: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let path = arguments.root.join(TABLE);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut rows = table::parse(&text).with_context(|| path.display().to_string())?;
    let mut claims = claims::Claims::default();
    for folder in FOLDERS {
        claims
            .scan(&arguments.root.join(folder), Path::new(folder))
            .with_context(|| format!("in {folder}"))?;
    }
    // Claims are held against the whole table, whatever is printed.
    let unknown = report::unknown(&rows, &claims);
    if let Some(side) = &arguments.side {
        rows.retain(|row| row.side == *side);
    }
    Ok(report::print(&rows, &claims, &unknown, arguments.full))
}
