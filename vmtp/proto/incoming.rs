// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The receiving side of one message, Request or Response: which groups and blocks have come
//! (RFC 1045, 2.13, 2.14). The octets themselves stay with the host.

use super::time::{Span, Time};
use super::wire::{Code, Control, Header, Mask, Transaction};

/// Groups of one message assembled at once: one that is being completed and those after it.
pub const WINDOW: u16 = 4;

/// A message being received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Incoming {
    first: Transaction,
    segment_octets: u32,
    /// MsgDelivery, if MDM says it means something: the blocks the sender meant to send.
    chosen: Mask,
    groups: u16,
    /// Groups from the start that are complete.
    complete: u16,
    /// Blocks held of the first incomplete group and of those after it.
    slots: [Mask; WINDOW as usize],
    /// Digest of the MCB in the first packet, which all others must equal (2.13); 0 for none.
    digest: u32,
    /// Requests for retransmission since the last new block.
    retries: u8,
    last_packet: Time,
    /// A packet asked for acknowledgment.
    asked: bool,
    /// MDM of the first packet.
    masked: bool,
}

/// What a packet meant for the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It brought new blocks.
    New {
        /// Its group is complete now.
        group_complete: bool,
    },
    /// All its blocks were there already, or it had none.
    Repeated,
    /// It belongs to a group too far ahead of the first incomplete one.
    Ahead,
    /// It contradicts an earlier packet of the group, or its place in the message: a protocol error (2.13, 2.14).
    Conflict,
}

impl Incoming {
    /// No message.
    pub const NONE: Incoming = Incoming {
        first: Transaction::from_bits(0),
        segment_octets: 0,
        chosen: Mask::EMPTY,
        groups: 0,
        complete: 0,
        slots: [Mask::EMPTY; WINDOW as usize],
        digest: 0,
        retries: 0,
        last_packet: Time::from_nanos(0),
        asked: false,
        masked: false,
    };

    /// A message of which `header` is the first packet that came, from its first group.
    pub fn new(header: &Header) -> Incoming {
        // The check of the packet sees to it that a message with MDM is one group.
        let chosen = if header.code.has(Code::MDM) {
            Mask::from_bits(header.message_delivery)
        } else {
            Mask::ALL
        };
        Incoming {
            first: header.transaction,
            segment_octets: header.segment_octets(),
            chosen,
            groups: u16::try_from(header.message_groups())
                .unwrap_or(u16::MAX)
                .max(1),
            masked: header.code.has(Code::MDM),
            ..Incoming::NONE
        }
    }

    /// The same of a message that `header`'s packet is all of, at `now`.
    pub fn single(header: &Header, now: Time) -> Incoming {
        Incoming {
            complete: 1,
            last_packet: now,
            ..Incoming::new(header)
        }
    }

    /// The same if `header` may be from another group than the first, whose Transaction is `first`.
    pub fn starting_at(header: &Header, first: Transaction) -> Incoming {
        Incoming {
            first,
            ..Incoming::new(header)
        }
    }

    /// Whether there is a message at all.
    pub const fn is_some(&self) -> bool {
        self.groups != 0
    }

    /// Whether its first packet had MDM.
    pub const fn is_masked(&self) -> bool {
        self.masked
    }

    /// The Transaction of the first group.
    pub const fn first(&self) -> Transaction {
        self.first
    }

    /// The Transaction of the last group.
    pub fn last(&self) -> Transaction {
        self.first.plus(u32::from(self.groups).saturating_sub(1))
    }

    /// The Transaction of the first incomplete group.
    pub fn current(&self) -> Transaction {
        self.first.plus(u32::from(self.complete))
    }

    /// Packet groups of the message.
    pub const fn groups(&self) -> u16 {
        self.groups
    }

    /// Groups from the start that are complete.
    pub const fn complete_groups(&self) -> u16 {
        self.complete
    }

    /// Octets of the whole segment.
    pub const fn segment_octets(&self) -> u32 {
        self.segment_octets
    }

    /// Whether all of it has come.
    pub const fn is_complete(&self) -> bool {
        self.complete >= self.groups
    }

    /// Which group `transaction` is, if it is one of this message.
    pub fn group_of(&self, transaction: Transaction) -> Option<u16> {
        let group = u16::try_from(transaction.since(self.first)).ok()?;
        (group < self.groups).then_some(group)
    }

    /// Octets from the start of the segment to the group with `transaction`; 0 if it is none of
    /// the message.
    pub fn group_offset(&self, transaction: Transaction) -> u32 {
        let group = self.group_of(transaction).unwrap_or(0);
        u32::from(group).saturating_mul(super::wire::GROUP_OCTETS)
    }

    /// The blocks held of the first incomplete group, or of the last if none is incomplete.
    pub fn held(&self) -> Mask {
        if self.is_complete() {
            return self.blocks(self.groups.saturating_sub(1));
        }
        self.slots.first().copied().unwrap_or(Mask::EMPTY)
    }

    /// Octets that have come without a gap from the start (2.13).
    pub fn contiguous_octets(&self) -> u32 {
        let before = u32::from(self.complete).saturating_mul(super::wire::GROUP_OCTETS);
        if self.is_complete() {
            return self.segment_octets;
        }
        let group_octets = self
            .segment_octets
            .saturating_sub(before)
            .min(super::wire::GROUP_OCTETS);
        before
            .saturating_add(self.held().contiguous_octets(group_octets))
            .min(self.segment_octets)
    }

    /// Requests for retransmission since the last new block.
    pub const fn retries(&self) -> u8 {
        self.retries
    }

    /// Counts one request for retransmission.
    pub fn retry(&mut self) {
        self.retries = self.retries.saturating_add(1);
    }

    fn blocks(&self, group: u16) -> Mask {
        let start = u32::from(group).saturating_mul(super::wire::GROUP_OCTETS);
        let octets = self
            .segment_octets
            .saturating_sub(start)
            .min(super::wire::GROUP_OCTETS);
        Mask::for_octets(octets).intersect(self.chosen)
    }

    /// Takes in a packet whose Transaction is one of the message's.
    pub fn take(&mut self, header: &Header, now: Time) -> Taken {
        let Some(group) = self.group_of(header.transaction) else {
            return Taken::Conflict;
        };
        // 2.14: all groups but the last have CMG. One that has another place in its message is of another message.
        let goes_on = group.saturating_add(1) < self.groups;
        if header.segment_octets() != self.segment_octets
            || header.control.has(Control::CMG) != goes_on
        {
            return Taken::Conflict;
        }
        self.asked |= header.control.has(Control::APG);
        let blocks = self.blocks(group);
        // A packet that is its whole message needs no digest: there is nothing to contradict.
        if self.groups != 1 || header.delivery != blocks || self.digest != 0 {
            let digest = digest(header);
            if self.digest == 0 {
                self.digest = digest;
            } else if self.digest != digest {
                return Taken::Conflict;
            }
        }
        if group < self.complete {
            return Taken::Repeated;
        }
        let ahead = usize::from(group.saturating_sub(self.complete));
        let Some(slot) = self.slots.get_mut(ahead) else {
            return Taken::Ahead;
        };
        let held = slot.union(header.delivery.intersect(blocks));
        // Of a group without blocks its first packet is all there is.
        if held == *slot && !blocks.is_empty() {
            return Taken::Repeated;
        }
        *slot = held;
        self.retries = 0;
        self.last_packet = now;
        let before = self.complete;
        self.shift();
        // A group behind an incomplete one is not complete yet: it would acknowledge both.
        Taken::New {
            group_complete: self.complete != before,
        }
    }

    /// Whether some packet asked for acknowledgment since the last time.
    pub fn take_asked(&mut self) -> bool {
        core::mem::take(&mut self.asked)
    }

    /// Moves past every complete group at the front.
    fn shift(&mut self) {
        while self.complete < self.groups {
            let blocks = self.blocks(self.complete);
            let [front, a, b, c] = self.slots;
            if front != blocks {
                return;
            }
            self.slots = [a, b, c, Mask::EMPTY];
            self.complete = self.complete.saturating_add(1);
        }
    }

    /// The time since the last packet that brought something new, for the interpacket estimate: if
    /// something of the first incomplete group has come, for the groups before it may have waited for
    /// acknowledgments. It counts across a request for retransmission: how else would be learned of a
    /// way on which packets come further apart than is assumed.
    pub fn since_last_packet(&self, now: Time) -> Option<Span> {
        let [front, ..] = self.slots;
        (!front.is_empty()).then(|| now.since(self.last_packet))
    }

    /// Whether nothing of it has come, or only packets without data.
    pub fn is_empty(&self) -> bool {
        self.complete == 0 && self.slots == [Mask::EMPTY; WINDOW as usize]
    }

    /// The message is given up as it is: it counts as complete.
    pub fn accept_incomplete(&mut self) {
        self.chosen = self.held();
        self.complete = self.groups;
    }
}

/// Whether a packet is the first of a transmission of its group, as far as that can be told: a
/// repeated transmission is answered once, and not once for each of its packets.
pub fn begins_transmission(header: &Header) -> bool {
    let sent = if header.code.has(Code::MDM) {
        header.message_delivery
    } else {
        u32::MAX
    };
    let lowest = sent & sent.wrapping_neg();
    header.delivery.is_empty() || header.delivery.bits() & lowest != 0
}

/// A digest of all that must be equal in every packet of a message: never 0.
fn digest(header: &Header) -> u32 {
    const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
    let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3] =
        header.user;
    let whole_message = Control::NRT | Control::MDG | Control::RESPONSE;
    let flags = header.control.bits() & whole_message;
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let words = [
        header.server.bits(),
        u64::from_be_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
        u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
        pair(u32::from_be_bytes([c0, c1, c2, c3]), header.code.bits()),
        pair(header.message_delivery, header.segment_size),
        pair(flags, u32::from(header.control.forward_count())),
    ];
    let mut sum: u64 = PRIME;
    for word in words {
        // The lower half is what the multiplication mixed best.
        sum = (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    }
    (sum as u32).max(1)
}
