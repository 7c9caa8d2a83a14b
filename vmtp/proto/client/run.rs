// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs of transactions (RFC 1045, 2.11): what happens to the calls of one Client together.

use super::{Call, Client, Event, State, Step};
use crate::proto::context::Context;
use crate::proto::wire::{Control, ResponseCode, Transaction};

impl Client {
    /// A Response with PGcount answered `call` too, which gets none of its own (2.11). Call it for
    /// every open call between the delivery's `covers_from` and the answered call, oldest first.
    pub fn covered(&mut self, call: &mut Call) {
        self.finished(call, false);
    }

    /// The run failed at a later call: this one fails with it (4.9).
    pub fn failed(&mut self, call: &mut Call, code: ResponseCode) -> Step {
        if matches!(call.state, State::Processing { .. }) {
            return Step::NOTHING;
        }
        self.failed_at(call);
        Step {
            event: Event::Finished(code),
            ..Step::NOTHING
        }
    }

    /// Whether a held call of the run may go out now. `no_streaming` as the path tells.
    pub fn may_send(&self, call: &Call, outstanding: u16, no_streaming: bool) -> bool {
        let limit = if no_streaming {
            1
        } else {
            u16::from(self.limit)
        };
        call.state == State::Held && outstanding < limit
    }
}

impl Call {
    /// Sends a held call, after [`Client::may_send`].
    pub fn release(&mut self, client: &mut Client, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if self.state != State::Held {
            return step;
        }
        if cx.timing.no_streaming {
            self.stand_alone();
        }
        if self.peer.is_known() {
            self.begin(client, cx, &mut step);
        } else {
            self.locate(&mut step);
        }
        step
    }

    /// The server has everything of the run up to `after` and nothing later (RETRY_ALL,
    /// NO_RUN_RECORD): a call behind that is sent again, if it follows what the server has then, which
    /// `after` goes on to. `first` starts the run anew with it, and is over with that.
    pub fn resend(
        &mut self,
        client: &mut Client,
        after: &mut Transaction,
        first: &mut bool,
        cx: &Context,
    ) -> Step {
        let mut step = Step::NOTHING;
        if self.transaction().since(*after) <= 0 {
            return step;
        }
        match self.state {
            State::AwaitingResponse if !self.flags.resend_all => {}
            State::ReceivingResponse => {
                *after = self.transaction();
                return step;
            }
            State::AwaitingResponse | State::Held | State::Locating | State::Processing { .. } => {
                return step
            }
        }
        if client.overflow {
            // It goes out again when there is room.
            self.outgoing.restart();
            self.state = State::Held;
            self.deadline = self.limit;
            return step;
        }
        let group = self.outgoing.group_of(*after);
        if !*first && group.is_none() && !self.is_just_after(*after) {
            // What comes before it does not, or later: the server could not take it.
            return step;
        }
        if core::mem::take(first) {
            let control = self.outgoing.control().without(Control::NSR);
            self.outgoing.set_control(control);
        }
        let ends = client.ends(self);
        *after = self.transaction();
        step.burst = self.outgoing.resume(&ends, group, cx.timing.window, cx);
        self.outgoing.heard();
        self.wait(cx, self.response_time(cx));
        step
    }
}
