// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Message Send Protocol, version 1 (RFC 1159) and 2 (RFC 1312): a short text for a user's
//! terminal, over UDP and TCP as the RFCs say and over VMTP.
//!
//! Over VMTP a message is the segment of a Request of code [`CODE`] to the entity BE-18-ADDRESS of a
//! host or to a group of such servers; the acknowledgement of version 2 is the segment of the
//! Response. A Request is executed at most once, so a cookie is not looked at.

#![forbid(unsafe_code)]

pub mod client;
pub mod message;
pub mod server;
pub mod terminal;

use std::net::Ipv4Addr;

use vmtp::Entity;

/// The port over UDP and TCP, and the discriminator of servers over VMTP.
pub const PORT: u16 = 18;
/// The code of a Request with a message.
pub const CODE: u32 = 0x80_0000 | 18;

/// The server of the host with this address: BE-18-ADDRESS.
pub fn server_of(address: Ipv4Addr) -> Entity {
    Entity::from_bits(u64::from(PORT) << 32 | u64::from(u32::from(address)))
}
