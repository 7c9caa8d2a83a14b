// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A Client with a run of transactions.

use vmtp_proto::client::{Call, Client, Reply, Request, Step};
use vmtp_proto::context::Context;
use vmtp_proto::wire::{Control, Header, ResponseCode, Transaction};

use super::near::{client, member};
use super::{context, mcb, only, to_client, SERVER_HOST};

/// The calls of a run, oldest first, and what a host does with them.
pub(crate) struct Run {
    pub(crate) client: Client,
    pub(crate) calls: Vec<(Call, Reply)>,
    pub(crate) sent: Vec<Step>,
    pub(crate) cx: Context,
}

impl Run {
    /// A run of so many Requests, all sent at 0 ms, and not the last of it.
    pub(crate) fn of(number: usize) -> Run {
        let mut run = Run::new();
        for _ in 0..number {
            run.start(&member(mcb(0, 0), true));
        }
        run
    }

    pub(crate) fn new() -> Run {
        Run {
            client: client(),
            calls: Vec::new(),
            sent: Vec::new(),
            cx: context(),
        }
    }

    pub(crate) fn start(&mut self, request: &Request) {
        let (call, step) = self.client.start(request, &self.cx).unwrap();
        self.calls.push((call, Reply::EMPTY));
        self.sent.push(step);
    }

    /// The oldest call that a Notify is about takes it.
    pub(crate) fn notify(
        &mut self,
        code: ResponseCode,
        about: Transaction,
        delivery: u32,
    ) -> (usize, Step) {
        self.notify_of(code, about, delivery, 0)
    }

    /// The same of a packet with this RetransmitCount.
    pub(crate) fn notify_of(
        &mut self,
        code: ResponseCode,
        about: Transaction,
        delivery: u32,
        count: u8,
    ) -> (usize, Step) {
        let notify = to_client(code, about, delivery, count);
        let index = self
            .calls
            .iter()
            .position(|(call, _)| call.is_notified_by(&notify))
            .unwrap();
        let (call, _) = &mut self.calls[index];
        (index, call.notify(&mut self.client, &notify, &self.cx))
    }

    pub(crate) fn response(&mut self, index: usize, header: &Header) -> Step {
        let (call, reply) = &mut self.calls[index];
        call.response(&mut self.client, reply, header, SERVER_HOST, true, &self.cx)
    }

    /// After the call before it has ended.
    pub(crate) fn oldest_is(&mut self, index: usize) {
        let (call, _) = &mut self.calls[index];
        self.client.oldest_is(call, &self.cx);
    }

    pub(crate) fn timeout(&mut self, index: usize) -> Step {
        let (call, _) = &mut self.calls[index];
        call.timeout(&mut self.client, &self.cx)
    }

    pub(crate) fn resend(&mut self, index: usize, mut after: Transaction, mut first: bool) -> Step {
        let (call, _) = &mut self.calls[index];
        call.resend(&mut self.client, &mut after, &mut first, &self.cx)
    }

    /// What a host sends again of all calls, with the Transactions of those that went out.
    pub(crate) fn resend_all(
        &mut self,
        mut after: Transaction,
        mut first: bool,
    ) -> Vec<Transaction> {
        let mut sent = Vec::new();
        for (call, _) in &mut self.calls {
            let step = call.resend(&mut self.client, &mut after, &mut first, &self.cx);
            sent.extend(step.burst.map(|_| call.transaction()));
        }
        sent
    }

    /// The run bits and Transactions of what was sent first.
    pub(crate) fn bits(&self) -> Vec<(Transaction, u32)> {
        let run = Control::NSR | Control::NER | Control::STI;
        let packets = self.sent.iter().map(|step| only(&step.burst));
        packets
            .map(|header| (header.transaction, header.control.bits() & run))
            .collect()
    }
}

/// The run bits of the first Request of a run, of one in the middle and of the last (2.11).
pub(crate) const FIRST: u32 = Control::NER;
pub(crate) const MIDDLE: u32 = Control::NSR | Control::NER;
pub(crate) const LAST: u32 = Control::NSR;
