// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A UDP port at all addresses of the host, whose answers come from the address that was asked: from
//! another, which the route would choose, the caller would not take them.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{recvmsg, sendmsg, setsockopt, sockopt::Ipv4PacketInfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn};

/// The port.
#[derive(Debug)]
pub struct Door(UdpSocket);

/// Who sent a datagram, and which of our addresses is to answer.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    from: SocketAddrV4,
    ours: in_pktinfo,
}

impl Caller {
    /// Who sent it.
    pub fn from(&self) -> SocketAddrV4 {
        self.from
    }
}

impl Door {
    /// A port; 0 is any.
    pub fn open(port: u16) -> io::Result<Door> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
        setsockopt(&socket, Ipv4PacketInfo, &true)?;
        Ok(Door(socket))
    }

    /// Its number.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.0.local_addr()?.port())
    }

    /// The next datagram: its octets, as many as there is room for, and who sent it.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<(&'a [u8], Caller)> {
        let mut control = cmsg_space!(in_pktinfo);
        let mut parts = [IoSliceMut::new(buffer)];
        let received = recvmsg::<SockaddrIn>(
            self.0.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        let ours = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(info.ipi_spec_dst),
            _ => None,
        });
        let (octets, Some(from), Some(address)) = (received.bytes, received.address, ours) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let caller = Caller {
            from: from.into(),
            ours: in_pktinfo {
                ipi_ifindex: 0, // the route's
                ipi_spec_dst: address,
                ipi_addr: in_addr { s_addr: 0 },
            },
        };
        Ok((buffer.get(..octets).unwrap_or_default(), caller))
    }

    /// Answers a datagram. That the caller has gone is his own business.
    pub fn answer(&self, octets: &[u8], caller: &Caller) {
        let _ = sendmsg(
            self.0.as_raw_fd(),
            &[IoSlice::new(octets)],
            &[ControlMessage::Ipv4PacketInfo(&caller.ours)],
            MsgFlags::empty(),
            Some(&SockaddrIn::from(caller.from)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked() {
        let door = Door::open(0).unwrap();
        for asked in [[127, 0, 0, 1], [127, 9, 9, 9]] {
            let caller = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            // From then on it hears nobody else.
            let to = SocketAddrV4::new(asked.into(), door.port().unwrap());
            caller.connect(to).unwrap();
            caller
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            caller.send(b"question").unwrap();
            let mut buffer = [0; 100];
            let (octets, from) = door.receive(&mut buffer).unwrap();
            assert_eq!(octets, b"question");
            assert_eq!(from.from(), to_v4(caller.local_addr().unwrap()));
            door.answer(b"answer", &from);
            let mut buffer = [0; 100];
            assert_eq!(caller.recv(&mut buffer).unwrap(), 6);
        }
    }

    fn to_v4(address: std::net::SocketAddr) -> SocketAddrV4 {
        match address {
            std::net::SocketAddr::V4(address) => address,
            std::net::SocketAddr::V6(_) => unreachable!("bound to IPv4"),
        }
    }
}
