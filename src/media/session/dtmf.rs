//! Keys of a leg (DTMF): pressed on its send grid, and heard as telephone events and as tones.

use std::time::{Duration, Instant};

use crate::media::Source;
use crate::media::dtmf::{Event as Payload, Frame, Generator, Key, Keys, Point, Press, Receiver, Sender, Way};
use crate::media::rtp::Header;

use super::{Config, Event, Listen, Session};

/// Keys that are pressed, and their tones.
#[derive(Debug, Default)]
pub(super) struct Pressing {
    pub(super) sender: Sender,
    pub(super) generator: Generator,
}

impl Pressing {
    pub(super) fn poll(&mut self, config: &Config, timestamp: u32) -> Frame {
        let clock = config.codec.clock_rate();
        let event_clock = config.telephone_event.map_or(clock, |format| format.clock_rate);
        self.sender.poll(&Point { timestamp, ptime: config.ptime, clock, event_clock })
    }
}

/// A key that comes both ways within this time is one: gateways that turn tones into events let the beginning of a tone through.
const BOTH_WAYS: Duration = Duration::from_millis(150);

/// Keys that were heard, both ways in one order.
#[derive(Debug, Default)]
pub(super) struct DtmfHeard {
    receiver: Receiver,
    keys: Keys,
    /// The key that came last, how and when.
    last: Option<(Key, Way, Instant)>,
}

impl DtmfHeard {
    /// Notes a key, before those that are known to be `later`; false where it is known the other way.
    fn note(&mut self, (key, way): (Key, Way), later: usize, arrived: Instant) -> bool {
        let known = |(last, by, at): (Key, Way, Instant)| {
            last == key && by != way && arrived.saturating_duration_since(at) <= BOTH_WAYS
        };
        let is_new = !self.last.is_some_and(known);
        if is_new {
            self.keys.insert(self.keys.len().saturating_sub(later), key);
        }
        self.last = Some((key, way, arrived));
        is_new
    }
}

/// Keys of one leg so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DtmfReport {
    /// Keys that were sent whole; `None` where none were pressed.
    pub sent: Option<Keys>,
    /// How the last of them was sent.
    pub sent_by: Option<Way>,
    /// Keys that were heard, perhaps none; `None` where nobody could hear any: events were not agreed on, and tones are not
    /// listened for.
    pub heard: Option<Keys>,
    /// How the last of them came.
    pub heard_by: Option<Way>,
}

impl Session {
    /// Presses keys in place of what is sent otherwise, behind those that are still to be pressed. False where too many wait, or
    /// where they are to go as events and that was not agreed on.
    pub fn press(&mut self, press: Press, now: Instant) -> bool {
        self.advance(now);
        let takes = press.way == Way::Inband || self.takes_events();
        takes && self.outgoing.press(&self.config, press, self.now)
    }

    /// Whether telephone events were agreed on.
    pub fn takes_events(&self) -> bool {
        self.config.telephone_event.is_some()
    }

    /// Keys that have not been sent whole.
    pub fn unsent_keys(&self) -> usize {
        self.outgoing.pressing.as_ref().map_or(0, |pressing| pressing.sender.unsent())
    }

    /// What is known of keys.
    pub fn dtmf(&self) -> DtmfReport {
        let (sent, sent_by) = self.outgoing.pressing.as_ref().map(|pressing| pressing.sender.sent()).unzip();
        let listens = self.takes_events() || self.listener.listens_for_keys();
        let heard = self.dtmf_heard.as_ref();
        DtmfReport {
            sent,
            sent_by: sent_by.flatten(),
            heard: heard.map(|heard| heard.keys).or_else(|| listens.then(Keys::default)),
            heard_by: heard.and_then(|heard| heard.last).map(|(_, way, _)| way),
        }
    }

    /// Takes a packet of a telephone event.
    pub(super) fn take_event(&mut self, arrived: Instant, header: &Header, payload: &[u8]) {
        let Some(event) = Payload::parse(payload) else { return };
        let heard = self.dtmf_heard.get_or_insert_default();
        if let Some((key, later)) = heard.receiver.take((header.ssrc, header.timestamp), &event) {
            self.hear_key((key, Way::Event), later, arrived);
        }
    }

    /// Takes the tones that were recognised in what was heard last.
    pub(super) fn take_tones(&mut self, arrived: Instant) {
        for key in self.listener.take_keys().iter() {
            self.hear_key((key, Way::Inband), 0, arrived);
        }
    }

    fn hear_key(&mut self, (key, way): (Key, Way), later: usize, arrived: Instant) {
        if !self.dtmf_heard.get_or_insert_default().note((key, way), later, arrived) {
            return;
        }
        self.events.push_back(Event::Key);
        if self.config.send == Source::Keys && !self.closed {
            self.press(Press::new([key].into_iter().collect(), way), self.now);
        }
    }

    /// Listens for tones where that is asked for, and where what is heard is to come back.
    pub(super) fn listen_for_tones(&mut self) {
        let asked = self.config.listen == Listen::Tones;
        if asked || self.config.send == Source::Keys && self.config.listen != Listen::Packets {
            self.listener.listen_for_keys();
        }
    }
}
