//! `target:` files.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::request::ApplicationFile;
use super::scalar::{Digits, OneOrMany};
use super::session::{ReliableWord, SessionTimerFile};
use crate::units::Period;

/// A target: where calls go, with which accounts, over which trunks, and what must not happen there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "target")]
pub struct TargetFile {
    /// Its name, a tag in every result: letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub target: String,
    /// The environment, for the incident sheet.
    pub environment: Option<EnvironmentFile>,
    /// The company, for the incident sheet.
    pub company: Option<CompanyFile>,
    /// The SIP server, and how SIP is spoken over every transport.
    #[serde(default)]
    pub sip: SipFile,
    /// SIP over WebSocket (RFC 7118). It is used where there is no `sip: { server: … }`, where `sip: { transport: … }` says ws
    /// or wss, and by actors that say so.
    pub websocket: Option<WebSocketFile>,
    /// Audio.
    #[serde(default)]
    pub media: MediaFile,
    /// The application that its agents work in, for `request` steps. Default: every `request` writes its whole URL.
    pub application: Option<ApplicationFile>,
    /// Pools of accounts by name.
    #[serde(default)]
    pub accounts: BTreeMap<String, AccountsFile>,
    /// Numbers that the public dials, by name.
    #[serde(default)]
    pub hotlines: BTreeMap<String, HotlineFile>,
    /// Ways out by label.
    #[serde(default)]
    pub trunks: BTreeMap<String, TrunkFile>,
    /// Licences bought.
    pub licence: Option<LicenceFile>,
    /// Numbers by name.
    #[serde(default)]
    pub numbers: BTreeMap<String, Digits>,
    /// Whether lines of this target may be filled to their limit.
    pub saturate: Option<SaturateFile>,
    /// Guard rails. What is left out has a default.
    #[serde(default)]
    pub safety: SafetyFile,
    /// Mask telephone numbers in every output. Default: false.
    #[serde(default)]
    pub mask_numbers: bool,
}

/// `environment`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "environment")]
pub struct EnvironmentFile {
    /// Its name, as `Production`.
    pub name: Option<String>,
    /// Where its users log in.
    pub login_url: Option<String>,
}

/// `company`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "company")]
pub struct CompanyFile {
    /// Its name.
    pub name: Option<String>,
    /// Its tax number.
    pub tax_id: Option<Digits>,
}

/// `sip`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "sip")]
pub struct SipFile {
    /// The server: `sip:HOST`, `sips:HOST`, `sip:HOST:PORT`, `HOST:PORT` or `HOST`. A target needs it, or `websocket:`.
    pub server: Option<String>,
    /// Transport. Default: udp, or tls with `sips:`; a host name without port is looked up as RFC 3263 says. ws and wss
    /// take the URL of `websocket:`.
    pub transport: Option<TransportWord>,
    /// Domain of addresses of record and Request-URIs. Default: the server's host.
    pub domain: Option<String>,
    /// Requests go here instead of to the server.
    pub outbound_proxy: Option<String>,
    /// Address written into Via, Contact and SDP instead of the local one; `auto` learns it from what servers say of
    /// our requests (RFC 3581) and registers anew with it. Default: the local address.
    pub public_address: Option<String>,
    /// Local addresses that calls and registrations go out from, account by account in turn, so that a limit of each
    /// source address is not what is measured. A search goes out from the first and asks from the second whose limit it
    /// met. Default: the address of the way to the server.
    #[serde(default)]
    pub local_addresses: Vec<String>,
    /// Local port of SIP over UDP. Default: a free one.
    pub local_port: Option<u16>,
    /// Sockets of SIP over UDP: `shared` by all accounts (of a worker), or `per_account`, as phones of their own have them:
    /// where a server tells devices apart by their port, or limits each. Default: shared.
    #[serde(default)]
    pub sockets: SocketsWord,
    /// What becomes of INVITE, REGISTER and OPTIONS above 1300 bytes where the server is reached by UDP (RFC 3261 §18.1.1). Default: fragment,
    /// because many servers and trunks in the field take no TCP.
    #[serde(default)]
    pub large_requests: LargeRequestsWord,
    /// Keep-alives of connections and UDP flows (RFC 5626 §4.4): an interval from 1s to 15m, as 30s; stun, for STUN requests
    /// over UDP every 24 to 29 s; or off. Default: connections are pinged every 95 to 120 s, and every flow as often as the
    /// registrar wants (Flow-Timer).
    pub keep_alive: Option<Digits>,
    /// PEM file of the certificates that are trusted for TLS. Default: those of the system.
    pub ca: Option<String>,
    /// PEM file of our certificate, for servers that ask for one.
    pub cert: Option<String>,
    /// PEM file of its private key.
    pub key: Option<String>,
    /// Oldest version of TLS that is spoken: 1.2 or 1.3. Default: 1.2.
    pub tls_min: Option<Digits>,
    /// Headers in every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Digits>,
    /// Reliable provisional responses (RFC 3262). Default: supported.
    #[serde(rename = "100rel")]
    pub reliable: Option<ReliableWord>,
    /// Session timer (RFC 4028). Default: takes what the far end wants, from 90s.
    pub session_timer: Option<SessionTimerFile>,
    /// GRUU (RFC 5627): registrations carry `+sip.instance`, and the public GRUU that the registrar gives is the Contact of
    /// calls. Default: false.
    #[serde(default)]
    pub gruu: bool,
    /// Flows (RFC 5626): registrations carry `+sip.instance` and `reg-id`, so that a new connection takes the place of the
    /// one that was lost, instead of standing beside it until it expires. Default: false.
    #[serde(default)]
    pub outbound: bool,
    /// User-Agent. Default: ringfleet/VERSION.
    pub user_agent: Option<String>,
    /// Header that carries our call id to the other leg, where the target lets it through.
    pub pairing_header: Option<String>,
}

/// `websocket`: SIP over WebSocket (RFC 7118), with the subprotocol `sip`. One connection for each account: its registration
/// and its calls share it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "websocket")]
pub struct WebSocketFile {
    /// The URL: `ws://HOST/PATH`, `wss://HOST:PORT/PATH?QUERY`. A token in it is `${NAME}` from the environment or
    /// `${file:PATH}`; path and query are never shown.
    pub url: String,
    /// Origin that a browser would send: where its page comes from, as `https://cc.example`. Default: none is sent.
    pub origin: Option<String>,
    /// Further headers of the request. A token is `${NAME}` or `${file:PATH}`; values are never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, Digits>,
    /// What keeps connections alive, as often as `sip: { keep_alive: … }` says: `ping` frames of WebSocket, which every
    /// server answers, or `crlf` (RFC 5626 §4.4.1), all that a page can send. Default: ping.
    #[serde(default)]
    pub keep_alive: WebKeepAliveWord,
    /// An account that stays registered and lost its connection connects again after this to twice as long, doubling with
    /// each failure up to 30s. From 10ms to 5m; default 1s.
    pub reconnect: Option<Period>,
    /// PEM file of the certificates that are trusted for TLS. Default: those of the system.
    pub ca: Option<String>,
    /// PEM file of our certificate, for servers that ask for one.
    pub cert: Option<String>,
    /// PEM file of its private key.
    pub key: Option<String>,
    /// Oldest version of TLS that is spoken: 1.2 or 1.3. Default: 1.2.
    pub tls_min: Option<Digits>,
    /// Any certificate is taken, expired, of another name or self-signed: for test servers only. Default: false.
    #[serde(default)]
    pub insecure: bool,
}

/// What keeps connections of WebSocket alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "keep_alive")]
pub enum WebKeepAliveWord {
    /// Ping frames (RFC 6455 §5.5.2).
    #[default]
    Ping,
    /// A message of two line ends (RFC 7118 §6).
    Crlf,
}

/// What becomes of large requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "large_requests")]
pub enum LargeRequestsWord {
    /// They go by UDP, in fragments where the path needs them.
    #[default]
    Fragment,
    /// They go by TCP, or by UDP where the server takes no connection.
    Tcp,
}

/// How many sockets SIP over UDP has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "sockets")]
pub enum SocketsWord {
    /// One for all accounts.
    #[default]
    Shared,
    /// One for each account.
    PerAccount,
}

/// Transports of SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "transport")]
pub enum TransportWord {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

/// `media`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "media")]
pub struct MediaFile {
    /// Codecs in the order they are offered. Default: PCMA, PCMU.
    pub codecs: Option<Vec<CodecWord>>,
    /// What we would like to receive of Opus. Default: FEC, as browsers do.
    pub opus: Option<OpusFile>,
    /// RTP ports, first and last, as `20000-20999`. Default: 16384-32767. Each run begins at another place in the range.
    #[schemars(regex(pattern = "^[0-9]{1,5}-[0-9]{1,5}$"))]
    pub rtp_ports: Option<String>,
    /// Sockets of RTP and RTCP: a pair `per_call`, or one pair `shared` by all calls (of a worker), which costs less and needs one open
    /// port in a firewall. Calls are told apart by the remote address that SDP gives, and by `a=ssrc` (RFC 5576) where several have
    /// the same; where neither tells, both fail as `probe.no_media_port`. The receive buffer holds some 500 packets unless the process has
    /// CAP_NET_ADMIN or `net.core.rmem_max` is raised; what it drops is counted. Video keeps a pair of its own, and so does WebRTC, which
    /// `check` does not take together with this. Default: per_call.
    pub sockets: MediaSocketsWord,
    /// Encryption of audio: by keys in SDP (SDES-SRTP, RFC 4568), or by DTLS over ICE as in WebRTC. Default: off.
    pub srtp: Option<SrtpWord>,
    /// Crypto suites in the order they are offered. Default: AES_CM_128_HMAC_SHA1_80 and _32 are offered, and all are
    /// accepted.
    pub crypto: Option<Vec<SuiteWord>>,
    /// STUN and TURN servers of agents that speak WebRTC (`srtp: dtls`). Default: none; agents name their own addresses.
    pub ice: Option<IceFile>,
}

/// How many sockets audio has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "media sockets")]
pub enum MediaSocketsWord {
    /// A pair for each call.
    #[default]
    PerCall,
    /// One pair for all.
    Shared,
}

/// `ice` under `media`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "ice")]
pub struct IceFile {
    /// Servers that are asked for each call, all at once.
    pub servers: Vec<IceServerFile>,
    /// Which ways media may go. Default: all.
    pub policy: IcePolicyWord,
    /// How long the servers may take together before the call goes on with what is known: 100ms–30s, default 3s.
    pub gather_within: Option<Period>,
    /// Trickle ICE (RFC 8840): whether a description goes out at once, and the candidates that servers tell follow in INFO requests. Default: off.
    pub trickle: TrickleWord,
}

/// Whether candidates follow descriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "trickle")]
pub enum TrickleWord {
    /// They do not: a call waits for the servers, and its descriptions are complete.
    #[default]
    Off,
    /// Offers are complete, answers do not wait where the INVITE says that candidates are taken later: for a far end of which that is
    /// not known.
    Half,
    /// Offers do not wait either: for a far end that is known to take candidates later.
    Full,
}

/// Which ways media may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "policy")]
pub enum IcePolicyWord {
    /// Straight where that works, else by a relay.
    #[default]
    All,
    /// By a relay only: what the call does without one is not seen.
    Relay,
}

/// A STUN or TURN server.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "ice server")]
pub struct IceServerFile {
    /// `stun:HOST:PORT`, `turn:HOST:PORT?transport=udp` (or `tcp`) or `turns:HOST:PORT`. Default ports: 3478, and 5349 of
    /// `turns:`.
    pub url: String,
    /// User name at the TURN server.
    pub username: Option<Digits>,
    /// Its password: `${NAME}` from the environment, `${file:PATH}` from a file.
    pub password: Option<Digits>,
    /// File that holds the password.
    pub password_file: Option<String>,
    /// CAs to trust for `turns:` in place of the system's: a PEM file.
    pub ca: Option<String>,
    /// The server of `turns:` may be anybody, with any certificate.
    pub insecure: bool,
}

/// `media.opus`: what our descriptions ask for (RFC 7587). The far end need not do so.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "opus")]
pub struct OpusFile {
    /// Packets that carry a copy of the frame before them (`useinbandfec=1`). Default true.
    pub fec: bool,
    /// No packets during silence (`usedtx=1`). Default false.
    pub dtx: bool,
    /// Two channels, which are heard as one (`stereo=1`). Default false.
    pub stereo: bool,
}

impl Default for OpusFile {
    fn default() -> Self {
        Self { fec: true, dtx: false, stereo: false }
    }
}

/// Whether audio is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "srtp")]
pub enum SrtpWord {
    /// It is, or there is no call (RTP/SAVP).
    Required,
    /// It is where the other side does so too (RTP/AVP with keys).
    Offered,
    /// It is as in WebRTC, or there is no call: keys by DTLS, over a path that ICE finds (UDP/TLS/RTP/SAVPF).
    Dtls,
    /// It is not.
    Off,
}

/// Crypto suites of SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(title = "crypto")]
#[expect(non_camel_case_types, reason = "the registered names")]
pub enum SuiteWord {
    /// AES-128, authentication by 80 bits: what everybody speaks.
    AES_CM_128_HMAC_SHA1_80,
    /// AES-128, authentication of RTP by 32 bits.
    AES_CM_128_HMAC_SHA1_32,
    /// AES-256, authentication by 80 bits (RFC 6188).
    AES_256_CM_HMAC_SHA1_80,
    /// AES-256, authentication of RTP by 32 bits (RFC 6188).
    AES_256_CM_HMAC_SHA1_32,
    /// AES-128 in Galois/counter mode (RFC 7714).
    AEAD_AES_128_GCM,
    /// AES-256 in Galois/counter mode (RFC 7714).
    AEAD_AES_256_GCM,
}

/// Codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(title = "codec")]
pub enum CodecWord {
    /// G.711 µ-law.
    #[serde(rename = "PCMU")]
    Pcmu,
    /// G.711 A-law.
    #[serde(rename = "PCMA")]
    Pcma,
    /// G.722, wide band.
    #[serde(rename = "G722")]
    G722,
    /// Opus, as browsers speak it.
    #[serde(rename = "opus")]
    Opus,
}

/// A pool of accounts: from a CSV file, or a range of users with one password.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "accounts")]
pub struct AccountsFile {
    /// CSV file with a header row: `user`, and any of `auth_user`, `password_env`, `password_file`, `password`, `did`,
    /// `unit` and columns of your own for `{{ account.NAME }}`.
    pub csv: Option<String>,
    /// Users: `1001..1020` (both ends included), several with commas between them.
    pub users: Option<Digits>,
    /// Password of those that have none of their own: `${NAME}` from the environment, `${file:PATH}` from a file.
    pub password: Option<Digits>,
    /// File that holds the password.
    pub password_file: Option<String>,
    /// User name of the digest, where it differs.
    pub auth_user: Option<Digits>,
    /// Organisation unit, a tag in results.
    pub unit: Option<String>,
    /// Calls that one account carries at the same time. Default: unlimited. An actor that registers owns its account.
    #[schemars(range(min = 1))]
    pub calls_each: Option<u32>,
}

/// A number that the public dials.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "hotline")]
pub struct HotlineFile {
    /// The number.
    pub number: Digits,
    /// Trunk that its calls come in by.
    pub trunk: Option<String>,
}

/// A way out of (or into) the target.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "trunk")]
pub struct TrunkFile {
    /// Carrier behind it, a tag in results.
    pub carrier: Option<String>,
    /// Gateway it goes through, a tag in results.
    pub gateway: Option<String>,
    /// Calls at the same time that were bought.
    #[schemars(range(min = 1))]
    pub contracted_calls: Option<u32>,
    /// Calls per second that were bought.
    #[schemars(range(min = 1))]
    pub contracted_cps: Option<u32>,
    /// How it is chosen. Left out, the trunk is a label only.
    pub select: Option<SelectFile>,
    /// It is a peer of its own: requests go to this address, without account.
    pub peer: Option<String>,
    /// How a peer knows us. Default: ip.
    pub auth: Option<PeerAuth>,
}

/// How a peer knows us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "auth")]
pub enum PeerAuth {
    /// By our address.
    Ip,
}

/// How a trunk is chosen.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "select")]
pub struct SelectFile {
    /// Digits put before every number, also before one that begins with the same digits.
    pub prefix: Option<Digits>,
    /// From identity: a key of `numbers:` or `hotlines:`, or a number.
    pub from: Option<Digits>,
}

/// Licences bought.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "licence")]
pub struct LicenceFile {
    /// Devices that may be registered at the same time.
    pub extensions: u32,
    /// Extensions that exist.
    pub provisioned: Option<u32>,
}

/// Whether lines may be filled to their limit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "saturate")]
pub struct SaturateFile {
    /// They may. Default: false.
    pub allowed: bool,
    /// Only between these local times, as `02:00-04:00`. Default: at any time.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub window: Option<String>,
    /// Only one run at a time. Default: false.
    pub exclusive: bool,
}

/// Guard rails.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "safety")]
pub struct SafetyFile {
    /// Regular expressions of numbers that may be dialled; one has to match the whole number as it is sent, with the
    /// trunk's prefix. Default: only what stands under `numbers:` and `hotlines:`.
    pub allow: Option<Vec<String>>,
    /// Country (ISO 3166, as `TW`), or several, whose emergency numbers are blocked. 112 and 911 always are. Default:
    /// those of every country known.
    pub emergency: Option<OneOrMany<String>>,
    /// Digits that lead to an outside line; emergency numbers are blocked behind them as well.
    pub outside_prefixes: Vec<Digits>,
    /// Attempts at the same time, default 200.
    #[schemars(range(min = 1))]
    pub max_concurrent: Option<u32>,
    /// Attempts per second, default 200.
    pub max_cps: Option<f64>,
    /// Attempts in all, default 10000.
    #[schemars(range(min = 1))]
    pub max_calls: Option<u64>,
    /// Length of a run in minutes, default 60.
    #[schemars(range(min = 1))]
    pub max_minutes: Option<u32>,
}
