// SPDX-License-Identifier: GPL-2.0

//! Searches for the host of an entity: all managers are asked by one Probe, for all who want to know at the same time.
//! When a server moves, all its Clients do.

use super::counters::Counter;
use super::endpoint::Endpoint;
use super::probe::{Found, Purpose};
use super::remote::RemoteRecord;
use super::{Host, ALL_HOSTS, ATOMIC};
use crate::kernel::array::Array;
use crate::kernel::lock::{new_spinlock_bh, SpinLockBh};
use crate::kernel::record::{Record, Recorded, Ref};
use crate::proto::manager::LOCATE_RETRIES;
use crate::proto::peer::Peer;
use crate::proto::time::Time;
use crate::proto::wire::{Entity, Transaction};
use kernel::prelude::*;

/// How often a Probe for an entity that has moved is repeated: it is somewhere, and many may look for it at once.
const MOVED_RETRIES: u8 = 5;

/// Who wants to know where an entity is, and whether a host has said that it moved.
#[derive(Clone)]
pub struct Seeker {
    /// Who it is.
    pub who: Who,
    /// A host has said that the entity moved.
    pub moved: bool,
}

/// Who wants to know where an entity is.
#[derive(Clone)]
pub enum Who {
    /// A transaction of which it is the Server.
    Call(Ref<Endpoint>, Transaction),
    /// The record of a Client that has moved, or of one whose Request is forwarded to it.
    Record(Ref<RemoteRecord>),
}

impl Seeker {
    fn tell(&self, peer: Option<Peer>) {
        match &self.who {
            Who::Call(endpoint, transaction) => Endpoint::located(endpoint, *transaction, peer),
            Who::Record(record) => RemoteRecord::located(record, peer),
        }
    }
}

/// A search under way, found by the entity.
#[pin_data]
pub struct Search {
    /// It is for an entity that has moved.
    moved: bool,
    /// None when it has ended.
    #[pin]
    seekers: SpinLockBh<Option<Array<Seeker>>>,
}

impl Recorded for Search {
    // It ends with its Probe.
    fn expired(_record: Ref<Self>) {}
}

impl Search {
    /// The seeker is told as well; it comes back if the search has ended meanwhile, or there is no memory.
    fn join(&self, seeker: Seeker) -> core::result::Result<(), Seeker> {
        match &mut *self.seekers.lock() {
            Some(seekers) => seekers.push(seeker, ATOMIC),
            None => Err(seeker),
        }
    }

    /// It has ended. `again` says whether those that wanted a longer one get it: not for want of room, of which each search
    /// would only take what another has.
    pub(super) fn end(search: &Ref<Self>, host: &Host, found: &Found, again: bool) {
        host.searches.remove(search);
        let Some(seekers) = search.seekers.lock().take() else {
            return;
        };
        let peer = found.result.is_ok().then_some(found.peer);
        for seeker in &*seekers {
            if again && peer.is_none() && seeker.moved && !search.moved {
                // It joined one that gives up sooner.
                host.locate(Entity::from_bits(search.key()), seeker.clone());
            } else {
                seeker.tell(peer);
            }
        }
    }
}

impl Host {
    /// Looks for the host of an entity by asking all managers, unless they are being asked for it already.
    pub(super) fn locate(&self, entity: Entity, seeker: Seeker) {
        let known = self.searches.get(entity.bits());
        let seeker = match known.map(|search| search.join(seeker.clone())) {
            Some(Ok(())) => return,
            Some(Err(seeker)) => seeker,
            None => seeker,
        };
        if self.search(entity, seeker.clone()).is_err() {
            self.count(Counter::DropNoMemory);
            seeker.tell(None);
        }
    }

    fn search(&self, entity: Entity, seeker: Seeker) -> Result {
        let moved = seeker.moved;
        let mut seekers = Array::new();
        seekers.push(seeker, ATOMIC).map_err(|_| ENOMEM)?;
        let search = Record::new(
            entity.bits(),
            pin_init!(Search { moved, seekers <- new_spinlock_bh!(Some(seekers), "vmtp::search") }),
            ATOMIC,
        )?;
        // Of two that begin at the same time the second is for itself: nobody joins it.
        let _ = self.searches.insert(&search);
        let all = Peer::inet(ALL_HOSTS.octets());
        let purpose = Purpose::Search(search.clone());
        let retries = if moved { MOVED_RETRIES } else { LOCATE_RETRIES };
        let begun = self.probe(entity, entity, all, retries, Time::NEVER, purpose);
        if begun.is_err() {
            Search::end(&search, self, &Found::NOTHING, false);
        }
        Ok(())
    }
}
