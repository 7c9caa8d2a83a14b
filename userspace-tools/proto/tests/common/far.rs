// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A server's record of a remote Client, and what a host does for it.

use vmtp_proto::context::Context;
use vmtp_proto::server::{
    refuse, Arrival, Event, Refusal, Remote, Respond, RespondError, Service, Source, State, Step,
};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{
    Header, Mcb, NotifyVmtpClient, NotifyVmtpServer, ResponseCode, Transaction,
};

use super::{at, context, to_server, CLIENT_HOST, SERVER};

/// The record, and where Requests come from.
pub(crate) struct Far {
    pub(crate) remote: Remote,
    pub(crate) cx: Context,
    pub(crate) source: Source,
    pub(crate) service: Service,
}

/// A server that waits for a Request, with room, to which every Client is welcome.
pub(crate) const WAITING: Service = Service {
    waiting: true,
    memory: true,
    room: true,
    probe: false,
};

/// Unicast from the Client's host.
pub(crate) const UNICAST: Source = Source {
    peer: CLIENT_HOST,
    multicast: false,
};

/// Multicast from the Client's host.
pub(crate) const MULTICAST: Source = Source {
    peer: CLIENT_HOST,
    multicast: true,
};

impl Far {
    /// A record for the Client of this packet, which was not taken in yet.
    pub(crate) fn new(header: &Header) -> Far {
        Far {
            remote: Remote::new(header, SERVER, CLIENT_HOST),
            cx: context(),
            source: UNICAST,
            service: WAITING,
        }
    }

    /// The same, and the packet is taken in at 0 ms.
    pub(crate) fn with(header: &Header) -> (Far, Step) {
        let mut far = Far::new(header);
        let step = far.request(header);
        (far, step)
    }

    /// A Request of one packet was delivered and is being processed.
    pub(crate) fn processing(header: &Header) -> Far {
        let (far, step) = Far::with(header);
        assert!(matches!(step.event, Event::Request(_)), "{step:?}");
        assert_eq!(far.remote.state(), State::Processing);
        far
    }

    /// Puts the clock to `n` ms.
    pub(crate) fn at(&mut self, n: u64) -> &mut Far {
        self.cx.now = at(n);
        self
    }

    /// A Request packet arrives.
    pub(crate) fn request(&mut self, header: &Header) -> Step {
        self.remote
            .request(header, &self.source, &self.service, &self.cx)
    }

    /// The server replies to `transaction`.
    pub(crate) fn try_respond(
        &mut self,
        transaction: Transaction,
        mcb: Mcb,
    ) -> Result<Step, RespondError> {
        self.remote.respond(transaction, &with(mcb), &self.cx)
    }

    pub(crate) fn respond(&mut self, transaction: Transaction, mcb: Mcb) -> Step {
        self.try_respond(transaction, mcb).unwrap()
    }

    /// NotifyVmtpServer from the Client arrives.
    pub(crate) fn notified(
        &mut self,
        code: ResponseCode,
        about: Transaction,
        delivery: u32,
    ) -> Step {
        self.take(&to_server(code, about, delivery))
    }

    pub(crate) fn take(&mut self, notify: &NotifyVmtpServer) -> Step {
        assert!(self.remote.is_notified_by(notify));
        self.remote.notified(notify, &self.cx)
    }

    /// Nothing happens until the record's timer ends, at `n` ms: asserts that it ends then.
    pub(crate) fn timeout(&mut self, n: u64) -> Step {
        assert_eq!(self.remote.deadline(), at(n), "not at {n} ms");
        // A moment before nothing happens.
        self.cx.now = Time::from_nanos(at(n).nanos() - 1);
        let before = self.remote;
        assert_eq!(self.remote.timeout(true, &self.cx), Step::NOTHING);
        assert_eq!(self.remote, before);
        self.at(n);
        self.remote.timeout(true, &self.cx)
    }
}

/// A reply without wishes.
pub(crate) fn with(mcb: Mcb) -> Respond {
    Respond {
        mcb,
        flags: 0,
        hco: false,
        priority: None,
        earlier: 0,
    }
}

/// The Request in a step.
pub(crate) fn arrival(step: &Step) -> Arrival {
    match step.event {
        Event::Request(arrival) => arrival,
        other => panic!("no Request: {other:?}"),
    }
}

/// The code of the Notify in a step, if there is one.
pub(crate) fn code_of(notify: &Option<NotifyVmtpClient>) -> Option<ResponseCode> {
    notify.map(|notify| ResponseCode::from_bits(notify.code.bits()).unwrap())
}

/// The answer to a Request without a record.
pub(crate) fn refused(
    header: &Header,
    refusal: Refusal,
    source: &Source,
) -> Option<NotifyVmtpClient> {
    refuse(header, refusal, source)
}

/// TS3, TS1 and TS4 as by default, in ms.
pub(crate) const TS3: u64 = 200;
pub(crate) const TS1: u64 = 1;
pub(crate) const TS4: u64 = 120_000;
