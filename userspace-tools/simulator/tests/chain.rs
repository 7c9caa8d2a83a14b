// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The first server passes a Request on to the second (RFC 1045, 4.3, 5.3), and then its host dies. The second, which
//! has the Request, answers the Client itself: it needs no one between them.

use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::Entity;
use vmtp_simulator::env::{Event, Strike};
use vmtp_simulator::host::Config;
use vmtp_simulator::network::{Faults, Network};
use vmtp_simulator::oracle::{Op, Oracle, Outcome, Strictness};
use vmtp_simulator::world::World;
use vmtp_simulator::Env;

const FORWARDER: usize = 0;
const LAST: usize = 1;
const CLIENT: usize = 2;
/// Both servers work so long on the Request: the first passes it on after that time.
const SERVICE: Span = Span::from_millis(2_000);

/// The forwarder's host is struck `after` so long. How often each server was handed the Request, and when the Client
/// had its Response.
fn struck(strike: Strike, after: Span, request: Option<u32>) -> (u32, u32, Time) {
    let oracle = Oracle::new(
        Strictness {
            all_answered: true,
            two_packets: false,
        },
        Span::from_millis(60_000),
    );
    let network = Network::new(3, Faults::NONE, 1_500);
    let mut world = World::of(Env::new(1, network, oracle), 3, Config::DEFAULT);
    world.events_limit = 100_000;
    let first = world.serves(FORWARDER);
    let last = world.serves(LAST);
    let op = Op {
        request,
        response: Some(10_000),
        service: SERVICE,
        forward: vec![last],
        ..Op::to(first)
    };
    world.calls(CLIENT, Span::ZERO, [op]);
    let at = world.env.now.plus(after);
    world.env.at(at, Event::Strike(strike));
    world.run().expect("nothing is broken");
    let case = &world.env.oracle.cases[0];
    assert_eq!(case.outcome, Outcome::Answered);
    let times = |server: Entity| {
        let of_server = case.executions.iter().filter(|e| e.server == server);
        of_server.map(|e| e.times).sum()
    };
    let ended = Time::from_nanos(0).plus(case.ended.since(case.began));
    (times(first), times(last), ended)
}

/// The answer comes when the second server has it: after twice its time, and not a second later.
fn in_time(ended: Time) -> bool {
    let due = Time::from_nanos(0).plus(SERVICE.times(2));
    due.has_come(ended) && ended.since(due) < Span::from_millis(100)
}

#[test]
fn the_last_server_answers_though_nobody_hears_the_first_any_more() {
    for request in [None, Some(16_384)] {
        let cut = Strike::Cut(1 << FORWARDER);
        let (first, last, ended) = struck(cut, Span::from_millis(2_500), request);
        assert_eq!((first, last), (1, 1));
        assert!(in_time(ended), "{ended:?}");
    }
}

/// A first server that knows nothing of it any more is asked once more, and does its part again. The last knows that
/// it has the Request.
#[test]
fn the_last_server_executes_once_though_the_first_forgets_what_it_passed_on() {
    for request in [None, Some(16_384)] {
        let restart = Strike::Restart(FORWARDER);
        let (first, last, ended) = struck(restart, Span::from_millis(2_500), request);
        assert!((1..=2).contains(&first));
        assert_eq!(last, 1);
        assert!(in_time(ended), "{ended:?}");
    }
}

/// Before it was passed on only the first server has it: its restart costs the Client the time of a retransmission.
#[test]
fn a_first_server_that_forgets_before_it_passes_on_is_asked_again() {
    for request in [None, Some(16_384)] {
        let restart = Strike::Restart(FORWARDER);
        let (first, last, ended) = struck(restart, Span::from_millis(1_500), request);
        assert_eq!((first, last), (2, 1));
        let due = Time::from_nanos(0).plus(Span::from_millis(1_500).plus(SERVICE.times(2)));
        assert!(due.has_come(ended) && ended.since(due) < Span::from_millis(2_500));
    }
}
