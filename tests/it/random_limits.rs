//! Random lists of what callers may do at a PBX with every limit there is: however a call ends, all its places come back.

use std::time::Duration;

use proptest::prelude::*;
use ringfleet::sip::flow::Flow;

use crate::pbx_desk::{Desk, Dialled, at};

/// Every limit on calls at once, each small enough to be met, and a licence that evicts and closes.
const LAB: &str = "
accounts: { users: 1001..1006 }
session_timer: { expires: 90s }
calls:
  all: { calls: 6, rate: { max: 50/s, burst: 10 }, ban: { after: 4, within: 5s, for: 2s, of: account } }
  per_account: { calls: 2, frees_after: 500ms }
  per_source: { calls: 4, rate: { max: 20/s, window: 1s } }
  per_callee: { calls: 3 }
trunks:
  a: { prefix: 901, calls: 3, frees_after: 1s, ban: { after: 3, within: 1s, for: 3s } }
  b: { prefix: 902, calls: 4, others: { calls: 0..4, change_every: 300ms }, ban: { after: 2, within: 1s, for: 1s, silent: true } }
licence: { devices: 3, evict: { which: random, close: true } }
";

#[derive(Clone, Debug)]
enum Op {
    Dial {
        who: u8,
        tcp: bool,
        number: &'static str,
    },
    End(usize),
    /// Nobody hears of it: neither CANCEL nor BYE.
    Forget(usize),
    Register {
        who: u8,
        tcp: bool,
    },
    Lose(u8),
    Vanish(u8),
    SetTrunk(u32),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let number = prop_oneof![
        4 => Just("2001"), 4 => Just("9012001"), 4 => Just("9022001"), 2 => Just("9015551"), 2 => Just("2100"),
        1 => Just("9013486"), 1 => Just("3481"), 1 => Just("9023302"), 1 => Just("2183"), 1 => Just("2021"),
        1 => Just("2999"), 1 => Just("4711"), 2 => Just("1001"), 2 => Just("9011002"),
    ];
    prop_oneof![
        12 => (1..5u8, any::<bool>(), number).prop_map(|(who, tcp, number)| Op::Dial { who, tcp, number }),
        8 => (0..20usize).prop_map(Op::End),
        1 => (0..20usize).prop_map(Op::Forget),
        2 => (1..7u8, any::<bool>()).prop_map(|(who, tcp)| Op::Register { who, tcp }),
        1 => (1..5u8).prop_map(Op::Lose),
        1 => (1..5u8).prop_map(Op::Vanish),
        1 => (0..6u32).prop_map(Op::SetTrunk),
        8 => prop_oneof![0..20u64, 0..2000u64, 0..40_000u64].prop_map(Op::Pass),
    ]
}

/// The connections of the callers; each breaks and is made anew.
struct Flows {
    tcp: [Option<Flow>; 8],
    made: u32,
}

impl Flows {
    fn get(&mut self, desk: &mut Desk, who: u8, tcp: bool) -> Flow {
        if !tcp {
            return at(who);
        }
        let open = self.tcp[usize::from(who)].filter(|flow| !desk.closed.contains(&flow.link));
        let flow = open.unwrap_or_else(|| {
            self.made += 1;
            desk.connect(who, self.made)
        });
        self.tcp[usize::from(who)] = Some(flow);
        flow
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_places_come_back_whatever_happens_in_whatever_order(
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut desk = Desk::seeded(LAB, seed);
        let mut flows = Flows { tcp: [None; 8], made: 0 };
        let mut calls: Vec<Dialled> = Vec::new();
        let mut all_calls: Vec<Dialled> = Vec::new();
        for op in &ops {
            match op {
                Op::Dial { who, tcp, number } => {
                    let flow = flows.get(&mut desk, *who, *tcp);
                    calls.push(desk.dial(flow, &(1000 + u32::from(*who)).to_string(), number));
                    all_calls.extend(calls.last().cloned());
                }
                Op::End(which) if !calls.is_empty() => {
                    let call = calls[which % calls.len()].clone();
                    desk.end(&call);
                }
                Op::Forget(which) if !calls.is_empty() => drop(calls.remove(which % calls.len())),
                Op::End(_) | Op::Forget(_) => {}
                Op::Register { who, tcp } => {
                    let flow = flows.get(&mut desk, *who, *tcp);
                    desk.login(flow, &(1000 + u32::from(*who)).to_string());
                }
                Op::Lose(who) => {
                    if let Some(flow) = flows.tcp[usize::from(*who)].take() {
                        desk.lose(flow);
                    }
                }
                Op::Vanish(who) => desk.vanish(at(*who)),
                Op::SetTrunk(places) => {
                    desk.pbx.set_trunk_places(desk.now, "a", *places);
                }
                Op::Pass(milliseconds) => desk.pass(Duration::from_millis(*milliseconds)),
            }
            // What is never answered asks no limit: a number that is like that, and who is banned without a word.
            let asked_none = all_calls.iter().filter(|call| !desk.is_answered(call)).count();
            prop_assert!(desk.pbx.calls_under_way() <= 6 + asked_none);
        }
        for call in &calls {
            desk.end(call);
        }
        // Ringing ends by itself, and so does what is not acknowledged.
        desk.pass(Duration::from_secs(15 * 60));
        prop_assert_eq!(desk.left(), (0, 0, 0), "{:#?}", ops);
    }
}
