use super::*;
use crate::scenario::schema::FileKind;
use crate::scenario::tree;

fn mistakes(text: &str) -> Vec<(u32, u32, String)> {
    let (root, _) = tree::parse(text).expect("valid YAML");
    let schema = FileKind::Scenario.schema();
    let (_, mistakes) = walk(&schema, &root);
    mistakes.into_iter().map(|m| (m.mark.line, m.mark.col, m.message)).collect()
}

#[test]
fn every_mistake_of_a_file_is_found_in_one_go() {
    let text = "\
scenario: x
lod: { calls: 1 }
caller:
  account: a
  steps:
    - dail: { number: echo }
    - dial: { numbr: echo, answer_within: 20 }
    - talk: { for: [1] }
    - hangup: {}
    - hangop
load: { calls: none, concurrent: 0 }
";
    let expected = [
        (2, 1, "unknown key `lod` in `scenario`"),
        (6, 7, "unknown step `dail`"),
        (7, 15, "unknown key `numbr` in `dial`"),
        (7, 43, "`20` does not have the right form"),
        (7, 7, "`number` is missing in `dial`"),
        (8, 20, "expected a text, found a list"),
        (9, 7, "`hangup` takes nothing"),
        (10, 7, "unknown step `hangop`"),
        (11, 16, "expected a whole number, found a text"),
        (11, 34, "expected a whole number from 1 to 1000000, found 0"),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(line, col, text)| (line, col, text.to_owned())).collect();
    assert_eq!(mistakes(text), expected);
}

#[test]
fn bare_words_stand_for_steps_with_defaults() {
    let text = "scenario: x\ncaller: { steps: [register, { talk: }, { register: { expires: 60 } }, hangup] }\n";
    let (root, _) = tree::parse(text).expect("valid YAML");
    let (clean, mistakes) = walk(&FileKind::Scenario.schema(), &root);
    assert_eq!(mistakes, []);
    let json = clean.expect("usable").to_json();
    let expected = serde_json::json!([{"register": {}}, {"talk": {}}, {"register": {"expires": 60}}, "hangup"]);
    assert_eq!(json["caller"]["steps"], expected);
}

#[test]
fn a_value_under_a_step_that_is_not_indented_is_understood() {
    let text = "scenario: x\ncaller:\n  steps:\n    - dial:\n      number: echo\n";
    let (root, _) = tree::parse(text).expect("valid YAML");
    let (_, mistakes) = walk(&FileKind::Scenario.schema(), &root);
    assert_eq!(mistakes[0].message, "a step has one key, here are 2");
    assert_eq!(mistakes[0].help.as_deref(), Some("indent what belongs to `dial` further than its name"));
}

#[test]
fn digits_keep_their_characters() {
    let text = "scenario: x\nvariables: { a: 0800123, b: 1_0, c: 1e3, d: \"7\" }\n";
    let (root, _) = tree::parse(text).expect("valid YAML");
    let (clean, _) = walk(&FileKind::Scenario.schema(), &root);
    let expected = serde_json::json!({ "a": "0800123", "b": "1_0", "c": "1e3", "d": "7" });
    assert_eq!(clean.expect("usable").to_json()["variables"], expected);
}
