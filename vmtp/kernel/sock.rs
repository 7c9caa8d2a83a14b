// SPDX-License-Identifier: GPL-2.0

//! A socket as the network side sees it (`struct sock`): its options, its memory, waking who waits for it. The system
//! calls on it are `family`.

use super::net::Net;
use super::route::User;
use super::skb::Skb;
use super::wait::{self, Wait};
use crate::bindings;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::error::{to_result, Result};
use kernel::types::Opaque;

/// `struct sock`, an inet_sock at least, whatever its family.
///
/// # Invariants
///
/// Only ever seen by reference; whoever lends it holds a count.
#[repr(transparent)]
pub struct Sk(Opaque<bindings::sock>);

// SAFETY: every operation offered here is safe from any thread.
unsafe impl Send for Sk {}
// SAFETY: as above.
unsafe impl Sync for Sk {}

impl Sk {
    /// # Safety
    ///
    /// `sk` is valid, an inet_sock, and stays so for `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(sk: *mut bindings::sock) -> &'a Self {
        // SAFETY: by the caller's promise; transparent.
        unsafe { &*sk.cast() }
    }

    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::sock {
        self.0.get()
    }

    /// Its namespace, which lives as long as it does. Any context.
    #[inline]
    pub fn net(&self) -> &Net {
        // SAFETY: valid by the invariant; a user's socket holds its namespace.
        unsafe { Net::from_raw(bindings::vmtp_helper_sock_net(self.as_raw())) }
    }

    /// What its options say of its packets. Any context.
    pub fn wishes(&self) -> SkWishes {
        let mut wishes = MaybeUninit::uninit();
        // SAFETY: valid by the invariant, an inet_sock; C fills all fields.
        let wishes = unsafe {
            bindings::vmtp_helper_sk_wishes(self.as_raw(), wishes.as_mut_ptr());
            wishes.assume_init()
        };
        SkWishes {
            interface: wishes.interface,
            mark: wishes.mark,
            priority: wishes.priority,
            user: User(wishes.user.val),
            tos: wishes.tos,
            broadcast: wishes.broadcast,
        }
    }

    /// SO_RCVBUF, octets of memory. Any context.
    pub fn receive_buffer(&self) -> usize {
        // SAFETY: valid by the invariant.
        usize::try_from(unsafe { bindings::vmtp_helper_sk_rcvbuf(self.as_raw()) }).unwrap_or(0)
    }

    /// SO_SNDBUF, octets of memory. Any context.
    pub fn send_buffer(&self) -> usize {
        // SAFETY: valid by the invariant.
        usize::try_from(unsafe { bindings::vmtp_helper_sk_sndbuf(self.as_raw()) }).unwrap_or(0)
    }

    /// Octets of memory charged by [`Skb::charge_receive`]. Any context.
    pub fn receive_memory(&self) -> usize {
        // SAFETY: valid by the invariant.
        usize::try_from(unsafe { bindings::vmtp_helper_sk_rmem_alloc(self.as_raw()) }).unwrap_or(0)
    }

    /// Octets of memory charged by [`Skb::send`](super::skb::Skb::send). Any context.
    pub fn send_memory(&self) -> usize {
        // SAFETY: valid by the invariant.
        usize::try_from(unsafe { bindings::vmtp_helper_sk_wmem_alloc(self.as_raw()) }).unwrap_or(0)
    }

    /// SO_RCVTIMEO in nanoseconds; `None` is no limit. Any context.
    pub fn receive_timeout(&self) -> Option<u64> {
        // SAFETY: valid by the invariant.
        match unsafe { bindings::vmtp_helper_sk_rcvtimeo_ns(self.as_raw()) } {
            u64::MAX => None,
            ns => Some(ns),
        }
    }

    /// SO_SNDTIMEO in nanoseconds; `None` is no limit. Any context.
    pub fn send_timeout(&self) -> Option<u64> {
        // SAFETY: valid by the invariant.
        match unsafe { bindings::vmtp_helper_sk_sndtimeo_ns(self.as_raw()) } {
            u64::MAX => None,
            ns => Some(ns),
        }
    }

    /// SO_ERROR: takes the pending error, if there is one. Any context.
    pub fn take_error(&self) -> Result {
        // SAFETY: valid by the invariant. C answers 0 or a negative number.
        to_result(unsafe { bindings::vmtp_helper_sock_error(self.as_raw()) })
    }

    /// Whether an error is pending. Any context.
    pub fn has_error(&self) -> bool {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_sk_err(self.as_raw()) != 0 }
    }

    /// Sets the pending error and wakes everyone (POLLERR). Any context.
    pub fn set_error(&self, error: kernel::error::Error) {
        // SAFETY: valid by the invariant.
        unsafe {
            bindings::vmtp_helper_sk_set_err(self.as_raw(), error.to_errno().wrapping_neg());
            bindings::sk_error_report(self.as_raw());
        }
    }

    /// Something can be received: wakes poll and receivers. Any context.
    #[inline]
    pub fn data_ready(&self) {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_sk_data_ready(self.as_raw()) };
    }

    /// Something can be sent: wakes poll and senders (only when less than half of SO_SNDBUF is in use). Any context.
    #[inline]
    pub fn write_space(&self) {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_sk_write_space(self.as_raw()) };
    }

    /// Wakes everyone, whatever they wait for. Any context.
    pub fn state_change(&self) {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_sk_state_change(self.as_raw()) };
    }

    /// What `shutdown` closed: (receiving, sending). Any context.
    pub fn is_shut_down(&self) -> (bool, bool) {
        // SAFETY: valid by the invariant.
        let how = unsafe { bindings::vmtp_helper_sk_shutdown(self.as_raw()) };
        (
            how & bindings::RCV_SHUTDOWN != 0,
            how & bindings::SEND_SHUTDOWN != 0,
        )
    }

    /// Closes directions for good and wakes everyone. Any context.
    pub fn shut_down(&self, receiving: bool, sending: bool) {
        let how = if receiving { bindings::RCV_SHUTDOWN } else { 0 }
            | if sending { bindings::SEND_SHUTDOWN } else { 0 };
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_sk_add_shutdown(self.as_raw(), how) };
        self.state_change();
    }

    /// Counts a packet that was lost for lack of room (SO_RXQ_OVFL). Any context.
    pub fn count_drop(&self) {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_sk_drops_inc(self.as_raw()) };
    }

    /// Runs SO_ATTACH_FILTER's program, the security module and the control group's. EPERM: drop it. The filter cannot
    /// shorten the packet: it was checked, and is one of several of a message. Any context.
    pub fn filter(&self, skb: &mut Skb) -> Result {
        // SAFETY: both are valid and the packet is ours.
        to_result(unsafe { bindings::vmtp_helper_sk_filter(self.as_raw(), skb.as_raw()) })
    }

    /// The socket's lock for system calls, which may sleep while holding it. Sleeps.
    pub fn lock(&self) -> SkGuard<'_> {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_lock_sock(self.as_raw()) };
        // INVARIANT: just locked.
        SkGuard(self, kernel::types::NotThreadSafe)
    }

    /// Waits where [`Sk::data_ready`] and its like wake, see [`wait::wait_on`]. `events` are the EPOLL* bits of
    /// interest. Sleeps.
    pub fn wait<R>(
        &self,
        events: u32,
        timeout: Option<u64>,
        condition: impl FnMut() -> Option<R>,
    ) -> Wait<R> {
        // SAFETY: the queue is part of the `struct socket`, which the calling system call holds.
        unsafe {
            wait::wait_on(
                bindings::vmtp_helper_sk_sleep(self.as_raw()),
                false,
                events,
                timeout,
                condition,
            )
        }
    }

    /// Whether someone waits for it by poll, epoll or io_uring, not in a call of ours. Any context.
    pub fn is_polled(&self) -> bool {
        // SAFETY: valid by the invariant; the function is only compared.
        unsafe { bindings::vmtp_helper_sk_is_polled(self.as_raw(), Some(wait::wake_function)) }
    }

    /// A counted reference to it. Any context.
    pub fn to_ref(&self) -> SkRef {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_sock_hold(self.as_raw()) };
        // INVARIANT: one count is now ours.
        SkRef(NonNull::from(self))
    }
}

/// What the options of a socket say of its packets.
#[derive(Clone, Copy, Debug)]
pub struct SkWishes {
    /// SO_BINDTODEVICE as an interface index, 0 for none.
    pub interface: u32,
    /// SO_MARK.
    pub mark: u32,
    /// SO_PRIORITY.
    pub priority: u32,
    /// Who opened it, for routing rules.
    pub user: User,
    /// IP_TOS, where the socket's own option sets it.
    pub tos: u8,
    /// SO_BROADCAST.
    pub broadcast: bool,
}

/// Evidence that the socket is locked for system calls.
///
/// # Invariants
///
/// It is, by this thread.
pub struct SkGuard<'a>(&'a Sk, kernel::types::NotThreadSafe);

impl Drop for SkGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: locked by the invariant.
        unsafe { bindings::release_sock(self.0.as_raw()) };
    }
}

/// A counted reference to a socket of any kind.
///
/// # Invariants
///
/// One count belongs to it.
pub struct SkRef(NonNull<Sk>);

// SAFETY: a shared reference with an atomic count.
unsafe impl Send for SkRef {}
// SAFETY: as above.
unsafe impl Sync for SkRef {}

impl Clone for SkRef {
    fn clone(&self) -> Self {
        self.to_ref()
    }
}

impl Deref for SkRef {
    type Target = Sk;
    fn deref(&self) -> &Sk {
        // SAFETY: counted by the invariant.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SkRef {
    fn drop(&mut self) {
        // SAFETY: our count is given up.
        unsafe { bindings::vmtp_helper_sock_put(self.0.as_ref().as_raw()) };
    }
}
