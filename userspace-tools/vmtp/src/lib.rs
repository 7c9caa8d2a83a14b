// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Message transactions over VMTP (RFC 1045) on Linux.
//!
//! A [`Client`] sends a [`Request`] to a server entity and gets its [`Response`]: two packets, no
//! connection, executed at most once. A [`Server`] receives [`IncomingRequest`]s and replies to
//! each. Both are an AF_VMTP [`Socket`], which has every option and call of the kernel interface;
//! `sys` has the ABI itself.
//!
//! ```no_run
//! use vmtp::{Client, Entity, Reply, Request, Server};
//!
//! # fn server() -> vmtp::Result<()> {
//! let server = Server::bind("LE-70000-10.0.0.1".parse().unwrap())?;
//! let mut request = server.recv()?;
//! loop {
//!     let answer = request.segment().to_ascii_uppercase();
//!     request = request.reply_and_recv(&Reply::ok().segment(&answer))?; // one system call
//! }
//! # }
//!
//! # fn client() -> vmtp::Result<()> {
//! let client = Client::new()?;
//! let server: Entity = "LE-70000-10.0.0.1".parse().unwrap();
//! let response = client.call(server, &Request::new(0x80_0001).segment(b"hello"))?;
//! assert_eq!(response.segment(), b"HELLO");
//! # Ok(())
//! # }
//! ```
//!
//! Time limits, pools, groups, streams, cookies and forwarding, as `examples/tour.rs` shows them (which
//! the tests run):
//!
//! ```no_run
#![doc = include_str!("../examples/tour.rs")]
//! ```
//!
//! With the feature `tokio` there is the same in asynchronous form, in the module `asynchronous`. For
//! another event loop there are [`Client::start`], [`Client::next_response`] and
//! [`Server::recv_timeout`] with no time, and `AsFd`. `examples/v.rs` makes the primitives of the V
//! kernel of it. It is not the protocol, which vmtp.ko does.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

#[cfg(feature = "tokio")]
pub mod asynchronous;
mod client;
mod code;
mod domain;
mod error;
mod host;
pub mod manager;
mod message;
mod options;
mod pool;
mod raw;
mod server;
mod socket;
pub mod sys;

pub use client::Client;
pub use code::{parse_entity, Code, ParseEntityError};
pub use domain::{Domain, ParseDomainError};
pub use error::{Error, Result};
pub use host::Host;
pub use message::{Mcb, Received, Reply, Request, Response};
pub use options::{Checksum, Membership, PeerInfo, ProbeClients, Receive};
pub use pool::{Pool, PooledClient};
pub use server::{Incoming, IncomingRequest, ReplyRecvError, Server};
pub use socket::{Probe, Socket};
pub use vmtp_proto::wire::{Entity, EntityDescriptor, EntityKind, GroupPermissions, ServiceFlags};

/// Octets of segment that fit in one packet group (2.13); more makes a continued message (2.14).
pub const GROUP_SIZE: usize = sys::VMTP_GROUP_SIZE as usize;
/// Octets of segment that a message has at most (2.14).
pub const MESSAGE_SIZE: usize = sys::VMTP_MESSAGE_SIZE as usize;
