// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The declaration of fixed sequences of words: parameters, results, and the records in segments.
//!
//! It says how a record is written and read, not which there are. An XDR unsigned int and a 32-bit
//! word of the message control block are the same 4 octets, and an XDR unsigned hyper and an
//! identifier the same 8.

use crate::proto::wire::{Code, Control, Entity, Mask, Reader, Transaction, Writer};

/// A value with a fixed place in a [`Record`].
pub trait Field: Sized {
    /// Octets it takes.
    const OCTETS: usize;
    /// Appends it, big-endian. None if there is no room.
    fn write(&self, to: &mut Writer<'_>) -> Option<()>;
    /// Takes it. None if there are not enough octets.
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

/// A fixed sequence of fields.
pub trait Record: Sized {
    /// Octets of all fields.
    const OCTETS: usize;
    /// Appends all fields in order, big-endian. None if there is no room; what did fit is then
    /// written.
    fn write(&self, to: &mut Writer<'_>) -> Option<()>;
    /// Takes all fields in order. None if there are not enough octets.
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

macro_rules! fields {
    ($($type:ty: $octets:literal, $write:ident $to:expr, $read:ident $from:expr;)*) => {
        $(impl Field for $type {
            const OCTETS: usize = $octets;
            #[inline]
            fn write(&self, to: &mut Writer<'_>) -> Option<()> {
                to.$write($to(*self))
            }
            #[inline]
            fn read(from: &mut Reader<'_>) -> Option<Self> {
                from.$read().map($from)
            }
        })*
    };
}

fields! {
    u32: 4, u32 core::convert::identity, u32 core::convert::identity;
    u64: 8, u64 core::convert::identity, u64 core::convert::identity;
    Entity: 8, u64 Entity::bits, u64 Entity::from_bits;
    Transaction: 4, u32 Transaction::bits, u32 Transaction::from_bits;
    Mask: 4, u32 Mask::bits, u32 Mask::from_bits;
    Code: 4, u32 Code::bits, u32 Code::from_bits;
    Control: 4, u32 Control::bits, u32 Control::from_bits;
}

impl<const N: usize> Field for [u8; N] {
    const OCTETS: usize = N;
    #[inline]
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        to.array(*self)
    }
    #[inline]
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.array()
    }
}

/// Declares structs and makes each a [`Record`] of its fields in the order of the declaration.
macro_rules! records {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            pub struct $name {
                $($(#[$field_meta])* pub $field: $type,)*
            }

            impl $crate::proto::wire::Record for $name {
                const OCTETS: usize = {
                    #[allow(unused_mut)]
                    let mut octets = 0usize;
                    $(octets = octets.wrapping_add(<$type as $crate::proto::wire::Field>::OCTETS);)*
                    octets
                };

                #[inline]
                #[allow(unused_variables)]
                fn write(&self, to: &mut $crate::proto::wire::Writer<'_>) -> Option<()> {
                    $($crate::proto::wire::Field::write(&self.$field, to)?;)*
                    Some(())
                }

                #[inline]
                #[allow(unused_variables)]
                fn read(from: &mut $crate::proto::wire::Reader<'_>) -> Option<Self> {
                    Some($name { $($field: $crate::proto::wire::Field::read(from)?,)* })
                }
            }
        )*
    };
}
pub(super) use records;
