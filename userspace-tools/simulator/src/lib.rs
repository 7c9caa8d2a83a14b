// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A deterministic simulator of many VMTP hosts: the real protocol code of `vmtp/proto` under a
//! virtual clock, and a network that loses, duplicates, reorders, corrupts, delays and cuts.
//!
//! [`host`] does what the kernel module's host does: it owns the tables, finds the record, calls one
//! method of the protocol for an event and carries out the step that comes back. Packets are real
//! octets with real checksums. [`oracle`] knows what every transaction ought to do, and is asked
//! after every event. Everything follows from one seed: a failure replays exactly.
//!
//! It is no model of throughput: links have no queues, and a packet's time on the wire only spaces
//! the packets of one burst.

pub mod content;
pub mod counts;
pub mod env;
pub mod host;
pub mod many;
pub mod network;
pub mod oracle;
pub mod packet;
pub mod report;
pub mod scenario;
pub mod world;

pub use env::Env;
pub use report::Report;
pub use scenario::{Class, Scenario};
pub use world::{Failure, World};
