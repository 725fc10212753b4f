//! What legs ask of the applications beside their calls: orders that go out, and what comes of them.

use std::collections::VecDeque;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::callers::Callers;
use super::leg::LegRef;
use crate::station::side::{Order, Told, Wish};

/// Orders of all legs, and whose they are.
#[derive(Debug, Default)]
pub(super) struct Sides {
    orders: VecDeque<Order>,
    /// Legs that have asked for something and are not done, by their seat.
    seats: FxHashMap<u64, LegRef>,
}

impl Sides {
    pub(super) fn ask(&mut self, me: LegRef, seat: u64, wish: Wish) {
        self.seats.insert(seat, me);
        self.orders.push_back(Order { seat, wish });
    }

    /// The leg is done; where it has asked for something, its connections end.
    pub(super) fn leave(&mut self, seat: u64) {
        if self.seats.remove(&seat).is_some() {
            self.orders.push_back(Order { seat, wish: Wish::Leave });
        }
    }

    pub(super) fn poll(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }
}

impl Callers {
    /// Something has come of an order ([`Report::Side`](super::Report::Side)). What comes for a leg that is done is
    /// forgotten.
    pub fn handle_side(&mut self, now: Instant, told: Told) {
        let Some(me) = self.sides.seats.get(&told.seat).copied() else { return };
        self.arrived = Some(told.at.min(now));
        self.with_leg(now, me, |leg, tools| leg.handle_side(tools, told.news));
        self.arrived = None;
        self.drain_endpoint(now, None, None);
    }
}
