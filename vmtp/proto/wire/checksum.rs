// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The packet checksum: two 16-bit ones-complement sums over alternate 32-octet clusters (2.5.2,
//! 3.2).
//!
//! It sums whatever octets it is given from the start of the packet on; which octets those are (HCO
//! or not) and where the result goes is the caller's part.

use super::octets::at;

/// Octets of a cluster: sixteen 16-bit words.
const CLUSTER: usize = 32;
/// Octets after which the two sums come around again.
const STRIDE: usize = 2 * CLUSTER;
/// Octets that one round of the inner loop sums.
const STEP: usize = 4 * STRIDE;

/// A checksum in the making. Octets are added in the order of the packet, in chunks of any length
/// and alignment.
///
/// The sums are kept in native byte order: ones-complement addition of 16-bit words gives, octet by
/// octet, the same result in either order, and so do wider additions with the carry added back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum {
    /// Clusters 1, 3, 5 ..., not yet folded to 16 bits.
    first: u64,
    /// Clusters 2, 4, 6 ..., not yet folded to 16 bits.
    second: u64,
    /// Octets added so far, modulo [`STRIDE`].
    position: usize,
}

/// What a received checksum says about a packet (2.5.2, 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verification {
    /// Four zero octets: the sender computed none.
    Absent,
    /// It is the checksum of the packet.
    Correct,
    /// It is not.
    Wrong,
}

impl Checksum {
    /// The checksum of no octets yet.
    #[inline]
    pub const fn new() -> Self {
        Checksum {
            first: 0,
            second: 0,
            position: 0,
        }
    }

    /// The checksum of a packet with this header and segment data; with HCO set the data is to be
    /// left out. High half first sum, low half second sum: the big-endian word that ends the
    /// packet.
    #[inline]
    pub fn of(header: &[u8; 64], data: &[u8]) -> u32 {
        let mut checksum = Checksum::new();
        checksum.add_stride(header);
        checksum.add(data);
        checksum.finish()
    }

    /// Adds the next octets of the packet.
    #[inline]
    pub fn add(&mut self, octets: &[u8]) {
        let mut rest = octets;
        if self.position != 0 {
            let to_stride = STRIDE.wrapping_sub(self.position);
            let (head, tail) = rest.split_at_checked(to_stride).unwrap_or((rest, &[]));
            self.add_part(head);
            rest = tail;
        }
        if rest.len() >= STRIDE {
            rest = self.add_strides(rest);
        }
        if !rest.is_empty() {
            self.add_part(rest);
        }
    }

    /// The two sums, 0 replaced by 0xFFFF, the first in the high half: the big-endian word that
    /// ends the packet.
    #[inline]
    pub fn finish(self) -> u32 {
        u32::from(fold(self.first)) << 16 | u32::from(fold(self.second))
    }

    /// Compares with the big-endian word that ended the packet.
    #[inline]
    pub fn verify(self, received: u32) -> Verification {
        if received == 0 {
            Verification::Absent
        } else if received == self.finish() {
            Verification::Correct
        } else {
            Verification::Wrong
        }
    }

    /// The first 64 octets of a packet.
    #[inline]
    fn add_stride(&mut self, octets: &[u8; STRIDE]) {
        self.first = fold_carry(cluster::<0, STRIDE>((self.first, false), octets));
        self.second = fold_carry(cluster::<CLUSTER, STRIDE>((self.second, false), octets));
    }

    /// Whole strides from a stride's start on. Returns the octets after the last whole one.
    fn add_strides<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        let (mut first, mut second) = (self.first, self.second);
        let mut rest = octets;
        // Long steps, because adding the carry back and the loop itself are dear beside a chain.
        while let Some((step, tail)) = rest.split_first_chunk::<STEP>() {
            let sum = cluster::<0, STEP>((first, false), step);
            let sum = cluster::<STRIDE, STEP>(sum, step);
            let sum = cluster::<{ 2 * STRIDE }, STEP>(sum, step);
            first = fold_carry(cluster::<{ 3 * STRIDE }, STEP>(sum, step));
            let sum = cluster::<CLUSTER, STEP>((second, false), step);
            let sum = cluster::<{ CLUSTER + STRIDE }, STEP>(sum, step);
            let sum = cluster::<{ CLUSTER + 2 * STRIDE }, STEP>(sum, step);
            second = fold_carry(cluster::<{ CLUSTER + 3 * STRIDE }, STEP>(sum, step));
            rest = tail;
        }
        while let Some((stride, tail)) = rest.split_first_chunk::<STRIDE>() {
            first = fold_carry(cluster::<0, STRIDE>((first, false), stride));
            second = fold_carry(cluster::<CLUSTER, STRIDE>((second, false), stride));
            rest = tail;
        }
        self.first = first;
        self.second = second;
        rest
    }

    /// Octets that do not fill a stride: words of 8 where the position allows, else one by one.
    fn add_part(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while self.position % 8 == 0 {
            let Some((word, tail)) = rest.split_first_chunk::<8>() else {
                break;
            };
            self.add_word(u64::from_ne_bytes(*word), 8);
            rest = tail;
        }
        for octet in rest {
            let pair = if self.position % 2 == 0 {
                [*octet, 0]
            } else {
                [0, *octet]
            };
            self.add_word(u64::from(u16::from_ne_bytes(pair)), 1);
        }
    }

    /// Adds a word of `octets` octets to the sum whose turn it is.
    #[inline]
    fn add_word(&mut self, word: u64, octets: usize) {
        let sum = if self.position < CLUSTER {
            &mut self.first
        } else {
            &mut self.second
        };
        *sum = add_around(*sum, word);
        self.position = self.position.wrapping_add(octets) % STRIDE;
    }
}

/// Ones-complement addition in 64 bits: the carry out is added back.
#[inline(always)]
fn add_around(a: u64, b: u64) -> u64 {
    fold_carry(a.overflowing_add(b))
}

/// Adds a carry back to the sum it came out of. That never carries again: a chain which began
/// without a carry does not come out at 2^64 - 1 with one.
#[inline(always)]
fn fold_carry((sum, carry): (u64, bool)) -> u64 {
    sum.wrapping_add(u64::from(carry))
}

/// The cluster at `AT` added to a sum and its carry, in the form that compiles to one chain of
/// additions with carry.
#[inline(always)]
fn cluster<const AT: usize, const LEN: usize>(
    (sum, carry): (u64, bool),
    octets: &[u8; LEN],
) -> (u64, bool) {
    let words = at::<AT, CLUSTER, LEN>(octets);
    let (sum, carry) = add_with_carry(sum, u64::from_ne_bytes(at::<0, 8, CLUSTER>(&words)), carry);
    let (sum, carry) = add_with_carry(sum, u64::from_ne_bytes(at::<8, 8, CLUSTER>(&words)), carry);
    let (sum, carry) = add_with_carry(sum, u64::from_ne_bytes(at::<16, 8, CLUSTER>(&words)), carry);
    add_with_carry(sum, u64::from_ne_bytes(at::<24, 8, CLUSTER>(&words)), carry)
}

/// `a + b + carry` and the carry out of it.
#[inline(always)]
fn add_with_carry(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(u64::from(carry));
    (sum, first | second)
}

/// A 64-bit ones-complement sum as the 16 bits that are sent, in the packet's order; 0 becomes
/// 0xFFFF (3.2).
#[inline]
fn fold(sum: u64) -> u16 {
    // Either half added to the other, with the carry of one addition going into the other.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    let sum = (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16;
    match u16::from_be_bytes(sum.to_ne_bytes()) {
        0 => 0xFFFF,
        sum => sum,
    }
}
