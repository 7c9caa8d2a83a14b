// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The manager of a host: Notify operations in and out, Probes answered and made.

use vmtp_proto::manager::{self, Limiter, Probe, ProbeStep, Probed, Work, LOCATE_RETRIES};
use vmtp_proto::peer::Peer;
use vmtp_proto::server::{Presence, Source};
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{
    domain1_identifier, Entity, Header, ManagementRequest, Mcb, NotifyVmtpClient, NotifyVmtpServer,
    Parameters, ProbeEntityResults, Procedure, ResponseCode, Transaction,
};

use super::{Host, DOMAIN};
use crate::env::{Env, Timer};
use crate::packet;

/// A Probe under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    probe: Probe,
    to: Peer,
    purpose: Purpose,
    armed: Time,
}

/// Why a Probe was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To find the Server of a call, by its Client and first Transaction.
    Locate(Entity, Transaction),
    /// To know whether the Client of a record exists.
    Client(Entity, Entity),
    /// To find the Client of a record, or the server of its forwarded Request.
    Record(Entity, Entity),
}

const MULTICAST: Peer = Peer::inet([224, 0, 1, 0]);

impl Host {
    /// Whether a Request is for the manager.
    pub(super) fn is_management(&self, header: &Header) -> bool {
        header.server == Entity::MANAGER_GROUP || header.server == self.manager
    }

    fn next_transaction(&mut self) -> Transaction {
        self.manager_transaction = self.manager_transaction.next();
        self.manager_transaction
    }

    fn send_header(&mut self, env: &mut Env, mut header: Header, to: Peer) {
        header.mpg = to == MULTICAST;
        let octets = packet::encode(&header, &[]);
        self.transmit(env, &header, to, &octets, Span::ZERO);
    }

    /// Whether the error may be told: a limit for each host.
    fn may_tell(&mut self, env: &mut Env, code: vmtp_proto::wire::Code, to: Peer) -> bool {
        if !manager::is_limited(code) {
            return true;
        }
        let now = env.now;
        let address = to.as_inet().unwrap_or_default();
        let limiter = self
            .limiters
            .within(address, self.config.hosts, || Limiter::new(now));
        let may = limiter.take(manager::ERRORS_A_SECOND, now);
        if !may {
            env.counts.notify_limited += 1;
        }
        may
    }

    /// Sends NotifyVmtpClient, or NotifyRemoteVmtpClient.
    pub(super) fn notify_client(
        &mut self,
        env: &mut Env,
        notify: Option<NotifyVmtpClient>,
        remote: bool,
        to: Peer,
    ) {
        let Some(notify) = notify else {
            return;
        };
        if !self.may_tell(env, notify.code, to) {
            return;
        }
        env.counts.notify_client += 1;
        let code = ResponseCode::from_bits(notify.code.bits());
        if matches!(
            code,
            Some(ResponseCode::Busy | ResponseCode::MsgtransOverflow)
        ) {
            env.counts.busy += 1;
        }
        let mcb = manager::notify_client(&notify, remote);
        let transaction = self.next_transaction();
        let header = manager::request(self.manager, DOMAIN, transaction, mcb);
        self.send_header(env, header, to);
    }

    /// Sends NotifyVmtpServer.
    pub(super) fn notify_server(
        &mut self,
        env: &mut Env,
        notify: Option<NotifyVmtpServer>,
        to: Peer,
    ) {
        let Some(notify) = notify else {
            return;
        };
        if !self.may_tell(env, notify.code, to) {
            return;
        }
        env.counts.notify_server += 1;
        let transaction = self.next_transaction();
        let header = manager::request(self.manager, DOMAIN, transaction, notify.encode());
        self.send_header(env, header, to);
    }

    /// A Request to the manager arrives.
    pub(super) fn manage(&mut self, env: &mut Env, header: &Header, source: &Source) {
        match manager::classify(header, source) {
            Work::NotifyClient { notify, remote } => {
                if remote && self.forward_notified(env, &notify) {
                    return;
                }
                self.client_notified(env, &notify, source);
            }
            Work::NotifyServer(notify) => self.server_notified(env, &notify, source),
            Work::Immediate(ManagementRequest::ProbeEntity(probe)) => {
                let local = self.is_here(probe.coresident);
                let answer = if probe.coresident.is_zero() && source.multicast {
                    None
                } else if probe.coresident.is_zero() || local {
                    manager::probe_answer(&probe, &self.probed(probe.entity), source)
                } else if source.multicast {
                    None
                } else {
                    Some(Mcb::refusal(ResponseCode::NonexistentEntity))
                };
                if let Some(mcb) = answer {
                    let response = manager::response(header, self.manager, mcb);
                    self.send_header(env, response, source.peer);
                }
            }
            Work::Immediate(_) | Work::Transaction(_) | Work::Ignore => {}
            Work::Refuse(code) => {
                let response = manager::response(header, self.manager, Mcb::refusal(code));
                self.send_header(env, response, source.peer);
            }
        }
    }

    /// Whether an entity, or a member of a group, is here (2.7).
    pub(super) fn is_coresident(&self, entity: Entity) -> bool {
        if entity.is_group() {
            return entity == Entity::MANAGER_GROUP || self.groups.get(&entity).is_some();
        }
        self.is_here(entity)
    }

    fn is_here(&self, entity: Entity) -> bool {
        entity == self.manager
            || self.endpoints.contains_key(&entity)
            || self.servers.get(&entity).is_some_and(|s| !s.moved())
    }

    fn probed(&self, entity: Entity) -> Probed {
        let address = self.peer.as_inet().unwrap_or_default();
        if self.servers.get(&entity).is_some_and(|s| s.moved()) {
            return Probed::Migrated;
        }
        if entity == self.manager {
            return Probed::Entity(ProbeEntityResults {
                transaction: self.manager_transaction.next(),
                process: domain1_identifier(address, 0),
                principal: domain1_identifier(address, 0),
                effective_principal: domain1_identifier(address, 0),
            });
        }
        let Some(endpoint) = self.endpoints.get(&entity) else {
            return Probed::Unknown;
        };
        Probed::Entity(ProbeEntityResults {
            transaction: endpoint.current_transaction(),
            process: domain1_identifier(address, 1),
            principal: domain1_identifier(address, 0),
            effective_principal: domain1_identifier(address, 0),
        })
    }

    /// Finds out about an entity: at a host, or by multicast if that is not known.
    pub(super) fn search(&mut self, env: &mut Env, entity: Entity, to: Peer, purpose: Purpose) {
        if self.searches.values().any(|s| s.purpose == purpose) {
            return;
        }
        if self.searches.len() >= self.config.searches {
            self.found(env, purpose, entity, None);
            return;
        }
        let everywhere = !to.is_known();
        let to = if everywhere { MULTICAST } else { to };
        let coresident = if everywhere { entity } else { Entity::ZERO };
        let retries = if everywhere {
            LOCATE_RETRIES
        } else {
            self.config.policy.retries
        };
        let transaction = self.next_transaction();
        let search = Search {
            probe: Probe::new(entity, coresident, transaction, retries, Time::NEVER),
            to,
            purpose,
            armed: Time::NEVER,
        };
        self.searches.insert(transaction.bits(), search);
        self.search_timer(env, transaction);
    }

    /// The entity that everyone may be asked about.
    pub(super) fn search_everywhere(&mut self, env: &mut Env, entity: Entity, purpose: Purpose) {
        self.search(env, entity, Peer::NONE, purpose);
    }

    /// A Probe's deadline may have passed.
    pub(super) fn search_timer(&mut self, env: &mut Env, transaction: Transaction) {
        let Some(search) = self.searches.get(&transaction.bits()) else {
            return;
        };
        let to = search.to;
        let cx = self.context(env, to);
        let manager = self.manager;
        let Some(search) = self.searches.get_mut(&transaction.bits()) else {
            return;
        };
        search.armed = Time::NEVER;
        let step = search.probe.timeout(manager, DOMAIN, &cx);
        let (purpose, entity) = (search.purpose, search.probe.entity);
        let deadline = search.probe.deadline();
        match step {
            ProbeStep::Wait => {}
            ProbeStep::Send(header) => {
                env.counts.probes += 1;
                self.send_header(env, header, to);
            }
            ProbeStep::Silence => {
                self.searches.remove(&transaction.bits());
                self.found(env, purpose, entity, None);
                return;
            }
        }
        if let Some(search) = self.searches.get_mut(&transaction.bits()) {
            let of = Timer::Probe(transaction);
            env.arm(
                self.number,
                self.incarnation,
                of,
                deadline,
                &mut search.armed,
            );
        }
    }

    /// A Response to this host's manager arrives: if it answers a Probe, what it says.
    pub(super) fn probe_answered(&mut self, env: &mut Env, header: &Header, source: Source) {
        let Some(search) = self.searches.get(&header.transaction.bits()).copied() else {
            return;
        };
        let (answer, round_trip) = search.probe.answer(header, env.now);
        self.learn(env, source.peer, round_trip, None, None, None);
        if answer.is_err() && search.to == MULTICAST {
            // 2.13: whoever answers so knows that no other host can answer better.
        }
        self.searches.remove(&header.transaction.bits());
        let found = answer.ok().map(|results| (source.peer, results));
        self.found(env, search.purpose, search.probe.entity, found);
    }

    fn found(
        &mut self,
        env: &mut Env,
        purpose: Purpose,
        entity: Entity,
        found: Option<(Peer, ProbeEntityResults)>,
    ) {
        env.trace(self.number, || {
            let peer = found.map_or(Peer::NONE, |(peer, _)| peer);
            format!("   {entity} found at {} for {purpose:?}", super::name(peer))
        });
        match found {
            Some((peer, _)) => {
                self.cache.insert_within(entity, peer, self.config.hosts);
            }
            None => {
                self.cache.remove(&entity);
            }
        }
        match purpose {
            Purpose::Locate(client, first) => {
                self.call_located(env, client, first, found.map(|(peer, _)| peer));
            }
            Purpose::Client(client, server) => {
                let presence = found.map_or(Presence::Absent, |(_, results)| {
                    Presence::At(results.transaction)
                });
                self.client_probed(env, (client, server), presence);
            }
            Purpose::Record(client, server) => {
                let peer = found.map(|(peer, _)| peer);
                self.record_located(env, (client, server), peer);
            }
        }
    }
}

/// Whether a Request is one of VMTP management.
pub(super) fn is_procedure(header: &Header) -> bool {
    Procedure::is_management(header.code)
}
