// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Points in time and spans of time, in nanoseconds. There is no clock here: the host tells the
//! time with every event.

/// A point in time: nanoseconds of a clock that never goes back. All arithmetic saturates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Time(u64);

/// A span of time in nanoseconds. All arithmetic saturates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Span(u64);

impl Time {
    /// The deadline of something that waits for no time.
    pub const NEVER: Time = Time(u64::MAX);

    /// The point `nanos` ns after the clock's start.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the clock's start.
    #[inline]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The point `span` later.
    #[inline]
    pub const fn plus(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }

    /// The span since `earlier`, or zero if that is later.
    #[inline]
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Whether this deadline has come at `now`.
    #[inline]
    pub const fn has_come(self, now: Time) -> bool {
        self.0 <= now.0
    }

    /// The later of two points.
    #[inline]
    pub const fn later(self, other: Time) -> Time {
        if self.0 >= other.0 {
            self
        } else {
            other
        }
    }

    /// The earlier of two deadlines.
    #[inline]
    pub const fn earlier(self, other: Time) -> Time {
        if self.0 <= other.0 {
            self
        } else {
            other
        }
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// `n` nanoseconds.
    #[inline]
    pub const fn from_nanos(n: u64) -> Span {
        Span(n)
    }

    /// `n` microseconds.
    #[inline]
    pub const fn from_micros(n: u64) -> Span {
        Span(n.saturating_mul(1_000))
    }

    /// `n` milliseconds.
    #[inline]
    pub const fn from_millis(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000))
    }

    /// In nanoseconds.
    #[inline]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// In milliseconds, rounded down.
    #[inline]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The sum of two spans.
    #[inline]
    pub const fn plus(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }

    /// `n` times this span.
    #[inline]
    pub const fn times(self, n: u64) -> Span {
        Span(self.0.saturating_mul(n))
    }

    /// This span scaled by `numerator / 2^shift`.
    #[inline]
    pub const fn fraction(self, numerator: u32, shift: u32) -> Span {
        let scaled = (self.0 as u128)
            .wrapping_mul(numerator as u128)
            .wrapping_shr(shift);
        Span(if scaled > u64::MAX as u128 {
            u64::MAX
        } else {
            scaled as u64
        })
    }

    /// The longer of two spans.
    #[inline]
    pub const fn at_least(self, floor: Span) -> Span {
        if self.0 < floor.0 {
            floor
        } else {
            self
        }
    }

    /// The shorter of two spans.
    #[inline]
    pub const fn at_most(self, ceiling: Span) -> Span {
        if self.0 > ceiling.0 {
            ceiling
        } else {
            self
        }
    }
}
