// SPDX-License-Identifier: GPL-2.0

//! The interfaces of a host: on each that speaks IPv4 it is in the host group of all VMTP hosts (IV.1), and of each it
//! knows the speed, in which interpacket gaps are counted (2.5.6). Both are the namespace's: the host of Domain 1 has
//! them for all.

use super::settings::Setting;
use super::{Host, INTERNET};
use crate::kernel::multicast::{join_interface, leave_interface};
use crate::kernel::net::Net;
use crate::kernel::netdev::{self, link_speed, Change, Watch, Watcher};
use crate::kernel::record::{Record, Recorded, Ref};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;

/// An interface on which the host is in the group. Its key is the interface's index.
#[pin_data]
pub struct Link {
    /// Mb/s; 0 if it does not tell.
    speed: AtomicU32,
}

impl Recorded for Link {
    fn expired(_record: Ref<Self>) {}
}

impl Host {
    /// The transmission time of an octet is that of a link of so many Mb/s.
    pub(super) fn speed_of(&self, interface: u32) -> u32 {
        let told = self
            .of_domain(INTERNET)
            .and_then(|host| host.links.get(interface.into()))
            .map_or(0, |link| link.speed.load(Ordering::Relaxed));
        match told {
            0 => self.settings.get(Setting::LinkSpeed),
            speed => speed,
        }
    }

    /// Changes whenever [`Host::speed_of`] may answer otherwise than before.
    #[inline]
    pub(super) fn speeds(&self) -> u32 {
        self.of_domain(INTERNET)
            .map_or(0, |host| host.speeds.load(Ordering::Relaxed))
    }

    /// An interface came up, or its link is another. Its own lock is held, and that of network configuration.
    fn link_up(&self, interface: u32) {
        self.join_link(interface);
        if let Some(link) = self.links.get(interface.into()) {
            let speed = link_speed(self.net(), interface).unwrap_or(0);
            link.speed.store(speed, Ordering::Relaxed);
            self.speeds.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The host is in the group on an interface that speaks IPv4. The lock of network configuration is held.
    fn join_link(&self, interface: u32) {
        if self.links.get(interface.into()).is_some() {
            return;
        }
        let link = Record::new(
            interface.into(),
            pin_init!(Link {
                speed: AtomicU32::new(0)
            }),
            GFP_KERNEL,
        );
        // Without memory it is tried again when something else changes. ENODEV: it does not speak IPv4.
        let Ok(link) = link else { return };
        if join_interface(self.net(), super::ALL_HOSTS, interface).is_ok()
            && self.links.insert(&link).is_err()
        {
            leave_interface(self.net(), super::ALL_HOSTS, interface);
        }
    }

    /// An interface goes, or VMTP does. The lock of network configuration is held.
    fn leave_link(&self, interface: u32) {
        if let Some(link) = self.links.get(interface.into()) {
            self.links.remove(&link);
            leave_interface(self.net(), super::ALL_HOSTS, interface);
        }
    }
}

static WATCH: Watch<Host> = Watch::new();

impl Watcher for Host {
    fn storage() -> &'static Watch<Self> {
        &WATCH
    }

    fn changed(net: &Net, interface: u32, change: Change) {
        let Some(host) = Host::of(net) else { return };
        match change {
            Change::Up | Change::Link => host.link_up(interface),
            // An MTU that is too small for IPv4 takes all groups away.
            Change::Mtu if netdev::speaks_ipv4(net, interface) => host.join_link(interface),
            Change::Mtu | Change::Unregister => host.leave_link(interface),
            Change::Down => {}
        }
    }
}

/// Hears of interfaces that come and go; until the result is dropped.
pub fn watch() -> Result<netdev::Registration<Host>> {
    Watch::<Host>::register()
}
