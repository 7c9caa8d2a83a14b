// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp ping`: one transaction after the other with an entity that echoes, and their times.

use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{json, Value};
use vmtp::{Client, Code, Entity, Error, Request, Response};

use crate::args::Ping;
use crate::statistics::Statistics;
use crate::{echo, output, probe, signal};

/// The first of the applications' codes: an echo server answers every code.
const CODE: u32 = Code::APPLICATION.bits();

pub(crate) fn run(ping: Ping, json: bool) -> Result<bool> {
    let mut client = probe::client(&ping.way, ping.retries)?;
    client.set_time_limit(
        ping.timeout
            .map(|timeout| Duration::from_millis(timeout.into())),
    );
    if ping.size > vmtp::GROUP_SIZE {
        client.set_response_limit(ping.size);
    }
    let session = Session {
        entity: ping.entity,
        local: client.entity()?,
        size: ping.size,
        begun: Instant::now(),
        statistics: Statistics::default(),
        replies: (json && !ping.quiet).then(Vec::new),
        json,
    };
    if !json {
        output::line(&format!(
            "PING {} from {}: {} octets of segment",
            session.entity, session.local, session.size
        ))?;
    }
    let session = Arc::new(Mutex::new(session));
    let at_end = Arc::clone(&session);
    signal::at_end(move || finish(&mut lock(&at_end)))?;

    let mut next = Instant::now();
    let mut payload = Vec::new();
    let mut sequence = 0_u64;
    let failed = loop {
        sequence += 1;
        pattern(sequence, ping.size, &mut payload);
        lock(&session).statistics.sent += 1;
        let request = Request::new(CODE)
            .user_octets(tag(sequence))
            .segment(&payload)
            .host(probe::host(&ping.way));
        let begun = Instant::now();
        let result = transact(&client, ping.entity, &request);
        let time = begun.elapsed();
        match result {
            Ok(response) => {
                let intact = is_echo(&response, sequence, &payload);
                lock(&session).answer(sequence, time, &response, intact, ping.quiet)?;
            }
            Err(Error::Failed(response)) => {
                lock(&session).failure(sequence, time, &response, ping.quiet)?;
            }
            // What was not sent is not lost; the statistics are of the others.
            Err(error) => {
                lock(&session).statistics.sent -= 1;
                break Some(error);
            }
        }
        if ping.count == Some(sequence) {
            break None;
        }
        next += ping.interval;
        let now = Instant::now();
        std::thread::sleep(next.saturating_duration_since(now));
        // After a long silence there is no burst to catch up.
        next = next.max(now);
    };

    let mut session = lock(&session);
    if let Some(error) = failed {
        if session.statistics.sent > 0 {
            finish(&mut session);
        }
        return Err(error.into());
    }
    process::exit(finish(&mut session))
}

/// A call that a signal does not end: that is the signal thread's to do.
fn transact(client: &Client, entity: Entity, request: &Request<'_>) -> vmtp::Result<Response> {
    let mut result = Some(client.call(entity, request));
    loop {
        match result {
            Some(Err(error)) if error.interrupted() => (),
            Some(result) => return result,
            None => (),
        }
        result = client.next_response(None).transpose();
    }
}

/// A panic elsewhere leaves counts that are still true.
fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The 12 octets of user data: the sequence number, and a mark.
fn tag(sequence: u64) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = sequence.to_be_bytes();
    [a, b, c, d, e, f, g, h, b'p', b'i', b'n', b'g']
}

/// Octets that differ from block to block and from Request to Request: none can stand for another.
fn pattern(sequence: u64, size: usize, payload: &mut Vec<u8>) {
    payload.clear();
    let mut state = sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while payload.len() < size {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let octets = state.to_be_bytes();
        let rest = (size - payload.len()).min(octets.len());
        payload.extend(octets.iter().take(rest));
    }
}

fn is_echo(response: &Response, sequence: u64, payload: &[u8]) -> bool {
    response.code().is_ok()
        && response.mcb().user_octets().starts_with(&tag(sequence))
        && response.segment() == payload
}

/// All that one ping knows.
struct Session {
    entity: Entity,
    local: Entity,
    size: usize,
    begun: Instant,
    statistics: Statistics,
    /// For JSON, unless it is quiet.
    replies: Option<Vec<Value>>,
    json: bool,
}

impl Session {
    fn answer(
        &mut self,
        sequence: u64,
        time: Duration,
        response: &Response,
        intact: bool,
        quiet: bool,
    ) -> Result<()> {
        self.statistics.answer(time, intact);
        self.record(sequence, time, response, Some(intact));
        if self.json || quiet {
            return Ok(());
        }
        let wrong = if intact {
            String::new()
        } else if response.code().bits() == echo::TOO_LONG {
            format!(", more than it takes: `vmtp echo --max {}`", self.size)
        } else {
            ", not the data that was sent: is this `vmtp echo`?".into()
        };
        output::line(&format!(
            "{} octets from {} ({}): seq={sequence} time={} ms{wrong}",
            response.segment().len(),
            response.server(),
            response.host(),
            output::milliseconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        ))
    }

    fn failure(
        &mut self,
        sequence: u64,
        time: Duration,
        response: &Response,
        quiet: bool,
    ) -> Result<()> {
        self.record(sequence, time, response, None);
        if self.json || quiet {
            return Ok(());
        }
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        output::line(&format!(
            "seq={sequence} {} after {} ms",
            output::code(response.code()),
            output::milliseconds(time)
        ))
    }

    fn record(&mut self, sequence: u64, time: Duration, response: &Response, intact: Option<bool>) {
        if let Some(replies) = &mut self.replies {
            replies.push(json!({
                "seq": sequence,
                "code": response.code().bits(),
                "code_name": output::code_name(response.code()),
                "server": response.server().to_string(),
                "host": output::host(response.host()),
                "transaction": response.mcb().transaction(),
                "time_ns": output::nanoseconds(time),
                "intact": intact,
            }));
        }
    }

    fn describe(&self, elapsed: Duration) -> Value {
        let summary = self.statistics.summary().map(|summary| {
            json!({ "min": summary.min, "avg": summary.avg, "max": summary.max, "mdev": summary.mdev })
        });
        let mut value = json!({
            "entity": self.entity.to_string(),
            "local": self.local.to_string(),
            "size": self.size,
            "sent": self.statistics.sent,
            "answered": self.statistics.answered,
            "corrupted": self.statistics.corrupted,
            "loss_percent": self.statistics.loss_percent(),
            "elapsed_ns": output::nanoseconds(elapsed),
            "rtt_ns": summary,
        });
        if let Some(replies) = &self.replies {
            value["replies"] = json!(replies);
        }
        value
    }

    fn text(&self, elapsed: Duration) -> String {
        let Statistics {
            sent,
            answered,
            corrupted,
            ..
        } = self.statistics;
        let wrong = if corrupted > 0 {
            format!(", {corrupted} with wrong data")
        } else {
            String::new()
        };
        let mut text = format!(
            "\n--- {} ping statistics ---\n\
             {sent} Requests sent, {answered} answered{wrong}, {:.4}% loss, time {} ms",
            self.entity,
            self.statistics.loss_percent(),
            elapsed.as_millis(),
        )
        .replace(".0000% loss", "% loss");
        if let Some(summary) = self.statistics.summary() {
            text.push_str(&format!(
                "\nrtt min/avg/max/mdev = {}/{}/{}/{} ms",
                output::milliseconds(summary.min),
                output::milliseconds(summary.avg),
                output::milliseconds(summary.max),
                output::milliseconds(summary.mdev),
            ));
        }
        text
    }
}

/// Prints the statistics and returns the exit status.
fn finish(session: &mut Session) -> i32 {
    let elapsed = session.begun.elapsed();
    let printed = if session.json {
        output::line(&session.describe(elapsed).to_string())
    } else {
        output::line(&session.text(elapsed))
    };
    match printed {
        Err(error) => {
            output::error(&error, false);
            2
        }
        Ok(()) => i32::from(!session.statistics.success()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmtp::{sys, Received};

    fn response(code: u32, sequence: u64, segment: &[u8]) -> Response {
        let mut user = [0; 5];
        for (word, octets) in user.iter_mut().zip(tag(sequence).chunks_exact(4)) {
            *word = u32::from_be_bytes(octets.try_into().expect("four octets"));
        }
        let mcb = sys::vmtp_mcb {
            code,
            user,
            server: 0x2001_1170_0A00_0002,
            transaction: 9,
            ..Default::default()
        };
        Response::new(
            Received {
                mcb: mcb.into(),
                ..Default::default()
            },
            segment.to_vec(),
        )
    }

    fn session(json: bool) -> Session {
        let mut statistics = Statistics::default();
        statistics.sent = 2;
        Session {
            entity: Entity::from_bits(0x2001_1170_0A00_0002),
            local: Entity::DEFAULT_LECLIENT,
            size: 3,
            begun: Instant::now(),
            statistics,
            replies: json.then(Vec::new),
            json,
        }
    }

    #[test]
    fn only_the_octets_that_were_sent_are_an_echo() {
        let mut payload = Vec::new();
        pattern(7, 1_000, &mut payload);
        assert_eq!(payload.len(), 1_000);
        assert!(is_echo(&response(0, 7, &payload), 7, &payload));
        assert!(!is_echo(&response(0, 8, &payload), 7, &payload));
        assert!(!is_echo(&response(0x80_0000, 7, &payload), 7, &payload));
        assert!(!is_echo(&response(0, 7, &payload[..999]), 7, &payload));
        let mut other = Vec::new();
        pattern(8, 1_000, &mut other);
        assert_ne!(payload, other);
        let blocks: std::collections::HashSet<_> = payload.chunks(8).collect();
        assert_eq!(blocks.len(), 125);
        pattern(9, 0, &mut payload);
        assert!(payload.is_empty());
    }

    #[test]
    fn the_json_of_a_session() {
        let mut session = session(true);
        session
            .answer(
                1,
                Duration::from_nanos(500),
                &response(0, 1, b"abc"),
                true,
                false,
            )
            .unwrap();
        session
            .failure(2, Duration::from_nanos(9), &response(13, 2, b""), false)
            .unwrap();
        assert_eq!(
            session.describe(Duration::from_nanos(99)),
            json!({
                "entity": "LE-70000-10.0.0.2",
                "local": "LE-1-224.0.1.0",
                "size": 3,
                "sent": 2,
                "answered": 1,
                "corrupted": 0,
                "loss_percent": 50.0,
                "elapsed_ns": 99,
                "rtt_ns": { "min": 500, "avg": 500, "max": 500, "mdev": 0 },
                "replies": [
                    { "seq": 1, "code": 0, "code_name": "OK", "server": "LE-70000-10.0.0.2", "host": null,
                      "transaction": 9, "time_ns": 500, "intact": true },
                    { "seq": 2, "code": 13, "code_name": "RETRANS_TIMEOUT", "server": "LE-70000-10.0.0.2",
                      "host": null, "transaction": 9, "time_ns": 9, "intact": null },
                ],
            })
        );
    }

    #[test]
    fn the_statistics_read_like_ping() {
        let mut session = session(false);
        assert!(session
            .text(Duration::ZERO)
            .ends_with("2 Requests sent, 0 answered, 100% loss, time 0 ms"));
        session.statistics.answer(Duration::from_micros(250), true);
        session.statistics.sent = 3;
        let text = session.text(Duration::from_secs(2));
        assert!(
            text.contains("--- LE-70000-10.0.0.2 ping statistics ---"),
            "{text}"
        );
        assert!(
            text.contains("3 Requests sent, 1 answered, 66.6667% loss, time 2000 ms"),
            "{text}"
        );
        assert!(
            text.ends_with("rtt min/avg/max/mdev = 0.2500/0.2500/0.2500/0.0000 ms"),
            "{text}"
        );
    }
}
