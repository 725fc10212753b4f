//! `ringfleet lab`: the simulated PBX until it is interrupted.

use std::time::Duration;

use anyhow::Context as _;

use super::args::Lab as Args;
use super::load::{self, Overrides};
use super::out::{note, say};
use super::signals::{HangUp, Interrupt};
use super::{bandwidth, exit};
use crate::engine::Lab;
use crate::scenario::compile;
use crate::scenario::lab::LabPlan;

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let load = || match &args.file {
        None => Ok(LabPlan::default()),
        Some(path) => load::with_input(path, &Overrides::default(), compile::lab),
    };
    let plan = match load() {
        Ok(plan) => plan,
        Err(diagnostics) => {
            note!("{diagnostics}");
            return Ok(exit::USAGE);
        }
    };
    let responder = match bandwidth::respond(args.bandwidth) {
        Ok(responder) => responder,
        Err(refused) => return Ok(refused.tell()),
    };
    let interrupt = Interrupt::watch()?;
    let hang_up = HangUp::watch()?;
    let about = about(&plan);
    let lab = match Lab::start(plan, args.listen) {
        Ok(lab) => lab,
        Err(error) => {
            note!("ringfleet: {error}");
            return Ok(exit::NOT_STARTED);
        }
    };
    if let Some(path) = &args.write_ca {
        std::fs::write(path, &lab.ca).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say!("lab listens on {} (udp, tcp, tls, ws, wss); end it with Ctrl-C", lab.address);
    if let Some(application) = lab.application {
        say!("its application answers at http://{application}");
    }
    if let Some(responder) = &responder {
        say!("bandwidth is measured at {} (udp)", responder.address);
    }
    say!("{}", about.trim_end());
    while !interrupt.waited(LOOK_EVERY) {
        if hang_up.came() {
            match load() {
                Ok(plan) => {
                    say!("the file is read again: numbers, faults, and places of trunks and licence are as it says");
                    lab.change(plan);
                }
                Err(mistakes) => note!("{mistakes}\nthe file is not read again: the lab goes on as it was"),
            }
        }
    }
    let dismissed = lab.stop();
    if dismissed.count() > 0 {
        say!("{} connections had to be closed: {dismissed}", dismissed.count());
    }
    Ok(exit::PASS)
}

/// Between two looks at signals.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Numbers that stand in one line.
const IN_A_LINE: usize = 5;

/// What the lab is, for who wants to call it.
fn about(plan: &LabPlan) -> String {
    let mut lines = vec![format!("domain    {}", plan.domain)];
    let users = plan.accounts.first().zip(plan.accounts.last());
    lines.extend(users.map(|(first, last)| format!("accounts  {} to {}", first.user, last.user)));
    for trunk in &plan.trunks {
        lines.push(format!("trunk     {}: {} behind {}…", trunk.name, trunk.limit, trunk.prefix));
    }
    let calls = &plan.calls;
    let limits = [
        ("in all", &calls.all),
        ("of an account", &calls.per_account),
        ("of a source address", &calls.per_source),
        ("to a number", &calls.per_callee),
    ];
    let limits = limits.into_iter().filter_map(|(of, limit)| Some((of, limit.as_ref()?)));
    lines.extend(limits.map(|(of, limit)| format!("calls     {limit} {of}")));
    lines.extend(plan.licence.as_ref().map(|licence| format!("licence   {} devices", licence.places)));
    let numbers = plan.extensions.iter().map(|extension| format!("{} {}", extension.number, extension.name));
    let numbers: Vec<String> = numbers.collect();
    lines.extend(numbers.chunks(IN_A_LINE).map(|line| format!("numbers   {}", line.join(" · "))));
    lines.into_iter().map(|line| format!("  {line}\n")).collect()
}
