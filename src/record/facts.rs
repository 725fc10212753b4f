//! Facts of one attempt, as the machines saw them. No judgement: that is `classify`.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

pub use crate::media::Heard;
use crate::webrtc;

use super::call_record::Origin;

/// Everything that was seen on one attempt's leg. `None` is "not seen" or "not known", never a default.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// When things happened.
    pub moments: Moments,
    /// The last registration of this attempt, where it registered.
    pub registration: Option<Box<RegistrationFacts>>,
    /// From the first REGISTER of a step to its success, with everything that was waited for between.
    pub registered_after: Option<Duration>,
    /// The final response to the INVITE (or OPTIONS), received or made up locally.
    pub response: Option<FinalResponse>,
    /// Q.850 cause of a Reason header (RFC 3326) in the final response, CANCEL or BYE.
    pub q850: Option<u16>,
    /// Text of that Reason header, or of the Warning header where there is none.
    pub reason_text: Option<Box<str>>,
    /// The Warning header as received (RFC 3261 §20.43).
    pub warning: Option<Box<str>>,
    /// An application's error code found by the target's extractor.
    pub app_code: Option<Box<str>>,
    /// A challenge (401/407) came back although our answer to one was sent.
    pub challenged_again: bool,
    /// We sent CANCEL before a final response came.
    pub cancelled_by_us: bool,
    /// How the dialog ended, where one was established.
    pub ended: Option<Ended>,
    /// The scenario still wanted to talk when the far end hung up.
    pub ended_early: bool,
    /// The session was not refreshed in time (RFC 4028), so we ended it.
    pub session_expired: bool,
    /// The scenario left it to the far end to hang up, and it did: however soon, that is no drop.
    pub end_awaited: bool,
    /// The answer's SDP could not be used; the text says why.
    pub bad_answer: Option<Box<str>>,
    /// Places of the server (RFC 3263) that the last request outside a dialog went to: one that did not serve it is
    /// followed by the next. `None` where there was no such request.
    pub hops_tried: Option<u32>,
    /// Places that rang or answered for one INVITE of ours, by the tag of To (RFC 3261 §12.1.2): more than one where the call
    /// was forked. `None` where none did.
    pub forks: Option<u32>,
    /// How long the look-up took that the places of its server come from. `None` where DNS was not asked.
    pub look_up: Option<Duration>,
    /// How long the connections took that were opened for this leg: the handshakes of TCP and TLS. `None` where none
    /// was, as over UDP or a connection that stood.
    pub connect: Option<Duration>,
    /// The steps of the last of them, as far as it came; where none was opened, of the one that came furthest.
    pub rungs: Rungs,
    /// A local failure that kept the attempt from going on.
    pub local_failure: Option<Box<LocalFailure>>,
    /// Media, where it was opened.
    pub media: Option<Box<MediaFacts>>,
    /// The path and the keys of media, where they were WebRTC's.
    pub peer: Option<Box<PeerFacts>>,
    /// Facts of the other leg of the same call, where both are ours: did an INVITE arrive there?
    pub far_leg_invited: Option<bool>,
    /// The longest time that our own worker stood still while the leg was under way, where it was 100 ms or more.
    pub stalled: Option<Duration>,
    /// How the agent came back from the worst of what befell it on purpose (`reload`, `network_change` …): the one that it
    /// never came back from, else the one that took longest. `None` where nothing did.
    pub recovery: Option<Box<Recovery>>,
    /// This leg waited for an inbound call (an `answer` step).
    pub awaited_inbound: bool,
    /// An inbound call that nothing of the scenario waited for; it was refused.
    pub unexpected: bool,
    /// What was asked of the application beside the call, in the order of the steps.
    pub requests: ThinVec<SideRequest>,
}

/// A request to the application that an agent works in, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SideRequest {
    /// Method and place, without a query: `POST /sign-in`, `WS wss://cc.example/events`.
    pub request: String,
    /// Status code of HTTP; `null` where none came, and over a WebSocket.
    pub status: Option<u16>,
    /// From the step's start to its end, milliseconds.
    pub took_ms: f64,
    /// How it failed; `null` where the answer was as expected.
    pub fault: Option<SideFault>,
}

/// How a request to an application failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SideFault {
    /// There was no connection, or it ended before the answer.
    Unreachable,
    /// The status code is not one that was expected.
    Refused,
    /// There was no answer in time.
    Timeout,
    /// The answer, or the messages that came, do not hold what was expected.
    Unexpected,
}

impl SideFault {
    /// The last part of the name of its class.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unexpected => "unexpected",
        }
    }
}

/// When things happened on a leg. All are moments on the worker's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// When the schedule wanted the attempt to start.
    pub intended: Option<Instant>,
    /// When it started.
    pub started: Option<Instant>,
    /// The first INVITE on the wire (sent, or received on an answering leg).
    pub invite: Option<Instant>,
    /// The first provisional response other than 100 (18x).
    pub ringing: Option<Instant>,
    /// The first status-indicative response: 18x or final (RFC 6076 §4.3).
    pub status: Option<Instant>,
    /// The 2xx to the INVITE.
    pub answered: Option<Instant>,
    /// The final response, or the local time-out that stands for it.
    pub finished: Option<Instant>,
    /// The BYE, sent or received.
    pub bye: Option<Instant>,
    /// The final response to our BYE.
    pub bye_answered: Option<Instant>,
    /// The end of the attempt.
    pub ended: Option<Instant>,
}

/// A final response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalResponse {
    /// Status code. With [`Origin::Local`] it is the code that RFC 3261 §8.1.3.1 lets us treat the event as.
    pub code: u16,
    /// Whether it came over the wire or was concluded here.
    pub origin: Origin,
    /// Reason phrase as received, non-ASCII bytes replaced.
    pub reason: String,
    /// Retry-After in seconds (RFC 3261 §20.33).
    pub retry_after: Option<u32>,
}

/// Who ended an established dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// We sent the BYE or CANCEL.
    Us,
    /// The far end sent it.
    FarEnd,
}

impl Party {
    /// `hangup_by` of a record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::FarEnd => "far_end",
        }
    }

    /// The one with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Us, Self::FarEnd].into_iter().find(|party| party.name() == name)
    }
}

/// How an established dialog ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Who ended it.
    pub by: Party,
    /// From the 2xx to the BYE.
    pub after: Duration,
}

/// The outcome of one REGISTER transaction, the challenge and its answer included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationFacts {
    /// Final status code and where it comes from.
    pub response: FinalResponse,
    /// From the first REGISTER to the final response, the 401 round trip included (RFC 6076 §4.1).
    pub delay: Duration,
    /// Expiry that the registrar granted, seconds.
    pub expires: Option<u32>,
    /// A challenge came again although our answer was sent.
    pub challenged_again: bool,
    /// This was a refresh of a standing binding.
    pub refresh: bool,
}

/// A failure on our side of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalFailure {
    /// The transport failed while a request was under way.
    Transport(TransportFailure),
    /// The account pool had no free account.
    NoAccount,
    /// No RTP port could be opened; the text says why.
    NoMediaPort(String),
    /// The run was interrupted or reached its time limit.
    Interrupted,
    /// The far side had asked for no calls (503 with Retry-After).
    BackedOff,
}

/// A failure of the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportFailure {
    /// What kind.
    pub fault: TransportFault,
    /// What the system or TLS said of it, for people.
    pub text: Option<String>,
}

impl From<TransportFault> for TransportFailure {
    fn from(fault: TransportFault) -> Self {
        Self { fault, text: None }
    }
}

/// How a transport failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportFault {
    /// The name did not resolve.
    Dns,
    /// No name server answered.
    NoNameServer,
    /// ICMP port unreachable or TCP connection refused.
    Refused,
    /// No route, or network or host unreachable.
    Unreachable,
    /// A TCP connection timed out or was reset.
    Tcp,
    /// The TLS handshake failed.
    Tls,
    /// The server did not upgrade to SIP over WebSocket.
    Upgrade,
    /// The peer closed the WebSocket, or the connection below it.
    WebClosed,
    /// What came over the WebSocket breaks its rules, or those of SIP over it.
    WebProtocol,
    /// The peer does not answer pings of WebSocket.
    WebSilent,
}

impl TransportFault {
    /// How far what failed had come: 0 a name, 1 TCP (or a datagram), 2 TLS, 3 the upgrade to WebSocket, 4 an open connection.
    pub(crate) const fn rung(self) -> u8 {
        match self {
            Self::Dns | Self::NoNameServer => 0,
            Self::Refused | Self::Unreachable | Self::Tcp => 1,
            Self::Tls => 2,
            Self::Upgrade => 3,
            Self::WebClosed | Self::WebProtocol | Self::WebSilent => 4,
        }
    }
}

/// How long each step took towards a connection of ours; `None` where there is no such step, or it was not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rungs {
    /// The handshake of TCP.
    pub tcp: Option<Duration>,
    /// The handshake of TLS.
    pub tls: Option<Duration>,
    /// The upgrade to WebSocket: the request and its answer.
    pub upgrade: Option<Duration>,
}

/// How far ICE and DTLS came.
#[derive(Clone, Debug, Default)]
pub struct PeerFacts {
    /// When what was reached.
    pub rungs: webrtc::Rungs,
    /// Why the next rung was not.
    pub fault: Option<webrtc::Fault>,
    /// Media went by a relay of ours, and by one of the other side's; `None` where it had no path.
    pub relays: Option<(bool, bool)>,
    /// What is wrong with servers of STUN and TURN.
    pub servers: Option<String>,
    /// mDNS names that candidates of the other side hide behind.
    pub hidden: Vec<String>,
    /// INFO requests with candidates of ours that the far end took; `None` where none were to follow our descriptions.
    pub trickled: Option<u32>,
    /// Why it did not take one.
    pub trickle_fault: Option<TrickleFault>,
}

/// Why the far end did not take candidates that were to follow our description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrickleFault {
    /// Nothing that it sent says that it does.
    #[error("the far end does not say that it takes candidates later (trickle-ice): it knows those of our description")]
    NotSpoken,
    /// It refused one.
    #[error("the far end refused candidates in an INFO request: {code} {reason}")]
    Refused {
        /// The code.
        code: u16,
        /// The reason phrase.
        reason: String,
    },
    /// It did not answer one.
    #[error("the far end did not answer an INFO request with candidates")]
    NotAnswered,
}

/// How an agent came back after it was disturbed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// What befell it: the name of the step.
    pub from: &'static str,
    /// Until it worked again; `None` where it did not in time.
    pub took: Option<Duration>,
    /// Times that it tried: connections, registrations and calls that were refused or failed, and the last one.
    pub tries: u32,
}

impl Recovery {
    /// The worse of two.
    pub fn worse(self, other: Self) -> Self {
        let rank = |it: &Self| it.took.unwrap_or(Duration::MAX);
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// Media of one leg over its whole life.
#[derive(Clone, Debug, Default)]
pub struct MediaFacts {
    /// The scenario expects to hear its own audio come back or a far end of ours, for as long as this.
    pub listened: Duration,
    /// The far end is known to send our reference audio (back), so that other sound is a fault. A person or an IVR
    /// sends sound of its own, and that is none.
    pub reference_expected: bool,
    /// What we heard.
    pub audio_rx: Heard,
    /// What the far end is known to have heard of us: by an echo of our marker, or from our own far end.
    pub audio_tx: Heard,
    /// RTP packets sent.
    pub tx_packets: u64,
    /// RTP packets received.
    pub rx_packets: u64,
    /// RTP packets with a payload type that was not negotiated; they are not heard, and in no other figure.
    pub foreign_packets: u64,
    /// Packets that the far end's SRTP key does not prove; `None` for plain RTP.
    pub unauthenticated: Option<u64>,
    /// Packets lost over the call, percent; `None` where fewer than two packets arrived.
    pub loss_pct: Option<f64>,
    /// Mean active level of received audio, dBov; `None` where nothing was decoded.
    pub level_dbov: Option<f64>,
    /// Longest gap between received packets beyond the packet time, ms.
    pub gap_ms_max: Option<f64>,
    /// RTP stopped for more than two seconds before the call ended.
    pub stopped_for: Option<Duration>,
    /// The grade over the call reached poor or worse.
    pub grade_poor_or_worse: bool,
}
