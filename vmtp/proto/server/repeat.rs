// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A packet of the current Request again (RFC 1045, 5.3, 5.7): the Client waits, and is told or sent
//! what there is.

use super::{Drop, Keep, Remote, Service, Source, State, Step, To};
use crate::proto::context::Context;
use crate::proto::incoming::begins_transmission;
use crate::proto::wire::{Control, Header, Mask, ResponseCode, OVERHEAD_OCTETS};

impl Remote {
    /// A packet of the current Request again.
    pub(super) fn repeated(
        &mut self,
        header: &Header,
        source: &Source,
        service: &Service,
        cx: &Context,
        step: &mut Step,
    ) {
        let first = begins_transmission(header);
        step.keep = Keep::Drop(Drop::Duplicate);
        match self.state {
            State::Processing => {
                // The Response echoes the count of the last transmission.
                self.request = self
                    .request
                    .with_retransmit_count(header.control.retransmit_count());
                if first && !source.multicast {
                    self.notify(step, header.transaction, Mask::ALL, ResponseCode::Ok);
                }
            }
            State::Responded if self.flags.response_held => {
                if first && !self.flags.probing && self.amplifies(self.outgoing.segment_octets()) {
                    self.prove_client(step);
                }
            }
            State::Responded if self.flags.idempotent => {
                // 2.5.4: the server makes the Response anew.
                self.state = State::AwaitingRequest;
                let groups = u32::from(self.groups);
                self.last = self.transaction.minus(groups);
                let first = self.last.next();
                self.begin_receiving(header, first, source, service, cx, step);
            }
            State::Responded => {
                if first {
                    self.repeat_response(header.control, cx, step);
                }
            }
            State::ResponseDiscarded => {
                if first && !source.multicast {
                    let code = if self.flags.datagram {
                        ResponseCode::Ok
                    } else {
                        ResponseCode::ResponseDiscarded
                    };
                    if !self.flags.datagram || header.control.has(Control::APG) {
                        self.notify(step, header.transaction, Mask::ALL, code);
                    }
                }
            }
            State::Forwarded => {
                if header.control.has(Control::APG) && !source.multicast {
                    self.notify(step, header.transaction, Mask::ALL, ResponseCode::Ok);
                }
                if first {
                    self.repeat_forwarded(header.control, cx, step);
                }
            }
            State::AwaitingRequest => {}
        }
    }

    /// The Request that is being received or processed here was here before, with a lower
    /// ForwardCount: this is a packet of that time. It is not executed (5.7). But whoever sent it
    /// waits for what becomes of the Request, which is known here: the record answers as one that
    /// forwarded it (5.3), and with the Response if that was made here.
    pub(super) fn passed_on_before(
        &mut self,
        header: &Header,
        source: &Source,
        cx: &Context,
        step: &mut Step,
    ) {
        step.keep = Keep::Drop(Drop::Old);
        if !self.flags.came_back || source.multicast || !begins_transmission(header) {
            return;
        }
        if self.is_receiving_group(header.transaction) {
            self.incoming_received = self.incoming_received.saturating_add(OVERHEAD_OCTETS);
        } else {
            self.allow_for(OVERHEAD_OCTETS);
        }
        let code = match self.state {
            State::AwaitingRequest | State::Processing => ResponseCode::Ok,
            State::Forwarded => {
                self.repeat_forwarded(header.control, cx, step);
                ResponseCode::Ok
            }
            State::Responded if self.flags.response_held => ResponseCode::Ok,
            // It cannot be made anew of a Request that has changed since.
            State::Responded if self.flags.idempotent => return,
            State::Responded => {
                self.repeat_response(header.control, cx, step);
                return;
            }
            // Of the Request being received there is no Response yet.
            State::ResponseDiscarded if self.incoming.is_some() => ResponseCode::Ok,
            State::ResponseDiscarded => ResponseCode::ResponseDiscarded,
        };
        if header.control.has(Control::APG) {
            let last = core::mem::replace(&mut self.control, header.control);
            self.notify(step, header.transaction, Mask::ALL, code);
            self.control = last;
            step.notify_sender = true;
        }
    }

    /// The Client asks again for a Request that was forwarded: so does the forwarder, which has its
    /// data no more once they were acknowledged (5.6.3, 5.7).
    pub(super) fn repeat_forwarded(&mut self, asked: Control, cx: &Context, step: &mut Step) {
        let without_data =
            self.outgoing.segment_octets() == 0 || !self.outgoing.control().has(Control::NRT);
        if self.flags.forward_accepted && !(asked.has(Control::APG) && without_data) {
            return;
        }
        let ends = self.ends();
        step.burst = Some(self.outgoing.repeat(&ends, true, cx));
        step.to = To::ForwardServer;
    }
}
