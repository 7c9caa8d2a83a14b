// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Receive sequence numbers (RFC 1045, 2.12): a host numbers what it receives, and tells those who
//! sent it, by NRS and by Notify operations. The numbers in the tests are the host's, which counts.

mod common;

use common::far::{code_of, with, Far, MULTICAST};
use common::near::{plain, to_group, Near};
use common::{
    mcb, only, request, response, t, to_client, CLIENT, GROUP, OTHER_HOST, OTHER_SERVER, SERVER,
    SERVER_HOST,
};
use vmtp_proto::client::{self, Heard, Reply};
use vmtp_proto::manager;
use vmtp_proto::path::Path;
use vmtp_proto::server::{Refusal, Sequence, State, Step};
use vmtp_proto::time::Span;
use vmtp_proto::wire::{Code, Control, Header, NotifyVmtpClient, ResponseCode, Transaction};

/// A server's record, and its host's count.
struct Counting {
    far: Far,
    sequence: Sequence,
    count: u32,
}

impl Counting {
    fn new(count: u32) -> Counting {
        Counting {
            far: Far::new(&request(0, t(0), mcb(0, 0))),
            sequence: Sequence::NONE,
            count,
        }
    }

    /// Messages of others are received.
    fn others(&mut self, messages: u32) {
        self.count = self.count.wrapping_add(messages);
    }

    fn request(&mut self, header: &Header) -> Step {
        let mut step = self.far.request(header);
        self.count = self.count.wrapping_add(1);
        self.sequence
            .received(self.count, &mut self.far.remote, &mut step);
        step
    }

    /// The server answers; the control word of its Response.
    fn respond(&mut self, transaction: Transaction) -> Control {
        let mut respond = with(mcb(0, 0));
        respond.flags = self.sequence.flags(transaction);
        let step = self.far.remote.respond(transaction, &respond, &self.far.cx);
        only(&step.unwrap().burst).control
    }

    /// A Request of one packet comes and is answered: what the Client is told, and the Response.
    fn serve(&mut self, control: u32, offset: u32) -> (Option<NotifyVmtpClient>, Control) {
        let step = self.request(&request(control, t(offset), mcb(0, 0)));
        (step.notify, self.respond(t(offset)))
    }
}

/// Two Requests back to back, then one after somebody else's.
///
/// Shows: 2.12-c
#[test]
fn nrs_in_a_response_tells_that_its_request_came_directly_after_the_clients_last() {
    let mut server = Counting::new(100);
    let (_, first) = server.serve(0, 0);
    let (_, second) = server.serve(0, 1);
    server.others(1);
    let (_, third) = server.serve(0, 2);
    let (_, fourth) = server.serve(0, 3);
    let nrs = [first, second, third, fourth].map(|control| control.bits() >> 31);
    assert_eq!(nrs, [0, 1, 0, 1]);
}

/// Shows: 2.12-b
#[test]
fn the_number_of_a_request_is_told_only_where_the_client_presumes_another() {
    let mut server = Counting::new(0xFFFF_FFFE);
    let (told, _) = server.serve(0, 0);
    let told = told.expect("the first one's number is not known to the Client");
    assert!(told.control.has(Control::NRS));
    assert_eq!(told.receive_sequence, 0xFFFF_FFFF);
    assert_eq!(told.client, CLIENT);
    assert_eq!(told.transaction, t(0));
    assert_eq!(code_of(&Some(told)), Some(ResponseCode::Ok));
    // The next is 0, as presumed.
    assert_eq!(server.serve(0, 1).0, None);
    server.others(5);
    let (told, _) = server.serve(0, 2);
    assert_eq!(told.map(|notify| notify.receive_sequence), Some(6));
    assert_eq!(server.serve(0, 3).0, None);
}

/// The number of a Request is asked for by APG where it cannot be presumed: not of a member of a run
/// behind others, whose number follows from theirs, nor of one to a group, which has several.
#[test]
fn number_that_is_not_presumed_is_asked_for_by_a_request_that_stands_alone() {
    let cx = common::context();
    let mut root = common::near::client();
    let sequence = client::Sequence::NONE;
    let alone = plain(mcb(0, 0));
    assert_eq!(sequence.flags(&root, &alone, true), Control::APG);
    assert_eq!(sequence.flags(&root, &alone, false), 0);
    assert_eq!(sequence.flags(&root, &to_group(mcb(0, 0)), true), 0);
    let member = common::near::member(mcb(0, 0), true);
    root.start(&member, &cx).unwrap();
    assert_eq!(sequence.flags(&root, &member, true), 0);
}

/// The number of an earlier Request of a run, told late, does not take the place of a later one's; that
/// of a Request to another server does.
#[test]
fn the_newest_number_of_a_server_is_kept() {
    let cx = common::context();
    let mut root = common::near::client();
    let mut sequence = client::Sequence::NONE;
    let member = common::near::member(mcb(0, 0), true);
    let (first, _) = root.start(&member, &cx).unwrap();
    let (second, _) = root.start(&member, &cx).unwrap();
    let told =
        |offset, number| to_client(ResponseCode::Ok, t(offset), 0, 0).with_receive_sequence(number);
    sequence.notified(&second, &told(1, 42));
    sequence.notified(&first, &told(0, 41));
    assert_eq!(sequence.number_of(&second), Some(42));
    assert_eq!(sequence.number_of(&first), None);
    let elsewhere = client::Request {
        server: OTHER_SERVER,
        ..member
    };
    let (other, _) = common::near::client().start(&elsewhere, &cx).unwrap();
    sequence.notified(&other, &told(0, 7));
    assert_eq!(sequence.number_of(&other), Some(7));
    assert_eq!(sequence.number_of(&second), None);
}

/// The operation's parameters are client (octets 36 to 43), ctrl, recSeq (48 to 51) and so on; the
/// message control block begins with octet 36.
///
/// Shows: III-010F-c
#[test]
fn recseq_is_the_number_with_nrs_and_zero_without() {
    let told = Counting::new(0x0102_0303).serve(0, 0).0.unwrap();
    let on = manager::notify_client(&told, false);
    assert_eq!(on.user[8] & 0x80, 0x80);
    assert_eq!(on.user[12..16], [1, 2, 3, 4]);
    // The same from a host that does not number.
    let mut far = Far::new(&request(0, t(0), mcb(0, 0)));
    let step = far.request(&request(Control::APG, t(0), mcb(0, 0)));
    let off = manager::notify_client(&step.notify.unwrap(), false);
    assert_eq!(off.user[8] & 0x80, 0);
    assert_eq!(off.user[12..16], [0; 4]);
}

/// Shows: 2.12-b, 4.5-a
#[test]
fn every_later_notify_about_the_request_has_its_number() {
    let mut server = Counting::new(7);
    server.request(&request(0, t(0), mcb(0, 0)));
    server.others(20);
    // The Client asks again while its Request is processed.
    let mut step = server.far.request(&request(Control::APG, t(0), mcb(0, 0)));
    let notify = step.notify.as_mut().expect("it asks");
    server.sequence.report(notify);
    assert_eq!(notify.receive_sequence, 8);
    assert!(notify.control.has(Control::NRS));
    // One about another Request has not.
    let mut other = to_client(ResponseCode::Retry, t(1), 0, 0);
    server.sequence.report(&mut other);
    assert_eq!((other.receive_sequence, other.control.bits() >> 31), (0, 0));
    // Without a record it is the number of the host's last message.
    let header = request(0, t(9), mcb(0, 0));
    let source = server.far.source;
    let refused = common::far::refused(&header, Refusal::NonexistentEntity, &source).unwrap();
    let refused = refused.with_receive_sequence(28);
    assert_eq!(
        (refused.receive_sequence, refused.control.bits() >> 31),
        (28, 1)
    );
}

/// An acknowledgment that was asked for tells the number too, expected or not.
#[test]
fn apg_asks_for_the_number() {
    let mut server = Counting::new(0);
    server.serve(0, 0);
    let (told, response) = server.serve(Control::APG, 1);
    assert_eq!(told.map(|notify| notify.receive_sequence), Some(2));
    assert!(response.has(Control::NRS));
}

/// Of a multicast Request nothing is told unasked (2.13), and nothing is presumed after it.
#[test]
fn multicast_requests_are_numbered_in_silence() {
    let mut server = Counting::new(0);
    server.serve(0, 0);
    server.far.source = MULTICAST;
    let mut to_all = request(0, t(1), mcb(0, 0));
    to_all.server = GROUP;
    let step = server.request(&to_all);
    assert_eq!(step.notify, None);
    assert!(!server.respond(t(1)).has(Control::NRS));
    server.far.source = common::far::UNICAST;
    let (told, response) = server.serve(0, 2);
    assert_eq!(told.map(|notify| notify.receive_sequence), Some(3));
    assert!(!response.has(Control::NRS));
}

/// The Client does not know that the server executed an idempotent Request once more.
#[test]
fn an_idempotent_request_that_is_executed_anew_is_another_message() {
    let mut server = Counting::new(0);
    server.request(&request(0, t(0), mcb(0, 0)));
    let idempotent = with(mcb(Code::DGM, 0));
    let answered = server
        .far
        .remote
        .respond(t(0), &idempotent, &server.far.cx)
        .unwrap();
    assert!(answered.burst.is_some());
    let again = server.request(&request(Control::APG, t(0), mcb(0, 0)));
    assert_eq!(server.far.remote.state(), State::Processing);
    assert_eq!(again.notify.map(|notify| notify.receive_sequence), Some(2));
    assert!(!server.respond(t(0)).has(Control::NRS));
    // Which of the two numbers the Client has is not sure.
    assert_eq!(
        server.serve(0, 1).0.map(|notify| notify.receive_sequence),
        Some(3)
    );
}

/// A forwarded Request is numbered for the host that sent it, which is the forwarder's.
#[test]
fn the_number_of_a_forwarded_request_goes_to_the_forwarder() {
    let mut server = Counting::new(0);
    server.serve(0, 0);
    let mut forwarded = request(0, t(1), mcb(0, 0));
    forwarded.control = forwarded.control.with_forward_count(1);
    let step = server.request(&forwarded);
    assert_eq!(step.notify.map(|notify| notify.receive_sequence), Some(2));
    assert!(step.notify_remote);
    assert_eq!(server.sequence.flags(t(1)), 0);
}

/// Requests of a run have the number of when they came, not of when they were executed.
#[test]
fn requests_that_wait_in_a_run_keep_their_numbers() {
    let mut server = Counting::new(50);
    server.request(&request(Control::NER, t(0), mcb(0, 0)));
    let second = server.request(&request(Control::NSR | Control::NER, t(1), mcb(0, 0)));
    server.others(1);
    let third = server.request(&request(Control::NSR, t(2), mcb(0, 0)));
    let arrivals = [second, third].map(|step| common::far::arrival(&step));
    assert!(arrivals.iter().all(|arrival| arrival.queued));
    let numbers = arrivals.map(|arrival| arrival.reception.unwrap());
    assert_eq!(
        numbers.map(|of| (of.number, of.next)),
        [(52, true), (54, false)]
    );
    assert_eq!(second.notify, None);
    assert_eq!(third.notify.map(|notify| notify.receive_sequence), Some(54));
    assert!(!server.respond(t(0)).has(Control::NRS));
    let mut nrs = Vec::new();
    for arrival in arrivals {
        server.sequence.begins(&arrival);
        server.far.remote.begin(&arrival, &server.far.cx);
        nrs.push(server.respond(arrival.transaction).has(Control::NRS));
    }
    assert_eq!(nrs, [true, false]);
}

/// A Client with what it knows, on a host that counts as well.
struct Logging {
    client: client::Client,
    sequence: client::Sequence,
    path: Path,
    count: u32,
    cx: vmtp_proto::context::Context,
}

impl Logging {
    fn new() -> Logging {
        Logging {
            client: common::near::client(),
            sequence: client::Sequence::NONE,
            path: Path::new(1_500, Span::from_micros(12)),
            count: 0,
            cx: common::context(),
        }
    }

    fn others(&mut self, messages: u32) {
        self.count += messages;
    }

    /// One transaction: the server's host tells a number in `notify`, and confirms by `nrs` in the
    /// Response. The Request that was sent.
    fn call(&mut self, notify: Option<u32>, nrs: bool) -> Header {
        let mut wanted = plain(mcb(0, 0));
        self.cx.timing.numbers = self.path.timing().numbers;
        let numbers = self.cx.timing.numbers;
        wanted.flags |= self.sequence.flags(&self.client, &wanted, numbers);
        let (mut call, step) = self.client.start(&wanted, &self.cx).unwrap();
        self.sequence.sent(self.count);
        let sent = only(&step.burst);
        if let Some(number) = notify {
            let told = to_client(ResponseCode::Ok, sent.transaction, 0xFFFF_FFFF, 0)
                .with_receive_sequence(number);
            self.path.numbered(Heard::in_notify(&told).unwrap());
            self.sequence.notified(&call, &told);
            call.notify(&mut self.client, &told, &self.cx);
        }
        let control = if nrs { Control::NRS } else { 0 };
        let answer = response(control, sent.transaction, mcb(0, 0));
        let mut reply = Reply::EMPTY;
        let mut step = call.response(
            &mut self.client,
            &mut reply,
            &answer,
            SERVER_HOST,
            true,
            &self.cx,
        );
        self.count += 1;
        let heard = self
            .sequence
            .received(&call, Some(&answer), self.count, &mut step);
        assert_eq!(step.notify, None);
        if let Some(heard) = heard {
            self.path.numbered(heard);
        }
        sent
    }
}

/// Shows: 2.12-a
#[test]
fn each_request_is_presumed_to_have_the_next_number_of_the_servers_host() {
    let mut client = Logging::new();
    assert_eq!(client.path.receive_sequence(), None);
    client.call(Some(41), false);
    assert_eq!(client.path.receive_sequence(), Some(41));
    for number in 42..45 {
        let request = client.call(None, true);
        assert!(!request.control.has(Control::APG));
        assert_eq!(client.path.receive_sequence(), Some(number));
    }
    // Another's message came in between, and the host says so.
    client.call(Some(50), false);
    assert_eq!(client.path.receive_sequence(), Some(50));
    client.call(None, true);
    assert_eq!(client.path.receive_sequence(), Some(51));
}

/// "So the sender can detect if it failed to receive the notify operation" (2.12).
#[test]
fn a_response_without_nrs_shows_that_a_notify_was_lost() {
    let mut client = Logging::new();
    client.call(Some(41), false);
    client.call(None, false);
    // Confirmation of what is not known tells nothing: the Request asks for an acknowledgment.
    let request = client.call(None, true);
    assert!(request.control.has(Control::APG));
    assert_eq!(client.path.receive_sequence(), Some(41));
    let request = client.call(Some(60), true);
    assert!(request.control.has(Control::APG));
    assert_eq!(client.path.receive_sequence(), Some(60));
    let request = client.call(None, true);
    assert!(!request.control.has(Control::APG));
    assert_eq!(client.path.receive_sequence(), Some(61));
}

/// A server's host that does not number is never asked to.
#[test]
fn a_host_that_does_not_number_is_not_asked() {
    let mut client = Logging::new();
    for _ in 0..3 {
        assert!(!client.call(None, false).control.has(Control::APG));
        assert_eq!(client.path.receive_sequence(), None);
    }
    // One that confirms does.
    client.call(None, true);
    assert!(client.call(None, true).control.has(Control::APG));
}

/// Shows: 2.12-d
#[test]
fn nrs_in_a_request_tells_that_the_response_before_came_without_anything_between() {
    let mut client = Logging::new();
    let nrs = |request: Header| request.control.has(Control::NRS);
    assert!(
        !nrs(client.call(None, false)),
        "there is no Response before"
    );
    assert!(nrs(client.call(None, false)));
    // What came before the Request was sent is not between.
    client.others(3);
    assert!(nrs(client.call(None, false)));
    assert!(nrs(client.call(None, false)));
    // Something comes while a Response is awaited.
    let wanted = plain(mcb(0, 0));
    let (mut call, step) = client.client.start(&wanted, &client.cx).unwrap();
    client.sequence.sent(client.count);
    client.others(1);
    let answer = response(0, only(&step.burst).transaction, mcb(0, 0));
    let mut step = call.response(
        &mut client.client,
        &mut { Reply::EMPTY },
        &answer,
        SERVER_HOST,
        true,
        &client.cx,
    );
    client.count += 1;
    let count = client.count;
    client
        .sequence
        .received(&call, Some(&answer), count, &mut step);
    assert!(!nrs(client.call(None, false)));
    assert!(nrs(client.call(None, false)));
}

/// Shows: 2.12-e
#[test]
fn each_member_of_a_group_is_told_that_its_response_was_received() {
    let (mut near, step) = Near::start(&to_group(mcb(Code::MRD, 0)));
    let mut sequence = client::Sequence::NONE;
    let sent = only(&step.burst).transaction;
    let mut told = Vec::new();
    for (number, (server, host)) in [(OTHER_SERVER, OTHER_HOST), (SERVER, SERVER_HOST)]
        .into_iter()
        .enumerate()
    {
        let mut answer = response(0, sent, mcb(0, 0));
        answer.server = server;
        let mut reply = Reply::EMPTY;
        let mut step = near.response_to(&mut reply, &answer, host);
        assert_eq!(step.notify, None, "nobody asked");
        let number = 10 + number as u32;
        assert_eq!(
            sequence.received(&near.call, Some(&answer), number, &mut step),
            None
        );
        let notify = step.notify.expect("the server is told");
        assert_eq!(notify.client, CLIENT);
        assert_eq!(notify.transaction, t(0));
        assert_eq!(notify.code, ResponseCode::Ok.code());
        told.push(notify.server);
    }
    // In the order in which the Responses came; the Transactions of the Notifies rise in it.
    assert_eq!(told, [OTHER_SERVER, SERVER]);
}

/// Whoever a Request was forwarded to numbers for another host than the one it was sent to.
#[test]
fn a_response_to_a_forwarded_request_confirms_nothing() {
    let mut client = Logging::new();
    client.call(Some(41), false);
    let (mut call, step) = client.client.start(&plain(mcb(0, 0)), &client.cx).unwrap();
    let mut answer = response(Control::NRS, only(&step.burst).transaction, mcb(0, 0));
    answer.control = answer.control.with_forward_count(1);
    answer.server = OTHER_SERVER;
    let mut told = to_client(ResponseCode::Ok, answer.transaction, 0, 0);
    told = told.with_receive_sequence(9);
    told.control = told.control.with_forward_count(1);
    client.sequence.notified(&call, &told);
    let mut step = call.response(
        &mut client.client,
        &mut { Reply::EMPTY },
        &answer,
        OTHER_HOST,
        true,
        &client.cx,
    );
    let heard = client.sequence.received(&call, Some(&answer), 5, &mut step);
    assert_eq!(heard, None);
    assert_eq!(client.sequence.number_of(&call), None);
    assert!(client.call(None, true).control.has(Control::APG));
}

/// News may overtake each other on the way; a host that starts anew counts anew.
#[test]
fn a_number_from_shortly_before_is_late_and_one_from_long_before_is_news() {
    let mut path = Path::new(1_500, Span::from_micros(12));
    path.numbered(Heard::Unknown);
    assert!(path.timing().numbers);
    assert_eq!(path.receive_sequence(), None);
    for (heard, known) in [
        (2, 2),
        (0xFFFF_FFFF, 2),
        (7, 7),
        (6, 7),
        (1_000_000, 1_000_000),
        (1_000_000 - 65_536, 1_000_000),
        (3, 3),
    ] {
        path.numbered(Heard::Number(heard));
        assert_eq!(path.receive_sequence(), Some(known), "after {heard}");
    }
}
