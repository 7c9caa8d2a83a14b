// SPDX-License-Identifier: GPL-2.0

//! The options of a socket (SOL_VMTP), read by packets and timers without a lock.

use crate::bindings as uapi;
use crate::proto::context::ProbeClients;
use crate::proto::wire::Priority;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use kernel::prelude::*;

/// How one option may be set.
struct Rule {
    name: u32,
    default: u32,
    min: u32,
    max: u32,
}

const COUNT: usize = 21;

/// Every option that is one number, in the order of [`Options::values`].
static RULES: [Rule; COUNT] = [
    Rule {
        name: uapi::VMTP_OPT_RETRIES,
        default: 5,
        min: 0,
        max: 255,
    },
    Rule {
        name: uapi::VMTP_OPT_RESPONSE_RETRIES,
        default: 5,
        min: 0,
        max: 255,
    },
    Rule {
        name: uapi::VMTP_OPT_TIMELIMIT,
        default: 0,
        min: 0,
        max: i32::MAX as u32,
    },
    Rule {
        name: uapi::VMTP_OPT_PRIORITY,
        default: 0,
        min: 0,
        max: 15,
    },
    Rule {
        name: uapi::VMTP_OPT_IDEMPOTENT,
        default: 0,
        min: 0,
        max: 1,
    },
    Rule {
        name: uapi::VMTP_OPT_CHECKSUM,
        default: uapi::VMTP_CHECKSUM_FULL,
        min: 0,
        max: 2,
    },
    Rule {
        name: uapi::VMTP_OPT_CHECKSUM_REQUIRED,
        default: 0,
        min: 0,
        max: 1,
    },
    Rule {
        name: uapi::VMTP_OPT_REQUEST_QUEUE,
        default: 128,
        min: 1,
        max: 65_536,
    },
    Rule {
        // Each packet of a Response may have to look at all that its Client keeps.
        name: uapi::VMTP_OPT_RESPONSE_QUEUE,
        default: 64,
        min: 1,
        max: 1_024,
    },
    Rule {
        name: uapi::VMTP_OPT_STREAM,
        default: 0,
        min: 0,
        max: 1,
    },
    Rule {
        name: uapi::VMTP_OPT_MULTICAST_TTL,
        default: 1,
        min: 0,
        max: 255,
    },
    Rule {
        name: uapi::VMTP_OPT_MULTICAST_IF,
        default: 0,
        min: 0,
        max: i32::MAX as u32,
    },
    Rule {
        name: uapi::VMTP_OPT_MULTICAST_LOOP,
        default: 1,
        min: 0,
        max: 1,
    },
    Rule {
        name: uapi::VMTP_OPT_GROUP_RESPONSES,
        default: 0,
        min: 0,
        max: 1,
    },
    Rule {
        name: uapi::VMTP_OPT_RECEIVE,
        default: uapi::VMTP_RECEIVE_ANY,
        min: 0,
        max: 2,
    },
    Rule {
        name: uapi::VMTP_OPT_GAP,
        default: 0,
        min: 0,
        max: 255,
    },
    Rule {
        name: uapi::VMTP_OPT_PROBE_CLIENTS,
        default: uapi::VMTP_PROBE_HOST,
        min: 0,
        max: 3,
    },
    Rule {
        name: uapi::VMTP_OPT_PRIVATE,
        default: 0,
        min: 0,
        max: 1,
    },
    Rule {
        name: uapi::VMTP_OPT_IMMUNE,
        default: 0,
        min: 0,
        max: 1,
    },
    Rule {
        name: uapi::VMTP_OPT_PIECES,
        default: 0,
        min: 0,
        max: 1,
    },
    Rule {
        name: uapi::VMTP_OPT_TTL,
        default: 0,
        min: 0,
        max: 255,
    },
];

/// What a socket's transactions ask of the protocol, beside what is known of their path.
#[derive(Clone, Copy)]
pub struct Wishes {
    /// MaxRetrans of Requests.
    pub retries: u8,
    /// The least interpacket gap of Responses, in 1/32 of an MTU time.
    pub gap: u8,
}

/// The options of one socket.
pub struct Options {
    values: [AtomicU32; COUNT],
}

impl Options {
    /// All at their defaults.
    pub fn new() -> Self {
        Self {
            values: RULES.each_ref().map(|rule| AtomicU32::new(rule.default)),
        }
    }

    /// Sets the option of this number. ENOPROTOOPT if there is none, EINVAL for a value out of its range.
    pub fn set(&self, name: u32, value: i32) -> Result {
        let (rule, place) = self
            .place(name)
            .ok_or(crate::kernel::errno::Errno::ENOPROTOOPT)?;
        let value = u32::try_from(value).map_err(|_| EINVAL)?;
        if !(rule.min..=rule.max).contains(&value) {
            return Err(EINVAL);
        }
        place.store(value, Relaxed);
        Ok(())
    }

    /// The value of the option of this number. ENOPROTOOPT.
    pub fn get(&self, name: u32) -> Result<i32> {
        let (_, place) = self
            .place(name)
            .ok_or(crate::kernel::errno::Errno::ENOPROTOOPT)?;
        Ok(place.load(Relaxed) as i32)
    }

    fn place(&self, name: u32) -> Option<(&'static Rule, &AtomicU32)> {
        RULES
            .iter()
            .zip(self.values.iter())
            .find(|(rule, _)| rule.name == name)
    }

    /// The value at an index of the table that is known here.
    #[inline]
    fn at<const INDEX: usize>(&self) -> u32 {
        const { assert!(INDEX < COUNT) };
        self.values
            .get(INDEX)
            .map_or(0, |value| value.load(Relaxed))
    }

    /// MaxRetrans of Requests.
    #[inline]
    pub fn retries(&self) -> u8 {
        self.at::<0>() as u8
    }

    /// MaxRetrans of Responses.
    #[inline]
    pub fn response_retries(&self) -> u8 {
        self.at::<1>() as u8
    }

    /// The limit of a transaction in ms; 0 for none.
    pub fn time_limit(&self) -> u32 {
        self.at::<2>()
    }

    /// The priority of Requests.
    pub fn priority(&self) -> Priority {
        Priority::from_bits(self.at::<3>() as u8).unwrap_or(Priority::NORMAL)
    }

    /// Whether Responses are idempotent.
    pub fn is_idempotent(&self) -> bool {
        self.at::<4>() != 0
    }

    /// VMTP_CHECKSUM_*.
    #[inline]
    pub fn checksum(&self) -> u32 {
        self.at::<5>()
    }

    /// Whether packets without a checksum are refused.
    #[inline]
    pub fn is_checksum_required(&self) -> bool {
        self.at::<6>() != 0
    }

    /// Requests that may wait.
    #[inline]
    pub fn request_queue(&self) -> u32 {
        self.at::<7>()
    }

    /// Responses to one transaction that may wait.
    #[inline]
    pub fn response_queue(&self) -> usize {
        self.at::<8>() as usize
    }

    /// Whether Requests form runs.
    pub fn is_streaming(&self) -> bool {
        self.at::<9>() != 0
    }

    /// Time to live of multicast packets.
    pub fn multicast_ttl(&self) -> u8 {
        self.at::<10>() as u8
    }

    /// The interface for multicast packets, or 0.
    pub fn multicast_interface(&self) -> u32 {
        self.at::<11>()
    }

    /// Whether members of the group on this host get the Requests that are sent to it.
    pub fn is_multicast_loop(&self) -> bool {
        self.at::<12>() != 0
    }

    /// What its transactions ask for.
    #[inline]
    pub fn wishes(&self) -> Wishes {
        Wishes {
            retries: self.at::<0>() as u8,
            gap: self.at::<15>() as u8,
        }
    }

    /// VMTP_RECEIVE_*.
    pub fn receive(&self) -> u32 {
        self.at::<14>()
    }

    /// When an unknown Client is probed; `None`: as the host says.
    #[inline]
    pub fn probe_clients(&self) -> Option<ProbeClients> {
        match self.at::<16>() {
            uapi::VMTP_PROBE_AUTO => Some(ProbeClients::Auto),
            uapi::VMTP_PROBE_ALWAYS => Some(ProbeClients::Always),
            uapi::VMTP_PROBE_NEVER => Some(ProbeClients::Never),
            _ => None,
        }
    }

    /// Whether each Client is asked for before it is served, which is all the authentication that there is.
    pub fn authenticates(&self) -> bool {
        self.probe_clients() == Some(ProbeClients::Always)
    }

    /// Whether Responses of other members of a group are taken.
    #[inline]
    pub fn takes_group_responses(&self) -> bool {
        self.at::<13>() != 0
    }

    /// Whether nobody else may add it to a group.
    pub fn is_immune(&self) -> bool {
        self.at::<18>() != 0
    }

    /// Whether recvmsg gives what does not fit its buffer in pieces.
    pub fn takes_pieces(&self) -> bool {
        self.at::<19>() != 0
    }

    /// Time to live of unicast packets; 0 is the route's.
    pub fn ttl(&self) -> u8 {
        self.at::<20>() as u8
    }

    /// Whether Probes are refused.
    pub fn is_private(&self) -> bool {
        self.at::<17>() != 0
    }
}
