// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Receive sequence numbers of Requests (RFC 1045, 2.12): in which order a host received its
//! messages, told to those who sent them, so that they can log it and have it played back.
//!
//! A host that does this counts what it hands to its users, Requests and Responses alike, and keeps
//! a [`Sequence`] beside each [`Remote`]. The Client presumes that its Request has the number after
//! that of its Request before. If that is so, NRS in the Response confirms it; if not, a
//! NotifyVmtpClient tells the number as soon as the Request was received, and the Response without
//! NRS shows whether that Notify was lost. Multicast and forwarded Requests are outside of the
//! chain: their Client cannot presume anything.

use super::{Arrival, Event, Remote, Step};
use crate::proto::wire::{Control, Mask, NotifyVmtpClient, ResponseCode, Transaction};

/// How a Request was received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reception {
    /// Its number among all messages of the host, modulo 2^32.
    pub number: u32,
    /// It came directly after the Request before of the same Client, as the Client presumes.
    pub next: bool,
}

/// The numbers of one Client's Requests to one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// Of the last Request, if the next one can be presumed to follow it.
    last: Option<u32>,
    /// The Request that the server has, and had last.
    transaction: Transaction,
    reception: Option<Reception>,
}

impl Sequence {
    /// Nothing was received yet.
    pub const NONE: Sequence = Sequence {
        last: None,
        transaction: Transaction::from_bits(0),
        reception: None,
    };

    /// A step of `remote` has [`Event::Request`], whose Request is message `number` of this host. The
    /// step's Notify tells that, if the Client does not know it or asked.
    pub fn received(&mut self, number: u32, remote: &mut Remote, step: &mut Step) {
        let Event::Request(arrival) = &mut step.event else {
            return;
        };
        let chained = !arrival.multicast && arrival.control.forward_count() == 0;
        // An idempotent Request that is executed anew is another message.
        let again = self.is_about(arrival.transaction);
        let next = chained && !again && self.last == Some(number.wrapping_sub(1));
        arrival.reception = Some(Reception { number, next });
        let arrival = *arrival;
        // Which of the two the Client knows of is not sure.
        self.last = (chained && !again).then_some(number);
        if !arrival.queued {
            self.begins(&arrival);
        }
        if !next && !arrival.multicast && step.notify.is_none() {
            remote.notify(step, arrival.transaction, Mask::ALL, ResponseCode::Ok);
        }
        if let Some(notify) = &mut step.notify {
            if notify.transaction == arrival.transaction {
                *notify = notify.with_receive_sequence(number);
            }
        }
    }

    /// A Request of the run that waited is handed to [`Remote::begin`].
    pub fn begins(&mut self, arrival: &Arrival) {
        self.transaction = arrival.transaction;
        self.reception = arrival.reception;
    }

    /// The flags to add to those of the Response to this Request: NRS, or none.
    pub fn flags(&self, transaction: Transaction) -> u32 {
        let next = self.reception.is_some_and(|reception| reception.next);
        if self.is_about(transaction) && next {
            Control::NRS
        } else {
            0
        }
    }

    /// A later Notify about the Request that the server has tells its number too (4.5).
    pub fn report(&self, notify: &mut NotifyVmtpClient) {
        if let Some(reception) = self.reception.filter(|_| self.is_about(notify.transaction)) {
            *notify = notify.with_receive_sequence(reception.number);
        }
    }

    /// How the Request that the server has, or had last, was received.
    pub const fn reception(&self) -> Option<Reception> {
        self.reception
    }

    fn is_about(&self, transaction: Transaction) -> bool {
        self.reception.is_some() && self.transaction == transaction
    }
}
