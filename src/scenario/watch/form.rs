//! Texts with `{{ … }}` in them that say something of an incident: bodies of messages, and addresses of links. One engine
//! (minijinja), so that a name that is not known is found when a file is read, whichever text it stands in.

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::Value as Json;

use crate::scenario::diagnostic::did_you_mean;

/// Name of the only template of an environment.
const TEXT: &str = "text";
/// What a body of an incident that is open is made of, and of one that is over.
const EXAMPLES: [&str; 2] = [include_str!("firing.json"), include_str!("resolved.json")];

/// A text that can be read.
pub struct Form {
    environment: Environment<'static>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// JSON: every value is put with its quotes, so that no name of a trunk can break it.
    Json,
    /// An address: every value is put in percent signs.
    Address,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// In which line of it, from 1.
    pub line: Option<usize>,
    /// What.
    pub what: String,
    /// What to write instead; empty where that is not known.
    pub help: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        self.line.map_or(Ok(()), |line| write!(f, ", line {line}"))
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Form")
    }
}

impl Form {
    /// A body, which is JSON.
    ///
    /// # Errors
    /// [`Mistake`]: it cannot be parsed.
    pub fn json(text: &str) -> Result<Self, Mistake> {
        Self::new(Kind::Json, text)
    }

    /// An address.
    ///
    /// # Errors
    /// [`Mistake`]: it cannot be parsed.
    pub fn address(text: &str) -> Result<Self, Mistake> {
        Self::new(Kind::Address, text)
    }

    fn new(kind: Kind, text: &str) -> Result<Self, Mistake> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        match kind {
            Kind::Json => environment.set_auto_escape_callback(|_| AutoEscape::Json),
            Kind::Address => environment.set_formatter(|out, _, value| {
                let text = if value.is_none() { String::new() } else { value.to_string() };
                Ok(out.write_str(&escaped(&text))?)
            }),
        }
        environment.add_template_owned(TEXT, text.to_owned()).map_err(|error| in_words(&error))?;
        Ok(Self { environment, kind })
    }

    /// The text with these values.
    ///
    /// # Errors
    /// [`Mistake`]: a value is not there, or what comes out is no JSON.
    pub fn render(&self, values: &impl Serialize) -> Result<String, Mistake> {
        let template = self.environment.get_template(TEXT).expect("it was added");
        let text = template.render(Value::from(Serde(values))).map_err(|error| in_words(&error))?;
        if self.kind == Kind::Json
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text)
        {
            let what = format!("what it renders is no JSON: {error}");
            return Err(Mistake { line: None, what, help: "put every text by `{{ … }}`, without quotes".to_owned() });
        }
        Ok(text)
    }

    /// Tries a body with an incident that is open and one that is over.
    ///
    /// # Errors
    /// [`Mistake`]: a name that no message has, in a branch that is not taken either, or what comes out is no JSON.
    pub fn try_as_body(&self, text: &str) -> Result<(), Mistake> {
        let examples = EXAMPLES.map(|text| serde_json::from_str::<Json>(text).expect("a file of ours"));
        self.knows(text, &examples[0])?;
        examples.iter().try_for_each(|example| self.render(example).map(drop))
    }

    /// Whether everything that stands between braces is one of these words.
    ///
    /// # Errors
    /// [`Mistake`]: another word, or something that cannot be put.
    pub fn try_with_words(&self, text: &str, words: &[&str]) -> Result<(), Mistake> {
        let example = Json::Object(words.iter().map(|word| ((*word).to_owned(), Json::from("x"))).collect());
        self.knows(text, &example)?;
        self.render(&example).map(drop)
    }

    /// Names of a text that an example does not have.
    fn knows(&self, text: &str, example: &Json) -> Result<(), Mistake> {
        let template = self.environment.get_template(TEXT).expect("it was added");
        let globals: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        names.sort_unstable();
        for name in names.iter().filter(|name| !globals.contains(&name.as_str())) {
            let mut at = example;
            for (depth, part) in name.split('.').enumerate() {
                // What is missing in the example may be anything elsewhere.
                let Json::Object(fields) = at else { break };
                if let Some(value) = fields.get(part) {
                    at = value;
                    continue;
                }
                let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                let path = name.split('.').take(depth + 1).collect::<Vec<_>>().join(".");
                let what = format!("`{path}` is not known of an incident");
                let kind = if self.kind == Kind::Json { "a field" } else { "a word" };
                return Err(Mistake { line: line_of(text, part), what, help: did_you_mean(part, kind, &known) });
            }
        }
        Ok(())
    }
}

/// The line in which a word stands first, from 1.
fn line_of(text: &str, word: &str) -> Option<usize> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let stands = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let bytes = line.as_bytes();
            let before = at.checked_sub(1).is_some_and(|at| is_part(bytes[at]));
            !before && !bytes.get(at + word.len()).is_some_and(|byte| is_part(*byte))
        })
    };
    text.lines().position(stands).map(|index| index + 1)
}

fn in_words(error: &minijinja::Error) -> Mistake {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Mistake { line: error.line(), what, help: String::new() }
}

/// RFC 3986 §2.1: all but the unreserved characters in percent signs.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_addresses_are_escaped() {
        let form = Form::address("http://a/{{ value }}?x={{value}}&n={{ unit }}").expect("it can be read");
        let values = serde_json::json!({ "value": "cht or gw-1/ü", "unit": null });
        let rendered = form.render(&values).expect("all are there");
        assert_eq!(rendered, "http://a/cht%20or%20gw-1%2F%C3%BC?x=cht%20or%20gw-1%2F%C3%BC&n=");
    }

    fn body(text: &str) -> Result<(), Mistake> {
        Form::json(text)?.try_as_body(text)
    }

    #[test]
    fn a_name_that_no_message_has_is_found_in_every_branch_with_its_line_and_what_instead() {
        let wrong = body("{\n \"a\": {{ titel }} }").expect_err("unknown");
        assert_eq!((wrong.line, wrong.what.as_str()), (Some(2), "`titel` is not known of an incident"));
        assert!(wrong.help.contains("`title`"), "{}", wrong.help);
        let wrong = body("{% if severity == 'no such' %}{{ incident.scop }}{% else %}1{% endif %}").expect_err("it");
        assert_eq!(wrong.what, "`incident.scop` is not known of an incident");
        assert!(wrong.help.contains("`scope`"), "{}", wrong.help);
        let wrong = body("{% for link in links %}{{ link.url }}{% endfor %}").expect_err("no JSON");
        assert!(wrong.what.starts_with("what it renders is no JSON"), "{}", wrong.what);
        assert_eq!(body("{{ { 'a': incident.unit, 'b': namespace().x is defined } }}"), Ok(()));
    }

    #[test]
    fn a_link_takes_its_words_and_no_others() {
        let link = |text: &str| Form::address(text).and_then(|form| form.try_with_words(text, &["id", "value"]));
        assert_eq!(link("http://a/{{ id }}/{{value}}"), Ok(()));
        let wrong = link("http://a/{{ valu }}").expect_err("unknown");
        assert_eq!(wrong.what, "`valu` is not known of an incident");
        assert!(wrong.help.contains("`value`"), "{}", wrong.help);
        assert!(link("http://a/{{ id").is_err());
    }
}
