// SPDX-License-Identifier: GPL-2.0

//! Work that a namespace's value puts off from softirq to a place where it may sleep. One at a time for each value; where
//! a namespace has several of them the first works for all.

use super::net::Net;
use super::pernet::{NetState, PerNet};
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::types::Opaque;

/// A namespace's value with work to do.
pub trait Worker: NetState {
    /// Called for the namespace's first value: does all that there is to do. Sleeps. It never runs twice at a time.
    fn work(&self);
}

/// The work of a `T`, a member of it.
///
/// # Invariants
///
/// `inner` is initialised with the namespace whose `T` it is a member of. It is stopped before that `T` ends: at the
/// latest when it is dropped.
#[pin_data(PinnedDrop)]
pub struct Work<T> {
    #[pin]
    inner: Opaque<bindings::vmtp_work>,
    _of: PhantomData<T>,
}

// SAFETY: the kernel's work items are for any thread.
unsafe impl<T> Send for Work<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Work<T> {}

impl<T: Worker> Work<T> {
    /// For the value of this namespace, of which it is to be a member.
    pub fn new(net: &Net) -> impl PinInit<Self> + '_ {
        // INVARIANT: initialised with this namespace.
        pin_init!(Self {
            // SAFETY: the place is valid and stays.
            inner <- Opaque::ffi_init(|work| unsafe {
                bindings::vmtp_helper_work_init(work, net.as_raw(), Some(run::<T>))
            }),
            _of: PhantomData,
        })
    }

    /// Has [`Worker::work`] called soon, once more if it runs just now. After [`Work::stop`] it does nothing. Any context.
    pub fn schedule(&self) {
        // SAFETY: initialised by the invariant.
        unsafe { bindings::vmtp_helper_work_schedule(self.inner.get()) };
    }
}

impl<T> Work<T> {
    /// No call of [`Worker::work`] ever again: waits for one that runs. Sleeps.
    pub fn stop(&self) {
        // SAFETY: initialised by the invariant.
        unsafe { bindings::vmtp_helper_work_stop(self.inner.get()) };
    }
}

#[pinned_drop]
impl<T> PinnedDrop for Work<T> {
    fn drop(self: Pin<&mut Self>) {
        self.stop();
    }
}

unsafe extern "C" fn run<T: Worker>(net: *mut bindings::net) {
    // SAFETY: `T` ends before its namespace does, and this work before `T`.
    if let Some(state) = PerNet::<T>::get(unsafe { Net::from_raw(net) }, 0) {
        state.work();
    }
}
