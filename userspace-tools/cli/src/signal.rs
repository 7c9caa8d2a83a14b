// SPDX-License-Identifier: GPL-2.0 OR MIT

//! SIGINT and SIGTERM end a command with its results. The work is done in a thread, not in the
//! handler, so that it may print; a system call that blocks elsewhere does not hold it up.

use std::process;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// When the program is told to end, runs this and exits with the status that it returns.
pub(crate) fn at_end(finish: impl FnOnce() -> i32 + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be caught")?;
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
