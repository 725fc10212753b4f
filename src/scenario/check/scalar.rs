//! Scalars against their schema: words, patterns, ranges.

use serde_json::Value as Json;

use super::{Walker, allows, description, title, wanted};
use crate::scenario::diagnostic::did_you_mean;
use crate::scenario::tree::{Kind, Mark, Node, Value, number};

impl<'s> Walker<'s> {
    pub(super) fn scalar(&mut self, schema: &'s Json, node: &Node, at: Mark) -> Option<Node> {
        let words = words(schema);
        if !words.is_empty() {
            return self.word(schema, &words, node, at);
        }
        let Value::Scalar { text, kind } = &node.value else { return None };
        if schema.get("type").is_none() {
            return Some(by_its_looks(node));
        }
        if allows(schema, "string") && !node.is_null() {
            return self.matches_pattern(schema, text, node.mark).then(|| settled(node, Kind::Text));
        }
        if *kind == Kind::Plain && allows(schema, "boolean") && matches!(text.as_str(), "true" | "false") {
            return Some(settled(node, Kind::Truth));
        }
        let is_number = allows(schema, "integer") || allows(schema, "number");
        match number(text).filter(|_| *kind == Kind::Plain && is_number) {
            Some(value) if value.is_f64() && !allows(schema, "number") => self.wrong_type(schema, node, at),
            Some(value) => self.in_range(schema, &value, node.mark).then(|| settled(node, Kind::Number)),
            None => self.wrong_type(schema, node, at),
        }
    }

    fn word(&mut self, schema: &Json, words: &[&str], node: &Node, at: Mark) -> Option<Node> {
        let text = node.text().unwrap_or("");
        if node.is_null() {
            let message = format!("{} is missing here", a(title(schema).unwrap_or("word")));
            self.add(at, message, Some(did_you_mean("", &a(title(schema).unwrap_or("word")), words)));
            return None;
        }
        if words.contains(&text) {
            return Some(settled(node, Kind::Text));
        }
        self.unknown_word(title(schema).unwrap_or("word"), text, words, node.mark);
        None
    }

    pub(super) fn unknown_word(&mut self, noun: &str, text: &str, words: &[&str], mark: Mark) {
        let message =
            if is_noun(noun) { format!("unknown {noun} `{text}`") } else { format!("`{noun}` cannot be `{text}`") };
        self.add(mark, message, Some(did_you_mean(text, &a(noun), words)));
    }

    fn matches_pattern(&mut self, schema: &Json, text: &str, mark: Mark) -> bool {
        let Some(pattern) = schema.get("pattern").and_then(Json::as_str) else { return true };
        let pattern = regex_lite::Regex::new(pattern).expect("patterns of our own schemas are valid");
        let matches = pattern.is_match(text);
        if !matches {
            let help = description(schema).unwrap_or_else(|| format!("it has to match {pattern}"));
            self.add(mark, format!("`{text}` does not have the right form"), Some(help));
        }
        matches
    }

    fn in_range(&mut self, schema: &Json, value: &serde_json::Number, mark: Mark) -> bool {
        let value = value.as_f64().unwrap_or(f64::NAN);
        let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
        let (min, max) = (bound("minimum"), bound("maximum"));
        if min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max) {
            return true;
        }
        let range = match (min, max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("of {min} or more"),
            (_, max) => format!("up to {}", max.unwrap_or_default()),
        };
        self.add(mark, format!("expected {} {range}, found {value}", wanted(schema)), description(schema));
        false
    }
}

/// The words that a schema lists.
pub(super) fn words(schema: &Json) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
    listed.chain(schema.get("const")).filter_map(Json::as_str).collect()
}

pub(super) fn settled(node: &Node, kind: Kind) -> Node {
    let text = node.text().unwrap_or("").to_owned();
    Node { mark: node.mark, value: Value::Scalar { text, kind } }
}

/// For places where anything may stand.
pub(super) fn by_its_looks(node: &Node) -> Node {
    let Value::Scalar { text, kind: Kind::Plain } = &node.value else { return node.clone() };
    let kind = match text.as_str() {
        _ if node.is_null() => Kind::Null,
        "true" | "false" => Kind::Truth,
        text if number(text).is_some() => Kind::Number,
        _ => Kind::Text,
    };
    settled(node, kind)
}

/// Titles that are nouns; the others are names of fields.
fn is_noun(title: &str) -> bool {
    matches!(title, "step" | "expectation" | "behaviour" | "check" | "class" | "codec" | "word" | "value")
}

/// A noun with its article.
pub(super) fn a(noun: &str) -> String {
    if !is_noun(noun) {
        return format!("`{noun}`");
    }
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}
