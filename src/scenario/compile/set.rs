//! `--set`: values of the command line put into the tree of a scenario, before it is checked like everything else.

use crate::scenario::tree::{self, Entry, Kind, Mark, Node, Value};

/// Keys that replace the caller's pool by one account; they are no part of the tree.
pub(super) const ACCOUNT: &[&str] = &["user", "auth_user", "password"];

/// Puts `value` at `key`: a dotted path (`load.calls`, `actors.agent.steps.0.dial.number`), a variable's name, or a
/// field of [`ACCOUNT`].
pub(super) fn put(root: &mut Node, key: &str, value: &str, index: usize) -> Result<(), (String, String)> {
    if ACCOUNT.contains(&key) {
        return Ok(());
    }
    let mark = Mark { line: 0, col: index as u32, len: 1 };
    let value = parse_value(value, mark);
    let is_variable = root.get("variables").is_some_and(|variables| variables.get(key).is_some());
    let top = ["description", "target", "variables", "caller", "actors", "load", "expect", "listen"];
    if is_variable {
        return at_path(root, &["variables", key], value, mark).map_err(|message| (message, String::new()));
    }
    let path: Vec<&str> = key.split('.').collect();
    if top.contains(&path[0]) {
        return at_path(root, &path, value, mark).map_err(|message| (message, String::new()));
    }
    let mut names: Vec<&str> = ACCOUNT.to_vec();
    if let Some(Value::Map(entries)) = root.get("variables").map(|variables| &variables.value) {
        names.extend(entries.iter().map(|entry| entry.key.as_str()));
    }
    let help = crate::scenario::diagnostic::did_you_mean(key, "a name", &names);
    Err((format!("`{key}` is no variable of the scenario and no path into it, as load.calls"), help))
}

fn at_path(node: &mut Node, path: &[&str], value: Node, mark: Mark) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *node = value;
        return Ok(());
    };
    if node.is_null() {
        node.value = Value::Map(Vec::new());
    }
    match &mut node.value {
        Value::Map(entries) => {
            let found = entries.iter().position(|entry| entry.key == *first);
            let at = found.unwrap_or_else(|| {
                let empty = Node { mark, value: Value::Map(Vec::new()) };
                entries.push(Entry { key: (*first).to_owned(), mark, node: empty });
                entries.len() - 1
            });
            at_path(&mut entries[at].node, rest, value, mark)
        }
        Value::List(items) => {
            let count = items.len();
            let item = first.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            let item =
                item.ok_or_else(|| format!("`{first}` is no entry of that list: it has {count}, the first is 0"))?;
            at_path(item, rest, value, mark)
        }
        Value::Scalar { .. } => Err(format!("there is nothing below `{first}`: what stands there is one value")),
    }
}

/// Lists and mappings may be given as `[..]` and `{..}`; everything else is one scalar, whatever YAML makes of it.
fn parse_value(text: &str, mark: Mark) -> Node {
    let scalar = Node { mark, value: Value::Scalar { text: text.to_owned(), kind: Kind::Plain } };
    if !text.starts_with(['[', '{']) {
        return scalar;
    }
    tree::parse(text).map_or(scalar, |(mut node, _)| {
        place(&mut node, mark);
        node
    })
}

fn place(node: &mut Node, mark: Mark) {
    node.mark = mark;
    match &mut node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter_mut().for_each(|item| place(item, mark)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| {
            entry.mark = mark;
            place(&mut entry.node, mark);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_into(text: &str, key: &str, value: &str) -> Result<String, String> {
        let (mut root, _) = tree::parse(text).expect("valid YAML");
        put(&mut root, key, value, 0).map_err(|(message, _)| message)?;
        Ok(root.to_json().to_string())
    }

    #[test]
    fn paths_and_variables_are_replaced() {
        let text = "load: { calls: 1 }\nvariables: { city: x }\nexpect: [a]\n";
        for (key, value, expected) in [
            ("load.rate", "5/s", r#"{"load":{"calls":"1","rate":"5/s"},"variables":{"city":"x"},"expect":["a"]}"#),
            ("city", "0800", r#"{"load":{"calls":"1"},"variables":{"city":"0800"},"expect":["a"]}"#),
            ("expect.0", "b", r#"{"load":{"calls":"1"},"variables":{"city":"x"},"expect":["b"]}"#),
            ("load", "{calls: 2}", r#"{"load":{"calls":"2"},"variables":{"city":"x"},"expect":["a"]}"#),
        ] {
            assert_eq!(put_into(text, key, value).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_name_that_is_nowhere_is_refused() {
        assert!(put_into("load: {}\n", "citty", "x").expect_err("unknown").contains("`citty` is no variable"));
        assert!(put_into("expect: [a]\n", "expect.1", "x").expect_err("too far").contains("it has 1, the first is 0"));
        assert!(put_into("target: a\n", "target.x", "y").expect_err("scalar").contains("nothing below"));
        assert!(put_into("load: {}\n", "safety.max_calls", "9").is_err());
    }
}
