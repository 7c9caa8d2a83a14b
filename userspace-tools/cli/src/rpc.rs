// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp rpcbind`, `vmtp rpcinfo` and `vmtp rpc-gateway`: ONC RPC programs over VMTP, registered,
//! asked, and reached from UDP and TCP. The work is done in the crate `vmtp-rpc`.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;
use vmtp::Entity;
use vmtp_rpc::binder::Binder;
use vmtp_rpc::caller::{Caller, Error};
use vmtp_rpc::gateway::{to_net::ToNet, to_vmtp::ToVmtp, Options};
use vmtp_rpc::message::{Procedure, Refusal};
use vmtp_rpc::{address, binder_of};

use crate::resolve::resolve;
use crate::{output, signal};

/// Keep a register of the ONC RPC programs of this host that are reached over VMTP
///
/// The binder is the portmapper of RFC 1057 over VMTP: entity BE-111-ADDRESS for each address of the
/// host. It needs CAP_NET_ADMIN, because the number is below 65536.
#[derive(Args, Debug)]
pub(crate) struct RpcBind {
    /// Serve this address only; else all of the host, also those that come later
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<Ipv4Addr>,
}

/// Show the ONC RPC programs of a host that are reached over VMTP, or call one
///
/// With a program, its procedure 0 is called, which does nothing, for each version that it says it
/// has, of more than 64 the highest, or for the one given.
#[derive(Args, Debug)]
pub(crate) struct RpcInfo {
    /// The host's name or IPv4 address; with a program also an entity
    host: String,

    /// Call this program: its number, or its name in /etc/rpc
    program: Option<String>,

    /// Only this version of it
    version: Option<u32>,

    /// Give up after this many milliseconds
    #[arg(short = 'W', long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
}

/// Connect ONC RPC over UDP and TCP with ONC RPC over VMTP
///
/// Neither callers nor programs notice. Programs that come and go at the host do so here too. Who
/// calls a program through the gateway has the gateway's address; credentials pass as they are.
#[derive(Args, Debug)]
pub(crate) struct RpcGateway {
    #[arg(value_enum)]
    direction: Direction,

    /// Where the programs are: a name or an IPv4 address
    host: String,

    /// Only this program; else all but the portmapper
    #[arg(long, value_name = "NUMBER")]
    program: Vec<u32>,

    /// How many calls are under way at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    calls: u16,

    /// How many milliseconds a call may take if the caller does not say so
    #[arg(long, value_name = "MS", default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// How many milliseconds a call over VMTP may take, whatever its caller says
    #[arg(long, value_name = "MS", default_value_t = 600_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit_max: u32,

    /// Send a call over UDP again after so many milliseconds without a reply; 0 is never: then it is
    /// executed at most once
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    retry: u32,
}

/// Which way calls go.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// Callers over UDP and TCP, who ask this host's rpcbind, to programs that the host's binder has
    ToVmtp,
    /// Callers over VMTP, who ask this host's binder, to programs that the host's portmapper has
    ToNet,
}

pub(crate) fn gateway(gateway: RpcGateway, json: bool) -> Result<bool> {
    let host = resolve(&gateway.host)?;
    let options = Options {
        programs: gateway.program,
        calls: gateway.calls.into(),
        limit: Duration::from_millis(gateway.limit.into()),
        limit_max: Duration::from_millis(gateway.limit_max.into()),
        retry: (gateway.retry > 0).then(|| Duration::from_millis(gateway.retry.into())),
    };
    let tell = |text: &str| {
        // Nobody may be reading; the service goes on.
        let _ = output::line(&if json {
            json!({ "event": text }).to_string()
        } else {
            text.to_owned()
        });
    };
    match gateway.direction {
        Direction::ToVmtp => {
            let gateway = ToVmtp::new(host, options)?;
            let (udp, tcp) = gateway.ports()?;
            tell(&format!("GATEWAY udp port {udp}, tcp port {tcp}"));
            let at_end = Arc::clone(&gateway);
            signal::at_end(move || {
                at_end.close();
                0
            })?;
            match gateway.run(tell)? {}
        }
        Direction::ToNet => {
            let gateway = ToNet::new(host, options)?;
            tell(&format!("GATEWAY {}", gateway.entity()?));
            match gateway.run(tell)? {}
        }
    }
}

pub(crate) fn bind(bind: RpcBind, json: bool) -> Result<bool> {
    let ready = |entity: Entity| {
        let text = entity.to_string();
        // Nobody may be reading; the service goes on.
        let _ = output::line(&if json {
            json!({ "event": "listening", "entity": text }).to_string()
        } else {
            format!("RPCBIND {text}")
        });
    };
    match Binder::run(&bind.address, ready) {
        Ok(never) => match never {},
        Err(error) if matches!(error.errno(), Some(1 | 13)) => {
            bail!("{error}: the binder's entity has a number below 65536, so run it as root or with CAP_NET_ADMIN")
        }
        Err(error) if error.errno() == Some(98) => {
            bail!("{error}: another binder is running on this host")
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn info(info: RpcInfo, json: bool) -> Result<bool> {
    let names = names();
    let mut caller = Caller::new(Duration::from_millis(u64::from(info.timeout)))?;
    match &info.program {
        None => list(&mut caller, resolve(&info.host)?, &names, json),
        Some(program) => {
            let number = program
                .parse()
                .ok()
                .or_else(|| {
                    let named = names.iter().find(|(name, _)| name == program)?;
                    Some(named.1)
                })
                .with_context(|| format!("{program}: no number, and no name in /etc/rpc"))?;
            call(&mut caller, &info, number, json)
        }
    }
}

/// The programs that a host's binder has.
fn list(caller: &mut Caller, host: Ipv4Addr, names: &[(String, u32)], json: bool) -> Result<bool> {
    let mappings = match caller.dump(host) {
        Ok(mappings) => mappings,
        Err(error) => return failed(binder_of(host), None, &error, json),
    };
    if !json {
        output::line(&format!(
            "{:>10} {:>7}  {:<16} entity",
            "program", "version", "name"
        ))?;
    }
    for mapping in mappings {
        // The list has half of the identifier; the binder has the whole. What has gone meanwhile is left out.
        let Ok(entity) = caller.lookup(host, mapping.program, mapping.version) else {
            continue;
        };
        let name = names
            .iter()
            .find(|(_, number)| *number == mapping.program)
            .map(|(name, _)| name.as_str());
        output::line(&if json {
            json!({
                "program": mapping.program,
                "version": mapping.version,
                "name": name,
                "entity": entity.to_string(),
            })
            .to_string()
        } else {
            format!(
                "{:>10} {:>7}  {:<16} {entity}",
                mapping.program,
                mapping.version,
                name.unwrap_or("-")
            )
        })?;
    }
    Ok(true)
}

/// How many versions of a program are called: a server may say that it has 2^32.
const VERSIONS_MAX: u32 = 64;

/// The versions from `low` to `high`, of too many the highest.
fn highest(low: u32, high: u32) -> RangeInclusive<u32> {
    low.max(high.saturating_sub(VERSIONS_MAX - 1))..=high
}

/// Calls procedure 0 of one or all versions of a program.
fn call(caller: &mut Caller, info: &RpcInfo, program: u32, json: bool) -> Result<bool> {
    let server = match vmtp::parse_entity(&info.host) {
        Ok(entity) => entity,
        Err(_) => {
            let host = resolve(&info.host)?;
            match caller.lookup(host, program, info.version.unwrap_or(0)) {
                Ok(entity) => entity,
                Err(error) => return failed(binder_of(host), Some(program), &error, json),
            }
        }
    };
    let mut null = |version| {
        let procedure = Procedure {
            program,
            version,
            number: 0,
        };
        caller.call(server, procedure, &[]).map(|_| ())
    };
    let versions = match info.version {
        Some(version) => version..=version,
        // No program has version 0 by custom; who has not says which there are.
        None => match null(0) {
            Err(Error::Refused(Refusal::ProgramMismatch { low, high })) if low <= high => {
                highest(low, high)
            }
            Ok(()) => 0..=0,
            Err(error) => return failed(server, Some(program), &error, json),
        },
    };
    let mut all = true;
    for version in versions {
        match null(version) {
            Ok(()) => output::line(&if json {
                json!({ "program": program, "version": version, "entity": server.to_string(), "ready": true })
                    .to_string()
            } else {
                format!("program {program} version {version} ready and waiting at {server}")
            })?,
            // Between the lowest and the highest version there may be gaps.
            Err(Error::Refused(Refusal::ProgramMismatch { .. })) if info.version.is_none() => (),
            Err(error) => all = failed(server, Some(program), &error, json)?,
        }
    }
    Ok(all)
}

fn failed(server: Entity, program: Option<u32>, error: &Error, json: bool) -> Result<bool> {
    let hint = match (error, program) {
        (Error::Vmtp(error), None) if error.code() == Some(vmtp::Code::NONEXISTENT_ENTITY) => {
            format!("is `vmtp rpcbind` running on {}?", address(server))
        }
        (Error::Vmtp(error), _) if error.code().is_none() => {
            bail!("{error}") // it could not be tried
        }
        _ => String::new(),
    };
    if json {
        let value = json!({
            "program": program,
            "entity": server.to_string(),
            "error": error.to_string(),
            "hint": hint,
        });
        output::line(&value.to_string())?;
    } else {
        let what =
            program.map_or_else(|| "binder".to_owned(), |number| format!("program {number}"));
        let hint = if hint.is_empty() {
            hint
        } else {
            format!(": {hint}")
        };
        eprintln!("vmtp: {what} at {server}: {error}{hint}");
    }
    Ok(false)
}

/// The names of programs, where the host has them.
fn names() -> Vec<(String, u32)> {
    let text = std::fs::read_to_string("/etc/rpc").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split('#').next()?.split_whitespace();
            let (name, number) = (fields.next()?, fields.next()?.parse().ok()?);
            Some((name.to_owned(), number))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_does_not_say_how_long_rpcinfo_runs() {
        assert_eq!(highest(1, 3), 1..=3);
        assert_eq!(highest(0, u32::MAX), u32::MAX - 63..=u32::MAX);
        assert_eq!(highest(u32::MAX, u32::MAX), u32::MAX..=u32::MAX);
        assert_eq!(highest(1, 64), 1..=64);
        assert_eq!(highest(1, 65), 2..=65);
    }
}
