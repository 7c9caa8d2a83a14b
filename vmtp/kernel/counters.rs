// SPDX-License-Identifier: GPL-2.0

//! Counters of 64 bits that are cheap to increment (one per CPU) and dear to read. What they count is their user's.

use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::{code::*, Result};

/// The names of a set of counters: an enum without data.
pub trait Counter: Copy + 'static {
    /// How many there are.
    const COUNT: usize;
    /// Which one, below COUNT.
    fn index(self) -> usize;
}

/// A set of counters, all 0 at first.
///
/// # Invariants
///
/// The pointer is per-CPU memory of `C::COUNT` words.
pub struct Counters<C> {
    counters: NonNull<u64>,
    _names: PhantomData<fn(C)>,
}

// SAFETY: per-CPU increments are safe from any thread.
unsafe impl<C> Send for Counters<C> {}
// SAFETY: as above.
unsafe impl<C> Sync for Counters<C> {}

impl<C: Counter> Counters<C> {
    /// Sleeps.
    pub fn new() -> Result<Self> {
        // SAFETY: no requirements.
        let counters = unsafe { bindings::vmtp_helper_alloc_counters(C::COUNT) };
        Ok(Self {
            counters: NonNull::new(counters).ok_or(ENOMEM)?,
            _names: PhantomData,
        })
    }

    /// One more. Any context.
    #[inline]
    pub fn increment(&self, counter: C) {
        self.add(counter, 1);
    }

    /// `value` more. Any context.
    #[inline]
    pub fn add(&self, counter: C, value: u64) {
        let index = counter.index();
        if index < C::COUNT {
            // SAFETY: in range.
            unsafe { bindings::vmtp_helper_counter_add(self.counters.as_ptr(), index, value) };
        }
    }

    /// The sum over all CPUs. Any context, but slow.
    pub fn read(&self, counter: C) -> u64 {
        let index = counter.index();
        if index >= C::COUNT {
            return 0;
        }
        // SAFETY: in range.
        unsafe { bindings::vmtp_helper_counter_read(self.counters.as_ptr(), index) }
    }
}

impl<C> Drop for Counters<C> {
    fn drop(&mut self) {
        // SAFETY: ours by the invariant.
        unsafe { bindings::vmtp_helper_free_counters(self.counters.as_ptr()) };
    }
}
