//! A leg: one actor of one attempt, at its step, with what it has seen so far.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use thin_vec::ThinVec;

use super::accounts::Cast;
use super::back_off::BackOff;
use super::callers::Config;
use super::hops::{Hops, Way};
use super::hushed::Hushed;
use super::links::{Links, Wanted};
use super::marks::{Marks, Whose};
use super::reach::Unserved;
use super::refresh::Kept;
use super::side::Sides;
use super::step::{Beside, LegDtmf, LegVideo, Recovering, Trickling};
use crate::media;
use crate::pace::Length;
use crate::record::{Facts, MediaFigures, Party, TransportFailure};
use crate::scenario::plan::{Account, Actor, ActorState, Outcome, Plan, Step};
use crate::sip::endpoint::Endpoint;
use crate::sip::flow::{Flow, LinkId};
use crate::sip::keep_alive::KeepAlives;
use crate::sip::registration::Registrar;
use crate::sip::sdp;
use crate::sip::sdp::crypto::{Key, KeySource};
use crate::sip::sdp::peering::LocalPeering;
use crate::sip::token::Handle;
use crate::sip::uri::bracketed;
use crate::station::PortId;
use crate::station::streams::Streams;
use crate::units::Random;
use std::sync::Arc;

use crate::sip::exchange::Login;

/// Which leg of which attempt: place, generation, index of the actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LegRef {
    pub(super) place: u32,
    pub(super) generation: u32,
    pub(super) actor: u8,
}

/// What a leg is waiting for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// To begin.
    #[default]
    New,
    /// Another actor's state (`when:`).
    Waiting,
    /// A socket or connection.
    OpeningLink,
    Registering,
    /// The time to ask a registrar again that could not take the registration.
    BackingOff,
    Pinging,
    /// An RTP port to offer.
    OpeningPort,
    Dialling,
    /// The end of a call that we cancelled.
    Cancelling,
    AwaitingCall,
    /// The moment to answer a call.
    Ringing,
    /// An RTP port to answer with.
    OpeningAnswerPort,
    /// What servers of ICE say of our addresses, before an offer or an answer.
    Gathering,
    /// The ACK to our answer.
    AwaitingAck,
    Talking,
    Pausing,
    /// All keys of a step to be out.
    Pressing,
    HoldingOpen,
    /// The end of a time away, or of a wait on the way back.
    Disturbed,
    /// What an agent on its way back has asked for: a registration, sockets, a re-INVITE, audio.
    Recovering,
    /// The answer to a hold or resume.
    Directing,
    /// An RTP port of video, to offer it in the call.
    OpeningVideoPort,
    HangingUp,
    /// What an `expect` step waits for.
    Checking,
    /// The answer of the application beside the call.
    Asking,
    /// The end of what is still open after the last step.
    Closing,
    Unregistering,
    Done,
}

/// Where a step leaves its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flowing {
    /// On to the next step.
    Next,
    /// The leg waits.
    Blocked,
    /// The remaining steps make no sense any more.
    Over,
}

/// One actor of one attempt.
#[derive(Debug, Default)]
pub(super) struct Leg {
    pub(super) phase: Phase,
    pub(super) step: usize,
    pub(super) deadline: Option<Instant>,
    /// The earliest timer that stands for the leg.
    pub(super) armed: Option<Instant>,
    /// When a second clock of the phase strikes: giving up a ringing call.
    pub(super) cancel_at: Option<Instant>,
    pub(super) account: Option<u32>,
    /// Which of the target's local addresses it goes out from, counted round.
    pub(super) source: u32,
    pub(super) flow: Option<Flow>,
    pub(super) session: Option<Handle>,
    pub(super) registration: Option<Handle>,
    /// When it asked for a connection that is being opened.
    pub(super) connecting: Option<Instant>,
    /// The link that an opening leg waits for.
    pub(super) link: Option<LinkId>,
    /// Which places of its server the request of a step, by its index, goes to.
    pub(super) way: Option<Box<(usize, Way)>>,
    /// The request of this step, while the link to another place is being opened for it.
    pub(super) unserved: Option<Unserved>,
    /// Where the binding of the leg was made, once its step is done.
    pub(super) kept: Option<Box<Kept>>,
    /// The fork whose description early media runs by.
    pub(super) early_from: Option<Box<[u8]>>,
    /// When the request of this step was sent.
    pub(super) request_sent: Option<Instant>,
    /// When the registration of the step at hand was first asked for, and failures since.
    pub(super) registering_since: Option<(Instant, u32)>,
    /// Since when the current talk step listens.
    pub(super) talking_since: Option<Instant>,
    /// We answered, so our marker is that of a far end.
    pub(super) offer_was_theirs: bool,
    pub(super) ping: Option<Handle>,
    pub(super) port: Option<PortId>,
    /// Where it is; boxed, as a load without media has many legs that have none.
    pub(super) local_rtp: Option<Box<SocketAddr>>,
    /// What we want to flow, and how many descriptions said so.
    pub(super) direction: sdp::Direction,
    /// Video, where there ever was a line of it.
    pub(super) video: Option<Box<LegVideo>>,
    /// Keys of the call, once a step presses or expects any.
    pub(super) dtmf: Option<Box<LegDtmf>>,
    pub(super) descriptions: u64,
    /// The far end's offer, until we answer it.
    pub(super) offer: Option<Box<[u8]>>,
    /// Keys of what we send, one for each suite; the same for the life of the leg.
    pub(super) keys: ThinVec<Key>,
    /// Our lines on ICE and DTLS where no socket stands behind our descriptions.
    pub(super) peering: Option<Box<LocalPeering>>,
    /// Candidates of ICE that come later, once there are any or may be.
    pub(super) trickling: Option<Box<Trickling>>,
    /// The 2xx is exchanged and neither side has hung up.
    pub(super) up: bool,
    pub(super) registered: bool,
    pub(super) facts: Facts,
    /// What media came to, once it has ended: a call that is held has none yet.
    pub(super) figures: Option<Box<MediaFigures>>,
    pub(super) marks: Marks,
    /// How long the scenario wanted to hear something so far.
    pub(super) listened: Duration,
    pub(super) unmet: Option<String>,
    pub(super) as_expected: Option<bool>,
    /// What the far end said when it was asked whether the leg is alive.
    pub(super) alive: Option<bool>,
    /// What it answers challenges with, where that is not its account's own.
    pub(super) login: Option<Arc<Login>>,
    /// The registrar did not confirm that the binding was removed.
    pub(super) left_behind: bool,
    /// The agent is disturbed on purpose, or on its way back.
    pub(super) recovering: Option<Box<Recovering>>,
    /// From when and until when timers of its page fire once a minute only.
    pub(super) throttled: Option<Box<(Instant, Instant)>>,
    /// What it knows of the application beside its call, once it has asked something.
    pub(super) beside: Option<Box<Beside>>,
    /// The run is being stopped.
    pub(super) stopping: bool,
}

/// What a leg works with: everything of the station but the legs themselves.
pub(super) struct Tools<'a> {
    pub(super) now: Instant,
    pub(super) config: &'a Config,
    /// The plan of the attempt.
    pub(super) plan: &'a Plan,
    /// When what the leg is told happened: the arrival of the message, not the turn that treats it.
    pub(super) at: Instant,
    /// How a transport failed last.
    pub(super) fault: &'a TransportFailure,
    /// The scenario expects to hear its own audio.
    pub(super) reference_expected: bool,
    pub(super) actor: &'a Actor,
    pub(super) registrar: &'a Arc<Registrar>,
    pub(super) back_off: &'a mut BackOff,
    pub(super) endpoint: &'a mut Endpoint,
    pub(super) streams: &'a mut Streams<LegRef>,
    pub(super) links: &'a mut Links,
    pub(super) keep_alives: &'a mut KeepAlives,
    pub(super) hushed: &'a mut Hushed,
    pub(super) sides: &'a mut Sides,
    pub(super) closing: &'a mut Vec<LinkId>,
    pub(super) wanted: &'a mut Vec<Wanted>,
    /// What was dialled and permitted, by actor.
    pub(super) permitted: &'a mut [FxHashSet<String>],
    pub(super) routes: &'a mut FxHashMap<Handle, LegRef>,
    pub(super) hops: &'a mut Hops,
    pub(super) account: Option<&'a Account>,
    pub(super) login: Option<&'a Arc<Login>>,
    /// The accounts of all actors of the attempt.
    pub(super) cast: Cast<'a>,
    pub(super) clock: media::clock::NtpClock,
    pub(super) key_source: &'a mut KeySource,
    pub(super) me: LegRef,
    /// Index of the actor's pool, 0 where it has none.
    pub(super) pool: usize,
    /// Which of several connections of one account is the leg's.
    pub(super) tab: u8,
    /// Index of the attempt, from 1.
    pub(super) n: u64,
    /// What lengths are drawn from.
    pub(super) seed: u64,
    /// Calls that are held open may end.
    pub(super) letting_go: bool,
    /// Number of the leg for the endpoint and the evidence.
    pub(super) owner: u64,
}

impl Tools<'_> {
    /// Whose the leg is.
    pub(super) fn whose(&self) -> Whose<'_> {
        Whose { config: self.config, plan: self.plan, n: self.n, actor: self.me.actor.into(), account: self.account }
    }

    /// User part of our Contact, or its whole value where the registrar gave us a GRUU.
    pub(super) fn contact(&self) -> String {
        let Some(account) = self.account else { return "ringfleet".to_owned() };
        match self.endpoint.gruu(&self.aor(account)) {
            Some(gruu) => format!("<{gruu}>"),
            None => account.user.clone(),
        }
    }

    /// Address of record of an account.
    pub(super) fn aor(&self, account: &Account) -> String {
        format!("{}@{}", account.user, bracketed(&self.actor.target.domain))
    }
}

impl Leg {
    /// Index of its account in the pool of its actor.
    pub(super) fn account(&self) -> Option<usize> {
        self.account.map(|index| index as usize)
    }

    /// Where this step wants to go on from: runs steps until one has to wait.
    pub(super) fn advance(&mut self, tools: &mut Tools<'_>) {
        let mut flowing = Flowing::Next;
        while flowing == Flowing::Next {
            flowing = match tools.actor.steps.get(self.step) {
                Some(_) if self.stopping => {
                    self.interrupt();
                    Flowing::Over
                }
                Some(step) => self.begin(tools, step),
                None => Flowing::Over,
            };
            if flowing == Flowing::Next {
                self.step += 1;
            }
        }
        if flowing == Flowing::Over {
            self.wind_down(tools);
        }
    }

    /// The current step is done.
    pub(super) fn step_done(&mut self, tools: &mut Tools<'_>) {
        (self.deadline, self.cancel_at) = (None, None);
        self.step += 1;
        self.advance(tools);
    }

    /// Goes on as a step says.
    pub(super) fn go_on(&mut self, tools: &mut Tools<'_>, flowing: Flowing) {
        match flowing {
            Flowing::Next => self.step_done(tools),
            Flowing::Over => self.wind_down(tools),
            Flowing::Blocked => {}
        }
    }

    /// How long the step at hand lasts in this attempt.
    pub(super) fn drawn(&self, tools: &Tools<'_>, length: &Length) -> Duration {
        length.draw(&mut Random::of(tools.seed, [tools.n, tools.me.actor.into(), self.step as u64]))
    }

    fn begin(&mut self, tools: &mut Tools<'_>, step: &Step) -> Flowing {
        if self.facts.moments.started.is_none() {
            self.facts.moments.started = Some(tools.now);
        }
        match step {
            Step::Register(step) => self.begin_register(tools, step),
            Step::Dial(step) => self.begin_dial(tools, step),
            Step::Answer(step) => self.begin_answer(tools, step),
            Step::Talk(step) => self.begin_talk(tools, step),
            Step::Wait(length) => self.block(Phase::Pausing, Some(tools.now + self.drawn(tools, length))),
            Step::Direct(step) => self.begin_direct(tools, step),
            Step::Video(step) => self.begin_video(tools, step),
            Step::Dtmf(step) => self.begin_dtmf(tools, step),
            Step::Hangup => self.begin_hangup(tools),
            Step::HoldOpen => self.begin_hold_open(tools),
            Step::Expect(check) => self.begin_check(tools, check),
            Step::Options(step) => self.begin_options(tools, step),
            Step::Disturb(step) => self.begin_disturb(tools, step),
            Step::Throttle(lasts) => self.begin_throttle(tools, *lasts),
            Step::Request(step) => self.begin_request(tools, step),
        }
    }

    /// Ends whatever is still open, one thing after the other, until nothing is.
    pub(super) fn wind_down(&mut self, tools: &mut Tools<'_>) {
        (self.deadline, self.cancel_at) = (None, None);
        self.calm(tools);
        self.forget_unserved(tools);
        if self.up && self.session.is_some() {
            self.hang_up(tools);
            self.phase = Phase::Closing;
            return;
        }
        self.finish_media(tools);
        if self.registered
            && let Some(registration) = self.registration
        {
            self.registered = false;
            self.phase = Phase::Unregistering;
            tools.endpoint.unregister(tools.now, registration);
            return;
        }
        self.phase = Phase::Done;
        if self.beside.is_some() {
            tools.sides.leave(tools.owner);
        }
        self.facts.moments.ended.get_or_insert(tools.now);
    }

    /// The state of another actor that this one waits for will never come: what kept the other from it keeps this one.
    pub(super) fn never_begin(&mut self, tools: &mut Tools<'_>, other: &Facts, name: &str, state: ActorState) {
        let what = match state {
            ActorState::Registered => "registered",
            ActorState::Answered => "answered",
            ActorState::Ended => "ended",
        };
        self.unmet.get_or_insert_with(|| format!("when: {name} was never {what}"));
        self.facts.local_failure = other.local_failure.clone();
        self.facts.requests.extend(other.requests.iter().filter(|request| request.fault.is_some()).cloned());
        self.facts.registration =
            other.registration.clone().filter(|registration| !(200..300).contains(&registration.response.code));
        self.wind_down(tools);
    }

    /// The run is being stopped: nothing new is begun and what is open is ended.
    pub(super) fn stop(&mut self, tools: &mut Tools<'_>) {
        if self.stopping || self.phase == Phase::Done {
            return;
        }
        self.stopping = true;
        match self.phase {
            Phase::Dialling => {
                self.interrupt();
                self.give_up(tools);
            }
            Phase::Ringing | Phase::OpeningAnswerPort => {
                self.interrupt();
                self.refuse_call(tools, 480);
            }
            Phase::Gathering if self.session.is_some() => {
                self.interrupt();
                self.refuse_call(tools, 480);
            }
            Phase::Closing | Phase::Unregistering | Phase::HangingUp | Phase::Cancelling => {}
            // Its response is under way; what it brings is undone.
            Phase::Registering | Phase::Pinging | Phase::AwaitingAck => {}
            Phase::Talking
            | Phase::HoldingOpen
            | Phase::Pausing
            | Phase::Pressing
            | Phase::Checking
            | Phase::Asking
            | Phase::Directing
            | Phase::OpeningVideoPort
            | Phase::Disturbed
            | Phase::Recovering
                if self.up =>
            {
                self.wind_down(tools);
            }
            _ => {
                self.interrupt();
                self.wind_down(tools);
            }
        }
    }

    /// Sends BYE.
    pub(super) fn hang_up(&mut self, tools: &mut Tools<'_>) {
        let Some(session) = self.session else { return };
        self.up = false;
        self.note_forks(tools);
        self.ended_by(tools.now, Party::Us);
        let reason = self.farewell(tools);
        self.finish_media(tools);
        tools.endpoint.bye(tools.now, session, reason);
    }

    /// Notes who ended an established call.
    pub(super) fn ended_by(&mut self, now: Instant, by: Party) {
        let moments = &mut self.facts.moments;
        moments.bye.get_or_insert(now);
        if let Some(answered) = moments.answered {
            let after = now.saturating_duration_since(answered);
            self.facts.ended.get_or_insert(crate::record::Ended { by, after });
        }
    }

    /// Waits in a phase, until something comes or the deadline does.
    pub(super) fn block(&mut self, phase: Phase, deadline: Option<Instant>) -> Flowing {
        (self.phase, self.deadline) = (phase, deadline);
        Flowing::Blocked
    }

    /// The next moment at which the leg has something to do by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.deadline, self.cancel_at, self.recovery_deadline()].into_iter().flatten().min()
    }

    /// Notes that the run ended before this leg came to a result of its own.
    pub(super) fn interrupt(&mut self) {
        // A response without an INVITE is that to OPTIONS: it is no result of a call that was still to be placed.
        let no_result = self.facts.response.is_none() || self.facts.moments.invite.is_none();
        if no_result && self.facts.moments.answered.is_none() {
            self.facts.local_failure.get_or_insert_with(|| Box::new(crate::record::LocalFailure::Interrupted));
        }
    }

    /// Compares an outcome with what a step expects of it. True where the leg goes on. The code is one that was
    /// received: a local time-out is no 408.
    pub(super) fn meets(
        &mut self,
        expected: Option<&Outcome>,
        seen: (&str, Option<u16>, Option<Duration>),
        wanted_by_default: bool,
    ) -> bool {
        let Some(expected) = expected else { return wanted_by_default };
        let (what, code, took) = seen;
        let failed = if !expected.code.is_empty() && !code.is_some_and(|code| expected.code.contains(&code)) {
            let codes: Vec<String> = expected.code.iter().map(ToString::to_string).collect();
            let got = code.map_or_else(|| "no response".to_owned(), |code| code.to_string());
            Some(format!("{what}: expected code {}, got {got}", codes.join(" or ")))
        } else if let Some(within) = expected.within.filter(|within| took.is_some_and(|took| took > *within)) {
            let took = took.unwrap_or_default();
            Some(format!("{what}: expected a final response within {within:?}, it took {took:?}"))
        } else if let Some(class) = expected.class {
            let shown = crate::record::classify(&self.facts);
            (shown != class).then(|| format!("{what}: expected class {class}, got {shown}"))
        } else {
            None
        };
        self.as_expected = Some(failed.is_none() && self.as_expected != Some(false));
        let met = failed.is_none();
        if let Some(text) = failed {
            self.unmet.get_or_insert(text);
        }
        met
    }
}
