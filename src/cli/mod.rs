//! One file per subcommand, wiring only.

pub mod exit;
pub mod explain;
