// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The server: takes messages over UDP, TCP and VMTP, has them shown, and acknowledges as each
//! version and transport wants it.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vmtp::{Code, Entity, IncomingRequest, Membership, Reply, Server};
use vmtp_inet::connections::{Connection, Connections};
use vmtp_inet::door::Door;
use vmtp_inet::slots::Slots;

use crate::message::{Acknowledgement, Error, Message, Version, SIZE};
use crate::server_of;
use crate::terminal::Terminals;

/// How many messages are remembered to know duplicates by.
const REMEMBERED: usize = 1024;
/// How long the same datagram of version 1 from the same source is a duplicate. What would go round
/// between servers that answer each other comes again much sooner.
const SAME: Duration = Duration::from_secs(10);
/// How long the same cookie of version 2 from the same source is a duplicate. What has the same later is
/// another message, of a client whose cookies begin anew.
const SAME_COOKIE: Duration = Duration::from_secs(60);
/// How many messages over UDP are shown at a time. One beyond is lost, as over UDP it may be.
const DATAGRAMS: usize = 64;
/// A datagram from a port below this is not answered: what serves there may answer in turn.
const CLIENT_PORTS: u16 = 1024;
/// How many TCP connections there are at a time, most of them idle.
const CONNECTIONS: usize = 256;
/// A TCP connection without a message for so long is closed ("on the order of minutes").
const IDLE: Duration = Duration::from_secs(120);
/// How long it may take until all of a message has come over TCP, or its acknowledgement has been taken.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);
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

/// A message that came over UDP, by its source with its port and its cookie, in any case of letters; one
/// of version 1 by all its octets, which have NULs as no cookie has.
type Key = (SocketAddr, Vec<u8>);

/// The messages that came over UDP, with when that was and what is answered to a duplicate.
#[derive(Debug, Default)]
struct Remembered {
    answers: HashMap<Key, (Instant, Option<Vec<u8>>)>,
    order: VecDeque<(Instant, Key)>,
}

/// Whether a message came before.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Never,
    /// With what is answered; nothing as long as it is being shown.
    Before(Option<Vec<u8>>),
}

impl Remembered {
    /// Looks whether a message came within that time; else it comes now.
    fn take(&mut self, key: &Key, now: Instant, within: Duration) -> Seen {
        match self.answers.get(key) {
            Some((when, answer)) if now.saturating_duration_since(*when) < within => {
                return Seen::Before(answer.clone());
            }
            Some(_) | None => (),
        }
        self.answers.insert(key.clone(), (now, None));
        self.order.push_back((now, key.clone()));
        if self.order.len() > REMEMBERED {
            if let Some((when, oldest)) = self.order.pop_front() {
                // It may have come again.
                if self
                    .answers
                    .get(&oldest)
                    .is_some_and(|(last, _)| *last == when)
                {
                    self.answers.remove(&oldest);
                }
            }
        }
        Seen::Never
    }

    fn answer(&mut self, key: &Key, answer: Option<Vec<u8>>) {
        if let Some((_, kept)) = self.answers.get_mut(key) {
            *kept = answer;
        }
    }

    fn forget(&mut self, key: &Key) {
        self.answers.remove(key);
    }
}

/// A running server.
#[derive(Debug)]
pub struct Msgd {
    options: Options,
    remembered: Mutex<Remembered>,
    datagrams: Slots,
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
            datagrams: Slots::new(DATAGRAMS),
        });
        if let Some(port) = msgd.options.port {
            let trouble = |error| Trouble::Port(port, error);
            let udp = Door::open(port).map_err(trouble)?;
            let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(trouble)?;
            ready(&format!("udp and tcp port {port}"));
            let (for_udp, for_tcp) = (Arc::clone(&msgd), Arc::clone(&msgd));
            thread::spawn(move || for_udp.serve_udp(udp));
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

    /// Each message in a thread of its own: a terminal that is stopped keeps no other from its own.
    fn serve_udp(self: &Arc<Self>, door: Door) {
        let door = Arc::new(door);
        let mut buffer = [0; SIZE + 1];
        loop {
            let Ok((octets, caller)) = door.receive(&mut buffer) else {
                continue; // an earlier answer that did not arrive
            };
            if !self.datagrams.try_take() {
                continue;
            }
            let (msgd, door, octets) = (Arc::clone(self), Arc::clone(&door), octets.to_vec());
            thread::spawn(move || {
                let from = caller.from().into();
                if let Some(answer) = msgd.datagram(&octets, from, Instant::now()) {
                    door.answer(&answer, &caller);
                }
                msgd.datagrams.give_back();
            });
        }
    }

    /// Takes a datagram: what is to be answered, if anything.
    fn datagram(&self, octets: &[u8], from: SocketAddr, now: Instant) -> Option<Vec<u8>> {
        let message = Message::parse(octets).ok()?;
        let answer = match message.version {
            Version::A => self.version_1(&message, octets, from, now),
            Version::B => self.version_2(message, from, now),
        };
        answer.filter(|_| from.port() >= CLIENT_PORTS)
    }

    /// RFC 1159: answered with the same data, in any case. But a server that answers so too, or the
    /// echo of a host, sends that back: what comes again is neither shown nor answered.
    fn version_1(
        &self,
        message: &Message,
        octets: &[u8],
        from: SocketAddr,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let key = (from, octets.to_vec());
        match lock(&self.remembered).take(&key, now, SAME) {
            Seen::Before(_) => return None,
            Seen::Never => (),
        }
        self.deliver(message, from.ip());
        Some(octets.to_vec())
    }

    fn version_2(&self, message: Message, from: SocketAddr, now: Instant) -> Option<Vec<u8>> {
        let key = (from, message.cookie.to_ascii_lowercase());
        match lock(&self.remembered).take(&key, now, SAME_COOKIE) {
            Seen::Before(answer) => return answer,
            Seen::Never => (),
        }
        let acknowledgement = self.deliver(&message, from.ip());
        // RFC 1312: nobody hears of what was for anybody, or was not delivered; that may be tried again.
        if !acknowledgement.delivered {
            lock(&self.remembered).forget(&key);
            return None;
        }
        let answer = (!message.recipient.is_empty()).then(|| acknowledgement.to_octets());
        lock(&self.remembered).answer(&key, answer.clone());
        answer
    }

    fn serve_tcp(self: &Arc<Self>, listener: &TcpListener) {
        let msgd = Arc::clone(self);
        let connections = Connections::new(CONNECTIONS);
        connections.accept(listener, move |connection, from| {
            msgd.serve_stream(connection, from.ip())
        });
    }

    /// The messages of a connection, each acknowledged if it is of version 2.
    fn serve_stream(&self, connection: &Connection, from: IpAddr) -> io::Result<()> {
        let mut pending = Vec::new();
        while !pending.is_empty() || connection.wait(IDLE)? {
            let mut stream = connection.within(MESSAGE_LIMIT);
            let (message, length) = loop {
                match Message::parse_first(&pending) {
                    Ok(found) => break found,
                    Err(Error::Incomplete) => {
                        let mut more = [0; SIZE];
                        let octets = stream.read(&mut more)?;
                        if octets == 0 {
                            return Ok(());
                        }
                        pending.extend_from_slice(more.get(..octets).unwrap_or_default());
                    }
                    // Where the next message begins cannot be known.
                    Err(_) => return Ok(()),
                }
            };
            pending.drain(..length);
            let acknowledgement = connection.serve(|| self.deliver(&message, from));
            if message.version == Version::B {
                let mut stream = connection.within(MESSAGE_LIMIT);
                stream.write_all(&acknowledgement.to_octets())?;
            }
        }
        Ok(())
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
    use std::net::UdpSocket;

    use nix::pty::openpty;
    use nix::sys::termios::{tcflow, FlowArg};
    use nix::unistd::ttyname;

    fn msgd() -> Msgd {
        let nowhere = std::env::temp_dir().join("vmtp-no-terminals-here");
        Msgd {
            options: Options {
                terminals: Terminals {
                    console: nowhere.join("console"),
                    devices: nowhere,
                    ..Terminals::default()
                },
                ..Options::default()
            },
            remembered: Mutex::default(),
            datagrams: Slots::new(DATAGRAMS),
        }
    }

    const FROM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4000);

    #[test]
    fn version_1_is_answered_with_the_same_data() {
        let octets = b"Anobody\0\0hello\0";
        let now = Instant::now();
        assert_eq!(msgd().datagram(octets, FROM, now), Some(octets.to_vec()));
    }

    #[test]
    fn a_terminal_that_is_stopped_keeps_no_other_message_waiting() {
        let stopped = openpty(None, None).unwrap();
        tcflow(&stopped.slave, FlowArg::TCOOFF).unwrap();
        let mut msgd = msgd();
        msgd.options.terminals.console = ttyname(&stopped.slave).unwrap();
        let door = Door::open(0).unwrap();
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client
            .connect((Ipv4Addr::LOCALHOST, door.port().unwrap()))
            .unwrap();
        thread::spawn(move || Arc::new(msgd).serve_udp(door));
        for number in 0..DATAGRAMS / 2 {
            let message = format!("A\0\0to the console {number}\0");
            client.send(message.as_bytes()).unwrap();
        }
        let other = b"Anobody\0\0hello\0";
        client.send(other).unwrap();
        // Each of the others takes as long as a stopped terminal is waited for.
        let mut buffer = [0; SIZE];
        client.set_read_timeout(Some(IDLE)).unwrap();
        let octets = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..octets], other);
    }

    #[test]
    fn version_1_does_not_go_round_between_servers_that_answer_each_other() {
        let octets = b"Anobody\0\0hello\0";
        let (msgd, now) = (msgd(), Instant::now());
        let echo = SocketAddr::new(FROM.ip(), 7);
        assert_eq!(msgd.datagram(octets, echo, now), None);
        let answer = msgd.datagram(octets, FROM, now).unwrap();
        let soon = now + Duration::from_secs(1);
        assert_eq!(msgd.datagram(&answer, FROM, soon), None);
        let other = SocketAddr::new(FROM.ip(), 4001);
        assert!(msgd.datagram(octets, other, soon).is_some());
        // Somebody who says it once more.
        let later = now + Duration::from_secs(60);
        assert!(msgd.datagram(octets, FROM, later).is_some());
        assert_eq!(msgd.datagram(octets, FROM, later), None);
    }

    #[test]
    fn a_system_port_is_never_answered() {
        let octets = b"Broot\0\0hello\0me\0\0c1\0\0";
        let msgd = msgd();
        for (port, answered) in [(7, false), (1023, false), (1024, true)] {
            let from = SocketAddr::new(FROM.ip(), port);
            let now = Instant::now();
            remember(&msgd, from, now, Some(b"+\0".to_vec()));
            assert_eq!(msgd.datagram(octets, from, now).is_some(), answered);
        }
    }

    /// A message with the cookie c1 has come and was answered so.
    fn remember(msgd: &Msgd, from: SocketAddr, now: Instant, answer: Option<Vec<u8>>) {
        let key = (from, b"c1".to_vec());
        let mut remembered = lock(&msgd.remembered);
        assert_eq!(remembered.take(&key, now, SAME_COOKIE), Seen::Never);
        remembered.answer(&key, answer);
    }

    #[test]
    fn a_cookie_is_the_same_in_any_case_of_letters_and_for_a_time() {
        let answer = Some(b"+\0".to_vec());
        let (msgd, now) = (msgd(), Instant::now());
        remember(&msgd, FROM, now, answer.clone());
        let soon = now + Duration::from_secs(5);
        for octets in [b"Broot\0\0x\0me\0\0c1\0\0", b"Broot\0\0x\0me\0\0C1\0\0"] {
            assert_eq!(msgd.datagram(octets, FROM, soon), answer);
        }
        let tomorrow = now + Duration::from_secs(86_400);
        let octets = b"Broot\0\0x\0me\0\0c1\0\0";
        assert_eq!(msgd.datagram(octets, FROM, tomorrow), None, "not delivered");
    }

    #[test]
    fn what_was_not_delivered_is_not_remembered() {
        let (msgd, now) = (msgd(), Instant::now());
        let octets = b"Bnobody-here\0\0hello\0me\0\0c1\0\0";
        assert_eq!(msgd.datagram(octets, FROM, now), None);
        remember(&msgd, FROM, now, None);
    }

    #[test]
    fn version_2_is_not_answered_when_it_was_not_delivered() {
        let octets = b"Bnobody-here\0\0hello\0me\0\0c1\0\0";
        assert_eq!(msgd().datagram(octets, FROM, Instant::now()), None);
    }

    #[test]
    fn malformed_datagrams_are_not_answered() {
        for octets in [&b""[..], b"A", b"B\0\0", b"Cx\0\0y\0", &[0xFF; 513]] {
            assert_eq!(msgd().datagram(octets, FROM, Instant::now()), None);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut remembered = Remembered::default();
        let now = Instant::now();
        let key = |cookie: usize| (FROM, cookie.to_string().into_bytes());
        for cookie in 0..2 * REMEMBERED {
            let key = key(cookie);
            assert_eq!(remembered.take(&key, now, SAME), Seen::Never);
            assert_eq!(remembered.take(&key, now, SAME), Seen::Before(None));
        }
        assert_eq!(remembered.answers.len(), REMEMBERED);
        assert_eq!(remembered.order.len(), REMEMBERED);
        let last = key(2 * REMEMBERED - 1);
        assert_eq!(remembered.take(&last, now, SAME), Seen::Before(None));
        assert_eq!(remembered.take(&key(0), now, SAME), Seen::Never);
    }
}
