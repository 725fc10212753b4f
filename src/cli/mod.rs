//! cli.

pub mod check;
pub mod load;
pub mod schema;
