// SPDX-License-Identifier: GPL-2.0

//! What each user has of a host's tables, so that no unprivileged one can fill a table alone.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Users are told apart by the low bits of their numbers: two that share them share what they may have, and the memory
/// for counting is the same however many there are.
const USERS: usize = 64;

/// How much of one table each user has.
pub struct Shares([AtomicU32; USERS]);

impl Shares {
    /// Nobody has anything.
    pub const fn new() -> Self {
        Self([const { AtomicU32::new(0) }; USERS])
    }

    fn of(&self, user: u32) -> Option<&AtomicU32> {
        self.0.get(user as usize % USERS)
    }

    /// The user takes one more, unless it has `most` already. Any context.
    pub fn take(&self, user: u32, most: u32) -> bool {
        let Some(share) = self.of(user) else {
            return false;
        };
        if share.fetch_add(1, Relaxed) < most {
            return true;
        }
        share.fetch_sub(1, Relaxed);
        false
    }

    /// The user gives one back. Any context.
    pub fn give_back(&self, user: u32) {
        if let Some(share) = self.of(user) {
            share.fetch_sub(1, Relaxed);
        }
    }
}
