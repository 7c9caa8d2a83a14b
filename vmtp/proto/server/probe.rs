// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What became of the Probe of a Client (RFC 1045, 5.3, decisions 20 and 28): its Request is executed,
//! its Response leaves, or neither.

use super::{Event, Keep, Remote, State, Step};
use crate::proto::context::Context;
use crate::proto::incoming::Incoming;
use crate::proto::time::Time;
use crate::proto::timers;
use crate::proto::wire::{Mask, ResponseCode, Transaction};

/// What a Probe of a Client told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// Nobody has the Client, or says so.
    Absent,
    /// It is there, but its host does not tell its Transaction (NO_PERMISSION).
    Private,
    /// It is there, and this is its current Transaction.
    At(Transaction),
}

impl Remote {
    /// The Client's manager answered the Probe, or did not.
    ///
    /// A Request older than its current one is a late duplicate: it is not executed. `room` says whether another
    /// Request fits the server's queue and its memory: others were delivered meanwhile.
    pub fn probed(&mut self, client: Presence, room: bool, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if !self.flags.probing {
            return step;
        }
        self.flags.probing = false;
        if client == Presence::Absent {
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
        }
        if client == Presence::Private
            && self.state == State::AwaitingRequest
            && self.incoming.is_some()
        {
            self.refuse_private(cx, &mut step);
            return step;
        }
        self.flags.probed = true;
        let late = match client {
            Presence::At(current) if self.incoming.last().is_older_than(current) => Some(current),
            Presence::Absent | Presence::Private | Presence::At(_) => None,
        };
        if let Some(current) = late.filter(|_| self.incoming.is_some()) {
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

    /// Nothing is known here of the Client, and it does not tell whether its Request is a late duplicate: it cannot be
    /// served at most once.
    fn refuse_private(&mut self, cx: &Context, step: &mut Step) {
        let transaction = self.incoming.last();
        self.forget_incoming();
        step.keep = Keep::Restart;
        self.deadline = cx.now.plus(cx.policy.record_lifetime);
        if !self.flags.incoming_multicast {
            self.notify(step, transaction, Mask::EMPTY, ResponseCode::NoPermission);
        }
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
