// SPDX-License-Identifier: GPL-2.0

//! Hash tables of records: found without a lock, by a keyed hash that nobody outside can foresee, and growing by
//! themselves (the kernel's rhashtable). [`Table`] has one record a key, [`MultiTable`] any number.
//!
//! A table holds a count of each record in it. A record is put into at most one table, and once in its life.

use super::array::Array;
use super::record::{Record, Recorded, Ref, LINKED, REMOVED, UNLINKED};
use crate::bindings;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::rcu;
use kernel::types::Opaque;

/// One record a key.
#[pin_data(PinnedDrop)]
pub struct Table<T: Recorded> {
    #[pin]
    table: Opaque<bindings::rhashtable>,
    limit: AtomicU32,
    _records: PhantomData<Ref<T>>,
}

/// Any number of records a key.
#[pin_data(PinnedDrop)]
pub struct MultiTable<T: Recorded> {
    #[pin]
    table: Opaque<bindings::rhltable>,
    limit: AtomicU32,
    _records: PhantomData<Ref<T>>,
}

// SAFETY: rhashtable locks itself.
unsafe impl<T: Recorded> Send for Table<T> {}
// SAFETY: as above.
unsafe impl<T: Recorded> Sync for Table<T> {}
// SAFETY: rhltable locks itself.
unsafe impl<T: Recorded> Send for MultiTable<T> {}
// SAFETY: as above.
unsafe impl<T: Recorded> Sync for MultiTable<T> {}

impl<T: Recorded> Table<T> {
    /// An empty table for about `limit` records at most. Sleeps.
    pub fn new(limit: u32) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // SAFETY: the place is valid and stays; a table that is dropped is destroyed.
            table <- Opaque::try_ffi_init(|table| to_result(unsafe { bindings::vmtp_helper_table_init(table) })),
            limit: AtomicU32::new(limit),
            _records: PhantomData,
        }? Error)
    }

    /// How many records. Any context.
    pub fn len(&self) -> u32 {
        // SAFETY: initialised.
        unsafe { bindings::vmtp_helper_table_count(self.table.get()) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Another limit; what is there stays. Any context.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The record of this key. Any context.
    #[inline]
    pub fn get(&self, key: u64) -> Option<Ref<T>> {
        // SAFETY: initialised; what is found is the head of a `Record<T>`, its first member, and one count of it is ours.
        unsafe {
            let head = bindings::vmtp_helper_table_get(self.table.get(), key);
            (!head.is_null()).then(|| Ref::from_raw(head.cast::<Record<T>>()))
        }
    }

    /// Puts a record in. EEXIST if the key is there, ENOSPC at the limit, EBUSY if the record is or was in a table,
    /// ENOMEM. Any context.
    pub fn insert(&self, record: &Record<T>) -> Result {
        if self.len() >= self.limit.load(Ordering::Relaxed) {
            return Err(ENOSPC);
        }
        link(record, || {
            // SAFETY: initialised; the record is in no table and the caller leaves the table a count.
            to_result(unsafe {
                bindings::vmtp_helper_table_insert(self.table.get(), record.head())
            })
        })
    }

    /// Takes a record out; false if it is not in. Its deadline is [`Record::stop`]'s affair. Any context.
    pub fn remove(&self, record: &Record<T>) -> bool {
        // SAFETY: initialised; C looks for this very record.
        let error = unsafe { bindings::vmtp_helper_table_remove(self.table.get(), record.head()) };
        unlink(record, error == 0)
    }

    /// All records, in no order. See [`Walk`].
    pub fn walk(&self) -> Result<Walk<'_, T>> {
        // SAFETY: initialised, and borrowed as long as the walk.
        unsafe { Walk::new(self.table.get()) }
    }

    /// Takes out and stops every record. New ones may come meanwhile; the caller sees to that. Sleeps.
    pub fn clear(&self) {
        clear(
            || self.walk(),
            |record| self.remove(record),
            || self.is_empty(),
        );
    }
}

impl<T: Recorded> MultiTable<T> {
    /// An empty table for about `limit` records at most. Sleeps.
    pub fn new(limit: u32) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // SAFETY: the place is valid and stays; a table that is dropped is destroyed.
            table <- Opaque::try_ffi_init(|table| to_result(unsafe { bindings::vmtp_helper_list_init(table) })),
            limit: AtomicU32::new(limit),
            _records: PhantomData,
        }? Error)
    }

    fn inner(&self) -> *mut bindings::rhashtable {
        // SAFETY: a field of valid memory.
        unsafe { &raw mut (*self.table.get()).ht }
    }

    /// How many records. Any context.
    pub fn len(&self) -> u32 {
        // SAFETY: initialised.
        unsafe { bindings::vmtp_helper_table_count(self.inner()) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Another limit; what is there stays. Any context.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Shows the records of this key, the newest first, until `each` breaks. It runs in an RCU read section: it must not
    /// sleep. Any context.
    pub fn for_each(&self, key: u64, mut each: impl FnMut(Ref<T>) -> ControlFlow<()>) {
        let _rcu = rcu::read_lock();
        // SAFETY: initialised; what is found has a `Record<T>`'s head and stays for the RCU read section, as does what
        // follows it.
        unsafe {
            let mut head = bindings::vmtp_helper_list_lookup(self.table.get(), &raw const key);
            while !head.is_null() {
                if let Some(record) = Ref::try_get(head) {
                    if each(record).is_break() {
                        return;
                    }
                }
                head = bindings::vmtp_helper_list_next(head);
            }
        }
    }

    /// Puts a record in. ENOSPC at the limit, EBUSY if the record is or was in a table, ENOMEM. Any context.
    pub fn insert(&self, record: &Record<T>) -> Result {
        if self.len() >= self.limit.load(Ordering::Relaxed) {
            return Err(ENOSPC);
        }
        link(record, || {
            // SAFETY: initialised; the record is in no table and the caller leaves the table a count.
            to_result(unsafe { bindings::vmtp_helper_list_insert(self.table.get(), record.head()) })
        })
    }

    /// As [`Table::remove`].
    pub fn remove(&self, record: &Record<T>) -> bool {
        // SAFETY: initialised; C looks for this very record.
        let error = unsafe { bindings::vmtp_helper_list_remove(self.table.get(), record.head()) };
        unlink(record, error == 0)
    }

    /// As [`Table::walk`].
    pub fn walk(&self) -> Result<Walk<'_, T>> {
        // SAFETY: initialised, and borrowed as long as the walk.
        unsafe { Walk::new(self.inner()) }
    }

    /// The same for what cannot be left undone: waits until there is memory for the walk itself. Sleeps.
    pub fn walk_in_any_case(&self) -> Walk<'_, T> {
        loop {
            match self.walk() {
                Ok(walk) => return walk,
                Err(_) => super::clock::sleep_us(1_000),
            }
        }
    }

    /// As [`Table::clear`].
    pub fn clear(&self) {
        clear(
            || self.walk(),
            |record| self.remove(record),
            || self.is_empty(),
        );
    }
}

/// Inserts, and leaves the table a count if that goes well.
fn link<T: Recorded>(record: &Record<T>, insert: impl FnOnce() -> Result) -> Result {
    // Once removed it must stay out: readers may still stand on it in the old chain.
    record
        .linked()
        .compare_exchange(UNLINKED, LINKED, Ordering::AcqRel, Ordering::Acquire)
        .map_err(|_| EBUSY)?;
    let count = record.to_ref();
    match insert() {
        Ok(()) => {
            let _ = Ref::into_raw(count);
            Ok(())
        }
        Err(error) => {
            // Nobody has seen it.
            record.linked().store(UNLINKED, Ordering::Release);
            Err(error)
        }
    }
}

/// Takes the table's count back if the record was found.
fn unlink<T: Recorded>(record: &Record<T>, found: bool) -> bool {
    if found {
        record.linked().store(REMOVED, Ordering::Release);
        // SAFETY: the table's count. The caller has another.
        drop(unsafe { Ref::from_raw(record) });
    }
    found
}

fn clear<'a, T: Recorded>(
    walk: impl Fn() -> Result<Walk<'a, T>>,
    remove: impl Fn(&Record<T>) -> bool,
    is_empty: impl Fn() -> bool,
) {
    while !is_empty() {
        if let Ok(all) = walk() {
            for record in all {
                remove(&record);
                record.stop();
            }
        }
        // Others may come meanwhile, and memory for a walk may be short.
        if !is_empty() {
            // SAFETY: process context, as the callers promise.
            unsafe { bindings::msleep(1) };
        }
    }
}

#[pinned_drop]
impl<T: Recorded> PinnedDrop for Table<T> {
    fn drop(self: Pin<&mut Self>) {
        self.clear();
        // SAFETY: initialised and empty; nobody has it any more. Sleeps.
        unsafe { bindings::rhashtable_destroy(self.table.get()) };
    }
}

#[pinned_drop]
impl<T: Recorded> PinnedDrop for MultiTable<T> {
    fn drop(self: Pin<&mut Self>) {
        self.clear();
        // SAFETY: initialised and empty; nobody has it any more. Sleeps.
        unsafe { bindings::rhashtable_destroy(self.inner()) };
    }
}

/// More records than are ever in one chain of a table, which rhashtable would make larger: what a walk shows again without
/// a resize, it showed that lately.
const CHAIN: usize = 64;

/// Goes through a table. What is neither put in nor taken out meanwhile is shown, and more than once if the table grows or
/// shrinks or the record that was shown last is taken out: see [`collect`]. Nothing is locked between two records. Process
/// context.
pub struct Walk<'a, T: Recorded> {
    /// In a box: C links it into a list.
    iterator: KBox<MaybeUninit<bindings::rhashtable_iter>>,
    /// The table was resized, and the walk began anew.
    resized: bool,
    _table: PhantomData<&'a Ref<T>>,
}

// SAFETY: the iterator belongs to no thread; C locks its list.
unsafe impl<T: Recorded> Send for Walk<'_, T> {}

impl<T: Recorded> Walk<'_, T> {
    /// # Safety
    ///
    /// `table` is initialised, of `Record<T>`s, and outlives the walk.
    unsafe fn new(table: *mut bindings::rhashtable) -> Result<Self> {
        let mut iterator = KBox::new_uninit(GFP_KERNEL)?;
        // SAFETY: by the caller's promise; the box does not move what is in it.
        unsafe { bindings::rhashtable_walk_enter(table, iterator.as_mut_ptr()) };
        Ok(Self {
            iterator,
            resized: false,
            _table: PhantomData,
        })
    }
}

/// The records that are `wanted`, each once, whatever happens to others meanwhile. ENOMEM. Sleeps.
pub fn collect<'a, T: Recorded>(
    walk: impl Fn() -> Result<Walk<'a, T>>,
    wanted: impl Fn(&Ref<T>) -> bool,
) -> Result<Array<Ref<T>>> {
    loop {
        let mut all = walk()?;
        let mut found = Array::<Ref<T>>::new();
        for record in all.by_ref() {
            if !wanted(&record) {
                continue;
            }
            let last = found.get(found.len().saturating_sub(CHAIN)..);
            if last.is_some_and(|last| last.iter().any(|known| known.is(&record))) {
                continue;
            }
            found.push(record, GFP_KERNEL).map_err(|_| ENOMEM)?;
        }
        // A table is resized only after so many have come or gone as it has places.
        if !all.resized {
            return Ok(found);
        }
    }
}

impl<T: Recorded> Iterator for Walk<'_, T> {
    type Item = Ref<T>;

    fn next(&mut self) -> Option<Ref<T>> {
        let iterator = self.iterator.as_mut_ptr();
        // SAFETY: entered in `new`. `start` begins an RCU read section and `stop` ends it, whatever `start` says.
        unsafe {
            let stood = (*iterator).p;
            self.resized |= bindings::rhashtable_walk_start_check(iterator) != 0;
            // It stood on a record that was taken out. C passes over as many records of the chain as were before it, itself
            // included: one too many.
            if !stood.is_null() && (*iterator).p.is_null() {
                (*iterator).skip = 0;
            }
            let found = loop {
                let record = bindings::rhashtable_walk_next(iterator);
                if record.is_null() {
                    break None;
                }
                // An error is EAGAIN: the table was resized, the walk goes on from its start.
                if bindings::vmtp_helper_is_err(record) {
                    self.resized = true;
                    continue;
                }
                if let Some(record) = Ref::try_get(record.cast()) {
                    break Some(record);
                }
            };
            bindings::rhashtable_walk_stop(iterator);
            found
        }
    }
}

impl<T: Recorded> Drop for Walk<'_, T> {
    fn drop(&mut self) {
        // SAFETY: entered in `new`.
        unsafe { bindings::rhashtable_walk_exit(self.iterator.as_mut_ptr()) };
    }
}
