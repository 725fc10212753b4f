use jiff::tz;

use super::*;

/// A world with both clocks.
struct World {
    now: Moment,
    calendar: Calendar,
    log: Vec<String>,
}

fn moment(wall: &str) -> Moment {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    let instant = Instant::now() + Duration::from_secs(86_400);
    Moment { instant, wall: wall.parse().expect("valid") }
}

fn check(name: &str, cadence: Cadence) -> Check {
    Check {
        name: name.into(),
        agent: "1001".into(),
        cadence,
        jitter: Duration::ZERO,
        overlap: Overlap::Skip,
        catch_up: CatchUp::None,
        maintenance: Vec::new(),
        per_day: None,
        numbers: Vec::new(),
        per_number: None,
    }
}

fn every(name: &str, seconds: u64) -> Check {
    check(name, Cadence::Every(Duration::from_secs(seconds)))
}

fn cron(name: &str, text: &str) -> Check {
    check(name, Cadence::Cron(text.parse().expect("valid")))
}

impl World {
    fn new(checks: Vec<Check>) -> Self {
        Self::at("2026-11-21T12:00:00Z", checks, Position::default())
    }

    fn at(wall: &str, checks: Vec<Check>, position: Position) -> Self {
        let now = moment(wall);
        let mut world = Self { now, calendar: Calendar::new(TimeZone::UTC, checks, position, now), log: Vec::new() };
        world.note();
        world
    }

    /// Lets time pass, waking the calendar when it wants; each start takes `lasts`.
    fn pass(&mut self, seconds: u64, lasts: Option<Duration>) {
        let end = self.now.instant + Duration::from_secs(seconds);
        let mut ends: Vec<(Instant, Arc<str>)> = Vec::new();
        loop {
            let next_end = ends.iter().map(|(at, _)| *at).min();
            let wanted = next_end.into_iter().chain([self.calendar.poll_timeout(), end]).min().expect("three");
            // After a standstill it is late for what it wants.
            let at = wanted.max(self.now.instant);
            self.now = Moment { instant: at, wall: self.now.wall + (at - self.now.instant) };
            if at == end {
                break;
            }
            if next_end == Some(at) {
                let index = ends.iter().position(|(end, _)| *end == at).expect("there is one");
                let (_, name) = ends.swap_remove(index);
                self.calendar.handle_end(&name, self.now);
            } else {
                self.calendar.handle_timeout(self.now);
            }
            for name in self.note() {
                match lasts {
                    Some(lasts) => ends.push((at + lasts, name)),
                    None => self.calendar.handle_end(&name, self.now),
                }
            }
        }
    }

    /// Nothing runs for a while: both clocks go on.
    fn stand_still(&mut self, seconds: u64) {
        self.now.instant += Duration::from_secs(seconds);
        self.step(seconds as i64);
    }

    /// The wall clock is set.
    fn step(&mut self, seconds: i64) {
        self.now.wall += SignedDuration::from_secs(seconds);
    }

    fn note(&mut self) -> Vec<Arc<str>> {
        let mut started = Vec::new();
        while let Some(event) = self.calendar.poll_event() {
            let at = self.now.wall.strftime("%d %H:%M:%S%.f");
            self.log.push(match &event {
                Event::Start { check, why, intended } => {
                    let late = (self.now.instant - *intended).as_millis();
                    format!("{at} {check} {why:?}{}", if late > 0 { format!(" late {late}") } else { String::new() })
                }
                Event::NotStarted { check, starts, why } => format!("{at} {check} not {starts}: {why:?}"),
                Event::Stepped(by) => format!("{at} stepped {}", by.as_secs()),
            });
            if let Event::Start { check, .. } = event {
                started.push(check);
            }
        }
        started
    }

    fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

#[test]
fn a_check_starts_at_its_own_offset_in_every_stretch_and_keeps_it_across_restarts() {
    let offset = every("a", 60).offset();
    assert_eq!(offset, Duration::from_millis(OFFSET_OF_A));
    let mut world = World::new(vec![every("a", 60)]);
    world.pass(180, None);
    let expected = [0, 1, 2].map(|minute| format!("21 12:0{minute}:{:.3} a Due", offset.as_secs_f64()));
    assert_eq!(world.log(), expected);
    let position = world.calendar.position();
    let mut again = World::at("2026-11-21T12:03:10Z", vec![every("a", 60)], position);
    again.pass(60, None);
    assert_eq!(again.log(), [format!("21 12:03:{:.3} a Due", offset.as_secs_f64())]);
}

/// Milliseconds into its minute of check `a` of agent 1001: fixed for ever.
const OFFSET_OF_A: u64 = 16_007;

#[test]
fn a_thousand_checks_of_one_minute_are_spread_over_it() {
    let mut seconds = [0; 60];
    for index in 0..1000 {
        seconds[every(&format!("check-{index}"), 60).offset().as_secs() as usize] += 1;
    }
    // 16.7 on average; five standard deviations of a Poisson distribution above that.
    assert!(seconds.iter().all(|starts| (1..=37).contains(starts)), "{seconds:?}");
    // The same check of another agent is another.
    let other = Check { agent: "1002".into(), ..every("a", 60) };
    assert_ne!(other.offset(), every("a", 60).offset());
}

#[test]
fn jitter_puts_each_start_off_by_another_part_of_it_and_none_is_lost() {
    let jittered = Check { jitter: Duration::from_secs(20), ..every("a", 60) };
    let mut world = World::new(vec![jittered.clone()]);
    world.pass(3600, None);
    let log = world.log();
    assert_eq!(log.len(), 60, "{log:?}");
    let mut from = "2026-11-21T12:00:00Z".parse().expect("valid");
    let mut puts_off = Vec::new();
    for minute in 0..60 {
        let due = jittered.next_due(from, &TimeZone::UTC).expect("it comes");
        let slot: Timestamp = "2026-11-21T12:00:00Z".parse().expect("valid");
        let off = due.duration_since(slot).as_millis() - minute * 60_000 - jittered.offset().as_millis() as i128;
        assert!((0..20_000).contains(&off), "{off}");
        puts_off.push(off);
        from = due;
    }
    puts_off.sort_unstable();
    puts_off.dedup();
    assert!(puts_off.len() > 50, "{puts_off:?}");
}

#[test]
fn a_cron_starts_in_its_minute_at_the_offset_of_the_check() {
    let check = cron("a", "0,30 12 * * *");
    let offset = check.offset().as_secs_f64();
    let mut world = World::new(vec![check]);
    world.pass(7200, None);
    assert_eq!(world.log(), [format!("21 12:00:{offset:06.3} a Due"), format!("21 12:30:{offset:06.3} a Due")]);
}

#[test]
fn a_start_while_the_check_is_under_way_is_left_out_or_waits_alone() {
    let long = Some(Duration::from_secs(25));
    let mut world = World::new(vec![every("a", 10)]);
    world.pass(60, long);
    let short = |log: Vec<String>| -> Vec<String> {
        log.iter().map(|line| line.split_once(" a ").expect("of a").1.to_owned()).collect()
    };
    let skipped = "not 1: UnderWay";
    assert_eq!(short(world.log()), ["Due", skipped, skipped, "Due", skipped, skipped]);
    let mut world = World::new(vec![Check { overlap: Overlap::QueueOne, ..every("a", 10) }]);
    world.pass(60, long);
    // 0 starts, 10 waits, 20 is one too many, 25 the one that waited; 30 waits, 40 is one too many, 50 …
    assert_eq!(short(world.log()), ["Due", skipped, "Queued", skipped, "Queued"]);
}

#[test]
fn nothing_starts_in_a_maintenance_and_its_reason_is_told() {
    let when = When::Recurring("0 13 * * *".parse().expect("valid"), Duration::from_secs(1800));
    let planned = Maintenance { when, reason: Some("switch".into()) };
    let once =
        When::Once("2026-11-21T14:00:00Z".parse().expect("valid"), "2026-11-21T15:00:00Z".parse().expect("valid"));
    let maintenance = vec![planned, Maintenance { when: once, reason: None }];
    let mut world = World::new(vec![Check { maintenance, ..every("a", 1200) }]);
    let offset = every("a", 1200).offset();
    assert_eq!(offset.as_secs() / 60, MINUTES_OF_A, "so the starts below fall where they do");
    world.pass(4 * 3600, None);
    let whys: Vec<String> = world.log().iter().map(|line| line.split_once(" a ").expect("of a").1.to_owned()).collect();
    let (planned, once) = ("not 1: Maintenance(Some(\"switch\"))", "not 1: Maintenance(None)");
    let expected = ["Due", "Due", "Due", planned, planned, "Due", once, once, once, "Due", "Due", "Due"];
    assert_eq!(whys, expected);
}

/// Minutes into its 20 minutes of check `a`.
const MINUTES_OF_A: u64 = 5;

#[test]
fn a_maintenance_covers_its_first_moment_and_not_its_last() {
    let when = When::Recurring("0 2 * * *".parse().expect("valid"), Duration::from_secs(3600));
    let maintenance = Maintenance { when, reason: None };
    let covers = |at: &str| maintenance.covers(at.parse().expect("valid"), &TimeZone::UTC);
    assert_eq!(
        ["2026-11-21T01:59:59Z", "2026-11-21T02:00:00Z", "2026-11-21T02:59:59.9Z", "2026-11-21T03:00:00Z"].map(covers),
        [false, true, true, false]
    );
}

#[test]
fn a_maintenance_in_the_night_of_a_clock_change_comes_once_and_lasts_as_long_as_it_says() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("valid");
    let when = When::Recurring("0 2 * * *".parse().expect("valid"), Duration::from_secs(3600));
    let maintenance = Maintenance { when, reason: None };
    for (day, begins) in [
        // There is no two o'clock: it begins at three.
        ("2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z"),
        // There are two: it begins at the first.
        ("2026-10-24T22:00:00Z", "2026-10-25T00:00:00Z"),
    ] {
        let (day, begins): (Timestamp, Timestamp) = (day.parse().expect("valid"), begins.parse().expect("valid"));
        let minutes = (0..24 * 60).map(|minute| day + SignedDuration::from_mins(minute));
        let covered: Vec<Timestamp> = minutes.filter(|at| maintenance.covers(*at, &zone)).collect();
        assert_eq!((covered.first(), covered.len()), (Some(&begins), 60));
        assert_eq!(covered.last(), Some(&(begins + SignedDuration::from_mins(59))), "in one piece");
    }
}

#[test]
fn the_budget_of_a_day_and_of_a_number_is_kept_by_all_checks_together_and_is_new_the_next_day() {
    let numbers = vec![Arc::from("2000")];
    let a = Check { per_day: Some(3), numbers: numbers.clone(), ..every("a", 3600) };
    let b = Check { numbers, per_number: Some(5), ..every("b", 3600) };
    let mut world = World::at("2026-11-21T18:00:00Z", vec![a, b], Position::default());
    world.pass(7 * 3600, None);
    let log = world.log();
    let count = |end: &str| log.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!((count("a Due"), count("a not 1: Budget")), (4, 3), "three on the first day: {log:?}");
    // Three calls to the number are those of `a`: two were left.
    assert_eq!((count("b Due"), count("b not 1: Budget")), (3, 4), "{log:?}");
    assert_eq!(world.calendar.position().spent.numbers["2000"], 2);
    assert_eq!(world.calendar.position().spent.day, Some(jiff::civil::date(2026, 11, 22)));
}

#[test]
fn a_day_that_comes_again_brings_no_new_budget() {
    let mut world =
        World::at("2026-11-22T00:00:00Z", vec![Check { per_day: Some(1), ..every("a", 60) }], Position::default());
    world.pass(70, None);
    world.step(-3600);
    world.pass(120, None);
    assert_eq!(world.log().iter().filter(|line| line.ends_with("Due")).count(), 1);
}

#[test]
fn a_call_to_reproduce_a_fault_is_spent_too() {
    let mut world = World::new(vec![Check { per_day: Some(2), ..every("a", 3600) }]);
    assert_eq!([0; 3].map(|_| world.calendar.may_repeat("a", world.now)), [true, true, false]);
    assert!(!world.calendar.may_repeat("nobody", world.now));
}

#[test]
fn starts_that_were_missed_are_counted_and_one_is_made_up_for_where_that_is_wanted() {
    let b = Check { catch_up: CatchUp::One, ..every("b", 60) };
    let mut world = World::new(vec![every("a", 60), b.clone()]);
    world.pass(60, None);
    world.log();
    // A process that was stopped: 10 minutes.
    world.stand_still(600);
    world.pass(60, None);
    let mut log = world.log();
    log.sort_unstable_by_key(|line| line.contains(" b "));
    let due = |check: Check| format!("21 12:11:{:06.3}", check.offset().as_secs_f64());
    let made_up = format!("21 12:11:{:06.3} b CaughtUp", b.wait_to_catch_up().as_secs_f64());
    let expected = ["21 12:11:00 a not 10: Missed".to_owned(), due(every("a", 60)) + " a Due"];
    assert_eq!(log[..2], expected);
    assert_eq!(log[2], "21 12:11:00 b not 9: Missed");
    assert_eq!(log[3], made_up);
}

#[test]
fn what_was_missed_while_nobody_ran_is_made_up_for_after_the_start_and_not_all_at_once() {
    let checks = || (0..100).map(|n| Check { catch_up: CatchUp::One, ..every(&format!("c{n}"), 300) }).collect();
    let mut world = World::new(checks());
    world.pass(300, None);
    let position = world.calendar.position();
    let text = serde_json::to_string(&position).expect("it is plain data");
    let position: Position = serde_json::from_str(&text).expect("as it was written");
    let mut world = World::at("2026-11-21T13:00:00Z", checks(), position);
    world.log();
    world.pass(61, None);
    let log = world.log();
    assert_eq!(log.iter().filter(|line| line.ends_with("CaughtUp")).count(), 100, "{log:?}");
    let in_first_second = log.iter().filter(|line| line.starts_with("21 13:00:00")).count();
    assert!(in_first_second < 10, "{in_first_second} at once");
}

#[test]
fn a_start_that_is_a_little_late_starts_and_says_when_it_was_meant() {
    let mut world = World::new(vec![every("a", 60)]);
    let offset = every("a", 60).offset();
    world.now.instant += offset + Duration::from_secs(2);
    world.now.wall += offset + Duration::from_secs(2);
    world.calendar.handle_timeout(world.now);
    world.note();
    assert_eq!(world.log(), [format!("21 12:00:{:06.3} a Due late 2000", offset.as_secs_f64() + 2.0)]);
}

#[test]
fn a_clock_set_forward_an_hour_starts_nothing_twice_and_catches_up_with_minutes_only() {
    let noon = Check { catch_up: CatchUp::One, ..cron("b", "30 12 * * *") };
    let mut world = World::new(vec![every("a", 600), noon]);
    world.pass(60, None);
    world.log();
    world.step(3600);
    world.pass(700, None);
    let log = world.log();
    assert!(log[0].ends_with("stepped 3600"), "{log:?}");
    let of = |check: &str| log.iter().filter(|line| line.contains(check)).count();
    assert_eq!(of(" b CaughtUp"), 1, "{log:?}");
    assert!((1..=2).contains(&of(" a Due")), "{log:?}");
    assert_eq!(of("not"), 0, "{log:?}");
}

#[test]
fn a_clock_set_back_an_hour_brings_no_silence_and_no_burst() {
    let mut world = World::new(vec![every("a", 60), cron("b", "*/5 * * * *")]);
    world.pass(600, None);
    world.log();
    world.step(-3600);
    world.pass(600, None);
    let log = world.log();
    assert!(log[0].ends_with("stepped -3600"), "{log:?}");
    let of = |check: &str| log.iter().filter(|line| line.contains(check)).count();
    assert_eq!((of(" a Due"), of(" b Due"), of("not")), (10, 2, 0), "{log:?}");
}

#[test]
fn a_clock_that_is_kept_in_step_by_small_changes_is_no_step() {
    let mut world = World::new(vec![every("a", 60)]);
    for _ in 0..100 {
        world.now.wall += SignedDuration::from_millis(20);
        world.pass(4, None);
    }
    let log = world.log();
    assert!(log.iter().all(|line| line.contains("a Due")), "{log:?}");
    assert_eq!(log.len(), 7, "402 s: {log:?}");
}

#[test]
fn the_far_side_that_wants_no_calls_gets_none_until_then() {
    let mut world = World::new(vec![every("a", 60)]);
    let until = world.now.instant + Duration::from_secs(120);
    world.calendar.pause("a", until);
    world.pass(180, None);
    let whys: Vec<String> = world.log().iter().map(|line| line.split_once(" a ").expect("of a").1.into()).collect();
    assert_eq!(whys, ["not 1: Paused", "not 1: Paused", "Due"]);
}

#[test]
fn checks_that_stay_go_on_undisturbed_when_others_are_put_in_their_place() {
    let mut world = World::new(vec![every("a", 60), every("b", 60)]);
    world.pass(30, Some(Duration::from_secs(300)));
    let before: Vec<Timestamp> = world.calendar.upcoming().filter(|it| it.0 == "a").map(|it| it.1).collect();
    world.calendar.replace(TimeZone::UTC, vec![every("c", 60), every("a", 60)], world.now);
    let after: Vec<Timestamp> = world.calendar.upcoming().filter(|it| it.0 == "a").map(|it| it.1).collect();
    assert_eq!(before, after);
    world.log();
    world.pass(90, None);
    let log = world.log();
    assert!(log.iter().all(|line| !line.contains(" b ")), "{log:?}");
    assert!(log.iter().any(|line| line.contains(" c Due")), "{log:?}");
}

#[test]
fn a_week_of_a_cron_across_both_clock_changes_has_a_start_on_each_day() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("valid");
    for (from, days) in [("2026-03-26T00:00:00+01:00", 7), ("2026-10-22T00:00:00+02:00", 7)] {
        let now = moment(from);
        let calendar = Calendar::new(zone.clone(), vec![cron("a", "30 2 * * *")], Position::default(), now);
        let mut world = World { now, calendar, log: Vec::new() };
        world.pass(days * 86_400, None);
        let log = world.log();
        assert_eq!(log.len() as u64, days, "{log:?}");
    }
}

#[test]
fn zones_are_known_by_name_without_asking_the_machine() {
    let zone = tz::TimeZoneDatabase::bundled().get("Asia/Taipei").expect("it comes with the program");
    let noon: Timestamp = "2026-11-21T04:00:00Z".parse().expect("valid");
    assert_eq!(zone.to_datetime(noon).hour(), 12);
}
