// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The results of the management procedures, in the words of the Response's message control block
//! (III, II).
//!
//! Records and lists in the Response's segment are in `segment` and `secure`. Any code but OK means
//! that there are no results, and none can be read then.

use super::field::records;
use super::request::{fill, take};
use super::{NodeFlags, Record};
use crate::proto::wire::{Code, Entity, Mcb, ResponseCode, Transaction};

/// Why a Response has no results.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResultsError {
    /// Its code is this and not OK; everything else in it is to be discarded.
    Refused(Code),
    /// The code is OK, but a segment takes the word of a result.
    Malformed,
}

/// The results of one management procedure.
pub trait Results: Record {
    /// The Response's message control block with code OK and without a segment.
    #[inline]
    fn encode(&self) -> Mcb {
        const { assert!(Self::OCTETS <= Mcb::PARAMETER_OCTETS) };
        fill(ResponseCode::Ok.code(), self)
    }

    /// The same with a segment of `octets` octets. If the results need the SegmentSize word that
    /// does not compile.
    #[inline]
    fn encode_with_segment(&self, octets: u32) -> Mcb {
        const { assert!(Self::OCTETS <= Mcb::PARAMETER_OCTETS_WITH_SEGMENT) };
        let mut mcb = fill(ResponseCode::Ok.code().with(Code::SDA), self);
        mcb.segment_size = octets;
        mcb
    }

    /// Reads the results.
    ///
    /// # Errors
    ///
    /// See [`ResultsError`].
    #[inline]
    fn decode(mcb: &Mcb) -> Result<Self, ResultsError> {
        match mcb.code.response_code() {
            Some(ResponseCode::Ok) => take(mcb).ok_or(ResultsError::Malformed),
            _ => Err(ResultsError::Refused(mcb.code)),
        }
    }
}

impl Mcb {
    /// The Response of a management procedure that failed: this code, and nothing else.
    #[inline]
    pub fn refusal(code: ResponseCode) -> Mcb {
        Mcb {
            code: code.code(),
            ..Mcb::default()
        }
    }
}

records! {
    /// The staterec of ProbeEntity.
    ProbeEntityResults {
        /// The Transaction of the outstanding transaction, or the next one.
        transaction: Transaction,
        /// ProcessId.
        process: u64,
        /// PrincipalId.
        principal: u64,
        /// EffectivePrincipalId.
        effective_principal: u64,
    }

    /// Of AuthProbeEntity; the segment is the encrypted
    /// [`EntityAuthenticator`](super::EntityAuthenticator).
    AuthProbeEntityResults {
        /// The encrypted [`ProbeAuthenticator`](super::ProbeAuthenticator).
        probe_authenticator: [u8; 20],
        /// EncryptType, see [`encrypt_type`](super::encrypt_type).
        encrypt_type: u32,
    }

    /// Of ProbeEntityBlock.
    ProbeEntityBlockResults {
        /// The identifier that was asked about.
        entity: Entity,
    }

    /// Of QueryVMTPNode; the segment is the [`DomainList`](super::DomainList).
    QueryVmtpNodeResults {
        /// MTU: octets of the largest packet that the node handles.
        mtu: u32,
        /// What the node can do.
        flags: NodeFlags,
        /// The primary authentication domain.
        auth_domain: u32,
        /// How many entity domains are in the segment.
        domains: u32,
        /// How many authentication domains are in the segment.
        auth_domains: u32,
    }

    /// Of GetRequestForwarder.
    GetRequestForwarderResults {
        /// entityId2: the entity that forwarded the Request.
        entity: Entity,
        /// Its principal.
        principal: u64,
        /// The authentication domain of the principal.
        auth_domain: u32,
    }

    /// Of CreateEntity.
    CreateEntityResults {
        /// entityId2: the new entity.
        entity: Entity,
    }

    /// Of ModifyService.
    ModifyServiceResults {
        /// Queued messages allowed, or threads.
        count: u32,
    }

    /// Of the procedures that return only a code, or a code and a segment.
    NoResults {}
}

impl Results for ProbeEntityResults {}
impl Results for AuthProbeEntityResults {}
impl Results for ProbeEntityBlockResults {}
impl Results for QueryVmtpNodeResults {}
impl Results for GetRequestForwarderResults {}
impl Results for CreateEntityResults {}
impl Results for ModifyServiceResults {}
impl Results for NoResults {}
