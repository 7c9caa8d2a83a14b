// SPDX-License-Identifier: GPL-2.0

//! Records whose Client, or the server that is to answer a forwarded Request, is on another host than was thought.

use super::RemoteRecord;
use crate::kernel::pages::Pages;
use crate::kernel::record::Record;
use crate::proto::peer::Peer;
use crate::proto::server::State;

impl RemoteRecord {
    /// What stood in line of the Response to a Client that has moved is kept until the Client is found. False if nothing
    /// did, or it is not looked for any more.
    pub(super) fn keep_left(&self, left: Option<Option<Pages>>) -> bool {
        let Some(segment) = left else { return false };
        let mut inner = self.inner.lock();
        if !inner.remote.is_seeking() {
            return false;
        }
        inner.segment = segment;
        true
    }

    /// The forwarded Request is sent to this host, whose word is believed from now on. Whether it must be found first.
    pub(super) fn forwards_to(self: &Record<Self>, peer: Peer) -> bool {
        let mut inner = self.inner.lock();
        if inner.remote.state() != State::Forwarded {
            return false;
        }
        if let Ok(rare) = inner.rare() {
            rare.sent_to = peer;
        }
        if peer.is_known() {
            return false;
        }
        let cx = inner.context(self);
        inner.remote.seek(&cx)
    }

    /// The Response to a Request that was passed on is sent to this host, whose word is believed from now on.
    pub(super) fn responds_to(&self, peer: Peer) {
        let mut inner = self.inner.lock();
        if let Ok(rare) = inner.rare() {
            rare.sent_to = peer;
        }
    }

    /// Whether what that host says of the forwarded Request, or of the Response to one that was passed on, is believed: it
    /// was sent there. Any other would only have to know the Transaction.
    pub(in crate::host) fn was_sent_to(&self, from: &Peer) -> bool {
        let inner = self.inner.lock();
        let rare = inner.rare.as_ref();
        rare.is_some_and(|rare| rare.sent_to.is_same_host(from))
    }
}
