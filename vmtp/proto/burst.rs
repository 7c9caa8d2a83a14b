// SPDX-License-Identifier: GPL-2.0 OR MIT

//! SendPacketGroup (RFC 1045, VII.4) as an iterator: the packets of one transmission, one after
//! another, so that the host can drop its locks, pace them, and queue them by priority. It owns all
//! it needs and never touches segment data: each packet says which octets of the segment it carries.

use super::wire::{
    padded, Control, Header, Mask, Packets, BLOCK_OCTETS, GROUP_OCTETS, OVERHEAD_OCTETS,
};

/// What one transmission of a message sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// The groups from `first` to before `end`, whole but for the blocks of `first` in `held`,
    /// which the peer has.
    Groups {
        /// The first group, counted from 0.
        first: u16,
        /// One past the last group.
        end: u16,
        /// Blocks of `first` not to send.
        held: Mask,
    },
    /// One packet without data that stands for group `group`: the peer answers which blocks it
    /// lacks (4.9 note 3).
    HeaderOnly {
        /// The group, counted from 0.
        group: u16,
    },
}

/// The packets of one transmission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Burst {
    /// The header of group 0, with NSR and NER telling the message's place in its run.
    header: Header,
    groups: u16,
    next: u16,
    end: u16,
    mask: Mask,
    header_only: bool,
    acknowledge: bool,
}

/// One packet to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// The header, complete.
    pub header: Header,
    /// Octets from the start of the message's segment to the start of this packet's group. The
    /// blocks of `header.delivery` are counted from there.
    pub group_offset: u32,
    /// Octets of segment data.
    pub octets: u32,
    /// The same rounded up to a multiple of 8: what goes between header and checksum.
    pub padded: u32,
}

impl Packet {
    /// Whether its blocks are the first of the group, in one row.
    #[inline]
    pub fn is_from_start(&self) -> bool {
        self.header.delivery == Mask::for_octets(self.octets)
    }
}

impl Burst {
    /// The packets of `extent` of a message of `groups` groups. `header` is that of group 0; its
    /// NSR says that the message does not start its run, its NER that it does not end it, its
    /// APG that every group is to be acknowledged. `acknowledge` asks for it on the last group
    /// sent only.
    pub fn new(header: Header, groups: u16, extent: Extent, acknowledge: bool) -> Burst {
        let (next, end, held, header_only) = match extent {
            Extent::Groups { first, end, held } => (first, end.min(groups), held, false),
            Extent::HeaderOnly { group } => (group, group.saturating_add(1), Mask::EMPTY, true),
        };
        let mut burst = Burst {
            header,
            groups,
            next,
            end,
            mask: Mask::EMPTY,
            header_only,
            acknowledge,
        };
        burst.mask = burst.blocks(next).minus(held);
        burst
    }

    /// The blocks of a group that the sender means to send at all.
    fn blocks(&self, group: u16) -> Mask {
        blocks_to_send(&self.header, group)
    }

    /// Whether this is a single packet that asks which blocks are missing.
    pub fn is_header_only(&self) -> bool {
        self.header_only
    }

    /// The priority the packets carry, by which the host orders what it sends.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Segment blocks that it still has to send, or a few more if its last group is short.
    pub fn blocks_left(&self) -> u32 {
        if self.header_only || self.is_done() {
            return 0;
        }
        let further = u32::from(self.end.saturating_sub(self.next).saturating_sub(1));
        let group = GROUP_OCTETS / BLOCK_OCTETS;
        self.mask
            .bits()
            .count_ones()
            .saturating_add(further.saturating_mul(group))
    }

    /// Octets of VMTP packets that it still has to send, at most: with one block a packet.
    pub fn octets_left(&self) -> u32 {
        let blocks = self.blocks_left();
        blocks
            .saturating_mul(BLOCK_OCTETS)
            .min(padded(self.header.segment_octets()))
            .saturating_add(blocks.max(1).saturating_mul(OVERHEAD_OCTETS))
    }

    /// Whether nothing is left to send.
    pub fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// The next packet, with at most `data_limit` octets of segment data (one block at least).
    pub fn next(&mut self, data_limit: u32) -> Option<Packet> {
        if self.is_done() {
            return None;
        }
        let group = self.next;
        let last_group = group.saturating_add(1) == self.groups;
        let mut control = self.header.control.without(Control::CMG);
        if group != 0 {
            control = control.with(Control::NSR);
            if control.is_response() {
                control = control.with_pg_count(0);
            }
        }
        if !last_group {
            control = control.with(Control::NER | Control::CMG);
        }
        // STI is on the last group of a Request, and on the further groups of a Response.
        let skips = if control.is_response() {
            group != 0
        } else {
            last_group
        };
        if !skips {
            control = control.without(Control::STI);
        }
        if self.acknowledge && group.saturating_add(1) >= self.end {
            control = control.with(Control::APG);
        }
        let mut header = self.header;
        header.control = control;
        header.transaction = self.header.transaction.plus(u32::from(group));
        let group_octets = header.group_octets();
        let mut packet = Packet {
            header,
            group_offset: u32::from(group).saturating_mul(GROUP_OCTETS),
            octets: 0,
            padded: 0,
        };
        if self.header_only {
            self.next = self.end;
            return Some(packet);
        }
        // An empty mask still makes one packet: that of a message without a segment.
        let plan = Packets::new(self.mask, group_octets, data_limit).next()?;
        packet.header = header.with_packet(&plan);
        packet.octets = plan.octets;
        packet.padded = plan.padded;
        self.mask = self.mask.minus(plan.delivery);
        if self.mask.is_empty() {
            self.next = group.saturating_add(1);
            self.mask = self.blocks(self.next);
        }
        Some(packet)
    }
}

/// The blocks of `group` that a message with this header (of its group 0) consists of: all of its
/// segment, or with MDM, which is for one group only, those the user chose.
pub fn blocks_to_send(header: &Header, group: u16) -> Mask {
    let start = u32::from(group).saturating_mul(GROUP_OCTETS);
    let octets = header
        .segment_octets()
        .saturating_sub(start)
        .min(GROUP_OCTETS);
    let all = Mask::for_octets(octets);
    if header.code.has(super::wire::Code::MDM) {
        all.intersect(Mask::from_bits(header.message_delivery))
    } else {
        all
    }
}
