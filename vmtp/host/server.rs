// SPDX-License-Identifier: GPL-2.0

//! A local entity as a server: Requests are queued until its user receives them, and answered by Client and Transaction.

use super::client::Start;
use super::counters::Counter;
use super::endpoint::Endpoint;
use super::remote::{Delivered, Kind, RemoteRecord};
use super::ring::Ring;
use super::transmit::Manner;
use super::PACKET;
use crate::kernel::errno::Errno;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::proto::server::{Forward, ForwardError, Respond, RespondError};
use crate::proto::wire::{Entity, Transaction};
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// Requests that wait for a user.
pub struct Queue {
    waiting: Ring<Delivered>,
    /// What a user may take however many Requests there are in hand: the rest of those of which the first pieces were
    /// taken, and group Responses.
    ready: Ring<Delivered>,
}

/// Which Request is wanted.
pub enum Which {
    /// The rest of one that was begun, else the next.
    Any,
    /// The next.
    Next,
    /// The rest of this one.
    Rest(Entity, Transaction, Kind),
}

impl Queue {
    /// None waits.
    pub const fn new() -> Self {
        Self {
            waiting: Ring::new(),
            ready: Ring::new(),
        }
    }

    /// `begin` says whether one of which nothing was taken may be.
    fn take(&mut self, which: &Which, begin: bool) -> Option<Delivered> {
        let waiting = if begin { Some(&mut self.waiting) } else { None };
        let next = || waiting?.pop_front();
        match *which {
            Which::Any => self.ready.pop_front().or_else(next),
            Which::Next => self.ready.take(|ready| ready.offset == 0).or_else(next),
            Which::Rest(client, transaction, kind) => self.ready.take(|begun| {
                begun.offset != 0 && begun.kind == kind && begun.is_of(client, transaction)
            }),
        }
    }

    fn look(&self, which: &Which, begin: bool) -> Option<&Delivered> {
        let next = || self.waiting.front().filter(|_| begin);
        match *which {
            Which::Any => self.ready.front().or_else(next),
            Which::Next => self.ready.first(|ready| ready.offset == 0).or_else(next),
            // Pieces are taken one after another.
            Which::Rest(..) => None,
        }
    }
}

impl Endpoint {
    /// A Request, or a group Response, is complete. It comes back if the server does not take it. Any context.
    #[must_use]
    pub(super) fn deliver(&self, mut delivered: Delivered) -> Option<Delivered> {
        let host = &*self.host;
        let counter = match delivered.kind {
            Kind::Request => Counter::RequestsDelivered,
            Kind::GroupResponse => Counter::GroupResponsesDelivered,
        };
        let mut requests = self.requests.lock();
        // After `closed` is set the queue is emptied once more, under this lock.
        let mut refused = if self.is_closed() {
            Some(delivered)
        } else {
            if let Some(sk) = self.sk() {
                delivered.packets.for_each_mut(|skb| {
                    // It was accepted: whether there is room was asked before.
                    let _ = skb.charge_receive(sk);
                });
            }
            match delivered.kind {
                Kind::Request => {
                    // 3.2: the most urgent first, but the Requests of one Client in their order.
                    let rank = delivered.arrival.control.priority().rank();
                    let client = delivered.record.client();
                    let later = |other: &Delivered| {
                        other.arrival.control.priority().rank() > rank
                            && other.record.client() != client
                    };
                    requests.waiting.push_before(delivered, PACKET, later).err()
                }
                Kind::GroupResponse => requests.ready.push_back(delivered, PACKET).err(),
            }
        };
        self.count_queued(&requests);
        drop(requests);
        match &mut refused {
            None => {
                host.count(counter);
                if self.is_manager() {
                    host.begin_work();
                }
                self.wake_receiver();
            }
            Some(delivered) => delivered.discard(Counter::DropNoMemory),
        }
        refused
    }

    /// The next Request whose Client still waits, if there is one. Any context.
    pub fn take_request(&self, which: &Which) -> Option<Delivered> {
        if self.is_frozen() {
            return None;
        }
        while self.queued.load(Ordering::Acquire) != 0 {
            let mut queue = self.requests.lock();
            // Whoever takes one is counted before the next looks.
            let delivered = queue.take(which, self.may_begin())?;
            let current = delivered.take_in_hand();
            self.count_queued(&queue);
            drop(queue);
            if current {
                return Some(delivered);
            }
            // Its Client has aborted it meanwhile.
        }
        None
    }

    /// How many Requests wait of which nobody has taken anything.
    pub(super) fn waiting_requests(&self) -> usize {
        let queue = self.requests.lock();
        queue.waiting.count_if(|delivered| {
            !delivered.arrival.datagram && delivered.record.is_current(&delivered.arrival)
        })
    }

    /// The next Request, to be given up, whatever keeps its user from having it. Any context.
    pub(super) fn drain_request(&self) -> Option<Delivered> {
        while self.queued.load(Ordering::Acquire) != 0 {
            let mut queue = self.requests.lock();
            let taken = queue.take(&Which::Any, true);
            self.count_queued(&queue);
            drop(queue);
            let delivered = taken?;
            if delivered.kind == Kind::Request && delivered.record.is_current(&delivered.arrival) {
                return Some(delivered);
            }
        }
        None
    }

    /// The same, which stays where it is: a copy of it with the same packets. Any context.
    pub fn peek_request(&self, which: &Which) -> Option<Delivered> {
        if self.is_frozen() {
            return None;
        }
        loop {
            let mut queue = self.requests.lock();
            let begin = self.may_begin();
            let delivered = queue.look(which, begin)?;
            if delivered.is_current() {
                let copy = Delivered {
                    record: delivered.record.clone(),
                    kind: delivered.kind,
                    arrival: delivered.arrival,
                    packets: delivered.packets.try_clone(PACKET).ok()?,
                    offset: delivered.offset,
                };
                return Some(copy);
            }
            let void = queue.take(which, begin);
            self.count_queued(&queue);
            drop(queue);
            drop(void);
        }
    }

    fn count_queued(&self, queue: &Queue) {
        let queued = queue.waiting.len().wrapping_add(queue.ready.len());
        self.queued.store(queued as u32, Ordering::Release);
    }

    /// Puts a Request back of which its user could not take anything, or not all.
    pub fn put_request_back(&self, delivered: Delivered) {
        let mut queue = self.requests.lock();
        let refused = if delivered.offset == 0 && delivered.kind == Kind::Request {
            delivered.record.put_back(&delivered.arrival);
            queue.waiting.push_front(delivered, PACKET)
        } else {
            queue.ready.push_front(delivered, PACKET)
        }
        .err();
        self.count_queued(&queue);
        drop(queue);
        match refused {
            // Another caller may have seen an empty queue meanwhile.
            None => self.wake_receiver(),
            Some(delivered) => RemoteRecord::drop_request(delivered),
        }
    }

    /// A Request was answered: what of it was not read goes.
    fn forget_begun(&self, client: Entity, transaction: Transaction) {
        if self.queued.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut queue = self.requests.lock();
        let rest = queue
            .ready
            .take(|begun| begun.kind == Kind::Request && begun.is_of(client, transaction));
        self.count_queued(&queue);
        drop(queue);
        drop(rest);
    }

    /// Whether a Request waits, of which a user can take something now.
    pub fn has_request(&self) -> bool {
        self.queued.load(Ordering::Acquire) != 0
            && !self.is_frozen()
            && (self.may_begin() || self.requests.lock().ready.len() != 0)
    }

    /// A caller begins (or ends) to wait for Requests: conditional messages are for it.
    pub fn caller_waits(&self, waits: bool) {
        if waits {
            self.callers.fetch_add(1, Ordering::Relaxed);
        } else {
            self.callers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The record of a Client whose Request is to be answered. ENOTCONN.
    fn request_of(&self, client: Entity) -> Result<Ref<RemoteRecord>> {
        RemoteRecord::find(&self.host, client, self.entity).ok_or_else(|| Errno::ENOTCONN.into())
    }

    /// Answers a Request. ENOTCONN; EMSGSIZE.
    pub fn reply(
        &self,
        client: Entity,
        transaction: Transaction,
        respond: &Respond,
        segment: Option<Pages>,
        manner: &Manner,
    ) -> Result {
        let record = self.request_of(client)?;
        let mut respond = *respond;
        if self.host.last_received().is_some() {
            respond.flags |= record.sequence_flags(transaction);
        } else {
            let single = segment.as_ref();
            if RemoteRecord::respond_single(&record, self, transaction, &respond, single, manner) {
                self.forget_begun(client, transaction);
                return Ok(());
            }
        }
        let answered = RemoteRecord::operate(&record, Some(self), manner, segment, |remote, cx| {
            remote.respond(transaction, &respond, cx)
        });
        if answered.is_ok() {
            self.forget_begun(client, transaction);
        }
        answered.map_err(|error| match error {
            RespondError::NoRequest => Errno::ENOTCONN.into(),
            RespondError::TooLarge => Errno::EMSGSIZE.into(),
        })
    }

    /// Gives a Request up: its Client is told NONEXISTENT_ENTITY. ENOTCONN.
    pub fn abandon(&self, client: Entity, transaction: Transaction) -> Result {
        let record = self.request_of(client)?;
        RemoteRecord::operate(&record, Some(self), &Manner::HOST, None, |remote, cx| {
            remote.abandon(transaction, cx)
        })
        .map_err(|_| Errno::ENOTCONN.into())
    }

    /// Passes a Request on to another server, under its own name or, as the Client of `start`, by a nested call. ENOTCONN,
    /// EMSGSIZE. Sleeps.
    pub fn forward(
        self: &Ref<Self>,
        client: Entity,
        transaction: Transaction,
        forward: &Forward,
        mut start: Start,
    ) -> Result {
        let record = self.request_of(client)?;
        let segment = start.segment.clone();
        let manner = start.manner;
        let forwarded =
            RemoteRecord::operate(&record, Some(self), &manner, segment, |remote, cx| {
                remote.forward(transaction, forward, cx)
            });
        match forwarded {
            Ok(()) => {}
            Err(ForwardError::NoRequest) => return Err(Errno::ENOTCONN.into()),
            Err(ForwardError::Nested) => {
                let (state, _) = record.look();
                start.request.large_response = state.takes_long_response();
                self.nest(record, transaction, &start)?;
            }
        }
        self.forget_begun(client, transaction);
        Ok(())
    }

    /// Gives up all Requests that wait or are handled: every Client that waits is told. Sleeps.
    pub(super) fn end_requests(record: &Ref<Self>) {
        // Whoever delivers has seen under this lock that it is closed, or is done.
        drop(record.requests.lock());
        while let Some(delivered) = record.drain_request() {
            RemoteRecord::drop_request(delivered);
        }
        if !record.served.load(Ordering::Acquire) {
            return;
        }
        // Requests that were received and not answered are known by their records only.
        if let Ok(walk) = record.host.remotes.walk() {
            for remote in walk {
                if remote.server == record.entity {
                    let (state, _) = remote.look();
                    let transaction = state.transaction();
                    let _ =
                        RemoteRecord::operate(&remote, None, &Manner::HOST, None, |remote, cx| {
                            remote.abandon(transaction, cx)
                        });
                }
            }
        }
    }
}
