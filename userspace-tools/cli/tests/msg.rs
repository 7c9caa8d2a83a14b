// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp msgd` and `vmtp msg` over UDP and TCP, and what they and the RPC commands say when
//! something is missing: all that needs no vmtp.ko. The rest is tested in guests, by selftests/msg.sh
//! and rpc*.sh.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

const VMTP: &str = env!("CARGO_BIN_EXE_vmtp");

/// A server of its own port, whose console is a file. It ends with the test.
struct Server {
    child: Child,
    port: String,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Server {
        // Between finding a port and using it, another program may take it, or have it over UDP.
        (0..10).find_map(|_| Server::try_start()).expect("a port")
    }

    fn try_start() -> Option<Server> {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("console"), "").expect("a file");
        let free = TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = free.local_addr().expect("a port").port().to_string();
        drop(free);
        let mut child = Command::new(VMTP)
            .args(["msgd", "--no-vmtp", "--port", &port, "--console"])
            .arg(folder.path().join("console"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("msgd");
        let stdout = child.stdout.take().expect("its output");
        let server = Server {
            child,
            port,
            folder,
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let ready = format!("MSGD udp and tcp port {}\n", server.port);
        (line == ready).then_some(server)
    }

    fn send(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = run(&[&["msg", "--port", &self.port], arguments].concat());
        let text = String::from_utf8(output.stdout).expect("text");
        (output.status.code(), text)
    }

    fn console(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("console")).expect("the console")
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(VMTP).args(arguments).output().expect("vmtp")
}

#[test]
fn a_message_over_tcp_is_shown_on_the_console_and_acknowledged() {
    let server = Server::start();
    let (status, said) = server.send(&["--via", "tcp", "@127.0.0.1", "hello,", "h\u{e9}"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.starts_with("127.0.0.1: + delivered to "), "{said}");
    // No terminal that says it takes UTF-8: ISO 8859/1.
    let console = std::fs::read(server.folder.path().join("console")).expect("the console");
    assert!(console.ends_with(b":\r\nhello, h\xE9\r\n"), "{console:?}");
}

#[test]
fn a_message_for_anybody_over_udp_is_shown_and_not_acknowledged() {
    let server = Server::start();
    let (status, said) = server.send(&["--via", "udp", "@127.0.0.1", "hello"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("no answer is to be expected"), "{said}");
    assert!(server.console().ends_with("hello\r\n"));
}

#[test]
fn a_user_who_is_not_there_is_a_failure() {
    let server = Server::start();
    let (status, said) = server.send(&["--via", "tcp", "nobody-here@127.0.0.1", "hello"]);
    assert_eq!(status, Some(1));
    assert_eq!(said, "127.0.0.1: - there is no user nobody-here\n");
    assert_eq!(server.console(), "");
}

#[test]
fn what_cannot_be_tried_says_what_to_do() {
    for (arguments, wanted) in [
        (&["msg", "chris", "hello"][..], "say USER@HOST"),
        (&["rpcinfo", "127.0.0.1", "no-such-program"], "/etc/rpc"),
        (&["msgd", "--join", "LE-1-10.0.0.1"], "no group"),
    ] {
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).expect("text");
        // Without vmtp.ko that is what is said first where a socket is needed.
        let not_loaded = said.contains("vmtp.ko is not loaded");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(wanted) || not_loaded, "{arguments:?}: {said}");
    }
}
