// SPDX-License-Identifier: GPL-2.0 OR MIT
//! A server whose tasks answer at the same time, and a thousand calls of a pool; then a call that is given up.
use std::time::Duration;

use vmtp::asynchronous::{Client, Pool, Server};
use vmtp::{Entity, Reply, Request};

const DOUBLE: u32 = 0x80_0001;
const NEVER: u32 = 0x80_0002;

async fn serve(server: Server) -> vmtp::Result<()> {
    loop {
        let request = server.recv().await?;
        tokio::spawn(async move {
            if request.code().bits() == NEVER {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            let [number, ..] = request.user_words();
            tokio::time::sleep(Duration::from_millis(5)).await; // the work
            request.reply(&Reply::ok().user_words([number * 2, 0, 0, 0, 0]))
        });
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::bind(Entity::ZERO)?; // any
    let entity = server.entity()?;
    tokio::spawn(serve(server));

    let pool = std::sync::Arc::new(Pool::new(16, vmtp::Client::new));
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let pool = pool.clone();
        calls.spawn(async move {
            let request = Request::new(DOUBLE).user_words([number, 0, 0]);
            let response = pool.call(entity, &request).await?;
            assert_eq!(response.mcb().user_words()[0], number * 2);
            vmtp::Result::Ok(())
        });
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }

    // A call that is dropped is over: the client is free for the next.
    let mut client = Client::new()?;
    let never = Request::new(NEVER);
    let late = tokio::time::timeout(Duration::from_millis(50), client.call(entity, &never)).await;
    assert!(late.is_err());
    let request = Request::new(DOUBLE).user_words([21, 0, 0]);
    let response = client.call(entity, &request).await?;
    assert_eq!(response.mcb().user_words()[0], 42);
    println!("1002 calls");
    Ok(())
}
