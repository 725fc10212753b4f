//! Who may read the page and the API, and what every answer forbids a browser to do.
//!
//! Without a token the page listens at this machine alone (`check` refuses anything else), and then a request has to name
//! this machine as its host: a page elsewhere whose name is made to resolve to 127.0.0.1 is refused (DNS rebinding). With one
//! it has to be shown: as `Authorization: Bearer`, or once, for a cookie that is signed with it, by the form or `?token=`.

use std::net::IpAddr;
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::page::STYLE;
use crate::units::Secret;

/// Name of the cookie.
const COOKIE: &str = "ringfleet_page";
/// How long a cookie holds.
const COOKIE_HOLDS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Headers of every answer.
pub(super) static HEADERS: LazyLock<[(HeaderName, HeaderValue); 6]> = LazyLock::new(|| {
    [
        (header::CONTENT_SECURITY_POLICY, policy()),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
});

/// Nothing but what this server itself serves, and no other style than the page's own; no frames, no plug-ins.
fn policy() -> HeaderValue {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("it is ASCII")
}

/// Who may read.
#[derive(Clone, Debug)]
pub(super) struct Access {
    token: Option<Secret>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is answered.
    Granted,
    /// The token stands in the address: it becomes a cookie, and the address is asked for again without it.
    Exchange(String),
    /// The token is asked for.
    NoToken,
    /// What it shows is not the token.
    WrongToken,
    /// It names another machine.
    Misdirected,
}

impl Access {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self { token }
    }

    /// What becomes of a request with this address and these headers.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap, now: Timestamp) -> Admission {
        let Some(token) = &self.token else {
            let named = uri.host().or_else(|| text(headers, &header::HOST)).is_some_and(names_this_machine);
            return if named { Admission::Granted } else { Admission::Misdirected };
        };
        if let Some(given) = text(headers, &header::AUTHORIZATION).and_then(bearer) {
            return if is_token(token, given) { Admission::Granted } else { Admission::WrongToken };
        }
        let query = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
        if let Some((_, given)) = query.into_iter().find(|(name, _)| name == "token") {
            return match is_token(token, &given) {
                true => Admission::Exchange(cookie(token, now)),
                false => Admission::WrongToken,
            };
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let shown = cookies.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('='));
        let mut ours = shown.filter(|(name, _)| *name == COOKIE);
        if ours.any(|(_, value)| is_cookie(token, value, now)) { Admission::Granted } else { Admission::NoToken }
    }

    /// A cookie for what the form was sent with, where it is the token.
    pub(super) fn login(&self, body: &[u8], now: Timestamp) -> Option<String> {
        let token = self.token.as_ref()?;
        let (_, given) = form_urlencoded::parse(body).find(|(name, _)| name == "token")?;
        is_token(token, given.trim()).then(|| cookie(token, now))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the host of an address, with or without a port, is this machine.
fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Takes as long whatever it is compared with.
fn is_token(token: &Secret, given: &str) -> bool {
    let mac = |text: &str| keyed(token).chain_update(b"token ").chain_update(text.as_bytes());
    let wanted = mac(token.reveal()).finalize().into_bytes();
    mac(given).verify_slice(&wanted).is_ok()
}

fn keyed(token: &Secret) -> Hmac<Sha256> {
    Hmac::new_from_slice(token.reveal().as_bytes()).expect("HMAC takes a key of any length")
}

/// When it ends, signed: nothing is kept here, and another token makes it void.
fn cookie(token: &Secret, now: Timestamp) -> String {
    let ends = now.as_second().saturating_add(COOKIE_HOLDS.as_secs());
    let signature = signed(token, ends).finalize().into_bytes();
    let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let seconds = COOKIE_HOLDS.as_secs();
    format!("{COOKIE}={ends}.{signature}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict")
}

fn is_cookie(token: &Secret, value: &str, now: Timestamp) -> bool {
    let Some((ends, signature)) = value.split_once('.') else { return false };
    let Ok(ends) = ends.parse::<i64>() else { return false };
    let bytes = signature.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let Some(bytes) = bytes.collect::<Option<Vec<u8>>>() else { return false };
    ends > now.as_second() && signed(token, ends).verify_slice(&bytes).is_ok()
}

fn signed(token: &Secret, ends: i64) -> Hmac<Sha256> {
    keyed(token).chain_update(b"page until ").chain_update(ends.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "sixteen-letters-or-more";

    fn now() -> Timestamp {
        Timestamp::from_second(1_774_744_200).expect("in range")
    }

    fn admit(token: Option<&str>, uri: &str, headers: &[(HeaderName, &str)]) -> Admission {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("plain")));
        let access = Access::new(token.map(Secret::new));
        access.admit(&uri.parse().expect("an address"), &headers.collect(), now())
    }

    #[test]
    fn without_a_token_a_request_has_to_name_this_machine() {
        for host in ["127.0.0.1:8410", "localhost:8410", "LOCALHOST", "[::1]:8410", "127.9.9.9"] {
            assert_eq!(admit(None, "/", &[(header::HOST, host)]), Admission::Granted, "{host}");
        }
        for host in ["attacker.example:8410", "127.0.0.1.attacker.example", "10.0.0.1", "localhost.", "", "[::2]:1"] {
            assert_eq!(admit(None, "/", &[(header::HOST, host)]), Admission::Misdirected, "{host}");
        }
        assert_eq!(admit(None, "/", &[]), Admission::Misdirected);
        let absolute = admit(None, "http://attacker.example/", &[(header::HOST, "127.0.0.1")]);
        assert_eq!(absolute, Admission::Misdirected);
    }

    #[test]
    fn the_token_is_shown_as_bearer_and_nothing_else_will_do() {
        let shown = |value: &str| admit(Some(TOKEN), "/", &[(header::AUTHORIZATION, value)]);
        assert_eq!(shown(&format!("Bearer {TOKEN}")), Admission::Granted);
        assert_eq!(shown(&format!("bearer {TOKEN}")), Admission::Granted);
        assert_eq!(shown("Bearer another"), Admission::WrongToken);
        assert_eq!(shown("Bearer "), Admission::WrongToken);
        assert_eq!(shown("Basic dXNlcjpwYXNz"), Admission::NoToken);
        assert_eq!(admit(Some(TOKEN), "/", &[(header::HOST, "127.0.0.1")]), Admission::NoToken);
    }

    #[test]
    fn a_token_in_the_address_becomes_a_cookie_that_ends_and_cannot_be_made_up() {
        let Admission::Exchange(cookie) = admit(Some(TOKEN), &format!("/?token={TOKEN}"), &[]) else { panic!("no") };
        assert!(cookie.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains(TOKEN));
        let value = cookie.split(';').next().expect("its value");
        let shown = |value: &str| admit(Some(TOKEN), "/", &[(header::COOKIE, value)]);
        assert_eq!(shown(&format!("other=1; {value}")), Admission::Granted);
        let later = value.replace("=1", "=2");
        for wrong in [later.as_str(), &value[..value.len() - 2], &format!("{value}00"), "ringfleet_page=1.zz"] {
            assert_eq!(shown(wrong), Admission::NoToken, "{wrong}");
        }
        let other = admit(Some("another-token-of-letters"), "/", &[(header::COOKIE, value)]);
        assert_eq!(other, Admission::NoToken);
        let (_, value) = value.split_once('=').expect("a pair");
        let ends = now() + COOKIE_HOLDS;
        let token = Secret::new(TOKEN);
        assert!(is_cookie(&token, value, ends - SignedDuration::from_secs(1)) && !is_cookie(&token, value, ends));
        assert_eq!(admit(Some(TOKEN), "/?token=wrong", &[]), Admission::WrongToken);
    }

    #[test]
    fn the_form_takes_the_token_and_no_other() {
        let access = Access::new(Some(Secret::new("a token&more")));
        assert!(access.login(b"token=a+token%26more", now()).is_some());
        assert!(access.login(b"token=a+token", now()).is_none());
        assert!(access.login(b"", now()).is_none());
        assert!(Access::new(None).login(b"token=", now()).is_none());
    }
}
