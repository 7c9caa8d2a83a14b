// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The scenarios: for each class, what the hosts, the network and the users are, drawn from a seed.

use std::time::Instant;

use vmtp_proto::context::{Policy, ProbeClients};
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Entity, EntityKind};

use crate::content::mix;
use crate::env::{Env, Event, Strike};
use crate::host::{Config, Endpoint, Host};
use crate::network::{Faults, Network};
use crate::oracle::{Op, Oracle, Strictness, Wants};
use crate::world::{Plan, World};

macro_rules! classes {
    ($($variant:ident = $name:literal, $about:literal;)*) => {
        /// What a scenario is about.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Class {
            $(#[doc = $about] $variant,)*
        }

        impl Class {
            /// All classes.
            pub const ALL: &'static [Class] = &[$(Class::$variant),*];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Class::$variant => $name,)*
                }
            }

            /// What it is about.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Class::$variant => $about,)*
                }
            }
        }
    };
}

classes! {
    Isolated = "isolated", "one packet each way, nothing goes wrong: two packets a transaction";
    Single = "single", "one packet each way between several hosts";
    Segments = "segments", "0 to 16 kilooctets each way";
    Large = "large", "messages of up to 4 megaoctets each way";
    Run = "run", "streamed runs of Requests";
    Datagram = "datagram", "datagrams, alone and in runs";
    Idempotent = "idempotent", "idempotent Responses, which may differ each time";
    Partial = "partial", "NRT and MDM: messages delivered with what came";
    Flags = "flags", "HCO, CMD and APG in all mixtures";
    Group = "group", "groups of 1 to 8 members, MRD and DRT";
    Forward = "forward", "Requests passed on, up to 15 times and by nested calls";
    Probe = "probe", "hosts that probe unknown Clients";
    Busy = "busy", "slow servers, short queues, small tables";
    Restart = "restart", "hosts that restart";
    Partition = "partition", "hosts cut off from each other";
    Late = "late", "duplicates that come up to 30 seconds later, across restarts";
    Migrate = "migrate", "servers that move to another host";
    NoStreaming = "no-streaming", "runs towards hosts that do not stream";
    Mixture = "mixture", "everything at once";
}

impl Class {
    /// The class that a seed has if none is asked for.
    pub fn of_seed(seed: u64) -> Class {
        let index = seed as usize % Class::ALL.len();
        Class::ALL.get(index).copied().unwrap_or(Class::Single)
    }

    /// The class with a name.
    pub fn by_name(name: &str) -> Option<Class> {
        Class::ALL
            .iter()
            .copied()
            .find(|class| class.name() == name)
    }
}

/// A scenario, of which everything follows.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is about.
    pub class: Class,
    /// All its chances.
    pub seed: u64,
    /// Users' operations, times 100: 100 is what the tests run.
    pub effort: usize,
}

impl Scenario {
    /// The scenario of a class and a seed.
    pub fn new(class: Class, seed: u64) -> Scenario {
        Scenario {
            class,
            seed,
            effort: 100,
        }
    }

    /// Sets it up.
    pub fn build(&self) -> World {
        Builder::new(self).build()
    }
}

struct Builder {
    class: Class,
    random: fastrand::Rng,
    world: World,
    clients: Vec<Entity>,
    servers: Vec<Entity>,
    groups: Vec<Entity>,
    effort: usize,
    /// Chains of forwards may come back to a server.
    revisits: bool,
}

/// How bad the network of a seed is.
fn faults(class: Class, random: &mut fastrand::Rng) -> Faults {
    let calm = Faults {
        delay: Span::from_micros(20 + random.u64(..2_000)),
        jitter: Span::from_micros(random.u64(..200)),
        ..Faults::NONE
    };
    if class == Class::Isolated {
        return calm;
    }
    let loss = [0.0, 0.02, 0.1, 0.3][random.usize(..4)];
    let other = loss * random.f64();
    Faults {
        loss,
        duplicate: other,
        reorder: loss * random.f64(),
        corrupt: other / 4.0,
        late: if class == Class::Late { 0.05 } else { 0.0 },
        late_by: Span::from_millis(30_000),
        ..calm
    }
}

impl Builder {
    fn new(scenario: &Scenario) -> Builder {
        let class = scenario.class;
        let seed = mix(scenario.seed ^ (class as u64) << 48);
        let mut random = fastrand::Rng::with_seed(seed);
        let hosts = match class {
            Class::Isolated => 2,
            Class::Group => 4 + random.usize(..6),
            Class::Forward => 4 + random.usize(..4),
            _ => 2 + random.usize(..6),
        };
        let mut faults = faults(class, &mut random);
        if class == Class::Run && random.bool() {
            // Packets stay in order.
            faults.jitter = Span::ZERO;
        }
        let mtu = [600, 1_500, 1_500, 9_000, 65_535][random.usize(..5)];
        let calm = faults.loss == 0.0 && faults.late == 0.0;
        let certain = !matches!(
            class,
            Class::Partial
                | Class::Flags
                | Class::Probe
                | Class::Busy
                | Class::Restart
                | Class::Partition
                | Class::Late
                | Class::Migrate
                | Class::Mixture
                | Class::Group
                | Class::NoStreaming
        );
        // A server that passed a Request on knows its Client's repetitions no more once the Request
        // came back to it (5.7), so that a slow chain may not be answered.
        let revisits = class != Class::Forward || random.bool();
        // Where packets of a run overtake each other all the time, the server gives up in the end.
        let overtaken = class == Class::Run && faults.jitter != Span::ZERO;
        let certain = certain && !(class == Class::Forward && revisits) && !overtaken;
        let strict = Strictness {
            all_answered: calm && certain,
            two_packets: class == Class::Isolated,
        };
        let oracle = Oracle::new(strict, Span::from_millis(900_000));
        let network = Network::new(hosts, faults, mtu);
        let env = Env::new(random.u64(..), network, oracle);
        Builder {
            class,
            random,
            world: World {
                env,
                hosts: Vec::new(),
                plans: vec![Plan::default(); hosts],
                configs: Vec::new(),
                events_limit: 10_000_000,
            },
            clients: Vec::new(),
            servers: Vec::new(),
            groups: Vec::new(),
            effort: scenario.effort,
            revisits,
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.u32(..n) == 0
    }

    fn config(&mut self) -> Config {
        let mut config = Config::DEFAULT;
        config.workers = 1 + self.random.usize(..4);
        match self.class {
            Class::Probe => {
                config.settled = self.one_in(2);
                config.probe_clients = if self.one_in(3) {
                    ProbeClients::Auto
                } else {
                    ProbeClients::Always
                };
            }
            Class::Busy => {
                config.workers = 1;
                config.queue = 1 + self.random.usize(..3);
                config.records = 2 + self.random.usize(..6);
                config.policy = Policy {
                    run_queue: 1 + self.random.u16(..4),
                    run_responses: 1 + self.random.u16(..4),
                    ..Policy::DEFAULT
                };
            }
            Class::NoStreaming => config.policy.streaming = self.one_in(2),
            Class::Late | Class::Restart => config.settled = self.one_in(2),
            Class::Mixture => {
                config.settled = self.one_in(2);
                config.queue = 4 + self.random.usize(..60);
            }
            _ => {}
        }
        config
    }

    fn build(mut self) -> World {
        let hosts = self.world.plans.len();
        for number in 0..hosts {
            let config = self.config();
            self.world.configs.push(config);
            let host = Host::new(number, 0, config, &mut self.world.env);
            self.world.hosts.push(host);
        }
        // Even hosts serve, odd ones call; some do both.
        for number in 0..hosts {
            let serves = number % 2 == 0 || self.class == Class::Mixture;
            if serves {
                for index in 0..1 + self.random.u32(..2) {
                    let server = Host::entity(number, 100 + index);
                    self.world.plans[number].servers.push(server);
                    self.servers.push(server);
                }
            }
        }
        if matches!(self.class, Class::Group | Class::Mixture) {
            self.make_groups();
        }
        for number in 0..hosts {
            self.world.equip(number);
            if number % 2 == 1 || (hosts > 2 && self.one_in(4)) {
                let clients = if self.class == Class::Isolated {
                    1
                } else {
                    1 + self.random.u32(..4)
                };
                for index in 0..clients {
                    let client = Host::entity(number, 100_000 + index);
                    let mut endpoint = Endpoint::new(client, &mut self.world.env);
                    endpoint.window = 2 + self.random.u16(..14);
                    endpoint.pause = Span::from_micros(self.random.u64(..2_000));
                    self.world.hosts[number].endpoints.insert(client, endpoint);
                    self.clients.push(client);
                }
            }
        }
        self.scripts();
        self.strikes();
        self.world
    }

    fn make_groups(&mut self) {
        for index in 0..3 {
            let group = Entity::domain1(
                EntityKind::UnrestrictedGroup,
                false,
                500 + index,
                [224, 0, 2, index as u8],
            )
            .unwrap_or(Entity::ZERO);
            let members = 1 + self.random.usize(..8);
            for _ in 0..members {
                let member = self.servers[self.random.usize(..self.servers.len())];
                let number = self.host_of(member);
                let pair = (group, member);
                if !self.world.plans[number].groups.contains(&pair) {
                    self.world.plans[number].groups.push(pair);
                }
            }
            self.groups.push(group);
        }
    }

    fn host_of(&self, entity: Entity) -> usize {
        self.world.env.network.host(entity.address()).unwrap_or(0)
    }

    fn scripts(&mut self) {
        let calls = match self.class {
            Class::Isolated => 400,
            Class::Single | Class::Probe | Class::Flags => 2_000,
            Class::Segments | Class::Idempotent | Class::Partial => 300,
            Class::Large => 12,
            Class::Run | Class::Datagram | Class::NoStreaming => 1_200,
            Class::Group | Class::Forward => 400,
            Class::Busy => 500,
            Class::Restart | Class::Partition | Class::Late | Class::Migrate => 600,
            Class::Mixture => 400,
        };
        let calls = (calls * self.effort / 100 / self.clients.len().max(1)).max(1);
        for client in self.clients.clone() {
            let mut left = calls;
            while left > 0 {
                left -= self.next_ops(client, left);
            }
        }
    }

    /// Adds one operation, or the operations of a run, to a script.
    fn next_ops(&mut self, client: Entity, left: usize) -> usize {
        let class = match self.class {
            Class::Mixture
            | Class::Restart
            | Class::Partition
            | Class::Late
            | Class::Busy
            | Class::Migrate => [
                Class::Single,
                Class::Single,
                Class::Segments,
                Class::Run,
                Class::Datagram,
                Class::Idempotent,
                Class::Flags,
                Class::Forward,
            ][self.random.usize(..8)],
            Class::NoStreaming => Class::Run,
            class => class,
        };
        if self.class == Class::Mixture && self.one_in(8) && !self.groups.is_empty() {
            return self.group_op(client);
        }
        // Two Requests that are passed on can wait for each other's record in a small table.
        let class = if self.class == Class::Busy && class == Class::Forward {
            Class::Single
        } else {
            class
        };
        match class {
            Class::Run => self.run_ops(client, left, false),
            Class::Datagram if self.one_in(2) => self.run_ops(client, left, true),
            Class::Group => self.group_op(client),
            class => {
                let op = self.single_op(class);
                self.push(client, op);
                1
            }
        }
    }

    fn push(&mut self, client: Entity, op: Op) {
        let id = self.world.env.oracle.add(op);
        let number = self.host_of(client);
        if let Some(endpoint) = self.world.hosts[number].endpoints.get_mut(&client) {
            endpoint.script.push_back(id);
        }
    }

    fn server(&mut self) -> Entity {
        self.servers[self.random.usize(..self.servers.len())]
    }

    fn size(&mut self, most: u32) -> Option<u32> {
        match self.random.u32(..8) {
            0 => None,
            1 => Some(0),
            2 => Some(most),
            3 => Some(1 + self.random.u32(..512)),
            4 => Some((self.random.u32(..=most) / 512) * 512),
            _ => Some(self.random.u32(..=most)),
        }
    }

    /// A call of one packet each way.
    fn plain(&mut self) -> Op {
        let class = self.class;
        let slow = match class {
            Class::Busy => Span::from_millis(self.random.u64(..200)),
            Class::Isolated => Span::from_micros(self.random.u64(..500)),
            _ if self.one_in(200) => Span::from_millis(self.random.u64(..3_000)),
            _ => Span::from_micros(self.random.u64(..3_000)),
        };
        Op {
            server: self.server(),
            request: None,
            response: None,
            wants: Wants::default(),
            service: slow,
            forward: Vec::new(),
            limit: None,
            enough: 1,
            parent: None,
        }
    }

    fn single_op(&mut self, class: Class) -> Op {
        let mut op = self.plain();
        if self.class == Class::Mixture && self.one_in(10) {
            op.limit = Some(Span::from_millis(1 + self.random.u64(..2_000)));
        }
        match class {
            Class::Isolated => {}
            Class::Segments => {
                op.request = self.size(16_384);
                op.response = self.size(16_384);
            }
            Class::Large => {
                let most = [40_000, 100_000, 600_000, 4_194_304][self.random.usize(..4)];
                op.request = self.size(most);
                op.response = self.size(most);
                op.wants.large = op.response.unwrap_or(0) > 16_384 || self.one_in(2);
            }
            Class::Datagram => {
                op.wants.datagram = true;
                op.wants.acknowledge = self.one_in(3);
                op.request = if self.one_in(2) {
                    self.size(16_384)
                } else {
                    None
                };
            }
            Class::Idempotent => {
                op.wants.idempotent = true;
                op.wants.varies = self.one_in(2);
                op.request = if self.one_in(3) {
                    self.size(16_384)
                } else {
                    None
                };
                op.response = self.size(16_384);
                if self.one_in(8) {
                    op.response = self.size(60_000);
                    op.wants.large = true;
                }
            }
            Class::Partial => {
                op.wants.no_retransmission = self.one_in(2);
                op.request = self.size(16_384);
                op.response = self.size(16_384);
                if let Some(octets) = op.request.filter(|_| self.random.bool()) {
                    let all = vmtp_proto::wire::Mask::for_octets(octets).bits();
                    op.wants.blocks = Some(self.random.u32(..) & all);
                }
                op.wants.lossy_response = self.one_in(2);
            }
            Class::Flags => {
                op.wants.header_checksum = self.one_in(2);
                op.wants.conditional = self.one_in(4);
                op.wants.conditional_response = self.one_in(8);
                op.wants.acknowledge = self.one_in(3);
                op.wants.acknowledge_response = self.one_in(3);
                op.wants.abandoned = self.one_in(40);
                if self.one_in(3) {
                    op.request = self.size(3_000);
                    op.response = self.size(3_000);
                }
            }
            Class::Forward => {
                let length = match self.random.u32(..10) {
                    0 => 14 + self.random.usize(..6),
                    _ => self.random.usize(..5),
                };
                let mut before = op.server;
                for _ in 0..length {
                    let next = self.server();
                    let known = next == op.server || op.forward.contains(&next);
                    if next != before && (self.revisits || !known) {
                        op.forward.push(next);
                        before = next;
                    }
                }
                op.request = if self.one_in(3) {
                    self.size(16_384)
                } else {
                    None
                };
                op.response = if self.one_in(3) {
                    self.size(16_384)
                } else {
                    None
                };
            }
            _ => {
                if self.one_in(20) {
                    op.request = self.size(1_000);
                    op.response = self.size(1_000);
                }
            }
        }
        op
    }

    fn run_ops(&mut self, client: Entity, left: usize, datagrams: bool) -> usize {
        let length = 1 + self.random.usize(..40).min(left.saturating_sub(1));
        let server = self.server();
        let no_retransmission = datagrams && self.one_in(2);
        let batched = self.one_in(3);
        let sized = self.one_in(2);
        let large = self.one_in(6);
        for index in 0..length {
            let mut op = self.plain();
            op.server = server;
            op.wants.streamed = true;
            op.wants.more = index + 1 < length;
            op.wants.datagram = datagrams;
            op.wants.no_retransmission = no_retransmission;
            op.wants.batched = batched && !datagrams;
            if sized && self.one_in(3) {
                op.request = self.size(if large { 60_000 } else { 4_000 });
                op.response = self.size(if large { 60_000 } else { 4_000 });
                op.wants.large = op.response.unwrap_or(0) > 16_384;
                op.wants.batched = false;
            }
            if self.class == Class::Run && !datagrams && self.one_in(60) {
                // Forwarded by a nested call: it holds up the run.
                let next = self.server();
                if next != server {
                    op.forward.push(next);
                    op.wants.batched = false;
                }
            }
            if self.class == Class::NoStreaming {
                op.request = op.request.map(|octets| octets.min(16_384));
                op.response = op.response.map(|octets| octets.min(16_384));
                op.wants.large = false;
            }
            self.push(client, op);
        }
        length
    }

    fn group_op(&mut self, client: Entity) -> usize {
        let mut op = self.plain();
        op.server = self.groups[self.random.usize(..self.groups.len())];
        op.wants.many = self.one_in(2);
        op.wants.delay = self.one_in(3);
        op.wants.datagram = self.one_in(6);
        op.wants.many &= !op.wants.datagram;
        if !op.wants.datagram && self.one_in(20) {
            op.forward.push(self.server());
        }
        if self.one_in(3) {
            op.request = self.size(16_384);
        }
        if self.one_in(3) {
            op.response = self.size(16_384);
        }
        self.push(client, op);
        1
    }

    fn strikes(&mut self) {
        let hosts = self.world.hosts.len();
        let many = match self.class {
            Class::Restart | Class::Partition | Class::Migrate => 4,
            Class::Late => 2,
            Class::Mixture => 3,
            _ => 0,
        };
        let mut at = Time::from_nanos(1_000_000_000);
        for _ in 0..many {
            at = at.plus(Span::from_millis(100 + self.random.u64(..3_000)));
            let class = self.class;
            let strike = match class {
                Class::Partition => Strike::Cut(self.random.u64(..)),
                Class::Migrate => Strike::Migrate {
                    server: self.server(),
                    to: self.random.usize(..hosts),
                },
                Class::Mixture if self.one_in(3) => Strike::Cut(self.random.u64(..)),
                Class::Mixture if self.one_in(2) => {
                    Strike::Loss([0, 10, 60][self.random.usize(..3)])
                }
                _ => Strike::Restart(self.random.usize(..hosts)),
            };
            let cut = matches!(strike, Strike::Cut(_));
            self.world.env.at(at, Event::Strike(strike));
            if cut {
                let length = 100 + self.random.u64(..6_000);
                at = at.plus(Span::from_millis(length));
                self.world.env.at(at, Event::Strike(Strike::Heal));
            }
        }
        // Whatever happened, it gets calm at the end.
        if self.class == Class::Mixture {
            let later = at.plus(Span::from_millis(5_000));
            self.world.env.at(later, Event::Strike(Strike::Loss(5)));
        }
    }
}

/// Simulates growing numbers of hosts, up to `hosts`, and prints what a transaction costs.
///
/// # Errors
///
/// What went wrong.
pub fn many(hosts: usize, calls: usize, loss: f64) -> Result<(), String> {
    println!(
        "{:>8} {:>12} {:>10} {:>8} {:>14} {:>16} {:>14} {:>12}",
        "hosts",
        "transactions",
        "answered",
        "failed",
        "packets/call",
        "retransm./call",
        "octets/host",
        "us/call"
    );
    let mut size = 100.min(hosts);
    loop {
        row(size, calls, loss)?;
        if size >= hosts {
            return Ok(());
        }
        size = (size * 10).min(hosts);
    }
}

fn row(hosts: usize, calls: usize, loss: f64) -> Result<(), String> {
    let faults = Faults {
        loss,
        jitter: Span::from_micros(50),
        ..Faults::NONE
    };
    let oracle = Oracle::new(Strictness::default(), Span::from_millis(900_000));
    let network = Network::new(hosts, faults, 1_500);
    let mut random = fastrand::Rng::with_seed(hosts as u64);
    let mut world = World {
        env: Env::new(random.u64(..), network, oracle),
        hosts: Vec::new(),
        plans: vec![Plan::default(); hosts],
        configs: vec![Config::DEFAULT; hosts],
        events_limit: u64::MAX,
    };
    for number in 0..hosts {
        let server = Host::entity(number, 100);
        world.plans[number].servers.push(server);
        let host = Host::new(number, 0, Config::DEFAULT, &mut world.env);
        world.hosts.push(host);
        world.equip(number);
        let client = Host::entity(number, 100_000);
        let mut endpoint = Endpoint::new(client, &mut world.env);
        for _ in 0..calls {
            // Each host has a few partners that it calls again and again.
            let partner = (number + 1 + random.usize(..8) * 97) % hosts;
            let op = world.env.oracle.add(Op {
                server: Host::entity(partner, 100),
                request: None,
                response: None,
                wants: Wants::default(),
                service: Span::from_micros(50),
                forward: Vec::new(),
                limit: None,
                enough: 1,
                parent: None,
            });
            endpoint.script.push_back(op);
        }
        world.hosts[number].endpoints.insert(client, endpoint);
    }
    // Memory is read when the last transaction has ended and all records still stand.
    let started = Instant::now();
    let memory = world
        .run_to_answers()
        .map_err(|failure| failure.to_string())?;
    let took = started.elapsed().as_secs_f64() * 1e6;
    let counts = &world.env.counts;
    let each = |n: u64| n as f64 / counts.transactions.max(1) as f64;
    println!(
        "{hosts:>8} {:>12} {:>10} {:>8} {:>14.3} {:>16.4} {:>14} {:>12.2}",
        counts.transactions,
        counts.answered,
        counts.failed,
        each(counts.packets),
        each(counts.retransmissions),
        memory / hosts,
        took / counts.transactions.max(1) as f64,
    );
    Ok(())
}
