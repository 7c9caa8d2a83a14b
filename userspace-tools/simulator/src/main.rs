// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp-simulator`: runs scenarios by seed, replays one with its trace, or simulates many hosts.

use std::process::ExitCode;

use clap::Parser;
use vmtp_simulator::many::{many, Many};
use vmtp_simulator::scenario::{Class, Scenario};
use vmtp_simulator::Report;

/// Many VMTP hosts over the real protocol code, in virtual time, over a network with every fault.
#[derive(Parser)]
#[command(
    name = "vmtp-simulator",
    after_help = "The same seed gives the same simulation, packet for packet. `make simulate` calls this program."
)]
struct Options {
    /// Simulates growing numbers of hosts, up to this one, and tells what a transaction costs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=8_000_000))]
    hosts: Option<u32>,
    /// Transactions of each host
    #[arg(long, value_name = "N", default_value_t = 10, requires = "hosts", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    calls: u32,
    /// Percent of packets lost among the hosts; the other faults depend on it, and 0 is none at all
    #[arg(long, value_name = "PERCENT", default_value_t = 5, requires = "hosts", value_parser = clap::value_parser!(u8).range(0..=60))]
    loss: u8,
    /// The seed: of the hosts, or of the one scenario to replay with its trace
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Runs the scenarios of these seeds, each on its own
    #[arg(long, value_name = "FIRST..LAST", conflicts_with_all = ["hosts", "seed"], value_parser = range)]
    seeds: Option<(u64, u64)>,
    /// Runs so many seeds of each class of scenario, as the tests do
    #[arg(long, value_name = "SEEDS", conflicts_with_all = ["hosts", "seed", "seeds", "class"])]
    each: Option<u64>,
    /// Scenarios of this class only (see --list)
    #[arg(long, value_name = "NAME", conflicts_with = "hosts", value_parser = class)]
    class: Option<Class>,
    /// Scenarios at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Lists the classes of scenarios
    #[arg(long)]
    list: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let ends = text.split_once("..");
    let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    ends.filter(|(first, last)| first < last)
        .ok_or("give it as FIRST..LAST, where LAST is one past the last".into())
}

fn class(name: &str) -> Result<Class, String> {
    Class::by_name(name).ok_or("no such class: --list tells which there are".into())
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if options.list {
        for class in Class::ALL {
            println!("{:<14} {}", class.name(), class.about());
        }
        return Ok(());
    }
    if let Some(hosts) = options.hosts {
        return many(&Many {
            hosts: hosts as usize,
            calls: options.calls as usize,
            loss: f64::from(options.loss) / 100.0,
            seed: options.seed.unwrap_or(0),
        });
    }
    if let Some(seed) = options.seed {
        let class = options.class.unwrap_or(Class::of_seed(seed));
        let mut world = Scenario::new(class, seed).build();
        world.env.start_trace(usize::MAX);
        let result = world.run();
        print!("{}", world.env.take_trace());
        return result.map_err(|failure| failure.to_string());
    }
    if let Some(seeds) = options.each {
        println!(
            "{}",
            Report::run(&Class::each(seeds), options.threads).map_err(|bad| bad.to_string())?
        );
        return Ok(());
    }
    let (first, last) = options.seeds.unwrap_or((0, 20 * Class::ALL.len() as u64));
    let scenarios: Vec<(Class, u64)> = (first..last)
        .map(|seed| (options.class.unwrap_or(Class::of_seed(seed)), seed))
        .collect();
    let report = Report::run(&scenarios, options.threads).map_err(|bad| bad.to_string())?;
    println!("{report}");
    Ok(())
}
