// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp msgd` and `vmtp msg`: the Message Send Protocol (RFC 1159, RFC 1312). The work is done in
//! the crate `vmtp-msg`.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Read};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{bail, Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;
use vmtp::Entity;
use vmtp_msg::client::{self, Outcome};
use vmtp_msg::message::{from_utf8, to_utf8, Message, Version};
use vmtp_msg::server::{Msgd, Options, Trouble};
use vmtp_msg::terminal::Terminals;
use vmtp_msg::{server_of, PORT};

use crate::output;
use crate::resolve::resolve;

/// Show messages of other hosts on the terminals of this one
///
/// The Message Send Protocol, version 1 (RFC 1159) and 2 (RFC 1312), over UDP and TCP port 18 and
/// over VMTP as entity BE-18-ADDRESS. Nothing is written to a terminal whose user said `mesg n`, and
/// no control character of a message reaches one. Who sends a message is what he says he is, so
/// serve networks that you trust. It needs root: for the port, the entity and the terminals.
#[derive(Args, Debug)]
pub(crate) struct MsgServer {
    /// The port over UDP and TCP
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    port: u16,

    /// Not over UDP and TCP
    #[arg(long, conflicts_with = "no_vmtp")]
    no_net: bool,

    /// Not over VMTP
    #[arg(long)]
    no_vmtp: bool,

    /// Join this group over VMTP
    #[arg(long, value_name = "GROUP", value_parser = group, conflicts_with = "no_vmtp")]
    join: Vec<Entity>,

    /// What is for nobody in particular is shown here
    #[arg(long, value_name = "FILE", default_value = "/dev/console")]
    console: PathBuf,
}

/// Send a message to a user's terminal on another host, or on all of a group
///
/// Without a text it is read from the standard input. Control characters are left out, and letters
/// that ISO 8859/1 does not have become question marks. A whole message has fewer than 512 octets.
#[derive(Args, Debug)]
pub(crate) struct Msg {
    /// USER[:TERMINAL]@HOST; without USER anybody, without TERMINAL the one used last, * is all.
    /// HOST is a name or an IPv4 address, or over VMTP an entity or a group
    to: String,

    /// What to say
    text: Vec<String>,

    /// How it is sent
    #[arg(long, value_enum, default_value_t = Via::Vmtp)]
    via: Via,

    /// Version 1 of the protocol (RFC 1159)
    #[arg(long)]
    v1: bool,

    /// The server's port over UDP and TCP
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    port: u16,

    /// How many milliseconds the next answer of a group is waited for
    #[arg(long, value_name = "MS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    wait: u32,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    Vmtp,
    Udp,
    Tcp,
}

fn group(text: &str) -> Result<Entity, String> {
    match vmtp::parse_entity(text) {
        Ok(group) if group.is_group() => Ok(group),
        Ok(_) => Err("this is no group: those begin with RG or UG".into()),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn serve(server: MsgServer, json: bool) -> Result<bool> {
    let options = Options {
        port: (!server.no_net).then_some(server.port),
        groups: (!server.no_vmtp).then_some(server.join),
        terminals: Terminals {
            console: server.console,
            ..Terminals::default()
        },
    };
    let ready = |place: &str| {
        // Nobody may be reading; the service goes on.
        let _ = output::line(&if json {
            json!({ "event": "listening", "at": place }).to_string()
        } else {
            format!("MSGD {place}")
        });
    };
    let trouble: Result<Infallible, Trouble> = Msgd::run(options, ready);
    match trouble {
        Ok(never) => match never {},
        Err(error @ Trouble::Port(..)) => {
            bail!("{error}: run it as root, choose another --port, or --no-net")
        }
        Err(Trouble::Vmtp(error)) if matches!(error.errno(), Some(1 | 13)) => {
            bail!("{error}: the entity BE-18-ADDRESS has a number below 65536, so run it as root or with CAP_NET_ADMIN, or with --no-vmtp")
        }
        Err(Trouble::Vmtp(error)) if error.errno() == Some(98) => {
            bail!("{error}: another msgd is running on this host")
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn send(msg: Msg, json: bool) -> Result<bool> {
    let (whom, host) = msg
        .to
        .rsplit_once('@')
        .with_context(|| format!("{}: say USER@HOST, or @HOST for anybody there", msg.to))?;
    let (user, terminal) = whom.split_once(':').unwrap_or((whom, ""));
    let mut text = msg.text.join(" ");
    if msg.text.is_empty() {
        io::stdin()
            .take(64 * 1024)
            .read_to_string(&mut text)
            .context("the standard input is no text")?;
        text.truncate(text.trim_end().len());
    }
    let message = Message {
        version: if msg.v1 { Version::A } else { Version::B },
        recipient: from_utf8(user),
        terminal: from_utf8(terminal),
        text: from_utf8(&text),
        sender: from_utf8(&own_name()),
        sender_terminal: from_utf8(&own_terminal()),
        cookie: cookie().into_bytes(),
        signature: Vec::new(),
    };
    let at = || -> Result<SocketAddrV4> { Ok(SocketAddrV4::new(resolve(host)?, msg.port)) };
    let outcome = match msg.via {
        Via::Udp => client::over_udp(&message, at()?),
        Via::Tcp => client::over_tcp(&message, at()?),
        Via::Vmtp => {
            let to = match vmtp::parse_entity(host) {
                Ok(entity) => entity,
                Err(_) => server_of(resolve(host)?),
            };
            client::over_vmtp(&message, to, Duration::from_millis(msg.wait.into()))
        }
    };
    match outcome {
        Ok(outcome) => tell(&outcome, json),
        Err(client::Error::Vmtp(error)) if error.code().is_some() => {
            eprintln!("vmtp: {error}: is `vmtp msgd` running on {host}?");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints what is known, and whether somebody got it.
fn tell(outcome: &Outcome, json: bool) -> Result<bool> {
    match outcome {
        Outcome::Acknowledged(answers) => {
            for (from, said) in answers {
                let explanation = to_utf8(&said.explanation);
                output::line(&if json {
                    json!({ "host": from, "delivered": said.delivered, "explanation": explanation })
                        .to_string()
                } else {
                    let sign = if said.delivered { '+' } else { '-' };
                    format!("{from}: {sign} {explanation}")
                })?;
            }
            Ok(answers.iter().any(|(_, said)| said.delivered))
        }
        Outcome::Sent => {
            output::line(&if json {
                json!({ "sent": true }).to_string()
            } else {
                "sent; no answer is to be expected".to_owned()
            })?;
            Ok(true)
        }
        Outcome::Silence => {
            output::line(&if json {
                json!({ "sent": true, "delivered": null }).to_string()
            } else {
                "no answer: it was not delivered, or nobody is there".to_owned()
            })?;
            Ok(false)
        }
    }
}

fn own_name() -> String {
    nix::unistd::User::from_uid(nix::unistd::getuid())
        .ok()
        .flatten()
        .map(|user| user.name)
        .unwrap_or_default()
}

/// The terminal that a reply would be sent to.
fn own_terminal() -> String {
    if !io::stderr().is_terminal() {
        return String::new();
    }
    let path = nix::unistd::ttyname(io::stderr()).unwrap_or_default();
    let name = path.strip_prefix("/dev").unwrap_or(&path);
    name.to_string_lossy().into_owned()
}

/// The time, and who of this host; at most 32 octets.
fn cookie() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{}.{}", now.as_micros(), std::process::id())
}
