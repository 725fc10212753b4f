//! The far end: sends and counts for one at a time who has shown that what is sent to its address reaches it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::burst::{Receiver, Sender, Shape};
use super::packet::{Cookie, HEADERS, Packet, Ticket, Way};
use super::{MOST_MBPS, MOST_SECONDS};
use crate::units::Redacted;

/// A ticket is good in its stretch of time and in the next one.
const SLOT: Duration = Duration::from_secs(30);
/// The fastest burst, with the margin of who measures, and the longest.
const MOST_KBPS: u32 = (MOST_MBPS * 1.05 * 1e3) as u32;
const MOST_MS: u32 = MOST_SECONDS as u32 * 1_000;
/// How long the counts of a burst are kept after its time, for who asks again.
const KEPT: Duration = Duration::from_secs(3);

#[derive(Debug)]
enum Task {
    Sending(Sender),
    Receiving(Receiver),
}

#[derive(Debug)]
struct Job {
    of: SocketAddr,
    number: u64,
    task: Task,
    until: Instant,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Responder {
    secret: Redacted<[u8; 32]>,
    origin: Instant,
    job: Option<Job>,
}

impl Responder {
    pub(super) fn new(secret: [u8; 32], now: Instant) -> Self {
        Self { secret: Redacted(secret), origin: now, job: None }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let job = self.job.as_ref()?;
        match &job.task {
            Task::Sending(sender) => Some(sender.due().unwrap_or(job.until).min(job.until)),
            Task::Receiving(_) => Some(job.until),
        }
    }

    /// The next packet of a burst, and where it goes.
    pub(super) fn poll(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<SocketAddr> {
        let job = self.job.as_mut()?;
        if job.until > now {
            return match &mut job.task {
                Task::Sending(sender) => sender.poll(now, out).then_some(job.of),
                Task::Receiving(_) => None,
            };
        }
        self.job = None;
        None
    }

    /// Takes a packet and writes its answer; false where it has none.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        arrived: Instant,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some((number, packet)) = Packet::read(bytes) else { return false };
        let slot = (now.saturating_duration_since(self.origin).as_secs() / SLOT.as_secs()) as u32;
        let answer = match packet {
            Packet::Hello => Packet::Welcome(Ticket { cookie: self.cookie(from, slot), slot }),
            Packet::Begin { ticket, way, kbps, ms } => {
                let is_fresh = slot.checked_sub(ticket.slot).is_some_and(|age| age <= 1);
                // What proves nothing is not answered.
                if !is_fresh || self.cookie(from, ticket.slot) != ticket.cookie {
                    return false;
                }
                self.begin(now, (from, number), way, (kbps, ms))
            }
            Packet::Data(_) | Packet::End(_) | Packet::Result { .. } => {
                let Some(job) = self.job.as_mut().filter(|job| (job.of, job.number) == (from, number)) else {
                    return false;
                };
                match (&mut job.task, packet) {
                    (Task::Receiving(receiver), Packet::Data(count)) => {
                        receiver.take(arrived, count);
                        return false;
                    }
                    (Task::Receiving(receiver), Packet::End(_)) => receiver.result(),
                    (Task::Sending(_), Packet::Result { .. }) => {
                        self.job = None;
                        return false;
                    }
                    _ => return false,
                }
            }
            _ => return false,
        };
        answer.write(number, out);
        true
    }

    /// What is said to who wants a burst.
    fn begin(&mut self, now: Instant, whose: (SocketAddr, u64), way: Way, (kbps, ms): (u32, u32)) -> Packet {
        let (of, number) = whose;
        match &self.job {
            // The answer was lost.
            Some(job) if (job.of, job.number) == whose => return Packet::Go,
            Some(job) if job.of != of => return Packet::Busy,
            _ if kbps > MOST_KBPS || ms > MOST_MS => return Packet::TooMuch,
            _ => {}
        }
        let length = Duration::from_millis(ms.into());
        let shape = Shape::new(kbps, length, HEADERS[usize::from(of.is_ipv6())]);
        let task = match way {
            Way::Up => Task::Receiving(Receiver::new(shape)),
            Way::Down => Task::Sending(Sender::new(number, shape, now)),
        };
        self.job = Some(Job { of, number, task, until: now + length + KEPT });
        Packet::Go
    }

    fn cookie(&self, of: SocketAddr, slot: u32) -> Cookie {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret.0).expect("HMAC takes a key of any length");
        mac.update(&slot.to_be_bytes());
        mac.update(of.to_string().as_bytes());
        let whole = mac.finalize().into_bytes();
        let mut cookie = [0; 16];
        cookie.copy_from_slice(&whole[..16]);
        cookie
    }
}
