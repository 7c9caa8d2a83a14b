// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is counted: faults that struck, packets, and what the protocol did about them.

macro_rules! counts {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// All counters of a simulation.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Counts {
            $($(#[$meta])* pub $name: u64,)*
        }

        impl Counts {
            /// Adds the counters of another simulation.
            pub fn add(&mut self, other: &Counts) {
                $(self.$name += other.$name;)*
            }

            /// Every counter with its name.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

counts! {
    /// Transactions begun.
    transactions,
    /// Transactions with a Response.
    answered,
    /// Transactions that ended without one.
    failed,
    /// Requests sent as datagrams.
    datagrams,
    /// Datagrams that reached their server.
    datagrams_received,
    /// Transactions whose Client's host restarted.
    lost,
    /// Transactions whose place in the receive sequence of the server's host became known.
    numbered,
    /// Requests handed to servers.
    executions,
    /// Packets sent.
    packets,
    /// Octets of packets sent.
    octets,
    /// Packet groups that left with a gap between their packets.
    paced,
    /// Responses of which a part did not leave, because their Client had answered.
    stopped,
    /// Packets that were lost.
    fault_loss,
    /// Packets that came twice.
    fault_duplicate,
    /// Packets that were overtaken.
    fault_reorder,
    /// Packets with a flipped bit.
    fault_corrupt,
    /// Packets that came alone, and up to seconds later.
    fault_delay,
    /// Duplicates that came up to half a minute later.
    fault_late,
    /// Packets stopped by a partition.
    fault_partition,
    /// Hosts that restarted.
    fault_restart,
    /// Hosts that died with a Request that they had passed on: they restarted, or were not heard any more.
    fault_forwarders,
    /// Partitions.
    fault_cuts,
    /// Requests that met a slow receiver: one that works on them for longer than any timer of a
    /// Client's waits.
    fault_slow,
    /// Timers that fired late, as on a host with too much to do.
    fault_late_timer,
    /// Entities that moved to another host.
    fault_migrations,
    /// Corrupt packets that the checksum found.
    checksum_caught,
    /// Packets that broke the format.
    malformed,
    /// Bursts of a Request after the first.
    retransmissions,
    /// Packets of messages that were there already.
    duplicates,
    /// Old or out of sequence packets dropped.
    out_of_sequence,
    /// Requests refused with BUSY or MSGTRANS_OVERFLOW.
    busy,
    /// Probes sent.
    probes,
    /// NotifyVmtpClient and NotifyRemoteVmtpClient sent.
    notify_client,
    /// NotifyVmtpServer sent.
    notify_server,
    /// Error notifications that the limit suppressed.
    notify_limited,
    /// Requests forwarded.
    forwarded,
    /// Requests forwarded by a nested call.
    nested,
    /// Requests aborted at the server.
    aborted,
    /// Responses answered by PGcount of a later one.
    covered,
    /// Group Responses that another member heard.
    overheard,
    /// Odd events: forged Notifies, ICMP, early timers, impossible wishes.
    odd,
    /// Records dropped early for lack of room.
    scavenged,
    /// Events of the simulation.
    events,
}
