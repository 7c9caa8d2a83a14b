// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The root record of a Client (RFC 1045, 2.5.1, 2.11): which transaction may start beside which,
//! what a Probe tells, and which flags of the user reach the wire.

mod common;

use common::near::{client, member, plain, to_group};
use common::{context, flags, mcb, only, t};
use vmtp_proto::client::{Client, StartError, RUN_LIMIT};
use vmtp_proto::wire::{Code, Control};

/// 2.11: only a run has several transactions outstanding, and the last of it ends it.
#[test]
fn only_members_of_an_open_run_start_beside_others() {
    let cx = context();
    let mut root = client();
    assert!(
        root.may_start(false) && root.may_start(true),
        "none is open"
    );
    let (mut first, _) = root.start(&member(mcb(0, 0), true), &cx).unwrap();
    assert!(root.may_start(true), "the run goes on");
    assert!(!root.may_start(false), "it would abort the run");
    assert_eq!(
        root.start(&plain(mcb(0, 0)), &cx).err(),
        Some(StartError::Open)
    );
    let (mut last, _) = root.start(&member(mcb(0, 0), false), &cx).unwrap();
    assert!(!root.may_start(true), "the run has its end");
    assert!(!root.may_start(false));
    root.abort(&mut first);
    assert!(!root.may_start(true), "one is open still");
    root.abort(&mut last);
    assert!(root.may_start(false) && root.may_start(true));
}

#[test]
fn run_takes_as_many_as_its_limit_and_no_more() {
    let cx = context();
    let mut root = client();
    for number in 0..RUN_LIMIT {
        assert_eq!(root.open(), number);
        assert!(root.may_start(true), "{number}");
        root.start(&member(mcb(0, 0), true), &cx).unwrap();
    }
    assert!(!root.may_start(true));
    assert_eq!(
        root.start(&member(mcb(0, 0), true), &cx).err(),
        Some(StartError::RunFull)
    );
}

/// A run that was given up does not go on: the next member is the first of another.
#[test]
fn aborted_run_is_over() {
    let cx = context();
    let mut root = client();
    let (mut first, _) = root.start(&member(mcb(0, 0), true), &cx).unwrap();
    let (mut second, step) = root.start(&member(mcb(0, 0), true), &cx).unwrap();
    assert_eq!(flags(&step.burst, Control::NSR), [Control::NSR]);
    root.abort(&mut first);
    // One is open, and so is its run.
    let (mut third, step) = root.start(&member(mcb(0, 0), true), &cx).unwrap();
    assert_eq!(flags(&step.burst, Control::NSR), [Control::NSR]);
    root.abort(&mut second);
    root.abort(&mut third);
    let (_, step) = root.start(&member(mcb(0, 0), true), &cx).unwrap();
    assert_eq!(flags(&step.burst, Control::NSR), [0]);
}

/// III, ProbeEntity: the oldest outstanding Transaction, else the next.
#[test]
fn current_transaction_is_the_oldest_outstanding_one() {
    let cx = context();
    let mut root = client();
    assert_eq!(root.current_transaction(), t(0));
    let (mut alone, _) = root.start(&plain(mcb(0, 0)), &cx).unwrap();
    root.abort(&mut alone);
    root.oldest_is(&mut alone, &cx);
    assert_eq!(root.current_transaction(), t(1), "none is open");
    root.start(&member(mcb(0, 0), true), &cx).unwrap();
    let (mut second, _) = root.start(&member(mcb(0, 0), true), &cx).unwrap();
    assert_eq!(root.current_transaction(), t(1));
    root.oldest_is(&mut second, &cx);
    assert_eq!(root.current_transaction(), t(2));
}

fn sent(flags: u32) -> u32 {
    let request = vmtp_proto::client::Request {
        flags,
        ..plain(mcb(0, 0))
    };
    let (_, step) = client().start(&request, &context()).unwrap();
    only(&step.burst).control.bits()
}

/// 3.2, VIII: the user chooses APG, NRT, MDG and DRT; the protocol sets all else.
#[test]
fn flags_of_the_user_reach_the_wire_and_no_others() {
    for flag in [
        Control::APG,
        Control::NRT,
        Control::MDG,
        Control::DRT,
        Control::NRS,
    ] {
        assert_eq!(sent(flag), flag, "{flag:#x}");
        assert_eq!(sent(!flag) & flag, 0, "{flag:#x}");
    }
    for flag in [Control::NSR, Control::NER, Control::CMG, Control::STI] {
        assert_eq!(sent(flag), 0, "{flag:#x}");
    }
}

#[test]
fn call_tells_whether_its_address_is_multicast() {
    let cx = context();
    let (group, _) = client().start(&to_group(mcb(0, 0)), &cx).unwrap();
    assert!(group.is_multicast());
    let (single, _) = client().start(&plain(mcb(0, 0)), &cx).unwrap();
    assert!(!single.is_multicast());
}

/// 2.5.1: each message has the next Transaction; a datagram too, which nobody answers.
#[test]
fn datagram_is_not_outstanding() {
    let cx = context();
    let mut root: Client = client();
    root.start(&plain(mcb(Code::DGM, 0)), &cx).unwrap();
    assert_eq!(root.open(), 0);
    assert_eq!(root.current_transaction(), t(1));
    assert!(root.may_start(false));
}

/// What ICMP says of a packet is about the call that sent it: of one whose Request has its Transaction.
#[test]
fn call_has_sent_the_transactions_of_its_groups() {
    let cx = context();
    let mut root: Client = client();
    let (call, _) = root.start(&plain(mcb(0, 40_000)), &cx).unwrap();
    for group in 0..3 {
        assert!(call.has_sent(t(group)));
    }
    for other in [t(3), t(0).minus(1), t(256)] {
        assert!(!call.has_sent(other));
    }
}
