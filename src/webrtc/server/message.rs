//! Messages between a client and its STUN or TURN server: Binding (RFC 8489) and the methods of TURN (RFC 8656 §17).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stun_types::attribute::{
    AttributeType, ErrorCode, MappedSocketAddr, MessageIntegrity, Nonce, RawAttribute, Realm, Username, XorSocketAddr,
};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, MessageType, MessageWrite,
    MessageWriteExt, MessageWriteVec, Method,
};
use stun_types::prelude::AttributeStaticType;

use super::Login;

const BINDING: Method = Method::new(0x001);
const ALLOCATE: Method = Method::new(0x003);
const REFRESH: Method = Method::new(0x004);
const SEND: Method = Method::new(0x006);
const DATA: Method = Method::new(0x007);
const CREATE_PERMISSION: Method = Method::new(0x008);
const CHANNEL_BIND: Method = Method::new(0x009);

const MAPPED_ADDRESS: AttributeType = AttributeType::new(0x0001);
const CHANNEL_NUMBER: AttributeType = AttributeType::new(0x000c);
const LIFETIME: AttributeType = AttributeType::new(0x000d);
const XOR_PEER_ADDRESS: AttributeType = AttributeType::new(0x0012);
const DATA_OF_PEER: AttributeType = AttributeType::new(0x0013);
const XOR_RELAYED_ADDRESS: AttributeType = AttributeType::new(0x0016);
const REQUESTED_ADDRESS_FAMILY: AttributeType = AttributeType::new(0x0017);
const REQUESTED_TRANSPORT: AttributeType = AttributeType::new(0x0019);
const XOR_MAPPED_ADDRESS: AttributeType = AttributeType::new(0x0020);
const ALTERNATE_SERVER: AttributeType = AttributeType::new(0x8023);

/// Number of UDP among protocols of IP.
const UDP: u8 = 17;
/// The family IPv6 in REQUESTED-ADDRESS-FAMILY.
const IPV6: u8 = 2;

/// Number of a transaction, 96 bits.
pub(super) type Transaction = u128;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Where it comes from.
    Binding,
    /// A relayed address; of IPv6 where that is said.
    Allocate { ipv6: bool },
    /// More time for it.
    Refresh,
    /// Its end.
    Release,
    /// That what comes from there is passed on.
    Permit(IpAddr),
    /// A channel to there.
    Channel(u16, SocketAddr),
}

impl What {
    const fn method(self) -> Method {
        match self {
            Self::Binding => BINDING,
            Self::Allocate { .. } => ALLOCATE,
            Self::Refresh | Self::Release => REFRESH,
            Self::Permit(_) => CREATE_PERMISSION,
            Self::Channel(..) => CHANNEL_BIND,
        }
    }
}

/// What a server proves us by: long-term credentials (RFC 8489 §9.2).
pub(super) struct Proof {
    username: String,
    realm: String,
    nonce: String,
    key: IntegrityKey,
}

impl Proof {
    /// With the realm and nonce of a challenge.
    pub(super) fn new(login: &Login, realm: String, nonce: String) -> Self {
        let (username, password) = (login.username.clone(), login.password.reveal().to_owned());
        let credentials = LongTermKeyCredentials::new(username.clone(), password, realm.clone());
        // SHA-256 has to be agreed on by PASSWORD-ALGORITHMS, which no server of the field offers yet.
        Self { username, realm, nonce, key: credentials.make_key(IntegrityAlgorithm::Sha1) }
    }

    /// The server wants another nonce now.
    pub(super) fn renew(&mut self, nonce: String) {
        self.nonce = nonce;
    }
}

/// What arrived from a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived<'a> {
    /// The response to a request.
    Response(Response),
    /// What a peer sent to the relayed address.
    Data(SocketAddr, &'a [u8]),
}

/// The response to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) transaction: Transaction,
    /// Its integrity is that of our credentials; `None` where it has none.
    pub(super) proved: Option<bool>,
    pub(super) outcome: Result<Granted, Refused>,
}

/// What a request came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Granted {
    /// Where the request came from.
    pub(super) mapped: Option<SocketAddr>,
    pub(super) relayed: Option<SocketAddr>,
    pub(super) lifetime: Option<Duration>,
}

/// An error response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) realm: Option<String>,
    pub(super) nonce: Option<String>,
    /// The server that should be asked instead (300).
    pub(super) alternate: Option<SocketAddr>,
}

/// A request.
pub(super) fn request(what: What, transaction: Transaction, proof: Option<&Proof>) -> Vec<u8> {
    let mut message = builder(MessageClass::Request, what.method(), transaction);
    match what {
        What::Binding | What::Refresh => {}
        What::Allocate { ipv6 } => {
            add(&mut message, REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
            if ipv6 {
                add(&mut message, REQUESTED_ADDRESS_FAMILY, &[IPV6, 0, 0, 0]);
            }
        }
        What::Release => add(&mut message, LIFETIME, &[0; 4]),
        What::Permit(ip) => add_peer(&mut message, transaction, SocketAddr::new(ip, 0)),
        What::Channel(number, peer) => {
            let [high, low] = number.to_be_bytes();
            add(&mut message, CHANNEL_NUMBER, &[high, low, 0, 0]);
            add_peer(&mut message, transaction, peer);
        }
    }
    if let Some(proof) = proof {
        let Proof { username, realm, nonce, key } = proof;
        // What is too long for an attribute was given by the server, or is refused before a run.
        let named = Username::new(username).and_then(|name| message.add_attribute(&name));
        let realm = Realm::new(realm).and_then(|realm| message.add_attribute(&realm));
        let nonce = Nonce::new(nonce).and_then(|nonce| message.add_attribute(&nonce));
        if named.and(realm).and(nonce).is_ok() {
            message
                .add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1)
                .expect("there is room, and no integrity yet");
        }
    }
    message.finish()
}

/// A Send indication: the server passes `bytes` on.
pub(super) fn send(transaction: Transaction, peer: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut message = builder(MessageClass::Indication, SEND, transaction);
    add_peer(&mut message, transaction, peer);
    add(&mut message, DATA_OF_PEER, bytes);
    message.finish()
}

/// What a server's bytes are; `None` where they are nothing of the above. Integrity is looked at with a `proof` of ours.
pub(super) fn read<'a>(bytes: &'a [u8], proof: Option<&Proof>) -> Option<Arrived<'a>> {
    let message = Message::from_bytes(bytes).ok()?;
    let transaction = message.transaction_id();
    let xor = |kind| {
        let raw = message.raw_attribute(kind)?;
        XorSocketAddr::from_raw(&raw).ok().map(|address| address.addr(transaction))
    };
    let plain = |kind| {
        let raw = message.raw_attribute(kind)?;
        MappedSocketAddr::from_raw(&raw).ok().map(|address| address.addr())
    };
    let outcome = match message.class() {
        MessageClass::Request => return None,
        MessageClass::Indication => {
            let (offset, raw) = message.raw_attribute_and_offset(DATA_OF_PEER)?;
            let data = bytes.get(offset + 4..)?.get(..raw.header.length().into())?;
            return (message.method() == DATA).then_some(Arrived::Data(xor(XOR_PEER_ADDRESS)?, data));
        }
        MessageClass::Success => {
            let lifetime = message.raw_attribute(LIFETIME).and_then(|raw| Some(*raw.value.first_chunk::<4>()?));
            Ok(Granted {
                mapped: xor(XOR_MAPPED_ADDRESS).or_else(|| plain(MAPPED_ADDRESS)),
                relayed: xor(XOR_RELAYED_ADDRESS),
                lifetime: lifetime.map(|seconds| Duration::from_secs(u32::from_be_bytes(seconds).into())),
            })
        }
        MessageClass::Error => {
            let error = message.attribute::<ErrorCode>().ok()?;
            Err(Refused {
                code: error.code(),
                // Some end it as C does.
                reason: error.reason().trim_end_matches(['\0', ' ']).to_owned(),
                realm: message.attribute::<Realm>().ok().map(|realm| realm.realm().to_owned()),
                nonce: message.attribute::<Nonce>().ok().map(|nonce| nonce.nonce().to_owned()),
                alternate: plain(ALTERNATE_SERVER),
            })
        }
    };
    let has_integrity = message.has_attribute(MessageIntegrity::TYPE);
    let proved = proof.filter(|_| has_integrity);
    let proved = proved.map(|proof| message.validate_integrity_with_key(&proof.key).is_ok());
    Some(Arrived::Response(Response { transaction: transaction.into(), proved, outcome }))
}

fn builder(class: MessageClass, method: Method, transaction: Transaction) -> MessageWriteVec {
    let kind = MessageType::from_class_method(class, method);
    Message::builder(kind, transaction.into(), MessageWriteVec::new())
}

fn add(message: &mut MessageWriteVec, kind: AttributeType, value: &[u8]) {
    message.add_attribute(&RawAttribute::new(kind, value)).expect("each kind is added once, before the integrity");
}

fn add_peer(message: &mut MessageWriteVec, transaction: Transaction, peer: SocketAddr) {
    let address = XorSocketAddr::new(peer, transaction.into());
    let raw = address.to_raw(XOR_PEER_ADDRESS);
    message.add_attribute(&raw).expect("each kind is added once, before the integrity");
}
