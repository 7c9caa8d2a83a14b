// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Send of RFC 1045, 4.6.1: a user starts a transaction.

use super::{Call, Client, Flags, Run, State, Step, RUN_LIMIT};
use crate::proto::context::Context;
use crate::proto::outgoing::Outgoing;
use crate::proto::peer::Peer;
use crate::proto::time::Time;
use crate::proto::wire::{Code, Control, Entity, Mcb, Priority, GROUP_OCTETS, MESSAGE_OCTETS_MAX};

/// What the user wants of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// The Server or group.
    pub server: Entity,
    /// The host to send to, [`Peer::NONE`] if it must be found first.
    pub peer: Peer,
    /// How that host was found.
    pub found: Found,
    /// Whether `peer` is a multicast address.
    pub multicast: bool,
    /// The message control block; SDA and SegmentSize tell the segment.
    pub mcb: Mcb,
    /// Flags the user asked for: any of APG, NRT, MDG, DRT; and NRS, as
    /// [`Sequence::flags`](super::Sequence::flags) tells.
    pub flags: u32,
    /// The area for the Response's segment is larger than one packet group: sets STI.
    pub large_response: bool,
    /// Checksum over the header only.
    pub hco: bool,
    /// Priority of the transaction.
    pub priority: Priority,
    /// The transaction ends with USER_TIMEOUT then; [`Time::NEVER`] for no limit.
    pub limit: Time,
    /// It is a member of a run: transactions may be outstanding before and after it.
    pub streamed: bool,
    /// Another member of the run will follow (NER).
    pub more: bool,
}

/// How the address of a Server's host was found: it decides whether a failure is believed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Found {
    /// From the cache or the identifier: it may be wrong.
    Guessed,
    /// The host answered a ProbeEntity of this transaction, or the user named it.
    Certain,
}

/// Why a transaction cannot be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// Another transaction is open, and this one is not of its run, or is a datagram of a run that
    /// goes out one at a time.
    Open,
    /// As many of the run are outstanding as are allowed.
    RunFull,
    /// More than 4 megaoctets, or MDM with more than one group.
    TooLarge,
}

impl Client {
    /// Whether a transaction may start now that is a member of a run (`streamed`) or stands alone.
    pub fn may_start(&self, streamed: bool) -> bool {
        self.open == 0 || (streamed && self.run == Run::Open && self.open() < RUN_LIMIT)
    }

    /// Why `request` may not start now, but may when others have ended. `no_streaming` as the path tells.
    pub fn keeps_waiting(&self, request: &Request, no_streaming: bool) -> Option<StartError> {
        let continues = self.run == Run::Open && request.streamed;
        // A datagram is not held, and one that stands alone ends what the server has of the run (5.3).
        let ends_it = no_streaming && request.mcb.code.has(Code::DGM);
        if self.open != 0 && (!continues || ends_it) {
            return Some(StartError::Open);
        }
        (self.open() >= RUN_LIMIT).then_some(StartError::RunFull)
    }

    /// Starts a transaction. The first packets are in the step, unless the call is [`State::Held`]
    /// or the step asks to locate the Server.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing has changed then.
    pub fn start(&mut self, request: &Request, cx: &Context) -> Result<(Call, Step), StartError> {
        let octets = request.mcb.segment_octets();
        if octets > MESSAGE_OCTETS_MAX || (request.mcb.code.has(Code::MDM) && octets > GROUP_OCTETS)
        {
            return Err(StartError::TooLarge);
        }
        if let Some(error) = self.keeps_waiting(request, cx.timing.no_streaming) {
            return Err(error);
        }
        let continues = self.run == Run::Open && request.streamed;
        let datagram = request.mcb.code.has(Code::DGM);
        let streamed = request.streamed && cx.policy.streaming;
        let more = streamed && request.more;
        let mut bits = request.flags
            & (Control::APG | Control::NRT | Control::MDG | Control::DRT | Control::NRS);
        if continues {
            bits |= Control::NSR;
        }
        if more {
            bits |= Control::NER;
        }
        let skip = request.large_response && cx.policy.streaming;
        if skip {
            bits |= Control::STI;
        }
        let control = Control::default()
            .with(bits)
            .with_priority(request.priority);
        let first = self.next;
        let mut call = Call {
            server: request.server,
            peer: request.peer,
            outgoing: Outgoing::new(request.mcb, control, request.hco, first),
            deadline: Time::NEVER,
            limit: request.limit,
            state: State::AwaitingResponse,
            first_sent: None,
            flags: Flags {
                found: request.found,
                multicast: request.multicast,
                streamed,
                working: 0,
                resend_all: false,
                lossy: false,
                locating: false,
                came_back: 0,
                missing: false,
                unreachable_after: 0,
                still_unreachable: false,
            },
        };
        let last = call.outgoing.last();
        self.next = last.plus(if skip { 256 } else { 1 });
        self.run = if more { Run::Open } else { Run::Closed };
        if self.open == 0 {
            self.receiving = false;
            self.answered = false;
            self.overflow = false;
            self.expected = first;
            self.limit = RUN_LIMIT as u8;
        }
        let one_at_a_time = cx.timing.no_streaming && streamed;
        if datagram {
            if self.open == 0 {
                self.expected = self.next;
            }
        } else {
            let held = self.open >= self.limit || (one_at_a_time && self.open != 0);
            self.open = self.open.saturating_add(1);
            if held {
                call.state = State::Held;
                call.deadline = call.limit;
                return Ok((call, Step::NOTHING));
            }
        }
        if one_at_a_time {
            call.stand_alone();
        }
        let mut step = Step::NOTHING;
        if call.peer.is_known() {
            call.begin(self, cx, &mut step);
        } else {
            call.locate(&mut step);
        }
        Ok((call, step))
    }
}

impl Call {
    /// The message leaves its run and goes as one of its own.
    pub(super) fn stand_alone(&mut self) {
        let control = self.outgoing.control().without(Control::NSR | Control::NER);
        self.outgoing.set_control(control);
    }

    /// The first transmission.
    pub(super) fn begin(&mut self, client: &mut Client, cx: &Context, step: &mut Step) {
        let control = self.outgoing.control().with_gap(cx.timing.receive_gap);
        self.outgoing.set_control(control);
        let window = if self.is_datagram() {
            // Nobody acknowledges it.
            u16::MAX
        } else {
            cx.timing.window
        };
        let ends = client.ends(self);
        step.burst = self.outgoing.advance(&ends, window, cx);
        let first = self.outgoing.is_to_last(0);
        self.first_sent = super::brief(self.outgoing.last_sent()).filter(|_| first);
        if self.is_datagram() {
            self.state = State::Processing { collecting: false };
            self.deadline = Time::NEVER;
            return;
        }
        self.state = State::AwaitingResponse;
        self.wait(cx, cx.timing.first_response());
    }
}
