// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A packet as octets: what is between the IP header and the wire's end.

use vmtp_proto::wire::{Checksum, Header, Placement, Verification, WireError};

/// Octets of an IPv4 header.
pub const IP_OCTETS: u32 = 20;

/// The octets of a packet: header, the blocks of `group` that its PacketDelivery names, padding,
/// checksum.
pub fn encode(header: &Header, group: &[u8]) -> Vec<u8> {
    let data_octets = header.data_octets() as usize;
    let mut octets = vec![0u8; 64 + data_octets + 4];
    let mut head = [0u8; 64];
    header.emit(&mut head);
    octets[..64].copy_from_slice(&head);
    for extent in Placement::new(header.delivery, header.group_octets()) {
        let from = extent.group_offset as usize;
        let to = 64 + extent.packet_offset as usize;
        let length = extent.octets as usize;
        octets[to..to + length].copy_from_slice(&group[from..from + length]);
    }
    let summed = if header.hco { 64 } else { 64 + data_octets };
    let checksum = Checksum::of(&head, &octets[64..summed]);
    let end = 64 + data_octets;
    octets[end..].copy_from_slice(&checksum.to_be_bytes());
    octets
}

/// The octets of a packet with another header for the same data.
pub fn with_header(header: &Header, octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    let mut head = [0u8; 64];
    header.emit(&mut head);
    if let Some((front, checksum)) = octets.split_last_chunk_mut::<4>() {
        if let Some((place, data)) = front.split_first_chunk_mut::<64>() {
            *place = head;
            let summed = if header.hco { &[][..] } else { &*data };
            *checksum = Checksum::of(&head, summed).to_be_bytes();
        }
    }
    octets
}

/// Why octets are no packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// The checksum is wrong.
    Checksum,
    /// It breaks the format; the header is there if it may be notified.
    Wire(WireError, Option<Header>),
}

/// The header and segment data of a packet that is in order.
pub fn decode(octets: &[u8]) -> Result<(Header, &[u8]), Bad> {
    let Some((head, rest)) = octets.split_first_chunk::<64>() else {
        return Err(Bad::Wire(WireError::Runt, None));
    };
    let Some((data, checksum)) = rest.split_last_chunk::<4>() else {
        return Err(Bad::Wire(WireError::Runt, None));
    };
    let header = Header::parse(head);
    let summed = if header.hco { &[][..] } else { data };
    let mut sum = Checksum::new();
    sum.add(head);
    sum.add(summed);
    let verification = sum.verify(u32::from_be_bytes(*checksum));
    if verification == Verification::Wrong {
        return Err(Bad::Checksum);
    }
    match header.check(octets.len()) {
        Ok(()) => Ok((header, data)),
        Err(error) => {
            let notify = !error.silent() && verification == Verification::Correct;
            Err(Bad::Wire(error, notify.then_some(header)))
        }
    }
}

/// Puts the data of a packet where it belongs in its message, of which `offset` octets lie before
/// its group.
pub fn place(header: &Header, data: &[u8], offset: u32, message: &mut Vec<u8>) {
    for extent in Placement::new(header.delivery, header.group_octets()) {
        let to = (offset + extent.group_offset) as usize;
        let from = extent.packet_offset as usize;
        let length = extent.octets as usize;
        if message.len() < to + length {
            message.resize(to + length, 0);
        }
        message[to..to + length].copy_from_slice(&data[from..from + length]);
    }
}
