// SPDX-License-Identifier: GPL-2.0

//! A list of records by age, from which the oldest that is not in use is thrown out when a table is full: the "clock"
//! approximation of least recently used. A lock is taken to put a record in and out; to use one is a store.

use super::lock::SpinLockBh;
use super::record::{Record, Recorded, Ref};
use crate::bindings::{self, vmtp_record_head};
use core::marker::PhantomData;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::sync::LockClassKey;

/// Records from the oldest to the youngest; it holds a count of each. A record is in at most one.
#[pin_data]
pub struct Ages<T: Recorded> {
    #[pin]
    ends: SpinLockBh<Ends>,
    _records: PhantomData<Ref<T>>,
}

/// # Invariants
///
/// `oldest` begins and `youngest` ends a chain of records, linked both ways, each `aged`, with a count of ours.
struct Ends {
    oldest: *mut vmtp_record_head,
    youngest: *mut vmtp_record_head,
}

// SAFETY: the records belong to no thread.
unsafe impl Send for Ends {}

/// The links of a record in its list.
///
/// # Safety
///
/// `head` is of a record that is, or is about to be, in a list whose lock is held.
unsafe fn links(head: *mut vmtp_record_head) -> *mut bindings::vmtp_age {
    // SAFETY: valid by the caller's promise. As long as a list holds a count the union has this member.
    unsafe { &raw mut (*head).__bindgen_anon_1.age }
}

impl Ends {
    /// # Safety
    ///
    /// `head` is of a record in no list, and a count of it is given.
    unsafe fn push(&mut self, head: *mut vmtp_record_head) {
        // SAFETY: by the caller's promise and the invariant.
        unsafe {
            (*links(head)).older = self.youngest;
            (*links(head)).younger = null_mut();
            (*head).aged = 1;
            if self.youngest.is_null() {
                self.oldest = head;
            } else {
                (*links(self.youngest)).younger = head;
            }
        }
        self.youngest = head;
    }

    /// Its count is the caller's.
    ///
    /// # Safety
    ///
    /// `head` is of a record in this list.
    unsafe fn unlink(&mut self, head: *mut vmtp_record_head) {
        // SAFETY: by the caller's promise and the invariant.
        unsafe {
            let (older, younger) = ((*links(head)).older, (*links(head)).younger);
            if older.is_null() {
                self.oldest = younger;
            } else {
                (*links(older)).younger = younger;
            }
            if younger.is_null() {
                self.youngest = older;
            } else {
                (*links(younger)).older = older;
            }
            (*head).aged = 0;
        }
    }
}

impl<T: Recorded> Record<T> {
    fn used(&self) -> &AtomicU8 {
        // SAFETY: a u8 in valid memory that after `new` is accessed only like this.
        unsafe { AtomicU8::from_ptr(&raw mut (*self.head()).used) }
    }

    /// It is in use: it is not thrown out before all others had their turn. Any context.
    #[inline]
    pub fn touch(&self) {
        if self.used().load(Relaxed) == 0 {
            self.used().store(1, Relaxed);
        }
    }
}

/// Initialises an [`Ages`]. Each has a lock class of its own: under one list's lock `evict` may take that of a record,
/// under which another list is used.
macro_rules! new_ages {
    ($name:literal) => {
        $crate::kernel::ages::Ages::new(
            ::kernel::optional_name!($name),
            ::kernel::static_lock_class!(),
        )
    };
}
pub(crate) use new_ages;

impl<T: Recorded> Ages<T> {
    /// See `new_ages!`.
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            ends <- SpinLockBh::new(Ends { oldest: null_mut(), youngest: null_mut() }, name, key),
            _records: PhantomData,
        })
    }

    /// Puts a record in that is in no list, as the youngest. Any context.
    pub fn push(&self, record: &Record<T>) {
        let mut ends = self.ends.lock();
        let head = record.head();
        // SAFETY: valid; `aged` changes only under this lock, as a record belongs to one list.
        if unsafe { (*head).aged } == 0 {
            let _ = Ref::into_raw(record.to_ref());
            // SAFETY: in no list, and the count is given.
            unsafe { ends.push(head) };
        }
    }

    /// Takes a record out if it is in. Any context.
    pub fn remove(&self, record: &Record<T>) {
        let mut ends = self.ends.lock();
        let head = record.head();
        // SAFETY: valid; `aged` changes only under this lock.
        let aged = unsafe { (*head).aged } != 0;
        if aged {
            // SAFETY: it is in this list.
            unsafe { ends.unlink(head) };
        }
        drop(ends);
        if aged {
            // SAFETY: the list's count, which is ours now. The caller has another.
            drop(unsafe { Ref::<T>::from_raw(record) });
        }
    }

    /// Takes the oldest record out that was not used since it was last looked at and that `may_go`, looking at no more
    /// than `tries`. `may_go` runs under this list's lock; what it says no to becomes the youngest. Any context.
    pub fn evict(&self, tries: u32, mut may_go: impl FnMut(&Record<T>) -> bool) -> Option<Ref<T>> {
        let mut ends = self.ends.lock();
        for _ in 0..tries {
            let head = ends.oldest;
            if head.is_null() {
                return None;
            }
            // SAFETY: a record of ours by the invariant; the head is its first member.
            let record = unsafe { &*head.cast::<Record<T>>() };
            let used = record.used().load(Relaxed) != 0;
            let go = !used && may_go(record);
            record.used().store(0, Relaxed);
            // SAFETY: in the list; its count goes to the caller, or back into the list.
            unsafe {
                ends.unlink(head);
                if go {
                    return Some(Ref::from_raw(record));
                }
                ends.push(head);
            }
        }
        None
    }

    /// Takes all out. Any context.
    pub fn clear(&self) {
        while self.evict_any() {}
    }

    fn evict_any(&self) -> bool {
        let mut ends = self.ends.lock();
        let head = ends.oldest;
        if head.is_null() {
            return false;
        }
        // SAFETY: the oldest is in the list.
        unsafe { ends.unlink(head) };
        drop(ends);
        // SAFETY: the list's count; the head is the record's first member.
        drop(unsafe { Ref::<T>::from_raw(head.cast::<Record<T>>()) });
        true
    }
}

/// Octets of memory of the machine. Any context.
pub fn total_ram() -> u64 {
    // SAFETY: no requirements.
    unsafe { bindings::vmtp_helper_total_ram() }
}
