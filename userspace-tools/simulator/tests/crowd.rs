// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Many Clients at one server. With room for few of their long Requests it serves each in its turn, however long the
//! others keep its memory full, since a server that says BUSY is there (RFC 1045, 4.8). Those whose Request it has ask
//! less and less often whether it does.

use vmtp_proto::time::Span;
use vmtp_simulator::host::Config;
use vmtp_simulator::network::{Faults, Network};
use vmtp_simulator::oracle::{Op, Oracle, Strictness};
use vmtp_simulator::world::World;
use vmtp_simulator::Env;

const CLIENTS: usize = 48;
const CALLS: usize = 4;

/// One server host with memory for `room` Requests of `octets`, each of which takes it `service`, and the Clients, each
/// on its own host, with `calls` Requests.
fn crowd(seed: u64, octets: u32, room: usize, service: Span, calls: usize) -> World {
    let oracle = Oracle::new(
        Strictness {
            all_answered: true,
            two_packets: false,
        },
        Span::from_millis(900_000),
    );
    let network = Network::new(CLIENTS + 1, Faults::NONE, 600);
    let config = Config {
        memory: room * octets as usize,
        ..Config::DEFAULT
    };
    let mut world = World::of(Env::new(seed, network, oracle), CLIENTS + 1, config);
    world.events_limit = 20_000_000;
    let server = world.serves(0);
    for number in 1..=CLIENTS {
        let op = || Op {
            request: Some(octets),
            service,
            ..Op::to(server)
        };
        world.calls(number, Span::ZERO, (0..calls).map(|_| op()));
    }
    world
}

/// Packets of a run in which all are answered.
fn packets(seed: u64, octets: u32, room: usize, service: Span, calls: usize) -> u64 {
    let make = || crowd(seed, octets, room, service, calls);
    let mut world = make();
    if let Err(failure) = world.run() {
        // Once more, with the end of the trace.
        let mut again = make();
        again.env.start_trace(200);
        let failure = again.run().err().unwrap_or(failure);
        panic!("seed {seed}: {failure}");
    }
    let counts = &world.env.counts;
    assert_eq!(counts.answered, (CLIENTS * calls) as u64, "seed {seed}");
    assert_eq!(counts.failed, 0, "seed {seed}");
    counts.packets
}

fn all_are_served(octets: u32) {
    for seed in 0..20 {
        packets(seed, octets, 3, Span::from_millis(30), CALLS);
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

/// Client number i waits i times 200 ms: it asks at 0.2, 0.6, 1.4, 3.0 s and every 1.6 s from there on, at the latest
/// as early as that; each question has an answer.
#[test]
fn a_slow_server_is_not_asked_more_often_the_more_wait() {
    let asked = |waited: u64| match waited {
        0..200 => 0,
        200..600 => 1,
        600..1_400 => 2,
        1_400..3_000 => 3,
        _ => 4 + (waited - 3_000) / 1_600,
    };
    let questions: u64 = (1..=CLIENTS as u64).map(|i| asked(200 * i)).sum();
    let most = 2 * CLIENTS as u64 + 2 * questions;
    for seed in 0..20 {
        let sent = packets(seed, 512, CLIENTS, Span::from_millis(200), 1);
        assert!(sent <= most, "seed {seed}: {sent} packets, {most} at most");
    }
}
