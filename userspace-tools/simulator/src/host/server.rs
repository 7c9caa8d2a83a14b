// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The server side of a host: a record for each remote Client and local server, the server's queue,
//! and the server itself.

use std::collections::VecDeque;
use std::rc::Rc;

use vmtp_proto::client::Keep;
use vmtp_proto::peer::Peer;
use vmtp_proto::server::{
    refuse, Arrival, Event as What, Finished, Forward, ForwardError, Refusal, Remote, Respond,
    RespondError, Retained, Service, Source, Step, To,
};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{
    Code, Control, Entity, Header, Mask, Mcb, NotifyVmtpClient, NotifyVmtpServer, ResponseCode,
    Transaction,
};

use super::manager::{is_procedure, Purpose};
use super::Host;
use crate::content;
use crate::env::{Env, Event, Timer};
use crate::oracle::{Op, OpId, Parent};
use crate::packet;

/// Client and Server.
pub(super) type Key = (Entity, Entity);

/// A record with what the host keeps for it.
pub(super) struct Record {
    remote: Remote,
    /// The Request being received.
    data: Vec<u8>,
    mcb: Mcb,
    /// Requests of the run that wait.
    queue: VecDeque<(Arrival, Message)>,
    /// The segment of the Response, or of the forwarded Request.
    segment: Rc<Vec<u8>>,
    retained: VecDeque<(Retained, Rc<Vec<u8>>)>,
    /// Where the Request was forwarded to.
    forwarded_to: Peer,
    /// Groups of Requests whose Response leaves with a later one.
    batched: u8,
    /// A packet of the Request being received asked for acknowledgment.
    asked: bool,
    armed: Time,
}

impl Record {
    fn new(header: &Header, server: Entity, peer: Peer) -> Record {
        Record {
            remote: Remote::new(header, server, peer),
            data: Vec::new(),
            mcb: Mcb::default(),
            queue: VecDeque::new(),
            segment: Rc::default(),
            retained: VecDeque::new(),
            forwarded_to: Peer::NONE,
            batched: 0,
            asked: false,
            armed: Time::NEVER,
        }
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "{:?} T{:08x}, newest T{:08x}, receiving {}, probing {}, queue {}, retained {}",
            self.remote.state(),
            self.remote.transaction().bits(),
            self.remote.newest().bits(),
            self.remote.is_receiving(),
            self.remote.is_probing(),
            self.queue.len(),
            self.retained.len()
        )
    }

    pub(super) fn memory(&self) -> usize {
        use std::mem::size_of;
        size_of::<Record>()
            + self.queue.capacity() * size_of::<(Arrival, Message)>()
            + self.retained.capacity() * size_of::<(Retained, Rc<Vec<u8>>)>()
    }
}

/// A complete Request.
#[derive(Clone, Debug)]
struct Message {
    client: Entity,
    transaction: Transaction,
    mcb: Mcb,
    data: Rc<Vec<u8>>,
    op: OpId,
    datagram: bool,
}

/// An entity that serves.
#[derive(Debug, Default)]
pub struct Server {
    queue: VecDeque<Message>,
    running: Vec<(Message, u32)>,
    /// It moved away, and finishes what it had.
    moved: bool,
}

impl Server {
    /// Whether it moved to another host.
    pub fn moved(&self) -> bool {
        self.moved
    }

    pub(super) fn describe(&self) -> String {
        let waiting = self.queue.iter().map(|m| m.op);
        let running = self.running.iter().map(|(m, _)| m.op);
        format!(
            "runs {:?}, {:?} wait",
            running.collect::<Vec<_>>(),
            waiting.collect::<Vec<_>>()
        )
    }

    /// It moves away: what it has is finished here.
    pub fn leave(&mut self) {
        self.moved = true;
    }
}

impl Host {
    /// A Request packet arrives.
    pub(super) fn request(&mut self, env: &mut Env, header: &Header, data: &[u8], source: Source) {
        let direct = header.control.forward_count() == 0;
        if direct {
            self.cache.insert(header.client, source.peer);
        }
        if self.is_management(header) && is_procedure(header) {
            self.manage(env, header, &source);
            return;
        }
        let gap = header.control.gap();
        self.path(env, source.peer).asked_for_gap(gap);
        let local = self.endpoints.contains_key(&header.client);
        if local && !direct && !self.is_outstanding(header.client, header.transaction) {
            return;
        }
        let server = header.server;
        if server.is_group() {
            let members = self.groups.get(&server).cloned().unwrap_or_default();
            for member in members {
                if member != header.client && self.servers.contains_key(&member) {
                    self.request_for(env, header, data, source, member);
                }
            }
            return;
        }
        let refusal = match self.servers.get(&server) {
            Some(here) if here.moved => {
                let key = (header.client, server);
                let known = self.records.get(&key).is_some_and(|record| {
                    !record
                        .remote
                        .transaction()
                        .is_older_than(header.transaction)
                });
                (!known).then_some(Refusal::EntityMigrated)
            }
            Some(_) => None,
            None => Some(Refusal::NonexistentEntity),
        };
        match refusal {
            None => self.request_for(env, header, data, source, server),
            Some(refusal) => {
                let notify = refuse(header, refusal, &source);
                self.notify_client(env, notify, !direct, source.peer);
            }
        }
    }

    /// A Request packet for one server of this host.
    fn request_for(
        &mut self,
        env: &mut Env,
        header: &Header,
        data: &[u8],
        source: Source,
        server: Entity,
    ) {
        let client = header.client;
        let key = (client, server);
        let transaction = header.transaction;
        if !self.supersede(env, header, server) {
            env.counts.out_of_sequence += 1;
            return;
        }
        if self.repeat_retained(env, header, key) {
            return;
        }
        if !self.records.contains_key(&key) {
            let refusal = if !Remote::may_start(header) {
                Some(Refusal::NoRunRecord)
            } else if !self.make_room(env) {
                Some(Refusal::Busy)
            } else {
                None
            };
            if let Some(refusal) = refusal {
                let notify = refuse(header, refusal, &source);
                self.notify_client(
                    env,
                    notify,
                    header.control.forward_count() != 0,
                    source.peer,
                );
                return;
            }
            self.records
                .insert(key, Record::new(header, server, source.peer));
        }
        let waits: usize = self
            .records
            .range((client, Entity::ZERO)..)
            .take_while(|((c, _), _)| *c == client)
            .filter(|((_, s), _)| *s == server)
            .map(|(_, record)| record.queue.len())
            .sum();
        let here = self.servers.get(&server);
        let busy = here.map_or(0, |s| s.running.len());
        let queued = here.map_or(0, |s| s.queue.len());
        let service = Service {
            waiting: busy < self.config.workers && queued == 0,
            room: queued + waits < self.config.queue,
            probe: !self.probe_until.has_come(env.now),
        };
        let cx = self.context(env, source.peer);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        record.asked |= header.control.has(Control::APG);
        let step = record.remote.request(header, &source, &service, &cx);
        env.trace(self.number, || {
            let what = match step.event {
                What::Request(arrival) => format!("Request, queued: {}", arrival.queued),
                event => format!("{event:?}"),
            };
            format!("   {server} for T{:08x}: {what}", transaction.bits())
        });
        self.server_step(env, key, step, Some((header, data)));
    }

    /// 2.3, 5.3: a new Request outside a run ends what its Client has at other servers of this host.
    /// False if the Client has gone on to a later one already.
    fn supersede(&mut self, env: &mut Env, header: &Header, server: Entity) -> bool {
        let client = header.client;
        let others: Vec<(Entity, i32)> = self
            .records
            .range((client, Entity::ZERO)..)
            .take_while(|((c, _), _)| *c == client)
            .filter(|((_, s), _)| *s != server)
            .map(|((_, s), r)| (*s, header.transaction.since(r.remote.newest())))
            .collect();
        if others.iter().any(|(_, since)| *since < 0) {
            return false;
        }
        if header.control.has(Control::NSR) {
            return true;
        }
        for (other, since) in others {
            if since > 0 {
                let cx = self.context(env, Peer::NONE);
                let key = (client, other);
                if let Some(record) = self.records.get_mut(&key) {
                    let step = record.remote.superseded(header.transaction, &cx);
                    self.server_step(env, key, step, None);
                }
            }
        }
        true
    }

    /// A repeated Request of the run whose Response is retained: the Response goes out again.
    fn repeat_retained(&mut self, env: &mut Env, header: &Header, key: Key) -> bool {
        let Some(record) = self.records.get(&key) else {
            return false;
        };
        let about = |(r, _): &(Retained, _)| {
            r.transaction().since(header.transaction) >= 0 && r.is_about(header.transaction)
        };
        let Some(index) = record.retained.iter().position(about) else {
            return false;
        };
        env.counts.duplicates += 1;
        let peer = record.remote.peer();
        let cx = self.context(env, peer);
        if let Some(Record {
            remote, retained, ..
        }) = self.records.get_mut(&key)
        {
            if let Some((kept, segment)) = retained.get_mut(index) {
                let segment = Rc::clone(segment);
                if let Some(burst) = kept.repeat(remote, header, &cx) {
                    self.send(env, burst, &segment, peer);
                }
            }
        }
        true
    }

    /// Room for another record; one that only filters old duplicates may go.
    fn make_room(&mut self, env: &mut Env) -> bool {
        if self.records.len() < self.config.records {
            return true;
        }
        let idle = self.records.iter().find(|(_, r)| r.remote.is_idle(env.now));
        let Some(key) = idle.map(|(key, _)| *key) else {
            return false;
        };
        self.records.remove(&key);
        env.counts.scavenged += 1;
        // Its duplicates are not known any more: unknown Clients are probed for a while.
        let until = env.now.plus(self.config.policy.record_lifetime);
        if self.probe_until < until {
            self.probe_until = until;
        }
        true
    }

    /// Carries out a step of a record, its members in their order.
    fn server_step(
        &mut self,
        env: &mut Env,
        key: Key,
        step: Step,
        packet: Option<(&Header, &[u8])>,
    ) {
        let (client, server) = key;
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        if step.aborted {
            env.counts.aborted += 1;
            record.queue.clear();
            if let Some(server) = self.servers.get_mut(&server) {
                server
                    .queue
                    .retain(|message| message.client != client || message.datagram);
            }
        }
        let peer = record.remote.peer();
        if let Some(burst) = step.burst {
            let segment = Rc::clone(&record.segment);
            let to = match step.to {
                To::Peer => peer,
                To::ForwardServer => record.forwarded_to,
                To::Client => self.guess(client),
            };
            if to.is_known() {
                self.send(env, burst, &segment, to);
            }
        }
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        if let Some(retained) = step.retain {
            let segment = std::mem::take(&mut record.segment);
            record.retained.push_back((retained, segment));
            let limit = usize::from(self.config.policy.run_responses);
            while record.retained.len() > limit {
                record.retained.pop_front();
            }
        }
        if step.release_retained {
            record.retained.clear();
            record.batched = 0;
        }
        match (step.keep, packet) {
            (Keep::Keep | Keep::Restart, Some((header, data))) => {
                if step.keep == Keep::Restart {
                    record.data = Vec::new();
                }
                record.mcb = header.mcb();
                packet::place(header, data, step.group_offset, &mut record.data);
            }
            (Keep::Restart, None) => record.data = Vec::new(),
            (Keep::Drop(_), _) | (Keep::Keep, None) => {}
        }
        if step.release {
            record.segment = Rc::default();
        }
        if let (Some(notify), Some(_)) = (&step.notify, packet) {
            // What brings something new is acknowledged only if it asks for that (2.13).
            let new = !matches!(step.keep, Keep::Drop(_));
            let ok = notify.code.bits() == ResponseCode::Ok.bits();
            if ok && new && !record.asked {
                let t = notify.transaction.bits();
                env.oracle
                    .fail(format!("T{t:08x} acknowledged although nobody asked"));
            }
        }
        if let (Keep::Drop(reason), Some(_)) = (step.keep, packet) {
            self.dropped(env, reason);
        }
        self.notify_client(env, step.notify, step.notify_remote, peer);
        self.learn(
            env,
            peer,
            step.round_trip,
            step.interpacket,
            step.sent,
            step.received,
        );
        match step.event {
            What::None => {}
            What::Request(arrival) => self.arrived(env, key, arrival),
            What::Probe => {
                let forwarded = self
                    .records
                    .get(&key)
                    .is_some_and(|r| r.remote.forward_count() != 0);
                let direct = packet.is_none_or(|(h, _)| h.control.forward_count() == 0);
                let at = if forwarded || !direct {
                    self.guess(client)
                } else {
                    peer
                };
                self.search(env, client, at, Purpose::Client(client, server));
            }
            What::Next => self.next_of_run(env, key),
            What::Ended => {
                env.trace(self.number, || format!("   {server}: orphan of {client}"));
            }
            What::Expired => {
                self.records.remove(&key);
            }
        }
        self.arm_record(env, key);
    }

    fn arm_record(&mut self, env: &mut Env, key: Key) {
        let (number, incarnation) = (self.number, self.incarnation);
        let policy = self.config.policy;
        if let Some(record) = self.records.get_mut(&key) {
            let of = Timer::Record(key.0, key.1);
            let deadline = record.remote.deadline();
            env.arm(number, incarnation, of, deadline, &mut record.armed);
            if record.queue.len() > usize::from(policy.run_queue) {
                let length = record.queue.len();
                env.oracle.fail(format!("{length} Requests of a run wait"));
            }
        }
    }

    /// A record's deadline may have passed.
    pub(super) fn record_timer(&mut self, env: &mut Env, key: Key) {
        let Some(peer) = self.records.get(&key).map(|r| r.remote.peer()) else {
            return;
        };
        let cx = self.context(env, peer);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        record.armed = Time::NEVER;
        if record.remote.deadline().has_come(env.now) {
            let step = record.remote.timeout(&cx);
            self.server_step(env, key, step, None);
        } else {
            self.arm_record(env, key);
        }
    }

    /// A Request is complete.
    fn arrived(&mut self, env: &mut Env, key: Key, arrival: Arrival) {
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        record.asked = false;
        let mut data = std::mem::take(&mut record.data);
        data.resize(arrival.segment_octets as usize, 0);
        let mut mcb = record.mcb;
        if let Some(mask) = arrival.message_delivery {
            mcb.message_delivery = mask.bits();
        }
        let Some(op) = env.oracle.of_request(&mcb) else {
            env.oracle
                .fail(format!("{} has a Request of nobody", key.1));
            return;
        };
        let message = Message {
            client: key.0,
            transaction: arrival.transaction,
            mcb,
            data: Rc::new(data),
            op,
            datagram: arrival.datagram,
        };
        if arrival.queued {
            record.queue.push_back((arrival, message));
        } else {
            self.hand(env, key, message);
        }
    }

    /// The next Request of the run.
    fn next_of_run(&mut self, env: &mut Env, key: Key) {
        let Some(peer) = self.records.get(&key).map(|r| r.remote.peer()) else {
            return;
        };
        let cx = self.context(env, peer);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let Some((arrival, message)) = record.queue.pop_front() else {
            env.oracle.fail("the next Request of a run is not there");
            return;
        };
        let step = record.remote.begin(&arrival, &cx);
        self.server_step(env, key, step, None);
        self.hand(env, key, message);
    }

    /// A Request goes to the server's queue.
    fn hand(&mut self, env: &mut Env, key: Key, message: Message) {
        let datagram = message.datagram;
        if let Some(server) = self.servers.get_mut(&key.1) {
            server.queue.push_back(message);
        }
        if datagram {
            let cx = self.context(env, Peer::NONE);
            if let Some(record) = self.records.get_mut(&key) {
                let step = record.remote.is_datagram(&cx);
                self.server_step(env, key, step, None);
            }
        }
        self.work(env, key.1);
    }

    /// The server takes what waits for it.
    fn work(&mut self, env: &mut Env, entity: Entity) {
        let workers = self.config.workers;
        let place = (self.number, self.incarnation);
        while let Some(server) = self.servers.get_mut(&entity) {
            if server.running.len() >= workers {
                return;
            }
            let Some(message) = server.queue.pop_front() else {
                return;
            };
            let blocks = Mask::from_bits(message.mcb.message_delivery);
            let turn = env.oracle.executed(
                message.op,
                entity,
                place,
                &message.data,
                blocks,
                env.now,
                &mut env.counts,
            );
            env.trace(self.number, || {
                format!("   {entity} executes {}", message.op)
            });
            let service = env.oracle.cases[message.op].op.service;
            let event = Event::Served {
                host: self.number,
                incarnation: self.incarnation,
                server: entity,
                client: message.client,
                transaction: message.transaction,
            };
            server.running.push((message, turn));
            env.after(service, event);
        }
    }

    /// A server is done with a Request.
    pub fn served(
        &mut self,
        env: &mut Env,
        entity: Entity,
        client: Entity,
        transaction: Transaction,
    ) {
        let Some(server) = self.servers.get_mut(&entity) else {
            return;
        };
        let index = server
            .running
            .iter()
            .position(|(m, _)| m.client == client && m.transaction == transaction);
        let Some(index) = index else {
            return;
        };
        let (message, turn) = server.running.remove(index);
        if !message.datagram {
            self.answer(env, entity, &message, turn);
        }
        self.work(env, entity);
    }

    fn answer(&mut self, env: &mut Env, entity: Entity, message: &Message, turn: u32) {
        let key = (message.client, entity);
        let op = env.oracle.cases[message.op].op.clone();
        if op.wants.abandoned {
            let cx = self.context(env, Peer::NONE);
            if let Some(record) = self.records.get_mut(&key) {
                if let Ok(step) = record.remote.abandon(message.transaction, &cx) {
                    self.server_step(env, key, step, None);
                }
            }
            return;
        }
        let place = self
            .records
            .get(&key)
            .map_or(0, |record| usize::from(record.remote.forward_count()));
        match op.forward.get(place) {
            Some(next) => {
                let rest = op.forward.get(place + 1..).unwrap_or(&[]).to_vec();
                self.forward(env, entity, message, *next, rest);
            }
            None => self.reply(
                env,
                entity,
                message.client,
                message.transaction,
                message.op,
                turn,
            ),
        }
    }

    /// The server answers.
    fn reply(
        &mut self,
        env: &mut Env,
        entity: Entity,
        client: Entity,
        transaction: Transaction,
        op: OpId,
        turn: u32,
    ) {
        let key = (client, entity);
        let wanted = env.oracle.cases[op].op.clone();
        let wants = wanted.wants;
        let turn = if wants.varies { turn } else { 0 };
        let mut mcb = Mcb::default();
        mcb.user[..8].copy_from_slice(&(op as u64).to_be_bytes());
        mcb.user[8..16].copy_from_slice(&entity.bits().to_be_bytes());
        mcb.user[16..20].copy_from_slice(&turn.to_be_bytes());
        let mut code = 0;
        let mut segment = Vec::new();
        if let Some(octets) = wanted.response {
            code |= Code::SDA;
            mcb.segment_size = octets;
            segment = content::segment(content::of_response(op as u64, entity, turn), octets);
            if wants.lossy_response {
                code |= Code::MDM;
                mcb.message_delivery = Mask::for_octets(octets).bits();
            }
        }
        for (wanted, flag) in [
            (wants.idempotent, Code::DGM),
            (wants.conditional_response, Code::CMD),
        ] {
            code |= if wanted { flag } else { 0 };
        }
        mcb.code = Code::new(code, 0);
        let mut flags = 0;
        for (wanted, flag) in [
            (wants.acknowledge_response, Control::APG),
            (wants.lossy_response, Control::NRT),
        ] {
            flags |= if wanted { flag } else { 0 };
        }
        let peer = self
            .records
            .get(&key)
            .map_or(Peer::NONE, |r| r.remote.peer());
        let cx = self.context(env, peer);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let batch = wants.batched && !record.queue.is_empty() && record.batched < 200;
        let earlier = record.batched;
        let respond = if batch {
            Respond {
                mcb: Mcb::refusal(ResponseCode::ResponseDiscarded),
                flags: 0,
                hco: false,
                priority: None,
                earlier: 0,
            }
        } else {
            Respond {
                mcb,
                flags,
                hco: wants.header_checksum,
                priority: None,
                earlier,
            }
        };
        match record.remote.respond(transaction, &respond, &cx) {
            Ok(step) => {
                if batch {
                    record.batched += 1;
                } else {
                    record.batched = 0;
                    record.segment = Rc::new(segment);
                }
                env.trace(self.number, || {
                    format!("   {entity} answers {op} (later: {batch})")
                });
                self.server_step(env, key, step, None);
            }
            Err(RespondError::NoRequest) => {
                env.trace(self.number, || format!("   {entity} answers {op} too late"));
            }
            Err(RespondError::TooLarge) => {
                env.oracle
                    .fail(format!("the Response to {op} is too large"));
            }
        }
    }

    /// The server passes a Request on.
    fn forward(
        &mut self,
        env: &mut Env,
        entity: Entity,
        message: &Message,
        next: Entity,
        rest: Vec<Entity>,
    ) {
        let key = (message.client, entity);
        let to = self.guess(next);
        let cx = self.context(env, to);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let forward = Forward {
            server: next,
            mcb: message.mcb,
            flags: 0,
            hco: false,
        };
        match record.remote.forward(message.transaction, &forward, &cx) {
            Ok(step) => {
                env.counts.forwarded += 1;
                record.segment = Rc::clone(&message.data);
                record.forwarded_to = to;
                self.server_step(env, key, step, None);
            }
            Err(ForwardError::NoRequest) => {}
            Err(ForwardError::Nested) if !self.endpoints.contains_key(&entity) => {
                // It moved to another host, and calls from there.
                if let Ok(step) = record.remote.abandon(message.transaction, &cx) {
                    self.server_step(env, key, step, None);
                }
            }
            Err(ForwardError::Nested) => {
                env.counts.nested += 1;
                let op = env.oracle.cases[message.op].op.clone();
                let nested = env.oracle.add(Op {
                    server: next,
                    forward: rest,
                    wants: crate::oracle::Wants {
                        large: op.response.is_some_and(|octets| octets > 16_384),
                        ..Default::default()
                    },
                    enough: 1,
                    parent: Some(Parent {
                        client: message.client,
                        transaction: message.transaction,
                        op: message.op,
                    }),
                    ..op
                });
                self.nested_call(env, entity, nested);
            }
        }
    }

    /// A nested call has its Response, and so has the Request behind it.
    pub(super) fn nested_done(
        &mut self,
        env: &mut Env,
        entity: Entity,
        parent: Parent,
        code: Option<ResponseCode>,
    ) {
        let Parent {
            client,
            transaction,
            op,
        } = parent;
        if code.is_none() {
            self.reply(env, entity, client, transaction, op, 0);
        } else {
            let cx = self.context(env, Peer::NONE);
            if let Some(record) = self.records.get_mut(&(client, entity)) {
                if let Ok(step) = record.remote.abandon(transaction, &cx) {
                    self.server_step(env, (client, entity), step, None);
                }
            }
        }
    }

    /// NotifyVmtpServer for a server of this host arrives.
    pub(super) fn server_notified(
        &mut self,
        env: &mut Env,
        notify: &NotifyVmtpServer,
        source: &Source,
    ) {
        let key = (notify.client, notify.server);
        let cx = self.context(env, source.peer);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let peer = record.remote.peer();
        let Record {
            remote, retained, ..
        } = record;
        let mut bursts = Vec::new();
        retained.retain_mut(|(kept, segment)| match kept.notified(remote, notify, &cx) {
            Ok(burst) => {
                bursts.extend(burst.map(|burst| (burst, Rc::clone(segment))));
                true
            }
            Err(Finished) => false,
        });
        for (burst, segment) in bursts {
            self.send(env, burst, &segment, peer);
        }
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        if record.remote.is_notified_by(notify) {
            let step = record.remote.notified(notify, &cx);
            self.server_step(env, key, step, None);
        }
    }

    /// NotifyRemoteVmtpClient about a Request that this host forwarded. False if it is about none.
    pub(super) fn forward_notified(&mut self, env: &mut Env, notify: &NotifyVmtpClient) -> bool {
        let client = notify.client;
        let forwarded = self
            .records
            .range((client, Entity::ZERO)..)
            .take_while(|((c, _), _)| *c == client)
            .find(|(_, r)| r.remote.is_forward_notified_by(notify));
        let Some(key) = forwarded.map(|(key, _)| *key) else {
            return false;
        };
        let to = self
            .records
            .get(&key)
            .map_or(Peer::NONE, |r| r.forwarded_to);
        let cx = self.context(env, to);
        if let Some(record) = self.records.get_mut(&key) {
            let step = record.remote.forward_notified(notify, &cx);
            self.server_step(env, key, step, None);
        }
        true
    }

    /// The Client of a record was probed.
    pub(super) fn client_probed(&mut self, env: &mut Env, key: Key, current: Option<Transaction>) {
        let peer = self
            .records
            .get(&key)
            .map_or(Peer::NONE, |r| r.remote.peer());
        let cx = self.context(env, peer);
        if let Some(record) = self.records.get_mut(&key) {
            let step = record.remote.probed(current, &cx);
            self.server_step(env, key, step, None);
        }
    }
}
