// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a step of a record leads to: packets and Notifies out, octets kept, Requests handed over.

use std::rc::Rc;

use vmtp_proto::client::Keep;
use vmtp_proto::peer::Peer;
use vmtp_proto::server::{Arrival, Event as What, Step, Stop, To};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{Control, Header, ResponseCode};

use super::{Key, Message};
use crate::env::{Env, Timer};
use crate::host::manager::Purpose;
use crate::host::Host;
use crate::packet;

impl Host {
    /// Carries out a step of a record, its members in their order.
    pub(crate) fn server_step(
        &mut self,
        env: &mut Env,
        key: Key,
        mut step: Step,
        packet: Option<(&Header, &[u8])>,
    ) {
        let (client, server) = key;
        let number = match step.event {
            What::Request(_) => self.number_received(),
            _ => None,
        };
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        if let Some(number) = number {
            record
                .sequence
                .received(number, &mut record.remote, &mut step);
        } else if let Some(notify) = &mut step.notify {
            record.sequence.report(notify);
        }
        if step.aborted {
            env.counts.aborted += 1;
            record.queue.clear();
            if let Some(server) = self.servers.get_mut(&server) {
                server
                    .queue
                    .retain(|message| message.client != client || message.datagram);
            }
        }
        let peer = record.remote.peer();
        let transaction = record.remote.transaction();
        let segment = Rc::clone(&record.segment);
        let group = match (step.to, record.remote.group()) {
            (To::Group | To::GroupAndPeer, Some(group)) => group.host_group(),
            _ => None,
        };
        let to = match step.to {
            To::Peer | To::GroupAndPeer => peer,
            To::ForwardServer => record.forwarded_to,
            To::Client => self.guess(client),
            To::Group => Peer::NONE,
        };
        let mut nothing_left = false;
        if step.stop != Stop::No {
            let left = self.stop_response(peer, client, server, transaction);
            env.counts.stopped += u64::from(left.is_some());
            if let (Stop::Keep, Some(record)) = (step.stop, self.records.get_mut(&key)) {
                match left {
                    Some(rest) => record.segment = rest,
                    None => nothing_left = true,
                }
            }
        }
        if let Some(burst) = step.burst {
            if let Some(address) = group {
                self.send(env, burst, &segment, Peer::inet(address));
            }
            if to.is_known() {
                self.send(env, burst, &segment, to);
            }
        }
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        if let Some(retained) = step.retain {
            let segment = std::mem::take(&mut record.segment);
            record.retained.push_back((retained, segment));
            let limit = usize::from(self.config.policy.run_responses);
            while record.retained.len() > limit {
                record.retained.pop_front();
            }
        }
        if step.release_retained {
            record.retained.clear();
            record.batched = 0;
        }
        match (step.keep, packet) {
            (Keep::Keep | Keep::Restart, Some((header, data))) => {
                if step.keep == Keep::Restart {
                    record.data = Vec::new();
                }
                record.mcb = header.mcb();
                packet::place(header, data, step.group_offset, &mut record.data);
            }
            (Keep::Restart, None) => record.data = Vec::new(),
            (Keep::Drop(_), _) | (Keep::Keep, None) => {}
        }
        if step.release {
            record.segment = Rc::default();
        }
        if let (Some(notify), Some(_)) = (&step.notify, packet) {
            // What brings something new is acknowledged only if it asks for that (2.13).
            let new = !matches!(step.keep, Keep::Drop(_));
            let ok = notify.code.bits() == ResponseCode::Ok.bits();
            let numbered = notify.control.has(Control::NRS);
            if ok && new && !record.asked && !numbered {
                let t = notify.transaction.bits();
                env.oracle
                    .fail(format!("T{t:08x} acknowledged although nobody asked"));
            }
        }
        if let (Keep::Drop(reason), Some(_)) = (step.keep, packet) {
            self.dropped(env, reason);
        }
        self.notify_client(env, step.notify, step.notify_remote, peer);
        self.learn(
            env,
            peer,
            step.round_trip,
            step.interpacket,
            step.sent,
            step.received,
        );
        match step.event {
            What::None => {}
            What::Request(arrival) => self.arrived(env, key, arrival),
            What::Probe => {
                let forwarded = self
                    .records
                    .get(&key)
                    .is_some_and(|r| r.remote.forward_count() != 0);
                let direct = packet.is_none_or(|(h, _)| h.control.forward_count() == 0);
                let at = if forwarded || !direct {
                    self.guess(client)
                } else {
                    peer
                };
                self.search(env, client, at, Purpose::Client(client, server));
            }
            What::Locate if nothing_left => self.record_located(env, key, None),
            What::Locate => {
                let sought = self.records.get(&key).map(|r| r.remote.sought());
                if let Some(sought) = sought {
                    self.search_everywhere(env, sought, Purpose::Record(client, server));
                }
            }
            What::Next => self.next_of_run(env, key),
            What::Ended => {
                env.trace(self.number, || format!("   {server}: orphan of {client}"));
            }
            What::Expired => {
                self.records.remove(&key);
            }
        }
        self.arm_record(env, key);
    }

    pub(super) fn arm_record(&mut self, env: &mut Env, key: Key) {
        let (number, incarnation) = (self.number, self.incarnation);
        let policy = self.config.policy;
        if let Some(record) = self.records.get_mut(&key) {
            let of = Timer::Record(key.0, key.1);
            let deadline = record.remote.deadline();
            env.arm(number, incarnation, of, deadline, &mut record.armed);
            if record.queue.len() > usize::from(policy.run_queue) {
                let length = record.queue.len();
                env.oracle.fail(format!("{length} Requests of a run wait"));
            }
        }
    }

    /// A record's deadline may have passed.
    pub(crate) fn record_timer(&mut self, env: &mut Env, key: Key) {
        let Some(peer) = self.records.get(&key).map(|r| r.remote.peer()) else {
            return;
        };
        let cx = self.context(env, peer);
        let room = self.has_room(key);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        record.armed = Time::NEVER;
        if record.remote.deadline().has_come(env.now) {
            let step = record.remote.timeout(room, &cx);
            self.server_step(env, key, step, None);
        } else {
            self.arm_record(env, key);
        }
    }

    /// The Client of a record that has moved, or the server of its forwarded Request, was found, or not.
    pub(crate) fn record_located(&mut self, env: &mut Env, key: Key, peer: Option<Peer>) {
        let cx = self.context(env, peer.unwrap_or(Peer::NONE));
        if let Some(record) = self.records.get_mut(&key) {
            let step = record.remote.located(peer, &cx);
            if let (To::ForwardServer, Some(peer)) = (step.to, peer) {
                record.forwarded_to = peer;
            }
            self.server_step(env, key, step, None);
        }
    }

    /// A Request is complete.
    fn arrived(&mut self, env: &mut Env, key: Key, arrival: Arrival) {
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        record.asked = false;
        let mut data = std::mem::take(&mut record.data);
        data.resize(arrival.segment_octets as usize, 0);
        let mut mcb = record.mcb;
        if let Some(mask) = arrival.message_delivery {
            mcb.message_delivery = mask.bits();
        }
        let Some(op) = env.oracle.of_request(&mcb) else {
            env.oracle
                .fail(format!("{} has a Request of nobody", key.1));
            return;
        };
        if let Some(reception) = arrival.reception {
            env.oracle.numbered(op, key.1, reception.number);
        }
        let message = Message {
            client: key.0,
            transaction: arrival.transaction,
            mcb,
            data: Rc::new(data),
            op,
            datagram: arrival.datagram,
        };
        if arrival.queued {
            record.queue.push_back((arrival, message));
        } else {
            self.hand(env, key, message);
        }
    }

    /// The next Request of the run.
    fn next_of_run(&mut self, env: &mut Env, key: Key) {
        let Some(peer) = self.records.get(&key).map(|r| r.remote.peer()) else {
            return;
        };
        let cx = self.context(env, peer);
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let Some((arrival, message)) = record.queue.pop_front() else {
            env.oracle.fail("the next Request of a run is not there");
            return;
        };
        record.sequence.begins(&arrival);
        let step = record.remote.begin(&arrival, &cx);
        self.server_step(env, key, step, None);
        self.hand(env, key, message);
    }

    /// A Request goes to the server's queue.
    fn hand(&mut self, env: &mut Env, key: Key, message: Message) {
        let datagram = message.datagram;
        if let Some(server) = self.servers.get_mut(&key.1) {
            server.queue.push_back(message);
        }
        if datagram {
            let cx = self.context(env, Peer::NONE);
            if let Some(record) = self.records.get_mut(&key) {
                let step = record.remote.is_datagram(&cx);
                self.server_step(env, key, step, None);
            }
        }
        self.work(env, key.1);
    }
}
