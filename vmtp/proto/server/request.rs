// SPDX-License-Identifier: GPL-2.0 OR MIT

//! HandleRequest of RFC 1045, 5.7: a Request packet arrives.

use super::{Drop, Event, Keep, Remote, State, Step};
use crate::proto::context::Context;
use crate::proto::incoming::{begins_transmission, Incoming, Taken};
use crate::proto::path::GroupFate;
use crate::proto::peer::Peer;
use crate::proto::time::Time;
use crate::proto::wire::{
    Code, Control, Header, Mask, NotifyVmtpClient, ResponseCode, Transaction, OVERHEAD_OCTETS,
};

/// Where a Request packet came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// The sending host.
    pub peer: Peer,
    /// It was sent to a multicast address.
    pub multicast: bool,
}

/// What the server entity can do for a Request at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Service {
    /// A caller waits for a Request (CMD).
    pub waiting: bool,
    /// Another packet of a Request that is being received can be kept.
    pub memory: bool,
    /// Another Request fits its queue and its memory.
    pub room: bool,
    /// A Client without a record must be probed before its Request is executed.
    pub probe: bool,
}

/// Why a Request gets no record at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The Server is no entity of this host.
    NonexistentEntity,
    /// The Server has moved to another host.
    EntityMigrated,
    /// It belongs to a run of which there is no record.
    NoRunRecord,
    /// There is no room for another record.
    Busy,
    /// The Server does not take messages from this Client.
    NoPermission,
    /// The Server wants encrypted Requests.
    SecurityRequired,
    /// The Request is encrypted, and this host cannot decrypt.
    SecurityNotSupported,
    /// The Request breaks the protocol.
    VmtpError,
}

/// The answer to a Request that gets no record. Multicast ones get none (2.13), and neither do Notify
/// operations; that is for the caller to know.
pub fn refuse(header: &Header, refusal: Refusal, source: &Source) -> Option<NotifyVmtpClient> {
    if source.multicast {
        return None;
    }
    let code = match refusal {
        Refusal::NonexistentEntity => ResponseCode::NonexistentEntity,
        Refusal::EntityMigrated => ResponseCode::EntityMigrated,
        Refusal::NoRunRecord => ResponseCode::NoRunRecord,
        Refusal::Busy => ResponseCode::Busy,
        Refusal::NoPermission => ResponseCode::NoPermission,
        Refusal::SecurityRequired => ResponseCode::SecurityRequired,
        Refusal::SecurityNotSupported => ResponseCode::SecurityNotSupported,
        Refusal::VmtpError => ResponseCode::VmtpError,
    };
    Some(NotifyVmtpClient {
        client: header.client,
        control: header.control.in_response(0),
        receive_sequence: 0,
        transaction: header.transaction,
        delivery: header.delivery,
        code: code.code(),
    })
}

impl Remote {
    /// Whether a Request for which there is no record may start one: a member of a run cannot,
    /// unless it does without its predecessors (2.11).
    pub fn may_start(header: &Header) -> bool {
        !header.control.has(Control::NSR) || header.control.has(Control::NRT)
    }

    /// A Request packet of this Client for this server arrived. The host has checked it.
    pub fn request(
        &mut self,
        header: &Header,
        source: &Source,
        service: &Service,
        cx: &Context,
    ) -> Step {
        let mut step = Step::NOTHING;
        let heard = core::mem::replace(&mut self.heard, cx.now);
        let transaction = header.transaction;
        let forward_count = header.control.forward_count();
        if self.is_of_incoming(header) {
            let receiving = self.incoming_control.forward_count();
            if forward_count < receiving {
                self.passed_on_before(header, source, cx, &mut step);
                return step;
            }
            if forward_count == receiving {
                let octets = self.hear(header, source);
                self.incoming_received = self.incoming_received.saturating_add(octets);
                self.collect(header, service, cx, &mut step);
                return step;
            }
            self.abandon_all(cx, &mut step);
            self.begin_receiving(header, transaction, source, service, cx, &mut step);
            return step;
        }
        if self.is_current(transaction) && self.state != State::AwaitingRequest {
            if forward_count < self.forward_count {
                self.passed_on_before(header, source, cx, &mut step);
                return step;
            }
            if forward_count == self.forward_count {
                let octets = self.hear(header, source);
                self.allow_for(octets);
                self.repeated(header, source, service, cx, &mut step);
                return step;
            }
            // 5.7: forwarded anew.
            self.flags.came_back |= self.state == State::Forwarded;
            self.abandon_all(cx, &mut step);
            self.last = transaction.minus(1);
            self.begin_receiving(header, transaction, source, service, cx, &mut step);
            return step;
        }
        if transaction.since(self.last) <= 0 {
            step.keep = Keep::Drop(Drop::Old);
            let of_run = header.control.has(Control::NSR | Control::NER);
            if of_run && header.control.has(Control::APG) && !source.multicast {
                // A later member of the run waits its turn here, or an earlier one may be answered
                // with one that is in progress: tell the Client that we have it.
                self.control = header.control;
                let unanswered = transaction.since(self.answered) > 0;
                let code = if unanswered && self.is_occupied() {
                    ResponseCode::Ok
                } else {
                    ResponseCode::ResponseDiscarded
                };
                self.notify(&mut step, transaction, Mask::ALL, code);
                return step;
            }
            // The record need not live longer for it: its duplicates are as old. And a Client that starts anew with a
            // lower Transaction must not keep the record that shuts it out.
            self.heard = heard;
            return step;
        }
        self.new_request(header, source, service, cx, &mut step);
        step
    }

    /// Whether the packet is of a Request that came from another host. Whoever knows a Client's Transaction, which a
    /// Probe tells, could have its Response that way: something else must tell that the Client is there. One that was
    /// passed on may come from any host, if it was passed on before as far as the record knows.
    #[inline]
    pub fn comes_from_elsewhere(&self, header: &Header, source: &Source) -> bool {
        !self.peer.is_same_host(&source.peer)
            && self.is_under_way(header.transaction)
            && !self.may_come_back(header)
    }

    /// Whether a Request under way can be the one of this packet, with another ForwardCount (5.7).
    fn may_come_back(&self, header: &Header) -> bool {
        let forward_count = header.control.forward_count();
        let own = if self.is_receiving_group(header.transaction) {
            self.incoming_control.forward_count()
        } else {
            self.forward_count
        };
        let passed_on = own != 0 || self.state == State::Forwarded || self.flags.came_back;
        passed_on && forward_count != 0 && forward_count != own
    }

    /// Whether the packet can be of the Request being received: all groups but the first have NSR (2.14). With NRT the
    /// numbers alone do not tell, where the first groups of a message were lost.
    fn is_of_incoming(&self, header: &Header) -> bool {
        self.is_receiving_group(header.transaction)
            && (header.transaction == self.incoming.first() || header.control.has(Control::NSR))
    }

    fn is_under_way(&self, transaction: Transaction) -> bool {
        self.is_current(transaction) && self.state != State::AwaitingRequest
            || self.is_receiving_group(transaction)
    }

    /// The Client is there. The octets received of it.
    #[inline]
    pub(super) fn hear(&mut self, header: &Header, source: &Source) -> u32 {
        self.control = header.control;
        if !self.follow(source) {
            return 0;
        }
        u32::from(header.length)
            .wrapping_mul(4)
            .wrapping_add(OVERHEAD_OCTETS)
    }

    /// The Client is where the packet comes from. What was proven of one host, or received from it, allows nothing for
    /// another. False if it is just being asked elsewhere: then it is there until it has answered.
    #[inline]
    fn follow(&mut self, source: &Source) -> bool {
        if self.peer.is_same_host(&source.peer) {
            return true;
        }
        if self.flags.probing {
            return false;
        }
        self.peer = source.peer;
        self.flags.probed = false;
        self.incoming_received = 0;
        self.allowed = 0;
        true
    }

    /// A Request newer than all that is known of the Client (newTransaction in 5.7).
    fn new_request(
        &mut self,
        header: &Header,
        source: &Source,
        service: &Service,
        cx: &Context,
        step: &mut Step,
    ) {
        let control = header.control;
        let runs = control.has(Control::NSR) || control.has(Control::NER);
        if runs && !cx.policy.streaming {
            self.refuse(
                header,
                source,
                ResponseCode::StreamingNotSupported,
                Drop::Streaming,
                step,
            );
            return;
        }
        if !control.has(Control::NSR) {
            // 5.3: whatever was in progress is aborted.
            self.abandon_all(cx, step);
            self.flags.came_back = false;
            self.last = header.transaction.minus(1);
            self.answered = self.last;
            self.gap_quiet = Time::from_nanos(0);
            self.begin_receiving(header, header.transaction, source, service, cx, step);
            return;
        }
        if self.incoming.is_some() && self.incoming.is_complete() {
            // The one before waits for the Probe of its Client: this one comes again later.
            step.keep = Keep::Drop(Drop::NoRoom);
            return;
        }
        let skipped = control.has(Control::NRT);
        if self.is_receiving() && !skipped {
            // 5.7: the previous group is asked for; this one comes again after it.
            let held = self.incoming.held();
            let transaction = self.incoming.current();
            self.tell_gap(
                header,
                source,
                transaction,
                held,
                ResponseCode::Retry,
                cx,
                step,
            );
            return;
        }
        let expected = self.last.plus(if self.flags.skip { 256 } else { 1 });
        if header.transaction != expected && !skipped {
            // A later group of the message that `expected` begins is a gap as well.
            let last = self.last;
            self.tell_gap(
                header,
                source,
                last,
                Mask::EMPTY,
                ResponseCode::RetryAll,
                cx,
                step,
            );
            return;
        }
        if self.queued >= cx.policy.run_queue {
            self.control = header.control;
            step.keep = Keep::Drop(Drop::NoRoom);
            if !source.multicast {
                self.notify(step, self.last, Mask::EMPTY, ResponseCode::MsgtransOverflow);
            }
            return;
        }
        self.begin_receiving(header, header.transaction, source, service, cx, step);
    }

    /// A packet of the run that comes too early. Everything behind a gap comes too early, and
    /// what is sent again may be overtaken as well: the gap is told once in a round trip.
    #[allow(clippy::too_many_arguments)]
    fn tell_gap(
        &mut self,
        header: &Header,
        source: &Source,
        transaction: Transaction,
        held: Mask,
        code: ResponseCode,
        cx: &Context,
        step: &mut Step,
    ) {
        self.control = header.control;
        step.keep = Keep::Drop(Drop::OutOfSequence);
        if source.multicast || !self.gap_quiet.has_come(cx.now) {
            return;
        }
        self.notify(step, transaction, held, code);
        self.tell_no_gap(cx);
    }

    /// The Client knows what is missing, or will: what comes within a round trip was sent before.
    fn tell_no_gap(&mut self, cx: &Context) {
        let quiet = cx.timing.round_trip.at_least(cx.timing.packet_gap);
        self.gap_quiet = cx.now.plus(quiet);
    }

    fn refuse(
        &mut self,
        header: &Header,
        source: &Source,
        code: ResponseCode,
        reason: Drop,
        step: &mut Step,
    ) {
        self.control = header.control;
        step.keep = Keep::Drop(reason);
        if !source.multicast {
            self.notify(step, header.transaction, header.delivery, code);
        }
    }

    /// The first packet of a Request that was not refused, whose first group is `first`.
    pub(super) fn begin_receiving(
        &mut self,
        header: &Header,
        first: Transaction,
        source: &Source,
        service: &Service,
        cx: &Context,
        step: &mut Step,
    ) {
        self.follow(source);
        if header.code.has(Code::CMD) && !service.waiting {
            self.refuse(
                header,
                source,
                ResponseCode::NotAwaitingMsg,
                Drop::Unwanted,
                step,
            );
            self.settle(cx);
            return;
        }
        if !service.room {
            self.refuse(header, source, ResponseCode::Busy, Drop::NoRoom, step);
            if !begins_transmission(header) {
                // The first packet of the group was told.
                step.notify = None;
            }
            self.tell_no_gap(cx);
            self.settle(cx);
            return;
        }
        self.incoming = Incoming::starting_at(header, first);
        self.incoming_control = header.control;
        self.flags.incoming_multicast = source.multicast;
        if source.multicast {
            self.other = header.server;
        }
        self.flags.incoming_datagram = header.code.has(Code::DGM);
        self.incoming_received = self.hear(header, source);
        if service.probe && !self.flags.probed {
            self.flags.probing = true;
            step.event = Event::Probe;
        }
        self.collect(header, service, cx, step);
    }

    /// Nothing is in progress: the record lives on for TS4.
    fn settle(&mut self, cx: &Context) {
        if self.state == State::AwaitingRequest && !self.incoming.is_some() {
            self.deadline = cx.now.plus(cx.policy.record_lifetime);
        }
    }

    /// A packet of the Request being received.
    fn collect(&mut self, header: &Header, service: &Service, cx: &Context, step: &mut Step) {
        if !service.memory && !header.delivery.is_empty() && !self.incoming.is_complete() {
            // To drop it in silence would look like loss, and the Client would give up in the end. And what is kept of
            // many that are incomplete leaves room for none of them.
            self.drop_for_room(header.transaction, cx, step);
            return;
        }
        let interpacket = self.incoming.since_last_packet(cx.now);
        // A message that starts anew takes the place of what was kept before.
        let first_time = self.incoming.is_empty();
        step.group_offset = self.incoming.group_offset(header.transaction);
        if !header.control.has(Control::CMG) {
            let place = self.incoming_control.bits() & Control::NSR;
            self.incoming_control = header.control.without(Control::NSR).with(place);
        }
        match self.incoming.take(header, cx.now) {
            Taken::New { group_complete } => {
                step.keep = if first_time {
                    Keep::Restart
                } else {
                    Keep::Keep
                };
                step.interpacket = interpacket;
                if group_complete {
                    self.group_complete(service, cx, step);
                } else {
                    self.receive_deadline = cx.now.plus(cx.timing.packet_gap);
                }
            }
            taken @ (Taken::Repeated | Taken::Ahead) => {
                step.keep = match taken {
                    // The message control block counts even without data.
                    _ if first_time => Keep::Restart,
                    Taken::Ahead => Keep::Drop(Drop::Ahead),
                    _ if header.delivery.is_empty() => Keep::Drop(Drop::NoData),
                    _ => Keep::Drop(Drop::Duplicate),
                };
                if self.receive_deadline == Time::NEVER && !self.incoming.is_complete() {
                    self.receive_deadline = cx.now.plus(cx.timing.packet_gap);
                }
                self.answer_repeated(header, cx, step);
            }
            Taken::Conflict => {
                // 2.13: the whole group is discarded.
                self.incoming = Incoming::NONE;
                self.receive_deadline = Time::NEVER;
                self.settle(cx);
                self.flags.probing = false;
                step.event = Event::None;
                let multicast = self.flags.incoming_multicast;
                // Or it is what came of a message whose first groups were lost, which is no error of the Client.
                let rest = header.control.has(Control::NSR) && header.control.has(Control::NRT);
                step.keep = Keep::Drop(Drop::Conflict);
                if !multicast && !rest {
                    self.notify(
                        step,
                        header.transaction,
                        Mask::EMPTY,
                        ResponseCode::VmtpError,
                    );
                }
            }
        }
    }

    /// A packet without news of the Request being received: a header-only one is answered at once.
    fn answer_repeated(&mut self, header: &Header, cx: &Context, step: &mut Step) {
        let asks = header.delivery.is_empty() && header.segment_octets() != 0;
        if !(asks || header.control.has(Control::APG) && begins_transmission(header)) {
            return;
        }
        // `take` found it in the message.
        let group = self.incoming.group_of(header.transaction).unwrap_or(0);
        let complete = self.incoming.complete_groups();
        let before = self.incoming.current().minus(1);
        let silent = header.code.has(Code::DGM) || header.control.has(Control::NRT);
        if group < complete {
            self.notify(step, before, Mask::ALL, ResponseCode::Ok);
        } else if silent || !asks {
            // 2.8, 2.11: what is missing of these is never asked for. And repeated data is not a
            // question: what is missing may be right behind it.
        } else if group > complete {
            self.notify(step, before, Mask::EMPTY, ResponseCode::RetryAll);
        } else {
            self.flags.lossy = true;
            self.notify(
                step,
                header.transaction,
                self.incoming.held(),
                ResponseCode::Retry,
            );
            self.receive_deadline = cx
                .now
                .plus(cx.timing.round_trip.at_least(cx.timing.packet_gap));
        }
    }

    /// There is no room for the Request being received. It is not remembered, so that it can come again. Its group
    /// `transaction` is what its Client is told of.
    pub(super) fn drop_for_room(
        &mut self,
        transaction: Transaction,
        cx: &Context,
        step: &mut Step,
    ) {
        self.forget_incoming();
        self.tell_no_gap(cx);
        self.settle(cx);
        step.keep = Keep::Drop(Drop::NoRoom);
        step.event = Event::None;
        step.notify = None;
        if self.flags.incoming_multicast {
            return;
        }
        let (about, code) = if self.queued != 0 {
            (self.last, ResponseCode::MsgtransOverflow)
        } else {
            (transaction, ResponseCode::Busy)
        };
        self.notify(step, about, Mask::EMPTY, code);
    }

    fn group_complete(&mut self, service: &Service, cx: &Context, step: &mut Step) {
        step.received = Some(if self.flags.lossy {
            GroupFate::Lossy
        } else {
            GroupFate::Clean
        });
        self.flags.lossy = false;
        let through = self.incoming.current().minus(1);
        self.last = through;
        let wants = self.incoming.take_asked();
        if wants {
            let earlier =
                u8::try_from(self.incoming.complete_groups().saturating_sub(1)).unwrap_or(u8::MAX);
            let held = if self.incoming.is_complete() {
                self.incoming.held()
            } else {
                Mask::ALL
            };
            let mut told = self.notification(through, held, ResponseCode::Ok);
            told.control = self.control.in_response(earlier);
            self.tell(step, told);
        }
        if !self.incoming.is_complete() {
            // 5.7: a complete group with CMG waits for its continuation.
            self.receive_deadline = cx
                .now
                .plus(cx.timing.round_trip.at_least(cx.timing.packet_gap));
            return;
        }
        self.receive_deadline = Time::NEVER;
        if !service.room {
            // The queue filled while this came.
            self.drop_for_room(through, cx, step);
            return;
        }
        if self.flags.probing {
            // Figure 5-1: processing waits for the Response to the Probe.
            return;
        }
        self.deliver(cx, step);
    }
}
