// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The protocol's attributes, times, flags and errors as FUSE has them, and times the other way.
//!
//! Values only: nothing here asks the server or answers the kernel.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno as FuseErrno, FileAttr, FileType, INodeNo, OpenAccMode};
use rustix::io::Errno;

use crate::protocol::{Attributes, Time, OPEN_READ, OPEN_WRITE};

/// What programs are told to read and write at a time; the kernel asks for as much.
const BLOCK: u32 = 128 * 1024;

pub(crate) fn code(errno: Errno) -> FuseErrno {
    FuseErrno::from_i32(errno.raw_os_error())
}

pub(crate) fn file_type(kind: u32) -> Option<FileType> {
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

pub(crate) fn system_time(time: Time) -> SystemTime {
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

pub(crate) fn wire_time(time: SystemTime) -> Time {
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

pub(crate) fn file_attr(number: u64, found: &Attributes) -> FileAttr {
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

pub(crate) fn open_flags(access: OpenAccMode) -> u32 {
    match access {
        OpenAccMode::O_RDONLY => OPEN_READ,
        OpenAccMode::O_WRONLY => OPEN_WRITE,
        OpenAccMode::O_RDWR => OPEN_READ | OPEN_WRITE,
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
    }
}
