// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The two records of AuthProbeEntity in clear: ProbeAuthenticator and EntityAuthenticator (III,
//! figure III-1), and EncryptType.
//!
//! Nothing is encrypted or decrypted here, and no key is chosen.

use core::fmt;

use super::field::records;
use super::{Field, Record};
use crate::proto::wire::{Checksum, Entity, Reader, Transaction, Writer};

/// An encryption key, 8 octets. It is not shown in debug output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u8; 8]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Field for Key {
    const OCTETS: usize = 8;
    #[inline]
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        to.array(self.0)
    }
    #[inline]
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.array().map(Key)
    }
}

records! {
    /// What binds an AuthProbeEntity Response to its Request, before encryption with the Key: 20
    /// octets.
    ProbeAuthenticator {
        /// EntityId: the probed entity.
        entity: Entity,
        /// randomId: the challenge.
        random_id: u32,
        /// The entity's current Transaction.
        transaction: Transaction,
        /// The packet checksum of the three, see [`ProbeAuthenticator::computed_checksum`].
        checksum: u32,
    }

    /// Who an entity is and with which Key to talk to it, before encryption: 44 octets.
    EntityAuthenticator {
        /// ProcessId.
        process: u64,
        /// PrincipalId.
        principal: u64,
        /// EffectivePrincipalId.
        effective_principal: u64,
        /// The Key for packets to and from the entity.
        key: Key,
        /// KeyTimeLimit: from when on the Key is not used, in seconds of Unix time.
        key_time_limit: u32,
        /// The authentication domain that the principals are of.
        auth_domain: u32,
        /// AuthChecksum, see [`EntityAuthenticator::computed_checksum`].
        auth_checksum: u32,
    }
}

impl ProbeAuthenticator {
    /// The packet checksum of EntityId, randomId and Transaction.
    pub fn computed_checksum(&self) -> u32 {
        let mut checksum = Checksum::new();
        checksum.add(&self.entity.bits().to_be_bytes());
        checksum.add(&self.random_id.to_be_bytes());
        checksum.add(&self.transaction.bits().to_be_bytes());
        checksum.finish()
    }

    /// The 20 octets.
    pub fn to_octets(&self) -> [u8; 20] {
        to_octets(self)
    }

    /// Reads the 20 octets; whether the checksum is right is a separate question.
    pub fn from_octets(octets: &[u8; 20]) -> Option<Self> {
        Self::read(&mut Reader::new(octets))
    }
}

impl EntityAuthenticator {
    /// The packet checksum of KeyTimeLimit, Key, PrincipalId and EffectivePrincipalId, in this
    /// order. ProcessId and AuthDomain are not covered.
    pub fn computed_checksum(&self) -> u32 {
        let mut checksum = Checksum::new();
        checksum.add(&self.key_time_limit.to_be_bytes());
        checksum.add(&self.key.0);
        checksum.add(&self.principal.to_be_bytes());
        checksum.add(&self.effective_principal.to_be_bytes());
        checksum.finish()
    }

    /// The 44 octets.
    pub fn to_octets(&self) -> [u8; 44] {
        to_octets(self)
    }

    /// Reads the 44 octets; whether the checksum is right is a separate question.
    pub fn from_octets(octets: &[u8; 44]) -> Option<Self> {
        Self::read(&mut Reader::new(octets))
    }
}

#[inline]
fn to_octets<R: Record, const N: usize>(record: &R) -> [u8; N] {
    const { assert!(R::OCTETS == N) };
    let mut octets = [0; N];
    // Always fits: the size is asserted above.
    let _ = record.write(&mut Writer::new(&mut octets));
    octets
}

/// EncryptType: in the high 8 bits the exclusive or of the octets of the PrincipalId whose private
/// key encrypts the authenticator, in the low 24 the method of encryption (III, V).
#[inline]
pub const fn encrypt_type(principal: u64, method: u32) -> u32 {
    let [a, b, c, d, e, f, g, h] = principal.to_be_bytes();
    u32::from_be_bytes([a ^ b ^ c ^ d ^ e ^ f ^ g ^ h, 0, 0, 0]) | (method & 0x00FF_FFFF)
}
