// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How large the records of the protocol are: a host keeps a million of them.

use core::mem::size_of;
use vmtp_proto::{client, path, server};

/// A client's record is its root, one call and its first reply; a server's is the record of the
/// remote Client.
#[test]
fn records_are_at_most_256_octets() {
    let client =
        size_of::<client::Client>() + size_of::<client::Call>() + size_of::<client::Reply>();
    let server = size_of::<server::Remote>();
    println!(
        "client {client} (root {}, call {}, reply {}), server {server}, path {}",
        size_of::<client::Client>(),
        size_of::<client::Call>(),
        size_of::<client::Reply>(),
        size_of::<path::Path>()
    );
    assert!(client <= 256, "client record: {client} octets");
    assert!(server <= 256, "server record: {server} octets");
}
