// SPDX-License-Identifier: GPL-2.0

//! The ways to other hosts (the RFC's ServerHost cache, VII.2): for each address what `proto::path` knows and a route,
//! and for each entity that is not where its identifier says, its address.

use super::foreign;
use super::pace::Waiting;
use super::settings::Setting;
use super::transmit::{data_limit, Manner};
use super::Host;
use crate::kernel::clock;
use crate::kernel::lock::{new_spinlock_bh, SpinLockBh};
use crate::kernel::pernet::StateRef;
use crate::kernel::record::{Record, Recorded, Ref};
use crate::kernel::route::{Route, RouteKey, User};
use crate::kernel::skb::Skb;
use crate::proto::client::Heard;
use crate::proto::context::Timing;
use crate::proto::manager::{Limiter, ERRORS_A_SECOND};
use crate::proto::path::{GroupFate, Path};
use crate::proto::peer::Peer;
use crate::proto::time::{Span, Time};
use crate::proto::wire::{Entity, IPPROTO};
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use kernel::prelude::*;

/// How long a way or an address is kept without being used.
const KEPT: Span = Span::from_millis(600_000);

/// Octets of an IP packet when there is no route to ask.
const DEFAULT_MTU: u32 = 1_500;

/// The way to one address.
#[pin_data(PinnedDrop)]
pub struct PathRecord {
    pub(super) host: StateRef<Host>,
    /// The host, or host group.
    pub peer: Peer,
    /// Records of Clients there.
    pub(super) records: AtomicU32,
    /// What came last from there was of this kernel, so that long packets may arrive whole.
    of_this_kernel: AtomicBool,
    /// The tick at which it was last used (`clock::ticks`).
    used: AtomicU64,
    /// It is the way to a group of hosts.
    multicast: bool,
    /// Groups that wait to leave.
    #[pin]
    pub(super) waiting: SpinLockBh<Waiting>,
    #[pin]
    inner: SpinLockBh<Inner>,
}

struct Inner {
    path: Path,
    /// What follows from `path`, which is asked far more often than it changes.
    timing: Timing,
    route: Option<Route>,
    /// Of `Host::speeds`, when the time of a packet was computed.
    speeds: u32,
    errors: Limiter,
    answers: Limiter,
}

#[pinned_drop]
impl PinnedDrop for PathRecord {
    fn drop(self: Pin<&mut Self>) {
        foreign::PATHS.sub(&self.host);
    }
}

impl Recorded for PathRecord {
    fn expired(record: Ref<Self>) {
        record.host.pace(&record);
        if record.is_waiting() {
            return;
        }
        // Only the table keeps a way that nobody has used for so long; its route holds a device.
        let now = Time::from_nanos(clock::monotonic());
        let mut inner = record.inner.lock();
        let route = inner.route.take();
        drop(inner);
        drop(route);
        let idle = record.idle();
        if idle >= KEPT {
            record.host.forget_path(&record);
        } else {
            let rest = Span::from_nanos(KEPT.nanos().saturating_sub(idle.nanos()));
            record.arm(now.plus(rest).nanos());
            if record.is_waiting() {
                // A group has come meanwhile, and its time may have been put off just now.
                record.arm(now.nanos());
            }
        }
    }
}

impl PathRecord {
    pub(super) fn make(host: StateRef<Host>, peer: Peer, now: Time) -> Result<Ref<Self>> {
        let path = Path::new(
            DEFAULT_MTU,
            packet_time(DEFAULT_MTU, host.settings.get(Setting::LinkSpeed)),
        );
        let multicast = peer
            .as_inet()
            .is_some_and(|address| Ipv4Addr::from(address).is_multicast());
        let record = Record::new(
            key(&peer),
            pin_init!(PathRecord {
                host,
                peer,
                records: AtomicU32::new(0),
                of_this_kernel: AtomicBool::new(false),
                used: AtomicU64::new(clock::ticks()),
                multicast,
                waiting <- new_spinlock_bh!(Waiting::new(), "vmtp::waiting"),
                inner <- new_spinlock_bh!(
                    Inner {
                        timing: path.timing(),
                        path,
                        route: None,
                        speeds: 0,
                        errors: Limiter::new(now),
                        answers: Limiter::new(now),
                    },
                    "vmtp::path"
                ),
            }),
            super::ATOMIC,
        )?;
        foreign::PATHS.add(&record.host);
        Ok(record)
    }

    /// It is in the table, for a while.
    pub(super) fn keep(self: &Record<Self>, now: Time) {
        self.arm(now.plus(KEPT).nanos());
    }

    /// Whether the table alone keeps it: with its list by age, and its timer.
    pub(super) fn is_unused(record: &Record<Self>) -> bool {
        record.references() <= 3
            && record.records.load(Ordering::Relaxed) == 0
            && !record.is_waiting()
    }

    #[inline]
    fn use_now(&self) {
        let tick = clock::ticks();
        if self.used.load(Ordering::Relaxed) != tick {
            self.used.store(tick, Ordering::Relaxed);
        }
    }

    /// How long ago it was last used.
    pub(super) fn idle(&self) -> Span {
        Span::from_nanos(clock::since_tick(self.used.load(Ordering::Relaxed)))
    }

    /// The timers that follow from what is known.
    pub fn timing(&self) -> Timing {
        self.inner.lock().timing
    }

    /// From the start of a packet of a group to that of the next: the transmission time of an MTU, and the gap (2.5.6).
    /// Zero if there is no gap to keep.
    pub(super) fn spacing(&self) -> Span {
        let path = &self.inner.lock().path;
        match path.pause() {
            Span::ZERO => Span::ZERO,
            pause => path.timing().packet_time.plus(pause),
        }
    }

    /// Octets of segment data that fit a packet.
    pub(super) fn data_limit(&self) -> u32 {
        data_limit(self.inner.lock().path.mtu)
    }

    /// A copy of what is known, for people.
    pub fn path(&self) -> Path {
        self.inner.lock().path
    }

    /// The route, looked up if the one at hand does not hold any more. It is that of the host itself, without the
    /// options of a socket.
    pub fn route(&self, host: &Host) -> Result<Route> {
        self.use_now();
        let mut inner = self.inner.lock();
        if let Some(route) = inner.route.as_ref().and_then(Route::again) {
            if !inner.is_measured(host, &route) {
                inner.measure(host, &route);
            }
            return Ok(route);
        }
        drop(inner);
        let route = Route::lookup(host.net(), &self.route_key())?;
        let mut inner = self.inner.lock();
        inner.measure(host, &route);
        let before = inner.route.replace(route.clone());
        drop(inner);
        drop(before);
        Ok(route)
    }

    /// The route and the timers, if the one at hand holds: what the next packet needs.
    #[inline]
    pub(super) fn departure(&self, host: &Host) -> Option<(Route, Timing)> {
        self.use_now();
        let inner = self.inner.lock();
        let route = inner.route.as_ref()?.again()?;
        inner
            .is_measured(host, &route)
            .then_some((route, inner.timing))
    }

    /// Looks whether there is a route for what is sent in this manner. ENETUNREACH and the like.
    pub fn is_routed(&self, host: &Host, manner: &Manner) -> Result {
        if !manner.is_ordinary(host) {
            let route = manner.route(host, self)?;
            let mut inner = self.inner.lock();
            if !inner.is_measured(host, &route) {
                inner.measure(host, &route);
            }
            return Ok(());
        }
        let inner = self.inner.lock();
        let valid = inner.route.as_ref().is_some_and(Route::is_valid);
        drop(inner);
        if valid {
            return Ok(());
        }
        self.route(host).map(|_| ())
    }

    /// A packet came from there.
    #[inline]
    pub(super) fn heard(&self, skb: &Skb) {
        let here = skb.is_of_this_kernel();
        if self.of_this_kernel.load(Ordering::Relaxed) != here {
            self.of_this_kernel.store(here, Ordering::Relaxed);
        }
    }

    /// Whether the host is of this kernel: another namespace of this machine.
    pub(super) fn is_of_this_kernel(&self) -> bool {
        self.of_this_kernel.load(Ordering::Relaxed)
    }

    /// Whether it is the way to a group of hosts.
    #[inline]
    pub fn is_multicast(&self) -> bool {
        self.multicast
    }

    /// What a route to the host is looked up by.
    pub fn route_key(&self) -> RouteKey {
        RouteKey {
            destination: Ipv4Addr::from(self.peer.as_inet().unwrap_or([0; 4])),
            source: Ipv4Addr::UNSPECIFIED,
            interface: self.peer.interface,
            mark: 0,
            tos: 0,
            protocol: IPPROTO as u8,
            user: User::ROOT,
            broadcast: false,
        }
    }

    /// Takes in what a step learned.
    pub fn learn(
        &self,
        round_trip: Option<Span>,
        interpacket: Option<Span>,
        sent: Option<GroupFate>,
        received: Option<GroupFate>,
    ) {
        if round_trip.is_none() && interpacket.is_none() && sent.is_none() && received.is_none() {
            return;
        }
        let mut inner = self.inner.lock();
        let path = &mut inner.path;
        let mut news = round_trip.is_some() || interpacket.is_some();
        if let Some(span) = round_trip {
            path.sample_round_trip(span);
        }
        if let Some(span) = interpacket {
            path.sample_interpacket(span);
        }
        if let Some(fate) = sent {
            news |= path.sent(fate);
        }
        if let Some(fate) = received {
            news |= path.received(fate);
        }
        if news {
            inner.timing = inner.path.timing();
        }
    }

    /// The host asked for this spacing of packets sent to it.
    pub fn asked_for_gap(&self, gap: u8) {
        let mut inner = self.inner.lock();
        inner.path.asked_for_gap(gap);
        inner.timing = inner.path.timing();
    }

    /// The host told something of its receive sequence (2.12).
    pub fn numbered(&self, heard: Heard) {
        let mut inner = self.inner.lock();
        inner.path.numbered(heard);
        inner.timing = inner.path.timing();
    }

    /// The host does not stream.
    pub fn does_not_stream(&self) {
        let mut inner = self.inner.lock();
        inner.path.does_not_stream();
        inner.timing = inner.path.timing();
    }

    /// Whether another error may be notified to the host. As of answers, one that is not remembered has no share of its own.
    pub fn may_notify_error(self: &Record<Self>, now: Time) -> bool {
        if self.is_remembered() {
            self.inner.lock().errors.take(ERRORS_A_SECOND, now)
        } else {
            self.host.errors.lock().take(ERRORS_A_SECOND, now)
        }
    }

    /// Whether another answer to what has no record may be sent to the host. One that is not remembered, for there are
    /// too many, has no share of its own.
    pub(super) fn may_answer(self: &Record<Self>, a_second: u32, now: Time) -> bool {
        if self.is_remembered() {
            self.inner.lock().answers.take(a_second, now)
        } else {
            self.host.answers.lock().take(a_second, now)
        }
    }

    /// Whether it is in the table.
    fn is_remembered(self: &Record<Self>) -> bool {
        let known = self.host.paths.get(self.key());
        known.is_some_and(|known| core::ptr::eq::<Record<Self>>(&*known, self))
    }
}

impl Inner {
    /// Whether what is known is of this route as it is.
    #[inline]
    fn is_measured(&self, host: &Host, route: &Route) -> bool {
        route.mtu() == self.path.mtu && host.speeds() == self.speeds
    }

    fn measure(&mut self, host: &Host, route: &Route) {
        let mtu = route.mtu();
        self.speeds = host.speeds();
        let speed = host.speed_of(route.interface());
        self.path.set_mtu(mtu, packet_time(mtu, speed));
        self.timing = self.path.timing();
    }
}

/// The transmission time of a packet of `mtu` octets on a link of `speed` Mb/s.
fn packet_time(mtu: u32, speed: u32) -> Span {
    Span::from_nanos(u64::from(mtu).wrapping_mul(8_000) / u64::from(speed.max(1)))
}

/// What a way is found by.
pub(super) fn key(peer: &Peer) -> u64 {
    let address = u32::from_be_bytes(peer.as_inet().unwrap_or([0; 4]));
    (u64::from(peer.interface) << 32) | u64::from(address)
}

/// Where an entity is that is not where its identifier says.
#[pin_data(PinnedDrop)]
pub struct PlaceRecord {
    pub(super) host: StateRef<Host>,
    #[pin]
    inner: SpinLockBh<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    peer: Peer,
    /// Where its manager was asked and had it, if it was.
    found: Peer,
    used: Time,
}

#[pinned_drop]
impl PinnedDrop for PlaceRecord {
    fn drop(self: Pin<&mut Self>) {
        foreign::PLACES.sub(&self.host);
    }
}

impl Recorded for PlaceRecord {
    fn expired(record: Ref<Self>) {
        let place = *record.inner.lock();
        let due = place.used.plus(KEPT);
        if due.has_come(Time::from_nanos(clock::monotonic())) {
            record.host.forget_place(&record);
        } else {
            record.arm(due.nanos());
        }
    }
}

impl PlaceRecord {
    pub(super) fn make(
        host: StateRef<Host>,
        entity: Entity,
        peer: Peer,
        found: bool,
        now: Time,
    ) -> Result<Ref<Self>> {
        let place = Place {
            peer,
            found: if found { peer } else { Peer::NONE },
            used: now,
        };
        let record = Record::new(
            entity.bits(),
            pin_init!(PlaceRecord {
                host,
                inner <- new_spinlock_bh!(place, "vmtp::place"),
            }),
            super::ATOMIC,
        )?;
        foreign::PLACES.add(&record.host);
        record.arm(now.plus(KEPT).nanos());
        Ok(record)
    }

    /// The address; it counts as used.
    pub fn peer(self: &Record<Self>, now: Time) -> Peer {
        self.touch();
        let mut place = self.inner.lock();
        place.used = now;
        place.peer
    }

    /// The address where it was found by asking, if it was ever.
    pub fn found(&self) -> Peer {
        self.inner.lock().found
    }

    /// The address, for people.
    pub fn look(&self) -> Peer {
        self.inner.lock().peer
    }

    /// The entity was heard from this address, or `found` there by asking. Tells whether that is another than before.
    pub fn moved(&self, peer: Peer, found: bool, now: Time) -> bool {
        let mut place = self.inner.lock();
        let moved = place.peer != peer;
        place.peer = peer;
        place.used = now;
        if found {
            place.found = peer;
        }
        moved
    }
}
