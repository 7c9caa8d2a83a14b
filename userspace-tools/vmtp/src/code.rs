// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Response codes (I), and entity identifiers as people type them.
//!
//! The numbers and names are `vmtp_proto`'s; this adds the codes that have none, and what each
//! means to a user.

use std::fmt;
use std::str::FromStr;

use vmtp_proto::wire::{Entity, EntityParseError, ResponseCode};

use crate::sys;

/// The 24 bits of code of a message, without the flags of the Code word. Of a Response: how the
/// transaction went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Code(u32);

macro_rules! codes {
    ($($name:ident = $value:ident, $meaning:literal;)*) => {
        impl Code {
            $(#[doc = $meaning]
            pub const $name: Code = Code(sys::$value);)*

            /// What a code of appendix I means, in a few words for a user.
            pub const fn meaning(self) -> Option<&'static str> {
                match self.0 {
                    $(sys::$value => Some($meaning),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    OK = VMTP_OK, "no error";
    RETRY = VMTP_RETRY, "parts of the message are missing";
    RETRY_ALL = VMTP_RETRY_ALL, "the rest of the run is missing";
    BUSY = VMTP_BUSY, "the server has too many Requests waiting";
    NONEXISTENT_ENTITY = VMTP_NONEXISTENT_ENTITY, "there is no such entity";
    ENTITY_MIGRATED = VMTP_ENTITY_MIGRATED, "the entity is no longer on that host";
    NO_PERMISSION = VMTP_NO_PERMISSION, "not allowed";
    NOT_AWAITING_MSG = VMTP_NOT_AWAITING_MSG, "nobody is waiting for a Request there";
    VMTP_ERROR = VMTP_VMTP_ERROR, "the message was malformed";
    MSGTRANS_OVERFLOW = VMTP_MSGTRANS_OVERFLOW, "too many transactions are outstanding";
    BAD_TRANSACTION_ID = VMTP_BAD_TRANSACTION_ID, "the transaction identifier does not fit";
    STREAMING_NOT_SUPPORTED = VMTP_STREAMING_NOT_SUPPORTED, "the server takes no runs of Requests";
    NO_RUN_RECORD = VMTP_NO_RUN_RECORD, "the server has forgotten the run";
    RETRANS_TIMEOUT = VMTP_RETRANS_TIMEOUT, "no answer, and the retransmissions are used up";
    USER_TIMEOUT = VMTP_USER_TIMEOUT, "no answer within the time limit";
    RESPONSE_DISCARDED = VMTP_RESPONSE_DISCARDED, "the Response has been discarded";
    SECURITY_NOT_SUPPORTED = VMTP_SECURITY_NOT_SUPPORTED, "the host does no secure transactions";
    BAD_REPLY_SEGMENT = VMTP_BAD_REPLY_SEGMENT, "parts of the Response are missing";
    SECURITY_REQUIRED = VMTP_SECURITY_REQUIRED, "the server takes only encrypted Requests";
    STREAMED_RESPONSE = VMTP_STREAMED_RESPONSE, "the Response is longer than asked for";
    TOO_MANY_RETRIES = VMTP_TOO_MANY_RETRIES, "the Request stayed incomplete";
    NO_PRINCIPAL = VMTP_NO_PRINCIPAL, "the principal is unknown";
    NO_KEY = VMTP_NO_KEY, "there is no key";
    ENCRYPTION_NOT_SUPPORTED = VMTP_ENCRYPTION_NOT_SUPPORTED, "the encryption is unknown";
    NO_AUTHENTICATOR = VMTP_NO_AUTHENTICATOR, "there is no authenticator";
}

impl Code {
    /// The first code that applications use as they like.
    pub const APPLICATION: Code = Code(sys::VMTP_CODE_APPLICATION);

    /// The code in the low 24 bits of a Code word.
    pub const fn from_word(word: u32) -> Code {
        Code(word & sys::VMTP_CODE_MASK)
    }

    /// Its 24 bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether it is [`Code::OK`].
    pub const fn is_ok(self) -> bool {
        self.0 == sys::VMTP_OK
    }

    /// Whether the transaction failed: a code other than OK that appendix I lists or reserves (1 to
    /// 63).
    pub const fn is_failure(self) -> bool {
        matches!(self.0, 1..=63)
    }

    /// The name that appendix I gives it, as `RETRANS_TIMEOUT`; none if it has none.
    pub const fn name(self) -> Option<&'static str> {
        match ResponseCode::from_bits(self.0) {
            Some(code) => Some(code.name()),
            None => None,
        }
    }
}

/// Its name, or its number in hexadecimal.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no entity identifier.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseEntityError {
    /// It looks like the text form but is not.
    #[error("{0}")]
    Text(EntityParseError),
    /// It is a number that does not fit in 64 bits, or no number.
    #[error("an entity is written as LE-25593-36.8.0.49, or as a number of 64 bits in decimal or 0x hexadecimal")]
    Number,
}

/// Reads an entity identifier as people type it: the text form of IV.1, or its 64 bits in decimal
/// or `0x` hexadecimal.
pub fn parse_entity(text: &str) -> std::result::Result<Entity, ParseEntityError> {
    if text.contains('-') {
        return Entity::from_str(&text.to_ascii_uppercase()).map_err(ParseEntityError::Text);
    }
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16),
        None if !text.starts_with('+') => text.parse(),
        _ => return Err(ParseEntityError::Number),
    };
    number
        .map(Entity::from_bits)
        .map_err(|_| ParseEntityError::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_appendix_i_has_a_name_and_a_meaning() {
        for bits in 0..=24 {
            let code = Code::from_word(bits);
            assert!(
                code.name().is_some() && code.meaning().is_some(),
                "code {bits}"
            );
        }
        assert_eq!(Code::RETRANS_TIMEOUT.to_string(), "RETRANS_TIMEOUT");
        assert_eq!(Code::VMTP_ERROR.name(), Some("VMTP_ERROR"));
    }

    #[test]
    fn an_unknown_code_keeps_its_value_and_loses_the_flags() {
        let code = Code::from_word(0x5080_0123);
        assert_eq!(
            (code.bits(), code.name(), code.meaning()),
            (0x80_0123, None, None)
        );
        assert_eq!(code.to_string(), "0x800123");
        assert!(!code.is_failure() && !code.is_ok());
        assert!(Code::from_word(63).is_failure() && !Code::from_word(64).is_failure());
    }

    #[test]
    fn entities_are_read_in_text_decimal_and_hexadecimal() {
        let entity = Entity::from_bits(0x2000_63F9_2408_0031);
        assert_eq!(parse_entity("LE-25593-36.8.0.49"), Ok(entity));
        assert_eq!(parse_entity("le-25593-36.8.0.49"), Ok(entity));
        assert_eq!(parse_entity("0x200063F924080031"), Ok(entity));
        assert_eq!(parse_entity(&entity.bits().to_string()), Ok(entity));
        assert_eq!(parse_entity("0"), Ok(Entity::ZERO));
        for wrong in [
            "",
            "x",
            "0x",
            "0x1_0",
            "+1",
            "0x+1",
            "18446744073709551616",
            "LE-1",
            "LE-1-300.1.1.1",
            "-1",
        ] {
            assert!(parse_entity(wrong).is_err(), "{wrong:?}");
        }
    }
}
