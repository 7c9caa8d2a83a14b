// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a mount knows of the server's files: which are open, what was read of directories, and the
//! paths of the numbers by which the kernel calls them.
//!
//! It finds again what a server that was started anew has forgotten. The paths themselves are in
//! [`nodes`](crate::nodes); what the kernel asks and how it is answered is in [`mount`](crate::mount).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{FileAttr, FileHandle, FileType, INodeNo, RenameFlags, ReplyDirectory};
use rustix::io::Errno;

use crate::client::Files;
use crate::convert::{file_attr, file_type};
use crate::nodes::Nodes;
use crate::protocol::{
    Attributes, Entry, Handle, Identity, OPEN_CREATE, OPEN_READ, OPEN_WRITE, PATH_MAX,
};
use crate::transport::Transport;

/// An open file of this host.
#[derive(Debug)]
pub(crate) struct Opened {
    node: u64,
    identity: Identity,
    /// For reading, for writing.
    flags: u32,
    /// As the server calls it now; another after the server was started again.
    handle: Mutex<Handle>,
}

/// What was read of a directory and not told yet.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Where the entries begin.
    start: u64,
    entries: Vec<Entry>,
    end: bool,
}

/// Open things by numbers.
#[derive(Debug)]
pub(crate) struct Table<V> {
    entries: Mutex<HashMap<u64, Arc<V>>>,
    next: AtomicU64,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Table {
            entries: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }
}

pub(crate) fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V> Table<V> {
    pub(crate) fn add(&self, value: V) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.entries).insert(number, Arc::new(value));
        FileHandle(number)
    }

    pub(crate) fn get(&self, number: FileHandle) -> Result<Arc<V>, Errno> {
        let found = lock(&self.entries).get(&number.0).cloned();
        found.ok_or(Errno::BADF)
    }

    pub(crate) fn remove(&self, number: FileHandle) -> Option<Arc<V>> {
        lock(&self.entries).remove(&number.0)
    }
}

/// The kernel's wishes, and what is known of the server's files.
pub(crate) struct Tree<T> {
    pub(crate) files: Files<T>,
    pub(crate) nodes: Mutex<Nodes>,
    pub(crate) opened: Table<Opened>,
    pub(crate) listings: Table<Mutex<Listing>>,
}

fn checked(path: Option<OsString>) -> Result<OsString, Errno> {
    let path = path.ok_or(Errno::STALE)?;
    if path.len() > PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    Ok(path)
}

impl<T: Transport> Tree<T> {
    /// Nothing is known yet but the exported directory, `root`.
    pub(crate) fn new(files: Files<T>, root: &Attributes) -> Tree<T> {
        Tree {
            files,
            nodes: Mutex::new(Nodes::new(root.identity())),
            opened: Table::default(),
            listings: Table::default(),
        }
    }

    pub(crate) fn path(&self, node: INodeNo) -> Result<OsString, Errno> {
        checked(lock(&self.nodes).path(node.0))
    }

    pub(crate) fn path_in(&self, parent: INodeNo, name: &OsStr) -> Result<OsString, Errno> {
        checked(lock(&self.nodes).path_in(parent.0, name))
    }

    /// The kernel is told of a file.
    pub(crate) fn entry(&self, parent: INodeNo, name: &OsStr, attributes: &Attributes) -> FileAttr {
        let number = lock(&self.nodes).look_up(parent.0, name, attributes.identity());
        file_attr(number, attributes)
    }

    /// Does something with an open file; one that the server does not know any more is opened again.
    pub(crate) fn with<R>(
        &self,
        opened: &Opened,
        wish: impl Fn(Handle) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let handle = *lock(&opened.handle);
        match wish(handle) {
            Err(Errno::STALE) => wish(self.open_again(opened, handle)?),
            result => result,
        }
    }

    fn open_again(&self, opened: &Opened, stale: Handle) -> Result<Handle, Errno> {
        let mut handle = lock(&opened.handle);
        if *handle != stale {
            return Ok(*handle); // Another thread was faster.
        }
        let path = self.path(INodeNo(opened.node))?;
        let (new, found) = match self.files.open(&path, opened.flags, 0) {
            Err(Errno::NOENT) => return Err(Errno::STALE),
            result => result?,
        };
        if found.identity() != opened.identity {
            let _ = self.files.close(new); // The server would find out by itself.
            return Err(Errno::STALE);
        }
        *handle = new;
        Ok(new)
    }

    /// The open file that is meant. The kernel does not always say which, and of one that was removed
    /// there is nothing else.
    pub(crate) fn open_file(&self, node: INodeNo, fh: Option<FileHandle>) -> Option<Arc<Opened>> {
        match fh {
            Some(fh) => self.opened.get(fh).ok(),
            None if lock(&self.nodes).path(node.0).is_some() => None,
            None => {
                let opened = lock(&self.opened.entries);
                opened
                    .values()
                    .find(|opened| opened.node == node.0)
                    .cloned()
            }
        }
    }

    pub(crate) fn opened(
        &self,
        node: u64,
        flags: u32,
        (handle, found): (Handle, Attributes),
    ) -> FileHandle {
        self.opened.add(Opened {
            node,
            identity: found.identity(),
            flags: flags & (OPEN_READ | OPEN_WRITE),
            handle: Mutex::new(handle),
        })
    }

    pub(crate) fn make_file(
        &self,
        parent: INodeNo,
        name: &OsStr,
        flags: u32,
        mode: u32,
    ) -> Result<(FileAttr, FileHandle), Errno> {
        let path = self.path_in(parent, name)?;
        let made = self.files.open(&path, flags | OPEN_CREATE, mode)?;
        let attr = self.entry(parent, name, &made.1);
        Ok((attr, self.opened(attr.ino.0, flags, made)))
    }

    pub(crate) fn close(&self, number: FileHandle) {
        if let Some(opened) = self.opened.remove(number) {
            let _ = self.files.close(*lock(&opened.handle)); // The server would find out by itself.
        }
    }

    pub(crate) fn rename(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let (old, new) = (self.path_in(from.0, from.1)?, self.path_in(to.0, to.1)?);
        self.files.rename(&old, &new, flags.bits())?;
        let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        lock(&self.nodes).rename((from.0 .0, from.1), (to.0 .0, to.1), exchange);
        Ok(())
    }

    pub(crate) fn fill(
        &self,
        node: INodeNo,
        listing: &Mutex<Listing>,
        offset: u64,
        reply: &mut ReplyDirectory,
    ) -> Result<(), Errno> {
        let listing = &mut *lock(listing);
        let mut at = match listing
            .entries
            .iter()
            .position(|entry| entry.cookie == offset)
        {
            Some(before) => before + 1,
            None if listing.start == offset && !listing.entries.is_empty() => 0,
            None => {
                *listing = self.read_listing(node, offset)?;
                0
            }
        };
        let mut told = false;
        loop {
            while let Some(entry) = listing.entries.get(at) {
                let kind = file_type(entry.kind).unwrap_or(FileType::RegularFile);
                let number = INodeNo(entry.inode.max(1));
                if reply.add(number, entry.cookie, kind, &entry.name) {
                    return Ok(());
                }
                told = true;
                at += 1;
            }
            if told || listing.end {
                return Ok(());
            }
            let behind = listing.entries.last().map_or(offset, |entry| entry.cookie);
            *listing = self.read_listing(node, behind)?;
            at = 0;
        }
    }

    fn read_listing(&self, node: INodeNo, start: u64) -> Result<Listing, Errno> {
        let (entries, end) = self.files.list(&self.path(node)?, start)?;
        Ok(Listing {
            start,
            entries,
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_the_number_that_the_kernel_gives_it() {
        assert_eq!(INodeNo::ROOT.0, crate::nodes::ROOT);
    }
}
