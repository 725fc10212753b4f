//! The plan: what a scenario, its targets and its accounts come to once everything is checked and resolved.
//!
//! A `Plan` that exists is valid, so nothing below it checks again. It is immutable and shared by all workers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::measure::threshold::Threshold;
pub use crate::media::codec::opus::Wishes;
pub use crate::media::video::{Picture, Size, VideoCodec, Wish as VideoWish};
pub use crate::media::{Codec, Listen, Source as Send};
use crate::pace::{Length, Load, Mix};
use crate::record::{Class, Finding};
pub use crate::sip::flow::{PublicAddress, Transport};
pub use crate::sip::keep_alive::Policy as KeepAlive;
pub use crate::sip::raw::Raw;
use crate::sip::sdp::Direction;
pub use crate::sip::sdp::crypto::{Policy, Suite};
use crate::sip::session::{Extensions, Means};
use crate::units::{Random, Secret};

use super::filled::Filled;
use super::safety::Safety;
use super::text::{Text, Values};

mod agent;
mod each;
mod server;
mod side;

pub use agent::{Disturb, Disturbance};
pub use each::{Each, WantedOutcome};
pub use server::{Ice, IceServer, Identity, Roots, Server, TlsSettings, TlsVersion, Verify, WebSettings};
pub use side::{Application, Base, Method, Reply, Request, Template, Via};

/// One run's worth of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Name of the scenario: a tag in every result.
    pub scenario: String,
    /// What it is for, for people.
    pub description: String,
    /// Who takes part in each attempt, in the order of the file; one for `caller:` scenarios.
    pub actors: Vec<Actor>,
    /// When attempts start and when they stop.
    pub load: Load,
    /// What is drawn at random is drawn from this: the same seed draws the same.
    pub seed: u64,
    /// Kinds of attempts, where not all actors take part in each.
    pub kinds: Option<Kinds>,
    /// Attempts that were to start before this are recorded and not judged.
    pub warm_up: Duration,
    /// What ends the run before its time.
    pub abort_when: Vec<Abort>,
    /// The number of a device whose registration a search looks at, which another one calls.
    pub test_call: Option<Text>,
    /// What has to hold for the verdict to be pass.
    pub expect: Vec<Expectation>,
    /// Bounds on every dialled number and on the run as a whole.
    pub safety: Safety,
    /// Lines that the load fills, where their targets allow it.
    pub filled: Vec<Filled>,
    /// Whether a 503 with Retry-After keeps further calls from the one who sent it for that long.
    pub honour_retry_after: bool,
    /// Telephone numbers are masked in every output.
    pub mask_numbers: bool,
    /// What is done with audio that arrives.
    pub listen: Listen,
}

impl Plan {
    /// The actors of attempt `n` (from 1), by their index: all, or those of its kind.
    pub fn cast(&self, n: u64) -> Range<usize> {
        match &self.kinds {
            Some(kinds) => kinds.casts[kinds.mix.kind_of(n.saturating_sub(1))].clone(),
            None => 0..self.control().start,
        }
    }

    /// The actor of the control call, which comes last where a search for a limit has one.
    pub fn control(&self) -> Range<usize> {
        let controls = usize::from(self.load.search().is_some_and(|search| search.control));
        self.actors.len() - controls..self.actors.len()
    }

    /// Every cast that an attempt may have.
    pub fn casts(&self) -> Vec<Range<usize>> {
        let all = || std::iter::once(0..self.actors.len()).collect();
        self.kinds.as_ref().map_or_else(all, |kinds| kinds.casts.clone())
    }

    /// Share of the attempts that an actor takes part in, 0 to 1.
    pub fn share_of(&self, actor: usize) -> f64 {
        let kind = self.kinds.as_ref().and_then(|kinds| Some((kinds, kinds.kind_of(actor)?)));
        kind.map_or(1.0, |(kinds, kind)| kinds.mix.share(kind))
    }

    /// How many attempts are under way at the same time is a matter of chance: starts or lengths are drawn.
    pub fn draws(&self) -> bool {
        let is_drawn = |step: &Step| match step {
            Step::Talk(talk) => talk.duration.is_some_and(|length| !length.is_fixed()),
            Step::Wait(length) => !length.is_fixed(),
            _ => false,
        };
        self.kinds.is_some() || self.load.is_random() || self.actors.iter().flat_map(|actor| &actor.steps).any(is_drawn)
    }

    /// The application of the lab is served at this URL.
    pub fn serve_application(&mut self, url: &str) {
        let served = Arc::new(Application { base: Base::Url(Secret::new(url)), ..Application::default() });
        for actor in &mut self.actors {
            if matches!(actor.target.application.base, Base::Lab) {
                Arc::make_mut(&mut actor.target).application = Arc::clone(&served);
            }
            for step in &mut actor.steps {
                match step {
                    Step::Request(request) if matches!(request.access.base, Base::Lab) => {
                        request.access = Arc::clone(&served);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whether its agents are registered as those of another plan are: the same actors with the same accounts, targets that
    /// are reached in the same way, and as many of them at the same time. What they do then, and what is expected of it,
    /// may differ.
    pub fn registers_as(&self, other: &Self) -> bool {
        let as_a_whole =
            |plan: &Self| (plan.actors.len(), plan.kinds.clone(), plan.load.clone(), plan.honour_retry_after);
        let same = |(own, other): (&Actor, &Actor)| {
            let of = |actor: &Actor| (actor.registered, actor.expires, actor.account_of);
            of(own) == of(other) && own.pool == other.pool && own.target.registers_as(&other.target)
        };
        as_a_whole(self) == as_a_whole(other) && self.actors.iter().zip(&other.actors).all(same)
    }

    /// Whether an expectation speaks of audio heard: then the far end is one that sends our reference audio.
    pub fn expects_reference(&self) -> bool {
        let of_audio = |kind: &ExpectationKind| matches!(kind, ExpectationKind::Each(Each { audio: Some(_), .. }));
        self.expect.iter().any(|expectation| of_audio(&expectation.kind))
    }
}

/// Kinds of attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct Kinds {
    /// How often each comes.
    pub mix: Mix,
    /// The actors of each, by their index.
    pub casts: Vec<Range<usize>>,
}

impl Kinds {
    /// The kind that an actor belongs to.
    pub fn kind_of(&self, actor: usize) -> Option<usize> {
        self.casts.iter().position(|cast| cast.contains(&actor))
    }
}

/// What ends a run before its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Abort {
    /// As it is written in the file, for reports.
    pub text: String,
    /// The run ends once this holds.
    pub when: Threshold,
    /// It is not looked at before this much of the run has passed.
    pub after: Duration,
}

/// A party of each attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    /// `caller` for single-party scenarios, else the key in `actors:`.
    pub name: String,
    /// Where it is registered and sends its calls.
    pub target: Arc<Target>,
    /// Its accounts; `None` for an actor without account (peer trunks, `ringfleet answer`).
    pub pool: Option<Arc<Pool>>,
    /// The actor whose account it uses, over a connection of its own.
    pub account_of: Option<usize>,
    /// How it is registered.
    pub registered: Registered,
    /// Expiry that standing registrations ask for, seconds.
    pub expires: u32,
    /// Starts only once the named actor has reached the named state.
    pub when: Option<When>,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

/// When an actor is registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registered {
    /// Only by a `register` step of its own, if it has one.
    #[default]
    BySteps,
    /// From before the first attempt to after the last, as many accounts as attempts need (`registered: standing`).
    Standing,
    /// The same, every account of its pool (`registered: all`).
    All,
}

impl Registered {
    /// Whether its accounts stay registered for the whole run.
    pub fn stands(self) -> bool {
        self != Self::BySteps
    }
}

/// A condition on another actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// Index into [`Plan::actors`].
    pub actor: usize,
    /// The state waited for.
    pub state: ActorState,
}

/// A state that another actor can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorState {
    /// Its registration was accepted.
    Registered,
    /// Its call was answered.
    Answered,
    /// Its call has ended.
    Ended,
}

/// Accounts that go round in turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// Key in the target's `accounts:`.
    pub name: String,
    /// The accounts, at least one.
    pub accounts: Vec<Account>,
    /// Calls that one account carries at the same time; `None` is unlimited. An actor that registers owns its
    /// account for the attempt, whatever this says.
    pub calls_each: Option<u32>,
}

/// One SIP account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// User part of the address of record.
    pub user: String,
    /// User name of the digest, where it differs.
    pub auth_user: Option<String>,
    /// Digest password; `None` for peers.
    pub password: Option<Secret>,
    /// Number it is reached by from outside.
    pub did: Option<String>,
    /// Organisation unit, a tag in results.
    pub unit: Option<String>,
    /// Further CSV columns by name, for `{{ account.NAME }}`.
    pub columns: BTreeMap<String, String>,
}

/// A step of an actor.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send REGISTER and wait for its final response.
    Register(Register),
    /// Place a call and wait until it is answered or refused.
    Dial(Dial),
    /// Wait for an inbound call and treat it.
    Answer(Answer),
    /// Send audio and listen for a while.
    Talk(Talk),
    /// Let time pass; media, if any, goes on.
    Wait(Length),
    /// Change what flows: hold and resume.
    Direct(Direct),
    /// Add, change or remove video.
    Video(Video),
    /// End the call and wait for the BYE's response.
    Hangup,
    /// Keep the call up, sending audio, until the load lets go.
    HoldOpen,
    /// Check a fact of the attempt so far.
    Expect(Check),
    /// Send OPTIONS and wait for its final response.
    Options(Options),
    /// The agent is disturbed, and comes back.
    Disturb(Disturb),
    /// Timers of the agent's page fire once a minute only, for so long.
    Throttle(Duration),
    /// Ask something of the application that the agent works in.
    Request(Box<Request>),
}

/// `register`.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// Expiry asked for, seconds 1–86400, default 300.
    pub expires: u32,
    /// Whether it is asked for again where the registrar cannot take it now.
    pub retry: Option<Retry>,
    /// What its outcome must be; by default success.
    pub expect: Option<Outcome>,
}

/// `retry` of a `register`: after each failure a longer wait, drawn between half and all of `base` · 2^failures
/// (RFC 5626 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Times that it is asked for again, at most.
    pub times: u32,
    /// The wait that doubles, default 30 s.
    pub base: Duration,
    /// The longest wait, default 1800 s.
    pub most: Duration,
}

impl Retry {
    /// How long to wait after the given number of failures, from 1.
    pub fn wait(&self, failures: u32, random: &mut Random) -> Duration {
        let upper = self.base.saturating_mul(2u32.saturating_pow(failures.min(16))).min(self.most);
        upper.mul_f64(0.5 + random.unit() / 2.0)
    }
}

/// `dial`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dial {
    /// What is dialled.
    pub number: Number,
    /// Label of the trunk, a key of the target's `trunks:` where it has one.
    pub trunk: Option<String>,
    /// From and P-Asserted-Identity user where the account's own is not wanted.
    pub from: Option<Text>,
    /// Answer time-out from the INVITE, 1 s–10 min, default 60 s; a call not answered by then is cancelled.
    pub answer_within: Duration,
    /// Cancel this long after the first 18x (or after the INVITE, where none came), as a caller who gives up.
    pub cancel_after: Option<Duration>,
    /// Additional headers.
    pub headers: Vec<(String, Text)>,
    /// Whether audio is sent and received.
    pub media: MediaMode,
    /// Video beside it.
    pub video: Option<Box<VideoWish>>,
    /// What our description says of it.
    pub direction: Direction,
    /// What the INVITE gets wrong on purpose.
    pub raw: Option<Box<RawText>>,
    /// Extensions of SIP that it speaks.
    pub speaks: Extensions,
    /// What its outcome must be; by default that it is answered. With it, a refused call is the pass.
    pub expect: Option<Outcome>,
}

impl Actor {
    /// Whether its calls may have video on sockets of its own. In WebRTC it shares those of audio.
    pub fn has_own_video(&self) -> bool {
        let has_video = |step: &Step| match step {
            Step::Dial(dial) => dial.video.is_some(),
            Step::Answer(answer) => answer.video.is_some(),
            Step::Video(_) => true,
            _ => false,
        };
        self.target.srtp.policy != Policy::Dtls && self.steps.iter().any(has_video)
    }
}

/// `video` as a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// What is wanted; `None` removes the stream.
    pub change: Option<VideoChange>,
    /// With what it is asked for.
    pub by: Means,
}

/// What a `video` step changes; `None` leaves it as it is, or as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoChange {
    /// Codecs, best first.
    pub codecs: Option<Vec<VideoCodec>>,
    /// Size of what is sent.
    pub size: Option<Size>,
    /// Frames per second.
    pub fps: Option<u16>,
    /// Bit rate, kbit/s.
    pub kbps: Option<u32>,
    /// Whether offers have the profile RTP/AVPF.
    pub avpf: Option<bool>,
}

impl VideoChange {
    /// What `before` becomes.
    pub fn applied_to(&self, before: &VideoWish) -> VideoWish {
        let VideoWish { codecs, picture, avpf } = before;
        VideoWish {
            codecs: self.codecs.clone().unwrap_or_else(|| codecs.clone()),
            picture: Picture {
                size: self.size.unwrap_or(picture.size),
                fps: self.fps.unwrap_or(picture.fps),
                kbps: self.kbps.unwrap_or(picture.kbps),
            },
            avpf: self.avpf.unwrap_or(*avpf),
        }
    }
}

/// `hold` and `resume`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct {
    /// What may flow from now on, seen from us.
    pub direction: Direction,
    /// With what it is asked for.
    pub by: Means,
}

/// [`Raw`] with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawText {
    /// The method of the first line.
    pub method: Option<Text>,
    /// The whole first line.
    pub start_line: Option<Text>,
    /// Values by the name of their field.
    pub headers: Vec<(String, Vec<Text>)>,
    /// The body.
    pub body: Option<Text>,
}

impl RawText {
    /// The changes in one attempt.
    pub fn render(&self, values: &Values<'_>) -> Raw {
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.render(values));
        let field = |(name, texts): &(String, Vec<Text>)| {
            (name.clone(), texts.iter().map(|text| text.render(values)).collect())
        };
        Raw {
            method: text(&self.method),
            start_line: text(&self.start_line),
            headers: self.headers.iter().map(field).collect(),
            body: text(&self.body),
        }
    }
}

/// What a number is and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// The text dialled: digits, `+ * #`, or a `sip:`/`tel:` URI.
    pub text: Text,
    /// Its key in `numbers:` or `hotlines:`, where a name was written.
    pub name: Option<String>,
    /// It is a hotline: the key becomes the tag.
    pub hotline: bool,
}

/// `media:` of a dial or answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaMode {
    /// Audio is sent, received and listened to.
    #[default]
    Audio,
    /// Audio is offered, but no packet is sent or expected: signalling-only load.
    None,
}

/// `answer`.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// An inbound call must arrive within this time, default 60 s.
    pub within: Duration,
    /// No call need come.
    pub optional: bool,
    /// Whether 180 is sent.
    pub ring: bool,
    /// Time between the INVITE and the final response.
    pub after: Duration,
    /// Refuse with this code instead of answering.
    pub reject: Option<Reject>,
    /// Whether audio is sent and received.
    pub media: MediaMode,
    /// Video that is taken where it is offered.
    pub video: Option<Box<VideoWish>>,
    /// What our description says of it.
    pub direction: Direction,
    /// Extensions of SIP that it speaks.
    pub speaks: Extensions,
}

/// A refusal that we send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Final response, 300–699.
    pub code: u16,
    /// Reason phrase; the standard's where left out.
    pub reason: Option<String>,
    /// Q.850 cause in a Reason header.
    pub q850: Option<u16>,
    /// Retry-After, seconds.
    pub retry_after: Option<u32>,
}

impl Reject {
    /// A refusal with the standard's reason phrase.
    pub fn new(code: u16, q850: Option<u16>) -> Self {
        Self { code, reason: None, q850, retry_after: None }
    }

    /// Header fields that say more than the code.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let cause = self.q850.map(|cause| ("Reason", format!("Q.850;cause={cause}")));
        let retry_after = self.retry_after.map(|seconds| ("Retry-After", seconds.to_string()));
        cause.into_iter().chain(retry_after).collect()
    }
}

/// `talk`.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    /// How long; `None` lasts until the far end hangs up.
    pub duration: Option<Length>,
    /// What is sent.
    pub send: Send,
}

/// `options`.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What its outcome must be; by default a 2xx.
    pub expect: Option<Outcome>,
}

/// What a request's outcome must be. All fields given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// One of these final codes.
    pub code: Vec<u16>,
    /// This class.
    pub class: Option<Class>,
    /// The final response came within this time of the request.
    pub within: Option<Duration>,
}

/// `expect` as a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The call must end by this party within the time, counted from the step's start.
    EndedBy {
        /// `us` or `far_end`.
        party: crate::record::Party,
        /// How long to wait for it.
        within: Duration,
    },
    /// The call must still be up.
    StillUp,
}

/// What has to hold at the end of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As it is written in the file, for reports.
    pub text: String,
    /// What it says.
    pub kind: ExpectationKind,
}

/// Kinds of expectation.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectationKind {
    /// Holds for every attempt. All fields given must hold.
    Each(Each),
    /// Holds for the totals.
    Run(Threshold),
    /// A call must have come to each of these actors, by number and name.
    Called(Vec<(usize, String)>),
    /// The limit search must have measured exactly this.
    Limit(u64),
    /// The run must have come to this finding.
    Finding(Finding),
}

/// Where calls are sent, resolved as far as files can.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name, a tag in results.
    pub name: String,
    /// It is the built-in lab: `server` is filled in when the lab has its port.
    pub lab: bool,
    /// The server that requests go to.
    pub server: Server,
    /// Domain of addresses of record and Request-URIs.
    pub domain: String,
    /// How we are known there: what is written into Via, Contact and SDP.
    pub public_address: PublicAddress,
    /// Local addresses that accounts go out from in turn; none: that of the way to the server.
    pub local_addresses: Vec<IpAddr>,
    /// Local port of SIP over UDP; 0 takes a free one.
    pub local_port: u16,
    /// Each account has a UDP socket of its own.
    pub socket_each: bool,
    /// What becomes of INVITEs that are larger than a datagram should be.
    pub large_requests: LargeRequests,
    /// Whether flows there are kept alive (RFC 5626 §4.4).
    pub keep_alive: KeepAlive,
    /// Headers in every request.
    pub headers: Vec<(String, String)>,
    /// Extensions of SIP that calls speak where their step does not say.
    pub speaks: Extensions,
    /// Registrations ask for a GRUU, and calls use it.
    pub gruu: bool,
    /// Registrations are of flows (RFC 5626).
    pub outbound: bool,
    /// User-Agent; default `ringfleet/VERSION`.
    pub user_agent: Option<String>,
    /// Codecs in the order they are offered.
    pub codecs: Vec<Codec>,
    /// What we would like to receive of Opus.
    pub opus: Wishes,
    /// Encryption of audio.
    pub srtp: Srtp,
    /// Servers of STUN and TURN, where audio is WebRTC's.
    pub ice: Ice,
    /// The application that its agents work in.
    pub application: Arc<Application>,
    /// RTP ports, first and last; `None` lets the system choose.
    pub rtp_ports: Option<(u16, u16)>,
    /// Trunks by label.
    pub trunks: BTreeMap<String, Trunk>,
    /// Header that carries our `call_id` to the other leg, where the target lets it through.
    pub pairing_header: Option<String>,
    /// Numbers by name, for messages and the plan's print-out.
    pub numbers: BTreeMap<String, String>,
    /// Licences bought, where known.
    pub licence: Option<Licence>,
    /// Company, environment … for the incident sheet.
    pub labels: BTreeMap<String, String>,
    /// What may be dialled here.
    pub safety: Arc<Safety>,
}

impl Target {
    /// Every server that it names, some of them perhaps more than once.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        let peers = self.trunks.values().filter_map(|trunk| trunk.peer.as_ref());
        std::iter::once(&self.server).chain(peers).chain(self.ice.servers.iter().map(|ice| &ice.server))
    }

    /// Whether it is the same target, which actors may reach over different transports.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.domain) == (&other.name, &other.domain)
    }

    /// Whether agents are registered there as at another one: all is the same but what only calls know.
    fn registers_as(&self, other: &Self) -> bool {
        let servers = |target: &Self| target.servers().cloned().collect::<Vec<_>>();
        // Field by field of the rest: one that comes later is compared.
        let apart_from_calls = |target: &Self| Self {
            trunks: BTreeMap::new(),
            numbers: BTreeMap::new(),
            labels: BTreeMap::new(),
            licence: None,
            codecs: Vec::new(),
            opus: Wishes::default(),
            rtp_ports: None,
            speaks: Extensions::default(),
            pairing_header: None,
            safety: Arc::default(),
            ..target.clone()
        };
        servers(self) == servers(other) && apart_from_calls(self) == apart_from_calls(other)
    }

    /// What the user part of the Request-URI is for a number (rendered) over a trunk: the trunk's prefix comes first.
    /// A `sip:` or `tel:` URI is complete already and stays as it is. So does a number of the lab that begins with the
    /// prefix: which trunk it takes is plain from the lab's own number plan, whereas elsewhere a subscriber's number
    /// may begin with the same digits.
    pub fn final_number(&self, number: &str, trunk: Option<&str>) -> String {
        let prefix = trunk.and_then(|label| self.trunks.get(label)).and_then(|trunk| trunk.prefix.as_deref());
        let complete = |prefix: &str| number.contains(':') || self.lab && number.starts_with(prefix);
        match prefix.filter(|prefix| !complete(prefix)) {
            Some(prefix) => format!("{prefix}{number}"),
            None => number.to_owned(),
        }
    }

    /// Bytes of the largest request that is sent as a datagram; `None` sends any.
    pub fn largest_datagram(&self) -> Option<usize> {
        (self.large_requests == LargeRequests::Tcp).then_some(LARGEST_DATAGRAM)
    }
}

/// Above this a request is too large for a datagram, bytes (RFC 3261 §18.1.1: the path MTU is not known).
const LARGEST_DATAGRAM: usize = 1300;

/// What becomes of INVITE, REGISTER and OPTIONS above 1300 bytes where the server is reached by UDP (RFC 3261 §18.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LargeRequests {
    /// It goes by UDP all the same, in fragments where the path needs them.
    #[default]
    Fragment,
    /// It goes by TCP, or by UDP where the server takes no connection.
    Tcp,
}

/// Encryption of audio by keys in SDP (RFC 4568).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Srtp {
    /// Whether.
    pub policy: Policy,
    /// Suites that are offered, best first.
    pub offers: Vec<Suite>,
    /// Suites that are accepted.
    pub accepts: Vec<Suite>,
}

impl Srtp {
    /// A policy with the suites that hold where none are named: the two that every device speaks are offered, so that
    /// an INVITE stays below the size that UDP carries; all are accepted.
    pub fn new(policy: Policy) -> Self {
        let offers = vec![Suite::AesCm128Sha1_80, Suite::AesCm128Sha1_32];
        Self { policy, offers, accepts: Suite::ALL.to_vec() }
    }
}

/// A way out of (or into) the target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trunk {
    /// Label, the tag `trunk`.
    pub name: String,
    /// Carrier behind it.
    pub carrier: Option<String>,
    /// Gateway it goes through.
    pub gateway: Option<String>,
    /// Calls at the same time that were bought.
    pub contracted_calls: Option<u32>,
    /// Calls per second that were bought.
    pub contracted_cps: Option<u32>,
    /// Digits put before the number to choose it.
    pub prefix: Option<String>,
    /// From identity that chooses it.
    pub from: Option<String>,
    /// It is a peer of its own: requests go there, without account.
    pub peer: Option<Server>,
}

/// Licences bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Licence {
    /// Devices that may be registered at the same time.
    pub extensions: u32,
    /// Extensions that exist.
    pub provisioned: Option<u32>,
}
