// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can be said to the managers of hosts: `vmtp node`, `entity`, `group` and `move`. Not how they
//! are asked, which is in the modules of the commands.

use std::net::Ipv4Addr;

use clap::{Args, Subcommand};
use vmtp::{Entity, GroupPermissions};

use super::{entity, group, Way};

/// Ask the manager of a host about the host
#[derive(Args, Debug)]
pub(crate) struct Node {
    /// The host of this entity; this host if it is left out
    #[arg(value_parser = entity, default_value = "0", hide_default_value = true)]
    pub(crate) entity: Entity,

    /// Every host that answers within --timeout
    #[arg(short, long, conflicts_with = "entity")]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// As whom a manager is asked, and for how long
#[derive(Args, Debug)]
pub(crate) struct Asking {
    /// Milliseconds to wait for answers; of `move send`: for whether the entity has arrived
    #[arg(short = 'W', long, value_name = "MS", default_value_t = 3000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: u32,

    #[command(flatten)]
    pub(crate) way: Way,
}

/// Make, delete, describe, signal and tune entities
///
/// On this host a user may change what is its own, and root all; other hosts only with
/// net.vmtp.remote_management there.
#[derive(Subcommand, Debug)]
pub(crate) enum EntityCommand {
    /// Make an entity without a socket: one that its user may bind later
    Create {
        /// On the host of this entity
        #[arg(long, value_name = "ENTITY", value_parser = entity, default_value = "0", hide_default_value = true)]
        beside: Entity,
        #[command(flatten)]
        asking: Asking,
    },
    /// End an entity: its socket is of no more use
    Delete {
        /// The entity
        #[arg(value_parser = entity)]
        entity: Entity,
        #[command(flatten)]
        asking: Asking,
    },
    /// Describe an entity: process, users, how it takes its Requests
    Query {
        /// The entity
        #[arg(value_parser = entity)]
        entity: Entity,
        #[command(flatten)]
        asking: Asking,
    },
    /// Tell which server passed a Client's Request on, and its user
    Forwarder {
        /// The Client
        #[arg(value_parser = entity)]
        entity: Entity,
        #[command(flatten)]
        asking: Asking,
    },
    /// Send a signal to the process of an entity
    Signal {
        /// The entity
        #[arg(value_parser = entity)]
        entity: Entity,
        /// The number of the signal
        #[arg(value_parser = clap::value_parser!(u32).range(0..=64))]
        signal: u32,
        #[command(flatten)]
        asking: Asking,
    },
    /// Change how an entity takes its Requests
    Service {
        /// The entity
        #[arg(value_parser = entity)]
        entity: Entity,
        /// Requests that may wait, or with --threads be handled at a time; 0 ends the service. With
        /// a sign (+2, -1) it is a change
        #[arg(value_parser = count, allow_hyphen_values = true)]
        count: Count,
        /// Count threads
        #[arg(long)]
        threads: bool,
        /// Probe Clients that are not known
        #[arg(long)]
        authenticated: bool,
        /// Refuse Requests that are not encrypted
        #[arg(long)]
        secure: bool,
        #[command(flatten)]
        asking: Asking,
    },
    /// Whether a block of 256 identifiers is in use: 1 if a host objects
    Block {
        /// Any identifier of the block; its low 8 bits do not count
        #[arg(value_parser = entity)]
        entity: Entity,
        /// How often it is asked
        #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
        repeat: u8,
        #[command(flatten)]
        asking: Asking,
    },
}

/// Make, change, list and delete entity groups
///
/// Permissions are letters: m manager; s, p, o may be removed by itself, by its user, by others; a,
/// A may add of its user, any; r, R may remove of its user, any.
#[derive(Subcommand, Debug)]
pub(crate) enum GroupCommand {
    /// Make a group with its first member, managed by your user
    Create {
        /// Its first member
        #[arg(value_parser = entity)]
        member: Entity,
        /// Its name; by default a new one of this host
        #[arg(long, value_name = "GROUP", value_parser = group)]
        group: Option<Entity>,
        /// The new name is of a restricted group: members are added by those who may
        #[arg(long, conflicts_with = "group")]
        restricted: bool,
        /// What the member may do and have done to it
        #[arg(short, long, value_name = "LETTERS", value_parser = permissions, default_value = "spo")]
        permissions: GroupPermissions,
        #[command(flatten)]
        asking: Asking,
    },
    /// Add a member
    Add {
        /// The group
        #[arg(value_parser = group)]
        group: Entity,
        /// The new member
        #[arg(value_parser = entity)]
        member: Entity,
        /// What it may do and have done to it
        #[arg(short, long, value_name = "LETTERS", value_parser = permissions, default_value = "spo")]
        permissions: GroupPermissions,
        #[command(flatten)]
        asking: Asking,
    },
    /// Take a member out
    Remove {
        /// The group
        #[arg(value_parser = group)]
        group: Entity,
        /// The member
        #[arg(value_parser = entity)]
        member: Entity,
        #[command(flatten)]
        asking: Asking,
    },
    /// List the members on all hosts that answer within --timeout
    Members {
        /// The group
        #[arg(value_parser = group)]
        group: Entity,
        #[command(flatten)]
        asking: Asking,
    },
    /// Take all members out, on all hosts, as far as they allow it
    Delete {
        /// The group
        #[arg(value_parser = group)]
        group: Entity,
        #[command(flatten)]
        asking: Asking,
    },
}

/// Move an entity to another host while its Clients go on
///
/// There `vmtp move receive` waits and then runs the program that is to serve; here `vmtp move send`
/// takes the entity from the program that serves now. Both need root. Nothing is authenticated: who
/// can reach the receiver can have it become any entity, unless --from names who may send; and
/// whoever can send with an address that is not its own is not kept out by that.
#[derive(Subcommand, Debug)]
pub(crate) enum MoveCommand {
    /// Send an entity of this host to a `vmtp move receive`
    ///
    /// Until the last of it has gone, an error or Ctrl-C lets it go on here. Then it stays stopped
    /// until the receiver has said whether it has become it; run again, this asks so first.
    Send {
        /// The entity that moves
        #[arg(value_parser = entity)]
        entity: Entity,
        /// The entity that `vmtp move receive` has printed
        #[arg(long, value_name = "ENTITY", value_parser = entity)]
        to: Entity,
        /// Milliseconds that Requests in progress may take
        #[arg(long, value_name = "MS", default_value_t = 3000)]
        patience: u32,
        #[command(flatten)]
        asking: Asking,
    },
    /// Let an entity go on here that `vmtp move send` has left stopped
    ///
    /// If another host has become it, it is twice: see `vmtp probe` first.
    Resume {
        /// The entity
        #[arg(value_parser = entity)]
        entity: Entity,
    },
    /// Wait for an entity, become it, and run a command with its socket
    ///
    /// The command gets the socket as its standard input. Whoever sends the first piece is the
    /// only sender until none has come for 30 seconds.
    Receive {
        /// Be this entity to wait as
        #[arg(short, long, value_parser = entity, default_value = "0", hide_default_value = true)]
        entity: Entity,
        /// Take it only from this host, or from this Client (`vmtp move send --from`); may be given
        /// several times
        #[arg(long, value_name = "ADDRESS|ENTITY", value_parser = origin)]
        from: Vec<Origin>,
        /// Take no more than this: octets of records
        #[arg(long, value_name = "OCTETS", default_value_t = 64 << 20, value_parser = clap::value_parser!(u32).range(1..))]
        max: u32,
        /// What serves from then on, with its arguments
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

/// Where something may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Address(Ipv4Addr),
    Entity(Entity),
}

fn origin(text: &str) -> Result<Origin, vmtp::ParseEntityError> {
    match text.parse() {
        Ok(address) => Ok(Origin::Address(address)),
        Err(_) => entity(text).map(Origin::Entity),
    }
}

/// A number, or a change of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Absolute(u32),
    Change(i32),
}

fn count(text: &str) -> Result<Count, String> {
    let wrong = |_| "this is no number".to_string();
    if text.starts_with(['+', '-']) {
        text.parse().map(Count::Change).map_err(wrong)
    } else {
        text.parse().map(Count::Absolute).map_err(wrong)
    }
}

/// The letters of permissions in the order of their bits (III.1).
pub(crate) const PERMISSIONS: &str = "mspoaArR";

fn permissions(text: &str) -> Result<GroupPermissions, String> {
    let mut bits = 0;
    for letter in text.chars() {
        let bit = PERMISSIONS.find(letter);
        bits |= 1 << bit.ok_or(format!("{letter} is none of the letters {PERMISSIONS}"))?;
    }
    Ok(GroupPermissions::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_letters_and_counts_may_be_changes() {
        assert_eq!(permissions("spo").unwrap().bits(), 0x0E);
        assert_eq!(permissions("mspoaArR").unwrap().bits(), 0xFF);
        assert_eq!(permissions("").unwrap().bits(), 0);
        assert_eq!(count("7"), Ok(Count::Absolute(7)));
        assert_eq!(count("-2"), Ok(Count::Change(-2)));
        assert_eq!(count("+2"), Ok(Count::Change(2)));
    }

    #[test]
    fn an_origin_is_a_host_or_a_client() {
        let host = Origin::Address(Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(origin("10.0.0.2"), Ok(host));
        let client = Origin::Entity(Entity::from_bits(0x2001_1170_0A00_0002));
        assert_eq!(origin("LE-70000-10.0.0.2"), Ok(client));
        assert!(origin("10.0.0").is_err());
    }
}
