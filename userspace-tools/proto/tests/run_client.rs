// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs of RFC 1045, 2.11, as a Client issues them.

mod common;

use common::near::{client, member, plain, TC1, TC2};
use common::run::{Run, FIRST, LAST, MIDDLE};
use common::{
    at, context, deliveries, headers, mcb, only, packets, response, t, to_client, to_server,
};
use vmtp_proto::client::{Call, Event, Reply, Request, StartError, State, Step};
use vmtp_proto::wire::{Control, ResponseCode};

/// Shows: 2.11-a
#[test]
fn first_middle_and_last_of_a_run_tell_so() {
    let mut run = Run::of(3);
    run.start(&member(mcb(0, 0), false));
    assert_eq!(
        run.bits(),
        [(t(0), FIRST), (t(1), MIDDLE), (t(2), MIDDLE), (t(3), LAST)]
    );
}

/// Shows: 2.11-b
#[test]
fn transaction_after_one_with_sti_is_256_higher() {
    let mut run = Run::new();
    for large_response in [false, true, false] {
        run.start(&Request {
            large_response,
            ..member(mcb(0, 0), true)
        });
    }
    assert_eq!(
        run.bits(),
        [
            (t(0), FIRST),
            (t(1), MIDDLE | Control::STI),
            (t(257), MIDDLE)
        ]
    );
    // At least that much if it starts a new run.
    let mut client = client();
    let cx = context();
    let alone = Request {
        large_response: true,
        ..plain(mcb(0, 0))
    };
    let (mut call, _) = client.start(&alone, &cx).unwrap();
    client.abort(&mut call);
    let (_, step) = client.start(&plain(mcb(0, 0)), &cx).unwrap();
    assert_eq!(only(&step.burst).transaction, t(256));
}

/// Shows: 2.11-c
#[test]
fn any_outstanding_request_of_a_run_can_be_sent_again() {
    let mut run = Run::new();
    for _ in 0..5 {
        run.start(&member(mcb(0, 2_048), true));
    }
    for index in [1, 4, 0, 3, 2] {
        let (about, step) = run.notify(ResponseCode::Retry, t(index), 0b0011);
        assert_eq!(about, index as usize);
        assert_eq!(deliveries(&step.burst), [0b1100]);
        assert_eq!(headers(&step.burst)[0].transaction, t(index));
    }
}

/// 64 transactions may be outstanding, 256 apart, and the server names the last group it has: whatever
/// is further away is of another run.
#[test]
fn server_names_a_group_that_may_be_of_an_earlier_call_of_the_run() {
    let run = Run::of(1);
    let (call, _) = &run.calls[0];
    for code in [ResponseCode::RetryAll, ResponseCode::MsgtransOverflow] {
        for (distance, is) in [
            (0, true),
            (1, true),
            (64 * 256, true),
            (64 * 256 + 1, false),
        ] {
            let about = to_client(code, t(0).minus(distance), 0, 0);
            assert_eq!(call.is_notified_by(&about), is, "{distance}");
        }
        assert!(!call.is_notified_by(&to_client(code, t(1), 0, 0)));
    }
    // Other codes are about one of its own groups.
    let about = to_client(ResponseCode::Retry, t(0).minus(1), 0, 0);
    assert!(!call.is_notified_by(&about));
}

/// A message of two groups alone: the server names the group before it, from which it goes on; or an
/// older transaction, for which it waits in vain.
#[test]
fn message_of_several_groups_goes_on_only_after_the_transaction_before_it() {
    let told = |transaction| {
        let mut run = Run::new();
        run.start(&plain(mcb(0, 20_000)));
        let (_, step) = run.notify(ResponseCode::RetryAll, transaction, 0);
        (packets(&step.burst).is_empty(), step.event)
    };
    assert_eq!(told(t(0).minus(1)), (false, Event::None));
    assert_eq!(told(t(0).minus(2)), (true, Event::RestartRun));
    assert_eq!(told(t(0).minus(256)), (true, Event::RestartRun));
}

/// The server waits for a Request that was given up: it never comes.
#[test]
fn run_with_a_request_given_up_starts_anew() {
    let mut run = Run::of(3);
    run.response(0, &response(FIRST, t(0), mcb(0, 0)));
    let (call, _) = &mut run.calls[1];
    run.client.failed(call, ResponseCode::UserTimeout);
    let (index, step) = run.notify(ResponseCode::RetryAll, t(0), 0);
    assert_eq!((index, step.event), (2, Event::RestartRun));
    // And what the user starts next is not of that run.
    let more = run.client.start(&member(mcb(0, 0), true), &run.cx);
    assert_eq!(more, Err(StartError::Open));
    let (call, _) = &mut run.calls[2];
    run.client.failed(call, ResponseCode::UserTimeout);
    run.start(&member(mcb(0, 0), true));
    assert_eq!(run.bits()[3], (t(3), FIRST));
}

/// Shows: 2.11-i
#[test]
fn response_with_pg_count_answers_and_acknowledges_the_groups_before() {
    let mut run = Run::of(4);
    let mut header = response(Control::NER, t(2), mcb(0, 0));
    header.control = header.control.with_pg_count(2);
    let step = run.response(2, &header);
    let Event::Response(delivery) = step.event else {
        panic!("{step:?}");
    };
    assert_eq!(delivery.covers_from, t(0));
    for index in 0..2 {
        let (call, _) = &mut run.calls[index];
        run.client.covered(call);
    }
    assert_eq!(run.client.open(), 1);
    for (call, _) in &run.calls[..3] {
        assert_eq!(call.state(), State::Processing { collecting: false });
        assert_eq!(call.deadline(), vmtp_proto::time::Time::NEVER);
    }
    // The next one is due.
    assert_eq!(run.client.current_transaction(), t(3));
    let step = run.response(3, &response(LAST, t(3), mcb(0, 0)));
    assert!(matches!(step.event, Event::Response(_)));
    assert_eq!(run.client.open(), 0);
}

/// 2.11, 4.7.1: a gap in the Responses.
#[test]
fn response_behind_a_gap_is_not_used_and_the_gap_is_told_once() {
    let mut run = Run::of(4);
    run.response(0, &response(FIRST, t(0), mcb(0, 0)));
    let step = run.response(2, &response(MIDDLE, t(2), mcb(0, 0)));
    assert_eq!(step.event, Event::None);
    // The last group complete.
    let expected = to_server(ResponseCode::RetryAll, t(0), 0);
    assert_eq!(step.notify, Some(expected));
    let step = run.response(3, &response(MIDDLE, t(3), mcb(0, 0)));
    assert_eq!((step.event, step.notify), (Event::None, None));
    // A round trip later it is told again.
    run.cx.now = at(TC2);
    let step = run.response(3, &response(MIDDLE, t(3), mcb(0, 0)));
    assert_eq!(step.notify, Some(expected));
    // In order they are taken.
    for index in 1..4 {
        let step = run.response(index, &response(MIDDLE, t(index as u32), mcb(0, 0)));
        assert!(matches!(step.event, Event::Response(_)), "{index}");
    }
    assert_eq!(run.client.open(), 0);
}

/// Shows: 2.11-l
#[test]
fn overflow_lowers_what_is_outstanding_and_later_ones_are_sent_again_afterwards() {
    let mut run = Run::of(8);
    // The server has 0 and 1, and no room.
    let (index, step) = run.notify(ResponseCode::MsgtransOverflow, t(1), 0);
    assert_eq!((index, step.event), (1, Event::ResendAfter(t(1))));
    assert_eq!(step.burst, None);
    for index in 2..8 {
        let step = run.resend(index, t(1), false);
        assert_eq!(step.burst, None);
        assert_eq!(run.calls[index].0.state(), State::Held);
    }
    // Half of eight may be outstanding: two more at once, the rest as others are answered.
    let outstanding = |run: &Run| {
        let held = |(call, _): &&(Call, Reply)| call.state() == State::AwaitingResponse;
        run.calls.iter().filter(held).count() as u16
    };
    assert!(run.client.may_send(&run.calls[2].0, 3, false));
    assert!(!run.client.may_send(&run.calls[2].0, 4, false));
    assert_eq!(outstanding(&run), 2);
    run.response(0, &response(FIRST, t(0), mcb(0, 0)));
    let (call, _) = &mut run.calls[2];
    let step = call.release(&mut run.client, &run.cx);
    let header = only(&step.burst);
    assert_eq!(
        (header.transaction, header.control.retransmit_count()),
        (t(2), 1)
    );
    // A server that has none of it: the first waits as after BUSY.
    let mut run = Run::of(2);
    run.response(0, &response(FIRST, t(0), mcb(0, 0)));
    run.cx.now = at(5);
    let (index, step) = run.notify(ResponseCode::MsgtransOverflow, t(0), 0);
    assert_eq!((index, step.burst), (1, None));
    assert_eq!(run.calls[1].0.deadline(), at(5 + TC1));
}

/// Shows: 2.11-m
#[test]
fn at_the_end_of_a_run_the_client_waits_for_its_last_transaction() {
    let mut run = Run::of(2);
    run.start(&member(mcb(0, 0), false));
    for next in [plain(mcb(0, 0)), member(mcb(0, 0), true)] {
        let refused = run.client.start(&next, &run.cx);
        assert_eq!(refused, Err(StartError::Open));
    }
    for index in 0..3 {
        run.response(index, &response(MIDDLE, t(index as u32), mcb(0, 0)));
    }
    run.start(&member(mcb(0, 0), true));
    assert_eq!(run.bits()[3], (t(3), FIRST));
}

#[test]
fn no_more_than_64_transactions_are_outstanding() {
    let mut run = Run::of(64);
    let more = run.client.start(&member(mcb(0, 0), true), &run.cx);
    assert_eq!(more, Err(StartError::RunFull));
    assert_eq!(packets(&run.sent[63].burst).len(), 1);
    run.response(0, &response(FIRST, t(0), mcb(0, 0)));
    run.start(&member(mcb(0, 0), true));
}

/// The timer of a run is that of its oldest call, and when its retries are used up all fail.
///
/// Shows: 4.9-c
#[test]
fn run_whose_server_is_silent_fails_as_a_whole() {
    let mut run = Run::of(3);
    let mut transmissions = 0;
    let mut last = Step::NOTHING;
    while !matches!(last.event, Event::Finished(_)) {
        let next = (0..3).min_by_key(|index| run.calls[*index].0.deadline());
        let (call, _) = &mut run.calls[next.unwrap()];
        run.cx.now = call.deadline();
        last = call.timeout(&mut run.client, &run.cx);
        transmissions += u32::from(last.burst.is_some());
    }
    assert_eq!(transmissions, 5);
    assert_eq!(last.event, Event::Finished(ResponseCode::RetransTimeout));
    for index in 1..3 {
        let (call, _) = &mut run.calls[index];
        let step = run.client.failed(call, ResponseCode::RetransTimeout);
        assert_eq!(step.event, Event::Finished(ResponseCode::RetransTimeout));
    }
    assert_eq!(run.client.open(), 0);
}

/// Three Requests at 0 ms, of which the first is answered at 500 ms: the timer is the second's then,
/// and starts anew.
///
/// Shows: 4.9-g
#[test]
fn response_to_the_oldest_of_a_run_starts_the_timer_anew_for_the_next() {
    let mut run = Run::of(3);
    run.cx.now = at(500);
    run.response(0, &response(FIRST, t(0), mcb(0, 0)));
    run.oldest_is(1);
    assert_eq!(run.calls[1].0.deadline(), at(500 + TC1));
    // The timers of others are nothing to the run.
    run.cx.now = at(TC1);
    assert_eq!(run.timeout(2).burst, None);
    run.cx.now = at(500 + TC1);
    assert_eq!(only(&run.timeout(1).burst).transaction, t(1));
    // Only a Response does so: the failure of the one before does not.
    let mut run = Run::of(2);
    run.cx.now = at(500);
    let (call, _) = &mut run.calls[0];
    run.client.failed(call, ResponseCode::UserTimeout);
    run.oldest_is(1);
    assert_eq!(run.calls[1].0.deadline(), at(TC1));
    // The user's limit holds.
    let mut run = Run::of(1);
    run.start(&Request {
        limit: at(700),
        ..member(mcb(0, 0), true)
    });
    run.cx.now = at(500);
    run.response(0, &response(FIRST, t(0), mcb(0, 0)));
    run.oldest_is(1);
    assert_eq!(run.calls[1].0.deadline(), at(700));
}

/// Responses 0, 1 and 3: the third is asked for by its place in the run, and the fourth is taken
/// after it.
///
/// Shows: 2.11-h, 4.7.1-k
#[test]
fn response_behind_a_gap_waits_for_those_before_it() {
    let mut run = Run::of(4);
    let answer = |n: u32| {
        let bits = if n == 0 { FIRST } else { MIDDLE };
        response(bits, t(n), mcb(0, 0))
    };
    for n in [0, 1] {
        let step = run.response(n as usize, &answer(n));
        assert!(matches!(step.event, Event::Response(_)));
    }
    let step = run.response(3, &answer(3));
    assert_eq!(step.event, Event::None);
    assert_eq!(
        step.notify,
        Some(to_server(ResponseCode::RetryAll, t(1), 0))
    );
    assert_eq!(run.calls[3].0.state(), State::AwaitingResponse);
    // Once in a round trip: others behind the gap may be on their way.
    assert_eq!(run.response(3, &answer(3)).notify, None);
    for n in [2, 3] {
        let step = run.response(n as usize, &answer(n));
        assert!(matches!(step.event, Event::Response(_)), "{n}: {step:?}");
    }
    assert_eq!(run.client.open(), 0);
}

/// Group T of a long Response lacks a packet when T+1 comes: what is missing of T is asked for.
///
/// Shows: 4.7.1-l
#[test]
fn incomplete_group_is_asked_for_when_the_next_has_begun() {
    let mut run = Run::new();
    run.start(&Request {
        large_response: true,
        ..plain(mcb(0, 0))
    });
    let part = |group: u32, blocks: u32| {
        let more = if group == 0 {
            Control::NER | Control::CMG
        } else {
            Control::NSR
        };
        let header = response(more | Control::STI, t(group), mcb(0, 20_000));
        common::carrying(header, blocks)
    };
    run.response(0, &part(0, !0b1100));
    let step = run.response(0, &part(1, 0b11));
    assert_eq!(step.event, Event::None);
    run.cx.now = run.calls[0].1.deadline();
    let cx = run.cx;
    let (call, reply) = &mut run.calls[0];
    let step = call.reply_timeout(&mut run.client, reply, &cx);
    assert_eq!(
        step.notify,
        Some(to_server(ResponseCode::Retry, t(0), !0b1100))
    );
}
