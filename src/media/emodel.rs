//! The E-model of ITU-T G.107 (06/2015) with default values, that of wide band of G.107.1 (06/2019), and MOS from R (G.107
//! Annex B).
//!
//! `R = Ro − Is − Idd − Ie,eff` with `Ro − Is = 93.2` and no echo. Two values are given: the *listening* quality
//! (LQ) leaves the delay out, the *conversational* quality (CQ) has it and is unknown where the delay is.
//! The loss is what the network lost: this receiver has no jitter buffer that could discard more.

use super::codec::Codec;

/// `Ro − Is` of G.107 with every parameter at its default: R of a call without codec, loss or delay.
pub const BASE_R: f64 = 93.2;
/// The same of G.107.1.
pub const BASE_R_WIDE: f64 = 129.0;
/// R of wide band in R of narrow band: MOS follows from `R / 1.29` (G.107.1).
const WIDE_SCALE: f64 = 1.29;

/// Which E-model a codec belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// 300–3400 Hz: G.107, R up to 100.
    Narrow,
    /// 50–7000 Hz: G.107.1, R up to 129. It has no burst ratio.
    Wide,
}

/// Equipment impairment of a codec (ITU-T G.113 Appendices I and IV).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// The model that the values belong to.
    pub band: Band,
    /// Impairment without loss, 0–95.
    pub ie: f64,
    /// Robustness against loss, percent.
    pub bpl: f64,
    /// What of it no Recommendation gives, for `mos_model`; empty where all is given.
    pub assumed: &'static str,
}

impl Impairment {
    /// G.711 whose receiver conceals losses (G.711 Appendix I).
    pub const G711_PLC: Self = Self::narrow(0.0, 25.1);
    /// G.711 without concealment.
    pub const G711: Self = Self::narrow(0.0, 4.3);
    /// G.729A with VAD.
    pub const G729A: Self = Self::narrow(11.0, 19.0);
    /// G.722 at 64 kbit/s: `Ie,wb` of G.113 Appendix IV. Its `Bpl` is assumed to be that of G.711 without concealment:
    /// both code each sample for itself, and G.722 has no concealment of its own.
    pub const G722: Self = Self { band: Band::Wide, ie: 13.0, bpl: 4.3, assumed: "bpl" };
    /// Opus. No Recommendation has values for it: like G.711 without loss, and with the least robust of the values that
    /// other tools assume (10, 25 and 28).
    pub const OPUS: Self = Self { band: Band::Narrow, ie: 0.0, bpl: 10.0, assumed: "ie,bpl" };

    const fn narrow(ie: f64, bpl: f64) -> Self {
        Self { band: Band::Narrow, ie, bpl, assumed: "" }
    }

    /// What is taken for a codec. Of G.711 a receiver that conceals losses is assumed, as all but the oldest do.
    pub const fn of(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu | Codec::Pcma => Self::G711_PLC,
            Codec::G722 => Self::G722,
            Codec::Opus => Self::OPUS,
        }
    }
}

/// What a call's quality is computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// The codec.
    pub codec: Impairment,
    /// Packets lost, percent 0–100.
    pub loss_pct: f64,
    /// Burst ratio, at least 1; 1 is random loss.
    pub burst_r: f64,
    /// One-way delay, ms; `None` is not known.
    pub one_way_ms: Option<f64>,
}

/// R and MOS of a call; R of wide band is divided by 1.29, so that 100 is the best of both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// R without delay.
    pub r_lq: f64,
    /// MOS without delay, 1–4.41.
    pub mos_lq: f64,
    /// R with delay; `None` where the delay is not known.
    pub r_cq: Option<f64>,
    /// MOS with delay; `None` where the delay is not known.
    pub mos_cq: Option<f64>,
}

impl Input {
    /// Both qualities.
    pub fn quality(&self) -> Quality {
        let (base, scale, burst_r) = match self.codec.band {
            Band::Narrow => (BASE_R, 1.0, self.burst_r),
            Band::Wide => (BASE_R_WIDE, WIDE_SCALE, 1.0),
        };
        let r = base - ie_eff(self.codec, self.loss_pct, burst_r);
        let r_lq = r / scale;
        let r_cq = self.one_way_ms.map(|delay| (r - idd(delay)) / scale);
        Quality { r_lq, mos_lq: mos(r_lq), r_cq, mos_cq: r_cq.map(mos) }
    }

    /// What the qualities were computed with, for the field `mos_model`:
    /// `G.107(2015) ie=0 bpl=25.1 burst_r=1.00 ta=rtt/2`, or `ta=none` where the delay is not known. What no Recommendation
    /// gives is named behind it: `assumed=bpl`.
    pub fn model(&self) -> String {
        let delay = if self.one_way_ms.is_some() { "rtt/2" } else { "none" };
        let Impairment { band, ie, bpl, assumed } = self.codec;
        let mut model = match band {
            Band::Narrow => format!("G.107(2015) ie={ie} bpl={bpl} burst_r={:.2} ta={delay}", self.burst_r),
            Band::Wide => format!("G.107.1(2019) ie={ie} bpl={bpl} r=r_wb/1.29 ta={delay}"),
        };
        if !assumed.is_empty() {
            model += " assumed=";
            model += assumed;
        }
        model
    }
}

/// Effective equipment impairment `Ie,eff` (G.107 (2015) eq. 7-29). `loss_pct` is in percent, 0–100.
pub fn ie_eff(codec: Impairment, loss_pct: f64, burst_r: f64) -> f64 {
    codec.ie + (95.0 - codec.ie) * loss_pct / (loss_pct / burst_r + codec.bpl)
}

/// Impairment by absolute delay `Idd` (G.107 (2015) eq. 7-27, 7-28) with sT = 1 and mT = 100 ms.
pub fn idd(one_way_ms: f64) -> f64 {
    const SENSITIVITY: f64 = 1.0;
    const PERCEIVABLE_MS: f64 = 100.0;
    if one_way_ms <= PERCEIVABLE_MS {
        return 0.0;
    }
    let x = (one_way_ms / PERCEIVABLE_MS).log2();
    let power = 6.0 * SENSITIVITY;
    let root = |base: f64| (1.0 + base.powf(power)).powf(1.0 / power);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// MOS of R (G.107 Annex B), 1–4.5.
pub fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        return 1.0;
    }
    if r >= 100.0 {
        return 4.5;
    }
    // The cubic dips below 1 for R under 6.5 (0.989 at 3.2).
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// (loss %, one-way ms) of the columns of the published vectors.
    const COLUMNS: [(f64, f64); 6] = [(0.0, 0.0), (0.1, 40.0), (1.0, 100.0), (5.0, 100.0), (0.0, 400.0), (5.0, 400.0)];

    fn cq(codec: Impairment, loss_pct: f64, burst_r: f64, delay: f64) -> (f64, f64) {
        let quality = Input { codec, loss_pct, burst_r, one_way_ms: Some(delay) }.quality();
        (quality.r_cq.expect("delay given"), quality.mos_cq.expect("delay given"))
    }

    fn round(value: f64, digits: i32) -> f64 {
        (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits)
    }

    #[test]
    fn published_vectors_are_met() {
        let rows = [
            (
                Impairment::G711_PLC,
                [(93.2, 4.41), (92.8, 4.40), (89.6, 4.33), (77.4, 3.92), (69.1, 3.56), (53.3, 2.75)],
            ),
            (Impairment::G711, [(93.2, 4.41), (91.0, 4.36), (75.3, 3.83), (42.1, 2.17), (69.1, 3.56), (18.1, 1.20)]),
            (Impairment::G729A, [(82.2, 4.10), (81.8, 4.09), (78.0, 3.95), (64.7, 3.34), (58.1, 3.00), (40.6, 2.09)]),
        ];
        for (codec, expected) in rows {
            for ((loss, delay), (r, mos)) in COLUMNS.into_iter().zip(expected) {
                let got = cq(codec, loss, 1.0, delay);
                assert_eq!((round(got.0, 1), round(got.1, 2)), (r, mos), "{codec:?} {loss} % {delay} ms");
            }
        }
    }

    #[test]
    fn bursts_and_delay_cost_what_was_published() {
        for (burst_r, r) in [(1.0, 77.4), (2.0, 76.0), (4.0, 75.2)] {
            assert_eq!(round(cq(Impairment::G711_PLC, 5.0, burst_r, 0.0).0, 1), r);
        }
        let delays = [(100.0, 0.0), (150.0, 0.16), (200.0, 3.04), (250.0, 8.92), (300.0, 14.76), (400.0, 24.07)];
        for (delay, expected) in delays.into_iter().chain([(500.0, 30.64)]) {
            assert_eq!(round(idd(delay), 2), expected, "{delay} ms");
        }
    }

    #[test]
    fn bands_of_g109_and_bounds_of_mos() {
        for (r, expected) in [(90.0, 4.34), (80.0, 4.02), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert_eq!(round(mos(r), 2), expected);
        }
        assert_eq!((mos(-1.0), mos(0.0), mos(3.2), mos(100.0), mos(120.0)), (1.0, 1.0, 1.0, 4.5, 4.5));
    }

    #[test]
    fn without_delay_there_is_no_conversational_value() {
        let input = Input { codec: Impairment::G711_PLC, loss_pct: 1.0, burst_r: 1.0, one_way_ms: None };
        let quality = input.quality();
        assert_eq!((quality.mos_cq, quality.r_cq), (None, None));
        assert_eq!(round(quality.mos_lq, 2), 4.33);
        assert_eq!(input.model(), "G.107(2015) ie=0 bpl=25.1 burst_r=1.00 ta=none");
        assert_eq!(Input { one_way_ms: Some(1.0), ..input }.model(), "G.107(2015) ie=0 bpl=25.1 burst_r=1.00 ta=rtt/2");
    }

    #[test]
    fn wide_band_has_a_model_of_its_own_and_assumptions_are_named() {
        // R = 129 − 13 = 116, and 116 / 1.29 = 89.9; with 5 % of loss 13 + 82 · 5 / 9.3 = 57.1 are lost instead of 13.
        assert_eq!(cq(Impairment::G722, 0.0, 1.0, 0.0).0, 116.0 / 1.29);
        assert_eq!(round(cq(Impairment::G722, 0.0, 1.0, 0.0).1, 2), 4.34);
        assert_eq!(round(cq(Impairment::G722, 5.0, 4.0, 0.0).0, 1), 55.7);
        assert_eq!(round(cq(Impairment::G722, 0.0, 1.0, 400.0).0, 1), round((116.0 - 24.07) / 1.29, 1));
        assert_eq!(round(cq(Impairment::OPUS, 0.0, 1.0, 0.0).1, 2), 4.41);
        // 95 · 5 / 15 = 31.7
        assert_eq!(round(cq(Impairment::OPUS, 5.0, 1.0, 0.0).0, 1), 61.5);
        let model = |codec| Input { codec, loss_pct: 0.0, burst_r: 1.0, one_way_ms: None }.model();
        assert_eq!(model(Impairment::G722), "G.107.1(2019) ie=13 bpl=4.3 r=r_wb/1.29 ta=none assumed=bpl");
        assert_eq!(model(Impairment::of(Codec::Opus)), "G.107(2015) ie=0 bpl=10 burst_r=1.00 ta=none assumed=ie,bpl");
    }

    proptest! {
        #[test]
        fn more_loss_delay_or_bursts_never_raise_mos(
            loss in 0.0..100.0_f64, more_loss in 0.0..50.0_f64,
            delay in 0.0..2_000.0_f64, more_delay in 0.0..500.0_f64,
            burst in 1.0..10.0_f64, more_burst in 0.0..5.0_f64,
        ) {
            for codec in [Impairment::G711_PLC, Impairment::G711, Impairment::G729A, Impairment::G722, Impairment::OPUS] {
                let (r, mos) = cq(codec, loss, burst, delay);
                for (worse_r, worse) in [
                    cq(codec, (loss + more_loss).min(100.0), burst, delay),
                    cq(codec, loss, burst, delay + more_delay),
                    cq(codec, loss, burst + more_burst, delay),
                ] {
                    prop_assert!(worse_r <= r + 1e-9 && worse <= mos + 1e-9);
                }
                prop_assert!((1.0..=4.5).contains(&mos));
            }
        }

        #[test]
        fn a_higher_r_never_lowers_mos(r in -20.0..120.0_f64, more in 0.0..20.0_f64) {
            prop_assert!(mos(r + more) >= mos(r));
        }
    }
}
