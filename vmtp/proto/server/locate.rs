// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where the Client of a Response is that has moved to another host, or the server that is to answer a
//! forwarded Request (RFC 1045, 5.8): everybody is asked at once, and what was sent to the wrong host
//! goes out from the start.

use super::{Event, Remote, State, Step, To};
use crate::proto::context::Context;
use crate::proto::peer::Peer;
use crate::proto::wire::Entity;

impl Remote {
    /// The entity that [`Event::Locate`] is about.
    pub const fn sought(&self) -> Entity {
        match self.state {
            State::Forwarded => self.other,
            State::AwaitingRequest
            | State::Processing
            | State::Responded
            | State::ResponseDiscarded => self.client,
        }
    }

    pub(super) fn locate(&mut self, cx: &Context, step: &mut Step) {
        if self.seek(cx) {
            step.event = Event::Locate;
        }
    }

    /// The host does not know where the server of the forwarded Request is, and will call
    /// [`Remote::located`]: meanwhile nothing is sent. `false` if it is looked for already.
    pub fn seek(&mut self, cx: &Context) -> bool {
        // Should the host never find an end, all goes on as it was.
        self.deadline = cx.now.plus(cx.policy.record_lifetime);
        !core::mem::replace(&mut self.flags.seeking, true)
    }

    /// Whether [`Remote::sought`] is looked for.
    pub const fn is_seeking(&self) -> bool {
        self.flags.seeking
    }

    /// [`Remote::sought`] was found on the host `peer`, or nowhere.
    pub fn located(&mut self, peer: Option<Peer>, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if !core::mem::take(&mut self.flags.seeking) {
            return step;
        }
        match (self.state, peer) {
            (State::Responded, Some(peer)) => {
                if self.forward_count == 0 {
                    self.peer = peer;
                }
                // It has answered from there.
                self.flags.probed = true;
                self.outgoing.restart();
                // What is not kept goes out at once.
                let window = if self.flags.idempotent {
                    u16::MAX
                } else {
                    cx.timing.window
                };
                let ends = self.ends();
                step.burst = self.outgoing.advance(&ends, window, cx);
                step.to = self.response_to();
                if self.flags.idempotent {
                    step.release = true;
                } else {
                    let wait = self.response_wait(&cx.timing, &cx.policy);
                    self.deadline = self.outgoing.after(wait, cx);
                }
            }
            (State::Responded, None) if self.flags.idempotent => step.release = true,
            // Nobody wants it any more.
            (State::Responded, None) => self.acknowledged(cx, &mut step),
            (State::Forwarded, Some(_)) => {
                self.outgoing.restart();
                let ends = self.ends();
                step.burst = self.outgoing.advance(&ends, 1, cx);
                step.to = To::ForwardServer;
                self.deadline = self.outgoing.after(cx.timing.first_response(), cx);
            }
            (State::Forwarded, None) => return self.forward_failed(cx),
            (State::AwaitingRequest | State::Processing | State::ResponseDiscarded, _) => {}
        }
        step
    }
}
