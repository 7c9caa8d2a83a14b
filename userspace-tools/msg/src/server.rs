// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The server: takes messages over UDP, TCP and VMTP, has them shown, and acknowledges as each
//! version and transport wants it.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use vmtp::{Code, Entity, IncomingRequest, Membership, Reply, Server};

use crate::message::{Acknowledgement, Error, Message, Version, SIZE};
use crate::server_of;
use crate::terminal::Terminals;

/// How many messages are remembered to know duplicates by.
const REMEMBERED: usize = 1024;
/// How many TCP connections there are at a time.
const CONNECTIONS: usize = 64;
/// A TCP connection without a message for so long is closed ("on the order of minutes").
const IDLE: Duration = Duration::from_secs(120);
/// How often it is looked whether the host has new addresses.
const LOOK_AROUND: Duration = Duration::from_secs(2);
/// The most addresses that are served over VMTP.
const ADDRESSES_MAX: usize = 256;

/// What is served.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port over UDP and TCP; none is neither.
    pub port: Option<u16>,
    /// Groups to join over VMTP; None is no VMTP at all.
    pub groups: Option<Vec<Entity>>,
    /// Where messages are shown.
    pub terminals: Terminals,
}

/// The messages that came over UDP, by source, port and cookie, with what was answered.
#[derive(Debug, Default)]
struct Remembered {
    answers: HashMap<(SocketAddr, Vec<u8>), Option<Vec<u8>>>,
    order: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl Remembered {
    fn get(&self, from: SocketAddr, cookie: &[u8]) -> Option<Option<Vec<u8>>> {
        self.answers.get(&(from, cookie.to_vec())).cloned()
    }

    fn insert(&mut self, from: SocketAddr, cookie: Vec<u8>, answer: Option<Vec<u8>>) {
        let key = (from, cookie);
        self.order.push_back(key.clone());
        self.answers.insert(key, answer);
        if self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.answers.remove(&oldest);
            }
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Msgd {
    options: Options,
    remembered: Mutex<Remembered>,
    connections: (Mutex<usize>, Condvar),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A port is not to be had.
    #[error("port {0}: {1}")]
    Port(u16, io::Error),
    /// VMTP is not to be had.
    #[error(transparent)]
    Vmtp(#[from] vmtp::Error),
}

impl Msgd {
    /// Serves; `ready` is told each place. Returns only if it cannot.
    pub fn run(options: Options, ready: impl Fn(&str)) -> Result<Infallible, Trouble> {
        let msgd = Arc::new(Msgd {
            options,
            remembered: Mutex::default(),
            connections: (Mutex::new(0), Condvar::new()),
        });
        if let Some(port) = msgd.options.port {
            let trouble = |error| Trouble::Port(port, error);
            let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(trouble)?;
            let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(trouble)?;
            ready(&format!("udp and tcp port {port}"));
            let (for_udp, for_tcp) = (Arc::clone(&msgd), Arc::clone(&msgd));
            thread::spawn(move || for_udp.serve_udp(&udp, port));
            thread::spawn(move || for_tcp.serve_tcp(&tcp));
        }
        let mut served: Vec<Ipv4Addr> = Vec::new();
        loop {
            if let Some(groups) = &msgd.options.groups {
                for address in own_addresses() {
                    if served.contains(&address) || served.len() >= ADDRESSES_MAX {
                        continue;
                    }
                    let server = match Server::bind(server_of(address)) {
                        Ok(server) => server,
                        // An address may have gone between looking and binding; the first must do.
                        Err(_) if !served.is_empty() => continue,
                        Err(error) => return Err(error.into()),
                    };
                    // One of our entities in a group is enough, and that of the loopback is not it.
                    if !served.iter().any(|other| !other.is_loopback()) && !address.is_loopback() {
                        for group in groups {
                            server.socket().join(Membership::new(*group))?;
                        }
                    }
                    ready(&server.entity()?.to_string());
                    served.push(address);
                    let msgd = Arc::clone(&msgd);
                    thread::spawn(move || msgd.serve_vmtp(&server));
                }
            }
            thread::sleep(LOOK_AROUND);
        }
    }

    fn deliver(&self, message: &Message, from: IpAddr) -> Acknowledgement {
        self.options.terminals.deliver(message, &from.to_string())
    }

    fn serve_udp(&self, socket: &UdpSocket, port: u16) {
        let mut buffer = [0; SIZE + 1];
        loop {
            let Ok((octets, from)) = socket.recv_from(&mut buffer) else {
                continue; // an earlier answer that did not arrive
            };
            let octets = buffer.get(..octets).unwrap_or_default();
            // Two servers that answer each other would do so for ever.
            if let (Some(answer), true) = (self.datagram(octets, from), from.port() != port) {
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    /// Takes a datagram: what is to be answered, if anything.
    fn datagram(&self, octets: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let message = Message::parse(octets).ok()?;
        match message.version {
            // RFC 1159: the same data, in any case.
            Version::A => {
                self.deliver(&message, from.ip());
                Some(octets.to_vec())
            }
            Version::B => {
                if let Some(answer) = lock(&self.remembered).get(from, &message.cookie) {
                    return answer;
                }
                let acknowledgement = self.deliver(&message, from.ip());
                // RFC 1312: nobody hears of what was for anybody, or was not delivered.
                let answered = acknowledgement.delivered && !message.recipient.is_empty();
                let answer = answered.then(|| acknowledgement.to_octets());
                lock(&self.remembered).insert(from, message.cookie, answer.clone());
                answer
            }
        }
    }

    fn serve_tcp(self: &Arc<Self>, listener: &TcpListener) {
        let (open, closed) = &self.connections;
        loop {
            let mut count = lock(open);
            while *count >= CONNECTIONS {
                count = closed.wait(count).unwrap_or_else(PoisonError::into_inner);
            }
            *count += 1;
            drop(count);
            let accepted = listener.accept();
            let msgd = Arc::clone(self);
            let finish = move |msgd: &Msgd| {
                *lock(&msgd.connections.0) -= 1;
                msgd.connections.1.notify_one();
            };
            match accepted {
                Ok((stream, from)) => {
                    thread::spawn(move || {
                        // Who breaks off has ended the connection.
                        let _ = msgd.serve_stream(stream, from.ip());
                        finish(&msgd);
                    });
                }
                Err(_) => {
                    finish(&msgd);
                    thread::sleep(Duration::from_millis(100)); // no descriptors left, perhaps
                }
            }
        }
    }

    /// The messages of a connection, each acknowledged if it is of version 2.
    fn serve_stream(&self, mut stream: TcpStream, from: IpAddr) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(IDLE))?;
        let mut pending = Vec::new();
        loop {
            let (message, length) = match Message::parse_first(&pending) {
                Ok(found) => found,
                Err(Error::Incomplete) => {
                    let mut more = [0; SIZE];
                    let octets = stream.read(&mut more)?;
                    if octets == 0 {
                        return Ok(());
                    }
                    pending.extend_from_slice(more.get(..octets).unwrap_or_default());
                    continue;
                }
                // Where the next message begins cannot be known.
                Err(_) => return Ok(()),
            };
            pending.drain(..length);
            let acknowledgement = self.deliver(&message, from);
            if message.version == Version::B {
                stream.write_all(&acknowledgement.to_octets())?;
            }
        }
    }

    fn serve_vmtp(&self, server: &Server) {
        loop {
            match server.recv() {
                // That a Client has gone is its own business.
                Ok(request) => drop(self.request(request)),
                Err(error) if error.interrupted() => (),
                Err(_) => thread::sleep(Duration::from_secs(1)),
            }
        }
    }

    fn request(&self, request: IncomingRequest<'_>) -> vmtp::Result<()> {
        let from = request.host().address().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let acknowledgement = match Message::parse(request.segment()) {
            Ok(message) if request.code() == Code::from_word(crate::CODE) => {
                self.deliver(&message, from.into())
            }
            Ok(_) => Acknowledgement {
                delivered: false,
                explanation: b"this is the Message Send Protocol".to_vec(),
            },
            Err(error) => Acknowledgement {
                delivered: false,
                explanation: error.to_string().into_bytes(),
            },
        };
        if request.is_datagram() {
            return Ok(());
        }
        request.reply(&Reply::ok().segment(&acknowledgement.to_octets()))
    }
}

fn own_addresses() -> Vec<Ipv4Addr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces
        .into_iter()
        .filter_map(|interface| match interface.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn msgd() -> Msgd {
        let nowhere = std::env::temp_dir().join("vmtp-no-terminals-here");
        Msgd {
            options: Options {
                terminals: Terminals {
                    console: nowhere.join("console"),
                    devices: nowhere,
                },
                ..Options::default()
            },
            remembered: Mutex::default(),
            connections: (Mutex::new(0), Condvar::new()),
        }
    }

    const FROM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4000);

    #[test]
    fn version_1_is_answered_with_the_same_data() {
        let octets = b"Anobody\0\0hello\0";
        assert_eq!(msgd().datagram(octets, FROM), Some(octets.to_vec()));
    }

    #[test]
    fn version_2_is_not_answered_when_it_was_not_delivered() {
        let octets = b"Bnobody-here\0\0hello\0me\0\0c1\0\0";
        assert_eq!(msgd().datagram(octets, FROM), None);
    }

    #[test]
    fn malformed_datagrams_are_not_answered() {
        for octets in [&b""[..], b"A", b"B\0\0", b"Cx\0\0y\0", &[0xFF; 513]] {
            assert_eq!(msgd().datagram(octets, FROM), None);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut remembered = Remembered::default();
        for cookie in 0..2 * REMEMBERED {
            remembered.insert(FROM, cookie.to_string().into(), None);
        }
        assert_eq!(remembered.answers.len(), REMEMBERED);
        assert!(remembered.get(FROM, b"0").is_none());
        let last = (2 * REMEMBERED - 1).to_string();
        assert_eq!(remembered.get(FROM, last.as_bytes()), Some(None));
    }
}
