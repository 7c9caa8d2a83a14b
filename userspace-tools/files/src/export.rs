// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The exported directory: what can be done below it, and nothing anywhere else.
//!
//! Every path is resolved by openat2(2) beneath the directory: no `..` leads out, no symbolic link is
//! followed (clients follow them by themselves, on their side), and what is mounted below is not
//! entered. The last name of a path is never followed either.

use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    self, AtFlags, Gid, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, SeekFrom, StatxFlags,
    Timespec, Timestamps, Uid,
};
use rustix::io::Errno;

use crate::protocol::{
    Attributes, Changes, Entry, Statistics, Time, OPEN_CREATE, OPEN_EXCLUSIVE, OPEN_READ,
    OPEN_TRUNCATE, OPEN_WRITE, SET_ACCESSED, SET_ACCESSED_NOW, SET_GROUP, SET_MODE, SET_MODIFIED,
    SET_MODIFIED_NOW, SET_SIZE, SET_USER,
};

type Result<T> = std::result::Result<T, Errno>;

const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
/// Permissions that a client may set: a file that runs as somebody else is not to be had from afar.
const PERMISSIONS: u32 = 0o1_777;

/// An exported directory.
#[derive(Debug)]
pub struct Export {
    root: OwnedFd,
    read_only: bool,
}

fn resolve() -> ResolveFlags {
    ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV
}

fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & PERMISSIONS)
}

/// A path and what it is beneath.
fn split(path: &OsStr) -> (&OsStr, &OsStr) {
    let octets = path.as_bytes();
    match octets.iter().rposition(|octet| *octet == b'/') {
        Some(slash) => (
            OsStr::from_bytes(octets.get(..slash).unwrap_or_default()),
            OsStr::from_bytes(octets.get(slash + 1..).unwrap_or_default()),
        ),
        None => (OsStr::new(""), path),
    }
}

impl Export {
    /// Exports this directory.
    pub fn new(directory: &Path, read_only: bool) -> Result<Export> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let export = Export {
            root: fs::open(directory, flags, Mode::empty())?,
            read_only,
        };
        // Without openat2 (Linux 5.6) nothing keeps a client inside.
        export.attributes(OsStr::new(""))?;
        Ok(export)
    }

    fn open_at(&self, path: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let path = if path.is_empty() {
            OsStr::new(".")
        } else {
            path
        };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat2(&self.root, path, flags, mode, resolve())
    }

    /// The directory that a path's last name is in, and that name.
    fn parent<'p>(&self, path: &'p OsStr) -> Result<(OwnedFd, &'p OsStr)> {
        let (parent, name) = split(path);
        if name.is_empty() {
            return Err(Errno::BUSY); // The exported directory itself.
        }
        let parent = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok((parent, name))
    }

    fn changing(&self) -> Result<()> {
        if self.read_only {
            return Err(Errno::ROFS);
        }
        Ok(())
    }

    /// What a path names.
    pub fn attributes(&self, path: &OsStr) -> Result<Attributes> {
        attributes_of(self.open_at(path, OFlags::PATH, Mode::empty())?)
    }

    /// Opens a regular file. `verifier` marks one that is made with [`OPEN_EXCLUSIVE`]: of a client that
    /// asks again because it did not hear the answer, it is known again as long as it is empty.
    pub fn open(
        &self,
        path: &OsStr,
        flags: u32,
        mode: u32,
        verifier: u64,
    ) -> Result<(OwnedFd, Attributes)> {
        let access = match flags & (OPEN_READ | OPEN_WRITE) {
            OPEN_READ => OFlags::RDONLY,
            OPEN_WRITE => OFlags::WRONLY,
            0 => return Err(Errno::INVAL),
            _ => OFlags::RDWR,
        };
        if flags & (OPEN_WRITE | OPEN_TRUNCATE) != 0 {
            self.changing()?;
        }
        // Another client may make or remove it between looking and opening.
        for _ in 0..8 {
            match self.attributes(path) {
                Ok(attributes) if flags & OPEN_CREATE != 0 && flags & OPEN_EXCLUSIVE != 0 => {
                    let known = verifier != 0 && attributes.size.get() == 0;
                    if !known || verifier_of(&attributes) != verifier {
                        return Err(Errno::EXIST);
                    }
                    return self.open_there(path, access, false);
                }
                Ok(attributes) => {
                    // A device or a pipe would do something by being opened.
                    match attributes.kind() {
                        REGULAR => {}
                        DIRECTORY => return Err(Errno::ISDIR),
                        _ => return Err(Errno::NXIO),
                    }
                    match self.open_there(path, access, flags & OPEN_TRUNCATE != 0) {
                        Err(Errno::NOENT) if flags & OPEN_CREATE != 0 => {}
                        result => return result,
                    }
                }
                Err(Errno::NOENT) if flags & OPEN_CREATE != 0 => {
                    self.changing()?;
                    let (parent, name) = self.parent(path)?;
                    let made = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    match fs::openat(&parent, name, access | made, permissions(mode)) {
                        Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                        Ok(file) => {
                            if flags & OPEN_EXCLUSIVE != 0 && verifier != 0 {
                                fs::futimens(&file, &verified(verifier))?;
                            }
                            let attributes = attributes_of(&file)?;
                            return Ok((file, attributes));
                        }
                    }
                }
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::AGAIN)
    }

    fn open_there(
        &self,
        path: &OsStr,
        access: OFlags,
        truncate: bool,
    ) -> Result<(OwnedFd, Attributes)> {
        let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.open_at(path, flags, Mode::empty())?;
        let attributes = attributes_of(&file)?;
        if attributes.kind() != REGULAR {
            return Err(Errno::NXIO);
        }
        if truncate {
            fs::ftruncate(&file, 0)?;
            let attributes = attributes_of(&file)?;
            return Ok((file, attributes));
        }
        Ok((file, attributes))
    }

    /// Changes what `changes` says, of an open file if there is one.
    pub fn change(
        &self,
        path: &OsStr,
        file: Option<&OwnedFd>,
        changes: &Changes,
    ) -> Result<Attributes> {
        self.changing()?;
        let which = changes.which.get();
        if which & SET_SIZE != 0 {
            let size = changes.size.get();
            match file {
                Some(file) => fs::ftruncate(file, size)?,
                None => {
                    let (file, _) = self.open(path, OPEN_WRITE, 0, 0)?;
                    fs::ftruncate(&file, size)?;
                }
            }
        }
        // Without a file, what the path names: that works also for what cannot be opened. By its name in its directory it
        // would be what is mounted there.
        let named;
        let object = match file {
            Some(file) => file,
            None => {
                named = self.open_at(path, OFlags::PATH, Mode::empty())?;
                &named
            }
        };
        if which & (SET_USER | SET_GROUP) != 0 {
            let user = (which & SET_USER != 0).then(|| Uid::from_raw(changes.user.get()));
            let group = (which & SET_GROUP != 0).then(|| Gid::from_raw(changes.group.get()));
            fs::chownat(object, "", user, group, AtFlags::EMPTY_PATH)?;
        }
        if which & SET_MODE != 0 {
            let mode = permissions(changes.mode.get());
            match file {
                Some(file) => fs::fchmod(file, mode)?,
                None => change_mode(object, mode)?,
            }
        }
        if which & (SET_ACCESSED | SET_MODIFIED) != 0 {
            let times = Timestamps {
                last_access: time_to_set(which, SET_ACCESSED, SET_ACCESSED_NOW, changes.accessed),
                last_modification: time_to_set(
                    which,
                    SET_MODIFIED,
                    SET_MODIFIED_NOW,
                    changes.modified,
                ),
            };
            fs::utimensat(object, "", &times, AtFlags::EMPTY_PATH)?;
        }
        attributes_of(object)
    }

    /// Entries of a directory behind the one with this cookie (0: from the start), in at most `limit`
    /// octets; and whether the directory ends there.
    pub fn list(&self, path: &OsStr, cookie: u64, limit: usize) -> Result<(Vec<u8>, bool)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = self.open_at(path, flags, Mode::empty())?;
        if cookie != 0 {
            fs::seek(&directory, SeekFrom::Start(cookie))?;
        }
        let mut octets = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let entry = Entry {
                inode: entry.ino(),
                cookie: entry.next_entry_cookie(),
                kind: entry.file_type().as_raw_mode(),
                name: OsString::from(OsStr::from_bytes(entry.file_name().to_bytes())),
            };
            if !entry.write(&mut octets, limit) {
                return if octets.is_empty() {
                    Err(Errno::INVAL)
                } else {
                    Ok((octets, false))
                };
            }
        }
        Ok((octets, true))
    }

    /// Makes a directory.
    pub fn make_directory(&self, path: &OsStr, mode: u32) -> Result<Attributes> {
        self.changing()?;
        let (parent, name) = self.parent(path).map_err(there)?;
        fs::mkdirat(&parent, name, permissions(mode))?;
        self.attributes(path)
    }

    /// Removes what is no directory.
    pub fn remove(&self, path: &OsStr) -> Result<()> {
        self.changing()?;
        let (parent, name) = self.parent(path)?;
        fs::unlinkat(&parent, name, AtFlags::empty())
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, path: &OsStr) -> Result<()> {
        self.changing()?;
        let (parent, name) = self.parent(path)?;
        fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)
    }

    /// Gives something another path; `flags` are renameat2's NOREPLACE and EXCHANGE.
    pub fn rename(&self, from: &OsStr, to: &OsStr, flags: u32) -> Result<()> {
        self.changing()?;
        let flags = RenameFlags::from_bits(flags)
            .filter(|flags| !flags.contains(RenameFlags::WHITEOUT))
            .ok_or(Errno::INVAL)?;
        let (old_parent, old_name) = self.parent(from)?;
        let (new_parent, new_name) = self.parent(to)?;
        fs::renameat_with(&old_parent, old_name, &new_parent, new_name, flags)
    }

    /// Makes a symbolic link.
    pub fn make_symlink(&self, target: &OsStr, path: &OsStr) -> Result<Attributes> {
        self.changing()?;
        let (parent, name) = self.parent(path).map_err(there)?;
        fs::symlinkat(target, &parent, name)?;
        self.attributes(path)
    }

    /// The target of a symbolic link.
    pub fn read_symlink(&self, path: &OsStr) -> Result<Vec<u8>> {
        let (parent, name) = self.parent(path).map_err(|_| Errno::INVAL)?;
        Ok(fs::readlinkat(&parent, name, Vec::new())?.into_bytes())
    }

    /// Gives a file a further name.
    pub fn link(&self, from: &OsStr, to: &OsStr) -> Result<Attributes> {
        self.changing()?;
        let (old_parent, old_name) = self.parent(from)?;
        let (new_parent, new_name) = self.parent(to).map_err(there)?;
        fs::linkat(
            &old_parent,
            old_name,
            &new_parent,
            new_name,
            AtFlags::empty(),
        )?;
        self.attributes(to)
    }

    /// Statistics of the file system.
    pub fn statistics(&self) -> Result<Statistics> {
        let found = fs::fstatvfs(&self.root)?;
        let word = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).into();
        Ok(Statistics {
            blocks: found.f_blocks.into(),
            free: found.f_bfree.into(),
            available: found.f_bavail.into(),
            files: found.f_files.into(),
            files_free: found.f_ffree.into(),
            block_size: word(found.f_frsize),
            name_max: word(found.f_namemax),
        })
    }
}

/// The exported directory cannot be made, because it is there.
fn there(errno: Errno) -> Errno {
    match errno {
        Errno::BUSY => Errno::EXIST,
        errno => errno,
    }
}

/// fchmod(2) of what is open with O_PATH, which that does not take.
fn change_mode(object: &OwnedFd, mode: Mode) -> Result<()> {
    // The link leads to a symbolic link itself, which has no permissions; what the kernel says of that has changed.
    if attributes_of(object)?.kind() == SYMLINK {
        return Err(Errno::OPNOTSUPP);
    }
    fs::chmod(format!("/proc/self/fd/{}", object.as_raw_fd()), mode)
}

/// What an open file is.
pub fn attributes_of(file: impl AsFd) -> Result<Attributes> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let found = fs::statx(file, "", AtFlags::EMPTY_PATH, mask)?;
    let time = |time: rustix::fs::StatxTimestamp| Time {
        seconds: time.tv_sec.into(),
        nanoseconds: time.tv_nsec.into(),
    };
    let known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
    Ok(Attributes {
        device: fs::makedev(found.stx_dev_major, found.stx_dev_minor).into(),
        inode: found.stx_ino.into(),
        made: if known {
            time(found.stx_btime)
        } else {
            Time::default()
        },
        size: found.stx_size.into(),
        blocks: found.stx_blocks.into(),
        accessed: time(found.stx_atime),
        modified: time(found.stx_mtime),
        changed: time(found.stx_ctime),
        mode: u32::from(found.stx_mode).into(),
        links: found.stx_nlink.into(),
        user: found.stx_uid.into(),
        group: found.stx_gid.into(),
        major: found.stx_rdev_major.into(),
        minor: found.stx_rdev_minor.into(),
    })
}

fn time_to_set(which: u32, set: u32, now: u32, time: Time) -> Timespec {
    let (tv_sec, tv_nsec) = if which & set == 0 {
        (0, fs::UTIME_OMIT)
    } else if which & now != 0 {
        (0, fs::UTIME_NOW)
    } else {
        // Greater ones mean something else to the kernel.
        let nanoseconds = time.nanoseconds.get().min(999_999_999);
        (time.seconds.get(), nanoseconds.into())
    };
    Timespec { tv_sec, tv_nsec }
}

/// A verifier is in the times of an empty file, 31 bits in the seconds of each, which every file system
/// can keep.
fn verified(verifier: u64) -> Timestamps {
    let time = |bits: u64| Timespec {
        tv_sec: (bits & 0x7FFF_FFFF) as i64,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time(verifier >> 32),
        last_modification: time(verifier),
    }
}

fn verifier_of(attributes: &Attributes) -> u64 {
    let bits = |time: Time| (time.seconds.get() as u64) & 0x7FFF_FFFF;
    bits(attributes.accessed) << 32 | bits(attributes.modified)
}

#[cfg(test)]
mod tests;
