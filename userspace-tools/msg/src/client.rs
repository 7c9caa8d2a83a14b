// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Sends a message and waits for what is said of it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use vmtp::{Client, Code, Entity, Request};

use crate::message::{self, Acknowledgement, Message, Version};

/// How often a datagram is sent, with the same cookie.
const TIMES: u32 = 3;
/// How long each time is waited.
const WAIT: Duration = Duration::from_secs(1);
/// How long a connection may take, to come and to say something.
const TCP_WAIT: Duration = Duration::from_secs(20);

/// Why nothing is known of a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be sent.
    #[error(transparent)]
    Message(#[from] message::Error),
    /// UDP or TCP failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// VMTP failed.
    #[error(transparent)]
    Vmtp(#[from] vmtp::Error),
}

/// What is known of a message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Who said it, and what.
    Acknowledged(Vec<(String, Acknowledgement)>),
    /// Nothing is to be expected: a message for anybody, or of version 1 over TCP.
    Sent,
    /// Something was to be expected.
    Silence,
}

/// Over UDP, to one host or by broadcast.
pub fn over_udp(message: &Message, to: SocketAddrV4) -> Result<Outcome, Error> {
    let octets = message.to_octets()?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    let mut answers = Vec::new();
    let mut buffer = [0; 2048];
    // For version 1 there is no duplicate check: it is sent once.
    let times = match message.version {
        Version::A => 1,
        Version::B => TIMES,
    };
    for _ in 0..times {
        socket.send_to(&octets, to)?;
        let end = Instant::now() + WAIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let (length, from) = match socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => break,
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(error.into()),
                },
            };
            let answer = buffer.get(..length).unwrap_or_default();
            let said = match message.version {
                Version::A if answer == octets => Some(Acknowledgement {
                    delivered: true,
                    explanation: b"received".to_vec(),
                }),
                Version::A => None,
                Version::B => Acknowledgement::parse(answer),
            };
            if let Some(said) = said {
                answers.push((from.ip().to_string(), said));
                if !to.ip().is_broadcast() {
                    return Ok(Outcome::Acknowledged(answers));
                }
            }
        }
        if !answers.is_empty() {
            return Ok(Outcome::Acknowledged(answers));
        }
        if message.version == Version::B && message.recipient.is_empty() {
            // Sent once more would do no harm, and tell no more.
            return Ok(Outcome::Sent);
        }
    }
    Ok(Outcome::Silence)
}

/// Over TCP.
pub fn over_tcp(message: &Message, to: SocketAddrV4) -> Result<Outcome, Error> {
    let octets = message.to_octets()?;
    let mut stream = TcpStream::connect_timeout(&to.into(), TCP_WAIT)?;
    stream.set_read_timeout(Some(TCP_WAIT))?;
    stream.set_write_timeout(Some(TCP_WAIT))?;
    stream.write_all(&octets)?;
    if message.version == Version::A {
        return Ok(Outcome::Sent);
    }
    let mut answer = Vec::new();
    let mut octet = [0];
    while answer.len() < 2 * message::SIZE {
        match stream.read(&mut octet) {
            Ok(1) if octet != [0] => answer.push(octet[0]),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(match Acknowledgement::parse(&answer) {
        Some(said) => Outcome::Acknowledged(vec![(to.ip().to_string(), said)]),
        None => Outcome::Silence,
    })
}

/// Over VMTP, to a server or to a group of them; there the next answer is waited for so long.
pub fn over_vmtp(message: &Message, to: Entity, wait: Duration) -> Result<Outcome, Error> {
    let octets = message.to_octets()?;
    let mut client = Client::new()?;
    client.set_time_limit(Some(TCP_WAIT));
    let request = Request::new(crate::CODE).segment(&octets);
    // Who asks many at once does not want all answers at once.
    let request = match to.is_group() {
        true => request.multiple_responses().delay_responses(),
        false => request,
    };
    let mut answers = Vec::new();
    let mut next = match client.call(to, &request) {
        Ok(response) => Some(response),
        Err(error) if to.is_group() && error.code() == Some(Code::RETRANS_TIMEOUT) => None,
        Err(error) => return Err(error.into()),
    };
    while let Some(response) = next {
        if let Some(said) = Acknowledgement::parse(response.segment()) {
            answers.push((response.host().to_string(), said));
        }
        next = match to.is_group() {
            true => client.next_response(Some(wait))?,
            false => None,
        };
    }
    Ok(match answers.is_empty() {
        true => Outcome::Silence,
        false => Outcome::Acknowledged(answers),
    })
}
