// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Forward of RFC 1045, 2.9 and 5.6.3: another server is asked to answer the Client directly.
//!
//! Where the RFC wants a nested call instead, the host makes it from the server's own entity and
//! answers with its Response.

use super::{Drop, Keep, Remote, State, Step, To};
use crate::proto::context::Context;
use crate::proto::outgoing::Outgoing;
use crate::proto::wire::{
    Control, Entity, Mask, Mcb, NotifyVmtpClient, ResponseCode, Transaction, GROUP_OCTETS,
};

/// The largest ForwardCount: a Request that has it is forwarded by a nested call.
pub(super) const FORWARD_COUNT_MAX: u8 = 15;

/// What the server's user passes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// The server that is to answer.
    pub server: Entity,
    /// The message control block of the new Request.
    pub mcb: Mcb,
    /// Flags the user asked for: any of NRT.
    pub flags: u32,
    /// Checksum over the header only.
    pub hco: bool,
}

/// Why a Request is not forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForwardError {
    /// There is no such Request.
    NoRequest,
    /// It must be done by a nested call: it was multicast, was forwarded 15 times, belongs to a run,
    /// or is longer than a packet group.
    Nested,
}

impl Remote {
    /// The server passes the Request with this Transaction on. The burst is for the new server,
    /// whose host must be found.
    ///
    /// # Errors
    ///
    /// See [`ForwardError`]; the Request stays with the server.
    pub fn forward(
        &mut self,
        transaction: Transaction,
        forward: &Forward,
        cx: &Context,
    ) -> Result<Step, ForwardError> {
        if self.state != State::Processing || transaction != self.transaction {
            return Err(ForwardError::NoRequest);
        }
        let octets = forward.mcb.segment_octets();
        let nested = self.flags.multicast
            || self.flags.streamed
            || self.groups != 1
            || octets > GROUP_OCTETS
            || self.forward_count >= FORWARD_COUNT_MAX;
        if nested {
            return Err(ForwardError::Nested);
        }
        // 5.6.3: the first transmission of a segment asks for acknowledgment, so that it can go.
        let ask = if octets != 0 { Control::APG } else { 0 };
        let large = self.request.bits() & Control::STI;
        let control = Control::default()
            .with(forward.flags & Control::NRT | ask | large)
            .with_forward_count(self.forward_count.saturating_add(1))
            .with_priority(self.priority)
            .with_gap(cx.timing.receive_gap);
        self.outgoing = Outgoing::new(forward.mcb, control, forward.hco, self.transaction);
        self.other = forward.server;
        self.state = State::Forwarded;
        self.flags.forward_accepted = false;
        let ends = self.ends();
        let mut step = Step::NOTHING;
        step.burst = self.outgoing.advance(&ends, 1, cx);
        step.to = To::ForwardServer;
        self.deadline = self.outgoing.after(cx.timing.first_response(), cx);
        Ok(step)
    }

    /// Whether a NotifyRemoteVmtpClient is about the Request that was forwarded from here: the same
    /// Request may have been forwarded to another server of this host, and from there again.
    pub fn is_forward_notified_by(&self, notify: &NotifyVmtpClient) -> bool {
        self.state == State::Forwarded
            && notify.client == self.client
            && notify.transaction == self.transaction
            && notify.control.forward_count() == self.forward_count.saturating_add(1)
    }

    /// NotifyRemoteVmtpClient from the server that was asked to answer.
    pub fn forward_notified(&mut self, notify: &NotifyVmtpClient, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if !self.is_forward_notified_by(notify) {
            step.keep = Keep::Drop(Drop::Unwanted);
            return step;
        }
        let ends = self.ends();
        match ResponseCode::from_bits(notify.code.bits()) {
            Some(ResponseCode::Ok) => {
                step.round_trip = self
                    .outgoing
                    .round_trip(notify.control.retransmit_count(), cx.now);
                self.outgoing.acknowledge(0);
                self.flags.forward_accepted = true;
                // It has been where it was looked for last: there is nothing more to be sent elsewhere.
                self.flags.seeking = false;
                // The data may go; the record answers for it until it must be over.
                step.release = true;
                self.deadline = cx.now.plus(cx.policy.record_lifetime);
            }
            Some(ResponseCode::Retry | ResponseCode::RetryAll) if !self.flags.forward_accepted => {
                step.burst = self.outgoing.missing(&ends, 0, notify.delivery, cx).burst;
                step.to = To::ForwardServer;
                self.deadline = self.outgoing.after(cx.timing.first_response(), cx);
            }
            Some(ResponseCode::Busy) if !self.flags.forward_accepted => {
                let wait = self.outgoing.refused(cx.timing.first_response(), cx);
                self.deadline = self.outgoing.after(wait, cx);
            }
            Some(ResponseCode::ResponseDiscarded) => {
                // The new server's Response was sent and acknowledged.
                self.discard_response(cx, &mut step);
                self.go_on(&mut step);
            }
            Some(ResponseCode::Retry | ResponseCode::RetryAll | ResponseCode::Busy) => {}
            // It lives elsewhere, or was taken to live where it does not: as long as there is
            // something to send, everybody is asked, once.
            Some(ResponseCode::EntityMigrated | ResponseCode::NonexistentEntity)
                if !self.flags.forward_accepted && !self.flags.sought =>
            {
                self.flags.sought = true;
                self.locate(cx, &mut step);
            }
            code => {
                // A final error is the Client's as well.
                let code = code.unwrap_or(ResponseCode::VmtpError);
                self.notify(&mut step, self.transaction, Mask::ALL, code);
                self.discard_response(cx, &mut step);
                self.go_on(&mut step);
            }
        }
        step
    }

    /// The host of the server to forward to cannot be found.
    pub fn forward_failed(&mut self, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if self.state == State::Forwarded {
            self.notify(
                &mut step,
                self.transaction,
                Mask::ALL,
                ResponseCode::NonexistentEntity,
            );
            self.discard_response(cx, &mut step);
            self.go_on(&mut step);
        }
        step
    }
}
