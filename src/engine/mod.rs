//! Threads that host stations: workers with the callers of a plan, and the lab. One worker is one thread with its own
//! sockets, calls and timers; what it finishes goes to the one who counts over a bounded channel.

mod application;
mod evidence;
mod group;
mod host;
mod lab;
mod names;
mod preflight;
mod side;
mod workers;

pub use group::{GroupTold, GroupWorker, Joining};
pub use host::{Beat, StartError};
pub use lab::Lab;
pub use names::{LookedUp, Names, Renewal};
pub use workers::{Settings, Told, Workers};
