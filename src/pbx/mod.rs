//! The simulated PBX: registrar with digest, number plan, trunks, calls between registered accounts, and limits on calls
//! (`limits`, the one place that counts them) and on registrations (`licence`). A
//! [`Station`](crate::station::Station), so calls against it also run in virtual time.

mod bindings;
mod bridge;
mod calls;
pub mod desk;
mod licence;
mod limits;
mod registrar;
mod station;
mod video;

pub use station::{Config, Pbx};
