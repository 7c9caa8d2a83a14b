// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How a client's Requests reach a server: over VMTP, and in tests by a call.

use std::time::Duration;

use rustix::io::Errno;
use vmtp::{Client, Code, Entity, Pool, Request};

use crate::protocol::{errno, Message, Procedure};

/// Why there is no Response of success.
#[derive(Debug)]
pub enum Failure {
    /// The server says so.
    Answered(Errno),
    /// Nobody says anything: the server may have executed the Request or not, and may come again.
    Unheard(Code),
    /// This host cannot do transactions.
    Local(vmtp::Error),
}

/// Does one transaction.
pub trait Transport: Send + Sync + 'static {
    /// Has a procedure executed; the Response has at most `room` octets of segment, and is waited for no
    /// longer than `limit`.
    fn call(
        &self,
        procedure: Procedure,
        words: [u32; 5],
        segment: &[u8],
        room: usize,
        limit: Duration,
    ) -> Result<Message, Failure>;
}

/// Transactions with a server entity, as many at a time as are wanted.
#[derive(Debug)]
pub struct Vmtp {
    pool: Pool,
    server: Entity,
}

impl Vmtp {
    /// Transactions with this server, at most so many at a time.
    pub fn new(server: Entity, most: usize) -> Vmtp {
        Vmtp {
            pool: Pool::new(most, Client::new),
            server,
        }
    }
}

impl Transport for Vmtp {
    fn call(
        &self,
        procedure: Procedure,
        [a, b, c, d, e]: [u32; 5],
        segment: &[u8],
        room: usize,
        limit: Duration,
    ) -> Result<Message, Failure> {
        let request = Request::new(procedure.code())
            .first_words([a, b])
            .user_words([c, d, e])
            .segment(segment);
        let client = self.pool.get().map_err(Failure::Local)?;
        let mut data = Vec::with_capacity(room);
        let received = client
            .socket()
            .invoke(self.server, &request, Some(limit), false, &mut data)
            .map_err(|error| match error.interrupted() {
                true => Failure::Unheard(Code::USER_TIMEOUT),
                false => Failure::Local(error),
            })?;
        let code = received.mcb.code();
        if code.is_ok() && data.len() < received.mcb.segment_len() {
            return Err(Failure::Answered(Errno::PROTO)); // It sends more than was asked for.
        }
        if code.is_ok() {
            return Ok(Message {
                words: received.mcb.user_words(),
                segment: data,
            });
        }
        Err(match errno(code.bits()) {
            Some(errno) => Failure::Answered(errno),
            None if code.is_failure() => Failure::Unheard(code),
            None => Failure::Answered(Errno::PROTO),
        })
    }
}
