// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A million transactions over all classes of scenarios, each seed on its own, judged after every
//! event. A failure prints how to replay it and the end of its trace.

use vmtp_simulator::scenario::Class;
use vmtp_simulator::Report;

/// At once at most: the machine has other work as well.
const THREADS: usize = 2;

/// Seeds of each class.
const SEEDS: u64 = 80;

/// No Request is executed twice, every Response belongs to its Request, no octet is altered, every
/// transaction ends in time, and no table grows beyond its limit: whatever the network does.
///
/// Shows: 2.5.1-b, 2.13-c, D-20-e, D-23-b
#[test]
fn a_million_transactions_hold_what_the_protocol_promises() {
    let report = match Report::run(&Class::each(SEEDS), THREADS) {
        Ok(report) => report,
        Err(bad) => panic!("{bad}"),
    };
    println!("{report}");
    assert!(report.seeds >= 1_000, "{} seeds", report.seeds);
    let counts = &report.counts;
    assert!(counts.transactions >= 1_000_000, "{}", counts.transactions);
    // Every kind of fault struck, and every way out of it was taken.
    for (name, value) in counts.list() {
        // Octets arrive as they were sent or with a wrong checksum.
        assert!(value != 0 || name == "malformed", "{name} never happened");
    }
    assert_eq!(counts.checksum_caught, counts.fault_corrupt);
}
