// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where the Server of a call is (RFC 1045, 4.6.1 note 1): what happens when its host is found, is not
//! found, or cannot be reached.

use super::{Call, Client, Event, Found, State, Step};
use crate::proto::context::Context;
use crate::proto::peer::Peer;
use crate::proto::wire::ResponseCode;

/// Who says that the Server cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreachable {
    /// ICMP "protocol unreachable": the host is there, and VMTP is not.
    Protocol,
    /// ICMP "host unreachable" or "network unreachable": only a hint (RFC 1122, 3.2.2.1), which
    /// a router gives while routes change and this host itself when a link loses ARP packets.
    Host,
    /// A host that was not asked, or whoever wrote an ICMP error that quotes no Transaction.
    Hearsay,
}

impl Call {
    pub(super) fn locate(&mut self, step: &mut Step) {
        self.state = State::Locating;
        self.deadline = self.limit;
        step.event = Event::Locate;
    }

    /// The Server's host was found: the Request goes there, from the start if that is another host
    /// than before.
    pub fn located(&mut self, client: &mut Client, peer: Peer, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        self.flags.locating = false;
        let waiting = match self.state {
            State::Locating => true,
            State::AwaitingResponse => peer != self.peer,
            State::Held | State::ReceivingResponse | State::Processing { .. } => false,
        };
        if waiting {
            self.flags.found = Found::Certain;
            self.peer = peer;
            self.outgoing.restart();
            self.begin(client, cx, &mut step);
        }
        step
    }

    /// Nobody knows the Server.
    pub fn not_located(&mut self, client: &mut Client) -> Step {
        self.flags.locating = false;
        self.flags.missing = true;
        match self.state {
            State::Locating => self.nonexistent(client),
            State::AwaitingResponse if self.flags.still_unreachable && !self.is_accepted() => {
                self.nonexistent(client)
            }
            State::Held
            | State::AwaitingResponse
            | State::ReceivingResponse
            | State::Processing { .. } => Step::NOTHING,
        }
    }

    pub(super) fn nonexistent(&mut self, client: &mut Client) -> Step {
        client.failed_at(self);
        Step {
            event: Event::Finished(ResponseCode::NonexistentEntity),
            ..Step::NOTHING
        }
    }

    /// Somebody says that the Server cannot be reached. It never ends a transaction that the server
    /// acknowledged. Otherwise everybody is asked at once, and without an answer a host that has no
    /// VMTP is the end; one that is unreachable only if it was so for a later transmission too.
    pub fn unreachable(&mut self, client: &mut Client, who: Unreachable) -> Step {
        let mut step = Step::NOTHING;
        let waits = self.state == State::AwaitingResponse;
        if !waits || self.is_accepted() || self.flags.multicast {
            return step;
        }
        let sent = self.outgoing.transmissions();
        match who {
            Unreachable::Protocol => self.locate(&mut step),
            Unreachable::Host if self.flags.unreachable_after == 0 => {
                self.flags.unreachable_after = sent;
                self.locate_meanwhile(&mut step);
            }
            Unreachable::Host if sent > self.flags.unreachable_after => {
                self.flags.still_unreachable = true;
                if self.flags.missing {
                    return self.nonexistent(client);
                }
            }
            // Of the same transmission, or of one that waited with it for an ARP reply.
            Unreachable::Host => {}
            Unreachable::Hearsay => self.locate_meanwhile(&mut step),
        }
        step
    }

    pub(super) fn locate_meanwhile(&mut self, step: &mut Step) {
        if !self.flags.locating && !self.flags.missing {
            self.flags.locating = true;
            step.event = Event::Locate;
        }
    }
}
