// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Octets for everything that reads octets: packets, management operations, their segments,
//! identifiers as text, records that were written out.

use vmtp_proto::context::{Context, Policy, Timing};
use vmtp_proto::manager;
use vmtp_proto::peer::Peer;
use vmtp_proto::server::{Remote, Source};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{
    Checksum, DomainList, Entity, GroupRecord, Header, ManagementRequest, Placement, ThreadRecord,
    GROUP_OCTETS,
};
use vmtp_simulator::packet;

/// Reads `input` as everything there is to read, and demands that what was read can be written and
/// read again.
pub fn parse(input: &[u8]) {
    packet_of(input);
    // Once more with the checksum that it ought to have, so that what is behind it is reached.
    if let Some((front, _)) = input.split_last_chunk::<4>() {
        if let Some((head, data)) = front.split_first_chunk::<64>() {
            let hco = Header::parse(head).hco;
            let sum = Checksum::of(head, if hco { &[] } else { data });
            packet_of(&[front, &sum.to_be_bytes()].concat());
        }
    }
    segment(input);
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(entity) = text.parse::<Entity>() {
            assert_eq!(entity.to_string().parse(), Ok(entity), "{text}");
        }
    }
    let cx = Context {
        now: Time::from_nanos(1_000_000_000),
        random: 0,
        timing: Timing::UNKNOWN,
        policy: Policy::DEFAULT,
    };
    for has_segment in [false, true] {
        let _ = Remote::restore(input, Peer::inet([10, 0, 0, 1]), has_segment, &cx);
    }
}

fn packet_of(octets: &[u8]) {
    let Ok((header, data)) = packet::decode(octets) else {
        return;
    };
    // What is reserved is sent as 0; all else comes back.
    let (mut once, mut twice) = ([0; 64], [0; 64]);
    header.emit(&mut once);
    Header::parse(&once).emit(&mut twice);
    assert_eq!(once, twice);
    if header.epg {
        // What is encrypted is refused before anything in it is read.
        return;
    }
    for extent in Placement::new(header.delivery, header.group_octets()) {
        assert!((extent.packet_offset + extent.octets) as usize <= data.len());
        assert!(extent.group_offset + extent.octets <= GROUP_OCTETS);
    }
    packet::place(&header, data, 0, &mut Vec::new());
    if let Ok(request) = ManagementRequest::decode(&header.mcb()) {
        let again = ManagementRequest::decode(&request.encode());
        assert_eq!(again, Ok(request));
    }
    for multicast in [false, true] {
        let source = Source {
            peer: Peer::NONE,
            multicast,
        };
        let _ = manager::classify(&header, &source);
    }
    segment(data);
}

/// The segments of management operations.
fn segment(octets: &[u8]) {
    let counts = octets.first_chunk::<2>().copied().unwrap_or_default();
    let [domains, auth] = counts.map(u32::from);
    if let Some(list) = DomainList::parse(octets, domains, auth) {
        assert_eq!(list.domains().count(), domains as usize);
        assert_eq!(list.auth_domains().count(), auth as usize);
    }
    if let Some(record) = GroupRecord::parse(octets) {
        let _ = record.members().count();
    }
    let _ = ThreadRecord::list(octets).count();
}
