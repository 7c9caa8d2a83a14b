// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Hosts by their names.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

use anyhow::{Context, Result};

/// The first IPv4 address of a host.
pub(crate) fn resolve(host: &str) -> Result<Ipv4Addr> {
    (host, 0)
        .to_socket_addrs()
        .with_context(|| format!("{host}: no host of this name"))?
        .find_map(|found| match found.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .with_context(|| format!("{host} has no IPv4 address"))
}
