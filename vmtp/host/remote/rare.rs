// SPDX-License-Identifier: GPL-2.0

//! What only few records have, in memory of its own.

use super::Inner;
use crate::host::ring::Ring;
use crate::host::ATOMIC;
use crate::kernel::pages::Pages;
use crate::kernel::skb_queue::SkbQueue;
use crate::proto::peer::Peer;
use crate::proto::server::{Arrival, Overheard, Retained, Sequence, State};
use kernel::prelude::*;

/// See the file.
pub(super) struct Rare {
    /// Complete Requests of a run behind the one in progress, oldest first.
    pub(super) waiting: Ring<(Arrival, SkbQueue)>,
    /// What the packets of these occupy.
    pub(super) waiting_octets: usize,
    /// Responses of a run that the Client has not acknowledged.
    pub(super) retained: Ring<(Retained, Option<Pages>)>,
    /// The group Response that another member is sending, and what of it has come.
    pub(super) overheard: Overheard,
    pub(super) heard: SkbQueue,
    /// The Client's part of the receive sequence, if the host keeps one (2.12).
    pub(super) sequence: Sequence,
    /// Where the forwarded Request, or the Response to one that was passed on, was sent last.
    pub(super) sent_to: Peer,
}

impl Inner {
    /// What is there, made if there is none. ENOMEM.
    pub(super) fn rare(&mut self) -> Result<&mut Rare> {
        match &mut self.rare {
            Some(rare) => Ok(rare),
            none @ None => {
                let rare = Rare {
                    waiting: Ring::new(),
                    waiting_octets: 0,
                    retained: Ring::new(),
                    overheard: Overheard::NONE,
                    heard: SkbQueue::new(),
                    sequence: Sequence::NONE,
                    sent_to: Peer::NONE,
                };
                Ok(none.insert(KBox::new(rare, ATOMIC)?))
            }
        }
    }

    /// What packets beside those of the Request that is being received occupy.
    pub(super) fn rare_octets(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| {
            rare.waiting_octets.saturating_add(rare.heard.octets())
        })
    }

    /// What the state of the record makes void goes.
    pub(super) fn tidy(&mut self) {
        let state = self.remote.state();
        let Some(rare) = &mut self.rare else { return };
        if state != State::Processing {
            rare.heard = SkbQueue::new();
            rare.overheard = Overheard::NONE;
        }
        let over = match state {
            State::AwaitingRequest | State::ResponseDiscarded => true,
            State::Processing | State::Responded | State::Forwarded => false,
        };
        let empty = rare.waiting.len() == 0
            && rare.retained.len() == 0
            && rare.sequence.reception().is_none();
        if over && empty {
            self.rare = None;
        }
    }
}
