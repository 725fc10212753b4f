//! A client and a server in virtual time.

use proptest::prelude::*;

use super::fake::Fake;
use super::*;

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9)), 6000);
const NAME: &str = "turn:192.0.2.1:3478?transport=udp";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
fn now() -> Instant {
    Instant::now()
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

struct World {
    now: Instant,
    client: Client,
    fake: Fake,
    /// What came out of relayed addresses: from where, where to, what.
    relayed: Vec<fake::Sent>,
    /// What came from peers.
    data: Vec<(SocketAddr, Vec<u8>)>,
    deaf: bool,
}

impl World {
    fn new(password: Option<&'static str>, reliable: bool) -> Self {
        let now = now();
        let login = password.map(|password| Login { username: "agent".into(), password: Secret::new(password) });
        let server = Server { name: NAME.into(), address: at("192.0.2.1:3478"), reliable, login };
        let client = Client::new(server, at("192.0.2.7:4000"), 7, now);
        let fake = Fake::new(at("192.0.2.1:3478"));
        Self { now, client, fake, relayed: Vec::new(), data: Vec::new(), deaf: false }
    }

    /// Everything that is to be sent goes to the server, and what that sends comes back.
    fn exchange(&mut self) {
        while let Some(bytes) = self.client.poll_transmit() {
            self.pass(&bytes);
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        if self.deaf {
            return;
        }
        for (from, to, bytes) in self.fake.handle(self.client.local, self.fake.address, bytes) {
            match from == self.fake.address {
                true if self.client.server.reliable => {
                    let mut data = Vec::new();
                    self.client.receive_bytes(self.now, &bytes, |peer, bytes| data.push((peer, bytes.to_vec())));
                    self.data.append(&mut data);
                }
                true => {
                    if let Received::Data(peer, bytes) = self.client.receive(self.now, &bytes) {
                        self.data.push((peer, bytes.to_vec()));
                    }
                }
                false => self.relayed.push((from, to, bytes)),
            }
        }
    }

    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        self.exchange();
        while let Some(due) = self.client.due().filter(|due| *due <= end) {
            self.now = due;
            self.client.handle_timeout(due);
            self.exchange();
        }
        self.now = end;
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.client.wrap(PEER, bytes, &mut out);
        self.pass(&out);
        out
    }

    fn fault(&self) -> String {
        self.client.fault().map_or_else(|| "none".to_owned(), |fault| fault.to_string())
    }
}

#[test]
fn a_stun_server_tells_our_address_and_is_asked_again_every_fifteen_seconds() {
    let mut world = World::new(None, false);
    world.run(ms(1));
    assert_eq!((world.client.mapped(), world.client.is_settled()), (Some(at("192.0.2.7:4000")), true));
    world.run(Duration::from_secs(45));
    assert_eq!((world.fake.asked.len(), world.fault().as_str()), (4, "none"));
}

#[test]
fn an_address_is_allocated_with_the_credentials_that_are_asked_for_and_refreshed_and_released() {
    let mut world = World::new(Some("secret"), false);
    world.run(ms(1));
    assert_eq!(world.client.relayed(), Some(at("192.0.2.1:50000")));
    assert_eq!(world.client.mapped(), Some(at("192.0.2.7:5000")), "the server sees another port");
    assert_eq!(world.fake.asked, [3, 3], "the first request brings the challenge");
    world.run(Duration::from_secs(540));
    assert_eq!(world.fake.asked, [3, 3, 4], "a minute before its end");
    world.client.release(world.now);
    world.exchange();
    assert_eq!((world.fake.asked.len(), world.fake.allocations.len()), (4, 0));
    assert_eq!(world.client.due(), None, "nothing more is done");
}

/// When the client sends, from now until it has nothing more to do; nobody hears it.
fn sendings(world: &mut World) -> Vec<u128> {
    let (mut sent, start) = (Vec::new(), world.now);
    loop {
        while world.client.poll_transmit().is_some() {
            sent.push((world.now - start).as_millis());
        }
        let Some(due) = world.client.due() else { return sent };
        world.now = due;
        world.client.handle_timeout(due);
    }
}

#[test]
fn bug_the_end_of_an_allocation_is_repeated_until_it_is_answered() {
    let mut world = World::new(Some("secret"), false);
    world.run(ms(1));
    world.client.permit(world.now, PEER.ip());
    world.client.release(world.now);
    world.client.release(world.now);
    let permission = world.client.poll_transmit();
    assert!(permission.is_some() && !world.client.is_released());
    world.deaf = true;
    world.run(ms(1_000));
    assert!(!world.client.is_released(), "nobody has answered");
    world.deaf = false;
    // A server may have changed its nonce meanwhile.
    world.fake.nonce = 2;
    world.run(ms(1_000));
    assert_eq!((&world.fake.asked[2..], world.fake.allocations.len()), (&[4, 4][..], 0));
    assert!(world.client.is_released() && world.client.due().is_none() && world.fault() == "none");

    let mut world = World::new(Some("secret"), false);
    world.run(ms(1));
    world.client.release(world.now);
    assert_eq!(sendings(&mut world), [0, 250, 750, 1750, 3750, 7750], "an end to it, where nobody ever answers");
    assert!(world.client.is_released());

    let mut world = World::new(Some("secret"), true);
    world.client.opened(world.now);
    world.run(ms(1));
    world.client.release(world.now);
    assert_eq!(sendings(&mut world), [0], "a connection loses nothing");
    assert!(world.client.is_released());
}

#[test]
fn bug_an_allocation_whose_answer_is_under_way_at_the_end_is_given_back() {
    let mut world = World::new(Some("secret"), false);
    let first = world.client.poll_transmit().expect("it asks");
    world.pass(&first);
    world.client.release(world.now);
    assert!(!world.client.is_released(), "what it has asked for is to be answered");
    world.exchange();
    assert_eq!((&world.fake.asked[..], world.fake.allocations.len()), (&[3, 3, 4][..], 0));
    assert!(world.client.is_released());

    let mut world = World::new(Some("secret"), false);
    let first = world.client.poll_transmit().expect("it asks");
    world.client.release(world.now);
    world.pass(&first);
    assert_eq!(world.client.poll_transmit(), None, "a challenge is not taken up any more");
    assert!(world.client.is_released());
}

#[test]
fn data_goes_both_ways_by_indications_and_then_by_a_channel() {
    for reliable in [false, true] {
        let mut world = World::new(Some("secret"), reliable);
        if reliable {
            assert_eq!(world.client.poll_transmit(), None, "there is no connection yet");
            world.client.opened(world.now);
        }
        world.run(ms(1));
        let relayed = world.client.relayed().expect("allocated");
        assert_eq!(world.client.mapped().is_some(), !reliable, "what a server sees of TCP is no candidate of UDP");
        world.send(b"lost");
        assert_eq!(world.relayed, [], "nothing is permitted yet");
        world.client.permit(world.now, PEER.ip());
        world.run(ms(1));
        let sent = world.send(b"hello");
        assert_eq!((sent.len(), world.relayed.len()), (20 + 12 + 12, 1));
        assert_eq!(world.relayed[0], (relayed, PEER, b"hello".to_vec()));
        world.client.bind(world.now, PEER);
        world.run(ms(1));
        let sent = world.send(b"hello");
        assert_eq!(sent[..4], [0x40, 0, 0, 5]);
        assert_eq!((sent.len(), world.relayed.len()), (if reliable { 12 } else { 9 }, 2));
        let Fake { address, .. } = world.fake;
        for (from, _, mut bytes) in world.fake.handle(PEER, relayed, b"answer!!") {
            assert_eq!(from, address);
            if reliable {
                // In pieces.
                let rest = bytes.split_off(3);
                world.client.receive_bytes(world.now, &bytes, |_, _| panic!("it is not whole"));
                let mut got = Vec::new();
                world.client.receive_bytes(world.now, &rest, |peer, data| got.push((peer, data.to_vec())));
                assert_eq!(got, [(PEER, b"answer!!".to_vec())]);
            } else {
                assert_eq!(world.client.receive(world.now, &bytes), Received::Data(PEER, b"answer!!"));
            }
        }
    }
}

#[test]
fn permissions_and_channels_are_renewed_every_four_minutes() {
    let mut world = World::new(Some("secret"), false);
    world.run(ms(1));
    world.client.permit(world.now, PEER.ip());
    world.client.permit(world.now, PEER.ip());
    world.client.bind(world.now, PEER);
    world.run(ms(1));
    assert_eq!(world.fake.asked, [3, 3, 8, 9], "each once");
    world.run(Duration::from_secs(241));
    assert_eq!(world.fake.asked[4..], [8, 9]);
}

#[test]
fn a_wrong_password_a_quota_and_a_lost_allocation_are_told_by_name() {
    let mut world = World::new(Some("wrong"), false);
    world.run(ms(1));
    assert_eq!(world.fault(), format!("{NAME} refused: 401 Unauthorized, user name or password is wrong"));
    assert_eq!((world.fake.asked.len(), world.client.is_settled()), (2, true), "it is shown once");

    let mut world = World::new(None, false);
    world.client.server.login = Some(Login { username: "agent".into(), password: Secret::new("secret") });
    world.fake.refuses = Some((3, 486));
    world.client.begin(world.now);
    world.run(ms(1));
    let quota = "refused: 486 Allocation Quota Reached, the user has as many allocations as the server allows";
    assert_eq!(world.fault(), format!("{NAME} {quota}"));

    let mut world = World::new(Some("secret"), false);
    world.run(ms(1));
    world.fake.refuses = Some((4, 437));
    world.run(Duration::from_secs(541));
    assert!(world.fault().starts_with(&format!("{NAME} refused: 437 ")), "{}", world.fault());
    assert_eq!(world.client.due(), None);
}

#[test]
fn an_allocation_that_is_in_the_way_has_time_to_go() {
    for (goes, relayed) in [(true, true), (false, false)] {
        let mut world = World::new(Some("secret"), false);
        world.fake.refuses = Some((3, 437));
        world.run(ms(600));
        assert_eq!((world.fake.asked.len(), world.fault().as_str()), (3, "none"));
        if goes {
            world.fake.refuses = None;
        }
        world.run(Duration::from_secs(2));
        assert_eq!(
            (world.client.relayed().is_some(), world.fault() == "none"),
            (relayed, relayed),
            "{}",
            world.fault()
        );
    }
}

#[test]
fn a_stale_nonce_is_replaced_and_a_server_that_takes_none_of_its_own_is_left() {
    let mut world = World::new(Some("secret"), false);
    world.run(ms(1));
    world.fake.nonce = 2;
    world.client.permit(world.now, PEER.ip());
    world.run(ms(1));
    assert_eq!((&world.fake.asked[..], world.fault().as_str()), (&[3, 3, 8, 8][..], "none"));
    world.fake.refuses = Some((8, 438));
    world.client.permit(world.now, at("192.0.2.10:1").ip());
    world.run(ms(1));
    assert!(world.fake.asked.len() < 10, "{:?}", world.fake.asked);
}

#[test]
fn a_peer_that_the_server_forbids_is_named() {
    let mut world = World::new(Some("secret"), false);
    world.run(ms(1));
    world.fake.refuses = Some((8, 403));
    world.client.permit(world.now, PEER.ip());
    world.run(ms(1));
    assert_eq!(world.fault(), format!("{NAME} relays nothing to 192.0.2.9: 403 Forbidden"));
}

#[test]
fn requests_are_repeated_with_doubled_waits_and_silence_is_told() {
    let mut world = World::new(Some("secret"), false);
    let start = world.now;
    assert_eq!(sendings(&mut world), [0, 250, 750, 1750, 3750, 7750]);
    assert_eq!((world.now - start, world.fault()), (ms(11_750), format!("{NAME} did not answer")));
}

#[test]
fn a_server_that_is_given_up_early_was_silent_and_one_without_a_connection_had_none() {
    for (reliable, text) in [(false, "did not answer"), (true, "has no connection: it was not open in time")] {
        let mut world = World::new(Some("secret"), reliable);
        world.client.give_up();
        assert_eq!(world.fault(), format!("{NAME} {text}"));
        world.client.opened(world.now);
        world.client.lost("reset".to_owned());
        assert_eq!(world.fault(), format!("{NAME} {text}"), "the first trouble stays");
    }
}

#[test]
fn a_response_that_is_not_proved_or_was_not_asked_for_is_passed_over() {
    let mut world = World::new(Some("secret"), false);
    world.run(ms(1));
    world.client.permit(world.now, PEER.ip());
    let request = world.client.poll_transmit().expect("it asks");
    let mut response = world.fake.handle(world.client.local, world.fake.address, &request).remove(0).2;
    let last = response.len() - 1;
    response[last] ^= 1;
    assert_eq!(world.client.receive(world.now, &response), Received::Stray, "wrong integrity");
    assert!(!world.client.permissions[0].granted);
    let mut bare = response[..20].to_vec();
    bare[2..4].fill(0);
    assert_eq!(world.client.receive(world.now, &bare), Received::Stray, "no integrity");
    response[last] ^= 1;
    assert_eq!(world.client.receive(world.now, &response), Received::Taken);
    assert!(world.client.permissions[0].granted);
    assert_eq!(world.client.receive(world.now, &response), Received::Stray, "once");
}

#[test]
fn what_comes_over_a_connection_and_is_no_turn_ends_it() {
    let mut world = World::new(Some("secret"), true);
    world.client.opened(world.now);
    world.client.receive_bytes(world.now, b"HTTP/1.1 400 Bad Request\r\n", |_, _| panic!("no data"));
    assert_eq!(world.fault(), format!("{NAME} has no connection: what comes over it is no TURN"));
}

#[test]
fn neither_password_nor_nonce_is_ever_printed() {
    let mut world = World::new(Some("secret"), false);
    world.run(ms(1));
    let shown = format!("{:?} {:?}", world.client, world.client.server);
    assert!(!shown.contains("secret") && !shown.contains("nonce"), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_from_a_server_are_taken_without_a_panic_and_within_bounds(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..20),
        kinds in prop::collection::vec(0..0x0200_u16, 20),
        reliable: bool,
    ) {
        let mut world = World::new(Some("secret"), reliable);
        world.client.opened(world.now);
        world.run(ms(1));
        world.client.bind(world.now, PEER);
        for (packet, kind) in packets.iter().zip(kinds) {
            let mut packet = packet.clone();
            if packet.len() >= 20 && kind & 1 == 0 {
                packet[..2].copy_from_slice(&kind.to_be_bytes());
                let length = (packet.len() as u16 - 20).to_be_bytes();
                packet[2..4].copy_from_slice(&length);
                packet[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            }
            let _ = world.client.receive(world.now, &packet);
            world.client.receive_bytes(world.now, &packet, |_, _| {});
            world.client.handle_timeout(world.now);
        }
        prop_assert!(world.client.inbox.len() <= 70_000 && world.client.requests.len() <= 20);
    }
}
