// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Code word: eight flags and a 24-bit Request or Response code (3.2), and the standard
//! response codes (I).
//!
//! The codes of the management procedures are in `manage`.

/// The Code word of a packet (3.2): flags in the high 8 bits, the Request or Response code in the
/// low 24.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Code(u32);

impl Code {
    /// Conditional Message Delivery: deliver only if the receiving entity is waiting.
    pub const CMD: u32 = 0x8000_0000;
    /// DataGram Message: a Request without reply, or a Response to an idempotent transaction.
    pub const DGM: u32 = 0x4000_0000;
    /// Message Delivery Mask: the MsgDelivery field is used by the protocol.
    pub const MDM: u32 = 0x2000_0000;
    /// Segment Data Appended: there is a segment, of SegmentSize octets.
    pub const SDA: u32 = 0x1000_0000;
    /// Reserved, sent as 0.
    pub const RES: u32 = 0x0800_0000;
    /// CoResident Entity: the CoResidentEntity field is used by the protocol. Reserved in a
    /// Response.
    pub const CRE: u32 = 0x0400_0000;
    /// Multiple Responses Desired. Reserved in a Response.
    pub const MRD: u32 = 0x0200_0000;
    /// Public Interface Code: the code is one of a standard (II.1). Reserved in a Response.
    pub const PIC: u32 = 0x0100_0000;

    /// All eight flags.
    pub const FLAGS: u32 = 0xFF00_0000;
    /// The flags that are reserved in a Response (3.4).
    pub const RESERVED_IN_RESPONSE: u32 = Self::RES | Self::CRE | Self::MRD | Self::PIC;

    /// The Code of this word.
    #[inline]
    pub const fn from_bits(bits: u32) -> Self {
        Code(bits)
    }

    /// The word.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The high 8 bits of `flags` and the low 24 of `code`.
    #[inline]
    pub const fn new(flags: u32, code: u32) -> Self {
        Code((flags & Self::FLAGS) | (code & !Self::FLAGS))
    }

    /// Whether any of `flags` is set.
    #[inline]
    pub const fn has(self, flags: u32) -> bool {
        self.0 & flags & Self::FLAGS != 0
    }

    /// The same with `flags` set.
    #[inline]
    pub const fn with(self, flags: u32) -> Self {
        Code(self.0 | (flags & Self::FLAGS))
    }

    /// The same with `flags` clear.
    #[inline]
    pub const fn without(self, flags: u32) -> Self {
        Code(self.0 & !(flags & Self::FLAGS))
    }

    /// The low 24 bits: the Request or Response code without flags.
    #[inline]
    pub const fn number(self) -> u32 {
        self.0 & !Self::FLAGS
    }

    /// The 16 bits of a public code that name the interface (II.1).
    #[inline]
    pub const fn interface(self) -> u16 {
        let [_, high, low, _] = self.0.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// The standard response code that the low 24 bits are, if they are one (I).
    #[inline]
    pub const fn response_code(self) -> Option<ResponseCode> {
        ResponseCode::from_bits(self.number())
    }
}

impl From<ResponseCode> for Code {
    #[inline]
    fn from(code: ResponseCode) -> Code {
        code.code()
    }
}

macro_rules! response_codes {
    ($($(#[$meta:meta])* $variant:ident = $value:literal, $name:literal;)*) => {
        /// The standard response codes (I). 25 to 63 are reserved, applications use 0x00800000 and
        /// above.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum ResponseCode {
            $($(#[$meta])* $variant = $value,)*
        }

        impl ResponseCode {
            /// Every code, ascending.
            pub const ALL: &'static [ResponseCode] = &[$(ResponseCode::$variant),*];

            /// The code with this value; none for a value that I does not list.
            #[inline]
            pub const fn from_bits(bits: u32) -> Option<Self> {
                match bits {
                    $($value => Some(ResponseCode::$variant),)*
                    _ => None,
                }
            }

            /// The name as appendix I spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ResponseCode::$variant => $name,)*
                }
            }
        }
    };
}

response_codes! {
    /// No error.
    Ok = 0, "OK";
    /// Send the blocks that are missing again.
    Retry = 1, "RETRY";
    /// Send the blocks that are missing and everything after them in the run again.
    RetryAll = 2, "RETRY_ALL";
    /// The Request cannot be accepted now.
    Busy = 3, "BUSY";
    /// There is no such entity.
    NonexistentEntity = 4, "NONEXISTENT_ENTITY";
    /// The entity is no longer on this host.
    EntityMigrated = 5, "ENTITY_MIGRATED";
    /// Not allowed.
    NoPermission = 6, "NO_PERMISSION";
    /// CMD was set and nobody waited.
    NotAwaitingMsg = 7, "NOT_AWAITING_MSG";
    /// The packet group breaks this specification.
    VmtpError = 8, "VMTP_ERROR";
    /// More outstanding message transactions than the server keeps (2.11).
    MsgtransOverflow = 9, "MSGTRANS_OVERFLOW";
    /// The Transaction cannot be one of this Client.
    BadTransactionId = 10, "BAD_TRANSACTION_ID";
    /// The server does not take runs of transactions.
    StreamingNotSupported = 11, "STREAMING_NOT_SUPPORTED";
    /// The server knows nothing of the earlier groups of this run.
    NoRunRecord = 12, "NO_RUN_RECORD";
    /// Every retransmission went unanswered.
    RetransTimeout = 13, "RETRANS_TIMEOUT";
    /// The user's time limit ran out.
    UserTimeout = 14, "USER_TIMEOUT";
    /// The Response was discarded.
    ResponseDiscarded = 15, "RESPONSE_DISCARDED";
    /// The host does not do secure transactions.
    SecurityNotSupported = 16, "SECURITY_NOT_SUPPORTED";
    /// Not all of the Response's segment arrived.
    BadReplySegment = 17, "BAD_REPLY_SEGMENT";
    /// The server takes only encrypted Requests.
    SecurityRequired = 18, "SECURITY_REQUIRED";
    /// The Response is longer than the Client allowed.
    StreamedResponse = 19, "STREAMED_RESPONSE";
    /// The Request stayed incomplete.
    TooManyRetries = 20, "TOO_MANY_RETRIES";
    /// The principal of the Client cannot be told.
    NoPrincipal = 21, "NO_PRINCIPAL";
    /// There is no key.
    NoKey = 22, "NO_KEY";
    /// The method of encryption is not known.
    EncryptionNotSupported = 23, "ENCRYPTION_NOT_SUPPORTED";
    /// There is no authenticator.
    NoAuthenticator = 24, "NO_AUTHENTICATOR";
}

impl ResponseCode {
    /// Its value.
    #[inline]
    pub const fn bits(self) -> u32 {
        self as u32
    }

    /// The Code word with this value and no flags.
    #[inline]
    pub const fn code(self) -> Code {
        Code::from_bits(self.bits())
    }
}
