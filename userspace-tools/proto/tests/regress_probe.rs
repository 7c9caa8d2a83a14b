// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Regressions of Probes that tests with packets found (selftests/raw-probe.c).

mod common;

use common::far::{MULTICAST, UNICAST};
use common::SERVER;
use vmtp_proto::manager::{probe_answer, Probed, AUTH_DOMAIN};
use vmtp_proto::wire::{Entity, ProbeEntity, ResponseCode};

/// Shows: III-0101-g
#[test]
fn a_probe_of_what_is_no_identifier_is_a_protocol_error() {
    let probe = |bits| ProbeEntity {
        coresident: SERVER,
        entity: Entity::from_bits(bits),
        auth_domain: AUTH_DOMAIN,
    };
    let reserved = probe(SERVER.bits() | 0x1000_0000_0000_0000);
    let answer = probe_answer(&reserved, &Probed::Unknown, &UNICAST).unwrap();
    assert_eq!(answer.code.response_code(), Some(ResponseCode::VmtpError));
    assert_eq!(probe_answer(&reserved, &Probed::Unknown, &MULTICAST), None);
    // No entity has the zero identifier, but it is one.
    let answer = probe_answer(&probe(0), &Probed::Unknown, &UNICAST).unwrap();
    assert_eq!(
        answer.code.response_code(),
        Some(ResponseCode::NonexistentEntity)
    );
}
