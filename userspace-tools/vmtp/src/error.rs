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

    /// Whether [`IncomingRequest::reply`](crate::IncomingRequest::reply) failed for what has to do with one
    /// Client only, so that a server goes on with the others: the Request is gone, the way to its Client
    /// is, there is no memory now, or the Response is longer than the Client takes (over 16,384 octets
    /// without STI).
    pub fn concerns_one_client(&self) -> bool {
        const ONE_CLIENT: [i32; 10] = [
            libc::ENOENT,
            libc::ESRCH,
            libc::EINTR,
            libc::ETIMEDOUT,
            libc::ECONNREFUSED,
            libc::ENETUNREACH,
            libc::EHOSTUNREACH,
            libc::EMSGSIZE,
            libc::ENOMEM,
            libc::ENOBUFS,
        ];
        self.errno()
            .is_some_and(|errno| ONE_CLIENT.contains(&errno))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_goes_on_after_a_response_that_is_too_long_and_not_without_its_socket() {
        let error = |errno| Error::system("sendreply", io::Error::from_raw_os_error(errno));
        for errno in [libc::EMSGSIZE, libc::ENOMEM, libc::ENOBUFS, libc::ENOENT] {
            assert!(error(errno).concerns_one_client(), "{errno}");
        }
        for errno in [libc::EBADF, libc::ESHUTDOWN, libc::EINVAL] {
            assert!(!error(errno).concerns_one_client(), "{errno}");
        }
    }
}
