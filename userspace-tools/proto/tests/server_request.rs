// SPDX-License-Identifier: GPL-2.0 OR MIT

//! HandleRequest of RFC 1045, 5.7: what a Request packet does to a server's record, and the
//! duplicate filter.

mod common;

use common::far::{arrival, code_of, Far, MULTICAST, TS1, TS4};
use common::{at, carrying, mask, mcb, meant, only, request, t, CLIENT, OTHER_HOST};
use vmtp_proto::server::{Drop, Event, Keep, Presence, RespondError, State, Step};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{Code, Control, NotifyVmtpClient, Priority, ResponseCode};

/// Shows: 5.3-a
#[test]
fn single_packet_request_goes_straight_to_the_server() {
    let header = carrying(request(0, t(0), mcb(0, 900)), 0b11);
    let (far, step) = Far::with(&header);
    assert_eq!(far.remote.state(), State::Processing);
    let arrival = arrival(&step);
    assert_eq!(arrival.transaction, t(0));
    assert_eq!(arrival.segment_octets, 900);
    assert_eq!((arrival.groups, arrival.queued), (1, false));
    assert!(!arrival.datagram && !arrival.multicast);
    assert_eq!(step.keep, Keep::Restart);
    assert_eq!((step.burst, step.notify), (None, None));
    // The Client's next one too.
    let mut far = far;
    far.respond(t(0), mcb(0, 0));
    let step = far.request(&request(0, t(1), mcb(0, 0)));
    assert_eq!(common::far::arrival(&step).transaction, t(1));
    assert_eq!(far.remote.state(), State::Processing);
}

/// 2.4: MsgDelivery is user data unless MDM is set.
#[test]
fn msg_delivery_is_replaced_only_with_mdm() {
    let (_, step) = Far::with(&carrying(request(0, t(0), mcb(0, 900)), 0b11));
    assert_eq!(arrival(&step).message_delivery, None);
    let masked = meant(mcb(0, 900), 0b10);
    let (_, step) = Far::with(&carrying(request(0, t(0), masked), 0b10));
    assert_eq!(arrival(&step).message_delivery, Some(mask(0b10)));
}

/// Shows: 2.5.1-b
#[test]
fn duplicate_request_is_answered_without_execution() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    for _ in 0..3 {
        let step = far.request(&header);
        assert_eq!(step.event, Event::None);
        assert_eq!(step.keep, Keep::Drop(Drop::Duplicate));
    }
    far.respond(t(0), mcb(0, 0));
    for _ in 0..3 {
        let step = far.request(&header);
        assert_eq!(step.event, Event::None);
        assert_eq!(only(&step.burst).transaction, t(0));
    }
    assert_eq!(far.remote.state(), State::Responded);
}

/// Shows: D-20-a
#[test]
fn duplicate_is_known_for_four_packet_lifetimes() {
    for segment in [0, 100] {
        let header = request(0, t(0), mcb(0, 0));
        let mut far = Far::processing(&header);
        far.respond(t(0), mcb(0, segment));
        // An unacknowledged Response with data is repeated and discarded: that renews the record.
        while far.remote.state() == State::Responded && segment != 0 {
            far.cx.now = far.remote.deadline();
            far.remote.timeout(true, &far.cx);
        }
        let end = far.remote.deadline();
        assert!(end >= at(TS4));
        far.at(100_000);
        let step = far.request(&header);
        assert_eq!(step.event, Event::None);
        assert!(step.burst.is_some() || step.notify.is_some());
    }
}

/// Shows: 5.8.1-e
#[test]
fn unknown_client_starts_with_any_transaction() {
    for number in [0, 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX] {
        let number = vmtp_proto::wire::Transaction::from_bits(number);
        let (far, step) = Far::with(&request(0, number, mcb(0, 0)));
        assert_eq!(arrival(&step).transaction, number);
        assert_eq!(far.remote.state(), State::Processing);
    }
}

/// Shows: 5.3-c
#[test]
fn request_of_several_packets_is_delivered_with_its_last() {
    let header = request(0, t(0), mcb(0, 4_096));
    let (mut far, step) = Far::with(&carrying(header, 0b0000_0011));
    assert_eq!((step.event, step.keep), (Event::None, Keep::Restart));
    assert!(far.remote.is_receiving());
    for blocks in [0b0000_1100, 0b0011_0000] {
        let step = far.request(&carrying(header, blocks));
        assert_eq!((step.event, step.keep), (Event::None, Keep::Keep));
        assert!(far.remote.is_receiving());
    }
    let step = far.request(&carrying(header, 0b1100_0000));
    assert_eq!(arrival(&step).segment_octets, 4_096);
    assert!(!far.remote.is_receiving());
    // Or at the final timeout, if it may be incomplete.
    let masked = request(Control::NRT, t(0), meant(mcb(0, 4_096), 0xFF));
    let (mut far, _) = Far::with(&carrying(masked, 0b11));
    let step = far.timeout(TS1);
    assert_eq!(arrival(&step).message_delivery, Some(mask(0b11)));
}

/// Shows: 2.13-c
#[test]
fn packets_of_a_group_come_in_any_order_and_overlap() {
    let header = request(0, t(0), mcb(0, 4_000));
    for order in [
        [0b1111_0000, 0b0011_1100, 0b0000_0011],
        [0b0011_1100, 0b0000_0011, 0b1110_0000],
        [0b0000_0111, 0b1110_0000, 0b0001_1111],
    ] {
        let mut far = Far::new(&header);
        let mut delivered = Vec::new();
        for blocks in order {
            let step = far.request(&carrying(header, blocks));
            // The same once more, before and after.
            let again = far.request(&carrying(header, blocks));
            assert_eq!(again.event, Event::None);
            delivered.push(matches!(step.event, Event::Request(_)));
        }
        assert_eq!(delivered, [false, false, true], "{order:x?}");
    }
}

/// Shows: 2.13-d
#[test]
fn group_is_complete_with_every_block_meant() {
    // Without MDM every block of SegmentSize counts, the short last one too.
    let header = request(0, t(0), mcb(0, 512 * 31 + 1));
    let (mut far, step) = Far::with(&carrying(header, 0x7FFF_FFFF));
    assert_eq!(step.event, Event::None);
    let step = far.request(&carrying(header, 0x8000_0000));
    assert_eq!(arrival(&step).segment_octets, 512 * 31 + 1);
    // With MDM those of MsgDelivery.
    let header = request(0, t(0), meant(mcb(0, 512 * 32), 0x8000_0101));
    let (mut far, step) = Far::with(&carrying(header, 0x0000_0101));
    assert_eq!(step.event, Event::None);
    let step = far.request(&carrying(header, 0x8000_0000));
    assert_eq!(arrival(&step).message_delivery, Some(mask(0x8000_0101)));
    // So too for the Client.
    let (mut near, _) = common::near::Near::start(&common::near::plain(mcb(0, 0)));
    let answer = common::response(0, t(0), meant(mcb(0, 4_096), 0b1001));
    let step = near.response(&carrying(answer, 0b0001));
    assert_eq!(step.event, vmtp_proto::client::Event::None);
    let step = near.response(&carrying(answer, 0b1000));
    let delivery = common::near::delivery(&step);
    assert_eq!(delivery.message_delivery, Some(mask(0b1001)));
}

/// Shows: 5.7-f
#[test]
fn further_packet_restarts_ts1_and_a_repeated_one_changes_nothing() {
    let header = request(0, t(0), mcb(0, 4_096));
    let (mut far, _) = Far::with(&carrying(header, 0b11));
    assert_eq!(far.remote.deadline(), at(TS1));
    far.cx.now = Time::from_nanos(at(0).nanos() + 900_000);
    far.request(&carrying(header, 0b1100));
    let due = Time::from_nanos(at(TS1).nanos() + 900_000);
    assert_eq!(far.remote.deadline(), due);
    far.at(1);
    let step = far.request(&carrying(header, 0b1100));
    assert_eq!(step.keep, Keep::Drop(Drop::Duplicate));
    assert_eq!((step.event, step.notify), (Event::None, None));
    assert_eq!(far.remote.deadline(), due);
}

/// Shows: 2.13-j
#[test]
fn group_whose_packets_contradict_each_other_is_discarded() {
    let header = request(0, t(0), mcb(0, 2_048));
    let mut variants = [carrying(header, 0b1100); 5];
    variants[0].user[19] ^= 1;
    variants[1].code = variants[1].code.with(Code::MRD);
    variants[2].message_delivery ^= 1;
    variants[3].segment_size = 2_047;
    variants[4].server = common::GROUP;
    for variant in variants {
        let (mut far, _) = Far::with(&carrying(header, 0b0011));
        let step = far.request(&variant);
        assert_eq!(step.keep, Keep::Drop(Drop::Conflict), "{variant:?}");
        assert_eq!(code_of(&step.notify), Some(ResponseCode::VmtpError));
        assert!(!far.remote.is_receiving());
        // Nothing of it is left: the second half alone does not complete it.
        let step = far.request(&carrying(header, 0b1100));
        assert_eq!((step.event, step.keep), (Event::None, Keep::Restart));
    }
    // A multicast one is not answered.
    let mut far = Far::new(&header);
    far.source = MULTICAST;
    far.request(&carrying(header, 0b0011));
    assert_eq!(far.request(&variants[0]).notify, None);
    // The Client begins again with the contradicting packet.
    let (mut near, _) = common::near::Near::start(&common::near::plain(mcb(0, 0)));
    let answer = common::response(0, t(0), mcb(0, 2_048));
    near.response(&carrying(answer, 0b0011));
    let mut other = carrying(answer, 0b1100);
    other.user[0] ^= 1;
    assert_eq!(near.response(&other).keep, Keep::Restart);
    let step = near.response(&carrying(other, 0b0011));
    assert!(matches!(step.event, vmtp_proto::client::Event::Response(_)));
}

/// Shows: 2.13-h
#[test]
fn group_with_apg_is_acknowledged_as_soon_as_it_is_complete() {
    let header = request(Control::APG, t(0), mcb(0, 2_048)).with_mcb(mcb(0, 2_048));
    let (mut far, step) = Far::with(&carrying(header, 0b0011));
    assert_eq!(step.notify, None);
    let step = far.request(&carrying(header, 0b1100));
    assert!(matches!(step.event, Event::Request(_)));
    let expected = NotifyVmtpClient {
        client: CLIENT,
        control: Control::from_bits(Control::APG | Control::RESPONSE),
        receive_sequence: 0,
        transaction: t(0),
        delivery: mask(0b1111),
        code: ResponseCode::Ok.code(),
    };
    assert_eq!(step.notify, Some(expected));
    assert!(!step.notify_remote);
}

/// Shows: 2.13-l
#[test]
fn group_received_without_a_problem_and_without_apg_provokes_no_notify() {
    let header = request(0, t(0), mcb(0, 16_384));
    let mut far = Far::new(&header);
    for pair in 0..16 {
        let step = far.request(&carrying(header, 0b11 << (2 * pair)));
        assert_eq!((step.notify, step.burst), (None, None));
    }
    let step = far.respond(t(0), mcb(0, 0));
    assert_eq!(step.notify, None);
    let (mut near, _) = common::near::Near::start(&common::near::plain(mcb(0, 0)));
    let answer = common::response(0, t(0), mcb(0, 16_384));
    for pair in 0..16 {
        let step = near.response(&carrying(answer, 0b11 << (2 * pair)));
        assert_eq!((step.notify, step.burst), (None, None));
    }
    near.assert_over();
}

/// Shows: D-21-a
#[test]
fn new_request_outside_a_run_aborts_whatever_was_in_progress() {
    // Processing: the reply to the old one is refused, and the new one does not wait.
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    let step = far.request(&request(0, t(1), mcb(0, 0)));
    assert!(step.aborted);
    assert!(!arrival(&step).queued);
    let late = far.try_respond(t(0), mcb(0, 0));
    assert_eq!(late, Err(RespondError::NoRequest));
    assert_eq!(only(&far.respond(t(1), mcb(0, 0)).burst).transaction, t(1));
    // Also while the new one still comes in.
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    let header = request(0, t(1), mcb(0, 2_048));
    assert!(far.request(&carrying(header, 0b0011)).aborted);
    let late = far.try_respond(t(0), mcb(0, 0));
    assert_eq!(late, Err(RespondError::NoRequest));
    let step = far.request(&carrying(header, 0b1100));
    assert!(!arrival(&step).queued);
    far.respond(t(1), mcb(0, 0));
    // Receiving: what came of the old one is void.
    let (mut far, _) = Far::with(&carrying(request(0, t(0), mcb(0, 2_048)), 0b0011));
    let step = far.request(&request(0, t(1), mcb(0, 0)));
    assert_eq!(arrival(&step).transaction, t(1));
    assert_eq!(step.keep, Keep::Restart);
    // Forwarded: the old one is not waited for.
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    let forward = vmtp_proto::server::Forward {
        server: common::OTHER_SERVER,
        mcb: mcb(0, 0),
        flags: 0,
        hco: false,
    };
    far.remote.forward(t(0), &forward, &far.cx).unwrap();
    let step = far.request(&request(0, t(1), mcb(0, 0)));
    assert!(!arrival(&step).queued);
    assert_eq!(far.remote.state(), State::Processing);
}

/// Shows: 2.5.3-c
#[test]
fn later_request_acknowledges_the_response_before() {
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    far.remote.probed(Presence::Absent, true, &far.cx);
    far.respond(t(0), mcb(0, 100));
    assert!(far.remote.deadline() < at(TS4));
    far.at(5);
    let step = far.request(&request(0, t(1), mcb(0, 0)));
    assert!(step.release);
    // Nothing of the old Response is sent any more, however long the server takes.
    for _ in 0..20 {
        far.cx.now = far.remote.deadline();
        assert_eq!(far.remote.timeout(true, &far.cx).burst, None);
        if far.cx.now == Time::NEVER {
            break;
        }
    }
}

/// Shows: 5.7-i
#[test]
fn retransmission_of_a_request_in_process_is_answered_ok() {
    let mut far = Far::processing(&request(0, t(0), mcb(0, 2_048)).with_mcb(mcb(0, 0)));
    let again = request(Control::APG, t(0), mcb(0, 0));
    let again = vmtp_proto::wire::Header {
        control: again.control.with_retransmit_count(1),
        ..again
    };
    let notify = far.request(&again).notify.unwrap();
    assert_eq!(notify.code, ResponseCode::Ok.code());
    assert_eq!(notify.transaction, t(0));
    assert_eq!(notify.control.retransmit_count(), 1);
    // One answer a transmission, whatever its packets.
    let header = request(0, t(0), mcb(0, 2_048));
    let mut far = Far::new(&header);
    far.request(&carrying(header, 0b0011));
    far.request(&carrying(header, 0b1100));
    let answers = [0b0011, 0b1100].map(|blocks| far.request(&carrying(header, blocks)).notify);
    assert_eq!(answers.iter().flatten().count(), 1);
}

/// Shows: 5.7-j
#[test]
fn older_transaction_is_dropped_in_silence() {
    for older in [1, 2, 300, 0x7FFF_FFFF] {
        let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
        let step = far.request(&request(0, t(0).minus(older), mcb(0, 0)));
        let expected = Step {
            keep: Keep::Drop(Drop::Old),
            ..Step::NOTHING
        };
        assert_eq!(step, expected, "{older}");
    }
    // Modulo 2^32: what is more than half of it ahead is behind.
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    let step = far.request(&request(0, t(0x7FFF_FFFF), mcb(0, 0)));
    assert!(matches!(step.event, Event::Request(_)));
}

/// Shows: 5.7-d
#[test]
fn same_transaction_with_a_lower_forward_count_is_an_old_forward() {
    let forwarded = |count| {
        let header = request(0, t(0), mcb(0, 0));
        vmtp_proto::wire::Header {
            control: header.control.with_forward_count(count),
            ..header
        }
    };
    let mut far = Far::processing(&forwarded(2));
    for count in [0, 1] {
        let step = far.request(&forwarded(count));
        assert_eq!(step.keep, Keep::Drop(Drop::Old));
        assert_eq!((step.event, step.notify), (Event::None, None));
    }
}

/// Shows: 5.7-e
#[test]
fn same_transaction_with_a_higher_forward_count_is_delivered_again() {
    let header = request(0, t(0), mcb(0, 0));
    let forwarded = vmtp_proto::wire::Header {
        control: header.control.with_forward_count(1),
        ..header
    };
    for answered in [false, true] {
        let mut far = Far::processing(&header);
        if answered {
            far.respond(t(0), mcb(0, 0));
        }
        let step = far.request(&forwarded);
        assert_eq!(arrival(&step).transaction, t(0));
        assert!(!arrival(&step).queued);
        assert_eq!(far.remote.forward_count(), 1);
    }
}

/// Shows: 5.7-q
#[test]
fn conditional_request_is_discarded_unless_the_server_waits() {
    let header = request(0, t(0), mcb(Code::CMD, 0));
    let mut far = Far::new(&header);
    far.service.waiting = false;
    let step = far.request(&header);
    assert_eq!(step.keep, Keep::Drop(Drop::Unwanted));
    assert_eq!(code_of(&step.notify), Some(ResponseCode::NotAwaitingMsg));
    assert_eq!(step.notify.unwrap().transaction, t(0));
    far.source = MULTICAST;
    assert_eq!(far.request(&header).notify, None);
    // It is not remembered: the same one is welcome later.
    far.source = common::far::UNICAST;
    far.service.waiting = true;
    assert_eq!(arrival(&far.request(&header)).transaction, t(0));
}

/// Shows: 5.7-r
#[test]
fn members_of_a_group_decide_for_themselves_on_a_conditional_request() {
    let mut header = request(0, t(0), mcb(Code::CMD, 0));
    header.server = common::GROUP;
    let take = |waiting| {
        let mut far = Far::new(&header);
        far.source = MULTICAST;
        far.service.waiting = waiting;
        far.request(&header)
    };
    let (idle, busy) = (take(true), take(false));
    assert!(matches!(idle.event, Event::Request(_)));
    assert_eq!(busy.event, Event::None);
    assert_eq!((idle.notify, busy.notify), (None, None));
}

/// Shows: 5.7-s
#[test]
fn datagram_gets_no_response_and_its_record_only_filters_duplicates() {
    let header = request(0, t(0), mcb(Code::DGM, 0));
    let (mut far, step) = Far::with(&header);
    assert!(arrival(&step).datagram);
    far.remote.is_datagram(&far.cx);
    let reply = far.try_respond(t(0), mcb(0, 0));
    assert_eq!(reply, Err(RespondError::NoRequest));
    let step = far.request(&header);
    assert_eq!(
        (step.event, step.burst, step.notify),
        (Event::None, None, None)
    );
    assert_eq!(far.timeout(TS4).event, Event::Expired);
}

/// Shows: 2.8-b
#[test]
fn datagram_with_apg_is_acknowledged_but_missing_blocks_are_not_asked_for() {
    let header = request(Control::APG, t(0), mcb(Code::DGM, 2_048));
    let (mut far, _) = Far::with(&carrying(header, 0b0011));
    let step = far.request(&carrying(header, 0b1100));
    assert_eq!(code_of(&step.notify), Some(ResponseCode::Ok));
    let header = request(Control::APG, t(0), mcb(Code::DGM, 4_096));
    let (mut far, _) = Far::with(&carrying(header, 0b0011_1111));
    let step = far.timeout(TS1);
    assert_eq!((step.notify, step.burst), (None, None));
    assert!(!far.remote.is_receiving());
    // Not even when the Client asks.
    let (mut far, _) = Far::with(&carrying(header, 0b0011_1111));
    assert_eq!(far.request(&header).notify, None);
}

/// Shows: 2.8-c
#[test]
fn datagram_outside_a_run_supersedes_earlier_requests() {
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    let step = far.request(&request(0, t(1), mcb(Code::DGM, 0)));
    assert!(step.aborted);
    assert!(!arrival(&step).queued);
    let late = far.try_respond(t(0), mcb(0, 0));
    assert_eq!(late, Err(RespondError::NoRequest));
}

/// Shows: 3.2-e
#[test]
fn priority_of_the_request_is_that_of_its_response_unless_the_server_chose() {
    let mut header = request(0, t(0), mcb(0, 0));
    header.control = header.control.with_priority(Priority::URGENT);
    let mut far = Far::processing(&header);
    let step = far.respond(t(0), mcb(0, 0));
    assert_eq!(only(&step.burst).control.priority(), Priority::URGENT);
    let mut far = Far::processing(&header);
    let chosen = vmtp_proto::server::Respond {
        priority: Some(Priority::BACKGROUND),
        ..common::far::with(mcb(0, 0))
    };
    let step = far.remote.respond(t(0), &chosen, &far.cx).unwrap();
    assert_eq!(only(&step.burst).control.priority(), Priority::BACKGROUND);
}

/// A Client that starts anew with a lower Transaction is served when the record has gone, however often it asks.
#[test]
fn old_requests_do_not_keep_the_record_that_drops_them() {
    let mut far = Far::processing(&request(0, t(1_000), mcb(0, 0)));
    far.at(10).respond(t(1_000), mcb(0, 0));
    for time in (1_000..TS4).step_by(1_000) {
        let step = far.at(time).request(&request(0, t(5), mcb(0, 0)));
        assert_eq!(step.keep, Keep::Drop(Drop::Old));
    }
    far.cx.now = far.remote.deadline();
    let mut step = far.remote.timeout(true, &far.cx);
    if step.event == Event::None {
        far.cx.now = far.remote.deadline();
        step = far.remote.timeout(true, &far.cx);
    }
    assert_eq!(step.event, Event::Expired);
    assert!(far.cx.now <= at(10 + TS4), "{:?}", far.cx.now);
}

/// Shows: VII.4-b
#[test]
fn response_goes_where_its_request_came_from() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    // The Client's host has another address meanwhile.
    far.source.peer = OTHER_HOST;
    far.request(&header);
    let step = far.respond(t(0), mcb(0, 0));
    assert_eq!(step.to, vmtp_proto::server::To::Peer);
    assert_eq!(far.remote.peer(), OTHER_HOST);
    // A forwarded one is answered to the Client, not to the forwarder.
    let mut header = request(0, t(1), mcb(0, 0));
    header.control = header.control.with_forward_count(1);
    far.request(&header);
    let step = far.respond(t(1), mcb(0, 0));
    assert_eq!(step.to, vmtp_proto::server::To::Client);
}

/// Shows: I-c
#[test]
fn request_for_a_full_queue_is_answered_busy_and_not_remembered() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::new(&header);
    far.service.room = false;
    let step = far.request(&header);
    assert_eq!(code_of(&step.notify), Some(ResponseCode::Busy));
    assert_eq!(step.keep, Keep::Drop(Drop::NoRoom));
    // The queue may also fill while a Request comes in.
    far.service.room = true;
    let header = request(0, t(0), mcb(0, 2_048));
    far.request(&carrying(header, 0b0011));
    far.service.room = false;
    let step = far.request(&carrying(header, 0b1100));
    assert_eq!(code_of(&step.notify), Some(ResponseCode::Busy));
    assert!(matches!(step.event, Event::None));
    far.service.room = true;
    far.request(&carrying(header, 0b0011));
    let step = far.request(&carrying(header, 0b1100));
    assert_eq!(arrival(&step).transaction, t(0));
}
