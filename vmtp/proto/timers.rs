// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How long to wait: the round-trip estimator and the schedule of retransmissions (RFC 1045, 2.5.5,
//! VII.7). Who waits for what is in `client` and `server`.

use super::time::Span;

/// Floor of TC2, TS3, TC3 and TS1.
pub const FLOOR: Span = Span::from_millis(1);
/// TC2 and TS3 before the first sample.
pub const FIRST_ROUND_TRIP: Span = Span::from_millis(200);
/// Ceiling of TC2 and TS3, and of TC1 before the server acknowledged the Request: a Client is never silent for
/// much longer, however long the round trip is.
pub const ROUND_TRIP_CEILING: Span = Span::from_millis(4_000);
/// Ceiling of TC3 and TS1: beyond it the next packet of a group is lost, not late.
pub const PACKET_GAP_CEILING: Span = Span::from_millis(200);
/// What TC1 has over TC2 once the server acknowledged the Request (2.5.5).
pub const WORKING: Span = Span::from_millis(200);
/// The longest DRT delays a Response.
pub const RESPONSE_DELAY: Span = Span::from_millis(10);
/// A Client that waits for a Response repeats its Request within this time, or gave up.
pub const SURELY_HEARD: Span = Span::from_millis(10_000);
/// TS2, TC1 + 3 * TC2 (2.5.5) of the slowest Client: a server knows neither how long its Client takes the round trip to
/// be nor which of its packets were lost, and an overloaded server is the last to be asked more often.
pub const ORPHAN: Span = Span::from_millis(20_000);

/// The first of the doubling waits, and the last: doubling stops there.
const BACKOFF_FIRST_MS: u64 = 200;
const BACKOFF_DOUBLINGS: u8 = 3;

/// Mean and mean deviation of a measured time, by the estimator of RFC 6298.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Estimate {
    mean: u64,
    deviation: u64,
}

impl Estimate {
    /// Nothing measured.
    pub const NONE: Estimate = Estimate {
        mean: 0,
        deviation: 0,
    };

    /// Takes in one measurement.
    pub fn sample(&mut self, span: Span) {
        // A measurement of zero is one, and must not look like "nothing measured".
        let measured = span.nanos().max(1);
        if self.mean == 0 {
            self.mean = measured;
            self.deviation = measured / 2;
            return;
        }
        let difference = self.mean.abs_diff(measured);
        self.deviation = self
            .deviation
            .saturating_sub(self.deviation / 4)
            .saturating_add(difference / 4);
        self.mean = self
            .mean
            .saturating_sub(self.mean / 8)
            .saturating_add(measured / 8)
            .max(1);
    }

    /// Whether anything was measured.
    pub const fn is_known(&self) -> bool {
        self.mean != 0
    }

    /// The smoothed mean.
    pub const fn mean(&self) -> Span {
        Span::from_nanos(self.mean)
    }

    /// The smoothed mean deviation.
    pub const fn deviation(&self) -> Span {
        Span::from_nanos(self.deviation)
    }

    /// The time by which nearly every measurement has come: mean plus four deviations.
    pub const fn bound(&self) -> Span {
        Span::from_nanos(self.mean.saturating_add(self.deviation.saturating_mul(4)))
    }
}

/// The wait after a peer said that it needs time, because it has no room (BUSY) or works on the Request: `first`, and
/// twice as long for each of the `before` times in a row that it said so before, up to the last of the doubling waits.
/// All but the first are spread over one quarter of their length: those who were told together do not come again
/// together.
pub fn patient(before: u8, first: Span, random: u32) -> Span {
    if before == 0 {
        return first;
    }
    let longest = Span::from_millis(BACKOFF_FIRST_MS << BACKOFF_DOUBLINGS).at_least(first);
    let base = first
        .times(1u64.wrapping_shl(u32::from(before.min(16))))
        .at_most(longest);
    base.plus(base.fraction(random.wrapping_shr(16), 18))
}

/// The wait after transmission number `transmissions - 1` of a message, counted from 1: `first`
/// after the first transmission, `second` after the second, then 200, 400, 800 and 1,600 ms, and
/// 1,600 ms from there on where more retries than 5 are configured.
///
/// `random` spreads the doubling waits over one sixteenth of their length, so that hosts which
/// lost packets together do not retransmit together.
pub fn wait(transmissions: u8, first: Span, second: Span, random: u32) -> Span {
    match transmissions {
        0 | 1 => first,
        2 => second,
        n => {
            let doublings = n.saturating_sub(3).min(BACKOFF_DOUBLINGS);
            let base = Span::from_millis(BACKOFF_FIRST_MS.wrapping_shl(u32::from(doublings)));
            // At least a round trip: an answer on its way is not lost.
            base.at_least(second)
                .plus(base.fraction(random.wrapping_shr(16), 20))
        }
    }
}
