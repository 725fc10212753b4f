//! `ringfleet lab`: the simulated PBX until it is interrupted.

use super::args::Lab as Args;
use super::exit;
use super::load::{self, Overrides};
use super::session::Interrupt;
use crate::engine::Lab;
use crate::scenario::compile;
use crate::scenario::lab::LabPlan;

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let plan = match &args.file {
        None => LabPlan::default(),
        Some(path) => match load::with_input(path, &Overrides::default(), compile::lab) {
            Ok(plan) => plan,
            Err(diagnostics) => {
                eprintln!("{diagnostics}");
                return Ok(exit::USAGE);
            }
        },
    };
    let interrupt = Interrupt::watch()?;
    let numbers: Vec<String> =
        plan.extensions.iter().map(|extension| format!("{} {}", extension.number, extension.name)).collect();
    let accounts = plan.accounts.len();
    let lab = match Lab::start(plan, args.listen) {
        Ok(lab) => lab,
        Err(error) => {
            eprintln!("ringfleet: {error}");
            return Ok(exit::NOT_STARTED);
        }
    };
    println!("lab listens on {} (udp, tcp), {accounts} accounts; end it with Ctrl-C", lab.address);
    println!("numbers: {}", numbers.join(" · "));
    interrupt.wait();
    lab.stop();
    Ok(exit::PASS)
}
