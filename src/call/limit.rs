//! The search for a limit, joined to the attempts: what it wants is done with them, and it is told what they showed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::accounts::Pick;
use super::callers::{Callers, Opening};
use super::leg::{Leg, LegRef, Phase};
use super::report::Report;
use super::test_calls::TestCalls;
use crate::pace::search::{Action, Event, How, Outcome, Refusal, Search, Settings, Try, Who};
use crate::record::{self, Class, Facts, LocalFailure, Origin};
use crate::sip::exchange::Login;
use crate::units::Secret;

/// A leg of which RTP arrived within this time is alive (fifty packets), and so is one that was answered within it: its
/// audio may be on its way.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// How often a registrar is asked again that refuses to say whether a binding stands, each time after about twice the wait.
const MOST_QUERIES: u32 = 5;
/// The first wait.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The password that is wrong on purpose.
const WRONG_PASSWORD: &str = "a wrong password, to see how it is refused";

/// A search and the attempts that are its tries.
#[derive(Debug)]
pub(super) struct LimitSearch {
    search: Search,
    tries: FxHashMap<Try, Attempt>,
    /// What the search is still to be told.
    news: VecDeque<(Try, Event)>,
    pub(super) calls: TestCalls,
    /// Tries whose registrar refused to say whether they stand: when it is asked again, and how often it was.
    unsaid: FxHashMap<Try, (Instant, u32)>,
    told: bool,
}

/// What a search came to, with the attempts by their `call_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it came to.
    pub outcome: Outcome,
    /// Attempts that prove it.
    pub proof: Vec<String>,
    /// Accounts that were set aside.
    pub aside: Vec<String>,
}

#[derive(Debug)]
struct Attempt {
    place: u32,
    account: Option<usize>,
    user: Option<String>,
    call_id: String,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has no answer yet.
    Asked,
    Up,
    /// It was told to end.
    Released,
    Over,
}

impl LimitSearch {
    fn new(settings: Settings, now: Instant) -> Self {
        let (tries, news, calls) = (FxHashMap::default(), VecDeque::new(), TestCalls::default());
        Self { search: Search::new(settings, now), tries, news, calls, unsaid: FxHashMap::default(), told: false }
    }

    /// A leg went on, or heard whether it is alive.
    pub(super) fn note_leg(&mut self, n: u64, leg: &mut Leg) {
        if let Some(alive) = leg.alive.take() {
            self.news.push_back((n, Event::Alive(alive)));
        }
        let Some(attempt) = self.tries.get_mut(&n) else { return };
        if leg.phase == Phase::HoldingOpen && attempt.state == State::Asked {
            attempt.state = State::Up;
            self.news.push_back((n, Event::Up));
        }
    }

    /// An attempt has ended. A refusal is what the search asks for: it is expected.
    pub(super) fn note_end(&mut self, n: u64, legs: &mut [Leg]) {
        let (Some(attempt), Some(leg)) = (self.tries.get_mut(&n), legs.first_mut()) else { return };
        let event = match std::mem::replace(&mut attempt.state, State::Over) {
            State::Asked => match own_fault(leg) {
                Some(text) => Event::OwnFault(text),
                None => {
                    leg.as_expected = Some(true);
                    Event::Refused(refusal(&leg.facts))
                }
            },
            State::Up => Event::Gone,
            State::Released if leg.left_behind => Event::LeftBehind,
            State::Released => Event::Ended,
            State::Over => return,
        };
        self.news.push_back((n, event));
    }

    /// Another try that is up, the last of them.
    pub(super) fn neighbour_of(&self, number: Try) -> Option<Try> {
        let up = self.tries.iter().filter(|(other, attempt)| **other != number && attempt.state == State::Up);
        up.map(|(other, _)| *other).max()
    }

    fn found(&self, outcome: &Outcome) -> Found {
        let call_ids =
            |tries: &[Try]| tries.iter().filter_map(|it| Some(self.tries.get(it)?.call_id.clone())).collect();
        let users = |tries: &[Try]| tries.iter().filter_map(|it| self.tries.get(it)?.user.clone()).collect();
        Found { proof: call_ids(&outcome.proof), aside: users(&outcome.aside), outcome: outcome.clone() }
    }
}

impl Callers {
    /// Does what the search wants, and tells it what there is to tell, until it waits.
    pub(super) fn search_on(&mut self, now: Instant) {
        let Some(settings) = self.config.plan.load.search().filter(|_| !self.over) else { return };
        let limit = self.limit.get_or_insert_with(|| Box::new(LimitSearch::new(settings.clone(), now)));
        limit.search.handle_timeout(now);
        if limit.calls.deadline().is_some_and(|at| at <= now) {
            self.end_late_test_calls(now);
        }
        self.ask_unsaid(now);
        let Some(limit) = &mut self.limit else { return };
        if self.config.closes.is_some_and(|at| now >= at) && !limit.told {
            limit.told = true;
            limit.search.stop();
            self.reports.push_back(Report::Closed);
        }
        while let Some(limit) = &mut self.limit {
            if let Some(action) = limit.search.poll_action() {
                self.act(now, action);
            } else if let Some((number, event)) = limit.news.pop_front() {
                limit.search.handle_event(now, number, event);
            } else {
                break;
            }
        }
        let Some(limit) = &mut self.limit else { return };
        let closes = self.config.closes.filter(|at| *at > now);
        let deadline = limit.search.deadline().into_iter().chain(closes).chain(limit.calls.deadline());
        let unsaid = limit.unsaid.values().filter_map(|(at, _)| (*at > now).then_some(*at));
        let deadline = deadline.chain(unsaid).min();
        if let Some(outcome) = limit.search.outcome().filter(|_| !limit.told) {
            self.reports.push_back(Report::Limit(Box::new(limit.found(outcome))));
            limit.told = true;
        }
        self.next_start = deadline;
        if limit.search.is_done() {
            self.over = true;
            self.next_start = None;
            self.letting_go = true;
            self.let_go(now);
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Start { number, who, how, due } => self.start_try(now, number, who, how, due.unwrap_or(now)),
            Action::Release(number) => {
                let Some(attempt) = self.limit.as_mut().and_then(|limit| limit.tries.get_mut(&number)) else { return };
                if attempt.state == State::Up {
                    attempt.state = State::Released;
                    let me = self.leg_of(number);
                    if let Some(me) = me {
                        self.with_leg(now, me, |leg, tools| {
                            if leg.phase == Phase::HoldingOpen {
                                leg.step_done(tools);
                            }
                        });
                    }
                }
            }
            Action::Confirm(number) => self.ask_whether_alive(now, number),
            Action::SetAside(number) => {
                let account = self.limit.as_ref().and_then(|limit| limit.tries.get(&number)?.account);
                if let (Some(account), Some(pool)) = (account, self.pools[0]) {
                    self.accounts[pool].set_aside(account);
                }
            }
        }
    }

    fn start_try(&mut self, now: Instant, number: Try, who: Who, how: How, intended: Instant) {
        let Some(limit) = &self.limit else { return };
        let account_of = |other: &Try| limit.tries.get(other).and_then(|attempt| attempt.account);
        let pick = match who {
            Who::Next => Pick::Next,
            Who::Nth(index) => Pick::Only(index as usize),
            Who::Like(other) => account_of(&other).map_or(Pick::Next, Pick::Only),
            Who::Unlike(other) => account_of(&other).map_or(Pick::Next, Pick::Not),
        };
        let control = how == How::Control;
        let place = self.open_place(&Opening { n: number, intended, pick, control });
        self.places[place as usize].legs[0].source = u32::from(how == How::Elsewhere);
        if how == How::WrongPassword {
            self.spoil_password(place);
        }
        let at = &self.places[place as usize];
        let leg = &at.legs[0];
        let whose = self.whose_at(LegRef { place, generation: at.generation, actor: at.first }, leg);
        let attempt = Attempt {
            place,
            account: leg.account(),
            user: whose.account.map(|account| account.user.clone()),
            call_id: whose.call_id(),
            state: State::Asked,
        };
        if let Some(limit) = &mut self.limit {
            limit.tries.insert(number, attempt);
        }
        self.begin_legs(now, place);
    }

    /// The attempt answers challenges wrongly.
    fn spoil_password(&mut self, place: u32) {
        let leg = &mut self.places[place as usize].legs[0];
        let known = self.pools[0].zip(leg.account()).and_then(|(pool, account)| self.accounts[pool].login(account));
        leg.login = known.map(|login| {
            Arc::new(Login { user: login.user.clone(), password: Secret::new(WRONG_PASSWORD.to_owned()) })
        });
    }

    /// The leg of a try that has not ended.
    pub(super) fn leg_of(&self, number: Try) -> Option<LegRef> {
        let index = self.limit.as_ref()?.tries.get(&number)?.place;
        let place = self.places.get(index as usize).filter(|place| place.n == number)?;
        Some(LegRef { place: index, generation: place.generation, actor: place.first })
    }

    /// What the registrar says of the binding of a leg.
    pub(super) fn note_query(&mut self, now: Instant, me: LegRef, bound: Option<bool>) {
        let n = self.places[me.place as usize].n;
        let Some(limit) = &mut self.limit else { return };
        let (_, asked) = limit.unsaid.remove(&n).unwrap_or((now, 0));
        if bound.is_none() && asked < MOST_QUERIES {
            // It may take so many requests a second only, and all were asked for at once.
            let wait = FIRST_WAIT.mul_f64(f64::from(1 << asked) * (0.5 + self.random.unit()));
            limit.unsaid.insert(n, (now + wait, asked + 1));
            self.next_start = Some(now);
            return;
        }
        // A registrar that never says it has granted the binding all the same: only a call may tell more.
        let stands = bound.unwrap_or(true);
        if !stands || !self.ask_by_call(now, me) {
            self.tell_alive(now, n, stands);
        }
    }

    /// Asks registrars again that refused to say whether a binding stands.
    fn ask_unsaid(&mut self, now: Instant) {
        let Some(limit) = &self.limit else { return };
        let mut due: Vec<Try> =
            limit.unsaid.iter().filter(|(_, (at, _))| *at <= now).map(|(number, _)| *number).collect();
        due.sort_unstable();
        for number in due {
            self.ask_whether_alive(now, number);
        }
    }

    /// The search hears whether a try is alive.
    pub(super) fn tell_alive(&mut self, now: Instant, number: Try, alive: bool) {
        if let Some(limit) = &mut self.limit {
            limit.news.push_back((number, Event::Alive(alive)));
            self.next_start = Some(now);
        }
    }

    /// RTP that arrives says that a call is alive, and so does an answer a moment ago; else the far end is asked within
    /// the dialog, or the registrar for the binding.
    fn ask_whether_alive(&mut self, now: Instant, number: Try) {
        let mut alive = Some(false);
        if let Some(me) = self.leg_of(number) {
            self.with_leg(now, me, |leg, tools| {
                let mut last = None;
                if let Some(port) = leg.port {
                    tools.streams.with_session(port, |session| last = session.last_received());
                }
                let last = last.max(leg.facts.moments.answered);
                let heard = last.is_some_and(|last| now.saturating_duration_since(last) < HEARD_WITHIN);
                let asked = match (leg.session, leg.registration) {
                    (Some(_), _) if heard => return alive = Some(true),
                    (Some(session), _) => tools.endpoint.probe(now, session),
                    (None, Some(registration)) => tools.endpoint.query(now, registration),
                    (None, None) => false,
                };
                alive = (!asked).then_some(false);
            });
        }
        // Otherwise its answer comes.
        if let (Some(alive), Some(limit)) = (alive, &mut self.limit) {
            limit.news.push_back((number, Event::Alive(alive)));
        }
    }
}

/// What kept a try from being made, where that is our own fault.
fn own_fault(leg: &Leg) -> Option<String> {
    match leg.facts.local_failure.as_deref() {
        Some(LocalFailure::NoAccount) => Some("no account is left".to_owned()),
        Some(LocalFailure::NoMediaPort(error)) => Some(format!("no RTP port is left ({error})")),
        Some(LocalFailure::Interrupted) => {
            Some(leg.unmet.clone().unwrap_or_else(|| "the run was interrupted".to_owned()))
        }
        _ if record::classify(&leg.facts) == Class::ProbeStalled => Some("our own machine stood still".to_owned()),
        _ => None,
    }
}

fn refusal(facts: &Facts) -> Refusal {
    let registration = facts.registration.as_ref().map(|registration| &registration.response);
    let response = facts.response.as_ref().or(registration);
    let received = response.filter(|response| response.origin == Origin::Received);
    let text = facts.reason_text.as_deref().map(str::to_owned);
    let reason = text.or_else(|| received.map(|response| response.reason.clone()));
    Refusal {
        code: received.map(|response| response.code),
        reason: reason.filter(|reason| !reason.is_empty()),
        class: record::classify(facts),
        retry_after: received.and_then(|response| response.retry_after).map(|wish| Duration::from_secs(wish.into())),
    }
}
