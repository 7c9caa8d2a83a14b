// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Points in time and spans, and the schedule of retransmissions (RFC 1045, 2.5.5; rfc-contradictions 1).

mod common;

use common::ms;
use proptest::prelude::*;
use vmtp_proto::context::{Policy, Timing};
use vmtp_proto::time::{Span, Time};
use vmtp_proto::timers::{self, wait, Estimate};

#[test]
fn units_are_nano_micro_and_milliseconds() {
    assert_eq!(Span::from_micros(3).nanos(), 3_000);
    assert_eq!(Span::from_millis(3).nanos(), 3_000_000);
    assert_eq!(Span::from_nanos(2_999_999).millis(), 2);
    assert_eq!(Span::from_millis(3).millis(), 3);
    assert_eq!(Time::NEVER.nanos(), u64::MAX);
}

proptest! {
    /// Two points are ordered as their nanoseconds, and nothing wraps.
    #[test]
    fn time_is_ordered_and_saturates(
        a in prop_oneof![any::<u64>(), 0u64..4], b in prop_oneof![any::<u64>(), 0u64..4], n: u64
    ) {
        let (early, late) = (Time::from_nanos(a), Time::from_nanos(b));
        prop_assert_eq!(early.has_come(late), a <= b);
        prop_assert_eq!(early.later(late).nanos(), a.max(b));
        prop_assert_eq!(early.earlier(late).nanos(), a.min(b));
        prop_assert_eq!(early.since(late).nanos(), a.saturating_sub(b));
        prop_assert_eq!(early.plus(Span::from_nanos(b)).nanos(), a.saturating_add(b));
        let (x, y) = (Span::from_nanos(a), Span::from_nanos(b));
        prop_assert_eq!(x.plus(y).nanos(), a.saturating_add(b));
        prop_assert_eq!(x.at_least(y).nanos(), a.max(b));
        prop_assert_eq!(x.at_most(y).nanos(), a.min(b));
        prop_assert_eq!(x.times(n).nanos(), a.saturating_mul(n));
    }

    #[test]
    fn fraction_is_exact_or_the_longest_span(nanos: u64, numerator: u32, shift in 0u32..64) {
        let exact = (u128::from(nanos) * u128::from(numerator)) >> shift;
        let expected = u64::try_from(exact).unwrap_or(u64::MAX);
        prop_assert_eq!(Span::from_nanos(nanos).fraction(numerator, shift).nanos(), expected);
    }

    /// The estimate stays between the shortest and the longest that was measured, and is never lost.
    #[test]
    fn mean_stays_among_the_measurements(samples in prop::collection::vec(0u64..10_000_000, 1..50)) {
        let mut estimate = Estimate::NONE;
        prop_assert!(!estimate.is_known());
        for sample in &samples {
            estimate.sample(Span::from_nanos(*sample));
            prop_assert!(estimate.is_known());
        }
        let least = samples.iter().min().unwrap();
        let most = samples.iter().max().unwrap().max(&1);
        // RFC 6298 in integers: each step rounds down by less than 9.
        prop_assert!(estimate.mean().nanos() + 9 * 8 >= *least);
        prop_assert!(estimate.mean().nanos() <= *most + 8);
        let bound = estimate.mean().nanos() + 4 * estimate.deviation().nanos();
        prop_assert_eq!(estimate.bound().nanos(), bound);
    }

    /// Jitter is at most a sixteenth of the doubling waits, and none of the first two.
    #[test]
    fn waits_are_spread_by_a_sixteenth(transmissions: u8, random: u32) {
        let (first, second) = (ms(30), ms(10));
        let plain = wait(transmissions, first, second, 0);
        let spread = wait(transmissions, first, second, random);
        let most = if transmissions > 2 { plain.nanos() / 16 } else { 0 };
        prop_assert!(spread >= plain && spread.nanos() <= plain.nanos() + most);
    }
}

#[test]
fn schedule_is_tc1_tc2_and_doubles_from_200_to_1600_ms() {
    let schedule = |first, second| -> Vec<u64> {
        let wait = |n| wait(n, ms(first), ms(second), 0).millis();
        (1..9).map(wait).collect()
    };
    assert_eq!(
        schedule(30, 10),
        [30, 10, 200, 400, 800, 1_600, 1_600, 1_600]
    );
    // Never less than a round trip: what is on its way is not lost.
    assert_eq!(
        schedule(1_500, 500),
        [1_500, 500, 500, 500, 800, 1_600, 1_600, 1_600]
    );
    assert_eq!(wait(0, ms(30), ms(10), u32::MAX), ms(30));
    // All random bits set: just below 200 + 200/16.
    let most = wait(3, ms(30), ms(10), u32::MAX);
    assert!(most < Span::from_micros(212_500) && most > Span::from_micros(212_490));
}

/// TC1 is 3 * TC2 at first, TC2 + 200 ms once the server works; TS5 is TS3 and three times what the Response takes.
#[test]
fn timers_that_follow_from_the_round_trip() {
    let timing = Timing {
        round_trip: ms(20),
        packet_time: ms(1),
        ..Timing::UNKNOWN
    };
    assert_eq!(timing.first_response(), ms(60));
    assert_eq!(timing.working(), ms(220));
    assert_eq!(timing.acknowledgment(0), ms(20 + 3));
    assert_eq!(timing.acknowledgment(1_023), ms(20 + 3));
    assert_eq!(timing.acknowledgment(1_024), ms(20 + 6));
    assert_eq!(timing.acknowledgment(16_384), ms(20 + 3 * 17));
    let slow = Timing {
        round_trip: ms(3_000),
        ..timing
    };
    assert_eq!(slow.first_response(), timers::ROUND_TRIP_CEILING);
    assert_eq!(Policy::DEFAULT.retries, 5);
    assert_eq!(Policy::DEFAULT.record_lifetime, ms(4 * 30_000));
}
