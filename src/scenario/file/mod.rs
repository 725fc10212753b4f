//! The files that people write, as types: read by serde, described by the schemas that are generated from them.
//!
//! They say what may be written. What it comes to is decided by `scenario::compile`.

pub mod agent;
pub mod dtmf;
pub mod lab;
pub mod length;
pub mod limits;
pub mod load;
pub mod notify;
pub mod request;
pub mod scalar;
pub mod scenario;
pub mod session;
pub mod step;
pub mod target;
pub mod video;
pub mod watch;

pub use lab::LabFile;
pub use scenario::ScenarioFile;
pub use target::TargetFile;
pub use watch::WatchFile;
