// SPDX-License-Identifier: GPL-2.0

//! What the Requests of an entity occupy, each record's part of it, and the sum over all hosts of the machine. When that
//! is a part of its memory an entity receives one message at a time.

use super::Host;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use kernel::sync::Arc;

/// What Requests occupy of an entity.
pub struct Memory {
    /// Octets of memory of the packets of those that are incomplete, or wait.
    used: AtomicUsize,
    /// Requests that a user has, and has not answered yet.
    in_hand: AtomicU32,
    /// Who may go beyond SO_RCVBUF, so that a message larger than that can be received: one at a time.
    privileged: AtomicUsize,
}

/// The same of all hosts.
static ALL: AtomicUsize = AtomicUsize::new(0);

/// The same of Clients that are being probed. It fills no server's SO_RCVBUF: they may all be forged.
static UNPROVEN: AtomicUsize = AtomicUsize::new(0);

/// What of a message is kept while its Client is being probed: a packet group.
const STRANGER_MAX: u32 = 48 << 10;

impl Memory {
    /// Of an entity without Requests.
    pub(super) fn new() -> Self {
        Self {
            used: AtomicUsize::new(0),
            in_hand: AtomicU32::new(0),
            privileged: AtomicUsize::new(0),
        }
    }

    /// Octets of memory that incomplete and waiting Requests occupy.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Requests that a user has, and has not answered yet.
    #[inline]
    pub(super) fn in_hand(&self) -> u32 {
        self.in_hand.load(Ordering::Acquire)
    }
}

/// A record's part of an entity's [`Memory`].
pub struct Charge {
    memory: Arc<Memory>,
    octets: u32,
    proven: bool,
    in_hand: bool,
}

impl Charge {
    /// Nothing yet.
    pub fn new(memory: &Arc<Memory>) -> Self {
        Self {
            memory: memory.clone(),
            octets: 0,
            proven: true,
            in_hand: false,
        }
    }

    /// The record occupies so much now, and its Client is `proven` to be there or need not be.
    #[inline]
    pub fn set(&mut self, octets: usize, proven: bool) {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        if octets == self.octets && (proven == self.proven || octets == 0) {
            return;
        }
        let (before, after) = (self.octets as usize, octets as usize);
        self.pool().fetch_sub(before, Ordering::Relaxed);
        if self.proven {
            self.memory.used.fetch_sub(before, Ordering::Relaxed);
        }
        self.octets = octets;
        self.proven = proven;
        self.pool().fetch_add(after, Ordering::Relaxed);
        if proven {
            self.memory.used.fetch_add(after, Ordering::Relaxed);
        }
        if octets == 0 {
            let me = core::ptr::from_ref(self).addr();
            let _ = self.memory.privileged.compare_exchange(
                me,
                0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// The server's user has the Request now, or not any more. Whether that is news.
    #[inline]
    pub fn set_in_hand(&mut self, in_hand: bool) -> bool {
        if in_hand == self.in_hand {
            return false;
        }
        self.in_hand = in_hand;
        if in_hand {
            self.memory.in_hand.fetch_add(1, Ordering::AcqRel);
        } else {
            self.memory.in_hand.fetch_sub(1, Ordering::AcqRel);
        }
        true
    }

    fn pool(&self) -> &'static AtomicUsize {
        if self.proven {
            &ALL
        } else {
            &UNPROVEN
        }
    }

    /// Whether a Client that is not proven may have another packet kept. `full` is [`Charge::strangers_fill`].
    pub fn stranger_may_add(&self, full: bool) -> bool {
        self.octets == 0 || (!full && self.octets < STRANGER_MAX)
    }

    /// Whether Clients that are not proven occupy all that they may together.
    pub fn strangers_fill(host: &Host) -> bool {
        UNPROVEN.load(Ordering::Relaxed) >= host.memory_max / 4
    }

    /// Whether those of all entities fill their part of the machine's memory.
    #[inline]
    pub(super) fn all_fill(host: &Host) -> bool {
        ALL.load(Ordering::Relaxed) >= host.memory_max
    }

    /// Whether this record alone may go beyond SO_RCVBUF from now on, until it occupies nothing.
    pub fn is_privileged(&self) -> bool {
        let me = core::ptr::from_ref(self).addr();
        match self
            .memory
            .privileged
            .compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => true,
            Err(other) => other == me,
        }
    }

    /// The charge goes to another entity of the same name, which took the place of the first.
    pub fn move_to(&mut self, memory: &Arc<Memory>) {
        if !Arc::ptr_eq(&self.memory, memory) {
            let (octets, proven, in_hand) = (self.octets as usize, self.proven, self.in_hand);
            self.set(0, proven);
            self.set_in_hand(false);
            self.memory = memory.clone();
            self.set(octets, proven);
            self.set_in_hand(in_hand);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0, self.proven);
        self.set_in_hand(false);
    }
}
