// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Receive sequence numbers as a Client sees them (RFC 1045, 2.12): under which number the servers'
//! hosts received its Requests, and what it tells of the Responses that it received itself.
//!
//! How the servers' hosts number is in `server::Sequence`. The number of a Request is the one that a
//! Notify told, or one more than that of the Request before to the same Server if NRS in the Response
//! confirms it. Otherwise it is not known, and the next Request asks by APG.
//!
//! NRS in a Request tells that between the Client's last Request (or Response) and its last Response
//! this host received nothing else.

use super::{Call, Client, Event, Request, Step};
use crate::proto::wire::{
    Control, Entity, Header, Mask, NotifyVmtpClient, NotifyVmtpServer, ResponseCode, Transaction,
};

/// What a packet of another host tells of that host's receive sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// This number was given to a message.
    Number(u32),
    /// The host numbers messages; which number this one has is not known.
    Unknown,
}

impl Heard {
    /// What a Notify tells.
    pub fn in_notify(notify: &NotifyVmtpClient) -> Option<Heard> {
        let told = notify.control.has(Control::NRS);
        told.then_some(Heard::Number(notify.receive_sequence))
    }
}

/// What one Client knows of receive sequences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// The Server of the newest Request whose number is known, and that number.
    server: Entity,
    number: Option<u32>,
    /// The Transaction that follows that Request's.
    next: Transaction,
    /// The number of this host's last message when the Client last sent or received one.
    mark: u32,
    consecutive: bool,
}

impl Sequence {
    /// A Client that has sent nothing.
    pub const NONE: Sequence = Sequence {
        server: Entity::ZERO,
        number: None,
        next: Transaction::from_bits(0),
        mark: 0,
        consecutive: false,
    };

    /// The flags to add to those of a Request before [`Client::start`]: NRS, and APG if its number
    /// could not be told without. `numbers`: the Server's host is known to number what it receives.
    pub fn flags(&self, client: &Client, request: &Request, numbers: bool) -> u32 {
        let nrs = if self.consecutive { Control::NRS } else { 0 };
        let alone = client.open() == 0 && !request.multicast;
        let presumed = self.presumes(request.server, client.next);
        let ask = alone && numbers && !presumed;
        nrs | if ask { Control::APG } else { 0 }
    }

    /// The Request was sent when this host's last message had the number `received`.
    pub fn sent(&mut self, received: u32) {
        self.mark = received;
    }

    /// Whether the number of a Request to `server` with this first Transaction follows from what is
    /// known.
    fn presumes(&self, server: Entity, first: Transaction) -> bool {
        self.number.is_some() && self.server == server && self.next == first
    }

    fn learn(&mut self, call: &Call, number: u32) {
        let older = self.presumed_after(call);
        if !older {
            self.server = call.server;
            self.number = Some(number);
            self.next = call.following();
        }
    }

    /// Whether a later Request than this is known already.
    fn presumed_after(&self, call: &Call) -> bool {
        let later = call.following().is_older_than(self.next);
        self.number.is_some() && self.server == call.server && later
    }

    /// A NotifyVmtpClient about the call arrived from the host that it was sent to.
    pub fn notified(&mut self, call: &Call, notify: &NotifyVmtpClient) {
        // Of a Request that was forwarded the host of another server speaks.
        let received =
            notify.code == ResponseCode::Ok.code() && notify.control.forward_count() == 0;
        let whole = notify.transaction == call.transaction() && !call.is_multicast();
        if let Some(Heard::Number(number)) = Heard::in_notify(notify).filter(|_| received && whole)
        {
            self.learn(call, number);
        }
    }

    /// A step has [`Event::Response`]: the Response is message `number` of this host. `header` is that
    /// of its last packet, if it is complete. What it tells of the server's host.
    ///
    /// Responses of a group have one Transaction: each server is told by a Notify that its Response
    /// was received. The Transactions of the Notifies rise in the order of the Responses; for the
    /// number itself the operation has no room.
    pub fn received(
        &mut self,
        call: &Call,
        header: Option<&Header>,
        number: u32,
        step: &mut Step,
    ) -> Option<Heard> {
        if !matches!(step.event, Event::Response(_)) {
            return None;
        }
        self.consecutive = number == self.mark.wrapping_add(1);
        self.mark = number;
        let header = header?;
        if call.is_multicast() {
            step.notify = step.notify.or(Some(NotifyVmtpServer {
                server: header.server,
                client: header.client,
                transaction: header.transaction,
                delivery: Mask::ALL,
                code: ResponseCode::Ok.code(),
            }));
            return None;
        }
        // A server that the Request was forwarded to speaks of its own host.
        if header.control.forward_count() != 0 || !header.control.has(Control::NRS) {
            return None;
        }
        let known = self.presumes(call.server, call.first_transaction());
        match self.number.filter(|_| known) {
            Some(before) => {
                let number = before.wrapping_add(1);
                self.learn(call, number);
                Some(Heard::Number(number))
            }
            None => Some(Heard::Unknown),
        }
    }

    /// The number under which the Request with these ends was received, if it is the newest to
    /// `server` of which that is known.
    pub fn number_of(&self, call: &Call) -> Option<u32> {
        let newest = self.server == call.server && self.next == call.following();
        self.number.filter(|_| newest)
    }
}
