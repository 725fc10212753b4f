//! Where others read what we show over HTTP.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Listens for connections, to be accepted by an asynchronous runtime.
///
/// # Errors
/// The system's: the address is taken, or not of this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    #[expect(clippy::disallowed_methods, reason = "this is net")]
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
