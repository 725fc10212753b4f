//! `junit.xml`, for CI servers: one suite for the scenario, one case for each expectation, the implied ones included.
//!
//! The first case says whether the run can be judged at all. Where it cannot (interrupted, not started, generator
//! limited) that case is an error and the expectations are skipped: what such a run measured proves nothing, in either
//! direction. Escaping is the library's.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::expectations::ExpectationResult;
use super::summary::Summary;
use super::verdict::Verdict;

/// The file's text.
pub fn render(summary: &Summary) -> String {
    let mut report = Report::new("ringfleet");
    report.set_time(elapsed(summary));
    report.add_test_suite(suite(summary));
    report.to_string().expect("writing to memory does not fail, and the library drops what XML cannot hold")
}

fn suite(summary: &Summary) -> TestSuite {
    let mut suite = TestSuite::new(&summary.scenario);
    suite.set_time(elapsed(summary));
    suite.extra.insert("timestamp".into(), summary.started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
    suite.add_property(("verdict", summary.verdict.words()));
    suite.add_property(("target", summary.target.as_str()));
    let judged = matches!(summary.verdict, Verdict::Pass | Verdict::Fail);
    let complete = if judged { TestCaseStatus::success() } else { error(summary.verdict.words(), &summary.headline) };
    suite.add_test_case(case(summary, "the run is complete and this machine kept up", complete));
    for expectation in &summary.expectations {
        let status = if judged { outcome(expectation) } else { skipped() };
        suite.add_test_case(case(summary, &expectation.text, status));
    }
    suite.set_system_out(summary.headline.as_str());
    suite
}

fn case(summary: &Summary, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("ringfleet.{}", summary.scenario));
    case
}

fn outcome(expectation: &ExpectationResult) -> TestCaseStatus {
    if expectation.pass {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type("expectation").set_message(measured(expectation));
    if let Some(note) = &expectation.note {
        status.set_description(note.as_str());
    }
    status
}

fn measured(expectation: &ExpectationResult) -> String {
    expectation.actual.as_ref().map_or_else(|| "not measured".to_owned(), |actual| format!("measured {actual}"))
}

fn error(kind: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(kind).set_message(message);
    status
}

fn skipped() -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message("the run cannot be judged");
    status
}

fn elapsed(summary: &Summary) -> Duration {
    Duration::try_from(summary.ended_at.duration_since(summary.started_at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{expectations, records, summary};
    use super::super::{Ending, Health};
    use super::*;

    #[test]
    fn expectations_are_cases_and_failures_say_what_was_measured() {
        let expected = expectations(&["asr < 10%", "answered == 10", "p(99) of rrd_ms < 5"]);
        let summary = summary(&records(10), &expected, Ending::Complete, Health::default());
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="ringfleet" tests="5" skipped="0" failures="3" errors="0" time="20.000">
    <testsuite name="outbound-dial" tests="5" skipped="0" errors="0" failures="3" time="20.000" timestamp="2026-01-02T03:04:05Z">
        <properties>
            <property name="verdict" value="fail"/>
            <property name="target" value="lab"/>
        </properties>
        <testcase name="the run is complete and this machine kept up" classname="ringfleet.outbound-dial"/>
        <testcase name="each: outcome answered, audio two_way" classname="ringfleet.outbound-dial">
            <failure message="measured 10 of 13" type="expectation">busy-1: not answered: call.callee_busy (486)</failure>
        </testcase>
        <testcase name="asr &lt; 10%" classname="ringfleet.outbound-dial">
            <failure message="measured 76.923" type="expectation"/>
        </testcase>
        <testcase name="answered == 10" classname="ringfleet.outbound-dial"/>
        <testcase name="p(99) of rrd_ms &lt; 5" classname="ringfleet.outbound-dial">
            <failure message="not measured" type="expectation">not measured</failure>
        </testcase>
        <system-out>10 of 13 calls were answered; the most frequent fault is call.callee_busy (2): The called party is busy.</system-out>
    </testsuite>
</testsuites>
"#;
        assert_eq!(render(&summary), expected);
    }

    #[test]
    fn a_run_that_cannot_be_judged_is_an_error_and_skips_what_it_measured() {
        let xml = render(&summary(&records(10), &expectations(&[]), Ending::Interrupted, Health::default()));
        assert!(xml.contains(r#"tests="2" skipped="1" failures="0" errors="1""#), "{xml}");
        assert!(xml.contains(r#"<error message="The run was interrupted after"#), "{xml}");
        assert!(xml.contains(r#"<skipped message="the run cannot be judged"/>"#), "{xml}");
    }

    #[test]
    fn implied_expectations_are_cases_and_hostile_text_is_escaped() {
        let mut records = records(2);
        records[1].unmet = Some("dial: got 200 \u{1}\"<b>&".into());
        let xml = render(&summary(&records, &[], Ending::Complete, Health::default()));
        assert!(xml.contains(r#"<testcase name="every expectation of a step is met""#), "{xml}");
        assert!(xml.contains(r#"<testcase name="no attempt fails""#), "{xml}");
        assert!(xml.contains("&lt;b&gt;&amp;") && !xml.contains("<b>") && !xml.contains('\u{1}'), "{xml}");
    }
}
