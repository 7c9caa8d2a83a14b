// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The client side of the protocol (RFC 1045, chapter 4).
//!
//! [`Client`] is the root record of an entity that sends Requests: the sequence of its Transactions
//! and its run. [`Call`] is one outstanding transaction, [`Reply`] one Response to it: the first
//! reply of a call is enough unless the Server is a group.
//!
//! Here are the records and what the user starts; packets from the server are in `response`, the
//! server's Notify operations in `notify`, the timer in `timeout`, runs of several transactions in
//! `run`.

mod notify;
mod response;
mod run;
mod timeout;

pub use self::response::{no_room, stray, Stray};

use super::burst::Burst;
use super::context::Context;
use super::incoming::Incoming;
use super::outgoing::{Ends, Outgoing};
use super::path::GroupFate;
use super::peer::Peer;
use super::time::{Span, Time};
use super::timers;
use super::wire::{
    Code, Control, Entity, Header, Mask, Mcb, NotifyVmtpServer, Priority, ResponseCode,
    Transaction, GROUP_OCTETS,
};

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
    /// Calls started and not finished.
    open: u16,
    /// Calls of the run that may be outstanding at the server.
    limit: u8,
    run: Run,
    /// The server had no room for the run: calls that are to be sent again wait until others end.
    overflow: bool,
    /// Some of the Response to the oldest unanswered call has come.
    receiving: bool,
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

/// What the user wants of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// The Server or group.
    pub server: Entity,
    /// The host to send to, [`Peer::NONE`] if it must be found first.
    pub peer: Peer,
    /// How that host was found.
    pub found: Found,
    /// Whether `peer` is a multicast address.
    pub multicast: bool,
    /// The message control block; SDA and SegmentSize tell the segment.
    pub mcb: Mcb,
    /// Flags the user asked for: any of APG, NRT, MDG, DRT.
    pub flags: u32,
    /// The area for the Response's segment is larger than one packet group: sets STI.
    pub large_response: bool,
    /// Checksum over the header only.
    pub hco: bool,
    /// Priority of the transaction.
    pub priority: Priority,
    /// The transaction ends with USER_TIMEOUT then; [`Time::NEVER`] for no limit.
    pub limit: Time,
    /// It is a member of a run: transactions may be outstanding before and after it.
    pub streamed: bool,
    /// Another member of the run will follow (NER).
    pub more: bool,
}

/// How the address of a Server's host was found: it decides whether a failure is believed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Found {
    /// From the cache or the identifier: it may be wrong.
    Guessed,
    /// The host answered a ProbeEntity of this transaction, or the user named it.
    Certain,
}

/// Why a transaction cannot be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// Another transaction is open, and this one is not of its run.
    Open,
    /// As many of the run are outstanding as are allowed.
    RunFull,
    /// More than 4 megaoctets, or MDM with more than one group.
    TooLarge,
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
    flags: Flags,
}

/// Facts about a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Flags {
    found: Found,
    multicast: bool,
    streamed: bool,
    /// The server acknowledged the Request: it is working on it (TC1).
    accepted: bool,
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

/// Who says that the Server cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreachable {
    /// ICMP "protocol unreachable": the host is there, and VMTP is not.
    Protocol,
    /// ICMP "host unreachable" or "network unreachable": only a hint (RFC 1122, 3.2.2.1), which
    /// a router gives while routes change and this host itself when a link loses ARP packets.
    Host,
    /// A host that was not asked.
    Hearsay,
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
    /// Its first packet had MDM.
    masked: bool,
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

/// What to do with the packet that led to a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing in it is new; count it under this reason.
    Drop(Drop),
    /// Keep its data as part of the message.
    Keep,
    /// Throw away what was kept of the message before, and keep this.
    Restart,
}

/// Why a packet was dropped, for counters and tracing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drop {
    /// A message, or a part of one, that was received before.
    Duplicate,
    /// A header-only packet, which carries no data.
    NoData,
    /// An old transaction.
    Old,
    /// Not in sequence in its run.
    OutOfSequence,
    /// Too far ahead in its message.
    Ahead,
    /// It contradicts other packets of its group.
    Conflict,
    /// The protocol does not allow it here.
    Protocol,
    /// Streaming is off.
    Streaming,
    /// Nobody waits for it, or nobody is there.
    Unwanted,
    /// No room.
    NoRoom,
}

/// What happened, as the user sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing yet.
    None,
    /// The reply is complete: deliver it.
    Response(Delivery),
    /// The transaction ended without a Response.
    Finished(ResponseCode),
    /// Find the Server's host: cache (unless it proved wrong) and then ProbeEntity by multicast;
    /// then call [`Call::located`] or [`Call::not_located`].
    Locate,
    /// The server lost its place in the run, and has everything up to and including this
    /// Transaction: call [`Call::resend`] for each later call in order.
    ResendAfter(Transaction),
    /// The server knows nothing of the run: call [`Call::resend`] for each open call in order, as
    /// `first` for the first of them.
    RestartRun,
    /// The server does not stream: the host's path learns it, and calls of the run go out one at a
    /// time.
    DoesNotStream,
}

/// How a Response is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Takes the place of the code that came, if the Response is incomplete.
    pub code: Option<ResponseCode>,
    /// Octets of the segment to deliver.
    pub segment_octets: u32,
    /// Takes the place of MsgDelivery.
    pub message_delivery: Option<Mask>,
    /// Transactions from this one on, up to the call's own, are answered by this Response: calls
    /// before it in the run that have no Response of their own are complete (PGcount).
    pub covers_from: Transaction,
}

/// What the host must do, in the order of the members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// What becomes of the packet. [`Keep::Drop`] where no packet led here.
    pub keep: Keep,
    /// Octets from the start of the message's segment to the start of the packet's group, if it is
    /// kept.
    pub group_offset: u32,
    /// Packets to send to the call's peer.
    pub burst: Option<Burst>,
    /// A Notify to send to the reply's peer.
    pub notify: Option<NotifyVmtpServer>,
    /// A measured round trip for the path to the peer.
    pub round_trip: Option<Span>,
    /// A measured time between two packets of a group.
    pub interpacket: Option<Span>,
    /// What became of a group we sent.
    pub sent: Option<GroupFate>,
    /// What became of a group we received.
    pub received: Option<GroupFate>,
    /// What happened.
    pub event: Event,
}

impl Step {
    /// Nothing to do.
    pub const NOTHING: Step = Step {
        keep: Keep::Drop(Drop::Duplicate),
        group_offset: 0,
        burst: None,
        notify: None,
        round_trip: None,
        interpacket: None,
        sent: None,
        received: None,
        event: Event::None,
    };

    const fn dropped(reason: Drop) -> Step {
        Step {
            keep: Keep::Drop(reason),
            ..Step::NOTHING
        }
    }
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
        self.open
    }

    /// The Transaction a ProbeEntity tells: the oldest outstanding one, else the next.
    pub const fn current_transaction(&self) -> Transaction {
        self.expected
    }

    /// Whether a transaction may start now that is a member of a run (`streamed`) or stands alone.
    pub fn may_start(&self, streamed: bool) -> bool {
        self.open == 0 || (streamed && self.run == Run::Open && self.open < RUN_LIMIT)
    }

    /// Starts a transaction. The first packets are in the step, unless the call is [`State::Held`]
    /// or the step asks to locate the Server.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing has changed then.
    pub fn start(&mut self, request: &Request, cx: &Context) -> Result<(Call, Step), StartError> {
        let octets = request.mcb.segment_octets();
        if octets > super::wire::MESSAGE_OCTETS_MAX
            || (request.mcb.code.has(Code::MDM) && octets > GROUP_OCTETS)
        {
            return Err(StartError::TooLarge);
        }
        let continues = self.run == Run::Open && request.streamed;
        if self.open != 0 && !continues {
            return Err(StartError::Open);
        }
        if self.open >= RUN_LIMIT {
            return Err(StartError::RunFull);
        }
        let datagram = request.mcb.code.has(Code::DGM);
        let streamed = request.streamed && cx.policy.streaming;
        let more = streamed && request.more;
        let mut bits = request.flags & (Control::APG | Control::NRT | Control::MDG | Control::DRT);
        if continues {
            bits |= Control::NSR;
        }
        if more {
            bits |= Control::NER;
        }
        let skip = request.large_response && cx.policy.streaming;
        if skip {
            bits |= Control::STI;
        }
        let control = Control::default()
            .with(bits)
            .with_priority(request.priority);
        let first = self.next;
        let mut call = Call {
            server: request.server,
            peer: request.peer,
            outgoing: Outgoing::new(request.mcb, control, request.hco, first),
            deadline: Time::NEVER,
            limit: request.limit,
            state: State::AwaitingResponse,
            flags: Flags {
                found: request.found,
                multicast: request.multicast,
                streamed,
                accepted: false,
                resend_all: false,
                lossy: false,
                locating: false,
                came_back: 0,
                missing: false,
                unreachable_after: 0,
                still_unreachable: false,
            },
        };
        let last = call.outgoing.last();
        self.next = last.plus(if skip { 256 } else { 1 });
        self.run = if more { Run::Open } else { Run::Closed };
        if self.open == 0 {
            self.receiving = false;
            self.expected = first;
            self.limit = RUN_LIMIT as u8;
            self.overflow = false;
        }
        let one_at_a_time = cx.timing.no_streaming && streamed;
        if datagram {
            if self.open == 0 {
                self.expected = self.next;
            }
        } else {
            let held = self.open >= u16::from(self.limit) || (one_at_a_time && self.open != 0);
            self.open = self.open.saturating_add(1);
            if held {
                call.state = State::Held;
                call.deadline = call.limit;
                return Ok((call, Step::NOTHING));
            }
        }
        if one_at_a_time {
            call.stand_alone();
        }
        let mut step = Step::NOTHING;
        if call.peer.is_known() {
            call.begin(self, cx, &mut step);
        } else {
            call.locate(&mut step);
        }
        Ok((call, step))
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

    /// Tells the Client the first Transaction of its oldest open call, after one has ended while
    /// others are open: an end out of order leaves a hole that only the host's list shows.
    pub fn oldest_is(&mut self, first: Transaction) {
        if self.open != 0 {
            self.expected = first;
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
        flags: Flags {
            found: Found::Certain,
            multicast: false,
            streamed: false,
            accepted: false,
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

    /// The message leaves its run and goes as one of its own.
    fn stand_alone(&mut self) {
        let control = self.outgoing.control().without(Control::NSR | Control::NER);
        self.outgoing.set_control(control);
    }

    /// The first transmission.
    fn begin(&mut self, client: &mut Client, cx: &Context, step: &mut Step) {
        let control = self.outgoing.control().with_gap(cx.timing.receive_gap);
        self.outgoing.set_control(control);
        let window = if self.is_datagram() {
            // Nobody acknowledges it.
            u16::MAX
        } else {
            cx.timing.window
        };
        let ends = client.ends(self);
        step.burst = self.outgoing.advance(&ends, window, cx);
        if self.is_datagram() {
            self.state = State::Processing { collecting: false };
            self.deadline = Time::NEVER;
            return;
        }
        self.state = State::AwaitingResponse;
        self.wait(cx, cx.timing.first_response());
    }

    /// Arms the timer, but not beyond the user's limit.
    fn wait(&mut self, cx: &Context, span: Span) {
        self.deadline = self.outgoing.after(span, cx).earlier(self.limit);
    }

    /// TC1 as it is now.
    fn response_time(&self, cx: &Context) -> Span {
        if self.flags.accepted {
            cx.timing.working()
        } else {
            cx.timing.first_response()
        }
    }

    fn locate(&mut self, step: &mut Step) {
        self.state = State::Locating;
        self.deadline = self.limit;
        step.event = Event::Locate;
    }

    /// The Server's host was found: the Request goes there, from the start if that is another host
    /// than before.
    pub fn located(&mut self, client: &mut Client, peer: Peer, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        self.flags.locating = false;
        let waiting = match self.state {
            State::Locating => true,
            State::AwaitingResponse => peer != self.peer,
            State::Held | State::ReceivingResponse | State::Processing { .. } => false,
        };
        if waiting {
            self.flags.found = Found::Certain;
            self.peer = peer;
            self.outgoing.restart();
            self.begin(client, cx, &mut step);
        }
        step
    }

    /// Nobody knows the Server.
    pub fn not_located(&mut self, client: &mut Client) -> Step {
        self.flags.locating = false;
        self.flags.missing = true;
        match self.state {
            State::Locating => self.nonexistent(client),
            State::AwaitingResponse if self.flags.still_unreachable && !self.flags.accepted => {
                self.nonexistent(client)
            }
            State::Held
            | State::AwaitingResponse
            | State::ReceivingResponse
            | State::Processing { .. } => Step::NOTHING,
        }
    }

    fn nonexistent(&mut self, client: &mut Client) -> Step {
        client.failed_at(self);
        Step {
            event: Event::Finished(ResponseCode::NonexistentEntity),
            ..Step::NOTHING
        }
    }

    /// Somebody says that the Server cannot be reached. It never ends a transaction that the server
    /// acknowledged. Otherwise everybody is asked at once, and without an answer a host that has no
    /// VMTP is the end; one that is unreachable only if it was so for a later transmission too.
    pub fn unreachable(&mut self, client: &mut Client, who: Unreachable) -> Step {
        let mut step = Step::NOTHING;
        let waits = self.state == State::AwaitingResponse;
        if !waits || self.flags.accepted || self.flags.multicast {
            return step;
        }
        let sent = self.outgoing.transmissions();
        match who {
            Unreachable::Protocol => self.locate(&mut step),
            Unreachable::Host if self.flags.unreachable_after == 0 => {
                self.flags.unreachable_after = sent;
                self.locate_meanwhile(&mut step);
            }
            Unreachable::Host if sent > self.flags.unreachable_after => {
                self.flags.still_unreachable = true;
                if self.flags.missing {
                    return self.nonexistent(client);
                }
            }
            // Of the same transmission, or of one that waited with it for an ARP reply.
            Unreachable::Host => {}
            Unreachable::Hearsay => self.locate_meanwhile(&mut step),
        }
        step
    }

    fn locate_meanwhile(&mut self, step: &mut Step) {
        if !self.flags.locating && !self.flags.missing {
            self.flags.locating = true;
            step.event = Event::Locate;
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
        masked: false,
        before: 0,
    };

    /// The first packet of the Response, or of one that takes its place.
    fn start(&mut self, header: &Header, transaction: Transaction) {
        self.server = header.server;
        self.incoming = Incoming::starting_at(header, transaction);
        self.state = ReplyState::Receiving;
        self.idempotent = header.code.has(Code::DGM);
        self.no_retransmission = header.control.has(Control::NRT);
        self.masked = header.code.has(Code::MDM);
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
