//! The simulated PBX: registrar with digest, number plan, trunks, calls between registered accounts, and limits of every
//! kind on calls ([`limits`]) and registrations ([`registrar`]). A [`Station`](crate::station::Station), so calls against it also run in virtual time.

mod bridge;
mod calls;
mod licence;
mod limits;
mod registrar;
mod station;

pub use station::{Config, Pbx};
