// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What messages contain: a function of the transaction alone, so that whoever receives one can tell
//! whether a single octet is wrong.

use vmtp_proto::wire::{Entity, Mask, BLOCK_OCTETS};

/// Mixes a number, as SplitMix64 does.
pub fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The seed of a Request's segment.
pub fn of_request(op: u64) -> u64 {
    mix(op << 1)
}

/// The seed of a Response's segment. `turn` tells apart the Responses that an idempotent Request
/// gets each time it is executed.
pub fn of_response(op: u64, server: Entity, turn: u32) -> u64 {
    mix(mix(op << 1 | 1) ^ server.bits() ^ u64::from(turn) << 20)
}

fn word(seed: u64, index: u64) -> [u8; 8] {
    // One multiplication a word: segments are megaoctets.
    let x = seed.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    (x ^ (x >> 29)).to_le_bytes()
}

/// A segment.
pub fn segment(seed: u64, octets: u32) -> Vec<u8> {
    let mut segment = vec![0; octets as usize];
    for (index, chunk) in segment.chunks_mut(8).enumerate() {
        let length = chunk.len();
        chunk.copy_from_slice(&word(seed, index as u64)[..length]);
    }
    segment
}

/// The first octet of `data` that is not what a segment of this seed has there.
pub fn difference(seed: u64, data: &[u8]) -> Option<usize> {
    for (index, chunk) in data.chunks(8).enumerate() {
        let right = word(seed, index as u64);
        if chunk != &right[..chunk.len()] {
            let inside = chunk.iter().zip(right).take_while(|(a, b)| **a == *b);
            return Some(index * 8 + inside.count());
        }
    }
    None
}

/// The same for the blocks in `mask` only.
pub fn difference_in(seed: u64, data: &[u8], octets: u32, mask: Mask) -> Option<usize> {
    let right = segment(seed, octets);
    for block in mask.intersect(Mask::for_octets(octets)) {
        let start = (block * BLOCK_OCTETS) as usize;
        let end = (start + BLOCK_OCTETS as usize).min(octets as usize);
        if data.get(start..end) != right.get(start..end) {
            return Some(start);
        }
    }
    None
}
