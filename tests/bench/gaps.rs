//! How evenly the packets of RTP streams come, for benches: by the kernel's time stamps, whoever sends them.
//!
//! No crate: `rustc -O tests/bench/gaps.rs && ./gaps PORT`. Listens on 127.0.0.1 until nothing has come for two seconds, then prints
//! the streams, the packets, the share of gaps that are more than 1 ms off 20 ms, and the mean interarrival jitter (RFC 3550
//! §6.4.1) over all packets, ms. A stream is what comes from one port with one SSRC.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

const SOL_SOCKET: c_int = 1;
/// As root, beyond what the system grants (`SO_RCVBUFFORCE`).
const SO_RCVBUFFORCE: c_int = 33;
/// Names the option and the control message of it.
const SO_TIMESTAMPNS: c_int = 35;
const BUFFER: c_int = 64 << 20;
const NANOS: i64 = 1_000_000_000;
const PTIME: i64 = 20_000_000;
/// G.711 at 8 kHz.
const NANOS_PER_TICK: i64 = 125_000;

#[repr(C)]
struct Slice {
    base: *mut c_void,
    length: usize,
}

#[repr(C)]
struct Message {
    name: *mut c_void,
    name_length: u32,
    slices: *mut Slice,
    count: usize,
    control: *mut c_void,
    control_length: usize,
    flags: c_int,
}

/// What the kernel says beside a datagram: one control message with the time of its arrival.
#[repr(C)]
#[derive(Default)]
struct Control {
    length: usize,
    level: c_int,
    kind: c_int,
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn setsockopt(socket: c_int, level: c_int, name: c_int, value: *const c_void, length: u32) -> c_int;
    fn recvmsg(socket: c_int, message: *mut Message, flags: c_int) -> isize;
}

#[derive(Default)]
struct Stream {
    last: Option<(i64, u32)>,
    jitter: f64,
}

fn main() {
    let port = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("a PORT");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    for (name, value) in [(SO_RCVBUFFORCE, BUFFER), (SO_TIMESTAMPNS, 1)] {
        // SAFETY: the value is an int that lives through the call, and its length is said.
        unsafe { setsockopt(socket.as_raw_fd(), SOL_SOCKET, name, ptr::from_ref(&value).cast(), size_of::<c_int>() as u32) };
    }
    let mut streams: HashMap<(u16, u32), Stream> = HashMap::new();
    let (mut packets, mut gaps, mut off, mut jitter) = (0_u64, 0_u64, 0_u64, 0.0);
    while let Some((from, at, timestamp)) = receive(&socket, packets > 0) {
        let stream = streams.entry(from).or_default();
        packets += 1;
        if let Some((before, stamped)) = stream.last {
            let (gap, sent) = (at - before, i64::from(timestamp.wrapping_sub(stamped) as i32) * NANOS_PER_TICK);
            gaps += 1;
            off += u64::from((gap - PTIME).abs() > 1_000_000);
            stream.jitter += (((gap - sent) as f64).abs() / 1e6 - stream.jitter) / 16.0;
        }
        stream.last = Some((at, timestamp));
        jitter += stream.jitter;
    }
    println!("{} {packets} {:.6} {:.6}", streams.len(), off as f64 / gaps.max(1) as f64, jitter / packets.max(1) as f64);
}

/// The port and SSRC of the next packet, when it came, ns, and its RTP timestamp. Once they come, two seconds without one end it.
fn receive(socket: &UdpSocket, ends: bool) -> Option<((u16, u32), i64, u32)> {
    socket.set_read_timeout(ends.then_some(Duration::from_secs(2))).expect("a socket");
    let (mut name, mut bytes, mut control) = ([0_u8; 16], [0_u8; 2048], Control::default());
    let mut slice = Slice { base: bytes.as_mut_ptr().cast(), length: bytes.len() };
    let mut message = Message {
        name: name.as_mut_ptr().cast(),
        name_length: name.len() as u32,
        slices: &mut slice,
        count: 1,
        control: ptr::from_mut(&mut control).cast(),
        control_length: size_of::<Control>(),
        flags: 0,
    };
    // SAFETY: everything that the message points to lives through the call and is as long as it says.
    let length = unsafe { recvmsg(socket.as_raw_fd(), &mut message, 0) };
    let is_stamped = control.level == SOL_SOCKET && control.kind == SO_TIMESTAMPNS;
    if length < 12 || !is_stamped {
        return None;
    }
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let port = u16::from_be_bytes([name[2], name[3]]);
    Some(((port, word(8)), control.seconds * NANOS + control.nanoseconds, word(4)))
}
