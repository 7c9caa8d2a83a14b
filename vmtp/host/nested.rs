// SPDX-License-Identifier: GPL-2.0

//! Forwarding by a nested call (2.9, decision 24): where a Request cannot go on under its own name, this host invokes the
//! other server as a Client of its own, and what comes of that is the server's Response. The server's process has no
//! part in it.

use super::client::{Outcome, Preallocated, Refused, Start, Whose};
use super::endpoint::{Endpoint, Role};
use super::kept::{header_of, pieces};
use super::remote::RemoteRecord;
use super::transmit::Manner;
use super::PACKET;
use crate::kernel::pages::Pages;
use crate::kernel::record::Ref;
use crate::kernel::skb_queue::SkbQueue;
use crate::proto::server::Respond;
use crate::proto::wire::{Code, Mcb, ResponseCode, Transaction};
use kernel::prelude::*;

/// For which Request the Client of a nested call asks.
pub struct Nested {
    record: Ref<RemoteRecord>,
    transaction: Transaction,
    manner: Manner,
}

impl Endpoint {
    /// Makes the call for a Request of `record`. `start` is that of the new Client. Sleeps.
    pub(super) fn nest(
        self: &Ref<Self>,
        record: Ref<RemoteRecord>,
        transaction: Transaction,
        start: &Start,
    ) -> Result {
        let host = self.host();
        let nested = Nested {
            record,
            transaction,
            manner: start.manner,
        };
        let mut slot = Some(Preallocated::new(start)?);
        let entity = host.allocate()?;
        let client = Self::make(
            host,
            entity,
            None,
            self.owner.clone(),
            &self.options,
            Role::Nested(nested),
        )?;
        let started = Self::start(&client, start, &mut slot);
        if started.is_err() {
            client.end_nested();
        }
        started.map(|_| ()).map_err(|refused| match refused {
            Refused::TooLarge => crate::kernel::errno::Errno::EMSGSIZE.into(),
            Refused::Wait | Refused::Memory | Refused::Moving | Refused::Gone => ENOMEM,
        })
    }

    /// Something came of the nested call: that is the Response. Any context.
    pub(super) fn nested_call_ended(self: &Ref<Self>, nested: &Nested) {
        let Some(outcome) = self.take_outcome(&Whose::Any, false) else {
            return;
        };
        let (mcb, segment) = match answer(&outcome) {
            Ok(answer) => answer,
            Err(_) => (Mcb::refusal(ResponseCode::ResponseDiscarded), None),
        };
        let respond = Respond {
            mcb,
            flags: nested.record.sequence_flags(nested.transaction),
            hco: false,
            priority: None,
            earlier: 0,
        };
        let answered = RemoteRecord::operate(
            &nested.record,
            None,
            &nested.manner,
            segment,
            |remote, cx| remote.respond(nested.transaction, &respond, cx),
        );
        if answered.is_err() {
            // It is too long for the Client, or nobody waits any more.
            let _ =
                RemoteRecord::operate(&nested.record, None, &Manner::HOST, None, |remote, cx| {
                    remote.abandon(nested.transaction, cx)
                });
        }
        self.end_nested();
    }

    fn end_nested(self: &Ref<Self>) {
        self.stop();
        self.host().entities.remove(self);
        let _ = self.close_client();
    }
}

/// The Response that the outcome of a nested call makes.
fn answer(outcome: &Outcome) -> Result<(Mcb, Option<Pages>)> {
    let Some(delivery) = outcome.delivery else {
        let code = outcome.failure.unwrap_or(ResponseCode::VmtpError);
        return Ok((Mcb::refusal(code), None));
    };
    let first = outcome.packets.front().and_then(header_of).ok_or(EIO)?;
    let mut mcb = first.mcb();
    if let Some(code) = delivery.code {
        let flags = mcb.code.bits() & !0x00FF_FFFF;
        mcb.code = Code::new(flags, code.bits());
    }
    if let Some(mask) = delivery.message_delivery {
        mcb.message_delivery = mask.bits();
    }
    let octets = delivery.segment_octets;
    if octets == 0 {
        mcb.code = mcb.code.without(Code::SDA);
        return Ok((mcb, None));
    }
    mcb.code = mcb.code.with(Code::SDA);
    mcb.segment_size = octets;
    let segment = segment(&outcome.packets, octets as usize)?;
    Ok((mcb, Some(segment)))
}

/// The octets of a message's packets in one store; zeros where none came.
fn segment(packets: &SkbQueue, octets: usize) -> Result<Pages> {
    let mut pages = Pages::zeroed(octets, PACKET)?;
    for skb in packets.iter() {
        for piece in pieces(skb) {
            let end = piece.end.min(octets);
            if piece.start < end {
                let length = end.saturating_sub(piece.start);
                pages.write_skb(piece.start, piece.packet, piece.place, length)?;
            }
        }
    }
    Ok(pages)
}
