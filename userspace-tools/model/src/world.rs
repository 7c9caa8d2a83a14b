// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The state of everything, what can happen in it, and what must hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use stateright::{Model, Property};
use vmtp_proto::burst::Burst;
use vmtp_proto::client::Client;
use vmtp_proto::context::{Context, Policy, Timing};
use vmtp_proto::manager::{self, Work};
use vmtp_proto::peer::Peer;
use vmtp_proto::server::Source;
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{
    Code, Entity, EntityKind, Header, Mcb, NotifyVmtpServer, Parameters, ResponseCode, Transaction,
};
use vmtp_simulator::packet;

use crate::client::Open;
use crate::server::Record;

/// Octets of segment data in a packet: one block.
const DATA_LIMIT: u32 = 512;

/// The moment at which everything happens.
pub(crate) const NOW: Time = Time::from_nanos(1_000_000_000_000);

/// TS4: what its timers wait for is over.
const RECORD_LIFETIME: Span = Span::from_millis(120_000);

/// A transaction.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Octets of the Request's segment; 0 for none. The packets carry 512 each.
    pub request: u32,
    /// The same of the Response's.
    pub response: u32,
}

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The two transactions.
    pub calls: [Wanted; 2],
    /// The second does not wait for the first: they are a run.
    pub run: bool,
    /// How often a message, or a request for its blocks, is sent again.
    pub retries: u8,
    /// How many packets may be under way at a time: what is sent beyond is lost.
    pub room: usize,
    /// How often a packet may come again by itself.
    pub duplicates: u8,
    /// How many timers of a transaction, and of the record, may fire at any moment; more fire only when nothing is under
    /// way any more.
    pub patience: u8,
    /// How often the server's host may restart. One that did probes unknown Clients.
    pub restarts: u8,
}

/// A packet under way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Packet {
    /// To the server's host: a Request, or NotifyVmtpServer.
    ToServer(Arc<[u8]>),
    /// To the client's host: a Response, or NotifyVmtpClient.
    ToClient(Arc<[u8]>),
    /// The server's manager asks whether the Client exists.
    Probe,
    /// It does, and this is its current Transaction.
    Probed(u32),
}

/// What it says, in a counter-example.
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Packet::ToServer(octets) | Packet::ToClient(octets) => match packet::decode(octets) {
                Ok((header, _)) => f.write_str(&vmtp_simulator::host::show(&header)),
                Err(error) => error.fmt(f),
            },
            Packet::Probe => f.write_str("Probe"),
            Packet::Probed(current) => write!(f, "Probed: current is T{current:08x}"),
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// With its Response.
    Answered,
    /// With this code instead.
    Failed(ResponseCode),
}

/// The state of everything.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    pub(crate) root: Client,
    /// Transactions begun.
    pub(crate) open: Vec<Open>,
    pub(crate) record: Option<Record>,
    /// What is under way, and how often each may still arrive.
    pub(crate) network: BTreeMap<Packet, u8>,
    /// Timers of each transaction, and of the record, that fired.
    pub(crate) fired: [u8; 3],
    /// How often each Request was handed to the server.
    pub executed: [u8; 2],
    /// How each transaction ended.
    pub outcomes: [Option<Outcome>; 2],
    /// Restarts of the server's host.
    pub restarts: u8,
    /// What is not as it must be.
    pub wrong: Option<&'static str>,
}

/// Something that can happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// The user begins its next transaction.
    Start,
    /// A packet arrives; it may arrive again.
    Deliver(Packet),
    /// Everything under way dies.
    Quiet,
    /// The timer of a transaction fires.
    CallTimer(usize),
    /// The timer of its Response fires.
    ReplyTimer(usize),
    /// The timer of the server's record fires.
    RecordTimer,
    /// The server answers the oldest Request it has.
    Answer,
    /// The server's host restarts.
    Restart,
}

/// The entity that calls.
pub fn client() -> Entity {
    entity(70_000, [10, 0, 0, 1])
}

/// The entity that serves.
pub fn server() -> Entity {
    entity(70_001, [10, 0, 0, 2])
}

fn entity(discriminator: u32, address: [u8; 4]) -> Entity {
    Entity::domain1(EntityKind::LittleEndian, false, discriminator, address).unwrap_or(Entity::ZERO)
}

pub(crate) const CLIENT_HOST: Peer = Peer::inet([10, 0, 0, 1]);
pub(crate) const SERVER_HOST: Peer = Peer::inet([10, 0, 0, 2]);

/// The message control block of a Request or a Response: its user data tells which one it is.
pub(crate) fn mcb(op: usize, octets: u32) -> Mcb {
    let mut mcb = Mcb::default();
    if octets != 0 {
        mcb.code = Code::new(Code::SDA, 0);
        mcb.segment_size = octets;
    }
    mcb.user[19] = op as u8 + 1;
    mcb
}

/// Which transaction a message belongs to.
pub(crate) fn op_of(mcb: &Mcb) -> Option<usize> {
    usize::from(mcb.user[19])
        .checked_sub(1)
        .filter(|op| *op < 2)
}

/// The segment of a message: octets that tell the message and the block.
pub(crate) fn segment(op: usize, response: bool, octets: u32) -> Vec<u8> {
    let tag = 1 + 2 * op as u8 + u8::from(response);
    (0..octets).map(|at| tag << 5 | (at / 512) as u8).collect()
}

impl Setup {
    /// What surrounds an event at `now`.
    pub(crate) fn context(&self, now: Time) -> Context {
        Context {
            now,
            random: 0,
            timing: Timing {
                round_trip: Span::ZERO,
                packet_gap: Span::ZERO,
                packet_time: Span::ZERO,
                ..Timing::UNKNOWN
            },
            policy: Policy {
                retries: self.retries,
                record_lifetime: RECORD_LIFETIME,
                ..Policy::DEFAULT
            },
        }
    }

    /// The state in which nothing has happened.
    pub fn init(&self) -> World {
        World {
            // The second transaction is beyond the wrap.
            root: Client::new(client(), 1, Transaction::from_bits(u32::MAX)),
            open: Vec::new(),
            record: None,
            network: BTreeMap::new(),
            fired: [0; 3],
            executed: [0; 2],
            outcomes: [None; 2],
            restarts: 0,
            wrong: None,
        }
    }

    /// What can happen.
    pub fn can_happen(&self, world: &World) -> Vec<Action> {
        let mut can = Vec::new();
        if world.wrong.is_some() {
            return can;
        }
        let before_ended = world
            .outcomes
            .iter()
            .take(world.open.len())
            .all(Option::is_some);
        if world.open.len() < 2 && (before_ended || self.run && world.root.may_start(true)) {
            can.push(Action::Start);
        }
        can.extend(world.network.keys().cloned().map(Action::Deliver));
        if !world.network.is_empty() {
            can.push(Action::Quiet);
        }
        let mut timers = Vec::new();
        for (op, open) in world.open.iter().enumerate() {
            let hurry = world.fired[op] < self.patience;
            timers.push((open.call.deadline(), hurry, Action::CallTimer(op)));
            timers.push((open.reply.deadline(), hurry, Action::ReplyTimer(op)));
        }
        if let Some(record) = &world.record {
            timers.push((
                record.remote.deadline(),
                world.fired[2] < self.patience,
                Action::RecordTimer,
            ));
            if !record.working.is_empty() {
                can.push(Action::Answer);
            }
        }
        timers.retain(|(deadline, ..)| *deadline != Time::NEVER);
        let long = |deadline: Time| deadline.since(NOW) >= RECORD_LIFETIME;
        let idle = world.network.is_empty() && can.is_empty();
        let calm = idle && timers.iter().all(|(d, ..)| long(*d));
        timers.retain(|(deadline, hurry, _)| calm || !long(*deadline) && (*hurry || idle));
        can.extend(timers.into_iter().map(|(.., timer)| timer));
        if world.restarts < self.restarts && world.record.is_some() {
            can.push(Action::Restart);
        }
        can
    }

    /// It happens.
    pub fn happen(&self, world: &mut World, action: &Action) {
        match action {
            Action::Start => self.start(world),
            Action::Deliver(packet) => self.deliver(world, packet),
            Action::Quiet => world.network.clear(),
            Action::CallTimer(op) => {
                world.fired[*op] = (world.fired[*op] + 1).min(self.patience);
                self.call_timer(world, *op);
            }
            Action::ReplyTimer(op) => {
                world.fired[*op] = (world.fired[*op] + 1).min(self.patience);
                self.reply_timer(world, *op);
            }
            Action::RecordTimer => {
                world.fired[2] = (world.fired[2] + 1).min(self.patience);
                self.record_timer(world);
            }
            Action::Answer => self.answer(world),
            Action::Restart => {
                world.restarts += 1;
                world.record = None;
            }
        }
    }

    /// Puts a packet on its way: it and its duplicates.
    pub(crate) fn put(&self, world: &mut World, packet: Packet) {
        if world.network.len() < self.room || world.network.contains_key(&packet) {
            world.network.insert(packet, 1 + self.duplicates);
        }
    }

    fn deliver(&self, world: &mut World, packet: &Packet) {
        match world.network.get_mut(packet) {
            Some(copies) if *copies > 1 => *copies -= 1,
            Some(_) | None => {
                world.network.remove(packet);
            }
        }
        let (octets, from) = match packet {
            Packet::ToServer(octets) => (octets, CLIENT_HOST),
            Packet::ToClient(octets) => (octets, SERVER_HOST),
            Packet::Probe => {
                let current = world.root.current_transaction().bits();
                self.put(world, Packet::Probed(current));
                return;
            }
            Packet::Probed(current) => return self.probed(world, Transaction::from_bits(*current)),
        };
        let Ok((header, data)) = packet::decode(octets) else {
            world.wrong = Some("a packet breaks the format");
            return;
        };
        let source = Source {
            peer: from,
            multicast: false,
        };
        if header.server == Entity::MANAGER_GROUP {
            match manager::classify(&header, &source) {
                Work::NotifyClient { notify, .. } => self.client_notified(world, &notify),
                Work::NotifyServer(notify) => self.server_notified(world, &notify),
                Work::Immediate(_) | Work::Transaction(_) | Work::Refuse(_) | Work::Ignore => {
                    world.wrong = Some("a Notify is none");
                }
            }
        } else if header.is_response() {
            self.response(world, &header, data);
        } else {
            self.request(world, &header, data, &source);
        }
    }

    /// Sends the packets of a message.
    pub(crate) fn send(&self, world: &mut World, mut burst: Burst, segment: &[u8]) {
        while let Some(next) = burst.next(DATA_LIMIT) {
            let mut header = next.header;
            header.control = header.control.with_retransmit_count(0);
            let octets = packet::encode(&header, segment).into();
            let packet = if next.header.is_response() {
                Packet::ToClient(octets)
            } else {
                Packet::ToServer(octets)
            };
            self.put(world, packet);
        }
    }

    /// Sends a Notify to the client's host.
    pub(crate) fn notify_client(&self, world: &mut World, mcb: Mcb) {
        let octets = packet::encode(&notification(server(), mcb), &[]).into();
        self.put(world, Packet::ToClient(octets));
    }

    /// Sends a Notify to the server's host.
    pub(crate) fn notify_server(&self, world: &mut World, notify: Option<NotifyVmtpServer>) {
        if let Some(notify) = notify {
            let octets = packet::encode(&notification(client(), notify.encode()), &[]).into();
            self.put(world, Packet::ToServer(octets));
        }
    }
}

/// All Notifies have the same Transaction: receivers do not look at it (decision 17).
fn notification(of: Entity, mcb: Mcb) -> Header {
    let manager = entity(1, of.address());
    manager::request(manager, 1, Transaction::from_bits(1), mcb)
}

/// The moment at which a timer with this deadline fires.
pub(crate) fn moment(deadline: Time) -> Time {
    NOW.later(deadline)
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.init()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(self.can_happen(world));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        self.happen(&mut next, &action);
        // What changes nothing is no step.
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing is wrong", |_, world: &World| world.wrong.is_none()),
            Property::always("a Request is executed once at most", |_, world: &World| {
                // A restart forgets: each may have it executed once more.
                world
                    .executed
                    .iter()
                    .all(|times| *times <= 1 + world.restarts)
            }),
            Property::always("what is answered was executed", |_, world: &World| {
                let answered = |op: usize| world.outcomes[op] == Some(Outcome::Answered);
                (0..2).all(|op| !answered(op) || world.executed[op] != 0)
            }),
            Property::always("nothing gets stuck", |setup: &Setup, world: &World| {
                let ended = world
                    .outcomes
                    .iter()
                    .take(world.open.len())
                    .all(Option::is_some);
                // That a host restarts is nothing to wait for.
                let goes_on = |action: Action| {
                    action != Action::Restart && setup.next_state(world, action).is_some()
                };
                (ended && world.open.len() == 2)
                    || world.wrong.is_some()
                    || setup.can_happen(world).into_iter().any(goes_on)
            }),
            Property::sometimes("both are answered", |_, world: &World| {
                world.outcomes == [Some(Outcome::Answered); 2]
            }),
            Property::sometimes("one fails", |_, world: &World| {
                let failed = Outcome::Failed(ResponseCode::RetransTimeout);
                world.outcomes.contains(&Some(failed))
            }),
            Property::sometimes("a record grows old", |_, world: &World| {
                world.record.is_none() && world.executed == [1, 1] && world.restarts == 0
            }),
        ]
    }
}
