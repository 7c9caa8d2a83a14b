// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Responses that are made anew, and those of several packet groups (RFC 1045, 2.13, 4.7.1, 4.9).

mod common;

use common::far::Far;
use common::near::{answer, asked, delivery, plain, to_group, Near, TC2, TC3};
use common::{at, carrying, deliveries, flags, headers, mcb, ms, only, response, t};
use common::{to_client, to_server, OTHER_HOST, OTHER_SERVER};
use vmtp_proto::client::{Drop, Event, Keep, Reply, ReplyState, Request, Step};
use vmtp_proto::path::GroupFate;
use vmtp_proto::wire::{Code, Control, Header, ResponseCode};

/// Group `group` of a Response of 40,000 octets without its data.
fn group_of_three(group: u32) -> Header {
    let control = match group {
        0 => Control::NER | Control::CMG,
        1 => Control::NSR | Control::NER | Control::CMG | Control::STI,
        _ => Control::NSR | Control::STI,
    };
    response(control, t(group), mcb(0, 40_000))
}

/// Shows: 4.9-f
#[test]
fn blocks_of_an_idempotent_response_are_never_asked_for() {
    let header = response(0, t(0), mcb(Code::DGM, 4_096));
    let mut near = asked();
    near.response(&carrying(header, 0b0000_0011));
    let mut repeated = 0;
    let mut time = TC3;
    while near.reply.state() == ReplyState::Receiving {
        assert!(repeated <= 5);
        near.cx.now = near.reply.deadline();
        let step = near
            .call
            .reply_timeout(&mut near.client, &mut near.reply, &near.cx);
        assert_eq!(step.notify, None);
        if let Event::Response(delivery) = step.event {
            assert_eq!(delivery.code, Some(ResponseCode::BadReplySegment));
        } else {
            assert_eq!(flags(&step.burst, Control::APG), [Control::APG]);
            repeated += 1;
        }
        time += 1;
    }
    assert_eq!((repeated, time), (5, TC3 + 6));
    // Not by the server's asking either.
    let mut near = asked();
    near.response(&carrying(header, 0b0000_0011));
    let asks = response(Control::APG, t(0), mcb(Code::DGM, 4_096));
    assert_eq!(near.response(&asks).notify, None);
    // And not those of a group's further Response.
    let (mut near, _) = Near::start(&to_group(mcb(Code::MRD, 0)));
    near.response(&response(0, t(0), mcb(0, 0)));
    let mut further = Reply::EMPTY;
    let mut header = carrying(header, 0b0000_0011);
    header.server = OTHER_SERVER;
    near.response_to(&mut further, &header, OTHER_HOST);
    near.cx.now = further.deadline();
    let step = near
        .call
        .reply_timeout(&mut near.client, &mut further, &near.cx);
    assert_eq!((step.notify, step.burst), (None, None));
    assert!(matches!(step.event, Event::Response(_)));
}

/// The Request goes again without its data, of which the server has nothing any more: it asks for it.
///
/// Shows: 4.9-f
#[test]
fn idempotent_response_is_made_anew_of_a_request_with_a_segment() {
    for code in [ResponseCode::Retry, ResponseCode::RetryAll] {
        let (mut near, step) = Near::start(&plain(mcb(0, 1_024)));
        let mut far = Far::processing(&only(&step.burst));
        let idempotent = mcb(Code::DGM, 2_048);
        let step = far.respond(t(0), idempotent);
        for header in &headers(&step.burst)[1..] {
            near.response(header);
        }
        // Nobody asked for anything: what is told now was told before.
        assert!(!near.call.is_notified_by(&to_client(code, t(0), 0, 0)));
        near.cx.now = near.reply.deadline();
        let step = near
            .call
            .reply_timeout(&mut near.client, &mut near.reply, &near.cx);
        let mut notify = far.request(&only(&step.burst)).notify.unwrap();
        assert_eq!(notify.code, ResponseCode::Retry.code());
        notify.code = code.code();
        assert!(near.call.is_notified_by(&notify));
        let step = near.call.notify(&mut near.client, &notify, &near.cx);
        let again = only(&step.burst);
        assert_eq!(again.delivery.bits(), 0b11);
        far.request(&again);
        let mut step = Step::NOTHING;
        for header in headers(&far.respond(t(0), idempotent).burst) {
            step = near.response(&header);
            if step.event != Event::None {
                break;
            }
        }
        let Event::Response(delivery) = step.event else {
            panic!("{step:?}");
        };
        assert_eq!((delivery.code, delivery.segment_octets), (None, 2_048));
    }
}

/// What an idempotent Response had is kept if the new one has the same control block, else not.
#[test]
fn idempotent_response_made_anew_is_merged_only_if_it_says_the_same() {
    let header = response(0, t(0), mcb(Code::DGM, 2_048));
    let mut near = asked();
    near.response(&carrying(header, 0b0011));
    let step = near.response(&carrying(header, 0b1100));
    assert!(matches!(step.event, Event::Response(_)));
    let mut near = asked();
    near.response(&carrying(header, 0b0011));
    let mut other = carrying(header, 0b1100);
    other.user[3] ^= 0x80;
    let step = near.response(&other);
    assert_eq!((step.keep, step.event), (Keep::Restart, Event::None));
}

/// A Response of one group is made anew with three: the place is that in the new one.
#[test]
fn packet_of_a_response_made_anew_is_kept_at_its_place() {
    let (mut near, _) = Near::start(&Request {
        large_response: true,
        ..plain(mcb(0, 0))
    });
    near.response(&carrying(answer(), 0b0000_0011));
    let step = near.response(&carrying(group_of_three(1), 0b11));
    assert_eq!((step.keep, step.group_offset), (Keep::Restart, 16_384));
}

/// What is kept beside what is counted would take the place of the true octets.
#[test]
fn packet_that_is_not_counted_is_not_kept() {
    let large = Request {
        large_response: true,
        ..plain(mcb(0, 0))
    };
    // The sixth group of a message of one, to an empty reply and to one that has begun.
    let header = carrying(response(0, t(5), mcb(0, 1_024)), 0b01);
    let (mut near, _) = Near::start(&large);
    let before = (near.call, near.reply);
    assert_eq!(
        near.response(&header),
        Step {
            keep: Keep::Drop(Drop::Conflict),
            ..Step::NOTHING
        }
    );
    assert_eq!((near.call, near.reply), before);
    near.response(&carrying(group_of_three(0), 0xFFFF));
    let before = (near.call, near.reply);
    let step = near.call.response(
        &mut near.client,
        &mut near.reply,
        &header,
        OTHER_HOST,
        true,
        &near.cx,
    );
    assert_eq!(step.keep, Keep::Drop(Drop::Conflict));
    assert_eq!((near.call, near.reply), before);
    // The sixth group of a message of six comes first: the timer asks for the one before.
    let control = Control::NSR | Control::STI;
    let header = carrying(response(control, t(5), mcb(0, 90_000)), 0b01);
    let (mut near, _) = Near::start(&large);
    assert_eq!(near.response(&header).keep, Keep::Drop(Drop::Ahead));
    let expected = to_server(ResponseCode::Retry, t(0), 0);
    assert_eq!(near.reply_timeout(TC3).notify, Some(expected));
    // Of another Response than the one that has begun.
    let (mut near, _) = Near::start(&large);
    near.response(&carrying(group_of_three(0), 0xFFFF));
    assert_eq!(near.response(&header).keep, Keep::Drop(Drop::Conflict));
    let step = near.response(&carrying(group_of_three(0), 0xFFFF_0000));
    assert_eq!(step.received, Some(GroupFate::Clean));
}

/// 2.5.5: TC3 is about the packets of a group. A group waits for the acknowledgment of others.
#[test]
fn time_between_two_groups_of_a_response_is_no_gap_between_packets() {
    let (mut near, _) = Near::start(&Request {
        large_response: true,
        ..plain(mcb(0, 0))
    });
    let packets = [
        (0, 0, 0x0000_FFFF, None),
        (5, 0, 0x00FF_0000, Some(ms(5))),
        (6, 0, 0xFF00_0000, None),
        (56, 1, 0x0000_FFFF, None),
        (58, 1, 0x00FF_0000, Some(ms(2))),
    ];
    for (now, group, blocks, gap) in packets {
        let step = near
            .at(now)
            .response(&carrying(group_of_three(group), blocks));
        assert_eq!(step.interpacket, gap, "{now}");
    }
}

/// 2.5.6, decision 25: loss-free groups lower the gap, also behind one of which something was lost.
#[test]
fn group_counts_as_lossy_only_if_its_own_packets_were_asked_for() {
    let (mut near, _) = Near::start(&Request {
        large_response: true,
        ..plain(mcb(0, 0))
    });
    near.response(&carrying(group_of_three(0), 0xFFFF_0000));
    assert_eq!(near.reply_timeout(TC3).received, Some(GroupFate::Lossy));
    let rest = [
        (0, 0x0000_FFFF, GroupFate::Lossy),
        (1, u32::MAX, GroupFate::Clean),
        (2, 0x7FFF, GroupFate::Clean),
    ];
    for (group, blocks, fate) in rest {
        let step = near.response(&carrying(group_of_three(group), blocks));
        assert_eq!(step.received, Some(fate), "group {group}");
    }
    // A Response without its data tells of the loss as well.
    let mut near = asked();
    let asks = response(Control::APG, t(0), mcb(0, 1_024));
    assert!(near.response(&asks).notify.is_some());
    let step = near.response(&carrying(asks, 0b11));
    assert_eq!(step.received, Some(GroupFate::Lossy));
    // What was lost of the Request says nothing of the Response.
    for (octets, blocks) in [(512, 0b1), (2_048, 0b1111)] {
        let (mut near, _) = Near::start(&plain(mcb(0, 1_024)));
        near.notify(ResponseCode::Retry, 0, 0b01, 0);
        let header = carrying(response(0, t(0), mcb(0, octets)), blocks);
        assert_eq!(near.response(&header).received, Some(GroupFate::Clean));
    }
}

/// Shows: 4.7.1-m, 4.7.1-o
#[test]
fn response_group_with_cmg_is_held_until_its_continuation_comes() {
    let (mut near, _) = Near::start(&Request {
        large_response: true,
        ..plain(mcb(0, 0))
    });
    let group = |group, blocks| carrying(group_of_three(group), blocks);
    let step = near.response(&group(0, u32::MAX));
    assert_eq!((step.event, step.group_offset), (Event::None, 0));
    // Held, with TC2.
    assert_eq!(near.reply.deadline(), at(TC2));
    let step = near.reply_timeout(TC2);
    assert_eq!(step.notify, Some(to_server(ResponseCode::Retry, t(1), 0)));
    let step = near.response(&group(1, u32::MAX));
    assert_eq!((step.event, step.group_offset), (Event::None, 16_384));
    let step = near.response(&group(2, 0x7FFF));
    assert_eq!(step.group_offset, 32_768);
    assert_eq!(delivery(&step).segment_octets, 40_000);
    near.assert_over();
    // A group without CMG is a Response of its own.
    let mut near = asked();
    let step = near.response(&carrying(response(0, t(0), mcb(0, 512)), 1));
    assert_eq!(delivery(&step).segment_octets, 512);
    assert!(deliveries(&step.burst).is_empty());
}
