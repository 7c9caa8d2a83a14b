// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The common case has functions of its own (`client::single`, `server::single`). Whatever state a
//! record is in and whatever packet comes: where they take it they leave what the general ones leave.

mod common;

use common::{
    at, context, packets, t, CLIENT, CLIENT_HOST, CODE, DATA_LIMIT, GROUP, GROUP_HOST, OTHER_HOST,
    SERVER, SERVER_HOST,
};
use vmtp_proto::client::{self, Call, Client, Found, Keep, Reply, ReplyState, Request};
use vmtp_proto::context::Context;
use vmtp_proto::path::GroupFate;
use vmtp_proto::peer::Peer;
use vmtp_proto::server::{self, Presence, Remote, Respond, Service, Source};
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{
    padded, Code, Control, Header, Mask, Mcb, NotifyVmtpServer, Priority, ResponseCode, Transaction,
};

/// Histories of records, and the events of each.
const HISTORIES: u64 = 6_000;
const EVENTS: usize = 14;

/// Numbers without a pattern, the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// Once in `n` times.
    fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize]
    }

    /// Some of these flags, seldom any.
    fn flags(&mut self, of: &[u32]) -> u32 {
        let mut bits = 0;
        while self.one_in(6) {
            bits |= self.pick(of);
        }
        bits
    }

    fn mcb(&mut self) -> Mcb {
        let octets = self.pick(&[
            0, 1, 64, 512, 513, 1_408, 1_409, 1_412, 1_413, 16_384, 20_000,
        ]);
        let mut flags = self.flags(&[Code::MDM, Code::DGM, Code::CMD, Code::CRE, Code::MRD]);
        if octets != 0 {
            flags |= Code::SDA;
        }
        let code = if self.one_in(20) {
            ResponseCode::ResponseDiscarded.bits()
        } else {
            CODE
        };
        Mcb {
            code: Code::new(flags, code),
            user: [self.roll(256) as u8; 20],
            message_delivery: self.pick(&[1, 3, 5, u32::MAX]),
            segment_size: octets,
        }
    }

    fn context(&mut self, now: Time) -> Context {
        let mut cx = context();
        cx.now = now;
        cx.random = self.roll(1 << 32) as u32;
        cx.policy.streaming = !self.one_in(8);
        cx.timing.receive_gap = self.pick(&[0, 0, 7]);
        cx.timing.no_streaming = self.one_in(8);
        if self.one_in(10) {
            cx.timing.pause = Span::from_micros(12);
        }
        cx
    }

    /// A packet, near enough to what is expected to be taken often.
    fn header(&mut self, control: u32, transaction: Transaction) -> Header {
        let mcb = self.mcb();
        let octets = mcb.segment_octets();
        let flags = [
            Control::NSR,
            Control::NER,
            Control::CMG,
            Control::APG,
            Control::NRT,
            Control::STI,
            Control::MDG,
        ];
        let mut delivery = Mask::for_octets(octets.min(16_384));
        if self.one_in(8) {
            delivery = delivery.intersect(Mask::from_bits(self.roll(1 << 32) as u32));
        }
        Header {
            client: CLIENT,
            domain: 1,
            control: Control::default()
                .with(control | self.flags(&flags))
                .with_retransmit_count(self.pick(&[0, 0, 0, 1]))
                .with_forward_count(self.pick(&[0, 0, 0, 0, 1]))
                .with_pg_count(self.pick(&[0, 0, 0, 2]))
                .with_priority(Priority::NORMAL),
            transaction,
            delivery,
            length: (padded(delivery.octets(octets)) / 4) as u16,
            server: SERVER,
            code: mcb.code,
            user: mcb.user,
            message_delivery: mcb.message_delivery,
            segment_size: mcb.segment_size,
            ..Header::default()
        }
    }
}

/// A call as it is after a transaction that is over: whatever it was, nothing of it may shine through.
fn used_call(dice: &mut Dice) -> Call {
    let mut client = Client::new(CLIENT, 1, t(900));
    let request = request(dice);
    let (mut call, _) = client.start(&request, &context()).expect("the first");
    client.abort(&mut call);
    call
}

fn request(dice: &mut Dice) -> Request {
    let multicast = dice.one_in(10);
    let mut mcb = dice.mcb();
    if mcb.code.has(Code::MDM) {
        mcb.segment_size = mcb.segment_size.min(16_384);
    }
    Request {
        server: if multicast { GROUP } else { SERVER },
        peer: if dice.one_in(10) {
            Peer::NONE
        } else if multicast {
            GROUP_HOST
        } else {
            SERVER_HOST
        },
        found: dice.pick(&[Found::Guessed, Found::Certain]),
        multicast,
        mcb,
        flags: dice.flags(&[Control::APG, Control::NRT, Control::MDG, Control::DRT]),
        large_response: dice.one_in(2),
        hco: dice.one_in(4),
        priority: dice.pick(&[Priority::NORMAL, Priority::URGENT]),
        limit: dice.pick(&[Time::NEVER, at(100), at(5_000)]),
        streamed: dice.one_in(4),
        more: dice.one_in(2),
    }
}

#[test]
fn client_in_the_common_case_does_what_it_does_in_general() {
    let (mut started, mut answered) = (0, 0);
    for seed in 0..HISTORIES {
        let mut dice = Dice(seed);
        let mut client = Client::new(CLIENT, 1, t(0));
        let mut call = used_call(&mut dice);
        let mut reply = Reply::EMPTY;
        let mut clock = 0;
        for _ in 0..EVENTS {
            clock += dice.pick(&[0, 1, 30, 700]);
            let cx = dice.context(at(clock));
            match dice.roll(8) {
                0..=2 => {
                    let request = request(&mut dice);
                    let (mut single_client, mut single_call) = (client, used_call(&mut dice));
                    let before = (single_client, single_call);
                    let single = single_client.start_single(
                        &mut single_call,
                        &request,
                        DATA_LIMIT,
                        &cx.timing,
                        cx.policy.streaming,
                        cx.now,
                    );
                    let general = client.start(&request, &cx);
                    let Some(packet) = single else {
                        assert_eq!((single_client, single_call), before, "nothing has changed");
                        if let Ok((begun, _)) = general {
                            (call, reply) = (begun, Reply::EMPTY);
                        }
                        continue;
                    };
                    let (begun, step) = general.expect("the same");
                    assert_eq!((single_client, single_call), (client, begun), "seed {seed}");
                    assert_eq!(packets(&step.burst), [packet], "seed {seed}");
                    let rest = client::Step {
                        burst: None,
                        ..step
                    };
                    assert_eq!(rest, client::Step::NOTHING);
                    (call, reply) = (begun, Reply::EMPTY);
                    started += 1;
                }
                3..=6 => {
                    let number = call.transaction().plus(dice.pick(&[0, 0, 0, 0, 1]));
                    let mut header = dice.header(Control::RESPONSE, number);
                    header.control = header.control.with_forward_count(0);
                    let peer = dice.pick(&[SERVER_HOST, SERVER_HOST, OTHER_HOST]);
                    let waiting = dice.one_in(2);
                    if !call.expects(number) {
                        continue;
                    }
                    let before = (client, call, reply);
                    let (mut c, mut a, mut r) = before;
                    let single = a.response_single(&mut c, &mut r, &header, peer, waiting, cx.now);
                    let step = call.response(&mut client, &mut reply, &header, peer, waiting, &cx);
                    let Some(single) = single else {
                        assert_eq!((c, a, r), before, "nothing has changed");
                        continue;
                    };
                    assert_eq!((c, a, r), (client, call, reply), "seed {seed}");
                    let expected = client::Step {
                        keep: Keep::Restart,
                        round_trip: single.round_trip,
                        received: Some(GroupFate::Clean),
                        event: client::Event::Response(single.delivery),
                        ..client::Step::NOTHING
                    };
                    assert_eq!(step, expected, "seed {seed}");
                    answered += 1;
                }
                _ if reply.state() == ReplyState::Receiving => {
                    call.reply_timeout(&mut client, &mut reply, &cx);
                }
                _ => {
                    call.timeout(&mut client, &cx);
                }
            }
        }
    }
    // They are the common case.
    assert!(started > 3_000 && answered > 500, "{started}, {answered}");
}

#[test]
fn server_in_the_common_case_does_what_it_does_in_general() {
    let (mut received, mut responded) = (0, 0);
    for seed in 0..HISTORIES {
        let mut dice = Dice(seed);
        let first = dice.header(0, t(0));
        let mut remote = Remote::new(&first, SERVER, CLIENT_HOST);
        let mut clock = 0;
        for _ in 0..EVENTS {
            clock += dice.pick(&[0, 1, 30, 700]);
            let cx = dice.context(at(clock));
            match dice.roll(9) {
                0..=3 => {
                    let number = remote.newest().plus(dice.pick(&[1, 1, 1, 0, 2, 256]));
                    let mut header = dice.header(0, number);
                    header.server = dice.pick(&[SERVER, SERVER, SERVER, GROUP]);
                    let source = Source {
                        peer: dice.pick(&[CLIENT_HOST, CLIENT_HOST, OTHER_HOST]),
                        multicast: header.server == GROUP,
                    };
                    let service = Service {
                        waiting: dice.one_in(2),
                        memory: true,
                        room: !dice.one_in(8),
                        probe: dice.one_in(6),
                    };
                    let before = remote;
                    let mut copy = remote;
                    let single = copy.request_single(&header, &source, &service, cx.now);
                    let step = remote.request(&header, &source, &service, &cx);
                    let Some((arrival, fate)) = single else {
                        assert_eq!(copy, before, "nothing has changed");
                        continue;
                    };
                    assert_eq!(copy, remote, "seed {seed}");
                    let expected = server::Step {
                        keep: Keep::Restart,
                        release_retained: true,
                        // Whether there was a segment: the host drops what it has.
                        release: step.release,
                        received: Some(fate),
                        event: server::Event::Request(arrival),
                        ..server::Step::NOTHING
                    };
                    assert_eq!(step, expected, "seed {seed}");
                    received += 1;
                }
                4..=6 => {
                    let respond = Respond {
                        mcb: dice.mcb(),
                        flags: dice.flags(&[Control::APG, Control::NRT, Control::MDG]),
                        hco: dice.one_in(4),
                        priority: dice.pick(&[None, Some(Priority::URGENT)]),
                        earlier: dice.pick(&[0, 0, 0, 1]),
                    };
                    let number = remote.transaction().plus(dice.pick(&[0, 0, 0, 0, 1]));
                    let before = remote;
                    let mut copy = remote;
                    let single = copy.respond_single(
                        number, &respond, DATA_LIMIT, &cx.timing, &cx.policy, cx.now,
                    );
                    let general = remote.respond(number, &respond, &cx);
                    let Some(packet) = single else {
                        assert_eq!(copy, before, "nothing has changed");
                        continue;
                    };
                    let step = general.expect("the same");
                    assert_eq!(copy, remote, "seed {seed}");
                    assert_eq!(packets(&step.burst), [packet], "seed {seed}");
                    let rest = server::Step {
                        burst: None,
                        ..step
                    };
                    assert_eq!(rest, server::Step::NOTHING);
                    responded += 1;
                }
                7 => {
                    let client = dice.pick(&[
                        Presence::Absent,
                        Presence::Private,
                        Presence::At(remote.newest()),
                        Presence::At(t(0)),
                    ]);
                    remote.probed(client, true, &cx);
                }
                _ => {
                    let notify = NotifyVmtpServer {
                        server: SERVER,
                        client: CLIENT,
                        transaction: remote.transaction(),
                        delivery: Mask::ALL,
                        code: dice.pick(&[ResponseCode::Ok, ResponseCode::Retry]).code(),
                    };
                    if dice.one_in(2) {
                        remote.notified(&notify, &cx);
                    } else {
                        remote.timeout(true, &cx);
                    }
                }
            }
        }
    }
    assert!(
        received > 3_000 && responded > 500,
        "{received}, {responded}"
    );
}

/// What the figures of `make bench` are taken with is the common case: a Client that has room for a
/// large Response, a server that answers with as much as it got.
#[test]
fn plain_transaction_of_one_packet_each_way_is_the_common_case() {
    for octets in [0, 64, 1_024, 1_408] {
        let cx = context();
        let sda = if octets == 0 { 0 } else { Code::SDA };
        let mcb = Mcb {
            code: Code::new(sda, CODE),
            segment_size: octets,
            ..Mcb::default()
        };
        let request = Request {
            server: SERVER,
            peer: SERVER_HOST,
            found: Found::Guessed,
            multicast: false,
            mcb,
            flags: 0,
            large_response: true,
            hco: false,
            priority: Priority::NORMAL,
            limit: Time::NEVER,
            streamed: false,
            more: false,
        };
        let mut client = Client::new(CLIENT, 1, t(0));
        let (mut call, mut reply) = (Call::NONE, Reply::EMPTY);
        let sent = client
            .start_single(&mut call, &request, DATA_LIMIT, &cx.timing, true, cx.now)
            .expect("the Request");
        let mut remote = Remote::new(&sent.header, SERVER, CLIENT_HOST);
        let source = Source {
            peer: CLIENT_HOST,
            multicast: false,
        };
        let service = Service {
            waiting: true,
            memory: true,
            room: true,
            probe: false,
        };
        let (arrival, _) = remote
            .request_single(&sent.header, &source, &service, cx.now)
            .expect("it arrives");
        let respond = Respond {
            mcb,
            flags: 0,
            hco: false,
            priority: None,
            earlier: 0,
        };
        let number = arrival.transaction;
        let answer = remote
            .respond_single(number, &respond, DATA_LIMIT, &cx.timing, &cx.policy, cx.now)
            .expect("the Response");
        let single = call
            .response_single(
                &mut client,
                &mut reply,
                &answer.header,
                SERVER_HOST,
                true,
                cx.now,
            )
            .expect("it arrives");
        assert_eq!(single.delivery.segment_octets, octets);
        assert_eq!(answer.header.server, SERVER);
    }
}
