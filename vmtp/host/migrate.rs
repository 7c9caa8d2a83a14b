// SPDX-License-Identifier: GPL-2.0

//! An entity moves to another host (2.1, IV.1): written out on one, read back on the other, with the records of its Clients,
//! so that what was executed on the one is not executed on the other.
//!
//! While it travels it is frozen: packets for it are dropped in silence, and its Clients repeat them. Then either it has
//! moved, and this host says so (ENTITY_MIGRATED) to whoever asks, or it goes on here.

use super::endpoint::Endpoint;
use super::remote::moved::Image;
use super::remote::RemoteRecord;
use super::Host;
use crate::kernel::array::Array;
use crate::kernel::errno::Errno;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::kernel::table::collect;
use crate::proto::peer::Peer;
use crate::proto::server::{State, SNAPSHOT_OCTETS};
use crate::proto::time::Span;
use crate::proto::wire::{Entity, GroupPermissions, Transaction};
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// The first word of an image: "VMI" and the version of the layout.
const MAGIC: u32 = 0x564D_4902;

/// Octets of its head: the magic, the Client's next Transaction, the entity, its domain, how many memberships and records
/// follow.
const HEAD: usize = 28;

/// Octets of a membership: the group, the permissions.
const MEMBERSHIP: usize = 12;

/// Octets of a record without its segment: the address of its Client, octets of the segment, the snapshot.
const RECORD: usize = 8 + SNAPSHOT_OCTETS;

/// A part of an image.
pub enum Piece<'a> {
    /// So many octets.
    Octets(&'a [u8]),
    /// A segment.
    Segment(&'a Pages),
}

/// Where an image comes from.
pub trait ImageSource {
    /// The next octets. EINVAL if there are not so many, EFAULT.
    fn octets<const N: usize>(&mut self) -> Result<[u8; N]>;
    /// The next so many octets as a segment. ENOMEM too.
    fn segment(&mut self, length: usize) -> Result<Pages>;
}

impl Endpoint {
    /// Whether it is on its way to another host.
    #[inline]
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    /// All records of its Clients. ENOMEM. Sleeps.
    fn records(&self) -> Result<Array<Ref<RemoteRecord>>> {
        collect(
            || self.host().remotes.walk(),
            |record| record.server == self.entity,
        )
    }

    /// Stops it: no Request is taken or handed over any more. Those that its user handles may be answered for `patience` ms.
    /// EBUSY if they are not, or if it is a Client of open transactions, and what `pause` says, which waits before it is looked
    /// again whether they are: it goes on then. Sleeps.
    pub fn freeze(record: &Ref<Self>, patience: u32, pause: &mut dyn FnMut() -> Result) -> Result {
        if record.is_frozen() {
            return Ok(());
        }
        if record.is_released() {
            return Err(Errno::EIDRM.into());
        }
        record.freeze_client()?;
        let until = Host::now().plus(Span::from_millis(patience.into()));
        let result = loop {
            match record.handled() {
                Ok(0) => break Ok(()),
                Ok(_) if until.has_come(Host::now()) => break Err(EBUSY),
                Ok(_) => {
                    if let Err(error) = pause() {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let result = result.and_then(|()| {
            // Nobody has begun with these: their Clients send them again.
            while let Some(delivered) = record.drain_request() {
                delivered.record.unreceive();
            }
            let records = record.records()?;
            for client in records.iter() {
                client.freeze();
            }
            // Whoever gave it up meanwhile has thawed them, some perhaps too early.
            if record.is_released() {
                return Err(Errno::EIDRM.into());
            }
            Ok(())
        });
        if result.is_err() {
            Self::thaw(record);
        }
        result
    }

    /// How many Requests its user has taken and not answered.
    fn handled(&self) -> Result<usize> {
        let mut processing = 0usize;
        for record in self.records()?.iter() {
            let (state, _) = record.look();
            if state.state() == State::Processing {
                processing = processing.wrapping_add(1);
            }
        }
        Ok(processing.saturating_sub(self.waiting_requests()))
    }

    /// Goes on here. Sleeps.
    pub fn thaw(record: &Ref<Self>) {
        record.thaw_records();
        record.frozen.store(false, Ordering::SeqCst);
        record.wake_receiver();
    }

    /// Its records live again: one that stayed frozen would stay for ever. Sleeps.
    pub(super) fn thaw_records(&self) {
        for client in self.host().remotes.walk_in_any_case() {
            if client.server == self.entity {
                RemoteRecord::thaw(&client);
            }
        }
    }

    /// Writes out what is frozen. ENOTCONN if it is not; ENOMEM and what `put` says. Sleeps.
    pub fn write_image(record: &Ref<Self>, put: &mut dyn FnMut(Piece<'_>) -> Result) -> Result {
        if !record.is_frozen() || record.is_released() {
            return Err(Errno::ENOTCONN.into());
        }
        let records = record.records()?;
        let memberships = collect(
            || record.host().members.walk(),
            |membership| membership.endpoint.is(record),
        )?;
        let mut head = [0; HEAD];
        let [first, second, domain, third, fourth] = [
            MAGIC,
            record.current_transaction().bits(),
            record.host().domain().into(),
            u32::try_from(memberships.len())?,
            u32::try_from(records.len())?,
        ]
        .map(u32::to_be_bytes);
        let entity = record.entity.bits().to_be_bytes();
        fill(
            &mut head,
            &[&first, &second, &entity, &domain, &third, &fourth],
        );
        put(Piece::Octets(&head))?;
        for membership in memberships.iter() {
            let (group, permissions) = (membership.key(), membership.permissions.bits());
            let mut octets = [0; MEMBERSHIP];
            fill(
                &mut octets,
                &[&group.to_be_bytes(), &permissions.to_be_bytes()],
            );
            put(Piece::Octets(&octets))?;
        }
        for client in records.iter() {
            let Image {
                octets,
                peer,
                segment,
            } = client.image();
            let length = segment.as_ref().map_or(0, |segment| segment.len());
            let mut whole = [0; RECORD];
            fill(
                &mut whole,
                &[
                    &peer.as_inet().unwrap_or([0; 4]),
                    &u32::try_from(length)?.to_be_bytes(),
                    &octets,
                ],
            );
            put(Piece::Octets(&whole))?;
            if let Some(segment) = &segment {
                put(Piece::Segment(segment))?;
            }
        }
        Ok(())
    }

    /// What was read of an image does not do: it goes without a word. Sleeps.
    pub fn undo_image(record: &Ref<Self>) {
        if let Ok(records) = record.records() {
            for client in records.iter() {
                RemoteRecord::leave(client);
            }
        }
        Self::release(record);
    }

    /// It lives elsewhere now. ENOTCONN if it is not frozen. Sleeps.
    pub fn move_away(record: &Ref<Self>) -> Result {
        if !record.is_frozen() || record.is_released() {
            return Err(Errno::ENOTCONN.into());
        }
        let records = record.records()?;
        record.moved.store(true, Ordering::Release);
        Self::delete(record);
        for client in records.iter() {
            RemoteRecord::leave(client);
        }
        Ok(())
    }

    /// Reads the rest of an image into the entity that [`identity`] told; it goes on here. EINVAL, ENOSPC and what
    /// `source` says. Sleeps.
    pub fn read_image(record: &Ref<Self>, head: &Head, source: &mut impl ImageSource) -> Result {
        record.continue_as(head.next);
        for _ in 0..head.memberships {
            let octets: [u8; MEMBERSHIP] = source.octets()?;
            let group = Entity::from_bits(u64::from_be_bytes(part(&octets, 0)?));
            let permissions = GroupPermissions::from_bits(u32::from_be_bytes(part(&octets, 8)?));
            if !group.is_group() || !group.is_valid() {
                return Err(EINVAL);
            }
            Self::join(record, group, permissions, 0)?;
        }
        for _ in 0..head.records {
            let octets: [u8; RECORD] = source.octets()?;
            let length = u32::from_be_bytes(part(&octets, 4)?) as usize;
            let segment = match length {
                0 => None,
                length if length > crate::proto::wire::MESSAGE_OCTETS_MAX as usize => {
                    return Err(EINVAL)
                }
                length => Some(source.segment(length)?),
            };
            let image = Image {
                octets: part(&octets, 8)?,
                peer: Peer::inet(part(&octets, 0)?),
                segment,
            };
            RemoteRecord::arrive(record, image)?;
        }
        record.frozen.store(false, Ordering::SeqCst);
        Ok(())
    }
}

/// What an image begins with.
pub struct Head {
    /// The entity that moves.
    pub entity: Entity,
    /// Its domain.
    pub domain: u16,
    next: Transaction,
    memberships: u32,
    records: u32,
}

/// Reads the head of an image. EINVAL if it is none. Sleeps.
pub fn identity(source: &mut impl ImageSource) -> Result<Head> {
    let head: [u8; HEAD] = source.octets()?;
    let entity = Entity::from_bits(u64::from_be_bytes(part(&head, 8)?));
    if u32::from_be_bytes(part(&head, 0)?) != MAGIC || !entity.is_client() {
        return Err(EINVAL);
    }
    Ok(Head {
        entity,
        next: Transaction::from_bits(u32::from_be_bytes(part(&head, 4)?)),
        domain: u16::try_from(u32::from_be_bytes(part(&head, 16)?)).map_err(|_| EINVAL)?,
        memberships: u32::from_be_bytes(part(&head, 20)?),
        records: u32::from_be_bytes(part(&head, 24)?),
    })
}

/// Puts parts one behind another; they fit.
fn fill(to: &mut [u8], parts: &[&[u8]]) {
    let mut places = to.iter_mut();
    for octet in parts.iter().flat_map(|part| part.iter()) {
        if let Some(place) = places.next() {
            *place = *octet;
        }
    }
}

/// `N` octets from `at` on.
fn part<const N: usize>(from: &[u8], at: usize) -> Result<[u8; N]> {
    from.get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .ok_or(EINVAL)
}
