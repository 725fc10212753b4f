//! Who measures and a responder: in virtual time with a path between them, and once over loopback.

use super::burst::Shape;
use super::packet::{ASKING, DATA, Packet, Ticket, Way};
use super::responder::Responder as Machine;
use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
fn start() -> Instant {
    Instant::now()
}

const WANTED: Wanted = Wanted { mbps: 3.0, length: Duration::from_secs(2) };
const DELAY: Duration = Duration::from_millis(20);

/// A path between two machines.
struct World {
    now: Instant,
    client: Client,
    responder: Option<Machine>,
    wire: Vec<(Instant, bool, Vec<u8>)>,
    /// How much it carries each way, Mbit/s, and until when it is taken by what was sent before.
    carries: Option<f64>,
    busy_until: [Instant; 2],
    /// Loses a packet, by its bytes and its number.
    loses: fn(&[u8], usize) -> bool,
    sent: [usize; 2],
}

impl World {
    fn new(carries: Option<f64>, loses: fn(&[u8], usize) -> bool) -> Self {
        let now = start();
        let client = Client::new(at("192.0.2.5:5062"), WANTED, 42, now);
        let responder = Some(Machine::new([7; 32], now));
        Self { now, client, responder, wire: Vec::new(), carries, busy_until: [now; 2], loses, sent: [0; 2] }
    }

    fn send(&mut self, up: bool, bytes: &[u8]) {
        let side = usize::from(up);
        self.sent[side] += 1;
        if (self.loses)(bytes, self.sent[side]) {
            return;
        }
        let mut leaves = self.now;
        if let Some(mbps) = self.carries {
            let busy_until = self.busy_until[side].max(self.now);
            // A queue of 100 ms, as of a home router.
            if busy_until - self.now > Duration::from_millis(100) {
                return;
            }
            leaves = busy_until + Duration::from_secs_f64(8.0 * (bytes.len() + 28) as f64 / (mbps * 1e6));
            self.busy_until[side] = leaves;
        }
        self.wire.push((leaves + DELAY, up, bytes.to_vec()));
    }

    fn run(&mut self) -> Result<[Measured; 2], Trouble> {
        let (mut out, end) = (Vec::new(), self.now + Duration::from_secs(60));
        while self.now < end {
            while self.client.poll(self.now, &mut out) {
                self.send(true, &out);
            }
            while let Some(responder) = &mut self.responder
                && responder.poll(self.now, &mut out).is_some()
            {
                self.send(false, &out);
            }
            if let Some(outcome) = self.client.outcome() {
                return outcome;
            }
            let arrival = self.wire.iter().map(|packet| packet.0).min();
            let due = self.responder.as_ref().and_then(Machine::due);
            let next = [self.client.due(), due, arrival].into_iter().flatten().min().expect("it goes on");
            self.now = self.now.max(next);
            let Some(index) = self.wire.iter().position(|packet| packet.0 <= self.now) else { continue };
            let (arrived, up, bytes) = self.wire.remove(index);
            let answers = match up {
                true => self.responder.as_mut().is_some_and(|responder| {
                    responder.handle(self.now, arrived, at("198.51.100.7:4000"), &bytes, &mut out)
                }),
                false => self.client.handle(self.now, arrived, at("192.0.2.5:5062"), &bytes, &mut out),
            };
            if answers {
                self.send(!up, &out);
            }
        }
        panic!("it never ends");
    }
}

#[test]
fn a_path_that_is_wide_enough_carries_what_is_wanted_each_way() {
    let [up, down] = World::new(None, |_, _| false).run().expect("measured");
    assert_eq!(up, down);
    // 3.15 Mbit/s are 320.6 packets of 1,228 bytes a second.
    assert_eq!((up.sent, up.received, up.loss_pct()), (642, 642, 0.0));
    assert!((up.mbps - 3.15).abs() < 0.005, "{up:?}");
    assert!(up.took.as_millis() == 2002, "{up:?}");
}

#[test]
fn a_path_that_is_too_narrow_is_measured_as_wide_as_it_is() {
    for carries in [2.0, 0.5] {
        let [up, down] = World::new(Some(carries), |_, _| false).run().expect("measured");
        for way in [up, down] {
            assert!((way.mbps / carries - 1.0).abs() < 0.03 && way.loss_pct() > 30.0, "{carries}: {way:?}");
        }
    }
    // A queue that holds all: nothing is lost, and it takes longer to come.
    let [up, _] = World::new(Some(3.05), |_, _| false).run().expect("measured");
    assert!(up.loss_pct() == 0.0 && (up.mbps - 3.05).abs() < 0.02, "{up:?}");
}

#[test]
fn questions_and_answers_that_are_lost_are_repeated() {
    let loses_every_other = |bytes: &[u8], number: usize| bytes.len() < DATA && number % 2 == 1;
    let [up, down] = World::new(None, loses_every_other).run().expect("measured");
    assert_eq!((up.received, down.received), (642, 642));
}

#[test]
fn nobody_but_a_responder_gets_more_than_four_small_packets() {
    let mut world = World::new(None, |bytes, _| bytes.len() > ASKING);
    world.responder = None;
    let begun = world.now;
    assert_eq!(world.run(), Err(Trouble::NoResponder));
    assert_eq!((world.sent, world.now - begun), ([0, 4], Duration::from_millis(3_750)));
    // One that greets and then agrees to nothing gets no burst either.
    let agrees_to_nothing = |bytes: &[u8], _| matches!(Packet::read(bytes), Some((_, Packet::Go)));
    let mut world = World::new(None, agrees_to_nothing);
    assert_eq!((world.run(), world.sent[1]), (Err(Trouble::Silent), 5));
    // Whatever comes from another address is none of it.
    let mut world = World::new(None, |_, _| false);
    let mut out = Vec::new();
    Packet::Welcome(Ticket { cookie: [0; 16], slot: 0 }).write(42, &mut out);
    let bytes = out.clone();
    assert!(!world.client.handle(world.now, world.now, at("192.0.2.6:5062"), &bytes, &mut out));
    world.client.handle_unreachable();
    assert_eq!(world.client.outcome(), Some(Err(Trouble::NoResponder)), "at once, where ICMP says so");
}

#[test]
fn a_burst_that_never_comes_through_is_none_of_bandwidth_zero_unless_the_responder_agreed() {
    let [up, down] = World::new(None, |bytes, _| bytes.len() == DATA).run().expect("agreed on");
    assert_eq!((up.mbps, up.loss_pct(), down.mbps, down.received), (0.0, 100.0, 0.0, 0));
}

/// A responder and a valid ticket of this address.
fn ticket(responder: &mut Machine, now: Instant, from: SocketAddr) -> Ticket {
    let (mut hello, mut out) = (Vec::new(), Vec::new());
    Packet::Hello.write(1, &mut hello);
    assert!(responder.handle(now, now, from, &hello, &mut out));
    match Packet::read(&out) {
        Some((1, Packet::Welcome(ticket))) => ticket,
        other => panic!("{other:?}"),
    }
}

fn asked(responder: &mut Machine, now: Instant, from: SocketAddr, packet: Packet, number: u64) -> Option<Packet> {
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    packet.write(number, &mut bytes);
    responder.handle(now, now, from, &bytes, &mut out).then(|| Packet::read(&out).expect("a packet").1)
}

#[test]
fn a_responder_sends_to_nobody_who_has_not_shown_that_he_receives_there() {
    let (now, from, victim) = (start(), at("198.51.100.7:4000"), at("203.0.113.9:4000"));
    let mut responder = Machine::new([7; 32], now);
    let good = ticket(&mut responder, now, from);
    let begin = |ticket, kbps, ms| Packet::Begin { ticket, way: Way::Down, kbps, ms };
    let forged = Ticket { cookie: [9; 16], ..good };
    assert_eq!(asked(&mut responder, now, from, begin(forged, 3_150, 2_000), 1), None);
    assert_eq!(asked(&mut responder, now, victim, begin(good, 3_150, 2_000), 1), None, "another address");
    let ahead = Ticket { slot: 5, ..good };
    assert_eq!(asked(&mut responder, now, from, begin(ahead, 3_150, 2_000), 1), None);
    let later = now + Duration::from_secs(60);
    assert_eq!(asked(&mut responder, later, from, begin(good, 3_150, 2_000), 1), None, "too old");
    assert_eq!(responder.due(), None);
    assert_eq!(asked(&mut responder, now, from, begin(good, 10_501, 2_000), 1), Some(Packet::TooMuch));
    assert_eq!(asked(&mut responder, now, from, begin(good, 3_150, 5_001), 1), Some(Packet::TooMuch));
    let later = now + Duration::from_secs(59);
    assert_eq!(asked(&mut responder, later, from, begin(good, 10_500, 5_000), 1), Some(Packet::Go));
}

#[test]
fn a_responder_serves_one_at_a_time_and_ends_by_itself() {
    let (mut now, first, second) = (start(), at("198.51.100.7:4000"), at("198.51.100.8:4000"));
    let mut responder = Machine::new([7; 32], now);
    let tickets = [first, second].map(|from| ticket(&mut responder, now, from));
    let begin = |ticket| Packet::Begin { ticket, way: Way::Down, kbps: 3_150, ms: 2_000 };
    assert_eq!(asked(&mut responder, now, first, begin(tickets[0]), 1), Some(Packet::Go));
    assert_eq!(asked(&mut responder, now, first, begin(tickets[0]), 1), Some(Packet::Go), "it was lost");
    assert_eq!(asked(&mut responder, now, second, begin(tickets[1]), 2), Some(Packet::Busy));
    // Nobody ever says anything more.
    let (mut out, mut data, mut ends, begun) = (Vec::new(), 0, 0, now);
    while let Some(due) = responder.due() {
        now = now.max(due);
        while let Some(to) = responder.poll(now, &mut out) {
            assert_eq!(to, first);
            match Packet::read(&out) {
                Some((1, Packet::Data(_))) => data += 1,
                Some((1, Packet::End(_))) => ends += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    let shape = Shape::new(3_150, Duration::from_secs(2), 28);
    assert_eq!((data, ends, now - begun), (shape.packets(), 15, Duration::from_secs(5)));
    assert_eq!(asked(&mut responder, now, second, begin(tickets[1]), 2), Some(Packet::Go));
}

#[test]
fn bandwidth_is_measured_over_loopback() {
    let responder = Responder::start(at("127.0.0.1:0")).expect("a port");
    let wanted = Wanted { mbps: 8.0, length: Duration::from_millis(200) };
    let [up, down] = measure(responder.address, wanted).expect("a way").expect("measured");
    // How fast it came says something of this machine only.
    assert_eq!((up.sent, up.received, down.sent, down.received), (172, 172, 172, 172));
    let nobody = responder.address;
    drop(responder);
    assert_eq!(measure(nobody, wanted).expect("a way"), Err(Trouble::NoResponder));
}
