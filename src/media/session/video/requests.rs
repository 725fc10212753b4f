//! Requests for key frames, both ways: PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1).

use std::time::{Duration, Instant};

use crate::media::rtcp::{self, Compound, Packet};
use crate::sip::sdp::VideoFeedback;

/// A key frame that does not come is asked for again after this long.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What was asked for, and what is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Requests {
    /// One is to go out.
    due: bool,
    asked_at: Option<Instant>,
    asked: u32,
    got: u32,
    /// Who sent the last FIR, and its number.
    last_fir: Option<(u32, u8)>,
    /// Number of our last FIR.
    fir: u8,
}

impl Requests {
    /// Only a key frame can be shown next: it is asked for, where both sides agreed on how, unless that was done just now.
    pub(super) fn want(&mut self, now: Instant, VideoFeedback { pli, fir }: VideoFeedback) {
        let again = self.asked_at.is_none_or(|at| now >= at + ASK_AGAIN);
        self.due |= (pli || fir) && again;
    }

    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// There is nowhere to send it to now.
    pub(super) fn skip(&mut self) {
        self.due = false;
    }

    /// Adds the one that is due to a compound of ours, to the sender `media`.
    pub(super) fn write(
        &mut self,
        now: Instant,
        feedback: VideoFeedback,
        own: u32,
        media: Option<u32>,
        buf: &mut Vec<u8>,
    ) {
        let (true, Some(media)) = (std::mem::take(&mut self.due), media) else { return };
        if feedback.pli {
            rtcp::picture_loss(buf, own, media);
        } else {
            self.fir = self.fir.wrapping_add(1);
            rtcp::full_intra(buf, own, media, self.fir);
        }
        self.asked += 1;
        self.asked_at = Some(now);
    }

    /// Whether a datagram of the far end asks `own` for a key frame.
    pub(super) fn take(&mut self, datagram: &[u8], own: u32) -> bool {
        let before = self.got;
        for packet in Compound::new(datagram).map_while(Result::ok) {
            let asked = match packet {
                Packet::PictureLoss { media } => media == own,
                Packet::FullIntra { from, mut requests } => {
                    let number = requests.find(|(media, _)| *media == own).map(|(_, number)| number);
                    // RFC 5104 §4.3.1.1: a repetition has the number of the request that it repeats.
                    number.is_some_and(|number| self.last_fir.replace((from, number)) != Some((from, number)))
                }
                _ => false,
            };
            self.got += u32::from(asked);
        }
        self.got > before
    }

    /// Key frames that we asked for, and those that the far end did.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.asked, self.got)
    }
}
