// SPDX-License-Identifier: GPL-2.0 OR MIT

//! LocalClientTimeout of RFC 1045, 4.9: when a Request is sent again, and when it is given up.

mod common;

use common::near::{plain, to_group, wait_of, Near, TC1, TC2};
use common::{at, context, count, flags, mcb, ms, only, packets, response, t, GROUP_HOST};
use vmtp_proto::client::{Event, Found, Request, State, Step, Unreachable};
use vmtp_proto::path::Path;
use vmtp_proto::peer::Peer;
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Code, Control, ResponseCode};

/// Shows: D-22-e2, 2.5.4-a, 4.9-b
#[test]
fn request_is_sent_again_five_times_and_given_up_3800_ms_after_the_first() {
    let (mut near, step) = Near::start(&plain(mcb(0, 0)));
    let mut transmissions = vec![(0, count(&step.burst))];
    // TC1, then TC2 later, then 200, 400 and 800 ms later.
    for time in [TC1, TC1 + TC2, 1_000, 1_400, 2_200] {
        let step = near.timeout(time);
        transmissions.push((time, count(&step.burst)));
        let header = only(&step.burst);
        assert_eq!(header.transaction, t(0));
        assert_eq!(header.control.bits() & Control::FLAGS, Control::APG);
        assert_eq!(step.event, Event::None);
        assert_eq!(near.call.state(), State::AwaitingResponse);
    }
    assert_eq!(
        transmissions,
        [
            (0, 0),
            (600, 1),
            (800, 2),
            (1_000, 3),
            (1_400, 4),
            (2_200, 5)
        ]
    );
    // 1,600 ms after the fifth.
    let step = near.timeout(3_800);
    assert_eq!(step.event, Event::Finished(ResponseCode::RetransTimeout));
    assert_eq!(step.burst, None);
    near.assert_over();
}

/// Shows: 4.9-a
#[test]
fn each_timeout_counts_once_resends_with_apg_and_arms_tc2() {
    let mut cx = context();
    cx.timing.round_trip = ms(30);
    let (mut near, _) = Near::start_in(&plain(mcb(0, 0)), cx);
    let step = near.timeout(90);
    assert_eq!(count(&step.burst), 1);
    assert_eq!(flags(&step.burst, Control::APG), [Control::APG]);
    assert_eq!(near.call.outgoing().transmissions(), 2);
    // TC2 after the first; the doubling that decision 22 puts in its place starts behind it.
    assert_eq!(near.call.deadline(), at(90 + 30));
    let step = near.timeout(120);
    assert_eq!(count(&step.burst), 2);
    assert_eq!(near.call.deadline(), at(120 + 200));
}

/// Jitter lengthens the doubling waits by less than one sixteenth, and no other.
#[test]
fn jitter_spreads_only_the_doubling_waits_and_by_less_than_a_sixteenth() {
    let mut cx = context();
    cx.random = u32::MAX;
    let (mut near, _) = Near::start_in(&plain(mcb(0, 0)), cx);
    near.timeout(600);
    near.timeout(800);
    let mut waits = Vec::new();
    for _ in 0..4 {
        waits.push(near.call.deadline().since(near.cx.now));
        near.cx.now = near.call.deadline();
        near.call.timeout(&mut near.client, &near.cx);
    }
    for (wait, base) in waits.iter().zip([200, 400, 800, 1_600]) {
        assert!(*wait > ms(base), "{base}");
        assert!(wait.nanos() < ms(base).nanos() / 16 * 17, "{base}");
    }
    near.assert_over();
}

/// Shows: D-9-a
#[test]
fn request_with_a_segment_is_first_repeated_as_a_header() {
    let (mut near, first) = Near::start(&plain(mcb(0, 16_384)));
    assert_eq!(packets(&first.burst).len(), 16);
    let step = near.timeout(TC1);
    let packet = packets(&step.burst)[0];
    let header = only(&step.burst);
    assert!(header.code.has(Code::SDA));
    assert_eq!(header.segment_size, 16_384);
    assert_eq!(header.delivery.bits(), 0);
    assert_eq!((header.length, packet.octets, packet.padded), (0, 0, 0));
    assert_eq!(header.control.bits() & Control::FLAGS, Control::APG);
    assert_eq!(header.mcb(), mcb(0, 16_384));
}

/// Shows: D-22-c
#[test]
fn tc1_is_three_times_tc2_and_tc2_plus_200_ms_once_the_server_works() {
    let mut cx = context();
    cx.timing.round_trip = ms(10);
    let (mut near, _) = Near::start_in(&plain(mcb(0, 0)), cx);
    assert_eq!(wait_of(&near), 30);
    near.timeout(30);
    near.at(35).notify(ResponseCode::Ok, 0, 0, 1);
    assert_eq!(wait_of(&near), 210);
}

/// 10 ms after each transmission the server says that it works: TC2 + 200 ms after the first, twice that after each
/// further one, but not more than 1,600 ms.
#[test]
fn the_longer_the_server_works_the_less_often_it_is_asked() {
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    near.at(10).notify(ResponseCode::Ok, 0, 0, 0);
    for (time, count) in [(410, 1), (1_220, 2), (2_830, 3), (4_440, 4), (6_050, 5)] {
        only(&near.timeout(time).burst);
        near.at(time + 10).notify(ResponseCode::Ok, 0, 0, count);
    }
    // Silence is another thing than work.
    for time in [7_660, 7_860, 8_060, 8_460, 9_260] {
        only(&near.timeout(time).burst);
    }
    let step = near.timeout(10_860);
    assert_eq!(step.event, Event::Finished(ResponseCode::RetransTimeout));
}

#[test]
fn a_server_that_has_to_start_anew_is_asked_as_at_first() {
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    near.at(10).notify(ResponseCode::Ok, 0, 0, 0);
    near.timeout(410);
    near.at(420).notify(ResponseCode::Ok, 0, 0, 1);
    near.at(430).notify(ResponseCode::Busy, 0, 0, 1);
    near.timeout(430 + TC1);
    near.at(1_040).notify(ResponseCode::Ok, 0, 0, 2);
    near.timeout(1_440);
}

#[test]
fn members_of_a_group_that_all_work_count_as_one_server() {
    let (mut near, _) = Near::start(&to_group(mcb(0, 0)));
    for time in 10..20 {
        near.at(time).notify(ResponseCode::Ok, 0, 0, 0);
    }
    near.timeout(19 + 400);
    for time in 430..440 {
        near.at(time).notify(ResponseCode::Ok, 0, 0, 1);
    }
    near.timeout(439 + 800);
}

/// Those who were told together do not ask together.
#[test]
fn waits_for_a_server_that_works_are_spread_over_a_quarter() {
    let mut waits = Vec::new();
    for random in [0, 0x8000_0000, u32::MAX] {
        let mut cx = context();
        cx.random = random;
        let (mut near, _) = Near::start_in(&plain(mcb(0, 0)), cx);
        near.at(10).notify(ResponseCode::Ok, 0, 0, 0);
        near.timeout(410);
        near.at(420).notify(ResponseCode::Ok, 0, 0, 1);
        waits.push(near.call.deadline().since(near.cx.now).millis());
    }
    assert_eq!(waits, [800, 900, 999]);
}

/// Shows: 2.5.3-a
#[test]
fn response_is_the_acknowledgment_of_its_request() {
    for segment in [0, 16_384] {
        let (mut near, _) = Near::start(&plain(mcb(0, segment)));
        near.at(5).response(&response(0, t(0), mcb(0, 0)));
        assert_eq!(near.call.deadline(), Time::NEVER);
        near.at(10 * TC1);
        let step = near.call.timeout(&mut near.client, &near.cx);
        assert_eq!(step, Step::NOTHING);
    }
}

/// Shows: 2.7-b
#[test]
fn group_request_is_multicast_until_the_retries_are_used_up() {
    let (mut near, step) = Near::start(&to_group(mcb(0, 0)));
    let mut multicasts = 1;
    assert_eq!(only(&step.burst).server, common::GROUP);
    for time in [600, 800, 1_000, 1_400, 2_200] {
        multicasts += packets(&near.timeout(time).burst).len();
        assert_eq!(near.call.peer(), GROUP_HOST);
    }
    assert_eq!(multicasts, 6);
    let step = near.timeout(3_800);
    assert_eq!(step.event, Event::Finished(ResponseCode::RetransTimeout));
    // Or until the first Response: not repeated after it.
    let (mut near, _) = Near::start(&to_group(mcb(0, 0)));
    near.timeout(600);
    near.at(700).response(&response(0, t(0), mcb(0, 0)));
    assert_eq!(near.call.deadline(), Time::NEVER);
}

/// Shows: D-23-a
#[test]
fn group_request_is_not_repeated_after_its_first_response() {
    let (mut near, _) = Near::start(&to_group(mcb(Code::MRD, 0)));
    near.at(5).response(&response(0, t(0), mcb(0, 0)));
    // The user waits for more, and nothing is sent meanwhile.
    assert_eq!(near.call.state(), State::Processing { collecting: true });
    assert_eq!(near.call.deadline(), Time::NEVER);
    near.at(60_000);
    let step = near.call.timeout(&mut near.client, &near.cx);
    assert_eq!(step, Step::NOTHING);
}

/// 4.1: the limit of the user holds even while the server keeps saying that it works.
#[test]
fn time_limit_ends_the_transaction_although_the_server_acknowledges() {
    let (mut near, _) = Near::start(&Request {
        limit: at(1_000),
        ..plain(mcb(0, 0))
    });
    near.timeout(600);
    near.at(610).notify(ResponseCode::Ok, 0, 0, 1);
    near.timeout(1_000);
    near.assert_over();
    // Without a limit it goes on for as long as the server says so.
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    for hour in 1..100 {
        let due = near.call.deadline();
        near.cx.now = due;
        let step = near.call.timeout(&mut near.client, &near.cx);
        assert_eq!(step.event, Event::None);
        let count = count(&step.burst);
        near.at(hour * 3_600_000)
            .notify(ResponseCode::Ok, 0, 0, count);
        assert_eq!(near.call.state(), State::AwaitingResponse);
    }
}

#[test]
fn user_timeout_is_the_code_of_a_transaction_past_its_limit_in_every_state() {
    let limited = Request {
        limit: at(50),
        ..plain(mcb(0, 0))
    };
    let expired = Event::Finished(ResponseCode::UserTimeout);
    let (mut near, _) = Near::start(&limited);
    assert_eq!(near.timeout(50).event, expired);
    // While the Server's host is looked for.
    let (mut near, step) = Near::start(&Request {
        peer: Peer::NONE,
        ..limited
    });
    assert_eq!(step.event, Event::Locate);
    assert_eq!(near.timeout(50).event, expired);
    // While a Response comes in.
    let (mut near, _) = Near::start(&limited);
    let part = common::carrying(response(0, t(0), mcb(0, 1_024)), 0b01);
    near.at(10).response(&part);
    assert_eq!(near.call.state(), State::ReceivingResponse);
    assert_eq!(near.timeout(50).event, expired);
    near.assert_over();
}

/// Shows: 2.5.5-a
#[test]
fn tc2_is_sampled_from_apg_and_its_answer_and_from_probes() {
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    near.timeout(600);
    let step = near.at(650).notify(ResponseCode::Ok, 0, 0, 1);
    assert_eq!(step.round_trip, Some(ms(50)));
    // RFC 6298: mean 50 and deviation 25 make 50 + 4 * 25.
    let mut path = Path::new(1_500, Span::from_micros(12));
    path.sample_round_trip(ms(50));
    assert_eq!(path.timing().round_trip, ms(150));
    // Later retransmissions are that far apart.
    let mut cx = context();
    cx.timing = path.timing();
    let (mut near, _) = Near::start_in(&plain(mcb(0, 0)), cx);
    near.timeout(450);
    near.timeout(600);

    let manager = vmtp_proto::wire::Entity::from_bits(0x2000_0009_0A00_0001);
    let mut probe =
        vmtp_proto::manager::Probe::new(common::SERVER, common::SERVER, t(7), 5, Time::NEVER);
    let mut cx = context();
    probe.timeout(manager, 1, &cx);
    cx.now = at(70);
    let answer = response(0, t(7), vmtp_proto::wire::Mcb::default());
    let (_, round_trip) = probe.answer(&answer, cx.now);
    assert_eq!(round_trip, Some(ms(70)));
}

/// Shows: D-27-a
#[test]
fn a_host_without_vmtp_leads_to_a_probe_and_then_to_nonexistent_entity_at_once() {
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    let step = near.at(3).unreachable(Unreachable::Protocol);
    assert_eq!(step.event, Event::Locate);
    assert_eq!(near.call.state(), State::Locating);
    let step = near.at(5).not_located();
    assert_eq!(step.event, Event::Finished(ResponseCode::NonexistentEntity));
    near.assert_over();
}

/// RFC 1122, 3.2.2.1: "host unreachable" is a hint and no proof. The Request is sent on while
/// everybody is asked, and only if nobody answers and the host still cannot be reached it is over.
///
/// Shows: D-27-a
#[test]
fn an_unreachable_host_is_the_end_only_if_a_probe_fails_and_it_still_is_unreachable() {
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    let deadline = near.call.deadline();
    let step = near.at(3).unreachable(Unreachable::Host);
    assert_eq!(step.event, Event::Locate);
    assert_eq!(near.at(4).unreachable(Unreachable::Host), Step::NOTHING);
    assert_eq!(near.at(5).not_located(), Step::NOTHING);
    assert_eq!(near.call.state(), State::AwaitingResponse);
    assert_eq!(near.call.deadline(), deadline);
    // What waited for the same ARP reply fails at once with it: that is no second sign.
    assert_eq!(near.at(6).unreachable(Unreachable::Host), Step::NOTHING);
    assert!(near.timeout(600).burst.is_some());
    let step = near.at(601).unreachable(Unreachable::Host);
    assert_eq!(step.event, Event::Finished(ResponseCode::NonexistentEntity));
    near.assert_over();
}

/// The second sign may come before the Probe fails.
///
/// Shows: D-27-a
#[test]
fn an_unreachable_host_is_given_up_when_the_probe_fails() {
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    near.at(3).unreachable(Unreachable::Host);
    near.timeout(600);
    assert_eq!(near.at(601).unreachable(Unreachable::Host), Step::NOTHING);
    let step = near.at(700).not_located();
    assert_eq!(step.event, Event::Finished(ResponseCode::NonexistentEntity));
    near.assert_over();
}

/// Whoever was not asked may be wrong, or lie: it cannot end anything, however often it says so.
#[test]
fn hearsay_only_leads_to_a_probe() {
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    let step = near.at(3).unreachable(Unreachable::Hearsay);
    assert_eq!(step.event, Event::Locate);
    near.at(5).not_located();
    assert_eq!(near.at(6).unreachable(Unreachable::Hearsay), Step::NOTHING);
    assert_eq!(near.call.state(), State::AwaitingResponse);
}

/// Shows: D-27-b
#[test]
fn unreachable_never_ends_what_the_server_acknowledged() {
    for who in [
        Unreachable::Protocol,
        Unreachable::Host,
        Unreachable::Hearsay,
    ] {
        let (mut near, _) = Near::start(&plain(mcb(0, 0)));
        near.timeout(600);
        near.at(610).notify(ResponseCode::Ok, 0, 0, 1);
        let deadline = near.call.deadline();
        assert_eq!(near.at(620).unreachable(who), Step::NOTHING);
        assert_eq!(near.call.state(), State::AwaitingResponse);
        assert_eq!(near.call.deadline(), deadline);
        let step = near.at(630).response(&response(0, t(0), mcb(0, 0)));
        assert!(matches!(step.event, Event::Response(_)));
    }
}

/// Decision 14: a guess that proves wrong is not the end.
#[test]
fn guessed_host_without_the_server_makes_the_client_look_elsewhere() {
    let guessed = Request {
        found: Found::Guessed,
        ..plain(mcb(0, 1_024))
    };
    let (mut near, _) = Near::start(&guessed);
    let step = near.at(2).notify(ResponseCode::NonexistentEntity, 0, 0, 0);
    assert_eq!(step.event, Event::Locate);
    let step = near.at(10).located(common::OTHER_HOST);
    // All of it goes there, with all retries.
    assert_eq!(common::deliveries(&step.burst), [0b11]);
    assert_eq!(near.call.peer(), common::OTHER_HOST);
    assert_eq!(near.call.deadline(), at(10 + TC1));
    // That answer is believed.
    let step = near.at(12).notify(ResponseCode::NonexistentEntity, 0, 0, 1);
    assert_eq!(step.event, Event::Finished(ResponseCode::NonexistentEntity));
}

/// Decision 14: neither is silence, however few the retries.
#[test]
fn silent_guessed_host_makes_the_client_look_elsewhere_before_it_fails() {
    for retries in 1..=7 {
        let mut cx = context();
        cx.policy.retries = retries;
        let guessed = Request {
            found: Found::Guessed,
            ..plain(mcb(0, 0))
        };
        let (mut near, _) = Near::start_in(&guessed, cx);
        let mut events = Vec::new();
        while near.client.open() != 0 {
            near.cx.now = near.call.deadline();
            events.push(near.call.timeout(&mut near.client, &near.cx).event);
        }
        let located = events.iter().filter(|event| **event == Event::Locate);
        assert_eq!(located.count(), 1, "{retries} retries: {events:?}");
    }
}
