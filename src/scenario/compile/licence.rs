//! The licence of a lab file.

use std::collections::BTreeSet;

use super::accounts::users_of;
use super::doc::{At, Report};
use super::lab::reject_or;
use super::lab_limits::freed;
use crate::scenario::file::limits::{LabLicenceFile, OverProvisionedFile, VictimWord};
use crate::scenario::lab::{Evict, LabLicence, OverProvisioned, Victim};
use crate::scenario::plan::Account;
use crate::units::Random;

/// Times the licence that accounts exist, where a file does not say it.
const FACTOR: u32 = 2;

pub(super) fn compile(file: &LabLicenceFile, accounts: &[Account], at: At<'_>, report: &mut Report) -> LabLicence {
    let evict = file.evict.as_ref().map(|evict| Evict {
        victim: match evict.which {
            None | Some(VictimWord::Oldest) => Victim::Oldest,
            Some(VictimWord::Random) => Victim::Random,
        },
        close: evict.close,
        hidden: evict.hidden,
    });
    let rule = file.over_provisioned.as_ref();
    LabLicence {
        places: file.devices,
        refuse: reject_or(file.refuse.as_ref(), 403),
        evict,
        freed: freed(file.frees_after),
        over_provisioned: rule
            .map(|rule| over_provisioned(rule, file.devices, accounts, at.key("over_provisioned"), report)),
    }
}

fn over_provisioned(
    file: &OverProvisionedFile,
    devices: u32,
    accounts: &[Account],
    at: At<'_>,
    report: &mut Report,
) -> OverProvisioned {
    let factor = file.factor.unwrap_or(FACTOR);
    let needed = factor as usize * devices as usize;
    // No account at all: their own mistake has been told.
    if accounts.len() < needed && !accounts.is_empty() {
        let message = format!("{} accounts are fewer than {factor} × {devices} devices", accounts.len());
        report.add(at, message, format!("give the lab {needed} accounts, or the licence fewer devices"));
    }
    if file.users.is_some() && file.count.is_some() {
        report.add(at.name("count"), "`users` and `count` are both given", "name the accounts, or say how many");
    }
    let users = match (&file.users, file.count) {
        (Some(users), _) => named(&users.0, accounts, at.key("users"), report),
        (None, count) => {
            let count = count.map_or_else(|| accounts.len().saturating_sub(devices as usize), |count| count as usize);
            if count > accounts.len() && !accounts.is_empty() {
                let message = format!("{count} accounts cannot register, and there are {}", accounts.len());
                report.add(at.key("count"), message, "write a smaller number");
            }
            drawn(accounts, count, file.seed)
        }
    };
    OverProvisioned { factor, users, refuse: reject_or(file.refuse.as_ref(), 403) }
}

fn named(text: &str, accounts: &[Account], at: At<'_>, report: &mut Report) -> BTreeSet<String> {
    let users: BTreeSet<String> = users_of(text, at, report).unwrap_or_default().into_iter().collect();
    let known: BTreeSet<&str> = accounts.iter().map(|account| account.user.as_str()).collect();
    if let Some(stranger) = users.iter().find(|user| !known.is_empty() && !known.contains(user.as_str())) {
        report.add(at, format!("`{stranger}` is no account of the lab"), "write users that `accounts` has");
    }
    users
}

/// So many accounts, the same ones for the same seed: a shuffle (Fisher and Yates) that is stopped in time.
fn drawn(accounts: &[Account], count: usize, seed: u64) -> BTreeSet<String> {
    let mut users: Vec<String> = accounts.iter().map(|account| account.user.clone()).collect();
    let mut random = Random::new(seed);
    let count = count.min(users.len());
    for place in 0..count {
        let other = place + (random.next_u64() % (users.len() - place) as u64) as usize;
        users.swap(place, other);
    }
    users.truncate(count);
    users.into_iter().collect()
}
