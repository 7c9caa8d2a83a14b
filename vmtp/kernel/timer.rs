// SPDX-License-Identifier: GPL-2.0

//! A deadline in a record: a soft hrtimer that is moved as seldom as possible. Moving a deadline to later, the usual case,
//! costs one exchange and one comparison: the timer, when it goes off early, looks at the deadline and starts again.
//!
//! It is a part of `record::Record`, through which it is used; the queued timer holds a reference to its record.

use super::clock;
use super::record::{Record, Recorded, Ref};
use crate::bindings;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use kernel::prelude::*;
use kernel::types::Opaque;

/// No deadline.
pub const NEVER: u64 = u64::MAX;

/// `Timer::queued` of a record that was stopped: as if queued for before every deadline.
const STOPPED: u64 = 0;

/// See the file.
///
/// # Invariants
///
/// `queued` changes only under the timer's lock. If it is neither `NEVER` nor `STOPPED`, one reference to the record belongs to the
/// timer: either the hrtimer is queued, or its callback runs and has not yet taken the lock.
#[pin_data]
pub(super) struct Timer {
    /// When to call `expired`.
    deadline: AtomicU64,
    /// When the hrtimer will go off.
    queued: AtomicU64,
    #[pin]
    hrtimer: Opaque<bindings::hrtimer>,
}

impl Timer {
    pub(super) fn new<T: Recorded>() -> impl PinInit<Self> {
        pin_init!(Self {
            deadline: AtomicU64::new(NEVER),
            queued: AtomicU64::new(NEVER),
            // SAFETY: the place is valid and stays.
            hrtimer <- Opaque::ffi_init(|timer| unsafe {
                bindings::hrtimer_setup(
                    timer,
                    Some(fire::<T>),
                    bindings::CLOCK_MONOTONIC as i32,
                    bindings::hrtimer_mode_HRTIMER_MODE_ABS_SOFT,
                )
            }),
        })
    }

    /// Takes its lock, which it shares with others: no other timer's may be taken meanwhile.
    fn lock(&self) -> Guard<'_> {
        // SAFETY: no requirements; the guard gives it back.
        unsafe { bindings::vmtp_helper_timer_lock(core::ptr::from_ref(self).cast()) };
        Guard(self)
    }

    /// Queues the hrtimer, or moves it. With its lock held.
    fn start(&self, at: u64) {
        // SAFETY: set up in `new`. `at` is below i64::MAX nanoseconds, or the timer goes off early and looks again.
        unsafe {
            bindings::hrtimer_start_range_ns(
                self.hrtimer.get(),
                i64::try_from(at).unwrap_or(i64::MAX),
                0,
                bindings::hrtimer_mode_HRTIMER_MODE_ABS_SOFT,
            )
        };
    }
}

/// The lock of a timer is held.
struct Guard<'a>(&'a Timer);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: taken when this was made.
        unsafe { bindings::vmtp_helper_timer_unlock(core::ptr::from_ref(self.0).cast()) };
    }
}

impl<T: Recorded> Record<T> {
    /// The deadline is now `deadline`, earlier or later than before. Any context, locks of the record's own included.
    /// After [`Record::stop`] it does nothing.
    #[inline]
    pub fn arm(&self, deadline: u64) {
        let timer = self.timer();
        let deadline = deadline.max(STOPPED.wrapping_add(1));
        // The exchange orders this store before the load: either `fire`, which stores `queued` before it loads
        // `deadline`, sees this deadline, or the load here sees that nothing is queued.
        timer.deadline.swap(deadline, SeqCst);
        if timer.queued.load(SeqCst) > deadline {
            self.requeue();
        }
    }

    /// There is no deadline any more. The timer may stay queued and finds that out itself. Any context.
    #[inline]
    pub fn disarm(&self) {
        self.timer().deadline.store(NEVER, SeqCst);
    }

    /// The deadline, or [`NEVER`].
    #[inline]
    pub fn deadline(&self) -> u64 {
        self.timer().deadline.load(SeqCst)
    }

    #[cold]
    fn requeue(&self) {
        let timer = self.timer();
        let guard = timer.lock();
        // Again under the lock, where both are stable against others that arm.
        let deadline = timer.deadline.load(SeqCst);
        let queued = timer.queued.load(SeqCst);
        if queued <= deadline {
            return;
        }
        if queued == NEVER {
            // INVARIANT: the timer gets its reference.
            let _ = Ref::into_raw(self.to_ref());
        }
        timer.queued.store(deadline, SeqCst);
        timer.start(deadline);
        drop(guard);
    }

    /// Whether [`Record::stop`] was called. Any context.
    pub fn is_stopped(&self) -> bool {
        self.timer().queued.load(SeqCst) == STOPPED
    }

    /// No deadline ever again: no `expired` begins after this, though one may be running. It never waits. Any context.
    pub fn stop(&self) {
        let timer = self.timer();
        let guard = timer.lock();
        let queued = timer.queued.swap(STOPPED, SeqCst);
        if queued == NEVER || queued == STOPPED {
            return;
        }
        // SAFETY: set up in `new`. It does not wait: -1 while the callback runs.
        let cancelled = unsafe { bindings::hrtimer_try_to_cancel(timer.hrtimer.get()) } == 1;
        if !cancelled {
            // It may be queued again behind the running callback: let it go off at once and see STOPPED.
            timer.start(0);
        }
        drop(guard);
        if cancelled {
            // SAFETY: the reference that belonged to the queued timer. The caller has another.
            drop(unsafe { Ref::<T>::from_raw(self) });
        }
    }
}

/// The hrtimer went off: in softirq.
unsafe extern "C" fn fire<T: Recorded>(
    hrtimer: *mut bindings::hrtimer,
) -> bindings::hrtimer_restart {
    // SAFETY: the hrtimer is in the timer of a record, which the timer's reference keeps until it is taken below.
    let record = unsafe {
        &*Record::<T>::from_timer(kernel::container_of!(
            Opaque::cast_from(hrtimer),
            Timer,
            hrtimer
        ))
    };
    let timer = record.timer();
    let guard = timer.lock();
    // SAFETY: set up in `new`.
    if unsafe { bindings::vmtp_helper_hrtimer_is_queued(timer.hrtimer.get()) } {
        // `requeue` came in between: the reference belongs to what it queued.
        return bindings::hrtimer_restart_HRTIMER_NORESTART;
    }
    let mut expired = false;
    if timer.queued.load(SeqCst) != STOPPED {
        timer.queued.swap(NEVER, SeqCst);
        loop {
            let deadline = timer.deadline.load(SeqCst);
            if deadline == NEVER {
                break;
            }
            if deadline > clock::monotonic() {
                // INVARIANT: the reference goes on with the timer.
                timer.queued.store(deadline, SeqCst);
                timer.start(deadline);
                return bindings::hrtimer_restart_HRTIMER_NORESTART;
            }
            if timer
                .deadline
                .compare_exchange(deadline, NEVER, SeqCst, SeqCst)
                .is_ok()
            {
                expired = true;
                break;
            }
        }
    }
    drop(guard);
    // SAFETY: `queued` says that the timer has no reference any more: it is this one.
    let record = unsafe { Ref::<T>::from_raw(record) };
    if expired {
        T::expired(record);
    }
    bindings::hrtimer_restart_HRTIMER_NORESTART
}
