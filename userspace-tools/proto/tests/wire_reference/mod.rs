// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The checksum of 3.2 written a second time, word by word as the text says it, and what else the
//! tests of the wire formats share. It uses nothing of the code under test.
#![allow(dead_code)]

/// The four checksum octets of a packet whose covered octets are `covered`.
pub(crate) fn checksum(covered: &[u8]) -> [u8; 4] {
    let mut sums = [0u32; 2];
    for (cluster, octets) in covered.chunks(32).enumerate() {
        for pair in octets.chunks(2) {
            let word = u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            let sum = &mut sums[cluster % 2];
            *sum += word;
            if *sum > 0xFFFF {
                *sum = (*sum & 0xFFFF) + 1;
            }
        }
    }
    let sums = sums.map(|sum| if sum == 0 { 0xFFFF } else { sum });
    [
        (sums[0] >> 8) as u8,
        sums[0] as u8,
        (sums[1] >> 8) as u8,
        sums[1] as u8,
    ]
}

/// Octets from hexadecimal text; anything that is no hexadecimal digit is skipped.
pub(crate) fn hex<const N: usize>(text: &str) -> [u8; N] {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    assert_eq!(digits.len(), 2 * N, "{text}");
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks(2)) {
        *octet = pair[0] << 4 | pair[1];
    }
    octets
}
