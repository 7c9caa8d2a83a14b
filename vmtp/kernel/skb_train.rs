// SPDX-License-Identifier: GPL-2.0

//! Received trains: packets that GRO has joined (`bindings/gro.c`). They are taken apart to be looked
//! at one by one, and those that belong together are coupled again, so that they are kept and charged as one.

use super::skb::Skb;
use super::skb_queue::{Iter, SkbQueue};
use crate::bindings;

impl SkbQueue {
    /// The packets behind the first of a received train, in order, each as if it had come by itself. Any context.
    #[inline]
    pub fn behind(first: &mut Skb) -> Self {
        if first.linear().len() == first.len() {
            return Self::new();
        }
        // SAFETY: valid and ours; what comes back is a chain of packets that are ours.
        unsafe { Self::from_chain(bindings::vmtp_helper_train_part(first.as_raw())) }
    }
}

/// Packets that are being coupled.
///
/// # Invariants
///
/// `last` is `first`, or the last packet of its list.
pub struct Coupled {
    first: Skb,
    last: *mut bindings::sk_buff,
}

impl Coupled {
    /// One packet, in one piece of memory; it comes back if it is not.
    pub fn new(first: Skb) -> Result<Self, Skb> {
        if first.linear().len() != first.len() {
            return Err(first);
        }
        let last = first.as_raw();
        Ok(Self { first, last })
    }

    /// Couples another to it, which comes back if it is not in one piece of memory.
    pub fn couple(&mut self, skb: Skb) -> Result<(), Skb> {
        if skb.linear().len() != skb.len() {
            return Err(skb);
        }
        let skb = skb.into_raw();
        // SAFETY: all are valid and ours alone; `last` is by the invariant what it has to be.
        unsafe { bindings::vmtp_helper_train_couple(self.first.as_raw(), self.last, skb) };
        // INVARIANT: it is the last in the list of the first.
        self.last = skb;
        Ok(())
    }

    /// The packets as one: its octets are theirs, one after another.
    pub fn into_skb(self) -> Skb {
        self.first
    }
}

impl Skb {
    /// The packet itself and those that are coupled to it. Of the first only what is [`Skb::linear`] is its own. Any
    /// context.
    #[inline]
    pub fn cars(&self) -> impl Iterator<Item = &Skb> {
        // SAFETY: valid by `Skb`'s invariant; the list belongs to the packet and lasts as long.
        let behind = unsafe { Iter::new(bindings::vmtp_helper_train_list(self.as_raw())) };
        core::iter::once(self).chain(behind)
    }
}
