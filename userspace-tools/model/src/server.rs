// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The server's host: its record of the Client, the server itself, and what the steps lead to.

use vmtp_proto::client::Keep;
use vmtp_proto::manager;
use vmtp_proto::server::Presence;
use vmtp_proto::server::{
    refuse, Arrival, Event, Refusal, Remote, Respond, Retained, Service, Source, Step, Unsent,
};
use vmtp_proto::wire::{Control, Header, Mcb, NotifyVmtpServer, Transaction};
use vmtp_simulator::packet;

use crate::world::{mcb, moment, op_of, segment, server, Packet, Setup, World, CLIENT_HOST, NOW};

/// The record with what the host keeps for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Record {
    pub(crate) remote: Remote,
    data: Vec<u8>,
    mcb: Mcb,
    /// Requests of the run that wait.
    queue: Vec<(Arrival, usize)>,
    /// Requests that the server has, with their Transactions.
    pub(crate) working: Vec<(Transaction, usize)>,
    /// Whose Response is kept.
    answered: usize,
    retained: Vec<(Retained, usize)>,
    /// The Client's current Transaction, as it told when it was probed.
    current: Option<Transaction>,
}

impl Setup {
    pub(crate) fn request(&self, world: &mut World, header: &Header, data: &[u8], source: &Source) {
        let cx = self.context(NOW);
        if let Some(Record {
            remote, retained, ..
        }) = &mut world.record
        {
            let about = |(kept, _): &&mut (Retained, usize)| {
                kept.transaction().since(header.transaction) >= 0
                    && kept.is_about(header.transaction)
            };
            if let Some((kept, op)) = retained.iter_mut().find(about) {
                let (burst, op) = (kept.repeat(remote, header, &cx), *op);
                if let Some(burst) = burst {
                    self.send(world, burst, &self.response_of(op));
                }
                return;
            }
        }
        if world.record.is_none() {
            if !Remote::may_start(header) {
                let notify = refuse(header, Refusal::NoRunRecord, source);
                if let Some(notify) = notify {
                    self.notify_client(world, manager::notify_client(&notify, false));
                }
                return;
            }
            world.record = Some(Record {
                remote: Remote::new(header, server(), CLIENT_HOST),
                data: Vec::new(),
                mcb: Mcb::default(),
                queue: Vec::new(),
                working: Vec::new(),
                answered: 0,
                retained: Vec::new(),
                current: None,
            });
        }
        let service = Service {
            waiting: true,
            memory: true,
            room: true,
            probe: world.restarts != 0,
        };
        if let Some(record) = &mut world.record {
            let step = record.remote.request(header, source, &service, &cx);
            self.server_step(world, step, Some((header, data)));
        }
    }

    fn response_of(&self, op: usize) -> Vec<u8> {
        segment(op, true, self.calls[op].response)
    }

    fn server_step(&self, world: &mut World, step: Step, packet: Option<(&Header, &[u8])>) {
        let Some(record) = &mut world.record else {
            return;
        };
        if step.aborted {
            record.queue.clear();
        }
        let answered = record.answered;
        if let Some(burst) = step.burst {
            self.send(world, burst, &self.response_of(answered));
        }
        let Some(record) = &mut world.record else {
            return;
        };
        if let Some(retained) = step.retain {
            record.retained.push((retained, answered));
        }
        if step.release_retained {
            record.retained.clear();
        }
        match (step.keep, packet) {
            (Keep::Keep | Keep::Restart, Some((header, data))) => {
                if step.keep == Keep::Restart {
                    record.data.clear();
                }
                record.mcb = header.mcb();
                packet::place(header, data, step.group_offset, &mut record.data);
            }
            (Keep::Restart, None) => record.data.clear(),
            (Keep::Drop(_), _) | (Keep::Keep, None) => {}
        }
        if let Some(mut notify) = step.notify {
            let pg_count = notify.control.pg_count();
            notify.control = Control::default().with_pg_count(pg_count);
            self.notify_client(world, manager::notify_client(&notify, step.notify_remote));
        }
        match step.event {
            Event::None | Event::Ended => {}
            Event::Request(arrival) => self.arrived(world, arrival),
            Event::Probe => {
                self.put(world, Packet::Probe);
            }
            // Nobody moves here.
            Event::Locate => world.wrong = Some("a Client that is here is looked for"),
            Event::Next => {
                let cx = self.context(NOW);
                let Some(record) = &mut world.record else {
                    return;
                };
                if record.queue.is_empty() {
                    world.wrong = Some("the next Request of a run is not there");
                    return;
                }
                let (arrival, op) = record.queue.remove(0);
                let step = record.remote.begin(&arrival, &cx);
                execute(world, arrival.transaction, op);
                self.server_step(world, step, None);
            }
            Event::Expired => world.record = None,
        }
    }

    /// A Request is complete.
    fn arrived(&self, world: &mut World, arrival: Arrival) {
        let Some(record) = &mut world.record else {
            return;
        };
        let data = std::mem::take(&mut record.data);
        let Some(op) = op_of(&record.mcb) else {
            world.wrong = Some("a Request of nobody");
            return;
        };
        let wanted = self.calls[op].request;
        if arrival.segment_octets != wanted || data != segment(op, false, wanted) {
            world.wrong = Some("a Request was altered");
        } else if arrival.queued {
            record.queue.push((arrival, op));
        } else {
            execute(world, arrival.transaction, op);
        }
    }

    pub(crate) fn answer(&self, world: &mut World) {
        let cx = self.context(NOW);
        let Some(record) = &mut world.record else {
            return;
        };
        if record.working.is_empty() {
            return;
        }
        let (transaction, op) = record.working.remove(0);
        let respond = Respond {
            mcb: mcb(op, self.calls[op].response),
            flags: 0,
            hco: false,
            priority: None,
            earlier: 0,
        };
        // One that was aborted meanwhile is refused.
        let Ok(step) = record.remote.respond(transaction, &respond, &cx) else {
            return;
        };
        if step.retain.is_none() {
            record.answered = op;
        }
        self.server_step(world, step, None);
        if cfg!(feature = "planted-double-execution") {
            world.record = None;
        }
    }

    pub(crate) fn record_timer(&self, world: &mut World) {
        if let Some(record) = &mut world.record {
            let cx = self.context(moment(record.remote.deadline()));
            let step = record.remote.timeout(true, &cx);
            self.server_step(world, step, None);
        }
    }

    pub(crate) fn server_notified(&self, world: &mut World, notify: &NotifyVmtpServer) {
        let cx = self.context(NOW);
        let Some(record) = &mut world.record else {
            return;
        };
        let Record {
            remote, retained, ..
        } = record;
        let mut bursts = Vec::new();
        let mut unproven = false;
        retained.retain_mut(|(kept, op)| match kept.notified(remote, notify, &cx) {
            Ok(burst) => {
                bursts.extend(burst.map(|burst| (burst, *op)));
                true
            }
            Err(Unsent::Unproven) => {
                unproven = true;
                true
            }
            Err(Unsent::Finished) => false,
        });
        let about = record.remote.is_notified_by(notify);
        let step = if about {
            Some(record.remote.notified(notify, &cx))
        } else {
            unproven.then(|| {
                let mut step = Step::NOTHING;
                record.remote.doubt(&mut step);
                step
            })
        };
        for (burst, op) in bursts {
            self.send(world, burst, &self.response_of(op));
        }
        if let Some(step) = step {
            self.server_step(world, step, None);
        }
    }

    pub(crate) fn probed(&self, world: &mut World, current: Transaction) {
        let cx = self.context(NOW);
        if let Some(record) = &mut world.record {
            if record.remote.is_probing() {
                record.current = Some(current);
            }
            let step = record.remote.probed(Presence::At(current), true, &cx);
            self.server_step(world, step, None);
        }
    }
}

/// The server has a Request in its hands.
fn execute(world: &mut World, transaction: Transaction, op: usize) {
    // A host that restarted has asked the Client first, for which it was still outstanding.
    let current = world.record.as_ref().and_then(|record| record.current);
    let asked = current.is_some_and(|current| !transaction.is_older_than(current));
    if world.executed[op] != 0 && (world.restarts == 0 || !asked) {
        world.wrong = Some("a Request is executed twice");
    }
    world.executed[op] += 1;
    if let Some(record) = &mut world.record {
        record.working.push((transaction, op));
    }
}
