// SPDX-License-Identifier: GPL-2.0

//! What people see of a host: the files in `/proc/net/vmtp`. The first line of each names the columns; `snmp` is for nstat.

use super::counters::Counter;
use super::endpoint::Endpoint;
use super::group::Membership;
use super::path::{PathRecord, PlaceRecord};
use super::remote::RemoteRecord;
use super::{Host, LOCAL};
use crate::kernel::net::Net;
use crate::kernel::proc::{Directory, ProcFile};
use crate::kernel::record::Ref;
use crate::kernel::table::Walk;
use crate::proto::peer::Peer;
use crate::proto::time::Time;
use crate::proto::wire::Entity;
use core::iter::Chain;
use kernel::fmt;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;

/// An identifier in its text form.
struct Name(Entity);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(&self.0, f)
    }
}

/// An address as people write it.
struct Shown(Peer);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_inet() {
            Some([a, b, c, d]) => write!(f, "{a}.{b}.{c}.{d}"),
            None => f.write_str("-"),
        }
    }
}

/// Milliseconds until a deadline, or "-".
struct Until(Time, Time);

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Time::NEVER {
            return f.write_str("-");
        }
        write!(f, "{}", self.0.since(self.1).millis())
    }
}

/// A number, or "-" if it is not known.
struct Number(Option<u32>);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "{number}"),
            None => f.write_str("-"),
        }
    }
}

macro_rules! table_file {
    ($(#[$doc:meta])* $file:ident, $name:literal, $table:ident, $record:ty, $header:literal, |$item:ident, $out:ident| $show:block) => {
        $(#[$doc])*
        pub struct $file;

        impl ProcFile for $file {
            const NAME: &'static CStr = $name;
            type State = Host;
            type Items<'a> = Chain<Walk<'a, $record>, Walk<'a, $record>>;
            type Item = Ref<$record>;

            fn items(host: &Host) -> Result<Self::Items<'_>> {
                let other = host.of_domain(LOCAL).ok_or(ENODEV)?;
                Ok(Iterator::chain(host.$table.walk()?, other.$table.walk()?))
            }

            fn header(_host: &Host, file: &SeqFile) {
                seq_print!(file, "{}\n", $header);
            }

            fn show($item: &Ref<$record>, $out: &SeqFile) -> Result {
                $show
                Ok(())
            }
        }
    };
}

table_file!(
    /// Entities of this host.
    Entities, c"entities", entities, Endpoint,
    "ENTITY PID UID EUID QUEUED TRANSACTION OPEN DOMAIN", |item, file| {
        seq_print!(
            file,
            "{} {} {} {} {} {} {} {}\n",
            Name(item.entity),
            item.owner.caller.pid,
            item.owner.caller.uid,
            item.owner.caller.euid,
            item.queued(),
            item.current_transaction().bits(),
            u8::from(item.is_open()),
            item.host.domain()
        );
    }
);

table_file!(
    /// Records of remote Clients.
    Transactions, c"transactions", remotes, RemoteRecord,
    "CLIENT SERVER TRANSACTION FORWARDS STATE PROBED PEER WAITING EXPIRES_MS DOMAIN", |item, file| {
        let (state, waiting) = item.look();
        seq_print!(
            file,
            "{} {} {} {} {:?}{} {} {} {} {} {}\n",
            Name(item.client()),
            Name(item.server),
            state.transaction().bits(),
            state.forward_count(),
            state.state(),
            if state.is_receiving() { "+Receiving" } else if state.is_probing() { "+Probing" } else { "" },
            u8::from(state.is_probed()),
            Shown(state.peer()),
            waiting,
            Until(state.deadline(), Host::now()),
            item.host.domain()
        );
    }
);

table_file!(
    /// Members of groups on this host.
    Groups, c"groups", members, Membership,
    "GROUP MEMBER PERMISSIONS INTERFACE DOMAIN", |item, file| {
        seq_print!(
            file,
            "{} {} {:#x} {} {}\n",
            Name(Entity::from_bits(item.key())),
            Name(item.endpoint.entity),
            item.permissions.bits(),
            item.interface,
            item.endpoint.host.domain()
        );
    }
);

table_file!(
    /// Hosts that this one has to do with.
    Hosts, c"hosts", paths, PathRecord,
    "HOST MTU RTT_NS DEVIATION_NS GAP_NS GAP IDLE_MS SEQUENCE DOMAIN", |item, file| {
        let path = item.path();
        seq_print!(
            file,
            "{} {} {} {} {} {} {} {} {}\n",
            Shown(item.peer),
            path.mtu,
            path.round_trip().mean().nanos(),
            path.round_trip().deviation().nanos(),
            path.interpacket().mean().nanos(),
            path.gap(),
            item.idle().millis(),
            Number(path.receive_sequence()),
            item.host.domain()
        );
    }
);

table_file!(
    /// Entities that are not where their identifiers say.
    Places, c"places", places, PlaceRecord,
    "ENTITY HOST DOMAIN", |item, file| {
        seq_print!(
            file,
            "{} {} {}\n",
            Name(Entity::from_bits(item.key())),
            Shown(item.look()),
            item.host.domain()
        );
    }
);

/// The counters.
pub struct Snmp;

/// All counters of a host, one after another.
pub struct Counts<'a> {
    host: &'a Host,
    rest: core::slice::Iter<'static, Counter>,
}

impl Iterator for Counts<'_> {
    type Item = (Counter, u64);

    fn next(&mut self) -> Option<(Counter, u64)> {
        let counter = *self.rest.next()?;
        Some((counter, self.host.counters.read(counter)))
    }
}

impl ProcFile for Snmp {
    const NAME: &'static CStr = c"snmp";
    type State = Host;
    type Items<'a> = Counts<'a>;
    type Item = (Counter, u64);

    fn items(host: &Host) -> Result<Counts<'_>> {
        Ok(Counts {
            host,
            rest: Counter::ALL.iter(),
        })
    }

    fn show((counter, value): &(Counter, u64), file: &SeqFile) -> Result {
        seq_print!(file, "{}\t{}\n", counter.name(), value);
        Ok(())
    }
}

impl Host {
    /// Makes `/proc/net/vmtp`. Sleeps.
    pub(super) fn files(net: &Net) -> Result<Directory> {
        let directory = Directory::new(net, c"vmtp")?;
        directory.add::<Entities>()?;
        directory.add::<Transactions>()?;
        directory.add::<Groups>()?;
        directory.add::<Hosts>()?;
        directory.add::<Places>()?;
        directory.add::<Snmp>()?;
        Ok(directory)
    }
}
