// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A client that writes and reads as fast as it is answered, and checks every answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use serde_json::json;
use vmtp::manager::Manager;
use vmtp::{Client, Entity, Error, Request, Response};

use crate::{CATCH_UP, GET, PUT};

const KEYS: u64 = 64;

/// How long the answers of all members are waited for before those that lack are asked again.
const ALL: Duration = Duration::from_millis(400);

/// How long the members are asked for.
const MEMBERS: Duration = Duration::from_millis(600);

/// How often a read is repeated because a stranger answered it.
const ADMISSIONS: u32 = 10;

/// What the client has seen.
#[derive(Default)]
struct Counts {
    writes: u64,
    reads: u64,
    errors: u64,
    stale: u64,
    /// Members that had to be asked again, alone.
    repeated: u64,
    slowest: Duration,
    /// Answers by member.
    answers: BTreeMap<String, u64>,
}

pub(crate) fn drive(group: Entity, seconds: u64) -> Result<bool> {
    let mut client = Client::new()?;
    client.set_time_limit(Some(Duration::from_secs(20)));
    let mut counts = Counts::default();
    let mut written: BTreeMap<String, u64> = BTreeMap::new();
    let mut members = members(group)?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut version = 0u64;
    while Instant::now() < end {
        version += 1;
        let key = format!("key{}", version % KEYS);
        let begun = Instant::now();
        if write(&client, group, &mut members, version, &key, &mut counts)? {
            written.insert(key, version);
        } else {
            counts.errors += 1;
        }
        counts.writes += 1;
        let asked = format!("key{}", version * 7 % KEYS);
        match read(&client, group, &mut members, &asked, &mut counts) {
            Ok(found) => {
                let wanted = written.get(&asked).copied();
                if found < wanted {
                    counts.stale += 1;
                }
            }
            Err(error) => {
                eprintln!("vmtp-kv: {error}");
                counts.errors += 1;
            }
        }
        counts.reads += 1;
        counts.slowest = counts.slowest.max(begun.elapsed());
    }
    println!(
        "{}",
        json!({
            "writes": counts.writes,
            "reads": counts.reads,
            "errors": counts.errors,
            "stale": counts.stale,
            "repeated": counts.repeated,
            "slowest_ms": counts.slowest.as_millis() as u64,
            "members": members.len(),
            "answers": counts.answers,
        })
    );
    Ok(counts.errors == 0 && counts.stale == 0)
}

/// The members that the managers tell of.
fn members(group: Entity) -> Result<BTreeSet<Entity>> {
    let client = Client::new()?;
    let hosts = Manager::new(&client).members(group, MEMBERS)?;
    Ok(hosts.into_iter().flat_map(|(_, members)| members).collect())
}

/// A replica that this client has not waited for may lack some of its writes. From now on it is waited for, after it has
/// taken over what another has. Without an answer it stays a stranger.
fn admit(client: &Client, members: &mut BTreeSet<Entity>, newcomer: Entity) -> Result<()> {
    match client.call(newcomer, &Request::new(CATCH_UP)) {
        Ok(response) => {
            if response.code().is_ok() {
                members.insert(newcomer);
            }
            Ok(())
        }
        Err(Error::Failed(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn put<'a>(version: u64, pair: &'a str) -> Request<'a> {
    Request::new(PUT)
        .user_words([(version >> 32) as u32, version as u32, 0])
        .segment(pair.as_bytes())
}

/// Writes to all members. False if one that is a member still did not answer.
fn write(
    client: &Client,
    group: Entity,
    members: &mut BTreeSet<Entity>,
    version: u64,
    key: &str,
    counts: &mut Counts,
) -> Result<bool> {
    let pair = format!("{key}=value {version}");
    let mut lacking = members.clone();
    let mut newcomers = BTreeSet::new();
    let mut take = |response: &Response, counts: &mut Counts| {
        *counts
            .answers
            .entry(response.server().to_string())
            .or_default() += 1;
        if !lacking.remove(&response.server()) && !members.contains(&response.server()) {
            newcomers.insert(response.server());
        }
        lacking.is_empty()
    };
    let mut complete = match client.call(group, &put(version, &pair).multiple_responses()) {
        Ok(response) => take(&response, counts),
        Err(Error::Failed(_)) => false,
        Err(error) => return Err(error.into()),
    };
    let end = Instant::now() + ALL;
    while !complete {
        let left = end.saturating_duration_since(Instant::now());
        match client.next_response(Some(left)) {
            Ok(Some(response)) => complete = take(&response, counts),
            Ok(None) | Err(Error::Failed(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    for newcomer in newcomers {
        admit(client, members, newcomer)?;
    }
    if complete {
        return Ok(true);
    }
    // Somebody has gone, moves, or has lost a packet: who is a member is asked again.
    let deadline = Instant::now() + Duration::from_secs(15);
    while Instant::now() < deadline {
        let present = self::members(group)?;
        members.retain(|member| present.contains(member));
        for newcomer in present.difference(&members.clone()) {
            admit(client, members, *newcomer)?;
        }
        let rest: Vec<_> = lacking.intersection(members).copied().collect();
        let mut all = true;
        for member in rest {
            counts.repeated += 1;
            match client.call(member, &put(version, &pair)) {
                Ok(response) => {
                    lacking.remove(&response.server());
                }
                Err(Error::Failed(_)) => all = false,
                Err(error) => return Err(error.into()),
            }
        }
        if all && !members.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The version that the first member to answer has.
fn read(
    client: &Client,
    group: Entity,
    members: &mut BTreeSet<Entity>,
    key: &str,
    counts: &mut Counts,
) -> Result<Option<u64>> {
    let request = Request::new(GET).segment(key.as_bytes());
    let mut response = client.call(group, &request)?;
    for _ in 0..ADMISSIONS {
        if members.contains(&response.server()) {
            break;
        }
        admit(client, members, response.server())?;
        // It is asked again, or another one.
        response = client.call(group, &request)?;
    }
    if !members.contains(&response.server()) {
        bail!("{} answers and does not catch up", response.server());
    }
    *counts
        .answers
        .entry(response.server().to_string())
        .or_default() += 1;
    if !response.code().is_ok() {
        return Ok(None);
    }
    let [high, low, ..] = response.mcb().user_words();
    Ok(Some(u64::from(high) << 32 | u64::from(low)))
}
