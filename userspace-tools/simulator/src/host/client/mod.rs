// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The client side of a host: an endpoint for each entity that sends Requests, its calls in order,
//! and the user who makes them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use vmtp_proto::client::{Call, Client, Found, Reply, Request, Sequence, State, Step, Unreachable};
use vmtp_proto::context::Context;
use vmtp_proto::peer::Peer;
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Code, Control, Entity, Header, Mcb, Priority, Transaction};

use super::send::data_limit;
use super::{Host, DOMAIN};
use crate::content;
use crate::env::{Env, Event};
use crate::oracle::OpId;

mod events;
mod step;

/// Finished calls of a run that are kept to know duplicates.
const KEPT: usize = 8;

/// An entity as a Client.
pub struct Endpoint {
    root: Client,
    sequence: Sequence,
    /// In the order they were started. Finished ones stay until the next transaction outside of
    /// their run.
    calls: VecDeque<Open>,
    /// What the user is going to do.
    pub script: VecDeque<OpId>,
    /// Transactions that the user keeps outstanding in a run.
    pub window: u16,
    /// How long the user thinks between two transactions.
    pub pause: Span,
    /// Calls that were looked at to find one.
    steps: Cell<u64>,
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
            sequence: Sequence::NONE,
            calls: VecDeque::new(),
            script: VecDeque::new(),
            window: 1,
            pause: Span::ZERO,
            steps: Cell::new(0),
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
        self.find(|open| open.call.first_transaction() == first)
    }

    /// The first call of which `is` holds.
    fn find(&self, is: impl Fn(&Open) -> bool) -> Option<usize> {
        self.calls.iter().position(|open| {
            self.steps.set(self.steps.get() + 1);
            is(open)
        })
    }

    pub(super) fn root(&self) -> &Client {
        &self.root
    }

    /// The first Transactions of its calls.
    pub(super) fn transactions(&self) -> Vec<Transaction> {
        let calls = self.calls.iter();
        calls.map(|open| open.call.first_transaction()).collect()
    }

    /// The first Transaction of a call that waits for its Response.
    pub(super) fn waiting(&self) -> Option<Transaction> {
        let waits = |open: &&Open| !open.ended && open.call.state() == State::AwaitingResponse;
        let call = self.calls.iter().find(waits)?;
        Some(call.call.first_transaction())
    }

    /// All timers of a call fire early.
    pub(super) fn early(&mut self, first: Transaction, cx: &Context) -> Option<[Step; 2]> {
        let index = self.index(first)?;
        let Open { call, answers, .. } = &mut self.calls[index];
        let released = call.state() == State::Held;
        let timeout = if released {
            call.timeout(&mut self.root, cx)
        } else {
            // Nothing is held back.
            call.release(&mut self.root, cx);
            call.timeout(&mut self.root, cx)
        };
        let reply = answers.first_mut()?;
        let late = call.reply_timeout(&mut self.root, &mut reply.reply, cx);
        Some([timeout, late])
    }

    /// The user gives a call up that has not ended: which operation that was.
    pub(super) fn give_up(&mut self, first: Transaction) -> Option<OpId> {
        let index = self.index(first)?;
        let open = &mut self.calls[index];
        if open.ended {
            return None;
        }
        self.root.abort(&mut open.call);
        open.ended = true;
        Some(open.op)
    }

    /// Something says that the Server of a call cannot be reached.
    pub(super) fn unreachable(&mut self, first: Transaction, who: Unreachable) -> Option<Step> {
        let index = self.index(first)?;
        Some(self.calls[index].call.unreachable(&mut self.root, who))
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Operations that are under way or planned.
    pub fn pending(&self) -> impl Iterator<Item = OpId> + '_ {
        let open = self.calls.iter().filter(|open| !open.ended);
        open.map(|open| open.op).chain(self.script.iter().copied())
    }
}

/// Where a step of a call came from.
#[derive(Clone, Copy)]
pub(in crate::host) struct From<'a> {
    pub(in crate::host) reply: usize,
    pub(in crate::host) packet: Option<(&'a Header, &'a [u8])>,
    pub(in crate::host) peer: Peer,
}

impl From<'_> {
    pub(in crate::host) const TIMER: From<'static> = From {
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
            let may = endpoint.root.may_start(wants.streamed) && open < endpoint.window.max(1);
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
            None => (self.place(wanted.server), Found::Guessed),
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
            (wants.group_response, Control::MDG),
        ] {
            flags |= if wanted { flag } else { 0 };
        }
        let mut request = Request {
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
        if self.config.numbers {
            let numbers = cx.timing.numbers;
            request.flags |= endpoint.sequence.flags(&endpoint.root, &request, numbers);
        }
        // The common case first, as a host does.
        let mut alone = Call::NONE;
        let (limit, streaming) = (data_limit(env), cx.policy.streaming);
        let packet = if self.config.numbers {
            None
        } else {
            let root = &mut endpoint.root;
            root.start_single(&mut alone, &request, limit, &cx.timing, streaming, cx.now)
        };
        let started = match packet {
            Some(_) => Ok((alone, Step::NOTHING)),
            None => endpoint.root.start(&request, &cx),
        };
        let (call, step) = match started {
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
        endpoint.sequence.sent(self.received);
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
        let segment = Rc::new(segment);
        endpoint.calls.push_back(Open {
            op,
            call,
            segment: Rc::clone(&segment),
            answers: vec![Answer::new()],
            armed: Time::NEVER,
            ended: wants.datagram,
        });
        if let Some(packet) = packet {
            self.send_packet(env, packet, &segment, peer, Span::ZERO);
        }
        self.client_step(env, client, first, step, From::TIMER);
        true
    }

    /// A new operation of an entity of this host, before all others.
    pub(super) fn nested_call(&mut self, env: &mut Env, entity: Entity, op: OpId) {
        if let Some(endpoint) = self.endpoints.get_mut(&entity) {
            endpoint.script.push_back(op);
        }
        self.user(env, entity);
    }
}
