//! What an agent asks of the application that it works in, beside its calls.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::server::TlsSettings;
use crate::scenario::text::{Text, Values};
use crate::units::Secret;

/// The application that agents work in, as a target names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Application {
    /// Where its paths begin.
    pub base: Base,
    /// Header fields of every request to it.
    pub headers: Vec<(String, Secret)>,
    /// Whom to trust. The name is that of each server.
    pub tls: TlsSettings,
}

/// Where paths begin.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Base {
    /// Nowhere: every URL is whole.
    #[default]
    None,
    /// Below this URL, `http:` or `https:`, without a slash at its end.
    Url(Secret),
    /// At the lab that runs beside.
    Lab,
}

/// `request`.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Over what it goes.
    pub via: Via,
    /// The whole URL, or a path that begins with `/`.
    pub url: Text,
    /// Header fields of HTTP, or of the upgrade to WebSocket.
    pub headers: Vec<(String, Text)>,
    /// What is sent; over a WebSocket `None` only listens.
    pub json: Option<Template>,
    /// What its answer has to be.
    pub expect: Reply,
    /// What of the answer is kept, by the name that later steps know it by: JSON pointers (RFC 6901).
    pub capture: Vec<(String, String)>,
    /// Where paths begin, and whom to trust.
    pub access: Arc<Application>,
}

/// Over what a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// HTTP: every request has one answer.
    Http(Method),
    /// A WebSocket that stays open for the agent.
    WebSocket,
}

/// Method of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Method {
    /// As it stands on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What an answer has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// One of these status codes; none: a 2xx.
    pub status: Vec<u16>,
    /// What stands at a place of it, by JSON pointer.
    pub json: Vec<(String, Template)>,
    /// How long it is waited for, 10 ms–10 min, default 10 s.
    pub within: Duration,
}

/// JSON with placeholders in its texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    /// A number, a truth value or null.
    Plain(Value),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Self>),
    /// An object, in the order of the file.
    Map(Vec<(String, Self)>),
}

impl Template {
    /// As it is in one attempt.
    pub fn render(&self, values: &Values<'_>) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Text(text) => Value::String(text.render(values)),
            Self::List(items) => Value::Array(items.iter().map(|item| item.render(values)).collect()),
            Self::Map(fields) => {
                Value::Object(fields.iter().map(|(name, field)| (name.clone(), field.render(values))).collect())
            }
        }
    }

    /// Its texts.
    pub fn texts(&self) -> Vec<&Text> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Text(text) => vec![text],
            Self::List(items) => items.iter().flat_map(Self::texts).collect(),
            Self::Map(fields) => fields.iter().flat_map(|(_, field)| field.texts()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_json_have_placeholders() {
        let text = |text: &str| Text::parse(text, &|_| None, &|_| false, &|_| false).expect("valid");
        let template = Template::Map(vec![
            ("agent".into(), Template::Text(text("agent {{ n }}"))),
            ("seats".into(), Template::List(vec![Template::Plain(3.into()), Template::Plain(Value::Null)])),
        ]);
        let rendered = template.render(&Values { n: 7, ..Values::default() });
        assert_eq!(rendered.to_string(), r#"{"agent":"agent 7","seats":[3,null]}"#);
        assert_eq!(template.texts().len(), 1);
    }
}
