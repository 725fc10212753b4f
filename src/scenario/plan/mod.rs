//! The plan: what a scenario, its targets and its accounts come to once everything is checked and resolved.
//!
//! A `Plan` that exists is valid, so nothing below it checks again. It is immutable and shared by all workers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::measure::threshold::Threshold;
pub use crate::media::codec::opus::Wishes;
pub use crate::media::video::{Picture, Size, VideoCodec, Wish as VideoWish};
pub use crate::media::{Codec, Listen, Source as Send};
use crate::pace::{Load, Mix};
use crate::record::Finding;
pub use crate::sip::flow::{PublicAddress, Transport};
pub use crate::sip::keep_alive::Policy as KeepAlive;
pub use crate::sip::raw::Raw;
pub use crate::sip::sdp::crypto::{Policy, Suite};
use crate::units::Secret;

use super::filled::Filled;
use super::safety::Safety;
use super::text::Text;

mod agent;
mod dtmf;
mod each;
mod server;
mod side;
mod step;
mod target;

pub use agent::{Disturb, Disturbance};
pub use dtmf::{Dtmf, WantedKeys};
pub use each::{Each, WantedOutcome};
pub use server::{Ice, IceServer, Identity, Roots, Server, TlsSettings, TlsVersion, Trickle, Verify, WebSettings};
pub use side::{Application, Base, Method, Reply, Request, Template, Via};
pub use step::{
    Answer, Check, Dial, Direct, MediaMode, Number, Options, Outcome, RawText, Register, Reject, Retry, Step, Talk,
    Video, VideoChange,
};
pub use target::{LargeRequests, Licence, Srtp, Target, Trunk};

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

    /// Whether some keys are secret: then no record has any.
    pub fn hides_keys(&self) -> bool {
        let in_step = |step: &Step| match step {
            Step::Dtmf(step) => step.hidden,
            Step::Expect(Check::Heard { wanted, .. }) => wanted.hidden,
            _ => false,
        };
        let expected = |expectation: &Expectation| match &expectation.kind {
            ExpectationKind::Each(each) => each.dtmf_heard.is_some_and(|wanted| wanted.hidden),
            _ => false,
        };
        self.expect.iter().any(expected) || self.actors.iter().flat_map(|actor| &actor.steps).any(in_step)
    }

    /// Whether keys are expected, so that tones have to be listened for.
    pub fn expects_keys(&self) -> bool {
        let awaits = |step: &Step| matches!(step, Step::Expect(Check::Heard { .. }));
        let expected = |expectation: &Expectation| matches!(&expectation.kind, ExpectationKind::Each(each) if each.dtmf_heard.is_some());
        self.expect.iter().any(expected) || self.actors.iter().flat_map(|actor| &actor.steps).any(awaits)
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

impl Actor {
    /// Whether its calls send audio and hear it.
    pub fn has_audio(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Dial(dial) => dial.media == MediaMode::Audio,
            Step::Answer(answer) => answer.media == MediaMode::Audio,
            _ => false,
        })
    }

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
