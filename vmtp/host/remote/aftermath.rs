// SPDX-License-Identifier: GPL-2.0

//! What is to be done when the lock of a record has been dropped: packets sent, Requests delivered, others told.

use super::{Delivered, RemoteRecord};
use crate::host::counters::Counter;
use crate::host::endpoint::Endpoint;
use crate::host::path::PathRecord;
use crate::host::probe::Purpose;
use crate::host::search::{Seeker, Who};
use crate::host::transmit::Manner;
use crate::host::{Host, ALL_HOSTS};
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::proto::burst::Burst;
use crate::proto::peer::Peer;
use crate::proto::server::{Step, Stop, To};
use crate::proto::wire::{Entity, NotifyVmtpClient, ResponseCode, Transaction};
use core::net::Ipv4Addr;

/// What is left for a step of its own: the stack has no room for one within the other.
pub(super) enum Left {
    Nothing,
    /// No server takes this Request.
    Refused(Delivered),
    /// A datagram was handed over, and the Request of its run behind it is the next.
    Next,
}

/// What is to be done when the record's lock has been dropped.
pub(super) struct Aftermath {
    pub(super) burst: Option<(Burst, To, Entity)>,
    pub(super) segment: Option<Pages>,
    pub(super) path: Ref<PathRecord>,
    pub(super) manner: Manner,
    pub(super) notify: Option<(NotifyVmtpClient, bool)>,
    pub(super) delivered: Option<Delivered>,
    /// Another Request of the run follows it at once.
    pub(super) next: bool,
    pub(super) probe: bool,
    /// Everybody is to be asked for this entity.
    pub(super) locate: Option<Entity>,
    /// The server's user has a Request less.
    pub(super) ended: bool,
    /// The Request came from a server that passed it on, and not from its Client.
    pub(super) passed_on: bool,
    pub(super) expired: bool,
    /// Of the Response that may stand in line.
    pub(super) transaction: Transaction,
}

impl Aftermath {
    /// `endpoint` is the server, where that is known; `again` whether what is sent counts as a retransmission.
    #[must_use]
    pub(super) fn finish(
        self,
        record: &Ref<RemoteRecord>,
        endpoint: Option<&Endpoint>,
        step: &Step,
        again: bool,
    ) -> Left {
        let host = &*record.host;
        let mut refused = None;
        self.path
            .learn(step.round_trip, step.interpacket, step.sent, step.received);
        if let Some((notify, remote)) = self.notify {
            if notify.code == ResponseCode::NonexistentEntity.code() {
                // A Request that was held is given up: each of its Clients is told, once.
                host.tell_client(&self.path, &notify, remote);
            } else {
                host.notify_client_from(self.manner.source, &self.path, &notify, remote);
            }
        }
        let mut locate = self.locate;
        if step.stop != Stop::No {
            let (client, server) = (record.client(), record.server);
            let left = self.path.stop_response(client, server, self.transaction);
            if step.stop == Stop::Keep && !record.keep_left(left.map(|left| left.segment)) {
                // It has left, all of it: there is nothing to send to wherever the Client is.
                locate = None;
                RemoteRecord::located(record, None);
            }
        }
        if let Some(entity) = locate {
            host.locate(
                entity,
                Seeker {
                    who: Who::Record(record.clone()),
                    moved: true,
                },
            );
        }
        let segment = self.segment;
        if let Some((burst, to, forward_server)) = self.burst {
            let now = Host::now();
            let destination = match to {
                To::Peer => self.path.peer,
                To::Group | To::GroupAndPeer => match forward_server.host_group() {
                    Some(address) => Peer::inet(address),
                    None => Peer::NONE,
                },
                To::Client => host.find_client(record.client(), now),
                To::ForwardServer => host.find(forward_server, now).peer,
            };
            if !again {
                host.count(Counter::ResponsesSent);
            }
            if to == To::Client {
                record.responds_to(destination);
            }
            if to == To::ForwardServer && record.forwards_to(destination) {
                host.locate(
                    forward_server,
                    Seeker {
                        who: Who::Record(record.clone()),
                        moved: false,
                    },
                );
            }
            let known = match endpoint {
                Some(_) => None,
                None => host.server(record.server),
            };
            let server = endpoint.or(known.as_deref().map(|known| &**known));
            let owner = server.and_then(Endpoint::sk);
            // What cannot be sent now is sent again by the timer.
            if to == To::Peer || to == To::GroupAndPeer {
                let path = &self.path;
                let _ = host.transmit(path, burst, segment.as_ref(), &self.manner, again, owner);
            }
            if to != To::Peer {
                // Another host knows this one by another address, perhaps.
                let mut manner = self.manner;
                manner.source = Ipv4Addr::UNSPECIFIED;
                if let Some(group) = server.and_then(|server| server.membership(forward_server)) {
                    if manner.multicast_interface == 0 {
                        manner.multicast_interface = group.interface;
                    }
                }
                // Nobody knows where that is: 0.0.0.0 would be this host itself.
                if let Some(path) = host
                    .path(&destination, now)
                    .ok()
                    .filter(|path| path.peer.is_known())
                {
                    let _ = host.transmit(&path, burst, segment.as_ref(), &manner, again, owner);
                }
            }
        }
        if let Some(delivered) = self.delivered {
            refused = match endpoint {
                Some(endpoint) => endpoint.deliver(delivered),
                None => match host.server(record.server) {
                    Some(endpoint) => endpoint.deliver(delivered),
                    None => Some(delivered),
                },
            };
        }
        if self.ended {
            match endpoint {
                Some(endpoint) => endpoint.request_ended(),
                None => {
                    if let Some(endpoint) = host.server(record.server) {
                        endpoint.request_ended();
                    }
                }
            }
        }
        if self.probe {
            let peer = if self.passed_on {
                host.find_client(record.client(), Host::now())
            } else {
                self.path.peer
            };
            let peer = if peer.is_known() {
                peer
            } else {
                Peer::inet(ALL_HOSTS.octets())
            };
            host.probe_client(record.client(), peer, Purpose::Remote(record.clone()));
        }
        if self.expired {
            host.count(Counter::RecordsExpired);
            host.remotes.remove(record);
            host.remote_ages.remove(record);
            record.stop();
        }
        if self.next {
            return Left::Next;
        }
        refused.map_or(Left::Nothing, Left::Refused)
    }
}
