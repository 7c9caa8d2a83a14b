// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Packet groups that wait to leave for one destination (RFC 1045, 2.5.6, VII.4): their packets keep
//! the interpacket gap of the way there, and the most urgent group goes first.
//!
//! A host has one [`Line`] a destination, which it may make when [`Path::pause`] is not zero and
//! forget when it is empty: while there is neither a pause nor anybody in line, a burst goes out whole
//! at once. Otherwise:
//!
//! 1. [`Line::join`] with the burst and whatever the host needs to send it (`T`: the segment, the
//!    route ...). If the line is full the burst comes back, and goes out whole and at once: pacing
//!    never loses a packet, and never grows.
//! 2. [`Line::turn`] until it gives `None`, sending what it gives.
//! 3. A timer for [`Line::deadline`], which does step 2.
//!
//! As each destination has a line of its own, pacing one does not hold up packets to another.
//! Bursts of one packet (Notify operations, retransmissions without data) need not stand in line.
//!
//! The timers of transactions know of it: [`Timing::pause`] is the same pause, and the time that a
//! burst takes to leave is added to the time waited for its answer.
//!
//! [`Path::pause`]: super::path::Path::pause
//! [`Timing::pause`]: super::context::Timing::pause

use super::burst::{Burst, Packet};
use super::time::{Span, Time};
use super::wire::{Control, Entity, Transaction};

/// The packet groups that wait for one destination, `N` at most.
#[derive(Clone, Debug)]
pub struct Line<T, const N: usize> {
    places: [Option<Place<T>>; N],
    /// When the next packet may leave.
    free: Time,
    /// The next burst to join gets this number.
    next: u32,
}

#[derive(Clone, Debug)]
struct Place<T> {
    burst: Burst,
    number: u32,
    cargo: T,
}

impl<T> Place<T> {
    /// Smaller is earlier: the more urgent, and of equals who came first.
    fn rank(&self) -> (u8, u32) {
        (self.burst.header().control.priority().rank(), self.number)
    }
}

impl<T, const N: usize> Default for Line<T, N> {
    fn default() -> Self {
        Line::new()
    }
}

impl<T, const N: usize> Line<T, N> {
    /// Nobody.
    pub const fn new() -> Line<T, N> {
        Line {
            places: [const { None }; N],
            free: Time::from_nanos(0),
            next: 0,
        }
    }

    /// Whether nobody is in line.
    pub fn is_empty(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }

    /// A burst stands in line, behind those that are as urgent or more.
    ///
    /// # Errors
    ///
    /// Both come back if the line is full.
    pub fn join(&mut self, burst: Burst, cargo: T, now: Time) -> Result<(), (Burst, T)> {
        if self.is_empty() {
            // What was not sent while nobody waited is no credit.
            self.free = if self.free.has_come(now) {
                now
            } else {
                self.free
            };
            self.next = 0;
        }
        let Some(place) = self.places.iter_mut().find(|place| place.is_none()) else {
            return Err((burst, cargo));
        };
        *place = Some(Place {
            burst,
            number: self.next,
            cargo,
        });
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    /// The packet whose turn it is, if its time has come, with at most `data_limit` octets of
    /// segment data, and the cargo of its burst. The next one leaves `pause` after it was due, so
    /// that a timer that comes late does not lower the rate.
    pub fn turn(&mut self, now: Time, pause: Span, data_limit: u32) -> Option<(Packet, T)>
    where
        T: Clone,
    {
        if !self.free.has_come(now) {
            return None;
        }
        loop {
            let place = self
                .places
                .iter_mut()
                .filter(|place| place.is_some())
                .min_by_key(|place| place.as_ref().map(Place::rank))?;
            let first = place.as_mut()?;
            let Some(packet) = first.burst.next(data_limit) else {
                *place = None;
                continue;
            };
            self.free = self.free.plus(pause);
            let cargo = if first.burst.is_done() {
                place.take()?.cargo
            } else {
                first.cargo.clone()
            };
            return Some((packet, cargo));
        }
    }

    /// When [`Line::turn`] wants to be called; [`Time::NEVER`] if nobody is in line.
    pub fn deadline(&self) -> Time {
        if self.is_empty() {
            Time::NEVER
        } else {
            self.free
        }
    }

    /// A Response, or what is left of it, is not to leave any more (5.8): the cargo of a burst that
    /// was in line.
    pub fn stop_response(&mut self, client: Entity, server: Entity, of: Transaction) -> Option<T> {
        let place = self.places.iter_mut().find(|place| {
            place.as_ref().is_some_and(|place| {
                let header = place.burst.header();
                header.control.has(Control::RESPONSE)
                    && header.client == client
                    && header.server == server
                    && header.transaction == of
            })
        })?;
        Some(place.take()?.cargo)
    }
}
