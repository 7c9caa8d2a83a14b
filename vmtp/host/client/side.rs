// SPDX-License-Identifier: GPL-2.0

//! What an endpoint keeps as a Client: its transactions with what was received for them, each event under one lock.
//! What follows outside the lock is an `Aftermath`.

use super::aftermath::{Aftermath, Sending};
use super::{Refused, Start};
use crate::host::counters::Counter;
use crate::host::kept::keep;
use crate::host::path::PathRecord;
use crate::host::transmit::Manner;
use crate::host::{Host, ATOMIC};
use crate::kernel::array::Array;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::kernel::skb::Skb;
use crate::kernel::skb_queue::SkbQueue;
use crate::kernel::sock::Sk;
use crate::kernel::trace;
use crate::proto::client::{
    no_room, Call, Client, Delivery, Event, Reply, ReplyState, Sequence, StartError, State, Step,
    RUN_LIMIT,
};
use crate::proto::context::Context;
use crate::proto::peer::Peer;
use crate::proto::time::Time;
use crate::proto::wire::{Header, ResponseCode, Transaction};
use crate::socket::options::{Options, Wishes};
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::prelude::*;

/// What an endpoint's client side keeps under its lock.
pub struct ClientSide {
    pub(super) client: Client,
    /// Open transactions, and ended ones until the user has taken what came of them; oldest first.
    pub(super) slots: Array<KBox<Slot>>,
    /// A slot to use again.
    pub(super) spare: Option<KBox<Slot>>,
    /// Where the host numbers what it receives (2.12).
    pub(super) sequence: Option<KBox<Sequence>>,
    /// Octets of the last member of a run that found no room: before so many fit it is no use to try again.
    wanted: usize,
}

/// One transaction.
pub(super) struct Slot {
    pub(super) call: Call,
    pub(super) segment: Option<Pages>,
    pub(super) replies: Array<ReplySlot>,
    pub(super) path: Ref<PathRecord>,
    pub(super) manner: Manner,
    pub(super) cookie: u64,
    /// It ended without a Response, or with another's.
    pub(super) outcome: Option<ResponseCode>,
    pub(super) outcome_taken: bool,
    /// Callers that wait for this very transaction: what comes of it is for them alone.
    pub(super) claims: u32,
    /// The state that was traced last.
    pub(super) shown: State,
}

impl Slot {
    /// Tells whoever traces of another state.
    #[inline]
    pub(super) fn show(&mut self, client: &Client) {
        let state = self.call.state();
        if core::mem::replace(&mut self.shown, state) == state || !trace::is_on() {
            return;
        }
        let name = match state {
            State::Held => "Held",
            State::Locating => "Locating",
            State::AwaitingResponse => "AwaitingResponse",
            State::ReceivingResponse => "ReceivingResponse",
            State::Processing { .. } => "Processing",
        };
        let (server, transaction) = (self.call.server(), self.call.transaction());
        let client = client.entity().bits();
        trace::state(true, client, server.bits(), transaction.bits(), name);
    }

    /// Whether the user has taken all that has come of it so far.
    pub(super) fn is_taken(&self) -> bool {
        match self.outcome {
            Some(_) => self.outcome_taken,
            None => self.replies.iter().all(|reply| reply.taken),
        }
    }

    /// Whether packets of the first `index` Responses are here.
    fn holds_packets_before(&self, index: usize) -> bool {
        for (_, reply) in (0..index).zip(self.replies.iter()) {
            if !reply.packets.is_empty() {
                return true;
            }
        }
        false
    }
}

/// One Response.
pub(super) struct ReplySlot {
    pub(super) reply: Reply,
    pub(super) packets: SkbQueue,
    pub(super) delivery: Option<Delivery>,
    pub(super) taken: bool,
    /// Octets of the segment that the user has already.
    pub(super) offset: u32,
}

impl ReplySlot {
    pub(super) const EMPTY: ReplySlot = ReplySlot {
        reply: Reply::EMPTY,
        packets: SkbQueue::new(),
        delivery: None,
        taken: false,
        offset: 0,
    };
}
impl ClientSide {
    pub(in crate::host) fn new(client: Client) -> Self {
        Self {
            client,
            slots: Array::new(),
            spare: None,
            sequence: None,
            wanted: 0,
        }
    }

    /// The earliest deadline of all transactions.
    pub(super) fn deadline(&self) -> Time {
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
            slot.show(&self.client);
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

    /// Whether a member of a run finds no room.
    fn is_full(&self, start: &Start, options: &Options) -> bool {
        // One segment always may; more have to share SO_SNDBUF.
        self.is_too_much(start.octets(), start.buffer) || self.is_crowded(options)
    }

    /// Whether so many octets find no room in SO_SNDBUF.
    fn is_too_much(&self, octets: usize, buffer: usize) -> bool {
        let before = self.sending();
        before != 0 && before.saturating_add(octets) > buffer
    }

    /// Whether a member of a run that starts now finds room, of as many octets as the last that found none.
    pub(super) fn has_room(&self, buffer: usize, options: &Options) -> bool {
        !self.is_too_much(self.wanted, buffer) && !self.is_crowded(options)
    }

    /// Whether a start that was refused with [`Refused::Wait`] still would be.
    pub(super) fn keeps_waiting(&self, start: &Start, options: &Options) -> bool {
        let none = start.path.timing().no_streaming;
        let waits = self.client.keeps_waiting(&start.request, none);
        waits.is_some() || (start.request.streamed && self.is_full(start, options))
    }

    /// Octets of the segments that may have to be sent again.
    fn sending(&self) -> usize {
        self.slots
            .iter()
            .filter_map(|slot| slot.segment.as_ref())
            .fold(0, |sum, segment| sum.saturating_add(segment.len()))
    }

    /// Tells the Client which of its calls is the oldest open one.
    fn settle(&mut self, host: &Host, now: Time, wishes: Wishes) {
        let open = |slot: &&mut KBox<Slot>| !matches!(slot.call.state(), State::Processing { .. });
        if let Some(oldest) = self.slots.iter_mut().find(open) {
            let cx = context_of(host, now, &oldest.path, wishes);
            self.client.oldest_is(&mut oldest.call, &cx);
        }
    }

    /// Forgets ended transactions: all of them for a transaction that stands alone (4.6.1), of a run those whose outcome
    /// was taken.
    pub(super) fn purge(&mut self, all: bool) {
        let goes = |slot: &KBox<Slot>| {
            let ended = matches!(slot.call.state(), State::Processing { .. });
            let taken = slot.is_taken();
            ended && (all || taken) && (taken || slot.claims == 0)
        };
        let spare = &mut self.spare;
        self.slots.take_out(goes, |mut slot| {
            slot.replies.clear();
            slot.segment = None;
            *spare = Some(slot);
        });
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

/// A Response packet that arrived.
pub(super) struct Arrived<'a> {
    pub(super) header: &'a Header,
    pub(super) skb: Skb,
    pub(super) peer: Peer,
    /// Whether a caller waits for a Response.
    pub(super) waiting: bool,
    /// Responses that may be kept.
    pub(super) replies_max: usize,
    /// The socket that is charged.
    pub(super) sk: Option<&'a Sk>,
}

/// The surroundings of an event of a call to the host of `path`.
fn context_of(host: &Host, now: Time, path: &PathRecord, wishes: Wishes) -> Context {
    let mut timing = path.timing();
    timing.receive_gap = timing.receive_gap.max(wishes.gap);
    host.context(now, timing, wishes.retries)
}

impl ClientSide {
    pub(super) fn start(
        &mut self,
        start: &Start,
        fresh: &mut Option<Preallocated>,
        host: &Host,
        options: &Options,
        now: Time,
    ) -> (core::result::Result<Transaction, Refused>, Aftermath) {
        self.purge(!start.request.streamed);
        if start.request.streamed && self.is_full(start, options) {
            self.wanted = start.octets();
            return (Err(Refused::Wait), Aftermath::default());
        }
        self.wanted = 0;
        if self.spare.is_none() {
            self.spare = fresh.take().map(|Preallocated(slot)| slot);
        }
        if self.spare.is_none() || self.slots.reserve_one(ATOMIC).is_err() {
            return (Err(Refused::Memory), Aftermath::default());
        }
        let request = self.sequenced(start, host);
        let (call, step) = match self.client.start(
            &request,
            &context_of(host, now, &start.path, options.wishes()),
        ) {
            Ok(started) => started,
            Err(StartError::Open | StartError::RunFull) => {
                return (Err(Refused::Wait), Aftermath::default())
            }
            Err(StartError::TooLarge) => return (Err(Refused::TooLarge), Aftermath::default()),
        };
        self.sequence_sent(host);
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
    pub(super) fn on_call(
        &mut self,
        index: usize,
        host: &Host,
        now: Time,
        wishes: Wishes,
        event: impl FnOnce(&mut Call, &mut Client, &Context) -> Step,
    ) -> Aftermath {
        let Some(slot) = self.slots.get_mut(index) else {
            return Aftermath::default();
        };
        let cx = context_of(host, now, &slot.path, wishes);
        let step = event(&mut slot.call, &mut self.client, &cx);
        self.apply(index, None, step, None, host)
    }

    /// A Response packet for the call at `index`.
    pub(super) fn response(
        &mut self,
        index: usize,
        arrived: Arrived<'_>,
        wishes: Wishes,
        host: &Host,
        now: Time,
    ) -> Aftermath {
        let Arrived {
            header,
            mut skb,
            peer,
            waiting,
            replies_max,
            sk,
        } = arrived;
        let full = sk.is_some_and(|sk| sk.receive_memory() >= sk.receive_buffer());
        let older = full && self.holds_packets_before(index);
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
        // Of what goes beyond SO_RCVBUF one message is taken: the oldest of which there are packets.
        let refused = match found {
            None => Some(Counter::DropNoRoom),
            Some(found) if full && (older || slot.holds_packets_before(found)) => {
                Some(Counter::DropNoRoom)
            }
            Some(_) => sk
                .is_some_and(|sk| skb.charge_receive(sk).is_err())
                .then_some(Counter::DropNoMemory),
        };
        let reply = found.and_then(|found| slot.replies.get_mut(found));
        let begun = reply
            .as_ref()
            .is_some_and(|slot| slot.reply.state() != ReplyState::Empty);
        let (None, Some(index_of_reply), Some(reply)) = (refused, found, reply) else {
            host.discard(skb, refused.unwrap_or(Counter::DropNoRoom));
            if let Some(sk) = sk {
                sk.count_drop();
            }
            // 4.7.1: all of it comes again later. Of what was begun the timer asks for the rest.
            return Aftermath {
                notify: (!begun).then_some((no_room(header), peer)),
                ..Aftermath::default()
            };
        };
        if slot.path.peer == peer {
            slot.path.heard(&skb);
        }
        let cx = context_of(host, now, &slot.path, wishes);
        let mut step = slot.call.response(
            &mut self.client,
            &mut reply.reply,
            header,
            peer,
            waiting,
            &cx,
        );
        self.sequence_received(index, Some(header), &mut step, host);
        let mut aftermath = self.apply(index, Some(index_of_reply), step, Some(skb), host);
        aftermath.notify = step.notify.map(|notify| (notify, peer));
        aftermath
    }

    /// Whether packets of Responses to older calls are here.
    fn holds_packets_before(&self, index: usize) -> bool {
        for (_, slot) in (0..index).zip(self.slots.iter()) {
            if slot.holds_packets_before(usize::MAX) {
                return true;
            }
        }
        false
    }

    pub(super) fn timeout(
        &mut self,
        index: usize,
        host: &Host,
        now: Time,
        wishes: Wishes,
    ) -> Aftermath {
        let Some(slot) = self.slots.get_mut(index) else {
            return Aftermath::default();
        };
        let slot = &mut **slot;
        let cx = context_of(host, now, &slot.path, wishes);
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
        let mut step = slot
            .call
            .reply_timeout(&mut self.client, &mut reply.reply, &cx);
        self.sequence_received(index, None, &mut step, host);
        self.apply(index, Some(due), step, None, host)
    }

    /// What an event means for the other calls of the run.
    pub(super) fn go_on(
        &mut self,
        event: Event,
        host: &Host,
        now: Time,
        wishes: Wishes,
        more: &mut Array<Sending>,
    ) {
        self.settle(host, now, wishes);
        // Which calls go out again, and whether the first of them starts the run anew.
        let (mut after, mut first) = match event {
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
            let cx = context_of(host, now, &slot.path, wishes);
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
                    match &mut after {
                        Some(after) => slot.call.resend(&mut self.client, after, &mut first, &cx),
                        None => Step::NOTHING,
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
