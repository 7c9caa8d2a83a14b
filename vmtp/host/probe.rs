// SPDX-License-Identifier: GPL-2.0

//! Probes that this host sends: to find an entity, to be sure of a Client, or because a user asks (III, ProbeEntity).

use super::counters::Counter;
use super::path::PathRecord;
use super::remote::RemoteRecord;
use super::search::Search;
use super::transmit::Manner;
use super::{Host, ALL_HOSTS, ATOMIC};
use crate::kernel::lock::{new_spinlock_bh, SpinLockBh};
use crate::kernel::pernet::StateRef;
use crate::kernel::random;
use crate::kernel::record::{Record, Recorded, Ref};
use crate::kernel::skb::Skb;
use crate::kernel::wait::{new_wait_queue, WaitQueue};
use crate::proto::context::Timing;
use crate::proto::manager::{Probe, ProbeStep, LOCATE_RETRIES};
use crate::proto::peer::Peer;
use crate::proto::server::Presence;
use crate::proto::time::Time;
use crate::proto::wire::{Code, Entity, Header, ProbeEntityResults, ResponseCode, Transaction};
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Probes under way at most.
const PROBES_MAX: u32 = 1 << 14;

/// How often a Probe of a Client is repeated: with the first it is three packets for one, so that a Request with a forged
/// source is not multiplied by more (decision: no amplifier).
const PROBE_RETRIES: u8 = 2;

/// What a Probe is for.
pub enum Purpose {
    /// A Client of which this host has no record sent a Request.
    Remote(Ref<RemoteRecord>),
    /// The host of an entity is looked for.
    Search(Ref<Search>),
    /// A user asks.
    User(Arc<Answer>),
}

/// Where a user waits for what a Probe finds.
#[pin_data]
pub struct Answer {
    /// Where callers wait.
    #[pin]
    pub queue: WaitQueue,
    /// What was found, once it was.
    #[pin]
    pub result: SpinLockBh<Option<Found>>,
}

/// What a Probe found.
#[derive(Clone, Copy)]
pub struct Found {
    /// The results, or the code of the refusal; RETRANS_TIMEOUT if nobody answered.
    pub result: core::result::Result<ProbeEntityResults, Code>,
    /// Who answered.
    pub peer: Peer,
}

impl Found {
    /// Nobody answered.
    pub(super) const NOTHING: Found = Found {
        result: Err(ResponseCode::RetransTimeout.code()),
        peer: Peer::NONE,
    };
}

impl Answer {
    /// Nothing was found yet.
    pub fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Answer {
                queue <- new_wait_queue!("vmtp::probe"),
                result <- new_spinlock_bh!(None, "vmtp::answer"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }
}

/// A Probe under way, found by its Transaction.
#[pin_data]
pub struct Pending {
    host: StateRef<Host>,
    path: Ref<PathRecord>,
    purpose: Purpose,
    #[pin]
    probe: SpinLockBh<Probe>,
}

impl Recorded for Pending {
    fn expired(record: Ref<Self>) {
        record.go_on();
    }
}

impl Pending {
    fn go_on(self: &Record<Self>) {
        let host = &*self.host;
        let now = Host::now();
        let cx = host.context(now, self.timing(), 0);
        let mut probe = self.probe.lock();
        let step = probe.timeout(host.manager(), host.domain(), &cx);
        // One that has ended is not armed again, with a deadline that has passed: whoever withdraws it just now took it out
        // of the table, and would be interrupted by its timer for ever before it could stop that.
        if !matches!(step, ProbeStep::Silence) {
            self.arm(probe.deadline().nanos());
        }
        drop(probe);
        match step {
            ProbeStep::Wait => {}
            ProbeStep::Send(header) => {
                host.count(Counter::OutProbes);
                let _ = host.send_single(&self.path, header, &[], &Manner::HOST);
                if self.path.is_multicast() {
                    host.send_everywhere(&self.path, header);
                }
            }
            ProbeStep::Silence => {
                if host.probes.remove(self) {
                    host.probe_ages.remove(self);
                    self.stop();
                    self.tell(&Found::NOTHING, true);
                }
            }
        }
    }

    /// A group of managers answers in its own time: nothing is known of it.
    fn timing(&self) -> Timing {
        if self.path.is_multicast() {
            Timing::UNKNOWN
        } else {
            self.path.timing()
        }
    }

    /// Whether the Client that was probed is there. A host that may not tell of it has it; of all hosts another may.
    fn presence(&self, found: &Found) -> Presence {
        match found.result {
            Ok(results) => Presence::At(results.transaction),
            Err(code) if code == ResponseCode::NoPermission.code() && !self.path.is_multicast() => {
                Presence::Private
            }
            Err(_) => Presence::Absent,
        }
    }

    /// `again` says whether who looks for a host may go on looking, by another Probe.
    fn tell(&self, found: &Found, again: bool) {
        match &self.purpose {
            Purpose::Remote(record) => RemoteRecord::probed(record, self.presence(found)),
            Purpose::Search(search) => Search::end(search, &self.host, found, again),
            Purpose::User(answer) => {
                *answer.result.lock() = Some(*found);
                answer.queue.wake_all();
            }
        }
    }
}

impl Host {
    /// Begins a Probe of `entity`. `to` is asked, for whatever is co-resident with `coresident`.
    pub(super) fn probe(
        &self,
        entity: Entity,
        coresident: Entity,
        to: Peer,
        retries: u8,
        limit: Time,
        purpose: Purpose,
    ) -> Result<Ref<Pending>> {
        let now = Host::now();
        // Whoever guesses it can answer in the place of the host that is asked.
        let transaction = Transaction::from_bits(random::u32());
        let host = self.to_ref()?;
        let path = self.path(&to, now)?;
        let probe = Probe::new(entity, coresident, transaction, retries, limit);
        let record = Record::new(
            u64::from(transaction.bits()),
            pin_init!(Pending { host, path, purpose, probe <- new_spinlock_bh!(probe, "vmtp::pending") }),
            ATOMIC,
        )?;
        if self.probes.len() >= PROBES_MAX {
            // The oldest is the least likely to be answered.
            let old = self.probe_ages.evict(1, |_| true);
            if let Some(old) = old.filter(|old| self.probes.remove(old)) {
                old.stop();
                old.tell(&Found::NOTHING, false);
            }
        }
        if let Err(error) = self.probes.insert(&record) {
            record.stop();
            return Err(error);
        }
        self.probe_ages.push(&record);
        record.go_on();
        Ok(record)
    }

    /// Asks the manager of a Client, at the host its Request came from, whether it is there.
    pub(super) fn probe_client(&self, client: Entity, peer: Peer, purpose: Purpose) {
        let record = match &purpose {
            Purpose::Remote(record) => Some(record.clone()),
            Purpose::Search(_) | Purpose::User(_) => None,
        };
        if self
            .probe(client, client, peer, PROBE_RETRIES, Time::NEVER, purpose)
            .is_err()
        {
            self.count(Counter::DropNoMemory);
            if let Some(record) = record {
                RemoteRecord::probed(&record, Presence::Absent);
            }
        }
    }

    /// A user's Probe: at `peer` if that is known, else everywhere. [`Host::withdraw`] ends it.
    pub fn probe_for_user(
        &self,
        entity: Entity,
        peer: Peer,
        retries: u8,
        limit: Time,
        answer: Arc<Answer>,
    ) -> Result<Ref<Pending>> {
        if peer.is_known() {
            self.probe(entity, entity, peer, retries, limit, Purpose::User(answer))
        } else {
            let all = Peer::inet(ALL_HOSTS.octets());
            self.probe(
                entity,
                entity,
                all,
                LOCATE_RETRIES.max(retries),
                limit,
                Purpose::User(answer),
            )
        }
    }

    /// Nobody waits for a Probe any more.
    pub fn withdraw(&self, probe: &Ref<Pending>) {
        if self.probes.remove(probe) {
            self.probe_ages.remove(probe);
        }
        probe.stop();
    }

    /// A Response for the manager's own entity arrived: to a Probe.
    pub(super) fn probe_answered(&self, header: &Header, skb: Skb, peer: Peer) {
        if self.objection_arrived(header) {
            return;
        }
        let Some(record) = self.probes.get(u64::from(header.transaction.bits())) else {
            self.discard(skb, Counter::DropOld);
            return;
        };
        let (result, round_trip) = record.probe.lock().answer(header, Host::now());
        let nobody_else = !record.path.is_multicast();
        if result.is_err()
            && !nobody_else
            && header.code.bits() == ResponseCode::EntityMigrated.bits()
        {
            // Another host knows better.
            return;
        }
        // Whoever takes it out of the table tells.
        if !self.probes.remove(&record) {
            return;
        }
        self.probe_ages.remove(&record);
        record.stop();
        if nobody_else {
            record.path.learn(round_trip, None, None, None);
        }
        if result.is_ok() {
            let entity = record.probe.lock().entity;
            self.learn_found(entity, &peer);
        }
        record.tell(&Found { result, peer }, true);
    }
}
