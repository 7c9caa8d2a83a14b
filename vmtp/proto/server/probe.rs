// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What became of the Probe of a Client (RFC 1045, 5.3, decisions 20 and 28): its Request is executed,
//! its Response leaves, or neither.

use super::{Event, Keep, Remote, State, Step};
use crate::proto::context::Context;
use crate::proto::incoming::Incoming;
use crate::proto::time::Time;
use crate::proto::timers;
use crate::proto::wire::{Mask, ResponseCode, Transaction};

impl Remote {
    /// The Client's manager answered the Probe, or did not. `current` is its current Transaction if
    /// the Client exists.
    ///
    /// A Request older than that is a late duplicate: it is not executed. `room` says whether another
    /// Request fits the server's queue and its memory: others were delivered meanwhile.
    pub fn probed(&mut self, current: Option<Transaction>, room: bool, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if !self.flags.probing {
            return step;
        }
        self.flags.probing = false;
        let Some(current) = current else {
            // Nobody is there: all that was received is void, and may come again.
            if self.incoming.is_some() {
                self.forget_incoming();
                step.keep = Keep::Restart;
            }
            if self.state == State::Responded {
                // The Probe may have been lost: a Client that asks again is probed again. Where
                // nobody asks there is nobody to send the Response to.
                if self.flags.response_held {
                    self.deadline = cx.now.plus(timers::ORPHAN);
                }
                return step;
            }
            self.abandon_all(cx, &mut step);
            if self.is_passed_on() {
                // Whoever passed it on need not wait.
                let transaction = self.newest().plus(1);
                self.notify(
                    &mut step,
                    transaction,
                    Mask::EMPTY,
                    ResponseCode::ResponseDiscarded,
                );
            }
            step.keep = Keep::Restart;
            self.deadline = cx.now.plus(cx.policy.record_lifetime);
            return step;
        };
        self.flags.probed = true;
        if self.incoming.is_some() && self.incoming.last().is_older_than(current) {
            self.last = current.minus(1);
            self.incoming = Incoming::NONE;
            self.receive_deadline = Time::NEVER;
            step.keep = Keep::Restart;
            self.deadline = cx.now.plus(cx.policy.record_lifetime);
        }
        if self.flags.response_held {
            step = self.send_held(cx, step);
        }
        self.deliver_waiting(room, cx, &mut step);
        step
    }

    /// A complete Request that waited for the Probe is delivered, unless another of the run goes
    /// first.
    pub(super) fn deliver_waiting(&mut self, room: bool, cx: &Context, step: &mut Step) {
        let waits = self.incoming.is_some() && self.incoming.is_complete();
        if waits && !self.flags.probing && step.event == Event::None {
            self.deliver_complete(room, cx, step);
        }
    }

    /// The complete Request is delivered if there is room for it.
    pub(super) fn deliver_complete(&mut self, room: bool, cx: &Context, step: &mut Step) {
        if room {
            self.deliver(cx, step);
        } else {
            self.drop_for_room(self.incoming.last(), cx, step);
        }
    }
}
