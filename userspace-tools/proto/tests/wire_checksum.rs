// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The packet checksum, against values worked out by hand and against the slow encoder in
//! `wire_reference`.

mod wire_reference;

use proptest::prelude::*;
use vmtp_proto::wire::{Checksum, Verification};
use wire_reference::{checksum, hex};

/// The checksum of octets given in one piece.
fn sum(octets: &[u8]) -> u32 {
    let mut checksum = Checksum::new();
    checksum.add(octets);
    checksum.finish()
}

/// A packet's covered octets: word i of cluster c is `value(c, i)`.
fn clusters(count: usize, value: impl Fn(usize, usize) -> u16) -> Vec<u8> {
    let mut octets = Vec::new();
    for cluster in 0..count {
        for word in 0..16 {
            octets.extend_from_slice(&value(cluster, word).to_be_bytes());
        }
    }
    octets
}

/// Shows: D-5-a
#[test]
fn odd_clusters_make_the_first_sum_and_even_ones_the_second() {
    // Clusters 1 to 5 hold one word each: 0x0001, 0x0100, 0x0010, 0x2000, 0x0003.
    let words = [0x0001u16, 0x0100, 0x0010, 0x2000, 0x0003];
    let octets = clusters(
        5,
        |cluster, word| if word == cluster { words[cluster] } else { 0 },
    );
    assert_eq!(sum(&octets), 0x0014_2100);

    // A header of 16 words each 0x0102 and 16 words each 0x0304, and 8 octets of data in cluster
    // three: 16 * 0x0102 = 0x1020, + 0x1111 + 0x2222 + 0x3333 + 0x4444 = 0xBACA; 16 * 0x0304 =
    // 0x3040.
    let mut header = [0; 64];
    header.copy_from_slice(&clusters(2, |cluster, _| [0x0102, 0x0304][cluster]));
    let data = hex::<8>("1111 2222 3333 4444");
    assert_eq!(Checksum::of(&header, &data), 0xBACA_3040);
    assert_eq!(Checksum::of(&header, &[]), 0x1020_3040);

    // Carries come back in: 16 * 0xFFFF is 0xFFFF, and one more word of 2 is 2.
    let octets = clusters(3, |cluster, word| match (cluster, word) {
        (0, _) => 0xFFFF,
        (2, 15) => 0x0002,
        _ => 0,
    });
    assert_eq!(sum(&octets), 0x0002_FFFF);
}

/// Shows: D-5-b
#[test]
fn sums_are_sent_as_they_are_with_zero_as_ffff() {
    // No complement, first sum first.
    let octets = clusters(2, |cluster, word| {
        if word == 0 {
            [0x1234, 0x5678][cluster]
        } else {
            0
        }
    });
    assert_eq!(sum(&octets).to_be_bytes(), [0x12, 0x34, 0x56, 0x78]);
    // Nothing but zeros.
    assert_eq!(sum(&[0; 64]), 0xFFFF_FFFF);
    assert_eq!(sum(&[]), 0xFFFF_FFFF);
    // One sum only.
    let octets = clusters(
        2,
        |cluster, word| if cluster == 0 && word == 3 { 7 } else { 0 },
    );
    assert_eq!(sum(&octets), 0x0007_FFFF);
    // Words that add up to 0xFFFF, which is another zero.
    let octets = clusters(2, |_, word| {
        [0xFFF0, 0x000F].get(word).copied().unwrap_or(0)
    });
    assert_eq!(sum(&octets), 0xFFFF_FFFF);
}

/// Shows: D-5-c
#[test]
fn header_only_sums_are_cluster_one_and_cluster_two() {
    let mut header = [0; 64];
    header.copy_from_slice(&clusters(2, |cluster, word| {
        [[0x0A00, 0x00B0], [0x0C0D, 0x0001]][cluster]
            .get(word)
            .copied()
            .unwrap_or(0)
    }));
    assert_eq!(Checksum::of(&header, &[]), 0x0AB0_0C0E);
}

/// 3.2: four zero octets mean that no checksum was computed.
#[test]
fn zero_is_no_checksum_and_anything_else_must_match() {
    let mut checksum = Checksum::new();
    checksum.add(&[1, 2, 3, 4]);
    assert_eq!(checksum.verify(0), Verification::Absent);
    assert_eq!(checksum.verify(0x0406_FFFF), Verification::Correct);
    assert_eq!(checksum.verify(0x0406_0000), Verification::Wrong);
    assert_eq!(checksum.verify(0xFBF9_FFFF), Verification::Wrong);
    // The sums of a packet of zeros are not zero, so that it is not one without checksum.
    assert_eq!(Checksum::new().verify(0xFFFF_FFFF), Verification::Correct);
}

/// Sums of the golden packets' sizes by the slow encoder, with every octet value.
#[test]
fn sizes_around_every_step_agree_with_the_slow_encoder() {
    let octets: Vec<u8> = (0..16_500u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for length in (0..1_200).chain([4_160, 16_384, 16_448, 16_500]) {
        let octets = &octets[..length];
        assert_eq!(sum(octets).to_be_bytes(), checksum(octets), "{length}");
    }
    for length in [0, 64, 256, 320, 4_096, 16_448] {
        let octets = vec![0xFF; length];
        assert_eq!(sum(&octets).to_be_bytes(), checksum(&octets), "{length}");
    }
}

/// Words at which a 64-bit addition carries, just not, or only because of the carry before it.
#[test]
fn every_carry_between_words_of_any_width_counts() {
    let edges = [0, 1, u64::MAX - 1, u64::MAX, 1 << 63, u64::MAX << 32];
    let word = |choice: usize, at: u32| edges[choice / 6usize.pow(at) % 6].to_ne_bytes();
    for choice in 0..6usize.pow(4) {
        let cluster: Vec<u8> = (0..4).flat_map(|at| word(choice, at)).collect();
        // Both sums, in the first 64 octets, and at the end of a long step.
        let stride = [&cluster[..], &cluster[..]].concat();
        let packet = [&[0x7F; 256], &stride[..], &[0; 128], &stride[..]].concat();
        for octets in [&stride, &packet] {
            assert_eq!(sum(octets).to_be_bytes(), checksum(octets), "{cluster:x?}");
        }
        let header = stride.try_into().unwrap();
        assert_eq!(Checksum::of(&header, &[]).to_be_bytes(), checksum(&header));
    }
}

proptest! {
    #[test]
    fn chunks_of_any_length_and_alignment_give_the_same(
        octets in prop::collection::vec(any::<u8>(), 0..2_000),
        cuts in prop::collection::vec(0usize..300, 0..24),
    ) {
        let mut checksum = Checksum::new();
        let mut rest = &octets[..];
        for cut in cuts {
            let (chunk, tail) = rest.split_at(cut.min(rest.len()));
            checksum.add(chunk);
            rest = tail;
        }
        checksum.add(rest);
        prop_assert_eq!(checksum.finish().to_be_bytes(), wire_reference::checksum(&octets));
    }

    #[test]
    fn header_and_data_agree_with_the_slow_encoder(
        header: [[u8; 32]; 2], data in prop::collection::vec(any::<u8>(), 0..1_500)
    ) {
        let mut octets = [0; 64];
        octets.copy_from_slice(&header.concat());
        let packet: Vec<u8> = octets.iter().chain(&data).copied().collect();
        prop_assert_eq!(Checksum::of(&octets, &data).to_be_bytes(), checksum(&packet));
    }

    /// Large words make every carry happen.
    #[test]
    fn carries_are_never_lost(octets in prop::collection::vec(0xF8u8.., 0..1_500)) {
        prop_assert_eq!(sum(&octets).to_be_bytes(), checksum(&octets));
    }

    #[test]
    fn any_single_flipped_bit_is_seen(
        octets in prop::collection::vec(any::<u8>(), 64..512), at: prop::sample::Index, bit in 0..8u8
    ) {
        let before = sum(&octets);
        let mut octets = octets;
        let at = at.index(octets.len());
        octets[at] ^= 1 << bit;
        prop_assert_ne!(sum(&octets), before);
    }
}
