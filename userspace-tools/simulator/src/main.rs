// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp-simulator`: runs scenarios by seed, replays one with its trace, or simulates many hosts.

use std::process::ExitCode;

use vmtp_simulator::scenario::{Class, Scenario};
use vmtp_simulator::Report;

const USAGE: &str =
    "usage: vmtp-simulator [--class NAME] [--seed N | --seeds FIRST..LAST] [--trace] [--threads N]
       vmtp-simulator --hosts N [--loss PERCENT] [--calls N]
       vmtp-simulator --list";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut class, mut seeds, mut trace, mut threads) = (None, None, false, 2);
    let (mut hosts, mut loss, mut calls) = (None, 5, 10);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE.to_string());
        match argument.as_str() {
            "--class" => {
                let name = value()?;
                class = Some(Class::by_name(&name).ok_or(format!("no class {name}"))?);
            }
            "--seed" => {
                let seed = number(&value()?)?;
                seeds = Some((seed, seed + 1));
            }
            "--seeds" => {
                let range = value()?;
                let (first, last) = range.split_once("..").ok_or(USAGE)?;
                seeds = Some((number(first)?, number(last)?));
            }
            "--trace" => trace = true,
            "--threads" => threads = number(&value()?)? as usize,
            "--hosts" => hosts = Some(number(&value()?)? as usize),
            "--loss" => loss = number(&value()?)?,
            "--calls" => calls = number(&value()?)? as usize,
            "--list" => {
                for class in Class::ALL {
                    println!("{:<14} {}", class.name(), class.about());
                }
                return Ok(());
            }
            _ => return Err(USAGE.into()),
        }
    }
    if let Some(hosts) = hosts {
        return vmtp_simulator::scenario::many(hosts, calls, loss as f64 / 100.0);
    }
    let (first, last) = seeds.unwrap_or((0, 360));
    if trace {
        for seed in first..last {
            let mut world = Scenario::new(class.unwrap_or(Class::of_seed(seed)), seed).build();
            world.env.start_trace();
            let result = world.run();
            print!("{}", world.env.take_trace());
            result.map_err(|failure| failure.to_string())?;
        }
        return Ok(());
    }
    let scenarios: Vec<(Class, u64)> = (first..last)
        .map(|seed| (class.unwrap_or(Class::of_seed(seed)), seed))
        .collect();
    let started = std::time::Instant::now();
    let report = Report::run(&scenarios, threads).map_err(|bad| bad.to_string())?;
    println!("{report}");
    println!("{:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}
