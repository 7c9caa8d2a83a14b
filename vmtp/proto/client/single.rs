// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The common case: a transaction that stands alone, whose Request and Response are one packet each.
//!
//! Each function here does what the general one does and leaves the same state, without the parts
//! that have nothing to do in this case. `None` says that the case is another one and that nothing
//! has changed: then the general one is to be asked.

use super::{Call, Client, Delivery, Flags, Reply, ReplyState, Request, Run, State, RUN_LIMIT};
use crate::proto::burst::Packet;
use crate::proto::context::Timing;
use crate::proto::incoming::Incoming;
use crate::proto::outgoing::Outgoing;
use crate::proto::peer::Peer;
use crate::proto::time::{Span, Time};
use crate::proto::wire::{padded, Code, Control, Header, Mask, GROUP_OCTETS};

/// A Response that came whole in one packet: nothing of it was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Single {
    /// How it is delivered.
    pub delivery: Delivery,
    /// A measured round trip for the path to the peer.
    pub round_trip: Option<Span>,
}

impl Client {
    /// [`Client::start`] into `call`, which has ended. The packet is all there is to send.
    /// `data_limit` is the octets of padded segment data that one packet may carry; `streaming` as in
    /// `Policy`.
    #[inline]
    pub fn start_single(
        &mut self,
        call: &mut Call,
        request: &Request,
        data_limit: u32,
        timing: &Timing,
        streaming: bool,
        now: Time,
    ) -> Option<Packet> {
        let octets = request.mcb.segment_octets();
        let is_single = self.open == 0
            && !request.streamed
            && request.peer.is_known()
            && octets <= GROUP_OCTETS
            && padded(octets) <= data_limit
            && !request.mcb.code.has(Code::DGM | Code::MDM)
            && timing.pause == Span::ZERO;
        if !is_single {
            return None;
        }
        let skip = request.large_response && streaming;
        let mut bits = request.flags
            & (Control::APG | Control::NRT | Control::MDG | Control::DRT | Control::NRS);
        if skip {
            bits |= Control::STI;
        }
        let control = Control::default()
            .with(bits)
            .with_priority(request.priority)
            .with_gap(timing.receive_gap);
        let first = self.next;
        self.next = first.plus(if skip { 256 } else { 1 });
        self.run = Run::Closed;
        self.receiving = false;
        self.answered = false;
        self.overflow = false;
        self.expected = first;
        self.limit = RUN_LIMIT as u8;
        self.open = 1;
        call.server = request.server;
        call.peer = request.peer;
        call.outgoing = Outgoing::new(request.mcb, control, request.hco, first);
        call.limit = request.limit;
        call.state = State::AwaitingResponse;
        call.flags = Flags {
            found: request.found,
            multicast: request.multicast,
            streamed: false,
            working: 0,
            resend_all: false,
            lossy: false,
            locating: false,
            came_back: 0,
            missing: false,
            unreachable_after: 0,
            still_unreachable: false,
        };
        let ends = self.ends(call);
        let packet = call.outgoing.send_single(&ends, now);
        call.first_sent = super::brief(now);
        call.deadline = now.plus(timing.first_response()).earlier(call.limit);
        Some(packet)
    }
}

impl Call {
    /// [`Call::response`] with an empty `reply`.
    #[inline]
    pub fn response_single(
        &mut self,
        client: &mut Client,
        reply: &mut Reply,
        header: &Header,
        peer: Peer,
        waiting: bool,
        now: Time,
    ) -> Option<Single> {
        let control = header.control;
        let octets = header.segment_octets();
        let transaction = self.transaction();
        let is_single = self.state == State::AwaitingResponse
            && reply.state == ReplyState::Empty
            && !self.flags.multicast
            && !self.flags.streamed
            && header.transaction == transaction
            && header.server == self.server
            && !control.has(Control::NSR | Control::NER | Control::CMG | Control::APG)
            && !header.code.has(Code::MDM)
            && (waiting || !header.code.has(Code::CMD))
            && octets <= GROUP_OCTETS
            && header.delivery == Mask::for_octets(octets);
        if !is_single {
            return None;
        }
        let round_trip = self.response_round_trip(control, now);
        *reply = Reply {
            server: header.server,
            peer,
            incoming: Incoming::single(header, now),
            deadline: Time::NEVER,
            state: ReplyState::Delivered,
            idempotent: header.code.has(Code::DGM),
            no_retransmission: control.has(Control::NRT),
            lossy: false,
            before: control.pg_count(),
        };
        let delivery = Delivery {
            code: None,
            segment_octets: octets,
            message_delivery: None,
            covers_from: self.covers_from(reply),
        };
        self.answered(client);
        Some(Single {
            delivery,
            round_trip,
        })
    }
}
