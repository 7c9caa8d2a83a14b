// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The manager of a host (RFC 1045, 2.10, III): which of its operations a Request is, the packets of
//! those it invokes itself, and the Probe as a transaction of its own.
//!
//! Notify, Probe and Query operations are executed on arrival, without any Client record; others
//! are ordinary transactions of the entity that invokes them.

use super::context::Context;
use super::server::Source;
use super::time::{Span, Time};
use super::timers;
use super::wire::{
    Code, Control, Entity, Header, ManagementRequest, Mask, Mcb, NotifyRemoteVmtpClient,
    NotifyVmtpClient, NotifyVmtpServer, Parameters, ProbeEntity, ProbeEntityResults, RequestError,
    ResponseCode, Results, Transaction,
};

/// What a Request to VMTP_MANAGER_GROUP wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// NotifyVmtpClient, or NotifyRemoteVmtpClient if `remote`.
    NotifyClient {
        /// Its parameters.
        notify: NotifyVmtpClient,
        /// It may be about a Client of another host, whose Request was forwarded.
        remote: bool,
    },
    /// NotifyVmtpServer.
    NotifyServer(NotifyVmtpServer),
    /// A Probe or Query, answered on arrival.
    Immediate(ManagementRequest),
    /// Another operation: it is treated as an ordinary Request to the manager.
    Transaction(ManagementRequest),
    /// It cannot be executed; the code is the answer, if it may be answered.
    Refuse(ResponseCode),
    /// It is dropped without an answer.
    Ignore,
}

/// Which operation a Request to the manager is, and whether it may be answered.
pub fn classify(header: &Header, source: &Source) -> Work {
    let silent = source.multicast || header.code.has(Code::DGM);
    match ManagementRequest::decode(&header.mcb()) {
        Ok(ManagementRequest::NotifyVmtpClient(notify)) => Work::NotifyClient {
            notify,
            remote: false,
        },
        Ok(ManagementRequest::NotifyRemoteVmtpClient(notify)) => Work::NotifyClient {
            notify: notify.into(),
            remote: true,
        },
        Ok(ManagementRequest::NotifyVmtpServer(notify)) => Work::NotifyServer(notify),
        Ok(request) if request.procedure().is_immediate() => Work::Immediate(request),
        Ok(request) => Work::Transaction(request),
        Err(RequestError::Malformed(procedure)) if procedure.is_notify() => Work::Ignore,
        Err(RequestError::Malformed(_) | RequestError::UnknownProcedure(_)) if silent => {
            Work::Ignore
        }
        Err(RequestError::Malformed(_) | RequestError::UnknownProcedure(_)) => {
            Work::Refuse(ResponseCode::VmtpError)
        }
    }
}

/// What a host tells of an entity that is probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probed {
    /// It is here.
    Entity(ProbeEntityResults),
    /// It is here, and does not want to be probed.
    Private,
    /// It was here and moved.
    Migrated,
    /// It was here, is no more, and cannot have moved: no other host knows better.
    Gone,
    /// It is not known.
    Unknown,
}

/// The authentication domain of Domain 1's principals (V.1).
pub const AUTH_DOMAIN: u32 = 1;

/// The answer to a ProbeEntity, or `None` for silence (2.13: multicast is answered only by whoever
/// can answer well).
pub fn probe_answer(probe: &ProbeEntity, probed: &Probed, source: &Source) -> Option<Mcb> {
    if !probe.entity.is_zero() && !probe.entity.is_valid() {
        return (!source.multicast).then(|| Mcb::refusal(ResponseCode::VmtpError));
    }
    let known_domain = probe.auth_domain == 0 || probe.auth_domain == AUTH_DOMAIN;
    match probed {
        Probed::Entity(_) if !known_domain => Some(Mcb::refusal(ResponseCode::NoPermission)),
        Probed::Entity(results) => Some(results.encode()),
        Probed::Private => Some(Mcb::refusal(ResponseCode::NoPermission)),
        Probed::Migrated => Some(Mcb::refusal(ResponseCode::EntityMigrated)),
        Probed::Gone => Some(Mcb::refusal(ResponseCode::NonexistentEntity)),
        Probed::Unknown if source.multicast => None,
        Probed::Unknown => Some(Mcb::refusal(ResponseCode::NonexistentEntity)),
    }
}

/// The header of the Response packet to a Request that was executed on arrival. `octets` of segment
/// must fit one packet.
pub fn response(request: &Header, manager: Entity, mcb: Mcb) -> Header {
    let control = Control::default()
        .with(Control::RESPONSE)
        .with_retransmit_count(request.control.retransmit_count())
        .with_forward_count(request.control.forward_count())
        .with_priority(request.control.priority());
    Header {
        client: request.client,
        version: 0,
        domain: request.domain,
        hco: false,
        epg: false,
        mpg: false,
        length: 0,
        control,
        transaction: request.transaction,
        delivery: Mask::EMPTY,
        server: manager,
        code: mcb.code,
        user: mcb.user,
        message_delivery: mcb.message_delivery,
        segment_size: mcb.segment_size,
    }
}

/// The header of a management Request of this host's manager.
pub fn request(manager: Entity, domain: u16, transaction: Transaction, mcb: Mcb) -> Header {
    Header {
        client: manager,
        version: 0,
        domain,
        hco: false,
        epg: false,
        mpg: false,
        length: 0,
        control: Control::default(),
        transaction,
        delivery: Mask::EMPTY,
        server: Entity::MANAGER_GROUP,
        code: mcb.code,
        user: mcb.user,
        message_delivery: mcb.message_delivery,
        segment_size: mcb.segment_size,
    }
}

/// The message control block of a NotifyVmtpClient, or of a NotifyRemoteVmtpClient if `remote`.
pub fn notify_client(notify: &NotifyVmtpClient, remote: bool) -> Mcb {
    if remote {
        NotifyRemoteVmtpClient::from(*notify).encode()
    } else {
        notify.encode()
    }
}

/// Whether a Notify with this code is rate-limited for each source: an error, after which there is nothing more to
/// say. BUSY and MSGTRANS_OVERFLOW hold the peer back, ENTITY_MIGRATED sends it elsewhere, and it takes their absence
/// for loss. They are no amplifier: a packet without data for each that was sent.
pub fn is_limited(code: Code) -> bool {
    match ResponseCode::from_bits(code.bits()) {
        Some(
            ResponseCode::Busy | ResponseCode::MsgtransOverflow | ResponseCode::EntityMigrated,
        ) => false,
        Some(_) | None => is_error(code),
    }
}

/// Whether a Notify reports an error, and not an acknowledgment or a request for blocks, which belong to a
/// transaction.
pub fn is_error(code: Code) -> bool {
    match ResponseCode::from_bits(code.bits()) {
        Some(ResponseCode::Ok | ResponseCode::Retry | ResponseCode::RetryAll) => false,
        Some(_) | None => true,
    }
}

/// Transmissions of a Probe that goes out by multicast to find an entity.
pub const LOCATE_RETRIES: u8 = 2;

/// A ProbeEntity that this host's manager invoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The probed entity.
    pub entity: Entity,
    /// The Transaction of the manager's entity.
    pub transaction: Transaction,
    transmissions: u8,
    retries: u8,
    count: u8,
    last_sent: Time,
    deadline: Time,
    limit: Time,
    coresident: Entity,
}

/// What became of a Probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeStep {
    /// Nothing yet.
    Wait,
    /// Send it (again).
    Send(Header),
    /// Nobody answered.
    Silence,
}

impl Probe {
    /// A Probe of `entity`, to be sent to the managers co-resident with `coresident` (0: to the one
    /// manager it is sent to). `retries` is how often it is repeated, `limit` when it fails anyway.
    pub fn new(
        entity: Entity,
        coresident: Entity,
        transaction: Transaction,
        retries: u8,
        limit: Time,
    ) -> Probe {
        Probe {
            entity,
            transaction,
            transmissions: 0,
            retries,
            count: 0,
            last_sent: Time::from_nanos(0),
            deadline: Time::from_nanos(0),
            limit,
            coresident,
        }
    }

    /// When [`Probe::timeout`] wants to be called. At once, first.
    pub const fn deadline(&self) -> Time {
        self.deadline
    }

    /// The first transmission, and what follows when no answer comes.
    pub fn timeout(&mut self, manager: Entity, domain: u16, cx: &Context) -> ProbeStep {
        if !self.deadline.has_come(cx.now) {
            return ProbeStep::Wait;
        }
        if self.transmissions > self.retries || self.limit.has_come(cx.now) {
            return ProbeStep::Silence;
        }
        if self.transmissions != 0 {
            self.count = self.count.wrapping_add(1) & 7;
        }
        self.transmissions = self.transmissions.saturating_add(1);
        self.last_sent = cx.now;
        let wait = timers::wait(
            self.transmissions,
            cx.timing.round_trip,
            cx.timing.round_trip,
            cx.random,
        );
        self.deadline = cx.now.plus(wait).earlier(self.limit);
        let parameters = ProbeEntity {
            coresident: self.coresident,
            entity: self.entity,
            auth_domain: AUTH_DOMAIN,
        };
        let mut header = request(manager, domain, self.transaction, parameters.encode());
        header.control = header.control.with_retransmit_count(self.count);
        ProbeStep::Send(header)
    }

    /// A Response to the Probe: what it says, and the round trip if it can be told.
    pub fn answer(
        &self,
        header: &Header,
        now: Time,
    ) -> (Result<ProbeEntityResults, Code>, Option<Span>) {
        let round_trip =
            (header.control.retransmit_count() == self.count).then(|| now.since(self.last_sent));
        (
            ProbeEntityResults::decode(&header.mcb()).map_err(|_| header.code),
            round_trip,
        )
    }
}

/// Messages that an entity may have wait, at most (ModifyService).
pub const QUEUE_MAX: u32 = 65_536;

/// Threads that an entity may have, at most (ModifyService).
pub const THREADS_MAX: u32 = 1_024;

/// The count that ModifyService sets, of messages or threads. Only a plain 0 is 0, which disables the
/// service; a decrement leaves 1 at least.
pub fn modified_count(present: u32, incremental: bool, count: u32, most: u32) -> u32 {
    if incremental {
        present.saturating_add_signed(count as i32).min(most).max(1)
    } else {
        count.min(most)
    }
}

/// Error notifications allowed at once to one source, and refilled in a second.
pub const ERRORS_A_SECOND: u32 = 64;

/// What one host may be sent of something that anybody may provoke: a bucket of tokens, full with as
/// many as are refilled in a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limiter {
    /// Tokens taken that have not been refilled.
    taken: u32,
    filled: Time,
}

impl Limiter {
    /// A full share.
    pub const fn new(now: Time) -> Limiter {
        Limiter {
            taken: 0,
            filled: now,
        }
    }

    /// Takes one from a share of so many in a second; `false` if none is left, and the packet goes
    /// unsent.
    pub fn take(&mut self, a_second: u32, now: Time) -> bool {
        let elapsed = now.since(self.filled).nanos();
        let step = 1_000_000_000u64
            .checked_div(u64::from(a_second))
            .unwrap_or(0);
        let Some(new) = elapsed.checked_div(step) else {
            return false;
        };
        if new != 0 {
            let new_tokens = u32::try_from(new).unwrap_or(u32::MAX);
            self.taken = self.taken.saturating_sub(new_tokens);
            // What is left of the last step counts for the next one.
            self.filled = self.filled.plus(Span::from_nanos(new.saturating_mul(step)));
        }
        let left = self.taken < a_second;
        if left {
            self.taken = self.taken.saturating_add(1);
        }
        left
    }
}
