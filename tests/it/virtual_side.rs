//! `request` steps in virtual time: what is asked, what of the answers decides, and what later steps make of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringfleet::record::{Class, SideFault};
use ringfleet::station::side::{News, Order, Wish};

use crate::virtual_net::{World, caller, compiled};

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
/// A lab that has an application; here the test itself is it.
const LAB: &str = "lab: desk\napplication: {}\naccounts: { users: \"1001..1004\", password: lab-secret }\n";

/// What was asked: `POST /sign-in {...}`.
type Asked = Rc<RefCell<Vec<String>>>;

/// One caller with these steps, in a world whose application answers `answers` one after the other.
fn world(steps: &str, answers: Vec<Vec<(Duration, News)>>) -> (World, Asked) {
    let text = format!(
        "scenario: side\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
    );
    let mut world = World::new(compiled(&text, LAB));
    let (asked, mut answers) = (Asked::default(), answers.into_iter());
    let heard = Rc::clone(&asked);
    world.application = Some(Box::new(move |order: &Order| {
        let (word, request) = match &order.wish {
            Wish::Ask(request) => (request.method.name(), request),
            Wish::Say(request) => ("WS", request),
            Wish::Leave => {
                heard.borrow_mut().push("leave".to_owned());
                return Vec::new();
            }
        };
        let body = request.body.as_ref().map_or_else(String::new, |body| format!(" {}", body.reveal()));
        let headers: String =
            request.headers.iter().map(|(name, value)| format!(" {name}={}", value.reveal())).collect();
        heard.borrow_mut().push(format!("{word} {}{body}{headers}", request.url.reveal()));
        answers.next().unwrap_or_default()
    }));
    (world, asked)
}

fn answered(number: u32, status: u16, body: &str) -> News {
    News::Answered { number, status, body: body.into() }
}

#[test]
fn what_one_answer_holds_fills_the_next_request_and_the_number_that_is_dialled() {
    let steps = "[{ request: { url: /sign-in, json: { user: \"{{ account.user }}\", password: \"{{ account.password }}\", \
                 seat: 3 }, capture: { token: /session/token, echo: /numbers/0 } } }, \
                 { request: { url: \"/state?of={{ token }}\", headers: { Authorization: \"Bearer {{ token }}\" }, \
                 expect: { status: [200, 204], json: { /state: ready, /calls: 0 } } } }, \
                 { dial: { number: \"{{ echo }}\", media: none } }, hangup]";
    let signed_in = r#"{"session":{"token":"t-7"},"numbers":["2000"]}"#;
    let answers = vec![
        vec![(20 * MS, answered(1, 200, signed_in))],
        vec![(5 * MS, answered(2, 200, r#"{"state":"ready","calls":0.0}"#))],
    ];
    let (mut world, asked) = world(steps, answers);
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.unmet.as_deref(), record.to.as_deref()), (Class::Ok, None, Some("2000")));
    assert_eq!(
        *asked.borrow(),
        [
            r#"POST /sign-in {"user":"1001","password":"lab-secret","seat":3}"#,
            "GET /state?of=t-7 Authorization=Bearer t-7",
            "leave",
        ]
    );
    let shown: Vec<(&str, Option<u16>, f64)> =
        record.requests.iter().map(|it| (it.request.as_str(), it.status, it.took_ms)).collect();
    assert_eq!(shown, [("POST /sign-in", Some(200), 20.0), ("GET /state", Some(200), 5.0)], "no query, no token");
    let written = serde_json::to_string(record).expect("serialises");
    assert!(!written.contains("t-7") && !written.contains("lab-secret"), "{written}");
}

#[test]
fn an_answer_that_is_not_as_expected_ends_the_attempt_in_a_class_of_its_own() {
    let request =
        |more: &str| format!("[register, {{ request: {{ url: /x{more} }} }}, {{ dial: {{ number: echo }} }}]");
    let cases = [
        (", expect: { within: 1s }", vec![], Class::SideTimeout, "no answer within 1s"),
        ("", vec![(MS, answered(1, 403, "{}"))], Class::SideRefused, "expected status 2xx, got 403"),
        (
            ", expect: { status: [201, 409] }",
            vec![(MS, answered(1, 200, ""))],
            Class::SideRefused,
            "expected status 201 or 409, got 200",
        ),
        (
            ", expect: { json: { /state: ready } }",
            vec![(MS, answered(1, 200, r#"{"state":"paused"}"#))],
            Class::SideUnexpected,
            "expected \"ready\" at /state, there is \"paused\"",
        ),
        (
            ", expect: { json: { /state: ready } }",
            vec![(MS, answered(1, 200, "{}"))],
            Class::SideUnexpected,
            "expected \"ready\" at /state, there is nothing",
        ),
        (
            ", capture: { token: /token }",
            vec![(MS, answered(1, 200, "<html>"))],
            Class::SideUnexpected,
            "the answer is no JSON",
        ),
        (
            ", capture: { token: /token }",
            vec![(MS, answered(1, 200, r#"{"token":["t-7"]}"#))],
            Class::SideUnexpected,
            "there is no text, number or truth value of one line at /token for `token`",
        ),
        (
            "",
            vec![(
                MS,
                News::Failed { number: 1, fault: SideFault::Unreachable, text: "cannot connect: refused".into() },
            )],
            Class::SideUnreachable,
            "cannot connect: refused",
        ),
    ];
    for (more, answers, class, why) in cases {
        let (mut world, _) = world(&request(more), vec![answers]);
        world.run(MINUTE);
        let record = world.record();
        assert_eq!(record.class, class, "{more}: {record:#?}");
        assert_eq!(record.unmet, Some(format!("request: GET /x: {why}")));
        assert!(!record.invited && record.is_failed(), "the call is not placed");
        assert_eq!(world.pbx.bindings(world.now), 0, "and the binding is removed");
    }
}

#[test]
fn what_was_captured_and_is_no_number_is_not_dialled() {
    let steps = "[{ request: { url: /next, capture: { number: /number } } }, { dial: { number: \"{{ number }}\", media: none } }]";
    for number in ["2000@elsewhere.example", "2000;phone-context=x", "20 00", "112"] {
        let answer = format!("{{\"number\":\"{number}\"}}");
        let (mut world, _) = world(steps, vec![vec![(MS, answered(1, 200, &answer))]]);
        world.run(MINUTE);
        let record = world.record();
        let class = if number == "112" { Class::ProbeInterrupted } else { Class::SideUnexpected };
        assert_eq!((record.class, record.invited), (class, false), "{number}: {record:#?}");
        assert!(record.unmet.as_deref().is_some_and(|why| why.starts_with("dial: ")), "{:?}", record.unmet);
    }
}

#[test]
fn messages_of_a_websocket_that_came_unasked_wait_for_the_step_that_listens() {
    let steps = "[{ request: { url: /events, via: websocket } }, { wait: 1s }, \
                 { request: { url: /events, via: websocket, expect: { json: { /state: ready } }, capture: { id: /id } } }, \
                 { request: { url: /events, via: websocket, json: { bye: \"{{ id }}\" }, \
                 expect: { json: { /state: gone }, within: 2s } } }]";
    let message = |text: &str| News::Message(text.to_owned());
    let answers = vec![
        vec![
            (3 * MS, News::Said { number: 1 }),
            (100 * MS, message(r#"{"state":"not_ready"}"#)),
            (200 * MS, message("noise")),
            (300 * MS, message(r#"{"state":"ready","id":12}"#)),
            // An answer to a question that was not asked yet counts for nothing.
            (400 * MS, message(r#"{"state":"gone"}"#)),
        ],
        vec![(MS, News::Said { number: 2 })],
        vec![(MS, News::Said { number: 3 }), (700 * MS, message(r#"{"state":"gone"}"#))],
    ];
    let (mut world, asked) = world(steps, answers);
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.unmet.as_deref()), (Class::Ok, None));
    let took: Vec<f64> = record.requests.iter().map(|request| request.took_ms).collect();
    assert_eq!(took, [3.0, 0.0, 700.0]);
    assert_eq!(*asked.borrow(), ["WS /events", "WS /events", r#"WS /events {"bye":"12"}"#, "leave"]);
}

#[test]
fn a_websocket_that_never_tells_what_is_waited_for_says_what_it_told_last() {
    let listen = "[{ request: { url: /events, via: websocket, expect: { json: { /state: ready }, within: 2s } } }]";
    let said = vec![(MS, News::Said { number: 1 }), (MS, News::Message(r#"{"state":"paused"}"#.into()))];
    let (mut told, _) = world(listen, vec![said]);
    told.run(MINUTE);
    assert_eq!(told.record().class, Class::SideUnexpected);
    let why = "request: WS /events: no message as expected within 2s; of the last expected \"ready\" at /state, there is \
               \"paused\"";
    assert_eq!(told.record().unmet.as_deref(), Some(why));
    let (mut silent, _) = world(listen, vec![vec![(MS, News::Said { number: 1 })]]);
    silent.run(MINUTE);
    assert_eq!(silent.record().class, Class::SideTimeout);
    let closed = vec![(MS, News::Said { number: 1 }), (9 * MS, News::Closed("closed (1008 signed out)".into()))];
    let (mut closed, _) = world(listen, vec![closed]);
    closed.run(MINUTE);
    assert_eq!(closed.record().class, Class::SideUnreachable);
    assert_eq!(closed.record().unmet.as_deref(), Some("request: WS /events: closed (1008 signed out)"));
}

#[test]
fn a_call_that_is_up_is_hung_up_when_a_request_in_it_fails() {
    let steps =
        "[{ dial: { number: echo, media: none } }, { request: { url: /note, json: {} } }, { wait: 5s }, hangup]";
    let (mut world, _) = world(steps, vec![vec![(MS, answered(1, 500, ""))]]);
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.hangup_by.as_deref(), record.code), (Class::SideRefused, Some("us"), Some(200)));
}

#[test]
fn a_run_that_is_stopped_waits_for_no_answer() {
    let (mut world, asked) = world("[{ request: { url: /x, expect: { within: 5m } } }]", vec![]);
    world.pass(Duration::from_secs(1));
    world.stop();
    assert!(world.done);
    assert_eq!(world.record().class, Class::ProbeInterrupted);
    assert_eq!(*asked.borrow(), ["GET /x", "leave"]);
}

#[test]
fn a_phone_that_answers_by_itself_does_so_after_two_seconds_unless_another_time_is_written() {
    let text = |auto: &str| {
        format!(
            "scenario: auto\ntarget: lab\nactors:\n  agent: {{ account: agents, registered: standing, steps: [{{ answer: {{ \
             media: none, auto_answer: {auto} }} }}, talk] }}\n  customer: {{ account: agents, steps: [{{ dial: {{ number: \
             \"{{{{ agent.user }}}}\", media: none }} }}, hangup] }}\nload: {{ calls: 1 }}\n"
        )
    };
    for (auto, ring_ms) in [("true", 2000.0..2010.0), ("1500ms", 1500.0..1510.0), ("false", 0.0..10.0)] {
        let mut world = World::new(compiled(&text(auto), ""));
        world.run(MINUTE);
        let customer = &world.primary[0];
        assert!(customer.ring_ms.is_some_and(|ms| ring_ms.contains(&ms)), "{auto}: {:?}", customer.ring_ms);
    }
}

#[test]
fn a_scenario_without_requests_asks_nothing() {
    let mut world = World::new(caller("[register]", "{ calls: 1 }"));
    world.run(MINUTE);
    assert!(world.record().requests.is_empty());
}
