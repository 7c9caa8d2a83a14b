// SPDX-License-Identifier: GPL-2.0 OR MIT

//! NotifyVmtpClient of RFC 1045, 4.8.

mod common;

use common::far::Far;
use common::near::{member, plain, to_group, Near, TC1, TC2};
use common::{
    at, carrying, count, deliveries, flags, headers, mcb, ms, only, packets, request, response, t,
};
use common::{to_client, OTHER_HOST, SERVER_HOST};
use vmtp_proto::client::{Drop, Event, Keep, Request, State, Step};
use vmtp_proto::path::GroupFate;
use vmtp_proto::server::State as FarState;
use vmtp_proto::wire::{Control, ResponseCode};

fn asked(segment: u32) -> Near {
    Near::start(&plain(mcb(0, segment))).0
}

/// How often the Request is sent again if nobody says anything any more.
fn retransmissions(mut near: Near) -> u32 {
    let mut number = 0;
    while near.client.open() != 0 {
        near.cx.now = near.call.deadline();
        let step = near.call.timeout(&mut near.client, &near.cx);
        number += u32::from(step.burst.is_some());
    }
    number
}

/// Shows: 4.8-a
#[test]
fn notify_about_nothing_that_awaits_a_response_has_no_effect() {
    let near = asked(0);
    for about in [t(1), t(0).minus(1), t(256)] {
        for code in ResponseCode::ALL {
            assert!(!near.call.is_notified_by(&to_client(*code, about, 0, 0)));
        }
    }
    // While a Response comes in, and after it.
    let mut receiving = asked(0);
    receiving.response(&carrying(response(0, t(0), mcb(0, 1_024)), 0b01));
    let mut over = asked(0);
    over.response(&response(0, t(0), mcb(0, 0)));
    for mut near in [receiving, over] {
        for code in ResponseCode::ALL {
            let before = (near.call, near.client, near.reply);
            let notify = to_client(*code, t(0), 0, 0);
            let step = near.call.notify(&mut near.client, &notify, &near.cx);
            let expected = Step {
                keep: Keep::Drop(Drop::Unwanted),
                ..Step::NOTHING
            };
            assert_eq!(step, expected, "{code:?}");
            assert_eq!((near.call, near.client, near.reply), before);
        }
    }
}

/// Shows: 4.8-d
#[test]
fn ok_clears_the_count_and_restarts_tc1_without_changing_the_state() {
    let mut near = asked(0);
    for time in [600, 800, 1_000, 1_400] {
        near.timeout(time);
    }
    let step = near.at(1_405).notify(ResponseCode::Ok, 0, 0, 4);
    assert_eq!((step.burst, step.event), (None, Event::None));
    assert_eq!(near.call.state(), State::AwaitingResponse);
    // TC1 of a server that works: TC2 + 200 ms.
    assert_eq!(near.call.deadline(), at(1_405 + TC2 + 200));
    assert_eq!(retransmissions(near), 5);
}

/// Shows: 4.8-e
#[test]
fn acknowledged_blocks_are_not_sent_again_unless_asked_for() {
    let mut near = asked(4_096);
    let step = near.notify(ResponseCode::Retry, 0, 0b0011_1100, 0);
    assert_eq!(deliveries(&step.burst), [0b0000_0011, 0b1100_0000]);
    // A later Notify acknowledges a superset.
    let step = near.notify(ResponseCode::Retry, 0, 0b0111_1111, 1);
    assert_eq!(deliveries(&step.burst), [0b1000_0000]);
    near.notify(ResponseCode::Ok, 0, 0xFF, 2);
    // By itself the Client sends no data any more.
    near.cx.now = near.call.deadline();
    let step = near.call.timeout(&mut near.client, &near.cx);
    assert_eq!(deliveries(&step.burst), [0]);
    // The server has forgotten it all, and asks for it.
    let step = near.notify(ResponseCode::Retry, 0, 0, 3);
    assert_eq!(
        deliveries(&step.burst),
        [0b11, 0b1100, 0b11_0000, 0b1100_0000]
    );
    // And for what it had, of what was never acknowledged whole.
    let mut near = asked(4_096);
    near.notify(ResponseCode::Retry, 0, 0b0011_1111, 0);
    let step = near.notify(ResponseCode::Retry, 0, 0b1100_0000, 1);
    assert_eq!(deliveries(&step.burst), [0b11, 0b1100, 0b11_0000]);
}

/// Shows: 4.8-f
#[test]
fn retry_sends_the_missing_blocks_at_once_and_restarts_tc1() {
    let mut near = asked(4_096);
    near.timeout(TC1);
    near.timeout(TC1 + TC2);
    let step = near.at(900).notify(ResponseCode::Retry, 0, 0b1110_0111, 2);
    assert_eq!(deliveries(&step.burst), [0b0001_1000]);
    assert_eq!(count(&step.burst), 3);
    assert_eq!(near.call.deadline(), at(900 + TC1));
    // The server was heard: all retries are there again.
    assert_eq!(retransmissions(near), 5);
}

/// Shows: 4.8-g
#[test]
fn retry_all_sends_all_blocks_again_at_once() {
    let mut near = asked(4_096);
    near.notify(ResponseCode::Retry, 0, 0b0011_1111, 0);
    let step = near.at(7).notify(ResponseCode::RetryAll, 0, 0b11, 0);
    assert_eq!(
        deliveries(&step.burst),
        [0b11, 0b1100, 0b11_0000, 0b1100_0000]
    );
    assert_eq!(near.call.deadline(), at(7 + TC1));
}

/// Shows: 4.8-c
#[test]
fn pg_count_acknowledges_earlier_groups() {
    let mut cx = common::context();
    cx.timing.window = 2;
    let (mut near, _) = Near::start_in(&plain(mcb(0, 5 * 16_384)), cx);
    // Group 1 lacks blocks, group 0 is there.
    let mut notify = to_client(ResponseCode::Retry, t(1), 0xFFFF_FFF0, 0);
    notify.control = notify.control.with_pg_count(1);
    let step = near.call.notify(&mut near.client, &notify, &near.cx);
    assert_eq!(deliveries(&step.burst), [0b11, 0b1100]);
    // With group 1 the window is all new.
    let mut notify = to_client(ResponseCode::Ok, t(1), u32::MAX, 1);
    notify.control = notify.control.with_pg_count(1);
    let step = near.call.notify(&mut near.client, &notify, &near.cx);
    let mut numbers: Vec<u32> = headers(&step.burst)
        .iter()
        .map(|header| header.transaction.bits() - common::T)
        .collect();
    numbers.dedup();
    assert_eq!(numbers, [2, 3]);
}

/// Shows: 4.8-i
#[test]
fn busy_sends_the_whole_request_after_tc1_with_a_fresh_count() {
    let mut near = asked(4_096);
    for time in [600, 800, 1_000, 1_400] {
        near.timeout(time);
    }
    near.at(1_401)
        .notify(ResponseCode::Retry, 0, 0b0000_1111, 4);
    let step = near.at(1_402).notify(ResponseCode::Busy, 0, 0, 5);
    assert_eq!((step.burst, step.event), (None, Event::None));
    let step = near.timeout(1_402 + TC1);
    // What the server had is gone.
    assert_eq!(
        deliveries(&step.burst),
        [0b11, 0b1100, 0b11_0000, 0b1100_0000]
    );
    assert_eq!(retransmissions(near), 4);
    // A server that worked on it does so no more.
    let mut near = asked(0);
    near.notify(ResponseCode::Ok, 0, 0, 0);
    near.at(10).notify(ResponseCode::Busy, 0, 0, 0);
    assert_eq!(near.call.deadline(), at(10 + TC1));
    assert!(!near.call.is_accepted());
    // A long one from its first group.
    let mut cx = common::context();
    cx.timing.window = 1;
    let (mut near, _) = Near::start_in(&plain(mcb(0, 40_000)), cx);
    near.notify(ResponseCode::Ok, 0, u32::MAX, 0);
    near.notify(ResponseCode::Busy, 1, 0, 1);
    near.cx.now = near.call.deadline();
    let step = near.call.timeout(&mut near.client, &near.cx);
    assert_eq!(headers(&step.burst)[0].transaction, t(0));
    assert_eq!(packets(&step.burst).len(), 16);
}

/// What the server has of a Request after it said BUSY are packets that were under way: that it asks for the rest of
/// them, and gives up, ends nothing.
#[test]
fn what_is_told_of_packets_behind_busy_changes_nothing() {
    let mut near = asked(4_096);
    near.at(10).notify(ResponseCode::Busy, 0, 0, 0);
    for code in [
        ResponseCode::Retry,
        ResponseCode::RetryAll,
        ResponseCode::TooManyRetries,
    ] {
        let step = near.at(20).notify(code, 0, 0b1000, 0);
        assert_eq!((step.burst, step.event), (None, Event::None), "{code:?}");
        assert_eq!(near.call.deadline(), at(10 + TC1));
    }
    let step = near.timeout(10 + TC1);
    assert_eq!(packets(&step.burst).len(), 4);
    // Of what goes out now it is told in earnest.
    let step = near.notify(ResponseCode::TooManyRetries, 0, 0b1000, 1);
    assert_eq!(step.event, Event::Finished(ResponseCode::TooManyRetries));
}

/// 2.5.5, IV.5: the waits between refusals double up to the last of the schedule, 1,600 ms, and are spread.
#[test]
fn waits_after_busy_double_and_are_spread() {
    for (random, spread) in [(0, 0), (0x8000_0000, 1), (0xFFFF_FFFF, 2)] {
        let mut near = asked(0);
        near.cx.random = random;
        let (mut now, mut expected) = (10, TC1);
        for refusal in 0..12 {
            near.at(now).notify(ResponseCode::Busy, 0, 0, 0);
            let wait = near.call.deadline().since(at(now)).nanos() / 1_000_000;
            let longest = expected + expected / 4;
            let wanted = match (refusal, spread) {
                (0, _) | (_, 0) => expected..=expected,
                (_, 1) => expected + expected / 8..=expected + expected / 8,
                _ => longest - 1..=longest,
            };
            assert!(wanted.contains(&wait), "{refusal}: {wait}, not {wanted:?}");
            near.cx.now = near.call.deadline();
            near.call.timeout(&mut near.client, &near.cx);
            now = near.cx.now.since(at(0)).nanos() / 1_000_000 + 1;
            expected = (2 * expected).min(1_600);
        }
    }
}

/// Shows: 4.8-j
#[test]
fn busy_after_the_limit_of_the_user_is_user_timeout() {
    let (mut near, _) = Near::start(&Request {
        limit: at(100),
        ..plain(mcb(0, 0))
    });
    let step = near.at(99).notify(ResponseCode::Busy, 0, 0, 0);
    assert_eq!(step.event, Event::None);
    let step = near.at(100).notify(ResponseCode::Busy, 0, 0, 0);
    assert_eq!(step.event, Event::Finished(ResponseCode::UserTimeout));
    near.assert_over();
}

/// Shows: 4.8-k
#[test]
fn migrated_server_is_found_and_sent_the_full_request_with_a_fresh_count() {
    let mut near = asked(4_096);
    for time in [600, 800, 1_000, 1_400] {
        near.timeout(time);
    }
    near.notify(ResponseCode::Retry, 0, 0b0000_1111, 4);
    let step = near.at(1_500).notify(ResponseCode::EntityMigrated, 0, 0, 5);
    assert_eq!((step.event, step.burst), (Event::Locate, None));
    assert_eq!(near.call.peer(), SERVER_HOST);
    let step = near.at(1_510).located(OTHER_HOST);
    assert_eq!(near.call.peer(), OTHER_HOST);
    assert_eq!(packets(&step.burst).len(), 4);
    assert_eq!(near.call.deadline(), at(1_510 + TC1));
    assert_eq!(retransmissions(near), 5);
}

/// Shows: 4.8-l
#[test]
fn server_that_does_not_stream_gets_the_request_alone() {
    let (mut near, step) = Near::start(&member(mcb(0, 1_024), true));
    assert_eq!(flags(&step.burst, Control::NER), [Control::NER]);
    let step = near.notify(ResponseCode::StreamingNotSupported, 0, 0, 0);
    assert_eq!(step.event, Event::DoesNotStream);
    assert_eq!(flags(&step.burst, Control::NER | Control::NSR), [0]);
    assert_eq!(deliveries(&step.burst), [0b11]);
    // It is remembered of the host.
    let mut path = vmtp_proto::path::Path::new(1_500, ms(1));
    assert!(!path.timing().no_streaming);
    path.does_not_stream();
    assert!(path.timing().no_streaming);
    // What does not fit one group cannot be sent to it.
    let (mut near, _) = Near::start(&plain(mcb(0, 20_000)));
    let step = near.notify(ResponseCode::StreamingNotSupported, 0, 0, 0);
    let code = ResponseCode::StreamingNotSupported;
    assert_eq!((step.event, step.burst), (Event::Finished(code), None));
    near.assert_over();
}

/// Shows: 4.8-m
#[test]
fn any_other_code_ends_the_transaction_and_is_its_response_code() {
    let own = [
        ResponseCode::Ok,
        ResponseCode::Retry,
        ResponseCode::RetryAll,
        ResponseCode::Busy,
        ResponseCode::EntityMigrated,
        ResponseCode::StreamingNotSupported,
        // Not fatal, as decided.
        ResponseCode::MsgtransOverflow,
    ];
    for code in ResponseCode::ALL {
        if own.contains(code) {
            continue;
        }
        let mut near = asked(0);
        let step = near.notify(*code, 0, 0, 0);
        assert_eq!(step.event, Event::Finished(*code));
        assert_eq!((step.burst, step.notify), (None, None));
        near.assert_over();
    }
    // One member's refusal is not the group's.
    let (mut near, _) = Near::start(&to_group(mcb(0, 0)));
    let step = near.notify(ResponseCode::NoPermission, 0, 0, 0);
    assert_eq!(step.event, Event::None);
    assert_eq!(near.call.state(), State::AwaitingResponse);
}

/// A Request of three groups, of which two go out at first: what one member has, another may lack.
#[test]
fn group_request_goes_on_with_the_first_member_and_leaves_none_behind() {
    for before in [0, 1] {
        let (mut near, _) = Near::start(&to_group(mcb(0, 40_000)));
        let mut notify = to_client(ResponseCode::Ok, t(1), u32::MAX, 0);
        notify.control = notify.control.with_pg_count(before);
        near.at(1);
        let step = near.call.notify(&mut near.client, &notify, &near.cx);
        assert!(headers(&step.burst).iter().all(|h| h.transaction == t(2)));
        assert_eq!(deliveries(&step.burst).iter().sum::<u32>(), 0x7FFF);
        assert_eq!(step.sent, Some(GroupFate::Clean));
        // Nothing is taken from one member's round trip.
        assert_eq!(step.round_trip, None);
        // Another lacks half of the first group, and says so as often as it does.
        for now in [2, 3] {
            let step = near.at(now).notify(ResponseCode::Retry, 0, 0xFFFF_0000, 0);
            assert!(headers(&step.burst).iter().all(|h| h.transaction == t(0)));
            assert_eq!(deliveries(&step.burst).iter().sum::<u32>(), 0xFFFF);
            assert_eq!(step.sent, Some(GroupFate::Lossy));
        }
        // The first one has the rest: its server works.
        let step = near.at(4).notify(ResponseCode::Ok, 2, 0x7FFF, 0);
        assert_eq!((step.burst, step.sent), (None, Some(GroupFate::Lossy)));
        assert!(near.call.is_accepted());
        near.cx.now = near.call.deadline();
        let step = near.call.timeout(&mut near.client, &near.cx);
        assert_eq!(only(&step.burst).transaction, t(2));
        near.cx.now = near.cx.now.plus(ms(1));
        let step = near.notify(ResponseCode::Retry, 1, 0, count(&step.burst));
        assert_eq!(
            deliveries(&step.burst)
                .iter()
                .map(|b| u64::from(*b))
                .sum::<u64>(),
            0xFFFF_FFFF
        );
        assert_eq!(step.round_trip, None);
    }
}

/// A notification of one transmission tells nothing of another's round trip.
#[test]
fn round_trip_is_taken_only_of_the_transmission_that_is_answered() {
    let mut near = asked(0);
    near.timeout(TC1);
    let step = near.at(610).notify(ResponseCode::Ok, 0, 0, 0);
    assert_eq!(step.round_trip, None);
    let mut near = asked(0);
    near.timeout(TC1);
    let step = near.at(610).notify(ResponseCode::Ok, 0, 0, 1);
    assert_eq!(step.round_trip, Some(ms(10)));
    let mut near = asked(0);
    let mut late = response(0, t(0), mcb(0, 0));
    near.timeout(TC1);
    assert_eq!(near.at(610).response(&late).round_trip, None);
    let mut near = asked(0);
    near.timeout(TC1);
    late.control = late.control.with_retransmit_count(1);
    assert_eq!(near.at(610).response(&late).round_trip, Some(ms(10)));
}

/// Only a header of the second group arrives. The server has a record of the Client, which went on to other servers or
/// left 256 identifiers to its last Response: it asks for all after the last Transaction that it knows.
#[test]
fn message_whose_first_group_is_lost_is_sent_again_whole_whatever_the_server_knows() {
    for before in [1, 2, 11, 255, 256, 257, 5_000] {
        let (mut near, step) = Near::start(&plain(mcb(0, 20_000)));
        let groups = headers(&step.burst);
        let earlier = request(0, t(0).minus(before), mcb(0, 0));
        let mut far = Far::processing(&earlier);
        far.respond(earlier.transaction, mcb(0, 0));
        let step = near.timeout(TC1);
        let asks = only(&step.burst);
        assert_eq!((asks.transaction, asks.length), (t(1), 0));
        let step = far.request(&asks);
        let notify = step.notify.unwrap();
        assert_eq!(
            (notify.transaction, notify.code),
            (earlier.transaction, ResponseCode::RetryAll.code())
        );
        assert!(near.call.is_notified_by(&notify), "{before}");
        let mut step = near.call.notify(&mut near.client, &notify, &near.cx);
        if step.event == Event::RestartRun {
            let mut after = near.client.current_transaction().minus(1);
            step = near
                .call
                .resend(&mut near.client, &mut after, &mut true, &near.cx);
        }
        let again = headers(&step.burst);
        assert_eq!(again.len(), groups.len(), "{before}");
        assert_eq!(again[0].transaction, t(0));
        assert!(!again[0].control.has(Control::NSR));
        for (header, first) in again.iter().zip(&groups) {
            assert_eq!(header.delivery, first.delivery);
            far.request(header);
        }
        assert_eq!(far.remote.state(), FarState::Processing, "{before}");
        assert_eq!(far.remote.transaction(), t(1));
    }
}
