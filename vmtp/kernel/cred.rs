// SPDX-License-Identifier: GPL-2.0

//! Who calls: users as a network namespace's owner numbers them, whatever the caller's own user namespace says, and
//! processes as the machine does: a network namespace has no numbers of its own for them, and two PID namespaces in one
//! would give the same number twice (2.3). Process context, never sleeps.
//! What a process may do is asked of a namespace: `net::Net::admin_capable`.

use super::net::Net;
use crate::bindings;

/// The calling process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Process (thread group), in the numbers of the initial PID namespace.
    pub pid: u32,
}

impl Caller {
    /// The process that makes the present system call, as `net` sees it: root of a user namespace which does not own
    /// `net` is who made that user namespace, or nobody.
    pub fn current(net: &Net) -> Self {
        // SAFETY: no requirements; in a kernel thread or softirq the answer is meaningless but harmless.
        unsafe {
            Self {
                uid: bindings::vmtp_helper_current_uid(net.as_raw()),
                euid: bindings::vmtp_helper_current_euid(net.as_raw()),
                pid: bindings::vmtp_helper_current_tgid() as u32,
            }
        }
    }
}

/// Whether the present system call was made by a 32-bit program.
pub fn in_compat_syscall() -> bool {
    // SAFETY: no requirements.
    unsafe { bindings::vmtp_helper_sock_is_compat() != 0 }
}
