//! A watch: checks that come again and again in one process, for ever.
//!
//! ```text
//! pace::Calendar ─start─► Stage (worker, labs, servers) ─record─► Jobs ─failed─► once more, with sockets of its own
//!       ▲                                                          │
//!       └────────────────────── ended ◄────────────────────────────┼─► Results: folder, spool ─► InfluxDB
//!                                                                  ├─► Incidents: judge, throttle ─► messages
//!                                                                  └─► Shown ─► serve: page, API
//! ```
//!
//! Every check is a member of one worker ([`crate::call::Group`]) with a plan of its own, whose attempts start when the
//! calendar says so. A file that was changed is read again on SIGHUP: its checks join anew, those of before leave and end
//! what is under way. A failure is held until it was tried again, so that its record says whether it could be reproduced.

mod incidents;
mod job;
mod once;
mod results;
mod run;
mod shown;
mod stage;

pub use run::{Asked, Ended, Options, Said, run};
pub use stage::StageError;
