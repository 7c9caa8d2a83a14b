// SPDX-License-Identifier: GPL-2.0

//! Responses of a run that are kept behind the current one until the Client has them.

use super::{Inner, RemoteRecord};
use crate::host::ATOMIC;
use crate::kernel::array::Array;
use crate::kernel::pages::Pages;
use crate::proto::burst::Burst;
use crate::proto::context::Context;
use crate::proto::wire::{Header, NotifyVmtpServer};

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
    /// A Notify is about Responses of the run that are kept behind the current one, too: those that the Client has go,
    /// of others what it lacks is sent.
    pub(super) fn notified_retained(
        &mut self,
        notify: &NotifyVmtpServer,
        cx: &Context,
    ) -> Array<Sending> {
        let mut bursts = Array::new();
        let mut rest = self.retained.len();
        while rest != 0 {
            rest = rest.wrapping_sub(1);
            let Some((mut retained, segment)) = self.retained.pop_front() else {
                break;
            };
            let Ok(burst) = retained.notified(&self.remote, notify, cx) else {
                continue;
            };
            if let Some(burst) = burst {
                // Without memory the Client asks again.
                let _ = bursts.push((burst, segment.clone()), ATOMIC);
            }
            let _ = self.retained.push_back((retained, segment), ATOMIC);
        }
        bursts
    }

    /// A Request of the run came again whose Response is kept behind the current one. `None` if it is no such Request.
    pub(super) fn repeated_retained(
        &mut self,
        header: &Header,
        cx: &Context,
    ) -> Option<Option<Sending>> {
        let mut found = None;
        let mut rest = self.retained.len();
        while rest != 0 {
            rest = rest.wrapping_sub(1);
            let Some((mut retained, segment)) = self.retained.pop_front() else {
                break;
            };
            let about = retained.transaction().since(header.transaction) >= 0
                && retained.is_about(header.transaction);
            if about && found.is_none() {
                let burst = retained.repeat(&self.remote, header, cx);
                found = Some(burst.map(|burst| (burst, segment.clone())));
            }
            let _ = self.retained.push_back((retained, segment), ATOMIC);
        }
        found
    }
}
