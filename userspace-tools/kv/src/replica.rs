// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A replica: a member of the group with a map of its own.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use vmtp::{Client, Entity, IncomingRequest, Membership, Reply, Request, Server, Socket};

use crate::{CATCH_UP, DUMP, GET, NO_KEY, PUT};

/// What a replica may have done to it: anybody may take it out of the group (III.1).
const PERMISSIONS: u32 = vmtp::sys::VMTP_REM_BY_SELF | vmtp::sys::VMTP_REM_BY_OTHE;

/// Errno of Linux: the entity of this socket is elsewhere.
const ESHUTDOWN: i32 = 108;

/// How long another replica is looked for.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(2);

/// The values with their versions.
#[derive(Default)]
struct Store(BTreeMap<String, (u64, String)>);

impl Store {
    /// Keeps the newer of both.
    fn put(&mut self, version: u64, key: &str, value: &str) {
        match self.0.get(key) {
            Some((present, _)) if *present >= version => {}
            _ => {
                self.0.insert(key.into(), (version, value.into()));
            }
        }
    }

    fn dump(&self) -> String {
        self.0
            .iter()
            .map(|(key, (version, value))| format!("{version} {key}={value}\n"))
            .collect()
    }

    fn merge(&mut self, dump: &str) {
        for line in dump.lines() {
            let parts = line
                .split_once(' ')
                .and_then(|(version, pair)| Some((version.parse().ok()?, pair.split_once('=')?)));
            if let Some((version, (key, value))) = parts {
                self.put(version, key, value);
            }
        }
    }
}

pub(crate) fn serve(group: Entity, entity: Entity, stdin: bool) -> Result<bool> {
    let server = if stdin {
        let own = std::io::stdin().as_fd().try_clone_to_owned();
        Server::from(Socket::from(own.context("the standard input")?))
    } else {
        let server = Server::bind(entity)?;
        server
            .socket()
            .join(Membership::new(group).permissions(PERMISSIONS))
            .with_context(|| format!("{group} cannot be joined"))?;
        server
    };
    // Writes that come from now on wait in the queue: nothing falls between.
    let mut store = Store::default();
    let taken_over = take_over(group, &mut store)?;
    println!(
        "REPLICA {} of {group}, {} keys{}",
        server.entity()?,
        store.0.len(),
        if taken_over { " from another" } else { "" }
    );
    loop {
        let request = match server.recv() {
            Ok(request) => request,
            Err(error) if error.errno() == Some(ESHUTDOWN) => {
                println!("MOVED");
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        if request.code().bits() == CATCH_UP {
            take_over(group, &mut store)?;
        }
        let (reply, text) = answer(&mut store, &request);
        let reply = match &text {
            Some(text) => reply.segment(text.as_bytes()),
            None => reply,
        };
        match request.reply(&reply) {
            Err(error) if error.concerns_one_client() => eprintln!("vmtp-kv: {error}"),
            result => result?,
        }
    }
}

/// Takes over what another replica has. False if there is none.
fn take_over(group: Entity, store: &mut Store) -> Result<bool> {
    let mut client = Client::new()?;
    client.set_response_limit(vmtp::MESSAGE_SIZE);
    client.set_time_limit(Some(LOOK_FOR_OTHERS));
    match client.call(group, &Request::new(DUMP)) {
        Ok(response) => {
            store.merge(&String::from_utf8_lossy(response.segment()));
            Ok(true)
        }
        Err(vmtp::Error::Failed(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn answer<'a>(store: &mut Store, request: &IncomingRequest<'_>) -> (Reply<'a>, Option<String>) {
    let text = String::from_utf8_lossy(request.segment()).into_owned();
    let [high, low, _] = request.user_words();
    let version = u64::from(high) << 32 | u64::from(low);
    match request.code().bits() {
        PUT => {
            if let Some((key, value)) = text.split_once('=') {
                store.put(version, key, value);
            }
            (Reply::ok(), None)
        }
        GET => match store.0.get(&text) {
            Some((version, value)) => {
                let words = [(version >> 32) as u32, *version as u32, 0, 0, 0];
                (Reply::ok().user_words(words), Some(value.clone()))
            }
            None => (Reply::new(NO_KEY), None),
        },
        CATCH_UP => (Reply::ok(), None),
        DUMP => (Reply::ok(), Some(store.dump())),
        _ => (Reply::new(NO_KEY), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_stays_whatever_the_order() {
        let (mut first, mut second) = (Store::default(), Store::default());
        first.put(2, "a", "new");
        first.put(1, "a", "old");
        second.put(3, "b", "x=y");
        second.merge(&first.dump());
        second.merge("nonsense\n1 b=old\n");
        assert_eq!(second.dump(), "2 a=new\n3 b=x=y\n");
    }
}
