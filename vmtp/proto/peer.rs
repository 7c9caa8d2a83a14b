// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The network address of a host, opaque to the protocol: it is stored, compared and handed back.

/// Where a host is. The layout is that of `struct vmtp_host` in the UAPI header, so that IPv6 and
/// encapsulations over UDP need no change here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct Peer {
    /// Address family of the host's system, 0 for "not known".
    pub family: u16,
    /// Port of an encapsulation in network byte order, 0 over plain IP.
    pub port: [u8; 2],
    /// Interface through which alone the host is reached, or 0.
    pub interface: u32,
    /// The address in network order, the rest zero.
    pub address: [u8; 16],
}

impl Peer {
    /// Address family of IPv4 on every system this project runs on.
    pub const INET: u16 = 2;

    /// No host.
    pub const NONE: Peer = Peer {
        family: 0,
        port: [0; 2],
        interface: 0,
        address: [0; 16],
    };

    /// The host with an IPv4 address.
    #[inline]
    pub const fn inet([a, b, c, d]: [u8; 4]) -> Peer {
        Peer {
            family: Peer::INET,
            port: [0; 2],
            interface: 0,
            address: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }

    /// The IPv4 address, if it is one.
    #[inline]
    pub const fn as_inet(&self) -> Option<[u8; 4]> {
        let [a, b, c, d, ..] = self.address;
        if self.family == Peer::INET {
            Some([a, b, c, d])
        } else {
            None
        }
    }

    /// Whether both are one address, whatever the interface.
    #[inline]
    pub fn is_same_host(&self, other: &Peer) -> bool {
        self.family == other.family && self.address == other.address
    }

    /// Whether this names a host at all.
    #[inline]
    pub const fn is_known(&self) -> bool {
        self.family != 0
    }
}
