// SPDX-License-Identifier: GPL-2.0

//! A Client that streams: Requests of its run wait behind the current one, and Responses are kept until the Client has
//! them.

use super::{Inner, RemoteRecord};
use crate::host::ATOMIC;
use crate::kernel::array::Array;
use crate::kernel::pages::Pages;
use crate::kernel::skb_queue::SkbQueue;
use crate::proto::burst::Burst;
use crate::proto::context::Context;
use crate::proto::server::{Arrival, Retained, Unsent};
use crate::proto::wire::{Header, NotifyVmtpServer};
use kernel::prelude::*;

/// Packets beside those of a step, with the segment they are of.
type Sending = (Burst, Option<Pages>);

impl RemoteRecord {
    /// Sends packets beside those of a step: Responses of a run again.
    pub(super) fn send_beside(&self, bursts: &[Sending]) {
        if bursts.is_empty() {
            return;
        }
        let inner = self.inner.lock();
        let (path, manner) = (inner.path.clone(), inner.manner);
        drop(inner);
        let server = self.host.server(self.server);
        let owner = server.as_ref().and_then(|server| server.sk());
        for (burst, segment) in bursts {
            let _ = self
                .host
                .transmit(&path, *burst, segment.as_ref(), &manner, true, owner);
        }
    }
}

impl Inner {
    /// How many Requests wait behind the current one.
    pub(super) fn waiting(&self) -> usize {
        self.rare.as_ref().map_or(0, |run| run.waiting.len())
    }

    /// A Request has to wait. ENOMEM.
    pub(super) fn add_waiting(&mut self, arrival: Arrival, packets: SkbQueue) -> Result {
        let run = self.rare()?;
        let octets = packets.octets();
        run.waiting
            .push_back((arrival, packets), ATOMIC)
            .map_err(|_| ENOMEM)?;
        run.waiting_octets = run.waiting_octets.saturating_add(octets);
        Ok(())
    }

    /// The oldest that waits.
    pub(super) fn take_waiting(&mut self) -> Option<(Arrival, SkbQueue)> {
        let run = self.rare.as_mut()?;
        let taken = run.waiting.pop_front();
        if let Some((_, packets)) = &taken {
            run.waiting_octets = run.waiting_octets.saturating_sub(packets.octets());
        }
        taken
    }

    /// The Response before stays, with its segment, and of `most` the oldest goes. Without memory it is one that was
    /// discarded.
    pub(super) fn retain(&mut self, retained: Retained, most: usize) {
        let segment = self.segment.take();
        if let Ok(run) = self.rare() {
            if run.retained.len() >= most {
                run.retained.pop_front();
            }
            let _ = run.retained.push_back((retained, segment), ATOMIC);
        }
    }

    /// The Responses of the run go.
    pub(super) fn release_retained(&mut self) {
        if let Some(run) = &mut self.rare {
            while run.retained.pop_front().is_some() {}
        }
    }

    /// A Notify is about Responses of the run that are kept behind the current one, too: those that the Client has go,
    /// of others what it lacks is sent. Whether the Client is to be proven first.
    pub(super) fn notified_retained(
        &mut self,
        notify: &NotifyVmtpServer,
        cx: &Context,
    ) -> (Array<Sending>, bool) {
        let mut bursts = Array::new();
        let mut unproven = false;
        let Some(run) = &mut self.rare else {
            return (bursts, unproven);
        };
        let mut rest = run.retained.len();
        while rest != 0 {
            rest = rest.wrapping_sub(1);
            let Some((mut retained, segment)) = run.retained.pop_front() else {
                break;
            };
            match retained.notified(&self.remote, notify, cx) {
                Ok(Some(burst)) => {
                    // Without memory the Client asks again.
                    let _ = bursts.push((burst, segment.clone()), ATOMIC);
                }
                Ok(None) => {}
                Err(Unsent::Unproven) => unproven = true,
                Err(Unsent::Finished) => continue,
            }
            let _ = run.retained.push_back((retained, segment), ATOMIC);
        }
        (bursts, unproven)
    }

    /// A Request of the run came again whose Response is kept behind the current one. `None` if it is no such Request.
    pub(super) fn repeated_retained(
        &mut self,
        header: &Header,
        cx: &Context,
    ) -> Option<Option<Sending>> {
        let mut found = None;
        let run = self.rare.as_mut()?;
        let mut rest = run.retained.len();
        while rest != 0 {
            rest = rest.wrapping_sub(1);
            let Some((mut retained, segment)) = run.retained.pop_front() else {
                break;
            };
            let about = retained.transaction().since(header.transaction) >= 0
                && retained.is_about(header.transaction);
            if about && found.is_none() {
                let burst = retained.repeat(&self.remote, header, cx);
                found = Some(burst.map(|burst| (burst, segment.clone())));
            }
            let _ = run.retained.push_back((retained, segment), ATOMIC);
        }
        found
    }
}
