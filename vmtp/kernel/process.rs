// SPDX-License-Identifier: GPL-2.0

//! A process as somebody to send signals to. It may end meanwhile; another that gets its number is not taken for it.

use crate::bindings;
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::error::{to_result, Result};

/// A counted reference to a process (thread group).
///
/// # Invariants
///
/// One count of the `struct pid` belongs to it.
pub struct Process(NonNull<c_void>);

// SAFETY: a shared reference with an atomic count.
unsafe impl Send for Process {}
// SAFETY: as above.
unsafe impl Sync for Process {}

impl Process {
    /// The process that makes the present system call. `None` only outside of one.
    pub fn current() -> Option<Self> {
        // SAFETY: no requirements. INVARIANT: C takes a count for us.
        NonNull::new(unsafe { bindings::vmtp_helper_process_current() }).map(Self)
    }

    /// Sends a signal as the kernel's superuser; 0 only looks whether it is there. EINVAL: there is no such signal. ESRCH:
    /// it has ended. Any context.
    pub fn signal(&self, signal: u32) -> Result {
        // SAFETY: counted by the invariant.
        to_result(unsafe { bindings::vmtp_helper_process_signal(self.0.as_ptr(), signal) })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: our count is given up.
        unsafe { bindings::vmtp_helper_process_put(self.0.as_ptr()) };
    }
}
