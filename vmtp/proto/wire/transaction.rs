// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Transaction identifiers: 32-bit numbers that a Client counts up and that wrap around (2.5.1,
//! 3.2).
//!
//! It is not the duplicate filter: what an older or newer Transaction means is the server's
//! business.

/// A transaction identifier (2.5.1). There is no order of all of them, only of two that are less
/// than 2^31 apart; so it has no `Ord`, but [`since`](Transaction::since).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Transaction(u32);

impl Transaction {
    /// The identifier with this number.
    #[inline]
    pub const fn from_bits(bits: u32) -> Self {
        Transaction(bits)
    }

    /// Its number.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The identifier after this one; 0 follows 0xFFFFFFFF.
    #[inline]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The identifier `count` after this one, modulo 2^32.
    #[inline]
    pub const fn plus(self, count: u32) -> Self {
        Transaction(self.0.wrapping_add(count))
    }

    /// The identifier `count` before this one, modulo 2^32.
    #[inline]
    pub const fn minus(self, count: u32) -> Self {
        Transaction(self.0.wrapping_sub(count))
    }

    /// How many identifiers lie from `earlier` to this one; negative if this one is the older.
    #[inline]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// Whether this one was issued before `other`: the wrapping difference is negative.
    #[inline]
    pub const fn is_older_than(self, other: Self) -> bool {
        self.since(other) < 0
    }
}
