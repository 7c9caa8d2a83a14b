// SPDX-License-Identifier: GPL-2.0

//! A family, a protocol and a namespace's state that do nothing yet. `host` and `socket` take their place.

use crate::kernel::family::{Family, Sock, SocketOps};
use crate::kernel::net::Net;
use crate::kernel::output::ControlSocket;
use crate::kernel::pernet::{NetState, PerNet};
use crate::kernel::protocol::{IcmpError, Protocol, Receiver};
use crate::kernel::skb::{DropReason, Skb};
use crate::kernel::sock::Sk;
use ::kernel::prelude::*;

const IPPROTO_VMTP: u8 = 81;

/// The VMTP part of a socket.
#[pin_data]
pub(crate) struct Socket {}

static FAMILY: Family<Socket> = Family::new();

impl SocketOps for Socket {
    const FAMILY: u32 = 18;
    const TYPE: u32 = 4;
    const PROTOCOL: u8 = IPPROTO_VMTP;
    const NAME: &'static CStr = c"VMTP";

    fn storage() -> &'static Family<Self> {
        &FAMILY
    }

    fn create(_net: &Net, _sk: &Sk) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {}? Error)
    }

    fn release(_sock: &Sock<Self>) {}
}

/// The state of a namespace.
#[pin_data]
pub(crate) struct Host {
    /// Sends what no user's socket sends.
    _control: ControlSocket,
}

static HOSTS: PerNet<Host> = PerNet::new();

impl NetState for Host {
    fn storage() -> &'static PerNet<Self> {
        &HOSTS
    }

    fn init(net: &Net) -> impl PinInit<Self, Error> {
        let control = ControlSocket::new(net, IPPROTO_VMTP, true);
        try_pin_init!(Self { _control: control? }? Error)
    }

    fn pre_exit(&self, _net: &Net) {}
}

/// Takes protocol 81's packets.
pub(crate) struct Input;

static PROTOCOL: Protocol<Input> = Protocol::new();

impl Receiver for Input {
    const PROTOCOL: u8 = IPPROTO_VMTP;

    fn storage() -> &'static Protocol<Self> {
        &PROTOCOL
    }

    fn receive(net: &Net, skb: Skb) {
        match PerNet::<Host>::get(net) {
            Some(_host) => skb.discard(DropReason::NoSocket),
            None => skb.discard(DropReason::NotSpecified),
        }
    }

    fn error(_net: &Net, _error: &IcmpError<'_>) {}
}
