// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What VMTP packets look like: the header, its words, the checksum, how a segment is cut into
//! packets, and the parameters of the management procedures (RFC 1045 chapter 3 and appendices I to
//! V).
//!
//! It is not the protocol: nothing here has state, a clock or an opinion on what to answer. Every
//! function is total. None panics, allocates or loops on more than its input, whatever octets it is
//! given: they come from the network and this code runs in the kernel. On the wire everything is
//! big-endian; in these types everything is a value.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

mod checksum;
mod code;
mod control;
mod entity;
mod header;
pub mod manage;
mod mask;
mod mcb;
mod octets;
mod packetize;
mod transaction;
mod validate;

pub use self::checksum::{Checksum, Verification};
pub use self::code::{Code, ResponseCode};
pub use self::control::{Control, Priority};
pub use self::entity::{Entity, EntityKind, EntityParseError};
pub use self::header::Header;
pub use self::manage::*;
pub use self::mask::{Blocks, Mask};
pub use self::mcb::Mcb;
pub use self::octets::{Reader, Writer};
pub use self::packetize::{padded, Extent, PacketPlan, Packets, Placement};
pub use self::transaction::Transaction;
pub use self::validate::WireError;

/// Octets of the header of every packet (3.3, 3.4).
pub const HEADER_OCTETS: u32 = 64;
/// Octets of the checksum that ends every packet (2.5.2).
pub const CHECKSUM_OCTETS: u32 = 4;
/// Octets of a packet without segment data, and what each packet has beside its data.
pub const OVERHEAD_OCTETS: u32 = 68;
/// Octets of one segment block, the unit of PacketDelivery and MsgDelivery (2.13).
pub const BLOCK_OCTETS: u32 = 512;
/// Segment blocks of one packet group (2.13).
pub const GROUP_BLOCKS: u32 = 32;
/// Octets of segment data that one packet group carries at most (2.13).
pub const GROUP_OCTETS: u32 = 16_384;
/// Packet groups of one message at most (2.14).
pub const MESSAGE_GROUPS_MAX: u32 = 256;
/// Octets of the segment of one message at most: 4 megaoctets (2.14).
pub const MESSAGE_OCTETS_MAX: u32 = 4_194_304;
/// The IP protocol number of VMTP (VI).
pub const IPPROTO: u32 = 81;
