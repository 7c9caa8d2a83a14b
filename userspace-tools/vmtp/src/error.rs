// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can go wrong, with the Response of a failed transaction kept. Not the codes themselves: see
//! [`Code`].

use std::io;

use crate::{Code, Response};

/// What this crate's calls return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no AF_VMTP.
    #[error("vmtp.ko is not loaded: run `sudo make load` or `sudo modprobe vmtp`")]
    NotLoaded,
    /// The transaction ended with a code from 1 to 63 (I). The Response is here, with whatever came
    /// in it.
    #[error("the transaction failed: {}{}", .0.code(), meaning(.0.code()))]
    Failed(Box<Response>),
    /// The Response was longer than the client's limit and is gone.
    #[error("the Response has {size} octets, and the limit is {limit}")]
    TooLong {
        /// Octets of the whole segment.
        size: usize,
        /// What [`Client::set_response_limit`](crate::Client::set_response_limit) said.
        limit: usize,
    },
    /// A system call failed for a local reason.
    #[error("{call}: {source}")]
    System {
        /// The call, by its name in the RFC or the manual.
        call: &'static str,
        /// The errno.
        source: io::Error,
    },
}

fn meaning(code: Code) -> String {
    code.meaning()
        .map(|meaning| format!(" ({meaning})"))
        .unwrap_or_default()
}

impl Error {
    pub(crate) fn system(call: &'static str, source: impl Into<io::Error>) -> Error {
        Error::System {
            call,
            source: source.into(),
        }
    }

    /// The Response code of a failed transaction.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Failed(response) => Some(response.code()),
            Error::NotLoaded | Error::TooLong { .. } | Error::System { .. } => None,
        }
    }

    /// The errno of a failed system call.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::System { source, .. } => source.raw_os_error(),
            Error::NotLoaded => Some(libc::EAFNOSUPPORT),
            Error::Failed(_) | Error::TooLong { .. } => None,
        }
    }

    /// Whether it would have waited, or its time was up (EAGAIN).
    pub fn would_block(&self) -> bool {
        self.errno() == Some(libc::EAGAIN)
    }

    /// Whether a signal came (EINTR). An interrupted [`Client::call`](crate::Client::call) is still
    /// open.
    pub fn interrupted(&self) -> bool {
        self.errno() == Some(libc::EINTR)
    }
}

/// For programs whose functions return `io::Result`.
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        match error {
            Error::System { source, .. } => source,
            Error::NotLoaded => io::Error::new(io::ErrorKind::Unsupported, error),
            Error::Failed(_) | Error::TooLong { .. } => io::Error::other(error),
        }
    }
}
