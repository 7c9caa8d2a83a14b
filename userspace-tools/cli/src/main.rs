// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp`: the command-line tools of VMTP (RFC 1045) on Linux; `vmtp --help` lists them.
//!
//! Here: arguments in, exit status out. One file a subcommand does the work with the crate `vmtp`.
//! Exit status: 0 if all went well, 1 if a transaction did not, 2 if it could not be tried.

mod args;
mod call;
mod echo;
mod files;
mod manage;
mod migrate;
mod monitor;
mod msg;
mod output;
mod ping;
mod probe;
mod resolve;
mod rpc;
mod show;
mod signal;
mod statistics;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    let result = match arguments.command {
        Command::Ping(ping) => ping::run(ping, json),
        Command::Echo(echo) => echo::run(echo, json),
        Command::Call(call) => call::run(call, json),
        Command::Monitor(monitor) => monitor::run(monitor, json),
        Command::Probe(probe) => probe::run(probe, json),
        Command::Msg(msg) => msg::send(msg, json),
        Command::MsgServer(server) => msg::serve(server, json),
        Command::FileServer(server) => files::export(server, json),
        Command::Mount(mount) => files::mount(mount, json),
        Command::Node(node) => manage::node(&node, json),
        Command::Entity(entity) => manage::entity(entity, json),
        Command::Group(group) => manage::group(group, json),
        Command::Move(what) => migrate::run(what, &arguments.proc_root, json),
        Command::RpcBind(bind) => rpc::bind(bind, json),
        Command::RpcGateway(gateway) => rpc::gateway(gateway, json),
        Command::RpcInfo(info) => rpc::info(info, json),
        Command::Show(show) => show::run(show, &arguments.proc_root, json),
        Command::Top(top) => top::run(top, arguments.proc_root, json),
        Command::Completion(completion) => completion_script(completion.shell),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            output::error(&error, json);
            ExitCode::from(2)
        }
    }
}

fn completion_script(shell: clap_complete::Shell) -> anyhow::Result<bool> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "vmtp", &mut script);
    output::line(String::from_utf8(script)?.trim_end())?;
    Ok(true)
}
