// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs of RFC 1045, 2.11 and 2.14, as a server takes them.

mod common;

use common::far::{arrival, code_of, Far, TS1, TS3};
use common::run::{FIRST, LAST, MIDDLE};
use common::{at, carrying, mask, mcb, only, request, t, to_server};
use vmtp_proto::server::{Drop, Event, Keep, Presence, Refusal, Remote, Respond, State, Step};
use vmtp_proto::wire::{Code, Control, Header, Mask, ResponseCode};

/// The first Request of a run is in process.
fn run() -> Far {
    Far::processing(&request(FIRST, t(0), mcb(0, 0)))
}

fn gap(step: &Step) -> (Option<ResponseCode>, Option<vmtp_proto::wire::Transaction>) {
    let transaction = step.notify.map(|notify| notify.transaction);
    (code_of(&step.notify), transaction)
}

/// Shows: 2.11-e
#[test]
fn requests_of_a_run_are_handled_in_order_whatever_the_order_of_arrival() {
    let mut far = run();
    let mut order = vec![t(0)];
    let mut waiting = Vec::new();
    let step = far.request(&request(LAST, t(2), mcb(0, 0)));
    assert_eq!(step.event, Event::None);
    let step = far.request(&request(MIDDLE, t(1), mcb(0, 0)));
    waiting.push(arrival(&step));
    let step = far.request(&request(LAST, t(2), mcb(0, 0)));
    waiting.push(arrival(&step));
    for next in waiting {
        assert!(next.queued);
        let step = far.respond(*order.last().unwrap(), mcb(0, 0));
        assert_eq!(step.event, Event::Next);
        far.remote.begin(&next, &far.cx);
        order.push(far.remote.transaction());
    }
    assert_eq!(order, [t(0), t(1), t(2)]);
    let step = far.respond(t(2), mcb(0, 0));
    assert_eq!(step.event, Event::None);
}

/// Shows: 5.3-j
#[test]
fn request_that_continues_a_run_waits_until_the_one_before_is_answered() {
    let mut far = run();
    let step = far.request(&request(LAST, t(1), mcb(0, 0)));
    assert!(!step.aborted);
    let next = arrival(&step);
    assert!(next.queued);
    assert_eq!(
        (far.remote.state(), far.remote.transaction()),
        (State::Processing, t(0))
    );
    assert_eq!(far.respond(t(0), mcb(0, 0)).event, Event::Next);
    far.remote.begin(&next, &far.cx);
    assert_eq!(
        (far.remote.state(), far.remote.transaction()),
        (State::Processing, t(1))
    );
}

/// Shows: 5.7-l, III-010F-d
#[test]
fn gap_is_answered_with_the_last_group_complete_and_no_record_with_no_run_record() {
    let mut far = run();
    let step = far.request(&request(MIDDLE, t(2), mcb(0, 0)));
    assert_eq!(gap(&step), (Some(ResponseCode::RetryAll), Some(t(0))));
    assert_eq!(
        (step.event, step.keep),
        (Event::None, Keep::Drop(Drop::OutOfSequence))
    );
    let step = far.request(&request(MIDDLE, t(1), mcb(0, 0)));
    assert_eq!(arrival(&step).transaction, t(1));
    // 256 above one with STI.
    let mut far = Far::processing(&request(FIRST | Control::STI, t(0), mcb(0, 0)));
    let step = far.request(&request(MIDDLE, t(1), mcb(0, 0)));
    assert_eq!(gap(&step), (Some(ResponseCode::RetryAll), Some(t(0))));
    let step = far.request(&request(MIDDLE, t(256), mcb(0, 0)));
    assert_eq!(arrival(&step).transaction, t(256));
    // Without a record.
    let header = request(MIDDLE, t(5), mcb(0, 0));
    assert!(!Remote::may_start(&header));
    assert!(Remote::may_start(&request(FIRST, t(5), mcb(0, 0))));
    let notify = common::far::refused(&header, Refusal::NoRunRecord, &common::far::UNICAST);
    assert_eq!(code_of(&notify), Some(ResponseCode::NoRunRecord));
    assert_eq!(notify.unwrap().transaction, t(5));
}

/// One loss in a long run is not answered once for every packet behind it.
#[test]
fn gap_is_told_once_in_a_round_trip() {
    let mut far = run();
    let mut told = 0;
    for number in 2..40 {
        let step = far.request(&request(MIDDLE, t(number), mcb(0, 0)));
        told += u32::from(step.notify.is_some());
    }
    assert_eq!(told, 1);
    far.at(TS3);
    let step = far.request(&request(MIDDLE | Control::APG, t(39), mcb(0, 0)));
    assert_eq!(gap(&step), (Some(ResponseCode::RetryAll), Some(t(0))));
}

/// Shows: 2.11-f
#[test]
fn with_nrt_the_missing_predecessor_is_not_waited_for() {
    let mut far = run();
    far.respond(t(0), mcb(0, 0));
    let step = far.request(&request(MIDDLE | Control::NRT, t(3), mcb(0, 0)));
    assert_eq!(step.notify, None);
    assert_eq!(
        (arrival(&step).transaction, arrival(&step).queued),
        (t(3), false)
    );
    // Nor is a record of the run.
    assert!(Remote::may_start(&request(
        MIDDLE | Control::NRT,
        t(3),
        mcb(0, 0)
    )));
}

/// Shows: 5.7-m
#[test]
fn group_behind_an_incomplete_one_makes_the_server_ask_for_that() {
    let mut far = run();
    far.request(&carrying(request(MIDDLE, t(1), mcb(0, 4_096)), 0b0000_0111));
    let step = far.request(&request(LAST, t(2), mcb(0, 0)));
    let notify = step.notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Retry.code());
    assert_eq!(
        (notify.transaction, notify.delivery),
        (t(1), mask(0b0000_0111))
    );
    assert_eq!(step.event, Event::None);
    // It is not lost by that.
    let step = far.request(&carrying(request(MIDDLE, t(1), mcb(0, 4_096)), 0b1111_1000));
    assert_eq!(arrival(&step).transaction, t(1));
}

/// Shows: 5.7-k
#[test]
fn without_streaming_a_request_of_a_run_is_refused() {
    for control in [FIRST, MIDDLE, LAST] {
        let header = request(control, t(0), mcb(0, 0));
        let mut far = Far::new(&header);
        far.cx.policy.streaming = false;
        let step = far.request(&header);
        assert_eq!(
            gap(&step),
            (Some(ResponseCode::StreamingNotSupported), Some(t(0)))
        );
        assert_eq!(step.event, Event::None);
        // It is welcome alone.
        let step = far.request(&request(0, t(0), mcb(0, 0)));
        assert_eq!(arrival(&step).transaction, t(0));
    }
}

/// The packet of group `group` of a Request of three.
fn group_of_three(group: u32, blocks: u32) -> Header {
    let control = match group {
        0 => FIRST | Control::CMG,
        1 => MIDDLE | Control::CMG,
        _ => LAST,
    };
    let header = request(control, t(group), mcb(0, 40_000));
    carrying(header, blocks)
}

/// Shows: 5.7-n
#[test]
fn group_behind_one_with_cmg_belongs_to_the_same_message() {
    let mut far = Far::new(&group_of_three(0, u32::MAX));
    let mut offsets = Vec::new();
    for group in 0..2 {
        let step = far.request(&group_of_three(group, u32::MAX));
        assert_eq!(step.event, Event::None);
        offsets.push(step.group_offset);
    }
    let step = far.request(&group_of_three(2, 0x7FFF));
    offsets.push(step.group_offset);
    assert_eq!(offsets, [0, 16_384, 32_768]);
    let whole = arrival(&step);
    assert_eq!((whole.transaction, whole.groups), (t(2), 3));
    assert_eq!(whole.segment_octets, 40_000);
    // The message as a whole neither continues a run nor goes on with one.
    assert!(!whole.control.has(Control::NSR) && !whole.control.has(Control::NER));
    // Each group is recorded: what follows 2 is 3, and none of them is executed again.
    for group in 0..3 {
        assert_eq!(far.request(&group_of_three(group, 1)).event, Event::None);
    }
    let response = only(&far.respond(t(2), mcb(0, 0)).burst);
    assert_eq!(response.transaction, t(2));
    assert_eq!(response.control.pg_count(), 2);
    assert!(!response.control.has(Control::NSR) && !response.control.has(Control::NER));
    // Without CMG a group is a Request of its own.
    let mut far = run();
    let step = far.request(&request(LAST, t(1), mcb(0, 0)));
    assert_eq!(
        (arrival(&step).transaction, arrival(&step).groups),
        (t(1), 1)
    );
}

/// The order of the last packets of a long Request does not change what it asks for.
#[test]
fn long_request_has_the_flags_of_its_first_and_last_group_whatever_came_last() {
    let mut far = Far::new(&group_of_three(0, 1));
    let mut last = group_of_three(2, 0x7FFF);
    last.control = last.control.with(Control::STI);
    far.request(&group_of_three(0, u32::MAX));
    far.request(&group_of_three(1, 0x0FFF_FFFF));
    far.request(&last);
    let step = far.request(&group_of_three(1, 0xF000_0000));
    let control = arrival(&step).control;
    assert!(control.has(Control::STI));
    assert!(!control.has(Control::NSR) && !control.has(Control::NER));
    assert!(far.try_respond(t(2), mcb(0, 20_000)).is_ok());
}

/// Shows: 5.7-o
#[test]
fn complete_group_with_ner_and_cmg_waits_for_its_continuation() {
    let (mut far, step) = Far::with(&group_of_three(0, u32::MAX));
    assert_eq!(step.event, Event::None);
    assert_eq!(far.remote.deadline(), at(TS3));
    let step = far.timeout(TS3);
    let notify = step.notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Retry.code());
    assert_eq!((notify.transaction, notify.delivery), (t(1), Mask::EMPTY));
}

/// Shows: 2.8-d
#[test]
fn datagrams_of_a_run_are_queued_and_delivered_in_order() {
    let datagram = |control, number| request(control, t(number), mcb(Code::DGM, 0));
    let (mut far, step) = Far::with(&datagram(FIRST, 0));
    let first = arrival(&step);
    let mut order = vec![first.transaction];
    far.remote.is_datagram(&far.cx);
    for (control, number) in [(MIDDLE, 1), (LAST, 2)] {
        let step = far.request(&datagram(control, number));
        assert!(!step.aborted);
        let next = arrival(&step);
        if next.queued {
            far.remote.begin(&next, &far.cx);
        }
        far.remote.is_datagram(&far.cx);
        order.push(next.transaction);
    }
    assert_eq!(order, [t(0), t(1), t(2)]);
}

#[test]
fn one_response_answers_up_to_256_requests() {
    let mut far = Far::processing(&request(FIRST, t(0), mcb(0, 0)));
    for (number, earlier) in [(1, 1), (2, 200), (3, 255)] {
        // Those before want no Response of their own.
        let mut none = mcb(0, 0);
        none.code = ResponseCode::ResponseDiscarded.code();
        let none = far.respond(far.remote.transaction(), none);
        assert_eq!(none.burst, None);
        far.request(&request(MIDDLE, t(number), mcb(0, 0)));
        let batch = Respond {
            earlier,
            ..common::far::with(mcb(0, 0))
        };
        let mut copy = far.remote;
        let step = copy.respond(t(number), &batch, &far.cx).unwrap();
        let response = only(&step.burst);
        assert_eq!(response.transaction, t(number));
        assert_eq!(response.control.pg_count(), earlier);
    }
}

/// Shows: 2.11-k
#[test]
fn identifiers_skipped_by_sti_are_filled_by_pg_count() {
    for (octets, groups) in [(0, 1), (40_000, 3)] {
        let mut far = Far::new(&request(FIRST | Control::STI, t(0), mcb(0, 0)));
        far.request(&request(FIRST | Control::STI, t(0), mcb(0, 0)));
        far.respond(t(0), mcb(0, octets));
        if octets != 0 {
            far.remote.probed(Presence::At(t(0)), true, &far.cx);
        }
        far.request(&request(LAST, t(256), mcb(0, 0)));
        let response = only(&far.respond(t(256), mcb(0, 0)).burst);
        // The first it stands for follows the last that was used.
        let first = response
            .transaction
            .minus(u32::from(response.control.pg_count()));
        assert_eq!(first, t(groups));
    }
}

/// Shows: I-d
#[test]
fn request_of_a_run_beyond_the_queue_is_told_the_last_one_accepted() {
    let mut far = run();
    far.cx.policy.run_queue = 2;
    for number in [1, 2] {
        let step = far.request(&request(MIDDLE, t(number), mcb(0, 0)));
        assert!(arrival(&step).queued);
    }
    let step = far.request(&request(MIDDLE, t(3), mcb(0, 0)));
    assert_eq!(
        gap(&step),
        (Some(ResponseCode::MsgtransOverflow), Some(t(2)))
    );
    assert_eq!(step.keep, Keep::Drop(Drop::NoRoom));
}

#[test]
fn new_run_aborts_the_one_before() {
    let mut far = run();
    far.request(&request(MIDDLE, t(1), mcb(0, 0)));
    let step = far.request(&request(FIRST, t(2), mcb(0, 0)));
    assert!(step.aborted);
    assert_eq!(
        (arrival(&step).transaction, arrival(&step).queued),
        (t(2), false)
    );
}

/// Shows: 5.8-j
#[test]
fn later_record_of_a_run_filters_the_duplicates_of_a_discarded_one() {
    let mut far = run();
    far.respond(t(0), mcb(0, 100));
    far.notified(ResponseCode::Ok, t(0), 1);
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    far.request(&request(LAST, t(1), mcb(0, 0)));
    far.respond(t(1), mcb(0, 0));
    for control in [FIRST, FIRST | Control::APG] {
        let step = far.request(&request(control, t(0), mcb(0, 0)));
        assert_eq!((step.event, step.burst), (Event::None, None));
    }
    assert_eq!(
        (far.remote.state(), far.remote.transaction()),
        (State::Responded, t(1))
    );
}

/// A Request that the server left to a later Response of the run is not waited for when no Response comes any
/// more: because the server gave the later one up, or because that is a datagram.
#[test]
fn request_left_to_a_later_response_that_never_comes_is_told_so() {
    let mut none = mcb(0, 0);
    none.code = ResponseCode::ResponseDiscarded.code();
    let again = request(FIRST | Control::APG, t(0), mcb(0, 0));
    for later in [mcb(0, 0), mcb(Code::DGM, 0)] {
        let mut far = run();
        let next = arrival(&far.request(&request(LAST, t(1), later)));
        assert_eq!(far.respond(t(0), none).event, Event::Next);
        // It is in progress, and may still answer both.
        far.remote.begin(&next, &far.cx);
        let step = far.request(&again);
        assert_eq!(code_of(&step.notify), Some(ResponseCode::Ok));
        if next.datagram {
            far.remote.is_datagram(&far.cx);
        } else {
            far.remote.abandon(t(1), &far.cx).unwrap();
        }
        let step = far.request(&again);
        assert_eq!(code_of(&step.notify), Some(ResponseCode::ResponseDiscarded));
    }
}

/// A Request behind one with STI that was given up for lost can come again.
#[test]
fn discarded_request_behind_sti_can_come_again() {
    let mut far = Far::processing(&request(FIRST | Control::STI, t(0), mcb(0, 0)));
    far.cx.policy.retries = 0;
    far.respond(t(0), mcb(0, 0));
    let header = request(LAST, t(256), mcb(0, 2_048));
    far.request(&carrying(header, 0b0011));
    far.timeout(TS1);
    assert!(!far.remote.is_receiving());
    far.request(&carrying(header, 0b0011));
    let step = far.request(&carrying(header, 0b1100));
    assert_eq!(arrival(&step).transaction, t(256));
}

/// Shows: 2.5.3-b
#[test]
fn ok_for_a_response_of_a_run_acknowledges_all_before_it() {
    let mut far = run();
    let mut retained = Vec::new();
    for number in 1..3 {
        far.respond(t(number - 1), mcb(0, 100));
        let step = far.request(&request(MIDDLE, t(number), mcb(0, 0)));
        retained.push(step.retain.unwrap());
    }
    far.respond(t(2), mcb(0, 100));
    let kept: Vec<_> = retained
        .iter()
        .map(|response| response.transaction())
        .collect();
    assert_eq!(kept, [t(0), t(1)]);
    let ok = to_server(ResponseCode::Ok, t(2), 1);
    for response in &mut retained {
        let done = response.notified(&far.remote, &ok, &far.cx);
        assert!(done.is_err());
    }
    far.take(&ok);
    // Nothing is sent any more.
    assert_eq!(far.timeout(common::far::TS4).burst, None);
    // OK for the middle one leaves the last: it is sent again.
    let mut far = run();
    far.respond(t(0), mcb(0, 60));
    far.request(&request(MIDDLE, t(1), mcb(0, 0)));
    far.respond(t(1), mcb(0, 60));
    assert!(!far
        .remote
        .is_notified_by(&to_server(ResponseCode::Ok, t(0), 1)));
    far.cx.now = far.remote.deadline();
    assert!(far.remote.timeout(true, &far.cx).burst.is_some());
}

/// Shows: 2.8-d
#[test]
fn datagrams_of_a_run_that_nobody_has_taken_yet_are_kept_until_another_run_begins() {
    let datagram = |control, offset| request(control, t(offset), mcb(Code::DGM, 0));
    let (mut far, _) = Far::with(&datagram(Control::NER, 0));
    far.remote.is_datagram(&far.cx);
    far.request(&datagram(Control::NSR | Control::NER, 1));
    far.remote.is_datagram(&far.cx);
    far.request(&datagram(Control::NSR, 2));
    far.remote.is_datagram(&far.cx);
    assert!((0..3).all(|offset| far.remote.keeps_datagram(t(offset))));
    // The next stands alone: it takes the place of all before it (2.8).
    far.request(&datagram(0, 3));
    assert_eq!(
        [0, 1, 2, 3].map(|offset| far.remote.keeps_datagram(t(offset))),
        [false, false, false, true]
    );
}

/// Shows: 2.8-d
#[test]
fn request_behind_a_datagram_goes_on_at_once_and_once() {
    let mut far = run();
    let datagram = arrival(&far.request(&request(MIDDLE, t(1), mcb(Code::DGM, 0))));
    let last = arrival(&far.request(&request(LAST, t(2), mcb(0, 0))));
    assert_eq!(far.remote.next().event, Event::None);
    assert_eq!(far.respond(t(0), mcb(0, 0)).event, Event::Next);
    far.remote.begin(&datagram, &far.cx);
    assert_eq!(far.remote.is_datagram(&far.cx).event, Event::Next);
    assert_eq!(far.remote.next().event, Event::Next);
    far.remote.begin(&last, &far.cx);
    assert_eq!(far.remote.next().event, Event::None);
    far.respond(t(2), mcb(0, 0));
    assert_eq!(far.remote.next().event, Event::None);
}
