// SPDX-License-Identifier: GPL-2.0

//! A network namespace. What is kept in each of them is `pernet`'s.

use crate::bindings;
use kernel::types::Opaque;

/// `struct net`.
///
/// # Invariants
///
/// Only ever seen by reference; the namespace is alive as long as the reference: a packet on its way in it, an open
/// socket in it, or the namespace's own set-up and tear-down guarantee that.
#[repr(transparent)]
pub struct Net(Opaque<bindings::net>);

// SAFETY: every operation offered here is safe from any thread.
unsafe impl Send for Net {}
// SAFETY: as above.
unsafe impl Sync for Net {}

impl Net {
    /// # Safety
    ///
    /// `net` is alive for `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(net: *const bindings::net) -> &'a Self {
        // SAFETY: by the caller's promise; `Net` is transparent.
        unsafe { &*net.cast() }
    }

    /// For calls into C.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::net {
        self.0.get()
    }

    /// The namespace the machine starts with.
    pub fn init() -> &'static Self {
        // SAFETY: `init_net` is never freed.
        unsafe { Self::from_raw(bindings::vmtp_helper_init_net()) }
    }

    /// Whether the calling process may administer this namespace (CAP_NET_ADMIN). Process context, does not sleep.
    pub fn admin_capable(&self) -> bool {
        // SAFETY: the namespace is alive by the type's invariant.
        unsafe { bindings::vmtp_helper_net_capable(self.as_raw(), bindings::CAP_NET_ADMIN as i32) }
    }

    /// Whether there are rules of routing (ip-rule(8)) beside those that every namespace has. Any context.
    pub fn has_routing_rules(&self) -> bool {
        // SAFETY: the namespace is alive by the type's invariant.
        unsafe { bindings::vmtp_helper_net_has_rules(self.as_raw()) }
    }

    /// A number that no other namespace of this boot has or will have. Any context.
    pub fn cookie(&self) -> u64 {
        // SAFETY: the namespace is alive by the type's invariant.
        unsafe { bindings::vmtp_helper_net_cookie(self.as_raw()) }
    }

    /// Whether both are one namespace. Any context.
    pub fn is(&self, other: &Net) -> bool {
        core::ptr::eq(self, other)
    }
}
