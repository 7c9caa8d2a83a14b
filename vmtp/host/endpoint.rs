// SPDX-License-Identifier: GPL-2.0

//! A local entity: one socket's identifier with its two sides, and how identifiers are given out and taken back.
//! What the sides do is in `client` and `server`.

use super::client::ClientSide;
use super::settings::Setting;
use super::{Host, ATOMIC};
use crate::kernel::clock;
use crate::kernel::cred::Caller;
use crate::kernel::errno::Errno;
use crate::kernel::lock::{new_spinlock_bh, SpinLockBh};
use crate::kernel::pernet::StateRef;
use crate::kernel::random;
use crate::kernel::record::{Record, Recorded, Ref};
use crate::kernel::sock::SkRef;
use crate::proto::client::Client;
use crate::proto::server::Service;
use crate::proto::time::{Span, Time};
use crate::proto::wire::{Entity, EntityKind, Transaction};
use crate::socket::options::Options;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;

/// T: how long an identifier stays invalid before it may mean something else.
const STABILITY: Span = Span::from_millis(600_000);

/// A local entity.
#[pin_data]
pub struct Endpoint {
    pub(super) host: StateRef<Host>,
    /// Its identifier.
    pub entity: Entity,
    /// Who opened the socket.
    pub owner: Caller,
    /// The socket's options.
    pub options: Arc<Options>,
    /// As a Client.
    #[pin]
    pub(super) client: SpinLockBh<ClientSide>,
    /// As a server: Requests that wait to be received.
    #[pin]
    pub(super) requests: SpinLockBh<super::ring::Ring<super::remote::Delivered>>,
    /// How many wait, and how many callers wait for them, to be looked at without the lock.
    pub(super) queued: AtomicU32,
    pub(super) callers: AtomicU32,
    /// How many callers wait for a Response.
    pub(super) waiters: AtomicU32,
    /// The socket, until it is closed.
    #[pin]
    socket: SpinLockBh<Option<SkRef>>,
}

impl Recorded for Endpoint {
    type Key = u64;

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
        owner: Caller,
        options: &Arc<Options>,
    ) -> Result<Ref<Self>> {
        if host.entities.len() >= host.settings.get(Setting::EntitiesMax) {
            return Err(Errno::ENOBUFS.into());
        }
        let client = Client::new(entity, super::DOMAIN, Transaction::from_bits(random::u32()));
        let record = Record::new(
            entity.bits(),
            pin_init!(Endpoint {
                host: host.clone(),
                entity,
                owner,
                options: options.clone(),
                client <- new_spinlock_bh!(ClientSide::new(client), "vmtp::client"),
                requests <- new_spinlock_bh!(super::ring::Ring::new(), "vmtp::requests"),
                queued: AtomicU32::new(0),
                callers: AtomicU32::new(0),
                waiters: AtomicU32::new(0),
                socket <- new_spinlock_bh!(Some(sk), "vmtp::socket"),
            }),
            GFP_KERNEL,
        )?;
        match host.entities.insert(&record) {
            Ok(()) => {
                if let Some(vacated) = host.vacated.get(entity.bits()) {
                    host.vacated.remove(&vacated);
                    vacated.stop();
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
        let host = &*record.host;
        record.stop();
        if let Ok(vacated) = Vacated::make(&record.host, record.entity) {
            if host.vacated.insert(&vacated).is_err() {
                vacated.stop();
            }
        }
        Self::leave_all(record);
        host.entities.remove(record);
        let socket = record.socket.lock().take();
        drop(socket);
        record.close_client();
        Self::close_server(record);
    }

    /// Something can be received.
    pub(super) fn wake_receiver(&self) {
        if let Some(sk) = &*self.socket.lock() {
            sk.data_ready();
        }
    }

    /// Another transaction may start.
    pub(super) fn wake_sender(&self) {
        if let Some(sk) = &*self.socket.lock() {
            sk.write_space();
        }
    }

    /// The socket, if it is open.
    pub(super) fn with_socket<R>(
        &self,
        look: impl FnOnce(&crate::kernel::sock::Sk) -> R,
    ) -> Option<R> {
        self.socket.lock().as_ref().map(|sk| look(sk))
    }

    /// What the server can do for a Request now.
    pub(super) fn service(&self, must_probe: bool) -> Service {
        Service {
            waiting: self.callers.load(Ordering::Relaxed) != 0,
            room: self.queued.load(Ordering::Relaxed) < self.options.request_queue(),
            probe: self.options.must_probe(must_probe),
        }
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
#[pin_data]
pub struct Vacated {
    host: StateRef<Host>,
}

impl Recorded for Vacated {
    type Key = u64;

    fn expired(record: Ref<Self>) {
        record.host.vacated.remove(&record);
        record.stop();
    }
}

impl Vacated {
    fn make(host: &StateRef<Host>, entity: Entity) -> Result<Ref<Self>> {
        let record = Record::new(
            entity.bits(),
            pin_init!(Vacated { host: host.clone() }),
            ATOMIC,
        )?;
        record.arm(Time::from_nanos(clock::monotonic()).plus(STABILITY).nanos());
        Ok(record)
    }
}

impl Host {
    /// A new identifier of this host, T-stable: for a single little-endian (or big-endian) entity, after the machine.
    /// EAGAIN if the clock has none to give just now.
    pub fn allocate(&self, address: [u8; 4]) -> Result<Entity> {
        let kind = if cfg!(target_endian = "little") {
            EntityKind::LittleEndian
        } else {
            EntityKind::BigEndian
        };
        for _ in 0..64 {
            let discriminator = self
                .allocator
                .lock()
                .next(clock::realtime())
                .ok_or(EAGAIN)?;
            let entity = Entity::domain1(kind, false, discriminator, address).ok_or(EAGAIN)?;
            let taken = self.entities.get(entity.bits()).is_some()
                || self.vacated.get(entity.bits()).is_some();
            if !taken {
                return Ok(entity);
            }
        }
        Err(EAGAIN)
    }
}
