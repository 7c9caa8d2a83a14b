// SPDX-License-Identifier: GPL-2.0

//! Whole numbers under /proc/sys/net, one set in each network namespace. They are read as atomics; what a value means
//! is its user's.

use super::net::Net;
use crate::bindings;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, Ordering};
use kernel::prelude::*;

/// One number.
pub struct Entry {
    /// Its file's name.
    pub name: &'static CStr,
    /// What it is at first.
    pub default: i32,
    /// The least that may be written.
    pub min: i32,
    /// The greatest that may be written.
    pub max: i32,
}

/// The numbers of one namespace.
///
/// # Invariants
///
/// `header` is the registration of `table`, whose data are the `values`; all three stay until it is dropped.
pub struct Sysctls<const N: usize> {
    values: KBox<[AtomicI32; N]>,
    table: KBox<[bindings::ctl_table; N]>,
    header: NonNull<bindings::ctl_table_header>,
}

// SAFETY: the values are atomic, the rest is C's.
unsafe impl<const N: usize> Send for Sysctls<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for Sysctls<N> {}

impl<const N: usize> Sysctls<N> {
    /// Makes the files in `path`, for instance `c"net/vmtp"`, writable by the namespace's administrator. Sleeps. The
    /// result must be dropped before the namespace goes: keep it in `pernet` state.
    pub fn register(net: &Net, path: &'static CStr, entries: &'static [Entry; N]) -> Result<Self> {
        let values = KBox::new(
            entries
                .each_ref()
                .map(|entry| AtomicI32::new(entry.default)),
            GFP_KERNEL,
        )?;
        let mut places = values.iter();
        let table = entries.each_ref().map(|entry| bindings::ctl_table {
            procname: entry.name.as_char_ptr(),
            data: places
                .next()
                .map_or(core::ptr::null_mut(), |value| value.as_ptr().cast()),
            maxlen: 4,
            mode: 0o644,
            proc_handler: Some(bindings::proc_dointvec_minmax),
            // Only read by the handler.
            extra1: (&raw const entry.min).cast_mut().cast(),
            extra2: (&raw const entry.max).cast_mut().cast(),
            ..Default::default()
        });
        let mut table = KBox::new(table, GFP_KERNEL)?;
        // SAFETY: names, limits and path are static; the boxes do not move what is in them.
        let header = unsafe {
            bindings::register_net_sysctl_sz(
                net.as_raw(),
                path.as_char_ptr(),
                table.as_mut_ptr(),
                N,
            )
        };
        // INVARIANT: just registered.
        Ok(Self {
            values,
            table,
            header: NonNull::new(header).ok_or(ENOMEM)?,
        })
    }

    /// The value of the entry of that index; 0 beyond the end. Any context.
    #[inline]
    pub fn get(&self, index: usize) -> i32 {
        self.values
            .get(index)
            .map_or(0, |value| value.load(Ordering::Relaxed))
    }
}

impl<const N: usize> Sysctls<N> {
    /// Makes the value of the entry of that index at most `most`. Any context.
    pub fn lower(&self, index: usize, most: i32) {
        if let Some(value) = self.values.get(index) {
            value.fetch_min(most, Ordering::Relaxed);
        }
    }
}

impl<const N: usize> Drop for Sysctls<N> {
    fn drop(&mut self) {
        // SAFETY: registered by the invariant. Waits until nobody reads or writes the files.
        unsafe { bindings::unregister_net_sysctl_table(self.header.as_ptr()) };
    }
}
