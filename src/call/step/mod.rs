//! The steps, one file each: how a step begins, and what it makes of what comes in.

mod answer;
mod dial;
mod direct;
mod disturb;
mod dtmf;
mod expect;
mod media;
mod options;
mod register;
mod request;
mod talk;
mod trickle;
mod video;

pub(super) use answer::sent_response;
pub(super) use dial::request_uri;
pub(super) use disturb::Recovering;
pub(super) use dtmf::LegDtmf;
pub(super) use register::{binding_of, registrar_of};
pub(super) use request::Beside;
pub(super) use trickle::Trickling;
pub(super) use video::LegVideo;
