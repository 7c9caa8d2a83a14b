// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The protocol of RFC 1045 as pure state machines.
//!
//! Bytes, user events and a time go in; packets to send, messages to deliver and the next deadline
//! come out. Nothing here knows a socket, a clock, a lock or an allocator, and nothing here can
//! panic: the same sources run inside the kernel module, under cargo's tests, in the simulator, in
//! the model checker and in the fuzzers.
//!
//! How a host drives it:
//!
//! * Every local entity that sends Requests has a [`client::Client`] (the RFC's root CSR), and every
//!   outstanding transaction of it a [`client::Call`] with a [`client::Reply`] for each Response.
//! * Every (Client, Server) pair with which the host has to do as a server has a
//!   [`server::Remote`] (the RFC's CSR for a remote client).
//! * Every peer host has a [`path::Path`] (the RFC's ServerHost cache entry), and a [`line::Line`]
//!   while packets to it keep an interpacket gap.
//!
//! The host owns the storage of all of these, finds them, locks them, and calls one method an
//! event. Each method returns a step: at most one [`burst::Burst`] of packets, at most one Notify,
//! what to do with the packet that arrived, and what happened. After it the host reads the record's
//! `deadline()` and calls `timeout()` when that has passed. Segment data never passes through here:
//! a step says which octets of which segment, and the host moves them.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod allocate;
pub mod block;
pub mod burst;
pub mod client;
pub mod context;
pub mod group;
pub mod incoming;
pub mod line;
pub mod manager;
pub mod outgoing;
pub mod path;
pub mod peer;
pub mod server;
pub mod time;
pub mod timers;
pub mod wire;
