//! The client's side: reading challenges and answering one.

use crate::units::Secret;

use super::digest::Input;
use super::params::{Piece, Pieces, plain, quote};
use super::{Algorithm, Qop};

/// A digest challenge that can be answered. It is kept with the account: its nonce serves later requests too, each
/// with the next nonce count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose password is asked for.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// Sent back as it came.
    pub opaque: Option<String>,
    /// The hash.
    pub algorithm: Algorithm,
    /// The challenge named its algorithm, so the answer does. Some servers of RFC 2069 know no such parameter.
    pub algorithm_named: bool,
    /// The protection that the answer uses; `None` where the challenge offers none (RFC 2069).
    pub qop: Option<Qop>,
    /// Only the nonce was too old: the same password is sent again with the new nonce.
    pub stale: bool,
}

/// Who answers.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// User name of the digest.
    pub user: &'a str,
    /// Its password.
    pub password: &'a Secret,
}

/// What is to be authenticated.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method, in capitals.
    pub method: &'a str,
    /// Its Request-URI as it is sent.
    pub uri: &'a str,
    /// Its body; looked at for `auth-int` only.
    pub body: &'a [u8],
}

/// The strongest challenge that we can answer for each realm among those of a 401 or 407, from the values of its
/// WWW-Authenticate or Proxy-Authenticate headers, in the order in which the realms first stand there. Of equally
/// strong ones the first is taken. Schemes other than Digest, unknown algorithms and challenges with only unknown
/// `qop` values are passed over.
///
/// RFC 7616 §3.7 leaves the choice to the client and RFC 8760 §2.4 asks for the first one; servers list the strongest
/// first, so both agree unless something on the way has reordered them.
pub fn by_realm<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut best: Vec<Challenge> = Vec::new();
    for builder in values.into_iter().flat_map(builders) {
        let Some(next) = builder.finish() else { continue };
        match best.iter_mut().find(|best| best.realm == next.realm) {
            Some(best) if next.algorithm > best.algorithm => *best = next,
            Some(_) => {}
            None => best.push(next),
        }
    }
    best
}

/// Why none of the challenges of a 401 or 407 can be answered, in words for a record, from the same values as
/// [`by_realm`]; `None` where one can.
pub fn obstacle<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let values: Vec<&str> = values.into_iter().collect();
    if !by_realm(values.iter().copied()).is_empty() {
        return None;
    }
    let (mut schemes, mut algorithms, mut qops) = (Vec::new(), Vec::new(), Vec::new());
    for piece in values.iter().flat_map(|value| Pieces::new(value)) {
        match piece {
            Piece::Scheme(name) => schemes.push(shown(name)),
            Piece::Param(name, text) if name.eq_ignore_ascii_case("algorithm") => {
                algorithms.extend(Algorithm::parse(text.trim()).is_none().then(|| shown(&text)));
            }
            Piece::Param(name, text) if name.eq_ignore_ascii_case("qop") => {
                let known = text.split(',').any(|word| Qop::parse(word.trim()).is_some());
                qops.extend((!known && !text.trim().is_empty()).then(|| shown(&text)));
            }
            Piece::Param(..) => {}
        }
    }
    let digest = schemes.iter().any(|name| name.eq_ignore_ascii_case("Digest"));
    Some(match (schemes.first(), algorithms.first(), qops.first()) {
        (None, ..) => "there is no challenge in it".to_owned(),
        (Some(scheme), ..) if !digest => format!("its challenge is no Digest but {scheme:?}"),
        (_, Some(algorithm), _) => format!("its challenge wants algorithm {algorithm:?}, which is not spoken here"),
        (_, _, Some(qop)) => format!("its challenge wants qop {qop:?}, which is not spoken here"),
        _ => "its challenge has no nonce".to_owned(),
    })
}

/// The beginning of a peer's word, for a text that people read.
fn shown(word: &str) -> String {
    word.trim().chars().filter(|c| !c.is_control()).take(32).collect()
}

/// The `nextnonce` of an Authentication-Info field.
pub fn next_nonce(value: &str) -> Option<String> {
    // The field has parameters only; the reader wants a scheme before them.
    let with_scheme = format!("Digest {value}");
    Pieces::new(&with_scheme).find_map(|piece| match piece {
        Piece::Param(name, text) if name.eq_ignore_ascii_case("nextnonce") => Some(text.into_owned()),
        _ => None,
    })
}

/// The digest challenges of one value, still unread.
fn builders(value: &str) -> Vec<Builder> {
    let mut builders: Vec<Option<Builder>> = Vec::new();
    for piece in Pieces::new(value) {
        match piece {
            Piece::Scheme(name) => builders.push(name.eq_ignore_ascii_case("Digest").then(Builder::default)),
            Piece::Param(name, text) => {
                if let Some(Some(builder)) = builders.last_mut() {
                    builder.take(name, &text);
                }
            }
        }
    }
    builders.into_iter().flatten().collect()
}

impl Challenge {
    /// The value of the Authorization or Proxy-Authorization header for `request`.
    ///
    /// `cnonce` is fresh random text; `nc` counts the requests that used this nonce, from 1.
    pub fn respond(&self, credentials: &Credentials<'_>, request: &Request<'_>, cnonce: &str, nc: u32) -> String {
        let nc = format!("{nc:08x}");
        let response = Input {
            algorithm: self.algorithm,
            user: credentials.user,
            realm: &self.realm,
            password: credentials.password.reveal(),
            nonce: &self.nonce,
            cnonce,
            nc: &nc,
            qop: self.qop,
            method: request.method,
            uri: request.uri,
            body: request.body,
        }
        .response();
        let mut out = String::with_capacity(256);
        out.push_str("Digest");
        quote(&mut out, "username", credentials.user);
        quote(&mut out, "realm", &self.realm);
        quote(&mut out, "nonce", &self.nonce);
        quote(&mut out, "uri", request.uri);
        quote(&mut out, "response", response.as_str());
        if self.algorithm_named {
            plain(&mut out, "algorithm", self.algorithm.name());
        }
        if self.qop.is_some() || self.algorithm.is_session() {
            quote(&mut out, "cnonce", cnonce);
        }
        if let Some(opaque) = &self.opaque {
            quote(&mut out, "opaque", opaque);
        }
        if let Some(qop) = self.qop {
            // RFC 7616 §3.4: qop and nc are not quoted here.
            plain(&mut out, "qop", qop.name());
            plain(&mut out, "nc", nc);
        }
        out
    }
}

/// A challenge whose parameters are still being read.
#[derive(Default)]
struct Builder {
    realm: Option<String>,
    nonce: Option<String>,
    opaque: Option<String>,
    algorithm: Option<Option<Algorithm>>,
    /// The words of the list that are known; `None` where the parameter is missing or empty.
    qop: Option<Vec<Qop>>,
    stale: bool,
}

impl Builder {
    fn take(&mut self, name: &str, value: &str) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => self.realm = Some(value.to_owned()),
            "nonce" => self.nonce = Some(value.to_owned()),
            "opaque" => self.opaque = Some(value.to_owned()),
            "algorithm" => self.algorithm = Some(Algorithm::parse(value.trim())),
            "qop" if value.trim().is_empty() => {}
            "qop" => self.qop = Some(value.split(',').filter_map(|word| Qop::parse(word.trim())).collect()),
            "stale" => self.stale = value.trim().eq_ignore_ascii_case("true"),
            _ => {}
        }
    }

    fn finish(self) -> Option<Challenge> {
        let qop = match self.qop {
            None => None,
            // A body may be changed on the way (SDP by a border element), so `auth` comes first.
            Some(known) if known.contains(&Qop::Auth) => Some(Qop::Auth),
            Some(known) => Some(*known.first()?),
        };
        Some(Challenge {
            realm: self.realm.unwrap_or_default(),
            nonce: self.nonce?,
            opaque: self.opaque,
            algorithm: self.algorithm.unwrap_or(Some(Algorithm::Md5))?,
            algorithm_named: self.algorithm.is_some(),
            qop,
            stale: self.stale,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn response_of(value: &str) -> &str {
        value.split("response=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a response")
    }

    /// RFC 2617 §3.5.
    const RFC_2617: &str = r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;

    fn strongest<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
        by_realm(values).into_iter().next()
    }

    #[test]
    fn the_example_of_rfc_2617_comes_out_to_the_letter() {
        let password = Secret::new("Circle Of Life");
        let credentials = Credentials { user: "Mufasa", password: &password };
        let request = Request { method: "GET", uri: "/dir/index.html", body: b"" };
        let challenge = strongest([RFC_2617]).expect("supported");
        assert_eq!(
            challenge.respond(&credentials, &request, "0a4f113b", 1),
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             uri=\"/dir/index.html\", response=\"6629fae49393a05397450978507c4ef1\", cnonce=\"0a4f113b\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\", qop=auth, nc=00000001"
        );
    }

    #[test]
    fn without_qop_the_form_of_rfc_2069_is_used() {
        let challenge = strongest([RFC_2617.replace("qop=\"auth,auth-int\", ", "").as_str()]).expect("supported");
        let password = Secret::new("Circle Of Life");
        let credentials = Credentials { user: "Mufasa", password: &password };
        let request = Request { method: "GET", uri: "/dir/index.html", body: b"" };
        let value = challenge.respond(&credentials, &request, "0a4f113b", 1);
        assert_eq!(response_of(&value), "670fd8c2df070c60b045671b8b24ff02");
        assert!(!value.contains("cnonce") && !value.contains("qop") && !value.contains("nc="), "{value}");
    }

    /// RFC 7616 §3.9.1 with the algorithm given.
    fn rfc_7616(algorithm: &str) -> String {
        let value = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let password = Secret::new("Circle of Life");
        let credentials = Credentials { user: "Mufasa", password: &password };
        let request = Request { method: "GET", uri: "/dir/index.html", body: b"" };
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        strongest([value.as_str()]).expect("supported").respond(&credentials, &request, cnonce, 1)
    }

    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        assert_eq!(response_of(&rfc_7616("MD5")), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            response_of(&rfc_7616("SHA-256")),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
        assert!(rfc_7616("SHA-256").contains("algorithm=SHA-256"));
    }

    #[test]
    fn the_strongest_supported_challenge_wins_over_several_headers() {
        let first = r#"Basic realm="b", Digest realm="r, \"q\"", nonce="1", algorithm=MD5"#;
        let second = r#"Digest realm="r, \"q\"", nonce="2", algorithm="sha-256", QOP=auth, Stale=TRUE"#;
        let third = r#"Digest realm="r", nonce="3", algorithm=AKAv1-MD5, Digest realm="r", nonce="4", algorithm=MD5"#;
        let chosen = strongest([first, second, third]).expect("supported");
        let expected = Challenge {
            realm: "r, \"q\"".into(),
            nonce: "2".into(),
            opaque: None,
            algorithm: Algorithm::Sha256,
            algorithm_named: true,
            qop: Some(Qop::Auth),
            stale: true,
        };
        assert_eq!(chosen, expected);
        let realms = by_realm([first, second, third]).len();
        assert_eq!(realms, 2, "each realm has its own");
        assert_eq!(strongest([first, third]).map(|challenge| challenge.nonce).as_deref(), Some("1"));
    }

    #[test]
    fn a_challenge_that_nobody_can_answer_is_none() {
        for value in ["", "Basic realm=\"x\"", "Digest realm=\"x\"", "Digest nonce=\"1\", qop=\"later\"", ",,="] {
            assert_eq!(strongest([value]), None, "{value}");
        }
        let unknown = "Digest realm=\"x\", nonce=\"1\", algorithm=ROT13";
        assert_eq!(strongest([unknown]), None);
    }

    #[test]
    fn what_keeps_a_challenge_from_being_answered_is_said() {
        let said = |values: &[&str]| obstacle(values.iter().copied());
        assert_eq!(said(&[RFC_2617]), None);
        assert_eq!(said(&["Negotiate", RFC_2617]), None, "one of them can be answered");
        for (value, words) in [
            ("", "there is no challenge in it"),
            ("Basic realm=\"x\"", "its challenge is no Digest but \"Basic\""),
            (
                "Digest realm=\"x\", nonce=\"1\", algorithm=ROT13",
                "its challenge wants algorithm \"ROT13\", which is not spoken here",
            ),
            (
                "Digest nonce=\"1\", qop=\"later, sooner\"",
                "its challenge wants qop \"later, sooner\", which is not spoken here",
            ),
            ("Digest realm=\"x\"", "its challenge has no nonce"),
        ] {
            assert_eq!(said(&[value]).as_deref(), Some(words));
        }
        assert_eq!(said(&[]).as_deref(), Some("there is no challenge in it"));
        let long = format!("Digest nonce=\"1\", algorithm=\"{}\u{7}\"", "x".repeat(60_000));
        assert!(said(&[&long]).is_some_and(|words| words.len() < 100));
    }

    #[test]
    fn only_auth_int_covers_the_body() {
        let value = r#"Digest realm="r", nonce="n", qop="auth-int""#;
        let challenge = strongest([value]).expect("supported");
        assert_eq!(challenge.qop, Some(Qop::AuthInt));
        let password = Secret::new("p");
        let credentials = Credentials { user: "u", password: &password };
        let response = |body| {
            let request = Request { method: "INVITE", uri: "sip:a", body };
            response_of(&challenge.respond(&credentials, &request, "c", 1)).to_owned()
        };
        assert_ne!(response(b"one"), response(b"two"));
    }

    #[test]
    fn quotes_in_names_are_escaped_and_line_ends_cannot_leave_the_header() {
        let password = Secret::new("p");
        let credentials = Credentials { user: "a\"\\b\r\nX: y", password: &password };
        let challenge = strongest([r#"Digest realm="r", nonce="n""#]).expect("supported");
        let value = challenge.respond(&credentials, &Request { method: "A", uri: "sip:a", body: b"" }, "c", 1);
        assert!(value.starts_with(r#"Digest username="a\"\\bX: y", realm="r""#), "{value}");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = strongest([text.as_str(), &format!("Digest {text}")]);
            let _ = obstacle([text.as_str(), &format!("Digest {text}")]);
        }
    }
}
