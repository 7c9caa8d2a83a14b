// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Callers over UDP and TCP reach the programs that a host's binder has. They are registered with
//! this host's rpcbind, at one UDP and one TCP port.
//!
//! A UDP caller sends a call again when it hears nothing. Such a duplicate is not executed again: it
//! is dropped while the call is under way, and answered from a store of replies after. One that had no
//! reply may still be under way at its server: its duplicates are dropped as long as it is known.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vmtp::{Client, Code, Entity, Request, MESSAGE_SIZE};
use vmtp_inet::connections::{Connection, Connections};
use vmtp_inet::door::{self, Door};
use vmtp_inet::slots::Slots;

use super::{net, Options, DOORS, LOOK_AROUND};
use crate::caller::{self, Caller};
use crate::message::{self, Call, Incoming, Procedure, Refusal};
use crate::portmap::{Mapping, Protocol};

/// How long a UDP call is known after it has ended: longer than its caller sends it again. After that
/// the same transaction identifier from the same port is another call, of a caller that began anew.
const KNOWN: Duration = Duration::from_secs(120);
/// How many UDP calls are known that have ended: 2000 a second.
const KNOWN_MAX: usize = 1 << 18;
/// How many octets of replies are kept for duplicates of UDP callers.
const REPLIES_MAX: usize = 32 << 20;
/// How many TCP connections there are at a time, most of them idle.
const CONNECTIONS_MAX: usize = 256;
/// A TCP caller that says nothing for so long is disconnected.
const IDLE: Duration = Duration::from_secs(300);
/// How long it may take until all of a call has come over TCP, or its reply has been taken.
const RECORD_LIMIT: Duration = Duration::from_secs(60);
/// How many versions of programs are registered with rpcbind, which has two mappings for each.
const VERSIONS_MAX: usize = 1024;

/// By what a UDP call is known when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    from: SocketAddrV4,
    xid: u32,
    program: u32,
    version: u32,
    number: u32,
}

/// The UDP calls that were taken, with their replies if they are kept: none under way is ever
/// forgotten, of those that have ended the oldest.
#[derive(Debug, Default)]
struct Recent {
    calls: HashMap<Key, Option<Arc<[u8]>>>,
    /// Those that have ended, and when.
    ended: VecDeque<(Instant, Key)>,
    /// Those of them whose replies are kept, in the same order.
    replied: VecDeque<Key>,
    /// Of these replies together.
    octets: usize,
}

/// What to do with a UDP call.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Execute,
    Drop,
    Repeat(Arc<[u8]>),
}

impl Recent {
    fn take(&mut self, key: Key, now: Instant) -> Verdict {
        self.forget(now);
        match self.calls.get(&key) {
            Some(Some(reply)) => Verdict::Repeat(Arc::clone(reply)),
            Some(None) => Verdict::Drop,
            None => {
                self.calls.insert(key, None);
                Verdict::Execute
            }
        }
    }

    /// The call has ended. Without a reply nobody knows whether it was executed: it is not again.
    fn finish(&mut self, key: Key, reply: Option<&[u8]>, now: Instant) {
        self.ended.push_back((now, key));
        if let Some(reply) = reply {
            self.calls.insert(key, Some(reply.into()));
            self.replied.push_back(key);
            self.octets += reply.len();
        }
        while self.octets > REPLIES_MAX {
            let Some(oldest) = self.replied.pop_front() else {
                break;
            };
            if let Some(reply) = self.calls.insert(oldest, None).flatten() {
                self.octets -= reply.len();
            }
        }
        self.forget(now);
    }

    /// It was never executed, and may be tried again.
    fn give_up(&mut self, key: Key) {
        self.calls.remove(&key);
    }

    /// Forgets what ended too long ago, or too many calls ago.
    fn forget(&mut self, now: Instant) {
        let is_old = |ended: Instant| now.saturating_duration_since(ended) >= KNOWN;
        while let Some(&(ended, key)) = self.ended.front() {
            if !is_old(ended) && self.ended.len() <= KNOWN_MAX {
                break;
            }
            self.ended.pop_front();
            // If its reply is kept it is the first.
            if let Some(reply) = self.calls.remove(&key).flatten() {
                self.replied.pop_front();
                self.octets -= reply.len();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of a call.
enum Outcome {
    /// A reply, of the server or in its place.
    Reply(Vec<u8>),
    /// A reply in the server's place, which was not asked.
    NotExecuted(Vec<u8>),
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

    /// Those that tell which doors these are.
    fn own(self) -> [Mapping; 2] {
        self.of(DOORS, self.tcp.into())
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

/// Whether a version may be one of those that are registered.
fn has_room(programs: &HashMap<(u32, u32), Entity>, key: (u32, u32)) -> bool {
    programs.len() < VERSIONS_MAX || programs.contains_key(&key)
}

/// Registers what rpcbind does not have. Whether all is there now: not if another has it.
fn register(own: &[Mapping], registered: &[Mapping]) -> Result<bool, net::Failure> {
    let mut missing = own.iter().filter(|door| !registered.contains(door));
    missing.try_fold(true, |all, door| net::set(door).map(|set| all && set))
}

/// A gateway from UDP and TCP to the programs of a host over VMTP.
#[derive(Debug)]
pub struct ToVmtp {
    host: Ipv4Addr,
    options: Options,
    udp: Door,
    tcp: TcpListener,
    /// Where programs are, and with which versions they are registered at rpcbind.
    programs: Mutex<HashMap<(u32, u32), Entity>>,
    recent: Mutex<Recent>,
    slots: Slots,
    /// Sockets that no call has at the moment.
    clients: Mutex<Vec<Client>>,
}

impl ToVmtp {
    /// Opens its doors, at any ports.
    pub fn new(host: Ipv4Addr, options: Options) -> io::Result<Arc<ToVmtp>> {
        Ok(Arc::new(ToVmtp {
            host,
            udp: Door::open(0)?,
            tcp: TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?,
            programs: Mutex::default(),
            recent: Mutex::default(),
            slots: Slots::new(options.calls),
            clients: Mutex::default(),
            options,
        }))
    }

    /// Its UDP and its TCP port.
    pub fn ports(&self) -> io::Result<(u16, u16)> {
        Ok((self.udp.port()?, self.tcp.local_addr()?.port()))
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
        // First, so that whoever sees a program there sees what it is.
        if !register(&doors.own(), &registered).map_err(refused)? {
            return Err("this host's rpcbind does not take the gateway's doors".into());
        }
        let mut too_many = false;
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
            if !has_room(&lock(&self.programs), key) {
                too_many = true;
                continue;
            }
            // It may be another entity than it was.
            let Ok(entity) = caller.lookup(self.host, key.0, key.1) else {
                continue;
            };
            let own = doors.of(key.0, key.1);
            if !own.iter().all(|door| registered.contains(door)) {
                // If another has just come that is seen next time.
                if !register(&own, &registered).map_err(refused)? {
                    continue;
                }
                tell(&format!("program {} version {} at {entity}", key.0, key.1));
            }
            lock(&self.programs).insert(key, entity);
        }
        match too_many {
            true => Err(format!(
                "only {VERSIONS_MAX} versions of programs are registered"
            )),
            false => Ok(()),
        }
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
            if let Ok([door, _]) = self.doors().map(Doors::own) {
                // If they have gone meanwhile there is nothing to take back.
                let _ = net::unset(&door);
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
            let Ok((octets, caller)) = self.udp.receive(&mut buffer) else {
                continue; // an earlier reply that did not arrive
            };
            match Incoming::parse(octets) {
                Incoming::Malformed => (),
                Incoming::OtherVersion(xid) => {
                    let why = Refusal::RpcMismatch { low: 2, high: 2 };
                    self.udp.answer(&message::refusal(xid, why), &caller);
                }
                Incoming::Call(call) => self.take_datagram(octets, &call, caller),
            }
        }
    }

    fn take_datagram(self: &Arc<Self>, octets: &[u8], call: &Call<'_>, caller: door::Caller) {
        let (xid, procedure) = (call.xid, call.procedure);
        let key = Key {
            from: caller.from(),
            xid,
            program: procedure.program,
            version: procedure.version,
            number: procedure.number,
        };
        if !self.slots.try_take() {
            return;
        }
        match lock(&self.recent).take(key, Instant::now()) {
            Verdict::Execute => (),
            verdict => {
                if let Verdict::Repeat(reply) = verdict {
                    self.udp.answer(&reply, &caller);
                }
                self.slots.give_back();
                return;
            }
        }
        let (gateway, octets) = (Arc::clone(self), octets.to_vec());
        thread::spawn(move || {
            let (reply, executed) = match gateway.execute(xid, procedure, &octets) {
                Outcome::Reply(reply) if reply.len() <= net::DATAGRAM_MAX => (Some(reply), true),
                Outcome::Reply(_) => (Some(message::refusal(xid, Refusal::SystemError)), true),
                Outcome::NotExecuted(reply) => (Some(reply), false),
                Outcome::Silence => (None, true),
            };
            if let Some(reply) = &reply {
                gateway.udp.answer(reply, &caller);
            }
            let mut recent = lock(&gateway.recent);
            match executed {
                true => recent.finish(key, reply.as_deref(), Instant::now()),
                false => recent.give_up(key),
            }
            drop(recent);
            gateway.slots.give_back();
        });
    }

    fn serve_tcp(self: &Arc<Self>) {
        let gateway = Arc::clone(self);
        let connections = Connections::new(CONNECTIONS_MAX);
        connections.accept(&self.tcp, move |connection, _| {
            gateway.serve_stream(connection)
        });
    }

    /// The calls of a connection, one after the other.
    fn serve_stream(&self, connection: &Connection) -> io::Result<()> {
        while connection.wait(IDLE)? {
            let Some(record) = net::read_record(&mut connection.within(RECORD_LIMIT))? else {
                break;
            };
            let reply = match Incoming::parse(&record) {
                Incoming::Malformed => return Err(io::ErrorKind::InvalidData.into()),
                Incoming::OtherVersion(xid) => {
                    message::refusal(xid, Refusal::RpcMismatch { low: 2, high: 2 })
                }
                Incoming::Call(call) => connection.serve(|| self.take_record(&record, &call)),
            };
            net::write_record(&mut connection.within(RECORD_LIMIT), &reply)?;
        }
        Ok(())
    }

    fn take_record(&self, record: &[u8], call: &Call<'_>) -> Vec<u8> {
        self.slots.take();
        let outcome = self.execute(call.xid, call.procedure, record);
        self.slots.give_back();
        match outcome {
            Outcome::Reply(reply) | Outcome::NotExecuted(reply) => reply,
            // A stream's caller is owed an answer.
            Outcome::Silence => message::refusal(call.xid, Refusal::SystemError),
        }
    }

    /// One call over VMTP.
    fn execute(&self, xid: u32, procedure: Procedure, octets: &[u8]) -> Outcome {
        let refuse = |why| Outcome::Reply(message::refusal(xid, why));
        let not_executed = |why| Outcome::NotExecuted(message::refusal(xid, why));
        let Some(server) = self.find(procedure) else {
            return not_executed(Refusal::ProgramUnavailable);
        };
        let client = match lock(&self.clients).pop().map_or_else(Client::new, Ok) {
            Ok(mut client) => {
                client.set_response_limit(MESSAGE_SIZE);
                client.set_time_limit(Some(self.options.limit));
                client
            }
            Err(_) => return not_executed(Refusal::SystemError),
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
                // Perhaps it ended while it executed the call.
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
            from: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1000),
            xid,
            program: 1,
            version: 1,
            number: 1,
        }
    }

    fn execute(recent: &mut Recent, xid: u32, reply: Option<&[u8]>, now: Instant) {
        assert_eq!(recent.take(key(xid), now), Verdict::Execute, "{xid}");
        recent.finish(key(xid), reply, now);
    }

    #[test]
    fn a_duplicate_is_dropped_and_then_answered_but_never_executed() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        assert_eq!(recent.take(key(1), now), Verdict::Execute);
        assert_eq!(recent.take(key(1), now), Verdict::Drop);
        recent.finish(key(1), Some(b"reply"), now);
        let repeated = Verdict::Repeat(b"reply"[..].into());
        assert_eq!(recent.take(key(1), now), repeated);
        assert_eq!(recent.take(key(2), now), Verdict::Execute);
        let other = Key {
            from: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1001),
            ..key(1)
        };
        assert_eq!(recent.take(other, now), Verdict::Execute, "another caller");
    }

    #[test]
    fn many_calls_later_a_duplicate_is_still_known() {
        let (mut recent, begin) = (Recent::default(), Instant::now());
        // 1000 a second for a minute.
        for xid in 0..60_000 {
            let now = begin + Duration::from_millis(xid.into());
            execute(&mut recent, xid, Some(b"reply"), now);
        }
        let now = begin + Duration::from_secs(60);
        let repeated = Verdict::Repeat(b"reply"[..].into());
        assert_eq!(recent.take(key(0), now), repeated);
    }

    #[test]
    fn a_caller_who_begins_anew_has_no_old_reply() {
        let (mut recent, begin) = (Recent::default(), Instant::now());
        execute(&mut recent, 1, Some(b"old"), begin);
        execute(&mut recent, 2, None, begin);
        assert_eq!(recent.take(key(3), begin), Verdict::Execute);
        let later = begin + KNOWN;
        execute(&mut recent, 1, Some(b"new"), later);
        execute(&mut recent, 2, None, later);
        assert_eq!(recent.take(key(3), later), Verdict::Drop, "it is under way");
        assert_eq!((recent.calls.len(), recent.octets), (3, 3));
    }

    #[test]
    fn what_had_no_reply_or_has_none_any_more_is_not_executed_again() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        execute(&mut recent, 0, None, now);
        let long = vec![7; REPLIES_MAX / 2];
        for xid in 1..=3 {
            execute(&mut recent, xid, Some(&long), now);
        }
        assert_eq!(recent.take(key(0), now), Verdict::Drop);
        assert_eq!(recent.take(key(1), now), Verdict::Drop);
        assert!(matches!(recent.take(key(2), now), Verdict::Repeat(_)));
        assert_eq!(recent.octets, 2 * long.len());
    }

    #[test]
    fn what_was_never_executed_is_not_kept() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        assert_eq!(recent.take(key(1), now), Verdict::Execute);
        recent.give_up(key(1));
        assert_eq!(recent.take(key(1), now), Verdict::Execute);
    }

    #[test]
    fn a_binder_does_not_fill_rpcbind() {
        let mut programs = HashMap::new();
        for version in 0..VERSIONS_MAX as u32 {
            assert!(has_room(&programs, (200_001, version)));
            programs.insert((200_001, version), Entity::ZERO);
        }
        assert!(!has_room(&programs, (200_002, 1)));
        assert!(has_room(&programs, (200_001, 1)), "it has its own");
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
    fn the_store_is_bounded_and_keeps_what_is_under_way() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        assert_eq!(recent.take(key(0), now), Verdict::Execute);
        for xid in 1..=KNOWN_MAX as u32 + 10 {
            execute(&mut recent, xid, Some(b"reply"), now);
        }
        assert_eq!(recent.calls.len(), KNOWN_MAX + 1);
        assert_eq!(recent.replied.len(), KNOWN_MAX);
        assert_eq!(recent.octets, 5 * KNOWN_MAX);
        assert_eq!(recent.take(key(0), now), Verdict::Drop);
        assert_eq!(recent.take(key(1), now), Verdict::Execute);
    }
}
