// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp filed` and `vmtp mount`: a directory of one host in the tree of files of another. The work is
//! done in the crate `vmtp-files`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use clap::Args;
use serde_json::json;
use vmtp::{Entity, Server};
use vmtp_files::client::Files;
use vmtp_files::export::Export;
use vmtp_files::mount::{Mount, Options};
use vmtp_files::server::serve;
use vmtp_files::service::Service;
use vmtp_files::transport::{Failure, Vmtp};

use crate::{output, signal};

/// Export a directory, for other hosts to mount it
///
/// Whoever reaches this host may do below DIRECTORY what the user of this program may, and nothing
/// elsewhere: there is no authentication, so serve networks that you trust, as a user who owns little
/// else. What is mounted below DIRECTORY is not served. It may be ended and started again with the same
/// --entity while it is mounted.
#[derive(Args, Debug)]
pub(crate) struct FileServer {
    /// What to export
    directory: PathBuf,

    /// Which entity to be; 0 is one given by the host
    #[arg(short, long, value_parser = vmtp::parse_entity, default_value = "0", hide_default_value = true)]
    entity: Entity,

    /// Change nothing
    #[arg(short, long)]
    read_only: bool,

    /// Keep at most N files open
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    handles: u32,

    /// Serve N Requests at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
}

/// Mount the directory that a `vmtp filed` exports
///
/// It serves the kernel, by FUSE, until it is ended by a signal or by umount(8). Without root it needs
/// the program fusermount3 (package fuse3).
#[derive(Args, Debug)]
pub(crate) struct MountFiles {
    /// The server
    #[arg(value_parser = vmtp::parse_entity)]
    entity: Entity,

    /// Where to mount it: a directory
    directory: PathBuf,

    /// Change nothing
    #[arg(short, long)]
    read_only: bool,

    /// Let other users of this host use it, as the permissions of its files say; what they make belongs
    /// to the server's user
    #[arg(long)]
    allow_other: bool,

    /// Wait for a server that does not answer so many seconds; then calls fail with ETIMEDOUT
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    patience: u32,

    /// Have N transactions at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
}

/// Files that the program needs beside those that it serves.
const OTHER_FILES: u64 = 64;

pub(crate) fn export(server: FileServer, json: bool) -> Result<bool> {
    // Modes are the clients' business.
    rustix::process::umask(rustix::fs::Mode::empty());
    let shown = server.directory.display();
    let export = match Export::new(&server.directory, server.read_only) {
        Err(rustix::io::Errno::NOSYS) => bail!("this kernel has no openat2(2), without which nothing would keep clients inside {shown}: it needs Linux 5.6"),
        result => result.with_context(|| shown.to_string())?,
    };
    room_for(u64::from(server.handles) + OTHER_FILES)?;
    let service = Service::new(export, server.handles as usize);
    let socket = Server::bind(server.entity)?;
    let entity = socket.entity()?;
    output::line(&if json {
        json!({ "event": "listening", "at": entity.to_string(), "directory": shown.to_string() })
            .to_string()
    } else {
        format!("FILED {entity} {shown}")
    })?;
    serve(socket, &service, server.threads.into())?;
    Ok(true)
}

/// Raises the limit of open files to this, as far as it may be.
fn room_for(files: u64) -> Result<()> {
    use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < files) {
        bail!(
            "a process may have {} files open here: use fewer --handles, or raise `ulimit -Hn`",
            limit.maximum.unwrap_or_default()
        );
    }
    let raised = Rlimit {
        current: Some(files),
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("the limit of open files")
}

pub(crate) fn mount(mount: MountFiles, json: bool) -> Result<bool> {
    let threads = usize::from(mount.threads);
    let transport = Vmtp::new(mount.entity, threads);
    let files = Files::new(transport, Duration::from_secs(mount.patience.into()));
    let root = {
        let _waiting = output::Waiting::for_the("server");
        match files.probe() {
            Ok(root) => root,
            Err(Failure::Unheard(code)) => {
                eprintln!(
                    "vmtp: {}: is `vmtp filed --entity {}` running?",
                    output::code(code),
                    mount.entity
                );
                return Ok(false);
            }
            Err(Failure::Answered(errno)) => {
                bail!(
                    "{} is no file server, or of another version: {errno}",
                    mount.entity
                )
            }
            Err(Failure::Local(error)) => return Err(error.into()),
        }
    };
    let options = Options {
        source: mount.entity.to_string(),
        read_only: mount.read_only,
        allow_other: mount.allow_other,
        threads,
    };
    let shown = mount.directory.display().to_string();
    let mut mounted = Mount::new(files, &root, &mount.directory, &options).with_context(|| {
        format!("{shown} cannot be mounted on: it must be a directory, /dev/fuse must be there (`modprobe fuse`), and without root fusermount3 (package fuse3)")
    })?;
    let mut unmounter = mounted.unmounter();
    let directory = shown.clone();
    signal::at_end(move || {
        if let Err(error) = unmounter.unmount() {
            eprintln!("vmtp: {directory}: {error}: programs that use it get errors from now on");
            // Better no mount than one without a server. Without root there is only fusermount3.
            let _ = rustix::mount::unmount(&directory, rustix::mount::UnmountFlags::DETACH);
            return 1;
        }
        0
    })?;
    output::line(&if json {
        json!({ "event": "mounted", "at": shown, "entity": options.source }).to_string()
    } else {
        format!("MOUNTED {} {shown}", options.source)
    })?;
    mounted.run().with_context(|| shown)?;
    Ok(true)
}
