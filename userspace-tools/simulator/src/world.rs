// SPDX-License-Identifier: GPL-2.0 OR MIT

//! All hosts together, and the loop that takes one event after another.

use std::collections::BTreeMap;
use std::fmt;

use vmtp_proto::peer::Peer;
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Control, Entity};

use crate::env::{Env, Event, Strike};
use crate::host::{Config, Endpoint, Host};
use crate::oracle::{Op, Outcome};
use crate::packet;

/// Events that may wait at a time, beside some for each operation.
const QUEUE_LIMIT: usize = 50_000;

/// The longest that a simulation lasts in its own time: something goes round in circles then.
const DAY: Time = Time::from_nanos(86_400_000_000_000);

/// What a host is made of, so that it can be made again.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The servers on it.
    pub servers: Vec<Entity>,
    /// Groups with their members on it.
    pub groups: Vec<(Entity, Entity)>,
}

/// A simulation.
pub struct World {
    /// What surrounds the hosts.
    pub env: Env,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// What they are made of.
    pub plans: Vec<Plan>,
    /// How they are set up.
    pub configs: Vec<Config>,
    /// Entries of tables that hosts looked at before they restarted.
    pub steps: u64,
    /// One event in so many is followed by an odd one; 0 for none.
    pub odd: u32,
    /// Events after which something is taken to go round in circles.
    pub events_limit: u64,
}

/// A simulation that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is wrong.
    pub what: String,
    /// When, in microseconds of virtual time.
    pub micros: u64,
    /// The trace, if one was asked for.
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.micros / 1_000_000, self.micros % 1_000_000);
        write!(f, "{}at {seconds}.{micros:06}: {}", self.trace, self.what)
    }
}

impl World {
    /// Hosts that are all set up alike, on which nobody is. Events are not limited.
    pub fn of(mut env: Env, hosts: usize, config: Config) -> World {
        World {
            hosts: (0..hosts)
                .map(|number| Host::new(number, 0, config, &mut env))
                .collect(),
            env,
            plans: vec![Plan::default(); hosts],
            configs: vec![config; hosts],
            steps: 0,
            odd: 0,
            events_limit: u64::MAX,
        }
    }

    /// Puts the server 100 on a host: its name.
    pub fn serves(&mut self, number: usize) -> Entity {
        let server = Host::entity(number, 100);
        self.plans[number].servers.push(server);
        self.equip(number);
        server
    }

    /// Puts the Client 100,000 on a host, which calls so, one after another and with this pause between them.
    pub fn calls(&mut self, number: usize, pause: Span, ops: impl IntoIterator<Item = Op>) {
        let client = Host::entity(number, 100_000);
        let mut endpoint = Endpoint::new(client, &mut self.env);
        endpoint.pause = pause;
        let ids = ops.into_iter().map(|op| self.env.oracle.add(op));
        endpoint.script.extend(ids);
        self.hosts[number].add(client, endpoint);
    }

    /// Runs until nothing happens any more.
    ///
    /// # Errors
    ///
    /// The first thing that is not as it must be.
    pub fn run(&mut self) -> Result<(), Failure> {
        self.begin();
        while let Some(event) = self.env.next_event() {
            self.event(event);
            if self.env.waiting() > QUEUE_LIMIT + 64 * self.env.oracle.cases.len() {
                self.env.oracle.fail("the traffic grows without bound");
            }
            if self.env.counts.events > self.events_limit || self.env.now > DAY {
                let limit = self.events_limit;
                let hosts: String = self.hosts.iter().map(Host::describe).collect();
                self.env
                    .oracle
                    .fail(format!("no end after {limit} events, or a day\n{hosts}"));
            }
            self.judge()?;
        }
        self.env.oracle.at_rest(&self.env.counts);
        self.judge()
    }

    /// Runs until every transaction has ended, when all records still stand. `beat` is called now
    /// and then.
    ///
    /// # Errors
    ///
    /// As [`World::run`].
    pub fn run_to_answers(&mut self, mut beat: impl FnMut(&World)) -> Result<(), Failure> {
        self.begin();
        let all = self.env.oracle.cases.len() as u64;
        while let Some(event) = self.env.next_event() {
            self.event(event);
            self.judge()?;
            let counts = &self.env.counts;
            if counts.answered + counts.failed + counts.lost >= all {
                return Ok(());
            }
            if counts.events % 16_384 == 0 {
                beat(self);
            }
        }
        self.env.oracle.nothing_waits(true);
        self.judge()
    }

    /// Entries of tables that hosts looked at.
    pub fn steps(&self) -> u64 {
        self.steps + self.hosts.iter().map(Host::steps).sum::<u64>()
    }

    /// Octets of memory that all hosts keep.
    pub fn memory(&self) -> usize {
        self.hosts.iter().map(Host::memory).sum()
    }

    /// Lets the next event happen if it is due before `until`. False if none is.
    pub fn step_before(&mut self, until: Time) -> bool {
        match self.env.next_before(until) {
            Some(event) => {
                self.event(event);
                true
            }
            None => false,
        }
    }

    fn judge(&mut self) -> Result<(), Failure> {
        match self.env.oracle.verdict.take() {
            None => Ok(()),
            Some(what) => Err(Failure {
                what,
                micros: self.env.now.nanos() / 1_000,
                trace: self.env.take_trace(),
            }),
        }
    }

    /// Every user starts, not all at the same moment.
    fn begin(&mut self) {
        let users: Vec<(usize, Entity)> = self
            .hosts
            .iter()
            .flat_map(|host| host.clients().map(|client| (host.number, client)))
            .collect();
        let spread = vmtp_proto::time::Span::from_millis(10);
        for (host, client) in users {
            let wait = self.env.below(spread);
            self.env.after(wait, Event::User { host, client });
        }
    }

    fn event(&mut self, event: Event) {
        let touched = match event {
            Event::Packet {
                to,
                from,
                multicast,
                octets,
            } => {
                if self.strikes_odd() {
                    self.odd_copy(to, from, multicast, &octets);
                }
                self.hosts[to].packet(&mut self.env, from, multicast, &octets);
                to
            }
            Event::Timer {
                host,
                incarnation,
                of,
            } => {
                if self.hosts[host].incarnation == incarnation {
                    self.hosts[host].timer(&mut self.env, of);
                }
                host
            }
            Event::Served {
                host,
                incarnation,
                server,
                client,
                transaction,
            } => {
                if self.hosts[host].incarnation == incarnation {
                    self.hosts[host].served(&mut self.env, server, client, transaction);
                }
                host
            }
            Event::User { host, client } => {
                self.hosts[host].user(&mut self.env, client);
                host
            }
            Event::Strike(strike) => {
                self.strike(strike);
                return;
            }
        };
        if self.strikes_odd() {
            self.env.counts.odd += 1;
            self.hosts[touched].odd(&mut self.env);
        }
        self.hosts[touched].check(&mut self.env);
    }

    /// A copy of a packet that is about to arrive comes before it: by multicast, or with a flag of its
    /// group that contradicts the others.
    fn odd_copy(&mut self, to: usize, from: Peer, multicast: bool, octets: &[u8]) {
        let Ok((header, _)) = packet::decode(octets) else {
            return;
        };
        if self.env.random.bool() {
            self.hosts[to].packet(&mut self.env, from, true, octets);
            return;
        }
        let flags = [Control::MDG, Control::NSR, Control::NER];
        let flag = flags[self.env.random.usize(..flags.len())];
        let mut altered = header;
        altered.control = if header.control.has(flag) && !header.control.has(Control::CMG) {
            header.control.without(flag)
        } else {
            header.control.with(flag)
        };
        let octets = packet::with_header(&altered, octets);
        self.hosts[to].packet(&mut self.env, from, multicast, &octets);
    }

    fn strikes_odd(&mut self) -> bool {
        self.odd != 0 && self.env.random.u32(..self.odd) == 0
    }

    fn strike(&mut self, strike: Strike) {
        match strike {
            Strike::Restart(host) => self.restart(host),
            Strike::Forwarder(tries) => self.strike_forwarder(tries),
            Strike::Cut(bits) => {
                self.env.counts.fault_cuts += 1;
                for (host, side) in self.env.network.side.iter_mut().enumerate() {
                    *side = (bits >> (host % 64) & 1) as u8;
                }
            }
            Strike::Heal => self.env.network.side.fill(0),
            Strike::Migrate { server, to } => self.migrate(server, to),
            Strike::Loss(percent) => self.env.network.faults.loss = f64::from(percent) / 100.0,
        }
    }

    fn strike_forwarder(&mut self, tries: u32) {
        let hosts = self.hosts.len();
        let first = self.env.random.usize(..hosts);
        let mut others = (first..first + hosts).map(|host| host % hosts);
        let Some(host) = others.find(|host| self.hosts[*host].is_awaited_forwarder(&self.env))
        else {
            if let Some(left) = tries.checked_sub(1) {
                let soon = self.env.now.plus(Span::from_micros(300));
                self.env.at(soon, Event::Strike(Strike::Forwarder(left)));
            }
            return;
        };
        self.env.counts.fault_forwarders += 1;
        if self.env.random.bool() {
            self.restart(host);
        } else {
            self.strike(Strike::Cut(1 << (host % 64)));
            let length = Span::from_millis(10 + self.env.random.u64(..8_000));
            let end = self.env.now.plus(length);
            self.env.at(end, Event::Strike(Strike::Heal));
        }
    }

    /// A host forgets everything. Its servers come again under their names; its Clients get new
    /// ones, and those that had something open are no more.
    fn restart(&mut self, number: usize) {
        self.env.counts.fault_restart += 1;
        self.env.trace(number, || "restarts".into());
        let incarnation = self.hosts[number].incarnation + 1;
        let fresh = Host::new(number, incarnation, self.configs[number], &mut self.env);
        let old = std::mem::replace(&mut self.hosts[number], fresh);
        self.steps += old.steps();
        self.equip(number);
        let mut scripts = BTreeMap::new();
        for (client, endpoint) in old.into_endpoints() {
            if self.plans[number].servers.contains(&client) {
                // A nested call of a server: whoever it was for asks again.
                for op in endpoint.pending() {
                    self.lose(op);
                }
                continue;
            }
            let mut left = Vec::new();
            for op in endpoint.pending() {
                match self.env.oracle.cases[op].outcome {
                    Outcome::Pending => left.push(op),
                    Outcome::Open => self.lose(op),
                    Outcome::Answered
                    | Outcome::Covered
                    | Outcome::Failed(_)
                    | Outcome::Sent
                    | Outcome::Lost => {}
                }
            }
            scripts.insert(client, (left, endpoint.window, endpoint.pause));
        }
        for (index, (script, window, pause)) in scripts.into_values().enumerate() {
            let discriminator = 100_000 * (incarnation + 1) + index as u32;
            let client = Host::entity(number, discriminator);
            let mut endpoint = Endpoint::new(client, &mut self.env);
            endpoint.script = script.into();
            endpoint.window = window;
            endpoint.pause = pause;
            self.hosts[number].add(client, endpoint);
            self.env.at(
                self.env.now,
                Event::User {
                    host: number,
                    client,
                },
            );
        }
    }

    fn lose(&mut self, op: usize) {
        let now = self.env.now;
        match self.env.oracle.cases[op].outcome {
            Outcome::Open => {
                self.env
                    .oracle
                    .ended(op, Outcome::Lost, now, &mut self.env.counts);
            }
            Outcome::Pending => self.env.oracle.cases[op].outcome = Outcome::Lost,
            Outcome::Answered
            | Outcome::Covered
            | Outcome::Failed(_)
            | Outcome::Sent
            | Outcome::Lost => {}
        }
    }

    /// Puts the servers and groups of its plan on a host.
    pub fn equip(&mut self, number: usize) {
        let plan = self.plans[number].clone();
        let host = &mut self.hosts[number];
        for server in plan.servers {
            host.serve(server);
            let endpoint = Endpoint::new(server, &mut self.env);
            host.add(server, endpoint);
        }
        for (group, member) in plan.groups {
            host.join(group, member, &mut self.env);
        }
    }

    fn migrate(&mut self, server: Entity, to: usize) {
        let from = self
            .hosts
            .iter()
            .position(|host| host.serves(server) == Some(true));
        let Some(from) = from.filter(|from| *from != to) else {
            return;
        };
        if self.hosts[to].serves(server).is_some() {
            // It was there before: what it did elsewhere is not known there.
            return;
        }
        let calls = self.hosts[from].endpoint(server);
        if calls.is_some_and(|endpoint| endpoint.pending().next().is_some()) {
            // It has calls of its own under way, and stays.
            return;
        }
        self.env.counts.fault_migrations += 1;
        self.env
            .trace(from, || format!("{server} moves to host {to}"));
        let records = self.hosts[from].written(server);
        let endpoint = self.hosts[from].leave(server);
        self.plans[from].servers.retain(|s| *s != server);
        self.plans[to].servers.push(server);
        self.hosts[to].serve(server);
        self.hosts[to].read(&mut self.env, &records);
        if let Some(endpoint) = endpoint {
            self.hosts[to].add(server, endpoint);
        }
    }
}
