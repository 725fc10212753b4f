//! From YAML to a checked [`plan::Plan`].
//!
//! Texts and environment come in as values: nothing here opens a file or reads a variable.

pub mod lab;
pub mod plan;
pub mod safety;
pub mod text;
