//! What RFC 4475 and RFC 5118 state beyond reading a message, asked of the stations that can be called: the simulated
//! PBX and `ringfleet answer`. Both are one endpoint, and each has its own words before and after it.

use ringfleet::station::Station;

use super::*;
use crate::far_ends::FarEnd;

/// Requests with a stated final response, in the order of RFC 4475.
const STATED: [(&str, &str); 24] = [
    ("wsinv", "SIP/2.0 481 Call/Transaction Does Not Exist"),
    ("intmeth", "SIP/2.0 501 Not Implemented"),
    ("esc02", "SIP/2.0 501 Not Implemented"),
    ("badinv01", "SIP/2.0 400 Bad Via Header Field"),
    ("clerr", "SIP/2.0 400 Bad Content-Length"),
    ("ncl", "SIP/2.0 400 Bad Content-Length"),
    ("scalar02", "SIP/2.0 400 Bad CSeq Header Field"),
    ("quotbal", "SIP/2.0 400 Bad To Header Field"),
    ("lwsruri", "SIP/2.0 400 Bad Request-URI"),
    ("badvers", "SIP/2.0 505 Version Not Supported"),
    ("mismatch01", "SIP/2.0 400 CSeq Method Does Not Match"),
    ("mismatch02", "SIP/2.0 501 Not Implemented"),
    ("insuf", "SIP/2.0 400 Missing Call-ID Header Field"),
    // §3.3.2 and §3.3.3: 416 for a scheme that is not understood.
    ("unkscm", "SIP/2.0 416 Unsupported URI Scheme"),
    ("novelsc", "SIP/2.0 416 Unsupported URI Scheme"),
    // §3.3.5: 420 with both tags in Unsupported.
    ("bext01", "SIP/2.0 420 Bad Extension"),
    // §3.3.6, §3.1.1.11: 415 with Accept.
    ("invut", "SIP/2.0 415 Unsupported Media Type"),
    ("multi01", "SIP/2.0 400 Several Call-ID Header Fields"),
    ("mcl01", "SIP/2.0 400 Bad Content-Length"),
    // §3.3.11: an endpoint acts as if Max-Forwards were positive.
    ("zeromf", "SIP/2.0 200 OK"),
    // §3.3.15: 406, with a Warning that says why.
    ("sdp01", "SIP/2.0 406 Not Acceptable"),
    ("ipv6-bad", "SIP/2.0 400 Bad Request-URI"),
    ("trws", "SIP/2.0 200 OK"),
    ("semiuri", "SIP/2.0 200 OK"),
];

/// Responses of somebody: none of them may be answered or end anything.
const RESPONSES: [&str; 5] = ["unreason", "noreason", "scalarlg", "bigcode", "bcast"];

fn assert_stated<S: Station>(make: fn() -> FarEnd<S>, who: &str) {
    for (name, line) in STATED {
        let mut far_end = make();
        assert_eq!(far_end.final_line(&message(name)).as_deref(), Some(line), "{name} at {who}");
    }
    for name in RESPONSES {
        assert_eq!(make().take(&message(name)), Vec::<String>::new(), "{name} at {who}");
    }
}

#[test]
fn the_pbx_answers_each_message_as_it_is_stated() {
    assert_stated(FarEnd::pbx, "the PBX");
}

#[test]
fn ringfleet_answer_answers_each_message_as_it_is_stated() {
    assert_stated(FarEnd::answering, "answer");
}

/// The final answer's text.
fn answered<S: Station>(mut far_end: FarEnd<S>, name: &str) -> String {
    let sent = far_end.take(&message(name));
    sent.into_iter().find(|text| !text.starts_with("SIP/2.0 1")).unwrap_or_else(|| panic!("{name} is not answered"))
}

#[test]
fn a_refusal_says_what_would_be_taken_instead() {
    for (name, lines) in [
        ("bext01", &["Unsupported: nothingSupportsThis, nothingSupportsThisEither\r\n"][..]),
        ("invut", &["Accept: application/sdp\r\n"]),
        ("sdp01", &["Warning: 399 ringfleet \"Accept leaves out application/sdp\"\r\n"]),
        ("mismatch02", &["Allow: INVITE, ACK, "]),
        ("intmeth", &["Allow: INVITE, ACK, "]),
    ] {
        for text in [answered(FarEnd::pbx(), name), answered(FarEnd::answering(), name)] {
            for line in lines {
                assert!(text.contains(line), "{name}: {text}");
            }
        }
    }
}

/// INVITEs that are calls whatever is odd about them: both ring, and go on to a final answer of the call itself.
#[test]
fn invites_that_are_only_odd_ring_at_the_far_end() {
    for name in [
        "esc01",
        "longreq",
        "ltgtruri",
        "lwsstart",
        "escruri",
        "baddate",
        "inv2543",
        "ipv6-in-sdp",
        "mult-ip-in-sdp",
        "ipv4-mapped-ipv6",
    ] {
        let mut far_end = FarEnd::answering();
        let sent = far_end.take(&message(name));
        assert!(sent[0].starts_with("SIP/2.0 180 Ringing\r\n"), "{name}: {sent:?}");
        let later = far_end.pass(std::time::Duration::from_millis(1100));
        let line = later.iter().find_map(|text| text.lines().next()).unwrap_or_default();
        // Those of RFC 5118 offer an address that nobody here can send to, which is no reason to refuse them.
        assert!(line == "SIP/2.0 200 OK" || line.starts_with("SIP/2.0 488"), "{name}: {line}");
        // Nobody has that number at the PBX.
        let text = answered(FarEnd::pbx(), name);
        assert!(text.starts_with("SIP/2.0 404 Not Found\r\n"), "{name}: {text}");
    }
}

#[test]
fn a_multipart_body_that_has_to_be_understood_is_refused_with_415() {
    // §3.1.1.11 is a MESSAGE, which is answered as any; the same body in an INVITE has to be understood.
    let text = String::from_utf8_lossy(&message("invut")).replace("application/unknownformat", "multipart/mixed");
    assert!(text.contains("multipart/mixed"), "{text}");
    assert_eq!(FarEnd::answering().final_line(text.as_bytes()).as_deref(), Some("SIP/2.0 415 Unsupported Media Type"));
    let optional = text.replace("Content-Length", "Content-Disposition: session;handling=optional\r\nContent-Length");
    assert_eq!(FarEnd::answering().final_line(optional.as_bytes()), None, "it rings: the body may be left unread");
}

#[test]
fn an_accept_field_that_takes_sdp_in_any_words_is_no_reason_to_refuse() {
    let with = |accept: &str| {
        String::from_utf8_lossy(&message("sdp01")).replace("Accept: text/nobodyKnowsThis", accept).into_bytes()
    };
    for accept in ["Accept: application/sdp", "Accept: text/x, Application/SDP;level=1", "Accept: */*;q=0.1", "X: y"] {
        assert_eq!(FarEnd::answering().final_line(&with(accept)), None, "{accept}");
    }
    for accept in ["Accept:", "Accept: text/*", "Accept: application/sdpx\r\nAccept: text/plain"] {
        let line = FarEnd::answering().final_line(&with(accept));
        assert_eq!(line.as_deref(), Some("SIP/2.0 406 Not Acceptable"), "{accept}");
    }
}
