// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the users of a scenario do: the operations of each class, drawn at random.

use vmtp_proto::time::Span;
use vmtp_proto::wire::Entity;

use super::{Builder, Class};
use crate::oracle::Op;

impl Builder {
    pub(super) fn scripts(&mut self) {
        let calls = match self.class {
            Class::Isolated => 400,
            Class::Single | Class::Probe | Class::Flags => 2_000,
            Class::Segments | Class::Idempotent | Class::Partial => 300,
            Class::Large => 12,
            Class::Run | Class::Datagram | Class::NoStreaming => 1_200,
            Class::Group | Class::Forward | Class::Chain => 400,
            Class::Busy => 500,
            Class::Restart | Class::Partition | Class::Late | Class::Migrate => 600,
            Class::Mixture | Class::Odd | Class::Sequence => 400,
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
            | Class::Sequence
            | Class::Restart
            | Class::Partition
            | Class::Late
            | Class::Busy
            | Class::Odd
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
            Class::Chain => Class::Forward,
            class => class,
        };
        if matches!(self.class, Class::Mixture | Class::Odd | Class::Sequence)
            && self.one_in(8)
            && !self.groups.is_empty()
        {
            return self.group_op(client);
        }
        let class = if self.class == Class::Odd && self.one_in(25) {
            Class::Large
        } else {
            class
        };
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
        if let Some(endpoint) = self.world.hosts[number].endpoint_mut(client) {
            endpoint.script.push_back(id);
        }
    }

    pub(super) fn server(&mut self) -> Entity {
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
            Class::Odd if self.one_in(30) => Span::from_millis(5_000 + self.random.u64(..20_000)),
            Class::Isolated => Span::from_micros(self.random.u64(..500)),
            _ if self.one_in(200) => Span::from_millis(self.random.u64(..3_000)),
            _ => Span::from_micros(self.random.u64(..3_000)),
        };
        Op {
            service: slow,
            ..Op::to(self.server())
        }
    }

    fn single_op(&mut self, class: Class) -> Op {
        let mut op = self.plain();
        if matches!(self.class, Class::Mixture | Class::Odd) && self.one_in(10) {
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
                if self.class == Class::Odd && self.one_in(2) {
                    op.forward.push(self.server());
                }
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
                op.wants.idempotent = self.one_in(6);
                op.wants.no_retransmission = self.one_in(6);
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
        // Datagrams may stand among calls. They get no Response that could answer those before.
        let mixed = !datagrams && self.one_in(4);
        let batched = !mixed && self.one_in(3);
        let sized = self.one_in(2);
        let large = self.one_in(6);
        for index in 0..length {
            let mut op = self.plain();
            op.server = server;
            op.wants.streamed = true;
            op.wants.more = index + 1 < length;
            op.wants.datagram = datagrams || (mixed && self.one_in(4));
            op.wants.no_retransmission = no_retransmission;
            op.wants.batched = batched && !op.wants.datagram;
            if sized && self.one_in(3) {
                op.request = self.size(if large { 60_000 } else { 4_000 });
                op.response = self.size(if large { 60_000 } else { 4_000 });
                op.wants.large = op.response.unwrap_or(0) > 16_384;
                op.wants.batched = false;
            }
            if self.class == Class::Run && !op.wants.datagram && self.one_in(60) {
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
        op.wants.group_response = self.one_in(3);
        op.wants.datagram = self.one_in(6);
        op.wants.many &= !op.wants.datagram;
        if !op.wants.datagram && self.one_in(20) {
            op.forward.push(self.server());
        }
        if self.one_in(3) {
            op.request = self.size(60_000);
        }
        if self.one_in(3) {
            op.response = self.size(16_384);
        }
        op.wants.idempotent = self.one_in(8);
        self.push(client, op);
        1
    }
}
