// SPDX-License-Identifier: GPL-2.0

//! The manager of this host (III): it executes management Requests that came from the network, and sends the Notify
//! operations that `proto` wants.

use super::counters::Counter;
use super::endpoint::Endpoint;
use super::path::PathRecord;
use super::remote::RemoteRecord;
use super::settings::Setting;
use super::transmit::Manner;
use super::{Host, DOMAIN};
use crate::kernel::netdev::next_interface;
use crate::kernel::skb::Skb;
use crate::proto::manager::{
    classify, is_error, notify_client, probe_answer, request, response, Probed, Work, AUTH_DOMAIN,
};
use crate::proto::peer::Peer;
use crate::proto::server::{Source, State};
use crate::proto::wire::{
    write_domain_list, Code, Entity, Header, ManagementRequest, Mcb, NodeFlags, NotifyVmtpClient,
    NotifyVmtpServer, Parameters, ProbeEntityBlockResults, ProbeEntityResults,
    QueryVmtpNodeResults, ResponseCode, Results,
};
use core::ops::ControlFlow;

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
            Work::Immediate(request) => self.answer_at_once(header, &request, source),
            Work::Transaction(_) => self.answer(
                header,
                Some(Mcb::refusal(ResponseCode::NoPermission)),
                source,
            ),
            Work::Refuse(code) => self.answer(header, Some(Mcb::refusal(code)), source),
            Work::Ignore => self.discard(skb, Counter::DropUnwanted),
        }
    }

    /// With CRE a management Request is for the managers of hosts that have the entity (2.7): 0 is whoever got it by
    /// unicast. A unicast Request for an entity that is not here is answered by its own code.
    fn is_addressed(&self, header: &Header, source: &Source) -> bool {
        if !header.code.has(Code::CRE) || !source.multicast {
            return true;
        }
        let coresident = header.coresident();
        let block = header.mcb();
        if matches!(
            ManagementRequest::decode(&block),
            Ok(ManagementRequest::ProbeEntityBlock(_))
        ) {
            return true;
        }
        !coresident.is_zero()
            && (self.has_entity(coresident) || self.vacated.get(coresident.bits()).is_some())
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
        if let Some(endpoint) = self.entities.get(notify.client.bits()) {
            if !Endpoint::notified(&endpoint, notify, from) {
                self.discard(skb, Counter::DropUnwanted);
            }
            return;
        }
        if !remote {
            self.discard(skb, Counter::DropUnwanted);
            return;
        }
        // A Request that was forwarded from here.
        self.remotes.for_each(notify.client.bits(), |record| {
            let (state, _) = record.look();
            if state.state() == State::Forwarded && state.transaction() == notify.transaction {
                RemoteRecord::forward_notified(record, notify);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
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
    fn speaks_for(&self, record: &RemoteRecord, from: &Peer) -> bool {
        let (state, _) = record.look();
        // Of a Request that was forwarded the Client is elsewhere.
        state.forward_count() != 0
            || state.peer().is_same_host(from)
            || self
                .find(record.client, Host::now())
                .peer
                .is_same_host(from)
    }

    /// Probes and Queries, which need no record of the Client.
    fn answer_at_once(&self, header: &Header, request: &ManagementRequest, source: &Source) {
        let mut data = [0u8; 8];
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
                self.block_in_use(probe.entity).then(|| {
                    ProbeEntityBlockResults {
                        entity: probe.entity,
                    }
                    .encode()
                })
            }
            ManagementRequest::QueryVmtpNode(_) => {
                used = write_domain_list(&mut data, &[DOMAIN.into()], &[AUTH_DOMAIN]).unwrap_or(0);
                Some(self.node(source).encode())
            }
            _ => Some(Mcb::refusal(ResponseCode::NoPermission)),
        };
        let data = data.get(..used).unwrap_or(&[]);
        self.answer_with(header, mcb, data, source);
    }

    fn answer(&self, header: &Header, mcb: Option<Mcb>, source: &Source) {
        self.answer_with(header, mcb, &[], source);
    }

    fn answer_with(&self, header: &Header, mcb: Option<Mcb>, data: &[u8], source: &Source) {
        let Some(mcb) = mcb.filter(|_| !header.code.has(Code::DGM)) else {
            return;
        };
        // A Request by multicast is answered to its sender as any other.
        if let Ok(path) = self.path(&source.peer, Host::now()) {
            let answer = response(header, self.manager(), mcb);
            let _ = self.send_single(&path, answer, data, &Manner::HOST);
        }
    }

    /// What a Probe of an entity is told.
    fn probed(&self, entity: Entity, source: &Source) -> Probed {
        let address = u32::from_be_bytes(self.address_towards(&source.peer));
        let identifier = |number: u32| (u64::from(address) << 32) | u64::from(number);
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
                process: identifier(endpoint.owner.pid),
                principal: identifier(endpoint.owner.uid),
                effective_principal: identifier(endpoint.owner.euid),
            });
        }
        if self.vacated.get(entity.bits()).is_some() {
            return Probed::Gone;
        }
        Probed::Unknown
    }

    /// This host's address as a peer knows it.
    fn address_towards(&self, peer: &Peer) -> [u8; 4] {
        let route = self
            .path(peer, Host::now())
            .and_then(|path| path.route(self, Host::now()));
        route.map_or([127, 0, 0, 1], |route| route.source().octets())
    }

    /// Whether one of 256 identifiers is valid here or was lately (IV.4).
    fn block_in_use(&self, entity: Entity) -> bool {
        let base = entity.bits() & !0xFF;
        (base..=base | 0xFF)
            .any(|bits| self.entities.get(bits).is_some() || self.vacated.get(bits).is_some())
    }

    fn node(&self, source: &Source) -> QueryVmtpNodeResults {
        let route = self
            .path(&source.peer, Host::now())
            .and_then(|path| path.route(self, Host::now()));
        let flags = if self.settings.is_set(Setting::Streaming) {
            NodeFlags::HANDLES_STREAMS.union(NodeFlags::ISSUES_STREAMS)
        } else {
            NodeFlags::default()
        };
        QueryVmtpNodeResults {
            mtu: route.map_or(1_500, |route| route.link_mtu()),
            flags,
            auth_domain: AUTH_DOMAIN,
            domains: 1,
            auth_domains: 1,
        }
    }

    /// Sends NotifyVmtpClient, or NotifyRemoteVmtpClient, to the manager at the other end of `path`.
    pub(super) fn notify_client(&self, path: &PathRecord, notify: &NotifyVmtpClient, remote: bool) {
        self.notify(path, notify_client(notify, remote), notify.code);
    }

    /// The same of something that no packet provoked: it does not count for the limit of errors.
    pub(super) fn tell_client(&self, path: &PathRecord, notify: &NotifyVmtpClient, remote: bool) {
        self.send_notify(path, notify_client(notify, remote));
    }

    /// Sends NotifyVmtpServer to the manager of a host.
    pub(super) fn notify_server(&self, peer: &Peer, notify: &NotifyVmtpServer) {
        if let Ok(path) = self.path(peer, Host::now()) {
            self.notify(&path, notify.encode(), notify.code);
        }
    }

    fn notify(&self, path: &PathRecord, mcb: Mcb, code: Code) {
        if is_error(code) && !path.may_notify_error(Host::now()) {
            self.count(Counter::NotifiesLimited);
            return;
        }
        self.send_notify(path, mcb);
    }

    fn send_notify(&self, path: &PathRecord, mcb: Mcb) {
        let header = request(self.manager(), DOMAIN, self.next_transaction(), mcb);
        if self.send_single(path, header, &[], &Manner::HOST).is_ok() {
            self.count(Counter::OutNotifies);
        }
    }

    /// A multicast Probe without a route, or beyond it: out of every interface that can.
    pub(super) fn send_everywhere(&self, path: &PathRecord, header: Header) {
        let routed = path
            .route(self, Host::now())
            .map_or(0, |route| route.interface());
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
