// SPDX-License-Identifier: GPL-2.0

//! A process as somebody to send signals to. It may end meanwhile; another that gets its number is not taken for it.

use super::net::Net;
use crate::bindings;
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::error::{to_result, Result};

/// A counted reference to a process (thread group), with the rights that it had when it was taken.
///
/// # Invariants
///
/// One count of the `struct pid` and one of the `struct cred` belong to it.
pub struct Process {
    pid: NonNull<c_void>,
    rights: *const c_void,
}

// SAFETY: shared references with atomic counts; what a `struct cred` says does not change.
unsafe impl Send for Process {}
// SAFETY: as above.
unsafe impl Sync for Process {}

impl Process {
    /// The process that makes the present system call. `None` only outside of one.
    pub fn current() -> Option<Self> {
        // SAFETY: no requirements.
        let pid = NonNull::new(unsafe { bindings::vmtp_helper_process_current() })?;
        // SAFETY: as above. INVARIANT: C takes a count of each for us.
        let rights = unsafe { bindings::vmtp_helper_process_rights() };
        Some(Self { pid, rights })
    }

    /// Sends a signal, as kill(2) does, with the rights of `sender`; if there is none, with those that the administrator of
    /// the network namespace has over what is in his user namespace and below. 0 only looks whether it might. EINVAL:
    /// there is no such signal. ESRCH: it has ended. EPERM: the sender may not. Process context.
    pub fn signal(&self, signal: u32, sender: Option<&Process>, net: &Net) -> Result {
        let rights = sender.map_or(core::ptr::null(), |sender| sender.rights);
        // SAFETY: counted by the invariant, as is what the sender has.
        to_result(unsafe {
            bindings::vmtp_helper_process_signal(self.pid.as_ptr(), signal, rights, net.as_raw())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: our counts are given up.
        unsafe { bindings::vmtp_helper_process_put(self.pid.as_ptr(), self.rights) };
    }
}
