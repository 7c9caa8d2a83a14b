// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The portmapper's protocol (RFC 1057, appendix A): mappings in XDR and the numbers of its
//! procedures. Who keeps the mappings is `binder.rs`, who asks for them `caller.rs`.

use crate::message::{words, Procedure, Reader};

/// The portmapper's program number.
pub const PROGRAM: u32 = 100_000;
/// The version of its protocol.
pub const VERSION: u32 = 2;
/// Its port over UDP and TCP.
pub const PORT: u16 = 111;

/// PMAPPROC_NULL
pub const NULL: u32 = 0;
/// PMAPPROC_SET
pub const SET: u32 = 1;
/// PMAPPROC_UNSET
pub const UNSET: u32 = 2;
/// PMAPPROC_GETPORT
pub const GETPORT: u32 = 3;
/// PMAPPROC_DUMP
pub const DUMP: u32 = 4;

/// One of its procedures.
pub fn procedure(number: u32) -> Procedure {
    Procedure {
        program: PROGRAM,
        version: VERSION,
        number,
    }
}

/// The protocol by which a program is reached, an IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u32);

impl Protocol {
    /// TCP
    pub const TCP: Protocol = Protocol(6);
    /// UDP
    pub const UDP: Protocol = Protocol(17);
    /// VMTP
    pub const VMTP: Protocol = Protocol(81);
}

/// A program at a port. Over VMTP the port is the upper half of an entity identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The program.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// How it is reached.
    pub protocol: Protocol,
    /// Where.
    pub port: u32,
}

impl Mapping {
    /// Reads one.
    pub fn parse(reader: &mut Reader<'_>) -> Option<Mapping> {
        Some(Mapping {
            program: reader.word()?,
            version: reader.word()?,
            protocol: Protocol(reader.word()?),
            port: reader.word()?,
        })
    }

    /// In XDR.
    pub fn to_octets(&self) -> Vec<u8> {
        words(&[self.program, self.version, self.protocol.0, self.port])
    }
}

/// The results of DUMP: each mapping behind a 1, at the end a 0.
pub fn list_to_octets(mappings: &[Mapping]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(mappings.len() * 20 + 4);
    for mapping in mappings {
        octets.extend(words(&[1]));
        octets.extend(mapping.to_octets());
    }
    octets.extend(words(&[0]));
    octets
}

/// Reads the results of DUMP.
pub fn parse_list(octets: &[u8]) -> Option<Vec<Mapping>> {
    let mut reader = Reader::new(octets);
    let mut mappings = Vec::new();
    while reader.word()? != 0 {
        mappings.push(Mapping::parse(&mut reader)?);
    }
    Some(mappings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_mappings_is_as_the_rfc_has_it() {
        let mapping = Mapping {
            program: 100_003,
            version: 2,
            protocol: Protocol::UDP,
            port: 2049,
        };
        let octets = [
            0, 0, 0, 1, 0, 1, 0x86, 0xA3, 0, 0, 0, 2, 0, 0, 0, 17, 0, 0, 8, 1, 0, 0, 0, 0,
        ];
        assert_eq!(list_to_octets(&[mapping]), octets);
        assert_eq!(parse_list(&octets), Some(vec![mapping]));
        assert_eq!(parse_list(&octets[..20]), None);
        assert_eq!(parse_list(&[]), None);
    }
}
