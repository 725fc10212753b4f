//! Ringfleet places, answers and listens to real telephone calls.
//!
//! This page is the architecture page: what the parts are, which way data flows, and which rules hold everywhere.
//!
//! # The short story of one call
//!
//! ```text
//! cli::run ─► scenario::tree ─► check ─► compile ─► Plan
//!                                                    │
//!             pace::Schedule gives intended_start ◄──┘
//!                    │
//!   engine fills a place ─► call (steps) ─► sip, media ─► net (sockets)
//!                             │
//!                             ▼ Facts
//!              record::classify ─► CallRecord ─► measure::Tally ─► verdict, exit code
//!                                     │     └──► evidence (ladder, raw messages)
//!                                     ▼
//!                            sink::spool ─► sink::influx
//! ```
//!
//! # Modules
//!
//! The modules stand in one line and each names only modules above it; `tests/it/layers.rs` walks the sources and
//! fails when one does not. The core takes values and gives values: **no clock, no sockets, no files, no threads, no
//! async and no hidden randomness**. Time, seeds and identities are arguments. The shell touches the world.
//!
//! | # | module | what it does | part |
//! |---|---|---|---|
//! | 1 | [`units`] | periods, rates, percent, MOS, ids, [`units::Redacted`] | core |
//! | 2 | [`timer`] | a timing wheel of 1 ms ticks that machines share | core |
//! | 3 | [`sip`] | messages, transactions, dialogs, registrations, digest, SDP, finding servers (RFC 3263), and the endpoint that joins them | core |
//! | 4 | [`media`] | RTP, RTCP, SRTP, G.711, G.722, Opus, frames of video, reception statistics, E-model, grade, what is *heard* | core |
//! | 5 | [`webrtc`] | ICE with STUN and TURN, and DTLS: the path of a WebRTC call and the keys of its SRTP | core |
//! | 6 | [`record`] | facts of one attempt, its record, and the only place that says why it failed | core |
//! | 7 | [`measure`] | histograms, tallies, windows, thresholds, KPIs of RFC 6076 and E.411 | core |
//! | 8 | [`pace`] | when the k-th call starts, when a check comes again, and the search for the place where a line stops | core |
//! | 9 | [`scenario`] | YAML → spanned tree → check → compile → [`scenario::plan::Plan`]; schemas | core |
//! | 10 | [`station`] | what a worker hosts: inputs, outputs, media streams | core |
//! | 11 | [`call`] | the step interpreter: drives sip and media for each attempt, fills its facts | core |
//! | 12 | [`evidence`] | ring of raw messages, ladder | core |
//! | 13 | [`pbx`] | the simulated PBX: registrar, number plan, trunks, limits on calls and registrations | core |
//! | 14 | [`incident`] | who is hit: the judge, the throttle of messages, message and incident sheet | core |
//! | 15 | [`report`] | html, junit, the terminal screen | core |
//! | 16 | [`net`] | **the** place of sockets, TLS, DNS and time | shell |
//! | 17 | [`reactor`] | one worker's turn: readiness, ticks, batches | shell |
//! | 18 | [`engine`] | hosts a station on reactors, threads, shutdown | shell |
//! | 19 | [`sink`] | spool on disk, InfluxDB, files of the run folder, one try to deliver an alert | shell |
//! | 20 | [`serve`] | `/metrics`, `/healthz`, the page and the API of a watch | shell |
//! | 21 | [`watch`] | checks that come again and again: calendar, worker, results, incidents, the queue of alerts and what outlives a kill | shell |
//! | 22 | [`cli`] | one file per subcommand, wiring only | shell |
//!
//! # Rules that hold everywhere
//!
//! * **One contract for every machine** (a convention, not a trait): `new(config, seed, now)`; `handle_*(now, input)`
//!   never fails, because bad bytes are a count or an event; `poll_output()` is called until it has nothing more.
//! * **`now` never goes back**, and a datagram carries when it *arrived* (the kernel's time stamp), so that figures are
//!   not quantised by turns of the worker.
//! * **Unknown is `None`**: in JSON `null`, in InfluxDB an absent field; never 0 and never a good-looking default.
//! * **A class** says what one attempt showed; **a finding** says what many attempts show.
//! * **A worker owns** its sockets, calls, timers and tallies. Threads exchange finished values over bounded channels.
//! * **Media sockets** are a stream's own, or one pair for all streams of a worker (`sockets: shared`). Then
//!   [`station::demux`] says whose a datagram is before a station sees it: by the address that SDP gave, then by SSRC, never
//!   by a guess. A stream that cannot be told from another fails and says so.
//! * **Names** are those of RFC 3261, 3550, 6076 and of the ITU-T.
//!
//! # Glossary
//!
//! *Agent*: a seat that we imitate (an account, its registration, its calls). *Probe*: one process of ours at a site.
//! *Attempt*: one run through a scenario's steps. *Leg*: one side's SIP session and media in an attempt.
//! *Incident*: what many results show together, with the scope that it reaches. *Scope*: the narrowest label (agent, trunk,
//! gateway …) that covers the failures and leaves the passes out. *Session*: a SIP INVITE session (RFC 3261 §13), from the INVITE to the end of its dialog. *Flow*: a local socket or
//! connection and the remote address that messages are exchanged with (RFC 5626 §2). *Station*: what a worker hosts,
//! either callers or the simulated PBX.

pub mod call;
pub mod cli;
pub mod engine;
pub mod evidence;
pub mod incident;
pub mod measure;
pub mod media;
pub mod net;
pub mod pace;
pub mod pbx;
pub mod reactor;
pub mod record;
pub mod report;
pub mod scenario;
pub mod serve;
pub mod sink;
pub mod sip;
pub mod station;
pub mod timer;
pub mod units;
pub mod watch;
pub mod webrtc;
