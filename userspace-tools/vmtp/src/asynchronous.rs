// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Clients, servers and pools for programs that run on tokio (feature `tokio`).
//!
//! They are the blocking ones in sockets that do not wait, and what is made here must be made within a
//! runtime that has its I/O driver enabled, or it panics. Limits and options are set before:
//! [`Client::try_from`], [`Server::try_from`] and the `make` of a [`Pool`] take a blocking one.
//!
//! # What happens when a future is dropped
//!
//! Every method is cancel-safe, so that it may stand in `tokio::select!` or under
//! `tokio::time::timeout`:
//!
//! * [`Server::recv`] takes a Request only at the moment when it returns it; none is lost.
//! * [`Client::start`] has begun a transaction or it has not, and [`Client::next_response`] takes a
//!   Response only at the moment when it returns it.
//! * [`Client::call`] and [`Pool::call`] end the transaction when they are dropped before it is over:
//!   its Response is not delivered any more, and the client is free for the next call. As with every
//!   transaction that is ended early, the server may have executed it, at most once.
//!
//! # Example
//!
//! This is `examples/asynchronous.rs`, which the tests run:
//!
//! ```no_run
#![doc = include_str!("../examples/asynchronous.rs")]
//! ```

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::sync::Semaphore;

use crate::{raw, Entity, Error, Reply, Request, Response, Result};

fn reactor(error: io::Error) -> Error {
    Error::system("epoll", error)
}

/// Tries until there is something, and waits for the descriptor in between.
async fn until<S: std::os::fd::AsRawFd, T>(
    fd: &AsyncFd<S>,
    interest: Interest,
    attempt: impl Fn(&S) -> Result<Option<T>>,
) -> Result<T> {
    loop {
        let mut ready = fd.ready(interest).await.map_err(reactor)?;
        if let Some(found) = attempt(fd.get_ref())? {
            return Ok(found);
        }
        ready.clear_ready();
    }
}

/// Calls servers: [`crate::Client`] without waiting in the kernel.
///
/// A call borrows it mutably, for an entity has one transaction open at a time; a [`Pool`] is for calls
/// at the same time.
#[derive(Debug)]
pub struct Client(AsyncFd<crate::Client>);

impl Client {
    /// A client with an entity of its own, given by the host.
    pub fn new() -> Result<Client> {
        Client::try_from(crate::Client::new()?)
    }

    /// A client with this entity.
    pub fn bind(entity: Entity) -> Result<Client> {
        Client::try_from(crate::Client::bind(entity)?)
    }

    /// Its entity.
    pub fn entity(&self) -> Result<Entity> {
        self.0.get_ref().entity()
    }

    /// The socket, for its options. It does not wait: its calls fail with EAGAIN instead.
    pub fn socket(&self) -> &crate::Socket {
        self.0.get_ref().socket()
    }

    /// As [`crate::Client::call`].
    pub async fn call(&mut self, server: Entity, request: &Request<'_>) -> Result<Response> {
        call(&self.0, server, request).await
    }

    /// As [`crate::Client::start`]; waits only as long as what is open must be over first, which
    /// without [`Socket::set_stream`](crate::Socket::set_stream) is any transaction.
    pub async fn start(&mut self, server: Entity, request: &Request<'_>) -> Result<()> {
        until(&self.0, Interest::WRITABLE, |client| {
            started(client.start(server, request))
        })
        .await
    }

    /// The next Response to what is open. Fails with ENOTCONN if nothing was started. There may be no
    /// other, as of a group: put it under `tokio::time::timeout`.
    pub async fn next_response(&mut self) -> Result<Response> {
        until(&self.0, Interest::READABLE, |client| {
            client.next_response(None)
        })
        .await
    }

    /// As [`crate::Client::send`], which does not wait.
    pub fn send(&self, server: Entity, request: &Request<'_>) -> Result<()> {
        self.0.get_ref().send(server, request)
    }

    /// Ends the open transaction.
    pub fn abort(&mut self) -> Result<()> {
        self.0.get_ref().abort()
    }
}

/// One transaction, ended if this is dropped before it is over.
async fn call(
    fd: &AsyncFd<crate::Client>,
    server: Entity,
    request: &Request<'_>,
) -> Result<Response> {
    let open = Open(fd.get_ref());
    until(fd, Interest::WRITABLE, |client| {
        started(client.start(server, request))
    })
    .await?;
    let response = until(fd, Interest::READABLE, |client| client.next_response(None)).await?;
    // To a group, the others may still answer.
    std::mem::forget(open);
    Ok(response)
}

fn started(result: Result<()>) -> Result<Option<()>> {
    match result {
        Err(error) if error.would_block() => Ok(None),
        result => result.map(Some),
    }
}

/// A transaction that is ended if the call is dropped.
struct Open<'c>(&'c crate::Client);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // It fails only where there is nothing to end.
        let _ = self.0.abort();
    }
}

impl TryFrom<crate::Client> for Client {
    type Error = Error;

    fn try_from(client: crate::Client) -> Result<Client> {
        client.socket().set_nonblocking(true)?;
        raw::watch_client(client).map(Client).map_err(reactor)
    }
}

/// Receives Requests: [`crate::Server`] without waiting in the kernel. Any number of tasks may share
/// one.
#[derive(Debug)]
pub struct Server(AsyncFd<Arc<crate::Server>>);

impl Server {
    /// A server with this entity; [`Entity::ZERO`] asks for any, which [`entity`](Self::entity)
    /// tells.
    pub fn bind(entity: Entity) -> Result<Server> {
        Server::try_from(crate::Server::bind(entity)?)
    }

    /// Its entity.
    pub fn entity(&self) -> Result<Entity> {
        self.0.get_ref().entity()
    }

    /// The socket, for its options and groups. It does not wait: its calls fail with EAGAIN instead.
    pub fn socket(&self) -> &crate::Socket {
        self.0.get_ref().socket()
    }

    /// The next Request. It may go to another task, and be answered there.
    pub async fn recv(&self) -> Result<IncomingRequest> {
        until(&self.0, Interest::READABLE, crate::Server::try_recv_owned)
            .await
            .map(IncomingRequest)
    }
}

impl TryFrom<crate::Server> for Server {
    type Error = Error;

    fn try_from(server: crate::Server) -> Result<Server> {
        server.socket().set_nonblocking(true)?;
        raw::watch_server(Arc::new(server))
            .map(Server)
            .map_err(reactor)
    }
}

/// A received Request, to be replied to, forwarded, or dropped: then its Client is told at once that
/// nobody answers. What is in it is told by [`crate::IncomingRequest`].
///
/// Replying and forwarding hand the message to the kernel and do not wait.
#[derive(Debug)]
#[must_use]
pub struct IncomingRequest(crate::IncomingRequest<'static>);

impl IncomingRequest {
    /// As [`crate::IncomingRequest::reply`].
    pub fn reply(self, reply: &Reply<'_>) -> Result<()> {
        self.0.reply(reply)
    }

    /// As [`crate::IncomingRequest::forward`].
    pub fn forward(self, to: Entity, segment: &[u8]) -> Result<()> {
        self.0.forward(to, segment)
    }
}

impl Deref for IncomingRequest {
    type Target = crate::IncomingRequest<'static>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for IncomingRequest {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Client entities for calls at the same time: [`crate::Pool`] for tasks.
pub struct Pool {
    make: Box<dyn Fn() -> Result<crate::Client> + Send + Sync>,
    free: Semaphore,
    idle: Mutex<Vec<Arc<AsyncFd<crate::Client>>>>,
}

impl Pool {
    /// A pool of at most so many clients (at least one), each made by `make`, which may set limits
    /// and options.
    pub fn new(
        most: usize,
        make: impl Fn() -> Result<crate::Client> + Send + Sync + 'static,
    ) -> Pool {
        Pool {
            make: Box::new(make),
            free: Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
        }
    }

    /// As [`Client::call`], with whichever client is free; waits until one is, in the order of the
    /// calls.
    pub async fn call(&self, server: Entity, request: &Request<'_>) -> Result<Response> {
        let _free = self
            .free
            .acquire()
            .await
            .map_err(|_| Error::system("acquire", io::Error::other("the pool is closed")))?;
        let idle = self.idle().pop();
        let client = match idle {
            Some(client) => client,
            None => Arc::new(Client::try_from((self.make)()?)?.0),
        };
        // Goes back before the permit does, however this ends.
        let lent = Lent { pool: self, client };
        call(&lent.client, server, request).await
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<AsyncFd<crate::Client>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Lent<'p> {
    pool: &'p Pool,
    client: Arc<AsyncFd<crate::Client>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // A call to a group may have left its transaction open.
        if self.client.get_ref().abort().is_ok() {
            self.pool.idle().push(Arc::clone(&self.client));
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("free", &self.free.available_permits())
            .field("idle", &self.idle().len())
            .finish_non_exhaustive()
    }
}
