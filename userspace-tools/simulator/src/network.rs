// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The network between the hosts: which packets arrive, when, how often, and in what shape.

use std::collections::{BTreeMap, BTreeSet};

use vmtp_proto::peer::Peer;
use vmtp_proto::time::Span;

/// How the network misbehaves. Probabilities are for each packet and receiver.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// The packet is lost.
    pub loss: f64,
    /// It comes twice.
    pub duplicate: f64,
    /// It is overtaken by others.
    pub reorder: f64,
    /// One of its bits is flipped.
    pub corrupt: f64,
    /// It comes alone, and much later.
    pub stall: f64,
    /// How much later at most.
    pub stall_by: Span,
    /// A copy of it comes much later.
    pub late: f64,
    /// How much later at most.
    pub late_by: Span,
    /// Time from host to host.
    pub delay: Span,
    /// How much longer that may take.
    pub jitter: Span,
}

impl Faults {
    /// A network without faults: 100 us from host to host.
    pub const NONE: Faults = Faults {
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        corrupt: 0.0,
        stall: 0.0,
        stall_by: Span::ZERO,
        late: 0.0,
        late_by: Span::ZERO,
        delay: Span::from_micros(100),
        jitter: Span::ZERO,
    };
}

/// What lies between the hosts.
#[derive(Debug)]
pub struct Network {
    /// Its faults at this moment.
    pub faults: Faults,
    /// Octets of the largest IP packet.
    pub mtu: u32,
    /// How long such a packet takes to leave.
    pub packet_time: Span,
    /// The side of a partition that each host is on.
    pub side: Vec<u8>,
    /// Hosts of one link: a packet to a host group goes no further (its TTL is 1).
    link: usize,
    /// Which hosts of a link take packets to a host group.
    groups: BTreeMap<([u8; 4], usize), BTreeSet<usize>>,
}

impl Network {
    /// A network of `hosts` hosts.
    pub fn new(hosts: usize, faults: Faults, mtu: u32) -> Network {
        Network {
            faults,
            mtu,
            // 1 Gb/s.
            packet_time: Span::from_nanos(u64::from(mtu) * 8),
            side: vec![0; hosts],
            link: hosts.max(1),
            groups: BTreeMap::new(),
        }
    }

    /// The same with routers between links of `link` hosts.
    pub fn with_links(self, link: usize) -> Network {
        Network {
            link: link.max(1),
            ..self
        }
    }

    /// The address of a host.
    pub fn peer(host: usize) -> Peer {
        Peer::inet(Network::address(host))
    }

    /// The same as the four octets in its entities.
    pub fn address(host: usize) -> [u8; 4] {
        let [_, b, c, d] = ((host as u32) + 1).to_be_bytes();
        [10, b, c, d]
    }

    /// Which host has an address.
    pub fn host(&self, address: [u8; 4]) -> Option<usize> {
        let [a, b, c, d] = address;
        let host = (u32::from_be_bytes([0, b, c, d]) as usize).checked_sub(1)?;
        (a == 10 && host < self.side.len()).then_some(host)
    }

    /// A host takes packets to a host group.
    pub fn join(&mut self, host: usize, group: [u8; 4]) {
        let link = host / self.link;
        self.groups.entry((group, link)).or_default().insert(host);
    }

    /// The hosts of a host group that a packet of `from` reaches.
    pub fn members(&self, from: usize, group: [u8; 4]) -> impl Iterator<Item = usize> + '_ {
        let members = self.groups.get(&(group, from / self.link));
        members.into_iter().flatten().copied()
    }
}
