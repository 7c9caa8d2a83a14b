// SPDX-License-Identifier: GPL-2.0 OR MIT

//! SIGINT, SIGTERM and SIGHUP end a command with its results. The work is done in a thread, not in the
//! handler, so that it may print; a system call that blocks elsewhere does not hold it up.

use std::{fs, process};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The signals that end a program.
pub(crate) fn ending() -> Vec<i32> {
    let mut wanted = vec![SIGINT, SIGTERM];
    // nohup(1) has it ignored, and it stays so.
    if !fs::read_to_string("/proc/self/status").is_ok_and(|status| is_ignored(&status, SIGHUP)) {
        wanted.push(SIGHUP);
    }
    wanted
}

/// When the program is told to end, runs this and exits with the status that it returns.
pub(crate) fn at_end(finish: impl FnOnce() -> i32 + Send + 'static) -> Result<()> {
    let mut signals = Signals::new(ending()).context("signals cannot be caught")?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if signals.forever().next().is_some() {
                process::exit(finish());
            }
        })
        .context("the thread for signals cannot be started")?;
    Ok(())
}

/// Whether a process with this /proc/PID/status ignores a signal.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_has_ignored_is_seen() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(status, SIGHUP));
        assert!(!is_ignored(status, SIGINT));
        assert!(!is_ignored("SigIgn:\t0000000000001000\n", SIGHUP));
        assert!(!is_ignored("", SIGHUP));
    }
}
