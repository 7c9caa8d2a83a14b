// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The management procedures (III): their codes, and their parameters and results as typed values
//! in the words of the message control block (II).
//!
//! Each procedure's parameters fill the 28 octets after the Code in order; with SDA SegmentSize is
//! none of them, so 24 octets. Lists and records go whole into the segment, in XDR. What a manager
//! does with them is in `crate::proto::manager`.

mod field;
mod flags;
mod procedure;
mod request;
mod results;
mod secure;
mod segment;

pub use self::field::{Field, Record};
pub use self::flags::{GroupPermissions, NodeFlags, ServiceFlags};
pub use self::procedure::Procedure;
pub use self::request::{
    AddToGroup, AuthProbeEntity, CreateEntity, CreateGroup, DeleteEntity, GetRequestForwarder,
    ManagementRequest, ModifyService, NotifyRemoteVmtpClient, NotifyVmtpClient, NotifyVmtpServer,
    Parameters, ProbeEntity, ProbeEntityBlock, QueryEntity, QueryGroup, QueryVmtpNode,
    RemoveFromGroup, RequestError, SignalEntity,
};
pub use self::results::{
    AuthProbeEntityResults, CreateEntityResults, GetRequestForwarderResults, ModifyServiceResults,
    NoResults, ProbeEntityBlockResults, ProbeEntityResults, QueryVmtpNodeResults, Results,
    ResultsError,
};
pub use self::secure::{encrypt_type, EntityAuthenticator, Key, ProbeAuthenticator};
pub use self::segment::{
    domain1_identifier, domain_list_octets, write_domain_list, DomainList, EntityDescriptor,
    GroupRecord, GroupRecordWriter, ThreadRecord,
};
