//! `websocket:` of a target: the URL, what its request says, and TLS below it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::doc::{At, Report};
use super::secret::{self, Rules};
use super::tls::{self, TlsFile};
use super::{Input, server};
use crate::scenario::file::scalar::Digits;
use crate::scenario::file::target::{WebKeepAliveWord, WebSocketFile};
use crate::scenario::plan::{Server, Transport, WebSettings};
use crate::units::{Period, Secret};

/// Wait of an account whose connection was lost, where none is written.
pub(super) const RECONNECT: Duration = Duration::from_secs(1);

const URL_FORM: &str = "write ws://HOST/PATH or wss://HOST:PORT/PATH?QUERY";

/// The server that a target's `websocket:` names.
pub(super) fn compile(input: &Input<'_>, file: &WebSocketFile, at: At<'_>, report: &mut Report) -> Option<Server> {
    let given = TlsFile::from(file);
    let tls = tls::settings(input, &given, at, report);
    let headers = headers(input, &file.headers, at.key("headers"), report);
    let reconnect = reconnect(file, at, report);
    if file.origin.as_ref().is_some_and(|origin| !is_visible(origin)) {
        report.add(at.key("origin"), "this is no origin", "write scheme and host, as https://cc.example");
    }
    let url = secret::resolve(input, &file.url, Rules::Text, at.key("url"), report)?;
    let Some(url) = Url::parse(url.reveal()) else {
        // The text is left out: it may hold a token.
        report.add(at.key("url"), "this is no URL of a WebSocket server", URL_FORM);
        return None;
    };
    given.expect_tls(url.secure, ("the URL begins with ws:", "wss:"), at, report);
    let web = WebSettings {
        authority: url.authority,
        path: Secret::new(url.path),
        origin: file.origin.clone(),
        headers,
        pings: file.keep_alive == WebKeepAliveWord::Ping,
        reconnect,
    };
    let transport = if url.secure { Transport::Wss } else { Transport::Ws };
    let port = url.port.unwrap_or_else(|| transport.default_port());
    let server = Server { web: Some(Arc::new(web)), ..Server::new(url.host, Some(port), transport) };
    let name = server.host.clone();
    Some(tls::secured(server, &tls, &name))
}

/// The lab's WebSocket server.
pub(super) fn of_lab(domain: &str) -> WebSettings {
    let (authority, path) = (domain.to_owned(), Secret::new("/"));
    WebSettings { authority, path, origin: None, headers: Vec::new(), pings: true, reconnect: RECONNECT }
}

fn reconnect(file: &WebSocketFile, at: At<'_>, report: &mut Report) -> Duration {
    let allowed = Duration::from_millis(10)..=Duration::from_secs(300);
    match file.reconnect {
        None => RECONNECT,
        Some(Period(wait)) if allowed.contains(&wait) => wait,
        Some(wait) => {
            report.add(at.key("reconnect"), format!("`{wait}` is out of range"), "write a time from 10ms to 5m, as 1s");
            RECONNECT
        }
    }
}

/// Fields that the handshake writes itself.
const OURS: [&str; 5] = ["host", "connection", "upgrade", "origin", "content-length"];

fn headers(
    input: &Input<'_>,
    headers: &BTreeMap<String, Digits>,
    at: At<'_>,
    report: &mut Report,
) -> Vec<(String, Secret)> {
    let mut found = Vec::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c)) {
            report.add(at.name(name), format!("`{name}` is no name of a header"), "letters, digits and `-`, as X-Test");
        } else if OURS.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
            let help = if lower == "origin" { "write `origin:` beside `url:`" } else { "leave it out" };
            report.add(at.name(name), format!("the header `{name}` is written by ringfleet itself"), help);
        }
        let Some(value) = secret::resolve(input, &value.0, Rules::Text, at.key(name), report) else { continue };
        if value.reveal().chars().any(|c| c.is_control() && c != '\t') {
            report.add(at.key(name), "a header is one line of text", "take out line breaks and control characters");
        }
        found.push((name.clone(), value));
    }
    found
}

/// A URL of RFC 6455 §3.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    secure: bool,
    host: String,
    port: Option<u16>,
    authority: String,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = authority.to_ascii_lowercase();
        let (host, port) = server::host_and_port(&authority)?;
        if path.contains('#') || !is_visible(path) && !path.is_empty() {
            return None;
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { secure, host, port, authority, path })
    }
}

/// Printable ASCII without spaces.
fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_in_every_form_and_what_is_none_is_refused() {
        for (text, secure, host, port, path) in [
            ("ws://pbx.example", false, "pbx.example", None, "/"),
            ("WSS://PBX.example/WS", true, "pbx.example", None, "/WS"),
            ("wss://10.0.0.1:8089/ws?token=a%20b/c", true, "10.0.0.1", Some(8089), "/ws?token=a%20b/c"),
            ("ws://[::1]:5066?x", false, "::1", Some(5066), "/?x"),
        ] {
            let url = Url::parse(text).expect(text);
            let found = (url.secure, url.host.as_str(), url.port, url.path.as_str());
            assert_eq!(found, (secure, host, port, path), "{text}");
        }
        for text in
            ["", "pbx.example", "http://a", "ws://", "ws://a:0", "ws://me@a", "ws://a/#x", "ws://a/ b", "ws://a/\nb"]
        {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }
}
