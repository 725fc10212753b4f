//! `expect` as a step: a fact of the attempt so far, or one that has to come true soon.

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::record::Party;
use crate::scenario::plan::{Check, Step};

impl Leg {
    pub(in crate::call) fn begin_check(&mut self, tools: &mut Tools<'_>, check: &Check) -> Flowing {
        match check {
            Check::StillUp if self.up => {
                self.pass_check();
                Flowing::Next
            }
            Check::StillUp => {
                self.miss("expect: the call is not up any more");
                self.find_call_gone()
            }
            Check::EndedBy { party, within } => match self.facts.ended {
                Some(ended) if ended.by == *party => {
                    self.facts.end_awaited = *party == Party::FarEnd;
                    self.pass_check();
                    Flowing::Next
                }
                Some(_) => {
                    self.miss(format!("expect: the call was to be ended by {}", name(*party)));
                    Flowing::Over
                }
                None => self.block(Phase::Checking, Some(tools.now + *within)),
            },
            Check::Heard { wanted, within } => self.begin_keys_check(tools, wanted, *within),
        }
    }

    /// What the step waited for did not come.
    pub(in crate::call) fn fail_check(&mut self, tools: &mut Tools<'_>) {
        match tools.actor.steps.get(self.step) {
            Some(Step::Expect(Check::EndedBy { party, within })) => {
                self.miss(format!("expect: the call was not ended by {} within {within:?}", name(*party)));
            }
            Some(Step::Expect(Check::Heard { wanted, .. })) => self.miss_heard(tools, wanted),
            _ => {}
        }
        self.wind_down(tools);
    }

    pub(in crate::call) fn pass_check(&mut self) {
        self.as_expected = Some(self.as_expected != Some(false));
    }

    pub(in crate::call) fn miss(&mut self, text: impl Into<String>) {
        self.as_expected = Some(false);
        self.unmet.get_or_insert_with(|| text.into());
    }
}

fn name(party: Party) -> &'static str {
    match party {
        Party::Us => "us",
        Party::FarEnd => "the far end",
    }
}
