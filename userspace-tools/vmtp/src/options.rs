// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The options of a socket (level SOL_VMTP), one pair of methods each. What they do to the protocol
//! is in the kernel.

use std::time::Duration;

use crate::socket::milliseconds;
use crate::sys::{self, vmtp_membership, vmtp_peer_info};
use crate::{raw, Entity, Error, Host, Result, Socket};

macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $value:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }

        impl $name {
            fn value(self) -> i32 {
                match self { $($name::$variant => sys::$value,)* }
            }

            fn of(value: i32) -> Option<$name> {
                match value { $(sys::$value => Some($name::$variant),)* _ => None }
            }
        }
    };
}

choice! {
    /// What of a message is checksummed (2.5.2).
    Checksum {
        /// Nothing.
        None = VMTP_CHECKSUM_NONE,
        /// The header.
        Header = VMTP_CHECKSUM_HEADER,
        /// Header and segment.
        Full = VMTP_CHECKSUM_FULL,
    }
}

choice! {
    /// What `recvmsg` and `poll` are about.
    Receive {
        /// Requests and Responses.
        Any = VMTP_RECEIVE_ANY,
        /// Requests.
        Requests = VMTP_RECEIVE_REQUESTS,
        /// Responses.
        Responses = VMTP_RECEIVE_RESPONSES,
    }
}

choice! {
    /// When an unknown Client is probed before its Request is executed.
    ProbeClients {
        /// As the sysctl net.vmtp.probe_clients says.
        Host = VMTP_PROBE_HOST,
        /// When duplicates of Requests before the module was loaded are possible.
        Auto = VMTP_PROBE_AUTO,
        /// Always.
        Always = VMTP_PROBE_ALWAYS,
        /// Never.
        Never = VMTP_PROBE_NEVER,
    }
}

macro_rules! options {
    ($($(#[$meta:meta])* $get:ident $set:ident: $type:ty = $option:ident, $to:expr, $from:expr;)*) => {
        $(
            $(#[$meta])*
            pub fn $get(&self) -> Result<$type> {
                let value = raw::option(self, sys::$option, 0_i32)
                    .map_err(|error| Error::system(concat!("getsockopt ", stringify!($option)), error))?;
                Ok($from(value))
            }

            /// Sets it.
            pub fn $set(&self, value: $type) -> Result<()> {
                raw::set_option::<i32>(self, sys::$option, &$to(value))
                    .map_err(|error| Error::system(concat!("setsockopt ", stringify!($option)), error))
            }
        )*
    };
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX) // Out of range for each option: EINVAL.
}

fn natural(value: i32) -> u32 {
    u32::try_from(value).unwrap_or_default()
}

fn time(value: Option<Duration>) -> i32 {
    value.map_or(0, |time| number(milliseconds(time)))
}

impl Socket {
    options! {
        /// How often a Request is retransmitted, 0 to 255; 5.
        retries set_retries: u32 = VMTP_OPT_RETRIES, number, natural;
        /// How often a Response is retransmitted, 0 to 255; 5.
        response_retries set_response_retries: u32 = VMTP_OPT_RESPONSE_RETRIES, number, natural;
        /// The limit of a transaction that has none of its own; none.
        time_limit set_time_limit: Option<Duration> = VMTP_OPT_TIMELIMIT, time,
            |value| Some(Duration::from_millis(natural(value).into())).filter(|time| !time.is_zero());
        /// The 4 bits of priority as on the wire (3.2); 0, normal.
        priority set_priority: u32 = VMTP_OPT_PRIORITY, number, natural;
        /// Whether replies say that the operation can be repeated; no.
        idempotent set_idempotent: bool = VMTP_OPT_IDEMPOTENT, i32::from, |value| value != 0;
        /// What is checksummed on sending; everything.
        checksum set_checksum: Checksum = VMTP_OPT_CHECKSUM, Checksum::value,
            |value| Checksum::of(value).unwrap_or(Checksum::Full);
        /// Whether packets without a checksum are refused; no.
        checksum_required set_checksum_required: bool = VMTP_OPT_CHECKSUM_REQUIRED, i32::from, |value| value != 0;
        /// How many Requests may wait, 1 to 65,536; 128.
        request_queue set_request_queue: u32 = VMTP_OPT_REQUEST_QUEUE, number, natural;
        /// How many Responses may wait, 1 to 65,536; 64.
        response_queue set_response_queue: u32 = VMTP_OPT_RESPONSE_QUEUE, number, natural;
        /// Whether its Requests form runs (2.11); no.
        stream set_stream: bool = VMTP_OPT_STREAM, i32::from, |value| value != 0;
        /// The time to live of multicast packets, 0 to 255; 1.
        multicast_ttl set_multicast_ttl: u32 = VMTP_OPT_MULTICAST_TTL, number, natural;
        /// The index of the interface that multicast packets leave by; 0, by route.
        multicast_interface set_multicast_interface: u32 = VMTP_OPT_MULTICAST_IF, number, natural;
        /// Whether members on this host get its group Requests; yes.
        multicast_loop set_multicast_loop: bool = VMTP_OPT_MULTICAST_LOOP, i32::from, |value| value != 0;
        /// Whether Responses sent to the group are taken (2.7); no.
        group_responses set_group_responses: bool = VMTP_OPT_GROUP_RESPONSES, i32::from, |value| value != 0;
        /// What `recvmsg` and `poll` are about; both.
        receive set_receive: Receive = VMTP_OPT_RECEIVE, Receive::value,
            |value| Receive::of(value).unwrap_or(Receive::Any);
        /// The least time between packets of a Response, in 1/32 of an MTU time, 0 to 255; 0.
        gap set_gap: u32 = VMTP_OPT_GAP, number, natural;
        /// When an unknown Client is probed first; as the host says.
        probe_clients set_probe_clients: ProbeClients = VMTP_OPT_PROBE_CLIENTS, ProbeClients::value,
            |value| ProbeClients::of(value).unwrap_or(ProbeClients::Host);
        /// Whether nobody else may add it to a group; no.
        immune set_immune: bool = VMTP_OPT_IMMUNE, i32::from, |value| value != 0;
        /// The time to live of unicast packets, 0 to 255; 0, as the route says.
        ttl set_ttl: u32 = VMTP_OPT_TTL, number, natural;
        /// Whether `recvmsg` gives what does not fit its buffer in pieces; no.
        pieces set_pieces: bool = VMTP_OPT_PIECES, i32::from, |value| value != 0;
        /// Whether probes are told NO_PERMISSION; no.
        private set_private: bool = VMTP_OPT_PRIVATE, i32::from, |value| value != 0;
    }

    /// Joins a group.
    pub fn join(&self, membership: Membership) -> Result<()> {
        raw::set_option(self, sys::VMTP_OPT_JOIN, &membership.0)
            .map_err(|error| Error::system("setsockopt VMTP_OPT_JOIN", error))
    }

    /// Leaves a group.
    pub fn leave(&self, membership: Membership) -> Result<()> {
        raw::set_option(self, sys::VMTP_OPT_LEAVE, &membership.0)
            .map_err(|error| Error::system("setsockopt VMTP_OPT_LEAVE", error))
    }

    /// What this host knows of the way to an entity.
    pub fn peer(&self, entity: Entity) -> Result<PeerInfo> {
        let info = vmtp_peer_info {
            entity: entity.bits(),
            ..Default::default()
        };
        raw::option(self, sys::VMTP_OPT_PEER, info)
            .map(PeerInfo)
            .map_err(|error| Error::system("getsockopt VMTP_OPT_PEER", error))
    }
}

/// Membership in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership(vmtp_membership);

impl Membership {
    /// In this group, without permissions, by way of the interface that the route says.
    pub fn new(group: Entity) -> Membership {
        Membership(vmtp_membership {
            group: group.bits(),
            ..Default::default()
        })
    }

    /// With these permissions (`sys::VMTP_GRP_MANAGER`, `sys::VMTP_REM_BY_SELF` ...; III.1).
    pub fn permissions(mut self, permissions: u32) -> Membership {
        self.0.permissions = permissions;
        self
    }

    /// By way of the interface with this index.
    pub fn interface(mut self, index: u32) -> Membership {
        self.0.interface = index;
        self
    }
}

/// What a host knows of the way to an entity (VII.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerInfo(vmtp_peer_info);

impl PeerInfo {
    /// Where it is.
    pub fn host(&self) -> Host {
        Host(self.0.host)
    }

    /// Octets of an IP packet.
    pub fn mtu(&self) -> u32 {
        self.0.mtu
    }

    /// Time between packets of a group, in 1/32 of an MTU time.
    pub fn gap(&self) -> u32 {
        self.0.gap
    }

    /// The smoothed round-trip time and its deviation; none before the first sample.
    pub fn round_trip(&self) -> Option<(Duration, Duration)> {
        (self.0.rtt != 0).then(|| {
            (
                Duration::from_nanos(self.0.rtt),
                Duration::from_nanos(self.0.rtt_deviation),
            )
        })
    }

    /// The time between the packets of a group that came from there; none before it was measured.
    pub fn interpacket(&self) -> Option<Duration> {
        (self.0.interpacket != 0).then(|| Duration::from_nanos(self.0.interpacket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_stay_out_of_range() {
        assert_eq!((number(u32::MAX), number(255)), (i32::MAX, 255));
        assert_eq!((time(None), time(Some(Duration::from_micros(10)))), (0, 1));
        assert_eq!(
            ProbeClients::of(ProbeClients::Never.value()),
            Some(ProbeClients::Never)
        );
        assert_eq!(Checksum::of(3), None);
    }
}
