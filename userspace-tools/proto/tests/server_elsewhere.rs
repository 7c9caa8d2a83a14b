// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What comes of a Request under way from another host than it did (RFC 1045, 5.7, VII.4).

mod common;

use common::far::Far;
use common::{carrying, mcb, request, t, OTHER_HOST, OTHER_SERVER, SERVER_HOST};
use vmtp_proto::server::{Forward, Source, State};
use vmtp_proto::wire::Header;

/// Unicast from a host that is not the Client's.
const ELSEWHERE: Source = Source {
    peer: OTHER_HOST,
    multicast: false,
};

/// The packet after so many forwards.
fn forwarded(header: Header, count: u8) -> Header {
    Header {
        control: header.control.with_forward_count(count),
        ..header
    }
}

/// Whoever knows a Client's Transaction, and a Probe tells it, could otherwise have its Response.
#[test]
fn a_request_under_way_comes_from_where_it_began() {
    let asks = |far: &Far, header: &Header| {
        assert!(!far.remote.comes_from_elsewhere(header, &far.source));
        far.remote.comes_from_elsewhere(header, &ELSEWHERE)
    };
    let whole = request(0, t(0), mcb(0, 0));
    let processing = Far::processing(&whole);
    assert!(asks(&processing, &whole));
    let mut responded = Far::processing(&whole);
    responded.respond(t(0), mcb(0, 0));
    assert!(asks(&responded, &whole));
    let long = request(0, t(0), mcb(0, 2_048));
    let (receiving, _) = Far::with(&carrying(long, 0b11));
    assert!(asks(&receiving, &carrying(long, 0b1100)));
    // Another Request may come from anywhere, but not this one as if it had been passed on.
    for far in [&processing, &responded, &receiving] {
        assert!(!asks(far, &request(0, t(1), mcb(0, 0))));
        for count in [1, 15] {
            assert!(asks(far, &forwarded(whole, count)));
        }
    }
}

/// Shows: 5.7-e
#[test]
fn a_request_that_was_passed_on_may_come_from_wherever_it_is_passed_on_again() {
    let whole = request(0, t(0), mcb(0, 0));
    let asks = |far: &Far, count| {
        far.remote
            .comes_from_elsewhere(&forwarded(whole, count), &ELSEWHERE)
    };
    // It comes back to a server that passed it on.
    let mut forwarder = Far::processing(&whole);
    let onwards = Forward {
        server: OTHER_SERVER,
        mcb: mcb(0, 0),
        flags: 0,
        hco: false,
    };
    let step = forwarder.remote.forward(t(0), &onwards, &forwarder.cx);
    assert!(step.is_ok());
    assert!(asks(&forwarder, 0));
    assert!(!asks(&forwarder, 2));
    // There was no room then.
    forwarder.source = ELSEWHERE;
    forwarder.service.room = false;
    forwarder.request(&forwarded(whole, 2));
    assert_eq!(forwarder.remote.state(), State::ResponseDiscarded);
    forwarder.source.peer = SERVER_HOST;
    assert!(!forwarder
        .remote
        .comes_from_elsewhere(&forwarded(whole, 2), &forwarder.source));
    // One that came by a forwarder: the same is that forwarder's, and another may have been one before or after it.
    let passed_on = Far::processing(&forwarded(whole, 2));
    assert!(asks(&passed_on, 2));
    assert!(!asks(&passed_on, 1) && !asks(&passed_on, 3));
}
