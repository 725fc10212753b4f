//! Messages on their way, one queue for each who is told. No clock, no files, no sockets.
//!
//! | happens | then |
//! |---|---|
//! | an incident opens, widens … | who wants it gets it in the queue, and is remembered to know of it |
//! | it is over | who knows of it gets that |
//! | an older message of the same incident still waits | the newer one takes its place and says so |
//! | accepted, or refused for good | it leaves the queue |
//! | not accepted for [`GIVEN_UP`], or the queue is too long | the oldest leaves as refused |

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::scenario::watch::Only;
use crate::serve::Deliveries;
use crate::sink::Kept;
use crate::sink::alert::{Alert, Outcome, State, is_wanted};

/// Nobody wants to hear of it any more.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(72);
/// Most messages that wait for one.
const MOST: usize = 5_000;
/// Most incidents that one is remembered to know of.
const MOST_KNOWN: usize = 10_000;

/// One who is told, as far as the queues are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receiver {
    pub(super) name: String,
    pub(super) only: Only,
}

/// A message in a queue, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    receiver: String,
    queued_at: Timestamp,
    pub(super) alert: Alert,
}

/// Who knows of which incidents, as it is stored: names, then dedup keys.
pub(super) type Known = BTreeMap<String, BTreeSet<String>>;

/// What has to be written: the message under its number, or that it is gone.
pub(super) type Written = (u64, Option<Entry>);

/// A message that is given up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    pub(super) receiver: String,
    pub(super) reason: String,
    pub(super) alert: Alert,
}

/// What became of a message that was tried.
#[derive(Debug, PartialEq)]
pub(super) struct Settled {
    pub(super) written: Option<Written>,
    pub(super) refused: Option<Refused>,
    /// Why it is tried again.
    pub(super) kept: Option<Kept>,
}

struct Queue {
    receiver: Receiver,
    entries: VecDeque<(u64, Entry)>,
    known: BTreeSet<String>,
    /// The number of the message that is being delivered.
    under_way: Option<u64>,
    /// But for what waits.
    counts: Deliveries,
}

/// All queues.
pub(super) struct Outbox {
    queues: Vec<Queue>,
    next: u64,
}

impl Outbox {
    /// With what was stored. The second value is what nobody is there for any more.
    pub(super) fn new(receivers: Vec<Receiver>, known: Known, stored: Vec<(u64, Entry)>) -> (Self, Vec<Written>) {
        let next = stored.last().map_or(1, |(number, _)| number + 1);
        let mut outbox = Self { queues: Vec::new(), next };
        let gone = outbox.put_in(receivers, &known, &BTreeMap::new(), stored);
        (outbox, gone)
    }

    /// Others are told from now on. Messages for those who stay stay, as far as they still want them; the rest is gone.
    pub(super) fn replace(&mut self, receivers: Vec<Receiver>) -> Vec<Written> {
        let known = self.known();
        let counts: BTreeMap<String, Deliveries> = self.counts().collect();
        let mut stored: Vec<(u64, Entry)> = self.queues.drain(..).flat_map(|queue| queue.entries).collect();
        stored.sort_by_key(|(number, _)| *number);
        self.put_in(receivers, &known, &counts, stored)
    }

    fn put_in(
        &mut self,
        receivers: Vec<Receiver>,
        known: &Known,
        counts: &BTreeMap<String, Deliveries>,
        stored: Vec<(u64, Entry)>,
    ) -> Vec<Written> {
        self.queues = receivers
            .into_iter()
            .map(|receiver| {
                let counts = counts.get(&receiver.name).copied().unwrap_or_default();
                let known = known.get(&receiver.name).cloned().unwrap_or_default();
                Queue { known, entries: VecDeque::new(), under_way: None, counts, receiver }
            })
            .collect();
        let mut gone = Vec::new();
        for (number, entry) in stored {
            let queue = self.queues.iter_mut().find(|queue| queue.receiver.name == entry.receiver);
            let wanted = |queue: &&mut Queue| {
                entry.alert.state == State::Resolved || is_wanted(&queue.receiver.only, &entry.alert)
            };
            match queue.filter(wanted) {
                Some(queue) => queue.entries.push_back((number, entry)),
                None => gone.push((number, None)),
            }
        }
        gone
    }

    /// A message for all who want it, or know of its incident. Gives what has to be written, and what is given up.
    pub(super) fn add(&mut self, now: Timestamp, alert: &Alert) -> (Vec<Written>, Vec<Refused>) {
        let (mut written, mut refused) = (Vec::new(), Vec::new());
        let key = &alert.message.dedup_key;
        for queue in &mut self.queues {
            let wanted = match alert.state {
                State::Firing => is_wanted(&queue.receiver.only, alert),
                State::Resolved => queue.known.remove(key),
            };
            if !wanted {
                continue;
            }
            if alert.state == State::Firing {
                queue.known.insert(key.clone());
                if queue.known.len() > MOST_KNOWN {
                    // Keys begin with the time, so the first is the oldest.
                    queue.known.pop_first();
                }
            }
            let under_way = queue.under_way;
            let older = queue
                .entries
                .iter_mut()
                .find(|(number, entry)| entry.alert.message.dedup_key == *key && Some(*number) != under_way);
            if let Some((number, entry)) = older {
                let mut alert = alert.clone();
                alert.take_the_place_of(&entry.alert);
                entry.alert = alert;
                written.push((*number, Some(entry.clone())));
                continue;
            }
            let entry = Entry { receiver: queue.receiver.name.clone(), queued_at: now, alert: alert.clone() };
            written.push((self.next, Some(entry.clone())));
            queue.entries.push_back((self.next, entry));
            self.next += 1;
            if queue.entries.len() > MOST
                && let Some(at) = queue.entries.iter().position(|(number, _)| Some(*number) != under_way)
                && let Some((number, entry)) = queue.entries.remove(at)
            {
                queue.counts.refused += 1;
                written.push((number, None));
                let reason = format!("more than {MOST} messages wait");
                refused.push(Refused { receiver: entry.receiver, reason, alert: entry.alert });
            }
        }
        (written, refused)
    }

    /// The next message of a queue: it is under way until it is settled.
    pub(super) fn next(&mut self, name: &str) -> Option<(u64, Alert)> {
        let queue = self.queues.iter_mut().find(|queue| queue.receiver.name == name)?;
        let (number, entry) = queue.entries.front()?;
        queue.under_way = Some(*number);
        Some((*number, entry.alert.clone()))
    }

    /// What became of it.
    pub(super) fn settle(&mut self, now: Timestamp, name: &str, number: u64, outcome: Outcome) -> Settled {
        let nothing = Settled { written: None, refused: None, kept: None };
        let Some(queue) = self.queues.iter_mut().find(|queue| queue.receiver.name == name) else { return nothing };
        queue.under_way = None;
        let Some(at) = queue.entries.iter().position(|(known, _)| *known == number) else { return nothing };
        let outcome = match outcome {
            Outcome::Kept(kept) if now.duration_since(queue.entries[at].1.queued_at) > GIVEN_UP => {
                Outcome::Refused(format!("not taken for {} h: {}", GIVEN_UP.as_hours(), kept.reason))
            }
            outcome => outcome,
        };
        match outcome {
            Outcome::Accepted => {
                queue.entries.remove(at);
                queue.counts.sent += 1;
                Settled { written: Some((number, None)), ..nothing }
            }
            Outcome::Refused(reason) => {
                queue.counts.refused += 1;
                let entry = queue.entries.remove(at);
                let refused = entry.map(|(_, entry)| Refused { receiver: entry.receiver, reason, alert: entry.alert });
                Settled { written: Some((number, None)), refused, kept: None }
            }
            Outcome::Kept(kept) => {
                queue.counts.failed += 1;
                Settled { kept: Some(kept), ..nothing }
            }
        }
    }

    /// A try was broken off: the message is the next one again.
    pub(super) fn break_off(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.under_way = None);
    }

    /// Who knows of what.
    pub(super) fn known(&self) -> Known {
        let of = |queue: &Queue| (queue.receiver.name.clone(), queue.known.clone());
        self.queues.iter().map(of).filter(|(_, known)| !known.is_empty()).collect()
    }

    /// How each queue does.
    pub(super) fn counts(&self) -> impl Iterator<Item = (String, Deliveries)> {
        self.queues.iter().map(|queue| {
            let oldest = queue.entries.iter().map(|(_, entry)| entry.queued_at).min();
            let counts = Deliveries { waiting: queue.entries.len() as u64, oldest, ..queue.counts };
            (queue.receiver.name.clone(), counts)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{Change, Incident, Message, Severity, Sheet, sample_incident};
    use crate::scenario::watch::Severity as Least;
    use crate::sink::KeptBecause;
    use crate::sink::alert::Missed;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_774_744_200 + seconds).expect("in range")
    }

    fn alert(id: &str, change: Change, seconds: i64) -> Alert {
        of(&Incident { id: id.into(), ..sample_incident() }, change, seconds)
    }

    fn of(incident: &Incident, change: Change, seconds: i64) -> Alert {
        let message = Message::new(change, incident, format!("w/{}", incident.id), Vec::new());
        Alert::new("w", None, at(seconds), message, Sheet::default())
    }

    fn receiver(name: &str, only: Only) -> Receiver {
        Receiver { name: name.to_owned(), only }
    }

    fn outbox() -> Outbox {
        Outbox::new(vec![receiver("webhook", Only::default())], Known::new(), Vec::new()).0
    }

    fn unavailable() -> Outcome {
        Outcome::Kept(Kept { because: KeptBecause::Unavailable, reason: "503".into(), wait: None })
    }

    fn waiting(outbox: &Outbox) -> u64 {
        outbox.counts().map(|(_, counts)| counts.waiting).sum()
    }

    /// Delivers all that waits; what it was.
    fn drain(outbox: &mut Outbox, name: &str) -> Vec<(String, Change, usize)> {
        let mut told = Vec::new();
        while let Some((number, alert)) = outbox.next(name) {
            outbox.settle(at(9_999), name, number, Outcome::Accepted);
            told.push((alert.message.incident.id.clone(), alert.message.change, alert.missed.len()));
        }
        told
    }

    #[test]
    fn an_hour_away_loses_no_incident_and_makes_no_storm() {
        let mut outbox = outbox();
        for n in 0..10 {
            let id = format!("inc-{n}");
            outbox.add(at(60 * n), &alert(&id, Change::Opened, 60 * n));
            let (number, _) = outbox.next("webhook").expect("one waits");
            assert!(outbox.settle(at(60 * n), "webhook", number, unavailable()).kept.is_some());
            outbox.add(at(60 * n + 10), &alert(&id, Change::Widened, 60 * n + 10));
            if n < 5 {
                outbox.add(at(60 * n + 20), &alert(&id, Change::Closed, 60 * n + 20));
            }
        }
        let (_, counts) = outbox.counts().next().expect("one");
        assert_eq!((counts.waiting, counts.failed, counts.oldest), (10, 10, Some(at(0))));
        let told = drain(&mut outbox, "webhook");
        let expected = |n: usize| match n {
            0..5 => (format!("inc-{n}"), Change::Closed, 2),
            _ => (format!("inc-{n}"), Change::Widened, 1),
        };
        assert_eq!(told, (0..10).map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn what_took_the_place_of_others_says_so() {
        let mut outbox = outbox();
        outbox.add(at(0), &alert("i", Change::Opened, 0));
        outbox.add(at(60), &alert("i", Change::Closed, 60));
        let (_, alert) = outbox.next("webhook").expect("one");
        assert_eq!(alert.missed, [Missed { change: Change::Opened, at: at(0) }]);
        assert!(alert.message.text.ends_with("\nCould not be told before: opened 2026-03-29T00:30:00Z"));
    }

    #[test]
    fn a_message_under_way_is_never_changed() {
        let mut outbox = outbox();
        outbox.add(at(0), &alert("i", Change::Opened, 0));
        let (number, first) = outbox.next("webhook").expect("one");
        outbox.add(at(1), &alert("i", Change::Widened, 1));
        outbox.add(at(2), &alert("i", Change::Closed, 2));
        assert_eq!(first.message.change, Change::Opened);
        outbox.settle(at(3), "webhook", number, Outcome::Accepted);
        assert_eq!(drain(&mut outbox, "webhook"), [("i".into(), Change::Closed, 1)]);
    }

    #[test]
    fn filters_ask_for_units_and_severity_and_the_end_goes_to_those_who_were_told() {
        let support = Only { units: vec!["support".into()], severity: None };
        let worst = Only { units: Vec::new(), severity: Some(Least::Critical) };
        let (mut outbox, _) =
            Outbox::new(vec![receiver("support", support), receiver("worst", worst)], Known::new(), Vec::new());
        let minor = Incident { severity: Severity::Minor, ..sample_incident() };
        let sales = Incident { id: "inc-2".into(), unit: Some("sales".into()), ..sample_incident() };
        let several = Incident { id: "inc-3".into(), unit: None, severity: Severity::Degraded, ..sample_incident() };
        for incident in [&minor, &sales, &several] {
            outbox.add(at(0), &of(incident, Change::Opened, 0));
        }
        // It was minor when it opened and is worse at its end: who was not told of it hears nothing.
        outbox.add(at(60), &of(&Incident { severity: Severity::Critical, ..minor }, Change::Closed, 60));
        let ids = |told: Vec<(String, Change, usize)>| told.into_iter().map(|(id, ..)| id).collect::<Vec<_>>();
        assert_eq!(ids(drain(&mut outbox, "support")), ["inc-1", "inc-3"]);
        assert_eq!(ids(drain(&mut outbox, "worst")), ["inc-2"]);
    }

    #[test]
    fn over_a_restart_queues_and_what_was_told_are_the_same() {
        let mut outbox = outbox();
        let (mut stored, _) = outbox.add(at(0), &alert("a", Change::Opened, 0));
        let (number, _) = outbox.next("webhook").expect("one");
        stored.extend(outbox.settle(at(1), "webhook", number, Outcome::Accepted).written);
        stored.extend(outbox.add(at(2), &alert("b", Change::Opened, 2)).0);
        let mut on_disk: BTreeMap<u64, Entry> = BTreeMap::new();
        for (number, entry) in stored {
            match entry {
                Some(entry) => drop(on_disk.insert(number, entry)),
                None => drop(on_disk.remove(&number)),
            }
        }
        let receivers = vec![receiver("webhook", Only::default())];
        let (mut again, gone) = Outbox::new(receivers, outbox.known(), on_disk.into_iter().collect());
        assert_eq!(gone, []);
        again.add(at(3), &alert("a", Change::Closed, 3));
        assert_eq!(drain(&mut again, "webhook"), [("b".into(), Change::Opened, 0), ("a".into(), Change::Closed, 0)]);
    }

    #[test]
    fn messages_for_one_who_is_no_longer_told_are_gone_and_others_stay() {
        let two = vec![receiver("webhook", Only::default()), receiver("slack", Only::default())];
        let (mut outbox, _) = Outbox::new(two, Known::new(), Vec::new());
        outbox.add(at(0), &alert("a", Change::Opened, 0));
        let gone = outbox.replace(vec![receiver("slack", Only::default()), receiver("email", Only::default())]);
        assert_eq!(gone, [(1, None)]);
        assert_eq!(drain(&mut outbox, "slack").len(), 1);
        assert_eq!(waiting(&outbox), 0);
    }

    #[test]
    fn what_is_refused_or_nobody_takes_for_three_days_leaves_and_is_told() {
        let mut outbox = outbox();
        outbox.add(at(0), &alert("a", Change::Opened, 0));
        let (number, _) = outbox.next("webhook").expect("one");
        let settled = outbox.settle(at(1), "webhook", number, Outcome::Refused("400 no".into()));
        assert_eq!(settled.refused.map(|it| it.reason), Some("400 no".into()));
        outbox.add(at(0), &alert("b", Change::Opened, 0));
        let (number, _) = outbox.next("webhook").expect("one");
        assert!(outbox.settle(at(72 * 3600), "webhook", number, unavailable()).kept.is_some());
        let settled = outbox.settle(at(72 * 3600 + 1), "webhook", number, unavailable());
        assert_eq!(settled.refused.map(|it| it.reason), Some("not taken for 72 h: 503".into()));
        assert_eq!(waiting(&outbox), 0);
    }

    #[test]
    fn queues_are_bounded_and_what_finds_no_room_is_told() {
        let mut outbox = outbox();
        for n in 0..MOST {
            let (_, refused) = outbox.add(at(0), &alert(&format!("i-{n}"), Change::Opened, 0));
            assert_eq!(refused, []);
        }
        let (written, refused) = outbox.add(at(1), &alert("last", Change::Opened, 1));
        assert_eq!((written.len(), written[1].0, refused.len()), (2, 1, 1));
        assert_eq!(refused[0].alert.message.incident.id, "i-0");
    }
}
