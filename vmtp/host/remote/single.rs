// SPDX-License-Identifier: GPL-2.0

//! The common case (`proto::server::single`): a Request that stands alone and its Response, one packet each. What is not
//! that is left to the general functions, as if it had not been looked at.

use super::{Inner, RemoteRecord};
use crate::host::counters::Counter;
use crate::host::endpoint::Endpoint;
use crate::host::transmit::{data_limit, Manner};
use crate::host::Host;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::proto::path::GroupFate;
use crate::proto::server::{Arrival, Respond, Service, Source};
use crate::proto::time::Time;
use crate::proto::wire::{Header, Transaction};

impl Inner {
    #[inline]
    pub(super) fn request_single(
        &mut self,
        header: &Header,
        source: &Source,
        service: &Service,
        now: Time,
    ) -> Option<(Arrival, GroupFate)> {
        if self.rare.is_some() || !self.packets.is_empty() {
            return None;
        }
        self.remote.request_single(header, source, service, now)
    }
}

impl RemoteRecord {
    /// The server answers. False if the case is another.
    pub(in crate::host) fn respond_single(
        record: &Ref<Self>,
        endpoint: &Endpoint,
        transaction: Transaction,
        respond: &Respond,
        segment: Option<&Pages>,
        manner: &Manner,
    ) -> bool {
        let host = &*record.host;
        let now = Host::now();
        let mut guard = record.inner.lock();
        let inner = &mut *guard;
        if inner.gone || inner.frozen || inner.rare.is_some() {
            return false;
        }
        let Some((route, timing)) = host.departure(&inner.path, manner, inner.manner.source) else {
            return false;
        };
        let Some(mut packet) = inner.remote.respond_single(
            transaction,
            respond,
            data_limit(route.mtu()),
            &timing,
            &host.settings.policy(inner.retries),
            now,
        ) else {
            return false;
        };
        inner.set_manner(manner);
        let ended = inner.charge.set_in_hand(false);
        let before = core::mem::replace(&mut inner.segment, segment.cloned());
        inner.show(record);
        record.arm(inner.remote.deadline().nanos());
        drop(guard);
        drop(before);
        host.count(Counter::ResponsesSent);
        // What cannot be sent now is sent again when the Client asks.
        let _ = host.send(&route, &mut packet, segment, manner, false, endpoint.sk());
        if ended {
            endpoint.request_ended();
        }
        true
    }
}
