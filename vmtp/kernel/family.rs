// SPDX-License-Identifier: GPL-2.0

//! A socket family with one type of socket: the C tables of functions, made once for a Rust type that handles the
//! system calls. What a socket means is that type's; what any `struct sock` can do is `sock`.

use super::errno::Errno;
use super::message::{no_such_option, Message, OptionResult, OptionValue};
use super::net::Net;
use super::sock::Sk;
use crate::bindings;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::{null_mut, NonNull};
use kernel::error::{from_result, to_result};
use kernel::ffi;
use kernel::prelude::*;
use kernel::sync::aref::{ARef, AlwaysRefCounted};

/// The name of a socket, as getsockname gives it.
pub struct SocketName {
    octets: [u8; 64],
    length: usize,
}

impl SocketName {
    /// At most 64 octets; the rest is cut.
    pub fn new(name: &[u8]) -> Self {
        let mut octets = [0; 64];
        let length = name.len().min(octets.len());
        octets
            .iter_mut()
            .zip(name)
            .for_each(|(to, from)| *to = *from);
        Self { octets, length }
    }
}

/// What shutdown closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// SHUT_RD.
    Receiving,
    /// SHUT_WR.
    Sending,
    /// SHUT_RDWR.
    Both,
}

/// The Rust part of a socket, and its system calls. All are process context and may sleep, unless said otherwise; none
/// holds a lock when it is called, so several threads can be in one socket at a time.
///
/// The part is embedded in the `struct sock` behind its inet_sock: never copy user memory directly from or to it
/// (hardened usercopy), go through the stack.
pub trait SocketOps: Sized + Send + Sync + 'static {
    /// AF_*.
    const FAMILY: u32;
    /// SOCK_*.
    const TYPE: u32;
    /// The protocol's number, beside 0.
    const PROTOCOL: u8;
    /// In /proc/net/protocols.
    const NAME: &'static CStr;

    /// The one `Family` of this type, a static.
    fn storage() -> &'static Family<Self>;

    /// A socket is made; `sk` is complete but for this part.
    fn create(net: &Net, sk: &Sk) -> impl PinInit<Self, Error>;

    /// The last descriptor is closed. Packets in flight may still hold references: `drop` comes later, in any context.
    /// Joined groups are left after it.
    fn release(sock: &Sock<Self>);

    /// bind. `name` is what the program gave, uninterpreted.
    fn bind(_sock: &Sock<Self>, _name: &[u8]) -> Result {
        Err(Errno::EOPNOTSUPP.into())
    }

    /// connect.
    fn connect(_sock: &Sock<Self>, _name: &[u8]) -> Result {
        Err(Errno::EOPNOTSUPP.into())
    }

    /// getpeername (`peer`) or getsockname.
    fn name(_sock: &Sock<Self>, _peer: bool) -> Result<SocketName> {
        Err(Errno::EOPNOTSUPP.into())
    }

    /// sendmsg: how many octets were taken. `length` is what `message.source()` has.
    fn send(_sock: &Sock<Self>, _message: &mut Message, _length: usize) -> Result<usize> {
        Err(Errno::EOPNOTSUPP.into())
    }

    /// recvmsg: how many octets were given. `flags` are MSG_*, MSG_DONTWAIT included for non-blocking descriptors.
    fn receive(
        _sock: &Sock<Self>,
        _message: &mut Message,
        _length: usize,
        _flags: u32,
    ) -> Result<usize> {
        Err(Errno::EOPNOTSUPP.into())
    }

    /// poll: the `wait::poll` bits that hold now. Waking is [`Sk::data_ready`]'s and its like. Must not sleep.
    fn poll(_sock: &Sock<Self>) -> u32 {
        0
    }

    /// ioctl of this family; `argument` is a number or a user address. ENOIOCTLCMD for unknown ones. `nonblocking` says
    /// whether the descriptor has O_NONBLOCK.
    fn ioctl(
        _sock: &Sock<Self>,
        _command: u32,
        _argument: usize,
        _compat: bool,
        _nonblocking: bool,
    ) -> Result<isize> {
        Err(ENOIOCTLCMD)
    }

    /// setsockopt of any level but SOL_SOCKET.
    fn set_option(_sock: &Sock<Self>, _level: i32, _name: i32, _value: &OptionValue) -> Result {
        no_such_option()
    }

    /// getsockopt of any level but SOL_SOCKET.
    fn get_option(
        _sock: &Sock<Self>,
        _level: i32,
        _name: i32,
        _result: &mut OptionResult<'_>,
    ) -> Result {
        no_such_option()
    }

    /// shutdown. [`Sk::shut_down`] does what is the same in every family.
    fn shutdown(_sock: &Sock<Self>, _how: Shutdown) -> Result {
        Err(Errno::EOPNOTSUPP.into())
    }
}

/// A socket with its Rust part.
///
/// # Invariants
///
/// `inet` was initialised by `sk_alloc` and `sock_init_data`, `part` by [`SocketOps::create`]; both stay until
/// `sk_destruct`.
#[repr(C)]
pub struct Sock<T> {
    inet: MaybeUninit<UnsafeCell<bindings::inet_sock>>,
    part: T,
}

// SAFETY: `inet` is only reached through `Sk`, which is `Sync`.
unsafe impl<T: Send> Send for Sock<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Sock<T> {}

impl<T: SocketOps> Sock<T> {
    /// # Safety
    ///
    /// `sk` is one of this family's, complete, and stays for `'a`.
    unsafe fn from_sk<'a>(sk: *mut bindings::sock) -> &'a Self {
        // SAFETY: by the caller's promise; the sock is the first thing in an inet_sock, that in a Sock.
        unsafe { &*sk.cast() }
    }

    /// The general socket.
    #[inline]
    pub fn sk(&self) -> &Sk {
        // SAFETY: the sock is the first thing in the inet_sock, and lives as long as `self`.
        unsafe { Sk::from_raw((&raw const self.inet).cast_mut().cast()) }
    }

    /// The Rust part, pinned.
    #[inline]
    pub fn part(&self) -> Pin<&T> {
        // SAFETY: it never moves.
        unsafe { Pin::new_unchecked(&self.part) }
    }

    /// A counted reference to it. Any context.
    pub fn to_ref(&self) -> ARef<Self> {
        self.into()
    }
}

impl<T: SocketOps> Deref for Sock<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.part
    }
}

// SAFETY: the socket's own count keeps it.
unsafe impl<T: SocketOps> AlwaysRefCounted for Sock<T> {
    fn inc_ref(&self) {
        // SAFETY: valid.
        unsafe { bindings::vmtp_helper_sock_hold(self.sk().as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: the caller gives up its count.
        unsafe { bindings::vmtp_helper_sock_put(obj.as_ptr().cast()) };
    }
}

/// The C tables of a family; a static.
pub struct Family<T> {
    family: UnsafeCell<bindings::net_proto_family>,
    ops: UnsafeCell<bindings::proto_ops>,
    proto: UnsafeCell<bindings::proto>,
    _part: PhantomData<fn() -> T>,
}

// SAFETY: written only before it is registered; then C's own locks protect it.
unsafe impl<T> Sync for Family<T> {}

impl<T: SocketOps> Family<T> {
    /// Not yet registered.
    pub const fn new() -> Self {
        const { assert!(core::mem::align_of::<Sock<T>>() <= 64) };
        // SAFETY: of all three zero is a value: pointers, optional functions, numbers.
        unsafe {
            Self {
                family: UnsafeCell::new(core::mem::zeroed()),
                ops: UnsafeCell::new(core::mem::zeroed()),
                proto: UnsafeCell::new(core::mem::zeroed()),
                _part: PhantomData,
            }
        }
    }

    /// Sockets may be made from now on; each holds `module`. EADDRINUSE or EEXIST if the family is taken.
    pub fn register(module: &'static ThisModule) -> Result<Registration<T>> {
        let this = T::storage();
        let owner = module.as_ptr().cast();
        // SAFETY: not registered, thus nobody reads them.
        unsafe {
            *this.family.get() = bindings::net_proto_family {
                family: T::FAMILY as ffi::c_int,
                create: Some(create::<T>),
                owner,
            };
            Self::fill_ops(&mut *this.ops.get(), owner);
            let proto = &mut *this.proto.get();
            for (to, from) in proto
                .name
                .iter_mut()
                .zip(T::NAME.to_bytes().iter().take(31))
            {
                *to = *from;
            }
            proto.owner = owner;
            proto.obj_size = core::mem::size_of::<Sock<T>>() as u32;
            bindings::vmtp_helper_proto_memory(proto);
            to_result(bindings::proto_register(proto, 1))?;
            if let Err(error) = to_result(bindings::sock_register(this.family.get())) {
                bindings::proto_unregister(proto);
                return Err(error);
            }
        }
        Ok(Registration(PhantomData))
    }

    fn fill_ops(ops: &mut bindings::proto_ops, owner: *mut bindings::module) {
        ops.family = T::FAMILY as ffi::c_int;
        ops.owner = owner;
        ops.release = Some(release::<T>);
        ops.bind = Some(bind::<T>);
        ops.connect = Some(connect::<T>);
        ops.getname = Some(getname::<T>);
        ops.poll = Some(poll::<T>);
        ops.ioctl = Some(ioctl::<T, false>);
        ops.compat_ioctl = Some(ioctl::<T, true>);
        ops.shutdown = Some(shutdown::<T>);
        ops.setsockopt = Some(setsockopt::<T>);
        ops.getsockopt_iter = Some(getsockopt::<T>);
        ops.sendmsg = Some(sendmsg::<T>);
        ops.recvmsg = Some(recvmsg::<T>);
        ops.gettstamp = Some(bindings::sock_gettstamp);
        ops.socketpair = Some(bindings::sock_no_socketpair);
        ops.accept = Some(bindings::sock_no_accept);
        ops.listen = Some(bindings::sock_no_listen);
        ops.mmap = Some(bindings::sock_no_mmap);
    }
}

/// Ends the registration when dropped. There are no sockets then: each holds the module. Sleeps.
pub struct Registration<T: SocketOps>(PhantomData<fn() -> T>);

impl<T: SocketOps> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: registered by the type's construction.
        unsafe {
            bindings::sock_unregister(T::FAMILY as ffi::c_int);
            bindings::proto_unregister(T::storage().proto.get());
        }
    }
}

unsafe extern "C" fn create<T: SocketOps>(
    net: *mut bindings::net,
    socket: *mut bindings::socket,
    protocol: ffi::c_int,
    kern: ffi::c_int,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: the socket layer calls with a namespace and a socket being made.
        unsafe {
            if (*socket).type_ as u32 != T::TYPE {
                return Err(Errno::ESOCKTNOSUPPORT.into());
            }
            if protocol != 0 && protocol != ffi::c_int::from(T::PROTOCOL) {
                return Err(Errno::EPROTONOSUPPORT.into());
            }
            let storage = T::storage();
            let flags = super::gfp(GFP_KERNEL);
            let sk = bindings::sk_alloc(
                net,
                T::FAMILY as ffi::c_int,
                flags,
                storage.proto.get(),
                kern,
            );
            if sk.is_null() {
                return Err(ENOMEM);
            }
            bindings::sock_init_data(socket, sk);
            (*socket).state = bindings::socket_state_SS_UNCONNECTED;
            (*socket).ops = storage.ops.get();
            (*sk).sk_protocol = u16::from(T::PROTOCOL);
            (*sk).sk_destruct = Some(bindings::inet_sock_destruct);
            bindings::vmtp_helper_inet_sock_init(sk);
            let part = &raw mut (*sk.cast::<Sock<T>>()).part;
            // The memory behind the inet_sock is ours, aligned as the slab is, and stays until `destruct`.
            if let Err(error) = T::create(Net::from_raw(net), Sk::from_raw(sk)).__pinned_init(part)
            {
                bindings::vmtp_helper_sock_orphan(sk);
                (*socket).sk = null_mut();
                bindings::vmtp_helper_sock_put(sk);
                return Err(error);
            }
            (*sk).sk_destruct = Some(destruct::<T>);
            Ok(0)
        }
    })
}

unsafe extern "C" fn destruct<T: SocketOps>(sk: *mut bindings::sock) {
    // SAFETY: the last reference is gone, the part was initialised, and only C looks at the rest from now on. The part
    // goes first: packets in its queues are charged to the socket.
    unsafe {
        core::ptr::drop_in_place(&raw mut (*sk.cast::<Sock<T>>()).part);
        bindings::inet_sock_destruct(sk);
    }
}

unsafe extern "C" fn release<T: SocketOps>(socket: *mut bindings::socket) -> ffi::c_int {
    // SAFETY: the socket layer calls once, when nobody else is in a call on the socket.
    unsafe {
        let sk = (*socket).sk;
        if !sk.is_null() {
            let sock = Sock::<T>::from_sk(sk);
            T::release(sock);
            sock.sk().leave_all_groups();
            bindings::vmtp_helper_sock_orphan(sk);
            (*socket).sk = null_mut();
            bindings::vmtp_helper_sock_put(sk);
        }
    }
    0
}

/// The socket of a system call.
///
/// # Safety
///
/// `socket` is one of this family's, in a call.
unsafe fn sock<'a, T: SocketOps>(socket: *mut bindings::socket) -> &'a Sock<T> {
    // SAFETY: a call holds the socket, which has its sock until `release`.
    unsafe { Sock::from_sk((*socket).sk) }
}

/// A name that a program gave.
///
/// # Safety
///
/// There are `length` octets of kernel memory at `name`, or it is negative.
unsafe fn name<'a>(name: *const bindings::sockaddr_unsized, length: ffi::c_int) -> &'a [u8] {
    match usize::try_from(length) {
        // SAFETY: by the caller's promise.
        Ok(length) if !name.is_null() => unsafe {
            core::slice::from_raw_parts(name.cast(), length)
        },
        _ => &[],
    }
}

unsafe extern "C" fn bind<T: SocketOps>(
    socket: *mut bindings::socket,
    address: *mut bindings::sockaddr_unsized,
    length: ffi::c_int,
) -> ffi::c_int {
    // SAFETY: called by the socket layer.
    from_result(|| unsafe { T::bind(sock(socket), name(address, length)).map(|()| 0) })
}

unsafe extern "C" fn connect<T: SocketOps>(
    socket: *mut bindings::socket,
    address: *mut bindings::sockaddr_unsized,
    length: ffi::c_int,
    _flags: ffi::c_int,
) -> ffi::c_int {
    // SAFETY: called by the socket layer.
    from_result(|| unsafe { T::connect(sock(socket), name(address, length)).map(|()| 0) })
}

unsafe extern "C" fn getname<T: SocketOps>(
    socket: *mut bindings::socket,
    address: *mut bindings::sockaddr,
    peer: ffi::c_int,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: called by the socket layer.
        let name = T::name(unsafe { sock(socket) }, peer != 0)?;
        // SAFETY: the socket layer gives a sockaddr_storage, which is longer than 64 octets.
        unsafe {
            core::ptr::copy_nonoverlapping(name.octets.as_ptr(), address.cast(), name.length)
        };
        Ok(name.length as ffi::c_int)
    })
}

unsafe extern "C" fn poll<T: SocketOps>(
    file: *mut bindings::file,
    socket: *mut bindings::socket,
    wait: *mut bindings::poll_table_struct,
) -> bindings::__poll_t {
    // SAFETY: called by the socket layer. Being queued first, no wake-up between the look and the wait is lost.
    unsafe {
        bindings::vmtp_helper_sock_poll_wait(file, socket, wait);
        T::poll(sock(socket))
    }
}

unsafe extern "C" fn ioctl<T: SocketOps, const COMPAT: bool>(
    socket: *mut bindings::socket,
    command: ffi::c_uint,
    argument: ffi::c_ulong,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: called by the socket layer; its file may be missing for a socket of the kernel.
        let (sock, nonblocking) = unsafe {
            (
                sock::<T>(socket),
                bindings::vmtp_helper_socket_nonblocking(socket),
            )
        };
        T::ioctl(sock, command, argument, COMPAT, nonblocking).map(|n| n as ffi::c_int)
    })
}

unsafe extern "C" fn shutdown<T: SocketOps>(
    socket: *mut bindings::socket,
    how: ffi::c_int,
) -> ffi::c_int {
    from_result(|| {
        let how = match how {
            0 => Shutdown::Receiving,
            1 => Shutdown::Sending,
            2 => Shutdown::Both,
            _ => return Err(EINVAL),
        };
        // SAFETY: called by the socket layer.
        T::shutdown(unsafe { sock(socket) }, how).map(|()| 0)
    })
}

unsafe extern "C" fn setsockopt<T: SocketOps>(
    socket: *mut bindings::socket,
    level: ffi::c_int,
    option: ffi::c_int,
    value: bindings::sockptr_t,
    length: ffi::c_uint,
) -> ffi::c_int {
    let value = OptionValue {
        value,
        length: length as usize,
    };
    // SAFETY: called by the socket layer.
    from_result(|| T::set_option(unsafe { sock(socket) }, level, option, &value).map(|()| 0))
}

unsafe extern "C" fn getsockopt<T: SocketOps>(
    socket: *mut bindings::socket,
    level: ffi::c_int,
    option: ffi::c_int,
    result: *mut bindings::sockopt,
) -> ffi::c_int {
    // SAFETY: called by the socket layer; `result` is ours during the call.
    from_result(|| unsafe {
        T::get_option(sock(socket), level, option, &mut OptionResult(&mut *result)).map(|()| 0)
    })
}

unsafe extern "C" fn sendmsg<T: SocketOps>(
    socket: *mut bindings::socket,
    message: *mut bindings::msghdr,
    length: usize,
) -> ffi::c_int {
    // SAFETY: called by the socket layer; `message` is ours during the call.
    from_result(|| unsafe {
        T::send(sock(socket), Message::from_raw(message), length).map(|n| n as ffi::c_int)
    })
}

unsafe extern "C" fn recvmsg<T: SocketOps>(
    socket: *mut bindings::socket,
    message: *mut bindings::msghdr,
    length: usize,
    flags: ffi::c_int,
) -> ffi::c_int {
    // SAFETY: called by the socket layer; `message` is ours during the call.
    from_result(|| unsafe {
        T::receive(
            sock(socket),
            Message::from_raw(message),
            length,
            flags as u32,
        )
        .map(|n| n as ffi::c_int)
    })
}
