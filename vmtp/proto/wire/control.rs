// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The control word: flags, RetransmitCount, ForwardCount, InterpacketGap or PGcount, Priority and
//! the function code (3.2, 3.3, 3.4). It is also the `ctrl` parameter of NotifyVmtpClient (III).
//!
//! When which flag is set is decided by the state machines, not here.

/// The fourth 32-bit word of the header (3.2).
///
/// # Invariants
///
/// The three reserved bits are 0, whatever was received: they are ignored on receipt and sent as 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Control(u32);

impl Control {
    /// Next Receive Sequence.
    pub const NRS: u32 = 0x8000_0000;
    /// Acknowledge Packet Group.
    pub const APG: u32 = 0x4000_0000;
    /// Not Start Run.
    pub const NSR: u32 = 0x2000_0000;
    /// Not End Run.
    pub const NER: u32 = 0x1000_0000;
    /// No Retransmission.
    pub const NRT: u32 = 0x0800_0000;
    /// Member of Destination Group. Reserved in a Response.
    pub const MDG: u32 = 0x0400_0000;
    /// Continued Message: the next packet group goes on with this message.
    pub const CMG: u32 = 0x0200_0000;
    /// Skip Transaction Identifiers.
    pub const STI: u32 = 0x0100_0000;
    /// Delay Response Transmission. Reserved in a Response.
    pub const DRT: u32 = 0x0080_0000;
    /// The function code: set in a Response, clear in a Request.
    pub const RESPONSE: u32 = 0x0000_0001;

    /// The flags that are reserved in a Response (3.4).
    pub const RESERVED_IN_RESPONSE: u32 = Self::MDG | Self::DRT;
    /// The nine control flags.
    pub const FLAGS: u32 = 0xFF80_0000;
    const RESERVED: u32 = 0x0000_000E;
    const RETRANSMIT: u32 = 0x0070_0000;
    const FORWARD: u32 = 0x000F_0000;
    const EIGHT: u32 = 0x0000_FF00;
    const PRIORITY: u32 = 0x0000_00F0;

    /// The control word with these bits; the reserved ones are dropped.
    #[inline]
    pub const fn from_bits(bits: u32) -> Self {
        // INVARIANT: the reserved bits are masked off.
        Control(bits & !Self::RESERVED)
    }

    /// The word, reserved bits 0.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether any of `flags` (control flags or [`RESPONSE`](Self::RESPONSE)) is set.
    #[inline]
    pub const fn has(self, flags: u32) -> bool {
        self.0 & flags & (Self::FLAGS | Self::RESPONSE) != 0
    }

    /// The same with `flags` set.
    #[inline]
    pub const fn with(self, flags: u32) -> Self {
        Control(self.0 | (flags & (Self::FLAGS | Self::RESPONSE)))
    }

    /// The same with `flags` clear.
    #[inline]
    pub const fn without(self, flags: u32) -> Self {
        Control(self.0 & !(flags & (Self::FLAGS | Self::RESPONSE)))
    }

    /// RetransmitCount: how often this packet group was sent before, modulo 8.
    #[inline]
    pub const fn retransmit_count(self) -> u8 {
        (self.0 >> 20 & 0x7) as u8
    }

    /// The same with RetransmitCount `count` modulo 8.
    #[inline]
    pub const fn with_retransmit_count(self, count: u8) -> Self {
        Control((self.0 & !Self::RETRANSMIT) | ((count as u32) << 20 & Self::RETRANSMIT))
    }

    /// ForwardCount: how often the Request was forwarded, 0 to 15.
    #[inline]
    pub const fn forward_count(self) -> u8 {
        (self.0 >> 16 & 0xF) as u8
    }

    /// The same with ForwardCount `count`; one above 15 is 15, so that it never looks like an
    /// original.
    #[inline]
    pub const fn with_forward_count(self, count: u8) -> Self {
        let count = if count > 15 { 15 } else { count as u32 };
        Control((self.0 & !Self::FORWARD) | (count << 16))
    }

    /// InterpacketGap of a Request, in 1/32 of the time that a packet of MTU size takes.
    #[inline]
    pub const fn gap(self) -> u8 {
        (self.0 >> 8 & 0xFF) as u8
    }

    /// The same with InterpacketGap `gap`.
    #[inline]
    pub const fn with_gap(self, gap: u8) -> Self {
        Control((self.0 & !Self::EIGHT) | ((gap as u32) << 8))
    }

    /// PGcount of a Response: how many packet groups before Transaction it answers too.
    #[inline]
    pub const fn pg_count(self) -> u8 {
        self.gap()
    }

    /// The same with PGcount `count`.
    #[inline]
    pub const fn with_pg_count(self, count: u8) -> Self {
        self.with_gap(count)
    }

    /// Priority.
    #[inline]
    pub const fn priority(self) -> Priority {
        Priority((self.0 >> 4 & 0xF) as u8)
    }

    /// The same with this Priority.
    #[inline]
    pub const fn with_priority(self, priority: Priority) -> Self {
        Control((self.0 & !Self::PRIORITY) | ((priority.0 as u32) << 4))
    }

    /// Whether the packet is a Response (function code 1); else it is a Request.
    #[inline]
    pub const fn is_response(self) -> bool {
        self.has(Self::RESPONSE)
    }

    /// The control word of a Response to a Request with this one, also the `ctrl` that
    /// NotifyVmtpClient reports (III): flags, RetransmitCount, ForwardCount and Priority are the
    /// Request's, MDG and DRT are reserved and so 0, PGcount is `pg_count`. NRS is clear; it says
    /// that a receive sequence is given and is for the caller to set.
    #[inline]
    pub const fn in_response(self, pg_count: u8) -> Self {
        self.without(Self::NRS | Self::RESERVED_IN_RESPONSE)
            .with(Self::RESPONSE)
            .with_pg_count(pg_count)
    }
}

/// The 4-bit Priority of a packet (3.2).
///
/// The high two bits are the level, the low two gradations in it. The order of the levels is 11,
/// 10, 00, 01; inside a level 00 is the highest. [`rank`](Priority::rank) is that order, the value
/// is not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Priority(u8);

impl Priority {
    /// Urgent, emergency: 1100.
    pub const URGENT: Priority = Priority(0b1100);
    /// Important: 1000.
    pub const IMPORTANT: Priority = Priority(0b1000);
    /// Normal: 0000.
    pub const NORMAL: Priority = Priority(0b0000);
    /// Background: 0100.
    pub const BACKGROUND: Priority = Priority(0b0100);

    /// The Priority with this value; none above 15.
    #[inline]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits <= 0xF {
            Some(Priority(bits))
        } else {
            None
        }
    }

    /// Its value, 0 to 15, as in the packet.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Its place in the order of handling: 0 for the most urgent to 15 for the least.
    #[inline]
    pub const fn rank(self) -> u8 {
        // Levels 11, 10, 00, 01 are to become 0, 1, 2, 3: with the high bit set the low one is
        // inverted, else the high one is set.
        let level = if self.0 & 0b1000 != 0 {
            (self.0 >> 2 & 0b01) ^ 0b01
        } else {
            (self.0 >> 2 & 0b01) | 0b10
        };
        level << 2 | (self.0 & 0b11)
    }
}
