// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The server itself: it takes what waits for it, works, and answers, forwards or gives up.

use std::rc::Rc;

use vmtp_proto::peer::Peer;
use vmtp_proto::server::{Forward, ForwardError, Respond, RespondError, Step};
use vmtp_proto::time::Span;
use vmtp_proto::wire::{Code, Control, Entity, Mask, Mcb, ResponseCode, Transaction, GROUP_OCTETS};

use super::Message;
use crate::content;
use crate::env::{Env, Event};
use crate::host::send::data_limit;
use crate::host::Host;
use crate::oracle::{Op, OpId, Parent};

/// Work that outlasts every timer before the Client is told that it goes on.
const SLOW: Span = Span::from_millis(100);

impl Host {
    /// The server takes what waits for it.
    pub(super) fn work(&mut self, env: &mut Env, entity: Entity) {
        let workers = self.config.workers;
        let place = (self.number, self.incarnation);
        while let Some(server) = self.servers.get_mut(&entity) {
            if server.running.len() >= workers {
                return;
            }
            let Some(message) = server.queue.pop_front() else {
                return;
            };
            let blocks = Mask::from_bits(message.mcb.message_delivery);
            let turn = env.oracle.executed(
                message.op,
                entity,
                place,
                &message.data,
                blocks,
                env.now,
                &mut env.counts,
            );
            env.trace(self.number, || {
                format!("   {entity} executes {}", message.op)
            });
            let service = env.oracle.cases[message.op].op.service;
            if service >= SLOW {
                env.counts.fault_slow += 1;
            }
            let event = Event::Served {
                host: self.number,
                incarnation: self.incarnation,
                server: entity,
                client: message.client,
                transaction: message.transaction,
            };
            server.running.push((message, turn));
            env.after(service, event);
        }
    }

    /// A server is done with a Request.
    pub fn served(
        &mut self,
        env: &mut Env,
        entity: Entity,
        client: Entity,
        transaction: Transaction,
    ) {
        let Some(server) = self.servers.get_mut(&entity) else {
            return;
        };
        let index = server
            .running
            .iter()
            .position(|(m, _)| m.client == client && m.transaction == transaction);
        let Some(index) = index else {
            return;
        };
        let (message, turn) = server.running.remove(index);
        if !message.datagram {
            self.answer(env, entity, &message, turn);
        }
        self.work(env, entity);
    }

    fn answer(&mut self, env: &mut Env, entity: Entity, message: &Message, turn: u32) {
        let key = (message.client, entity);
        let op = env.oracle.cases[message.op].op.clone();
        if op.wants.abandoned {
            let cx = self.context(env, Peer::NONE);
            if let Some(record) = self.records.get_mut(&key) {
                if let Ok(step) = record.remote.abandon(message.transaction, &cx) {
                    self.server_step(env, key, step, None);
                }
            }
            return;
        }
        let place = self
            .records
            .get(&key)
            .map_or(0, |record| usize::from(record.remote.forward_count()));
        match op.forward.get(place) {
            Some(next) => {
                let rest = op.forward.get(place + 1..).unwrap_or(&[]).to_vec();
                self.forward(env, entity, message, *next, rest);
            }
            None => self.reply(
                env,
                entity,
                message.client,
                message.transaction,
                message.op,
                turn,
            ),
        }
    }

    /// The server answers.
    fn reply(
        &mut self,
        env: &mut Env,
        entity: Entity,
        client: Entity,
        transaction: Transaction,
        op: OpId,
        turn: u32,
    ) {
        let key = (client, entity);
        let wanted = env.oracle.cases[op].op.clone();
        let wants = wanted.wants;
        let turn = if wants.varies { turn } else { 0 };
        let mut mcb = Mcb::default();
        mcb.user[..8].copy_from_slice(&(op as u64).to_be_bytes());
        mcb.user[8..16].copy_from_slice(&entity.bits().to_be_bytes());
        mcb.user[16..20].copy_from_slice(&turn.to_be_bytes());
        let mut code = 0;
        let mut segment = Vec::new();
        if let Some(octets) = wanted.response {
            code |= Code::SDA;
            mcb.segment_size = octets;
            segment = content::segment(content::of_response(op as u64, entity, turn), octets);
            if wants.lossy_response {
                code |= Code::MDM;
                mcb.message_delivery = Mask::for_octets(octets).bits();
            }
        }
        for (wanted, flag) in [
            (wants.idempotent, Code::DGM),
            (wants.conditional_response, Code::CMD),
        ] {
            code |= if wanted { flag } else { 0 };
        }
        mcb.code = Code::new(code, 0);
        let mut flags = 0;
        for (wanted, flag) in [
            (wants.acknowledge_response, Control::APG),
            (wants.lossy_response, Control::NRT),
            // A server may answer to the group although nobody asked for that, with one packet group.
            (
                (wants.group_response || (wants.many && op % 3 == 0))
                    && segment.len() <= GROUP_OCTETS as usize,
                Control::MDG,
            ),
        ] {
            flags |= if wanted { flag } else { 0 };
        }
        let peer = self
            .records
            .get(&key)
            .map_or(Peer::NONE, |r| r.remote.peer());
        let cx = self.context(env, peer);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let batch = wants.batched && !record.queue.is_empty() && record.batched < 200;
        let earlier = record.batched;
        flags |= record.sequence.flags(transaction);
        let respond = if batch {
            Respond {
                mcb: Mcb::refusal(ResponseCode::ResponseDiscarded),
                flags: 0,
                hco: false,
                priority: None,
                earlier: 0,
            }
        } else {
            Respond {
                mcb,
                flags,
                hco: wants.header_checksum,
                priority: None,
                earlier,
            }
        };
        // The common case first, as a host does.
        let remote = &mut record.remote;
        let packet = if self.config.numbers || !record.retained.is_empty() {
            None
        } else {
            let limit = data_limit(env);
            let (timing, policy) = (&cx.timing, &cx.policy);
            remote.respond_single(transaction, &respond, limit, timing, policy, cx.now)
        };
        let responded = match packet {
            Some(_) => Ok(Step::NOTHING),
            None => remote.respond(transaction, &respond, &cx),
        };
        match responded {
            Ok(step) => {
                if let Some(packet) = packet {
                    self.send_packet(env, packet, &segment, peer, Span::ZERO);
                }
                let Some(record) = self.records.get_mut(&key) else {
                    return;
                };
                if batch {
                    record.batched += 1;
                } else {
                    record.batched = 0;
                    record.segment = Rc::new(segment);
                }
                env.trace(self.number, || {
                    format!("   {entity} answers {op} (later: {batch})")
                });
                self.server_step(env, key, step, None);
            }
            Err(RespondError::NoRequest) => {
                env.trace(self.number, || format!("   {entity} answers {op} too late"));
            }
            Err(RespondError::TooLarge)
                if !cx.policy.streaming || !record.remote.takes_long_response() =>
            {
                // One of the hosts does not stream.
                if let Ok(step) = record.remote.abandon(transaction, &cx) {
                    self.server_step(env, key, step, None);
                }
            }
            Err(RespondError::TooLarge) => {
                env.oracle
                    .fail(format!("the Response to {op} is too large"));
            }
        }
    }

    /// The server passes a Request on.
    fn forward(
        &mut self,
        env: &mut Env,
        entity: Entity,
        message: &Message,
        next: Entity,
        rest: Vec<Entity>,
    ) {
        let key = (message.client, entity);
        let to = self.guess(next);
        let cx = self.context(env, to);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let forward = Forward {
            server: next,
            mcb: message.mcb,
            flags: if env.oracle.cases[message.op].op.wants.no_retransmission {
                Control::NRT
            } else {
                0
            },
            hco: false,
        };
        match record.remote.forward(message.transaction, &forward, &cx) {
            Ok(step) => {
                env.counts.forwarded += 1;
                record.segment = Rc::clone(&message.data);
                record.forwarded_to = to;
                record.forwarded_op = message.op;
                self.server_step(env, key, step, None);
            }
            Err(ForwardError::NoRequest) => {}
            Err(ForwardError::Nested) if !self.endpoints.contains_key(&entity) => {
                // It moved to another host, and calls from there.
                if let Ok(step) = record.remote.abandon(message.transaction, &cx) {
                    self.server_step(env, key, step, None);
                }
            }
            Err(ForwardError::Nested) => {
                env.counts.nested += 1;
                let op = env.oracle.cases[message.op].op.clone();
                let nested = env.oracle.add(Op {
                    server: next,
                    forward: rest,
                    wants: crate::oracle::Wants {
                        large: op.response.is_some_and(|octets| octets > 16_384),
                        ..Default::default()
                    },
                    enough: 1,
                    parent: Some(Parent {
                        client: message.client,
                        transaction: message.transaction,
                        op: message.op,
                    }),
                    ..op
                });
                self.nested_call(env, entity, nested);
            }
        }
    }

    /// A nested call has its Response, and so has the Request behind it.
    pub(crate) fn nested_done(
        &mut self,
        env: &mut Env,
        entity: Entity,
        parent: Parent,
        code: Option<ResponseCode>,
    ) {
        let Parent {
            client,
            transaction,
            op,
        } = parent;
        if code.is_none() {
            self.reply(env, entity, client, transaction, op, 0);
        } else {
            let cx = self.context(env, Peer::NONE);
            if let Some(record) = self.records.get_mut(&(client, entity)) {
                if let Ok(step) = record.remote.abandon(transaction, &cx) {
                    self.server_step(env, (client, entity), step, None);
                }
            }
        }
    }
}
