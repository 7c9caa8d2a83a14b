// SPDX-License-Identifier: GPL-2.0

//! sendmsg and recvmsg: what the RFC's calls do, for programs that know sockets, and for io_uring.

use super::transfer::{self, Outgoing, Patience};
use super::{abi, VmtpSocket};
use crate::bindings::{self as uapi, vmtp_mcb, vmtp_piece};
use crate::host::client::Outcome;
use crate::host::endpoint::Endpoint;
use crate::host::remote::Delivered;
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
}

fn controls(message: &Message) -> Result<Controls> {
    let mut found = Controls {
        mcb: None,
        cookie: 0,
        time_limit: 0,
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
    } = controls(message)?;
    let mcb = mcb.unwrap_or_default();
    let named = match message.name() {
        Some(name) => Some(abi::name_in(name)?),
        None => None,
    };
    let endpoint = sock.endpoint()?;
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
                room: 0,
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
        _ => return Err(EINVAL),
    }
    Ok(length)
}

/// What recvmsg found.
enum Arrived {
    Request(Delivered),
    Outcome(Outcome),
}

fn take(endpoint: &Endpoint, wanted: u32) -> Option<Arrived> {
    if wanted != uapi::VMTP_RECEIVE_REQUESTS {
        if let Some(outcome) = endpoint.take_outcome(None) {
            return Some(Arrived::Outcome(outcome));
        }
    }
    if wanted != uapi::VMTP_RECEIVE_RESPONSES {
        if let Some(delivered) = endpoint.take_request() {
            return Some(Arrived::Request(delivered));
        }
    }
    None
}

/// recvmsg: the next Response or Request.
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
    sock.sk().take_error()?;
    let patience = match (flags & uapi::MSG_DONTWAIT != 0, sock.sk().receive_timeout()) {
        (true, _) => Some(0),
        (false, limit) => limit,
    };
    endpoint.caller_waits(true);
    endpoint.client_waits(true);
    let waited = sock
        .sk()
        .wait(poll::IN, patience, || match take(&endpoint, wanted) {
            Some(arrived) => Some(Some(arrived)),
            None => sock.sk().is_shut_down().0.then_some(None),
        });
    endpoint.client_waits(false);
    endpoint.caller_waits(false);
    match waited {
        Wait::Ready(Some(Arrived::Request(delivered))) => {
            let result = give_request(&delivered, message, length, flags);
            if result.is_err() || flags & uapi::MSG_PEEK != 0 {
                endpoint.put_request_back(delivered);
            }
            result
        }
        Wait::Ready(Some(Arrived::Outcome(outcome))) => {
            let result = give_outcome(&endpoint, &outcome, message, length, flags);
            // A failure that was reported by errno has been taken.
            let failed = result
                .as_ref()
                .is_err_and(|error| error.to_errno() == EFAULT.to_errno());
            if failed || flags & uapi::MSG_PEEK != 0 {
                endpoint.put_outcome_back(outcome);
            }
            result
        }
        Wait::Ready(None) => Ok(0),
        Wait::Timeout => Err(EAGAIN),
        Wait::Signal => Err(EINTR),
    }
}

fn give_request(
    delivered: &Delivered,
    message: &mut Message,
    length: usize,
    flags: u32,
) -> Result<usize> {
    let mcb = transfer::request_mcb(delivered)?;
    let whole = delivered.arrival.segment_octets as usize;
    let given =
        transfer::segment_out(&delivered.packets, message.destination(), length.min(whole))?;
    let peer = delivered
        .packets
        .front()
        .map_or(Peer::NONE, |skb| Peer::inet(skb.ip().source.octets()));
    let name = abi::name_struct(delivered.record.client, &peer);
    message.set_name(name.as_bytes());
    message.put_control(uapi::SOL_VMTP as i32, uapi::VMTP_MCB as i32, mcb.as_bytes())?;
    finish(message, given, whole, flags)
}

fn give_outcome(
    endpoint: &Ref<Endpoint>,
    outcome: &Outcome,
    message: &mut Message,
    length: usize,
    flags: u32,
) -> Result<usize> {
    let mcb = transfer::outcome_mcb(endpoint, outcome);
    let seen = message.has_control();
    if let Some(error) = errno_of(&mcb).filter(|_| !seen) {
        // Without room for the code it must not be mistaken for an empty Response.
        return Err(error);
    }
    let whole = outcome
        .delivery
        .map_or(0, |delivery| delivery.segment_octets as usize);
    let given = transfer::segment_out(&outcome.packets, message.destination(), length.min(whole))?;
    let name = abi::name_struct(outcome.server, &outcome.peer);
    message.set_name(name.as_bytes());
    message.put_control(uapi::SOL_VMTP as i32, uapi::VMTP_MCB as i32, mcb.as_bytes())?;
    if outcome.cookie != 0 {
        message.put_control(
            uapi::SOL_VMTP as i32,
            uapi::VMTP_COOKIE as i32,
            &outcome.cookie.to_ne_bytes(),
        )?;
    }
    finish(message, given, whole, flags)
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
fn finish(message: &mut Message, given: usize, whole: usize, flags: u32) -> Result<usize> {
    if given < whole {
        message.add_flags(uapi::MSG_TRUNC);
        let piece = vmtp_piece {
            offset: 0,
            length: given as u32,
            total: whole as u32,
            reserved: 0,
        };
        message.put_control(
            uapi::SOL_VMTP as i32,
            uapi::VMTP_PIECE as i32,
            piece.as_bytes(),
        )?;
    }
    message.add_flags(uapi::MSG_EOR);
    Ok(if flags & uapi::MSG_TRUNC != 0 {
        whole
    } else {
        given
    })
}
