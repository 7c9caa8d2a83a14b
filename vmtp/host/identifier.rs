// SPDX-License-Identifier: GPL-2.0

//! How identifiers are given out, and how those that were valid lately are remembered, so that they mean nothing else
//! for T. What an identifier stands for is in `endpoint`.

use super::endpoint::{Endpoint, Owner};
use super::Host;
use crate::kernel::clock;
use crate::kernel::pernet::StateRef;
use crate::kernel::record::{Record, Recorded, Ref};
use crate::proto::time::{Span, Time};
use crate::proto::wire::{Entity, EntityKind, Transaction};
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::prelude::*;

/// T: how long an identifier stays invalid before it may mean something else.
const STABILITY: Span = Span::from_millis(600_000);

/// An identifier that was valid until lately.
#[pin_data(PinnedDrop)]
pub struct Vacated {
    host: StateRef<Host>,
    /// The Transaction that its Client would have used next.
    pub(super) next: Transaction,
    /// Whose it was: it is nobody else's meanwhile.
    pub(super) user: u32,
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

    /// The identifier may mean something else from now on.
    pub(super) fn forget(self: &Record<Self>) {
        self.host.vacated.remove(self);
        self.host.vacated_ages.remove(self);
        self.stop();
    }

    /// Without memory it is forgotten. Of one user so many are remembered that those of others stay. Sleeps.
    pub(super) fn remember(endpoint: &Endpoint, next: Transaction, moved: bool) {
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
