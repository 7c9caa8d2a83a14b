// SPDX-License-Identifier: GPL-2.0 OR MIT

//! LocalClientTimeout of RFC 1045, 4.9.

use super::{Call, Client, Delivery, Event, Found, Reply, ReplyState, State, Step};
use crate::proto::context::Context;
use crate::proto::path::GroupFate;
use crate::proto::time::Time;
use crate::proto::timers;
use crate::proto::wire::{NotifyVmtpServer, ResponseCode};

/// Silent transmissions after which the Server is looked for elsewhere, while waiting goes on.
const LOCATE_AFTER: u8 = 3;

impl Call {
    /// The call's deadline has passed. With [`Event::Finished`] of RETRANS_TIMEOUT in a run, all its
    /// open calls have failed with that code (4.9): the server takes nothing behind this one.
    pub fn timeout(&mut self, client: &mut Client, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if !self.deadline.has_come(cx.now) {
            return step;
        }
        if self.limit.has_come(cx.now) {
            return self.give_up(client, ResponseCode::UserTimeout);
        }
        match self.state {
            State::AwaitingResponse
                if self.flags.streamed && self.first_transaction() != client.expected =>
            {
                // 2.11: a run has one timer, that of its oldest call.
                self.wait(cx, self.response_time(cx));
            }
            State::AwaitingResponse => {
                if self.outgoing.transmissions() > cx.policy.retries {
                    return self.give_up(client, ResponseCode::RetransTimeout);
                }
                let ends = client.ends(self);
                step.burst = if self.flags.resend_all {
                    self.flags.resend_all = false;
                    Some(self.outgoing.repeat_all(&ends, true, cx))
                } else {
                    Some(self.outgoing.repeat(&ends, true, cx))
                };
                self.wait(cx, self.retry_wait(cx));
                let silence = LOCATE_AFTER.min(cx.policy.retries).saturating_add(1);
                let silent = self.outgoing.transmissions() == silence;
                let guessed = self.flags.found == Found::Guessed && !self.flags.multicast;
                if silent && guessed && !self.is_accepted() && !self.flags.locating {
                    self.flags.locating = true;
                    step.event = Event::Locate;
                }
            }
            // Only the user's limit is armed in these.
            State::Held | State::Locating | State::ReceivingResponse => {
                self.deadline = self.limit;
            }
            State::Processing { .. } => self.deadline = Time::NEVER,
        }
        step
    }

    fn give_up(&mut self, client: &mut Client, code: ResponseCode) -> Step {
        client.failed_at(self);
        Step {
            event: Event::Finished(code),
            ..Step::NOTHING
        }
    }

    /// The reply's deadline has passed: packets of its group are missing.
    pub fn reply_timeout(&mut self, client: &mut Client, reply: &mut Reply, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if reply.state != ReplyState::Receiving || !reply.deadline.has_come(cx.now) {
            return step;
        }
        reply.deadline = Time::NEVER;
        if matches!(self.state, State::Processing { collecting: false }) {
            // The transaction ended with another Response, or without any.
            return step;
        }
        step.received = Some(GroupFate::Lossy);
        reply.lossy = true;
        let idempotent = reply.idempotent;
        let exhausted = if idempotent {
            self.outgoing.transmissions() > cx.policy.retries
        } else {
            reply.incoming.retries() >= cx.policy.retries
        };
        // Blocks of an idempotent Response are never asked for; of a group's further ones, neither
        // is the Request sent again.
        let further = idempotent && self.state != State::ReceivingResponse;
        if reply.no_retransmission || exhausted || further {
            return self.deliver_incomplete(client, reply, step);
        }
        if idempotent {
            // 4.9 note 1: the Request is sent again, and the server makes the Response anew.
            let ends = client.ends(self);
            step.burst = Some(self.outgoing.repeat(&ends, true, cx));
            reply.deadline = cx.now.plus(self.retry_wait(cx));
            return step;
        }
        reply.incoming.retry();
        step.notify = Some(NotifyVmtpServer {
            server: reply.server,
            client: client.entity,
            transaction: reply.incoming.current(),
            delivery: reply.incoming.held(),
            code: ResponseCode::Retry.code(),
        });
        let wait = timers::wait(
            reply.incoming.retries(),
            cx.timing.round_trip.at_least(cx.timing.packet_gap),
            cx.timing.round_trip.at_least(cx.timing.packet_gap),
            cx.random,
        );
        reply.deadline = cx.now.plus(wait);
        step
    }

    fn deliver_incomplete(
        &mut self,
        client: &mut Client,
        reply: &mut Reply,
        mut step: Step,
    ) -> Step {
        reply.state = ReplyState::Delivered;
        let held = reply.incoming.held();
        let masked = reply.incoming.is_masked();
        let octets = if masked {
            reply.incoming.segment_octets()
        } else {
            reply.incoming.contiguous_octets()
        };
        step.event = Event::Response(Delivery {
            code: (!masked).then_some(ResponseCode::BadReplySegment),
            segment_octets: octets,
            message_delivery: masked.then_some(held),
            covers_from: self.covers_from(reply),
        });
        self.answered(client);
        step
    }
}
