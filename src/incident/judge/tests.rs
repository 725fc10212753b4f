//! Each rule by name, in virtual time. Fifteen agents on five trunks, two gateways (two trunks and three) and three sites call
//! once a minute; every agent uses the trunks in turn.

use super::*;
use crate::incident::{Labels, Scope, Severity, Undecided};

const AGENTS: usize = 15;
const GATEWAYS: [usize; 5] = [1, 1, 2, 2, 2];

/// Who calls how, and how it ends.
type Rule<'a> = dyn Fn(&Attempt) -> Class + 'a;

#[derive(Clone, Debug)]
struct Attempt {
    /// Second of the test.
    at: u64,
    agent: String,
    trunk: String,
    gateway: String,
    site: String,
    srd_ms: f64,
    took: Duration,
    reproduces: Option<u64>,
}

struct Desk {
    judge: Judge,
    base: Instant,
    second: u64,
    again: Vec<Attempt>,
    changes: Vec<(u64, Change, Incident)>,
    asked: u32,
}

impl Desk {
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn new() -> Self {
        let base = Instant::now() + Duration::from_secs(1_000_000);
        let judge = Judge::new(Config::default(), base);
        Self { judge, base, second: 0, again: Vec::new(), changes: Vec::new(), asked: 0 }
    }

    fn now(&self) -> Instant {
        self.base + Duration::from_secs(self.second)
    }

    /// Minutes of calls: each agent once a minute, every four seconds one of them.
    fn minutes(&mut self, minutes: u64, rule: &Rule<'_>) {
        self.minutes_of(minutes, AGENTS, rule);
    }

    fn minutes_of(&mut self, minutes: u64, agents: usize, rule: &Rule<'_>) {
        for _ in 0..minutes * 60 {
            self.second += 1;
            self.turn();
            if self.second.is_multiple_of(4) {
                let agent = (self.second / 4) as usize % AGENTS;
                if agent < agents {
                    let trunk = (agent + (self.second / 60) as usize) % 5;
                    self.place(attempt(self.second, agent, trunk), rule);
                }
            }
            for attempt in std::mem::take(&mut self.again) {
                if attempt.at <= self.second {
                    self.place(attempt, rule);
                } else {
                    self.again.push(attempt);
                }
            }
        }
    }

    fn place(&mut self, attempt: Attempt, rule: &Rule<'_>) {
        let class = rule(&attempt);
        let id = format!("c-{}", attempt.at);
        // The codec is agreed on when a call is answered.
        let codec = (class == Class::Ok).then_some("PCMA");
        let (at, labels) = (stamp(self.second), labels(&attempt).with(Label::Codec, codec));
        let sample = Sample {
            class,
            failed: class != Class::Ok,
            srd_ms: (class == Class::Ok).then_some(attempt.srd_ms),
            took: attempt.took,
            reproduces: attempt.reproduces,
            ..sample(at, labels, &id)
        };
        self.judge.handle_result(self.now(), &sample);
        self.drain();
    }

    fn turn(&mut self) {
        self.judge.handle_timeout(self.now());
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.judge.poll_output() {
                Output::Timeout(at) => return assert!(at > self.base),
                Output::Changed(change, incident) => self.changes.push((self.second, change, *incident)),
                Output::Reproduce(again) => {
                    self.asked += 1;
                    let of = |label: Label| again.labels.iter().find(|(of, _)| *of == label).expect("known").1.clone();
                    self.again.push(Attempt {
                        at: self.second + 5 + again.after.as_secs(),
                        agent: of(Label::Agent),
                        trunk: of(Label::Trunk),
                        gateway: of(Label::Gateway),
                        site: of(Label::Site),
                        srd_ms: 100.0,
                        took: Duration::ZERO,
                        reproduces: Some(again.id),
                    });
                }
            }
        }
    }

    fn told(&self) -> Vec<(Change, String)> {
        self.changes.iter().map(|(_, change, incident)| (*change, incident.place())).collect()
    }

    fn open(&self) -> Vec<String> {
        self.judge.incidents().map(Incident::place).collect()
    }
}

fn attempt(at: u64, agent: usize, trunk: usize) -> Attempt {
    Attempt {
        at,
        agent: format!("a{agent}"),
        trunk: format!("t{trunk}"),
        gateway: format!("g{}", GATEWAYS[trunk]),
        site: format!("s{}", agent % 3),
        srd_ms: 100.0 + (at % 13) as f64,
        took: Duration::ZERO,
        reproduces: None,
    }
}

fn labels(attempt: &Attempt) -> Labels<'_> {
    Labels::default()
        .with(Label::Agent, attempt.agent.as_str())
        .with(Label::Account, attempt.agent.as_str())
        .with(Label::Trunk, attempt.trunk.as_str())
        .with(Label::Gateway, attempt.gateway.as_str())
        .with(Label::Site, attempt.site.as_str())
        .with(Label::Transport, "udp")
        .with(Label::Platform, "prod")
}

fn sample<'a>(at: Timestamp, labels: Labels<'a>, id: &'a str) -> Sample<'a> {
    Sample {
        at,
        took: Duration::ZERO,
        labels,
        unit: Some("support"),
        class: Class::Ok,
        failed: false,
        code: None,
        q850: None,
        poor: None,
        mos: None,
        heard: true,
        srd_ms: None,
        setup_ms: None,
        retry: Retry::None,
        reproduces: None,
        control: false,
        call_id: id,
        sip_call_id: None,
    }
}

fn stamp(second: u64) -> Timestamp {
    Timestamp::from_second(1_772_000_000 + second as i64).expect("in range")
}

fn well(_: &Attempt) -> Class {
    Class::Ok
}

#[test]
fn one_agent_that_fails_is_an_incident_of_that_agent() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(6, &|it| if it.agent == "a4" { Class::CallTimeout } else { Class::Ok });
    assert_eq!(desk.told(), [(Change::Opened, "single_agent a4".to_owned())]);
    let (at, _, incident) = &desk.changes[0];
    assert!(*at - 600 <= 180, "{at}");
    assert_eq!((incident.widespread, incident.reproduced), (false, Some(true)));
    assert_eq!((incident.symptom.name(), incident.severity), ("call.timeout", Severity::Critical));
    assert_eq!((incident.agents_failing, incident.agents_tested), (1, 1));
    assert_eq!(incident.first_call.call_id, "c-616", "its first call in the minute after 600 s");
    assert_eq!(incident.since, stamp(616));
    assert_eq!(incident.unit.as_deref(), Some("support"));
    assert!(incident.confidence > 0.98 && incident.confidence <= 1.0, "{}", incident.confidence);
}

#[test]
fn a_failure_that_cannot_be_reproduced_is_counted_only() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(30, &|it| if it.agent == "a4" && it.at == 1216 { Class::CallTimeout } else { Class::Ok });
    assert_eq!((desk.told(), desk.asked), (Vec::new(), 1));
}

#[test]
fn a_trunk_that_fails_is_an_incident_of_the_trunk_and_not_of_its_gateway() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(6, &|it| if it.trunk == "t3" { Class::CallNetworkFailed } else { Class::Ok });
    assert_eq!(desk.told(), [(Change::Opened, "trunk t3".to_owned())]);
    let incident = desk.judge.incidents().next().expect("open");
    assert!(incident.widespread);
    assert_eq!((incident.agents_failing, incident.agents_tested), (15, 15));
    assert_eq!(incident.finding.map(crate::record::Finding::name), Some("line.down"));
    assert_eq!(incident.shared, ["trunk=t3", "gateway=g2", "transport=udp", "platform=prod"]);
}

#[test]
fn a_gateway_that_fails_is_one_incident() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    let class = |it: &Attempt| if it.at.is_multiple_of(8) { Class::CallTimeout } else { Class::CallNetworkFailed };
    desk.minutes(6, &|it| if it.gateway == "g2" { class(it) } else { Class::Ok });
    assert_eq!(desk.told(), [(Change::Opened, "gateway g2".to_owned())], "503 and no answer are one fault");
    let incident = desk.judge.incidents().next().expect("open");
    assert_eq!(incident.finding.map(crate::record::Finding::name), Some("gateway.down"));
}

#[test]
fn everything_that_fails_is_the_platform() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(3, &|_| Class::CallServerError);
    assert_eq!(desk.told(), [(Change::Opened, "platform prod".to_owned())]);
}

#[test]
fn everything_that_fails_from_one_site_only_is_the_probes_own_site() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(8, &|it| if it.site == "s1" { Class::TransportUnreachable } else { Class::Ok });
    assert_eq!(desk.told(), [(Change::Opened, "probe_site s1".to_owned())]);
}

#[test]
fn calls_under_way_when_their_site_went_away_do_not_make_it_one_that_fails_in_part() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    let gone = |it: &Attempt| if it.site == "s1" { Class::TransportUnreachable } else { Class::Ok };
    desk.minutes(1, &gone);
    for agent in [1, 4, 7, 10] {
        let long = Attempt { took: Duration::from_secs(75), ..attempt(desk.second, agent, agent % 5) };
        assert_eq!(long.site, "s1");
        desk.place(long, &well);
    }
    desk.minutes(7, &gone);
    assert_eq!(desk.told(), [(Change::Opened, "probe_site s1".to_owned())]);
}

#[test]
fn a_site_from_which_calls_pass_that_began_since_is_not_the_probes_own() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    let half = |it: &Attempt| if it.site == "s1" && it.at % 8 < 4 { Class::TransportUnreachable } else { Class::Ok };
    desk.minutes(8, &half);
    assert_eq!(desk.told(), [(Change::Opened, "site s1".to_owned())]);
}

#[test]
fn a_probe_that_stood_still_is_its_own_site_whatever_the_calls_had_in_common() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    let still = |it: &Attempt| it.gateway == "g2" && it.site == "s1";
    desk.minutes(8, &|it| if still(it) { Class::ProbeStalled } else { Class::Ok });
    assert_eq!(desk.told(), [(Change::Opened, "probe_site s1".to_owned())]);
}

#[test]
fn an_only_site_that_stood_still_is_named_without_controls() {
    let mut desk = Desk::new();
    let only = |desk: &mut Desk, minutes: u64, class: Class| {
        for call in 0..minutes * 15 {
            desk.second += 4;
            let mut one = attempt(desk.second, call as usize % 2, 0);
            one.site = "s0".to_owned();
            desk.place(one, &|_| class);
            desk.turn();
        }
    };
    only(&mut desk, 10, Class::Ok);
    only(&mut desk, 3, Class::ProbeStalled);
    assert_eq!(desk.told(), [(Change::Opened, "probe_site s0".to_owned())]);
}

#[test]
fn two_agents_that_fail_for_different_causes_are_two_incidents() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(8, &|it| match it.agent.as_str() {
        "a4" => Class::RegCredentials,
        "a5" => Class::CallTimeout,
        _ => Class::Ok,
    });
    let told = desk.told();
    assert_eq!(told.len(), 2, "{told:?}");
    for agent in ["single_agent a4", "single_agent a5"] {
        assert!(told.contains(&(Change::Opened, agent.to_owned())), "{told:?}");
    }
    assert!(desk.changes.iter().all(|(_, _, incident)| !incident.widespread));
}

#[test]
fn overlapping_faults_of_different_scopes_are_told_apart() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    let both = |it: &Attempt| it.trunk == "t0" || it.site == "s2";
    desk.minutes(8, &|it| if both(it) { Class::CallTimeout } else { Class::Ok });
    let mut open = desk.open();
    open.sort();
    assert_eq!(open, ["probe_site s2", "trunk t0"]);
    assert_eq!(desk.changes.len(), 2, "{:?}", desk.told());
}

#[test]
fn without_controls_the_scope_is_undetermined() {
    let mut desk = Desk::new();
    desk.minutes_of(10, 1, &well);
    desk.minutes_of(10, 1, &|_| Class::CallTimeout);
    let told = desk.told();
    assert_eq!(told, [(Change::Opened, "undetermined (single_agent a0 or probe_site s0 or platform prod)".to_owned())]);
    assert_eq!(desk.changes[0].2.undecided, Some(Undecided::NoControl));
    assert!(!desk.changes[0].2.widespread);
}

#[test]
fn two_labels_with_the_same_calls_are_named_as_a_pair() {
    let mut desk = Desk::new();
    // Only trunks t0 and t2 are used: each is its gateway.
    let calls = |desk: &mut Desk, minutes: u64, class: Class| {
        for _ in 0..minutes * 15 {
            desk.second += 4;
            desk.turn();
            let turn = (desk.second / 4) as usize;
            let attempt = attempt(desk.second, turn % AGENTS, if turn.is_multiple_of(2) { 0 } else { 2 });
            desk.place(attempt, &|it| if it.trunk == "t2" { class } else { Class::Ok });
        }
    };
    calls(&mut desk, 10, Class::Ok);
    calls(&mut desk, 4, Class::CallNetworkFailed);
    assert_eq!(desk.told(), [(Change::Opened, "undetermined (trunk t2 or gateway g2)".to_owned())]);
    let incident = &desk.changes[0].2;
    assert_eq!((incident.scope, incident.undecided), (Scope::Undetermined, Some(Undecided::SameCalls)));
    assert!(incident.widespread);
}

#[test]
fn an_incident_is_closed_when_its_calls_pass_again_for_the_hold() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(6, &|it| if it.trunk == "t3" { Class::CallNetworkFailed } else { Class::Ok });
    desk.minutes(6, &well);
    assert_eq!(desk.told()[1..], [(Change::Closed, "trunk t3".to_owned())]);
    let (at, _, incident) = &desk.changes[1];
    // Three passes of the trunk, one every twenty seconds, then three minutes.
    assert!((960 + 180..960 + 260).contains(at), "{at}");
    assert_eq!((incident.closed_at.is_some(), &incident.id), (true, &desk.changes[0].2.id));
    assert!(desk.open().is_empty());
}

#[test]
fn a_flapping_trunk_is_held_as_one_incident() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(30, &|it| {
        let down = (it.at / 120).is_multiple_of(2);
        if it.trunk == "t3" && down { Class::CallNetworkFailed } else { Class::Ok }
    });
    assert_eq!(desk.told(), [(Change::Opened, "trunk t3".to_owned())]);
}

#[test]
fn an_incident_that_comes_back_soon_keeps_its_id() {
    let mut desk = Desk::new();
    let down = |it: &Attempt| if it.trunk == "t3" { Class::CallNetworkFailed } else { Class::Ok };
    desk.minutes(10, &well);
    desk.minutes(6, &down);
    desk.minutes(12, &well);
    desk.minutes(6, &down);
    let changes: Vec<Change> = desk.changes.iter().map(|(_, change, _)| *change).collect();
    assert_eq!(changes, [Change::Opened, Change::Closed, Change::Opened]);
    assert_eq!(desk.changes[0].2.id, desk.changes[2].2.id);
    assert_eq!((desk.changes[2].2.reopened, desk.changes[2].2.closed_at), (1, None));
}

#[test]
fn a_trunk_incident_widens_to_the_gateway_whose_other_trunk_follows() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(3, &|it| if it.trunk == "t0" { Class::CallTimeout } else { Class::Ok });
    desk.minutes(5, &|it| if it.gateway == "g1" { Class::CallTimeout } else { Class::Ok });
    let told = desk.told();
    assert_eq!(told, [(Change::Opened, "trunk t0".to_owned()), (Change::Widened, "gateway g1".to_owned())]);
    assert_eq!(desk.changes[0].2.id, desk.changes[1].2.id);
}

#[test]
fn a_gateway_incident_narrows_to_the_trunk_that_goes_on_failing() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(5, &|it| if it.gateway == "g1" { Class::CallTimeout } else { Class::Ok });
    desk.minutes(10, &|it| if it.trunk == "t0" { Class::CallTimeout } else { Class::Ok });
    let told = desk.told();
    assert_eq!(told, [(Change::Opened, "gateway g1".to_owned()), (Change::Narrowed, "trunk t0".to_owned())]);
}

#[test]
fn a_platform_incident_of_which_two_trunks_are_left_is_split() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(5, &|_| Class::CallTimeout);
    desk.minutes(12, &|it| if it.trunk == "t0" || it.trunk == "t2" { Class::CallTimeout } else { Class::Ok });
    let mut open = desk.open();
    open.sort();
    assert_eq!(open, ["trunk t0", "trunk t2"], "{:?}", desk.told());
    let split = desk.changes.iter().find(|(_, change, _)| *change == Change::Split).expect("told");
    assert_eq!(split.2.split_from.as_ref(), Some(&desk.changes[0].2.id));
}

#[test]
fn two_trunk_incidents_are_merged_when_all_of_their_gateway_fails() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(4, &|it| if it.trunk == "t2" || it.trunk == "t3" { Class::CallTimeout } else { Class::Ok });
    assert_eq!(desk.open().len(), 2, "{:?}", desk.told());
    desk.minutes(4, &|it| if it.gateway == "g2" { Class::CallTimeout } else { Class::Ok });
    assert_eq!(desk.open(), ["gateway g2"], "{:?}", desk.told());
    let merged = desk.changes.iter().find(|(_, change, _)| *change == Change::Merged).expect("told");
    let wider = desk.changes.iter().find(|(_, change, _)| *change == Change::Widened).expect("told");
    assert_eq!(merged.2.merged_into.as_ref(), Some(&wider.2.id));
}

#[test]
fn a_worse_family_at_the_same_place_worsens_the_incident() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(4, &|it| if it.trunk == "t3" { Class::MediaPoorNetwork } else { Class::Ok });
    desk.minutes(4, &|it| if it.trunk == "t3" { Class::CallNetworkFailed } else { Class::Ok });
    assert_eq!(desk.told(), [(Change::Opened, "trunk t3".to_owned()), (Change::Worsened, "trunk t3".to_owned())]);
    assert_eq!((desk.changes[0].2.severity, desk.changes[1].2.severity), (Severity::Degraded, Severity::Critical));
}

#[test]
fn another_class_of_the_same_fault_reclassifies_it() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(3, &|it| if it.trunk == "t3" { Class::CallNetworkFailed } else { Class::Ok });
    desk.minutes(12, &|it| if it.trunk == "t3" { Class::CallTimeout } else { Class::Ok });
    let told: Vec<(Change, &str)> = desk.changes.iter().map(|(_, change, it)| (*change, it.symptom.name())).collect();
    assert_eq!(told, [(Change::Opened, "call.network_failed"), (Change::Reclassified, "call.timeout")]);
}

#[test]
fn a_fault_that_is_over_and_held_open_does_not_explain_away_another_that_begins() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    // Half of all calls fail: then a trunk's failures are what the platform's fault would make of its calls as well.
    desk.minutes(5, &|it| if it.at % 8 < 4 { Class::CallTimeout } else { Class::Ok });
    assert_eq!(desk.open(), ["platform prod"]);
    desk.minutes(1, &well);
    desk.minutes(6, &|it| if it.trunk == "t3" { Class::CallTimeout } else { Class::Ok });
    let opened: Vec<String> =
        desk.told().into_iter().filter(|(change, _)| *change == Change::Opened).map(|(_, place)| place).collect();
    assert_eq!(opened, ["platform prod", "trunk t3"], "{:?}", desk.told());
    assert_eq!(desk.open(), ["trunk t3"]);
}

#[test]
fn an_agent_that_is_under_test_is_called_until_it_shows_whether_it_fails() {
    let mut desk = Desk::new();
    desk.minutes(120, &well);
    let mut asked = Vec::new();
    // An agent's calls are refused in four of seven seconds.
    let half = |it: &Attempt| if it.agent == "a4" && it.at % 7 < 4 { Class::CallForbidden } else { Class::Ok };
    for _ in 0..8 {
        let before = desk.asked;
        desk.minutes(1, &half);
        asked.push(desk.asked - before);
    }
    assert_eq!(desk.told(), [(Change::Opened, "single_agent a4".to_owned())], "{asked:?}");
    assert!(asked.iter().any(|asked| *asked >= 2), "{asked:?}");
    assert!(asked.iter().all(|asked| *asked <= 6), "{asked:?}");
}

#[test]
fn calls_that_fail_for_another_cause_are_no_passes() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    // One trunk of a gateway refuses every call for who we are before it can lack the number.
    let class = |it: &Attempt| match it.trunk.as_str() {
        "t0" => Class::CallForbidden,
        "t1" => Class::CallNumberInvalid,
        _ => Class::Ok,
    };
    desk.minutes(6, &class);
    let number = desk.changes.iter().find(|(_, _, it)| it.symptom.name() == "call.number_invalid").expect("told");
    assert!(number.2.place().contains("trunk t1"), "{}", number.2.place());
}

#[test]
fn calls_that_are_set_up_slower_than_usual_are_an_incident() {
    let mut desk = Desk::new();
    desk.minutes(60, &well);
    for second in 0..400 {
        desk.second += 1;
        desk.turn();
        if second % 4 == 0 {
            let turn = (desk.second / 4) as usize;
            let mut attempt = attempt(desk.second, turn % AGENTS, turn % 5);
            if attempt.trunk == "t3" {
                attempt.srd_ms *= 4.0;
            }
            desk.place(attempt, &well);
        }
    }
    assert_eq!(desk.told(), [(Change::Opened, "trunk t3".to_owned())]);
    let incident = &desk.changes[0].2;
    assert_eq!((incident.symptom.name(), incident.severity), ("latency.high", Severity::Minor));
}

#[test]
fn background_failures_of_two_in_a_hundred_open_nothing() {
    let mut desk = Desk::new();
    let noise = std::cell::RefCell::new(crate::units::Random::new(7));
    desk.minutes(600, &|_| if noise.borrow_mut().unit() < 0.02 { Class::CallTimeout } else { Class::Ok });
    assert_eq!(desk.told(), []);
}

#[test]
fn what_has_always_failed_is_background_and_no_incident() {
    let mut desk = Desk::new();
    let random = std::cell::RefCell::new(crate::units::Random::new(3));
    desk.minutes(600, &|it| {
        let busy = it.trunk == "t1" && random.borrow_mut().unit() < 0.08;
        if busy { Class::CallCongestion } else { Class::Ok }
    });
    assert_eq!(desk.told(), []);
}

#[test]
fn results_of_our_own_making_say_nothing() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(10, &|_| Class::ProbeBackedOff);
    assert_eq!(desk.told(), []);
}

#[test]
fn repetitions_are_bounded_in_a_minute() {
    let mut desk = Desk::new();
    for i in 0..2_000 {
        let mut attempt = attempt(0, i, i % 5);
        attempt.at = i as u64;
        desk.place(attempt, &|_| Class::CallTimeout);
    }
    assert_eq!(desk.asked, Config::default().reproduce_per_minute);
}

#[test]
fn memory_is_bounded_whatever_results_carry() {
    let mut desk = Desk::new();
    let config = Config { max_values: 300, max_results: 100, max_failures: 50, ..Config::default() };
    desk.judge = Judge::new(config, desk.base);
    for i in 0..5_000usize {
        desk.second += 1;
        desk.turn();
        let mut attempt = attempt(desk.second, i, i % 5);
        attempt.trunk = format!("trunk with a long name {i}{}", "x".repeat(i % 500));
        desk.place(attempt, &|it| if it.at.is_multiple_of(3) { Class::CallTimeout } else { Class::Ok });
        let (values, results, failures) = desk.judge.held();
        assert!(values <= 300 && results <= 100 && failures <= 50, "{values} {results} {failures}");
    }
    assert!(desk.judge.values_refused() > 0);
}

#[test]
fn the_whole_state_is_stored_and_restored() {
    let mut desk = Desk::new();
    desk.minutes(10, &well);
    desk.minutes(3, &|it| if it.trunk == "t3" { Class::CallNetworkFailed } else { Class::Ok });
    let text = serde_json::to_string(desk.judge.state()).expect("serialises");
    let state: State = serde_json::from_str(&text).expect("reads back");
    // Nobody judged for a minute; the process has a clock of its own.
    desk.base += Duration::from_secs(5_000);
    desk.second += 60;
    desk.judge = Judge::restore(Config::default(), state, Duration::from_secs(60), desk.now());
    desk.minutes(6, &well);
    assert_eq!(desk.told(), [(Change::Opened, "trunk t3".to_owned()), (Change::Closed, "trunk t3".to_owned())]);
    assert_eq!(desk.changes[0].2.id, desk.changes[1].2.id);
}

#[test]
fn calls_that_are_slow_everywhere_are_of_the_platform_and_not_of_the_only_codec() {
    let mut desk = Desk::new();
    // Calls that are refused have no codec: not every call of the platform carries it.
    let refused = |it: &Attempt| if it.agent == "a4" && it.at % 600 < 60 { Class::CallForbidden } else { Class::Ok };
    desk.minutes(60, &refused);
    for second in 3600..4200_u64 {
        desk.second = second;
        desk.turn();
        if second.is_multiple_of(4) {
            let agent = (second / 4) as usize % AGENTS;
            let slow = attempt(second, agent, (agent + (second / 60) as usize) % 5);
            desk.place(Attempt { srd_ms: 2000.0, ..slow }, &well);
        }
    }
    let slow: Vec<_> = desk.changes.iter().filter(|(_, _, it)| it.symptom.name() == "latency.high").collect();
    assert_eq!(
        slow.iter().map(|(_, change, it)| (*change, it.place())).collect::<Vec<_>>(),
        [(Change::Opened, "platform prod".to_owned())]
    );
}

#[test]
fn an_incident_that_is_over_says_how_far_it_reached() {
    let mut desk = Desk::new();
    desk.judge = Judge::new(Config { window: Duration::from_secs(60), ..Config::default() }, desk.base);
    desk.minutes(10, &well);
    desk.minutes(10, &|it| if it.trunk == "t2" { Class::CallNetworkFailed } else { Class::Ok });
    desk.minutes(20, &well);
    let told: Vec<_> = desk.changes.iter().map(|(_, change, it)| (*change, it.place(), it.widespread)).collect();
    let trunk = || "trunk t2".to_owned();
    assert_eq!(told, [(Change::Opened, trunk(), true), (Change::Closed, trunk(), true)]);
}
