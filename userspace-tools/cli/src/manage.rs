// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp node`, `vmtp entity` and `vmtp group`: the management procedures (III) for people.

use std::time::Duration;

use anyhow::Result;
use serde_json::{json, Value};
use vmtp::manager::{Manager, Node};
use vmtp::{Client, Code, Entity, EntityDescriptor, Error, GroupPermissions, Host, ServiceFlags};

use crate::args::{self, Asking, Count, EntityCommand, GroupCommand, PERMISSIONS};
use crate::{output, probe};

/// The client that asks, with its time limit.
fn client(asking: &Asking) -> Result<Client> {
    let mut client = probe::client(&asking.way, None)?;
    client.set_time_limit(Some(time(asking)));
    Ok(client)
}

fn time(asking: &Asking) -> Duration {
    Duration::from_millis(asking.timeout.into())
}

/// Where the manager is that an operation about `entity` is for: where --host says, or where the
/// entity is found (III: a ProbeEntity operation is used to determine the host).
fn host_of(client: &Client, asking: &Asking, entity: Entity) -> Result<Host> {
    let named = probe::host(&asking.way);
    if named != Host::UNKNOWN || entity.is_zero() || entity.is_group() {
        return Ok(named);
    }
    let found = client.probe(entity, Some(time(asking)))?;
    Ok(if found.code().is_ok() {
        found.host()
    } else {
        Host::UNKNOWN
    })
}

/// What a user can do about a manager's refusal, if anything is known.
fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::NO_PERMISSION => {
            "on its own host an entity is changed by its user or root; from another host only if \
             net.vmtp.remote_management is 1 there; a restricted group by its manager"
        }
        Code::NONEXISTENT_ENTITY => {
            "`vmtp show entities` and `vmtp show groups` on its host list what is there, `vmtp probe` \
             asks all hosts for an entity"
        }
        Code::ENTITY_MIGRATED => "it lives on another host now: leave --host out to have it found",
        Code::BUSY => "a table there is full, or memory short: see net.vmtp.*_max there, or try again",
        Code::RETRANS_TIMEOUT | Code::USER_TIMEOUT => {
            "`vmtp node --all` shows which hosts answer; name another with --host, or raise --timeout"
        }
        Code::VMTP_ERROR => "that host does not know the operation, or its arguments are not valid",
        _ => return None,
    })
}

/// Prints what was done, or the code of why not.
fn told(result: vmtp::Result<(Value, String)>, json: bool) -> Result<bool> {
    let (value, text, ok) = match result {
        Ok((value, text)) => (value, text, true),
        Err(Error::Failed(response)) => {
            let code = response.code();
            let hint = advice(code);
            if let Some(hint) = hint {
                eprintln!("vmtp: {hint}");
            }
            let name = output::code_name(code);
            let value = json!({ "code": code.bits(), "code_name": name, "hint": hint });
            (value, output::code(code), false)
        }
        Err(error) => return Err(error.into()),
    };
    output::line(&if json { value.to_string() } else { text })?;
    Ok(ok)
}

pub(crate) fn node(node: &args::Node, json: bool) -> Result<bool> {
    let client = client(&node.asking)?;
    let host = host_of(&client, &node.asking, node.entity)?;
    let manager = Manager::new(&client).at(host);
    let waiting = output::Waiting::for_the("managers");
    let nodes = if node.all {
        manager.nodes(time(&node.asking))
    } else {
        manager.node(node.entity).map(|node| vec![node])
    };
    drop(waiting);
    told(
        nodes.map(|nodes| {
            let value = nodes.iter().map(describe_node).collect::<Value>();
            let text: Vec<_> = nodes.iter().map(node_text).collect();
            let alone = (!node.all).then(|| nodes.first().map(describe_node));
            (alone.flatten().unwrap_or(value), text.join("\n"))
        }),
        json,
    )
}

fn describe_node(node: &Node) -> Value {
    json!({
        "host": output::host(node.host),
        "manager": node.manager.to_string(),
        "mtu": node.mtu,
        "handles_streams": node.handles_streams,
        "issues_streams": node.issues_streams,
        "handles_security": node.handles_security,
        "issues_security": node.issues_security,
        "auth_domain": node.auth_domain,
        "domains": node.domains,
        "auth_domains": node.auth_domains,
    })
}

fn node_text(node: &Node) -> String {
    let can = |both: (bool, bool)| match both {
        (true, true) => "handled and issued",
        (true, false) => "handled",
        (false, true) => "issued",
        (false, false) => "none",
    };
    format!(
        "{}: manager {}, MTU {}, streams {}, security {}, domains {:?}, authentication domains {:?}",
        node.host,
        node.manager,
        node.mtu,
        can((node.handles_streams, node.issues_streams)),
        can((node.handles_security, node.issues_security)),
        node.domains,
        node.auth_domains,
    )
}

pub(crate) fn entity(command: EntityCommand, json: bool) -> Result<bool> {
    let done = |what: &str, entity: Entity| {
        let value = json!({ "entity": entity.to_string(), "code": 0, "code_name": "OK" });
        (value, format!("{entity}: {what}"))
    };
    let waiting = output::Waiting::for_the("manager");
    let result = match command {
        EntityCommand::Create { beside, asking } => {
            let client = client(&asking)?;
            let host = host_of(&client, &asking, beside)?;
            let made = Manager::new(&client).at(host).create_entity(beside);
            made.map(|entity| (json!({ "entity": entity.to_string() }), entity.to_string()))
        }
        EntityCommand::Delete { entity, asking } => {
            let client = client(&asking)?;
            let host = host_of(&client, &asking, entity)?;
            let deleted = Manager::new(&client).at(host).delete_entity(entity);
            deleted.map(|()| done("deleted", entity))
        }
        EntityCommand::Query { entity, asking } => {
            let client = client(&asking)?;
            let host = host_of(&client, &asking, entity)?;
            let described = Manager::new(&client).at(host).describe_entity(entity);
            described.map(|descriptor| match descriptor {
                Some(descriptor) => describe_entity(&descriptor),
                None => done("its host tells nothing of it", entity),
            })
        }
        EntityCommand::Forwarder { entity, asking } => {
            let client = client(&asking)?;
            // Where its Request came from, which need not be where the Client is: this host, or --host.
            let manager = Manager::new(&client).at(probe::host(&asking.way));
            let found = manager.forwarder(entity);
            found.map(|(forwarder, principal)| describe_forwarder(entity, forwarder, principal))
        }
        EntityCommand::Signal {
            entity,
            signal,
            asking,
        } => {
            let client = client(&asking)?;
            let host = host_of(&client, &asking, entity)?;
            let signalled = Manager::new(&client).at(host).signal_entity(entity, signal);
            signalled.map(|()| done("signalled", entity))
        }
        EntityCommand::Service {
            entity,
            count,
            threads,
            authenticated,
            secure,
            asking,
        } => {
            let client = client(&asking)?;
            let host = host_of(&client, &asking, entity)?;
            let (change, count) = match count {
                Count::Absolute(count) => (false, count),
                Count::Change(change) => (true, change as u32),
            };
            let flags = [
                (threads, ServiceFlags::THREAD_SERVICE),
                (authenticated, ServiceFlags::AUTHENTICATION_REQUIRED),
                (secure, ServiceFlags::SECURITY_REQUIRED),
                (change, ServiceFlags::INCREMENTAL),
            ]
            .iter()
            .filter(|(set, _)| *set)
            .fold(ServiceFlags::NONE, |flags, (_, flag)| flags.union(*flag));
            let set = Manager::new(&client)
                .at(host)
                .modify_service(entity, flags, count);
            set.map(|count| {
                (
                    json!({ "entity": entity.to_string(), "count": count }),
                    format!("{entity}: {count}"),
                )
            })
        }
        EntityCommand::Block {
            entity,
            repeat,
            asking,
        } => return block(entity, repeat, &asking, json),
    };
    drop(waiting);
    told(result, json)
}

/// IV.4: asked R times, and free if nobody objects.
fn block(entity: Entity, repeat: u8, asking: &Asking, json: bool) -> Result<bool> {
    let client = client(asking)?;
    let block = Entity::from_bits(entity.bits() & !0xFF);
    let each = time(asking) / u32::from(repeat);
    let mut owner = None;
    for _ in 0..repeat {
        let manager = Manager::new(&client).at(probe::host(&asking.way));
        owner = manager.block_owner(block, each)?;
        if owner.is_some() {
            break;
        }
    }
    let value =
        json!({ "block": format!("{:#018x}", block.bits()), "in_use_at": owner.map(output::host) });
    let text = match owner {
        Some(host) => format!("{:#018x}/56 is in use at {host}", block.bits()),
        None => format!("{:#018x}/56 is free, as far as hosts answer", block.bits()),
    };
    output::line(&if json { value.to_string() } else { text })?;
    Ok(owner.is_none())
}

/// The host and the number of a process or a user.
fn split(identifier: u64) -> (String, u32) {
    let address = std::net::Ipv4Addr::from((identifier >> 32) as u32);
    (address.to_string(), identifier as u32)
}

fn describe_forwarder(client: Entity, forwarder: Entity, principal: u64) -> (Value, String) {
    let (host, uid) = split(principal);
    let value = json!({
        "client": client.to_string(),
        "forwarder": forwarder.to_string(),
        "host": host,
        "uid": uid,
    });
    let text =
        format!("the Request of {client} was passed on by {forwarder}, of user {uid} on {host}");
    (value, text)
}

fn describe_entity(descriptor: &EntityDescriptor) -> (Value, String) {
    let (host, pid) = split(descriptor.process);
    let (_, uid) = split(descriptor.principal);
    let (_, euid) = split(descriptor.effective_principal);
    let threaded = descriptor.service.contains(ServiceFlags::THREAD_SERVICE);
    let value = json!({
        "entity": descriptor.entity.to_string(),
        "host": host,
        "pid": pid,
        "uid": uid,
        "euid": euid,
        "transaction": descriptor.transaction.bits(),
        "service": {
            "model": if threaded { "threads" } else { "messages" },
            "authenticated": descriptor.service.contains(ServiceFlags::AUTHENTICATION_REQUIRED),
            "secure": descriptor.service.contains(ServiceFlags::SECURITY_REQUIRED),
            "count": descriptor.count,
            "queued": descriptor.queued,
        },
    });
    let text = format!(
        "{}: process {pid} on {host}, user {uid}, effective {euid}, transaction {}; {} {}, {} waiting",
        descriptor.entity,
        descriptor.transaction.bits(),
        descriptor.count,
        if threaded { "threads" } else { "messages" },
        descriptor.queued,
    );
    (value, text)
}

/// A new group of this host: the identifier that the client was given, as a group's.
fn new_group(client: &Client, restricted: bool) -> Result<Entity> {
    let own = client.entity()?.bits() & !(0xF << 60);
    let kind = if restricted {
        vmtp::sys::VMTP_ENTITY_GROUP
    } else {
        vmtp::sys::VMTP_ENTITY_GROUP | vmtp::sys::VMTP_ENTITY_UGP
    };
    Ok(Entity::from_bits(own | kind))
}

/// The letters of permissions.
fn letters(permissions: GroupPermissions) -> String {
    let set =
        |(bit, letter): (usize, char)| (permissions.bits() & (1u32 << bit) != 0).then_some(letter);
    PERMISSIONS.chars().enumerate().filter_map(set).collect()
}

pub(crate) fn group(command: GroupCommand, json: bool) -> Result<bool> {
    let told_of = |group: Entity, member: Entity, what: &str, permissions| {
        let permissions: Option<GroupPermissions> = permissions;
        let value = json!({
            "group": group.to_string(),
            "member": member.to_string(),
            "permissions": permissions.map(letters),
        });
        (value, format!("{group}: {member} {what}"))
    };
    let waiting = output::Waiting::for_the("manager");
    let result = match command {
        GroupCommand::Create {
            member,
            group,
            restricted,
            permissions,
            asking,
        } => {
            let client = client(&asking)?;
            let group = match group {
                Some(group) => group,
                None => new_group(&client, restricted)?,
            };
            let manager = Manager::new(&client).at(probe::host(&asking.way));
            let made = manager.create_group(group, member, permissions);
            made.map(|()| told_of(group, member, "is its first member", Some(permissions)))
        }
        GroupCommand::Add {
            group,
            member,
            permissions,
            asking,
        } => {
            let client = client(&asking)?;
            let manager = Manager::new(&client).at(probe::host(&asking.way));
            let added = manager.add_to_group(group, member, permissions);
            added.map(|()| told_of(group, member, "is a member", Some(permissions)))
        }
        GroupCommand::Remove {
            group,
            member,
            asking,
        } => {
            let client = client(&asking)?;
            let manager = Manager::new(&client).at(probe::host(&asking.way));
            let removed = manager.remove_from_group(group, member);
            removed.map(|()| told_of(group, member, "is no member any more", None))
        }
        GroupCommand::Members { group, asking } => {
            let client = client(&asking)?;
            let manager = Manager::new(&client).at(probe::host(&asking.way));
            let members = manager.members(group, time(&asking));
            members.map(|members| members_told(group, &members))
        }
        GroupCommand::Delete { group, asking } => {
            let client = client(&asking)?;
            let manager = Manager::new(&client).at(probe::host(&asking.way));
            manager.delete_entity(group).map(|()| {
                (
                    json!({ "group": group.to_string(), "code": 0, "code_name": "OK" }),
                    format!("{group}: deleted"),
                )
            })
        }
    };
    drop(waiting);
    told(result, json)
}

fn members_told(group: Entity, members: &[(Host, Vec<Entity>)]) -> (Value, String) {
    let hosts: Vec<_> = members
        .iter()
        .map(|(host, members)| {
            let members: Vec<_> = members.iter().map(Entity::to_string).collect();
            json!({ "host": output::host(*host), "members": members })
        })
        .collect();
    let mut lines = Vec::new();
    for (host, members) in members {
        for member in members {
            lines.push(format!("{member} at {host}"));
        }
    }
    if lines.is_empty() {
        lines.push(format!("{group} has no members that anybody tells of"));
    }
    (
        json!({ "group": group.to_string(), "hosts": hosts }),
        lines.join("\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_comes_with_what_to_do_about_it() {
        for code in [Code::NO_PERMISSION, Code::NONEXISTENT_ENTITY, Code::BUSY] {
            assert!(advice(code).is_some(), "{code}");
        }
        assert_eq!(advice(Code::OK), None);
    }

    #[test]
    fn a_forwarder_is_told_with_its_user() {
        let [client, forwarder] =
            [0x2001_1170_0A00_0002, 0x2001_1171_0A00_0003].map(Entity::from_bits);
        let (value, text) = describe_forwarder(client, forwarder, 0x0A00_0003_0000_03E8);
        assert_eq!(
            value,
            json!({ "client": "LE-70000-10.0.0.2", "forwarder": "LE-70001-10.0.0.3", "host": "10.0.0.3", "uid": 1000 })
        );
        assert!(text.ends_with("passed on by LE-70001-10.0.0.3, of user 1000 on 10.0.0.3"));
    }

    #[test]
    fn permissions_are_shown_as_they_are_given() {
        assert_eq!(letters(GroupPermissions::from_bits(0x0E)), "spo");
        assert_eq!(letters(GroupPermissions::from_bits(0xFF)), PERMISSIONS);
        assert_eq!(letters(GroupPermissions::NONE), "");
    }
}
