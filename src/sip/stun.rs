//! STUN as the keep-alive of SIP over UDP (RFC 5626 §4.4.2): a Binding request beside the messages of a flow, and its
//! response, which says where the request came from. Nothing else of RFC 8489: no credentials, no other attributes.

use std::net::SocketAddr;

use stun_types::attribute::XorMappedAddress;
use stun_types::message::{
    BINDING, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec,
};

/// Number of a transaction, 96 bits.
pub type Transaction = u128;

/// A Binding request or its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Asks where it comes from.
    Request,
    /// The answer to a request of ours.
    Response {
        /// Which one.
        transaction: Transaction,
        /// Where it came from; `None` where the response does not say, or is an error.
        mapped: Option<SocketAddr>,
    },
}

/// Whether bytes that arrived over UDP are STUN (RFC 8489 §6.3): no SIP message begins with a byte below 64.
pub fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= 20 && bytes[0] < 64 && bytes[4..8] == [0x21, 0x12, 0xa4, 0x42]
}

/// A Binding request.
pub fn request(transaction: Transaction) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
    Message::builder(kind, transaction.into(), MessageWriteVec::new()).finish()
}

/// What bytes are; `None` where they are nothing of a Binding.
pub fn read(bytes: &[u8]) -> Option<Binding> {
    let message = Message::from_bytes(bytes).ok().filter(|message| message.method() == BINDING)?;
    let transaction = message.transaction_id();
    match message.class() {
        MessageClass::Request => Some(Binding::Request),
        MessageClass::Success => {
            let mapped = message.attribute::<XorMappedAddress>().ok().map(|mapped| mapped.addr(transaction));
            Some(Binding::Response { transaction: transaction.into(), mapped })
        }
        MessageClass::Error => Some(Binding::Response { transaction: transaction.into(), mapped: None }),
        MessageClass::Indication => None,
    }
}

/// The response to a Binding request that came from an address.
pub fn respond(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let request = Message::from_bytes(request).ok()?;
    if request.class() != MessageClass::Request || request.method() != BINDING {
        return None;
    }
    let mut response = Message::builder_success(&request, MessageWriteVec::new());
    response.add_attribute(&XorMappedAddress::new(from, request.transaction_id())).ok()?;
    Some(response.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: Transaction = 0x0102_0304_0506_0708_090a_0b0c;

    #[test]
    fn a_request_is_twenty_bytes_and_its_response_says_where_it_came_from() {
        let asked = request(ID);
        let wanted = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!((asked.as_slice(), is_stun(&asked), read(&asked)), (&wanted[..], true, Some(Binding::Request)));
        for from in ["203.0.113.7:40123", "[2001:db8::7]:5060"] {
            let from: SocketAddr = from.parse().expect("valid");
            let response = respond(&asked, from).expect("it is a request");
            let read = read(&response);
            assert_eq!(read, Some(Binding::Response { transaction: ID, mapped: Some(from) }), "{from}");
            assert_eq!(respond(&response, from), None, "a response is not answered");
        }
    }

    #[test]
    fn an_address_is_hidden_by_the_magic_cookie_as_in_rfc_5769() {
        // RFC 5769 §2.2: the header and XOR-MAPPED-ADDRESS of its sample response, 192.0.2.1 port 32853.
        let sample = [
            1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf,
            0xae, 0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
        ];
        let transaction = 0xb7e7_a701_bc34_d686_fa87_dfae;
        let mapped = "192.0.2.1:32853".parse().ok();
        assert_eq!(read(&sample), Some(Binding::Response { transaction, mapped }));
    }

    #[test]
    fn an_error_is_an_answer_that_says_nothing_and_a_sip_message_is_no_stun() {
        let mut error = request(ID);
        error[..2].copy_from_slice(&[1, 0x11]);
        assert_eq!(read(&error), Some(Binding::Response { transaction: ID, mapped: None }));
        assert!(!is_stun(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n") && !is_stun(b"\r\n\r\n") && !is_stun(b""));
    }

    proptest! {
        #[test]
        fn any_bytes_behind_a_header_are_read_without_a_panic(
            rest in prop::collection::vec(any::<u8>(), 0..60), kind in 0..0x0200_u16,
        ) {
            let mut bytes = request(ID);
            bytes[..2].copy_from_slice(&kind.to_be_bytes());
            bytes[3] = rest.len() as u8;
            bytes.extend_from_slice(&rest);
            let _ = (is_stun(&bytes), read(&bytes), respond(&bytes, ([192, 0, 2, 1], 5060).into()));
        }
    }
}
