// SPDX-License-Identifier: GPL-2.0

//! Network interfaces: which there are, how fast they are, when they come and go.

use super::net::Net;
use crate::bindings;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use kernel::error::{to_result, Result};
use kernel::ffi;
use kernel::sync::rcu;

/// An interface as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Octets of its largest packet.
    pub mtu: u32,
    /// Up, can multicast, is not the loopback, and has an IPv4 address.
    pub multicast: bool,
    /// Is the loopback.
    pub loopback: bool,
}

/// The first interface whose index is `from` or more. Any context. All of them:
/// `let mut from = 1; while let Some(i) = next_interface(net, from) { ...; from = i.index.saturating_add(1) }`
pub fn next_interface(net: &Net, from: u32) -> Option<Interface> {
    let mut index = from as ffi::c_ulong;
    let _rcu = rcu::read_lock();
    // SAFETY: the namespace is alive; the device stays for the RCU read section.
    unsafe {
        let device = bindings::vmtp_helper_netdev_from_rcu(net.as_raw(), &mut index);
        if device.is_null() {
            return None;
        }
        let flags = bindings::vmtp_helper_netdev_flags(device);
        let loopback = flags & IFF_LOOPBACK != 0;
        Some(Interface {
            index: bindings::vmtp_helper_netdev_ifindex(device) as u32,
            mtu: bindings::vmtp_helper_netdev_mtu(device),
            multicast: flags & IFF_UP != 0
                && flags & IFF_MULTICAST != 0
                && !loopback
                && bindings::vmtp_helper_netdev_has_ipv4_rcu(device),
            loopback,
        })
    }
}

const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_MULTICAST: u32 = 1 << 12;

/// Megabits a second of an interface, if it tells. Sleeps and asks the driver. Only for a watcher that is told
/// [`Change::Up`] or [`Change::Link`] of the interface: of all notifiers these alone hold its lock.
pub fn link_speed(net: &Net, interface: u32) -> Option<u32> {
    // SAFETY: the callers hold the locks, which keep the device and its driver. Of the settings zero is a value.
    unsafe {
        let device = bindings::__dev_get_by_index(net.as_raw(), interface as ffi::c_int);
        if device.is_null() {
            return None;
        }
        let mut settings: bindings::ethtool_link_ksettings = core::mem::zeroed();
        let error = bindings::netif_get_link_ksettings(device, &mut settings);
        // 0 and all ones are "unknown".
        (error == 0 && settings.base.speed != 0 && settings.base.speed != u32::MAX)
            .then_some(settings.base.speed)
    }
}

/// Whether an interface is there and speaks IPv4. For callers that hold the lock of network configuration.
pub fn speaks_ipv4(net: &Net, interface: u32) -> bool {
    // SAFETY: the callers hold the lock, which keeps the device.
    unsafe {
        let device = bindings::__dev_get_by_index(net.as_raw(), interface as ffi::c_int);
        !device.is_null() && !bindings::vmtp_helper_in_dev_get_rtnl(device).is_null()
    }
}

/// What happens to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It works from now on.
    Up,
    /// It works no more.
    Down,
    /// It goes for good.
    Unregister,
    /// Its link, and thus its speed, may be another.
    Link,
    /// Its MTU is another.
    Mtu,
}

/// Who wants to know.
pub trait Watcher: 'static {
    /// The one `Watch` of this type, a static.
    fn storage() -> &'static Watch<Self>;
    /// Something happened. May sleep; the lock of network configuration is held, so nothing that takes it may be called.
    fn changed(net: &Net, interface: u32, change: Change);
}

/// The registration's storage.
pub struct Watch<W: ?Sized> {
    block: UnsafeCell<bindings::notifier_block>,
    _watcher: PhantomData<fn() -> *const W>,
}

// SAFETY: written only before it is registered; then C's own locks protect it.
unsafe impl<W: ?Sized> Sync for Watch<W> {}

impl<W: Watcher> Watch<W> {
    /// Not yet registered.
    pub const fn new() -> Self {
        Self {
            // SAFETY: pointers, an optional function, a number: zero is a value.
            block: UnsafeCell::new(unsafe { core::mem::zeroed() }),
            _watcher: PhantomData,
        }
    }

    /// Reports all changes in all namespaces from now on, and what is there as having come up. Sleeps.
    pub fn register() -> Result<Registration<W>> {
        let block = W::storage().block.get();
        // SAFETY: static, not registered, complete.
        unsafe {
            (*block).notifier_call = Some(notify::<W>);
            to_result(bindings::register_netdevice_notifier(block))?;
        }
        Ok(Registration(PhantomData))
    }
}

/// Ends the registration when dropped; sleeps.
pub struct Registration<W: Watcher>(PhantomData<fn() -> W>);

impl<W: Watcher> Drop for Registration<W> {
    fn drop(&mut self) {
        // SAFETY: registered by the type's construction. It reports every interface as going down.
        unsafe { bindings::unregister_netdevice_notifier(W::storage().block.get()) };
    }
}

unsafe extern "C" fn notify<W: Watcher>(
    _block: *mut bindings::notifier_block,
    event: ffi::c_ulong,
    info: *mut ffi::c_void,
) -> ffi::c_int {
    let change = match event as u32 {
        bindings::netdev_cmd_NETDEV_UP => Change::Up,
        bindings::netdev_cmd_NETDEV_DOWN => Change::Down,
        bindings::netdev_cmd_NETDEV_UNREGISTER => Change::Unregister,
        bindings::netdev_cmd_NETDEV_CHANGE => Change::Link,
        bindings::netdev_cmd_NETDEV_CHANGEMTU => Change::Mtu,
        _ => return 0,
    };
    // SAFETY: the notifier's argument, whose device is alive during the call.
    unsafe {
        let device = bindings::vmtp_helper_netdev_notifier_info(info);
        let net = Net::from_raw(bindings::vmtp_helper_netdev_net(device));
        W::changed(
            net,
            bindings::vmtp_helper_netdev_ifindex(device) as u32,
            change,
        );
    }
    0
}
