// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The client: each procedure as a method, repeated until the server answers.
//!
//! VMTP executes a Request at most once, but a server that is started again has forgotten what it
//! executed. A call that was not answered is made again for a while, and what a first one may have done
//! is taken for done: the directory that is there, the name that is gone. What became of a renaming is
//! looked at before it is tried again.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use crate::protocol::{
    halves, whole, Attributes, Changes, Entry, Handle, Identity, Message, Procedure, Statistics,
    DATA_MAX, OPEN_CREATE, OPEN_EXCLUSIVE, PATH_MAX, SET_ACCESSED, SET_ACCESSED_NOW, SET_MODIFIED,
    SET_MODIFIED_NOW,
};
use crate::transport::{Failure, Transport};

type Result<T> = std::result::Result<T, Errno>;

/// How long it is waited before a call is made again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Octets of a piece of a directory: one packet group.
const LIST_PIECE: u32 = 16 * 1024;

/// renameat2's: each gets the name of the other.
const RENAME_EXCHANGE: u32 = 2;

/// A server's files.
#[derive(Debug)]
pub struct Files<T> {
    pub(crate) transport: T,
    patience: Duration,
}

/// A file as the server opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// What the server calls it.
    pub handle: Handle,
    /// Which start of the server's host it was: what was written in an earlier one and not synchronized
    /// may be lost.
    pub boot: u64,
    /// What it was then.
    pub attributes: Attributes,
}

/// What was asked for, and whether an earlier try may have done it.
struct Outcome {
    result: Result<Message>,
    repeated: bool,
}

impl<T: Transport> Files<T> {
    /// Files by way of this transport. A server that does not answer is waited for so long; then calls
    /// fail with ETIMEDOUT.
    pub fn new(transport: T, patience: Duration) -> Files<T> {
        Files {
            transport,
            patience,
        }
    }

    /// One transaction, without a second try: whether the server is there.
    pub fn probe(&self) -> std::result::Result<Attributes, Failure> {
        let answer =
            self.transport
                .call(Procedure::Attributes, [0; 5], &[], PATH_MAX, self.patience)?;
        Attributes::read(&answer).map_err(Failure::Answered)
    }

    fn call(&self, procedure: Procedure, words: [u32; 5], segment: &[u8], room: usize) -> Outcome {
        let end = Instant::now() + self.patience;
        self.call_unless(end, procedure, words, segment, room, || Ok(false))
    }

    /// `was_done` is asked before a call is made again whether an earlier try was executed. The last one
    /// ends at `end`.
    fn call_unless(
        &self,
        end: Instant,
        procedure: Procedure,
        words: [u32; 5],
        segment: &[u8],
        room: usize,
        was_done: impl Fn() -> Result<bool>,
    ) -> Outcome {
        let (mut pause, longest) = PAUSE;
        let mut repeated = false;
        loop {
            let limit = end.saturating_duration_since(Instant::now());
            let result = match self.transport.call(procedure, words, segment, room, limit) {
                Ok(message) => Ok(message),
                Err(Failure::Answered(errno)) => Err(errno),
                Err(Failure::Local(error)) => {
                    Err(Errno::from_raw_os_error(error.errno().unwrap_or(5)))
                }
                Err(Failure::Unheard(_)) if Instant::now() + pause < end => {
                    repeated = true;
                    thread::sleep(pause);
                    pause = (pause * 2).min(longest);
                    match was_done() {
                        Ok(false) => continue,
                        Ok(true) => Ok(Message::default()),
                        Err(errno) => Err(errno),
                    }
                }
                Err(Failure::Unheard(_)) => Err(Errno::TIMEDOUT),
            };
            return Outcome { result, repeated };
        }
    }

    fn short(&self, procedure: Procedure, words: [u32; 5], segment: &[u8]) -> Outcome {
        self.call(procedure, words, segment, PATH_MAX)
    }

    /// What a path names.
    pub fn attributes(&self, path: &OsStr) -> Result<Attributes> {
        let path = path.as_bytes();
        Attributes::read(&self.short(Procedure::Attributes, [0; 5], path).result?)
    }

    /// What an open file is.
    pub fn attributes_of(&self, Handle(handle): Handle) -> Result<Attributes> {
        let [high, low] = halves(handle);
        let words = [high, low, 0, 0, 0];
        Attributes::read(&self.short(Procedure::Attributes, words, &[]).result?)
    }

    /// Opens a file; `flags` are `OPEN_READ` and so on.
    pub fn open(&self, path: &OsStr, flags: u32, mode: u32) -> Result<Open> {
        let exclusive = flags & OPEN_CREATE != 0 && flags & OPEN_EXCLUSIVE != 0;
        let [c, d] = if exclusive { verifier()? } else { [0; 2] };
        let words = [flags, mode, c, d, 0];
        let answer = self.short(Procedure::Open, words, path.as_bytes()).result?;
        let [high, low, boot_high, boot_low, _] = answer.words;
        let handle = Handle(whole(high, low));
        let boot = whole(boot_high, boot_low);
        let mut attributes = Attributes::read(&answer)?;
        if exclusive {
            // The times were the verifier, by which a file made by an unanswered try is known.
            let which = SET_ACCESSED | SET_ACCESSED_NOW | SET_MODIFIED | SET_MODIFIED_NOW;
            let changes = Changes {
                which: which.into(),
                ..Default::default()
            };
            // The file is made: that it has other times than it should is no failure of that.
            attributes = match self.change(path, handle, &changes) {
                Err(Errno::STALE) => self.change(path, Handle::default(), &changes),
                result => result,
            }
            .unwrap_or(attributes);
        }
        Ok(Open {
            handle,
            boot,
            attributes,
        })
    }

    /// The handle is not needed any more. The server finds that out by itself too.
    pub fn close(&self, Handle(handle): Handle) -> Result<()> {
        let [high, low] = halves(handle);
        let words = [high, low, 0, 0, 0];
        self.short(Procedure::Close, words, &[]).result.map(drop)
    }

    /// Up to `count` octets, fewer at the end of the file, or of [`DATA_MAX`].
    pub fn read(&self, Handle(handle): Handle, offset: u64, count: u32) -> Result<Vec<u8>> {
        let ([a, b], [c, d]) = (halves(handle), halves(offset));
        let room = (count as usize).min(DATA_MAX);
        let words = [a, b, c, d, count];
        let answer = self.call(Procedure::Read, words, &[], room).result?;
        Ok(answer.segment)
    }

    /// Writes at most [`DATA_MAX`] octets: how many.
    pub fn write(&self, Handle(handle): Handle, offset: u64, data: &[u8]) -> Result<u32> {
        let ([a, b], [c, d]) = (halves(handle), halves(offset));
        let data = data.get(..data.len().min(DATA_MAX)).unwrap_or_default();
        let words = [a, b, c, d, 0];
        let [written, ..] = self.short(Procedure::Write, words, data).result?.words;
        Ok(written.min(data.len() as u32))
    }

    /// Changes what `changes` says, of an open file or, with handle 0, of what the path names.
    pub fn change(
        &self,
        path: &OsStr,
        Handle(handle): Handle,
        changes: &Changes,
    ) -> Result<Attributes> {
        let [a, b] = halves(handle);
        let path = if handle == 0 { path.as_bytes() } else { &[] };
        let segment = [changes.as_bytes(), path].concat();
        Attributes::read(
            &self
                .short(Procedure::Change, [a, b, 0, 0, 0], &segment)
                .result?,
        )
    }

    /// Entries of a directory behind the one with this cookie (0: from the start), and whether it ends
    /// with them.
    pub fn list(&self, path: &OsStr, cookie: u64) -> Result<(Vec<Entry>, bool)> {
        let [a, b] = halves(cookie);
        let words = [a, b, LIST_PIECE, 0, 0];
        let room = LIST_PIECE as usize;
        let answer = self
            .call(Procedure::List, words, path.as_bytes(), room)
            .result?;
        let [end, ..] = answer.words;
        let entries = Entry::read_all(&answer.segment)?;
        if entries.is_empty() && end == 0 {
            return Err(Errno::PROTO); // It would be asked for ever.
        }
        Ok((entries, end != 0))
    }

    /// Makes a directory.
    pub fn make_directory(&self, path: &OsStr, mode: u32) -> Result<Attributes> {
        let words = [mode, 0, 0, 0, 0];
        let outcome = self.short(Procedure::MakeDirectory, words, path.as_bytes());
        if outcome.was_done(Errno::EXIST) {
            let there = self.attributes(path)?;
            return if there.kind() == 0o040_000 {
                Ok(there)
            } else {
                Err(Errno::EXIST)
            };
        }
        Attributes::read(&outcome.result?)
    }

    /// Removes what is no directory.
    pub fn remove(&self, path: &OsStr) -> Result<()> {
        self.remove_by(Procedure::Remove, path)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, path: &OsStr) -> Result<()> {
        self.remove_by(Procedure::RemoveDirectory, path)
    }

    fn remove_by(&self, procedure: Procedure, path: &OsStr) -> Result<()> {
        let outcome = self.short(procedure, [0; 5], path.as_bytes());
        if outcome.was_done(Errno::NOENT) {
            return Ok(());
        }
        outcome.result.map(drop)
    }

    /// Gives something another path; `flags` are renameat2's.
    pub fn rename(&self, from: &OsStr, to: &OsStr, flags: u32) -> Result<()> {
        let words = [length(from)?, flags, 0, 0, 0];
        // Of what is there now nobody can say whether it was renamed, if it is not known what it was.
        let end = Instant::now() + self.patience;
        let source = self.identity(end, from)?.ok_or(Errno::NOENT)?;
        let target = match flags & RENAME_EXCHANGE {
            0 => None,
            _ => self.identity(end, to)?,
        };
        let was_done = || {
            let there = self.identity(end, to)?;
            let here = self.identity(end, from)?;
            // Of two names of one file nothing tells, and nothing would be done.
            Ok(there == Some(source) && here != there && (target.is_none() || here == target))
        };
        let segment = join(from, to);
        let (procedure, room) = (Procedure::Rename, PATH_MAX);
        self.call_unless(end, procedure, words, &segment, room, was_done)
            .result
            .map(drop)
    }

    /// Which file a path names, if any.
    fn identity(&self, end: Instant, path: &OsStr) -> Result<Option<Identity>> {
        let (procedure, path) = (Procedure::Attributes, path.as_bytes());
        let outcome = self.call_unless(end, procedure, [0; 5], path, PATH_MAX, || Ok(false));
        match outcome.result {
            Ok(message) => Ok(Some(Attributes::read(&message)?.identity())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Makes a symbolic link.
    pub fn make_symlink(&self, target: &OsStr, path: &OsStr) -> Result<Attributes> {
        let words = [length(target)?, 0, 0, 0, 0];
        let outcome = self.short(Procedure::MakeSymlink, words, &join(target, path));
        if outcome.was_done(Errno::EXIST) {
            return if self.read_symlink(path)? == target {
                self.attributes(path)
            } else {
                Err(Errno::EXIST)
            };
        }
        Attributes::read(&outcome.result?)
    }

    /// The target of a symbolic link.
    pub fn read_symlink(&self, path: &OsStr) -> Result<OsString> {
        let answer = self.short(Procedure::ReadSymlink, [0; 5], path.as_bytes());
        Ok(OsString::from_vec(answer.result?.segment))
    }

    /// Gives a file a further name.
    pub fn link(&self, from: &OsStr, to: &OsStr) -> Result<Attributes> {
        let words = [length(from)?, 0, 0, 0, 0];
        let outcome = self.short(Procedure::Link, words, &join(from, to));
        if outcome.was_done(Errno::EXIST) {
            let there = self.attributes(to)?;
            return if there.identity() == self.attributes(from)?.identity() {
                Ok(there)
            } else {
                Err(Errno::EXIST)
            };
        }
        Attributes::read(&outcome.result?)
    }

    /// What was written is on the disk.
    pub fn synchronize(&self, Handle(handle): Handle, data_only: bool) -> Result<()> {
        let [a, b] = halves(handle);
        let words = [a, b, u32::from(data_only), 0, 0];
        self.short(Procedure::Synchronize, words, &[])
            .result
            .map(drop)
    }

    /// Statistics of the file system.
    pub fn statistics(&self) -> Result<Statistics> {
        let answer = self.short(Procedure::Statistics, [0; 5], &[]).result?;
        Statistics::read_from_bytes(&answer.segment).map_err(|_| Errno::PROTO)
    }
}

impl Outcome {
    /// Whether this error says that an earlier try was executed, though nobody said so.
    fn was_done(&self, sign: Errno) -> bool {
        self.repeated && matches!(&self.result, Err(errno) if *errno == sign)
    }
}

fn length(text: &OsStr) -> Result<u32> {
    u32::try_from(text.len()).map_err(|_| Errno::NAMETOOLONG)
}

fn join(first: &OsStr, second: &OsStr) -> Vec<u8> {
    [first.as_bytes(), second.as_bytes()].concat()
}

/// 62 random bits, 31 in each word, and not none.
fn verifier() -> Result<[u32; 2]> {
    let mut octets = [0; 8];
    rustix::rand::getrandom(&mut octets, rustix::rand::GetRandomFlags::empty())?;
    let [high, low] = halves(u64::from_ne_bytes(octets));
    Ok([high & 0x7FFF_FFFF | 1, low & 0x7FFF_FFFF])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direct::{files, Direct, Mishap};
    use crate::protocol::{OPEN_READ, OPEN_WRITE};
    use std::sync::atomic::Ordering;

    const RW: u32 = OPEN_READ | OPEN_WRITE;

    #[test]
    fn what_was_executed_before_the_server_died_is_no_error() {
        let files = files();
        let [dir, link, file, other] = ["dir", "link", "file", "other"].map(OsStr::new);
        files.dies_unheard().make_directory(dir, 0o755).unwrap();
        files.dies_unheard().make_symlink(dir, link).unwrap();
        let exclusive = RW | OPEN_CREATE | OPEN_EXCLUSIVE;
        let open = files.dies_unheard().open(file, exclusive, 0o644).unwrap();
        assert_eq!(files.write(open.handle, 0, b"text").unwrap(), 4);
        files.dies_unheard().link(file, other).unwrap();
        files.dies_unheard().remove(other).unwrap();
        files.dies_unheard().rename(file, other, 0).unwrap();
        files.dies_unheard().remove_directory(dir).unwrap();
        let (names, end) = files.list(OsStr::new(""), 0).unwrap();
        let mut names: Vec<_> = names.into_iter().map(|entry| entry.name).collect();
        names.sort();
        assert_eq!(
            (names, end),
            (
                [".", "..", "link", "other"].map(OsString::from).to_vec(),
                true
            )
        );
    }

    /// A server on which these files are, each with its name in it.
    fn files_with(names: &[&str]) -> Files<Direct> {
        let files = files();
        for name in names {
            std::fs::write(files.at(name), name).unwrap();
        }
        files
    }

    fn text(files: &Files<Direct>, name: &str) -> Option<String> {
        std::fs::read_to_string(files.at(name)).ok()
    }

    const NOREPLACE: u32 = 1;

    #[test]
    fn a_renaming_that_was_executed_unheard_is_not_made_again() {
        let [a, b] = ["a", "b"].map(OsStr::new);
        let files = files_with(&["a", "b"]);
        let exchanged = files
            .meets(Procedure::Rename, Mishap::Unheard)
            .rename(a, b, 2);
        assert_eq!(exchanged, Ok(()));
        assert_eq!(text(&files, "a").as_deref(), Some("b"));
        assert_eq!(text(&files, "b").as_deref(), Some("a"));
        for flags in [0, NOREPLACE] {
            let files = files_with(&["a"]);
            let renamed = files
                .meets(Procedure::Rename, Mishap::Unheard)
                .rename(a, b, flags);
            assert_eq!(renamed, Ok(()), "{flags}");
            assert_eq!(text(&files, "b").as_deref(), Some("a"));
        }
        // Two names of one file: nothing is done, and with NOREPLACE that is an error.
        let files = files_with(&["a"]);
        files.link(a, b).unwrap();
        for (flags, expected) in [(0, Ok(())), (2, Ok(())), (NOREPLACE, Err(Errno::EXIST))] {
            let renamed = files
                .meets(Procedure::Rename, Mishap::Unheard)
                .rename(a, b, flags);
            assert_eq!(renamed, expected, "{flags}");
        }
    }

    #[test]
    fn a_renaming_of_what_others_removed_is_none() {
        let [a, b] = ["a", "b"].map(OsStr::new);
        let files = files_with(&["a", "b"]);
        files.meets(Procedure::Rename, Mishap::Removed("a"));
        assert_eq!(files.rename(a, b, 0), Err(Errno::NOENT));
        assert_eq!(text(&files, "b").as_deref(), Some("b"));
    }

    #[test]
    fn a_file_that_was_made_is_had_also_if_its_times_cannot_be_set() {
        let files = files();
        let exclusive = RW | OPEN_CREATE | OPEN_EXCLUSIVE;
        files.meets(Procedure::Change, Mishap::Forgotten);
        let open = files.open(OsStr::new("f"), exclusive, 0o644).unwrap();
        assert!(open.attributes.modified.seconds.get() > 1 << 30);
        let age = std::fs::metadata(files.at("f")).unwrap().modified();
        assert!(age.unwrap().elapsed().unwrap() < Duration::from_secs(60));
    }

    #[test]
    fn what_others_did_stays_an_error() {
        let files = files();
        let [dir, link, file] = ["dir", "link", "file"].map(OsStr::new);
        files.make_directory(dir, 0o755).unwrap();
        files.make_symlink(OsStr::new("elsewhere"), link).unwrap();
        assert_eq!(files.make_directory(dir, 0o755), Err(Errno::EXIST));
        assert_eq!(files.remove(file), Err(Errno::NOENT));
        assert_eq!(
            files.dies_unheard().make_directory(link, 0o755),
            Err(Errno::EXIST)
        );
        assert_eq!(
            files.dies_unheard().make_symlink(dir, link),
            Err(Errno::EXIST)
        );
        let exclusive = RW | OPEN_CREATE | OPEN_EXCLUSIVE;
        files.open(file, exclusive, 0o644).unwrap();
        let again = files.dies_unheard().open(file, exclusive, 0o644);
        assert_eq!(again.map(drop), Err(Errno::EXIST));
        assert_eq!(
            files
                .dies_unheard()
                .rename(OsStr::new("none"), OsStr::new("new"), 0),
            Err(Errno::NOENT)
        );
    }

    #[test]
    fn the_times_of_a_new_file_are_not_its_verifier() {
        let files = files();
        let before = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let made = files
            .open(OsStr::new("f"), RW | OPEN_CREATE | OPEN_EXCLUSIVE, 0o644)
            .unwrap()
            .attributes;
        for time in [made.accessed, made.modified] {
            assert!(
                (time.seconds.get() - before.as_secs() as i64).abs() < 60,
                "{time:?}"
            );
        }
    }

    #[test]
    fn a_handle_of_an_earlier_server_is_stale() {
        let files = files();
        let file = OsStr::new("file");
        let open = files.open(file, RW | OPEN_CREATE, 0o644).unwrap();
        assert_eq!(
            files.dies_unheard().write(open.handle, 0, b"x"),
            Err(Errno::STALE)
        );
        assert_eq!(files.attributes(file).unwrap().size.get(), 1);
    }

    #[test]
    fn patience_has_an_end() {
        let mut files = files();
        files.patience = Duration::from_millis(300);
        files.transport.silent.store(true, Ordering::Relaxed);
        assert_eq!(files.attributes(OsStr::new("")), Err(Errno::TIMEDOUT));
        // Also for a server that takes the Request and says nothing: each try has the rest.
        let limit = files.transport.limit.load(Ordering::Relaxed);
        assert!((1..300).contains(&limit), "{limit}");
    }
}
