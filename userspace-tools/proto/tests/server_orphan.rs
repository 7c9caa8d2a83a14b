// SPDX-License-Identifier: GPL-2.0 OR MIT

//! TS2 of RFC 1045, 2.5.5: when a Request whose Client is silent is an orphan, and which Clients are never that silent.

mod common;

use common::far::{Far, TS4};
use common::near::{plain, Near};
use common::{at, context, mcb, ms, only, request, t};
use vmtp_proto::path::Path;
use vmtp_proto::server::{Event, RespondError, State};
use vmtp_proto::time::Span;
use vmtp_proto::wire::{Control, ResponseCode};

/// TS2 in ms: TC1 + 3 * TC2 of a Client that takes the round trip for as long as it may, and some.
const TS2: u64 = 20_000;

/// Shows: 2.5.5-d
#[test]
fn request_of_a_silent_client_is_an_orphan_after_ts2() {
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    assert_eq!(far.remote.deadline(), at(TS2));
    let step = far.timeout(TS2);
    assert_eq!(step.event, Event::Ended);
    let late = far.try_respond(t(0), mcb(0, 0));
    assert_eq!(late, Err(RespondError::NoRequest));
    // Any packet of the Client counts.
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    far.at(1_000)
        .request(&request(Control::APG, t(0), mcb(0, 0)));
    while far.remote.state() == State::Processing {
        far.cx.now = far.remote.deadline();
        far.remote.timeout(true, &far.cx);
    }
    assert_eq!(far.cx.now, at(1_000 + TS2));
}

/// 2.5.5: TS2 lets a Client retransmit three times. The server does not know what the Client takes the round trip for,
/// least of all when it is itself what makes it long.
#[test]
fn client_on_a_slow_way_is_no_orphan_to_a_server_that_knows_nothing_of_it() {
    for round_trip in [1, 100, 600, 1_000, 2_000, 5_000, 60_000] {
        let mut path = Path::new(1_500, Span::from_micros(12));
        for number in 0..20 {
            path.sample_round_trip(ms(round_trip + number % 2 * round_trip / 2));
        }
        let mut cx = context();
        cx.timing = path.timing();
        cx.random = u32::MAX;
        let (mut near, step) = Near::start_in(&plain(mcb(0, 0)), cx);
        let mut far = Far::processing(&only(&step.burst));
        for round in 0..3 {
            // Of three repetitions the last one arrives.
            let mut repeated = None;
            for _ in 0..3 {
                near.cx.now = near.call.deadline();
                let step = near.call.timeout(&mut near.client, &near.cx);
                repeated = Some(only(&step.burst));
            }
            assert!(
                far.remote.deadline() > near.cx.now,
                "{round_trip} ms, round {round}"
            );
            far.cx.now = near.cx.now;
            let repeated = repeated.unwrap();
            far.request(&repeated);
            assert_eq!(far.remote.state(), State::Processing);
            // TS2 begins anew: the timer finds out when it goes off.
            far.cx.now = far.remote.deadline();
            assert_eq!(far.remote.timeout(true, &far.cx).event, Event::None);
            near.notify(ResponseCode::Ok, 0, !0, repeated.control.retransmit_count());
        }
    }
}

#[test]
fn orphan_takes_those_behind_it_along_and_the_record_ends() {
    let mut far = Far::processing(&request(Control::NER, t(0), mcb(0, 0)));
    let step = far.request(&request(Control::NSR, t(1), mcb(0, 0)));
    assert!(common::far::arrival(&step).queued);
    let step = far.timeout(TS2);
    assert_eq!((step.event, step.aborted), (Event::Ended, true));
    assert_eq!(far.timeout(TS2 + TS4).event, Event::Expired);
}
