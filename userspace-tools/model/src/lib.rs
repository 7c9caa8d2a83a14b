// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A model check of the protocol: one client, one server, two transactions, and every order in which
//! packets, timers, users and faults can come, until no new state is left.
//!
//! The states are the real records of `vmtp/proto` ([`Client`](vmtp_proto::client::Client),
//! [`Call`](vmtp_proto::client::Call), [`Reply`](vmtp_proto::client::Reply),
//! [`Remote`](vmtp_proto::server::Remote)), the packets real octets with checksums. What is
//! between them is a host in as few lines as the protocol allows.
//!
//! What is abstracted:
//!
//! * **The network** holds [`Setup::room`] packets; what is sent beyond is lost. A packet in it may
//!   arrive at any time, in any order, and [`Setup::duplicates`] times more; one that never arrives
//!   is lost. At any moment all that is under way may die ([`Action::Quiet`]).
//! * **Time** stands still, except for the record whose timer fires: it fires at its deadline,
//!   at any moment, however early that is for the others. So no order of two timers, or of a timer
//!   and a packet, is left out, also where real time would forbid it. One order real time gives is
//!   kept, since at-most-once rests on it (2.5.1): a timer as long as TS4, four packet lifetimes,
//!   fires only when nothing is under way and no shorter timer runs.
//! * **Repetition** is bounded by [`Setup::retries`], which is smaller than the RFC's 5, and
//!   [`Setup::patience`]: a Client that is told that the server works asks for ever.
//! * **RetransmitCount** is 0 in every packet: it only measures round trips. The control word of a
//!   Notify is that of no Request, except for PGcount.
//! * **Probes** of the Client are a question and an answer in the same network, not the operation's
//!   marshalling.
//! * There is one path, of which nothing is ever learnt: no gaps, no samples.
//!
//! That a transaction **ends** is not checked, only that as long as one has not, something can happen
//! that changes something. Where the network may lose what it likes and a Client is told that the
//! server works, there are ways that go round for ever. The simulator looks at how long transactions
//! take.

pub mod client;
pub mod server;
pub mod world;

pub use world::{Action, Setup, Wanted, World};
