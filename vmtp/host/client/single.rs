// SPDX-License-Identifier: GPL-2.0

//! The common case (`proto::client::single`): a transaction that stands alone, with one packet each way, to a Server whose
//! host is known. What is not that is left to the general functions, as if it had not been looked at.

use super::side::{ClientSide, ReplySlot};
use super::Start;
use crate::host::counters::Counter;
use crate::host::endpoint::Endpoint;
use crate::host::kept;
use crate::host::settings::Setting;
use crate::host::transmit::data_limit;
use crate::host::{Host, ATOMIC};
use crate::kernel::record::Ref;
use crate::kernel::skb::Skb;
use crate::proto::client::State;
use crate::proto::path::GroupFate;
use crate::proto::peer::Peer;
use crate::proto::time::Time;
use crate::proto::wire::{Header, Transaction};

impl Endpoint {
    /// [`Endpoint::start`].
    pub(super) fn start_single(record: &Ref<Self>, start: &Start) -> Option<Transaction> {
        let host = &*record.host;
        if host.last_received().is_some() {
            return None;
        }
        let (route, timing) = start.departure.as_ref()?;
        let streaming = host.settings.is_set(Setting::Streaming);
        let now = Host::now();
        let mut guard = record.client.lock();
        let side = &mut *guard;
        // The place of the transaction before, which is over: what came of it goes.
        let [slot] = &mut *side.slots else {
            return None;
        };
        let over = matches!(slot.call.state(), State::Processing { .. });
        let held = record.is_frozen() || (slot.claims != 0 && !slot.is_taken());
        if start.request.streamed || !over || held {
            return None;
        }
        let mut packet = side.client.start_single(
            &mut slot.call,
            &start.request,
            data_limit(route.mtu()),
            timing,
            streaming,
            now,
        )?;
        slot.replies.clear();
        slot.segment.clone_from(&start.segment);
        if !slot.path.is(&start.path) {
            slot.path = start.path.clone();
        }
        slot.manner = start.manner;
        slot.cookie = start.cookie;
        slot.outcome = None;
        slot.outcome_taken = false;
        slot.claims = u32::from(start.claimed);
        slot.show(&side.client);
        let transaction = slot.call.transaction();
        record.arm(slot.call.deadline().nanos());
        drop(guard);
        host.count(Counter::TransactionsStarted);
        // What cannot be sent now is sent again by the timer.
        let segment = start.segment.as_ref();
        let _ = host.send(
            route,
            &mut packet,
            segment,
            &start.manner,
            false,
            record.sk(),
        );
        Some(transaction)
    }

    /// [`Endpoint::response`]. The packet comes back if the case is another.
    pub(super) fn response_single(
        record: &Ref<Self>,
        header: &Header,
        mut skb: Skb,
        peer: &Peer,
    ) -> Result<(), Skb> {
        let host = &*record.host;
        let Some(sk) = record.sk() else {
            return Err(skb);
        };
        if sk.receive_memory() >= sk.receive_buffer() || host.last_received().is_some() {
            return Err(skb);
        }
        let now = Host::now();
        let waiting = record.is_awaited(header, &record.waiters);
        let mut guard = record.client.lock();
        let ClientSide { client, slots, .. } = &mut *guard;
        let [slot] = &mut **slots else {
            return Err(skb);
        };
        let slot = &mut **slot;
        let expected = slot.call.transaction() == header.transaction
            && slot.call.state() == State::AwaitingResponse;
        if !expected || skb.charge_receive(sk).is_err() {
            return Err(skb);
        }
        if slot.replies.is_empty() && slot.replies.push(ReplySlot::EMPTY, ATOMIC).is_err() {
            return Err(skb);
        }
        let [reply] = &mut *slot.replies else {
            return Err(skb);
        };
        let Some(single) =
            slot.call
                .response_single(client, &mut reply.reply, header, *peer, waiting, now)
        else {
            return Err(skb);
        };
        if slot.path.peer == *peer {
            slot.path.heard(&skb);
        }
        slot.path
            .learn(single.round_trip, None, None, Some(GroupFate::Clean));
        reply.packets = kept::single(skb, header);
        reply.delivery = Some(single.delivery);
        let segment = slot.segment.take();
        slot.show(client);
        record.arm(Time::NEVER.nanos());
        drop(guard);
        drop(segment);
        host.count(Counter::TransactionsAnswered);
        record.wake();
        Ok(())
    }
}
