// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Many Clients with long Requests at a server that has room for few: each is served in its turn, however long the
//! others keep the server's memory full, since a server that says BUSY is there (RFC 1045, 4.8).

use vmtp_proto::time::Span;
use vmtp_simulator::host::{Config, Endpoint, Host};
use vmtp_simulator::network::{Faults, Network};
use vmtp_simulator::oracle::{Op, Oracle, Strictness, Wants};
use vmtp_simulator::world::{Plan, World};
use vmtp_simulator::Env;

const CLIENTS: usize = 48;
const CALLS: usize = 4;

/// One server host with memory for three Requests of `octets`, and the Clients, each on its own host.
fn crowd(seed: u64, octets: u32) -> World {
    let oracle = Oracle::new(
        Strictness {
            all_answered: true,
            two_packets: false,
        },
        Span::from_millis(900_000),
    );
    let network = Network::new(CLIENTS + 1, Faults::NONE, 600);
    let config = Config {
        memory: 3 * octets as usize,
        ..Config::DEFAULT
    };
    let mut world = World {
        env: Env::new(seed, network, oracle),
        hosts: Vec::new(),
        plans: vec![Plan::default(); CLIENTS + 1],
        configs: vec![config; CLIENTS + 1],
        steps: 0,
        odd: 0,
        events_limit: 20_000_000,
    };
    let server = Host::entity(0, 100);
    world.plans[0].servers.push(server);
    for number in 0..=CLIENTS {
        let host = Host::new(number, 0, config, &mut world.env);
        world.hosts.push(host);
        world.equip(number);
        if number == 0 {
            continue;
        }
        let client = Host::entity(number, 100_000);
        let mut endpoint = Endpoint::new(client, &mut world.env);
        for _ in 0..CALLS {
            endpoint.script.push_back(world.env.oracle.add(Op {
                server,
                request: Some(octets),
                response: None,
                wants: Wants::default(),
                service: Span::from_millis(30),
                forward: Vec::new(),
                limit: None,
                enough: 1,
                parent: None,
            }));
        }
        world.hosts[number].add(client, endpoint);
    }
    world
}

fn all_are_served(octets: u32) {
    for seed in 0..20 {
        let mut world = crowd(seed, octets);
        if let Err(failure) = world.run() {
            // Once more, with the end of the trace.
            let mut again = crowd(seed, octets);
            again.env.start_trace(200);
            let failure = again.run().err().unwrap_or(failure);
            panic!("seed {seed}: {failure}");
        }
        let counts = &world.env.counts;
        assert_eq!(counts.answered, (CLIENTS * CALLS) as u64, "seed {seed}");
        assert_eq!(counts.failed, 0, "seed {seed}");
    }
}

#[test]
fn each_of_many_clients_is_served_though_few_requests_have_room() {
    all_are_served(16_384);
}

#[test]
fn each_of_many_long_requests_is_served_though_few_have_room() {
    all_are_served(60_000);
}
