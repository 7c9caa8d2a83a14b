// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp-kv`: a key-value store whose replicas are the members of a VMTP group.
//!
//! A write goes to all: one multicast Request, and every member answers. A read goes to all as well
//! and the first answer is taken. Each value has a version, and a replica keeps the newest; so a
//! write may be repeated, and a replica that starts (again, or elsewhere) joins the group first and
//! then takes over what another has.
//!
//! A client waits for the answers of the members that it knows. One that answers and is not known may
//! lack what was written meanwhile: the client has it catch up, and believes its answers from then on.

mod client;
mod replica;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vmtp::Entity;

/// Writes a value: version in the user data, `key=value` as the segment.
const PUT: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 0x10;
/// Reads the value of the key in the segment: its version in the user data, the value as segment.
const GET: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 0x11;
/// Everything: lines of `version key=value`.
const DUMP: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 0x12;
/// To a replica: take over again what another has, before you answer.
const CATCH_UP: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 0x13;
/// There is no such key.
const NO_KEY: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 1;

/// A replicated key-value store as a VMTP group
#[derive(Parser, Debug)]
#[command(name = "vmtp-kv", version)]
struct Arguments {
    /// The group of the replicas
    #[arg(long, global = true, value_parser = vmtp::parse_entity, default_value = "UG-810000-10.81.0.1")]
    group: Entity,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Be a replica
    Serve {
        /// Which entity to be
        #[arg(long, value_parser = vmtp::parse_entity, default_value = "0", hide_default_value = true)]
        entity: Entity,
        /// Be the entity of the socket that is the standard input, as `vmtp move receive` gives it
        #[arg(long, conflicts_with = "entity")]
        stdin: bool,
    },
    /// Write and read, check every answer, and tell the counts as JSON
    Drive {
        /// For so many seconds
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Serve { entity, stdin } => replica::serve(arguments.group, entity, stdin),
        Command::Drive { seconds } => client::drive(arguments.group, seconds),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("vmtp-kv: {error:#}");
            ExitCode::from(2)
        }
    }
}
