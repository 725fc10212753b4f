//! `ice` under `media`: servers of STUN and TURN by their URIs (RFC 7064, RFC 7065).

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Input;
use super::doc::{At, Report};
use super::secret::{self, Rules};
use super::tls::{self, TlsFile};
use crate::scenario::file::target::{IceFile, IcePolicyWord, IceServerFile, MediaFile, SrtpWord, TrickleWord};
use crate::scenario::plan::{Ice, IceServer, Server, TlsSettings, Transport, Trickle};
use crate::units::{Period, Secret};

const FORM: &str = "write stun:HOST, turn:HOST:PORT?transport=udp (or tcp), or turns:HOST";
const WITHIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);

/// How agents of WebRTC gather their candidates.
pub(super) fn compile(input: &Input<'_>, media: &MediaFile, at: At<'_>, report: &mut Report) -> Ice {
    let Some(file) = &media.ice else { return Ice::default() };
    let at = at.key("ice");
    if matches!(media.srtp, None | Some(SrtpWord::Off)) {
        report.add(at, "servers of ICE are named, but audio is not WebRTC's", "add `srtp: dtls`, or leave `ice` out");
    }
    let trickle = match file.trickle {
        TrickleWord::Off => Trickle::Off,
        TrickleWord::Half => Trickle::Half,
        TrickleWord::Full => Trickle::Full,
    };
    let relay_only = file.policy == IcePolicyWord::Relay;
    let mut ice = Ice { servers: Vec::new(), relay_only, within: within(file, at, report), trickle };
    for (index, server) in file.servers.iter().enumerate() {
        let at = at.key("servers").index(index);
        let Some(server) = ice_server(input, server, at, report) else { continue };
        // STUN and TURN of one server are two.
        let is_relay = |server: &IceServer| server.uri.starts_with("turn");
        if ice.servers.iter().any(|other| other.server == server.server && is_relay(other) == is_relay(&server)) {
            report.add(at.key("url"), "this server is named twice", "write it once");
        }
        ice.servers.push(server);
    }
    if file.servers.is_empty() && !at.doc().lossy {
        let help = if ice.relay_only {
            "add `servers: [{ url: turn:HOST, username: NAME, password: \"${NAME}\" }]`, or leave `ice` out"
        } else {
            "add `servers: [{ url: stun:HOST }]`, or leave `ice` out"
        };
        report.add(at, "no server is named", help);
    }
    let has_relay = file.servers.iter().any(|server| server.url.starts_with("turn"));
    if ice.relay_only && !has_relay && !file.servers.is_empty() {
        let help = "add a server with `url: turn:HOST`, or write `policy: all`";
        report.add(at.key("policy"), "media is to go by a relay only, and no TURN server is named", help);
    }
    ice
}

fn within(file: &IceFile, at: At<'_>, report: &mut Report) -> Duration {
    match file.gather_within {
        None => Ice::default().within,
        Some(Period(within)) if WITHIN.contains(&within) => within,
        Some(within) => {
            let help = "write a time from 100ms to 30s, as 3s";
            report.add(at.key("gather_within"), format!("`{within}` is out of range"), help);
            Ice::default().within
        }
    }
}

fn ice_server(input: &Input<'_>, file: &IceServerFile, at: At<'_>, report: &mut Report) -> Option<IceServer> {
    if file.url.is_empty() && at.doc().lossy {
        return None;
    }
    let Some(uri) = Uri::parse(&file.url) else {
        report.add(at.key("url"), format!("`{}` is no URI of a STUN or TURN server", file.url), FORM);
        return None;
    };
    if uri.secure && (uri.transport == Transport::Udp || !uri.turn) {
        let what = if uri.turn { "TURN over DTLS" } else { "STUN over TLS" };
        report.add(at.key("url"), format!("{what} is not spoken"), FORM);
        return None;
    }
    let tls = TlsFile::from(file);
    tls.expect_tls(uri.secure, ("the URI is not turns:", "turns:"), at, report);
    let settings = tls::settings(input, &tls, at, report);
    let server = Server { turn: true, ..Server::new(uri.host, Some(uri.port), uri.transport) };
    let tls = Arc::new(TlsSettings { name: server.host.clone(), ..settings });
    Some(IceServer {
        uri: file.url.clone(),
        server: Server { tls, ..server },
        login: login(input, file, uri.turn, at, report),
    })
}

fn login(
    input: &Input<'_>,
    file: &IceServerFile,
    turn: bool,
    at: At<'_>,
    report: &mut Report,
) -> Option<(String, Secret)> {
    if !turn {
        if file.username.is_some() || file.password.is_some() || file.password_file.is_some() {
            let help = "write turn: for a relay, or leave user name and password out";
            report.add(at.key("url"), "a STUN server asks for no user name and password", help);
        }
        return None;
    }
    if file.password.is_none() && file.password_file.is_none() {
        let help = "write `password: \"${NAME}\"` and set that environment variable";
        report.add(at, "the TURN server has no password", help);
    }
    let given = (file.password.as_ref(), file.password_file.as_ref());
    let password = secret::password(input, given, at, report);
    let Some(username) = &file.username else {
        report.add(at, "the TURN server has no user name", "add `username: NAME`");
        return None;
    };
    let username = secret::resolve(input, &username.0, Rules::Text, at.key("username"), report)?.reveal().to_owned();
    // RFC 8489 §14.3: fewer than 509 bytes.
    if username.is_empty() || username.len() > 508 {
        report.add(at.key("username"), "this is no user name", "write 1 to 508 bytes");
        return None;
    }
    Some((username, password?))
}

/// The parts of a URI.
#[derive(Debug, PartialEq, Eq)]
struct Uri {
    turn: bool,
    secure: bool,
    host: String,
    port: u16,
    transport: Transport,
}

impl Uri {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(':')?;
        let (turn, secure) = match scheme {
            "stun" => (false, false),
            "stuns" => (false, true),
            "turn" => (true, false),
            "turns" => (true, true),
            _ => return None,
        };
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let transport = match query {
            None if secure => Transport::Tls,
            None => Transport::Udp,
            Some("transport=udp") if turn => Transport::Udp,
            Some("transport=tcp") if turn => {
                if secure {
                    Transport::Tls
                } else {
                    Transport::Tcp
                }
            }
            Some(_) => return None,
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, port.strip_prefix(':').map_or_else(|| port.is_empty().then_some(None), |port| Some(Some(port)))?)
            }
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(named) {
            return None;
        }
        let port = match port {
            None if secure => 5349,
            None => 3478,
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        };
        Some(Self { turn, secure, host: host.to_owned(), port, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_stun_and_turn_servers_are_read_with_their_defaults() {
        let uri = |turn, secure, host: &str, port, transport| {
            Some(Uri { turn, secure, host: host.to_owned(), port, transport })
        };
        for (text, expected) in [
            ("stun:stun.example", uri(false, false, "stun.example", 3478, Transport::Udp)),
            ("turn:192.0.2.1:3479", uri(true, false, "192.0.2.1", 3479, Transport::Udp)),
            ("turn:t.example?transport=tcp", uri(true, false, "t.example", 3478, Transport::Tcp)),
            ("turns:[2001:db8::1]:443?transport=tcp", uri(true, true, "2001:db8::1", 443, Transport::Tls)),
            ("turns:t.example", uri(true, true, "t.example", 5349, Transport::Tls)),
            ("turns:[2001:db8::1]", uri(true, true, "2001:db8::1", 5349, Transport::Tls)),
        ] {
            assert_eq!(Uri::parse(text), expected, "{text}");
        }
        for text in [
            "",
            "turn",
            "turn:",
            "turn://t.example",
            "stun:a?transport=udp",
            "turn:a:0",
            "turn:a:b",
            "turn:[::1]x",
            "http:a",
        ] {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
    }
}
