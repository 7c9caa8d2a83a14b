// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Group Responses (RFC 1045, 2.7, 4.7.1 note 3): a member of a group takes the Response that another
//! member multicast to the same Request, as long as it has not answered itself.
//!
//! Best effort: nothing is acknowledged and nothing asked for again. It is of one packet group: who sends one makes it
//! no longer.

use super::{Drop, Keep, Remote, State};
use crate::proto::context::Context;
use crate::proto::incoming::{Incoming, Taken};
use crate::proto::time::Time;
use crate::proto::wire::{Code, Entity, Header, Mask, Transaction};

/// Members whose Responses are remembered, to deliver each once.
const REMEMBERED: usize = 4;

/// The Response of another member that a server is receiving, for one of its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overheard {
    transaction: Transaction,
    from: Entity,
    incoming: Incoming,
    deadline: Time,
    heard: [Entity; REMEMBERED],
}

/// What a packet of a group Response leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OverheardStep {
    /// It is not for this server.
    Drop(Drop),
    /// It is a part of the Response that is being received.
    Part {
        /// Whether what was kept before belongs to another Response, which is given up.
        keep: Keep,
        /// Octets of the segment before the packet's group.
        group_offset: u32,
    },
    /// The same, and now the Response is complete: deliver it.
    Complete {
        /// As in `Part`.
        keep: Keep,
        /// As in `Part`.
        group_offset: u32,
        /// Octets of its segment.
        segment_octets: u32,
        /// Takes the place of MsgDelivery.
        message_delivery: Option<Mask>,
    },
}

impl Remote {
    /// Whether the server of this record may take a group Response (2.7): it wants them, holds the
    /// Request of the same Client and Transaction, and has not answered it yet.
    pub fn accepts_group_response(&self, header: &Header, wanted: bool) -> bool {
        wanted
            && self.state == State::Processing
            && self.flags.multicast
            && self.client == header.client
            && self.server != header.server
            && self.transaction == header.transaction
            && header.message_groups() <= 1
    }
}

impl Overheard {
    /// Nothing was heard.
    pub const NONE: Overheard = Overheard {
        transaction: Transaction::from_bits(0),
        from: Entity::ZERO,
        incoming: Incoming::NONE,
        deadline: Time::NEVER,
        heard: [Entity::ZERO; REMEMBERED],
    };

    /// When what has come of a Response may be thrown away.
    pub const fn deadline(&self) -> Time {
        self.deadline
    }

    /// A multicast Response packet arrived. `wanted` tells whether the server takes group Responses.
    pub fn packet(
        &mut self,
        remote: &Remote,
        header: &Header,
        wanted: bool,
        cx: &Context,
    ) -> OverheardStep {
        if !remote.accepts_group_response(header, wanted) {
            return OverheardStep::Drop(Drop::Unwanted);
        }
        if self.transaction != header.transaction {
            *self = Overheard {
                transaction: header.transaction,
                ..Overheard::NONE
            };
        }
        if self.heard.contains(&header.server) {
            return OverheardStep::Drop(Drop::Duplicate);
        }
        let idle = !self.incoming.is_some() || self.deadline.has_come(cx.now);
        let mut keep = Keep::Keep;
        if self.from != header.server {
            if !idle {
                // One at a time.
                return OverheardStep::Drop(Drop::NoRoom);
            }
            self.incoming = Incoming::NONE;
        }
        if !self.incoming.is_some() {
            keep = Keep::Restart;
            self.from = header.server;
            self.incoming = Incoming::new(header);
        }
        let group_offset = self.incoming.group_offset(header.transaction);
        match self.incoming.take(header, cx.now) {
            Taken::New { .. } if self.incoming.is_complete() => {
                let [_, kept @ ..] = self.heard;
                let [a, b, c] = kept;
                self.heard = [a, b, c, header.server];
                let held = self.incoming.held();
                let segment_octets = self.incoming.segment_octets();
                self.incoming = Incoming::NONE;
                self.deadline = Time::NEVER;
                OverheardStep::Complete {
                    keep,
                    group_offset,
                    segment_octets,
                    message_delivery: header.code.has(Code::MDM).then_some(held),
                }
            }
            Taken::New { .. } => {
                let wait = cx.timing.round_trip.at_least(cx.timing.packet_gap);
                self.deadline = cx.now.plus(wait);
                OverheardStep::Part { keep, group_offset }
            }
            Taken::Repeated => OverheardStep::Drop(Drop::Duplicate),
            Taken::Ahead => OverheardStep::Drop(Drop::Ahead),
            Taken::Conflict => {
                self.incoming = Incoming::NONE;
                self.deadline = Time::NEVER;
                OverheardStep::Drop(Drop::Conflict)
            }
        }
    }
}
