// SPDX-License-Identifier: GPL-2.0

//! Group Responses (RFC 1045, 2.7): a server that wants them gets what other members of the group answer to a Request
//! that it has and has not answered.

use super::{Delivered, Kind, RemoteRecord};
use crate::host::counters::Counter;
use crate::host::endpoint::Endpoint;
use crate::host::kept::keep;
use crate::kernel::record::Ref;
use crate::kernel::skb::Skb;
use crate::proto::server::{Arrival, OverheardStep};
use crate::proto::wire::Header;

impl RemoteRecord {
    /// A packet of a Response that was multicast, for a server that wants such and has a record of the Client. All checks
    /// are done. Softirq.
    pub fn overhear(record: &Ref<Self>, endpoint: &Endpoint, header: &Header, skb: Skb) {
        let host = &*record.host;
        let full = endpoint.is_full() || endpoint.queued() >= endpoint.options.request_queue();
        let mut guard = record.inner.lock();
        let inner = &mut *guard;
        if inner.gone || inner.frozen || !inner.remote.accepts_group_response(header, true) {
            drop(guard);
            host.discard(skb, Counter::DropUnwanted);
            return;
        }
        if full {
            drop(guard);
            host.discard(skb, Counter::DropNoRoom);
            if let Some(sk) = endpoint.sk() {
                sk.count_drop();
            }
            return;
        }
        let cx = inner.context(record);
        let remote = inner.remote;
        let Ok(rare) = inner.rare() else {
            drop(guard);
            host.discard(skb, Counter::DropNoMemory);
            return;
        };
        let step = rare.overheard.packet(&remote, header, true, &cx);
        let mut delivered = None;
        match step {
            OverheardStep::Drop(reason) => host.discard(skb, reason.into()),
            OverheardStep::Part {
                keep: what,
                group_offset,
            } => keep(host, &mut rare.heard, what, group_offset, Some(skb)),
            OverheardStep::Complete {
                keep: what,
                group_offset,
                segment_octets,
                message_delivery,
            } => {
                keep(host, &mut rare.heard, what, group_offset, Some(skb));
                delivered = Some(Delivered {
                    record: record.clone(),
                    kind: Kind::GroupResponse,
                    arrival: Arrival {
                        transaction: header.transaction,
                        groups: 1,
                        segment_octets,
                        message_delivery,
                        queued: false,
                        control: header.control,
                        datagram: false,
                        multicast: true,
                        received: 0,
                        reception: None,
                    },
                    packets: core::mem::take(&mut rare.heard),
                    offset: 0,
                });
            }
        }
        inner.charge_packets();
        drop(guard);
        if let Some(delivered) = delivered {
            // Best effort: what the server does not take is gone.
            drop(endpoint.deliver(delivered));
        }
    }
}
