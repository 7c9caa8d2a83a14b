// SPDX-License-Identifier: GPL-2.0

//! A counted record: a value with a key, a place in one hash table (`table`) and a deadline (`timer`), in one allocation.
//! It can be found by others without a lock.

use super::timer::Timer;
use crate::bindings;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::types::Opaque;

/// Where records of one kind have their memory: in a slab cache of exactly their size, as long as there is one
/// ([`Cache`]), else where everything has it. Of some kinds there are a million.
pub struct Memory(AtomicPtr<bindings::kmem_cache>);

impl Memory {
    /// No cache.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }
}

/// The slab cache of records of `T`, until it is dropped: after the last of them.
pub struct Cache<T: Recorded>(PhantomData<T>);

impl<T: Recorded> Cache<T> {
    /// Once, before the first of them is made. ENOMEM. Sleeps.
    pub fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: the name is a string; all else is checked there.
        let cache = unsafe {
            bindings::vmtp_helper_record_cache(name.as_char_ptr(), Record::<T>::SIZE as u32)
        };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        if let Some(memory) = T::memory() {
            memory.0.store(cache, Ordering::Release);
        }
        Ok(Self(PhantomData))
    }
}

impl<T: Recorded> Drop for Cache<T> {
    fn drop(&mut self) {
        if let Some(memory) = T::memory() {
            let cache = memory.0.swap(null_mut(), Ordering::AcqRel);
            // SAFETY: made in `new`; there is no record any more. It waits for those that RCU is about to free.
            unsafe { bindings::kmem_cache_destroy(cache) };
        }
    }
}

/// The value in a record.
pub trait Recorded: Sized + Send + Sync + 'static {
    /// Where records of it have their memory, if they have a cache.
    fn memory() -> Option<&'static Memory> {
        None
    }

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
pub(super) const UNLINKED: u8 = 0;
pub(super) const LINKED: u8 = 1;
pub(super) const REMOVED: u8 = 2;

impl<T: Recorded> Record<T> {
    /// Makes a record in place. With GFP_ATOMIC | __GFP_NOWARN any context, if `value` is.
    #[allow(clippy::new_ret_no_self)]
    pub fn new<E>(key: u64, value: impl PinInit<T, E>, flags: Flags) -> Result<Ref<T>>
    where
        Error: From<E>,
    {
        let init = try_pin_init!(Self {
            head: Opaque::zeroed(),
            timer <- Timer::new::<T>(),
            // SAFETY: the same initialiser, its error changed.
            value <- unsafe {
                pin_init::pin_init_from_closure(|slot| value.__pinned_init(slot).map_err(Error::from))
            },
        }? Error);
        let cache = T::memory().map_or(null_mut(), |memory| memory.0.load(Ordering::Acquire));
        // SAFETY: the cache, if there is one, is of this size.
        let record =
            unsafe { bindings::vmtp_helper_record_alloc(cache, Self::SIZE, super::gfp(flags)) };
        let record = NonNull::new(record).ok_or(ENOMEM)?.cast::<Self>().as_ptr();
        // SAFETY: memory of its size and alignment, nobody else's, in which it stays.
        if let Err(error) = unsafe { init.__pinned_init(record) } {
            // SAFETY: it was just allocated, and nothing in it is initialised.
            unsafe { bindings::kfree(record.cast()) };
            return Err(error);
        }
        // SAFETY: valid and nobody else's. The count becomes 1.
        unsafe { bindings::vmtp_helper_record_init(record.cast(), key) };
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
    pub fn key(&self) -> u64 {
        // SAFETY: never written after `new`.
        unsafe { (*self.head.get()).key }
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
    pub(super) fn linked(&self) -> &AtomicU8 {
        // SAFETY: a u8 in valid memory that after `new` is accessed only like this.
        unsafe { AtomicU8::from_ptr(&raw mut (*self.head.get()).linked) }
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
