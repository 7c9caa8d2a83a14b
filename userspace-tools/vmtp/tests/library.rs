// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `libvmtp` has every function of `include/vmtp.h`, and each has a manual page. That `make install` works is shown by
//! selftests/rpc, whose programs are built from what it installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The public functions of the header: those with a name that does not begin with `vmtp__`.
fn functions() -> BTreeSet<String> {
    let header = std::fs::read_to_string(top().join("include/vmtp.h")).expect("the header");
    let functions: BTreeSet<String> = header
        .lines()
        .filter(|line| line.starts_with("VMTP_LINKAGE"))
        .filter_map(|line| line.split('(').next()?.rsplit([' ', '*']).next())
        .filter(|name| !name.starts_with("vmtp__"))
        .map(str::to_owned)
        .collect();
    assert!(functions.contains("vmtp_invoke"), "{functions:?}");
    functions
}

#[test]
fn the_library_exports_what_the_header_has_and_nothing_else() {
    let lib = top().join("userspace-tools/lib");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libvmtp.so.1");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(top().join("include"))
        .arg("-I")
        .arg(top().join("include/uapi"))
        .arg(format!(
            "-Wl,--version-script={}",
            lib.join("vmtp.map").display()
        ))
        .arg("-o")
        .arg(&library)
        .arg(lib.join("libvmtp.c"))
        .status()
        .expect("cc");
    assert!(built.success());
    let listing = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(&library)
        .output()
        .expect("nm");
    let exported: BTreeSet<String> = String::from_utf8(listing.stdout)
        .expect("text")
        .lines()
        .filter_map(|line| line.split_once(" T ")?.1.split('@').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(exported, functions());
}

#[test]
fn every_function_has_a_manual_page() {
    let man = top().join("userspace-tools/man");
    for function in functions() {
        let path = man.join(format!("{function}.3"));
        let page = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{path:?} is missing"));
        match page.strip_prefix(".so man3/") {
            Some(other) => {
                let other =
                    std::fs::read_to_string(man.join(other.trim())).expect("what it refers to");
                assert!(other.contains(&format!("{function}(")), "{function}");
            }
            None => assert!(page.contains(&format!("{function}(")), "{function}"),
        }
    }
}
