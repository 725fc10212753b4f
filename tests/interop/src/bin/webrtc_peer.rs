//! The `webrtc` crate at a telephone, over SIP of the barest kind.
//!
//! `webrtc_peer answer LISTEN CALLS [OPTIONS]`: answers so many calls, sends back what it hears, and prints what it saw of each.
//! `webrtc_peer call SERVER [OPTIONS]`: calls, sends reference audio and looks for it in what comes back.
//!
//! OPTIONS: `--codec opus|PCMU|PCMA`, `--srtp cm|gcm` (the only profile that it takes), `--dtls client|server` (where it answers),
//! and of calls `--calls N`, `--rate N` a second, `--seconds N`, `--restart` (ICE begins anew in the middle).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfleet::media::codec::Codec;
use ringfleet_interop::web::peer::{Fallible, Peer, Seen, Wanted, watch_own_lateness};
use ringfleet_interop::web::sip::{self, Caller};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::peer_connection::transport::RTCDtlsRole;
use tokio::net::UdpSocket;

struct Options {
    wanted: Wanted,
    calls: usize,
    rate: f64,
    seconds: f64,
    restart: bool,
}

fn options(words: &[String], echo: bool) -> Fallible<Options> {
    let wanted = Wanted { codec: Codec::Opus, profile: None, role: None, echo, id: 0 };
    let mut options = Options { wanted, calls: 1, rate: 1.0, seconds: 5.0, restart: false };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "--restart" {
            options.restart = true;
            continue;
        }
        match (word, words.next().ok_or("an option without its value")?) {
            ("--codec", name) => options.wanted.codec = Codec::from_name(name).ok_or("an unknown codec")?,
            ("--srtp", "cm") => options.wanted.profile = Some(SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80),
            ("--srtp", "gcm") => options.wanted.profile = Some(SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm),
            ("--dtls", "client") => options.wanted.role = Some(RTCDtlsRole::Client),
            ("--dtls", "server") => options.wanted.role = Some(RTCDtlsRole::Server),
            ("--calls", number) => options.calls = number.parse()?,
            ("--rate", number) => options.rate = number.parse()?,
            ("--seconds", number) => options.seconds = number.parse()?,
            _ => return Err(format!("what is {word}?").into()),
        }
    }
    Ok(options)
}

fn tell(seen: &Seen, late_ms: &Mutex<f64>) {
    let Seen { connected_ms, sent, received, lost, markers, .. } = seen;
    let late_ms = *late_ms.lock().expect("nobody panics with it");
    println!(
        "{{\"over\":true,\"connected_ms\":{connected_ms:?},\"sent\":{sent},\"received\":{received},\"lost\":{lost},\
         \"markers\":{markers},\"late_ms\":{late_ms:.1}}}"
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Fallible<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let late_ms = Arc::new(Mutex::new(0.0));
    tokio::spawn(watch_own_lateness(Arc::clone(&late_ms)));
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["answer", listen, calls, ..] => {
            answer(listen.parse()?, calls.parse()?, &options(&words[3..], true)?, &late_ms).await
        }
        ["call", server, ..] => call(server.parse()?, options(&words[2..], false)?, late_ms).await,
        _ => Err("webrtc_peer answer LISTEN CALLS [OPTIONS] | webrtc_peer call SERVER [OPTIONS]".into()),
    }
}

async fn answer(listen: SocketAddr, mut calls: usize, options: &Options, late_ms: &Mutex<f64>) -> Fallible<()> {
    let socket = UdpSocket::bind(listen).await?;
    println!("answering on {}", socket.local_addr()?);
    let mut peers: HashMap<String, Peer> = HashMap::new();
    while calls > 0 {
        let request = sip::receive(&socket).await?;
        match request.method.as_str() {
            "INVITE" => {
                if !peers.contains_key(&request.call_id) {
                    let id = u16::try_from(peers.len())?;
                    peers.insert(request.call_id.clone(), Peer::new(Wanted { id, ..options.wanted }).await?);
                }
                let sdp = peers[&request.call_id].answer(&request.body).await?;
                sip::accept(&socket, &request, &sdp).await?;
            }
            "BYE" => {
                sip::accept(&socket, &request, "").await?;
                if let Some(peer) = peers.remove(&request.call_id) {
                    tell(&peer.seen(), late_ms);
                    peer.close().await?;
                    calls -= 1;
                }
            }
            "ACK" => {}
            _ => sip::accept(&socket, &request, "").await?,
        }
    }
    Ok(())
}

async fn call(server: SocketAddr, options: Options, late_ms: Arc<Mutex<f64>>) -> Fallible<()> {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let mut calls = Vec::new();
            for number in 0..options.calls {
                let wanted = Wanted { id: 0x100 + u16::try_from(number)?, ..options.wanted };
                let how = (options.seconds, options.restart);
                calls.push(tokio::task::spawn_local(one(server, wanted, how, Arc::clone(&late_ms))));
                tokio::time::sleep(Duration::from_secs_f64(1.0 / options.rate)).await;
            }
            for call in calls {
                call.await??;
            }
            Ok(())
        })
        .await
}

async fn one(
    server: SocketAddr,
    wanted: Wanted,
    (seconds, restart): (f64, bool),
    late_ms: Arc<Mutex<f64>>,
) -> Fallible<()> {
    let peer = Peer::new(wanted).await?;
    let mut caller = Caller::new(server, "2000", format!("webrtc{}x{}", std::process::id(), wanted.id)).await?;
    peer.take(&caller.offer(&peer.offer(false).await?).await?).await?;
    peer.connected().await?;
    println!("{{\"connected_ms\":{}}}", peer.seen().connected_ms[0]);
    if restart {
        tokio::time::sleep(Duration::from_secs_f64(seconds / 2.0)).await;
        peer.take(&caller.offer(&peer.offer(true).await?).await?).await?;
        tokio::time::sleep(Duration::from_secs_f64(seconds / 2.0)).await;
    } else {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
    caller.bye().await?;
    tell(&peer.seen(), &late_ms);
    peer.close().await
}
