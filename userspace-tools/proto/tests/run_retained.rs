// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Responses of a run that are kept while a later Request of it is with the server (RFC 1045, 2.5.3, 2.11, 5.8).

mod common;

use common::far::{with, Far};
use common::run::{FIRST, LAST, MIDDLE};
use common::{carrying, count, flags, mcb, only, packets, request, t, to_server};
use vmtp_proto::server::{Presence, Retained, State, Unsent};
use vmtp_proto::wire::{Code, Control, Header, ResponseCode};

/// The first Request of a run was answered with so many octets, and the next is with the server. Its Client was probed.
fn kept(octets: u32) -> (Far, Retained) {
    let mut far = Far::new(&request(FIRST, t(0), mcb(0, 0)));
    far.service.probe = true;
    far.request(&request(FIRST, t(0), mcb(0, 0)));
    far.remote.probed(Presence::At(t(0)), true, &far.cx);
    far.respond(t(0), mcb(0, octets));
    let step = far.request(&request(LAST, t(1), mcb(0, 0)));
    (far, step.retain.expect("its Response is kept"))
}

fn again(control: u32, retransmissions: u8) -> Header {
    let mut header = request(FIRST | control, t(0), mcb(0, 0));
    header.control = header.control.with_retransmit_count(retransmissions);
    header
}

#[test]
fn request_that_comes_again_has_its_kept_response_again_if_it_asks() {
    let (far, mut response) = kept(0);
    let burst = response.repeat(&far.remote, &again(Control::APG, 3), &far.cx);
    let packet = only(&burst);
    assert!(packet.control.is_response());
    assert_eq!((packet.transaction, count(&burst)), (t(0), 3));
    assert!(!packet.control.has(Control::APG));
    assert_eq!(response.repeat(&far.remote, &again(0, 4), &far.cx), None);
    // One with data asks what of them is missing.
    let (far, mut response) = kept(1_024);
    let burst = response.repeat(&far.remote, &again(Control::APG, 1), &far.cx);
    let packet = only(&burst);
    assert_eq!((packet.delivery.bits(), packet.segment_size), (0, 1_024));
    assert!(packet.control.has(Control::APG));
    // Once for a transmission of several packets: the first of it has the first block.
    let header = request(FIRST | Control::APG, t(0), mcb(0, 1_024));
    for (block, answered) in [(0b10, false), (0b01, true)] {
        let burst = response.repeat(&far.remote, &carrying(header, block), &far.cx);
        assert_eq!(burst.is_some(), answered, "{block:b}");
    }
}

#[test]
fn kept_response_is_about_the_groups_of_its_request_and_its_own() {
    // A Request of two groups, answered by one of three with STI.
    let long = mcb(0, 20_000);
    let first = request(FIRST | Control::CMG, t(0), long);
    let second = request(MIDDLE | Control::STI, t(1), long);
    let mut far = Far::new(&first);
    for pair in 0..16 {
        far.request(&carrying(first, 0b11 << (2 * pair)));
    }
    for block in 0..8 {
        if 16_384 + block * 512 < 20_000 {
            far.request(&carrying(second, 1 << block));
        }
    }
    assert_eq!(far.remote.state(), State::Processing);
    far.remote
        .respond(t(1), &with(mcb(0, 40_000)), &far.cx)
        .unwrap();
    let next = request(LAST, t(257), mcb(0, 0));
    let response = far.request(&next).retain.expect("it is kept");
    let about: Vec<u32> = (0..8)
        .filter(|number| response.is_about(t(*number).minus(2)))
        .collect();
    // t(-2) and t(-1) are of nothing, t(0) and t(1) the Request's, t(1) to t(3) the Response's.
    assert_eq!(about, [2, 3, 4, 5]);
    assert_eq!((response.transaction(), response.last()), (t(1), t(3)));
}

/// Shows: 5.8-f
#[test]
fn kept_response_goes_when_it_was_asked_for_in_vain_as_often_as_it_may_be_sent() {
    for code in [ResponseCode::Retry, ResponseCode::RetryAll] {
        let (far, mut response) = kept(2_048);
        let about = if code == ResponseCode::Retry {
            t(0)
        } else {
            t(0).minus(1)
        };
        for time in 0..5 {
            let burst = response.notified(&far.remote, &to_server(code, about, 0), &far.cx);
            assert_eq!(packets(&burst.unwrap()).len(), 2, "{code:?} {time}");
        }
        let end = response.notified(&far.remote, &to_server(code, about, 0), &far.cx);
        assert_eq!(end, Err(Unsent::Finished), "{code:?}");
    }
}

/// 2.5.4: an idempotent one is made anew.
#[test]
fn idempotent_response_of_a_run_is_not_kept() {
    let mut far = Far::processing(&request(FIRST, t(0), mcb(0, 0)));
    far.respond(t(0), mcb(Code::DGM, 0));
    assert!(far
        .request(&request(LAST, t(1), mcb(0, 0)))
        .retain
        .is_none());
    // Nor one of no run, when a run begins that it is before.
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    far.respond(t(0), mcb(0, 0));
    assert!(far
        .request(&request(LAST, t(1), mcb(0, 0)))
        .retain
        .is_none());
}

/// The place in the run is told by the Response as by its Request; STI by one of several groups.
#[test]
fn response_has_the_place_of_its_request() {
    let place = Control::NSR | Control::NER;
    for control in [FIRST, MIDDLE, LAST] {
        let mut far = Far::processing(&request(FIRST, t(0), mcb(0, 0)));
        let number = if control == FIRST {
            0
        } else {
            far.respond(t(0), mcb(0, 0));
            far.request(&request(control, t(1), mcb(0, 0)));
            1
        };
        let step = far.respond(t(number), mcb(0, 0));
        assert_eq!(flags(&step.burst, place), [control]);
    }
    for (octets, groups, skips) in [(100, 1, 0), (20_000, 2, Control::STI)] {
        let mut far = Far::new(&request(Control::STI, t(0), mcb(0, 0)));
        far.service.probe = true;
        far.request(&request(Control::STI, t(0), mcb(0, 0)));
        far.remote.probed(Presence::At(t(0)), true, &far.cx);
        let step = far.respond(t(0), mcb(0, octets));
        // It is on the further groups.
        let last = *flags(&step.burst, Control::STI).last().unwrap();
        assert_eq!(last, skips, "{groups} groups");
    }
}
