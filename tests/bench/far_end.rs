//! The least far end that answers calls over UDP, for benches: 180 and 200 to INVITE, 200 to everything else but ACK.
//!
//! It keeps nothing of a call and waits for nothing, so both callers that a bench compares have the same far end and it
//! is never the limit. No crate: `rustc -O tests/bench/far_end.rs && ./far_end 127.0.0.1:5060 [AUDIO_PORT]`. Audio goes to the
//! port said, by default 9.

use std::ffi::{c_int, c_void};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Bytes that the socket may hold: what a pause of the machine piles up is answered late and not lost, so that a bench finds the
/// limit of the caller. The kernel grants less where `net.core.rmem_max` is smaller.
const BUFFER: c_int = 4 << 20;

unsafe extern "C" {
    fn setsockopt(socket: c_int, level: c_int, name: c_int, value: *const c_void, length: u32) -> c_int;
}

/// Header fields that a response repeats.
const REPEATED: [&[u8]; 5] = [b"Via:", b"From:", b"Call-ID:", b"CSeq:", b"Record-Route:"];

fn main() {
    let address: SocketAddr = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("an ADDRESS:PORT");
    let audio = std::env::args().nth(2).unwrap_or_else(|| "9".into());
    let sdp = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {audio} RTP/AVP 8 0\r\n");
    let socket = UdpSocket::bind(address).expect("the address is free");
    const SOL_SOCKET: c_int = 1;
    const SO_RCVBUF: c_int = 8;
    // SAFETY: the value is an int that lives through the call, and its length is said.
    unsafe { setsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_RCVBUF, std::ptr::from_ref(&BUFFER).cast(), size_of::<c_int>() as u32) };
    let contact = format!("Contact: <sip:{address}>\r\n");
    let (mut request, mut response) = ([0; 65_536], Vec::new());
    loop {
        let Ok((length, from)) = socket.recv_from(&mut request) else { continue };
        let request = &request[..length];
        let invite = request.starts_with(b"INVITE ");
        if request.starts_with(b"ACK ") || request.starts_with(b"SIP/") {
            continue;
        }
        for code in if invite { &["180 Ringing", "200 OK"][..] } else { &["200 OK"][..] } {
            response.clear();
            let sdp = if invite && code.starts_with('2') { &sdp } else { "" };
            answer(&mut response, request, code, &contact, sdp);
            let _ = socket.send_to(&response, from);
        }
    }
}

fn answer(arena: &mut Vec<u8>, request: &[u8], code: &str, contact: &str, sdp: &str) {
    arena.extend_from_slice(b"SIP/2.0 ");
    arena.extend_from_slice(code.as_bytes());
    arena.extend_from_slice(b"\r\n");
    let head = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(request.len());
    for line in request[..head].split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is = |name: &[u8]| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name);
        if REPEATED.into_iter().any(is) {
            arena.extend_from_slice(line);
        } else if is(b"To:") {
            arena.extend_from_slice(line);
            if !line.windows(5).any(|five| five == b";tag=") {
                arena.extend_from_slice(b";tag=far");
            }
        } else {
            continue;
        }
        arena.extend_from_slice(b"\r\n");
    }
    arena.extend_from_slice(contact.as_bytes());
    if !sdp.is_empty() {
        arena.extend_from_slice(b"Content-Type: application/sdp\r\n");
    }
    arena.extend_from_slice(format!("Content-Length: {}\r\n\r\n", sdp.len()).as_bytes());
    arena.extend_from_slice(sdp.as_bytes());
}
