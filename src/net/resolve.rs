//! Names of servers to addresses. One lookup before a run; RFC 3263 procedures are not part of it.

use std::net::SocketAddr;

/// Why a server has no address.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve {host}: {cause}")]
pub struct ResolveError {
    host: String,
    cause: String,
}

/// The first address of `host`, an address or a name; IPv4 before IPv6 where a name has both.
///
/// # Errors
/// [`ResolveError`] where the name has no address.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, ResolveError> {
    let error = |cause: String| ResolveError { host: host.to_owned(), cause };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = std::net::ToSocketAddrs::to_socket_addrs(&(bare, port)).map_err(|e| error(e.to_string()))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| error("the name has no address".into()))
}
