// SPDX-License-Identifier: GPL-2.0

//! What a host counts, for `/proc/net/vmtp/snmp`.

use crate::kernel::counters;
use crate::kernel::skb::DropReason;
use crate::proto::client::Drop;

macro_rules! counters {
    (@reason) => { None };
    (@reason $reason:ident) => { Some(DropReason::$reason) };
    ($($(#[$doc:meta])* $name:ident $(=> $reason:ident)?,)*) => {
        /// A counter of the host.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter {
            $($(#[$doc])* $name,)*
        }

        impl Counter {
            /// All of them, in the order in which they are shown.
            pub const ALL: &'static [Counter] = &[$(Counter::$name,)*];

            /// The name that nstat shows after "Vmtp".
            pub const fn name(self) -> &'static str {
                match self {
                    $(Counter::$name => concat!("Vmtp", stringify!($name)),)*
                }
            }
        }

        impl Counter {
            /// What the kernel is told of a packet that is thrown away and counted here.
            pub const fn drop_reason(self) -> Option<DropReason> {
                match self {
                    $(Counter::$name => counters!(@reason $($reason)?),)*
                }
            }
        }

        impl counters::Counter for Counter {
            const COUNT: usize = Counter::ALL.len();
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

counters! {
    /// Packets received for VMTP, whatever became of them.
    InPackets,
    /// Octets of their IP payload.
    InOctets,
    /// Packets handed to IP.
    OutPackets,
    /// Octets of their IP payload.
    OutOctets,
    /// Packets that could not be sent: no route, no memory, a full queue.
    OutErrors,
    /// Request packets received that passed all checks.
    InRequests,
    /// Response packets received that passed all checks.
    InResponses,
    /// Transactions started by entities of this host.
    TransactionsStarted,
    /// Transactions of this host's entities that ended with a Response.
    TransactionsAnswered,
    /// Transactions of this host's entities that ended otherwise.
    TransactionsFailed,
    /// Requests handed to servers of this host.
    RequestsDelivered,
    /// Group Responses handed to servers of this host.
    GroupResponsesDelivered,
    /// Responses sent by servers of this host.
    ResponsesSent,
    /// Transmissions of Requests and Responses after the first.
    Retransmissions,
    /// Notify operations sent.
    OutNotifies,
    /// Notify operations received.
    InNotifies,
    /// Error notifications not sent because their source had used up its share.
    NotifiesLimited,
    /// Answers to Probes and Queries not sent because their host had used up its share.
    AnswersLimited,
    /// Probes sent, repetitions included.
    OutProbes,
    /// Probes answered.
    InProbes,
    /// Packets shorter than 68 octets.
    DropShort => TooSmall,
    /// Packets whose checksum is wrong.
    DropChecksum => Checksum,
    /// Packets without a checksum where one is demanded.
    DropNoChecksum => Checksum,
    /// Packets of another version or domain, or encrypted.
    DropForeign => Protocol,
    /// Packets that break the protocol.
    DropProtocol => Malformed,
    /// Packets for entities that are not here.
    DropNoEntity => NoSocket,
    /// Parts of messages received before: duplicates suppressed.
    DropDuplicate => Duplicate,
    /// Packets without data that only ask what is missing, and are answered.
    DropHeaderOnly,
    /// Packets of old transactions.
    DropOld => Duplicate,
    /// Packets out of sequence in a run or too far ahead in a message.
    DropSequence => TooFar,
    /// Packets that nobody waits for.
    DropUnwanted => NoSocket,
    /// Packets for which a queue or table had no room.
    DropNoRoom => ReceiveBuffer,
    /// For an entity that is on its way to another host.
    DropMoving,
    /// Packets lost for lack of memory.
    DropNoMemory => NoMemory,
    /// Packets that a socket's filter or the security module refused.
    DropFiltered => SocketFilter,
    /// Records of remote Clients made.
    RecordsMade,
    /// Records of remote Clients thrown out before their time because there were too many.
    RecordsEvicted,
    /// Records of remote Clients whose time was over.
    RecordsExpired,
    /// Timers of transactions that went off.
    Timeouts,
    /// Blocks of identifiers claimed and taken.
    BlocksTaken,
    /// Claims of blocks that another host objected to.
    BlocksObjected,
}

impl From<Drop> for Counter {
    fn from(drop: Drop) -> Counter {
        match drop {
            Drop::Duplicate => Counter::DropDuplicate,
            Drop::NoData => Counter::DropHeaderOnly,
            Drop::Old => Counter::DropOld,
            Drop::OutOfSequence | Drop::Ahead => Counter::DropSequence,
            Drop::Conflict | Drop::Protocol | Drop::Streaming => Counter::DropProtocol,
            Drop::Unwanted => Counter::DropUnwanted,
            Drop::NoRoom => Counter::DropNoRoom,
        }
    }
}
