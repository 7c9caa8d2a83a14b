// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The words of the header that have parts: control word, Code word, entity identifiers, Priority,
//! and the order of Transactions. Expected values are written out from RFC 1045 and not computed.

use proptest::prelude::*;
use vmtp_proto::wire::{
    Code, Control, Entity, EntityKind, EntityParseError, Priority, ResponseCode, Transaction,
};

/// Shows: D-3-a
#[test]
fn control_flags_stand_from_the_most_significant_bit_down() {
    let flags = [
        (Control::NRS, 0x8000_0000u32),
        (Control::APG, 0x4000_0000),
        (Control::NSR, 0x2000_0000),
        (Control::NER, 0x1000_0000),
        (Control::NRT, 0x0800_0000),
        (Control::MDG, 0x0400_0000),
        (Control::CMG, 0x0200_0000),
        (Control::STI, 0x0100_0000),
        (Control::DRT, 0x0080_0000),
        (Control::RESPONSE, 0x0000_0001),
    ];
    for (flag, bit) in flags {
        let control = Control::from_bits(0).with(flag);
        assert_eq!(control.bits(), bit);
        assert_eq!(control.with(flag), control);
        assert!(control.has(flag));
        assert!(!Control::from_bits(!bit).has(flag));
        assert_eq!(control.without(flag).bits(), 0);
    }
    let control = Control::from_bits(0)
        .with_retransmit_count(5)
        .with_forward_count(9)
        .with_gap(0x5A)
        .with_priority(Priority::URGENT);
    assert_eq!(control.bits(), 0x0059_5AC0);
    assert_eq!(control.retransmit_count(), 5);
    assert_eq!(control.forward_count(), 9);
    assert_eq!(control.gap(), 0x5A);
    assert_eq!(control.pg_count(), 0x5A);
    assert_eq!(control.priority(), Priority::URGENT);
}

/// Shows: D-3-c
#[test]
fn reserved_control_bits_are_ignored_and_never_sent() {
    assert_eq!(Control::from_bits(0x0000_000E), Control::from_bits(0));
    assert_eq!(Control::from_bits(0xFFFF_FFFF).bits(), 0xFFFF_FFF1);
    assert_eq!(Control::from_bits(0).with(0x0000_000E).bits(), 0);
    assert!(!Control::from_bits(0x0000_000E).has(0x0000_000E));
}

/// Shows: 3.2-f
#[test]
fn lowest_control_bit_alone_tells_a_response() {
    assert!(!Control::from_bits(0xFFFF_FFFE).is_response());
    assert!(Control::from_bits(0x0000_0001).is_response());
}

#[test]
fn retransmit_count_is_modulo_eight() {
    let counts: Vec<u8> = (0..10)
        .map(|count| {
            Control::from_bits(0xFFFF_FFF1)
                .with_retransmit_count(count)
                .retransmit_count()
        })
        .collect();
    assert_eq!(counts, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
}

#[test]
fn forward_count_never_wraps_to_that_of_an_original() {
    assert_eq!(
        Control::from_bits(0).with_forward_count(16).forward_count(),
        15
    );
    assert_eq!(
        Control::from_bits(0).with_forward_count(255).bits(),
        0x000F_0000
    );
}

/// Shows: III-010F-b
#[test]
fn notified_control_word_is_that_of_a_response_to_the_request() {
    // APG NSR NER NRT MDG CMG STI DRT, RetransmitCount 3, ForwardCount 1, InterpacketGap 17,
    // Priority 1000.
    let request = Control::from_bits(0x7FB1_1180);
    assert_eq!(request.in_response(2).bits(), 0x7B31_0281);
    // RetransmitCount 3, Priority 8, ForwardCount 1 and APG.
    assert_eq!(
        Control::from_bits(0x4031_0080).in_response(0).bits(),
        0x4031_0081
    );
    // NRS of a Request is about another sequence.
    assert_eq!(
        Control::from_bits(0x8000_0000).in_response(0).bits(),
        0x0000_0001
    );
}

/// Shows: 3.2-d
#[test]
fn priorities_rank_from_urgent_to_background_with_gradations_inside() {
    let order = [
        0b1100, 0b1101, 0b1110, 0b1111, 0b1000, 0b1001, 0b1010, 0b1011, 0b0000, 0b0001, 0b0010,
        0b0011, 0b0100, 0b0101, 0b0110, 0b0111,
    ];
    for (rank, bits) in order.into_iter().enumerate() {
        assert_eq!(Priority::from_bits(bits).unwrap().rank(), rank as u8);
    }
    assert_eq!(
        [
            Priority::URGENT,
            Priority::IMPORTANT,
            Priority::NORMAL,
            Priority::BACKGROUND
        ]
        .map(Priority::bits),
        [12, 8, 0, 4]
    );
    assert_eq!(Priority::from_bits(16), None);
    assert_eq!(Priority::default(), Priority::NORMAL);
}

/// Shows: D-4-a
#[test]
fn code_flags_stand_from_the_most_significant_bit_down() {
    let flags = [
        (Code::CMD, 0x8000_0000u32),
        (Code::DGM, 0x4000_0000),
        (Code::MDM, 0x2000_0000),
        (Code::SDA, 0x1000_0000),
        (Code::RES, 0x0800_0000),
        (Code::CRE, 0x0400_0000),
        (Code::MRD, 0x0200_0000),
        (Code::PIC, 0x0100_0000),
    ];
    for (flag, bit) in flags {
        let code = Code::new(flag, 0x00AB_CDEF);
        assert_eq!(code.bits(), bit | 0x00AB_CDEF);
        assert_eq!(code.with(flag), code);
        assert!(code.has(flag));
        assert!(!Code::from_bits(!bit).has(flag));
        assert_eq!(code.without(flag).bits(), 0x00AB_CDEF);
        assert_eq!(code.number(), 0x00AB_CDEF);
    }
    // Flags do not come out of the code, nor code out of the flags.
    assert_eq!(Code::new(0x00FF_FFFF, 0xFF00_0001).bits(), 1);
    assert!(!Code::from_bits(0x00FF_FFFF).has(0x00FF_FFFF));
    assert_eq!(Code::from_bits(0).with(0x0012_3456).bits(), 0);
}

/// Shows: I-a
#[test]
fn response_codes_have_the_values_of_appendix_i() {
    let codes = [
        (0, ResponseCode::Ok, "OK"),
        (1, ResponseCode::Retry, "RETRY"),
        (2, ResponseCode::RetryAll, "RETRY_ALL"),
        (3, ResponseCode::Busy, "BUSY"),
        (4, ResponseCode::NonexistentEntity, "NONEXISTENT_ENTITY"),
        (5, ResponseCode::EntityMigrated, "ENTITY_MIGRATED"),
        (6, ResponseCode::NoPermission, "NO_PERMISSION"),
        (7, ResponseCode::NotAwaitingMsg, "NOT_AWAITING_MSG"),
        (8, ResponseCode::VmtpError, "VMTP_ERROR"),
        (9, ResponseCode::MsgtransOverflow, "MSGTRANS_OVERFLOW"),
        (10, ResponseCode::BadTransactionId, "BAD_TRANSACTION_ID"),
        (
            11,
            ResponseCode::StreamingNotSupported,
            "STREAMING_NOT_SUPPORTED",
        ),
        (12, ResponseCode::NoRunRecord, "NO_RUN_RECORD"),
        (13, ResponseCode::RetransTimeout, "RETRANS_TIMEOUT"),
        (14, ResponseCode::UserTimeout, "USER_TIMEOUT"),
        (15, ResponseCode::ResponseDiscarded, "RESPONSE_DISCARDED"),
        (
            16,
            ResponseCode::SecurityNotSupported,
            "SECURITY_NOT_SUPPORTED",
        ),
        (17, ResponseCode::BadReplySegment, "BAD_REPLY_SEGMENT"),
        (18, ResponseCode::SecurityRequired, "SECURITY_REQUIRED"),
        (19, ResponseCode::StreamedResponse, "STREAMED_RESPONSE"),
        (20, ResponseCode::TooManyRetries, "TOO_MANY_RETRIES"),
        (21, ResponseCode::NoPrincipal, "NO_PRINCIPAL"),
        (22, ResponseCode::NoKey, "NO_KEY"),
        (
            23,
            ResponseCode::EncryptionNotSupported,
            "ENCRYPTION_NOT_SUPPORTED",
        ),
        (24, ResponseCode::NoAuthenticator, "NO_AUTHENTICATOR"),
    ];
    assert_eq!(ResponseCode::ALL.len(), codes.len());
    for (value, code, name) in codes {
        assert_eq!(code.bits(), value);
        assert_eq!(ResponseCode::from_bits(value), Some(code));
        assert_eq!(code.name(), name);
        assert_eq!(Code::from(code).bits(), value);
        assert_eq!(
            Code::new(Code::SDA | Code::MDM, value).response_code(),
            Some(code)
        );
    }
    assert_eq!(ResponseCode::from_bits(25), None);
    assert_eq!(ResponseCode::from_bits(0x0080_0000), None);
}

/// Shows: D-10-a
#[test]
fn type_nibble_of_an_identifier_is_rae_grp_lee_or_ugp_res() {
    for nibble in 0..16u64 {
        let entity = Entity::from_bits(nibble << 60 | 1);
        let (rae, grp, lee, res) = (
            nibble & 8 != 0,
            nibble & 4 != 0,
            nibble & 2 != 0,
            nibble & 1 != 0,
        );
        assert_eq!(entity.is_alias(), rae);
        assert_eq!(entity.is_group(), grp);
        assert_eq!(entity.is_little_endian(), lee && !grp);
        assert_eq!(entity.is_unrestricted_group(), lee && grp);
        assert_eq!(entity.has_reserved_bit(), res);
        assert_eq!(entity.is_valid(), !res);
        assert_eq!(entity.is_client(), !res && !grp);
    }
    assert!(!Entity::ZERO.is_valid());
    assert!(!Entity::ZERO.is_client());
}

/// Shows: D-11-b
#[test]
fn well_known_identifiers() {
    assert_eq!(Entity::MANAGER_GROUP.bits(), 0x4000_0001_E000_0100);
    assert_eq!(Entity::DEFAULT_BECLIENT.bits(), 0x0000_0001_E000_0100);
    assert_eq!(Entity::DEFAULT_LECLIENT.bits(), 0x2000_0001_E000_0100);
    assert_eq!(Entity::MANAGER_GROUP.to_string(), "RG-1-224.0.1.0");
    assert_eq!(Entity::DEFAULT_BECLIENT.to_string(), "BE-1-224.0.1.0");
    assert_eq!(Entity::DEFAULT_LECLIENT.to_string(), "LE-1-224.0.1.0");
}

/// Shows: D-11-c
#[test]
fn identifiers_convert_from_and_to_text() {
    let examples = [
        ("LE-25593-36.8.0.49", 0x2000_63F9_2408_0031u64),
        ("BE-25593-36.8.0.49", 0x0000_63F9_2408_0031),
        ("UG-565338-36.8.0.77", 0x6008_A05A_2408_004D),
        ("LEA-7823-36.8.0.77", 0xA000_1E8F_2408_004D),
        ("RG-1-224.0.1.0", 0x4000_0001_E000_0100),
        ("UGA-268435455-255.255.255.255", 0xEFFF_FFFF_FFFF_FFFF),
        ("BE-0-0.0.0.0", 0),
        ("XBE-0-0.0.0.1", 0x1000_0000_0000_0001),
    ];
    for (text, bits) in examples {
        assert_eq!(text.parse(), Ok(Entity::from_bits(bits)), "{text}");
        assert_eq!(Entity::from_bits(bits).to_string(), text);
        assert_eq!(format!("{:?}", Entity::from_bits(bits)), text);
    }
}

#[test]
fn text_that_is_no_identifier_is_refused() {
    use EntityParseError::{Address, Discriminator, Flags, Form};
    let wrong = [
        ("", Form),
        ("LE-1", Form),
        ("LE-1-1.2.3.4-5", Form),
        ("LE--1-1.2.3.4", Form),
        ("-1-1.2.3.4", Flags),
        ("le-1-1.2.3.4", Flags),
        ("LEX-1-1.2.3.4", Flags),
        ("LEAA-1-1.2.3.4", Flags),
        ("A-1-1.2.3.4", Flags),
        ("LÉ-1-1.2.3.4", Flags),
        ("LE--1.2.3.4", Discriminator),
        ("LE-268435456-1.2.3.4", Discriminator),
        ("LE-99999999999-1.2.3.4", Discriminator),
        ("LE-+1-1.2.3.4", Discriminator),
        ("LE-01-1.2.3.4", Discriminator),
        ("LE-0x1-1.2.3.4", Discriminator),
        ("LE- 1-1.2.3.4", Discriminator),
        ("LE-1-", Address),
        ("LE-1-1.2.3", Address),
        ("LE-1-1.2.3.4.", Address),
        ("LE-1-1.2.3.4.5", Address),
        ("LE-1-1.2.3.256", Address),
        ("LE-1-1.2.3.04", Address),
        ("LE-1-1.2..4", Address),
        ("LE-1-1.2.3.4 ", Address),
    ];
    for (text, error) in wrong {
        assert_eq!(text.parse::<Entity>(), Err(error), "{text}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn domain_1_identifier_has_nibble_discriminator_and_address() {
    let address = [10, 0, 0, 1];
    let entity = Entity::domain1(EntityKind::LittleEndian, false, 0x0123_4567, address).unwrap();
    assert_eq!(entity.bits(), 0x2123_4567_0A00_0001);
    assert_eq!(entity.discriminator(), 0x0123_4567);
    assert_eq!(entity.address(), address);
    let kinds = [
        (EntityKind::BigEndian, false, 0x0u64),
        (EntityKind::LittleEndian, false, 0x2),
        (EntityKind::RestrictedGroup, false, 0x4),
        (EntityKind::UnrestrictedGroup, false, 0x6),
        (EntityKind::BigEndian, true, 0x8),
        (EntityKind::LittleEndian, true, 0xA),
        (EntityKind::RestrictedGroup, true, 0xC),
        (EntityKind::UnrestrictedGroup, true, 0xE),
    ];
    for (kind, alias, nibble) in kinds {
        let entity = Entity::domain1(kind, alias, 1, address).unwrap();
        assert_eq!(entity.bits(), nibble << 60 | 0x0000_0001_0A00_0001);
        assert_eq!(entity.kind(), kind);
    }
    assert_eq!(
        Entity::domain1(EntityKind::BigEndian, false, 0x1000_0000, address),
        None
    );
    assert_eq!(
        Entity::domain1(EntityKind::BigEndian, false, 0, [0; 4]),
        None
    );
}

/// Shows: D-13-a
#[test]
fn group_maps_to_its_multicast_address_or_to_232() {
    let group = |text: &str| text.parse::<Entity>().unwrap().host_group();
    assert_eq!(group("RG-1-224.0.1.0"), Some([224, 0, 1, 0]));
    assert_eq!(group("RG-1-239.255.255.255"), Some([239, 255, 255, 255]));
    assert_eq!(group("UG-565338-36.8.0.77"), Some([232, 8, 160, 90]));
    // Only the low 24 bits of the discriminator.
    assert_eq!(group("UG-268435455-240.0.0.1"), Some([232, 255, 255, 255]));
    assert_eq!(group("UG-16777216-223.0.0.1"), Some([232, 0, 0, 0]));
    assert_eq!(group("UGA-565338-36.8.0.77"), Some([232, 8, 160, 90]));
    assert_eq!(group("LE-1-224.0.1.0"), None);
}

#[test]
fn transactions_are_ordered_across_the_wrap() {
    let last = Transaction::from_bits(0xFFFF_FFFF);
    let first = Transaction::from_bits(0);
    assert_eq!(last.next(), first);
    assert_eq!(first.minus(1), last);
    assert_eq!(last.plus(256).bits(), 255);
    assert_eq!(first.since(last), 1);
    assert_eq!(last.since(first), -1);
    assert!(last.is_older_than(first));
    assert!(!first.is_older_than(last));
    assert!(!first.is_older_than(first));
    assert!(Transaction::from_bits(0).is_older_than(Transaction::from_bits(0x7FFF_FFFF)));
    assert!(Transaction::from_bits(0x8000_0001).is_older_than(Transaction::from_bits(0)));
}

proptest! {
    #[test]
    fn transaction_order_is_that_of_the_distance(start: u32, distance in 1u32..0x8000_0000) {
        let earlier = Transaction::from_bits(start);
        let later = earlier.plus(distance);
        prop_assert!(earlier.is_older_than(later));
        prop_assert!(!later.is_older_than(earlier));
        prop_assert_eq!(later.since(earlier), distance as i32);
        prop_assert_eq!(later.minus(distance), earlier);
    }

    #[test]
    fn every_identifier_survives_text(bits: u64) {
        let entity = Entity::from_bits(bits);
        prop_assert_eq!(entity.to_string().parse(), Ok(entity));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[XBLRUEGA0-9.-]{0,24}|.{0,24}") {
        let _ = text.parse::<Entity>();
    }

    #[test]
    fn identifier_of_any_parts_gives_them_back(
        kind in 0..4usize, alias: bool, discriminator in 0u32..0x1000_0000, address: [u8; 4]
    ) {
        let kind = [
            EntityKind::BigEndian,
            EntityKind::LittleEndian,
            EntityKind::RestrictedGroup,
            EntityKind::UnrestrictedGroup,
        ][kind];
        if let Some(entity) = Entity::domain1(kind, alias, discriminator, address) {
            prop_assert!(entity.is_valid());
            prop_assert_eq!(entity.kind(), kind);
            prop_assert_eq!(entity.is_alias(), alias);
            prop_assert_eq!(entity.discriminator(), discriminator);
            prop_assert_eq!(entity.address(), address);
        }
    }

    #[test]
    fn setting_one_control_field_leaves_the_others(
        bits: u32, retransmit: u8, forward in 0u8..16, gap: u8, priority in 0u8..16
    ) {
        let before = Control::from_bits(bits);
        let after = before
            .with_retransmit_count(retransmit)
            .with_forward_count(forward)
            .with_gap(gap)
            .with_priority(Priority::from_bits(priority).unwrap());
        prop_assert_eq!(after.retransmit_count(), retransmit % 8);
        prop_assert_eq!(after.forward_count(), forward);
        prop_assert_eq!(after.gap(), gap);
        prop_assert_eq!(after.priority().bits(), priority);
        prop_assert_eq!(after.bits() & 0xFF80_000F, bits & 0xFF80_0001);
    }
}
