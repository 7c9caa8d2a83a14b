// SPDX-License-Identifier: GPL-2.0

//! Files under /proc/net, one set in each network namespace: a header and a line an item, of any number of items, with
//! no lock held and no buffer beyond a page.

use super::net::Net;
use super::pernet::{NetState, PerNet};
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::from_result;
use kernel::ffi;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;

/// What a file shows. Everything is process context and may sleep.
pub trait ProcFile: 'static {
    /// The file's name.
    const NAME: &'static CStr;
    /// What it is about: the namespace's state, of several the first.
    type State: NetState;
    /// Goes through the items.
    type Items<'a>: Iterator<Item = Self::Item>;
    /// What a line shows.
    type Item: Send;

    /// All items from the first on. Called when reading starts, and again when a reader goes back.
    fn items(state: &Self::State) -> Result<Self::Items<'_>>;
    /// The first lines.
    fn header(_state: &Self::State, _file: &SeqFile) {}
    /// The line of an item: `seq_print!(file, "...\n")`. It may be called again for the same item if the page was full.
    fn show(item: &Self::Item, file: &SeqFile) -> Result;
}

/// A directory in /proc/net of a namespace, to be kept in that namespace's `pernet` state. Removed with its files when dropped: that waits for readers, and nothing of
/// a file is called afterwards, even if it is still open. Sleeps.
///
/// # Invariants
///
/// The pointer is a directory of ours.
pub struct Directory {
    entry: NonNull<bindings::proc_dir_entry>,
    net: NonNull<bindings::net>,
}

// SAFETY: /proc locks itself.
unsafe impl Send for Directory {}
// SAFETY: as above.
unsafe impl Sync for Directory {}

impl Directory {
    /// Makes it. EEXIST-like failures are ENOMEM. Sleeps.
    pub fn new(net: &Net, name: &'static CStr) -> Result<Self> {
        let path = name.as_char_ptr();
        // SAFETY: the namespace is alive, the name static.
        let entry = unsafe { bindings::vmtp_helper_proc_net_mkdir(net.as_raw(), path) };
        // INVARIANT: just made.
        let net = NonNull::new(net.as_raw()).ok_or(EINVAL)?;
        Ok(Self {
            entry: NonNull::new(entry).ok_or(ENOMEM)?,
            net,
        })
    }

    /// Adds a file that everybody may read. Before the namespace's state is there it cannot be opened. Sleeps.
    pub fn add<F: ProcFile>(&self) -> Result {
        // SAFETY: name and operations are static; the namespace outlives this directory by the invariant.
        let entry = unsafe {
            bindings::proc_create_data(
                F::NAME.as_char_ptr(),
                0o444,
                self.entry.as_ptr(),
                &raw const Tables::<F>::PROC.0,
                self.net.as_ptr().cast(),
            )
        };
        if entry.is_null() {
            return Err(ENOMEM);
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: ours by the invariant.
        unsafe { bindings::proc_remove(self.entry.as_ptr()) };
    }
}

/// A value that is shared because nobody writes it.
struct Shared<T>(T);
// SAFETY: constant tables of functions.
unsafe impl<T> Sync for Shared<T> {}

struct Tables<F>(PhantomData<F>);

impl<F: ProcFile> Tables<F> {
    const PROC: &'static Shared<bindings::proc_ops> = &Shared(bindings::proc_ops {
        proc_open: Some(open::<F>),
        proc_read_iter: Some(bindings::seq_read_iter),
        proc_lseek: Some(bindings::seq_lseek),
        proc_release: Some(release::<F>),
        // SAFETY: of the rest zero is a value: optional functions and flags.
        ..unsafe { core::mem::zeroed() }
    });
    const SEQ: &'static Shared<bindings::seq_operations> = &Shared(bindings::seq_operations {
        start: Some(start::<F>),
        stop: Some(stop),
        next: Some(next::<F>),
        show: Some(show::<F>),
    });
}

/// What an open file remembers.
struct Reader<F: ProcFile> {
    state: &'static F::State,
    items: Option<F::Items<'static>>,
    /// The item of position `at` (from 1; 0 is the header).
    item: Option<F::Item>,
    at: i64,
}

impl<F: ProcFile> Reader<F> {
    /// Makes `item` that of `position`; whether there is one.
    fn seek(&mut self, position: i64) -> Result<bool> {
        if position == self.at && (self.item.is_some() || position == 0) {
            return Ok(true);
        }
        if position == 0 || position < self.at || self.items.is_none() {
            self.items = None;
            self.item = None;
            self.at = 0;
            self.items = Some(F::items(self.state)?);
        }
        // Behind the last item `item` stays empty.
        while self.at < position {
            self.item = self.items.as_mut().and_then(Iterator::next);
            self.at = self.at.saturating_add(1);
            if self.item.is_none() {
                break;
            }
        }
        Ok(position == 0 || self.item.is_some())
    }
}

unsafe extern "C" fn open<F: ProcFile>(
    inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: an inode of our file is given.
        let data = unsafe { bindings::vmtp_helper_pde_data(inode) };
        // SAFETY: `Directory::add` put the namespace there, which is alive as long as /proc calls this.
        let net: &'static Net = unsafe { Net::from_raw(data.cast()) };
        // By the directory's invariant the state stays as long as /proc calls: `'static` as far as a reader can see.
        let state: &'static F::State = PerNet::get(net, 0).ok_or(ENODEV)?;
        let reader = KBox::new(
            Reader::<F> {
                state,
                items: None,
                item: None,
                at: -1,
            },
            GFP_KERNEL,
        )?;
        // SAFETY: /proc opens the file. The box belongs to it until `release`.
        unsafe {
            let error = bindings::seq_open(file, &raw const Tables::<F>::SEQ.0);
            if error != 0 {
                return Err(Error::from_errno(error));
            }
            (*bindings::vmtp_helper_seq_file(file)).private = KBox::into_raw(reader).cast();
        }
        Ok(0)
    })
}

unsafe extern "C" fn release<F: ProcFile>(
    inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> ffi::c_int {
    // SAFETY: opened by `open`, which left the box there.
    unsafe {
        drop(KBox::from_raw(
            (*bindings::vmtp_helper_seq_file(file))
                .private
                .cast::<Reader<F>>(),
        ));
        bindings::seq_release(inode, file)
    }
}

/// The reader of an open file.
///
/// # Safety
///
/// `file` was opened by `open`, and seq_file calls: it holds the file's lock.
unsafe fn reader<'a, F: ProcFile>(file: *mut bindings::seq_file) -> &'a mut Reader<F> {
    // SAFETY: by the caller's promise.
    unsafe { &mut *(*file).private.cast() }
}

/// What seq_file gets for "there is an item": not null, not an error, never followed.
fn token(found: Result<bool>) -> *mut ffi::c_void {
    match found {
        Ok(true) => core::ptr::without_provenance_mut(1),
        Ok(false) => core::ptr::null_mut(),
        Err(error) => error.to_ptr(),
    }
}

unsafe extern "C" fn start<F: ProcFile>(
    file: *mut bindings::seq_file,
    position: *mut bindings::loff_t,
) -> *mut ffi::c_void {
    // SAFETY: called by seq_file.
    token(unsafe { reader::<F>(file).seek(*position) })
}

unsafe extern "C" fn next<F: ProcFile>(
    file: *mut bindings::seq_file,
    _item: *mut ffi::c_void,
    position: *mut bindings::loff_t,
) -> *mut ffi::c_void {
    // SAFETY: called by seq_file.
    unsafe {
        *position = (*position).saturating_add(1);
        token(reader::<F>(file).seek(*position))
    }
}

unsafe extern "C" fn stop(_file: *mut bindings::seq_file, _item: *mut ffi::c_void) {}

unsafe extern "C" fn show<F: ProcFile>(
    file: *mut bindings::seq_file,
    _item: *mut ffi::c_void,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: called by seq_file; the two seq_file types are one C type.
        let (reader, out) = unsafe { (reader::<F>(file), SeqFile::from_raw(file.cast())) };
        match &reader.item {
            Some(item) => F::show(item, out)?,
            None => F::header(reader.state, out),
        }
        Ok(0)
    })
}
