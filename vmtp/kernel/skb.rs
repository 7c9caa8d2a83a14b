// SPDX-License-Identifier: GPL-2.0

//! A packet's buffer: owning it, reading a received one, charging it to a socket. Filling one for output is
//! `skb_build`, queues of them are `skb_queue`.

use super::sock::Sk;
use crate::bindings;
use core::net::Ipv4Addr;
use core::ptr::NonNull;
use kernel::bindings as k;
use kernel::error::{code::*, to_result, Result};
use kernel::iov::IovIterDest;

/// Why a packet was dropped, as `dropwatch` and the `skb:kfree_skb` tracepoint show it. Of the reasons that the kernel
/// has: subsystems with reasons of their own are numbered in its source, and a module cannot add one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DropReason {
    /// Nobody has the destination, or waits for it.
    NoSocket = bindings::skb_drop_reason_SKB_DROP_REASON_NO_SOCKET,
    /// The socket's filter refused it.
    SocketFilter = bindings::skb_drop_reason_SKB_DROP_REASON_SOCKET_FILTER,
    /// The socket's receive buffer, or a queue or table, is full.
    ReceiveBuffer = bindings::skb_drop_reason_SKB_DROP_REASON_SOCKET_RCVBUFF,
    /// Shorter than its header says.
    TooSmall = bindings::skb_drop_reason_SKB_DROP_REASON_PKT_TOO_SMALL,
    /// Its checksum is wrong, or missing where it must not be.
    Checksum = bindings::skb_drop_reason_SKB_DROP_REASON_SKB_CSUM,
    /// It breaks the protocol.
    Malformed = bindings::skb_drop_reason_SKB_DROP_REASON_INVALID_PROTO,
    /// A version, domain or kind that is not spoken here.
    Protocol = bindings::skb_drop_reason_SKB_DROP_REASON_UNHANDLED_PROTO,
    /// A part of a message that was received before.
    Duplicate = bindings::skb_drop_reason_SKB_DROP_REASON_DUP_FRAG,
    /// A part of a message that lies too far ahead, or out of sequence.
    TooFar = bindings::skb_drop_reason_SKB_DROP_REASON_FRAG_TOO_FAR,
    /// An allocation failed.
    NoMemory = bindings::skb_drop_reason_SKB_DROP_REASON_NOMEM,
}

/// What a received packet's IP header says.
#[derive(Clone, Copy, Debug)]
pub struct IpHeader {
    /// From.
    pub source: Ipv4Addr,
    /// To.
    pub destination: Ipv4Addr,
    /// Time to live as it arrived.
    pub ttl: u8,
    /// Type of service (DSCP and ECN).
    pub tos: u8,
}

/// An owned `struct sk_buff`. Dropping it is consuming it; [`Skb::discard`] tells why it was thrown away.
///
/// # Invariants
///
/// The pointer is valid and one reference is ours. For a received packet the data starts behind the IP header.
#[repr(transparent)]
pub struct Skb(NonNull<bindings::sk_buff>);

// SAFETY: an sk_buff belongs to no thread.
unsafe impl Send for Skb {}
// SAFETY: `&Skb` only reads.
unsafe impl Sync for Skb {}

impl Skb {
    /// # Safety
    ///
    /// `skb` is valid and the caller's reference is given away.
    #[inline]
    pub(super) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        // SAFETY: valid pointers are not null.
        Self(unsafe { NonNull::new_unchecked(skb) })
    }

    /// Gives the reference to C.
    #[inline]
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// Octets of data (of a received packet: of the IP payload). Any context.
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: valid by the invariant.
        unsafe { (*self.as_raw()).len as usize }
    }

    /// Whether there is no data. Any context.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part of the data that lies in one piece at the start. Any context.
    #[inline]
    pub fn linear(&self) -> &[u8] {
        // SAFETY: `len - data_len` octets from `data` on are the linear part; nobody writes to a received packet, and
        // our own is written through `&mut`.
        unsafe {
            let skb = self.as_raw();
            let length = (*skb).len.wrapping_sub((*skb).data_len) as usize;
            core::slice::from_raw_parts((*skb).data, length)
        }
    }

    /// What it occupies in memory, which is what a socket is charged. Any context.
    #[inline]
    pub fn truesize(&self) -> usize {
        // SAFETY: valid by the invariant.
        unsafe { (*self.as_raw()).truesize as usize }
    }

    /// The first N octets, made linear if they are not; `None` if there are fewer or memory is short. Any context.
    #[inline]
    pub fn pull<const N: usize>(&mut self) -> Option<&[u8; N]> {
        if self.linear().len() < N {
            // SAFETY: valid by the invariant, and nobody borrows the data that may move.
            if !unsafe { bindings::vmtp_helper_pskb_may_pull(self.as_raw(), N as u32) } {
                return None;
            }
        }
        self.linear().first_chunk::<N>()
    }

    /// Brings what IP has put together of fragments into one piece: only packets that were coupled (`skb_train`) have a
    /// list of others behind them from then on. `false` if memory is short. Any context.
    #[inline]
    pub fn unite(&mut self) -> bool {
        if self.linear().len() == self.len() {
            return true;
        }
        // SAFETY: valid by the invariant, and the list's place lasts as long as the packet.
        let list = unsafe { *bindings::vmtp_helper_train_list(self.as_raw()) };
        if list.is_null() {
            return true;
        }
        let length = self.len() as u32;
        // SAFETY: valid by the invariant, and nobody borrows the data that may move.
        unsafe { bindings::vmtp_helper_pskb_may_pull(self.as_raw(), length) }
    }

    /// A copy of the last N octets; `None` if there are fewer. Any context.
    #[inline]
    pub fn tail<const N: usize>(&self) -> Option<[u8; N]> {
        let linear = self.linear();
        if linear.len() == self.len() {
            return linear.last_chunk::<N>().copied();
        }
        let mut tail = [0; N];
        self.copy_to_slice(self.len().checked_sub(N)?, &mut tail)
            .ok()?;
        Some(tail)
    }

    /// Copies from `offset` on. EFAULT if the data ends before. Any context.
    pub fn copy_to_slice(&self, offset: usize, to: &mut [u8]) -> Result {
        let (from, length) = (i32::try_from(offset)?, i32::try_from(to.len())?);
        // SAFETY: `to` has `length` octets; the C side checks the range.
        to_result(unsafe {
            bindings::skb_copy_bits(self.as_raw(), from, to.as_mut_ptr().cast(), length)
        })
    }

    /// Copies `length` octets from `offset` on to user memory. EFAULT if that is not writable (the iterator is then
    /// where it was) or the data ends before. Sleeps; hold no spinlock.
    pub fn copy_to_iter(&self, offset: usize, to: &mut IovIterDest<'_>, length: usize) -> Result {
        let end = offset.checked_add(length).ok_or(EFAULT)?;
        if let Some(piece) = self.linear().get(offset..end) {
            // As the C side does it, without its search for the octets.
            let copied = to.copy_to_iter(piece);
            if copied != length {
                // SAFETY: so much was just written.
                unsafe { to.revert(copied) };
                return Err(EFAULT);
            }
            return Ok(());
        }
        let (from, length) = (i32::try_from(offset)?, i32::try_from(length)?);
        // SAFETY: both are valid; the iov_iter types are one C type.
        to_result(unsafe {
            bindings::skb_copy_datagram_iter(self.as_raw(), from, to.as_raw().cast(), length)
        })
    }

    /// Shows `length` octets from `offset` on in pieces, in order, whatever the packet is made of. EINVAL if the data
    /// ends before. `piece` must not sleep. Any context.
    #[inline]
    pub fn for_each_piece(
        &self,
        offset: usize,
        length: usize,
        mut piece: impl FnMut(&[u8]),
    ) -> Result {
        let end = offset.checked_add(length).ok_or(EINVAL)?;
        if end > self.len() {
            return Err(EINVAL);
        }
        match self.linear().get(offset..end) {
            Some(all) => piece(all),
            None => self.for_each_scattered(offset, end, &mut piece),
        }
        Ok(())
    }

    fn for_each_scattered(&self, offset: usize, end: usize, piece: &mut dyn FnMut(&[u8])) {
        let mut state = core::mem::MaybeUninit::<bindings::skb_seq_state>::uninit();
        // SAFETY: the range is inside the packet, which stays borrowed; C initialises the state.
        unsafe {
            bindings::skb_prepare_seq_read(
                self.as_raw(),
                offset as u32,
                end as u32,
                state.as_mut_ptr(),
            )
        };
        let mut done = 0u32;
        loop {
            let mut data = core::ptr::null();
            // SAFETY: the state was prepared. At the end, when it returns 0, it has released its mapping itself.
            let length = unsafe { bindings::skb_seq_read(done, &mut data, state.as_mut_ptr()) };
            if length == 0 {
                return;
            }
            // SAFETY: C gives a piece which is mapped until the next call.
            let all = unsafe { core::slice::from_raw_parts(data, length as usize) };
            // It goes on to the end of its fragment, which may lie behind the range.
            let left = end.saturating_sub(offset).saturating_sub(done as usize);
            piece(all.get(..left).unwrap_or(all));
            done = done.wrapping_add(length);
        }
    }

    /// The IP header of a received packet. Any context.
    #[inline]
    pub fn ip(&self) -> IpHeader {
        // SAFETY: of a received packet the network header is there, linear and checked by IP.
        let ip = unsafe { &*bindings::vmtp_helper_ip_hdr(self.as_raw()) };
        // SAFETY: the addresses are plain numbers in a union whose members lie over one another.
        let (source, destination) = unsafe {
            (
                ip.__bindgen_anon_1.addrs.saddr,
                ip.__bindgen_anon_1.addrs.daddr,
            )
        };
        IpHeader {
            source: super::from_be32(source),
            destination: super::from_be32(destination),
            ttl: ip.ttl,
            tos: ip.tos,
        }
    }

    /// Whether it was received by this interface, or by one that is enslaved to it. Ask before [`Skb::set_note`]. Any
    /// context.
    pub fn came_by(&self, interface: u32) -> bool {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_skb_came_by(self.as_raw(), interface as i32) }
    }

    /// Whether it was received for a multicast or broadcast address, even one that the header does not show. Ask before
    /// [`Skb::detach`]. Any context.
    #[inline]
    pub fn is_multicast(&self) -> bool {
        // SAFETY: valid by the invariant.
        let flags = unsafe { bindings::vmtp_helper_skb_rt_flags(self.as_raw()) };
        flags & (bindings::RTCF_MULTICAST | bindings::RTCF_BROADCAST) != 0
    }

    /// Whether the packet was made by this kernel and has been in its memory since. Any context.
    #[inline]
    pub fn is_of_this_kernel(&self) -> bool {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_skb_is_of_this_kernel(self.as_raw()) }
    }

    /// The firewall mark. Any context.
    pub fn mark(&self) -> u32 {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_skb_mark(self.as_raw()) }
    }

    /// Lets go of route and connection tracking: before it is queued for longer. Any context.
    pub fn detach(&mut self) {
        // SAFETY: valid by the invariant and ours.
        unsafe {
            bindings::vmtp_helper_skb_dst_drop(self.as_raw());
            bindings::vmtp_helper_nf_reset_ct(self.as_raw());
        }
    }

    /// Forgets the first octets. Any context.
    pub fn skip(&mut self, length: usize) -> Result {
        if length > self.linear().len() {
            return Err(EINVAL);
        }
        // SAFETY: there are as many linear octets.
        unsafe { bindings::skb_pull(self.as_raw(), length as u32) };
        Ok(())
    }

    /// Charges it to the socket's receive memory until it is dropped: ENOBUFS if the protocol's memory is used up.
    /// SO_RCVBUF is the caller's business. It must be dropped before the socket is, in any context, under no lock in
    /// particular. Any context.
    pub fn charge_receive(&mut self, sk: &Sk) -> Result {
        // SAFETY: both are valid and the packet is ours; by the promise above the socket is still there when it goes.
        unsafe { bindings::vmtp_helper_skb_charge(self.as_raw(), sk.as_raw()) }
            .then_some(())
            .ok_or(super::errno::Errno::ENOBUFS.into())
    }

    /// Ends a charge. Any context.
    pub fn uncharge(&mut self) {
        // SAFETY: valid by the invariant and ours.
        unsafe { bindings::vmtp_helper_skb_orphan(self.as_raw()) };
    }

    /// Keeps a word or two of ours with the packet. Not across output: IP uses the same place.
    #[inline]
    pub fn set_note(&mut self, note: [u64; 4]) {
        // SAFETY: `cb` has 48 octets, aligned to 8, and belongs to the packet's owner.
        unsafe {
            (&raw mut (*self.as_raw()).cb)
                .cast::<[u64; 4]>()
                .write(note)
        };
    }

    /// What [`Skb::set_note`] left.
    #[inline]
    pub fn note(&self) -> [u64; 4] {
        // SAFETY: as above; any octets are numbers. A fresh sk_buff's are what the layer below left.
        unsafe { (&raw const (*self.as_raw()).cb).cast::<[u64; 4]>().read() }
    }

    /// Another reference to the same data with a head of its own (it may be queued elsewhere). Any context.
    pub fn try_clone(&self, flags: kernel::alloc::Flags) -> Result<Self> {
        // SAFETY: valid by the invariant.
        let skb = unsafe { bindings::skb_clone(self.as_raw(), super::gfp(flags)) };
        if skb.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: a new reference.
        Ok(unsafe { Self::from_raw(skb) })
    }

    /// Throws it away. Any context.
    pub fn discard(self, reason: DropReason) {
        // SAFETY: our reference is given up.
        unsafe { bindings::vmtp_helper_kfree_skb_reason(self.into_raw(), reason as u32) };
    }
}

impl Drop for Skb {
    fn drop(&mut self) {
        // SAFETY: our reference is given up.
        unsafe { bindings::vmtp_helper_consume_skb(self.as_raw()) };
    }
}

const _: () =
    assert!(core::mem::size_of::<bindings::iov_iter>() == core::mem::size_of::<k::iov_iter>());
