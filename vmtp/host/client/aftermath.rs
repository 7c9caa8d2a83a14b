// SPDX-License-Identifier: GPL-2.0

//! What is to be done when the lock of a Client's side has been dropped: packets sent, users woken, others told.

use crate::host::endpoint::Endpoint;
use crate::host::path::PathRecord;
use crate::host::search::{Seeker, Who};
use crate::host::transmit::Manner;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::proto::burst::Burst;
use crate::proto::client::Step;
use crate::proto::peer::Peer;
use crate::proto::wire::{Entity, NotifyVmtpServer, Transaction};

/// What is to be done when the side's lock has been dropped.
#[derive(Default)]
pub(super) struct Aftermath {
    pub(super) burst: Option<(Burst, Option<Pages>, Manner)>,
    pub(super) path: Option<Ref<PathRecord>>,
    pub(super) notify: Option<(NotifyVmtpServer, Peer)>,
    pub(super) step: Option<Step>,
    pub(super) locate: Option<(Entity, Transaction)>,
    /// A host has said that what is to be located moved.
    pub(super) moved: bool,
    pub(super) forget: Option<Entity>,
    pub(super) wake: bool,
}

/// A transmission beside that of the step itself.
pub(super) struct Sending {
    pub(super) path: Ref<PathRecord>,
    pub(super) burst: Burst,
    pub(super) segment: Option<Pages>,
    pub(super) manner: Manner,
}

impl Aftermath {
    pub(super) fn finish(self, record: &Ref<Endpoint>, again: bool) {
        let host = &*record.host;
        if let (Some(path), Some(step)) = (&self.path, &self.step) {
            path.learn(step.round_trip, step.interpacket, step.sent, step.received);
            if let Some((burst, segment, manner)) = self.burst {
                // What cannot be sent now is sent again by the timer.
                let _ = host.transmit(path, burst, segment.as_ref(), &manner, again, record.sk());
            }
        }
        if let Some((notify, peer)) = self.notify {
            host.notify_server(&peer, &notify);
        }
        if let Some(entity) = self.forget {
            host.unlearn(entity);
        }
        if self.wake {
            record.wake();
        }
        if let Some((entity, transaction)) = self.locate {
            host.locate(
                entity,
                Seeker {
                    who: Who::Call(record.clone(), transaction),
                    moved: self.moved,
                },
            );
        }
    }
}
