// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Any sequence of packets for a host, with time and its own users in between.
//!
//! Host 0 has a server, a group and a Client; all other hosts are whoever made the input. Requests and
//! Responses are drawn from few entities and near Transactions, so that most have to do with
//! something; some are octets as they come.

use vmtp_proto::time::Span;
use vmtp_proto::wire::{
    Checksum, Code, Control, Entity, EntityKind, Header, Mask, Mcb, NotifyVmtpClient,
    NotifyVmtpServer, Parameters, ResponseCode, Transaction,
};
use vmtp_simulator::content;
use vmtp_simulator::host::{Config, Endpoint, Host};
use vmtp_simulator::network::{Faults, Network};
use vmtp_simulator::oracle::{Op, Oracle, Strictness, Wants};
use vmtp_simulator::packet;
use vmtp_simulator::world::Plan;
use vmtp_simulator::{Env, World};

/// Steps of an input that are taken.
const STEPS: usize = 300;

/// Events that may wait at a time: what is beyond is a flood that the host made.
const WAITING: usize = 20_000;

/// Operations of others, which the server answers in different ways.
const THEIRS: usize = 8;

/// Octets of segments that messages say they have.
const SIZES: [u32; 8] = [0, 1, 512, 520, 4_000, 16_384, 40_000, 4_194_304];

/// The input, read from its front; what is beyond its end is 0.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn octet(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn word(&mut self) -> u32 {
        u32::from_be_bytes([self.octet(), self.octet(), self.octet(), self.octet()])
    }

    fn one_of<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        of[usize::from(self.octet()) % N]
    }
}

/// A host, and what it is told.
struct Target {
    world: World,
    server: Entity,
    group: Entity,
    client: Entity,
}

/// Lets `input` happen to a host.
pub fn host(input: &[u8]) {
    let mut input = Input(input);
    let mut target = Target::new(input.octet());
    for _ in 0..STEPS {
        if input.0.is_empty() {
            break;
        }
        target.step(&mut input);
        target.judge();
    }
    // Everything that still runs comes to its end.
    target.pass(Span::from_millis(1_000_000));
    target.judge();
}

impl Target {
    fn new(kind: u8) -> Target {
        let network = Network::new(3, Faults::NONE, 1_500);
        let oracle = Oracle::new(Strictness::default(), Span::from_millis(10_000_000));
        let mut config = Config::DEFAULT;
        config.settled = kind & 1 == 0;
        config.policy.streaming = kind & 2 == 0;
        config.queue = if kind & 4 == 0 { 64 } else { 1 };
        config.records = if kind & 8 == 0 { 64 } else { 2 };
        config.hosts = 4;
        let mut world = World {
            env: Env::new(u64::from(kind), network, oracle),
            hosts: Vec::new(),
            plans: vec![Plan::default(); 3],
            configs: vec![config; 3],
            steps: 0,
            odd: 0,
            events_limit: u64::MAX,
        };
        for number in 0..3 {
            let host = Host::new(number, 0, config, &mut world.env);
            world.hosts.push(host);
        }
        // What host 0 sends reaches nobody.
        world.env.network.side = vec![0, 1, 1];
        let server = Host::entity(0, 100);
        let kind = EntityKind::UnrestrictedGroup;
        let group = Entity::domain1(kind, false, 500, [224, 0, 2, 0]).unwrap_or(Entity::ZERO);
        world.plans[0].servers.push(server);
        world.plans[0].groups.push((group, server));
        world.equip(0);
        for number in 0..THEIRS {
            world.env.oracle.add(op(number, server));
        }
        let client = Host::entity(0, 100_000);
        let mut endpoint = Endpoint::new(client, &mut world.env);
        endpoint.window = 4;
        for number in 0..12 {
            let mut own = op(number, Host::entity(1, 100));
            own.wants.streamed = number % 3 != 0;
            own.wants.more = number % 3 == 1;
            own.wants.many = number == 9;
            if number == 9 {
                own.server = group;
            }
            own.wants.large = number % 4 == 3;
            own.forward.clear();
            endpoint.script.push_back(world.env.oracle.add(own));
        }
        world.hosts[0].add(client, endpoint);
        Target {
            world,
            server,
            group,
            client,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let World { env, hosts, .. } = &mut self.world;
        let host = &mut hosts[0];
        let current = host
            .endpoint(self.client)
            .map(Endpoint::current_transaction);
        let current = current.unwrap_or(Transaction::from_bits(0));
        let from = Network::peer(1 + usize::from(input.octet() % 2));
        let kind = input.octet();
        let multicast = kind & 0x80 != 0;
        let octets = match kind % 8 {
            0 => {
                let length = usize::from(input.octet()).min(input.0.len());
                let (octets, rest) = input.0.split_at(length);
                input.0 = rest;
                with_checksum(octets)
            }
            1..=3 => {
                let client = input.one_of([
                    Host::entity(1, 7),
                    Host::entity(2, 7),
                    Host::entity(1, 8),
                    self.client,
                ]);
                let server = input.one_of([self.server, self.group, self.client, client]);
                let first = Transaction::from_bits(0u32.wrapping_sub(8));
                message(input, client, server, first, false)
            }
            4 => {
                let server = input.one_of([Host::entity(1, 100), Host::entity(2, 9), self.group]);
                message(input, self.client, server, current.minus(8), true)
            }
            5 => {
                let notify = NotifyVmtpClient {
                    client: self.client,
                    control: Control::from_bits(input.word()),
                    receive_sequence: 0,
                    transaction: current.minus(8).plus(input.octet().into()),
                    delivery: mask(input),
                    code: code(input),
                };
                let remote = input.octet() & 1 != 0;
                management(vmtp_proto::manager::notify_client(&notify, remote))
            }
            6 => {
                let notify = NotifyVmtpServer {
                    server: self.server,
                    client: input.one_of([Host::entity(1, 7), Host::entity(2, 7)]),
                    transaction: Transaction::from_bits(u32::from(input.octet()).wrapping_sub(8)),
                    delivery: mask(input),
                    code: code(input),
                };
                management(notify.encode())
            }
            _ => {
                if multicast {
                    host.user(env, self.client);
                } else {
                    let millis = input.one_of([1, 5, 20, 200, 1_000, 5_000, 30_000, 130_000]);
                    self.pass(Span::from_millis(millis));
                }
                return;
            }
        };
        host.packet(env, from, multicast, &octets);
        host.check(env);
    }

    /// Time passes.
    fn pass(&mut self, span: Span) {
        let until = self.world.env.now.plus(span);
        while self.world.step_before(until) {
            self.judge();
        }
        self.world.env.now = until;
    }

    fn judge(&mut self) {
        assert!(self.world.env.waiting() < WAITING, "a flood");
        // Whoever lies about what it sends gets what it deserves; only the host's own tables count.
        if let Some(verdict) = self.world.env.oracle.verdict.take() {
            assert!(!verdict.starts_with("host 0"), "{verdict}");
        }
    }
}

/// One of the operations, each of which is done otherwise.
fn op(number: usize, server: Entity) -> Op {
    Op {
        server,
        request: [None, Some(1_000), None, Some(20_000)][number % 4],
        response: [None, None, Some(3_000), Some(40_000)][number / 2 % 4],
        wants: Wants {
            idempotent: number == 2,
            acknowledge_response: number == 3,
            batched: number == 4,
            lossy_response: number == 5,
            abandoned: number == 6,
            datagram: number == 10,
            no_retransmission: number == 11,
            ..Wants::default()
        },
        service: Span::from_micros(300),
        forward: if number == 7 {
            vec![Host::entity(1, 100)]
        } else {
            Vec::new()
        },
        limit: None,
        enough: 1,
        parent: None,
    }
}

fn mask(input: &mut Input<'_>) -> Mask {
    match input.octet() % 5 {
        0 => Mask::EMPTY,
        1 => Mask::from_bits(1),
        2 => Mask::from_bits(2),
        3 => Mask::ALL,
        _ => Mask::from_bits(input.word()),
    }
}

fn code(input: &mut Input<'_>) -> Code {
    match ResponseCode::from_bits(u32::from(input.octet()) % 32) {
        Some(code) => code.code(),
        None => Code::from_bits(input.word()),
    }
}

/// A Request or a Response, as far as the input says.
fn message(
    input: &mut Input<'_>,
    client: Entity,
    server: Entity,
    base: Transaction,
    response: bool,
) -> Vec<u8> {
    let mut control =
        Control::from_bits(u32::from(input.octet()) << 24 | u32::from(input.octet()) << 16);
    if response {
        control = control.with(Control::RESPONSE);
    } else {
        control = control.without(Control::RESPONSE);
    }
    let op = u64::from(input.octet()) % THEIRS as u64;
    let mut user = [0; 20];
    user[8..16].copy_from_slice(&op.to_be_bytes());
    user[16..].copy_from_slice(&(content::mix(op) as u32).to_be_bytes());
    let mut header = Header {
        client,
        domain: 1,
        control: control.with_gap(input.octet()),
        transaction: base.plus(input.octet().into()),
        server,
        code: Code::new(u32::from(input.octet()) << 24, 0),
        user,
        segment_size: input.one_of(SIZES),
        delivery: mask(input),
        message_delivery: mask(input).bits(),
        ..Header::default()
    };
    // The blocks of its segment that it names, in order.
    let group = header.group_octets();
    header.delivery = header.delivery.intersect(Mask::for_octets(group));
    header.length = (vmtp_proto::wire::padded(header.delivery.octets(group)) / 4) as u16;
    packet::encode(&header, &[0x5A; 16_384])
}

fn management(mcb: Mcb) -> Vec<u8> {
    let manager = Host::entity(1, 1);
    let transaction = Transaction::from_bits(1);
    let header = vmtp_proto::manager::request(manager, 1, transaction, mcb);
    packet::encode(&header, &[])
}

/// Octets as they come, but with the checksum that they ought to have.
fn with_checksum(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    if let Some((front, last)) = octets.split_last_chunk_mut::<4>() {
        if let Some((head, data)) = front.split_first_chunk::<64>() {
            let hco = Header::parse(head).hco;
            *last = Checksum::of(head, if hco { &[] } else { data }).to_be_bytes();
        }
    }
    octets
}
