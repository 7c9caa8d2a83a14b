// SPDX-License-Identifier: GPL-2.0 OR MIT

//! System calls on AF_VMTP sockets that rustix has no ready form for. All `unsafe` of the crate
//! lives here.
//!
//! What the calls mean is `socket.rs` and `options.rs`; here is only that the memory they name is
//! valid.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

#[cfg(feature = "tokio")]
use std::sync::Arc;

use rustix::ioctl::{self, Opcode, Updater};
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{self, AddressFamily, Protocol, SocketFlags, SocketType};
#[cfg(feature = "tokio")]
use tokio::io::unix::AsyncFd;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::sys::{self, sockaddr_vmtp, vmtp_exchange, vmtp_image, vmtp_msg, vmtp_probe};
use crate::{Error, Result};

/// A new socket, closed on exec.
pub(crate) fn socket() -> Result<OwnedFd> {
    // IPPROTO_VMTP is not 0; were it, None would be the same.
    let protocol = std::num::NonZeroU32::new(sys::IPPROTO_VMTP).map(Protocol::from_raw);
    net::socket_with(
        AddressFamily::from_raw(sys::AF_VMTP),
        SocketType::from_raw(sys::SOCK_TRANSACT),
        SocketFlags::CLOEXEC,
        protocol,
    )
    .map_err(|errno| match errno {
        rustix::io::Errno::AFNOSUPPORT => Error::NotLoaded,
        errno => Error::system("socket", errno),
    })
}

// SAFETY: the pointer is to the struct itself, which is readable for its whole size and lives
// during the call.
unsafe impl SocketAddrArg for sockaddr_vmtp {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        f(
            std::ptr::from_ref(self).cast(),
            size_of::<Self>() as SocketAddrLen,
        )
    }
}

/// getsockname or getpeername, whichever `address` is. All zero if the kernel gave another family.
pub(crate) fn name(address: rustix::net::SocketAddrAny) -> sockaddr_vmtp {
    let length = address.addr_len() as usize;
    // SAFETY: `as_ptr` points to `addr_len` initialised octets inside `address`, which outlives the
    // slice.
    let octets = unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), length) };
    match sockaddr_vmtp::read_from_prefix(octets) {
        Ok((name, _)) if name.svmtp_family == sys::AF_VMTP => name,
        _ => sockaddr_vmtp::default(),
    }
}

/// Names `segment` in a message that is sent. More than a message can have is refused by the
/// kernel.
fn give(msg: &mut vmtp_msg, segment: &[u8]) {
    msg.segment = segment.as_ptr() as u64;
    msg.length = u32::try_from(segment.len()).unwrap_or(u32::MAX);
}

/// Names the capacity of `segment` behind what it holds as the area that a message is received in.
fn lend(msg: &mut vmtp_msg, segment: &mut Vec<u8>) {
    let area = segment.spare_capacity_mut();
    msg.segment = area.as_mut_ptr() as u64;
    msg.length = u32::try_from(area.len())
        .unwrap_or(u32::MAX)
        .min(sys::VMTP_MESSAGE_SIZE);
    msg.received = 0;
}

/// Takes back what [`lend`] named.
///
/// # Safety
///
/// `msg` is as a successful call left it to which `lend(msg, segment)` was given, and `segment` was
/// not touched since.
unsafe fn take(msg: &vmtp_msg, segment: &mut Vec<u8>) {
    let received = msg.received.min(msg.length) as usize;
    // SAFETY: the kernel stored `received` octets, with zeros for blocks that did not come, at the
    // start of the spare capacity, which had room for `length`.
    unsafe { segment.set_len(segment.len() + received) }
}

/// # Safety
///
/// `OPCODE` is one of the header's for `T`, and what `value` names as user memory is valid for what
/// the call does.
unsafe fn update<const OPCODE: Opcode, T>(fd: BorrowedFd<'_>, value: &mut T) -> io::Result<()> {
    // SAFETY: as the caller promises; `value` is borrowed mutably during the call, which may write
    // to it.
    unsafe { ioctl::ioctl(fd, Updater::<OPCODE, T>::new(value)) }.map_err(Into::into)
}

/// INVOKE or REPLYRECV: sends `out` with its segment; what comes is appended to `segment` within
/// its capacity.
fn exchange<const OPCODE: Opcode>(
    fd: impl AsFd,
    exchange: &mut vmtp_exchange,
    out: &[u8],
    segment: &mut Vec<u8>,
) -> io::Result<()> {
    give(&mut exchange.out, out);
    lend(&mut exchange.r#in, segment);
    // SAFETY: `out` is readable and the spare capacity of `segment` writable during the call; the
    // opcode is one of the two below, whose struct is `vmtp_exchange`.
    unsafe { update::<OPCODE, _>(fd.as_fd(), exchange) }?;
    // SAFETY: the call succeeded, and `segment` has not been touched.
    unsafe { take(&exchange.r#in, segment) };
    Ok(())
}

pub(crate) fn invoke(
    fd: impl AsFd,
    x: &mut vmtp_exchange,
    out: &[u8],
    segment: &mut Vec<u8>,
) -> io::Result<()> {
    exchange::<{ sys::VMTP_INVOKE }>(fd, x, out, segment)
}

/// INVOKE that does not wait: the kernel writes no Response, and is only told how long one may be.
pub(crate) fn start(
    fd: impl AsFd,
    exchange: &mut vmtp_exchange,
    out: &[u8],
    room: usize,
) -> io::Result<()> {
    give(&mut exchange.out, out);
    exchange.out.flags |= sys::VMTP_MSG_START;
    exchange.r#in.length = u32::try_from(room)
        .unwrap_or(u32::MAX)
        .min(sys::VMTP_MESSAGE_SIZE);
    // SAFETY: `out` is readable during the call, whose struct this is; with VMTP_MSG_START `in` is not
    // written and names no memory.
    unsafe { update::<{ sys::VMTP_INVOKE }, _>(fd.as_fd(), exchange) }
}

pub(crate) fn replyrecv(
    fd: impl AsFd,
    x: &mut vmtp_exchange,
    out: &[u8],
    segment: &mut Vec<u8>,
) -> io::Result<()> {
    exchange::<{ sys::VMTP_REPLYRECV }>(fd, x, out, segment)
}

/// GETREPLY or RECVREQ: what comes is appended to `segment` within its capacity.
fn receive<const OPCODE: Opcode>(
    fd: impl AsFd,
    msg: &mut vmtp_msg,
    segment: &mut Vec<u8>,
) -> io::Result<()> {
    lend(msg, segment);
    // SAFETY: the spare capacity of `segment` is writable during the call; the opcode is one of the
    // two below, whose struct is `vmtp_msg`.
    unsafe { update::<OPCODE, _>(fd.as_fd(), msg) }?;
    // SAFETY: the call succeeded, and `segment` has not been touched.
    unsafe { take(msg, segment) };
    Ok(())
}

pub(crate) fn getreply(fd: impl AsFd, msg: &mut vmtp_msg, segment: &mut Vec<u8>) -> io::Result<()> {
    receive::<{ sys::VMTP_GETREPLY }>(fd, msg, segment)
}

pub(crate) fn recvreq(fd: impl AsFd, msg: &mut vmtp_msg, segment: &mut Vec<u8>) -> io::Result<()> {
    receive::<{ sys::VMTP_RECVREQ }>(fd, msg, segment)
}

pub(crate) fn sendreply(fd: impl AsFd, msg: &mut vmtp_msg, segment: &[u8]) -> io::Result<()> {
    give(msg, segment);
    // SAFETY: `segment` is readable during the call, whose struct is `vmtp_msg`.
    unsafe { update::<{ sys::VMTP_SENDREPLY }, _>(fd.as_fd(), msg) }
}

pub(crate) fn forward(fd: impl AsFd, msg: &mut vmtp_msg, segment: &[u8]) -> io::Result<()> {
    give(msg, segment);
    // SAFETY: `segment` is readable during the call, whose struct is `vmtp_msg`.
    unsafe { update::<{ sys::VMTP_FORWARDREQ }, _>(fd.as_fd(), msg) }
}

pub(crate) fn probe(fd: impl AsFd, probe: &mut vmtp_probe) -> io::Result<()> {
    // SAFETY: the call's struct is `vmtp_probe`, which names no memory.
    unsafe { update::<{ sys::VMTP_PROBEENTITY }, _>(fd.as_fd(), probe) }
}

pub(crate) fn abort(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: the call takes no argument.
    unsafe { ioctl::ioctl(fd, ioctl::NoArg::<{ sys::VMTP_ABORT }>::new()) }.map_err(Into::into)
}

/// The first descriptor of a process that is an AF_VMTP socket of this entity, taken over.
pub(crate) fn find_socket(process: u32, entity: crate::Entity) -> Result<OwnedFd> {
    use rustix::process::{pidfd_getfd, pidfd_open, Pid, PidfdFlags, PidfdGetfdFlags};
    let none = || Error::System {
        call: "pidfd_getfd",
        source: io::Error::from(rustix::io::Errno::NOENT),
    };
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let pidfd = pidfd_open(pid.ok_or_else(none)?, PidfdFlags::empty())
        .map_err(|errno| Error::system("pidfd_open", errno))?;
    let list = std::fs::read_dir(format!("/proc/{process}/fd"))
        .map_err(|error| Error::system("/proc/PID/fd", error))?;
    for entry in list.flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let socket = std::fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let Some(number) = number.filter(|_| socket) else {
            continue;
        };
        let fd = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty())
            .map_err(|errno| Error::system("pidfd_getfd", errno))?;
        let its = net::getsockname(&fd).map(name).unwrap_or_default();
        if its.svmtp_entity == entity.bits() {
            return Ok(fd);
        }
    }
    Err(none())
}

/// The entity written out. The memory grows until it fits.
pub(crate) fn export(fd: impl AsFd, timeout: u32) -> io::Result<Vec<u8>> {
    let mut memory = vec![0; 1 << 16];
    loop {
        let mut image = vmtp_image {
            data: memory.as_mut_ptr() as u64,
            length: u32::try_from(memory.len()).unwrap_or(u32::MAX),
            timeout,
            ..Default::default()
        };
        // SAFETY: `memory` is writable for `length` octets during the call, whose struct this is.
        let result = unsafe { update::<{ sys::VMTP_EXPORT }, _>(fd.as_fd(), &mut image) };
        match result {
            Ok(()) => {
                memory.truncate(image.used as usize);
                return Ok(memory);
            }
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                memory.resize(image.used as usize, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The entity read back: which.
pub(crate) fn import(fd: impl AsFd, octets: &[u8]) -> io::Result<u64> {
    let mut image = vmtp_image {
        data: octets.as_ptr() as u64,
        length: u32::try_from(octets.len()).unwrap_or(u32::MAX),
        ..Default::default()
    };
    // SAFETY: `octets` is readable for `length` octets during the call, whose struct this is.
    unsafe { update::<{ sys::VMTP_IMPORT }, _>(fd.as_fd(), &mut image) }?;
    Ok(image.entity)
}

pub(crate) fn moved(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: the call takes no argument.
    unsafe { ioctl::ioctl(fd, ioctl::NoArg::<{ sys::VMTP_MOVED }>::new()) }.map_err(Into::into)
}

pub(crate) fn resume(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: the call takes no argument.
    unsafe { ioctl::ioctl(fd, ioctl::NoArg::<{ sys::VMTP_RESUME }>::new()) }.map_err(Into::into)
}

/// A client whose socket tokio watches.
#[cfg(feature = "tokio")]
pub(crate) fn watch_client(client: crate::Client) -> io::Result<AsyncFd<crate::Client>> {
    // SAFETY: a Client owns one socket, which it neither closes nor changes before it is dropped.
    Ok(unsafe { AsyncFd::register(client) }?)
}

/// A server whose socket tokio watches.
#[cfg(feature = "tokio")]
pub(crate) fn watch_server(server: Arc<crate::Server>) -> io::Result<AsyncFd<Arc<crate::Server>>> {
    // SAFETY: a Server owns one socket, which it neither closes nor changes before it is dropped.
    Ok(unsafe { AsyncFd::register(server) }?)
}

/// setsockopt at SOL_VMTP.
pub(crate) fn set_option<T: IntoBytes + Immutable>(
    fd: impl AsFd,
    option: i32,
    value: &T,
) -> io::Result<()> {
    let octets = value.as_bytes();
    // SAFETY: `octets` is readable for its length during the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            sys::SOL_VMTP,
            option,
            octets.as_ptr().cast(),
            octets.len() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// getsockopt at SOL_VMTP. `value` is input too, as VMTP_OPT_PEER wants it.
pub(crate) fn option<T: IntoBytes + FromBytes>(
    fd: impl AsFd,
    option: i32,
    mut value: T,
) -> io::Result<T> {
    let octets = value.as_mut_bytes();
    let mut length = octets.len() as libc::socklen_t;
    // SAFETY: `octets` is writable for `length` during the call, and any octets are a valid T.
    let result = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            sys::SOL_VMTP,
            option,
            octets.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's part, played by hand.
    #[test]
    fn what_is_received_is_appended_within_the_capacity() {
        let mut segment = Vec::with_capacity(64);
        segment.extend_from_slice(b"before");
        let mut msg = vmtp_msg::default();
        lend(&mut msg, &mut segment);
        assert_eq!(msg.length as usize, segment.capacity() - 6);
        for (slot, octet) in segment.spare_capacity_mut().iter_mut().zip(*b"after") {
            slot.write(octet);
        }
        msg.received = 5;
        // SAFETY: five octets were written to the area, as a successful call would have.
        unsafe { take(&msg, &mut segment) };
        assert_eq!(segment, b"beforeafter");
    }
}
