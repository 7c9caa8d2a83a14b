// SPDX-License-Identifier: GPL-2.0

//! A Rust value in each network namespace, or several of one type, made when the namespace (or the module) comes and
//! dropped when it goes.

use super::net::Net;
use crate::bindings;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{fence, AtomicU32, Ordering};
use kernel::error::{from_result, to_result, Error, Result};
use kernel::ffi;
use pin_init::PinInit;

/// What is kept in a namespace.
pub trait NetState: Sized + Send + Sync + 'static {
    /// The one `PerNet` of this type: `static STATE: PerNet<Host> = PerNet::new(); &STATE`.
    fn storage() -> &'static PerNet<Self>;

    /// How many there are in a namespace, numbered from 0: 1 or more.
    const COUNT: usize;

    /// Makes the value of this number in place. Sleeps. It cannot yet be found by [`PerNet::get`]; those of lower numbers
    /// can.
    fn init(net: &Net, number: usize) -> impl PinInit<Self, Error>;

    /// The namespace goes: ends what calls in from outside, as files, and sees to it that packets and timers begin
    /// nothing new that stays. Sleeps.
    fn pre_exit(&self, net: &Net);

    /// An RCU grace period later, which all namespaces that go together share: whatever packets and timers had begun is
    /// where it can be found. Ends timers and records. Every [`StateRef`] must become free soon by itself: the namespace
    /// waits for them before the value is dropped. Sleeps.
    fn exit(&self);
}

/// One octet string of `struct net_generic`'s memory, zeroed when it is made.
#[repr(C)]
struct Slot<T> {
    /// 0: `value` is not there; else 1 + the number of `StateRef`s.
    references: AtomicU32,
    value: MaybeUninit<T>,
}

/// The registration of `T` with the namespaces; a static.
pub struct PerNet<T> {
    ops: UnsafeCell<bindings::pernet_operations>,
    id: UnsafeCell<ffi::c_uint>,
    _value: PhantomData<T>,
}

// SAFETY: `ops` and `id` are written only while registering and by the C side, which has its own lock.
unsafe impl<T: Send + Sync> Sync for PerNet<T> {}

impl<T: NetState> PerNet<T> {
    /// Not yet registered.
    pub const fn new() -> Self {
        // A kmalloc of at least one word is aligned to a word.
        const { assert!(core::mem::align_of::<Slot<T>>() <= 8) };
        Self {
            // SAFETY: all fields are pointers, optional functions and numbers, for which zero is a value.
            ops: UnsafeCell::new(unsafe { core::mem::zeroed() }),
            id: UnsafeCell::new(0),
            _value: PhantomData,
        }
    }

    /// Makes a value in every namespace, present and future. Sleeps. Only one registration at a time: the module's.
    pub fn register() -> Result<Registration<T>> {
        let this = T::storage();
        // SAFETY: not registered, thus nobody reads it (the module registers once, in its init).
        unsafe {
            let ops = this.ops.get();
            (*ops).init = Some(init::<T>);
            (*ops).pre_exit = Some(pre_exit::<T>);
            (*ops).exit = Some(exit::<T>);
            (*ops).id = this.id.get();
            (*ops).size = core::mem::size_of::<Slot<T>>().saturating_mul(T::COUNT);
        }
        // SAFETY: `ops` is static and complete.
        to_result(unsafe { bindings::register_pernet_subsys(this.ops.get()) })?;
        Ok(Registration(PhantomData))
    }

    /// A slot of a namespace, if there is one.
    #[inline]
    fn slot(net: &Net, number: usize) -> Option<&Slot<T>> {
        // SAFETY: plain read; it changes only while registering.
        let id = unsafe { *T::storage().id.get() };
        if id == 0 || number >= T::COUNT {
            return None;
        }
        // SAFETY: the namespace is alive and `id` was given by register_pernet_subsys, so the array has the entry, which
        // has COUNT slots; they are freed only after the namespace's or the module's end, when no `&Net` can come here
        // any more.
        unsafe {
            bindings::vmtp_helper_net_generic(net.as_raw(), id)
                .cast::<Slot<T>>()
                .wrapping_add(number)
                .as_ref()
        }
    }

    /// A value of the namespace; `None` before its set-up and after its tear-down. Any context.
    #[inline]
    pub fn get(net: &Net, number: usize) -> Option<&T> {
        let slot = Self::slot(net, number)?;
        if slot.references.load(Ordering::Acquire) == 0 {
            return None;
        }
        // SAFETY: the count is above 0 only between set-up and tear-down, and tear-down comes after an RCU grace
        // period (packets), after the last socket of the namespace, and after the last StateRef.
        Some(unsafe { slot.value.assume_init_ref() })
    }

    /// As [`PerNet::get`], counted. Any context.
    pub fn get_ref(net: &Net, number: usize) -> Option<StateRef<T>> {
        let slot = Self::slot(net, number)?;
        slot.references
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                if n == 0 {
                    None
                } else {
                    n.checked_add(1)
                }
            })
            .ok()?;
        // INVARIANT: one count is now ours.
        Some(StateRef(NonNull::from(slot)))
    }
}

/// Ends the registration when dropped: sleeps, tears every namespace's value down, waits for RCU callbacks.
///
/// Drop it after everything that brings packets, sockets and /proc readers in.
pub struct Registration<T: NetState>(PhantomData<T>);

impl<T: NetState> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: registered by the type's construction; waits for timers' callbacks that may still be returning
        // through this module's code, and for RCU callbacks.
        unsafe {
            bindings::unregister_pernet_subsys(T::storage().ops.get());
            bindings::synchronize_rcu();
            bindings::rcu_barrier();
        }
    }
}

/// A counted reference to a namespace's value, for records that outlive the call that made them.
///
/// # Invariants
///
/// One count of the slot belongs to it.
pub struct StateRef<T: NetState>(NonNull<Slot<T>>);

// SAFETY: it is a shared reference to a `Sync` value with an atomic count.
unsafe impl<T: NetState> Send for StateRef<T> {}
// SAFETY: as above.
unsafe impl<T: NetState> Sync for StateRef<T> {}

impl<T: NetState> Deref for StateRef<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by the invariant the value is there.
        unsafe { self.0.as_ref().value.assume_init_ref() }
    }
}

impl<T: NetState> Clone for StateRef<T> {
    fn clone(&self) -> Self {
        // SAFETY: by the invariant the slot is there.
        unsafe { self.0.as_ref() }
            .references
            .fetch_add(1, Ordering::Relaxed);
        // INVARIANT: one more count.
        Self(self.0)
    }
}

impl<T: NetState> Drop for StateRef<T> {
    fn drop(&mut self) {
        // Never the last: the slot's own count is given up by `exit` alone.
        // SAFETY: by the invariant the slot is there.
        unsafe { self.0.as_ref() }
            .references
            .fetch_sub(1, Ordering::Release);
    }
}

unsafe extern "C" fn init<T: NetState>(net: *mut bindings::net) -> ffi::c_int {
    from_result(|| {
        // SAFETY: the C side calls with the namespace being set up.
        let net = unsafe { Net::from_raw(net) };
        // SAFETY: the slots were allocated, with their size, just before this call, and nobody else has them.
        let slots = unsafe {
            bindings::vmtp_helper_net_generic(net.as_raw(), *T::storage().id.get())
                .cast::<Slot<T>>()
        };
        for number in 0..T::COUNT {
            let slot = slots.wrapping_add(number);
            // SAFETY: the memory is free, aligned and stays where it is until `exit`.
            let made =
                unsafe { T::init(net, number).__pinned_init((&raw mut (*slot).value).cast::<T>()) };
            if let Err(error) = made {
                // C calls neither of what failed.
                before_end::<T>(net);
                end::<T>(net);
                return Err(error);
            }
            // SAFETY: the slot is there.
            unsafe { &(*slot).references }.store(1, Ordering::Release);
        }
        Ok(0)
    })
}

unsafe extern "C" fn pre_exit<T: NetState>(net: *mut bindings::net) {
    // SAFETY: the C side calls with a namespace that was set up.
    before_end::<T>(unsafe { Net::from_raw(net) });
}

fn before_end<T: NetState>(net: &Net) {
    for number in 0..T::COUNT {
        if let Some(state) = PerNet::<T>::get(net, number) {
            state.pre_exit(net);
        }
    }
}

unsafe extern "C" fn exit<T: NetState>(net: *mut bindings::net) {
    // SAFETY: the C side calls with a namespace that was set up.
    end::<T>(unsafe { Net::from_raw(net) });
}

/// Ends the values that are there, the last one first. Sleeps.
fn end<T: NetState>(net: &Net) {
    for number in (0..T::COUNT).rev() {
        let Some(state) = PerNet::<T>::get(net, number) else {
            continue;
        };
        state.exit();
        let Some(slot) = PerNet::<T>::slot(net, number) else {
            continue;
        };
        let mut waited = 0u32;
        while slot
            .references
            .compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            // SAFETY: process context.
            unsafe { bindings::msleep(1) };
            waited = waited.wrapping_add(1);
            if waited % 8192 == 0 {
                kernel::pr_warn!(
                    "a network namespace waits for {} records\n",
                    slot.references.load(Ordering::Relaxed)
                );
            }
        }
        fence(Ordering::Acquire);
        // SAFETY: set up, no counts left, and `get` refuses from now on; C frees the memory after this.
        unsafe { core::ptr::drop_in_place(slot.value.as_ptr().cast_mut()) };
    }
}
