// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Brings Requests of a VMTP entity to a service, and its answers back.

use std::thread;

use rustix::io::Errno;
use vmtp::{IncomingRequest, Reply, Server};

use crate::protocol::{failure, Message, Procedure, DATA_MAX, IDEMPOTENT_MAX};
use crate::service::Service;

/// Serves with so many threads. Returns only if it cannot go on.
pub fn serve(mut server: Server, service: &Service, threads: usize) -> vmtp::Result<()> {
    server.set_request_limit(DATA_MAX);
    let server = &server;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1))
            .map(|_| scope.spawn(move || work(server, service)))
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    })
}

fn work(server: &Server, service: &Service) -> vmtp::Result<()> {
    let mut request = receive(server)?;
    loop {
        let (code, message) = match answer(service, &request) {
            Ok(message) => (vmtp::sys::VMTP_OK, message),
            Err(errno) => (failure(errno), Message::default()),
        };
        let mut reply = Reply::new(code)
            .user_words(message.words)
            .segment(&message.segment);
        let repeatable = Procedure::of(request.code().bits()).is_none_or(Procedure::is_idempotent);
        if repeatable && message.segment.len() <= IDEMPOTENT_MAX {
            reply = reply.idempotent();
        }
        request = match request.reply_and_recv(&reply) {
            Ok(next) => next,
            Err(failed) => match failed.request {
                // The Response cannot go: the next one may do better.
                Some(unanswered) => {
                    drop(unanswered);
                    receive(server)?
                }
                None if failed.error.interrupted() => receive(server)?,
                None => return Err(failed.error),
            },
        };
    }
}

fn receive(server: &Server) -> vmtp::Result<IncomingRequest<'_>> {
    loop {
        match server.recv() {
            Err(error) if error.interrupted() => {}
            result => return result,
        }
    }
}

fn answer(service: &Service, request: &IncomingRequest<'_>) -> Result<Message, Errno> {
    // Nobody hears the outcome of a datagram, and it may be executed more than once.
    if request.is_datagram() || request.mcb().coresident().is_some() {
        return Err(Errno::INVAL);
    }
    if request.is_truncated() {
        return Err(Errno::MSGSIZE);
    }
    // Parts that are missing would be taken for zeroes.
    if request.mcb().delivered().is_some() {
        return Err(Errno::INVAL);
    }
    let procedure = Procedure::of(request.code().bits()).ok_or(Errno::NOSYS)?;
    service.answer(
        request.host().address(),
        procedure,
        request.mcb().user_words(),
        request.segment(),
    )
}
