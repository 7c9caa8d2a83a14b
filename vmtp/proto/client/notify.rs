// SPDX-License-Identifier: GPL-2.0 OR MIT

//! NotifyVmtpClient of RFC 1045, 4.8: the server's manager tells what became of a Request.

use super::{Call, Client, Drop, Event, Found, State, Step};
use crate::proto::context::Context;
use crate::proto::path::GroupFate;
use crate::proto::wire::{Control, NotifyVmtpClient, ResponseCode, Transaction};

impl Call {
    /// Whether a NotifyVmtpClient with this Transaction is about this call. RETRY_ALL,
    /// MSGTRANS_OVERFLOW and NO_RUN_RECORD name the last group the server has, which may be the one
    /// before the call's first.
    pub fn is_notified_by(&self, notify: &NotifyVmtpClient) -> bool {
        if self.outgoing.group_of(notify.transaction).is_some() {
            return true;
        }
        match ResponseCode::from_bits(notify.code.bits()) {
            Some(ResponseCode::RetryAll) => self.is_just_after(notify.transaction),
            _ => false,
        }
    }

    fn is_just_after(&self, transaction: Transaction) -> bool {
        // 256 lower if the message before had STI.
        let distance = self.outgoing.first().since(transaction);
        self.flags.streamed && (distance == 1 || distance == 256)
            || self.outgoing.groups() > 1 && distance == 1
    }

    /// NotifyVmtpClient for this call arrived.
    pub fn notify(&mut self, client: &mut Client, notify: &NotifyVmtpClient, cx: &Context) -> Step {
        if self.state != State::AwaitingResponse {
            return Step::dropped(Drop::Unwanted);
        }
        let mut step = Step::NOTHING;
        let group = self.outgoing.group_of(notify.transaction);
        let ends = client.ends(self);
        let window = cx.timing.window;
        let code = ResponseCode::from_bits(notify.code.bits());
        if let Some(group) = group.filter(|_| notify.control.pg_count() != 0) {
            // 4.8: acknowledges previous packet groups.
            self.outgoing.acknowledge(group.saturating_sub(1));
        }
        match code {
            Some(ResponseCode::Ok) => {
                step.round_trip = self
                    .outgoing
                    .round_trip(notify.control.retransmit_count(), cx.now);
                if let Some(group) = group.filter(|_| !self.flags.multicast) {
                    if self.outgoing.acknowledge(group) {
                        step.sent = Some(if self.flags.lossy {
                            GroupFate::Lossy
                        } else {
                            GroupFate::Clean
                        });
                        self.flags.lossy = false;
                    }
                }
                self.flags.accepted = self.outgoing.is_acknowledged() || self.flags.multicast;
                self.outgoing.heard();
                step.burst = self.outgoing.advance(&ends, window, cx.now);
                self.wait(cx, self.response_time(cx));
            }
            Some(ResponseCode::Retry) => {
                if self.outgoing.was_header_only() {
                    step.round_trip = self
                        .outgoing
                        .round_trip(notify.control.retransmit_count(), cx.now);
                }
                if let Some(group) = group {
                    step.sent = Some(GroupFate::Lossy);
                    self.flags.lossy = true;
                    step.burst = if self.flags.multicast {
                        // Another member may lack other blocks: nothing is taken as acknowledged.
                        let mut copy = self.outgoing;
                        let missing = copy.missing(&ends, group, notify.delivery, cx.now);
                        missing.burst
                    } else {
                        self.outgoing.heard();
                        self.outgoing
                            .missing(&ends, group, notify.delivery, cx.now)
                            .burst
                    };
                    if step.burst.is_none() && !self.flags.multicast {
                        step.burst = self.outgoing.advance(&ends, window, cx.now);
                    }
                }
                self.wait(cx, self.response_time(cx));
            }
            Some(ResponseCode::RetryAll) => {
                step.sent = Some(GroupFate::Lossy);
                self.outgoing.heard();
                if self.flags.streamed || group.is_some() {
                    step.burst = self.outgoing.resume(&ends, group, window, cx.now);
                    if self.flags.streamed {
                        step.event = Event::ResendAfter(self.transaction());
                    }
                } else {
                    step.burst = self.outgoing.resume(&ends, None, window, cx.now);
                }
                self.wait(cx, self.response_time(cx));
            }
            Some(ResponseCode::Busy) => {
                if self.limit.has_come(cx.now) {
                    client.finished(self, false);
                    step.event = Event::Finished(ResponseCode::UserTimeout);
                    return step;
                }
                self.flags.resend_all = true;
                self.flags.accepted = false;
                self.outgoing.heard();
                self.wait(cx, self.response_time(cx));
            }
            Some(ResponseCode::EntityMigrated) => {
                self.outgoing.restart();
                self.flags.accepted = false;
                self.locate(&mut step);
            }
            Some(ResponseCode::StreamingNotSupported) => {
                if self.outgoing.groups() > 1 {
                    // The message cannot be sent in one group.
                    client.finished(self, false);
                    step.event = Event::Finished(ResponseCode::StreamingNotSupported);
                    return step;
                }
                if self.outgoing.control().has(Control::NSR | Control::NER) || self.flags.streamed {
                    step.event = Event::DoesNotStream;
                    self.stand_alone();
                    self.outgoing.restart();
                    step.burst = self.outgoing.advance(&ends, 1, cx.now);
                    self.wait(cx, self.response_time(cx));
                } else {
                    client.finished(self, false);
                    step.event = Event::Finished(ResponseCode::StreamingNotSupported);
                }
            }
            Some(ResponseCode::NoRunRecord)
                if self.flags.streamed || self.outgoing.groups() > 1 =>
            {
                // The run starts anew at its first unanswered Request.
                self.outgoing.heard();
                step.event = Event::RestartRun;
            }
            Some(ResponseCode::MsgtransOverflow) => {
                client.limit = (client.limit / 2).max(1);
                self.outgoing.heard();
                self.flags.resend_all = true;
                self.wait(cx, self.response_time(cx));
            }
            Some(ResponseCode::NonexistentEntity)
                if self.flags.found == Found::Guessed && !self.flags.multicast =>
            {
                self.outgoing.restart();
                self.locate(&mut step);
            }
            _ if self.flags.multicast => {
                // One member's refusal is not the group's.
                step.keep = super::Keep::Drop(Drop::Unwanted);
            }
            // Codes that mean nothing here end the transaction as well (4.8).
            _ => {
                client.finished(self, false);
                step.event = Event::Finished(code.unwrap_or(ResponseCode::VmtpError));
            }
        }
        step
    }

    /// Whether the server said that it has the Request.
    pub const fn is_accepted(&self) -> bool {
        self.flags.accepted
    }
}
