//! The command line: one file per subcommand, wiring only.

pub mod check;
pub mod exit;
pub mod explain;
pub mod load;
pub mod schema;
