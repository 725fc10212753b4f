//! What is wrong with a TLS connection, in words for the one who has to mend it.

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error, OtherError};

/// The peer went away before the handshake ended.
#[derive(Debug, thiserror::Error)]
#[error("the peer closed the connection during the TLS handshake: perhaps the port does not speak TLS")]
pub(super) struct ClosedInHandshake;

/// The server ended the handshake after it had shown its own certificate. RFC 5246 §7.4.6: so a server of TLS 1.2 does, OpenSSL
/// among them, that wants a certificate and is shown none, or one that it does not take.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server ended TLS with the alert HandshakeFailure after the certificates: it may want a client certificate, or \
     another one (cert and key of the target)"
)]
pub(super) struct FailedAfterCertificates;

impl FailedAfterCertificates {
    /// Whether this error is that, of a connection to a server that has shown its certificate or not.
    pub(super) fn is(error: &Error, has_shown: bool) -> bool {
        has_shown && *error == Error::AlertReceived(AlertDescription::HandshakeFailure)
    }
}

/// A certificate that its own key has signed, and that is not among those which are trusted.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is self-signed, and no CA that is trusted vouches for it")]
pub(super) struct SelfSigned;

impl From<SelfSigned> for Error {
    fn from(fault: SelfSigned) -> Self {
        CertificateError::Other(OtherError(Arc::new(fault))).into()
    }
}

/// Whether an error of a connection is one of TLS.
pub fn is_tls(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| {
        inner.is::<Error>() || inner.is::<ClosedInHandshake>() || inner.is::<FailedAfterCertificates>()
    })
}

/// An error of a connection as a text.
pub fn describe(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => of_rustls(error),
        None => error.to_string(),
    }
}

fn of_rustls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidMessage(_) => "what came is not TLS: the port does not speak it".to_owned(),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(reason) => format!("no TLS version or cipher in common: {reason:?}"),
        other => format!("TLS: {other}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as Cert;
    match error {
        Cert::NotValidForName => "the certificate is for another name".to_owned(),
        Cert::NotValidForNameContext { expected, presented } => {
            let presented: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            let names = if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") };
            let host = expected.to_str();
            // In HTTPS it counts for one label.
            let covers = |name: &&str| {
                name.strip_prefix('*')
                    .is_some_and(|rest| host.strip_suffix(rest).is_some_and(|label| !label.contains('.')))
            };
            let covered = presented.iter().any(covers);
            let note = if covered { "; a wildcard does not count in SIP (RFC 5922 §7.2)" } else { "" };
            format!("the certificate is for {names}, not for {}{note}", expected.to_str())
        }
        Cert::Expired | Cert::ExpiredContext { .. } => "the certificate has expired".to_owned(),
        Cert::NotValidYet | Cert::NotValidYetContext { .. } => "the certificate is not valid yet".to_owned(),
        // A CA of the same name as one that is trusted, but another one, shows as a bad signature.
        Cert::UnknownIssuer | Cert::BadSignature => "the certificate's issuer is not trusted (unknown CA)".to_owned(),
        Cert::Revoked => "the certificate is revoked".to_owned(),
        Cert::Other(OtherError(inner)) if inner.is::<SelfSigned>() => inner.to_string(),
        other => format!("the certificate is refused: {other}"),
    }
}

/// A name of a certificate, which rustls may write as `DnsName("pbx.example")`.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

fn of_alert(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => "the server wants a client certificate (cert and key of the target)".to_owned(),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => format!("the server refused our client certificate (alert {alert:?})"),
        Alert::UnrecognisedName => "the server does not know the name that we asked for (SNI)".to_owned(),
        Alert::ProtocolVersion => "the server refused our TLS versions".to_owned(),
        other => format!("the server ended TLS with the alert {other:?}"),
    }
}
