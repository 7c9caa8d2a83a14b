// SPDX-License-Identifier: GPL-2.0

//! A queue in one piece of memory that grows up to a limit: for what waits at a socket. It locks nothing.

use crate::kernel::array::Array;
use kernel::alloc::Flags;
use kernel::prelude::*;

/// A first-in, first-out queue.
///
/// # Invariants
///
/// `length` slots from `head` on, around the end, are `Some`, all others `None`.
pub struct Ring<T> {
    slots: Array<Option<T>>,
    head: usize,
    length: usize,
}

impl<T> Ring<T> {
    /// An empty queue; it allocates nothing.
    pub const fn new() -> Self {
        Self {
            slots: Array::new(),
            head: 0,
            length: 0,
        }
    }

    /// How many are waiting.
    pub fn len(&self) -> usize {
        self.length
    }

    fn place(&self, index: usize) -> usize {
        let place = self.head.wrapping_add(index);
        if place >= self.slots.len() {
            place.wrapping_sub(self.slots.len())
        } else {
            place
        }
    }

    /// Appends. Gives it back if memory is short. With GFP_ATOMIC any context.
    pub fn push_back(&mut self, value: T, flags: Flags) -> Result<(), T> {
        if self.length == self.slots.len() && self.grow(flags).is_err() {
            return Err(value);
        }
        let place = self.place(self.length);
        match self.slots.get_mut(place) {
            Some(slot) => {
                *slot = Some(value);
                self.length = self.length.wrapping_add(1);
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Puts behind all but those at the end of which `later` says that they come after it. Gives it back if memory is
    /// short. With GFP_ATOMIC any context.
    pub fn push_before(
        &mut self,
        value: T,
        flags: Flags,
        later: impl Fn(&T) -> bool,
    ) -> Result<(), T> {
        self.push_back(value, flags)?;
        let mut index = self.length.wrapping_sub(1);
        while let Some(before) = index.checked_sub(1) {
            let (here, there) = (self.place(index), self.place(before));
            let ahead = self.slots.get(there).and_then(Option::as_ref);
            if !ahead.is_some_and(&later) {
                break;
            }
            let moved = self.slots.get_mut(there).and_then(Option::take);
            let value = match self.slots.get_mut(here) {
                Some(slot) => core::mem::replace(slot, moved),
                None => moved,
            };
            if let Some(slot) = self.slots.get_mut(there) {
                *slot = value;
            }
            index = before;
        }
        Ok(())
    }

    fn grow(&mut self, flags: Flags) -> Result {
        let mut slots = Array::with_capacity(self.slots.len().saturating_mul(2).max(8), flags)?;
        while let Some(value) = self.pop_front() {
            // There is room: it has twice as much.
            let _ = slots.push(Some(value), flags);
        }
        let length = slots.len();
        while slots.len() < slots.capacity() {
            let _ = slots.push(None, flags);
        }
        // INVARIANT: the values are at the start, in order.
        *self = Self {
            slots,
            head: 0,
            length,
        };
        Ok(())
    }

    /// Takes the first.
    pub fn pop_front(&mut self) -> Option<T> {
        let value = self.slots.get_mut(self.head)?.take()?;
        self.head = self.place(1);
        self.length = self.length.wrapping_sub(1);
        Some(value)
    }

    /// The first.
    pub fn front(&self) -> Option<&T> {
        self.slots.get(self.head)?.as_ref()
    }

    /// The first for which `which` says yes.
    pub fn first(&self, which: impl Fn(&T) -> bool) -> Option<&T> {
        (0..self.length)
            .filter_map(|index| self.slots.get(self.place(index))?.as_ref())
            .find(|value| which(value))
    }

    /// How many there are for which `which` says yes.
    pub fn count_if(&self, which: impl Fn(&T) -> bool) -> usize {
        let all = self.slots.iter().filter_map(Option::as_ref);
        all.filter(|value| which(value))
            .fold(0, |sum, _| sum.wrapping_add(1))
    }

    /// Takes the first for which `which` says yes; the others keep their order.
    pub fn take(&mut self, mut which: impl FnMut(&T) -> bool) -> Option<T> {
        let mut found = None;
        for _ in 0..self.length {
            let value = self.pop_front()?;
            if found.is_none() && which(&value) {
                found = Some(value);
                continue;
            }
            // There is room: it was just taken out.
            let place = self.place(self.length);
            if let Some(slot) = self.slots.get_mut(place) {
                *slot = Some(value);
                self.length = self.length.wrapping_add(1);
            }
        }
        found
    }

    /// Puts in front. Gives it back if memory is short.
    pub fn push_front(&mut self, value: T, flags: Flags) -> Result<(), T> {
        if self.length == self.slots.len() && self.grow(flags).is_err() {
            return Err(value);
        }
        let head = self
            .head
            .checked_sub(1)
            .unwrap_or(self.slots.len().wrapping_sub(1));
        match self.slots.get_mut(head) {
            Some(slot) => {
                *slot = Some(value);
                self.head = head;
                self.length = self.length.wrapping_add(1);
                Ok(())
            }
            None => Err(value),
        }
    }
}
