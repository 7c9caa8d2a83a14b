// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Decentralised allocation of entity identifiers (RFC 1045, IV.4): a host of a domain whose identifiers
//! name no host claims a block of 256 at a time, and has it if no other host objects to its
//! ProbeEntityBlocks.
//!
//! Which identifiers are in use, and for how long they stay so, is asked of the host.

use super::manager::request;
use super::time::{Span, Time};
use super::wire::{
    Entity, EntityKind, Header, Parameters, ProbeEntityBlock, ProbeEntityBlockResults, Results,
    Transaction,
};

/// Identifiers of a block: those that differ in the low-order 8 bits only (IV.4, note 1).
pub const BLOCK_SIZE: u16 = 256;

/// How often a block is probed before it is taken, R of IV.4. Whoever has it must hear one of them, and be
/// heard.
pub const BLOCK_PROBES: u8 = 4;

/// How long an objection to a ProbeEntityBlock is waited for: many round trips of the one network that such
/// a domain has.
pub const OBJECTION_TIME: Span = Span::from_millis(100);

/// How often an objection is repeated, because it may be lost, unless its host asks again (IV.4, note 3):
/// with the first it is three packets for one (decision: no amplifier).
pub const OBJECTION_REPETITIONS: u32 = 2;

/// How long after the one before.
pub const REPETITION_TIME: Span = Span::from_millis(30);

/// Blocks that are tried before the claim fails. With blocks of 52 random bits one is enough, unless
/// somebody objects to everything.
pub const BLOCKS_TRIED: u8 = 8;

/// A block that the host has: it is "reserved for allocation", whatever of it is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    base: Entity,
    used: u16,
}

impl Block {
    /// Its next identifier, each given out once. `None` when none is left.
    pub fn take(&mut self) -> Option<Entity> {
        if self.used >= BLOCK_SIZE {
            return None;
        }
        let entity = Entity::from_bits(self.base.bits() | u64::from(self.used));
        self.used = self.used.saturating_add(1);
        Some(entity)
    }

    /// Identifiers that it has still to give.
    pub const fn left(&self) -> u16 {
        BLOCK_SIZE.saturating_sub(self.used)
    }

    /// Whether an identifier is of the block.
    pub const fn contains(&self, entity: Entity) -> bool {
        block_of(entity).bits() == self.base.bits()
    }
}

/// The identifier that a block is named by.
pub const fn block_of(entity: Entity) -> Entity {
    Entity::from_bits(entity.bits() & !(BLOCK_SIZE as u64 - 1))
}

/// A block that is being probed. Nobody else is to have it meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    base: Entity,
    /// The Transaction of its Requests: 0 as long as the host has no identifier of its own (note 2).
    transaction: Transaction,
    transmissions: u8,
    tried: u8,
    objected: bool,
    deadline: Time,
}

/// What is to be done about a [`Claim`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimStep {
    /// Nothing until its deadline, or an objection.
    Wait,
    /// Multicast this ProbeEntityBlock to the managers of the domain.
    Send(Header),
    /// Nobody objected: the block is the host's.
    Taken(Block),
    /// Every block that was tried is in use.
    Failed,
}

impl Claim {
    /// The claim of a block chosen by `random`, for identifiers of little-endian entities or big-endian
    /// ones.
    pub fn new(little_endian: bool, transaction: Transaction, random: u64) -> Claim {
        Claim {
            base: chosen(little_endian, random),
            transaction,
            transmissions: 0,
            tried: 1,
            objected: false,
            deadline: Time::from_nanos(0),
        }
    }

    /// When [`Claim::step`] wants to be called, if nobody objects. At once, first.
    pub const fn deadline(&self) -> Time {
        self.deadline
    }

    /// Whether somebody objected since the last step.
    pub const fn is_objected(&self) -> bool {
        self.objected
    }

    /// Whether an identifier is of the block that is being claimed.
    pub const fn contains(&self, entity: Entity) -> bool {
        block_of(entity).bits() == self.base.bits()
    }

    /// A Response to the host's own Client, or to the default client: whether it objects to the claim. One
    /// that names another block does not (III, ProbeEntityBlock): the next transmission asks again.
    pub fn objection(&mut self, response: &Header) -> bool {
        let objects = response.transaction == self.transaction
            && ProbeEntityBlockResults::decode(&response.mcb())
                .is_ok_and(|results| results.entity == self.base);
        self.objected |= objects;
        objects
    }

    /// The deadline has come, or somebody objected. `client` is the host's own Client, or the default client
    /// of its byte order; `random` chooses another block.
    pub fn step(&mut self, client: Entity, domain: u16, now: Time, random: u64) -> ClaimStep {
        if self.objected {
            if self.tried >= BLOCKS_TRIED {
                return ClaimStep::Failed;
            }
            *self = Claim {
                tried: self.tried.saturating_add(1),
                ..Claim::new(self.base.is_little_endian(), self.transaction, random)
            };
        } else if !self.deadline.has_come(now) {
            return ClaimStep::Wait;
        }
        if self.transmissions >= BLOCK_PROBES {
            return ClaimStep::Taken(Block {
                base: self.base,
                used: 0,
            });
        }
        let parameters = ProbeEntityBlock { entity: self.base };
        let mut header = request(client, domain, self.transaction, parameters.encode());
        header.control = header.control.with_retransmit_count(self.transmissions);
        self.transmissions = self.transmissions.saturating_add(1);
        self.deadline = now.plus(OBJECTION_TIME);
        ClaimStep::Send(header)
    }
}

/// The block that a random number chooses: of single entities, not aliases. Not that of the default
/// clients, nor the one whose first would be no identifier at all.
fn chosen(little_endian: bool, random: u64) -> Entity {
    let (kind, default) = if little_endian {
        (EntityKind::LittleEndian, Entity::DEFAULT_LECLIENT)
    } else {
        (EntityKind::BigEndian, Entity::DEFAULT_BECLIENT)
    };
    let of = |number| block_of(Entity::from_bits(number).with_kind(kind));
    let base = of(random);
    if base == block_of(default) || base == of(0) {
        // Any other: its neighbour.
        return of(random.wrapping_add(u64::from(BLOCK_SIZE)));
    }
    base
}
