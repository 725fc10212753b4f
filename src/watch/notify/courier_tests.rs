//! An hour in which nobody takes anything, in virtual time: nothing is lost, nobody is stormed, nothing comes twice.

use tokio::task::LocalSet;
use tokio::time::Instant;

use super::*;
use crate::incident::{Change, Incident, Message, Sheet, sample_incident};
use crate::scenario::watch::Only;
use crate::sink::{Kept, KeptBecause};
use crate::watch::notify::Told;
use crate::watch::notify::desk::Receivers;
use crate::watch::notify::outbox::Receiver;
use crate::watch::store::Store;

const HOUR: Duration = Duration::from_secs(3600);
/// Incidents open in the hour, one each five minutes; each second one is over two minutes later.
const INCIDENTS: u64 = 12;

/// Tries, and what they were of: seconds since the beginning, and the key of a message.
type Tries = Rc<RefCell<Vec<(u64, String)>>>;

fn alert(n: u64, change: Change) -> Alert {
    let since = "2026-03-29T00:30:00Z".parse().expect("a time");
    let incident = Incident { id: format!("inc-{n:02}"), since, ..sample_incident() };
    let message = Message::new(change, &incident, format!("w/{}", incident.id), Vec::new());
    Alert::new("w", None, since, message, Sheet::default())
}

fn away() -> Outcome {
    Outcome::Kept(Kept { because: KeptBecause::Unavailable, reason: "cannot connect".into(), wait: None })
}

/// A desk with one who gets messages and one Alertmanager.
fn desk(folder: &tempfile::TempDir) -> Rc<RefCell<Desk>> {
    let (store, _) = Store::open(&folder.path().join("w.redb")).expect("opens");
    let receiver = |name: &str| Receiver { name: name.to_owned(), only: Only::default() };
    let receivers =
        Receivers { of_messages: vec![receiver("oncall")], managers: vec![receiver("alertmanager")], heartbeat: false };
    let undelivered = folder.path().join("undelivered.jsonl");
    Rc::new(RefCell::new(Desk::new(store, undelivered, receivers, &[], clock::timestamp())))
}

/// What happens in the hour, and ten minutes after it.
async fn pass(desk: &Rc<RefCell<Desk>>, more: &Rc<Notify>) {
    let tell = |alert: Alert| {
        let told = vec![Told { alert, is_message: true }];
        desk.borrow_mut().take(clock::timestamp(), told, None, None);
        more.notify_one();
    };
    for n in 0..INCIDENTS {
        tell(alert(n, Change::Opened));
        sleep(Duration::from_secs(120)).await;
        if n.is_multiple_of(2) {
            tell(alert(n, Change::Closed));
        }
        sleep(Duration::from_secs(180)).await;
    }
    sleep(Duration::from_secs(600)).await;
}

fn way(desk: &Rc<RefCell<Desk>>, name: &str, stop: &watch::Receiver<bool>) -> Way {
    Way { desk: Rc::clone(desk), name: name.to_owned(), more: Rc::new(Notify::new()), stop: stop.clone() }
}

/// How often one was tried before he was back, and what came how long after that.
fn halves(tries: &Tries) -> (usize, Vec<(u64, String)>) {
    let tries = tries.borrow();
    let (during, after): (Vec<_>, Vec<_>) = tries.iter().cloned().partition(|(second, _)| *second < HOUR.as_secs());
    (during.len(), after)
}

/// The way of webhooks, chats, PagerDuty, commands and mail: they differ in the one try alone.
#[tokio::test(start_paused = true)]
async fn a_webhook_or_a_mail_server_that_is_away_for_an_hour_gets_each_incident_once_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (desk, tries, begun) = (desk(&folder), Tries::default(), Instant::now());
    let (_stop, stopped) = watch::channel(false);
    let way = way(&desk, "oncall", &stopped);
    let (more, own) = (Rc::clone(&way.more), Rc::clone(&tries));
    let local = LocalSet::new();
    local.spawn_local(way.carry(async move |alert: &Alert| {
        own.borrow_mut().push((begun.elapsed().as_secs(), alert.id.clone()));
        if begun.elapsed() < HOUR { away() } else { Outcome::Accepted }
    }));
    local.run_until(pass(&desk, &more)).await;
    let (during, after) = halves(&tries);
    assert!((60..=130).contains(&during), "doubling from a second to a minute, half of it random: {during} tries");
    assert!(after.iter().all(|(second, _)| *second <= 3600 + 60), "within a minute of its return: {after:?}");
    let got: Vec<&str> = after.iter().map(|(_, id)| id.rsplit_once('/').map_or("", |(id, _)| id)).collect();
    let wanted: Vec<String> = (0..INCIDENTS)
        .map(|n| format!("w/inc-{n:02}/{}", if n.is_multiple_of(2) { "closed" } else { "opened" }))
        .collect();
    assert_eq!(got, wanted, "the oldest first, as it stands now");
    let counts = desk.borrow().deliveries()["oncall"];
    assert_eq!((counts.sent, counts.failed, counts.waiting, counts.refused), (INCIDENTS, during as u64, 0, 0));
    let notes = desk.borrow_mut().take_notes();
    assert_eq!(notes, ["oncall takes no messages: cannot connect; they wait", "oncall takes messages again"]);
}

#[tokio::test(start_paused = true)]
async fn an_alertmanager_that_is_away_for_an_hour_hears_of_all_that_is_open_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (desk, begun) = (desk(&folder), Instant::now());
    let (_stop, stopped) = watch::channel(false);
    let way = way(&desk, "alertmanager", &stopped);
    let more = Rc::clone(&way.more);
    let tries = Tries::default();
    let own = Rc::clone(&tries);
    let local = LocalSet::new();
    local.spawn_local(way.post(async move |body: Vec<u8>| {
        own.borrow_mut().push((begun.elapsed().as_secs(), String::from_utf8(body).expect("JSON")));
        if begun.elapsed() < HOUR { away() } else { Outcome::Accepted }
    }));
    local.run_until(pass(&desk, &more)).await;
    let (during, after) = halves(&tries);
    assert!((60..=130).contains(&during), "{during} tries");
    let (second, body) = &after[0];
    assert!(*second <= 3600 + 60, "within a minute of its return: {second}");
    let alerts: Vec<serde_json::Value> = serde_json::from_str(body).expect("JSON");
    let open = (0..INCIDENTS).filter(|n| n % 2 == 1).count();
    let with_their_beginning = alerts.iter().filter(|alert| alert["startsAt"] == "2026-03-29T00:30:00Z").count();
    assert!(alerts.len() >= open && with_their_beginning == alerts.len(), "{body}");
    // Then once a minute, and nothing of the hour again.
    assert!(after.len() <= 11, "{} posts in ten minutes", after.len());
    assert_eq!(desk.borrow().deliveries()["alertmanager"].waiting, 0);
    assert_eq!(desk.borrow_mut().take_notes().len(), 2);
}
