// SPDX-License-Identifier: GPL-2.0

//! Memory of the calling program, named by an address in a struct of an ioctl: structs copied whole, and segments as the
//! same iov_iter that sendmsg and recvmsg have. Process context; sleeps.

use crate::bindings;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use kernel::error::to_result;
use kernel::iov::{IovIterDest, IovIterSource};
use kernel::prelude::*;
use kernel::transmute::{AsBytes, FromBytes};
use kernel::types::NotThreadSafe;
use kernel::uaccess::{UserPtr, UserSlice};

/// Reads a struct. EFAULT.
pub fn read<T: FromBytes>(address: usize) -> Result<T> {
    UserSlice::new(UserPtr::from_addr(address), size_of::<T>())
        .reader()
        .read()
}

/// Writes a struct. EFAULT.
pub fn write<T: AsBytes>(address: usize, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(address), size_of::<T>())
        .writer()
        .write(value)
}

/// Imports an area of the present program's memory; its address is checked when it is used.
fn import(writable: bool, address: u64, length: usize) -> Result<bindings::iov_iter> {
    let mut iter = MaybeUninit::<bindings::iov_iter>::uninit();
    // SAFETY: C fills the iov_iter in unless it fails.
    unsafe {
        to_result(bindings::vmtp_helper_import_ubuf(
            writable,
            address as usize as *mut kernel::ffi::c_void,
            length,
            iter.as_mut_ptr(),
        ))?;
        Ok(iter.assume_init())
    }
}

/// An area to read from.
///
/// # Invariants
///
/// The iov_iter is a source.
pub struct Readable<'a>(bindings::iov_iter, PhantomData<&'a ()>, NotThreadSafe);

impl<'a> Readable<'a> {
    /// EFAULT.
    pub fn new(address: u64, length: usize) -> Result<Self> {
        // INVARIANT: imported for reading.
        Ok(Self(
            import(false, address, length)?,
            PhantomData,
            NotThreadSafe,
        ))
    }

    /// As what the rest of the module reads from.
    pub fn source(&mut self) -> &mut IovIterSource<'a> {
        // SAFETY: a source by the invariant; the iov_iter types are one C type, and `IovIterSource` is transparent.
        unsafe { &mut *(&raw mut self.0).cast::<IovIterSource<'a>>() }
    }
}

/// An area to write to.
///
/// # Invariants
///
/// The iov_iter is a destination.
pub struct Writable<'a>(bindings::iov_iter, PhantomData<&'a ()>, NotThreadSafe);

impl<'a> Writable<'a> {
    /// EFAULT.
    pub fn new(address: u64, length: usize) -> Result<Self> {
        // INVARIANT: imported for writing.
        Ok(Self(
            import(true, address, length)?,
            PhantomData,
            NotThreadSafe,
        ))
    }

    /// As what the rest of the module writes to.
    pub fn destination(&mut self) -> &mut IovIterDest<'a> {
        // SAFETY: a destination by the invariant; the iov_iter types are one C type, and `IovIterDest` is transparent.
        unsafe { &mut *(&raw mut self.0).cast::<IovIterDest<'a>>() }
    }
}
