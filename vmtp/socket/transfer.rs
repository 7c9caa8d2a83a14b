// SPDX-License-Identifier: GPL-2.0

//! What the RFC's calls and sendmsg and recvmsg have in common: starting a transaction, answering, waiting, and moving
//! segments to and from programs.

use super::{abi, VmtpSocket};
use crate::bindings::{self as uapi, vmtp_mcb};
use crate::host::client::{Outcome, Preallocated, Refused, Start, Whose};
use crate::host::endpoint::Endpoint;
use crate::host::kept::{group_offset_of, header_of, only_piece, pieces, Piece};
use crate::host::path::PathRecord;
use crate::host::remote::{Delivered, Kind};
use crate::host::server::Which;
use crate::host::transmit::Manner;
use crate::host::{Destination, Host};
use crate::kernel::errno::Errno;
use crate::kernel::family::Sock;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::kernel::skb::Skb;
use crate::kernel::skb_queue::SkbQueue;
use crate::kernel::wait::{poll, Wait};
use crate::proto::client::Request;
use crate::proto::peer::Peer;
use crate::proto::server::{Forward, Respond};
use crate::proto::time::{Span, Time};
use crate::proto::wire::{
    Code, Control, Entity, Header, Mask, Transaction, BLOCK_OCTETS, GROUP_OCTETS,
    MESSAGE_OCTETS_MAX,
};
use kernel::iov::{IovIterDest, IovIterSource};
use kernel::prelude::*;

/// How long a call may wait.
#[derive(Clone, Copy)]
pub enum Patience {
    /// Not at all: EAGAIN.
    None,
    /// As long as it takes.
    Unlimited,
    /// So many nanoseconds.
    Limited(u64),
}

impl Patience {
    /// Of a struct's timeout in ms, where `zero` is what 0 means.
    pub fn of(timeout: u32, zero: Patience) -> Patience {
        match timeout {
            0 => zero,
            u32::MAX => Patience::Unlimited,
            ms => Patience::Limited(u64::from(ms).saturating_mul(1_000_000)),
        }
    }

    fn timeout(self) -> Option<u64> {
        match self {
            Patience::None => Some(0),
            Patience::Unlimited => None,
            Patience::Limited(ns) => Some(ns),
        }
    }
}

/// What a program wants sent.
pub struct Outgoing<'a> {
    /// The message control block.
    pub mcb: &'a vmtp_mcb,
    /// For whom it is.
    pub server: Entity,
    /// Where that is, if the program says so.
    pub peer: Peer,
    /// Octets of its segment.
    pub length: usize,
    /// Comes back with the Responses.
    pub cookie: u64,
    /// Octets of the area for the Response.
    pub room: usize,
    /// ms; 0 takes the socket's.
    pub time_limit: u32,
    /// Another of the run follows.
    pub more: bool,
    /// Its caller waits for what comes of it.
    pub claimed: bool,
}

/// Reads a segment from a program. EMSGSIZE, EFAULT, ENOMEM. Sleeps.
pub fn segment_in(from: &mut IovIterSource<'_>, length: usize) -> Result<Option<Pages>> {
    if length > MESSAGE_OCTETS_MAX as usize {
        return Err(Errno::EMSGSIZE.into());
    }
    if length == 0 {
        return Ok(None);
    }
    let pages = Pages::from_iter(from, length)?;
    Ok(Some(pages))
}

/// Gives a program `room` octets of a message, all of them within its segment, from `from` on. Blocks that did not come
/// are zeros: a peer that leaves blocks out must not make a program take for received what its memory held
/// before. EFAULT. Sleeps.
pub fn segment_out(
    packets: &SkbQueue,
    to: &mut IovIterDest<'_>,
    from: usize,
    room: usize,
) -> Result {
    let end = from.saturating_add(room);
    let mut position = from;
    if let Some(piece) = only_piece(packets) {
        copy_piece(&piece, to, &mut position, end)?;
        return zeros(to, end.saturating_sub(position));
    }
    let mut rest = packets.iter();
    while let Some(skb) = rest.next() {
        for piece in pieces(skb) {
            // What lies before it may be in the packets behind: their blocks may be interleaved.
            while piece.start > position {
                let gap = piece.start.min(end);
                let Some(found) = first_in(rest.clone(), group_offset_of(skb), position, gap)
                else {
                    break;
                };
                copy_piece(&found, to, &mut position, gap)?;
            }
            copy_piece(&piece, to, &mut position, end)?;
        }
    }
    zeros(to, end.saturating_sub(position))
}

/// The first piece with octets between `from` and `end` in the packets of a group.
fn first_in<'a>(
    packets: impl Iterator<Item = &'a Skb>,
    group: u32,
    from: usize,
    end: usize,
) -> Option<Piece<'a>> {
    let mut first: Option<Piece<'a>> = None;
    for skb in packets {
        if group_offset_of(skb) != group {
            break;
        }
        for piece in pieces(skb) {
            let inside = piece.end > from && piece.start < end;
            let earlier = first.as_ref().is_none_or(|first| piece.start < first.start);
            if inside && earlier {
                first = Some(piece);
            }
        }
    }
    first
}

/// Gives a program so many zeros, for blocks that did not come. EFAULT.
fn zeros(to: &mut IovIterDest<'_>, count: usize) -> Result {
    static BLOCK: [u8; BLOCK_OCTETS as usize] = [0; BLOCK_OCTETS as usize];
    let mut left = count;
    while left != 0 {
        let some = BLOCK.get(..left).unwrap_or(&BLOCK);
        if to.copy_to_iter(some) != some.len() {
            return Err(EFAULT);
        }
        left = left.saturating_sub(some.len());
    }
    Ok(())
}

/// Copies what of a piece lies between `position` and `end`, and moves on.
fn copy_piece(
    piece: &Piece<'_>,
    to: &mut IovIterDest<'_>,
    position: &mut usize,
    end: usize,
) -> Result {
    let start = piece.start.max(*position);
    let end = piece.end.min(end);
    if end <= start {
        // Octets that came twice, or that there is no room for.
        return Ok(());
    }
    let place = piece
        .place
        .saturating_add(start.saturating_sub(piece.start));
    zeros(to, start.saturating_sub(*position))?;
    piece
        .packet
        .copy_to_iter(place, to, end.saturating_sub(start))?;
    *position = end;
    Ok(())
}

/// Starts a transaction; waits for the one before to end if `patience` allows. EAGAIN, EINTR, and what is wrong with it.
pub fn start(
    sock: &Sock<VmtpSocket>,
    endpoint: &Ref<Endpoint>,
    out: &Outgoing<'_>,
    segment: Option<Pages>,
    patience: Patience,
) -> Result<Transaction> {
    if sock.sk().is_shut_down().1 {
        return Err(EPIPE);
    }
    if out.server.is_zero() || !out.server.is_valid() {
        return Err(EINVAL);
    }
    let mcb = abi::mcb_in(out.mcb, false, u32::try_from(out.length)?)?;
    let mut peer = out.peer;
    let mut beside = false;
    if !peer.is_known() && out.server == Entity::MANAGER_GROUP {
        peer = endpoint.host().manager_for(&mcb);
    } else if !peer.is_known() && out.server.is_group() {
        // Members elsewhere are not meant.
        peer = endpoint.host().members_beside(&mcb);
        beside = peer.is_known();
    }
    let (destination, path) = sock.way(out.server, peer)?;
    let mut flags = abi::flags_in(out.mcb);
    if out.server.is_group() && endpoint.membership(out.server).is_some() {
        flags |= Control::MDG;
    }
    let limit = if out.time_limit != 0 {
        out.time_limit
    } else {
        sock.options.time_limit()
    };
    let limit = match limit {
        0 | u32::MAX => Time::NEVER,
        ms => Host::now().plus(Span::from_millis(ms.into())),
    };
    let manner = sock.manner();
    let departure = endpoint.host().departure(&path, &manner, manner.source);
    if departure.is_none() {
        is_routed(sock, &destination, &path, &manner)?;
    }
    let streamed = sock.options.is_streaming();
    let header_checksum = sock.options.checksum() == uapi::VMTP_CHECKSUM_HEADER;
    let mut start = Start {
        request: Request {
            server: out.server,
            peer: destination.peer,
            found: destination.found,
            multicast: destination.multicast || beside,
            mcb,
            flags,
            large_response: out.room > GROUP_OCTETS as usize,
            hco: header_checksum || abi::has_flag(out.mcb, uapi::VMTP_F_HCO),
            priority: abi::priority_in(out.mcb)?.unwrap_or(sock.options.priority()),
            limit,
            streamed,
            more: streamed && out.more,
        },
        segment,
        manner,
        path,
        departure,
        cookie: out.cookie,
        claimed: out.claimed,
        buffer: sock.sk().send_buffer(),
    };
    let mut slot = None;
    let mut until = None;
    loop {
        match Endpoint::start(endpoint, &start, &mut slot) {
            Ok(transaction) => return Ok(transaction),
            Err(Refused::TooLarge) => {
                let masked = start.request.mcb.code.has(Code::MDM);
                return Err(if masked {
                    EINVAL
                } else {
                    Errno::EMSGSIZE.into()
                });
            }
            Err(Refused::Memory) => {
                if slot.is_some() {
                    return Err(ENOMEM);
                }
                slot = Some(Preallocated::new(&start)?);
            }
            Err(Refused::Wait) => {
                // Of all waits together, however often another thread is faster.
                let now = Host::now().nanos();
                let until = *until.get_or_insert_with(|| {
                    patience
                        .timeout()
                        .map(|timeout| now.saturating_add(timeout))
                });
                let left = until.map(|until| until.saturating_sub(now));
                if left == Some(0) {
                    return Err(EAGAIN);
                }
                let waited = sock.sk().wait(poll::OUT, left, || {
                    (sock.sk().is_shut_down().1 || !endpoint.keeps_waiting(&start)).then_some(())
                });
                match waited {
                    Wait::Ready(()) => {}
                    Wait::Timeout => return Err(EAGAIN),
                    Wait::Signal => return Err(EINTR),
                }
                if sock.sk().is_shut_down().1 {
                    return Err(EPIPE);
                }
                // The route may have changed meanwhile.
                start.departure = None;
            }
            Err(Refused::Moving) => return Err(EBUSY),
            Err(Refused::Gone) => return Err(EPIPE),
        }
    }
}

/// No route is an error of the call, not of the transaction.
fn is_routed(
    sock: &Sock<VmtpSocket>,
    destination: &Destination,
    path: &PathRecord,
    manner: &Manner,
) -> Result {
    if destination.peer.is_known() && !destination.multicast {
        path.is_routed(sock.host(), manner)?;
    }
    Ok(())
}

/// Waits for what comes of a transaction (or of any). EAGAIN when `patience` is at its end.
pub fn wait_outcome(
    sock: &Sock<VmtpSocket>,
    endpoint: &Ref<Endpoint>,
    which: &Whose,
    peek: bool,
    patience: Patience,
) -> Result<Outcome> {
    let seen = endpoint.wakes();
    if let Some(outcome) = endpoint.take_outcome(which, peek) {
        return Ok(outcome);
    }
    if matches!(which, Whose::Rest(..)) {
        return Err(Errno::ENOTCONN.into());
    }
    if matches!(patience, Patience::None) {
        return Err(EAGAIN);
    }
    if !endpoint.knows(which) {
        return Err(Errno::ECANCELED.into());
    }
    sleep_for_outcome(sock, endpoint, which, peek, patience, seen)
}

/// Waits for what comes of a transaction that has just been started, when receivers had been woken `seen` times.
pub fn wait_for_new(
    sock: &Sock<VmtpSocket>,
    endpoint: &Ref<Endpoint>,
    transaction: Transaction,
    patience: Patience,
    seen: u32,
) -> Result<Outcome> {
    let which = Whose::Of(transaction);
    if matches!(patience, Patience::None) {
        return wait_outcome(sock, endpoint, &which, false, patience);
    }
    sleep_for_outcome(sock, endpoint, &which, false, patience, seen)
}

/// Waits until there is an outcome, at which is looked whenever receivers were woken once more than `seen`.
fn sleep_for_outcome(
    sock: &Sock<VmtpSocket>,
    endpoint: &Ref<Endpoint>,
    which: &Whose,
    peek: bool,
    patience: Patience,
    mut seen: u32,
) -> Result<Outcome> {
    endpoint.client_waits(true);
    let waited = sock.sk().wait(poll::IN, patience.timeout(), || {
        let wakes = endpoint.wakes();
        if core::mem::replace(&mut seen, wakes) == wakes && !Endpoint::may_be_shut(wakes) {
            return None;
        }
        match endpoint.take_outcome(which, peek) {
            Some(outcome) => Some(Ok(outcome)),
            // Another thread has aborted it.
            None if !endpoint.knows(which) => Some(Err(Errno::ECANCELED)),
            None => {
                let shut = sock.sk().is_shut_down().0;
                shut.then_some(Err(Errno::ESHUTDOWN))
            }
        }
    });
    endpoint.client_waits(false);
    match waited {
        Wait::Ready(Ok(outcome)) => Ok(outcome),
        Wait::Ready(Err(errno)) => Err(errno.into()),
        Wait::Timeout => Err(EAGAIN),
        Wait::Signal => Err(EINTR),
    }
}

/// Waits for a Request. EAGAIN when `patience` is at its end; ESHUTDOWN when nothing is received any more.
pub fn wait_request(
    sock: &Sock<VmtpSocket>,
    endpoint: &Ref<Endpoint>,
    which: &Which,
    peek: bool,
    patience: Patience,
) -> Result<Delivered> {
    let take = || {
        if peek {
            endpoint.peek_request(which)
        } else {
            endpoint.take_request(which)
        }
    };
    if let Some(delivered) = take() {
        return Ok(delivered);
    }
    if matches!(which, Which::Rest(..)) {
        return Err(Errno::ENOTCONN.into());
    }
    if sock.sk().is_shut_down().0 {
        return Err(Errno::ESHUTDOWN.into());
    }
    if matches!(patience, Patience::None) {
        return Err(EAGAIN);
    }
    endpoint.caller_waits(true);
    let waited = sock
        .sk()
        .wait(poll::IN, patience.timeout(), || match take() {
            Some(delivered) => Some(Some(delivered)),
            None => sock.sk().is_shut_down().0.then_some(None),
        });
    endpoint.caller_waits(false);
    match waited {
        Wait::Ready(Some(delivered)) => Ok(delivered),
        Wait::Ready(None) => Err(Errno::ESHUTDOWN.into()),
        Wait::Timeout => Err(EAGAIN),
        Wait::Signal => Err(EINTR),
    }
}

/// Answers a Request, or abandons it. ENOTCONN, EMSGSIZE, EINVAL.
pub fn reply(
    sock: &Sock<VmtpSocket>,
    endpoint: &Ref<Endpoint>,
    mcb: &vmtp_mcb,
    length: usize,
    segment: Option<Pages>,
) -> Result {
    let client = Entity::from_bits(mcb.client);
    let transaction = Transaction::from_bits(mcb.transaction);
    let mut block = abi::mcb_in(mcb, true, u32::try_from(length)?)?;
    if abi::has_flag(mcb, uapi::VMTP_F_ABANDON) {
        return endpoint.abandon(client, transaction);
    }
    if sock.options.is_idempotent() {
        block.code = block.code.with(Code::DGM);
    }
    let respond = Respond {
        mcb: block,
        flags: abi::flags_in(mcb)
            | if abi::has_flag(mcb, uapi::VMTP_F_GROUP_RESPONSE) {
                Control::MDG
            } else {
                0
            },
        hco: sock.options.checksum() == uapi::VMTP_CHECKSUM_HEADER
            || abi::has_flag(mcb, uapi::VMTP_F_HCO),
        priority: abi::priority_in(mcb)?,
        earlier: 0,
    };
    endpoint.reply(client, transaction, &respond, segment, &sock.manner())
}

/// Passes a Request on. ENOTCONN, EINVAL, EMSGSIZE. Sleeps.
pub fn forward(
    sock: &Sock<VmtpSocket>,
    endpoint: &Ref<Endpoint>,
    mcb: &vmtp_mcb,
    server: Entity,
    length: usize,
    segment: Option<Pages>,
) -> Result {
    if server.is_zero() || !server.is_valid() {
        return Err(EINVAL);
    }
    let forward = Forward {
        server,
        mcb: abi::mcb_in(mcb, false, u32::try_from(length)?)?,
        flags: abi::flags_in(mcb),
        hco: abi::has_flag(mcb, uapi::VMTP_F_HCO),
    };
    let client = Entity::from_bits(mcb.client);
    let transaction = Transaction::from_bits(mcb.transaction);
    let (destination, path) = sock.way(server, Peer::NONE)?;
    let manner = sock.manner();
    is_routed(sock, &destination, &path, &manner)?;
    // For a nested call, if it takes one.
    let start = Start {
        request: Request {
            server,
            peer: destination.peer,
            found: destination.found,
            multicast: destination.multicast,
            mcb: forward.mcb,
            flags: forward.flags,
            large_response: false,
            hco: forward.hco,
            priority: abi::priority_in(mcb)?.unwrap_or(sock.options.priority()),
            limit: Time::NEVER,
            streamed: false,
            more: false,
        },
        segment,
        manner,
        path,
        departure: None,
        cookie: 0,
        claimed: false,
        buffer: usize::MAX,
    };
    endpoint.forward(client, transaction, &forward, start)
}

/// The header of a message that was received: that of its first packet.
fn first_header(packets: &SkbQueue) -> Option<Header> {
    packets.front().and_then(header_of)
}

/// Of the blocks that came those that lie whole before `end` in a segment of `octets`; the last may be short (VIII).
fn whole_blocks(mask: Mask, octets: u32, end: u32) -> Mask {
    if end >= octets {
        return mask;
    }
    mask.intersect(Mask::for_octets(end & !(BLOCK_OCTETS - 1)))
}

/// The message control block of a Request, or a group Response, for a server, who gets octets up to `end`.
pub fn request_mcb(delivered: &Delivered, end: u32) -> Result<vmtp_mcb> {
    let mut header = first_header(&delivered.packets).ok_or(EIO)?;
    if let Some(mask) = delivered
        .arrival
        .message_delivery
        .filter(|_| header.code.has(Code::MDM))
    {
        header.message_delivery = whole_blocks(mask, delivered.arrival.segment_octets, end).bits();
    }
    let mcb = abi::mcb_out(&header, delivered.arrival.transaction);
    Ok(match delivered.kind {
        Kind::Request => mcb,
        Kind::GroupResponse => vmtp_mcb {
            function: uapi::VMTP_GROUP_RESPONSE as u8,
            ..mcb
        },
    })
}

/// The message control block of what came of a transaction, for a user who gets octets up to `end`.
pub fn outcome_mcb(endpoint: &Endpoint, outcome: &Outcome, end: u32) -> vmtp_mcb {
    let header = first_header(&outcome.packets).filter(|_| outcome.failure.is_none());
    let (Some(mut header), Some(delivery)) = (header, outcome.delivery) else {
        let code = outcome.failure.map_or(0, |code| code.bits());
        return failure_mcb(endpoint.entity, outcome.server, outcome.transaction, code);
    };
    if let Some(mask) = delivery.message_delivery {
        header.message_delivery = whole_blocks(mask, delivery.segment_octets, end).bits();
    }
    if header.code.has(Code::SDA) {
        header.segment_size = delivery.segment_octets;
    }
    if let Some(code) = delivery.code {
        header.code = Code::new(header.code.bits() & !uapi::VMTP_CODE_MASK, code.bits());
    }
    abi::mcb_out(&header, outcome.transaction)
}

/// The message control block of a transaction that ended without a Response.
pub fn failure_mcb(
    client: Entity,
    server: Entity,
    transaction: Transaction,
    code: u32,
) -> vmtp_mcb {
    vmtp_mcb {
        server: server.bits(),
        client: client.bits(),
        code,
        transaction: transaction.bits(),
        function: uapi::VMTP_FAILURE as u8,
        ..Default::default()
    }
}
