// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The scenarios: for each class, what the hosts, the network and the users are, drawn from a seed.

mod ops;

use vmtp_proto::context::{Policy, ProbeClients};
use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Entity, EntityKind};

use crate::content::mix;
use crate::env::{Env, Event, Strike};
use crate::host::{Config, Endpoint, Host};
use crate::network::{Faults, Network};
use crate::oracle::{Oracle, Strictness};
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
    Chain = "chain", "Requests passed on by hosts that die then: they restart, or are not heard any more";
    Probe = "probe", "hosts that probe unknown Clients";
    Busy = "busy", "slow servers, short queues, small tables";
    Restart = "restart", "hosts that restart";
    Partition = "partition", "hosts cut off from each other";
    Late = "late", "duplicates that come up to 30 seconds later, across restarts";
    Migrate = "migrate", "servers that move to another host";
    NoStreaming = "no-streaming", "runs towards hosts that do not stream";
    Odd = "odd", "forged Notifies, ICMP, early timers, impossible wishes, records read back";
    Sequence = "sequence", "receive sequence numbers, which the Clients log";
    Mixture = "mixture", "everything at once";
}

impl Class {
    /// The class that a seed has if none is asked for.
    pub fn of_seed(seed: u64) -> Class {
        let index = seed as usize % Class::ALL.len();
        Class::ALL.get(index).copied().unwrap_or(Class::Single)
    }

    /// Every class with each of the first `seeds` seeds.
    pub fn each(seeds: u64) -> Vec<(Class, u64)> {
        let classes = |seed| Class::ALL.iter().map(move |class| (*class, seed));
        (0..seeds).flat_map(classes).collect()
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
        stall: if class == Class::Late { 0.02 } else { 0.0 },
        stall_by: Span::from_millis(5_000),
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
            Class::Forward | Class::Chain => 4 + random.usize(..4),
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
                | Class::Chain
                | Class::Partition
                | Class::Late
                | Class::Migrate
                | Class::Sequence
                | Class::Mixture
                | Class::Group
                | Class::Odd
        );
        // A chain that comes back to a server that passed the Request on is as good as another.
        let revisits = class != Class::Forward || random.bool();
        let strict = Strictness {
            all_answered: calm && certain,
            two_packets: class == Class::Isolated,
        };
        let oracle = Oracle::new(strict, Span::from_millis(900_000));
        let network = Network::new(hosts, faults, mtu);
        let mut env = Env::new(random.u64(..), network, oracle);
        if matches!(class, Class::Odd | Class::Busy) {
            env.lateness = Span::from_micros(random.u64(..5_000));
        }
        Builder {
            class,
            random,
            world: World {
                env,
                hosts: Vec::new(),
                plans: vec![Plan::default(); hosts],
                configs: Vec::new(),
                steps: 0,
                odd: if class == Class::Odd { 12 } else { 0 },
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
            // The queue is full when the Request has come, but not when its first packet came.
            Class::Group => config.queue = if self.one_in(4) { 1 } else { 64 },
            Class::Partial => config.settled = self.one_in(2),
            Class::Migrate => config.guesses = self.one_in(2),
            Class::Probe => {
                config.queue = if self.one_in(3) { 1 } else { 64 };
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
                config.memory = 2_048 << self.random.usize(..6);
                config.records = 2 + self.random.usize(..6);
                config.policy = Policy {
                    run_queue: 1 + self.random.u16(..4),
                    run_responses: 1 + self.random.u16(..4),
                    ..Policy::DEFAULT
                };
            }
            Class::Odd => {
                config.guesses = !self.one_in(3);
                config.queue = 1 + self.random.usize(..40);
                config.policy.streaming = !self.one_in(5);
                config.policy.run_queue = 1 + self.random.u16(..8);
            }
            Class::NoStreaming => config.policy.streaming = self.one_in(2),
            Class::Late | Class::Restart => config.settled = self.one_in(2),
            Class::Sequence => {
                config.numbers = !self.one_in(5);
                config.settled = self.one_in(2);
            }
            Class::Mixture => {
                config.numbers = self.one_in(2);
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
            let serves = number % 2 == 0 || matches!(self.class, Class::Mixture | Class::Sequence);
            if serves {
                for index in 0..1 + self.random.u32(..2) {
                    let server = Host::entity(number, 100 + index);
                    self.world.plans[number].servers.push(server);
                    self.servers.push(server);
                }
            }
        }
        if matches!(
            self.class,
            Class::Group | Class::Mixture | Class::Odd | Class::Sequence
        ) {
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
                    self.world.hosts[number].add(client, endpoint);
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

    fn strikes(&mut self) {
        let hosts = self.world.hosts.len();
        let many = match self.class {
            Class::Restart | Class::Partition | Class::Migrate => 4,
            Class::Sequence => 2,
            Class::Chain => 12,
            Class::Late => 2,
            Class::Mixture => 3,
            _ => 0,
        };
        let class = self.class;
        let mut at = match class {
            Class::Chain => Time::from_nanos(0),
            _ => Time::from_nanos(1_000_000_000),
        };
        for _ in 0..many {
            at = at.plus(Span::from_millis(match class {
                Class::Chain => self.random.u64(..1_000),
                _ => 100 + self.random.u64(..3_000),
            }));
            let strike = match class {
                Class::Partition => Strike::Cut(self.random.u64(..)),
                Class::Chain => Strike::Forwarder(10_000),
                Class::Migrate => Strike::Migrate {
                    server: self.server(),
                    to: self.random.usize(..hosts),
                },
                Class::Sequence if self.one_in(2) => Strike::Migrate {
                    server: self.server(),
                    to: self.random.usize(..hosts),
                },
                Class::Sequence => Strike::Cut(self.random.u64(..)),
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
