// SPDX-License-Identifier: GPL-2.0

//! One VMTP host: all there is of VMTP in a network namespace, of one entity domain (2.2). A namespace has one for each
//! domain, so that an identifier in two of them is two entities with separate records; settings and counters are common.
//!
//! It owns the tables, turns packets and timers into events of `proto`, and does what the steps say. What a system call
//! wants comes through `endpoint`. The parts: `receive` takes packets apart, `transmit` makes them, `endpoint` is a local
//! entity with its two sides, `client` and `server`; `remote` is the record of a remote Client, `manager` the management
//! procedures, `probe` the Probes this host sends, `path` what is known of other hosts, `find` where an entity
//! is, `identifier` how identifiers are given out, `charge` what Requests occupy.
//!
//! Locks, each taken alone unless said so: a record's or a side's spinlock is held for one event of `proto` and no longer;
//! packets are made and sent, and sockets woken, after it is dropped.

// The door to the rest of the module; nothing of the crate is seen from outside.
#![allow(unreachable_pub)]

mod administer;
mod asker;
mod block;
pub mod charge;
pub mod client;
pub mod counters;
pub mod endpoint;
mod find;
mod foreign;
pub mod group;
pub mod identifier;
pub mod kept;
pub mod links;
pub mod manager;
pub mod migrate;
pub mod nested;
pub mod pace;
pub mod path;
pub mod probe;
pub mod receive;
mod reflect;
pub mod remote;
pub mod ring;
pub mod search;
pub mod server;
pub mod service;
pub mod settings;
pub mod show;
pub mod transmit;
pub mod users;

use self::block::Blocks;
use self::counters::Counter;
use self::endpoint::Endpoint;
pub use self::find::Destination;
use self::group::{Group, Membership};
use self::identifier::Vacated;
use self::links::Link;
use self::path::{PathRecord, PlaceRecord};
use self::probe::Pending;
use self::remote::RemoteRecord;
use self::search::Search;
use self::server::Which;
use self::settings::{Setting, Settings};
use self::users::Shares;
use crate::kernel::ages::{new_ages, total_ram, Ages};
use crate::kernel::clock;
use crate::kernel::counters::Counters;
use crate::kernel::lock::{new_spinlock_bh, SpinLockBh};
use crate::kernel::net::Net;
use crate::kernel::output::ControlSocket;
use crate::kernel::pernet::{NetState, PerNet, StateRef};
use crate::kernel::proc::Directory;
use crate::kernel::random;
use crate::kernel::record::{Cache, Ref};
use crate::kernel::route::{address_kind, AddressKind};
use crate::kernel::skb::Skb;
use crate::kernel::table::{MultiTable, Table};
use crate::kernel::trace;
use crate::kernel::work::Work;
use crate::proto::allocate::Allocator;
use crate::proto::context::{Context, ProbeClients, Timing};
use crate::proto::manager::Limiter;
use crate::proto::time::Time;
use crate::proto::wire::{Entity, Header, Transaction, IPPROTO};
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use kernel::alloc::{flags::GFP_ATOMIC, flags::GFP_NOWAIT, Flags};
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};

/// For what a packet makes the host allocate for a while: it may fail, silently.
pub const ATOMIC: Flags = GFP_NOWAIT;

/// For packets to send.
pub const PACKET: Flags = GFP_ATOMIC;

/// The entity domains that a host takes part in, by the number of its [`Host`] in the namespace.
pub const DOMAINS: [u16; 2] = [INTERNET, LOCAL];

/// The domain of Internet hosts, whose identifiers name hosts (IV.1).
pub const INTERNET: u16 = 1;

/// The domain whose identifiers name no host and are allocated in blocks (IV.2, IV.4). Its managers and groups have the
/// multicast addresses that they would have in Domain 1.
pub const LOCAL: u16 = 3;

/// The multicast address to which all VMTP hosts belong (IV.1).
pub const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 0);

/// How many of the oldest records are looked at to find one that may go.
const EVICT_TRIES: u32 = 16;

static STATE: PerNet<Host> = PerNet::new();

/// The VMTP of one network namespace in one domain.
#[pin_data]
pub struct Host {
    /// The files of all domains, of the first. Dropped first: they look at the tables.
    #[pin]
    proc: SpinLockBh<Option<Directory>>,
    /// Its place in [`DOMAINS`].
    number: usize,
    control: ControlSocket,
    /// What the namespace counts.
    pub counters: Arc<Counters<Counter>>,
    /// What its administrator set.
    pub settings: Arc<Settings>,
    #[pin]
    pub(super) entities: Table<Endpoint>,
    #[pin]
    pub(super) members: MultiTable<Membership>,
    /// Groups that CreateGroup made here.
    #[pin]
    pub(super) groups: Table<Group>,
    #[pin]
    links: Table<Link>,
    /// See `links`.
    speeds: AtomicU32,
    /// By age, what is thrown out when its table is full.
    #[pin]
    pub(super) remote_ages: Ages<RemoteRecord>,
    #[pin]
    path_ages: Ages<PathRecord>,
    #[pin]
    place_ages: Ages<PlaceRecord>,
    #[pin]
    pub(super) probe_ages: Ages<Pending>,
    #[pin]
    pub(super) vacated_ages: Ages<Vacated>,
    #[pin]
    pub(super) remotes: MultiTable<RemoteRecord>,
    #[pin]
    pub(super) paths: Table<PathRecord>,
    #[pin]
    pub(super) places: Table<PlaceRecord>,
    #[pin]
    pub(super) probes: Table<Pending>,
    #[pin]
    pub(super) searches: Table<Search>,
    /// Identifiers that were valid lately.
    #[pin]
    pub(super) vacated: Table<Vacated>,
    /// What each user has of the entities, in all domains, and of the vacated identifiers.
    pub(super) entities_of: Arc<Shares>,
    pub(super) vacated_of: Shares,
    /// Held to join and to leave a group: two threads are not to join one group for one entity.
    #[pin]
    pub(super) joining: Mutex<()>,
    /// Held to make a record of a remote Client, so that there is only one for each Client and server.
    #[pin]
    pub(super) creation: SpinLockBh<()>,
    #[pin]
    pub(super) allocator: SpinLockBh<Allocator>,
    /// In a domain whose identifiers are allocated in blocks.
    #[pin]
    pub(super) blocks: Blocks,
    /// The bits of the manager's own entity, once there was an address to make it of.
    manager: AtomicU64,
    /// The same as a server, once it was asked for something that is not answered at once.
    #[pin]
    manager_server: SpinLockBh<Option<Ref<Endpoint>>>,
    /// Executes its Requests.
    #[pin]
    work: Work<Host>,
    /// Entities that CreateEntity made and no socket has bound yet.
    pub(super) created: AtomicU32,
    /// The manager's next Transaction.
    transaction: AtomicU32,
    /// When VMTP started here: unknown Clients are probed during the first TS4.
    started: Time,
    /// Until when unknown Clients are probed because records of others had to go early, in nanoseconds.
    wary_until: AtomicU64,
    /// The share of answers of hosts that have none of their own.
    #[pin]
    answers: SpinLockBh<Limiter>,
    /// The same of errors.
    #[pin]
    errors: SpinLockBh<Limiter>,
    /// Moves on with every event: what spreads retransmissions over time need not be secret.
    jitter: AtomicU64,
    /// The number of the message that was received last, if they are numbered (2.12).
    received: AtomicU32,
    /// Changes whenever an entity may be reached by another way than before.
    ways: AtomicU32,
    /// The namespace goes: nothing new begins.
    closing: AtomicBool,
    /// Octets that incomplete Requests may occupy on all hosts of the machine, one of each entity aside.
    memory_max: usize,
}

impl NetState for Host {
    const COUNT: usize = DOMAINS.len();

    fn storage() -> &'static PerNet<Self> {
        &STATE
    }

    fn init(net: &Net, number: usize) -> impl PinInit<Self, Error> {
        let first = PerNet::<Self>::get(net, 0);
        try_pin_init!(Host {
            proc <- new_spinlock_bh!(
                match first {
                    Some(_) => None,
                    None => Some(Host::files(net)?),
                },
                "vmtp::proc"
            ),
            number,
            control: ControlSocket::new(net, IPPROTO as u8, true)?,
            counters: match first {
                Some(first) => first.counters.clone(),
                None => Arc::new(Counters::new()?, GFP_KERNEL)?,
            },
            settings: match first {
                Some(first) => first.settings.clone(),
                None => Arc::new(Settings::register(net)?, GFP_KERNEL)?,
            },
            entities <- Table::new(1 << 24),
            members <- MultiTable::new(1 << 20),
            groups <- Table::new(1 << 20),
            links <- Table::new(1 << 20),
            speeds: AtomicU32::new(0),
            remote_ages <- new_ages!("vmtp::remote_ages"),
            path_ages <- new_ages!("vmtp::path_ages"),
            place_ages <- new_ages!("vmtp::place_ages"),
            probe_ages <- new_ages!("vmtp::probe_ages"),
            vacated_ages <- new_ages!("vmtp::vacated_ages"),
            remotes <- MultiTable::new(1 << 24),
            paths <- Table::new(1 << 24),
            places <- Table::new(1 << 24),
            probes <- Table::new(1 << 16),
            searches <- Table::new(1 << 16),
            vacated <- Table::new(1 << 20),
            entities_of: match first {
                Some(first) => first.entities_of.clone(),
                None => Arc::new(Shares::new(), GFP_KERNEL)?,
            },
            vacated_of: Shares::new(),
            joining <- kernel::new_mutex!((), "vmtp::joining"),
            creation <- new_spinlock_bh!((), "vmtp::creation"),
            allocator <- new_spinlock_bh!(Allocator::new(), "vmtp::allocator"),
            blocks <- Blocks::new(),
            manager: AtomicU64::new(0),
            manager_server <- new_spinlock_bh!(None, "vmtp::manager"),
            work <- Work::new(net),
            created: AtomicU32::new(0),
            transaction: AtomicU32::new(random::u32()),
            started: Time::from_nanos(clock::monotonic()),
            wary_until: AtomicU64::new(0),
            received: AtomicU32::new(0),
            answers <- new_spinlock_bh!(
                Limiter::new(Time::from_nanos(clock::monotonic())),
                "vmtp::answers"
            ),
            errors <- new_spinlock_bh!(
                Limiter::new(Time::from_nanos(clock::monotonic())),
                "vmtp::errors"
            ),
            jitter: AtomicU64::new(random::u64()),
            ways: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            memory_max: usize::try_from(total_ram() / 16).unwrap_or(usize::MAX),
        }? Error)
    }

    fn pre_exit(&self, _net: &Net) {
        let directory = self.proc.lock().take();
        drop(directory);
        // Packets and timers that are inside still find the host; those that come later do not.
        self.closing.store(true, Ordering::SeqCst);
        // It goes through the hosts of all domains, of which the last ends first.
        self.work.stop();
    }

    fn exit(&self) {
        let manager = self.manager_server.lock().take();
        if let Some(manager) = manager {
            manager.stop();
            while let Some(delivered) = manager.take_request(&Which::Next) {
                drop(delivered);
            }
        }
        self.groups.clear();
        self.blocks.clear();
        self.remote_ages.clear();
        self.path_ages.clear();
        self.place_ages.clear();
        self.probe_ages.clear();
        self.vacated_ages.clear();
        self.entities.clear();
        self.members.clear();
        self.links.clear();
        self.probes.clear();
        self.searches.clear();
        self.remotes.clear();
        self.places.clear();
        self.paths.clear();
        self.vacated.clear();
    }
}

impl Host {
    /// The host of a namespace in Domain 1, while it has one. Any context.
    #[inline]
    pub fn of(net: &Net) -> Option<&Self> {
        Self::numbered(net, 0)
    }

    /// The one of this number.
    #[inline]
    fn numbered(net: &Net, number: usize) -> Option<&Self> {
        PerNet::<Self>::get(net, number).filter(|host| !host.closing.load(Ordering::Relaxed))
    }

    /// Those of all domains, while there are any.
    pub fn all(net: &Net) -> impl Iterator<Item = &Self> {
        (0..DOMAINS.len()).filter_map(|number| Self::numbered(net, number))
    }

    /// The same, counted, of Domain 1 first.
    pub fn counted(net: &Net) -> Result<[StateRef<Self>; 2]> {
        let host = |number| {
            PerNet::<Self>::get_ref(net, number)
                .filter(|host| !host.closing.load(Ordering::Relaxed))
                .ok_or(ENODEV)
        };
        Ok([host(0)?, host(1)?])
    }

    /// This one, counted. ENODEV if the namespace goes.
    pub fn to_ref(&self) -> Result<StateRef<Self>> {
        PerNet::<Self>::get_ref(self.net(), self.number)
            .filter(|host| !host.closing.load(Ordering::Relaxed))
            .ok_or(ENODEV)
    }

    /// The same namespace in another domain; `None` if it takes no part in it. Any context.
    #[inline]
    pub fn of_domain(&self, domain: u16) -> Option<&Self> {
        if domain == self.domain() {
            return Some(self);
        }
        let number = DOMAINS.iter().position(|known| *known == domain)?;
        Self::numbered(self.net(), number)
    }

    /// Its entity domain.
    #[inline]
    pub fn domain(&self) -> u16 {
        DOMAINS.get(self.number).copied().unwrap_or(INTERNET)
    }

    /// Whether identifiers of its domain name the host that they were made on.
    #[inline]
    pub fn names_hosts(&self) -> bool {
        self.domain() == INTERNET
    }

    /// The namespace.
    pub fn net(&self) -> &Net {
        self.control.sk().net()
    }

    /// The socket by which the host itself is in groups.
    pub fn control(&self) -> &ControlSocket {
        &self.control
    }

    /// Now.
    #[inline]
    pub fn now() -> Time {
        Time::from_nanos(clock::monotonic())
    }

    /// The surroundings of an event.
    pub fn context(&self, now: Time, timing: Timing, retries: u8) -> Context {
        Context {
            now,
            random: self.jitter(),
            timing,
            policy: self.settings.policy(retries),
        }
    }

    /// The number of a message that was just received, if this host numbers them (2.12).
    #[inline]
    pub(super) fn number_received(&self) -> Option<u32> {
        self.settings.is_set(Setting::ReceiveSequence).then(|| {
            self.received
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_add(1)
        })
    }

    /// The number of the message that was received last, if this host numbers them.
    #[inline]
    pub(super) fn last_received(&self) -> Option<u32> {
        self.settings
            .is_set(Setting::ReceiveSequence)
            .then(|| self.received.load(Ordering::Relaxed))
    }

    /// The next of a sequence of numbers without a pattern (splitmix64).
    #[inline]
    fn jitter(&self) -> u32 {
        let step = self
            .jitter
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (step ^ (step >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed >> 32) as u32
    }

    /// What a way that was found is good for: as long as this is the same.
    #[inline]
    pub fn ways(&self) -> u32 {
        self.ways.load(Ordering::Acquire)
    }

    /// Ways that were found before may be wrong now.
    pub(super) fn ways_changed(&self) {
        self.ways.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts one.
    #[inline]
    pub fn count(&self, counter: Counter) {
        self.counters.increment(counter);
        if counter.drop_reason().is_some() {
            trace::drop(counter.name());
        }
    }

    /// Throws a packet away, for the reason that is counted.
    pub(super) fn discard(&self, skb: Skb, counter: Counter) {
        self.count(counter);
        if let Some(reason) = counter.drop_reason() {
            skb.discard(reason);
        }
    }

    /// A Transaction for an operation that the manager invokes.
    pub fn next_transaction(&self) -> Transaction {
        Transaction::from_bits(self.transaction.fetch_add(1, Ordering::Relaxed))
    }

    /// The manager's own entity. It is made when an address, or a block, is first there to make it of; until then the
    /// default client of little-endian hosts stands in (IV.1, IV.4).
    pub fn manager(&self) -> Entity {
        let known = Entity::from_bits(self.manager.load(Ordering::Acquire));
        if !known.is_zero() {
            return known;
        }
        if self.names_hosts() && Ipv4Addr::from(self.primary_address()).is_loopback() {
            return Entity::DEFAULT_LECLIENT;
        }
        let Ok(entity) = self.allocate() else {
            return Entity::DEFAULT_LECLIENT;
        };
        match self
            .manager
            .compare_exchange(0, entity.bits(), Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => entity,
            Err(other) => Entity::from_bits(other),
        }
    }

    /// Whether a Client without a record must be probed before its Request is executed.
    pub fn must_probe(&self, policy: ProbeClients, now: Time) -> bool {
        match policy {
            ProbeClients::Always => true,
            ProbeClients::Never => false,
            ProbeClients::Auto => {
                let lifetime = self.settings.record_lifetime();
                !self.started.plus(lifetime).has_come(now)
                    || now.nanos() < self.wary_until.load(Ordering::Relaxed)
            }
        }
    }

    /// Records of Clients had to go before their time: unknown ones are probed until no duplicate of what they have
    /// forgotten can come.
    pub(super) fn be_wary(&self, now: Time) {
        let until = now.plus(self.settings.record_lifetime());
        self.wary_until.fetch_max(until.nanos(), Ordering::Relaxed);
    }

    /// Whether the hosts of all domains have so many of something together that the namespace, whose limit it is, may
    /// have no more; or namespaces of anybody's do.
    pub(super) fn is_full(&self, limit: Setting, of: impl Fn(&Host) -> u32) -> bool {
        let all = Self::all(self.net()).fold(0u32, |sum, host| sum.saturating_add(of(host)));
        all >= self.settings.get(limit) || foreign::fill(self, limit, all)
    }

    /// Where something has to go then, if something may: in the domain that has most of it, so that none fills the table
    /// for the others; else here.
    pub(super) fn evict<T>(
        &self,
        of: impl Fn(&Host) -> u32,
        mut evict: impl FnMut(&Host) -> Option<T>,
    ) -> Option<T> {
        let fullest = Self::all(self.net()).max_by_key(|host| of(host));
        fullest.and_then(&mut evict).or_else(|| evict(self))
    }

    /// An address of this host by which others may know it: the one it would use towards the whole Internet, else any.
    pub fn primary_address(&self) -> [u8; 4] {
        transmit::primary_address(self.net())
    }

    /// Whether an address is one of this host's own.
    pub fn is_own(&self, address: [u8; 4]) -> bool {
        address_kind(self.net(), Ipv4Addr::from(address)) == AddressKind::Local
    }
}

/// Shows a packet to whoever traces.
#[inline]
fn trace_packet(arrived: bool, host: Ipv4Addr, header: &Header, octets: usize) {
    if !trace::is_on() {
        return;
    }
    trace::packet(
        arrived,
        &trace::Packet {
            host,
            client: header.client.bits(),
            server: header.server.bits(),
            transaction: header.transaction.bits(),
            control: header.control.bits(),
            delivery: header.delivery.bits(),
            code: header.code.bits(),
            octets,
        },
    );
}

/// The memory of what there may be a million of.
pub struct Caches {
    _entities: Cache<endpoint::Endpoint>,
    _remotes: Cache<remote::RemoteRecord>,
}

impl Caches {
    /// Before the hosts are registered, until they are no more. ENOMEM. Sleeps.
    pub fn new() -> Result<Self> {
        Ok(Self {
            _entities: Cache::new(c"vmtp_entity")?,
            _remotes: Cache::new(c"vmtp_remote")?,
        })
    }
}

/// Registers the hosts of all namespaces; until the result is dropped.
pub fn register() -> Result<crate::kernel::pernet::Registration<Host>> {
    PerNet::<Host>::register()
}
