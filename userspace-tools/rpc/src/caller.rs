// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Calls over VMTP, and what is asked of a binder by them.

use std::net::Ipv4Addr;
use std::time::Duration;

use vmtp::{Client, Code, Entity, Request, Response, MESSAGE_SIZE};

use crate::message::{self, Call, Procedure, Refusal};
use crate::portmap::{self, Mapping, Protocol};
use crate::{binder_of, entity};

/// How long a binder may take; it only looks things up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why a call brought no results.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program said so.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The transaction failed.
    #[error(transparent)]
    Vmtp(#[from] vmtp::Error),
    /// The server does not know of RPC.
    #[error("the server answers, but not as RPC does ({0})")]
    NotRpc(Code),
    /// The service cannot be reached because nobody has registered it.
    #[error("the program is not registered")]
    NotRegistered,
}

/// Calls programs over VMTP.
#[derive(Debug)]
pub struct Caller {
    client: Client,
    xid: u32,
}

impl Caller {
    /// One with a socket of its own; a call may take this long.
    pub fn new(limit: Duration) -> vmtp::Result<Caller> {
        let mut client = Client::new()?;
        client.set_response_limit(MESSAGE_SIZE);
        client.set_time_limit(Some(limit));
        Ok(Caller { client, xid: 0 })
    }

    /// Calls without authentication; the results in XDR, and the Response they came in.
    pub fn call(
        &mut self,
        server: Entity,
        procedure: Procedure,
        arguments: &[u8],
    ) -> Result<(Vec<u8>, Response), Error> {
        self.xid = self.xid.wrapping_add(1);
        let call = Call {
            xid: self.xid,
            procedure,
            arguments,
        };
        let response = self.client.call(
            server,
            &Request::new(crate::CALL).segment(&call.to_octets()),
        )?;
        if response.code() != Code::OK {
            return Err(Error::NotRpc(response.code()));
        }
        // Of a reply parts of which may be missing (MDM) nobody knows what it says.
        if response.mcb().delivered().is_some() {
            return Err(Error::Refused(Refusal::Malformed));
        }
        let results = message::results(self.xid, response.segment())?.to_vec();
        Ok((results, response))
    }

    /// What a host's binder has.
    pub fn dump(&mut self, host: Ipv4Addr) -> Result<Vec<Mapping>, Error> {
        let procedure = portmap::procedure(portmap::DUMP);
        let (results, _) = self.call(binder_of(host), procedure, &[])?;
        portmap::parse_list(&results).ok_or(Error::Refused(Refusal::Malformed))
    }

    /// The entity of a program on a host.
    pub fn lookup(&mut self, host: Ipv4Addr, program: u32, version: u32) -> Result<Entity, Error> {
        let wanted = Mapping {
            program,
            version,
            protocol: Protocol::VMTP,
            port: 0,
        };
        let procedure = portmap::procedure(portmap::GETPORT);
        let (results, response) = self.call(binder_of(host), procedure, &wanted.to_octets())?;
        let port = message::xid(&results).ok_or(Refusal::Malformed)?;
        let [upper, lower, ..] = response.mcb().user_words();
        match port {
            0 => Err(Error::NotRegistered),
            port if port == upper => Ok(entity(upper, Ipv4Addr::from(lower))),
            port => Ok(entity(port, host)),
        }
    }
}
