// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The fuzz target [`vmtp_fuzz::parse`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vmtp_fuzz::parse(input));
