use super::super::samples::{expectations, records, summary, windows};
use super::super::{Ending, Health, Limit};
use super::*;
use crate::record::Class;

fn failures() -> Vec<CallRecord> {
    let mut failures = records(10).split_off(10);
    failures[0].evidence = Some("evidence/busy-1".into());
    failures
}

fn failed() -> Summary {
    let expected = expectations(&["p(99) of setup_ms < 500", "p(99) of rrd_ms < 5"]);
    summary(&records(10), &expected, Ending::Complete, Health::default())
}

fn section<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page.find(&format!("<section id=\"{id}\"")).unwrap_or_else(|| panic!("no section {id}"));
    let end = page[start..].find("</section>").expect("it is closed");
    &page[start..start + end]
}

#[test]
fn the_verdict_and_one_sentence_come_first() {
    let page = render(&failed(), &windows(10), &failures());
    let places =
        ["<title>outbound-dial", "class=\"verdict bad\"", "10 of 13 calls were answered", "id=\"expectations\""];
    let places = places.map(|part| page.find(part).unwrap_or_else(|| panic!("no {part} in {page}")));
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn the_page_needs_no_network_and_no_scripts() {
    let page = render(&failed(), &windows(10), &failures());
    for outside in ["<script", "<link", "<img", "@import", "url(", "http:", "https:", "javascript:"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn classes_say_what_they_mean_and_what_to_do() {
    let page = render(&failed(), &[], &[]);
    let faults = section(&page, "faults");
    let explanation = crate::record::explain(Class::CallCalleeBusy);
    for part in ["What went wrong", "call.callee_busy", explanation.meaning(), explanation.next_action()] {
        assert!(faults.contains(part), "{part} in {faults}");
    }
    let codes = section(&page, "codes");
    assert!(codes.contains("Busy Here") && codes.contains("concluded here"), "{codes}");
}

#[test]
fn failed_calls_link_to_their_evidence_by_a_relative_address() {
    let page = render(&failed(), &[], &failures());
    let calls = section(&page, "calls");
    assert!(calls.contains("<a href=\"evidence/busy-1/ladder.txt\">"), "{calls}");
    assert_eq!(calls.matches("<a ").count(), 1, "no evidence was kept of the others");
    assert!(calls.contains("408 (local)"), "{calls}");
}

#[test]
fn calls_that_are_not_listed_are_counted() {
    let page = render(&failed(), &[], &failures()[..1]);
    assert!(section(&page, "calls").contains("2 more failed calls"), "{page}");
}

#[test]
fn unknown_says_not_measured_and_never_0() {
    let page = render(&failed(), &windows(10), &[]);
    let times = section(&page, "times");
    assert!(
        times.contains(
            "Not measured, because it did not occur: Registration delay, Until registered, Recovery, Addresses known."
        ),
        "{times}"
    );
    assert!(section(&page, "expectations").contains("not measured"));
    let generator = section(&page, "generator");
    let turn = &generator[generator.find("Turn of a worker").expect("a row")..];
    assert!(turn[..turn.find("</tr>").expect("its end")].contains("not measured"), "{turn}");
}

#[test]
fn a_figure_that_should_have_been_measured_keeps_its_row() {
    let records = [CallRecord { mos_cq: None, mos_lq: None, ..records(1)[0].clone() }];
    let page = render(&summary(&records, &[], Ending::Complete, Health::default()), &[], &[]);
    let quality = section(&page, "quality");
    let row = &quality[quality.find("(MOS-CQ)").expect("a row")..];
    let row = &row[..row.find("</tr>").expect("its end")];
    assert!(row.contains("not measured") && row.contains("1 unknown"), "{row}");
    assert!(page.contains(r#"<b class="words">not measured</b>"#), "the tile says so too");
}

#[test]
fn expected_refusals_ask_for_no_action() {
    let mut busy = failures()[0].clone();
    busy.as_expected = Some(true);
    let page = render(&summary(&[busy], &[], Ending::Complete, Health::default()), &[], &[]);
    let faults = section(&page, "faults");
    assert!(faults.contains("Refused, as expected") && !faults.contains("to do next"), "{faults}");
}

#[test]
fn charts_are_drawn_from_three_points_on() {
    let page = render(&failed(), &windows(10), &[]);
    assert_eq!(page.matches("<svg").count(), 5, "{page}");
    assert!(!render(&failed(), &windows(2), &[]).contains("<svg"));
}

#[test]
fn names_from_the_wire_are_escaped() {
    let mut failures = failures();
    failures[0].reason = Some("<script>alert(1)</script>".into());
    failures[0].call_id = "../../x\" onclick=\"y".into();
    failures[1].to = Some("\"><u>".into());
    let mut summary = failed();
    summary.scenario = "<i>&".into();
    let page = render(&summary, &windows(3), &failures);
    for raw in ["<script", "<u>", "<i>", "\" onclick", "href=\".."] {
        assert!(!page.contains(raw), "{raw}");
    }
    assert!(page.contains("&lt;i&gt;&amp;"));
}

#[test]
fn a_failed_call_has_what_its_media_and_servers_of_ice_stumbled_over_and_whose_it_is() {
    let mut failures = failures();
    let refused = "turn:relay.test refused: 437 Mismatched allocation";
    let call = &mut failures[0];
    (call.class, call.from, call.to, call.agent) = (Class::MediaNoRelay, None, None, Some("1026".into()));
    (call.invited, call.srd_ms, call.setup_ms, call.code, call.code_origin) = (false, None, None, Some(200), None);
    (call.media_fault, call.ice_server_fault) = (Some(format!("no relay: {refused}")), Some(refused.into()));
    let calls = |failures: &[CallRecord]| section(&render(&failed(), &windows(3), failures), "calls").to_owned();
    let told = calls(&failures);
    assert_eq!(told.matches(refused).count(), 1, "once: {told}");
    assert!(told.contains("<td>1026</td>") && told.contains("<td>200 to REGISTER"), "{told}");
    failures[0].media_fault = Some("no pair of candidates worked".into());
    let told = calls(&failures);
    assert!(told.contains("no pair of candidates worked") && told.contains(refused), "{told}");
}

#[test]
fn a_single_call_has_no_percentiles_of_itself() {
    let one = &records(1)[..1];
    let summary = summary(one, &expectations(&[]), Ending::Complete, Health::default());
    let page = render(&summary, &windows(10), &[]);
    assert!(page.contains("class=\"verdict good\""));
    let times = section(&page, "times");
    assert!(times.contains(">value<") && !times.contains("99.9 %"), "{times}");
    for id in ["id=\"faults\"", "id=\"calls\"", "id=\"limits\"", "id=\"charts\""] {
        assert!(!page.contains(id), "{id}");
    }
}

#[test]
fn a_limited_generator_says_what_limited_it() {
    let health = Health { datagrams_received: 10, datagrams_lost: 10, ..Health::default() };
    let many: Vec<CallRecord> = (0..10).flat_map(|_| records(10)).collect();
    let page = render(&summary(&many, &[], Ending::Complete, health), &[], &[]);
    assert!(page.contains("class=\"verdict unsure\""));
    assert!(section(&page, "generator").contains("50.00 % of the datagrams were lost in our own sockets"), "{page}");
}

#[test]
fn limits_say_what_was_bought_and_whether_it_was_proved() {
    let mut summary = failed();
    summary.limits = vec![Limit {
        of: "concurrent_calls".into(),
        trunk: Some("trunk_a".into()),
        measured: Some(5),
        contracted: Some(30),
        finding: Some(crate::record::Finding::CallTrunkSaturated),
        code: Some(503),
        reason: Some("No lines".into()),
        proved: 2,
        ..Limit::default()
    }];
    let page = render(&summary, &[], &[]);
    for part in ["concurrent calls", "trunk_a", "call.trunk_saturated", "503 No lines", ">2 times<"] {
        assert!(section(&page, "limits").contains(part), "{part}");
    }
}

#[test]
fn a_run_that_did_not_start_is_a_page_too() {
    let not_started = Ending::NotStarted("UDP port 5060 is in use".into());
    let page = render(&summary(&[], &[], not_started, Health::default()), &[], &[]);
    assert!(page.contains("Nothing was tested: UDP port 5060 is in use."));
}

#[test]
fn a_server_of_ice_that_calls_waited_for_is_told_though_the_run_passed() {
    let mut summary = summary(&records(10), &[], Ending::Complete, Health::default());
    let told = "Fault of a STUN or TURN server: turn:a did not answer (1 call leg).";
    assert!(!render(&summary, &[], &[]).contains("STUN or TURN server"));
    summary.ice_servers.note(Some("turn:a did not answer"));
    assert!(render(&summary, &[], &[]).contains(told));
}
