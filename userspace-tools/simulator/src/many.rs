// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a transaction costs as the number of hosts grows: counted work, not time.
//!
//! Every host serves, and calls a few partners again and again. The hosts sit on links of 50, so
//! that a multicast Probe reaches only those (its TTL is 1). All kinds of fault strike, each as
//! often for a host whatever the number of hosts.

use std::time::{Duration, Instant};

use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::Entity;

use crate::counts::Counts;
use crate::env::{Env, Event, Strike};
use crate::host::Config;
use crate::network::{Faults, Network};
use crate::oracle::{Op, Oracle, Strictness};
use crate::world::{Failure, World};

/// Hosts of a link.
const LINK: usize = 50;

/// Transactions that a row has at least, so that its figures are no chance.
const ROW: usize = 20_000;

/// What the cost of a transaction may grow by, over all sizes: it is chance.
const GROWTH: f64 = 1.1;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Many {
    /// Hosts, at most.
    pub hosts: usize,
    /// Transactions of each.
    pub calls: usize,
    /// The share of packets that are lost, on which the other faults depend: without loss nothing
    /// strikes at all.
    pub loss: f64,
    /// All chances.
    pub seed: u64,
}

/// The work of many transactions.
struct Row {
    hosts: usize,
    counts: Counts,
    steps: u64,
    memory: usize,
    worlds: usize,
    took: Duration,
}

impl Row {
    fn each(&self, n: u64) -> f64 {
        n as f64 / self.counts.transactions.max(1) as f64
    }

    /// What may not grow with the hosts: events, packets and steps in tables of a transaction.
    fn cost(&self) -> [(&'static str, f64); 3] {
        [
            ("events", self.each(self.counts.events)),
            ("packets", self.each(self.counts.packets)),
            ("table steps", self.each(self.steps)),
        ]
    }

    fn cpu(&self) -> f64 {
        self.took.as_secs_f64() / self.counts.transactions.max(1) as f64
    }
}

/// Simulates growing numbers of hosts and prints what a transaction costs.
///
/// # Errors
///
/// What went wrong; or that the cost of a transaction grows with the hosts.
pub fn many(wanted: &Many) -> Result<(), String> {
    println!(
        "{:>8} {:>12} {:>9} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8} {:>11} {:>9}",
        "", "", "", "", "", "packets", "retrans.", "events", "steps", "octets", "CPU"
    );
    println!(
        "{:>8} {:>12} {:>9} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8} {:>11} {:>9}",
        "hosts",
        "transactions",
        "answered",
        "failed",
        "lost",
        "a trans.",
        "a trans.",
        "a trans.",
        "a trans.",
        "a host",
        "a trans."
    );
    let mut rows: Vec<Row> = Vec::new();
    let mut size = 100.min(wanted.hosts).max(2);
    loop {
        let row = row(&Many {
            hosts: size,
            ..*wanted
        })?;
        let counts = &row.counts;
        let cpu = rows.first().map_or(1.0, |first| row.cpu() / first.cpu());
        println!(
            "{:>8} {:>12} {:>9} {:>7} {:>6} {:>8.3} {:>8.4} {:>8.2} {:>8.1} {:>11} {:>8.2}x",
            row.hosts,
            counts.transactions,
            counts.answered,
            counts.failed,
            counts.lost,
            row.each(counts.packets),
            row.each(counts.retransmissions),
            row.each(counts.events),
            row.each(row.steps),
            row.memory / row.worlds / row.hosts,
            cpu,
        );
        rows.push(row);
        if size >= wanted.hosts {
            break;
        }
        size = (size * 10).min(wanted.hosts);
    }
    println!();
    println!("lost: the Client's host restarted. Steps: entries of tables looked at. Octets: memory of a host, without segments.");
    println!("CPU is the simulator's, against the first row: tables that outgrow the machine's caches raise it.");
    if let Some(last) = rows.last() {
        println!("faults among {} hosts:", last.hosts);
        for (name, value) in last.counts.list() {
            let fault = name.strip_prefix("fault_").filter(|_| value != 0);
            if let Some(name) = fault {
                println!("  {name:<12} {value:>10}");
            }
        }
    }
    growth(&rows)
}

/// Compares the largest number of hosts with the smallest.
fn growth(rows: &[Row]) -> Result<(), String> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(());
    };
    if first.hosts == last.hosts {
        return Ok(());
    }
    let grown: Vec<(&str, f64)> = first
        .cost()
        .into_iter()
        .zip(last.cost())
        .map(|((what, few), (_, many))| (what, many / few))
        .collect();
    let told: Vec<String> = grown
        .iter()
        .map(|(what, times)| format!("{times:.3} times the {what}"))
        .collect();
    let (few, many) = (first.hosts, last.hosts);
    let told = format!(
        "a transaction among {many} hosts takes {} of one among {few}",
        told.join(", ")
    );
    if grown.iter().any(|(_, times)| *times > GROWTH) {
        return Err(format!("the cost of a transaction grows: {told}"));
    }
    println!("{told}");
    Ok(())
}

fn row(wanted: &Many) -> Result<Row, String> {
    let mut row = Row {
        hosts: wanted.hosts,
        counts: Counts::default(),
        steps: 0,
        memory: 0,
        worlds: 0,
        took: Duration::ZERO,
    };
    let worlds = ROW.div_ceil(wanted.hosts * wanted.calls.max(1));
    for world in 0..worlds as u64 {
        let wanted = Many {
            seed: wanted.seed.wrapping_add(world),
            ..*wanted
        };
        simulate(&wanted, &mut row).map_err(|failure| {
            format!(
                "{failure}\nreplay: make simulate HOSTS={} CALLS={} LOSS={} SEED={}",
                wanted.hosts,
                wanted.calls,
                wanted.loss * 100.0,
                wanted.seed
            )
        })?;
    }
    Ok(row)
}

fn simulate(wanted: &Many, row: &mut Row) -> Result<(), Failure> {
    let mut world = build(wanted);
    let started = cpu_time();
    let mut told = Instant::now();
    let result = world.run_to_answers(|world| {
        if told.elapsed() >= Duration::from_secs(2) {
            told = Instant::now();
            let counts = &world.env.counts;
            let all = world.env.oracle.cases.len();
            eprintln!(
                "    {} hosts: {} of {all} transactions ended",
                wanted.hosts,
                counts.answered + counts.failed + counts.lost
            );
        }
    });
    row.took += cpu_time().saturating_sub(started);
    if let Err(failure) = result {
        // Once more, with the end of the trace.
        let mut again = build(wanted);
        again.env.start_trace(TRACE);
        return Err(again.run_to_answers(|_| ()).err().unwrap_or(failure));
    }
    row.steps += world.steps();
    row.memory += world.memory();
    row.worlds += 1;
    row.counts.add(&world.env.counts);
    Ok(())
}

/// What this thread has used of its processor: not what others did meanwhile.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Lines of the trace that a failure shows.
const TRACE: usize = 200;

fn build(wanted: &Many) -> World {
    let Many {
        hosts,
        calls,
        loss,
        seed,
    } = *wanted;
    let faults = Faults {
        loss,
        duplicate: loss / 4.0,
        reorder: loss / 4.0,
        corrupt: loss / 8.0,
        stall: loss / 50.0,
        stall_by: Span::from_millis(500),
        late: loss / 50.0,
        late_by: Span::from_millis(2_000),
        jitter: Span::from_micros(50),
        ..Faults::NONE
    };
    let oracle = Oracle::new(Strictness::default(), Span::from_millis(900_000));
    let network = Network::new(hosts, faults, 1_500).with_links(LINK);
    let mut random = fastrand::Rng::with_seed(seed ^ (hosts as u64) << 32);
    let env = Env::new(random.u64(..), network, oracle);
    let mut world = World::of(env, hosts, Config::DEFAULT);
    let servers: Vec<Entity> = (0..hosts).map(|number| world.serves(number)).collect();
    for number in 0..hosts {
        let ops = (0..calls).map(|_| {
            // Each host has a few partners that it calls again and again.
            let partner = (number + 1 + random.usize(..8) * 97) % hosts;
            let slow = loss > 0.0 && random.usize(..500) == 0;
            Op {
                service: Span::from_micros(if slow { 300_000 } else { 50 }),
                ..Op::to(servers[partner])
            }
        });
        world.calls(number, Span::from_millis(10), ops);
    }
    if loss > 0.0 {
        strikes(&mut world, &mut random);
    }
    world
}

/// One host in a hundred restarts, and one in 64 is cut off from the others for a while.
fn strikes(world: &mut World, random: &mut fastrand::Rng) {
    let begin = Time::from_nanos(1_000_000_000);
    let mut later = || begin.plus(Span::from_millis(10 + random.u64(..80)));
    let restarts: Vec<Time> = (0..world.hosts.len() / 100).map(|_| later()).collect();
    let cut = later();
    for at in restarts {
        let host = random.usize(..world.hosts.len());
        world.env.at(at, Event::Strike(Strike::Restart(host)));
    }
    let side = 1 << random.u32(..64);
    world.env.at(cut, Event::Strike(Strike::Cut(side)));
    let heal = cut.plus(Span::from_millis(50));
    world.env.at(heal, Event::Strike(Strike::Heal));
}
