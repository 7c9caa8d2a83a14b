// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the tests of the state machines share: two hosts' names, a clock that stands where it is
//! put, hand-made headers, and a client and a server record with the host's part of the work.
//!
//! Times are milliseconds after the start of the test. Nothing was measured on the way between the
//! two hosts unless a test says so: TC2 and TS3 are 200 ms, TC1 600 ms, TC3 and TS1 1 ms.

// Each test file uses a part of it.
#![allow(dead_code)]

pub(crate) mod far;
pub(crate) mod near;
pub(crate) mod run;

use vmtp_proto::burst::{Burst, Packet};
use vmtp_proto::context::{Context, Policy, Timing};
use vmtp_proto::peer::Peer;
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{
    padded, Code, Control, Entity, Header, Mask, Mcb, NotifyVmtpClient, NotifyVmtpServer,
    ResponseCode, Transaction,
};

/// A little-endian Client on 10.0.0.1.
pub(crate) const CLIENT: Entity = Entity::from_bits(0x2000_1001_0A00_0001);
/// A little-endian server on 10.0.0.2.
pub(crate) const SERVER: Entity = Entity::from_bits(0x2000_2002_0A00_0002);
/// Another server, on 10.0.0.3.
pub(crate) const OTHER_SERVER: Entity = Entity::from_bits(0x2000_3003_0A00_0003);
/// A well-known group.
pub(crate) const GROUP: Entity = Entity::from_bits(0x4000_0007_E000_0107);

pub(crate) const CLIENT_HOST: Peer = Peer::inet([10, 0, 0, 1]);
pub(crate) const SERVER_HOST: Peer = Peer::inet([10, 0, 0, 2]);
pub(crate) const OTHER_HOST: Peer = Peer::inet([10, 0, 0, 3]);
pub(crate) const GROUP_HOST: Peer = Peer::inet([224, 0, 1, 7]);

/// The first Transaction of the Client.
pub(crate) const T: u32 = 0x0100_0000;
/// A code of the application.
pub(crate) const CODE: u32 = 0x0012_3456;
/// The clock when a test starts, in ms.
const START: u64 = 5_000;
/// Segment data that fits a packet on an Ethernet: 1500 less IP's 20 and our 68 octets.
pub(crate) const DATA_LIMIT: u32 = 1_412;

pub(crate) fn ms(n: u64) -> Span {
    Span::from_millis(n)
}

/// The point `n` ms after the start of the test.
pub(crate) fn at(n: u64) -> Time {
    Time::from_nanos(0).plus(ms(START + n))
}

pub(crate) fn t(offset: u32) -> Transaction {
    Transaction::from_bits(T.wrapping_add(offset))
}

pub(crate) fn mask(bits: u32) -> Mask {
    Mask::from_bits(bits)
}

/// The start of a test, no jitter, nothing measured, everything as by default.
pub(crate) fn context() -> Context {
    Context {
        now: at(0),
        random: 0,
        timing: Timing::UNKNOWN,
        policy: Policy::DEFAULT,
    }
}

/// A message control block with these Code flags and this segment.
pub(crate) fn mcb(flags: u32, segment: u32) -> Mcb {
    let sda = if segment == 0 { 0 } else { Code::SDA };
    Mcb {
        code: Code::new(flags | sda, CODE),
        user: *b"twenty octets of it.",
        message_delivery: 0x0BAD_CAFE,
        segment_size: segment,
    }
}

fn header(control: u32, transaction: Transaction, server: Entity, mcb: Mcb) -> Header {
    Header {
        client: CLIENT,
        version: 0,
        domain: 1,
        hco: false,
        epg: false,
        mpg: false,
        length: 0,
        control: Control::default().with(control),
        transaction,
        delivery: Mask::EMPTY,
        server,
        code: mcb.code,
        user: mcb.user,
        message_delivery: mcb.message_delivery,
        segment_size: mcb.segment_size,
    }
}

/// A Request packet of CLIENT to SERVER without its data.
pub(crate) fn request(control: u32, transaction: Transaction, mcb: Mcb) -> Header {
    header(control, transaction, SERVER, mcb)
}

/// A Response packet of SERVER to CLIENT without its data.
pub(crate) fn response(control: u32, transaction: Transaction, mcb: Mcb) -> Header {
    header(control | Control::RESPONSE, transaction, SERVER, mcb)
}

/// The packet with the data of these blocks.
pub(crate) fn carrying(mut header: Header, blocks: u32) -> Header {
    header.delivery = mask(blocks);
    let octets = header.delivery.octets(header.group_octets());
    header.length = u16::try_from(padded(octets) / 4).unwrap();
    header
}

/// The packet with its own message control block for a group with MDM.
pub(crate) fn meant(mut mcb: Mcb, blocks: u32) -> Mcb {
    mcb.code = mcb.code.with(Code::MDM);
    mcb.message_delivery = blocks;
    mcb
}

/// All packets of a burst on an Ethernet.
pub(crate) fn packets(burst: &Option<Burst>) -> Vec<Packet> {
    let Some(mut burst) = *burst else {
        return Vec::new();
    };
    std::iter::from_fn(|| burst.next(DATA_LIMIT)).collect()
}

/// Their headers.
pub(crate) fn headers(burst: &Option<Burst>) -> Vec<Header> {
    packets(burst).iter().map(|packet| packet.header).collect()
}

/// The one packet of a burst.
pub(crate) fn only(burst: &Option<Burst>) -> Header {
    let headers = headers(burst);
    assert_eq!(headers.len(), 1, "{headers:?}");
    headers[0]
}

/// PacketDelivery of every packet.
pub(crate) fn deliveries(burst: &Option<Burst>) -> Vec<u32> {
    let bits = |header: &Header| header.delivery.bits();
    headers(burst).iter().map(bits).collect()
}

/// Which of `flags` each packet has.
pub(crate) fn flags(burst: &Option<Burst>, flags: u32) -> Vec<u32> {
    let bits = |header: &Header| header.control.bits() & flags;
    headers(burst).iter().map(bits).collect()
}

/// RetransmitCount, which all packets of a burst share.
pub(crate) fn count(burst: &Option<Burst>) -> u8 {
    let counts: Vec<u8> = headers(burst)
        .iter()
        .map(|header| header.control.retransmit_count())
        .collect();
    assert!(!counts.is_empty());
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    counts[0]
}

/// NotifyVmtpClient about CLIENT, whose ctrl has this RetransmitCount.
pub(crate) fn to_client(
    code: ResponseCode,
    transaction: Transaction,
    delivery: u32,
    count: u8,
) -> NotifyVmtpClient {
    NotifyVmtpClient {
        client: CLIENT,
        control: Control::default()
            .with(Control::RESPONSE)
            .with_retransmit_count(count),
        receive_sequence: 0,
        transaction,
        delivery: mask(delivery),
        code: code.code(),
    }
}

/// NotifyVmtpServer from CLIENT to SERVER.
pub(crate) fn to_server(
    code: ResponseCode,
    transaction: Transaction,
    delivery: u32,
) -> NotifyVmtpServer {
    NotifyVmtpServer {
        server: SERVER,
        client: CLIENT,
        transaction,
        delivery: mask(delivery),
        code: code.code(),
    }
}
