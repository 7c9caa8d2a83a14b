// SPDX-License-Identifier: GPL-2.0

//! The blocks of identifiers that this host has in a domain whose identifiers are allocated in blocks (IV.4): claimed by
//! `proto::block`, and defended against others. An objection to what was asked by multicast is repeated. Only the block that is given out of is remembered: of one before it an
//! identifier is in use as long as it is valid or was lately.

use super::counters::Counter;
use super::identifier::own_kind;
use super::transmit::Manner;
use super::{Host, ALL_HOSTS, ATOMIC};
use crate::kernel::errno::Errno;
use crate::kernel::lock::{new_spinlock_bh, SpinLockBh};
use crate::kernel::pernet::StateRef;
use crate::kernel::random;
use crate::kernel::record::{Record, Recorded, Ref};
use crate::kernel::table::Table;
use crate::kernel::wait::{new_wait_queue, Wait, WaitQueue};
use crate::proto::block::{
    block_of, Block, Claim, ClaimStep, BLOCK_SIZE, OBJECTION_REPETITIONS, REPETITION_TIME,
};
use crate::proto::peer::Peer;
use crate::proto::server::Source;
use crate::proto::wire::{
    Entity, EntityKind, Header, Parameters, ProbeEntityBlock, ProbeEntityBlockResults, Results,
    Transaction,
};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;
use kernel::sync::Mutex;

/// With fewer identifiers left another block is claimed, so that whoever cannot wait finds one.
const LOW: u16 = 64;

/// See the file.
#[pin_data]
pub struct Blocks {
    /// Held to claim one: one at a time.
    #[pin]
    claiming: Mutex<()>,
    #[pin]
    inner: SpinLockBh<Inner>,
    /// Where whoever claims waits for objections.
    #[pin]
    heard: WaitQueue,
    /// To the claims of others, to be repeated: by their addresses.
    #[pin]
    objections: Table<Objection>,
}

struct Inner {
    /// What is given out of, and the one for later.
    present: Option<Block>,
    next: Option<Block>,
    claim: Option<Claim>,
}

impl Inner {
    fn left(&self) -> u16 {
        let of = |block: &Option<Block>| block.as_ref().map_or(0, Block::left);
        of(&self.present).saturating_add(of(&self.next))
    }
}

impl Blocks {
    /// None yet.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Blocks {
            claiming <- kernel::new_mutex!((), "vmtp::claiming"),
            inner <- new_spinlock_bh!(Inner { present: None, next: None, claim: None }, "vmtp::blocks"),
            heard <- new_wait_queue!("vmtp::objections"),
            objections <- Table::new(OBJECTIONS_MAX),
        }? Error)
    }

    /// Objects to nothing any more. Sleeps.
    pub(super) fn clear(&self) {
        self.objections.clear();
    }
}

/// Hosts whose questions are objected to at a time.
const OBJECTIONS_MAX: u32 = 64;

/// An answer to a ProbeEntityBlock.
#[pin_data]
pub struct Objection {
    host: StateRef<Host>,
    question: Header,
    source: Source,
    repetitions: AtomicU32,
}

impl Recorded for Objection {
    fn expired(record: Ref<Self>) {
        record.host.object(&record.question, &record.source);
        if record.repetitions.fetch_sub(1, Ordering::Relaxed) > 1 {
            record.arm(Host::now().plus(REPETITION_TIME).nanos());
        } else {
            record.host.blocks.objections.remove(&record);
        }
    }
}

impl Host {
    /// The next identifier of the host's block, if there is one left. Any context.
    pub(super) fn take_of_block(&self) -> Option<Entity> {
        let mut inner = self.blocks.inner.lock();
        if inner.present.as_ref().is_none_or(|block| block.left() == 0) {
            inner.present = inner.next.take().or(inner.present.take());
        }
        let entity = inner.present.as_mut().and_then(Block::take);
        let low = entity.is_some() && inner.left() < LOW;
        drop(inner);
        if low {
            self.begin_work();
        }
        entity
    }

    /// Has a block with an identifier left, claimed if need be. EADDRNOTAVAIL if all that were tried are in use, EINTR,
    /// ENOMEM. Sleeps.
    pub(super) fn obtain_block(&self) -> Result {
        let _claiming = self.blocks.claiming.lock();
        if self.blocks.inner.lock().left() != 0 {
            return Ok(());
        }
        self.claim_block()
    }

    /// Claims another block while there are still identifiers left of one. Sleeps.
    pub(super) fn refill(&self) {
        let _claiming = self.blocks.claiming.lock();
        let inner = self.blocks.inner.lock();
        let low = inner.present.is_some() && inner.left() < LOW;
        drop(inner);
        if low {
            // Whoever finds none left tries again, and is told.
            let _ = self.claim_block();
        }
    }

    fn claim_block(&self) -> Result {
        let client = self.manager();
        // Note 2 of IV.4.
        let transaction = if client == Entity::DEFAULT_LECLIENT {
            Transaction::from_bits(0)
        } else {
            self.next_transaction()
        };
        let little_endian = own_kind() == EntityKind::LittleEndian;
        let claim = Claim::new(little_endian, transaction, random::u64());
        self.blocks.inner.lock().claim = Some(claim);
        let result = self.pursue_claim(client);
        self.blocks.inner.lock().claim = None;
        result
    }

    fn pursue_claim(&self, client: Entity) -> Result {
        let all = self.path(&Peer::inet(ALL_HOSTS.octets()), Host::now())?;
        while !self.closing.load(Ordering::Relaxed) {
            let now = Host::now();
            let mut inner = self.blocks.inner.lock();
            let claim = inner.claim.as_mut().ok_or(EAGAIN)?;
            let step = claim.step(client, self.domain(), now, random::u64());
            let patience = claim.deadline().since(now);
            if let ClaimStep::Taken(block) = step {
                inner.next = Some(block);
            }
            drop(inner);
            match step {
                ClaimStep::Taken(_) => {
                    self.count(Counter::BlocksTaken);
                    return Ok(());
                }
                ClaimStep::Failed => return Err(Errno::EADDRNOTAVAIL.into()),
                ClaimStep::Wait => {}
                ClaimStep::Send(header) => {
                    self.count(Counter::OutProbes);
                    // Where nobody can be reached nobody objects.
                    let _ = self.send_single(&all, header, &[], &Manner::HOST);
                    self.send_everywhere(&all, header);
                }
            }
            let objected = || {
                let inner = self.blocks.inner.lock();
                let claim = inner.claim.as_ref();
                claim.is_some_and(Claim::is_objected).then_some(())
            };
            let wait = self
                .blocks
                .heard
                .wait(false, Some(patience.nanos()), objected);
            if wait == Wait::Signal {
                return Err(EINTR);
            }
        }
        Err(ENODEV)
    }

    /// A Response to the manager, or to the default client: whether it is an objection to a claim.
    pub(super) fn objection_arrived(&self, header: &Header) -> bool {
        let mut inner = self.blocks.inner.lock();
        let objects = inner
            .claim
            .as_mut()
            .is_some_and(|claim| claim.objection(header));
        drop(inner);
        if objects {
            self.count(Counter::BlocksObjected);
            self.blocks.heard.wake_all();
        }
        objects
    }

    /// ProbeEntityBlock arrived: it is answered if the block is in use. Softirq.
    pub(super) fn block_probed(&self, question: &Header, block: Entity, source: &Source) {
        let address = u64::from(u32::from_be_bytes(source.peer.as_inet().unwrap_or([0; 4])));
        if let Some(before) = self.blocks.objections.get(address) {
            // It has asked again, or about something else.
            self.blocks.objections.remove(&before);
            before.stop();
        }
        if !self.block_in_use(block, source) {
            return;
        }
        self.object(question, source);
        if !source.multicast {
            return;
        }
        let Ok(host) = self.to_ref() else { return };
        let made = Record::new(
            address,
            pin_init!(Objection {
                host,
                question: *question,
                source: *source,
                repetitions: AtomicU32::new(OBJECTION_REPETITIONS),
            }),
            ATOMIC,
        );
        // Without memory or room the first is the only one.
        if let Ok(record) = made {
            if self.blocks.objections.insert(&record).is_ok() {
                record.arm(Host::now().plus(REPETITION_TIME).nanos());
            } else {
                record.stop();
            }
        }
    }

    fn object(&self, question: &Header, source: &Source) {
        let block = ProbeEntityBlock::decode(&question.mcb());
        let results = block.map(|block| ProbeEntityBlockResults {
            entity: block.entity,
        });
        self.answer(question, results.map(|results| results.encode()), source);
    }

    /// Whether one of 256 identifiers is valid here, was lately, or is reserved (IV.4). Its own question, which comes back
    /// to it by multicast, this host does not object to.
    fn block_in_use(&self, entity: Entity, source: &Source) -> bool {
        let inner = self.blocks.inner.lock();
        let has =
            |block: &Option<Block>| block.as_ref().is_some_and(|block| block.contains(entity));
        let reserved = has(&inner.present) || has(&inner.next);
        let claimed = inner
            .claim
            .as_ref()
            .is_some_and(|claim| claim.contains(entity));
        drop(inner);
        let base = block_of(entity).bits();
        reserved
            || (claimed && !self.is_from_here(&source.peer))
            || (0..u64::from(BLOCK_SIZE))
                .any(|number| self.is_in_use(Entity::from_bits(base | number)))
    }

    /// There is something for `Worker::work`. Any context.
    pub(super) fn begin_work(&self) {
        // The host of Domain 1 works for all.
        if let Some(first) = Host::of(self.net()) {
            first.work.schedule();
        }
    }
}
