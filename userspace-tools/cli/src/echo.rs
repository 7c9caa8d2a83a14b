// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp echo`: a server that answers every Request with what is in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use vmtp::{Code, Entity, IncomingRequest, Membership, Reply, ReplyRecvError, Server};

use crate::args::Echo;
use crate::{migrate, output, signal};

/// The Response code instead of a segment that was not received whole, or that the Client cannot take.
pub(crate) const TOO_LONG: u32 = Code::APPLICATION.bits() | libc::EMSGSIZE as u32;

/// What all threads share.
struct Session {
    server: Server,
    entity: Entity,
    begun: Instant,
    count: Option<u64>,
    /// With several threads, replying and receiving are two calls if there is a last Request.
    alone: bool,
    verbose: bool,
    json: bool,
    /// Requests that some thread has taken.
    taken: AtomicU64,
    /// Requests that were answered, and octets of their segments.
    requests: AtomicU64,
    octets: AtomicU64,
}

pub(crate) fn run(echo: Echo, json: bool) -> Result<bool> {
    let mut server = if echo.stdin {
        Server::from(migrate::inherited()?)
    } else {
        Server::bind_in(echo.domain, echo.entity)?
    };
    server.set_request_limit(echo.max);
    for group in &echo.join {
        server
            .socket()
            .join(Membership::new(*group))
            .with_context(|| group.to_string())?;
    }
    let entity = server.entity()?;
    if json {
        let groups: Vec<_> = echo.join.iter().map(Entity::to_string).collect();
        let value = json!({
            "event": "listening",
            "entity": entity.to_string(),
            "number": format!("{:#018x}", entity.bits()),
            "groups": groups,
            "threads": echo.threads,
        });
        output::line(&value.to_string())?;
    } else {
        output::line(&format!("ECHO {entity}"))?;
    }

    let session = Arc::new(Session {
        server,
        entity,
        begun: Instant::now(),
        count: echo.count,
        alone: echo.threads == 1,
        verbose: echo.verbose,
        json,
        taken: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        octets: AtomicU64::new(0),
    });
    let at_end = Arc::clone(&session);
    signal::at_end(move || match at_end.finish(at_end.begun.elapsed()) {
        Ok(()) => 0,
        Err(_) => 2,
    })?;

    // The first thread that has something to say ends the program: the last Request, or an error.
    let (sender, results) = mpsc::channel();
    for _ in 0..echo.threads {
        let (session, sender) = (Arc::clone(&session), sender.clone());
        std::thread::Builder::new()
            .name("echo".into())
            .spawn(move || {
                // The receiver is gone only if the program is.
                let _ = sender.send(session.serve());
            })
            .context("a thread cannot be started")?;
    }
    drop(sender);
    results.recv().context("every thread has gone")??;
    session.finish(session.begun.elapsed())?;
    // Other threads may be waiting for Requests: exit rather than join them.
    std::process::exit(0)
}

impl Session {
    /// Until the last Request is answered, if there is a last.
    fn serve(&self) -> Result<()> {
        let mut next = None;
        loop {
            let mut request = match next.take() {
                Some(request) => request,
                None => self.receive()?,
            };
            let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
            if self.count.is_some_and(|count| taken > count) {
                // One too many, of another thread's making; dropping it tells its Client.
                drop(request);
                loop {
                    std::thread::park();
                }
            }
            if self.verbose {
                self.tell(&request)?;
            }
            let octets = request.segment().len() as u64;
            let is_cut = request.is_truncated();
            let [a, b, c] = request.user_words();
            let segment = request.take_segment();
            let mut reply = Reply::ok().user_words([a, b, c, 0, 0]).segment(&segment);
            if let Some(mask) = request.mcb().delivered() {
                reply = reply.partial(mask);
            }
            if is_cut {
                reply = Reply::new(TOO_LONG); // A part of it would look like an echo.
            }

            let is_last = self.count == Some(taken);
            if is_last || (self.count.is_some() && !self.alone) {
                self.tolerate(request.reply(&reply))?;
                let answered = self.answered(octets);
                if self.count == Some(answered) {
                    return Ok(());
                }
                continue;
            }
            match request.reply_and_recv(&reply) {
                Ok(request) => next = Some(request),
                Err(ReplyRecvError { request, error }) => {
                    let is_too_long = error.errno() == Some(libc::EMSGSIZE);
                    self.tolerate(Err(error))?;
                    if let Some(unanswered) = request {
                        if is_too_long {
                            self.tolerate(unanswered.reply(&Reply::new(TOO_LONG)))?;
                        }
                        continue;
                    }
                }
            }
            self.answered(octets);
        }
    }

    fn receive(&self) -> vmtp::Result<IncomingRequest<'_>> {
        loop {
            match self.server.recv() {
                Err(error) if error.interrupted() => (),
                result => return result,
            }
        }
    }

    /// Goes on after what concerns one Client only; the rest is an error.
    fn tolerate(&self, result: vmtp::Result<()>) -> vmtp::Result<()> {
        match result {
            Err(error) if error.concerns_one_client() => {
                if self.verbose {
                    eprintln!("vmtp: {error}");
                }
                Ok(())
            }
            result => result,
        }
    }

    fn answered(&self, octets: u64) -> u64 {
        self.octets.fetch_add(octets, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn tell(&self, request: &IncomingRequest<'_>) -> Result<()> {
        let mcb = request.mcb();
        if self.json {
            let value = json!({
                "event": "request",
                "client": request.client().to_string(),
                "host": output::host(request.host()),
                "server": mcb.server().to_string(),
                "transaction": mcb.transaction(),
                "code": request.code().bits(),
                "octets": request.segment().len(),
            });
            return output::line(&value.to_string());
        }
        output::line(&format!(
            "{} octets from {} ({}): code={} transaction={}",
            request.segment().len(),
            request.client(),
            request.host(),
            request.code(),
            mcb.transaction(),
        ))
    }

    fn finish(&self, elapsed: Duration) -> Result<()> {
        let requests = self.requests.load(Ordering::Relaxed);
        let octets = self.octets.load(Ordering::Relaxed);
        if self.json {
            let value = json!({
                "event": "finished",
                "entity": self.entity.to_string(),
                "requests": requests,
                "octets": octets,
                "elapsed_ns": output::nanoseconds(elapsed),
            });
            return output::line(&value.to_string());
        }
        output::line(&format!(
            "\n--- {} echo ---\n{requests} Requests, {octets} octets of segment, time {} ms",
            self.entity,
            elapsed.as_millis()
        ))
    }
}
