//! RFC 4475 §3.1.2: invalid messages. A request gets the error that the RFC names, or is taken where its meaning is
//! plain and the RFC allows it; a response is dropped.

use ringfleet::sip::framing::{Frame, Framer, FramingError};
use ringfleet::sip::message::{Fault, ParseError};

use super::*;

/// What a stream makes of it.
fn framed(bytes: &[u8]) -> Result<Option<usize>, FramingError> {
    let mut framer = Framer::new();
    framer.push(bytes);
    Ok(framer.next_frame()?.map(|frame| match frame {
        Frame::Message(message) => message.len(),
        Frame::Ping => 0,
    }))
}

#[test]
fn badinv01_separators_that_separate_nothing_get_400() {
    assert_answered("badinv01", "SIP/2.0 400 Bad Via Header Field");
}

#[test]
fn clerr_a_body_shorter_than_its_length_gets_400_and_a_stream_waits_for_more() {
    let bytes = message("clerr");
    let message = Message::parse(&bytes).expect("readable");
    assert_eq!((message.fault(), message.body()), (Some(Fault::Truncated { need: 9999, have: 154 }), &b""[..]));
    assert_answered("clerr", "SIP/2.0 400 Bad Content-Length");
    assert_eq!(framed(&bytes), Ok(None));
}

#[test]
fn ncl_a_negative_length_gets_400_and_ends_a_stream() {
    assert_answered("ncl", "SIP/2.0 400 Bad Content-Length");
    assert_eq!(framed(&message("ncl")), Err(FramingError::BadContentLength));
    let words = String::from_utf8_lossy(&message("ncl")).replace("-999", "five");
    assert_eq!(framed(words.as_bytes()), Err(FramingError::BadContentLength));
    assert_eq!(Message::parse(words.as_bytes()).expect("readable").fault(), Some(Fault::ContentLength));
}

#[test]
fn scalar02_numbers_that_are_too_large_are_not_wrapped_and_the_cseq_gets_400() {
    let bytes = message("scalar02");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!((message.cseq(), message.header(Name::Expires).and_then(header::number)), (None, None));
    let contact = message.contact().expect("there");
    assert_eq!(header::param(contact.params, "expires").and_then(header::number), None);
    assert_answered("scalar02", "SIP/2.0 400 Bad CSeq Header Field");
}

#[test]
fn scalarlg_a_response_with_a_cseq_that_is_too_large_is_dropped() {
    let bytes = message("scalarlg");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!((message.cseq(), message.header(Name::RetryAfter).and_then(header::number)), (None, None));
    assert_eq!(dropped("scalarlg").malformed, 1);
}

#[test]
fn quotbal_a_quote_that_never_ends_gets_400() {
    assert_answered("quotbal", "SIP/2.0 400 Bad To Header Field");
}

#[test]
fn ltgtruri_brackets_around_the_request_uri_are_ignored() {
    let bytes = message("ltgtruri");
    assert_eq!(request_uri(&Message::parse(&bytes).expect("valid")), b"sip:user@example.com");
    assert_invites("ltgtruri");
}

#[test]
fn lwsruri_white_space_in_the_request_uri_gets_400() {
    assert_answered("lwsruri", "SIP/2.0 400 Bad Request-URI");
}

#[test]
fn lwsstart_several_spaces_in_the_request_line_are_one() {
    let bytes = message("lwsstart");
    assert_eq!(request_uri(&Message::parse(&bytes).expect("valid")), b"sip:user@example.com");
    assert_invites("lwsstart");
}

#[test]
fn trws_spaces_at_the_end_of_the_request_line_are_ignored() {
    assert_answered("trws", "SIP/2.0 200 OK");
}

#[test]
fn escruri_header_fields_in_the_request_uri_are_ignored() {
    let bytes = message("escruri");
    let message = Message::parse(&bytes).expect("valid");
    let uri = Uri::parse(request_uri(&message)).expect("valid");
    assert_eq!((uri.user, uri.host, uri.params), (&b"user"[..], &b"example.com"[..], &b""[..]));
    assert_eq!(message.header(Name::Route), None, "and become none of the request's");
    assert_invites("escruri");
}

#[test]
fn baddate_a_date_that_nobody_needs_is_not_read() {
    assert_invites("baddate");
}

#[test]
fn regbadct_a_contact_without_its_brackets_is_read_up_to_its_header_fields() {
    let bytes = message("regbadct");
    let contact = Message::parse(&bytes).expect("valid").contact().expect("there");
    assert_eq!(Uri::parse(contact.uri).map(|uri| (uri.user, uri.host)), Some((&b"user"[..], &b"example.com"[..])));
    assert_registers("regbadct");
}

#[test]
fn badaspec_spaces_inside_the_brackets_are_ignored() {
    let bytes = message("badaspec");
    assert_eq!(Message::parse(&bytes).expect("valid").to().map(|to| to.uri), Some(&b"sip:t.watson@example.org"[..]));
    assert_answered("badaspec", "SIP/2.0 200 OK");
}

#[test]
fn baddn_a_display_name_that_lacks_its_quotes_is_taken_as_one_and_the_empty_line_is_not_missed() {
    let bytes = message("baddn");
    let message = Message::parse(&bytes).expect("valid");
    let (from, to) = (message.from().expect("there"), message.to().expect("there"));
    assert_eq!((from.display, from.uri), (&b"Bell, Alexander"[..], &b"sip:a.g.bell@example.com"[..]));
    assert_eq!((to.display, to.uri), (&b"Watson, Thomas"[..], &b"sip:t.watson@example.org"[..]));
    assert_answered("baddn", "SIP/2.0 200 OK");
}

#[test]
fn badvers_another_version_gets_505() {
    assert_answered("badvers", "SIP/2.0 505 Version Not Supported");
}

#[test]
fn mismatch01_a_cseq_of_another_method_gets_400() {
    assert_answered("mismatch01", "SIP/2.0 400 CSeq Method Does Not Match");
}

#[test]
fn mismatch02_an_unknown_method_with_a_cseq_of_another_gets_501() {
    assert_answered("mismatch02", "SIP/2.0 501 Not Implemented");
}

#[test]
fn bigcode_a_status_code_above_699_is_dropped() {
    assert_eq!(Message::parse(&message("bigcode")).err(), Some(ParseError::StartLine));
    assert_eq!(dropped("bigcode").malformed, 1);
}
