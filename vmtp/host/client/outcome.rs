// SPDX-License-Identifier: GPL-2.0

//! What came of a Client's transactions, as their user takes it.

use super::side::ReplySlot;
use crate::host::endpoint::Endpoint;
use crate::host::ATOMIC;
use crate::kernel::skb_queue::SkbQueue;
use crate::proto::client::Delivery;
use crate::proto::peer::Peer;
use crate::proto::wire::{Entity, ResponseCode, Transaction};

/// What came of a transaction.
pub struct Outcome {
    /// The transaction.
    pub transaction: Transaction,
    /// What was given with it.
    pub cookie: u64,
    /// Who answered; the Server that was asked if nobody did.
    pub server: Entity,
    /// Where that is.
    pub peer: Peer,
    /// The code if there is no Response.
    pub failure: Option<ResponseCode>,
    /// How the Response is delivered.
    pub delivery: Option<Delivery>,
    /// In the order of the segment.
    pub packets: SkbQueue,
    /// Octets of the segment that its user has already.
    pub offset: u32,
}

/// Whose outcome is wanted.
pub enum Whose {
    /// The oldest of any transaction that nobody waits for in particular.
    Any,
    /// That of this transaction.
    Of(Transaction),
    /// The rest of the Response of this Server to this transaction.
    Rest(Transaction, Entity),
}

impl Endpoint {
    /// What has come of the open transactions and was not taken. With `peek` it stays, and the outcome has copies of its
    /// packets.
    pub fn take_outcome(&self, which: &Whose, peek: bool) -> Option<Outcome> {
        let mut side = self.client.lock();
        let mut outcome = None;
        for slot in side.slots.iter_mut() {
            let slot = &mut **slot;
            let transaction = slot.call.transaction();
            match *which {
                Whose::Any if slot.claims != 0 => continue,
                Whose::Of(wanted) | Whose::Rest(wanted, _) if wanted != transaction => continue,
                Whose::Any | Whose::Of(_) | Whose::Rest(..) => {}
            }
            let wanted = |reply: &&mut ReplySlot| {
                let mine = match *which {
                    Whose::Rest(_, server) => reply.offset != 0 && reply.reply.server() == server,
                    Whose::Any | Whose::Of(_) => true,
                };
                mine && reply.delivery.is_some() && !reply.taken
            };
            if let Some(reply) = slot.replies.iter_mut().find(wanted) {
                let packets = if peek {
                    reply.packets.try_clone(ATOMIC).ok()?
                } else {
                    reply.taken = true;
                    core::mem::take(&mut reply.packets)
                };
                outcome = Some(Outcome {
                    transaction,
                    cookie: slot.cookie,
                    server: reply.reply.server(),
                    peer: reply.reply.peer(),
                    failure: None,
                    delivery: reply.delivery,
                    packets,
                    offset: reply.offset,
                });
                break;
            }
            let failed = !matches!(which, Whose::Rest(..)) && !slot.outcome_taken;
            if let Some(code) = slot.outcome.filter(|_| failed) {
                slot.outcome_taken = !peek;
                outcome = Some(Outcome {
                    transaction,
                    cookie: slot.cookie,
                    server: slot.call.server(),
                    peer: slot.call.peer(),
                    failure: Some(code),
                    delivery: None,
                    packets: SkbQueue::new(),
                    offset: 0,
                });
                break;
            }
        }
        let streams = self.options.is_streaming();
        drop(side);
        if outcome.is_some() && streams && !peek {
            // Too many outcomes that are not taken keep the next of the run from starting.
            self.wake_sender();
        }
        outcome
    }

    /// Puts an outcome back that its user could not take, or not all of it.
    pub fn put_outcome_back(&self, outcome: Outcome) {
        let mut side = self.client.lock();
        let slot = side
            .slots
            .iter_mut()
            .find(|slot| slot.call.transaction() == outcome.transaction);
        if let Some(slot) = slot {
            if outcome.failure.is_some() {
                slot.outcome_taken = false;
            } else {
                let mine =
                    |reply: &&mut ReplySlot| reply.taken && reply.reply.server() == outcome.server;
                if let Some(reply) = slot.replies.iter_mut().find(mine) {
                    reply.taken = false;
                    reply.offset = outcome.offset;
                    reply.packets = outcome.packets;
                }
            }
        }
        drop(side);
        self.wake_receiver();
    }

    /// The caller that started a claimed transaction does not wait for it any more.
    pub fn release_claim(&self, transaction: Transaction) {
        let mut side = self.client.lock();
        let slot = side
            .slots
            .iter_mut()
            .find(|slot| slot.call.transaction() == transaction);
        let mut left = false;
        if let Some(slot) = slot {
            slot.claims = slot.claims.saturating_sub(1);
            left = slot.claims == 0 && !slot.is_taken();
        }
        drop(side);
        if left {
            // What came of it meanwhile is anyone's now.
            self.wake_receiver();
        }
    }

    /// Whether something may still come of a transaction, or of any: it was neither aborted nor forgotten.
    pub fn knows(&self, which: &Whose) -> bool {
        let side = self.client.lock();
        let knows = match *which {
            Whose::Of(wanted) => side
                .slots
                .iter()
                .any(|slot| slot.call.transaction() == wanted),
            Whose::Any => !side.slots.is_empty(),
            // Either it is there or it never will be.
            Whose::Rest(..) => false,
        };
        knows
    }

    /// Whether [`Endpoint::take_outcome`] would give something.
    pub fn has_outcome(&self) -> bool {
        let side = self.client.lock();
        let has = side
            .slots
            .iter()
            .filter(|slot| slot.claims == 0)
            .any(|slot| {
                slot.replies
                    .iter()
                    .any(|reply| reply.delivery.is_some() && !reply.taken)
                    || (slot.outcome.is_some() && !slot.outcome_taken)
            });
        has
    }
}
