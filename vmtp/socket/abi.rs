// SPDX-License-Identifier: GPL-2.0

//! What crosses the border to programs, turned into the protocol's terms and back: names, hosts, message control blocks.

use crate::bindings::{self as uapi, sockaddr_vmtp, vmtp_host, vmtp_mcb};
use crate::kernel::errno::Errno;
use crate::kernel::family::SocketName;
use crate::proto::peer::Peer;
use crate::proto::wire::{Code, Control, Entity, Header, Mcb, Priority, Transaction};
use kernel::prelude::*;
use kernel::transmute::{AsBytes, FromBytes};

/// The flags a program may set.
const FLAGS: u32 = uapi::VMTP_F_APG
    | uapi::VMTP_F_NRT
    | uapi::VMTP_F_DRT
    | uapi::VMTP_F_HCO
    | uapi::VMTP_F_PRIORITY
    | uapi::VMTP_F_GROUP_RESPONSE
    | uapi::VMTP_F_ABANDON
    | uapi::VMTP_F_MDG;

/// What a sockaddr names.
#[derive(Clone, Copy)]
pub struct Name {
    /// The domain of the entity; 0 is the socket's own.
    pub domain: u16,
    /// The entity.
    pub entity: Entity,
    /// Where it is, if the program says so.
    pub peer: Peer,
}

/// The name in a sockaddr. EINVAL, EAFNOSUPPORT.
pub fn name_in(octets: &[u8]) -> Result<Name> {
    const MIN: usize = uapi::VMTP_SOCKADDR_MIN as usize;
    let mut whole = [0u8; size_of::<sockaddr_vmtp>()];
    let given = if octets.len() >= whole.len() {
        whole.len()
    } else {
        MIN
    };
    let from = octets.get(..given).ok_or(EINVAL)?;
    whole
        .iter_mut()
        .zip(from)
        .for_each(|(to, from)| *to = *from);
    let name = sockaddr_vmtp::from_bytes_copy(&whole).ok_or(EINVAL)?;
    if u32::from(name.svmtp_family) != uapi::AF_VMTP {
        return Err(Errno::EAFNOSUPPORT.into());
    }
    if name.svmtp_reserved != 0 {
        return Err(EINVAL);
    }
    Ok(Name {
        domain: name.svmtp_domain,
        entity: Entity::from_bits(name.svmtp_entity),
        peer: host_in(&name.svmtp_host)?,
    })
}

/// The sockaddr of an entity.
pub fn name_out(domain: u16, entity: Entity, peer: &Peer) -> SocketName {
    SocketName::new(name_struct(domain, entity, peer).as_bytes())
}

/// The same as the struct.
pub fn name_struct(domain: u16, entity: Entity, peer: &Peer) -> sockaddr_vmtp {
    sockaddr_vmtp {
        svmtp_family: uapi::AF_VMTP as u16,
        svmtp_domain: domain,
        svmtp_reserved: 0,
        svmtp_entity: entity.bits(),
        svmtp_host: host_out(peer),
    }
}

/// Where a program says that a host is. EAFNOSUPPORT, EINVAL.
pub fn host_in(host: &vmtp_host) -> Result<Peer> {
    match host.family {
        0 => Ok(Peer::NONE),
        Peer::INET => {
            let [a, b, c, d, rest @ ..] = host.address;
            if host.port != 0 || rest.iter().any(|octet| *octet != 0) {
                return Err(EINVAL);
            }
            Ok(Peer {
                interface: host.interface,
                ..Peer::inet([a, b, c, d])
            })
        }
        _ => Err(Errno::EAFNOSUPPORT.into()),
    }
}

/// Where a host is, for a program.
pub fn host_out(peer: &Peer) -> vmtp_host {
    vmtp_host {
        family: peer.family,
        port: u16::from_ne_bytes(peer.port),
        interface: peer.interface,
        address: peer.address,
    }
}

/// A message control block from a program, of a Response or of a Request, with a segment of `octets` octets; what it says
/// itself of its function does not matter. EINVAL.
pub fn mcb_in(mcb: &vmtp_mcb, response: bool, octets: u32) -> Result<Mcb> {
    const RES: u32 = 0x0800_0000;
    if mcb.code & RES != 0 || u32::from(mcb.flags) & !FLAGS != 0 {
        return Err(EINVAL);
    }
    let code = Code::from_bits(mcb.code).without(Code::SDA);
    let mut user = [0u8; 20];
    for (to, word) in user.chunks_exact_mut(4).zip(mcb.user) {
        to.iter_mut()
            .zip(word.to_be_bytes())
            .for_each(|(to, from)| *to = from);
    }
    let block = Mcb {
        code: if octets == 0 {
            code
        } else {
            code.with(Code::SDA)
        },
        user,
        message_delivery: mcb.msg_delivery,
        segment_size: if octets == 0 {
            mcb.segment_size
        } else {
            octets
        },
    };
    let coresident = code.has(Code::CRE) && !response;
    Ok(if coresident {
        block.with_coresident(Entity::from_bits(mcb.coresident))
    } else {
        block
    })
}

/// The control flags that a program asks for.
pub fn flags_in(mcb: &vmtp_mcb) -> u32 {
    let flags = u32::from(mcb.flags);
    let mut bits = 0;
    for (flag, bit) in [
        (uapi::VMTP_F_APG, Control::APG),
        (uapi::VMTP_F_NRT, Control::NRT),
        (uapi::VMTP_F_DRT, Control::DRT),
    ] {
        if flags & flag != 0 {
            bits |= bit;
        }
    }
    bits
}

/// Whether a program set this flag.
pub fn has_flag(mcb: &vmtp_mcb, flag: u32) -> bool {
    u32::from(mcb.flags) & flag != 0
}

/// The priority that a program asks for.
pub fn priority_in(mcb: &vmtp_mcb) -> Result<Option<Priority>> {
    if !has_flag(mcb, uapi::VMTP_F_PRIORITY) {
        return Ok(None);
    }
    Priority::from_bits(mcb.priority).map(Some).ok_or(EINVAL)
}

/// The message control block of a packet that was received, for a program.
pub fn mcb_out(header: &Header, transaction: Transaction) -> vmtp_mcb {
    let mut user = [0u32; 5];
    for (to, from) in user.iter_mut().zip(header.user.chunks_exact(4)) {
        if let Some(word) = from.first_chunk::<4>() {
            *to = u32::from_be_bytes(*word);
        }
    }
    let control = header.control;
    let mut flags = 0;
    for (flag, bit) in [
        (uapi::VMTP_F_APG, Control::APG),
        (uapi::VMTP_F_NRT, Control::NRT),
        (uapi::VMTP_F_DRT, Control::DRT),
        (uapi::VMTP_F_MDG, Control::MDG),
    ] {
        if control.has(bit) {
            flags |= flag;
        }
    }
    if header.hco {
        flags |= uapi::VMTP_F_HCO;
    }
    let coresident = !header.is_response() && header.code.has(Code::CRE);
    vmtp_mcb {
        server: header.server.bits(),
        client: header.client.bits(),
        coresident: if coresident {
            header.coresident().bits()
        } else {
            0
        },
        code: header.code.bits(),
        transaction: transaction.bits(),
        user,
        msg_delivery: header.message_delivery,
        segment_size: header.segment_size,
        forward_count: control.forward_count(),
        priority: control.priority().bits(),
        function: if header.is_response() {
            uapi::VMTP_RESPONSE
        } else {
            uapi::VMTP_REQUEST
        } as u8,
        flags: flags as u8,
    }
}
