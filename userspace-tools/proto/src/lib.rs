// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The protocol of VMTP as an ordinary crate: the very sources that the kernel module has in
//! `vmtp/proto`, so that they are tested, fuzzed and simulated outside of a kernel. There is no
//! code of its own here.

#![no_std]
#![forbid(unsafe_code)]

#[path = "../../../vmtp/proto/mod.rs"]
pub mod proto;

pub use proto::*;
