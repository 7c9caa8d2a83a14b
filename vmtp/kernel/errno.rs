// SPDX-License-Identifier: GPL-2.0

//! Error numbers that `kernel::error::code` does not have. Not a second error type: it becomes a `kernel::error::Error`.

use kernel::bindings as k;
use kernel::error::Error;

macro_rules! errno {
    ($($name:ident),* $(,)?) => {
        /// A socket programmer's error numbers: `return Err(Errno::EADDRINUSE.into())`.
        #[allow(clippy::upper_case_acronyms)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum Errno {
            $(
                #[doc = concat!("As in errno.h: ", stringify!($name), ".")]
                $name = k::$name as i32,
            )*
        }
    };
}

errno!(
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EALREADY,
    ECANCELED,
    ECONNABORTED,
    ECONNREFUSED,
    ECONNRESET,
    EDESTADDRREQ,
    EHOSTDOWN,
    EHOSTUNREACH,
    EIDRM,
    EINPROGRESS,
    EISCONN,
    ENETDOWN,
    ENETUNREACH,
    ENOBUFS,
    ENOPROTOOPT,
    ENOTCONN,
    ENOTSOCK,
    EOPNOTSUPP,
    EPROTO,
    EPROTONOSUPPORT,
    EPROTOTYPE,
    EMSGSIZE,
    ESHUTDOWN,
    ESOCKTNOSUPPORT,
    ESTALE,
);

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Error::from_errno((errno as i32).wrapping_neg())
    }
}
