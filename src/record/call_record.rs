//! The record of one attempt: the same names in `calls.jsonl`, `record.json` and InfluxDB.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::class::Class;
use super::dtmf::KeysTold;
use super::facts::{Heard, SideRequest};
use crate::media::session::VideoFigures;

/// Which way a call went, seen from the leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// We placed it.
    #[default]
    Outbound,
    /// We received it.
    Inbound,
}

/// What the leg was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The leg placed a call.
    #[default]
    Caller,
    /// The leg answered a call.
    Callee,
    /// The leg only registered.
    Registration,
    /// The leg only sent OPTIONS.
    Ping,
}

/// Where a code comes from. Local time-outs are never reported as received codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It came over the wire.
    Received,
    /// It was concluded here (time-out, transport error).
    Local,
}

/// What the one retry on a fresh transport showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// There was no retry.
    #[default]
    None,
    /// The retry passed: a brief interruption.
    Transient,
    /// The retry failed with the same class.
    Reproduced,
}

/// One attempt. `null` is unknown; milliseconds are fractions, counted from the moments their names say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the published contract; the manual page of the record explains each")]
pub struct CallRecord {
    pub call_id: String,
    pub scenario: String,
    pub target: String,
    pub site: Option<String>,
    pub probe: Option<String>,
    pub agent: Option<String>,
    pub account: Option<String>,
    pub unit: Option<String>,
    pub role: Role,
    pub direction: Direction,
    pub transport: Option<String>,
    /// Address and port that the last request outside a dialog went to (RFC 3261 §8.1.2).
    #[serde(default)]
    pub next_hop: Option<String>,
    /// Places of the server that it went to, this one included (RFC 3263 §4.3).
    #[serde(default)]
    pub hops_tried: Option<u32>,
    /// Places that rang or answered for our INVITE, by the tag of To: more than one where the call was forked. `null` where
    /// none did, and on an answering leg.
    #[serde(default)]
    pub forks: Option<u32>,
    /// How long the look-up took that the places of its server come from (RFC 3263, all questions together): the one before the
    /// run, or the last since then, as its TTL ends; no call waits for it. `null` where DNS was not asked.
    #[serde(default)]
    pub dns_ms: Option<f64>,
    /// Handshakes of TCP, TLS and WebSocket for this attempt; `null` where no connection was opened for it.
    #[serde(default)]
    pub connect_ms: Option<f64>,
    /// The handshake of TCP, in the last connection that was tried; `null` where it was not done.
    #[serde(default)]
    pub tcp_ms: Option<f64>,
    /// The handshake of TLS, certificates included.
    #[serde(default)]
    pub tls_ms: Option<f64>,
    /// The upgrade to WebSocket: the request and its answer.
    #[serde(default)]
    pub ws_upgrade_ms: Option<f64>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub hotline: Option<String>,
    pub trunk: Option<String>,
    pub carrier: Option<String>,
    pub gateway: Option<String>,
    pub route: Option<String>,
    pub route_source: Option<String>,
    pub link: Option<String>,
    pub intended_start: Timestamp,
    /// The attempt was to start during the warm-up: it counts in no figure of the run.
    #[serde(default)]
    pub warm_up: bool,
    pub started_at: Option<Timestamp>,
    pub ended_at: Timestamp,
    pub late_ms: Option<f64>,
    /// The longest time that our own worker stood still during the attempt, where it was 100 ms or more.
    #[serde(default)]
    pub stalled_ms: Option<f64>,
    pub class: Class,
    pub code: Option<u16>,
    pub code_origin: Option<Origin>,
    pub reason: Option<String>,
    pub q850: Option<u16>,
    pub warning: Option<String>,
    pub app_code: Option<String>,
    pub platform_call_id: Option<String>,
    pub sip_call_ids: Vec<String>,
    pub retry: Retry,
    /// An INVITE was on the wire: the attempt counts in rates of calls.
    #[serde(default)]
    pub invited: bool,
    /// A provisional response other than 100 was seen.
    #[serde(default)]
    pub rang: bool,
    pub rrd_ms: Option<f64>,
    /// The first REGISTER to its success, further tries and the waits between them included.
    #[serde(default)]
    pub registered_ms: Option<f64>,
    /// INVITE to the first 18x: the post-dial delay. `null` where none came, or where we were called.
    #[serde(default)]
    pub pdd_ms: Option<f64>,
    pub srd_ms: Option<f64>,
    pub ring_ms: Option<f64>,
    pub setup_ms: Option<f64>,
    pub duration_ms: Option<f64>,
    pub sdd_ms: Option<f64>,
    pub hangup_by: Option<String>,
    pub codec: Option<String>,
    /// From asking for a socket until our candidates of ICE were known; `null` where media was not WebRTC's, as with
    /// all of ICE and DTLS.
    #[serde(default)]
    pub ice_gathered_ms: Option<f64>,
    /// From the other side's description to our first check of ICE.
    #[serde(default)]
    pub ice_check_ms: Option<f64>,
    /// From the other side's description to the pair that ICE chose; `null` where it chose none.
    #[serde(default)]
    pub ice_connected_ms: Option<f64>,
    /// From the other side's description to the keys of SRTP; `null` where DTLS came to none.
    #[serde(default)]
    pub dtls_done_ms: Option<f64>,
    /// Why ICE or DTLS came to nothing, or most of the packets that came could not be heard.
    #[serde(default)]
    pub media_fault: Option<String>,
    /// Which way media of WebRTC went: `direct`, by `our_relay` (TURN), by `their_relay` or by `both_relays`; `null` where
    /// it had none, or was not WebRTC's.
    #[serde(default)]
    pub media_path: Option<String>,
    /// What is wrong with the STUN and TURN servers of the target, each by its URI, whether the call needed them or not.
    #[serde(default)]
    pub ice_server_fault: Option<String>,
    /// INFO requests with candidates of ours that the far end took (trickle ICE, RFC 8840); `null` where all candidates were in our
    /// offer or answer.
    #[serde(default)]
    pub ice_trickled: Option<u32>,
    /// Why the far end did not take one.
    #[serde(default)]
    pub ice_trickle_fault: Option<String>,
    /// mDNS names that candidates of the other side hide behind: only its own network resolves them (RFC 8828).
    #[serde(default)]
    pub ice_hidden: Vec<String>,
    /// From the opening of media to the first sound that was more than silence.
    #[serde(default)]
    pub first_audio_ms: Option<f64>,
    /// How long an agent that was disturbed on purpose took until it worked again, counted from the change of the network, from
    /// the reload, or from the end of a time away; the longest of several. `null` where nothing befell it, and where it did
    /// not come back in time.
    #[serde(default)]
    pub recovery_ms: Option<f64>,
    /// What befell an agent that was disturbed on purpose: `network_change`, `reload`, `frozen`, `sleep` or `offline`.
    #[serde(default)]
    pub recovery_from: Option<String>,
    /// Times that it tried until it worked, the last one included.
    #[serde(default)]
    pub recovery_tries: Option<u32>,
    /// Crypto suite of SRTP; `null` for plain RTP.
    #[serde(default)]
    pub srtp: Option<String>,
    /// Packets that the far end's key does not prove.
    #[serde(default)]
    pub srtp_unauthenticated: Option<u64>,
    /// Packets that came a second time, or too late to tell.
    #[serde(default)]
    pub srtp_replayed: Option<u64>,
    pub grade: Option<String>,
    pub grade_by: Option<String>,
    pub grade_missing: Option<String>,
    pub grade_worst_s: Option<String>,
    pub poor_s: Option<u32>,
    pub mos_lq: Option<f64>,
    pub mos_cq: Option<f64>,
    pub r_factor: Option<f64>,
    pub mos_model: Option<String>,
    pub loss_pct: Option<f64>,
    pub loss_source: Option<String>,
    pub burst_r: Option<f64>,
    pub jitter_ms: Option<f64>,
    pub rtt_ms: Option<f64>,
    pub one_way_ms: Option<f64>,
    pub mouth_to_ear_ms: Option<f64>,
    pub audio_loop_ms: Option<f64>,
    pub tx_packets: Option<u64>,
    pub rx_packets: Option<u64>,
    pub first_packet_ms: Option<f64>,
    /// From the opening of media to the first packet of ours: with WebRTC not before the keys.
    #[serde(default)]
    pub first_tx_packet_ms: Option<f64>,
    pub audio_rx: Heard,
    pub audio_tx: Heard,
    pub audio: String,
    pub level_dbov: Option<f64>,
    pub gap_ms_max: Option<f64>,
    /// Video beside the audio; `null` where none was agreed on.
    #[serde(default)]
    pub video: Option<Box<VideoFigures>>,
    /// Keys that were pressed and went out whole (DTMF), as text, or `hidden` where they are secret; `null` where none were to
    /// be.
    pub dtmf_sent: Option<KeysTold>,
    /// How the last of them went: `event` (RFC 4733) or `inband`.
    #[serde(default)]
    pub dtmf_sent_by: Option<String>,
    /// Keys that were heard, in their order; empty where none were. `null` is unknown: telephone events were not agreed on, and
    /// nobody listened for tones.
    pub dtmf_heard: Option<KeysTold>,
    /// How they came: `event` or `inband`.
    #[serde(default)]
    pub dtmf_heard_by: Option<String>,
    /// The first expectation of a step that was not met, as text.
    pub unmet: Option<String>,
    /// Whether what the steps expect in so many words (`expect:`) came true; `null` where they expect nothing.
    /// With `true` a refused call is no failure: it was a negative test.
    #[serde(default)]
    pub as_expected: Option<bool>,
    /// The record of the other leg of the same call, where both ends are ours.
    pub paired_with: Option<String>,
    /// What was asked of the application beside the call, with how long each took.
    #[serde(default)]
    pub requests: Vec<SideRequest>,
    pub evidence: Option<String>,
}

impl CallRecord {
    /// [`Outcome::is_answered`](super::Outcome::is_answered).
    pub fn is_answered(&self) -> bool {
        self.outcome().is_answered()
    }

    /// Whether nobody was reached: the transport failed, and no response had come.
    pub fn is_unreachable(&self) -> bool {
        let transport = [
            Class::TransportDns,
            Class::ProbeNoDns,
            Class::TransportRefused,
            Class::TransportUnreachable,
            Class::TransportTcp,
            Class::TransportTls,
            Class::TransportWsUpgrade,
        ];
        transport.contains(&self.class) && self.code_origin != Some(Origin::Received)
    }

    /// Who called whom; where no number is known of our own side, as where nothing was dialled, its agent or account.
    pub fn ends(&self) -> (Option<&str>, Option<&str>) {
        let own = self.agent.as_deref().or(self.account.as_deref());
        let (from, to) = (self.from.as_deref(), self.to.as_deref());
        match self.direction {
            Direction::Outbound => (from.or(own), to),
            Direction::Inbound => (from, to.or(own)),
        }
    }

    /// Whether `code` is that of the registration before a call that never was: there was no INVITE that it could answer.
    pub fn is_code_of_registration(&self) -> bool {
        let is_call = matches!(self.role, Role::Caller | Role::Callee);
        // Records from before `invited` was kept have its delays.
        let invited = self.invited || self.srd_ms.or(self.setup_ms).is_some();
        is_call && !invited && self.code.is_some()
    }

    /// `ice_server_fault`, unless `media_fault` says it already.
    pub fn other_server_fault(&self) -> Option<&str> {
        let told = self.media_fault.as_deref().unwrap_or_default();
        self.ice_server_fault.as_deref().filter(|fault| !told.contains(fault))
    }

    /// [`Outcome::is_failed`](super::Outcome::is_failed).
    pub fn is_failed(&self) -> bool {
        self.outcome().is_failed()
    }
}
