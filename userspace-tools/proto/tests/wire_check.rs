// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What one packet can get wrong, each alone: the error it is, and whether it is discarded in
//! silence.

use proptest::prelude::*;
use vmtp_proto::wire::{Code, Control, Entity, Header, Mask, Transaction, WireError};

/// A right Request with 1,000 octets of segment in one packet of 1,068 octets.
fn request() -> Header {
    Header {
        client: Entity::from_bits(0x2000_0041_0A00_0001),
        server: Entity::from_bits(0x2000_0042_0A00_0002),
        domain: 1,
        length: 250,
        transaction: Transaction::from_bits(7),
        delivery: Mask::from_bits(0b11),
        code: Code::new(Code::SDA, 5),
        segment_size: 1_000,
        ..Header::default()
    }
}

/// A right Request without segment, of 68 octets.
fn bare() -> Header {
    Header {
        length: 0,
        delivery: Mask::EMPTY,
        code: Code::from_bits(5),
        segment_size: 0xDEAD_BEEF,
        ..request()
    }
}

/// Checks it in a packet of the size its Length tells.
fn check(header: Header) -> Result<(), WireError> {
    header.check(68 + 4 * usize::from(header.length))
}

#[test]
fn right_packets_pass() {
    assert_eq!(check(request()), Ok(()));
    assert_eq!(check(bare()), Ok(()));
    // An empty segment; a header-only retransmission; the first and the last group of a long
    // message.
    assert_eq!(
        check(Header {
            code: Code::from_bits(Code::SDA),
            segment_size: 0,
            ..bare()
        }),
        Ok(())
    );
    let only = Header {
        length: 0,
        delivery: Mask::EMPTY,
        ..request()
    };
    assert_eq!(
        check(Header {
            control: Control::from_bits(Control::APG),
            ..only
        }),
        Ok(())
    );
    let first = Header {
        control: Control::from_bits(Control::CMG | Control::NER),
        segment_size: 16_385,
        length: 4_096,
        delivery: Mask::ALL,
        ..request()
    };
    assert_eq!(check(first), Ok(()));
    let last = Header {
        control: Control::from_bits(Control::NSR),
        segment_size: 16_385,
        length: 2,
        delivery: Mask::from_bits(1),
        ..request()
    };
    assert_eq!(check(last), Ok(()));
    // What is reserved is ignored, RES in a management code included.
    assert_eq!(
        check(Header {
            code: Code::from_bits(0x0D00_0108),
            ..bare()
        }),
        Ok(())
    );
    let response = Control::from_bits(Control::RESPONSE | Control::MDG | Control::DRT);
    assert_eq!(
        check(Header {
            control: response,
            code: Code::from_bits(0x0F00_0000),
            ..bare()
        }),
        Ok(())
    );
}

#[test]
fn sizes_are_exact_and_some_errors_silent() {
    for size in [0, 1, 12, 63, 64, 67] {
        assert_eq!(bare().check(size), Err(WireError::Runt));
    }
    assert_eq!(bare().check(69), Err(WireError::OddPayload));
    for size in [70, 72, 76, 65_534] {
        assert_eq!(bare().check(size), Err(WireError::PayloadSize));
    }
    assert_eq!(request().check(1_060), Err(WireError::PayloadSize));
    for length in [3, 4_097, 4_098, 8_190, 8_191] {
        assert_eq!(
            check(Header {
                length,
                ..request()
            }),
            Err(WireError::Length),
            "{length}"
        );
    }
    let encrypted = Header {
        epg: true,
        ..request()
    };
    assert_eq!(encrypted.check(1_060), Err(WireError::EncryptedSize));
    assert_eq!(
        check(Header {
            length: 3,
            ..encrypted
        }),
        Err(WireError::EncryptedSize)
    );

    let silent: Vec<_> = WireError::ALL
        .iter()
        .filter(|error| error.silent())
        .collect();
    assert_eq!(
        silent,
        [
            &WireError::Runt,
            &WireError::OddPayload,
            &WireError::Version,
            &WireError::EncryptedSize
        ]
    );
}

/// What an encrypted packet hides cannot be checked, its Client can.
#[test]
fn only_the_clear_part_of_an_encrypted_packet_is_checked() {
    let noise = Header {
        epg: true,
        server: Entity::ZERO,
        delivery: Mask::from_bits(0x8000_0000),
        control: Control::from_bits(0xFFFF_FFFF),
        code: Code::from_bits(0xFFFF_FFFF),
        segment_size: u32::MAX,
        ..request()
    };
    assert_eq!(check(noise), Ok(()));
    assert_eq!(noise.check_message(), Err(WireError::Server));
    assert_eq!(
        check(Header {
            client: Entity::ZERO,
            ..noise
        }),
        Err(WireError::Client)
    );
}

/// Shows: 3.2-a
#[test]
fn version_is_0_and_any_other_is_refused() {
    let mut octets = [0; 64];
    request().emit(&mut octets);
    assert_eq!(octets[8] >> 5, 0);
    for version in 1..8 {
        let header = Header {
            version,
            ..request()
        };
        assert_eq!(check(header), Err(WireError::Version));
        // Its size may be right or not in that version.
        assert_eq!(header.check(100), Err(WireError::Version));
    }
}

/// Shows: 3.1-b
#[test]
fn client_is_a_single_entity() {
    for bits in [
        0,
        0x4000_0041_0A00_0001,
        0x6000_0041_0A00_0001,
        0x1000_0041_0A00_0001,
    ] {
        assert_eq!(
            check(Header {
                client: Entity::from_bits(bits),
                ..bare()
            }),
            Err(WireError::Client)
        );
    }
    for bits in [
        0x0000_0041_0A00_0001,
        0x8000_0041_0A00_0001,
        0xA000_0041_0A00_0001,
    ] {
        assert_eq!(
            check(Header {
                client: Entity::from_bits(bits),
                ..bare()
            }),
            Ok(())
        );
    }
}

#[test]
fn server_is_an_entity_and_a_group_only_in_a_request() {
    for bits in [0, 0x1000_0041_0A00_0001, 0x5000_0041_0A00_0001] {
        assert_eq!(
            check(Header {
                server: Entity::from_bits(bits),
                ..bare()
            }),
            Err(WireError::Server)
        );
    }
    let to_group = Header {
        server: Entity::MANAGER_GROUP,
        ..bare()
    };
    assert_eq!(check(to_group), Ok(()));
    let from_group = Header {
        control: Control::from_bits(Control::RESPONSE),
        ..to_group
    };
    assert_eq!(check(from_group), Err(WireError::Server));
}

/// Shows: 3.2-i
#[test]
fn data_without_sda_is_a_protocol_error() {
    let without = Header {
        code: Code::from_bits(5),
        ..request()
    };
    assert_eq!(check(without), Err(WireError::DataWithoutSegment));
    let length = Header {
        length: 128,
        ..bare()
    };
    assert_eq!(check(length), Err(WireError::DataWithoutSegment));
    let delivery = Header {
        delivery: Mask::from_bits(1),
        ..bare()
    };
    assert_eq!(check(delivery), Err(WireError::DataWithoutSegment));
}

/// Shows: 3.2-m
#[test]
fn message_of_one_group_has_at_most_16384_octets() {
    let header = |segment_size, control| Header {
        length: 0,
        delivery: Mask::EMPTY,
        control: Control::from_bits(control),
        segment_size,
        ..request()
    };
    assert_eq!(check(header(16_384, 0)), Ok(()));
    assert_eq!(check(header(16_385, 0)), Err(WireError::GroupTooLong));
    // The first group of a run of messages is the first group of its message too.
    assert_eq!(
        check(header(16_385, Control::NER)),
        Err(WireError::GroupTooLong)
    );
    assert_eq!(check(header(16_385, Control::NSR)), Ok(()));
    assert_eq!(check(header(16_385, Control::CMG | Control::NER)), Ok(()));
    assert_eq!(check(header(4_194_304, Control::NSR)), Ok(()));
    assert_eq!(
        check(header(4_194_305, Control::NSR)),
        Err(WireError::SegmentTooLong)
    );
    assert_eq!(
        check(header(u32::MAX, Control::CMG | Control::NER)),
        Err(WireError::SegmentTooLong)
    );
}

#[test]
fn continued_message_goes_on_in_the_same_run() {
    let header = |segment_size, control| Header {
        length: 0,
        delivery: Mask::EMPTY,
        control: Control::from_bits(control),
        segment_size,
        ..request()
    };
    assert_eq!(
        check(header(40_000, Control::CMG)),
        Err(WireError::ContinuedEndsRun)
    );
    assert_eq!(
        check(header(40_000, Control::CMG | Control::NSR)),
        Err(WireError::ContinuedEndsRun)
    );
    let continued = Control::CMG | Control::NER;
    assert_eq!(
        check(header(16_384, continued)),
        Err(WireError::NothingContinued)
    );
    assert_eq!(
        check(Header {
            control: Control::from_bits(continued),
            ..bare()
        }),
        Err(WireError::NothingContinued)
    );
}

/// Shows: D-6-b
#[test]
fn data_is_as_long_as_its_blocks() {
    // PacketDelivery 0x3 with 512 octets of data.
    let short = Header {
        length: 128,
        segment_size: 1_024,
        ..request()
    };
    assert_eq!(check(short), Err(WireError::DataLength));
    // SegmentSize, PacketDelivery, octets of data with padding.
    let right = [
        (1_024, 0b11, 1_024),
        (1_000, 0b11, 1_000),
        (1_001, 0b11, 1_008),
        (1_001, 0b10, 496),
        (1_001, 0b01, 512),
        (1_001, 0b00, 0),
        (1, 0b01, 8),
        (8, 0b01, 8),
        (9, 0b01, 16),
        (16_384, 0xFFFF_FFFF, 16_384),
        (16_383, 0xFFFF_FFFF, 16_384),
        (16_376, 0x8000_0001, 1_016),
    ];
    for (segment_size, delivery, octets) in right {
        let header = |octets: u32| Header {
            segment_size,
            delivery: Mask::from_bits(delivery),
            length: (octets / 4) as u16,
            ..request()
        };
        assert_eq!(
            check(header(octets)),
            Ok(()),
            "{segment_size} {delivery:#x}"
        );
        assert!(check(header(octets + 8)).is_err());
        if octets > 0 {
            assert_eq!(check(header(octets - 8)), Err(WireError::DataLength));
        }
    }
}

/// Shows: 3.2-r
#[test]
fn masks_have_no_block_beyond_the_segment() {
    let header = Header {
        segment_size: 1_024,
        length: 256,
        ..request()
    };
    let beyond = Header {
        delivery: Mask::from_bits(0b10_0000),
        length: 128,
        ..header
    };
    assert_eq!(check(beyond), Err(WireError::DeliveryBeyondSegment));
    let beyond = Header {
        delivery: Mask::from_bits(0b110),
        ..header
    };
    assert_eq!(check(beyond), Err(WireError::DeliveryBeyondSegment));

    let masked = Header {
        code: Code::from_bits(Code::SDA | Code::MDM),
        ..header
    };
    assert_eq!(
        check(Header {
            message_delivery: 0b11,
            ..masked
        }),
        Ok(())
    );
    assert_eq!(
        check(Header {
            message_delivery: 0b111,
            ..masked
        }),
        Err(WireError::MessageDeliveryBeyondSegment)
    );
    // Without MDM the word is user data.
    assert_eq!(
        check(Header {
            message_delivery: u32::MAX,
            ..header
        }),
        Ok(())
    );
}

#[test]
fn packet_has_only_blocks_of_the_message_delivery() {
    let masked = Header {
        code: Code::from_bits(Code::SDA | Code::MDM),
        segment_size: 2_048,
        message_delivery: 0b101,
        ..request()
    };
    let packet = |delivery, octets: u16| Header {
        delivery: Mask::from_bits(delivery),
        length: octets / 4,
        ..masked
    };
    assert_eq!(check(packet(0b101, 1_024)), Ok(()));
    assert_eq!(check(packet(0b100, 512)), Ok(()));
    assert_eq!(
        check(packet(0b011, 1_024)),
        Err(WireError::DeliveryBeyondMessage)
    );
    // MsgDelivery is too short for a longer message.
    let long = Header {
        control: Control::from_bits(Control::NSR),
        segment_size: 40_000,
        ..packet(1, 512)
    };
    assert_eq!(check(long), Err(WireError::MaskTooShort));
    // Without a segment there is nothing to mask.
    assert_eq!(
        check(Header {
            code: Code::from_bits(Code::MDM),
            ..bare()
        }),
        Ok(())
    );
}

#[test]
fn names_are_distinct_and_stable() {
    let names: Vec<_> = WireError::ALL.iter().map(|error| error.name()).collect();
    assert_eq!(
        names,
        [
            "runt",
            "odd_payload",
            "version",
            "encrypted_size",
            "length",
            "payload_size",
            "client",
            "server",
            "continued_ends_run",
            "data_without_segment",
            "segment_too_long",
            "group_too_long",
            "nothing_continued",
            "delivery_beyond_segment",
            "data_length",
            "mask_too_short",
            "message_delivery_beyond_segment",
            "delivery_beyond_message",
        ]
    );
}

proptest! {
    /// A packet that passes has octets for all of its blocks, and no block that the group has not.
    #[test]
    fn whatever_passes_can_be_placed(
        control: u32, delivery in prop_oneof![any::<u32>(), 0u32..8, Just(u32::MAX)], length in 0u16..4_100,
        code: u8, message_delivery: u32, segment_size in prop_oneof![0u32..20_000, any::<u32>(), Just(16_384u32)],
    ) {
        let header = Header {
            control: Control::from_bits(control),
            delivery: Mask::from_bits(delivery),
            length,
            code: Code::from_bits(u32::from(code) << 24),
            message_delivery,
            segment_size,
            ..request()
        };
        let octets = header.delivery.octets(header.group_octets());
        // Half of the cases get the Length that fits.
        for length in [length, (octets.div_ceil(8) * 2) as u16] {
            let header = Header { length, ..header };
            if check(header).is_ok() {
                prop_assert!(octets <= 4 * u32::from(length) && 4 * u32::from(length) < octets + 8);
                prop_assert!(header.group_octets() <= 16_384);
                prop_assert!(Mask::for_octets(header.group_octets()).contains(header.delivery));
                prop_assert!(header.message_groups() <= 256);
            }
        }
    }
}
