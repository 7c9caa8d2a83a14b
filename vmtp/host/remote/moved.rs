// SPDX-License-Identifier: GPL-2.0

//! The record of a remote Client on its way to another host, with its server (`migrate`).

use super::{Inner, RemoteRecord};
use crate::host::charge::Charge;
use crate::host::endpoint::Endpoint;
use crate::host::foreign;
use crate::host::path::PathRecord;
use crate::host::settings::Setting;
use crate::host::transmit::Manner;
use crate::host::Host;
use crate::kernel::lock::new_spinlock_bh;
use crate::kernel::pages::Pages;
use crate::kernel::record::{Record, Ref};
use crate::kernel::skb_queue::SkbQueue;
use crate::proto::peer::Peer;
use crate::proto::server::{Remote, State, SNAPSHOT_OCTETS};
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// A record as it travels.
pub struct Image {
    /// `Remote::snapshot`.
    pub octets: [u8; SNAPSHOT_OCTETS],
    /// Where its Client was heard last.
    pub peer: Peer,
    /// The segment of its Response.
    pub segment: Option<Pages>,
}

impl RemoteRecord {
    /// From now on nothing happens to it, until [`RemoteRecord::thaw`]. Any context.
    pub fn freeze(&self) {
        self.inner.lock().frozen = true;
    }

    /// Goes on where it was. Any context.
    pub fn thaw(record: &Ref<Self>) {
        let mut inner = record.inner.lock();
        inner.frozen = false;
        record.arm(inner.remote.deadline().nanos());
        drop(inner);
        // It may have been about to go on when it was stopped.
        Self::event(record, None, false, |inner, _| inner.remote.next());
    }

    /// The Request that its server's user has not taken is one that never came. Any context.
    pub fn unreceive(&self) {
        let mut inner = self.inner.lock();
        inner.remote.unreceive();
        while inner.take_waiting().is_some() {}
        inner.packets = SkbQueue::new();
        inner.charge.set(0, true);
        inner.charge.set_in_hand(false);
    }

    /// What of it travels. Any context.
    pub fn image(&self) -> Image {
        let inner = self.inner.lock();
        let segment = match inner.remote.state() {
            State::Responded => inner.segment.clone(),
            State::AwaitingRequest
            | State::Processing
            | State::ResponseDiscarded
            | State::Forwarded => None,
        };
        Image {
            octets: inner.remote.snapshot(),
            peer: inner.remote.peer(),
            segment,
        }
    }

    /// Its server lives elsewhere: it goes without a word. Any context.
    pub fn leave(record: &Ref<Self>) {
        record.inner.lock().gone = true;
        record.host.remotes.remove(record);
        record.host.remote_ages.remove(record);
        record.stop();
    }

    /// The record of an image for `endpoint`. EINVAL if it is none or is of another server, ENOSPC. Sleeps.
    pub fn arrive(endpoint: &Endpoint, image: Image) -> Result {
        let now = Host::now();
        let host = endpoint.host();
        let counted = host.clone();
        let path: Ref<PathRecord> = host.path(&image.peer, now)?;
        let retries = endpoint.options.response_retries();
        let cx = host.context(now, path.timing(), retries);
        let remote = Remote::restore(&image.octets, image.peer, image.segment.is_some(), &cx)
            .filter(|remote| remote.server() == endpoint.entity && remote.domain() == host.domain())
            .ok_or(EINVAL)?;
        let (client, server, deadline) = (remote.client(), remote.server(), remote.deadline());
        path.records.fetch_add(1, Ordering::Relaxed);
        let path_of_record = path.clone();
        let inner = Inner {
            shown: remote.state(),
            remote,
            path,
            packets: SkbQueue::new(),
            rare: None,
            segment: image.segment,
            retries,
            gone: false,
            frozen: false,
            manner: Manner::HOST,
            charge: Charge::new(&endpoint.memory),
        };
        let record = Record::new(
            client.bits(),
            pin_init!(RemoteRecord {
                host: counted,
                server,
                inner <- new_spinlock_bh!(inner, "vmtp::remote"),
            }),
            GFP_KERNEL,
        )
        .inspect_err(|_| {
            path_of_record.records.fetch_sub(1, Ordering::Relaxed);
        })?;
        foreign::RECORDS.add(host);
        let result = if Self::find(host, client, server).is_some() {
            Err(EINVAL)
        } else if host.is_full(Setting::RecordsMax, |host| host.remotes.len()) {
            Err(ENOSPC)
        } else {
            host.remotes.insert(&record)
        };
        if let Err(error) = result {
            record.stop();
            return Err(error);
        }
        host.remote_ages.push(&record);
        record.arm(deadline.nanos());
        Ok(())
    }
}
