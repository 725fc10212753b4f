//! `lab:` files: what the simulated PBX is told to be.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::limits::{
    BanFile, FreesAfter, LabCallsFile, LabLicenceFile, LabRegistrationsFile, OthersFile, RateLimitFile,
};
use super::scalar::Digits;
use super::session::{ReliableWord, SessionTimerFile};
use super::step::{RejectFile, allow_bare};
use super::target::{CodecWord, SrtpWord, SuiteWord, TransportWord};
use crate::units::Period;

/// A simulated PBX. What is left out is as in the built-in lab.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "lab")]
pub struct LabFile {
    /// Its name, the tag `target` in results.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub lab: String,
    /// Domain of its addresses of record and realm of its challenges. Default: lab.ringfleet.invalid.
    pub domain: Option<String>,
    /// Transport that scenarios reach it over: udp, tcp, tls, ws or wss. Default: udp. It listens on all of them.
    pub transport: Option<TransportWord>,
    /// Whether calls and registrations are challenged (digest). Default: true.
    pub challenge: Option<bool>,
    /// Reliable provisional responses (RFC 3262). Default: supported.
    #[serde(rename = "100rel")]
    pub reliable: Option<ReliableWord>,
    /// Session timer (RFC 4028). Default: 1800s, and less where a caller wants that, from 90s; a caller who can refreshes.
    pub session_timer: Option<SessionTimerFile>,
    /// Audio, on both sides: the lab's and its callers'.
    #[serde(default)]
    pub media: LabMediaFile,
    /// Accounts that may register and call; the pool `agents` of the target. Default: 1001..1020.
    pub accounts: Option<LabAccountsFile>,
    /// Numbers by name and what they do. Default: the built-in number plan.
    pub extensions: Option<BTreeMap<String, ExtensionFile>>,
    /// Limits on calls, beside those of the trunks. Default: none.
    #[serde(default)]
    pub calls: LabCallsFile,
    /// Ways out by label. Default: `trunk_a`, prefix 900, five calls.
    pub trunks: Option<BTreeMap<String, LabTrunkFile>>,
    /// Limit on devices registered at the same time. Default: 20.
    pub licence: Option<LabLicenceFile>,
    /// Limits on registrations, beside the licence. Default: none.
    #[serde(default)]
    pub registrations: LabRegistrationsFile,
    /// What it does about the connections of others. Default: a call ends with its connection, and none is pinged.
    #[serde(default)]
    pub connections: LabConnectionsFile,
    /// An application beside the lab, that its agents sign in to: for `request` steps. Default: none.
    pub application: Option<LabApplicationFile>,
    /// What is out of order; of several that a call meets the first counts. Default: nothing.
    #[serde(default)]
    pub faults: Vec<FaultFile>,
}

/// `application` of a lab: `POST /sign-in`, `GET` and `PUT /state`, `POST /sign-out`, and the same over a WebSocket at
/// `/events`, which tells every change of state.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "application")]
pub struct LabApplicationFile {
    /// Where it listens. Default: 127.0.0.1:0, a free port.
    pub listen: Option<String>,
    /// How long an agent who wants to be ready is not yet. Default: 0s.
    pub ready_after: Option<Period>,
}

/// Something that is out of order. Calls that all fields given fit meet it; calls that are up go on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "fault")]
pub struct FaultFile {
    /// Calls by these accounts, as `1003` or `1003..1005`. Default: by all.
    pub accounts: Option<Digits>,
    /// Calls over these trunks. Default: over all, and those that take none.
    #[serde(default)]
    pub trunks: Vec<String>,
    /// Calls to these numbers, without the prefix of a trunk. Default: to all.
    #[serde(default)]
    pub numbers: Vec<Digits>,
    /// What happens to such a call, whatever number it is for.
    pub does: BehaviourFile,
}

/// `media` of a lab.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "media")]
pub struct LabMediaFile {
    /// Codecs that callers offer, in this order; the lab takes the first of them. Default: PCMA, PCMU.
    pub codecs: Option<Vec<CodecWord>>,
    /// Encryption of audio by keys in SDP (SDES-SRTP, RFC 4568). Default: callers do not encrypt, and the lab takes both.
    pub srtp: Option<SrtpWord>,
    /// Crypto suites in the order they are offered. Default: AES_CM_128_HMAC_SHA1_80 and _32 are offered, and all are
    /// accepted.
    pub crypto: Option<Vec<SuiteWord>>,
}

/// Connections of those who are registered at the lab or call it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "connections")]
pub struct LabConnectionsFile {
    /// How long a call stays when the connection of one side is gone: so long that side may come back over another one with a
    /// re-INVITE, and its places are taken. Default: 0s.
    pub keep_calls: Option<Period>,
    /// How often connections of WebSocket are pinged, from 1s. One that leaves a ping unanswered for 10 s is closed. Default:
    /// never.
    pub ping_every: Option<Period>,
}

/// Accounts of the lab.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "accounts")]
pub struct LabAccountsFile {
    /// Users: `1001..1020` (both ends included), several with commas between them.
    pub users: Digits,
    /// Their password: a text, `${NAME}` or `${NAME:-default}`; `{{ account.user }}` stands for the user. Default:
    /// `ringfleet`.
    pub password: Option<Digits>,
}

/// A number of the lab.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "extension")]
pub struct ExtensionFile {
    /// The number.
    pub number: Digits,
    /// What happens when it is called.
    pub does: BehaviourFile,
}

/// What a called number does.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(title = "behaviour", transform = bare_words)]
pub enum BehaviourFile {
    /// 180, after a delay 200, then what is received is sent back.
    Echo(EchoFile),
    /// 180, 200, then speech, and each key that is heard (DTMF) comes back, the way that it came.
    Keys,
    /// 180, 200, then RTP that carries silence.
    Silence,
    /// 180, 200, then no RTP at all.
    NoMedia,
    /// 180 and nothing more.
    RingForever,
    /// 183 with SDP and an announcement, then a refusal.
    EarlyMedia(EarlyMediaFile),
    /// A refusal.
    Reject(LabRejectFile),
    /// No response at all, not even 100.
    NoResponse,
    /// 180, 200, echo, then BYE from the far end.
    FarEndBye(FarEndByeFile),
    /// 302 to this address.
    Redirect(String),
}

/// A behaviour of which nothing has to be said may be written as a bare word.
fn bare_words(schema: &mut Schema) {
    allow_bare(schema, &["echo"]);
}

/// `echo`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "echo")]
pub struct EchoFile {
    /// From the INVITE to the 200, default 0s.
    pub answer_after: Option<Period>,
}

/// `early_media`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "early_media")]
pub struct EarlyMediaFile {
    /// Length of the announcement.
    pub announce: Period,
    /// The refusal after it.
    pub then: RejectFile,
}

/// `reject`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "reject")]
pub struct LabRejectFile {
    /// From the INVITE to the refusal, default 0s.
    pub after: Option<Period>,
    /// Whether 180 comes first. Default: false.
    #[serde(default)]
    pub ring: bool,
    /// Final response, 300–699.
    #[schemars(range(min = 300, max = 699))]
    pub code: u16,
    /// Reason phrase. Default: the standard's.
    pub reason: Option<String>,
    /// Q.850 cause of a Reason header, 1–127.
    #[schemars(range(min = 1, max = 127))]
    pub q850: Option<u16>,
    /// Retry-After header, seconds.
    pub retry_after: Option<u32>,
}

/// `far_end_bye`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "far_end_bye")]
pub struct FarEndByeFile {
    /// From the 200 to the BYE.
    pub after: Period,
    /// Q.850 cause of the BYE's Reason header, 1–127.
    #[schemars(range(min = 1, max = 127))]
    pub q850: Option<u16>,
}

/// A way out of the lab.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "trunk")]
pub struct LabTrunkFile {
    /// Digits before the number that choose it. Behind them any number is answered: by the extension or account of that
    /// number, else by an echo. A `dial` that names the trunk may write the prefix or leave it out.
    pub prefix: Digits,
    /// Calls at the same time. Default: as many as come.
    pub calls: Option<u32>,
    /// The refusal when all are taken. Default: 503.
    pub refuse: Option<RejectFile>,
    /// New calls per unit of time. Default: as fast as they come.
    pub rate: Option<RateLimitFile>,
    /// Who was refused too often by this trunk is refused for a while, also when places are free.
    pub ban: Option<BanFile>,
    /// Other people's calls, which take places too.
    pub others: Option<OthersFile>,
    /// When the place of a call that has ended is free again: a time like 3s, or `never`. Default: 0s.
    pub frees_after: Option<FreesAfter>,
}
