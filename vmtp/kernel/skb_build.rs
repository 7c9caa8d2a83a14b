// SPDX-License-Identifier: GPL-2.0

//! Making a packet for output: one linear buffer with room for the headers below in front, filled in one go, or such a
//! one for the first octets only, with pages behind that are shared. Sending it is `output`.

use super::pages::Pages;
use super::route::Route;
use super::skb::Skb;
use crate::bindings;
use core::marker::PhantomData;
use kernel::alloc::Flags;
use kernel::error::{code::*, to_result, Result};

/// The octets of a packet in the making, written from the first on.
///
/// # Invariants
///
/// `size` octets from `start` on are the packet's and nobody else's; the first `filled` of them are written.
pub struct Filler<'a> {
    start: *mut u8,
    filled: usize,
    size: usize,
    _packet: PhantomData<&'a mut [u8]>,
}

impl Filler<'_> {
    /// # Safety
    ///
    /// `size` octets from `start` on may be written, by nobody else, as long as this is used.
    pub(super) unsafe fn new(start: *mut u8, size: usize) -> Self {
        // INVARIANT: by the caller's promise.
        Self {
            start,
            filled: 0,
            size,
            _packet: PhantomData,
        }
    }

    /// Whether all is written.
    pub(super) fn is_full(&self) -> bool {
        self.filled == self.size
    }

    /// Room for the next `length` octets, which the caller writes. ENOSPC beyond the packet's end.
    #[inline(always)]
    fn next(&mut self, length: usize) -> Result<*mut u8> {
        let end = self.filled.checked_add(length).ok_or(ENOSPC)?;
        if end > self.size {
            return Err(ENOSPC);
        }
        // SAFETY: inside the packet.
        let place = unsafe { self.start.add(self.filled) };
        self.filled = end;
        Ok(place)
    }

    /// The next octets. ENOSPC beyond the packet's end.
    #[inline(always)]
    pub fn put(&mut self, octets: &[u8]) -> Result {
        let place = self.next(octets.len())?;
        // SAFETY: there is room for them, and no part of the packet is borrowed as `octets`.
        unsafe { core::ptr::copy_nonoverlapping(octets.as_ptr(), place, octets.len()) };
        Ok(())
    }

    /// So many zeros. ENOSPC beyond the packet's end.
    #[inline]
    pub fn put_zeros(&mut self, length: usize) -> Result {
        if length != 0 {
            let place = self.next(length)?;
            // SAFETY: there is room for them.
            unsafe { place.write_bytes(0, length) };
        }
        Ok(())
    }

    /// A part of a page store. EINVAL beyond its end; ENOSPC beyond the packet's.
    #[inline]
    pub fn put_pages(&mut self, from: &Pages, offset: usize, length: usize) -> Result {
        let mut result = Ok(());
        from.for_each_piece(offset, length, |piece| {
            if result.is_ok() {
                result = self.put(piece);
            }
        })?;
        result
    }

    /// A part of another packet. EFAULT beyond its end; ENOSPC beyond this one's.
    pub fn put_skb(&mut self, from: &Skb, offset: usize, length: usize) -> Result {
        let (from_offset, octets) = (i32::try_from(offset)?, i32::try_from(length)?);
        let place = self.next(length)?;
        // SAFETY: there is room for them, and C checks the range of the other packet.
        to_result(unsafe {
            bindings::skb_copy_bits(from.as_raw(), from_offset, place.cast(), octets)
        })
    }

    /// What was written so far.
    #[inline(always)]
    pub fn filled(&self) -> &[u8] {
        // SAFETY: by the invariant.
        unsafe { core::slice::from_raw_parts(self.start, self.filled) }
    }
}

impl Skb {
    /// A packet for `route` of `size` octets of IP payload, all of which `fill` writes. ENOMEM; EINVAL if it did not write
    /// them all; what `fill` says. With GFP_ATOMIC any context.
    #[inline]
    pub fn for_output(
        route: &Route,
        size: usize,
        flags: Flags,
        fill: impl FnOnce(&mut Filler<'_>) -> Result,
    ) -> Result<Self> {
        let octets = u32::try_from(size)?;
        // SAFETY: the route is valid; no other requirements.
        let skb = unsafe {
            let raw = bindings::vmtp_helper_packet_alloc(
                route.as_raw(),
                route.headroom(),
                octets,
                super::gfp(flags),
            );
            if raw.is_null() {
                return Err(ENOMEM);
            }
            Self::from_raw(raw)
        };
        // SAFETY: valid. C gives a packet of `size` octets in one piece that nobody else has.
        let mut filler = unsafe { Filler::new((*skb.as_raw()).data, size) };
        fill(&mut filler)?;
        if !filler.is_full() {
            return Err(EINVAL);
        }
        Ok(skb)
    }

    /// A packet for `route` of `header`, a part of a page store, and `tail` behind it. Pages are shared and not copied. EINVAL
    /// beyond the end of the store or if it is a small one; ENOMEM; ENOSPC if there are more pages than a packet can have. With
    /// GFP_ATOMIC any context.
    pub fn with_pages(
        route: &Route,
        header: &[u8],
        pages: &Pages,
        offset: usize,
        length: usize,
        tail: &[u8],
        flags: Flags,
    ) -> Result<Self> {
        let skb = Self::for_output(route, header.len(), flags, |filler| filler.put(header))?;
        let mut fits = true;
        pages.for_each_page(offset, length, |page, within, octets| {
            if fits {
                // SAFETY: the packet is ours alone, and the octets are of the page, which nobody writes to while packets
                // share it.
                fits = unsafe {
                    bindings::vmtp_helper_packet_share(skb.as_raw(), page, within, octets)
                };
            }
        })?;
        if !fits {
            return Err(ENOSPC);
        }
        let octets = u32::try_from(tail.len())?;
        // SAFETY: the packet is ours alone; C copies the octets.
        let appended = unsafe {
            bindings::vmtp_helper_packet_append(skb.as_raw(), tail.as_ptr().cast(), octets)
        };
        appended.then_some(skb).ok_or(ENOMEM)
    }
}
