//! A file while it is compiled: its text, its clean tree, and mistakes with the places that the tree knows.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::Input;
use crate::scenario::check;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics, source_line};
use crate::scenario::schema::FileKind;
use crate::scenario::tree::{self, Mark, Node, Value};

/// A file that was read.
pub(super) struct Doc {
    /// Its path, as people know it.
    pub(super) path: PathBuf,
    text: String,
    /// The tree without what was wrong in it.
    pub(super) root: Node,
    /// Mistakes of shape were found: what is missing now may have been there.
    pub(super) lossy: bool,
    /// The overrides that were put into the tree.
    sets: Vec<(String, String)>,
}

/// A place in a [`Doc`]: a node, or the nearest that exists.
#[derive(Clone, Copy)]
pub(super) struct At<'d> {
    doc: &'d Doc,
    node: &'d Node,
    mark: Mark,
}

/// Mistakes, collected.
#[derive(Default)]
pub(super) struct Report {
    list: Vec<Diagnostic>,
}

/// Reads a file of the given kind; mistakes go to the report, what is usable comes back.
pub(super) fn load<T: DeserializeOwned>(
    kind: FileKind,
    path: &Path,
    text: String,
    sets: &[(String, String)],
    report: &mut Report,
) -> Option<(Doc, Option<T>)> {
    let name = path.display().to_string();
    let (mut root, soft) = match tree::parse(&text) {
        Ok(parsed) => parsed,
        Err(error) => {
            report.list.push(Diagnostic::from_tree(&name, &text, error));
            return None;
        }
    };
    let mut lossy = !soft.is_empty();
    report.list.extend(soft.into_iter().map(|error| Diagnostic::from_tree(&name, &text, error)));
    for (index, (key, value)) in sets.iter().enumerate() {
        if let Err((message, help)) = super::set::put(&mut root, key, value, index) {
            report.whole(&format!("--set {key}=…"), message, help);
        }
    }
    let schema = kind.schema();
    let (clean, mistakes) = check::walk(&schema, &root);
    lossy |= !mistakes.is_empty();
    let doc = Doc { path: path.to_owned(), text, root: clean.clone().unwrap_or(root), lossy, sets: sets.to_vec() };
    for mistake in mistakes {
        report.list.push(doc.diagnostic(mistake.mark, mistake.message, mistake.help));
    }
    let value = clean.and_then(|clean| match serde_json::from_value(clean.to_json()) {
        Ok(value) => Some(value),
        Err(_) if lossy => None,
        Err(error) => {
            // The schema and the types say the same, so this is a mistake of ours; it must be seen all the same.
            report.list.push(Diagnostic::whole(&name, format!("cannot be read: {error}"), None));
            None
        }
    });
    Some((doc, value))
}

/// Reads a file that another one names.
pub(super) fn read(input: &Input<'_>, path: &Path, from: At<'_>, report: &mut Report) -> Option<String> {
    match (input.read)(path) {
        Ok(text) => Some(text),
        Err(error) => {
            let help = "paths are relative to the file that names them";
            report.add(from, format!("cannot read `{}`: {error}", path.display()), help);
            None
        }
    }
}

impl Doc {
    /// The whole file.
    pub(super) fn at(&self) -> At<'_> {
        At { doc: self, node: &self.root, mark: self.root.mark }
    }

    /// A path that this file names.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or_else(|| Path::new("")).join(path)
    }

    fn diagnostic(&self, mark: Mark, message: String, help: Option<String>) -> Diagnostic {
        if mark.line == 0 {
            // The value is left out: it may be a secret.
            let key = self.sets.get(mark.col as usize).map_or("", |(key, _)| key);
            return Diagnostic::whole(&format!("--set {key}=…"), message, help);
        }
        let source = source_line(&self.text, mark.line);
        Diagnostic { file: self.path.display().to_string(), mark, message, help, source }
    }
}

impl<'d> At<'d> {
    /// The value under `key`; this place where there is none.
    pub(super) fn key(self, key: &str) -> Self {
        match self.node.entry(key) {
            Some(entry) => {
                let scalar = matches!(entry.node.value, Value::Scalar { .. }) && !entry.node.is_null();
                At { doc: self.doc, node: &entry.node, mark: if scalar { entry.node.mark } else { entry.mark } }
            }
            None => self,
        }
    }

    /// The key itself; this place where there is none.
    pub(super) fn name(self, key: &str) -> Self {
        match self.node.entry(key) {
            Some(entry) => At { doc: self.doc, node: &entry.node, mark: entry.mark },
            None => self,
        }
    }

    /// An entry of a list; this place where there is none.
    pub(super) fn index(self, index: usize) -> Self {
        match &self.node.value {
            Value::List(items) if index < items.len() => {
                let node = &items[index];
                // `- dial: {..}` is shown by its word.
                let first = match &node.value {
                    Value::Map(entries) => entries.first().map(|entry| entry.mark),
                    _ => None,
                };
                At { doc: self.doc, node, mark: first.unwrap_or(node.mark) }
            }
            _ => self,
        }
    }

    /// A part of the text at this place, in bytes of it; the whole of it where it does not stand there as it is.
    pub(super) fn within(self, part: Range<usize>) -> Self {
        let Value::Scalar { text, .. } = &self.node.value else { return self };
        let line = self.doc.text.lines().nth((self.mark.line as usize).wrapping_sub(1)).unwrap_or("");
        let from = line.char_indices().nth((self.mark.col as usize).saturating_sub(1)).map_or(0, |(from, _)| from);
        let Some(before) = line.get(from..).and_then(|rest| rest.find(text.as_str())) else { return self };
        // Nothing but a quotation mark stands before the text.
        let Some(chars) = text.get(..part.start).filter(|_| before <= 1) else { return self };
        let len = text.get(part).map_or(1, |part| part.chars().count()).max(1);
        let col = self.mark.col + (before + chars.chars().count()) as u32;
        Self { mark: Mark { col, len: len as u32, ..self.mark }, ..self }
    }

    /// The node at this place.
    pub(super) fn node(self) -> &'d Node {
        self.node
    }

    /// The file it is in.
    pub(super) fn doc(self) -> &'d Doc {
        self.doc
    }
}

impl Report {
    /// A mistake and what to write instead.
    pub(super) fn add(&mut self, at: At<'_>, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        self.list.push(at.doc.diagnostic(at.mark, message.into(), help));
    }

    /// A mistake of another file that this one names.
    pub(super) fn take(&mut self, mistake: Diagnostic) {
        self.list.push(mistake);
    }

    /// A mistake without a line.
    pub(super) fn whole(&mut self, file: &str, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        self.list.push(Diagnostic::whole(file, message, help));
    }

    /// Nothing was wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The mistakes, sorted.
    pub(super) fn into_diagnostics(self) -> Diagnostics {
        let mut diagnostics = Diagnostics(self.list);
        diagnostics.sort();
        diagnostics
    }
}
