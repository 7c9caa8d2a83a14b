// SPDX-License-Identifier: GPL-2.0 OR MIT

//! NotifyVmtpServer of RFC 1045, 5.8, and the NotifyVmtpClient that a server sends (4.5).

mod common;

use common::far::{code_of, refused, Far, MULTICAST, TS3, TS4, UNICAST};
use common::{at, carrying, deliveries, headers, mask, mcb, packets, request, t};
use common::{to_server, CLIENT, CLIENT_HOST, OTHER_HOST};
use vmtp_proto::server::{Drop, Event, Keep, Presence, Refusal, State, Step, Stop, To};
use vmtp_proto::wire::{Code, Control, NotifyVmtpClient, Priority, ResponseCode};

/// A Response of 16 KiB was sent at 0 ms, to a Client that was probed.
fn responded() -> Far {
    let header = request(0, t(0), mcb(0, 16_384));
    let mut far = Far::new(&header);
    far.service.probe = true;
    for pair in 0..16 {
        far.request(&carrying(header, 0b11 << (2 * pair)));
    }
    far.remote.probed(Presence::At(t(0)), true, &far.cx);
    far.respond(t(0), mcb(0, 16_384));
    far
}

/// Shows: 5.8-a
#[test]
fn notify_that_matches_no_response_has_no_effect() {
    let far = responded();
    let other_client = vmtp_proto::wire::NotifyVmtpServer {
        client: common::SERVER,
        ..to_server(ResponseCode::Ok, t(0), 0)
    };
    assert!(!far.remote.is_notified_by(&other_client));
    for about in [t(1), t(0).minus(1), t(500)] {
        let notify = to_server(ResponseCode::Ok, about, 0);
        assert!(!far.remote.is_notified_by(&notify));
    }
    // Not responded yet.
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    let before = far.remote;
    for code in [ResponseCode::Ok, ResponseCode::Retry, ResponseCode::Busy] {
        let step = far.remote.notified(&to_server(code, t(0), 0), &far.cx);
        assert_eq!(step.keep, Keep::Drop(Drop::Unwanted));
        assert_eq!((step.burst, step.notify), (None, None));
        assert_eq!(far.remote, before);
    }
}

/// Shows: 5.8-e
#[test]
fn retry_sends_the_missing_blocks_at_once_counts_one_and_arms_ts3() {
    let mut far = responded();
    let sent = far.remote;
    let step = far.at(3).notified(ResponseCode::Retry, t(0), 0xFFFF_0FF0);
    assert_eq!(deliveries(&step.burst), [0x0003, 0x000C, 0x3000, 0xC000]);
    assert_eq!(far.remote.deadline(), at(3 + TS3));
    assert_ne!(far.remote, sent);
    assert_eq!(far.remote.state(), State::Responded);
    // One more without progress, and so on up to the limit: five in all.
    for _ in 0..4 {
        let step = far.notified(ResponseCode::Retry, t(0), 0xFFFF_0FF0);
        assert_eq!(packets(&step.burst).len(), 4);
    }
}

/// Shows: 5.8-f
#[test]
fn retry_beyond_the_limit_discards_the_response() {
    let mut far = responded();
    let mut bursts = 0;
    while far.remote.state() == State::Responded {
        let step = far.notified(ResponseCode::Retry, t(0), 0x0000_0001);
        bursts += u32::from(step.burst.is_some());
        assert_eq!(step.release, step.burst.is_none());
    }
    // The first told something new; five more did not.
    assert!((5..=6).contains(&bursts), "{bursts}");
    assert_eq!(far.remote.state(), State::ResponseDiscarded);
    let step = far.notified(ResponseCode::Retry, t(0), 1);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::ResponseDiscarded));
}

/// Shows: 5.8-d
#[test]
fn retry_for_an_idempotent_response_is_a_protocol_error() {
    let header = request(0, t(0), mcb(0, 1_024));
    let mut far = Far::processing(&carrying(header, 0b11));
    far.respond(t(0), mcb(Code::DGM, 1_024));
    for code in [ResponseCode::Retry, ResponseCode::RetryAll] {
        let mut far = Far { ..copy(&far) };
        let step = far.notified(code, t(0), 1);
        assert_eq!((step.burst, step.notify), (None, None));
    }
    let step = far.notified(ResponseCode::Retry, t(0), 1);
    assert_eq!(step.keep, Keep::Drop(Drop::Protocol));
}

fn copy(far: &Far) -> Far {
    Far {
        remote: far.remote,
        cx: far.cx,
        source: far.source,
        service: far.service,
    }
}

/// 5.8: everything again after TS3, with a fresh count. (Its time limit has no counterpart here.)
#[test]
fn busy_sends_the_whole_response_again_after_ts3() {
    let mut far = responded();
    let step = far.at(2).notified(ResponseCode::Busy, t(0), 0);
    assert_eq!(step.burst, None);
    let step = far.timeout(2 + TS3);
    assert_eq!(packets(&step.burst).len(), 16);
    let mut more = 0;
    while far.remote.state() == State::Responded {
        far.cx.now = far.remote.deadline();
        more += u32::from(far.remote.timeout(true, &far.cx).burst.is_some());
    }
    assert!(more >= 4, "{more}");
}

/// Shows: 5.8-h
#[test]
fn migrated_client_is_looked_for_at_once_and_sent_the_whole_response_where_it_is() {
    let mut far = responded();
    let step = far
        .at(2)
        .notified(ResponseCode::EntityMigrated, t(0), 0xFFFF);
    assert_eq!((step.event, step.burst), (Event::Locate, None));
    assert_eq!((step.stop, far.remote.sought()), (Stop::Yes, CLIENT));
    // While it is looked for nothing goes to where it is not, and it is looked for once.
    let step = far.notified(ResponseCode::EntityMigrated, t(0), 0);
    assert_eq!((step.event, step.burst), (Event::None, None));
    assert!(far.remote.deadline() >= at(2 + TS4));
    let mut nowhere = copy(&far);
    let mut asks = copy(&far);
    far.at(7);
    let step = far.remote.located(Some(OTHER_HOST), &far.cx);
    assert_eq!(far.remote.peer(), OTHER_HOST);
    assert_eq!((step.to, packets(&step.burst).len()), (To::Peer, 16));
    assert!(!step.release);
    // With a fresh count.
    let mut more = 0;
    while far.remote.state() == State::Responded {
        far.cx.now = far.remote.deadline();
        more += packets(&far.remote.timeout(true, &far.cx).burst).len();
    }
    assert_eq!(more, 5);
    // What was found twice changes nothing.
    let step = far.remote.located(Some(CLIENT_HOST), &far.cx);
    assert_eq!(step, Step::NOTHING);
    assert_eq!(far.remote.peer(), OTHER_HOST);
    // A Client that is nowhere wants no Response.
    let step = nowhere.remote.located(None, &nowhere.cx);
    assert!(step.release);
    assert_eq!(nowhere.remote.state(), State::ResponseDiscarded);
    // One that asks again tells where it is itself.
    asks.source.peer = OTHER_HOST;
    let again = request(Control::APG, t(0), mcb(0, 16_384));
    assert!(asks.request(&again).burst.is_some());
    assert_eq!(asks.remote.peer(), OTHER_HOST);
    let step = asks.remote.located(Some(CLIENT_HOST), &asks.cx);
    assert_eq!((step, asks.remote.peer()), (Step::NOTHING, OTHER_HOST));
}

/// 5.8: the Client of a forwarded Request is looked for as well; the forwarder is still told.
#[test]
fn migrated_client_of_a_forwarded_request_is_answered_where_it_is() {
    let mut header = request(0, t(0), mcb(0, 8_192));
    header.control = header.control.with_forward_count(1);
    let mut far = Far::processing(&carrying(header, 0xFFFF));
    far.respond(t(0), mcb(0, 4_096));
    let step = far.notified(ResponseCode::EntityMigrated, t(0), 0);
    assert_eq!(step.event, Event::Locate);
    let step = far.remote.located(Some(OTHER_HOST), &far.cx);
    // The host has learned where that is.
    assert_eq!((step.to, packets(&step.burst).len()), (To::Client, 4));
    assert_eq!(far.remote.peer(), CLIENT_HOST);
    let step = far.notified(ResponseCode::Ok, t(0), 0xFF);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::ResponseDiscarded));
    assert!(step.notify_remote);
}

/// Shows: 5.8-i
#[test]
fn ok_and_every_error_end_the_transmission() {
    let others = [
        ResponseCode::Retry,
        ResponseCode::RetryAll,
        ResponseCode::Busy,
        ResponseCode::EntityMigrated,
    ];
    for code in ResponseCode::ALL {
        if others.contains(code) {
            continue;
        }
        let mut far = responded();
        let step = far.at(4).notified(*code, t(0), u32::MAX);
        assert!(step.release, "{code:?}");
        assert_eq!((step.burst, step.notify), (None, None), "{code:?}");
        assert_eq!(far.remote.state(), State::ResponseDiscarded);
        assert_eq!(far.remote.deadline(), at(4 + TS4));
    }
}

/// Shows: III-0110-b
#[test]
fn retry_all_sends_what_is_missing_and_all_later_groups_again() {
    let header = request(Control::STI, t(0), mcb(0, 16_384));
    let mut far = Far::new(&header);
    far.cx.timing.window = 4;
    for pair in 0..16 {
        far.request(&carrying(header, 0b11 << (2 * pair)));
    }
    far.respond(t(0), mcb(0, 3 * 16_384));
    far.remote.probed(Presence::At(t(0)), true, &far.cx);
    let numbers = |step: &Step| {
        let mut numbers: Vec<u32> = headers(&step.burst)
            .iter()
            .map(|header| header.transaction.bits() - common::T)
            .collect();
        numbers.dedup();
        numbers
    };
    // The last group complete is the first.
    let step = far.notified(ResponseCode::RetryAll, t(0), 0);
    assert_eq!(numbers(&step), [1, 2]);
    assert_eq!(packets(&step.burst).len(), 32);
    // None is.
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    far.respond(t(0), mcb(0, 100));
    let step = far.notified(ResponseCode::RetryAll, t(0).minus(1), 0);
    assert_eq!(numbers(&step), [0]);
    assert_eq!(deliveries(&step.burst), [0b1]);
}

/// Shows: 4.5-a
#[test]
fn notify_vmtp_client_tells_the_record_or_without_one_the_packet() {
    let mut header = request(Control::APG | Control::NRT, t(0), mcb(0, 4_096));
    header.control = header
        .control
        .without(Control::NRT)
        .with_retransmit_count(5)
        .with_priority(Priority::URGENT)
        .with_gap(44);
    let (mut far, _) = Far::with(&carrying(header, 0b1100_0011));
    let step = far.request(&header);
    let expected = NotifyVmtpClient {
        client: CLIENT,
        // Flags, count and priority of the Request, no gap, and a Response's function code.
        control: Control::from_bits(Control::APG | 5 << 20 | 0xC1),
        receive_sequence: 0,
        transaction: t(0),
        delivery: mask(0b1100_0011),
        code: ResponseCode::Retry.code(),
    };
    assert_eq!(step.notify, Some(expected), "{:x?}", step.notify);
    // Without a record.
    let packet = carrying(header, 0b0000_1100);
    let notify = refused(&packet, Refusal::NonexistentEntity, &UNICAST);
    let expected = NotifyVmtpClient {
        delivery: mask(0b0000_1100),
        code: ResponseCode::NonexistentEntity.code(),
        ..expected
    };
    assert_eq!(notify, Some(expected));
}

#[test]
fn every_refusal_has_its_code_and_none_answers_a_multicast() {
    let header = request(0, t(0), mcb(0, 0));
    for (refusal, code) in [
        (Refusal::NonexistentEntity, 4),
        (Refusal::EntityMigrated, 5),
        (Refusal::NoRunRecord, 12),
        (Refusal::Busy, 3),
        (Refusal::NoPermission, 6),
        (Refusal::SecurityRequired, 18),
        (Refusal::SecurityNotSupported, 16),
        (Refusal::VmtpError, 8),
    ] {
        let notify = refused(&header, refusal, &UNICAST).unwrap();
        assert_eq!(notify.code.bits(), code);
        assert_eq!(refused(&header, refusal, &MULTICAST), None);
    }
}

/// Karn: of a Response that was sent twice nobody knows which was acknowledged.
#[test]
fn only_a_response_that_was_sent_once_tells_its_round_trip() {
    let mut far = responded();
    let step = far.at(7).notified(ResponseCode::Ok, t(0), u32::MAX);
    assert_eq!(
        step.round_trip,
        Some(vmtp_proto::time::Span::from_millis(7))
    );
    let mut far = responded();
    far.cx.now = far.remote.deadline();
    assert!(far.remote.timeout(true, &far.cx).burst.is_some());
    let step = far.notified(ResponseCode::Ok, t(0), u32::MAX);
    assert_eq!(step.round_trip, None);
}
