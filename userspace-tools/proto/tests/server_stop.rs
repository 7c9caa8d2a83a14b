// SPDX-License-Identifier: GPL-2.0 OR MIT

//! NotifyVmtpServer while a Response is still leaving (RFC 1045, 5.8): the rest of it is not sent, or
//! goes to where the Client is.

mod common;

use common::far::{Far, TS3, TS4};
use common::{
    at, carrying, deliveries, mcb, ms, packets, request, t, CLIENT, DATA_LIMIT, OTHER_HOST, SERVER,
};
use vmtp_proto::line::Line;
use vmtp_proto::server::{Event, State, Step, Stop, To};
use vmtp_proto::wire::{Code, ResponseCode};

/// A server answered with this MCB; the Client sent enough not to be probed.
fn answered(mcb: vmtp_proto::wire::Mcb) -> (Far, Step) {
    let mut far = Far::processing(&carrying(request(0, t(0), common::mcb(0, 8_192)), 0xFFFF));
    let step = far.respond(t(0), mcb);
    (far, step)
}

/// The errors and acknowledgments of 5.8's default case, and what they do to the packets that
/// stand in line.
///
/// Shows: 5.8-b
#[test]
fn answer_to_a_datagram_response_stops_the_rest_of_it() {
    for code in [
        ResponseCode::Ok,
        ResponseCode::ResponseDiscarded,
        ResponseCode::NonexistentEntity,
        ResponseCode::VmtpError,
        ResponseCode::BadTransactionId,
    ] {
        let (mut far, step) = answered(mcb(Code::DGM, 16_384));
        let mut line = Line::<_, 2>::new();
        line.join(step.burst.unwrap(), "segment", at(0)).unwrap();
        assert!(line.turn(at(0), ms(100), DATA_LIMIT).is_some());
        let step = far.at(50).notified(code, t(0), 0);
        assert_eq!((step.stop, step.burst), (Stop::Yes, None), "{code:?}");
        let left = line.stop_response(CLIENT, SERVER, far.remote.transaction());
        assert_eq!(left, Some("segment"));
        assert!(line.turn(at(100), ms(100), DATA_LIMIT).is_none());
    }
    // A request for blocks is none of them (5.8-d): the rest of the Response leaves.
    let (mut far, _) = answered(mcb(Code::DGM, 16_384));
    for code in [ResponseCode::Retry, ResponseCode::RetryAll] {
        let step = far.notified(code, t(0), 0);
        assert_eq!((step.stop, step.burst), (Stop::No, None));
    }
    // 5.8 note 2: the same for other Responses.
    let (mut far, _) = answered(mcb(0, 16_384));
    assert_eq!(
        far.notified(ResponseCode::ResponseDiscarded, t(0), 0).stop,
        Stop::Yes
    );
}

/// Shows: 5.8-c
#[test]
fn migrated_client_gets_a_datagram_response_that_is_leaving_from_the_start() {
    let (mut far, first) = answered(mcb(Code::DGM, 4_096));
    // Only what has not left still has its segment: that of the line.
    assert!(first.release);
    let step = far.notified(ResponseCode::EntityMigrated, t(0), 0);
    assert_eq!((step.stop, step.event), (Stop::Keep, Event::Locate));
    assert_eq!((step.burst, step.release), (None, false));
    assert_eq!(far.remote.state(), State::Responded);
    let remote = far.remote;
    let step = far.remote.located(Some(OTHER_HOST), &far.cx);
    assert_eq!((step.to, far.remote.peer()), (To::Peer, OTHER_HOST));
    assert_eq!(deliveries(&step.burst), deliveries(&first.burst));
    assert!(step.release);
    // Where all had left, or the Client is nowhere, the Response stays one that can be made anew.
    far.remote = remote;
    let step = far.remote.located(None, &far.cx);
    assert_eq!((step.burst, step.release), (None, true));
    let again = far.request(&request(0, t(0), mcb(0, 0)));
    assert!(matches!(again.event, Event::Request(_)), "{again:?}");
    // What is kept is sent in any case, and what is left of it for the old address is not.
    let (mut far, first) = answered(mcb(0, 4_096));
    let step = far.notified(ResponseCode::EntityMigrated, t(0), 0);
    assert_eq!((step.stop, step.event), (Stop::Yes, Event::Locate));
    let step = far.remote.located(Some(OTHER_HOST), &far.cx);
    assert_eq!(deliveries(&step.burst), deliveries(&first.burst));
}

/// Shows: 5.8-g
#[test]
fn busy_client_gets_the_whole_response_again_until_the_time_limit() {
    let (mut far, first) = answered(mcb(0, 4_096));
    // Four blocks were asked for in between: BUSY has them forgotten.
    far.at(10).notified(ResponseCode::Retry, t(0), 0x0F);
    let step = far.at(20).notified(ResponseCode::Busy, t(0), 0);
    assert_eq!((step.burst, step.stop), (None, Stop::Yes));
    assert!(!step.release);
    let step = far.timeout(20 + TS3);
    assert_eq!(deliveries(&step.burst), deliveries(&first.burst));
    // With a fresh count: it was the first of five, unless the Client is heard.
    let mut more = 1;
    let mut busy = Far {
        remote: far.remote,
        ..Far::new(&request(0, t(0), mcb(0, 0)))
    };
    while far.remote.state() == State::Responded {
        far.cx.now = far.remote.deadline();
        more += packets(&far.remote.timeout(true, &far.cx).burst).len();
    }
    assert_eq!(more, 5);
    // A Client that is busy for ever: nothing else was heard of it for TS4.
    let mut now = 20 + TS3;
    loop {
        now += 100;
        let step = busy.at(now).notified(ResponseCode::Busy, t(0), 0);
        if step.release {
            break;
        }
        assert_eq!(busy.remote.deadline(), at(now + TS3));
    }
    assert!((TS4..TS4 + 100).contains(&now), "{now}");
    assert_eq!(busy.remote.state(), State::ResponseDiscarded);
    // BUSY for an idempotent Response: it is made anew when the Client asks.
    let (mut far, _) = answered(mcb(Code::DGM, 4_096));
    let step = far.notified(ResponseCode::Busy, t(0), 0);
    assert_eq!((step.stop, step.burst), (Stop::Yes, None));
    assert_eq!(far.remote.state(), State::Responded);
}
