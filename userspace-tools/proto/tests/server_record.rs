// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a record of a remote Client tells its host: when it may go, what is newest of its Client, and what a Request
//! for another server of the host ends (RFC 1045, 2.3, 5.3; decision 20).

mod common;

use common::far::{arrival, Far, MULTICAST, TS1, TS3, WAITING};
use common::{at, carrying, mcb, request, t, GROUP};
use vmtp_proto::server::{Drop, Event, Forward, Keep, Presence, Service, State};
use vmtp_proto::wire::{Control, ResponseCode};

/// A Client that still waits for a Response repeats its Request within this time.
const SURELY_HEARD: u64 = 10_000;

/// Decision 20: under memory pressure a record may go that has nothing in progress, and whose Client would have asked
/// again by now.
#[test]
fn record_may_go_when_nothing_is_in_progress_and_its_client_was_quiet() {
    let header = request(0, t(0), mcb(0, 0));
    // While the Request is with the server it stays, however long.
    let mut far = Far::processing(&header);
    assert!(!far.remote.is_idle(at(100 * SURELY_HEARD)));
    // Answered without a segment, which nobody acknowledges.
    far.respond(t(0), mcb(0, 0));
    assert!(!far.remote.is_idle(at(SURELY_HEARD - 1)));
    assert!(far.remote.is_idle(at(SURELY_HEARD)));
    // Asked again: counted from then.
    far.at(500).request(&header);
    assert!(!far.remote.is_idle(at(SURELY_HEARD)));
    assert!(far.remote.is_idle(at(500 + SURELY_HEARD)));
    // The Response is gone.
    let mut far = Far::processing(&header);
    far.remote.abandon(t(0), &far.cx).unwrap();
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    assert!(!far.remote.is_idle(at(SURELY_HEARD - 1)));
    assert!(far.remote.is_idle(at(SURELY_HEARD)));
    // Nothing was ever executed for it.
    let mut far = Far::new(&header);
    far.service.room = false;
    far.request(&header);
    assert!(far.remote.is_idle(at(0)));
    // Part of a Request is there.
    let long = request(0, t(0), mcb(0, 2_048));
    let (far, _) = Far::with(&carrying(long, 1));
    assert!(far.remote.holds_packets() && !far.remote.is_idle(at(SURELY_HEARD)));
    // It waits for a Probe, or its Response does.
    let mut far = Far::new(&header);
    far.service.probe = true;
    far.request(&header);
    assert!(!far.remote.is_idle(at(SURELY_HEARD)));
    let mut far = Far::processing(&header);
    far.respond(t(0), mcb(0, 10_000));
    assert!(far.remote.is_probing() && !far.remote.is_idle(at(SURELY_HEARD)));
    far.remote.probed(Presence::Absent, true, &far.cx);
    assert!(!far.remote.is_probing() && !far.remote.is_idle(at(SURELY_HEARD)));
    // Another server was asked to answer.
    let mut far = Far::processing(&header);
    let forward = Forward {
        server: common::OTHER_SERVER,
        mcb: mcb(0, 0),
        flags: 0,
        hco: false,
    };
    far.remote.forward(t(0), &forward, &far.cx).unwrap();
    assert!(!far.remote.is_idle(at(SURELY_HEARD)));
    assert_eq!(far.remote.forward_server(), common::OTHER_SERVER);
}

#[test]
fn packets_are_held_until_their_request_is_delivered() {
    let long = request(0, t(0), mcb(0, 2_048));
    let mut far = Far::new(&long);
    assert!(!far.remote.holds_packets() && !far.remote.is_receiving());
    far.request(&carrying(long, 0b0011));
    assert!(far.remote.holds_packets() && far.remote.is_receiving());
    far.request(&carrying(long, 0b1100));
    assert!(!far.remote.holds_packets() && !far.remote.is_receiving());
    // Complete, but its Client is being probed.
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::new(&header);
    far.service.probe = true;
    far.request(&header);
    assert!(far.remote.holds_packets() && !far.remote.is_receiving());
}

#[test]
fn record_knows_whether_a_long_response_is_welcome_and_who_passed_the_request_on() {
    let plain = Far::processing(&request(0, t(0), mcb(0, 0)));
    assert!(!plain.remote.takes_long_response() && !plain.remote.is_passed_on());
    let long = Far::processing(&request(Control::STI, t(0), mcb(0, 0)));
    assert!(long.remote.takes_long_response());
    let mut header = request(0, t(0), mcb(0, 0));
    header.control = header.control.with_forward_count(3);
    let passed = Far::processing(&header);
    assert!(passed.remote.is_passed_on());
    assert_eq!(passed.remote.forward_count(), 3);
}

/// 2.3, 5.3: a new Request of the Client outside a run, for another server here, ends what it had with this one.
#[test]
fn newer_request_for_another_server_ends_what_is_older() {
    let header = request(0, t(5), mcb(0, 0));
    for (by, over) in [(t(4), false), (t(5), false), (t(6), true)] {
        let mut far = Far::processing(&header);
        let step = far.remote.superseded(by, &far.cx);
        assert_eq!(step.aborted, over, "{by:?}");
        let state = if over {
            State::ResponseDiscarded
        } else {
            State::Processing
        };
        assert_eq!(far.remote.state(), state);
    }
    // What is being received counts as well.
    let (mut far, _) = Far::with(&carrying(request(0, t(5), mcb(0, 2_048)), 1));
    assert_eq!(far.remote.newest(), t(5));
    far.remote.superseded(t(5), &far.cx);
    assert!(far.remote.is_receiving());
    far.remote.superseded(t(6), &far.cx);
    assert!(!far.remote.is_receiving());
    // Then nothing was executed, and nothing is aborted.
    let (mut far, _) = Far::with(&carrying(request(0, t(5), mcb(0, 2_048)), 1));
    assert!(!far.remote.superseded(t(6), &far.cx).aborted);
}

/// Shows: 4.8-i
/// Packets for which there is no memory are no lost packets: the Client learns that the server is busy, and what is kept
/// of its Request does not fill the memory in which another could be completed.
#[test]
fn request_whose_rest_has_no_memory_is_refused_and_not_remembered() {
    let long = request(0, t(0), mcb(0, 2_048));
    let mut far = Far::new(&long);
    far.request(&carrying(long, 0b0001));
    far.service.memory = false;
    far.service.room = false;
    let step = far.request(&carrying(long, 0b0010));
    assert_eq!(step.keep, Keep::Drop(Drop::NoRoom));
    assert_eq!(common::far::code_of(&step.notify), Some(ResponseCode::Busy));
    assert_eq!(step.notify.unwrap().transaction, t(0));
    assert!(!far.remote.holds_packets());
    assert_eq!(far.remote.deadline(), at(common::far::TS4));
    // The packets behind it tell nothing new.
    for blocks in [0b0100, 0b1000] {
        let step = far.request(&carrying(long, blocks));
        assert_eq!(step.keep, Keep::Drop(Drop::NoRoom));
        assert_eq!(step.notify, None);
    }
    // The first of another try does, and so does one without data.
    for blocks in [0b0001, 0] {
        let step = far.request(&carrying(long, blocks));
        assert_eq!(common::far::code_of(&step.notify), Some(ResponseCode::Busy));
    }
    far.service = WAITING;
    far.request(&carrying(long, 0b0011));
    let step = far.request(&carrying(long, 0b1100));
    assert_eq!(arrival(&step).transaction, t(0));
    // A question without data needs no memory.
    let mut far = Far::new(&long);
    far.request(&carrying(long, 0b0001));
    far.service.memory = false;
    let step = far.request(&carrying(long, 0));
    assert_eq!(
        common::far::code_of(&step.notify),
        Some(ResponseCode::Retry)
    );
    // A group behind one that was refused is no gap within a round trip: the Client sends all of it again.
    let first = request(Control::NER | Control::CMG, t(5), mcb(0, 20_000));
    let second = request(Control::NSR | Control::CMG, t(6), mcb(0, 20_000));
    let mut far = Far::new(&first);
    far.request(&carrying(first, 1));
    far.service = Service {
        memory: false,
        room: false,
        ..WAITING
    };
    let step = far.request(&carrying(first, 2));
    assert_eq!(common::far::code_of(&step.notify), Some(ResponseCode::Busy));
    assert_eq!(far.request(&carrying(second, 1)).notify, None);
    assert_eq!(far.request(&carrying(first, 4)).notify, None);
    assert_eq!(far.request(&carrying(second, 2)).notify, None);
    let quiet = far.cx.timing.round_trip;
    far.cx.now = far.cx.now.plus(quiet);
    let step = far.request(&carrying(second, 4));
    assert_eq!(
        common::far::code_of(&step.notify),
        Some(ResponseCode::RetryAll)
    );
}

/// Figure 5-1: the queue filled while the Request came. It is not remembered, and may come again.
#[test]
fn request_that_finds_no_room_when_it_is_complete_is_refused_and_not_remembered() {
    let long = request(Control::APG, t(0), mcb(0, 2_048));
    let mut far = Far::new(&long);
    far.request(&carrying(long, 0b0011));
    far.service.room = false;
    let step = far.request(&carrying(long, 0b1100));
    assert_eq!(step.event, Event::None);
    assert_eq!(common::far::code_of(&step.notify), Some(ResponseCode::Busy));
    assert_eq!(step.notify.unwrap().transaction, t(0));
    assert_eq!(far.remote.state(), State::AwaitingRequest);
    assert_eq!(far.remote.deadline(), at(common::far::TS4));
    far.service.room = true;
    far.request(&carrying(long, 0b0011));
    let step = far.request(&carrying(long, 0b1100));
    assert_eq!(arrival(&step).transaction, t(0));
    // A member of a run names the last one that was taken.
    let mut far = Far::processing(&request(Control::NER, t(0), mcb(0, 0)));
    far.request(&request(Control::NSR | Control::NER, t(1), mcb(0, 0)));
    let third = request(Control::NSR, t(2), mcb(0, 2_048));
    far.request(&carrying(third, 0b0011));
    far.service.room = false;
    let notify = far.request(&carrying(third, 0b1100)).notify.unwrap();
    assert_eq!(notify.code, ResponseCode::MsgtransOverflow.code());
    assert_eq!(notify.transaction, t(1));
    // What came by multicast is refused in silence.
    let mut header = request(0, t(0), mcb(0, 2_048));
    header.server = GROUP;
    let mut far = Far::new(&header);
    far.source = MULTICAST;
    far.request(&carrying(header, 0b0011));
    far.service.room = false;
    assert_eq!(far.request(&carrying(header, 0b1100)).notify, None);
}

/// 4.8: PGcount of an acknowledgment counts the groups before the one it names.
#[test]
fn acknowledgment_of_a_group_counts_those_before_it() {
    let groups = |number: u32| {
        let place = if number == 0 { 0 } else { Control::NSR };
        let more = if number == 2 {
            0
        } else {
            Control::CMG | Control::NER
        };
        let control = place | more | Control::APG;
        let mut header = request(control, t(number), mcb(0, 40_000));
        header.delivery =
            vmtp_proto::wire::Mask::for_octets(if number == 2 { 7_232 } else { 16_384 });
        header
    };
    let mut far = Far::new(&groups(0));
    for number in 0..3 {
        let step = far.request(&groups(number));
        let notify = step.notify.unwrap();
        assert_eq!(notify.code, ResponseCode::Ok.code());
        assert_eq!(notify.transaction, t(number));
        assert_eq!(u32::from(notify.control.pg_count()), number);
        let held = if number == 2 { 0x7FFF } else { u32::MAX };
        assert_eq!(notify.delivery.bits(), held);
    }
    // Asked without its data: a group that is there is acknowledged, with all before it.
    let mut far = Far::new(&groups(0));
    far.request(&groups(0));
    let mut asking = groups(0);
    asking.delivery = vmtp_proto::wire::Mask::EMPTY;
    let notify = far.request(&asking).notify.unwrap();
    assert_eq!(
        (notify.code, notify.transaction),
        (ResponseCode::Ok.code(), t(0))
    );
    // One that is not there at all is a gap.
    let mut asking = groups(2);
    asking.delivery = vmtp_proto::wire::Mask::EMPTY;
    let notify = far.request(&asking).notify.unwrap();
    assert_eq!(
        (notify.code, notify.transaction),
        (ResponseCode::RetryAll.code(), t(0))
    );
    // And the one that is being received is asked for.
    let mut asking = groups(1);
    asking.delivery = vmtp_proto::wire::Mask::EMPTY;
    let notify = far.request(&asking).notify.unwrap();
    assert_eq!(
        (notify.code, notify.transaction),
        (ResponseCode::Retry.code(), t(1))
    );
}

/// 2.5.5: TS1 until the next packet of the group, TS3 until the next group.
#[test]
fn next_packet_is_waited_for_ts1_and_the_next_group_ts3() {
    let control = Control::CMG | Control::NER;
    let mut first = request(control, t(0), mcb(0, 40_000));
    first.delivery = vmtp_proto::wire::Mask::from_bits(0xFFFF);
    let (mut far, _) = Far::with(&first);
    assert_eq!(far.remote.deadline(), at(TS1));
    first.delivery = vmtp_proto::wire::Mask::from_bits(0xFFFF_0000);
    far.request(&first);
    assert_eq!(far.remote.deadline(), at(TS3));
    // A packet that brings nothing does not put it off.
    far.at(100).request(&first);
    assert_eq!(far.remote.deadline(), at(TS3));
}
