// SPDX-License-Identifier: GPL-2.0

//! Octets kept in single pages: a segment that may have to be sent again. It is filled once, then only read, and may be
//! dropped in any context.

use super::skb::Skb;
use crate::bindings;
use core::mem::MaybeUninit;
use kernel::alloc::{flags::*, Flags};
use kernel::error::{code::*, Result};
use kernel::iov::{IovIterDest, IovIterSource};

/// Octets of a page here.
pub const PAGE: usize = 4096;
const _: () = assert!(PAGE == kernel::page::PAGE_SIZE);

/// So many octets are not worth a page.
const SMALL: usize = 2048;

/// A store of octets.
///
/// # Invariants
///
/// Up to [`SMALL`] octets `count` is 0 and `pages` an allocation of the octets themselves, null if there are none. Beyond,
/// `pages` is an allocation of page pointers; the first `count` of them are pages of our own. The first `length` octets
/// are initialised.
pub struct Pages {
    pages: *mut *mut bindings::page,
    count: usize,
    length: usize,
}

// SAFETY: pages belong to no thread.
unsafe impl Send for Pages {}
// SAFETY: `&Pages` only reads.
unsafe impl Sync for Pages {}

impl Pages {
    /// Nothing; it allocates nothing.
    pub const fn new() -> Self {
        Self {
            pages: core::ptr::null_mut(),
            count: 0,
            length: 0,
        }
    }

    /// Copies `length` octets from user memory, charged to the calling task's memory group. EFAULT, ENOMEM. Sleeps.
    pub fn from_iter(from: &mut IovIterSource<'_>, length: usize) -> Result<Self> {
        Self::fill(length, GFP_KERNEL_ACCOUNT, |room| {
            let size = room.len();
            (from.copy_from_iter_raw(room).len() == size)
                .then_some(())
                .ok_or(EFAULT)
        })
    }

    /// So many zeros. With GFP_ATOMIC any context.
    pub fn zeroed(length: usize, flags: Flags) -> Result<Self> {
        Self::fill(length, flags, |room| {
            // SAFETY: zero octets are octets.
            unsafe { room.as_mut_ptr().write_bytes(0, room.len()) };
            Ok(())
        })
    }

    /// Copies a part of a packet to `at`. EINVAL beyond the end, EFAULT if the packet ends before. Any context.
    pub fn write_skb(&mut self, at: usize, skb: &Skb, from: usize, length: usize) -> Result {
        let mut done = 0usize;
        let mut result = Ok(());
        self.for_each_piece(at, length, |piece| {
            let (start, octets) = (piece.as_ptr().cast_mut(), piece.len());
            // SAFETY: the piece is of our own store, which is borrowed exclusively; nobody else reads it meanwhile.
            let room = unsafe { core::slice::from_raw_parts_mut(start, octets) };
            if result.is_ok() {
                result = skb.copy_to_slice(from.saturating_add(done), room);
            }
            done = done.saturating_add(piece.len());
        })?;
        result
    }

    /// Copies a slice. With GFP_ATOMIC any context.
    pub fn from_slice(mut from: &[u8], flags: Flags) -> Result<Self> {
        Self::fill(from.len(), flags, |room| {
            let (part, rest) = from.split_at_checked(room.len()).ok_or(EINVAL)?;
            // SAFETY: both have the same length and do not overlap.
            unsafe {
                core::ptr::copy_nonoverlapping(part.as_ptr(), room.as_mut_ptr().cast(), part.len())
            };
            from = rest;
            Ok(())
        })
    }

    /// Page by page; `write` initialises all that it is given.
    // Not a KVec: its generic code would be compiled here with overflow checks that panic.
    fn fill(
        length: usize,
        flags: Flags,
        mut write: impl FnMut(&mut [MaybeUninit<u8>]) -> Result,
    ) -> Result<Self> {
        let mut this = Self::new();
        if length == 0 {
            return Ok(this);
        }
        let flags = super::gfp(flags);
        if length <= SMALL {
            let words = length.div_ceil(8);
            // SAFETY: no requirements.
            this.pages = unsafe { bindings::vmtp_helper_kmalloc_words(words, flags) }.cast();
            if this.pages.is_null() {
                return Err(ENOMEM);
            }
            // SAFETY: there are so many octets, and nobody else has them.
            write(unsafe { core::slice::from_raw_parts_mut(this.pages.cast(), length) })?;
            // INVARIANT: just written.
            this.length = length;
            return Ok(this);
        }
        let count = length.div_ceil(PAGE);
        // SAFETY: no requirements.
        this.pages = unsafe { bindings::vmtp_helper_kmalloc_words(count, flags) }.cast();
        if this.pages.is_null() {
            return Err(ENOMEM);
        }
        while this.length < length {
            let size = length.wrapping_sub(this.length).min(PAGE);
            // SAFETY: no requirements; highmem is never asked for, so the page has an address.
            let page = unsafe { bindings::vmtp_helper_alloc_page(flags) };
            if page.is_null() {
                return Err(ENOMEM);
            }
            // SAFETY: there is an entry for every page of `length`.
            unsafe { this.pages.add(this.count).write(page) };
            // INVARIANT: one page more.
            this.count = this.count.wrapping_add(1);
            // SAFETY: a page has PAGE octets, `size` is not more, and nobody else has it.
            write(unsafe {
                core::slice::from_raw_parts_mut(
                    bindings::vmtp_helper_page_address(page).cast(),
                    size,
                )
            })?;
            // INVARIANT: just written.
            this.length = this.length.wrapping_add(size);
        }
        Ok(this)
    }

    /// The address of a page.
    fn page(&self, index: usize) -> Option<*const u8> {
        if index >= self.count {
            // The whole store is smaller than a page then.
            let small = self.count == 0 && self.length != 0 && index == 0;
            return small.then_some(self.pages.cast_const().cast());
        }
        // SAFETY: in range, and a page of our own.
        let page = unsafe { bindings::vmtp_helper_page_address(*self.pages.add(index)) };
        Some(page.cast_const().cast())
    }

    /// How many octets.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Shows `length` octets from `offset` on in pieces, in order. EINVAL beyond the end. Any context.
    pub fn for_each_piece(
        &self,
        offset: usize,
        length: usize,
        mut piece: impl FnMut(&[u8]),
    ) -> Result {
        if offset.checked_add(length).ok_or(EINVAL)? > self.length {
            return Err(EINVAL);
        }
        let (mut at, mut rest) = (offset, length);
        while rest > 0 {
            let within = at % PAGE;
            let size = PAGE.wrapping_sub(within).min(rest);
            let page = self.page(at / PAGE).ok_or(EINVAL)?;
            // SAFETY: initialised by the invariant, inside the page, and never written again.
            piece(unsafe { core::slice::from_raw_parts(page.add(within), size) });
            at = at.wrapping_add(size);
            rest = rest.wrapping_sub(size);
        }
        Ok(())
    }

    /// Copies from `offset` on. EINVAL beyond the end. Any context.
    pub fn copy_to_slice(&self, offset: usize, to: &mut [u8]) -> Result {
        let mut at = 0usize;
        self.for_each_piece(offset, to.len(), |piece| {
            let end = at.wrapping_add(piece.len());
            if let Some(part) = to.get_mut(at..end) {
                part.copy_from_slice(piece);
            }
            at = end;
        })
    }

    /// Copies to user memory. EFAULT if that is not writable. Sleeps.
    pub fn copy_to_iter(&self, offset: usize, to: &mut IovIterDest<'_>, length: usize) -> Result {
        let mut whole = true;
        self.for_each_piece(offset, length, |piece| {
            whole = whole && to.copy_to_iter(piece) == piece.len()
        })?;
        whole.then_some(()).ok_or(EFAULT)
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        for index in 0..self.count {
            // SAFETY: in range, and ours.
            unsafe { bindings::vmtp_helper_put_page(*self.pages.add(index)) };
        }
        // SAFETY: ours, or null.
        unsafe { bindings::kfree(self.pages.cast()) };
    }
}
