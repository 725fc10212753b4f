//! YAML as a tree that remembers where each key and value stands.
//!
//! Built from the parser's events, so that a file with ten mistakes can show ten places. Scalars keep their characters
//! (`0800` stays `0800`): what they mean is decided by the schema, not by their looks. Depth, size and the growth
//! through aliases are bounded.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub mark: Mark,
    /// What it is.
    pub value: Value,
}

/// A place in a file, or an override on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line from 1; 0 for a value that came from `--set`.
    pub line: u32,
    /// Column from 1, in characters; for `--set` the index of the override.
    pub col: u32,
    /// Characters it covers on its line, at least 1.
    pub len: u32,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text, number, truth value or nothing.
    Scalar {
        /// Its characters, after quotes and escapes are undone.
        text: String,
        /// What it is taken for.
        kind: Kind,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the file; keys are unique.
    Map(Vec<Entry>),
}

/// What a scalar is taken for: by its looks when it is read, by the schema once it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Without quotes: not decided yet.
    Plain,
    /// A text.
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Truth,
    /// Nothing was written.
    Null,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub mark: Mark,
    /// The value.
    pub node: Node,
}

/// A mistake in the YAML itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TreeError {
    /// Where.
    pub mark: Mark,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// Levels of nesting, characters of a file and nodes of a tree (aliases count as often as they are used).
const MAX_DEPTH: usize = 64;
const MAX_CHARS: usize = 1 << 20;
const MAX_NODES: usize = 100_000;

impl Node {
    /// The value under `key`, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of `key`.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The characters of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Nothing was written where a value could stand.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { kind: Kind::Null, .. } => true,
            Value::Scalar { text, kind: Kind::Plain } => matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"),
            _ => false,
        }
    }

    /// As JSON, once every scalar has its kind.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => Json::Object(entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect()),
            Value::Scalar { kind: Kind::Null, .. } => Json::Null,
            Value::Scalar { text, kind: Kind::Truth } => Json::Bool(text == "true"),
            Value::Scalar { text, kind: Kind::Number } => number(text).map_or(Json::Null, Json::Number),
            Value::Scalar { text, .. } => Json::String(text.clone()),
        }
    }

    fn height(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => 1 + items.iter().map(Self::height).max().unwrap_or(0),
            Value::Map(entries) => 1 + entries.iter().map(|entry| entry.node.height()).max().unwrap_or(0),
        }
    }

    fn size(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|entry| entry.node.size()).sum::<usize>(),
        }
    }
}

/// A decimal number as JSON has it; leading zeros are no number but digits that somebody dials.
pub fn number(text: &str) -> Option<serde_json::Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit())
        || (digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."))
    {
        return None;
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    text.parse::<f64>().ok().and_then(serde_json::Number::from_f64)
}

/// Reads a file of one YAML document.
///
/// Besides the tree it gives mistakes that leave the tree usable (a key written twice: the first counts).
///
/// # Errors
/// [`TreeError`] where the text is no YAML, or is too large.
pub fn parse(text: &str) -> Result<(Node, Vec<TreeError>), TreeError> {
    if text.chars().nth(MAX_CHARS).is_some() {
        return Err(error(Mark { line: 1, col: 1, len: 1 }, "the file is larger than a million characters", None));
    }
    let mut builder =
        Builder { events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, soft: Vec::new() };
    let root = builder.document()?;
    Ok((root, builder.soft))
}

struct Builder<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    soft: Vec<TreeError>,
}

impl<'t> Builder<'t> {
    fn document(&mut self) -> Result<Node, TreeError> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    let help = "put each document into a file of its own";
                    return Err(error(mark(span), "a second document begins here", Some(help)));
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        root.ok_or_else(|| error(Mark { line: 1, col: 1, len: 1 }, "the file is empty", None))
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, TreeError> {
        let mark = mark(span);
        self.count(mark, 1)?;
        if depth > MAX_DEPTH {
            return Err(error(mark, "nested deeper than 64 levels", None));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let kind = if style == ScalarStyle::Plain { Kind::Plain } else { Kind::Text };
                (Value::Scalar { text: text.into_owned(), kind }, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, mark, depth),
            _ => return Err(error(mark, "expected a value here", None)),
        };
        let node = Node { mark, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, TreeError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, TreeError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, u32> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let mark = mark(span);
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(error(mark, "a key has to be one word", None)),
            };
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            if key == "<<" {
                self.soft.push(error(mark, "merge keys (`<<`) are not supported", Some("write the keys out")));
            } else if let Some(first) = seen.get(&key) {
                let message = format!("`{key}` is written twice; the first is on line {first}");
                self.soft.push(error(mark, &message, Some("keep one of the two")));
            } else {
                seen.insert(key.clone(), mark.line);
                entries.push(Entry { key, mark, node });
            }
        }
    }

    /// An alias is a copy; its place is where the alias stands.
    fn alias(&mut self, anchor: usize, mark: Mark, depth: usize) -> Result<Node, TreeError> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(error(mark, "an alias inside the value that it names", Some("write the value out")));
        };
        self.count(mark, node.size())?;
        if depth + node.height() > MAX_DEPTH {
            return Err(error(mark, "nested deeper than 64 levels", None));
        }
        Ok(node)
    }

    fn count(&mut self, mark: Mark, nodes: usize) -> Result<(), TreeError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(error(mark, "more than 100,000 values, counting each use of an alias", None));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), TreeError> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(scan)) => {
                let at = scan.marker();
                let mark = Mark { line: at.line() as u32, col: at.col() as u32 + 1, len: 1 };
                Err(error(mark, &format!("not valid YAML: {}", scan.info()), None))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }
}

fn mark(span: Span) -> Mark {
    let (start, end) = (span.start, span.end);
    let len = if start.line() == end.line() { end.col().saturating_sub(start.col()).max(1) } else { 1 };
    Mark { line: start.line() as u32, col: start.col() as u32 + 1, len: len as u32 }
}

fn error(mark: Mark, message: &str, help: Option<&str>) -> TreeError {
    TreeError { mark, message: message.to_owned(), help: help.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        parse(text).expect("valid YAML").0
    }

    #[test]
    fn keys_and_values_remember_their_places() {
        let root = tree("a: 1\nsteps:\n  - dial: { number: 0800123 }\n");
        let Value::List(steps) = &root.get("steps").expect("there").value else { panic!("a list") };
        let dial = steps[0].entry("dial").expect("there");
        assert_eq!((dial.mark.line, dial.mark.col, dial.mark.len), (3, 5, 4));
        let number = dial.node.get("number").expect("there");
        assert_eq!((number.text(), number.mark.col, number.mark.len), (Some("0800123"), 21, 7));
    }

    #[test]
    fn a_key_written_twice_is_reported_and_the_first_counts() {
        let (root, soft) = parse("a: 1\nb: 2\na: 3\n").expect("usable");
        assert_eq!(root.get("a").and_then(Node::text), Some("1"));
        assert_eq!(soft[0].mark.line, 3);
        assert_eq!(soft[0].message, "`a` is written twice; the first is on line 1");
    }

    #[test]
    fn an_alias_is_a_copy_and_laughs_are_bounded() {
        let root = tree("a: &x [1, 2]\nb: *x\n");
        assert_eq!(root.get("a").map(|n| &n.value), root.get("b").map(|n| &n.value));
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{},", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        assert!(parse(&bomb).expect_err("too large").message.starts_with("more than 100,000 values"));
        assert!(parse(&"[".repeat(5000)).is_err());
        let nest = |inner: &str| format!("{}{inner}{}", "[".repeat(40), "]".repeat(40));
        let deep = format!("a: &a {}\nb: {}\n", nest("x"), nest("*a"));
        assert_eq!(parse(&deep).expect_err("too deep").message, "nested deeper than 64 levels");
    }

    #[test]
    fn digits_with_a_leading_zero_are_no_number() {
        assert_eq!(number("0800"), None);
        assert_eq!(number("0"), Some(0.into()));
        assert_eq!(number("0.5").map(|n| n.to_string()), Some("0.5".into()));
        assert_eq!(number("inf"), None);
    }

    #[test]
    fn files_of_other_systems_are_read_alike() {
        let root = tree("\u{feff}a: 1\r\nb: x\r\n");
        assert_eq!(root.get("a").and_then(Node::text), Some("1"));
        assert_eq!(root.get("b").and_then(Node::text), Some("x"));
    }

    #[test]
    fn broken_yaml_names_its_place() {
        let error = parse("a: [1, 2\nb: 3\n").expect_err("broken");
        assert_eq!(error.mark.line, 2);
        assert!(parse("").expect_err("empty").message.contains("empty"));
        assert!(parse("a: 1\n---\nb: 2\n").expect_err("two").message.contains("second document"));
    }
}
