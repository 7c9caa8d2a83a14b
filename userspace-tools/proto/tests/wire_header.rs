// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The 64-octet header: layout octet by octet, golden packets, and what emit and parse do with each
//! other.

mod wire_reference;

use proptest::prelude::*;
use vmtp_proto::wire::{
    Checksum, Code, Control, Entity, Header, Mask, Mcb, Priority, ResponseCode, Transaction,
};
use wire_reference::{checksum, hex};

/// A Request of LE-25593-36.8.0.49 to RG-1-224.0.1.0 with a different pattern in every field.
const REQUEST: &str = "
    200063F9 24080031   Client
    0001 A100           Version 0, Domain 1, HCO, MPG, Length 256
    7055 11C0           APG NSR NER, RetransmitCount 5, ForwardCount 5, gap 17, Priority 12
    01020304            Transaction
    00000003            PacketDelivery
    40000001 E0000100   Server
    35123456            MDM SDA CRE PIC, code 0x123456
    0000002A 0A000001   CoResidentEntity
    A1A2A3A4 B1B2B3B4 C1C2C3C4
    0000000F            MsgDelivery
    00000800            SegmentSize";

/// Only what comes before three blanks in each line counts: the comments have hexadecimal letters
/// too.
fn packet(text: &str) -> [u8; 64] {
    let words: String = text
        .lines()
        .map(|line| line.trim().split("   ").next().unwrap_or(""))
        .collect();
    hex(&words)
}

fn request() -> Header {
    Header {
        client: Entity::from_bits(0x2000_63F9_2408_0031),
        version: 0,
        domain: 1,
        hco: true,
        epg: false,
        mpg: true,
        length: 256,
        control: Control::from_bits(0)
            .with(Control::APG | Control::NSR | Control::NER)
            .with_retransmit_count(5)
            .with_forward_count(5)
            .with_gap(17)
            .with_priority(Priority::URGENT),
        transaction: Transaction::from_bits(0x0102_0304),
        delivery: Mask::from_bits(3),
        server: Entity::MANAGER_GROUP,
        code: Code::new(Code::MDM | Code::SDA | Code::CRE | Code::PIC, 0x12_3456),
        user: hex("0000002A 0A000001 A1A2A3A4 B1B2B3B4 C1C2C3C4"),
        message_delivery: 0x0F,
        segment_size: 0x800,
    }
}

fn emitted(header: &Header) -> [u8; 64] {
    let mut octets = [0xEE; 64];
    header.emit(&mut octets);
    octets
}

/// Shows: D-2-a
#[test]
fn every_field_of_the_header_is_at_its_octets_big_endian() {
    assert_eq!(emitted(&request()), packet(REQUEST));
    assert_eq!(Header::parse(&packet(REQUEST)), request());
    assert_eq!(
        request().coresident(),
        Entity::from_bits(0x0000_002A_0A00_0001)
    );
}

/// Shows: D-2-b
#[test]
fn octets_36_to_55_of_a_response_are_user_data() {
    let mut octets = packet(REQUEST);
    octets[15] |= 1;
    octets[32] &= 0x30;
    let user = hex::<20>("11111111 22222222 33333333 44444444 55555555");
    octets[36..56].copy_from_slice(&user);
    let response = Header::parse(&octets);
    assert!(response.is_response());
    assert_eq!(response.user, user);
    assert_eq!(response.mcb().user, user);
    assert_eq!(emitted(&response), octets);
}

/// Shows: D-2-c
#[test]
fn third_word_is_version_domain_flags_and_length() {
    let word = |header: &Header| {
        let octets = emitted(header);
        u32::from_be_bytes([octets[8], octets[9], octets[10], octets[11]])
    };
    let plain = Header {
        domain: 1,
        ..Header::default()
    };
    assert_eq!(word(&plain), 0x0001_0000);
    assert_eq!(
        word(&Header {
            hco: true,
            length: 256,
            ..plain
        }),
        0x0001_8100
    );
    assert_eq!(word(&Header { epg: true, ..plain }), 0x0001_4000);
    assert_eq!(word(&Header { mpg: true, ..plain }), 0x0001_2000);
    assert_eq!(
        word(&Header {
            version: 5,
            ..plain
        }),
        0xA001_0000
    );
    assert_eq!(
        word(&Header {
            domain: 0x1FFF,
            ..plain
        }),
        0x1FFF_0000
    );
    assert_eq!(
        word(&Header {
            length: 4_096,
            ..plain
        }),
        0x0001_1000
    );
    // A field that is too wide does not run into the next.
    assert_eq!(
        word(&Header {
            version: 0xFF,
            domain: 0,
            ..plain
        }),
        0xE000_0000
    );
    assert_eq!(
        word(&Header {
            domain: 0xFFFF,
            ..plain
        }),
        0x1FFF_0000
    );
    assert_eq!(
        word(&Header {
            length: 0xFFFF,
            ..plain
        }),
        0x0001_1FFF
    );
}

/// Shows: 3.4-e
#[test]
fn reserved_bits_of_a_response_are_sent_as_0() {
    let response = Header {
        control: Control::from_bits(0xFFFF_FFFF),
        code: Code::from_bits(0xFFFF_FFFF),
        ..request()
    };
    let octets = emitted(&response);
    // All but MDG, DRT and the three reserved bits; all but RES, CRE, MRD and PIC.
    assert_eq!(octets[12..16], [0xFB, 0x7F, 0xFF, 0xF1]);
    assert_eq!(octets[32..36], [0xF0, 0xFF, 0xFF, 0xFF]);
    // In a Request they mean something.
    let request = Header {
        control: Control::from_bits(0xFFFF_FFFE),
        ..response
    };
    assert_eq!(emitted(&request)[12..16], [0xFF, 0xFF, 0xFF, 0xF0]);
}

/// Shows: 3.2-l
#[test]
fn reserved_bit_of_the_code_is_sent_as_0() {
    let header = Header {
        code: Code::from_bits(0x0D00_0108),
        ..request()
    };
    assert_eq!(emitted(&header)[32..36], [0x05, 0x00, 0x01, 0x08]);
}

/// Shows: 2.15-a
#[test]
fn sender_tells_the_byte_order_by_lee() {
    let client = Entity::from_bits(0x2000_0001_0A00_0001);
    let server = Entity::from_bits(0x0000_0002_0A00_0002);
    let request = Header {
        client,
        server,
        ..Header::default()
    };
    assert_eq!(request.sender(), client);
    assert!(request.sender().is_little_endian());
    let response = Header {
        control: Control::from_bits(Control::RESPONSE),
        ..request
    };
    assert_eq!(response.sender(), server);
    assert!(!response.sender().is_little_endian());
}

/// The two packets of an isolated call, whole: Request with code 0x123 and 13 octets of segment,
/// Response OK without. The segment's padding is three octets of 0xFF.
#[test]
fn golden_call() {
    let header = packet(
        "20000041 0A000001
         00010004
         00000000
         00001000
         00000001
         20000042 0A000002
         10000123
         00000000 00000000 00000000 00000000 00000000
         00000000
         0000000D",
    );
    let data = hex::<16>("48656C6C 6F2C2057 4F524C44 21FFFFFF");
    let request = Header::parse(&header);
    assert_eq!(
        request,
        Header {
            client: "LE-65-10.0.0.1".parse().unwrap(),
            server: "LE-66-10.0.0.2".parse().unwrap(),
            domain: 1,
            length: 4,
            transaction: Transaction::from_bits(0x1000),
            delivery: Mask::from_bits(1),
            code: Code::new(Code::SDA, 0x123),
            segment_size: 13,
            ..Header::default()
        }
    );
    assert_eq!(request.check(84), Ok(()));
    assert_eq!(request.segment_octets(), 13);
    // First: 2000+0041+0A00+0001 + 0001+0004 + 1000 + 0001 + 2000+0042+0A00+0002 = 648C, and the
    // data 4865+6C6C+6F2C+2057+4F52+4C44+21FF+FFFF = 301E8 -> 01EB: 6677. Second: 1000+0123 + 000D
    // = 1130.
    assert_eq!(Checksum::of(&header, &data), 0x6677_1130);
    assert_eq!(
        checksum(&[&header[..], &data[..]].concat()),
        [0x66, 0x77, 0x11, 0x30]
    );

    let header = packet(
        "20000041 0A000001
         00010000
         00000001
         00001000
         00000000
         20000042 0A000002
         00000000
         00000000 00000000 00000000 00000000 00000000
         00000000
         00000000",
    );
    let response = Header::parse(&header);
    assert!(response.is_response());
    assert_eq!(response.code.response_code(), Some(ResponseCode::Ok));
    assert_eq!(response.check(68), Ok(()));
    // 2000+0041+0A00+0001 + 0001 + 0001 + 1000 + 2000+0042+0A00+0002 = 6488, and nothing.
    assert_eq!(Checksum::of(&header, &[]), 0x6488_FFFF);
}

#[test]
fn groups_of_a_message_follow_from_segment_size_and_cmg() {
    let plain = |segment_size, control| Header {
        code: Code::from_bits(Code::SDA),
        control: Control::from_bits(control),
        segment_size,
        ..Header::default()
    };
    // SegmentSize, CMG, octets of this group, groups of the message.
    let cases = [
        (0, 0, 0, 1),
        (1, 0, 1, 1),
        (16_384, 0, 16_384, 1),
        (16_385, Control::CMG, 16_384, 2),
        (16_385, 0, 1, 2),
        (32_768, Control::CMG, 16_384, 2),
        (32_768, 0, 16_384, 2),
        (40_000, 0, 7_232, 3),
        (4_194_304, 0, 16_384, 256),
        (u32::MAX, 0, 16_383, 262_144),
    ];
    for (segment_size, control, octets, groups) in cases {
        let header = plain(segment_size, control);
        assert_eq!(header.group_octets(), octets, "{segment_size}");
        assert_eq!(header.message_groups(), groups, "{segment_size}");
    }
    let user_data = Header {
        code: Code::default(),
        ..plain(40_000, 0)
    };
    assert_eq!(
        (user_data.segment_octets(), user_data.group_octets()),
        (0, 0)
    );
    assert_eq!(user_data.message_groups(), 1);
}

/// 2.13: what may differ between packets of a group and what may not.
#[test]
fn packets_of_a_group_agree_in_identification_and_mcb() {
    let first = request();
    let mut others = vec![
        Header {
            length: 128,
            delivery: Mask::from_bits(4),
            ..first
        },
        Header {
            hco: false,
            mpg: false,
            ..first
        },
        Header {
            control: first.control.with(Control::APG | Control::NRT).with_gap(3),
            ..first
        },
        Header {
            control: first.control.with_retransmit_count(6),
            ..first
        },
    ];
    assert!(others.iter().all(|other| first.is_same_group(other)));
    others = vec![
        Header {
            client: Entity::from_bits(1),
            ..first
        },
        Header {
            server: Entity::from_bits(1),
            ..first
        },
        Header { domain: 2, ..first },
        Header {
            version: 1,
            ..first
        },
        Header {
            transaction: first.transaction.next(),
            ..first
        },
        Header {
            control: first.control.with(Control::RESPONSE),
            ..first
        },
        Header {
            control: first.control.with(Control::CMG),
            ..first
        },
        Header {
            code: first.code.without(Code::PIC),
            ..first
        },
        Header {
            message_delivery: 7,
            ..first
        },
        Header {
            segment_size: 0x7FF,
            ..first
        },
        first.with_coresident(Entity::ZERO),
    ];
    others.push(Header {
        user: {
            let mut user = first.user;
            user[19] ^= 1;
            user
        },
        ..first
    });
    assert!(!others.iter().any(|other| first.is_same_group(other)));
}

proptest! {
    #[test]
    fn any_64_octets_parse_and_come_back_but_for_reserved_bits(halves: [[u8; 32]; 2], size: usize) {
        let mut octets = [0; 64];
        octets.copy_from_slice(&halves.concat());
        let header = Header::parse(&octets);
        let mut expected = octets;
        expected[15] &= 0xF1;
        expected[32] &= 0xF7;
        if octets[15] & 1 == 1 {
            expected[12] &= 0xFB;
            expected[13] &= 0x7F;
            expected[32] &= 0xF0;
        }
        prop_assert_eq!(emitted(&header), expected);
        // Nothing here may panic.
        for size in [size, size % 20_000, 68 + header.data_octets() as usize] {
            let _ = header.check(size);
            let _ = header.check_message();
        }
        let _ = (header.group_octets(), header.message_groups(), header.mcb().coresident());
        prop_assert!(header.is_same_group(&header));
    }

    #[test]
    fn message_control_block_goes_in_and_out(
        user: [u8; 20], code: u32, message_delivery: u32, segment_size: u32, coresident: u64
    ) {
        let mcb = Mcb { code: Code::from_bits(code), user, message_delivery, segment_size };
        prop_assert_eq!(request().with_mcb(mcb).mcb(), mcb);
        prop_assert_eq!(Mcb::from_parameters(mcb.code, &mcb.parameters()), mcb);
        let coresident = Entity::from_bits(coresident);
        let changed = mcb.with_coresident(coresident);
        prop_assert_eq!(changed.coresident(), coresident);
        prop_assert_eq!(&changed.user[8..], &user[8..]);
        prop_assert_eq!(request().with_mcb(mcb).with_coresident(coresident).mcb(), changed);
    }
}

/// A packet that came right behind another of the same transmission adds its blocks and its length, and nothing else.
#[test]
fn packets_of_one_transmission_are_absorbed() {
    let first = Header {
        delivery: Mask::from_bits(0b11),
        length: 256,
        ..request()
    };
    let next = Header {
        delivery: Mask::from_bits(0b100),
        length: 128,
        ..first
    };
    let mut group = first;
    assert!(group.absorb(&next));
    let both = Header {
        delivery: Mask::from_bits(0b111),
        length: 384,
        ..first
    };
    assert_eq!(group, both);
}

/// Whatever differs in more than its blocks, repeats blocks or comes out of order stays a packet of its own.
#[test]
fn other_packets_are_not_absorbed() {
    let first = Header {
        delivery: Mask::from_bits(0b1100),
        length: 256,
        ..request()
    };
    let behind = Header {
        delivery: Mask::from_bits(0b1_0000),
        ..first
    };
    let others = [
        Header {
            delivery: Mask::from_bits(0b1000),
            ..first
        },
        Header {
            delivery: Mask::from_bits(0b11),
            ..first
        },
        Header {
            delivery: Mask::EMPTY,
            ..first
        },
        Header {
            transaction: first.transaction.plus(1),
            ..behind
        },
        Header {
            control: first.control.with_retransmit_count(6),
            ..behind
        },
        Header {
            segment_size: 4_096,
            ..behind
        },
        Header {
            hco: !first.hco,
            ..behind
        },
    ];
    for other in others {
        let mut group = first;
        assert!(!group.absorb(&other), "{other:?}");
        assert_eq!(group, first);
    }
    let mut none = Header {
        delivery: Mask::EMPTY,
        ..first
    };
    assert!(!none.absorb(&behind));
}
