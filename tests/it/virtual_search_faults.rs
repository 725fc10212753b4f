//! What goes wrong during a search for a limit, of every kind, whole scenarios in virtual time: a verdict comes all the
//! same, every leg is hung up, and the far end has nothing left.

use std::time::Duration;

use ringfleet::call::Found;
use ringfleet::record::Finding;

use crate::virtual_net::{Side, World, compiled};

const HOUR: Duration = Duration::from_secs(3600);

/// A lab that limits nothing of what is searched for.
const LARGE: &str = "trunks: { trunk_a: { prefix: 900, calls: 200 } }\nlicence: { devices: 60 }\n";

/// Kinds of searches.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Calls,
    Rate,
    Registrations,
    Provisioned,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Calls, Self::Rate, Self::Registrations, Self::Provisioned];

    fn scenario(self) -> String {
        let dial = "[ { dial: { number: \"9007{{ n | pad(4) }}\", trunk: trunk_a, media: none } }, hold_open ]";
        let (steps, search) = match self {
            Self::Calls => (dial, "of: concurrent_calls, up_to: 20, step_every: 50ms, control: { number: internal }"),
            Self::Rate => (dial, "of: call_rate, up_to: 8, trial: 2s, control: { number: internal }"),
            Self::Registrations => ("[register, hold_open]", "of: registrations, up_to: 20, step_every: 50ms"),
            Self::Provisioned => ("[register, hold_open]", "of: provisioned_extensions, up_to: 20, step_every: 50ms"),
        };
        format!(
            "scenario: search\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {{ find_limit: {{ \
             {search}, pauses: [1s, 5s] }} }}\n"
        )
    }

    /// A world in which it is about to begin, at a lab with these lines.
    fn begun(self, lab: &str) -> World {
        World::new(compiled(&self.scenario(), &format!("lab: faults\naccounts: {{ users: 1001..1030 }}\n{lab}")))
    }

    /// Lets it run to its end.
    fn run(self, lab: &str) -> Ended {
        let mut world = self.begun(lab);
        world.run(4 * HOUR);
        self.ended(world)
    }

    /// All is hung up, and the far end has nothing left.
    fn ended(self, mut world: World) -> Ended {
        assert_eq!(world.found.len(), 1, "{self:?}: a search has one outcome");
        world.rest(3 * HOUR);
        let left = (world.pbx.calls_under_way(), world.pbx.bindings(world.now), world.open_ports_of(Side::Callers));
        assert_eq!(left, (0, 0, 0), "{self:?}: calls, bindings, our ports");
        let (found, progress) = (world.found[0].clone(), world.callers.progress());
        assert_eq!((progress.in_progress, progress.started), (0, progress.finished), "{self:?}");
        Ended { found, world }
    }
}

struct Ended {
    found: Found,
    world: World,
}

impl Ended {
    fn shown(&self) -> (Option<Finding>, Option<u64>) {
        (self.found.outcome.finding, self.found.outcome.measured)
    }

    fn text(&self) -> &str {
        &self.found.outcome.text
    }
}

#[test]
fn a_target_that_dies_in_the_middle_of_a_search_has_no_limit() {
    for kind in Kind::ALL {
        let mut world = kind.begun(LARGE);
        world.pass(Duration::from_millis(if kind == Kind::Rate { 2500 } else { 420 }));
        let asked =
            world.sent(Side::Callers, if matches!(kind, Kind::Calls | Kind::Rate) { "INVITE" } else { "REGISTER" });
        assert!(asked.len() >= 4, "{kind:?}: it has begun: {asked:?}");
        world.mute = true;
        world.run(4 * HOUR);
        let ended = kind.ended(world);
        let finding = match kind {
            // All that was held is dead when it is asked.
            Kind::Calls | Kind::Registrations => Finding::LineDown,
            // Nothing is held: nobody answers any more, which a firewall that shuts us out looks like too.
            Kind::Rate => Finding::CallBlocked,
            Kind::Provisioned => Finding::RegBlocked,
        };
        assert_eq!(ended.shown(), (Some(finding), None), "{kind:?}: {}", ended.text());
        assert!(
            kind == Kind::Registrations || kind == Kind::Calls || ended.text().contains("not answered"),
            "{}",
            ended.text()
        );
    }
}

#[test]
fn a_target_that_is_away_for_a_minute_in_the_middle_of_a_search_is_not_blamed_for_a_limit_that_it_has_not() {
    for kind in Kind::ALL {
        let mut world = kind.begun(LARGE);
        world.pass(Duration::from_millis(420));
        world.mute = true;
        world.pass(Duration::from_secs(70));
        world.mute = false;
        world.run(4 * HOUR);
        let ended = kind.ended(world);
        let said = [None, Some(Finding::LineDown), Some(Finding::CallLimitVaries), Some(Finding::RegLimitVaries)];
        assert!(said.contains(&ended.shown().0), "{kind:?}: {:?} {}", ended.shown(), ended.text());
        assert_eq!(ended.shown().1, None, "{kind:?}: {}", ended.text());
    }
    // And one that has a limit: the control call got no answer, which is no refusal.
    let mut world = Kind::Calls.begun("trunks: { trunk_a: { prefix: 900, calls: 5 } }\n");
    world.pass(Duration::from_millis(1320));
    world.drop_next = vec![("INVITE sip:2001".into(), 7)];
    world.run(4 * HOUR);
    let ended = Kind::Calls.ended(world);
    assert_eq!(ended.shown(), (Some(Finding::CallTrunkSaturated), Some(5)), "{}", ended.text());
}

#[test]
fn a_line_that_refuses_the_first_try_already_is_down_and_not_a_limit_of_nothing() {
    for (kind, lab) in [
        (Kind::Calls, "trunks: { trunk_a: { prefix: 900, calls: 0, refuse: { code: 403 } } }\n"),
        (Kind::Rate, "trunks: { trunk_a: { prefix: 900, calls: 0, refuse: { code: 403 } } }\n"),
        (Kind::Registrations, "licence: { devices: 0, refuse: { code: 403 } }\n"),
        (Kind::Provisioned, "licence: { devices: 0, refuse: { code: 403 } }\n"),
    ] {
        let ended = kind.run(lab);
        assert_eq!(ended.shown(), (Some(Finding::LineDown), Some(0)), "{kind:?}: {}", ended.text());
    }
}

#[test]
fn a_limit_beyond_the_range_is_not_guessed() {
    for (kind, text) in [
        (Kind::Calls, "no limit within 20 calls at the same time: one more was accepted"),
        (Kind::Rate, "no limit within 8 calls per second"),
        (Kind::Registrations, "no limit within 20 registrations at the same time: one more was accepted"),
        (Kind::Provisioned, "each of the 20 accounts can be registered alone"),
    ] {
        let ended = kind.run(LARGE);
        assert_eq!(ended.shown(), (None, None), "{kind:?}: {}", ended.text());
        assert!(ended.text().starts_with(text), "{kind:?}: {}", ended.text());
    }
}

#[test]
fn places_that_are_freed_and_never_come_back_are_no_limit_and_both_explanations_are_said() {
    let trunk = "trunks: { trunk_a: { prefix: 900, calls: 5, frees_after: never } }\n";
    let ended = Kind::Calls.run(trunk);
    assert_eq!(ended.shown(), (Some(Finding::CallBlocked), None), "{}", ended.text());
    // A search for a rate uses them up one after the other.
    let ended = Kind::Rate.run(trunk);
    assert_eq!(ended.shown().1.unwrap_or(0), 0, "{:?} {}", ended.shown(), ended.text());
    assert_ne!(ended.shown().0, Some(Finding::CallRateLimited), "{}", ended.text());
    let licence = "licence: { devices: 5, frees_after: never }\n";
    let ended = Kind::Registrations.run(licence);
    assert_eq!(ended.shown(), (Some(Finding::RegBlocked), None), "{}", ended.text());
    let ended = Kind::Provisioned.run(licence);
    assert_eq!(ended.shown(), (Some(Finding::RegBlocked), None), "{}", ended.text());
}

#[test]
fn a_refusal_without_a_word_is_told_by_its_code_alone() {
    for (kind, lab, finding, measured) in [
        (
            Kind::Calls,
            "trunks: { trunk_a: { prefix: 900, calls: 5, refuse: { code: 480, reason: \"\" } } }\n",
            Finding::CallTrunkSaturated,
            5,
        ),
        (
            Kind::Rate,
            "trunks: { trunk_a: { prefix: 900, rate: { max: 4/s, burst: 1, refuse: { code: 480, reason: \"\" } } } }\n",
            Finding::CallRateLimited,
            4,
        ),
        (
            Kind::Registrations,
            "licence: { devices: 5, refuse: { code: 480, reason: \"\" } }\n",
            Finding::RegLicenceExceeded,
            5,
        ),
        (
            Kind::Provisioned,
            "licence: { devices: 9, over_provisioned: { count: 3, refuse: { code: 480, reason: \"\" } } }\n",
            Finding::RegProvisionedOver2x,
            0,
        ),
    ] {
        let mut world = kind.begun(lab);
        // Not even the standard's phrase.
        world.rewrite_reason = Some((480, ""));
        world.run(4 * HOUR);
        let ended = kind.ended(world);
        let outcome = &ended.found.outcome;
        assert_eq!(outcome.finding, Some(finding), "{kind:?}: {}", outcome.text);
        assert!(kind == Kind::Provisioned || outcome.measured == Some(measured), "{kind:?}: {}", outcome.text);
        let refusal = outcome.refusal.as_ref().expect("refused");
        assert_eq!((refusal.code, refusal.reason.as_deref()), (Some(480), None), "{kind:?}");
        assert!(outcome.text.contains("480") && !outcome.text.contains("480 “"), "{kind:?}: {}", outcome.text);
    }
}

#[test]
fn a_503_with_retry_after_is_obeyed_and_told() {
    let refuse = "refuse: { code: 503, retry_after: 7 }";
    for (kind, lab) in [
        (Kind::Calls, format!("trunks: {{ trunk_a: {{ prefix: 900, calls: 5, {refuse} }} }}\n")),
        (Kind::Rate, format!("trunks: {{ trunk_a: {{ prefix: 900, rate: {{ max: 4/s, burst: 1, {refuse} }} }} }}\n")),
        (Kind::Registrations, format!("licence: {{ devices: 5, {refuse} }}\n")),
        (Kind::Provisioned, format!("licence: {{ devices: 9, over_provisioned: {{ count: 3, {refuse} }} }}\n")),
    ] {
        let ended = kind.run(&lab);
        let outcome = &ended.found.outcome;
        assert!(outcome.finding.is_some(), "{kind:?}: {}", outcome.text);
        assert_eq!(outcome.retry_after, Some(Duration::from_secs(7)), "{kind:?}");
        assert!(outcome.text.contains("Retry-After of up to 7 s was kept"), "{kind:?}: {}", outcome.text);
        // Nothing new is asked for before the seven seconds are over; what was under way already may be refused too.
        let begins = |line: &str| line.starts_with("INVITE") || line.starts_with("REGISTER");
        let wire = &ended.world.wire;
        let refused: Vec<Duration> =
            wire.iter().filter(|it| it.by == Side::Pbx && it.line.contains(" 503 ")).map(|it| it.at).collect();
        assert!(!refused.is_empty(), "{kind:?}");
        let news =
            wire.iter().filter(|it| it.by == Side::Callers && begins(&it.line) && it.text.contains("\r\nCSeq: 1 "));
        for new in news {
            // A round trip is 20 ms: who was asked before the refusal arrived did not know.
            let wish = refused
                .iter()
                .find(|at| new.at > **at + Duration::from_millis(40) && new.at < **at + Duration::from_secs(7));
            assert_eq!(wish, None, "{kind:?}: asked at {:?}: {}", new.at, new.line);
        }
    }
}

#[test]
fn accounts_that_are_refused_as_a_wrong_password_is_are_never_blamed_on_the_licence() {
    let lab = "licence: { devices: 9, over_provisioned: { count: 3, refuse: { code: 401, reason: Unauthorized } } }\n";
    let ended = Kind::Provisioned.run(lab);
    assert_eq!(ended.shown(), (Some(Finding::RegSubsetRefused), None), "{}", ended.text());
    assert!(ended.text().contains("a wrong password is refused with 401 “Unauthorized”"), "{}", ended.text());
}
