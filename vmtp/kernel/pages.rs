// SPDX-License-Identifier: GPL-2.0

//! Octets that are counted and shared: a segment that may have to be sent again. They are filled once, then only read,
//! and may be dropped in any context. Up to a half page lies in one piece with the count, more in pages.

use super::skb::Skb;
use crate::bindings;
use core::mem::{size_of, MaybeUninit};
use core::ptr::NonNull;
use core::sync::atomic::{fence, AtomicUsize, Ordering};
use kernel::alloc::{flags::*, Flags};
use kernel::error::{code::*, to_result, Result};
use kernel::iov::{IovIterDest, IovIterSource};

/// Octets of a page here.
pub const PAGE: usize = 4096;
const _: () = assert!(PAGE == kernel::page::PAGE_SIZE);

/// So many octets are not worth a page.
const SMALL: usize = 2048 - size_of::<Head>();

/// What lies before the octets, or before the pointers to their pages.
#[repr(C)]
struct Head {
    references: AtomicUsize,
    /// Pages of our own.
    count: usize,
    /// Octets written so far.
    length: usize,
}

/// A store of octets. A clone is the same store.
///
/// # Invariants
///
/// The pointer is to an allocation that begins with a [`Head`], and one of its references is ours. If `count` is 0,
/// `length` octets follow; otherwise `count` pointers to pages of our own, all but the last full.
pub struct Pages(NonNull<Head>);

// SAFETY: pages belong to no thread, and the count is atomic.
unsafe impl Send for Pages {}
// SAFETY: `&Pages` only reads.
unsafe impl Sync for Pages {}

/// The memory of packets and segments is there until this is dropped.
pub struct Registration(());

impl Registration {
    /// Once, before anything else of this module. ENOMEM. Sleeps.
    pub fn new() -> Result<Self> {
        // SAFETY: called once; undone by the drop.
        to_result(unsafe { bindings::vmtp_helper_memory_begin() })?;
        Ok(Self(()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: nothing of the module makes packets or holds segments any more.
        unsafe { bindings::vmtp_helper_memory_end() };
    }
}

impl Pages {
    fn head(&self) -> &Head {
        // SAFETY: valid by the invariant.
        unsafe { self.0.as_ref() }
    }

    /// What follows the head.
    fn body(&self) -> *mut u8 {
        // SAFETY: there is something behind the head, be it the end of the allocation.
        unsafe { self.0.as_ptr().add(1).cast() }
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

    /// Copies a part of a packet to `at`. EINVAL beyond the end, EFAULT if the packet ends before, EBUSY if there are
    /// clones, or packets that share its pages. Any context.
    pub fn write_skb(&mut self, at: usize, skb: &Skb, from: usize, length: usize) -> Result {
        if self.head().references.load(Ordering::Acquire) != 1 {
            return Err(EBUSY);
        }
        for index in 0..self.head().count {
            // SAFETY: a page of our own.
            if unsafe { bindings::vmtp_helper_page_is_shared(self.entry(index)) } {
                return Err(EBUSY);
            }
        }
        let mut done = 0usize;
        let mut result = Ok(());
        self.pieces(at, length, |start, octets| {
            // SAFETY: the piece is of our own store, which is borrowed exclusively and has no clones; nobody else reads it
            // meanwhile.
            let room = unsafe { core::slice::from_raw_parts_mut(start.cast_mut(), octets) };
            if result.is_ok() {
                result = skb.copy_to_slice(from.saturating_add(done), room);
            }
            done = done.saturating_add(octets);
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
        let flags = super::gfp(flags);
        let count = if length <= SMALL {
            0
        } else {
            length.div_ceil(PAGE)
        };
        let body = if count == 0 {
            length
        } else {
            count.wrapping_mul(size_of::<*mut bindings::page>())
        };
        // SAFETY: no requirements.
        let head: *mut Head = unsafe {
            bindings::vmtp_helper_segment_alloc(size_of::<Head>().wrapping_add(body), flags)
        }
        .cast();
        let head = NonNull::new(head).ok_or(ENOMEM)?;
        // SAFETY: fresh, and large enough.
        unsafe {
            head.write(Head {
                references: AtomicUsize::new(1),
                count: 0,
                length: 0,
            })
        };
        // INVARIANT: the one reference. Nothing is in it yet.
        let this = Self(head);
        if count == 0 {
            // SAFETY: there are so many octets, and nobody else has them.
            write(unsafe { core::slice::from_raw_parts_mut(this.body().cast(), length) })?;
            // INVARIANT: just written.
            // SAFETY: nobody else has it.
            unsafe { (*head.as_ptr()).length = length };
            return Ok(this);
        }
        let mut index = 0usize;
        while index < count {
            let mut row = 0;
            let wanted = u32::try_from(count.wrapping_sub(index)).unwrap_or(u32::MAX);
            // SAFETY: no requirements; highmem is never asked for, so pages have an address.
            let page = unsafe { bindings::vmtp_helper_pages_alloc(wanted, &mut row, flags) };
            if page.is_null() {
                return Err(ENOMEM);
            }
            let begin = index.wrapping_mul(PAGE);
            for number in 0..row as usize {
                // SAFETY: C gives no more than were wanted: there is an entry for every page of `length`, and nobody else has
                // it. The pages' descriptors lie one behind another.
                unsafe {
                    this.body()
                        .cast::<*mut bindings::page>()
                        .add(index)
                        .write(page.add(number));
                    index = index.wrapping_add(1);
                    // INVARIANT: one page more, whose reference is ours.
                    (*head.as_ptr()).count = index;
                }
            }
            let end = index.wrapping_mul(PAGE).min(length);
            // SAFETY: so many pages have more octets than that, one behind another, and nobody else has them.
            write(unsafe {
                core::slice::from_raw_parts_mut(
                    bindings::vmtp_helper_page_address(page).cast(),
                    end.wrapping_sub(begin),
                )
            })?;
            // INVARIANT: just written.
            // SAFETY: nobody else has it.
            unsafe { (*head.as_ptr()).length = end };
        }
        Ok(this)
    }

    /// Where page `index` is, and how many octets from there on lie in one piece, though they may not all be ours.
    fn row(&self, index: usize) -> Option<(*const u8, usize)> {
        let page = match self.head().count {
            // All is in one piece then.
            0 if index == 0 => return Some((self.body().cast_const(), SMALL)),
            count if index < count => self.entry(index),
            _ => return None,
        };
        // SAFETY: a page of our own. In memory that was given in one piece the pages behind it are our own, too.
        unsafe {
            Some((
                bindings::vmtp_helper_page_address(page).cast_const().cast(),
                (bindings::vmtp_helper_page_row(page) as usize).wrapping_mul(PAGE),
            ))
        }
    }

    /// A page of our own: `index` is less than their count.
    fn entry(&self, index: usize) -> *mut bindings::page {
        // SAFETY: in range.
        unsafe { *self.body().cast::<*mut bindings::page>().add(index) }
    }

    /// How many octets.
    pub fn len(&self) -> usize {
        self.head().length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows `length` octets from `offset` on in pieces, in order. EINVAL beyond the end. Any context.
    pub fn for_each_piece(
        &self,
        offset: usize,
        length: usize,
        mut piece: impl FnMut(&[u8]),
    ) -> Result {
        self.pieces(offset, length, |start, octets| {
            // SAFETY: initialised by the invariant, inside the page, and written only by who has `&mut self`.
            piece(unsafe { core::slice::from_raw_parts(start, octets) });
        })
    }

    /// Where these octets are, piece by piece: the start and the length of each.
    fn pieces(
        &self,
        offset: usize,
        length: usize,
        mut piece: impl FnMut(*const u8, usize),
    ) -> Result {
        if offset.checked_add(length).ok_or(EINVAL)? > self.len() {
            return Err(EINVAL);
        }
        let (mut at, mut rest) = (offset, length);
        while rest > 0 {
            let within = at % PAGE;
            let (start, row) = self.row(at / PAGE).ok_or(EINVAL)?;
            let size = row.wrapping_sub(within).min(rest);
            // SAFETY: `within` is less than the size of a page.
            piece(unsafe { start.add(within) }, size);
            at = at.wrapping_add(size);
            rest = rest.wrapping_sub(size);
        }
        Ok(())
    }

    /// Shows in which pages `length` octets from `offset` on are, in order: a page, where in it, how many octets, which may
    /// go on in the pages behind it. EINVAL
    /// beyond the end, or if this store has no pages of its own. Any context.
    pub(super) fn for_each_page(
        &self,
        offset: usize,
        length: usize,
        mut each: impl FnMut(*mut bindings::page, u32, u32),
    ) -> Result {
        if !self.is_paged() {
            return Err(EINVAL);
        }
        let mut at = offset;
        self.pieces(offset, length, |_, octets| {
            // `pieces` shows what is in range.
            each(self.entry(at / PAGE), (at % PAGE) as u32, octets as u32);
            at = at.wrapping_add(octets);
        })
    }

    /// Whether the octets lie in pages of their own, which packets may share.
    pub fn is_paged(&self) -> bool {
        self.head().count != 0
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

impl Clone for Pages {
    #[inline]
    fn clone(&self) -> Self {
        self.head().references.fetch_add(1, Ordering::Relaxed);
        // INVARIANT: one reference more.
        Self(self.0)
    }
}

impl Drop for Pages {
    #[inline]
    fn drop(&mut self) {
        if self.head().references.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        for index in 0..self.head().count {
            // SAFETY: in range, and ours.
            unsafe { bindings::vmtp_helper_put_page(self.entry(index)) };
        }
        // SAFETY: ours alone.
        unsafe { bindings::kfree(self.0.as_ptr().cast()) };
    }
}
