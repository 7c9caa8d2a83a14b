// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Bits that the protocol carries and does not look at (RFC 1045, 3.1, 3.2), and the user's time limit
//! (4.1).

mod common;

use common::far::Far;
use common::near::{limit, plain, Near};
use common::{at, mcb, ms, only, request, t, CLIENT};
use vmtp_proto::client::Event as ClientEvent;
use vmtp_proto::server::Event;
use vmtp_proto::time::Time;
use vmtp_proto::wire::{Code, Control, Entity, Header, ResponseCode};

/// Shows: 3.1-a
#[test]
fn alias_client_is_served_as_any_other_and_gets_its_bit_back() {
    let alias = Entity::from_bits(CLIENT.bits() | 1 << 63);
    let mut header = request(Control::APG, t(0), mcb(0, 0));
    header.client = alias;
    let mut octets = [0; 64];
    header.emit(&mut octets);
    assert_eq!(octets[0], 0xA0);
    assert_eq!(Header::parse(&octets).client, alias);
    let mut far = Far::processing(&header);
    // A duplicate is one.
    assert_eq!(far.request(&header).event, Event::None);
    let response = only(&far.respond(t(0), mcb(0, 0)).burst);
    assert_eq!(response.client, alias);
}

/// Shows: 3.2-k
#[test]
fn code_with_pic_is_delivered_as_any_other() {
    let header = request(0, t(0), mcb(Code::PIC, 0));
    let (mut far, step) = Far::with(&header);
    assert!(matches!(step.event, Event::Request(_)));
    let response = only(&far.respond(t(0), mcb(Code::PIC, 0)).burst);
    assert_eq!(response.code, header.code);
    assert!(response.code.has(Code::PIC));
}

/// Shows: 4.1-a
#[test]
fn time_limit_ends_a_transaction_that_the_server_keeps_acknowledging() {
    let run = |until| {
        let mut wanted = plain(mcb(0, 0));
        wanted.limit = until;
        let mut cx = common::context();
        cx.timing.round_trip = ms(20);
        let (mut near, _) = Near::start_in(&wanted, cx);
        let mut acknowledged = 0;
        while near.cx.now < at(60_000) {
            near.cx.now = near.call.deadline();
            let step = near.call.timeout(&mut near.client, &near.cx);
            if let ClientEvent::Finished(code) = step.event {
                assert!(acknowledged > 1);
                return Some((near.cx.now, code));
            }
            let count = common::count(&step.burst);
            near.notify(ResponseCode::Ok, 0, 0, count);
            acknowledged += 1;
        }
        None
    };
    assert_eq!(run(limit(500)), Some((at(500), ResponseCode::UserTimeout)));
    assert_eq!(run(Time::NEVER), None);
}
