// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The ABI in `sys` is that of `include/uapi/linux/vmtp.h`, and `include/vmtp.h` compiles
//! everywhere and is right. Needs a C and a C++ compiler, which a machine that builds this has
//! anyway. No socket is opened.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use vmtp::{parse_entity, sys, Code};

/// Compiles `source` and returns what the program prints.
fn run(name: &str, compiler: &str, options: &[&str], source: &Path) -> String {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new(compiler)
        .args(options)
        .args(["-Wall", "-Wextra", "-Werror", "-I"])
        .arg(&include)
        .arg("-I")
        .arg(include.join("uapi"))
        .arg("-o")
        .arg(&program)
        .arg(source)
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(
        output.status.success(),
        "{compiler} {options:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = Command::new(&program).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    assert!(
        output.status.success(),
        "{name}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn generated(name: &str, source: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, source).expect("the target folder is writable");
    path
}

fn header() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/uapi/linux/vmtp.h");
    std::fs::read_to_string(path).expect("the header is there")
}

#[test]
fn every_struct_and_number_is_that_of_the_header() {
    let mut source = String::from(
        "#include <linux/vmtp.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n",
    );
    let mut expected = BTreeMap::new();
    let mut expect = |expression: String, value: u64| {
        writeln!(
            source,
            "printf(\"%s = %llu\\n\", \"{expression}\", (unsigned long long)({expression}));"
        )
        .unwrap();
        expected.insert(expression, value);
    };
    for (name, size, members) in sys::LAYOUTS {
        expect(format!("sizeof(struct {name})"), *size as u64);
        for (member, offset) in *members {
            expect(
                format!(
                    "offsetof(struct {name}, {})",
                    member.trim_start_matches("r#")
                ),
                *offset as u64,
            );
        }
    }
    for (name, value) in sys::NUMBERS {
        expect((*name).to_string(), *value);
    }
    source.push_str("return 0;\n}\n");

    let text = run(
        "layout",
        "cc",
        &["-std=c11"],
        &generated("layout.c", &source),
    );
    let found: BTreeMap<_, u64> = text
        .lines()
        .map(|line| line.split_once(" = ").expect("NAME = VALUE"))
        .map(|(name, value)| (name.to_string(), value.parse().expect("a number")))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn nothing_of_the_header_is_missing() {
    let header = header();
    let names = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_whitespace().next());
    let known: Vec<_> = sys::NUMBERS.iter().map(|(name, _)| *name).collect();
    for name in names.filter(|name| !["_UAPI_LINUX_VMTP_H", "PF_VMTP"].contains(name)) {
        assert!(known.contains(&name), "{name} is not in sys");
    }
    for name in header
        .lines()
        .filter_map(|line| line.strip_prefix("struct ")?.strip_suffix(" {"))
    {
        let (_, _, members) = sys::LAYOUTS
            .iter()
            .find(|(known, ..)| *known == name)
            .expect(name);
        let body = header
            .split_once(&format!("\nstruct {name} {{\n"))
            .expect(name)
            .1;
        let body = body.split_once("\n}").expect(name).0;
        // A line of the body that declares something: comments hold no semicolon before their
        // start.
        let count = body
            .lines()
            .filter(|line| {
                line.split("/*")
                    .next()
                    .is_some_and(|code| code.contains(';'))
            })
            .count();
        assert_eq!(count, members.len(), "members of {name}");
    }
}

#[test]
fn vmtp_h_compiles_as_c_and_cpp_and_agrees_with_this_crate() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vmtp_h.c");
    let strict = ["-Wpedantic", "-Wconversion", "-Wshadow"];
    for (name, compiler, options) in [
        ("c11", "cc", ["-std=c11", "-xc"]),
        ("c99", "cc", ["-std=c99", "-xc"]),
        ("gnu89", "cc", ["-std=gnu89", "-xc"]),
        ("cpp11", "c++", ["-std=c++11", "-xc++"]),
        ("cpp20", "c++", ["-std=c++20", "-xc++"]),
    ] {
        let options = [&options[..], &strict[..], &["-Wno-long-long"]].concat();
        let text = run(name, compiler, &options, &source);
        for line in text.lines() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["entity", text, bits] => {
                    let entity = parse_entity(text).expect(text);
                    assert_eq!(
                        (entity.to_string().as_str(), format!("{:#x}", entity.bits())),
                        (text, bits.into())
                    );
                }
                ["code", bits, name] => assert_eq!(
                    Code::from_word(bits.parse().expect(bits)).name(),
                    Some(name)
                ),
                _ => panic!("{line}"),
            }
        }
        assert_eq!(text.lines().count(), 7 + 25, "{text}");
    }
}
