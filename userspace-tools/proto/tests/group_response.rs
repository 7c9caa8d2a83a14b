// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Group Responses (RFC 1045, 2.7, 4.7.1 note 3), and what a Client does with many Responses.

mod common;

use common::far::{Far, MULTICAST};
use common::near::{delivery, plain, to_group, Near, TC1};
use common::{at, carrying, mcb, ms, only, packets, request, response, t};
use common::{CLIENT, GROUP, OTHER_HOST, OTHER_SERVER, SERVER, SERVER_HOST};
use vmtp_proto::client::{no_room, Event as ClientEvent, Keep, Reply, ReplyState, State as Call};
use vmtp_proto::peer::Peer;
use vmtp_proto::server::{
    Drop, Overheard, OverheardStep, Presence, Respond, RespondError, Source, State, Step, To,
};
use vmtp_proto::wire::{Code, Control, Entity, Header, ResponseCode};

/// A Request to GROUP that the member SERVER handles.
fn member(control: u32) -> Far {
    let mut header = carrying(request(control, t(0), mcb(Code::MRD, 1_024)), 0b11);
    header.server = GROUP;
    let mut far = Far::new(&header);
    far.source = MULTICAST;
    far.request(&header);
    assert_eq!(far.remote.state(), State::Processing);
    far
}

fn respond(far: &mut Far, flags: u32, octets: u32) -> Step {
    let respond = Respond {
        flags,
        ..common::far::with(mcb(0, octets))
    };
    far.remote.respond(t(0), &respond, &far.cx).unwrap()
}

/// Shows: 2.7-e
#[test]
fn group_response_goes_to_the_group_and_to_a_client_that_is_no_member() {
    // The Client is no member: twice.
    let mut far = member(0);
    assert_eq!(far.remote.group(), Some(GROUP));
    let step = respond(&mut far, Control::MDG, 600);
    assert_eq!(step.to, To::GroupAndPeer);
    let packet = only(&step.burst);
    assert_eq!((packet.client, packet.server), (CLIENT, SERVER));
    assert!(packet.is_response() && !packet.control.has(Control::MDG));
    // It is: it hears it with the others.
    let mut far = member(Control::MDG);
    let step = respond(&mut far, Control::MDG, 600);
    assert_eq!(step.to, To::Group);
    assert!(only(&step.burst).control.has(Control::MDG));
    // Only the Client asks again, and only it is answered.
    let mut again = request(Control::MDG | Control::APG, t(0), mcb(Code::MRD, 1_024));
    again.server = GROUP;
    let step = far.request(&again);
    assert_eq!((step.to, packets(&step.burst).len()), (To::Peer, 1));
    far.cx.now = far.remote.deadline();
    assert_eq!(far.remote.timeout(true, &far.cx).to, To::Peer);
    // An idempotent one is made anew for a Client that asks again, which heard none of the group's.
    let mut far = member(Control::MDG);
    let idempotent = Respond {
        mcb: mcb(Code::DGM, 600),
        flags: Control::MDG,
        ..common::far::with(mcb(0, 600))
    };
    let step = far.remote.respond(t(0), &idempotent, &far.cx).unwrap();
    assert_eq!(step.to, To::Group);
    let mut again = request(Control::MDG | Control::APG, t(0), mcb(Code::MRD, 1_024));
    again.server = GROUP;
    again.control = again.control.with_retransmit_count(1);
    far.request(&carrying(again, 0b11));
    let step = far.remote.respond(t(0), &idempotent, &far.cx).unwrap();
    assert_eq!(step.to, To::GroupAndPeer);
    // Nobody asked for one, or the Request was no multicast.
    let mut far = member(Control::MDG);
    assert_eq!(respond(&mut far, 0, 600).to, To::Peer);
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    assert_eq!(far.remote.group(), None);
    let step = respond(&mut far, Control::MDG, 0);
    assert_eq!(step.to, To::Peer);
    assert!(!only(&step.burst).control.has(Control::MDG));
    // A delayed one (DRT) goes to the group after its delay.
    let mut far = member(Control::DRT);
    assert_eq!(respond(&mut far, Control::MDG, 0).burst, None);
    far.cx.now = far.remote.deadline();
    assert_eq!(far.remote.timeout(true, &far.cx).to, To::GroupAndPeer);
}

/// The Response of OTHER_SERVER to the same Request, one packet.
fn of_another(octets: u32, blocks: u32) -> Header {
    let mut header = carrying(response(0, t(0), mcb(0, octets)), blocks);
    header.server = OTHER_SERVER;
    header
}

/// Shows: 2.7-f
#[test]
fn group_response_is_offered_to_members_that_want_it_and_have_not_answered() {
    let header = of_another(0, 0);
    let refused = OverheardStep::Drop(Drop::Unwanted);
    let far = member(0);
    let complete = OverheardStep::Complete {
        keep: Keep::Restart,
        group_offset: 0,
        segment_octets: 0,
        message_delivery: None,
    };
    let take = |far: &Far, header: &Header, wanted| {
        let mut heard = Overheard::NONE;
        heard.packet(&far.remote, header, wanted, &far.cx)
    };
    assert_eq!(take(&far, &header, true), complete);
    // It did not opt in.
    assert_eq!(take(&far, &header, false), refused);
    // Another Client's, another transaction's, and its own.
    let others = [
        Header {
            client: Entity::from_bits(CLIENT.bits() + (1 << 32)),
            ..header
        },
        Header {
            transaction: t(1),
            ..header
        },
        Header {
            server: SERVER,
            ..header
        },
    ];
    for other in others {
        assert_eq!(take(&far, &other, true), refused);
    }
    // It has answered, or the Request was not the group's.
    let mut far = member(0);
    respond(&mut far, 0, 0);
    assert_eq!(take(&far, &header, true), refused);
    let far = Far::processing(&request(0, t(0), mcb(0, 0)));
    assert_eq!(take(&far, &header, true), refused);
}

#[test]
fn group_response_is_of_one_packet_group() {
    let long = |flags| Respond {
        flags,
        ..common::far::with(mcb(0, 16_385))
    };
    let mut far = member(Control::STI);
    let refused = far.remote.respond(t(0), &long(Control::MDG), &far.cx);
    assert_eq!(refused, Err(RespondError::TooLarge));
    // The Client alone may get it, and the group all of a packet group.
    assert!(far.remote.respond(t(0), &long(0), &far.cx).is_ok());
    let mut far = member(Control::STI);
    // So much leaves only after the Client was probed (decision 28).
    respond(&mut far, Control::MDG, 16_384);
    let step = far.remote.probed(Presence::At(t(0)), true, &far.cx);
    assert_eq!(step.to, To::GroupAndPeer);
    // Nobody hears the first group of a longer one in vain.
    let far = member(0);
    let mut heard = Overheard::NONE;
    let step = heard.packet(&far.remote, &of_another(16_385, 1), true, &far.cx);
    assert_eq!(step, OverheardStep::Drop(Drop::Unwanted));
}

#[test]
fn group_response_of_several_packets_is_put_together_once() {
    let far = member(0);
    let mut cx = far.cx;
    let mut heard = Overheard::NONE;
    let mut packet = |header: &Header, now: u64| {
        cx.now = at(now);
        heard.packet(&far.remote, header, true, &cx)
    };
    let part = |keep| OverheardStep::Part {
        keep,
        group_offset: 0,
    };
    assert_eq!(packet(&of_another(2_000, 0b11), 0), part(Keep::Restart));
    let mut third = of_another(0, 0);
    third.server = Entity::from_bits(0x2000_4004_0A00_0004);
    // One at a time.
    assert_eq!(packet(&third, 1), OverheardStep::Drop(Drop::NoRoom));
    assert_eq!(
        packet(&of_another(2_000, 0b11), 1),
        OverheardStep::Drop(Drop::Duplicate)
    );
    let complete = OverheardStep::Complete {
        keep: Keep::Keep,
        group_offset: 0,
        segment_octets: 2_000,
        message_delivery: None,
    };
    assert_eq!(packet(&of_another(2_000, 0b1100), 2), complete);
    assert!(matches!(packet(&third, 3), OverheardStep::Complete { .. }));
    // Each member's is delivered once.
    for (header, now) in [(of_another(2_000, 0b11), 4), (third, 5)] {
        let step = packet(&header, now);
        assert_eq!(step, OverheardStep::Drop(Drop::Duplicate));
    }
    // One of which the rest does not come makes room after a while.
    let mut fourth = of_another(2_000, 0b11);
    fourth.server = Entity::from_bits(0x2000_5005_0A00_0005);
    assert_eq!(packet(&fourth, 6), part(Keep::Restart));
    let mut fifth = of_another(0, 0);
    fifth.server = Entity::from_bits(0x2000_6006_0A00_0006);
    assert_eq!(packet(&fifth, 7), OverheardStep::Drop(Drop::NoRoom));
    assert!(matches!(
        packet(&fifth, 6 + 200),
        OverheardStep::Complete {
            keep: Keep::Restart,
            ..
        }
    ));
}

/// Sixteen members answer at once; the application has not asked for any but the first.
///
/// Shows: VII.8-a, D-23-b
#[test]
fn client_holds_the_responses_of_many_members() {
    let (mut near, _) = Near::start(&to_group(mcb(Code::MRD, 0)));
    let mut replies = [Reply::EMPTY; 16];
    let mut headers = Vec::new();
    for (index, reply) in replies.iter_mut().enumerate() {
        let mut header = carrying(response(0, t(0), mcb(0, 600)), 0b11);
        let number = u32::try_from(index).unwrap();
        header.server = Entity::from_bits(SERVER.bits() + (u64::from(number) << 32));
        let step = near.response_to(reply, &header, SERVER_HOST);
        assert_eq!(step.keep, Keep::Restart);
        assert_eq!(delivery(&step).segment_octets, 600);
        headers.push(header);
    }
    assert_eq!(near.call.state(), Call::Processing { collecting: true });
    // All are held, each with its server, and known: nothing is delivered twice.
    for (reply, header) in replies.iter_mut().zip(&headers) {
        assert_eq!(reply.state(), ReplyState::Delivered);
        assert_eq!(reply.server(), header.server);
        let step = near.response_to(reply, header, SERVER_HOST);
        assert_eq!(step.event, ClientEvent::None);
    }
    // Without MRD only the first is wanted.
    let (mut near, _) = Near::start(&to_group(mcb(0, 0)));
    near.response_to(&mut Reply::EMPTY.clone(), &headers[0], SERVER_HOST);
    let step = near.response_to(&mut Reply::EMPTY.clone(), &headers[1], OTHER_HOST);
    assert_eq!(step.event, ClientEvent::None);
}

/// Shows: 4.7.1-n
#[test]
fn response_for_which_there_is_no_memory_is_answered_with_busy() {
    let header = carrying(response(0, t(3), mcb(0, 600)), 0b11);
    let notify = no_room(&header);
    assert_eq!(notify.code, ResponseCode::Busy.code());
    assert_eq!((notify.client, notify.server), (CLIENT, SERVER));
    assert_eq!((notify.transaction, notify.delivery.bits()), (t(3), 0));
    // The server sends it again after TS3, when there may be room.
    let mut far = Far::processing(&carrying(request(0, t(3), mcb(0, 600)), 0b11));
    let first = far.respond(t(3), mcb(0, 600)).burst;
    let step = far.take(&notify);
    assert_eq!(step.burst, None);
    far.cx.now = far.remote.deadline();
    let again = far.remote.timeout(true, &far.cx).burst;
    assert_eq!(common::deliveries(&again), common::deliveries(&first));
}

/// Nothing is taken from one member's round trip: another may be slower.
///
/// Shows: 2.5.5-b
#[test]
fn timers_of_a_group_request_are_the_defaults_however_fast_a_member_is() {
    let (mut near, _) = Near::start(&to_group(mcb(Code::MRD, 0)));
    let mut replies = [Reply::EMPTY; 2];
    for (reply, (now, host)) in replies.iter_mut().zip([(1, SERVER_HOST), (80, OTHER_HOST)]) {
        let mut header = response(0, t(0), mcb(0, 0));
        header.server = if host == SERVER_HOST {
            SERVER
        } else {
            OTHER_SERVER
        };
        near.at(now);
        assert_eq!(near.response_to(reply, &header, host).round_trip, None);
    }
    let mut next = to_group(mcb(Code::MRD, 0));
    next.peer = Peer::inet([224, 0, 1, 7]);
    near.at(100);
    let (call, _) = near.client.start(&next, &near.cx).unwrap();
    assert_eq!(call.deadline(), at(100 + TC1));
    assert!(ms(TC1) >= ms(80));
}

/// The Client's Request went to a remote server, which forwards it to a server of the Client's own
/// host (5.7 note 1).
///
/// Shows: 5.7-a, 5.7-c
#[test]
fn forwarded_request_of_a_waiting_local_client_is_handled_here() {
    let forwarded = |transaction, count, octets, blocks| {
        let mut header = carrying(request(0, transaction, mcb(0, octets)), blocks);
        header.server = OTHER_SERVER;
        header.control = header.control.with_forward_count(count);
        header
    };
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    // Not the outstanding transaction.
    for wrong in [t(1), t(0).minus(1)] {
        assert!(!near.call.takes_forwarded(&forwarded(wrong, 1, 0, 0)));
    }
    // In one packet: a transaction between two entities of this host.
    let header = forwarded(t(0), 1, 1_024, 0b11);
    assert!(near.call.takes_forwarded(&header));
    let far = Far {
        source: Source {
            peer: SERVER_HOST,
            multicast: false,
        },
        ..Far::new(&header)
    };
    let mut far = Far {
        remote: vmtp_proto::server::Remote::new(&header, OTHER_SERVER, SERVER_HOST),
        ..far
    };
    assert!(matches!(
        far.request(&header).event,
        vmtp_proto::server::Event::Request(_)
    ));
    let step = far.respond(t(0), mcb(0, 0));
    assert_eq!(step.to, To::Client);
    let answer = only(&step.burst);
    assert_eq!(
        near.response(&answer).event,
        ClientEvent::Response(delivery(&{
            let (mut again, _) = Near::start(&plain(mcb(0, 0)));
            again.response(&answer)
        }))
    );
    // The Client has its Response: the same Request once more is late.
    assert!(!near.call.takes_forwarded(&header));
    // In several packets: a record that collects them, each packet let in.
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    let first = forwarded(t(0), 1, 2_000, 0b11);
    let mut far = Far::new(&first);
    assert!(near.call.takes_forwarded(&first));
    far.request(&first);
    assert!(far.remote.is_receiving());
    let second = forwarded(t(0), 1, 2_000, 0b1100);
    assert!(near.call.takes_forwarded(&second));
    assert!(matches!(
        far.request(&second).event,
        vmtp_proto::server::Event::Request(_)
    ));
    // Nobody waits at all.
    let (near, _) = Near::start(&plain(mcb(Code::DGM, 0)));
    let mut call = near.call;
    assert!(!call.takes_forwarded(&forwarded(t(0), 1, 0, 0)));
}

/// Shows: 5.7-b
#[test]
fn older_forward_of_a_local_client_is_discarded() {
    let forwarded = |count| {
        let mut header = request(0, t(0), mcb(0, 0));
        header.control = header.control.with_forward_count(count);
        header
    };
    let (mut near, _) = Near::start(&plain(mcb(0, 0)));
    assert!(near.call.takes_forwarded(&forwarded(2)));
    assert!(!near.call.takes_forwarded(&forwarded(1)));
    assert!(near.call.takes_forwarded(&forwarded(2)));
    assert!(near.call.takes_forwarded(&forwarded(3)));
    assert!(!near.call.takes_forwarded(&forwarded(2)));
}
