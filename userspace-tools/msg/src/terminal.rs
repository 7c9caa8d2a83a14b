// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where a message is shown: on which terminals of this host, and who refuses.
//!
//! A terminal is a user's if he owns its device and the group `tty` has it, as login makes it. A serial
//! line to which something else is attached is in another group. `mesg n` takes the group's permission
//! to write away, and then nothing is written there, whoever asks.
//!
//! Pseudo-terminals are there as long as somebody has them. Screens and serial lines always are, most
//! of them root's: there it is also asked that a login has made the processes whose terminal it is.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::OFlag;
use nix::sys::stat::makedev;
use nix::sys::termios::{tcgetattr, InputFlags};
use nix::unistd::{Group, User};

use crate::message::{clean_line, clean_text, to_utf8, Acknowledgement, Message, Version};

/// The permission that `mesg` gives and takes.
const GROUP_MAY_WRITE: u32 = 0o020;
/// The group of terminals.
const GROUP: &str = "tty";
/// How long the terminals of a message together may not take what is written.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where devices are, and which is the console.
#[derive(Clone, Debug)]
pub struct Terminals {
    /// The folder of devices, /dev.
    pub devices: PathBuf,
    /// What is written to for nobody in particular.
    pub console: PathBuf,
    /// Where processes are, /proc.
    pub processes: PathBuf,
}

impl Default for Terminals {
    fn default() -> Terminals {
        Terminals {
            devices: "/dev".into(),
            console: "/dev/console".into(),
            processes: "/proc".into(),
        }
    }
}

/// A terminal that belongs to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terminal {
    path: PathBuf,
    owner: u32,
    accepts: bool,
    used: Option<SystemTime>,
}

/// Where a message is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// Whose terminal it is to be; the console may be anything.
    owner: Option<u32>,
}

impl Terminals {
    /// Shows a message where it is meant for, and says where that was or why it was not.
    pub fn deliver(&self, message: &Message, from: &str) -> Acknowledgement {
        let result = if message.text.is_empty() {
            Err("the message is empty".to_owned())
        } else {
            self.choose(message)
                .and_then(|chosen| self.write(&chosen, message, from))
        };
        Acknowledgement {
            delivered: result.is_ok(),
            explanation: crate::message::from_utf8(&result.unwrap_or_else(|why| why)),
        }
    }

    /// The terminals that a message is for (RFC 1312, RECIPIENT and RECIP-TERM; RFC 1159).
    fn choose(&self, message: &Message) -> Result<Vec<Place>, String> {
        let name = to_utf8(&clean_line(&message.recipient));
        let terminal = to_utf8(&clean_line(&message.terminal));
        // RFC 1159: without a user it is for the console, whatever the terminal.
        let console = terminal.is_empty() || message.version == Version::A;
        if name.is_empty() && console {
            return Ok(vec![Place {
                path: self.console.clone(),
                owner: None,
            }]);
        }
        let owner = match name.is_empty() {
            true => None,
            false => Some(user(&name).ok_or_else(|| format!("there is no user {name}"))?),
        };
        let mut candidates = self.all(owner);
        if candidates.is_empty() && owner.is_some() {
            return Err(format!("{name} is not logged in"));
        }
        if !terminal.is_empty() && terminal != "*" {
            candidates.retain(|candidate| self.is_called(candidate, &terminal));
            if candidates.is_empty() {
                return Err(format!("there is no terminal {terminal} of theirs"));
            }
        }
        candidates.retain(|candidate| candidate.accepts);
        if candidates.is_empty() {
            let who = if name.is_empty() { &terminal } else { &name };
            return Err(format!("{who} does not accept messages"));
        }
        if terminal != "*" {
            // The right terminal is the one that was used last, as write(1) has it.
            candidates.sort_by_key(|candidate| candidate.used);
            candidates.drain(..candidates.len().saturating_sub(1));
        }
        Ok(candidates
            .into_iter()
            .map(|candidate| Place {
                path: candidate.path,
                owner: Some(candidate.owner),
            })
            .collect())
    }

    /// `pts/3`, `/dev/pts/3` and in any case of letters.
    fn is_called(&self, terminal: &Terminal, name: &str) -> bool {
        let path = terminal.path.to_string_lossy();
        let short = self.short(&terminal.path);
        name.eq_ignore_ascii_case(&path) || name.eq_ignore_ascii_case(&short)
    }

    fn short(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.devices).unwrap_or(path);
        path.to_string_lossy().into_owned()
    }

    /// Pseudo-terminals, screens and serial lines where somebody is, of all or of one user.
    fn all(&self, owner: Option<u32>) -> Vec<Terminal> {
        let logins = self.logins();
        let fixed = fs::read_dir(&self.devices).into_iter().flatten();
        let pseudo = fs::read_dir(self.devices.join("pts")).into_iter().flatten();
        let fixed = fixed.flatten().filter(|entry| {
            let name = entry.file_name();
            let is_tty = name
                .to_string_lossy()
                .strip_prefix("tty")
                .is_some_and(|rest| !rest.is_empty());
            is_tty
                && entry
                    .metadata()
                    .is_ok_and(|about| logins.contains(&(about.rdev(), about.uid())))
        });
        let pseudo = pseudo.flatten().filter(|entry| {
            let name = entry.file_name();
            name.to_string_lossy()
                .bytes()
                .all(|octet| octet.is_ascii_digit())
        });
        fixed
            .chain(pseudo)
            .filter_map(|entry| {
                let about = entry.metadata().ok()?;
                is_terminal(&about).then(|| Terminal {
                    path: entry.path(),
                    owner: about.uid(),
                    accepts: accepts(&about),
                    used: about.accessed().ok(),
                })
            })
            .filter(|terminal| owner.is_none_or(|owner| terminal.owner == owner))
            .collect()
    }

    /// The terminals of processes that come from a login, and whose login it was. A prompt at which
    /// nobody has logged in yet comes from none.
    fn logins(&self) -> HashSet<(u64, u32)> {
        let processes = fs::read_dir(&self.processes).into_iter().flatten();
        processes
            .flatten()
            .filter_map(|process| {
                let read = |name| fs::read(process.path().join(name)).ok();
                let login = String::from_utf8(read("loginuid")?).ok()?;
                Some((terminal_of(&read("stat")?)?, login.trim().parse().ok()?))
            })
            .collect()
    }

    /// Writes to each; good if one is written to. However many are stopped, it is done in time.
    fn write(&self, chosen: &[Place], message: &Message, from: &str) -> Result<String, String> {
        let (mut written, mut trouble) = (Vec::new(), String::new());
        let end = Instant::now() + PATIENCE;
        for place in chosen {
            let path = &place.path;
            match show(place, message, from, end) {
                Ok(()) => written.push(self.short(path)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    trouble = format!("{} is stopped", self.short(path));
                }
                Err(error) => trouble = format!("{}: {error}", self.short(path)),
            }
        }
        match written.is_empty() {
            true => Err(trouble),
            false => Ok(format!("delivered to {}", written.join(", "))),
        }
    }
}

/// The number of a user whose name is this, or this in small letters.
fn user(name: &str) -> Option<u32> {
    let find = |name: &str| User::from_name(name).ok().flatten();
    find(name)
        .or_else(|| find(&name.to_lowercase()))
        .map(|user| user.uid.as_raw())
}

/// Whether a device is a terminal that login made somebody's.
fn is_terminal(about: &Metadata) -> bool {
    let group = Group::from_name(GROUP).ok().flatten();
    about.file_type().is_char_device()
        && group.is_some_and(|group| group.gid.as_raw() == about.gid())
}

fn accepts(about: &Metadata) -> bool {
    about.mode() & GROUP_MAY_WRITE != 0
}

/// The device number of a process's terminal, from its /proc/PID/stat (proc_pid_stat(5)).
fn terminal_of(stat: &[u8]) -> Option<u64> {
    // The name, in parentheses, may be anything.
    let end = stat.iter().rposition(|octet| *octet == b')')?;
    let fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let number: i32 = fields.split_whitespace().nth(4)?.parse().ok()?;
    let number = number as u32;
    let major = number >> 8 & 0xFFF;
    let minor = number & 0xFF | number >> 12 & 0xF_FF00;
    (number != 0).then(|| makedev(major.into(), minor.into()))
}

/// Writes a message to a terminal, without waiting beyond the end for one that is stopped.
fn show(place: &Place, message: &Message, from: &str, end: Instant) -> std::io::Result<()> {
    let mut terminal = OpenOptions::new()
        .append(true) // for a console that is a file
        .custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits())
        .open(&place.path)?;
    // Between choosing and opening it may have become another's.
    let about = terminal.metadata()?;
    let is_theirs = |owner| about.uid() == owner && is_terminal(&about) && accepts(&about);
    if !place.owner.is_none_or(is_theirs) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    let text = compose(message, from);
    let octets = if is_utf8(&terminal) {
        to_utf8(&text).into_bytes()
    } else {
        text
    };
    let mut rest = octets.as_slice();
    while !rest.is_empty() {
        match terminal.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(octets) => rest = rest.get(octets..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            // Somebody else is writing, or it is stopped.
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                thread::sleep(PATIENCE / 50);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a terminal says that it takes UTF-8. In one that does, ISO 8859/1 would be unreadable; in
/// one that does not, the octets of UTF-8 could be control characters.
fn is_utf8(terminal: &File) -> bool {
    tcgetattr(terminal).is_ok_and(|settings| settings.input_flags.contains(InputFlags::IUTF8))
}

/// What is shown, in ISO 8859/1: who says it from where, and the text. `from` is the host.
fn compose(message: &Message, from: &str) -> Vec<u8> {
    let mut shown = b"\r\n\x07Message from ".to_vec();
    match clean_line(&message.sender) {
        sender if sender.is_empty() => shown.extend_from_slice(b"somebody"),
        sender => shown.extend(sender),
    }
    shown.push(b'@');
    shown.extend(clean_line(from.as_bytes()));
    match clean_line(&message.sender_terminal) {
        terminal if terminal.is_empty() => (),
        terminal => {
            shown.extend_from_slice(b" on ");
            shown.extend(terminal);
        }
    }
    shown.extend_from_slice(b":\r\n");
    shown.extend(clean_text(&message.text));
    shown.extend_from_slice(b"\r\n");
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;
    use nix::sys::termios::{tcflow, FlowArg};
    use nix::unistd::ttyname;

    #[test]
    fn what_is_shown_has_no_control_character_of_the_message() {
        let bad: Vec<u8> = (1..=255).collect();
        let message = Message {
            text: bad.clone(),
            sender: bad.clone(),
            sender_terminal: bad,
            ..Message::default()
        };
        let shown = compose(&message, "10.0.0.1\x1b");
        // The only ones are line ends, TAB of the text and our own bell.
        let controls: Vec<u8> = shown
            .iter()
            .copied()
            .filter(|octet| matches!(octet, 0..=0x1F | 0x7F..=0x9F))
            .collect();
        assert_eq!(controls, b"\r\n\x07\r\n\t\r\n\r\n\r\n");
    }

    #[test]
    fn terminals_that_are_stopped_together_delay_a_message_no_longer_than_one() {
        let stopped: Vec<_> = (0..6).map(|_| openpty(None, None).unwrap()).collect();
        let running = openpty(None, None).unwrap();
        let mut chosen = Vec::new();
        for pty in &stopped {
            tcflow(&pty.slave, FlowArg::TCOOFF).unwrap();
            chosen.push(place(ttyname(&pty.slave).unwrap()));
        }
        let path = ttyname(&running.slave).unwrap();
        chosen.push(place(path.clone()));
        let message = Message {
            text: b"hello".to_vec(),
            ..Message::default()
        };
        let begin = Instant::now();
        let said = Terminals::default().write(&chosen, &message, "10.0.0.1");
        assert!(begin.elapsed() < 3 * PATIENCE, "{:?}", begin.elapsed());
        let short = Terminals::default().short(&path);
        assert_eq!(said, Ok(format!("delivered to {short}")));
    }

    #[test]
    fn a_user_without_a_terminal_is_not_logged_in() {
        let folder = std::env::temp_dir().join("vmtp-no-terminals");
        fs::create_dir_all(folder.join("pts")).unwrap();
        let terminals = Terminals {
            devices: folder,
            ..Terminals::default()
        };
        let to = |recipient: &str, terminal: &str| Message {
            recipient: recipient.into(),
            terminal: terminal.into(),
            text: b"x".to_vec(),
            ..Message::default()
        };
        assert_eq!(
            terminals.choose(&to("ROOT", "")),
            Err("ROOT is not logged in".into())
        );
        assert_eq!(
            terminals.choose(&to("no-such-user", "")),
            Err("there is no user no-such-user".into())
        );
        assert!(terminals.choose(&to("", "tty77")).is_err());
        assert_eq!(
            terminals.choose(&to("", "")),
            Ok(vec![place("/dev/console".into())])
        );
    }

    fn place(path: PathBuf) -> Place {
        Place { path, owner: None }
    }

    #[test]
    fn a_console_that_is_a_file_has_all_messages() {
        let console = std::env::temp_dir().join(format!("vmtp-console-{}", std::process::id()));
        fs::write(&console, "").unwrap();
        let terminals = Terminals {
            console: console.clone(),
            ..Terminals::default()
        };
        for text in ["first", "second"] {
            let message = Message {
                text: text.into(),
                ..Message::default()
            };
            assert!(terminals.deliver(&message, "10.0.0.1").delivered);
        }
        let shown = fs::read_to_string(&console).unwrap();
        fs::remove_file(console).unwrap();
        assert!(shown.contains("first") && shown.contains("second"));
    }

    #[test]
    fn a_device_that_login_did_not_make_somebodys_is_no_terminal() {
        // Everybody may write to it, and it is root's.
        assert!(!is_terminal(&fs::metadata("/dev/null").unwrap()));
        let other = Place {
            owner: Some(0),
            ..place("/dev/null".into())
        };
        let message = Message {
            text: b"hello".to_vec(),
            ..Message::default()
        };
        let end = Instant::now() + PATIENCE;
        let error = show(&other, &message, "10.0.0.1", end).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_login_is_known_by_what_it_made() {
        let processes = std::env::temp_dir().join(format!("vmtp-processes-{}", std::process::id()));
        // A shell on tty5, the same of nobody's login, one on /dev/ttyUSB300, and one without a terminal.
        for (process, stat, login) in [
            ("10", "10 (a) S 1) S 1 10 10 1029 10 4194560", "1001"),
            ("11", "11 (agetty) S 1 11 11 1030 11 4194560", "4294967295"),
            ("12", "12 (sh) S 1 12 12 1096748 12 4194560", "0"),
            ("13", "13 (sh) S 1 13 13 0 -1 4194560", "1002"),
            ("self", "", ""),
        ] {
            let folder = processes.join(process);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("stat"), stat).unwrap();
            fs::write(folder.join("loginuid"), login).unwrap();
        }
        let terminals = Terminals {
            processes: processes.clone(),
            ..Terminals::default()
        };
        let logins = terminals.logins();
        fs::remove_dir_all(processes).unwrap();
        let wanted = [
            (makedev(4, 5), 1001),
            (makedev(4, 6), u32::MAX), // which no user is
            (makedev(188, 300), 0),
        ];
        assert_eq!(logins, wanted.into());
    }
}
