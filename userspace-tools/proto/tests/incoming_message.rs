// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The receiving side of a message (RFC 1045, 2.13, 2.14): which groups and blocks have come, in whatever order.

mod common;

use common::{at, carrying, mask, mcb, meant, ms, request, t};
use proptest::prelude::*;
use vmtp_proto::incoming::{Incoming, Taken, WINDOW};
use vmtp_proto::wire::{Code, Control, Header, Mask};

/// The packet with these blocks of group `group` of a message of `octets`, from T on.
fn of(octets: u32, group: u32, blocks: u32) -> Header {
    let control = if (group + 1) * 16_384 < octets {
        Control::CMG | Control::NER
    } else {
        0
    };
    let place = if group == 0 { 0 } else { Control::NSR };
    let mut header = request(control | place, t(group), mcb(0, octets));
    header.delivery = mask(blocks);
    header
}

/// 6 groups, the last of 3 blocks, of which one is of 100 octets.
const LONG: u32 = 5 * 16_384 + 1_124;

fn take(incoming: &mut Incoming, group: u32, blocks: u32) -> Taken {
    incoming.take(&of(LONG, group, blocks), at(0))
}

const PART: Taken = Taken::New {
    group_complete: false,
};
const WHOLE: Taken = Taken::New {
    group_complete: true,
};

#[test]
fn groups_complete_one_after_the_other() {
    let mut incoming = Incoming::new(&of(LONG, 0, 1));
    assert_eq!((incoming.groups(), incoming.segment_octets()), (6, LONG));
    assert_eq!((incoming.first(), incoming.last()), (t(0), t(5)));
    for group in 0..6 {
        assert_eq!(incoming.complete_groups(), group);
        assert_eq!(incoming.current(), t(group.into()));
        assert!(!incoming.is_complete());
        let octets = u32::from(group) * 16_384;
        assert_eq!(incoming.contiguous_octets(), octets);
        if group < 5 {
            assert_eq!(take(&mut incoming, group.into(), 0xFFFF_0001), PART);
            assert_eq!(incoming.held(), mask(0xFFFF_0001));
            // Only what is without a gap from the start (2.13).
            assert_eq!(incoming.contiguous_octets(), octets + 512);
            assert_eq!(take(&mut incoming, group.into(), 0x0000_FFFE), WHOLE);
            assert_eq!(incoming.held(), Mask::EMPTY);
        }
    }
    assert_eq!(take(&mut incoming, 5, 0b100), PART);
    assert_eq!(incoming.contiguous_octets(), 5 * 16_384);
    assert_eq!(take(&mut incoming, 5, 0b011), WHOLE);
    assert!(incoming.is_complete());
    assert_eq!((incoming.complete_groups(), incoming.current()), (6, t(6)));
    assert_eq!(incoming.contiguous_octets(), LONG);
    // The blocks of its last group.
    assert_eq!(incoming.held(), mask(0b111));
    for group in 0..6 {
        assert_eq!(take(&mut incoming, group, 0b011), Taken::Repeated);
    }
}

/// OK for a group acknowledges all before it: one behind a gap is not complete yet.
#[test]
fn group_behind_an_incomplete_one_counts_when_that_is_complete() {
    let mut incoming = Incoming::new(&of(LONG, 1, 1));
    assert_eq!(incoming.first(), t(1));
    let mut incoming_from_one = Incoming::starting_at(&of(LONG, 1, 1), t(0));
    assert_eq!(incoming_from_one.first(), t(0));
    assert_eq!(take(&mut incoming_from_one, 2, u32::MAX), PART);
    assert_eq!(take(&mut incoming_from_one, 1, u32::MAX), PART);
    assert_eq!(incoming_from_one.complete_groups(), 0);
    assert_eq!(take(&mut incoming_from_one, 0, u32::MAX), WHOLE);
    assert_eq!(incoming_from_one.complete_groups(), 3);
    assert_eq!(incoming_from_one.contiguous_octets(), 3 * 16_384);
    assert_eq!(take(&mut incoming, 0, 1), Taken::Conflict);
}

#[test]
fn packet_too_far_ahead_is_told_and_not_taken() {
    let mut incoming = Incoming::new(&of(LONG, 0, 1));
    let window = u32::from(WINDOW);
    assert_eq!(take(&mut incoming, window - 1, 1), PART);
    assert_eq!(take(&mut incoming, window, 1), Taken::Ahead);
    take(&mut incoming, 0, u32::MAX);
    assert_eq!(take(&mut incoming, window, 1), PART);
    assert_eq!(take(&mut incoming, window - 1, 1), Taken::Repeated);
}

#[test]
fn transactions_of_the_message_are_those_of_its_groups() {
    let incoming = Incoming::new(&of(LONG, 0, 1));
    for group in 0..6u16 {
        let transaction = t(group.into());
        assert_eq!(incoming.group_of(transaction), Some(group));
        let offset = u32::from(group) * 16_384;
        assert_eq!(incoming.group_offset(transaction), offset);
    }
    for other in [t(6), t(256), t(0).minus(1), t(0x8000_0000)] {
        assert_eq!(incoming.group_of(other), None);
        assert_eq!(incoming.group_offset(other), 0);
    }
    assert!(incoming.is_some() && !Incoming::NONE.is_some());
    // There is nothing that could be missing of no message.
    assert!(Incoming::NONE.is_complete());
    assert_eq!(Incoming::NONE.group_of(t(0)), None);
}

/// 2.13: the groups of a message agree, also if each comes in one packet.
#[test]
fn contradiction_between_whole_groups_is_found() {
    let mut incoming = Incoming::new(&of(LONG, 0, u32::MAX));
    assert_eq!(take(&mut incoming, 0, u32::MAX), WHOLE);
    let mut other = of(LONG, 1, u32::MAX);
    other.user[3] ^= 1;
    assert_eq!(incoming.take(&other, at(0)), Taken::Conflict);
    // And that of a whole message with the part of it that was there.
    let mut incoming = Incoming::new(&of(1_000, 0, 1));
    incoming.take(&of(1_000, 0, 0b01), at(0));
    let mut other = of(1_000, 0, 0b11);
    other.code = Code::new(Code::SDA, 77);
    assert_eq!(incoming.take(&other, at(0)), Taken::Conflict);
    assert_eq!(incoming.take(&of(1_000, 0, 0b11), at(0)), WHOLE);
    // 2.14: SegmentSize is that of the message in every packet.
    let mut incoming = Incoming::new(&of(LONG, 0, 1));
    let longer = of(LONG + 1, 0, 1);
    assert_eq!(incoming.take(&longer, at(0)), Taken::Conflict);
}

#[test]
fn new_blocks_start_the_count_of_retries_over_and_repeated_ones_do_not() {
    let mut incoming = Incoming::new(&of(LONG, 0, 1));
    take(&mut incoming, 0, 0b001);
    for count in 1..4 {
        incoming.retry();
        assert_eq!(incoming.retries(), count);
    }
    assert_eq!(take(&mut incoming, 0, 0b001), Taken::Repeated);
    assert_eq!(take(&mut incoming, 0, 0), Taken::Repeated);
    assert_eq!(incoming.retries(), 3);
    assert_eq!(take(&mut incoming, 0, 0b010), PART);
    assert_eq!(incoming.retries(), 0);
    incoming.retry();
    assert_eq!(take(&mut incoming, 0, u32::MAX), WHOLE);
    assert_eq!(incoming.retries(), 0);
}

/// TC3 and TS1 are about the time between packets with something new.
#[test]
fn time_between_packets_is_measured_from_the_last_that_was_new() {
    let mut incoming = Incoming::new(&of(LONG, 0, 1));
    assert_eq!(incoming.since_last_packet(at(3)), None);
    incoming.take(&of(LONG, 0, 0b001), at(0));
    assert_eq!(incoming.since_last_packet(at(3)), Some(ms(3)));
    incoming.take(&of(LONG, 0, 0b001), at(2));
    assert_eq!(incoming.since_last_packet(at(3)), Some(ms(3)));
    incoming.take(&of(LONG, 0, 0b010), at(4));
    assert_eq!(incoming.since_last_packet(at(5)), Some(ms(1)));
    incoming.retry();
    assert_eq!(incoming.since_last_packet(at(6)), Some(ms(2)));
    // Between two groups there is no gap.
    incoming.take(&of(LONG, 0, u32::MAX), at(7));
    assert_eq!(incoming.since_last_packet(at(9)), None);
}

#[test]
fn wish_for_acknowledgment_is_told_once_whichever_packet_had_it() {
    let mut incoming = Incoming::new(&of(LONG, 0, 1));
    take(&mut incoming, 0, 0b001);
    assert!(!incoming.take_asked());
    let mut asks = of(LONG, 0, 0b010);
    asks.control = asks.control.with(Control::APG);
    incoming.take(&asks, at(0));
    take(&mut incoming, 0, 0b100);
    assert!(incoming.take_asked());
    assert!(!incoming.take_asked());
}

/// 5.9: a message with MDM may be given up as it is, and tells what came.
#[test]
fn message_given_up_is_complete_with_what_came() {
    let header = request(0, t(0), meant(mcb(0, 2_048), 0b1101));
    let mut incoming = Incoming::new(&header);
    assert_eq!(incoming.take(&carrying(header, 0b0100), at(0)), PART);
    incoming.accept_incomplete();
    assert!(incoming.is_complete());
    assert_eq!(incoming.held(), mask(0b0100));
}

/// With MDM the blocks that were not chosen are not waited for (3.2).
#[test]
fn message_with_mdm_is_complete_with_the_blocks_chosen() {
    let header = request(0, t(0), meant(mcb(0, 2_048), 0b1010));
    let mut incoming = Incoming::new(&header);
    assert_eq!(incoming.take(&carrying(header, 0b0010), at(0)), PART);
    assert_eq!(incoming.take(&carrying(header, 0b1000), at(0)), WHOLE);
    assert_eq!(incoming.held(), mask(0b1010));
    // None at all, and no segment at all: one packet is all there is.
    for header in [
        request(0, t(0), meant(mcb(0, 2_048), 0)),
        request(0, t(0), mcb(0, 0)),
    ] {
        let mut incoming = Incoming::new(&header);
        assert_eq!(incoming.take(&header, at(0)), WHOLE);
        assert!(incoming.is_complete());
        assert_eq!(incoming.current(), t(1));
    }
}

proptest! {
    /// Whatever comes, in whatever order: complete is what all blocks of came, and nothing else.
    #[test]
    fn message_is_complete_when_every_block_has_come(
        packets in prop::collection::vec((0u32..6, prop_oneof![any::<u32>(), Just(u32::MAX)]), 0..40)
    ) {
        let all = |group: u32| if group == 5 { 0b111 } else { u32::MAX };
        let mut came = [0u32; 6];
        let mut incoming = Incoming::new(&of(LONG, 0, 1));
        for (group, blocks) in packets {
            let blocks = blocks & all(group);
            let complete = u32::from(incoming.complete_groups());
            let taken = take(&mut incoming, group, blocks);
            let held = came[group as usize];
            let ahead = group >= complete + u32::from(WINDOW);
            if !ahead {
                came[group as usize] |= blocks;
            }
            let through = (0..6).take_while(|group| came[*group as usize] == all(*group)).count() as u32;
            let expected = if ahead {
                Taken::Ahead
            } else if came[group as usize] == held {
                Taken::Repeated
            } else {
                Taken::New { group_complete: through != complete }
            };
            prop_assert_eq!(taken, expected);
            prop_assert_eq!(u32::from(incoming.complete_groups()), through);
            prop_assert_eq!(incoming.is_complete(), through == 6);
            if through < 6 {
                prop_assert_eq!(incoming.held().bits(), came[through as usize]);
            }
        }
    }
}
