// SPDX-License-Identifier: GPL-2.0

//! The table of records of remote Clients: a record is found or made, and an old one has to go when there is no room.

use super::{Inner, RemoteRecord};
use crate::host::charge::Charge;
use crate::host::counters::Counter;
use crate::host::endpoint::Endpoint;
use crate::host::foreign;
use crate::host::path::PathRecord;
use crate::host::settings::Setting;
use crate::host::transmit::Manner;
use crate::host::{Host, ATOMIC};
use crate::kernel::lock::new_spinlock_bh;
use crate::kernel::record::{Record, Ref};
use crate::kernel::skb_queue::SkbQueue;
use crate::proto::peer::Peer;
use crate::proto::server::{Remote, State};
use crate::proto::time::Time;
use crate::proto::wire::{Entity, Header};
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// The part of the records that one source may have, and what it may have in any case.
const SOURCE_SHARE: u32 = 4;
const SOURCE_LEAST: u32 = 64;

/// The records that one Client may have with servers of this host: each of its packets may have to look at all of them.
const CLIENT_MOST: u32 = 256;

impl Host {
    /// The records of Clients at the other end of `path` that the namespace has in other domains.
    fn records_of_other_domains(&self, path: &Record<PathRecord>) -> u32 {
        Self::all(self.net())
            .filter(|host| host.domain() != self.domain())
            .filter_map(|host| host.paths.get(path.key()))
            .fold(0, |sum, path| {
                sum.saturating_add(path.records.load(Ordering::Relaxed))
            })
    }
}

impl RemoteRecord {
    /// The record of a Client with a server, if there is one.
    pub fn find(host: &Host, client: Entity, server: Entity) -> Option<Ref<Self>> {
        let mut found = None;
        host.remotes.for_each(client.bits(), |record| {
            if record.server == server {
                found = Some(record);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        found
    }

    /// The same, made if there is none: for a Request that may start one. ENOSPC if there is no room.
    pub fn find_or_make(
        host: &Host,
        header: &Header,
        endpoint: &Endpoint,
        peer: Peer,
        now: Time,
    ) -> Result<Ref<Self>> {
        let server = endpoint.entity;
        let counted = host.to_ref()?;
        let path = host.path(&peer, now)?;
        let limit = host.settings.get(Setting::RecordsMax);
        // One source leaves room for others.
        let share = (limit / SOURCE_SHARE).max(SOURCE_LEAST);
        let elsewhere = host.records_of_other_domains(&path);
        let here = path.records.fetch_add(1, Ordering::Relaxed);
        if here.saturating_add(elsewhere) >= share {
            path.records.fetch_sub(1, Ordering::Relaxed);
            return Err(ENOSPC);
        }
        let path_of_record = path.clone();
        let inner = Inner {
            remote: Remote::new(header, server, peer),
            path,
            packets: SkbQueue::new(),
            rare: None,
            segment: None,
            retries: 5,
            shown: State::AwaitingRequest,
            gone: false,
            frozen: false,
            manner: Manner::HOST,
            charge: Charge::new(&endpoint.memory),
        };
        let record = Record::new(
            header.client.bits(),
            pin_init!(RemoteRecord {
                host: counted,
                server,
                inner <- new_spinlock_bh!(inner, "vmtp::remote"),
            }),
            ATOMIC,
        )
        .inspect_err(|_| {
            path_of_record.records.fetch_sub(1, Ordering::Relaxed);
        })?;
        foreign::RECORDS.add(host);
        let guard = host.creation.lock();
        let of_client = match Self::find_or_count(host, header.client, server) {
            Ok(other) => {
                drop(guard);
                record.stop();
                return Ok(other);
            }
            Err(count) => count,
        };
        let records = |host: &Host| host.remotes.len();
        let full = host.is_full(Setting::RecordsMax, records) || Charge::strangers_fill(host);
        let room = |host: &Host| Self::make_room(host, now).then_some(());
        let fits = if of_client >= CLIENT_MOST {
            Self::make_room_of(host, header.client, now)
        } else {
            !full || host.evict(records, room).is_some()
        };
        let result = if fits {
            host.remotes.insert(&record)
        } else {
            Err(ENOSPC)
        };
        if result.is_ok() {
            host.remote_ages.push(&record);
        }
        drop(guard);
        if let Err(error) = result {
            record.stop();
            return Err(error);
        }
        host.count(Counter::RecordsMade);
        Ok(record)
    }

    /// The record of a Client with a server, or how many others the Client has.
    fn find_or_count(
        host: &Host,
        client: Entity,
        server: Entity,
    ) -> core::result::Result<Ref<Self>, u32> {
        let mut result = Err(0u32);
        host.remotes.for_each(client.bits(), |record| {
            if record.server == server {
                result = Ok(record);
                return ControlFlow::Break(());
            }
            if let Err(count) = &mut result {
                *count = count.saturating_add(1);
            }
            ControlFlow::Continue(())
        });
        result
    }

    /// Throws an old record out of the full table (decision: at most once).
    fn make_room(host: &Host, now: Time) -> bool {
        let mut filtered = false;
        let old = host.remote_ages.evict(crate::host::EVICT_TRIES, |record| {
            let gone = record.let_go(now);
            filtered = gone == Some(true);
            gone.is_some()
        });
        old.is_some_and(|old| Self::evicted(host, &old, filtered, now))
    }

    /// Throws out the oldest record of a Client that has too many.
    fn make_room_of(host: &Host, client: Entity, now: Time) -> bool {
        let mut oldest = None;
        host.remotes.for_each(client.bits(), |record| {
            if may_go(&record.inner.lock().remote, now) {
                oldest = Some(record);
            }
            ControlFlow::Continue(())
        });
        let Some(old) = oldest else { return false };
        let Some(filtered) = old.let_go(now) else {
            return false;
        };
        host.remote_ages.remove(&old);
        Self::evicted(host, &old, filtered, now)
    }

    /// The record is to be taken out of the table, if it may go. Then the result is whether it filters duplicates.
    fn let_go(&self, now: Time) -> Option<bool> {
        let mut inner = self.inner.lock();
        let may = !inner.gone && may_go(&inner.remote, now);
        inner.gone |= may;
        may.then(|| !is_unproven(&inner.remote))
    }

    /// Takes it out. If it filtered duplicates the host is wary from now on.
    fn evicted(host: &Host, old: &Ref<Self>, filtered: bool, now: Time) -> bool {
        if filtered {
            host.be_wary(now);
        }
        host.remotes.remove(old);
        old.stop();
        host.count(Counter::RecordsEvicted);
        true
    }
}

/// Whether a record waits for the Probe of a Client that has not been executed anything of.
fn is_unproven(remote: &Remote) -> bool {
    remote.is_probing() && remote.state() == State::AwaitingRequest
}

/// Whether a record may be thrown out: one that only filters duplicates, or that not even does that.
fn may_go(remote: &Remote, now: Time) -> bool {
    remote.is_idle(now) || is_unproven(remote)
}
