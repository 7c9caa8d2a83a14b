// SPDX-License-Identifier: GPL-2.0 OR MIT

//! An AF_VMTP socket and its calls (VIII), one method each.
//!
//! One socket is one entity, client and server at once. Its options are in `options.rs`;
//! [`Client`](crate::Client) and [`Server`](crate::Server) are the comfortable forms.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::net;

use crate::sys::{self, sockaddr_vmtp, vmtp_exchange, vmtp_msg, vmtp_probe};
use crate::{raw, Code, Domain, Entity, Error, Host, Mcb, Received, Reply, Request, Result};

/// An AF_VMTP socket.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// Milliseconds for the kernel: at least 1, for 0 is another thing there; the greatest time stands
/// for no limit.
pub(crate) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(1_000_000))
        .unwrap_or(u32::MAX)
        .max(1)
}

/// What a time to wait is in the calls where 0 milliseconds is no limit: (timeout, flags).
fn wait(time: Option<Duration>) -> (u32, u32) {
    match time {
        None => (0, 0),
        Some(Duration::ZERO) => (0, sys::VMTP_MSG_DONTWAIT),
        Some(time) => (milliseconds(time), 0),
    }
}

impl Socket {
    /// A new socket without an entity. It gets one when it is bound or first sends.
    pub fn new() -> Result<Socket> {
        raw::socket().map(Socket)
    }

    /// Another process's socket that is this entity, beside its owner's own descriptor; for who may
    /// trace that process (ptrace(2)). Fails with ENOENT if the process has no such socket.
    pub fn of_process(process: u32, entity: Entity) -> Result<Socket> {
        raw::find_socket(process, entity).map(Socket)
    }

    /// Gives it its entity in Domain 1; [`Entity::ZERO`] asks for any.
    pub fn bind(&self, entity: Entity) -> Result<()> {
        self.bind_in(Domain::Internet, entity)
    }

    /// The same in a domain. In [`Domain::Local`] it may wait until the host has a block of
    /// identifiers (IV.4), which takes less than a second unless other hosts object.
    pub fn bind_in(&self, domain: Domain, entity: Entity) -> Result<()> {
        let name = sockaddr_vmtp {
            svmtp_domain: domain.number(),
            ..address(entity, Host::UNKNOWN)
        };
        net::bind(self, &name).map_err(|errno| Error::system("bind", errno))
    }

    /// Names the default Server, for plain `send`, and where it is.
    pub fn connect(&self, server: Entity, host: Host) -> Result<()> {
        net::connect(self, &address(server, host)).map_err(|errno| Error::system("connect", errno))
    }

    /// Its entity, and where it is. The entity is zero before there is one.
    pub fn local(&self) -> Result<(Entity, Host)> {
        let name = net::getsockname(self).map_err(|errno| Error::system("getsockname", errno))?;
        let name = raw::name(name);
        Ok((Entity::from_bits(name.svmtp_entity), Host(name.svmtp_host)))
    }

    /// Whether its calls fail with EAGAIN instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        rustix::io::ioctl_fionbio(self, nonblocking)
            .map_err(|errno| Error::system("ioctl FIONBIO", errno))
    }

    /// Sends a Request and waits for its first Response, the segment of which is appended to
    /// `segment` within its capacity: as much as fits. `limit` is that of the transaction.
    /// Interrupted by a signal it fails with EINTR, and [`getreply`](Self::getreply) waits on.
    pub fn invoke(
        &self,
        server: Entity,
        request: &Request<'_>,
        limit: Option<Duration>,
        pieces: bool,
        segment: &mut Vec<u8>,
    ) -> Result<Received> {
        let (out, data) = request.to_msg(server);
        let mut exchange = vmtp_exchange {
            out,
            ..Default::default()
        };
        exchange.out.timeout = limit.map(milliseconds).unwrap_or_default();
        exchange.r#in.flags = if pieces { sys::VMTP_MSG_PIECES } else { 0 };
        raw::invoke(self, &mut exchange, data, segment)
            .map_err(|error| Error::system("invoke", error))?;
        Ok(Received::new(&exchange.r#in))
    }

    /// Sends a Request and does not wait. A datagram is complete with that; else the Response, of up
    /// to `room` octets of segment, is [`getreply`](Self::getreply)'s.
    pub fn start(
        &self,
        server: Entity,
        request: &Request<'_>,
        limit: Option<Duration>,
        room: usize,
    ) -> Result<()> {
        let (out, data) = request.to_msg(server);
        let mut exchange = vmtp_exchange {
            out,
            ..Default::default()
        };
        exchange.out.timeout = limit.map(milliseconds).unwrap_or_default();
        raw::start(self, &mut exchange, data, room).map_err(|error| Error::system("invoke", error))
    }

    /// The next Response to the open transaction, appended as with [`invoke`](Self::invoke). If the
    /// time is up its code is USER_TIMEOUT; no time at all only looks.
    pub fn getreply(
        &self,
        time: Option<Duration>,
        pieces: bool,
        segment: &mut Vec<u8>,
    ) -> Result<Received> {
        let timeout = match time {
            None => u32::MAX,
            Some(Duration::ZERO) => 0,
            Some(time) => milliseconds(time),
        };
        let flags = if pieces { sys::VMTP_MSG_PIECES } else { 0 };
        let mut msg = vmtp_msg {
            timeout,
            flags,
            ..Default::default()
        };
        raw::getreply(self, &mut msg, segment).map_err(|error| Error::system("getreply", error))?;
        Ok(Received::new(&msg))
    }

    /// The next Request; its segment is appended to `segment` within its capacity. Fails with
    /// EAGAIN when the time is up; no time at all only looks.
    pub fn recvreq(
        &self,
        time: Option<Duration>,
        pieces: bool,
        segment: &mut Vec<u8>,
    ) -> Result<Received> {
        let (timeout, mut flags) = wait(time);
        flags |= if pieces { sys::VMTP_MSG_PIECES } else { 0 };
        let mut msg = vmtp_msg {
            timeout,
            flags,
            ..Default::default()
        };
        raw::recvreq(self, &mut msg, segment).map_err(|error| Error::system("recvreq", error))?;
        Ok(Received::new(&msg))
    }

    /// Answers a received Request.
    pub fn sendreply(&self, to: &Mcb, reply: &Reply<'_>) -> Result<()> {
        let (mut msg, data) = reply.to_msg(to);
        raw::sendreply(self, &mut msg, data).map_err(|error| Error::system("sendreply", error))
    }

    /// Answers a received Request and receives the next, in one system call. An error comes with
    /// whether the Response has gone.
    pub fn replyrecv(
        &self,
        to: &Mcb,
        reply: &Reply<'_>,
        time: Option<Duration>,
        pieces: bool,
        segment: &mut Vec<u8>,
    ) -> std::result::Result<Received, (Error, bool)> {
        let (out, data) = reply.to_msg(to);
        let mut exchange = vmtp_exchange {
            out,
            ..Default::default()
        };
        let (timeout, flags) = wait(time);
        exchange.r#in.timeout = timeout;
        exchange.r#in.flags = flags | if pieces { sys::VMTP_MSG_PIECES } else { 0 };
        raw::replyrecv(self, &mut exchange, data, segment).map_err(|error| {
            (
                Error::system("replyrecv", error),
                exchange.out.flags & sys::VMTP_MSG_SENT != 0,
            )
        })?;
        Ok(Received::new(&exchange.r#in))
    }

    /// Passes a received Request on to another server, as though its Client had sent it there
    /// (2.8). Code, user data and segment are `request`'s; its cookie has no meaning here.
    pub fn forward(&self, received: &Mcb, server: Entity, request: &Request<'_>) -> Result<()> {
        let (mut msg, data) = request.to_msg(server);
        msg.mcb.client = received.0.client;
        msg.mcb.transaction = received.0.transaction;
        msg.mcb.function = sys::VMTP_FORWARD;
        msg.cookie = 0;
        raw::forward(self, &mut msg, data).map_err(|error| Error::system("forward", error))
    }

    /// Asks an entity's host about it; [`Entity::ZERO`] is the socket's own. Whether there was an
    /// answer is in [`Probe::code`].
    pub fn probe(&self, entity: Entity, host: Host, limit: Option<Duration>) -> Result<Probe> {
        let timeout = limit.map(milliseconds).unwrap_or_default();
        let mut probe = vmtp_probe {
            entity: entity.bits(),
            timeout,
            host: host.0,
            ..Default::default()
        };
        raw::probe(self, &mut probe).map_err(|error| Error::system("probeentity", error))?;
        Ok(Probe(probe))
    }

    /// Freezes the entity and writes it out, to be read back by [`import`](Self::import) on another
    /// host: the records of its Clients go along, so that nothing is executed twice. Requests that
    /// were received may be answered for `patience`; then it fails with EBUSY, and the entity goes
    /// on. Frozen it drops packets, until [`moved`](Self::moved) or [`resume`](Self::resume).
    pub fn export(&self, patience: Duration) -> Result<Vec<u8>> {
        raw::export(self, milliseconds(patience)).map_err(|error| Error::system("export", error))
    }

    /// Makes this socket, which is not bound, the entity that was written out elsewhere. Needs
    /// CAP_NET_ADMIN.
    pub fn import(&self, image: &[u8]) -> Result<Entity> {
        raw::import(self, image)
            .map(Entity::from_bits)
            .map_err(|error| Error::system("import", error))
    }

    /// The entity that was written out lives on another host now; this socket is of no more use.
    pub fn moved(&self) -> Result<()> {
        raw::moved(self).map_err(|error| Error::system("moved", error))
    }

    /// The entity that was written out goes on here.
    pub fn resume(&self) -> Result<()> {
        raw::resume(self).map_err(|error| Error::system("resume", error))
    }

    /// Ends the open transaction; nothing of it is delivered any more.
    pub fn abort(&self) -> Result<()> {
        raw::abort(self).map_err(|error| Error::system("abort", error))
    }
}

fn address(entity: Entity, host: Host) -> sockaddr_vmtp {
    sockaddr_vmtp {
        svmtp_family: sys::AF_VMTP,
        svmtp_entity: entity.bits(),
        svmtp_host: host.0,
        ..Default::default()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The descriptor must be that of an AF_VMTP socket; on another every call fails.
impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Socket {
        Socket(fd)
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket.0
    }
}

/// What a host says of an entity (ProbeEntity; III).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe(sys::vmtp_probe);

impl From<vmtp_probe> for Probe {
    fn from(probe: vmtp_probe) -> Probe {
        Probe(probe)
    }
}

impl Probe {
    /// Whether there was an answer, and what. The rest means something only if it is [`Code::OK`].
    pub fn code(&self) -> Code {
        Code::from_word(self.0.code)
    }

    /// The entity that was asked about.
    pub fn entity(&self) -> Entity {
        Entity::from_bits(self.0.entity)
    }

    /// Its current or next transaction identifier.
    pub fn transaction(&self) -> u32 {
        self.0.transaction
    }

    /// The process: host address and process number.
    pub fn process(&self) -> (std::net::Ipv4Addr, u32) {
        split(self.0.process)
    }

    /// The real user: host address and user number.
    pub fn principal(&self) -> (std::net::Ipv4Addr, u32) {
        split(self.0.principal)
    }

    /// The effective user: host address and user number.
    pub fn effective_principal(&self) -> (std::net::Ipv4Addr, u32) {
        split(self.0.effective_principal)
    }

    /// Who answered.
    pub fn host(&self) -> Host {
        Host(self.0.host)
    }
}

fn split(identifier: u64) -> (std::net::Ipv4Addr, u32) {
    (
        std::net::Ipv4Addr::from((identifier >> 32) as u32),
        identifier as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_never_become_no_limit() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_micros(1_001)), 2);
        assert_eq!(milliseconds(Duration::MAX), u32::MAX);
        assert_eq!(wait(None), (0, 0));
        assert_eq!(wait(Some(Duration::ZERO)), (0, sys::VMTP_MSG_DONTWAIT));
    }

    #[test]
    fn identifiers_of_processes_are_split_into_host_and_number() {
        assert_eq!(
            split(0x0A00_0002_0000_03E8),
            ("10.0.0.2".parse().unwrap(), 1000)
        );
    }

    #[test]
    fn a_missing_module_is_recognised() {
        match Socket::new() {
            Ok(_) => (), // Loaded on this machine.
            Err(error) => {
                assert!(matches!(error, Error::NotLoaded));
                assert!(error.to_string().contains("sudo modprobe vmtp"));
            }
        }
    }
}
