//! All mistakes of shape at once: walks a tree against the schema of its file.
//!
//! The result is the tree without what was wrong, and with the kind of each scalar settled by the schema, so that serde
//! reads it and later checks (`compile`) can go on and report theirs in the same go.

mod choice;
mod scalar;

use serde_json::Value as Json;

use super::diagnostic::did_you_mean;
use super::tree::{Entry, Kind, Mark, Node, Value};

/// A mistake of shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub mark: Mark,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// What is left of the tree once what is wrong is taken out (`None` where nothing usable is left), and the mistakes.
pub fn walk(schema: &Json, root: &Node) -> (Option<Node>, Vec<Mistake>) {
    let mut walker = Walker { definitions: schema.get("$defs").unwrap_or(&Json::Null), mistakes: Vec::new() };
    let clean = walker.value(schema, root, root.mark);
    (clean, walker.mistakes)
}

struct Walker<'s> {
    definitions: &'s Json,
    mistakes: Vec<Mistake>,
}

impl<'s> Walker<'s> {
    /// Checks `node`; `at` is the place of its key, for mistakes about what is not there.
    fn value(&mut self, schema: &'s Json, node: &Node, at: Mark) -> Option<Node> {
        let schema = self.resolve(schema);
        if schema.get("oneOf").is_some() || schema.get("anyOf").is_some() {
            return self.choice(schema, node, at);
        }
        if node.is_null() && allows(schema, "null") {
            return Some(scalar::settled(node, Kind::Null));
        }
        match &node.value {
            Value::Scalar { .. } => self.scalar(schema, node, at),
            Value::List(items) if allows(schema, "array") => self.list(schema, node.mark, items),
            Value::Map(entries) if allows(schema, "object") => self.map(schema, node.mark, entries, at),
            _ => self.wrong_type(schema, node, at),
        }
    }

    fn list(&mut self, schema: &'s Json, mark: Mark, items: &[Node]) -> Option<Node> {
        let each = schema.get("items").unwrap_or(&Json::Bool(true));
        let items = items.iter().filter_map(|item| self.value(each, item, item.mark)).collect();
        Some(Node { mark, value: Value::List(items) })
    }

    fn map(&mut self, schema: &'s Json, mark: Mark, entries: &[Entry], at: Mark) -> Option<Node> {
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties").unwrap_or(&Json::Bool(true));
        let mut kept = Vec::new();
        let mut usable = true;
        for entry in entries {
            let field = properties.and_then(|properties| properties.get(&entry.key));
            let Some(field) = field.or((*others != Json::Bool(false)).then_some(others)) else {
                self.unknown_key(schema, entry);
                continue;
            };
            let is_plain_text = field.get("pattern").is_some() && entry.node.text().is_some();
            match self.value(field, &entry.node, entry.mark) {
                // A name of the wrong form is still a text: later checks can go on with it.
                None if is_plain_text && is_required(schema, &entry.key) => {
                    kept.push(Entry { node: scalar::settled(&entry.node, Kind::Text), ..entry.clone() });
                }
                Some(node) => kept.push(Entry { key: entry.key.clone(), mark: entry.mark, node }),
                None => usable &= !is_required(schema, &entry.key),
            }
        }
        for name in required(schema).filter(|name| entries.iter().all(|entry| entry.key != *name)) {
            usable = false;
            let message = format!("`{name}` is missing{}", in_what(schema));
            let field = properties.and_then(|properties| properties.get(name));
            let help = field.and_then(|field| description(field).or_else(|| description(self.resolve(field))));
            self.add(at, message, help.map(|text| format!("{name}: {text}")));
        }
        usable.then_some(Node { mark, value: Value::Map(kept) })
    }

    fn unknown_key(&mut self, schema: &Json, entry: &Entry) {
        let keys: Vec<&str> = schema
            .get("properties")
            .and_then(Json::as_object)
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let message = format!("unknown key `{}`{}", entry.key, in_what(schema));
        self.add(entry.mark, message, Some(did_you_mean(&entry.key, "a key", &keys)));
    }

    fn wrong_type(&mut self, schema: &Json, node: &Node, at: Mark) -> Option<Node> {
        let message = format!("expected {}, found {}", wanted(schema), found(node));
        let mark = if node.is_null() { at } else { node.mark };
        self.add(mark, message, description(schema));
        None
    }

    fn resolve(&self, schema: &'s Json) -> &'s Json {
        let mut schema = schema;
        while let Some(name) = schema.get("$ref").and_then(Json::as_str) {
            let name = name.strip_prefix("#/$defs/").expect("schemars writes local references");
            schema = self.definitions.get(name).expect("schemars defines what it refers to");
        }
        schema
    }

    fn add(&mut self, mark: Mark, message: String, help: Option<String>) {
        self.mistakes.push(Mistake { mark, message, help });
    }
}

/// Whether the schema takes values of this JSON type.
fn allows(schema: &Json, kind: &str) -> bool {
    match schema.get("type") {
        Some(Json::String(one)) => one == kind,
        Some(Json::Array(several)) => several.iter().any(|one| one == kind),
        _ => schema.get("enum").is_none() && schema.get("const").is_none(),
    }
}

fn required(schema: &Json) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}

fn is_required(schema: &Json, key: &str) -> bool {
    required(schema).any(|name| name == key)
}

fn title(schema: &Json) -> Option<&str> {
    schema.get("title").and_then(Json::as_str)
}

fn in_what(schema: &Json) -> String {
    title(schema).map(|title| format!(" in `{title}`")).unwrap_or_default()
}

/// The text of a field, line breaks undone.
fn description(schema: &Json) -> Option<String> {
    let text = schema.get("description").and_then(Json::as_str)?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What a schema wants, in words.
fn wanted(schema: &Json) -> String {
    let names: Vec<&str> = [
        ("string", "a text"),
        ("boolean", "true or false"),
        ("integer", "a whole number"),
        ("number", "a number"),
        ("array", "a list"),
        ("object", "a mapping"),
    ]
    .iter()
    .filter(|(kind, _)| allows(schema, kind))
    .map(|(_, name)| *name)
    .collect();
    names.join(" or ")
}

/// What a node is, in words, without its value: it may be a secret.
fn found(node: &Node) -> &'static str {
    match &node.value {
        _ if node.is_null() => "nothing",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
        Value::Scalar { text, kind: Kind::Plain } if super::tree::number(text).is_some() => "a number",
        Value::Scalar { text, kind: Kind::Plain } if matches!(text.as_str(), "true" | "false") => "true or false",
        Value::Scalar { .. } => "a text",
    }
}

#[cfg(test)]
mod tests;
