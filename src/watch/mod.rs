//! A watch: checks that come again and again in one process, for ever.
//!
//! ```text
//! pace::Calendar ─start─► Stage (worker, labs, servers) ─record─► Jobs ─failed─► once more, with sockets of its own
//!       ▲                                                          │
//!       └────────────────────── ended ◄────────────────────────────┼─► Results: folder, spool ─► InfluxDB
//!                                                                  ├─► Incidents: judge, throttle ─► notify ─► people
//!                                                                  └─► Shown ─► serve: page, API
//! ```
//!
//! Every check is a member of one worker ([`crate::call::Group`]) with a plan of its own, whose attempts start when the
//! calendar says so. A file that was changed is read again on SIGHUP: its checks join anew, those of before leave and end
//! what is under way. A failure is held until it was tried again, so that its record says whether it could be reproduced;
//! where that leaves it open whether an agent fails, the judge has it called again (`repetitions`). What it knows outlives it in one file (`store`).

mod incidents;
mod job;
mod notify;
mod once;
mod repetitions;
mod results;
mod run;
mod sheets;
mod shown;
mod stage;
mod store;

pub use run::{Asked, Ended, Options, Said, WatchError, run};
pub use stage::StageError;
pub use store::{Store, StoreError};
