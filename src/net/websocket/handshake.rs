//! The handshake of WebSocket (RFC 6455 §4) for SIP (RFC 7118 §4): an HTTP request and its answer.

use std::io;

use tungstenite::handshake::client::{Response, generate_key, generate_request};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse as _;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::fault::Fault;
use crate::scenario::plan::WebSettings;

/// What both sides have to agree on.
const SUBPROTOCOL: &str = "sip";

/// The request, and what its answer has to show.
pub(super) fn request(settings: &WebSettings) -> io::Result<(Vec<u8>, String)> {
    let wrong = |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let mut request = tungstenite::http::Request::get(settings.path.reveal())
        .header(header::HOST, &settings.authority)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, generate_key())
        .header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    if let Some(origin) = &settings.origin {
        request = request.header(header::ORIGIN, origin);
    }
    for (name, value) in &settings.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| wrong(&error))?;
        let value = HeaderValue::from_bytes(value.reveal().as_bytes()).map_err(|error| wrong(&error))?;
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|error| wrong(&error))?;
    let (bytes, key) = generate_request(request).map_err(|error| wrong(&error))?;
    Ok((bytes, derive_accept_key(key.as_bytes())))
}

/// Reads the answer to our request: where it ends, `None` while it is not whole.
pub(super) fn read_answer(bytes: &[u8], accept: &str) -> Result<Option<usize>, Fault> {
    const BEGIN: &[u8] = b"HTTP/1.";
    let begun = bytes.len().min(BEGIN.len());
    if bytes[..begun] != BEGIN[..begun] {
        return Err(Fault::NotHttp);
    }
    if !is_whole(bytes) {
        return Ok(None);
    }
    let Some((end, answer)) = Response::try_parse(bytes).map_err(|_| Fault::NotHttp)? else { return Ok(None) };
    let (status, headers) = (answer.status(), answer.headers());
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let phrase = status.canonical_reason().unwrap_or_default();
        let to = headers.get(header::LOCATION).filter(|_| status.is_redirection());
        let to = to.map(|to| format!(" to {}", without_query(&String::from_utf8_lossy(to.as_bytes()))));
        return Err(Fault::Status { code: status.as_u16(), reason: format!("{phrase}{}", to.unwrap_or_default()) });
    }
    if !has_token(headers, &header::UPGRADE, "websocket") {
        return Err(Fault::Answer("101 without `Upgrade: websocket`"));
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(Fault::Answer("101 without `Connection: Upgrade`"));
    }
    if headers.get(header::SEC_WEBSOCKET_ACCEPT).is_none_or(|it| it != accept) {
        return Err(Fault::Answer("its Sec-WebSocket-Accept is not that of our key, as from a cache"));
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return Err(Fault::Answer("it agrees to an extension that nobody asked for"));
    }
    match headers.get(header::SEC_WEBSOCKET_PROTOCOL) {
        Some(agreed) if agreed == SUBPROTOCOL => Ok(Some(end)),
        None => Err(Fault::Subprotocol(String::new())),
        Some(other) => {
            Err(Fault::Subprotocol(format!("but to `{}`", String::from_utf8_lossy(other.as_bytes()).escape_debug())))
        }
    }
}

/// Reads the request of a client and answers it: where it ends, `None` while it is not whole.
pub(super) fn answer(bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
    if !is_whole(bytes) {
        return Ok(None);
    }
    let refuse = |out: &mut Vec<u8>, why: &'static str| {
        let text = format!("This is SIP over WebSocket (RFC 7118), and {why}.\n");
        let head = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n";
        out.extend_from_slice(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
        Fault::Request(why)
    };
    let (end, request) = match Request::try_parse(bytes) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Ok(None),
        Err(_) => return Err(refuse(out, "the request is no HTTP/1.1")),
    };
    let Ok(mut response) = create_response(&request) else {
        return Err(refuse(out, "the request is none for WebSocket"));
    };
    if !has_token(request.headers(), &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(refuse(out, "the request does not name the subprotocol `sip`"));
    }
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    match write_response(&mut *out, &response) {
        Ok(()) => Ok(Some(end)),
        Err(_) => Err(refuse(out, "the answer cannot be written")),
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\r\n\r\n").is_some()
}

/// Whether a list of tokens has this one, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
}

/// A query may hold a token of somebody's session.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
