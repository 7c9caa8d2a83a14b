// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a step of a call leads to: packets and Notifies out, octets kept, calls ended, the run moved on.

use std::rc::Rc;

use vmtp_proto::client::{Delivery, Event as What, Keep, State, Step};
use vmtp_proto::time::Span;
use vmtp_proto::wire::{Entity, Mask, ResponseCode, Transaction};

use super::{Endpoint, From};
use crate::env::{Env, Event, Timer};
use crate::host::manager::Purpose;
use crate::host::Host;
use crate::oracle::{OpId, Outcome};
use crate::packet;

impl Host {
    /// Carries out a step of a call.
    pub(in crate::host) fn client_step(
        &mut self,
        env: &mut Env,
        client: Entity,
        first: Transaction,
        mut step: Step,
        from: From<'_>,
    ) {
        let number = match step.event {
            What::Response(_) => self.number_received(),
            _ => None,
        };
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let Some(index) = endpoint.index(first) else {
            return;
        };
        let open = &mut endpoint.calls[index];
        let header = from.packet.map(|(header, _)| header);
        let mut heard = None;
        if let Some(number) = number {
            let sequence = &mut endpoint.sequence;
            heard = sequence.received(&open.call, header, number, &mut step);
            if let Some(number) = sequence.number_of(&open.call) {
                let (op, server) = (open.op, open.call.server());
                env.oracle.logged(op, server, number, &mut env.counts);
            }
        }
        let peer = open.call.peer();
        let segment = Rc::clone(&open.segment);
        let mut reply_peer = from.peer;
        if let Some(answer) = open.answers.get_mut(from.reply) {
            match (step.keep, from.packet) {
                (Keep::Keep | Keep::Restart, Some((header, data))) => {
                    if step.keep == Keep::Restart {
                        answer.data.clear();
                    }
                    answer.mcb = header.mcb();
                    packet::place(header, data, step.group_offset, &mut answer.data);
                }
                (Keep::Drop(_) | Keep::Keep | Keep::Restart, _) => {}
            }
            if !reply_peer.is_known() {
                reply_peer = answer.reply.peer();
            }
        }
        if let (Keep::Drop(reason), Some(_)) = (step.keep, from.packet) {
            self.dropped(env, reason);
        }
        if let Some(burst) = step.burst {
            self.send(env, burst, &segment, peer);
        }
        self.notify_server(env, step.notify, reply_peer);
        let way = if from.peer.is_known() {
            from.peer
        } else {
            peer
        };
        self.learn(
            env,
            way,
            step.round_trip,
            step.interpacket,
            step.sent,
            step.received,
        );
        if let Some(heard) = heard.filter(|_| way.is_known()) {
            self.path(env, way).numbered(heard);
        }
        match step.event {
            What::None => {}
            What::Response(delivery) => self.deliver(env, client, first, from.reply, delivery),
            What::Finished(code) => self.call_failed(env, client, first, code),
            What::Locate => {
                let server = self
                    .endpoints
                    .get(&client)
                    .and_then(|e| e.index(first).map(|i| e.calls[i].call.server()));
                if let Some(server) = server {
                    self.cache.remove(&server);
                    self.search_everywhere(env, server, Purpose::Locate(client, first));
                }
            }
            What::ResendAfter(after) => self.resend(env, client, after, false),
            What::RestartRun => {
                let oldest = self
                    .endpoints
                    .get(&client)
                    .map_or(Transaction::from_bits(0), Endpoint::current_transaction);
                self.resend(env, client, oldest.minus(1), true);
            }
            What::DoesNotStream => self.path(env, peer).does_not_stream(),
        }
        self.arm_call(env, client, first);
    }

    pub(super) fn arm_call(&mut self, env: &mut Env, client: Entity, first: Transaction) {
        let (number, incarnation) = (self.number, self.incarnation);
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let Some(index) = endpoint.index(first) else {
            return;
        };
        let open = &mut endpoint.calls[index];
        let of = Timer::Call(client, first);
        env.arm(
            number,
            incarnation,
            of,
            open.call.deadline(),
            &mut open.armed,
        );
        for (reply, answer) in open.answers.iter_mut().enumerate() {
            let of = Timer::Reply(client, first, reply);
            let deadline = answer.reply.deadline();
            env.arm(number, incarnation, of, deadline, &mut answer.armed);
        }
    }

    /// Every later call of the run goes out again.
    fn resend(&mut self, env: &mut Env, client: Entity, mut after: Transaction, mut first: bool) {
        let calls: Vec<Transaction> = self.endpoints.get(&client).map_or(vec![], |endpoint| {
            let open = endpoint.calls.iter().filter(|open| !open.ended);
            open.map(|open| open.call.first_transaction()).collect()
        });
        for transaction in calls {
            let Some(peer) = self.endpoints.get(&client).and_then(|endpoint| {
                let index = endpoint.index(transaction)?;
                Some(endpoint.calls[index].call.peer())
            }) else {
                continue;
            };
            let cx = self.context(env, peer);
            let Some(endpoint) = self.endpoints.get_mut(&client) else {
                return;
            };
            let Some(index) = endpoint.index(transaction) else {
                continue;
            };
            let open = &mut endpoint.calls[index];
            let root = &mut endpoint.root;
            let step = open.call.resend(root, &mut after, &mut first, &cx);
            self.client_step(env, client, transaction, step, From::TIMER);
        }
    }

    /// A Response is complete, or as complete as it gets.
    fn deliver(
        &mut self,
        env: &mut Env,
        client: Entity,
        first: Transaction,
        reply: usize,
        delivery: Delivery,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let Some(index) = endpoint.index(first) else {
            return;
        };
        // 2.11: PGcount answers earlier calls of the run.
        for earlier in 0..index {
            let open = &mut endpoint.calls[earlier];
            let covered = open.call.transaction().since(delivery.covers_from) >= 0;
            if !open.ended && covered {
                endpoint.root.covered(&mut open.call);
                open.ended = true;
                let op = open.op;
                env.oracle
                    .ended(op, Outcome::Covered, env.now, &mut env.counts);
            }
        }
        let open = &mut endpoint.calls[index];
        let op = open.op;
        let answer = &mut open.answers[reply];
        let mut data = std::mem::take(&mut answer.data);
        data.resize(delivery.segment_octets as usize, 0);
        let mut mcb = answer.mcb;
        if let Some(mask) = delivery.message_delivery {
            mcb.message_delivery = mask.bits();
        }
        let server = answer.reply.server();
        let again = open.ended;
        open.ended = true;
        let blocks: Option<Mask> = delivery.message_delivery;
        env.trace(self.number, || {
            format!(
                "   {client} has the Response to {op}, {} octets",
                data.len()
            )
        });
        env.oracle.answered(
            op,
            server,
            &mcb,
            delivery.code.is_some(),
            &data,
            blocks,
            env.now,
            &mut env.counts,
        );
        if !again {
            self.call_ended(env, client, op, delivery.code);
        }
    }

    fn call_failed(
        &mut self,
        env: &mut Env,
        client: Entity,
        first: Transaction,
        code: ResponseCode,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let Some(index) = endpoint.index(first) else {
            return;
        };
        let mut ended = Vec::new();
        // 4.9: with the timeout of one the whole run is over.
        let all = code == ResponseCode::RetransTimeout;
        for (number, open) in endpoint.calls.iter_mut().enumerate() {
            if !open.ended && (all || number == index) {
                endpoint.root.failed(&mut open.call, code);
                open.ended = true;
                ended.push(open.op);
            }
        }
        env.trace(self.number, || {
            format!("   {client}: {ended:?} end with {}", code.name())
        });
        for op in ended {
            env.oracle
                .ended(op, Outcome::Failed(code), env.now, &mut env.counts);
            self.call_ended(env, client, op, Some(code));
        }
    }

    /// A call has ended: the run moves on, and so does the user.
    pub(in crate::host) fn call_ended(
        &mut self,
        env: &mut Env,
        client: Entity,
        op: OpId,
        code: Option<ResponseCode>,
    ) {
        self.settle(env, client);
        self.release_held(env, client);
        if let Some(parent) = env.oracle.cases[op].op.parent {
            self.nested_done(env, client, parent, code);
        }
        let host = self.number;
        let pause = self.endpoints.get(&client).map_or(Span::ZERO, |e| e.pause);
        env.after(pause, Event::User { host, client });
    }

    /// Tells the Client which of its calls is the oldest open one.
    fn settle(&mut self, env: &mut Env, client: Entity) {
        let open = |endpoint: &Endpoint| endpoint.calls.iter().position(|open| !open.ended);
        let Some((index, peer)) = self.endpoints.get(&client).and_then(|endpoint| {
            let index = open(endpoint)?;
            Some((index, endpoint.calls[index].call.peer()))
        }) else {
            return;
        };
        let cx = self.context(env, peer);
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let oldest = &mut endpoint.calls[index].call;
        endpoint.root.oldest_is(oldest, &cx);
        let first = oldest.first_transaction();
        self.arm_call(env, client, first);
    }

    /// Held calls of the run go out as far as they may.
    pub(super) fn release_held(&mut self, env: &mut Env, client: Entity) {
        let held: Vec<Transaction> = self.endpoints.get(&client).map_or(vec![], |endpoint| {
            let held = endpoint.calls.iter();
            let held = held.filter(|open| open.call.state() == State::Held && !open.ended);
            held.map(|open| open.call.first_transaction()).collect()
        });
        for first in held {
            let Some((peer, outstanding)) = self.endpoints.get(&client).and_then(|endpoint| {
                let index = endpoint.index(first)?;
                let sent = endpoint.calls.iter().take(index);
                let sent = sent.filter(|o| !o.ended && o.call.state() != State::Held);
                Some((endpoint.calls[index].call.peer(), sent.count() as u16))
            }) else {
                continue;
            };
            let cx = self.context(env, peer);
            let Some(endpoint) = self.endpoints.get_mut(&client) else {
                return;
            };
            let Some(index) = endpoint.index(first) else {
                continue;
            };
            let open = &mut endpoint.calls[index];
            let none = cx.timing.no_streaming;
            if !endpoint.root.may_send(&open.call, outstanding, none) {
                return;
            }
            let step = open.call.release(&mut endpoint.root, &cx);
            self.client_step(env, client, first, step, From::TIMER);
        }
    }
}
