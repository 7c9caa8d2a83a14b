// SPDX-License-Identifier: GPL-2.0

//! The kernel module: what is registered in which order, and nothing else.

use ::kernel::prelude::*;

mod bindings;
mod kernel;
mod skeleton;

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
    _family: kernel::family::Registration<skeleton::Socket>,
    _protocol: kernel::protocol::Registration<skeleton::Input>,
    _hosts: kernel::pernet::Registration<skeleton::Host>,
}

impl ::kernel::Module for Vmtp {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let hosts = kernel::pernet::PerNet::<skeleton::Host>::register()?;
        let protocol = kernel::protocol::Protocol::<skeleton::Input>::register()?;
        let family = kernel::family::Family::<skeleton::Socket>::register(module)?;
        Ok(Self { _family: family, _protocol: protocol, _hosts: hosts })
    }
}
