// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Send of RFC 1045, 4.6.1: what leaves the Client first, of Requests short and long.

mod common;

use common::near::{client, plain, to_group, Near, TC1};
use common::{
    at, context, count, deliveries, flags, headers, mcb, meant, only, packets, t, SERVER,
};
use common::{CLIENT, T};
use vmtp_proto::client::{Client, Request, StartError, State, Step};
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Code, Control, Header, Mask, Priority, ResponseCode, Transaction};

/// All flags of the control word.
const ALL: u32 = Control::FLAGS;

#[test]
fn request_without_a_segment_is_one_packet_with_exactly_these_fields() {
    let mcb = mcb(Code::MRD | Code::PIC, 0);
    let (_, step) = Near::start(&Request {
        priority: Priority::URGENT,
        ..plain(mcb)
    });
    let expected = Header {
        client: CLIENT,
        version: 0,
        domain: 1,
        hco: false,
        epg: false,
        mpg: false,
        length: 0,
        // Priority 1100 in bits 7 to 4, everything else 0: a Request, first transmission, no gap.
        control: Control::from_bits(0x0000_00C0),
        transaction: t(0),
        delivery: Mask::EMPTY,
        server: SERVER,
        code: mcb.code,
        user: mcb.user,
        message_delivery: mcb.message_delivery,
        segment_size: 0,
    };
    assert_eq!(only(&step.burst), expected);
    assert_eq!(
        Step {
            burst: None,
            ..step
        },
        Step::NOTHING
    );
}

/// Shows: 2.3-a
#[test]
fn each_transaction_has_the_next_number_modulo_2_to_the_32() {
    let cx = context();
    let mut client = Client::new(CLIENT, 1, Transaction::from_bits(u32::MAX));
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let (mut call, step) = client.start(&plain(mcb(0, 0)), &cx).unwrap();
        numbers.push(only(&step.burst).transaction.bits());
        client.abort(&mut call);
    }
    assert_eq!(numbers, [u32::MAX, 0, 1]);
}

/// Shows: 3.2-c
#[test]
fn original_request_has_forward_count_0() {
    let (mut near, step) = Near::start(&plain(mcb(0, 16_384)));
    let again = near.timeout(TC1);
    let missing = near.notify(ResponseCode::Retry, 0, 0x0000_FFFF, 1);
    for burst in [step.burst, again.burst, missing.burst] {
        let counts: Vec<u8> = headers(&burst)
            .iter()
            .map(|header| header.control.forward_count())
            .collect();
        assert!(!counts.is_empty() && counts.iter().all(|count| *count == 0));
    }
}

/// Shows: 4.6.1-g
#[test]
fn first_transmission_has_all_blocks_and_no_apg_unless_asked() {
    let segment = 16_384;
    let (_, step) = Near::start(&plain(mcb(0, segment)));
    let pairs: Vec<u32> = (0..16).map(|packet| 0b11 << (2 * packet)).collect();
    assert_eq!(deliveries(&step.burst), pairs);
    assert_eq!(flags(&step.burst, ALL), [0; 16]);
    for (index, packet) in packets(&step.burst).iter().enumerate() {
        assert_eq!(packet.group_offset, 0);
        assert_eq!((packet.octets, packet.padded), (1_024, 1_024), "{index}");
        assert_eq!(packet.header.length, 256);
        assert_eq!(packet.header.segment_size, segment);
    }

    let (_, step) = Near::start(&plain(meant(mcb(0, segment), 0x8000_0005)));
    assert_eq!(deliveries(&step.burst), [0x0000_0005, 0x8000_0000]);
    assert_eq!(flags(&step.burst, ALL), [0; 2]);

    let (_, step) = Near::start(&Request {
        flags: Control::APG,
        ..plain(mcb(0, 4_096))
    });
    assert_eq!(flags(&step.burst, ALL), [Control::APG; 4]);
}

/// Shows: 3.2-h
#[test]
fn with_mdm_only_the_chosen_blocks_are_ever_sent() {
    let mcb = meant(mcb(0, 3_000), 0b10_1010);
    let (mut near, step) = Near::start(&plain(mcb));
    // Block 5 has 440 octets: 512 + 512 do not leave room for it.
    assert_eq!(deliveries(&step.burst), [0b00_1010, 0b10_0000]);
    assert_eq!(headers(&step.burst)[0].message_delivery, 0b10_1010);
    // All of it again, and what one packet lacked.
    let all = near.notify(ResponseCode::RetryAll, 0, 0, 0);
    assert_eq!(deliveries(&all.burst), [0b00_1010, 0b10_0000]);
    let one = near.notify(ResponseCode::Retry, 0, 0b00_1000, 1);
    assert_eq!(deliveries(&one.burst), [0b10_0010]);
}

/// Shows: 3.2-b
#[test]
fn retransmit_count_counts_transmissions_modulo_8_and_is_equal_in_all_packets() {
    let (mut near, step) = Near::start(&plain(mcb(0, 8_192)));
    let mut counts = vec![count(&step.burst)];
    for turn in 1..=9 {
        near.at(turn);
        let last = counts[counts.len() - 1];
        let step = near.notify(ResponseCode::Retry, 0, 0x0F, last);
        assert_eq!(headers(&step.burst).len(), 6);
        counts.push(count(&step.burst));
    }
    assert_eq!(counts, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
}

/// The count goes on wherever and why ever the Request is sent again.
#[test]
fn every_transmission_counts_whatever_led_to_it() {
    let (mut near, step) = Near::start(&plain(mcb(0, 512)));
    assert_eq!(count(&step.burst), 0);
    let step = near.notify(ResponseCode::Busy, 0, 0, 0);
    assert_eq!(step.burst, None);
    assert_eq!(count(&near.timeout(TC1).burst), 1);
    near.notify(ResponseCode::EntityMigrated, 0, 0, 1);
    let moved = near.located(common::OTHER_HOST);
    assert_eq!(count(&moved.burst), 2);
}

/// Shows: 2.8-a
#[test]
fn datagram_is_sent_once_and_nothing_is_awaited() {
    let (mut near, step) = Near::start(&plain(mcb(Code::DGM, 2_048)));
    assert_eq!(deliveries(&step.burst), [0b0011, 0b1100]);
    near.assert_over();
    // Nothing brings it to another transmission.
    let notify = common::to_client(ResponseCode::Retry, t(0), 0b0001, 0);
    let step = near.call.notify(&mut near.client, &notify, &near.cx);
    assert_eq!(step.burst, None);
    near.at(1_000_000);
    assert_eq!(near.call.timeout(&mut near.client, &near.cx), Step::NOTHING);
    // And the next transaction can start at once.
    assert!(near.client.start(&plain(mcb(0, 0)), &near.cx).is_ok());
}

/// A long one too: nobody would acknowledge its first groups.
#[test]
fn long_datagram_leaves_in_one_transmission() {
    let (near, step) = Near::start(&plain(mcb(Code::DGM, 100_000)));
    near.assert_over();
    let octets: u32 = packets(&step.burst)
        .iter()
        .map(|packet| packet.octets)
        .sum();
    assert_eq!(octets, 100_000);
    assert!(flags(&step.burst, Control::APG).iter().all(|apg| *apg == 0));
}

/// Shows: 4.3-a
#[test]
fn request_awaits_its_response() {
    let (near, _) = Near::start(&plain(mcb(0, 0)));
    assert_eq!(near.call.state(), State::AwaitingResponse);
    assert_eq!(near.call.deadline(), at(TC1));
    assert_eq!(near.client.open(), 1);
    // Until a Response, an error or a timeout.
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    near.response(&common::response(0, t(0), mcb(0, 0)));
    near.assert_over();
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    near.notify(ResponseCode::NoPermission, 0, 0, 0);
    near.assert_over();
    let (mut near, _) = Near::start(&Request {
        limit: at(10),
        ..plain(mcb(0, 0))
    });
    near.timeout(10);
    near.assert_over();
}

/// Shows: 2.14-b
#[test]
fn message_of_one_group_outside_a_run_has_nsr_ner_and_cmg_clear() {
    for segment in [0, 1, 512, 16_384] {
        let (_, step) = Near::start(&plain(mcb(0, segment)));
        let run = Control::NSR | Control::NER | Control::CMG;
        assert!(flags(&step.burst, run).iter().all(|bits| *bits == 0));
    }
}

/// Shows: 2.14-a, D-8-a, D-8-b
#[test]
fn long_message_is_groups_of_one_run_each_counted_from_its_own_offset() {
    let mut cx = context();
    cx.timing.window = 4;
    let (_, step) = Near::start_in(&plain(mcb(0, 40_000)), cx);
    let run = Control::NSR | Control::NER | Control::CMG;
    let mut seen: Vec<(u32, u32, u32)> = Vec::new();
    let mut octets = [0; 3];
    for packet in packets(&step.burst) {
        let group = packet.header.transaction.bits() - T;
        assert_eq!(packet.group_offset, group * 16_384);
        assert_eq!(packet.header.segment_size, 40_000);
        let bits = packet.header.control.bits() & run;
        if !seen.iter().any(|(known, ..)| *known == group) {
            seen.push((group, bits, packet.header.delivery.bits()));
        }
        assert!(seen.contains(&(group, bits, seen[group as usize].2)));
        octets[group as usize] += packet.octets;
    }
    // Masks begin again with block 0 in each group.
    assert_eq!(
        seen,
        [
            (0, Control::NER | Control::CMG, 0b11),
            (1, Control::NSR | Control::NER | Control::CMG, 0b11),
            (2, Control::NSR, 0b11)
        ]
    );
    assert_eq!(octets, [16_384, 16_384, 40_000 - 2 * 16_384]);
}

/// 2.13: so many groups are outstanding, and the last of these asks for acknowledgment.
#[test]
fn long_message_waits_for_acknowledgment_after_its_window() {
    let mut cx = context();
    cx.timing.window = 2;
    let (mut near, step) = Near::start_in(&plain(mcb(0, 4 * 16_384)), cx);
    let apg = flags(&step.burst, Control::APG);
    assert_eq!(apg[..16], [0; 16]);
    assert_eq!(apg[16..], [Control::APG; 16]);
    let next = near.notify(ResponseCode::Ok, 1, u32::MAX, 0);
    let numbers: Vec<u32> = headers(&next.burst)
        .iter()
        .map(|header| header.transaction.bits() - T)
        .collect();
    assert_eq!(numbers[..16], [2; 16]);
    assert_eq!(numbers[16..], [3; 16]);
    // The message's last group does not ask: the Response is its acknowledgment.
    assert_eq!(flags(&next.burst, Control::APG), [0; 32]);
}

/// Shows: 2.5.6-a
#[test]
fn request_carries_the_gap_wanted_for_the_response_and_loss_raises_it() {
    let mut path = vmtp_proto::path::Path::new(1_500, Span::from_micros(12));
    let mut gaps = Vec::new();
    for _ in 0..4 {
        let mut cx = context();
        cx.timing = path.timing();
        cx.timing.packet_gap = common::ms(1);
        let (mut near, step) = Near::start_in(&plain(mcb(0, 2_048)), cx);
        let gap: Vec<u8> = headers(&step.burst)
            .iter()
            .map(|header| header.control.gap())
            .collect();
        assert_eq!(gap[0], gap[1]);
        gaps.push(gap[0]);
        // The second of two packets of the Response is lost.
        let answer = common::response(0, t(0), mcb(0, 2_048));
        near.response(&common::carrying(answer, 0b0011));
        let step = near.reply_timeout(1);
        path.received(step.received.unwrap());
    }
    // One quarter more and 1/32 of a packet time, by each loss.
    assert_eq!(gaps, [0, 1, 2, 3]);
}

/// Shows: 3.2-p
#[test]
fn drt_is_in_a_group_request_whose_user_asked_for_it() {
    let request = to_group(mcb(Code::MRD, 0));
    let (_, step) = Near::start(&Request {
        flags: Control::DRT,
        ..request
    });
    assert_eq!(flags(&step.burst, ALL), [Control::DRT]);
    let (_, step) = Near::start(&request);
    assert_eq!(flags(&step.burst, ALL), [0]);
}

#[test]
fn what_cannot_be_sent_is_refused_and_changes_nothing() {
    let cx = context();
    let mut client = client();
    let before = client;
    let too_long = plain(mcb(0, 4 * 1_024 * 1_024 + 1));
    assert_eq!(client.start(&too_long, &cx), Err(StartError::TooLarge));
    let masked = plain(meant(mcb(0, 16_385), 1));
    assert_eq!(client.start(&masked, &cx), Err(StartError::TooLarge));
    assert_eq!(client, before);
    client
        .start(&plain(mcb(0, 4 * 1_024 * 1_024)), &cx)
        .unwrap();
    let before = client;
    // Decision 31: only an explicit call aborts.
    assert_eq!(client.start(&plain(mcb(0, 0)), &cx), Err(StartError::Open));
    assert_eq!(client, before);
}

/// Shows: III-0101-c
#[test]
fn probe_tells_the_transaction_outstanding_or_else_the_next() {
    let cx = context();
    let mut client = client();
    assert_eq!(client.current_transaction(), t(0));
    let (mut call, _) = client.start(&plain(mcb(0, 0)), &cx).unwrap();
    assert_eq!(client.current_transaction(), t(0));
    client.abort(&mut call);
    assert_eq!(client.current_transaction(), t(1));
    client.start(&plain(mcb(Code::DGM, 0)), &cx).unwrap();
    assert_eq!(client.current_transaction(), t(2));
}

/// A datagram that never left is no open transaction either.
#[test]
fn datagram_whose_server_is_not_found_closes_nothing_else() {
    let cx = context();
    let mut client = client();
    let nowhere = |flags| Request {
        peer: vmtp_proto::peer::Peer::NONE,
        ..common::near::member(mcb(flags, 0), true)
    };
    let (first, _) = client.start(&nowhere(0), &cx).unwrap();
    let (mut datagram, _) = client.start(&nowhere(Code::DGM), &cx).unwrap();
    assert_eq!(first.state(), State::Locating);
    assert_eq!(client.open(), 1);
    datagram.not_located(&mut client);
    assert_eq!(client.open(), 1);
    assert_eq!(client.current_transaction(), t(0));
    assert_eq!(first.deadline(), Time::NEVER);
}
