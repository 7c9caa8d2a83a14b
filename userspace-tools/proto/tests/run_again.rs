// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which calls of a run (RFC 1045, 2.11) go out again when the server says that it lacks some, or that
//! it takes no runs.

mod common;

use common::near::{member, plain, TC1, TC2};
use common::run::{Run, FIRST, MIDDLE};
use common::{at, deliveries, flags, mcb, only, response, t};
use vmtp_proto::client::{Event, Request, StartError, State, Step};
use vmtp_proto::wire::{Code, ResponseCode};

/// Shows: 2.11-g, 4.8-h
#[test]
fn told_of_a_gap_the_client_resends_from_the_first_group_not_received() {
    // RETRY: blocks of one Request are missing.
    let mut run = Run::new();
    for _ in 0..3 {
        run.start(&member(mcb(0, 2_048), true));
    }
    let (_, step) = run.notify(ResponseCode::Retry, t(1), 0b1110);
    assert_eq!(deliveries(&step.burst), [0b0001]);
    // RETRY_ALL: everything after the Transaction named.
    let mut run = Run::of(4);
    let (index, step) = run.notify(ResponseCode::RetryAll, t(1), 0);
    assert_eq!((index, step.burst), (1, None));
    assert_eq!(step.event, Event::ResendAfter(t(1)));
    assert_eq!(run.resend(0, t(1), false).burst, None);
    for index in [2, 3] {
        let step = run.resend(index, t(index as u32 - 1), false);
        let header = only(&step.burst);
        assert_eq!(header.transaction, t(index as u32));
        assert_eq!(header.control.retransmit_count(), 1);
        assert_eq!(header.control.bits() & MIDDLE, MIDDLE);
    }
    // Also if what it has was answered: the next one is sent by itself.
    let mut run = Run::of(3);
    run.response(0, &response(FIRST, t(0), mcb(0, 0)));
    let (index, step) = run.notify(ResponseCode::RetryAll, t(0), 0);
    assert_eq!(index, 1);
    assert_eq!(only(&step.burst).transaction, t(1));
    assert_eq!(step.event, Event::ResendAfter(t(1)));
    // NO_RUN_RECORD: the run starts anew at its first unanswered Request.
    let mut run = Run::of(3);
    run.response(0, &response(FIRST, t(0), mcb(0, 0)));
    let (_, step) = run.notify(ResponseCode::NoRunRecord, t(2), 0);
    assert_eq!(step.event, Event::RestartRun);
    let first = only(&run.resend(1, t(0), true).burst);
    assert_eq!(
        (first.transaction, first.control.bits() & MIDDLE),
        (t(1), FIRST)
    );
    let second = only(&run.resend(2, t(1), false).burst);
    assert_eq!(
        (second.transaction, second.control.bits() & MIDDLE),
        (t(2), MIDDLE)
    );
}

/// What the server asks for again and again is no more: a datagram among the calls is not kept. The Response of what it
/// names as the last that it has is missed at the same time as ever, and asked for.
#[test]
fn a_gap_that_stays_does_not_put_off_the_timer_of_what_the_server_has() {
    let mut run = Run::of(3);
    for time in (10..TC1).step_by(10) {
        run.cx.now = at(time);
        let (index, step) = run.notify(ResponseCode::RetryAll, t(0), 0);
        assert_eq!((index, step.burst), (0, None));
        run.resend(2, t(0), false);
    }
    run.cx.now = at(TC1);
    assert_eq!(only(&run.timeout(0).burst).transaction, t(0));
}

/// Each packet of a run that the server's host does not know is refused, and the first that was lost is not: the run goes
/// out again once.
#[test]
fn run_starts_anew_once_however_many_of_its_packets_are_refused() {
    let mut run = Run::of(4);
    for count in 0..2 {
        for about in 1..4 {
            let (_, step) = run.notify_of(ResponseCode::NoRunRecord, t(about), 0, count);
            let expected = if about == 1 {
                Event::RestartRun
            } else {
                Event::None
            };
            assert_eq!(
                (step.event, step.burst),
                (expected, None),
                "{count} {about}"
            );
            if about == 1 {
                let sent = run.resend_all(t(0).minus(1), true);
                assert_eq!(sent, [t(0), t(1), t(2), t(3)]);
            }
        }
    }
}

/// Whoever says that the server has an older transaction need not know this one: a run, or a message of several groups,
/// starts anew once in a round trip for it, and not for ever.
#[test]
fn run_starts_anew_once_in_a_round_trip_for_who_has_an_older_transaction() {
    let mut run = Run::new();
    run.start(&plain(mcb(0, 20_000)));
    let mut bursts = 0;
    let mut ask = |run: &mut Run| {
        let (_, step) = run.notify(ResponseCode::RetryAll, t(0).minus(300), 0);
        if step.event == Event::RestartRun {
            bursts += 1;
            assert!(run.resend(0, t(0).minus(1), true).burst.is_some());
        }
        bursts
    };
    for _ in 0..20 {
        assert_eq!(ask(&mut run), 1);
    }
    run.cx.now = at(TC2);
    assert_eq!(ask(&mut run), 2);
    // It asks again and again, and never has anything of the message.
    let mut step = Step::NOTHING;
    for round in 2..40 {
        run.cx.now = at(round * TC1);
        step = run.timeout(0);
        if step.event != Event::None {
            break;
        }
        ask(&mut run);
    }
    assert_eq!(step.event, Event::Finished(ResponseCode::RetransTimeout));
}

/// Behind a call that failed, or that the server refused and gets later, it takes none: they wait, and do not go out each
/// time that it says so.
#[test]
fn calls_behind_a_hole_are_not_sent_again() {
    let mut run = Run::of(4);
    let (call, _) = &mut run.calls[1];
    run.client.failed(call, ResponseCode::UserTimeout);
    let (index, step) = run.notify(ResponseCode::RetryAll, t(0), 0);
    assert_eq!((index, step.event), (0, Event::ResendAfter(t(0))));
    assert_eq!(run.resend_all(t(0), false), []);
    let mut run = Run::of(4);
    run.notify(ResponseCode::Busy, t(1), 0);
    run.notify(ResponseCode::RetryAll, t(0), 0);
    assert_eq!(run.resend_all(t(0), false), []);
    // Nor where the run starts anew.
    assert_eq!(run.resend_all(t(0).minus(1), true), [t(0)]);
    // What the server is answering it has, and after STI the next one is 256 higher.
    let mut run = Run::of(1);
    run.start(&Request {
        large_response: true,
        ..member(mcb(0, 0), true)
    });
    run.start(&member(mcb(0, 0), true));
    let begun = response(FIRST, t(0), mcb(0, 2_048));
    run.response(0, &common::carrying(begun, 0b11));
    assert_eq!(run.resend_all(t(0).minus(1), false), [t(1), t(257)]);
}

/// What was not sent, is being answered, or waits because the server is busy is not sent again.
#[test]
fn only_requests_that_wait_for_their_response_are_sent_again() {
    let mut run = Run::of(2);
    run.start(&Request {
        peer: vmtp_proto::peer::Peer::NONE,
        ..member(mcb(0, 0), true)
    });
    assert_eq!(run.calls[2].0.state(), State::Locating);
    assert_eq!(run.resend(2, t(0), false), Step::NOTHING);
    // Some of the Response to the first is here, and the second was refused.
    let mut begun = response(FIRST, t(0), mcb(0, 2_048));
    begun = common::carrying(begun, 0b11);
    run.response(0, &begun);
    assert_eq!(run.calls[0].0.state(), State::ReceivingResponse);
    assert_eq!(run.resend(0, t(0).minus(1), false), Step::NOTHING);
    run.notify(ResponseCode::Busy, t(1), 0);
    assert_eq!(run.resend(1, t(0), false), Step::NOTHING);
    // Answered.
    run.response(0, &common::carrying(begun, 0b1100));
    assert_eq!(
        run.calls[0].0.state(),
        State::Processing { collecting: false }
    );
    assert_eq!(run.resend(0, t(0).minus(1), false), Step::NOTHING);
}

/// Shows: VII.9-a
#[test]
fn streaming_user_of_a_server_without_streams_gets_one_transaction_at_a_time() {
    let mut run = Run::new();
    run.cx.timing.no_streaming = true;
    for _ in 0..3 {
        run.start(&member(mcb(0, 0), true));
    }
    let sent = run.sent.iter().filter(|step| step.burst.is_some());
    assert_eq!(sent.count(), 1);
    let mut answered = 0;
    for index in 0..3 {
        let (call, _) = &mut run.calls[index];
        if call.state() == State::Held {
            assert!(!run.client.may_send(call, 1, true));
            assert!(run.client.may_send(call, 0, true));
            let step = call.release(&mut run.client, &run.cx);
            assert_eq!(flags(&step.burst, MIDDLE), [0]);
            assert_eq!(only(&step.burst).transaction, t(index as u32));
        }
        let step = run.response(index, &response(0, t(index as u32), mcb(0, 0)));
        answered += u32::from(matches!(step.event, Event::Response(_)));
    }
    assert_eq!(answered, 3);
}

/// What the server does with Requests that stand alone is to end those before them (5.3).
///
/// Shows: 4.8-l
#[test]
fn run_refused_by_a_server_without_streams_goes_on_one_at_a_time() {
    let mut run = Run::of(3);
    // The Notifies may come in any order.
    for about in [1, 0, 2] {
        let (index, step) = run.notify(ResponseCode::StreamingNotSupported, t(about), 0);
        assert_eq!((index, step.event), (about as usize, Event::DoesNotStream));
        assert_eq!(step.burst.is_some(), about == 0, "{about}");
    }
    run.cx.timing.no_streaming = true;
    for index in 0..3 {
        if index != 0 {
            let (call, _) = &mut run.calls[index];
            assert_eq!(call.state(), State::Held);
            assert!(run.client.may_send(call, 0, true));
            let step = call.release(&mut run.client, &run.cx);
            assert_eq!(flags(&step.burst, MIDDLE), [0]);
        }
        let step = run.response(index, &response(0, t(index as u32), mcb(0, 0)));
        assert!(matches!(step.event, Event::Response(_)), "{index}");
        if index != 2 {
            run.oldest_is(index + 1);
        }
    }
    assert_eq!(run.client.open(), 0);
}

/// Nor does a datagram end the call before it: it waits for its end.
#[test]
fn datagram_to_a_server_without_streams_waits_for_the_call_before_it() {
    let mut run = Run::new();
    run.cx.timing.no_streaming = true;
    run.start(&member(mcb(0, 0), true));
    let datagram = member(mcb(Code::DGM, 0), true);
    let refused = run.client.start(&datagram, &run.cx);
    assert_eq!(refused, Err(StartError::Open));
    run.response(0, &response(0, t(0), mcb(0, 0)));
    run.start(&datagram);
    assert_eq!(flags(&run.sent[1].burst, MIDDLE), [0]);
}
