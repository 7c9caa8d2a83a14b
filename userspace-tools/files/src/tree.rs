// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a mount knows of the server's files: which are open, what was read of directories, and the
//! paths of the numbers by which the kernel calls them.
//!
//! It finds again what a server that was started anew has forgotten. The paths themselves are in
//! [`nodes`](crate::nodes); what the kernel asks and how it is answered is in [`mount`](crate::mount).

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fuser::{FileAttr, FileHandle, FileType, INodeNo, Notifier, RenameFlags};
use rustix::io::Errno;

use crate::client::{Files, Open};
use crate::convert::{file_attr, file_type};
use crate::nodes::Nodes;
use crate::protocol::{
    Attributes, Changes, Entry, Handle, OPEN_CREATE, OPEN_READ, OPEN_WRITE, PATH_MAX, SET_SIZE,
};
use crate::transport::Transport;

fn is_directory(found: &Attributes) -> bool {
    file_type(found.kind()) == Some(FileType::Directory)
}

/// An open file of this host.
#[derive(Debug)]
pub(crate) struct Opened {
    node: u64,
    /// For reading, for writing.
    flags: u32,
    /// As the server has it now; another after the server was started again.
    now: Mutex<Open>,
    /// The starts of the server's host in which was written what may not be on its disk.
    unsynchronized: Mutex<BTreeSet<u64>>,
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
    /// Once it is mounted.
    pub(crate) kernel: Arc<OnceLock<Notifier>>,
    pub(crate) files: Files<T>,
    pub(crate) nodes: Mutex<Nodes>,
    opened: Table<Opened>,
    pub(crate) listings: Table<Mutex<Listing>>,
}

fn checked(path: Option<OsString>) -> Result<OsString, Errno> {
    let path = path.ok_or(Errno::STALE)?;
    if path.len() > PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    Ok(path)
}

/// A name that is gone may have been one of several: the kernel is to look again.
fn gone(errno: Errno) -> Errno {
    match errno {
        Errno::NOENT => Errno::STALE,
        errno => errno,
    }
}

impl<T: Transport> Tree<T> {
    /// Nothing is known yet but the exported directory, `root`.
    pub(crate) fn new(files: Files<T>, root: &Attributes) -> Tree<T> {
        Tree {
            kernel: Arc::default(),
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
    fn with<R>(
        &self,
        opened: &Opened,
        wish: impl Fn(Open) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let open = *lock(&opened.now);
        match wish(open) {
            Err(Errno::STALE) => wish(self.open_again(opened, open.handle)?),
            result => result,
        }
    }

    fn open_again(&self, opened: &Opened, stale: Handle) -> Result<Open, Errno> {
        let mut now = lock(&opened.now);
        if now.handle != stale {
            return Ok(*now); // Another thread was faster.
        }
        *now = self.open_by_path(INodeNo(opened.node), opened.flags)?;
        Ok(*now)
    }

    pub(crate) fn read(&self, fh: FileHandle, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let opened = self.opened.get(fh)?;
        self.with(&opened, |open| self.files.read(open.handle, offset, size))
    }

    /// With `append` it goes to where the file ends on the server: the kernel's offset is where it ended
    /// when this host last looked.
    pub(crate) fn write(
        &self,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        append: bool,
    ) -> Result<u32, Errno> {
        let opened = self.opened.get(fh)?;
        let offset = if append {
            let found = self.with(&opened, |open| self.files.attributes_of(open.handle))?;
            found.size.get()
        } else {
            offset
        };
        self.with(&opened, |open| {
            let written = self.files.write(open.handle, offset, data)?;
            lock(&opened.unsynchronized).insert(open.boot);
            Ok(written)
        })
    }

    /// What was written is on the disk; EIO, once, if the server's host was started anew before it was.
    pub(crate) fn synchronize(&self, fh: FileHandle, data_only: bool) -> Result<(), Errno> {
        let opened = self.opened.get(fh)?;
        // What is written from now on is the next one's.
        let written = std::mem::take(&mut *lock(&opened.unsynchronized));
        let synchronized = self.with(&opened, |open| {
            self.files.synchronize(open.handle, data_only)?;
            Ok(open.boot)
        });
        match synchronized {
            Ok(boot) if written.iter().any(|other| *other != boot) => Err(Errno::IO),
            Ok(_) => Ok(()),
            Err(errno) => {
                lock(&opened.unsynchronized).extend(written);
                Err(errno)
            }
        }
    }

    /// That what was found at the path of a node is this node. Others may have given its name to
    /// something else; told ESTALE, the kernel looks the name up and tries again.
    fn is_still(&self, node: INodeNo, found: &Attributes) -> Result<(), Errno> {
        match lock(&self.nodes).identity(node.0) {
            // Of what is exported the server decides, also after it was started again.
            _ if node == INodeNo::ROOT => Ok(()),
            Some(identity) if identity == found.identity() => Ok(()),
            // Its host may have another number for the device by then, and a working directory is never
            // looked up again. A directory has no other name by which it could be taken for it.
            Some((_, inode, seconds, nanos)) if is_directory(found) => {
                let (_, other, born, and) = found.identity();
                if (other, born, and) == (inode, seconds, nanos) {
                    return Ok(());
                }
                Err(Errno::STALE)
            }
            _ => Err(Errno::STALE),
        }
    }

    /// The path of a node, and what the server says of it.
    pub(crate) fn confirmed(&self, node: INodeNo) -> Result<(OsString, Attributes), Errno> {
        let path = self.path(node)?;
        let found = self.files.attributes(&path).map_err(gone)?;
        self.is_still(node, &found)?;
        Ok((path, found))
    }

    fn open_by_path(&self, node: INodeNo, flags: u32) -> Result<Open, Errno> {
        let open = self.files.open(&self.path(node)?, flags, 0).map_err(gone)?;
        if let Err(errno) = self.is_still(node, &open.attributes) {
            let _ = self.files.close(open.handle); // The server would find out by itself.
            return Err(errno);
        }
        Ok(open)
    }

    pub(crate) fn open_node(&self, node: INodeNo, flags: u32) -> Result<FileHandle, Errno> {
        let open = self.open_by_path(node, flags)?;
        if let Some(kernel) = self.kernel.get() {
            // It reads only up to the size that it knows. A negative offset: no page is waited for, some
            // of which may wait for us. Of what it has forgotten by now it believes nothing.
            let _ = kernel.inval_inode(node, -1, 0);
        }
        Ok(self.opened(node.0, flags, open))
    }

    /// The open file that is meant, or what is found by the path; if that is another file's by now,
    /// any open one of the node, as of one that was removed there is nothing else.
    fn of_node(
        &self,
        node: INodeNo,
        fh: Option<FileHandle>,
        flags: u32,
        by_handle: impl Fn(Open) -> Result<Attributes, Errno>,
        by_path: impl FnOnce() -> Result<Attributes, Errno>,
    ) -> Result<Attributes, Errno> {
        if let Some(opened) = fh.and_then(|fh| self.opened.get(fh).ok()) {
            return self.with(&opened, by_handle);
        }
        let result = by_path();
        if result != Err(Errno::STALE) {
            return result;
        }
        let opened = lock(&self.opened.entries)
            .values()
            .find(|opened| opened.node == node.0 && opened.flags & flags == flags)
            .cloned();
        match opened {
            Some(opened) => self.with(&opened, by_handle),
            None => result,
        }
    }

    pub(crate) fn attributes(
        &self,
        node: INodeNo,
        fh: Option<FileHandle>,
    ) -> Result<Attributes, Errno> {
        let by_handle = |open: Open| self.files.attributes_of(open.handle);
        let by_path = || self.confirmed(node).map(|(_, found)| found);
        self.of_node(node, fh, 0, by_handle, by_path)
    }

    pub(crate) fn change(
        &self,
        node: INodeNo,
        fh: Option<FileHandle>,
        changes: &Changes,
    ) -> Result<Attributes, Errno> {
        let is_cut = changes.which.get() & SET_SIZE != 0;
        let by_handle = |open: Open| self.files.change(OsStr::new(""), open.handle, changes);
        let by_path = || {
            if is_cut {
                // What has taken its name since it was looked at would lose its data.
                let fh = self.open_node(node, OPEN_WRITE)?;
                let opened = self.opened.get(fh);
                let changed = opened.and_then(|opened| self.with(&opened, by_handle));
                self.close(fh);
                return changed;
            }
            let (path, _) = self.confirmed(node)?;
            let none = Handle::default();
            let found = self.files.change(&path, none, changes).map_err(gone)?;
            self.is_still(node, &found)?;
            Ok(found)
        };
        let flags = if is_cut { OPEN_WRITE } else { 0 };
        self.of_node(node, fh, flags, by_handle, by_path)
    }

    fn opened(&self, node: u64, flags: u32, open: Open) -> FileHandle {
        self.opened.add(Opened {
            node,
            flags: flags & (OPEN_READ | OPEN_WRITE),
            now: Mutex::new(open),
            unsynchronized: Mutex::default(),
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
        let attr = self.entry(parent, name, &made.attributes);
        Ok((attr, self.opened(attr.ino.0, flags, made)))
    }

    pub(crate) fn close(&self, number: FileHandle) {
        if let Some(opened) = self.opened.remove(number) {
            let _ = self.files.close(lock(&opened.now).handle); // The server would find out by itself.
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

    /// Tells what is behind an offset, until there is no room for an entry.
    pub(crate) fn fill(
        &self,
        node: INodeNo,
        listing: &Mutex<Listing>,
        offset: u64,
        mut is_full: impl FnMut(&Entry) -> bool,
    ) -> Result<(), Errno> {
        let listing = &mut *lock(listing);
        if offset == 0 {
            *listing = Listing::default(); // From the start again it is as it is now.
        }
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
                if is_full(entry) {
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
    use crate::direct::{files, Direct, Mishap};
    use crate::protocol::Procedure;
    use std::fs;

    fn tree() -> Tree<Direct> {
        let files = files();
        let root = files.attributes(OsStr::new("")).unwrap();
        Tree::new(files, &root)
    }

    impl Tree<Direct> {
        /// As the kernel has it looked up.
        fn look_up(&self, name: &str) -> INodeNo {
            let name = OsStr::new(name);
            let found = self.files.attributes(name).unwrap();
            self.entry(INodeNo::ROOT, name, &found).ino
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.files.at(name)).unwrap()
        }
    }

    fn cut() -> Changes {
        Changes {
            which: SET_SIZE.into(),
            ..Default::default()
        }
    }

    #[test]
    fn the_root_has_the_number_that_the_kernel_gives_it() {
        assert_eq!(INodeNo::ROOT.0, crate::nodes::ROOT);
    }

    #[test]
    fn what_has_taken_a_name_meanwhile_is_not_touched() {
        let tree = tree();
        let [a, b, other] = ["a", "b", "other"].map(|name| tree.files.at(name));
        fs::write(&a, "mine").unwrap();
        fs::hard_link(&a, &b).unwrap();
        fs::write(&other, "foreign").unwrap();
        let node = tree.look_up("a");
        assert_eq!(tree.look_up("b"), node);
        let mode = Changes {
            which: crate::protocol::SET_MODE.into(),
            ..Default::default()
        };
        fs::rename(&other, &b).unwrap();
        let before = fs::metadata(&b).unwrap().permissions();
        assert_eq!(tree.change(node, None, &cut()), Err(Errno::STALE));
        assert_eq!(tree.change(node, None, &mode), Err(Errno::STALE));
        let opened = tree.open_node(node, OPEN_WRITE);
        assert_eq!(opened.map(drop), Err(Errno::STALE));
        assert_eq!(tree.attributes(node, None), Err(Errno::STALE));
        assert_eq!(tree.confirmed(node).map(drop), Err(Errno::STALE));
        assert_eq!(fs::metadata(&b).unwrap().permissions(), before);
        assert_eq!(
            (tree.text("a"), tree.text("b")),
            ("mine".into(), "foreign".into())
        );
        // The kernel looks again.
        assert_eq!(tree.look_up("a"), node);
        assert_eq!(tree.change(node, None, &cut()).map(drop), Ok(()));
        assert_eq!(
            (tree.text("a"), tree.text("b")),
            ("".into(), "foreign".into())
        );
    }

    #[test]
    fn what_a_crash_of_the_servers_host_lost_is_told_by_fsync_once() {
        let tree = tree();
        fs::write(tree.files.at("a"), "").unwrap();
        let fh = tree.open_node(tree.look_up("a"), OPEN_WRITE).unwrap();
        let synchronize = || tree.synchronize(fh, false);
        assert_eq!(tree.write(fh, 0, b"on the disk", false), Ok(11));
        assert_eq!(synchronize(), Ok(()));
        tree.files.crashes();
        assert_eq!(synchronize(), Ok(()));
        assert_eq!(tree.write(fh, 0, b"not", false), Ok(3));
        tree.files.crashes();
        assert_eq!(
            tree.write(fh, 3, b"written in the next start", false),
            Ok(25)
        );
        assert_eq!(synchronize(), Err(Errno::IO));
        assert_eq!(synchronize(), Ok(()));
    }

    #[test]
    fn what_is_appended_goes_behind_what_others_have_appended_and_once() {
        let tree = tree();
        fs::write(tree.files.at("a"), "0123").unwrap();
        let fh = tree.open_node(tree.look_up("a"), OPEN_WRITE).unwrap();
        fs::write(tree.files.at("a"), "0123456").unwrap();
        assert_eq!(tree.write(fh, 4, b"end", true), Ok(3));
        tree.files.meets(Procedure::Write, Mishap::Unheard);
        assert_eq!(tree.write(fh, 7, b".", true), Ok(1));
        assert_eq!(tree.text("a"), "0123456end.");
    }

    #[test]
    fn a_server_that_is_started_again_has_lost_nothing() {
        let tree = tree();
        fs::write(tree.files.at("a"), "").unwrap();
        let fh = tree.open_node(tree.look_up("a"), OPEN_WRITE).unwrap();
        assert_eq!(tree.write(fh, 0, b"text", false), Ok(4));
        tree.files
            .dies_unheard()
            .attributes(OsStr::new(""))
            .unwrap();
        assert_eq!(tree.synchronize(fh, false), Ok(()));
    }

    #[test]
    fn a_folder_that_is_read_from_the_start_again_is_as_it_is_now() {
        let tree = tree();
        let listing = Mutex::default();
        let names = || {
            let mut names = Vec::new();
            let room = |entry: &Entry| {
                names.push(entry.name.clone());
                false
            };
            tree.fill(INodeNo::ROOT, &listing, 0, room).unwrap();
            names.sort();
            names
        };
        assert_eq!(names(), [".", ".."]);
        fs::write(tree.files.at("new"), "").unwrap();
        assert_eq!(names(), [".", "..", "new"]);
    }

    #[test]
    fn what_is_exported_may_be_another_folder_after_a_while() {
        let tree = Tree::new(files(), &Attributes::default());
        assert_eq!(tree.attributes(INodeNo::ROOT, None).map(drop), Ok(()));
    }

    #[test]
    fn a_directory_stays_what_it_is_when_its_device_has_another_number() {
        let tree = tree();
        fs::create_dir(tree.files.at("d")).unwrap();
        fs::write(tree.files.at("f"), "").unwrap();
        for (name, expected) in [("d", Ok(())), ("f", Err(Errno::STALE))] {
            let found = tree.files.attributes(OsStr::new(name)).unwrap();
            let (device, inode, seconds, nanos) = found.identity();
            let before = (device + 1, inode, seconds, nanos);
            let node = lock(&tree.nodes).look_up(INodeNo::ROOT.0, OsStr::new(name), before);
            let now = tree.attributes(INodeNo(node), None).map(drop);
            assert_eq!(now, expected, "{name}");
        }
    }

    #[test]
    fn an_open_file_stays_what_it_is_when_its_name_is_given_to_another() {
        let tree = tree();
        fs::write(tree.files.at("a"), "mine").unwrap();
        fs::write(tree.files.at("other"), "foreign").unwrap();
        let node = tree.look_up("a");
        tree.open_node(node, OPEN_READ | OPEN_WRITE).unwrap();
        fs::rename(tree.files.at("other"), tree.files.at("a")).unwrap();
        assert_eq!(tree.attributes(node, None).unwrap().size.get(), 4);
        assert_eq!(tree.change(node, None, &cut()).unwrap().size.get(), 0);
        assert_eq!(tree.text("a"), "foreign");
    }
}
