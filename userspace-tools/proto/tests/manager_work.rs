// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The manager of a host (RFC 1045, 2.10, III): what it makes of a Request, what it answers, and
//! the Probe that it invokes itself.

mod common;

use common::far::{MULTICAST, UNICAST};
use common::{at, context, ms, request, t, to_client, to_server, SERVER};
use vmtp_proto::manager::{
    classify, is_error, is_limited, notify_client, probe_answer, response, Limiter, Probe,
    ProbeStep, Probed, Work, AUTH_DOMAIN, ERRORS_A_SECOND,
};
use vmtp_proto::time::Time;
use vmtp_proto::wire::{
    Code, Control, Entity, Header, ManagementRequest, Mcb, Parameters, Priority, ProbeEntity,
    ProbeEntityResults, Procedure, ResponseCode, Results,
};

const MANAGER: Entity = Entity::from_bits(0x2000_0009_0A00_0001);

fn probe() -> ProbeEntity {
    ProbeEntity {
        coresident: SERVER,
        entity: SERVER,
        auth_domain: AUTH_DOMAIN,
    }
}

fn state() -> ProbeEntityResults {
    ProbeEntityResults {
        transaction: t(5),
        process: 0x0A00_0002_0000_1234,
        principal: 0x0A00_0002_0000_03E8,
        effective_principal: 0x0A00_0002_0000_0000,
    }
}

fn to_manager(mcb: Mcb) -> Header {
    Header {
        server: Entity::MANAGER_GROUP,
        ..request(0, t(0), mcb)
    }
}

/// Shows: III-c
#[test]
fn unknown_procedure_is_answered_with_an_error_unless_datagram_or_multicast() {
    for number in [0x0000_0112, 0x0000_01FF, 0x0000_0100, 0x0000_0200, 5] {
        let unknown = |flags| {
            to_manager(Mcb {
                code: Code::new(flags | Code::PIC, number),
                ..Mcb::default()
            })
        };
        let refused = Work::Refuse(ResponseCode::VmtpError);
        assert_eq!(classify(&unknown(0), &UNICAST), refused);
        assert_eq!(classify(&unknown(Code::CRE), &UNICAST), refused);
        assert_eq!(classify(&unknown(Code::DGM), &UNICAST), Work::Ignore);
        assert_eq!(classify(&unknown(0), &MULTICAST), Work::Ignore);
    }
}

/// Shows: 5.8.1-f
#[test]
fn probe_is_executed_on_arrival_without_a_record_that_would_want_a_probe() {
    let work = classify(&to_manager(probe().encode()), &UNICAST);
    let expected = ManagementRequest::ProbeEntity(probe());
    assert_eq!(work, Work::Immediate(expected));
}

/// Contradiction 9: Notify, Probe and Query operations have no record, the others are transactions.
#[test]
fn operations_are_done_at_once_or_are_ordinary_transactions() {
    for procedure in Procedure::ALL {
        let mcb = Mcb {
            code: procedure.code(),
            ..Mcb::default()
        };
        let work = classify(&to_manager(mcb), &UNICAST);
        let number = procedure.number();
        match number {
            0x10F | 0x111 => assert!(matches!(work, Work::NotifyClient { remote, .. }
                if remote == (number == 0x111))),
            0x110 => assert!(matches!(work, Work::NotifyServer(_))),
            0x101..=0x104 | 0x108 | 0x10D => {
                assert!(matches!(work, Work::Immediate(_)), "{number:x}");
            }
            _ => assert!(matches!(work, Work::Transaction(_)), "{number:x}"),
        }
    }
}

/// Decision 17: nothing comes of a Notify that cannot be read.
#[test]
fn notify_that_cannot_be_read_is_ignored() {
    let notifies = [
        notify_client(&to_client(ResponseCode::Ok, t(0), 0, 0), false),
        notify_client(&to_client(ResponseCode::Ok, t(0), 0, 0), true),
        to_server(ResponseCode::Ok, t(0), 0).encode(),
    ];
    for mut mcb in notifies {
        // A segment takes the word of their last parameter; without DGM, with APG, by unicast.
        mcb.code = mcb.code.with(Code::SDA).without(Code::DGM);
        let mut header = to_manager(mcb);
        header.control = header.control.with(Control::APG);
        assert_eq!(classify(&header, &UNICAST), Work::Ignore);
    }
}

/// III: another operation that cannot be read is answered as an unknown one.
#[test]
fn operation_that_cannot_be_read_is_answered_with_an_error_if_it_may_be() {
    for procedure in [
        Procedure::QueryEntity,
        Procedure::CreateGroup,
        Procedure::AddToGroup,
    ] {
        let unreadable = |flags| {
            to_manager(Mcb {
                code: procedure.code().with(Code::SDA | flags),
                segment_size: 8,
                ..Mcb::default()
            })
        };
        let refused = Work::Refuse(ResponseCode::VmtpError);
        assert_eq!(classify(&unreadable(0), &UNICAST), refused);
        assert_eq!(classify(&unreadable(0), &MULTICAST), Work::Ignore);
        assert_eq!(classify(&unreadable(Code::DGM), &UNICAST), Work::Ignore);
    }
}

/// Shows: III-0101-b
#[test]
fn probe_of_an_entity_here_is_answered_ok_with_its_state() {
    let answer = probe_answer(&probe(), &Probed::Entity(state()), &UNICAST).unwrap();
    assert_eq!(answer.code.bits(), 0);
    assert_eq!(ProbeEntityResults::decode(&answer), Ok(state()));
}

/// Shows: III-0101-d
#[test]
fn unicast_probe_of_what_does_not_exist_is_answered_nonexistent_entity() {
    let answer = probe_answer(&probe(), &Probed::Unknown, &UNICAST).unwrap();
    assert_eq!(answer.code, ResponseCode::NonexistentEntity.code());
}

/// Shows: 2.13-k
#[test]
fn multicast_probe_is_answered_only_by_whoever_can_answer_well() {
    assert_eq!(probe_answer(&probe(), &Probed::Unknown, &MULTICAST), None);
    let gone = probe_answer(&probe(), &Probed::Gone, &MULTICAST).unwrap();
    assert_eq!(gone.code, ResponseCode::NonexistentEntity.code());
    let here = probe_answer(&probe(), &Probed::Entity(state()), &MULTICAST).unwrap();
    assert_eq!(here.code.bits(), 0);
}

/// Shows: III-0101-e
#[test]
fn probe_of_an_entity_that_moved_is_answered_entity_migrated() {
    let answer = probe_answer(&probe(), &Probed::Migrated, &UNICAST).unwrap();
    assert_eq!(answer.code, ResponseCode::EntityMigrated.code());
}

/// Shows: III-0101-f
#[test]
fn probe_of_an_entity_that_does_not_want_it_is_answered_no_permission() {
    let answer = probe_answer(&probe(), &Probed::Private, &UNICAST).unwrap();
    assert_eq!(answer.code, ResponseCode::NoPermission.code());
}

/// Shows: III-0101-h
#[test]
fn probe_in_an_unknown_authentication_domain_gets_an_error_and_no_information() {
    for auth_domain in [2, 3, u32::MAX] {
        let probe = ProbeEntity {
            auth_domain,
            ..probe()
        };
        let answer = probe_answer(&probe, &Probed::Entity(state()), &UNICAST).unwrap();
        assert_ne!(answer.code.bits(), 0);
        assert_eq!(answer.parameters(), [0; 28]);
    }
}

/// Shows: III-b
#[test]
fn every_management_request_is_to_the_manager_group() {
    let mut probe = Probe::new(SERVER, Entity::ZERO, t(3), 5, Time::NEVER);
    let ProbeStep::Send(sent) = probe.timeout(MANAGER, 1, &context()) else {
        panic!("not sent");
    };
    let notify = notify_client(&to_client(ResponseCode::Ok, t(0), 0, 0), false);
    let notify = vmtp_proto::manager::request(MANAGER, 1, t(4), notify);
    for header in [sent, notify] {
        assert_eq!(header.server, Entity::MANAGER_GROUP);
        assert_eq!(header.client, MANAGER);
        assert_eq!(header.control, Control::default());
        assert!(header.code.has(Code::PIC));
    }
}

#[test]
fn probe_is_a_transaction_of_its_own_with_retries_and_a_limit() {
    let mut cx = context();
    let mut probe = Probe::new(SERVER, SERVER, t(3), 5, Time::NEVER);
    let mut times = Vec::new();
    loop {
        if probe.deadline() > cx.now {
            cx.now = probe.deadline();
        }
        match probe.timeout(MANAGER, 1, &cx) {
            ProbeStep::Send(header) => {
                assert_eq!(header.transaction, t(3));
                assert_eq!(header.code.bits(), 0x0500_0101);
                assert_eq!(header.coresident(), SERVER);
                times.push((
                    cx.now.since(at(0)).millis(),
                    header.control.retransmit_count(),
                ));
            }
            ProbeStep::Silence => break,
            ProbeStep::Wait => panic!("before its time"),
        }
    }
    let expected = [(0, 0), (200, 1), (400, 2), (600, 3), (1_000, 4), (1_800, 5)];
    assert_eq!(times, expected);
    assert_eq!(cx.now, at(3_400));
    let mut probe = Probe::new(SERVER, SERVER, t(3), 5, at(300));
    let mut cx = context();
    assert!(matches!(probe.timeout(MANAGER, 1, &cx), ProbeStep::Send(_)));
    assert_eq!(probe.timeout(MANAGER, 1, &cx), ProbeStep::Wait);
    cx.now = at(200);
    probe.timeout(MANAGER, 1, &cx);
    assert_eq!(probe.deadline(), at(300));
    cx.now = at(300);
    assert_eq!(probe.timeout(MANAGER, 1, &cx), ProbeStep::Silence);
}

/// Shows: III-0101-i
#[test]
fn any_code_but_ok_makes_the_prober_discard_the_rest() {
    let probe = Probe::new(SERVER, SERVER, t(3), 5, Time::NEVER);
    for code in ResponseCode::ALL {
        let mut mcb = state().encode();
        mcb.code = code.code();
        let header = common::response(0, t(3), mcb);
        let (answer, _) = probe.answer(&header, at(1));
        match code {
            ResponseCode::Ok => assert_eq!(answer, Ok(state())),
            code => assert_eq!(answer, Err(code.code())),
        }
    }
}

#[test]
fn answer_on_arrival_has_the_identification_of_its_request() {
    let mut header = to_manager(probe().encode());
    header.control = header
        .control
        .with(Control::APG)
        .with_retransmit_count(3)
        .with_priority(Priority::URGENT)
        .with_gap(200);
    let answer = response(&header, MANAGER, state().encode());
    assert_eq!(
        (answer.client, answer.domain),
        (header.client, header.domain)
    );
    assert_eq!(answer.transaction, header.transaction);
    assert_eq!(answer.server, MANAGER);
    // A Response, count 3, urgent, PGcount 0, no flag.
    assert_eq!(answer.control.bits(), 3 << 20 | 0xC1);
    assert_eq!(answer.mcb(), state().encode());
}

/// Shows: D-18-c
#[test]
fn error_notifications_are_limited_for_each_source_alone() {
    let mut noisy = Limiter::new(at(0));
    let mut quiet = Limiter::new(at(0));
    let now = at(1);
    let told = (0..10_000)
        .filter(|_| noisy.take(ERRORS_A_SECOND, now))
        .count();
    assert_eq!(told, ERRORS_A_SECOND as usize);
    assert!(quiet.take(ERRORS_A_SECOND, now));
    // It comes back with time, and no more than that.
    let mut told = 0;
    for time in 1..=10_000 {
        told += u64::from(noisy.take(ERRORS_A_SECOND, at(time)));
    }
    let most = 10 * u64::from(ERRORS_A_SECOND);
    assert!((most - 1..=most).contains(&told), "{told}");
    let rest = ms(10_000);
    let later = at(10_000).plus(rest);
    let burst = (0..10_000)
        .filter(|_| noisy.take(ERRORS_A_SECOND, later))
        .count();
    assert_eq!(burst, ERRORS_A_SECOND as usize);
}

/// The share that the administrator set: at once as many as in a second, and what was taken before he
/// set another counts.
#[test]
fn limiter_has_the_rate_that_is_given_it() {
    let mut limiter = Limiter::new(at(0));
    let mut taken = |rate, now| (0..5_000).filter(|_| limiter.take(rate, now)).count();
    assert_eq!(taken(1_000, at(0)), 1_000);
    // One a millisecond, and those of half a second.
    assert_eq!(taken(1_000, at(1)), 1);
    assert_eq!(taken(1_000, at(501)), 500);
    // Ten a second: what is owed is owed.
    assert_eq!(taken(10, at(601)), 0);
    assert_eq!(taken(10, at(200_001)), 10);
    assert_eq!(taken(10, at(200_100)), 0);
    assert_eq!(taken(10, at(200_101)), 1);
    assert_eq!(taken(0, at(900_000)), 0);
    assert_eq!(taken(1_000_000, at(900_000)), 5_000);
}

#[test]
fn acknowledgments_and_requests_for_blocks_are_no_errors() {
    for code in ResponseCode::ALL {
        let number = code.bits();
        assert_eq!(is_error(code.code()), number > 2, "{code:?}");
        // BUSY (3) and MSGTRANS_OVERFLOW (9) hold the peer back, ENTITY_MIGRATED (5) sends it elsewhere, however often
        // that is needed.
        let limited = !matches!(number, 0..=3 | 5 | 9);
        assert_eq!(is_limited(code.code()), limited, "{code:?}");
    }
}

/// Shows: III-010E-d, III-010E-e
#[test]
fn a_count_is_set_or_changed_and_only_a_plain_0_is_0() {
    use vmtp_proto::manager::modified_count;
    for (present, incremental, count, expected) in [
        (128, false, 4, 4),
        (4, true, u32::MAX, 3),
        (3, true, 2, 5),
        (3, true, (-3i32) as u32, 1),
        (3, true, 0x8000_0000, 1),
        (3, true, 0x7FFF_FFFF, 100),
        (3, false, 0, 0),
        (3, false, u32::MAX, 100),
    ] {
        assert_eq!(modified_count(present, incremental, count, 100), expected);
    }
}
