// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is known of the way to a peer host: an entry of the RFC's ServerHost cache without its key
//! (RFC 1045, VII.2), and the rate control that feeds on it (2.5.6).

use super::client::Heard;
use super::context::Timing;
use super::time::Span;
use super::timers::{self, Estimate};

/// Groups of a message outstanding towards a host of which nothing is known.
pub const FIRST_WINDOW: u16 = 2;
/// Groups of a message outstanding at most: what a receiver assembles at once.
pub const LARGEST_WINDOW: u16 = super::incoming::WINDOW;

/// Loss-free groups in a row after which the gap is lowered and the window raised.
const CLEAN_GROUPS: u8 = 8;

/// Numbers by which news of a receive sequence may be overtaken.
const OVERTAKEN: u32 = 1 << 16;

/// What became of a packet group that was sent, as the peer's answer tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupFate {
    /// All its packets arrived.
    Clean,
    /// Some were missing.
    Lossy,
}

/// The state of the way to one host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path {
    round_trip: Estimate,
    interpacket: Estimate,
    packet_time: Span,
    /// Our spacing towards the host, in 1/32 of `packet_time`.
    gap: u8,
    /// The spacing the host asked for: a floor of ours.
    asked_gap: u8,
    /// The spacing we ask the host for.
    receive_gap: u8,
    clean_sent: u8,
    clean_received: u8,
    window: u16,
    no_streaming: bool,
    /// The host numbers what it receives, and the newest number that is known of (2.12).
    numbers: bool,
    receive_sequence: Option<u32>,
    /// Octets of an IP packet on the way.
    pub mtu: u32,
}

impl Path {
    /// A way of which only the MTU (octets) and the transmission time of such a packet are known.
    pub const fn new(mtu: u32, packet_time: Span) -> Path {
        Path {
            round_trip: Estimate::NONE,
            interpacket: Estimate::NONE,
            packet_time,
            gap: 0,
            asked_gap: 0,
            receive_gap: 0,
            clean_sent: 0,
            clean_received: 0,
            window: FIRST_WINDOW,
            no_streaming: false,
            numbers: false,
            receive_sequence: None,
            mtu,
        }
    }

    /// The timers that follow from what is known.
    pub fn timing(&self) -> Timing {
        let round_trip = if self.round_trip.is_known() {
            self.round_trip
                .bound()
                .at_least(timers::FLOOR)
                .at_most(timers::ROUND_TRIP_CEILING)
        } else {
            timers::FIRST_ROUND_TRIP
        };
        let between = if self.interpacket.is_known() {
            self.interpacket.bound()
        } else {
            // 2.5.5: ten times the transmission time of an MTU.
            self.packet_time.times(10)
        };
        // The peer may be asked to pause between packets: that is not loss.
        let asked = self.packet_time.fraction(u32::from(self.receive_gap), 5);
        Timing {
            round_trip,
            packet_gap: between
                .plus(asked)
                .at_least(timers::FLOOR)
                .at_most(timers::PACKET_GAP_CEILING),
            packet_time: self.packet_time,
            receive_gap: self.receive_gap,
            pause: self.pause(),
            window: self.window,
            no_streaming: self.no_streaming,
            numbers: self.numbers,
        }
    }

    /// The pause to keep between two packets of a group sent to the host.
    pub fn pause(&self) -> Span {
        self.packet_time.fraction(u32::from(self.gap()), 5)
    }

    /// The same in 1/32 of an MTU time.
    pub fn gap(&self) -> u8 {
        self.gap.max(self.asked_gap)
    }

    /// The estimate of the round trip, for people.
    pub const fn round_trip(&self) -> &Estimate {
        &self.round_trip
    }

    /// The estimate of the time between two packets of a group, for people.
    pub const fn interpacket(&self) -> &Estimate {
        &self.interpacket
    }

    /// A round trip was measured.
    pub fn sample_round_trip(&mut self, span: Span) {
        self.round_trip.sample(span);
    }

    /// Two packets of one group came `span` apart.
    pub fn sample_interpacket(&mut self, span: Span) {
        self.interpacket
            .sample(span.at_most(timers::PACKET_GAP_CEILING));
    }

    /// The host asked for this spacing of packets sent to it (InterpacketGap of its Request).
    pub fn asked_for_gap(&mut self, gap: u8) {
        self.asked_gap = gap;
    }

    /// The host said that it does not stream.
    pub fn does_not_stream(&mut self) {
        self.no_streaming = true;
    }

    /// The host told something of its receive sequence. A number shortly before the one that is known
    /// was overtaken; one from long before is of a host that counts anew.
    pub fn numbered(&mut self, heard: Heard) {
        self.numbers = true;
        let Heard::Number(number) = heard else {
            return;
        };
        let late = |known: u32| (1..=OVERTAKEN).contains(&known.wrapping_sub(number));
        if !self.receive_sequence.is_some_and(late) {
            self.receive_sequence = Some(number);
        }
    }

    /// The newest number that the host is known to have given to a Request from here (2.12).
    pub const fn receive_sequence(&self) -> Option<u32> {
        self.receive_sequence
    }

    /// Loss in a group that we sent raises the gap and lowers the window at once; loss-free groups
    /// undo it slowly. Whether [`Path::timing`] may be another now.
    pub fn sent(&mut self, fate: GroupFate) -> bool {
        match fate {
            GroupFate::Lossy => {
                self.clean_sent = 0;
                self.gap = raised(self.gap);
                self.window = (self.window / 2).max(1);
            }
            GroupFate::Clean => {
                self.clean_sent = self.clean_sent.saturating_add(1);
                if self.clean_sent < CLEAN_GROUPS {
                    return false;
                }
                self.clean_sent = 0;
                self.gap = lowered(self.gap);
                self.window = self.window.saturating_add(1).min(LARGEST_WINDOW);
            }
        }
        true
    }

    /// The same for groups that we received: it is the gap we ask the host for.
    pub fn received(&mut self, fate: GroupFate) -> bool {
        match fate {
            GroupFate::Lossy => {
                self.clean_received = 0;
                self.receive_gap = raised(self.receive_gap);
            }
            GroupFate::Clean => {
                self.clean_received = self.clean_received.saturating_add(1);
                if self.clean_received < CLEAN_GROUPS {
                    return false;
                }
                self.clean_received = 0;
                self.receive_gap = lowered(self.receive_gap);
            }
        }
        true
    }

    /// Learns the MTU (octets of an IP packet) and the transmission time of such a packet.
    pub fn set_mtu(&mut self, mtu: u32, packet_time: Span) {
        self.mtu = mtu;
        self.packet_time = packet_time;
    }
}

/// One quarter more, and at least 1/32 of a packet time.
fn raised(gap: u8) -> u8 {
    gap.saturating_add(gap / 4).saturating_add(1)
}

/// One quarter less, and at least 1/32 of a packet time.
fn lowered(gap: u8) -> u8 {
    gap.saturating_sub(gap / 4).saturating_sub(1)
}
