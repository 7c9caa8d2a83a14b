// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A server in the same process, for tests of what needs one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Duration;

use vmtp::Code;

use crate::client::Files;
use crate::export::Export;
use crate::protocol::{Message, Procedure};
use crate::service::Service;
use crate::transport::{Failure, Transport};

/// A server that is called directly. It may execute a Request without a word, as one that is
/// killed before it answers, and is then another.
pub(crate) struct Direct {
    folder: tempfile::TempDir,
    service: Mutex<Service>,
    pub(crate) silences: AtomicU32,
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
        let result = server.answer(None, procedure, words, segment);
        if self.silences.load(Ordering::Relaxed) > 0 {
            self.silences.fetch_sub(1, Ordering::Relaxed);
            *server = service(self.folder.path()).into_inner().unwrap();
            return Err(Failure::Unheard(Code::NONEXISTENT_ENTITY));
        }
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
        silences: AtomicU32::new(0),
        limit: AtomicU64::new(0),
    };
    Files::new(direct, Duration::from_secs(5))
}

impl Files<Direct> {
    /// The next Request is executed, and then the server is gone.
    pub(crate) fn dies_unheard(&self) -> &Files<Direct> {
        self.transport.silences.store(1, Ordering::Relaxed);
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
