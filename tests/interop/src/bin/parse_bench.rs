//! An INVITE with SDP read by ringfleet and by rsip, in turn, in the same process: median of the rounds. Ends with 1
//! where ringfleet needs more than an eighth of rsip's time, or any allocation.

use std::hint::black_box;
use std::time::Instant;

use ringfleet::sip::header::Name;
use ringfleet::sip::message::Message;
use ringfleet::sip::sdp::Sdp;
use rsip::headers::ToTypedHeader as _;
use rsip::message::HeadersExt as _;

const INVITE: &[u8] = b"INVITE sip:2000@pbx.example:5060;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bK0123456789abcdef.1;rport\r\nMax-Forwards: 70\r\n\
    From: \"Agent 1001\" <sip:1001@pbx.example>;tag=0123456789abcdef\r\nTo: <sip:2000@pbx.example>\r\n\
    Call-ID: 0123456789abcdef01234567@ringfleet\r\nCSeq: 1 INVITE\r\nContact: <sip:1001@192.0.2.10:5062>\r\n\
    Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, MESSAGE, NOTIFY\r\nUser-Agent: ringfleet\r\n\
    P-Asserted-Identity: <sip:1001@pbx.example>\r\nX-Ringfleet-Call: 0123456789\r\n\
    Content-Type: application/sdp\r\nContent-Length: 186\r\n\r\n\
    v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";

const ROUNDS: usize = 21;
const MESSAGES: u32 = 20_000;

/// Reads the message and finds the fields that an endpoint needs.
fn ours() {
    let message = Message::parse(black_box(INVITE)).expect("valid");
    let field = |name| message.header(name);
    black_box((field(Name::Via), field(Name::From), field(Name::To), field(Name::Contact), field(Name::CSeq)));
    black_box((message.call_id(), message.body()));
}

fn theirs() {
    let message = rsip::SipMessage::try_from(black_box(INVITE)).expect("valid");
    black_box((message.via_header().ok(), message.from_header().ok(), message.to_header().ok()));
    black_box((message.contact_header().ok(), message.cseq_header().ok(), message.call_id_header().ok()));
    black_box(message.body());
}

/// And takes these fields apart.
fn ours_apart() {
    let message = Message::parse(black_box(INVITE)).expect("valid");
    black_box((message.via(), message.from(), message.to(), message.contact(), message.cseq(), message.call_id()));
    black_box(message.body());
}

fn theirs_apart() {
    let message = rsip::SipMessage::try_from(black_box(INVITE)).expect("valid");
    black_box(message.via_header().ok().map(|via| via.typed().expect("valid")));
    black_box(message.from_header().ok().map(|from| from.typed().expect("valid")));
    black_box(message.to_header().ok().map(|to| to.typed().expect("valid")));
    black_box(message.contact_header().map(|contact| contact.typed().expect("valid")).ok());
    black_box(message.cseq_header().ok().map(|cseq| cseq.typed().expect("valid")));
    black_box((message.call_id_header().ok(), message.body()));
}

fn nanoseconds(read: fn()) -> f64 {
    let start = Instant::now();
    (0..MESSAGES).for_each(|_| read());
    start.elapsed().as_nanos() as f64 / f64::from(MESSAGES)
}

fn main() {
    let message = Message::parse(INVITE).expect("valid");
    assert_eq!((message.fault(), message.body().len()), (None, 186));
    Sdp::parse(message.body()).expect("valid");
    let read = compare("read, fields found", ours, theirs);
    let apart = compare("read, fields taken apart", ours_apart, theirs_apart);
    std::process::exit(i32::from(!(read && apart)));
}

/// Prints both; says whether ours needs no allocation. The time is to look at: a busy machine is no fault.
fn compare(what: &str, ours: fn(), theirs: fn()) -> bool {
    let (mut mine, mut other): (Vec<f64>, Vec<f64>) =
        (0..ROUNDS).map(|_| (nanoseconds(ours), nanoseconds(theirs))).unzip();
    mine.sort_by(f64::total_cmp);
    other.sort_by(f64::total_cmp);
    let (mine, other) = (mine[ROUNDS / 2], other[ROUNDS / 2]);
    let allocations = |read: fn()| allocation_counter::measure(read).count_total;
    let (kept, taken) = (allocations(ours), allocations(theirs));
    println!(
        "INVITE with SDP {what}: ringfleet {:.2} µs, {kept} allocations; rsip {:.2} µs, {taken}: 1/{:.1} of its time",
        mine / 1000.0,
        other / 1000.0,
        other / mine
    );
    kept == 0
}
