//! Addresses of servers as people write them: `sip:HOST:PORT;transport=tcp`, `HOST:PORT`, `HOST`, `[::1]:5060`.

use std::net::{IpAddr, Ipv6Addr};

use crate::scenario::plan::{Server, Transport};

/// What can be wrong with an address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ServerError {
    #[error("`sips:` means TLS, and that does not run over UDP")]
    SipsOverUdp,
    #[error("a WebSocket server is named by its URL, in `websocket:`")]
    WebSocket,
    #[error("`{0}` is no address of a server")]
    Form(String),
}

/// Reads an address; `transport` holds where the address does not say. Without either, a bare name is left to DNS
/// (RFC 3263 §4.1), and anything else means UDP, or TLS with `sips:`.
pub(super) fn parse(text: &str, transport: Option<Transport>) -> Result<Server, ServerError> {
    let form = || ServerError::Form(text.to_owned());
    let lower = text.trim().to_ascii_lowercase();
    let (sips, rest) = match lower.strip_prefix("sips:") {
        Some(rest) => (true, rest),
        None => (false, lower.strip_prefix("sip:").unwrap_or(&lower)),
    };
    let (address, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let mut said = None;
    for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("transport", "udp")) => said = Some(Transport::Udp),
            Some(("transport", "tcp")) => said = Some(Transport::Tcp),
            Some(("transport", "tls")) => said = Some(Transport::Tls),
            Some(("transport", "ws" | "wss")) => return Err(ServerError::WebSocket),
            _ if parameter == "lr" => {}
            _ => return Err(form()),
        }
    }
    let (host, port) = host_and_port(address).ok_or_else(form)?;
    let plain = port.is_some() || host.parse::<IpAddr>().is_ok();
    let transport = match said.or(transport) {
        Some(Transport::Udp) if sips => return Err(ServerError::SipsOverUdp),
        // RFC 3261 §26.2.2: `sips:` with transport=tcp is TLS over TCP.
        Some(_) if sips => Some(Transport::Tls),
        None if plain => Some(if sips { Transport::Tls } else { Transport::Udp }),
        other => other,
    };
    Ok(Server { host, port, transport, sips, ..Server::default() })
}

pub(super) fn host_and_port(address: &str) -> Option<(String, Option<u16>)> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match rest.strip_prefix(':') {
            Some(text) => Some((host.to_owned(), Some(port(text)?))),
            None => rest.is_empty().then(|| (host.to_owned(), None)),
        };
    }
    let (host, number) = match address.split_once(':') {
        Some((host, text)) => (host, Some(port(text)?)),
        None => (address, None),
    };
    is_host(host).then(|| (host.to_owned(), number))
}

/// A host name or an IPv4 address: RFC 3261 §25.1 `hostname`, with underscores, which private networks use.
pub(super) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form() {
        for (text, host, port, transport, sips) in [
            ("pbx.example", "pbx.example", None, None, false),
            ("sips:pbx.example", "pbx.example", None, None, true),
            ("sip:PBX.example:5070", "pbx.example", Some(5070), Some(Transport::Udp), false),
            ("127.0.0.1:5060", "127.0.0.1", Some(5060), Some(Transport::Udp), false),
            ("sip:[::1]:5062;transport=tcp", "::1", Some(5062), Some(Transport::Tcp), false),
            ("sip:10.0.0.1;lr", "10.0.0.1", None, Some(Transport::Udp), false),
            ("sips:10.0.0.1", "10.0.0.1", None, Some(Transport::Tls), true),
            ("sips:a;transport=tcp", "a", None, Some(Transport::Tls), true),
            ("sip:a;transport=tls", "a", None, Some(Transport::Tls), false),
        ] {
            let server = Server { host: host.into(), port, transport, sips, ..Server::default() };
            assert_eq!(parse(text, None), Ok(server), "{text}");
        }
        let transport = |text, key| parse(text, Some(key)).map(|server| server.transport);
        assert_eq!(transport("a", Transport::Tcp), Ok(Some(Transport::Tcp)));
        assert_eq!(transport("sips:a", Transport::Tcp), Ok(Some(Transport::Tls)));
        assert_eq!(transport("sips:a", Transport::Udp), Err(ServerError::SipsOverUdp));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "sip:", "a b", "a:0", "a:70000", "[::1", "::1", "user@host", "http://a", "a;x=y"] {
            assert_eq!(parse(text, None), Err(ServerError::Form(text.into())), "{text}");
        }
    }
}
