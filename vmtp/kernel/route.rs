// SPDX-License-Identifier: GPL-2.0

//! Ways to IPv4 addresses, which may be kept and asked whether they still hold; and what an address is to this host.
//! Sending along one is `output`.

use super::errno::Errno;
use super::net::Net;
use crate::bindings;
use core::net::Ipv4Addr;
use core::ptr::NonNull;
use kernel::error::{code::EACCES, from_err_ptr, Result};

/// What a route is looked up by.
#[derive(Clone, Copy, Debug)]
pub struct RouteKey {
    /// To.
    pub destination: Ipv4Addr,
    /// From; unspecified lets the route choose.
    pub source: Ipv4Addr,
    /// Interface index, or 0: any.
    pub interface: u32,
    /// Firewall mark.
    pub mark: u32,
    /// Type of service.
    pub tos: u8,
    /// Protocol, for IPsec and rules.
    pub protocol: u8,
    /// User for rules: of `sock::Sk::user`, or [`User::ROOT`].
    pub user: User,
    /// It may lead to all hosts of a link.
    pub broadcast: bool,
}

/// A user as the kernel numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User(pub(super) u32);

impl User {
    /// Of what the host itself sends.
    pub const ROOT: User = User(0);
}

/// A route (`struct rtable`), through IPsec if policy says so.
///
/// # Invariants
///
/// The pointer is valid and one reference is ours.
pub struct Route {
    route: NonNull<bindings::rtable>,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    mtu: u32,
    headroom: u32,
}

// SAFETY: a dst has an atomic count and locks itself.
unsafe impl Send for Route {}
// SAFETY: as above.
unsafe impl Sync for Route {}

impl Route {
    /// Looks the route up. ENETUNREACH, EHOSTUNREACH, EACCES (to a broadcast address) and the like as a socket programmer
    /// knows them. Any context; with IPsec it may have to wait for keys and then fails with EAGAIN or
    /// drops packets meanwhile.
    pub fn lookup(net: &Net, key: &RouteKey) -> Result<Self> {
        let interface = i32::try_from(key.interface)?;
        // SAFETY: plain numbers, for which zero is a value.
        let mut flow: bindings::flowi4 = unsafe { core::mem::zeroed() };
        // SAFETY: `flow` is ours, the namespace is alive; no socket is given.
        let route = unsafe {
            bindings::vmtp_helper_flowi4_init_output(
                &mut flow,
                interface,
                key.mark,
                key.tos,
                key.protocol,
                super::to_be32(key.destination),
                super::to_be32(key.source),
                bindings::kuid_t { val: key.user.0 },
            );
            bindings::ip_route_output_flow(net.as_raw(), &mut flow, core::ptr::null())
        };
        let route = from_err_ptr(route)?;
        // INVARIANT: the lookup gives a reference.
        let mut route = Self {
            route: NonNull::new(route).ok_or(Errno::ENETUNREACH)?,
            source: super::from_be32(flow.saddr),
            destination: super::from_be32(flow.daddr),
            mtu: 0,
            headroom: 0,
        };
        if route.is_broadcast() && !key.broadcast {
            return Err(EACCES);
        }
        route.measure();
        Ok(route)
    }

    /// Asks for the MTU, and for the room that headers take.
    fn measure(&mut self) {
        // SAFETY: valid by the invariant.
        self.mtu = unsafe { bindings::vmtp_helper_rt_mtu(self.as_raw()) };
        // SAFETY: as above.
        self.headroom = unsafe { bindings::vmtp_helper_rt_headroom(self.as_raw()) };
    }

    /// Another reference to it if it still holds, with the MTU as it is now, which changes when ICMP says so. Cheap: take
    /// it before each use of a kept one. Any context.
    #[inline]
    pub fn again(&self) -> Option<Self> {
        // SAFETY: valid by the invariant. `dst_check` of an IPv4 route returns the route itself or nothing.
        let mtu = unsafe { bindings::vmtp_helper_rt_again(self.as_raw()) };
        if mtu == 0 {
            return None;
        }
        // INVARIANT: one more reference.
        Some(Self { mtu, ..*self })
    }

    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::rtable {
        self.route.as_ptr()
    }

    /// Octets in front of IP payload for all headers.
    #[inline]
    pub(super) fn headroom(&self) -> u32 {
        self.headroom
    }

    /// The source address, the key's or the chosen one.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        self.source
    }

    /// The destination address.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        self.destination
    }

    /// Whether it still holds; if not, look it up again. Any context.
    #[inline]
    pub fn is_valid(&self) -> bool {
        // SAFETY: valid by the invariant. `dst_check` of an IPv4 route returns the route itself or nothing.
        unsafe { bindings::vmtp_helper_rt_check(self.as_raw()) }
    }

    /// Octets of the largest IP packet on the whole path, as of the look-up or [`Route::again`].
    #[inline]
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// Octets of the largest IP packet on the first link. Any context.
    pub fn link_mtu(&self) -> u32 {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_rt_link_mtu(self.as_raw()) }
    }

    /// Whether long packets (`skb_part`) may leave along it; `whole` says that nobody need part them. Any context.
    pub fn takes_long(&self, whole: bool) -> bool {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_rt_takes_long(self.as_raw(), whole) }
    }

    /// The interface by which it leaves. Any context.
    pub fn interface(&self) -> u32 {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_rt_ifindex(self.as_raw()) as u32 }
    }

    fn flags(&self) -> u32 {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_rt_flags(self.as_raw()) }
    }

    /// Whether it leads to this host itself. Any context.
    pub fn is_local(&self) -> bool {
        self.flags() & bindings::RTCF_LOCAL != 0 && !self.is_multicast()
    }

    /// Whether it leads to a group of hosts. The kernel's own flag does not tell: a route to a group that this host is no
    /// member of may share the entry of a unicast route out of the same interface. Any context.
    pub fn is_multicast(&self) -> bool {
        self.destination.is_multicast()
    }

    /// Whether it leads to all hosts of a link. Any context.
    pub fn is_broadcast(&self) -> bool {
        self.flags() & bindings::RTCF_BROADCAST != 0
    }
}

impl Clone for Route {
    fn clone(&self) -> Self {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_rt_hold(self.as_raw()) };
        // INVARIANT: one more reference.
        Self { ..*self }
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        // SAFETY: our reference is given up.
        unsafe { bindings::vmtp_helper_rt_put(self.as_raw()) };
    }
}

/// What an address is to this namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// One of its own.
    Local,
    /// Of one other host, or of nobody.
    Unicast,
    /// All hosts of a link.
    Broadcast,
    /// A group of hosts.
    Multicast,
    /// Not reachable: prohibited, unreachable, 0.0.0.0 and so on.
    Other,
}

/// Asks the routing tables. Any context.
pub fn address_kind(net: &Net, address: Ipv4Addr) -> AddressKind {
    // SAFETY: the namespace is alive.
    match unsafe { bindings::inet_addr_type(net.as_raw(), super::to_be32(address)) } {
        bindings::RTN_LOCAL => AddressKind::Local,
        bindings::RTN_UNICAST => AddressKind::Unicast,
        bindings::RTN_BROADCAST => AddressKind::Broadcast,
        bindings::RTN_MULTICAST => AddressKind::Multicast,
        _ => AddressKind::Other,
    }
}
