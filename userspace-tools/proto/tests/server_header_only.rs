// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Packets without their data (4.9 note 3), what is asked for after loss, and the timeouts of a
//! Request that is being received (5.9).

mod common;

use common::far::{arrival, code_of, Far, MULTICAST, TS1, TS3};
use common::{at, carrying, mask, mcb, meant, ms, request, response, t};
use vmtp_proto::server::{Event, Keep, Step};
use vmtp_proto::wire::{Control, Header, ResponseCode};

/// The last retransmission by which the Client asks what is missing.
fn asking(header: Header) -> Header {
    Header {
        control: header.control.with(Control::APG),
        ..header
    }
}

/// Shows: D-9-c
#[test]
fn header_only_packet_is_answered_at_once_with_what_is_held() {
    let header = request(0, t(0), mcb(0, 4_096));
    // Unknown: nothing is held.
    let mut far = Far::new(&header);
    let notify = far.request(&asking(header)).notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Retry.code());
    assert_eq!((notify.transaction, notify.delivery), (t(0), mask(0)));
    // In part.
    far.request(&carrying(header, 0b0011_0011));
    let notify = far.request(&asking(header)).notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Retry.code());
    assert_eq!(notify.delivery, mask(0b0011_0011));
    // Whole.
    far.request(&carrying(header, 0b1100_1100));
    let notify = far.request(&asking(header)).notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Ok.code());
    // And so does the Client with a Response.
    let (mut near, _) = common::near::Near::start(&common::near::plain(mcb(0, 0)));
    let answer = response(0, t(0), mcb(0, 4_096));
    let notify = near.response(&asking(answer)).notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Retry.code());
    assert_eq!((notify.transaction, notify.delivery), (t(0), mask(0)));
    near.response(&carrying(answer, 0b0011_0011));
    let notify = near.response(&asking(answer)).notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Retry.code());
    assert_eq!(notify.delivery, mask(0b0011_0011));
    near.response(&carrying(answer, 0b1100_1100));
    let notify = near.response(&asking(answer)).notify.unwrap();
    assert_eq!(notify.code, ResponseCode::ResponseDiscarded.code());
}

/// What was asked for takes a round trip to come: it is not asked for again before.
#[test]
fn answer_to_a_header_only_packet_is_given_once() {
    let header = request(0, t(0), mcb(0, 4_096));
    let (mut far, _) = Far::with(&carrying(header, 0b11));
    far.at(1).request(&asking(header));
    assert_eq!(far.remote.deadline(), at(1 + TS3));
    let (mut near, _) = common::near::Near::start(&common::near::plain(mcb(0, 0)));
    let answer = response(0, t(0), mcb(0, 4_096));
    near.response(&carrying(answer, 0b11));
    near.at(1).response(&asking(answer));
    assert_eq!(near.reply.deadline(), at(1 + common::near::TC2));
}

/// Shows: 5.9-c
#[test]
fn each_timeout_of_an_incomplete_request_asks_for_its_missing_blocks() {
    let header = request(0, t(0), mcb(0, 4_096));
    let (mut far, _) = Far::with(&carrying(header, 0b0000_1111));
    let step = far.timeout(TS1);
    let notify = step.notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Retry.code());
    assert_eq!((notify.transaction, notify.delivery), (t(0), mask(0b1111)));
    // TS3, TS3 again, and then doubling as for every message.
    for time in [201, 401, 601] {
        let notify = far.timeout(time).notify.unwrap();
        assert_eq!(notify.code, ResponseCode::Retry.code());
    }
    assert_eq!(far.remote.deadline(), at(601 + 400));
}

/// Shows: 2.13-f
#[test]
fn request_still_incomplete_after_the_retries_is_discarded_with_an_error() {
    let header = request(0, t(0), mcb(0, 4_096));
    let (mut far, _) = Far::with(&carrying(header, 0b0000_1111));
    let mut codes = Vec::new();
    while far.remote.is_receiving() {
        far.cx.now = far.remote.deadline();
        let step = far.remote.timeout(true, &far.cx);
        codes.push(code_of(&step.notify).unwrap());
        if !far.remote.is_receiving() {
            assert_eq!(step.keep, Keep::Restart);
        }
    }
    let mut expected = vec![ResponseCode::Retry; 5];
    expected.push(ResponseCode::TooManyRetries);
    assert_eq!(codes, expected);
    // With MDM it is delivered, without an error.
    let header = request(0, t(0), meant(mcb(0, 4_096), 0xFF));
    let (mut far, _) = Far::with(&carrying(header, 0b0000_1111));
    let mut last = Step::NOTHING;
    while far.remote.is_receiving() {
        far.cx.now = far.remote.deadline();
        last = far.remote.timeout(true, &far.cx);
    }
    assert_eq!(last.notify, None);
    assert_eq!(arrival(&last).message_delivery, Some(mask(0b1111)));
}

/// Shows: 2.13-e
#[test]
fn incomplete_request_with_nrt_and_without_mdm_is_discarded_in_silence() {
    let header = request(Control::NRT, t(0), mcb(0, 4_096));
    let (mut far, _) = Far::with(&carrying(header, 0b0011_1111));
    let step = far.timeout(TS1);
    assert_eq!((step.notify, step.event), (None, Event::None));
    assert_eq!(step.keep, Keep::Restart);
    assert!(!far.remote.is_receiving());
}

/// Shows: 5.9-d
#[test]
fn incomplete_request_with_mdm_is_delivered_with_what_came() {
    let masked = meant(mcb(0, 4_096), 0b0111_0111);
    let datagram = vmtp_proto::wire::Mcb {
        code: masked.code.with(vmtp_proto::wire::Code::DGM),
        ..masked
    };
    for (control, mcb) in [(Control::NRT, masked), (0, datagram)] {
        let (mut far, _) = Far::with(&carrying(request(control, t(0), mcb), 0b0001_0001));
        let arrival = arrival(&far.timeout(TS1));
        assert_eq!(arrival.segment_octets, 4_096);
        assert_eq!(arrival.message_delivery, Some(mask(0b0001_0001)));
    }
    // Past the limit.
    let (mut far, _) = Far::with(&carrying(request(0, t(0), masked), 0b0001_0001));
    far.cx.policy.retries = 0;
    let arrival = arrival(&far.timeout(TS1));
    assert_eq!(arrival.message_delivery, Some(mask(0b0001_0001)));
}

/// Shows: 5.9-e
#[test]
fn discarded_request_is_not_remembered() {
    let header = request(0, t(0), mcb(0, 4_096));
    let (mut far, _) = Far::with(&carrying(header, 0b0000_1111));
    far.cx.policy.retries = 0;
    far.timeout(TS1);
    far.at(50);
    let step = far.request(&carrying(header, 0b0000_1111));
    assert_eq!(step.keep, Keep::Restart);
    let step = far.request(&carrying(header, 0b1111_0000));
    assert_eq!(arrival(&step).transaction, t(0));
}

/// Shows: 2.5.5-c
#[test]
fn first_wait_for_the_next_packet_is_ten_times_that_of_an_mtu() {
    // 1.2 ms for 1500 octets at 10 Mb/s.
    let path = vmtp_proto::path::Path::new(1_500, vmtp_proto::time::Span::from_micros(1_200));
    let mut cx = common::context();
    cx.timing = path.timing();
    let header = request(0, t(0), mcb(0, 4_096));
    let mut far = Far::new(&header);
    far.cx = cx;
    far.request(&carrying(header, 0b11));
    let step = far.timeout(12);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::Retry));
    let (mut near, _) = common::near::Near::start_in(&common::near::plain(mcb(0, 0)), cx);
    near.response(&carrying(response(0, t(0), mcb(0, 4_096)), 0b11));
    let step = near.reply_timeout(12);
    assert_eq!(step.notify.unwrap().code, ResponseCode::Retry.code());
}

/// Shows: D-22-d
#[test]
fn wait_for_the_next_packet_follows_the_measured_time_between_packets() {
    let mut path = vmtp_proto::path::Path::new(1_500, vmtp_proto::time::Span::from_micros(12));
    let mut early = Vec::new();
    for _ in 0..4 {
        let header = request(0, t(0), mcb(0, 4_096));
        let mut far = Far::new(&header);
        far.cx.timing = path.timing();
        let mut asked = 0;
        for packet in 0..4 {
            // A packet every 20 ms; the timer runs meanwhile.
            let time = 20 * packet;
            while far.remote.deadline() < at(time) {
                far.cx.now = far.remote.deadline();
                asked += u32::from(far.remote.timeout(true, &far.cx).notify.is_some());
            }
            far.at(time);
            let step = far.request(&carrying(header, 0b11 << (2 * packet)));
            if let Some(span) = step.interpacket {
                assert_eq!(span, ms(20));
                path.sample_interpacket(span);
            }
        }
        early.push(asked);
    }
    assert!(early[0] > 0);
    assert_eq!(early[1..], [0, 0, 0]);
}

#[test]
fn what_came_by_multicast_is_never_answered_with_an_error() {
    let header = request(0, t(0), mcb(0, 4_096));
    let mut far = Far::new(&header);
    far.source = MULTICAST;
    far.cx.policy.retries = 0;
    far.request(&carrying(header, 0b11));
    let step = far.timeout(TS1);
    assert_eq!((step.notify, step.keep), (None, Keep::Restart));
}
