// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is learned of the way to a host: round trips, the time between packets, and the gap (RFC
//! 1045, 2.5.5, 2.5.6, VII.2).

mod common;

use common::ms;
use vmtp_proto::path::{GroupFate, Path};
use vmtp_proto::time::Span;
use vmtp_proto::timers::Estimate;

/// A path of 1500 octets at 10 Mb/s: a packet takes 1.2 ms.
fn slow() -> Path {
    Path::new(1_500, Span::from_micros(1_200))
}

/// Shows: D-22-a
#[test]
fn round_trip_follows_the_estimator_on_matched_samples() {
    // RFC 6298: SRTT and RTTVAR by hand, in ns.
    let mut estimate = Estimate::NONE;
    estimate.sample(ms(80));
    assert_eq!((estimate.mean(), estimate.deviation()), (ms(80), ms(40)));
    assert_eq!(estimate.bound(), ms(240));
    estimate.sample(ms(160));
    // 3/4 * 40 + 1/4 * 80 = 50; 7/8 * 80 + 1/8 * 160 = 90.
    assert_eq!((estimate.mean(), estimate.deviation()), (ms(90), ms(50)));
    estimate.sample(ms(90));
    assert_eq!(estimate.deviation(), Span::from_micros(37_500));
    assert_eq!(estimate.bound(), ms(240));
    // Matched by RetransmitCount: an answer to the first transmission is no sample of the second.
    use common::near::{plain, Near};
    let (mut near, _) = Near::start(&plain(common::mcb(0, 0)));
    near.timeout(600);
    let stale = vmtp_proto::wire::ResponseCode::Ok;
    assert_eq!(near.at(601).notify(stale, 0, 0, 0).round_trip, None);
    assert_eq!(near.at(640).notify(stale, 0, 0, 1).round_trip, Some(ms(40)));
}

/// A way becomes a hundred times as long: the answer to the first transmission comes after others were made, and was
/// never matched by the last one's RetransmitCount.
#[test]
fn round_trip_that_has_grown_beyond_tc1_is_learned_from_the_answer_to_the_first_transmission() {
    use common::near::{plain, Near};
    let mut path = Path::new(1_500, Span::from_micros(12));
    for _ in 0..8 {
        path.sample_round_trip(ms(1));
    }
    let ask = |path: &Path| {
        let mut cx = common::context();
        cx.timing = path.timing();
        Near::start_in(&plain(common::mcb(0, 0)), cx).0
    };
    let mut near = ask(&path);
    // The mean of 1 ms and what is left of a deviation of 0.5: TC1 is below 4 ms, TC2 below 2, and then 200 ms.
    for _ in 0..2 {
        near.cx.now = near.call.deadline();
        near.call.timeout(&mut near.client, &near.cx);
    }
    assert!(near.cx.now < common::at(6));
    let answer = common::response(0, common::t(0), common::mcb(0, 0));
    let sample = near.at(100).response(&answer).round_trip.unwrap();
    // To 1,024 ns.
    assert!(sample.nanos().abs_diff(100_000_000) <= 1_024);
    path.sample_round_trip(sample);
    // A quarter of what differs is deviation, and there are four of it: the next one is sent once.
    assert!(ask(&path).call.deadline() > common::at(200));
    // What comes later than a Server is waited for without a measurement may be its work.
    let mut near = ask(&Path::new(1_500, Span::from_micros(12)));
    near.timeout(600);
    assert_eq!(near.at(601).response(&answer).round_trip, None);
    // An answer to neither the first transmission nor the last tells nothing.
    let mut near = ask(&path);
    for _ in 0..2 {
        near.cx.now = near.call.deadline();
        near.call.timeout(&mut near.client, &near.cx);
    }
    let mut second = answer;
    second.control = second.control.with_retransmit_count(1);
    assert_eq!(near.response(&second).round_trip, None);
}

/// Shows: D-22-b
#[test]
fn timers_are_never_below_a_millisecond() {
    let mut path = Path::new(1_500, Span::from_micros(12));
    for _ in 0..100 {
        path.sample_round_trip(Span::from_micros(100));
        path.sample_interpacket(Span::from_micros(12));
    }
    let timing = path.timing();
    assert_eq!(timing.round_trip, ms(1));
    assert_eq!(timing.packet_gap, ms(1));
    assert_eq!(timing.first_response(), ms(3));
}

#[test]
fn without_a_sample_a_round_trip_is_200_ms() {
    assert_eq!(slow().timing().round_trip, ms(200));
    assert_eq!(slow().timing().packet_gap, ms(12));
}

/// Shows: D-25-a
#[test]
fn gap_is_counted_in_32nds_of_an_mtu_time() {
    let pause = |gap| {
        let mut path = slow();
        path.asked_for_gap(gap);
        path.pause()
    };
    assert_eq!(pause(0), Span::ZERO);
    assert_eq!(pause(1), Span::from_nanos(1_200_000 / 32));
    assert_eq!(pause(32), Span::from_micros(1_200));
    // About 8 packet times.
    assert_eq!(pause(255), Span::from_nanos(1_200_000 * 255 / 32));
}

/// Shows: D-25-b
#[test]
fn loss_raises_the_gap_and_loss_free_groups_lower_it_again() {
    let mut path = slow();
    assert_eq!(path.gap(), 0);
    let mut gaps = Vec::new();
    for _ in 0..10 {
        path.sent(GroupFate::Lossy);
        gaps.push(path.gap());
    }
    assert!(gaps.windows(2).all(|pair| pair[0] < pair[1]), "{gaps:?}");
    let high = path.gap();
    for _ in 0..1_000 {
        let before = path.gap();
        path.sent(GroupFate::Clean);
        assert!(path.gap() <= before);
    }
    assert!(high > 0);
    assert_eq!(path.gap(), 0);
    // It never leaves its octet.
    for _ in 0..1_000 {
        path.sent(GroupFate::Lossy);
    }
    assert_eq!(path.gap(), 255);
}

/// A quarter more or less each time, and at least 1/32 of an MTU time.
#[test]
fn gap_changes_by_a_quarter() {
    let mut path = slow();
    let gaps: Vec<u8> = (0..10)
        .map(|_| {
            path.sent(GroupFate::Lossy);
            path.gap()
        })
        .collect();
    assert_eq!(gaps, [1, 2, 3, 4, 6, 8, 11, 14, 18, 23]);
    // It goes down after eight groups without loss.
    let gaps: Vec<u8> = (0..32)
        .map(|_| {
            path.sent(GroupFate::Clean);
            path.gap()
        })
        .collect();
    assert_eq!(gaps[..8], [23, 23, 23, 23, 23, 23, 23, 17]);
    assert_eq!([gaps[15], gaps[23], gaps[31]], [12, 8, 5]);
}

/// Shows: D-25-c
#[test]
fn gap_that_the_receiver_asks_for_is_a_floor() {
    let mut path = slow();
    path.asked_for_gap(64);
    assert_eq!(path.pause(), Span::from_micros(2_400));
    for _ in 0..1_000 {
        path.sent(GroupFate::Clean);
    }
    assert_eq!(path.gap(), 64);
    for _ in 0..100 {
        path.sent(GroupFate::Lossy);
    }
    assert!(path.gap() > 64);
    // What one host asks is not asked for ever.
    let mut path = slow();
    path.asked_for_gap(64);
    path.asked_for_gap(0);
    assert_eq!(path.gap(), 0);
}

#[test]
fn window_halves_on_loss_and_grows_without_and_has_bounds() {
    let mut path = slow();
    let mut seen = vec![path.timing().window];
    for _ in 0..4 {
        path.sent(GroupFate::Lossy);
        seen.push(path.timing().window);
    }
    assert_eq!(seen, [2, 1, 1, 1, 1]);
    for _ in 0..1_000 {
        path.sent(GroupFate::Clean);
    }
    assert_eq!(path.timing().window, 4);
}

/// The peer that was asked to pause is not taken for one that loses packets.
#[test]
fn wait_for_a_packet_grows_with_the_gap_asked_for() {
    let mut path = slow();
    let before = path.timing().packet_gap;
    for _ in 0..20 {
        path.received(GroupFate::Lossy);
    }
    let timing = path.timing();
    assert!(timing.receive_gap > 0);
    let pause = Span::from_nanos(1_200_000 * u64::from(timing.receive_gap) / 32);
    assert_eq!(timing.packet_gap, before.plus(pause));
}
