//! call.
