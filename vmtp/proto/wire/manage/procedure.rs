// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The management procedures and their Request codes (III, II.1).
//!
//! Their parameters are in `request` and `results`.

use crate::proto::wire::Code;

macro_rules! procedures {
    ($($(#[$meta:meta])* $variant:ident = $number:literal, $flags:expr, $name:literal;)*) => {
        /// A management procedure, told by the low 24 bits of its Request code.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum Procedure {
            $($(#[$meta])* $variant = $number,)*
        }

        impl Procedure {
            /// Every procedure, ascending.
            pub const ALL: &'static [Procedure] = &[$(Procedure::$variant),*];

            /// The procedure with these low 24 bits.
            #[inline]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Procedure::$variant),)*
                    _ => None,
                }
            }

            /// The Code that a Request for it is sent with, before a segment adds SDA. That of
            /// AuthProbeEntity and QueryEntity is printed as 0x0D...; 0x08 is the reserved flag, so
            /// they are sent with 0x05.
            #[inline]
            pub const fn code(self) -> Code {
                Code::new(
                    match self {
                        $(Procedure::$variant => $flags,)*
                    },
                    self.number(),
                )
            }

            /// The name as appendix III spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Procedure::$variant => $name,)*
                }
            }
        }
    };
}

/// Routed by the co-resident entity, public.
const ROUTED: u32 = Code::CRE | Code::PIC;

procedures! {
    /// Information on an entity.
    ProbeEntity = 0x000101, ROUTED, "ProbeEntity";
    /// Authenticated information on an entity, and a key.
    AuthProbeEntity = 0x000102, ROUTED, "AuthProbeEntity";
    /// Whether any of 256 identifiers is in use.
    ProbeEntityBlock = 0x000103, ROUTED, "ProbeEntityBlock";
    /// Parameters of a node.
    QueryVmtpNode = 0x000104, ROUTED, "QueryVMTPNode";
    /// Who forwarded a Request.
    GetRequestForwarder = 0x000105, ROUTED, "GetRequestForwarder";
    /// A new entity.
    CreateEntity = 0x000106, ROUTED, "CreateEntity";
    /// An entity or group becomes invalid.
    DeleteEntity = 0x000107, ROUTED, "DeleteEntity";
    /// A descriptor of an entity.
    QueryEntity = 0x000108, ROUTED, "QueryEntity";
    /// A signal to an entity.
    SignalEntity = 0x000109, ROUTED, "SignalEntity";
    /// A new group.
    CreateGroup = 0x00010A, ROUTED, "CreateGroup";
    /// An entity joins a group.
    AddToGroup = 0x00010B, ROUTED, "AddToGroup";
    /// An entity leaves a group.
    RemoveFromGroup = 0x00010C, ROUTED, "RemoveFromGroup";
    /// The members of a group.
    QueryGroup = 0x00010D, ROUTED, "QueryGroup";
    /// How an entity takes its Requests.
    ModifyService = 0x00010E, ROUTED, "ModifyService";
    /// A server's host tells the Client's host about a Request.
    NotifyVmtpClient = 0x00010F, Code::DGM | ROUTED, "NotifyVmtpClient";
    /// A Client's host tells the server's host about a Response.
    NotifyVmtpServer = 0x000110, Code::DGM | ROUTED, "NotifyVmtpServer";
    /// NotifyVmtpClient to the host that forwarded the Request, without co-resident routing.
    NotifyRemoteVmtpClient = 0x000111, Code::DGM | Code::PIC, "NotifyRemoteVmtpClient";
}

impl Procedure {
    /// The interface of VMTP management in a public code (II.1).
    pub const INTERFACE: u16 = 0x0001;

    /// The low 24 bits of its Request code.
    #[inline]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Whether `code` is in the range of VMTP management, 0xVV000100 to 0xVV0001FF with PIC, be
    /// there such a procedure or not.
    #[inline]
    pub const fn is_management(code: Code) -> bool {
        code.has(Code::PIC) && code.interface() == Self::INTERFACE
    }

    /// The procedure that a Request with this Code is for: PIC is set, and the low 24 bits are one.
    /// The other flags do not matter.
    #[inline]
    pub const fn of(code: Code) -> Option<Self> {
        if code.has(Code::PIC) {
            Self::from_number(code.number())
        } else {
            None
        }
    }

    /// Whether it is one of the Notify operations, which are never acknowledged, probed or
    /// answered.
    #[inline]
    pub const fn is_notify(self) -> bool {
        matches!(
            self,
            Procedure::NotifyVmtpClient
                | Procedure::NotifyVmtpServer
                | Procedure::NotifyRemoteVmtpClient
        )
    }

    /// Whether it is executed on arrival, without a Client record or duplicate filter: Notify,
    /// Probe and Query operations. The others are ordinary transactions.
    #[inline]
    pub const fn is_immediate(self) -> bool {
        match self {
            Procedure::ProbeEntity
            | Procedure::AuthProbeEntity
            | Procedure::ProbeEntityBlock
            | Procedure::QueryVmtpNode
            | Procedure::QueryEntity
            | Procedure::QueryGroup
            | Procedure::NotifyVmtpClient
            | Procedure::NotifyVmtpServer
            | Procedure::NotifyRemoteVmtpClient => true,
            Procedure::GetRequestForwarder
            | Procedure::CreateEntity
            | Procedure::DeleteEntity
            | Procedure::SignalEntity
            | Procedure::CreateGroup
            | Procedure::AddToGroup
            | Procedure::RemoveFromGroup
            | Procedure::ModifyService => false,
        }
    }
}
