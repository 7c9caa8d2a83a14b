// SPDX-License-Identifier: GPL-2.0

//! The kernel module: what is registered in which order, and nothing else.

use ::kernel::prelude::*;

mod bindings;
mod host;
mod kernel;
pub mod proto;
mod socket;

module! {
    type: Vmtp,
    name: "vmtp",
    authors: ["The vmtp authors"],
    description: "Versatile Message Transaction Protocol (RFC 1045)",
    license: "GPL",
    alias: ["net-pf-18"],
}

/// The registrations. They end in this order, the reverse of how they began: no socket, then no packet, then no state.
struct Vmtp {
    _family: kernel::family::Registration<socket::VmtpSocket>,
    _interfaces: kernel::netdev::Registration<host::Host>,
    _protocol: kernel::protocol::Registration<host::Host>,
    _hosts: kernel::pernet::Registration<host::Host>,
    _caches: host::Caches,
    _memory: kernel::pages::Registration,
}

impl ::kernel::Module for Vmtp {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let memory = kernel::pages::Registration::new()?;
        let caches = host::Caches::new()?;
        let hosts = host::register()?;
        let protocol = host::receive::register()?;
        let interfaces = host::links::watch()?;
        let family = socket::register(module)?;
        Ok(Self {
            _family: family,
            _interfaces: interfaces,
            _protocol: protocol,
            _hosts: hosts,
            _caches: caches,
            _memory: memory,
        })
    }
}
