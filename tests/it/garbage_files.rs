//! Whatever a file holds, reading it ends with a plan or with mistakes: never with a panic.

use std::path::Path;

use proptest::prelude::*;
use ringfleet::scenario::compile::{self, Input, kind_of};
use ringfleet::scenario::tree;

use crate::scenarios::{root, yaml_files};

fn read_all(text: &str) {
    let path = Path::new("scenarios/x.yaml");
    let read = |path: &Path| std::fs::read_to_string(root().join(path));
    let input = Input { path, text, target: None, set: &[], env: &|_| Some("x".into()), read: &read };
    kind_of(text);
    let shown =
        |diagnostics: ringfleet::scenario::diagnostic::Diagnostics| assert!(!diagnostics.to_string().is_empty());
    compile::scenario(&input).map_or_else(shown, drop);
    compile::target(&input).map_or_else(shown, drop);
    compile::lab(&input).map_or_else(shown, drop);
}

/// An example with some lines taken out, doubled, or with some characters replaced.
fn damaged() -> impl Strategy<Value = String> {
    let texts: Vec<String> = yaml_files(&root().join("scenarios"))
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("readable"))
        .collect();
    let character = prop::sample::select("{}[]:,-\"'&*|>#!%@ \t\n0a~${}é".chars().collect::<Vec<_>>());
    (prop::sample::select(texts), prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, character), 1..6))
        .prop_map(|(text, damage)| {
            let mut chars: Vec<char> = text.chars().collect();
            for (index, kind, character) in damage {
                let at = index.index(chars.len().max(1));
                match kind {
                    0 if at < chars.len() => chars[at] = character,
                    1 if at < chars.len() => drop(chars.remove(at)),
                    2 => chars.insert(at, character),
                    _ => drop(chars.drain(at..(at + 12).min(chars.len()))),
                }
            }
            chars.into_iter().collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_examples_are_explained(text in damaged()) {
        read_all(&text);
    }

    #[test]
    fn any_text_is_read_to_its_end(text in "\\PC{0,200}") {
        let _ = tree::parse(&text);
        read_all(&text);
    }
}
