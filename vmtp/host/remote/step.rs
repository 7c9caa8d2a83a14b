// SPDX-License-Identifier: GPL-2.0

//! What a step of `proto` changes in a record, under its lock. What follows outside the lock is an `Aftermath`.

use super::aftermath::Aftermath;
use super::{Delivered, Inner, RemoteRecord};
use crate::host::counters::Counter;
use crate::host::kept::keep;
use crate::host::transmit::Manner;
use crate::host::{Host, ATOMIC};
use crate::kernel::record::Ref;
use crate::kernel::skb::Skb;
use crate::kernel::skb_queue::SkbQueue;
use crate::kernel::trace;
use crate::proto::context::Context;
use crate::proto::server::{Arrival, Event, State, Step, Stop};

impl Inner {
    /// The surroundings of an event at this moment.
    pub(super) fn context(&self, record: &RemoteRecord) -> Context {
        record
            .host
            .context(Host::now(), self.path.timing(), self.retries)
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
            while self.waiting.pop_front().is_some() {}
            self.waiting_octets = 0;
        }
        if step.release_retained {
            while self.retained.pop_front().is_some() {}
        }
        if let Some(retained) = step.retain {
            let kept = (retained, self.segment.take());
            if self.retained.len() >= usize::from(cx.policy.run_responses) {
                self.retained.pop_front();
            }
            // Without memory the Response is one that was discarded.
            let _ = self.retained.push_back(kept, ATOMIC);
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
            // Nothing stands in line here: there is nothing to restart.
            burst: step
                .burst
                .filter(|_| step.stop != Stop::Restart)
                .map(|burst| (burst, step.to, self.remote.forward_server())),
            segment,
            path: self.path.clone(),
            manner: Manner {
                source: self.local,
                ..self.manner
            },
            notify: step.notify.map(|notify| (notify, step.notify_remote)),
            delivered: None,
            probe: false,
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
            Event::Expired => {
                self.gone = true;
                aftermath.expired = true;
            }
        }
        if !self.remote.holds_packets() {
            self.packets = SkbQueue::new();
        }
        let state = self.remote.state();
        if state != self.shown {
            self.shown = state;
            let name = match state {
                State::AwaitingRequest => "AwaitingRequest",
                State::Processing => "Processing",
                State::Responded => "Responded",
                State::ResponseDiscarded => "ResponseDiscarded",
                State::Forwarded => "Forwarded",
            };
            let transaction = self.remote.transaction().bits();
            trace::state(
                false,
                record.client.bits(),
                record.server.bits(),
                transaction,
                name,
            );
        }
        let octets = self.packets.octets().wrapping_add(self.waiting_octets);
        self.charge.set(octets, !self.remote.is_probing());
        aftermath
    }

    /// A complete Request of the run waits behind the one in progress.
    fn enqueue(&mut self, record: &Ref<RemoteRecord>, arrival: Arrival, cx: &Context) {
        let packets = core::mem::take(&mut self.packets);
        self.waiting_octets = self.waiting_octets.wrapping_add(packets.octets());
        if self.waiting.push_back((arrival, packets), ATOMIC).is_err() {
            record.host.count(Counter::DropNoMemory);
            self.remote.superseded(arrival.transaction.next(), cx);
        }
    }

    /// A Request that was received gets its number, and what is told of it tells the number (2.12).
    fn number(&mut self, host: &Host, step: &mut Step) {
        if let Event::Request(_) = step.event {
            if let Some(number) = host.number_received() {
                self.sequence.received(number, &self.remote, step);
                return;
            }
        }
        if let Some(notify) = &mut step.notify {
            self.sequence.report(notify);
        }
    }

    fn next(&mut self, record: &Ref<RemoteRecord>, cx: &Context, aftermath: &mut Aftermath) {
        if let Some((arrival, packets)) = self.waiting.pop_front() {
            self.waiting_octets = self.waiting_octets.saturating_sub(packets.octets());
            self.sequence.begins(&arrival);
            let mut step = self.remote.begin(&arrival, cx);
            if let Some(retained) = step.retain {
                let _ = self
                    .retained
                    .push_back((retained, self.segment.take()), ATOMIC);
            }
            self.number(&record.host, &mut step);
            if let Event::Request(behind) = step.event {
                // One that waited for the Probe of its Client.
                self.enqueue(record, behind, cx);
            }
            self.hand_over(record, arrival, packets, cx, aftermath);
        }
    }

    fn hand_over(
        &mut self,
        record: &Ref<RemoteRecord>,
        arrival: Arrival,
        packets: SkbQueue,
        cx: &Context,
        aftermath: &mut Aftermath,
    ) {
        aftermath.delivered = Some(Delivered {
            record: record.clone(),
            arrival,
            packets,
            offset: 0,
        });
        if arrival.datagram {
            // The next of the run follows when the user has taken this one; order is kept by the socket's queue.
            let _ = self.remote.is_datagram(cx);
        }
    }
}
