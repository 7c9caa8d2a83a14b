// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A host over the protocol: the tables, and what is done for each packet, timer and user.
//!
//! It is the reference for the kernel module's host. What the protocol leaves to the host is here:
//! which record an event belongs to, in which order the members of a step are carried out, that a
//! new Request supersedes those at other servers of the host, where Responses of a run are kept, how
//! an entity is found and a Client probed, and the limits of every table.

mod client;
mod manager;
mod odd;
mod send;
mod server;
mod table;

use std::fmt::Write;

use vmtp_proto::client::Drop;
use vmtp_proto::context::{Context, Policy, ProbeClients, Timing};
use vmtp_proto::manager::Limiter;
use vmtp_proto::path::{GroupFate, Path};
use vmtp_proto::peer::Peer;
use vmtp_proto::server::{refuse, Refusal, Source};
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{
    Code, Entity, EntityKind, Header, NotifyVmtpClient, ResponseCode, Transaction,
};

pub use client::Endpoint;
use server::Server;

use crate::env::{Env, Timer};
use crate::network::Network;
use crate::packet;
use manager::Search;
use send::Queue;
use server::Record;
use table::Table;

/// Domain 1.
pub const DOMAIN: u16 = 1;

/// How a host is set up.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The policy of all its entities.
    pub policy: Policy,
    /// When unknown Clients are probed.
    pub probe_clients: ProbeClients,
    /// Records of remote Clients at most.
    pub records: usize,
    /// Requests that wait for one server at most.
    pub queue: usize,
    /// Octets that the Requests of one server occupy that are incomplete, or wait.
    pub memory: usize,
    /// Requests that a server handles at a time.
    pub workers: usize,
    /// Responses kept of one group Request at most.
    pub replies: usize,
    /// Probes under way at most.
    pub searches: usize,
    /// Entities whose host is known, and hosts of which something is known, at most.
    pub hosts: usize,
    /// The host was started long ago.
    pub settled: bool,
    /// A Server of which nothing is known is looked for at the address in its identifier, and not everywhere.
    pub guesses: bool,
    /// It numbers what it receives (2.12).
    pub numbers: bool,
}

impl Config {
    /// What most scenarios use.
    pub const DEFAULT: Config = Config {
        policy: Policy::DEFAULT,
        probe_clients: ProbeClients::Auto,
        records: 4_096,
        queue: 64,
        memory: usize::MAX,
        workers: 1,
        replies: 32,
        searches: 256,
        hosts: 4_096,
        settled: true,
        guesses: true,
        numbers: false,
    };
}

/// A host.
pub struct Host {
    /// Its number.
    pub number: usize,
    /// How often it was restarted.
    pub incarnation: u32,
    servers: Table<Entity, Server>,
    endpoints: Table<Entity, Endpoint>,
    peer: Peer,
    manager: Entity,
    manager_transaction: Transaction,
    /// Clients without a record are probed until then.
    probe_until: Time,
    groups: Table<Entity, Vec<Entity>>,
    records: Table<(Entity, Entity), Record>,
    cache: Table<Entity, Peer>,
    paths: Table<[u8; 4], Path>,
    lines: Table<[u8; 4], Queue>,
    searches: Table<u32, Search>,
    limiters: Table<[u8; 4], Limiter>,
    /// The number of the last message that was received.
    received: u32,
    config: Config,
}

impl Host {
    /// A host that has just started.
    pub fn new(number: usize, incarnation: u32, config: Config, env: &mut Env) -> Host {
        let address = Network::address(number);
        let manager = Host::entity(number, 1 + incarnation * 1_000_000);
        env.network.join(number, [224, 0, 1, 0]);
        let probe_until = match config.probe_clients {
            ProbeClients::Auto if config.settled && incarnation == 0 => Time::from_nanos(0),
            ProbeClients::Auto => env.now.plus(config.policy.record_lifetime),
            ProbeClients::Always => Time::NEVER,
            ProbeClients::Never => Time::from_nanos(0),
        };
        Host {
            number,
            incarnation,
            servers: Table::default(),
            endpoints: Table::default(),
            peer: Peer::inet(address),
            manager,
            manager_transaction: Transaction::from_bits(env.random.u32(..)),
            probe_until,
            groups: Table::default(),
            records: Table::default(),
            cache: Table::default(),
            paths: Table::default(),
            lines: Table::default(),
            searches: Table::default(),
            limiters: Table::default(),
            received: if config.numbers {
                env.random.u32(..)
            } else {
                0
            },
            config,
        }
    }

    /// A single entity of a host.
    pub fn entity(number: usize, discriminator: u32) -> Entity {
        let address = Network::address(number);
        Entity::domain1(EntityKind::LittleEndian, false, discriminator, address)
            .unwrap_or(Entity::ZERO)
    }

    /// A local server joins a group.
    pub fn join(&mut self, group: Entity, member: Entity, env: &mut Env) {
        let members = self.groups.within(group, usize::MAX, Vec::new);
        if !members.contains(&member) {
            members.push(member);
        }
        if let Some(address) = group.host_group() {
            env.network.join(self.number, address);
        }
    }

    /// The entries of its tables that were looked at so far.
    pub fn steps(&self) -> u64 {
        let calls: u64 = self.endpoints.values().map(Endpoint::steps).sum();
        calls
            + self.servers.steps()
            + self.endpoints.steps()
            + self.groups.steps()
            + self.records.steps()
            + self.cache.steps()
            + self.paths.steps()
            + self.lines.steps()
            + self.searches.steps()
            + self.limiters.steps()
    }

    /// Whether it passed on a Request whose Client still waits.
    pub fn is_awaited_forwarder(&self, env: &Env) -> bool {
        self.records
            .values()
            .any(|record| record.forwards().is_some_and(|op| env.oracle.is_open(op)))
    }

    /// A server that has just started.
    pub fn serve(&mut self, server: Entity) {
        self.servers.insert(server, Server::default());
    }

    /// An entity that sends Requests.
    pub fn add(&mut self, client: Entity, endpoint: Endpoint) {
        self.endpoints.insert(client, endpoint);
    }

    /// An entity that sends Requests.
    pub fn endpoint(&self, client: Entity) -> Option<&Endpoint> {
        self.endpoints.get(&client)
    }

    /// The same, to give it work.
    pub fn endpoint_mut(&mut self, client: Entity) -> Option<&mut Endpoint> {
        self.endpoints.get_mut(&client)
    }

    /// The entities that send Requests.
    pub fn clients(&self) -> impl Iterator<Item = Entity> + '_ {
        self.endpoints.iter().map(|(client, _)| *client)
    }

    /// The host is no more: what is left of its entities that sent Requests.
    pub fn into_endpoints(self) -> impl Iterator<Item = (Entity, Endpoint)> {
        self.endpoints.into_iter()
    }

    /// Whether a server was ever here, and whether it is still.
    pub fn serves(&self, server: Entity) -> Option<bool> {
        self.servers.get(&server).map(|server| !server.moved())
    }

    /// A server goes to another host: what it has is finished here. Its own calls go with it.
    pub fn leave(&mut self, server: Entity) -> Option<Endpoint> {
        if let Some(old) = self.servers.get_mut(&server) {
            old.leave();
        }
        self.endpoints.remove(&server)
    }

    /// Octets of memory that the host keeps for the protocol, without segments.
    pub fn memory(&self) -> usize {
        use std::mem::size_of;
        let calls: usize = self.endpoints.values().map(Endpoint::memory).sum();
        let records: usize = self.records.values().map(Record::memory).sum();
        size_of::<Host>()
            + calls
            + records
            + self.servers.len() * size_of::<Server>()
            + self.cache.len() * size_of::<(Entity, Peer)>()
            + self.lines.len() * size_of::<Queue>()
            + self.paths.len() * size_of::<([u8; 4], Path)>()
            + self.limiters.len() * size_of::<([u8; 4], Limiter)>()
            + self.searches.len() * size_of::<Search>()
    }

    /// Its servers and records in a few lines, for people.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (entity, server) in self.servers.iter() {
            let _ = writeln!(text, "  {entity}: {}", server.describe());
        }
        for ((client, server), record) in self.records.iter() {
            let _ = writeln!(text, "  {client} -> {server}: {}", record.describe());
        }
        text
    }

    /// Records of remote Clients.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// The path to a host, made when it is first asked for.
    fn path(&mut self, env: &Env, peer: Peer) -> &mut Path {
        let address = peer.as_inet().unwrap_or_default();
        let fresh = || Path::new(env.network.mtu, env.network.packet_time);
        self.paths.within(address, self.config.hosts, fresh)
    }

    /// The surroundings of an event that has to do with `peer`.
    fn context(&mut self, env: &mut Env, peer: Peer) -> Context {
        let multicast = matches!(peer.as_inet(), Some([224..=239, ..]));
        let timing = if multicast || !peer.is_known() {
            Timing {
                packet_time: env.network.packet_time,
                ..Timing::UNKNOWN
            }
        } else {
            self.path(env, peer).timing()
        };
        Context {
            now: env.now,
            random: env.random.u32(..),
            timing,
            policy: self.config.policy,
        }
    }

    /// The number of a message that was just received, if the host numbers them.
    fn number_received(&mut self) -> Option<u32> {
        self.received = self.received.wrapping_add(1);
        self.config.numbers.then_some(self.received)
    }

    /// What the sender of a Request is told that gets no record.
    fn refusal(
        &self,
        header: &Header,
        refusal: Refusal,
        source: &Source,
    ) -> Option<NotifyVmtpClient> {
        let notify = refuse(header, refusal, source)?;
        Some(if self.config.numbers {
            // 4.5: the number of the host's last message.
            notify.with_receive_sequence(self.received)
        } else {
            notify
        })
    }

    /// Where an entity is taken to be: the cache, else the address in its identifier.
    fn guess(&self, entity: Entity) -> Peer {
        match self.cache.get(&entity) {
            Some(peer) => *peer,
            None => Peer::inet(entity.address()),
        }
    }

    /// Where the Server of a new transaction is, if that is not to be found out first.
    fn place(&self, server: Entity) -> Peer {
        if self.config.guesses || self.cache.get(&server).is_some() {
            self.guess(server)
        } else {
            Peer::NONE
        }
    }

    /// What a step tells of the path to a host.
    fn learn(
        &mut self,
        env: &Env,
        peer: Peer,
        round_trip: Option<Span>,
        interpacket: Option<Span>,
        sent: Option<GroupFate>,
        received: Option<GroupFate>,
    ) {
        if !peer.is_known() || matches!(peer.as_inet(), Some([224..=239, ..])) {
            return;
        }
        let path = self.path(env, peer);
        if let Some(span) = round_trip {
            path.sample_round_trip(span);
        }
        if let Some(span) = interpacket {
            path.sample_interpacket(span);
        }
        if let Some(fate) = sent {
            path.sent(fate);
        }
        if let Some(fate) = received {
            path.received(fate);
        }
    }

    /// A packet arrives.
    pub fn packet(&mut self, env: &mut Env, from: Peer, multicast: bool, octets: &[u8]) {
        let source = Source {
            peer: from,
            multicast,
        };
        let (header, data) = match packet::decode(octets) {
            Ok(packet) => packet,
            Err(packet::Bad::Checksum) => {
                env.counts.checksum_caught += 1;
                env.trace(self.number, || format!("<- {} bad checksum", name(from)));
                return;
            }
            Err(packet::Bad::Wire(error, header)) => {
                env.counts.malformed += 1;
                env.trace(self.number, || {
                    format!("<- {} {}", name(from), error.name())
                });
                if let Some(header) = header {
                    self.malformed(env, &header, &source);
                }
                return;
            }
        };
        env.trace(self.number, || {
            format!("<- {} {}", name(from), show(&header))
        });
        if header.domain != DOMAIN {
            return;
        }
        if header.epg {
            // 2.6: nothing here decrypts.
            let notify = self.refusal(&header, Refusal::SecurityNotSupported, &source);
            self.notify_client(env, notify.filter(|_| !header.is_response()), false, from);
            return;
        }
        if header.is_response() && multicast {
            self.overhear(env, &header);
        }
        if header.is_response() {
            self.response(env, &header, data, source);
        } else {
            self.request(env, &header, data, source);
        }
    }

    /// A packet that breaks the format, whose sender may be told.
    fn malformed(&mut self, env: &mut Env, header: &Header, source: &Source) {
        if header.is_response() || self.is_management(header) {
            return;
        }
        let notify = self.refusal(header, Refusal::VmtpError, source);
        self.notify_client(env, notify, false, source.peer);
    }

    /// One of the host's deadlines may have passed.
    pub fn timer(&mut self, env: &mut Env, of: Timer) {
        match of {
            Timer::Call(client, first) => self.call_timer(env, client, first),
            Timer::Reply(client, first, reply) => self.reply_timer(env, client, first, reply),
            Timer::Record(client, server) => self.record_timer(env, (client, server)),
            Timer::Probe(transaction) => self.search_timer(env, transaction),
            Timer::Line(address) => self.line_timer(env, address),
        }
    }

    /// Counts a packet that was dropped.
    fn dropped(&self, env: &mut Env, reason: Drop) {
        match reason {
            Drop::Duplicate | Drop::NoData => env.counts.duplicates += 1,
            Drop::Old | Drop::OutOfSequence | Drop::Ahead => env.counts.out_of_sequence += 1,
            Drop::Conflict | Drop::Protocol | Drop::Streaming | Drop::Unwanted | Drop::NoRoom => {}
        }
        env.trace(self.number, || format!("   dropped: {reason:?}"));
    }

    /// What must hold of the tables after every event.
    pub fn check(&self, env: &mut Env) {
        let config = &self.config;
        let mut wrong = None;
        let known = [self.cache.len(), self.paths.len(), self.limiters.len()];
        if let Some(known) = known.into_iter().find(|known| *known > config.hosts) {
            wrong = Some(format!("{known} hosts known"));
        }
        if self.records.len() > config.records {
            wrong = Some(format!("{} records", self.records.len()));
        }
        if self.searches.len() > config.searches {
            wrong = Some(format!("{} Probes", self.searches.len()));
        }
        if let Some(what) = wrong {
            env.oracle.fail(format!("host {}: {what}", self.number));
        }
    }
}

/// A host's address for people.
pub(crate) fn name(peer: Peer) -> String {
    match peer.as_inet() {
        Some([10, b, c, d]) => format!(
            "host {}",
            u32::from_be_bytes([0, b, c, d]).saturating_sub(1)
        ),
        Some([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        None => "nobody".into(),
    }
}

/// A packet in a line.
pub fn show(header: &Header) -> String {
    use vmtp_proto::wire::{Control, ManagementRequest};
    if !header.is_response() {
        match ManagementRequest::decode(&header.mcb()) {
            Ok(ManagementRequest::NotifyVmtpClient(n)) => {
                return told("client", n.client, n.transaction, n.delivery.bits(), n.code);
            }
            Ok(ManagementRequest::NotifyRemoteVmtpClient(n)) => {
                return told(
                    "forwarder of",
                    n.client,
                    n.transaction,
                    n.delivery.bits(),
                    n.code,
                );
            }
            Ok(ManagementRequest::NotifyVmtpServer(n)) => {
                let of = format!("{} of the server of", n.server);
                return told(&of, n.client, n.transaction, n.delivery.bits(), n.code);
            }
            Ok(request) => return format!("{request:?}"),
            Err(_) => {}
        }
    }
    let control = header.control;
    let mut flags = String::new();
    for (bit, name) in [
        (Control::APG, " APG"),
        (Control::NSR, " NSR"),
        (Control::NER, " NER"),
        (Control::NRT, " NRT"),
        (Control::CMG, " CMG"),
        (Control::STI, " STI"),
        (Control::DRT, " DRT"),
    ] {
        if control.has(bit) {
            flags.push_str(name);
        }
    }
    format!(
        "{} {} <-> {} T{:08x} code {:08x} delivery {:08x} segment {} count {} forward {} pg {}{flags}",
        if header.is_response() { "Response" } else { "Request" },
        header.client,
        header.server,
        header.transaction.bits(),
        header.code.bits(),
        header.delivery.bits(),
        header.segment_octets(),
        control.retransmit_count(),
        control.forward_count(),
        control.gap(),
    )
}

fn told(whom: &str, client: Entity, t: Transaction, delivery: u32, code: Code) -> String {
    let code = ResponseCode::from_bits(code.bits()).map_or("?", ResponseCode::name);
    format!(
        "Notify {whom} {client} {code} T{:08x} delivery {delivery:08x}",
        t.bits()
    )
}
