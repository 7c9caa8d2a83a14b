// SPDX-License-Identifier: GPL-2.0 OR MIT

//! HandleResponse of RFC 1045, 4.7.1: a Response packet arrives.

use super::{brief, Call, Client, Delivery, Drop, Event, Keep, Reply, ReplyState, State, Step};
use crate::proto::context::Context;
use crate::proto::incoming::{begins_transmission, Taken};
use crate::proto::path::GroupFate;
use crate::proto::peer::Peer;
use crate::proto::time::{Span, Time};
use crate::proto::timers;
use crate::proto::wire::{
    Code, Control, Header, Mask, NotifyVmtpServer, ResponseCode, Transaction,
};

/// What the host knows of the Client of a Response for which it has no call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stray {
    /// The Client is an entity of this host, but the Transaction is none of its outstanding ones.
    Known,
    /// The Client moved to another host.
    Migrated,
    /// The Client is not an entity of this host.
    Unknown,
}

/// The answer to a Response packet that belongs to no call (4.7.1, 4.8.1). Multicast ones get none.
pub fn stray(
    header: &Header,
    client: Stray,
    multicast: bool,
    streaming: bool,
) -> Option<NotifyVmtpServer> {
    if multicast {
        return None;
    }
    let code = match client {
        Stray::Migrated => ResponseCode::EntityMigrated,
        Stray::Unknown => ResponseCode::NonexistentEntity,
        Stray::Known if header.control.has(Control::NSR) && !streaming => {
            ResponseCode::StreamingNotSupported
        }
        Stray::Known => ResponseCode::BadTransactionId,
    };
    Some(notify(header, header.transaction, Mask::EMPTY, code))
}

/// The answer to a Response for which there is no memory (4.7.1).
pub fn no_room(header: &Header) -> NotifyVmtpServer {
    notify(header, header.transaction, Mask::EMPTY, ResponseCode::Busy)
}

fn notify(
    header: &Header,
    transaction: Transaction,
    delivery: Mask,
    code: ResponseCode,
) -> NotifyVmtpServer {
    NotifyVmtpServer {
        server: header.server,
        client: header.client,
        transaction,
        delivery,
        code: code.code(),
    }
}

impl Client {
    /// Whether a gap may be told now: what was asked for is on its way for a round trip.
    pub(super) fn may_tell_gap(&mut self, cx: &Context) -> bool {
        let may = self.gap_quiet.has_come(cx.now);
        if may {
            let quiet = cx.timing.round_trip.at_least(cx.timing.packet_gap);
            self.gap_quiet = cx.now.plus(quiet);
        }
        may
    }
}

impl Call {
    /// A Response packet for this call arrived from `peer`. `reply` is that of its Server, or an
    /// empty one. `waiting` tells whether the user waits for a Response at this moment.
    ///
    /// The host has checked the packet and found the call by [`Call::expects`].
    pub fn response(
        &mut self,
        client: &mut Client,
        reply: &mut Reply,
        header: &Header,
        peer: Peer,
        waiting: bool,
        cx: &Context,
    ) -> Step {
        let control = header.control;
        if !self.may_answer(header) {
            return Step::dropped(Drop::Unwanted);
        }
        let accepts = match self.state {
            State::AwaitingResponse | State::ReceivingResponse => true,
            State::Processing { collecting } => collecting,
            // An answer to a Request of this number that was sent elsewhere, or before a restart.
            State::Locating => true,
            State::Held => false,
        };
        if reply.state == ReplyState::Delivered || !accepts {
            // 4.7.1: stop the server from repeating what is no longer of interest.
            let again = begins_transmission(header) && control.has(Control::APG | Control::NER);
            return Step {
                notify: again.then(|| {
                    notify(
                        header,
                        header.transaction,
                        Mask::EMPTY,
                        ResponseCode::ResponseDiscarded,
                    )
                }),
                ..Step::dropped(Drop::Duplicate)
            };
        }
        // CMG is never without NER (3.2).
        if control.has(Control::NSR | Control::NER) {
            if !cx.policy.streaming {
                let mut step = Step::dropped(Drop::Streaming);
                step.notify = Some(notify(
                    header,
                    header.transaction,
                    Mask::EMPTY,
                    ResponseCode::StreamingNotSupported,
                ));
                // Of a group others may answer, or have.
                if !self.flags.multicast {
                    client.failed_at(self);
                    step.event = Event::Finished(ResponseCode::StreamedResponse);
                }
                return step;
            }
            if !self.flags.streamed
                && !self.outgoing.control().has(Control::STI)
                && self.outgoing.groups() == 1
            {
                return Step {
                    notify: Some(notify(
                        header,
                        header.transaction,
                        Mask::EMPTY,
                        ResponseCode::VmtpError,
                    )),
                    ..Step::dropped(Drop::Protocol)
                };
            }
        }
        // The Transaction of the Response's first group is the call's own, and PGcount is there.
        if header.transaction == self.transaction() {
            reply.before = control.pg_count();
        }
        let covers_from = self.covers_from(reply);
        if self.flags.streamed && covers_from.since(client.expected) > 0 {
            // 2.11, 4.7.1: Responses are taken in sequence.
            // Everything behind a gap comes too early: it is told once in a round trip. What the
            // oldest call lacks of a Response it is receiving it asks for itself (4.7.1).
            let tell = !client.receiving && client.may_tell_gap(cx);
            return Step {
                notify: tell.then(|| {
                    notify(
                        header,
                        client.expected.minus(1),
                        Mask::EMPTY,
                        ResponseCode::RetryAll,
                    )
                }),
                ..Step::dropped(Drop::OutOfSequence)
            };
        }
        if header.code.has(Code::CMD) && !waiting && reply.state == ReplyState::Empty {
            // 2.8: conditional delivery.
            return Step {
                notify: Some(notify(
                    header,
                    header.transaction,
                    Mask::EMPTY,
                    ResponseCode::ResponseDiscarded,
                )),
                ..Step::dropped(Drop::Unwanted)
            };
        }
        let mut step = Step::NOTHING;
        step.round_trip = self.response_round_trip(control, cx.now);
        step.keep = Keep::Keep;
        let before = *reply;
        if reply.state == ReplyState::Empty {
            reply.start(header, self.transaction());
            step.keep = Keep::Restart;
        }
        let interpacket = reply.incoming.since_last_packet(cx.now);
        let mut taken = reply.incoming.take(header, cx.now);
        if taken == Taken::Conflict {
            // A Response that was made anew, or a protocol error: what came before is void, if there is
            // something to take its place.
            reply.start(header, self.transaction());
            step.keep = Keep::Restart;
            taken = reply.incoming.take(header, cx.now);
        }
        let refused = match taken {
            // No Response has such a packet.
            Taken::Conflict => true,
            Taken::Ahead => before.state != ReplyState::Empty && step.keep == Keep::Restart,
            Taken::New { .. } | Taken::Repeated => false,
        };
        if refused {
            *reply = before;
            return Step::dropped(Drop::Conflict);
        }
        reply.peer = peer;
        step.group_offset = reply.incoming.group_offset(header.transaction);
        let Taken::New { group_complete } = taken else {
            let reason = match taken {
                Taken::Ahead => Drop::Ahead,
                _ if header.delivery.is_empty() => Drop::NoData,
                _ => Drop::Duplicate,
            };
            // What is not counted is not kept: it comes again.
            if step.keep != Keep::Restart || taken == Taken::Ahead {
                step.keep = Keep::Drop(reason);
            }
            self.enter_receiving(client);
            self.answer_header_only(client, reply, header, cx, &mut step);
            let gap = cx.timing.packet_gap;
            reply.deadline = cx.now.plus(match step.notify {
                // What was asked for takes a round trip to come.
                Some(_) => cx.timing.round_trip.at_least(gap),
                None => gap,
            });
            return step;
        };
        if !group_complete {
            step.interpacket = interpacket;
            self.enter_receiving(client);
            reply.deadline = cx.now.plus(cx.timing.packet_gap);
            return step;
        }
        step.received = Some(if core::mem::take(&mut reply.lossy) {
            GroupFate::Lossy
        } else {
            GroupFate::Clean
        });
        let asked = reply.incoming.take_asked();
        if !reply.incoming.is_complete() {
            // 4.7.1: a complete group with CMG waits for its continuation.
            if asked {
                step.notify = Some(notify(
                    header,
                    reply.incoming.current().minus(1),
                    Mask::ALL,
                    ResponseCode::Ok,
                ));
            }
            self.enter_receiving(client);
            reply.deadline = cx
                .now
                .plus(cx.timing.round_trip.at_least(cx.timing.packet_gap));
            return step;
        }
        if asked {
            step.notify = Some(notify(
                header,
                header.transaction,
                reply.incoming.held(),
                ResponseCode::Ok,
            ));
        }
        reply.state = ReplyState::Delivered;
        reply.deadline = Time::NEVER;
        step.event = Event::Response(Delivery {
            code: None,
            segment_octets: reply.incoming.segment_octets(),
            message_delivery: header.code.has(Code::MDM).then(|| reply.incoming.held()),
            covers_from,
        });
        self.answered(client);
        step
    }

    /// Whether the Response may be of its Server. That is the one that was asked, unless that is a
    /// group or the Request was forwarded (3.4).
    fn may_answer(&self, header: &Header) -> bool {
        header.server == self.server
            || self.flags.multicast
            || self.server.is_group()
            || header.control.forward_count() != 0
    }

    /// The first Transaction that the reply answers: PGcount tells, and the Request's own groups are
    /// always among them.
    pub(super) fn covers_from(&self, reply: &Reply) -> Transaction {
        let own = self.outgoing.groups().saturating_sub(1);
        let before = u16::from(reply.before).max(own);
        self.transaction().minus(u32::from(before))
    }

    /// The transaction has a Response: the Request is not sent again, and a group's further
    /// Responses are taken if the user wants them.
    pub(super) fn answered(&mut self, client: &mut Client) {
        let collecting = self.flags.multicast && self.outgoing.mcb().code.has(Code::MRD);
        if matches!(self.state, State::Processing { .. }) {
            return;
        }
        if self.outgoing.first() != client.expected {
            // A Response with PGcount: the calls before are complete with it.
            client.expected = self.outgoing.first();
        }
        client.finished(self, collecting);
        client.answered = true;
    }

    fn enter_receiving(&mut self, client: &mut Client) {
        if self.first_transaction() == client.expected {
            client.receiving = true;
        }
        match self.state {
            State::AwaitingResponse | State::Locating => {
                self.state = State::ReceivingResponse;
                // The reply's timer takes over; the user's limit still holds.
                self.deadline = self.limit;
            }
            State::ReceivingResponse | State::Processing { .. } | State::Held => {}
        }
    }

    /// A Response without its data asks what is missing: that is answered at once.
    fn answer_header_only(
        &mut self,
        client: &mut Client,
        reply: &mut Reply,
        header: &Header,
        cx: &Context,
        step: &mut Step,
    ) {
        let asks = header.delivery.is_empty() && header.segment_octets() != 0;
        if !(asks || header.control.has(Control::APG) && begins_transmission(header)) {
            return;
        }
        let Some(group) = reply.incoming.group_of(header.transaction) else {
            return;
        };
        let complete = reply.incoming.complete_groups();
        if group >= complete && !asks {
            // Repeated data is not a question: what is missing may be right behind it.
            return;
        }
        if group > complete && !client.may_tell_gap(cx) {
            return;
        }
        step.notify = Some(if group > complete {
            notify(
                header,
                reply.incoming.current().minus(1),
                Mask::EMPTY,
                ResponseCode::RetryAll,
            )
        } else if group < complete {
            notify(
                header,
                reply.incoming.current().minus(1),
                Mask::ALL,
                ResponseCode::Ok,
            )
        } else if header.code.has(Code::DGM) {
            // 5.8: an idempotent Response is not sent in parts; the Request's timer repeats it.
            return;
        } else {
            reply.lossy = true;
            notify(
                header,
                header.transaction,
                reply.incoming.held(),
                ResponseCode::Retry,
            )
        });
    }

    pub(super) fn response_round_trip(&self, control: Control, now: Time) -> Option<Span> {
        // Once the server said that it works, a Response tells how long the work took. A long
        // Response is measured by its first packet only.
        let first =
            self.state == State::AwaitingResponse && !self.is_accepted() && !self.flags.multicast;
        if !first {
            return None;
        }
        let count = control.retransmit_count();
        let span = match self.outgoing.round_trip(count, now) {
            Some(span) => span,
            None => self.first_round_trip(count, now)?,
        };
        // The server's work is in it as well: it never tells more than is assumed without it.
        (span <= timers::FIRST_ROUND_TRIP).then_some(span)
    }

    /// The round trip of the first transmission, if that is what is answered although there were others since: of one
    /// that has grown beyond TC1 nothing else would ever tell.
    fn first_round_trip(&self, count: u8, now: Time) -> Option<Span> {
        let units = brief(now)?.get().wrapping_sub(self.first_sent?.get());
        (count == 0).then(|| Span::from_nanos(u64::from(units).wrapping_shl(10)))
    }
}
