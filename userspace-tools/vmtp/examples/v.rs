// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The primitives of the V kernel, for which VMTP was made: Send, Receive, Reply, Forward, GetPid and
//! SetPid, CopyFrom and CopyTo. A message has 32 octets. Who sends one lends some memory until it is
//! answered; whom the message reaches may copy from it and to it meanwhile. So may anybody else who
//! knows the sender's pid, as long as the memory is lent: nothing here asks who it is that copies.
use std::cell::RefCell;
use std::collections::VecDeque;

use rustix::event::{poll, PollFd, PollFlags};
use vmtp::{sys, Entity, Mcb, Membership, Reply, Request, Result, Socket, GROUP_SIZE};

type Message = [u32; 8];
const USER: u32 = sys::VMTP_CODE_APPLICATION; // word 0 of a message goes into the low bits
const GET_PID: u32 = USER | 0x7F_0001;
const COPY_FROM: u32 = USER | 0x7F_0002;
const COPY_TO: u32 = USER | 0x7F_0003;

/// A process is an entity, at once Client and Server. It is one thread's.
struct Process {
    socket: Socket,
    /// Messages that came while it waited for an answer.
    queue: RefCell<VecDeque<Mcb>>,
}

/// The processes of a logical identifier are a group.
fn logical(id: u32) -> Entity {
    Entity::from_bits(0x6000_0000_E000_0100 | u64::from(id) << 32)
}

fn message(mcb: &Mcb) -> Message {
    let [a, b, c, d, e] = mcb.user_words();
    [
        mcb.code().bits() & !USER,
        a,
        b,
        c,
        d,
        e,
        mcb.msg_delivery(),
        mcb.segment_size(),
    ]
}

fn request([code, a, b, c, d, e, f, g]: Message) -> Request<'static> {
    Request::new(USER | code)
        .first_words([a, b])
        .user_words([c, d, e])
        .last_words(f, g)
}

impl Process {
    fn create() -> Result<Process> {
        let socket = Socket::new()?;
        socket.bind(Entity::ZERO)?;
        Ok(Process {
            socket,
            queue: RefCell::default(),
        })
    }

    fn pid(&self) -> Result<Entity> {
        self.socket.local().map(|(entity, _)| entity)
    }

    fn send(&self, text: &mut Message, lent: &mut [u8], to: Entity) -> Result<()> {
        self.socket.start(to, &request(*text), None, 0)?;
        loop {
            // A Response, or a Request to copy.
            poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], None).expect("poll");
            let mut data = Vec::with_capacity(GROUP_SIZE);
            match self
                .socket
                .getreply(Some(std::time::Duration::ZERO), false, &mut data)
            {
                Ok(found) if found.mcb.server().is_zero() => {} // not yet
                Ok(found) => {
                    *text = message(&found.mcb);
                    return Ok(());
                }
                Err(error) if error.would_block() => {}
                Err(error) => return Err(error),
            }
            data.clear();
            match self
                .socket
                .recvreq(Some(std::time::Duration::ZERO), false, &mut data)
            {
                Ok(found) => self.copy_or_keep(found.mcb, &data, lent)?,
                Err(error) if error.would_block() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn copy_or_keep(&self, mcb: Mcb, data: &[u8], lent: &mut [u8]) -> Result<()> {
        let [at, length, ..] = mcb.user_words().map(|word| word as usize);
        let place = lent.get_mut(at..at.saturating_add(length).min(at.saturating_add(GROUP_SIZE)));
        let reply = match (USER | mcb.code().bits(), place) {
            (COPY_FROM, Some(place)) => Reply::ok().segment(place),
            (COPY_TO, Some(place)) if place.len() == data.len() => {
                place.copy_from_slice(data);
                Reply::ok()
            }
            (COPY_FROM | COPY_TO, _) => Reply::new(sys::VMTP_NO_PERMISSION), // not lent
            _ => {
                self.queue.borrow_mut().push_back(mcb);
                return Ok(());
            }
        };
        self.socket.sendreply(&mcb, &reply)
    }

    fn receive(&self) -> Result<Mcb> {
        loop {
            let kept = self.queue.borrow_mut().pop_front();
            let mcb = match kept {
                Some(mcb) => mcb,
                None => self.socket.recvreq(None, false, &mut Vec::new())?.mcb,
            };
            match USER | mcb.code().bits() {
                GET_PID => self.socket.sendreply(&mcb, &Reply::ok())?,
                COPY_FROM | COPY_TO => self.copy_or_keep(mcb, &[], &mut [])?, // nothing is lent
                _ => return Ok(mcb),
            }
        }
    }

    fn reply(&self, [code, a, b, c, d, e, f, g]: Message, to: &Mcb) -> Result<()> {
        let reply = Reply::new(USER | code)
            .user_words([a, b, c, d, e])
            .last_words(f, g);
        self.socket.sendreply(to, &reply)
    }

    fn forward(&self, from: &Mcb, to: Entity) -> Result<()> {
        self.socket.forward(from, to, &request(message(from)))
    }

    fn set_pid(&self, id: u32) -> Result<()> {
        self.socket.join(Membership::new(logical(id)))
    }

    fn get_pid(&self, id: u32) -> Result<Entity> {
        let found = self.socket.invoke(
            logical(id),
            &Request::new(GET_PID),
            None,
            false,
            &mut Vec::new(),
        )?;
        Ok(found.mcb.server())
    }

    fn copy_from(&self, from: &Mcb, at: u32, length: u32) -> Result<Vec<u8>> {
        let mut data = Vec::with_capacity(GROUP_SIZE);
        let request = Request::new(COPY_FROM).first_words([at, length]);
        let found = self
            .socket
            .invoke(from.client(), &request, None, false, &mut data)?;
        assert!(found.mcb.code().is_ok(), "CopyFrom: {}", found.mcb.code());
        Ok(data)
    }

    fn copy_to(&self, to: &Mcb, at: u32, data: &[u8]) -> Result<()> {
        let request = Request::new(COPY_TO)
            .first_words([at, data.len() as u32])
            .segment(data);
        let found = self
            .socket
            .invoke(to.client(), &request, None, false, &mut Vec::new())?;
        assert!(found.mcb.code().is_ok(), "CopyTo: {}", found.mcb.code());
        Ok(())
    }
}

const SERVICE: u32 = 4711;
const UPPER: u32 = 1;
const ENOUGH: u32 = 2;

/// Turns what is lent into capitals, page by page.
fn capitals(process: &Process) -> Result<()> {
    loop {
        let mcb = process.receive()?;
        let [code, length, ..] = message(&mcb);
        if code == UPPER {
            for at in (0..length).step_by(GROUP_SIZE) {
                let page = process.copy_from(&mcb, at, (length - at).min(GROUP_SIZE as u32))?;
                process.copy_to(&mcb, at, &page.to_ascii_uppercase())?;
            }
        }
        process.reply([code, length, 3, 4, 5, 6, 7, 8], &mcb)?;
        if code == ENOUGH {
            return Ok(());
        }
    }
}

fn main() -> Result<()> {
    let (worker, desk) = (Process::create()?, Process::create()?);
    let worker_pid = worker.pid()?;
    desk.set_pid(SERVICE)?;
    let worker = std::thread::spawn(move || capitals(&worker));
    // The desk passes every message on; the worker answers the sender.
    let desk = std::thread::spawn(move || loop {
        let mcb = desk.receive()?;
        desk.forward(&mcb, worker_pid)?;
        if message(&mcb)[0] == ENOUGH {
            return Result::Ok(());
        }
    });

    let client = Process::create()?;
    let service = client.get_pid(SERVICE)?;
    assert_ne!(service, worker_pid);
    let mut lent = b"page by page, ".repeat(3000);
    let mut text = [UPPER, lent.len() as u32, 0, 0, 0, 0, 0, 0];
    client.send(&mut text, &mut lent, service)?;
    assert_eq!(text, [UPPER, 42_000, 3, 4, 5, 6, 7, 8]);
    assert_eq!(lent, b"PAGE BY PAGE, ".repeat(3000));
    client.send(&mut [ENOUGH, 0, 0, 0, 0, 0, 0, 0], &mut [], service)?;
    desk.join().expect("no panic")?;
    worker.join().expect("no panic")?;
    println!("{} octets in capitals", lent.len());
    Ok(())
}
