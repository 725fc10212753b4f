//! Every file under `scenarios/` is an example, a test and a doc: all of them compile.

use std::fs;
use std::path::{Path, PathBuf};

use ringfleet::scenario::compile::{self, Input, kind_of};
use ringfleet::scenario::diagnostic::Diagnostics;
use ringfleet::scenario::schema::FileKind;

fn compile_file(path: &Path) -> Result<(), Diagnostics> {
    let text = fs::read_to_string(path).expect("readable");
    let input = Input {
        path,
        text: &text,
        target: None,
        set: &[],
        env: &|name| Some(format!("value of {name}")),
        read: &|path| fs::read_to_string(path),
    };
    match kind_of(&text) {
        FileKind::Scenario => compile::scenario(&input).map(drop),
        FileKind::Target => compile::target(&input).map(drop),
        FileKind::Watch => compile::watch(&input).map(drop),
        FileKind::Lab => compile::lab(&input).map(drop),
    }
}

#[test]
fn every_example_compiles() {
    let files = yaml_files(&root().join("scenarios"));
    assert!(files.len() >= 8, "{files:?}");
    let mut failed = Vec::new();
    for path in files {
        if let Err(diagnostics) = compile_file(&path) {
            failed.push(diagnostics.to_string());
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn schemas_are_those_of_the_types() {
    let bless = std::env::var_os("RINGFLEET_BLESS").is_some();
    for kind in FileKind::ALL {
        let path = root().join("schema").join(format!("{}.json", kind.name()));
        let generated = kind.schema_text();
        if bless {
            fs::create_dir_all(root().join("schema")).expect("writable");
            fs::write(&path, &generated).expect("writable");
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == generated, "{} is stale: run RINGFLEET_BLESS=1 cargo test schemas", path.display());
    }
}

pub(crate) fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()) {
        if entry.is_dir() {
            files.extend(yaml_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "yaml") {
            files.push(entry);
        }
    }
    files.sort();
    files
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
