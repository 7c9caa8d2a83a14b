// SPDX-License-Identifier: GPL-2.0

//! A local entity: one socket's identifier with its two sides, and how identifiers are given out and taken back.
//! What the sides do is in `client` and `server`.

use super::client::ClientSide;
use super::nested::Nested;
use super::service::ServiceState;
use super::settings::Setting;
use super::{Host, ATOMIC};
use crate::kernel::clock;
use crate::kernel::cred::Caller;
use crate::kernel::errno::Errno;
use crate::kernel::lock::{new_spinlock_bh, SpinLockBh};
use crate::kernel::net::Net;
use crate::kernel::pernet::StateRef;
use crate::kernel::process::Process;
use crate::kernel::random;
use crate::kernel::record::{Memory as SlabMemory, Record, Recorded, Ref};
use crate::kernel::skb::Skb;
use crate::kernel::sock::SkRef;
use crate::proto::client::Client;
use crate::proto::server::Service;
use crate::proto::time::{Span, Time};
use crate::proto::wire::{Entity, EntityKind, Transaction};
use crate::socket::options::Options;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::prelude::*;
use kernel::sync::Arc;

/// T: how long an identifier stays invalid before it may mean something else.
const STABILITY: Span = Span::from_millis(600_000);

/// Whose an entity is.
#[derive(Clone)]
pub struct Owner {
    /// Who opened the socket.
    pub caller: Caller,
    /// The process that did, to be signalled. None of what the host itself made.
    pub process: Option<Arc<Process>>,
}

impl Owner {
    /// The process that makes the present system call. ENOMEM. Sleeps.
    pub fn current(net: &Net) -> Result<Self> {
        let process = match Process::current() {
            Some(process) => Some(Arc::new(process, GFP_KERNEL_ACCOUNT)?),
            None => None,
        };
        Ok(Self {
            caller: Caller::current(net),
            process,
        })
    }

    /// The host itself.
    pub const HOST: Owner = Owner {
        caller: Caller {
            uid: 0,
            euid: 0,
            pid: 0,
        },
        process: None,
    };
}

/// What an entity is for.
pub(super) enum Role {
    /// A socket's, or one that CreateEntity made and no socket has bound yet.
    Ordinary,
    /// A socket's that has just come from another host.
    Moving,
    /// The Client of a nested call.
    Nested(Nested),
    /// The host's manager: its Requests are executed by the host (VII.5).
    Manager,
}

/// A local entity.
#[pin_data(PinnedDrop)]
pub struct Endpoint {
    pub(super) host: StateRef<Host>,
    /// Its identifier.
    pub entity: Entity,
    /// Whose it is.
    pub owner: Owner,
    /// The socket's options.
    pub options: Arc<Options>,
    /// As a Client.
    #[pin]
    pub(super) client: SpinLockBh<ClientSide>,
    /// As a server: Requests that wait to be received.
    #[pin]
    pub(super) requests: SpinLockBh<super::server::Queue>,
    /// How many wait, and how many callers wait for them, to be looked at without the lock.
    pub(super) queued: AtomicU32,
    pub(super) callers: AtomicU32,
    /// How many callers wait for a Response.
    pub(super) waiters: AtomicU32,
    /// How often receivers were woken: as long as it is the same there is nothing new for them.
    wakes: AtomicU32,
    /// Whether a Request ever came, and how many groups it is in: if none, no table is searched when it goes.
    pub(super) served: AtomicBool,
    pub(super) memberships: AtomicU32,
    /// What records of its Clients hold of Requests that it has not got yet.
    pub(super) memory: Arc<Memory>,
    /// What it is for.
    pub(super) role: Role,
    /// How it takes Requests (ModifyService).
    pub(super) service: ServiceState,
    /// It has been given up already.
    released: AtomicBool,
    /// It is on its way to another host, and then: it lives there.
    pub(super) frozen: AtomicBool,
    pub(super) moved: AtomicBool,
    /// The socket is closed, or was none.
    closed: AtomicBool,
    /// The socket; none for an entity that the host itself made. It goes last: packets above are charged to it.
    sk: Option<SkRef>,
}

/// What Requests occupy of an entity.
pub struct Memory {
    /// Octets of memory of the packets of those that are incomplete, or wait.
    used: AtomicUsize,
    /// Requests that a user has, and has not answered yet.
    in_hand: AtomicU32,
    /// Who may go beyond SO_RCVBUF, so that a message larger than that can be received: one at a time.
    privileged: AtomicUsize,
}

/// The same of all hosts, to be held below a part of the machine's memory.
static ALL: AtomicUsize = AtomicUsize::new(0);

/// The same of Clients that are being probed. It fills no server's SO_RCVBUF: they may all be forged.
static UNPROVEN: AtomicUsize = AtomicUsize::new(0);

/// What of a message is kept while its Client is being probed: a packet group.
const STRANGER_MAX: u32 = 48 << 10;

impl Memory {
    fn new() -> Self {
        Self {
            used: AtomicUsize::new(0),
            in_hand: AtomicU32::new(0),
            privileged: AtomicUsize::new(0),
        }
    }
}

/// A record's part of an entity's [`Memory`].
pub struct Charge {
    memory: Arc<Memory>,
    octets: u32,
    proven: bool,
    in_hand: bool,
}

impl Charge {
    /// Nothing yet.
    pub fn new(memory: &Arc<Memory>) -> Self {
        Self {
            memory: memory.clone(),
            octets: 0,
            proven: true,
            in_hand: false,
        }
    }

    /// The record occupies so much now, and its Client is `proven` to be there or need not be.
    #[inline]
    pub fn set(&mut self, octets: usize, proven: bool) {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        if octets == self.octets && (proven == self.proven || octets == 0) {
            return;
        }
        let (before, after) = (self.octets as usize, octets as usize);
        self.pool().fetch_sub(before, Ordering::Relaxed);
        if self.proven {
            self.memory.used.fetch_sub(before, Ordering::Relaxed);
        }
        self.octets = octets;
        self.proven = proven;
        self.pool().fetch_add(after, Ordering::Relaxed);
        if proven {
            self.memory.used.fetch_add(after, Ordering::Relaxed);
        }
        if octets == 0 {
            let me = core::ptr::from_ref(self).addr();
            let _ = self.memory.privileged.compare_exchange(
                me,
                0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// The server's user has the Request now, or not any more. Whether that is news.
    #[inline]
    pub fn set_in_hand(&mut self, in_hand: bool) -> bool {
        if in_hand == self.in_hand {
            return false;
        }
        self.in_hand = in_hand;
        if in_hand {
            self.memory.in_hand.fetch_add(1, Ordering::AcqRel);
        } else {
            self.memory.in_hand.fetch_sub(1, Ordering::AcqRel);
        }
        true
    }

    fn pool(&self) -> &'static AtomicUsize {
        if self.proven {
            &ALL
        } else {
            &UNPROVEN
        }
    }

    /// Whether a Client that is not proven may have another packet kept. `full` is [`Charge::strangers_fill`].
    pub fn stranger_may_add(&self, full: bool) -> bool {
        self.octets == 0 || (!full && self.octets < STRANGER_MAX)
    }

    /// Whether Clients that are not proven occupy all that they may together.
    pub fn strangers_fill(host: &Host) -> bool {
        UNPROVEN.load(Ordering::Relaxed) >= host.memory_max / 4
    }

    /// Whether this record alone may go beyond SO_RCVBUF from now on, until it occupies nothing.
    pub fn is_privileged(&self) -> bool {
        let me = core::ptr::from_ref(self).addr();
        match self
            .memory
            .privileged
            .compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => true,
            Err(other) => other == me,
        }
    }

    /// The charge goes to another entity of the same name, which took the place of the first.
    pub fn move_to(&mut self, memory: &Arc<Memory>) {
        if !Arc::ptr_eq(&self.memory, memory) {
            let (octets, proven, in_hand) = (self.octets as usize, self.proven, self.in_hand);
            self.set(0, proven);
            self.set_in_hand(false);
            self.memory = memory.clone();
            self.set(octets, proven);
            self.set_in_hand(in_hand);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0, self.proven);
        self.set_in_hand(false);
    }
}

#[pinned_drop]
impl PinnedDrop for Endpoint {
    fn drop(self: Pin<&mut Self>) {
        self.host.entities_of.give_back(self.owner.caller.uid);
    }
}

/// Of entities.
static MEMORY: SlabMemory = SlabMemory::new();

impl Recorded for Endpoint {
    fn memory() -> Option<&'static SlabMemory> {
        Some(&MEMORY)
    }

    fn expired(record: Ref<Self>) {
        Endpoint::client_timeout(&record);
    }
}

impl Endpoint {
    /// The socket `sk` becomes the entity. EADDRINUSE if another has it, ENOSPC if there are too many.
    pub fn bind(
        host: &StateRef<Host>,
        entity: Entity,
        sk: SkRef,
        owner: Owner,
        options: &Arc<Options>,
    ) -> Result<Ref<Self>> {
        Self::adopt(host, entity, &owner);
        Self::make(host, entity, Some(sk), owner, options, Role::Ordinary)
    }

    /// The same for one that comes from another host: packets for it are dropped until its records are there.
    pub fn bind_frozen(
        host: &StateRef<Host>,
        entity: Entity,
        sk: SkRef,
        owner: Owner,
        options: &Arc<Options>,
    ) -> Result<Ref<Self>> {
        Self::make(host, entity, Some(sk), owner, options, Role::Moving)
    }

    /// An entity of a socket, or one that the host itself needs.
    pub(super) fn make(
        host: &StateRef<Host>,
        entity: Entity,
        sk: Option<SkRef>,
        owner: Owner,
        options: &Arc<Options>,
        role: Role,
    ) -> Result<Ref<Self>> {
        let is_manager = matches!(role, Role::Manager);
        let is_moving = matches!(role, Role::Moving);
        // The manager is made when a packet asks for it.
        let flags = if is_manager {
            ATOMIC
        } else {
            GFP_KERNEL_ACCOUNT
        };
        let uid = owner.caller.uid;
        if host.entities.len() >= host.settings.get(Setting::EntitiesMax) {
            return Err(Errno::ENOBUFS.into());
        }
        let vacated = host.vacated.get(entity.bits());
        // What the host itself makes is limited elsewhere.
        let admin = sk.is_none() || host.net().admin_capable();
        if vacated
            .as_ref()
            .is_some_and(|vacated| vacated.user != uid && !admin)
        {
            return Err(Errno::EADDRINUSE.into());
        }
        // One user leaves identifiers for others.
        let share = if admin {
            u32::MAX
        } else {
            host.settings.get(Setting::EntitiesMax) / 2
        };
        if !host.entities_of.take(uid, share) {
            return Err(Errno::ENOBUFS.into());
        }
        // Whoever remembers the entity that had this identifier takes what is not newer for a duplicate.
        let first = vacated
            .as_ref()
            .map_or(Transaction::from_bits(random::u32()), |vacated| {
                vacated.next
            });
        let client = Client::new(entity, host.domain(), first);
        let made = Record::new(
            entity.bits(),
            try_pin_init!(Endpoint {
                host: host.clone(),
                entity,
                owner,
                options: options.clone(),
                client <- new_spinlock_bh!(ClientSide::new(client), "vmtp::client"),
                requests <- new_spinlock_bh!(super::server::Queue::new(), "vmtp::requests"),
                queued: AtomicU32::new(0),
                callers: AtomicU32::new(0),
                waiters: AtomicU32::new(0),
                wakes: AtomicU32::new(0),
                served: AtomicBool::new(false),
                memberships: AtomicU32::new(0),
                memory: Arc::new(Memory::new(), flags)?,
                closed: AtomicBool::new(sk.is_none() && !is_manager),
                role,
                service: ServiceState::new(),
                released: AtomicBool::new(false),
                frozen: AtomicBool::new(is_moving),
                moved: AtomicBool::new(false),
                sk,
            }),
            flags,
        );
        // What was made gives it back when it goes.
        let record = made.inspect_err(|_| host.entities_of.give_back(uid))?;
        if is_manager {
            // It is found by itself: its Responses are those of the Probes it sends.
            return Ok(record);
        }
        match host.entities.insert(&record) {
            Ok(()) => {
                host.ways_changed();
                if let Some(vacated) = vacated {
                    vacated.forget();
                }
                Ok(record)
            }
            Err(error) => {
                record.stop();
                let taken = error.to_errno() == EEXIST.to_errno();
                Err(if taken {
                    Errno::EADDRINUSE.into()
                } else {
                    error
                })
            }
        }
    }

    /// The socket is closed: the entity is no more, its transactions are over, and the Clients whose Requests it has not
    /// answered are told. Sleeps.
    pub fn release(record: &Ref<Self>) {
        if record.released.swap(true, Ordering::SeqCst) {
            return;
        }
        let host = &*record.host;
        record.stop();
        record.closed.store(true, Ordering::Release);
        if record.sk.is_none() {
            host.created.fetch_sub(1, Ordering::Relaxed);
        }
        let moved = record.moved.load(Ordering::Acquire);
        Vacated::remember(record, record.close_client(), moved);
        Self::leave_all(record);
        host.entities.remove(record);
        host.ways_changed();
        Self::end_requests(record);
    }

    /// DeleteEntity: it is no more, whatever its socket does; that has the error EIDRM. Sleeps.
    pub(super) fn delete(record: &Ref<Self>) {
        Self::release(record);
        if let Some(sk) = &record.sk {
            sk.set_error(Errno::EIDRM.into());
            let _locked = sk.lock();
            sk.shut_down(true, true);
        }
    }

    /// A socket binds an identifier that CreateEntity made for its user: what held the place goes. Sleeps.
    fn adopt(host: &StateRef<Host>, entity: Entity, owner: &Owner) {
        if let Some(made) = host.entities.get(entity.bits()) {
            let its_own = made.owner.caller.euid == owner.caller.euid;
            if its_own && made.sk.is_none() && matches!(made.role, Role::Ordinary) {
                Self::release(&made);
            }
        }
    }

    /// Something came of a transaction.
    pub(super) fn wake(self: &Ref<Self>) {
        if let Role::Nested(nested) = &self.role {
            self.nested_call_ended(nested);
            return;
        }
        self.wake_receiver();
        self.wake_sender();
    }

    /// Something can be received.
    pub(super) fn wake_receiver(&self) {
        self.wakes.fetch_add(1, Ordering::AcqRel);
        if let Some(sk) = &self.sk {
            sk.data_ready();
        }
    }

    /// Changes whenever a receiver may find something that was not there before. Ask it before looking.
    #[inline]
    pub fn wakes(&self) -> u32 {
        self.wakes.load(Ordering::Acquire)
    }

    /// Another transaction may start.
    pub(super) fn wake_sender(&self) {
        if let Some(sk) = &self.sk {
            sk.write_space();
        }
    }

    /// The socket, if it is open, or was lately: it stays as long as this.
    #[inline]
    pub(super) fn sk(&self) -> Option<&crate::kernel::sock::Sk> {
        self.sk.as_deref()
    }

    /// Whether it is the host's manager.
    pub(super) fn is_manager(&self) -> bool {
        matches!(self.role, Role::Manager)
    }

    /// Whether it was given up, whatever others still have it.
    pub(super) fn is_released(&self) -> bool {
        self.released.load(Ordering::SeqCst)
    }

    /// Whether it is a socket's.
    pub(super) fn is_of_socket(&self) -> bool {
        self.sk.is_some()
    }

    /// Whether the socket is closed, so that nothing is received any more.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether SO_BINDTODEVICE lets the socket hear what came by the interface of a packet.
    #[inline]
    pub(super) fn hears(&self, skb: &Skb) -> bool {
        let bound = self.sk().map_or(0, |sk| sk.bound_interface());
        bound == 0 || skb.came_by(bound)
    }

    /// What SO_ATTACH_FILTER's program says.
    #[inline]
    pub(super) fn passes_filter(&self, skb: &mut Skb) -> bool {
        self.sk().is_none_or(|sk| {
            let passes = sk.filter(skb).is_ok();
            if !passes {
                sk.count_drop();
            }
            passes
        })
    }

    /// Whether what it has not received yet fills SO_RCVBUF, or that of all entities its part of the machine's memory.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        let Some(sk) = &self.sk else {
            return !matches!(self.role, Role::Manager);
        };
        let used = self.memory.used.load(Ordering::Relaxed);
        used.saturating_add(sk.receive_memory()) >= sk.receive_buffer()
            || ALL.load(Ordering::Relaxed) >= self.host.memory_max
    }

    /// What the server can do for a Request now. `room` says whether there is memory for it.
    pub(super) fn service(&self, must_probe: bool, room: bool) -> Service {
        let queued = self.queued.load(Ordering::Relaxed);
        let most = self.options.request_queue();
        Service {
            waiting: self.callers.load(Ordering::Relaxed) != 0 && self.may_begin(),
            room: room && queued < most,
            // What a flood of forged Requests could fill is kept for Clients that are there.
            probe: self
                .options
                .must_probe(must_probe || queued.saturating_mul(2) > most),
        }
    }

    /// Requests that users have and have not answered; datagrams, which have no answer, are not among them.
    #[inline]
    pub(super) fn in_hand(&self) -> u32 {
        self.memory.in_hand.load(Ordering::Acquire)
    }

    /// Requests that wait to be received.
    pub fn queued(&self) -> u32 {
        self.queued.load(Ordering::Relaxed)
    }

    /// The host it belongs to.
    pub fn host(&self) -> &StateRef<Host> {
        &self.host
    }
}

/// An identifier that was valid until lately.
#[pin_data(PinnedDrop)]
pub struct Vacated {
    host: StateRef<Host>,
    /// The Transaction that its Client would have used next.
    next: Transaction,
    /// Whose it was: it is nobody else's meanwhile.
    user: u32,
    /// It lives on another host now.
    moved: bool,
}

#[pinned_drop]
impl PinnedDrop for Vacated {
    fn drop(self: Pin<&mut Self>) {
        self.host.vacated_of.give_back(self.user);
    }
}

impl Recorded for Vacated {
    fn expired(record: Ref<Self>) {
        record.forget();
    }
}

/// Vacated identifiers that are remembered.
const VACATED_MAX: u32 = 1 << 15;

/// The part of them that one user may have.
const VACATED_SHARE: u32 = VACATED_MAX / 4;

/// How many of the oldest are looked at to find one that may go.
const VACATED_TRIES: u32 = 64;

impl Vacated {
    /// Whether the entity lives on another host now.
    pub(super) fn has_moved(&self) -> bool {
        self.moved
    }

    fn forget(self: &Record<Self>) {
        self.host.vacated.remove(self);
        self.host.vacated_ages.remove(self);
        self.stop();
    }

    /// Without memory it is forgotten. Of one user so many are remembered that those of others stay. Sleeps.
    fn remember(endpoint: &Endpoint, next: Transaction, moved: bool) {
        let host = &endpoint.host;
        let user = endpoint.owner.caller.uid;
        if !host.vacated_of.take(user, VACATED_SHARE) {
            let own = |old: &Record<Self>| old.user == user;
            match host.vacated_ages.evict(VACATED_TRIES, own) {
                Some(old) => old.forget(),
                None => return,
            }
            if !host.vacated_of.take(user, VACATED_SHARE) {
                return;
            }
        } else if host.vacated.len() >= VACATED_MAX {
            if let Some(old) = host.vacated_ages.evict(1, |_| true) {
                old.forget();
            }
        }
        let made = Record::new(
            endpoint.entity.bits(),
            pin_init!(Vacated {
                host: host.clone(),
                next,
                user,
                moved,
            }),
            GFP_KERNEL_ACCOUNT,
        );
        let Ok(record) = made else {
            host.vacated_of.give_back(user);
            return;
        };
        if host.vacated.insert(&record).is_ok() {
            host.vacated_ages.push(&record);
            record.arm(Time::from_nanos(clock::monotonic()).plus(STABILITY).nanos());
        } else {
            record.stop();
        }
    }
}

impl Host {
    /// A new identifier of this host, T-stable: for a single little-endian (or big-endian) entity, after the machine.
    /// EAGAIN if there is none to give just now; see [`Host::replenish`]. Any context.
    pub fn allocate(&self) -> Result<Entity> {
        let address = self.primary_address();
        for _ in 0..ALLOCATION_TRIES {
            let entity = if self.names_hosts() {
                let discriminator = self.allocator.lock().next(clock::realtime());
                let discriminator = discriminator.ok_or(EAGAIN)?;
                Entity::domain1(own_kind(), false, discriminator, address).ok_or(EAGAIN)?
            } else {
                self.take_of_block().ok_or(EAGAIN)?
            };
            if !self.is_in_use(entity) {
                return Ok(entity);
            }
        }
        Err(EAGAIN)
    }

    /// Sees to it that there is an identifier to give. EADDRNOTAVAIL if all blocks that were tried are in use, EINTR.
    /// Sleeps.
    pub fn replenish(&self) -> Result {
        if self.names_hosts() {
            // The clock gives 10,000 a second.
            clock::sleep_us(100);
            return Ok(());
        }
        self.obtain_block()
    }

    /// Whether an identifier was made for this user by CreateEntity, or was the user's within T.
    pub fn was_given_to(&self, entity: Entity, owner: &Owner) -> bool {
        let user = |other: &Owner| other.caller.euid == owner.caller.euid;
        let made = self.entities.get(entity.bits());
        let lately = self.vacated.get(entity.bits());
        made.is_some_and(|made| user(&made.owner))
            || lately.is_some_and(|vacated| vacated.user == owner.caller.uid)
    }

    /// Whether an identifier is valid here, or was within T.
    pub(super) fn is_in_use(&self, entity: Entity) -> bool {
        self.entities.get(entity.bits()).is_some() || self.vacated.get(entity.bits()).is_some()
    }
}

/// The sort of a single entity of this machine.
pub(super) fn own_kind() -> EntityKind {
    if cfg!(target_endian = "little") {
        EntityKind::LittleEndian
    } else {
        EntityKind::BigEndian
    }
}

/// Identifiers that are looked at to find one that is not in use.
const ALLOCATION_TRIES: u32 = 64;
