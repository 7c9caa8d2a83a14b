// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The programs in the README are the files that are compiled, letter by letter. That they run is shown in a guest, by
//! selftests/readme.sh and selftests/examples.sh.

use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The code blocks of the README in one language.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(top().join("README.md")).expect("README.md");
    let start = format!("```{language}\n");
    readme
        .split(&start)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect()
}

/// A file without its licence line, which the README leaves out.
fn program(path: &str) -> String {
    let text =
        fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (first, rest) = text.split_once('\n').expect("a first line");
    assert!(first.starts_with("// SPDX-License-Identifier:"), "{path}");
    rest.to_owned()
}

#[test]
fn the_c_programs_of_the_readme_are_those_that_run_in_the_guests() {
    let files = [
        "selftests/helpers/example-server.c",
        "selftests/helpers/example-client.c",
    ];
    assert_eq!(blocks("c"), files.map(program));
}

#[test]
fn the_rust_programs_of_the_readme_are_those_that_are_compiled() {
    let files = [
        "userspace-tools/vmtp/examples/server.rs",
        "userspace-tools/vmtp/examples/client.rs",
    ];
    assert_eq!(blocks("rust"), files.map(program));
}
