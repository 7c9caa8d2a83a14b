// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Callers over VMTP reach the programs that a host's portmapper has over UDP and TCP. They are
//! registered with this host's binder, at one entity.
//!
//! UDP is used for what fits in a datagram, TCP for the rest, and whichever there is if only one is.
//! Over UDP a call may be executed more than once, as always there, unless it is never sent again.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use vmtp::{Code, Entity, IncomingRequest, Reply, Request, Server, MESSAGE_SIZE};

use super::net::{self, Failure};
use super::{Options, LOOK_AROUND};
use crate::message::{self, Call, Incoming, Refusal};
use crate::portmap::{self, Mapping, Protocol};
use crate::{address, binder_of, upper};

/// Calls up to this size go over UDP if they can: what XNFS transfers at once, and its headers.
const UDP_CALL_MAX: usize = 8800;

/// A gateway from VMTP to the programs of a host over UDP and TCP.
#[derive(Debug)]
pub struct ToNet {
    host: Ipv4Addr,
    options: Options,
    server: Server,
    ports: Mutex<HashMap<(u32, Protocol), u16>>,
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
            ports: Mutex::default(),
        }))
    }

    /// Its entity.
    pub fn entity(&self) -> vmtp::Result<Entity> {
        self.server.entity()
    }

    fn ports(&self) -> MutexGuard<'_, HashMap<(u32, Protocol), u16>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut ports = HashMap::new();
        let mut wanted = HashSet::new();
        for mapping in there {
            let known = matches!(mapping.protocol, Protocol::UDP | Protocol::TCP);
            if let (true, Ok(port)) = (
                known && self.options.wants(mapping.program),
                u16::try_from(mapping.port),
            ) {
                ports.insert((mapping.program, mapping.protocol), port);
                wanted.insert((mapping.program, mapping.version));
            }
        }
        *self.ports() = ports;
        for key in registered.difference(&wanted) {
            self.tell_binder(entity, portmap::UNSET, *key)?;
            tell(&format!("program {} version {} has gone", key.0, key.1));
        }
        registered.retain(|key| wanted.contains(key));
        for key in wanted {
            // Each time anew: the binder may have been started again.
            if self.tell_binder(entity, portmap::SET, key)? && registered.insert(key) {
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

    fn pass_on(&self, mut request: IncomingRequest<'_>) -> vmtp::Result<()> {
        let malformed = Reply::new(crate::MALFORMED);
        if request.code() != Code::from_word(crate::CALL) {
            return request.reply(&malformed);
        }
        let mut octets = request.take_segment();
        let (xid, program) = match Incoming::parse(&octets) {
            Incoming::Malformed => return request.reply(&malformed),
            Incoming::OtherVersion(xid) => {
                let why = Refusal::RpcMismatch { low: 2, high: 2 };
                return request.reply(&Reply::ok().segment(&message::refusal(xid, why)));
            }
            Incoming::Call(call) => (call.xid, call.procedure.program),
        };
        let port = |protocol| self.ports().get(&(program, protocol)).copied();
        let to = |port| SocketAddrV4::new(self.host, port);
        let [milliseconds, ..] = request.user_words();
        let limit = match milliseconds {
            0 => self.options.limit,
            milliseconds => Duration::from_millis(milliseconds.into()),
        };
        // Two callers may have the same xid; on the other side it is ours.
        let outer = net::fresh_xid();
        net::set_xid(&mut octets, outer);
        let reply = match (port(Protocol::UDP), port(Protocol::TCP)) {
            (None, None) => Ok(message::refusal(outer, Refusal::ProgramUnavailable)),
            (Some(udp), _) if request.is_datagram() => {
                // Nobody waits: neither for this.
                let _ = net::udp_send(to(udp), &octets);
                return Ok(());
            }
            (Some(udp), None) if octets.len() <= net::DATAGRAM_MAX => {
                net::udp_call(to(udp), &octets, self.options.retry, limit)
            }
            (Some(udp), Some(_)) if octets.len() <= UDP_CALL_MAX => {
                net::udp_call(to(udp), &octets, self.options.retry, limit)
            }
            (_, Some(tcp)) => net::tcp_call(to(tcp), &octets, limit),
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
