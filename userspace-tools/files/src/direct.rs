// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A server in the same process, for tests of what needs one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Duration;

use vmtp::Code;

use crate::client::Files;
use crate::export::Export;
use crate::protocol::{Message, Procedure};
use crate::service::Service;
use crate::transport::{Failure, Transport};

/// What happens to a Request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    /// It is executed, and the server killed before it answers; then there is another.
    Unheard,
    /// The server is killed before, so that somebody else can remove this file first.
    Removed(&'static str),
    /// The server is another one by now.
    Forgotten,
}

/// A server that is called directly.
pub(crate) struct Direct {
    folder: tempfile::TempDir,
    service: Mutex<Service>,
    /// Happens to the next Request, or the next one of this procedure.
    next: Mutex<Option<(Option<Procedure>, Mishap)>>,
    /// Nobody is heard of any more.
    pub(crate) silent: AtomicBool,
    /// For how many milliseconds the last Request may take.
    pub(crate) limit: AtomicU64,
}

fn service(folder: &Path) -> Mutex<Service> {
    Mutex::new(Service::new(Export::new(folder, false).unwrap(), 8))
}

impl Transport for Direct {
    fn call(
        &self,
        procedure: Procedure,
        words: [u32; 5],
        segment: &[u8],
        room: usize,
        limit: Duration,
    ) -> std::result::Result<Message, Failure> {
        self.limit
            .store(limit.as_millis() as u64, Ordering::Relaxed);
        let mut server = self.service.lock().unwrap();
        let unheard = Err(Failure::Unheard(Code::NONEXISTENT_ENTITY));
        if self.silent.load(Ordering::Relaxed) {
            return unheard;
        }
        let another = || service(self.folder.path()).into_inner().unwrap();
        let mut next = self.next.lock().unwrap();
        let mishap = next.take_if(|(which, _)| which.is_none_or(|which| which == procedure));
        drop(next);
        match mishap.map(|(_, mishap)| mishap) {
            None => {}
            Some(Mishap::Forgotten) => *server = another(),
            Some(Mishap::Removed(name)) => {
                std::fs::remove_file(self.folder.path().join(name)).unwrap();
                *server = another();
                return unheard;
            }
            Some(Mishap::Unheard) => {
                let _ = server.answer(None, procedure, words, segment);
                *server = another();
                return unheard;
            }
        }
        let result = server.answer(None, procedure, words, segment);
        if let Ok(message) = &result {
            assert!(message.segment.len() <= room);
        }
        result.map_err(Failure::Answered)
    }
}

pub(crate) fn files() -> Files<Direct> {
    let folder = tempfile::tempdir().unwrap();
    let direct = Direct {
        service: service(folder.path()),
        folder,
        next: Mutex::default(),
        silent: AtomicBool::new(false),
        limit: AtomicU64::new(0),
    };
    Files::new(direct, Duration::from_secs(5))
}

impl Files<Direct> {
    /// The next Request is executed, and then the server is gone.
    pub(crate) fn dies_unheard(&self) -> &Files<Direct> {
        *self.transport.next.lock().unwrap() = Some((None, Mishap::Unheard));
        self
    }

    /// This happens to the next Request of a procedure.
    pub(crate) fn meets(&self, procedure: Procedure, mishap: Mishap) -> &Files<Direct> {
        *self.transport.next.lock().unwrap() = Some((Some(procedure), mishap));
        self
    }

    /// The server's host is started anew, and what was not on its disk is lost.
    pub(crate) fn crashes(&self) {
        let mut server = self.transport.service.lock().unwrap();
        let boot = server.boot + 1;
        *server = service(self.transport.folder.path()).into_inner().unwrap();
        server.boot = boot;
    }

    /// Where a name of the server's is here.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.transport.folder.path().join(name)
    }
}
