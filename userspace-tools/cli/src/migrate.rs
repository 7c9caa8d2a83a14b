// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp move`: an entity and the records of its Clients go from the program that serves on this host
//! to one on another, by VMTP itself.
//!
//! The image goes in Requests of code [`MOVE`]: the first two words of UserData are the offset of
//! the piece in the image and its whole length. The Response to the last says whether the entity
//! lives there now.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use rustix::process::{kill_process, Pid, Signal};
use serde_json::json;
use vmtp::{Entity, Reply, Request, Server, Socket};

use crate::args::MoveCommand;
use crate::{output, probe, signal};

/// The code of a piece of an image.
const MOVE: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 0x4D56;

/// Octets of image in one Request.
const PIECE: usize = 1 << 20;

/// The code of a Response that says why not: it is text, in the segment.
const REFUSED: u32 = vmtp::sys::VMTP_CODE_APPLICATION | 1;

pub(crate) fn run(command: MoveCommand, proc_root: &Path, json: bool) -> Result<bool> {
    match command {
        MoveCommand::Send {
            entity,
            to,
            patience,
            asking,
        } => {
            let process = owner(proc_root, entity)?;
            let socket = Socket::of_process(process, entity)
                .with_context(|| format!("the socket of {entity} in process {process}"))?;
            let client = probe::client(&asking.way, None)?;
            let waiting = output::Waiting::for_the("entity to be handed over");
            let image = socket.export(Duration::from_millis(patience.into()))?;
            let sent = send(&client, to, &image);
            drop(waiting);
            if let Err(error) = sent {
                socket.resume()?;
                return Err(error.context(format!("{entity} stays here")));
            }
            socket.moved()?;
            let value = json!({ "entity": entity.to_string(), "to": to.to_string(), "octets": image.len() });
            let text = format!("{entity} has moved, with {} octets of records", image.len());
            output::line(&if json { value.to_string() } else { text })?;
            Ok(true)
        }
        MoveCommand::Receive { entity, command } => receive(entity, &command, json),
    }
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

fn send(client: &vmtp::Client, to: Entity, image: &[u8]) -> Result<()> {
    let whole = u32::try_from(image.len()).context("the image is too large")?;
    for (number, piece) in image.chunks(PIECE).enumerate() {
        let offset = u32::try_from(number * PIECE)?;
        let request = Request::new(MOVE)
            .user_words([offset, whole, 0])
            .segment(piece);
        let response = client.call(to, &request)?;
        if !response.code().is_ok() {
            bail!("{}", String::from_utf8_lossy(response.segment()));
        }
    }
    Ok(())
}

fn receive(entity: Entity, command: &[std::ffi::OsString], json: bool) -> Result<bool> {
    let mut server = Server::bind(entity)?;
    server.set_request_limit(PIECE);
    let entity = server.entity()?.to_string();
    let text = format!("MOVE {entity}");
    output::line(&if json {
        json!({ "event": "waiting", "entity": entity }).to_string()
    } else {
        text
    })?;
    let mut image = Vec::new();
    let (socket, moved) = loop {
        let request = server.recv()?;
        let [offset, whole, _] = request.user_words();
        if request.code().bits() != MOVE {
            request.reply(&Reply::new(REFUSED).segment(b"this waits for entities that move"))?;
            continue;
        }
        if offset == 0 {
            image.clear();
        }
        if offset as usize != image.len() || image.len() + request.segment().len() > whole as usize
        {
            request.reply(&Reply::new(REFUSED).segment(b"the pieces are not in order"))?;
            continue;
        }
        image.extend_from_slice(request.segment());
        if image.len() < whole as usize {
            request.reply(&Reply::ok())?;
            continue;
        }
        let socket = Socket::new()?;
        match socket.import(&image) {
            Ok(moved) => {
                request.reply(&Reply::ok())?;
                break (socket, moved.to_string());
            }
            Err(error) => {
                let text = error.to_string();
                request.reply(&Reply::new(REFUSED).segment(text.as_bytes()))?;
            }
        }
    };
    let text = format!("MOVED {moved}, {} octets of records", image.len());
    output::line(&if json {
        json!({ "event": "moved", "entity": moved, "octets": image.len() }).to_string()
    } else {
        text
    })?;
    let (program, arguments) = command.split_first().context("there is no command")?;
    // This program stays, and its socket with it: the last Response may have to be repeated.
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .stdin(OwnedFd::from(socket))
        .spawn()
        .with_context(|| program.to_string_lossy().into_owned())?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    signal::at_end(move || {
        // It may have ended by itself.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        0
    })?;
    let status = child.wait()?;
    drop(server);
    Ok(status.success())
}

/// The socket that is this program's standard input.
pub(crate) fn inherited() -> Result<Socket> {
    let own = std::io::stdin().as_fd().try_clone_to_owned();
    Ok(Socket::from(own.context("the standard input")?))
}
