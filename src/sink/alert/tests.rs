//! Bodies of every kind, mail to a tiny server, commands.

use std::io::{BufRead as _, BufReader, Write as _};
use std::thread::JoinHandle;

use serde_json::Value;

use super::*;
use crate::net::listen::listen;
use crate::scenario::watch::form::Form;
use crate::scenario::watch::{Chat, Template};
use crate::units::Secret;

fn rendered(text: &str, alert: &Alert, key: Option<&str>) -> Value {
    let body = template::Body::new(text, key.map(Secret::new)).unwrap_or_else(|what| panic!("{what}"));
    serde_json::from_slice(&body.render(alert).unwrap_or_else(|what| panic!("{what}"))).expect("JSON")
}

/// One whose texts want to break out of every format.
fn awkward() -> Alert {
    let mut alert = Alert::example(State::Firing);
    alert.message.title = "a \"b\" \\ <c> & {{ d }}".into();
    alert.message.text = "one\n\"two\" <script>\nthree".into();
    alert
}

#[test]
fn slack_gets_title_and_text_with_its_own_characters_escaped() {
    let body = rendered(include_str!("slack.json.j2"), &awkward(), None);
    assert_eq!(body["text"], "a \"b\" \\ &lt;c&gt; &amp; {{ d }}");
    assert_eq!(body["attachments"][0]["text"], "one\n\"two\" &lt;script&gt;\nthree");
    assert_eq!(body["attachments"][0]["color"], "#c62828");
}

#[test]
fn teams_gets_a_card_with_a_block_for_each_line() {
    let body = rendered(include_str!("teams.json.j2"), &awkward(), None);
    let blocks = body["attachments"][0]["content"]["body"].as_array().expect("a list");
    let texts: Vec<&Value> = blocks.iter().map(|block| &block["text"]).collect();
    assert_eq!(texts, ["a \"b\" \\ <c> & {{ d }}", "one", "\"two\" <script>", "three"]);
}

#[test]
fn pagerduty_triggers_and_resolves_under_one_key() {
    let text = include_str!("pagerduty.json.j2");
    let open = rendered(text, &Alert::example(State::Firing), Some("k3y"));
    let over = rendered(text, &Alert::example(State::Resolved), Some("k3y"));
    assert_eq!((&open["event_action"], &over["event_action"]), (&"trigger".into(), &"resolve".into()));
    assert_eq!((&open["dedup_key"], &over["dedup_key"]), (&"example/inc-1".into(), &"example/inc-1".into()));
    assert_eq!((&open["routing_key"], &open["payload"]["severity"]), (&"k3y".into(), &"critical".into()));
    assert_eq!(
        (&open["payload"]["source"], &open["payload"]["component"]),
        (&"example@desk".into(), &"trunk cht".into())
    );
    assert_eq!((&open["payload"]["class"], &open["payload"]["group"]), (&"line.down".into(), &"support".into()));
    assert_eq!(open["links"], serde_json::json!([]));
}

/// What templates of a watch file are tried with is what they get. `RINGFLEET_BLESS=1` writes it.
#[test]
fn templates_are_tried_with_what_they_get() {
    for (name, state) in [("firing", State::Firing), ("resolved", State::Resolved)] {
        let path = format!("{}/src/scenario/watch/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let alert = Alert::example(state);
        let got = serde_json::to_string_pretty(&template::Context::of(&alert, None)).expect("plain data") + "\n";
        if std::env::var_os("RINGFLEET_BLESS").is_some() {
            std::fs::write(&path, &got).expect("writable");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("there"), got, "{path}");
    }
}

#[test]
fn our_own_templates_put_only_what_there_is() {
    for text in [include_str!("slack.json.j2"), include_str!("teams.json.j2"), include_str!("pagerduty.json.j2")] {
        Form::json(text).and_then(|form| form.try_as_body(text)).unwrap_or_else(|what| panic!("{what}: {text}"));
    }
}

#[test]
fn an_address_or_a_header_that_cannot_be_is_told_without_what_it_holds() {
    let webhook = |url: &str, header: &str| How::Webhook {
        url: Secret::new(url),
        secret: None,
        headers: vec![(header.to_owned(), Secret::new("s3cret\n"))],
        template: None,
    };
    for how in
        [webhook("http://[s3cret", "X-Token"), webhook("http://127.0.0.1/", "X-Token"), webhook("http://a/", "ä b")]
    {
        let error = Sender::new("webhook", &how).expect_err("it cannot be").to_string();
        assert!(error.starts_with("webhook: ") && !error.contains("s3cret"), "{error}");
    }
    let template = Template { path: "t.json".into(), text: "{{ nothing".into() };
    let chat = How::Chat { chat: Chat::Slack, url: Secret::new("http://a/"), template: Some(template) };
    let error = Sender::new("slack", &chat).expect_err("it cannot be").to_string();
    assert!(error.starts_with("slack: the template t.json: ") && error.ends_with(", line 1"), "{error}");
}

#[test]
fn words_of_others_are_short_in_one_line_and_without_secrets() {
    let said = words(&format!("no\r\n such token s3cret {}", "x".repeat(1_000)), &["s3cret".into()]);
    assert!(said.starts_with("no such token *** xxx") && said.chars().count() == 300, "{said}");
}

fn on_tokio<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A mail server that takes one mail, or answers its RCPT with something else. Gives what it was sent.
fn mail_server(rcpt: &'static str) -> (std::net::SocketAddr, JoinHandle<String>) {
    let listener = listen("127.0.0.1:0".parse().expect("valid")).expect("listens");
    listener.set_nonblocking(false).expect("a socket");
    let address = listener.local_addr().expect("it listens");
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody comes");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let mut reader = BufReader::new(stream);
        let (mut sent, mut in_data) = (String::new(), false);
        let say =
            |stream: &mut std::net::TcpStream, text: &str| drop(stream.write_all(format!("{text}\r\n").as_bytes()));
        say(reader.get_mut(), "220 tiny");
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return sent;
            }
            sent.push_str(&line);
            let answer = match line.trim_end() {
                "." if in_data => {
                    in_data = false;
                    "250 taken"
                }
                _ if in_data => continue,
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                other if other.starts_with("RCPT") => rcpt,
                _ => "250 ok",
            };
            say(reader.get_mut(), answer);
        }
    });
    (address, server)
}

fn mail_to(address: std::net::SocketAddr) -> Sender {
    let how = How::Email {
        server: Secret::new(format!("smtp://{address}")),
        from: "Ringfleet <probe@example.com>".into(),
        to: vec!["oncall@example.com".into(), "lead@example.com".into()],
        login: None,
    };
    Sender::new("email", &how).expect("fits").expect("one by one")
}

#[test]
fn a_mail_has_subject_text_sheet_and_the_thread_of_its_incident() {
    let (address, server) = mail_server("250 ok");
    let sender = mail_to(address);
    assert_eq!(on_tokio(sender.deliver(&Alert::example(State::Firing))), Outcome::Accepted);
    drop(sender);
    let sent = server.join().expect("it took it");
    for line in [
        "RCPT TO:<oncall@example.com>",
        "RCPT TO:<lead@example.com>",
        "Subject: [critical] widespread: trunk cht line.down opened",
        "Message-ID: <example.inc-1.opened.1772360640000@ringfleet>",
        "References: <example.inc-1@ringfleet>",
        "incident-sheet.json",
        "INCIDENT SHEET",
    ] {
        assert!(sent.contains(line), "{line} in {sent}");
    }
}

#[test]
fn a_mail_server_that_has_no_time_is_asked_again_and_one_that_refuses_is_not() {
    let (address, _server) = mail_server("451 later");
    let outcome = on_tokio(mail_to(address).deliver(&Alert::example(State::Firing)));
    assert!(matches!(&outcome, Outcome::Kept(kept) if kept.because == KeptBecause::Unavailable), "{outcome:?}");
    let (address, _server) = mail_server("550 nobody of that name");
    let outcome = on_tokio(mail_to(address).deliver(&Alert::example(State::Firing)));
    assert!(matches!(&outcome, Outcome::Refused(reason) if reason.contains("nobody of that name")), "{outcome:?}");
    let (address, _server) = mail_server("535 who are you");
    let outcome = on_tokio(mail_to(address).deliver(&Alert::example(State::Firing)));
    assert!(matches!(&outcome, Outcome::Kept(kept) if kept.because == KeptBecause::Configuration), "{outcome:?}");
}

fn run(words: &[&str], time_out: Duration) -> Outcome {
    let how = How::Command { run: words.iter().map(|word| (*word).to_owned()).collect(), time_out };
    let sender = Sender::new("command", &how).expect("fits").expect("one by one");
    on_tokio(sender.deliver(&Alert::example(State::Firing)))
}

#[test]
fn a_command_gets_the_alert_on_its_input_and_nothing_of_our_environment_but_what_it_needs() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("alert.json");
    let file = file.to_str().expect("UTF-8");
    // A word with spaces is one argument: no shell reads it, but for the one that is run here.
    let script = "cat >\"$1\"; test -z \"$CARGO_MANIFEST_DIR\" && test -n \"$PATH\"";
    assert_eq!(run(&["/bin/sh", "-c", script, "a b; c", file], Duration::from_secs(10)), Outcome::Accepted);
    let alert: Alert = serde_json::from_slice(&std::fs::read(file).expect("written")).expect("JSON");
    assert_eq!(alert, Alert::example(State::Firing));
}

#[test]
fn a_command_that_fails_hangs_or_is_not_there_is_run_again_later() {
    let reason = |outcome| match outcome {
        Outcome::Kept(kept) => kept.reason,
        other => panic!("{other:?}"),
    };
    let failed = reason(run(&["/bin/sh", "-c", "echo no pager >&2; exit 3"], Duration::from_secs(10)));
    assert_eq!(failed, "/bin/sh ended with exit status: 3: no pager");
    let loud = reason(run(&["/bin/sh", "-c", "yes | head -c 1000000; exit 1"], Duration::from_secs(10)));
    assert_eq!(loud.chars().count(), 300);
    let hung = reason(run(&["/bin/sh", "-c", "sleep 600 & wait"], Duration::from_millis(200)));
    assert_eq!(hung, "/bin/sh took longer than 0 s and was ended");
    let none = reason(run(&["/no/such/program"], Duration::from_secs(1)));
    assert!(none.starts_with("/no/such/program cannot be run: No such file"), "{none}");
}
