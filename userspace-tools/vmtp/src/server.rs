// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A server: receives Requests and replies to each. Any number of threads may share one.

use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{
    sys, Code, Domain, Entity, Error, Host, Mcb, Received, Reply, Request, Response, Result,
    Socket, GROUP_SIZE, MESSAGE_SIZE,
};

/// Receives Requests to one entity, and to the groups that it joined.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    request_limit: usize,
}

impl Server {
    /// A server with this entity; [`Entity::ZERO`] asks for any, which [`entity`](Self::entity)
    /// tells.
    pub fn bind(entity: Entity) -> Result<Server> {
        Server::bind_in(Domain::Internet, entity)
    }

    /// The same in a domain: see [`Socket::bind_in`].
    pub fn bind_in(domain: Domain, entity: Entity) -> Result<Server> {
        let socket = Socket::new()?;
        socket.bind_in(domain, entity)?;
        Ok(Server::from(socket))
    }

    /// Its entity.
    pub fn entity(&self) -> Result<Entity> {
        self.socket.local().map(|(entity, _)| entity)
    }

    /// The socket, for its options and groups.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// How many octets of segment of a Request are received; 16,384 by default, and at most 4 MiB.
    /// The rest of a longer one is discarded; see [`IncomingRequest::is_truncated`].
    pub fn set_request_limit(&mut self, octets: usize) {
        self.request_limit = octets.min(MESSAGE_SIZE);
    }

    /// Waits for the next Request. Group Responses are passed over.
    pub fn recv(&self) -> Result<IncomingRequest<'_>> {
        Owner::Borrowed(self).recv()
    }

    /// Waits for the next Request, which keeps the server itself: another thread may answer it, and
    /// later. Group Responses are passed over.
    pub fn recv_owned(self: &Arc<Self>) -> Result<IncomingRequest<'static>> {
        Owner::Shared(Arc::clone(self)).recv()
    }

    /// Waits for the next Request or, with
    /// [`set_group_responses`](crate::Socket::set_group_responses), group Response.
    pub fn recv_any(&self) -> Result<Incoming<'_>> {
        Owner::Borrowed(self).recv_any(None)
    }

    /// Waits for the next Request for this time at most. With no time at all it only looks. Group
    /// Responses are passed over.
    pub fn recv_timeout(&self, time: Duration) -> Result<Option<IncomingRequest<'_>>> {
        let end = Instant::now().checked_add(time);
        let mut rest = time;
        loop {
            match Owner::Borrowed(self).recv_any(Some(rest)) {
                Err(error) if error.would_block() => return Ok(None),
                Err(error) => return Err(error),
                Ok(Incoming::Request(request)) => return Ok(Some(request)),
                Ok(Incoming::GroupResponse(_)) => {}
            }
            if let Some(end) = end {
                rest = end.saturating_duration_since(Instant::now());
            }
        }
    }

    /// The next Request if there is one, of a socket that does not wait.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_recv_owned(self: &Arc<Self>) -> Result<Option<IncomingRequest<'static>>> {
        match self.recv_owned() {
            Err(error) if error.would_block() => Ok(None),
            result => result.map(Some),
        }
    }
}

/// The server that a Request came to.
#[derive(Clone, Debug)]
enum Owner<'s> {
    Borrowed(&'s Server),
    Shared(Arc<Server>),
}

impl Deref for Owner<'_> {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Owner::Borrowed(server) => server,
            Owner::Shared(server) => server,
        }
    }
}

impl<'s> Owner<'s> {
    fn recv(self) -> Result<IncomingRequest<'s>> {
        loop {
            if let Incoming::Request(request) = self.clone().recv_any(None)? {
                return Ok(request);
            }
        }
    }

    fn recv_any(self, time: Option<Duration>) -> Result<Incoming<'s>> {
        let mut segment = Vec::with_capacity(self.request_limit);
        let received = self.socket.recvreq(time, false, &mut segment)?;
        Ok(self.received(received, segment))
    }

    fn received(self, received: Received, segment: Vec<u8>) -> Incoming<'s> {
        if received.mcb.is_group_response() {
            return Incoming::GroupResponse(Response { received, segment });
        }
        Incoming::Request(IncomingRequest {
            server: self,
            mcb: received.mcb,
            host: received.host,
            segment,
            open: true,
        })
    }
}

impl From<Socket> for Server {
    fn from(socket: Socket) -> Server {
        Server {
            socket,
            request_limit: GROUP_SIZE,
        }
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Server {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// What a server receives.
#[derive(Debug)]
#[must_use]
pub enum Incoming<'s> {
    /// A Request.
    Request(IncomingRequest<'s>),
    /// What another member of a group answered to a Request that is open here; the client and the
    /// transaction of its message control block tell which (2.7).
    GroupResponse(Response),
}

/// A received Request, to be replied to, forwarded, or dropped: then its Client is told at once
/// that nobody answers.
#[derive(Debug)]
#[must_use]
pub struct IncomingRequest<'s> {
    server: Owner<'s>,
    mcb: Mcb,
    host: Host,
    segment: Vec<u8>,
    /// Whether the Client still waits for something from here.
    open: bool,
}

impl<'s> IncomingRequest<'s> {
    /// What is asked for.
    pub fn code(&self) -> Code {
        self.mcb.code()
    }

    /// Who asks.
    pub fn client(&self) -> Entity {
        self.mcb.client()
    }

    /// Where the Request came from.
    pub fn host(&self) -> Host {
        self.host
    }

    /// Everything in the message control block.
    pub fn mcb(&self) -> &Mcb {
        &self.mcb
    }

    /// The 12 octets of the UserData field: the last 12 of user data, as three words.
    pub fn user_words(&self) -> [u32; 3] {
        let [_, _, a, b, c] = self.mcb.user_words();
        [a, b, c]
    }

    /// The segment.
    pub fn segment(&self) -> &[u8] {
        &self.segment
    }

    /// Takes the segment out, to keep it or to reply with it.
    pub fn take_segment(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.segment)
    }

    /// Whether the segment was longer than the server's limit.
    pub fn is_truncated(&self) -> bool {
        self.mcb.delivered().is_none() && self.segment.len() < self.mcb.segment_len()
    }

    /// Whether it is a datagram, which nobody waits for a reply to.
    pub fn is_datagram(&self) -> bool {
        self.mcb.has(sys::VMTP_DGM)
    }

    /// Sends the Response. That nobody waits for it is no error: of a datagram, or because the Client
    /// has gone on meanwhile.
    pub fn reply(mut self, reply: &Reply<'_>) -> Result<()> {
        match self.server.socket.sendreply(&self.mcb, reply) {
            Err(error) if error.errno() != Some(libc::ENOTCONN) => return Err(error),
            _ => self.open = false,
        }
        Ok(())
    }

    /// Sends the Response, as [`Self::reply`] does, and waits for the next Request, in one system
    /// call. If that fails, the error has the Request back unless the Response has gone.
    pub fn reply_and_recv(
        mut self,
        reply: &Reply<'_>,
    ) -> std::result::Result<IncomingRequest<'s>, ReplyRecvError<'s>> {
        let server = self.server.clone();
        let answered = |error| ReplyRecvError {
            request: None,
            error,
        };
        let mut segment = Vec::with_capacity(server.request_limit);
        match server
            .socket
            .replyrecv(&self.mcb, reply, None, false, &mut segment)
        {
            Ok(received) => {
                self.open = false;
                match server.clone().received(received, segment) {
                    Incoming::Request(request) => Ok(request),
                    Incoming::GroupResponse(_) => server.recv().map_err(answered),
                }
            }
            Err((error, true)) => {
                self.open = false;
                Err(answered(error))
            }
            Err((error, false)) => Err(ReplyRecvError {
                request: Some(Box::new(self)),
                error,
            }),
        }
    }

    /// Passes it on to another server as though its Client had sent it there (2.8), with its code
    /// and user data as they are and this segment.
    pub fn forward(mut self, to: Entity, segment: &[u8]) -> Result<()> {
        let [first, second, a, b, c] = self.mcb.user_words();
        let mut request = Request::new(self.mcb.code_word() & !sys::VMTP_SDA)
            .segment(segment)
            .user_words([a, b, c]);
        request = match self.mcb.coresident() {
            Some(entity) => request.coresident(entity),
            None => request.first_words([first, second]),
        };
        request = request.last_words(self.mcb.msg_delivery(), self.mcb.segment_size());
        if let Some(mask) = self.mcb.delivered() {
            request = request.partial(mask);
        }
        self.server.socket.forward(&self.mcb, to, &request)?;
        self.open = false;
        Ok(())
    }
}

/// Nobody has answered and nobody will: the Client need not wait.
impl Drop for IncomingRequest<'_> {
    fn drop(&mut self) {
        if self.open && !self.is_datagram() {
            // Nothing is lost if this fails: the Client's own timeouts remain.
            let _ = self.server.socket.sendreply(&self.mcb, &Reply::abandon());
        }
    }
}

/// Why [`IncomingRequest::reply_and_recv`] failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ReplyRecvError<'s> {
    /// The Request, if the Response to it has not gone; else it is answered, and the next is
    /// [`Server::recv`]'s.
    pub request: Option<Box<IncomingRequest<'s>>>,
    /// What happened.
    #[source]
    pub error: Error,
}

impl From<ReplyRecvError<'_>> for Error {
    fn from(error: ReplyRecvError<'_>) -> Error {
        error.error
    }
}
