// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Callers over UDP and TCP reach the programs that a host's binder has. They are registered with
//! this host's rpcbind, at one UDP and one TCP port.
//!
//! A UDP caller sends a call again when it hears nothing. Such a duplicate is not executed again: it
//! is dropped while the call is under way, and answered from a store of replies after. One that had no
//! reply may still be under way at its server: its duplicates are dropped as long as it is in the store.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use vmtp::{Client, Code, Entity, Request, MESSAGE_SIZE};

use super::{net, Options, LOOK_AROUND};
use crate::caller::{self, Caller};
use crate::message::{self, Call, Incoming, Procedure, Refusal};
use crate::portmap::{Mapping, Protocol};

/// How many replies are kept for duplicates of UDP callers.
const REPLIES_MAX: usize = 1024;
/// A TCP caller that says nothing for so long is disconnected.
const IDLE: Duration = Duration::from_secs(300);

/// By what a UDP call is known when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    from: SocketAddr,
    xid: u32,
    program: u32,
    version: u32,
    number: u32,
}

/// The UDP calls that were taken, with their replies if they have one: none under way is ever
/// forgotten, of those that have ended the oldest.
#[derive(Debug, Default)]
struct Recent {
    calls: HashMap<Key, Option<Arc<[u8]>>>,
    ended: VecDeque<Key>,
}

/// What to do with a UDP call.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Execute,
    Drop,
    Repeat(Arc<[u8]>),
}

impl Recent {
    fn take(&mut self, key: Key) -> Verdict {
        match self.calls.get(&key) {
            Some(Some(reply)) => Verdict::Repeat(Arc::clone(reply)),
            Some(None) => Verdict::Drop,
            None => {
                self.calls.insert(key, None);
                Verdict::Execute
            }
        }
    }

    /// The call has ended. Without a reply nobody knows whether it was executed: it never is again.
    fn finish(&mut self, key: Key, reply: Option<&[u8]>) {
        self.calls.insert(key, reply.map(Arc::from));
        self.ended.push_back(key);
        if self.ended.len() > REPLIES_MAX {
            if let Some(oldest) = self.ended.pop_front() {
                self.calls.remove(&oldest);
            }
        }
    }
}

/// Counts calls under way.
#[derive(Debug)]
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    fn try_take(&self) -> bool {
        let mut free = lock(&self.free);
        let some = *free > 0;
        *free -= usize::from(some);
        some
    }

    fn take(&self) {
        let mut free = lock(&self.free);
        while *free == 0 {
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
    }

    fn give_back(&self) {
        *lock(&self.free) += 1;
        self.freed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of a call.
enum Outcome {
    /// A reply, of the server or in its place.
    Reply(Vec<u8>),
    /// Nobody knows; whoever waits may wait on.
    Silence,
}

/// The ports at which all programs are registered with rpcbind.
#[derive(Clone, Copy, Debug)]
struct Doors {
    udp: u16,
    tcp: u16,
}

impl Doors {
    /// The mappings of a version of a program.
    fn of(self, program: u32, version: u32) -> [Mapping; 2] {
        [(Protocol::UDP, self.udp), (Protocol::TCP, self.tcp)].map(|(protocol, port)| Mapping {
            program,
            version,
            protocol,
            port: port.into(),
        })
    }

    /// Whether nobody else has a version of a program registered. Else it is left alone: UNSET would
    /// take it from whoever has it, for all protocols.
    fn is_free(self, there: &[Mapping], program: u32, version: u32) -> bool {
        let own = self.of(program, version);
        let mut same = there
            .iter()
            .filter(|mapping| (mapping.program, mapping.version) == (program, version));
        same.all(|mapping| own.contains(mapping))
    }
}

/// A gateway from UDP and TCP to the programs of a host over VMTP.
#[derive(Debug)]
pub struct ToVmtp {
    host: Ipv4Addr,
    options: Options,
    udp: UdpSocket,
    tcp: TcpListener,
    /// Where programs are, and with which versions they are registered at rpcbind.
    programs: Mutex<HashMap<(u32, u32), Entity>>,
    recent: Mutex<Recent>,
    slots: Slots,
    connections: Slots,
    /// Sockets that no call has at the moment.
    clients: Mutex<Vec<Client>>,
}

impl ToVmtp {
    /// Opens its doors, at any ports.
    pub fn new(host: Ipv4Addr, options: Options) -> io::Result<Arc<ToVmtp>> {
        let slots = |count| Slots {
            free: Mutex::new(count),
            freed: Condvar::new(),
        };
        Ok(Arc::new(ToVmtp {
            host,
            udp: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
            tcp: TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?,
            programs: Mutex::default(),
            recent: Mutex::default(),
            slots: slots(options.calls),
            connections: slots(options.calls),
            clients: Mutex::default(),
            options,
        }))
    }

    /// Its UDP and its TCP port.
    pub fn ports(&self) -> io::Result<(u16, u16)> {
        Ok((self.udp.local_addr()?.port(), self.tcp.local_addr()?.port()))
    }

    /// Runs; `tell` is told what happens. Returns only if it cannot.
    pub fn run(self: Arc<Self>, tell: impl Fn(&str)) -> Result<Infallible, vmtp::Error> {
        let mut caller = Caller::new(caller::PATIENCE)?;
        for door in [Self::serve_udp, Self::serve_tcp] {
            let gateway = Arc::clone(&self);
            thread::spawn(move || door(&gateway));
        }
        let mut said = String::new();
        loop {
            match self.look_around(&mut caller, &tell) {
                Ok(()) => said.clear(),
                // The same trouble is told once.
                Err(trouble) if trouble == said => (),
                Err(trouble) => {
                    tell(&trouble);
                    said = trouble;
                }
            }
            thread::sleep(LOOK_AROUND);
        }
    }

    /// Registers the programs that the host's binder has, and takes back those that it lost.
    fn look_around(&self, caller: &mut Caller, tell: &impl Fn(&str)) -> Result<(), String> {
        let there = caller
            .dump(self.host)
            .map_err(|error| format!("the binder of {}: {error}", self.host))?;
        let doors = self.doors().map_err(|error| error.to_string())?;
        let wanted: Vec<Mapping> = there
            .into_iter()
            .filter(|mapping| self.options.wants(mapping.program))
            .collect();
        let is_there = |key: &(u32, u32)| {
            wanted
                .iter()
                .any(|mapping| (mapping.program, mapping.version) == *key)
        };
        let gone: Vec<(u32, u32)> = lock(&self.programs)
            .keys()
            .filter(|key| !is_there(key))
            .copied()
            .collect();
        if wanted.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let refused = |error| format!("this host's rpcbind: {error}");
        // What rpcbind has, for it may have been started again.
        let registered = net::dump(Ipv4Addr::LOCALHOST).map_err(refused)?;
        for (program, version) in gone {
            self.forget(&registered, program, version);
            tell(&format!("program {program} version {version} has gone"));
        }
        for mapping in wanted {
            let key = (mapping.program, mapping.version);
            if !doors.is_free(&registered, key.0, key.1) {
                // Another's comes first.
                lock(&self.programs).remove(&key);
                continue;
            }
            // It may be another entity than it was.
            let Ok(entity) = caller.lookup(self.host, key.0, key.1) else {
                continue;
            };
            let mut own = doors.of(key.0, key.1).into_iter();
            if !own.clone().all(|door| registered.contains(&door)) {
                // It is there already or, if another has just come, false: that is seen next time.
                let all = own.try_fold(true, |all, door| net::set(&door).map(|set| all && set));
                if !all.map_err(refused)? {
                    continue;
                }
                tell(&format!("program {} version {} at {entity}", key.0, key.1));
            }
            lock(&self.programs).insert(key, entity);
        }
        Ok(())
    }

    fn doors(&self) -> io::Result<Doors> {
        let (udp, tcp) = self.ports()?;
        Ok(Doors { udp, tcp })
    }

    /// Takes everything back from rpcbind.
    pub fn close(&self) {
        let keys: Vec<(u32, u32)> = lock(&self.programs).keys().copied().collect();
        // If rpcbind does not answer there is nothing to take back.
        if let Ok(registered) = net::dump(Ipv4Addr::LOCALHOST) {
            for (program, version) in keys {
                self.forget(&registered, program, version);
            }
        }
    }

    /// Takes a version of a program back from rpcbind, unless another has it.
    fn forget(&self, registered: &[Mapping], program: u32, version: u32) {
        let known = lock(&self.programs).remove(&(program, version)).is_some();
        let is_free = |doors: Doors| doors.is_free(registered, program, version);
        if known && self.doors().is_ok_and(is_free) {
            // If it has gone meanwhile there is nothing to take back.
            let _ = net::unset(&Mapping {
                program,
                version,
                protocol: Protocol(0),
                port: 0,
            });
        }
    }

    /// The entity of a program; of another version if that one is not there, whose service will
    /// tell which are.
    fn find(&self, procedure: Procedure) -> Option<Entity> {
        let programs = lock(&self.programs);
        programs
            .get(&(procedure.program, procedure.version))
            .or_else(|| {
                let mut any = programs.iter();
                any.find(|((program, _), _)| *program == procedure.program)
                    .map(|(_, entity)| entity)
            })
            .copied()
    }

    fn serve_udp(self: &Arc<Self>) {
        let mut buffer = vec![0; net::DATAGRAM_MAX];
        loop {
            let Ok((octets, from)) = self.udp.recv_from(&mut buffer) else {
                continue; // an earlier reply that did not arrive
            };
            let octets = buffer.get(..octets).unwrap_or_default();
            match Incoming::parse(octets) {
                Incoming::Malformed => (),
                Incoming::OtherVersion(xid) => {
                    let why = Refusal::RpcMismatch { low: 2, high: 2 };
                    let _ = self.udp.send_to(&message::refusal(xid, why), from);
                }
                Incoming::Call(call) => self.take_datagram(octets, &call, from),
            }
        }
    }

    fn take_datagram(self: &Arc<Self>, octets: &[u8], call: &Call<'_>, from: SocketAddr) {
        let (xid, procedure) = (call.xid, call.procedure);
        let key = Key {
            from,
            xid,
            program: procedure.program,
            version: procedure.version,
            number: procedure.number,
        };
        if !self.slots.try_take() {
            return;
        }
        match lock(&self.recent).take(key) {
            Verdict::Execute => (),
            verdict => {
                if let Verdict::Repeat(reply) = verdict {
                    let _ = self.udp.send_to(&reply, from);
                }
                self.slots.give_back();
                return;
            }
        }
        let (gateway, octets) = (Arc::clone(self), octets.to_vec());
        thread::spawn(move || {
            let reply = match gateway.execute(xid, procedure, &octets) {
                Outcome::Reply(reply) if reply.len() <= net::DATAGRAM_MAX => Some(reply),
                Outcome::Reply(_) => Some(message::refusal(xid, Refusal::SystemError)),
                Outcome::Silence => None,
            };
            if let Some(reply) = &reply {
                let _ = gateway.udp.send_to(reply, from);
            }
            lock(&gateway.recent).finish(key, reply.as_deref());
            gateway.slots.give_back();
        });
    }

    fn serve_tcp(self: &Arc<Self>) {
        loop {
            self.connections.take();
            let accepted = self.tcp.accept();
            let gateway = Arc::clone(self);
            match accepted {
                Ok((stream, _)) => {
                    thread::spawn(move || {
                        // A caller that breaks off or breaks the rules has ended his connection.
                        let _ = gateway.serve_stream(stream);
                        gateway.connections.give_back();
                    });
                }
                Err(_) => {
                    self.connections.give_back();
                    thread::sleep(Duration::from_millis(100)); // no descriptors left, perhaps
                }
            }
        }
    }

    /// The calls of a connection, one after the other.
    fn serve_stream(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(IDLE))?;
        stream.set_nodelay(true)?;
        while let Some(record) = net::read_record(&mut stream)? {
            let reply = match Incoming::parse(&record) {
                Incoming::Malformed => return Err(io::ErrorKind::InvalidData.into()),
                Incoming::OtherVersion(xid) => {
                    message::refusal(xid, Refusal::RpcMismatch { low: 2, high: 2 })
                }
                Incoming::Call(call) => {
                    self.slots.take();
                    let outcome = self.execute(call.xid, call.procedure, &record);
                    self.slots.give_back();
                    match outcome {
                        Outcome::Reply(reply) => reply,
                        // A stream's caller is owed an answer.
                        Outcome::Silence => message::refusal(call.xid, Refusal::SystemError),
                    }
                }
            };
            net::write_record(&mut stream, &reply)?;
        }
        Ok(())
    }

    /// One call over VMTP.
    fn execute(&self, xid: u32, procedure: Procedure, octets: &[u8]) -> Outcome {
        let refuse = |why| Outcome::Reply(message::refusal(xid, why));
        let Some(server) = self.find(procedure) else {
            return refuse(Refusal::ProgramUnavailable);
        };
        let client = match lock(&self.clients).pop().map_or_else(Client::new, Ok) {
            Ok(mut client) => {
                client.set_response_limit(MESSAGE_SIZE);
                client.set_time_limit(Some(self.options.limit));
                client
            }
            Err(_) => return refuse(Refusal::SystemError),
        };
        let milliseconds = u32::try_from(self.options.limit.as_millis()).unwrap_or(0);
        let request = Request::new(crate::CALL)
            .user_words([milliseconds, 0, 0])
            .segment(octets);
        let outcome = match client.call(server, &request) {
            // Of one parts of which may be missing (MDM) nobody knows what it says.
            Ok(response) if response.mcb().delivered().is_some() => refuse(Refusal::SystemError),
            Ok(response) if response.code() == Code::OK => Outcome::Reply(response.into_segment()),
            Ok(_) => refuse(Refusal::GarbageArguments),
            Err(error) => match error.code() {
                Some(Code::NONEXISTENT_ENTITY) => refuse(Refusal::ProgramUnavailable),
                Some(Code::RETRANS_TIMEOUT | Code::USER_TIMEOUT) => Outcome::Silence,
                Some(_) | None => refuse(Refusal::SystemError),
            },
        };
        lock(&self.clients).push(client);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(xid: u32) -> Key {
        Key {
            from: ([127, 0, 0, 1], 1000).into(),
            xid,
            program: 1,
            version: 1,
            number: 1,
        }
    }

    #[test]
    fn a_duplicate_is_dropped_and_then_answered_but_never_executed() {
        let mut recent = Recent::default();
        assert_eq!(recent.take(key(1)), Verdict::Execute);
        assert_eq!(recent.take(key(1)), Verdict::Drop);
        recent.finish(key(1), Some(b"reply"));
        assert_eq!(recent.take(key(1)), Verdict::Repeat(b"reply"[..].into()));
        assert_eq!(recent.take(key(2)), Verdict::Execute);
        let other = Key {
            from: ([127, 0, 0, 1], 1001).into(),
            ..key(1)
        };
        assert_eq!(recent.take(other), Verdict::Execute, "another caller");
    }

    #[test]
    fn what_had_no_reply_is_not_executed_again() {
        let mut recent = Recent::default();
        assert_eq!(recent.take(key(1)), Verdict::Execute);
        recent.finish(key(1), None);
        assert_eq!(recent.take(key(1)), Verdict::Drop);
        for xid in 2..2 + REPLIES_MAX as u32 {
            assert_eq!(recent.take(key(xid)), Verdict::Execute);
            recent.finish(key(xid), None);
        }
        assert_eq!(recent.calls.len(), REPLIES_MAX, "the oldest is forgotten");
        assert_eq!(recent.take(key(1)), Verdict::Execute);
    }

    #[test]
    fn a_version_that_another_has_at_any_port_is_not_touched() {
        let at = |version, protocol, port| Mapping {
            program: 200_001,
            version,
            protocol,
            port,
        };
        let doors = Doors { udp: 700, tcp: 701 };
        let own = [at(1, Protocol::UDP, 700), at(1, Protocol::TCP, 701)];
        assert_eq!(doors.of(200_001, 1), own);
        let is_free = |there: &[Mapping]| doors.is_free(there, 200_001, 1);
        assert!(is_free(&[]));
        assert!(is_free(&own));
        assert!(is_free(&[at(2, Protocol::TCP, 2049)]), "another version");
        assert!(!is_free(&[at(1, Protocol::TCP, 2049)]));
        assert!(!is_free(&[own[0], at(1, Protocol::TCP, 2049)]));
        assert!(!is_free(&[own[0], own[1], at(1, Protocol(132), 700)]));
    }

    #[test]
    fn the_store_of_replies_is_bounded_and_keeps_what_is_under_way() {
        let mut recent = Recent::default();
        assert_eq!(recent.take(key(0)), Verdict::Execute);
        for xid in 1..=2 * REPLIES_MAX as u32 {
            assert_eq!(recent.take(key(xid)), Verdict::Execute);
            recent.finish(key(xid), Some(b""));
        }
        assert_eq!(recent.calls.len(), REPLIES_MAX + 1);
        assert_eq!(recent.take(key(0)), Verdict::Drop);
    }
}
