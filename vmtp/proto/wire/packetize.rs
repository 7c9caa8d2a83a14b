// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How the blocks of a packet group are cut into packets, and where the octets of a packet lie in
//! the group (2.13).
//!
//! It only plans: segment data is copied by whoever holds it, and the pace of sending is not here.

use super::mask::below;
use super::{Mask, BLOCK_OCTETS};

/// `octets` of segment data with the padding to a multiple of 64 bits (3.2).
#[inline]
pub const fn padded(octets: u32) -> u32 {
    octets.saturating_add(7) & !7
}

/// One packet of a packet group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketPlan {
    /// PacketDelivery: the blocks in this packet.
    pub delivery: Mask,
    /// Octets of segment data.
    pub octets: u32,
    /// Octets of segment data with the padding: 4 times Length.
    pub padded: u32,
    /// Whether it is the last packet of this transmission.
    pub last: bool,
}

/// The packets that carry some blocks of a packet group, in ascending order of blocks, as many
/// blocks in each as fit.
#[derive(Clone, Debug)]
pub struct Packets {
    rest: Mask,
    group_octets: u32,
    data_limit: u32,
    done: bool,
}

impl Packets {
    /// Plans the packets with `blocks` of a group of `group_octets`; blocks beyond the group are
    /// left out.
    ///
    /// `data_limit` is the octets of padded segment data that one packet may carry: the MTU without
    /// IP header, 64 octets of header and 4 of checksum. Below one block each packet still carries
    /// one. Without any block there is one packet, without data (4.9 note 3, and messages without a
    /// segment).
    #[inline]
    pub const fn new(blocks: Mask, group_octets: u32, data_limit: u32) -> Self {
        Packets {
            rest: blocks.intersect(Mask::for_octets(group_octets)),
            group_octets,
            data_limit,
            done: false,
        }
    }
}

impl Iterator for Packets {
    type Item = PacketPlan;

    #[inline]
    fn next(&mut self) -> Option<PacketPlan> {
        if self.done {
            return None;
        }
        let rest = if padded(self.rest.octets(self.group_octets)) <= self.data_limit {
            Mask::EMPTY
        } else {
            // One block goes whatever its size, then as many whole ones as fit.
            let mut rest = self.rest.without_lowest();
            for _ in 1..self.data_limit / BLOCK_OCTETS {
                rest = rest.without_lowest();
            }
            rest
        };
        let delivery = self.rest.minus(rest);
        let octets = delivery.octets(self.group_octets);
        self.rest = rest;
        self.done = rest.is_empty();
        Some(PacketPlan {
            delivery,
            octets,
            padded: padded(octets),
            last: self.done,
        })
    }
}

impl core::iter::FusedIterator for Packets {}

/// A stretch of octets that is in one piece both in the packet and in the packet group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where it begins in the segment data of the packet, in octets after the header.
    pub packet_offset: u32,
    /// Where it begins in the segment data of the packet group, in octets.
    pub group_offset: u32,
    /// Its octets, without padding.
    pub octets: u32,
}

/// Where the segment data of one packet lies in its packet group: one [`Extent`] for each row of
/// adjacent blocks.
#[derive(Clone, Debug)]
pub struct Placement {
    rest: Mask,
    group_octets: u32,
    packet_offset: u32,
}

impl Placement {
    /// For a packet with this PacketDelivery in a group of `group_octets`; blocks beyond the group
    /// are left out.
    #[inline]
    pub const fn new(delivery: Mask, group_octets: u32) -> Self {
        Placement {
            rest: delivery.intersect(Mask::for_octets(group_octets)),
            group_octets,
            packet_offset: 0,
        }
    }
}

impl Iterator for Placement {
    type Item = Extent;

    #[inline]
    fn next(&mut self) -> Option<Extent> {
        if self.rest.is_empty() {
            return None;
        }
        let first = self.rest.bits().trailing_zeros();
        let blocks = self.rest.bits().wrapping_shr(first).trailing_ones();
        let end = first.wrapping_add(blocks);
        let group_offset = first.wrapping_mul(BLOCK_OCTETS);
        let octets = end
            .wrapping_mul(BLOCK_OCTETS)
            .min(self.group_octets)
            .wrapping_sub(group_offset);
        let extent = Extent {
            packet_offset: self.packet_offset,
            group_offset,
            octets,
        };
        self.rest = self.rest.minus(Mask::from_bits(below(end)));
        self.packet_offset = self.packet_offset.wrapping_add(octets);
        Some(extent)
    }
}

impl core::iter::FusedIterator for Placement {}
