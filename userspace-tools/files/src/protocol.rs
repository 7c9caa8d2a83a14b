// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The messages of the file service (vmtp-filed.7), as they are on the wire.
//!
//! Numbers in segments are big-endian. Of the 20 octets of user data, which are five words, a procedure
//! has what [`Call`] says. A path is relative to the exported directory and names no `.` and no `..`;
//! the empty path is that directory.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::io::Errno;
use zerocopy::byteorder::big_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Procedures are this and a number; a failed one has this and its errno as Response code.
pub const BASE: u32 = 0x81_0000;
/// The most octets of data in a Request or a Response.
pub const DATA_MAX: usize = 1 << 20;
/// The most octets of a path.
pub const PATH_MAX: usize = 4096;
/// The most octets of a name in it.
pub const NAME_MAX: usize = 255;
/// A Response with a longer segment is kept, so that only what was lost is sent again; a shorter one
/// is not, and its Request may be executed again.
pub const IDEMPOTENT_MAX: usize = 1024;

/// A reference to an open file: 64 bits that no other handle of this or an earlier server has. 0 is
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Handle(pub u64);

/// For reading.
pub const OPEN_READ: u32 = 0x01;
/// For writing.
pub const OPEN_WRITE: u32 = 0x02;
/// Made if it is not there.
pub const OPEN_CREATE: u32 = 0x04;
/// With [`OPEN_CREATE`]: it must not be there.
pub const OPEN_EXCLUSIVE: u32 = 0x08;
/// Emptied.
pub const OPEN_TRUNCATE: u32 = 0x10;

/// Whether members of [`Changes`] are meant.
pub const SET_MODE: u32 = 0x01;
/// See [`SET_MODE`].
pub const SET_USER: u32 = 0x02;
/// See [`SET_MODE`].
pub const SET_GROUP: u32 = 0x04;
/// See [`SET_MODE`].
pub const SET_SIZE: u32 = 0x08;
/// See [`SET_MODE`].
pub const SET_ACCESSED: u32 = 0x10;
/// See [`SET_MODE`].
pub const SET_MODIFIED: u32 = 0x20;
/// With [`SET_ACCESSED`]: the server's time.
pub const SET_ACCESSED_NOW: u32 = 0x40;
/// With [`SET_MODIFIED`]: the server's time.
pub const SET_MODIFIED_NOW: u32 = 0x80;

/// What the low bits of [`BASE`] number. In parentheses the words of user data, then the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Procedure {
    /// (handle 2); path if the handle is 0. Response: attributes.
    Attributes = 1,
    /// (flags, mode, verifier 2); path. Response: (handle 2, start of the server's host 2); attributes.
    Open = 2,
    /// (handle 2).
    Close = 3,
    /// (handle 2, offset 2, count). Response: data, fewer at the end of the file.
    Read = 4,
    /// (handle 2, offset 2); data. Response: (octets written).
    Write = 5,
    /// (handle 2); changes, and the path if the handle is 0. Response: attributes.
    Change = 6,
    /// (cookie 2, count); path. Response: (1 if the directory ends here); entries of `count` octets at
    /// most, behind the one with that cookie.
    List = 7,
    /// (mode); path. Response: attributes.
    MakeDirectory = 8,
    /// (); path of what is no directory.
    Remove = 9,
    /// (); path.
    RemoveDirectory = 10,
    /// (octets of the first path, renameat2's flags); both paths.
    Rename = 11,
    /// (octets of the target); target and path. Response: attributes.
    MakeSymlink = 12,
    /// (); path. Response: target.
    ReadSymlink = 13,
    /// (octets of the first path); path of a file and its new path. Response: attributes.
    Link = 14,
    /// (handle 2, 1 if only the data).
    Synchronize = 15,
    /// (). Response: statistics of the file system.
    Statistics = 16,
}

impl Procedure {
    /// All of them, in order.
    pub const ALL: [Procedure; 16] = [
        Procedure::Attributes,
        Procedure::Open,
        Procedure::Close,
        Procedure::Read,
        Procedure::Write,
        Procedure::Change,
        Procedure::List,
        Procedure::MakeDirectory,
        Procedure::Remove,
        Procedure::RemoveDirectory,
        Procedure::Rename,
        Procedure::MakeSymlink,
        Procedure::ReadSymlink,
        Procedure::Link,
        Procedure::Synchronize,
        Procedure::Statistics,
    ];

    /// The procedure of a Request code.
    pub fn of(code: u32) -> Option<Procedure> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// Its Request code.
    pub fn code(self) -> u32 {
        BASE | self as u32
    }

    /// Whether it may be executed more than once.
    pub fn is_idempotent(self) -> bool {
        matches!(
            self,
            Procedure::Attributes
                | Procedure::Read
                | Procedure::List
                | Procedure::ReadSymlink
                | Procedure::Statistics
        )
    }
}

/// A Request, or a Response that is none of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Message {
    /// User data.
    pub words: [u32; 5],
    /// Segment.
    pub segment: Vec<u8>,
}

impl Message {
    /// With these words and nothing else.
    pub fn words(words: [u32; 5]) -> Message {
        Message {
            words,
            segment: Vec::new(),
        }
    }

    /// With this segment and nothing else.
    pub fn segment(segment: impl Into<Vec<u8>>) -> Message {
        Message {
            words: [0; 5],
            segment: segment.into(),
        }
    }
}

/// 64 bits as two words, high word first.
pub fn halves(value: u64) -> [u32; 2] {
    [(value >> 32) as u32, value as u32]
}

/// Two words as 64 bits.
pub fn whole(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Seconds and nanoseconds since 1970.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub seconds: I64,
    /// 0 to 999,999,999.
    pub nanoseconds: U32,
}

/// What a file is: 104 octets.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct Attributes {
    /// Device number on the server.
    pub device: U64,
    /// Inode number on the server.
    pub inode: U64,
    /// When it was made, if the server knows; a number that is used again has another.
    pub made: Time,
    /// Octets.
    pub size: U64,
    /// Blocks of 512 octets.
    pub blocks: U64,
    /// When it was last read.
    pub accessed: Time,
    /// When its content was last changed.
    pub modified: Time,
    /// When anything of it was last changed.
    pub changed: Time,
    /// Type and permissions, as in stat(2).
    pub mode: U32,
    /// Names it has.
    pub links: U32,
    /// Its user.
    pub user: U32,
    /// Its group.
    pub group: U32,
    /// Which device it is, major and minor.
    pub major: U32,
    /// See `major`.
    pub minor: U32,
}

/// What tells a file from others of this server, at any time.
pub type Identity = (u64, u64, i64, u32);

impl Attributes {
    /// Which file it is.
    pub fn identity(&self) -> Identity {
        (
            self.device.get(),
            self.inode.get(),
            self.made.seconds.get(),
            self.made.nanoseconds.get(),
        )
    }

    /// The type bits of the mode (S_IFMT).
    pub fn kind(&self) -> u32 {
        self.mode.get() & 0o170_000
    }

    /// From a Response.
    pub fn read(message: &Message) -> Result<Attributes, Errno> {
        Attributes::read_from_bytes(&message.segment).map_err(|_| Errno::PROTO)
    }
}

/// What [`Procedure::Change`] changes: 48 octets.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct Changes {
    /// Which members are meant: `SET_MODE` and so on.
    pub which: U32,
    /// Permissions; set-user-ID and set-group-ID are left out.
    pub mode: U32,
    /// User.
    pub user: U32,
    /// Group.
    pub group: U32,
    /// Octets: cut, or filled with zeroes.
    pub size: U64,
    /// When it was last read.
    pub accessed: Time,
    /// When its content was last changed.
    pub modified: Time,
}

/// What is told of the file system: 48 octets.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct Statistics {
    /// Blocks.
    pub blocks: U64,
    /// Free ones.
    pub free: U64,
    /// Free ones for users other than root.
    pub available: U64,
    /// Inodes.
    pub files: U64,
    /// Free ones.
    pub files_free: U64,
    /// Octets of a block.
    pub block_size: U32,
    /// Octets of a name at most.
    pub name_max: U32,
}

/// The head of an entry of a directory, which its name follows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EntryHead {
    inode: U64,
    cookie: U64,
    /// S_IFMT >> 12; 0 is unknown.
    kind: u8,
    reserved: u8,
    length: U16,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its inode number on the server.
    pub inode: u64,
    /// Where the directory goes on behind it.
    pub cookie: u64,
    /// The type bits of its mode; 0 is unknown.
    pub kind: u32,
    /// Its name.
    pub name: OsString,
}

impl Entry {
    /// Appends it if it fits within `limit` octets.
    pub fn write(&self, to: &mut Vec<u8>, limit: usize) -> bool {
        let name = self.name.as_bytes();
        let octets = size_of::<EntryHead>() + name.len();
        let Ok(length) = u16::try_from(name.len()) else {
            return false;
        };
        if to.len() + octets > limit {
            return false;
        }
        let head = EntryHead {
            inode: self.inode.into(),
            cookie: self.cookie.into(),
            kind: (self.kind >> 12) as u8,
            reserved: 0,
            length: length.into(),
        };
        to.extend_from_slice(head.as_bytes());
        to.extend_from_slice(name);
        true
    }

    /// Those of a Response.
    pub fn read_all(mut octets: &[u8]) -> Result<Vec<Entry>, Errno> {
        let mut entries = Vec::new();
        while !octets.is_empty() {
            let (head, rest) = EntryHead::read_from_prefix(octets).map_err(|_| Errno::PROTO)?;
            let length = usize::from(head.length.get());
            let (name, rest) = rest.split_at_checked(length).ok_or(Errno::PROTO)?;
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                return Err(Errno::PROTO);
            }
            entries.push(Entry {
                inode: head.inode.get(),
                cookie: head.cookie.get(),
                kind: u32::from(head.kind) << 12,
                name: OsString::from_vec(name.to_vec()),
            });
            octets = rest;
        }
        Ok(entries)
    }
}

/// Checks a path of a Request: relative, of names between single slashes.
pub fn path(octets: &[u8]) -> Result<&OsStr, Errno> {
    if octets.len() > PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    if !octets.is_empty() {
        for name in octets.split(|octet| *octet == b'/') {
            if matches!(name, b"" | b"." | b"..") || name.contains(&0) {
                return Err(Errno::INVAL);
            }
            if name.len() > NAME_MAX {
                return Err(Errno::NAMETOOLONG);
            }
        }
    }
    Ok(OsStr::from_bytes(octets))
}

/// The two texts of a segment, the first of this many octets.
pub fn two(segment: &[u8], first: u32) -> Result<(&[u8], &[u8]), Errno> {
    segment.split_at_checked(first as usize).ok_or(Errno::INVAL)
}

/// The Response code of an errno.
pub fn failure(errno: Errno) -> u32 {
    BASE | errno.raw_os_error().unsigned_abs() & 0xFFF
}

/// The errno of a Response code that is neither OK nor VMTP's own.
pub fn errno(code: u32) -> Option<Errno> {
    let number = code & 0xFFFF;
    let known = code & !0xFFFF == BASE && (1..4096).contains(&number);
    known.then(|| Errno::from_raw_os_error(number as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_104_octets_in_the_order_of_the_manual() {
        let attributes = Attributes {
            device: 1.into(),
            inode: 2.into(),
            made: Time {
                seconds: 3.into(),
                nanoseconds: 4.into(),
            },
            size: 5.into(),
            blocks: 6.into(),
            mode: 0o100_644.into(),
            minor: 9.into(),
            ..Default::default()
        };
        let octets = attributes.as_bytes();
        assert_eq!(octets.len(), 104);
        assert_eq!(octets[..8], [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(octets[16..28], [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4]);
        assert_eq!(octets[80..84], [0, 0, 0x81, 0xA4]);
        assert_eq!(octets[100..], [0, 0, 0, 9]);
        assert_eq!(size_of::<Changes>(), 48);
        assert_eq!(size_of::<Statistics>(), 48);
    }

    #[test]
    fn an_entry_is_20_octets_and_a_name() {
        let entry = Entry {
            inode: 0x0102,
            cookie: 0x0304,
            kind: 0o040_000,
            name: "dir".into(),
        };
        let mut octets = Vec::new();
        assert!(!entry.write(&mut octets, 22));
        assert!(entry.write(&mut octets, 23));
        let expected = b"\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x03\x04\x04\0\0\x03dir";
        assert_eq!(octets, expected);
        assert_eq!(Entry::read_all(expected), Ok(vec![entry]));
    }

    #[test]
    fn entries_that_are_cut_or_could_escape_are_refused() {
        let entry = |name: &[u8]| [&[0; 19], &[name.len() as u8][..], name].concat();
        assert!(Entry::read_all(&entry(b"name")).is_ok());
        for wrong in [
            &entry(b"")[..],
            &entry(b"a/b"),
            &entry(b"a\0"),
            &entry(b"name")[..22],
            &[0; 5],
        ] {
            assert_eq!(Entry::read_all(wrong), Err(Errno::PROTO), "{wrong:?}");
        }
    }

    #[test]
    fn paths_are_relative_and_plain() {
        for right in ["", "a", "a/b/c", "..a", "a../b", "..."] {
            assert!(path(right.as_bytes()).is_ok(), "{right}");
        }
        for wrong in [
            "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\0b",
        ] {
            assert_eq!(path(wrong.as_bytes()), Err(Errno::INVAL), "{wrong:?}");
        }
        assert_eq!(path(&[b'a'; 256]), Err(Errno::NAMETOOLONG));
        assert_eq!(path(&b"a/".repeat(3000)), Err(Errno::NAMETOOLONG));
    }

    #[test]
    fn an_errno_is_a_code_of_the_application() {
        assert_eq!(failure(Errno::NOENT), 0x81_0002);
        assert_eq!(errno(0x81_0002), Some(Errno::NOENT));
        for other in [0, 2, 0x81_0000, 0x81_1000, 0x80_0002, 0xFF_FFFF] {
            assert_eq!(errno(other), None, "{other:#x}");
        }
    }

    #[test]
    fn procedures_are_numbered_from_1() {
        for (number, procedure) in (1..).zip(Procedure::ALL) {
            assert_eq!(procedure.code(), 0x81_0000 + number);
            assert_eq!(Procedure::of(procedure.code()), Some(procedure));
        }
        assert_eq!(Procedure::of(0x81_0011), None);
        assert_eq!(Procedure::of(0x01_0001), None);
    }
}
