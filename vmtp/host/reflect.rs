// SPDX-License-Identifier: GPL-2.0

//! The floor under the cost of a transaction, for measurements (`net.vmtp.reflect`): a Request for an entity that this host
//! does not have goes back as its Response, with the same data. There is no record, so that a Request that comes twice is
//! answered twice, and no server.

use super::transmit::{data_limit, Manner};
use super::Host;
use crate::kernel::skb::Skb;
use crate::proto::server::Source;
use crate::proto::wire::{
    Code, Control, Header, Mask, ResponseCode, HEADER_OCTETS, OVERHEAD_OCTETS,
};
use kernel::prelude::*;

impl Host {
    /// Turns a Request around, if it is one packet, stands alone and came by unicast. EINVAL.
    #[cold]
    pub(super) fn reflect(&self, header: &Header, skb: &Skb, source: &Source) -> Result {
        let of_run = header
            .control
            .has(Control::NSR | Control::NER | Control::CMG);
        let no_answer = header.code.has(Code::DGM);
        if of_run || no_answer || source.multicast || header.control.forward_count() != 0 {
            return Err(EINVAL);
        }
        let octets = skb.len().saturating_sub(OVERHEAD_OCTETS as usize);
        // Of packets that were joined each has a header of its own.
        let is_whole = header.delivery == Mask::for_octets(header.segment_octets());
        if !is_whole || octets != header.data_octets() as usize {
            return Err(EINVAL);
        }
        let response = Header {
            control: header.control.in_response(0).without(Control::STI),
            code: Code::new(
                header.code.bits() & (Code::SDA | Code::MDM),
                ResponseCode::Ok.bits(),
            ),
            ..*header
        };
        let route = self.path(&source.peer, Host::now())?.route(self)?;
        // It was a packet group that crossed the stack as one.
        if octets > data_limit(route.mtu()) as usize {
            return Err(EINVAL);
        }
        let packet = self.packet(
            &route,
            &response,
            |filler| {
                let mut result = Ok(());
                skb.for_each_piece(HEADER_OCTETS as usize, octets, |piece| {
                    if result.is_ok() {
                        result = filler.put(piece);
                    }
                })?;
                result
            },
            octets as u32,
            true,
        )?;
        self.depart(packet, &route, &response, &Manner::HOST, None)
    }
}
