//! The floor of a bench: the least that places calls, and the least that sends and receives RTP, with a port per stream or with
//! one for all (with a system call for each packet all the same: what sends and receives many at once is not in std). They keep no
//! figure and no state, so what they cost is what the kernel asks for on this machine.
//!
//! No crate: `rustc -O tests/bench/bare.rs`
//! - `bare calls OWN_PORT THEIR_PORT RATE CALLS`: INVITE, ACK and BYE to the far end; prints the calls that were answered to their end.
//! - `bare rtp OWN_FIRST_PORT THEIR_FIRST_PORT STREAMS SECONDS`: two of them are each other's far end; prints the packets received.
//! - `bare one OWN_PORT THEIR_PORT STREAMS SECONDS`: the same over one socket.
//! - `bare send OWN_FIRST_PORT THEIR_PORT STREAMS SECONDS`: the same, all to one port.
//!
//! Both wake every millisecond.

use std::io::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// G.711, 20 ms, with the header of RTP.
const PACKET: [u8; 172] = [0x80; 172];
/// Ticks from one packet of a stream to its next.
const PTIME: usize = 20;
/// Of a packet.
const SAMPLES: u64 = 160;
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8 0\r\n";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = words.iter().skip(1).filter_map(|text| text.parse().ok()).collect();
    let done = match (words.first().map(String::as_str), &numbers[..]) {
        (Some("calls"), &[own, theirs, rate, count]) => calls(own as u16, theirs as u16, rate, count),
        (Some("rtp"), &[own, theirs, streams, seconds]) => rtp(own, theirs..theirs + streams, seconds),
        (Some("send"), &[own, theirs, streams, seconds]) => rtp(own, std::iter::repeat_n(theirs, streams as usize), seconds),
        (Some("one"), &[own, theirs, streams, seconds]) => one(own as u16, theirs as u16, streams as usize, seconds),
        _ => panic!("calls OWN_PORT THEIR_PORT RATE CALLS | rtp|one|send OWN_FIRST_PORT THEIR_PORT STREAMS SECONDS"),
    };
    println!("{done}");
}

fn open(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

/// Waits for a tick of a millisecond.
fn wait(begun: Instant, tick: u64) {
    std::thread::sleep((begun + Duration::from_millis(tick)).saturating_duration_since(Instant::now()));
}

fn calls(own: u16, theirs: u16, rate: u64, count: u64) -> u64 {
    let (socket, begun) = (open(own), Instant::now());
    let (mut read, mut written) = ([0; 65_536], Vec::new());
    let (mut placed, mut ended, mut tick) = (0, 0, 0);
    let mut send = |method: &str, call: u64, to_tag: &str, body: &str| {
        let number = if method == "BYE" { 2 } else { 1 };
        written.clear();
        let _ = write!(
            written,
            "{method} sip:2000@127.0.0.1:{theirs} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{call}{method}\r\n\
             From: <sip:bare@127.0.0.1>;tag=b\r\nTo: <sip:2000@127.0.0.1>{to_tag}\r\nCall-ID: {call}\r\nCSeq: {number} {method}\r\n\
             Contact: <sip:bare@127.0.0.1:{own}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = socket.send_to(&written, (Ipv4Addr::LOCALHOST, theirs));
    };
    // Who is not answered is waited for one second more.
    while ended < count && tick < count * 1000 / rate + 1000 {
        tick += 1;
        wait(begun, tick);
        while placed < count && placed < tick * rate / 1000 {
            placed += 1;
            send("INVITE", placed, "", SDP);
        }
        while let Ok((length, _)) = socket.recv_from(&mut read) {
            let text = std::str::from_utf8(&read[..length]).unwrap_or_default();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            if !text.starts_with("SIP/2.0 200") {
                continue;
            }
            if field("CSeq: ").ends_with("BYE") {
                ended += 1;
            } else if let Ok(call) = field("Call-ID: ").parse() {
                send("ACK", call, ";tag=far", "");
                send("BYE", call, ";tag=far", "");
            }
        }
    }
    ended
}

fn rtp(own: u64, theirs: impl IntoIterator<Item = u64>, seconds: u64) -> u64 {
    let sockets: Vec<_> = (own..).zip(theirs).map(|(own, theirs)| (open(own as u16), theirs as u16)).collect();
    let (begun, mut read, mut received, mut packet) = (Instant::now(), [0; 2048], 0, PACKET);
    for tick in 0..seconds * 1000 {
        wait(begun, tick);
        let timestamp = (tick / PTIME as u64 * SAMPLES) as u32;
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        for (socket, remote) in sockets.iter().skip(tick as usize % PTIME).step_by(PTIME) {
            received += u64::from(socket.recv_from(&mut read).is_ok());
            let _ = socket.send_to(&packet, (Ipv4Addr::LOCALHOST, *remote));
        }
    }
    received
}

fn one(own: u16, theirs: u16, streams: usize, seconds: u64) -> u64 {
    let (socket, begun, mut read, mut received, mut packet) = (open(own), Instant::now(), [0; 2048], 0, PACKET);
    for tick in 0..seconds * 1000 {
        wait(begun, tick);
        while socket.recv_from(&mut read).is_ok() {
            received += 1;
        }
        packet[4..8].copy_from_slice(&((tick / PTIME as u64 * SAMPLES) as u32).to_be_bytes());
        for _ in (tick as usize % PTIME..streams).step_by(PTIME) {
            let _ = socket.send_to(&packet, (Ipv4Addr::LOCALHOST, theirs));
        }
    }
    received
}
