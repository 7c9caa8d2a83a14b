// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What management procedures carry in segments, in XDR (II, III): the domainlist of QueryVMTPNode,
//! the record of QueryGroup, the threadlist of ModifyService and the descriptor of QueryEntity; and
//! what a ProcessId or PrincipalId is in Domain 1.
//!
//! Lists are written into and read from slices of the caller's, one item at a time.

use super::field::records;
use super::{Field, Record, ServiceFlags};
use crate::proto::wire::{Entity, Reader, Transaction, Writer};

/// A ProcessId in Domain 1, or a PrincipalId in authentication domain 1: the IPv4 address of the
/// host in the high word, the process or user number in the low (V.1).
#[inline]
pub const fn domain1_identifier(address: [u8; 4], number: u32) -> u64 {
    (u32::from_be_bytes(address) as u64) << 32 | number as u64
}

/// Octets of a domainlist with this many domains.
#[inline]
pub const fn domain_list_octets(domains: u32, auth_domains: u32) -> u64 {
    (domains as u64)
        .wrapping_add(auth_domains as u64)
        .wrapping_mul(4)
}

/// Writes a domainlist: 4 octets for each entity domain, then 4 for each authentication domain. How
/// many there are of each is in the message control block. Returns the octets written; None if
/// there is no room.
pub fn write_domain_list(to: &mut [u8], domains: &[u32], auth_domains: &[u32]) -> Option<usize> {
    let mut to = Writer::new(to);
    for domain in domains.iter().chain(auth_domains) {
        to.u32(*domain)?;
    }
    Some(to.written())
}

/// The domainlist of a QueryVMTPNode Response: first the entity domains, then the authentication
/// domains.
#[derive(Clone, Debug)]
pub struct DomainList<'a> {
    domains: Reader<'a>,
    auth_domains: Reader<'a>,
}

impl<'a> DomainList<'a> {
    /// The list in `segment` with the counts from the message control block. None if the segment is
    /// too short.
    pub fn parse(segment: &'a [u8], domains: u32, auth_domains: u32) -> Option<Self> {
        let domains = usize::try_from(domain_list_octets(domains, 0)).ok()?;
        let auth_domains = usize::try_from(domain_list_octets(0, auth_domains)).ok()?;
        let (domains, rest) = segment.split_at_checked(domains)?;
        let (auth_domains, _) = rest.split_at_checked(auth_domains)?;
        Some(DomainList {
            domains: Reader::new(domains),
            auth_domains: Reader::new(auth_domains),
        })
    }

    /// The entity domains, in the order sent.
    pub fn domains(&self) -> impl Iterator<Item = u32> + 'a {
        let mut reader = self.domains.clone();
        core::iter::from_fn(move || reader.u32())
    }

    /// The authentication domains, in the order sent.
    pub fn auth_domains(&self) -> impl Iterator<Item = u32> + 'a {
        let mut reader = self.auth_domains.clone();
        core::iter::from_fn(move || reader.u32())
    }
}

/// Writes the record of a QueryGroup Response: memberCount, and 8 octets for each member.
#[derive(Debug)]
pub struct GroupRecordWriter<'a> {
    count: &'a mut [u8; 4],
    members: Writer<'a>,
    written: u32,
}

impl<'a> GroupRecordWriter<'a> {
    /// An empty record at the start of `to`. None if there is no room for memberCount.
    pub fn new(to: &'a mut [u8]) -> Option<Self> {
        let (count, rest) = to.split_first_chunk_mut::<4>()?;
        Some(GroupRecordWriter {
            count,
            members: Writer::new(rest),
            written: 0,
        })
    }

    /// Appends a member. None if there is no room; the record is then still good without it.
    pub fn push(&mut self, member: Entity) -> Option<()> {
        member.write(&mut self.members)?;
        self.written = self.written.saturating_add(1);
        Some(())
    }

    /// Fills in memberCount. Returns the octets of the record.
    pub fn finish(self) -> usize {
        *self.count = self.written.to_be_bytes();
        self.members.written().saturating_add(4)
    }
}

/// The record of a QueryGroup Response.
#[derive(Clone, Debug)]
pub struct GroupRecord<'a> {
    members: Reader<'a>,
    count: u32,
}

impl<'a> GroupRecord<'a> {
    /// The record at the start of `segment`. None if it is shorter than its memberCount says.
    pub fn parse(segment: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(segment);
        let count = reader.u32()?;
        let octets = u64::from(count).checked_mul(8)?;
        let (members, _) = reader
            .rest()
            .split_at_checked(usize::try_from(octets).ok()?)?;
        Some(GroupRecord {
            members: Reader::new(members),
            count,
        })
    }

    /// memberCount.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The members, in the order sent.
    pub fn members(&self) -> impl Iterator<Item = Entity> + 'a {
        let mut reader = self.members.clone();
        core::iter::from_fn(move || Entity::read(&mut reader))
    }
}

records! {
    /// One thread of the threadlist of ModifyService: 20 octets. The list has `count` of them and
    /// nothing before them.
    ThreadRecord {
        /// The priority of the thread.
        priority: u32,
        /// Where its stack is.
        stack: u32,
        /// Octets of its stack.
        stack_size: u32,
        /// Where its message receive area is.
        segment: u32,
        /// Octets of its message receive area.
        segment_size: u32,
    }

    /// What QueryEntity tells of an entity: 48 octets, cut to the size that the requester allows.
    /// The RFC leaves it open; this is this project's.
    EntityDescriptor {
        /// The entity.
        entity: Entity,
        /// ProcessId.
        process: u64,
        /// PrincipalId.
        principal: u64,
        /// EffectivePrincipalId.
        effective_principal: u64,
        /// The Transaction of the outstanding transaction, or the next one.
        transaction: Transaction,
        /// How it takes its Requests; INCREMENTAL is clear.
        service: ServiceFlags,
        /// Queued messages allowed, or threads.
        count: u32,
        /// Messages queued now.
        queued: u32,
    }
}

impl ThreadRecord {
    /// The records of the threadlist in `segment`; octets after the last whole one are left out.
    pub fn list(segment: &[u8]) -> impl Iterator<Item = ThreadRecord> + '_ {
        let mut reader = Reader::new(segment);
        core::iter::from_fn(move || ThreadRecord::read(&mut reader))
    }
}

impl EntityDescriptor {
    /// The 48 octets.
    pub fn to_octets(&self) -> [u8; 48] {
        const { assert!(<EntityDescriptor as Record>::OCTETS == 48) };
        let mut octets = [0; 48];
        // Always fits: the size is asserted above.
        let _ = self.write(&mut Writer::new(&mut octets));
        octets
    }

    /// Reads a whole descriptor. None if it was cut.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        Self::read(&mut Reader::new(octets))
    }
}
