// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Callers over VMTP reach the programs that a host's portmapper has over UDP and TCP. They are
//! registered with this host's binder, at one entity.
//!
//! TCP is used wherever a program has it: it carries results of any length, which nobody knows before,
//! and a call is executed once. Over UDP it may be executed more than once, as always there, unless it
//! is never sent again. A call that nobody waits for is a datagram there too.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use vmtp::{Code, Entity, Host, IncomingRequest, Reply, Request, Server, MESSAGE_SIZE};

use super::net::{self, Failure, Wait};
use super::{Options, DOORS, LOOK_AROUND};
use crate::message::{self, Call, Incoming, Refusal};
use crate::portmap::{self, Mapping, Protocol};
use crate::{address, binder_of, upper};

/// How long the host of a Client may be asked about it.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// The ports of a version of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ports {
    udp: Option<u16>,
    tcp: Option<u16>,
}

/// Where the versions of programs are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places(BTreeMap<(u32, u32), Ports>);

impl Places {
    /// Those of a portmapper's mappings that are reached over UDP or TCP, and not at the doors of a
    /// gateway from there.
    fn new(mappings: &[Mapping]) -> Places {
        let mut places = Places::default();
        let at = |mapping: &Mapping| (mapping.protocol, mapping.port);
        let doors = mappings.iter().filter(|mapping| mapping.program == DOORS);
        let doors: HashSet<(Protocol, u32)> = doors.map(at).collect();
        let is_door = |mapping: &Mapping| doors.contains(&at(mapping));
        for mapping in mappings.iter().filter(|mapping| !is_door(mapping)) {
            let port = u16::try_from(mapping.port).ok();
            let at = (mapping.program, mapping.version);
            match mapping.protocol {
                Protocol::UDP if port.is_some() => places.0.entry(at).or_default().udp = port,
                Protocol::TCP if port.is_some() => places.0.entry(at).or_default().tcp = port,
                _ => (),
            }
        }
        places
    }

    /// The ports of a program; of another version if that one is not there, whose service will tell
    /// which are.
    fn find(&self, program: u32, version: u32) -> Ports {
        let any = || self.0.range((program, 0)..=(program, u32::MAX)).next_back();
        let exact = self.0.get(&(program, version));
        let found = exact.or_else(|| any().map(|(_, ports)| ports));
        found.copied().unwrap_or_default()
    }
}

/// Takes note of what the binder said to SET: whether the version is registered now and was not before.
/// If another has it, it is not ours to take back.
fn take_note(registered: &mut HashSet<(u32, u32)>, key: (u32, u32), set: bool) -> bool {
    match set {
        true => registered.insert(key),
        false => {
            registered.remove(&key);
            false
        }
    }
}

/// Whether a Transaction is open of a Client that says which is its oldest open or, without any, its
/// next (III, ProbeEntity).
fn is_open(transaction: u32, oldest: u32) -> bool {
    transaction.wrapping_sub(oldest) as i32 >= 0
}

/// A gateway from VMTP to the programs of a host over UDP and TCP.
#[derive(Debug)]
pub struct ToNet {
    host: Ipv4Addr,
    options: Options,
    server: Server,
    places: Mutex<Places>,
}

impl ToNet {
    /// Makes its entity.
    pub fn new(host: Ipv4Addr, options: Options) -> vmtp::Result<Arc<ToNet>> {
        let mut server = Server::bind(Entity::ZERO)?;
        server.set_request_limit(MESSAGE_SIZE);
        Ok(Arc::new(ToNet {
            host,
            options,
            server,
            places: Mutex::default(),
        }))
    }

    /// Its entity.
    pub fn entity(&self) -> vmtp::Result<Entity> {
        self.server.entity()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs; `tell` is told what happens. Returns only if it cannot.
    pub fn run(self: Arc<Self>, tell: impl Fn(&str)) -> vmtp::Result<Infallible> {
        for _ in 0..self.options.calls {
            let gateway = Arc::clone(&self);
            thread::spawn(move || gateway.serve());
        }
        let entity = self.entity()?;
        let (mut registered, mut said) = (HashSet::new(), String::new());
        loop {
            match self.look_around(entity, &mut registered, &tell) {
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

    /// Registers the programs that the host's portmapper has, and takes back those that it lost.
    fn look_around(
        &self,
        entity: Entity,
        registered: &mut HashSet<(u32, u32)>,
        tell: &impl Fn(&str),
    ) -> Result<(), String> {
        let there = net::dump(self.host)
            .map_err(|error| format!("the portmapper of {}: {error}", self.host))?;
        let mut places = Places::new(&there);
        places.0.retain(|key, _| self.options.wants(key.0));
        let wanted: HashSet<(u32, u32)> = places.0.keys().copied().collect();
        *self.places() = places;
        for key in registered.difference(&wanted) {
            self.tell_binder(entity, portmap::UNSET, *key)?;
            tell(&format!("program {} version {} has gone", key.0, key.1));
        }
        registered.retain(|key| wanted.contains(key));
        for key in wanted {
            // Each time anew: the binder may have been started again.
            let set = self.tell_binder(entity, portmap::SET, key)?;
            if take_note(registered, key, set) {
                tell(&format!("program {} version {} at {entity}", key.0, key.1));
            }
        }
        Ok(())
    }

    /// SET or UNSET, from the entity that is registered.
    fn tell_binder(&self, entity: Entity, number: u32, key: (u32, u32)) -> Result<bool, String> {
        let mapping = Mapping {
            program: key.0,
            version: key.1,
            protocol: Protocol::VMTP,
            port: upper(entity),
        };
        let call = Call {
            xid: net::fresh_xid(),
            procedure: portmap::procedure(number),
            arguments: &mapping.to_octets(),
        };
        let binder = binder_of(address(entity));
        let trouble = |what: String| format!("the binder {binder}: {what}");
        let mut answer = Vec::with_capacity(1024);
        let received = self
            .server
            .socket()
            .invoke(
                binder,
                &Request::new(crate::CALL).segment(&call.to_octets()),
                Some(crate::caller::PATIENCE),
                false,
                &mut answer,
            )
            .map_err(|error| trouble(error.to_string()))?;
        if received.mcb.code() != Code::OK {
            return Err(trouble(received.mcb.code().to_string()));
        }
        let results =
            message::results(call.xid, &answer).map_err(|error| trouble(error.to_string()))?;
        Ok(message::xid(results) == Some(1))
    }

    fn serve(&self) {
        loop {
            match self.server.recv() {
                // That a Client has gone is its own business.
                Ok(request) => drop(self.pass_on(request)),
                Err(error) if error.interrupted() => (),
                Err(_) => thread::sleep(Duration::from_secs(1)),
            }
        }
    }

    /// Whether the Client of a Request waits for its Response. Only a host that says no is believed.
    fn is_awaited(&self, client: Entity, transaction: u32) -> bool {
        let socket = self.server.socket();
        let Ok(probe) = socket.probe(client, Host::UNKNOWN, Some(PROBE_LIMIT)) else {
            return true;
        };
        match probe.code() {
            Code::OK => is_open(transaction, probe.transaction()),
            code => code != Code::NONEXISTENT_ENTITY,
        }
    }

    fn pass_on(&self, mut request: IncomingRequest<'_>) -> vmtp::Result<()> {
        let malformed = Reply::new(crate::MALFORMED);
        // Of a call parts of which may be missing (MDM) nobody knows what it says.
        if request.code() != Code::from_word(crate::CALL) || request.mcb().delivered().is_some() {
            return request.reply(&malformed);
        }
        let mut octets = request.take_segment();
        let (xid, procedure) = match Incoming::parse(&octets) {
            Incoming::Malformed => return request.reply(&malformed),
            Incoming::OtherVersion(xid) => {
                let why = Refusal::RpcMismatch { low: 2, high: 2 };
                return request.reply(&Reply::ok().segment(&message::refusal(xid, why)));
            }
            Incoming::Call(call) => (call.xid, call.procedure),
        };
        let ports = self.places().find(procedure.program, procedure.version);
        let to = |port| SocketAddrV4::new(self.host, port);
        let [milliseconds, ..] = request.user_words();
        let limit = match milliseconds {
            0 => self.options.limit,
            milliseconds => Duration::from_millis(milliseconds.into()),
        };
        let (client, transaction) = (request.client(), request.mcb().transaction());
        let is_awaited = || self.is_awaited(client, transaction);
        let wait = Wait::new(limit.min(self.options.limit_max), &is_awaited);
        // Two callers may have the same xid; on the other side it is ours.
        let outer = net::fresh_xid();
        net::set_xid(&mut octets, outer);
        let reply = match (ports.udp, ports.tcp) {
            (None, None) => Ok(message::refusal(outer, Refusal::ProgramUnavailable)),
            (Some(udp), _) if request.is_datagram() && octets.len() <= net::DATAGRAM_MAX => {
                // Nobody waits: neither for this.
                let _ = net::udp_send(to(udp), &octets);
                return Ok(());
            }
            (_, Some(tcp)) => net::tcp_call(to(tcp), &octets, &wait),
            (Some(udp), None) if octets.len() <= net::DATAGRAM_MAX => {
                net::udp_call(to(udp), &octets, self.options.retry, &wait)
            }
            (Some(_), None) => Ok(message::refusal(outer, Refusal::SystemError)),
        };
        match reply {
            Ok(mut reply) if reply.len() <= MESSAGE_SIZE => {
                net::set_xid(&mut reply, xid);
                request.reply(&Reply::ok().segment(&reply))
            }
            // Its Client is told that nobody is there.
            Err(Failure::Unreachable(_)) => {
                drop(request);
                Ok(())
            }
            Err(Failure::TimedOut) => request.reply(&Reply::new(vmtp::sys::VMTP_RETRANS_TIMEOUT)),
            Ok(_) | Err(Failure::Io(_) | Failure::Refused(_)) => {
                let why = message::refusal(xid, Refusal::SystemError);
                request.reply(&Reply::ok().segment(&why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(version: u32, protocol: Protocol, port: u32) -> Mapping {
        Mapping {
            program: 200_001,
            version,
            protocol,
            port,
        }
    }

    #[test]
    fn each_version_has_its_own_ports_and_another_stands_in_for_none() {
        let places = Places::new(&[
            mapping(1, Protocol::UDP, 1001),
            mapping(3, Protocol::UDP, 1003),
            mapping(3, Protocol::TCP, 2003),
            mapping(2, Protocol::UDP, 1002),
            mapping(4, Protocol::UDP, 65_536),
            mapping(5, Protocol::VMTP, 1005),
        ]);
        let ports = |udp, tcp| Ports { udp, tcp };
        assert_eq!(places.find(200_001, 1), ports(Some(1001), None));
        assert_eq!(places.find(200_001, 2), ports(Some(1002), None));
        assert_eq!(places.find(200_001, 3), ports(Some(1003), Some(2003)));
        assert_eq!(places.find(200_001, 9), ports(Some(1003), Some(2003)));
        assert_eq!(places.find(200_000, 1), ports(None, None));
        assert_eq!(places.find(200_002, 1), ports(None, None));
    }

    #[test]
    fn what_a_gateway_has_registered_is_left_out() {
        let door = |protocol, port| Mapping {
            program: DOORS,
            ..mapping(2001, protocol, port)
        };
        let places = Places::new(&[
            mapping(1, Protocol::UDP, 1001),
            mapping(1, Protocol::TCP, 2001),
            mapping(2, Protocol::UDP, 2001),
            mapping(2, Protocol::TCP, 1001),
            door(Protocol::UDP, 1001),
            door(Protocol::TCP, 2001),
        ]);
        assert_eq!(places.find(200_001, 1), places.find(200_001, 2));
        let ports = Ports {
            udp: Some(2001),
            tcp: Some(1001),
        };
        assert_eq!(places.find(200_001, 2), ports);
        assert_eq!(places.find(DOORS, 2001), Ports::default());
    }

    #[test]
    fn a_version_that_another_has_taken_is_not_taken_back() {
        let (mut registered, key) = (HashSet::new(), (200_001, 1));
        assert!(take_note(&mut registered, key, true));
        assert!(!take_note(&mut registered, key, true), "it is told once");
        assert!(!take_note(&mut registered, key, false));
        assert!(registered.is_empty());
        assert!(take_note(&mut registered, key, true));
    }

    #[test]
    fn a_client_waits_for_its_oldest_open_transaction_and_those_behind_it() {
        assert!(is_open(7, 7));
        assert!(is_open(8, 7), "of a run, or the last group of a message");
        assert!(!is_open(6, 7));
        assert!(is_open(1, u32::MAX));
        assert!(!is_open(u32::MAX, 1));
    }
}
