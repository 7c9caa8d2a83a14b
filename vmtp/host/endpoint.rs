// SPDX-License-Identifier: GPL-2.0

//! A local entity: one socket's identifier with its two sides. What the sides do is in `client` and `server`, how
//! identifiers are given out and taken back in `identifier`, what its Requests occupy in `charge`.

use super::charge::{Charge, Memory};
use super::client::ClientSide;
use super::identifier::Vacated;
use super::nested::Nested;
use super::service::ServiceState;
use super::settings::Setting;
use super::{Host, ATOMIC};
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
use crate::proto::context::ProbeClients;
use crate::proto::server::Service;
use crate::proto::time::Time;
use crate::proto::wire::{Code, Entity, Header, Transaction};
use crate::socket::options::Options;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Among the wake-ups that are counted: the socket was shut down. The count itself comes there after 2^31.
const SHUT: u32 = 1 << 31;

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
        if host.is_full(Setting::EntitiesMax, |host| host.entities.len()) {
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
        if record.sk.is_none() && matches!(record.role, Role::Ordinary) {
            host.created.fetch_sub(1, Ordering::Relaxed);
        }
        let moved = record.moved.load(Ordering::Acquire);
        Vacated::remember(record, record.close_client(), moved);
        // Those that wait for transactions find them gone, and no other starts.
        record.wake_receiver();
        record.wake_sender();
        Self::leave_all(record);
        if record.is_frozen() && !moved {
            // Its Clients' records are what they are of any entity that goes, and of the next of this name.
            record.thaw_records();
        }
        host.entities.remove(record);
        host.ways_changed();
        Self::end_requests(record);
    }

    /// DeleteEntity: it is no more, whatever its socket does; that has the error EIDRM. Sleeps.
    pub(super) fn delete(record: &Ref<Self>) {
        Self::release(record);
        if let Some(sk) = &record.sk {
            sk.set_error(Errno::EIDRM.into());
            sk.shut_down(true, true);
        }
    }

    /// A socket is to bind an identifier that CreateEntity made for its user: what holds the place goes. Sleeps; call
    /// without the socket's lock.
    pub fn adopt(host: &StateRef<Host>, entity: Entity, owner: &Owner) {
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

    /// Its socket receives nothing any more. Who waits for a Response looks only when there is something new.
    pub fn shut(&self) {
        self.wakes.fetch_or(SHUT, Ordering::AcqRel);
        self.wake_receiver();
    }

    /// Whether [`Endpoint::wakes`] says that its socket may receive nothing any more.
    #[inline]
    pub fn may_be_shut(wakes: u32) -> bool {
        wakes & SHUT != 0
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
        let bound = self.sk().map_or(0, |sk| sk.wishes().interface);
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

    /// Whether what it has not received yet fills SO_RCVBUF, or that of all entities its part of the machine's memory. Then
    /// whoever occupies nothing may still have a message: none can keep all others from working.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        let Some(sk) = &self.sk else {
            return !matches!(self.role, Role::Manager);
        };
        let used = self.memory.used();
        used.saturating_add(sk.receive_memory()) >= sk.receive_buffer()
            || (used != 0 && Charge::all_fill(&self.host))
    }

    /// Whether another Request fits its queue, and its memory if there is some.
    pub(super) fn has_room(&self, memory: bool) -> bool {
        memory && self.queued() < self.options.request_queue()
    }

    /// Whether a message has someone who waits for it, if it asks for that (CMD): in one of these calls, or by poll.
    #[inline]
    pub(super) fn is_awaited(&self, header: &Header, calls: &AtomicU32) -> bool {
        !header.code.has(Code::CMD)
            || calls.load(Ordering::Relaxed) != 0
            || self.sk().is_some_and(|sk| sk.is_polled())
    }

    /// What the server can do for this Request now. `memory` says whether there is memory for another packet of it.
    pub(super) fn service(&self, header: &Header, memory: bool, now: Time) -> Service {
        let queued = self.queued.load(Ordering::Relaxed);
        let most = self.options.request_queue();
        Service {
            waiting: self.is_awaited(header, &self.callers) && self.may_begin(),
            memory,
            room: self.has_room(memory),
            probe: match self.options.probe_clients() {
                Some(ProbeClients::Never) => false,
                // What a flood of forged Requests could fill is kept for Clients that are there.
                _ if queued.saturating_mul(2) > most => true,
                Some(policy) => self.host.must_probe(policy, now),
                None => self
                    .host
                    .must_probe(self.host.settings.probe_clients(), now),
            },
        }
    }

    /// Requests that users have and have not answered; datagrams, which have no answer, are not among them.
    #[inline]
    pub(super) fn in_hand(&self) -> u32 {
        self.memory.in_hand()
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
