//! People are told: a watch as a process, with a receiver on loopback that keeps what it is sent.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cli::{Desk, code, text};
use crate::watching::Watching;

/// What anything may be waited for: the judge wants a minute where everything is slow.
const PATIENCE: Duration = Duration::from_secs(150);

const LAB: &str = "lab: lines\naccounts: { users: \"1001..1006\", password: secret }\n\
    extensions:\n  fine: { number: 2000, does: { echo: { answer_after: 10ms } } }\n  \
    dead: { number: 3501, does: { reject: { code: 503 } } }\n  \
    gone: { number: 3502, does: { reject: { code: 503 } } }\n";

/// A receiver that takes everything.
struct Hook {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    #[expect(clippy::disallowed_methods, reason = "the receivers of this test are not the product's")]
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let got: Arc<Mutex<Vec<Value>>> = Arc::default();
        let own = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = take(stream, &own);
            }
        });
        Self { address, got }
    }

    fn got(&self) -> Vec<Value> {
        self.got.lock().expect("not poisoned").clone()
    }

    #[expect(clippy::disallowed_methods, reason = "a test that waits for another process")]
    fn wait_until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let got = self.got();
            if holds(&got) {
                return got;
            }
            assert!(Instant::now() < end, "not {what}: {got:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Dedup keys of those in a state.
fn keys(got: &[Value], state: &str) -> BTreeSet<String> {
    let of = got.iter().filter(|alert| alert["state"] == state);
    of.map(|alert| alert["dedup_key"].as_str().expect("a text").to_owned()).collect()
}

fn take(stream: TcpStream, got: &Mutex<Vec<Value>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if let Ok(body) = serde_json::from_slice(&body) {
        got.lock().expect("not poisoned").push(body);
    }
    reader.get_mut().write_all(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n")
}

/// Six agents over two trunks, of which one refuses every call.
fn a_trunk_that_refuses(hook: &Hook, throttle: &str) -> Desk {
    let desk = Desk::new();
    desk.write("lab.yaml", LAB);
    for (name, number) in [("fine", "fine"), ("dead", "dead"), ("gone", "gone")] {
        let call = format!(
            "scenario: {name}\ntarget: lab.yaml\ncaller:\n  account: agents\n  steps:\n    \
             - {{ dial: {{ number: {number}, media: none }} }}\n    - hangup\n"
        );
        desk.write(&format!("{name}.yaml"), &call);
    }
    let check = |name: &str, trunk: &str| {
        format!(
            "  - {{ scenario: {name}.yaml, target: lab.yaml, agents: each, every: 2s, reproduce: 1, labels: {{ trunk: {trunk}, unit: \
             support }} }}\n"
        )
    };
    let address = hook.address;
    desk.write(
        "watch.yaml",
        &format!(
            "watch: w\nsite: desk\nchecks:\n{}{}{}alerts:\n  throttle: {throttle}\n  links: {{ Page: 'http://127.0.0.1/i/{{{{ id }}}}' \
             }}\n  notify:\n    - webhook: {{ url: 'http://{address}/hook' }}\n",
            check("fine", "fet"),
            check("dead", "cht"),
            check("gone", "cht"),
        ),
    );
    desk
}

#[test]
fn what_refuses_is_one_message_its_end_another_and_a_kill_in_between_repeats_one_at_most() {
    let hook = Hook::start();
    let desk = a_trunk_that_refuses(&hook, "60m");
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    let got = hook.wait_until("told", |got| !got.is_empty());
    let (alert, incident) = (&got[0], &got[0]["incident"]);
    assert_eq!((&alert["state"], &alert["change"]), (&"firing".into(), &"opened".into()), "{alert}");
    assert_eq!(incident["unit"], "support", "{alert}");
    assert_eq!((&alert["sheet"]["code"], &alert["sheet"]["trunk"]), (&503.into(), &"cht".into()), "{alert}");
    let id = incident["id"].as_str().expect("a text");
    assert_eq!(alert["links"][0]["url"], format!("http://127.0.0.1/i/{id}"));
    assert!(alert["dedup_key"] == format!("w/{id}"), "{alert}");
    watching.wait_for("[critical]");
    watching.kill();
    let shown = desk.run(&["sheet", "out", id, "--json"]);
    assert_eq!(code(&shown), Some(0), "{}", text(&shown.stderr));
    let sheet: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((&sheet["incident"], &sheet["code"]), (&id.into(), &503.into()), "{sheet}");

    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    let still = watching.wait_for(id);
    assert!(still.contains("is still open"), "{still}");
    desk.write("lab.yaml", &LAB.replace("reject: { code: 503 }", "echo: { answer_after: 10ms }"));
    watching.signal(Signal::SIGHUP);
    // On a machine that is busy the judge may see more than one incident: what was told of is over, each under its key.
    hook.wait_until("over", |got| keys(got, "firing") == keys(got, "resolved"));
    assert_eq!(watching.end(), Some(0));
    let got = hook.got();
    // What was posted and not yet noted as delivered when the watch was killed comes once more, the same by its id.
    let (ids, first) = (got.iter().map(|alert| alert["id"].as_str().expect("a text")), &got[0]);
    let once: BTreeSet<&str> = ids.clone().collect();
    let repeated = ids.filter(|id| *id == first["id"]).count() - 1;
    assert!(repeated <= 1 && once.len() + repeated == got.len(), "no other is told twice: {got:#?}");
    let opened =
        got.iter().filter(|alert| alert["change"] == "opened" || alert["change"] == "split").count() - repeated;
    assert_eq!(opened, keys(&got, "firing").len(), "one message when it begins: {got:#?}");
}

#[test]
fn a_second_watch_of_the_same_name_and_folder_is_not_started() {
    let hook = Hook::start();
    let desk = a_trunk_that_refuses(&hook, "60m");
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    watching.wait_for("results in");
    let second = desk.run(&["watch", "watch.yaml", "--out", "other"]);
    let said = text(&second.stderr);
    assert!(code(&second) == Some(4) && said.contains("is in use: another watch of this name"), "{said}");
    assert_eq!(watching.end(), Some(0));
}

#[test]
fn a_template_with_a_name_that_no_message_has_is_found_by_check_with_its_place_and_what_instead() {
    let desk = a_trunk_that_refuses(&Hook::start(), "60m");
    desk.write("body.json.j2", "{\n  \"text\": {{ titel }} }");
    let watch = fs::read_to_string(desk.path("watch.yaml")).expect("written");
    desk.write("watch.yaml", &watch.replace("/hook' }", "/hook', template: body.json.j2 }"));
    for command in ["check", "watch"] {
        let output = desk.run(&[command, "watch.yaml"]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(code(&output), Some(2), "{said}");
        assert!(said.contains("watch.yaml:11:") && said.contains("body.json.j2:2: `titel` is not known"), "{said}");
        assert!(said.contains("did you mean `title`?"), "{said}");
    }
}
