// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A page-level file service over VMTP (RFC 1045): a server that exports one directory, and a client
//! that mounts it by FUSE. vmtp-filed.7 describes the protocol.
//!
//! A [`Service`](service::Service) answers Requests and knows nothing of sockets;
//! [`serve`](server::serve) brings them to it. [`Files`](client::Files) makes Requests of what a program
//! wants and knows nothing of FUSE; [`Mount`](mount::Mount) brings a kernel's wishes to it.
//!
//! The server keeps nothing that a client cannot do without: a handle is an open file, and one that is
//! not known (any more) is opened anew by its path. Reading may be repeated; what changes something is
//! executed at most once by VMTP, and what a client repeats after the server was started again is told
//! from what has been done already.

#![forbid(unsafe_code)]

pub mod client;
mod convert;
#[cfg(test)]
mod direct;
pub mod export;
pub mod mount;
mod nodes;
pub mod protocol;
pub mod server;
pub mod service;
pub mod transport;
mod tree;
