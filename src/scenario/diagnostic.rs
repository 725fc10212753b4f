//! Mistakes in files, as people read them: the place, the line with a caret, what to write instead.
//!
//! Values of keys that hold secrets are masked in every line that is shown.

use std::fmt::{self, Write as _};

use super::tree::{Mark, TreeError};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as its path was given; or the option of the command line.
    pub file: String,
    /// Where; line 0 where the file as a whole is meant.
    pub mark: Mark,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// The line it stands on, secrets masked.
    pub source: Option<String>,
}

impl Diagnostic {
    /// A mistake that has no line: a file that cannot be read, an option.
    pub fn whole(file: &str, message: impl Into<String>, help: Option<String>) -> Self {
        Self { file: file.to_owned(), mark: Mark::default(), message: message.into(), help, source: None }
    }

    /// A mistake in the YAML itself.
    pub fn from_tree(file: &str, text: &str, error: TreeError) -> Self {
        let source = source_line(text, error.mark.line);
        Self { file: file.to_owned(), mark: error.mark, message: error.message, help: error.help, source }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mark.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.mark.col, self.message)?,
        }
        let width = self.mark.line.to_string().len();
        if let Some(source) = self.source.as_deref().filter(|_| self.mark.line > 0) {
            let (line, before) = (self.mark.line, self.mark.col.saturating_sub(1) as usize);
            // Tabs are repeated, so that the caret stands under its character whatever a tab is worth.
            let indent: String = source.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let left = source.chars().count().saturating_sub(before).max(1);
            let carets = "^".repeat((self.mark.len as usize).clamp(1, left));
            write!(f, "\n {:width$} |\n {line} | {source}\n {:width$} | {indent}{carets}", "", "")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n {:width$} = {help}", "")?;
        }
        Ok(())
    }
}

/// Mistakes in the order of files and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each mistake once; files keep the order in which they were first named.
    pub fn sort(&mut self) {
        let mut files: Vec<String> = Vec::new();
        for diagnostic in &self.0 {
            if !files.contains(&diagnostic.file) {
                files.push(diagnostic.file.clone());
            }
        }
        let place = |d: &Diagnostic| files.iter().position(|file| *file == d.file);
        self.0.sort_by_key(|a| (place(a), a.mark));
        self.0.dedup();
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.0 {
            write!(f, "{diagnostic}\n\n")?;
        }
        match self.0.len() {
            1 => f.write_str("1 mistake"),
            count => write!(f, "{count} mistakes"),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// Line `line` (from 1) of a file, with secrets masked and cut to a length that a terminal can show.
pub fn source_line(text: &str, line: u32) -> Option<String> {
    let index = line.checked_sub(1)? as usize;
    let raw = text.lines().nth(index)?;
    let masked = if continues_a_secret(text, index, raw) {
        raw.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect()
    } else {
        mask(&mask_users(raw))
    };
    let mut shown: String = masked.chars().take(200).collect();
    shown.truncate(shown.trim_end().len());
    Some(shown)
}

/// Whether what stands under this key must never be shown. Misspelt keys count as well.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let harmless = key.ends_with("_env") || key.ends_with("_file");
    !harmless
        && (["pass", "pwd", "secret", "token", "routing_key"].iter().any(|word| key.contains(word))
            || strsim::osa_distance(&key, "password") <= 3)
}

/// Whether a line belongs to the value of a secret's key further up: a block of text, or a value on the next line.
fn continues_a_secret(text: &str, index: usize, line: &str) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let before: Vec<&str> = text.lines().take(index).filter(|line| !line.trim().is_empty()).collect();
    let ends_with_key = |line: &str| {
        let key = line.trim_end().strip_suffix(':').unwrap_or("");
        is_secret(key.rsplit(|c: char| !(c.is_alphanumeric() || "_-\"'".contains(c))).next().unwrap_or(""))
    };
    // The last key of the line that this one is indented under.
    let parent = before.iter().rev().find(|before| indent(before) < indent(line));
    let under_key = parent.is_some_and(|parent| {
        let (keys, _) = parent.rsplit_once(": ").unwrap_or_else(|| (parent.trim_end().trim_end_matches(':'), ""));
        is_secret(keys.rsplit(|c: char| !(c.is_alphanumeric() || "_-\"'".contains(c))).next().unwrap_or(""))
    });
    under_key || before.last().is_some_and(|line| ends_with_key(line))
}

/// Replaces what follows a secret's key by asterisks, character for character, so that columns stay right.
fn mask(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut out = String::with_capacity(line.len());
    let mut at = 0;
    while at < chars.len() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        if !is_word(chars[at]) {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let end = (at..chars.len()).find(|&i| !is_word(chars[i])).unwrap_or(chars.len());
        let key: String = chars[at..end].iter().collect();
        out.push_str(&key);
        at = end;
        if !is_secret(&key) {
            continue;
        }
        // Quotes of the key, the colon and blanks stay; the value goes.
        while at < chars.len() && matches!(chars[at], '"' | '\'' | ' ' | '\t' | ':') {
            let opens_value = matches!(chars[at], '"' | '\'') && out.ends_with([' ', '\t', ':']);
            if opens_value {
                break;
            }
            out.push(chars[at]);
            at += 1;
        }
        let end = value_end(&chars, at);
        let value: String = chars[at..end].iter().collect();
        // A reference to the environment is no secret and worth seeing.
        if is_reference(&value) {
            out.push_str(&value);
        } else {
            out.extend(value.chars().map(|_| '*'));
        }
        at = end;
    }
    out
}

/// Replaces user name and password of URLs by asterisks, character for character.
fn mask_users(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(scheme) = rest.find("://") {
        let (before, authority) = rest.split_at(scheme + 3);
        out.push_str(before);
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | ',');
        let authority = &authority[..authority.find(ends).unwrap_or(authority.len())];
        let user = authority.rfind('@').map_or("", |at| &authority[..at]);
        out.extend(user.chars().map(|_| '*'));
        rest = &rest[before.len() + user.len()..];
    }
    out + rest
}

fn value_end(chars: &[char], start: usize) -> usize {
    match chars.get(start) {
        Some(quote @ ('"' | '\'')) => {
            let close = (start + 1..chars.len()).find(|&i| chars[i] == *quote && chars[i - 1] != '\\');
            close.map_or(chars.len(), |close| close + 1)
        }
        Some(_) => {
            let mut depth = 0_i32;
            for (i, c) in chars.iter().enumerate().skip(start) {
                match c {
                    '{' | '[' => depth += 1,
                    '}' | ']' if depth > 0 => depth -= 1,
                    _ if depth > 0 => {}
                    '}' | ',' => return (start..i).rev().find(|&j| chars[j] != ' ').map_or(start, |last| last + 1),
                    _ => {}
                }
            }
            chars.len()
        }
        None => start,
    }
}

fn is_reference(value: &str) -> bool {
    let bare = value.trim().trim_matches(['"', '\'']);
    bare.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).is_some_and(|name| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '/')) && !name.contains(":-")
    })
}

/// The nearest of `words`, where one is near enough to be meant: few letters differ, or each of its parts is there.
pub fn nearest<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    let lower = word.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|part| part.len() > 2).collect();
    let has_parts = |candidate: &&&str| !parts.is_empty() && parts.iter().all(|part| candidate.contains(part));
    let by_letters = words
        .iter()
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(lower.chars().count()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| *candidate);
    by_letters.or_else(|| words.iter().find(has_parts).copied())
}

/// `did you mean …? WHAT is one of: …`, at most 12 words.
pub fn did_you_mean(word: &str, what: &str, words: &[&str]) -> String {
    let mut help = String::new();
    if let Some(near) = nearest(word, words) {
        write!(help, "did you mean `{near}`? ").expect("a String takes every write");
    }
    if words.is_empty() {
        write!(help, "there is no {what} here").expect("a String takes every write");
        return help;
    }
    let more = if words.len() > 12 { format!(" … ({} in all)", words.len()) } else { String::new() };
    let list = words.iter().take(12).copied().collect::<Vec<_>>().join(", ");
    write!(help, "{what} is one of: {list}{more}").expect("a String takes every write");
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_place_line_caret_and_help() {
        let diagnostic = Diagnostic {
            file: "a.yaml".into(),
            mark: Mark { line: 12, col: 5, len: 4 },
            message: "unknown step `dail`".into(),
            help: Some("did you mean `dial`?".into()),
            source: Some("  - dail: echo".into()),
        };
        let expected =
            "a.yaml:12:5: unknown step `dail`\n    |\n 12 |   - dail: echo\n    |     ^^^^\n    = did you mean `dial`?";
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn secrets_are_masked_whatever_the_line_looks_like() {
        for (line, shown) in [
            ("password: hunter2", "password: *******"),
            ("{ password: hunter2 }", "{ password: ******* }"),
            (
                "  a: { users: 1..2, pasword: 'hun,ter2', unit: x }",
                "  a: { users: 1..2, pasword: **********, unit: x }",
            ),
            ("\"password\": \"hunter2\"", "\"password\": *********"),
            ("password: \"${PROBE_PASSWORD}\"", "password: \"${PROBE_PASSWORD}\""),
            ("password: ${A:-hunter2}", "password: *************"),
            ("password_env: NAME", "password_env: NAME"),
            ("number: echo", "number: echo"),
        ] {
            assert_eq!(mask(line), shown);
        }
    }

    #[test]
    fn whoever_is_named_before_the_host_of_a_url_is_masked() {
        let shown = source_line("- url: \"https://me:hunter2@cc.example/@x\", b: [ws://a/@, wss://é@b]", 1);
        assert_eq!(shown.as_deref(), Some("- url: \"https://**********@cc.example/@x\", b: [ws://a/@, wss://*@b]"));
    }

    #[test]
    fn secrets_of_several_lines_are_masked_too() {
        let text = "a:\n  users: 1\n  password: |\n    hunter2\n\n    hunter3\n  unit: x\n  pasword:\n  hunter4\nb: { password:\n hunter5 }\n";
        let shown: Vec<String> = (1..=11).filter_map(|line| source_line(text, line)).collect();
        assert!(!shown.join("\n").contains("hunter"), "{shown:?}");
        assert_eq!((shown[1].as_str(), shown[6].as_str()), ("  users: 1", "  unit: x"));
        assert_eq!(mask("password: [a, hunter2], b: 1"), "password: ************, b: 1");
    }

    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("dail", &["register", "dial"]), Some("dial"));
        assert_eq!(nearest("sleep", &["register", "dial"]), None);
        assert_eq!(nearest("call.busy", &["ok", "call.callee_busy"]), Some("call.callee_busy"));
        assert_eq!(did_you_mean("x", "a number", &[]), "there is no a number here");
    }
}
