// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp move`: an entity and the records of its Clients go from the program that serves on this host
//! to one on another, by VMTP itself.
//!
//! The image goes in Requests of code [`MOVE`]: the first two words of UserData are the offset of
//! the piece in the image and its whole length. The Response to the last says whether the entity
//! lives there now. [`ARRIVED`] asks so again; the receiver answers it as long as it runs.
//!
//! Whoever has not heard what became of the last piece must not go on: the entity would be twice.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use rustix::process::{kill_process, Pid, Signal};
use serde_json::json;
use vmtp::{Client, Entity, IncomingRequest, Reply, Request, Response, Server, Socket};

use crate::args::{Asking, MoveCommand, Origin};
use crate::{output, probe, signal};

/// The code of a piece of an image.
const MOVE: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 0x4D56;

/// The code of a Request that asks whether the entity in the first two words of UserData has come.
const ARRIVED: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 0x4D57;

/// Octets of image in one Request.
const PIECE: usize = 1 << 20;

/// The code of a Response that says why not: it is text, in the segment.
const REFUSED: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 1;

/// The code of a Response to [`ARRIVED`]: it has. [`REFUSED`] says that it has not.
const HERE: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 2;

/// How long a transfer may be silent before another sender may begin one.
const SILENCE: Duration = Duration::from_secs(30);

/// How long to wait before a receiver that cannot be reached is asked again.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(command: MoveCommand, proc_root: &Path, json: bool) -> Result<bool> {
    match command {
        MoveCommand::Send {
            entity,
            to,
            patience,
            asking,
        } => {
            let socket = socket_of(proc_root, entity)?;
            let receiver = Receiver::new(to, &asking)?;
            send(entity, socket, receiver, patience, json)
        }
        MoveCommand::Resume { entity } => {
            socket_of(proc_root, entity)?.resume()?;
            let value = json!({ "entity": entity.to_string() });
            let text = format!("{entity} goes on here");
            output::line(&if json { value.to_string() } else { text })?;
            Ok(true)
        }
        MoveCommand::Receive {
            entity,
            from,
            max,
            command,
        } => receive(entity, Transfer::new(from, max), &command, json),
    }
}

/// The socket of an entity of this host, which another process has.
fn socket_of(proc_root: &Path, entity: Entity) -> Result<Socket> {
    let process = owner(proc_root, entity)?;
    Socket::of_process(process, entity)
        .with_context(|| format!("the socket of {entity} in process {process}"))
}

/// The process that has an entity, as /proc/net/vmtp says.
fn owner(proc_root: &Path, entity: Entity) -> Result<u32> {
    let path = proc_root.join("net/vmtp/entities");
    let table = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let name = entity.to_string();
    for line in table.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some(&name) {
            if let Some(process) = words.next().and_then(|pid| pid.parse().ok()) {
                return Ok(process);
            }
        }
    }
    bail!("{entity} is no entity of this host: see `vmtp show entities`")
}

/// Whose the entity is while it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// This host's: it may go on here.
    Here,
    /// The last piece has gone: it may be the receiver's.
    Undecided,
    /// It is decided and said; the program ends.
    Decided,
}

fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(
    entity: Entity,
    socket: Socket,
    mut receiver: Receiver,
    patience: u32,
    json: bool,
) -> Result<bool> {
    let waiting = output::Waiting::for_the("entity to be handed over");
    // It has if this was tried before, and what became of it was not heard. Without an answer nothing begins.
    let has = receiver.has(entity)?;
    let not_stopped = {
        let to = receiver.entity;
        move || format!("{to} has {entity}, which is not stopped here")
    };
    let mut octets = None;
    if !has {
        let socket = Arc::new(socket);
        let stage = Arc::new(Mutex::new(Stage::Here));
        resume_at_end(entity, receiver.entity, &socket, &stage)?;
        let image = {
            // Nobody decides meanwhile; a signal ends the wait for Requests in progress.
            let _stage = lock(&stage);
            socket.export(Duration::from_millis(patience.into()))
        };
        let sent = image.map_err(anyhow::Error::from).and_then(|image| {
            octets = Some(image.len());
            receiver.take(entity, &image, &stage)
        });
        drop(waiting);
        // Only one decides: this, or who is told to end meanwhile.
        let mut stage = lock(&stage);
        let reached = std::mem::replace(&mut *stage, Stage::Decided);
        match sent {
            Ok(()) => socket.moved().with_context(not_stopped)?,
            Err(error) if reached == Stage::Undecided => {
                let error = error.context(undecided(entity, receiver.entity));
                output::error(&error, json);
                return Ok(false);
            }
            Err(error) => {
                socket.resume()?;
                return Err(error.context(format!("{entity} stays here")));
            }
        }
    } else {
        drop(waiting);
        socket.moved().with_context(not_stopped)?;
    }
    let to = receiver.entity.to_string();
    let value = json!({ "entity": entity.to_string(), "to": to, "octets": octets });
    let text = match octets {
        Some(octets) => format!("{entity} has moved, with {octets} octets of records"),
        None => format!("{entity} has moved"),
    };
    output::line(&if json { value.to_string() } else { text })?;
    Ok(true)
}

/// What to do about an entity that may be twice.
fn undecided(entity: Entity, to: Entity) -> String {
    format!(
        "{entity} stays stopped here: {to} may have become it and does not say so. Run this again, which asks {to} first; \
         or, if `vmtp probe {entity} --host` of its host says that it is not there, `vmtp move resume {entity}`"
    )
}

/// SIGINT and SIGTERM do not leave the entity stopped, unless it may be the receiver's.
fn resume_at_end(
    entity: Entity,
    to: Entity,
    socket: &Arc<Socket>,
    stage: &Arc<Mutex<Stage>>,
) -> Result<()> {
    let (socket, stage) = (Arc::clone(socket), Arc::clone(stage));
    signal::at_end(move || {
        let stage = lock(&stage);
        match *stage {
            Stage::Here => match socket.resume() {
                Ok(()) => eprintln!("vmtp: {entity} stays here"),
                Err(error) => eprintln!("vmtp: {entity}: {error}"),
            },
            Stage::Undecided => eprintln!("vmtp: {}", undecided(entity, to)),
            Stage::Decided => {
                drop(stage);
                loop {
                    thread::park();
                }
            }
        }
        // The other thread, whose call the signal has ended, says no more.
        std::mem::forget(stage);
        1
    })
}

/// A `vmtp move receive`, as the sender sees it.
struct Receiver {
    client: Client,
    entity: Entity,
    host: vmtp::Host,
    /// How long it is asked whether the entity has come.
    patience: Duration,
}

impl Receiver {
    fn new(entity: Entity, asking: &Asking) -> Result<Receiver> {
        Ok(Receiver {
            client: probe::client(&asking.way, None)?,
            entity,
            host: probe::host(&asking.way),
            patience: Duration::from_millis(asking.timeout.into()),
        })
    }

    fn call(&self, request: Request<'_>) -> vmtp::Result<Response> {
        self.client.call(self.entity, &request.host(self.host))
    }

    /// Whether it has become this entity, as it says. An error if it does not say.
    fn has(&mut self, entity: Entity) -> Result<bool> {
        let [high, low] = [(entity.bits() >> 32) as u32, entity.bits() as u32];
        let end = Instant::now() + self.patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            self.client.set_time_limit(Some(left));
            let answer = self.call(Request::new(ARRIVED).user_words([high, low, 0]));
            self.client.set_time_limit(None);
            match answer.map(|response| response.code().bits()) {
                Ok(HERE) => return Ok(true),
                Ok(REFUSED) => return Ok(false),
                Ok(_) => bail!("{} is no `vmtp move receive`", self.entity),
                Err(error) if error.code().is_none() || Instant::now() + PAUSE >= end => {
                    return Err(error).with_context(|| format!("{} does not answer", self.entity));
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Sends it the image of an entity. [`Stage::Undecided`] is left if it is not known whether it has become it.
    fn take(&mut self, entity: Entity, image: &[u8], stage: &Mutex<Stage>) -> Result<()> {
        let whole = u32::try_from(image.len()).context("the image is too large")?;
        let mut offset = 0;
        for piece in image.chunks(PIECE) {
            let request = Request::new(MOVE)
                .user_words([offset, whole, 0])
                .segment(piece);
            offset += u32::try_from(piece.len())?;
            if offset == whole {
                *lock(stage) = Stage::Undecided;
            }
            match self.call(request) {
                Ok(response) if response.code().is_ok() => {}
                Ok(response) => {
                    *lock(stage) = Stage::Here;
                    let text = String::from_utf8_lossy(response.segment());
                    bail!("{}", output::harmless(&text));
                }
                Err(error) if offset == whole => {
                    // One that a signal has interrupted is still open.
                    self.client.abort()?;
                    if self.has(entity).with_context(|| error.to_string())? {
                        return Ok(());
                    }
                    *lock(stage) = Stage::Here;
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What has come of an image.
struct Transfer {
    /// Who may send; anybody if none is named.
    from: Vec<Origin>,
    /// The most octets of an image.
    max: u32,
    /// Whose it is, if one has begun.
    sender: Option<(Entity, Option<Ipv4Addr>)>,
    /// When its last piece came.
    heard: Instant,
    whole: u32,
    image: Vec<u8>,
}

impl Transfer {
    fn new(from: Vec<Origin>, max: u32) -> Transfer {
        Transfer {
            from,
            max,
            sender: None,
            heard: Instant::now(),
            whole: 0,
            image: Vec::new(),
        }
    }

    /// Takes a piece; tells whether the image is whole, or why it is not taken. Others than the sender of the first piece
    /// are refused until no piece has come for [`SILENCE`].
    fn take(
        &mut self,
        sender: (Entity, Option<Ipv4Addr>),
        [offset, whole]: [u32; 2],
        piece: &[u8],
        now: Instant,
    ) -> Result<bool, String> {
        let named = |origin: &Origin| match *origin {
            Origin::Entity(entity) => entity == sender.0,
            Origin::Address(address) => Some(address) == sender.1,
        };
        if !self.from.is_empty() && !self.from.iter().any(named) {
            return Err("this waits for another sender".into());
        }
        let is_other = self.sender.is_some_and(|known| known != sender);
        if is_other && now.duration_since(self.heard) < SILENCE {
            return Err("an entity comes from another sender".into());
        }
        if offset == 0 {
            if whole > self.max {
                let max = self.max;
                return Err(format!(
                    "an image of {whole} octets is more than --max {max}"
                ));
            }
            self.end();
            (self.sender, self.whole) = (Some(sender), whole);
        }
        let rest = (self.whole as usize).saturating_sub(self.image.len());
        let in_order = self.sender == Some(sender)
            && (offset as usize, whole) == (self.image.len(), self.whole)
            && (1..=rest).contains(&piece.len());
        if !in_order {
            return Err("the pieces are not in order".into());
        }
        self.heard = now;
        self.image.extend_from_slice(piece);
        Ok(piece.len() == rest)
    }

    /// The next may begin.
    fn end(&mut self) {
        self.sender = None;
        self.image = Vec::new();
    }
}

/// Replies with a code and a text.
fn answer(request: IncomingRequest<'_>, code: u32, text: &str) -> vmtp::Result<()> {
    request.reply(&Reply::new(code).segment(text.as_bytes()))
}

fn receive(
    entity: Entity,
    mut transfer: Transfer,
    command: &[std::ffi::OsString],
    json: bool,
) -> Result<bool> {
    let (program, arguments) = command.split_first().context("there is no command")?;
    let mut server = Server::bind(entity)?;
    server.set_request_limit(PIECE);
    let entity = server.entity()?.to_string();
    let text = format!("MOVE {entity}");
    output::line(&if json {
        json!({ "event": "waiting", "entity": entity }).to_string()
    } else {
        text
    })?;
    let (last, socket, moved) = loop {
        let request = server.recv()?;
        if request.is_datagram() {
            continue;
        }
        if request.code().bits() != MOVE {
            answer(request, REFUSED, "this waits for entities that move")?;
            continue;
        }
        let sender = (request.client(), request.host().address());
        let [offset, whole, _] = request.user_words();
        match transfer.take(sender, [offset, whole], request.segment(), Instant::now()) {
            Ok(false) => answer(request, vmtp::sys::VMTP_OK, "")?,
            Err(text) => answer(request, REFUSED, &text)?,
            Ok(true) => {
                let socket = Socket::new()?;
                match socket.import(&transfer.image) {
                    Ok(moved) => break (request, socket, moved),
                    Err(error) => {
                        transfer.end();
                        answer(request, REFUSED, &error.to_string())?;
                    }
                }
            }
        }
    };
    let child = std::process::Command::new(program)
        .args(arguments)
        .stdin(OwnedFd::from(socket))
        .spawn()
        .with_context(|| program.to_string_lossy().into_owned());
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            // The socket is closed: the entity is not here.
            answer(last, REFUSED, &format!("{error:#}"))?;
            return Err(error);
        }
    };
    if let Err(error) = answer(last, vmtp::sys::VMTP_OK, "") {
        // It is here all the same, and its sender asks.
        output::error(&error.into(), json);
    }
    let octets = transfer.image.len();
    transfer.end();
    let text = format!("MOVED {moved}, {octets} octets of records");
    output::line(&if json {
        json!({ "event": "moved", "entity": moved.to_string(), "octets": octets }).to_string()
    } else {
        text
    })?;
    // This program stays: the last Response may have to be repeated, and its sender may ask.
    thread::Builder::new().spawn(move || tell(&server, moved))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    signal::at_end(move || {
        // It may have ended by itself.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        0
    })?;
    Ok(child.wait()?.success())
}

/// Says who has come, as long as the program runs.
fn tell(server: &Server, moved: Entity) -> Result<()> {
    loop {
        let request = match server.recv() {
            Err(error) if error.interrupted() => continue,
            request => request?,
        };
        let [high, low, _] = request.user_words();
        let asked = u64::from(high) << 32 | u64::from(low);
        if request.code().bits() == ARRIVED && asked == moved.bits() {
            answer(request, HERE, "")?;
        } else {
            answer(request, REFUSED, &format!("this has become {moved}"))?;
        }
    }
}

/// The socket that is this program's standard input.
pub(crate) fn inherited() -> Result<Socket> {
    let own = std::io::stdin().as_fd().try_clone_to_owned();
    Ok(Socket::from(own.context("the standard input")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u32 = 1 << 20;

    fn sender(number: u64, host: u8) -> (Entity, Option<Ipv4Addr>) {
        (
            Entity::from_bits(0x2001_1170_0A00_0000 | number),
            Some(Ipv4Addr::new(10, 0, 0, host)),
        )
    }

    #[test]
    fn a_transfer_is_its_first_senders() {
        let start = Instant::now();
        let mut transfer = Transfer::new(Vec::new(), MIB);
        assert_eq!(transfer.take(sender(1, 1), [0, 5], b"ab", start), Ok(false));
        let soon = start + SILENCE - Duration::from_millis(1);
        for other in [sender(2, 1), sender(1, 2)] {
            assert!(transfer.take(other, [0, 5], b"xy", soon).is_err());
            assert!(transfer.take(other, [2, 5], b"xyz", soon).is_err());
        }
        assert_eq!(transfer.take(sender(1, 1), [2, 5], b"cde", soon), Ok(true));
        assert_eq!(transfer.image, b"abcde");
    }

    #[test]
    fn after_some_silence_another_may_begin_but_not_go_on() {
        let start = Instant::now();
        let mut transfer = Transfer::new(Vec::new(), MIB);
        assert_eq!(transfer.take(sender(1, 1), [0, 5], b"ab", start), Ok(false));
        let later = start + SILENCE;
        assert!(transfer.take(sender(2, 2), [2, 5], b"xyz", later).is_err());
        assert_eq!(transfer.take(sender(2, 2), [0, 2], b"x", later), Ok(false));
        assert!(transfer.take(sender(1, 1), [2, 5], b"cde", later).is_err());
        assert_eq!(transfer.take(sender(2, 2), [1, 2], b"y", later), Ok(true));
        assert_eq!(transfer.image, b"xy");
    }

    #[test]
    fn pieces_are_in_order_and_the_image_is_what_was_said() {
        let now = Instant::now();
        let mut transfer = Transfer::new(Vec::new(), 5);
        let one = sender(1, 1);
        assert!(transfer.take(one, [1, 5], b"b", now).is_err());
        assert!(transfer.take(one, [0, 6], b"a", now).is_err());
        assert!(transfer.take(one, [0, 0], b"", now).is_err());
        assert!(transfer.take(one, [0, 2], b"abc", now).is_err());
        assert_eq!(transfer.take(one, [0, 5], b"abc", now), Ok(false));
        assert!(transfer.take(one, [3, 9], b"defghi", now).is_err());
        assert!(transfer.take(one, [3, 5], b"", now).is_err());
        assert!(transfer.take(one, [2, 5], b"cde", now).is_err());
        // It may begin anew.
        assert_eq!(transfer.take(one, [0, 1], b"z", now), Ok(true));
        assert_eq!(transfer.image, b"z");
    }

    #[test]
    fn only_who_is_named_may_send() {
        let now = Instant::now();
        let from = vec![
            Origin::Entity(sender(1, 1).0),
            Origin::Address(Ipv4Addr::new(10, 0, 0, 2)),
        ];
        let mut transfer = Transfer::new(from, MIB);
        assert!(transfer.take(sender(3, 3), [0, 1], b"a", now).is_err());
        for named in [sender(1, 3), sender(3, 2)] {
            assert_eq!(transfer.take(named, [0, 1], b"a", now), Ok(true));
            transfer.end();
        }
    }
}
