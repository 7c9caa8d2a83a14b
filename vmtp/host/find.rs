// SPDX-License-Identifier: GPL-2.0

//! Where an entity is, as far as this host knows: the cache of places, the ways to hosts, and what throws them out. The
//! records themselves are in `path`; asking all hosts is in `probe`.

use super::path::{self, PathRecord, PlaceRecord};
use super::settings::Setting;
use super::{Host, EVICT_TRIES};
use crate::kernel::record::Ref;
use crate::proto::client::Found;
use crate::proto::peer::Peer;
use crate::proto::time::Time;
use crate::proto::wire::Entity;
use core::net::Ipv4Addr;
use kernel::prelude::*;

/// Where to send to an entity.
#[derive(Clone, Copy)]
pub struct Destination {
    /// The host or host group; not known if it must be found.
    pub peer: Peer,
    /// Whether a failure there is believed.
    pub found: Found,
    /// Whether `peer` is a multicast address.
    pub multicast: bool,
}

impl Host {
    /// The way to a host, made if it is not known. Any context.
    pub fn path(&self, peer: &Peer, now: Time) -> Result<Ref<PathRecord>> {
        let key = path::key(peer);
        if let Some(record) = self.paths.get(key) {
            record.touch();
            return Ok(record);
        }
        let record = PathRecord::make(self.to_ref()?, *peer, now)?;
        let paths = |host: &Host| host.paths.len();
        if self.is_full(Setting::PathsMax, paths) {
            let forgotten = self.evict(paths, |host| {
                let old = host.path_ages.evict(EVICT_TRIES, PathRecord::is_unused)?;
                host.paths.remove(&old);
                host.ways_changed();
                old.stop();
                Some(())
            });
            if forgotten.is_none() {
                // It works without being remembered, and without a timer: nobody would stop that.
                record.stop();
                return Ok(record);
            }
        }
        match self.paths.insert(&record) {
            Ok(()) => {
                self.path_ages.push(&record);
                record.keep(now);
                Ok(record)
            }
            Err(_) => Ok(self.paths.get(key).unwrap_or_else(|| {
                record.stop();
                record
            })),
        }
    }

    /// Where to send to an entity, and whether that is certain: this host, the cache, the address in the identifier if
    /// there is one, or nowhere yet.
    pub fn find(&self, entity: Entity, now: Time) -> Destination {
        if let Some(address) = entity.host_group() {
            return Destination {
                peer: Peer::inet(address),
                found: Found::Certain,
                multicast: true,
            };
        }
        if self.entities.get(entity.bits()).is_some() {
            return Destination {
                peer: Peer::inet([127, 0, 0, 1]),
                found: Found::Certain,
                multicast: false,
            };
        }
        let guessed = |peer| Destination {
            peer,
            found: Found::Guessed,
            multicast: false,
        };
        if let Some(place) = self.places.get(entity.bits()) {
            return guessed(place.peer(now));
        }
        guessed(if self.names_hosts() {
            embedded(entity)
        } else {
            Peer::NONE
        })
    }

    /// Whether an entity is known to be at a host by more than what came from there: its identifier names the host, or
    /// where identifiers name none, it was found there.
    pub(super) fn vouches(&self, entity: Entity, peer: &Peer, now: Time) -> bool {
        let known = if self.names_hosts() {
            embedded(entity)
        } else {
            self.find(entity, now).peer
        };
        known.is_same_host(peer)
    }

    /// Where to send to a Client whose Request was passed on by a server: nobody has heard it here, but whoever sends a
    /// Request in its name may pretend. So its identifier says it, unless another host was asked and had it.
    pub(super) fn find_client(&self, client: Entity, now: Time) -> Peer {
        let heard = self.find(client, now);
        if heard.found == Found::Certain {
            return heard.peer;
        }
        let place = self.places.get(client.bits());
        let found = place.map_or(Peer::NONE, |place| place.found());
        if found.is_known() {
            return found;
        }
        let named = if self.names_hosts() {
            embedded(client)
        } else {
            Peer::NONE
        };
        if named.is_known() {
            named
        } else {
            heard.peer
        }
    }

    /// An entity was heard from a host.
    #[inline]
    pub fn learn(&self, entity: Entity, peer: &Peer) {
        let named = peer
            .as_inet()
            .is_some_and(|address| address == entity.address());
        // The usual case: it is where its identifier says, and so is everybody.
        if named && self.names_hosts() && self.places.is_empty() {
            return;
        }
        self.learn_place(entity, peer, false, Self::now());
    }

    /// The manager of a host was asked for an entity, and has it.
    pub(super) fn learn_found(&self, entity: Entity, peer: &Peer) {
        self.learn_place(entity, peer, true, Self::now());
    }

    fn learn_place(&self, entity: Entity, peer: &Peer, found: bool, now: Time) {
        if entity.is_group() || entity.is_zero() {
            return;
        }
        if !self.places.is_empty() {
            if let Some(place) = self.places.get(entity.bits()) {
                if place.moved(*peer, found, now) {
                    self.ways_changed();
                }
                return;
            }
        }
        let address = peer.as_inet().unwrap_or([0; 4]);
        let [first, ..] = address;
        if first == 127 || (self.names_hosts() && entity.address() == address) {
            return;
        }
        let places = |host: &Host| host.places.len();
        if self.is_full(Setting::PlacesMax, places) {
            let forgotten = self.evict(places, |host| {
                let old = host.place_ages.evict(EVICT_TRIES, |_| true)?;
                host.forget_place(&old);
                Some(())
            });
            if forgotten.is_none() {
                return;
            }
        }
        if let Ok(host) = self.to_ref() {
            if let Ok(record) = PlaceRecord::make(host, entity, *peer, found, now) {
                if self.places.insert(&record).is_ok() {
                    self.place_ages.push(&record);
                    self.ways_changed();
                } else {
                    record.stop();
                }
            }
        }
    }

    /// What the cache says of an entity proved wrong.
    pub fn unlearn(&self, entity: Entity) {
        if let Some(place) = self.places.get(entity.bits()) {
            self.forget_place(&place);
        }
    }

    pub(super) fn forget_place(&self, place: &Ref<PlaceRecord>) {
        self.places.remove(place);
        self.ways_changed();
        self.place_ages.remove(place);
        place.stop();
    }

    pub(super) fn forget_path(&self, path: &Ref<PathRecord>) {
        self.paths.remove(path);
        self.ways_changed();
        self.path_ages.remove(path);
        path.stop();
    }
}

/// The host that the identifier of a Domain 1 entity names.
fn embedded(entity: Entity) -> Peer {
    let address = entity.address();
    let [first, ..] = address;
    let usable = Ipv4Addr::from(address);
    if usable.is_unspecified() || usable.is_multicast() || usable.is_broadcast() || first == 0 {
        return Peer::NONE;
    }
    Peer::inet(address)
}
