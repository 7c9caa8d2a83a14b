// SPDX-License-Identifier: GPL-2.0

//! Sending a packet over IPv4. The packet is made with `skb_build`, the way found with `route`.

use super::errno::Errno;
use super::net::Net;
use super::route::Route;
use super::skb::Skb;
use super::sock::Sk;
use crate::bindings;
use core::ptr::{null_mut, NonNull};
use kernel::error::{to_result, Error, Result};

/// `SOCK_RAW`, which bindgen leaves out.
const SOCK_RAW: u16 = 3;

/// What the IP header and the way out need beside the route.
#[derive(Clone, Copy, Debug)]
pub struct IpOptions {
    /// Protocol number.
    pub protocol: u8,
    /// Type of service (DSCP).
    pub tos: u8,
    /// Time to live; None takes the route's.
    pub ttl: Option<u8>,
    /// Set "don't fragment" (never where the administrator locked the MTU).
    pub dont_fragment: bool,
    /// For queueing disciplines, as SO_PRIORITY.
    pub priority: u32,
    /// Firewall mark, as SO_MARK.
    pub mark: u32,
}

/// A raw IPv4 socket of the kernel itself, for what no socket of a user sends, and for whether own multicasts are heard.
/// It does not keep the namespace alive: keep it in the namespace's `pernet` state.
///
/// # Invariants
///
/// The socket is valid, ours, and receives nothing.
pub struct ControlSocket(NonNull<bindings::sock>);

// SAFETY: it is only handed to C functions that lock it.
unsafe impl Send for ControlSocket {}
// SAFETY: as above.
unsafe impl Sync for ControlSocket {}

impl ControlSocket {
    /// Makes one. Multicasts sent by it are heard by this host's own members if `multicast_loop`. Sleeps.
    pub fn new(net: &Net, protocol: u8, multicast_loop: bool) -> Result<Self> {
        let mut sk = null_mut();
        // SAFETY: the namespace is alive and `sk` is ours.
        to_result(unsafe {
            bindings::inet_ctl_sock_create(
                &mut sk,
                bindings::AF_INET as u16,
                SOCK_RAW,
                protocol,
                net.as_raw(),
            )
        })?;
        // SAFETY: a fresh AF_INET socket.
        unsafe { bindings::vmtp_helper_inet_set_mc_loop(sk, multicast_loop) };
        // INVARIANT: it was made, and unhashed by C.
        Ok(Self(NonNull::new(sk).ok_or(kernel::error::code::ENOMEM)?))
    }

    /// For `multicast` and whatever else takes a socket.
    pub fn sk(&self) -> &Sk {
        // SAFETY: valid by the invariant.
        unsafe { Sk::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // SAFETY: ours, made as a socket of the kernel. Sleeps: leaves the groups it joined.
        unsafe { bindings::vmtp_helper_inet_ctl_sock_destroy(self.0.as_ptr()) };
    }
}

impl Skb {
    /// Writes the IP header and sends it. The packet is gone whatever happens; ENOBUFS if it has no headroom, or if a queue
    /// of this host was full. Nothing of the receive side is called from within (own packets come back through a softirq).
    /// Any context; better outside of spinlocks, as it goes through firewalls and drivers.
    ///
    /// `owner` is charged until the packets have left the machine and is who "owner" rules of the firewall see.
    #[inline(always)]
    pub fn send(
        self,
        net: &Net,
        route: &Route,
        options: &IpOptions,
        control: &ControlSocket,
        owner: Option<&Sk>,
    ) -> Result {
        // Length and checksum are left to `ip_local_out`.
        let options = bindings::vmtp_ip {
            source: super::to_be32(route.source()),
            destination: super::to_be32(route.destination()),
            priority: options.priority,
            mark: options.mark,
            protocol: options.protocol,
            tos: options.tos,
            ttl: options.ttl.unwrap_or(0),
            has_ttl: options.ttl.is_some(),
            dont_fragment: options.dont_fragment,
        };
        let charged = owner.map_or(null_mut(), Sk::as_raw);
        // What a socket of IP decides about own multicasts a socket of another family does not know.
        let sender = if charged.is_null() || route.is_multicast() {
            control.0.as_ptr()
        } else {
            charged
        };
        // SAFETY: all are valid, `charged` perhaps null. C takes the packet, and the owner's own count of its write memory.
        // `route` holds a reference for as long as the call, and whoever keeps the packet longer takes its own.
        let result = unsafe {
            bindings::vmtp_helper_packet_send(
                net.as_raw(),
                self.into_raw(),
                route.as_raw(),
                &options,
                sender,
                charged,
            )
        };
        match result {
            ..0 => Err(Error::from_errno(result)),
            // NET_XMIT_CN (2): sent, and a queue grows long.
            0 | 2 => Ok(()),
            1.. => Err(Errno::ENOBUFS.into()),
        }
    }
}
