// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Respond of RFC 1045, 5.6.2, and the Responses of a run that are kept until the Client has them.

use super::{Drop, Event, Keep, Remote, State, Step, To};
use crate::proto::burst::Burst;
use crate::proto::context::{Context, Policy, Timing};
use crate::proto::incoming::begins_transmission;
use crate::proto::outgoing::{groups_of, Outgoing};
use crate::proto::time::{Span, Time};
use crate::proto::timers;
use crate::proto::wire::{
    padded, Code, Control, Header, Mask, Mcb, NotifyVmtpServer, Priority, ResponseCode,
    Transaction, BLOCK_OCTETS, GROUP_OCTETS, MESSAGE_OCTETS_MAX, OVERHEAD_OCTETS,
};

/// Octets sent for each octet received to a Client that was never probed, at most.
const AMPLIFICATION: u32 = 3;

/// What a Notify takes of the octets received, of which it is sent not more than three times as many.
pub(super) const NOTIFY_PART: u32 = OVERHEAD_OCTETS.div_ceil(AMPLIFICATION);

/// What the server's user answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Respond {
    /// The message control block; its Code may have CMD, DGM (idempotent), MDM and SDA.
    pub mcb: Mcb,
    /// Flags the user asked for: any of APG, NRT, and MDG for a group Response (2.7), which the
    /// members of the group that got the Request may take as well. And NRS, as
    /// [`Sequence::flags`](super::Sequence::flags) tells.
    pub flags: u32,
    /// Checksum over the header only.
    pub hco: bool,
    /// Instead of the Request's priority.
    pub priority: Option<Priority>,
    /// Earlier Requests of the run that this Response answers too.
    pub earlier: u8,
}

/// Why a Response is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RespondError {
    /// There is no such Request: it was answered, aborted, or is a datagram.
    NoRequest,
    /// More than 4 megaoctets, more than one group without STI, with MDM, or to a group.
    TooLarge,
}

/// A Response of a run that the Client has not acknowledged, while a later Request is processed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Retained {
    transaction: Transaction,
    groups: u16,
    /// Octets that the Client may get, as in the record.
    allowed: u32,
    outgoing: Outgoing,
}

impl Retained {
    /// The current Response of a record.
    pub(super) fn of(remote: &Remote) -> Retained {
        Retained {
            transaction: remote.transaction,
            groups: remote.groups,
            allowed: remote.allowed,
            outgoing: remote.outgoing,
        }
    }

    /// The Transaction of the Request it answers.
    pub const fn transaction(&self) -> Transaction {
        self.transaction
    }

    /// The Transaction of its last group.
    pub fn last(&self) -> Transaction {
        self.outgoing.last()
    }

    /// Whether `transaction` is a group of the Request, or of the Response.
    pub fn is_about(&self, transaction: Transaction) -> bool {
        let distance = self.transaction.since(transaction);
        (distance >= 0 && distance < i32::from(self.groups))
            || self.outgoing.group_of(transaction).is_some()
    }

    /// The Request came again: a Response with data asks what of it is missing (4.9 note 3). Only
    /// what asks for an answer gets one, and once for a transmission.
    pub fn repeat(&mut self, remote: &Remote, header: &Header, cx: &Context) -> Option<Burst> {
        if !header.control.has(Control::APG) || !begins_transmission(header) {
            return None;
        }
        self.allowed = self.allowed.saturating_add(allowed_for(OVERHEAD_OCTETS));
        let count = header.control.retransmit_count();
        let control = self.outgoing.control().with_retransmit_count(count);
        let before = self.outgoing;
        self.outgoing.set_control(control);
        let burst = self.outgoing.repeat(&remote.ends(), false, cx);
        self.allow(remote, before, Some(burst)).ok().flatten()
    }

    /// What was just sent of it, which was `before`, if its Client may get so much. If not it was not sent.
    fn allow(
        &mut self,
        remote: &Remote,
        before: Outgoing,
        burst: Option<Burst>,
    ) -> Result<Option<Burst>, Unsent> {
        if spend(&mut self.allowed, remote.flags.probed, burst) {
            return Ok(burst);
        }
        self.outgoing = before;
        Err(Unsent::Unproven)
    }

    /// NotifyVmtpServer about this Response, or about one of the run before or after it: the
    /// packets that follow (2.5.3, 5.8).
    ///
    /// # Errors
    ///
    /// See [`Unsent`].
    pub fn notified(
        &mut self,
        remote: &Remote,
        notify: &NotifyVmtpServer,
        cx: &Context,
    ) -> Result<Option<Burst>, Unsent> {
        self.allowed = self.allowed.saturating_add(allowed_for(OVERHEAD_OCTETS));
        let before = self.outgoing;
        let burst = self.wanted(remote, notify, cx)?;
        self.allow(remote, before, burst)
    }

    fn wanted(
        &mut self,
        remote: &Remote,
        notify: &NotifyVmtpServer,
        cx: &Context,
    ) -> Result<Option<Burst>, Unsent> {
        let ends = remote.ends();
        let window = cx.timing.window;
        let group = self.outgoing.group_of(notify.transaction);
        let through = notify.transaction.since(self.last()) >= 0;
        match ResponseCode::from_bits(notify.code.bits()) {
            Some(ResponseCode::Retry | ResponseCode::RetryAll)
                if self.outgoing.asked() >= cx.policy.retries =>
            {
                Err(Unsent::Finished)
            }
            Some(ResponseCode::Retry) => {
                let Some(group) = group else {
                    return Ok(None);
                };
                let missing = self.outgoing.missing(&ends, group, notify.delivery, cx);
                Ok(missing
                    .burst
                    .or_else(|| self.outgoing.advance(&ends, window, cx)))
            }
            Some(ResponseCode::RetryAll) if through => Err(Unsent::Finished),
            Some(ResponseCode::RetryAll) => {
                let covered = i32::from(self.outgoing.control().pg_count()).saturating_add(1);
                if self.transaction.since(notify.transaction) <= covered {
                    self.outgoing.ask(group);
                }
                Ok(self.outgoing.resume(&ends, group, window, cx))
            }
            // Of a Client that moved, the Request it waits for is the one it asks for again.
            Some(ResponseCode::Busy | ResponseCode::EntityMigrated) => Ok(None),
            // All else acknowledges what it names, and all before it.
            Some(_) | None if through => Err(Unsent::Finished),
            Some(_) | None => {
                let news = group.is_some_and(|group| self.outgoing.acknowledge(group));
                Ok(news
                    .then(|| self.outgoing.advance(&ends, window, cx))
                    .flatten())
            }
        }
    }
}

/// Why nothing of a Response of a run is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsent {
    /// It need not be kept any longer: the Client has it, does not want it, or asked in vain too often.
    Finished,
    /// It stays, and its Client is to be probed first ([`Remote::doubt`]): it asks again if it is there (decision 28).
    Unproven,
}

impl Remote {
    /// The server answers the Request with this Transaction.
    ///
    /// # Errors
    ///
    /// See [`RespondError`]; the Request stays with the server.
    pub fn respond(
        &mut self,
        transaction: Transaction,
        respond: &Respond,
        cx: &Context,
    ) -> Result<Step, RespondError> {
        if self.state != State::Processing || transaction != self.transaction {
            return Err(RespondError::NoRequest);
        }
        let octets = respond.mcb.segment_octets();
        let skip = self.request.has(Control::STI) && cx.policy.streaming;
        let to_group = respond.flags & Control::MDG != 0 && self.group().is_some();
        if octets > MESSAGE_OCTETS_MAX
            || (octets > GROUP_OCTETS && (!skip || to_group || respond.mcb.code.has(Code::MDM)))
        {
            return Err(RespondError::TooLarge);
        }
        let mut step = Step::NOTHING;
        if respond.mcb.code.bits() == ResponseCode::ResponseDiscarded.bits() {
            // 5.6.2: nothing is sent.
            self.discard_response(cx, &mut step);
            self.go_on(&mut step);
            return Ok(step);
        }
        self.outgoing = Outgoing::new(
            respond.mcb,
            self.response_control(respond, skip),
            respond.hco,
            self.transaction,
        );
        self.answered = self.transaction;
        // The Request's groups are now all that the Response answers.
        self.groups = self.groups.saturating_add(u16::from(respond.earlier));
        self.skipped = 0;
        if skip {
            // The identifiers of the 256 that this Response does not use (2.11).
            let used = self.outgoing.groups();
            self.skipped = u8::try_from(256u16.saturating_sub(used)).unwrap_or(u8::MAX);
        }
        self.state = State::Responded;
        self.flags.idempotent = respond.mcb.code.has(Code::DGM);
        self.flags.group_response = to_group;
        if self.amplifies(octets) {
            self.flags.response_held = true;
            self.prove_client(&mut step);
            return Ok(step);
        }
        if self.flags.multicast && self.request.has(Control::DRT) {
            // 3.2: a short random delay.
            self.flags.response_held = true;
            let delay = timers::RESPONSE_DELAY.fraction(cx.random.wrapping_shr(16), 16);
            self.deadline = cx.now.plus(delay);
            return Ok(step);
        }
        self.send_response(cx, &mut step);
        self.go_on(&mut step);
        Ok(step)
    }

    /// So many octets came of the Client.
    #[inline]
    pub(super) fn allow_for(&mut self, octets: u32) {
        self.allowed = self.allowed.saturating_add(allowed_for(octets));
    }

    /// Whether a Response with a segment of so many octets may go only to a Client that is there for certain, and this one
    /// is not yet (decision 28).
    pub(super) fn amplifies(&self, octets: u32) -> bool {
        !self.flags.probed && response_octets(octets) > self.allowed
    }

    /// Sends something of the Response, after its first transmission, unless that is more than a Client may get that may
    /// not be there (decision 28): then nothing is sent, and nothing has changed.
    pub(super) fn send_more(
        &mut self,
        step: &mut Step,
        transmit: impl FnOnce(&mut Outgoing) -> Option<Burst>,
    ) -> bool {
        let before = self.outgoing;
        step.burst = transmit(&mut self.outgoing);
        step.to = self.response_to();
        let may = spend(&mut self.allowed, self.flags.probed, step.burst);
        if !may {
            self.outgoing = before;
            step.burst = None;
        }
        may
    }

    /// Whether the Client may be asked once more for the rest of its Request: who sent what came of it may have used the
    /// address of another (decision 28).
    pub(super) fn may_ask(&self) -> bool {
        self.flags.probed || self.incoming_received >= NOTIFY_PART
    }

    /// The Client must be proven before it gets what it asks for: it is probed, and asks again if it is there.
    pub fn doubt(&mut self, step: &mut Step) {
        step.keep = Keep::Drop(Drop::Unwanted);
        if !self.flags.probing {
            self.flags.probing = true;
            step.event = Event::Probe;
        }
    }

    /// The Response is held until the Client has been probed.
    pub(super) fn prove_client(&mut self, step: &mut Step) {
        self.flags.probing = true;
        self.deadline = Time::NEVER;
        step.event = Event::Probe;
    }

    /// The server gives the Request up, or goes: its Client is told at once.
    ///
    /// # Errors
    ///
    /// [`RespondError::NoRequest`].
    pub fn abandon(
        &mut self,
        transaction: Transaction,
        cx: &Context,
    ) -> Result<Step, RespondError> {
        if self.state != State::Processing || transaction != self.transaction {
            return Err(RespondError::NoRequest);
        }
        let mut step = Step::NOTHING;
        if !self.flags.multicast {
            self.notify(
                &mut step,
                transaction,
                Mask::ALL,
                ResponseCode::NonexistentEntity,
            );
        }
        self.discard_response(cx, &mut step);
        self.go_on(&mut step);
        Ok(step)
    }

    pub(super) fn response_control(&self, respond: &Respond, skip: bool) -> Control {
        let mut bits =
            respond.flags & (Control::APG | Control::NRT | Control::NRS) | Control::RESPONSE;
        if self.flags.streamed {
            bits |= self.request.bits() & (Control::NSR | Control::NER);
        }
        if self.flags.multicast {
            // 3.2: the Client is a member of the group.
            bits |= self.request.bits() & Control::MDG;
        }
        if skip && groups_of(respond.mcb.segment_octets()) > 1 {
            bits |= Control::STI;
        }
        let before = u32::from(self.groups)
            .saturating_sub(1)
            .saturating_add(u32::from(respond.earlier))
            .saturating_add(if self.request.has(Control::NSR) {
                u32::from(self.skipped)
            } else {
                0
            });
        Control::default()
            .with(bits)
            .with_retransmit_count(self.request.retransmit_count())
            .with_forward_count(self.forward_count)
            .with_priority(respond.priority.unwrap_or(self.priority))
            .with_pg_count(u8::try_from(before).unwrap_or(u8::MAX))
    }

    /// The Response leaves; what is kept of it depends on what it is (5.6.2).
    pub(super) fn send_response(&mut self, cx: &Context, step: &mut Step) {
        let ends = self.ends();
        // What is not kept goes out at once.
        let window = if self.flags.idempotent {
            u16::MAX
        } else {
            cx.timing.window
        };
        step.burst = self.outgoing.advance(&ends, window, cx);
        // Whether it may go was asked before.
        spend(&mut self.allowed, true, step.burst);
        step.to = self.response_to();
        if self.flags.group_response {
            // 2.7: a Client that is a member hears it with the others. Only it may ask again, and if
            // it did it has not heard.
            self.flags.group_response = false;
            let asked_once = self.request.retransmit_count() == 0;
            step.to = if self.request.has(Control::MDG) && asked_once {
                To::Group
            } else {
                To::GroupAndPeer
            };
        }
        self.flags.response_held = false;
        if self.flags.idempotent {
            step.release = true;
            self.deadline = cx.now.plus(cx.policy.record_lifetime);
        } else {
            let wait = self.response_wait(&cx.timing, &cx.policy);
            self.deadline = self.outgoing.after(wait, cx);
        }
    }

    /// TS5 with a segment, TS4 without (5.6.2, 5.7).
    pub(super) fn response_wait(&self, timing: &Timing, policy: &Policy) -> Span {
        match self.outgoing.segment_octets() {
            0 => policy.record_lifetime,
            octets => timing.acknowledgment(octets),
        }
    }

    /// A forwarded Request is answered to the Client, not to the forwarder.
    pub(super) fn response_to(&self) -> To {
        if self.forward_count != 0 {
            To::Client
        } else {
            To::Peer
        }
    }

    /// The held Response goes out after the Probe or the delay.
    pub(super) fn send_held(&mut self, cx: &Context, mut step: Step) -> Step {
        self.send_response(cx, &mut step);
        self.go_on(&mut step);
        step
    }

    /// The next Request of the run may go to the server.
    pub(super) fn go_on(&self, step: &mut Step) {
        if self.queued != 0 {
            step.event = Event::Next;
        }
    }

    /// The Response goes out again because the Request came again (5.7).
    pub(super) fn repeat_response(&mut self, request: Control, cx: &Context, step: &mut Step) {
        // It is where it asked from.
        self.flags.seeking = false;
        let ends = self.ends();
        let control = self
            .outgoing
            .control()
            .with_retransmit_count(request.retransmit_count());
        self.outgoing.set_control(control);
        // Whoever asks is there.
        self.outgoing.heard();
        if !self.send_more(step, |outgoing| Some(outgoing.repeat(&ends, false, cx))) {
            self.doubt(step);
            return;
        }
        let wait = self.response_wait(&cx.timing, &cx.policy);
        self.deadline = self.outgoing.after(wait, cx);
    }
}

/// Octets that a Client may get for so many that came.
fn allowed_for(octets: u32) -> u32 {
    octets.saturating_mul(AMPLIFICATION)
}

/// Takes what is sent out of what a Client may get. False if it is more than that, and not sent, unless it `may` be more.
fn spend(allowed: &mut u32, may: bool, burst: Option<Burst>) -> bool {
    let octets = burst.map_or(0, |burst| burst.octets_left());
    if octets > *allowed && !may {
        return false;
    }
    *allowed = allowed.saturating_sub(octets);
    true
}

/// Octets of VMTP packets for a segment, with one block a packet.
pub(super) fn response_octets(segment: u32) -> u32 {
    let packets = segment.div_ceil(BLOCK_OCTETS).max(1);
    padded(segment).saturating_add(packets.saturating_mul(OVERHEAD_OCTETS))
}
