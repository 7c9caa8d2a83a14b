// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What must hold of an exported directory: nothing outside is reached, and inside only what may be done
//! is. Requests for it are [`service`](crate::service)'s, and tried there.

use super::*;
use std::os::unix::fs::{symlink, MetadataExt};

const RW: u32 = OPEN_READ | OPEN_WRITE;

struct Place {
    outer: tempfile::TempDir,
    export: Export,
}

/// An exported folder `in` beside a file `secret`, with everything that could lead to it.
fn place() -> Place {
    let outer = tempfile::tempdir().unwrap();
    let inside = outer.path().join("in");
    std::fs::create_dir_all(inside.join("dir/deep")).unwrap();
    std::fs::write(outer.path().join("secret"), "secret").unwrap();
    std::fs::write(inside.join("file"), "content").unwrap();
    symlink("../secret", inside.join("relative")).unwrap();
    symlink(outer.path().join("secret"), inside.join("absolute")).unwrap();
    symlink("..", inside.join("up")).unwrap();
    symlink("dir", inside.join("to-dir")).unwrap();
    let export = Export::new(&inside, false).unwrap();
    Place { outer, export }
}

fn os(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn no_path_and_no_link_leads_out() {
    let Place { outer, export } = place();
    let before = std::fs::metadata(outer.path().join("secret")).unwrap();
    // Paths that the protocol refuses before are refused here too.
    for path in [
        "../secret",
        "up/secret",
        "dir/../../secret",
        "/etc/passwd",
        "relative",
        "absolute",
    ] {
        let path = os(path);
        assert!(export.open(path, OPEN_READ, 0, 0).is_err(), "{path:?}");
        assert!(
            export
                .open(path, RW | OPEN_CREATE | OPEN_TRUNCATE, 0o600, 0)
                .is_err(),
            "{path:?}"
        );
        let cut = Changes {
            which: SET_SIZE.into(),
            ..Default::default()
        };
        assert!(export.change(path, None, &cut).is_err(), "{path:?}");
    }
    for path in ["up", "to-dir", "..", "up/in"] {
        assert!(export.list(os(path), 0, 4096).is_err(), "{path}");
    }
    for path in ["up/new", "to-dir/new", "../new"] {
        assert!(export.make_directory(os(path), 0o777).is_err(), "{path}");
        assert!(export.rename(os("file"), os(path), 0).is_err(), "{path}");
        assert!(export.link(os("file"), os(path)).is_err(), "{path}");
        assert!(export.make_symlink(os("x"), os(path)).is_err(), "{path}");
    }
    for path in ["up/secret", "../secret"] {
        assert!(export.remove(os(path)).is_err(), "{path}");
        assert!(export.rename(os(path), os("mine"), 0).is_err(), "{path}");
        assert!(export.link(os(path), os("mine")).is_err(), "{path}");
    }
    let after = std::fs::metadata(outer.path().join("secret")).unwrap();
    assert_eq!((before.ctime_nsec(), after.size()), (after.ctime_nsec(), 6));
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 2);
}

#[test]
fn what_is_changed_of_a_link_is_the_link() {
    let Place { outer, export } = place();
    let target = outer.path().join("secret");
    let changes = Changes {
        which: (SET_MODIFIED | SET_ACCESSED).into(),
        modified: Time {
            seconds: 5.into(),
            nanoseconds: 0.into(),
        },
        ..Default::default()
    };
    let attributes = export.change(os("relative"), None, &changes).unwrap();
    assert_eq!(
        (attributes.kind(), attributes.modified.seconds.get()),
        (0o120_000, 5)
    );
    assert_ne!(std::fs::metadata(&target).unwrap().mtime(), 5);
    let mode = Changes {
        which: SET_MODE.into(),
        mode: 0.into(),
        ..Default::default()
    };
    assert!(export.change(os("relative"), None, &mode).is_err());
    assert_ne!(std::fs::metadata(&target).unwrap().mode() & 0o777, 0);
    assert_eq!(export.read_symlink(os("relative")).unwrap(), b"../secret");
}

#[test]
fn a_read_only_export_changes_nothing() {
    let Place { outer, .. } = place();
    let export = Export::new(&outer.path().join("in"), true).unwrap();
    assert!(export.open(os("file"), OPEN_READ, 0, 0).is_ok());
    let change = Changes {
        which: SET_SIZE.into(),
        ..Default::default()
    };
    for result in [
        export.open(os("file"), RW, 0, 0).map(drop),
        export
            .open(os("file"), OPEN_READ | OPEN_TRUNCATE, 0, 0)
            .map(drop),
        export
            .open(os("new"), OPEN_READ | OPEN_CREATE, 0o600, 0)
            .map(drop),
        export.change(os("file"), None, &change).map(drop),
        export.make_directory(os("new"), 0o700).map(drop),
        export.remove(os("file")),
        export.remove_directory(os("dir/deep")),
        export.rename(os("file"), os("new"), 0),
        export.make_symlink(os("x"), os("new")).map(drop),
        export.link(os("file"), os("new")).map(drop),
    ] {
        assert_eq!(result, Err(Errno::ROFS));
    }
    assert_eq!(
        std::fs::read(outer.path().join("in/file")).unwrap(),
        b"content"
    );
}

#[test]
fn a_pipe_is_shown_and_not_opened() {
    let Place { outer, export } = place();
    let pipe = outer.path().join("in/pipe");
    fs::mknodat(fs::CWD, &pipe, fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert_eq!(export.attributes(os("pipe")).unwrap().kind(), 0o010_000);
    assert_eq!(
        export.open(os("pipe"), OPEN_READ, 0, 0).map(drop),
        Err(Errno::NXIO)
    );
    assert_eq!(
        export.open(os("dir"), OPEN_READ, 0, 0).map(drop),
        Err(Errno::ISDIR)
    );
    let changes = Changes {
        which: (SET_MODE | SET_MODIFIED).into(),
        mode: 0o640.into(),
        ..Default::default()
    };
    let changed = export.change(os("pipe"), None, &changes).unwrap();
    assert_eq!(
        (changed.mode.get(), changed.modified.seconds.get()),
        (0o010_640, 0)
    );
}

#[test]
fn a_file_that_was_made_for_an_answer_that_was_lost_is_known_again() {
    let Place {
        outer: _kept,
        export,
    } = place();
    let flags = RW | OPEN_CREATE | OPEN_EXCLUSIVE;
    let verifier = 0x1234_5678_0765_4321;
    let (_, first) = export.open(os("new"), flags, 0o644, verifier).unwrap();
    let (file, again) = export.open(os("new"), flags, 0o644, verifier).unwrap();
    assert_eq!(first.identity(), again.identity());
    assert_eq!(
        export.open(os("new"), flags, 0o644, 7).map(drop),
        Err(Errno::EXIST)
    );
    assert_eq!(
        export.open(os("new"), flags, 0o644, 0).map(drop),
        Err(Errno::EXIST)
    );
    rustix::io::write(&file, b"x").unwrap();
    assert_eq!(
        export.open(os("new"), flags, 0o644, verifier).map(drop),
        Err(Errno::EXIST)
    );
}

#[test]
fn nobody_gets_a_file_that_runs_as_somebody_else() {
    let Place {
        outer: _kept,
        export,
    } = place();
    let (file, made) = export.open(os("new"), RW | OPEN_CREATE, 0o6755, 0).unwrap();
    assert_eq!(made.mode.get() & 0o7000, 0);
    let mode = Changes {
        which: SET_MODE.into(),
        mode: 0o6750.into(),
        ..Default::default()
    };
    let changed = export.change(os(""), Some(&file), &mode).unwrap();
    assert_eq!(changed.mode.get() & 0o7777, 0o750);
    let changed = export.change(os("new"), None, &mode).unwrap();
    assert_eq!(changed.mode.get() & 0o7777, 0o750);
}

#[test]
fn a_directory_is_listed_in_pieces() {
    let Place { outer, export } = place();
    let many = outer.path().join("in/many");
    std::fs::create_dir(&many).unwrap();
    for number in 0..500 {
        std::fs::write(many.join(format!("name-{number}")), "").unwrap();
    }
    let (mut cookie, mut names) = (0, Vec::new());
    loop {
        let (octets, end) = export.list(os("many"), cookie, 1000).unwrap();
        assert!(octets.len() <= 1000);
        let entries = Entry::read_all(&octets).unwrap();
        if let Some(last) = entries.last() {
            cookie = last.cookie;
        }
        names.extend(entries.into_iter().map(|entry| entry.name));
        if end {
            break;
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 502); // with . and ..
    assert_eq!(export.list(os("many"), 0, 10).map(drop), Err(Errno::INVAL));
    assert_eq!(
        export.list(os("file"), 0, 4096).map(drop),
        Err(Errno::NOTDIR)
    );
}
