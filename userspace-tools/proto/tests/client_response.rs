// SPDX-License-Identifier: GPL-2.0 OR MIT

//! HandleResponse of RFC 1045, 4.7.1, the states of figure 4-1, and the timeout of an incomplete
//! Response (4.9).

mod common;

use common::near::{answer, asked, delivery, plain, to_group, Near, TC1, TC2, TC3};
use common::{at, carrying, mask, mcb, meant, ms, only, response, t};
use common::{to_server, GROUP, OTHER_HOST, OTHER_SERVER, SERVER};
use vmtp_proto::client::{
    stray, Delivery, Drop, Event, Keep, Reply, ReplyState, Request, State, Step, Stray,
};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{Code, Control, Mask, ResponseCode};

/// Two packets of four of a Response arrived at 0 ms.
fn receiving() -> Near {
    let mut near = asked();
    near.response(&carrying(answer(), 0b0000_0011));
    near.response(&carrying(answer(), 0b0000_1100));
    near
}

/// Shows: 4.3-b
#[test]
fn single_packet_response_ends_the_transaction_and_nothing_else_is_sent() {
    let mut near = asked();
    let step = near.response(&carrying(response(0, t(0), mcb(0, 900)), 0b11));
    let expected = Delivery {
        code: None,
        segment_octets: 900,
        message_delivery: None,
        covers_from: t(0),
    };
    assert_eq!(step.event, Event::Response(expected));
    assert_eq!((step.burst, step.notify), (None, None));
    assert_eq!(step.keep, Keep::Restart);
    near.assert_over();
    assert_eq!(near.reply.state(), ReplyState::Delivered);
    assert_eq!(near.reply.deadline(), Time::NEVER);
}

/// Shows: 4.3-c, 4.9-d
#[test]
fn first_packet_of_several_makes_the_client_ask_for_blocks_instead_of_repeating_itself() {
    let mut near = asked();
    let step = near.response(&carrying(answer(), 0b0000_0011));
    assert_eq!((step.event, step.notify), (Event::None, None));
    assert_eq!(near.call.state(), State::ReceivingResponse);
    // The Request is not sent again, however long it takes.
    assert_eq!(near.call.deadline(), Time::NEVER);
    assert_eq!(near.reply.deadline(), at(TC3));
    let step = near.reply_timeout(TC3);
    assert_eq!(
        step.notify,
        Some(to_server(ResponseCode::Retry, t(0), 0b0000_0011))
    );
    assert_eq!(step.burst, None);
    // What is asked for takes TC2 to come, if that is longer than TC3.
    near.response(&carrying(answer(), 0b0011_0000));
    let step = near.reply_timeout(2 * TC3);
    let notify = step.notify.unwrap();
    assert_eq!(notify.delivery, mask(0b0011_0011));
    let step = near.reply_timeout(2 * TC3 + TC2);
    assert_eq!(step.notify.unwrap().delivery, mask(0b0011_0011));
    // If TC3 is longer, it is that.
    let mut near = asked();
    near.cx.timing.round_trip = ms(5);
    near.cx.timing.packet_gap = ms(20);
    near.response(&carrying(answer(), 0b0000_0011));
    assert!(near.reply_timeout(20).notify.is_some());
    assert!(near.reply_timeout(40).notify.is_some());
}

/// Shows: 4.3-d
#[test]
fn last_missing_packet_ends_the_transaction_with_the_whole_segment() {
    let mut near = receiving();
    let step = near.response(&carrying(answer(), 0b1100_0000));
    assert_eq!(step.event, Event::None);
    let step = near.response(&carrying(answer(), 0b0011_0000));
    assert_eq!(delivery(&step).segment_octets, 4_096);
    assert_eq!(delivery(&step).code, None);
    near.assert_over();
}

/// Shows: 4.7.1-i
#[test]
fn further_packet_adds_its_blocks_and_restarts_tc3_and_a_repeated_one_changes_nothing() {
    let mut near = receiving();
    near.at(100);
    let step = near.response(&carrying(answer(), 0b0011_0000));
    assert_eq!(step.keep, Keep::Keep);
    assert_eq!(near.reply.deadline(), at(100 + TC3));
    let held = near.reply;
    let step = near.response(&carrying(answer(), 0b0011_0011));
    assert_eq!(step.keep, Keep::Drop(Drop::Duplicate));
    assert_eq!((step.event, step.notify), (Event::None, None));
    assert_eq!(near.reply, held);
    let notify = near.reply_timeout(100 + TC3).notify.unwrap();
    assert_eq!(notify.delivery, mask(0b0011_1111));
}

/// Shows: 4.7.1-g, 4.7.1-h
#[test]
fn repeated_response_is_answered_response_discarded_only_if_it_asks() {
    let mut near = asked();
    let whole = response(0, t(0), mcb(0, 0));
    near.response(&whole);
    for control in [Control::APG, Control::NER] {
        let again = response(control, t(0), mcb(0, 0));
        let step = near.response(&again);
        assert_eq!(
            step.notify,
            Some(to_server(ResponseCode::ResponseDiscarded, t(0), 0))
        );
        assert_eq!(step.event, Event::None);
    }
    let expected = Step {
        keep: Keep::Drop(Drop::Duplicate),
        ..Step::NOTHING
    };
    assert_eq!(near.response(&whole), expected);
}

/// Shows: 4.6.2-d
#[test]
fn delivered_response_filters_its_duplicates_until_the_next_transaction() {
    let mut near = Near::start(&to_group(mcb(Code::MRD, 0))).0;
    near.response(&response(0, t(0), mcb(0, 0)));
    for time in [1, 1_000, 100_000] {
        let step = near.at(time).response(&response(0, t(0), mcb(0, 0)));
        assert_eq!(step.event, Event::None);
        assert_eq!(step.keep, Keep::Drop(Drop::Duplicate));
    }
    // Behind it the Response belongs to no call.
    let cx = near.cx;
    let (next, _) = near.client.start(&plain(mcb(0, 0)), &cx).unwrap();
    assert!(!next.expects(t(0)));
}

/// Shows: 4.7.1-f
#[test]
fn response_to_another_transaction_is_not_delivered_but_answered_bad_transaction_id() {
    let near = asked();
    for number in [t(1), t(0).minus(1), t(256)] {
        assert!(!near.call.expects(number));
        let header = response(0, number, mcb(0, 0));
        let notify = stray(&header, Stray::Known, false, true);
        let expected = to_server(ResponseCode::BadTransactionId, number, 0);
        assert_eq!(notify, Some(expected));
    }
}

/// Shows: 4.7.1-e
#[test]
fn response_of_a_run_without_a_record_is_answered_bad_transaction_id() {
    let header = response(Control::NSR, t(7), mcb(0, 0));
    let notify = stray(&header, Stray::Known, false, true);
    let expected = to_server(ResponseCode::BadTransactionId, t(7), 0);
    assert_eq!(notify, Some(expected));
}

/// Shows: 4.7.1-a, 4.7.1-b, 4.7.1-c, 4.8.1-a, 4.8.1-b
#[test]
fn response_for_a_client_that_is_not_here_is_answered_only_if_unicast() {
    let header = carrying(response(0, t(7), mcb(0, 512)), 1);
    for (client, code) in [
        (Stray::Unknown, ResponseCode::NonexistentEntity),
        (Stray::Migrated, ResponseCode::EntityMigrated),
    ] {
        let notify = stray(&header, client, false, true);
        assert_eq!(notify, Some(to_server(code, t(7), 0)));
        assert_eq!(stray(&header, client, true, true), None);
    }
    assert_eq!(stray(&header, Stray::Known, true, true), None);
}

/// Shows: 4.5-b
#[test]
fn notify_vmtp_server_tells_the_record_or_without_one_the_packet() {
    // The server that answers is not always the one that was asked.
    let mut header = carrying(answer(), 0b0000_0011);
    header.server = OTHER_SERVER;
    header.control = header.control.with_forward_count(1);
    let mut near = asked();
    near.response(&header);
    let notify = near.reply_timeout(TC3).notify.unwrap();
    let expected = vmtp_proto::wire::NotifyVmtpServer {
        server: OTHER_SERVER,
        client: common::CLIENT,
        transaction: t(0),
        delivery: mask(0b0000_0011),
        code: ResponseCode::Retry.code(),
    };
    assert_eq!(notify, expected);
    let notify = stray(&header, Stray::Unknown, false, true).unwrap();
    let expected = vmtp_proto::wire::NotifyVmtpServer {
        delivery: Mask::EMPTY,
        code: ResponseCode::NonexistentEntity.code(),
        ..expected
    };
    assert_eq!(notify, expected);
}

/// 3.4: the Server differs only if a group was asked, by multicast or not, or the Request was forwarded.
#[test]
fn response_of_another_server_than_was_asked_is_taken_only_if_that_may_be() {
    let mut header = response(0, t(0), mcb(0, 0));
    header.server = OTHER_SERVER;
    let mut near = asked();
    let before = (near.client, near.call, near.reply);
    for waiting in [true, false] {
        near.waiting = waiting;
        let step = near.response(&header);
        assert_eq!(step.keep, Keep::Drop(Drop::Unwanted));
        assert_eq!((step.event, step.notify), (Event::None, None));
    }
    let (mut call, mut client, mut reply) = (near.call, near.client, near.reply);
    let single = call.response_single(
        &mut client,
        &mut reply,
        &header,
        OTHER_HOST,
        true,
        near.cx.now,
    );
    assert_eq!(single, None);
    assert_eq!((near.client, near.call, near.reply), before);
    let mut forwarded = header;
    forwarded.control = header.control.with_forward_count(1);
    let step = near.response(&forwarded);
    assert!(matches!(step.event, Event::Response(_)));
    let by_unicast = Request {
        server: GROUP,
        ..plain(mcb(0, 0))
    };
    for request in [to_group(mcb(0, 0)), by_unicast] {
        let step = Near::start(&request).0.response(&header);
        assert!(matches!(step.event, Event::Response(_)));
    }
}

/// Shows: 4.7.1-d
#[test]
fn without_streaming_a_streamed_response_ends_the_transaction() {
    let mut near = asked();
    near.cx.policy.streaming = false;
    let step = near.response(&response(Control::NSR, t(0), mcb(0, 0)));
    let expected = to_server(ResponseCode::StreamingNotSupported, t(0), 0);
    assert_eq!(step.notify, Some(expected));
    let code = ResponseCode::StreamedResponse;
    assert_eq!(step.event, Event::Finished(code));
    assert_eq!(code.bits(), 19);
    near.assert_over();
    // But not one with a group, before another has answered or after.
    let (mut near, _) = Near::start(&to_group(mcb(Code::MRD, 0)));
    near.cx.policy.streaming = false;
    for member in 0..2 {
        let mut header = response(Control::NSR, t(0), mcb(0, 0));
        header.server = OTHER_SERVER;
        let step = near.response_to(&mut { Reply::EMPTY }, &header, OTHER_HOST);
        assert_eq!(step.keep, Keep::Drop(Drop::Streaming));
        assert_eq!(step.event, Event::None, "{member}");
        let code = step.notify.unwrap().code;
        assert_eq!(code, ResponseCode::StreamingNotSupported.code());
        if member == 0 {
            let step = near.response(&response(0, t(0), mcb(0, 0)));
            assert!(matches!(step.event, Event::Response(_)));
        }
    }
    // And one for which there is no call is told so too.
    let header = response(Control::NSR, t(9), mcb(0, 0));
    let notify = stray(&header, Stray::Known, false, false).unwrap();
    assert_eq!(notify.code, ResponseCode::StreamingNotSupported.code());
}

/// Shows: 4.7.1-j
#[test]
fn streamed_response_to_a_client_that_does_not_stream_is_a_protocol_error() {
    for control in [Control::NSR, Control::NER] {
        let mut near = asked();
        let step = near.response(&response(control, t(0), mcb(0, 0)));
        let expected = to_server(ResponseCode::VmtpError, t(0), 0);
        assert_eq!(step.notify, Some(expected));
        assert_eq!(step.event, Event::None);
        assert_eq!(near.call.state(), State::AwaitingResponse);
        // With STI it is none.
        let (mut near, _) = Near::start(&Request {
            large_response: true,
            ..plain(mcb(0, 0))
        });
        let step = near.response(&response(control, t(0), mcb(0, 0)));
        assert_ne!(step.event, Event::None);
    }
}

/// Shows: 2.13-i
#[test]
fn response_with_apg_is_acknowledged_as_soon_as_it_is_complete() {
    let mut near = asked();
    let header = response(Control::APG, t(0), mcb(0, 2_048));
    assert_eq!(near.response(&carrying(header, 0b0011)).notify, None);
    let step = near.response(&carrying(header, 0b1100));
    let expected = to_server(ResponseCode::Ok, t(0), 0b1111);
    assert_eq!(step.notify, Some(expected));
    assert!(matches!(step.event, Event::Response(_)));
}

/// Shows: 2.13-g
#[test]
fn response_incomplete_after_the_tries_is_bad_reply_segment_with_what_is_contiguous() {
    // Blocks 0, 1 and 3 of eight came.
    let mut near = asked();
    near.response(&carrying(answer(), 0b0000_1011));
    let mut asks = 0;
    let mut last = Step::NOTHING;
    while near.reply.state() == ReplyState::Receiving {
        near.cx.now = near.reply.deadline();
        last = near
            .call
            .reply_timeout(&mut near.client, &mut near.reply, &near.cx);
        asks += u32::from(last.notify.is_some());
    }
    assert_eq!(asks, 5);
    let expected = Delivery {
        code: Some(ResponseCode::BadReplySegment),
        segment_octets: 1_024,
        message_delivery: None,
        covers_from: t(0),
    };
    assert_eq!(last.event, Event::Response(expected));
    near.assert_over();
}

/// Shows: 4.9-e
#[test]
fn incomplete_response_with_mdm_has_its_own_code_and_the_blocks_received() {
    let mut near = asked();
    near.cx.policy.retries = 0;
    let header = response(0, t(0), meant(mcb(0, 4_096), 0xFF));
    near.response(&carrying(header, 0b0010_0001));
    let delivery = delivery(&near.reply_timeout(TC3));
    assert_eq!(delivery.code, None);
    assert_eq!(delivery.message_delivery, Some(mask(0b0010_0001)));
    assert_eq!(delivery.segment_octets, 4_096);
}

/// 2.11, 2.13: nothing is asked for.
#[test]
fn incomplete_response_with_nrt_is_returned_at_once() {
    let mut near = asked();
    let header = response(Control::NRT, t(0), mcb(0, 4_096));
    near.response(&carrying(header, 0b0000_0011));
    let step = near.reply_timeout(TC3);
    assert_eq!(step.notify, None);
    assert_eq!(delivery(&step).code, Some(ResponseCode::BadReplySegment));
    assert_eq!(delivery(&step).segment_octets, 1_024);
}

/// Shows: 2.8-e
#[test]
fn conditional_response_is_dropped_when_the_client_does_not_wait() {
    let (mut near, _) = Near::start(&to_group(mcb(Code::MRD, 0)));
    near.response(&response(0, t(0), mcb(0, 0)));
    near.waiting = false;
    let mut further = Reply::EMPTY;
    let mut header = response(0, t(0), mcb(Code::CMD, 0));
    header.server = OTHER_SERVER;
    let step = near.response_to(&mut further, &header, OTHER_HOST);
    assert_eq!(step.event, Event::None);
    assert_eq!(further.state(), ReplyState::Empty);
    let notify = step.notify.unwrap();
    assert_eq!(notify.code, ResponseCode::ResponseDiscarded.code());
    assert_eq!((notify.server, notify.transaction), (OTHER_SERVER, t(0)));
    // It is taken when the client does.
    near.waiting = true;
    let step = near.response_to(&mut further, &header, OTHER_HOST);
    assert!(matches!(step.event, Event::Response(_)));
}

/// Shows: 3.2-j
#[test]
fn with_mrd_all_responses_are_offered_and_without_it_the_first() {
    for (mrd, offered) in [(Code::MRD, 3), (0, 1)] {
        let (mut near, _) = Near::start(&to_group(mcb(mrd, 0)));
        let mut responses = 0;
        for member in 0..3 {
            let mut reply = Reply::EMPTY;
            let mut header = response(0, t(0), mcb(0, 0));
            header.server = vmtp_proto::wire::Entity::from_bits(SERVER.bits() + member);
            let step = near.response_to(&mut reply, &header, OTHER_HOST);
            responses += u32::from(matches!(step.event, Event::Response(_)));
            // One of each: its duplicate is none.
            let step = near.response_to(&mut reply, &header, OTHER_HOST);
            assert_eq!(step.event, Event::None);
        }
        assert_eq!(responses, offered);
    }
}

/// Shows: 4.6.2-e
#[test]
fn missing_blocks_of_a_further_response_are_asked_for() {
    let (mut near, _) = Near::start(&to_group(mcb(Code::MRD, 0)));
    near.response(&response(0, t(0), mcb(0, 0)));
    let mut further = Reply::EMPTY;
    let mut header = carrying(answer(), 0b0000_0011);
    header.server = OTHER_SERVER;
    near.response_to(&mut further, &header, OTHER_HOST);
    assert_eq!(further.deadline(), at(TC3));
    near.at(TC3);
    let step = near
        .call
        .reply_timeout(&mut near.client, &mut further, &near.cx);
    let notify = step.notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Retry.code());
    assert_eq!(
        (notify.server, notify.delivery),
        (OTHER_SERVER, mask(0b0000_0011))
    );
    assert_eq!(further.peer(), OTHER_HOST);
}

/// Shows: 2.16-a
#[test]
fn transaction_succeeds_with_a_server_that_never_notifies() {
    // The Request is lost, then the Response, then half of the next one.
    let (mut near, _) = Near::start(&plain(mcb(0, 512)));
    near.timeout(TC1);
    near.timeout(TC1 + TC2);
    let half = response(0, t(0), mcb(Code::DGM, 2_048));
    near.at(900).response(&carrying(half, 0b0011));
    near.cx.now = near.reply.deadline();
    let step = near
        .call
        .reply_timeout(&mut near.client, &mut near.reply, &near.cx);
    assert_eq!(only(&step.burst).transaction, t(0));
    near.at(950).response(&carrying(half, 0b0011));
    let step = near.at(951).response(&carrying(half, 0b1100));
    assert!(matches!(step.event, Event::Response(_)));
    near.assert_over();
}
