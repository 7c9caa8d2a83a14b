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
/// `header` is the registration of `table`, whose data are the `values` and whose upper limits are the `maxima`; all four
/// stay until it is dropped.
pub struct Sysctls<const N: usize> {
    values: KBox<[AtomicI32; N]>,
    maxima: KBox<[i32; N]>,
    table: KBox<[bindings::ctl_table; N]>,
    header: NonNull<bindings::ctl_table_header>,
}

// SAFETY: the values are atomic, the rest is C's.
unsafe impl<const N: usize> Send for Sysctls<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for Sysctls<N> {}

impl<const N: usize> Sysctls<N> {
    /// Makes the files in `path`, for instance `c"net/vmtp"`, writable by the namespace's administrator. Sleeps. The
    /// result must be dropped before the namespace goes: keep it in `pernet` state. `bounds` may change an entry's (by
    /// its index) default and maximum for this namespace.
    pub fn register(
        net: &Net,
        path: &'static CStr,
        entries: &'static [Entry; N],
        bounds: impl Fn(usize, &Entry) -> (i32, i32),
    ) -> Result<Self> {
        let mut values = KBox::new([const { AtomicI32::new(0) }; N], GFP_KERNEL)?;
        let mut maxima = KBox::new([0; N], GFP_KERNEL)?;
        let both = values.iter_mut().zip(maxima.iter_mut());
        let mut index = 0usize;
        for (entry, (value, most)) in entries.iter().zip(both) {
            let (default, max) = bounds(index, entry);
            index = index.wrapping_add(1);
            *value.get_mut() = default;
            *most = max;
        }
        let mut places = values.iter();
        let mut limits = maxima.iter();
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
            extra2: limits.next().map_or(core::ptr::null_mut(), |most| {
                core::ptr::from_ref(most).cast_mut().cast()
            }),
            ..Default::default()
        });
        let mut table = KBox::new(table, GFP_KERNEL)?;
        // SAFETY: names, lower limits and path are static; the boxes do not move what is in them.
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
            maxima,
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

impl<const N: usize> Drop for Sysctls<N> {
    fn drop(&mut self) {
        // SAFETY: registered by the invariant. Waits until nobody reads or writes the files.
        unsafe { bindings::unregister_net_sysctl_table(self.header.as_ptr()) };
    }
}
