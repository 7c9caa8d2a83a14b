// SPDX-License-Identifier: GPL-2.0 OR MIT

//! NotifyVmtpServer of RFC 1045, 5.8: the client's manager tells what became of a Response.

use super::{Drop, Keep, Remote, State, Step, Stop};
use crate::proto::context::Context;
use crate::proto::path::GroupFate;
use crate::proto::wire::{Mask, NotifyVmtpServer, ResponseCode, OVERHEAD_OCTETS};

impl Remote {
    /// Whether a NotifyVmtpServer is about the current Response. Late ones for the groups before its
    /// first name the Request's other groups.
    pub fn is_notified_by(&self, notify: &NotifyVmtpServer) -> bool {
        let about_response = self.outgoing.group_of(notify.transaction).is_some()
            || self.is_current(notify.transaction);
        let retry_all = notify.code.bits() == ResponseCode::RetryAll.bits()
            && self.transaction.since(notify.transaction) == i32::from(self.groups);
        self.client == notify.client && (about_response || retry_all)
    }

    /// NotifyVmtpServer about the current Response arrived.
    pub fn notified(&mut self, notify: &NotifyVmtpServer, cx: &Context) -> Step {
        let mut step = Step::NOTHING;
        let code = ResponseCode::from_bits(notify.code.bits());
        if self.state == State::ResponseDiscarded {
            // 5.3: what is asked for is gone.
            let asks = matches!(code, Some(ResponseCode::Retry | ResponseCode::RetryAll));
            if asks && !self.flags.multicast && !self.flags.datagram {
                self.notify(
                    &mut step,
                    self.transaction,
                    Mask::ALL,
                    ResponseCode::ResponseDiscarded,
                );
            }
            return step;
        }
        if self.state != State::Responded || self.flags.response_held {
            step.keep = Keep::Drop(Drop::Unwanted);
            return step;
        }
        self.allow_for(OVERHEAD_OCTETS);
        let group = self.outgoing.group_of(notify.transaction);
        let ends = self.ends();
        match code {
            Some(ResponseCode::Retry | ResponseCode::RetryAll) if self.flags.idempotent => {
                // 5.8: nothing is kept that could be sent again.
                step.keep = Keep::Drop(Drop::Protocol);
            }
            // That was looked into, or is just now.
            Some(ResponseCode::EntityMigrated) if self.flags.sought => {
                step.keep = Keep::Drop(Drop::Unwanted);
            }
            Some(ResponseCode::EntityMigrated) => {
                // 5.8: of an idempotent one only a transmission in progress still has the segment.
                step.stop = if self.flags.idempotent {
                    Stop::Keep
                } else {
                    Stop::Yes
                };
                self.flags.sought = true;
                self.locate(cx, &mut step);
            }
            // No room now: an idempotent Response is made anew when the Client asks.
            Some(ResponseCode::Busy) if self.flags.idempotent => step.stop = Stop::Yes,
            Some(ResponseCode::Retry) => {
                let Some(group) = group else {
                    return step;
                };
                step.sent = Some(GroupFate::Lossy);
                let limit = self.outgoing.asked() >= cx.policy.retries;
                let mut progress = false;
                let sent = self.send_more(&mut step, |outgoing| {
                    let missing = outgoing.missing(&ends, group, notify.delivery, cx);
                    progress = missing.progress;
                    missing
                        .burst
                        .or_else(|| outgoing.advance(&ends, cx.timing.window, cx))
                });
                if limit && !progress {
                    step.burst = None;
                    self.discard_response(cx, &mut step);
                    return step;
                }
                if !sent {
                    self.doubt(&mut step);
                    return step;
                }
                self.deadline = self.outgoing.after(cx.timing.round_trip, cx);
            }
            Some(ResponseCode::RetryAll) => {
                step.sent = Some(GroupFate::Lossy);
                let limit = self.outgoing.asked() >= cx.policy.retries;
                if limit {
                    self.discard_response(cx, &mut step);
                    return step;
                }
                let sent = self.send_more(&mut step, |outgoing| {
                    outgoing.ask(group);
                    outgoing.resume(&ends, group, cx.timing.window, cx)
                });
                if !sent {
                    self.doubt(&mut step);
                    return step;
                }
                let wait = cx.timing.acknowledgment(self.outgoing.segment_octets());
                self.deadline = self.outgoing.after(wait, cx);
            }
            Some(ResponseCode::Busy) => {
                step.stop = Stop::Yes;
                // Its time limit is that of the record: nothing of the Client came for so long.
                let limit = self.heard.plus(cx.policy.record_lifetime);
                if limit.has_come(cx.now) {
                    self.discard_response(cx, &mut step);
                    return step;
                }
                // Everything again after TS3, with a fresh count.
                self.outgoing.restart();
                self.outgoing.heard();
                self.deadline = self.outgoing.after(cx.timing.round_trip, cx);
            }
            Some(ResponseCode::Ok) => {
                let Some(group) = group else {
                    // About what came before the Response: none of it has come.
                    step.keep = Keep::Drop(Drop::Unwanted);
                    return step;
                };
                let news = self.outgoing.acknowledge(group);
                if news {
                    step.sent = Some(GroupFate::Clean);
                }
                if self.outgoing.transmissions() <= 1 && self.outgoing.groups() == 1 && news {
                    // Only a Response sent once tells its round trip.
                    step.round_trip = self
                        .outgoing
                        .last_sent()
                        .has_come(cx.now)
                        .then(|| cx.now.since(self.outgoing.last_sent()));
                }
                self.outgoing.heard();
                if !self.outgoing.is_acknowledged() {
                    let sent = self.send_more(&mut step, |outgoing| {
                        outgoing.advance(&ends, cx.timing.window, cx)
                    });
                    if !sent {
                        self.doubt(&mut step);
                        return step;
                    }
                    let wait = cx.timing.acknowledgment(self.outgoing.segment_octets());
                    self.deadline = self.outgoing.after(wait, cx);
                    return step;
                }
                self.acknowledged(cx, &mut step);
            }
            // Any error: the Client is not interested any more.
            _ => self.acknowledged(cx, &mut step),
        }
        step
    }

    /// The Client has the Response or does not want it: the data may go. A Response without data
    /// stays: its MCB is all there is, and a late duplicate of the Request may still ask for it.
    pub(super) fn acknowledged(&mut self, cx: &Context, step: &mut Step) {
        step.stop = Stop::Yes;
        if self.forward_count != 0 {
            // The forwarder waits to hear that its part is done.
            self.notify(
                step,
                self.transaction,
                Mask::ALL,
                ResponseCode::ResponseDiscarded,
            );
        }
        if self.outgoing.segment_octets() != 0 || self.flags.idempotent {
            self.discard_response(cx, step);
        } else {
            self.deadline = cx.now.plus(cx.policy.record_lifetime);
        }
    }
}
