// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The TCP connections of a server: so many at a time, each in a thread of its own. For one more, the
//! one goes that has been idle for the longest time, so that those who only hold theirs keep nobody
//! out. And none is waited for octet by octet: all of a message has to come in time.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::lock;

/// Those of a server.
#[derive(Debug)]
pub struct Connections {
    max: usize,
    open: Mutex<HashMap<u64, Open>>,
    /// One is idle or gone.
    changed: Condvar,
}

/// What is known of each.
#[derive(Debug)]
struct Open {
    stream: Arc<TcpStream>,
    /// Since when; one that is served at the moment is not.
    idle: Option<Instant>,
}

/// One of them.
#[derive(Debug)]
pub struct Connection {
    connections: Arc<Connections>,
    number: u64,
    stream: Arc<TcpStream>,
}

impl Connections {
    /// None yet, and so many at most.
    pub fn new(max: usize) -> Arc<Connections> {
        Arc::new(Connections {
            max,
            open: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Has each connection that comes served, until `serve` returns.
    pub fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        serve: impl Fn(&Connection, SocketAddr) -> io::Result<()> + Send + Sync + 'static,
    ) {
        let serve = Arc::new(serve);
        for number in 0.. {
            let Ok((stream, from)) = listener.accept() else {
                thread::sleep(Duration::from_millis(100)); // no descriptors left, perhaps
                continue;
            };
            // An answer is written as it is, and not held back for more; without that it only comes later.
            let _ = stream.set_nodelay(true);
            let connection = self.admit(number, stream);
            let serve = Arc::clone(&serve);
            thread::spawn(move || {
                // Who breaks off or breaks the rules has ended his connection.
                let _ = serve(&connection, from);
            });
        }
    }

    fn admit(self: &Arc<Self>, number: u64, stream: TcpStream) -> Connection {
        let mut open = lock(&self.open);
        while open.len() >= self.max {
            let idle = open.values().filter(|other| other.idle.is_some());
            if let Some(longest) = idle.min_by_key(|other| other.idle) {
                // Then its thread gives up. If it has gone already, so much the better.
                let _ = longest.stream.shutdown(Shutdown::Both);
            }
            open = self
                .changed
                .wait(open)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let idle = Some(Instant::now());
        let stream = Arc::new(stream);
        let known = Arc::clone(&stream);
        open.insert(
            number,
            Open {
                stream: known,
                idle,
            },
        );
        Connection {
            connections: Arc::clone(self),
            number,
            stream,
        }
    }
}

impl Connection {
    /// Does what its caller waits for: meanwhile it is not idle.
    pub fn serve<T>(&self, work: impl FnOnce() -> T) -> T {
        self.set_idle(None);
        let result = work();
        self.set_idle(Some(Instant::now()));
        result
    }

    fn set_idle(&self, now: Option<Instant>) {
        if let Some(own) = lock(&self.connections.open).get_mut(&self.number) {
            own.idle = now;
        }
        self.connections.changed.notify_one();
    }

    /// Waits until there is something to read, for so long at most. Whether there is; else it has ended.
    pub fn wait(&self, idle: Duration) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(idle))?;
        Ok(self.stream.peek(&mut [0])? > 0)
    }

    /// What is read and written within that time.
    pub fn within(&self, limit: Duration) -> Timed<'_> {
        Timed {
            stream: &self.stream,
            end: Instant::now() + limit,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.connections.open).remove(&self.number);
        self.connections.changed.notify_one();
    }
}

/// A stream whose reads and writes all end at one time.
#[derive(Debug)]
pub struct Timed<'a> {
    stream: &'a TcpStream,
    end: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(20);

    /// A server that sends each octet back, after a `w` an `s` first and then when it is told to.
    fn echo(max: usize) -> (SocketAddr, mpsc::Sender<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (release, released) = mpsc::channel();
        let released = Mutex::new(released);
        thread::spawn(move || {
            Connections::new(max).accept(&listener, move |connection, _| {
                while connection.wait(LONG)? {
                    let mut octet = [0];
                    connection.within(LONG).read_exact(&mut octet)?;
                    if octet == *b"w" {
                        connection.serve(|| {
                            connection.within(LONG).write_all(b"s").unwrap();
                            lock(&released).recv().unwrap();
                        });
                    }
                    connection.within(LONG).write_all(&octet)?;
                }
                Ok(())
            });
        });
        (address, release)
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Whether what is said has an answer; else the connection has gone.
    fn answers(mut stream: &TcpStream, octet: u8) -> bool {
        stream.write_all(&[octet]).is_ok() && is_answered(stream, octet)
    }

    fn is_answered(mut stream: &TcpStream, octet: u8) -> bool {
        let mut answer = [0];
        stream.read_exact(&mut answer).is_ok() && answer == [octet]
    }

    #[test]
    fn idle_connections_keep_nobody_out_and_the_longest_idle_goes() {
        let (address, release) = echo(3);
        let served = connect(address);
        (&served).write_all(b"w").unwrap();
        assert!(is_answered(&served, b's'));
        let idle = connect(address);
        assert!(answers(&idle, b'a'));
        let lively = connect(address);
        assert!(answers(&lively, b'b'));
        let one_more = connect(address);
        assert!(answers(&one_more, b'c'));
        assert!(answers(&lively, b'd'));
        assert!(!answers(&idle, b'e'));
        release.send(()).unwrap();
        assert!(is_answered(&served, b'w'));
    }

    #[test]
    fn octet_by_octet_a_message_has_no_more_time_than_at_once() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut dripping = connect(listener.local_addr().unwrap());
        let connection = Connections::new(1).admit(0, listener.accept().unwrap().0);
        let writing = thread::spawn(move || {
            while dripping.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let begin = Instant::now();
        let mut message = [0; 1000];
        let limit = Duration::from_millis(500);
        connection
            .within(limit)
            .read_exact(&mut message)
            .unwrap_err();
        assert!(begin.elapsed() >= limit && begin.elapsed() < 10 * limit);
        drop(connection);
        writing.join().unwrap();
    }
}
