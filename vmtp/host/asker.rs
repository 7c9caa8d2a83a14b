// SPDX-License-Identifier: GPL-2.0

//! Who invokes a management operation, and what it may do for that (III.1, III.2).

use super::endpoint::Endpoint;
use super::settings::Setting;
use super::Host;
use crate::kernel::record::Ref;
use crate::kernel::skb_queue::SkbQueue;
use crate::proto::group::Invoker;
use crate::proto::peer::Peer;
use crate::proto::wire::{Entity, GroupPermissions, Header};

/// Whoever invokes an operation.
pub(super) struct Asker {
    pub(super) entity: Entity,
    /// The entity, if it is of this host.
    pub(super) endpoint: Option<Ref<Endpoint>>,
    /// It is of this host.
    local: bool,
    /// It is of another host, which the administrator trusts.
    trusted: bool,
}

impl Asker {
    /// Whoever sent the packets of a Request. One that was passed on says no more for its Client than what a stranger says:
    /// a server puts into it what it wants.
    pub(super) fn of(host: &Host, header: &Header, packets: &SkbQueue) -> Self {
        let forwarded = header.control.forward_count() != 0;
        let sources = packets
            .iter()
            .map(|skb| Peer::inet(skb.ip().source.octets()));
        // Who may make IP packets of his own may give them any source, but not what marks those of this module.
        let of_module = packets.iter().all(|skb| skb.is_of_this_kernel());
        let local =
            !forwarded && of_module && sources.clone().all(|source| host.is_from_here(&source));
        Self {
            entity: header.client,
            endpoint: host.entities.get(header.client.bits()).filter(|_| local),
            local,
            trusted: !local && !forwarded && host.settings.is_set(Setting::RemoteManagement),
        }
    }

    /// The user, if it is one of this host.
    pub(super) fn user(&self) -> Option<u32> {
        self.endpoint
            .as_ref()
            .map(|endpoint| endpoint.owner.caller.euid)
    }

    /// Whether it is the superuser of this host, or another host that is trusted as one.
    pub(super) fn is_superuser(&self) -> bool {
        self.trusted || self.user() == Some(0)
    }

    /// Whether it may change an entity (III.2; decision: the same principal on the same host).
    pub(super) fn may_change(&self, endpoint: &Endpoint) -> bool {
        self.is_superuser() || self.user() == Some(endpoint.owner.caller.euid)
    }

    /// Whether it is no stranger. For one no other manager is asked, which would be packets to where it wants them, and it
    /// has a part only of what there may be.
    pub(super) fn is_known(&self) -> bool {
        self.local || self.trusted
    }

    pub(super) fn invoker(&self, permissions: GroupPermissions) -> Invoker {
        Invoker {
            entity: self.entity,
            principal: self.user().map_or(u64::MAX, u64::from),
            permissions,
        }
    }
}

impl Host {
    /// Whether this is an address of this host itself. As a source it tells nothing of who made the packet.
    pub(super) fn is_from_here(&self, peer: &Peer) -> bool {
        match peer.as_inet() {
            Some(address) => {
                let [first, ..] = address;
                first == 127 || self.is_own(address)
            }
            None => false,
        }
    }
}
