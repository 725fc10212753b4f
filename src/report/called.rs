//! Whether each of several actors is called, as the phones of an agent behind a pool of gateways are.

use super::expectations::Actual;
use crate::record::{Finding, Outcome};

/// The likelihood below which an actor was not passed over by chance, were all of them called alike.
const CHANCE: f64 = 0.01;

/// What befell the legs of one actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    legs: u64,
    called: u64,
}

impl Calls {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.legs += 1;
        self.called += u64::from(outcome.invited);
    }
}

/// What came to whom, whether each was called, and what is to be said of who was not. `None` of what came is not measured: too
/// few calls tell nothing.
pub(super) fn judge(actors: &[(usize, String)], calls: &[Calls]) -> (Option<Actual>, bool, Option<String>) {
    let of = |actor: usize| calls.get(actor).copied().unwrap_or_default();
    let all: u64 = actors.iter().map(|(actor, _)| of(*actor).called).sum();
    let each: Vec<String> = actors.iter().map(|(actor, name)| format!("{name} {}", of(*actor).called)).collect();
    let actual = Actual::Text(format!("{} of {all} calls", each.join(", ")));
    let unused: Vec<String> = actors
        .iter()
        .filter(|(actor, _)| of(*actor).called == 0)
        .map(|(actor, name)| format!("{name} (there {} times)", of(*actor).legs))
        .collect();
    if unused.is_empty() {
        return (Some(actual), true, None);
    }
    let passed_over = 1.0 - 1.0 / actors.len().max(2) as f64;
    let enough = (CHANCE.ln() / passed_over.ln()).ceil() as u64;
    if all < enough {
        let note = format!("not measured: it takes {enough} calls to tell, and there were {all}");
        return (None, false, Some(note));
    }
    let note = format!("{}: never called: {}", Finding::RegPoolMemberUnused, unused.join(", "));
    (Some(actual), false, Some(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(called: &[u64]) -> (Option<String>, bool, Option<String>) {
        let names = ["first", "second", "third"];
        let actors: Vec<(usize, String)> =
            called.iter().enumerate().map(|(index, _)| (index + 1, names[index].to_owned())).collect();
        let mut calls = vec![Calls::default()];
        calls.extend(called.iter().map(|called| Calls { legs: 20, called: *called }));
        let (actual, pass, note) = judge(&actors, &calls);
        (actual.map(|actual| actual.to_string()), pass, note)
    }

    #[test]
    fn a_phone_that_no_call_comes_to_is_named_once_there_were_calls_enough() {
        assert_eq!(judged(&[13, 7]), (Some("first 13, second 7 of 20 calls".into()), true, None));
        let note = "reg.pool_member_unused: never called: second (there 20 times)";
        assert_eq!(judged(&[7, 0]), (Some("first 7, second 0 of 7 calls".into()), false, Some(note.into())));
        let few = "not measured: it takes 7 calls to tell, and there were 6";
        assert_eq!(judged(&[6, 0]), (None, false, Some(few.into())));
        // Of three each is passed over by two calls of three.
        let few = "not measured: it takes 12 calls to tell, and there were 11";
        assert_eq!(judged(&[6, 5, 0]), (None, false, Some(few.into())));
        assert!(judged(&[6, 0, 6]).2.is_some_and(|note| note.ends_with("never called: second (there 20 times)")));
        assert_eq!(judged(&[0, 0]).0, None, "nobody was called");
        assert_eq!(judged(&[1, 1]), (Some("first 1, second 1 of 2 calls".into()), true, None));
    }
}
