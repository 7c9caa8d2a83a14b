// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Entity identifiers: the 64 bits that name an entity or a group of entities (3.1), their
//! structure in Domain 1 and their text form (IV.1).
//!
//! It does not know which entities exist or where they are.

use core::fmt;
use core::str::FromStr;

/// The identifier of an entity or of a group of entities (3.1). On the wire it is 8 octets,
/// big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Entity(u64);

/// Which of the four sorts of identifier the type flags GRP and LEE or UGP tell (3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntityKind {
    /// A single entity that sends in big-endian order: `BE`.
    BigEndian,
    /// A single entity that sends in little-endian order: `LE`.
    LittleEndian,
    /// A group that entities join only with permission: `RG`.
    RestrictedGroup,
    /// A group that any entity can join: `UG`.
    UnrestrictedGroup,
}

impl Entity {
    const RAE: u64 = 0x8000_0000_0000_0000;
    const GRP: u64 = 0x4000_0000_0000_0000;
    /// LEE in a single entity, UGP in a group.
    const LEE: u64 = 0x2000_0000_0000_0000;
    const RES: u64 = 0x1000_0000_0000_0000;
    const FLAGS: u64 = 0xF000_0000_0000_0000;
    const DISCRIMINATOR: u32 = 0x0FFF_FFFF;

    /// The identifier that no entity ever has.
    pub const ZERO: Entity = Entity(0);
    /// VMTP_MANAGER_GROUP, `RG-1-224.0.1.0`: the managers of all hosts (IV.1).
    pub const MANAGER_GROUP: Entity = Entity(0x4000_0001_E000_0100);
    /// VMTP_DEFAULT_BECLIENT, `BE-1-224.0.1.0`: the Client of a big-endian host that has no
    /// identifier yet (IV.1).
    pub const DEFAULT_BECLIENT: Entity = Entity(0x0000_0001_E000_0100);
    /// VMTP_DEFAULT_LECLIENT, `LE-1-224.0.1.0`: the Client of a little-endian host that has no
    /// identifier yet (IV.1).
    pub const DEFAULT_LECLIENT: Entity = Entity(0x2000_0001_E000_0100);

    /// The identifier with these bits, the type flags being the four most significant.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Entity(bits)
    }

    /// Its bits.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether it is the all-zero identifier.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it names a group (GRP).
    #[inline]
    pub const fn is_group(self) -> bool {
        self.0 & Self::GRP != 0
    }

    /// Whether it is an alias for an entity outside of this domain (RAE). The protocol only passes
    /// it on.
    #[inline]
    pub const fn is_alias(self) -> bool {
        self.0 & Self::RAE != 0
    }

    /// Whether it is a single entity that sends in little-endian order (LEE).
    #[inline]
    pub const fn is_little_endian(self) -> bool {
        self.0 & (Self::GRP | Self::LEE) == Self::LEE
    }

    /// Whether it is a group that any entity can join (UGP).
    #[inline]
    pub const fn is_unrestricted_group(self) -> bool {
        self.0 & (Self::GRP | Self::LEE) == Self::GRP | Self::LEE
    }

    /// Whether the reserved type flag is set, which makes it no identifier.
    #[inline]
    pub const fn has_reserved_bit(self) -> bool {
        self.0 & Self::RES != 0
    }

    /// Whether it can name an entity or group at all: not zero, and the reserved flag clear.
    #[inline]
    pub const fn is_valid(self) -> bool {
        !self.is_zero() && !self.has_reserved_bit()
    }

    /// Whether it can be the Client of a transaction: valid and not a group.
    #[inline]
    pub const fn is_client(self) -> bool {
        self.is_valid() && !self.is_group()
    }

    /// Which sort of identifier the type flags tell.
    #[inline]
    pub const fn kind(self) -> EntityKind {
        match (self.is_group(), self.0 & Self::LEE != 0) {
            (false, false) => EntityKind::BigEndian,
            (false, true) => EntityKind::LittleEndian,
            (true, false) => EntityKind::RestrictedGroup,
            (true, true) => EntityKind::UnrestrictedGroup,
        }
    }

    /// The identifier of this kind, no alias, with the same number otherwise.
    #[inline]
    pub const fn with_kind(self, kind: EntityKind) -> Entity {
        let flags = match kind {
            EntityKind::BigEndian => 0,
            EntityKind::LittleEndian => Self::LEE,
            EntityKind::RestrictedGroup => Self::GRP,
            EntityKind::UnrestrictedGroup => Self::GRP | Self::LEE,
        };
        Entity(self.0 & !Self::FLAGS | flags)
    }

    /// Domain 1: the 28-bit discriminator.
    #[inline]
    pub const fn discriminator(self) -> u32 {
        (self.0 >> 32) as u32 & Self::DISCRIMINATOR
    }

    /// Domain 1: the IPv4 address in the low 32 bits, most significant octet first.
    #[inline]
    pub const fn address(self) -> [u8; 4] {
        (self.0 as u32).to_be_bytes()
    }

    /// The Domain 1 identifier with these parts (IV.1). None if the discriminator has more than 28
    /// bits or the result would be the all-zero identifier.
    pub const fn domain1(
        kind: EntityKind,
        alias: bool,
        discriminator: u32,
        address: [u8; 4],
    ) -> Option<Entity> {
        if discriminator > Self::DISCRIMINATOR {
            return None;
        }
        let alias = if alias { Self::RAE } else { 0 };
        let number = (discriminator as u64) << 32 | u32::from_be_bytes(address) as u64;
        let bits = Entity(number).with_kind(kind).0 | alias;
        if bits == 0 {
            None
        } else {
            Some(Entity(bits))
        }
    }

    /// Domain 1: the IPv4 host group that packets to this group go to. If the low 32 bits are a
    /// multicast address it is that, else 232.X.X.X with the low 24 bits of the discriminator
    /// (IV.1). None if it is not a group.
    #[inline]
    pub const fn host_group(self) -> Option<[u8; 4]> {
        if !self.is_group() {
            return None;
        }
        let address = self.address();
        if matches!(address, [224..=239, ..]) {
            return Some(address);
        }
        let [_, high, middle, low] = self.discriminator().to_be_bytes();
        Some([232, high, middle, low])
    }
}

/// The text form of IV.1: `[X]{BE,LE,RG,UG}[A]-discriminator-address`.
impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reserved = if self.has_reserved_bit() { "X" } else { "" };
        let kind = match self.kind() {
            EntityKind::BigEndian => "BE",
            EntityKind::LittleEndian => "LE",
            EntityKind::RestrictedGroup => "RG",
            EntityKind::UnrestrictedGroup => "UG",
        };
        let alias = if self.is_alias() { "A" } else { "" };
        let [a, b, c, d] = self.address();
        write!(
            f,
            "{reserved}{kind}{alias}-{}-{a}.{b}.{c}.{d}",
            self.discriminator()
        )
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a Domain 1 entity identifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntityParseError {
    /// It is not three parts joined by hyphens.
    Form,
    /// The first part is not BE, LE, RG or UG, with X before it or A after it or not.
    Flags,
    /// The second part is not a decimal number below 2^28.
    Discriminator,
    /// The third part is not an IPv4 address in dotted decimal.
    Address,
}

impl fmt::Display for EntityParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EntityParseError::Form => {
                "an entity identifier is FLAGS-DISCRIMINATOR-ADDRESS, as in LE-25593-36.8.0.49"
            }
            EntityParseError::Flags => {
                "the flags of an entity identifier are BE, LE, RG or UG, with A for an alias"
            }
            EntityParseError::Discriminator => {
                "the discriminator of an entity identifier is a number below 268435456"
            }
            EntityParseError::Address => "the address of an entity identifier is an IPv4 address",
        })
    }
}

impl core::error::Error for EntityParseError {}

/// Reads exactly what [`Display`](fmt::Display) writes, the all-zero identifier and those with the
/// reserved flag (`X`) included: whether an identifier may be used is asked with
/// [`Entity::is_valid`].
impl FromStr for Entity {
    type Err = EntityParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Not with str::split and str::parse: these bring a bounds check into the module.
        let mut parts = text.as_bytes().split(|octet| *octet == b'-');
        let (Some(flags), Some(discriminator), Some(address), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(EntityParseError::Form);
        };

        let (flags, reserved) = match flags {
            [b'X', flags @ ..] => (flags, Entity::RES),
            flags => (flags, 0),
        };
        let (flags, alias) = match flags {
            [flags @ .., b'A'] => (flags, Entity::RAE),
            flags => (flags, 0),
        };
        let kind = match flags {
            b"BE" => 0,
            b"LE" => Entity::LEE,
            b"RG" => Entity::GRP,
            b"UG" => Entity::GRP | Entity::LEE,
            _ => return Err(EntityParseError::Flags),
        };
        let discriminator = decimal(discriminator)
            .filter(|number| *number <= Entity::DISCRIMINATOR)
            .ok_or(EntityParseError::Discriminator)?;
        let address = dotted_quad(address).ok_or(EntityParseError::Address)?;
        Ok(Entity(
            reserved
                | alias
                | kind
                | u64::from(discriminator) << 32
                | u64::from(u32::from_be_bytes(address)),
        ))
    }
}

/// A number of decimal digits only, without leading zeros.
fn decimal(digits: &[u8]) -> Option<u32> {
    if matches!(digits, [] | [b'0', _, ..]) {
        return None;
    }
    let mut number = 0u32;
    for digit in digits {
        let value = digit.checked_sub(b'0').filter(|value| *value <= 9)?;
        number = number.checked_mul(10)?.checked_add(u32::from(value))?;
    }
    Some(number)
}

fn dotted_quad(text: &[u8]) -> Option<[u8; 4]> {
    let mut parts = text.split(|octet| *octet == b'.');
    let mut address = [0; 4];
    for octet in &mut address {
        *octet = u8::try_from(decimal(parts.next()?)?).ok()?;
    }
    parts.next().is_none().then_some(address)
}
