// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The program as a user meets it, as far as that goes without vmtp.ko: tables, errors, exit
//! status. What needs the module is tested in guests, by the selftests.

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

fn vmtp() -> Command {
    Command::cargo_bin("vmtp").expect("the program is built")
}

/// A /proc with these files in net/vmtp.
fn proc_with(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().expect("a folder");
    let folder = root.path().join("net/vmtp");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    root
}

fn output(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
    (
        output.status.code().expect("a status"),
        text(output.stdout),
        text(output.stderr),
    )
}

fn show(root: &Path, what: &str) -> Command {
    let mut command = vmtp();
    command.arg("show").arg(what).arg("--proc-root").arg(root);
    command
}

const ENTITIES: &str = "\
entity             pid  uid  requests
LE-70000-10.0.0.1  412  1000 3
LE-9-10.0.0.1      1    0    0
";

#[test]
fn every_table_is_shown_as_json_under_its_own_name() {
    let root = proc_with(&[
        ("entities", ENTITIES),
        ("transactions", "client server transaction state\n"),
        ("groups", "group member\nUG-5-10.0.0.1 LE-9-10.0.0.1\n"),
        (
            "hosts",
            "entity host rtt\nLE-70000-10.0.0.2 10.0.0.2 125000\n",
        ),
        ("snmp", "VmtpInPackets\t7\nVmtpOutPackets\t8\n"),
    ]);
    for (what, expected) in [
        (
            "entities",
            r#"{"entities":[{"entity":"LE-70000-10.0.0.1","pid":412,"uid":1000,"requests":3},{"entity":"LE-9-10.0.0.1","pid":1,"uid":0,"requests":0}]}"#,
        ),
        ("transactions", r#"{"transactions":[]}"#),
        (
            "groups",
            r#"{"groups":[{"group":"UG-5-10.0.0.1","member":"LE-9-10.0.0.1"}]}"#,
        ),
        (
            "hosts",
            r#"{"hosts":[{"entity":"LE-70000-10.0.0.2","host":"10.0.0.2","rtt":125000}]}"#,
        ),
        (
            "stats",
            r#"{"stats":{"VmtpInPackets":7,"VmtpOutPackets":8}}"#,
        ),
    ] {
        let found = output(show(root.path(), what).arg("--json"));
        assert_eq!(found, (0, format!("{expected}\n"), String::new()), "{what}");
    }
}

#[test]
fn a_table_is_shown_in_columns() {
    let root = proc_with(&[("entities", ENTITIES), ("snmp", "A\t1\nBcd\t100\n")]);
    let (status, text, _) = output(&mut show(root.path(), "entities"));
    let expected = "\
entity             pid  uid   requests
LE-70000-10.0.0.1  412  1000  3
LE-9-10.0.0.1      1    0     0
";
    assert_eq!((status, text.as_str()), (0, expected));
    let (_, text, _) = output(&mut show(root.path(), "stats"));
    assert_eq!(text, "A      1\nBcd  100\n");
}

#[test]
fn the_module_that_is_not_loaded_is_told_with_what_to_do() {
    let root = TempDir::new().expect("a folder");
    let (status, out, err) = output(&mut show(root.path(), "stats"));
    assert_eq!((status, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "vmtp: vmtp.ko is not loaded: run `sudo make load` or `sudo modprobe vmtp`\n"
    );

    let (status, out, _) = output(show(root.path(), "stats").arg("--json"));
    let expected = r#"{"error":"vmtp.ko is not loaded: run `sudo make load` or `sudo modprobe vmtp`","hint":null}"#;
    assert_eq!((status, out), (2, format!("{expected}\n")));
}

#[test]
fn a_table_that_this_module_does_not_have_is_another_error() {
    let root = proc_with(&[]);
    let (status, _, err) = output(&mut show(root.path(), "groups"));
    assert_eq!(status, 2);
    assert!(err.contains("net/vmtp/groups: No such file"), "{err}");
}

#[test]
fn commands_that_need_a_socket_say_that_there_is_none() {
    if Path::new("/proc/net/vmtp").exists() {
        return; // Loaded on this machine: the selftests have the rest.
    }
    for line in [
        &["ping", "LE-70000-10.0.0.2", "-c", "1"][..],
        &["echo"],
        &["call", "LE-70000-10.0.0.2", "--code", "1"],
        &["probe", "LE-70000-10.0.0.2"],
        &["filed", "."],
        &["mount", "LE-70000-10.0.0.2", "."],
    ] {
        let (status, out, err) = output(vmtp().args(line));
        assert_eq!((status, out.as_str()), (2, ""), "{line:?}");
        assert!(
            err.starts_with("vmtp: vmtp.ko is not loaded: run "),
            "{line:?}: {err}"
        );
    }
}

#[test]
fn nonsense_is_told_before_anything_is_tried() {
    for (line, expected) in [
        (&["ping", "LE-1"][..], "LE-25593-36.8.0.49"),
        (&["ping", "elephant"], "decimal or 0x hexadecimal"),
        (&["ping", "7", "-s", "5000000"], "at most 4194304 octets"),
        (
            &["call", "7", "--code", "1", "-u", "abc"],
            "one is left over",
        ),
        (&["show", "all"], "possible values"),
    ] {
        let (status, out, err) = output(vmtp().args(line));
        assert_eq!((status, out.as_str()), (2, ""), "{line:?}");
        assert!(err.contains(expected), "{line:?}: {err}");
    }
    let (status, _, err) = output(vmtp().args(["call", "7", "--code", "1", "--data", "/nowhere"]));
    assert_eq!(
        (status, err.as_str()),
        (
            2,
            "vmtp: /nowhere: No such file or directory (os error 2)\n"
        )
    );
    let (status, _, err) = output(vmtp().args(["filed", "/nowhere"]));
    let expected = "vmtp: /nowhere: No such file or directory (os error 2)\n";
    assert_eq!((status, err.as_str()), (2, expected));
    let (status, _, err) =
        output(vmtp().args(["call", "7", "--code", "1", "--out", "-", "--json"]));
    assert_eq!(status, 2);
    assert!(err.contains("name a file"), "{err}");
}

#[test]
fn every_command_explains_itself() {
    for command in ["ping", "echo", "call", "probe", "show", "filed", "mount"] {
        let (status, text, _) = output(vmtp().args([command, "--help"]));
        assert_eq!(status, 0);
        assert!(text.contains(&format!("Usage: vmtp {command}")), "{text}");
        assert!(!text.contains("proc-root"), "{text}");
    }
    let (_, text, _) = output(vmtp().arg("--help"));
    assert!(text.contains("Exit status: 0"), "{text}");
}

#[test]
fn top_prints_where_there_is_no_terminal_only_when_told_to() {
    let root = proc_with(&[
        ("entities", ENTITIES),
        ("transactions", "CLIENT SERVER\n"),
        ("hosts", "HOST MTU\n10.0.0.2 1500\n"),
        ("snmp", "VmtpInPackets\t7\n"),
    ]);
    let top = || {
        let mut command = vmtp();
        command.args(["top", "-i", "0.1", "--proc-root"]);
        command.arg(root.path());
        command
    };
    let (status, out, err) = output(&mut top());
    assert_eq!((status, out.as_str()), (2, ""));
    assert_eq!(err, "vmtp: this is no terminal: use --batch or --json\n");
    let (status, out, _) = output(top().args(["--batch", "-n", "2"]));
    assert_eq!(status, 0);
    assert_eq!(out.matches("InPackets      7").count(), 2, "{out}");
    assert_eq!(out.matches("10.0.0.2").count(), 2, "{out}");
    let (status, _, err) = output(top().args(["--batch", "--sort", "SIZE"]));
    assert_eq!(status, 2);
    assert!(err.contains("no such column"), "{err}");
}

#[test]
fn shells_are_told_how_to_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let (status, script, _) = output(vmtp().args(["completion", shell]));
        assert_eq!(status, 0);
        assert!(script.contains("rpc-gateway"), "{shell}: {script}");
    }
}
