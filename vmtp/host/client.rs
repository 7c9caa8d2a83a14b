// SPDX-License-Identifier: GPL-2.0

//! A local entity as a Client: its open transactions, what was received for them, and their timers.

use super::counters::Counter;
use super::endpoint::Endpoint;
use super::path::PathRecord;
use super::probe::Purpose;
use super::remote::keep;
use super::settings::Setting;
use super::transmit::Manner;
use super::{Host, ATOMIC};
use crate::kernel::array::Array;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::kernel::skb::Skb;
use crate::kernel::skb_queue::SkbQueue;
use crate::kernel::trace;
use crate::proto::burst::Burst;
use crate::proto::client::{
    stray, Call, Client, Delivery, Event, Reply, ReplyState, Request, StartError, State, Step,
    Stray, RUN_LIMIT,
};
use crate::proto::context::Context;
use crate::proto::manager::is_error;
use crate::proto::peer::Peer;
use crate::proto::time::{Span, Time};
use crate::proto::wire::{
    Entity, Header, NotifyVmtpClient, NotifyVmtpServer, ResponseCode, Transaction,
};
use crate::socket::options::Options;
use core::sync::atomic::Ordering;
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Responses of a group that are kept for one transaction at most, whatever the socket asks.
const REPLIES_MAX: usize = 4_096;

/// What an endpoint's client side keeps under its lock.
pub struct ClientSide {
    client: Client,
    /// Open transactions, and ended ones until the user has taken what came of them; oldest first.
    slots: Array<KBox<Slot>>,
    /// A slot to use again.
    spare: Option<KBox<Slot>>,
}

/// One transaction.
struct Slot {
    call: Call,
    segment: Option<Arc<Pages>>,
    replies: Array<ReplySlot>,
    path: Ref<PathRecord>,
    manner: Manner,
    cookie: u64,
    /// It ended without a Response, or with another's.
    outcome: Option<ResponseCode>,
    outcome_taken: bool,
    /// Callers that wait for this very transaction: what comes of it is for them alone.
    claims: u32,
    /// The state that was traced last.
    shown: State,
}

impl Slot {
    /// Whether the user has taken all that has come of it so far.
    fn is_taken(&self) -> bool {
        match self.outcome {
            Some(_) => self.outcome_taken,
            None => self.replies.iter().all(|reply| reply.taken),
        }
    }
}

/// One Response.
struct ReplySlot {
    reply: Reply,
    packets: SkbQueue,
    delivery: Option<Delivery>,
    taken: bool,
    /// Octets of the segment that the user has already.
    offset: u32,
}

impl ReplySlot {
    const EMPTY: ReplySlot = ReplySlot {
        reply: Reply::EMPTY,
        packets: SkbQueue::new(),
        delivery: None,
        taken: false,
        offset: 0,
    };
}

/// What a user wants to start.
pub struct Start {
    /// What it is.
    pub request: Request,
    /// Its segment.
    pub segment: Option<Arc<Pages>>,
    /// How its packets are sent.
    pub manner: Manner,
    /// The way to the Server, or to everybody while that is not known.
    pub path: Ref<PathRecord>,
    /// Comes back with the Responses.
    pub cookie: u64,
    /// The caller waits for what comes of it: [`Endpoint::release_claim`] ends that.
    pub claimed: bool,
    /// SO_SNDBUF.
    pub buffer: usize,
}

/// What came of a transaction.
pub struct Outcome {
    /// The transaction.
    pub transaction: Transaction,
    /// What was given with it.
    pub cookie: u64,
    /// Who answered; the Server that was asked if nobody did.
    pub server: Entity,
    /// Where that is.
    pub peer: Peer,
    /// The code if there is no Response.
    pub failure: Option<ResponseCode>,
    /// How the Response is delivered.
    pub delivery: Option<Delivery>,
    /// In the order of the segment.
    pub packets: SkbQueue,
    /// Octets of the segment that its user has already.
    pub offset: u32,
}

/// Whose outcome is wanted.
pub enum Whose {
    /// The oldest of any transaction that nobody waits for in particular.
    Any,
    /// That of this transaction.
    Of(Transaction),
    /// The rest of the Response of this Server to this transaction.
    Rest(Transaction, Entity),
}

/// What is to be done when the side's lock has been dropped.
#[derive(Default)]
struct Aftermath {
    burst: Option<(Burst, Option<Arc<Pages>>, Manner)>,
    path: Option<Ref<PathRecord>>,
    notify: Option<(NotifyVmtpServer, Peer)>,
    step: Option<Step>,
    locate: Option<(Entity, Transaction)>,
    forget: Option<Entity>,
    wake: bool,
}

impl ClientSide {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            slots: Array::new(),
            spare: None,
        }
    }

    /// The earliest deadline of all transactions.
    fn deadline(&self) -> Time {
        let mut deadline = Time::NEVER;
        for slot in self.slots.iter() {
            deadline = deadline.earlier(slot.call.deadline());
            for reply in slot.replies.iter() {
                deadline = deadline.earlier(reply.reply.deadline());
            }
        }
        deadline
    }

    /// Makes a step's consequences known. `index` is the slot's.
    fn apply(
        &mut self,
        index: usize,
        reply: Option<usize>,
        step: Step,
        skb: Option<Skb>,
        host: &Host,
    ) -> Aftermath {
        if let Some(slot) = self.slots.get_mut(index) {
            let state = slot.call.state();
            if state != slot.shown {
                slot.shown = state;
                let name = match state {
                    State::Held => "Held",
                    State::Locating => "Locating",
                    State::AwaitingResponse => "AwaitingResponse",
                    State::ReceivingResponse => "ReceivingResponse",
                    State::Processing { .. } => "Processing",
                };
                let (server, transaction) = (slot.call.server(), slot.call.transaction());
                let client = self.client.entity().bits();
                trace::state(true, client, server.bits(), transaction.bits(), name);
            }
        }
        let mut aftermath = Aftermath {
            step: Some(step),
            ..Aftermath::default()
        };
        let Some(slot) = self.slots.get_mut(index) else {
            return aftermath;
        };
        aftermath.path = Some(slot.path.clone());
        if let Some(burst) = step.burst {
            aftermath.burst = Some((burst, slot.segment.clone(), slot.manner));
        }
        if let Some(reply) = reply.and_then(|index| slot.replies.get_mut(index)) {
            keep(host, &mut reply.packets, step.keep, step.group_offset, skb);
            aftermath.notify = step.notify.map(|notify| (notify, reply.reply.peer()));
            if let Event::Response(delivery) = step.event {
                reply.delivery = Some(delivery);
            }
        }
        match step.event {
            Event::None => {}
            Event::Response(delivery) => {
                host.count(Counter::TransactionsAnswered);
                slot.segment = None;
                aftermath.wake = true;
                self.cover(index, delivery.covers_from);
            }
            Event::Finished(code) => {
                host.count(Counter::TransactionsFailed);
                slot.segment = None;
                slot.outcome = Some(code);
                if code == ResponseCode::NonexistentEntity || code == ResponseCode::RetransTimeout {
                    aftermath.forget = Some(slot.call.server());
                }
                aftermath.wake = true;
                self.fail_run(code);
            }
            Event::Locate => aftermath.locate = Some((slot.call.server(), slot.call.transaction())),
            Event::DoesNotStream => slot.path.does_not_stream(),
            Event::ResendAfter(_) | Event::RestartRun => {}
        }
        if step.event != Event::None {
            self.settle();
        }
        aftermath
    }

    /// A Response with PGcount answers earlier calls of the run too.
    fn cover(&mut self, index: usize, from: Transaction) {
        for slot in self.slots.iter_mut().take(index) {
            let open = !matches!(slot.call.state(), State::Processing { .. });
            if open && slot.call.transaction().since(from) >= 0 {
                self.client.covered(&mut slot.call);
                slot.segment = None;
                slot.outcome = Some(ResponseCode::Ok);
            }
        }
    }

    /// With the silence of the Server the whole run is over (4.9); any other failure is one call's own.
    fn fail_run(&mut self, code: ResponseCode) {
        if code != ResponseCode::RetransTimeout {
            return;
        }
        for slot in self.slots.iter_mut() {
            if let Event::Finished(code) = self.client.failed(&mut slot.call, code).event {
                slot.segment = None;
                slot.outcome = Some(code);
            }
        }
    }

    /// Whether the user must take what has come of earlier transactions of the run before another starts.
    fn is_crowded(&self, options: &Options) -> bool {
        let most = usize::from(RUN_LIMIT).saturating_add(options.response_queue());
        // Most of the time a look at the length is enough.
        self.slots.len() >= most
            && self
                .slots
                .iter()
                .filter(|slot| !slot.is_taken())
                .fold(0usize, |sum, _| sum.saturating_add(1))
                >= most
    }

    /// Octets of the segments that may have to be sent again.
    fn sending(&self) -> usize {
        self.slots
            .iter()
            .filter_map(|slot| slot.segment.as_ref())
            .fold(0, |sum, segment| sum.saturating_add(segment.len()))
    }

    /// Tells the Client which of its calls is the oldest open one.
    fn settle(&mut self) {
        let open = |slot: &&KBox<Slot>| !matches!(slot.call.state(), State::Processing { .. });
        if let Some(oldest) = self.slots.iter().find(open) {
            self.client.oldest_is(oldest.call.first_transaction());
        }
    }

    /// Forgets ended transactions: all of them for a transaction that stands alone (4.6.1), of a run those whose outcome
    /// was taken.
    fn purge(&mut self, all: bool) {
        let mut index = 0;
        while let Some(slot) = self.slots.get(index) {
            let ended = matches!(slot.call.state(), State::Processing { .. });
            let taken = slot.is_taken();
            if ended && (all || taken) && (taken || slot.claims == 0) {
                if let Some(mut slot) = self.slots.remove(index) {
                    slot.replies.clear();
                    slot.segment = None;
                    self.spare = Some(slot);
                }
            } else {
                index = index.wrapping_add(1);
            }
        }
    }
}

/// A slot made before the lock is taken.
pub struct Preallocated(KBox<Slot>);

impl Preallocated {
    /// Sleeps. ENOMEM.
    pub fn new(start: &Start) -> Result<Self> {
        let slot = Slot {
            call: Call::NONE,
            segment: None,
            replies: Array::with_capacity(1, GFP_KERNEL_ACCOUNT)?,
            path: start.path.clone(),
            manner: start.manner,
            cookie: 0,
            outcome: None,
            outcome_taken: true,
            claims: 0,
            shown: State::Processing { collecting: false },
        };
        Ok(Self(KBox::new(slot, GFP_KERNEL_ACCOUNT)?))
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
                side.go_on(step.event, host, now, record.options.retries(), &mut more);
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
            let _ = host.transmit(path, *burst, segment.as_deref(), manner, true, None);
        }
    }

    /// Starts a transaction. Whoever waits for it asks [`Endpoint::take_outcome`]. Process context.
    pub fn start(
        record: &Ref<Self>,
        start: &Start,
        slot: &mut Option<Preallocated>,
    ) -> core::result::Result<Transaction, Refused> {
        let mut result = Err(Refused::Memory);
        Self::client_event(record, false, |side, host, now| {
            let cx = host.context(now, start.path.timing(), record.options.retries());
            let (started, aftermath) = side.start(start, slot, host, &record.options, &cx);
            result = started;
            aftermath
        });
        if result.is_ok() {
            record.host.count(Counter::TransactionsStarted);
        }
        result
    }

    /// A Response packet for this entity arrived. All checks are done. Whether it answers something. Softirq.
    pub(super) fn response(
        record: &Ref<Self>,
        header: &Header,
        skb: Skb,
        peer: Peer,
        multicast: bool,
    ) -> bool {
        let waiting = record.waiters.load(Ordering::Relaxed) != 0;
        let replies_max = record.options.response_queue().min(REPLIES_MAX);
        let retries = record.options.retries();
        let mut unknown = false;
        Self::client_event(record, true, |side, host, now| {
            let Some(index) = side
                .slots
                .iter()
                .position(|slot| slot.call.expects(header.transaction))
            else {
                unknown = true;
                return Aftermath::default();
            };
            side.response(
                index,
                header,
                skb,
                peer,
                waiting,
                replies_max,
                retries,
                host,
                now,
            )
        });
        if unknown {
            let host = &*record.host;
            host.count(Counter::DropOld);
            let streaming = host.settings.is_set(Setting::Streaming);
            if let Some(notify) = stray(header, Stray::Known, multicast, streaming) {
                host.notify_server(&peer, &notify);
            }
        }
        !unknown
    }

    /// NotifyVmtpClient for this entity arrived. Softirq.
    ///
    /// Whoever probes the entity knows its Transaction. An error from another host than that which was asked is thus
    /// only a reason to look where the Server is.
    pub(super) fn notified(record: &Ref<Self>, notify: &NotifyVmtpClient, from: &Peer) {
        let retries = record.options.retries();
        Self::client_event(record, true, |side, host, now| {
            // Of a run two calls may be meant (the group before the one, the last of the other): the one that waits.
            let about = |slot: &KBox<Slot>| slot.call.is_notified_by(notify);
            let waiting = |slot: &KBox<Slot>| slot.call.state() == State::AwaitingResponse;
            let mut slots = side.slots.iter();
            let waits = slots.position(|slot| about(slot) && waiting(slot));
            let Some(index) = waits.or_else(|| side.slots.iter().position(about)) else {
                host.count(Counter::DropUnwanted);
                return Aftermath::default();
            };
            side.on_call(index, host, now, retries, |call, client, cx| {
                if is_error(notify.code) && !call.is_multicast() && !call.peer().is_same_host(from)
                {
                    return call.unreachable();
                }
                call.notify(client, notify, cx)
            })
        });
    }

    /// ICMP says that a host (or VMTP there) cannot be reached. Softirq.
    pub(super) fn unreachable(record: &Ref<Self>, peer: &Peer) {
        let retries = record.options.retries();
        Self::client_event(record, true, |side, host, now| {
            let Some(index) = side
                .slots
                .iter()
                .position(|slot| slot.call.peer().is_same_host(peer))
            else {
                return Aftermath::default();
            };
            side.on_call(index, host, now, retries, |call, _, _| call.unreachable())
        });
    }

    /// What a Probe for the transaction found. Any context.
    pub(super) fn located(record: &Ref<Self>, transaction: Transaction, peer: Option<Peer>) {
        let retries = record.options.retries();
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
            side.on_call(index, host, now, retries, |call, client, cx| match peer {
                Some(peer) => call.located(client, peer, cx),
                None => call.not_located(client),
            })
        });
    }

    /// The side's deadline has passed. Softirq.
    pub(super) fn client_timeout(record: &Ref<Self>) {
        let retries = record.options.retries();
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
                side.timeout(index, host, now, retries)
            });
            // Deadlines that come while this runs are for the timer, which is armed.
            if done || Host::now().since(now) > Span::from_millis(2) {
                return;
            }
        }
    }

    /// What has come of the open transactions and was not taken. With `peek` it stays, and the outcome has copies of its
    /// packets.
    pub fn take_outcome(&self, which: &Whose, peek: bool) -> Option<Outcome> {
        let mut side = self.client.lock();
        let mut outcome = None;
        for slot in side.slots.iter_mut() {
            let slot = &mut **slot;
            let transaction = slot.call.transaction();
            match *which {
                Whose::Any if slot.claims != 0 => continue,
                Whose::Of(wanted) | Whose::Rest(wanted, _) if wanted != transaction => continue,
                Whose::Any | Whose::Of(_) | Whose::Rest(..) => {}
            }
            let wanted = |reply: &&mut ReplySlot| {
                let mine = match *which {
                    Whose::Rest(_, server) => reply.offset != 0 && reply.reply.server() == server,
                    Whose::Any | Whose::Of(_) => true,
                };
                mine && reply.delivery.is_some() && !reply.taken
            };
            if let Some(reply) = slot.replies.iter_mut().find(wanted) {
                let packets = if peek {
                    reply.packets.try_clone(ATOMIC).ok()?
                } else {
                    reply.taken = true;
                    core::mem::take(&mut reply.packets)
                };
                outcome = Some(Outcome {
                    transaction,
                    cookie: slot.cookie,
                    server: reply.reply.server(),
                    peer: reply.reply.peer(),
                    failure: None,
                    delivery: reply.delivery,
                    packets,
                    offset: reply.offset,
                });
                break;
            }
            let failed = !matches!(which, Whose::Rest(..)) && !slot.outcome_taken;
            if let Some(code) = slot.outcome.filter(|_| failed) {
                slot.outcome_taken = !peek;
                outcome = Some(Outcome {
                    transaction,
                    cookie: slot.cookie,
                    server: slot.call.server(),
                    peer: slot.call.peer(),
                    failure: Some(code),
                    delivery: None,
                    packets: SkbQueue::new(),
                    offset: 0,
                });
                break;
            }
        }
        let streams = self.options.is_streaming();
        drop(side);
        if outcome.is_some() && streams && !peek {
            // Too many outcomes that are not taken keep the next of the run from starting.
            self.wake_sender();
        }
        outcome
    }

    /// Puts an outcome back that its user could not take, or not all of it.
    pub fn put_outcome_back(&self, outcome: Outcome) {
        let mut side = self.client.lock();
        let slot = side
            .slots
            .iter_mut()
            .find(|slot| slot.call.transaction() == outcome.transaction);
        if let Some(slot) = slot {
            if outcome.failure.is_some() {
                slot.outcome_taken = false;
            } else {
                let mine =
                    |reply: &&mut ReplySlot| reply.taken && reply.reply.server() == outcome.server;
                if let Some(reply) = slot.replies.iter_mut().find(mine) {
                    reply.taken = false;
                    reply.offset = outcome.offset;
                    reply.packets = outcome.packets;
                }
            }
        }
        drop(side);
        self.wake_receiver();
    }

    /// The caller that started a claimed transaction does not wait for it any more.
    pub fn release_claim(&self, transaction: Transaction) {
        let mut side = self.client.lock();
        let slot = side
            .slots
            .iter_mut()
            .find(|slot| slot.call.transaction() == transaction);
        if let Some(slot) = slot {
            slot.claims = slot.claims.saturating_sub(1);
        }
    }

    /// Whether something may still come of a transaction, or of any: it was neither aborted nor forgotten.
    pub fn knows(&self, which: &Whose) -> bool {
        let side = self.client.lock();
        let knows = match *which {
            Whose::Of(wanted) => side
                .slots
                .iter()
                .any(|slot| slot.call.transaction() == wanted),
            Whose::Any => !side.slots.is_empty(),
            // Either it is there or it never will be.
            Whose::Rest(..) => false,
        };
        knows
    }

    /// Whether [`Endpoint::take_outcome`] would give something.
    pub fn has_outcome(&self) -> bool {
        let side = self.client.lock();
        let has = side
            .slots
            .iter()
            .filter(|slot| slot.claims == 0)
            .any(|slot| {
                slot.replies
                    .iter()
                    .any(|reply| reply.delivery.is_some() && !reply.taken)
                    || (slot.outcome.is_some() && !slot.outcome_taken)
            });
        has
    }

    /// Whether another transaction may start now: a plain one, or a member of the run if the socket streams.
    pub fn may_start(&self) -> bool {
        let side = self.client.lock();
        let streaming = self.options.is_streaming();
        side.client.may_start(streaming) && (!streaming || !side.is_crowded(&self.options))
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

    /// The socket is closed. Its Client's next Transaction would have been this.
    pub(super) fn close_client(&self) -> Transaction {
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

    /// What a Probe of this entity is told.
    pub(super) fn current_transaction(&self) -> Transaction {
        self.client.lock().client.current_transaction()
    }
}

impl ClientSide {
    fn start(
        &mut self,
        start: &Start,
        fresh: &mut Option<Preallocated>,
        host: &Host,
        options: &Options,
        cx: &Context,
    ) -> (core::result::Result<Transaction, Refused>, Aftermath) {
        self.purge(!start.request.streamed);
        if start.request.streamed {
            // One segment always may; more have to share SO_SNDBUF.
            let octets = start.segment.as_ref().map_or(0, |segment| segment.len());
            let before = self.sending();
            let full = before != 0 && before.saturating_add(octets) > start.buffer;
            if full || self.is_crowded(options) {
                return (Err(Refused::Wait), Aftermath::default());
            }
        }
        if self.spare.is_none() {
            self.spare = fresh.take().map(|Preallocated(slot)| slot);
        }
        if self.spare.is_none() || self.slots.reserve_one(ATOMIC).is_err() {
            return (Err(Refused::Memory), Aftermath::default());
        }
        let (call, step) = match self.client.start(&start.request, cx) {
            Ok(started) => started,
            Err(StartError::Open | StartError::RunFull) => {
                return (Err(Refused::Wait), Aftermath::default())
            }
            Err(StartError::TooLarge) => return (Err(Refused::TooLarge), Aftermath::default()),
        };
        let transaction = call.transaction();
        let datagram = matches!(call.state(), State::Processing { .. });
        let Some(mut slot) = self.spare.take() else {
            return (Err(Refused::Memory), Aftermath::default());
        };
        slot.call = call;
        slot.segment = start.segment.clone();
        slot.path = start.path.clone();
        slot.manner = start.manner;
        slot.cookie = start.cookie;
        slot.outcome = datagram.then_some(ResponseCode::Ok);
        slot.outcome_taken = datagram;
        slot.claims = u32::from(start.claimed);
        slot.shown = State::Processing { collecting: false };
        // There is room: it was reserved.
        let _ = self.slots.push(slot, ATOMIC);
        let index = self.slots.len().wrapping_sub(1);
        let aftermath = self.apply(index, None, step, None, host);
        if datagram {
            if let Some(slot) = self.slots.get_mut(index) {
                slot.segment = None;
            }
        }
        (Ok(transaction), aftermath)
    }

    /// An event of one call.
    fn on_call(
        &mut self,
        index: usize,
        host: &Host,
        now: Time,
        retries: u8,
        event: impl FnOnce(&mut Call, &mut Client, &Context) -> Step,
    ) -> Aftermath {
        let Some(slot) = self.slots.get_mut(index) else {
            return Aftermath::default();
        };
        let cx = host.context(now, slot.path.timing(), retries);
        let step = event(&mut slot.call, &mut self.client, &cx);
        self.apply(index, None, step, None, host)
    }

    #[allow(clippy::too_many_arguments)]
    fn response(
        &mut self,
        index: usize,
        header: &Header,
        skb: Skb,
        peer: Peer,
        waiting: bool,
        replies_max: usize,
        retries: u8,
        host: &Host,
        now: Time,
    ) -> Aftermath {
        let Some(slot) = self.slots.get_mut(index) else {
            return Aftermath::default();
        };
        let slot = &mut **slot;
        // A single Server has one reply, whoever it was forwarded to; a group has one a member.
        let group = slot.call.is_multicast();
        let mut found = slot.replies.iter().position(|slot| {
            !group
                || slot.reply.state() == ReplyState::Empty
                || slot.reply.server() == header.server
        });
        if found.is_none()
            && slot.replies.len() < replies_max.max(1)
            && slot.replies.push(ReplySlot::EMPTY, ATOMIC).is_ok()
        {
            found = Some(slot.replies.len().wrapping_sub(1));
        }
        let Some(index_of_reply) = found else {
            host.count(Counter::DropNoRoom);
            let busy = NotifyVmtpServer {
                server: header.server,
                client: header.client,
                transaction: header.transaction,
                delivery: crate::proto::wire::Mask::EMPTY,
                code: ResponseCode::Busy.code(),
            };
            return Aftermath {
                notify: Some((busy, peer)),
                ..Aftermath::default()
            };
        };
        let cx = host.context(now, slot.path.timing(), retries);
        let Some(reply) = slot.replies.get_mut(index_of_reply) else {
            return Aftermath::default();
        };
        let step = slot.call.response(
            &mut self.client,
            &mut reply.reply,
            header,
            peer,
            waiting,
            &cx,
        );
        let mut aftermath = self.apply(index, Some(index_of_reply), step, Some(skb), host);
        aftermath.notify = step.notify.map(|notify| (notify, peer));
        aftermath
    }

    fn timeout(&mut self, index: usize, host: &Host, now: Time, retries: u8) -> Aftermath {
        let Some(slot) = self.slots.get_mut(index) else {
            return Aftermath::default();
        };
        let slot = &mut **slot;
        let cx = host.context(now, slot.path.timing(), retries);
        if slot.call.deadline().has_come(now) {
            let step = slot.call.timeout(&mut self.client, &cx);
            return self.apply(index, None, step, None, host);
        }
        let Some(due) = slot
            .replies
            .iter()
            .position(|slot| slot.reply.deadline().has_come(now))
        else {
            return Aftermath::default();
        };
        let Some(reply) = slot.replies.get_mut(due) else {
            return Aftermath::default();
        };
        let step = slot
            .call
            .reply_timeout(&mut self.client, &mut reply.reply, &cx);
        self.apply(index, Some(due), step, None, host)
    }

    /// What an event means for the other calls of the run.
    fn go_on(
        &mut self,
        event: Event,
        host: &Host,
        now: Time,
        retries: u8,
        more: &mut Array<Sending>,
    ) {
        // Which calls go out again, and whether the first of them starts the run anew.
        let (after, restart) = match event {
            Event::ResendAfter(after) => (Some(after), false),
            Event::RestartRun => (Some(self.client.current_transaction().minus(1)), true),
            Event::None
            | Event::Response(_)
            | Event::Finished(_)
            | Event::Locate
            | Event::DoesNotStream => (None, false),
        };
        let mut outstanding = 0u16;
        for slot in self.slots.iter_mut() {
            if matches!(slot.call.state(), State::Processing { .. }) {
                continue;
            }
            let cx = host.context(now, slot.path.timing(), retries);
            let step = match slot.call.state() {
                State::Processing { .. } => continue,
                State::Held => {
                    if !self
                        .client
                        .may_send(&slot.call, outstanding, cx.timing.no_streaming)
                    {
                        break;
                    }
                    slot.call.release(&mut self.client, &cx)
                }
                State::Locating | State::AwaitingResponse | State::ReceivingResponse => {
                    match after {
                        Some(after) if slot.call.transaction().since(after) > 0 => slot
                            .call
                            .resend(&mut self.client, after, restart && outstanding == 0, &cx),
                        _ => Step::NOTHING,
                    }
                }
            };
            outstanding = outstanding.saturating_add(1);
            if let Some(burst) = step.burst {
                let sending = Sending {
                    path: slot.path.clone(),
                    burst,
                    segment: slot.segment.clone(),
                    manner: slot.manner,
                };
                // Without memory the timer sends it later.
                let _ = more.push(sending, ATOMIC);
            }
        }
    }
}

/// A transmission beside that of the step itself.
struct Sending {
    path: Ref<PathRecord>,
    burst: Burst,
    segment: Option<Arc<Pages>>,
    manner: Manner,
}

impl Aftermath {
    fn finish(self, record: &Ref<Endpoint>, again: bool) {
        let host = &*record.host;
        if let (Some(path), Some(step)) = (&self.path, &self.step) {
            path.learn(step.round_trip, step.interpacket, step.sent, step.received);
            if let Some((burst, segment, manner)) = self.burst {
                // What cannot be sent now is sent again by the timer.
                let _ = host.transmit(path, burst, segment.as_deref(), &manner, again, None);
            }
        }
        if let Some((notify, peer)) = self.notify {
            host.notify_server(&peer, &notify);
        }
        if let Some(entity) = self.forget {
            host.unlearn(entity);
        }
        if self.wake {
            record.wake();
        }
        if let Some((entity, transaction)) = self.locate {
            host.locate(entity, Purpose::Call(record.clone(), transaction));
        }
    }
}
