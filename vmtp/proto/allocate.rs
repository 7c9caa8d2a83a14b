// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Discriminators for new entity identifiers of Domain 1 (RFC 1045, 2.1, IV.1): T-stable by taking
//! them from the real-time clock, so that none is given out again within hours, whatever restarts.

/// How often the discriminator advances: one unit is 100 us.
pub const UNIT_NANOS: u64 = 100_000;

/// The first of the upper half of all discriminators, which have 28 bits: what is given out comes
/// again after 3.7 hours.
const UPPER_HALF: u64 = 1 << 27;

/// The allocator of a host.
///
/// # Invariants
///
/// `last` never exceeds the clock at the time of the last allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allocator {
    last: u64,
}

impl Allocator {
    /// An allocator that has given out nothing.
    pub const fn new() -> Allocator {
        Allocator { last: 0 }
    }

    /// The next discriminator at `nanos` ns of real time (since 1970), of 2^27..2^28: those below are
    /// for whoever chooses one, or has one reserved. It is greater, modulo 2^27, than the one before
    /// and never ahead of the clock; `None` if that leaves none yet: ask again 100 us later.
    pub fn next(&mut self, nanos: u64) -> Option<u32> {
        let unit = nanos / UNIT_NANOS;
        // After a pause there is a backlog of unused units; the oldest of the last 4,096 is used
        // first, so that many entities can be made at once. None of them is from before the first
        // allocation: another instance may have given those out.
        let next = match self.last {
            0 => unit,
            last => last.saturating_add(1).max(unit.saturating_sub(BACKLOG)),
        };
        if next > unit {
            return None;
        }
        self.last = next;
        u32::try_from(next & (UPPER_HALF - 1) | UPPER_HALF).ok()
    }
}

/// Unused units that may be made up for: 0.4 s of them.
const BACKLOG: u64 = 4_096;
