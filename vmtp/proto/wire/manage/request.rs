// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The parameters of the management procedures, in the words of the Request's message control block
//! (III, II).
//!
//! The first parameter is at octet 36 of the packet: it is also CoResidentEntity, which routes the
//! Request where CRE is set. Whether a value makes sense is for the manager to say; only what
//! cannot be read at all is refused here.

use super::field::records;
use super::{GroupPermissions, Procedure, Record, ServiceFlags};
use crate::proto::wire::{Code, Control, Entity, Mask, Mcb, Reader, Transaction, Writer};

/// The parameters of one management procedure.
pub trait Parameters: Record {
    /// The procedure.
    const PROCEDURE: Procedure;

    /// The Request's message control block without a segment: the parameters, and zeros after them.
    #[inline]
    fn encode(&self) -> Mcb {
        const { assert!(Self::OCTETS <= Mcb::PARAMETER_OCTETS) };
        fill(Self::PROCEDURE.code(), self)
    }

    /// The same with a segment of `octets` octets. If the parameters need the SegmentSize word that
    /// does not compile.
    #[inline]
    fn encode_with_segment(&self, octets: u32) -> Mcb {
        const { assert!(Self::OCTETS <= Mcb::PARAMETER_OCTETS_WITH_SEGMENT) };
        let mut mcb = fill(Self::PROCEDURE.code().with(Code::SDA), self);
        mcb.segment_size = octets;
        mcb
    }

    /// Reads the parameters. None if the Request is for another procedure, or its segment takes a
    /// word that the parameters need.
    #[inline]
    fn decode(mcb: &Mcb) -> Option<Self> {
        match Procedure::of(mcb.code) {
            Some(procedure) if procedure as u32 == Self::PROCEDURE as u32 => take(mcb),
            _ => None,
        }
    }
}

/// A control block with this Code and the fields of `record` after it.
#[inline]
pub(super) fn fill(code: Code, record: &impl Record) -> Mcb {
    let mut parameters = [0; Mcb::PARAMETER_OCTETS];
    // Always fits: both callers assert the size at compile time.
    let _ = record.write(&mut Writer::new(&mut parameters));
    Mcb::from_parameters(code, &parameters)
}

/// The fields after the Code. None if a segment takes a word of theirs.
#[inline]
pub(super) fn take<R: Record>(mcb: &Mcb) -> Option<R> {
    if mcb.code.has(Code::SDA) && R::OCTETS > Mcb::PARAMETER_OCTETS_WITH_SEGMENT {
        return None;
    }
    R::read(&mut Reader::new(&mcb.parameters()))
}

/// Why a Request to a manager is not one of the management procedures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RequestError {
    /// Its code is not one of VMTP management, or there is no such procedure.
    UnknownProcedure(Code),
    /// Its parameters cannot be read: a segment takes the word of one.
    Malformed(Procedure),
}

macro_rules! requests {
    ($($procedure:ident),*) => {
        $(impl Parameters for $procedure {
            const PROCEDURE: Procedure = Procedure::$procedure;
        })*

        /// Any of the management Requests.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum ManagementRequest {
            $(
                #[doc = concat!("[`", stringify!($procedure), "`](struct@", stringify!($procedure), ")")]
                $procedure($procedure),
            )*
        }

        impl ManagementRequest {
            /// Which procedure it is for.
            #[inline]
            pub const fn procedure(&self) -> Procedure {
                match self {
                    $(ManagementRequest::$procedure(_) => Procedure::$procedure,)*
                }
            }

            /// Its message control block without a segment.
            #[inline]
            pub fn encode(&self) -> Mcb {
                match self {
                    $(ManagementRequest::$procedure(parameters) => parameters.encode(),)*
                }
            }

            /// Reads the Request that a message control block is.
            ///
            /// # Errors
            ///
            /// [`RequestError::UnknownProcedure`] and [`RequestError::Malformed`], both of which
            /// are VMTP_ERROR to the sender if the Request may be answered at all.
            #[inline]
            pub fn decode(mcb: &Mcb) -> Result<Self, RequestError> {
                let Some(procedure) = Procedure::of(mcb.code) else {
                    return Err(RequestError::UnknownProcedure(mcb.code));
                };
                match procedure {
                    $(Procedure::$procedure => take(mcb).map(ManagementRequest::$procedure),)*
                }
                .ok_or(RequestError::Malformed(procedure))
            }
        }
    };
}

requests! {
    ProbeEntity, AuthProbeEntity, ProbeEntityBlock, QueryVmtpNode, GetRequestForwarder, CreateEntity, DeleteEntity,
    QueryEntity, SignalEntity, CreateGroup, AddToGroup, RemoveFromGroup, QueryGroup, ModifyService, NotifyVmtpClient,
    NotifyVmtpServer, NotifyRemoteVmtpClient
}

records! {
    /// Asks for the state of an entity: process, principals, current Transaction. Answered with
    /// [`ProbeEntityResults`](super::ProbeEntityResults).
    ProbeEntity {
        /// CREntity: the manager co-resident with it is asked.
        coresident: Entity,
        /// The entity in question.
        entity: Entity,
        /// The authentication domain in which the principals are to be told (V).
        auth_domain: u32,
    }

    /// As [`ProbeEntity`], with a challenge. Answered with
    /// [`AuthProbeEntityResults`](super::AuthProbeEntityResults).
    AuthProbeEntity {
        /// CREntity.
        coresident: Entity,
        /// The entity in question.
        entity: Entity,
        /// The authentication domain asked for (V).
        auth_domain: u32,
        /// The challenge.
        random_id: u32,
    }

    /// Asks whether any of the 256 identifiers that differ from `entity` in the low 8 bits is in
    /// use (IV.4). Answered with [`ProbeEntityBlockResults`](super::ProbeEntityBlockResults) if so.
    ProbeEntityBlock {
        /// Any identifier of the block.
        entity: Entity,
    }

    /// Asks for the parameters of the node of an entity. Answered with
    /// [`QueryVmtpNodeResults`](super::QueryVmtpNodeResults).
    QueryVmtpNode {
        /// The entity whose manager is asked.
        entity: Entity,
    }

    /// Asks who forwarded the Request of a Client. Answered with
    /// [`GetRequestForwarderResults`](super::GetRequestForwarderResults).
    GetRequestForwarder {
        /// CREntity; 0 for the manager that the Request is sent to.
        coresident: Entity,
        /// entityId1: the Client.
        entity: Entity,
    }

    /// Makes an entity. Answered with [`CreateEntityResults`](super::CreateEntityResults).
    CreateEntity {
        /// entityId1: the new entity is local to it, or to the requester if 0.
        entity: Entity,
    }

    /// Makes an entity or a group invalid.
    DeleteEntity {
        /// The entity or group.
        entity: Entity,
    }

    /// Asks for the descriptor of an entity, [`EntityDescriptor`](super::EntityDescriptor).
    QueryEntity {
        /// The entity in question.
        entity: Entity,
        /// UserData, 0.
        reserved: [u8; 16],
        /// The octets of descriptor that are wanted at most: SegmentSize, without SDA.
        segment_size: u32,
    }

    /// Sends a signal to an entity.
    SignalEntity {
        /// The entity.
        entity: Entity,
        /// arg: the signal.
        signal: u32,
    }

    /// Makes a group with one member; whoever invokes it manages the group.
    CreateGroup {
        /// CREntity; 0 for the manager of the requester.
        coresident: Entity,
        /// entityGroupId: the new group.
        group: Entity,
        /// entityId: its first member.
        entity: Entity,
        /// perms: what that member may do.
        permissions: GroupPermissions,
    }

    /// Adds a member to a group.
    AddToGroup {
        /// CREntity; 0 for the manager of the requester.
        coresident: Entity,
        /// entityGroupId: the group.
        group: Entity,
        /// entityId: the new member; 0, for the signature that is not defined yet, when a manager
        /// forwards it (III.2).
        entity: Entity,
        /// perms: what the member may do.
        permissions: GroupPermissions,
    }

    /// Takes a member out of a group.
    RemoveFromGroup {
        /// CREntity; 0 for the manager of the requester.
        coresident: Entity,
        /// entityGroupId: the group.
        group: Entity,
        /// entityId: the member; 0, for the signature that is not defined yet, when a manager
        /// forwards it (III.2).
        entity: Entity,
    }

    /// Asks each manager for its members of a group: [`GroupRecord`](super::GroupRecord).
    QueryGroup {
        /// The group.
        entity: Entity,
    }

    /// Changes how an entity takes its Requests. In the thread model the segment has `count`
    /// records, [`ThreadRecord`](super::ThreadRecord). Answered with
    /// [`ModifyServiceResults`](super::ModifyServiceResults).
    ModifyService {
        /// The entity.
        entity: Entity,
        /// The model and what is demanded of Requests.
        flags: ServiceFlags,
        /// Messages to queue or threads to have; with INCREMENTAL a change in two's complement.
        count: u32,
        /// pc: where the threads start.
        program_counter: u32,
    }

    /// Tells the Client's manager what became of a Request packet group. Never answered.
    NotifyVmtpClient {
        /// The Client.
        client: Entity,
        /// ctrl: the control word of a Response to the Request, see [`Control::in_response`].
        control: Control,
        /// recSeq: the receive sequence number if `control` has NRS, else 0.
        receive_sequence: u32,
        /// transact: the Transaction it is about.
        transaction: Transaction,
        /// The blocks of the packet group that were received.
        delivery: Mask,
        /// What the Client should do: a standard response code.
        code: Code,
    }

    /// Tells the server's manager what became of a Response packet group. Never answered.
    NotifyVmtpServer {
        /// The server.
        server: Entity,
        /// The Client.
        client: Entity,
        /// transact: the Transaction it is about.
        transaction: Transaction,
        /// The blocks of the packet group that were received.
        delivery: Mask,
        /// What the server should do: a standard response code.
        code: Code,
    }

    /// [`NotifyVmtpClient`] without routing by co-residence, for the host that forwarded the
    /// Request.
    NotifyRemoteVmtpClient {
        /// The Client.
        client: Entity,
        /// ctrl: the control word of a Response to the Request.
        control: Control,
        /// recSeq: the receive sequence number if `control` has NRS, else 0.
        receive_sequence: u32,
        /// transact: the Transaction it is about.
        transaction: Transaction,
        /// The blocks of the packet group that were received.
        delivery: Mask,
        /// What the Client should do: a standard response code.
        code: Code,
    }
}

impl NotifyVmtpClient {
    /// The same with the receive sequence number of the Request that it is about, and NRS (2.12).
    #[inline]
    pub const fn with_receive_sequence(self, number: u32) -> Self {
        NotifyVmtpClient {
            control: self.control.with(Control::NRS),
            receive_sequence: number,
            ..self
        }
    }
}

impl From<NotifyVmtpClient> for NotifyRemoteVmtpClient {
    #[inline]
    fn from(notify: NotifyVmtpClient) -> Self {
        let NotifyVmtpClient {
            client,
            control,
            receive_sequence,
            transaction,
            delivery,
            code,
        } = notify;
        NotifyRemoteVmtpClient {
            client,
            control,
            receive_sequence,
            transaction,
            delivery,
            code,
        }
    }
}

impl From<NotifyRemoteVmtpClient> for NotifyVmtpClient {
    #[inline]
    fn from(notify: NotifyRemoteVmtpClient) -> Self {
        let NotifyRemoteVmtpClient {
            client,
            control,
            receive_sequence,
            transaction,
            delivery,
            code,
        } = notify;
        NotifyVmtpClient {
            client,
            control,
            receive_sequence,
            transaction,
            delivery,
            code,
        }
    }
}
