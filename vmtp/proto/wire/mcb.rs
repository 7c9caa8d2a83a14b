// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The message control block without the Server: the 32 octets of the header from the Code on (2.4,
//! 3.3, 3.4).
//!
//! How a program sees it at the socket, where words are in host byte order, is not here.

use super::octets::{at, put};
use super::{Code, Entity};

/// The part of a message control block that a user fills: Code, and 28 octets after it (2.4, II).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Mcb {
    /// Flags and Request or Response code.
    pub code: Code,
    /// Octets 36 to 55 of the packet: CoResidentEntity and UserData in a Request, UserData in a
    /// Response.
    pub user: [u8; 20],
    /// MsgDelivery if MDM is set, else user data.
    pub message_delivery: u32,
    /// SegmentSize in octets if SDA is set, else user data.
    pub segment_size: u32,
}

impl Mcb {
    /// Octets of parameters: all that follows the Code.
    pub const PARAMETER_OCTETS: usize = 28;
    /// Octets of parameters when SDA is set, and SegmentSize is not one.
    pub const PARAMETER_OCTETS_WITH_SEGMENT: usize = 24;

    /// CoResidentEntity, the first 8 octets of `user`. It means something only in a Request with
    /// CRE.
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

    /// Octets of the segment: SegmentSize with SDA, else 0.
    #[inline]
    pub const fn segment_octets(&self) -> u32 {
        if self.code.has(Code::SDA) {
            self.segment_size
        } else {
            0
        }
    }

    /// The 28 octets after the Code as on the wire: octets 36 to 63 of the packet.
    #[inline]
    pub fn parameters(&self) -> [u8; Self::PARAMETER_OCTETS] {
        let mut parameters = [0; Self::PARAMETER_OCTETS];
        put::<0, 20, 28>(&mut parameters, self.user);
        put::<20, 4, 28>(&mut parameters, self.message_delivery.to_be_bytes());
        put::<24, 4, 28>(&mut parameters, self.segment_size.to_be_bytes());
        parameters
    }

    /// The control block with this Code and these 28 octets after it.
    #[inline]
    pub fn from_parameters(code: Code, parameters: &[u8; Self::PARAMETER_OCTETS]) -> Self {
        Mcb {
            code,
            user: at::<0, 20, 28>(parameters),
            message_delivery: u32::from_be_bytes(at::<20, 4, 28>(parameters)),
            segment_size: u32::from_be_bytes(at::<24, 4, 28>(parameters)),
        }
    }
}
