// SPDX-License-Identifier: GPL-2.0 OR MIT

//! RemoteClientTimeout of RFC 1045, 5.9.

use super::{Event, Keep, Remote, State, Step, To};
use crate::proto::context::Context;
use crate::proto::path::GroupFate;
use crate::proto::time::{Span, Time};
use crate::proto::timers;
use crate::proto::wire::{Control, Mask, ResponseCode};

impl Remote {
    /// The record's deadline has passed. `room` says whether another Request fits the server's queue
    /// and its memory.
    pub fn timeout(&mut self, room: bool, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if self.receive_deadline.has_come(cx.now) {
            self.receive_timeout(room, cx, &mut step);
            return step;
        }
        if !self.deadline.has_come(cx.now) {
            return step;
        }
        self.flags.seeking = false;
        match self.state {
            State::Responded
                if self.flags.response_held && self.amplifies(self.outgoing.segment_octets()) =>
            {
                // The Client was not there and has not asked again: what waits behind is void as well.
                self.abandon_all(cx, &mut step);
            }
            State::Responded if self.flags.response_held => {
                // DRT: the delay is over.
                return self.send_held(cx, step);
            }
            State::Responded if self.flags.idempotent || self.outgoing.segment_octets() == 0 => {
                self.expire(cx, &mut step)
            }
            State::Responded => {
                if self.outgoing.transmissions() > cx.policy.retries {
                    self.discard_response(cx, &mut step);
                    return step;
                }
                let ends = self.ends();
                let sent = self.send_more(&mut step, |outgoing| {
                    // BUSY had everything forgotten: then all of it goes again.
                    let next = outgoing.advance(&ends, cx.timing.window, cx);
                    next.or_else(|| Some(outgoing.repeat(&ends, true, cx)))
                });
                if !sent {
                    // Whoever asked may not be there (decision 28). A Client that is asks again.
                    self.outgoing.pass_over();
                }
                self.deadline = self.outgoing.after(self.retry_wait(cx), cx);
            }
            State::Processing => {
                // TS2: nothing of the Client has come for a long time.
                let end = self.heard.plus(timers::ORPHAN);
                if end.has_come(cx.now) {
                    self.abandon_all(cx, &mut step);
                    step.event = Event::Ended;
                } else {
                    self.deadline = end;
                }
            }
            State::Forwarded => self.forward_timeout(cx, &mut step),
            State::ResponseDiscarded | State::AwaitingRequest => self.expire(cx, &mut step),
        }
        step
    }

    fn expire(&mut self, cx: &Context, step: &mut Step) {
        // TS4 counts from the last that was heard: a Client that still asks may have duplicates
        // under way.
        let end = self.heard.plus(cx.policy.record_lifetime);
        if self.incoming.is_some() || self.queued != 0 || !end.has_come(cx.now) {
            self.deadline = if end.has_come(cx.now) {
                cx.now.plus(cx.policy.record_lifetime)
            } else {
                end
            };
            return;
        }
        self.deadline = Time::NEVER;
        self.state = State::AwaitingRequest;
        step.release = true;
        step.event = Event::Expired;
    }

    pub(super) fn retry_wait(&self, cx: &Context) -> Span {
        let first = cx.timing.acknowledgment(self.outgoing.segment_octets());
        timers::wait(
            self.outgoing.transmissions(),
            first,
            cx.timing.round_trip,
            cx.random,
        )
    }

    /// The rest of a packet group has not come.
    fn receive_timeout(&mut self, room: bool, cx: &Context, step: &mut Step) {
        self.receive_deadline = Time::NEVER;
        step.received = Some(GroupFate::Lossy);
        self.flags.lossy = true;
        let no_retransmission =
            self.flags.incoming_datagram || self.incoming_control.has(Control::NRT);
        let exhausted = self.incoming.retries() >= cx.policy.retries;
        let may_ask = self.may_ask();
        if !no_retransmission && !exhausted {
            self.incoming.retry();
            let transaction = self.incoming.current();
            let held = self.incoming.held();
            if may_ask {
                self.notify(step, transaction, held, ResponseCode::Retry);
            }
            let between = cx.timing.round_trip.at_least(cx.timing.packet_gap);
            let wait = timers::wait(self.incoming.retries(), between, between, cx.random);
            self.receive_deadline = cx.now.plus(wait);
            return;
        }
        if self.incoming.is_masked() {
            // 5.9: delivered with what came.
            self.incoming.accept_incomplete();
            if !self.flags.probing {
                self.deliver_complete(room, cx, step);
            }
            return;
        }
        let transaction = self.incoming.current();
        let held = self.incoming.held();
        self.forget_incoming();
        self.flags.probing = false;
        step.keep = Keep::Restart;
        if self.state == State::AwaitingRequest {
            self.deadline = cx.now.plus(cx.policy.record_lifetime);
        }
        if !no_retransmission && !self.flags.incoming_multicast && may_ask {
            self.notify(step, transaction, held, ResponseCode::TooManyRetries);
        }
    }

    fn forward_timeout(&mut self, cx: &Context, step: &mut Step) {
        if self.flags.forward_accepted {
            self.discard_response(cx, step);
            return;
        }
        if self.outgoing.transmissions() > cx.policy.retries {
            // 5.3: the new server stays silent.
            self.notify(
                step,
                self.transaction,
                Mask::ALL,
                ResponseCode::RetransTimeout,
            );
            self.discard_response(cx, step);
            self.go_on(step);
            return;
        }
        let ends = self.ends();
        step.burst = Some(self.outgoing.repeat(&ends, true, cx));
        step.to = To::ForwardServer;
        self.deadline = self.outgoing.after(self.retry_wait(cx), cx);
    }
}
