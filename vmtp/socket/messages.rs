// SPDX-License-Identifier: GPL-2.0

//! sendmsg and recvmsg: all that the RFC's calls do, for programs that know sockets, and for io_uring, which does not
//! reach ioctls. A Probe is a Request to the manager group.

use super::transfer::{self, Outgoing, Patience};
use super::{abi, VmtpSocket};
use crate::bindings::{self as uapi, vmtp_mcb, vmtp_piece};
use crate::host::client::{Outcome, Whose};
use crate::host::endpoint::Endpoint;
use crate::host::remote::Delivered;
use crate::host::server::Which;
use crate::kernel::errno::Errno;
use crate::kernel::family::Sock;
use crate::kernel::message::Message;
use crate::kernel::record::Ref;
use crate::kernel::wait::{poll, Wait};
use crate::proto::peer::Peer;
use crate::proto::wire::{Entity, ResponseCode, MESSAGE_OCTETS_MAX};
use kernel::prelude::*;
use kernel::transmute::AsBytes;

/// What the control messages of sendmsg say.
struct Controls {
    mcb: Option<vmtp_mcb>,
    cookie: u64,
    time_limit: u32,
    room: u32,
}

fn controls(message: &Message) -> Result<Controls> {
    let mut found = Controls {
        mcb: None,
        cookie: 0,
        time_limit: 0,
        room: 0,
    };
    for control in message.controls() {
        let control = control?;
        if control.level != uapi::SOL_VMTP as i32 {
            continue;
        }
        match control.kind as u32 {
            uapi::VMTP_MCB => found.mcb = Some(control.read()?),
            uapi::VMTP_COOKIE => found.cookie = control.read()?,
            uapi::VMTP_TIMELIMIT => found.time_limit = control.read()?,
            uapi::VMTP_ROOM => found.room = control.read()?,
            _ => return Err(EINVAL),
        }
    }
    Ok(found)
}

/// sendmsg: a Request, a Response, or a Request passed on.
pub fn send(sock: &Sock<VmtpSocket>, message: &mut Message, length: usize) -> Result<usize> {
    let flags = message.flags();
    if flags & uapi::MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if length > MESSAGE_OCTETS_MAX as usize {
        return Err(Errno::EMSGSIZE.into());
    }
    let Controls {
        mcb,
        cookie,
        time_limit,
        room,
    } = controls(message)?;
    let mcb = mcb.unwrap_or_default();
    let named = match message.name() {
        Some(name) => Some(abi::name_in(name)?),
        None => None,
    };
    let endpoint = sock.endpoint_in(named.map_or(0, |name| name.domain))?;
    let named = named.map(|name| (name.entity, name.peer));
    let nonblocking = flags & uapi::MSG_DONTWAIT != 0;
    match u32::from(mcb.function) {
        uapi::VMTP_REQUEST => {
            let default = sock.state.lock().peer;
            let by_mcb = (mcb.server != 0).then_some((Entity::from_bits(mcb.server), Peer::NONE));
            let (server, peer) = named.or(by_mcb).or(default).ok_or(Errno::EDESTADDRREQ)?;
            let segment = transfer::segment_in(message.source(), length)?;
            let request = Outgoing {
                mcb: &mcb,
                server,
                peer,
                length,
                cookie,
                room: room as usize,
                time_limit,
                more: flags & uapi::MSG_MORE != 0,
                claimed: false,
            };
            let patience = match (nonblocking, sock.sk().send_timeout()) {
                (true, _) => Patience::None,
                (false, None) => Patience::Unlimited,
                (false, Some(ns)) => Patience::Limited(ns),
            };
            transfer::start(sock, &endpoint, &request, segment, patience)?;
        }
        uapi::VMTP_RESPONSE => {
            let client = named.map_or(mcb.client, |(client, _)| client.bits());
            let segment = transfer::segment_in(message.source(), length)?;
            transfer::reply(
                sock,
                &endpoint,
                &vmtp_mcb { client, ..mcb },
                length,
                segment,
            )?;
        }
        uapi::VMTP_FORWARD => {
            let server = named.map_or(Entity::from_bits(mcb.server), |(server, _)| server);
            let segment = transfer::segment_in(message.source(), length)?;
            transfer::forward(sock, &endpoint, &mcb, server, length, segment)?;
        }
        uapi::VMTP_CANCEL => endpoint.abort(),
        _ => return Err(EINVAL),
    }
    Ok(length)
}

/// What recvmsg found.
enum Arrived {
    Request(Delivered),
    Outcome(Outcome),
}

fn take(endpoint: &Endpoint, wanted: u32, peek: bool) -> Option<Arrived> {
    if wanted != uapi::VMTP_RECEIVE_REQUESTS {
        if let Some(outcome) = endpoint.take_outcome(&Whose::Any, peek) {
            return Some(Arrived::Outcome(outcome));
        }
    }
    if wanted != uapi::VMTP_RECEIVE_RESPONSES {
        let request = if peek {
            endpoint.peek_request(&Which::Any)
        } else {
            endpoint.take_request(&Which::Any)
        };
        if let Some(delivered) = request {
            return Some(Arrived::Request(delivered));
        }
    }
    None
}

/// recvmsg: the next Response or Request, or the next piece of one.
pub fn receive(
    sock: &Sock<VmtpSocket>,
    message: &mut Message,
    length: usize,
    flags: u32,
) -> Result<usize> {
    if flags & (uapi::MSG_OOB | uapi::MSG_ERRQUEUE) != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let endpoint = sock.endpoint()?;
    let wanted = sock.options.receive();
    let peek = flags & uapi::MSG_PEEK != 0;
    sock.sk().take_error()?;
    let patience = match (flags & uapi::MSG_DONTWAIT != 0, sock.sk().receive_timeout()) {
        (true, _) => Some(0),
        (false, limit) => limit,
    };
    endpoint.caller_waits(true);
    endpoint.client_waits(true);
    let waited = sock
        .sk()
        .wait(poll::IN, patience, || match take(&endpoint, wanted, peek) {
            Some(arrived) => Some(Some(arrived)),
            None => sock.sk().is_shut_down().0.then_some(None),
        });
    endpoint.client_waits(false);
    endpoint.caller_waits(false);
    match waited {
        Wait::Ready(Some(Arrived::Request(mut delivered))) => {
            if peek {
                // Another thread may receive it before this one is done.
                delivered.packets.charge_receive(sock.sk())?;
            }
            let whole = delivered.arrival.segment_octets as usize;
            let mut given = Given::new(sock, delivered.offset, whole, length);
            let result = give_request(sock, &delivered, message, &mut given, flags);
            if !peek && (result.is_err() || given.goes_on) {
                delivered.offset = given.offset;
                endpoint.put_request_back(delivered);
            }
            result
        }
        Wait::Ready(Some(Arrived::Outcome(mut outcome))) => {
            if peek {
                outcome.packets.charge_receive(sock.sk())?;
            }
            let whole = outcome
                .delivery
                .map_or(0, |delivery| delivery.segment_octets as usize);
            let mut given = Given::new(sock, outcome.offset, whole, length);
            let result = give_outcome(sock, &endpoint, &outcome, message, &mut given, flags);
            // A failure that was reported by errno has been taken.
            let failed = result
                .as_ref()
                .is_err_and(|error| error.to_errno() == EFAULT.to_errno());
            if !peek && (failed || given.goes_on) {
                outcome.offset = given.offset;
                endpoint.put_outcome_back(outcome);
            }
            result
        }
        Wait::Ready(None) => Ok(0),
        Wait::Timeout => Err(EAGAIN),
        Wait::Signal => Err(EINTR),
    }
}

/// What one recvmsg gives of a segment.
struct Given {
    /// Where in the segment this begins, and once it was given the next.
    offset: u32,
    /// Octets of the segment.
    whole: usize,
    /// Octets that fit.
    room: usize,
    /// It is given in pieces: it does not fit SO_RCVBUF, however much fits the program's, or the socket wants it so.
    pieces: bool,
    /// Another piece follows.
    goes_on: bool,
}

impl Given {
    fn new(sock: &Sock<VmtpSocket>, offset: u32, whole: usize, length: usize) -> Self {
        Self {
            offset,
            whole,
            room: length.min(whole.saturating_sub(offset as usize)),
            pieces: offset != 0
                || sock.options.takes_pieces()
                || whole > sock.sk().receive_buffer(),
            goes_on: false,
        }
    }

    /// Up to where in the segment this gives.
    fn end(&self) -> u32 {
        self.offset.saturating_add(self.room as u32)
    }
}

fn give_request(
    sock: &Sock<VmtpSocket>,
    delivered: &Delivered,
    message: &mut Message,
    given: &mut Given,
    flags: u32,
) -> Result<usize> {
    let mcb = transfer::request_mcb(delivered, given.end())?;
    let offset = delivered.offset as usize;
    transfer::segment_out(
        &delivered.packets,
        message.destination(),
        offset,
        given.room,
    )?;
    let peer = delivered
        .packets
        .front()
        .map_or(Peer::NONE, |skb| Peer::inet(skb.ip().source.octets()));
    let name = abi::name_struct(sock.host().domain(), delivered.from(), &peer);
    message.set_name(name.as_bytes());
    message.put_control(uapi::SOL_VMTP as i32, uapi::VMTP_MCB as i32, mcb.as_bytes())?;
    if let Some(skb) = delivered.packets.front() {
        message.put_packet_controls(sock.sk(), skb);
    }
    finish(message, given, flags)
}

fn give_outcome(
    sock: &Sock<VmtpSocket>,
    endpoint: &Ref<Endpoint>,
    outcome: &Outcome,
    message: &mut Message,
    given: &mut Given,
    flags: u32,
) -> Result<usize> {
    let mcb = transfer::outcome_mcb(endpoint, outcome, given.end());
    let seen = message.takes_control(core::mem::size_of_val(&mcb));
    if let Some(error) = errno_of(&mcb).filter(|_| !seen) {
        // Without room for the code it must not be mistaken for an empty Response.
        return Err(error);
    }
    let offset = outcome.offset as usize;
    transfer::segment_out(&outcome.packets, message.destination(), offset, given.room)?;
    let name = abi::name_struct(sock.host().domain(), outcome.server, &outcome.peer);
    message.set_name(name.as_bytes());
    message.put_control(uapi::SOL_VMTP as i32, uapi::VMTP_MCB as i32, mcb.as_bytes())?;
    if outcome.cookie != 0 {
        message.put_control(
            uapi::SOL_VMTP as i32,
            uapi::VMTP_COOKIE as i32,
            &outcome.cookie.to_ne_bytes(),
        )?;
    }
    if let Some(skb) = outcome.packets.front() {
        message.put_packet_controls(sock.sk(), skb);
    }
    finish(message, given, flags)
}

/// What a failed transaction is to a program that cannot see its code.
fn errno_of(mcb: &vmtp_mcb) -> Option<Error> {
    let code = mcb.code & uapi::VMTP_CODE_MASK;
    if u32::from(mcb.function) != uapi::VMTP_FAILURE && !(1..=24).contains(&code) {
        return None;
    }
    Some(match ResponseCode::from_bits(code) {
        Some(ResponseCode::Ok) => return None,
        Some(
            ResponseCode::RetransTimeout | ResponseCode::UserTimeout | ResponseCode::TooManyRetries,
        ) => ETIMEDOUT,
        _ => Errno::ECONNREFUSED.into(),
    })
}

/// The end of recvmsg: how much there was.
fn finish(message: &mut Message, given: &mut Given, flags: u32) -> Result<usize> {
    let end = given.end();
    let cut = (end as usize) < given.whole;
    if given.pieces || cut {
        let piece = vmtp_piece {
            offset: given.offset,
            length: given.room as u32,
            total: given.whole as u32,
            reserved: 0,
        };
        message.put_control(
            uapi::SOL_VMTP as i32,
            uapi::VMTP_PIECE as i32,
            piece.as_bytes(),
        )?;
    }
    // A program without room for data would get its pieces for ever.
    given.goes_on = given.pieces && cut && given.room != 0;
    given.offset = end;
    if cut && !given.goes_on {
        message.add_flags(uapi::MSG_TRUNC);
    }
    if !given.goes_on {
        message.add_flags(uapi::MSG_EOR);
    }
    Ok(if flags & uapi::MSG_TRUNC != 0 {
        given.whole
    } else {
        given.room
    })
}
