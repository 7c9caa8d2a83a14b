// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The sending side of one message, Request or Response: which groups and blocks the peer has, what
//! a transmission sends, and how often it was sent (RFC 1045, 2.13, 2.14, 4.1).
//!
//! When to send is decided by `client` and `server`.

use super::burst::{blocks_to_send, Burst, Extent, Packet};
use super::context::Context;
use super::time::{Span, Time};
use super::wire::{
    padded, Control, Entity, Header, Mask, Mcb, PacketPlan, Transaction, GROUP_OCTETS,
};

/// The ends of a transaction, which every packet of it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The Client.
    pub client: Entity,
    /// The Server: the entity or group in a Request, the entity that answers in a Response.
    pub server: Entity,
    /// The entity domain.
    pub domain: u16,
}

/// A message being sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Outgoing {
    mcb: Mcb,
    /// Control word of group 0 without RetransmitCount. NSR: the message does not start its run.
    /// NER: it does not end it.
    control: Control,
    /// Transaction of group 0.
    first: Transaction,
    groups: u16,
    /// Groups from the start that the peer has whole.
    acknowledged: u16,
    /// Groups sent at least once.
    sent: u16,
    /// Transmissions since the peer was last heard, for the schedule and the limit.
    transmissions: u8,
    /// Requests for missing blocks, or refusals (BUSY), in a row that told of no progress.
    asked: u8,
    /// RetransmitCount of the last transmission, modulo 8.
    count: u8,
    header_only: bool,
    /// HCO: the checksum covers the header only.
    hco: bool,
    /// Blocks of group `acknowledged` that the peer has.
    held: Mask,
    last_sent: Time,
}

impl Outgoing {
    /// No message.
    pub const NONE: Outgoing = Outgoing {
        asked: 0,
        mcb: Mcb {
            code: super::wire::Code::from_bits(0),
            user: [0; 20],
            message_delivery: 0,
            segment_size: 0,
        },
        control: Control::from_bits(0),
        first: Transaction::from_bits(0),
        groups: 1,
        acknowledged: 0,
        sent: 0,
        transmissions: 0,
        count: 0,
        header_only: false,
        hco: false,
        held: Mask::EMPTY,
        last_sent: Time::from_nanos(0),
    };

    /// A message not yet sent. `control` carries the flags that hold for the whole message, its
    /// priority, its forward count, its function, and for a Response PGcount and RetransmitCount.
    pub fn new(mcb: Mcb, control: Control, hco: bool, first: Transaction) -> Outgoing {
        Outgoing {
            mcb,
            control,
            first,
            groups: groups_of(mcb.segment_octets()),
            acknowledged: 0,
            sent: 0,
            transmissions: 0,
            asked: 0,
            count: control.retransmit_count(),
            header_only: false,
            hco,
            held: Mask::EMPTY,
            last_sent: Time::from_nanos(0),
        }
    }

    /// The message control block.
    pub const fn mcb(&self) -> &Mcb {
        &self.mcb
    }

    /// Whether the checksum covers the header only.
    pub const fn is_header_checksum(&self) -> bool {
        self.hco
    }

    /// The control word of group 0.
    pub const fn control(&self) -> Control {
        self.control
    }

    /// Changes flags of the message: its place in the run, or the Request's RetransmitCount that a
    /// Response echoes.
    pub fn set_control(&mut self, control: Control) {
        self.control = control;
        if control.is_response() {
            self.count = control.retransmit_count();
        }
    }

    /// The Transaction of its first group.
    pub const fn first(&self) -> Transaction {
        self.first
    }

    /// The Transaction of its last group, by which the message as a whole is known.
    pub fn last(&self) -> Transaction {
        self.first.plus(u32::from(self.groups).saturating_sub(1))
    }

    /// Packet groups of the message.
    pub const fn groups(&self) -> u16 {
        self.groups
    }

    /// Octets of its segment.
    pub const fn segment_octets(&self) -> u32 {
        self.mcb.segment_octets()
    }

    /// Transmissions since the peer was last heard.
    pub const fn transmissions(&self) -> u8 {
        self.transmissions
    }

    /// Requests for missing blocks in a row that told of no progress.
    pub const fn asked(&self) -> u8 {
        self.asked
    }

    /// When the last transmission has left: in the future while its packets keep a gap (2.5.6).
    pub const fn last_sent(&self) -> Time {
        self.last_sent
    }

    /// The deadline of a timer that is set for `span` from when what was sent has left.
    #[inline]
    pub fn after(&self, span: Span, cx: &Context) -> Time {
        self.last_sent.later(cx.now).plus(span)
    }

    /// Whether the peer has the whole message.
    pub const fn is_acknowledged(&self) -> bool {
        self.acknowledged >= self.groups
    }

    /// Whether `transaction` is one of its groups, and which.
    pub fn group_of(&self, transaction: Transaction) -> Option<u16> {
        let group = u16::try_from(transaction.since(self.first)).ok()?;
        (group < self.groups).then_some(group)
    }

    /// The peer was heard: the schedule starts over, as if the last transmission had been the first.
    pub fn heard(&mut self) {
        if self.asked <= ASKED_IN_VAIN {
            self.transmissions = 1;
        }
    }

    /// A transmission that is due is not made.
    pub fn pass_over(&mut self) {
        self.transmissions = self.transmissions.saturating_add(1);
    }

    /// Forgets what the peer has, for another peer or another try from the start.
    pub fn restart(&mut self) {
        if !self.control.is_response() && self.sent != 0 {
            // 3.2: transmissions are counted, wherever they went.
            self.count = self.count.wrapping_add(1) & 7;
        }
        self.acknowledged = 0;
        self.held = Mask::EMPTY;
        self.sent = 0;
        self.transmissions = 0;
        self.asked = 0;
    }

    /// The peer has no room (BUSY): what it had is gone, and all goes again after the wait, which is
    /// `first`, and longer each time it refuses again.
    pub fn refused(&mut self, first: Span, cx: &Context) -> Span {
        let before = self.asked;
        self.restart();
        self.heard();
        self.asked = before.saturating_add(1);
        super::timers::patient(before, first, cx.random)
    }

    /// Whether an answer with this RetransmitCount belongs to the last transmission.
    pub const fn is_to_last(&self, count: u8) -> bool {
        count == self.count && self.sent != 0
    }

    /// The round trip, if an answer with this RetransmitCount belongs to the last transmission.
    /// Answers that may have waited for the peer's timer are not for this.
    pub fn round_trip(&self, count: u8, now: Time) -> Option<Span> {
        let last = self.is_to_last(count) && self.last_sent.has_come(now);
        last.then(|| now.since(self.last_sent))
    }

    /// Whether the last transmission was a single packet without its data.
    pub const fn was_header_only(&self) -> bool {
        self.header_only
    }

    fn header(&self, ends: &Ends) -> Header {
        Header {
            client: ends.client,
            version: 0,
            domain: ends.domain,
            hco: self.hco,
            epg: false,
            mpg: false,
            length: 0,
            control: self.control.with_retransmit_count(self.count),
            transaction: self.first,
            delivery: Mask::EMPTY,
            server: ends.server,
            code: self.mcb.code,
            user: self.mcb.user,
            message_delivery: self.mcb.message_delivery,
            segment_size: self.mcb.segment_size,
        }
    }

    fn transmit(&mut self, ends: &Ends, extent: Extent, acknowledge: bool, cx: &Context) -> Burst {
        if !self.control.is_response() && self.sent != 0 {
            self.count = self.count.wrapping_add(1) & 7;
        }
        self.transmissions = self.transmissions.saturating_add(1);
        self.header_only = matches!(extent, Extent::HeaderOnly { .. });
        if let Extent::Groups { end, .. } = extent {
            self.sent = self.sent.max(end.min(self.groups));
        }
        let burst = Burst::new(self.header(ends), self.groups, extent, acknowledge);
        self.last_sent = cx.now.plus(cx.timing.leaving(&burst));
        burst
    }

    /// [`Outgoing::advance`] of a message of one packet that was never sent, on a way without a gap.
    #[inline]
    pub fn send_single(&mut self, ends: &Ends, now: Time) -> Packet {
        self.transmissions = self.transmissions.saturating_add(1);
        self.sent = 1;
        self.last_sent = now;
        let mut header = self.header(ends);
        if header.is_response() {
            header.control = header.control.without(Control::STI);
        }
        let octets = self.segment_octets();
        let plan = PacketPlan {
            delivery: Mask::for_octets(octets),
            octets,
            padded: padded(octets),
            last: true,
        };
        Packet {
            header: header.with_packet(&plan),
            group_offset: 0,
            octets,
            padded: plan.padded,
        }
    }

    /// The first transmission, or the next groups of a long message: as many as `window` allows
    /// beyond what is acknowledged. A burst that does not end the message asks for acknowledgment.
    pub fn advance(&mut self, ends: &Ends, window: u16, cx: &Context) -> Option<Burst> {
        let end = self
            .acknowledged
            .saturating_add(window.max(1))
            .min(self.groups);
        if end <= self.sent {
            return None;
        }
        let extent = Extent::Groups {
            first: self.sent,
            end,
            held: if self.sent == self.acknowledged {
                self.held
            } else {
                Mask::EMPTY
            },
        };
        let more = end < self.groups;
        Some(self.transmit(ends, extent, more, cx))
    }

    /// The retransmission after a timeout: the last group sent, without its data if it has any
    /// (4.9 notes 2 and 3).
    pub fn repeat(&mut self, ends: &Ends, acknowledge: bool, cx: &Context) -> Burst {
        let group = self.sent.saturating_sub(1);
        // With NRT nobody would ask for what is missing.
        if self.segment_octets() != 0 && !self.control.has(Control::NRT) {
            return self.transmit(ends, Extent::HeaderOnly { group }, true, cx);
        }
        let extent = Extent::Groups {
            first: group,
            end: group.saturating_add(1),
            held: Mask::EMPTY,
        };
        self.transmit(ends, extent, acknowledge, cx)
    }

    /// The whole message again, as far as it was sent and is not acknowledged.
    pub fn repeat_all(&mut self, ends: &Ends, acknowledge: bool, cx: &Context) -> Burst {
        let extent = Extent::Groups {
            first: self.acknowledged,
            end: self.sent.max(self.acknowledged.saturating_add(1)),
            held: self.held,
        };
        self.transmit(ends, extent, acknowledge, cx)
    }

    /// The peer has every group up to and including `group`. Tells whether that is news.
    pub fn acknowledge(&mut self, group: u16) -> bool {
        let through = group.saturating_add(1).min(self.groups);
        if through <= self.acknowledged {
            return false;
        }
        self.acknowledged = through;
        self.held = Mask::EMPTY;
        self.asked = 0;
        self.sent = self.sent.max(through);
        true
    }

    /// The peer asks for `group`, which it had: it has forgotten.
    pub fn reopen(&mut self, group: u16) {
        if group < self.acknowledged {
            self.acknowledged = group;
            self.held = Mask::EMPTY;
        }
    }

    /// The peer has `delivery` of `group` and all groups before it, and asks for the rest: the
    /// burst of what is missing, or nothing if nothing is. `progress` tells whether the peer has
    /// more than it had.
    pub fn missing(&mut self, ends: &Ends, group: u16, delivery: Mask, cx: &Context) -> Missing {
        if group < self.acknowledged || group >= self.groups {
            return Missing {
                burst: None,
                progress: false,
            };
        }
        let mut progress = group > self.acknowledged && self.acknowledge(group.saturating_sub(1));
        let blocks = blocks_to_send(&self.header(ends), group);
        // All that the peer does not name is asked for, also what it had before it forgot (4.8).
        let held = delivery.intersect(blocks);
        let ever = self.held.union(held);
        progress |= ever != self.held;
        self.held = ever;
        self.asked = if progress {
            0
        } else {
            self.asked.saturating_add(1)
        };
        // Whoever asks is there, unless it asks in vain for ever.
        if self.asked <= ASKED_IN_VAIN {
            self.transmissions = 0;
        }
        if blocks.minus(held).is_empty() {
            self.acknowledge(group);
            return Missing {
                burst: None,
                progress,
            };
        }
        let extent = Extent::Groups {
            first: group,
            end: group.saturating_add(1),
            held,
        };
        let acknowledge = group.saturating_add(1) < self.groups;
        let burst = Some(self.transmit(ends, extent, acknowledge, cx));
        Missing { burst, progress }
    }

    /// The peer asks for what follows `after` (RETRY_ALL): that counts if it tells of no progress in
    /// this message, and not if another message of the run is missing before it.
    pub fn ask(&mut self, after: Option<u16>) {
        if after.map_or(0, |group| group.saturating_add(1)) <= self.acknowledged {
            self.asked = self.asked.saturating_add(1);
        }
    }

    /// The peer lost track after `group` (RETRY_ALL): everything from the group after it is sent
    /// again, as far as `window` allows. `None` stands for "before the first group".
    pub fn resume(
        &mut self,
        ends: &Ends,
        after: Option<u16>,
        window: u16,
        cx: &Context,
    ) -> Option<Burst> {
        let from = after
            .map_or(0, |group| group.saturating_add(1))
            .min(self.groups);
        if from >= self.groups {
            return None;
        }
        if from > self.acknowledged {
            self.asked = 0;
        }
        if self.asked <= ASKED_IN_VAIN {
            self.transmissions = 0;
        }
        self.acknowledged = from;
        self.held = Mask::EMPTY;
        let end = from.saturating_add(window.max(1)).min(self.groups);
        let extent = Extent::Groups {
            first: from,
            end,
            held: Mask::EMPTY,
        };
        let burst = self.transmit(ends, extent, end < self.groups, cx);
        // What went out behind it before is lost to the peer.
        self.sent = end;
        Some(burst)
    }
}

/// Requests for missing blocks without progress that count as signs of life of the peer.
const ASKED_IN_VAIN: u8 = 8;

/// What a peer's request for missing blocks leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// What to send.
    pub burst: Option<Burst>,
    /// Whether the peer has more than it had when last heard.
    pub progress: bool,
}

/// Packet groups of a message with a segment of `octets`: one at least.
pub fn groups_of(octets: u32) -> u16 {
    u16::try_from(octets.div_ceil(GROUP_OCTETS))
        .unwrap_or(u16::MAX)
        .max(1)
}
