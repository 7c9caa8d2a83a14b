// SPDX-License-Identifier: GPL-2.0

//! An IPv4 protocol: its packets and the ICMP errors about it. Where a packet goes is the receiver's business.

use super::net::Net;
use super::skb::Skb;
use super::skb_part::{part, Parts};
use crate::bindings;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::net::Ipv4Addr;
use kernel::error::Result;
use kernel::ffi;

/// Who takes a protocol's packets. All calls may come in softirq, inside an RCU read section.
pub trait Receiver: 'static {
    /// The protocol's number.
    const PROTOCOL: u8;
    /// The one `Protocol` of this type, a static.
    fn storage() -> &'static Protocol<Self>;
    /// A packet. Its data starts behind the IP header; IPsec policy was checked.
    fn receive(net: &Net, skb: Skb);
    /// Parts a long packet (`skb_part`) into packets of at most `octets` of IP payload. Its data starts behind the IP header,
    /// and what it has of the protocol's own header is linear up to 64 octets.
    fn part(whole: &Skb, octets: u32, parts: &mut Parts<'_>) -> Result;
    /// ICMP says something of a packet that this host sent. Path MTU and redirects are already noted in the routes.
    fn error(net: &Net, error: &IcmpError<'_>);
}

/// An ICMP error.
pub struct IcmpError<'a> {
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// The MTU for "fragmentation needed", else as the type says.
    pub info: u32,
    /// Where our packet came from.
    pub source: Ipv4Addr,
    /// Where our packet went to.
    pub destination: Ipv4Addr,
    /// Our packet from behind its IP header, as much of it as was quoted: at least 8 octets, not checked in any way.
    pub quoted: &'a [u8],
}

/// ICMP type "destination unreachable".
pub const ICMP_DEST_UNREACH: u8 = bindings::ICMP_DEST_UNREACH as u8;
/// Its code "fragmentation needed".
pub const ICMP_FRAG_NEEDED: u8 = bindings::ICMP_FRAG_NEEDED as u8;
/// Its code "protocol unreachable".
pub const ICMP_PROT_UNREACH: u8 = bindings::ICMP_PROT_UNREACH as u8;
/// Its code "host unreachable".
pub const ICMP_HOST_UNREACH: u8 = bindings::ICMP_HOST_UNREACH as u8;
/// Its code "network unreachable".
pub const ICMP_NET_UNREACH: u8 = bindings::ICMP_NET_UNREACH as u8;

/// The registration's storage.
pub struct Protocol<R: ?Sized> {
    ops: UnsafeCell<bindings::net_protocol>,
    _receiver: PhantomData<fn() -> *const R>,
}

// SAFETY: written only before it is registered.
unsafe impl<R: ?Sized> Sync for Protocol<R> {}

impl<R: Receiver> Protocol<R> {
    /// Not yet registered.
    pub const fn new() -> Self {
        Self {
            // SAFETY: optional functions and numbers, for which zero is a value; `no_policy` 0 lets IPsec policy be checked.
            ops: UnsafeCell::new(unsafe { core::mem::zeroed() }),
            _receiver: PhantomData,
        }
    }

    /// Packets may come from now on. EADDRINUSE if another module has the protocol.
    pub fn register() -> Result<Registration<R>> {
        let ops = R::storage().ops.get();
        // SAFETY: not registered, thus nobody reads it.
        unsafe {
            (*ops).handler = Some(receive::<R>);
            (*ops).err_handler = Some(error::<R>);
        }
        // SAFETY: `ops` is static, as what parts packets is. The C side says -1 if the place is taken.
        unsafe {
            if bindings::vmtp_helper_trains_begin(R::PROTOCOL, Some(part::<R>)) != 0 {
                return Err(super::errno::Errno::EADDRINUSE.into());
            }
            if bindings::inet_add_protocol(ops, R::PROTOCOL) != 0 {
                bindings::vmtp_helper_trains_end(R::PROTOCOL);
                return Err(super::errno::Errno::EADDRINUSE.into());
            }
        }
        Ok(Registration(PhantomData))
    }
}

/// Ends the registration when dropped: sleeps until no packet is inside any more.
pub struct Registration<R: Receiver>(PhantomData<fn() -> R>);

impl<R: Receiver> Drop for Registration<R> {
    fn drop(&mut self) {
        // SAFETY: it was registered. The C side waits with synchronize_net.
        unsafe {
            bindings::inet_del_protocol(R::storage().ops.get(), R::PROTOCOL);
            bindings::vmtp_helper_trains_end(R::PROTOCOL);
        }
    }
}

unsafe extern "C" fn receive<R: Receiver>(skb: *mut bindings::sk_buff) -> ffi::c_int {
    // SAFETY: IP gives the sk_buff away, with its device set.
    let (net, skb) = unsafe {
        (
            Net::from_raw(bindings::vmtp_helper_skb_dev_net(skb)),
            Skb::from_raw(skb),
        )
    };
    R::receive(net, skb);
    // A negative value would send the packet through IP again as another protocol.
    0
}

unsafe extern "C" fn error<R: Receiver>(skb: *mut bindings::sk_buff, info: u32) -> ffi::c_int {
    const IP: usize = 20;
    // SAFETY: ICMP lends the sk_buff with the quoted IP header and 8 octets more at its data, linear. The pull can
    // move the data, so `data` and the ICMP header are read after it.
    unsafe {
        let net = Net::from_raw(bindings::vmtp_helper_skb_dev_net(skb));
        let icmp = bindings::vmtp_helper_icmp_hdr(skb);
        let (kind, code) = (*icmp, *icmp.add(1));
        if kind == ICMP_DEST_UNREACH && code == ICMP_FRAG_NEEDED {
            bindings::ipv4_update_pmtu(skb, net.as_raw(), info, 0, R::PROTOCOL);
        } else if kind == bindings::ICMP_REDIRECT as u8 {
            bindings::ipv4_redirect(skb, net.as_raw(), 0, R::PROTOCOL);
        }
        let linear = ((*skb).len as usize).wrapping_sub((*skb).data_len as usize);
        let data = core::slice::from_raw_parts((*skb).data.cast_const(), linear);
        let (Some(header), Some(first)) = (data.first_chunk::<IP>(), data.first()) else {
            return 0;
        };
        let Some(quoted) = data.get(usize::from(first & 15).wrapping_mul(4)..) else {
            return 0;
        };
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
        R::error(
            net,
            &IcmpError {
                kind,
                code,
                info,
                source: Ipv4Addr::new(s0, s1, s2, s3),
                destination: Ipv4Addr::new(d0, d1, d2, d3),
                quoted,
            },
        );
    }
    0
}
