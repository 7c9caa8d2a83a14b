// SPDX-License-Identifier: GPL-2.0

//! Members of entity groups on this host, and the IP host groups that go with them (2.7, VI).

use super::endpoint::Endpoint;
use super::settings::Setting;
use super::Host;
use crate::kernel::errno::Errno;
use crate::kernel::record::{Record, Recorded, Ref};
use crate::kernel::sock::Sk;
use crate::proto::group::{may_add, Invoker, Subject};
use crate::proto::wire::{Entity, GroupPermissions};
use core::net::Ipv4Addr;
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::prelude::*;

/// The part, one over this, of an entity's memberships and of the groups of a host that other hosts may use up.
const STRANGERS_PART: u32 = 4;

/// One entity's membership of one group.
#[pin_data]
pub struct Membership {
    /// The member.
    pub endpoint: Ref<Endpoint>,
    /// What it may do in the group.
    pub permissions: GroupPermissions,
    /// The interface by which it joined, or 0.
    pub interface: u32,
}

impl Recorded for Membership {
    fn expired(_record: Ref<Self>) {}
}

/// A group that CreateGroup made here.
#[pin_data]
pub struct Group {
    /// The entity that made it: its manager.
    pub manager: Entity,
    /// That entity's user, if it was of this host.
    pub user: Option<u32>,
}

impl Recorded for Group {
    fn expired(_record: Ref<Self>) {}
}

impl Group {
    /// Whether other hosts, whose groups nobody here gives up, have made their part of the groups. ENOMEM. Sleeps.
    fn strangers_fill(host: &Host) -> Result<bool> {
        let most = host.settings.get(Setting::GroupsMax) / STRANGERS_PART;
        let theirs = host.groups.walk()?.filter(|group| group.user.is_none());
        Ok(theirs.fold(0u32, |count, _| count.saturating_add(1)) >= most)
    }

    /// ENOBUFS, ENOMEM; EEXIST if there is such a group. Sleeps.
    pub(super) fn make(host: &Host, group: Entity, manager: Entity, user: Option<u32>) -> Result {
        let full = host.is_full(Setting::GroupsMax, |host| host.groups.len());
        if full || (user.is_none() && Self::strangers_fill(host)?) {
            return Err(Errno::ENOBUFS.into());
        }
        let record = Record::new(group.bits(), pin_init!(Group { manager, user }), GFP_KERNEL)?;
        let result = host.groups.insert(&record);
        if result.is_err() {
            record.stop();
        }
        result
    }
}

impl Endpoint {
    /// The socket by which it is a member of host groups: its own, or the host's.
    fn membership_sk(&self) -> &Sk {
        self.sk().unwrap_or_else(|| self.host.control().sk())
    }

    /// Whether its user may have it join: a restricted group that others have members of on this host wants to be asked
    /// (III.1). EACCES.
    pub fn may_join(&self, group: Entity, permissions: GroupPermissions) -> Result {
        let host = &*self.host;
        let user = self.owner.caller.euid;
        if group.is_unrestricted_group() || user == 0 {
            return Ok(());
        }
        let mut others = match host.groups.get(group.bits()) {
            Some(record) => record.user != Some(user),
            None => false,
        };
        host.members.for_each(group.bits(), |membership| {
            others |= membership.endpoint.owner.caller.euid != user;
            ControlFlow::Continue(())
        });
        let invoker = Invoker {
            entity: self.entity,
            principal: user.into(),
            permissions: GroupPermissions::NONE,
        };
        let subject = Subject {
            entity: self.entity,
            principal: user.into(),
            permissions: GroupPermissions::NONE,
            immune: false,
        };
        if others && !may_add(group, &invoker, &subject, permissions) {
            return Err(EACCES);
        }
        Ok(())
    }

    /// Whether another host may add it to a group more.
    pub(super) fn strangers_may_add(&self) -> bool {
        let most = self.host.settings.get(Setting::MembershipsMax) / STRANGERS_PART;
        self.memberships.load(Ordering::Acquire) < most
    }

    /// Joins a group. EINVAL if it is none, EADDRINUSE if the entity is a member, ENOBUFS if it is in as many as it may, or
    /// as many are in it, and what IGMP says. Sleeps.
    pub fn join(
        record: &Ref<Self>,
        group: Entity,
        permissions: GroupPermissions,
        interface: u32,
    ) -> Result {
        let sk = record.membership_sk();
        let address = group.host_group().ok_or(EINVAL)?;
        let _joining = record.host.joining.lock();
        if record.membership(group).is_some() {
            return Err(Errno::EADDRINUSE.into());
        }
        let most = record.host.settings.get(Setting::MembershipsMax);
        if record.memberships.load(Ordering::Acquire) >= most {
            return Err(Errno::ENOBUFS.into());
        }
        // Each packet for the group is given to each of them, within the interrupt that brings it.
        let mut others = 0u32;
        record.host.members.for_each(group.bits(), |_| {
            others = others.saturating_add(1);
            ControlFlow::Continue(())
        });
        if others >= record.host.settings.get(Setting::MembersMax) {
            return Err(Errno::ENOBUFS.into());
        }
        let membership = Record::new(
            group.bits(),
            pin_init!(Membership {
                endpoint: record.clone(),
                permissions,
                interface
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        match sk.join_group(Ipv4Addr::from(address), interface) {
            Ok(()) => {}
            // Another group of this socket has the same host group.
            Err(error) if error.to_errno() == Error::from(Errno::EADDRINUSE).to_errno() => {}
            Err(error) => {
                membership.stop();
                return Err(error);
            }
        }
        // Whoever gives the entity up sees this one, or is seen here.
        record.memberships.fetch_add(1, Ordering::SeqCst);
        let result = if record.is_released() {
            Err(Errno::ENOTCONN.into())
        } else {
            record.host().members.insert(&membership)
        };
        if result.is_err() {
            record.memberships.fetch_sub(1, Ordering::AcqRel);
            membership.stop();
            if !record.needs(address, interface) {
                let _ = sk.leave_group(Ipv4Addr::from(address), interface);
            }
        }
        result
    }

    /// Leaves a group. EADDRNOTAVAIL if the entity is no member. Sleeps.
    pub fn leave(record: &Ref<Self>, group: Entity) -> Result {
        let sk = record.membership_sk();
        let _joining = record.host.joining.lock();
        let membership = record.membership(group).ok_or(Errno::EADDRNOTAVAIL)?;
        record.host().members.remove(&membership);
        record.memberships.fetch_sub(1, Ordering::AcqRel);
        membership.stop();
        if let Some(address) = group.host_group() {
            if !record.needs(address, membership.interface) {
                let _ = sk.leave_group(Ipv4Addr::from(address), membership.interface);
            }
        }
        Ok(())
    }

    /// Whether another group of which it is a member has this host group; if in doubt, for lack of memory, it has. Sleeps.
    fn needs(&self, address: [u8; 4], interface: u32) -> bool {
        let Ok(mut all) = self.host.members.walk() else {
            return true;
        };
        let sk = core::ptr::from_ref(self.membership_sk());
        all.any(|membership| {
            core::ptr::eq(membership.endpoint.membership_sk(), sk)
                && membership.interface == interface
                && Entity::from_bits(membership.key()).host_group() == Some(address)
        })
    }

    /// Its membership of a group.
    pub fn membership(&self, group: Entity) -> Option<Ref<Membership>> {
        let mut found = None;
        self.host.members.for_each(group.bits(), |membership| {
            if membership.endpoint.entity == self.entity {
                found = Some(membership);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        found
    }

    /// The entity goes: it leaves all groups. Sleeps.
    pub(super) fn leave_all(record: &Ref<Self>) {
        if record.memberships.load(Ordering::SeqCst) == 0 {
            return;
        }
        // One that was seen may just be made.
        drop(record.host.joining.lock());
        // A membership that stayed would keep the socket, its namespace and the module.
        for membership in record.host.members.walk_in_any_case() {
            if membership.endpoint.is(record) {
                let group = Entity::from_bits(membership.key());
                if record.is_of_socket() {
                    // Its host groups go with the socket.
                    record.host.members.remove(&membership);
                    membership.stop();
                } else {
                    let _ = Self::leave(record, group);
                }
            }
        }
    }
}
