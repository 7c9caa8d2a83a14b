// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Fuzz targets. [`parse`] gives octets to everything that reads octets; [`host`] makes any sequence
//! of packets out of them and gives it to a host. An input is bad if one of them panics.
//!
//! `make fuzz` runs them under libFuzzer for a while, starting from what `corpus/` keeps; the tests
//! run all of `corpus/` without it.

mod host;
mod parse;

pub use host::host;
pub use parse::parse;
