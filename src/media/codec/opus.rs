//! Opus (RFC 6716), by libopus. It decodes at any rate: here at 8 kHz and to one channel, whatever was sent.

use opus::{Application, Bitrate, Channels};

use super::{LISTENING_RATE, LONGEST};

/// Bits per second that we send: what browsers take for speech. 80 octets in each frame of 20 ms.
const BITRATE: i32 = 32_000;
/// The most that is concealed, samples: 60 ms. A longer gap is a pause of the sender, or a fault that should be heard.
const LONGEST_CONCEALED: usize = 480;
/// Losses are concealed in steps of 2.5 ms, samples.
const STEP: usize = 20;

/// What we would like to receive (`a=fmtp`, RFC 7587 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wishes {
    /// `useinbandfec=1`: packets that carry a copy of the frame before them. Default true, as browsers have it.
    pub fec: bool,
    /// `usedtx=1`: no packets during silence. Default false.
    pub dtx: bool,
    /// `stereo=1`: two channels, which are heard as one. Default false.
    pub stereo: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { fec: true, dtx: false, stereo: false }
    }
}

impl Wishes {
    /// The parameters of our `a=fmtp` line.
    pub const fn fmtp(self) -> &'static str {
        match (self.fec, self.dtx, self.stereo) {
            (false, false, false) => "minptime=10",
            (true, false, false) => "minptime=10;useinbandfec=1",
            (false, true, false) => "minptime=10;usedtx=1",
            (true, true, false) => "minptime=10;useinbandfec=1;usedtx=1",
            (false, false, true) => "minptime=10;stereo=1",
            (true, false, true) => "minptime=10;useinbandfec=1;stereo=1",
            (false, true, true) => "minptime=10;usedtx=1;stereo=1",
            (true, true, true) => "minptime=10;useinbandfec=1;usedtx=1;stereo=1",
        }
    }
}

/// Decodes one stream.
#[derive(Debug)]
pub struct Decoder(opus::Decoder);

impl Decoder {
    /// `None` where there is no memory for it.
    pub fn new() -> Option<Self> {
        opus::Decoder::new(LISTENING_RATE, Channels::Mono).ok().map(Self)
    }

    /// Decodes a packet at 8 kHz; 0 samples where it is none.
    pub fn decode(&mut self, packet: &[u8], linear: &mut [f32; LONGEST]) -> usize {
        // An empty packet would ask for concealment.
        let samples = if packet.is_empty() { 0 } else { self.0.decode_float(packet, linear, false).unwrap_or(0) };
        bound(&mut linear[..samples]);
        samples
    }

    /// What stands for the `missing` samples before `packet`; `None` where they are more than are concealed.
    pub(super) fn conceal(&mut self, missing: usize, packet: &[u8], linear: &mut [f32; LONGEST]) -> Option<usize> {
        if packet.is_empty() || missing == 0 || missing > LONGEST_CONCEALED || !missing.is_multiple_of(STEP) {
            return None;
        }
        let samples = self.0.decode_float(packet, &mut linear[..missing], true).ok();
        bound(&mut linear[..missing]);
        samples.filter(|samples| *samples == missing)
    }
}

/// Brings samples to full scale at most: libopus gives what goes beyond, which an output would cut off.
fn bound(linear: &mut [f32]) {
    for sample in linear {
        *sample = sample.clamp(-1.0, 1.0);
    }
}

/// Encodes frames of 20 ms at 8 kHz that can be played in another order: CELT without prediction from frame to frame, all
/// of one length.
#[derive(Debug)]
pub struct Encoder(opus::Encoder);

impl Encoder {
    /// # Errors
    /// Where libopus has no memory, or was built without what is asked of it.
    pub fn new() -> opus::Result<Self> {
        let mut encoder = opus::Encoder::new(LISTENING_RATE, Channels::Mono, Application::LowDelay)?;
        encoder.set_bitrate(Bitrate::Bits(BITRATE))?;
        encoder.set_vbr(false)?;
        encoder.set_prediction_disabled(true)?;
        encoder.set_complexity(10)?;
        Ok(Self(encoder))
    }

    /// The packet of a frame of 160 samples.
    ///
    /// # Errors
    /// Where `linear` is no frame.
    pub fn encode(&mut self, linear: &[i16]) -> opus::Result<Vec<u8>> {
        self.0.encode_vec(linear, 1_275)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(frames: usize, frequency: f64) -> Vec<Vec<i16>> {
        let sample = |i: usize| (8_192.0 * (std::f64::consts::TAU * frequency * i as f64 / 8_000.0).sin()) as i16;
        (0..frames).map(|frame| (0..160).map(|i| sample(160 * frame + i)).collect()).collect()
    }

    fn power(samples: &[f32]) -> f32 {
        samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
    }

    #[test]
    fn frames_are_celt_of_20_ms_and_of_one_length_and_keep_the_level() {
        let (mut encoder, mut decoder) = (Encoder::new().expect("made"), Decoder::new().expect("made"));
        let mut linear = [0.0; LONGEST];
        for (i, frame) in sine(20, 1_050.0).iter().enumerate() {
            let packet = encoder.encode(frame).expect("a frame");
            // RFC 6716 §3.1: configuration 19 is CELT, narrow band, 20 ms; mono, one frame.
            assert_eq!((packet.len(), packet[0]), (80, 19 << 3));
            assert_eq!(decoder.decode(&packet, &mut linear), 160);
            let level = power(&linear[..160]);
            assert!(i == 0 || (level - 0.031_25).abs() < 0.001, "{i}: {level}");
        }
    }

    #[test]
    fn a_lost_frame_is_concealed_and_a_long_gap_is_not() {
        let (mut encoder, mut decoder) = (Encoder::new().expect("made"), Decoder::new().expect("made"));
        let packets: Vec<Vec<u8>> =
            sine(10, 1_050.0).iter().map(|frame| encoder.encode(frame).expect("a frame")).collect();
        let mut linear = [0.0; LONGEST];
        for packet in &packets[..8] {
            decoder.decode(packet, &mut linear);
        }
        assert_eq!(decoder.conceal(160, &packets[9], &mut linear), Some(160));
        assert!(power(&linear[..160]) > 0.01, "{}", power(&linear[..160]));
        for missing in [0, 7, 481, 4_000] {
            assert_eq!(decoder.conceal(missing, &packets[9], &mut linear), None);
        }
    }

    #[test]
    fn what_is_no_packet_gives_no_samples() {
        let mut decoder = Decoder::new().expect("made");
        let mut linear = [0.0; LONGEST];
        // Empty; a second frame that is not there; a count of 0 frames; more than 120 ms.
        for packet in [&[][..], &[19 << 3 | 1, 7], &[19 << 3 | 3, 0], &[19 << 3 | 3, 7]] {
            assert_eq!(decoder.decode(packet, &mut linear), 0, "{packet:?}");
        }
    }

    #[test]
    fn wishes_are_written_as_rfc_7587_names_them() {
        assert_eq!(Wishes::default().fmtp(), "minptime=10;useinbandfec=1");
        assert_eq!(Wishes { fec: false, dtx: true, stereo: true }.fmtp(), "minptime=10;usedtx=1;stereo=1");
    }
}
