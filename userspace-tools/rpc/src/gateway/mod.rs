// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The gateway between RPC over UDP or TCP and RPC over VMTP, so that programs that know one reach
//! programs that know the other, both unmodified. Messages pass as they are, with their credentials.
//!
//! [`to_vmtp`] is for callers over UDP and TCP, [`to_net`] for callers over VMTP. Each has one door:
//! an RPC message says which program it is for. [`net`] is RPC over UDP and TCP as a caller.

pub mod net;
pub mod to_net;
pub mod to_vmtp;

use std::time::Duration;

/// The program that says where a [`to_vmtp`] gateway's doors are, its TCP port being the version. What is
/// at those ports is over VMTP already: [`to_net`] leaves it out. Else two gateways would keep each
/// other's registrations for ever, and pass calls of a program that has gone to each other.
const DOORS: u32 = 0x2000_0000 | 1045;
/// How often it is looked which programs there are.
const LOOK_AROUND: Duration = Duration::from_secs(2);

/// What both directions need to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only these programs; all if there are none.
    pub programs: Vec<u32>,
    /// How many calls may be under way. A call beyond is dropped if it came over UDP, whose callers
    /// try again, and waits elsewhere.
    pub calls: usize,
    /// How long a call may take of which the caller did not say how long he waits.
    pub limit: Duration,
    /// How long a call over VMTP may take, whatever the caller says.
    pub limit_max: Duration,
    /// After how long a call over UDP is sent again with the same transaction identifier; never if
    /// there is none, and then it is executed at most once.
    pub retry: Option<Duration>,
}

impl Options {
    /// Whether a program is passed on. The portmappers and the doors are each side's own.
    fn wants(&self, program: u32) -> bool {
        ![crate::portmap::PROGRAM, DOORS].contains(&program)
            && (self.programs.is_empty() || self.programs.contains(&program))
    }
}
