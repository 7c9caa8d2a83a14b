// SPDX-License-Identifier: GPL-2.0

//! A growing array that cannot panic. `kernel::alloc::KVec` is inlined here with arithmetic that the kernel's overflow
//! checks turn into calls of panicking functions, which this module must not have.

use crate::bindings;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use kernel::alloc::{flags::__GFP_NOWARN, Flags};
use kernel::error::{code::*, Result};

/// An array.
///
/// # Invariants
///
/// `start` is memory for `capacity` values, dangling if that is 0, of which the first `length` are initialised.
pub struct Array<T> {
    start: NonNull<T>,
    capacity: usize,
    length: usize,
}

// SAFETY: it owns its values.
unsafe impl<T: Send> Send for Array<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Array<T> {}

impl<T> Array<T> {
    /// An empty array; it allocates nothing.
    pub const fn new() -> Self {
        // kmalloc aligns to words.
        const { assert!(core::mem::align_of::<T>() <= 8 && core::mem::size_of::<T>() != 0) };
        Self {
            start: NonNull::dangling(),
            capacity: 0,
            length: 0,
        }
    }

    /// An empty array with room. With GFP_ATOMIC any context.
    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self> {
        let mut array = Self::new();
        if capacity != 0 {
            array.grow(capacity, flags)?;
        }
        Ok(array)
    }

    /// How many values there is memory for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for `capacity` values in all. With GFP_ATOMIC any context.
    fn grow(&mut self, capacity: usize, flags: Flags) -> Result {
        let size = capacity
            .checked_mul(core::mem::size_of::<T>())
            .ok_or(ENOMEM)?;
        // Failing is an answer like another, also for more than can ever be had in one piece.
        let flags = super::gfp(flags | __GFP_NOWARN);
        // SAFETY: no requirements.
        let memory = unsafe { bindings::vmtp_helper_kmalloc_words(size.div_ceil(8), flags) };
        let memory = NonNull::new(memory).ok_or(ENOMEM)?.cast::<T>();
        // SAFETY: the values move to the new memory, which has room for them; the old is freed if there was any.
        unsafe {
            core::ptr::copy_nonoverlapping(self.start.as_ptr(), memory.as_ptr(), self.length);
            if self.capacity != 0 {
                bindings::kfree(self.start.as_ptr().cast());
            }
        }
        self.start = memory;
        self.capacity = capacity;
        Ok(())
    }

    /// Makes sure that one more value fits.
    pub fn reserve_one(&mut self, flags: Flags) -> Result {
        if self.length < self.capacity {
            return Ok(());
        }
        self.grow(self.capacity.saturating_mul(2).max(1), flags)
    }

    /// Appends; gives it back if memory is short. With GFP_ATOMIC any context.
    pub fn push(&mut self, value: T, flags: Flags) -> Result<(), T> {
        if self.reserve_one(flags).is_err() {
            return Err(value);
        }
        // SAFETY: there is room behind the last value.
        unsafe { self.start.as_ptr().add(self.length).write(value) };
        self.length = self.length.wrapping_add(1);
        Ok(())
    }

    /// Takes the last.
    pub fn pop(&mut self) -> Option<T> {
        self.length = self.length.checked_sub(1)?;
        // SAFETY: it was the last value, and is not counted any more.
        Some(unsafe { self.start.as_ptr().add(self.length).read() })
    }

    /// Takes all out that go, for `each`; the others move up, in their order.
    pub fn take_out(&mut self, goes: impl Fn(&T) -> bool, mut each: impl FnMut(T)) {
        let length = core::mem::replace(&mut self.length, 0);
        for index in 0..length {
            // SAFETY: the value is there, and not counted any more. It is taken out or moves to its new place, which is its
            // own or one whose value has been taken out or moved.
            unsafe {
                let place = self.start.as_ptr().add(index);
                if goes(&*place) {
                    each(place.read());
                } else {
                    core::ptr::copy(place, self.start.as_ptr().add(self.length), 1);
                    self.length = self.length.wrapping_add(1);
                }
            }
        }
    }

    /// Drops all values and keeps the memory.
    pub fn clear(&mut self) {
        while let Some(length) = self.length.checked_sub(1) {
            self.length = length;
            // SAFETY: it was the last value, and is not counted any more.
            unsafe { core::ptr::drop_in_place(self.start.as_ptr().add(length)) };
        }
    }
}

impl<T> Deref for Array<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: so many values are initialised.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T> DerefMut for Array<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: so many values are initialised.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T> Default for Array<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        self.clear();
        if self.capacity != 0 {
            // SAFETY: our memory, without values.
            unsafe { bindings::kfree(self.start.as_ptr().cast()) };
        }
    }
}
