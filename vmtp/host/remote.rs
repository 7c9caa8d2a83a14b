// SPDX-License-Identifier: GPL-2.0

//! The record of a remote Client with one server of this host: `proto::server::Remote`, the packets of the Request that
//! is being received, the Requests of a run that wait, and the Responses that may be asked for again.

use super::counters::Counter;
use super::endpoint::{Charge, Endpoint};
use super::path::PathRecord;
use super::probe::Purpose;
use super::transmit::Manner;
use super::{Host, ATOMIC};
use crate::kernel::array::Array;
use crate::kernel::lock::{new_spinlock_bh, SpinLockBh};
use crate::kernel::pages::Pages;
use crate::kernel::pernet::StateRef;
use crate::kernel::record::{Record, Recorded, Ref};
use crate::kernel::skb::Skb;
use crate::kernel::skb_queue::SkbQueue;
use crate::kernel::trace;
use crate::proto::burst::Burst;
use crate::proto::context::Context;
use crate::proto::peer::Peer;
use crate::proto::server::{Arrival, Event, Keep, Remote, Retained, Source, State, Step, To};
use crate::proto::time::Time;
use crate::proto::wire::{
    Entity, Header, NotifyVmtpClient, NotifyVmtpServer, ProbeEntityResults, Transaction,
};
use core::net::Ipv4Addr;
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::Arc;

/// A Request with its packets, on its way to the server's user.
pub struct Delivered {
    /// The record of its Client.
    pub record: Ref<RemoteRecord>,
    /// What it is.
    pub arrival: Arrival,
    /// In the order of the segment.
    pub packets: SkbQueue,
    /// Octets of the segment that its user has already.
    pub offset: u32,
}

/// The record of one remote Client with one local server entity.
#[pin_data(PinnedDrop)]
pub struct RemoteRecord {
    host: StateRef<Host>,
    /// The remote Client.
    pub client: Entity,
    /// The local server.
    pub server: Entity,
    #[pin]
    inner: SpinLockBh<Inner>,
}

struct Inner {
    remote: Remote,
    path: Ref<PathRecord>,
    /// Of the Request being received.
    packets: SkbQueue,
    /// Complete Requests of the run behind the one in progress, oldest first.
    waiting: super::ring::Ring<(Arrival, SkbQueue)>,
    /// What the packets of these occupy.
    waiting_octets: usize,
    /// The segment of the Response, or of the forwarded Request.
    segment: Option<Arc<Pages>>,
    /// Responses of the run that the Client has not acknowledged.
    retained: super::ring::Ring<(Retained, Option<Arc<Pages>>)>,
    retries: u8,
    /// The address of this host to which the Client sent last: it is answered from there.
    local: Ipv4Addr,
    /// The state that was traced last.
    shown: State,
    /// It was taken out of the table: whoever still has it must look for another.
    gone: bool,
    manner: Manner,
    /// What it occupies of its server's memory.
    charge: Charge,
}

#[pinned_drop]
impl PinnedDrop for RemoteRecord {
    fn drop(self: Pin<&mut Self>) {
        let inner = self.inner.lock();
        inner.path.records.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Recorded for RemoteRecord {
    type Key = u64;

    fn expired(record: Ref<Self>) {
        record.host.count(Counter::Timeouts);
        RemoteRecord::event(&record, None, true, |inner, cx| {
            let transaction = inner.remote.transaction().bits();
            trace::timeout(
                false,
                record.client.bits(),
                record.server.bits(),
                transaction,
            );
            inner.remote.timeout(cx)
        });
    }
}

/// The part of the records that one source may have, and what it may have in any case.
const SOURCE_SHARE: u32 = 4;
const SOURCE_LEAST: u32 = 64;

/// What a kept packet says.
pub fn header_of(skb: &Skb) -> Option<Header> {
    skb.linear().first_chunk::<64>().map(Header::parse)
}

/// What is to be done when the record's lock has been dropped.
struct Aftermath {
    burst: Option<(Burst, To, Entity)>,
    segment: Option<Arc<Pages>>,
    path: Ref<PathRecord>,
    manner: Manner,
    notify: Option<(NotifyVmtpClient, bool)>,
    delivered: Option<Delivered>,
    probe: bool,
    expired: bool,
}

impl RemoteRecord {
    /// The record of a Client with a server, if there is one.
    pub fn find(host: &Host, client: Entity, server: Entity) -> Option<Ref<Self>> {
        let mut found = None;
        host.remotes.for_each(client.bits(), |record| {
            if record.server == server {
                found = Some(record.clone());
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
        let counted = Host::counted(host.net()).ok_or(ENODEV)?;
        let path = host.path(&peer, now)?;
        let limit = host.records_max();
        // One source leaves room for others.
        let share = (limit / SOURCE_SHARE).max(SOURCE_LEAST);
        if path.records.fetch_add(1, Ordering::Relaxed) >= share {
            path.records.fetch_sub(1, Ordering::Relaxed);
            return Err(ENOSPC);
        }
        let path_of_record = path.clone();
        let inner = Inner {
            remote: Remote::new(header, server, peer),
            path,
            packets: SkbQueue::new(),
            waiting: super::ring::Ring::new(),
            waiting_octets: 0,
            segment: None,
            retained: super::ring::Ring::new(),
            retries: 5,
            local: Ipv4Addr::UNSPECIFIED,
            shown: State::AwaitingRequest,
            gone: false,
            manner: Manner::HOST,
            charge: Charge::new(&endpoint.memory),
        };
        let record = Record::new(
            header.client.bits(),
            pin_init!(RemoteRecord {
                host: counted,
                client: header.client,
                server,
                inner <- new_spinlock_bh!(inner, "vmtp::remote"),
            }),
            ATOMIC,
        )
        .inspect_err(|_| {
            path_of_record.records.fetch_sub(1, Ordering::Relaxed);
        })?;
        let guard = host.creation.lock();
        if let Some(other) = Self::find(host, header.client, server) {
            drop(guard);
            record.stop();
            return Ok(other);
        }
        let full = host.remotes.len() >= limit || Charge::strangers_fill(host);
        let result = if full && !Self::make_room(host, now) {
            Err(ENOSPC)
        } else {
            host.remotes.insert(&record)
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

    /// Throws an old record out of the full table (decision: at most once): one that only filters duplicates, or that
    /// waits for the Probe of a Client that has not been executed anything of. The host is wary then.
    fn make_room(host: &Host, now: Time) -> bool {
        let mut filtered = false;
        let old = host.remote_ages.evict(super::EVICT_TRIES, |record| {
            let mut inner = record.inner.lock();
            let unproven =
                inner.remote.is_probing() && inner.remote.state() == State::AwaitingRequest;
            inner.gone = inner.remote.is_idle(now) || unproven;
            filtered = !unproven;
            inner.gone
        });
        let Some(old) = old else { return false };
        if filtered {
            host.be_wary(now);
        }
        host.remotes.remove(&old);
        old.stop();
        host.count(Counter::RecordsEvicted);
        true
    }

    /// One event of `proto` under the lock, and what follows from it. `skb` is the packet that led here, `again` whether
    /// what is sent counts as a retransmission.
    fn event(
        record: &Ref<Self>,
        skb: Option<Skb>,
        again: bool,
        event: impl FnOnce(&mut Inner, &Context) -> Step,
    ) -> Step {
        let now = Host::now();
        let mut inner = record.inner.lock();
        let cx = record.host.context(now, inner.path.timing(), inner.retries);
        if inner.gone {
            return Step::NOTHING;
        }
        let step = event(&mut inner, &cx);
        let aftermath = inner.apply(record, &step, skb, &cx);
        record.arm(inner.remote.deadline().nanos());
        drop(inner);
        aftermath.finish(record, &step, again);
        step
    }

    /// A Request packet for `endpoint` arrived. All checks are done. The packet comes back if the record has gone
    /// meanwhile.
    pub fn request(
        record: &Ref<Self>,
        endpoint: &Endpoint,
        header: &Header,
        skb: Skb,
        source: &Source,
        now: Time,
    ) -> Option<Skb> {
        let host = &*record.host;
        let must_probe = host.must_probe(now);
        let full = endpoint.is_full();
        let mut guard = record.inner.lock();
        let inner = &mut *guard;
        if inner.gone {
            return Some(skb);
        }
        if inner.retained.len() != 0 {
            let cx = inner.context(record);
            if let Some(sending) = inner.repeated_retained(header, &cx) {
                drop(guard);
                host.count(Counter::DropDuplicate);
                if let Some(sending) = sending {
                    record.send_beside(core::slice::from_ref(&sending));
                }
                return None;
            }
        }
        if !source.multicast {
            inner.local = skb.ip().destination;
        }
        inner.charge.move_to(&endpoint.memory);
        let strange = inner.remote.is_probing() && !header.delivery.is_empty();
        if strange && !inner.charge.stranger_may_add(Charge::strangers_fill(host)) {
            drop(guard);
            host.count(Counter::DropNoRoom);
            return None;
        }
        let room = if full {
            let receiving = inner.remote.is_receiving();
            let room = receiving && inner.charge.is_privileged();
            if receiving && !room && !header.delivery.is_empty() {
                // It comes again when there is room: the Client is told what is missing whenever it asks.
                drop(guard);
                host.count(Counter::DropNoRoom);
                return None;
            }
            room
        } else {
            true
        };
        inner.retries = endpoint.options.response_retries();
        let cx = host.context(now, inner.path.timing(), inner.retries);
        let service = endpoint.service(must_probe, room);
        let step = inner.remote.request(header, source, &service, &cx);
        if step.keep == Keep::Drop(crate::proto::server::Drop::NoRoom) {
            if let Some(sk) = endpoint.sk() {
                sk.count_drop();
            }
        }
        // Only a packet that the record took says where its Client is.
        let peer = inner.remote.peer();
        if inner.path.peer != peer {
            if let Ok(path) = host.path(&peer, now) {
                path.records.fetch_add(1, Ordering::Relaxed);
                inner.path.records.fetch_sub(1, Ordering::Relaxed);
                inner.path = path;
            }
        }
        let taken = peer == source.peer && !matches!(step.keep, Keep::Drop(_));
        if taken && header.control.gap() != 0 {
            inner.path.asked_for_gap(header.control.gap());
        }
        let aftermath = inner.apply(record, &step, Some(skb), &cx);
        record.arm(inner.remote.deadline().nanos());
        drop(guard);
        if taken && header.control.forward_count() == 0 {
            host.learn(header.client, &source.peer, now);
        }
        aftermath.finish(record, &step, true);
        None
    }

    /// Another server of this host got a Request of the same Client outside a run: what is here is over.
    pub fn superseded(record: &Ref<Self>, by: Transaction) {
        Self::event(record, None, false, |inner, cx| {
            inner.remote.superseded(by, cx)
        });
    }

    /// NotifyVmtpServer arrived.
    pub fn notified(record: &Ref<Self>, notify: &NotifyVmtpServer) {
        let mut inner = record.inner.lock();
        let cx = inner.context(record);
        let bursts = inner.notified_retained(notify, &cx);
        drop(inner);
        record.send_beside(&bursts);
        Self::event(record, None, true, |inner, cx| {
            if inner.remote.is_notified_by(notify) {
                inner.remote.notified(notify, cx)
            } else {
                Step {
                    keep: Keep::Keep,
                    ..Step::NOTHING
                }
            }
        });
    }

    /// Sends packets beside those of a step: Responses of a run again.
    fn send_beside(&self, bursts: &[Sending]) {
        if bursts.is_empty() {
            return;
        }
        let inner = self.inner.lock();
        let (path, manner) = (inner.path.clone(), inner.manner);
        drop(inner);
        for (burst, segment) in bursts {
            let _ = self
                .host
                .transmit(&path, *burst, segment.as_deref(), &manner, true, None);
        }
    }

    /// NotifyRemoteVmtpClient, from the server to which the Request was forwarded, arrived.
    pub fn forward_notified(record: &Ref<Self>, notify: &NotifyVmtpClient) {
        Self::event(record, None, true, |inner, cx| {
            inner.remote.forward_notified(notify, cx)
        });
    }

    /// The server to which the Request was forwarded cannot be found.
    pub fn forward_failed(record: &Ref<Self>) {
        Self::event(record, None, false, |inner, cx| {
            inner.remote.forward_failed(cx)
        });
    }

    /// The Client's manager answered a Probe, or nobody did.
    pub fn probed(record: &Ref<Self>, results: Option<&ProbeEntityResults>) {
        let current = results.map(|results| results.transaction);
        Self::event(record, None, false, |inner, cx| {
            inner.remote.probed(current, cx)
        });
    }

    /// Runs an operation of the server's user. ENOTCONN if there is no such Request (any more).
    pub fn operate<E>(
        record: &Ref<Self>,
        manner: &Manner,
        segment: Option<Arc<Pages>>,
        operation: impl FnOnce(&mut Remote, &Context) -> core::result::Result<Step, E>,
    ) -> core::result::Result<(), E> {
        let mut result = Ok(());
        Self::event(record, None, false, |inner, cx| {
            match operation(&mut inner.remote, cx) {
                Ok(step) => {
                    inner.manner = *manner;
                    if !step.release || step.burst.is_some() {
                        inner.segment = segment;
                    }
                    step
                }
                Err(error) => {
                    result = Err(error);
                    Step {
                        keep: Keep::Keep,
                        ..Step::NOTHING
                    }
                }
            }
        });
        result
    }

    /// Whether the Request of `arrival` still waits for its Response, or is a datagram, for which nobody waits.
    pub fn is_current(&self, arrival: &Arrival) -> bool {
        let inner = self.inner.lock();
        inner.remote.transaction() == arrival.transaction
            && (inner.remote.state() == State::Processing || arrival.datagram)
    }

    /// What the record says, for /proc.
    pub fn look(&self) -> (Remote, u32) {
        let inner = self.inner.lock();
        (inner.remote, inner.waiting.len() as u32)
    }
}

impl Inner {
    /// The surroundings of an event at this moment.
    fn context(&self, record: &RemoteRecord) -> Context {
        record
            .host
            .context(Host::now(), self.path.timing(), self.retries)
    }

    fn apply(
        &mut self,
        record: &Ref<RemoteRecord>,
        step: &Step,
        skb: Option<Skb>,
        cx: &Context,
    ) -> Aftermath {
        // What is sent is of the segment that was kept before this event.
        let segment = self.segment.clone();
        if step.aborted {
            while self.waiting.pop_front().is_some() {}
            self.waiting_octets = 0;
        }
        if step.release_retained {
            while self.retained.pop_front().is_some() {}
        }
        if let Some(retained) = step.retain {
            let kept = (retained, self.segment.take());
            if self.retained.len() >= usize::from(cx.policy.run_responses) {
                self.retained.pop_front();
            }
            // Without memory the Response is one that was discarded.
            let _ = self.retained.push_back(kept, ATOMIC);
        }
        if step.release {
            self.segment = None;
        }
        keep(
            &record.host,
            &mut self.packets,
            step.keep,
            step.group_offset,
            skb,
        );
        let mut aftermath = Aftermath {
            burst: step
                .burst
                .map(|burst| (burst, step.to, self.remote.forward_server())),
            segment,
            path: self.path.clone(),
            manner: Manner {
                source: self.local,
                ..self.manner
            },
            notify: step.notify.map(|notify| (notify, step.notify_remote)),
            delivered: None,
            probe: false,
            expired: false,
        };
        match step.event {
            Event::None | Event::Ended => {}
            Event::Request(arrival) => {
                let packets = core::mem::take(&mut self.packets);
                if arrival.queued {
                    self.waiting_octets = self.waiting_octets.wrapping_add(packets.octets());
                    if self.waiting.push_back((arrival, packets), ATOMIC).is_err() {
                        record.host.count(Counter::DropNoMemory);
                        self.remote.superseded(arrival.transaction.next(), cx);
                    }
                } else {
                    self.hand_over(record, arrival, packets, cx, &mut aftermath);
                }
            }
            Event::Next => self.next(record, cx, &mut aftermath),
            Event::Probe => aftermath.probe = true,
            Event::Expired => {
                self.gone = true;
                aftermath.expired = true;
            }
        }
        if !self.remote.holds_packets() {
            self.packets = SkbQueue::new();
        }
        let state = self.remote.state();
        if state != self.shown {
            self.shown = state;
            let name = match state {
                State::AwaitingRequest => "AwaitingRequest",
                State::Processing => "Processing",
                State::Responded => "Responded",
                State::ResponseDiscarded => "ResponseDiscarded",
                State::Forwarded => "Forwarded",
            };
            let transaction = self.remote.transaction().bits();
            trace::state(
                false,
                record.client.bits(),
                record.server.bits(),
                transaction,
                name,
            );
        }
        let octets = self.packets.octets().wrapping_add(self.waiting_octets);
        self.charge.set(octets, !self.remote.is_probing());
        aftermath
    }

    fn next(&mut self, record: &Ref<RemoteRecord>, cx: &Context, aftermath: &mut Aftermath) {
        if let Some((arrival, packets)) = self.waiting.pop_front() {
            self.waiting_octets = self.waiting_octets.saturating_sub(packets.octets());
            let step = self.remote.begin(&arrival, cx);
            if let Some(retained) = step.retain {
                let _ = self
                    .retained
                    .push_back((retained, self.segment.take()), ATOMIC);
            }
            self.hand_over(record, arrival, packets, cx, aftermath);
        }
    }

    fn hand_over(
        &mut self,
        record: &Ref<RemoteRecord>,
        arrival: Arrival,
        packets: SkbQueue,
        cx: &Context,
        aftermath: &mut Aftermath,
    ) {
        aftermath.delivered = Some(Delivered {
            record: record.clone(),
            arrival,
            packets,
            offset: 0,
        });
        if arrival.datagram {
            // The next of the run follows when the user has taken this one; order is kept by the socket's queue.
            let _ = self.remote.is_datagram(cx);
        }
    }

    /// A Notify is about Responses of the run that are kept behind the current one, too: those that the Client has go,
    /// of others what it lacks is sent.
    fn notified_retained(&mut self, notify: &NotifyVmtpServer, cx: &Context) -> Array<Sending> {
        let mut bursts = Array::new();
        let mut rest = self.retained.len();
        while rest != 0 {
            rest = rest.wrapping_sub(1);
            let Some((mut retained, segment)) = self.retained.pop_front() else {
                break;
            };
            let Ok(burst) = retained.notified(&self.remote, notify, cx) else {
                continue;
            };
            if let Some(burst) = burst {
                // Without memory the Client asks again.
                let _ = bursts.push((burst, segment.clone()), ATOMIC);
            }
            let _ = self.retained.push_back((retained, segment), ATOMIC);
        }
        bursts
    }

    /// A Request of the run came again whose Response is kept behind the current one. `None` if it is no such Request.
    fn repeated_retained(&mut self, header: &Header, cx: &Context) -> Option<Option<Sending>> {
        let mut found = None;
        let mut rest = self.retained.len();
        while rest != 0 {
            rest = rest.wrapping_sub(1);
            let Some((mut retained, segment)) = self.retained.pop_front() else {
                break;
            };
            let about = retained.transaction().since(header.transaction) >= 0
                && retained.is_about(header.transaction);
            if about && found.is_none() {
                let burst = retained.repeat(&self.remote, header, cx);
                found = Some(burst.map(|burst| (burst, segment.clone())));
            }
            let _ = self.retained.push_back((retained, segment), ATOMIC);
        }
        found
    }
}

/// Packets beside those of a step, with the segment they are of.
type Sending = (Burst, Option<Arc<Pages>>);

/// Does with a packet what a step says. Kept packets are in the order of the segment, each with the offset of its group.
pub(super) fn keep(
    host: &Host,
    packets: &mut SkbQueue,
    keep: Keep,
    group_offset: u32,
    skb: Option<Skb>,
) {
    if keep == Keep::Restart {
        *packets = SkbQueue::new();
    }
    let Some(mut skb) = skb else { return };
    if let Keep::Drop(reason) = keep {
        host.count(reason.into());
        return;
    }
    let lowest = header_of(&skb).map_or(0, |header| header.delivery.bits().trailing_zeros());
    let place = u64::from(group_offset) | u64::from(lowest.min(31));
    skb.detach();
    skb.set_note([place, 0, 0, 0]);
    packets.insert_by(skb, |other| {
        other.note().first().is_some_and(|at| *at > place)
    });
}

/// Octets from the start of the segment to the start of a kept packet's group.
pub fn group_offset_of(skb: &Skb) -> u32 {
    let [place, ..] = skb.note();
    // Groups start at multiples of 16,384: the low bits hold the packet's lowest block.
    (place & !31) as u32
}

impl Aftermath {
    fn finish(self, record: &Ref<RemoteRecord>, step: &Step, again: bool) {
        let host = &*record.host;
        self.path
            .learn(step.round_trip, step.interpacket, step.sent, step.received);
        if let Some((notify, remote)) = self.notify {
            host.notify_client(&self.path, &notify, remote);
        }
        if let Some((burst, to, forward_server)) = self.burst {
            let now = Host::now();
            let destination = match to {
                To::Peer => self.path.peer,
                To::Client => host.find(record.client, now).peer,
                To::ForwardServer => host.find(forward_server, now).peer,
            };
            if !again {
                host.count(Counter::ResponsesSent);
            }
            if to == To::ForwardServer && !destination.is_known() {
                host.locate(forward_server, Purpose::Forward(record.clone()));
            }
            let mut manner = self.manner;
            if to != To::Peer {
                // Another host knows this one by another address, perhaps.
                manner.source = Ipv4Addr::UNSPECIFIED;
            }
            let path = if to == To::Peer {
                Ok(self.path.clone())
            } else {
                host.path(&destination, now)
            };
            // Nobody knows where that is: 0.0.0.0 would be this host itself.
            if let Ok(path) = path.and_then(|path| match path.peer.is_known() {
                true => Ok(path),
                false => Err(ENOENT),
            }) {
                // What cannot be sent now is sent again by the timer.
                let _ = host.transmit(&path, burst, self.segment.as_deref(), &manner, again, None);
            }
        }
        if let Some(delivered) = self.delivered {
            match host.entities.get(record.server.bits()) {
                Some(endpoint) => endpoint.deliver(delivered),
                None => RemoteRecord::drop_request(delivered),
            }
        }
        if self.probe {
            host.probe_client(
                record.client,
                self.path.peer,
                Purpose::Remote(record.clone()),
            );
        }
        if self.expired {
            host.count(Counter::RecordsExpired);
            host.remotes.remove(record);
            host.remote_ages.remove(record);
            record.stop();
        }
    }
}

impl RemoteRecord {
    /// A Request cannot or will not be handled: its Client is told at once.
    pub fn drop_request(delivered: Delivered) {
        let transaction = delivered.arrival.transaction;
        let _ = Self::operate(&delivered.record, &Manner::HOST, None, |remote, cx| {
            remote.abandon(transaction, cx)
        });
    }
}
