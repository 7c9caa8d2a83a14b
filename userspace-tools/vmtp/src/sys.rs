// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The ABI between programs and vmtp.ko: `include/uapi/linux/vmtp.h` in Rust, name for name.
//!
//! The header is the definition; this copies it, and `tests/abi.rs` compares every size, offset and
//! number with what a C compiler makes of the header. No logic here. Programs that need more than
//! the safe API offers use these with [`Socket`](crate::Socket)'s file descriptor.

#![allow(missing_docs)] // The header documents each name.

use core::mem::{offset_of, size_of};

use rustix::ioctl::{opcode, Opcode};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! numbers {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(pub const $name: $type = $value;)*
        /// Every number of the header, for the comparison with it.
        #[doc(hidden)]
        pub const NUMBERS: &[(&str, u64)] = &[$((stringify!($name), $name as u64)),*];
    };
}

numbers! {
    AF_VMTP: u16 = 18;
    IPPROTO_VMTP: u32 = 81;
    SOL_VMTP: i32 = 81;
    SOCK_TRANSACT: u32 = 4;

    VMTP_BLOCK_SIZE: u32 = 512;
    VMTP_GROUP_SIZE: u32 = 16_384;
    VMTP_MESSAGE_SIZE: u32 = 4_194_304;

    VMTP_ENTITY_ALIAS: u64 = 0x8000_0000_0000_0000;
    VMTP_ENTITY_GROUP: u64 = 0x4000_0000_0000_0000;
    VMTP_ENTITY_LEE: u64 = 0x2000_0000_0000_0000;
    VMTP_ENTITY_UGP: u64 = 0x2000_0000_0000_0000;
    VMTP_ENTITY_RES: u64 = 0x1000_0000_0000_0000;
    VMTP_MANAGER_GROUP: u64 = 0x4000_0001_E000_0100;
    VMTP_DEFAULT_BECLIENT: u64 = 0x0000_0001_E000_0100;
    VMTP_DEFAULT_LECLIENT: u64 = 0x2000_0001_E000_0100;
    VMTP_DOMAIN_INTERNET: u16 = 1;
    VMTP_DOMAIN_LOCAL: u16 = 3;
    VMTP_SOCKADDR_MIN: u32 = 16;

    VMTP_CMD: u32 = 0x8000_0000;
    VMTP_DGM: u32 = 0x4000_0000;
    VMTP_MDM: u32 = 0x2000_0000;
    VMTP_SDA: u32 = 0x1000_0000;
    VMTP_CRE: u32 = 0x0400_0000;
    VMTP_MRD: u32 = 0x0200_0000;
    VMTP_PIC: u32 = 0x0100_0000;
    VMTP_CODE_MASK: u32 = 0x00FF_FFFF;
    VMTP_CODE_APPLICATION: u32 = 0x0080_0000;

    VMTP_REQUEST: u8 = 0;
    VMTP_RESPONSE: u8 = 1;
    VMTP_FORWARD: u8 = 2;
    VMTP_FAILURE: u8 = 3;
    VMTP_CANCEL: u8 = 4;
    VMTP_GROUP_RESPONSE: u8 = 5;

    VMTP_F_APG: u8 = 0x01;
    VMTP_F_NRT: u8 = 0x02;
    VMTP_F_DRT: u8 = 0x04;
    VMTP_F_HCO: u8 = 0x08;
    VMTP_F_PRIORITY: u8 = 0x10;
    VMTP_F_GROUP_RESPONSE: u8 = 0x20;
    VMTP_F_ABANDON: u8 = 0x40;
    VMTP_F_MDG: u8 = 0x80;

    VMTP_OK: u32 = 0;
    VMTP_RETRY: u32 = 1;
    VMTP_RETRY_ALL: u32 = 2;
    VMTP_BUSY: u32 = 3;
    VMTP_NONEXISTENT_ENTITY: u32 = 4;
    VMTP_ENTITY_MIGRATED: u32 = 5;
    VMTP_NO_PERMISSION: u32 = 6;
    VMTP_NOT_AWAITING_MSG: u32 = 7;
    VMTP_VMTP_ERROR: u32 = 8;
    VMTP_MSGTRANS_OVERFLOW: u32 = 9;
    VMTP_BAD_TRANSACTION_ID: u32 = 10;
    VMTP_STREAMING_NOT_SUPPORTED: u32 = 11;
    VMTP_NO_RUN_RECORD: u32 = 12;
    VMTP_RETRANS_TIMEOUT: u32 = 13;
    VMTP_USER_TIMEOUT: u32 = 14;
    VMTP_RESPONSE_DISCARDED: u32 = 15;
    VMTP_SECURITY_NOT_SUPPORTED: u32 = 16;
    VMTP_BAD_REPLY_SEGMENT: u32 = 17;
    VMTP_SECURITY_REQUIRED: u32 = 18;
    VMTP_STREAMED_RESPONSE: u32 = 19;
    VMTP_TOO_MANY_RETRIES: u32 = 20;
    VMTP_NO_PRINCIPAL: u32 = 21;
    VMTP_NO_KEY: u32 = 22;
    VMTP_ENCRYPTION_NOT_SUPPORTED: u32 = 23;
    VMTP_NO_AUTHENTICATOR: u32 = 24;

    VMTP_MCB: i32 = 1;
    VMTP_COOKIE: i32 = 2;
    VMTP_TIMELIMIT: i32 = 3;
    VMTP_PIECE: i32 = 4;
    VMTP_ROOM: i32 = 5;

    VMTP_OPT_RETRIES: i32 = 1;
    VMTP_OPT_RESPONSE_RETRIES: i32 = 2;
    VMTP_OPT_TIMELIMIT: i32 = 3;
    VMTP_OPT_PRIORITY: i32 = 4;
    VMTP_OPT_IDEMPOTENT: i32 = 5;
    VMTP_OPT_CHECKSUM: i32 = 6;
    VMTP_OPT_CHECKSUM_REQUIRED: i32 = 7;
    VMTP_OPT_REQUEST_QUEUE: i32 = 8;
    VMTP_OPT_RESPONSE_QUEUE: i32 = 9;
    VMTP_OPT_STREAM: i32 = 10;
    VMTP_OPT_JOIN: i32 = 11;
    VMTP_OPT_LEAVE: i32 = 12;
    VMTP_OPT_MULTICAST_TTL: i32 = 13;
    VMTP_OPT_MULTICAST_IF: i32 = 14;
    VMTP_OPT_MULTICAST_LOOP: i32 = 15;
    VMTP_OPT_GROUP_RESPONSES: i32 = 16;
    VMTP_OPT_RECEIVE: i32 = 17;
    VMTP_OPT_GAP: i32 = 18;
    VMTP_OPT_PROBE_CLIENTS: i32 = 19;
    VMTP_OPT_IMMUNE: i32 = 20;
    VMTP_OPT_PRIVATE: i32 = 21;
    VMTP_OPT_PEER: i32 = 22;
    VMTP_OPT_PIECES: i32 = 23;
    VMTP_OPT_TTL: i32 = 24;

    VMTP_CHECKSUM_NONE: i32 = 0;
    VMTP_CHECKSUM_HEADER: i32 = 1;
    VMTP_CHECKSUM_FULL: i32 = 2;
    VMTP_RECEIVE_ANY: i32 = 0;
    VMTP_RECEIVE_REQUESTS: i32 = 1;
    VMTP_RECEIVE_RESPONSES: i32 = 2;
    VMTP_PROBE_HOST: i32 = 0;
    VMTP_PROBE_AUTO: i32 = 1;
    VMTP_PROBE_ALWAYS: i32 = 2;
    VMTP_PROBE_NEVER: i32 = 3;

    VMTP_GRP_MANAGER: u32 = 0x01;
    VMTP_REM_BY_SELF: u32 = 0x02;
    VMTP_REM_BY_PRIN: u32 = 0x04;
    VMTP_REM_BY_OTHE: u32 = 0x08;
    VMTP_ADD_PRIN: u32 = 0x10;
    VMTP_ADD_OTHE: u32 = 0x20;
    VMTP_REM_PRIN: u32 = 0x40;
    VMTP_REM_OTHE: u32 = 0x80;

    VMTP_MSG_DONTWAIT: u32 = 0x01;
    VMTP_MSG_PIECES: u32 = 0x02;
    VMTP_MSG_MORE: u32 = 0x04;
    VMTP_MSG_START: u32 = 0x08;
    VMTP_MSG_ABORT: u32 = 0x10;
    VMTP_MSG_SENT: u32 = 0x20;
    VMTP_MSG_PEEK: u32 = 0x40;

    VMTP_IOC_MAGIC: u8 = 0x51;
    VMTP_INVOKE: Opcode = opcode::read_write::<vmtp_exchange>(VMTP_IOC_MAGIC, 1);
    VMTP_GETREPLY: Opcode = opcode::read_write::<vmtp_msg>(VMTP_IOC_MAGIC, 2);
    VMTP_RECVREQ: Opcode = opcode::read_write::<vmtp_msg>(VMTP_IOC_MAGIC, 3);
    VMTP_SENDREPLY: Opcode = opcode::write::<vmtp_msg>(VMTP_IOC_MAGIC, 4);
    VMTP_FORWARDREQ: Opcode = opcode::write::<vmtp_msg>(VMTP_IOC_MAGIC, 5);
    VMTP_PROBEENTITY: Opcode = opcode::read_write::<vmtp_probe>(VMTP_IOC_MAGIC, 6);
    VMTP_REPLYRECV: Opcode = opcode::read_write::<vmtp_exchange>(VMTP_IOC_MAGIC, 7);
    VMTP_ABORT: Opcode = opcode::none(VMTP_IOC_MAGIC, 8);
    VMTP_EXPORT: Opcode = opcode::read_write::<vmtp_image>(VMTP_IOC_MAGIC, 9);
    VMTP_IMPORT: Opcode = opcode::read_write::<vmtp_image>(VMTP_IOC_MAGIC, 10);
    VMTP_MOVED: Opcode = opcode::none(VMTP_IOC_MAGIC, 11);
    VMTP_RESUME: Opcode = opcode::none(VMTP_IOC_MAGIC, 12);

    VMTP_PROC_PROBE_ENTITY: u32 = 0x0500_0101;
    VMTP_PROC_AUTH_PROBE_ENTITY: u32 = 0x0500_0102;
    VMTP_PROC_PROBE_ENTITY_BLOCK: u32 = 0x0500_0103;
    VMTP_PROC_QUERY_VMTP_NODE: u32 = 0x0500_0104;
    VMTP_PROC_GET_REQUEST_FORWARDER: u32 = 0x0500_0105;
    VMTP_PROC_CREATE_ENTITY: u32 = 0x0500_0106;
    VMTP_PROC_DELETE_ENTITY: u32 = 0x0500_0107;
    VMTP_PROC_QUERY_ENTITY: u32 = 0x0500_0108;
    VMTP_PROC_SIGNAL_ENTITY: u32 = 0x0500_0109;
    VMTP_PROC_CREATE_GROUP: u32 = 0x0500_010A;
    VMTP_PROC_ADD_TO_GROUP: u32 = 0x0500_010B;
    VMTP_PROC_REMOVE_FROM_GROUP: u32 = 0x0500_010C;
    VMTP_PROC_QUERY_GROUP: u32 = 0x0500_010D;
    VMTP_PROC_MODIFY_SERVICE: u32 = 0x0500_010E;
    VMTP_PROC_NOTIFY_CLIENT: u32 = 0x4500_010F;
    VMTP_PROC_NOTIFY_SERVER: u32 = 0x4500_0110;
    VMTP_PROC_NOTIFY_REMOTE_CLIENT: u32 = 0x4100_0111;
}

macro_rules! layouts {
    ($($(#[$meta:meta])* pub struct $name:ident [$size:literal] { $(pub $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[allow(non_camel_case_types)]
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
            #[repr(C)]
            pub struct $name { $(pub $field: $type,)* }
            const _: () = assert!(size_of::<$name>() == $size && $size % 8 == 0);
        )*
        /// Every struct with its size and the offsets of its members, for the comparison with the
        /// header.
        #[doc(hidden)]
        pub const LAYOUTS: &[(&str, usize, &[(&str, usize)])] = &[
            $((stringify!($name), $size, &[$((stringify!($field), offset_of!($name, $field))),*])),*
        ];
    };
}

layouts! {
    pub struct vmtp_host [24] {
        pub family: u16,
        pub port: u16,
        pub interface: u32,
        pub address: [u8; 16],
    }

    pub struct sockaddr_vmtp [40] {
        pub svmtp_family: u16,
        pub svmtp_domain: u16,
        pub svmtp_reserved: u32,
        pub svmtp_entity: u64,
        pub svmtp_host: vmtp_host,
    }

    pub struct vmtp_mcb [64] {
        pub server: u64,
        pub client: u64,
        pub coresident: u64,
        pub code: u32,
        pub transaction: u32,
        pub user: [u32; 5],
        pub msg_delivery: u32,
        pub segment_size: u32,
        pub forward_count: u8,
        pub priority: u8,
        pub function: u8,
        pub flags: u8,
    }

    pub struct vmtp_piece [16] {
        pub offset: u32,
        pub length: u32,
        pub total: u32,
        pub reserved: u32,
    }

    pub struct vmtp_membership [16] {
        pub group: u64,
        pub permissions: u32,
        pub interface: u32,
    }

    pub struct vmtp_peer_info [64] {
        pub entity: u64,
        pub host: vmtp_host,
        pub mtu: u32,
        pub gap: u32,
        pub rtt: u64,
        pub rtt_deviation: u64,
        pub interpacket: u64,
    }

    pub struct vmtp_msg [128] {
        pub mcb: vmtp_mcb,
        pub segment: u64,
        pub length: u32,
        pub received: u32,
        pub cookie: u64,
        pub host: vmtp_host,
        pub timeout: u32,
        pub flags: u32,
        pub offset: u32,
        pub reserved: u32,
    }

    pub struct vmtp_exchange [256] {
        pub out: vmtp_msg,
        pub r#in: vmtp_msg,
    }

    pub struct vmtp_probe [72] {
        pub entity: u64,
        pub auth_domain: u32,
        pub timeout: u32,
        pub code: u32,
        pub transaction: u32,
        pub process: u64,
        pub principal: u64,
        pub effective_principal: u64,
        pub host: vmtp_host,
    }

    pub struct vmtp_image [32] {
        pub data: u64,
        pub length: u32,
        pub used: u32,
        pub timeout: u32,
        pub reserved: u32,
        pub entity: u64,
    }
}
