//! From YAML to a checked [`plan::Plan`].
//!
//! `tree` reads YAML with its places, `check` walks it against the schema of its file, `file` holds what may be written,
//! `compile` makes a plan of it. Texts and environment come in as values: nothing here opens a file or reads a variable.

pub mod check;
pub mod compile;
pub mod diagnostic;
pub mod emergency;
pub mod file;
pub mod filled;
pub mod lab;
pub mod plan;
pub mod preview;
pub mod safety;
pub mod schema;
pub mod text;
pub mod tree;
pub mod watch;
