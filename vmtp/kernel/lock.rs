// SPDX-License-Identifier: GPL-2.0

//! A spinlock that also keeps softirqs off this CPU, for data touched both by system calls and by packets or timers.
//! It is the `kernel` crate's `Lock` with another backend, not another kind of lock.

use crate::bindings;
use kernel::bindings as k;
use kernel::ffi;
use kernel::sync::lock::{Backend, Guard, Lock};

/// `spin_lock_bh`. Any context but hard interrupts; nothing may sleep while it is held, user memory may not be touched.
pub type SpinLockBh<T> = Lock<T, BhBackend>;

/// What [`SpinLockBh::lock`] returns.
pub type SpinLockBhGuard<'a, T> = Guard<'a, T, BhBackend>;

/// The backend of [`SpinLockBh`].
pub struct BhBackend;

/// Initialises a [`SpinLockBh`] in place, as `kernel::new_spinlock!`.
macro_rules! new_spinlock_bh {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::kernel::lock::SpinLockBh::new(
            $inner,
            ::kernel::optional_name!($($name)?),
            ::kernel::static_lock_class!(),
        )
    };
}
pub(crate) use new_spinlock_bh;

// SAFETY: a `spinlock_t` gives mutual exclusion, and with bottom halves off also against the softirqs of this CPU.
// `relock` is the default implementation, thus the same method.
unsafe impl Backend for BhBackend {
    type State = bindings::spinlock_t;
    type GuardState = ();

    #[inline]
    unsafe fn init(ptr: *mut Self::State, name: *const ffi::c_char, key: *mut k::lock_class_key) {
        // SAFETY: the caller's promise; the two lock_class_key types are one C type.
        unsafe { bindings::vmtp_helper_spin_lock_init(ptr, name, key.cast()) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: the lock is initialised by the caller's promise, and the raw one is its first member.
        unsafe { bindings::_raw_spin_lock_bh(ptr.cast()) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        // SAFETY: the lock is initialised by the caller's promise.
        (unsafe { bindings::vmtp_helper_spin_trylock_bh(ptr) } != 0).then_some(())
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, _guard_state: &Self::GuardState) {
        // SAFETY: the caller owns the lock; as above.
        unsafe { bindings::_raw_spin_unlock_bh(ptr.cast()) }
    }

    #[inline]
    unsafe fn assert_is_held(_ptr: *mut Self::State) {
        // Called at every lock; without lockdep it would be a call for nothing.
        #[cfg(CONFIG_LOCKDEP)]
        // SAFETY: the lock is initialised by the caller's promise.
        unsafe {
            bindings::vmtp_helper_spin_assert_is_held(_ptr)
        }
    }
}
