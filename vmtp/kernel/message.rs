// SPDX-License-Identifier: GPL-2.0

//! What sendmsg and recvmsg carry (`struct msghdr`): name, control messages, data. Also the values of socket options.
//! The structs of ioctls are read and written with `kernel::uaccess`.

use super::errno::Errno;
use super::skb::Skb;
use super::sock::Sk;
use crate::bindings;
use core::mem::{size_of, MaybeUninit};
use kernel::error::{code::*, to_result, Result};
use kernel::ffi;
use kernel::iov::{IovIterDest, IovIterSource};
use kernel::transmute::{AsBytes, FromBytes};

/// The MSG_* flags of interest.
pub mod flags {
    use crate::bindings as b;
    /// Do not wait.
    pub const DONTWAIT: u32 = b::MSG_DONTWAIT;
    /// Look, do not take.
    pub const PEEK: u32 = b::MSG_PEEK;
    /// In: tell the full length; out: it was cut.
    pub const TRUNC: u32 = b::MSG_TRUNC;
    /// More follows.
    pub const MORE: u32 = b::MSG_MORE;
    /// The end of a message.
    pub const EOR: u32 = b::MSG_EOR;
    /// Wait for everything.
    pub const WAITALL: u32 = b::MSG_WAITALL;
    /// From the error queue.
    pub const ERRQUEUE: u32 = b::MSG_ERRQUEUE;
    /// Out of band.
    pub const OOB: u32 = b::MSG_OOB;
    /// No SIGPIPE.
    pub const NOSIGNAL: u32 = b::MSG_NOSIGNAL;
    /// By a 32-bit program.
    pub const CMSG_COMPAT: u32 = 0x8000_0000;
}

/// A `struct msghdr` in a sendmsg or recvmsg call.
///
/// # Invariants
///
/// It is valid, as the socket layer prepared it: the name, and in sendmsg the control messages, are in kernel memory.
#[repr(transparent)]
pub struct Message(bindings::msghdr);

/// A control message of sendmsg.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// SOL_*.
    pub level: i32,
    /// Its type within the level.
    pub kind: i32,
    /// Its octets.
    pub data: &'a [u8],
}

impl Message {
    /// # Safety
    ///
    /// `message` comes from the socket layer and is ours for `'a`.
    pub(super) unsafe fn from_raw<'a>(message: *mut bindings::msghdr) -> &'a mut Self {
        // SAFETY: by the caller's promise; transparent.
        unsafe { &mut *message.cast() }
    }

    /// MSG_* flags of sendmsg (recvmsg's are an argument of its own).
    pub fn flags(&self) -> u32 {
        self.0.msg_flags
    }

    /// recvmsg: sets flags that the program sees (TRUNC, EOR ...).
    pub fn add_flags(&mut self, flags: u32) {
        self.0.msg_flags |= flags;
    }

    /// sendmsg: the address that was given.
    pub fn name(&self) -> Option<&[u8]> {
        let length = usize::try_from(self.0.msg_namelen).ok()?;
        if self.0.msg_name.is_null() || length == 0 {
            return None;
        }
        // SAFETY: by the invariant the name is in kernel memory, at most a sockaddr_storage.
        Some(unsafe {
            core::slice::from_raw_parts(self.0.msg_name.cast(), length.min(SOCKADDR_MAX))
        })
    }

    /// recvmsg: tells the program from whom. Cut by the socket layer to what the program has room for.
    pub fn set_name(&mut self, name: &[u8]) {
        if !self.0.msg_name.is_null() && name.len() <= SOCKADDR_MAX {
            // SAFETY: the socket layer's buffer is a sockaddr_storage at least.
            unsafe {
                core::ptr::copy_nonoverlapping(name.as_ptr(), self.0.msg_name.cast(), name.len())
            };
            self.0.msg_namelen = name.len() as ffi::c_int;
        }
    }

    /// sendmsg: the data.
    pub fn source(&mut self) -> &mut IovIterSource<'_> {
        // SAFETY: valid by the invariant, and sendmsg's direction; the iov_iter types are one C type and `IovIterSource` is
        // transparent (`from_raw` would assert the direction, and panic).
        unsafe { &mut *(&raw mut self.0.msg_iter).cast() }
    }

    /// recvmsg: where the data goes.
    pub fn destination(&mut self) -> &mut IovIterDest<'_> {
        // SAFETY: valid by the invariant, and recvmsg's direction; the iov_iter types are one C type and `IovIterDest` is
        // transparent.
        unsafe { &mut *(&raw mut self.0.msg_iter).cast() }
    }

    /// recvmsg: whether a control message of so many octets fits whole, the first of all.
    pub fn takes_control(&self, octets: usize) -> bool {
        // SAFETY: valid by the invariant.
        unsafe { bindings::vmtp_helper_msg_takes_control(&self.0, octets) }
    }

    /// sendmsg: its control messages. A malformed one ends the sequence with EINVAL.
    pub fn controls(&self) -> Controls<'_> {
        // SAFETY: for sendmsg the union holds the kernel's copy.
        let start = unsafe { self.0.__bindgen_anon_1.msg_control }
            .cast::<u8>()
            .cast_const();
        let rest = if start.is_null() || self.0.msg_control_is_user() {
            &[]
        } else {
            // SAFETY: the socket layer has copied `msg_controllen` octets there.
            unsafe { core::slice::from_raw_parts(start, self.0.msg_controllen) }
        };
        Controls { rest }
    }

    /// recvmsg: adds a control message. Without room it is left out or cut, and MSG_CTRUNC set. EFAULT. Sleeps.
    pub fn put_control(&mut self, level: i32, kind: i32, data: &[u8]) -> Result {
        let length = i32::try_from(data.len())?;
        // SAFETY: valid by the invariant; C only reads the data.
        to_result(unsafe {
            bindings::put_cmsg(
                &mut self.0,
                level,
                kind,
                length,
                data.as_ptr().cast_mut().cast(),
            )
        })
    }

    /// recvmsg: what the socket layer itself tells of a packet (SO_TIMESTAMP, SO_RXQ_OVFL ...). Sleeps.
    pub fn put_packet_controls(&mut self, sk: &Sk, skb: &Skb) {
        // SAFETY: all are valid.
        unsafe { bindings::vmtp_helper_sock_recv_cmsgs(&mut self.0, sk.as_raw(), skb.as_raw()) };
    }
}

/// Octets of a sockaddr_storage.
pub const SOCKADDR_MAX: usize = 128;

/// See [`Message::controls`].
pub struct Controls<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Controls<'a> {
    type Item = Result<Control<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        const HEADER: usize = size_of::<bindings::cmsghdr>();
        let (header, _) = self.rest.split_first_chunk::<HEADER>()?;
        let (length, rest) = header.split_first_chunk::<8>()?;
        let (level, rest) = rest.split_first_chunk::<4>()?;
        let (kind, _) = rest.split_first_chunk::<4>()?;
        let length = usize::from_ne_bytes(*length);
        let Some(data) = self.rest.get(HEADER..length) else {
            self.rest = &[];
            return Some(Err(EINVAL));
        };
        // The next one is aligned to a word; the last need not be.
        let next = length.saturating_add(7) & !7;
        self.rest = self.rest.get(next..).unwrap_or(&[]);
        Some(Ok(Control {
            level: i32::from_ne_bytes(*level),
            kind: i32::from_ne_bytes(*kind),
            data,
        }))
    }
}

impl Control<'_> {
    /// Its octets as a `T`. EINVAL if there are not exactly as many.
    pub fn read<T: FromBytes + Copy>(&self) -> Result<T> {
        if self.data.len() != size_of::<T>() {
            return Err(EINVAL);
        }
        // SAFETY: as many octets as a `T`, and any octets are one.
        Ok(unsafe { self.data.as_ptr().cast::<T>().read_unaligned() })
    }
}

/// The value given to setsockopt.
pub struct OptionValue {
    pub(super) value: bindings::sockptr_t,
    pub(super) length: usize,
}

impl OptionValue {
    /// How many octets were given.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none were.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The value as a `T`. EINVAL if fewer octets were given, EFAULT. Sleeps.
    pub fn read<T: FromBytes>(&self) -> Result<T> {
        if self.length < size_of::<T>() {
            return Err(EINVAL);
        }
        let mut to = MaybeUninit::<T>::uninit();
        // SAFETY: `to` has the room; C copes with user and kernel pointers and says if not all could be read.
        unsafe {
            if bindings::vmtp_helper_copy_from_sockptr(
                to.as_mut_ptr().cast(),
                self.value,
                0,
                size_of::<T>(),
            ) != 0
            {
                return Err(EFAULT);
            }
            Ok(to.assume_init())
        }
    }
}

/// Where getsockopt puts its value.
pub struct OptionResult<'a>(pub(super) &'a mut bindings::sockopt);

impl OptionResult<'_> {
    /// The value of the argument that getsockopt was called with, for options that are a question. EINVAL, EFAULT.
    pub fn argument<T: FromBytes>(&mut self) -> Result<T> {
        if usize::try_from(self.0.optlen)? < size_of::<T>() {
            return Err(EINVAL);
        }
        let mut to = MaybeUninit::<T>::uninit();
        // SAFETY: `to` has the room, and `iter_in` is prepared by the socket layer.
        unsafe {
            let copied = bindings::_copy_from_iter(
                to.as_mut_ptr().cast(),
                size_of::<T>(),
                &raw mut self.0.iter_in,
            );
            if copied != size_of::<T>() {
                return Err(EFAULT);
            }
            Ok(to.assume_init())
        }
    }

    /// Gives the value, cut to the room that the program has. EFAULT. Sleeps.
    pub fn write<T: AsBytes>(&mut self, value: &T) -> Result {
        let room = usize::try_from(self.0.optlen).map_err(|_| EINVAL)?;
        let length = room.min(size_of::<T>());
        // SAFETY: `value` has at least `length` octets, and `iter_out` is prepared by the socket layer.
        let copied = unsafe {
            bindings::_copy_to_iter((&raw const *value).cast(), length, &raw mut self.0.iter_out)
        };
        if copied != length {
            return Err(EFAULT);
        }
        self.0.optlen = length as ffi::c_int;
        Ok(())
    }
}

/// What setsockopt and getsockopt answer for a name that does not exist.
pub fn no_such_option<T>() -> Result<T> {
    Err(Errno::ENOPROTOOPT.into())
}
