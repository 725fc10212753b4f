//! What the command line takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::load::key_value;

/// Places, answers and listens to real telephone calls.
#[derive(Debug, Parser)]
#[command(name = "ringfleet", version, about, after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 pass · 1 an expectation failed · 2 bad usage or file, nothing dialled · \
    3 generator limited · 4 not started · 130 interrupted";

const ANSWER_CODES: &str = "Ctrl-C is the way to end it where neither --calls nor --for says when: exit code 0 where no \
    call failed or none came, 1 where one failed. Before the end that --calls or --for set it is an interruption: 130. \
    Calls that are up are hung up first.";

const WATCH_CODES: &str = "Ctrl-C or SIGTERM is the way to end a watch: calls that are up are hung up, and the exit code is 0. \
    With --once: 0 every check holds · 1 one does not · 2 bad usage or file, nothing dialled · 3 we were late \
    ourselves · 4 not started, or nobody could be reached · 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run scenarios once: place the calls, measure, report, judge.
    Run(Run),
    /// Show every mistake of files at once, else what they would do. Nothing is dialled.
    Check {
        /// Scenario, target, watch or lab files.
        #[arg(required_unless_present = "bandwidth")]
        files: Vec<PathBuf>,
        /// Target instead of the scenario's own: a name or a file.
        #[arg(long)]
        target: Option<String>,
        /// Override a variable, an account or a value: KEY=VALUE, as load.calls=10.
        #[arg(long, value_parser = key_value, value_name = "KEY=VALUE")]
        set: Vec<(String, String)>,
        /// Reach the servers as well: DNS, TCP, TLS and its certificate's end, WebSocket, OPTIONS, STUN, TURN and, where a scenario names the account, REGISTER.
        /// Nothing is dialled. Exit code 4 where one is not reached.
        #[arg(long)]
        live: bool,
        /// Measure the bandwidth to this responder of ours as well (`ringfleet answer --bandwidth` or `lab --bandwidth` there): a
        /// burst of UDP each way for two seconds. Nobody else is sent one. Exit code 4 where less than --mbps comes through.
        #[arg(long, value_name = "ADDR", requires = "live")]
        bandwidth: Option<SocketAddr>,
        /// How much bandwidth an agent needs, Mbit/s each way, 0.1 to 10.
        #[arg(long, value_name = "N", default_value = "3", requires = "bandwidth", value_parser = super::bandwidth::mbps)]
        mbps: f64,
    },
    /// Make the checks of a watch file again and again; SIGHUP reads the file anew.
    #[command(after_help = WATCH_CODES)]
    Watch(Watch),
    /// The far end: answer, refuse, ring, echo, and record what is heard.
    #[command(after_help = ANSWER_CODES)]
    Answer(Answer),
    /// The simulated PBX: registrar, number plan, trunk and licence limits.
    Lab(Lab),
    /// Ladder, timings, quality and files of one call of a run.
    Evidence {
        /// The run folder.
        run_dir: PathBuf,
        /// The call, as `call_id` in calls.jsonl.
        call_id: String,
    },
    /// The incident sheet of one call or incident: what a carrier or a platform's support asks for. As text to paste, then
    /// as JSON.
    Sheet {
        /// The run folder.
        run_dir: PathBuf,
        /// The call, as `call_id` in calls.jsonl, or the incident, as `id` in incidents.jsonl.
        id: String,
        /// JSON only.
        #[arg(long)]
        json: bool,
        /// Hide telephone numbers but for their last two digits.
        #[arg(long)]
        mask_numbers: bool,
    },
    /// What a failure class means and what to do next, how a figure is computed, or what a field of a record is.
    Explain {
        /// The class, finding, figure or field, as call.callee_busy, ser or ice_check_ms.
        class: String,
    },
    /// Write report.html again from a run's files; deliver what is spooled.
    Report {
        /// The run folder.
        run_dir: PathBuf,
        /// Deliver points that wait in the run's spool (token or password in the environment, as for the run).
        #[arg(long)]
        flush: bool,
    },
    /// JSON Schema of the files people write.
    Schema {
        /// scenario, target, watch or lab.
        kind: String,
    },
}

/// `ringfleet run`.
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Scenario files, run one after the other.
    #[arg(required = true)]
    pub(super) scenarios: Vec<PathBuf>,
    /// Target instead of the scenario's own: a name or a file.
    #[arg(long)]
    pub(super) target: Option<String>,
    /// Override a variable, an account or a value: KEY=VALUE, as user=1001 or load.calls=10.
    #[arg(long, value_parser = key_value, value_name = "KEY=VALUE")]
    pub(super) set: Vec<(String, String)>,
    /// Run folder; by default runs/SCENARIO-TIME.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// InfluxDB 2: http://HOST:8086?org=ORG&bucket=BUCKET, token in INFLUX_TOKEN; 1.x: http://HOST:8086?db=NAME, user in
    /// INFLUX_USERNAME and INFLUX_PASSWORD; 3: http://HOST:8181?db=NAME&api=v3, token in INFLUX_TOKEN.
    #[arg(long, value_name = "URL")]
    pub(super) influx: Option<String>,
    /// Of which successful calls calls.jsonl and InfluxDB have a record; they have one of each failed call.
    #[arg(long, value_enum, default_value_t = Records::Sample)]
    pub(super) records: Records,
    /// Ask this DNS server for the servers of targets, instead of the system's.
    #[arg(long, value_name = "ADDR")]
    pub(super) nameserver: Option<SocketAddr>,
    /// Worker threads.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) workers: u16,
    /// Name of this site, a tag of every result.
    #[arg(long)]
    pub(super) site: Option<String>,
    /// Print nothing but mistakes.
    #[arg(long)]
    pub(super) quiet: bool,
    /// Print summary.json instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// `--records`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Records {
    /// Of 10,000 at most, evenly spread; the share is in summary.json.
    Sample,
    /// Of each.
    All,
}

/// Successes of which a sample of records has one each.
const SAMPLE: u64 = 10_000;

impl Records {
    /// Of so many legs that did what is wanted, one is written, where so many attempts are planned.
    pub(super) fn whole_every(self, planned: Option<u64>) -> u64 {
        match self {
            Self::All => 1,
            Self::Sample => planned.map_or(1, |planned| planned.div_ceil(SAMPLE)).max(1),
        }
    }
}

/// `ringfleet watch`.
#[derive(Debug, clap::Args)]
pub(super) struct Watch {
    /// Watch file.
    pub(super) file: PathBuf,
    /// Make each check once and end: exit code 0 where all hold, 1 where one does not.
    #[arg(long)]
    pub(super) once: bool,
    /// Folder of its results; by default runs/WATCH-TIME.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Ask this DNS server for the servers of targets, instead of the system's.
    #[arg(long, value_name = "ADDR")]
    pub(super) nameserver: Option<SocketAddr>,
    /// Print no calls.
    #[arg(long)]
    pub(super) quiet: bool,
}

/// `ringfleet answer`.
#[derive(Debug, clap::Args)]
pub(super) struct Answer {
    /// Where calls are waited for: UDP, TCP, TLS, WebSocket, and WebSocket within TLS.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5060")]
    pub(super) listen: SocketAddr,
    /// Write the CA of the TLS certificate, which is made at start, to this PEM file: callers name it as `ca`.
    #[arg(long, value_name = "FILE")]
    pub(super) write_ca: Option<PathBuf>,
    /// What is done with a call: echo, speech, keys (speech, and each key that is heard comes back), tone, silence, nothing,
    /// ring, or a code as 486.
    #[arg(long, value_name = "B", default_value = "echo", value_parser = super::answer::behaviour)]
    pub(super) behaviour: super::answer::Behaviour,
    /// Listen for keys that come as tones in the audio (DTMF, in-band), too; those that come as telephone events are heard
    /// anyway.
    #[arg(long)]
    pub(super) tones: bool,
    /// Signalling only: audio is described, but no packet is sent or expected.
    #[arg(long)]
    pub(super) no_media: bool,
    /// Audio of all calls over one pair of UDP ports. Callers are told apart by the address that their SDP gives, and by
    /// `a=ssrc` where several have one address; those of WebRTC get a port each all the same.
    #[arg(long, conflicts_with = "no_media")]
    pub(super) shared_media: bool,
    /// Encrypted audio, by keys in SDP or as in WebRTC: required, offered (taken where the caller offers it), dtls
    /// (WebRTC only) or off.
    #[arg(long, value_name = "WORD", default_value = "offered", value_parser = super::answer::srtp)]
    pub(super) srtp: crate::scenario::plan::Policy,
    /// Time from the INVITE to the answer, as 2s.
    #[arg(long, default_value = "0s")]
    pub(super) after: crate::units::Period,
    /// Hang up this long after the answer, as 30s; by default the caller does.
    #[arg(long, value_name = "PERIOD")]
    pub(super) hangup_after: Option<crate::units::Period>,
    /// End after this many calls.
    #[arg(long, value_name = "N")]
    pub(super) calls: Option<u64>,
    /// End after this time, as 10m.
    #[arg(long = "for", value_name = "PERIOD")]
    pub(super) period: Option<crate::units::Period>,
    /// Measure bandwidth at this address (UDP) with who asks by `check --live --bandwidth`: one at a time, 10 Mbit/s for five
    /// seconds at most.
    #[arg(long, value_name = "ADDR")]
    pub(super) bandwidth: Option<SocketAddr>,
    /// Address that the outside knows us by, in Contact and SDP.
    #[arg(long, value_name = "IP")]
    pub(super) public_address: Option<std::net::IpAddr>,
    /// Header that carries the caller's call_id.
    #[arg(long, value_name = "NAME", default_value = "X-Ringfleet-Call")]
    pub(super) pairing_header: String,
    /// Mask telephone numbers in every output.
    #[arg(long)]
    pub(super) mask_numbers: bool,
    /// Run folder; by default runs/answer-TIME.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// InfluxDB 2: http://HOST:8086?org=ORG&bucket=BUCKET, token in INFLUX_TOKEN; 1.x: http://HOST:8086?db=NAME, user in
    /// INFLUX_USERNAME and INFLUX_PASSWORD; 3: http://HOST:8181?db=NAME&api=v3, token in INFLUX_TOKEN.
    #[arg(long, value_name = "URL")]
    pub(super) influx: Option<String>,
    /// Name of this site, a tag of every result.
    #[arg(long)]
    pub(super) site: Option<String>,
    /// Print nothing but mistakes.
    #[arg(long)]
    pub(super) quiet: bool,
}

/// `ringfleet lab`.
#[derive(Debug, clap::Args)]
pub(super) struct Lab {
    /// Lab file; by default the built-in lab.
    pub(super) file: Option<PathBuf>,
    /// Where it listens: UDP, TCP, TLS, WebSocket, and WebSocket within TLS.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5060")]
    pub(super) listen: SocketAddr,
    /// Write the CA of its TLS certificate, which is made at start, to this PEM file: targets name it as `ca`.
    #[arg(long, value_name = "FILE")]
    pub(super) write_ca: Option<PathBuf>,
    /// Measure bandwidth at this address (UDP) with who asks by `check --live --bandwidth`: one at a time, 10 Mbit/s for five
    /// seconds at most.
    #[arg(long, value_name = "ADDR")]
    pub(super) bandwidth: Option<SocketAddr>,
}
