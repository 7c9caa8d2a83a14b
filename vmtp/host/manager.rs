// SPDX-License-Identifier: GPL-2.0

//! The manager of this host (III): it tells management Requests apart, answers Probes and Queries on arrival, and sends
//! the Notify operations that `proto` wants. What changes something is executed in `administer`.

use super::counters::Counter;
use super::endpoint::{Endpoint, Owner, Role};
use super::path::PathRecord;
use super::remote::RemoteRecord;
use super::settings::Setting;
use super::transmit::Manner;
use super::{Host, ATOMIC, DOMAINS};
use crate::kernel::array::Array;
use crate::kernel::netdev::next_interface;
use crate::kernel::record::{Record, Ref};
use crate::kernel::skb::Skb;
use crate::proto::client::Heard;
use crate::proto::manager::{
    classify, is_limited, notify_client, probe_answer, request, response, Probed, Work, AUTH_DOMAIN,
};
use crate::proto::peer::Peer;
use crate::proto::server::Source;
use crate::proto::time::Time;
use crate::proto::wire::{
    domain1_identifier, write_domain_list, Code, Entity, EntityDescriptor, GroupRecordWriter,
    Header, ManagementRequest, Mcb, NoResults, NodeFlags, NotifyVmtpClient, NotifyVmtpServer,
    Parameters, ProbeEntityResults, Procedure, QueryVmtpNodeResults, ResponseCode, Results,
    ServiceFlags,
};
use crate::socket::options::Options;
use core::net::Ipv4Addr;
use core::ops::ControlFlow;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Octets of segment that a Query is answered with at once. What is longer goes by a transaction, in which a Client that
/// nobody has probed gets no more (decision: no amplifier).
const SHORT: usize = 128;

impl Host {
    /// A Request to the managers' group arrived. All checks are done. Softirq.
    pub(super) fn manage(&self, header: &Header, skb: Skb, source: &Source) {
        if !self.is_addressed(header, source) {
            self.discard(skb, Counter::DropNoEntity);
            return;
        }
        match classify(header, source) {
            Work::NotifyClient { notify, remote } => {
                self.count(Counter::InNotifies);
                self.notified_client(&notify, remote, skb, &source.peer);
            }
            Work::NotifyServer(notify) => {
                self.count(Counter::InNotifies);
                self.notified_server(&notify, skb, &source.peer);
            }
            Work::Immediate(request) | Work::Transaction(request)
                if self.is_misled(header, &request, source) =>
            {
                let absence = self.absence(header.coresident());
                self.answer(header, Some(Mcb::refusal(absence)), source);
            }
            Work::Immediate(ManagementRequest::QueryGroup(query))
                if self.group_octets(query.entity) > SHORT =>
            {
                self.execute_later(header, skb, source);
            }
            Work::Immediate(request) => self.answer_at_once(header, &request, source),
            Work::Transaction(_) => self.execute_later(header, skb, source),
            Work::Refuse(code) => self.answer(header, Some(Mcb::refusal(code)), source),
            Work::Ignore => self.discard(skb, Counter::DropUnwanted),
        }
    }

    /// An ordinary transaction, with this host's manager as its server.
    fn execute_later(&self, header: &Header, skb: Skb, source: &Source) {
        match self.manager_server() {
            Ok(manager) => {
                self.request_for(&manager, header, skb, source, Host::now(), &mut None);
            }
            Err(_) => {
                self.count(Counter::DropNoMemory);
                self.answer(header, Some(Mcb::refusal(ResponseCode::Busy)), source);
            }
        }
    }

    /// The manager as a server, if it was asked for anything yet.
    pub(super) fn known_manager(&self) -> Option<Ref<Endpoint>> {
        self.manager_server.lock().clone()
    }

    /// The manager as a server. Any context.
    fn manager_server(&self) -> Result<Ref<Endpoint>> {
        let entity = self.manager();
        let known = self.known_manager();
        if let Some(manager) = known.filter(|manager| manager.entity == entity) {
            return Ok(manager);
        }
        let host = self.to_ref()?;
        let options = Arc::new(Options::new(), ATOMIC)?;
        let made = Endpoint::make(&host, entity, None, Owner::HOST, &options, Role::Manager)?;
        let mut server = self.manager_server.lock();
        // Another processor may have made it meanwhile, and have given it a Request.
        if let Some(other) = server.as_ref().filter(|other| other.entity == entity) {
            let other = other.clone();
            drop(server);
            made.stop();
            return Ok(other);
        }
        let before = server.replace(made.clone());
        drop(server);
        drop(before);
        Ok(made)
    }

    /// The entity of this host that Requests for `server` go to: a socket's, or the manager.
    pub(super) fn server(&self, server: Entity) -> Option<Ref<Endpoint>> {
        self.entities.get(server.bits()).or_else(|| {
            self.known_manager()
                .filter(|manager| manager.entity == server)
        })
    }

    /// With CRE a management Request is for the managers of hosts that have the entity (2.7): 0 is whoever got it by
    /// unicast. A unicast Request for an entity that is not here is answered by its own code.
    fn is_addressed(&self, header: &Header, source: &Source) -> bool {
        if !header.code.has(Code::CRE) || !source.multicast {
            return true;
        }
        let coresident = header.coresident();
        if is_about_a_block(&header.mcb()) {
            return true;
        }
        let lately = self.vacated.get(coresident.bits());
        !coresident.is_zero()
            && (self.has_entity(coresident)
                || self.groups.get(coresident.bits()).is_some()
                // Of what has moved another host knows better (2.13).
                || lately.is_some_and(|vacated| !vacated.has_moved()))
    }

    /// Whether a Request came by unicast for the manager of an entity that is not here. Probes tell that themselves.
    fn is_misled(&self, header: &Header, request: &ManagementRequest, source: &Source) -> bool {
        let coresident = header.coresident();
        let probes = matches!(
            request,
            ManagementRequest::ProbeEntity(_)
                | ManagementRequest::AuthProbeEntity(_)
                | ManagementRequest::ProbeEntityBlock(_)
        );
        !source.multicast
            && header.code.has(Code::CRE)
            && !probes
            && !coresident.is_zero()
            && !self.has_entity(coresident)
            && self.groups.get(coresident.bits()).is_none()
    }

    /// Where the manager is that a local Client's management Request is for: this host (CREntity 0 and its own
    /// entities), that of the entity, or not known: then all managers are asked (III).
    pub fn manager_for(&self, mcb: &Mcb) -> Peer {
        let coresident = mcb.coresident();
        if !mcb.code.has(Code::CRE) || is_about_a_block(mcb) {
            return Peer::NONE;
        }
        if coresident.is_zero() || coresident == self.manager() {
            return Peer::inet(Ipv4Addr::LOCALHOST.octets());
        }
        if coresident.is_group() {
            return Peer::NONE;
        }
        self.find(coresident, Host::now()).peer
    }

    /// Where the members of a group are that a Request with CRE is for: here, if the CoResidentEntity is a single entity
    /// of this host (4.6.1); else that is not known.
    pub fn members_beside(&self, mcb: &Mcb) -> Peer {
        let coresident = mcb.coresident();
        let here = mcb.code.has(Code::CRE) && !coresident.is_group() && self.has_entity(coresident);
        if here {
            Peer::inet(Ipv4Addr::LOCALHOST.octets())
        } else {
            Peer::NONE
        }
    }

    /// Whether an entity, or a member of a group, is here.
    pub(super) fn has_entity(&self, entity: Entity) -> bool {
        if entity == self.manager() {
            return true;
        }
        if !entity.is_group() {
            return self.entities.get(entity.bits()).is_some();
        }
        let mut found = entity == Entity::MANAGER_GROUP;
        self.members.for_each(entity.bits(), |_| {
            found = true;
            ControlFlow::Break(())
        });
        found
    }

    fn notified_client(&self, notify: &NotifyVmtpClient, remote: bool, skb: Skb, from: &Peer) {
        if let Some(heard) = Heard::in_notify(notify).filter(|_| self.last_received().is_some()) {
            if let Ok(path) = self.path(from, Host::now()) {
                path.numbered(heard);
            }
        }
        // A Request that was forwarded from here, perhaps of a Client that is here too, and by several servers.
        if remote && self.forward_notified(notify, from) {
            return;
        }
        let heard = match self.entities.get(notify.client.bits()) {
            Some(endpoint) => Endpoint::notified(&endpoint, notify, from),
            None => false,
        };
        if !heard {
            self.discard(skb, Counter::DropUnwanted);
        }
    }

    /// Tells the record of the forward that a NotifyRemoteVmtpClient of this host is about. False if there is none.
    fn forward_notified(&self, notify: &NotifyVmtpClient, from: &Peer) -> bool {
        let mut found = None;
        self.remotes.for_each(notify.client.bits(), |record| {
            let (state, _) = record.look();
            if state.is_forward_notified_by(notify) && record.was_sent_to(from) {
                found = Some(record);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        let Some(record) = found else { return false };
        RemoteRecord::forward_notified(&record, notify);
        true
    }

    fn notified_server(&self, notify: &NotifyVmtpServer, skb: Skb, from: &Peer) {
        match RemoteRecord::find(self, notify.client, notify.server) {
            Some(record) if self.speaks_for(&record, from) => {
                RemoteRecord::notified(&record, notify)
            }
            Some(_) | None => self.discard(skb, Counter::DropUnwanted),
        }
    }

    /// Whether a Notify from that host can be the Client's: whoever probes a Client knows its Transaction, and could have
    /// its Response thrown away.
    fn speaks_for(&self, record: &Record<RemoteRecord>, from: &Peer) -> bool {
        let (state, _) = record.look();
        // Where the Request came from, or, if it was passed on, where the Response went.
        let asked = if state.forward_count() == 0 {
            state.peer().is_same_host(from)
        } else {
            record.was_sent_to(from)
        };
        asked || self.vouches(record.client(), from, Host::now())
    }

    /// Probes and Queries, which need no record of the Client.
    fn answer_at_once(&self, header: &Header, request: &ManagementRequest, source: &Source) {
        let mut data = [0u8; SHORT];
        let mut used = 0;
        let mcb = match request {
            ManagementRequest::ProbeEntity(probe) => {
                self.count(Counter::InProbes);
                probe_answer(probe, &self.probed(probe.entity, source), source)
            }
            ManagementRequest::AuthProbeEntity(probe) => {
                self.count(Counter::InProbes);
                match self.probed(probe.entity, source) {
                    Probed::Entity(_) => Some(Mcb::refusal(ResponseCode::NoAuthenticator)),
                    other => {
                        let plain = crate::proto::wire::ProbeEntity {
                            coresident: probe.coresident,
                            entity: probe.entity,
                            auth_domain: AUTH_DOMAIN,
                        };
                        probe_answer(&plain, &other, source)
                    }
                }
            }
            ManagementRequest::ProbeEntityBlock(probe) => {
                self.block_probed(header, probe.entity, source);
                return;
            }
            ManagementRequest::QueryVmtpNode(_) => {
                used = write_domain_list(&mut data, &DOMAINS.map(u32::from), &[AUTH_DOMAIN])
                    .unwrap_or(0);
                Some(self.node(source).encode())
            }
            ManagementRequest::QueryEntity(query) => {
                Some(match self.descriptor(query.entity, source) {
                    Ok(descriptor) => {
                        let octets = descriptor.to_octets();
                        let wanted = usize::try_from(query.segment_size).unwrap_or(usize::MAX);
                        for (to, from) in data.iter_mut().zip(octets.iter().take(wanted)) {
                            *to = *from;
                            used = used.wrapping_add(1);
                        }
                        NoResults {}.encode()
                    }
                    Err(code) => Mcb::refusal(code),
                })
            }
            ManagementRequest::QueryGroup(query) => Some(if self.group_octets(query.entity) != 0 {
                used = self.write_group(query.entity, &mut data);
                NoResults {}.encode()
            } else {
                Mcb::refusal(ResponseCode::NonexistentEntity)
            }),
            ManagementRequest::GetRequestForwarder(_)
            | ManagementRequest::CreateEntity(_)
            | ManagementRequest::DeleteEntity(_)
            | ManagementRequest::SignalEntity(_)
            | ManagementRequest::CreateGroup(_)
            | ManagementRequest::AddToGroup(_)
            | ManagementRequest::RemoveFromGroup(_)
            | ManagementRequest::ModifyService(_)
            | ManagementRequest::NotifyVmtpClient(_)
            | ManagementRequest::NotifyVmtpServer(_)
            | ManagementRequest::NotifyRemoteVmtpClient(_) => None,
        };
        let data = data.get(..used).unwrap_or(&[]);
        self.answer_with(header, mcb, data, source);
    }

    pub(super) fn answer(&self, header: &Header, mcb: Option<Mcb>, source: &Source) {
        self.answer_with(header, mcb, &[], source);
    }

    fn answer_with(&self, header: &Header, mcb: Option<Mcb>, data: &[u8], source: &Source) {
        let Some(mcb) = mcb.filter(|_| !header.code.has(Code::DGM)) else {
            return;
        };
        let now = Host::now();
        // A Request by multicast is answered to its sender as any other.
        if let Ok(path) = self.path(&source.peer, now) {
            if !self.may_answer(&source.peer, now) {
                self.count(Counter::AnswersLimited);
                return;
            }
            let answer = response(header, self.manager(), mcb);
            let _ = self.send_single(&path, answer, data, &Manner::HOST);
        }
    }

    /// Whether a host may be sent another answer to what has no record: the sender may be forged, and whoever has that
    /// address is not to be flooded. The limit is the namespace's.
    fn may_answer(&self, peer: &Peer, now: Time) -> bool {
        let limit = self.settings.get(Setting::AnswersPerSecond);
        let here = peer.as_inet().is_some_and(|[first, ..]| first == 127);
        if limit == 0 || here {
            return true;
        }
        let path = Host::of(self.net()).map(|host| host.path(peer, now));
        path.is_some_and(|path| path.is_ok_and(|path| path.may_answer(limit, now)))
    }

    /// What a Probe of an entity is told.
    fn probed(&self, entity: Entity, source: &Source) -> Probed {
        let identifier = |number| self.identifier(&source.peer, number);
        if entity == self.manager() {
            let transaction = crate::proto::wire::Transaction::from_bits(
                self.transaction.load(core::sync::atomic::Ordering::Relaxed),
            );
            return Probed::Entity(ProbeEntityResults {
                transaction,
                process: identifier(0),
                principal: identifier(0),
                effective_principal: identifier(0),
            });
        }
        if let Some(endpoint) = self.entities.get(entity.bits()) {
            if endpoint.options.is_private() {
                return Probed::Private;
            }
            return Probed::Entity(ProbeEntityResults {
                transaction: endpoint.current_transaction(),
                process: identifier(endpoint.owner.caller.pid),
                principal: identifier(endpoint.owner.caller.uid),
                effective_principal: identifier(endpoint.owner.caller.euid),
            });
        }
        match self.vacated.get(entity.bits()) {
            Some(vacated) if vacated.has_moved() => Probed::Migrated,
            Some(_) => Probed::Gone,
            None => Probed::Unknown,
        }
    }

    /// A ProcessId or PrincipalId of this host, by the address that a peer knows it by.
    pub(super) fn identifier(&self, peer: &Peer, number: u32) -> u64 {
        domain1_identifier(self.address_towards(peer), number)
    }

    /// What QueryEntity tells.
    fn descriptor(
        &self,
        entity: Entity,
        source: &Source,
    ) -> core::result::Result<EntityDescriptor, ResponseCode> {
        let endpoint = self.server(entity).ok_or_else(|| self.absence(entity))?;
        let Probed::Entity(results) = self.probed(entity, source) else {
            return Err(ResponseCode::NoPermission);
        };
        let mut service = endpoint.service.flags();
        if endpoint.options.authenticates() {
            service = service.union(ServiceFlags::AUTHENTICATION_REQUIRED);
        }
        Ok(EntityDescriptor {
            entity,
            process: results.process,
            principal: results.principal,
            effective_principal: results.effective_principal,
            transaction: results.transaction,
            service,
            count: endpoint.service_count(),
            queued: endpoint.queued(),
        })
    }

    /// Octets of the record of a group's members here; 0 if it is not known here.
    fn group_octets(&self, group: Entity) -> usize {
        let mut octets = 4usize;
        self.members.for_each(group.bits(), |_| {
            octets = octets.saturating_add(8);
            ControlFlow::Continue(())
        });
        if octets == 4 && self.groups.get(group.bits()).is_none() {
            return 0;
        }
        octets
    }

    /// Writes that record, as far as it fits. How many octets.
    fn write_group(&self, group: Entity, to: &mut [u8]) -> usize {
        let Some(mut record) = GroupRecordWriter::new(to) else {
            return 0;
        };
        self.members.for_each(group.bits(), |membership| {
            match record.push(membership.endpoint.entity) {
                Some(()) => ControlFlow::Continue(()),
                None => ControlFlow::Break(()),
            }
        });
        record.finish()
    }

    /// The same of at most so many octets. `None` if the group is not known here. Sleeps.
    pub(super) fn group_record(&self, group: Entity, room: u32) -> Result<Option<Array<u8>>> {
        let octets = self.group_octets(group).min(room as usize);
        if octets == 0 {
            return Ok(None);
        }
        let mut record = Array::with_capacity(octets, GFP_KERNEL)?;
        for _ in 0..octets {
            record.push(0, GFP_KERNEL).map_err(|_| ENOMEM)?;
        }
        let written = self.write_group(group, &mut record);
        while record.len() > written {
            record.pop();
        }
        Ok(Some(record))
    }

    /// This host's address as a peer knows it.
    fn address_towards(&self, peer: &Peer) -> [u8; 4] {
        let route = self
            .path(peer, Host::now())
            .and_then(|path| path.route(self));
        route.map_or([127, 0, 0, 1], |route| route.source().octets())
    }

    fn node(&self, source: &Source) -> QueryVmtpNodeResults {
        let route = self
            .path(&source.peer, Host::now())
            .and_then(|path| path.route(self));
        let flags = if self.settings.is_set(Setting::Streaming) {
            NodeFlags::HANDLES_STREAMS.union(NodeFlags::ISSUES_STREAMS)
        } else {
            NodeFlags::default()
        };
        QueryVmtpNodeResults {
            mtu: route.map_or(1_500, |route| route.link_mtu()),
            flags,
            auth_domain: AUTH_DOMAIN,
            domains: DOMAINS.len() as u32,
            auth_domains: 1,
        }
    }

    /// Sends NotifyVmtpClient, or NotifyRemoteVmtpClient, to the manager at the other end of `path`.
    pub(super) fn notify_client(
        &self,
        path: &Record<PathRecord>,
        notify: &NotifyVmtpClient,
        remote: bool,
    ) {
        self.notify_client_from(Ipv4Addr::UNSPECIFIED, path, notify, remote);
    }

    /// The same from the address of this host that is known there: others may not ask for what is lacking.
    pub(super) fn notify_client_from(
        &self,
        from: Ipv4Addr,
        path: &Record<PathRecord>,
        notify: &NotifyVmtpClient,
        remote: bool,
    ) {
        self.notify(from, path, notify_client(notify, remote), notify.code);
    }

    /// The same of something that no packet provoked: it does not count for the limit of errors.
    pub(super) fn tell_client(
        &self,
        path: &Record<PathRecord>,
        notify: &NotifyVmtpClient,
        remote: bool,
    ) {
        self.send_notify(Ipv4Addr::UNSPECIFIED, path, notify_client(notify, remote));
    }

    /// Sends NotifyVmtpServer to the manager of a host.
    pub(super) fn notify_server(&self, peer: &Peer, notify: &NotifyVmtpServer) {
        if let Ok(path) = self.path(peer, Host::now()) {
            let from = Ipv4Addr::UNSPECIFIED;
            self.notify(from, &path, notify.encode(), notify.code);
        }
    }

    fn notify(&self, from: Ipv4Addr, path: &Record<PathRecord>, mcb: Mcb, code: Code) {
        if is_limited(code) && !path.may_notify_error(Host::now()) {
            self.count(Counter::NotifiesLimited);
            return;
        }
        self.send_notify(from, path, mcb);
    }

    fn send_notify(&self, from: Ipv4Addr, path: &PathRecord, mcb: Mcb) {
        let header = request(self.manager(), self.domain(), self.next_transaction(), mcb);
        let manner = Manner {
            source: from,
            ..Manner::HOST
        };
        if self.send_single(path, header, &[], &manner).is_ok() {
            self.count(Counter::OutNotifies);
        }
    }

    /// A multicast Probe without a route, or beyond it: out of every interface that can.
    pub(super) fn send_everywhere(&self, path: &PathRecord, header: Header) {
        let routed = path.route(self).map_or(0, |route| route.interface());
        let mut from = 1;
        while let Some(interface) = next_interface(self.net(), from) {
            from = interface.index.saturating_add(1);
            if interface.multicast && interface.index != routed {
                let manner = Manner {
                    multicast_interface: interface.index,
                    ..Manner::HOST
                };
                let _ = self.send_single(path, header, &[], &manner);
            }
        }
    }
}

/// Whether a Request is a ProbeEntityBlock, which every manager is asked.
fn is_about_a_block(mcb: &Mcb) -> bool {
    Procedure::of(mcb.code) == Some(Procedure::ProbeEntityBlock)
}
