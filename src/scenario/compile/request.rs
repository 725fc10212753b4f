//! `request` steps, and the `application:` of a target that their paths lead into.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::doc::{At, Report};
use super::secret::{self, Rules};
use super::steps::Scope;
use super::tls::{self, TlsFile};
use super::{Input, numbers};
use crate::scenario::file::request::{ApplicationFile, MethodWord, ReplyFile, RequestFile, ViaWord};
use crate::scenario::file::scalar::Digits;
use crate::scenario::plan::{Application, Base, Method, Reply, Request, Template, Verify, Via};
use crate::scenario::text::Text;
use crate::units::Secret;

const WITHIN: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(600);
const DEFAULT_WITHIN: Duration = Duration::from_secs(10);
const URL_FORM: &str =
    "write https://HOST/PATH, wss://HOST/PATH, or a path as /sign-in below the target's `application:`";

/// Fields that the client writes itself.
const OURS: &[&str] = &["host", "content-length", "connection", "upgrade", "transfer-encoding", "content-type"];

/// The application of a target.
pub(super) fn application(
    input: &Input<'_>,
    file: Option<&ApplicationFile>,
    at: At<'_>,
    report: &mut Report,
) -> Application {
    let Some(file) = file else { return Application::default() };
    let given = TlsFile::from(file);
    let tls = tls::settings(input, &given, at, report);
    let url = secret::resolve(input, &file.url, Rules::Text, at.key("url"), report);
    if let Some(url) = &url {
        match Address::parse(url.reveal()) {
            Some(address) if !address.web => {
                given.expect_tls(address.secure, ("the URL begins with http:", "https:"), at, report);
            }
            // The text is left out: it may hold a token.
            _ => {
                report.add(
                    at.key("url"),
                    "this is no URL of an application",
                    "write https://HOST or https://HOST/PATH",
                );
            }
        }
        if url.reveal().contains(['?', '#']) {
            report.add(at.key("url"), "paths cannot begin behind a query", "leave `?` and what follows it out");
        }
    }
    let headers = file.headers.iter().filter_map(|(name, value)| {
        check_name(name, at.key("headers"), report);
        let value = secret::resolve(input, &value.0, Rules::Text, at.key("headers").key(name), report)?;
        check_line(value.reveal(), at.key("headers").key(name), report);
        Some((name.clone(), value))
    });
    let headers = headers.collect();
    let base = url.map_or(Base::None, |url| Base::Url(Secret::new(url.reveal().trim_end_matches('/'))));
    Application { base, headers, tls }
}

/// The application of a lab.
pub(super) fn of_lab(has_one: bool) -> Application {
    Application { base: if has_one { Base::Lab } else { Base::None }, ..Application::default() }
}

/// A `request` step.
pub(super) fn request(file: &RequestFile, scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Option<Request> {
    let url = text(&file.url, scope, at.key("url"), report);
    let via = url.as_ref().and_then(|url| via(file, url, scope, at, report));
    let method = method(file);
    if via == Some(Via::WebSocket) {
        let strangers = [
            ("method", file.method.is_some()),
            ("status", file.expect.as_ref().is_some_and(|expect| expect.status.is_some())),
        ];
        for (name, _) in strangers.into_iter().filter(|(_, given)| *given) {
            let place = if name == "status" { at.key("expect") } else { at };
            report.add(place.name(name), format!("messages of a WebSocket have no {name}"), "leave it out");
        }
    } else if method == Method::Get && file.json.is_some() {
        report.add(at.name("json"), "GET sends nothing", "write `method: POST`, or leave `json` out");
    }
    let headers = file.headers.iter().filter_map(|(name, value)| {
        check_name(name, at.key("headers"), report);
        check_line(&value.0, at.key("headers").key(name), report);
        Some((name.clone(), text(value, scope, at.key("headers").key(name), report)?))
    });
    let headers = headers.collect();
    let json = file.json.as_ref().map(|json| template(json, scope, at.key("json"), report));
    let expect = reply(file.expect.as_ref(), scope, at.key("expect"), report);
    let capture = captures(&file.capture, scope, at.key("capture"), report);
    let (url, via) = (url?, via?);
    Some(Request {
        via: if via == Via::WebSocket { via } else { Via::Http(method) },
        url,
        headers,
        json,
        expect,
        capture,
        access: Arc::clone(&scope.site.target.application),
    })
}

fn method(file: &RequestFile) -> Method {
    match file.method {
        None if file.json.is_some() => Method::Post,
        None | Some(MethodWord::Get) => Method::Get,
        Some(MethodWord::Post) => Method::Post,
        Some(MethodWord::Put) => Method::Put,
        Some(MethodWord::Patch) => Method::Patch,
        Some(MethodWord::Delete) => Method::Delete,
    }
}

/// Over what it goes: the URL says it where it is whole. What stands before its path must be the same in every attempt.
fn via(file: &RequestFile, url: &Text, scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Option<Via> {
    let start = url.literals().next().filter(|_| url.starts_with_literal()).unwrap_or_default();
    let wanted = match file.via {
        Some(ViaWord::Websocket) => Some(Via::WebSocket),
        Some(ViaWord::Http) => Some(Via::Http(Method::Get)),
        None => None,
    };
    if start.starts_with('/') {
        if matches!(scope.site.target.application.base, Base::None) && !scope.site.lossy {
            let help = "write the whole URL, or `application: { url: https://… }` into the target (in a lab: `application: {}`)";
            report.add(at.key("url"), "the target has no application that a path leads into", help);
        }
        return Some(wanted.unwrap_or(Via::Http(Method::Get)));
    }
    let whole = url.as_constant().or_else(|| start.get(..start.rfind('/')? + 1));
    let Some(address) = whole.and_then(Address::parse) else {
        report.add(at.key("url"), "this is no URL that a request can go to", URL_FORM);
        return None;
    };
    let found = if address.web { Via::WebSocket } else { Via::Http(Method::Get) };
    if wanted.is_some_and(|wanted| wanted != found) {
        let scheme = if address.web { "ws:" } else { "http:" };
        report.add(at.name("via"), format!("the URL begins with {scheme}"), "leave `via` out: the URL says it");
    }
    Some(found)
}

fn reply(file: Option<&ReplyFile>, scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Reply {
    let nothing = ReplyFile::default();
    let file = file.unwrap_or(&nothing);
    let within = file.within.map_or(DEFAULT_WITHIN, |period| period.0);
    if !WITHIN.contains(&within) {
        report.add(at.key("within"), "an answer is waited for between 10ms and 10m", "as within: 5s");
    }
    let json = file.json.iter().map(|(pointer, value)| {
        let at = at.key("json");
        check_pointer(pointer, at.name(pointer), report);
        (pointer.clone(), template(value, scope, at.key(pointer), report))
    });
    let json = json.collect();
    let status = file.status.as_ref().map(|status| status.as_slice()).unwrap_or_default();
    Reply { status: status.iter().map(|status| status.0).collect(), json, within }
}

fn captures(
    file: &BTreeMap<String, String>,
    scope: &Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Vec<(String, String)> {
    for (name, pointer) in file {
        let mut letters = name.chars();
        let begins = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !begins || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            report.add(at.name(name), format!("`{name}` is no name"), "letters, digits and `_`, as token");
        } else if name == "n" || scope.constants.get(name).is_some() || scope.constants.has_actor(name) {
            report.add(at.name(name), format!("`{name}` has a meaning already"), "choose another name");
        }
        check_pointer(pointer, at.key(name), report);
    }
    file.iter().map(|(name, pointer)| (name.clone(), pointer.clone())).collect()
}

/// RFC 6901 §3: nothing, or parts that each begin with `/`; `~` is written `~0`, and `/` within a part `~1`.
fn check_pointer(pointer: &str, at: At<'_>, report: &mut Report) {
    let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !(pointer.is_empty() || pointer.starts_with('/')) || !escapes {
        report.add(at, format!("`{pointer}` is no JSON pointer"), "write /KEY, /KEY/KEY or /LIST/0 (RFC 6901)");
    }
}

fn check_name(name: &str, at: At<'_>, report: &mut Report) {
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c)) {
        report.add(at.name(name), format!("`{name}` is no name of a header"), "letters, digits and `-`, as X-Test");
    } else if OURS.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
        report.add(at.name(name), format!("the header `{name}` is written by ringfleet itself"), "leave it out");
    }
}

fn check_line(text: &str, at: At<'_>, report: &mut Report) {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        report.add(at, "a header is one line of text", "take out line breaks and control characters");
    }
}

/// JSON whose texts may have placeholders and secrets in them.
fn template(json: &Value, scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Template {
    match json {
        Value::String(written) => {
            let written = Digits(written.clone());
            Template::Text(text(&written, scope, at, report).unwrap_or_default())
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            Template::List(items.map(|(index, item)| template(item, scope, at.index(index), report)).collect())
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            Template::Map(fields.map(|(name, it)| (name.clone(), template(it, scope, at.key(name), report))).collect())
        }
        plain => Template::Plain(plain.clone()),
    }
}

/// A text with placeholders, `${NAME}` and `${file:PATH}`.
fn text(written: &Digits, scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Option<Text> {
    let mut whole = Text::default();
    let mut rest = written.0.as_str();
    while let Some(open) = rest.find("${") {
        let end = rest[open..].find('}').map_or(rest.len(), |close| open + close + 1);
        whole.append(numbers::template(&Digits(rest[..open].to_owned()), scope.constants, at, report)?);
        whole.append_secret(secret::resolve(scope.input, &rest[open..end], Rules::Text, at, report)?);
        rest = &rest[end..];
    }
    whole.append(numbers::template(&Digits(rest.to_owned()), scope.constants, at, report)?);
    Some(whole)
}

/// The beginning of a URL.
struct Address {
    web: bool,
    secure: bool,
}

impl Address {
    /// `None` where there is no host, or somebody's name before it: user names and passwords are header fields.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (web, secure) = match scheme {
            "http" => (false, false),
            "https" => (false, true),
            "ws" => (true, false),
            "wss" => (true, true),
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(inner) => inner.split_once(']').map(|(host, _)| host)?,
            None => authority.split(':').next()?,
        };
        let visible = text.chars().all(|c| c.is_ascii_graphic());
        (!host.is_empty() && !authority.contains('@') && visible).then_some(Self { web, secure })
    }
}

impl<'f> From<&'f ApplicationFile> for TlsFile<'f> {
    fn from(file: &'f ApplicationFile) -> Self {
        let verify = if file.insecure { Verify::Nothing } else { Verify::Host };
        Self { ca: &file.ca, cert: &None, key: &None, tls_min: &None, verify }
    }
}
