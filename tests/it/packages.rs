//! Packages of tests that stand apart, with lock files of their own.

use std::fs;

#[test]
fn lock_files_of_the_packages_apart_know_every_dependency() {
    let read = |path: &str| fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("is there");
    let manifest = read("Cargo.toml");
    let section = manifest.split("\n[").find_map(|section| section.strip_prefix("dependencies]")).expect("has some");
    let names: Vec<&str> = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, rest)| match rest.split_once("package = \"") {
            Some((_, renamed)) => renamed.split('"').next().expect("the text before it"),
            None => name,
        })
        .collect();
    assert!(names.len() > 30, "{names:?}");
    for package in ["tests/interop", "tests/fuzz"] {
        let lock = read(&format!("{package}/Cargo.lock"));
        let entry = lock.split("[[package]]").find(|entry| entry.starts_with("\nname = \"ringfleet\"\n"));
        let entry = entry.expect("they use this crate");
        for name in &names {
            let known = entry.contains(&format!("\n \"{name}\"")) || entry.contains(&format!("\n \"{name} "));
            assert!(known, "{package}/Cargo.lock does not know {name}: run `cargo tree` there");
        }
    }
}
