// SPDX-License-Identifier: GPL-2.0

//! Making a packet for output: room for the headers below in front, then octets appended. All of it is one linear
//! buffer. Sending it is `output`.

use super::pages::Pages;
use super::route::Route;
use super::skb::Skb;
use crate::bindings;
use core::mem::MaybeUninit;
use kernel::alloc::Flags;
use kernel::error::{code::*, Result};
use kernel::iov::IovIterSource;

/// Octets of an IP header without options.
pub const IP_HEADER: usize = 20;

impl Skb {
    /// An empty packet for `route` that can take `capacity` octets of IP payload. With GFP_ATOMIC any context.
    pub fn for_output(route: &Route, capacity: usize, flags: Flags) -> Result<Self> {
        let head = route.headroom().checked_add(IP_HEADER).ok_or(EINVAL)?;
        let size = head
            .checked_add(capacity)
            .and_then(|n| n.checked_add(route.tailroom()))
            .ok_or(EINVAL)?;
        let (size, head) = (u32::try_from(size)?, i32::try_from(head)?);
        // SAFETY: no requirements.
        let skb = unsafe { bindings::vmtp_helper_alloc_skb(size, super::gfp(flags)) };
        if skb.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: fresh, empty and long enough.
        unsafe {
            bindings::vmtp_helper_skb_reserve(skb, head);
            bindings::vmtp_helper_skb_reset_transport_header(skb);
            Ok(Self::from_raw(skb))
        }
    }

    /// Room for `length` octets more. They count at once: fill them, or drop the packet. ENOSPC beyond the capacity.
    fn extend(&mut self, length: usize) -> Result<&mut [MaybeUninit<u8>]> {
        // SAFETY: valid by the invariant; 0 for a packet that is not linear.
        let room = unsafe { bindings::vmtp_helper_skb_tailroom(self.as_raw()) };
        if length > usize::try_from(room)? {
            return Err(ENOSPC);
        }
        // SAFETY: there is room, which was just checked, and we are the only owner of an output packet.
        Ok(unsafe {
            let start = bindings::skb_put(self.as_raw(), length as u32);
            core::slice::from_raw_parts_mut(start.cast::<MaybeUninit<u8>>(), length)
        })
    }

    /// Takes the last `length` octets back, after a failed copy.
    fn shrink(&mut self, length: usize) {
        let rest = self.len().saturating_sub(length);
        // SAFETY: shorter than it is.
        unsafe { bindings::skb_trim(self.as_raw(), rest as u32) };
    }

    /// Appends octets. Any context.
    #[inline]
    pub fn append(&mut self, octets: &[u8]) -> Result {
        let to = self.extend(octets.len())?;
        // SAFETY: both have `octets.len()` octets and do not overlap.
        unsafe {
            core::ptr::copy_nonoverlapping(octets.as_ptr(), to.as_mut_ptr().cast(), octets.len())
        };
        Ok(())
    }

    /// Appends zeros. Any context.
    pub fn append_zeros(&mut self, length: usize) -> Result {
        // SAFETY: zero octets are octets.
        unsafe { self.extend(length)?.as_mut_ptr().write_bytes(0, length) };
        Ok(())
    }

    /// Appends what `fill` writes into zeroed room. Any context if `fill` is.
    pub fn append_with(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> Result) -> Result {
        self.append_zeros(length)?;
        let start = self.len().wrapping_sub(length);
        let result = match self.data_mut().get_mut(start..) {
            Some(room) => fill(room),
            None => Err(EINVAL),
        };
        if result.is_err() {
            self.shrink(length);
        }
        result
    }

    /// Appends from user memory. EFAULT if that is not readable; the packet is then as before. Sleeps.
    pub fn append_iter(&mut self, from: &mut IovIterSource<'_>, length: usize) -> Result {
        let copied = from.copy_from_iter_raw(self.extend(length)?).len();
        if copied != length {
            self.shrink(length);
            return Err(EFAULT);
        }
        Ok(())
    }

    /// Appends a part of another packet. Any context.
    pub fn append_skb(&mut self, from: &Skb, offset: usize, length: usize) -> Result {
        let at = i32::try_from(offset)?;
        let to = self.extend(length)?.as_mut_ptr();
        // SAFETY: `to` has `length` octets; C checks the range of `from`. `length` fits as it fitted the tail room.
        if unsafe { bindings::skb_copy_bits(from.as_raw(), at, to.cast(), length as i32) } != 0 {
            self.shrink(length);
            return Err(EFAULT);
        }
        Ok(())
    }

    /// Appends a part of a page store. Any context.
    pub fn append_pages(&mut self, from: &Pages, offset: usize, length: usize) -> Result {
        let end = offset.checked_add(length).ok_or(EINVAL)?;
        if end > from.len() {
            return Err(EFAULT);
        }
        let mut result = Ok(());
        from.for_each_piece(offset, length, |piece| {
            if result.is_ok() {
                result = self.append(piece);
            }
        })?;
        result
    }

    /// All octets so far, writable: the packet is ours alone until it is sent. Any context.
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: the linear part of a packet that is owned exclusively. A received packet may share its data with a
        // clone, so for those an empty slice is given.
        unsafe {
            let skb = self.as_raw();
            if bindings::vmtp_helper_skb_cloned(skb) {
                return &mut [];
            }
            let length = (*skb).len.wrapping_sub((*skb).data_len) as usize;
            core::slice::from_raw_parts_mut((*skb).data, length)
        }
    }
}
