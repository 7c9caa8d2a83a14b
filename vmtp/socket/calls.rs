// SPDX-License-Identifier: GPL-2.0

//! The RFC's calls (VIII), each one ioctl.

use super::transfer::{self, Outgoing, Patience};
use super::{abi, migrate, VmtpSocket};
use crate::bindings::{self as uapi, vmtp_exchange, vmtp_image, vmtp_mcb, vmtp_msg, vmtp_probe};
use crate::host::client::{Outcome, Whose};
use crate::host::endpoint::Endpoint;
use crate::host::probe::Answer;
use crate::host::remote::{Delivered, Kind};
use crate::host::server::Which;
use crate::host::Host;
use crate::kernel::errno::Errno;
use crate::kernel::family::Sock;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::kernel::user::{self, Readable, Writable};
use crate::kernel::wait::Wait;
use crate::proto::peer::Peer;
use crate::proto::time::{Span, Time};
use crate::proto::wire::{Entity, ResponseCode, Transaction, MESSAGE_OCTETS_MAX};
use core::mem::offset_of;
use kernel::ioctl::{_IO, _IOW, _IOWR};
use kernel::prelude::*;

const MAGIC: u32 = uapi::VMTP_IOC_MAGIC;
const INVOKE: u32 = _IOWR::<vmtp_exchange>(MAGIC, 1);
const GETREPLY: u32 = _IOWR::<vmtp_msg>(MAGIC, 2);
const RECVREQ: u32 = _IOWR::<vmtp_msg>(MAGIC, 3);
const SENDREPLY: u32 = _IOW::<vmtp_msg>(MAGIC, 4);
const FORWARDREQ: u32 = _IOW::<vmtp_msg>(MAGIC, 5);
const PROBEENTITY: u32 = _IOWR::<vmtp_probe>(MAGIC, 6);
const REPLYRECV: u32 = _IOWR::<vmtp_exchange>(MAGIC, 7);
const ABORT: u32 = _IO(MAGIC, 8);
const EXPORT: u32 = _IOWR::<vmtp_image>(MAGIC, 9);
const IMPORT: u32 = _IOWR::<vmtp_image>(MAGIC, 10);
const MOVED: u32 = _IO(MAGIC, 11);
const RESUME: u32 = _IO(MAGIC, 12);

/// The flags a program may give.
const FLAGS: u32 = uapi::VMTP_MSG_DONTWAIT
    | uapi::VMTP_MSG_PIECES
    | uapi::VMTP_MSG_MORE
    | uapi::VMTP_MSG_START
    | uapi::VMTP_MSG_ABORT
    | uapi::VMTP_MSG_SENT
    | uapi::VMTP_MSG_PEEK;

/// Runs one of the calls.
pub fn call(
    sock: &Sock<VmtpSocket>,
    command: u32,
    argument: usize,
    nonblocking: bool,
) -> Result<isize> {
    match command {
        INVOKE => invoke(sock, argument, nonblocking)?,
        GETREPLY => get_reply(sock, argument, nonblocking)?,
        RECVREQ => receive_request(sock, argument, nonblocking)?,
        SENDREPLY => {
            let message = user::read::<vmtp_msg>(argument)?;
            send_reply(sock, &sock.endpoint()?, &message)?;
        }
        FORWARDREQ => forward(sock, argument)?,
        PROBEENTITY => probe_entity(sock, argument, nonblocking)?,
        REPLYRECV => reply_and_receive(sock, argument, nonblocking)?,
        ABORT => sock.endpoint()?.abort(),
        EXPORT => migrate::export(sock, argument)?,
        IMPORT => migrate::import(sock, argument)?,
        MOVED => migrate::moved(sock)?,
        RESUME => migrate::resume(sock)?,
        _ => return Err(ENOIOCTLCMD),
    }
    Ok(0)
}

fn check(message: &vmtp_msg) -> Result {
    if message.flags & !FLAGS != 0 || message.reserved != 0 {
        return Err(EINVAL);
    }
    Ok(())
}

fn waits(message: &vmtp_msg, nonblocking: bool) -> bool {
    !nonblocking && message.flags & uapi::VMTP_MSG_DONTWAIT == 0
}

/// The segment that a message carries.
fn segment(message: &vmtp_msg) -> Result<Option<Pages>> {
    let length = message.length as usize;
    if length == 0 {
        return Ok(None);
    }
    if length > MESSAGE_OCTETS_MAX as usize {
        return Err(Errno::EMSGSIZE.into());
    }
    transfer::segment_in(Readable::new(message.segment, length)?.source(), length)
}

fn invoke(sock: &Sock<VmtpSocket>, argument: usize, nonblocking: bool) -> Result {
    let exchange = user::read::<vmtp_exchange>(argument)?;
    check(&exchange.out)?;
    check(&exchange.in_)?;
    let endpoint = sock.endpoint()?;
    let out = &exchange.out;
    if out.flags & uapi::VMTP_MSG_ABORT != 0 {
        endpoint.abort();
    }
    let (server, peer) = server_of(sock, &out.mcb, abi::host_in(&out.host)?)?;
    let datagram = out.mcb.code & uapi::VMTP_DGM != 0;
    let claimed = !datagram && out.flags & uapi::VMTP_MSG_START == 0;
    let request = Outgoing {
        mcb: &out.mcb,
        server,
        peer,
        length: out.length as usize,
        cookie: out.cookie,
        room: exchange.in_.length as usize,
        time_limit: out.timeout,
        more: out.flags & uapi::VMTP_MSG_MORE != 0,
        claimed,
    };
    let patience = if waits(out, nonblocking) {
        Patience::Unlimited
    } else {
        Patience::None
    };
    let to_start = match (patience, sock.sk().send_timeout()) {
        (Patience::Unlimited, Some(ns)) => Patience::Limited(ns),
        _ => patience,
    };
    let seen = endpoint.wakes();
    let transaction = transfer::start(sock, &endpoint, &request, segment(out)?, to_start)?;
    if !claimed {
        return Ok(());
    }
    let outcome = transfer::wait_for_new(sock, &endpoint, transaction, patience, seen);
    endpoint.release_claim(transaction);
    let outcome = outcome?;
    let place = argument.wrapping_add(offset_of!(vmtp_exchange, in_));
    give_outcome(&endpoint, outcome, &exchange.in_, place)
}

/// The Server that a message control block names, or the socket's default one.
fn server_of(sock: &Sock<VmtpSocket>, mcb: &vmtp_mcb, peer: Peer) -> Result<(Entity, Peer)> {
    if mcb.server != 0 {
        return Ok((Entity::from_bits(mcb.server), peer));
    }
    sock.state
        .lock()
        .peer
        .ok_or_else(|| Errno::EDESTADDRREQ.into())
}

/// Gives a program what came of a transaction; if it cannot take it, or only a piece, it can ask again.
fn give_outcome(
    endpoint: &Ref<Endpoint>,
    mut outcome: Outcome,
    into: &vmtp_msg,
    place: usize,
) -> Result {
    let whole = outcome
        .delivery
        .map_or(0, |delivery| delivery.segment_octets);
    let result = (|| {
        let room = into.length.min(whole.saturating_sub(outcome.offset)) as usize;
        let end = outcome.offset.saturating_add(room as u32);
        let mcb = transfer::outcome_mcb(endpoint, &outcome, end);
        if room != 0 {
            transfer::segment_out(
                &outcome.packets,
                Writable::new(into.segment, room)?.destination(),
                outcome.offset as usize,
                room,
            )?;
        }
        let message = vmtp_msg {
            mcb,
            received: room as u32,
            cookie: outcome.cookie,
            host: abi::host_out(&outcome.peer),
            offset: outcome.offset,
            flags: 0,
            ..*into
        };
        user::write(place, &message)?;
        Ok(room as u32)
    })();
    if into.flags & uapi::VMTP_MSG_PEEK != 0 {
        return result.map(|_| ());
    }
    match result {
        Ok(given) => {
            outcome.offset = outcome.offset.saturating_add(given);
            if into.flags & uapi::VMTP_MSG_PIECES != 0 && outcome.offset < whole {
                endpoint.put_outcome_back(outcome);
            }
            Ok(())
        }
        Err(error) => {
            endpoint.put_outcome_back(outcome);
            Err(error)
        }
    }
}

fn get_reply(sock: &Sock<VmtpSocket>, argument: usize, nonblocking: bool) -> Result {
    let message = user::read::<vmtp_msg>(argument)?;
    check(&message)?;
    let endpoint = sock.endpoint()?;
    if !endpoint.has_transaction() {
        return Err(Errno::ENOTCONN.into());
    }
    let patience = if waits(&message, nonblocking) {
        Patience::of(message.timeout, Patience::None)
    } else {
        Patience::None
    };
    let pieces = message.flags & uapi::VMTP_MSG_PIECES != 0;
    let whose = if pieces && message.mcb.server != 0 && message.mcb.transaction != 0 {
        Whose::Rest(
            Transaction::from_bits(message.mcb.transaction),
            Entity::from_bits(message.mcb.server),
        )
    } else {
        Whose::Any
    };
    let peek = message.flags & uapi::VMTP_MSG_PEEK != 0;
    match transfer::wait_outcome(sock, &endpoint, &whose, peek, patience) {
        Ok(mut outcome) => {
            if peek {
                outcome.packets.charge_receive(sock.sk())?;
            }
            give_outcome(&endpoint, outcome, &message, argument)
        }
        // 4.6.2: its time is up. That is a code, not an error.
        Err(error) if error.to_errno() == EAGAIN.to_errno() && waits(&message, nonblocking) => {
            let mcb = transfer::failure_mcb(
                endpoint.entity,
                Entity::ZERO,
                Transaction::from_bits(0),
                ResponseCode::UserTimeout.bits(),
            );
            user::write(
                argument,
                &vmtp_msg {
                    mcb,
                    received: 0,
                    cookie: 0,
                    flags: 0,
                    ..message
                },
            )
        }
        Err(error) => Err(error),
    }
}

fn receive_request(sock: &Sock<VmtpSocket>, argument: usize, nonblocking: bool) -> Result {
    let message = user::read::<vmtp_msg>(argument)?;
    check(&message)?;
    let endpoint = sock.endpoint()?;
    receive_into(sock, &endpoint, &message, argument, nonblocking)
}

fn receive_into(
    sock: &Sock<VmtpSocket>,
    endpoint: &Ref<Endpoint>,
    message: &vmtp_msg,
    place: usize,
    nonblocking: bool,
) -> Result {
    let patience = if waits(message, nonblocking) {
        Patience::of(message.timeout, Patience::Unlimited)
    } else {
        Patience::None
    };
    let pieces = message.flags & uapi::VMTP_MSG_PIECES != 0;
    let which = if pieces && message.mcb.client != 0 {
        Which::Rest(
            Entity::from_bits(message.mcb.client),
            Transaction::from_bits(message.mcb.transaction),
            match u32::from(message.mcb.function) {
                uapi::VMTP_GROUP_RESPONSE => Kind::GroupResponse,
                _ => Kind::Request,
            },
        )
    } else {
        Which::Next
    };
    let peek = message.flags & uapi::VMTP_MSG_PEEK != 0;
    let mut delivered = transfer::wait_request(sock, endpoint, &which, peek, patience)?;
    if peek {
        // Another thread may receive it before this one is done.
        delivered.packets.charge_receive(sock.sk())?;
    }
    let result = give_request(&delivered, message, place);
    if peek {
        return result.map(|_| ());
    }
    match result {
        Ok(given) => {
            delivered.offset = delivered.offset.saturating_add(given);
            if pieces && delivered.offset < delivered.arrival.segment_octets {
                endpoint.put_request_back(delivered);
            }
            Ok(())
        }
        Err(error) => {
            endpoint.put_request_back(delivered);
            Err(error)
        }
    }
}

/// How many octets it was given.
fn give_request(delivered: &Delivered, into: &vmtp_msg, place: usize) -> Result<u32> {
    let rest = delivered
        .arrival
        .segment_octets
        .saturating_sub(delivered.offset);
    let room = into.length.min(rest) as usize;
    let mcb = transfer::request_mcb(delivered, delivered.offset.saturating_add(room as u32))?;
    if room != 0 {
        transfer::segment_out(
            &delivered.packets,
            Writable::new(into.segment, room)?.destination(),
            delivered.offset as usize,
            room,
        )?;
    }
    let peer = delivered
        .packets
        .front()
        .map_or(Peer::NONE, |skb| Peer::inet(skb.ip().source.octets()));
    let message = vmtp_msg {
        mcb,
        received: room as u32,
        cookie: 0,
        host: abi::host_out(&peer),
        offset: delivered.offset,
        flags: 0,
        ..*into
    };
    user::write(place, &message)?;
    Ok(room as u32)
}

fn send_reply(sock: &Sock<VmtpSocket>, endpoint: &Ref<Endpoint>, message: &vmtp_msg) -> Result {
    check(message)?;
    transfer::reply(
        sock,
        endpoint,
        &message.mcb,
        message.length as usize,
        segment(message)?,
    )
}

fn forward(sock: &Sock<VmtpSocket>, argument: usize) -> Result {
    let message = user::read::<vmtp_msg>(argument)?;
    check(&message)?;
    let server = Entity::from_bits(message.mcb.server);
    let segment = segment(&message)?;
    transfer::forward(
        sock,
        &sock.endpoint()?,
        &message.mcb,
        server,
        message.length as usize,
        segment,
    )
}

fn reply_and_receive(sock: &Sock<VmtpSocket>, argument: usize, nonblocking: bool) -> Result {
    let exchange = user::read::<vmtp_exchange>(argument)?;
    check(&exchange.in_)?;
    let endpoint = sock.endpoint()?;
    let sent = match send_reply(sock, &endpoint, &exchange.out) {
        Ok(()) => uapi::VMTP_MSG_SENT,
        // Nobody waits for it any more, or it went before the signal that ended this call's first try: a server goes on.
        Err(error) if error == Errno::ENOTCONN.into() => 0,
        Err(error) => return Err(error),
    };
    let flags = argument
        .wrapping_add(offset_of!(vmtp_exchange, out))
        .wrapping_add(offset_of!(vmtp_msg, flags));
    user::write(flags, &(exchange.out.flags & !uapi::VMTP_MSG_SENT | sent))?;
    let place = argument.wrapping_add(offset_of!(vmtp_exchange, in_));
    receive_into(sock, &endpoint, &exchange.in_, place, nonblocking)
}

fn probe_entity(sock: &Sock<VmtpSocket>, argument: usize, nonblocking: bool) -> Result {
    let mut probe = user::read::<vmtp_probe>(argument)?;
    let endpoint = sock.endpoint()?;
    let entity = if probe.entity == 0 {
        endpoint.entity
    } else {
        Entity::from_bits(probe.entity)
    };
    if !entity.is_valid() {
        return Err(EINVAL);
    }
    let named = abi::host_in(&probe.host)?;
    let destination = sock.destination(entity, named);
    let limit = match probe.timeout {
        0 | u32::MAX => Time::NEVER,
        ms => Host::now().plus(Span::from_millis(ms.into())),
    };
    let ask = |peer: Peer| {
        let answer = Answer::new()?;
        let retries = sock.options.retries();
        let host = endpoint.host();
        let probing = host.probe_for_user(entity, peer, retries, limit, answer.clone())?;
        // An entity of this host is known at once.
        let patience = nonblocking.then_some(0);
        let waited = answer.queue.wait(false, patience, || *answer.result.lock());
        host.withdraw(&probing);
        match waited {
            Wait::Ready(found) => Ok(found),
            Wait::Timeout => Err(EAGAIN),
            Wait::Signal => Err(EINTR),
        }
    };
    let mut found = ask(destination.peer)?;
    let migrated =
        matches!(found.result, Err(code) if code.number() == ResponseCode::EntityMigrated.bits());
    if migrated && !named.is_known() && destination.peer.is_known() {
        // The host that the identifier names does not know where it is: somebody else does.
        endpoint.host().unlearn(entity);
        let elsewhere = ask(Peer::NONE)?;
        if elsewhere.result.is_ok() {
            found = elsewhere;
        }
    }
    probe.entity = entity.bits();
    probe.host = abi::host_out(&found.peer);
    match found.result {
        Ok(results) => {
            probe.code = ResponseCode::Ok.bits();
            probe.transaction = results.transaction.bits();
            probe.process = results.process;
            probe.principal = results.principal;
            probe.effective_principal = results.effective_principal;
        }
        Err(code) => {
            probe.code = code.number();
            probe.transaction = 0;
            probe.process = 0;
            probe.principal = 0;
            probe.effective_principal = 0;
        }
    }
    user::write(argument, &probe)
}
