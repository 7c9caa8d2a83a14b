// SPDX-License-Identifier: GPL-2.0

//! A queue of packets, linked through the packets themselves: it allocates nothing and locks nothing (put it under the
//! lock of what it belongs to). Any context.

use super::skb::{DropReason, Skb};
use super::sock::Sk;
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::{null_mut, NonNull};

/// A queue of [`Skb`]s.
///
/// # Invariants
///
/// `head` is the first of a chain of owned packets, or null if there is none. Forwards it is null-terminated; backwards
/// the first is linked to the last. `length` and `octets` are its sums. `Skb` is a transparent pointer, and a packet's
/// links are ours while it is here.
pub struct SkbQueue {
    head: *mut bindings::sk_buff,
    length: u32,
    octets: u32,
}

// SAFETY: packets belong to no thread.
unsafe impl Send for SkbQueue {}
// SAFETY: `&SkbQueue` only reads.
unsafe impl Sync for SkbQueue {}

/// The link of a packet to the next.
///
/// # Safety
///
/// `skb` is valid and the caller's.
unsafe fn link(skb: *mut bindings::sk_buff) -> *mut *mut bindings::sk_buff {
    // SAFETY: by the caller's promise; of the union's members the list links are those in use.
    unsafe { &raw mut (*skb).__bindgen_anon_1.__bindgen_anon_1.next }
}

/// The link of a packet to the one before.
///
/// # Safety
///
/// `skb` is valid and the caller's.
unsafe fn back(skb: *mut bindings::sk_buff) -> *mut *mut bindings::sk_buff {
    // SAFETY: by the caller's promise; of the union's members the list links are those in use.
    unsafe { &raw mut (*skb).__bindgen_anon_1.__bindgen_anon_1.prev }
}

impl SkbQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            head: null_mut(),
            length: 0,
            octets: 0,
        }
    }

    /// # Safety
    ///
    /// `at` is null or the first of a null-terminated chain of packets, which are given away.
    pub(super) unsafe fn from_chain(mut at: *mut bindings::sk_buff) -> Self {
        let mut queue = Self::new();
        while !at.is_null() {
            // SAFETY: a packet of the chain; its link is read before `push_back` changes it.
            let skb = unsafe {
                let next = *link(at);
                let skb = Skb::from_raw(at);
                at = next;
                skb
            };
            queue.push_back(skb);
        }
        queue
    }

    /// How many packets.
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// What they occupy in memory (truesize).
    pub fn octets(&self) -> usize {
        self.octets as usize
    }

    fn count(&mut self, skb: &Skb) {
        self.octets = self.octets.wrapping_add(skb.truesize() as u32);
        self.length = self.length.wrapping_add(1);
    }

    /// Appends.
    pub fn push_back(&mut self, skb: Skb) {
        self.count(&skb);
        let skb = skb.into_raw();
        // SAFETY: `skb` is ours now, first and last by the invariant.
        unsafe {
            *link(skb) = null_mut();
            if self.head.is_null() {
                *back(skb) = skb;
                self.head = skb;
            } else {
                let last = *back(self.head);
                *back(skb) = last;
                *link(last) = skb;
                *back(self.head) = skb;
            }
        }
    }

    /// Puts in front.
    pub fn push_front(&mut self, skb: Skb) {
        self.count(&skb);
        let skb = skb.into_raw();
        // SAFETY: `skb` is ours now, `head` by the invariant.
        unsafe {
            *link(skb) = self.head;
            if self.head.is_null() {
                *back(skb) = skb;
            } else {
                *back(skb) = *back(self.head);
                *back(self.head) = skb;
            }
        }
        self.head = skb;
    }

    /// Puts it behind the last packet that does not come `after` it. As many packets are looked at as come after it: of a
    /// message those of its group.
    pub fn insert_by(&mut self, skb: Skb, mut after: impl FnMut(&Skb) -> bool) {
        if self.head.is_null() {
            return self.push_back(skb);
        }
        // SAFETY: packets of the chain, valid by the invariant, and only borrowed.
        let (last, before) = unsafe {
            let last = *back(self.head);
            let mut before = last;
            while after(&core::mem::ManuallyDrop::new(Skb::from_raw(before))) {
                if before == self.head {
                    return self.push_front(skb);
                }
                before = *back(before);
            }
            (last, before)
        };
        if before == last {
            self.push_back(skb);
        } else {
            self.count(&skb);
            let skb = skb.into_raw();
            // SAFETY: `skb` is ours now; `before` is in the chain and not its end.
            unsafe {
                let next = *link(before);
                *link(skb) = next;
                *back(skb) = before;
                *back(next) = skb;
                *link(before) = skb;
            }
        }
    }

    /// Shows every packet, to be changed in place.
    pub fn for_each_mut(&mut self, mut each: impl FnMut(&mut Skb)) {
        let mut at = self.head;
        while !at.is_null() {
            // SAFETY: a packet of the chain, valid by the invariant, and only borrowed; what `each` may change is not its
            // link.
            unsafe {
                let mut skb = core::mem::ManuallyDrop::new(Skb::from_raw(at));
                each(&mut skb);
                at = *link(at);
            }
        }
    }

    /// Charges all to the socket's receive memory, as [`Skb::charge_receive`] one. ENOBUFS: some are. Any context.
    pub fn charge_receive(&mut self, sk: &Sk) -> kernel::error::Result {
        let mut result = Ok(());
        self.for_each_mut(|skb| {
            if result.is_ok() {
                result = skb.charge_receive(sk);
            }
        });
        result
    }

    /// A queue of the same packets: their data is shared, they are charged to nobody. With GFP_ATOMIC any context.
    pub fn try_clone(&self, flags: kernel::alloc::Flags) -> kernel::error::Result<Self> {
        let mut clone = Self::new();
        for skb in self.iter() {
            clone.push_back(skb.try_clone(flags)?);
        }
        Ok(clone)
    }

    /// Takes the first.
    pub fn pop_front(&mut self) -> Option<Skb> {
        let skb = NonNull::new(self.head)?.as_ptr();
        // SAFETY: it is ours by the invariant; its links are cleared because C looks at them.
        let skb = unsafe {
            let next = *link(skb);
            if !next.is_null() {
                *back(next) = *back(skb);
            }
            *link(skb) = null_mut();
            *back(skb) = null_mut();
            self.head = next;
            Skb::from_raw(skb)
        };
        self.length = self.length.wrapping_sub(1);
        self.octets = self.octets.wrapping_sub(skb.truesize() as u32);
        Some(skb)
    }

    /// The first.
    pub fn front(&self) -> Option<&Skb> {
        self.iter().next()
    }

    /// All, first to last.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            place: &raw const self.head,
            _queue: PhantomData,
        }
    }

    /// Drops every packet for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&Skb) -> bool) {
        let mut all = core::mem::take(self);
        while let Some(skb) = all.pop_front() {
            if keep(&skb) {
                self.push_back(skb);
            }
        }
    }

    /// Appends all of another queue, which is empty then.
    pub fn append(&mut self, other: &mut SkbQueue) {
        while let Some(skb) = other.pop_front() {
            self.push_back(skb);
        }
    }
}

impl Default for SkbQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl SkbQueue {
    /// Throws all of them away.
    pub fn discard(mut self, reason: DropReason) {
        while let Some(skb) = self.pop_front() {
            skb.discard(reason);
        }
    }
}

impl Drop for SkbQueue {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}

/// See [`SkbQueue::iter`].
///
/// # Invariants
///
/// `place` is the queue's head, the start of a train's list, or the link of a packet in one.
#[derive(Clone)]
pub struct Iter<'a> {
    place: *const *mut bindings::sk_buff,
    _queue: PhantomData<&'a SkbQueue>,
}

impl Iter<'_> {
    /// # Safety
    ///
    /// `place` holds the first of a null-terminated chain of packets, which lasts as long as the iterator.
    pub(super) unsafe fn new(place: *const *mut bindings::sk_buff) -> Self {
        // INVARIANT: by the caller's promise.
        Self {
            place,
            _queue: PhantomData,
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Skb;

    fn next(&mut self) -> Option<&'a Skb> {
        // SAFETY: valid by the invariant, and the queue is borrowed.
        let skb = unsafe { *self.place };
        if skb.is_null() {
            return None;
        }
        // SAFETY: the place holds a pointer that is not null to a packet which the queue owns; `Skb` is just that.
        let found = unsafe { &*self.place.cast::<Skb>() };
        // INVARIANT: the link of a packet in the queue.
        // SAFETY: the packet is valid.
        self.place = unsafe { link(skb) };
        Some(found)
    }
}
