// SPDX-License-Identifier: GPL-2.0

//! A local entity as a Client: what its user, packets and timers do to its transactions.
//!
//! `side` is what it keeps under its lock, `aftermath` what follows when that has been dropped, `outcome` how a user takes
//! what came of a transaction, `sequence` its receive sequence numbers. `single` is the common case of one packet each way.

mod aftermath;
mod outcome;
mod sequence;
mod side;
mod single;

pub use self::outcome::{Outcome, Whose};
pub use self::side::{ClientSide, Preallocated};

use self::aftermath::{Aftermath, Sending};
use self::side::Arrived;
use super::counters::Counter;
use super::endpoint::Endpoint;
use super::path::PathRecord;
use super::settings::Setting;
use super::transmit::Manner;
use super::Host;
use crate::kernel::array::Array;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::kernel::route::Route;
use crate::kernel::skb::Skb;
use crate::kernel::trace;
use crate::proto::client::{stray, Event, Keep, Request, State, Step, Stray, Unreachable};
use crate::proto::context::Timing;
use crate::proto::manager::is_error;
use crate::proto::peer::Peer;
use crate::proto::time::{Span, Time};
use crate::proto::wire::{Header, NotifyVmtpClient, ResponseCode, Transaction};
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// What a user wants to start.
pub struct Start {
    /// What it is.
    pub request: Request,
    /// Its segment.
    pub segment: Option<Pages>,
    /// How its packets are sent.
    pub manner: Manner,
    /// The way to the Server, or to everybody while that is not known.
    pub path: Ref<PathRecord>,
    /// What the first packet needs of that way, if it was just looked up ([`Host::departure`]).
    pub departure: Option<(Route, Timing)>,
    /// Comes back with the Responses.
    pub cookie: u64,
    /// The caller waits for what comes of it: [`Endpoint::release_claim`] ends that.
    pub claimed: bool,
    /// SO_SNDBUF.
    pub buffer: usize,
}

impl Start {
    /// Octets of its segment.
    pub(super) fn octets(&self) -> usize {
        self.segment.as_ref().map_or(0, |segment| segment.len())
    }
}

/// Why a transaction did not start.
pub enum Refused {
    /// Another one is open: wait, or fail with EAGAIN.
    Wait,
    /// A slot must be made first ([`Preallocated`]).
    Memory,
    /// It is too large.
    TooLarge,
    /// The entity is on its way to another host.
    Moving,
    /// The entity is no more.
    Gone,
}

impl Endpoint {
    /// One event under the lock, and what follows from it.
    fn client_event(
        record: &Ref<Self>,
        again: bool,
        event: impl FnOnce(&mut ClientSide, &Host, Time) -> Aftermath,
    ) {
        let host = &*record.host;
        let now = Host::now();
        let mut side = record.client.lock();
        let aftermath = event(&mut side, host, now);
        let mut more = Array::new();
        if let Some(step) = &aftermath.step {
            if step.event != Event::None {
                side.go_on(step.event, host, now, record.options.wishes(), &mut more);
            }
        }
        record.arm(side.deadline().nanos());
        drop(side);
        aftermath.finish(record, again);
        for Sending {
            path,
            burst,
            segment,
            manner,
        } in more.iter()
        {
            let _ = host.transmit(path, *burst, segment.as_ref(), manner, true, record.sk());
        }
    }

    /// Starts a transaction. Whoever waits for it asks [`Endpoint::take_outcome`]. Process context.
    pub fn start(
        record: &Ref<Self>,
        start: &Start,
        slot: &mut Option<Preallocated>,
    ) -> core::result::Result<Transaction, Refused> {
        if let Some(transaction) = Self::start_single(record, start) {
            return Ok(transaction);
        }
        let mut result = Err(Refused::Memory);
        Self::client_event(record, false, |side, host, now| {
            // Whoever says so takes this lock afterwards and finds what was started before.
            if record.is_released() {
                result = Err(Refused::Gone);
                return Aftermath::default();
            }
            if record.is_frozen() {
                result = Err(Refused::Moving);
                return Aftermath::default();
            }
            let (started, aftermath) = side.start(start, slot, host, &record.options, now);
            result = started;
            aftermath
        });
        if result.is_ok() {
            record.host.count(Counter::TransactionsStarted);
        }
        result
    }

    /// A Response packet for this entity arrived. All checks are done. Whether it was taken: only then it tells where its
    /// Server is, for whoever probes the entity knows a Transaction to repeat a Response to. Softirq.
    pub(in crate::host) fn response(
        record: &Ref<Self>,
        header: &Header,
        skb: Skb,
        peer: Peer,
        multicast: bool,
    ) -> bool {
        let skb = match Self::response_single(record, header, skb, &peer) {
            Ok(()) => return true,
            Err(skb) => skb,
        };
        let waiting = record.is_awaited(header, &record.waiters);
        let replies_max = record.options.response_queue();
        let wishes = record.options.wishes();
        let (mut unknown, mut taken) = (false, false);
        Self::client_event(record, true, |side, host, now| {
            let Some(index) = side
                .slots
                .iter()
                .position(|slot| slot.call.expects(header.transaction))
            else {
                unknown = true;
                host.discard(skb, Counter::DropOld);
                return Aftermath::default();
            };
            let arrived = Arrived {
                header,
                skb,
                peer,
                waiting,
                replies_max,
                sk: record.sk(),
            };
            let aftermath = side.response(index, arrived, wishes, host, now);
            taken = aftermath
                .step
                .is_some_and(|step| !matches!(step.keep, Keep::Drop(_)));
            aftermath
        });
        if unknown {
            let host = &*record.host;
            let streaming = host.settings.is_set(Setting::Streaming);
            if let Some(notify) = stray(header, Stray::Known, multicast, streaming) {
                host.notify_server(&peer, &notify);
            }
        }
        taken
    }

    /// NotifyVmtpClient for this entity arrived. Whether it is about a transaction of it. Softirq.
    ///
    /// Whoever probes the entity knows its Transaction. An error from another host than that which was asked is thus
    /// only a reason to look where the Server is, and no such host has packets sent again.
    pub(in crate::host) fn notified(
        record: &Ref<Self>,
        notify: &NotifyVmtpClient,
        from: &Peer,
    ) -> bool {
        let mut wanted = true;
        let wishes = record.options.wishes();
        Self::client_event(record, true, |side, host, now| {
            // Of a run two calls may be meant (the group before the one, the last of the other): the one that waits.
            let about = |slot: &KBox<side::Slot>| slot.call.is_notified_by(notify);
            let waiting = |slot: &KBox<side::Slot>| slot.call.state() == State::AwaitingResponse;
            let mut slots = side.slots.iter();
            let waits = slots.position(|slot| about(slot) && waiting(slot));
            let Some(index) = waits.or_else(|| side.slots.iter().position(about)) else {
                wanted = false;
                return Aftermath::default();
            };
            side.sequence_notified(index, notify);
            let mut aftermath = side.on_call(index, host, now, wishes, |call, client, cx| {
                let elsewhere = !call.is_multicast() && !call.peer().is_same_host(from);
                if elsewhere && is_error(notify.code) {
                    return call.unreachable(client, Unreachable::Hearsay);
                }
                if elsewhere && notify.code != ResponseCode::Ok.code() {
                    return Step::NOTHING;
                }
                call.notify(client, notify, cx)
            });
            aftermath.moved = notify.code.bits() == ResponseCode::EntityMigrated.bits();
            aftermath
        });
        wanted
    }

    /// Whether a Request of this entity, which was forwarded to a server of this host, is for a transaction that waits for
    /// its Response. Softirq.
    pub(in crate::host) fn takes_forwarded(&self, header: &Header) -> bool {
        let mut side = self.client.lock();
        side.slots
            .iter_mut()
            .any(|slot| slot.call.takes_forwarded(header))
    }

    /// ICMP says that a host (or VMTP there) cannot be reached, of a packet with this Transaction if that is known.
    /// Softirq.
    pub(in crate::host) fn unreachable(
        record: &Ref<Self>,
        peer: &Peer,
        transaction: Option<Transaction>,
        who: Unreachable,
    ) {
        // Who quotes no Transaction need not have known it, nor seen any packet.
        let who = match transaction {
            Some(_) => who,
            None => Unreachable::Hearsay,
        };
        let wishes = record.options.wishes();
        Self::client_event(record, true, |side, host, now| {
            let about = |slot: &KBox<side::Slot>| {
                slot.call.peer().is_same_host(peer)
                    && transaction.is_none_or(|transaction| slot.call.has_sent(transaction))
            };
            let Some(index) = side.slots.iter().position(about) else {
                return Aftermath::default();
            };
            side.on_call(index, host, now, wishes, |call, client, _| {
                call.unreachable(client, who)
            })
        });
    }

    /// What a Probe for the transaction found. Any context.
    pub(in crate::host) fn located(
        record: &Ref<Self>,
        transaction: Transaction,
        peer: Option<Peer>,
    ) {
        let wishes = record.options.wishes();
        Self::client_event(record, false, |side, host, now| {
            let Some(index) = side
                .slots
                .iter()
                .position(|slot| slot.call.transaction() == transaction)
            else {
                return Aftermath::default();
            };
            if let (Some(slot), Some(peer)) = (side.slots.get_mut(index), peer) {
                if let Ok(path) = host.path(&peer, now) {
                    slot.path = path;
                }
            }
            side.on_call(index, host, now, wishes, |call, client, cx| match peer {
                Some(peer) => call.located(client, peer, cx),
                None => call.not_located(client),
            })
        });
    }

    /// The side's deadline has passed. Softirq.
    pub(in crate::host) fn client_timeout(record: &Ref<Self>) {
        let wishes = record.options.wishes();
        let now = Host::now();
        let entity = record.entity.bits();
        loop {
            let mut done = true;
            Self::client_event(record, true, |side, host, now| {
                let due = side.slots.iter().position(|slot| {
                    slot.call.deadline().has_come(now)
                        || slot
                            .replies
                            .iter()
                            .any(|reply| reply.reply.deadline().has_come(now))
                });
                let Some(index) = due else {
                    return Aftermath::default();
                };
                done = false;
                host.count(Counter::Timeouts);
                if let Some(slot) = side.slots.get(index) {
                    let (server, transaction) = (slot.call.server(), slot.call.transaction());
                    trace::timeout(true, entity, server.bits(), transaction.bits());
                }
                side.timeout(index, host, now, wishes)
            });
            // Deadlines that come while this runs are for the timer, which is armed.
            if done || Host::now().since(now) > Span::from_millis(2) {
                return;
            }
        }
    }

    /// Whether another transaction may start now: a plain one, or a member of the run if the socket streams.
    pub fn may_start(&self) -> bool {
        let side = self.client.lock();
        let streaming = self.options.is_streaming();
        let buffer = self.sk().map_or(usize::MAX, |sk| sk.send_buffer());
        side.client.may_start(streaming) && (!streaming || side.has_room(buffer, &self.options))
    }

    /// Whether [`Endpoint::start`], which said [`Refused::Wait`], still would.
    pub fn keeps_waiting(&self, start: &Start) -> bool {
        self.client.lock().keeps_waiting(start, &self.options)
    }

    /// Whether a transaction is open, or was the last one, so that Responses may be waited for.
    pub fn has_transaction(&self) -> bool {
        !self.client.lock().slots.is_empty()
    }

    /// Whether a transaction is open.
    pub fn is_open(&self) -> bool {
        self.client.lock().client.open() != 0
    }

    /// Ends all open transactions; nothing of them is delivered.
    pub fn abort(&self) {
        let mut side = self.client.lock();
        let ClientSide { client, slots, .. } = &mut *side;
        for slot in slots.iter_mut() {
            client.abort(&mut slot.call);
        }
        // Those that wait for them find them gone.
        for slot in side.slots.iter_mut() {
            slot.claims = 0;
        }
        side.purge(true);
        drop(side);
        self.wake_receiver();
        self.wake_sender();
    }

    /// From now on no transaction starts, until it goes on here. EBUSY if one is open.
    pub(in crate::host) fn freeze_client(&self) -> Result {
        let side = self.client.lock();
        if side.client.open() != 0 {
            return Err(EBUSY);
        }
        self.frozen.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// The entity is given up. Its Client's next Transaction would have been this.
    pub(in crate::host) fn close_client(&self) -> Transaction {
        let mut side = self.client.lock();
        let ClientSide { client, slots, .. } = &mut *side;
        for slot in slots.iter_mut() {
            client.abort(&mut slot.call);
        }
        side.slots.clear();
        side.spare = None;
        side.client.current_transaction()
    }

    /// A caller begins (or ends) to wait for a Response: conditional ones are for it.
    pub fn client_waits(&self, waits: bool) {
        if waits {
            self.waiters.fetch_add(1, Ordering::Relaxed);
        } else {
            self.waiters.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// It came from another host, where its Client would have used this Transaction next.
    pub(in crate::host) fn continue_as(&self, next: Transaction) {
        self.client.lock().client =
            crate::proto::client::Client::new(self.entity, self.host.domain(), next);
    }

    /// What a Probe of this entity is told.
    pub(in crate::host) fn current_transaction(&self) -> Transaction {
        self.client.lock().client.current_transaction()
    }
}
