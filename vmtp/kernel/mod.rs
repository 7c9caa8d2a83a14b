// SPDX-License-Identifier: GPL-2.0

//! Safe Rust over the kernel C API that the `kernel` crate lacks: sk_buff, sock, namespaces, routes, the bh lock, hash
//! tables, timers, /proc files.
//!
//! It knows nothing of VMTP: what is protocol-specific (the family's number, the protocol's) is a parameter. All `unsafe`
//! of the module lives here. Each file is one concept and could be proposed to the kernel by itself.
//!
//! Contexts: an item's documentation says "any context" (softirq included, nothing sleeps), "sleeps" (process context
//! only, no spinlock held) or what else it needs. Nothing here may be called from hard interrupts.
//!
//! Addresses are [`core::net::Ipv4Addr`], times are nanoseconds in a `u64`, lengths are octets.

// Each wrapper is complete in itself, whether or not somebody uses all of it yet.
#![allow(dead_code, unreachable_pub)]

pub mod ages;
pub mod array;
pub mod clock;
pub mod counters;
pub mod cred;
pub mod errno;
pub mod family;
pub mod lock;
pub mod message;
pub mod multicast;
pub mod net;
pub mod netdev;
pub mod output;
pub mod pages;
pub mod pernet;
pub mod proc;
pub mod process;
pub mod protocol;
pub mod random;
pub mod record;
pub mod route;
pub mod skb;
pub mod skb_build;
pub mod skb_part;
pub mod skb_queue;
pub mod skb_train;
pub mod sock;
pub mod sysctl;
pub mod table;
pub mod timer;
pub mod trace;
pub mod user;
pub mod wait;
pub mod work;

use core::net::Ipv4Addr;

/// Allocation flags as the C side takes them (the `kernel` crate keeps its own conversion to itself).
pub(crate) fn gfp(flags: kernel::alloc::Flags) -> u32 {
    const { assert!(core::mem::size_of::<kernel::alloc::Flags>() == core::mem::size_of::<u32>()) };
    // SAFETY: `Flags` is a struct of one u32, which the assertion would notice to change.
    unsafe { core::mem::transmute_copy(&flags) }
}

/// An address as the C side holds it.
pub(crate) fn to_be32(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

/// An address from how the C side holds it.
pub(crate) fn from_be32(address: u32) -> Ipv4Addr {
    Ipv4Addr::from(address.to_ne_bytes())
}
