// SPDX-License-Identifier: GPL-2.0

//! Packets on their way in: checked, counted, and handed to whom they are for (RFC 1045, 4.7).

use super::counters::Counter;
use super::endpoint::Endpoint;
use super::remote::RemoteRecord;
use super::settings::Setting;
use super::{transmit, Host, INTERNET};
use crate::kernel::net::Net;
use crate::kernel::protocol::{self, IcmpError, Protocol, Receiver};
use crate::kernel::protocol::{
    ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, ICMP_NET_UNREACH, ICMP_PROT_UNREACH,
};
use crate::kernel::record::Ref;
use crate::kernel::skb::Skb;
use crate::kernel::skb_part::Parts;
use crate::kernel::skb_queue::SkbQueue;
use crate::kernel::skb_train::Coupled;
use crate::proto::client::{stray, Stray, Unreachable};
use crate::proto::peer::Peer;
use crate::proto::server::{refuse, Refusal, Remote, Source, State};
use crate::proto::time::Time;
use crate::proto::wire::{
    Checksum, Code, Control, Entity, Header, Procedure, ResponseCode, Transaction, Verification,
    WireError, CHECKSUM_OCTETS, HEADER_OCTETS, IPPROTO, OVERHEAD_OCTETS,
};
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// How often a record is looked for that goes while it is looked for.
const FIND_TRIES: u32 = 3;

static PROTOCOL: Protocol<Host> = Protocol::new();

impl Receiver for Host {
    const PROTOCOL: u8 = IPPROTO as u8;

    fn storage() -> &'static Protocol<Self> {
        &PROTOCOL
    }

    fn receive(net: &Net, mut skb: Skb) {
        let Some(host) = Host::of(net) else { return };
        let others = SkbQueue::behind(&mut skb);
        if others.is_empty() {
            host.packet_arrived(skb);
        } else {
            host.train_arrived(skb, others);
        }
    }

    fn part(whole: &Skb, octets: u32, parts: &mut Parts<'_>) -> Result {
        transmit::part(whole, octets, parts)
    }

    fn error(net: &Net, error: &IcmpError<'_>) {
        let Some(host) = Host::of(net) else { return };
        let who = match (error.kind, error.code) {
            (ICMP_DEST_UNREACH, ICMP_PROT_UNREACH) => Unreachable::Protocol,
            (ICMP_DEST_UNREACH, ICMP_HOST_UNREACH | ICMP_NET_UNREACH) => Unreachable::Host,
            _ => return,
        };
        // Eight octets are quoted for certain: the Client. A Response's Client is not here.
        let Some(client) = error.quoted.first_chunk::<8>() else {
            return;
        };
        // Of those that quote no more there is no telling in which domain.
        let domain = error
            .quoted
            .get(8..)
            .and_then(|rest| rest.first_chunk::<2>())
            .map_or(INTERNET, |octets| u16::from_be_bytes(*octets) & 0x1FFF);
        let Some(host) = host.of_domain(domain) else {
            return;
        };
        // Most hosts quote more.
        let transaction = error
            .quoted
            .get(16..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map(|octets| Transaction::from_bits(u32::from_be_bytes(*octets)));
        if let Some(endpoint) = host.entities.get(u64::from_be_bytes(*client)) {
            let peer = Peer::inet(error.destination.octets());
            Endpoint::unreachable(&endpoint, &peer, transaction, who);
        }
    }
}

/// Packets of protocol 81 come in until the result is dropped.
pub fn register() -> Result<protocol::Registration<Host>> {
    Protocol::<Host>::register()
}

impl Host {
    /// A packet of protocol 81 arrived. Softirq.
    fn packet_arrived(&self, skb: Skb) {
        let multicast = skb.is_multicast();
        if let Some(checked) = self.check(skb, multicast) {
            self.arrived(&checked.header, checked.skb, &checked.source);
        }
    }

    /// A train arrived. Packets of it that are one transmission of a group go on as one, with the blocks of all. Softirq.
    fn train_arrived(&self, first: Skb, mut others: SkbQueue) {
        // Only the first has the route that says so.
        let multicast = first.is_multicast();
        let mut before: Option<(Header, Source, Coupled)> = None;
        let mut next = Some(first);
        while let Some(skb) = next.take().or_else(|| others.pop_front()) {
            let Some(Checked {
                mut skb,
                header,
                source,
                verified,
            }) = self.check(skb, multicast)
            else {
                continue;
            };
            if let Some((group, _, coupled)) = before.as_mut().filter(|_| verified) {
                let united = *group;
                if group.absorb(&header) {
                    match coupled.couple(skb) {
                        Ok(()) => continue,
                        Err(alone) => {
                            *group = united;
                            skb = alone;
                        }
                    }
                }
            }
            if let Some((header, source, coupled)) = before.take() {
                self.arrived(&header, coupled.into_skb(), &source);
            }
            if !verified {
                self.arrived(&header, skb, &source);
                continue;
            }
            match Coupled::new(skb) {
                Ok(coupled) => before = Some((header, source, coupled)),
                Err(skb) => self.arrived(&header, skb, &source),
            }
        }
        if let Some((header, source, coupled)) = before {
            self.arrived(&header, coupled.into_skb(), &source);
        }
    }

    /// A packet that may be believed, of a domain that this host is in.
    fn arrived(&self, header: &Header, skb: Skb, source: &Source) {
        let Some(host) = self.of_domain(header.domain) else {
            self.discard(skb, Counter::DropForeign);
            return;
        };
        if header.is_response() {
            host.count(Counter::InResponses);
            host.response_arrived(header, skb, source);
        } else {
            host.count(Counter::InRequests);
            host.request_arrived(header, skb, source);
        }
    }

    /// Counts a packet and looks whether it may be believed; if not, it has been dropped and its sender told. `multicast`
    /// is of the train.
    #[inline(always)]
    fn check(&self, mut skb: Skb, multicast: bool) -> Option<Checked> {
        let octets = skb.len();
        let (packets, wire_octets) = transmit::on_the_wire(&skb);
        self.counters.add(Counter::InPackets, packets);
        self.counters.add(Counter::InOctets, wire_octets);
        if !skb.unite() {
            self.discard(skb, Counter::DropNoMemory);
            return None;
        }
        let Some(first) = skb
            .pull::<{ HEADER_OCTETS as usize }>()
            .filter(|_| octets >= OVERHEAD_OCTETS as usize)
        else {
            self.discard(skb, Counter::DropShort);
            return None;
        };
        let header = Header::parse(first);
        let ip = skb.ip();
        super::trace_packet(true, ip.source, &header, octets);
        let source = Source {
            peer: Peer::inet(ip.source.octets()),
            multicast,
        };
        let Some(host) = self.of_domain(header.domain) else {
            self.discard(skb, Counter::DropForeign);
            return None;
        };
        let checked = header.check(octets);
        let mut verified = false;
        // Encrypted packets cannot be looked into; everything else has a checksum that says whether it may be believed.
        if !header.epg {
            match self.verify(&header, &skb) {
                Verification::Correct => verified = true,
                Verification::Absent if !self.settings.is_set(Setting::ChecksumRequired) => {}
                Verification::Absent => {
                    self.discard(skb, Counter::DropNoChecksum);
                    return None;
                }
                Verification::Wrong => {
                    self.discard(skb, Counter::DropChecksum);
                    return None;
                }
            }
        }
        if let Err(error) = checked {
            host.malformed(&header, skb, error, verified, &source);
            return None;
        }
        if header.epg {
            if self.only_looks_encrypted(&header, &skb) {
                self.discard(skb, Counter::DropChecksum);
                return None;
            }
            self.discard(skb, Counter::DropForeign);
            host.refuse(&header, Refusal::SecurityNotSupported, &source);
            return None;
        }
        Some(Checked {
            skb,
            header,
            source,
            verified,
        })
    }

    /// Compares the checksum that ends the packet with that of its octets.
    fn verify(&self, header: &Header, skb: &Skb) -> Verification {
        let Some(field) = skb.tail::<{ CHECKSUM_OCTETS as usize }>() else {
            return Verification::Wrong;
        };
        let field = u32::from_be_bytes(field);
        if field == 0 {
            return Verification::Absent;
        }
        let covered = if header.hco {
            HEADER_OCTETS as usize
        } else {
            skb.len().saturating_sub(CHECKSUM_OCTETS as usize)
        };
        let mut sum = Checksum::new();
        if skb
            .for_each_piece(0, covered, |piece| sum.add(piece))
            .is_err()
        {
            return Verification::Wrong;
        }
        sum.verify(field)
    }

    /// Whether the packet has the checksum of the same one without EPG: then that bit was damaged on the way, and a
    /// plain Request is not to fail of it.
    fn only_looks_encrypted(&self, header: &Header, skb: &Skb) -> bool {
        let plain = Header {
            epg: false,
            ..*header
        };
        let mut octets = [0; HEADER_OCTETS as usize];
        plain.emit(&mut octets);
        let mut sum = Checksum::new();
        sum.add(&octets);
        let data = if header.hco {
            0
        } else {
            skb.len().saturating_sub(OVERHEAD_OCTETS as usize)
        };
        let summed = skb.for_each_piece(HEADER_OCTETS as usize, data, |piece| sum.add(piece));
        let field = skb.tail().map_or(0, u32::from_be_bytes);
        summed.is_ok() && sum.verify(field) == Verification::Correct
    }

    fn malformed(
        &self,
        header: &Header,
        skb: Skb,
        error: WireError,
        verified: bool,
        source: &Source,
    ) {
        let counter = if error == WireError::Version {
            Counter::DropForeign
        } else {
            Counter::DropProtocol
        };
        self.discard(skb, counter);
        if error.silent() || !verified || source.multicast {
            return;
        }
        if header.is_response() {
            let notify = crate::proto::wire::NotifyVmtpServer {
                server: header.server,
                client: header.client,
                transaction: header.transaction,
                delivery: crate::proto::wire::Mask::EMPTY,
                code: crate::proto::wire::ResponseCode::VmtpError.code(),
            };
            self.notify_server(&source.peer, &notify);
        } else {
            self.refuse(header, Refusal::VmtpError, source);
        }
    }

    /// Tells the sender of a Request that it is refused; never a Notify operation (decision: these are not answered).
    fn refuse(&self, header: &Header, refusal: Refusal, source: &Source) {
        let to_manager = header.server == Entity::MANAGER_GROUP;
        if to_manager && Procedure::of(header.code).is_some_and(Procedure::is_notify) {
            return;
        }
        if let Some(mut notify) = refuse(header, refusal, source) {
            if let Some(number) = self.last_received() {
                // 4.5: without a record, of the host's last message.
                notify = notify.with_receive_sequence(number);
            }
            if let Ok(path) = self.path(&source.peer, Host::now()) {
                self.notify_client(&path, &notify, header.control.forward_count() != 0);
            }
        }
    }

    /// 2.7: the servers of this host that want group Responses and have a record of the Client get a copy. Whether there
    /// was one.
    fn overheard(&self, header: &Header, skb: &Skb) -> bool {
        let mut anyone = false;
        self.remotes.for_each(header.client.bits(), |record| {
            let server = self.entities.get(record.server.bits());
            let wants = |server: &Ref<Endpoint>| {
                server.options.takes_group_responses()
                    && server.entity != header.server
                    && server.hears(skb)
            };
            let Some(server) = server.filter(wants) else {
                return ControlFlow::Continue(());
            };
            anyone = true;
            let Ok(copy) = skb.try_clone(super::ATOMIC) else {
                self.count(Counter::DropNoMemory);
                return ControlFlow::Continue(());
            };
            let Some(mut copy) = self.with_checksum(&server, copy) else {
                return ControlFlow::Continue(());
            };
            if server.passes_filter(&mut copy) {
                RemoteRecord::overhear(&record, &server, header, copy);
            } else {
                self.discard(copy, Counter::DropFiltered);
            }
            ControlFlow::Continue(())
        });
        anyone
    }

    fn response_arrived(&self, header: &Header, skb: Skb, source: &Source) {
        let overheard = source.multicast && self.overheard(header, &skb);
        let endpoint = self.entities.get(header.client.bits());
        if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.hears(&skb)) {
            let Some(mut skb) = self.with_checksum(&endpoint, skb) else {
                return;
            };
            if !endpoint.passes_filter(&mut skb) {
                self.discard(skb, Counter::DropFiltered);
                return;
            }
            if Endpoint::response(&endpoint, header, skb, source.peer, source.multicast) {
                self.learn(header.server, &source.peer);
            }
            return;
        }
        if header.client == self.manager() || header.client == Entity::DEFAULT_LECLIENT {
            self.probe_answered(header, skb, source.peer);
            return;
        }
        if overheard {
            // It was for them alone.
            drop(skb);
            return;
        }
        self.discard(skb, Counter::DropNoEntity);
        let streaming = self.settings.is_set(Setting::Streaming);
        let client = match self.absence(header.client) {
            ResponseCode::EntityMigrated => Stray::Migrated,
            _ => Stray::Unknown,
        };
        if let Some(notify) = stray(header, client, source.multicast, streaming) {
            self.notify_server(&source.peer, &notify);
        }
    }

    fn request_arrived(&self, header: &Header, skb: Skb, source: &Source) {
        if header.server == Entity::MANAGER_GROUP || header.server == self.manager() {
            self.manage(header, skb, source);
            return;
        }
        let now = Host::now();
        if header.control.forward_count() != 0 {
            // 5.7: of a Client of this host, which must still wait for its Response.
            if let Some(client) = self.entities.get(header.client.bits()) {
                if !client.takes_forwarded(header) {
                    self.discard(skb, Counter::DropOld);
                    return;
                }
            }
        }
        if !header.server.is_group() {
            let endpoint = self.entities.get(header.server.bits());
            let Some(endpoint) = endpoint.filter(|endpoint| endpoint.hears(&skb)) else {
                let reflects = self.settings.is_set(Setting::Reflect);
                if reflects && self.reflect(header, &skb, source).is_ok() {
                    return;
                }
                self.discard(skb, Counter::DropNoEntity);
                let moved = self.absence(header.server) == ResponseCode::EntityMigrated;
                let refusal = if moved {
                    Refusal::EntityMigrated
                } else {
                    Refusal::NonexistentEntity
                };
                self.refuse(header, refusal, source);
                return;
            };
            self.request_for(&endpoint, header, skb, source, now, &mut None);
            return;
        }
        // 2.7: a copy for each member here, but not for the Client itself.
        if header.code.has(Code::CRE) && !self.has_entity(header.coresident()) {
            self.discard(skb, Counter::DropNoEntity);
            return;
        }
        if let Some(client) = self.entities.get(header.client.bits()) {
            if !client.options.is_multicast_loop() {
                return;
            }
        }
        // Asked once for all of them: the Client may have a record with each.
        let mut old = None;
        let mut anyone = false;
        self.members.for_each(header.server.bits(), |membership| {
            let for_it =
                membership.endpoint.entity != header.client && membership.endpoint.hears(&skb);
            if for_it {
                anyone = true;
                match skb.try_clone(super::ATOMIC) {
                    Ok(copy) => {
                        self.request_for(&membership.endpoint, header, copy, source, now, &mut old)
                    }
                    Err(_) => self.count(Counter::DropNoMemory),
                }
            }
            ControlFlow::Continue(())
        });
        if !anyone {
            self.discard(skb, Counter::DropNoEntity);
        }
    }

    /// The packet, if the entity takes it as far as its checksum goes.
    fn with_checksum(&self, endpoint: &Ref<Endpoint>, skb: Skb) -> Option<Skb> {
        if endpoint.options.is_checksum_required() && skb.tail::<4>() == Some([0; 4]) {
            self.discard(skb, Counter::DropNoChecksum);
            return None;
        }
        Some(skb)
    }

    /// `old` says, once that is known, whether the Client has gone on with another server here; what it had with others
    /// before is ended then.
    pub(super) fn request_for(
        &self,
        endpoint: &Ref<Endpoint>,
        header: &Header,
        skb: Skb,
        source: &Source,
        now: Time,
        old: &mut Option<bool>,
    ) {
        let Some(mut skb) = self.with_checksum(endpoint, skb) else {
            return;
        };
        if endpoint.is_frozen() {
            self.discard(skb, Counter::DropMoving);
            return;
        }
        if let Some(refusal) = endpoint.refusal() {
            self.discard(skb, Counter::DropUnwanted);
            self.refuse(header, refusal, source);
            return;
        }
        if !endpoint.passes_filter(&mut skb) {
            self.discard(skb, Counter::DropFiltered);
            self.refuse(header, Refusal::NoPermission, source);
            return;
        }
        let mut found = None;
        let old =
            *old.get_or_insert_with(|| match self.supersede(header, endpoint.entity, source) {
                Superseded::Old => true,
                Superseded::Done(own) => {
                    found = own;
                    false
                }
            });
        if old {
            self.discard(skb, Counter::DropOld);
            return;
        }
        if !endpoint.served.load(Ordering::Relaxed) {
            endpoint.served.store(true, Ordering::Release);
        }
        let mut packet = Some(skb);
        // A record that goes just now makes room for another.
        for _ in 0..FIND_TRIES {
            let Some(skb) = packet.take() else { break };
            let known = found
                .take()
                .or_else(|| RemoteRecord::find(self, header.client, endpoint.entity));
            let record = match known {
                Some(record) => {
                    record.touch();
                    record
                }
                None if !Remote::may_start(header) => {
                    self.discard(skb, Counter::DropSequence);
                    self.refuse(header, Refusal::NoRunRecord, source);
                    return;
                }
                None => {
                    match RemoteRecord::find_or_make(self, header, endpoint, source.peer, now) {
                        Ok(record) => record,
                        Err(_) => {
                            self.discard(skb, Counter::DropNoRoom);
                            self.refuse(header, Refusal::Busy, source);
                            return;
                        }
                    }
                }
            };
            packet = RemoteRecord::request(&record, endpoint, header, skb, source, now);
        }
        if let Some(skb) = packet {
            self.discard(skb, Counter::DropNoRoom);
        }
    }

    /// A Request outside a run ends what the same Client had with other servers of this host (2.3, 5.3), and finds what it
    /// has with its own. What came from another host says nothing of it, passed on or not: anybody may name this Client.
    /// Nor does a Request that no server was given.
    fn supersede(&self, header: &Header, server: Entity, source: &Source) -> Superseded {
        let mut old = false;
        let mut own = None;
        self.remotes.for_each(header.client.bits(), |record| {
            if record.server == server {
                own = own.take().or(Some(record));
                return ControlFlow::Continue(());
            }
            let (state, _) = record.look();
            let elsewhere = !state.peer().is_same_host(&source.peer);
            if elsewhere || state.state() == State::AwaitingRequest {
                return ControlFlow::Continue(());
            }
            let since = header.transaction.since(state.transaction());
            if since < 0 {
                old = true;
                return ControlFlow::Break(());
            }
            let busy = matches!(
                state.state(),
                State::Processing | State::Responded | State::Forwarded
            );
            if since > 0 && busy && !header.control.has(Control::NSR) {
                RemoteRecord::superseded(&record, header.transaction);
            }
            ControlFlow::Continue(())
        });
        if old {
            Superseded::Old
        } else {
            Superseded::Done(own)
        }
    }
}

/// A packet that may be believed.
struct Checked {
    skb: Skb,
    header: Header,
    source: Source,
    /// It has a checksum, which is right.
    verified: bool,
}

/// What of a Client's records a Request of its leaves.
enum Superseded {
    /// The Client has gone on to a later transaction with another server here: the Request is an old one.
    Old,
    /// The record of the Client with the Request's own server, if there is one.
    Done(Option<Ref<RemoteRecord>>),
}
