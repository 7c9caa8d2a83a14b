// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The binder: a portmapper (RFC 1057, appendix A) over VMTP. It is program 100000, version 2, at
//! BE-111-ADDRESS for each address of its host.
//!
//! It differs from its model in what VMTP makes possible. A service registers itself: SET names the
//! entity that it comes from, so that nobody registers somebody else. Only entities of this host
//! may, and UNSET is for the user who did SET (or root), whom the kernel tells. An entity that has
//! gone is noticed, and its mappings with it. CALLIT is not there (PROC_UNAVAIL).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vmtp::{Code, Entity, IncomingRequest, Reply, Server};

use crate::message::{self, words, Call, Incoming, Reader, Refusal};
use crate::portmap::{self, Mapping, Protocol};
use crate::{address, binder_of, upper};

/// The most mappings that are kept.
pub const MAPPINGS_MAX: usize = 4096;
/// The most addresses of the host that are served.
const ADDRESSES_MAX: usize = 256;
/// How often addresses and entities are looked at.
const LOOK_AROUND: Duration = Duration::from_secs(2);
/// How long a process may be asked about; it is on this host.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Where a program is, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Service {
    entity: Entity,
    user: u32,
}

/// What the binder knows: a service for each program and version.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<(u32, u32), Service>);

impl Table {
    /// SET. Whether the mapping is there now: not if another entity that `lives` has it.
    fn set(
        &mut self,
        mapping: &Mapping,
        from: Entity,
        user: u32,
        lives: impl Fn(Entity) -> bool,
    ) -> bool {
        if mapping.protocol != Protocol::VMTP || mapping.port != upper(from) {
            return false;
        }
        let key = (mapping.program, mapping.version);
        match self.0.get(&key) {
            Some(old) if old.entity == from => return true,
            Some(old) if lives(old.entity) => return false,
            Some(_) => (),
            None if self.0.len() >= MAPPINGS_MAX => return false,
            None => (),
        }
        let service = Service { entity: from, user };
        self.0.insert(key, service);
        true
    }

    /// UNSET. Whether a mapping has gone.
    fn unset(&mut self, mapping: &Mapping, user: u32) -> bool {
        let key = (mapping.program, mapping.version);
        match self.0.get(&key) {
            Some(service) if user == 0 || service.user == user => self.0.remove(&key).is_some(),
            Some(_) | None => false,
        }
    }

    /// GETPORT. As Sun's portmapper, another version is as good as none: its service tells which
    /// versions there are.
    fn get(&self, program: u32, version: u32) -> Option<Entity> {
        let any = || self.0.range((program, 0)..=(program, u32::MAX)).next_back();
        let exact = self.0.get(&(program, version));
        exact
            .or_else(|| any().map(|(_, service)| service))
            .map(|service| service.entity)
    }

    /// DUMP, with the binder itself first.
    fn dump(&self, binder: Entity) -> Vec<Mapping> {
        let own = ((portmap::PROGRAM, portmap::VERSION), binder);
        let others = self.0.iter().map(|(key, service)| (*key, service.entity));
        std::iter::once(own)
            .chain(others)
            .map(|((program, version), entity)| Mapping {
                program,
                version,
                protocol: Protocol::VMTP,
                port: upper(entity),
            })
            .collect()
    }

    fn entities(&self) -> Vec<Entity> {
        self.0.values().map(|service| service.entity).collect()
    }

    fn forget(&mut self, gone: &[Entity]) {
        self.0.retain(|_, service| !gone.contains(&service.entity));
    }
}

/// A running binder.
#[derive(Debug, Default)]
pub struct Binder(Mutex<Table>);

impl Binder {
    /// Serves these addresses, or without any all that the host has, as they come. Calls `ready`
    /// with each entity. Returns only if it fails.
    pub fn run(
        addresses: &[Ipv4Addr],
        ready: impl Fn(Entity),
    ) -> Result<std::convert::Infallible, vmtp::Error> {
        let binder = Arc::new(Binder::default());
        let prober = vmtp::Client::new()?;
        let mut served: Vec<Ipv4Addr> = Vec::new();
        loop {
            let wanted = match addresses {
                [] => own_addresses(),
                some => some.to_vec(),
            };
            for address in wanted {
                if served.contains(&address) || served.len() >= ADDRESSES_MAX {
                    continue;
                }
                let server = match Server::bind(binder_of(address)) {
                    Ok(server) => server,
                    // An address may have gone between looking and binding; the first must do.
                    Err(_) if !served.is_empty() && addresses.is_empty() => continue,
                    Err(error) => return Err(error),
                };
                ready(server.entity()?);
                served.push(address);
                let binder = Arc::clone(&binder);
                std::thread::spawn(move || binder.serve(&server));
            }
            std::thread::sleep(LOOK_AROUND);
            binder.look_around(&prober);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets whose entities have gone.
    fn look_around(&self, prober: &vmtp::Client) {
        let mut entities = self.table().entities();
        entities.dedup();
        let gone: Vec<Entity> = entities
            .into_iter()
            .filter(|entity| !lives(prober, *entity))
            .collect();
        self.table().forget(&gone);
    }

    fn serve(&self, server: &Server) {
        let Ok(prober) = vmtp::Client::new() else {
            return;
        };
        loop {
            match server.recv() {
                Ok(request) => {
                    // That a Client has gone is its own business.
                    let _ = self.answer(server, &prober, request);
                }
                Err(error) if error.interrupted() => (),
                Err(error) => {
                    eprintln!("vmtp rpcbind: {error}");
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }

    fn answer(
        &self,
        server: &Server,
        prober: &vmtp::Client,
        request: IncomingRequest<'_>,
    ) -> vmtp::Result<()> {
        let malformed = Reply::new(crate::MALFORMED);
        // Of a call parts of which may be missing (MDM) nobody knows what it says.
        if request.code() != Code::from_word(crate::CALL) || request.mcb().delivered().is_some() {
            return request.reply(&malformed);
        }
        let reply = match Incoming::parse(request.segment()) {
            Incoming::Malformed => return request.reply(&malformed),
            Incoming::OtherVersion(xid) => {
                message::refusal(xid, Refusal::RpcMismatch { low: 2, high: 2 })
            }
            Incoming::Call(call) => match self.perform(server, prober, &request, &call) {
                Ok(results) => {
                    let entity = results.entity.map_or(0, Entity::bits);
                    let words = [(entity >> 32) as u32, entity as u32, 0, 0, 0];
                    let segment = message::success(call.xid, &results.octets);
                    return request.reply(&Reply::ok().user_words(words).segment(&segment));
                }
                Err(why) => message::refusal(call.xid, why),
            },
        };
        request.reply(&Reply::ok().segment(&reply))
    }

    fn perform(
        &self,
        server: &Server,
        prober: &vmtp::Client,
        request: &IncomingRequest<'_>,
        call: &Call<'_>,
    ) -> Result<Results, Refusal> {
        if call.procedure.program != portmap::PROGRAM {
            return Err(Refusal::ProgramUnavailable);
        }
        if call.procedure.version != portmap::VERSION {
            return Err(Refusal::ProgramMismatch {
                low: portmap::VERSION,
                high: portmap::VERSION,
            });
        }
        let mapping =
            || Mapping::parse(&mut Reader::new(call.arguments)).ok_or(Refusal::GarbageArguments);
        let own = server.entity().map_err(|_| Refusal::SystemError)?;
        Ok(match call.procedure.number {
            portmap::NULL => Results::default(),
            portmap::SET => {
                let mapping = mapping()?;
                let set = user_of(prober, request).is_some_and(|user| {
                    self.table()
                        .set(&mapping, request.client(), user, |old| lives(prober, old))
                });
                Results::from(&[u32::from(set)])
            }
            portmap::UNSET => {
                let mapping = mapping()?;
                let unset =
                    user_of(prober, request).is_some_and(|user| self.table().unset(&mapping, user));
                Results::from(&[u32::from(unset)])
            }
            portmap::GETPORT => {
                let mapping = mapping()?;
                let found = match (mapping.protocol, mapping.program) {
                    (Protocol::VMTP, portmap::PROGRAM) => Some(own),
                    (Protocol::VMTP, program) => self.find(prober, program, mapping.version),
                    _ => None,
                };
                Results {
                    entity: found,
                    ..Results::from(&[found.map_or(0, upper)])
                }
            }
            portmap::DUMP => Results {
                octets: portmap::list_to_octets(&self.table().dump(own)),
                entity: None,
            },
            _ => return Err(Refusal::ProcedureUnavailable),
        })
    }

    /// The entity of a program, if it still lives.
    fn find(&self, prober: &vmtp::Client, program: u32, version: u32) -> Option<Entity> {
        loop {
            let found = self.table().get(program, version)?;
            if lives(prober, found) {
                return Some(found);
            }
            self.table().forget(&[found]);
        }
    }
}

/// What a procedure returns: XDR, and of GETPORT the whole identifier.
#[derive(Default)]
struct Results {
    octets: Vec<u8>,
    entity: Option<Entity>,
}

impl From<&[u32; 1]> for Results {
    fn from(results: &[u32; 1]) -> Results {
        Results {
            octets: words(results),
            entity: None,
        }
    }
}

/// Whether an entity of this host is there. Only a host that says no is believed.
fn lives(prober: &vmtp::Client, entity: Entity) -> bool {
    match prober.probe(entity, Some(PROBE_LIMIT)) {
        Ok(probe) => probe.code() != Code::NONEXISTENT_ENTITY,
        Err(_) => true,
    }
}

/// The user whose entity sent a Request, if that is of this host. One that was passed on says no more
/// for its Client than what a stranger says: a server puts into it what it wants.
fn user_of(prober: &vmtp::Client, request: &IncomingRequest<'_>) -> Option<u32> {
    if request.mcb().forward_count() != 0 {
        return None;
    }
    let own = own_addresses();
    let is_own = |address: Ipv4Addr| address.is_loopback() || own.contains(&address);
    if !is_own(request.host().address()?) || !is_own(address(request.client())) {
        return None;
    }
    let probe = prober.probe(request.client(), Some(PROBE_LIMIT)).ok()?;
    let told = probe.code() == Code::OK && is_own(probe.host().address()?);
    told.then(|| probe.effective_principal().1)
}

fn own_addresses() -> Vec<Ipv4Addr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces
        .into_iter()
        .filter_map(|interface| match interface.ip() {
            std::net::IpAddr::V4(address) => Some(address),
            std::net::IpAddr::V6(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(program: u32, version: u32, entity: Entity) -> Mapping {
        Mapping {
            program,
            version,
            protocol: Protocol::VMTP,
            port: upper(entity),
        }
    }

    fn service(number: u32) -> Entity {
        crate::entity(0x2000_0000 | number, Ipv4Addr::new(10, 0, 0, 1))
    }

    #[test]
    fn the_first_living_service_keeps_a_program() {
        let mut table = Table::default();
        let (a, b) = (service(70_000), service(70_001));
        assert!(table.set(&mapping(200_001, 1, a), a, 5, |_| true));
        assert!(table.set(&mapping(200_001, 1, a), a, 5, |_| true), "again");
        assert!(!table.set(&mapping(200_001, 1, b), b, 5, |_| true));
        assert_eq!(table.get(200_001, 1), Some(a));
        assert!(table.set(&mapping(200_001, 1, b), b, 5, |_| false));
        assert_eq!(table.get(200_001, 1), Some(b));
    }

    #[test]
    fn nobody_registers_somebody_else() {
        let mut table = Table::default();
        let (a, b) = (service(70_000), service(70_001));
        assert!(!table.set(&mapping(200_001, 1, a), b, 0, |_| true));
        let udp = Mapping {
            protocol: Protocol::UDP,
            ..mapping(200_001, 1, a)
        };
        assert!(!table.set(&udp, a, 0, |_| true));
        assert_eq!(table.get(200_001, 1), None);
    }

    #[test]
    fn unset_is_for_the_user_who_set_and_for_root() {
        let mut table = Table::default();
        let a = service(70_000);
        for user in [5, 0] {
            assert!(table.set(&mapping(200_001, 1, a), a, 5, |_| true));
            assert!(!table.unset(&mapping(200_001, 1, a), 6));
            assert!(table.unset(&mapping(200_001, 1, a), user));
            assert!(!table.unset(&mapping(200_001, 1, a), user), "twice");
        }
    }

    #[test]
    fn another_version_is_found_where_the_wanted_one_is_not() {
        let mut table = Table::default();
        let (a, b) = (service(70_000), service(70_001));
        assert!(table.set(&mapping(200_001, 1, a), a, 5, |_| true));
        assert!(table.set(&mapping(200_001, 2, b), b, 5, |_| true));
        assert_eq!(table.get(200_001, 1), Some(a));
        assert_eq!(table.get(200_001, 9), Some(b));
        assert_eq!(table.get(200_002, 1), None);
        assert_eq!(table.dump(service(111)).len(), 3);
        table.forget(&[b]);
        assert_eq!(table.get(200_001, 2), Some(a));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = Table::default();
        let a = service(70_000);
        for program in 0..MAPPINGS_MAX as u32 {
            assert!(table.set(&mapping(program, 1, a), a, 5, |_| true));
        }
        assert!(!table.set(&mapping(MAPPINGS_MAX as u32, 1, a), a, 5, |_| true));
    }
}
