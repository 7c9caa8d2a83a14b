// SPDX-License-Identifier: GPL-2.0 OR MIT

//! ONC RPC (RFC 1057) over VMTP: the binder by which programs are found, what asks it, and the
//! gateway between RPC over UDP or TCP and RPC over VMTP.
//!
//! A call is a Request of code [`CALL`] with the call message as its segment, the reply message the
//! segment of the Response. Programs in C have `libvmtprpc` (`include/vmtp-rpc.h`), which says more.

#![forbid(unsafe_code)]

pub mod binder;
pub mod caller;
pub mod gateway;
pub mod message;
pub mod portmap;

use std::net::Ipv4Addr;

use vmtp::Entity;

/// The code of a Request with an RPC call.
pub const CALL: u32 = 0x80_0000 | 111;
/// The code of the Response to a Request that is no RPC call at all.
pub const MALFORMED: u32 = 0x80_0000 | 112;
/// The discriminator of binders.
pub const BINDER: u32 = 111;

/// The binder of the host with this address: BE-111-ADDRESS.
pub fn binder_of(address: Ipv4Addr) -> Entity {
    entity(BINDER, address)
}

/// The entity whose upper half (type and discriminator) a portmapper has as "port".
pub fn entity(upper: u32, address: Ipv4Addr) -> Entity {
    Entity::from_bits(u64::from(upper) << 32 | u64::from(u32::from(address)))
}

/// The upper half of an entity identifier.
pub fn upper(entity: Entity) -> u32 {
    (entity.bits() >> 32) as u32
}

/// The address in an entity identifier (IV.1).
pub fn address(entity: Entity) -> Ipv4Addr {
    Ipv4Addr::from(entity.address())
}
