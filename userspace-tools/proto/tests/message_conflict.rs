// SPDX-License-Identifier: GPL-2.0 OR MIT

//! RFC 1045, 2.13: packets of a group differ only in what belongs to the packet. One that differs in
//! anything else is a protocol error.

mod common;

use common::{at, carrying, mcb, request, t, GROUP, OTHER_SERVER};
use vmtp_proto::incoming::{begins_transmission, Incoming, Taken};
use vmtp_proto::wire::{Code, Control, Header};

fn first() -> Header {
    let mut header = carrying(request(0, t(0), mcb(0, 1_500)), 0b001);
    header.control = header.control.with_forward_count(2);
    header
}

fn second() -> Header {
    let mut header = carrying(first(), 0b010);
    header.control = header.control.with_forward_count(2);
    header
}

fn taken(second: &Header) -> Taken {
    let mut incoming = Incoming::new(&first());
    incoming.take(&first(), at(0));
    incoming.take(second, at(0))
}

#[test]
fn every_bit_of_the_message_control_block_has_to_agree() {
    let same = Taken::New {
        group_complete: false,
    };
    assert_eq!(taken(&second()), same);
    for octet in 0..20 {
        for bit in 0..8 {
            let mut other = second();
            other.user[octet] ^= 1 << bit;
            assert_eq!(taken(&other), Taken::Conflict, "{octet}.{bit}");
        }
    }
    for bit in 0..32 {
        let mut other = second();
        other.message_delivery ^= 1 << bit;
        assert_eq!(taken(&other), Taken::Conflict, "MsgDelivery {bit}");
        // SDA itself decides what the packet carries.
        let flag = 1 << bit;
        if flag != Code::SDA {
            let mut other = second();
            other.code = Code::from_bits(other.code.bits() ^ flag);
            assert_eq!(taken(&other), Taken::Conflict, "Code {bit}");
        }
    }
    for server in [OTHER_SERVER, GROUP] {
        let other = Header { server, ..second() };
        assert_eq!(taken(&other), Taken::Conflict);
    }
    let mut longer = second();
    longer.segment_size += 1;
    assert_eq!(taken(&longer), Taken::Conflict);
}

#[test]
fn flags_of_the_message_have_to_agree_and_those_of_the_packet_need_not() {
    for flag in [Control::NRT, Control::MDG] {
        let mut other = second();
        other.control = other.control.with(flag);
        assert_eq!(taken(&other), Taken::Conflict, "{flag:#x}");
    }
    let mut other = second();
    other.control = other.control.with_forward_count(3);
    assert_eq!(taken(&other), Taken::Conflict);
    let mut other = second();
    let control = other.control.with(Control::APG).with_retransmit_count(5);
    other.control = control.with_gap(9);
    assert!(matches!(taken(&other), Taken::New { .. }));
}

/// 2.14: the groups of a message have CMG, but the last.
#[test]
fn groups_have_to_say_whether_the_message_goes_on() {
    let group = |number, control| carrying(request(control, t(number), mcb(0, 40_000)), u32::MAX);
    let middle = Control::NSR | Control::NER;
    for (number, control) in [(1, middle), (2, middle | Control::CMG)] {
        let first = group(0, Control::NER | Control::CMG);
        let mut incoming = Incoming::new(&first);
        assert!(matches!(incoming.take(&first, at(0)), Taken::New { .. }));
        let other = group(number, control);
        assert_eq!(incoming.take(&other, at(0)), Taken::Conflict, "{number}");
    }
}

/// A repeated transmission is answered once: for the packet with its first block.
#[test]
fn transmission_begins_with_the_first_block_it_has() {
    let of = |blocks| begins_transmission(&carrying(first(), blocks));
    assert!(of(0b001) && of(0b011) && of(0));
    assert!(!of(0b010) && !of(0b110));
    // With MDM the first block is the first that was chosen.
    let mut chosen = mcb(Code::MDM, 1_500);
    chosen.message_delivery = 0b110;
    let of = |blocks| begins_transmission(&carrying(request(0, t(0), chosen), blocks));
    assert!(of(0b010) && of(0b110) && of(0));
    assert!(!of(0b100) && !of(0b001));
    // Without MDM MsgDelivery is user data.
    let mut plain = mcb(0, 1_500);
    plain.message_delivery = 0b110;
    assert!(begins_transmission(&carrying(
        request(0, t(0), plain),
        0b001
    )));
}
