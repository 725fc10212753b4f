//! TLS below SIP: rustls over the buffers of a connection, on the worker's own thread. No async, and one crypto
//! provider, aws-lc-rs.

mod acceptor;
mod client;
mod fault;
mod identity;
mod verify;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::Connection;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

pub use acceptor::{Acceptor, SelfSigned};
pub(super) use client::config;
pub use client::{Client, TlsError};
pub use fault::{describe, is_tls};
pub use identity::dtls_identity;

/// Makes aws-lc-rs the provider of the whole process. Called once, first thing in `main`.
pub fn install_provider() {
    // An error says that one is installed already: it is the same one, as no other is compiled in.
    let _ = aws_lc_rs::default_provider().install_default();
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A TLS connection over a socket that is not its own.
#[derive(Debug)]
pub struct Session(Connection);

impl Session {
    /// Whether the handshake has not ended.
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Takes what the peer sent for the handshake, once. False where nothing was there.
    ///
    /// # Errors
    /// The peer is not who it should be, does not speak TLS, refuses us, or went away.
    pub fn shake(&mut self, socket: &mut (impl Read + Write)) -> io::Result<bool> {
        let read = match self.0.read_tls(socket) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, fault::ClosedInHandshake)),
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(io::Error::new(error.kind(), fault::ClosedInHandshake));
            }
            Err(error) => return Err(error),
        };
        let processed = if read { self.0.process_new_packets().map(drop) } else { Ok(()) };
        // The alert that says what is wrong goes out before the connection is dropped.
        let flushed = self.flush(socket, &mut Vec::new());
        processed.map_err(|error| self.failed(error))?;
        flushed.map(|()| read)
    }

    fn failed(&self, error: rustls::Error) -> io::Error {
        let has_shown = matches!(self.0, Connection::Client(_)) && self.0.peer_certificates().is_some();
        if fault::FailedAfterCertificates::is(&error, has_shown) {
            return io::Error::new(io::ErrorKind::InvalidData, fault::FailedAfterCertificates);
        }
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    /// Reads what the peer said; 0 where it said that it says no more.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there; else the connection is broken.
    pub fn read(&mut self, socket: &mut impl Read, plain: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.reader().read(plain) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Many servers leave out close_notify; framing tells whether a message was cut off.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            self.0.read_tls(socket)?;
            self.0.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self, socket: &mut impl Write, waiting: &mut Vec<u8>) -> io::Result<()> {
        loop {
            if !self.0.is_handshaking() && !waiting.is_empty() {
                let taken = self.0.writer().write(waiting)?;
                waiting.drain(..taken);
            }
            if !self.0.wants_write() {
                return Ok(());
            }
            match self.0.write_tls(socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Shakes hands over a socket that waits, and says until when the certificate of the peer holds, since 1970.
    fn certificate_end(&mut self, socket: &mut (impl Read + Write)) -> io::Result<Duration> {
        while self.0.is_handshaking() {
            self.0.complete_io(socket)?;
        }
        let shown = self.0.peer_certificates().and_then(|chain| chain.first());
        let read = shown.and_then(|shown| Certificate::from_der(shown).ok());
        self.close(socket);
        let unread = || io::Error::new(io::ErrorKind::InvalidData, "its certificate cannot be read");
        Ok(read.ok_or_else(unread)?.tbs_certificate.validity.not_after.to_unix_duration())
    }

    /// Says that we say no more.
    pub fn close(&mut self, socket: &mut impl Write) {
        self.0.send_close_notify();
        let _ = self.flush(socket, &mut Vec::new());
    }
}
