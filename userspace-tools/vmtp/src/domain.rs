// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Entity domains (2.2, IV): what an identifier names depends on them. A socket is in one.

use std::fmt;
use std::str::FromStr;

use crate::sys;

/// An entity domain that hosts are in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u16)]
pub enum Domain {
    /// Domain 1: identifiers have the address of the host that they were made on (IV.1).
    #[default]
    Internet = sys::VMTP_DOMAIN_INTERNET,
    /// Domain 3: identifiers without addresses, of blocks that the hosts of a network share out
    /// among themselves (IV.2, IV.4).
    Local = sys::VMTP_DOMAIN_LOCAL,
}

impl Domain {
    /// Its number, as packets have it.
    pub const fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// Why a text names no domain of this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseDomainError;

impl fmt::Display for ParseDomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hosts are in Domain 1, the Internet's, and in Domain 3, that of one network")
    }
}

impl std::error::Error for ParseDomainError {}

/// Reads its number.
impl FromStr for Domain {
    type Err = ParseDomainError;

    fn from_str(text: &str) -> Result<Self, ParseDomainError> {
        [Domain::Internet, Domain::Local]
            .into_iter()
            .find(|domain| domain.to_string() == text)
            .ok_or(ParseDomainError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_named_by_their_numbers() {
        assert_eq!("1".parse(), Ok(Domain::Internet));
        assert_eq!("3".parse(), Ok(Domain::Local));
        for text in ["", "0", "2", "03", "3 ", "-1", "local"] {
            assert_eq!(text.parse::<Domain>(), Err(ParseDomainError), "{text}");
        }
        assert_eq!(Domain::Local.to_string(), "3");
        assert_eq!(Domain::default(), Domain::Internet);
    }
}
