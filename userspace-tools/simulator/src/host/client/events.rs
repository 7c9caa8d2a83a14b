// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What reaches a call: its timers, Response packets, Notify operations, and what Probes found.

use vmtp_proto::client::{
    no_room, stray, Event as What, Heard, Keep, ReplyState, State, Step, Stray,
};
use vmtp_proto::path::GroupFate;
use vmtp_proto::peer::Peer;
use vmtp_proto::server::Source;
use vmtp_proto::time::Time;
use vmtp_proto::wire::{Entity, Header, NotifyVmtpClient, Transaction};

use super::{Answer, From, Open};
use crate::env::Env;
use crate::host::Host;

impl Host {
    /// A call's deadline may have passed.
    pub(crate) fn call_timer(&mut self, env: &mut Env, client: Entity, first: Transaction) {
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
    pub(crate) fn reply_timer(
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
    pub(crate) fn response(&mut self, env: &mut Env, header: &Header, data: &[u8], source: Source) {
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
        let matching = endpoint.find(|open| open.call.expects(header.transaction));
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
                None => {
                    self.notify_server(env, Some(no_room(header)), source.peer);
                    return;
                }
            }
        } else {
            0
        };
        let wants = env.oracle.cases[*op].op.wants;
        let waiting = !wants.conditional_response || env.random.bool();
        let first = call.first_transaction();
        let (root, of) = (&mut endpoint.root, &mut answers[reply].reply);
        let single = if self.config.numbers {
            None
        } else {
            call.response_single(root, of, header, source.peer, waiting, cx.now)
        };
        let step = match single {
            Some(single) => Step {
                keep: Keep::Restart,
                round_trip: single.round_trip,
                received: Some(GroupFate::Clean),
                event: What::Response(single.delivery),
                ..Step::NOTHING
            },
            None => call.response(root, of, header, source.peer, waiting, &cx),
        };
        if !matches!(step.keep, Keep::Drop(_)) {
            self.cache
                .insert_within(header.server, source.peer, self.config.hosts);
        }
        let from = From {
            reply,
            packet: Some((header, data)),
            peer: source.peer,
        };
        self.client_step(env, client, first, step, from);
    }

    /// NotifyVmtpClient for a Client of this host arrives.
    pub(crate) fn client_notified(
        &mut self,
        env: &mut Env,
        notify: &NotifyVmtpClient,
        source: &Source,
    ) {
        let client = notify.client;
        if let Some(heard) = Heard::in_notify(notify).filter(|_| self.config.numbers) {
            self.path(env, source.peer).numbered(heard);
        }
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
        endpoint.sequence.notified(&open.call, notify);
        let step = open.call.notify(&mut endpoint.root, notify, &cx);
        let from = From {
            peer: source.peer,
            ..From::TIMER
        };
        self.client_step(env, client, first, step, from);
        self.release_held(env, client);
    }

    /// The Server's host was found, or was not.
    pub(crate) fn call_located(
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
    pub(crate) fn takes_forwarded(&mut self, header: &Header) -> bool {
        self.endpoints
            .get_mut(&header.client)
            .is_some_and(|endpoint| {
                let mut calls = endpoint.calls.iter_mut();
                calls.any(|open| open.call.takes_forwarded(header))
            })
    }
}
