// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What an event of a call leads to: packets, Notify operations, and what its user is told.

use crate::proto::burst::Burst;
use crate::proto::path::GroupFate;
use crate::proto::time::Span;
use crate::proto::wire::{Mask, NotifyVmtpServer, ResponseCode, Transaction};

/// What to do with the packet that led to a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing in it is new; count it under this reason.
    Drop(Drop),
    /// Keep its data as part of the message.
    Keep,
    /// Throw away what was kept of the message before, and keep this.
    Restart,
}

/// Why a packet was dropped, for counters and tracing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drop {
    /// A message, or a part of one, that was received before.
    Duplicate,
    /// A header-only packet, which carries no data.
    NoData,
    /// An old transaction.
    Old,
    /// Not in sequence in its run.
    OutOfSequence,
    /// Too far ahead in its message.
    Ahead,
    /// It contradicts other packets of its group.
    Conflict,
    /// The protocol does not allow it here.
    Protocol,
    /// Streaming is off.
    Streaming,
    /// Nobody waits for it, or nobody is there.
    Unwanted,
    /// No room.
    NoRoom,
}

/// What happened, as the user sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing yet.
    None,
    /// The reply is complete: deliver it.
    Response(Delivery),
    /// The transaction ended without a Response.
    Finished(ResponseCode),
    /// Find the Server's host: cache (unless it proved wrong) and then ProbeEntity by multicast;
    /// then call [`Call::located`] or [`Call::not_located`].
    Locate,
    /// The server lost its place in the run, and has everything up to and including this
    /// Transaction: call [`Call::resend`] for each later call in order.
    ResendAfter(Transaction),
    /// The server knows nothing of the run: call [`Call::resend`] for each open call in order, with
    /// `first`.
    RestartRun,
    /// The server does not stream: the host's path learns it, and calls of the run go out one at a
    /// time.
    DoesNotStream,
}

/// How a Response is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Takes the place of the code that came, if the Response is incomplete.
    pub code: Option<ResponseCode>,
    /// Octets of the segment to deliver.
    pub segment_octets: u32,
    /// Takes the place of MsgDelivery.
    pub message_delivery: Option<Mask>,
    /// Transactions from this one on, up to the call's own, are answered by this Response: calls
    /// before it in the run that have no Response of their own are complete (PGcount).
    pub covers_from: Transaction,
}

/// What the host must do, in the order of the members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// What becomes of the packet. [`Keep::Drop`] where no packet led here.
    pub keep: Keep,
    /// Octets from the start of the message's segment to the start of the packet's group, if it is
    /// kept.
    pub group_offset: u32,
    /// Packets to send to the call's peer.
    pub burst: Option<Burst>,
    /// A Notify to send to the reply's peer.
    pub notify: Option<NotifyVmtpServer>,
    /// A measured round trip for the path to the peer.
    pub round_trip: Option<Span>,
    /// A measured time between two packets of a group.
    pub interpacket: Option<Span>,
    /// What became of a group we sent.
    pub sent: Option<GroupFate>,
    /// What became of a group we received.
    pub received: Option<GroupFate>,
    /// What happened.
    pub event: Event,
}

impl Step {
    /// Nothing to do.
    pub const NOTHING: Step = Step {
        keep: Keep::Drop(Drop::Duplicate),
        group_offset: 0,
        burst: None,
        notify: None,
        round_trip: None,
        interpacket: None,
        sent: None,
        received: None,
        event: Event::None,
    };

    pub(super) const fn dropped(reason: Drop) -> Step {
        Step {
            keep: Keep::Drop(reason),
            ..Step::NOTHING
        }
    }
}
