// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The sending side of one message by itself (RFC 1045, 2.13, 2.14): what the peer has, what is sent
//! of the rest, and when a peer that asks in vain counts as gone.

mod common;

use common::{context, count, deliveries, headers, mask, mcb, t, CLIENT, SERVER};
use vmtp_proto::burst::Burst;
use vmtp_proto::outgoing::{Ends, Outgoing};
use vmtp_proto::wire::{Code, Control, Mask};

const ENDS: Ends = Ends {
    client: CLIENT,
    server: SERVER,
    domain: 1,
};

/// A Request whose segment has `octets`, none of which was sent.
fn message(octets: u32) -> Outgoing {
    Outgoing::new(mcb(0, octets), Control::default(), false, t(0))
}

/// The same with its groups sent once.
fn sent(octets: u32) -> Outgoing {
    let mut message = message(octets);
    message.advance(&ENDS, u16::MAX, &context());
    message
}

/// The groups of a burst, as distances from the first.
fn groups(burst: &Option<Burst>) -> Vec<i32> {
    let mut groups: Vec<i32> = headers(burst)
        .iter()
        .map(|header| header.transaction.since(t(0)))
        .collect();
    groups.dedup();
    groups
}

/// Three groups: 16384, 16384 and 1000 octets.
const THREE: u32 = 33_768;

#[test]
fn message_knows_its_groups() {
    let message = message(THREE);
    assert_eq!(message.groups(), 3);
    assert_eq!(message.last(), t(2));
    let known: Vec<_> = (0..4).map(|n| message.group_of(t(n))).collect();
    assert_eq!(known, [Some(0), Some(1), Some(2), None]);
    assert_eq!(message.group_of(t(0).minus(1)), None);
}

#[test]
fn header_only_and_hco_are_told() {
    let cx = context();
    for hco in [false, true] {
        let message = Outgoing::new(mcb(0, 0), Control::default(), hco, t(0));
        assert_eq!(message.is_header_checksum(), hco);
    }
    let mut message = sent(1_000);
    assert!(!message.was_header_only());
    // 4.9 note 3: sent again without its data.
    let burst = message.repeat(&ENDS, true, &cx);
    assert!(burst.is_header_only() && message.was_header_only());
    let all = message.repeat_all(&ENDS, true, &cx);
    assert!(!all.is_header_only() && !message.was_header_only());
}

/// 2.13: the blocks that the peer does not name are sent again, and no others.
#[test]
fn missing_blocks_are_sent_and_nothing_else() {
    let cx = context();
    let mut message = sent(1_500);
    let missing = message.missing(&ENDS, 0, mask(0b010), &cx);
    assert!(missing.progress);
    let blocks: u32 = deliveries(&missing.burst).iter().sum();
    assert_eq!(blocks, 0b101);
    assert_eq!(count(&missing.burst), 1);
    // The same once more is no progress, another block is.
    assert!(!message.missing(&ENDS, 0, mask(0b010), &cx).progress);
    assert_eq!(message.asked(), 1);
    assert!(message.missing(&ENDS, 0, mask(0b110), &cx).progress);
    assert_eq!(message.asked(), 0);
    assert!(!message.is_acknowledged());
    let missing = message.missing(&ENDS, 0, Mask::ALL, &cx);
    assert!(missing.burst.is_none() && missing.progress);
    assert!(message.is_acknowledged());
}

/// What ends the message is acknowledged by its answer; what does not has to ask for that (2.14).
#[test]
fn missing_blocks_ask_for_acknowledgment_unless_they_end_the_message() {
    let cx = context();
    for (group, asks) in [(0, true), (1, true), (2, false)] {
        let mut message = sent(THREE);
        let missing = message.missing(&ENDS, group, mask(0b1), &cx);
        let last = *headers(&missing.burst).last().expect("packets");
        assert_eq!(last.control.has(Control::APG), asks, "{group}");
    }
}

#[test]
fn nothing_is_missing_of_groups_that_are_not_there_or_were_acknowledged() {
    let cx = context();
    let mut message = sent(THREE);
    let none = message.missing(&ENDS, 3, Mask::EMPTY, &cx);
    assert!(none.burst.is_none() && !none.progress);
    assert!(message.acknowledge(0));
    let none = message.missing(&ENDS, 0, Mask::EMPTY, &cx);
    assert!(none.burst.is_none() && !none.progress);
    // The group after it is the one that is asked for, with all its blocks.
    let missing = message.missing(&ENDS, 1, Mask::EMPTY, &cx);
    assert_eq!(groups(&missing.burst), [1]);
    assert!(!missing.progress);
}

/// 2.14: whoever asks for a group has those before it.
#[test]
fn asking_for_a_group_acknowledges_those_before_it() {
    let cx = context();
    let mut message = sent(THREE);
    let missing = message.missing(&ENDS, 2, Mask::EMPTY, &cx);
    assert!(missing.progress);
    assert_eq!(groups(&missing.burst), [2]);
    let none = message.missing(&ENDS, 1, Mask::EMPTY, &cx);
    assert!(none.burst.is_none());
    assert!(!message.acknowledge(1), "no news");
    assert!(message.acknowledge(2));
    assert!(message.is_acknowledged());
}

#[test]
fn group_that_the_peer_forgot_is_sent_again() {
    let cx = context();
    let mut message = sent(THREE);
    message.acknowledge(1);
    message.reopen(2);
    assert!(message.missing(&ENDS, 1, Mask::EMPTY, &cx).burst.is_none());
    message.reopen(1);
    let missing = message.missing(&ENDS, 1, mask(1), &cx);
    assert_eq!(groups(&missing.burst), [1]);
    message.reopen(0);
    let missing = message.missing(&ENDS, 0, Mask::EMPTY, &cx);
    assert_eq!(groups(&missing.burst), [0]);
}

/// RETRY_ALL (III): everything after what is named, as far as the window reaches.
#[test]
fn resume_sends_what_follows() {
    let cx = context();
    let after = |after, window| {
        let mut message = sent(THREE);
        groups(&message.resume(&ENDS, after, window, &cx))
    };
    assert_eq!(after(None, 4), [0, 1, 2]);
    assert_eq!(after(None, 2), [0, 1]);
    assert_eq!(after(Some(0), 4), [1, 2]);
    assert_eq!(after(Some(1), 1), [2]);
    assert_eq!(after(Some(1), 0), [2], "one at least");
    assert_eq!(after(Some(2), 4), []);
    assert_eq!(after(Some(9), 4), []);
}

/// Only a burst that leaves something behind asks for acknowledgment.
#[test]
fn resume_asks_for_acknowledgment_if_it_does_not_end_the_message() {
    let cx = context();
    for (window, asks) in [(1, true), (2, true), (3, false)] {
        let mut message = sent(THREE);
        let burst = message.resume(&ENDS, None, window, &cx);
        let last = *headers(&burst).last().expect("packets");
        assert_eq!(last.control.has(Control::APG), asks, "{window}");
    }
}

/// A peer that asks is there, unless it asks in vain for ever: then the schedule goes on to its end.
#[test]
fn asking_in_vain_counts_as_a_sign_of_life_eight_times() {
    let cx = context();
    let mut message = sent(1_500);
    message.repeat(&ENDS, true, &cx);
    message.repeat(&ENDS, true, &cx);
    assert_eq!(message.transmissions(), 3);
    for asked in 1..=8 {
        message.missing(&ENDS, 0, Mask::EMPTY, &cx);
        assert_eq!((message.asked(), message.transmissions()), (asked, 1));
    }
    message.missing(&ENDS, 0, Mask::EMPTY, &cx);
    assert_eq!((message.asked(), message.transmissions()), (9, 2));
    message.heard();
    assert_eq!(message.transmissions(), 2, "it is no sign of life any more");
    // Progress makes it one again.
    message.missing(&ENDS, 0, mask(1), &cx);
    assert_eq!((message.asked(), message.transmissions()), (0, 1));
}

#[test]
fn retry_all_counts_as_in_vain_if_it_names_nothing_new() {
    let cx = context();
    let mut message = sent(THREE);
    message.acknowledge(0);
    message.ask(None);
    assert_eq!(message.asked(), 1);
    message.ask(Some(0));
    assert_eq!(message.asked(), 2, "group 0 was acknowledged before");
    message.ask(Some(1));
    assert_eq!(message.asked(), 2, "that is news");
    // And the news start the count over.
    message.resume(&ENDS, Some(1), 4, &cx);
    assert_eq!(message.asked(), 0);
    let mut message = sent(THREE);
    message.ask(None);
    message.resume(&ENDS, None, 4, &cx);
    assert_eq!(message.asked(), 1, "no news");
}

/// RETRY_ALL: the window has shrunk meanwhile, and what does not fit it goes with the acknowledgments.
#[test]
fn groups_behind_a_shrunk_window_go_out_again_as_well() {
    let cx = context();
    let mut message = sent(THREE);
    let first = message.resume(&ENDS, None, 1, &cx);
    assert_eq!((groups(&first), count(&first)), (vec![0], 1));
    for group in [1, 2] {
        message.acknowledge(group - 1);
        let next = message.advance(&ENDS, 1, &cx);
        assert_eq!(groups(&next), [i32::from(group)]);
    }
    assert_eq!(message.advance(&ENDS, 1, &cx), None);
}

#[test]
fn retry_all_in_vain_is_no_sign_of_life_in_the_end() {
    let cx = context();
    let mut message = sent(THREE);
    for asked in 1..=8 {
        message.ask(None);
        message.resume(&ENDS, None, 4, &cx);
        assert_eq!((message.asked(), message.transmissions()), (asked, 1));
    }
    message.ask(None);
    message.resume(&ENDS, None, 4, &cx);
    assert_eq!((message.asked(), message.transmissions()), (9, 2));
}

/// 4.9: with MDM the message is the blocks that its user chose.
#[test]
fn blocks_that_were_not_chosen_are_never_missing() {
    let cx = context();
    let mut meant = mcb(Code::MDM, 1_500);
    meant.message_delivery = 0b101;
    let mut message = Outgoing::new(meant, Control::default(), false, t(0));
    let burst = message.advance(&ENDS, 1, &cx);
    assert_eq!(deliveries(&burst).iter().sum::<u32>(), 0b101);
    let missing = message.missing(&ENDS, 0, mask(0b001), &cx);
    assert_eq!(deliveries(&missing.burst), [0b100]);
    assert!(message.missing(&ENDS, 0, mask(0b101), &cx).burst.is_none());
    assert!(message.is_acknowledged());
}
