// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where a host is: `struct vmtp_host` as a value. Not a name of anything; entities have those.

use std::fmt;
use std::net::Ipv4Addr;

use crate::sys;

const AF_INET: u16 = libc::AF_INET as u16;

/// Where a host is on the network, or nothing, which lets the kernel find the entity by itself.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Host(pub(crate) sys::vmtp_host);

impl Host {
    /// Nowhere said: the kernel uses its cache, the address in the identifier, or asks around.
    pub const UNKNOWN: Host = Host(sys::vmtp_host {
        family: 0,
        port: 0,
        interface: 0,
        address: [0; 16],
    });

    /// The same host, by way of the network interface with this index (0: any).
    pub const fn via_interface(mut self, index: u32) -> Host {
        self.0.interface = index;
        self
    }

    /// Its IPv4 address, if it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        let [a, b, c, d, ..] = self.0.address;
        (self.0.family == AF_INET).then(|| Ipv4Addr::new(a, b, c, d))
    }

    /// The index of the network interface, or 0.
    pub const fn interface(&self) -> u32 {
        self.0.interface
    }

    /// The port of an encapsulation; 0 over plain IP.
    pub const fn port(&self) -> u16 {
        u16::from_be(self.0.port)
    }
}

impl From<Ipv4Addr> for Host {
    fn from(address: Ipv4Addr) -> Host {
        let mut host = sys::vmtp_host {
            family: AF_INET,
            ..Default::default()
        };
        for (octet, value) in host.address.iter_mut().zip(address.octets()) {
            *octet = value;
        }
        Host(host)
    }
}

/// The address, or `?` if it is not known.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => fmt::Display::fmt(&address, f),
            None => f.pad("?"),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}%{}", self.interface())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_host_is_in_the_first_four_octets() {
        let host = Host::from(Ipv4Addr::new(10, 0, 0, 2)).via_interface(3);
        assert_eq!(host.0.family, 2);
        assert_eq!(
            host.0.address,
            [10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            (host.address(), host.interface()),
            (Some(Ipv4Addr::new(10, 0, 0, 2)), 3)
        );
        assert_eq!(
            (Host::UNKNOWN.address(), Host::UNKNOWN.to_string()),
            (None, "?".to_string())
        );
    }
}
