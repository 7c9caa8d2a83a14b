// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How much may be under way.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::lock;

/// Counts what is under way.
#[derive(Debug)]
pub struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    /// So many, all free.
    pub fn new(count: usize) -> Slots {
        Slots {
            free: Mutex::new(count),
            freed: Condvar::new(),
        }
    }

    /// Takes one, if one is free.
    pub fn try_take(&self) -> bool {
        let mut free = lock(&self.free);
        let some = *free > 0;
        *free -= usize::from(some);
        some
    }

    /// Takes one, as soon as one is free.
    pub fn take(&self) {
        let mut free = lock(&self.free);
        while *free == 0 {
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
    }

    /// Gives one back that was taken.
    pub fn give_back(&self) {
        *lock(&self.free) += 1;
        self.freed.notify_one();
    }
}
