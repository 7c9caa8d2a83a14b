// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Many seeds, in threads, and what they add up to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Instant;

use crate::counts::Counts;
use crate::env::Env;
use crate::scenario::{Class, Scenario};
use crate::world::Failure;

/// The sum of many simulations.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Simulations.
    pub seeds: u64,
    /// All counters.
    pub counts: Counts,
    /// Transactions that ended with each code.
    pub codes: BTreeMap<&'static str, u64>,
    /// Counters of each class of scenario.
    pub classes: BTreeMap<&'static str, (u64, Counts)>,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct BadSeed {
    /// The class of the scenario.
    pub class: Class,
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub failure: Failure,
}

impl fmt::Display for BadSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.class.name();
        write!(
            f,
            "{}\nthe end of its trace is above; all of it:\nmake simulate CLASS={name} SEED={}",
            self.failure, self.seed
        )
    }
}

impl Report {
    /// Adds one simulation.
    pub fn add(&mut self, class: Class, env: &Env) {
        let counts = &env.counts;
        for code in env.oracle.codes() {
            *self.codes.entry(code.name()).or_default() += 1;
        }
        self.seeds += 1;
        self.counts.add(counts);
        let (seeds, sum) = self.classes.entry(class.name()).or_default();
        *seeds += 1;
        sum.add(counts);
    }

    /// Runs the given scenarios in `threads` threads.
    ///
    /// # Errors
    ///
    /// The failure with the lowest seed, with its trace.
    pub fn run(scenarios: &[(Class, u64)], threads: usize) -> Result<Report, Box<BadSeed>> {
        let next = AtomicU64::new(0);
        let report = Mutex::new(Report::default());
        let bad: Mutex<Option<(Class, u64)>> = Mutex::new(None);
        let told = Progress::new();
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| loop {
                    let index = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(&(class, seed)) = scenarios.get(index) else {
                        return;
                    };
                    let mut world = Scenario::new(class, seed).build();
                    let result = world.run();
                    if result.is_err() {
                        let mut bad = lock(&bad);
                        if bad.is_none_or(|(_, other)| seed < other) {
                            *bad = Some((class, seed));
                        }
                        next.fetch_add(u64::from(u32::MAX), Ordering::Relaxed);
                        return;
                    }
                    let mut report = lock(&report);
                    report.add(class, &world.env);
                    told.tell(&report, scenarios.len());
                });
            }
        });
        let first = *lock(&bad);
        if let Some((class, seed)) = first {
            return Err(Box::new(replay(class, seed)));
        }
        let report = lock(&report).clone();
        Ok(report)
    }
}

/// A line now and then that tells how far it is.
struct Progress {
    begin: Instant,
    seconds: AtomicU64,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            begin: Instant::now(),
            seconds: AtomicU64::new(0),
        }
    }

    fn tell(&self, report: &Report, all: usize) {
        let seconds = self.begin.elapsed().as_secs();
        if seconds >= self.seconds.load(Ordering::Relaxed) + 2 {
            self.seconds.store(seconds, Ordering::Relaxed);
            eprintln!(
                "    {} of {all} scenarios, {} transactions",
                report.seeds, report.counts.transactions
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Runs a failed scenario again, with its trace.
fn replay(class: Class, seed: u64) -> BadSeed {
    let mut world = Scenario::new(class, seed).build();
    world.env.start_trace(LINES);
    let failure = world.run().err().unwrap_or_else(|| Failure {
        what: "the failure does not replay: the simulator is not deterministic".into(),
        micros: 0,
        trace: String::new(),
    });
    BadSeed {
        class,
        seed,
        failure,
    }
}

/// Lines of the trace that a failure shows: its end is what counts.
const LINES: usize = 400;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<14} {:>6} {:>12} {:>9} {:>9} {:>8} {:>9}",
            "class", "seeds", "transactions", "answered", "failed", "packets", "a transaction"
        )?;
        for (name, (seeds, counts)) in &self.classes {
            writeln!(
                f,
                "{name:<14} {seeds:>6} {:>12} {:>9} {:>9} {:>8} {:>9.2}",
                counts.transactions,
                counts.answered,
                counts.failed,
                counts.packets,
                counts.packets as f64 / counts.transactions.max(1) as f64
            )?;
        }
        writeln!(f)?;
        for (name, value) in &self.codes {
            writeln!(f, "ended with {name:<24} {value:>10}")?;
        }
        writeln!(f)?;
        for (name, value) in self.counts.list() {
            writeln!(f, "{name:<20} {value:>14}")?;
        }
        Ok(())
    }
}
