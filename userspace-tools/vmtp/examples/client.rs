// SPDX-License-Identifier: GPL-2.0 OR MIT
//! A VMTP client: has a text turned into capitals by a server.
use vmtp::{Client, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("usage: client ENTITY TEXT".into());
    };
    let client = Client::new()?;
    let response = client.call(
        server.parse()?,
        &Request::new(0x80_0001).segment(text.as_bytes()),
    )?;
    println!("{}", String::from_utf8_lossy(response.segment()));
    Ok(())
}
