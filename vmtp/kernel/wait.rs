// SPDX-License-Identifier: GPL-2.0

//! Waiting for something, interruptible by signals and limited in time; waking who waits.

use super::clock;
use crate::bindings;
use core::mem::MaybeUninit;
use core::pin::Pin;
use kernel::ffi;
use kernel::prelude::*;
use kernel::sync::LockClassKey;
use kernel::types::Opaque;

/// What poll tells and wake-ups carry (EPOLL*).
pub mod poll {
    /// Something can be received.
    pub const IN: u32 = 0x001;
    /// Something can be sent.
    pub const OUT: u32 = 0x004;
    /// An error is pending.
    pub const ERR: u32 = 0x008;
    /// Both directions are closed.
    pub const HUP: u32 = 0x010;
    /// With [`IN`].
    pub const RDNORM: u32 = 0x040;
    /// With [`OUT`].
    pub const WRNORM: u32 = 0x100;
    /// The receiving direction is closed.
    pub const RDHUP: u32 = 0x2000;
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Wait<R> {
    /// The condition gave this.
    Ready(R),
    /// The time was up first.
    Timeout,
    /// A signal came first: EINTR or ERESTARTSYS is the caller's choice.
    Signal,
}

/// A wait queue of our own; sockets have one already (`sock::Sk::wait`).
#[pin_data]
pub struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: a wait queue locks itself.
unsafe impl Send for WaitQueue {}
// SAFETY: as above.
unsafe impl Sync for WaitQueue {}

/// Initialises a [`WaitQueue`] in place.
#[allow(unused_macros)]
macro_rules! new_wait_queue {
    ($($name:literal)?) => {
        $crate::kernel::wait::WaitQueue::new(::kernel::optional_name!($($name)?), ::kernel::static_lock_class!())
    };
}
#[allow(unused_imports)]
pub(crate) use new_wait_queue;

impl WaitQueue {
    /// See `new_wait_queue!`.
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: the place is valid, name and key are static.
            head <- Opaque::ffi_init(|head| unsafe {
                bindings::vmtp_helper_init_waitqueue_head(head, name.as_char_ptr(), key.as_ptr().cast())
            }),
        })
    }

    /// See [`wait_on`]; `exclusive` waiters are woken one by one by [`WaitQueue::wake_one`]. Sleeps.
    pub fn wait<R>(
        &self,
        exclusive: bool,
        timeout: Option<u64>,
        condition: impl FnMut() -> Option<R>,
    ) -> Wait<R> {
        // SAFETY: initialised, and it stays where it is.
        unsafe { wait_on(self.head.get(), exclusive, u32::MAX, timeout, condition) }
    }

    /// Wakes one exclusive waiter and all others. Any context.
    pub fn wake_one(&self) {
        self.wake(1, 0);
    }

    /// Wakes all. Any context.
    pub fn wake_all(&self) {
        self.wake(0, 0);
    }

    fn wake(&self, exclusive: ffi::c_int, events: u32) {
        // SAFETY: initialised. The helper has the barrier that goes with the one in `prepare_to_wait_event`.
        unsafe {
            if bindings::vmtp_helper_wq_has_sleeper(self.head.get()) {
                bindings::__wake_up(
                    self.head.get(),
                    bindings::TASK_INTERRUPTIBLE,
                    exclusive,
                    events as usize as *mut ffi::c_void,
                );
            }
        }
    }
}

/// A place in a queue that is woken only for the events of interest.
#[repr(C)]
struct Entry {
    entry: bindings::wait_queue_entry,
    events: u32,
}

/// Nanoseconds by which a wait may be longer than asked, as for other system calls.
const SLACK: u64 = 50_000;

/// Wakes the task unless the waker tells events (a poll key) none of which it waits for.
pub(super) unsafe extern "C" fn wake_function(
    entry: *mut bindings::wait_queue_entry,
    mode: ffi::c_uint,
    flags: ffi::c_int,
    key: *mut ffi::c_void,
) -> ffi::c_int {
    // SAFETY: the entry is the first member of an `Entry` in `wait_on`, which is there as long as it is queued.
    unsafe {
        let events = key as usize as u32;
        if events != 0 && events & (*entry.cast::<Entry>()).events == 0 {
            return 0;
        }
        bindings::autoremove_wake_function(entry, mode, flags, key)
    }
}

/// Waits until `condition` gives something, the time (nanoseconds) is up, never sooner, or a signal comes.
///
/// `condition` is asked once the task is in the queue, and after each wake-up whose events are among `events` or which
/// tells none: a caller that expects it to be ready asks before. It may take spinlocks but must not sleep nor touch user
/// memory. A ready condition wins over time and signal. Sleeps; hold no spinlock.
///
/// # Safety
///
/// `head` is initialised and stays until the call returns.
pub unsafe fn wait_on<R>(
    head: *mut bindings::wait_queue_head,
    exclusive: bool,
    events: u32,
    timeout: Option<u64>,
    mut condition: impl FnMut() -> Option<R>,
) -> Wait<R> {
    if timeout == Some(0) {
        return condition().map_or(Wait::Timeout, Wait::Ready);
    }
    let mut deadline = timeout.map(|ns| {
        let end = clock::monotonic().saturating_add(ns);
        bindings::ktime_t::try_from(end).unwrap_or(bindings::ktime_t::MAX)
    });
    let mut place = MaybeUninit::<Entry>::uninit();
    let entry = place.as_mut_ptr();
    // POLLERR and POLLHUP are for everyone.
    let events = events | poll::ERR | poll::HUP;
    // SAFETY: `place` does not move until `finish_wait` has taken the entry out of the queue.
    unsafe {
        let flags = if exclusive {
            bindings::WQ_FLAG_EXCLUSIVE as ffi::c_int
        } else {
            0
        };
        bindings::init_wait_entry(&raw mut (*entry).entry, flags);
        (*entry).entry.func = Some(wake_function);
        (*entry).events = events;
    }
    let result = loop {
        // SAFETY: both are initialised.
        let signal = unsafe {
            bindings::prepare_to_wait_event(
                head,
                &raw mut (*entry).entry,
                bindings::TASK_INTERRUPTIBLE as ffi::c_int,
            )
        };
        if let Some(result) = condition() {
            break Wait::Ready(result);
        }
        if signal != 0 {
            break Wait::Signal;
        }
        let expired = match &mut deadline {
            // SAFETY: the task state was set above.
            Some(end) => unsafe {
                bindings::schedule_hrtimeout_range(
                    end,
                    SLACK,
                    bindings::hrtimer_mode_HRTIMER_MODE_ABS,
                ) == 0
            },
            // SAFETY: the task state was set above.
            None => unsafe {
                bindings::schedule();
                false
            },
        };
        // What came at the last moment counts. And whoever was woken mostly need not go back into the queue, from which
        // the wake-up took it.
        if let Some(result) = condition() {
            break Wait::Ready(result);
        }
        if expired {
            break Wait::Timeout;
        }
    };
    // SAFETY: both are initialised; afterwards the entry is in no queue.
    unsafe { bindings::finish_wait(head, &raw mut (*entry).entry) };
    result
}
