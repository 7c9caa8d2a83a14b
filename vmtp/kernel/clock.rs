// SPDX-License-Identifier: GPL-2.0

//! The clocks, in nanoseconds. Not timers (see `timer`). Any context.

use crate::bindings;

/// CLOCK_MONOTONIC: what deadlines and `timer` use.
#[inline]
pub fn monotonic() -> u64 {
    // SAFETY: no requirements.
    unsafe { bindings::vmtp_helper_ktime_get_ns() }
}

/// Ticks of the timer interrupt since some moment: for what is some milliseconds exact. One load.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: no requirements.
    unsafe { bindings::vmtp_helper_ticks() }
}

/// Nanoseconds since the tick `then`.
pub fn since_tick(then: u64) -> u64 {
    // SAFETY: no requirements.
    unsafe { bindings::jiffies64_to_nsecs(ticks().saturating_sub(then)) }
}

/// CLOCK_REALTIME, since 1970.
#[inline]
pub fn realtime() -> u64 {
    // SAFETY: no requirements.
    unsafe { bindings::vmtp_helper_ktime_get_real_ns() }
}

/// Waits. Process context; sleeps.
pub fn sleep_us(microseconds: u32) {
    // SAFETY: process context, as the callers promise.
    unsafe { bindings::vmtp_helper_usleep(microseconds) };
}
