// SPDX-License-Identifier: GPL-2.0

//! Membership of IPv4 host groups (IGMP): of a socket, which can be in some 20 (net.ipv4.igmp_max_memberships) and leaves
//! them when it is released, or of the host itself on an interface, without a limit. All of it sleeps.

use super::net::Net;
use super::sock::Sk;
use crate::bindings;
use core::net::Ipv4Addr;
use kernel::error::{code::*, to_result, Result};
use kernel::types::NotThreadSafe;

/// The lock of network configuration.
///
/// # Invariants
///
/// It is held by this thread.
struct Rtnl(NotThreadSafe);

impl Rtnl {
    fn lock() -> Self {
        // SAFETY: process context, as this module's callers promise.
        unsafe { bindings::rtnl_lock() };
        Self(NotThreadSafe)
    }
}

impl Drop for Rtnl {
    fn drop(&mut self) {
        // SAFETY: held by the invariant.
        unsafe { bindings::rtnl_unlock() };
    }
}

fn request(group: Ipv4Addr, interface: u32) -> Result<bindings::ip_mreqn> {
    Ok(bindings::ip_mreqn {
        imr_multiaddr: bindings::in_addr {
            s_addr: super::to_be32(group),
        },
        imr_address: bindings::in_addr { s_addr: 0 },
        imr_ifindex: i32::try_from(interface)?,
    })
}

// Without the socket's lock, which a system call may hold for as long as its user's memory takes to come: IP needs it for
// options of its own sockets alone.
impl Sk {
    /// Joins a host group on an interface (0: by route). EADDRINUSE if it is a member there, ENODEV, ENOBUFS. Sleeps.
    pub fn join_group(&self, group: Ipv4Addr, interface: u32) -> Result {
        let mut request = request(group, interface)?;
        let _rtnl = Rtnl::lock();
        // SAFETY: the lock is held, under which alone memberships change, and the socket is an inet_sock.
        to_result(unsafe { bindings::ip_mc_join_group(self.as_raw(), &mut request) })
    }

    /// Leaves it. EADDRNOTAVAIL if it is not a member. Sleeps.
    pub fn leave_group(&self, group: Ipv4Addr, interface: u32) -> Result {
        let mut request = request(group, interface)?;
        let _rtnl = Rtnl::lock();
        // SAFETY: the lock is held, under which alone memberships change, and the socket is an inet_sock.
        to_result(unsafe { bindings::ip_mc_leave_group(self.as_raw(), &mut request) })
    }

    /// Leaves all (`ip_mc_drop_socket` is not exported). Sleeps.
    pub fn leave_all_groups(&self) {
        // SAFETY: a plain look whether there are any; nobody joins any more when a socket is released.
        if !unsafe { bindings::vmtp_helper_inet_has_membership(self.as_raw()) } {
            return;
        }
        let _rtnl = Rtnl::lock();
        let mut first = bindings::ip_mreqn::default();
        // SAFETY: the lock is held. A membership has its interface's index, so leaving it always takes it away,
        // even when the interface has gone.
        unsafe {
            while bindings::vmtp_helper_inet_first_membership(self.as_raw(), &mut first) {
                if bindings::ip_mc_leave_group(self.as_raw(), &mut first) != 0 {
                    return;
                }
            }
        }
    }
}

/// What IPv4 keeps of an interface; null if the interface does not exist or does not speak IPv4.
///
/// # Safety
///
/// The lock of network configuration is held, for as long as the result is used.
unsafe fn in_device(net: &Net, interface: u32) -> *mut bindings::in_device {
    // SAFETY: the namespace is alive; the lock is held, which keeps the device.
    unsafe {
        let device = bindings::__dev_get_by_index(net.as_raw(), interface as i32);
        match device.is_null() {
            true => core::ptr::null_mut(),
            false => bindings::vmtp_helper_in_dev_get_rtnl(device),
        }
    }
}

/// The host itself joins a group on an interface; each time counts. ENODEV if the interface does not speak IPv4. For
/// callers that hold the lock of network configuration, such as `netdev` watchers.
pub fn join_interface(net: &Net, group: Ipv4Addr, interface: u32) -> Result {
    // SAFETY: the callers hold the lock.
    let device = unsafe { in_device(net, interface) };
    if device.is_null() {
        return Err(ENODEV);
    }
    // SAFETY: valid while the lock is held.
    unsafe { bindings::ip_mc_inc_group(device, super::to_be32(group)) };
    Ok(())
}

/// Takes [`join_interface`] back, if the interface is still there: with it all groups have gone. For callers that hold the
/// lock of network configuration.
pub fn leave_interface(net: &Net, group: Ipv4Addr, interface: u32) {
    // SAFETY: the callers hold the lock.
    let device = unsafe { in_device(net, interface) };
    if !device.is_null() {
        // For what IGMP has to remember of a group that was left.
        let gfp = super::gfp(kernel::alloc::flags::GFP_KERNEL);
        // SAFETY: valid while the lock is held.
        unsafe { bindings::__ip_mc_dec_group(device, super::to_be32(group), gfp) };
    }
}
