// SPDX-License-Identifier: GPL-2.0

//! Tracepoints (`vmtp:*`). While nobody listens those of packets and states cost a look at a number, the others a call and
//! a test of a static key. Any context.

use super::to_be32;
use crate::bindings;
use core::net::Ipv4Addr;

/// Whether somebody listens to packets or states.
#[inline]
pub fn is_on() -> bool {
    // SAFETY: a number that C changes as a whole; whoever begins to listen may miss what is under way.
    unsafe { (&raw const bindings::vmtp_traced).read_volatile() != 0 }
}

/// What of a packet is shown.
pub struct Packet {
    /// The other host.
    pub host: Ipv4Addr,
    /// The Client's identifier.
    pub client: u64,
    /// The Server's identifier.
    pub server: u64,
    /// The Transaction.
    pub transaction: u32,
    /// The control word.
    pub control: u32,
    /// The delivery mask.
    pub delivery: u32,
    /// The Code word.
    pub code: u32,
    /// Octets of IP payload.
    pub octets: usize,
}

/// A packet arrived, or (`!arrived`) leaves.
#[inline]
pub fn packet(arrived: bool, packet: &Packet) {
    // SAFETY: plain numbers.
    unsafe {
        bindings::vmtp_helper_trace_packet(
            arrived,
            to_be32(packet.host),
            packet.client,
            packet.server,
            packet.transaction,
            packet.control,
            packet.delivery,
            packet.code,
            packet.octets as u32,
        )
    };
}

/// A transaction (of a Client of this host, or of a remote one) is in another state.
#[inline]
pub fn state(is_client: bool, client: u64, server: u64, transaction: u32, name: &str) {
    // SAFETY: the name has so many octets.
    unsafe {
        bindings::vmtp_helper_trace_state(
            is_client,
            client,
            server,
            transaction,
            name.as_ptr(),
            name.len() as u32,
        )
    };
}

/// A timer of a transaction went off.
#[inline]
pub fn timeout(is_client: bool, client: u64, server: u64, transaction: u32) {
    // SAFETY: plain numbers.
    unsafe { bindings::vmtp_helper_trace_timeout(is_client, client, server, transaction) };
}

/// A packet was dropped for this reason.
#[inline]
pub fn drop(reason: &str) {
    // SAFETY: the reason has so many octets.
    unsafe { bindings::vmtp_helper_trace_drop(reason.as_ptr(), reason.len() as u32) };
}
