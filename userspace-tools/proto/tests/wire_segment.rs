// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What management procedures carry in segments: lists and records in XDR, and the records of
//! AuthProbeEntity in clear.

mod wire_reference;

use proptest::prelude::*;
use vmtp_proto::wire::*;
use wire_reference::{checksum, hex};

/// Shows: III-0104-c
#[test]
fn domain_list_has_entity_domains_then_authentication_domains() {
    let mut octets = [0xEE; 16];
    assert_eq!(write_domain_list(&mut octets, &[1, 3], &[7]), Some(12));
    assert_eq!(octets, hex::<16>("00000001 00000003 00000007 EEEEEEEE"));
    assert_eq!(domain_list_octets(2, 1), 12);

    let list = DomainList::parse(&octets, 2, 1).unwrap();
    assert_eq!(list.domains().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(list.auth_domains().collect::<Vec<_>>(), [7]);
    // Nothing for counts of nothing, and nothing when it is too long or too short.
    assert_eq!(write_domain_list(&mut octets, &[], &[]), Some(0));
    assert!(DomainList::parse(&[], 0, 0).is_some());
    assert_eq!(write_domain_list(&mut octets, &[1, 2, 3], &[4, 5]), None);
    assert!(DomainList::parse(&octets, 3, 2).is_none());
    assert!(DomainList::parse(&octets, u32::MAX, u32::MAX).is_none());
}

/// Shows: D-16-d
#[test]
fn parameters_that_do_not_fit_follow_in_the_segment() {
    // QueryGroup with 40 members: memberCount and 40 hypers.
    let members: Vec<Entity> = (1..=40)
        .map(|n| Entity::from_bits(0x2000_0000_0A00_0000 | n))
        .collect();
    let mut segment = [0; 512];
    let mut record = GroupRecordWriter::new(&mut segment).unwrap();
    for member in &members {
        record.push(*member).unwrap();
    }
    let octets = record.finish();
    assert_eq!(octets, 4 + 40 * 8);
    assert_eq!(
        segment[..20],
        hex::<20>("00000028 200000000A000001 200000000A000002")
    );
    assert_eq!(segment[octets - 8..octets], hex::<8>("200000000A000028"));
    let mcb = NoResults {}.encode_with_segment(octets as u32);
    assert_eq!(mcb.code.bits(), 0x1000_0000);
    assert_eq!((mcb.segment_size, mcb.segment_octets()), (324, 324));
    let record = GroupRecord::parse(&segment[..octets]).unwrap();
    assert_eq!(record.count(), 40);
    assert_eq!(record.members().collect::<Vec<_>>(), members);

    // ModifyService with two threads: no count before them, it is a parameter.
    let threads = [
        ThreadRecord {
            priority: 1,
            stack: 0x1000,
            stack_size: 0x200,
            segment: 0x8000,
            segment_size: 0x4000,
        },
        ThreadRecord {
            priority: 2,
            stack: 0x2000,
            stack_size: 0x300,
            segment: 0x9000,
            segment_size: 0x5000,
        },
    ];
    let mut segment = [0; 40];
    let mut writer = Writer::new(&mut segment);
    for thread in &threads {
        thread.write(&mut writer).unwrap();
    }
    assert_eq!(writer.written(), 40);
    assert_eq!(
        segment,
        hex::<40>(
            "00000001 00001000 00000200 00008000 00004000 00000002 00002000 00000300 00009000 00005000"
        )
    );
    assert_eq!(ThreadRecord::list(&segment).collect::<Vec<_>>(), threads);
    let modify = ModifyService {
        entity: Entity::from_bits(5),
        flags: ServiceFlags::THREAD_SERVICE,
        count: 2,
        program_counter: 0x1234,
    };
    let mcb = modify.encode_with_segment(40);
    assert_eq!(mcb.code.bits(), 0x1500_010E);
    assert_eq!(mcb.segment_size, 40);
    assert_eq!(ModifyService::decode(&mcb), Some(modify));
}

#[test]
fn group_record_that_is_full_or_cut() {
    let mut segment = [0xEE; 21];
    let mut record = GroupRecordWriter::new(&mut segment).unwrap();
    assert_eq!(record.push(Entity::from_bits(1)), Some(()));
    assert_eq!(record.push(Entity::from_bits(2)), Some(()));
    assert_eq!(record.push(Entity::from_bits(3)), None);
    assert_eq!(record.finish(), 20);
    let record = GroupRecord::parse(&segment).unwrap();
    assert_eq!(
        record.members().map(Entity::bits).collect::<Vec<_>>(),
        [1, 2]
    );
    assert!(GroupRecord::parse(&segment[..19]).is_none());
    assert!(GroupRecord::parse(&[0xFF; 64]).is_none());
    assert!(GroupRecord::parse(&[0, 0, 0]).is_none());
    assert!(GroupRecordWriter::new(&mut [0; 3]).is_none());
    assert_eq!(GroupRecord::parse(&[0; 4]).unwrap().members().count(), 0);
}

#[test]
fn entity_descriptor_layout() {
    let descriptor = EntityDescriptor {
        entity: Entity::from_bits(0x2000_0041_0A00_0001),
        process: domain1_identifier([10, 0, 0, 1], 1_234),
        principal: domain1_identifier([10, 0, 0, 1], 1_000),
        effective_principal: domain1_identifier([10, 0, 0, 1], 0),
        transaction: Transaction::from_bits(0x1001),
        service: ServiceFlags::SECURITY_REQUIRED,
        count: 16,
        queued: 3,
    };
    let octets = descriptor.to_octets();
    assert_eq!(
        octets,
        hex::<48>(
            "200000410A000001 0A000001000004D2 0A000001000003E8 0A00000100000000
             00001001 00000004 00000010 00000003"
        )
    );
    assert_eq!(EntityDescriptor::from_octets(&octets), Some(descriptor));
    assert_eq!(EntityDescriptor::from_octets(&octets[..16]), None);
}

/// Shows: III-0102-d
#[test]
fn encrypt_type_has_the_xor_of_the_principal() {
    // 0A ^ 00 ^ 00 ^ 01 ^ 00 ^ 00 ^ 03 ^ E8 = E0.
    assert_eq!(encrypt_type(0x0A00_0001_0000_03E8, 1), 0xE000_0001);
    assert_eq!(encrypt_type(0x0102_0408_1020_4080, 0), 0xFF00_0000);
    assert_eq!(encrypt_type(0, 0xFFFF_FFFF), 0x00FF_FFFF);
}

/// Of III-0102-c and III-0102-e the records before encryption.
#[test]
fn authenticators_in_clear() {
    let mut probe = ProbeAuthenticator {
        entity: Entity::from_bits(0x2000_0041_0A00_0001),
        random_id: 0x0102_0304,
        transaction: Transaction::from_bits(0x1001),
        checksum: 0,
    };
    // 2000+0041+0A00+0001 + 0102+0304 + 0000+1001 = 3E49; there is no second cluster.
    assert_eq!(probe.computed_checksum(), 0x3E49_FFFF);
    probe.checksum = probe.computed_checksum();
    let octets = hex::<20>("200000410A000001 01020304 00001001 3E49FFFF");
    assert_eq!(probe.to_octets(), octets);
    assert_eq!(ProbeAuthenticator::from_octets(&octets), Some(probe));

    let mut authenticator = EntityAuthenticator {
        process: 0xA1A2_A3A4_A5A6_A7A8,
        principal: 0xB1B2_B3B4_B5B6_B7B8,
        effective_principal: 0xC1C2_C3C4_C5C6_C7C8,
        key: Key([0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8]),
        key_time_limit: 0xE1E2_E3E4,
        auth_domain: 1,
        auth_checksum: 0,
    };
    let covered = hex::<28>("E1E2E3E4 D1D2D3D4D5D6D7D8 B1B2B3B4B5B6B7B8 C1C2C3C4C5C6C7C8");
    assert_eq!(
        authenticator.computed_checksum().to_be_bytes(),
        checksum(&covered)
    );
    // Process and domain are not covered, everything else is.
    let same = EntityAuthenticator {
        process: 0,
        auth_domain: 9,
        ..authenticator
    };
    assert_eq!(same.computed_checksum(), authenticator.computed_checksum());
    for other in [
        EntityAuthenticator {
            principal: 0,
            ..authenticator
        },
        EntityAuthenticator {
            effective_principal: 0,
            ..authenticator
        },
        EntityAuthenticator {
            key: Key([0; 8]),
            ..authenticator
        },
        EntityAuthenticator {
            key_time_limit: 0,
            ..authenticator
        },
    ] {
        assert_ne!(other.computed_checksum(), authenticator.computed_checksum());
    }
    authenticator.auth_checksum = 0xF1F2_F3F4;
    let octets = hex::<44>(
        "A1A2A3A4A5A6A7A8 B1B2B3B4B5B6B7B8 C1C2C3C4C5C6C7C8 D1D2D3D4D5D6D7D8 E1E2E3E4 00000001 F1F2F3F4",
    );
    assert_eq!(authenticator.to_octets(), octets);
    assert_eq!(
        EntityAuthenticator::from_octets(&octets),
        Some(authenticator)
    );
    assert!(!format!("{authenticator:?}").to_lowercase().contains("d1"));
    assert!(!format!("{authenticator:?}").contains("209"));
}

proptest! {
    #[test]
    fn no_segment_makes_the_readers_panic(
        segment in prop::collection::vec(any::<u8>(), 0..200), domains: u32, auth_domains: u32, small in 0u32..8
    ) {
        for (domains, auth_domains) in [(domains, auth_domains), (small, small), (small, auth_domains)] {
            if let Some(list) = DomainList::parse(&segment, domains, auth_domains) {
                prop_assert_eq!(list.domains().count(), domains as usize);
                prop_assert_eq!(list.auth_domains().count(), auth_domains as usize);
            }
        }
        if let Some(record) = GroupRecord::parse(&segment) {
            prop_assert_eq!(record.members().count(), record.count() as usize);
        }
        prop_assert_eq!(ThreadRecord::list(&segment).count(), segment.len() / 20);
        prop_assert_eq!(EntityDescriptor::from_octets(&segment).is_some(), segment.len() >= 48);
    }

    #[test]
    fn group_record_of_any_size_comes_back(members in prop::collection::vec(any::<u64>(), 0..60), room in 4usize..500) {
        let mut segment = vec![0; room];
        let mut record = GroupRecordWriter::new(&mut segment).unwrap();
        let written = members.iter().map_while(|bits| record.push(Entity::from_bits(*bits))).count();
        let octets = record.finish();
        prop_assert_eq!(octets, 4 + 8 * written);
        prop_assert_eq!(written, members.len().min((room - 4) / 8));
        let record = GroupRecord::parse(&segment[..octets]).unwrap();
        let read: Vec<u64> = record.members().map(Entity::bits).collect();
        prop_assert_eq!(&read[..], &members[..written]);
    }

    #[test]
    fn reader_takes_back_what_the_writer_wrote(words in prop::collection::vec(any::<(u32, u64)>(), 0..8), room in 0usize..100) {
        let mut octets = vec![0; room];
        let mut writer = Writer::new(&mut octets);
        let mut expected = 0;
        for (word, hyper) in &words {
            for (fits, width) in [(writer.u32(*word).is_some(), 4), (writer.u64(*hyper).is_some(), 8)] {
                prop_assert_eq!(fits, expected + width <= room);
                if fits { expected += width; }
            }
        }
        prop_assert_eq!(writer.written(), expected);
        let mut reader = Reader::new(&octets);
        let mut left = room;
        for _ in &words {
            prop_assert_eq!(reader.u32().is_some(), left >= 4);
            left -= if left >= 4 { 4 } else { 0 };
            prop_assert_eq!(reader.u64().is_some(), left >= 8);
            left -= if left >= 8 { 8 } else { 0 };
            prop_assert_eq!(reader.rest().len(), left);
        }
    }
}
