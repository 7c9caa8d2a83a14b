// SPDX-License-Identifier: GPL-2.0

//! A counted record: a value with a key, a place in one hash table (`table`) and a deadline (`timer`), in one allocation.
//! It can be found by others without a lock.

use super::timer::Timer;
use crate::bindings;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::types::Opaque;

/// What a record is found by: one word or two.
pub trait Key: Copy + PartialEq + Send + Sync + 'static {
    /// 1 or 2.
    const WORDS: usize;
    /// The words; of one, the second is 0.
    fn words(self) -> [u64; 2];
    /// The key of these words.
    fn from_words(words: [u64; 2]) -> Self;
}

impl Key for u64 {
    const WORDS: usize = 1;
    fn words(self) -> [u64; 2] {
        [self, 0]
    }
    fn from_words(words: [u64; 2]) -> Self {
        words[0]
    }
}

impl Key for (u64, u64) {
    const WORDS: usize = 2;
    fn words(self) -> [u64; 2] {
        [self.0, self.1]
    }
    fn from_words(words: [u64; 2]) -> Self {
        (words[0], words[1])
    }
}

/// The value in a record.
pub trait Recorded: Sized + Send + Sync + 'static {
    /// What it is found by.
    type Key: Key;

    /// The deadline has passed; there is none now until the next `Record::arm`. In softirq, no lock held. It may come a
    /// little after the deadline was moved or given up elsewhere: look at the state under its lock.
    fn expired(record: Ref<Self>);
}

/// See the file. Used through [`Ref`].
///
/// # Invariants
///
/// `head` is the first member; the value is initialised as long as the count in `head` is above 0.
#[pin_data]
#[repr(C)]
pub struct Record<T> {
    head: Opaque<bindings::vmtp_record_head>,
    #[pin]
    timer: Timer,
    #[pin]
    value: T,
}

// SAFETY: head and timer are atomic or locked.
unsafe impl<T: Send> Send for Record<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Record<T> {}

/// The states of `vmtp_record_head.linked`.
pub(super) const UNLINKED: u32 = 0;
pub(super) const LINKED: u32 = 1;
pub(super) const REMOVED: u32 = 2;

impl<T: Recorded> Record<T> {
    /// Makes a record in place. With GFP_ATOMIC | __GFP_NOWARN any context, if `value` is.
    #[allow(clippy::new_ret_no_self)]
    pub fn new<E>(key: T::Key, value: impl PinInit<T, E>, flags: Flags) -> Result<Ref<T>>
    where
        Error: From<E>,
    {
        let record = KBox::<Self>::try_pin_init::<Error>(
            try_pin_init!(Self {
                head: Opaque::zeroed(),
                timer <- Timer::new::<T>(),
                // SAFETY: the same initialiser, its error changed.
                value <- unsafe {
                    pin_init::pin_init_from_closure(|slot| value.__pinned_init(slot).map_err(Error::from))
                },
            }? Error),
            flags,
        )?;
        let [key0, key1] = key.words();
        // SAFETY: it stays where it is, in a Ref from now on.
        let record = KBox::into_raw(unsafe { Pin::into_inner_unchecked(record) });
        // SAFETY: valid and nobody else's. The count becomes 1.
        unsafe { bindings::vmtp_helper_record_init(record.cast(), key0, key1) };
        // SAFETY: the one count.
        Ok(unsafe { Ref::from_raw(record) })
    }

    /// Another reference. Any context.
    #[inline]
    pub fn to_ref(&self) -> Ref<T> {
        // SAFETY: whoever has a `&Record` holds a count.
        unsafe {
            bindings::vmtp_helper_record_get(self.head.get());
            Ref::from_raw(self)
        }
    }

    /// Its key. Any context.
    #[inline]
    pub fn key(&self) -> T::Key {
        // SAFETY: never written after `new`.
        T::Key::from_words(unsafe { (*self.head.get()).key })
    }

    /// The value, pinned.
    pub fn value(&self) -> Pin<&T> {
        // SAFETY: it never moves.
        unsafe { Pin::new_unchecked(&self.value) }
    }

    /// How many references there are, the table's and the timer's included; for /proc. Any context.
    pub fn references(&self) -> u32 {
        // SAFETY: valid.
        unsafe { bindings::vmtp_helper_record_references(self.head.get()) }
    }

    /// Octets of a record in memory.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    pub(super) fn head(&self) -> *mut bindings::vmtp_record_head {
        self.head.get()
    }

    /// `UNLINKED`, `LINKED`, `REMOVED`.
    pub(super) fn linked(&self) -> &AtomicU32 {
        // SAFETY: a u32 in valid memory that after `new` is accessed only like this.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.head.get()).linked) }
    }

    /// Whether a table has it. Any context.
    pub fn is_linked(&self) -> bool {
        self.linked().load(Ordering::Acquire) == LINKED
    }

    #[inline]
    pub(super) fn timer(&self) -> &Timer {
        &self.timer
    }

    /// # Safety
    ///
    /// `timer` is the timer of a record.
    pub(super) unsafe fn from_timer(timer: *const Timer) -> *const Self {
        // SAFETY: by the caller's promise.
        unsafe { kernel::container_of!(timer, Self, timer) }
    }
}

impl<T> Deref for Record<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A counted reference to a record. Cloning and dropping: any context. The last to drop drops the value at once, in its
/// own context (thus `T`'s drop must not sleep), and frees the memory after an RCU grace period.
///
/// # Invariants
///
/// One count belongs to it.
pub struct Ref<T: Recorded>(NonNull<Record<T>>);

// SAFETY: a shared reference with an atomic count.
unsafe impl<T: Recorded> Send for Ref<T> {}
// SAFETY: as above.
unsafe impl<T: Recorded> Sync for Ref<T> {}

impl<T: Recorded> Ref<T> {
    /// # Safety
    ///
    /// `record` is valid and one count is given away.
    pub(super) unsafe fn from_raw(record: *const Record<T>) -> Self {
        // SAFETY: valid pointers are not null.
        Self(unsafe { NonNull::new_unchecked(record.cast_mut()) })
    }

    /// Keeps the count for whoever has the pointer.
    pub(super) fn into_raw(self) -> *const Record<T> {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// Takes a reference of a record that was found under RCU, unless it is on its way out.
    ///
    /// # Safety
    ///
    /// `head` is of a `Record<T>`, found in an RCU read section that still lasts.
    pub(super) unsafe fn try_get(head: *mut bindings::vmtp_record_head) -> Option<Self> {
        // SAFETY: the memory stays for the RCU read section.
        if unsafe { bindings::vmtp_helper_record_get_unless_zero(head) } {
            // SAFETY: the head is the first member, and one count is now ours.
            Some(unsafe { Self::from_raw(head.cast::<Record<T>>()) })
        } else {
            None
        }
    }

    /// Whether both are one record.
    pub fn is(&self, other: &Ref<T>) -> bool {
        self.0 == other.0
    }
}

impl<T: Recorded> Deref for Ref<T> {
    type Target = Record<T>;
    #[inline]
    fn deref(&self) -> &Record<T> {
        // SAFETY: counted by the invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Recorded> Clone for Ref<T> {
    #[inline]
    fn clone(&self) -> Self {
        self.to_ref()
    }
}

impl<T: Recorded> Drop for Ref<T> {
    fn drop(&mut self) {
        let record = self.0.as_ptr();
        // SAFETY: our count is given up. If it was the last, nobody but RCU readers, who look at the head only, can
        // come: no table has it (each holds a count), no timer is queued (each holds a count).
        unsafe {
            let head = (*record).head.get();
            if bindings::vmtp_helper_record_put(head) {
                core::ptr::drop_in_place(&raw mut (*record).value);
                bindings::vmtp_helper_record_free_rcu(head);
            }
        }
    }
}
