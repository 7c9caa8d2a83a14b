// SPDX-License-Identifier: GPL-2.0

//! Packet groups that wait to leave for one host (2.5.6, VII.4): their packets keep the interpacket gap of the way there,
//! and the most urgent group goes first. `proto::line` is the order; here are its timer, the way's, and its packets.
//!
//! A message of one packet never waits, and without a gap nothing does.

use super::path::PathRecord;
use super::transmit::Manner;
use super::{Host, ATOMIC};
use crate::kernel::pages::Pages;
use crate::kernel::record::Record;
use crate::kernel::sock::SkRef;
use crate::proto::burst::{Burst, Packet};
use crate::proto::line::Line;
use crate::proto::time::{Span, Time};
use crate::proto::wire::{Entity, Transaction};
use kernel::prelude::*;

/// Groups that wait for one host at most; what comes then leaves at once.
const PLACES: usize = 8;

/// Packets that are due within this time leave together: a timer for each would cost more than its gap is worth.
const TOGETHER: Span = Span::from_micros(50);

/// What a waiting group is sent with.
#[derive(Clone)]
pub struct Cargo {
    pub(super) segment: Option<Pages>,
    pub(super) manner: Manner,
    pub(super) again: bool,
    pub(super) owner: Option<SkRef>,
}

/// The groups that wait for one host.
pub struct Waiting {
    /// Made when the first has to wait.
    line: Option<KBox<Line<Cargo, PLACES>>>,
    /// Octets of segment data that fit a packet on every way that one of them takes.
    data_limit: u32,
}

impl Waiting {
    /// None waits.
    pub const fn new() -> Self {
        Self {
            line: None,
            data_limit: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.line.as_ref().is_none_or(|line| line.is_empty())
    }
}

impl PathRecord {
    /// Whether groups wait.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.lock().is_empty()
    }

    /// A group waits for its turn: see [`Host::pace`]. It comes back if there is no gap to keep, or no room.
    pub(super) fn join_line(
        self: &Record<Self>,
        burst: Burst,
        data_limit: u32,
        cargo: impl FnOnce() -> Cargo,
    ) -> Option<Burst> {
        let gap = self.spacing();
        let mut waiting = self.waiting.lock();
        let alone = waiting.is_empty();
        // A way that was forgotten has no timer any more.
        if (gap == Span::ZERO && alone) || self.is_stopped() {
            return Some(burst);
        }
        waiting.data_limit = if alone {
            data_limit
        } else {
            waiting.data_limit.min(data_limit)
        };
        if waiting.line.is_none() {
            waiting.line = KBox::new(Line::new(), ATOMIC).ok();
        }
        let Some(line) = &mut waiting.line else {
            return Some(burst);
        };
        let refused = line.join(burst, cargo(), Host::now()).err();
        drop(waiting);
        refused.map(|(burst, _)| burst)
    }

    /// The packet whose turn it is at `now`. If there is none yet, the timer is armed for it.
    fn turn(self: &Record<Self>, now: Time, data_limit: u32) -> Option<(Packet, Cargo)> {
        let gap = self.spacing();
        let mut waiting = self.waiting.lock();
        let data_limit = data_limit.min(waiting.data_limit);
        let line = waiting.line.as_mut()?;
        let turn = line.turn(now.plus(TOGETHER), gap, data_limit);
        if turn.is_none() && !line.is_empty() {
            self.arm(line.deadline().nanos());
        }
        turn
    }

    /// What is left of a waiting Response leaves no more (5.8): what it would have been sent with.
    pub(super) fn stop_response(
        &self,
        client: Entity,
        server: Entity,
        transaction: Transaction,
    ) -> Option<Cargo> {
        let mut waiting = self.waiting.lock();
        let line = waiting.line.as_mut()?;
        line.stop_response(client, server, transaction)
    }
}

impl Host {
    /// Sends what of the waiting groups is due.
    pub(super) fn pace(&self, path: &Record<PathRecord>) {
        while let Some((mut packet, cargo)) = path.turn(Host::now(), path.data_limit()) {
            let Cargo {
                segment,
                manner,
                again,
                owner,
            } = &cargo;
            let owner = owner.as_deref();
            // What cannot be sent now is sent again by its transaction's timer.
            if let Ok(route) = self.route(path, manner) {
                let _ = self.send(&route, &mut packet, segment.as_ref(), manner, *again, owner);
            }
        }
    }
}
