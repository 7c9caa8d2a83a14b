// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The server side of the protocol (RFC 1045, chapter 5).
//!
//! [`Remote`] is the record of one remote Client with one local server entity: the duplicate filter,
//! the Request being received, the one being processed, and the Response. A Request to a group with
//! several members here has a record for each (5.7 note 2).
//!
//! Here is the record; Request packets are in `request`, those that come again in `repeat`, complete
//! Requests in `deliver`, the Response in `respond`, Responses of other members of a group in
//! `overheard`, the client's Notify operations in `notify`, what became of a Probe in `probe`, the
//! timer in `timeout`, forwarding in `forward`, receive sequence numbers in `sequence`. `single` is
//! the common case.

mod deliver;
mod forward;
mod locate;
mod notify;
mod overheard;
mod probe;
mod repeat;
mod request;
mod respond;
mod sequence;
mod single;
mod snapshot;
mod timeout;

pub use self::forward::{Forward, ForwardError};
pub use self::overheard::{Overheard, OverheardStep};
pub use self::probe::Presence;
pub use self::request::{refuse, Refusal, Service, Source};
pub use self::respond::{Respond, RespondError, Retained, Unsent};
pub use self::sequence::{Reception, Sequence};
pub use self::snapshot::SNAPSHOT_OCTETS;

pub use super::client::{Drop, Keep};

use super::burst::Burst;
use super::context::Context;
use super::incoming::Incoming;
use super::outgoing::{Ends, Outgoing};
use super::path::GroupFate;
use super::peer::Peer;
use super::time::{Span, Time};
use super::wire::{
    Code, Control, Entity, Header, Mask, NotifyVmtpClient, Priority, ResponseCode, Transaction,
    OVERHEAD_OCTETS,
};

/// The states of section 5.2 as far as they are about the current Request. ReceivingRequest is told
/// by [`Remote::is_receiving`], since the next Request of a run is received while the one before is
/// processed; waiting for a Probe by [`Remote::is_probing`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// No Request: the record filters duplicates of older ones.
    AwaitingRequest,
    /// A Request is with the server.
    Processing,
    /// The Response was sent and is kept.
    Responded,
    /// The Response is gone; duplicates are still filtered.
    ResponseDiscarded,
    /// Another server was asked to answer.
    Forwarded,
}

/// The record of a remote Client (the RFC's CSR in the server end).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Remote {
    client: Entity,
    server: Entity,
    /// While Forwarded: the server that is to answer. Of a multicast Request, which is never
    /// forwarded under its own name: the group it was sent to.
    other: Entity,
    /// Where the Request came from: the Client's host, or the forwarder's.
    peer: Peer,
    incoming: Incoming,
    /// The Response; while Forwarded, the forwarded Request.
    outgoing: Outgoing,
    /// When the state ends: TS2, TS4, TS5 or TS3.
    deadline: Time,
    /// When the group being received ends: TS1 or TS3.
    receive_deadline: Time,
    /// When a packet of the Client came last.
    heard: Time,
    /// Gaps in the run are not told until then: what was asked for is still on its way.
    gap_quiet: Time,
    /// The Transaction of the current Request's last group.
    transaction: Transaction,
    /// The last group received whole and in sequence.
    last: Transaction,
    /// The last Transaction that a Response answered.
    answered: Transaction,
    /// Control word of the last Request packet, for Notify operations.
    control: Control,
    /// Control word of the Request being received: NSR of its first group, all else of its last.
    incoming_control: Control,
    /// The same of the current Request, for its Response.
    request: Control,
    /// Octets of VMTP packets of the Request being received.
    incoming_received: u32,
    /// Octets that the Client may get in the current transaction if it was never probed (decision 28): three times what came
    /// of it, less what it got.
    allowed: u32,
    /// Packet groups of the current Request.
    groups: u16,
    /// Complete Requests of the run waiting behind the current one.
    queued: u16,
    /// Identifiers skipped by STI that the next Response of the run accounts for with PGcount.
    skipped: u8,
    domain: u16,
    forward_count: u8,
    priority: Priority,
    state: State,
    flags: Flags,
}

/// Facts about a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Flags {
    /// The Client's manager confirmed the Client.
    probed: bool,
    /// A Probe of the Client is under way.
    probing: bool,
    /// The current Request came by multicast.
    multicast: bool,
    /// The Request being received came by multicast.
    incoming_multicast: bool,
    /// The Request being received is a datagram.
    incoming_datagram: bool,
    /// The last group had STI.
    skip: bool,
    /// The current Request is a datagram: it has no Response.
    datagram: bool,
    /// The Response is idempotent: it is not kept.
    idempotent: bool,
    /// The Response waits for the Probe, or for its delay (DRT): only while Responded.
    response_held: bool,
    /// The Response goes to the group as well.
    group_response: bool,
    /// The current Request belongs to a run.
    streamed: bool,
    /// The forwarded Request was acknowledged.
    forward_accepted: bool,
    /// The current Request was here before, with a lower ForwardCount, and was forwarded.
    came_back: bool,
    /// Some group needed a retransmission.
    lossy: bool,
    /// The Client of the Response, or the server of the forwarded Request, is looked for.
    seeking: bool,
    /// It was found, or not, after a host had said that it is not there: that is believed only once.
    sought: bool,
}

/// Whom a step's packets are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// The record's peer, where the Request came from.
    Peer,
    /// The Client, whose host must be found: the Request was forwarded to us.
    Client,
    /// The server to which the Request was forwarded.
    ForwardServer,
    /// The group that the Request was sent to, by multicast: the Client is a member of it (2.7).
    Group,
    /// That group by multicast, and the record's peer as well: two transmissions of the same burst.
    GroupAndPeer,
}

/// What becomes of packets of the Response that still stand in line for its destination
/// (`Line::stop_response`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// They leave.
    No,
    /// They do not leave.
    Yes,
    /// They do not leave, and their segment is the record's again: all of it goes out when the Client
    /// is found.
    Keep,
}

/// A Request that is complete.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Arrival {
    /// The Transaction that a Response names: of the last group.
    pub transaction: Transaction,
    /// Its packet groups.
    pub groups: u16,
    /// Octets of the segment to deliver.
    pub segment_octets: u32,
    /// Takes the place of MsgDelivery.
    pub message_delivery: Option<Mask>,
    /// It has to wait until the one in progress is answered: hand it to [`Remote::begin`] when
    /// [`Event::Next`] tells.
    pub queued: bool,
    /// Its control word: NSR of its first group, all else of the last packet.
    pub control: Control,
    /// It is a datagram: nobody waits for a Response.
    pub datagram: bool,
    /// It came by multicast.
    pub multicast: bool,
    /// Octets received for it.
    pub received: u32,
    /// Its receive sequence number, where the host counts (2.12, [`Sequence::received`]).
    pub reception: Option<Reception>,
}

/// What happened, as the host sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing.
    None,
    /// A Request is complete.
    Request(Arrival),
    /// Probe the Client at the record's peer, then call [`Remote::probed`].
    Probe,
    /// Look for the host of [`Remote::sought`] by asking everybody, then call [`Remote::located`]. If
    /// the step has [`Stop::Keep`] and nothing stood in line, nobody need be asked.
    Locate,
    /// The next Request of the run may be given to [`Remote::begin`].
    Next,
    /// The Request in progress is an orphan, or was aborted by its Client: a reply will be refused.
    Ended,
    /// The record may be removed.
    Expired,
}

/// What the host must do, in the order of the members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The Request in progress was aborted by a new one: a reply to it will be refused, and
    /// Requests of the run that wait behind it are void.
    pub aborted: bool,
    /// Packets to send, of the segment that the host keeps for the Response (or forwarded Request)
    /// before the members below change that.
    pub burst: Option<Burst>,
    /// Whom `burst` is for.
    pub to: To,
    /// What becomes of an earlier transmission that has not left yet.
    pub stop: Stop,
    /// All Responses retained for the run may go (2.5.3, 2.11).
    pub release_retained: bool,
    /// The Response before is to be kept for the run: its segment stays with this.
    pub retain: Option<Retained>,
    /// The segment of the Response (or forwarded Request) is not needed any more.
    pub release: bool,
    /// What becomes of the packet.
    pub keep: Keep,
    /// Octets from the start of the message's segment to the start of the packet's group, if it is
    /// kept.
    pub group_offset: u32,
    /// A Notify to send to the record's peer.
    pub notify: Option<NotifyVmtpClient>,
    /// It is to go as NotifyRemoteVmtpClient: the peer forwarded the Request.
    pub notify_remote: bool,
    /// It is not for the record's peer but for where the packet came from.
    pub notify_sender: bool,
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
        aborted: false,
        release_retained: false,
        retain: None,
        keep: Keep::Drop(Drop::Duplicate),
        group_offset: 0,
        burst: None,
        to: To::Peer,
        stop: Stop::No,
        release: false,
        notify: None,
        notify_remote: false,
        notify_sender: false,
        round_trip: None,
        interpacket: None,
        sent: None,
        received: None,
        event: Event::None,
    };
}

impl Remote {
    /// A record for the Client of a Request that has none; hand the Request to
    /// [`Remote::request`] next. Its Transaction is taken as new (5.8.1).
    pub fn new(header: &Header, server: Entity, peer: Peer) -> Remote {
        Remote {
            client: header.client,
            server,
            other: Entity::ZERO,
            peer,
            incoming: Incoming::NONE,
            outgoing: Outgoing::new(
                super::wire::Mcb::default(),
                Control::default(),
                false,
                Transaction::from_bits(0),
            ),
            deadline: Time::NEVER,
            receive_deadline: Time::NEVER,
            heard: Time::from_nanos(0),
            gap_quiet: Time::from_nanos(0),
            transaction: header.transaction.minus(1),
            last: header.transaction.minus(1),
            answered: header.transaction.minus(1),
            control: header.control,
            incoming_control: header.control,
            request: header.control,
            incoming_received: 0,
            allowed: 0,
            groups: 0,
            queued: 0,
            skipped: 0,
            domain: header.domain,
            forward_count: 0,
            priority: Priority::NORMAL,
            state: State::AwaitingRequest,
            flags: Flags::default(),
        }
    }

    /// The remote Client.
    pub const fn client(&self) -> Entity {
        self.client
    }

    /// The entity domain of both.
    pub const fn domain(&self) -> u16 {
        self.domain
    }

    /// The local server entity.
    pub const fn server(&self) -> Entity {
        self.server
    }

    /// The host the last Request came from.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// The state of the current Request.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The current Request's Transaction.
    pub const fn transaction(&self) -> Transaction {
        self.transaction
    }

    /// How often the current Request was forwarded.
    pub const fn forward_count(&self) -> u8 {
        self.forward_count
    }

    /// Whether the last Request packet came from a server that passed it on, and not from the Client.
    pub const fn is_passed_on(&self) -> bool {
        self.control.forward_count() != 0
    }

    /// Whether a Request is being received (the RFC's ReceivingRequest).
    pub const fn is_receiving(&self) -> bool {
        // No message is a complete one.
        !self.incoming.is_complete()
    }

    /// Whether packets of a Request are kept that was not handed over yet.
    pub const fn holds_packets(&self) -> bool {
        self.incoming.is_some()
    }

    /// Whether a Probe of the Client is under way (figure 5-1, AwaitingResponse to Probe).
    pub const fn is_probing(&self) -> bool {
        self.flags.probing
    }

    /// Whether the Client's manager has confirmed the Client.
    pub const fn is_probed(&self) -> bool {
        self.flags.probed
    }

    /// Whether the record may be dropped early under memory pressure, if the Client's next Request
    /// is then probed: nothing of it is in progress, and a Client that still waited for the Response
    /// that is gone would have asked again by now.
    pub fn is_idle(&self, now: Time) -> bool {
        let quiet = match self.state {
            State::AwaitingRequest => true,
            State::ResponseDiscarded => now.since(self.heard) >= super::timers::SURELY_HEARD,
            // One without a segment is not acknowledged.
            State::Responded => {
                !self.flags.response_held && now.since(self.heard) >= super::timers::SURELY_HEARD
            }
            State::Processing | State::Forwarded => false,
        };
        quiet && !self.incoming.is_some() && !self.flags.probing
    }

    /// When [`Remote::timeout`] wants to be called.
    pub const fn deadline(&self) -> Time {
        self.deadline.earlier(self.receive_deadline)
    }

    /// Whether the Response to the current Request may be longer than a packet group.
    pub const fn takes_long_response(&self) -> bool {
        self.request.has(Control::STI)
    }

    /// The server to which the current Request was forwarded.
    pub const fn forward_server(&self) -> Entity {
        self.other
    }

    /// The group that the current Request was sent to, if it was multicast (2.7).
    pub fn group(&self) -> Option<Entity> {
        (self.flags.multicast && self.other.is_group()).then_some(self.other)
    }

    fn ends(&self) -> Ends {
        let server = match self.state {
            State::Forwarded => self.other,
            State::AwaitingRequest
            | State::Processing
            | State::Responded
            | State::ResponseDiscarded => self.server,
        };
        Ends {
            client: self.client,
            server,
            domain: self.domain,
        }
    }

    /// Whether `transaction` is a group of the current Request.
    fn is_current(&self, transaction: Transaction) -> bool {
        let distance = self.transaction.since(transaction);
        self.groups != 0 && distance >= 0 && distance < i32::from(self.groups)
    }

    /// A Notify to the Client (or forwarder) about `transaction`.
    fn notification(
        &self,
        transaction: Transaction,
        delivery: Mask,
        code: ResponseCode,
    ) -> NotifyVmtpClient {
        NotifyVmtpClient {
            client: self.client,
            control: self.control.in_response(0),
            receive_sequence: 0,
            transaction,
            delivery,
            code: code.code(),
        }
    }

    /// Whether this is a group of the Request being received.
    fn is_receiving_group(&self, transaction: Transaction) -> bool {
        self.incoming.is_some() && self.incoming.group_of(transaction).is_some()
    }

    fn notify(
        &mut self,
        step: &mut Step,
        transaction: Transaction,
        delivery: Mask,
        code: ResponseCode,
    ) {
        let notify = self.notification(transaction, delivery, code);
        self.tell(step, notify);
    }

    fn tell(&mut self, step: &mut Step, notify: NotifyVmtpClient) {
        // It is a part of what the Client may get (decision 28). What is told of any other is no more than the packet that
        // it is an answer to.
        if self.is_receiving_group(notify.transaction) {
            self.incoming_received = self.incoming_received.saturating_sub(respond::NOTIFY_PART);
        } else if self.is_current(notify.transaction) {
            self.allowed = self.allowed.saturating_sub(OVERHEAD_OCTETS);
        }
        step.notify = Some(notify);
        step.notify_remote = self.is_passed_on();
    }

    /// The Response is not kept any longer; the record goes on filtering duplicates for TS4.
    fn discard_response(&mut self, cx: &Context, step: &mut Step) {
        self.state = State::ResponseDiscarded;
        self.flags.response_held = false;
        self.deadline = cx.now.plus(cx.policy.record_lifetime);
        step.release = true;
    }

    /// A Request of the same Client, outside a run, with this Transaction came for another server of
    /// this host: what the Client had here before it is over (2.3, 5.3). What it has here of the
    /// same Transaction stays: a group may have several members on a host.
    pub fn superseded(&mut self, by: Transaction, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        if self.newest().is_older_than(by) {
            self.abandon_all(cx, &mut step);
        }
        step
    }

    /// The newest Transaction of the Client that has been seen here, whole or in part. A Request for
    /// another server of this host that is older is an old duplicate.
    pub fn newest(&self) -> Transaction {
        if self.incoming.is_some() {
            self.incoming.last()
        } else {
            self.last
        }
    }

    /// Forgets the Request being received, so that it can come again.
    fn forget_incoming(&mut self) {
        // Its predecessor was 256 before if that had STI.
        let skip = self.flags.skip && self.incoming_control.has(Control::NSR);
        self.last = self.incoming.first().minus(if skip { 256 } else { 1 });
        self.incoming = Incoming::NONE;
        self.receive_deadline = Time::NEVER;
        self.gap_quiet = Time::from_nanos(0);
    }

    /// Drops whatever is in progress.
    fn abandon_all(&mut self, cx: &Context, step: &mut Step) {
        step.aborted = self.state == State::Processing || self.queued != 0;
        step.release_retained = true;
        if self.state != State::AwaitingRequest {
            self.discard_response(cx, step);
        }
        // What waited is gone as well.
        self.answered = self.last;
        self.incoming = Incoming::NONE;
        self.receive_deadline = Time::NEVER;
        self.queued = 0;
        self.skipped = 0;
        self.flags.response_held = false;
        self.flags.probing = false;
    }

    /// The code of the current Response, for people.
    pub const fn response_code(&self) -> Code {
        self.outgoing.mcb().code
    }
}
