//! The search against lines made of rules: what each of them comes to, whatever its figures are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::*;
use crate::record::Finding;
use crate::units::Random;

/// A line by its rules, and what is up on it.
#[derive(Clone, Debug, Default)]
struct Line {
    places: Option<usize>,
    /// Calls of the whole system, the control too.
    shared: Option<usize>,
    per_account: Option<usize>,
    /// At most so many accepted within the time.
    rate: Option<(usize, Duration)>,
    /// From so many accepted within a second on, everything is refused for the time.
    ban: Option<(usize, Duration)>,
    /// Accounts that are always refused.
    bad: BTreeSet<usize>,
    /// One more is accepted and the oldest goes.
    evicts: bool,
    /// A place comes back so long after its end; `None`: never.
    frees_after: Option<Option<Duration>>,
    /// Places that others take, changing with each answer.
    others: Option<(usize, Random)>,
    dies_at: Option<usize>,
    code: u16,
    retry_after: Option<Duration>,
    up: BTreeMap<Try, (usize, bool)>,
    coming_back: Vec<Instant>,
    lost_places: usize,
    accepted: Vec<Instant>,
    banned_until: Option<Instant>,
}

struct Run {
    now: Instant,
    search: Search,
    line: Line,
    accounts: usize,
    registers: bool,
    of_try: BTreeMap<Try, usize>,
    aside: BTreeSet<usize>,
    turn: usize,
    /// Most places held at the same time.
    most: usize,
    refused: usize,
    /// When each try was started.
    starts: Vec<Instant>,
}

fn below(random: &mut Random, bound: u64) -> u64 {
    random.next_u64() % bound
}

/// From a request to its answer.
const ANSWERS_IN: Duration = Duration::from_millis(20);

fn settings() -> Settings {
    Settings {
        of: Of::ConcurrentCalls,
        up_to: 40,
        step_every: Duration::from_millis(50),
        prove: 2,
        pauses: vec![Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(65)],
        control: true,
        accounts: 50,
        sources: 1,
        callees_differ: true,
        exclusive: true,
        trial: Duration::from_secs(10),
        hold: Duration::ZERO,
        licence: None,
        provisioned: 0,
        max_tries: 1_000_000,
        max_under_way: 1_000,
    }
}

fn registrations() -> Settings {
    Settings { of: Of::Registrations, control: false, ..settings() }
}

impl Run {
    fn new(settings: Settings, line: Line) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let now = Instant::now();
        Self {
            now,
            accounts: settings.accounts as usize,
            registers: settings.of == Of::Registrations,
            search: Search::new(settings, now),
            line,
            of_try: BTreeMap::new(),
            aside: BTreeSet::new(),
            turn: 0,
            most: 0,
            refused: 0,
            starts: Vec::new(),
        }
    }

    fn account(&mut self, who: Who, registers: bool) -> usize {
        let in_use: BTreeSet<usize> = self.line.up.values().map(|(account, _)| *account).collect();
        let avoided = match who {
            Who::Like(other) => {
                let account = self.of_try[&other];
                assert!(!registers || !in_use.contains(&account), "account {account} is registered already");
                return account;
            }
            Who::Unlike(other) => Some(self.of_try[&other]),
            Who::Nth(index) => return index as usize,
            Who::Next => None,
        };
        let count = self.accounts;
        let free = |account: &usize| {
            Some(*account) != avoided && !self.aside.contains(account) && !(registers && in_use.contains(account))
        };
        let first = (0..count).map(|ahead| (self.turn + ahead) % count).find(free);
        let account = first.or(avoided).expect("an account");
        self.turn = (account + 1) % count;
        account
    }

    /// To the end, or for so many events.
    fn finish(mut self) -> (Outcome, Self) {
        let registers = self.registers;
        let mut due: Vec<(Instant, Try, Event)> = Vec::new();
        for _ in 0..20_000 {
            while let Some(action) = self.search.poll_action() {
                match action {
                    Action::Start { number, who, how, .. } => {
                        let control = how == How::Control;
                        let account = self.account(who, registers);
                        self.of_try.insert(number, account);
                        self.starts.push(self.now);
                        for event in self.line.answer(self.now, number, account, control) {
                            due.push((self.now + ANSWERS_IN, event.0, event.1));
                        }
                        self.most = self.most.max(self.line.up.len());
                    }
                    Action::Release(number) => {
                        self.line.end(self.now, number);
                        due.push((self.now + ANSWERS_IN, number, Event::Ended));
                    }
                    Action::Confirm(number) => {
                        let alive = self.line.up.contains_key(&number);
                        due.push((self.now + ANSWERS_IN, number, Event::Alive(alive)));
                    }
                    Action::SetAside(number) => {
                        self.aside.insert(self.of_try[&number]);
                    }
                }
            }
            if self.search.is_done() {
                let outcome = self.search.outcome().cloned().expect("a search that is done says what it found");
                assert!(self.line.up.is_empty(), "still up: {:?}", self.line.up);
                return (outcome, self);
            }
            due.sort_by_key(|(at, ..)| *at);
            let next = due.first().map(|(at, ..)| *at);
            let at = next.into_iter().chain(self.search.deadline()).min().expect("the search waits for nothing");
            self.now = self.now.max(at);
            if next.is_some_and(|next| next <= self.now) {
                let (_, number, event) = due.remove(0);
                self.refused += usize::from(matches!(event, Event::Refused(_)));
                self.search.handle_event(self.now, number, event);
            } else {
                self.search.handle_timeout(self.now);
            }
        }
        panic!("no end: {:?}", self.search);
    }
}

impl Line {
    fn answer(&mut self, now: Instant, number: Try, account: usize, control: bool) -> Vec<(Try, Event)> {
        let mut events = Vec::new();
        self.coming_back.retain(|at| *at > now);
        self.accepted.retain(|at| now - *at < Duration::from_secs(60));
        let within = |time: Duration| self.accepted.iter().filter(|at| now - **at < time).count();
        let on_line = self.up.values().filter(|(_, control)| !control).count();
        let others = match &mut self.others {
            Some((most, random)) => below(random, *most as u64 + 1) as usize,
            None => 0,
        };
        let taken = on_line + self.coming_back.len() + self.lost_places + others;
        let of_account = self.up.values().filter(|(other, _)| *other == account).count();
        let banned = self.banned_until.is_some_and(|until| until > now);
        if self.dies_at.is_some_and(|at| on_line >= at) {
            self.places = Some(0);
            events.extend(std::mem::take(&mut self.up).into_keys().map(|number| (number, Event::Gone)));
        }
        let full = !control && !self.evicts && self.places.is_some_and(|places| taken >= places);
        let refused = full
            || self.shared.is_some_and(|shared| self.up.len() >= shared)
            || !control && self.per_account.is_some_and(|each| of_account >= each)
            || !control && self.rate.is_some_and(|(count, time)| within(time) >= count)
            || banned
            || self.bad.contains(&account);
        if let Some((count, time)) = self.ban
            && !banned
            && within(Duration::from_secs(1)) + 1 >= count
        {
            self.banned_until = Some(now + time);
        }
        if refused {
            let refusal = Refusal {
                code: Some(self.code),
                reason: None,
                class: Class::CallCongestion,
                retry_after: self.retry_after,
            };
            events.push((number, Event::Refused(refusal)));
            return events;
        }
        self.accepted.push(now);
        if self.evicts && self.places.is_some_and(|places| on_line >= places) {
            // Its leg hears nothing of it.
            self.up.pop_first();
        }
        self.up.insert(number, (account, control));
        events.push((number, Event::Up));
        events
    }

    fn end(&mut self, now: Instant, number: Try) {
        if let Some((_, control)) = self.up.remove(&number)
            && !control
        {
            match self.frees_after {
                Some(Some(after)) => self.coming_back.push(now + after),
                Some(None) => self.lost_places += 1,
                None => {}
            }
        }
    }
}

fn line(places: usize) -> Line {
    Line { places: Some(places), code: 503, ..Line::default() }
}

/// Figures of forty lines of a kind, by chance.
fn each_of_forty(mut test: impl FnMut(&mut Random)) {
    (0..40).for_each(|seed| test(&mut Random::new(seed)));
}

fn any_code(random: &mut Random) -> (u16, Option<Duration>) {
    let code = [403, 480, 486, 488, 500, 503, 603][below(random, 7) as usize];
    (code, (below(random, 2) == 0).then(|| Duration::from_secs(1 + below(random, 9))))
}

#[test]
fn a_limit_on_places_is_found_exactly_whatever_the_code_is() {
    each_of_forty(|random| {
        let places = 1 + below(random, 40) as usize;
        let (code, retry_after) = any_code(random);
        let (outcome, run) = Run::new(settings(), Line { code, retry_after, ..line(places) }).finish();
        assert_eq!(outcome.finding, Some(Finding::CallTrunkSaturated), "{}", outcome.text);
        assert_eq!((outcome.measured, outcome.scope), (Some(places as u64), Some(Scope::Shown)), "{}", outcome.text);
        assert_eq!((outcome.proved, outcome.range), (2, None));
        assert_eq!(outcome.retry_after, retry_after);
        assert_eq!(
            outcome.freed_after,
            Some(retry_after.map_or(ANSWERS_IN, |_| outcome.freed_after.unwrap_or_default()))
        );
        assert!(run.most <= places + 1, "it held {} calls on {places} places", run.most);
    });
}

#[test]
fn one_sentence_says_what_was_found() {
    let (outcome, _) = Run::new(settings(), line(5)).finish();
    assert_eq!(
        outcome.text,
        "5 calls at the same time, all alive; the next was refused with 503, proved twice; a freed place was taken again \
         after 20 ms"
    );
}

#[test]
fn no_storm_of_tries_goes_to_a_line_that_is_full() {
    let (_, run) = Run::new(settings(), line(5)).finish();
    // The climb's own, one each round, one each pause.
    assert_eq!(run.refused, 1 + 2 + 4);
}

#[test]
fn a_retry_after_is_kept_before_every_try() {
    let wish = Duration::from_secs(7);
    let (_, run) = Run::new(settings(), Line { retry_after: Some(wish), ..line(3) }).finish();
    let first_refused = run.starts[3];
    assert!(run.starts[5..].iter().all(|at| *at >= first_refused + wish), "the one at hand was under way already");
}

#[test]
fn a_limit_at_the_top_of_the_range_is_found_and_one_above_it_is_not() {
    let (found, _) = Run::new(settings(), line(40)).finish();
    assert_eq!(found.measured, Some(40));
    let (none, run) = Run::new(settings(), line(41)).finish();
    assert_eq!((none.finding, none.measured, none.refusal), (None, None, None));
    assert_eq!(none.text, "no limit within 40 calls at the same time: one more was accepted");
    assert_eq!(run.most, 41);
}

#[test]
fn a_limit_on_the_rate_is_no_limit_on_places() {
    each_of_forty(|random| {
        let count = 2 + below(random, 12) as usize;
        let time = Duration::from_secs([1, 2, 4, 10][below(random, 4) as usize]);
        let (code, _) = any_code(random);
        let rate = Some((count, time));
        let (outcome, run) = Run::new(settings(), Line { rate, code, ..Line::default() }).finish();
        assert_eq!(outcome.finding, Some(Finding::CallRateLimited), "{count} in {time:?}: {}", outcome.text);
        assert_eq!(outcome.measured, None);
        assert!(run.most <= 43, "{}", run.most);
    });
}

#[test]
fn who_is_shut_out_although_places_are_free_is_blocked() {
    each_of_forty(|random| {
        let count = 3 + below(random, 10) as usize;
        let ban = Some((count, Duration::from_secs(600)));
        let (outcome, _) = Run::new(settings(), Line { ban, code: any_code(random).0, ..Line::default() }).finish();
        assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallBlocked), None), "{}", outcome.text);
    });
}

#[test]
fn a_limit_of_each_account_is_never_named_that_of_the_trunk() {
    each_of_forty(|random| {
        let (each, accounts) = (1 + below(random, 3), 2 + below(random, 8));
        let line = Line { per_account: Some(each as usize), code: any_code(random).0, ..Line::default() };
        let (outcome, _) = Run::new(Settings { accounts, ..settings() }, line).finish();
        assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallAccountLimit), None), "{}", outcome.text);
    });
}

#[test]
fn a_limit_of_the_whole_system_is_never_named_that_of_the_trunk() {
    each_of_forty(|random| {
        let shared = Some(1 + below(random, 39) as usize);
        let (outcome, _) = Run::new(settings(), Line { shared, code: any_code(random).0, ..Line::default() }).finish();
        assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallSharedLimit), None), "{}", outcome.text);
    });
}

#[test]
fn calls_of_other_people_are_never_named_the_limit_of_the_trunk() {
    let mut ranges = 0;
    each_of_forty(|random| {
        let (places, most) = (8 + below(random, 20) as usize, 2 + below(random, 4) as usize);
        let others = Some((most, Random::new(random.next_u64())));
        let shared = Settings { exclusive: false, ..settings() };
        let (outcome, _) = Run::new(shared, Line { others, ..line(places) }).finish();
        let finding = outcome.finding.expect("found");
        let honest =
            [Finding::CallLimitVaries, Finding::CallPlacesFree, Finding::CallBlocked, Finding::CallRateLimited];
        assert!(honest.contains(&finding), "{places} places, {finding}: {}", outcome.text);
        ranges += usize::from(outcome.range.is_some());
        if let Some((least, greatest)) = outcome.range {
            assert!(least < greatest && greatest <= places as u64, "{places} places: {}", outcome.text);
        }
    });
    // By chance they may keep still for as long as the search takes.
    assert!(ranges >= 20, "{ranges}");
}

#[test]
fn without_controls_the_limit_is_assumed_to_be_the_lines_own_and_says_why() {
    let bare = Settings { control: false, accounts: 1, callees_differ: false, exclusive: false, ..settings() };
    let (outcome, _) = Run::new(bare, line(5)).finish();
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallPlacesFree), Some(5)));
    assert_eq!(outcome.scope, Some(Scope::Assumed));
    assert_eq!(
        outcome.text,
        "5 calls at the same time were free, all alive; the next was refused with 503, proved twice; a freed place was \
         taken again after 20 ms; assumed to be the line's own limit: others may use the line (no `saturate: { exclusive: \
         true }`), no control call, one account only, every call went to the same number"
    );
}

#[test]
fn an_account_that_is_always_refused_is_set_aside_and_the_limit_is_found() {
    for bad in 0..7 {
        let line = Line { bad: [bad].into(), ..line(5) };
        let (outcome, run) = Run::new(Settings { accounts: 12, ..settings() }, line).finish();
        assert_eq!(
            (outcome.finding, outcome.measured),
            (Some(Finding::CallTrunkSaturated), Some(5)),
            "{}",
            outcome.text
        );
        // The sixth is refused anyway: whether its account is to blame does not matter.
        assert_eq!(run.aside.contains(&bad), bad < 5, "{bad}: {:?}", run.aside);
    }
}

#[test]
fn a_place_that_comes_back_late_is_waited_for() {
    let late = Line { frees_after: Some(Some(Duration::from_secs(3))), ..line(5) };
    let (outcome, _) = Run::new(settings(), late).finish();
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallTrunkSaturated), Some(5)), "{}", outcome.text);
    assert!(outcome.freed_after >= Some(Duration::from_secs(3)), "{:?}", outcome.freed_after);
}

#[test]
fn a_place_that_never_comes_back_leaves_two_explanations_and_both_are_said() {
    let (outcome, _) = Run::new(settings(), Line { frees_after: Some(None), ..line(5) }).finish();
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallBlocked), None), "{}", outcome.text);
    assert_eq!(
        outcome.text,
        "with 5 calls at the same time the next was refused, and so was every try once a place was freed, after every \
         pause (refused with 503), although a call that does not need the line passes"
    );
}

#[test]
fn a_line_that_accepts_nothing_is_down() {
    let (outcome, run) = Run::new(settings(), line(0)).finish();
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::LineDown), Some(0)), "{}", outcome.text);
    assert_eq!(run.refused, 1 + 1 + 4, "the first, the second, one each pause");
}

#[test]
fn a_line_that_dies_in_the_middle_is_down_and_has_no_limit() {
    let (outcome, _) = Run::new(settings(), Line { dies_at: Some(7), ..line(20) }).finish();
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::LineDown), None), "{}", outcome.text);
}

#[test]
fn a_registration_licence_is_found_exactly() {
    each_of_forty(|random| {
        let places = 1 + below(random, 40) as usize;
        let (code, retry_after) = any_code(random);
        let (outcome, _) = Run::new(registrations(), Line { code, retry_after, ..line(places) }).finish();
        assert_eq!(outcome.finding, Some(Finding::RegLicenceExceeded), "{}", outcome.text);
        assert_eq!((outcome.measured, outcome.scope), (Some(places as u64), Some(Scope::Shown)), "{}", outcome.text);
    });
}

#[test]
fn silent_eviction_is_told_from_a_refusal_and_the_number_is_exact() {
    each_of_forty(|random| {
        let places = 1 + below(random, 39) as usize;
        let (outcome, run) = Run::new(registrations(), Line { evicts: true, ..line(places) }).finish();
        assert_eq!(outcome.finding, Some(Finding::RegLicenceEvicted), "{places}: {}", outcome.text);
        assert_eq!((outcome.measured, outcome.proved), (Some(places as u64), 2), "{}", outcome.text);
        assert_eq!(run.refused, 0);
    });
}

#[test]
fn accounts_that_are_refused_with_a_place_free_are_no_licence() {
    each_of_forty(|random| {
        let good = 3 + below(random, 9) as usize;
        let line = Line { bad: (good..12).collect(), code: any_code(random).0, ..Line::default() };
        let settings = Settings { accounts: 12, up_to: 11, ..registrations() };
        let (outcome, _) = Run::new(settings, line).finish();
        assert_eq!(outcome.finding, Some(Finding::RegSubsetRefused), "{good}: {}", outcome.text);
        assert_eq!(outcome.measured, None);
    });
}

#[test]
fn what_we_lack_ourselves_is_no_limit_of_the_line() {
    let mut run = Run::new(settings(), line(5));
    run.search.handle_timeout(run.now);
    assert_eq!(run.search.poll_action(), Some(Action::Start { number: 1, who: Who::Next, how: How::Usual, due: None }));
    run.search.handle_event(run.now, 1, Event::OwnFault("no RTP port is left".into()));
    let outcome = run.search.outcome().expect("over");
    assert_eq!((outcome.finding, outcome.measured), (None, None));
    assert_eq!(outcome.text, "the search was stopped by our own side: no RTP port is left");
    assert!(run.search.is_done());
}
