// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Probe of a Client before its Request is executed (RFC 1045, 2.5.1, 5.3), and at most once
//! whatever it says.

mod common;

use common::far::{arrival, Far, TS1};
use common::{carrying, mask, mcb, meant, packets, request, t, CLIENT_HOST, OTHER_HOST};
use vmtp_proto::server::{Drop, Event, Keep, Presence, State};
use vmtp_proto::wire::{Control, ResponseCode};

/// A record of a Client that must be probed.
fn suspicious(header: &vmtp_proto::wire::Header) -> Far {
    let mut far = Far::new(header);
    far.service.probe = true;
    far
}

/// Shows: 5.3-b, 2.5.1-c
#[test]
fn request_of_an_unknown_client_waits_for_the_probe() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = suspicious(&header);
    let step = far.request(&header);
    assert_eq!(step.event, Event::Probe);
    assert!(far.remote.is_probing());
    assert_eq!(far.remote.state(), State::AwaitingRequest);
    // However often it comes.
    assert_eq!(far.request(&header).event, Event::None);
    let step = far.remote.probed(Presence::At(t(0)), true, &far.cx);
    assert_eq!(arrival(&step).transaction, t(0));
    assert_eq!(far.remote.state(), State::Processing);
    assert!(far.remote.is_probed() && !far.remote.is_probing());
    // Once.
    assert_eq!(
        far.remote.probed(Presence::At(t(0)), true, &far.cx).event,
        Event::None
    );
}

/// A long one is received meanwhile, and waits only if the Probe takes longer.
#[test]
fn packets_are_taken_while_the_client_is_probed() {
    let header = request(0, t(0), mcb(0, 2_048));
    let mut far = suspicious(&header);
    let step = far.request(&carrying(header, 0b0011));
    assert_eq!((step.event, step.keep), (Event::Probe, Keep::Restart));
    let step = far.remote.probed(Presence::At(t(0)), true, &far.cx);
    assert_eq!(step.event, Event::None);
    let step = far.request(&carrying(header, 0b1100));
    assert_eq!(arrival(&step).transaction, t(0));
}

/// Shows: D-20-e
#[test]
fn request_older_than_the_probed_client_is_not_executed() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = suspicious(&header);
    assert_eq!(far.request(&header).event, Event::Probe);
    let step = far.remote.probed(Presence::At(t(1)), true, &far.cx);
    assert_eq!((step.event, step.keep), (Event::None, Keep::Restart));
    assert_eq!(far.remote.state(), State::AwaitingRequest);
    // Neither when it comes again; the Client's present one is.
    let step = far.request(&header);
    assert_eq!(
        (step.event, step.keep),
        (Event::None, Keep::Drop(Drop::Old))
    );
    let step = far.request(&request(0, t(1), mcb(0, 0)));
    assert_eq!(arrival(&step).transaction, t(1));
}

/// A Client that is private is there, but whether its Request is an old one nobody tells.
#[test]
fn private_client_gets_its_response_and_is_refused_where_its_transaction_is_needed() {
    // 68 octets came, for which 204 may go without a Probe.
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    assert_eq!(far.respond(t(0), mcb(0, 1_024)).event, Event::Probe);
    let step = far.remote.probed(Presence::Private, true, &far.cx);
    assert_eq!(packets(&step.burst).len(), 1);
    assert_eq!(step.notify, None);
    let mut far = suspicious(&header);
    for _ in 0..2 {
        assert_eq!(far.request(&header).event, Event::Probe);
        let step = far.remote.probed(Presence::Private, true, &far.cx);
        assert_eq!(step.event, Event::None);
        let notify = step.notify.unwrap();
        assert_eq!(
            (notify.code, notify.transaction),
            (ResponseCode::NoPermission.code(), t(0))
        );
        assert_eq!(far.remote.state(), State::AwaitingRequest);
        assert!(!far.remote.is_probed());
    }
}

/// Shows: I-c
#[test]
fn request_that_waited_for_the_probe_wants_room_as_any_other() {
    for octets in [0, 1_000] {
        let header = request(0, t(5), mcb(0, octets));
        let whole = carrying(header, if octets == 0 { 0 } else { 0b11 });
        let mut far = suspicious(&whole);
        far.request(&whole);
        let step = far.remote.probed(Presence::At(t(5)), false, &far.cx);
        assert_eq!(step.event, Event::None);
        let notify = step.notify.unwrap();
        assert_eq!(
            (notify.code, notify.transaction),
            (ResponseCode::Busy.code(), t(5))
        );
        assert!(!far.remote.holds_packets());
        // The Client is known, and the Request may come again.
        assert_eq!(arrival(&far.request(&whole)).transaction, t(5));
    }
}

/// Shows: I-c
#[test]
fn what_came_of_a_request_wants_room_as_a_whole_one() {
    let masked = request(Control::NRT, t(0), meant(mcb(0, 4_096), 0xFF));
    let (mut far, _) = Far::with(&carrying(masked, 0b11));
    far.at(TS1);
    let step = far.remote.timeout(false, &far.cx);
    assert_eq!(step.event, Event::None);
    assert_eq!(step.notify.unwrap().code, ResponseCode::Busy.code());
    assert!(!far.remote.holds_packets());
}

#[test]
fn request_of_a_client_that_does_not_answer_is_not_executed() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = suspicious(&header);
    far.request(&header);
    let step = far.remote.probed(Presence::Absent, true, &far.cx);
    assert_eq!((step.event, step.keep), (Event::None, Keep::Restart));
    assert!(!far.remote.is_probed());
    assert_eq!(far.remote.state(), State::AwaitingRequest);
}

/// Shows: 2.5.5-e
#[test]
fn closely_spaced_requests_of_a_client_cost_one_probe() {
    let mut probes = 0;
    let mut far = suspicious(&request(0, t(0), mcb(0, 0)));
    for number in 0..10 {
        far.at(100 * u64::from(number));
        let step = far.request(&request(0, t(number), mcb(0, 0)));
        if step.event == Event::Probe {
            probes += 1;
            far.remote.probed(Presence::At(t(number)), true, &far.cx);
        }
        far.respond(t(number), mcb(0, 0));
    }
    assert_eq!(probes, 1);
}

/// What never came is never said to have come, however long the Probe takes.
#[test]
fn incomplete_request_with_mdm_tells_what_came_also_after_a_probe() {
    let header = request(Control::NRT, t(0), meant(mcb(0, 2_048), 0b1111));
    let mut far = suspicious(&header);
    far.request(&carrying(header, 0b0001));
    let step = far.timeout(TS1);
    assert_eq!(step.event, Event::None);
    let step = far.remote.probed(Presence::At(t(0)), true, &far.cx);
    assert_eq!(arrival(&step).message_delivery, Some(mask(0b0001)));
}

/// The one behind does not take the place of the one that waits for the Probe.
#[test]
fn next_of_the_run_waits_while_the_first_waits_for_the_probe() {
    let first = request(Control::NER, t(0), mcb(0, 0));
    let mut far = suspicious(&first);
    far.request(&first);
    let second = request(Control::NSR, t(1), mcb(0, 0));
    assert_eq!(far.request(&second).event, Event::None);
    let step = far.remote.probed(Presence::At(t(0)), true, &far.cx);
    assert_eq!(arrival(&step).transaction, t(0));
    let step = far.request(&second);
    assert_eq!(arrival(&step).transaction, t(1));
    assert!(arrival(&step).queued);
}

/// Decision 28, whatever the size of packets on the way.
#[test]
fn unprobed_client_is_sent_at_most_three_times_what_came() {
    let header = carrying(request(0, t(0), mcb(0, 1_024)), 0b11);
    let mut sent = 0;
    for segment in (0..4_096).step_by(8) {
        let mut far = Far::processing(&header);
        let Some(mut burst) = far.respond(t(0), mcb(0, segment)).burst else {
            assert!(far.remote.is_probing());
            continue;
        };
        let mut octets = 0;
        while let Some(packet) = burst.next(512) {
            octets += 68 + packet.padded;
        }
        assert!(octets <= 3 * (68 + 1_024), "{segment}: {octets}");
        sent += 1;
    }
    assert!(sent > 300, "{sent}");
}

/// Shows: D-28-a
#[test]
fn what_repeats_a_response_counts_as_well() {
    let cases = [
        (0, 0, 8),
        (0, 0, 60),
        (0, 0, 136),
        (64, 0b01, 64),
        (1_024, 0b11, 2_700),
    ];
    for (request_octets, blocks, segment) in cases {
        let header = request(0, t(0), mcb(0, request_octets));
        let mut far = Far::processing(&carrying(header, blocks));
        let mut octets = 0;
        let mut step = far.respond(t(0), mcb(0, segment));
        while far.remote.state() == State::Responded {
            for packet in packets(&step.burst) {
                octets += 68 + packet.padded;
            }
            far.cx.now = far.remote.deadline();
            step = far.remote.timeout(true, &far.cx);
        }
        let came = 68 + request_octets;
        assert!(octets >= 68 + segment, "{segment}: {octets}");
        assert!(octets <= 3 * came, "{segment}: {octets} for {came}");
    }
    // Whoever is there has all repeats, five of them.
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    far.respond(t(0), mcb(0, 1_000));
    let mut step = far.remote.probed(Presence::At(t(0)), true, &far.cx);
    let mut number = 0;
    while far.remote.state() == State::Responded {
        number += packets(&step.burst).len();
        far.cx.now = far.remote.deadline();
        step = far.remote.timeout(true, &far.cx);
    }
    assert_eq!(number, 6);
}

/// Shows: D-28-a
#[test]
fn what_is_proven_of_one_host_allows_nothing_for_another() {
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    far.respond(t(0), mcb(0, 1_000));
    assert!(far
        .remote
        .probed(Presence::At(t(0)), true, &far.cx)
        .burst
        .is_some());
    // From there as much as it wants; from elsewhere as from anybody.
    far.request(&request(0, t(1), mcb(0, 0)));
    assert!(far.respond(t(1), mcb(0, 1_000)).burst.is_some());
    far.source.peer = OTHER_HOST;
    far.request(&request(0, t(2), mcb(0, 0)));
    let step = far.respond(t(2), mcb(0, 1_000));
    assert_eq!((step.burst, step.event), (None, Event::Probe));
    // Who is asked is not somebody else meanwhile.
    far.source.peer = CLIENT_HOST;
    far.request(&request(0, t(2), mcb(0, 0)));
    assert_eq!(far.remote.peer(), OTHER_HOST);
    // Nor does what came from one host count for the other.
    let mut far = Far::processing(&carrying(request(0, t(0), mcb(0, 1_024)), 0b11));
    far.source.peer = OTHER_HOST;
    far.request(&request(0, t(0), mcb(0, 1_024)));
    let step = far.respond(t(0), mcb(0, 1_000));
    assert_eq!((step.burst, step.event), (None, Event::Probe));
}

/// A run whose Client is not there: neither the held Response nor what waits behind it stays for ever.
#[test]
fn run_of_a_client_that_is_not_there_ends_with_its_held_response() {
    let header = request(Control::NER, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    let step = far.request(&request(Control::NSR, t(1), mcb(0, 0)));
    assert!(arrival(&step).queued);
    // Three times what was received is the limit for a Client that was never probed.
    let step = far.respond(t(0), mcb(0, 5_000));
    assert_eq!((step.event, step.burst), (Event::Probe, None));
    far.remote.probed(Presence::Absent, true, &far.cx);
    far.cx.now = far.remote.deadline();
    let step = far.remote.timeout(true, &far.cx);
    assert!(step.aborted, "the second Request is void");
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    far.cx.now = far.remote.deadline();
    assert_eq!(far.remote.timeout(true, &far.cx).event, Event::Expired);
}
