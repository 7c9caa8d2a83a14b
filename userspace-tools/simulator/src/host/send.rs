// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What leaves a host: packets of a burst, at once or in line, one by one as octets.

use std::rc::Rc;

use vmtp_proto::burst::{Burst, Packet};
use vmtp_proto::line::Line;
use vmtp_proto::peer::Peer;
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Entity, Header, Transaction, OVERHEAD_OCTETS};

use super::{name, show, Host};
use crate::env::{Env, Timer};
use crate::packet;

impl Host {
    /// Sends the packets of a burst to a host or host group: those of several packets stand in
    /// line, if the path keeps a gap.
    pub(super) fn send(
        &mut self,
        env: &mut Env,
        mut burst: Burst,
        segment: &Rc<Vec<u8>>,
        to: Peer,
    ) {
        let pause = self.path(env, to).pause();
        if burst.header().control.retransmit_count() != 0 && !burst.header().is_response() {
            env.counts.retransmissions += 1;
        }
        let address = to.as_inet().unwrap_or_default();
        if burst.blocks_left() > 1 && (pause != Span::ZERO || self.lines.contains_key(&address)) {
            env.counts.paced += 1;
            let queue = self.lines.within(address, usize::MAX, Queue::new);
            match queue.line.join(burst, Rc::clone(segment), env.now) {
                Ok(()) => {
                    self.line_timer(env, address);
                    return;
                }
                Err((back, _)) => burst = back,
            }
        }
        let mut wait = Span::ZERO;
        while let Some(next) = burst.next(data_limit(env)) {
            self.send_packet(env, next, segment, to, wait);
            wait = wait.plus(env.network.packet_time);
        }
    }

    /// What is left of a Response in line for its host leaves no more: its segment.
    pub(super) fn stop_response(
        &mut self,
        to: Peer,
        client: Entity,
        server: Entity,
        transaction: Transaction,
    ) -> Option<Rc<Vec<u8>>> {
        let queue = self.lines.get_mut(&to.as_inet()?)?;
        queue.line.stop_response(client, server, transaction)
    }

    /// The next packets in line for an address may be due.
    pub(super) fn line_timer(&mut self, env: &mut Env, address: [u8; 4]) {
        let to = Peer::inet(address);
        let pause = self.path(env, to).pause();
        let Some(queue) = self.lines.get_mut(&address) else {
            return;
        };
        if queue.armed.has_come(env.now) {
            queue.armed = Time::NEVER;
        }
        let mut due = Vec::new();
        while let Some(turn) = queue.line.turn(env.now, pause, data_limit(env)) {
            due.push(turn);
        }
        let deadline = queue.line.deadline();
        if deadline == Time::NEVER {
            self.lines.remove(&address);
        } else {
            let of = Timer::Line(address);
            env.arm(
                self.number,
                self.incarnation,
                of,
                deadline,
                &mut queue.armed,
            );
        }
        for (packet, segment) in due {
            self.send_packet(env, packet, &segment, to, Span::ZERO);
        }
    }

    pub(super) fn send_packet(
        &mut self,
        env: &mut Env,
        next: Packet,
        segment: &[u8],
        to: Peer,
        wait: Span,
    ) {
        let mut header = next.header;
        header.mpg = matches!(to.as_inet(), Some([224..=239, ..]));
        let group = segment.get(next.group_offset as usize..).unwrap_or(&[]);
        if next.octets != 0 && group.is_empty() {
            let what = show(&header);
            env.oracle.fail(format!(
                "host {} has the segment no more: {what}",
                self.number
            ));
            return;
        }
        let octets = packet::encode(&header, group);
        self.transmit(env, &header, to, &octets, wait);
    }

    pub(super) fn transmit(
        &mut self,
        env: &mut Env,
        header: &Header,
        to: Peer,
        octets: &[u8],
        wait: Span,
    ) {
        env.trace(self.number, || format!("-> {} {}", name(to), show(header)));
        env.transmit(self.number, to, octets, wait);
    }
}

/// Octets of segment data that a packet takes.
pub(super) fn data_limit(env: &Env) -> u32 {
    (env.network.mtu - packet::IP_OCTETS - OVERHEAD_OCTETS) & !7
}

/// What waits to leave for one address.
pub(super) struct Queue {
    line: Line<Rc<Vec<u8>>, 8>,
    armed: Time,
}

impl Queue {
    fn new() -> Queue {
        Queue {
            line: Line::new(),
            armed: Time::NEVER,
        }
    }
}
