// SPDX-License-Identifier: GPL-2.0

//! The management procedures that change something (III): ordinary transactions with the manager as their server, executed
//! one after another where they may sleep. Who may do what is decided here, in `asker` and in
//! `proto::group` (III.1, III.2).
//!
//! On the same host the right goes with the principal: the user who made an entity, and the superuser. Other hosts may
//! change the membership of unrestricted groups and nothing else, unless net.vmtp.remote_management is set; they are not
//! authenticated.

use super::asker::Asker;
use super::client::Start;
use super::endpoint::{Endpoint, Owner, Role};
use super::group::Group;
use super::identifier::own_kind;
use super::kept::header_of;
use super::remote::Delivered;
use super::server::Which;
use super::settings::Setting;
use super::transmit::Manner;
use super::{Host, ALL_HOSTS};
use crate::kernel::array::Array;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::kernel::work::Worker;
use crate::proto::client::{Found, Request};
use crate::proto::group::{may_add, may_remove, Invoker, Subject};
use crate::proto::peer::Peer;
use crate::proto::server::{Respond, State};
use crate::proto::time::Span;
use crate::proto::wire::{
    AddToGroup, CreateEntityResults, CreateGroup, Entity, GetRequestForwarderResults,
    GroupPermissions, ManagementRequest, Mcb, ModifyServiceResults, NoResults, Parameters,
    Priority, RemoveFromGroup, ResponseCode, Results, GROUP_OCTETS, MESSAGE_OCTETS_MAX,
};
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::Arc;

/// How long another manager may take, which is asked for a part of an operation.
const FORWARD_LIMIT: Span = Span::from_millis(5_000);

/// What an operation comes to.
enum Answer {
    /// The Response.
    Now(Mcb),
    /// The same with a segment.
    Long(Mcb, Pages),
    /// That of another manager, to which this goes.
    Forward(Entity, Mcb),
}

type Outcome = core::result::Result<Answer, ResponseCode>;

fn done() -> Outcome {
    Ok(Answer::Now(NoResults {}.encode()))
}

impl Worker for Host {
    fn work(&self) {
        for host in Host::all(self.net()) {
            host.refill();
            let Some(manager) = host.known_manager() else {
                continue;
            };
            while let Some(delivered) = manager.take_request(&Which::Next) {
                host.administer(&manager, &delivered);
            }
        }
    }
}

impl Host {
    fn administer(&self, manager: &Ref<Endpoint>, delivered: &Delivered) {
        let Some(header) = delivered.packets.front().and_then(header_of) else {
            return;
        };
        let (state, _) = delivered.record.look();
        let asker = Asker::of(self, &header, &delivered.packets);
        let transaction = delivered.arrival.transaction;
        let listed = delivered.arrival.segment_octets;
        let room = if state.takes_long_response() {
            MESSAGE_OCTETS_MAX
        } else {
            GROUP_OCTETS
        };
        let outcome = match ManagementRequest::decode(&header.mcb()) {
            Ok(request) => self.execute(&asker, &request, listed, room),
            Err(_) => Err(ResponseCode::VmtpError),
        };
        if delivered.arrival.datagram {
            return;
        }
        let (mcb, segment) = match outcome {
            Ok(Answer::Now(mcb)) => (mcb, None),
            Ok(Answer::Long(mcb, segment)) => (mcb, Some(segment)),
            Ok(Answer::Forward(entity, mcb)) => {
                let record = delivered.record.clone();
                match self
                    .ask_other(entity, mcb)
                    .and_then(|start| manager.nest(record, transaction, &start))
                {
                    Ok(()) => return,
                    Err(_) => (Mcb::refusal(ResponseCode::Busy), None),
                }
            }
            Err(code) => (Mcb::refusal(code), None),
        };
        let respond = Respond {
            mcb,
            flags: 0,
            hco: false,
            priority: None,
            earlier: 0,
        };
        // Nobody may wait any more.
        let _ = manager.reply(header.client, transaction, &respond, segment, &Manner::HOST);
    }

    fn execute(
        &self,
        asker: &Asker,
        request: &ManagementRequest,
        listed: u32,
        room: u32,
    ) -> Outcome {
        match request {
            ManagementRequest::GetRequestForwarder(request) => self.forwarder(request.entity),
            ManagementRequest::CreateEntity(_) => self.create_entity(asker),
            ManagementRequest::DeleteEntity(request) if request.entity.is_group() => {
                self.delete_group(asker, request.entity)
            }
            ManagementRequest::DeleteEntity(request) => {
                let endpoint = self.changeable(asker, request.entity)?;
                Endpoint::delete(&endpoint);
                done()
            }
            ManagementRequest::SignalEntity(request) => {
                let endpoint = self.changeable(asker, request.entity)?;
                let process = endpoint
                    .owner
                    .process
                    .as_ref()
                    .ok_or(ResponseCode::NonexistentEntity)?;
                // What a user of this host may send is not more than kill(2) would; a host that is trusted
                // may what the administrator who trusts it may.
                let sent = match &asker.endpoint {
                    Some(own) => match &own.owner.process {
                        Some(sender) => process.signal(request.signal, Some(sender), self.net()),
                        None => Err(EPERM),
                    },
                    None => process.signal(request.signal, None, self.net()),
                };
                sent.map_err(|error| {
                    if error == EINVAL {
                        ResponseCode::VmtpError
                    } else if error == EPERM {
                        ResponseCode::NoPermission
                    } else {
                        ResponseCode::NonexistentEntity
                    }
                })?;
                done()
            }
            ManagementRequest::CreateGroup(request) => self.create_group(asker, request),
            ManagementRequest::AddToGroup(request) => self.add_to_group(asker, request),
            ManagementRequest::RemoveFromGroup(request) => self.remove_from_group(asker, request),
            ManagementRequest::ModifyService(request) => {
                let endpoint = self.changeable(asker, request.entity)?;
                let count = Endpoint::modify_service(&endpoint, request, listed)?;
                Ok(Answer::Now(ModifyServiceResults { count }.encode()))
            }
            ManagementRequest::QueryGroup(request) => self.long_group_record(request.entity, room),
            ManagementRequest::ProbeEntity(_)
            | ManagementRequest::AuthProbeEntity(_)
            | ManagementRequest::ProbeEntityBlock(_)
            | ManagementRequest::QueryVmtpNode(_)
            | ManagementRequest::QueryEntity(_)
            | ManagementRequest::NotifyVmtpClient(_)
            | ManagementRequest::NotifyVmtpServer(_)
            | ManagementRequest::NotifyRemoteVmtpClient(_) => Err(ResponseCode::VmtpError),
        }
    }

    /// An entity of this host that the asker may change.
    fn changeable(
        &self,
        asker: &Asker,
        entity: Entity,
    ) -> core::result::Result<Ref<Endpoint>, ResponseCode> {
        if entity == self.manager() {
            return Err(ResponseCode::NoPermission);
        }
        let endpoint = self
            .entities
            .get(entity.bits())
            .ok_or_else(|| self.absence(entity))?;
        if asker.may_change(&endpoint) {
            Ok(endpoint)
        } else {
            Err(ResponseCode::NoPermission)
        }
    }

    /// What is said of an entity that is not here.
    pub(super) fn absence(&self, entity: Entity) -> ResponseCode {
        match self.vacated.get(entity.bits()) {
            Some(vacated) if vacated.has_moved() => ResponseCode::EntityMigrated,
            Some(_) | None => ResponseCode::NonexistentEntity,
        }
    }

    /// GetRequestForwarder: the server of this host that passed the Client's Request on, the last of them (5.6.4).
    fn forwarder(&self, client: Entity) -> Outcome {
        let mut found: Option<(Entity, u8, Peer)> = None;
        self.remotes.for_each(client.bits(), |record| {
            let (state, _) = record.look();
            let later = found.is_none_or(|(_, count, _)| state.forward_count() >= count);
            if state.state() == State::Forwarded && later {
                found = Some((record.server, state.forward_count(), state.peer()));
            }
            ControlFlow::Continue(())
        });
        let (entity, _, peer) = found.ok_or(ResponseCode::NonexistentEntity)?;
        let endpoint = self
            .entities
            .get(entity.bits())
            .ok_or(ResponseCode::NonexistentEntity)?;
        let results = GetRequestForwarderResults {
            entity,
            principal: self.identifier(&peer, endpoint.owner.caller.uid),
            auth_domain: crate::proto::manager::AUTH_DOMAIN,
        };
        Ok(Answer::Now(results.encode()))
    }

    fn create_entity(&self, asker: &Asker) -> Outcome {
        if asker.endpoint.is_none() && !asker.is_superuser() {
            return Err(ResponseCode::NoPermission);
        }
        let owner = match &asker.endpoint {
            Some(endpoint) => endpoint.owner.clone(),
            None => Owner::HOST,
        };
        let entity = self.make_entity(owner).map_err(|_| ResponseCode::Busy)?;
        Ok(Answer::Now(CreateEntityResults { entity }.encode()))
    }

    /// An entity without a socket. EAGAIN, ENOBUFS, ENOMEM. Sleeps.
    fn make_entity(&self, owner: Owner) -> Result<Entity> {
        let host = self.to_ref()?;
        let created = |host: &Host| host.created.load(Ordering::Relaxed);
        if self.is_full(Setting::CreatedMax, created) {
            return Err(crate::kernel::errno::Errno::ENOBUFS.into());
        }
        let options = Arc::new(crate::socket::options::Options::new(), GFP_KERNEL_ACCOUNT)?;
        for _ in 0..ALLOCATION_TRIES {
            if let Ok(entity) = self.allocate() {
                Endpoint::make(&host, entity, None, owner, &options, Role::Ordinary)?;
                self.created.fetch_add(1, Ordering::Relaxed);
                return Ok(entity);
            }
            self.replenish()?;
        }
        Err(EAGAIN)
    }

    fn create_group(&self, asker: &Asker, request: &CreateGroup) -> Outcome {
        let group = request.group;
        if !group.is_valid() || !group.is_group() || !request.entity.is_client() {
            return Err(ResponseCode::VmtpError);
        }
        let open = group.is_unrestricted_group();
        if asker.endpoint.is_none() && !open && !asker.is_superuser() {
            return Err(ResponseCode::NoPermission);
        }
        if group == Entity::MANAGER_GROUP || !(asker.is_superuser() || self.is_free(group)) {
            return Err(ResponseCode::NoPermission);
        }
        // It exists, and who may add to it is known.
        if self.groups.get(group.bits()).is_some() || self.has_entity(group) {
            return Err(ResponseCode::NoPermission);
        }
        Group::make(self, group, asker.entity, asker.user()).map_err(|_| ResponseCode::Busy)?;
        let first = AddToGroup {
            coresident: Entity::ZERO,
            group,
            entity: request.entity,
            permissions: request.permissions,
        };
        let added = self.add_to_group(asker, &first);
        if added.is_err() {
            if let Some(group) = self.groups.get(group.bits()) {
                self.groups.remove(&group);
                group.stop();
            }
        }
        added
    }

    /// Whether anybody may make this group: its address is a host group's or one of this host, and its number not one of
    /// the administrator's. Where identifiers name no host, an entity of this one has the number.
    fn is_free(&self, group: Entity) -> bool {
        if !self.names_hosts() {
            return self.has_entity(group.with_kind(own_kind()));
        }
        let address = group.address();
        let ours = self.is_own(address) || core::net::Ipv4Addr::from(address).is_multicast();
        ours && group.discriminator() >= self.settings.get(Setting::UnprivilegedStart)
    }

    /// The asker with the permissions that it has in a group, as far as this host knows (III.1).
    fn invoker(&self, asker: &Asker, group: Entity) -> Invoker {
        let manages = match self.groups.get(group.bits()) {
            Some(record) => {
                let same = asker.user().is_some() && asker.user() == record.user;
                let there = self.entities.get(record.manager.bits()).is_some();
                // The group outlives the entity that made it; whoever has its principal manages it then.
                asker.entity == record.manager || (same && !there)
            }
            None => false,
        };
        if manages || asker.is_superuser() {
            return asker.invoker(GroupPermissions::ALL);
        }
        let membership = asker
            .endpoint
            .as_ref()
            .and_then(|endpoint| endpoint.membership(group));
        asker
            .invoker(membership.map_or(GroupPermissions::NONE, |membership| membership.permissions))
    }

    fn subject(endpoint: &Endpoint, permissions: GroupPermissions) -> Subject {
        Subject {
            entity: endpoint.entity,
            principal: endpoint.owner.caller.euid.into(),
            permissions,
            immune: endpoint.options.is_immune(),
        }
    }

    fn add_to_group(&self, asker: &Asker, request: &AddToGroup) -> Outcome {
        let AddToGroup {
            coresident,
            group,
            entity,
            permissions,
        } = *request;
        // 0, where a manager passed it on: the signature that is not defined yet (III.2).
        let entity = if entity.is_zero() { coresident } else { entity };
        if !group.is_valid()
            || !group.is_group()
            || group == Entity::MANAGER_GROUP
            || !entity.is_client()
            || !GroupPermissions::ALL.contains(permissions)
        {
            return Err(ResponseCode::VmtpError);
        }
        let invoker = self.invoker(asker, group);
        let Some(endpoint) = self.entities.get(entity.bits()) else {
            let other = Subject {
                entity,
                principal: u64::MAX - 1,
                permissions: GroupPermissions::NONE,
                immune: false,
            };
            if !coresident.is_zero() || !asker.is_known() {
                return Err(self.absence(entity));
            }
            if !may_add(group, &invoker, &other, permissions) {
                return Err(ResponseCode::NoPermission);
            }
            let passed_on = AddToGroup {
                coresident: entity,
                entity: Entity::ZERO,
                ..*request
            };
            return Ok(Answer::Forward(entity, passed_on.encode()));
        };
        let subject = Self::subject(&endpoint, GroupPermissions::NONE);
        if !may_add(group, &invoker, &subject, permissions) {
            return Err(ResponseCode::NoPermission);
        }
        let is_member = endpoint.membership(group).is_some();
        if !is_member && !asker.is_known() && !endpoint.strangers_may_add() {
            return Err(ResponseCode::Busy);
        }
        match Endpoint::join(&endpoint, group, permissions, 0) {
            Ok(()) => done(),
            // It is one already.
            Err(error) if error.to_errno() == already().to_errno() => done(),
            Err(_) => Err(ResponseCode::Busy),
        }
    }

    fn remove_from_group(&self, asker: &Asker, request: &RemoveFromGroup) -> Outcome {
        let RemoveFromGroup {
            coresident,
            group,
            entity,
        } = *request;
        let entity = if entity.is_zero() { coresident } else { entity };
        if !group.is_valid() || !group.is_group() || !entity.is_client() {
            return Err(ResponseCode::VmtpError);
        }
        let invoker = self.invoker(asker, group);
        let Some(endpoint) = self.entities.get(entity.bits()) else {
            if !coresident.is_zero() || !asker.is_known() {
                return Err(self.absence(entity));
            }
            // The member's own permission is looked at where it is.
            let other = Subject {
                entity,
                principal: u64::MAX - 1,
                permissions: GroupPermissions::ALL,
                immune: false,
            };
            if !may_remove(group, &invoker, &other) {
                return Err(ResponseCode::NoPermission);
            }
            let passed_on = RemoveFromGroup {
                coresident: entity,
                entity: Entity::ZERO,
                ..*request
            };
            return Ok(Answer::Forward(entity, passed_on.encode()));
        };
        let membership = endpoint
            .membership(group)
            .ok_or(ResponseCode::NonexistentEntity)?;
        let subject = Self::subject(&endpoint, membership.permissions);
        if !may_remove(group, &invoker, &subject) {
            return Err(ResponseCode::NoPermission);
        }
        match Endpoint::leave(&endpoint, group) {
            Ok(()) => done(),
            Err(_) => Err(ResponseCode::NonexistentEntity),
        }
    }

    /// DeleteEntity of a group: of its members here those that may be removed go. If the asker manages it, so does the group
    /// and all of them.
    fn delete_group(&self, asker: &Asker, group: Entity) -> Outcome {
        if group == Entity::MANAGER_GROUP {
            return Err(ResponseCode::NoPermission);
        }
        let invoker = self.invoker(asker, group);
        let manages = invoker.permissions.contains(GroupPermissions::MANAGER);
        let mut members = Array::new();
        let mut complete = true;
        self.members.for_each(group.bits(), |membership| {
            complete &= members.push(membership.clone(), super::ATOMIC).is_ok();
            ControlFlow::Continue(())
        });
        let mut refused = !complete;
        for membership in members.iter() {
            let subject = Self::subject(&membership.endpoint, membership.permissions);
            if manages || may_remove(group, &invoker, &subject) {
                let _ = Endpoint::leave(&membership.endpoint, group);
            } else {
                refused = true;
            }
        }
        if manages {
            if let Some(record) = self.groups.get(group.bits()) {
                self.groups.remove(&record);
                record.stop();
            }
        }
        if refused {
            Err(ResponseCode::NoPermission)
        } else {
            done()
        }
    }

    /// The record of QueryGroup that does not fit a packet, or that a stranger could have sent to a third.
    fn long_group_record(&self, group: Entity, room: u32) -> Outcome {
        let record = self
            .group_record(group, room)
            .map_err(|_| ResponseCode::Busy)?;
        // Its members may have gone meanwhile.
        let octets = record.ok_or(ResponseCode::NonexistentEntity)?;
        let mut mcb = NoResults {}.encode_with_segment(0);
        mcb.segment_size = u32::try_from(octets.len()).map_err(|_| ResponseCode::Busy)?;
        let segment = Pages::from_slice(&octets, GFP_KERNEL);
        Ok(Answer::Long(mcb, segment.map_err(|_| ResponseCode::Busy)?))
    }

    /// The call of another manager, at the host of `entity`.
    fn ask_other(&self, entity: Entity, mcb: Mcb) -> Result<Start> {
        let now = Host::now();
        let found = self.find(entity, now).peer;
        let peer = if found.is_known() {
            found
        } else {
            Peer::inet(ALL_HOSTS.octets())
        };
        Ok(Start {
            request: Request {
                server: Entity::MANAGER_GROUP,
                peer,
                found: Found::Certain,
                multicast: !found.is_known(),
                mcb,
                flags: 0,
                large_response: false,
                hco: false,
                priority: Priority::NORMAL,
                limit: now.plus(FORWARD_LIMIT),
                streamed: false,
                more: false,
            },
            segment: None,
            manner: Manner::HOST,
            path: self.path(&peer, now)?,
            departure: None,
            cookie: 0,
            claimed: false,
            buffer: usize::MAX,
        })
    }
}

fn already() -> Error {
    crate::kernel::errno::Errno::EADDRINUSE.into()
}

/// How often an identifier is asked of a clock that has none to give: for a tenth of a second.
const ALLOCATION_TRIES: u32 = 1_000;
