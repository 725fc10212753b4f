//! Steps of an actor, externally tagged: `- dial: { number: echo }`; a step that needs nothing is a bare word.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::agent::{AwayFile, NetworkChangeFile, ReloadFile, ThrottledFile};
use super::dtmf::{DtmfFile, HeardFile};
use super::length::LengthFile;
use super::request::RequestFile;
use super::scalar::{Digits, OneOrMany};
use super::session::{MeansWord, ReliableWord, SessionTimerFile};
use super::video::VideoFile;
use crate::record::Class;
use crate::units::Period;

/// Final SIP code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct OutcomeCode(
    /// 200–699.
    #[schemars(range(min = 200, max = 699))]
    pub u16,
);

/// A step of an actor.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(title = "step", transform = bare_words)]
pub enum StepFile {
    /// Send REGISTER and wait for its final response.
    Register(RegisterFile),
    /// Place a call and wait until it is answered or refused.
    Dial(Box<DialFile>),
    /// Wait for an inbound call and treat it.
    Answer(AnswerFile),
    /// Send audio and listen for a while.
    Talk(TalkFile),
    /// Let time pass; audio, if any, goes on: `wait: 5s`, or `wait: { uniform: { from: 5s, to: 20s } }`.
    Wait(LengthFile),
    /// Put the far end on hold.
    Hold(HoldFile),
    /// Take the far end off hold.
    Resume(ResumeFile),
    /// Add video to the call, change what is sent of it, as when a screen is shared, or remove it: `video: true`,
    /// `video: { size: 1920x1080, fps: 5 }`, `video: false`.
    Video(VideoFile),
    /// Press keys: `dtmf: "123#"`, or `dtmf: { keys: "123#", by: inband }`. Done when all have been sent.
    Dtmf(DtmfFile),
    /// End the call and wait for the response to the BYE.
    Hangup,
    /// Keep the call up, sending audio, until the load lets go.
    HoldOpen,
    /// Check a fact of the attempt so far.
    Expect(CheckFile),
    /// Send OPTIONS and wait for its final response.
    Options(OptionsFile),
    /// The agent's network changes in a call: its media comes from another address and port, and ICE begins anew by
    /// re-INVITE. Done when audio comes again.
    NetworkChange(NetworkChangeFile),
    /// The agent's page is loaded again: the WebSocket ends without BYE; then it connects and registers again and places
    /// the call of the last `dial` again, until that is answered.
    Reload(ReloadFile),
    /// The script of the agent's page stops, as that of a frozen tab: nothing of SIP is answered and nothing is sent, but the
    /// browser answers pings of the WebSocket. Afterwards it goes on with what has come meanwhile.
    Frozen(AwayFile),
    /// The agent's machine sleeps: nothing is answered at all. Afterwards it connects again where the server has closed.
    Sleep(AwayFile),
    /// The agent has no network: nothing comes through either way. Afterwards it connects and registers again, and a call
    /// goes on from another address by re-INVITE.
    Offline(AwayFile),
    /// From here on the page is in the background, where browsers let its timers fire once a minute only: answering by
    /// itself and asking again come late. The next steps follow at once.
    Throttled(ThrottledFile),
    /// Ask something of the application that the agent works in: one HTTP request with a JSON answer, or a JSON message over a
    /// WebSocket that stays open for the agent. For signing in and out, and for being ready or not.
    Request(Box<RequestFile>),
}

/// Steps of which nothing has to be said may be written as a bare word.
fn bare_words(schema: &mut Schema) {
    allow_bare(schema, &["register", "answer", "talk", "hold", "resume", "options", "network_change", "reload"]);
}

/// Lets variants whose fields all have defaults be written as a bare word; `check` takes it for the empty mapping.
pub(super) fn allow_bare(schema: &mut Schema, words: &[&str]) {
    if let Some(serde_json::Value::Array(variants)) = schema.get_mut("oneOf") {
        variants.push(serde_json::json!({ "type": "string", "enum": words, "description": "With the defaults." }));
    }
}

/// `register`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "register")]
pub struct RegisterFile {
    /// Expiry asked for, seconds 1–86400, default 300.
    #[schemars(range(min = 1, max = 86400))]
    pub expires: Option<u32>,
    /// It is asked for again where the registrar cannot take it now (no response, 408, 480, 500, 503, 504), after its
    /// Retry-After and a wait that doubles. Default: it is not.
    pub retry: Option<RetryFile>,
    /// What its outcome must be. Default: success.
    pub expect: Option<OutcomeFile>,
}

/// How a registration is asked for again: after each failure between half and all of `base` · 2^failures, as RFC 5626 §4.5
/// says, so that devices that failed together do not come back together.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "retry")]
pub struct RetryFile {
    /// Times, at most, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub times: u32,
    /// The wait that doubles. Default: 30s.
    pub base: Option<Period>,
    /// The longest wait. Default: 30m.
    pub most: Option<Period>,
}

/// `dial`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "dial")]
pub struct DialFile {
    /// A key of the target's `numbers:` or `hotlines:`, else digits, `+ * #`, or a `sip:` or `tel:` URI. `{{ n }}` is
    /// the attempt's index from 1, `{{ n | pad(4) }}` the same with zeros before it.
    pub number: Digits,
    /// Label that results carry; a key of the target's `trunks:`, where it has them. A trunk that is selected by a prefix
    /// gets it put before the number; for a trunk of the lab the number may begin with it already.
    pub trunk: Option<String>,
    /// Calling number (From and P-Asserted-Identity), where the account's own is not wanted.
    pub from: Option<Digits>,
    /// Answer time-out from the INVITE, 1s–10m, default 60s; a call not answered by then is cancelled.
    pub answer_within: Option<Period>,
    /// Cancel this long after the first ringing, as a caller who gives up.
    pub cancel_after: Option<Period>,
    /// Additional headers of the INVITE.
    #[serde(default)]
    pub headers: BTreeMap<String, Digits>,
    /// What the INVITE gets wrong on purpose, to see what the other side makes of it.
    pub raw: Option<RawFile>,
    /// `none`: audio is offered, but not one packet is sent. `recvonly`, `inactive`: what is offered without a microphone.
    /// Default: audio.
    #[serde(default)]
    pub media: MediaWord,
    /// Video that is offered beside audio: `true`, or `{ size: 1280x720, fps: 30 }`. Default: none.
    pub video: Option<VideoFile>,
    /// Reliable provisional responses (RFC 3262). Default: as in the target's `sip:`.
    #[serde(rename = "100rel")]
    pub reliable: Option<ReliableWord>,
    /// Session timer (RFC 4028). Default: as in the target's `sip:`.
    pub session_timer: Option<SessionTimerFile>,
    /// What the outcome must be. Default: that the call is answered. With it, a refused call can be the pass.
    pub expect: Option<OutcomeFile>,
}

/// Changes to a request that is otherwise right, in every copy that is sent of it. Guard rails hold all the same.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "raw")]
pub struct RawFile {
    /// Method of the first line. CSeq keeps its own unless it stands under `headers`.
    pub method: Option<Digits>,
    /// The whole first line, as `INVITE sip:2000@pbx.example SIP/7.0`.
    pub start_line: Option<Digits>,
    /// Fields by name. All of that name are replaced by the value, or by each value of a list; an empty list takes the
    /// field out; a name that was not there is added.
    pub headers: BTreeMap<String, OneOrMany<Digits>>,
    /// The body. Content-Length becomes its length in bytes, unless it stands under `headers`.
    pub body: Option<Digits>,
}

/// What a request's outcome must be; all fields given must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "expect")]
pub struct OutcomeFile {
    /// The final SIP code, or one of a list.
    pub code: Option<OneOrMany<OutcomeCode>>,
    /// The failure class.
    #[schemars(title = "class")]
    pub class: Option<Class>,
    /// The final response comes within this time of the request.
    pub within: Option<Period>,
}

/// Whether audio is sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "media")]
pub enum MediaWord {
    /// Audio is sent, received and listened to.
    #[default]
    Audio,
    /// Signalling only.
    None,
    /// As a browser without a microphone: audio is received, and the description says that none is sent.
    Recvonly,
    /// Neither is sent nor received, and the description says so.
    Inactive,
}

/// `answer`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "answer")]
pub struct AnswerFile {
    /// An inbound call must arrive within this time, default 60s.
    pub within: Option<Period>,
    /// No call need come: where none does in time, the attempt of this actor is over, and nothing is wrong. For devices of
    /// one account of which the server calls one. Default: false.
    pub optional: bool,
    /// Whether 180 is sent. Default: true.
    pub ring: Option<bool>,
    /// Time between the INVITE and the final response, default 0s.
    pub after: Option<Period>,
    /// The agent's phone answers by itself: `true` after 2s, as web phones do that are called by a queue, or after the time
    /// written. Default: false.
    pub auto_answer: Option<AutoAnswerFile>,
    /// Refuse with this instead of answering.
    pub reject: Option<RejectFile>,
    /// `none`: audio is answered, but not one packet is sent. `recvonly`, `inactive`: what is answered without a microphone.
    /// Default: audio.
    pub media: MediaWord,
    /// Video that is taken where it is offered, at once or in the middle of the call: `true`, or what is sent then. Default:
    /// none, its line is refused.
    pub video: Option<VideoFile>,
    /// Reliable provisional responses (RFC 3262). Default: as in the target's `sip:`.
    #[serde(rename = "100rel")]
    pub reliable: Option<ReliableWord>,
    /// Session timer (RFC 4028). Default: as in the target's `sip:`.
    pub session_timer: Option<SessionTimerFile>,
}

/// Whether a phone answers by itself, and after how long.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "auto_answer")]
pub enum AutoAnswerFile {
    /// After 2s, or not at all.
    Said(bool),
    /// After this time.
    After(Period),
}

/// A refusal that we send.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "reject")]
pub struct RejectFile {
    /// Final response, 300–699.
    #[schemars(range(min = 300, max = 699))]
    pub code: u16,
    /// Reason phrase. Default: the standard's.
    pub reason: Option<String>,
    /// Q.850 cause of a Reason header, 1–127.
    #[schemars(range(min = 1, max = 127))]
    pub q850: Option<u16>,
    /// Retry-After header, seconds: for how long no further call is wanted. With 503 it is of all calls.
    pub retry_after: Option<u32>,
}

/// `talk`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "talk")]
pub struct TalkFile {
    /// How long: `10s`, or a distribution, as `{ exponential: 3m }`. Default: until the far end hangs up.
    #[serde(rename = "for")]
    pub duration: Option<LengthFile>,
    /// What is sent. Default: speech.
    pub send: SendWord,
}

/// What a talking leg sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "send")]
pub enum SendWord {
    /// Speech-like reference audio with our marker.
    #[default]
    Speech,
    /// A tone of 440 Hz at −16 dBov.
    Tone,
    /// RTP that carries silence.
    Silence,
    /// What was received.
    Echo,
    /// Speech, and each key that is heard, the way that it came: telephone event or tones.
    Keys,
    /// No RTP at all.
    Nothing,
}

/// `hold`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "hold")]
pub struct HoldFile {
    /// With what it is asked for. Default: reinvite.
    pub by: MeansWord,
    /// What still flows. Default: sendonly.
    pub direction: HoldWord,
}

/// What still flows during hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "direction")]
pub enum HoldWord {
    /// We send, as music on hold.
    #[default]
    Sendonly,
    /// Nothing.
    Inactive,
}

/// `resume`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "resume")]
pub struct ResumeFile {
    /// With what it is asked for. Default: reinvite.
    pub by: MeansWord,
}

/// `options`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "options")]
pub struct OptionsFile {
    /// What its outcome must be. Default: a 2xx.
    pub expect: Option<OutcomeFile>,
}

/// A check in the middle of an attempt.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(title = "check")]
pub enum CheckFile {
    /// The call is still up.
    StillUp,
    /// The call ends within a time.
    EndedBy(EndedByFile),
    /// These keys come, as `"123#"`, or `{ keys: "123#", within: 2s }`.
    DtmfHeard(HeardFile),
}

/// `ended_by`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "ended_by")]
pub struct EndedByFile {
    /// Who hangs up.
    pub party: PartyWord,
    /// How long to wait for it, counted from the step's start.
    pub within: Period,
}

/// A party of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "party")]
pub enum PartyWord {
    /// This actor.
    Us,
    /// The other end.
    FarEnd,
}
