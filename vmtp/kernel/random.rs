// SPDX-License-Identifier: GPL-2.0

//! Random numbers and keyed hashes. Any context.

use crate::bindings;

/// Random for any use.
pub fn u64() -> u64 {
    // SAFETY: no requirements.
    unsafe { bindings::vmtp_helper_get_random_u64() }
}

/// Random for any use.
pub fn u32() -> u32 {
    u64() as u32
}

/// A secret for [`SipKey::hash`].
#[derive(Clone, Copy)]
pub struct SipKey([u64; 2]);

impl SipKey {
    /// A random key.
    pub fn random() -> Self {
        Self([u64(), u64()])
    }

    /// SipHash-2-4 of two words.
    pub fn hash(&self, a: u64, b: u64) -> u64 {
        // SAFETY: the key is two words.
        unsafe { bindings::vmtp_helper_siphash(a, b, self.0.as_ptr()) }
    }
}
