// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The client side of a host: an endpoint for each entity that sends Requests, its calls in order,
//! and the user who makes them.

use std::collections::VecDeque;
use std::rc::Rc;

use vmtp_proto::client::{
    stray, Call, Client, Delivery, Event as What, Found, Keep, Reply, ReplyState, Request, State,
    Step, Stray,
};
use vmtp_proto::peer::Peer;
use vmtp_proto::server::Source;
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{
    Code, Control, Entity, Header, Mask, Mcb, NotifyVmtpClient, Priority, ResponseCode, Transaction,
};

use super::manager::Purpose;
use super::{Host, DOMAIN};
use crate::content;
use crate::env::{Env, Event, Timer};
use crate::oracle::{OpId, Outcome};
use crate::packet;

/// Finished calls of a run that are kept to know duplicates.
const KEPT: usize = 8;

/// An entity as a Client.
pub struct Endpoint {
    root: Client,
    /// In the order they were started. Finished ones stay until the next transaction outside of
    /// their run.
    calls: VecDeque<Open>,
    /// What the user is going to do.
    pub script: VecDeque<OpId>,
    /// Transactions that the user keeps outstanding in a run.
    pub window: u16,
    /// How long the user thinks between two transactions.
    pub pause: Span,
}

/// A call with what the host keeps for it.
struct Open {
    op: OpId,
    call: Call,
    segment: Rc<Vec<u8>>,
    answers: Vec<Answer>,
    armed: Time,
    ended: bool,
}

/// A reply with its octets.
struct Answer {
    reply: Reply,
    mcb: Mcb,
    data: Vec<u8>,
    armed: Time,
}

impl Answer {
    const fn new() -> Answer {
        Answer {
            reply: Reply::EMPTY,
            mcb: Mcb {
                code: Code::from_bits(0),
                user: [0; 20],
                message_delivery: 0,
                segment_size: 0,
            },
            data: Vec::new(),
            armed: Time::NEVER,
        }
    }
}

impl Endpoint {
    /// An endpoint whose first Transaction is random.
    pub fn new(entity: Entity, env: &mut Env) -> Endpoint {
        // Often near the wrap.
        let first = match env.random.u8(..4) {
            0 => 0u32.wrapping_sub(env.random.u32(..64)),
            _ => env.random.u32(..),
        };
        Endpoint {
            root: Client::new(entity, DOMAIN, Transaction::from_bits(first)),
            calls: VecDeque::new(),
            script: VecDeque::new(),
            window: 1,
            pause: Span::ZERO,
        }
    }

    /// What a Probe tells.
    pub fn current_transaction(&self) -> Transaction {
        self.root.current_transaction()
    }

    pub(super) fn memory(&self) -> usize {
        use std::mem::size_of;
        let answers: usize = self.calls.iter().map(|open| open.answers.len()).sum();
        size_of::<Endpoint>()
            + self.calls.capacity() * size_of::<Open>()
            + answers * size_of::<Answer>()
            + self.script.capacity() * size_of::<OpId>()
    }

    fn index(&self, first: Transaction) -> Option<usize> {
        self.calls
            .iter()
            .position(|open| open.call.first_transaction() == first)
    }

    /// Operations that are under way or planned.
    pub fn pending(&self) -> impl Iterator<Item = OpId> + '_ {
        let open = self.calls.iter().filter(|open| !open.ended);
        open.map(|open| open.op).chain(self.script.iter().copied())
    }
}

/// Where a step of a call came from.
#[derive(Clone, Copy)]
struct From<'a> {
    reply: usize,
    packet: Option<(&'a Header, &'a [u8])>,
    peer: Peer,
}

impl From<'_> {
    const TIMER: From<'static> = From {
        reply: 0,
        packet: None,
        peer: Peer::NONE,
    };
}

impl Host {
    /// The user of an entity goes on with its script.
    pub fn user(&mut self, env: &mut Env, client: Entity) {
        while let Some(endpoint) = self.endpoints.get_mut(&client) {
            let Some(&op) = endpoint.script.front() else {
                return;
            };
            let wants = env.oracle.cases[op].op.wants;
            let open = endpoint.root.open();
            let may = open == 0 || (wants.streamed && open < endpoint.window);
            if !may || !self.start(env, client, op) {
                return;
            }
            let pause = self.endpoints.get(&client).map_or(Span::ZERO, |e| e.pause);
            if wants.datagram && pause != Span::ZERO {
                // Nothing will call the user back.
                let number = self.number;
                env.after(
                    pause,
                    Event::User {
                        host: number,
                        client,
                    },
                );
                return;
            }
        }
    }

    fn start(&mut self, env: &mut Env, client: Entity, op: OpId) -> bool {
        let wanted = env.oracle.cases[op].op.clone();
        let wants = wanted.wants;
        let group = wanted.server.is_group();
        let (peer, found) = match wanted.server.host_group() {
            Some(address) => (Peer::inet(address), Found::Certain),
            None => (self.guess(wanted.server), Found::Guessed),
        };
        let mut code = 0;
        let mut mcb = Mcb::default();
        mcb.user[8..16].copy_from_slice(&(op as u64).to_be_bytes());
        mcb.user[16..20].copy_from_slice(&(content::mix(op as u64) as u32).to_be_bytes());
        mcb.message_delivery = content::mix(op as u64 ^ 77) as u32;
        let mut segment = Vec::new();
        if let Some(octets) = wanted.request {
            code |= Code::SDA;
            mcb.segment_size = octets;
            segment = content::segment(content::of_request(op as u64), octets);
        }
        if let Some(blocks) = wants.blocks {
            code |= Code::MDM;
            mcb.message_delivery = blocks;
        }
        for (wanted, flag) in [
            (wants.datagram, Code::DGM),
            (wants.conditional, Code::CMD),
            (wants.many, Code::MRD),
        ] {
            code |= if wanted { flag } else { 0 };
        }
        mcb.code = Code::new(code, 0x00_8000);
        let mut flags = 0;
        for (wanted, flag) in [
            (wants.acknowledge, Control::APG),
            (wants.no_retransmission, Control::NRT),
            (wants.delay, Control::DRT),
        ] {
            flags |= if wanted { flag } else { 0 };
        }
        let request = Request {
            server: wanted.server,
            peer,
            found,
            multicast: group,
            mcb,
            flags,
            large_response: wants.large,
            hco: wants.header_checksum,
            priority: Priority::NORMAL,
            limit: wanted
                .limit
                .map_or(Time::NEVER, |limit| env.now.plus(limit)),
            streamed: wants.streamed,
            more: wants.more,
        };
        let cx = self.context(env, peer);
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return false;
        };
        let (call, step) = match endpoint.root.start(&request, &cx) {
            Ok(started) => started,
            Err(error) => {
                env.trace(self.number, || {
                    format!("   {client} cannot start {op}: {error:?}")
                });
                if endpoint.root.open() == 0 {
                    env.oracle
                        .fail(format!("operation {op}: {error:?} although none is open"));
                }
                return false;
            }
        };
        endpoint.script.pop_front();
        if !call.outgoing().control().has(Control::NSR) {
            // 4.6.1: what is left of transactions before goes.
            endpoint.calls.retain(|open| !open.ended);
        } else {
            while endpoint.calls.len() > usize::from(endpoint.window) + KEPT
                && endpoint.calls.front().is_some_and(|open| open.ended)
            {
                endpoint.calls.pop_front();
            }
        }
        let first = call.first_transaction();
        env.oracle.began(op, env.now, &mut env.counts);
        env.trace(self.number, || {
            format!("   {client} starts {op} as T{:08x}", first.bits())
        });
        endpoint.calls.push_back(Open {
            op,
            call,
            segment: Rc::new(segment),
            answers: vec![Answer::new()],
            armed: Time::NEVER,
            ended: wants.datagram,
        });
        self.client_step(env, client, first, step, From::TIMER);
        true
    }

    /// Carries out a step of a call.
    fn client_step(
        &mut self,
        env: &mut Env,
        client: Entity,
        first: Transaction,
        step: Step,
        from: From<'_>,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let Some(index) = endpoint.index(first) else {
            return;
        };
        let open = &mut endpoint.calls[index];
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

    fn arm_call(&mut self, env: &mut Env, client: Entity, first: Transaction) {
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
    fn resend(&mut self, env: &mut Env, client: Entity, after: Transaction, restart: bool) {
        let mut first = restart;
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
            let step = open.call.resend(&mut endpoint.root, after, first, &cx);
            if step.burst.is_some() {
                first = false;
            }
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
    fn call_ended(&mut self, env: &mut Env, client: Entity, op: OpId, code: Option<ResponseCode>) {
        if let Some(endpoint) = self.endpoints.get_mut(&client) {
            let oldest = endpoint.calls.iter().find(|open| !open.ended);
            if let Some(oldest) = oldest {
                let first = oldest.call.first_transaction();
                endpoint.root.oldest_is(first);
            }
        }
        self.release_held(env, client);
        if let Some(parent) = env.oracle.cases[op].op.parent {
            self.nested_done(env, client, parent, code);
        }
        let host = self.number;
        let pause = self.endpoints.get(&client).map_or(Span::ZERO, |e| e.pause);
        env.after(pause, Event::User { host, client });
    }

    /// Held calls of the run go out as far as they may.
    fn release_held(&mut self, env: &mut Env, client: Entity) {
        let held: Vec<Transaction> = self.endpoints.get(&client).map_or(vec![], |endpoint| {
            let held = endpoint.calls.iter();
            let held = held.filter(|open| open.call.state() == State::Held && !open.ended);
            held.map(|open| open.call.first_transaction()).collect()
        });
        for first in held {
            let Some((peer, outstanding)) = self.endpoints.get(&client).and_then(|endpoint| {
                let index = endpoint.index(first)?;
                let sent = endpoint.calls.iter();
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

    /// A call's deadline may have passed.
    pub(super) fn call_timer(&mut self, env: &mut Env, client: Entity, first: Transaction) {
        let Some(peer) = self.call_peer(client, first) else {
            return;
        };
        let cx = self.context(env, peer);
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let Some(index) = endpoint.index(first) else {
            return;
        };
        let open = &mut endpoint.calls[index];
        open.armed = Time::NEVER;
        if open.call.deadline().has_come(env.now) {
            let step = open.call.timeout(&mut endpoint.root, &cx);
            self.client_step(env, client, first, step, From::TIMER);
        } else {
            self.arm_call(env, client, first);
        }
    }

    fn call_peer(&self, client: Entity, first: Transaction) -> Option<Peer> {
        let endpoint = self.endpoints.get(&client)?;
        let index = endpoint.index(first)?;
        Some(endpoint.calls[index].call.peer())
    }

    /// A reply's deadline may have passed.
    pub(super) fn reply_timer(
        &mut self,
        env: &mut Env,
        client: Entity,
        first: Transaction,
        reply: usize,
    ) {
        let Some(peer) = self.call_peer(client, first) else {
            return;
        };
        let cx = self.context(env, peer);
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let Some(index) = endpoint.index(first) else {
            return;
        };
        let Open { call, answers, .. } = &mut endpoint.calls[index];
        let Some(answer) = answers.get_mut(reply) else {
            return;
        };
        answer.armed = Time::NEVER;
        if answer.reply.deadline().has_come(env.now) {
            let step = call.reply_timeout(&mut endpoint.root, &mut answer.reply, &cx);
            let from = From {
                reply,
                ..From::TIMER
            };
            self.client_step(env, client, first, step, from);
        } else {
            self.arm_call(env, client, first);
        }
    }

    /// A Response packet arrives.
    pub(super) fn response(&mut self, env: &mut Env, header: &Header, data: &[u8], source: Source) {
        let client = header.client;
        if client == self.manager {
            self.probe_answered(env, header, source);
            return;
        }
        let cx = self.context(env, source.peer);
        let streaming = self.config.policy.streaming;
        let limit = self.config.replies;
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            let notify = stray(header, Stray::Unknown, source.multicast, streaming);
            self.notify_server(env, notify, source.peer);
            return;
        };
        let matching = endpoint
            .calls
            .iter()
            .position(|open| open.call.expects(header.transaction));
        let Some(index) = matching else {
            let notify = stray(header, Stray::Known, source.multicast, streaming);
            self.notify_server(env, notify, source.peer);
            return;
        };
        let Open {
            op, call, answers, ..
        } = &mut endpoint.calls[index];
        // A single Server has one reply, whoever it was forwarded to; a group one a member.
        let reply = if call.is_multicast() {
            let known = answers.iter().position(|a| {
                a.reply.server() == header.server || a.reply.state() == ReplyState::Empty
            });
            match known {
                Some(reply) => reply,
                None if answers.len() < limit => {
                    answers.push(Answer::new());
                    answers.len() - 1
                }
                None => return,
            }
        } else {
            0
        };
        let wants = env.oracle.cases[*op].op.wants;
        let waiting = !wants.conditional_response || env.random.bool();
        let first = call.first_transaction();
        let step = call.response(
            &mut endpoint.root,
            &mut answers[reply].reply,
            header,
            source.peer,
            waiting,
            &cx,
        );
        if !matches!(step.keep, Keep::Drop(_)) {
            self.cache.insert(header.server, source.peer);
        }
        let from = From {
            reply,
            packet: Some((header, data)),
            peer: source.peer,
        };
        self.client_step(env, client, first, step, from);
    }

    /// NotifyVmtpClient for a Client of this host arrives.
    pub(super) fn client_notified(
        &mut self,
        env: &mut Env,
        notify: &NotifyVmtpClient,
        source: &Source,
    ) {
        let client = notify.client;
        let Some(endpoint) = self.endpoints.get(&client) else {
            return;
        };
        let about = |open: &&Open| open.call.is_notified_by(notify);
        let awaiting = |open: &&Open| open.call.state() == State::AwaitingResponse;
        let mut calls = endpoint.calls.iter().filter(about);
        let Some(first) = calls
            .clone()
            .find(awaiting)
            .or_else(|| calls.next())
            .map(|open| open.call.first_transaction())
        else {
            env.trace(self.number, || "   about no call".into());
            return;
        };
        let cx = self.context(env, source.peer);
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let Some(index) = endpoint.index(first) else {
            return;
        };
        let open = &mut endpoint.calls[index];
        let step = open.call.notify(&mut endpoint.root, notify, &cx);
        let from = From {
            peer: source.peer,
            ..From::TIMER
        };
        self.client_step(env, client, first, step, from);
        self.release_held(env, client);
    }

    /// The Server's host was found, or was not.
    pub(super) fn call_located(
        &mut self,
        env: &mut Env,
        client: Entity,
        first: Transaction,
        peer: Option<Peer>,
    ) {
        let cx = self.context(env, peer.unwrap_or(Peer::NONE));
        let Some(endpoint) = self.endpoints.get_mut(&client) else {
            return;
        };
        let Some(index) = endpoint.index(first) else {
            return;
        };
        let open = &mut endpoint.calls[index];
        let step = match peer {
            Some(peer) => open.call.located(&mut endpoint.root, peer, &cx),
            None => open.call.not_located(&mut endpoint.root),
        };
        self.client_step(env, client, first, step, From::TIMER);
    }

    /// Whether a forwarded Request of a Client of this host is for its outstanding transaction
    /// (5.7).
    pub(super) fn is_outstanding(&self, client: Entity, transaction: Transaction) -> bool {
        self.endpoints.get(&client).is_some_and(|endpoint| {
            let mut calls = endpoint.calls.iter();
            calls.any(|open| {
                open.call.outgoing().group_of(transaction).is_some()
                    && open.call.state() == State::AwaitingResponse
            })
        })
    }

    /// A new operation of an entity of this host, before all others.
    pub(super) fn nested_call(&mut self, env: &mut Env, entity: Entity, op: OpId) {
        if let Some(endpoint) = self.endpoints.get_mut(&entity) {
            endpoint.script.push_back(op);
        }
        self.user(env, entity);
    }
}
