// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A complete Request goes to the server, or waits for those of its run before it (RFC 1045, 5.7, 2.11).

use super::{Arrival, Event, Remote, Retained, State, Step};
use crate::proto::context::Context;
use crate::proto::incoming::Incoming;
use crate::proto::time::Time;
use crate::proto::timers;
use crate::proto::wire::{Control, Transaction};

impl Remote {
    /// The complete Request goes to the server, or behind the one in progress.
    pub(super) fn deliver(&mut self, cx: &Context, step: &mut Step) {
        let arrival = Arrival {
            transaction: self.incoming.last(),
            groups: self.incoming.groups(),
            segment_octets: self.incoming.segment_octets(),
            message_delivery: self.incoming.is_masked().then(|| self.incoming.held()),
            queued: self.is_occupied(),
            control: self.incoming_control,
            datagram: self.flags.incoming_datagram,
            multicast: self.flags.incoming_multicast,
            received: self.incoming_received,
            reception: None,
        };
        self.last = arrival.transaction;
        self.flags.skip = arrival.control.has(Control::STI);
        self.incoming = Incoming::NONE;
        self.receive_deadline = Time::NEVER;
        if arrival.queued {
            self.queued = self.queued.saturating_add(1);
        } else {
            self.accept(&arrival, cx, step);
        }
        step.event = Event::Request(arrival);
    }

    /// Whether a complete Request of the run has to wait: for the one in progress, for its Response
    /// to leave, or behind others.
    pub(super) fn is_occupied(&self) -> bool {
        self.state == State::Processing || self.queued != 0 || self.flags.response_held
    }

    /// A queued Request of the run, oldest first, goes to the server after [`Event::Next`].
    pub fn begin(&mut self, arrival: &Arrival, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        self.queued = self.queued.saturating_sub(1);
        self.accept(arrival, cx, &mut step);
        // It was received before this one was answered, and is queued behind it.
        self.deliver_waiting(true, cx, &mut step);
        step
    }

    fn accept(&mut self, arrival: &Arrival, cx: &Context, step: &mut Step) {
        let streamed = arrival.control.has(Control::NSR) || arrival.control.has(Control::NER);
        if arrival.control.has(Control::NSR) && self.state == State::Responded {
            let kept = self.flags.streamed && !self.flags.idempotent;
            step.retain = kept.then(|| Retained::of(self));
        }
        self.process(arrival, cx.now);
        self.flags.streamed = streamed;
        // TS2 is for Requests whose Client goes on asking: not for groups, datagrams, forwards. These
        // are orphans only after a time in which no Client waits any more, but do not stay for ever.
        if arrival.multicast || self.forward_count != 0 {
            self.deadline = cx.now.plus(cx.policy.record_lifetime.times(4));
        }
    }

    /// The Request is with the server: one of no run, until it is an orphan.
    pub(super) fn process(&mut self, arrival: &Arrival, now: Time) {
        self.state = State::Processing;
        self.request = arrival.control;
        self.flags.datagram = false;
        self.transaction = arrival.transaction;
        self.groups = arrival.groups;
        self.forward_count = arrival.control.forward_count();
        self.priority = arrival.control.priority();
        self.flags.multicast = arrival.multicast;
        self.flags.streamed = false;
        self.flags.idempotent = false;
        self.flags.forward_accepted = false;
        self.flags.seeking = false;
        self.flags.sought = false;
        self.allowed = 0;
        self.allow_for(arrival.received);
        self.deadline = now.plus(timers::ORPHAN);
    }

    /// Whether a datagram of the Client, which was delivered and nobody has taken yet, is still of its present run and
    /// was not aborted: those of a run wait for each other (2.8), whatever has come behind them.
    pub fn keeps_datagram(&self, transaction: Transaction) -> bool {
        transaction.since(self.answered) > 0
    }

    /// The Request just delivered or begun is a datagram: it gets no Response, and the record only
    /// filters duplicates (5.7). The server still handles it before the next of the run.
    pub fn is_datagram(&mut self, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if self.state == State::Processing {
            self.flags.datagram = true;
            self.state = State::ResponseDiscarded;
            self.deadline = cx.now.plus(cx.policy.record_lifetime);
            self.go_on(&mut step);
        }
        step
    }

    /// [`Event::Next`] if a Request of the run waits and none before it is in progress any more.
    pub fn next(&self) -> Step {
        let mut step = Step::NOTHING;
        let busy = match self.state {
            State::Processing | State::Forwarded => true,
            State::AwaitingRequest | State::Responded | State::ResponseDiscarded => {
                self.flags.response_held
            }
        };
        if !busy {
            self.go_on(&mut step);
        }
        step
    }
}
