// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The bit sets among the parameters of management procedures: group permissions (III.1), flags of
//! QueryVMTPNode and of ModifyService (III).
//!
//! Which permission allows what is decided by the manager.

use super::Field;
use crate::proto::wire::{Reader, Writer};

macro_rules! flags {
    ($($(#[$meta:meta])* $name:ident { $($(#[$bit_meta:meta])* $bit:ident = $value:literal;)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
            #[repr(transparent)]
            pub struct $name(u32);

            impl $name {
                $($(#[$bit_meta])* pub const $bit: $name = $name($value);)*
                /// No bit.
                pub const NONE: $name = $name(0);
                /// Every bit that the RFC defines.
                pub const ALL: $name = $name(0 $(| $value)*);

                /// The set with these bits, unknown ones included.
                #[inline]
                pub const fn from_bits(bits: u32) -> Self {
                    $name(bits)
                }

                /// Its bits.
                #[inline]
                pub const fn bits(self) -> u32 {
                    self.0
                }

                /// Whether every bit of `other` is set.
                #[inline]
                pub const fn contains(self, other: Self) -> bool {
                    other.0 & !self.0 == 0
                }

                /// The bits in either.
                #[inline]
                pub const fn union(self, other: Self) -> Self {
                    $name(self.0 | other.0)
                }

                /// The bits in both.
                #[inline]
                pub const fn intersect(self, other: Self) -> Self {
                    $name(self.0 & other.0)
                }

                /// The bits of this one that are not in `other`.
                #[inline]
                pub const fn minus(self, other: Self) -> Self {
                    $name(self.0 & !other.0)
                }
            }

            impl Field for $name {
                const OCTETS: usize = 4;
                #[inline]
                fn write(&self, to: &mut Writer<'_>) -> Option<()> {
                    to.u32(self.0)
                }
                #[inline]
                fn read(from: &mut Reader<'_>) -> Option<Self> {
                    from.u32().map($name)
                }
            }
        )*
    };
}

flags! {
    /// What a member of a group may do and have done to it (III.1).
    GroupPermissions {
        /// VMTP_GRP_MANAGER: manager of the group.
        MANAGER = 0x01;
        /// VMTP_REM_BY_SELF: can be removed by itself.
        REM_BY_SELF = 0x02;
        /// VMTP_REM_BY_PRIN: can be removed by an entity of the same principal.
        REM_BY_PRIN = 0x04;
        /// VMTP_REM_BY_OTHE: can be removed by any other.
        REM_BY_OTHE = 0x08;
        /// VMTP_ADD_PRIN: can add entities of the same principal.
        ADD_PRIN = 0x10;
        /// VMTP_ADD_OTHE: can add any other.
        ADD_OTHE = 0x20;
        /// VMTP_REM_PRIN: can remove entities of the same principal.
        REM_PRIN = 0x40;
        /// VMTP_REM_OTHE: can remove any other.
        REM_OTHE = 0x80;
    }

    /// What the VMTP module of a node can do: `flags` of QueryVMTPNode (III).
    NodeFlags {
        /// Handles streamed Requests.
        HANDLES_STREAMS = 1;
        /// Can issue streamed message transactions for clients.
        ISSUES_STREAMS = 2;
        /// Handles secure Requests.
        HANDLES_SECURITY = 4;
        /// Can issue secure message transactions.
        ISSUES_SECURITY = 8;
    }

    /// How an entity takes its Requests: `flags` of ModifyService (III).
    ServiceFlags {
        /// Threads handle Requests as they come; otherwise the message model.
        THREAD_SERVICE = 1;
        /// A Client whose principal is not known is probed for it.
        AUTHENTICATION_REQUIRED = 2;
        /// A Request has to be encrypted.
        SECURITY_REQUIRED = 4;
        /// `count` is a change of the present value.
        INCREMENTAL = 8;
    }
}
