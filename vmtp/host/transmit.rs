// SPDX-License-Identifier: GPL-2.0

//! Packets on their way out: the octets of a [`Burst`], their checksum, and IP.

use super::counters::Counter;
use super::pace::Cargo;
use super::path::PathRecord;
use super::Host;
use crate::kernel::net::Net;
use crate::kernel::output::IpOptions;
use crate::kernel::pages::Pages;
use crate::kernel::record::Record;
use crate::kernel::route::{Route, RouteKey, User};
use crate::kernel::skb::Skb;
use crate::kernel::skb_build::Filler;
use crate::kernel::skb_part::Parts;
use crate::kernel::sock::Sk;
use crate::proto::burst::{Burst, Packet};
use crate::proto::context::Timing;
use crate::proto::wire::{
    padded, Checksum, Code, Header, Mask, Packets, Placement, BLOCK_OCTETS, CHECKSUM_OCTETS,
    GROUP_OCTETS, HEADER_OCTETS, IPPROTO, OVERHEAD_OCTETS,
};
use core::net::Ipv4Addr;
use kernel::prelude::*;

/// Octets of an IP header.
const IP_HEADER: u32 = 20;

/// Below this MTU a block does not fit a packet: then IP cuts it.
const UNCUT: u32 = 600;

/// Octets of segment data beyond which a packet shares their pages: a packet in one piece would be hard to get.
const PAGE: u32 = crate::kernel::pages::PAGE as u32;

/// Octets of padding at most: data ends at a multiple of 64 bits (3.2).
const PADDING_MAX: usize = 7;

/// Octets of segment data that fit an IP packet of `mtu` octets.
pub(super) fn data_limit(mtu: u32) -> u32 {
    mtu.saturating_sub(IP_HEADER.saturating_add(OVERHEAD_OCTETS))
}

/// What a socket (or the host) wants of the packets it sends.
#[derive(Clone, Copy)]
pub struct Manner {
    /// What packets have, and where they may go.
    pub liberties: Liberties,
    /// Time to live of unicast packets; 0 is the route's.
    pub ttl: u8,
    /// Time to live of multicast packets.
    pub multicast_ttl: u8,
    /// Interface index, or 0.
    pub interface: u32,
    /// Interface for multicast packets, or 0.
    pub multicast_interface: u32,
    /// SO_MARK.
    pub mark: u32,
    /// SO_PRIORITY.
    pub priority: u32,
    /// IP_TOS.
    pub tos: u8,
    /// For routing rules.
    pub user: User,
    /// The address of this host that a peer knows it by; unspecified leaves it to the route.
    pub source: Ipv4Addr,
}

/// Two facts in one octet: each record of a remote Client has them.
#[derive(Clone, Copy)]
pub struct Liberties(u8);

impl Liberties {
    const CHECKSUM: u8 = 1;
    const BROADCAST: u8 = 2;

    /// Whether packets have a checksum, and whether they may go to all hosts of a link (SO_BROADCAST).
    pub const fn new(checksum: bool, broadcast: bool) -> Self {
        let checksum = if checksum { Self::CHECKSUM } else { 0 };
        Self(checksum | if broadcast { Self::BROADCAST } else { 0 })
    }

    #[inline]
    fn has_checksum(self) -> bool {
        self.0 & Self::CHECKSUM != 0
    }

    #[inline]
    fn may_broadcast(self) -> bool {
        self.0 & Self::BROADCAST != 0
    }
}

impl Manner {
    /// Of what the host itself sends.
    pub const HOST: Manner = Manner {
        liberties: Liberties::new(true, false),
        ttl: 0,
        multicast_ttl: 1,
        interface: 0,
        multicast_interface: 0,
        mark: 0,
        priority: 0,
        tos: 0,
        user: User::ROOT,
        source: Ipv4Addr::UNSPECIFIED,
    };

    /// Whether the way of the host itself will do. With rules of routing users may have ways of their own.
    #[inline]
    pub(super) fn is_ordinary(&self, host: &Host) -> bool {
        self.interface == 0
            && self.mark == 0
            && self.tos == 0
            && !self.liberties.may_broadcast()
            && (self.user == User::ROOT || !host.net().has_routing_rules())
    }

    /// The route for packets to the host of `path`.
    pub(super) fn route(&self, host: &Host, path: &PathRecord) -> Result<Route> {
        let multicast = path.is_multicast();
        if self.is_ordinary(host) && (!multicast || self.multicast_interface == 0) {
            let route = path.route(host)?;
            if self.source.is_unspecified() || self.source == route.source() || multicast {
                return Ok(route);
            }
        }
        let mut key = path.route_key();
        if !multicast {
            key.source = self.source;
        }
        key.mark = self.mark;
        key.tos = self.tos;
        key.user = self.user;
        key.broadcast = self.liberties.may_broadcast();
        if multicast && self.multicast_interface != 0 {
            key.interface = self.multicast_interface;
        }
        if self.interface != 0 {
            key.interface = self.interface;
        }
        Route::lookup(host.net(), &key)
    }
}

/// An address of this namespace by which others may know it: the source towards anywhere, or towards the interfaces' own
/// networks.
pub fn primary_address(net: &Net) -> [u8; 4] {
    let key = RouteKey {
        destination: Ipv4Addr::new(192, 0, 2, 1),
        source: Ipv4Addr::UNSPECIFIED,
        interface: 0,
        mark: 0,
        tos: 0,
        protocol: IPPROTO as u8,
        user: User::ROOT,
        broadcast: false,
    };
    if let Ok(route) = Route::lookup(net, &key) {
        return route.source().octets();
    }
    let mut from = 1;
    while let Some(interface) = crate::kernel::netdev::next_interface(net, from) {
        from = interface.index.saturating_add(1);
        if !interface.multicast {
            continue;
        }
        let key = RouteKey {
            destination: super::ALL_HOSTS,
            interface: interface.index,
            ..key
        };
        if let Ok(route) = Route::lookup(net, &key) {
            return route.source().octets();
        }
    }
    Ipv4Addr::LOCALHOST.octets()
}

impl Host {
    /// Sends the packets of a burst to the host of `path`, at once or one after another with the gap of the way there.
    /// `segment` is the message's whole segment. `again` says that it is a retransmission, for the counter.
    pub fn transmit(
        &self,
        path: &Record<PathRecord>,
        mut burst: Burst,
        segment: Option<&Pages>,
        manner: &Manner,
        again: bool,
        owner: Option<&Sk>,
    ) -> Result {
        let route = self.route(path, manner)?;
        let data_limit = data_limit(route.mtu());
        let whole = burst;
        let Some(mut packet) = burst.next(data_limit) else {
            return Ok(());
        };
        if burst.is_done() {
            return self.send(&route, &mut packet, segment, manner, again, owner);
        }
        let waits = path.join_line(whole, data_limit, || Cargo {
            segment: segment.cloned(),
            manner: *manner,
            again,
            owner: owner.map(Sk::to_ref),
        });
        if waits.is_none() {
            self.pace(path);
            return Ok(());
        }
        let pages = segment.filter(|pages| {
            pages.is_paged() && route.mtu() >= UNCUT && route.takes_long(path.is_of_this_kernel())
        });
        burst = whole;
        loop {
            let before = burst;
            let Some(packet) = burst.next(GROUP_OCTETS) else {
                return Ok(());
            };
            let pages = pages.filter(|_| packet.padded > data_limit && packet.is_from_start());
            if let Some(pages) = pages {
                let checksum = manner.liberties.has_checksum();
                let mut skb = shared_packet(&route, &packet, pages, checksum)
                    .inspect_err(|_| self.count(Counter::OutErrors))?;
                // It is parted where it leaves this machine (`part`).
                let (parts, octets) = parts_of(packet.padded, data_limit);
                skb.set_parts(OVERHEAD_OCTETS.saturating_add(octets), parts);
                if again {
                    self.counters
                        .add(Counter::Retransmissions, u64::from(parts));
                }
                self.depart(skb, &route, &packet.header, manner, owner)?;
                continue;
            }
            burst = before;
            if let Some(mut packet) = burst.next(data_limit) {
                self.send(&route, &mut packet, segment, manner, again, owner)?;
            }
        }
    }

    /// The route for a packet from `source` to the host of `path`, and the timers that follow from what is known of it, if a look at
    /// what is at hand is enough.
    #[inline]
    pub fn departure(
        &self,
        path: &PathRecord,
        manner: &Manner,
        source: Ipv4Addr,
    ) -> Option<(Route, Timing)> {
        if !manner.is_ordinary(self) || path.is_multicast() {
            return None;
        }
        path.departure(self)
            .filter(|(route, _)| source.is_unspecified() || source == route.source())
    }

    /// The route for packets to the host of `path`.
    pub(super) fn route(&self, path: &PathRecord, manner: &Manner) -> Result<Route> {
        manner
            .route(self, path)
            .inspect_err(|_| self.count(Counter::OutErrors))
    }

    /// Sends one packet of a message.
    pub(super) fn send(
        &self,
        route: &Route,
        packet: &mut Packet,
        segment: Option<&Pages>,
        manner: &Manner,
        again: bool,
        owner: Option<&Sk>,
    ) -> Result {
        packet.header.mpg = route.is_multicast();
        let (packet, header) = (&*packet, &packet.header);
        let checksum = manner.liberties.has_checksum();
        let shared = segment
            .filter(|pages| packet.octets > PAGE && packet.is_from_start() && pages.is_paged());
        let skb = match shared {
            Some(pages) => shared_packet(route, packet, pages, checksum),
            None => self.packet(
                route,
                header,
                |filler| {
                    let pages = segment.ok_or(EINVAL)?;
                    if packet.is_from_start() {
                        // As most packets.
                        let offset = packet.group_offset as usize;
                        filler.put_pages(pages, offset, packet.octets as usize)?;
                    } else {
                        for extent in Placement::new(header.delivery, header.group_octets()) {
                            let offset = packet.group_offset.saturating_add(extent.group_offset);
                            filler.put_pages(pages, offset as usize, extent.octets as usize)?;
                        }
                    }
                    filler.put_zeros(packet.padded.saturating_sub(packet.octets) as usize)
                },
                packet.padded,
                checksum,
            ),
        }
        .inspect_err(|_| self.count(Counter::OutErrors))?;
        if again {
            self.count(Counter::Retransmissions);
        }
        self.depart(skb, route, header, manner, owner)
    }

    /// Sends one packet without state: a Notify, a Probe, or the Response to a Query with `data` as its segment.
    pub fn send_single(
        &self,
        path: &PathRecord,
        mut header: Header,
        data: &[u8],
        manner: &Manner,
    ) -> Result {
        let octets = u32::try_from(data.len())?;
        let padding = padded(octets);
        if octets != 0 {
            header.code = header.code.with(Code::SDA);
            header.segment_size = octets;
            header.delivery = Mask::for_octets(octets);
            header.length = (padding / 4) as u16;
        }
        let route = manner.route(self, path)?;
        header.mpg = route.is_multicast();
        let skb = self.packet(
            &route,
            &header,
            |filler| {
                filler.put(data)?;
                filler.put_zeros(padding.saturating_sub(octets) as usize)
            },
            padding,
            manner.liberties.has_checksum(),
        )?;
        self.depart(skb, &route, &header, manner, None)
    }

    pub(super) fn packet(
        &self,
        route: &Route,
        header: &Header,
        data: impl FnOnce(&mut Filler<'_>) -> Result,
        padded: u32,
        checksum: bool,
    ) -> Result<Skb> {
        let size = OVERHEAD_OCTETS.saturating_add(padded) as usize;
        Skb::for_output(route, size, super::PACKET, |filler| {
            fill(filler, header, checksum, |filler| {
                if padded != 0 {
                    data(filler)?;
                }
                Ok(())
            })
        })
    }

    /// Sends a packet that is made: it is counted and traced.
    pub(super) fn depart(
        &self,
        skb: Skb,
        route: &Route,
        header: &Header,
        manner: &Manner,
        owner: Option<&Sk>,
    ) -> Result {
        let options = IpOptions {
            protocol: IPPROTO as u8,
            tos: manner.tos,
            ttl: match (route.is_multicast(), manner.ttl) {
                (true, _) => Some(manner.multicast_ttl),
                (false, 0) => None,
                (false, ttl) => Some(ttl),
            },
            dont_fragment: route.mtu() >= UNCUT,
            priority: if manner.priority != 0 {
                manner.priority
            } else {
                queueing_priority(header)
            },
            mark: manner.mark,
        };
        super::trace_packet(false, route.destination(), header, skb.len());
        let (packets, octets) = on_the_wire(&skb);
        self.counters.add(Counter::OutPackets, packets);
        self.counters.add(Counter::OutOctets, octets);
        skb.send(self.net(), route, &options, &self.control, owner)
            .inspect_err(|_| self.count(Counter::OutErrors))
    }
}

/// What a packet is, or was, where devices of hardware see it: how many packets, and the octets of all.
#[inline]
pub(super) fn on_the_wire(skb: &Skb) -> (u64, u64) {
    let octets = skb.len() as u64;
    let parts = skb.parts();
    if parts == 1 {
        return (1, octets);
    }
    let headers = u64::from(parts.saturating_sub(1).saturating_mul(OVERHEAD_OCTETS));
    (u64::from(parts), octets.saturating_add(headers))
}

/// How many packets a long one with `padded` octets is parted into, and the octets of the longest: as `Packets` plans them for
/// `data_limit`, and for that length.
fn parts_of(padded: u32, data_limit: u32) -> (u32, u32) {
    let blocks = data_limit
        .wrapping_sub(data_limit % BLOCK_OCTETS)
        .max(BLOCK_OCTETS);
    // The last takes what fits, be it more than whole blocks.
    let before = padded
        .saturating_sub(data_limit)
        .saturating_add(blocks)
        .saturating_sub(1)
        .checked_div(blocks)
        .unwrap_or(0);
    let last = padded.saturating_sub(before.saturating_mul(blocks));
    (before.saturating_add(1), blocks.max(last))
}

/// Makes a packet of the first blocks of a group that shares their pages.
fn shared_packet(route: &Route, packet: &Packet, pages: &Pages, has_checksum: bool) -> Result<Skb> {
    let header = &packet.header;
    let (offset, length) = (packet.group_offset as usize, packet.octets as usize);
    let mut octets = [0; HEADER_OCTETS as usize];
    header.emit(&mut octets);
    let padding = packet.padded.saturating_sub(packet.octets) as usize;
    let mut tail = [0; PADDING_MAX + CHECKSUM_OCTETS as usize];
    let tail = tail
        .get_mut(..padding.saturating_add(CHECKSUM_OCTETS as usize))
        .ok_or(EINVAL)?;
    if has_checksum {
        let mut sum = Checksum::new();
        sum.add(&octets);
        if !header.hco {
            pages.for_each_piece(offset, length, |piece| sum.add(piece))?;
            sum.add(tail.get(..padding).ok_or(EINVAL)?);
        }
        if let Some(place) = tail.last_chunk_mut() {
            *place = sum.finish().to_be_bytes();
        }
    }
    Skb::with_pages(route, &octets, pages, offset, length, tail, super::PACKET)
}

/// Parts a long packet: into such as it would have been sent as (2.13).
pub(super) fn part(whole: &Skb, octets: u32, parts: &mut Parts<'_>) -> Result {
    let first = whole.linear().first_chunk::<{ HEADER_OCTETS as usize }>();
    let header = Header::parse(first.ok_or(EINVAL)?);
    header.check(whole.len()).map_err(|_| EINVAL)?;
    let has_checksum = whole.tail() != Some([0; CHECKSUM_OCTETS as usize]);
    let data_limit = octets.checked_sub(OVERHEAD_OCTETS).ok_or(EINVAL)?;
    let mut place = HEADER_OCTETS;
    for plan in Packets::new(header.delivery, header.group_octets(), data_limit) {
        let header = header.with_packet(&plan);
        parts.add(
            OVERHEAD_OCTETS.saturating_add(plan.padded) as usize,
            |filler| {
                fill(filler, &header, has_checksum, |filler| {
                    filler.put_skb(whole, place as usize, plan.octets as usize)?;
                    filler.put_zeros(plan.padded.saturating_sub(plan.octets) as usize)
                })
            },
        )?;
        place = place.saturating_add(plan.octets);
    }
    Ok(())
}

/// Writes a packet: its header, what `data` writes, and its checksum.
#[inline(always)]
fn fill(
    filler: &mut Filler<'_>,
    header: &Header,
    has_checksum: bool,
    data: impl FnOnce(&mut Filler<'_>) -> Result,
) -> Result {
    const { assert!(CHECKSUM_OCTETS == 4) };
    let mut octets = [0; HEADER_OCTETS as usize];
    header.emit(&mut octets);
    filler.put(&octets)?;
    data(filler)?;
    let sum = if has_checksum {
        let mut sum = Checksum::new();
        if header.hco {
            sum.add(&octets);
        } else {
            sum.add(filler.filled());
        }
        sum.finish()
    } else {
        0
    };
    filler.put(&sum.to_be_bytes())
}

/// The queueing discipline's priority for a packet: VMTP's urgent and important levels go ahead, its background behind.
fn queueing_priority(header: &Header) -> u32 {
    match header.control.priority().rank() {
        // TC_PRIO_INTERACTIVE, TC_PRIO_INTERACTIVE_BULK, TC_PRIO_BESTEFFORT, TC_PRIO_BULK.
        0..=3 => 6,
        4..=7 => 4,
        8..=11 => 0,
        _ => 2,
    }
}
