// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp probe`: asks an entity's host about it (ProbeEntity; III).

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{json, Value};
use vmtp::{Client, Entity, Host, Probe};

use crate::args::{self, Way};
use crate::output;

/// A client as --domain, --from, --ttl and --retries say.
pub(crate) fn client(way: &Way, retries: Option<u8>) -> vmtp::Result<Client> {
    let client = Client::bind_in(way.domain, way.from)?;
    if let Some(ttl) = way.ttl {
        client.socket().set_multicast_ttl(ttl.into())?;
    }
    if let Some(retries) = retries {
        client.socket().set_retries(retries.into())?;
    }
    Ok(client)
}

/// The host that --host names.
pub(crate) fn host(way: &Way) -> Host {
    way.host.map_or(Host::UNKNOWN, Host::from)
}

pub(crate) fn run(probe: args::Probe, json: bool) -> Result<bool> {
    let client = client(&probe.way, probe.retries)?;
    let limit = probe
        .timeout
        .map(|timeout| Duration::from_millis(timeout.into()));
    let begun = Instant::now();
    let waiting = output::Waiting::for_the("host of the entity");
    let answer = client
        .socket()
        .probe(probe.entity, host(&probe.way), limit)?;
    drop(waiting);
    let value = describe(probe.entity, &answer, begun.elapsed());
    if json {
        output::line(&value.to_string())?;
    } else {
        output::line(&text(probe.entity, &answer, begun.elapsed()))?;
    }
    Ok(answer.code().is_ok())
}

fn describe(entity: Entity, answer: &Probe, time: Duration) -> Value {
    let code = answer.code();
    let mut value = json!({
        "entity": entity.to_string(),
        "code": code.bits(),
        "code_name": output::code_name(code),
        "host": output::host(answer.host()),
        "interface": answer.host().interface(),
        "time_ns": output::nanoseconds(time),
    });
    if code.is_ok() {
        let (process, pid) = answer.process();
        let (principal, uid) = answer.principal();
        let (effective, euid) = answer.effective_principal();
        value["transaction"] = json!(answer.transaction());
        value["process"] = json!({ "host": process.to_string(), "pid": pid });
        value["principal"] = json!({ "host": principal.to_string(), "uid": uid });
        value["effective_principal"] = json!({ "host": effective.to_string(), "uid": euid });
    }
    value
}

fn text(entity: Entity, answer: &Probe, time: Duration) -> String {
    let code = answer.code();
    if !code.is_ok() {
        return format!("{entity}: {}", output::code(code));
    }
    let time = output::milliseconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let (process, pid) = answer.process();
    let (principal, uid) = answer.principal();
    let (effective, euid) = answer.effective_principal();
    format!(
        "{entity} is there\n\
         host                 {} (answered in {time} ms)\n\
         process              {pid} on {process}\n\
         user                 {uid} on {principal}\n\
         effective user       {euid} on {effective}\n\
         transaction          {}",
        answer.host(),
        answer.transaction(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmtp::sys::vmtp_probe;

    fn answer(code: u32) -> Probe {
        Probe::from(vmtp_probe {
            code,
            transaction: 5,
            process: 0x0A00_0002_0000_0007,
            principal: 0x0A00_0002_0000_03E8,
            effective_principal: 0x0A00_0002_0000_0000,
            ..Default::default()
        })
    }

    #[test]
    fn the_json_of_an_answer() {
        let entity = Entity::from_bits(0x2001_1170_0A00_0002);
        assert_eq!(
            describe(entity, &answer(0), Duration::from_nanos(9)),
            json!({
                "entity": "LE-70000-10.0.0.2",
                "code": 0,
                "code_name": "OK",
                "host": null,
                "interface": 0,
                "time_ns": 9,
                "transaction": 5,
                "process": { "host": "10.0.0.2", "pid": 7 },
                "principal": { "host": "10.0.0.2", "uid": 1000 },
                "effective_principal": { "host": "10.0.0.2", "uid": 0 },
            })
        );
        assert!(text(entity, &answer(0), Duration::ZERO).contains("\nuser                 1000 on"));
    }

    #[test]
    fn a_probe_without_an_answer_says_only_that() {
        let value = describe(Entity::MANAGER_GROUP, &answer(4), Duration::ZERO);
        assert_eq!(value["code_name"], "NONEXISTENT_ENTITY");
        assert_eq!(value.get("process"), None);
        assert_eq!(
            text(Entity::MANAGER_GROUP, &answer(4), Duration::ZERO),
            "RG-1-224.0.1.0: NONEXISTENT_ENTITY (there is no such entity)"
        );
    }
}
