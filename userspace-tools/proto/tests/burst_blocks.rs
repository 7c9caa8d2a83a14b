// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The packets of one transmission (RFC 1045, VII.4): which blocks of which groups, with which flags.

mod common;

use common::{mask, mcb, ms, request, response, t};
use proptest::prelude::*;
use vmtp_proto::burst::{Burst, Extent};
use vmtp_proto::context::Timing;
use vmtp_proto::wire::{Control, Header, Mask};

fn groups_of(octets: u32) -> u16 {
    u16::try_from(octets.div_ceil(16_384)).unwrap().max(1)
}

fn burst(header: Header, first: u16, end: u16, held: u32) -> Burst {
    let held = mask(held);
    let extent = Extent::Groups { first, end, held };
    Burst::new(header, groups_of(header.segment_size), extent, false)
}

/// The time that a burst takes to leave is that of its packets, each of two blocks.
#[test]
fn blocks_left_are_those_not_sent_yet() {
    let mut sending = burst(request(0, t(0), mcb(0, 3 * 16_384)), 0, 3, 0b1111);
    let mut left = 96 - 4;
    assert_eq!(sending.blocks_left(), left);
    while let Some(packet) = sending.next(1_024) {
        left -= packet.header.delivery.blocks();
        assert_eq!(sending.blocks_left(), left);
    }
    assert_eq!((left, sending.is_done()), (0, true));
    // Two of the three groups, one of the three.
    let header = request(0, t(0), mcb(0, 3 * 16_384));
    assert_eq!(burst(header, 1, 3, 0).blocks_left(), 64);
    assert_eq!(burst(header, 1, 2, 0).blocks_left(), 32);
    // Without data there is nothing.
    assert_eq!(burst(request(0, t(0), mcb(0, 0)), 0, 1, 0).blocks_left(), 0);
    let extent = Extent::HeaderOnly { group: 0 };
    let sending = Burst::new(header, 3, extent, true);
    assert!(sending.is_header_only() && !sending.is_done());
    assert_eq!(sending.blocks_left(), 0);
    // A pause of 1 ms between packets of two blocks: 16 packets, 15 pauses.
    let timing = Timing {
        pause: ms(1),
        ..Timing::UNKNOWN
    };
    assert_eq!(timing.leaving(&burst(header, 0, 1, 0)), ms(15));
    assert_eq!(timing.leaving(&burst(header, 0, 1, 0b1)), ms(15));
    assert_eq!(timing.leaving(&burst(header, 0, 1, 0b11)), ms(14));
    assert_eq!(Timing::UNKNOWN.leaving(&burst(header, 0, 3, 0)), ms(0));
}

/// 2.11, 2.14, rfc-contradictions 4: all groups but the last have CMG and NER, all but the first NSR; STI is on the
/// last group of a Request, and on the further groups of a Response; PGcount is that of a Response's first group.
#[test]
fn groups_of_a_message_have_the_flags_of_their_place() {
    const PLACE: u32 = Control::NSR | Control::NER | Control::CMG | Control::STI | Control::APG;
    let flags = |header: Header| -> Vec<u32> {
        let mut sending = burst(header, 0, 3, 0);
        let packets = std::iter::from_fn(|| sending.next(16_384));
        packets.map(|p| p.header.control.bits() & PLACE).collect()
    };
    let (first, middle) = (
        Control::NER | Control::CMG,
        Control::NSR | Control::NER | Control::CMG,
    );
    let message = mcb(0, 40_000);
    assert_eq!(
        flags(request(Control::STI, t(0), message)),
        [first, middle, Control::NSR | Control::STI]
    );
    assert_eq!(
        flags(response(Control::STI, t(0), message)),
        [first, middle | Control::STI, Control::NSR | Control::STI]
    );
    // In the middle of a run.
    let inside = Control::NSR | Control::NER;
    assert_eq!(
        flags(request(inside, t(0), message)),
        [middle, middle, inside]
    );
    let mut header = response(0, t(0), message);
    header.control = header.control.with_pg_count(7);
    let mut sending = burst(header, 0, 3, 0);
    let packets = std::iter::from_fn(|| sending.next(16_384));
    let counts: Vec<u8> = packets.map(|p| p.header.control.pg_count()).collect();
    assert_eq!(counts, [7, 0, 0]);
    // InterpacketGap, which is in its place in a Request, is that of all of them.
    let mut header = request(0, t(0), message);
    header.control = header.control.with_gap(7);
    let mut sending = burst(header, 0, 3, 0);
    let packets = std::iter::from_fn(|| sending.next(16_384));
    assert!(packets.map(|p| p.header.control.gap()).eq([7, 7, 7]));
}

/// 4.9 note 3: one packet that stands for its group.
#[test]
fn packet_without_data_stands_for_its_group() {
    let header = request(0, t(0), mcb(0, 40_000));
    let extent = Extent::HeaderOnly { group: 1 };
    let mut sending = Burst::new(header, 3, extent, true);
    let packet = sending.next(1_024).unwrap();
    assert_eq!(packet.header.transaction, t(1));
    assert_eq!((packet.octets, packet.padded), (0, 0));
    assert_eq!(
        (packet.header.delivery, packet.header.length),
        (Mask::EMPTY, 0)
    );
    assert!(packet.header.control.has(Control::APG));
    assert_eq!(packet.group_offset, 16_384);
    assert!(sending.next(1_024).is_none());
}

proptest! {
    /// Every block of the groups asked for is sent once, in order, and the last group alone asks for acknowledgment.
    #[test]
    fn burst_sends_every_block_of_its_groups_once(
        octets in 0u32..200_000, first in 0u16..12, count in 1u16..5, held: u32, limit in 512u32..20_000,
        acknowledge: bool
    ) {
        let groups = groups_of(octets);
        let first = first.min(groups - 1);
        let end = (first + count).min(groups);
        let header = request(0, t(0), mcb(0, octets));
        let extent = Extent::Groups { first, end: first + count, held: mask(held) };
        let mut sending = Burst::new(header, groups, extent, acknowledge);
        let mut sent = Vec::new();
        let mut packets = 0;
        while let Some(packet) = sending.next(limit) {
            packets += 1;
            let group = packet.header.transaction.since(t(0)) as u16;
            prop_assert_eq!(packet.group_offset, u32::from(group) * 16_384);
            prop_assert_eq!(packet.header.control.has(Control::APG), acknowledge && group + 1 == end);
            prop_assert_eq!(packet.padded, u32::from(packet.header.length) * 4);
            sent.extend(packet.header.delivery.iter().map(|block| (group, block)));
        }
        let mut expected = Vec::new();
        for group in first..end {
            let start = u32::from(group) * 16_384;
            let blocks = Mask::for_octets(octets.saturating_sub(start).min(16_384));
            let skip = if group == first { mask(held) } else { Mask::EMPTY };
            expected.extend(blocks.minus(skip).iter().map(|block| (group, block)));
        }
        prop_assert_eq!(sent, expected);
        prop_assert!(packets >= u32::from(end - first));
    }
}
