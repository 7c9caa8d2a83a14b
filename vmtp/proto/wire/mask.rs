// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Block masks: which 512-octet blocks of a packet group are meant (2.13, 3.2: PacketDelivery and
//! MsgDelivery).
//!
//! A mask knows neither the segment nor the group it is of; sizes are passed in. How blocks are cut
//! into packets is in `packetize`.

use super::{BLOCK_OCTETS, GROUP_BLOCKS, GROUP_OCTETS};

/// A set of the 32 blocks of a packet group. Bit i, the least significant being 0, is block i
/// (3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Mask(u32);

impl Mask {
    /// No block.
    pub const EMPTY: Mask = Mask(0);
    /// All 32 blocks.
    pub const ALL: Mask = Mask(u32::MAX);

    /// The mask with these bits.
    #[inline]
    pub const fn from_bits(bits: u32) -> Self {
        Mask(bits)
    }

    /// Its bits.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The blocks that cover the first `octets` octets of a group; all 32 from 15,873 octets on.
    #[inline]
    pub const fn for_octets(octets: u32) -> Self {
        Mask(below(octets.div_ceil(BLOCK_OCTETS)))
    }

    /// How many blocks there are in it.
    #[inline]
    pub const fn blocks(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is no block in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every block of `other` is in this one.
    #[inline]
    pub const fn contains(self, other: Mask) -> bool {
        other.0 & !self.0 == 0
    }

    /// The blocks in either.
    #[inline]
    pub const fn union(self, other: Mask) -> Mask {
        Mask(self.0 | other.0)
    }

    /// The blocks of this one that are not in `other`.
    #[inline]
    pub const fn minus(self, other: Mask) -> Mask {
        Mask(self.0 & !other.0)
    }

    /// The blocks in both.
    #[inline]
    pub const fn intersect(self, other: Mask) -> Mask {
        Mask(self.0 & other.0)
    }

    /// The numbers of its blocks, ascending.
    #[inline]
    pub const fn iter(self) -> Blocks {
        Blocks(self.0)
    }

    /// How many octets of a group of `group_octets` are there from its start without a gap (2.13,
    /// BAD_REPLY_SEGMENT).
    #[inline]
    pub const fn contiguous_octets(self, group_octets: u32) -> u32 {
        let octets = self.0.trailing_ones().wrapping_mul(BLOCK_OCTETS);
        if octets < group_octets {
            octets
        } else if group_octets < GROUP_OCTETS {
            group_octets
        } else {
            GROUP_OCTETS
        }
    }

    /// How many octets its blocks have in a group of `group_octets`: the last block of the group
    /// may be short, blocks beyond it have none.
    #[inline]
    pub const fn octets(self, group_octets: u32) -> u32 {
        let present = self.intersect(Mask::for_octets(group_octets));
        let whole = present.blocks().wrapping_mul(BLOCK_OCTETS);
        let short = group_octets % BLOCK_OCTETS;
        if short != 0 && present.has(group_octets / BLOCK_OCTETS) {
            whole.wrapping_sub(BLOCK_OCTETS).wrapping_add(short)
        } else {
            whole
        }
    }

    /// Whether block number `block` is in it; there is none above 31.
    #[inline]
    pub const fn has(self, block: u32) -> bool {
        block < GROUP_BLOCKS && self.0.wrapping_shr(block) & 1 != 0
    }

    /// The same without its lowest block.
    #[inline]
    pub(super) const fn without_lowest(self) -> Mask {
        Mask(self.0 & self.0.wrapping_sub(1))
    }
}

/// A word whose lowest `bits` bits are set; from 32 on all of them.
#[inline]
pub(super) const fn below(bits: u32) -> u32 {
    if bits >= GROUP_BLOCKS {
        u32::MAX
    } else {
        1u32.wrapping_shl(bits).wrapping_sub(1)
    }
}

impl IntoIterator for Mask {
    type Item = u32;
    type IntoIter = Blocks;

    #[inline]
    fn into_iter(self) -> Blocks {
        self.iter()
    }
}

/// The block numbers of a [`Mask`], ascending.
#[derive(Clone, Debug)]
pub struct Blocks(u32);

impl Iterator for Blocks {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let block = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        Some(block)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.count_ones() as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Blocks {}
