// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Who may change a group (RFC 1045, III.1).

use vmtp_proto::group::{may_add, may_remove, Invoker, Subject};
use vmtp_proto::wire::{Entity, GroupPermissions as P};

const RESTRICTED: Entity = Entity::from_bits(0x4000_0001_0A00_0001);
const UNRESTRICTED: Entity = Entity::from_bits(0x6000_0001_0A00_0001);
const SELF: Entity = Entity::from_bits(0x0000_0005_0A00_0001);
const OTHER: Entity = Entity::from_bits(0x0000_0006_0A00_0002);
const PRINCIPAL: u64 = 7;
const ANOTHER: u64 = 8;

fn invoker(permissions: P) -> Invoker {
    Invoker {
        entity: SELF,
        principal: PRINCIPAL,
        permissions,
    }
}

fn subject(entity: Entity, principal: u64, permissions: P) -> Subject {
    Subject {
        entity,
        principal,
        permissions,
        immune: false,
    }
}

/// Every set of permissions.
fn all() -> impl Iterator<Item = P> {
    (0..=0xFF).map(P::from_bits)
}

/// Shows: III.1-b
#[test]
fn removal_from_a_restricted_group_needs_both_permissions() {
    let either = |a: P, b: P| a.union(b);
    for (principal, may, allows) in [
        (
            PRINCIPAL,
            either(P::REM_PRIN, P::REM_OTHE),
            either(P::REM_BY_PRIN, P::REM_BY_OTHE),
        ),
        (ANOTHER, P::REM_OTHE, P::REM_BY_OTHE),
    ] {
        for own in all() {
            for member in all() {
                let removed = may_remove(
                    RESTRICTED,
                    &invoker(own),
                    &subject(OTHER, principal, member),
                );
                let right = own.intersect(may.union(P::MANAGER)) != P::NONE;
                let consent = member.intersect(allows) != P::NONE;
                assert_eq!(removed, right && consent, "{own:?} {member:?}");
            }
        }
    }
}

/// Shows: III.1-c
#[test]
fn removal_from_an_unrestricted_group_needs_only_the_members_permission() {
    for member in all() {
        let by_same = may_remove(
            UNRESTRICTED,
            &invoker(P::NONE),
            &subject(OTHER, PRINCIPAL, member),
        );
        let expected = member.intersect(P::REM_BY_PRIN.union(P::REM_BY_OTHE)) != P::NONE;
        assert_eq!(by_same, expected);
        let by_other = may_remove(
            UNRESTRICTED,
            &invoker(P::ALL),
            &subject(OTHER, ANOTHER, member),
        );
        assert_eq!(by_other, member.contains(P::REM_BY_OTHE));
    }
}

/// Shows: III.1-h
#[test]
fn rem_by_self_decides_whether_a_member_may_leave() {
    for group in [RESTRICTED, UNRESTRICTED] {
        for member in all() {
            let leaves = may_remove(group, &invoker(member), &subject(SELF, PRINCIPAL, member));
            assert_eq!(leaves, member.contains(P::REM_BY_SELF));
        }
    }
}

/// Shows: III.1-d
#[test]
fn adding_to_a_restricted_group_needs_the_permission_for_that_principal() {
    let add = |permissions, principal| {
        let added = subject(OTHER, principal, P::NONE);
        may_add(RESTRICTED, &invoker(permissions), &added, P::NONE)
    };
    let neither = P::ALL
        .minus(P::ADD_PRIN)
        .minus(P::ADD_OTHE)
        .minus(P::MANAGER);
    assert!(!add(neither, PRINCIPAL) && !add(neither, ANOTHER));
    assert!(add(P::ADD_PRIN, PRINCIPAL) && !add(P::ADD_PRIN, ANOTHER));
    assert!(add(P::ADD_OTHE, PRINCIPAL) && add(P::ADD_OTHE, ANOTHER));
    assert!(add(P::MANAGER, PRINCIPAL) && add(P::MANAGER, ANOTHER));
    // Nobody adds itself without.
    let own = subject(SELF, PRINCIPAL, P::NONE);
    assert!(!may_add(RESTRICTED, &invoker(P::NONE), &own, P::NONE));
}

/// Shows: III.1-e
#[test]
fn whoever_adds_gives_only_a_subset_of_what_it_has() {
    let added = subject(OTHER, ANOTHER, P::NONE);
    for own in all() {
        for given in all() {
            let may = own.contains(P::ADD_OTHE) || own.contains(P::MANAGER);
            let added = may_add(RESTRICTED, &invoker(own), &added, given);
            assert_eq!(added, may && own.contains(given), "{own:?} {given:?}");
        }
    }
}

/// Shows: III.1-f
#[test]
fn any_entity_can_add_itself_to_an_unrestricted_group() {
    for immune in [false, true] {
        let own = Subject {
            immune,
            ..subject(SELF, PRINCIPAL, P::NONE)
        };
        assert!(may_add(
            UNRESTRICTED,
            &invoker(P::NONE),
            &own,
            P::REM_BY_SELF
        ));
    }
}

/// Shows: III.1-g
#[test]
fn others_can_be_added_to_an_unrestricted_group_unless_immune() {
    for (immune, expected) in [(false, true), (true, false)] {
        let other = Subject {
            immune,
            ..subject(OTHER, ANOTHER, P::NONE)
        };
        let added = may_add(UNRESTRICTED, &invoker(P::NONE), &other, P::NONE);
        assert_eq!(added, expected);
    }
}
