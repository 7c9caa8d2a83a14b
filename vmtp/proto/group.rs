// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Who may change the membership of an entity group (RFC 1045, III.1).

use super::wire::{Entity, GroupPermissions};

/// Whoever invokes an operation on a group, as the group sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invoker {
    /// The entity.
    pub entity: Entity,
    /// Its principal.
    pub principal: u64,
    /// Its permissions if it is a member or the manager, else none.
    pub permissions: GroupPermissions,
}

/// The entity that an operation is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The entity.
    pub entity: Entity,
    /// Its principal.
    pub principal: u64,
    /// Its permissions if it is a member.
    pub permissions: GroupPermissions,
    /// It refuses to be added by others.
    pub immune: bool,
}

/// Whether `invoker` may add `subject` with `permissions`.
pub fn may_add(
    group: Entity,
    invoker: &Invoker,
    subject: &Subject,
    permissions: GroupPermissions,
) -> bool {
    let own = invoker.entity == subject.entity;
    if group.is_unrestricted_group() {
        return own || !subject.immune;
    }
    let manager = invoker.permissions.contains(GroupPermissions::MANAGER);
    let same = invoker.principal == subject.principal;
    let may = manager
        || invoker.permissions.contains(GroupPermissions::ADD_OTHE)
        || (same && invoker.permissions.contains(GroupPermissions::ADD_PRIN));
    // A member gives no more than it has.
    may && invoker.permissions.contains(permissions)
}

/// Whether `invoker` may remove `subject`.
pub fn may_remove(group: Entity, invoker: &Invoker, subject: &Subject) -> bool {
    let own = invoker.entity == subject.entity;
    let same = invoker.principal == subject.principal;
    let member_allows = if own {
        subject.permissions.contains(GroupPermissions::REM_BY_SELF)
    } else {
        subject.permissions.contains(GroupPermissions::REM_BY_OTHE)
            || (same && subject.permissions.contains(GroupPermissions::REM_BY_PRIN))
    };
    if group.is_unrestricted_group() || own {
        return member_allows;
    }
    let manager = invoker.permissions.contains(GroupPermissions::MANAGER);
    let may = manager
        || invoker.permissions.contains(GroupPermissions::REM_OTHE)
        || (same && invoker.permissions.contains(GroupPermissions::REM_PRIN));
    may && member_allows
}
