use std::collections::BTreeMap;
use std::time::Duration;

use super::super::samples::{answered, refused, timed_out};
use super::super::tally::{BackOff, LatencyFrom, Tally};
use super::*;

/// Eight answered calls (setup 100 to 800 ms), one busy, one without response.
fn totals() -> Totals {
    let mut totals = empty();
    (1..=8).for_each(|i| totals.tally.add(&answered(10.0, 100.0 * f64::from(i)).outcome()));
    totals.tally.add(&refused(486, Class::CallCalleeBusy).outcome());
    totals.tally.add(&timed_out().outcome());
    totals
}

fn empty() -> Totals {
    Totals {
        tally: Tally::new(LatencyFrom::Actual),
        planned: Some(10),
        dropped: 0,
        back_off: BackOff::default(),
        warm_up: 0,
        ended_early: None,
        closed: false,
        beside: BTreeMap::new(),
        peak_concurrent: 4,
        peak_cps: 5.0,
        elapsed: Duration::from_secs(5),
    }
}

fn parse(text: &str) -> Threshold {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    text.parse::<Threshold>().expect_err(text).to_string()
}

#[test]
fn thresholds_are_compared_with_the_totals() {
    let table = [
        ("p(50) of setup_ms <= 400", Some(400.0), true),
        ("p(99) of setup_ms < 500", Some(800.0), false),
        ("p(99) of setup_ms < 1s", Some(800.0), true),
        ("max of setup_ms == 800ms", Some(800.0), true),
        ("min of setup_ms>=100", Some(100.0), true),
        ("avg of setup_ms < 450", Some(450.0), false),
        ("asr >= 80%", Some(80.0), true),
        ("asr >= 80", Some(80.0), true),
        ("ner > 90 %", Some(90.0), false),
        ("count(call.timeout) == 0", Some(1.0), false),
        ("count( call.* ) == 2", Some(2.0), true),
        ("count(486) == 1", Some(1.0), true),
        ("count(408) == 0", Some(0.0), true),
        ("rate(call.timeout) <= 10%", Some(10.0), true),
        ("rate(failed) < 20%", Some(20.0), false),
        ("answered == 8", Some(8.0), true),
        ("attempted != 10", Some(10.0), false),
        ("failed <= 2", Some(2.0), true),
        ("peak_concurrent >= 4", Some(4.0), true),
        ("cps == 2", Some(2.0), true),
        ("acd_s == 10s", Some(10.0), true),
        ("acd_s < 9000ms", Some(10.0), false),
        ("dropped == 0", Some(0.0), true),
    ];
    for (text, actual, pass) in table {
        assert_eq!(parse(text).evaluate(&totals()), Evaluation { actual, pass }, "{text}");
        assert_eq!(parse(text).to_string(), text);
    }
}

#[test]
fn what_was_not_measured_does_not_pass() {
    for text in ["p(99) of srd_ms < 500", "asr >= 0", "count(call.timeout) == 0", "failed == 0", "ira < 1%"] {
        assert_eq!(parse(text).evaluate(&empty()), Evaluation { actual: None, pass: false }, "{text}");
    }
    assert!(parse("attempted == 0").evaluate(&empty()).pass);
    assert_eq!(parse("p(10) of mos_cq >= 4.0").evaluate(&totals()).actual, None, "no call had media");
}

#[test]
fn a_mistake_is_answered_with_what_to_write() {
    let table = [
        ("p(99) of srd < 500", "nothing is measured as `srd`; did you mean `srd_ms`?"),
        ("as >= 99%", "nothing is measured as `as`; did you mean `asr`?"),
        ("count(call.time_out) == 0", "nothing is measured as `call.time_out`; did you mean `call.timeout`?"),
        ("srd_ms < 500", "`srd_ms` has many values: write p(99), avg, min or max of it, as in `p(99) of srd_ms < 500`"),
        ("p(99) of asr > 1", "`asr` is a single number: leave `of` and what stands before it out"),
        ("p(101) of srd_ms < 1", "`p(101)` is no statistic: use p(0) to p(100), avg, min or max"),
        ("median of srd_ms < 1", "`median` is no statistic: use p(0) to p(100), avg, min or max"),
        ("asr", "there is no comparison in `asr`: write it as in `asr >= 99%` or `p(99) of srd_ms < 500`"),
        ("asr => 99", "`=>` is no comparison: use < <= > >= == or !="),
        ("asr = 99", "`=` is no comparison: use < <= > >= == or !="),
        ("asr >= many", "`many` is not a number"),
        ("asr >= 99ms", "`asr` is not measured in `ms`; use %"),
        ("p(99) of srd_ms < 5%", "`srd_ms` is not measured in `%`; use ms or s"),
        ("answered == 10s", "`answered` is not measured in `s`; leave the unit out"),
    ];
    for (text, message) in table {
        assert_eq!(error(text), message, "{text}");
    }
    assert!(error("wibble > 3").starts_with("nothing is measured as `wibble`; known are attempted, answered"));
}

#[test]
fn every_figure_and_total_is_known_by_its_name() {
    for figure in Figure::ALL {
        parse(&format!("p(99.9) of {} > 1", figure.name()));
    }
    for total in Total::ALL {
        parse(&format!("{} > 1", total.name()));
    }
    for class in Class::ALL {
        parse(&format!("count({class}) == 0"));
    }
}

#[test]
fn what_was_recorded_beside_the_attempts_is_counted_but_is_no_part_of_a_rate() {
    let mut totals = totals();
    totals.beside = [(Class::CallInboundUnexpected, 2), (Class::Ok, 1)].into();
    for (text, actual) in [
        ("count(call.inbound_unexpected) == 2", 2.0),
        ("count(call.*) == 4", 4.0),
        ("count(ok) == 8", 8.0),
        ("rate(call.inbound_unexpected) == 0%", 0.0),
        ("attempted == 10", 10.0),
    ] {
        let evaluation = parse(text).evaluate(&totals);
        assert_eq!((evaluation.actual, evaluation.pass), (Some(actual), true), "{text}");
    }
}

#[test]
fn a_mistake_is_shown_where_it_stands() {
    let shown = |text: &str| {
        let error = text.parse::<Threshold>().expect_err("wrong");
        text[error.place(text)].to_owned()
    };
    assert_eq!(shown("p(99) of srd < 500"), "srd");
    assert_eq!(shown("p(999) of srd_ms < 500"), "p(999)");
    assert_eq!(shown("asr => 99%"), "=>");
    assert_eq!(shown("asr >= 99ms"), "ms");
    assert_eq!(shown("count(call.timeut) == 0"), "call.timeut");
    assert_eq!(shown("asr >= many"), "many");
    assert_eq!(shown("asr 99%"), "asr 99%", "what lacks stands nowhere");
}
