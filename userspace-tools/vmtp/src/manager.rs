// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The management procedures (III) as calls: what a host's manager tells of nodes, entities and
//! groups, and what it changes.
//!
//! A [`Manager`] asks as the entity of its client: what it may change is what that entity's user
//! may. `CREntity` routes each call (2.10): 0 is this host's own manager, an entity its host's, a
//! group all that have members of it.

use std::time::Duration;

use vmtp_proto::wire::{
    AddToGroup, CreateEntity, CreateEntityResults, CreateGroup, DeleteEntity, DomainList,
    EntityDescriptor, GetRequestForwarder, GetRequestForwarderResults, GroupPermissions,
    GroupRecord, Mcb as Block, ModifyService, ModifyServiceResults, NoResults, Parameters,
    ProbeEntityBlock, ProbeEntityBlockResults, QueryEntity, QueryGroup, QueryVmtpNode,
    QueryVmtpNodeResults, RemoveFromGroup, Results, ServiceFlags, SignalEntity, ThreadRecord,
};

use crate::{Client, Code, Entity, Error, Host, Request, Response, Result};

/// How long the answers of several managers are waited for, once the first has come.
const OTHERS: Duration = Duration::from_millis(300);

/// Calls managers as the entity of a client.
#[derive(Debug)]
pub struct Manager<'a> {
    client: &'a Client,
    host: Host,
}

/// What QueryVMTPNode tells of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it is.
    pub host: Host,
    /// Its manager.
    pub manager: Entity,
    /// Octets of the largest packet that it handles.
    pub mtu: u32,
    /// It handles streamed Requests.
    pub handles_streams: bool,
    /// It can issue streamed Requests.
    pub issues_streams: bool,
    /// It handles secure Requests.
    pub handles_security: bool,
    /// It can issue secure Requests.
    pub issues_security: bool,
    /// Its primary authentication domain.
    pub auth_domain: u32,
    /// The entity domains it is in.
    pub domains: Vec<u32>,
    /// The authentication domains it is in.
    pub auth_domains: Vec<u32>,
}

impl<'a> Manager<'a> {
    /// Asks as `client`.
    pub fn new(client: &'a Client) -> Manager<'a> {
        Manager {
            client,
            host: Host::UNKNOWN,
        }
    }

    /// Asks the manager of this host, whatever the entities say.
    pub fn at(mut self, host: Host) -> Manager<'a> {
        self.host = host;
        self
    }

    fn request<'b>(&self, block: &Block, segment: &'b [u8]) -> Request<'b> {
        let word = |at: usize| {
            let octets = block
                .user
                .get(at..)
                .and_then(|rest| rest.first_chunk::<4>());
            octets.map_or(0, |octets| u32::from_be_bytes(*octets))
        };
        let request = Request::new(block.code.bits())
            .segment(segment)
            .user_words([word(8), word(12), word(16)])
            .last_words(block.message_delivery, block.segment_size)
            .host(self.host);
        request.coresident(block.coresident())
    }

    fn call(&self, block: &Block, segment: &[u8]) -> Result<Response> {
        self.client
            .call(Entity::MANAGER_GROUP, &self.request(block, segment))
    }

    fn results<R: Results>(response: &Response) -> Result<R> {
        R::decode(&block(response)).map_err(|_| Error::Failed(Box::new(response.clone())))
    }

    fn done(response: &Response) -> Result<()> {
        Self::results::<NoResults>(response).map(|_| ())
    }

    /// QueryVMTPNode: the node of an entity, or this one for [`Entity::ZERO`].
    pub fn node(&self, entity: Entity) -> Result<Node> {
        let response = self.call(&QueryVmtpNode { entity }.encode(), &[])?;
        node(&response)
    }

    /// The same of every node that answers within `time`. What is none of such an answer is left out; if
    /// nothing is left it fails as the first of them, or as nobody's answer.
    pub fn nodes(&self, time: Duration) -> Result<Vec<Node>> {
        let mut block = QueryVmtpNode {
            entity: Entity::ZERO,
        }
        .encode();
        block.code = block.code.without(vmtp_proto::wire::Code::CRE);
        let request = self.request_to_all(&block);
        self.client.start(Entity::MANAGER_GROUP, &request)?;
        told(&self.collect(time)?)
    }

    fn request_to_all(&self, block: &Block) -> Request<'static> {
        Request::new(block.code.bits())
            .last_words(block.message_delivery, block.segment_size)
            .multiple_responses()
            .host(self.host)
    }

    /// The Responses that come within `time`, and a little longer for others of the first.
    fn collect(&self, time: Duration) -> Result<Vec<Response>> {
        let mut responses = Vec::new();
        let end = std::time::Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            match self.client.next_response(Some(left)) {
                Ok(Some(response)) => responses.push(response),
                Ok(None) => break,
                // Nobody answers any more, or a manager refuses.
                Err(Error::Failed(response)) if response.server() == Entity::MANAGER_GROUP => break,
                Err(Error::Failed(response)) => responses.push(*response),
                Err(error) => return Err(error),
            }
        }
        self.client.abort()?;
        Ok(responses)
    }

    /// CreateEntity: a new entity on the host of `beside`, or on this one for [`Entity::ZERO`].
    pub fn create_entity(&self, beside: Entity) -> Result<Entity> {
        let response = self.call(&CreateEntity { entity: beside }.encode(), &[])?;
        Self::results::<CreateEntityResults>(&response).map(|results| results.entity)
    }

    /// DeleteEntity: the entity is no more; of a group, on a best effort, its members are none.
    pub fn delete_entity(&self, entity: Entity) -> Result<()> {
        Self::done(&self.call(&DeleteEntity { entity }.encode(), &[])?)
    }

    /// QueryEntity: what an entity is. `None` if its host tells less of it.
    pub fn describe_entity(&self, entity: Entity) -> Result<Option<EntityDescriptor>> {
        let query = QueryEntity {
            entity,
            reserved: [0; 16],
            segment_size: 48,
        };
        let response = self.call(&query.encode(), &[])?;
        Ok(EntityDescriptor::from_octets(response.segment()))
    }

    /// SignalEntity: a signal to the process of an entity.
    pub fn signal_entity(&self, entity: Entity, signal: u32) -> Result<()> {
        Self::done(&self.call(&SignalEntity { entity, signal }.encode(), &[])?)
    }

    /// CreateGroup: a group with its first member, managed by this client's entity.
    pub fn create_group(
        &self,
        group: Entity,
        member: Entity,
        permissions: GroupPermissions,
    ) -> Result<()> {
        let request = CreateGroup {
            coresident: Entity::ZERO,
            group,
            entity: member,
            permissions,
        };
        Self::done(&self.call(&request.encode(), &[])?)
    }

    /// AddToGroup, by this host's manager.
    pub fn add_to_group(
        &self,
        group: Entity,
        member: Entity,
        permissions: GroupPermissions,
    ) -> Result<()> {
        let request = AddToGroup {
            coresident: Entity::ZERO,
            group,
            entity: member,
            permissions,
        };
        Self::done(&self.call(&request.encode(), &[])?)
    }

    /// RemoveFromGroup, by this host's manager.
    pub fn remove_from_group(&self, group: Entity, member: Entity) -> Result<()> {
        let request = RemoveFromGroup {
            coresident: Entity::ZERO,
            group,
            entity: member,
        };
        Self::done(&self.call(&request.encode(), &[])?)
    }

    /// QueryGroup: the members, host by host, as far as they are told within `time`.
    pub fn members(&self, group: Entity, time: Duration) -> Result<Vec<(Host, Vec<Entity>)>> {
        let block = QueryGroup { entity: group }.encode();
        let request = self.request(&block, &[]).multiple_responses();
        self.client.start(Entity::MANAGER_GROUP, &request)?;
        let mut members = Vec::new();
        for response in self.collect(time.max(OTHERS))? {
            if let Some(record) = GroupRecord::parse(response.segment()) {
                members.push((response.host(), record.members().collect()));
            }
        }
        members.sort_by_key(|(host, _)| host.address());
        members.dedup();
        Ok(members)
    }

    /// ModifyService: how an entity takes its Requests. The count that it has then.
    pub fn modify_service(&self, entity: Entity, flags: ServiceFlags, count: u32) -> Result<u32> {
        let request = ModifyService {
            entity,
            flags,
            count,
            program_counter: 0,
        };
        let fewer = flags.contains(ServiceFlags::INCREMENTAL) && (count as i32) < 0;
        let threads = if flags.contains(ServiceFlags::THREAD_SERVICE) && !fewer {
            count as usize
        } else {
            0
        };
        // The threads are the process's own: there is nothing to say of them.
        let list = vec![0; threads * <ThreadRecord as vmtp_proto::wire::Record>::OCTETS];
        let block = if list.is_empty() {
            request.encode()
        } else {
            request.encode_with_segment(u32::try_from(list.len()).unwrap_or(u32::MAX))
        };
        let response = self.call(&block, &list)?;
        Self::results::<ModifyServiceResults>(&response).map(|results| results.count)
    }

    /// GetRequestForwarder: who passed the Request of `client` on, and for which user; asked of the
    /// host the Request came from ([`Manager::at`]).
    pub fn forwarder(&self, client: Entity) -> Result<(Entity, u64)> {
        let request = GetRequestForwarder {
            coresident: Entity::ZERO,
            entity: client,
        };
        let response = self.call(&request.encode(), &[])?;
        Self::results::<GetRequestForwarderResults>(&response)
            .map(|results| (results.entity, results.principal))
    }

    /// ProbeEntityBlock: the host that has, or lately had, one of the 256 identifiers that differ
    /// from `entity` in the low 8 bits. `None` if nobody answers within `time`.
    pub fn block_owner(&self, entity: Entity, time: Duration) -> Result<Option<Host>> {
        let block = ProbeEntityBlock { entity }.encode();
        self.client
            .start(Entity::MANAGER_GROUP, &self.request(&block, &[]))?;
        for response in self.collect(time)? {
            let results = Self::results::<ProbeEntityBlockResults>(&response);
            // III: an answer about another block is none.
            if results.is_ok_and(|results| results.entity == entity) {
                return Ok(Some(response.host()));
            }
        }
        Ok(None)
    }
}

/// The words of a Response in the order of the packet.
fn block(response: &Response) -> Block {
    let mcb = response.mcb();
    let mut block = Block {
        code: vmtp_proto::wire::Code::from_bits(mcb.code_word()),
        message_delivery: mcb.msg_delivery(),
        segment_size: mcb.segment_size(),
        ..Block::default()
    };
    block.user = mcb.user_octets();
    block
}

/// The nodes that have told of themselves.
fn told(responses: &[Response]) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut refused = None;
    for response in responses {
        match node(response) {
            Ok(node) => nodes.push(node),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    if nodes.is_empty() {
        return Err(refused.unwrap_or_else(nobody));
    }
    Ok(nodes)
}

/// What a Client is told when nobody answers.
fn nobody() -> Error {
    let mcb = crate::sys::vmtp_mcb {
        code: Code::RETRANS_TIMEOUT.bits(),
        server: Entity::MANAGER_GROUP.bits(),
        ..Default::default()
    };
    let received = crate::Received {
        mcb: mcb.into(),
        ..Default::default()
    };
    Error::Failed(Box::new(Response::new(received, Vec::new())))
}

fn node(response: &Response) -> Result<Node> {
    let results = Manager::results::<QueryVmtpNodeResults>(response)?;
    let flags = results.flags.bits();
    let list = DomainList::parse(response.segment(), results.domains, results.auth_domains);
    Ok(Node {
        host: response.host(),
        manager: response.server(),
        mtu: results.mtu,
        handles_streams: flags & 1 != 0,
        issues_streams: flags & 2 != 0,
        handles_security: flags & 4 != 0,
        issues_security: flags & 8 != 0,
        auth_domain: results.auth_domain,
        domains: list
            .as_ref()
            .map(|list| list.domains().collect())
            .unwrap_or_default(),
        auth_domains: list
            .map(|list| list.auth_domains().collect())
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(code: u32) -> Response {
        let mcb = crate::sys::vmtp_mcb {
            code,
            ..Default::default()
        };
        let received = crate::Received {
            mcb: mcb.into(),
            ..Default::default()
        };
        Response::new(received, Vec::new())
    }

    #[test]
    fn a_node_that_refuses_hides_no_other_and_no_node_is_a_failure() {
        let (good, busy) = (response(0), response(Code::BUSY.bits()));
        let code = |responses: &[Response]| told(responses).map_err(|error| error.code());
        assert_eq!(code(&[busy.clone(), good]).map(|nodes| nodes.len()), Ok(1));
        assert_eq!(code(&[busy]), Err(Some(Code::BUSY)));
        assert_eq!(code(&[]), Err(Some(Code::RETRANS_TIMEOUT)));
    }
}
