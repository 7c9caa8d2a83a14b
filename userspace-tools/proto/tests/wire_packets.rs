// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Block masks, packets of a packet group, and where their octets lie, against the RFC's example
//! and naive models.

use proptest::prelude::*;
use vmtp_proto::wire::{
    padded, Checksum, Code, Entity, Extent, Header, Mask, PacketPlan, Packets, Placement,
    Transaction,
};

/// Octets of segment data that fit into a packet of this MTU with an IP header of 20 octets.
fn data_limit(mtu: u32) -> u32 {
    mtu - 20 - 68
}

fn plan(blocks: u32, group_octets: u32, mtu: u32) -> Vec<PacketPlan> {
    Packets::new(Mask::from_bits(blocks), group_octets, data_limit(mtu)).collect()
}

fn extent(packet_offset: u32, group_offset: u32, octets: u32) -> Extent {
    Extent {
        packet_offset,
        group_offset,
        octets,
    }
}

/// The octets of block `block` in a group of `group_octets`, by the book.
fn block_octets(block: u32, group_octets: u32) -> u32 {
    group_octets
        .min(16_384)
        .saturating_sub(block * 512)
        .min(512)
}

/// Shows: 2.13-b
#[test]
fn packets_of_the_example_in_2_13() {
    let packets = plan(0x0000_74FF, 0x1D00, 1_500);
    let deliveries: Vec<u32> = packets
        .iter()
        .map(|packet| packet.delivery.bits())
        .collect();
    assert_eq!(deliveries, [0x3, 0xC, 0x30, 0xC0, 0x1400, 0x6000]);
    let octets: Vec<u32> = packets.iter().map(|packet| packet.octets).collect();
    assert_eq!(octets, [1_024, 1_024, 1_024, 1_024, 1_024, 768]);
    let last: Vec<bool> = packets.iter().map(|packet| packet.last).collect();
    assert_eq!(last, [false, false, false, false, false, true]);
}

/// 2.13: a third block that is short and fits goes into the packet too.
#[test]
fn short_last_block_joins_a_full_packet_if_it_fits() {
    // 1,412 octets of room at MTU 1500: 1,024 and 388.
    assert_eq!(plan(0b111, 1_024 + 388, 1_500).len(), 2);
    assert_eq!(
        plan(0b111, 1_024 + 384, 1_500),
        [PacketPlan {
            delivery: Mask::from_bits(0b111),
            octets: 1_408,
            padded: 1_408,
            last: true
        }]
    );
    // Room for exactly that, and for 8 octets less.
    let packets = |limit| Packets::new(Mask::from_bits(0b111), 1_024 + 384, limit).count();
    assert_eq!((packets(1_408), packets(1_400)), (1, 2));
    // The padding counts: 385 octets are 392.
    assert_eq!(
        Packets::new(Mask::from_bits(0b111), 1_024 + 385, 1_409).count(),
        2
    );
    assert_eq!(
        Packets::new(Mask::from_bits(0b111), 1_024 + 385, 1_416).count(),
        1
    );
}

/// Shows: D-6-a
#[test]
fn blocks_are_packed_in_ascending_order_and_padded_to_8_octets() {
    // 1,500 octets with MDM 0x5: 512 + 476 + 4 octets.
    let packets = plan(0x5, 1_500, 1_500);
    assert_eq!(
        packets,
        [PacketPlan {
            delivery: Mask::from_bits(5),
            octets: 988,
            padded: 992,
            last: true
        }]
    );
    let places: Vec<Extent> = Placement::new(Mask::from_bits(5), 1_500).collect();
    assert_eq!(places, [extent(0, 0, 512), extent(512, 1_024, 476)]);
    // Adjacent blocks are one piece.
    let places: Vec<Extent> = Placement::new(Mask::from_bits(0xF000_00DB), 16_000).collect();
    assert_eq!(
        places,
        [
            extent(0, 0, 1_024),
            extent(1_024, 1_536, 1_024),
            extent(2_048, 3_072, 1_024),
            extent(3_072, 14_336, 1_664)
        ]
    );
    assert_eq!(
        Placement::new(Mask::ALL, 16_384).collect::<Vec<_>>(),
        [extent(0, 0, 16_384)]
    );
}

/// Shows: 2.13-a
#[test]
fn packets_of_a_group_differ_only_in_length_and_delivery() {
    let message = Header {
        client: Entity::from_bits(0x2000_0041_0A00_0001),
        server: Entity::from_bits(0x2000_0042_0A00_0002),
        domain: 1,
        transaction: Transaction::from_bits(99),
        code: Code::new(Code::SDA, 0x77),
        user: [0xAB; 20],
        message_delivery: 0x1234_5678,
        segment_size: 16_384,
        ..Header::default()
    };
    let mut template = [0; 64];
    message.emit(&mut template);
    for mtu in [600, 1_500, 9_000, 65_535] {
        let packets = plan(u32::MAX, 16_384, mtu);
        assert!(packets.len() <= 32);
        assert_eq!(
            packets.iter().map(|packet| packet.octets).sum::<u32>(),
            16_384
        );
        for packet in packets {
            let mut octets = [0; 64];
            message.with_packet(&packet).emit(&mut octets);
            for at in (0..64).filter(|at| !matches!(at, 10..=11 | 20..=23)) {
                assert_eq!(octets[at], template[at], "octet {at}");
            }
            assert_eq!(octets[10] >> 5, template[10] >> 5, "packet flags");
        }
    }
}

/// Shows: 3.2-n
#[test]
fn padding_is_summed_whatever_it_is_and_not_delivered() {
    let header = Header {
        client: Entity::from_bits(0x2000_0041_0A00_0001),
        server: Entity::from_bits(0x2000_0042_0A00_0002),
        domain: 1,
        length: 4,
        delivery: Mask::from_bits(1),
        code: Code::from_bits(Code::SDA),
        segment_size: 13,
        ..Header::default()
    };
    assert_eq!(header.check(68 + 16), Ok(()));
    let mut octets = [0; 64];
    header.emit(&mut octets);
    let sums = [0x00, 0xFF].map(|padding| {
        let mut data = [0x11; 16];
        data[13..].fill(padding);
        Checksum::of(&octets, &data)
    });
    // 0x00FF and 0xFFFF more in the first sum, which is 0x00FF in ones complement.
    assert_eq!(sums[1] >> 16, (sums[0] >> 16) + 0xFF);
    assert_eq!(sums[1] & 0xFFFF, sums[0] & 0xFFFF);
    assert_eq!(
        Placement::new(header.delivery, 13).collect::<Vec<_>>(),
        [extent(0, 0, 13)]
    );
}

#[test]
fn no_blocks_are_one_packet_without_data() {
    let empty = PacketPlan {
        delivery: Mask::EMPTY,
        octets: 0,
        padded: 0,
        last: true,
    };
    assert_eq!(plan(0, 16_384, 1_500), [empty]);
    assert_eq!(plan(u32::MAX, 0, 1_500), [empty]);
    assert_eq!(Packets::new(Mask::EMPTY, 0, 0).collect::<Vec<_>>(), [empty]);
    assert_eq!(Placement::new(Mask::EMPTY, 16_384).count(), 0);
}

/// VI: one block goes whatever the MTU.
#[test]
fn a_packet_has_a_block_even_if_it_does_not_fit() {
    for limit in [0, 8, 511, 512, 1_023] {
        let packets: Vec<_> = Packets::new(Mask::ALL, 16_384, limit).collect();
        assert_eq!(packets.len(), 32);
        assert!(packets
            .iter()
            .all(|packet| packet.delivery.blocks() == 1 && packet.octets == 512));
    }
    assert_eq!(plan(u32::MAX, 16_384, 600).len(), 32);
    assert_eq!(plan(u32::MAX, 16_384, 65_535).len(), 1);
    assert_eq!(Packets::new(Mask::ALL, u32::MAX, u32::MAX).count(), 1);
}

#[test]
fn masks_of_the_example_in_2_13() {
    let mask = Mask::from_bits(0x0000_74FF);
    assert_eq!(mask.blocks(), 12);
    assert_eq!(mask.octets(0x1D00), 11 * 512 + 256);
    assert_eq!(mask.contiguous_octets(0x1D00), 4_096);
    assert_eq!(
        mask.iter().collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6, 7, 10, 12, 13, 14]
    );
    assert_eq!(Mask::for_octets(0x1D00).bits(), 0x0000_7FFF);
    // "Only the first two and the last two arrived, the receiver would be told that 1024 octets
    // were received."
    assert_eq!(Mask::from_bits(0b11_0011).contiguous_octets(6 * 512), 1_024);
}

#[test]
fn masks_at_the_edges() {
    assert_eq!(Mask::for_octets(0), Mask::EMPTY);
    assert_eq!(Mask::for_octets(1).bits(), 1);
    assert_eq!(Mask::for_octets(512).bits(), 1);
    assert_eq!(Mask::for_octets(513).bits(), 3);
    assert_eq!(Mask::for_octets(15_872).bits(), 0x7FFF_FFFF);
    assert_eq!(Mask::for_octets(15_873), Mask::ALL);
    assert_eq!(Mask::for_octets(16_384), Mask::ALL);
    assert_eq!(Mask::for_octets(u32::MAX), Mask::ALL);
    assert_eq!(Mask::ALL.octets(16_384), 16_384);
    assert_eq!(Mask::ALL.contiguous_octets(16_384), 16_384);
    assert_eq!(Mask::ALL.contiguous_octets(u32::MAX), 16_384);
    assert_eq!(Mask::ALL.contiguous_octets(13), 13);
    assert_eq!(Mask::EMPTY.contiguous_octets(13), 0);
    assert_eq!(Mask::ALL.iter().len(), 32);
    assert!(Mask::ALL.has(31) && !Mask::ALL.has(32));
    assert_eq!(padded(u32::MAX), 0xFFFF_FFF8);
}

proptest! {
    #[test]
    fn mask_algebra_is_that_of_sets(a: u32, b: u32) {
        let (left, right) = (Mask::from_bits(a), Mask::from_bits(b));
        let set = |mask: Mask| mask.iter().collect::<std::collections::BTreeSet<u32>>();
        prop_assert_eq!(set(left.union(right)), &set(left) | &set(right));
        prop_assert_eq!(set(left.intersect(right)), &set(left) & &set(right));
        prop_assert_eq!(set(left.minus(right)), &set(left) - &set(right));
        prop_assert_eq!(left.contains(right), set(left).is_superset(&set(right)));
        prop_assert_eq!(left.is_empty(), set(left).is_empty());
        prop_assert_eq!(left.blocks() as usize, set(left).len());
        prop_assert!((0..40).all(|block| left.has(block) == set(left).contains(&block)));
        prop_assert!(left.union(right).contains(left) && left.contains(left.minus(right)));
    }

    #[test]
    fn octets_of_a_mask_are_those_of_its_blocks(bits: u32, group_octets in 0u32..17_000) {
        let mask = Mask::from_bits(bits);
        let expected: u32 = mask.iter().map(|block| block_octets(block, group_octets)).sum();
        prop_assert_eq!(mask.octets(group_octets), expected);
        let contiguous: u32 =
            (0..32).take_while(|block| mask.has(*block)).map(|block| block_octets(block, group_octets)).sum();
        prop_assert_eq!(mask.contiguous_octets(group_octets), contiguous);
        let covering: Vec<u32> = (0..32).filter(|block| block_octets(*block, group_octets) > 0).collect();
        prop_assert_eq!(Mask::for_octets(group_octets).iter().collect::<Vec<_>>(), covering);
    }

    /// Every block of the group that is asked for, exactly once, in order, in as few packets as
    /// that allows.
    #[test]
    fn packets_cover_exactly_the_blocks(
        blocks in prop_oneof![any::<u32>(), Just(u32::MAX)],
        group_octets in prop_oneof![0u32..=16_384, Just(16_384u32)],
        mtu in prop_oneof![600u32..=65_535, 600u32..=2_000],
    ) {
        let limit = data_limit(mtu);
        let wanted = Mask::from_bits(blocks).intersect(Mask::for_octets(group_octets));
        let packets = plan(blocks, group_octets, mtu);
        let sent: Vec<u32> = packets.iter().flat_map(|packet| packet.delivery.iter()).collect();
        prop_assert_eq!(sent, wanted.iter().collect::<Vec<_>>());
        prop_assert!((1..=32).contains(&packets.len()));
        for (index, packet) in packets.iter().enumerate() {
            prop_assert_eq!(packet.octets, packet.delivery.octets(group_octets));
            prop_assert_eq!(packet.padded, packet.octets.div_ceil(8) * 8);
            prop_assert!(packet.padded <= limit);
            prop_assert_eq!(packet.last, index + 1 == packets.len());
            if let Some(next) = packets.get(index + 1) {
                let first = next.delivery.iter().next().unwrap();
                let more = (packet.octets + block_octets(first, group_octets)).div_ceil(8) * 8;
                prop_assert!(more > limit, "a block more would have fitted");
            }
        }
    }

    /// The octets of a packet, placed piece by piece, are those of its blocks one after the other.
    #[test]
    fn placement_is_the_copy_block_by_block(bits: u32, group_octets in 0u32..=16_384) {
        let mask = Mask::from_bits(bits);
        let mut naive = Vec::new();
        for block in mask.iter() {
            naive.extend((0..block_octets(block, group_octets)).map(|octet| block * 512 + octet));
        }
        let mut placed = Vec::new();
        let mut ends = None;
        for Extent { packet_offset, group_offset, octets } in Placement::new(mask, group_octets) {
            prop_assert_eq!(packet_offset as usize, placed.len());
            prop_assert!(octets > 0);
            prop_assert!(ends.is_none_or(|end| end < group_offset), "adjacent pieces are one");
            ends = Some(group_offset + octets);
            placed.extend(group_offset..group_offset + octets);
        }
        prop_assert_eq!(placed, naive);
    }

    /// What is planned is what a receiver accepts.
    #[test]
    fn every_planned_packet_passes_the_check(segment_size in 0u32..=16_384, mtu in 600u32..=65_535) {
        let message = Header {
            client: Entity::from_bits(0x2000_0041_0A00_0001),
            server: Entity::from_bits(0x2000_0042_0A00_0002),
            domain: 1,
            code: Code::from_bits(Code::SDA),
            segment_size,
            ..Header::default()
        };
        for packet in Packets::new(Mask::ALL, message.group_octets(), data_limit(mtu)) {
            let header = message.with_packet(&packet);
            prop_assert_eq!(header.length % 2, 0);
            prop_assert_eq!(header.check(68 + packet.padded as usize), Ok(()));
        }
    }

    #[test]
    fn no_arguments_make_planning_panic(blocks: u32, group_octets: u32, limit: u32) {
        let mask = Mask::from_bits(blocks);
        prop_assert!(Packets::new(mask, group_octets, limit).count() <= 32);
        prop_assert!(Placement::new(mask, group_octets).count() <= 16);
        let _ = (mask.octets(group_octets), mask.contiguous_octets(group_octets));
    }
}
