// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What surrounds the hosts: clock, queue of events, network, random numbers, trace and oracle.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use vmtp_proto::peer::Peer;
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Entity, Transaction};

use crate::counts::Counts;
use crate::network::Network;
use crate::oracle::Oracle;

/// Something that is going to happen.
#[derive(Debug)]
pub enum Event {
    /// A packet arrives.
    Packet {
        /// The receiving host.
        to: usize,
        /// Where it came from.
        from: Peer,
        /// It was sent to a host group.
        multicast: bool,
        /// Its octets after the IP header.
        octets: Box<[u8]>,
    },
    /// A deadline of a host's may have passed.
    Timer {
        /// The host.
        host: usize,
        /// The restart after which it was armed.
        incarnation: u32,
        /// Whose deadline.
        of: Timer,
    },
    /// A server is done with a Request.
    Served {
        /// The host.
        host: usize,
        /// The restart after which it began.
        incarnation: u32,
        /// The server.
        server: Entity,
        /// The Client.
        client: Entity,
        /// The Request.
        transaction: Transaction,
    },
    /// A user goes on.
    User {
        /// The host.
        host: usize,
        /// The user's entity.
        client: Entity,
    },
    /// The network or a host is struck.
    Strike(Strike),
}

/// A fault that strikes hosts rather than packets.
#[derive(Clone, Copy, Debug)]
pub enum Strike {
    /// A host restarts and knows nothing any more.
    Restart(usize),
    /// A host that has passed on a Request whose Client still waits dies: it restarts, or nobody hears it for a while.
    /// If there is none it is looked for again, so often at most.
    Forwarder(u32),
    /// These hosts are cut off from the others, one bit a host (modulo 64).
    Cut(u64),
    /// All hosts see each other again.
    Heal,
    /// A server moves to another host.
    Migrate {
        /// The server.
        server: Entity,
        /// The host it moves to.
        to: usize,
    },
    /// The network gets this share of losses.
    Loss(u8),
}

/// Whose deadline a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// A call, by its Client and first Transaction.
    Call(Entity, Transaction),
    /// A reply to a call.
    Reply(Entity, Transaction, usize),
    /// A server's record, by Client and Server.
    Record(Entity, Entity),
    /// A Probe of the manager's.
    Probe(Transaction),
    /// What stands in line for an address.
    Line([u8; 4]),
}

struct Entry {
    at: Time,
    order: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// The last lines of what happened.
struct Trace {
    lines: VecDeque<String>,
    limit: usize,
}

/// The surroundings of the hosts.
pub struct Env {
    /// Now.
    pub now: Time,
    /// The only source of chance.
    pub random: fastrand::Rng,
    /// The network.
    pub network: Network,
    /// What ought to happen.
    pub oracle: Oracle,
    /// What happened.
    pub counts: Counts,
    /// How late a timer of a host may be.
    pub lateness: Span,
    queue: BinaryHeap<Reverse<Entry>>,
    order: u64,
    trace: Option<Trace>,
}

impl Env {
    /// At the start: the clock stands at one second, so that no point in time is zero.
    pub fn new(seed: u64, network: Network, oracle: Oracle) -> Env {
        Env {
            now: Time::from_nanos(1_000_000_000),
            random: fastrand::Rng::with_seed(seed),
            network,
            oracle,
            counts: Counts::default(),
            lateness: Span::ZERO,
            queue: BinaryHeap::new(),
            order: 0,
            trace: None,
        }
    }

    /// Records a trace from now on, of which the last `limit` lines are kept.
    pub fn start_trace(&mut self, limit: usize) {
        self.trace = Some(Trace {
            lines: VecDeque::new(),
            limit,
        });
    }

    /// The trace so far.
    pub fn take_trace(&mut self) -> String {
        let lines = self.trace.take().map(|trace| trace.lines);
        lines.into_iter().flatten().collect()
    }

    /// A line of the trace, which is made only if there is one.
    pub fn trace(&mut self, host: usize, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let micros = self.now.nanos() / 1_000;
            if trace.lines.len() >= trace.limit {
                trace.lines.pop_front();
            }
            trace.lines.push_back(format!(
                "{:>6}.{:06} host {host:<3} {}\n",
                micros / 1_000_000,
                micros % 1_000_000,
                line()
            ));
        }
    }

    /// Something is to happen then.
    pub fn at(&mut self, at: Time, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Entry {
            at: if at < self.now { self.now } else { at },
            order: self.order,
            event,
        }));
    }

    /// Something is to happen so much later.
    pub fn after(&mut self, span: Span, event: Event) {
        self.at(self.now.plus(span), event);
    }

    /// A timer for a deadline, unless one is armed for no later.
    pub fn arm(
        &mut self,
        host: usize,
        incarnation: u32,
        of: Timer,
        deadline: Time,
        armed: &mut Time,
    ) {
        if deadline < *armed {
            *armed = deadline;
            let event = Event::Timer {
                host,
                incarnation,
                of,
            };
            let late = self.below(self.lateness);
            if late != Span::ZERO {
                self.counts.fault_late_timer += 1;
            }
            self.at(deadline.plus(late), event);
        }
    }

    /// Events that are waiting.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The next event, if it is due before `until`.
    pub fn next_before(&mut self, until: Time) -> Option<Event> {
        let Reverse(first) = self.queue.peek()?;
        if first.at < until {
            self.next_event()
        } else {
            None
        }
    }

    /// The next event, and the clock with it.
    pub fn next_event(&mut self) -> Option<Event> {
        let Reverse(entry) = self.queue.pop()?;
        self.now = entry.at;
        self.counts.events += 1;
        Some(entry.event)
    }

    /// A random span below `span`.
    pub fn below(&mut self, span: Span) -> Span {
        match span.nanos() {
            0 => Span::ZERO,
            nanos => Span::from_nanos(self.random.u64(..nanos)),
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.f64() < probability
    }

    /// A packet leaves a host after `wait`, for a host or a host group.
    pub fn transmit(&mut self, from: usize, to: Peer, octets: &[u8], wait: Span) {
        self.counts.packets += 1;
        self.counts.octets += octets.len() as u64;
        let Some(address) = to.as_inet() else {
            return;
        };
        if matches!(address, [224..=239, ..]) {
            let members: Vec<usize> = self.network.members(from, address).collect();
            for member in members {
                self.carry(from, member, true, octets, wait);
            }
        } else if let Some(host) = self.network.host(address) {
            self.carry(from, host, false, octets, wait);
        }
    }

    fn carry(&mut self, from: usize, to: usize, multicast: bool, octets: &[u8], wait: Span) {
        let faults = self.network.faults;
        if from == to {
            // The loopback of a host has no faults.
            self.arrive(from, to, multicast, octets, wait.plus(Span::from_micros(5)));
            return;
        }
        if self.network.side[from] != self.network.side[to] {
            self.counts.fault_partition += 1;
            return;
        }
        let jitter = self.below(faults.jitter);
        let mut delay = wait.plus(faults.delay).plus(jitter);
        if self.chance(faults.reorder) {
            self.counts.fault_reorder += 1;
            let more = self.below(faults.delay.times(6));
            delay = delay.plus(faults.delay).plus(more);
        }
        if self.chance(faults.duplicate) {
            self.counts.fault_duplicate += 1;
            let more = self.below(faults.delay.times(4));
            self.arrive(from, to, multicast, octets, delay.plus(more));
        }
        if self.chance(faults.late) {
            self.counts.fault_late += 1;
            let more = self.below(faults.late_by);
            self.arrive(from, to, multicast, octets, delay.plus(more));
        }
        if self.chance(faults.stall) {
            self.counts.fault_delay += 1;
            let more = self.below(faults.stall_by);
            delay = delay.plus(more);
        }
        if self.chance(faults.loss) {
            self.counts.fault_loss += 1;
            return;
        }
        if self.chance(faults.corrupt) {
            self.counts.fault_corrupt += 1;
            let mut bad = octets.to_vec();
            // Data under HCO is not protected, and so not altered here.
            let hco = bad.get(10).is_some_and(|octet| octet & 0x80 != 0);
            let reach = if hco { 64 } else { bad.len() };
            let bit = self.random.usize(..reach * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
            self.arrive(from, to, multicast, &bad, delay);
            return;
        }
        self.arrive(from, to, multicast, octets, delay);
    }

    fn arrive(&mut self, from: usize, to: usize, multicast: bool, octets: &[u8], delay: Span) {
        let event = Event::Packet {
            to,
            from: Network::peer(from),
            multicast,
            octets: octets.into(),
        };
        self.after(delay, event);
    }
}
