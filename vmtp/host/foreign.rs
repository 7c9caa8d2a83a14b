// SPDX-License-Identifier: GPL-2.0

//! What all network namespaces but the first have together of the tables that packets from anybody fill. It is charged to
//! nobody, and whoever may make one namespace may make many: they share what one of them may have.

use super::settings::Setting;
use super::Host;
use crate::kernel::net::Net;
use core::sync::atomic::{AtomicU32, Ordering};

/// What a namespace may have of each, however much others have.
const LEAST: u32 = 64;

/// Records of one kind in all namespaces but the first.
pub struct Foreign(AtomicU32);

/// Records of remote Clients.
pub static RECORDS: Foreign = Foreign(AtomicU32::new(0));
/// Addresses of hosts.
pub static PATHS: Foreign = Foreign(AtomicU32::new(0));
/// Entities of which the address is remembered.
pub static PLACES: Foreign = Foreign(AtomicU32::new(0));

impl Foreign {
    /// One was made. Any context.
    pub(super) fn add(&self, host: &Host) {
        if is_foreign(host) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One is dropped. Any context.
    pub(super) fn sub(&self, host: &Host) {
        if is_foreign(host) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn is_foreign(host: &Host) -> bool {
    !host.net().is(Net::init())
}

/// Whether a namespace that has `all` of something may have no more because others have so many.
pub fn fill(host: &Host, limit: Setting, all: u32) -> bool {
    let foreign = match limit {
        Setting::RecordsMax => &RECORDS,
        Setting::PathsMax => &PATHS,
        Setting::PlacesMax => &PLACES,
        _ => return false,
    };
    all >= LEAST && is_foreign(host) && foreign.0.load(Ordering::Relaxed) >= limit.share()
}
