//! Where a worker's orders beside its calls go: to a thread that is started with the first of them.

use crate::net::clock;
use crate::net::side::{Side, Teller};
use crate::record::SideFault;
use crate::station::side::{News, Order, Told, Wish};

/// The thread that asks applications, once there is something to ask.
pub(super) struct Door {
    side: Option<Side>,
    teller: Teller,
}

impl Door {
    pub(super) fn new(teller: Teller) -> Self {
        Self { side: None, teller }
    }

    pub(super) fn order(&mut self, order: Order) {
        let number = match &order.wish {
            Wish::Ask(request) | Wish::Say(request) => Some(request.number),
            Wish::Leave => None,
        };
        let seat = order.seat;
        if self.side.is_none() {
            match Side::start(self.teller.clone()) {
                Ok(side) => self.side = Some(side),
                Err(error) => tracing::error!(%error, "nothing can be asked of applications"),
            }
        }
        let taken = self.side.as_ref().is_some_and(|side| side.order(order));
        if let (false, Some(number)) = (taken, number) {
            let text = "our own thread of requests takes no more of them".to_owned();
            let news = News::Failed { number, fault: SideFault::Unreachable, text };
            // Where its box is full too, the step ends by its own time-out.
            let _ = (self.teller)(Told { seat, at: clock::now(), news });
        }
    }
}
