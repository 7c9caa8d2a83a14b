// SPDX-License-Identifier: GPL-2.0 OR MIT

//! NotifyVmtpClient of RFC 1045, 4.8: the server's manager tells what became of a Request.

use super::{Call, Client, Drop, Event, Found, State, Step, RUN_LIMIT};
use crate::proto::context::Context;
use crate::proto::path::GroupFate;
use crate::proto::time::Span;
use crate::proto::wire::{Control, NotifyVmtpClient, ResponseCode, Transaction};

/// Transactions between a call of a run and the oldest that was outstanding with it, at most.
const RUN_SPAN: i32 = 256 * RUN_LIMIT as i32;

impl Call {
    /// Whether a NotifyVmtpClient with this Transaction is about this call: of several, the oldest.
    /// RETRY_ALL and MSGTRANS_OVERFLOW name the last group the server has, which may be of an
    /// earlier call that has ended.
    pub fn is_notified_by(&self, notify: &NotifyVmtpClient) -> bool {
        if !self.hears(notify) {
            return false;
        }
        if self.outgoing.group_of(notify.transaction).is_some() {
            return true;
        }
        match ResponseCode::from_bits(notify.code.bits()) {
            Some(ResponseCode::RetryAll | ResponseCode::MsgtransOverflow) => {
                let distance = self.outgoing.first().since(notify.transaction);
                // A later group that comes first looks to the server like one of a run, and it names the last
                // transaction that the Client had with it, however long ago.
                let several = self.outgoing.groups() > 1 && distance >= 1;
                several || (self.flags.streamed && (1..=RUN_SPAN).contains(&distance))
            }
            _ => false,
        }
    }

    /// Whether it waits for what the server says; or the Request was repeated since the Response, an idempotent one, did
    /// not come whole (4.9 note 1): the server may have nothing of it any more.
    fn hears(&self, notify: &NotifyVmtpClient) -> bool {
        match self.state {
            State::AwaitingResponse => true,
            State::ReceivingResponse => {
                let asks = notify.code == ResponseCode::Retry.code()
                    || notify.code == ResponseCode::RetryAll.code();
                asks && self.outgoing.transmissions() > 1
            }
            State::Held | State::Locating | State::Processing { .. } => false,
        }
    }

    pub(super) fn is_just_after(&self, transaction: Transaction) -> bool {
        // 256 lower if the message before had STI.
        let distance = self.outgoing.first().since(transaction);
        self.flags.streamed && (distance == 1 || distance == 256)
            || self.outgoing.groups() > 1 && distance == 1
    }

    /// NotifyVmtpClient for this call arrived.
    pub fn notify(&mut self, client: &mut Client, notify: &NotifyVmtpClient, cx: &Context) -> Step {
        if !self.hears(notify) {
            return Step::dropped(Drop::Unwanted);
        }
        let mut step = Step::NOTHING;
        let group = self.outgoing.group_of(notify.transaction);
        let ends = client.ends(self);
        let window = cx.timing.window;
        let code = ResponseCode::from_bits(notify.code.bits());
        let again = matches!(
            code,
            Some(
                ResponseCode::Retry
                    | ResponseCode::RetryAll
                    | ResponseCode::NoRunRecord
                    | ResponseCode::TooManyRetries
            )
        );
        if again && self.flags.resend_all {
            // The server was busy: all of it goes again, but not at once. It may have packets that came after BUSY
            // had been said, ask for the rest meanwhile, and give up.
            return Step::dropped(Drop::Unwanted);
        }
        if let Some(group) = group.filter(|_| notify.control.pg_count() != 0) {
            // 4.8: acknowledges previous packet groups.
            self.outgoing.acknowledge(group.saturating_sub(1));
        }
        match code {
            Some(ResponseCode::Ok) => {
                step.round_trip = self.notified_round_trip(notify, cx);
                // The first member that has a group of a Request to several lets the next ones go; those who
                // lack something of it ask.
                if let Some(group) = group {
                    if self.outgoing.acknowledge(group) {
                        step.sent = Some(if self.flags.lossy {
                            GroupFate::Lossy
                        } else {
                            GroupFate::Clean
                        });
                        self.flags.lossy = false;
                    }
                }
                if !self.outgoing.is_acknowledged() {
                    self.flags.working = 0;
                } else if !self.is_accepted() || self.outgoing.transmissions() > 1 {
                    // One for each transmission, however many members of a group say it.
                    self.flags.working = self.flags.working.saturating_add(1);
                }
                self.outgoing.heard();
                step.burst = self.outgoing.advance(&ends, window, cx);
                self.wait(cx, self.response_time(cx));
            }
            Some(ResponseCode::Retry) => {
                if self.outgoing.was_header_only() {
                    step.round_trip = self.notified_round_trip(notify, cx);
                }
                if let Some(group) = group {
                    step.sent = Some(GroupFate::Lossy);
                    self.flags.lossy = true;
                    step.burst = if self.flags.multicast {
                        // Another member may lack other blocks, and have more groups: nothing is taken as
                        // acknowledged, and of what is, all is sent that this one asks for.
                        let mut copy = self.outgoing;
                        copy.reopen(group);
                        let missing = copy.missing(&ends, group, notify.delivery, cx);
                        missing.burst
                    } else {
                        self.outgoing.reopen(group);
                        self.outgoing
                            .missing(&ends, group, notify.delivery, cx)
                            .burst
                    };
                    if step.burst.is_none() && !self.flags.multicast {
                        step.burst = self.outgoing.advance(&ends, window, cx);
                    }
                    self.outgoing.heard();
                }
                self.wait(cx, self.response_time(cx));
            }
            Some(ResponseCode::RetryAll) => {
                let goes_on = group.is_some() || self.is_just_after(notify.transaction);
                // Once in a round trip, as a gap is told; and what ends a Response that comes in waits for its end.
                if !goes_on && (client.receiving || !client.may_tell_gap(cx)) {
                    return Step::dropped(Drop::Unwanted);
                }
                step.sent = Some(GroupFate::Lossy);
                client.overflow = false;
                if !goes_on {
                    // The server waits for a call that has failed: it never comes.
                    self.outgoing.ask(None);
                    step.event = Event::RestartRun;
                    return step;
                }
                // 4.8: one group is sent again whole; of several, those after the one named.
                let alone = !self.flags.streamed && self.outgoing.groups() == 1;
                let after = group.filter(|_| !alone);
                self.outgoing.ask(after);
                step.burst = self.outgoing.resume(&ends, after, window, cx);
                if self.flags.streamed {
                    step.event = Event::ResendAfter(self.transaction());
                }
                self.outgoing.heard();
                // If the server has this one, it waits for its Response as before, however often others are asked for.
                if step.burst.is_some() {
                    self.wait(cx, self.response_time(cx));
                }
            }
            Some(ResponseCode::Busy) => {
                if self.limit.has_come(cx.now) {
                    client.failed_at(self);
                    step.event = Event::Finished(ResponseCode::UserTimeout);
                    return step;
                }
                self.flags.working = 0;
                // One refusal for each transmission, whatever the number of its packets.
                if !self.flags.resend_all {
                    self.flags.resend_all = true;
                    let wait = self.outgoing.refused(self.response_time(cx), cx);
                    self.wait(cx, wait);
                }
            }
            Some(ResponseCode::EntityMigrated) => {
                self.outgoing.restart();
                self.flags.working = 0;
                self.locate(&mut step);
            }
            Some(ResponseCode::StreamingNotSupported) => {
                if self.outgoing.groups() > 1 {
                    // The message cannot be sent in one group.
                    client.failed_at(self);
                    step.event = Event::Finished(ResponseCode::StreamingNotSupported);
                    return step;
                }
                if self.outgoing.control().has(Control::NSR | Control::NER) || self.flags.streamed {
                    step.event = Event::DoesNotStream;
                    self.stand_alone();
                    self.outgoing.restart();
                    if self.flags.streamed && self.first_transaction() != client.expected {
                        // Each that stands alone would end those before it at the server (5.3).
                        self.state = State::Held;
                        self.deadline = self.limit;
                        return step;
                    }
                    step.burst = self.outgoing.advance(&ends, 1, cx);
                    self.wait(cx, self.response_time(cx));
                } else {
                    client.failed_at(self);
                    step.event = Event::Finished(ResponseCode::StreamingNotSupported);
                }
            }
            Some(ResponseCode::NoRunRecord)
                if self.flags.streamed || self.outgoing.groups() > 1 =>
            {
                // Each of its packets is refused: what was sent before it started anew tells nothing of that.
                if !self.outgoing.is_to_last(notify.control.retransmit_count()) {
                    return Step::dropped(Drop::Unwanted);
                }
                // The run starts anew at its first unanswered Request.
                self.outgoing.ask(None);
                self.outgoing.heard();
                client.overflow = false;
                step.event = Event::RestartRun;
            }
            Some(ResponseCode::MsgtransOverflow) => {
                // 2.11: fewer are outstanding from now on; those after the one named wait.
                client.limit = (client.limit.min(client.open) / 2).max(1);
                client.overflow = true;
                self.outgoing.heard();
                if let Some(group) = group {
                    self.outgoing.acknowledge(group);
                } else {
                    self.outgoing.restart();
                    self.outgoing.heard();
                    self.flags.resend_all = true;
                }
                step.event = Event::ResendAfter(self.transaction());
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
                client.failed_at(self);
                step.event = Event::Finished(code.unwrap_or(ResponseCode::VmtpError));
            }
        }
        step
    }

    /// The round trip that a Notify ends. One member's is not the group's.
    fn notified_round_trip(&self, notify: &NotifyVmtpClient, cx: &Context) -> Option<Span> {
        let count = notify.control.retransmit_count();
        self.outgoing
            .round_trip(count, cx.now)
            .filter(|_| !self.flags.multicast)
    }

    /// Whether the server said that it has the Request.
    pub const fn is_accepted(&self) -> bool {
        self.flags.working != 0
    }
}
