// SPDX-License-Identifier: GPL-2.0 OR MIT
//! A VMTP server: answers every Request with its text in capitals.
use vmtp::{Reply, Server};

fn serve(server: &Server) -> vmtp::Result<()> {
    let mut request = server.recv()?;
    loop {
        let answer = request.segment().to_ascii_uppercase();
        request = request.reply_and_recv(&Reply::ok().segment(&answer))?; // one system call
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let entity = std::env::args().nth(1).ok_or("usage: server ENTITY")?;
    Ok(serve(&Server::bind(entity.parse()?)?)?)
}
