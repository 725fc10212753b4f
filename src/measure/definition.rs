//! What every figure of a run means, how it is computed and where that is defined: `ringfleet explain ser`, and
//! `docs/figures.md`, which a test compares with this list.

use std::fmt;

/// The definition of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name in `summary.json`, thresholds and InfluxDB.
    pub name: &'static str,
    /// Its name in full, with the abbreviation that the field uses.
    pub title: &'static str,
    /// How it is computed.
    pub formula: &'static str,
    /// `ms`, `s`, `%`, or nothing.
    pub unit: &'static str,
    /// Where it is defined.
    pub source: &'static str,
}

impl Definition {
    /// That of a figure, by its name, in either case.
    pub fn of(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("kpi.").unwrap_or(&name);
        DEFINITIONS.iter().find(|definition| definition.name == name)
    }

    /// Every one of them.
    pub fn all() -> &'static [Self] {
        &DEFINITIONS
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, title, formula, unit, source } = self;
        let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
        write!(f, "{name}{unit}\n  {title}\n\nHow it is computed\n  {formula}\n\nSource: {source}")
    }
}

macro_rules! definitions {
    ($($name:literal, $unit:literal: $title:literal = $formula:literal [$source:literal];)*) => {
        [$(Definition { name: $name, unit: $unit, title: $title, formula: $formula, source: $source },)*]
    };
}

static DEFINITIONS: [Definition; 38] = definitions! {
    "asr", "%": "Answer-seizure ratio (ASR)" =
        "answered / INVITEs. A challenge (401, 407) and its answer are one INVITE." ["ITU-T E.411"];
    "ner", "%": "Network effectiveness ratio (NER)" =
        "(answered + busy + no answer + declined) / INVITEs. A call that was given up while it rang found no answer."
        ["ITU-T E.425"];
    "ner_ir42", "%": "Network effectiveness ratio in the reading of mobile operators" =
        "100 − ISA. A 404 or 403 is a success here and a failure in `ner`." ["GSMA IR.42"];
    "acd_s", "s": "Average call duration (ACD, ALOC)" =
        "time from the 200 to the BYE, summed / answered calls" ["ITU-T E.411"];
    "ser", "%": "Session establishment ratio (SER)" = "answered / (INVITEs − 3xx)" ["RFC 6076 §4.6"];
    "seer", "%": "Session establishment effectiveness ratio (SEER)" =
        "(answered + 480 + 486 + 600 + 603) / (INVITEs − 3xx)" ["RFC 6076 §4.7"];
    "isa", "%": "Ineffective session attempts (ISA)" =
        "(408 + 500 + 503 + 504) / INVITEs. No response counts as 408, a broken transport as 503 (RFC 3261 §8.1.3.1)."
        ["RFC 6076 §4.8"];
    "scr", "%": "Session completion ratio (SCR)" =
        "answered calls whose BYE was responded to, or that the far end ended / INVITEs" ["RFC 6076 §4.9"];
    "ira", "%": "Ineffective registration attempts (IRA)" =
        "REGISTERs that failed other than by 401, 402 or 407 / REGISTERs. No response (Timer F) is a failure."
        ["RFC 6076 §4.2"];
    "srd_ms", "ms": "Session request delay (SRD)" =
        "first INVITE to the first status-indicative response: 18x or final, not 100" ["RFC 6076 §4.3"];
    "srd_ok_ms", "ms": "Session request delay of answered calls" =
        "`srd_ms` where the call was answered" ["RFC 6076 §4.3.1"];
    "srd_failed_ms", "ms": "Session request delay of calls that were not answered" =
        "`srd_ms` where the call was refused; unknown where no response came" ["RFC 6076 §4.3.2"];
    "pdd_ms", "ms": "Post-dial delay (PDD)" =
        "first INVITE to the first 18x (180, 183 and others alike); calls that did not ring have none"
        ["ITU-T E.721, as carriers count it in SIP"];
    "ring_ms", "ms": "Ringing time" = "first 18x to the 200" ["this project"];
    "setup_ms", "ms": "Set-up time" = "first INVITE to the 200" ["this project"];
    "duration_ms", "ms": "Session duration time (SDT)" =
        "200 to the BYE, sent or received" ["RFC 6076 §4.5"];
    "sdd_ms", "ms": "Session disconnect delay (SDD)" = "our BYE to its final response" ["RFC 6076 §4.4"];
    "rrd_ms", "ms": "Registration request delay (RRD)" =
        "first REGISTER to the 200, the round trip of the challenge included; successful registrations only"
        ["RFC 6076 §4.1"];
    "registered_ms", "ms": "Time until registered" =
        "first REGISTER to its success, further tries (`retry`) and the waits between them included" ["this project"];
    "recovery_ms", "ms": "Recovery of an agent" =
        "from `network_change`, `reload` or the end of `frozen`, `sleep`, `offline` until its call is answered again (reload), or it is registered and RTP comes again; the longest of an attempt"
        ["this project"];
    "ice_gathered_ms", "ms": "Gathering of candidates" =
        "from asking for a socket until our candidates of ICE were known, the STUN and TURN servers' included; media of WebRTC only"
        ["this project"];
    "late_ms", "ms": "Late start" = "intended to actual start: our own delay, no fault of the target" ["this project"];
    "mos_lq", "": "Listening quality (MOS-LQ)" = "E-model without the delay term" ["ITU-T G.107, G.107.1, G.113"];
    "mos_cq", "": "Conversational quality (MOS-CQ)" = "E-model with the delay term" ["ITU-T G.107, G.107.1, G.113"];
    "loss_pct", "%": "Packet loss" = "1 − received / expected, by sequence numbers" ["RFC 3550 §6.4.1"];
    "jitter_ms", "ms": "Interarrival jitter" = "J += (|D| − J) / 16" ["RFC 3550 §6.4.1"];
    "rtt_ms", "ms": "Round trip to the next RTP hop" = "A − LSR − DLSR; unknown without RTCP" ["RFC 3550 §6.4.1"];
    "video_first_frame_ms", "ms": "First picture" =
        "from when video was to come to the first frame that needs no other and has come whole; unknown where none did"
        ["this project"];
    "video_frozen_ms", "ms": "Picture stood still" =
        "sum of the times between two frames shown that reach max(3·m, m + 150 ms), m the mean of the last 30; a frame counts as shown when it and all it needs have come whole"
        ["W3C webrtc-stats, totalFreezesDuration"];
    "video_fps", "": "Frames per second" = "frames that came whole, from the first packet to the last" ["this project"];
    "video_loss_pct", "%": "Packet loss of video" = "1 − received / expected, by sequence numbers" ["RFC 3550 §6.4.1"];
    "attempted", "": "Attempts that started" = "a count; the two legs of a call are one" ["this project"];
    "answered", "": "Attempts that were answered" = "a count" ["this project"];
    "failed", "": "Attempts that failed" =
        "a count: something was wrong that no step expected, or a step's expectation was not met" ["this project"];
    "dropped", "": "Starts that were due and did not happen" = "a count: we were late, or at a cap" ["this project"];
    "peak_concurrent", "": "Most attempts at the same time" = "a count" ["this project"];
    "peak_cps", "": "Most starts in a second" = "starts per second" ["this project"];
    "cps", "": "Starts per second over the run" = "attempts / length of the run" ["this project"];
};

#[cfg(test)]
mod tests {
    use super::super::{Figure, Total};
    use super::*;

    #[test]
    fn every_figure_has_a_definition_and_there_is_none_without_a_figure() {
        let mut names: Vec<&str> = Figure::ALL.map(Figure::name).to_vec();
        names.extend(Total::ALL.iter().map(|total| total.name()));
        names.sort_unstable();
        let mut defined: Vec<&str> = Definition::all().iter().map(|definition| definition.name).collect();
        defined.sort_unstable();
        assert_eq!(defined, names);
    }

    #[test]
    fn a_definition_is_found_by_its_name_in_any_case() {
        assert_eq!(Definition::of("kpi.SER").map(|it| it.source), Some("RFC 6076 §4.6"));
        assert_eq!(Definition::of("serr"), None);
    }
}
