// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A server's files in this host's tree of files, by FUSE.
//!
//! Nothing is kept back: what a program has written is at the server when its call returns. What was
//! read may be shown again until the file is opened anew, or for a second is known to be as it was.
//!
//! Here the kernel is asked for the mount and answered; what is known of the files is in
//! [`tree`](crate::tree).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{
    Config, Errno as FuseErrno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, Session, SessionACL, SessionUnmounter, TimeOrNow, WriteFlags,
};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::client::Files;
use crate::convert::{code, file_attr, file_type, open_flags, wire_time};
use crate::protocol::{
    Attributes, Changes, Entry, Time, DATA_MAX, OPEN_EXCLUSIVE, OPEN_TRUNCATE, OPEN_WRITE,
    SET_ACCESSED, SET_ACCESSED_NOW, SET_GROUP, SET_MODE, SET_MODIFIED, SET_MODIFIED_NOW, SET_SIZE,
    SET_USER,
};
use crate::transport::Transport;
use crate::tree::{lock, Tree};

/// How long the kernel believes what it was told.
const BELIEF: Duration = Duration::from_secs(1);

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
        let tree = Tree::new(files, root);
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
        let kernel = Arc::clone(&tree.kernel);
        let session = Session::new(tree, directory, &config)?;
        let _ = kernel.set(session.notifier()); // The first, and the only one.
        Ok(Mount { session })
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

fn given(flags: i32) -> OFlags {
    OFlags::from_bits_retain(flags as u32)
}

fn finish(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(code(errno)),
    }
}

impl<T: Transport> Tree<T> {
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
        match self.attributes(node, fh) {
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
        match self.change(node, fh, &changes) {
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
        let made = self.confirmed(node).and_then(|(from, _)| {
            let to = self.path_in(newparent, newname)?;
            self.files.link(&from, &to)
        });
        self.tell(newparent, newname, made, reply);
    }

    fn open(&self, _req: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let flags = open_flags(flags.acc_mode());
        match self.open_node(node, flags) {
            Ok(fh) => reply.opened(fh, FopenFlags::empty()),
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
        let given = given(flags);
        let mut wanted = open_flags(OpenFlags(flags).acc_mode());
        if given.contains(OFlags::EXCL) {
            wanted |= OPEN_EXCLUSIVE;
        }
        if given.contains(OFlags::TRUNC) {
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
        match self.read(fh, offset, size) {
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
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let append = given(flags.0).contains(OFlags::APPEND);
        match self.write(fh, offset, data, append) {
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
        finish(self.synchronize(fh, datasync), reply);
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
        let is_full = |entry: &Entry| {
            let kind = file_type(entry.kind).unwrap_or(FileType::RegularFile);
            let number = INodeNo(entry.inode.max(1));
            reply.add(number, entry.cookie, kind, &entry.name)
        };
        let result = self
            .listings
            .get(fh)
            .and_then(|listing| self.fill(node, &listing, offset, is_full));
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
