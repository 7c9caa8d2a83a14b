// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A Client with one transaction, and what a host does for it.

use vmtp_proto::client::{self, Call, Client, Found, Reply, Request, State, Step};
use vmtp_proto::context::Context;
use vmtp_proto::peer::Peer;
use vmtp_proto::time::Time;
use vmtp_proto::wire::{Header, Mcb, Priority, ResponseCode};

use super::{
    at, context, mcb, ms, response, t, to_client, CLIENT, GROUP, GROUP_HOST, SERVER, SERVER_HOST,
};

/// The records of a Client, its call and the call's first reply.
pub(crate) struct Near {
    pub(crate) client: Client,
    pub(crate) call: Call,
    pub(crate) reply: Reply,
    pub(crate) cx: Context,
    /// Whether the user waits for a Response.
    pub(crate) waiting: bool,
}

/// A Client that has sent nothing.
pub(crate) fn client() -> Client {
    Client::new(CLIENT, 1, t(0))
}

/// A plain transaction with SERVER, whose host is known.
pub(crate) fn plain(mcb: Mcb) -> Request {
    Request {
        server: SERVER,
        peer: SERVER_HOST,
        found: Found::Certain,
        multicast: false,
        mcb,
        flags: 0,
        large_response: false,
        hco: false,
        priority: Priority::NORMAL,
        limit: Time::NEVER,
        streamed: false,
        more: false,
    }
}

/// A transaction with GROUP.
pub(crate) fn to_group(mcb: Mcb) -> Request {
    Request {
        server: GROUP,
        peer: GROUP_HOST,
        multicast: true,
        ..plain(mcb)
    }
}

/// A member of a run.
pub(crate) fn member(mcb: Mcb, more: bool) -> Request {
    Request {
        streamed: true,
        more,
        ..plain(mcb)
    }
}

impl Near {
    /// Starts a transaction at 0 ms.
    pub(crate) fn start(request: &Request) -> (Near, Step) {
        Near::start_in(request, context())
    }

    pub(crate) fn start_in(request: &Request, cx: Context) -> (Near, Step) {
        let mut client = client();
        let (call, step) = client.start(request, &cx).unwrap();
        let near = Near {
            client,
            call,
            reply: Reply::EMPTY,
            cx,
            waiting: true,
        };
        (near, step)
    }

    /// Puts the clock to `n` ms.
    pub(crate) fn at(&mut self, n: u64) -> &mut Near {
        self.cx.now = at(n);
        self
    }

    /// The same records at `n` ms, to see what else could happen.
    pub(crate) fn clone_at(&self, n: u64) -> Near {
        let mut near = Near {
            client: self.client,
            call: self.call,
            reply: self.reply,
            cx: self.cx,
            waiting: self.waiting,
        };
        near.at(n);
        near
    }

    /// A Response packet from SERVER's host arrives.
    pub(crate) fn response(&mut self, header: &Header) -> Step {
        assert!(self.call.expects(header.transaction));
        self.call.response(
            &mut self.client,
            &mut self.reply,
            header,
            SERVER_HOST,
            self.waiting,
            &self.cx,
        )
    }

    /// A Response packet of another member of a group, which has a reply of its own.
    pub(crate) fn response_to(&mut self, reply: &mut Reply, header: &Header, from: Peer) -> Step {
        let waiting = self.waiting;
        self.call
            .response(&mut self.client, reply, header, from, waiting, &self.cx)
    }

    /// NotifyVmtpClient about group `group` of the call arrives.
    pub(crate) fn notify(
        &mut self,
        code: ResponseCode,
        group: u32,
        delivery: u32,
        count: u8,
    ) -> Step {
        let notify = to_client(
            code,
            self.call.first_transaction().plus(group),
            delivery,
            count,
        );
        assert!(self.call.is_notified_by(&notify));
        self.call.notify(&mut self.client, &notify, &self.cx)
    }

    /// The Server's host was found.
    pub(crate) fn located(&mut self, peer: Peer) -> Step {
        self.call.located(&mut self.client, peer, &self.cx)
    }

    /// Nobody knows the Server.
    pub(crate) fn not_located(&mut self) -> Step {
        self.call.not_located(&mut self.client)
    }

    /// Somebody says that the Server cannot be reached.
    pub(crate) fn unreachable(&mut self, who: vmtp_proto::client::Unreachable) -> Step {
        self.call.unreachable(&mut self.client, who)
    }

    /// Nothing happens until the call's timer ends, at `n` ms: asserts that it ends then.
    pub(crate) fn timeout(&mut self, n: u64) -> Step {
        assert_eq!(self.call.deadline(), at(n), "not at {n} ms");
        // A moment before nothing happens.
        self.cx.now = Time::from_nanos(at(n).nanos() - 1);
        let before = (self.call, self.client);
        let step = self.call.timeout(&mut self.client, &self.cx);
        assert_eq!(step, Step::NOTHING);
        assert_eq!((self.call, self.client), before);
        self.at(n);
        self.call.timeout(&mut self.client, &self.cx)
    }

    /// The same for the reply's timer.
    pub(crate) fn reply_timeout(&mut self, n: u64) -> Step {
        assert_eq!(self.reply.deadline(), at(n), "not at {n} ms");
        self.cx.now = Time::from_nanos(at(n).nanos() - 1);
        let before = (self.call, self.reply);
        let step = self
            .call
            .reply_timeout(&mut self.client, &mut self.reply, &self.cx);
        assert_eq!(step, Step::NOTHING);
        assert_eq!((self.call, self.reply), before);
        self.at(n);
        self.call
            .reply_timeout(&mut self.client, &mut self.reply, &self.cx)
    }

    /// Asserts that the call has ended and waits for nothing.
    pub(crate) fn assert_over(&self) {
        assert!(matches!(self.call.state(), State::Processing { .. }));
        assert_eq!(self.call.deadline(), Time::NEVER);
        assert_eq!(self.client.open(), 0);
    }
}

/// The delivery in a step.
pub(crate) fn delivery(step: &Step) -> client::Delivery {
    match step.event {
        client::Event::Response(delivery) => delivery,
        other => panic!("no Response: {other:?}"),
    }
}

/// How long until the call's timer ends, in ms.
pub(crate) fn wait_of(near: &Near) -> u64 {
    near.call.deadline().since(near.cx.now).millis()
}

/// TC1, TC2 and TC3 before anything was measured, in ms.
pub(crate) const TC1: u64 = 600;
pub(crate) const TC2: u64 = 200;
pub(crate) const TC3: u64 = 1;

/// Milliseconds as a limit.
pub(crate) fn limit(n: u64) -> Time {
    at(0).plus(ms(n))
}

/// A transaction without a segment, whose Response may be anything.
pub(crate) fn asked() -> Near {
    Near::start(&plain(mcb(0, 0))).0
}

/// The header of a Response of four packets of two blocks.
pub(crate) fn answer() -> Header {
    response(0, t(0), mcb(0, 4_096))
}
