//! TLS on real sockets of loopback: what a connection comes to with every kind of server, and in which words.

#![expect(clippy::disallowed_methods, reason = "the servers of these tests are not the product's")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use ringfleet::net::stream::{Above, Advance, ReadState, Stream};
use ringfleet::net::tls::{Acceptor, Client, describe, is_tls};
use ringfleet::scenario::plan::{Identity, Roots, TlsSettings, TlsVersion};
use ringfleet::units::Secret;

const OPTIONS: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TLS h\r\nContent-Length: 0\r\n\r\n";

/// A CA, and certificates that it has signed.
pub(crate) struct Ca {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("signed");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key, PEM.
    pub(crate) fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = named(names);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }
}

/// A certificate of these names: addresses, URIs, host names.
fn named(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.subject_alt_names = names
        .iter()
        .map(|name| match (name.parse(), name.contains(':')) {
            (Ok(address), _) => SanType::IpAddress(address),
            (_, true) => SanType::URI((*name).try_into().expect("ASCII")),
            _ => SanType::DnsName((*name).try_into().expect("ASCII")),
        })
        .collect();
    params
}

/// Certificate and key, PEM, signed by that key; a CA's as well where `ca`, as OpenSSL makes them.
pub(crate) fn self_signed(names: &[&str], ca: bool) -> (String, String) {
    let mut params = named(names);
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("signed").pem(), key.serialize_pem())
}

/// What rustls needs to be a server with this certificate and key, PEM, in these versions.
pub(crate) fn rustls_server(
    (chain, key): (&str, &str),
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<rustls::ServerConfig> {
    let certificates = rustls_pki_types::pem::PemObject::pem_slice_iter(chain.as_bytes());
    let chain: Vec<_> = certificates.collect::<Result<_, _>>().expect("PEM");
    let key = rustls_pki_types::pem::PemObject::from_pem_slice(key.as_bytes()).expect("PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let builder = builder.expect("versions").with_no_client_auth();
    Arc::new(builder.with_single_cert(chain, key).expect("a certificate"))
}

/// A server that answers every message with itself until its peer closes, by our own acceptor.
fn server(acceptor: Acceptor) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let thread = std::thread::spawn(move || {
        let (socket, remote) = listener.accept().expect("a client");
        socket.set_nonblocking(true).expect("a socket");
        let stream = Stream::accepted(mio::net::TcpStream::from_std(socket), remote, Some(acceptor));
        let mut back = Vec::new();
        let _ = drive(
            stream,
            |_| {},
            |stream, bytes| {
                back.push(bytes.to_vec());
                back.drain(..).try_for_each(|bytes| stream.send(&bytes)).is_ok()
            },
        );
    });
    (address, thread)
}

/// Lets a connection live until it closes, or until `each` has heard enough. The error that ended it.
fn drive(
    mut stream: Stream,
    opened: impl FnOnce(&mut Stream),
    mut each: impl FnMut(&mut Stream, &[u8]) -> bool,
) -> Result<Stream, std::io::Error> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    poll.registry().register(stream.source(), Token(0), Interest::READABLE | Interest::WRITABLE)?;
    let (mut opened, mut buffer) = (Some(opened), Vec::new());
    loop {
        loop {
            match stream.advance()? {
                Advance::Waiting => break,
                Advance::Again => continue,
                Advance::Opened(_) => {
                    if let Some(opened) = opened.take() {
                        opened(&mut stream);
                    }
                }
                Advance::Open => {}
            }
            stream.flush()?;
            let mut heard = Vec::new();
            let state = stream.receive(&mut buffer, |bytes| heard.push(bytes.to_vec()));
            for bytes in heard {
                if !each(&mut stream, &bytes) {
                    return Ok(stream);
                }
            }
            match state {
                ReadState::Closed(error) => return Err(error),
                ReadState::More => {}
                ReadState::Drained => break,
            }
        }
        poll.poll(&mut events, Some(Duration::from_secs(20)))?;
        assert!(!events.is_empty(), "nothing happens any more");
    }
}

/// Sends OPTIONS and waits for what comes back; the words for what went wrong.
fn exchange(address: SocketAddr, settings: &TlsSettings) -> Result<Vec<u8>, String> {
    let session = Client::new(settings, None).expect("settings").connect().expect("a session");
    let above = Above { tls: Some(session), ..Above::default() };
    let stream = Stream::connect(address, None, above).expect("a socket");
    let mut back = Vec::new();
    let ended = drive(
        stream,
        |stream| stream.send(OPTIONS).expect("sent"),
        |_, bytes| {
            back.extend_from_slice(bytes);
            false
        },
    );
    match ended {
        Ok(mut stream) => {
            stream.close();
            Ok(back)
        }
        Err(error) => {
            assert!(is_tls(&error), "{error:?}");
            Err(describe(&error))
        }
    }
}

fn trusting(ca: &Ca, name: &str) -> TlsSettings {
    TlsSettings { name: name.to_owned(), roots: Roots::Given(ca.pem()), ..TlsSettings::default() }
}

/// What a client that wants `name` hears of a server with a certificate of these names.
fn with_names(names: &[&str], name: &str) -> Result<Vec<u8>, String> {
    let ca = Ca::new("ours");
    let (chain, key) = ca.sign(names, |_| {});
    let (address, thread) = server(Acceptor::new(&chain, &key, None).expect("an acceptor"));
    let result = exchange(address, &trusting(&ca, name));
    thread.join().expect("the server ended");
    result
}

#[test]
fn a_message_goes_there_and_back() {
    assert_eq!(with_names(&["pbx.example"], "pbx.example"), Ok(OPTIONS.to_vec()));
}

#[test]
fn the_name_is_that_of_the_sip_domain() {
    // RFC 5922 §7: a DNS name or a sip: URI without user part; an address as an address.
    for (names, wanted) in [
        (&["other.example", "sip:pbx.example"][..], "pbx.example"),
        (&["PBX.example"], "pbx.example"),
        (&["127.0.0.1"], "127.0.0.1"),
        (&["::1"], "::1"),
    ] {
        assert_eq!(with_names(names, wanted), Ok(OPTIONS.to_vec()), "{names:?}");
    }
    for (names, words) in [
        (&["other.example"][..], "the certificate is for other.example, not for pbx.example"),
        (&["sip:alice@pbx.example"], "the certificate is for no name, not for pbx.example"),
    ] {
        assert_eq!(with_names(names, "pbx.example"), Err(words.to_owned()));
    }
    let words = "the certificate is for *.corp.example, not for pbx.corp.example; \
        a wildcard does not count in SIP (RFC 5922 §7.2)";
    assert_eq!(with_names(&["*.corp.example"], "pbx.corp.example"), Err(words.to_owned()));
}

#[test]
fn the_end_of_a_certificate_is_known_before_it_comes() {
    let ca = Ca::new("ours");
    let end = rcgen::date_time_ymd(2060, 2, 3);
    let (chain, key) = ca.sign(&["pbx.example"], |params| params.not_after = end);
    let look = |name: &str| {
        let (address, thread) = server(Acceptor::new(&chain, &key, None).expect("an acceptor"));
        let client = Client::new(&trusting(&ca, name), None).expect("settings");
        let found = client.certificate_end(address, Duration::from_secs(20));
        thread.join().expect("the server ended");
        found
    };
    let seconds = look("pbx.example").expect("shown").as_secs();
    assert_eq!(i64::try_from(seconds), Ok(end.unix_timestamp()));
    let refused = look("other.example").expect_err("for another name");
    assert_eq!(describe(&refused), "the certificate is for pbx.example, not for other.example");
}

#[test]
fn a_ca_that_is_not_trusted_and_a_certificate_out_of_time_are_told_apart() {
    let (ca, other) = (Ca::new("ours"), Ca::new("theirs"));
    let good = ca.sign(&["pbx.example"], |_| {});
    let old = ca.sign(&["pbx.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let young = ca.sign(&["pbx.example"], |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    let alone = "the certificate is self-signed, and no CA that is trusted vouches for it";
    for ((chain, key), trusted, words) in [
        (good, &other, "the certificate's issuer is not trusted (unknown CA)"),
        (self_signed(&["pbx.example"], false), &ca, alone),
        (self_signed(&["pbx.example"], true), &ca, alone),
        (old, &ca, "the certificate has expired"),
        (young, &ca, "the certificate is not valid yet"),
    ] {
        let (address, thread) = server(Acceptor::new(&chain, &key, None).expect("an acceptor"));
        assert_eq!(exchange(address, &trusting(trusted, "pbx.example")), Err(words.to_owned()));
        thread.join().expect("the server ended");
    }
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for_and_its_refusal_is_said() {
    let (ca, other) = (Ca::new("ours"), Ca::new("theirs"));
    let (chain, key) = ca.sign(&["pbx.example"], |_| {});
    let identity = |ca: &Ca| {
        let (chain, key) = ca.sign(&["probe.example"], |_| {});
        Some(Identity { chain, key: Secret::new(key) })
    };
    for (identity, result) in [
        (identity(&ca), Ok(OPTIONS.to_vec())),
        (None, Err("the server wants a client certificate (cert and key of the target)".to_owned())),
        (identity(&other), Err("the server refused our client certificate (alert UnknownCA)".to_owned())),
    ] {
        let (address, thread) = server(Acceptor::new(&chain, &key, Some(&ca.pem())).expect("an acceptor"));
        let settings = TlsSettings { identity, ..trusting(&ca, "pbx.example") };
        assert_eq!(exchange(address, &settings), result);
        thread.join().expect("the server ended");
    }
}

#[test]
fn a_port_without_tls_is_found_out() {
    for (answer, words) in [
        (
            &b"SIP/2.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
            "what came is not TLS: the port does not speak it",
        ),
        (b"", "the peer closed the connection during the TLS handshake: perhaps the port does not speak TLS"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let thread = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let _ = socket.read(&mut [0; 4096]);
            socket.write_all(answer).expect("sent");
        });
        assert_eq!(exchange(address, &trusting(&Ca::new("ours"), "pbx.example")), Err(words.to_owned()));
        thread.join().expect("the server ended");
    }
}

#[test]
fn an_old_server_is_refused_where_the_target_says_so() {
    let ca = Ca::new("ours");
    let (chain, key) = ca.sign(&["pbx.example"], |_| {});
    let old = rustls_server((&chain, &key), &[&rustls::version::TLS12]);
    for (minimum, works) in [(TlsVersion::V1_2, true), (TlsVersion::V1_3, false)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let old = Arc::clone(&old);
        let thread = std::thread::spawn(move || {
            let (socket, _) = listener.accept().expect("a client");
            let connection = rustls::ServerConnection::new(old).expect("a connection");
            let mut tls = rustls::StreamOwned::new(connection, socket);
            let mut bytes = [0; 4096];
            if let Ok(count) = tls.read(&mut bytes) {
                let _ = tls.write_all(&bytes[..count]);
            }
        });
        let result = exchange(address, &TlsSettings { minimum, ..trusting(&ca, "pbx.example") });
        assert_eq!(result.is_ok(), works, "{result:?}");
        if let Err(words) = result {
            assert_eq!(words, "the server refused our TLS versions");
        }
        thread.join().expect("the server ended");
    }
}

#[test]
fn a_peer_that_speaks_plain_tcp_is_taken_in_at_the_same_port() {
    let ca = Ca::new("ours");
    let (chain, key) = ca.sign(&["pbx.example"], |_| {});
    let (address, thread) = server(Acceptor::new(&chain, &key, None).expect("an acceptor"));
    let mut socket = std::net::TcpStream::connect(address).expect("connected");
    // Byte by byte: the message comes out whole all the same.
    for byte in OPTIONS {
        socket.write_all(&[*byte]).expect("sent");
    }
    let mut back = vec![0; OPTIONS.len()];
    socket.read_exact(&mut back).expect("answered");
    assert_eq!(back, OPTIONS);
    drop(socket);
    thread.join().expect("the server ended");
}
