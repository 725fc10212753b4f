//! Every file under `tests/data/bad/` has a mistake, and beside it the exact words that a user sees.
//!
//! `--set` and `--target` of a file stand in its first line: `# options: --set a=b --target c.yaml`.

use std::fs;
use std::path::Path;

use ringfleet::cli::check;
use ringfleet::cli::load::{Overrides, key_value};

use crate::scenarios::root;

#[test]
fn every_bad_file_is_explained_as_expected() {
    let bless = std::env::var_os("RINGFLEET_BLESS").is_some();
    let folder = root().join("tests/data/bad");
    let mut different = Vec::new();
    let mut files = 0;
    let mut accepted = String::new();
    for path in fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable").path()) {
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        files += 1;
        let shown = explain(&path);
        if shown.ends_with(" is accepted\n") {
            accepted.push_str(&shown);
        }
        let expected = path.with_extension("expected");
        if bless {
            fs::write(&expected, &shown).expect("writable");
        }
        let kept = fs::read_to_string(&expected).unwrap_or_default();
        if kept != shown {
            different.push(format!("--- {}\n{shown}\n+++ expected\n{kept}", path.display()));
        }
        assert!(!shown.contains("hunter2"), "{} shows a secret:\n{shown}", path.display());
    }
    assert!(files >= 30, "only {files} files");
    assert!(accepted.is_empty(), "{accepted}");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What `ringfleet check` prints, with paths that are the same on every machine.
fn explain(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("readable");
    let mut overrides = Overrides::default();
    let options = text.lines().next().and_then(|line| line.strip_prefix("# options: ")).unwrap_or("");
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let value = words.next().expect("an option has a value");
        match word {
            "--set" => overrides.set.push(key_value(value).expect("KEY=VALUE")),
            "--target" => overrides.target = Some(value.to_owned()),
            other => panic!("{}: unknown option {other}", path.display()),
        }
    }
    let mut out = Vec::new();
    let code = check::run(&[path.to_owned()], &overrides, false, &mut out).expect("a Vec takes every write");
    if code != 2 {
        return format!("{} is accepted\n", path.display());
    }
    let folder = format!("{}/", path.parent().expect("a folder").display());
    String::from_utf8(out).expect("UTF-8").replace(&folder, "")
}
