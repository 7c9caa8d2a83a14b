// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp call`: one message transaction, with every option of a Request.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use vmtp::{Error, Request, Response, MESSAGE_SIZE};

use crate::args::{Call, UserData};
use crate::{output, probe};

/// Of so many octets and fewer the JSON has the segment itself, unless it goes to a file.
const INLINE: usize = 4096;

pub(crate) fn run(call: Box<Call>, json: bool) -> Result<bool> {
    let to_stdout = call.out.as_deref() == Some(Path::new("-"));
    if json && to_stdout {
        bail!("--json and --out - both want the standard output: name a file");
    }
    let data = call
        .data
        .as_deref()
        .map(read)
        .transpose()?
        .unwrap_or_default();
    let request = request(&call, &data)?;

    let mut client = probe::client(&call.way, call.retries)?;
    client.set_time_limit(
        call.timeout
            .map(|timeout| Duration::from_millis(timeout.into())),
    );
    client.set_response_limit(call.max);
    let local = client.entity()?.to_string();
    if call.datagram {
        client.send(call.entity, &request)?;
        let value =
            json!({ "entity": call.entity.to_string(), "local": local, "octets_sent": data.len() });
        let text = format!(
            "a datagram of {} octets has gone to {}",
            data.len(),
            call.entity
        );
        output::line(&if json { value.to_string() } else { text })?;
        return Ok(true);
    }

    let begun = Instant::now();
    let waiting = output::Waiting::for_the("Response");
    let response = either(client.call(call.entity, &request))?;
    let time = begun.elapsed();
    let mut others = Vec::new();
    if let Some(multiple) = call.multiple {
        let end = Instant::now() + Duration::from_millis(multiple.into());
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match client.next_response(Some(left)) {
                Ok(Some(response)) => others.push((response, begun.elapsed())),
                Ok(None) => break,
                Err(Error::Failed(response)) => others.push((*response, begun.elapsed())),
                Err(error) => return Err(error.into()),
            }
        }
    }
    drop(waiting);

    // What is in the file from before is better than nothing in it.
    if let Some(out) = call.out.as_ref().filter(|_| !response.code().is_failure()) {
        write(out, response.segment()).with_context(|| out.display().to_string())?;
    }
    let inline = call.out.is_none();
    if json {
        let mut value = describe(&response, time, inline);
        value["entity"] = json!(call.entity.to_string());
        value["local"] = json!(local);
        value["octets_sent"] = json!(data.len());
        if call.multiple.is_some() {
            value["others"] = others
                .iter()
                .map(|(other, time)| describe(other, *time, inline))
                .collect();
        }
        output::line(&value.to_string())?;
    } else {
        let mut summary = text(&response, time);
        for (other, time) in &others {
            summary.push('\n');
            summary.push_str(&text(other, *time));
        }
        if to_stdout {
            eprintln!("{summary}");
        } else {
            output::line(&summary)?;
        }
    }
    Ok(response.code().is_ok())
}

/// A failed transaction has a Response to show too.
fn either(result: vmtp::Result<Response>) -> vmtp::Result<Response> {
    match result {
        Err(Error::Failed(response)) => Ok(*response),
        result => result,
    }
}

fn request<'a>(call: &Call, data: &'a [u8]) -> Result<Request<'a>> {
    let mut request = Request::new(call.code)
        .segment(data)
        .host(probe::host(&call.way));
    request = match call.user_data {
        UserData::Field(octets) => request.user_octets(octets),
        UserData::All(_) if call.coresident.is_some() => {
            bail!("with --coresident a Request has at most 12 octets of user data")
        }
        UserData::All([a, b, c, d, e, f, g, h, rest @ ..]) => request
            .first_words([
                u32::from_be_bytes([a, b, c, d]),
                u32::from_be_bytes([e, f, g, h]),
            ])
            .user_octets(rest),
    };
    if let Some(entity) = call.coresident {
        request = request.coresident(entity);
    }
    if let Some(mask) = call.partial {
        request = request.partial(mask);
    }
    if let Some(priority) = call.priority {
        request = request.priority(priority);
    }
    if call.datagram {
        request = request.datagram();
    }
    if call.conditional {
        request = request.conditional();
    }
    if call.multiple.is_some() {
        request = request.multiple_responses();
    }
    if call.acknowledge {
        request = request.acknowledge();
    }
    if call.no_retransmission {
        request = request.no_retransmission();
    }
    if call.header_checksum {
        request = request.header_checksum();
    }
    Ok(request)
}

/// The segment, but not more than is too much by one octet.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let name = path.display();
    let limit = MESSAGE_SIZE as u64 + 1;
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut data)
            .context("standard input")?;
    } else {
        let file = File::open(path).with_context(|| name.to_string())?;
        file.take(limit)
            .read_to_end(&mut data)
            .with_context(|| name.to_string())?;
    }
    if data.len() > MESSAGE_SIZE {
        bail!("{name} has more than {MESSAGE_SIZE} octets, the most that a segment has");
    }
    Ok(data)
}

fn write(path: &Path, data: &[u8]) -> io::Result<()> {
    if path == Path::new("-") {
        let mut stdout = io::stdout().lock();
        stdout.write_all(data)?;
        return stdout.flush();
    }
    std::fs::write(path, data)
}

fn sha256(data: &[u8]) -> String {
    output::hex(&Sha256::digest(data))
}

fn describe(response: &Response, time: Duration, inline: bool) -> Value {
    let mcb = response.mcb();
    let mut value = json!({
        "code": response.code().bits(),
        "code_name": output::code_name(response.code()),
        "code_word": format!("{:#010x}", mcb.code_word()),
        "server": response.server().to_string(),
        "host": output::host(response.host()),
        "transaction": mcb.transaction(),
        "user_data": output::hex(&mcb.user_octets()),
        "msg_delivery": mcb.msg_delivery(),
        "segment_size": mcb.segment_size(),
        "octets": response.segment().len(),
        "sha256": sha256(response.segment()),
        "time_ns": output::nanoseconds(time),
    });
    if inline && response.segment().len() <= INLINE {
        value["data"] = json!(output::hex(response.segment()));
    }
    value
}

fn text(response: &Response, time: Duration) -> String {
    let time = output::milliseconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let mut text = format!("{} after {time} ms", output::code(response.code()));
    if response.code().is_failure() {
        return text;
    }
    text.push_str(&format!(
        "\nserver     {} ({}), transaction {}\nuser data  {}",
        response.server(),
        response.host(),
        response.mcb().transaction(),
        output::hex(&response.mcb().user_octets()),
    ));
    if let Some(mask) = response.mcb().delivered() {
        text.push_str(&format!("\nblocks     {mask:#010x}"));
    }
    text.push_str(&format!("\nsegment    {} octets", response.segment().len()));
    if !response.segment().is_empty() {
        text.push_str(&format!(", sha256 {}", sha256(response.segment())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmtp::sys::vmtp_mcb;
    use vmtp::Received;

    fn response(code: u32, segment: &[u8]) -> Response {
        let mcb = vmtp_mcb {
            code,
            server: 0x2001_1170_0A00_0002,
            transaction: 9,
            user: [1, 2, 3, 4, 0xFFFF_FFFF],
            ..Default::default()
        };
        Response::new(
            Received {
                mcb: mcb.into(),
                ..Default::default()
            },
            segment.to_vec(),
        )
    }

    #[test]
    fn the_json_of_a_response() {
        assert_eq!(
            describe(
                &response(0x4080_0001, b"abc"),
                Duration::from_nanos(7),
                true
            ),
            json!({
                "code": 0x80_0001,
                "code_name": null,
                "code_word": "0x40800001",
                "server": "LE-70000-10.0.0.2",
                "host": null,
                "transaction": 9,
                "user_data": "00000001000000020000000300000004ffffffff",
                "msg_delivery": 0,
                "segment_size": 0,
                "octets": 3,
                "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "time_ns": 7,
                "data": "616263",
            })
        );
        assert_eq!(
            describe(&response(0, &[0; 4097]), Duration::ZERO, true).get("data"),
            None
        );
        assert_eq!(
            describe(&response(0, b"abc"), Duration::ZERO, false).get("data"),
            None
        );
    }

    #[test]
    fn a_failure_is_not_shown_as_an_empty_response() {
        assert_eq!(
            text(&response(13, b""), Duration::from_millis(3200)),
            "RETRANS_TIMEOUT (no answer, and the retransmissions are used up) after 3200.0 ms"
        );
        assert!(
            text(&response(0, b"abc"), Duration::ZERO).contains("segment    3 octets, sha256 ba78")
        );
    }
}
