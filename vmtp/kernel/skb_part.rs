// SPDX-License-Identifier: GPL-2.0

//! Long packets: one that is longer than its way takes crosses the stack as one all the same (GSO), and is parted at the
//! device, or nowhere if none on the way is of hardware. How it is parted is the protocol's business.

use super::protocol::Receiver;
use super::skb::Skb;
use super::skb_build::Filler;
use crate::bindings;
use core::mem::ManuallyDrop;
use core::ptr::null_mut;
use kernel::error::{code::*, Result};

impl Skb {
    /// Makes a packet that was made for output a long one: of `parts` packets, the longest of which has `octets` of IP
    /// payload. Any context.
    pub fn set_parts(&mut self, octets: u32, parts: u32) {
        // SAFETY: valid by the invariant and ours alone.
        unsafe { bindings::vmtp_helper_skb_set_parts(self.as_raw(), octets, parts) };
    }

    /// Of how many packets a long one is made; 1 of any other. Any context.
    #[inline]
    pub fn parts(&self) -> u32 {
        if self.linear().len() == self.len() {
            return 1;
        }
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_skb_parts(self.as_raw()) }
    }
}

/// The packets that a long one is parted into.
///
/// # Invariants
///
/// `first` is the first of a null-terminated chain of packets, all ours, and `last` its last; both are null if there is none.
pub struct Parts<'a> {
    whole: &'a Skb,
    first: *mut bindings::sk_buff,
    last: *mut bindings::sk_buff,
}

impl Parts<'_> {
    /// The next packet, of `size` octets of IP payload, all of which `fill` writes. ENOMEM; EINVAL if it did not write them
    /// all; what `fill` says. Any context.
    pub fn add(&mut self, size: usize, fill: impl FnOnce(&mut Filler<'_>) -> Result) -> Result {
        let octets = u32::try_from(size)?;
        let mut payload = null_mut();
        // SAFETY: the long packet is valid, and is being parted: its data begins behind its IP header.
        let skb = unsafe {
            let raw = bindings::vmtp_helper_part_alloc(self.whole.as_raw(), octets, &mut payload);
            if raw.is_null() {
                return Err(ENOMEM);
            }
            Skb::from_raw(raw)
        };
        // SAFETY: C gives room for `size` octets in a packet that nobody else has.
        let mut filler = unsafe { Filler::new(payload, size) };
        fill(&mut filler)?;
        if !filler.is_full() {
            return Err(EINVAL);
        }
        let skb = skb.into_raw();
        // SAFETY: the last of the chain is ours; a fresh packet's link is null. INVARIANT: the chain has one more.
        unsafe {
            if self.last.is_null() {
                self.first = skb;
            } else {
                (*self.last).__bindgen_anon_1.__bindgen_anon_1.next = skb;
            }
        }
        self.last = skb;
        Ok(())
    }

    /// The chain, which is given away; null if it is empty.
    fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).first
    }
}

impl Drop for Parts<'_> {
    fn drop(&mut self) {
        // SAFETY: a chain of ours, or null.
        unsafe {
            bindings::kfree_skb_list_reason(
                self.first,
                bindings::skb_drop_reason_SKB_DROP_REASON_NOT_SPECIFIED,
            )
        };
    }
}

/// For C: see `vmtp_part_t`.
pub(super) unsafe extern "C" fn part<R: Receiver>(
    whole: *mut bindings::sk_buff,
    octets: u32,
) -> *mut bindings::sk_buff {
    // SAFETY: C lends a valid packet for as long as the call.
    let whole = ManuallyDrop::new(unsafe { Skb::from_raw(whole) });
    let mut parts = Parts {
        whole: &whole,
        first: null_mut(),
        last: null_mut(),
    };
    let result = R::part(&whole, octets, &mut parts);
    let first = match result {
        Ok(()) => parts.into_raw(),
        Err(error) => return error.to_ptr(),
    };
    if first.is_null() {
        return EINVAL.to_ptr();
    }
    first
}
