// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Every input that fuzzing kept, and every one that once was bad.

use std::path::Path;

fn each(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        target(&std::fs::read(&path).expect("an input"));
        inputs += 1;
    }
    assert!(inputs > 10, "{inputs} inputs in {}", folder.display());
}

#[test]
fn parsers_take_every_input() {
    each("parse", vmtp_fuzz::parse);
}

#[test]
fn a_host_takes_every_input() {
    each("host", vmtp_fuzz::host);
}
