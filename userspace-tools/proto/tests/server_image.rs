// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The image of a record, octet by octet as the project lays it out: what is written on one host is
//! read on any other.

mod common;

use common::context;
use common::OTHER_HOST;
use vmtp_proto::server::{Remote, State, SNAPSHOT_OCTETS};

/// The words of an image, big-endian, in their order.
#[derive(Clone, Copy)]
struct Image {
    client: u64,
    server: u64,
    magic: u32,
    state: u32,
    flags: u32,
    groups: u16,
    domain: u16,
    forward_count: u8,
    priority: u8,
    transaction: u32,
    last: u32,
    answered: u32,
    request: u32,
    control: u32,
    user: [u8; 20],
    message_delivery: u32,
    segment_size: u32,
    code: u32,
    skipped: u64,
}

const IMAGE: Image = Image {
    client: 0x2001_1170_0A00_0001,
    server: 0x2001_1171_0A00_0002,
    magic: 0x564D_5201,
    state: 3,
    flags: 0,
    groups: 3,
    domain: 1,
    forward_count: 9,
    priority: 5,
    transaction: 0x1122_3344,
    last: 0x1122_3346,
    answered: 0x1122_3343,
    request: 0x8040_2050,
    control: 0x2010_3041,
    user: [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
    ],
    message_delivery: 0xA5A5_5A5A,
    segment_size: 0x0102_0304,
    code: 7,
    skipped: 200,
};

/// SDA in a Code word: SegmentSize tells of a segment.
const SDA: u32 = 0x1000_0000;

impl Image {
    fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        octets.extend(self.client.to_be_bytes());
        octets.extend(self.server.to_be_bytes());
        for word in [self.magic, self.state, self.flags] {
            octets.extend(word.to_be_bytes());
        }
        octets.extend(self.groups.to_be_bytes());
        octets.extend(self.domain.to_be_bytes());
        octets.extend([0, 0, self.forward_count, self.priority]);
        for word in [
            self.transaction,
            self.last,
            self.answered,
            self.request,
            self.control,
        ] {
            octets.extend(word.to_be_bytes());
        }
        octets.extend(self.user);
        octets.extend(self.message_delivery.to_be_bytes());
        octets.extend(self.segment_size.to_be_bytes());
        octets.extend(self.code.to_be_bytes());
        octets.extend(self.skipped.to_be_bytes());
        octets
    }

    fn restored(&self, has_segment: bool) -> Option<Remote> {
        Remote::restore(&self.octets(), OTHER_HOST, has_segment, &context())
    }

    /// What is written of it once it was read.
    fn again(&self, has_segment: bool) -> Vec<u8> {
        let remote = self.restored(has_segment).expect("an image");
        remote.snapshot().to_vec()
    }
}

#[test]
fn every_field_comes_back() {
    assert_eq!(IMAGE.octets().len(), SNAPSHOT_OCTETS);
    assert_eq!(IMAGE.again(false), IMAGE.octets());
    let remote = IMAGE.restored(false).expect("an image");
    assert_eq!(remote.client().bits(), IMAGE.client);
    assert_eq!(remote.server().bits(), IMAGE.server);
    assert_eq!(remote.peer(), OTHER_HOST);
    assert_eq!(remote.transaction().bits(), IMAGE.transaction);
    assert_eq!(remote.newest().bits(), IMAGE.last);
    assert_eq!(remote.forward_count(), 9);
    assert_eq!(remote.response_code().bits(), 7);
    assert!(!remote.is_probed() && !remote.is_receiving() && !remote.is_probing());
}

/// probed, multicast, STI of the last group, datagram, idempotent, in a run, HCO.
#[test]
fn every_flag_comes_back_alone_and_with_all_others() {
    for bit in 0..7 {
        for flags in [1 << bit, 0x7F & !(1 << bit)] {
            let image = Image { flags, ..IMAGE };
            assert_eq!(image.again(false), image.octets(), "{flags:#x}");
            let remote = image.restored(false).expect("an image");
            assert_eq!(remote.is_probed(), flags & 1 != 0);
        }
    }
}

#[test]
fn every_state_comes_back() {
    for (state, known) in [
        (0, State::AwaitingRequest),
        (1, State::Processing),
        (2, State::Responded),
        (3, State::ResponseDiscarded),
    ] {
        let image = Image { state, ..IMAGE };
        assert_eq!(image.restored(false).expect("an image").state(), known);
        assert_eq!(image.again(false), image.octets());
    }
}

#[test]
fn response_without_its_segment_is_discarded() {
    let kept = Image {
        state: 2,
        code: SDA,
        segment_size: 1_000,
        ..IMAGE
    };
    assert_eq!(kept.again(true), kept.octets());
    let gone = Image { state: 3, ..kept };
    assert_eq!(kept.again(false), gone.octets());
    // One that was not sent has lost nothing.
    let working = Image { state: 1, ..kept };
    assert_eq!(working.again(false), working.octets());
    // Nor has one without a segment.
    let empty = Image { code: 0, ..kept };
    assert_eq!(empty.again(false), empty.octets());
}

#[test]
fn what_is_no_image_is_refused() {
    let bad = [
        (
            "another version",
            Image {
                magic: 0x564D_5202,
                ..IMAGE
            },
        ),
        ("no state", Image { state: 4, ..IMAGE }),
        (
            "the Client is a group",
            Image {
                client: 0x4001_1170_0A00_0001,
                ..IMAGE
            },
        ),
        ("no server", Image { server: 0, ..IMAGE }),
        (
            "more skipped than a Request has",
            Image {
                skipped: 256,
                ..IMAGE
            },
        ),
    ];
    for (what, image) in bad {
        assert!(image.restored(false).is_none(), "{what}");
    }
    let short = &IMAGE.octets()[..SNAPSHOT_OCTETS - 1];
    assert!(Remote::restore(short, OTHER_HOST, false, &context()).is_none());
}
