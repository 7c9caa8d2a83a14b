// SPDX-License-Identifier: GPL-2.0

//! EXPORT, IMPORT, MOVED and RESUME: the image of an entity to and from a program's memory, and what comes of it then.

use super::VmtpSocket;
use crate::bindings::vmtp_image;
use crate::host::endpoint::Endpoint;
use crate::host::migrate::{identity, ImageSource, Piece};
use crate::kernel::errno::Errno;
use crate::kernel::family::Sock;
use crate::kernel::pages::Pages;
use crate::kernel::user::{self, Readable, Writable};
use crate::kernel::wait::Wait;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;

/// How often it is looked whether all Requests are answered.
const POLL_NS: u64 = 2_000_000;

/// The memory that an image is written to, as far as it goes.
struct Room {
    address: u64,
    length: usize,
    used: usize,
}

impl Room {
    fn put(&mut self, piece: Piece<'_>) -> Result {
        let length = match &piece {
            Piece::Octets(octets) => octets.len(),
            Piece::Segment(segment) => segment.len(),
        };
        let end = self.used.checked_add(length).ok_or(EOVERFLOW)?;
        if end <= self.length {
            let address = self.address.wrapping_add(self.used as u64);
            let mut to = Writable::new(address, length)?;
            match piece {
                Piece::Octets(octets) => {
                    if to.destination().copy_to_iter(octets) != length {
                        return Err(EFAULT);
                    }
                }
                Piece::Segment(segment) => segment.copy_to_iter(0, to.destination(), length)?,
            }
        }
        self.used = end;
        Ok(())
    }
}

/// One of the calls that move a socket's entity, of which there is one at a time: two would not know of each other. It is
/// no lock, because EXPORT may wait for long, and for a program's memory.
struct Moving<'a>(&'a AtomicBool);

impl<'a> Moving<'a> {
    /// EBUSY while another thread is in one.
    fn begin(sock: &'a Sock<VmtpSocket>) -> Result<Self> {
        match sock.moving.swap(true, Ordering::Acquire) {
            true => Err(EBUSY),
            false => Ok(Self(&sock.moving)),
        }
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

pub(super) fn moved(sock: &Sock<VmtpSocket>) -> Result {
    let _moving = Moving::begin(sock)?;
    Endpoint::move_away(&sock.endpoint()?)
}

pub(super) fn resume(sock: &Sock<VmtpSocket>) -> Result {
    let _moving = Moving::begin(sock)?;
    Endpoint::thaw(&sock.endpoint()?);
    Ok(())
}

pub(super) fn export(sock: &Sock<VmtpSocket>, argument: usize) -> Result {
    let _moving = Moving::begin(sock)?;
    let mut image = user::read::<vmtp_image>(argument)?;
    if image.reserved != 0 {
        return Err(EINVAL);
    }
    let endpoint = sock.endpoint()?;
    let mut room = Room {
        address: image.data,
        length: image.length as usize,
        used: 0,
    };
    // It may be for long, and a signal ends it.
    let mut pause = || match sock.sk().wait(0, Some(POLL_NS), || None::<()>) {
        Wait::Signal => Err(EINTR),
        Wait::Ready(()) | Wait::Timeout => Ok(()),
    };
    Endpoint::freeze(&endpoint, image.timeout, &mut pause)?;
    Endpoint::write_image(&endpoint, &mut |piece| room.put(piece))?;
    image.used = u32::try_from(room.used)?;
    image.entity = endpoint.entity.bits();
    user::write(argument, &image)?;
    if room.used > room.length {
        return Err(Errno::EMSGSIZE.into());
    }
    Ok(())
}

/// The memory that an image is read from.
struct Rest {
    address: u64,
    length: usize,
}

impl Rest {
    fn take(&mut self, length: usize) -> Result<u64> {
        let address = self.address;
        self.length = self.length.checked_sub(length).ok_or(EINVAL)?;
        self.address = address.wrapping_add(length as u64);
        Ok(address)
    }
}

impl ImageSource for Rest {
    fn octets<const N: usize>(&mut self) -> Result<[u8; N]> {
        user::read::<[u8; N]>(self.take(N)? as usize)
    }

    fn segment(&mut self, length: usize) -> Result<Pages> {
        Pages::from_iter(Readable::new(self.take(length)?, length)?.source(), length)
    }
}

pub(super) fn import(sock: &Sock<VmtpSocket>, argument: usize) -> Result {
    let _moving = Moving::begin(sock)?;
    let mut image = user::read::<vmtp_image>(argument)?;
    if image.reserved != 0 {
        return Err(EINVAL);
    }
    if !sock.host().net().admin_capable() {
        return Err(EPERM);
    }
    let mut rest = Rest {
        address: image.data,
        length: image.length as usize,
    };
    let head = identity(&mut rest)?;
    let endpoint = sock.bind_frozen(sock.host_in(head.domain)?, head.entity)?;
    let read = Endpoint::read_image(&endpoint, &head, &mut rest);
    if let Err(error) = read {
        Endpoint::undo_image(&endpoint);
        sock.state.lock().endpoint = None;
        return Err(error);
    }
    image.used = image.length.saturating_sub(rest.length as u32);
    image.entity = endpoint.entity.bits();
    user::write(argument, &image)
}
