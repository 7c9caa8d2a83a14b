// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The common case: a Request that stands alone and its Response, one packet each.
//!
//! As in `client::single`: each function does what the general one does, or says `None`.

use super::respond::response_octets;
use super::{Arrival, Remote, Respond, Service, Source, State};
use crate::proto::burst::Packet;
use crate::proto::context::{Policy, Timing};
use crate::proto::outgoing::Outgoing;
use crate::proto::path::GroupFate;
use crate::proto::time::{Span, Time};
use crate::proto::wire::{
    padded, Code, Control, Header, Mask, ResponseCode, Transaction, GROUP_OCTETS,
};

impl Remote {
    /// [`Remote::request`] of a new Request that goes to the server at once. What was kept of the
    /// Request and the Response before (packets, segment) may go; no Response is retained.
    #[inline]
    pub fn request_single(
        &mut self,
        header: &Header,
        source: &Source,
        service: &Service,
        now: Time,
    ) -> Option<(Arrival, GroupFate)> {
        let control = header.control;
        let octets = header.segment_octets();
        let transaction = header.transaction;
        let at_rest = match self.state {
            State::AwaitingRequest | State::Responded | State::ResponseDiscarded => true,
            State::Processing | State::Forwarded => false,
        };
        let is_single = at_rest
            && !self.incoming.is_some()
            && self.queued == 0
            && !self.flags.probing
            && !self.flags.response_held
            && transaction.since(self.last) > 0
            && !self.is_current(transaction)
            && service.room
            && (!service.probe || (self.flags.probed && self.peer.is_same_host(&source.peer)))
            && !source.multicast
            && control.forward_count() == 0
            && !control.has(Control::NSR | Control::NER | Control::CMG | Control::APG)
            && !header.code.has(Code::DGM | Code::MDM | Code::CMD)
            && octets <= GROUP_OCTETS
            && header.delivery == Mask::for_octets(octets);
        if !is_single {
            return None;
        }
        // 5.3: whatever was before is over.
        self.heard = now;
        self.gap_quiet = Time::from_nanos(0);
        self.receive_deadline = Time::NEVER;
        self.last = transaction;
        self.answered = transaction.minus(1);
        self.skipped = 0;
        self.incoming_control = control;
        self.flags.came_back = false;
        self.flags.incoming_multicast = false;
        self.flags.incoming_datagram = false;
        self.flags.skip = control.has(Control::STI);
        self.incoming_received = self.hear(header, source);
        let received = if self.flags.lossy {
            GroupFate::Lossy
        } else {
            GroupFate::Clean
        };
        self.flags.lossy = false;
        let arrival = Arrival {
            transaction,
            groups: 1,
            segment_octets: octets,
            message_delivery: None,
            queued: false,
            control,
            datagram: false,
            multicast: false,
            received: self.incoming_received,
            reception: None,
        };
        self.process(&arrival, now);
        Some((arrival, received))
    }

    /// [`Remote::respond`] with a Response that goes to the record's peer at once. The packet is all
    /// there is to send; what the host kept of a segment before may go.
    #[inline]
    pub fn respond_single(
        &mut self,
        transaction: Transaction,
        respond: &Respond,
        data_limit: u32,
        timing: &Timing,
        policy: &Policy,
        now: Time,
    ) -> Option<Packet> {
        let octets = respond.mcb.segment_octets();
        let is_single = self.state == State::Processing
            && transaction == self.transaction
            && octets <= GROUP_OCTETS
            && padded(octets) <= data_limit
            && respond.earlier == 0
            && !respond.mcb.code.has(Code::DGM | Code::MDM)
            && respond.mcb.code.bits() != ResponseCode::ResponseDiscarded.bits()
            && timing.pause == Span::ZERO
            && !self.flags.multicast
            && self.forward_count == 0
            && self.queued == 0
            && !self.amplifies(octets);
        if !is_single {
            return None;
        }
        let skip = self.request.has(Control::STI) && policy.streaming;
        let control = self.response_control(respond, skip);
        self.outgoing = Outgoing::new(respond.mcb, control, respond.hco, transaction);
        self.answered = transaction;
        // Of the 256 identifiers it uses one (2.11).
        self.skipped = if skip { 255 } else { 0 };
        self.state = State::Responded;
        self.flags.idempotent = false;
        self.flags.group_response = false;
        self.flags.response_held = false;
        let ends = self.ends();
        let packet = self.outgoing.send_single(&ends, now);
        self.allowed = self.allowed.saturating_sub(response_octets(octets));
        self.deadline = now.plus(self.response_wait(timing, policy));
        Some(packet)
    }
}
