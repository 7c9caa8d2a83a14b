// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Packet groups in line for one destination: the pause between packets and the order of groups (RFC
//! 1045, 2.5.6, VII.4).

mod common;

use common::{at, mcb, ms, t, CLIENT, DATA_LIMIT, SERVER};
use vmtp_proto::burst::{Burst, Extent};
use vmtp_proto::line::Line;
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Control, Mask, Priority};

/// A Response of three packets on an Ethernet, by its Transaction and Priority.
fn group(transaction: u32, priority: Priority) -> Burst {
    let mut header = common::response(0, t(transaction), mcb(0, 3_000));
    header.control = header.control.with_priority(priority);
    let extent = Extent::Groups {
        first: 0,
        end: 1,
        held: Mask::EMPTY,
    };
    Burst::new(header, 1, extent, false)
}

/// Takes all turns at their times: when each packet left, of which cargo, and its blocks.
fn run(line: &mut Line<&'static str, 4>, pause: Span) -> Vec<(Time, &'static str, u32)> {
    let mut left = Vec::new();
    while line.deadline() != Time::NEVER {
        let now = line.deadline();
        while let Some((packet, cargo)) = line.turn(now, pause, DATA_LIMIT) {
            left.push((now, cargo, packet.header.delivery.bits()));
        }
    }
    left
}

#[test]
fn packets_of_a_group_keep_the_pause() {
    let mut line = Line::<_, 4>::new();
    assert_eq!(line.deadline(), Time::NEVER);
    line.join(group(0, Priority::NORMAL), "a", at(10)).unwrap();
    assert_eq!(line.deadline(), at(10), "the first one leaves at once");
    let expected = [
        (at(10), "a", 0b11),
        (at(14), "a", 0b1100),
        (at(18), "a", 0b11_0000),
    ];
    assert_eq!(run(&mut line, ms(4)), expected);
    // The next group comes a pause after the last packet, however soon it joins.
    line.join(group(1, Priority::NORMAL), "b", at(19)).unwrap();
    assert_eq!(line.deadline(), at(22));
    assert_eq!(run(&mut line, ms(4)).len(), 3);
    // What was not sent in an idle hour is not made up for.
    let later = at(3_600_000);
    line.join(group(2, Priority::NORMAL), "c", later).unwrap();
    let times: Vec<Time> = run(&mut line, ms(4)).iter().map(|left| left.0).collect();
    assert_eq!(times, [later, at(3_600_004), at(3_600_008)]);
}

/// A timer that ends late is no lower rate: what was due leaves.
#[test]
fn a_late_timer_does_not_lower_the_rate() {
    let mut line = Line::<_, 4>::new();
    line.join(group(0, Priority::NORMAL), (), at(0)).unwrap();
    assert!(line.turn(at(0), ms(4), DATA_LIMIT).is_some());
    assert!(line.turn(at(3), ms(4), DATA_LIMIT).is_none());
    assert!(line.turn(at(9), ms(4), DATA_LIMIT).is_some());
    assert!(line.turn(at(9), ms(4), DATA_LIMIT).is_some());
    assert_eq!(line.deadline(), Time::NEVER);
}

/// Levels urgent, important, normal, background; who came first among equals.
#[test]
fn groups_leave_in_order_of_priority() {
    let mut line = Line::<_, 4>::new();
    line.join(group(0, Priority::BACKGROUND), "background", at(0))
        .unwrap();
    line.join(group(1, Priority::NORMAL), "first", at(0))
        .unwrap();
    line.join(group(2, Priority::NORMAL), "second", at(0))
        .unwrap();
    // One packet of the normal group leaves before an urgent group comes and overtakes the rest.
    let (packet, cargo) = line.turn(at(0), ms(1), DATA_LIMIT).unwrap();
    assert_eq!((cargo, packet.header.delivery.bits()), ("first", 0b11));
    line.join(group(3, Priority::URGENT), "urgent", at(0))
        .unwrap();
    let order: Vec<_> = run(&mut line, ms(1)).iter().map(|left| left.1).collect();
    let expected = [
        "urgent",
        "urgent",
        "urgent",
        "first",
        "first",
        "second",
        "second",
        "second",
        "background",
        "background",
        "background",
    ];
    assert_eq!(order, expected);
}

#[test]
fn a_full_line_gives_the_burst_back() {
    let mut line = Line::<_, 2>::new();
    assert!(line.join(group(0, Priority::NORMAL), 0, at(0)).is_ok());
    assert!(line.join(group(1, Priority::NORMAL), 1, at(0)).is_ok());
    let (burst, cargo) = line.join(group(2, Priority::URGENT), 2, at(0)).unwrap_err();
    assert_eq!((burst, cargo), (group(2, Priority::URGENT), 2));
    // A place is free as soon as the last packet of a group has left.
    for _ in 0..3 {
        assert!(line.turn(at(0), Span::ZERO, DATA_LIMIT).is_some());
    }
    assert!(line.join(burst, cargo, at(0)).is_ok());
}

#[test]
fn a_response_is_taken_out_of_the_line() {
    let mut line = Line::<_, 2>::new();
    line.join(group(5, Priority::NORMAL), "segment", at(0))
        .unwrap();
    assert!(line.turn(at(0), ms(1), DATA_LIMIT).is_some());
    assert_eq!(line.stop_response(CLIENT, SERVER, t(4)), None);
    assert_eq!(line.stop_response(SERVER, SERVER, t(5)), None);
    assert_eq!(line.stop_response(CLIENT, CLIENT, t(5)), None);
    assert_eq!(line.stop_response(CLIENT, SERVER, t(5)), Some("segment"));
    assert_eq!(line.stop_response(CLIENT, SERVER, t(5)), None);
    assert!(line.is_empty());
    // A Request of the same numbers is not the Response.
    let mut header = common::request(0, t(5), mcb(0, 3_000));
    header.control = header.control.without(Control::RESPONSE);
    let extent = Extent::Groups {
        first: 0,
        end: 1,
        held: Mask::EMPTY,
    };
    line.join(Burst::new(header, 1, extent, false), "request", at(0))
        .unwrap();
    assert_eq!(line.stop_response(CLIENT, SERVER, t(5)), None);
}

/// A group whose packets keep a pause takes its time to leave: TC1 and TS5 begin after it.
#[test]
fn timers_wait_until_a_paced_group_has_left() {
    use common::far::{Far, TS3};
    use common::near::{plain, Near, TC1};
    let mut cx = common::context();
    cx.timing.pause = ms(4);
    // Three packets, two pauses.
    let (mut near, step) = Near::start_in(&plain(mcb(0, 3_000)), cx);
    assert_eq!(common::packets(&step.burst).len(), 3);
    assert_eq!(near.call.deadline(), at(TC1 + 8));
    // The round trip is that of the last packet; what comes before it left belongs to another.
    let ok = vmtp_proto::wire::ResponseCode::Ok;
    let mut early = near.clone_at(7);
    assert_eq!(early.notify(ok, 0, 0b11_1111, 0).round_trip, None);
    let late = near.at(38).notify(ok, 0, 0b11_1111, 0);
    assert_eq!(late.round_trip, Some(ms(30)));

    let mut far = Far::processing(&common::carrying(
        common::request(0, t(0), mcb(0, 1_024)),
        0b11,
    ));
    far.cx.timing.pause = ms(4);
    let step = far.respond(t(0), mcb(0, 2_000));
    assert_eq!(common::packets(&step.burst).len(), 2);
    let ts5 = far.cx.timing.acknowledgment(2_000);
    assert!(ts5 >= ms(TS3));
    assert_eq!(far.remote.deadline(), at(0).plus(ts5).plus(ms(4)));
}
