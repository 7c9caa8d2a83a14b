// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Respond of RFC 1045, 5.6.2: the Response, how long it is kept, and when it is sent again (5.7,
//! 5.9).

mod common;

use common::far::{code_of, with, Far, MULTICAST, TS3, TS4};
use common::{at, carrying, count, deliveries, flags, headers, mcb, ms, only, packets, request, t};
use common::{CLIENT, SERVER};
use vmtp_proto::server::{Drop, Event, Keep, Presence, Respond, RespondError, State, To};
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Code, Control, Header, Mask, Priority, ResponseCode};

const ALL: u32 = Control::FLAGS;

/// A Client that asked with 16 KiB may be answered with as much.
fn large(control: u32, flags: u32) -> Far {
    let header = request(control, t(0), mcb(flags, 16_384));
    let mut far = Far::new(&header);
    for pair in 0..16 {
        far.request(&carrying(header, 0b11 << (2 * pair)));
    }
    assert_eq!(far.remote.state(), State::Processing);
    far
}

/// TS5 for 16 KiB: TS3 and three times what 16 packets take.
fn ts5_of_16_kib(far: &Far) -> Time {
    let data = Span::from_micros(12).times(16 * 3);
    far.cx.now.plus(ms(TS3)).plus(data)
}

/// Shows: 3.4-a
#[test]
fn response_has_the_identification_of_its_request_and_exactly_these_fields() {
    let mut header = request(0, t(0), mcb(0, 0));
    header.domain = 0x1234;
    header.control = header
        .control
        .with_priority(Priority::IMPORTANT)
        .with_gap(99);
    let mut far = Far::processing(&header);
    let mcb = mcb(Code::MRD, 0);
    let step = far.respond(t(0), mcb);
    let expected = Header {
        client: CLIENT,
        version: 0,
        domain: 0x1234,
        hco: false,
        epg: false,
        mpg: false,
        length: 0,
        // Priority 1000, a Response, PGcount 0.
        control: Control::from_bits(0x0000_0081),
        transaction: t(0),
        delivery: Mask::EMPTY,
        server: SERVER,
        code: mcb.code,
        user: mcb.user,
        message_delivery: mcb.message_delivery,
        segment_size: 0,
    };
    assert_eq!(only(&step.burst), expected);
    assert_eq!(step.to, To::Peer);
}

/// Shows: 3.2-g
#[test]
fn server_field_is_the_group_asked_and_the_entity_that_answers() {
    let mut header = request(0, t(0), mcb(0, 0));
    header.server = common::GROUP;
    let mut far = Far::new(&header);
    far.source = MULTICAST;
    far.request(&header);
    assert_eq!(only(&far.respond(t(0), mcb(0, 0)).burst).server, SERVER);
    // Also when it was forwarded.
    let mut header = request(0, t(0), mcb(0, 0));
    header.control = header.control.with_forward_count(1);
    let mut far = Far::processing(&header);
    assert_eq!(only(&far.respond(t(0), mcb(0, 0)).burst).server, SERVER);
    // The Request names the group.
    let (_, step) = common::near::Near::start(&common::near::to_group(mcb(0, 0)));
    assert_eq!(only(&step.burst).server, common::GROUP);
}

/// Shows: 3.4-c
#[test]
fn response_echoes_the_retransmit_count_of_the_last_request_packet() {
    let header = request(0, t(0), mcb(0, 0));
    let again = |count| Header {
        control: header.control.with_retransmit_count(count),
        ..header
    };
    let mut far = Far::processing(&header);
    far.request(&again(1));
    far.request(&again(2));
    assert_eq!(count(&far.respond(t(0), mcb(0, 0)).burst), 2);
    // Of each repetition anew.
    for number in [3, 7, 0] {
        assert_eq!(count(&far.request(&again(number)).burst), number);
    }
    // With data too.
    let mut far = Far::processing(&header);
    far.respond(t(0), mcb(0, 100));
    assert_eq!(count(&far.request(&again(4)).burst), 4);
}

/// Shows: 3.4-d
#[test]
fn forward_count_of_the_response_is_that_of_the_request() {
    for forwards in [0, 1, 15] {
        let mut header = request(0, t(0), mcb(0, 0));
        header.control = header.control.with_forward_count(forwards);
        let mut far = Far::processing(&header);
        let response = only(&far.respond(t(0), mcb(0, 0)).burst);
        assert_eq!(response.control.forward_count(), forwards);
    }
}

/// Shows: D-3-b
#[test]
fn the_8_bit_field_is_the_gap_in_a_request_and_pg_count_in_a_response() {
    let mut cx = common::context();
    cx.timing.receive_gap = 17;
    let (_, step) = common::near::Near::start_in(&common::near::plain(mcb(0, 0)), cx);
    let request = only(&step.burst);
    assert_eq!(request.control.bits() >> 8 & 0xFF, 17);
    // Outside streams PGcount is 0, whatever gap was asked for.
    let mut far = Far::processing(&request);
    far.cx = cx;
    let response = only(&far.respond(t(0), mcb(0, 0)).burst);
    assert_eq!(response.control.bits() >> 8 & 0xFF, 0);
}

/// Shows: 2.5.4-b, 5.9-b
#[test]
fn unacknowledged_response_is_sent_six_times_and_then_discarded() {
    let mut far = large(0, 0);
    let first = far.respond(t(0), mcb(0, 16_384));
    assert_eq!(packets(&first.burst).len(), 16);
    let mut times = vec![far.remote.deadline()];
    for _ in 0..5 {
        far.cx.now = far.remote.deadline();
        let step = far.remote.timeout(true, &far.cx);
        assert_eq!(headers(&step.burst).len(), 1);
        assert_eq!(flags(&step.burst, Control::APG), [Control::APG]);
        times.push(far.remote.deadline());
    }
    // TS3 after the second, then 200, 400 and 800 ms, and 1,600 after the last.
    let waits: Vec<u64> = times
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).millis())
        .collect();
    assert_eq!(waits, [200, 200, 400, 800, 1_600]);
    assert_eq!(far.remote.state(), State::Responded);
    far.cx.now = far.remote.deadline();
    let step = far.remote.timeout(true, &far.cx);
    assert_eq!((step.burst, step.release), (None, true));
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    // The record goes on filtering for TS4.
    assert_eq!(far.remote.deadline(), far.cx.now.plus(ms(TS4)));
    let step = far.request(&request(0, t(0), mcb(0, 16_384)));
    assert_eq!(step.event, Event::None);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::ResponseDiscarded));
}

/// Shows: 5.9-a
#[test]
fn timeout_in_responded_resends_with_apg_and_arms_ts3() {
    let mut far = large(0, 0);
    far.cx.timing.round_trip = ms(30);
    far.respond(t(0), mcb(0, 1_024));
    far.cx.now = far.remote.deadline();
    let step = far.remote.timeout(true, &far.cx);
    assert_eq!(flags(&step.burst, Control::APG), [Control::APG]);
    assert_eq!(far.remote.deadline(), far.cx.now.plus(ms(30)));
    assert_eq!(far.remote.state(), State::Responded);
}

/// Shows: 2.5.5-f
#[test]
fn ts5_is_ts3_and_three_times_the_transmission_of_the_data() {
    for (octets, data_packets) in [(1_024, 1), (16_384, 16)] {
        let mut far = large(0, 0);
        far.cx.timing.packet_time = Span::from_micros(1_200);
        far.respond(t(0), mcb(0, octets));
        let ts5 = far.remote.deadline().since(far.cx.now);
        let least = ms(TS3).plus(Span::from_micros(1_200 * 3 * data_packets));
        // Rounded up to whole packets.
        let most = least.plus(Span::from_micros(1_200 * 3));
        assert!(ts5 >= least && ts5 <= most, "{octets}: {ts5:?}");
    }
}

/// Shows: 5.6.2-d
#[test]
fn response_with_a_segment_asks_for_acknowledgment_only_when_repeated() {
    let mut far = large(0, 0);
    let first = far.respond(t(0), mcb(0, 16_384));
    assert_eq!(flags(&first.burst, ALL), [0; 16]);
    assert!(far.remote.deadline() >= ts5_of_16_kib(&far));
    far.cx.now = far.remote.deadline();
    let again = far.remote.timeout(true, &far.cx);
    assert_eq!(flags(&again.burst, ALL), [Control::APG]);
    // An acknowledgment, or a new Request, and it is not sent again.
    for acknowledged in [false, true] {
        let mut far = large(0, 0);
        far.respond(t(0), mcb(0, 16_384));
        far.at(5);
        if acknowledged {
            far.notified(ResponseCode::Ok, t(0), u32::MAX);
        } else {
            far.request(&request(0, t(1), mcb(0, 0)));
            far.respond(t(1), mcb(0, 0));
        }
        assert_eq!(far.remote.deadline(), at(5 + TS4));
    }
}

/// Shows: D-9-b
#[test]
fn response_with_a_segment_is_first_repeated_as_a_header() {
    let mut far = large(0, 0);
    far.respond(t(0), mcb(0, 16_384));
    far.cx.now = far.remote.deadline();
    let by_timer = far.remote.timeout(true, &far.cx);
    let by_request = far.request(&request(0, t(0), mcb(0, 16_384)));
    for step in [by_timer, by_request] {
        let header = only(&step.burst);
        assert!(header.code.has(Code::SDA));
        assert_eq!(header.segment_size, 16_384);
        assert_eq!((header.delivery.bits(), header.length), (0, 0));
        assert_eq!(header.control.bits() & ALL, Control::APG);
    }
}

/// Shows: 5.7-g
#[test]
fn repeated_request_brings_a_response_with_data_again_with_apg() {
    let mut far = large(0, 0);
    far.respond(t(0), mcb(0, 16_384));
    far.at(50);
    let step = far.request(&request(Control::APG, t(0), mcb(0, 16_384)));
    assert_eq!(flags(&step.burst, Control::APG), [Control::APG]);
    let ts5 = far.remote.deadline();
    assert!(ts5 >= ts5_of_16_kib(&far) && ts5 < ts5_of_16_kib(&far).plus(ms(1)));
    assert_eq!(far.remote.state(), State::Responded);
}

/// Shows: 5.7-h, 5.6.2-f
#[test]
fn response_without_data_is_kept_for_ts4_and_repeated_for_a_late_request() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    let first = far.respond(t(0), mcb(0, 0));
    assert_eq!(far.remote.deadline(), at(TS4));
    far.at(TS4 - 1);
    let again = far.request(&header);
    assert_eq!(only(&again.burst), only(&first.burst));
    assert_eq!(flags(&again.burst, Control::APG), [0]);
    assert_eq!(far.remote.deadline(), at(TS4 - 1 + TS4));
    assert_eq!(only(&again.burst).mcb(), mcb(0, 0));
    // Even after the Client acknowledged it.
    far.notified(ResponseCode::Ok, t(0), 0);
    assert_eq!(only(&far.request(&header).burst), only(&first.burst));
}

/// Shows: 2.5.4-e
#[test]
fn idempotent_response_is_made_anew_for_a_repeated_request() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    let step = far.respond(t(0), mcb(Code::DGM, 100));
    assert_eq!(deliveries(&step.burst), [0b1]);
    assert!(step.release);
    // It is never sent again by itself.
    assert_eq!(far.remote.deadline(), at(TS4));
    let step = far.request(&header);
    assert_eq!(step.burst, None);
    let arrival = common::far::arrival(&step);
    assert_eq!((arrival.transaction, arrival.queued), (t(0), false));
    let other = common::far::with(mcb(Code::DGM, 50));
    let step = far.remote.respond(t(0), &other, &far.cx).unwrap();
    assert_eq!(only(&step.burst).segment_size, 50);
    // Of the last transaction only.
    far.request(&request(0, t(1), mcb(0, 0)));
    far.respond(t(1), mcb(Code::DGM, 0));
    let step = far.request(&header);
    assert_eq!(
        (step.event, step.keep),
        (Event::None, Keep::Drop(Drop::Old))
    );
}

/// 2.5.4 for a long Request: the header that repeats its last group begins all of it again.
#[test]
fn idempotent_long_request_is_executed_again_from_its_first_group() {
    let long = mcb(0, 20_000);
    let group = |group: u32| {
        let control = [Control::NER | Control::CMG, Control::NSR][group as usize];
        request(control, t(group), long)
    };
    let mut far = Far::new(&group(0));
    far.request(&carrying(group(0), u32::MAX));
    let step = far.request(&carrying(group(1), 0b1111_1111));
    assert_eq!(common::far::arrival(&step).transaction, t(1));
    far.respond(t(1), mcb(Code::DGM, 0));
    let asks = request(Control::NSR | Control::APG, t(1), long);
    let notify = far.request(&asks).notify.unwrap();
    assert_eq!(notify.code, ResponseCode::RetryAll.code());
    assert_eq!(notify.transaction, t(0).minus(1));
    far.request(&carrying(group(0), u32::MAX));
    let step = far.request(&carrying(group(1), 0b1111_1111));
    let arrival = common::far::arrival(&step);
    assert_eq!((arrival.transaction, arrival.groups), (t(1), 2));
}

/// Shows: 5.6.2-e
#[test]
fn after_an_idempotent_response_the_record_only_filters_duplicates() {
    let mut far = large(0, 0);
    let step = far.respond(t(0), mcb(Code::DGM, 16_384));
    assert!(step.release);
    assert_eq!(far.remote.deadline(), at(TS4));
    let step = far.request(&request(0, t(0).minus(1), mcb(0, 0)));
    assert_eq!(step.keep, Keep::Drop(Drop::Old));
    let step = far.timeout(TS4);
    assert_eq!((step.burst, step.event), (None, Event::Expired));
}

/// Shows: 5.6.2-c
#[test]
fn reply_of_response_discarded_sends_nothing_and_filters_duplicates() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    let mut mcb = mcb(0, 0);
    mcb.code = ResponseCode::ResponseDiscarded.code();
    let step = far.respond(t(0), mcb);
    assert_eq!((step.burst, step.notify), (None, None));
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    let step = far.request(&header);
    assert_eq!((step.event, step.burst), (Event::None, None));
}

/// Shows: 5.3-d
#[test]
fn what_asks_for_a_discarded_response_is_told_so_unless_it_was_multicast() {
    let discarded = |multicast| {
        let header = request(0, t(0), mcb(0, 0));
        let mut far = Far::new(&header);
        if multicast {
            far.source = MULTICAST;
        }
        far.request(&header);
        far.respond(t(0), mcb(0, 100));
        far.notified(ResponseCode::Ok, t(0), 1);
        assert_eq!(far.remote.state(), State::ResponseDiscarded);
        let by_request = far.request(&header).notify;
        let by_notify = far.notified(ResponseCode::Retry, t(0), 0).notify;
        [by_request, by_notify]
    };
    for notify in discarded(false) {
        let notify = notify.unwrap();
        assert_eq!(notify.code, ResponseCode::ResponseDiscarded.code());
        assert_eq!(notify.transaction, t(0));
    }
    assert_eq!(discarded(true), [None, None]);
}

/// Shows: 5.3-e
#[test]
fn record_may_be_reused_when_ts4_ends() {
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    far.respond(t(0), mcb(0, 100));
    far.notified(ResponseCode::Ok, t(0), 1);
    let step = far.timeout(TS4);
    assert_eq!(step.event, Event::Expired);
    assert_eq!(far.remote.deadline(), Time::NEVER);
    // For the next Request of the same Client.
    let step = far.request(&request(0, t(9), mcb(0, 0)));
    assert!(matches!(step.event, Event::Request(_)));
}

#[test]
fn expired_record_still_serves_the_same_client() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    far.remote.probed(Presence::At(t(0)), true, &far.cx);
    far.respond(t(0), mcb(0, 0));
    far.service.probe = true;
    // One Probe, of a Client unknown so far.
    far.timeout(TS4);
    let step = far.request(&request(0, t(1), mcb(0, 0)));
    assert_eq!(step.event, Event::Probe);
    far.remote.probed(Presence::At(t(1)), true, &far.cx);
    far.respond(t(1), mcb(0, 0));
    far.cx.now = far.remote.deadline();
    assert_eq!(far.remote.timeout(true, &far.cx).event, Event::Expired);
    // While the record is kept it filters, and no Probe is needed.
    let step = far.request(&request(0, t(1), mcb(0, 0)));
    assert!(!matches!(step.event, Event::Request(_)));
    let step = far.request(&request(0, t(2), mcb(0, 0)));
    assert!(matches!(step.event, Event::Request(_)));
}

/// Shows: 3.2-o
#[test]
fn drt_delays_the_response_to_a_multicast_request_for_at_most_10_ms() {
    let header = request(Control::DRT, t(0), mcb(0, 0));
    let mut delays = Vec::new();
    for random in [0, 0x4000_0000, u32::MAX] {
        let mut far = Far::new(&header);
        far.source = MULTICAST;
        far.request(&header);
        far.cx.random = random;
        let step = far.respond(t(0), mcb(0, 0));
        assert_eq!(step.burst, None);
        let due = far.remote.deadline();
        delays.push(due.since(far.cx.now).nanos());
        far.cx.now = due;
        assert_eq!(headers(&far.remote.timeout(true, &far.cx).burst).len(), 1);
    }
    assert_eq!(delays[..2], [0, 2_500_000]);
    assert!(delays[2] < 10_000_000 && delays[2] > 9_990_000);
    // Without DRT, or by unicast, at once.
    for (control, source) in [(0, MULTICAST), (Control::DRT, common::far::UNICAST)] {
        let header = request(control, t(0), mcb(0, 0));
        let mut far = Far::new(&header);
        far.source = source;
        far.request(&header);
        assert!(far.respond(t(0), mcb(0, 0)).burst.is_some());
    }
}

/// Shows: 3.2-q
#[test]
fn response_is_longer_than_a_group_only_if_the_request_had_sti() {
    let mut far = large(0, 0);
    let refused = far.try_respond(t(0), mcb(0, 16_385));
    assert_eq!(refused, Err(RespondError::TooLarge));
    // The Request is still with the server.
    assert!(far.try_respond(t(0), mcb(0, 16_384)).is_ok());
    let mut far = large(Control::STI, 0);
    far.cx.policy.streaming = false;
    let refused = far.try_respond(t(0), mcb(0, 16_385));
    assert_eq!(refused, Err(RespondError::TooLarge));
    let mut far = large(Control::STI, 0);
    far.remote.probed(Presence::Absent, true, &far.cx);
    let whole = 4 * 1_024 * 1_024;
    let refused = far.try_respond(t(0), mcb(0, whole + 1));
    assert_eq!(refused, Err(RespondError::TooLarge));
    // 256 groups.
    assert!(far.try_respond(t(0), mcb(0, whole)).is_ok());
}

/// Shows: 3.4-b
#[test]
fn long_response_has_sti_and_the_transactions_that_the_client_skipped() {
    let mut far = large(Control::STI, 0);
    far.cx.timing.window = 4;
    let step = far.respond(t(0), mcb(0, 40_000));
    let mut numbers: Vec<(u32, u32)> = headers(&step.burst)
        .iter()
        .map(|header| {
            let run = Control::NSR | Control::NER | Control::CMG | Control::STI;
            (
                header.transaction.bits() - common::T,
                header.control.bits() & run,
            )
        })
        .collect();
    numbers.dedup();
    let run = Control::NER | Control::CMG;
    assert_eq!(
        numbers,
        [
            (0, run),
            (1, run | Control::NSR | Control::STI),
            (2, Control::NSR | Control::STI)
        ]
    );
}

/// Shows: D-28-a
#[test]
fn unknown_client_is_probed_before_it_is_sent_more_than_three_times_what_came() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    let step = far.respond(t(0), mcb(0, 16_384));
    assert_eq!((step.burst, step.event), (None, Event::Probe));
    // It asks again meanwhile: nothing.
    assert_eq!(far.request(&header).burst, None);
    // Nobody is there: nothing at all was sent.
    let step = far.remote.probed(Presence::Absent, true, &far.cx);
    assert_eq!((step.burst, step.event), (None, Event::None));
    // Nobody asks, either.
    far.cx.now = far.remote.deadline();
    let step = far.remote.timeout(true, &far.cx);
    assert_eq!((step.burst, step.release), (None, true));
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    // Somebody is.
    let mut far = Far::processing(&header);
    far.respond(t(0), mcb(0, 16_384));
    let step = far.remote.probed(Presence::At(t(0)), true, &far.cx);
    assert_eq!(packets(&step.burst).len(), 16);
    // 204 octets need no Probe, whatever the size of packets.
    for segment in 0..=1_024 {
        let mut far = Far::processing(&header);
        let step = far.respond(t(0), mcb(0, segment));
        let Some(mut burst) = step.burst else {
            continue;
        };
        let mut octets = 0;
        while let Some(packet) = burst.next(512) {
            octets += 68 + packet.padded;
        }
        assert!(octets <= 204, "{segment}: {octets}");
    }
    let small = Far::processing(&header).respond(t(0), mcb(0, 136));
    assert!(small.burst.is_some());
}

/// Shows: D-28-a
#[test]
fn client_whose_probe_was_lost_is_probed_again_when_it_asks_again() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    far.respond(t(0), mcb(0, 16_384));
    far.remote.probed(Presence::Absent, true, &far.cx);
    for _ in 0..2 {
        let step = far.request(&header);
        assert_eq!((step.burst, step.event), (None, Event::Probe));
        // While the Probe is under way no other begins.
        assert_eq!(far.request(&header).event, Event::None);
        far.remote.probed(Presence::Absent, true, &far.cx);
    }
    far.request(&header);
    let step = far.remote.probed(Presence::At(t(0)), true, &far.cx);
    assert_eq!(packets(&step.burst).len(), 16);
}

#[test]
fn later_requests_of_a_run_do_not_count_for_the_first() {
    let mut far = Far::processing(&request(Control::NER, t(0), mcb(0, 0)));
    for number in 1..20 {
        far.request(&request(Control::NSR | Control::NER, t(number), mcb(0, 0)));
    }
    let step = far.respond(t(0), mcb(0, 512));
    assert_eq!((step.burst, step.event), (None, Event::Probe));
}

/// Shows: 5.4-b
#[test]
fn server_answers_what_it_holds_in_any_order() {
    let records: Vec<Far> = (0..3)
        .map(|number| {
            let mut header = request(0, t(number), mcb(0, 0));
            header.client = vmtp_proto::wire::Entity::from_bits(CLIENT.bits() + (1 << 32));
            Far::processing(&header)
        })
        .collect();
    for (number, mut far) in records.into_iter().enumerate().rev() {
        let transaction = t(number as u32);
        let wrong = far.try_respond(transaction.plus(1), mcb(0, 0));
        assert_eq!(wrong, Err(RespondError::NoRequest));
        let step = far.respond(transaction, mcb(0, 0));
        assert_eq!(only(&step.burst).transaction, transaction);
        // Once.
        let again = far.try_respond(transaction, mcb(0, 0));
        assert_eq!(again, Err(RespondError::NoRequest));
    }
}

#[test]
fn server_that_gives_a_request_up_tells_its_client_at_once() {
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    let step = far.remote.abandon(t(0), &far.cx).unwrap();
    assert_eq!(code_of(&step.notify), Some(ResponseCode::NonexistentEntity));
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    let wishes = Respond {
        flags: Control::APG,
        ..with(mcb(0, 0))
    };
    let late = far.remote.respond(t(0), &wishes, &far.cx);
    assert_eq!(late, Err(RespondError::NoRequest));
}
