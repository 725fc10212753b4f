//! Audio codecs, their numbers in RTP (RFC 3551, RFC 7587), and their payloads as linear samples.
//!
//! Whatever the codec, we listen at [`LISTENING_RATE`]: of Opus and G.722 the band up to 4 kHz is decoded, which holds
//! all that is recognised, and more is not needed.

pub mod g711;
pub mod g722;
pub mod opus;

use g711::Law;

/// Samples per second of what we listen to.
pub const LISTENING_RATE: u32 = 8_000;

/// The longest payload that is decoded, samples at [`LISTENING_RATE`]: 120 ms, the most that Opus has in a packet.
pub const LONGEST: usize = 960;

/// Codecs that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
    /// G.722 at 64 kbit/s, payload type 9. It is sampled at 16 kHz, and its RTP clock is 8 kHz (RFC 3551 §4.5.2).
    G722,
    /// Opus (RFC 6716, RFC 7587), payload type 111 in our offers.
    Opus,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus];

    /// Static payload type (RFC 3551 §6), of Opus the one that we offer it with.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            // The number that browsers use, within the dynamic ones.
            Self::Opus => 111,
        }
    }

    /// Rate of the RTP timestamp, Hz.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            // RFC 7587 §4.1: whatever the sampling rate.
            Self::Opus => 48_000,
        }
    }

    /// Channels in SDP. RFC 7587 §7: Opus always says two there.
    pub const fn channels(self) -> u8 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 1,
            Self::Opus => 2,
        }
    }

    /// Units of the RTP timestamp in a sample at [`LISTENING_RATE`].
    pub const fn units_per_sample(self) -> u32 {
        self.clock_rate() / LISTENING_RATE
    }

    /// Encoding name in SDP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// The codec with this encoding name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// The codec with this [`payload_type`](Self::payload_type).
    pub fn from_payload_type(payload_type: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.payload_type() == payload_type)
    }

    /// The law of G.711; `None` for another codec.
    pub const fn law(self) -> Option<Law> {
        match self {
            Self::Pcmu => Some(Law::Mu),
            Self::Pcma => Some(Law::A),
            Self::G722 | Self::Opus => None,
        }
    }
}

/// Turns the payloads of one stream into linear samples at [`LISTENING_RATE`]. What a codec keeps from one packet to the
/// next is made with its first packet.
#[derive(Debug, Default)]
pub struct Decoder {
    g722: Option<Box<g722::Decoder>>,
    opus: Option<opus::Decoder>,
}

impl Decoder {
    /// Decodes a payload into `linear`, in parts of full scale, and gives how many samples came of it: no more than
    /// [`LONGEST`], and none where the payload is none of the codec.
    pub fn decode(&mut self, codec: Codec, payload: &[u8], linear: &mut [f32; LONGEST]) -> usize {
        match codec {
            Codec::Pcmu => g711::decode(Law::Mu, payload, linear),
            Codec::Pcma => g711::decode(Law::A, payload, linear),
            Codec::G722 => self.g722.get_or_insert_default().decode(payload, linear),
            Codec::Opus => self.opus().map_or(0, |opus| opus.decode(payload, linear)),
        }
    }

    /// What stands for `missing` samples that were lost before `payload`, where the codec can say: Opus, from the copy
    /// that the payload may carry of the frame before it (RFC 6716 §2.1.7), else by its own concealment.
    pub fn conceal(
        &mut self,
        codec: Codec,
        missing: usize,
        payload: &[u8],
        linear: &mut [f32; LONGEST],
    ) -> Option<usize> {
        if codec == Codec::Opus { self.opus.as_mut()?.conceal(missing, payload, linear) } else { None }
    }

    fn opus(&mut self) -> Option<&mut opus::Decoder> {
        if self.opus.is_none() {
            self.opus = opus::Decoder::new();
        }
        self.opus.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_payload_types_lead_back_to_the_codec() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
            assert_eq!(Codec::from_payload_type(codec.payload_type()), Some(codec));
        }
        assert_eq!(Codec::from_name("pcma"), Some(Codec::Pcma));
        assert_eq!(Codec::from_name("OPUS"), Some(Codec::Opus));
        assert_eq!(Codec::from_name("G729"), None);
        assert_eq!(Codec::from_payload_type(18), None);
    }

    #[test]
    fn the_clock_of_g722_is_8_khz_and_that_of_opus_48_khz() {
        let clocks = Codec::ALL.map(|codec| (codec.clock_rate(), codec.units_per_sample(), codec.channels()));
        assert_eq!(clocks, [(8_000, 1, 1), (8_000, 1, 1), (8_000, 1, 1), (48_000, 6, 2)]);
    }

    #[test]
    fn twenty_milliseconds_of_every_codec_are_160_samples() {
        let payload = |codec: Codec| match codec {
            // The shortest frame of CELT: configuration 19 of RFC 6716 §3.1, 20 ms of silence.
            Codec::Opus => vec![19 << 3, 0xFF, 0xFE],
            _ => vec![0xFF; 160],
        };
        for codec in Codec::ALL {
            let (mut decoder, mut linear) = (Decoder::default(), [0.0; LONGEST]);
            assert_eq!(decoder.decode(codec, &payload(codec), &mut linear), 160, "{codec:?}");
            assert!(linear[..160].iter().all(|sample| sample.abs() <= 1.0));
        }
    }

    #[test]
    fn opus_that_goes_beyond_full_scale_is_brought_back_to_it() {
        let (mut decoder, mut linear) = (Decoder::default(), [0.0; LONGEST]);
        let samples = decoder.decode(Codec::Opus, &[0xF8, 0x6F, 0x6F, 0x44], &mut linear);
        assert!(samples > 0 && linear[..samples].iter().all(|sample| sample.abs() <= 1.0));
        assert!(linear[..samples].contains(&1.0), "it does");
    }

    proptest! {
        #[test]
        fn any_payloads_are_decoded_or_refused(
            payloads in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..1_500), 0..1_000_usize), 1..8),
        ) {
            for codec in Codec::ALL {
                let (mut decoder, mut linear) = (Decoder::default(), [0.0; LONGEST]);
                for (payload, missing) in &payloads {
                    let concealed = decoder.conceal(codec, *missing, payload, &mut linear);
                    prop_assert!(concealed.is_none_or(|samples| samples == *missing));
                    let samples = decoder.decode(codec, payload, &mut linear);
                    prop_assert!(samples <= LONGEST);
                    prop_assert!(linear[..samples].iter().all(|sample| sample.abs() <= 1.0));
                }
            }
        }
    }
}
