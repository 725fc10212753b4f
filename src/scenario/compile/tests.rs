use std::path::PathBuf;

use super::*;
use crate::scenario::plan::{ExpectationKind, Step};

fn compile_with(text: &str, files: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Compiled, String> {
    let files: BTreeMap<PathBuf, String> = files.iter().map(|(p, t)| (PathBuf::from(p), (*t).to_owned())).collect();
    let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let input = Input {
        path: Path::new("s/test.yaml"),
        text,
        target: None,
        set: &set,
        env: &|name| (name == "PW").then(|| "hunter2".to_owned()),
        read: &|path| files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()),
    };
    scenario(&input).map_err(|diagnostics| diagnostics.to_string())
}

const OUTBOUND: &str = "\
scenario: outbound-dial
target: lab
caller:
  account: agents
  steps:
    - register
    - dial: { number: echo, answer_within: 20s }
    - talk: { for: 10s, send: speech }
    - hangup
load: { calls: 1 }
expect:
  - each: { outcome: answered, audio: two_way }
";

#[test]
fn the_first_scenario_compiles_against_the_lab() {
    let compiled = compile_with(OUTBOUND, &[], &[]).expect("valid");
    let plan = &compiled.plan;
    let caller = &plan.actors[0];
    assert_eq!(caller.pool.as_ref().map(|pool| pool.accounts.len()), Some(20));
    let Step::Dial(dial) = &caller.steps[1] else { panic!("a dial") };
    assert_eq!(dial.number.text.as_constant(), Some("2000"));
    assert_eq!(dial.number.name.as_deref(), Some("echo"));
    assert_eq!(plan.load.planned(), Some(1));
    assert!(matches!(plan.expect[0].kind, ExpectationKind::Each(_)));
    assert_eq!(plan.expect[0].text, "each: { outcome: answered, audio: two_way }");
    assert!(compiled.lab.is_some());
}
