//! What it costs to hear one stream, without keys (DTMF) and with them, and to send one: `cargo run --release --example codecs`. Milliseconds of CPU for each
//! second of audio, the best of five rounds of a minute, for every codec. One thread, no sockets.

use std::hint::black_box;
use std::time::Duration;

use ringfleet::media::Codec;
use ringfleet::media::audio::{self, Listener, Marker, Reference};
use ringfleet::net::clock;

/// Length of a round, seconds.
const SECONDS: u32 = 60;
const ROUNDS: u32 = 5;

fn main() {
    println!("{:6} {:>10} {:>10} {:>10}   ms of CPU for each second of audio", "codec", "hear", "and keys", "send");
    for codec in Codec::ALL {
        audio::prepare(codec);
        let frames = frames(codec);
        let listen = |for_keys: bool| {
            let start = clock::now();
            let mut listener = Listener::new(start);
            if for_keys {
                listener.listen_for_keys();
            }
            for (i, frame) in (0_u32..).zip(&frames) {
                let timestamp = 160 * codec.units_per_sample() * i;
                black_box(listener.hear(start + Duration::from_millis(20) * i, codec, timestamp, frame));
            }
            assert!(listener.meter().level_dbov().is_some_and(|level| (level + 20.0).abs() < 1.0));
            assert!(listener.take_keys().is_empty());
        };
        let (hear, with_keys) = (best(|| listen(false)), best(|| listen(true)));
        let send = best(|| drop(black_box(self::frames(codec))));
        println!("{:6} {hear:10.3} {with_keys:10.3} {send:10.3}", codec.name());
    }
}

/// A round of reference audio, in frames of 20 ms.
fn frames(codec: Codec) -> Vec<Vec<u8>> {
    let mut reference = Reference::default();
    let frame = |_| {
        let mut frame = Vec::with_capacity(160);
        reference.fill(codec, 160, |sequence| Marker { id: 7, sequence, hears: 0 }, &mut frame);
        frame
    };
    (0..SECONDS * 50).map(frame).collect()
}

/// Milliseconds for each second of audio.
fn best(mut round: impl FnMut()) -> f64 {
    let mut took = || {
        let from = clock::now();
        round();
        (clock::now() - from).as_secs_f64() * 1_000.0 / f64::from(SECONDS)
    };
    (0..ROUNDS).map(|_| took()).fold(f64::INFINITY, f64::min)
}
