// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A client: message transactions with any servers. Not a connection, nothing is open between two
//! calls.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use crate::{
    Code, Domain, Entity, Error, Host, Mcb, Probe, Received, Request, Response, Result, Socket,
    GROUP_SIZE, MESSAGE_SIZE,
};

/// Calls servers.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    time_limit: Option<Duration>,
    response_limit: usize,
}

impl Client {
    /// A client with an entity of its own, given by the host.
    pub fn new() -> Result<Client> {
        Client::bind(Entity::ZERO)
    }

    /// A client with this entity.
    pub fn bind(entity: Entity) -> Result<Client> {
        Client::bind_in(Domain::Internet, entity)
    }

    /// The same in a domain, to which all Servers that it names belong: see [`Socket::bind_in`].
    pub fn bind_in(domain: Domain, entity: Entity) -> Result<Client> {
        let socket = Socket::new()?;
        socket.bind_in(domain, entity)?;
        Ok(Client::from(socket))
    }

    /// Its entity.
    pub fn entity(&self) -> Result<Entity> {
        self.socket.local().map(|(entity, _)| entity)
    }

    /// The socket, for its options.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// How long a call may take in all; by default until the retransmissions are used up, and
    /// without limit while the server is working on it.
    pub fn set_time_limit(&mut self, limit: Option<Duration>) {
        self.time_limit = limit;
    }

    /// How many octets of segment a Response may have; 16,384 by default, and at most 4 MiB.
    pub fn set_response_limit(&mut self, octets: usize) {
        self.response_limit = octets.min(MESSAGE_SIZE);
    }

    /// One message transaction: sends the Request and waits for the Response. A failed one, with a
    /// code from 1 to 63, is [`Error::Failed`] and never an empty Response. To a group, the first
    /// Response is returned and [`next_response`](Self::next_response) has the others.
    ///
    /// On a signal it fails with EINTR ([`Error::interrupted`]) and the transaction stays open:
    /// `next_response(None)` waits on, [`abort`](Self::abort) ends it.
    pub fn call(&self, server: Entity, request: &Request<'_>) -> Result<Response> {
        let mut segment = Vec::with_capacity(self.response_limit);
        let received = self
            .socket
            .invoke(server, request, self.time_limit, false, &mut segment)?;
        self.complete(received, segment)
    }

    /// Sends a datagram: nobody answers, and nobody tells whether it arrived.
    pub fn send(&self, server: Entity, request: &Request<'_>) -> Result<()> {
        self.socket
            .start(server, &request.clone().datagram(), None, 0)
    }

    /// Begins a transaction without waiting. The descriptor becomes readable when there is a
    /// Response. With [`Socket::set_stream`] several may be open, of one server and in order; the
    /// [`cookie`](Request::cookie) tells which a Response belongs to.
    pub fn start(&self, server: Entity, request: &Request<'_>) -> Result<()> {
        self.socket
            .start(server, request, self.time_limit, self.response_limit)
    }

    /// The next Response to the open transaction: after [`start`](Self::start) the first, after
    /// [`call`](Self::call) to a group the second. None if there was none in this time; a
    /// transaction whose own limit has run out is [`Error::Failed`] with USER_TIMEOUT.
    pub fn next_response(&self, time: Option<Duration>) -> Result<Option<Response>> {
        let mut segment = Vec::with_capacity(self.response_limit);
        match self.socket.getreply(time, false, &mut segment) {
            Ok(received) if is_wait_over(received.mcb) => Ok(None),
            Err(error) if error.would_block() => Ok(None),
            result => self.complete(result?, segment).map(Some),
        }
    }

    /// Ends the open transaction.
    pub fn abort(&self) -> Result<()> {
        self.socket.abort()
    }

    /// Asks an entity's host about it, by default until the retransmissions are used up. Without an
    /// answer it is [`Probe::code`] that says so.
    pub fn probe(&self, entity: Entity, limit: Option<Duration>) -> Result<Probe> {
        self.socket.probe(entity, Host::UNKNOWN, limit)
    }

    /// Tells failures, and what was too long, from Responses.
    fn complete(&self, received: Received, segment: Vec<u8>) -> Result<Response> {
        let size = received.mcb.segment_len();
        let missing = segment.len() < size && received.mcb.delivered().is_none();
        let response = Response { received, segment };
        if response.code().is_failure() {
            Err(Error::Failed(Box::new(response)))
        } else if missing {
            Err(Error::TooLong {
                size,
                limit: self.response_limit,
            })
        } else {
            Ok(response)
        }
    }
}

/// Whether it is getreply's own time that is up. A transaction that failed names its Server.
fn is_wait_over(mcb: Mcb) -> bool {
    mcb.code() == Code::USER_TIMEOUT && mcb.server() == Entity::ZERO
}

impl From<Socket> for Client {
    fn from(socket: Socket) -> Client {
        Client {
            socket,
            time_limit: None,
            response_limit: GROUP_SIZE,
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
