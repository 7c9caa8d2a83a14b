// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What no host should do and some do: Notify operations about what never happened, ICMP about hosts
//! that are there, timers that fire early, users who ask for what cannot be, and records written out
//! and read back. A transaction may fail by it; no Request may be executed twice, and nothing altered.

use vmtp_proto::client::{Drop, Found, Keep, Request, StartError, Unreachable};
use vmtp_proto::peer::Peer;
use vmtp_proto::server::{Forward, ForwardError, Remote, Respond, RespondError, Source, State};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{
    Code, Control, Entity, Header, Mask, Mcb, NotifyVmtpClient, NotifyVmtpServer, Priority,
    ResponseCode, Transaction, GROUP_OCTETS, MESSAGE_OCTETS_MAX,
};

use super::client::From;
use super::server::Key;
use super::{Endpoint, Host};
use crate::env::Env;
use crate::network::Network;
use crate::oracle::Outcome;

/// Codes that a forged Notify has: those of Appendix I, and some beyond.
const CODES: u32 = 28;

impl Host {
    /// One of these, to something of this host.
    pub fn odd(&mut self, env: &mut Env) {
        match env.random.u8(..8) {
            0 => self.early_timers(env),
            1 if env.random.u8(..4) == 0 => self.given_up(env),
            1 => self.unreachable(env),
            2 | 3 => self.client_told_lies(env),
            4 | 5 => self.server_told_lies(env),
            6 => self.written_and_read(env),
            _ => self.impossible_wishes(env),
        }
    }

    fn some_call(&self, env: &mut Env) -> Option<(Entity, Transaction)> {
        let clients: Vec<Entity> = self.clients().collect();
        let client = *env.random.choice(&clients)?;
        let calls = self.endpoint(client)?.transactions();
        Some((client, *env.random.choice(&calls)?))
    }

    /// A call that waits for its Response, else any.
    fn waiting_call(&self, env: &mut Env) -> Option<(Entity, Transaction)> {
        let any = self.some_call(env)?;
        let waiting = |client: &Entity| Some((*client, self.endpoint(*client)?.waiting()?));
        self.clients()
            .find_map(|client| waiting(&client))
            .or(Some(any))
    }

    fn some_record(&self, env: &mut Env) -> Option<Key> {
        let keys: Vec<Key> = self.records.iter().map(|(key, _)| *key).collect();
        env.random.choice(&keys).copied()
    }

    /// A record in this state, else any.
    fn record_in(&self, env: &mut Env, state: State) -> Option<Key> {
        let any = self.some_record(env)?;
        let mut records = self.records.iter();
        let wanted = records.find(|(_, record)| record.remote.state() == state);
        Some(wanted.map_or(any, |(key, _)| *key))
    }

    /// Every timer of a call or record, before it is due.
    fn early_timers(&mut self, env: &mut Env) {
        if let Some((client, first)) = self.some_call(env) {
            let cx = self.context(env, Peer::NONE);
            let steps = self.endpoint_mut(client).and_then(|e| e.early(first, &cx));
            // The second is of the first reply's timer, which may be due.
            for step in steps.into_iter().flatten() {
                self.client_step(env, client, first, step, From::TIMER);
            }
        }
        if let Some(key) = self.some_record(env) {
            let cx = self.context(env, Peer::NONE);
            let room = self.has_room(key);
            if let Some(record) = self.records.get_mut(&key) {
                let step = record.remote.timeout(room, &cx);
                self.server_step(env, key, step, None);
            }
        }
        if env.random.u8(..8) == 0 {
            let Some(key) = self.some_record(env) else {
                return;
            };
            let cx = self.context(env, Peer::NONE);
            if let Some(record) = self.records.get_mut(&key) {
                let step = record.remote.forward_failed(&cx);
                self.server_step(env, key, step, None);
            }
        }
    }

    fn given_up(&mut self, env: &mut Env) {
        let Some((client, first)) = self.some_call(env) else {
            return;
        };
        let op = self.endpoint_mut(client).and_then(|e| e.give_up(first));
        if let Some(op) = op {
            let code = ResponseCode::UserTimeout;
            let (now, failed) = (env.now, Outcome::Failed(code));
            env.oracle.ended(op, failed, now, &mut env.counts);
            self.call_ended(env, client, op, Some(code));
        }
    }

    fn unreachable(&mut self, env: &mut Env) {
        let Some((client, first)) = self.waiting_call(env) else {
            return;
        };
        if env.random.u8(..4) == 0 {
            // Nobody answered the Probe.
            self.call_located(env, client, first, None);
        }
        let all = [
            Unreachable::Protocol,
            Unreachable::Host,
            Unreachable::Host,
            Unreachable::Hearsay,
        ];
        let who = all[env.random.usize(..all.len())];
        let step = self
            .endpoint_mut(client)
            .and_then(|endpoint| endpoint.unreachable(first, who));
        if let Some(step) = step {
            self.client_step(env, client, first, step, From::TIMER);
        }
    }

    fn liar(&self, env: &mut Env) -> Source {
        Source {
            peer: Network::peer(env.random.usize(..env.network.side.len())),
            multicast: env.random.u8(..4) == 0,
        }
    }

    fn client_told_lies(&mut self, env: &mut Env) {
        let Some((client, first)) = self.some_call(env) else {
            return;
        };
        let notify = NotifyVmtpClient {
            client,
            control: Control::default()
                .with(Control::RESPONSE)
                .with_pg_count(env.random.u8(..2))
                .with_retransmit_count(env.random.u8(..3))
                .with_forward_count(env.random.u8(..3)),
            receive_sequence: 0,
            transaction: near(env, first),
            delivery: some_mask(env),
            code: Code::from_bits(env.random.u32(..CODES)),
        };
        let source = self.liar(env);
        self.client_notified(env, &notify, &source);
        self.forwarder_told_lies(env, notify);
    }

    fn forwarder_told_lies(&mut self, env: &mut Env, notify: NotifyVmtpClient) {
        let Some(key) = self.record_in(env, State::Forwarded) else {
            return;
        };
        let cx = self.context(env, Peer::NONE);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let passed_on = record.remote.forward_count().saturating_add(1);
        let about = NotifyVmtpClient {
            client: key.0,
            control: notify.control.with_forward_count(passed_on),
            transaction: record.remote.transaction(),
            ..notify
        };
        let other = NotifyVmtpClient {
            client: self.manager,
            ..about
        };
        let before = record.remote;
        let step = record.remote.forward_notified(&other, &cx);
        if record.remote != before || !matches!(step.keep, Keep::Drop(Drop::Unwanted)) {
            env.oracle
                .fail("a Notify about the Request of another is taken");
        }
        if env.random.bool() {
            self.forward_notified(env, &about);
        } else {
            let transaction = near(env, about.transaction);
            let near = NotifyVmtpClient {
                transaction,
                ..notify
            };
            self.forward_notified(env, &near);
        }
    }

    fn server_told_lies(&mut self, env: &mut Env) {
        let Some(key) = self.some_record(env) else {
            return;
        };
        let about = self.records.get(&key).map(|r| r.remote.transaction());
        let Some(about) = about else {
            return;
        };
        let notify = NotifyVmtpServer {
            server: key.1,
            client: key.0,
            transaction: near(env, about),
            delivery: some_mask(env),
            code: Code::from_bits(env.random.u32(..CODES)),
        };
        let source = self.liar(env);
        // Now and then the same question over and over, with more or less of an answer in it.
        let times = if env.random.u8(..4) == 0 { 8 } else { 1 };
        for _ in 0..times {
            let delivery = if times == 1 {
                notify.delivery
            } else {
                some_mask(env)
            };
            let notify = NotifyVmtpServer { delivery, ..notify };
            self.server_notified(env, &notify, &source);
        }
        let other = NotifyVmtpServer {
            client: self.manager,
            ..notify
        };
        let others = self.records.get(&key);
        if others.is_some_and(|r| r.remote.is_notified_by(&other)) {
            env.oracle.fail("a Notify is about the record of another");
        }
        // Nor does a record take the Response to the Request of another Client.
        let response = Header {
            client: self.manager,
            server: self.manager,
            transaction: about,
            ..Header::default()
        };
        let mut multicast = self.records.values().filter(|r| r.remote.group().is_some());
        if multicast.any(|r| r.remote.accepts_group_response(&response, true)) {
            env.oracle.fail("a group Response to another was taken");
        }
    }

    /// The image of a record is read back to the same; a damaged one is refused or is another.
    fn written_and_read(&mut self, env: &mut Env) {
        let Some(key) = self.some_record(env) else {
            return;
        };
        let cx = self.context(env, Peer::NONE);
        let Some(record) = self.records.get(&key) else {
            return;
        };
        let peer = record.remote.peer();
        let mut image = record.remote.snapshot();
        match Remote::restore(&image, peer, true, &cx) {
            Some(read) if read.snapshot() == image && read.client() == key.0 => {}
            Some(_) | None => env.oracle.fail("a record is not what was written"),
        }
        let _ = Remote::restore(&image, peer, false, &cx);
        match env.random.u8(..4) {
            0 => image[..8].fill(0),
            1 => image[8..16].fill(0),
            2 => image[16] ^= 1,
            _ => image[env.random.usize(..96)] ^= 1 << env.random.u8(..8),
        }
        let _ = Remote::restore(&image, peer, false, &cx);
    }

    /// What is refused changes nothing.
    fn impossible_wishes(&mut self, env: &mut Env) {
        let cx = self.context(env, Peer::NONE);
        if let Some((client, _)) = self.some_call(env) {
            let refused = self.endpoint(client).map(|e| e.impossible(&cx));
            if refused == Some(false) {
                env.oracle.fail("a transaction that cannot be was started");
            }
        }
        let Some(key) = self.some_record(env) else {
            return;
        };
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let before = record.remote;
        let remote = &mut record.remote;
        let now = remote.transaction();
        let mut refused = remote.abandon(now.next(), &cx) == Err(RespondError::NoRequest);
        for (mcb, transaction) in [
            (mcb(0, 100), now.next()),
            (mcb(0, MESSAGE_OCTETS_MAX + 1), now),
            (mcb(Code::MDM, GROUP_OCTETS + 1), now),
        ] {
            let respond = Respond {
                mcb,
                flags: 0,
                hco: false,
                priority: None,
                earlier: 0,
            };
            refused &= remote.respond(transaction, &respond, &cx).is_err();
        }
        for (octets, transaction) in [(100, now.next()), (GROUP_OCTETS + 1, now)] {
            let forward = Forward {
                server: key.1,
                mcb: mcb(0, octets),
                flags: 0,
                hco: false,
            };
            let error = remote.forward(transaction, &forward, &cx).err();
            refused &= matches!(error, Some(ForwardError::NoRequest | ForwardError::Nested));
        }
        if !refused || *remote != before {
            env.oracle.fail("what cannot be was done");
        }
    }
}

impl Endpoint {
    /// Whether what cannot be started is refused, and changes nothing.
    fn impossible(&self, cx: &vmtp_proto::context::Context) -> bool {
        let mut root = *self.root();
        let request = Request {
            server: root.entity(),
            peer: Peer::NONE,
            found: Found::Guessed,
            multicast: false,
            mcb: mcb(0, MESSAGE_OCTETS_MAX + 1),
            flags: 0,
            large_response: false,
            hco: false,
            priority: Priority::NORMAL,
            limit: Time::NEVER,
            streamed: true,
            more: true,
        };
        let mut refused = root.start(&request, cx).err() == Some(StartError::TooLarge);
        let masked = Request {
            mcb: mcb(Code::MDM, GROUP_OCTETS + 1),
            ..request
        };
        refused &= root.start(&masked, cx).err() == Some(StartError::TooLarge);
        refused &= root == *self.root();
        // As many as a run takes, and one more.
        let member = Request {
            mcb: mcb(0, 0),
            ..request
        };
        while root.may_start(true) {
            refused &= root.start(&member, cx).is_ok();
        }
        refused && root.start(&member, cx).is_err()
    }
}

/// A Transaction not far from another.
fn near(env: &mut Env, of: Transaction) -> Transaction {
    let distances = [0, 0, 0, 0, 1, 2, 255, 256, 257];
    let by = distances[env.random.usize(..distances.len())];
    if env.random.bool() {
        of.plus(by)
    } else {
        of.minus(by)
    }
}

fn some_mask(env: &mut Env) -> Mask {
    match env.random.u8(..4) {
        0 => Mask::EMPTY,
        1 => Mask::ALL,
        2 => Mask::from_bits(1),
        _ => Mask::from_bits(env.random.u32(..)),
    }
}

fn mcb(flags: u32, octets: u32) -> Mcb {
    Mcb {
        code: Code::new(flags | if octets == 0 { 0 } else { Code::SDA }, 0),
        segment_size: octets,
        ..Mcb::default()
    }
}
