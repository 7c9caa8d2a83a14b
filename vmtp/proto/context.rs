// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a host tells the protocol with every event: the time, what is known of the way to the
//! peer, and the policy of the host and the socket.

use super::burst::Burst;
use super::time::{Span, Time};
use super::timers;

/// The timers that depend on the way to the peer, as a snapshot of its `Path`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// TC2 and TS3: the estimated round trip.
    pub round_trip: Span,
    /// TC3 and TS1: the longest time between two packets of a group.
    pub packet_gap: Span,
    /// The transmission time of a packet of MTU size.
    pub packet_time: Span,
    /// The interpacket gap to ask the peer for, in 1/32 of `packet_time` (2.5.6).
    pub receive_gap: u8,
    /// The pause kept between two packets of a group sent to the peer (2.5.6, `Path::pause`).
    pub pause: Span,
    /// Packet groups of one message that may be outstanding without acknowledgment.
    pub window: u16,
    /// Whether the peer's streaming is known to be missing.
    pub no_streaming: bool,
    /// Whether the peer is known to number what it receives (2.12).
    pub numbers: bool,
}

impl Timing {
    /// Before anything was measured, for an MTU time of 12 us (1500 octets at 1 Gb/s).
    pub const UNKNOWN: Timing = Timing {
        round_trip: timers::FIRST_ROUND_TRIP,
        packet_gap: timers::FLOOR,
        packet_time: Span::from_micros(12),
        receive_gap: 0,
        pause: Span::ZERO,
        window: super::path::FIRST_WINDOW,
        no_streaming: false,
        numbers: false,
    };

    /// How long the packets of a burst take to leave: the pauses between them.
    #[inline]
    pub fn leaving(&self, burst: &Burst) -> Span {
        if self.pause == Span::ZERO {
            return Span::ZERO;
        }
        // Two blocks a packet, as on an Ethernet.
        let packets = u64::from(burst.blocks_left().div_ceil(2));
        self.pause.times(packets.saturating_sub(1))
    }

    /// TC1 at first: three times TC2, but not longer than the longest TC2.
    pub const fn first_response(&self) -> Span {
        self.round_trip.times(3).at_most(timers::ROUND_TRIP_CEILING)
    }

    /// TC1 once the server is known to work on the Request.
    pub const fn working(&self) -> Span {
        self.round_trip.plus(timers::WORKING)
    }

    /// TS5: TS3 plus three times the transmission time of `octets` of Response.
    pub fn acknowledgment(&self, octets: u32) -> Span {
        let packets = u64::from(octets / 1024).saturating_add(1);
        self.round_trip
            .plus(self.packet_time.times(packets.saturating_mul(3)))
    }
}

/// When a Client without a record is probed before a Request of its is executed (decision: at most
/// once; RFC 1045, 2.5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeClients {
    /// While the host is younger than TS4, and after records had to be dropped early.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The host's and the socket's settings that the protocol obeys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// MaxRetrans: how often a message, or a request for its missing blocks, is sent again.
    pub retries: u8,
    /// Four times the maximum packet lifetime: TS4.
    pub record_lifetime: Span,
    /// Whether this host handles and issues streamed transactions.
    pub streaming: bool,
    /// Complete Requests of one run that wait behind the one in progress.
    pub run_queue: u16,
    /// Responses of one run kept until the Client acknowledges them.
    pub run_responses: u16,
}

impl Policy {
    /// The defaults of the RFC and of the project's decisions.
    pub const DEFAULT: Policy = Policy {
        retries: 5,
        record_lifetime: Span::from_millis(120_000),
        streaming: true,
        run_queue: 32,
        run_responses: 32,
    };
}

/// The surroundings of one event.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Now.
    pub now: Time,
    /// Thirty-two random bits, fresh for every event.
    pub random: u32,
    /// The way to the peer.
    pub timing: Timing,
    /// The settings.
    pub policy: Policy,
}
