// SPDX-License-Identifier: GPL-2.0

//! Received packets that are kept until their message is complete: in the order of the segment, each with its place.

use crate::host::Host;
use crate::kernel::skb::Skb;
use crate::kernel::skb_queue::SkbQueue;
use crate::proto::server::Keep;
use crate::proto::wire::{Header, Placement, BLOCK_OCTETS, HEADER_OCTETS};

/// What a kept packet says.
pub fn header_of(skb: &Skb) -> Option<Header> {
    skb.linear().first_chunk::<64>().map(Header::parse)
}

/// Does with a packet what a step says. Kept packets are in the order of the segment, each with the offset of its group.
pub(super) fn keep(
    host: &Host,
    packets: &mut SkbQueue,
    keep: Keep,
    group_offset: u32,
    skb: Option<Skb>,
) {
    if keep == Keep::Restart {
        *packets = SkbQueue::new();
    }
    let Some(mut skb) = skb else { return };
    if let Keep::Drop(reason) = keep {
        host.discard(skb, reason.into());
        return;
    }
    let lowest = header_of(&skb).map_or(0, |header| header.delivery.bits().trailing_zeros());
    let place = u64::from(group_offset) | u64::from(lowest.min(31));
    settle(&mut skb, place);
    packets.insert_by(skb, |other| {
        other.note().first().is_some_and(|at| *at > place)
    });
}

/// The same of a packet that is all of its message: it is the first and the last.
#[inline]
pub(super) fn single(mut skb: Skb, header: &Header) -> SkbQueue {
    settle(
        &mut skb,
        u64::from(header.delivery.bits().trailing_zeros().min(31)),
    );
    let mut packets = SkbQueue::new();
    packets.push_back(skb);
    packets
}

/// A packet stays for longer, at this place in its message.
#[inline]
fn settle(skb: &mut Skb, place: u64) {
    skb.detach();
    skb.set_note([place, 0, 0, 0]);
}

/// Octets from the start of the segment to the start of a kept packet's group.
pub fn group_offset_of(skb: &Skb) -> u32 {
    let [place, ..] = skb.note();
    // Groups start at multiples of 16,384: the low bits hold the packet's lowest block.
    (place & !31) as u32
}

/// How many octets of a message there are, if they are one row from its start in the first packet alone.
#[inline]
pub fn only_piece(packets: &SkbQueue) -> Option<Piece<'_>> {
    let packet = packets.front().filter(|_| packets.len() == 1)?;
    let header = header_of(packet)?;
    let blocks = header.delivery.bits();
    let is_row = blocks != 0 && blocks & blocks.wrapping_add(1) == 0;
    // One that others are coupled to has them behind it.
    let is_alone = packet.linear().len() == packet.len() && group_offset_of(packet) == 0;
    let octets = blocks.trailing_ones().saturating_mul(BLOCK_OCTETS);
    (is_row && is_alone).then_some(Piece {
        packet,
        start: 0,
        end: octets.min(header.group_octets()) as usize,
        place: HEADER_OCTETS as usize,
    })
}

/// A row of octets of a message in a kept packet.
pub struct Piece<'a> {
    /// The packet, one of those that were coupled.
    pub packet: &'a Skb,
    /// From where to where in the message.
    pub start: usize,
    pub end: usize,
    /// Where in the packet.
    pub place: usize,
}

/// What of a message is in a kept packet and those coupled to it, in the order of the segment.
pub fn pieces(skb: &Skb) -> impl Iterator<Item = Piece<'_>> {
    let group = group_offset_of(skb) as usize;
    skb.cars().flat_map(move |packet| {
        let placement =
            header_of(packet).map(|header| Placement::new(header.delivery, header.group_octets()));
        placement.into_iter().flatten().map(move |extent| {
            let start = group.saturating_add(extent.group_offset as usize);
            Piece {
                packet,
                start,
                end: start.saturating_add(extent.octets as usize),
                place: (HEADER_OCTETS as usize).saturating_add(extent.packet_offset as usize),
            }
        })
    })
}
