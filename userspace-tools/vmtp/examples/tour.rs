// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Time limits, a pool, a group, a stream with cookies, and forwarding, one function each.
use std::thread;
use std::time::Duration;

use vmtp::{Client, Code, Entity, EntityKind, Membership, Pool, Reply, Request, Server};

const DOUBLE: u32 = 0x80_0001;
const SILENT: u32 = 0x80_0002;

/// Doubles numbers; keeps some Requests for ever.
fn serve(server: Server) -> vmtp::Result<()> {
    let mut kept = Vec::new();
    loop {
        let request = server.recv()?;
        if request.code().bits() == SILENT {
            kept.push(request); // dropped, its Client would be told at once
            continue;
        }
        let [number, ..] = request.user_words();
        request.reply(&Reply::ok().user_words([number * 2, 0, 0, 0, 0]))?;
    }
}

fn start_server(group: Option<Entity>) -> vmtp::Result<Entity> {
    let server = Server::bind(Entity::ZERO)?; // any, which the host gives
    let entity = server.entity()?;
    if let Some(group) = group {
        server.socket().join(Membership::new(group))?;
    }
    thread::spawn(move || serve(server));
    Ok(entity)
}

fn double(number: u32) -> Request<'static> {
    Request::new(DOUBLE).user_words([number, 0, 0])
}

/// A call that takes too long fails with a code, and the client is free for the next.
fn time_limit(server: Entity) -> vmtp::Result<()> {
    let mut client = Client::new()?;
    client.set_time_limit(Some(Duration::from_millis(100)));
    let error = client.call(server, &Request::new(SILENT)).unwrap_err();
    assert_eq!(error.code(), Some(Code::USER_TIMEOUT));
    // That there is no Response yet is no failure; that the transaction's time is up is one.
    client.set_time_limit(Some(Duration::from_secs(2)));
    client.start(server, &Request::new(SILENT))?;
    assert!(client.next_response(Some(Duration::ZERO))?.is_none());
    let error = client
        .next_response(Some(Duration::from_secs(30)))
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::USER_TIMEOUT));
    client.set_time_limit(None);
    assert_eq!(client.call(server, &double(4))?.mcb().user_words()[0], 8);
    Ok(())
}

/// Threads share clients: one call is one entity's.
fn pool(server: Entity) -> vmtp::Result<()> {
    let pool = Pool::new(4, Client::new);
    let double_all = |first: u32| -> vmtp::Result<()> {
        for number in first..first + 50 {
            let response = pool.call(server, &double(number))?;
            assert_eq!(response.mcb().user_words()[0], number * 2);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|part| scope.spawn(move || double_all(part * 50)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().expect("no panic"))
    })
}

/// One Request, and every member answers. An entity's kind says what it is.
fn group() -> vmtp::Result<()> {
    let group: Entity = "UG-700000-10.9.0.1".parse().expect("a group");
    assert_eq!(group.kind(), EntityKind::UnrestrictedGroup);
    let mut members = vec![start_server(Some(group))?, start_server(Some(group))?];
    let client = Client::new()?;
    let first = client.call(group, &double(5).multiple_responses())?;
    let mut answers = vec![first.server()];
    while let Some(next) = client.next_response(Some(Duration::from_secs(2)))? {
        answers.push(next.server());
        if answers.len() == members.len() {
            break;
        }
    }
    answers.sort();
    members.sort();
    assert_eq!(answers, members);
    Ok(())
}

/// Requests leave one after another without waiting (2.11); each Response has its Request's cookie.
fn stream(server: Entity) -> vmtp::Result<()> {
    let client = Client::new()?;
    client.socket().set_stream(true)?;
    let last = 20;
    for number in 0..=last {
        let request = double(number)
            .cookie(u64::from(number) + 1)
            .more(number < last);
        client.start(server, &request)?;
    }
    for _ in 0..=last {
        let response = client.next_response(None)?.expect("there is no limit");
        let number = u32::try_from(response.cookie() - 1).expect("as given");
        assert_eq!(response.mcb().user_words()[0], number * 2);
    }
    Ok(())
}

/// A server passes what it gets on; who answers is another, and the client does not notice (2.8).
fn forward(server: Entity) -> vmtp::Result<()> {
    let front = Server::bind(Entity::ZERO)?;
    let entity = front.entity()?;
    let desk = thread::spawn(move || front.recv()?.forward(server, &[]));
    let response = Client::new()?.call(entity, &double(6))?;
    assert_eq!(response.mcb().user_words()[0], 12);
    desk.join().expect("no panic")
}

fn main() -> vmtp::Result<()> {
    let server = start_server(None)?;
    time_limit(server)?;
    pool(server)?;
    group()?;
    stream(server)?;
    forward(server)?;
    println!("all of it");
    Ok(())
}
