// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The server side of a host: a record for each remote Client and local server, the server's queue,
//! and the server itself.

use std::collections::VecDeque;
use std::rc::Rc;

use vmtp_proto::client::Keep;
use vmtp_proto::peer::Peer;
use vmtp_proto::server::{
    Arrival, Event as What, Overheard, OverheardStep, Presence, Refusal, Remote, Retained,
    Sequence, Service, Source, State, Step, Unsent, SNAPSHOT_OCTETS,
};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{
    Code, Control, Entity, Header, Mcb, NotifyVmtpClient, NotifyVmtpServer, Transaction,
};

use super::manager::is_procedure;
use super::Host;
use crate::env::Env;
use crate::oracle::OpId;

mod step;
mod user;

/// Client and Server.
pub(super) type Key = (Entity, Entity);

/// A record with what the host keeps for it.
pub(super) struct Record {
    pub(super) remote: Remote,
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
    /// Which it was.
    forwarded_op: OpId,
    /// Groups of Requests whose Response leaves with a later one.
    batched: u8,
    /// A packet of the Request being received asked for acknowledgment.
    asked: bool,
    armed: Time,
    overheard: Overheard,
    sequence: Sequence,
}

impl Record {
    fn new(remote: Remote) -> Record {
        Record {
            remote,
            data: Vec::new(),
            mcb: Mcb::default(),
            queue: VecDeque::new(),
            segment: Rc::default(),
            retained: VecDeque::new(),
            forwarded_to: Peer::NONE,
            forwarded_op: 0,
            batched: 0,
            asked: false,
            armed: Time::NEVER,
            overheard: Overheard::NONE,
            sequence: Sequence::NONE,
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

    /// Whether what the same Client has with another server says something of a Request: not what came from another
    /// host, nor what no server was given.
    fn supersedes(&self, source: &Source) -> bool {
        self.remote.peer().is_same_host(&source.peer)
            && self.remote.state() != State::AwaitingRequest
    }

    /// What it passed on, if the record answers for that.
    pub(super) fn forwards(&self) -> Option<OpId> {
        (self.remote.state() == State::Forwarded).then_some(self.forwarded_op)
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
pub(super) struct Server {
    queue: VecDeque<Message>,
    running: Vec<(Message, u32)>,
    /// The Client that alone may go beyond the memory, until it occupies nothing.
    privileged: Option<Entity>,
    /// It moved away, and finishes what it had.
    moved: bool,
}

impl Server {
    /// Whether it moved to another host.
    pub(super) fn moved(&self) -> bool {
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

    /// Requests that it has not begun with are not executed: their Clients and Transactions.
    fn drop_waiting(&mut self) -> Vec<(Entity, Transaction)> {
        let (datagrams, waiting) = self.queue.drain(..).partition(|m| m.datagram);
        self.queue = datagrams;
        let of = |m: Message| (m.client, m.transaction);
        VecDeque::into_iter(waiting).map(of).collect()
    }

    /// It moves away: what it has is finished here.
    pub(super) fn leave(&mut self) {
        self.moved = true;
    }
}

impl Host {
    /// A Request packet arrives.
    pub(super) fn request(&mut self, env: &mut Env, header: &Header, data: &[u8], source: Source) {
        let direct = header.control.forward_count() == 0;
        if direct {
            self.cache
                .insert_within(header.client, source.peer, self.config.hosts);
        }
        if self.is_management(header) && is_procedure(header) {
            self.manage(env, header, &source);
            return;
        }
        let gap = header.control.gap();
        self.path(env, source.peer).asked_for_gap(gap);
        let local = self.endpoints.contains_key(&header.client);
        if local && !direct && !self.takes_forwarded(header) {
            return;
        }
        let server = header.server;
        if server.is_group() {
            if header.code.has(Code::CRE) && !self.is_coresident(header.coresident()) {
                return;
            }
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
                let notify = self.refusal(header, refusal, &source);
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
        if !self.supersede(env, header, server, &source) {
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
                let notify = self.refusal(header, refusal, &source);
                self.notify_client(
                    env,
                    notify,
                    header.control.forward_count() != 0,
                    source.peer,
                );
                return;
            }
            self.records
                .insert(key, Record::new(Remote::new(header, server, source.peer)));
        }
        let here = self.servers.get(&server);
        let idle = here.is_none_or(|s| s.running.len() < self.config.workers && s.queue.is_empty());
        let memory = self.has_memory(key);
        let service = Service {
            waiting: idle,
            memory,
            room: memory && self.has_place(key),
            probe: !self.probe_until.has_come(env.now),
        };
        let cx = self.context(env, source.peer);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let named = Peer::inet(client.address()).is_same_host(&source.peer);
        if record.remote.comes_from_elsewhere(header, &source) && !named {
            env.trace(self.number, || "   dropped: from elsewhere".to_string());
            return;
        }
        record.asked |= header.control.has(Control::APG);
        // The common case first, as a host does.
        let remote = &mut record.remote;
        let single = if self.config.numbers || !record.retained.is_empty() {
            None
        } else {
            remote.request_single(header, &source, &service, cx.now)
        };
        let mut step = match single {
            Some((arrival, received)) => Step {
                keep: Keep::Restart,
                received: Some(received),
                release: true,
                event: What::Request(arrival),
                ..Step::NOTHING
            },
            None => remote.request(header, &source, &service, &cx),
        };
        if step.notify_sender {
            let notify = step.notify.take();
            self.notify_client(env, notify, step.notify_remote, source.peer);
        }
        env.trace(self.number, || {
            let what = match step.event {
                What::Request(arrival) => format!("Request, queued: {}", arrival.queued),
                event => format!("{event:?}"),
            };
            format!("   {server} for T{:08x}: {what}", transaction.bits())
        });
        self.server_step(env, key, step, Some((header, data)));
    }

    /// Whether another Request fits the server's queue, and its memory.
    pub(crate) fn has_room(&mut self, key: Key) -> bool {
        self.has_memory(key) && self.has_place(key)
    }

    fn has_place(&self, key: Key) -> bool {
        let waits = self.records.get(&key).map_or(0, |r| r.queue.len());
        let queued = self.servers.get(&key.1).map_or(0, |s| s.queue.len());
        queued + waits < self.config.queue
    }

    /// Whether another packet of this Client may be kept for the server. Of what goes beyond its memory one Request is
    /// taken at a time, so that one larger than that can be received.
    fn has_memory(&mut self, (client, entity): Key) -> bool {
        if self.config.memory == usize::MAX {
            return true;
        }
        let used = |client: Entity, record: &Record| {
            let held = if record.remote.holds_packets() {
                record.data.len()
            } else {
                0
            };
            let waiting = record.queue.iter().map(|(_, message)| message.data.len());
            let Some(server) = self.servers.get(&entity) else {
                return 0;
            };
            let queued = server.queue.iter().filter(|m| m.client == client);
            held + waiting.sum::<usize>() + queued.map(|m| m.data.len()).sum::<usize>()
        };
        let of_all =
            |((c, s), record): (&Key, &Record)| if *s == entity { used(*c, record) } else { 0 };
        let occupied: usize = self.records.iter().map(of_all).sum();
        let holder = self.servers.get(&entity).and_then(|s| s.privileged);
        let holder = holder.filter(|c| {
            self.records
                .get(&(*c, entity))
                .is_some_and(|r| used(*c, r) != 0)
        });
        let receiving = self
            .records
            .get(&(client, entity))
            .is_some_and(|r| r.remote.is_receiving());
        let full = occupied >= self.config.memory;
        if let Some(server) = self.servers.get_mut(&entity) {
            server.privileged = holder.or((full && receiving).then_some(client));
            return !full || receiving && server.privileged == Some(client);
        }
        true
    }

    /// 2.3, 5.3: a new Request outside a run ends what its Client has at other servers of this host.
    /// False if the Client has gone on to a later one already.
    fn supersede(
        &mut self,
        env: &mut Env,
        header: &Header,
        server: Entity,
        source: &Source,
    ) -> bool {
        let client = header.client;
        let others: Vec<(Entity, i32)> = self
            .records
            .range((client, Entity::ZERO)..)
            .take_while(|((c, _), _)| *c == client)
            .filter(|((_, s), r)| *s != server && r.supersedes(source))
            .map(|((_, s), r)| (*s, header.transaction.since(r.remote.newest())))
            .collect();
        if others.iter().any(|(_, since)| *since < 0) {
            return false;
        }
        if header.control.has(Control::NSR) {
            return true;
        }
        for (other, _) in others {
            let cx = self.context(env, Peer::NONE);
            let key = (client, other);
            if let Some(record) = self.records.get_mut(&key) {
                let step = record.remote.superseded(header.transaction, &cx);
                self.server_step(env, key, step, None);
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
        let mut unproven = false;
        retained.retain_mut(|(kept, segment)| match kept.notified(remote, notify, &cx) {
            Ok(burst) => {
                bursts.extend(burst.map(|burst| (burst, Rc::clone(segment))));
                true
            }
            Err(Unsent::Unproven) => {
                unproven = true;
                true
            }
            Err(Unsent::Finished) => false,
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
        } else if unproven {
            let mut step = Step::NOTHING;
            record.remote.doubt(&mut step);
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

    /// A multicast Response arrives: servers that hold the same Request hear it (2.7).
    pub(super) fn overhear(&mut self, env: &mut Env, header: &Header) {
        let client = header.client;
        let keys: Vec<Key> = self
            .records
            .range((client, Entity::ZERO)..)
            .take_while(|((c, _), _)| *c == client)
            .map(|(key, _)| *key)
            .collect();
        let cx = self.context(env, Peer::NONE);
        for key in keys {
            if let Some(Record {
                remote, overheard, ..
            }) = self.records.get_mut(&key)
            {
                // Every other server wants them.
                let wanted = key.1.discriminator() % 2 == 0;
                match overheard.packet(remote, header, wanted, &cx) {
                    OverheardStep::Complete { segment_octets, .. } => {
                        env.counts.overheard += 1;
                        let op =
                            u64::from_be_bytes(header.user[..8].try_into().unwrap_or_default());
                        let case = env.oracle.cases.get(op as usize);
                        if case.is_some_and(|c| c.op.response.unwrap_or(0) < segment_octets) {
                            env.oracle.fail("a group Response is longer than it is");
                        }
                    }
                    OverheardStep::Part { .. } | OverheardStep::Drop(_) => {}
                }
            }
        }
    }

    /// The images of a server's records, which go with it to another host; what is in progress is
    /// finished here. Requests that nobody has begun with are taken as not received.
    pub fn written(&mut self, server: Entity) -> Vec<([u8; SNAPSHOT_OCTETS], Peer)> {
        let waiting = self.servers.get_mut(&server).map(Server::drop_waiting);
        for (client, transaction) in waiting.into_iter().flatten() {
            let record = self.records.get_mut(&(client, server));
            if let Some(record) = record.filter(|r| r.remote.transaction() == transaction) {
                record.remote.unreceive();
                record.queue.clear();
            }
        }
        let done = |remote: &Remote| match remote.state() {
            State::AwaitingRequest | State::Responded | State::ResponseDiscarded => true,
            State::Processing | State::Forwarded => false,
        };
        let records = self.records.iter();
        records
            .filter(|((_, s), record)| *s == server && done(&record.remote))
            .map(|(_, record)| (record.remote.snapshot(), record.remote.peer()))
            .collect()
    }

    /// A server came here with its records: what they know is not executed again.
    pub fn read(&mut self, env: &mut Env, images: &[([u8; SNAPSHOT_OCTETS], Peer)]) {
        for (image, peer) in images {
            let cx = self.context(env, *peer);
            let Some(remote) = Remote::restore(image, *peer, false, &cx) else {
                env.oracle.fail("a record cannot be read");
                return;
            };
            let key = (remote.client(), remote.server());
            if self.make_room(env) {
                self.records.insert(key, Record::new(remote));
                self.arm_record(env, key);
            }
        }
    }

    /// The Client of a record was probed.
    pub(super) fn client_probed(&mut self, env: &mut Env, key: Key, client: Presence) {
        let peer = self
            .records
            .get(&key)
            .map_or(Peer::NONE, |r| r.remote.peer());
        let cx = self.context(env, peer);
        let room = self.has_room(key);
        if let Some(record) = self.records.get_mut(&key) {
            let step = record.remote.probed(client, room, &cx);
            self.server_step(env, key, step, None);
        }
    }
}
