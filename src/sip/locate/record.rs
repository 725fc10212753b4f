//! Records of DNS that RFC 3263 reads.

use crate::sip::flow::Transport;
use crate::units::Random;

/// A service of a domain (RFC 3403).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Within an order, lower first.
    pub preference: u16,
    /// `s`: an SRV name follows; empty: another NAPTR.
    pub flags: String,
    /// As `SIP+D2U`.
    pub service: String,
    /// The name that follows.
    pub replacement: String,
}

/// A place of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Host name.
    pub target: String,
}

impl Naptr {
    /// The transport that its service is of (RFC 3263 §8.1); `None` where we do not speak it.
    pub fn transport(&self) -> Option<Transport> {
        match self.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Some(Transport::Udp),
            "SIP+D2T" => Some(Transport::Tcp),
            "SIPS+D2T" => Some(Transport::Tls),
            _ => None,
        }
    }
}

/// Places in the order to try them (RFC 2782): by priority, and by lot within one, heavier ones more often first.
pub(super) fn in_order(mut records: Vec<Srv>, random: &mut Random) -> Vec<Srv> {
    // Those of weight 0 stand first, so that they have a small chance at all.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let group = records.iter().take_while(|record| record.priority == priority);
        let total: u64 = group.clone().map(|record| u64::from(record.weight)).sum();
        let lot = random.next_u64() % (total + 1);
        let mut sum = 0;
        let chosen = group.clone().position(|record| {
            sum += u64::from(record.weight);
            sum >= lot
        });
        ordered.push(records.remove(chosen.unwrap_or(0)));
    }
    ordered
}
