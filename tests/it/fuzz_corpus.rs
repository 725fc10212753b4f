//! The corpus of the fuzz targets, fed to what they feed: what was found once stays found.

use std::path::Path;

use proptest::prelude::*;

use crate::fuzz_entries::ALL;
use crate::scenarios::root;
use crate::torture_messages;

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

#[test]
fn every_file_of_the_corpus_is_read_by_its_target_without_a_panic() {
    let corpus = root().join("tests/fuzz/corpus");
    for (name, entry) in ALL {
        let inputs = files(&corpus.join(name));
        assert!(!inputs.is_empty(), "{name} has no corpus");
        inputs.iter().for_each(|bytes| entry(bytes));
    }
    let folders = std::fs::read_dir(&corpus).expect("readable").count();
    assert_eq!(folders, ALL.len(), "each folder has its target");
}

#[test]
fn every_target_reads_the_torture_messages_and_the_empty_input() {
    for (_, entry) in ALL {
        entry(b"");
        torture_messages::all().for_each(|(_, bytes, _)| entry(&bytes));
    }
}

/// A file of a target's corpus with some bytes changed, taken out, doubled or put in.
fn damaged() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let inputs = ALL.map(|(name, _)| files(&root().join("tests/fuzz/corpus").join(name)));
    let damage = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5_u8, any::<u8>());
    (0..ALL.len(), any::<prop::sample::Index>(), prop::collection::vec(damage, 1..8)).prop_map(
        move |(target, file, damage)| {
            let mut bytes = inputs[target][file.index(inputs[target].len())].clone();
            for (from, to, kind, byte) in damage {
                let (a, b) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
                let (begin, end) = (a.min(b), a.max(b));
                match kind {
                    0 => bytes.insert(begin, byte),
                    1 => drop(bytes.drain(begin..end.min(begin + 40))),
                    2 => bytes.truncate(end),
                    3 if bytes.len() < 20_000 => bytes.extend_from_within(begin..end),
                    _ if begin < bytes.len() => bytes[begin] = byte,
                    _ => {}
                }
            }
            (target, bytes)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn damaged_files_of_the_corpus_are_read_without_a_panic((target, bytes) in damaged()) {
        ALL[target].1(&bytes);
    }
}

/// `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000)
}
