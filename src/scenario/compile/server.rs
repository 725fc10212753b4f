//! Addresses of servers as people write them: `sip:HOST:PORT;transport=tcp`, `HOST:PORT`, `HOST`, `[::1]:5060`.

use std::net::Ipv6Addr;

use crate::scenario::plan::{Server, Transport};

/// What can be wrong with an address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ServerError {
    #[error("TLS is not supported yet")]
    Tls,
    #[error("`{0}` is no address of a server")]
    Form(String),
}

/// Reads an address; `transport` holds where the address does not say.
pub(super) fn parse(text: &str, transport: Option<Transport>) -> Result<Server, ServerError> {
    let form = || ServerError::Form(text.to_owned());
    let lower = text.trim().to_ascii_lowercase();
    if lower.starts_with("sips:") {
        return Err(ServerError::Tls);
    }
    let rest = lower.strip_prefix("sip:").unwrap_or(&lower);
    let (address, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let mut said = None;
    for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("transport", "udp")) => said = Some(Transport::Udp),
            Some(("transport", "tcp")) => said = Some(Transport::Tcp),
            Some(("transport", "tls")) => return Err(ServerError::Tls),
            _ if parameter == "lr" => {}
            _ => return Err(form()),
        }
    }
    let (host, port) = host_and_port(address).ok_or_else(form)?;
    Ok(Server { host, port, transport: said.or(transport).unwrap_or_default() })
}

fn host_and_port(address: &str) -> Option<(String, Option<u16>)> {
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
        for (text, host, port, transport) in [
            ("pbx.example", "pbx.example", None, Transport::Udp),
            ("sip:PBX.example:5070", "pbx.example", Some(5070), Transport::Udp),
            ("127.0.0.1:5060", "127.0.0.1", Some(5060), Transport::Udp),
            ("sip:[::1]:5062;transport=tcp", "::1", Some(5062), Transport::Tcp),
            ("sip:10.0.0.1;lr", "10.0.0.1", None, Transport::Udp),
        ] {
            assert_eq!(parse(text, None), Ok(Server { host: host.into(), port, transport }), "{text}");
        }
        assert_eq!(parse("a", Some(Transport::Tcp)).map(|server| server.transport), Ok(Transport::Tcp));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "sip:", "a b", "a:0", "a:70000", "[::1", "::1", "user@host", "http://a", "a;x=y"] {
            assert_eq!(parse(text, None), Err(ServerError::Form(text.into())), "{text}");
        }
        assert_eq!(parse("sips:a", None), Err(ServerError::Tls));
        assert_eq!(parse("a;transport=tls", None), Err(ServerError::Tls));
    }
}
