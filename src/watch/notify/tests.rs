//! The thread with a receiver on loopback: what it posts, an absence, a restart, kills at random moments.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::incident::{Change, Message, Sheet, sample_incident};
use crate::net::listen::listen;
use crate::scenario::watch::{Notify as Notified, Only};
use crate::units::Secret;

/// What a receiver may be waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Headers and bodies.
type Got = Mutex<Vec<(BTreeMap<String, String>, Value)>>;

/// A receiver that answers as it is told, then with 200, and keeps what it is sent.
struct Hook {
    address: SocketAddr,
    got: Arc<Got>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Hook {
    fn start(answers: &[u16]) -> Self {
        let listener = listen("127.0.0.1:0".parse().expect("valid")).expect("listens");
        listener.set_nonblocking(false).expect("a socket");
        let address = listener.local_addr().expect("it listens");
        let (got, answers) = (Arc::default(), Arc::new(Mutex::new(answers.iter().copied().collect())));
        let own = Self { address, got, answers };
        let (got, answers) = (Arc::clone(&own.got), Arc::clone(&own.answers));
        thread::spawn(move || serve(&listener, &got, &answers));
        own
    }

    fn url(&self) -> Secret {
        Secret::new(format!("http://{}/hook", self.address))
    }

    fn wait_for(&self, count: usize) -> Vec<(BTreeMap<String, String>, Value)> {
        let end = clock::now() + PATIENCE;
        loop {
            let got = self.got.lock().expect("not poisoned").clone();
            if got.len() >= count {
                return got;
            }
            assert!(clock::now() < end, "{} of {count} came", got.len());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn serve(listener: &TcpListener, got: &Got, answers: &Mutex<VecDeque<u16>>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let _ = answer(stream, got, answers);
    }
}

fn answer(stream: TcpStream, got: &Got, answers: &Mutex<VecDeque<u16>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.trim().split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let status = answers.lock().expect("not poisoned").pop_front().unwrap_or(200);
    if status < 300 {
        // One that a kill cut short is none.
        let Ok(body) = serde_json::from_slice(&body) else { return Ok(()) };
        got.lock().expect("not poisoned").push((headers, body));
    }
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all(head.as_bytes())
}

fn alerts(url: Secret) -> Alerts {
    let how = How::Webhook { url, secret: Some(Secret::new("s3cret")), headers: Vec::new(), template: None };
    Alerts { notify: vec![Notified { name: "webhook".into(), how, only: Only::default() }], ..Alerts::default() }
}

fn start(path: &Path, alerts: &Alerts) -> Notifier {
    let (store, _) = Store::open(path).expect("opens");
    let undelivered = store.beside("undelivered.jsonl");
    Notifier::start(store, undelivered, Senders::new(alerts).expect("fit"), &[]).expect("starts")
}

fn told(n: u64, change: Change) -> Vec<Told> {
    let incident = Incident { id: format!("inc-{n}"), ..sample_incident() };
    let message = Message::new(change, &incident, format!("w/inc-{n}"), Vec::new());
    let at = Timestamp::from_second(1_774_744_200 + n as i64).expect("in range");
    vec![Told { alert: Alert::new("w", None, at, message, Sheet::default()), is_message: true }]
}

fn memory() -> Memory {
    crate::watch::incidents::Incidents::new(&crate::watch::incidents::tests::watch(), clock::now())
        .memory(clock::timestamp())
}

fn ids(got: &[(BTreeMap<String, String>, Value)]) -> Vec<&str> {
    got.iter().map(|(_, body)| body["id"].as_str().expect("a text")).collect()
}

#[test]
fn a_message_is_posted_signed_with_what_it_is_about() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let receiver = Hook::start(&[]);
    let notifier = start(&dir.path().join("w.redb"), &alerts(receiver.url()));
    notifier.hand_over(told(1, Change::Opened), memory());
    let got = receiver.wait_for(1);
    let (headers, body) = &got[0];
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["idempotency-key"], "w/inc-1/opened/1774744201000");
    let signature = &headers["ringfleet-signature"];
    let (time, hex) = signature.split_once(",v1=").expect("two parts");
    assert!(time.starts_with("t=") && hex.len() == 64, "{signature}");
    assert_eq!(
        (&body["state"], &body["dedup_key"], &body["watch"]),
        (&"firing".into(), &"w/inc-1".into(), &"w".into())
    );
    assert_eq!(body["title"], "[critical] widespread: trunk cht line.down opened");
    assert_eq!(body["incident"]["first_call"]["sip_call_id"], "7@probe");
    assert!(body["sheet"]["missing"].is_array(), "{body}");
    assert_eq!(notifier.finish(Duration::from_secs(5)), [""; 0]);
}

#[test]
fn one_who_is_away_gets_what_is_still_true_and_nothing_twice() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let receiver = Hook::start(&[503]);
    let notifier = start(&dir.path().join("w.redb"), &alerts(receiver.url()));
    let happened = [told(1, Change::Opened), told(1, Change::Closed), told(2, Change::Opened)];
    notifier.hand_over(happened.concat(), memory());
    let got = receiver.wait_for(2);
    assert_eq!(ids(&got), ["w/inc-1/closed/1774744201000", "w/inc-2/opened/1774744202000"]);
    assert_eq!(got[0].1["missed"][0]["change"], "opened");
    notifier.finish(Duration::from_secs(5));
    assert_eq!(receiver.wait_for(2).len(), 2);
}

#[test]
fn what_is_left_at_the_end_is_delivered_by_the_next_and_others_may_be_told_then() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("w.redb");
    let nobody = alerts(Secret::new("http://127.0.0.1:9/secret-path"));
    let notifier = start(&path, &nobody);
    notifier.hand_over(told(1, Change::Opened), memory());
    notifier.position(Position::default());
    let said = notifier.finish(Duration::from_secs(5)).join("\n");
    assert!(said.starts_with("webhook takes no messages: cannot connect: "), "{said}");
    assert!(!said.contains("secret-path"), "{said}");
    let receiver = Hook::start(&[]);
    let notifier = start(&path, &nobody);
    notifier.replace(Senders::new(&alerts(receiver.url())).expect("fit"));
    assert_eq!(ids(&receiver.wait_for(1)), ["w/inc-1/opened/1774744201000"]);
    notifier.finish(Duration::from_secs(5));
}

#[test]
fn a_heart_beats_as_long_as_the_watch_is_heard_of() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let receiver = Hook::start(&[]);
    let every = Duration::from_millis(100);
    let heartbeat = Some(crate::scenario::watch::Heartbeat { every, url: receiver.url() });
    let notifier = start(&dir.path().join("w.redb"), &Alerts { heartbeat, ..Alerts::default() });
    let pulse = |at| Pulse { at, watch: "w".into(), site: None, lines: 7, incidents_open: 1 };
    // One that was not heard of for eleven seconds is not alive.
    let long_ago = clock::now().checked_sub(Duration::from_secs(11)).expect("the machine runs for longer");
    notifier.pulse(pulse(long_ago));
    thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.got.lock().expect("not poisoned").len(), 0);
    notifier.pulse(pulse(clock::now()));
    let got = receiver.wait_for(2);
    assert_eq!(
        (&got[0].1["state"], &got[0].1["lines"], &got[0].1["incidents_open"]),
        (&"alive".into(), &7.into(), &1.into())
    );
    notifier.finish(Duration::from_secs(5));
}

#[test]
fn killed_at_any_moment_every_message_that_was_written_is_told_and_none_more_than_once_again() {
    for millis in [40, 130, 310] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let receiver = Hook::start(&[]);
        let name = "watch::notify::tests::child_that_is_killed";
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", name, "--ignored", "--nocapture"])
            .env("RINGFLEET_TEST_STORE", dir.path())
            .env("RINGFLEET_TEST_HOOK", receiver.address.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("runs");
        receiver.wait_for(3);
        thread::sleep(Duration::from_millis(millis));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let written = std::fs::read_to_string(dir.path().join("written")).unwrap_or_default();
        let written: Vec<&str> = written.split_inclusive('\n').filter_map(|id| id.strip_suffix('\n')).collect();
        let notifier = start(&dir.path().join("w.redb"), &alerts(receiver.url()));
        notifier.hand_over(told(1_000_000, Change::Opened), memory());
        let last = "w/inc-1000000/opened/1775744200000";
        let end = clock::now() + PATIENCE;
        while !ids(&receiver.got.lock().expect("not poisoned")).contains(&last) {
            assert!(clock::now() < end, "the last one did not come");
            thread::sleep(Duration::from_millis(5));
        }
        notifier.finish(Duration::from_secs(5));
        let got = receiver.got.lock().expect("not poisoned");
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        ids(&got).into_iter().for_each(|id| *times.entry(id).or_default() += 1);
        let lost: Vec<_> = written.iter().filter(|id| !times.contains_key(**id)).collect();
        assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), written.len());
        let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.len() <= 1 && twice.iter().all(|(_, times)| **times == 2), "one was under way: {twice:?}");
    }
}

/// Tells of incident after incident until it is killed, and reports each that is on disk.
#[test]
#[ignore = "a part of another test"]
fn child_that_is_killed() {
    let (Ok(dir), Ok(hook)) = (std::env::var("RINGFLEET_TEST_STORE"), std::env::var("RINGFLEET_TEST_HOOK")) else {
        return;
    };
    let dir = Path::new(&dir);
    let notifier = start(&dir.join("w.redb"), &alerts(Secret::new(format!("http://{hook}/hook"))));
    let mut written = std::fs::File::create(dir.join("written")).expect("made");
    for n in 1.. {
        let told = told(n, Change::Opened);
        let id = told[0].alert.id.clone();
        notifier.hand_over(told, memory());
        loop {
            let shown = notifier.shown();
            let of = shown.deliveries.get("webhook").copied().unwrap_or_default();
            if of.sent + of.waiting >= n && shown.unsaved.is_none() {
                break;
            }
            thread::sleep(Duration::from_micros(200));
        }
        writeln!(written, "{id}").expect("written");
    }
}
