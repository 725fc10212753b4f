//! `ringfleet check --live --bandwidth ADDR`: whether an agent has the bandwidth here that it needs, and the responder for it
//! beside `answer` and `lab`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::live::{failed, passed};
use super::run::NotStarted;
use crate::net::bandwidth::{self, MOST_MBPS, Measured, Responder, Trouble, Wanted};
use crate::net::tls;
use crate::record::{Class, Finding};

/// How long a burst is, each way.
const LENGTH: Duration = Duration::from_secs(2);
/// The least that is measured: less has too few packets to tell.
const LEAST_MBPS: f64 = 0.1;

/// Reads `--mbps`.
pub(super) fn mbps(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(mbps) if (LEAST_MBPS..=MOST_MBPS).contains(&mbps) => Ok(mbps),
        _ => Err(format!("use a number of Mbit/s from {LEAST_MBPS} to {MOST_MBPS}")),
    }
}

/// Measures each way. Whether there is as much as is wanted.
pub(super) fn run(to: SocketAddr, mbps: f64, out: &mut impl Write) -> io::Result<bool> {
    writeln!(out, "bandwidth to {to}: {mbps} Mbit/s are wanted each way")?;
    out.flush()?;
    let trouble = match bandwidth::measure(to, Wanted { mbps, length: LENGTH }) {
        Ok(Ok([up, down])) => {
            let up = tell(out, "up", up, mbps)?;
            return Ok(tell(out, "down", down, mbps)? && up);
        }
        Ok(Err(trouble)) => (
            if trouble == Trouble::NoResponder { Class::TransportRefused } else { Class::Unknown },
            trouble.to_string(),
        ),
        Err(error) => (Class::TransportUnreachable, tls::describe(&error)),
    };
    failed(out, "responder", trouble.0.name(), &trouble.1)
}

fn tell(out: &mut impl Write, way: &str, measured: Measured, wanted: f64) -> io::Result<bool> {
    let Measured { mbps, sent, took, .. } = measured;
    let text = format!("{mbps:.2} Mbit/s came through, {:.1} % of {sent} packets were lost", measured.loss_pct());
    if mbps < wanted {
        return failed(out, way, Finding::NetBandwidthLow.name(), &text);
    }
    passed(out, way, took.as_secs_f64() * 1e3, &text).map(|()| true)
}

/// Starts the responder that was asked for.
pub(super) fn respond(address: Option<SocketAddr>) -> Result<Option<Responder>, NotStarted> {
    let refused = |address, error| NotStarted::environment(format!("cannot measure bandwidth at {address}: {error}"));
    address.map(|address| Responder::start(address).map_err(|error| refused(address, error))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_through_is_told_each_way_and_judged_by_what_is_wanted() {
        let responder = Responder::start(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let (to, mut out) = (responder.address, Vec::new());
        let measured = Measured { mbps: 1.976, sent: 642, received: 403, took: Duration::from_millis(2_002) };
        assert!(!tell(&mut out, "up", measured, 3.0).expect("a Vec takes every write"));
        assert!(tell(&mut out, "down", measured, 1.9).expect("a Vec takes every write"));
        drop(responder);
        assert!(!run(to, 3.0, &mut out).expect("a Vec takes every write"));
        let text = "1.98 Mbit/s came through, 37.2 % of 642 packets were lost";
        let lines = [
            format!("    up          FAILED: net.bandwidth_low: {text}\n"),
            format!("    down        ok    2002.0 ms  {text}\n"),
            format!("bandwidth to {to}: 3 Mbit/s are wanted each way\n"),
            format!("    responder   FAILED: transport.refused: {}\n", Trouble::NoResponder),
        ];
        assert_eq!(String::from_utf8(out).expect("text"), lines.concat());
    }

    #[test]
    fn a_rate_that_no_responder_takes_is_refused() {
        assert_eq!((mbps("3"), mbps("0.1"), mbps("10")), (Ok(3.0), Ok(0.1), Ok(10.0)));
        for text in ["0", "10.1", "-3", "NaN", "3Mbps", ""] {
            assert_eq!(mbps(text), Err("use a number of Mbit/s from 0.1 to 10".to_owned()));
        }
    }
}
