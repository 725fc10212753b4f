//! What is out of order in a lab.

use super::Behaviour;

/// Something that is out of order: calls that fit all lists which are not empty meet it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Accounts that call.
    pub accounts: Vec<String>,
    /// Trunks that are taken.
    pub trunks: Vec<String>,
    /// Numbers that are called, without the prefix of a trunk.
    pub numbers: Vec<String>,
    /// What happens to such a call.
    pub behaviour: Behaviour,
}

impl Fault {
    /// Whether a call meets it. `account` is `None` while nobody knows yet who calls: then only what hits everybody does.
    pub fn meets(&self, account: Option<&str>, trunk: Option<&str>, number: &str) -> bool {
        let fits = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|other| other == value))
        };
        fits(&self.accounts, account) && fits(&self.trunks, trunk) && fits(&self.numbers, Some(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(accounts: &[&str], trunks: &[&str], numbers: &[&str]) -> Fault {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Fault { accounts: list(accounts), trunks: list(trunks), numbers: list(numbers), behaviour: Behaviour::NoMedia }
    }

    #[test]
    fn a_call_meets_a_fault_when_all_lists_fit_and_an_empty_one_fits_every_call() {
        assert!(fault(&[], &[], &[]).meets(None, None, "2000"));
        let both = fault(&["1003"], &["t1", "t2"], &[]);
        assert!(both.meets(Some("1003"), Some("t2"), "2000"));
        assert!(!both.meets(Some("1004"), Some("t2"), "2000"));
        assert!(!both.meets(Some("1003"), Some("t3"), "2000"));
        assert!(!both.meets(Some("1003"), None, "2000"), "it takes no trunk");
        assert!(!both.meets(None, Some("t1"), "2000"), "nobody knows yet who calls");
        assert!(!fault(&[], &[], &["2001"]).meets(Some("1003"), None, "2000"));
    }
}
