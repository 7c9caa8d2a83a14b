// SPDX-License-Identifier: GPL-2.0

//! Receive sequence numbers of a local entity as a Client (RFC 1045, 2.12), where the host's administrator wants them.

use super::side::ClientSide;
use super::Start;
use crate::host::{Host, ATOMIC};
use crate::proto::client::{Event, Request, Sequence, Step};
use crate::proto::wire::{Header, NotifyVmtpClient};
use kernel::prelude::*;

impl ClientSide {
    /// The Request that is about to start, with the flags that the receive sequence asks for.
    pub(super) fn sequenced(&mut self, start: &Start, host: &Host) -> Request {
        let mut request = start.request;
        if host.last_received().is_none() {
            return request;
        }
        if self.sequence.is_none() {
            // Without memory its numbers stay unknown.
            self.sequence = KBox::new(Sequence::NONE, ATOMIC).ok();
        }
        if let Some(sequence) = &self.sequence {
            let numbers = start.path.timing().numbers;
            request.flags |= sequence.flags(&self.client, &request, numbers);
        }
        request
    }

    /// It has started.
    pub(super) fn sequence_sent(&mut self, host: &Host) {
        if let (Some(sequence), Some(number)) = (&mut self.sequence, host.last_received()) {
            sequence.sent(number);
        }
    }

    /// A step of the call at `index` may have a Response, of which `header` is the last packet.
    pub(super) fn sequence_received(
        &mut self,
        index: usize,
        header: Option<&Header>,
        step: &mut Step,
        host: &Host,
    ) {
        if !matches!(step.event, Event::Response(_)) {
            return;
        }
        let Some(number) = host.number_received() else {
            return;
        };
        if let (Some(sequence), Some(slot)) = (&mut self.sequence, self.slots.get(index)) {
            if let Some(heard) = sequence.received(&slot.call, header, number, step) {
                slot.path.numbered(heard);
            }
        }
    }

    /// NotifyVmtpClient about the call at `index` arrived.
    pub(super) fn sequence_notified(&mut self, index: usize, notify: &NotifyVmtpClient) {
        if let (Some(sequence), Some(slot)) = (&mut self.sequence, self.slots.get(index)) {
            sequence.notified(&slot.call, notify);
        }
    }
}
