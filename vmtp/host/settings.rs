// SPDX-License-Identifier: GPL-2.0

//! The settings of a host, `net.vmtp.*`.

use crate::kernel::ages::total_ram;
use crate::kernel::net::Net;
use crate::kernel::sysctl::{Entry, Sysctls};
use crate::proto::context::{Policy, ProbeClients};
use crate::proto::time::Span;
use kernel::prelude::*;

/// A setting, by its place in [`ENTRIES`].
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Setting {
    /// The maximum packet lifetime in ms: TS4 is four times that.
    PacketLifetime,
    /// Whether runs are accepted and issued.
    Streaming,
    /// 0: as needed, 1: always, 2: never.
    ProbeClients,
    /// Megabits a second of a link that does not tell.
    LinkSpeed,
    /// Records of remote Clients at most.
    RecordsMax,
    /// Addresses of hosts known at most.
    PathsMax,
    /// Entities of which the address is remembered at most.
    PlacesMax,
    /// Entities at most; an unprivileged user may have half of them.
    EntitiesMax,
    /// Groups at most of which one entity is a member.
    MembershipsMax,
    /// Members at most that one group has on this host.
    MembersMax,
    /// The least discriminator that an unprivileged process may bind.
    UnprivilegedStart,
    /// Whether packets without a checksum are refused.
    ChecksumRequired,
    /// Whether other hosts, which nothing authenticates, may manage this one's entities and restricted groups.
    RemoteManagement,
    /// Entities without a socket, made by CreateEntity, at most.
    CreatedMax,
    /// Groups made by CreateGroup at most.
    GroupsMax,
    /// Answers to Probes and Queries that one host may be sent in a second, 0 for any number.
    AnswersPerSecond,
    /// Whether what is received is numbered, for those who log what they send.
    ReceiveSequence,
    /// Whether Requests for entities that are not here are turned around: for measurements.
    Reflect,
}

/// How many settings there are.
const COUNT: usize = 18;

static ENTRIES: [Entry; COUNT] = [
    Entry {
        name: c"packet_lifetime_ms",
        default: 30_000,
        min: 1,
        max: 3_600_000,
    },
    Entry {
        name: c"streaming",
        default: 1,
        min: 0,
        max: 1,
    },
    Entry {
        name: c"probe_clients",
        default: 0,
        min: 0,
        max: 2,
    },
    Entry {
        name: c"link_mbps",
        default: 1_000,
        min: 1,
        max: 1_000_000,
    },
    Entry {
        name: c"records_max",
        default: 1 << 20,
        min: 1,
        max: 1 << 24,
    },
    Entry {
        name: c"paths_max",
        default: 1 << 16,
        min: 1,
        max: 1 << 24,
    },
    Entry {
        name: c"places_max",
        default: 1 << 16,
        min: 1,
        max: 1 << 24,
    },
    Entry {
        name: c"entities_max",
        default: 1 << 20,
        min: 1,
        max: 1 << 24,
    },
    Entry {
        name: c"memberships_max",
        default: 256,
        min: 0,
        max: 1 << 16,
    },
    Entry {
        name: c"members_max",
        default: 256,
        min: 0,
        max: 1 << 16,
    },
    Entry {
        name: c"unprivileged_discriminator",
        default: 65_536,
        min: 0,
        max: 1 << 27,
    },
    Entry {
        name: c"checksum_required",
        default: 0,
        min: 0,
        max: 1,
    },
    Entry {
        name: c"remote_management",
        default: 0,
        min: 0,
        max: 1,
    },
    Entry {
        name: c"created_max",
        default: 256,
        min: 0,
        max: 1 << 20,
    },
    Entry {
        name: c"groups_max",
        default: 4_096,
        min: 0,
        max: 1 << 20,
    },
    Entry {
        name: c"answers_per_second",
        default: 1_000,
        min: 0,
        max: 1_000_000,
    },
    Entry {
        name: c"receive_sequence",
        default: 0,
        min: 0,
        max: 1,
    },
    Entry {
        name: c"reflect",
        default: 0,
        min: 0,
        max: 1,
    },
];

/// The most that a namespace has by default of what is limited for the sake of memory.
fn most(index: usize) -> Option<i32> {
    let is = |setting: Setting| index == setting as usize;
    // What packets from anybody fill is at most 1/32 of the machine's memory. Entities are sockets, which their users pay
    // for, but for those of CreateEntity.
    let fits = if is(Setting::RecordsMax) {
        total_ram() / 64 / 1_024
    } else if is(Setting::PathsMax) {
        total_ram() / 128 / 1_024
    } else if is(Setting::PlacesMax) {
        total_ram() / 256 / 512
    } else if is(Setting::EntitiesMax)
        || is(Setting::CreatedMax)
        || is(Setting::GroupsMax)
        || is(Setting::MembershipsMax)
        || is(Setting::MembersMax)
    {
        u64::MAX
    } else {
        return None;
    };
    Some(i32::try_from(fits).unwrap_or(i32::MAX).max(256))
}

impl Setting {
    /// What a limit is by default, which is what all namespaces but the first may have together.
    pub fn share(self) -> u32 {
        let index = self as usize;
        let default = ENTRIES.get(index).map_or(0, |entry| entry.default);
        u32::try_from(most(index).map_or(default, |most| default.min(most))).unwrap_or(0)
    }
}

/// The settings of one namespace.
pub struct Settings(Sysctls<COUNT>);

impl Settings {
    /// Makes the files under /proc/sys/net/vmtp. Sleeps.
    pub fn register(net: &Net) -> Result<Self> {
        let own = !net.is(Net::init());
        let settings = Sysctls::register(net, c"net/vmtp", &ENTRIES, |index, entry| {
            let Some(most) = most(index) else {
                return (entry.default, entry.max);
            };
            let default = entry.default.min(most);
            // Records, and what managers make, are charged to nobody: who made a namespace of its own may not have more
            // than by default.
            (default, if own { default } else { entry.max })
        })?;
        Ok(Self(settings))
    }

    /// The value. Any context.
    #[inline]
    pub fn get(&self, setting: Setting) -> u32 {
        u32::try_from(self.0.get(setting as usize)).unwrap_or(0)
    }

    /// Whether a setting that is 0 or 1 is 1.
    #[inline]
    pub fn is_set(&self, setting: Setting) -> bool {
        self.get(setting) != 0
    }

    /// TS4.
    pub fn record_lifetime(&self) -> Span {
        Span::from_millis(u64::from(self.get(Setting::PacketLifetime))).times(4)
    }

    /// When unknown Clients are probed.
    pub fn probe_clients(&self) -> ProbeClients {
        match self.get(Setting::ProbeClients) {
            1 => ProbeClients::Always,
            2 => ProbeClients::Never,
            _ => ProbeClients::Auto,
        }
    }

    /// What `proto` obeys, with `retries` of the socket.
    pub fn policy(&self, retries: u8) -> Policy {
        Policy {
            retries,
            record_lifetime: self.record_lifetime(),
            streaming: self.is_set(Setting::Streaming),
            ..Policy::DEFAULT
        }
    }
}
