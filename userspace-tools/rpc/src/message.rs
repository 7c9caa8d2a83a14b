// SPDX-License-Identifier: GPL-2.0 OR MIT

//! RPC messages (RFC 1057, 8): the headers, read and written; what is in them stays octets.
//!
//! Own code, because the crates that do it are for the records of TCP only and copy each message.

/// The version of the RPC protocol.
pub const RPC_VERSION: u32 = 2;
/// No authentication (9.1).
const AUTH_NONE: u32 = 0;
/// The most octets that credentials or a verifier have (8.2).
const AUTH_OCTETS_MAX: u32 = 400;

/// Reads XDR (RFC 1014): words, and opaque data that is skipped.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads these octets.
    pub fn new(octets: &'a [u8]) -> Reader<'a> {
        Reader(octets)
    }

    /// The next word, if there is one.
    pub fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }

    /// What has not been read.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Skips a flavor and its body.
    fn authentication(&mut self) -> Option<()> {
        let (_flavor, octets) = (self.word()?, self.word()?);
        if octets > AUTH_OCTETS_MAX {
            return None;
        }
        self.0 = self.0.get(octets.next_multiple_of(4) as usize..)?;
        Some(())
    }
}

/// Words as XDR.
pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Procedure {
    /// The program.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// The procedure of that version.
    pub number: u32,
}

/// A call message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// The transaction identifier.
    pub xid: u32,
    /// What is called.
    pub procedure: Procedure,
    /// The arguments in XDR.
    pub arguments: &'a [u8],
}

/// What octets are that should be a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A call.
    Call(Call<'a>),
    /// A call of another version of RPC, with this xid.
    OtherVersion(u32),
    /// No call, or one that ends too early.
    Malformed,
}

impl<'a> Incoming<'a> {
    /// Reads a message.
    pub fn parse(octets: &'a [u8]) -> Incoming<'a> {
        let mut reader = Reader::new(octets);
        let (xid, version) = match (reader.word(), reader.word(), reader.word()) {
            (Some(xid), Some(0), Some(version)) => (xid, version),
            _ => return Incoming::Malformed,
        };
        if version != RPC_VERSION {
            return Incoming::OtherVersion(xid);
        }
        Incoming::body(xid, reader).map_or(Incoming::Malformed, Incoming::Call)
    }

    fn body(xid: u32, mut reader: Reader<'a>) -> Option<Call<'a>> {
        let procedure = Procedure {
            program: reader.word()?,
            version: reader.word()?,
            number: reader.word()?,
        };
        reader.authentication()?; // credentials
        reader.authentication()?; // verifier
        Some(Call {
            xid,
            procedure,
            arguments: reader.rest(),
        })
    }
}

impl Call<'_> {
    /// The message, without authentication.
    pub fn to_octets(&self) -> Vec<u8> {
        let Procedure {
            program,
            version,
            number,
        } = self.procedure;
        let mut octets = words(&[self.xid, 0, RPC_VERSION, program, version, number]);
        octets.extend(words(&[AUTH_NONE, 0, AUTH_NONE, 0]));
        octets.extend_from_slice(self.arguments);
        octets
    }
}

/// The transaction identifier of any message, if it has one.
pub fn xid(octets: &[u8]) -> Option<u32> {
    Reader::new(octets).word()
}

/// Whether a message is a reply.
pub fn is_reply(octets: &[u8]) -> bool {
    let mut reader = Reader::new(octets);
    reader.word().is_some() && reader.word() == Some(1)
}

/// What a reply says (8): results, or why there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// PROG_UNAVAIL
    #[error("the program is not there")]
    ProgramUnavailable,
    /// PROG_MISMATCH
    #[error("versions {low} to {high} of the program are there")]
    ProgramMismatch {
        /// The lowest version.
        low: u32,
        /// The highest version.
        high: u32,
    },
    /// PROC_UNAVAIL
    #[error("the program has no such procedure")]
    ProcedureUnavailable,
    /// GARBAGE_ARGS
    #[error("the arguments could not be decoded")]
    GarbageArguments,
    /// SYSTEM_ERR (of RFC 5531; libtirpc has it too)
    #[error("the server had an error of its own")]
    SystemError,
    /// RPC_MISMATCH
    #[error("versions {low} to {high} of RPC are spoken")]
    RpcMismatch {
        /// The lowest version.
        low: u32,
        /// The highest version.
        high: u32,
    },
    /// AUTH_ERROR, with its auth_stat
    #[error("the credentials were refused (auth_stat {0})")]
    Authentication(u32),
    /// No reply as RFC 1057 has them
    #[error("the reply is no RPC reply")]
    Malformed,
}

/// A reply with results.
pub fn success(xid: u32, results: &[u8]) -> Vec<u8> {
    let mut octets = words(&[xid, 1, 0, AUTH_NONE, 0, 0]);
    octets.extend_from_slice(results);
    octets
}

/// A reply without.
pub fn refusal(xid: u32, refusal: Refusal) -> Vec<u8> {
    let accepted = |status: &[u32]| {
        let mut octets = words(&[xid, 1, 0, AUTH_NONE, 0]);
        octets.extend(words(status));
        octets
    };
    match refusal {
        Refusal::ProgramUnavailable => accepted(&[1]),
        Refusal::ProgramMismatch { low, high } => accepted(&[2, low, high]),
        Refusal::ProcedureUnavailable => accepted(&[3]),
        Refusal::GarbageArguments => accepted(&[4]),
        Refusal::SystemError | Refusal::Malformed => accepted(&[5]),
        Refusal::RpcMismatch { low, high } => words(&[xid, 1, 1, 0, low, high]),
        Refusal::Authentication(why) => words(&[xid, 1, 1, 1, why]),
    }
}

/// The results in a reply to the call with this xid.
pub fn results(xid: u32, octets: &[u8]) -> Result<&[u8], Refusal> {
    read_results(xid, octets).unwrap_or(Err(Refusal::Malformed))
}

fn read_results(xid: u32, octets: &[u8]) -> Option<Result<&[u8], Refusal>> {
    let mut reader = Reader::new(octets);
    if reader.word()? != xid || reader.word()? != 1 {
        return None;
    }
    let accepted = reader.word()? == 0;
    if !accepted {
        return Some(Err(match reader.word()? {
            0 => Refusal::RpcMismatch {
                low: reader.word()?,
                high: reader.word()?,
            },
            1 => Refusal::Authentication(reader.word()?),
            _ => return None,
        }));
    }
    reader.authentication()?;
    Some(match reader.word()? {
        0 => Ok(reader.rest()),
        1 => Err(Refusal::ProgramUnavailable),
        2 => Err(Refusal::ProgramMismatch {
            low: reader.word()?,
            high: reader.word()?,
        }),
        3 => Err(Refusal::ProcedureUnavailable),
        4 => Err(Refusal::GarbageArguments),
        5 => Err(Refusal::SystemError),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCEDURE: Procedure = Procedure {
        program: 100_000,
        version: 2,
        number: 3,
    };

    /// RFC 1057, 8: xid, CALL, rpcvers, prog, vers, proc, cred, verf, by hand.
    #[test]
    fn a_call_is_as_the_rfc_has_it() {
        let octets = [
            0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, 0xA0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4,
        ];
        let call = Call {
            xid: 7,
            procedure: PROCEDURE,
            arguments: &[1, 2, 3, 4],
        };
        assert_eq!(call.to_octets(), octets);
        assert_eq!(Incoming::parse(&octets), Incoming::Call(call));
    }

    #[test]
    fn credentials_are_skipped_with_their_padding_and_bounded() {
        let mut octets = words(&[7, 0, 2, 100_000, 2, 3, 1, 5]);
        octets.extend([9; 8]); // 5 octets and 3 of padding
        octets.extend(words(&[0, 0, 42]));
        let Incoming::Call(call) = Incoming::parse(&octets) else {
            panic!("no call")
        };
        assert_eq!(call.arguments, [0, 0, 0, 42]);
        for length in [401, 404, u32::MAX - 3, u32::MAX] {
            let mut long = words(&[7, 0, 2, 100_000, 2, 3, 1, length]);
            long.extend([0; 500]);
            assert_eq!(Incoming::parse(&long), Incoming::Malformed);
        }
    }

    #[test]
    fn what_is_cut_off_anywhere_is_malformed() {
        let octets = Call {
            xid: 7,
            procedure: PROCEDURE,
            arguments: &[],
        }
        .to_octets();
        for end in 0..octets.len() {
            assert_eq!(Incoming::parse(&octets[..end]), Incoming::Malformed);
        }
        let reply = refusal(7, Refusal::ProgramMismatch { low: 1, high: 2 });
        for end in 0..reply.len() {
            assert_eq!(results(7, &reply[..end]), Err(Refusal::Malformed));
        }
    }

    #[test]
    fn another_version_of_rpc_is_known_by_its_number() {
        assert_eq!(
            Incoming::parse(&words(&[7, 0, 3])),
            Incoming::OtherVersion(7)
        );
        assert_eq!(
            refusal(7, Refusal::RpcMismatch { low: 2, high: 2 }),
            words(&[7, 1, 1, 0, 2, 2])
        );
    }

    #[test]
    fn every_refusal_is_read_as_it_was_written() {
        for why in [
            Refusal::ProgramUnavailable,
            Refusal::ProgramMismatch { low: 3, high: 4 },
            Refusal::ProcedureUnavailable,
            Refusal::GarbageArguments,
            Refusal::SystemError,
            Refusal::RpcMismatch { low: 2, high: 2 },
            Refusal::Authentication(5),
        ] {
            assert_eq!(results(9, &refusal(9, why)), Err(why));
        }
        assert_eq!(
            results(9, &success(9, &[1, 2, 3, 4])),
            Ok(&[1, 2, 3, 4][..])
        );
        // The reply to another call is none.
        assert_eq!(results(8, &success(9, &[])), Err(Refusal::Malformed));
    }
}
