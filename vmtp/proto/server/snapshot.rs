// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A record of a remote Client written out and read back, for a server entity that moves to another
//! host: a duplicate that reaches the new host must be known there (RFC 1045, 2.1, 2.5.1).
//!
//! What is being received, and Requests of a run that wait, are not part of it: their Clients send
//! them again. The segment of a Response is the host's to move.

use super::{Flags, Remote, State};
use crate::proto::context::Context;
use crate::proto::incoming::Incoming;
use crate::proto::outgoing::Outgoing;
use crate::proto::peer::Peer;
use crate::proto::time::Time;
use crate::proto::timers;
use crate::proto::wire::{Control, Entity, Header, Mcb, Priority, Reader, Transaction, Writer};

/// Octets of a record that was written out.
pub const SNAPSHOT_OCTETS: usize = 96;

/// The first word of every image: "VMR" and the version of the layout.
const MAGIC: u32 = 0x564D_5201;

const PROBED: u32 = 1;
const MULTICAST: u32 = 1 << 1;
const SKIP: u32 = 1 << 2;
const DATAGRAM: u32 = 1 << 3;
const IDEMPOTENT: u32 = 1 << 4;
const STREAMED: u32 = 1 << 5;
const HEADER_CHECKSUM: u32 = 1 << 6;

impl Remote {
    /// The Request in progress, which nobody has begun to execute, is one that never came: its Client
    /// sends it again, to wherever the server is then.
    pub fn unreceive(&mut self) {
        if self.state != State::Processing {
            return;
        }
        self.state = State::AwaitingRequest;
        self.transaction = self.transaction.minus(u32::from(self.groups));
        self.last = self.transaction;
        self.answered = self.transaction;
        self.incoming = Incoming::NONE;
        self.receive_deadline = Time::NEVER;
        self.groups = 0;
        self.queued = 0;
        self.flags.skip = false;
        self.flags.datagram = false;
    }

    /// The record as octets, big-endian: it holds on any host. A Response that waits for a Probe or
    /// a delay is written as one that was sent; a forwarded Request as one that was answered.
    pub fn snapshot(&self) -> [u8; SNAPSHOT_OCTETS] {
        let mut image = [0; SNAPSHOT_OCTETS];
        let mcb = self.outgoing.mcb();
        let flags = [
            (self.flags.probed, PROBED),
            (self.flags.multicast, MULTICAST),
            (self.flags.skip && self.queued == 0, SKIP),
            (self.flags.datagram, DATAGRAM),
            (self.flags.idempotent, IDEMPOTENT),
            (self.flags.streamed, STREAMED),
            (self.outgoing.is_header_checksum(), HEADER_CHECKSUM),
        ];
        let flags = flags
            .iter()
            .fold(0, |bits, (set, bit)| if *set { bits | bit } else { bits });
        let state = match self.state {
            State::AwaitingRequest => 0,
            State::Processing => 1,
            State::Responded => 2,
            State::ResponseDiscarded | State::Forwarded => 3,
        };
        // What waits behind the current Request comes again, and is not to be taken for old.
        let last = if self.queued != 0 || self.incoming.is_some() {
            self.transaction
        } else {
            self.last
        };
        let mut to = Writer::new(&mut image);
        let words = [
            MAGIC,
            state,
            flags,
            (u32::from(self.groups) << 16) | u32::from(self.domain),
            (u32::from(self.forward_count) << 8) | u32::from(self.priority.bits()),
            self.transaction.bits(),
            last.bits(),
            self.answered.bits(),
            self.request.bits(),
            self.outgoing.control().bits(),
        ];
        // All of it fits: the layout is fixed, and the tests count its octets.
        let _ = to
            .u64(self.client.bits())
            .and_then(|()| to.u64(self.server.bits()))
            .and_then(|()| words.iter().try_for_each(|word| to.u32(*word)))
            .and_then(|()| to.array(mcb.parameters()))
            .and_then(|()| to.u32(mcb.code.bits()))
            .and_then(|()| to.u64(u64::from(self.skipped)));
        image
    }

    /// The record of an image, whose Client was last heard at `peer`. `None` if it is none, or of
    /// another version.
    ///
    /// A Response with a segment has to be given its segment by the host, or it is one that was
    /// discarded: `has_segment` tells.
    pub fn restore(image: &[u8], peer: Peer, has_segment: bool, cx: &Context) -> Option<Remote> {
        let mut from = Reader::new(image);
        let client = Entity::from_bits(from.u64()?);
        let server = Entity::from_bits(from.u64()?);
        if from.u32()? != MAGIC {
            return None;
        }
        let state = match from.u32()? {
            0 => State::AwaitingRequest,
            1 => State::Processing,
            2 => State::Responded,
            3 => State::ResponseDiscarded,
            _ => return None,
        };
        let flags = from.u32()?;
        let sizes = from.u32()?;
        let ranks = from.u32()?;
        let transaction = Transaction::from_bits(from.u32()?);
        let last = Transaction::from_bits(from.u32()?);
        let answered = Transaction::from_bits(from.u32()?);
        let request = Control::from_bits(from.u32()?);
        let control = Control::from_bits(from.u32()?);
        let parameters: [u8; Mcb::PARAMETER_OCTETS] = from.array()?;
        let code = crate::proto::wire::Code::from_bits(from.u32()?);
        let skipped = u8::try_from(from.u64()?).ok()?;
        if !client.is_client() || server.is_zero() {
            return None;
        }
        let mcb = Mcb::from_parameters(code, &parameters);
        let header = Header {
            client,
            domain: sizes as u16,
            transaction: transaction.next(),
            control: request,
            ..Header::default()
        };
        let mut remote = Remote::new(&header, server, peer);
        remote.transaction = transaction;
        remote.last = last;
        remote.answered = answered;
        remote.request = request;
        remote.groups = (sizes >> 16) as u16;
        remote.forward_count = (ranks >> 8) as u8 & 15;
        remote.priority = Priority::from_bits(ranks as u8 & 15)?;
        remote.skipped = skipped;
        remote.incoming = Incoming::NONE;
        remote.flags = Flags {
            probed: flags & PROBED != 0,
            multicast: flags & MULTICAST != 0,
            skip: flags & SKIP != 0,
            datagram: flags & DATAGRAM != 0,
            idempotent: flags & IDEMPOTENT != 0,
            streamed: flags & STREAMED != 0,
            ..Flags::default()
        };
        let first = transaction;
        let header_checksum = flags & HEADER_CHECKSUM != 0;
        remote.outgoing = Outgoing::new(mcb, control, header_checksum, first);
        let lost = state == State::Responded && mcb.segment_octets() != 0 && !has_segment;
        remote.state = if lost {
            State::ResponseDiscarded
        } else {
            state
        };
        if remote.state == State::Responded {
            // It was sent by the host the entity came from; here it is sent when it is asked for.
            let ends = remote.ends();
            let _ = remote.outgoing.advance(&ends, u16::MAX, cx);
        }
        remote.deadline = match remote.state {
            State::Processing => cx.now.plus(timers::ORPHAN),
            State::AwaitingRequest
            | State::Responded
            | State::ResponseDiscarded
            | State::Forwarded => cx.now.plus(cx.policy.record_lifetime),
        };
        remote.receive_deadline = Time::NEVER;
        remote.heard = cx.now;
        Some(remote)
    }
}
