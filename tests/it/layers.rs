//! Data flows one way: a module names only modules that stand above it in the table of `src/lib.rs`.

use std::fs;
use std::path::{Path, PathBuf};

const ORDER: &[&str] = &[
    "units", "timer", "sip", "media", "webrtc", "record", "measure", "pace", "scenario", "station", "call", "evidence",
    "pbx", "incident", "report", "net", "reactor", "engine", "sink", "serve", "watch", "cli",
];

/// Modules of the core: values in, values out.
const CORE: usize = 15;

#[test]
fn each_module_names_only_modules_above_it() {
    let mut mistakes = Vec::new();
    for (module, file, text) in sources() {
        let own = position(&module).unwrap_or_else(|| panic!("{module} has no place in ORDER: {}", file.display()));
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for named in crate_paths(line) {
                if position(named).is_some_and(|place| place > own) {
                    mistakes.push(format!("{}:{}: {module} names {named}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn the_core_touches_no_clock_socket_file_or_thread() {
    const WORLD: &[&str] =
        &["std::net::Udp", "std::net::Tcp", "std::fs", "std::thread", "tokio::", "mio::", "async fn"];
    let mut mistakes = Vec::new();
    for (module, file, text) in sources() {
        if position(&module).is_none_or(|place| place >= CORE) {
            continue;
        }
        for word in WORLD.iter().filter(|word| text.contains(**word)) {
            mistakes.push(format!("{}: {word}", file.display()));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn the_architecture_page_lists_the_modules_in_this_order() {
    let page = fs::read_to_string(root().join("src/lib.rs")).expect("readable");
    let listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("//! | ")?.split('`').nth(1)?.into())
        .filter(|name| position(name).is_some())
        .collect();
    assert_eq!(listed, ORDER);
}

fn position(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

/// The names after each `crate::` in a line.
fn crate_paths(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(""))
}

/// (top-level module, path, text) of each source file below `src/`.
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = root().join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let relative = entry.strip_prefix(&src).expect("below src");
                let first = relative.components().next().expect("not empty").as_os_str().to_string_lossy();
                let module = first.trim_end_matches(".rs").to_owned();
                if module != "lib" && module != "main" {
                    let text = fs::read_to_string(&entry).expect("readable");
                    found.push((module, entry, text));
                }
            }
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
