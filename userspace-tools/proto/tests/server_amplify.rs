// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Decision 28: whoever uses the address of another has it sent at most three times what he sends himself, whatever that is.

mod common;

use common::far::{arrival, with, Far};
use common::{carrying, mcb, packets, request, t, to_server};
use proptest::prelude::*;
use vmtp_proto::server::{Event, Presence, State, Step};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{Code, Control, Header, ResponseCode};

/// Header, message control block and checksum.
const OVERHEAD: u32 = 68;

/// What he sends, or waits for.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// The Request whole, in packets of a block each.
    Request,
    /// Its first packet alone.
    Part,
    /// Its header alone, which asks for what there is.
    Header,
    /// Something that the Client's manager says of the Response.
    Notify(ResponseCode, u32),
    /// Nothing, until the record's timer ends.
    Wait,
    /// The server answers, if it has the Request.
    Answer,
    /// The Probe finds nobody.
    Nobody,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Request),
        1 => Just(Act::Part),
        1 => Just(Act::Header),
        3 => (
            prop_oneof![
                Just(ResponseCode::Retry),
                Just(ResponseCode::RetryAll),
                Just(ResponseCode::Busy),
                Just(ResponseCode::Ok),
            ],
            any::<u32>(),
        ).prop_map(|(code, delivery)| Act::Notify(code, delivery)),
        3 => Just(Act::Wait),
        2 => Just(Act::Answer),
        1 => Just(Act::Nobody),
    ]
}

struct Scales {
    came: u32,
    sent: u32,
}

impl Scales {
    fn weigh(&mut self, step: &Step) {
        for packet in packets(&step.burst) {
            self.sent += OVERHEAD + packet.padded;
        }
        if step.notify.is_some() {
            self.sent += OVERHEAD;
        }
    }

    fn request(&mut self, far: &mut Far, header: &Header, data: u32) {
        self.came += OVERHEAD + data;
        let step = far.request(header);
        self.weigh(&step);
    }
}

/// The packets of a Request with so many blocks, and the octets of data in each.
fn blocks(header: Header, number: u32) -> Vec<(Header, u32)> {
    if number == 0 {
        return vec![(header, 0)];
    }
    (0..number)
        .map(|block| (carrying(header, 1 << block), 512))
        .collect()
}

proptest! {
    /// Shows: D-28-a
    #[test]
    fn nobody_is_sent_more_than_three_times_what_came(
        number in 0_u32..9,
        segment in 0_u32..6_000,
        not_again in any::<bool>(),
        idempotent in any::<bool>(),
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let header = request(Control::APG, t(0), mcb(0, number * 512));
        let whole = blocks(header, number);
        let mut far = Far::new(&header);
        let mut scales = Scales { came: 0, sent: 0 };
        let mut answer = mcb(0, segment);
        if idempotent {
            answer.code = Code::from_bits(answer.code.bits() | Code::DGM);
        }
        for act in acts {
            match act {
                Act::Request => {
                    for (header, data) in &whole {
                        scales.request(&mut far, header, *data);
                    }
                }
                Act::Part => scales.request(&mut far, &whole[0].0, whole[0].1),
                Act::Header => scales.request(&mut far, &header, 0),
                Act::Notify(code, delivery) => {
                    let notify = to_server(code, t(0), delivery);
                    if far.remote.is_notified_by(&notify) {
                        scales.came += OVERHEAD;
                        let step = far.take(&notify);
                        scales.weigh(&step);
                    }
                }
                Act::Wait => {
                    if far.remote.deadline() == Time::NEVER {
                        continue;
                    }
                    far.cx.now = far.remote.deadline().max(far.cx.now);
                    let step = far.remote.timeout(true, &far.cx);
                    scales.weigh(&step);
                }
                Act::Answer => {
                    let mut respond = with(answer);
                    respond.flags = if not_again { Control::NRT } else { 0 };
                    if let Ok(step) = far.remote.respond(t(0), &respond, &far.cx) {
                        scales.weigh(&step);
                    }
                }
                Act::Nobody => {
                    let step = far.remote.probed(Presence::Absent, true, &far.cx);
                    scales.weigh(&step);
                }
            }
            prop_assert!(scales.sent <= 3 * scales.came, "{act:?}: {} for {}", scales.sent, scales.came);
        }
    }
}

/// A Client that is there gets what it lacks, after one Probe.
///
/// Shows: D-28-a
#[test]
fn who_is_there_is_probed_once_and_gets_what_it_asks_for() {
    // 1,092 octets came, which allows 3,276; this Response is 2,048 in four packets of 580.
    let mut far = Far::processing(&carrying(request(0, t(0), mcb(0, 1_024)), 0b11));
    let step = far.respond(t(0), mcb(0, 2_048));
    assert!(step.burst.is_some());
    // 68 more for each question allow 204 more: two blocks, 1,160 octets, once, and not twice.
    let step = far.notified(ResponseCode::Retry, t(0), 0b0011);
    assert_eq!(packets(&step.burst).len(), 1);
    let step = far.notified(ResponseCode::Retry, t(0), 0b0011);
    assert_eq!((step.burst, step.event), (None, Event::Probe));
    let step = far.notified(ResponseCode::Retry, t(0), 0b0011);
    assert_eq!(
        (step.burst, step.event),
        (None, Event::None),
        "one Probe at a time"
    );
    assert_eq!(
        far.remote.probed(Presence::At(t(0)), true, &far.cx).event,
        Event::None
    );
    assert_eq!(far.remote.state(), State::Responded);
    for _ in 0..2 {
        let step = far.notified(ResponseCode::Retry, t(0), 0b0011);
        let delivered: Vec<u32> = packets(&step.burst)
            .iter()
            .map(|packet| packet.header.delivery.bits())
            .collect();
        assert_eq!(delivered, [0b1100]);
        assert_eq!(step.event, Event::None);
    }
}

/// The Probe may be lost as well.
///
/// Shows: D-28-a
#[test]
fn who_does_not_answer_a_probe_loses_nothing_and_is_probed_again() {
    let mut far = Far::processing(&carrying(request(0, t(0), mcb(0, 1_024)), 0b11));
    far.respond(t(0), mcb(0, 2_048));
    far.notified(ResponseCode::Retry, t(0), 0b0011);
    for _ in 0..3 {
        let step = far.notified(ResponseCode::Retry, t(0), 0b0011);
        assert_eq!((step.burst, step.event), (None, Event::Probe));
        let deadline = far.remote.deadline();
        assert_eq!(
            far.remote.probed(Presence::Absent, true, &far.cx),
            Step::NOTHING
        );
        assert_eq!(far.remote.state(), State::Responded);
        assert_eq!(far.remote.deadline(), deadline);
    }
    far.notified(ResponseCode::Retry, t(0), 0b0011);
    far.remote.probed(Presence::At(t(0)), true, &far.cx);
    let step = far.notified(ResponseCode::Retry, t(0), 0b0011);
    assert_eq!(packets(&step.burst).len(), 1);
}

/// What a run keeps is sent again to a Client that is there for certain only.
///
/// Shows: D-28-a
#[test]
fn responses_that_a_run_keeps_are_no_amplifier() {
    let mut far = Far::processing(&request(Control::NER, t(0), mcb(0, 0)));
    let step = far.request(&request(Control::NSR, t(1), mcb(0, 0)));
    let next = arrival(&step);
    // 136 octets and 68: all that one of 68 allows.
    assert!(far.respond(t(0), mcb(0, 136)).burst.is_some());
    let mut kept = far.remote.begin(&next, &far.cx).retain.expect("it is kept");
    let retry = to_server(ResponseCode::Retry, t(0), 0);
    // A question of 68 allows as much again.
    let again = kept.notified(&far.remote, &retry, &far.cx);
    assert!(matches!(again, Ok(Some(_))));
    let mut step = Step::NOTHING;
    far.remote.doubt(&mut step);
    assert_eq!(step.event, Event::Probe);
}
