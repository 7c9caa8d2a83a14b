// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What our servers over UDP and TCP share: how much of each there is at a time, and that an answer
//! comes from the address that was asked.

#![forbid(unsafe_code)]

pub mod connections;
pub mod door;
pub mod slots;

use std::sync::{Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
