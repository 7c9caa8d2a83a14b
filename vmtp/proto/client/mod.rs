// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The client side of the protocol (RFC 1045, chapter 4).
//!
//! [`Client`] is the root record of an entity that sends Requests: the sequence of its Transactions
//! and its run. [`Call`] is one outstanding transaction, [`Reply`] one Response to it: the first
//! reply of a call is enough unless the Server is a group.
//!
//! Here are the records; what the user starts is in `send`, where the Server is in `locate`, packets
//! from the server in `response`, its Notify operations in `notify`, the timer in `timeout`, runs of
//! several transactions in `run`, receive sequence numbers in `sequence`, and what all of these lead
//! to in `step`. `single` is the common case of them all.

mod locate;
mod notify;
mod response;
mod run;
mod send;
mod sequence;
mod single;
mod step;
mod timeout;

pub use self::locate::Unreachable;
pub use self::response::{no_room, stray, Stray};
pub use self::send::{Found, Request, StartError};
pub use self::sequence::{Heard, Sequence};
pub use self::single::Single;
pub use self::step::{Delivery, Drop, Event, Keep, Step};

use super::context::Context;
use super::incoming::Incoming;
use super::outgoing::{Ends, Outgoing};
use super::peer::Peer;
use super::time::{Span, Time};
use super::timers;
use super::wire::{Code, Control, Entity, Header, Transaction};
use core::num::NonZeroU32;

/// Transactions that one Client may have outstanding in a run.
pub const RUN_LIMIT: u16 = 64;

/// The root record of a local entity as a Client (the RFC's root CSR).
///
/// # Invariants
///
/// `expected` is the Transaction of the first group of the oldest unanswered call, or `next` if
/// there is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Client {
    entity: Entity,
    domain: u16,
    /// Calls started and not finished, at most [`RUN_LIMIT`].
    open: u8,
    /// Calls of the run that may be outstanding at the server.
    limit: u8,
    run: Run,
    /// The server had no room for the run: calls that are to be sent again wait until others end.
    overflow: bool,
    /// Some of the Response to the oldest unanswered call has come.
    receiving: bool,
    /// The oldest call was answered, and the one after it was not told yet.
    answered: bool,
    /// The Transaction of the next message's first group.
    next: Transaction,
    /// The Transaction that the next consecutive Response answers.
    expected: Transaction,
    /// Gaps in the Responses are not told until then: what was asked for is still on its way.
    gap_quiet: Time,
}

/// Whether the next call continues a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Run {
    /// No run is open: the next call is the first of one or stands alone.
    Closed,
    /// The last call had NER.
    Open,
}

/// The states of figure 4-1, and those that section 4.6.1 note 1 and runs add.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Waiting for earlier members of the run: nothing was sent yet.
    Held,
    /// Waiting until the Server's host is found.
    Locating,
    /// The RFC's AwaitingResponse.
    AwaitingResponse,
    /// The RFC's ReceivingResponse.
    ReceivingResponse,
    /// The RFC's Processing: answered, failed, or a datagram. The record stays, until the entity
    /// starts its next transaction, to know duplicates; a group's further Responses are still
    /// accepted if `collecting`.
    Processing {
        /// More Responses of a group are welcome.
        collecting: bool,
    },
}

/// One outstanding transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Call {
    server: Entity,
    peer: Peer,
    outgoing: Outgoing,
    deadline: Time,
    limit: Time,
    state: State,
    /// When the Request was first sent, as [`brief`] tells it; None once it was sent to another peer.
    first_sent: Option<NonZeroU32>,
    flags: Flags,
}

/// A point in time in units of 1,024 ns, modulo 2^32 of them and odd: what tells apart all times within 73 minutes.
fn brief(time: Time) -> Option<NonZeroU32> {
    let units = u32::try_from(time.nanos().wrapping_shr(10) & u64::from(u32::MAX));
    NonZeroU32::new(units.unwrap_or(0) | 1)
}

/// Facts about a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Flags {
    found: Found,
    multicast: bool,
    streamed: bool,
    /// How many transmissions the server answered with that it has the Request and works on it (TC1);
    /// 0: it did not say so.
    working: u8,
    /// The next transmission is the whole message, whatever the server has (BUSY).
    resend_all: bool,
    /// Some group of the Request needed a retransmission.
    lossy: bool,
    /// ProbeEntity is under way although the call still waits.
    locating: bool,
    /// A Probe of everybody found nobody who has the Server.
    missing: bool,
    /// Transmissions when ICMP first said that the host is unreachable, 0 if it never did.
    unreachable_after: u8,
    /// It said so of a later transmission too.
    still_unreachable: bool,
    /// The highest ForwardCount with which the Request came back to this host.
    came_back: u8,
}

/// One Response to a call, from one server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reply {
    server: Entity,
    peer: Peer,
    incoming: Incoming,
    deadline: Time,
    state: ReplyState,
    /// Its first packet had DGM: the Response is idempotent.
    idempotent: bool,
    /// Its first packet had NRT.
    no_retransmission: bool,
    /// Some of the group that is being received needed a retransmission.
    lossy: bool,
    /// PGcount of its first group, 0 until that is known.
    before: u8,
}

/// How far a Response has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReplyState {
    /// Nothing of it has come.
    Empty,
    /// Some of its packets have.
    Receiving,
    /// It was delivered.
    Delivered,
}

impl Client {
    /// A Client whose first Transaction is `first`, which must be random (2.5.1).
    pub const fn new(entity: Entity, domain: u16, first: Transaction) -> Client {
        Client {
            entity,
            domain,
            open: 0,
            limit: RUN_LIMIT as u8,
            run: Run::Closed,
            gap_quiet: Time::from_nanos(0),
            overflow: false,
            receiving: false,
            answered: false,
            next: first,
            expected: first,
        }
    }

    /// Its identifier.
    pub const fn entity(&self) -> Entity {
        self.entity
    }

    /// Transactions started and not finished.
    pub const fn open(&self) -> u16 {
        self.open as u16
    }

    /// The Transaction a ProbeEntity tells: the oldest outstanding one, else the next.
    pub const fn current_transaction(&self) -> Transaction {
        self.expected
    }

    fn ends(&self, call: &Call) -> Ends {
        Ends {
            client: self.entity,
            server: call.server,
            domain: self.domain,
        }
    }

    /// A call has ended: the next consecutive Response answers what comes after it, if it was the
    /// oldest.
    fn finished(&mut self, call: &mut Call, collecting: bool) {
        if matches!(call.state, State::Processing { .. }) {
            return;
        }
        call.state = State::Processing { collecting };
        call.deadline = Time::NEVER;
        if call.is_datagram() {
            // It was never counted.
            return;
        }
        self.receiving = false;
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.expected = self.next;
        } else if call.outgoing.first() == self.expected {
            self.expected = call.following();
        }
    }

    /// The same of a call that failed. Its run is broken: the next call starts another.
    fn failed_at(&mut self, call: &mut Call) {
        if call.flags.streamed {
            self.run = Run::Closed;
        }
        self.finished(call, false);
    }

    /// Tells the Client its oldest open call, after one has ended while others are open: an end out
    /// of order leaves a hole that only the host's list shows. After a Response the run's single
    /// timer, which was that of the call before, starts anew as this one's (4.9).
    pub fn oldest_is(&mut self, oldest: &mut Call, cx: &Context) {
        if self.open == 0 {
            return;
        }
        self.expected = oldest.first_transaction();
        if core::mem::take(&mut self.answered) && oldest.state == State::AwaitingResponse {
            oldest.wait(cx, oldest.response_time(cx));
        }
    }

    /// The user gives the call up, or its entity goes: nothing of it will be delivered.
    pub fn abort(&mut self, call: &mut Call) {
        self.finished(call, false);
        if self.open == 0 {
            self.run = Run::Closed;
        }
    }
}

impl Call {
    /// A place for a call: one that has ended.
    pub const NONE: Call = Call {
        server: Entity::ZERO,
        peer: Peer::NONE,
        outgoing: Outgoing::NONE,
        deadline: Time::NEVER,
        limit: Time::NEVER,
        state: State::Processing { collecting: false },
        first_sent: None,
        flags: Flags {
            found: Found::Certain,
            multicast: false,
            streamed: false,
            working: 0,
            resend_all: false,
            lossy: false,
            locating: false,
            missing: false,
            unreachable_after: 0,
            still_unreachable: false,
            came_back: 0,
        },
    };

    /// The state, for tracing and for people.
    pub const fn state(&self) -> State {
        self.state
    }

    /// When [`Call::timeout`] wants to be called.
    pub const fn deadline(&self) -> Time {
        self.deadline
    }

    /// The Server or group it is for.
    pub const fn server(&self) -> Entity {
        self.server
    }

    /// The host the Request goes to.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether that is a multicast address.
    pub const fn is_multicast(&self) -> bool {
        self.flags.multicast
    }

    /// The Transaction by which the transaction is known: that of the Request's last group.
    pub fn transaction(&self) -> Transaction {
        self.outgoing.last()
    }

    /// The Transaction of the Request's first group.
    pub const fn first_transaction(&self) -> Transaction {
        self.outgoing.first()
    }

    /// The message as it is sent, for people.
    pub const fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// Whether a Response with this Transaction is for this call.
    pub fn expects(&self, transaction: Transaction) -> bool {
        let distance = transaction.since(self.transaction());
        if self.outgoing.control().has(Control::STI) {
            (0..256).contains(&distance)
        } else {
            distance == 0
        }
    }

    /// Whether a packet of the Request has this Transaction.
    pub fn has_sent(&self, transaction: Transaction) -> bool {
        self.outgoing.group_of(transaction).is_some()
    }

    /// A forwarded Request of this Client came to this host, for a server here (5.7): whether it is
    /// to be handled. It is if the call waits for its Response, and unless a later forward came
    /// before.
    pub fn takes_forwarded(&mut self, header: &Header) -> bool {
        let count = header.control.forward_count();
        let takes = self.state == State::AwaitingResponse
            && self.outgoing.group_of(header.transaction).is_some()
            && count >= self.flags.came_back;
        if takes {
            self.flags.came_back = count;
        }
        takes
    }

    /// The Transaction of the first group of the message after this one.
    fn following(&self) -> Transaction {
        let skip = if self.outgoing.control().has(Control::STI) {
            256
        } else {
            1
        };
        self.transaction().plus(skip)
    }

    fn is_datagram(&self) -> bool {
        self.outgoing.mcb().code.has(Code::DGM)
    }

    /// Arms the timer, but not beyond the user's limit.
    fn wait(&mut self, cx: &Context, span: Span) {
        self.deadline = self.outgoing.after(span, cx).earlier(self.limit);
    }

    /// TC1 as it is now: the longer the server works, the less often it is asked, so that many who wait for a slow
    /// server leave it the time to work.
    fn response_time(&self, cx: &Context) -> Span {
        match self.flags.working.checked_sub(1) {
            Some(before) => timers::patient(before, cx.timing.working(), cx.random),
            None => cx.timing.first_response(),
        }
    }

    /// The schedule's wait after the transmission just made.
    fn retry_wait(&self, cx: &Context) -> Span {
        timers::wait(
            self.outgoing.transmissions(),
            self.response_time(cx),
            cx.timing.round_trip,
            cx.random,
        )
    }
}

impl Reply {
    /// A place for a Response.
    pub const EMPTY: Reply = Reply {
        server: Entity::ZERO,
        peer: Peer::NONE,
        incoming: Incoming::NONE,
        deadline: Time::NEVER,
        state: ReplyState::Empty,
        idempotent: false,
        no_retransmission: false,
        lossy: false,
        before: 0,
    };

    /// The first packet of the Response, or of one that takes its place.
    fn start(&mut self, header: &Header, transaction: Transaction) {
        self.server = header.server;
        self.incoming = Incoming::starting_at(header, transaction);
        self.state = ReplyState::Receiving;
        self.idempotent = header.code.has(Code::DGM);
        self.no_retransmission = header.control.has(Control::NRT);
        self.lossy = false;
    }

    /// How far it has come.
    pub const fn state(&self) -> ReplyState {
        self.state
    }

    /// Who answers; zero while empty.
    pub const fn server(&self) -> Entity {
        self.server
    }

    /// The host that answers.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// When [`Call::reply_timeout`] wants to be called.
    pub const fn deadline(&self) -> Time {
        self.deadline
    }
}
