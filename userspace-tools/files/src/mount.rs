// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A server's files in this host's tree of files, by FUSE.
//!
//! Nothing is kept back: what a program has written is at the server when its call returns. What was
//! read may be shown again until the file is opened anew, or for a second is known to be as it was.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Config, Errno as FuseErrno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenAccMode, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, Session, SessionACL, SessionUnmounter, TimeOrNow, WriteFlags,
};
use rustix::io::Errno;

use crate::client::Files;
use crate::nodes::Nodes;
use crate::protocol::{
    Attributes, Changes, Entry, Handle, Identity, Time, DATA_MAX, OPEN_CREATE, OPEN_EXCLUSIVE,
    OPEN_READ, OPEN_TRUNCATE, OPEN_WRITE, PATH_MAX, SET_ACCESSED, SET_ACCESSED_NOW, SET_GROUP,
    SET_MODE, SET_MODIFIED, SET_MODIFIED_NOW, SET_SIZE, SET_USER,
};
use crate::transport::Transport;

/// How long the kernel believes what it was told.
const BELIEF: Duration = Duration::from_secs(1);
/// What programs are told to read and write at a time; the kernel asks for as much.
const BLOCK: u32 = 128 * 1024;

/// How to mount.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is shown as the device.
    pub source: String,
    /// Nothing is changed.
    pub read_only: bool,
    /// Other users of this host may use it too, as far as the permissions of the files say.
    pub allow_other: bool,
    /// How many wishes are served at a time.
    pub threads: usize,
}

/// A mounted file system.
pub struct Mount<T: Transport> {
    session: Session<Tree<T>>,
}

impl<T: Transport> Mount<T> {
    /// Mounts at a directory; `root` is what the server says of the exported one.
    pub fn new(
        files: Files<T>,
        root: &Attributes,
        directory: &Path,
        options: &Options,
    ) -> io::Result<Mount<T>> {
        let tree = Tree {
            files,
            nodes: Mutex::new(Nodes::new(root.identity())),
            opened: Table::default(),
            listings: Table::default(),
        };
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName(options.source.clone()),
            MountOption::Subtype("vmtp".into()),
            MountOption::NoDev,
            MountOption::NoSuid,
        ];
        if options.read_only {
            config.mount_options.push(MountOption::RO);
        }
        if options.allow_other {
            // Else any user of this host could do what the server's user can.
            config.mount_options.push(MountOption::DefaultPermissions);
            config.acl = SessionACL::All;
        }
        config.n_threads = Some(options.threads.max(1));
        config.clone_fd = options.threads > 1;
        Ok(Mount {
            session: Session::new(tree, directory, &config)?,
        })
    }

    /// What unmounts it from another thread.
    pub fn unmounter(&mut self) -> SessionUnmounter {
        self.session.unmount_callable()
    }

    /// Serves the kernel until it is unmounted.
    pub fn run(self) -> io::Result<()> {
        self.session.run()
    }
}

/// An open file of this host.
#[derive(Debug)]
struct Opened {
    node: u64,
    identity: Identity,
    /// For reading, for writing.
    flags: u32,
    /// As the server calls it now; another after the server was started again.
    handle: Mutex<Handle>,
}

/// What was read of a directory and not told yet.
#[derive(Debug, Default)]
struct Listing {
    /// Where the entries begin.
    start: u64,
    entries: Vec<Entry>,
    end: bool,
}

/// Open things by numbers.
#[derive(Debug)]
struct Table<V> {
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

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V> Table<V> {
    fn add(&self, value: V) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.entries).insert(number, Arc::new(value));
        FileHandle(number)
    }

    fn get(&self, number: FileHandle) -> Result<Arc<V>, Errno> {
        let found = lock(&self.entries).get(&number.0).cloned();
        found.ok_or(Errno::BADF)
    }

    fn remove(&self, number: FileHandle) -> Option<Arc<V>> {
        lock(&self.entries).remove(&number.0)
    }
}

/// The kernel's wishes, and what is known of the server's files.
struct Tree<T> {
    files: Files<T>,
    nodes: Mutex<Nodes>,
    opened: Table<Opened>,
    listings: Table<Mutex<Listing>>,
}

fn code(errno: Errno) -> FuseErrno {
    FuseErrno::from_i32(errno.raw_os_error())
}

fn checked(path: Option<OsString>) -> Result<OsString, Errno> {
    let path = path.ok_or(Errno::STALE)?;
    if path.len() > PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    Ok(path)
}

impl<T: Transport> Tree<T> {
    fn path(&self, node: INodeNo) -> Result<OsString, Errno> {
        checked(lock(&self.nodes).path(node.0))
    }

    fn path_in(&self, parent: INodeNo, name: &OsStr) -> Result<OsString, Errno> {
        checked(lock(&self.nodes).path_in(parent.0, name))
    }

    /// The kernel is told of a file.
    fn entry(&self, parent: INodeNo, name: &OsStr, attributes: &Attributes) -> FileAttr {
        let number = lock(&self.nodes).look_up(parent.0, name, attributes.identity());
        file_attr(number, attributes)
    }

    fn tell(
        &self,
        parent: INodeNo,
        name: &OsStr,
        result: Result<Attributes, Errno>,
        reply: ReplyEntry,
    ) {
        match result {
            Ok(found) => reply.entry(&BELIEF, &self.entry(parent, name, &found), Generation(0)),
            Err(errno) => reply.error(code(errno)),
        }
    }

    /// Does something with an open file; one that the server does not know any more is opened again.
    fn with<R>(
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
    fn open_file(&self, node: INodeNo, fh: Option<FileHandle>) -> Option<Arc<Opened>> {
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

    fn opened(&self, node: u64, flags: u32, (handle, found): (Handle, Attributes)) -> FileHandle {
        self.opened.add(Opened {
            node,
            identity: found.identity(),
            flags: flags & (OPEN_READ | OPEN_WRITE),
            handle: Mutex::new(handle),
        })
    }

    fn make_file(
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

    fn close(&self, number: FileHandle) {
        if let Some(opened) = self.opened.remove(number) {
            let _ = self.files.close(*lock(&opened.handle)); // The server would find out by itself.
        }
    }

    fn rename(
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

    fn fill(
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

fn file_type(kind: u32) -> Option<FileType> {
    Some(match kind {
        0o140_000 => FileType::Socket,
        0o120_000 => FileType::Symlink,
        0o100_000 => FileType::RegularFile,
        0o060_000 => FileType::BlockDevice,
        0o040_000 => FileType::Directory,
        0o020_000 => FileType::CharDevice,
        0o010_000 => FileType::NamedPipe,
        _ => return None,
    })
}

fn system_time(time: Time) -> SystemTime {
    let part = Duration::from_nanos(time.nanoseconds.get().into());
    let seconds = Duration::from_secs(time.seconds.get().unsigned_abs());
    let time = if time.seconds.get() < 0 {
        UNIX_EPOCH.checked_sub(seconds)
    } else {
        UNIX_EPOCH.checked_add(seconds)
    };
    time.and_then(|time| time.checked_add(part))
        .unwrap_or(UNIX_EPOCH)
}

fn wire_time(time: SystemTime) -> Time {
    let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (since.as_secs() as i64, since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let whole = -(before.as_secs() as i64);
            match before.subsec_nanos() {
                0 => (whole, 0),
                part => (whole - 1, 1_000_000_000 - part),
            }
        }
    };
    Time {
        seconds: seconds.into(),
        nanoseconds: nanoseconds.into(),
    }
}

fn file_attr(number: u64, found: &Attributes) -> FileAttr {
    let (major, minor) = (found.major.get(), found.minor.get());
    FileAttr {
        ino: INodeNo(number),
        size: found.size.get(),
        blocks: found.blocks.get(),
        atime: system_time(found.accessed),
        mtime: system_time(found.modified),
        ctime: system_time(found.changed),
        crtime: system_time(found.made),
        kind: file_type(found.kind()).unwrap_or(FileType::RegularFile),
        perm: (found.mode.get() & 0o7777) as u16,
        nlink: found.links.get(),
        uid: found.user.get(),
        gid: found.group.get(),
        rdev: (minor & 0xFF) | (major & 0xFFF) << 8 | (minor & !0xFF) << 12,
        blksize: BLOCK,
        flags: 0,
    }
}

fn open_flags(access: OpenAccMode) -> u32 {
    match access {
        OpenAccMode::O_RDONLY => OPEN_READ,
        OpenAccMode::O_WRONLY => OPEN_WRITE,
        OpenAccMode::O_RDWR => OPEN_READ | OPEN_WRITE,
    }
}

fn finish(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(code(errno)),
    }
}

impl<T: Transport> Filesystem for Tree<T> {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // A kernel that cannot do one of these does without.
        let _ = config.add_capabilities(InitFlags::FUSE_AUTO_INVAL_DATA);
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        config
            .set_max_write(DATA_MAX as u32)
            .map_err(|_| io::Error::other("the kernel takes no writes of this size"))?;
        let readahead = config.set_max_readahead(DATA_MAX as u32);
        if let Err(most) = readahead {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self
            .path_in(parent, name)
            .and_then(|path| self.files.attributes(&path));
        if matches!(found, Err(Errno::NOENT)) {
            lock(&self.nodes).vacate(parent.0, name);
        }
        self.tell(parent, name, found, reply);
    }

    fn forget(&self, _req: &Request, node: INodeNo, lookups: u64) {
        lock(&self.nodes).forget(node.0, lookups);
    }

    fn getattr(&self, _req: &Request, node: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let found = match self.open_file(node, fh) {
            Some(opened) => self.with(&opened, |handle| self.files.attributes_of(handle)),
            None => self
                .path(node)
                .and_then(|path| self.files.attributes(&path)),
        };
        match found {
            Ok(found) => reply.attr(&BELIEF, &file_attr(node.0, &found)),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut which = 0;
        let mut meant = |bit: u32, is_meant: bool| which |= if is_meant { bit } else { 0 };
        meant(SET_MODE, mode.is_some());
        meant(SET_USER, uid.is_some());
        meant(SET_GROUP, gid.is_some());
        meant(SET_SIZE, size.is_some());
        let mut time = |time: Option<TimeOrNow>, set: u32, now: u32| match time {
            None => Time::default(),
            Some(TimeOrNow::Now) => {
                meant(set | now, true);
                Time::default()
            }
            Some(TimeOrNow::SpecificTime(time)) => {
                meant(set, true);
                wire_time(time)
            }
        };
        let accessed = time(atime, SET_ACCESSED, SET_ACCESSED_NOW);
        let modified = time(mtime, SET_MODIFIED, SET_MODIFIED_NOW);
        let changes = Changes {
            which: which.into(),
            mode: mode.unwrap_or_default().into(),
            user: uid.unwrap_or_default().into(),
            group: gid.unwrap_or_default().into(),
            size: size.unwrap_or_default().into(),
            accessed,
            modified,
        };
        let none = OsStr::new("");
        let found = match self.open_file(node, fh) {
            Some(opened) => self.with(&opened, |handle| self.files.change(none, handle, &changes)),
            None => self
                .path(node)
                .and_then(|path| self.files.change(&path, Handle::default(), &changes)),
        };
        match found {
            Ok(found) => reply.attr(&BELIEF, &file_attr(node.0, &found)),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn readlink(&self, _req: &Request, node: INodeNo, reply: ReplyData) {
        match self
            .path(node)
            .and_then(|path| self.files.read_symlink(&path))
        {
            Ok(target) => reply.data(target.as_bytes()),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn mknod(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        if mode & 0o170_000 != 0o100_000 {
            return reply.error(FuseErrno::EPERM);
        }
        match self.make_file(parent, name, OPEN_WRITE | OPEN_EXCLUSIVE, mode & !umask) {
            Ok((attr, fh)) => {
                self.close(fh);
                reply.entry(&BELIEF, &attr, Generation(0));
            }
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self
            .path_in(parent, name)
            .and_then(|path| self.files.make_directory(&path, mode & !umask));
        self.tell(parent, name, made, reply);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self
            .path_in(parent, name)
            .and_then(|path| self.files.remove(&path));
        if result.is_ok() {
            lock(&self.nodes).vacate(parent.0, name);
        }
        finish(result, reply);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self
            .path_in(parent, name)
            .and_then(|path| self.files.remove_directory(&path));
        if result.is_ok() {
            lock(&self.nodes).vacate(parent.0, name);
        }
        finish(result, reply);
    }

    fn symlink(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let made = self
            .path_in(parent, name)
            .and_then(|path| self.files.make_symlink(target.as_os_str(), &path));
        self.tell(parent, name, made, reply);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        finish(
            self.rename((parent, name), (newparent, newname), flags),
            reply,
        );
    }

    fn link(
        &self,
        _req: &Request,
        node: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let made = self.path(node).and_then(|from| {
            let to = self.path_in(newparent, newname)?;
            self.files.link(&from, &to)
        });
        self.tell(newparent, newname, made, reply);
    }

    fn open(&self, _req: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let flags = open_flags(flags.acc_mode());
        match self
            .path(node)
            .and_then(|path| self.files.open(&path, flags, 0))
        {
            Ok(opened) => reply.opened(self.opened(node.0, flags, opened), FopenFlags::empty()),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let given = rustix::fs::OFlags::from_bits_retain(flags as u32);
        let mut wanted = open_flags(OpenFlags(flags).acc_mode());
        if given.contains(rustix::fs::OFlags::EXCL) {
            wanted |= OPEN_EXCLUSIVE;
        }
        if given.contains(rustix::fs::OFlags::TRUNC) {
            wanted |= OPEN_TRUNCATE;
        }
        match self.make_file(parent, name, wanted, mode & !umask) {
            Ok((attr, fh)) => {
                reply.created(&BELIEF, &attr, Generation(0), fh, FopenFlags::empty());
            }
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn read(
        &self,
        _req: &Request,
        _node: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let data = self
            .opened
            .get(fh)
            .and_then(|opened| self.with(&opened, |handle| self.files.read(handle, offset, size)));
        match data {
            Ok(data) => reply.data(&data),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn write(
        &self,
        _req: &Request,
        _node: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self
            .opened
            .get(fh)
            .and_then(|opened| self.with(&opened, |handle| self.files.write(handle, offset, data)));
        match written {
            Ok(octets) => reply.written(octets),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn flush(
        &self,
        _req: &Request,
        _node: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok(); // Everything is at the server.
    }

    fn release(
        &self,
        _req: &Request,
        _node: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
        self.close(fh);
    }

    fn fsync(
        &self,
        _req: &Request,
        _node: INodeNo,
        fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        let result = self.opened.get(fh).and_then(|opened| {
            self.with(&opened, |handle| self.files.synchronize(handle, datasync))
        });
        finish(result, reply);
    }

    fn opendir(&self, _req: &Request, _node: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let fh = self.listings.add(Mutex::default());
        reply.opened(fh, FopenFlags::empty());
    }

    fn readdir(
        &self,
        _req: &Request,
        node: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let result = self
            .listings
            .get(fh)
            .and_then(|listing| self.fill(node, &listing, offset, &mut reply));
        match result {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn releasedir(
        &self,
        _req: &Request,
        _node: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.remove(fh);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        _node: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok(); // The server's file system decides.
    }

    fn statfs(&self, _req: &Request, _node: INodeNo, reply: ReplyStatfs) {
        match self.files.statistics() {
            Ok(found) => reply.statfs(
                found.blocks.get(),
                found.free.get(),
                found.available.get(),
                found.files.get(),
                found.files_free.get(),
                found.block_size.get(), // programs multiply with either
                found.name_max.get(),
                found.block_size.get(),
            ),
            Err(errno) => reply.error(code(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_come_back_as_they_were() {
        for (seconds, nanoseconds) in [(0, 0), (5, 7), (-1, 999_999_999), (-5, 0), (-5, 1)] {
            let time = Time {
                seconds: seconds.into(),
                nanoseconds: nanoseconds.into(),
            };
            assert_eq!(wire_time(system_time(time)), time);
        }
        let far = Time {
            seconds: i64::MAX.into(),
            nanoseconds: 0.into(),
        };
        system_time(far); // and does not panic
        assert_eq!(INodeNo::ROOT.0, crate::nodes::ROOT);
    }
}
