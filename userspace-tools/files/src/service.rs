// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The service: from a Request to its Response. It knows nothing of sockets.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use crate::export::{attributes_of, Export};
use crate::protocol::{halves, path, two, whole, Changes, Handle, Message, Procedure, DATA_MAX};

/// The most octets of a Response to [`Procedure::List`].
const LIST_MAX: usize = 1 << 16;

/// Serves one exported directory.
#[derive(Debug)]
pub struct Service {
    export: Export,
    handles: Handles,
    /// Another after each start of the host: what was not on the disk before is lost.
    pub(crate) boot: u64,
}

impl Service {
    /// Serves this with at most so many handles.
    pub fn new(export: Export, handles: usize) -> Service {
        Service {
            export,
            handles: Handles::new(handles),
            boot: boot(),
        }
    }

    /// Executes a Request of a host.
    pub fn answer(
        &self,
        host: Option<Ipv4Addr>,
        procedure: Procedure,
        words: [u32; 5],
        segment: &[u8],
    ) -> Result<Message, Errno> {
        let [a, b, c, d, count] = words;
        let handle = Handle(whole(a, b));
        let export = &self.export;
        match procedure {
            Procedure::Attributes if handle == Handle::default() => {
                attributes(export.attributes(path(segment)?)?)
            }
            Procedure::Attributes => attributes(attributes_of(self.handles.get(handle)?)?),
            Procedure::Open => {
                let (file, found) = export.open(path(segment)?, a, b, whole(c, d))?;
                let [high, low] = halves(self.handles.add(file, host)?.0);
                let [boot_high, boot_low] = halves(self.boot);
                Ok(Message {
                    words: [high, low, boot_high, boot_low, 0],
                    segment: found.as_bytes().to_vec(),
                })
            }
            Procedure::Close => {
                self.handles.remove(handle);
                Ok(Message::default())
            }
            Procedure::Read => {
                let file = self.handles.get(handle)?;
                read(&file, whole(c, d), (count as usize).min(DATA_MAX)).map(Message::segment)
            }
            Procedure::Write => {
                let file = self.handles.get(handle)?;
                let written = write(&file, whole(c, d), segment)?;
                Ok(Message::words([written, 0, 0, 0, 0]))
            }
            Procedure::Change => {
                let (changes, rest) =
                    Changes::read_from_prefix(segment).map_err(|_| Errno::INVAL)?;
                let file = match handle {
                    Handle(0) => None,
                    handle => Some(self.handles.get(handle)?),
                };
                attributes(export.change(path(rest)?, file.as_deref(), &changes)?)
            }
            Procedure::List => {
                let limit = (c as usize).min(LIST_MAX);
                let (entries, end) = export.list(path(segment)?, whole(a, b), limit)?;
                Ok(Message {
                    words: [u32::from(end), 0, 0, 0, 0],
                    segment: entries,
                })
            }
            Procedure::MakeDirectory => attributes(export.make_directory(path(segment)?, a)?),
            Procedure::Remove => export.remove(path(segment)?).map(done),
            Procedure::RemoveDirectory => export.remove_directory(path(segment)?).map(done),
            Procedure::Rename => {
                let (from, to) = two(segment, a)?;
                export.rename(path(from)?, path(to)?, b).map(done)
            }
            Procedure::MakeSymlink => {
                let (target, link) = two(segment, a)?;
                if target.is_empty() || target.contains(&0) {
                    return Err(Errno::INVAL);
                }
                attributes(export.make_symlink(OsStr::from_bytes(target), path(link)?)?)
            }
            Procedure::ReadSymlink => export.read_symlink(path(segment)?).map(Message::segment),
            Procedure::Link => {
                let (from, to) = two(segment, a)?;
                attributes(export.link(path(from)?, path(to)?)?)
            }
            Procedure::Synchronize => {
                let file = self.handles.get(handle)?;
                let synchronized = match c {
                    0 => rustix::fs::fsync(&file),
                    _ => rustix::fs::fdatasync(&file),
                };
                synchronized.map(done)
            }
            Procedure::Statistics => export
                .statistics()
                .map(|found| Message::segment(found.as_bytes())),
        }
    }
}

/// Half of the number that Linux gives to each of its starts, and 0 if it is not told: then a restart of
/// the host is taken for one of the server.
fn boot() -> u64 {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
    let half = digits.get(..16).unwrap_or_default();
    u64::from_str_radix(half, 16).unwrap_or_default()
}

fn attributes(found: crate::protocol::Attributes) -> Result<Message, Errno> {
    Ok(Message::segment(found.as_bytes()))
}

fn done((): ()) -> Message {
    Message::default()
}

fn read(file: &OwnedFd, offset: u64, count: usize) -> Result<Vec<u8>, Errno> {
    let mut data = vec![0; count];
    let mut filled = 0;
    while let Some(room) = data.get_mut(filled..).filter(|room| !room.is_empty()) {
        let at = offset.checked_add(filled as u64).ok_or(Errno::INVAL)?;
        match rustix::io::pread(file, room, at) {
            Ok(0) => break,
            Ok(octets) => filled += octets,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    data.truncate(filled);
    Ok(data)
}

/// Writes all of it, or as much as there is room for.
fn write(file: &OwnedFd, offset: u64, data: &[u8]) -> Result<u32, Errno> {
    let mut written = 0;
    while let Some(rest) = data.get(written..).filter(|rest| !rest.is_empty()) {
        let at = offset.checked_add(written as u64).ok_or(Errno::FBIG)?;
        match rustix::io::pwrite(file, rest, at) {
            Ok(0) => break,
            Ok(octets) => written += octets,
            Err(Errno::INTR) => {}
            Err(_) if written > 0 => break, // What follows has the error to itself.
            Err(errno) => return Err(errno),
        }
    }
    u32::try_from(written).map_err(|_| Errno::FBIG)
}

/// The open files, at most so many. When there is no room for another, the host that has most of them
/// loses the one that it has used least recently; it opens it again when it wants it.
#[derive(Debug)]
struct Handles {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Handle, Opened>,
    clock: u64,
}

#[derive(Debug)]
struct Opened {
    file: Arc<OwnedFd>,
    host: Option<Ipv4Addr>,
    used: u64,
}

impl Handles {
    fn new(most: usize) -> Handles {
        Handles {
            most: most.max(1),
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, handle: Handle) -> Result<Arc<OwnedFd>, Errno> {
        let table = &mut *self.lock();
        let opened = table.open.get_mut(&handle).ok_or(Errno::STALE)?;
        table.clock += 1;
        opened.used = table.clock;
        Ok(Arc::clone(&opened.file))
    }

    fn add(&self, file: OwnedFd, host: Option<Ipv4Addr>) -> Result<Handle, Errno> {
        let mut octets = [0; 8];
        let table = &mut *self.lock();
        let handle = loop {
            if rustix::rand::getrandom(&mut octets, rustix::rand::GetRandomFlags::empty())? < 8 {
                continue;
            }
            let handle = Handle(u64::from_ne_bytes(octets));
            if handle != Handle::default() && !table.open.contains_key(&handle) {
                break handle;
            }
        };
        while table.open.len() >= self.most {
            table.evict();
        }
        table.clock += 1;
        let opened = Opened {
            file: Arc::new(file),
            host,
            used: table.clock,
        };
        table.open.insert(handle, opened);
        Ok(handle)
    }

    fn remove(&self, handle: Handle) {
        let removed = self.lock().open.remove(&handle);
        drop(removed); // Closing may take its time, and is not under the lock.
    }
}

impl Table {
    fn evict(&mut self) {
        let mut counts: HashMap<Option<Ipv4Addr>, usize> = HashMap::new();
        for opened in self.open.values() {
            *counts.entry(opened.host).or_default() += 1;
        }
        let host = counts.into_iter().max_by_key(|(_, count)| *count);
        let oldest = self
            .open
            .iter()
            .filter(|(_, opened)| host.is_some_and(|(host, _)| opened.host == host))
            .min_by_key(|(_, opened)| opened.used)
            .map(|(handle, _)| *handle);
        if let Some(oldest) = oldest {
            self.open.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Attributes, OPEN_CREATE, OPEN_READ, OPEN_WRITE, SET_SIZE};

    fn service(handles: usize) -> (tempfile::TempDir, Service) {
        let folder = tempfile::tempdir().unwrap();
        let export = Export::new(folder.path(), false).unwrap();
        (folder, Service::new(export, handles))
    }

    const HOST: Option<Ipv4Addr> = Some(Ipv4Addr::new(10, 0, 0, 1));

    fn open(service: &Service, host: Option<Ipv4Addr>, name: &str) -> [u32; 2] {
        let flags = OPEN_READ | OPEN_WRITE | OPEN_CREATE;
        let answer = service
            .answer(
                host,
                Procedure::Open,
                [flags, 0o644, 0, 0, 0],
                name.as_bytes(),
            )
            .unwrap();
        [answer.words[0], answer.words[1]]
    }

    #[test]
    fn what_was_written_is_read() {
        let (folder, service) = service(4);
        let [high, low] = open(&service, HOST, "file");
        let written = service
            .answer(HOST, Procedure::Write, [high, low, 0, 3, 0], b"hello")
            .unwrap();
        assert_eq!(written.words[0], 5);
        assert_eq!(
            std::fs::read(folder.path().join("file")).unwrap(),
            b"\0\0\0hello"
        );
        let read = |offset, count| {
            service
                .answer(HOST, Procedure::Read, [high, low, 0, offset, count], b"")
                .unwrap()
                .segment
        };
        assert_eq!(read(4, 3), b"ell");
        assert_eq!(read(4, u32::MAX), b"ello");
        assert_eq!(read(8, 10), b"");
        let size = Changes {
            which: SET_SIZE.into(),
            size: 2.into(),
            ..Default::default()
        };
        let cut = service
            .answer(
                HOST,
                Procedure::Change,
                [high, low, 0, 0, 0],
                size.as_bytes(),
            )
            .unwrap();
        assert_eq!(Attributes::read(&cut).unwrap().size.get(), 2);
    }

    #[test]
    fn servers_of_one_start_of_a_host_say_the_same() {
        let ((_one, one), (_other, other)) = (service(4), service(4));
        assert_ne!(one.boot, 0);
        assert_eq!(one.boot, other.boot);
        let words = [OPEN_WRITE | OPEN_CREATE, 0o644, 0, 0, 0];
        let answer = one.answer(HOST, Procedure::Open, words, b"file").unwrap();
        assert_eq!(answer.words[2..4], halves(one.boot));
    }

    #[test]
    fn a_host_that_opens_too_much_loses_its_own_oldest() {
        let (_folder, service) = service(4);
        let other = open(&service, Some(Ipv4Addr::new(10, 0, 0, 9)), "other");
        let mine: Vec<_> = (0..4)
            .map(|number| open(&service, HOST, &number.to_string()))
            .collect();
        let alive = |[high, low]: [u32; 2]| {
            service
                .answer(HOST, Procedure::Attributes, [high, low, 0, 0, 0], b"")
                .map(drop)
        };
        assert_eq!(alive(other), Ok(()));
        assert_eq!(alive(mine[0]), Err(Errno::STALE));
        for handle in &mine[1..] {
            assert_eq!(alive(*handle), Ok(()));
        }
        for number in 0..100 {
            open(&service, HOST, &number.to_string());
        }
        assert_eq!(alive(other), Ok(()));
        assert_eq!(service.handles.lock().open.len(), 4);
    }

    #[test]
    fn malformed_requests_are_told_so() {
        let (folder, service) = service(4);
        let answer = |procedure, words, segment: &[u8]| {
            service.answer(HOST, procedure, words, segment).map(drop)
        };
        let zero = [0; 5];
        assert_eq!(answer(Procedure::Change, zero, &[0; 47]), Err(Errno::INVAL));
        assert_eq!(
            answer(Procedure::Rename, [9, 0, 0, 0, 0], b"a"),
            Err(Errno::INVAL)
        );
        assert_eq!(
            answer(Procedure::Rename, [1, 4, 0, 0, 0], b"ab"),
            Err(Errno::INVAL)
        );
        assert_eq!(
            answer(Procedure::MakeSymlink, zero, b"name"),
            Err(Errno::INVAL)
        );
        assert_eq!(
            answer(Procedure::MakeSymlink, [u32::MAX, 0, 0, 0, 0], b"name"),
            Err(Errno::INVAL)
        );
        assert_eq!(answer(Procedure::Open, zero, b"file"), Err(Errno::INVAL));
        assert_eq!(
            answer(Procedure::Read, [1, 2, 0, 0, 5], b""),
            Err(Errno::STALE)
        );
        assert_eq!(answer(Procedure::Remove, zero, b""), Err(Errno::BUSY));
        assert_eq!(
            answer(Procedure::MakeDirectory, zero, b""),
            Err(Errno::EXIST)
        );
        assert_eq!(answer(Procedure::Remove, zero, b"../x"), Err(Errno::INVAL));
        let [high, low] = open(&service, HOST, "file");
        let end = [high, low, u32::MAX, u32::MAX, 5];
        assert_eq!(answer(Procedure::Read, end, b""), Err(Errno::INVAL));
        assert_eq!(answer(Procedure::Write, end, b"xy"), Err(Errno::INVAL));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// Whatever comes, of every procedure: nothing outside changes, and the server is there afterwards.
    #[test]
    fn any_octets_do_no_harm() {
        let outer = tempfile::tempdir().unwrap();
        let inside = outer.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(outer.path().join("secret"), "secret").unwrap();
        let service = Service::new(Export::new(&inside, false).unwrap(), 8);
        let mut state = 1_u64;
        let mut next = move || {
            // SplitMix64
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (mixed ^ mixed >> 27) as u32
        };
        let alphabet = [b"/", b".", b".", b"a", b"b", b"\0", b"s"];
        for _ in 0..20_000 {
            let procedure = Procedure::ALL[next() as usize % Procedure::ALL.len()];
            let words = std::array::from_fn(|_| match next() % 3 {
                0 => next(),
                1 => next() % 8,
                _ => 0,
            });
            let segment: Vec<u8> = (0..next() % 60)
                .flat_map(|_| alphabet[next() as usize % alphabet.len()])
                .copied()
                .collect();
            if let Ok(answer) = service.answer(HOST, procedure, words, &segment) {
                assert!(answer.segment.len() <= DATA_MAX);
            }
        }
        assert_eq!(
            std::fs::read(outer.path().join("secret")).unwrap(),
            b"secret"
        );
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 2);
        assert!(service
            .answer(HOST, Procedure::Statistics, [0; 5], b"")
            .is_ok());
    }
}
