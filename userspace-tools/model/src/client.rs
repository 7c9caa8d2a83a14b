// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The client's host: its two calls, and what their steps lead to.

use vmtp_proto::client::{
    stray, Call, Delivery, Event, Found, Keep, Reply, Request, State, Step, Stray,
};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{Header, Mcb, NotifyVmtpClient, Priority, ResponseCode, Transaction};
use vmtp_simulator::packet;

use crate::world::{mcb, moment, op_of, segment, server, Outcome, Setup, World, NOW, SERVER_HOST};

/// A transaction that was begun.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Open {
    pub(crate) call: Call,
    pub(crate) reply: Reply,
    data: Vec<u8>,
    mcb: Mcb,
}

impl Setup {
    pub(crate) fn start(&self, world: &mut World) {
        let op = world.open.len();
        let request = Request {
            server: server(),
            peer: SERVER_HOST,
            found: Found::Certain,
            multicast: false,
            mcb: mcb(op, self.calls[op].request),
            flags: 0,
            large_response: false,
            hco: false,
            priority: Priority::NORMAL,
            limit: Time::NEVER,
            streamed: self.run,
            more: self.run && op == 0,
        };
        match world.root.start(&request, &self.context(NOW)) {
            Ok((call, step)) => {
                world.open.push(Open {
                    call,
                    reply: Reply::EMPTY,
                    data: Vec::new(),
                    mcb: Mcb::default(),
                });
                self.client_step(world, op, step, None);
            }
            Err(_) => world.wrong = Some("a transaction cannot be started"),
        }
    }

    fn client_step(
        &self,
        world: &mut World,
        op: usize,
        step: Step,
        packet: Option<(&Header, &[u8])>,
    ) {
        let open = &mut world.open[op];
        if let (Keep::Keep | Keep::Restart, Some((header, data))) = (step.keep, packet) {
            if step.keep == Keep::Restart {
                open.data.clear();
            }
            open.mcb = header.mcb();
            packet::place(header, data, step.group_offset, &mut open.data);
        }
        if let Some(burst) = step.burst {
            self.send(world, burst, &segment(op, false, self.calls[op].request));
        }
        self.notify_server(world, step.notify);
        match step.event {
            Event::None | Event::DoesNotStream => {}
            Event::Response(delivery) => self.delivered(world, op, &delivery),
            Event::Finished(code) => {
                // 4.9: with the timeout of one the whole run is over.
                for other in 0..world.open.len() {
                    let all = code == ResponseCode::RetransTimeout;
                    if other == op || all && world.outcomes[other].is_none() {
                        world.root.failed(&mut world.open[other].call, code);
                        self.ended(world, other, Outcome::Failed(code));
                    }
                }
            }
            Event::Locate => {
                let cx = self.context(NOW);
                let World { root, open, .. } = world;
                let step = open[op].call.located(root, SERVER_HOST, &cx);
                self.client_step(world, op, step, None);
            }
            Event::ResendAfter(after) => self.resend(world, after, false),
            Event::RestartRun => {
                let oldest = world.root.current_transaction();
                self.resend(world, oldest.minus(1), true);
            }
        }
    }

    fn resend(&self, world: &mut World, mut after: Transaction, mut first: bool) {
        for op in 0..world.open.len() {
            if world.outcomes[op].is_some() {
                continue;
            }
            let World { root, open, .. } = world;
            let cx = self.context(NOW);
            let step = open[op].call.resend(root, &mut after, &mut first, &cx);
            self.client_step(world, op, step, None);
        }
    }

    fn delivered(&self, world: &mut World, op: usize, delivery: &Delivery) {
        for earlier in 0..op {
            let World {
                root,
                open,
                outcomes,
                ..
            } = world;
            let call = &mut open[earlier].call;
            if outcomes[earlier].is_none() && call.transaction().since(delivery.covers_from) >= 0 {
                world.wrong = Some("a Response covers a call that the server answered alone");
                root.covered(call);
                return;
            }
        }
        let wanted = self.calls[op].response;
        let open = &world.open[op];
        if delivery.code.is_some() {
            self.ended(world, op, Outcome::Failed(ResponseCode::BadReplySegment));
        } else if op_of(&open.mcb) != Some(op) {
            world.wrong = Some("a Response answers another Request");
        } else if delivery.segment_octets != wanted || open.data != segment(op, true, wanted) {
            world.wrong = Some("a Response was altered");
        } else {
            self.ended(world, op, Outcome::Answered);
        }
    }

    pub(crate) fn call_timer(&self, world: &mut World, op: usize) {
        let World { root, open, .. } = world;
        let call = &mut open[op].call;
        let cx = self.context(moment(call.deadline()));
        let step = call.timeout(root, &cx);
        self.client_step(world, op, step, None);
        self.release(world);
    }

    pub(crate) fn reply_timer(&self, world: &mut World, op: usize) {
        let World { root, open, .. } = world;
        let Open { call, reply, .. } = &mut open[op];
        let cx = self.context(moment(reply.deadline()));
        let step = call.reply_timeout(root, reply, &cx);
        self.client_step(world, op, step, None);
        self.release(world);
    }

    pub(crate) fn response(&self, world: &mut World, header: &Header, data: &[u8]) {
        let expects = |open: &Open| open.call.expects(header.transaction);
        let Some(op) = world.open.iter().position(expects) else {
            let notify = stray(header, Stray::Known, false, true);
            return self.notify_server(world, notify);
        };
        let World { root, open, .. } = world;
        let Open { call, reply, .. } = &mut open[op];
        let step = call.response(root, reply, header, SERVER_HOST, true, &self.context(NOW));
        self.client_step(world, op, step, Some((header, data)));
        self.release(world);
    }

    pub(crate) fn client_notified(&self, world: &mut World, notify: &NotifyVmtpClient) {
        let about = |open: &Open| open.call.is_notified_by(notify);
        let Some(op) = world.open.iter().position(about) else {
            return;
        };
        let World { root, open, .. } = world;
        let step = open[op].call.notify(root, notify, &self.context(NOW));
        self.client_step(world, op, step, None);
        self.release(world);
    }

    /// Held calls of the run go out as far as they may.
    fn release(&self, world: &mut World) {
        for op in 0..world.open.len() {
            let World {
                root,
                open,
                outcomes,
                ..
            } = world;
            let out = open.iter().zip(outcomes.iter());
            let out = out.filter(|(o, end)| end.is_none() && o.call.state() != State::Held);
            let out = out.count() as u16;
            if outcomes[op].is_none() && root.may_send(&open[op].call, out, false) {
                let step = open[op].call.release(root, &self.context(NOW));
                self.client_step(world, op, step, None);
            }
        }
    }

    fn ended(&self, world: &mut World, op: usize, outcome: Outcome) {
        if world.outcomes[op].is_some() {
            world.wrong = Some("a transaction ends twice");
            return;
        }
        world.outcomes[op] = Some(outcome);
        let oldest = (0..world.open.len()).find(|op| world.outcomes[*op].is_none());
        if let Some(oldest) = oldest {
            let World { root, open, .. } = world;
            root.oldest_is(&mut open[oldest].call, &self.context(NOW));
        }
        world.open[op].data = Vec::new();
    }
}
