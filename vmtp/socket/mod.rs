// SPDX-License-Identifier: GPL-2.0

//! AF_VMTP: a socket is one entity, Client and server at once.
//!
//! Here are the socket and its names; the RFC's calls are in `calls`, sendmsg and recvmsg in `messages`, what both need in
//! `transfer`, options in `options`, and what crosses the border to programs in `abi`.

// The door to the rest of the module; nothing of the crate is seen from outside.
#![allow(unreachable_pub)]

pub mod abi;
mod calls;
mod messages;
mod migrate;
pub mod options;
mod transfer;

use self::abi::Name;
use self::options::Options;
use crate::bindings as uapi;
use crate::host::endpoint::{Endpoint, Owner};
use crate::host::path::PathRecord;
use crate::host::settings::Setting;
use crate::host::transmit::{Liberties, Manner};
use crate::host::{Destination, Host, DOMAINS};
use crate::kernel::errno::Errno;
use crate::kernel::family::{self, Family, Shutdown, Sock, SocketName, SocketOps};
use crate::kernel::lock::{new_spinlock_bh, SpinLockBh};
use crate::kernel::message::{no_such_option, Message, OptionResult, OptionValue};
use crate::kernel::net::Net;
use crate::kernel::pernet::StateRef;
use crate::kernel::record::Ref;
use crate::kernel::sock::{Sk, SkRef};
use crate::kernel::wait::poll;
use crate::proto::client::Found;
use crate::proto::peer::Peer;
use crate::proto::wire::{Entity, GroupPermissions, IPPROTO};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::prelude::*;
use kernel::sync::Arc;

/// The Rust part of an AF_VMTP socket.
#[pin_data]
pub struct VmtpSocket {
    /// Of each domain; the socket's own is that of the number, 0 as long as it is not bound.
    hosts: [StateRef<Host>; DOMAINS.len()],
    number: AtomicUsize,
    options: Arc<Options>,
    owner: Owner,
    #[pin]
    state: SpinLockBh<Names>,
    /// A thread is in one of the calls that move the entity.
    moving: AtomicBool,
}

/// What a socket is and whom it talks to.
struct Names {
    endpoint: Option<Ref<Endpoint>>,
    /// The default Server of connect.
    peer: Option<(Entity, Peer)>,
    /// The way that was last found.
    way: Option<Way>,
    closed: bool,
}

/// The way to a Server, as long as the host's ways stay as they are.
struct Way {
    server: Entity,
    named: Peer,
    ways: u32,
    destination: Destination,
    path: Ref<PathRecord>,
}

static FAMILY: Family<VmtpSocket> = Family::new();

/// Sockets can be made until the result is dropped.
pub fn register(module: &'static ThisModule) -> Result<family::Registration<VmtpSocket>> {
    Family::<VmtpSocket>::register(module)
}

impl SocketOps for VmtpSocket {
    const FAMILY: u32 = uapi::AF_VMTP;
    const TYPE: u32 = uapi::SOCK_TRANSACT;
    const PROTOCOL: u8 = IPPROTO as u8;
    const NAME: &'static CStr = c"VMTP";

    fn storage() -> &'static Family<Self> {
        &FAMILY
    }

    fn create(net: &Net, _sk: &Sk) -> impl PinInit<Self, Error> {
        try_pin_init!(VmtpSocket {
            hosts: Host::counted(net)?,
            number: AtomicUsize::new(0),
            options: Arc::new(Options::new(), GFP_KERNEL_ACCOUNT)?,
            owner: Owner::current(net)?,
            state <- new_spinlock_bh!(Names { endpoint: None, peer: None, way: None, closed: false }, "vmtp::names"),
            moving: AtomicBool::new(false),
        }? Error)
    }

    fn release(sock: &Sock<Self>) {
        let mut state = sock.state.lock();
        state.closed = true;
        let endpoint = state.endpoint.take();
        let way = state.way.take();
        drop(state);
        drop(way);
        if let Some(endpoint) = endpoint {
            Endpoint::release(&endpoint);
        }
    }

    fn bind(sock: &Sock<Self>, name: &[u8]) -> Result {
        let Name { domain, entity, .. } = abi::name_in(name)?;
        let host = sock.host_in(domain)?;
        if entity.is_zero() {
            return sock.bind_allocated(host);
        }
        if !entity.is_client() || !entity.is_valid() {
            return Err(EINVAL);
        }
        may_bind(host, entity, &sock.owner)?;
        sock.bind_to(host, entity)
    }

    fn connect(sock: &Sock<Self>, name: &[u8]) -> Result {
        if let Some(family) = name.first_chunk::<2>() {
            if u16::from_ne_bytes(*family) == 0 {
                // AF_UNSPEC: no default Server any more.
                sock.state.lock().peer = None;
                return Ok(());
            }
        }
        let Name {
            domain,
            entity,
            peer,
        } = abi::name_in(name)?;
        if entity.is_zero() || !entity.is_valid() {
            return Err(EINVAL);
        }
        sock.endpoint_in(domain)?;
        sock.state.lock().peer = Some((entity, peer));
        Ok(())
    }

    fn name(sock: &Sock<Self>, peer: bool) -> Result<SocketName> {
        let state = sock.state.lock();
        if peer {
            let (entity, peer) = state.peer.ok_or(Errno::ENOTCONN)?;
            return Ok(abi::name_out(sock.host().domain(), entity, &peer));
        }
        let entity = state
            .endpoint
            .as_ref()
            .map_or(Entity::ZERO, |endpoint| endpoint.entity);
        Ok(abi::name_out(sock.host().domain(), entity, &Peer::NONE))
    }

    fn send(sock: &Sock<Self>, message: &mut Message, length: usize) -> Result<usize> {
        messages::send(sock, message, length)
    }

    fn receive(
        sock: &Sock<Self>,
        message: &mut Message,
        length: usize,
        flags: u32,
    ) -> Result<usize> {
        messages::receive(sock, message, length, flags)
    }

    fn poll(sock: &Sock<Self>) -> u32 {
        let (receiving, sending) = sock.sk().is_shut_down();
        let mut events = 0;
        if sock.sk().has_error() {
            events |= poll::ERR;
        }
        if receiving {
            events |= poll::RDHUP | poll::IN | poll::RDNORM;
        }
        if receiving && sending {
            events |= poll::HUP;
        }
        let endpoint = sock.state.lock().endpoint.clone();
        let Some(endpoint) = endpoint else {
            return events | poll::OUT | poll::WRNORM;
        };
        let wanted = sock.options.receive();
        let request = wanted != uapi::VMTP_RECEIVE_RESPONSES && endpoint.has_request();
        let response = wanted != uapi::VMTP_RECEIVE_REQUESTS && endpoint.has_outcome();
        if request || response {
            events |= poll::IN | poll::RDNORM;
        }
        if endpoint.may_start() {
            events |= poll::OUT | poll::WRNORM;
        }
        events
    }

    fn ioctl(
        sock: &Sock<Self>,
        command: u32,
        argument: usize,
        _compat: bool,
        nonblocking: bool,
    ) -> Result<isize> {
        calls::call(sock, command, argument, nonblocking)
    }

    fn set_option(sock: &Sock<Self>, level: i32, name: i32, value: &OptionValue) -> Result {
        if level != uapi::SOL_VMTP as i32 {
            return no_such_option();
        }
        match name as u32 {
            uapi::VMTP_OPT_JOIN => {
                let membership = value.read::<uapi::vmtp_membership>()?;
                let permissions = GroupPermissions::from_bits(membership.permissions);
                let group = Entity::from_bits(membership.group);
                if !group.is_valid() || !group.is_group() {
                    return Err(EINVAL);
                }
                let endpoint = sock.endpoint()?;
                endpoint.may_join(group, permissions)?;
                Endpoint::join(&endpoint, group, permissions, membership.interface)
            }
            uapi::VMTP_OPT_LEAVE => {
                let membership = value.read::<uapi::vmtp_membership>()?;
                Endpoint::leave(&sock.endpoint()?, Entity::from_bits(membership.group))
            }
            name => sock.options.set(name, value.read::<i32>()?),
        }
    }

    fn get_option(
        sock: &Sock<Self>,
        level: i32,
        name: i32,
        result: &mut OptionResult<'_>,
    ) -> Result {
        if level != uapi::SOL_VMTP as i32 {
            return no_such_option();
        }
        match name as u32 {
            uapi::VMTP_OPT_PEER => {
                let question = result.argument::<uapi::vmtp_peer_info>()?;
                let answer = sock.peer_info(Entity::from_bits(question.entity))?;
                result.write(&answer)
            }
            name => result.write(&sock.options.get(name)?),
        }
    }

    fn shutdown(sock: &Sock<Self>, how: Shutdown) -> Result {
        sock.sk()
            .shut_down(how != Shutdown::Sending, how != Shutdown::Receiving);
        let endpoint = sock.state.lock().endpoint.clone();
        if let Some(endpoint) = endpoint.filter(|_| how != Shutdown::Sending) {
            endpoint.shut();
        }
        Ok(())
    }
}

impl Sock<VmtpSocket> {
    /// The host of the socket's domain, which is 1 until it is bound in another.
    #[inline]
    fn host(&self) -> &StateRef<Host> {
        let [first, second] = &self.hosts;
        match self.number.load(Ordering::Acquire) {
            0 => first,
            _ => second,
        }
    }

    /// The host of a domain; 0 is the socket's. EINVAL if this host is not in it.
    fn host_in(&self, domain: u16) -> Result<&StateRef<Host>> {
        if domain == 0 {
            return Ok(self.host());
        }
        let mut hosts = self.hosts.iter();
        hosts.find(|host| host.domain() == domain).ok_or(EINVAL)
    }

    /// The entity, made if the socket has none yet. EADDRNOTAVAIL if there is no identifier to give.
    fn endpoint(&self) -> Result<Ref<Endpoint>> {
        self.endpoint_in(0)
    }

    /// The same in a domain; 0 is the socket's. EINVAL if it is bound in another.
    fn endpoint_in(&self, domain: u16) -> Result<Ref<Endpoint>> {
        let known = self.state.lock().endpoint.clone();
        let endpoint = match known {
            Some(endpoint) => endpoint,
            None => {
                match self.bind_allocated(self.host_in(domain)?) {
                    // EINVAL: another thread was faster.
                    Ok(()) => {}
                    Err(error) if error.to_errno() == EINVAL.to_errno() => {}
                    Err(error) => return Err(error),
                }
                self.state.lock().endpoint.clone().ok_or(EBADF)?
            }
        };
        if domain != 0 && endpoint.host().domain() != domain {
            return Err(EINVAL);
        }
        Ok(endpoint)
    }

    /// Binds an identifier of the host's own choice. EADDRNOTAVAIL if there is none, EINTR.
    fn bind_allocated(&self, host: &StateRef<Host>) -> Result {
        for _ in 0..ALLOCATION_TRIES {
            match host.allocate() {
                Ok(entity) => match self.bind_to(host, entity) {
                    Err(error) if error.to_errno() == Error::from(Errno::EADDRINUSE).to_errno() => {
                    }
                    result => return result,
                },
                Err(_) => host.replenish()?,
            }
        }
        Err(Errno::EADDRNOTAVAIL.into())
    }

    fn bind_to(&self, host: &StateRef<Host>, entity: Entity) -> Result {
        if self.state.lock().endpoint.is_some() {
            return Err(EINVAL);
        }
        Endpoint::adopt(host, entity, &self.owner);
        self.bind_with(host, entity, Endpoint::bind).map(|_| ())
    }

    /// The same for an entity that comes from another host: [`Endpoint::bind_frozen`].
    fn bind_frozen(&self, host: &StateRef<Host>, entity: Entity) -> Result<Ref<Endpoint>> {
        self.bind_with(host, entity, Endpoint::bind_frozen)
    }

    fn bind_with(
        &self,
        host: &StateRef<Host>,
        entity: Entity,
        bind: Bind,
    ) -> Result<Ref<Endpoint>> {
        let sk = self.sk();
        let _locked = sk.lock();
        if self.state.lock().endpoint.is_some() {
            return Err(EINVAL);
        }
        let endpoint = bind(host, entity, sk.to_ref(), self.owner.clone(), &self.options)?;
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            Endpoint::release(&endpoint);
            return Err(EBADF);
        }
        let number = self
            .hosts
            .iter()
            .position(|own| own.domain() == host.domain());
        self.number.store(number.unwrap_or(0), Ordering::Release);
        state.endpoint = Some(endpoint.clone());
        Ok(endpoint)
    }

    /// How this socket's packets are sent.
    fn manner(&self) -> Manner {
        let wishes = self.sk().wishes();
        Manner {
            liberties: Liberties::new(
                self.options.checksum() != uapi::VMTP_CHECKSUM_NONE,
                wishes.broadcast,
            ),
            ttl: self.options.ttl(),
            multicast_ttl: self.options.multicast_ttl(),
            interface: wishes.interface,
            multicast_interface: self.options.multicast_interface(),
            mark: wishes.mark,
            priority: wishes.priority,
            tos: wishes.tos,
            user: wishes.user,
            source: core::net::Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Where a Request to `server` goes: to the host that the program names, or to where it is found.
    fn destination(&self, server: Entity, named: Peer) -> Destination {
        if named.is_known() {
            let multicast = named
                .as_inet()
                .is_some_and(|address| core::net::Ipv4Addr::from(address).is_multicast());
            return Destination {
                peer: named,
                found: Found::Certain,
                multicast,
            };
        }
        self.host().find(server, Host::now())
    }

    /// Where a Request to `server` goes, and the way there, on which there may be no route any more.
    fn way(&self, server: Entity, named: Peer) -> Result<(Destination, Ref<PathRecord>)> {
        let ways = self.host().ways();
        let state = self.state.lock();
        if let Some(way) = &state.way {
            if way.server == server && way.named == named && way.ways == ways {
                return Ok((way.destination, way.path.clone()));
            }
        }
        drop(state);
        let destination = self.destination(server, named);
        let path = self.path(&destination)?;
        if destination.peer.is_known() {
            let way = Way {
                server,
                named,
                ways,
                destination,
                path: path.clone(),
            };
            let mut state = self.state.lock();
            let before = state.way.replace(way);
            drop(state);
            drop(before);
        }
        Ok((destination, path))
    }

    /// The way there; for a Server that must first be found, the way to everybody.
    fn path(&self, destination: &Destination) -> Result<Ref<PathRecord>> {
        let now = Host::now();
        let peer = if destination.peer.is_known() {
            destination.peer
        } else {
            Peer::inet(crate::host::ALL_HOSTS.octets())
        };
        let path = self.host().path(&peer, now)?;
        if destination.peer.is_known() && !destination.multicast {
            // No route is an error of the call, not of the transaction.
            path.is_routed(self.host(), &self.manner())?;
        }
        Ok(path)
    }

    fn peer_info(&self, entity: Entity) -> Result<uapi::vmtp_peer_info> {
        let destination = self.destination(entity, Peer::NONE);
        if !destination.peer.is_known() {
            return Err(Errno::EHOSTUNREACH.into());
        }
        let path = self.path(&destination)?.path();
        Ok(uapi::vmtp_peer_info {
            entity: entity.bits(),
            host: abi::host_out(&destination.peer),
            mtu: path.mtu,
            gap: path.gap().into(),
            rtt: path.round_trip().mean().nanos(),
            rtt_deviation: path.round_trip().deviation().nanos(),
            interpacket: path.interpacket().mean().nanos(),
        })
    }
}

/// Whether the caller may bind an identifier of its own choice: of this host and above the reserved range, or as
/// administrator. EACCES.
fn may_bind(host: &Host, entity: Entity, owner: &Owner) -> Result {
    let free = if host.names_hosts() {
        host.is_own(entity.address())
            && entity.discriminator() >= host.settings.get(Setting::UnprivilegedStart)
    } else {
        // Those of this host are what it has given out.
        host.was_given_to(entity, owner)
    };
    if free || host.net().admin_capable() {
        Ok(())
    } else {
        Err(EACCES)
    }
}

/// How an entity is made of a socket.
type Bind = fn(&StateRef<Host>, Entity, SkRef, Owner, &Arc<Options>) -> Result<Ref<Endpoint>>;

/// How often an identifier is asked of a clock that has none to give: for a tenth of a second.
const ALLOCATION_TRIES: u32 = 1_000;
