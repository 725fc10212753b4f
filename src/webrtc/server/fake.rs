//! A TURN server for tests: long-term credentials, allocations, permissions, channels.

use std::net::{IpAddr, SocketAddr};

use stun_types::attribute::{
    AttributeType, ErrorCode, Nonce, RawAttribute, Realm, Username, XorMappedAddress, XorSocketAddr,
};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, MessageType, MessageWrite,
    MessageWriteExt, MessageWriteVec, Method,
};

const REALM: &str = "ringfleet.test";

/// What a server sends: from its own address or a relayed one, where to, and what.
pub(crate) type Sent = (SocketAddr, SocketAddr, Vec<u8>);

#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) client: SocketAddr,
    pub(crate) relayed: SocketAddr,
    pub(crate) permitted: Vec<IpAddr>,
    pub(crate) channels: Vec<(u16, SocketAddr)>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    /// What it takes; `None` takes anybody.
    pub(crate) password: Option<&'static str>,
    /// A number in its nonces: another one makes those before stale.
    pub(crate) nonce: u32,
    /// What it refuses with this code: a method of STUN.
    pub(crate) refuses: Option<(u16, u16)>,
    pub(crate) lifetime: u32,
    pub(crate) allocations: Vec<Allocation>,
    /// Methods of requests, in order.
    pub(crate) asked: Vec<u16>,
}

impl Fake {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            password: Some("secret"),
            nonce: 1,
            refuses: None,
            lifetime: 600,
            allocations: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// What it makes of a packet that came to its own address or to a relayed one.
    pub(crate) fn handle(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Vec<Sent> {
        if to != self.address {
            return self.relay_in(from, to, bytes).into_iter().collect();
        }
        if bytes[0] & 0xc0 == 0x40 {
            return self.channel_out(from, bytes).into_iter().collect();
        }
        let Ok(message) = Message::from_bytes(bytes) else { return Vec::new() };
        match message.class() {
            MessageClass::Request => vec![(self.address, from, self.respond(from, &message))],
            MessageClass::Indication => self.send_out(from, &message).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn of(&mut self, client: SocketAddr) -> Option<&mut Allocation> {
        self.allocations.iter_mut().find(|allocation| allocation.client == client)
    }

    fn relay_in(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Option<Sent> {
        let server = self.address;
        let allocation = self.allocations.iter().find(|allocation| allocation.relayed == to)?;
        if !allocation.permitted.contains(&from.ip()) {
            return None;
        }
        let packet = match allocation.channels.iter().find(|(_, peer)| *peer == from) {
            Some((number, _)) => {
                let head = [number.to_be_bytes(), (bytes.len() as u16).to_be_bytes()];
                [head.concat(), bytes.to_vec()].concat()
            }
            None => {
                let kind = MessageType::from_class_method(MessageClass::Indication, Method::new(7));
                let mut data = Message::builder(kind, 7.into(), MessageWriteVec::new());
                add_address(&mut data, 0x12, from, 7);
                data.add_attribute(&RawAttribute::new(AttributeType::new(0x13), bytes)).expect("room");
                data.finish()
            }
        };
        Some((server, allocation.client, packet))
    }

    fn channel_out(&mut self, from: SocketAddr, bytes: &[u8]) -> Option<Sent> {
        let allocation = self.of(from)?;
        let number = u16::from_be_bytes([bytes[0], bytes[1]]);
        let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        let (_, peer) = allocation.channels.iter().find(|(known, _)| *known == number)?;
        Some((allocation.relayed, *peer, bytes[4..4 + length].to_vec()))
    }

    fn send_out(&mut self, from: SocketAddr, message: &Message<'_>) -> Option<Sent> {
        let peer = address(message, 0x12)?;
        let data = message.raw_attribute(AttributeType::new(0x13))?.value.to_vec();
        let allocation = self.of(from).filter(|allocation| allocation.permitted.contains(&peer.ip()))?;
        Some((allocation.relayed, peer, data))
    }

    fn respond(&mut self, from: SocketAddr, message: &Message<'_>) -> Vec<u8> {
        let method = message.method().value();
        self.asked.push(method);
        if method == 1 {
            let mut response = Message::builder_success(message, MessageWriteVec::new());
            response.add_attribute(&XorMappedAddress::new(from, message.transaction_id())).expect("room");
            return response.finish();
        }
        let nonce = format!("nonce-{}", self.nonce);
        let Some(key) = self.key_of(message) else { return challenge(message, 401, &nonce) };
        let shown = message.attribute::<Nonce>().ok().map(|nonce| nonce.nonce().to_owned());
        if self.password.is_some() && shown.as_deref() != Some(&nonce) {
            return challenge(message, 438, &nonce);
        }
        if let Some((_, code)) = self.refuses.filter(|(refused, _)| *refused == method) {
            let mut response = Message::builder_error(message, MessageWriteVec::new());
            response.add_attribute(&ErrorCode::builder(code).build().expect("a code")).expect("room");
            return sign(response, key.as_ref());
        }
        let mut response = Message::builder_success(message, MessageWriteVec::new());
        let transaction = u128::from(message.transaction_id());
        let mut lifetime = self.lifetime;
        match method {
            3 => {
                let relayed = SocketAddr::new(self.address.ip(), 50_000 + self.allocations.len() as u16);
                let (permitted, channels) = (Vec::new(), Vec::new());
                self.allocations.push(Allocation { client: from, relayed, permitted, channels });
                add_address(&mut response, 0x16, relayed, transaction);
                add_address(&mut response, 0x20, SocketAddr::new(from.ip(), from.port() + 1000), transaction);
            }
            4 if message.raw_attribute(AttributeType::new(0x0d)).is_some_and(|raw| *raw.value == [0; 4]) => {
                self.allocations.retain(|allocation| allocation.client != from);
                lifetime = 0;
            }
            8 => {
                let peer = address(message, 0x12).expect("a peer").ip();
                self.of(from).expect("an allocation").permitted.push(peer);
            }
            9 => {
                let peer = address(message, 0x12).expect("a peer");
                let raw = message.raw_attribute(AttributeType::new(0x0c)).expect("a number");
                let number = u16::from_be_bytes([raw.value[0], raw.value[1]]);
                self.of(from).expect("an allocation").channels.push((number, peer));
            }
            _ => {}
        }
        if matches!(method, 3 | 4) {
            let value = lifetime.to_be_bytes();
            response.add_attribute(&RawAttribute::new(AttributeType::new(0x0d), &value)).expect("room");
        }
        sign(response, key.as_ref())
    }

    /// The key of a request that is proved, or of anybody's; `None` where it has to be.
    fn key_of(&self, message: &Message<'_>) -> Option<Option<IntegrityKey>> {
        let Some(password) = self.password else { return Some(None) };
        let user = message.attribute::<Username>().ok()?;
        let credentials =
            LongTermKeyCredentials::new(user.username().to_owned(), password.to_owned(), REALM.to_owned());
        let key = credentials.make_key(IntegrityAlgorithm::Sha1);
        message.validate_integrity_with_key(&key).ok()?;
        Some(Some(key))
    }
}

fn challenge(message: &Message<'_>, code: u16, nonce: &str) -> Vec<u8> {
    let mut response = Message::builder_error(message, MessageWriteVec::new());
    response.add_attribute(&ErrorCode::builder(code).build().expect("a code")).expect("room");
    response.add_attribute(&Realm::new(REALM).expect("short")).expect("room");
    response.add_attribute(&Nonce::new(nonce).expect("short")).expect("room");
    response.finish()
}

fn sign(mut response: MessageWriteVec, key: Option<&IntegrityKey>) -> Vec<u8> {
    if let Some(key) = key {
        response.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1).expect("room");
    }
    response.finish()
}

fn add_address(message: &mut MessageWriteVec, kind: u16, address: SocketAddr, transaction: u128) {
    let address = XorSocketAddr::new(address, transaction.into());
    let raw = address.to_raw(AttributeType::new(kind));
    message.add_attribute(&raw).expect("room");
}

fn address(message: &Message<'_>, kind: u16) -> Option<SocketAddr> {
    let raw = message.raw_attribute(AttributeType::new(kind))?;
    Some(XorSocketAddr::from_raw(&raw).ok()?.addr(message.transaction_id()))
}
