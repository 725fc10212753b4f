//! What a kill leaves at each place, and a disk that takes nothing. A kill is a copy of the file as it is then.

use std::path::Path;

use super::*;
use crate::incident::{Change, Incident, Message, Sheet, sample_incident};
use crate::sink::KeptBecause;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_774_744_200 + seconds).expect("in range")
}

fn incident(id: &str) -> Incident {
    Incident { id: id.into(), since: at(0), ..sample_incident() }
}

fn told(id: &str, change: Change, seconds: i64) -> Vec<Told> {
    let incident = incident(id);
    let message = Message::new(change, &incident, format!("w/{id}"), Vec::new());
    vec![Told { alert: Alert::new("w", None, at(seconds), message, Sheet::default()), is_message: true }]
}

fn receivers() -> Receivers {
    let receiver = |name: &str| Receiver { name: name.to_owned(), only: Only::default() };
    Receivers { of_messages: vec![receiver("webhook")], managers: vec![receiver("alertmanager")], heartbeat: false }
}

fn desk(path: &Path, open: &[Incident], seconds: i64) -> Desk {
    let (store, told) = Store::open(path).expect("opens");
    assert_eq!(told, None);
    Desk::new(store, path.with_extension("undelivered.jsonl"), receivers(), open, at(seconds))
}

/// A desk, and the desks that follow kills of it.
struct Room {
    dir: tempfile::TempDir,
    kills: u32,
}

impl Room {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder"), kills: 0 }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("w.redb")
    }

    /// What another process finds if this one is killed now.
    fn after_a_kill(&mut self, open: &[Incident], seconds: i64) -> Desk {
        self.kills += 1;
        let copy = self.dir.path().join(format!("kill-{}.redb", self.kills));
        fs::copy(self.path(), &copy).expect("copied");
        desk(&copy, open, seconds)
    }
}

fn ids(desk: &mut Desk) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some((number, alert)) = desk.next("webhook") {
        ids.push(alert.id);
        desk.settle(at(0), "webhook", number, Outcome::Accepted);
    }
    ids
}

fn ends(desk: &mut Desk, seconds: i64) -> Vec<String> {
    let Some((_, body)) = desk.body(at(seconds), "alertmanager") else { return Vec::new() };
    let alerts: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("JSON");
    alerts.iter().map(|alert| alert["endsAt"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn a_kill_before_the_answer_repeats_the_message_once_with_its_id_and_one_after_it_does_not() {
    let mut room = Room::new();
    let mut desk = desk(&room.path(), &[], 0);
    assert_eq!(ids(&mut room.after_a_kill(&[], 0)), [""; 0], "nothing has happened");
    desk.take(at(1), told("a", Change::Opened, 1), None, None);
    let open = [incident("a")];
    assert_eq!(ids(&mut room.after_a_kill(&open, 2)), ["w/a/opened/1774744201000"], "written, not sent");
    let (number, alert) = desk.next("webhook").expect("one waits");
    assert_eq!(ids(&mut room.after_a_kill(&open, 2)), [alert.id.as_str()], "sent, not answered");
    desk.settle(at(2), "webhook", number, Outcome::Accepted);
    let mut after = room.after_a_kill(&open, 3);
    assert_eq!(ids(&mut after), [""; 0], "answered");
    after.take(at(60), told("a", Change::Closed, 60), None, None);
    assert_eq!(ids(&mut after), ["w/a/closed/1774744260000"], "who was told of it hears of its end");
}

#[test]
fn a_kill_after_a_failed_try_keeps_the_message_and_its_place() {
    let mut room = Room::new();
    let mut desk = desk(&room.path(), &[], 0);
    desk.take(at(1), told("a", Change::Opened, 1), None, None);
    desk.take(at(2), told("b", Change::Opened, 2), None, None);
    let (number, _) = desk.next("webhook").expect("one waits");
    let away = Kept { because: KeptBecause::Unavailable, reason: "503".into(), wait: None };
    assert!(desk.settle(at(3), "webhook", number, Outcome::Kept(away)).is_some());
    desk.take(at(4), told("a", Change::Closed, 4), None, None);
    let mut after = room.after_a_kill(&[incident("b")], 5);
    assert_eq!(ids(&mut after), ["w/a/closed/1774744204000", "w/b/opened/1774744202000"]);
}

#[test]
fn after_a_kill_alertmanager_is_posted_what_is_open_and_the_end_of_what_is_not() {
    let mut room = Room::new();
    let mut desk = desk(&room.path(), &[], 0);
    desk.take(at(1), told("a", Change::Opened, 1), None, None);
    desk.take(at(2), told("b", Change::Opened, 2), None, None);
    let in_four_minutes = at(10 + 240).to_string();
    let mut after = room.after_a_kill(&[incident("a"), incident("b")], 5);
    assert_eq!(ends(&mut after, 10), [in_four_minutes.clone(), in_four_minutes.clone()]);
    let mut after = room.after_a_kill(&[incident("b")], 5);
    assert_eq!(ends(&mut after, 10), [at(5).to_string(), in_four_minutes], "nobody knows of `a` any more");
}

#[test]
fn alertmanager_hears_of_what_the_throttle_holds_back() {
    let room = Room::new();
    let mut desk = desk(&room.path(), &[], 0);
    let mut quiet = told("a", Change::Opened, 1);
    quiet[0].is_message = false;
    desk.take(at(1), quiet, None, None);
    assert_eq!((ids(&mut desk).len(), ends(&mut desk, 2).len()), (0, 1));
}

#[test]
fn a_disk_that_takes_nothing_holds_up_no_message_and_is_caught_up_with() {
    let mut room = Room::new();
    let folder = room.dir.path().join("mounted");
    fs::create_dir(&folder).expect("made");
    let mut desk = desk(&folder.join("w.redb"), &[], 0);
    fs::remove_dir_all(&folder).expect("gone");
    desk.store.fail();
    desk.take(at(1), told("a", Change::Opened, 1), None, None);
    desk.take(at(2), told("b", Change::Opened, 2), None, None);
    assert!(desk.unsaved().is_some());
    let notes = desk.take_notes();
    assert_eq!(notes.len(), 1, "told once: {notes:?}");
    assert!(notes[0].ends_with("incidents and messages are kept in memory, and told all the same"), "{notes:?}");
    let (number, alert) = desk.next("webhook").expect("told all the same");
    assert_eq!(alert.id, "w/a/opened/1774744201000");
    desk.settle(at(3), "webhook", number, Outcome::Accepted);
    fs::create_dir(&folder).expect("there again");
    desk.catch_up();
    assert_eq!(
        (desk.unsaved(), desk.take_notes()),
        (None, vec!["incidents and messages are on disk again".to_owned()])
    );
    fs::copy(folder.join("w.redb"), room.path()).expect("copied");
    assert_eq!(ids(&mut room.after_a_kill(&[], 5)), ["w/b/opened/1774744202000"], "what was sent is not sent again");
}

#[test]
fn a_message_that_is_refused_for_good_is_kept_in_a_file_and_said() {
    let room = Room::new();
    let mut desk = desk(&room.path(), &[], 0);
    desk.take(at(1), told("a", Change::Opened, 1), None, None);
    let (number, _) = desk.next("webhook").expect("one waits");
    desk.settle(at(2), "webhook", number, Outcome::Refused("400 no such field".into()));
    let notes = desk.take_notes();
    assert!(notes[0].starts_with("webhook refuses a message for good: 400 no such field: [critical]"), "{notes:?}");
    let kept = fs::read_to_string(room.path().with_extension("undelivered.jsonl")).expect("there");
    let line: serde_json::Value = serde_json::from_str(&kept).expect("one line of JSON");
    assert_eq!((&line["receiver"], &line["alert"]["dedup_key"]), (&"webhook".into(), &"w/a".into()));
    assert_eq!(desk.deliveries()["webhook"].refused, 1);
}

#[test]
fn one_who_is_away_for_an_hour_is_said_once_and_once_that_he_is_back() {
    let room = Room::new();
    let mut desk = desk(&room.path(), &[], 0);
    desk.take(at(1), told("a", Change::Opened, 1), None, None);
    for second in 0..60 {
        let (number, _) = desk.next("webhook").expect("it waits");
        let away = Kept { because: KeptBecause::Unavailable, reason: "cannot connect".into(), wait: None };
        desk.settle(at(60 * second), "webhook", number, Outcome::Kept(away));
    }
    assert_eq!(desk.away().as_deref(), Some("webhook takes no messages: cannot connect"));
    ids(&mut desk);
    assert_eq!(desk.away(), None);
    assert_eq!(
        desk.take_notes(),
        ["webhook takes no messages: cannot connect; they wait", "webhook takes messages again"]
    );
}
