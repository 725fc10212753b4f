//! Two sessions.
