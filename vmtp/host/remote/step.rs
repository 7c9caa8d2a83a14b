// SPDX-License-Identifier: GPL-2.0

//! What a step of `proto` changes in a record, under its lock. What follows outside the lock is an `Aftermath`.

use super::aftermath::Aftermath;
use super::{Delivered, Inner, Kind, RemoteRecord};
use crate::host::counters::Counter;
use crate::host::kept::keep;
use crate::host::transmit::Manner;
use crate::host::Host;
use crate::kernel::record::Ref;
use crate::kernel::skb::Skb;
use crate::kernel::skb_queue::SkbQueue;
use crate::kernel::trace;
use crate::proto::context::Context;
use crate::proto::server::{Arrival, Event, State, Step};
use crate::proto::time::Time;
use core::sync::atomic::Ordering;

impl Inner {
    /// What is sent from now on is sent like this, from the address that the Client knows.
    pub(super) fn set_manner(&mut self, manner: &Manner) {
        self.manner = Manner {
            source: self.manner.source,
            ..*manner
        };
    }

    /// The surroundings of an event at this moment.
    pub(super) fn context(&self, record: &RemoteRecord) -> Context {
        record
            .host
            .context(Host::now(), self.path.timing(), self.retries)
    }

    /// What its packets occupy now.
    pub(super) fn charge_packets(&mut self) {
        let octets = self.packets.octets().saturating_add(self.rare_octets());
        self.charge.set(octets, !self.remote.is_probing());
    }

    pub(super) fn apply(
        &mut self,
        record: &Ref<RemoteRecord>,
        step: &mut Step,
        skb: Option<Skb>,
        cx: &Context,
    ) -> Aftermath {
        self.number(&record.host, step);
        // What is sent is of the segment that was kept before this event.
        let segment = self.segment.clone();
        if step.aborted {
            while self.take_waiting().is_some() {}
        }
        if step.release_retained {
            self.release_retained();
        }
        if let Some(retained) = step.retain {
            self.retain(retained, cx.policy.run_responses.into());
        }
        if step.release {
            self.segment = None;
        }
        keep(
            &record.host,
            &mut self.packets,
            step.keep,
            step.group_offset,
            skb,
        );
        let mut aftermath = Aftermath {
            burst: step
                .burst
                .map(|burst| (burst, step.to, self.remote.forward_server())),
            segment,
            path: self.path.clone(),
            manner: self.manner,
            notify: step.notify.map(|notify| (notify, step.notify_remote)),
            delivered: None,
            next: false,
            probe: false,
            locate: None,
            ended: false,
            passed_on: self.remote.is_passed_on(),
            expired: false,
            transaction: self.remote.transaction(),
        };
        match step.event {
            Event::None | Event::Ended => {}
            Event::Request(arrival) if arrival.queued => self.enqueue(record, arrival, cx),
            Event::Request(arrival) => {
                let packets = core::mem::take(&mut self.packets);
                self.hand_over(record, arrival, packets, cx, &mut aftermath);
            }
            Event::Next => self.next(record, cx, &mut aftermath),
            Event::Probe => aftermath.probe = true,
            Event::Locate => aftermath.locate = Some(self.remote.sought()),
            Event::Expired => {
                self.gone = true;
                aftermath.expired = true;
            }
        }
        if self.remote.state() != State::Processing || step.aborted {
            self.end_handling(&mut aftermath);
        }
        if !self.remote.holds_packets() {
            self.packets = SkbQueue::new();
        }
        self.show(record);
        self.tidy();
        self.charge_packets();
        aftermath
    }

    /// A complete Request of the run waits behind the one in progress.
    fn enqueue(&mut self, record: &Ref<RemoteRecord>, arrival: Arrival, cx: &Context) {
        let packets = core::mem::take(&mut self.packets);
        if self.add_waiting(arrival, packets).is_err() {
            record.host.count(Counter::DropNoMemory);
            self.remote.superseded(arrival.transaction.next(), cx);
        }
    }

    /// A Request that was received gets its number, and what is told of it tells the number (2.12).
    fn number(&mut self, host: &Host, step: &mut Step) {
        if let Event::Request(_) = step.event {
            if let Some(number) = host.number_received() {
                // Without memory nothing is told of it, as by a host that keeps none.
                let _ = self.rare();
                if let Some(rare) = &mut self.rare {
                    rare.sequence.received(number, &mut self.remote, step);
                }
                return;
            }
        }
        if let (Some(notify), Some(rare)) = (&mut step.notify, &self.rare) {
            rare.sequence.report(notify);
        }
    }

    /// Tells whoever traces of another state.
    #[inline]
    pub(super) fn show(&mut self, record: &Ref<RemoteRecord>) {
        let state = self.remote.state();
        if core::mem::replace(&mut self.shown, state) == state || !trace::is_on() {
            return;
        }
        let name = match state {
            State::AwaitingRequest => "AwaitingRequest",
            State::Processing => "Processing",
            State::Responded => "Responded",
            State::ResponseDiscarded => "ResponseDiscarded",
            State::Forwarded => "Forwarded",
        };
        let transaction = self.remote.transaction().bits();
        let (client, server) = (record.key(), record.server.bits());
        trace::state(false, client, server, transaction, name);
    }

    /// The Client may be elsewhere since the last packet.
    #[inline]
    pub(super) fn follow(&mut self, host: &Host, now: Time) {
        let peer = self.remote.peer();
        if self.path.peer != peer {
            if let Ok(path) = host.path(&peer, now) {
                path.records.fetch_add(1, Ordering::Relaxed);
                self.path.records.fetch_sub(1, Ordering::Relaxed);
                self.path = path;
            }
        }
    }

    fn next(&mut self, record: &Ref<RemoteRecord>, cx: &Context, aftermath: &mut Aftermath) {
        if let Some((arrival, packets)) = self.take_waiting() {
            if let Some(rare) = &mut self.rare {
                rare.sequence.begins(&arrival);
            }
            let mut step = self.remote.begin(&arrival, cx);
            if let Some(retained) = step.retain {
                self.retain(retained, cx.policy.run_responses.into());
            }
            self.number(&record.host, &mut step);
            if let Event::Request(behind) = step.event {
                // One that waited for the Probe of its Client.
                self.enqueue(record, behind, cx);
            }
            self.hand_over(record, arrival, packets, cx, aftermath);
        }
    }

    /// The Request that the server's user has, if it has one, is answered or void.
    fn end_handling(&mut self, aftermath: &mut Aftermath) {
        aftermath.ended |= self.charge.set_in_hand(false);
    }

    fn hand_over(
        &mut self,
        record: &Ref<RemoteRecord>,
        arrival: Arrival,
        packets: SkbQueue,
        cx: &Context,
        aftermath: &mut Aftermath,
    ) {
        self.end_handling(aftermath);
        aftermath.delivered = Some(Delivered {
            record: record.clone(),
            kind: Kind::Request,
            arrival,
            packets,
            offset: 0,
        });
        if arrival.datagram {
            // Nobody waits for its answer: the next of the run is right behind it in the server's queue.
            aftermath.next = self.remote.is_datagram(cx).event == Event::Next;
        }
    }
}
