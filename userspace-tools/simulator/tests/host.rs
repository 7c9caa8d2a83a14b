// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One host alone, fed with packets made by hand: what the rules of RFC 1045 that are about a host, and
//! not about one record, make it do. All that it sends is looked at.

use vmtp_proto::context::ProbeClients;
use vmtp_proto::manager;
use vmtp_proto::peer::Peer;
use vmtp_proto::time::Span;
use vmtp_proto::wire::{
    Code, Control, Entity, EntityKind, Header, ManagementRequest, Mask, Mcb, NotifyVmtpClient,
    ProbeEntityResults, ResponseCode, Results, Transaction,
};
use vmtp_simulator::content;
use vmtp_simulator::env::Event;
use vmtp_simulator::host::{Config, Endpoint, Host, DOMAIN};
use vmtp_simulator::network::{Faults, Network};
use vmtp_simulator::oracle::{Op, OpId, Oracle, Strictness, Wants};
use vmtp_simulator::{packet, Env};

/// The host, which is number 0 of the network.
struct Lone {
    env: Env,
    host: Host,
}

/// A server of the host.
fn server(number: u32) -> Entity {
    Host::entity(0, 100 + number)
}

/// A Client on host `number`, which is the test.
fn client(number: usize) -> Entity {
    Host::entity(number, 70_000)
}

fn group(number: u32) -> Entity {
    let kind = EntityKind::UnrestrictedGroup;
    // Two groups share each host group.
    let address = [224, 0, 2, (number / 2) as u8];
    Entity::domain1(kind, false, 500 + number, address).unwrap()
}

fn op(server: Entity, wants: Wants) -> Op {
    Op {
        wants,
        service: Span::from_millis(1),
        ..Op::to(server)
    }
}

impl Lone {
    fn new(config: Config, hosts: usize) -> Lone {
        let strict = Strictness {
            all_answered: false,
            two_packets: false,
        };
        let oracle = Oracle::new(strict, Span::from_millis(900_000));
        let network = Network::new(hosts, Faults::NONE, 1_500);
        let mut env = Env::new(1, network, oracle);
        let mut host = Host::new(0, 0, config, &mut env);
        for number in 0..3 {
            host.serve(server(number));
            let endpoint = Endpoint::new(server(number), &mut env);
            host.add(server(number), endpoint);
        }
        Lone { env, host }
    }

    fn add(&mut self, op: Op) -> OpId {
        self.env.oracle.add(op)
    }

    /// A packet of the Request of an operation.
    fn request(&self, op: OpId, from: usize, transaction: u32) -> Header {
        let mut mcb = Mcb::default();
        mcb.user[8..16].copy_from_slice(&(op as u64).to_be_bytes());
        mcb.user[16..20].copy_from_slice(&(content::mix(op as u64) as u32).to_be_bytes());
        mcb.code = Code::new(0, 0x00_8000);
        Header {
            client: client(from),
            domain: DOMAIN,
            control: Control::default(),
            transaction: Transaction::from_bits(transaction),
            server: self.env.oracle.cases[op].op.server,
            code: mcb.code,
            user: mcb.user,
            ..Header::default()
        }
    }

    /// It arrives from host `from`, and the host has 50 ms: what it sent, and to whom.
    fn take(&mut self, from: usize, multicast: bool, header: &Header) -> Vec<(Peer, Header)> {
        let octets = packet::encode(header, &[]);
        let peer = Network::peer(from);
        self.host.packet(&mut self.env, peer, multicast, &octets);
        self.run(50)
    }

    fn run(&mut self, millis: u64) -> Vec<(Peer, Header)> {
        let nobody = Entity::ZERO;
        let mark = Event::User {
            host: 0,
            client: nobody,
        };
        self.env.after(Span::from_millis(millis), mark);
        let mut sent = Vec::new();
        while let Some(event) = self.env.next_event() {
            match event {
                Event::User { client, .. } if client == nobody => break,
                Event::User { client, .. } => self.host.user(&mut self.env, client),
                Event::Packet { to, octets, .. } => {
                    let (header, _) = packet::decode(&octets).expect("a whole packet");
                    sent.push((Network::peer(to), header));
                }
                Event::Timer { of, .. } => self.host.timer(&mut self.env, of),
                Event::Served {
                    server,
                    client,
                    transaction,
                    ..
                } => self.host.served(&mut self.env, server, client, transaction),
                Event::Strike(_) => {}
            }
        }
        assert_eq!(self.env.oracle.verdict, None);
        sent
    }

    /// Who was handed the Request of an operation.
    fn executed(&self, op: OpId) -> Vec<Entity> {
        let executions = &self.env.oracle.cases[op].executions;
        let mut servers: Vec<_> = executions.iter().map(|e| e.server).collect();
        servers.sort();
        servers
    }
}

fn is_probe(header: &Header, entity: Entity) -> bool {
    matches!(
        ManagementRequest::decode(&header.mcb()),
        Ok(ManagementRequest::ProbeEntity(probe)) if probe.entity == entity
    )
}

/// Shows: 2.1-d
#[test]
fn request_to_a_group_without_members_here_is_dropped_in_silence() {
    let mut lone = Lone::new(Config::DEFAULT, 3);
    let op_id = lone.add(op(group(0), Wants::default()));
    let mut header = lone.request(op_id, 1, 5);
    header.mpg = true;
    for flags in [0, Control::APG] {
        header.control = Control::default().with(flags);
        assert_eq!(lone.take(1, true, &header), []);
    }
    assert_eq!(lone.executed(op_id), []);
}

/// Shows: 2.7-a, 5.7-p, IV.1-b
#[test]
fn every_member_here_gets_the_request_and_answers_and_nobody_else() {
    let mut lone = Lone::new(Config::DEFAULT, 3);
    // Groups 0 and 1 have the same host group.
    assert_eq!(group(0).host_group(), group(1).host_group());
    for (number, member) in [(0, 0), (0, 1), (1, 2)] {
        lone.host.join(group(number), server(member), &mut lone.env);
    }
    let mut wanted = op(group(0), Wants::default());
    wanted.response = Some(100);
    let op_id = lone.add(wanted);
    let mut header = lone.request(op_id, 1, 5);
    header.mpg = true;
    let sent = lone.take(1, true, &header);
    assert_eq!(lone.executed(op_id), [server(0), server(1)]);
    let mut answers: Vec<_> = sent.iter().map(|(to, h)| (*to, h.server)).collect();
    answers.sort_by_key(|(_, server)| *server);
    let to = Network::peer(1);
    assert_eq!(answers, [(to, server(0)), (to, server(1))]);
    assert!(sent.iter().all(|(_, h)| h.is_response() && !h.mpg));
    // Each has a record of its own: only whose Response was lost answers again, each its own.
    let again = lone.take(1, true, &header);
    assert_eq!(again.len(), 2);
    assert_eq!(lone.host.records(), 2);
}

/// Shows: 2.7-c, 2.7-d
#[test]
fn coresident_entity_or_group_chooses_the_hosts() {
    let mut lone = Lone::new(Config::DEFAULT, 3);
    lone.host.join(group(0), server(0), &mut lone.env);
    lone.host.join(group(2), server(1), &mut lone.env);
    let cases = [
        // An entity of this host, and one of another.
        (server(2), true),
        (Host::entity(2, 100), false),
        // A group with a member here, and one without.
        (group(2), true),
        (group(4), false),
    ];
    for (index, (coresident, here)) in cases.into_iter().enumerate() {
        let op_id = lone.add(op(group(0), Wants::default()));
        let mut header = lone.request(op_id, 1, 10 + index as u32);
        header.code = header.code.with(Code::CRE);
        let header = header.with_coresident(coresident);
        let sent = lone.take(1, true, &header);
        let expected = if here { vec![server(0)] } else { vec![] };
        assert_eq!(lone.executed(op_id), expected, "{coresident}");
        assert_eq!(sent.len(), usize::from(here));
    }
}

/// Shows: 4.8-b
#[test]
fn only_the_remote_operation_is_about_a_forwarded_request() {
    let elsewhere = Host::entity(2, 100);
    let outcome = |remote| {
        let mut lone = Lone::new(Config::DEFAULT, 3);
        let mut wanted = op(server(0), Wants::default());
        wanted.forward = vec![elsewhere];
        let op_id = lone.add(wanted);
        let header = lone.request(op_id, 1, 5);
        let sent = lone.take(1, false, &header);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].1.control.forward_count(), 1);
        // The new server reports an error.
        let notify = NotifyVmtpClient {
            client: client(1),
            control: sent[0].1.control.in_response(0),
            receive_sequence: 0,
            transaction: header.transaction,
            delivery: Mask::EMPTY,
            code: ResponseCode::NoPermission.code(),
        };
        let mcb = manager::notify_client(&notify, remote);
        let manager = Host::entity(2, 1);
        let packet = manager::request(manager, DOMAIN, Transaction::from_bits(9), mcb);
        lone.take(2, false, &packet)
    };
    assert_eq!(outcome(false), []);
    // It goes on to the Client.
    let sent = outcome(true);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, Network::peer(1));
    assert!(matches!(
        ManagementRequest::decode(&sent[0].1.mcb()),
        Ok(ManagementRequest::NotifyVmtpClient(notify))
            if notify.code == ResponseCode::NoPermission.code()
    ));
}

/// Shows: D-20-d
#[test]
fn client_whose_record_had_to_go_is_probed_before_its_next_request() {
    let config = Config {
        records: 10,
        ..Config::DEFAULT
    };
    let mut lone = Lone::new(config, 16);
    let op_of: Vec<_> = (0..12)
        .map(|_| lone.add(op(server(0), Wants::default())))
        .collect();
    for (from, op_id) in op_of.iter().enumerate().take(11).skip(1) {
        let header = lone.request(*op_id, from, 5);
        let sent = lone.take(from, false, &header);
        assert_eq!(sent.len(), 1, "answered without a Probe");
        assert!(sent[0].1.is_response());
    }
    assert_eq!(lone.host.records(), 10);
    // They are all still asked for: none may go yet.
    let header = lone.request(op_of[11], 11, 5);
    let sent = lone.take(11, false, &header);
    assert!(matches!(
        ManagementRequest::decode(&sent[0].1.mcb()),
        Ok(ManagementRequest::NotifyVmtpClient(notify)) if notify.code == ResponseCode::Busy.code()
    ));
    lone.run(20_000);
    let sent = lone.take(11, false, &header);
    assert!(is_probe(&sent[0].1, client(11)) || sent[0].1.is_response());
    assert_eq!(lone.host.records(), 10);
    // The first Client's duplicate is not known any more: a Probe goes before its execution, and
    // tells that it is over.
    let mut first = lone.request(op_of[1], 1, 5);
    first.control = first.control.with(Control::APG);
    for (_, header) in lone.take(1, false, &first) {
        assert!(!header.is_response(), "executed without a Probe");
        if is_probe(&header, client(1)) {
            let results = ProbeEntityResults {
                transaction: Transaction::from_bits(6),
                process: 1,
                principal: 1,
                effective_principal: 1,
            };
            let answer = manager::response(&header, Host::entity(1, 1), results.encode());
            lone.take(1, false, &answer);
        }
    }
    let times = &lone.env.oracle.cases[op_of[1]].executions;
    assert_eq!((times.len(), times[0].times), (1, 1));
}

/// Shows: D-24-b
#[test]
fn request_that_was_forwarded_fifteen_times_goes_on_by_a_nested_call() {
    let elsewhere = Host::entity(2, 100);
    for (count, multicast) in [(14, false), (15, false), (0, true)] {
        let mut lone = Lone::new(Config::DEFAULT, 3);
        lone.host.join(group(0), server(0), &mut lone.env);
        let to = if multicast { group(0) } else { server(0) };
        let mut wanted = op(to, Wants::default());
        // The place in the chain is the ForwardCount.
        wanted.forward = vec![elsewhere; usize::from(count) + 1];
        let op_id = lone.add(wanted);
        let mut header = lone.request(op_id, 1, 5);
        header.control = header.control.with_forward_count(count);
        header.mpg = multicast;
        let sent = lone.take(1, multicast, &header);
        let requests: Vec<_> = sent.iter().filter(|(_, h)| h.server == elsewhere).collect();
        assert_eq!(requests.len(), 1, "{sent:?}");
        let (to, request) = requests[0];
        assert_eq!(*to, Network::peer(2));
        if count == 14 {
            assert_eq!(request.client, client(1));
            assert_eq!(request.control.forward_count(), 15);
        } else {
            // A transaction of the server's own.
            assert_eq!(request.client, server(0));
            assert_eq!(request.control.forward_count(), 0);
        }
    }
}

/// Of a run of 64 the first packet is lost, and the server's host, which has no record of the Client, refuses all others:
/// it goes out again once, and once more if that happens again.
#[test]
fn run_that_the_server_has_no_record_of_goes_out_again_once() {
    let mut lone = Lone::new(Config::DEFAULT, 3);
    let mut endpoint = Endpoint::new(client(0), &mut lone.env);
    endpoint.window = 64;
    for number in 0..64 {
        let wants = Wants {
            streamed: true,
            more: number < 63,
            ..Wants::default()
        };
        let op_id = lone.add(op(Host::entity(1, 100), wants));
        endpoint.script.push_back(op_id);
    }
    lone.host.add(client(0), endpoint);
    lone.host.user(&mut lone.env, client(0));
    let mut sent = lone.run(50);
    for _ in 0..3 {
        assert_eq!(sent.len(), 64);
        for (index, (_, header)) in sent.iter().enumerate() {
            assert_eq!(header.control.has(Control::NSR), index != 0, "{index}");
        }
        for (_, header) in &sent[1..] {
            let notify = NotifyVmtpClient {
                client: client(0),
                control: header.control.in_response(0),
                receive_sequence: 0,
                transaction: header.transaction,
                delivery: Mask::EMPTY,
                code: ResponseCode::NoRunRecord.code(),
            };
            let mcb = manager::notify_client(&notify, false);
            let packet =
                manager::request(Host::entity(1, 1), DOMAIN, Transaction::from_bits(9), mcb);
            let octets = packet::encode(&packet, &[]);
            let from = Network::peer(1);
            lone.host.packet(&mut lone.env, from, false, &octets);
        }
        sent = lone.run(50);
    }
}

/// In authenticated mode records are kept for 500 ms only: a later duplicate is probed for.
///
/// Shows: D-20-c
#[test]
fn duplicate_of_a_probed_client_is_found_old_after_its_record_has_gone() {
    let mut config = Config::DEFAULT;
    config.probe_clients = ProbeClients::Always;
    config.policy.record_lifetime = Span::from_millis(500);
    let mut lone = Lone::new(config, 3);
    let op_id = lone.add(op(server(0), Wants::default()));
    let header = lone.request(op_id, 1, 5);
    let probed = |lone: &mut Lone, current| {
        let sent = lone.take(1, false, &header);
        let probe = sent.iter().find(|(_, h)| is_probe(h, client(1)));
        let (_, probe) = probe.expect("a Probe comes first");
        let results = ProbeEntityResults {
            transaction: Transaction::from_bits(current),
            process: 1,
            principal: 1,
            effective_principal: 1,
        };
        let answer = manager::response(probe, Host::entity(1, 1), results.encode());
        lone.take(1, false, &answer)
    };
    assert!(probed(&mut lone, 5)[0].1.is_response());
    lone.run(2_000);
    assert_eq!(lone.host.records(), 0);
    let sent = probed(&mut lone, 6);
    assert!(sent.iter().all(|(_, header)| !header.is_response()));
    let executions = &lone.env.oracle.cases[op_id].executions;
    assert_eq!(executions.iter().map(|e| e.times).sum::<u32>(), 1);
}
