//! The simulated PBX: registrar with digest, number plan, trunks and a registration licence with their limits, calls
//! between registered accounts. A [`Station`](crate::station::Station), so calls against it also run in virtual time.

mod bridge;
mod calls;
mod registrar;
mod station;

pub use station::{Config, Pbx};
