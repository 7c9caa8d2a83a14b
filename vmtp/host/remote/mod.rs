// SPDX-License-Identifier: GPL-2.0

//! The record of a remote Client with one server of this host: `proto::server::Remote`, the packets of the Request that
//! is being received, the Requests of a run that wait, and the Responses that may be asked for again.
//! The parts: `table` finds and makes records, `step` makes consequences of `proto`'s steps known, `run` is about
//! Clients that stream, `overheard` about group Responses, `rare` is what of both is kept, `single` the common case of one
//! packet each way, `aftermath` is what is done without the lock.

mod aftermath;
mod elsewhere;
pub(super) mod moved;
mod overheard;
mod rare;
mod run;
mod single;
mod step;
mod table;

use self::aftermath::Left;
use self::rare::Rare;
use crate::host::charge::Charge;
use crate::host::counters::Counter;
use crate::host::endpoint::Endpoint;
use crate::host::foreign;
use crate::host::kept::{header_of, single};
use crate::host::path::PathRecord;
use crate::host::transmit::Manner;
use crate::host::Host;
use crate::kernel::lock::SpinLockBh;
use crate::kernel::pages::Pages;
use crate::kernel::pernet::StateRef;
use crate::kernel::record::{Memory, Record, Recorded, Ref};
use crate::kernel::skb::Skb;
use crate::kernel::skb_queue::SkbQueue;
use crate::kernel::trace;
use crate::proto::context::Context;
use crate::proto::peer::Peer;
use crate::proto::server::{Arrival, Keep, Presence, Remote, Source, State, Step};
use crate::proto::time::Time;
use crate::proto::wire::{Entity, Header, NotifyVmtpClient, NotifyVmtpServer, Transaction};
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// What a server's user gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A Request.
    Request,
    /// What another member of the group answered to a Request that the server has (2.7).
    GroupResponse,
}

/// A Request with its packets, on its way to the server's user; or a group Response.
pub struct Delivered {
    /// The record of its Client.
    pub record: Ref<RemoteRecord>,
    /// Which of them it is.
    pub kind: Kind,
    /// What it is.
    pub arrival: Arrival,
    /// In the order of the segment.
    pub packets: SkbQueue,
    /// Octets of the segment that its user has already.
    pub offset: u32,
}

impl Delivered {
    /// Whether it is, or is about, this Request.
    pub(super) fn is_of(&self, client: Entity, transaction: Transaction) -> bool {
        self.record.client() == client && self.arrival.transaction == transaction
    }

    /// Who sent it.
    pub fn from(&self) -> Entity {
        match self.kind {
            Kind::Request => self.record.client(),
            Kind::GroupResponse => self
                .packets
                .front()
                .and_then(header_of)
                .map_or(Entity::ZERO, |header| header.server),
        }
    }

    /// Whether it is of use still: a Request as long as its Client waits.
    pub(super) fn is_current(&self) -> bool {
        match self.kind {
            Kind::Request => self.record.is_current(&self.arrival),
            Kind::GroupResponse => true,
        }
    }

    /// The server's user takes it. Whether it is of use still.
    pub(super) fn take_in_hand(&self) -> bool {
        match self.kind {
            Kind::Request => self.record.take_in_hand(&self.arrival),
            Kind::GroupResponse => true,
        }
    }

    /// Its packets are thrown away, for the reason that is counted.
    pub(super) fn discard(&mut self, counter: Counter) {
        self.record.host.count(counter);
        if let Some(reason) = counter.drop_reason() {
            core::mem::take(&mut self.packets).discard(reason);
        }
    }
}

/// The record of one remote Client with one local server entity.
#[pin_data(PinnedDrop)]
pub struct RemoteRecord {
    pub(in crate::host) host: StateRef<Host>,
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
    /// Of most Clients there is none.
    rare: Option<KBox<Rare>>,
    /// The segment of the Response, or of the forwarded Request.
    segment: Option<Pages>,
    retries: u8,
    /// The state that was traced last.
    shown: State,
    /// It was taken out of the table: whoever still has it must look for another.
    gone: bool,
    /// Its server is about to move: nothing happens any more, whatever comes.
    frozen: bool,
    /// Its source is the address of this host to which the Client sent last: it is answered from there.
    manner: Manner,
    /// What it occupies of its server's memory.
    charge: Charge,
}

/// Of all of these.
static MEMORY: Memory = Memory::new();

#[pinned_drop]
impl PinnedDrop for RemoteRecord {
    fn drop(self: Pin<&mut Self>) {
        let inner = self.inner.lock();
        inner.path.records.fetch_sub(1, Ordering::Relaxed);
        foreign::RECORDS.sub(&self.host);
    }
}

impl Recorded for RemoteRecord {
    fn memory() -> Option<&'static Memory> {
        Some(&MEMORY)
    }

    fn expired(record: Ref<Self>) {
        record.host.count(Counter::Timeouts);
        RemoteRecord::event_with_room(&record, true, |remote, room, cx| {
            let transaction = remote.transaction().bits();
            trace::timeout(false, record.key(), record.server.bits(), transaction);
            remote.timeout(room, cx)
        });
    }
}

impl RemoteRecord {
    /// The remote Client.
    #[inline]
    pub fn client(self: &Record<Self>) -> Entity {
        Entity::from_bits(self.key())
    }

    /// One event of `proto` under the lock, and what follows from it. `skb` is the packet that led here, `again` whether
    /// what is sent counts as a retransmission.
    fn event(
        record: &Ref<Self>,
        skb: Option<Skb>,
        again: bool,
        event: impl FnOnce(&mut Inner, &Context) -> Step,
    ) {
        let left = Self::step(record, None, skb, again, event);
        Self::go_on(record, left);
    }

    /// One that may complete a Request: it says whether the server has room for another. One that is gone refuses it itself.
    fn event_with_room(
        record: &Ref<Self>,
        again: bool,
        event: impl FnOnce(&mut Remote, bool, &Context) -> Step,
    ) {
        let endpoint = record.host.server(record.server);
        let full = endpoint.as_ref().is_some_and(|server| server.is_full());
        Self::event(record, None, again, |inner, cx| {
            let memory = !full || (inner.remote.is_receiving() && inner.charge.is_privileged());
            let room = endpoint
                .as_ref()
                .is_none_or(|server| server.has_room(memory));
            event(&mut inner.remote, room, cx)
        });
    }

    /// The same, with the server where that is known, but for what it leaves.
    fn step(
        record: &Ref<Self>,
        endpoint: Option<&Endpoint>,
        skb: Option<Skb>,
        again: bool,
        event: impl FnOnce(&mut Inner, &Context) -> Step,
    ) -> Left {
        let now = Host::now();
        let mut inner = record.inner.lock();
        let cx = record.host.context(now, inner.path.timing(), inner.retries);
        if inner.gone || inner.frozen {
            return Left::Nothing;
        }
        let mut step = event(&mut inner, &cx);
        let aftermath = inner.apply(record, &mut step, skb, &cx);
        record.arm(inner.remote.deadline().nanos());
        drop(inner);
        aftermath.finish(record, endpoint, &step, again)
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
        let full = endpoint.is_full();
        let mut guard = record.inner.lock();
        if guard.remote.comes_from_elsewhere(header, source) {
            drop(guard);
            if !host.vouches(header.client, &source.peer, now) {
                host.discard(skb, Counter::DropUnwanted);
                return None;
            }
            guard = record.inner.lock();
        }
        let inner = &mut *guard;
        if inner.gone {
            return Some(skb);
        }
        if inner.frozen {
            drop(guard);
            host.discard(skb, Counter::DropMoving);
            return None;
        }
        if inner.rare.is_some() {
            let cx = inner.context(record);
            if let Some(sending) = inner.repeated_retained(header, &cx) {
                drop(guard);
                host.discard(skb, Counter::DropDuplicate);
                if let Some(sending) = sending {
                    record.send_beside(core::slice::from_ref(&sending));
                }
                return None;
            }
        }
        if !source.multicast {
            inner.manner.source = skb.ip().destination;
        }
        inner.charge.move_to(&endpoint.memory);
        let strange = inner.remote.is_probing() && !header.delivery.is_empty();
        if strange && !inner.charge.stranger_may_add(Charge::strangers_fill(host)) {
            drop(guard);
            host.discard(skb, Counter::DropNoRoom);
            return None;
        }
        let memory = !full || (inner.remote.is_receiving() && inner.charge.is_privileged());
        inner.retries = endpoint.options.response_retries();
        let service = endpoint.service(header, memory, now);
        let plain = host.last_received().is_none();
        let single_request = plain
            .then(|| inner.request_single(header, source, &service, now))
            .flatten();
        if let Some((arrival, received)) = single_request {
            let segment = inner.segment.take();
            inner.follow(host, now);
            inner.path.heard(&skb);
            if header.control.gap() != 0 {
                inner.path.asked_for_gap(header.control.gap());
            }
            inner.path.learn(None, None, None, Some(received));
            inner.show(record);
            record.arm(inner.remote.deadline().nanos());
            drop(guard);
            drop(segment);
            host.learn(header.client, &source.peer);
            let refused = endpoint.deliver(Delivered {
                record: record.clone(),
                kind: Kind::Request,
                arrival,
                packets: single(skb, header),
                offset: 0,
            });
            if let Some(refused) = refused {
                Self::drop_request(refused);
            }
            return None;
        }
        let cx = host.context(now, inner.path.timing(), inner.retries);
        let mut step = inner.remote.request(header, source, &service, &cx);
        if step.keep == Keep::Drop(crate::proto::server::Drop::NoRoom) {
            if let Some(sk) = endpoint.sk() {
                sk.count_drop();
            }
        }
        // Only a packet that the record took says where its Client is.
        inner.follow(host, now);
        let taken = inner.remote.peer() == source.peer && !matches!(step.keep, Keep::Drop(_));
        if taken {
            inner.path.heard(&skb);
        }
        if taken && header.control.gap() != 0 {
            inner.path.asked_for_gap(header.control.gap());
        }
        let mut aftermath = inner.apply(record, &mut step, Some(skb), &cx);
        record.arm(inner.remote.deadline().nanos());
        drop(guard);
        if step.notify_sender {
            if let (Some((notify, remote)), Ok(path)) =
                (aftermath.notify.take(), host.path(&source.peer, now))
            {
                host.notify_client_from(aftermath.manner.source, &path, &notify, remote);
            }
        }
        if taken && header.control.forward_count() == 0 {
            host.learn(header.client, &source.peer);
        }
        let left = aftermath.finish(record, Some(endpoint), &step, true);
        Self::go_on(record, left);
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
        if inner.frozen {
            return;
        }
        let cx = inner.context(record);
        let (bursts, unproven) = inner.notified_retained(notify, &cx);
        drop(inner);
        record.send_beside(&bursts);
        Self::event(record, None, true, |inner, cx| {
            if inner.remote.is_notified_by(notify) {
                return inner.remote.notified(notify, cx);
            }
            let mut step = Step::NOTHING;
            step.keep = Keep::Keep;
            if unproven {
                inner.remote.doubt(&mut step);
            }
            step
        });
    }

    /// NotifyRemoteVmtpClient, from the server to which the Request was forwarded, arrived.
    pub fn forward_notified(record: &Ref<Self>, notify: &NotifyVmtpClient) {
        Self::event(record, None, true, |inner, cx| {
            inner.remote.forward_notified(notify, cx)
        });
    }

    /// The Client that has moved, or the server to which the Request is forwarded, was found, or cannot be found.
    pub fn located(record: &Ref<Self>, peer: Option<Peer>) {
        Self::event(record, None, true, |inner, cx| {
            let step = inner.remote.located(peer, cx);
            inner.follow(&record.host, cx.now);
            step
        });
    }

    /// The Client's manager answered a Probe, or nobody did.
    pub fn probed(record: &Ref<Self>, client: Presence) {
        Self::event_with_room(record, false, |remote, room, cx| {
            remote.probed(client, room, cx)
        });
    }

    /// Runs an operation of the server's user. ENOTCONN if there is no such Request (any more).
    pub fn operate<E>(
        record: &Ref<Self>,
        endpoint: Option<&Endpoint>,
        manner: &Manner,
        segment: Option<Pages>,
        operation: impl FnOnce(&mut Remote, &Context) -> core::result::Result<Step, E>,
    ) -> core::result::Result<(), E> {
        let mut result = Ok(());
        let left = Self::step(record, endpoint, None, false, |inner, cx| {
            match operation(&mut inner.remote, cx) {
                Ok(step) => {
                    inner.set_manner(manner);
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
        Self::go_on(record, left);
        result
    }

    /// Whether the Request of `arrival` still waits for its Response, or is a datagram, for which nobody waits.
    pub fn is_current(&self, arrival: &Arrival) -> bool {
        let inner = self.inner.lock();
        if arrival.datagram {
            return inner.remote.keeps_datagram(arrival.transaction);
        }
        inner.remote.transaction() == arrival.transaction
            && inner.remote.state() == State::Processing
    }

    /// The flags of the Response to the Request with this Transaction that its place in the receive sequence asks for.
    pub(super) fn sequence_flags(&self, transaction: Transaction) -> u32 {
        let inner = self.inner.lock();
        let rare = inner.rare.as_ref();
        rare.map_or(0, |rare| rare.sequence.flags(transaction))
    }

    /// The server's user takes the Request of `arrival`. Whether it still waits for its Response, as
    /// [`RemoteRecord::is_current`] says.
    pub fn take_in_hand(&self, arrival: &Arrival) -> bool {
        let mut inner = self.inner.lock();
        let current = inner.remote.transaction() == arrival.transaction
            && inner.remote.state() == State::Processing;
        if current {
            inner.charge.set_in_hand(true);
        }
        current || (arrival.datagram && inner.remote.keeps_datagram(arrival.transaction))
    }

    /// The user could not take it. Meanwhile its Client may have gone on to another.
    pub fn put_back(&self, arrival: &Arrival) {
        let mut inner = self.inner.lock();
        if inner.remote.transaction() == arrival.transaction {
            inner.charge.set_in_hand(false);
        }
    }

    /// What the record says, for /proc.
    pub fn look(&self) -> (Remote, u32) {
        let inner = self.inner.lock();
        (inner.remote, inner.waiting() as u32)
    }

    /// A Request cannot or will not be handled: its Client is told at once.
    pub fn drop_request(delivered: Delivered) {
        if delivered.kind == Kind::Request {
            let record = delivered.record.clone();
            Self::go_on(&record, Left::Refused(delivered));
        }
    }

    /// What a step has left, one after another: Requests that are not taken, and those of their run behind them.
    fn go_on(record: &Ref<Self>, mut left: Left) {
        loop {
            left = match left {
                Left::Nothing => return,
                Left::Refused(delivered) => {
                    let transaction = delivered.arrival.transaction;
                    Self::step(record, None, None, false, |inner, cx| {
                        inner.set_manner(&Manner::HOST);
                        inner
                            .remote
                            .abandon(transaction, cx)
                            .unwrap_or(Step::NOTHING)
                    })
                }
                Left::Next => Self::step(record, None, None, false, |inner, _| inner.remote.next()),
            };
        }
    }
}
