use std::io::{Read as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::view::{Failure, Hour, Incident, Last, LeftOut, Line, LineState, Sink, Status, Trouble};
use super::*;
use crate::incident::{About, Change, Numbers, Sheet, sample_incident};
use crate::record::{CallRecord, Class, Origin, Retry};

const TOKEN: &str = "a-token-of-many-letters";

fn record(call_id: &str, class: Class) -> CallRecord {
    let text = include_str!("../../tests/data/influx/record.json");
    let mut record: CallRecord = serde_json::from_str(text).expect("valid");
    (record.call_id, record.class, record.unmet) = (call_id.to_owned(), class, None);
    record
}

fn failed(call_id: &str) -> CallRecord {
    CallRecord {
        code: Some(503),
        code_origin: Some(Origin::Local),
        reason: Some("<b>Service</b> & more".into()),
        retry: Retry::Reproduced,
        ..record(call_id, Class::CallNetworkFailed)
    }
}

/// A view in which everything has a value somewhere.
fn view() -> View {
    let at = "2026-03-01T10:24:30Z".parse().expect("a time");
    let since = "2026-03-01T10:20:30Z".parse().expect("a time");
    let line = |name: &str, state, last: Option<CallRecord>| Line {
        name: name.to_owned(),
        check: name.split('/').next().unwrap_or(name).to_owned(),
        target: "pbx".into(),
        agent: Some("1001".into()),
        unit: Some("support".into()),
        trunk: Some("cht".into()),
        state,
        since: last.as_ref().map(|_| since),
        last: last.map(|record| Arc::new(Last::of(&record))),
        hour: Hour::new(60, 59),
        next_start: Some(at),
        ..Line::default()
    };
    let left_out = Some(LeftOut { at, why: "maintenance (weekly restart)".into() });
    let lines = vec![
        line("agents/1001", LineState::Failing, Some(failed("c-7"))),
        line("agents/1002", LineState::Interrupted, Some(failed("c-8"))),
        line("agents/1003", LineState::Ok, Some(record("c-9", Class::Ok))),
        Line { left_out, hour: Hour::default(), next_start: None, ..line("office", LineState::Unknown, None) },
    ];
    let sheet =
        |incident| Sheet::of_incident(incident, Some(&failed("c-7")), &About::default(), Vec::new(), Numbers::Shown);
    let open = sample_incident();
    let over = incident_over(&open);
    let incidents = [(Change::Opened, &open), (Change::Closed, &over)];
    let mut view = View {
        status: Status {
            watch: "taipei".into(),
            site: Some("desk".into()),
            version: "0.1.0".into(),
            time_zone: "UTC".into(),
            started_at: since,
            at,
            troubles: vec![Trouble { what: "the disk is full".into(), since }],
            sinks: vec![Sink {
                name: "influxdb".into(),
                url: "http://127.0.0.1:8086".into(),
                up: false,
                error: Some("connection refused".into()),
                written: 1_234_567,
                waiting: 1200,
                rejected: 0,
            }],
            ..Status::default()
        },
        lines,
        failures: vec![Arc::new(Failure::of(&failed("c-7"), &["ladder.txt"]))],
        incidents: incidents.iter().map(|(change, of)| Arc::new(Incident::of(*change, of, sheet(of)))).collect(),
        zone: None,
    };
    view.count();
    view
}

fn incident_over(open: &crate::incident::Incident) -> crate::incident::Incident {
    crate::incident::Incident { id: "inc-0".into(), closed_at: Some(open.updated_at), ..open.clone() }
}

fn serve(token: Option<&str>, folder: &Path) -> Server {
    let board = Board::new(Figures::default());
    board.publish(view());
    let page = Some(Reading { token: token.map(Secret::new), folder: folder.to_owned() });
    Server::start(([127, 0, 0, 1], 0).into(), board, Shows { figures: true, page }).expect("a free port")
}

/// Head and body of an answer.
fn ask(server: &Server, request: &str) -> (String, String) {
    #[expect(clippy::disallowed_methods, reason = "the readers of this test are not the product's")]
    let mut stream = std::net::TcpStream::connect(server.address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP message");
    (head.to_owned(), body.to_owned())
}

fn get_with(server: &Server, path: &str, headers: &str) -> (String, String) {
    let host = server.address;
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"))
}

fn get(server: &Server, path: &str) -> (String, String) {
    get_with(server, path, "")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn every_answer_is_what_the_openapi_document_says() {
    let folder = folder();
    let server = serve(None, folder.path());
    let document: Value = serde_json::from_str(&get(&server, "/api/v1/openapi.json").1).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 6);
    let mut operations: Vec<&Value> = paths.values().map(|path| &path["get"]["operationId"]).collect();
    operations.dedup();
    assert_eq!(operations, ["status", "lines", "failures", "incidents", "incident", "upcoming"]);
    for (path, of) in paths {
        let schema = |code: &str| &of["get"]["responses"][code]["content"]["application/json"]["schema"];
        let (head, body) = get(&server, &path.replace("{id}", "inc-1"));
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: application/json"), "{path}: {head}");
        let answer = serde_json::from_str(&body).expect("JSON");
        assert_eq!(differences(&document, schema("200"), &answer, path), [""; 0], "{body}");
    }
    for (path, code) in [("/api/v1/incidents/none", "404"), ("/api/v1/lines?state=red", "400")] {
        let (head, body) = get(&server, path);
        assert!(head.starts_with(&format!("HTTP/1.1 {code}")), "{head}");
        let of = if code == "404" { "/api/v1/incidents/{id}" } else { "/api/v1/lines" };
        let schema = &paths[of]["get"]["responses"][code]["content"]["application/json"]["schema"];
        assert_eq!(differences(&document, schema, &serde_json::from_str(&body).expect("JSON"), path), [""; 0]);
    }
}

/// Where a value is not what a schema says; of JSON Schema's words those that the document uses.
fn differences(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Some(schema) = schema.as_object() else { return Vec::new() };
    let mut found = Vec::new();
    for (word, says) in schema {
        let all = || says.as_array().into_iter().flatten();
        match word.as_str() {
            "$ref" => {
                let pointer = says.as_str().expect("a path").trim_start_matches('#');
                let named = document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
                found.extend(differences(document, named, value, at));
            }
            "type" => {
                let is = |kind: &str| match kind {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("{other}?"),
                };
                if !says.as_str().map_or_else(|| all().any(|kind| is(kind.as_str().expect("a word"))), is) {
                    found.push(format!("{at}: {value} is no {says}"));
                }
            }
            "properties" => {
                let (known, Some(fields)) = (says.as_object().expect("fields"), value.as_object()) else { continue };
                for (name, field) in fields {
                    match known.get(name) {
                        Some(schema) => found.extend(differences(document, schema, field, &format!("{at}.{name}"))),
                        None => found.push(format!("{at}.{name} is not in the document")),
                    }
                }
            }
            "required" => {
                let missing = all().filter(|name| value.get(name.as_str().expect("a name")).is_none());
                found.extend(missing.map(|name| format!("{at}: {name} is missing")));
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                found.extend(items.flat_map(|(n, item)| differences(document, says, item, &format!("{at}[{n}]"))));
            }
            "enum" if !all().any(|one| one == value) => found.push(format!("{at}: {value} is none of {says}")),
            "const" if says != value => found.push(format!("{at}: {value} is not {says}")),
            "anyOf" | "oneOf" if !all().any(|one| differences(document, one, value, at).is_empty()) => {
                found.push(format!("{at}: {value} is none of {says}"));
            }
            "enum" | "const" | "anyOf" | "oneOf" | "description" | "format" | "minimum" | "maximum" | "title" => {}
            "additionalProperties" | "default" => {}
            other => panic!("what does `{other}` say?"),
        }
    }
    found
}

#[test]
fn an_answer_that_is_not_as_the_document_says_is_found() {
    let document = openapi::document();
    let schema = serde_json::json!({ "$ref": "#/components/schemas/Hour" });
    let of = |value: Value| differences(&document, &schema, &value, "hour");
    assert_eq!(of(serde_json::json!({ "tested": 1, "passed": 1, "success_pct": null })), [""; 0]);
    assert_eq!(of(serde_json::json!({ "tested": "1", "passed": 1, "success_pct": 1, "x": 1 })).len(), 2);
    assert_eq!(of(serde_json::json!({ "tested": 1, "passed": 1 })), ["hour: \"success_pct\" is missing"]);
}

#[test]
fn lines_can_be_asked_for_by_their_state() {
    let folder = folder();
    let server = serve(None, folder.path());
    let lines: Value = serde_json::from_str(&get(&server, "/api/v1/lines?state=failing").1).expect("JSON");
    let names: Vec<&Value> = lines["lines"].as_array().expect("lines").iter().map(|line| &line["name"]).collect();
    assert_eq!(names, ["agents/1001"]);
    let status: Value = serde_json::from_str(&get(&server, "/api/v1/status").1).expect("JSON");
    assert_eq!(
        status["lines"],
        serde_json::json!({ "total": 4, "ok": 1, "interrupted": 1, "failing": 1, "unknown": 1 })
    );
    assert_eq!(status["incidents_open"], 1);
}

#[test]
fn the_page_says_it_in_words_and_lets_nothing_of_others_through() {
    let folder = folder();
    let (head, page) = get(&serve(None, folder.path()), "/");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("content-type: text/html; charset=utf-8"), "{head}");
    let (_, style) = page.split_once("<style>").expect("a style");
    let (style, _) = style.split_once("</style>").expect("its end");
    let policy = format!(
        "content-security-policy: default-src 'none'; style-src 'sha256-{}'; script-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        STANDARD.encode(Sha256::digest(style)),
    );
    for header in
        [&*policy, "x-content-type-options: nosniff", "referrer-policy: no-referrer", "cache-control: no-store"]
    {
        assert!(head.contains(header), "{header} in {head}");
    }
    // The template engine writes each slash of a value so.
    let page = page.replace("&#x2f;", "/").replace("<span aria-hidden=\"true\">! </span>", "");
    for words in [
        "<h1>1 of 4 lines fail; 1 briefly interrupted; 1 incident open, widespread; influxdb is away, its results wait on disk.</h1>",
        "<title>✗ 1 incident · taipei</title>",
        "trunk cht: <code>line.down</code>",
        "12 of 13 calls, 5 of 6 agents, widespread",
        "503 (10×), 408 (2×)",
        "since 10:20:30 (4 min)",
        "59 of 60 (98.3 %)",
        "since then left out: maintenance (weekly restart)",
        "<b>Trouble with the watch itself</b>",
        "connection refused. 1\u{202f}200 results wait on disk, none is lost.",
        "<a href=\"/evidence/c-7/ladder.txt\">ladder.txt",
        "Tax id               (missing)",
        "503 (concluded here)",
        "1\u{202f}234\u{202f}567",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert!(page.contains("&lt;b&gt;Service&lt;/b&gt; &amp; more"), "texts of others are escaped");
    for foreign in ["http://www", "https://", "style=", "onclick", "<script>"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn a_page_without_a_line_and_a_watch_that_stands_still_are_said_plainly() {
    let empty = page::render(&View::default(), None, &[]);
    assert!(empty.contains("<h1>There is no line.</h1>") && empty.contains("There is no line.</p>"), "{empty}");
    let old = page::render(&view(), Some(Duration::from_secs(75)), &[]);
    assert!(old.contains("The watch stands still, for 1 min: all of this is old."), "{old}");
}

#[test]
fn lines_of_a_check_with_many_come_when_it_is_unfolded() {
    let line = |check: &str, n: usize| Line { name: format!("{check}/{n}"), check: check.into(), ..Line::default() };
    let lines = (0..1000).map(|n| line("all agents", n)).chain((0..3).map(|n| line("desk", n))).collect();
    let many = View { lines, ..View::default() };
    let folded = page::render(&many, None, &[]);
    let rows = |page: &str| page.matches("<th scope=\"row\">").count();
    assert_eq!(rows(&folded), 3, "{folded}");
    let own = folded.len() - page::STYLE.len();
    assert!(own < 20_000, "{own} bytes beside the style");
    let link = "<a href=\"&#x2f;?unfold=all+agents#check-all agents\">Show all 1\u{202f}000 lines</a>";
    assert!(folded.contains(link), "{folded}");
    let unfolded = page::render(&many, None, &["all agents".to_owned()]);
    assert_eq!(rows(&unfolded), 1003);
    assert!(!unfolded.contains("Show all"), "nothing is left to unfold");
    // What is asked for as an address.
    let folder = folder();
    let server = serve(None, folder.path());
    assert!(get(&server, "/?unfold=agents&unfold=desk").0.starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn a_page_elsewhere_that_claims_to_be_this_machine_is_refused() {
    let folder = folder();
    let server = serve(None, folder.path());
    for path in ["/", "/api/v1/status", "/evidence/c-7/ladder.txt"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n");
        let (head, body) = ask(&server, &request);
        assert!(head.starts_with("HTTP/1.1 421") && body.contains("ask for 127.0.0.1"), "{path}: {head}");
    }
    assert_eq!(get(&server, "/healthz").1, "ok\n");
}

#[test]
fn with_a_token_nothing_of_the_lines_is_shown_to_who_has_it_not() {
    let folder = folder();
    let server = serve(Some(TOKEN), folder.path());
    for path in ["/", "/api/v1/status", "/api/v1/openapi.json", "/evidence/c-7/ladder.txt"] {
        let (head, body) = get(&server, path);
        assert!(head.starts_with("HTTP/1.1 401") && head.contains("www-authenticate: Bearer"), "{path}: {head}");
        assert_eq!(body, "{\"error\":\"the token is asked for\"}", "{path}");
        let (head, _) = get_with(&server, path, &format!("Authorization: Bearer {TOKEN}\r\n"));
        assert!(head.starts_with("HTTP/1.1 200") || path.starts_with("/evidence"), "{path}: {head}");
    }
    let (head, form) = get_with(&server, "/", "Accept: text/html\r\n");
    assert!(
        head.starts_with("HTTP/1.1 401") && form.contains("Token of this watch") && !form.contains("1001"),
        "{form}"
    );
    for path in ["/assets/page.js", "/assets/icon.svg", "/healthz", "/metrics"] {
        assert!(get(&server, path).0.starts_with("HTTP/1.1 200"), "{path}");
    }
}

#[test]
fn a_token_in_the_address_or_the_form_becomes_a_cookie() {
    let folder = folder();
    let server = serve(Some(TOKEN), folder.path());
    let (head, _) = get(&server, &format!("/?token={TOKEN}"));
    assert!(head.starts_with("HTTP/1.1 303") && head.contains("location: /\r\n"), "{head}");
    let body = format!("token={TOKEN}");
    let form =
        format!("POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for head in [head, ask(&server, &form).0] {
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
        assert!(cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains(TOKEN), "{cookie}");
        let value = cookie.split(';').next().expect("a value");
        let (head, page) = get_with(&server, "/", &format!("Cookie: {value}\r\n"));
        assert!(head.starts_with("HTTP/1.1 200") && page.contains("agents&#x2f;1001"), "{head}");
    }
    let (head, page) = get_with(&server, "/?token=wrong", "Accept: text/html\r\n");
    assert!(head.starts_with("HTTP/1.1 401") && page.contains("This is not the token."), "{head}");
}

#[test]
fn evidence_is_shown_from_its_folder_and_from_nowhere_else() {
    let folder = folder();
    let of_call = folder.path().join("evidence/c-7");
    std::fs::create_dir_all(&of_call).expect("a folder");
    std::fs::write(of_call.join("ladder.txt"), "INVITE ─►\n").expect("written");
    std::fs::write(folder.path().join("calls.jsonl"), "secret").expect("written");
    let server = serve(None, folder.path());
    let (head, body) = get(&server, "/evidence/c-7/ladder.txt");
    assert!(head.contains("content-type: text/plain; charset=utf-8") && body == "INVITE ─►\n", "{head}");
    for path in [
        "/evidence/../calls.jsonl",
        "/evidence/c-7/..%2f..%2fcalls.jsonl",
        "/evidence/%2e%2e/calls.jsonl",
        "/evidence/c-7/.hidden",
        "/evidence/c-7/none.txt",
        "/evidence/c-7/",
        "/calls.jsonl",
    ] {
        let (head, body) = get(&server, path);
        assert!(head.starts_with("HTTP/1.1 404") && !body.contains("secret"), "{path}: {head}");
    }
}

#[test]
fn where_figures_alone_are_shown_there_is_no_page() {
    let shows = Shows { figures: true, page: None };
    let server = Server::start(([127, 0, 0, 1], 0).into(), Board::new(Figures::default()), shows).expect("a free port");
    assert!(get(&server, "/metrics").0.starts_with("HTTP/1.1 200"));
    assert!(get(&server, "/").0.starts_with("HTTP/1.1 404"));
}
