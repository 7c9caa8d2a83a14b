// SPDX-License-Identifier: GPL-2.0 OR MIT

//! RPC over UDP and TCP as a caller, and the portmapper there.
//!
//! Over UDP as XNFS has it: the caller says how long he waits; ICMP unreachable ends the wait at
//! once; late and duplicate replies are rejected by their transaction identifier; a call that needs
//! no reply waits for none.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::libc::linger;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Linger};
use vmtp::MESSAGE_SIZE;

use crate::message::{self, words, Call, Refusal};
use crate::portmap::{self, Mapping};

/// The most that a UDP datagram carries.
pub const DATAGRAM_MAX: usize = 65_507;
/// How long a portmapper may take.
const PORTMAPPER_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is asked whether a caller still waits.
const ASK: Duration = Duration::from_secs(5);
/// The ports that only root may use. rpcbind wants registrations to come from one.
const RESERVED_PORTS: std::ops::Range<u16> = 600..1024;
/// The bit of a record mark that says it is the last fragment (RFC 1057, 10).
const LAST_FRAGMENT: u32 = 1 << 31;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is nobody, says ICMP or TCP.
    #[error("nobody is there ({0})")]
    Unreachable(io::Error),
    /// The time is up, or nobody waits any more.
    #[error("there was no reply in time")]
    TimedOut,
    /// Something else.
    #[error(transparent)]
    Io(io::Error),
    /// There was one, without results.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        use io::ErrorKind::{
            ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut, WouldBlock,
        };
        match error.kind() {
            ConnectionRefused | HostUnreachable | NetworkUnreachable => Failure::Unreachable(error),
            TimedOut | WouldBlock => Failure::TimedOut,
            _ => Failure::Io(error),
        }
    }
}

/// How long a reply is waited for: for a time, and while its caller waits, who is asked now and then.
pub struct Wait<'a> {
    end: Instant,
    ask: Cell<Instant>,
    is_wanted: &'a dyn Fn() -> bool,
}

impl<'a> Wait<'a> {
    /// Begins now.
    pub fn new(limit: Duration, is_wanted: &'a dyn Fn() -> bool) -> Wait<'a> {
        let now = Instant::now();
        Wait {
            end: now + limit,
            ask: Cell::new(now + ASK),
            is_wanted,
        }
    }

    /// How long may be waited before this is called again. TimedOut at the end.
    fn left(&self) -> io::Result<Duration> {
        if self.ask.get() <= Instant::now() {
            if !(self.is_wanted)() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.ask.set(Instant::now() + ASK);
        }
        Ok(self.rest()?.min(ASK))
    }

    /// How long it is to its end. TimedOut there.
    fn rest(&self) -> io::Result<Duration> {
        match self.end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            rest => Ok(rest),
        }
    }
}

/// A transaction identifier that no recent call had.
pub fn fresh_xid() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as u32);
    // The first is that of the clock; two threads that both think theirs is the first do not mind.
    let _ = NEXT.compare_exchange(0, now | 1, Ordering::Relaxed, Ordering::Relaxed);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Puts another transaction identifier into a message.
pub fn set_xid(message: &mut [u8], xid: u32) {
    if let Some(first) = message.first_chunk_mut() {
        *first = xid.to_be_bytes();
    }
}

/// A socket for one call: what else arrives at its port is not for another.
fn udp_socket(to: SocketAddrV4, reserved: bool) -> io::Result<UdpSocket> {
    let any = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
    let socket = match reserved {
        true => RESERVED_PORTS
            .rev()
            .find_map(|port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).ok())
            .map_or_else(any, Ok)?,
        false => any()?,
    };
    socket.connect(to)?;
    // Also those ICMP errors that are not final for the kernel are for the caller.
    setsockopt(&socket, Ipv4RecvErr, &true)?;
    Ok(socket)
}

/// A call that nobody answers, or whose answer nobody wants.
pub fn udp_send(to: SocketAddrV4, call: &[u8]) -> Result<(), Failure> {
    udp_socket(to, false)?.send(call)?;
    Ok(())
}

/// A call over UDP: its reply.
pub fn udp_call(
    to: SocketAddrV4,
    call: &[u8],
    retry: Option<Duration>,
    wait: &Wait<'_>,
) -> Result<Vec<u8>, Failure> {
    udp_exchange(&udp_socket(to, false)?, call, retry, wait)
}

fn udp_exchange(
    socket: &UdpSocket,
    call: &[u8],
    retry: Option<Duration>,
    wait: &Wait<'_>,
) -> Result<Vec<u8>, Failure> {
    let xid = message::xid(call);
    let mut reply = vec![0; DATAGRAM_MAX];
    loop {
        socket.send(call)?;
        let again = retry.map(|retry| Instant::now() + retry);
        loop {
            let mut left = wait.left()?;
            if let Some(again) = again {
                left = left.min(again.saturating_duration_since(Instant::now()));
            }
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut reply) {
                Ok(octets) => {
                    let octets = reply.get(..octets).unwrap_or_default();
                    if message::is_reply(octets) && message::xid(octets) == xid {
                        reply.truncate(octets.len());
                        return Ok(reply);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => match Failure::from(error) {
                    Failure::TimedOut => (),
                    failure => return Err(failure),
                },
            }
        }
    }
}

/// A stream whose reads and writes all end with one wait.
struct Timed<'a> {
    stream: TcpStream,
    wait: &'a Wait<'a>,
}

impl Timed<'_> {
    /// Tries again as long as nothing could be done in the part of the wait that was left to it.
    fn patiently<T>(
        &mut self,
        mut attempt: impl FnMut(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let left = Some(self.wait.left()?);
            self.stream.set_read_timeout(left)?;
            self.stream.set_write_timeout(left)?;
            match attempt(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                result => return result,
            }
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patiently(|stream| stream.read(buffer))
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.patiently(|stream| stream.write(octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A call over TCP, which is sent once: its reply.
pub fn tcp_call(to: SocketAddrV4, call: &[u8], wait: &Wait<'_>) -> Result<Vec<u8>, Failure> {
    let stream = TcpStream::connect_timeout(&to.into(), wait.rest()?)?;
    stream.set_nodelay(true)?;
    // Else the port would not be free for a minute, and 500 calls a second would use up all.
    let reset = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, Linger, &reset).map_err(io::Error::from)?;
    let mut stream = Timed { stream, wait };
    write_record(&mut stream, call)?;
    let xid = message::xid(call);
    loop {
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let reply = read_record(&mut stream)?.ok_or_else(ended)?;
        if message::is_reply(&reply) && message::xid(&reply) == xid {
            return Ok(reply);
        }
    }
}

/// Writes a record (RFC 1057, 10) in one fragment.
pub fn write_record(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let mark = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut record = words(&[LAST_FRAGMENT | mark]);
    record.extend_from_slice(message);
    to.write_all(&record)
}

/// Reads a record of any fragments; None at the end of the stream. One that is longer than a VMTP
/// message is an error.
pub fn read_record(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut record = Vec::new();
    let mut first = true;
    loop {
        let mut mark = [0; 4];
        match from.read_exact(&mut mark) {
            Err(error) if first && error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        first = false;
        let mark = u32::from_be_bytes(mark);
        let octets = (mark & !LAST_FRAGMENT) as usize;
        let whole = record.len() + octets;
        // An empty fragment that is not the last could go on for ever.
        if whole > MESSAGE_SIZE || (octets == 0 && mark & LAST_FRAGMENT == 0) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let got = from.take(octets as u64).read_to_end(&mut record)?;
        if got < octets {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if mark & LAST_FRAGMENT != 0 {
            return Ok(Some(record));
        }
    }
}

/// A call to a portmapper: the results.
fn ask_portmapper(at: SocketAddrV4, number: u32, arguments: &[u8]) -> Result<Vec<u8>, Failure> {
    let call = Call {
        xid: fresh_xid(),
        procedure: portmap::procedure(number),
        arguments,
    };
    let octets = call.to_octets();
    let wait = Wait::new(PORTMAPPER_PATIENCE, &|| true);
    let reply = match number {
        // A list may be longer than rpcbind puts into a datagram.
        portmap::DUMP => tcp_call(at, &octets, &wait)?,
        _ => {
            let retry = Some(Duration::from_secs(1));
            udp_exchange(&udp_socket(at, true)?, &octets, retry, &wait)?
        }
    };
    Ok(message::results(call.xid, &reply)?.to_vec())
}

fn portmapper_of(host: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(host, portmap::PORT)
}

/// The programs that a host's portmapper has.
pub fn dump(host: Ipv4Addr) -> Result<Vec<Mapping>, Failure> {
    dump_of(portmapper_of(host))
}

fn dump_of(portmapper: SocketAddrV4) -> Result<Vec<Mapping>, Failure> {
    let results = ask_portmapper(portmapper, portmap::DUMP, &[])?;
    Ok(portmap::parse_list(&results).ok_or(Refusal::Malformed)?)
}

/// Registers a program with this host's portmapper. Whether it was not there yet.
pub fn set(mapping: &Mapping) -> Result<bool, Failure> {
    change(portmap::SET, mapping)
}

/// Takes a version of a program out of this host's portmapper, for all protocols.
pub fn unset(mapping: &Mapping) -> Result<bool, Failure> {
    change(portmap::UNSET, mapping)
}

fn change(number: u32, mapping: &Mapping) -> Result<bool, Failure> {
    let own = portmapper_of(Ipv4Addr::LOCALHOST);
    let results = ask_portmapper(own, number, &mapping.to_octets())?;
    Ok(message::xid(&results) == Some(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    const LIMIT: Duration = Duration::from_secs(20);

    fn call(xid: u32) -> Vec<u8> {
        Call {
            xid,
            procedure: portmap::procedure(0),
            arguments: &[],
        }
        .to_octets()
    }

    fn within(limit: Duration) -> Wait<'static> {
        Wait::new(limit, &|| true)
    }

    fn server() -> (UdpSocket, SocketAddrV4) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        (socket, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    }

    #[test]
    fn replies_of_other_calls_are_rejected_by_their_xid() {
        let (socket, address) = server();
        let answering = thread::spawn(move || {
            let mut buffer = [0; 100];
            let (octets, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&message::success(6, b"late"), from).unwrap();
            socket.send_to(&buffer[..octets], from).unwrap(); // no reply
            socket.send_to(b"xy", from).unwrap();
            socket.send_to(&message::success(7, b"mine"), from).unwrap();
        });
        let reply = udp_call(address, &call(7), None, &within(LIMIT)).unwrap();
        assert_eq!(message::results(7, &reply), Ok(&b"mine"[..]));
        answering.join().unwrap();
    }

    #[test]
    fn icmp_unreachable_ends_the_wait_at_once() {
        let (socket, address) = server();
        drop(socket);
        let begin = Instant::now();
        let error = udp_call(address, &call(7), None, &within(LIMIT)).unwrap_err();
        assert!(matches!(error, Failure::Unreachable(_)), "{error}");
        assert!(begin.elapsed() < LIMIT / 2);
    }

    #[test]
    fn the_caller_says_how_long_he_waits() {
        let (_socket, address) = server();
        let limit = Duration::from_millis(100);
        let begin = Instant::now();
        let error = udp_call(address, &call(7), None, &within(limit)).unwrap_err();
        assert!(matches!(error, Failure::TimedOut), "{error}");
        assert!(begin.elapsed() >= limit);
    }

    #[test]
    fn a_call_is_sent_again_with_the_same_xid_and_only_if_wanted() {
        let (socket, address) = server();
        let retry = Duration::from_millis(30);
        let limit = retry * 10;
        assert!(udp_call(address, &call(7), Some(retry), &within(limit)).is_err());
        assert!(udp_call(address, &call(8), None, &within(limit)).is_err());
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 100];
        let mut seen = [0, 0];
        while let Ok(octets) = socket.recv(&mut buffer) {
            match message::xid(&buffer[..octets]) {
                Some(7) => seen[0] += 1,
                Some(8) => seen[1] += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(seen[0] > 1, "{seen:?}");
        assert_eq!(seen[1], 1);
    }

    #[test]
    fn records_are_read_in_fragments_and_bounded() {
        let mut stream: &[u8] = &[0, 0, 0, 2, 1, 2, 0x80, 0, 0, 1, 3, 0x80, 0, 0, 0];
        assert_eq!(read_record(&mut stream).unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(read_record(&mut stream).unwrap(), Some(vec![]));
        assert_eq!(read_record(&mut stream).unwrap(), None);
        for bad in [
            &[0x80, 0x40, 0, 1][..], // 4 MiB and one
            &[0xFF, 0xFF, 0xFF, 0xFF],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[0x80, 0, 0, 2, 1],
            &[0x80, 0],
        ] {
            let mut stream = bad;
            let result = read_record(&mut stream);
            assert!(result.is_err() || bad.len() == 2, "{bad:?}: {result:?}");
        }
    }

    #[test]
    fn a_call_over_tcp_has_its_reply() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let record = read_record(&mut stream).unwrap().unwrap();
            assert_eq!(record, call(9));
            write_record(&mut stream, &message::success(9, &[7; 4])).unwrap();
        });
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let reply = tcp_call(to, &call(9), &within(LIMIT)).unwrap();
        assert_eq!(message::results(9, &reply), Ok(&[7; 4][..]));
        answering.join().unwrap();
    }

    #[test]
    fn the_list_of_a_portmapper_may_be_longer_than_a_datagram() {
        let mapping = Mapping {
            program: 200_001,
            version: 1,
            protocol: portmap::Protocol::TCP,
            port: 2049,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let record = read_record(&mut stream).unwrap().unwrap();
            let list = portmap::list_to_octets(&vec![mapping; 4000]);
            let xid = message::xid(&record).unwrap();
            write_record(&mut stream, &message::success(xid, &list)).unwrap();
        });
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        assert_eq!(dump_of(to).unwrap(), vec![mapping; 4000]);
        answering.join().unwrap();
    }

    /// Nobody waits, and it is time to ask.
    fn unwanted() -> Wait<'static> {
        Wait {
            ask: Cell::new(Instant::now()),
            ..Wait::new(LIMIT, &|| false)
        }
    }

    #[test]
    fn a_wait_ends_when_its_caller_does_not_wait_any_more() {
        let (_socket, address) = server();
        let begin = Instant::now();
        let error = udp_call(address, &call(7), None, &unwanted()).unwrap_err();
        assert!(matches!(error, Failure::TimedOut), "{error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let error = tcp_call(to, &call(7), &unwanted()).unwrap_err();
        assert!(matches!(error, Failure::TimedOut), "{error}");
        assert!(begin.elapsed() < LIMIT / 2);
    }

    #[test]
    fn a_server_that_sends_octet_by_octet_does_not_make_a_wait_longer() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let dripping = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut record = Vec::new();
            write_record(&mut record, &message::success(9, &[7; 40])).unwrap();
            for octet in record {
                if stream.write_all(&[octet]).is_err() {
                    break; // the caller has given up
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let error = tcp_call(to, &call(9), &within(Duration::from_millis(500))).unwrap_err();
        assert!(matches!(error, Failure::TimedOut), "{error}");
        dripping.join().unwrap();
    }
}
