// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Messages of several packet groups of which groups are lost (RFC 1045, 2.11, 2.14).

mod common;

use common::far::{arrival, Far};
use common::{carrying, mcb, request, t};
use vmtp_proto::server::{Drop, Event, Keep};
use vmtp_proto::wire::{Code, Control, Header};

/// All of group `number` of three, of a datagram without retransmission from T+`first` on; all have one message control
/// block.
fn group(first: u32, number: u32, place: u32) -> Header {
    let goes_on = if number < 2 {
        Control::CMG | Control::NER
    } else {
        0
    };
    let behind = if number > 0 { Control::NSR } else { place };
    let control = Control::NRT | goes_on | behind;
    carrying(
        request(control, t(first + number), mcb(Code::DGM, 49_152)),
        u32::MAX,
    )
}

#[test]
fn what_is_left_of_a_message_is_not_put_together_with_the_next() {
    // In a run of its own, and in one run with the first.
    for place in [0, Control::NSR] {
        // The first groups of the first are lost: one, and two.
        for lost in 1..3 {
            let mut far = Far::new(&group(0, lost, place));
            for number in lost..3 {
                let step = far.request(&group(0, number, place));
                assert_eq!((step.event, step.notify), (Event::None, None));
                if number == 2 {
                    assert_eq!(step.keep, Keep::Drop(Drop::Conflict));
                }
            }
            for number in 0..2 {
                let step = far.request(&group(3, number, place));
                assert_eq!(step.event, Event::None);
            }
            let whole = arrival(&far.request(&group(3, 2, place)));
            assert_eq!((whole.transaction, whole.groups), (t(5), 3));
            assert_eq!(whole.segment_octets, 49_152);
        }
    }
}

#[test]
fn a_group_without_nsr_begins_a_message() {
    // Of the first only the second group comes: the number of the next one's first group would be its third.
    let mut far = Far::new(&group(0, 1, 0));
    far.request(&group(0, 1, 0));
    for number in 0..2 {
        assert_eq!(far.request(&group(3, number, 0)).event, Event::None);
    }
    let whole = arrival(&far.request(&group(3, 2, 0)));
    assert_eq!((whole.transaction, whole.groups), (t(5), 3));
}
