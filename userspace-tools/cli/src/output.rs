// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What every command prints alike: codes, hosts, errors and what to do about them, and that it is
//! still waiting.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use serde_json::{json, Value};
use vmtp::{Code, Host};

/// Prints a line. That nobody reads any more is no error: a pipe's reader may have what it wants.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => Ok(result?),
    }
}

/// `RETRANS_TIMEOUT (no answer, and the retransmissions are used up)`.
pub(crate) fn code(code: Code) -> String {
    match code.meaning() {
        Some(meaning) if !code.is_ok() => format!("{code} ({meaning})"),
        _ => code.to_string(),
    }
}

/// The name, or null for a code without one.
pub(crate) fn code_name(code: Code) -> Value {
    json!(code.name())
}

/// The address as text, or null.
pub(crate) fn host(host: Host) -> Value {
    host.address()
        .map_or(Value::Null, |address| json!(address.to_string()))
}

/// Nanoseconds, for JSON.
pub(crate) fn nanoseconds(time: Duration) -> Value {
    json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// As ping prints times: more digits the shorter.
pub(crate) fn milliseconds(nanoseconds: u64) -> String {
    let time = nanoseconds as f64 / 1e6;
    match nanoseconds {
        0..=999_999 => format!("{time:.4}"),
        1_000_000..=99_999_999 => format!("{time:.3}"),
        _ => format!("{time:.1}"),
    }
}

/// Octets in hexadecimal.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Text as it may go to a terminal. What others have written or named may be anything: control
/// characters, and those by which Unicode turns the direction of writing, become question marks.
pub(crate) fn harmless(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
    };
    text.chars()
        .map(|c| if harmful(c) { '?' } else { c })
        .collect()
}

/// What a user can do about an error, if anything is known.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let error = error.downcast_ref::<vmtp::Error>()?;
    if let vmtp::Error::TooLong { .. } = error {
        return Some("raise --max, up to 4194304");
    }
    let vmtp::Error::System { source, .. } = error else {
        return None;
    };
    Some(match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "without root, an entity has an address of this host and a discriminator of 65536 or \
             more; leave the entity out to be given one"
        }
        io::ErrorKind::AddrInUse => "another socket is this entity: see `vmtp show entities`",
        io::ErrorKind::AddrNotAvailable => {
            "the address in the entity is not of this host: see `ip address`; in --domain 3 other hosts \
             have all blocks that were tried: see VmtpBlocksObjected in `vmtp show stats`"
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "there is no route to that host: see `ip route`, or name the host with --host"
        }
        io::ErrorKind::NetworkDown => "the network interface is down: see `ip link`",
        io::ErrorKind::InvalidInput => {
            "the entity or an option is not valid: single entities begin with BE or LE, groups with \
             RG or UG, and 0 and those with X are none"
        }
        io::ErrorKind::Unsupported => "the vmtp.ko that is loaded cannot do this",
        _ => return None,
    })
}

/// Tells that a command could not do its work: on standard error, and with --json as JSON too.
pub(crate) fn error(error: &anyhow::Error, json: bool) {
    let hint = hint(error);
    if json {
        // Nothing can be done if this fails, and the exit status tells.
        let _ = line(&json!({ "error": format!("{error:#}"), "hint": hint }).to_string());
    }
    eprintln!("vmtp: {error:#}");
    if let Some(hint) = hint {
        eprintln!("vmtp: {hint}");
    }
}

/// While this lives, a terminal is told every two seconds that something is still waited for.
pub(crate) struct Waiting {
    /// Dropped with this, which ends the thread.
    _done: Option<Sender<()>>,
}

impl Waiting {
    pub(crate) fn for_the(what: &'static str) -> Waiting {
        if !io::stderr().is_terminal() {
            return Waiting { _done: None };
        }
        let (done, is_done) = mpsc::channel();
        // Without the thread there are only no such lines.
        let thread = std::thread::Builder::new().spawn(move || {
            let mut seconds = 0;
            while is_done.recv_timeout(Duration::from_secs(2)) == Err(RecvTimeoutError::Timeout) {
                seconds += 2;
                eprintln!("vmtp: still waiting for the {what}, {seconds} s; Ctrl-C ends");
            }
        });
        Waiting {
            _done: thread.is_ok().then_some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_explained() {
        assert_eq!(code(Code::OK), "OK");
        assert_eq!(
            code(Code::USER_TIMEOUT),
            "USER_TIMEOUT (no answer within the time limit)"
        );
        assert_eq!(code(Code::from_word(0x80_0001)), "0x800001");
        assert_eq!(code_name(Code::from_word(0x80_0001)), Value::Null);
    }

    #[test]
    fn times_have_four_digits_or_more() {
        assert_eq!(milliseconds(29_620), "0.0296");
        assert_eq!(milliseconds(1_234_567), "1.235");
        assert_eq!(milliseconds(3_200_000_000), "3200.0");
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_kept() {
        assert_eq!(harmless("a\x1b[2J\u{9b}1m\r\u{202e}é"), "a?[2J?1m??é");
    }

    #[test]
    fn every_expected_failure_says_what_to_do() {
        for errno in [13, 1, 98, 99, 101, 113, 100, 22, 95] {
            let source = io::Error::from_raw_os_error(errno);
            let error = anyhow::Error::from(vmtp::Error::System {
                call: "bind",
                source,
            });
            assert!(hint(&error).is_some(), "errno {errno}");
        }
        assert_eq!(hint(&anyhow::anyhow!("something")), None);
    }
}
