// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp monitor`: what the tracepoints of vmtp.ko tell, one line an event, while it happens.
//!
//! The events are those of all network namespaces of the machine. They come through an instance of
//! the kernel's tracing of its own, so that nobody else's tracing is disturbed; it goes with the
//! command.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde_json::{json, Map, Value};
use vmtp::{Code, Entity};

use crate::{args, output, signal};

/// What instances are named, before the process's number.
const PREFIX: &str = "vmtp-monitor-";

/// How long to wait when there is nothing to read. A person does not notice it.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn run(monitor: args::Monitor, json: bool) -> Result<bool> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in signal::ending() {
        signal_hook::flag::register(signal, Arc::clone(&ended))
            .context("signals cannot be caught")?;
    }
    let instance = Instance::make(&monitor.tracing)?;
    let mut pipe = instance.pipe()?;
    let mut left = monitor.count;
    let mut pending = String::new();
    let mut buffer = [0; 1 << 16];
    while left != Some(0) && !ended.load(Ordering::Relaxed) {
        let read = match pipe.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.context("the events cannot be read")?,
        };
        if read == 0 {
            sleep(PAUSE);
            continue;
        }
        pending.push_str(&String::from_utf8_lossy(&buffer[..read]));
        while let Some(end) = pending.find('\n') {
            let line: String = pending.drain(..=end).collect();
            let Some(event) = Event::parse(&line) else {
                if line.contains("LOST") {
                    eprintln!("vmtp: too fast, some events are lost: {}", line.trim());
                }
                continue;
            };
            let text = if json {
                event.json().to_string()
            } else {
                event.text()
            };
            if !written(&text)? || left == Some(1) {
                return Ok(true);
            }
            left = left.map(|left| left - 1);
        }
    }
    Ok(true)
}

/// Prints a line; false if nobody reads any more.
fn written(text: &str) -> Result<bool> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true).context("standard output"),
    }
}

/// A buffer of events for this command alone.
struct Instance {
    folder: PathBuf,
}

impl Instance {
    fn make(tracing: &Path) -> Result<Self> {
        if !tracing.join("events").is_dir() {
            bail!(
                "{} is not there, or not for this user: as root, `mount -t tracefs tracefs {0}`",
                tracing.display()
            );
        }
        if !tracing.join("events/vmtp").is_dir() {
            return Err(vmtp::Error::NotLoaded.into());
        }
        let instances = tracing.join("instances");
        remove_orphans(&instances);
        let folder = instances.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("{}: run it as root", folder.display()))?;
        let instance = Self { folder };
        fs::write(instance.folder.join("events/vmtp/enable"), "1")
            .context("the events cannot be switched on")?;
        Ok(instance)
    }

    fn pipe(&self) -> Result<File> {
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.folder.join("trace_pipe"))
            .context("the events cannot be read")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // What stays behind the next call removes.
        let _ = fs::write(self.folder.join("events/vmtp/enable"), "0");
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Instances of calls that were killed.
fn remove_orphans(instances: &Path) {
    for entry in fs::read_dir(instances).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        if !Path::new("/proc").join(process).exists() {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// One event as the kernel prints it.
#[derive(Debug, PartialEq)]
struct Event {
    /// Seconds since the machine was started.
    time: String,
    /// Without the leading `vmtp_`.
    name: String,
    /// In the order of the kernel; a word without a value is the `kind` or `side`.
    fields: Vec<(String, String)>,
}

impl Event {
    /// `ping-412 [001] ..s2. 4097.372632: vmtp_packet_in: host=10.0.0.1 request client=2000...`
    fn parse(line: &str) -> Option<Event> {
        // A process may have anything for a name, also what looks like an event: the time that precedes
        // the event, and that there is no space in its name, tell. The last is the kernel's.
        let line = output::harmless(line.trim_end());
        let (head, rest) = line
            .rmatch_indices(": vmtp_")
            .map(|(at, mark)| (&line[..at], &line[at + mark.len()..]))
            .find(|(head, _)| head.rsplit(' ').next().is_some_and(is_time))?;
        let (name, body) = rest.split_once(": ")?;
        let fields = body
            .split_whitespace()
            .map(|word| match word.split_once('=') {
                Some((name, value)) => (name.to_string(), value.to_string()),
                None if matches!(word, "request" | "response") => ("kind".into(), word.into()),
                None => ("side".into(), word.into()),
            });
        Some(Event {
            time: head.split_whitespace().last()?.to_string(),
            name: name.to_string(),
            fields: fields.collect(),
        })
    }

    fn text(&self) -> String {
        let mut line = format!("{:>14}  {:<10}", self.time, self.name);
        for (name, value) in &self.fields {
            let shown = match meaning(name, value) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            match name.as_str() {
                "kind" | "side" => line.push_str(&format!("  {shown:<8}")),
                _ => line.push_str(&format!("  {name} {shown}")),
            }
        }
        line
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        let time: Value = serde_json::from_str(&self.time).unwrap_or(json!(self.time));
        object.insert("time".into(), time);
        object.insert("event".into(), json!(self.name));
        for (name, value) in &self.fields {
            object.insert(name.clone(), meaning(name, value));
        }
        Value::Object(object)
    }
}

/// Seconds with a fraction.
fn is_time(word: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    word.split_once('.')
        .is_some_and(|(whole, part)| is_number(whole) && is_number(part))
}

/// What a person calls a value: entities and codes by name, words of bits in hexadecimal.
fn meaning(name: &str, value: &str) -> Value {
    let number = |radix| u64::from_str_radix(value, radix);
    let named = match name {
        "client" | "server" => number(16).map(|bits| json!(Entity::from_bits(bits).to_string())),
        "code" => number(16).map(|bits| json!(Code::from_word(bits as u32).to_string())),
        "control" | "delivery" => number(16).map(|bits| json!(format!("{bits:#010x}"))),
        "transaction" | "octets" => number(10).map(|number| json!(number)),
        "reason" => Ok(json!(value.trim_start_matches("VmtpDrop"))),
        _ => Ok(json!(value)),
    };
    named.unwrap_or(json!(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &str = "            ping-412     [001] ..s2.  4097.372632: vmtp_packet_in: \
        host=10.0.0.1 request client=200111700a000001 server=200111710a000002 transaction=7 \
        control=00000000 delivery=00000003 code=00800001 octets=1092\n";

    #[test]
    fn a_packet_is_one_line() {
        let event = Event::parse(PACKET).expect("an event");
        assert_eq!(
            event.text(),
            "   4097.372632  packet_in   host 10.0.0.1  request   client LE-70000-10.0.0.1  server \
             LE-70001-10.0.0.2  transaction 7  control 0x00000000  delivery 0x00000003  code \
             0x800001  octets 1092"
        );
    }

    #[test]
    fn a_packet_is_one_object() {
        let event = Event::parse(PACKET).expect("an event");
        assert_eq!(
            event.json(),
            json!({
                "time": 4097.372632, "event": "packet_in", "host": "10.0.0.1", "kind": "request",
                "client": "LE-70000-10.0.0.1", "server": "LE-70001-10.0.0.2", "transaction": 7,
                "control": "0x00000000", "delivery": "0x00000003", "code": "0x800001",
                "octets": 1092,
            })
        );
    }

    #[test]
    fn states_and_drops_are_told_by_name() {
        let line = "vmtp-9 [000] ..s1. 12.5: vmtp_state: server client=200111700a000001 \
            server=200111710a000002 transaction=7 state=Processing";
        let event = Event::parse(line).expect("an event").json();
        assert_eq!(event["side"], "server");
        assert_eq!(event["state"], "Processing");
        let line = "<idle>-0 [000] ..s1. 12.5: vmtp_drop: reason=VmtpDropNoEntity";
        let event = Event::parse(line).expect("an event").json();
        assert_eq!(
            event,
            json!({ "time": 12.5, "event": "drop", "reason": "NoEntity" })
        );
    }

    #[test]
    fn the_name_of_a_process_is_no_event_and_nothing_that_a_terminal_obeys() {
        let named = PACKET.replace("ping-412", "1.5: vmtp_x: y=z\x1b[2J-412");
        let (event, plain) = (Event::parse(&named), Event::parse(PACKET));
        assert_eq!(event, plain);
        let hostile = PACKET
            .replace("packet_in", "packet\x1b[2J")
            .replace("1092", "\u{9b}J");
        let event = Event::parse(&hostile).expect("an event");
        assert!(!event.text().chars().any(char::is_control), "{event:?}");
    }

    #[test]
    fn other_lines_are_none() {
        assert_eq!(Event::parse("CPU:1 [LOST 12 EVENTS]\n"), None);
        assert_eq!(
            Event::parse("x-1 [000] ..... 1.0: sched_switch: a=b\n"),
            None
        );
    }
}
