// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A record that is written out on one host and read back on another goes on filtering duplicates
//! there (RFC 1045, 2.1, 2.5.1).

mod common;

use common::far::{arrival, Far};
use common::{mcb, packets, request, t, OTHER_HOST};
use vmtp_proto::server::{Drop, Event, Keep, Presence, Remote, State, SNAPSHOT_OCTETS};
use vmtp_proto::wire::Control;

/// The record of `far` on its server's new host.
fn moved(far: &Far, has_segment: bool) -> Far {
    let image = far.remote.snapshot();
    let remote = Remote::restore(&image, OTHER_HOST, has_segment, &far.cx).expect("an image");
    Far { remote, ..*far }
}

#[test]
fn answered_request_is_not_executed_again_on_the_new_host() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    far.respond(t(0), mcb(0, 0));
    let mut there = moved(&far, false);
    assert_eq!(there.remote.state(), State::Responded);
    assert_eq!(there.remote.peer(), OTHER_HOST);
    let step = there.request(&header);
    assert_eq!(step.event, Event::None);
    let sent = packets(&step.burst);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header.mcb(), mcb(0, 0));
    assert_eq!(sent[0].header.transaction, t(0));
}

#[test]
fn older_request_is_old_on_the_new_host_and_a_new_one_is_executed() {
    let mut far = Far::processing(&request(0, t(0), mcb(0, 0)));
    far.respond(t(0), mcb(0, 0));
    far.request(&request(0, t(1), mcb(0, 0)));
    far.respond(t(1), mcb(0, 0));
    let mut there = moved(&far, false);
    let step = there.request(&request(0, t(0), mcb(0, 0)));
    assert_eq!(step.keep, Keep::Drop(Drop::Old));
    assert_eq!(step.event, Event::None);
    let step = there.request(&request(0, t(2), mcb(0, 0)));
    assert_eq!(arrival(&step).transaction, t(2));
}

#[test]
fn request_in_progress_is_answered_from_the_new_host() {
    let header = request(0, t(0), mcb(0, 0));
    let far = Far::processing(&header);
    let mut there = moved(&far, false);
    assert_eq!(there.request(&header).event, Event::None, "a duplicate");
    let step = there.respond(t(0), mcb(0, 0));
    assert!(step.burst.is_some());
}

#[test]
fn response_whose_segment_stayed_behind_is_discarded() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::processing(&header);
    far.respond(t(0), mcb(0, 100));
    assert_eq!(moved(&far, true).remote.state(), State::Responded);
    let mut there = moved(&far, false);
    assert_eq!(there.remote.state(), State::ResponseDiscarded);
    let again = request(Control::APG, t(0), mcb(0, 0));
    assert_eq!(there.request(&again).event, Event::None);
}

#[test]
fn image_has_a_fixed_layout_and_nothing_else_is_one() {
    let far = Far::processing(&request(0, t(0), mcb(0, 0)));
    let image = far.remote.snapshot();
    // Client, server, "VMR" and version 1, state 1: with the server.
    assert_eq!(image[..8], 0x2000_1001_0A00_0001u64.to_be_bytes());
    assert_eq!(image[8..16], 0x2000_2002_0A00_0002u64.to_be_bytes());
    assert_eq!(image[16..24], *b"VMR\x01\0\0\0\x01");
    assert_eq!(image.len(), SNAPSHOT_OCTETS);
    let mut other = image;
    other[19] = 2;
    assert!(Remote::restore(&other, OTHER_HOST, false, &far.cx).is_none());
    for length in 0..SNAPSHOT_OCTETS {
        let cut = &image[..length];
        assert!(Remote::restore(cut, OTHER_HOST, false, &far.cx).is_none());
    }
}

#[test]
fn request_that_nobody_has_begun_is_executed_on_the_new_host() {
    let first = request(0, t(0), mcb(0, 0));
    let second = request(0, t(1), mcb(0, 0));
    let mut far = Far::processing(&first);
    far.respond(t(0), mcb(0, 0));
    far.request(&second);
    far.remote.unreceive();
    let mut there = moved(&far, false);
    assert_eq!(there.remote.state(), State::AwaitingRequest);
    let step = there.request(&first);
    assert_eq!(step.keep, Keep::Drop(Drop::Old), "it was executed");
    let step = there.request(&second);
    assert_eq!(arrival(&step).transaction, t(1));
    // What is answered stays answered.
    there.respond(t(1), mcb(0, 0));
    there.remote.unreceive();
    assert_eq!(there.remote.state(), State::Responded);
}

/// What the old host sent counts as the first transmission: five repeats follow, and then it is given up.
#[test]
fn response_is_repeated_from_the_new_host_as_often_as_from_the_old_one() {
    let header = request(0, t(0), mcb(0, 0));
    let mut far = Far::new(&header);
    far.service.probe = true;
    far.request(&header);
    far.remote.probed(Presence::At(t(0)), true, &far.cx);
    far.respond(t(0), mcb(0, 100));
    let mut there = moved(&far, true);
    let mut repeats = 0;
    while there.remote.state() == State::Responded {
        there.cx.now = there.remote.deadline();
        repeats += packets(&there.remote.timeout(true, &there.cx).burst).len();
    }
    assert_eq!(repeats, 5);
}
