// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The 64-octet header of every VMTP packet, Request and Response alike (3.2, 3.3, 3.4).
//!
//! Parsing accepts any 64 octets; whether they are allowed is told by [`Header::check`], in
//! `validate`.

use super::octets::{at, put};
use super::{Code, Control, Entity, Mask, Mcb, PacketPlan, Transaction, GROUP_OCTETS};

/// A packet header as values. Fields narrower than their type are cut to their width when it is
/// emitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// The client entity of the transaction.
    pub client: Entity,
    /// Version of the protocol, 3 bits: 0.
    pub version: u8,
    /// The domain that the identifiers are of, 13 bits.
    pub domain: u16,
    /// Header Checksum Only.
    pub hco: bool,
    /// Encrypted Packet Group.
    pub epg: bool,
    /// Multicast Packet Group.
    pub mpg: bool,
    /// Segment data in this packet with its padding, in 32-bit words, 13 bits.
    pub length: u16,
    /// The control word.
    pub control: Control,
    /// The transaction identifier.
    pub transaction: Transaction,
    /// PacketDelivery: the blocks of the packet group that are in this packet.
    pub delivery: Mask,
    /// The server entity or group in a Request, the entity that answers in a Response.
    pub server: Entity,
    /// Flags and Request or Response code.
    pub code: Code,
    /// Octets 36 to 55: CoResidentEntity and UserData in a Request, UserData in a Response.
    pub user: [u8; 20],
    /// MsgDelivery if MDM is set, else user data.
    pub message_delivery: u32,
    /// SegmentSize in octets, of the whole message, if SDA is set; else user data.
    pub segment_size: u32,
}

impl Header {
    const HCO: u32 = 0x8000;
    const EPG: u32 = 0x4000;
    const MPG: u32 = 0x2000;
    const LENGTH: u32 = 0x1FFF;

    /// Reads a header. Never fails; the reserved control bits are dropped.
    #[inline]
    pub fn parse(octets: &[u8; 64]) -> Header {
        let word = u32::from_be_bytes(at::<8, 4, 64>(octets));
        Header {
            client: Entity::from_bits(u64::from_be_bytes(at::<0, 8, 64>(octets))),
            version: (word >> 29) as u8,
            domain: (word >> 16 & 0x1FFF) as u16,
            hco: word & Self::HCO != 0,
            epg: word & Self::EPG != 0,
            mpg: word & Self::MPG != 0,
            length: (word & Self::LENGTH) as u16,
            control: Control::from_bits(u32::from_be_bytes(at::<12, 4, 64>(octets))),
            transaction: Transaction::from_bits(u32::from_be_bytes(at::<16, 4, 64>(octets))),
            delivery: Mask::from_bits(u32::from_be_bytes(at::<20, 4, 64>(octets))),
            server: Entity::from_bits(u64::from_be_bytes(at::<24, 8, 64>(octets))),
            code: Code::from_bits(u32::from_be_bytes(at::<32, 4, 64>(octets))),
            user: at::<36, 20, 64>(octets),
            message_delivery: u32::from_be_bytes(at::<56, 4, 64>(octets)),
            segment_size: u32::from_be_bytes(at::<60, 4, 64>(octets)),
        }
    }

    /// Writes the header over all 64 octets. Bits that are reserved are sent as 0, whatever they
    /// are here: RES in the Code and, in a Response, also CRE, MRD, PIC, MDG and DRT (3.2, 3.4).
    #[inline]
    pub fn emit(&self, octets: &mut [u8; 64]) {
        let flags = (if self.hco { Self::HCO } else { 0 })
            | (if self.epg { Self::EPG } else { 0 })
            | (if self.mpg { Self::MPG } else { 0 });
        let word = u32::from(self.version) << 29
            | (u32::from(self.domain) & 0x1FFF) << 16
            | flags
            | (u32::from(self.length) & Self::LENGTH);
        let (control, code) = if self.is_response() {
            (
                self.control.without(Control::RESERVED_IN_RESPONSE),
                self.code.without(Code::RESERVED_IN_RESPONSE),
            )
        } else {
            (self.control, self.code.without(Code::RES))
        };
        put::<0, 8, 64>(octets, self.client.bits().to_be_bytes());
        put::<8, 4, 64>(octets, word.to_be_bytes());
        put::<12, 4, 64>(octets, control.bits().to_be_bytes());
        put::<16, 4, 64>(octets, self.transaction.bits().to_be_bytes());
        put::<20, 4, 64>(octets, self.delivery.bits().to_be_bytes());
        put::<24, 8, 64>(octets, self.server.bits().to_be_bytes());
        put::<32, 4, 64>(octets, code.bits().to_be_bytes());
        put::<36, 20, 64>(octets, self.user);
        put::<56, 4, 64>(octets, self.message_delivery.to_be_bytes());
        put::<60, 4, 64>(octets, self.segment_size.to_be_bytes());
    }

    /// Takes the blocks of the packet that was sent behind this one in the same transmission of the
    /// group, as if one packet had them all; its length is the sum then. `false`, and nothing is
    /// changed, if the packets differ in anything but the blocks they have, or the other's blocks
    /// do not all come after these.
    pub fn absorb(&mut self, next: &Header) -> bool {
        let same = Header {
            delivery: next.delivery,
            length: next.length,
            ..*self
        };
        let behind = next.delivery.bits().trailing_zeros()
            >= 32u32.wrapping_sub(self.delivery.bits().leading_zeros());
        if same != *next || !behind || self.delivery.is_empty() || next.delivery.is_empty() {
            return false;
        }
        self.delivery = self.delivery.union(next.delivery);
        self.length = self.length.saturating_add(next.length);
        true
    }

    /// Whether it is a Response; else it is a Request.
    #[inline]
    pub const fn is_response(&self) -> bool {
        self.control.is_response()
    }

    /// The entity that sent the message, whose LEE tells its byte order: Client in a Request,
    /// Server in a Response (2.15).
    #[inline]
    pub const fn sender(&self) -> Entity {
        if self.is_response() {
            self.server
        } else {
            self.client
        }
    }

    /// CoResidentEntity, octets 36 to 43. It means something only in a Request with CRE.
    #[inline]
    pub fn coresident(&self) -> Entity {
        Entity::from_bits(u64::from_be_bytes(at::<0, 8, 20>(&self.user)))
    }

    /// The same with this CoResidentEntity.
    #[inline]
    pub fn with_coresident(mut self, coresident: Entity) -> Self {
        put::<0, 8, 20>(&mut self.user, coresident.bits().to_be_bytes());
        self
    }

    /// The message control block without the Server.
    #[inline]
    pub const fn mcb(&self) -> Mcb {
        Mcb {
            code: self.code,
            user: self.user,
            message_delivery: self.message_delivery,
            segment_size: self.segment_size,
        }
    }

    /// The same with this message control block.
    #[inline]
    pub const fn with_mcb(mut self, mcb: Mcb) -> Self {
        self.code = mcb.code;
        self.user = mcb.user;
        self.message_delivery = mcb.message_delivery;
        self.segment_size = mcb.segment_size;
        self
    }

    /// The same with the Length and PacketDelivery of this packet.
    #[inline]
    pub const fn with_packet(mut self, packet: &PacketPlan) -> Self {
        self.length = (packet.padded >> 2) as u16;
        self.delivery = packet.delivery;
        self
    }

    /// Octets of segment data that follow the header, padding included.
    #[inline]
    pub const fn data_octets(&self) -> u32 {
        (self.length as u32).wrapping_mul(4)
    }

    /// Octets of the segment of the whole message: SegmentSize with SDA, else 0.
    #[inline]
    pub const fn segment_octets(&self) -> u32 {
        if self.code.has(Code::SDA) {
            self.segment_size
        } else {
            0
        }
    }

    /// Octets of the segment that are in this packet group: 16384 if the message continues in the
    /// next one (CMG), else what the last group of the message has (2.14).
    #[inline]
    pub const fn group_octets(&self) -> u32 {
        let segment = self.segment_octets();
        if self.control.has(Control::CMG) {
            return GROUP_OCTETS;
        }
        let last = segment % GROUP_OCTETS;
        if last == 0 && segment != 0 {
            GROUP_OCTETS
        } else {
            last
        }
    }

    /// How many packet groups the message has, at least 1 (2.14).
    #[inline]
    pub const fn message_groups(&self) -> u32 {
        let groups = self.segment_octets().div_ceil(GROUP_OCTETS);
        if groups == 0 {
            1
        } else {
            groups
        }
    }

    /// Whether `other` can be of the same packet group: both have the same identification, function
    /// code, CMG and message control block. Packet flags, the other control flags and counts,
    /// Length and PacketDelivery may differ from packet to packet and between transmissions (2.13).
    #[inline]
    pub fn is_same_group(&self, other: &Header) -> bool {
        let fixed = Control::CMG | Control::RESPONSE;
        self.client == other.client
            && self.version == other.version
            && self.domain == other.domain
            && self.transaction == other.transaction
            && self.server == other.server
            && (self.control.bits() ^ other.control.bits()) & fixed == 0
            && self.mcb() == other.mcb()
    }
}
