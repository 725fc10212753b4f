//! TLS towards a target: whom to trust, what to show, how old a version may be.

use std::net::IpAddr;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Input;
use super::doc::{self, At, Report};
use crate::scenario::file::scalar::Digits;
use crate::scenario::file::target::{IceServerFile, SipFile, WebSocketFile};
use crate::scenario::plan::{Identity, Roots, Server, TlsSettings, TlsVersion, Verify};
use crate::units::Secret;

/// The part of a file that speaks of TLS.
pub(super) struct TlsFile<'f> {
    pub(super) ca: &'f Option<String>,
    pub(super) cert: &'f Option<String>,
    pub(super) key: &'f Option<String>,
    pub(super) tls_min: &'f Option<Digits>,
    pub(super) verify: Verify,
}

impl<'f> From<&'f SipFile> for TlsFile<'f> {
    fn from(file: &'f SipFile) -> Self {
        let SipFile { ca, cert, key, tls_min, .. } = file;
        Self { ca, cert, key, tls_min, verify: Verify::SipDomain }
    }
}

impl<'f> From<&'f WebSocketFile> for TlsFile<'f> {
    fn from(file: &'f WebSocketFile) -> Self {
        let WebSocketFile { ca, cert, key, tls_min, .. } = file;
        Self { ca, cert, key, tls_min, verify: if file.insecure { Verify::Nothing } else { Verify::Host } }
    }
}

impl<'f> From<&'f IceServerFile> for TlsFile<'f> {
    fn from(file: &'f IceServerFile) -> Self {
        let verify = if file.insecure { Verify::Nothing } else { Verify::Host };
        Self { ca: &file.ca, cert: &None, key: &None, tls_min: &None, verify }
    }
}

impl TlsFile<'_> {
    /// Complains of what is given and has no use: without TLS (`instead` says how a server with TLS is written), and a CA
    /// where nothing is verified.
    pub(super) fn expect_tls(&self, secure: bool, (without, instead): (&str, &str), at: At<'_>, report: &mut Report) {
        let insecure = self.verify == Verify::Nothing;
        let given = [
            ("ca", self.ca.is_some()),
            ("cert", self.cert.is_some()),
            ("tls_min", self.tls_min.is_some()),
            ("insecure", insecure),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given && !secure) {
            report.add(
                at.name(key),
                format!("`{key}` is said of TLS, and {without}"),
                format!("write {instead} or leave it out"),
            );
        }
        if insecure && self.ca.is_some() {
            report.add(at.name("insecure"), "`insecure` and `ca` are both given", "leave one of the two out");
        }
    }
}

/// What a target says of TLS; the name is that of each server.
pub(super) fn settings(input: &Input<'_>, file: &TlsFile<'_>, at: At<'_>, report: &mut Report) -> TlsSettings {
    let read = |path: &Option<String>, key: &str, report: &mut Report| {
        let path = path.as_ref()?;
        doc::read(input, &at.doc().beside(path), at.key(key), report)
    };
    let ca = read(file.ca, "ca", report);
    let chain = read(file.cert, "cert", report);
    let key = read(file.key, "key", report);
    for (pem, key) in [(&ca, "ca"), (&chain, "cert")] {
        if pem.as_ref().is_some_and(|pem| !has_certificate(pem)) {
            report.add(at.key(key), "there is no certificate in this file", "name a PEM file: BEGIN CERTIFICATE");
        }
    }
    if key.as_ref().is_some_and(|pem| PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_err()) {
        report.add(at.key("key"), "there is no private key in this file", "name a PEM file: BEGIN PRIVATE KEY");
    }
    if file.cert.is_some() != file.key.is_some() {
        let (given, missing) = if file.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
        report.add(
            at.name(given),
            format!("`{given}` is of no use without `{missing}`"),
            format!("add `{missing}: FILE`"),
        );
    }
    let minimum = match file.tls_min.as_ref().map(|text| text.0.trim()) {
        None | Some("1.2") => TlsVersion::V1_2,
        Some("1.3") => TlsVersion::V1_3,
        Some(other) => {
            report.add(at.key("tls_min"), format!("`{other}` is no version of TLS that is spoken"), "write 1.2 or 1.3");
            TlsVersion::V1_2
        }
    };
    TlsSettings {
        name: String::new(),
        roots: ca.map_or(Roots::System, Roots::Given),
        identity: chain.zip(key).map(|(chain, key)| Identity { chain, key: Secret::new(key) }),
        minimum,
        verify: file.verify,
    }
}

/// A server with its settings. It is looked for by its host name, as RFC 5922 §7 has it; one that is written as an
/// address by the domain, where that is a name.
pub(super) fn secured(server: Server, settings: &TlsSettings, domain: &str) -> Server {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let name = if is_address(&server.host) && !is_address(domain) { domain } else { &server.host };
    let tls = Arc::new(TlsSettings { name: name.to_owned(), ..settings.clone() });
    Server { tls, ..server }
}

fn has_certificate(pem: &str) -> bool {
    CertificateDer::pem_slice_iter(pem.as_bytes()).any(|certificate| certificate.is_ok())
}
