// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Forward of RFC 1045, 2.9, 5.3 and 5.6.3, and what a forwarded Request does at its new server.

mod common;

use common::far::{code_of, Far, MULTICAST, TS4};
use common::{at, carrying, count, flags, headers, mcb, only, packets, request, t, to_client};
use common::{CLIENT, OTHER_HOST, OTHER_SERVER};
use vmtp_proto::manager;
use vmtp_proto::server::{Event, Forward, ForwardError, RespondError, State, Step, To};
use vmtp_proto::wire::{Code, Control, Header, Mcb, Priority, ResponseCode};

fn to_other(mcb: Mcb) -> Forward {
    Forward {
        server: OTHER_SERVER,
        mcb,
        flags: 0,
        hco: false,
    }
}

/// A Request was forwarded at 0 ms.
fn forwarded(mcb: Mcb) -> (Far, Step) {
    let mut far = Far::processing(&request(0, t(0), common::mcb(0, 0)));
    let step = far.remote.forward(t(0), &to_other(mcb), &far.cx).unwrap();
    (far, step)
}

/// NotifyRemoteVmtpClient from the new server.
fn told(far: &mut Far, code: ResponseCode, delivery: u32) -> Step {
    let mut notify = to_client(code, t(0), delivery, 0);
    // Of what was forwarded, not of a Request with this Transaction that was forwarded elsewhere.
    notify.control = notify.control.with_forward_count(1);
    far.remote.forward_notified(&notify, &far.cx)
}

fn with_count(forwards: u8) -> Header {
    let mut header = request(0, t(0), mcb(0, 0));
    header.control = header.control.with_forward_count(forwards);
    header
}

/// Shows: D-24-a
#[test]
fn forwarded_request_keeps_client_and_transaction_and_counts_one_more() {
    for forwards in [0, 1, 14] {
        let mut header = with_count(forwards);
        header.control = header.control.with_priority(Priority::URGENT);
        let mut far = Far::processing(&header);
        let other = mcb(Code::PIC, 0);
        let step = far.remote.forward(t(0), &to_other(other), &far.cx).unwrap();
        assert_eq!(step.to, To::ForwardServer);
        let packet = only(&step.burst);
        assert_eq!(
            (packet.client, packet.transaction, packet.server),
            (CLIENT, t(0), OTHER_SERVER)
        );
        assert_eq!(packet.control.forward_count(), forwards + 1);
        assert_eq!(packet.control.priority(), Priority::URGENT);
        assert!(!packet.is_response());
        assert_eq!(packet.mcb(), other);
        assert_eq!(far.remote.state(), State::Forwarded);
        assert_eq!(far.remote.forward_server(), OTHER_SERVER);
    }
}

/// Of what the user asks for only NRT is passed on, and of the Request's flags only STI: the others are about its own
/// Transaction with the forwarder.
#[test]
fn of_the_flags_asked_for_a_forward_has_nrt_only_and_of_the_request_none_but_sti() {
    for sti in [0, Control::STI] {
        let of_request = Control::MDG | Control::DRT | Control::APG | sti;
        let mut far = Far::processing(&request(of_request, t(0), mcb(0, 0)));
        let asked =
            Control::NRT | Control::NSR | Control::NER | Control::MDG | Control::DRT | Control::APG;
        let forward = Forward {
            flags: asked,
            ..to_other(mcb(0, 0))
        };
        let step = far.remote.forward(t(0), &forward, &far.cx).unwrap();
        let all = asked | Control::STI | Control::CMG | Control::NRS;
        assert_eq!(flags(&step.burst, all), [Control::NRT | sti]);
    }
}

/// Decision 24: at ForwardCount 15, of a multicast Request, and of what is longer than a group.
#[test]
fn what_cannot_be_passed_on_wants_a_nested_call() {
    let nested = |mut far: Far, mcb| {
        let result = far.remote.forward(t(0), &to_other(mcb), &far.cx);
        assert_eq!(result, Err(ForwardError::Nested));
        // The Request stays with the server, whose reply to it is the nested call's.
        assert_eq!(far.remote.state(), State::Processing);
        assert!(far.respond(t(0), common::mcb(0, 0)).burst.is_some());
    };
    nested(Far::processing(&with_count(15)), mcb(0, 0));
    let mut far = Far::new(&with_count(0));
    far.source = MULTICAST;
    far.request(&with_count(0));
    nested(far, mcb(0, 0));
    nested(Far::processing(&with_count(0)), mcb(0, 16_385));
    let mut far = Far::processing(&with_count(0));
    let wrong = far.remote.forward(t(1), &to_other(mcb(0, 0)), &far.cx);
    assert_eq!(wrong, Err(ForwardError::NoRequest));
}

/// Shows: 2.9-c
#[test]
fn request_of_a_run_is_forwarded_by_a_nested_call_and_holds_up_the_next() {
    let mut far = Far::processing(&request(Control::NER, t(0), mcb(0, 0)));
    let step = far.request(&request(Control::NSR, t(1), mcb(0, 0)));
    assert!(common::far::arrival(&step).queued);
    let nested = far.remote.forward(t(0), &to_other(mcb(0, 0)), &far.cx);
    assert_eq!(nested, Err(ForwardError::Nested));
    assert_eq!(
        (far.remote.state(), far.remote.transaction()),
        (State::Processing, t(0))
    );
    // Only the nested call's Response lets the next one through.
    assert_eq!(far.respond(t(0), mcb(0, 0)).event, Event::Next);
}

/// Shows: 5.6.3-b
#[test]
fn forwarded_segment_asks_for_acknowledgment_and_is_dropped_then() {
    let (mut far, step) = forwarded(mcb(0, 4_096));
    assert_eq!(flags(&step.burst, Control::APG), [Control::APG; 4]);
    assert!(!step.release);
    let step = told(&mut far, ResponseCode::Ok, 0xFF);
    assert!(step.release);
    assert_eq!(far.remote.state(), State::Forwarded);
    assert_eq!(far.remote.deadline(), at(TS4));
    // Without a segment it does not ask.
    let (_, step) = forwarded(mcb(0, 0));
    assert_eq!(flags(&step.burst, Control::APG), [0]);
}

/// Shows: 5.6.3-c
#[test]
fn forward_is_never_idempotent() {
    let (mut far, step) = forwarded(mcb(Code::DGM, 1_024));
    assert!(!step.release);
    // It is retransmitted, and not handed to the server again.
    far.cx.now = far.remote.deadline();
    assert!(far.remote.timeout(true, &far.cx).burst.is_some());
    let step = far.request(&request(0, t(0), mcb(0, 0)));
    assert_eq!(step.event, Event::None);
}

/// Shows: 5.3-f
#[test]
fn forwarded_request_is_retransmitted_until_the_new_server_acknowledges() {
    let (mut far, _) = forwarded(mcb(0, 4_096));
    // As a client in AwaitingResponse: TC1 first.
    let mut far_again = Far {
        remote: far.remote,
        ..Far::new(&request(0, t(0), mcb(0, 0)))
    };
    for number in 1..=2 {
        far.cx.now = far.remote.deadline();
        if number == 1 {
            assert_eq!(far.cx.now, at(600));
        }
        let step = far.remote.timeout(true, &far.cx);
        let packet = only(&step.burst);
        assert_eq!((step.to, count(&step.burst)), (To::ForwardServer, number));
        assert!(packet.control.has(Control::APG) && packet.delivery.is_empty());
        assert_eq!(packet.control.forward_count(), 1);
    }
    told(&mut far, ResponseCode::Ok, 0xFF);
    far.cx.now = far.remote.deadline();
    assert_eq!(far.remote.timeout(true, &far.cx).burst, None);
    // A silent one hears it six times in all.
    let mut transmissions = 1;
    while far_again.remote.state() == State::Forwarded {
        far_again.cx.now = far_again.remote.deadline();
        let step = far_again.remote.timeout(true, &far_again.cx);
        transmissions += u32::from(step.burst.is_some());
    }
    assert_eq!(transmissions, 6);
}

/// Shows: 5.3-g
#[test]
fn in_forwarded_a_retransmission_of_the_client_is_answered_if_it_asks() {
    let (mut far, _) = forwarded(mcb(0, 0));
    let step = far.request(&request(Control::APG, t(0), mcb(0, 0)));
    assert_eq!(code_of(&step.notify), Some(ResponseCode::Ok));
    // Not yet acknowledged: it is passed on again.
    assert_eq!(only(&step.burst).server, OTHER_SERVER);
    assert_eq!(step.to, To::ForwardServer);
    let step = far.request(&request(0, t(0), mcb(0, 0)));
    assert_eq!(step.notify, None);
    // Acknowledged: the new server is asked only if the Client asks, for its Response may be lost.
    told(&mut far, ResponseCode::Ok, 0);
    let step = far.request(&request(0, t(0), mcb(0, 0)));
    assert_eq!((step.notify, step.burst), (None, None));
    let step = far.request(&request(Control::APG, t(0), mcb(0, 0)));
    assert_eq!(code_of(&step.notify), Some(ResponseCode::Ok));
    assert_eq!(only(&step.burst).server, OTHER_SERVER);
    assert_eq!(far.remote.state(), State::Forwarded);
}

/// The data are dropped once they were acknowledged: then only headers go to the new server.
///
/// Shows: 5.6.3-b
#[test]
fn acknowledged_data_are_not_sent_again() {
    let (mut far, _) = forwarded(mcb(0, 4_096));
    assert!(told(&mut far, ResponseCode::Ok, 0xFF).release);
    let step = far.request(&request(Control::APG, t(0), mcb(0, 0)));
    let packet = only(&step.burst);
    assert!(packet.delivery.is_empty() && packet.control.has(Control::APG));
    // The new server forgot it: there is nothing to send.
    assert_eq!(told(&mut far, ResponseCode::Retry, 0).burst, None);
    assert_eq!(told(&mut far, ResponseCode::Busy, 0), Step::NOTHING);
    assert_eq!(far.remote.state(), State::Forwarded);
}

/// A Request that was forwarded here, went round, and is back with ForwardCount 2.
fn back_again() -> Far {
    let (mut far, _) = forwarded(mcb(0, 0));
    far.source.peer = OTHER_HOST;
    let step = far.request(&with_count(2));
    assert!(matches!(step.event, Event::Request(_)), "{step:?}");
    far.source = common::far::UNICAST;
    far
}

/// 2.3: (Client, Transaction, ForwardCount) is one transaction. What the Client repeats is the one
/// that was forwarded from here (5.3), and is not executed (5.7), although the record is about a
/// later one.
///
/// Shows: 5.3-g, 5.7-d
#[test]
fn client_of_a_request_that_came_back_is_answered() {
    let mut far = back_again();
    let again = |far: &mut Far, flags| far.request(&request(flags, t(0), mcb(0, 0)));
    let step = again(&mut far, Control::APG);
    assert_eq!(step.event, Event::None);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::Ok));
    // To the Client, from which it came, and not to the forwarder.
    assert!(step.notify_sender && !step.notify_remote);
    assert_eq!(step.notify.unwrap().control.forward_count(), 0);
    assert_eq!(far.remote.peer(), OTHER_HOST);
    let step = again(&mut far, 0);
    assert_eq!((step.event, step.notify), (Event::None, None));
    // Its Response is sent again to the Client.
    far.respond(t(0), mcb(0, 0));
    let step = again(&mut far, Control::APG);
    assert_eq!(step.to, To::Client);
    assert!(only(&step.burst).control.is_response());
    assert_eq!((step.event, step.notify), (Event::None, None));
    // The forwarder still hears by its own operation.
    far.source.peer = OTHER_HOST;
    let mut header = with_count(2);
    header.control = header.control.with(Control::APG);
    assert!(!far.request(&header).notify_sender);
}

/// The same if it is forwarded once more from here.
#[test]
fn request_that_came_back_and_went_on_is_asked_for_there() {
    let mut far = back_again();
    let step = far
        .remote
        .forward(t(0), &to_other(mcb(0, 0)), &far.cx)
        .unwrap();
    assert_eq!(only(&step.burst).control.forward_count(), 3);
    let step = far.request(&request(Control::APG, t(0), mcb(0, 0)));
    assert_eq!(code_of(&step.notify), Some(ResponseCode::Ok));
    assert!(step.notify_sender);
    assert_eq!(step.to, To::ForwardServer);
    assert_eq!(only(&step.burst).control.forward_count(), 3);
    // A new transaction of the Client has no such past.
    far.request(&request(0, t(1), mcb(0, 0)));
    let mut far = Far::processing(&with_count(2));
    let step = far.request(&request(Control::APG, t(0), mcb(0, 0)));
    assert_eq!(
        (step.event, step.notify, step.burst),
        (Event::None, None, None)
    );
}

/// An idempotent Response cannot be made of a Request that changed on its way, and a discarded one
/// is told as such.
#[test]
fn response_that_is_gone_is_not_made_anew_for_an_earlier_forward() {
    let mut far = back_again();
    far.respond(t(0), mcb(Code::DGM, 0));
    let step = far.request(&request(Control::APG, t(0), mcb(0, 0)));
    assert_eq!(
        (step.event, step.notify, step.burst),
        (Event::None, None, None)
    );
    let mut far = back_again();
    far.respond(t(0), Mcb::refusal(ResponseCode::ResponseDiscarded));
    let step = far.request(&request(Control::APG, t(0), mcb(0, 0)));
    assert_eq!(code_of(&step.notify), Some(ResponseCode::ResponseDiscarded));
    assert!(step.notify_sender);
}

/// Shows: 5.3-h
#[test]
fn new_server_may_acknowledge_ask_for_blocks_or_report_an_error() {
    let (mut far, _) = forwarded(mcb(0, 4_096));
    let step = told(&mut far, ResponseCode::Retry, 0b0011_1111);
    assert_eq!(step.to, To::ForwardServer);
    assert_eq!(common::deliveries(&step.burst), [0b1100_0000]);
    assert_eq!(far.remote.state(), State::Forwarded);
    told(&mut far, ResponseCode::Ok, 0xFF);
    far.cx.now = far.remote.deadline();
    assert_eq!(far.remote.timeout(true, &far.cx).burst, None);
    // A final error goes on to the Client.
    let (mut far, _) = forwarded(mcb(0, 0));
    let step = told(&mut far, ResponseCode::NoPermission, 0);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::NoPermission));
    assert_eq!(step.notify.unwrap().transaction, t(0));
    assert!(!step.notify_remote);
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
}

/// III NotifyVmtpClient: "the Server should attempt to determine the new host address". So with a host
/// that says the server is not there, for its address was a guess (4.6.1 note 1).
#[test]
fn server_to_forward_to_that_is_elsewhere_is_looked_for_at_once() {
    for code in [
        ResponseCode::EntityMigrated,
        ResponseCode::NonexistentEntity,
    ] {
        let (mut far, first) = forwarded(mcb(0, 4_096));
        let step = told(far.at(3), code, 0);
        assert_eq!((step.event, step.burst), (Event::Locate, None), "{code:?}");
        assert_eq!((step.notify, far.remote.sought()), (None, OTHER_SERVER));
        assert!(far.remote.deadline() >= at(3 + TS4));
        let mut nowhere = far.remote;
        far.at(9);
        let step = far.remote.located(Some(OTHER_HOST), &far.cx);
        assert_eq!(step.to, To::ForwardServer);
        assert_eq!(
            common::deliveries(&step.burst),
            common::deliveries(&first.burst)
        );
        // The next transmission, and TC1 after it.
        assert_eq!((count(&step.burst), far.remote.deadline()), (1, at(609)));
        // The record is still about where the Request came from.
        assert_eq!(far.remote.peer(), common::CLIENT_HOST);
        // What the host that was found says is final.
        let step = told(&mut far, code, 0);
        assert_eq!(
            (step.event, code_of(&step.notify)),
            (Event::None, Some(code))
        );
        assert_eq!(far.remote.state(), State::ResponseDiscarded);
        // Nobody has it.
        let step = nowhere.located(None, &far.cx);
        assert_eq!(code_of(&step.notify), Some(ResponseCode::NonexistentEntity));
        assert_eq!(nowhere.state(), State::ResponseDiscarded);
    }
    // What was acknowledged is not there to be sent again.
    let (mut far, _) = forwarded(mcb(0, 4_096));
    told(&mut far, ResponseCode::Ok, u32::MAX);
    let step = told(&mut far, ResponseCode::NonexistentEntity, 0);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::NonexistentEntity));
}

/// A server of which no host is known, with the host looking for it.
#[test]
fn server_to_forward_to_is_looked_for_once_and_sent_to_when_it_is_found() {
    let (mut far, _) = forwarded(mcb(0, 0));
    assert!(far.remote.seek(&far.cx) && far.remote.is_seeking());
    assert!(!far.remote.seek(&far.cx));
    let step = far.remote.located(Some(OTHER_HOST), &far.cx);
    assert_eq!(only(&step.burst).server, OTHER_SERVER);
    assert!(!far.remote.is_seeking());
    // The host that was found may still say that it lives elsewhere.
    assert_eq!(
        told(&mut far, ResponseCode::EntityMigrated, 0).event,
        Event::Locate
    );
}

/// On the way an old acknowledgment was overtaken by what its host said later: the data are gone, and there is nothing to be
/// sent to where the server is found.
#[test]
fn server_that_had_the_request_already_is_sent_nothing_where_it_is_found() {
    let (mut far, _) = forwarded(mcb(0, 4_096));
    let step = told(&mut far, ResponseCode::EntityMigrated, 0);
    assert_eq!(step.event, Event::Locate);
    assert!(told(&mut far, ResponseCode::Ok, u32::MAX).release);
    assert!(!far.remote.is_seeking());
    let step = far.remote.located(Some(OTHER_HOST), &far.cx);
    assert_eq!(step, Step::NOTHING);
    assert_eq!(far.remote.state(), State::Forwarded);
}

/// 5.3: what it acknowledged it does not ask for any more, and neither is it too busy for it.
#[test]
fn late_question_about_an_acknowledged_forward_changes_nothing() {
    let (mut far, _) = forwarded(mcb(0, 1_024));
    told(&mut far, ResponseCode::Ok, u32::MAX);
    let deadline = far.remote.deadline();
    for code in [
        ResponseCode::Retry,
        ResponseCode::RetryAll,
        ResponseCode::Busy,
    ] {
        far.at(5);
        let step = told(&mut far, code, 0);
        assert_eq!((step.burst, step.notify), (None, None), "{code:?}");
        assert_eq!(far.remote.deadline(), deadline);
        assert_eq!(far.remote.state(), State::Forwarded);
    }
}

/// Shows: 5.3-i
#[test]
fn forwarded_ends_when_the_new_server_is_done_or_silent() {
    let (mut far, _) = forwarded(mcb(0, 0));
    let step = told(&mut far, ResponseCode::ResponseDiscarded, 0);
    assert_eq!(step.notify, None);
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    let (mut far, _) = forwarded(mcb(0, 0));
    let mut last = Step::NOTHING;
    while far.remote.state() == State::Forwarded {
        far.cx.now = far.remote.deadline();
        last = far.remote.timeout(true, &far.cx);
    }
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    assert_eq!(code_of(&last.notify), Some(ResponseCode::RetransTimeout));
}

/// Shows: 2.9-a
#[test]
fn server_of_a_forwarded_request_answers_the_client_directly() {
    let mut far = Far::processing(&with_count(1));
    let step = far.respond(t(0), mcb(0, 0));
    assert_eq!(step.to, To::Client);
    let packet = only(&step.burst);
    assert_eq!((packet.client, packet.transaction), (CLIENT, t(0)));
    // By timer too.
    let mut far = Far::processing(&with_count(1));
    far.respond(t(0), mcb(0, 60));
    far.cx.now = far.remote.deadline();
    let step = far.remote.timeout(true, &far.cx);
    assert_eq!((step.to, headers(&step.burst).len()), (To::Client, 1));
}

/// Shows: III-0111-a
#[test]
fn forwarder_is_notified_by_notify_remote_vmtp_client() {
    let mut header = request(Control::APG, t(0), mcb(0, 2_048));
    header.control = header.control.with_forward_count(1);
    let (mut far, _) = Far::with(&carrying(header, 0b0011));
    let step = far.request(&carrying(header, 0b1100));
    assert!(step.notify_remote);
    let notify = step.notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Ok.code());
    let wire = manager::notify_client(&notify, true);
    assert_eq!(wire.code.bits(), 0x4100_0111);
    assert_eq!(
        wire.parameters(),
        manager::notify_client(&notify, false).parameters()
    );
    // Its Response acknowledged, it tells the forwarder that all is done.
    far.respond(t(0), mcb(0, 100));
    let step = far.notified(ResponseCode::Ok, t(0), 1);
    assert!(step.notify_remote);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::ResponseDiscarded));
    // One that was not forwarded is notified in the ordinary way.
    let header = request(Control::APG, t(0), mcb(0, 0));
    let (_, step) = Far::with(&header);
    assert!(step.notify.is_some() && !step.notify_remote);
}

#[test]
fn forwarded_request_is_answered_by_nobody_here() {
    let (mut far, _) = forwarded(mcb(0, 0));
    let late = far.try_respond(t(0), mcb(0, 0));
    assert_eq!(late, Err(RespondError::NoRequest));
    let step = far.remote.forward_failed(&far.cx);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::NonexistentEntity));
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    assert!(packets(&step.burst).is_empty());
}

#[test]
fn of_the_flags_asked_for_a_forward_has_nrt_only() {
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    let forward = Forward {
        flags: Control::NRT | Control::NSR | Control::NER | Control::MDG,
        ..to_other(mcb(0, 0))
    };
    let step = far.remote.forward(t(0), &forward, &far.cx).unwrap();
    let all = Control::NRT | Control::NSR | Control::NER | Control::MDG | Control::APG;
    assert_eq!(flags(&step.burst, all), [Control::NRT]);
}

#[test]
fn notify_of_another_client_transaction_or_forward_is_not_about_a_forward() {
    let (far, _) = forwarded(mcb(0, 0));
    let mut right = to_client(ResponseCode::Ok, t(0), 0, 0);
    right.control = right.control.with_forward_count(1);
    assert!(far.remote.is_forward_notified_by(&right));
    let mut wrong = [right; 3];
    wrong[0].client = OTHER_SERVER;
    wrong[1].transaction = t(1);
    wrong[2].control = right.control.with_forward_count(2);
    for notify in wrong {
        assert!(!far.remote.is_forward_notified_by(&notify), "{notify:?}");
    }
    let here = Far::processing(&request(0, t(0), mcb(0, 0)));
    assert!(!here.remote.is_forward_notified_by(&right));
}

/// Of a Request that is being received: a packet of a time when it had been passed on less often is not a part of it.
#[test]
fn packet_of_an_earlier_forward_is_no_part_of_the_request_being_received() {
    let long = |forwards, blocks| {
        let mut header = carrying(request(0, t(0), mcb(0, 1_024)), blocks);
        header.control = header.control.with_forward_count(forwards);
        header
    };
    let (mut far, _) = Far::with(&long(2, 0b01));
    let step = far.request(&long(1, 0b10));
    assert_eq!(step.event, Event::None);
    assert!(far.remote.is_receiving());
    let step = far.request(&long(2, 0b10));
    assert!(matches!(step.event, Event::Request(_)));
}

/// Nobody asks again for a Request that was passed on, but its forwarder: it is no orphan after TS2.
#[test]
fn request_that_was_passed_on_is_not_an_orphan_so_soon() {
    let far = Far::processing(&with_count(1));
    assert_eq!(far.remote.deadline(), at(4 * TS4));
}
