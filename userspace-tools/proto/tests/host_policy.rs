// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a host as a whole must do, as far as it is decided without one: two packets a transaction,
//! limits that can be set, identifiers that are not given out again.

mod common;

use std::collections::HashSet;

use common::far::{arrival, with, Far};
use common::near::{client, delivery, plain, Near};
use common::{carrying, context, headers, mcb, only, request, t, CODE, SERVER_HOST};
use vmtp_proto::allocate::Allocator;
use vmtp_proto::client::{Event, Reply};
use vmtp_proto::server::State;
use vmtp_proto::wire::{Code, Header, Mcb};

/// Shows: 1-a
#[test]
fn transaction_of_one_packet_each_way_costs_two_packets() {
    let mut cx = context();
    let mut client = client();
    let mut far = Far::new(&request(0, t(0), mcb(0, 0)));
    let mut packets = 0;
    for number in 0..100 {
        // Data of one packet each way, every other time.
        let segment = 1_000 * (number % 2);
        cx.now = common::at(u64::from(number));
        let (mut call, step) = client.start(&plain(mcb(0, segment)), &cx).unwrap();
        far.cx = cx;
        let mut answers = Vec::new();
        for header in headers(&step.burst) {
            packets += 1;
            let step = far.request(&header);
            assert_eq!((step.burst, step.notify), (None, None));
            let step = far.remote.respond(t(number), &with(mcb(0, segment)), &cx);
            answers = headers(&step.unwrap().burst);
        }
        let mut reply = Reply::EMPTY;
        for header in answers {
            packets += 1;
            let step = call.response(&mut client, &mut reply, &header, SERVER_HOST, true, &cx);
            assert!(matches!(step.event, Event::Response(_)));
            assert_eq!((step.burst, step.notify), (None, None));
        }
        assert_eq!(client.open(), 0);
    }
    assert_eq!(packets, 200);
}

/// Shows: 2.5.4-c
#[test]
fn both_retry_limits_can_be_changed() {
    let transmissions = |retries| {
        let mut cx = context();
        cx.policy.retries = retries;
        let (mut near, _) = Near::start_in(&plain(mcb(0, 0)), cx);
        let mut requests = 1;
        while near.client.open() != 0 {
            near.cx.now = near.call.deadline();
            let step = near.call.timeout(&mut near.client, &near.cx);
            requests += u32::from(step.burst.is_some());
        }
        let mut far = Far::processing(&carrying(request(0, t(0), mcb(0, 512)), 1));
        far.cx.policy.retries = retries;
        far.respond(t(0), mcb(0, 512));
        let mut responses = 1;
        while far.remote.state() == State::Responded {
            far.cx.now = far.remote.deadline();
            responses += u32::from(far.remote.timeout(true, &far.cx).burst.is_some());
        }
        (requests, responses)
    };
    assert_eq!(transmissions(5), (6, 6));
    assert_eq!(transmissions(3), (4, 4));
    assert_eq!(transmissions(0), (1, 1));
}

/// Shows: 2.4-a
#[test]
fn words_without_their_flag_are_user_data_and_arrive_unchanged() {
    let words = Mcb {
        code: Code::new(0, CODE),
        user: *b"CoResid+twelve of it",
        message_delivery: 0x1234_5678,
        segment_size: 0x9ABC_DEF1,
    };
    let through_the_wire = |header: &Header| {
        let mut octets = [0; 64];
        header.emit(&mut octets);
        let parsed = Header::parse(&octets);
        assert_eq!(parsed.check(68), Ok(()));
        parsed
    };
    let (mut near, step) = Near::start(&plain(words));
    let request = through_the_wire(&only(&step.burst));
    assert_eq!(request.mcb(), words);
    let (mut far, step) = Far::with(&request);
    let arrival = arrival(&step);
    assert_eq!(
        (arrival.segment_octets, arrival.message_delivery),
        (0, None)
    );
    let answer = through_the_wire(&only(&far.respond(t(0), words).burst));
    assert_eq!(answer.mcb(), words);
    let step = near.response(&answer);
    let delivery = delivery(&step);
    assert_eq!(
        (delivery.segment_octets, delivery.message_delivery),
        (0, None)
    );
    assert_eq!(delivery.code, None);
}

/// A point in real time, in ns.
const NOW: u64 = 1_795_000_000_000_000_000;
const MS: u64 = 1_000_000;

/// Shows: D-12-c
#[test]
fn discriminators_are_not_repeated_across_a_reload_nor_ahead_of_the_clock() {
    let mut seen = HashSet::new();
    let mut time = NOW;
    for instance in 0..20 {
        // 10,000 in 5 s, in bursts, and then a reload within a millisecond.
        let mut allocator = Allocator::new();
        let mut given = 0;
        while given < 10_000 {
            match allocator.next(time) {
                Some(discriminator) => {
                    assert!(seen.insert(discriminator), "instance {instance}");
                    let unit = (time / 100_000) as u32;
                    let behind = unit.wrapping_sub(discriminator) & 0x07FF_FFFF;
                    assert!(discriminator >> 27 == 1);
                    assert!(behind < 1 << 20, "ahead of the clock");
                    given += 1;
                }
                None => time += 300 * MS,
            }
        }
        time += MS;
    }
}

/// The lower half is nobody's who does not choose it: there are the reserved ones (decision 12).
#[test]
fn discriminators_are_of_the_upper_half_and_begin_anew_there() {
    // 17,950,000,000,000 units of 100 us until NOW; of 2^27 = 134,217,728 each, 133,738 rounds and one begun.
    let begin = 133_739 << 27;
    let mut allocator = Allocator::new();
    let given: Vec<u32> = (begin - 2..begin + 2)
        .map(|unit: u64| allocator.next(unit * 100_000).unwrap())
        .collect();
    assert_eq!(given, [0x0FFF_FFFE, 0x0FFF_FFFF, 0x0800_0000, 0x0800_0001]);
}

#[test]
fn discriminators_rise_and_there_are_enough_at_once() {
    let mut allocator = Allocator::new();
    allocator.next(NOW).unwrap();
    let later = NOW + 10_000 * MS;
    let mut last = 0;
    let mut number = 0;
    while let Some(discriminator) = allocator.next(later) {
        assert!(discriminator > last && discriminator < 1 << 28);
        last = discriminator;
        number += 1;
    }
    assert!(number >= 4_000, "{number}");
    // None for a while, and then one for each 100 us.
    assert_eq!(allocator.next(later), None);
    assert!(allocator.next(later + MS / 10).is_some());
    assert_eq!(allocator.next(later + MS / 10), None);
    // A clock that was set back gives none that was given.
    assert_eq!(allocator.next(NOW), None);
}
