// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the tests claim to show.
//!
//! In Rust a doc line `/// Shows: id, id` directly above `#[test]`; in C `/* Shows: id */` above
//! `TEST(name)` or `TEST_F(fixture, name)`; in shell and Python `# Shows: id` above the test's
//! function, or above the line that runs it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Who claims what.
#[derive(Default, Debug)]
pub(crate) struct Claims {
    /// Requirement to the tests that show it.
    pub(crate) tests: BTreeMap<String, Vec<String>>,
    /// Claims that belong to no test.
    pub(crate) errors: Vec<String>,
}

#[derive(Clone, Copy)]
enum Language {
    Rust,
    C,
    Script,
}

impl Claims {
    /// Takes in every source file below `folder`; `name` is how it is called in what is printed.
    pub(crate) fn scan(&mut self, folder: &Path, name: &Path) -> Result<()> {
        if !folder.is_dir() {
            return Ok(());
        }
        let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = name.join(entry.file_name());
            let kind = entry.file_type()?;
            // The sources of this tool have claims in them that are no claims.
            let skipped = ["target", "build", "rfc"].map(OsStr::new);
            if kind.is_dir() && !skipped.contains(&entry.file_name().as_os_str()) {
                self.scan(&path, &name)?;
            } else if kind.is_file() {
                let Some(language) = language(&path) else {
                    continue;
                };
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                self.read(&text, language, &name.display().to_string());
            }
        }
        Ok(())
    }

    fn read(&mut self, text: &str, language: Language, file: &str) {
        let mut pending: Vec<String> = Vec::new();
        let mut is_test = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(ids) = claim(line, language) {
                pending.extend(ids);
                continue;
            }
            if pending.is_empty() {
                continue;
            }
            let test = match language {
                Language::Rust => {
                    let attribute = line.starts_with("#[") && line.ends_with(']');
                    is_test |= attribute && line.contains("test]");
                    if attribute && !line.starts_with("#[ignore") || line.starts_with("//") {
                        continue;
                    }
                    rust_function(line).filter(|_| is_test)
                }
                Language::C => {
                    if line.starts_with('*') || line.starts_with("//") {
                        continue;
                    }
                    c_test(line)
                }
                Language::Script => {
                    if line.starts_with('#') {
                        continue;
                    }
                    script_test(line)
                }
            };
            match test {
                Some(test) => {
                    for id in pending.drain(..) {
                        let tests = self.tests.entry(id).or_default();
                        tests.push(format!("{file}: {test}"));
                    }
                }
                None => {
                    let place = format!("{file}:{}", number + 1);
                    self.errors
                        .push(format!("{place}: no test follows {}", pending.join(", ")));
                    pending.clear();
                }
            }
            is_test = false;
        }
        if !pending.is_empty() {
            self.errors
                .push(format!("{file}: no test follows {}", pending.join(", ")));
        }
    }
}

fn language(path: &Path) -> Option<Language> {
    match path.extension()?.to_str()? {
        "rs" => Some(Language::Rust),
        "c" | "h" => Some(Language::C),
        "sh" | "py" => Some(Language::Script),
        _ => None,
    }
}

/// The ids of a line that is a claim.
fn claim(line: &str, language: Language) -> Option<Vec<String>> {
    let openings: &[&str] = match language {
        Language::Rust => &["///"],
        Language::C => &["/*", "*", "//"],
        Language::Script => &["#"],
    };
    let text = openings.iter().find_map(|o| line.strip_prefix(o))?;
    let ids = text.trim_start().strip_prefix("Shows:")?;
    let ids = ids.trim_end().trim_end_matches("*/").trim_end_matches('.');
    Some(
        ids.split(|c: char| c == ',' || c.is_whitespace())
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
            .collect(),
    )
}

fn rust_function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    name(line.strip_prefix("fn ")?)
}

/// The name at the start of `text`.
fn name(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let name = text.get(..end)?;
    (!name.is_empty()).then_some(name)
}

fn c_test(line: &str) -> Option<&str> {
    let arguments = line.strip_prefix("TEST")?.split_once('(')?.1;
    let arguments = arguments.split(')').next()?;
    name(arguments.rsplit(',').next()?.trim())
}

/// A function of shell or Python, or else the line that runs the test.
fn script_test(line: &str) -> Option<&str> {
    let function = line
        .strip_prefix("def ")
        .or_else(|| line.strip_prefix("function "))
        .or_else(|| line.contains("()").then_some(line));
    match function {
        Some(function) => name(function),
        None if line.is_empty() => None,
        None => Some(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, language: Language) -> Claims {
        let mut claims = Claims::default();
        claims.read(text, language, "f");
        claims
    }

    #[test]
    fn a_rust_test_claims_what_its_doc_line_says() {
        let claims = read(
            "/// Shows: 1-a, 2.1-b\n#[test]\nfn it_holds() {}\n",
            Language::Rust,
        );
        assert_eq!(claims.tests["1-a"], ["f: it_holds"]);
        assert_eq!(claims.tests["2.1-b"], ["f: it_holds"]);
        assert!(claims.errors.is_empty());
    }

    #[test]
    fn a_claim_without_a_test_that_runs_is_an_error() {
        for text in [
            "/// Shows: 1-a\nfn helper() {}\n",
            "/// Shows: 1-a\n\n#[test]\nfn far_away() {}\n",
            "/// Shows: 1-a\n#[test]\n#[ignore]\nfn ignored() {}\n",
            "/// Shows: 1-a\n",
        ] {
            let claims = read(text, Language::Rust);
            assert!(claims.tests.is_empty(), "{text}");
            assert_eq!(claims.errors.len(), 1, "{text}");
        }
    }

    #[test]
    fn c_and_shell_tests_claim_too() {
        let c = "/* Shows: 1-a */\nTEST_F(pair, echo)\n/*\n * Shows: 1-b, 1-c\n */\nTEST(alone)\n";
        let claims = read(c, Language::C);
        assert_eq!(claims.tests["1-a"], ["f: echo"]);
        assert_eq!(claims.tests["1-c"], ["f: alone"]);
        let shell = "# Shows: 1-a\n# more\nloads()\n# Shows: 1-b\nrun ping -c 1\n";
        let claims = read(shell, Language::Script);
        assert_eq!(claims.tests["1-a"], ["f: loads"]);
        assert_eq!(claims.tests["1-b"], ["f: run ping -c 1"]);
    }
}
