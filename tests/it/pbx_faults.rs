//! What is out of order in the simulated PBX, and what changes when its file is read again.

use std::time::Duration;

use crate::pbx_desk::{Desk, at, lab, read};

const TRUNKS: &str = "trunks: { a: { prefix: 901, calls: 5 }, b: { prefix: 902 } }\n";
const HERE: u8 = 1;

fn desk(faults: &str) -> Desk {
    Desk::new(&format!("{TRUNKS}faults: [{faults}]\n"))
}

/// The final response to a call, which is ended if it was answered.
fn code(desk: &mut Desk, user: &str, number: &str) -> u16 {
    let call = desk.dial(at(HERE), user, number);
    desk.pass(Duration::from_millis(20));
    let code = desk.said(&call).0;
    if code < 300 {
        desk.end(&call);
    }
    code
}

/// Codes of calls by two accounts over both trunks and over none.
fn codes(desk: &mut Desk) -> [u16; 6] {
    let calls =
        ["1001", "1002"].into_iter().flat_map(|user| ["2001", "9012001", "9022001"].map(|number| (user, number)));
    let codes: Vec<u16> = calls.map(|(user, number)| code(desk, user, number)).collect();
    codes.try_into().expect("six calls")
}

#[test]
fn a_fault_meets_the_calls_of_its_accounts_trunks_and_numbers_and_no_others() {
    assert_eq!(codes(&mut desk("{ accounts: 1002, does: { reject: { code: 403 } } }")), [200, 200, 200, 403, 403, 403]);
    assert_eq!(codes(&mut desk("{ trunks: [a], does: { reject: { code: 503 } } }")), [200, 503, 200, 200, 503, 200]);
    assert_eq!(codes(&mut desk("{ trunks: [a, b], does: { reject: { code: 503 } } }")), [200, 503, 503, 200, 503, 503]);
    assert_eq!(
        codes(&mut desk("{ accounts: 1001, trunks: [b], does: { reject: { code: 480 } } }")),
        [200, 200, 480, 200, 200, 200]
    );
    assert_eq!(codes(&mut desk("{ numbers: [2002], does: { reject: { code: 480 } } }")), [200; 6]);
    // Of two that fit the first counts.
    let both = "{ accounts: 1001, does: { reject: { code: 403 } } }, { does: { reject: { code: 500 } } }";
    assert_eq!(codes(&mut desk(both)), [403, 403, 403, 500, 500, 500]);
}

#[test]
fn a_fault_without_a_response_is_silence() {
    let mut desk = desk("{ trunks: [a], does: no_response }, { accounts: 1002, does: no_response }");
    let silent = desk.dial(at(HERE), "1001", "9012001");
    desk.pass(Duration::from_secs(1));
    assert!(!desk.is_answered(&silent));
    let silent = desk.dial(at(HERE), "1002", "2001");
    desk.pass(Duration::from_secs(1));
    assert!(!desk.is_answered(&silent));
    assert_eq!(code(&mut desk, "1001", "2001"), 200);
}

#[test]
fn a_lab_whose_file_is_read_again_has_its_faults_numbers_and_places_and_keeps_its_calls() {
    let mut desk = desk("{ does: { reject: { code: 503 } } }");
    assert_eq!(codes(&mut desk), [503; 6]);
    desk.pbx.change(desk.now, lab(TRUNKS));
    assert_eq!(codes(&mut desk), [200; 6]);
    let up = desk.dial(at(HERE), "1001", "9012001");
    desk.pass(Duration::from_millis(20));
    let fewer = "trunks: { a: { prefix: 901, calls: 1 }, b: { prefix: 902 } }\nextensions: { desk: { number: 2002, does: echo } }\n";
    desk.pbx.change(desk.now, lab(fewer));
    assert_eq!(desk.pbx.calls_under_way(), 1);
    assert_eq!(code(&mut desk, "1002", "9012001"), 503, "one place, and it is taken");
    assert_eq!((code(&mut desk, "1002", "2002"), code(&mut desk, "1002", "2001")), (200, 404));
    desk.end(&up);
    assert_eq!(code(&mut desk, "1002", "9012001"), 200);
}

#[test]
fn a_fault_of_an_account_or_a_trunk_that_the_lab_lacks_is_a_mistake() {
    for (fault, said) in [
        ("{ accounts: 4711, does: silence }", "the lab has no account 4711"),
        ("{ trunks: [c], does: silence }", "the lab has no trunk `c`"),
    ] {
        let mistakes = read(&format!("{TRUNKS}faults: [{fault}]\n")).expect_err("a mistake").to_string();
        assert!(mistakes.contains(said), "{mistakes}");
    }
}
