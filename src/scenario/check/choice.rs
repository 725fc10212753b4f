//! Choices: externally tagged enums (`- dial: {..}`, `- hangup`), and values of more than one shape.

use serde_json::Value as Json;

use super::scalar::{a, words};
use super::{Walker, allows, found, required, title, wanted};
use crate::scenario::diagnostic::did_you_mean;
use crate::scenario::tree::{Entry, Kind, Mark, Node, Value};

impl<'s> Walker<'s> {
    pub(super) fn choice(&mut self, schema: &'s Json, node: &Node, at: Mark) -> Option<Node> {
        let mut shapes = Vec::new();
        self.flatten(schema, &mut shapes);
        let noun = self.noun(schema).unwrap_or("value");
        if node.is_null() {
            if shapes.iter().any(|shape| shape.get("type").is_some() && allows(shape, "null")) {
                return Some(super::scalar::settled(node, Kind::Null));
            }
            self.add(at, format!("{} is missing here", a(noun)), None);
            return None;
        }
        let (tagged, plain): (Vec<&Json>, Vec<&Json>) = shapes.into_iter().partition(|shape| tag(shape).is_some());
        match &node.value {
            Value::Map(entries) if !tagged.is_empty() => self.tagged(noun, &tagged, &plain, node, entries, at),
            Value::Scalar { text, .. } if !tagged.is_empty() || plain.iter().any(|shape| !words(shape).is_empty()) => {
                self.bare(noun, &tagged, &plain, text, node, at)
            }
            _ => self.by_shape(&plain, node, at),
        }
    }

    /// `- dial: {..}`: the key says what it is.
    fn tagged(
        &mut self,
        noun: &str,
        tagged: &[&'s Json],
        plain: &[&'s Json],
        node: &Node,
        entries: &[Entry],
        at: Mark,
    ) -> Option<Node> {
        let tags = all_words(tagged, plain);
        let [entry] = entries else {
            let message = format!("{} has one key, here are {}", a(noun), entries.len());
            let first = entries.iter().find(|entry| tags.contains(&entry.key.as_str()));
            let help = match first {
                Some(first) if first.node.is_null() => {
                    format!("indent what belongs to `{}` further than its name", first.key)
                }
                _ => format!("write each {noun} as an entry of its own; {}", did_you_mean("", &a(noun), &tags)),
            };
            self.add(entries.get(1).map_or(at, |entry| entry.mark), message, Some(help));
            return None;
        };
        let Some(shape) = tagged.iter().find(|shape| tag(shape) == Some(&entry.key)) else {
            if tags.contains(&entry.key.as_str()) {
                let message = format!("`{}` takes nothing", entry.key);
                self.add(entry.mark, message, Some(format!("write it as a bare word: `{}`", entry.key)));
            } else {
                self.unknown_word(noun, &entry.key, &tags, entry.mark);
            }
            return None;
        };
        let field = &shape["properties"][&entry.key];
        let is_word = plain.iter().any(|shape| words(shape).contains(&entry.key.as_str()));
        if entry.node.is_null() && !is_word {
            self.needs_more(&entry.key, self.resolve(field), entry.mark);
            return None;
        }
        // `- register:` with nothing behind it is the bare word.
        let inner = if entry.node.is_null() { empty(entry.mark) } else { self.value(field, &entry.node, entry.mark)? };
        Some(wrap(node.mark, &entry.key, entry.mark, inner))
    }

    /// `- hangup`: a word alone.
    fn bare(
        &mut self,
        noun: &str,
        tagged: &[&'s Json],
        plain: &[&'s Json],
        text: &str,
        node: &Node,
        at: Mark,
    ) -> Option<Node> {
        let typed: Vec<&Json> = plain.iter().copied().filter(|shape| words(shape).is_empty()).collect();
        if plain.iter().any(|shape| words(shape).contains(&text)) {
            let is_tag = tagged.iter().any(|shape| tag(shape) == Some(text));
            let word = super::scalar::settled(node, Kind::Text);
            return Some(if is_tag { wrap(node.mark, text, node.mark, empty(node.mark)) } else { word });
        }
        if let Some(shape) = tagged.iter().find(|shape| tag(shape) == Some(text)) {
            self.needs_more(text, self.resolve(&shape["properties"][text]), node.mark);
            return None;
        }
        if typed.iter().any(|shape| ["string", "integer", "number", "boolean"].iter().any(|kind| allows(shape, kind))) {
            return self.by_shape(&typed, node, at);
        }
        self.unknown_word(noun, text, &all_words(tagged, plain), node.mark);
        None
    }

    fn needs_more(&mut self, word: &str, schema: &Json, mark: Mark) {
        let fields: Vec<String> = required(schema).map(|field| format!("{field}: …")).collect();
        let more = if fields.is_empty() { "…".to_owned() } else { format!("{{ {} }}", fields.join(", ")) };
        self.add(mark, format!("`{word}` needs to be told more"), Some(format!("write `{word}: {more}`")));
    }

    /// What a choice is called: the first title on the way down.
    fn noun(&self, schema: &'s Json) -> Option<&'s str> {
        let schema = self.resolve(schema);
        let inner = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Json::as_array);
        title(schema).or_else(|| inner.into_iter().flatten().find_map(|shape| self.noun(shape)))
    }

    /// Values of more than one shape: those that fit are tried, the one with the fewest mistakes speaks.
    fn by_shape(&mut self, shapes: &[&'s Json], node: &Node, at: Mark) -> Option<Node> {
        let kinds: &[&str] = match &node.value {
            Value::List(_) => &["array"],
            Value::Map(_) => &["object"],
            Value::Scalar { .. } => &["string", "integer", "number", "boolean"],
        };
        let before = self.mistakes.len();
        let mut best: Option<(Option<Node>, Vec<super::Mistake>)> = None;
        for shape in shapes.iter().filter(|shape| kinds.iter().any(|kind| allows(shape, kind))) {
            let clean = self.value(shape, node, at);
            let mistakes = self.mistakes.split_off(before);
            if best.as_ref().is_none_or(|(_, fewest)| mistakes.len() < fewest.len()) {
                best = Some((clean, mistakes));
            }
        }
        let Some((clean, mistakes)) = best else {
            let wanted: Vec<String> = shapes.iter().map(|shape| wanted(shape)).filter(|w| !w.is_empty()).collect();
            let message = format!("expected {}, found {}", wanted.join(" or "), found(node));
            self.add(node.mark, message, shapes.first().and_then(|shape| super::description(shape)));
            return None;
        };
        self.mistakes.extend(mistakes);
        clean
    }

    fn flatten(&self, schema: &'s Json, shapes: &mut Vec<&'s Json>) {
        let schema = self.resolve(schema);
        let inner = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Json::as_array);
        match inner {
            Some(inner) => inner.iter().for_each(|shape| self.flatten(shape, shapes)),
            None => shapes.push(schema),
        }
    }
}

/// The tag of a variant of an externally tagged enum.
fn tag(shape: &Json) -> Option<&str> {
    let properties = shape.get("properties")?.as_object()?;
    let (name, _) = properties.iter().next().filter(|_| properties.len() == 1)?;
    let is_variant = title(shape).is_none() && required(shape).eq([name.as_str()]);
    is_variant.then_some(name.as_str())
}

fn all_words<'s>(tagged: &[&'s Json], plain: &[&'s Json]) -> Vec<&'s str> {
    let mut all: Vec<&str> = tagged.iter().filter_map(|shape| tag(shape)).collect();
    for word in plain.iter().flat_map(|shape| words(shape)) {
        if !all.contains(&word) {
            all.push(word);
        }
    }
    all
}

fn empty(mark: Mark) -> Node {
    Node { mark, value: Value::Map(Vec::new()) }
}

fn wrap(mark: Mark, key: &str, key_mark: Mark, node: Node) -> Node {
    Node { mark, value: Value::Map(vec![Entry { key: key.to_owned(), mark: key_mark, node }]) }
}
