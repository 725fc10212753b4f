//! Attempts: the steps of a scenario, carried out.
//!
//! [`Callers`] is the station of a worker that runs a plan: it starts attempts when the schedule says so, gives each
//! actor a leg, and turns what happened into records. A leg goes through its steps, one file each below
//! [`step`]; what it sees goes into [`Facts`](crate::record::Facts), and nothing here judges them.

mod accounts;
mod back_off;
mod beside;
mod callers;
mod command;
mod ended;
mod events;
mod group;
mod hops;
mod hosted;
mod hushed;
mod leg;
mod limit;
mod links;
mod marks;
mod observe;
mod reach;
mod refresh;
mod registering;
mod report;
mod side;
mod stall;
mod standing;
mod start;
pub mod step;
mod test_calls;

pub use back_off::Pause;
pub use callers::{Callers, Config};
pub use group::{Group, GroupReport, MemberId, actor_of, attempt_of};
pub use limit::Found;
pub use report::{Counted, Finished, NotBegun, Progress, Report};
