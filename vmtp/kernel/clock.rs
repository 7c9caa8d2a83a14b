// SPDX-License-Identifier: GPL-2.0

//! The clocks, in nanoseconds. Not timers (see `timer`). Any context.

use crate::bindings;

/// CLOCK_MONOTONIC: what deadlines and `timer` use.
#[inline]
pub fn monotonic() -> u64 {
    // SAFETY: no requirements.
    unsafe { bindings::vmtp_helper_ktime_get_ns() }
}

/// CLOCK_REALTIME, since 1970.
#[inline]
pub fn realtime() -> u64 {
    // SAFETY: no requirements.
    unsafe { bindings::vmtp_helper_ktime_get_real_ns() }
}
