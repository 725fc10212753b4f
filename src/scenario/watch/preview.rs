//! What a watch would do, in words and figures: `ringfleet check WATCH.yaml`.

use std::collections::BTreeSet;
use std::fmt;

use super::{Check, Watch};
use crate::pace::calendar::Cadence;
use crate::scenario::preview::Preview;
use crate::units::{Period, masked};

/// Checks that are shown one by one.
const SHOWN: usize = 20;
/// Numbers that are shown.
const NUMBERS: usize = 8;

impl Watch {
    /// Numbers that its checks dial, as they are sent; masked where their target says so.
    fn numbers(&self) -> BTreeSet<String> {
        let of_check = |check: &Check| {
            let accounts: Vec<Option<usize>> = check.lines().iter().map(|line| line.account).collect();
            let numbers = accounts.into_iter().flat_map(|account| check.numbers(account));
            let hide = check.plan.mask_numbers;
            numbers.map(|number| if hide { masked(&number) } else { number.to_string() }).collect::<Vec<_>>()
        };
        self.checks.iter().flat_map(of_check).collect()
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let site = self.site.as_ref().map_or_else(String::new, |site| format!(" at {site}"));
        writeln!(f, "  watch             {}{site}, days and hours of {}", self.name, self.zone_name)?;
        for check in self.checks.iter().take(SHOWN) {
            writeln!(f, "  check             {}", words(check))?;
        }
        let more = self.checks.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(f, "                    and {more} more")?;
        }
        let sum = |figure: fn(&Check) -> u64| self.checks.iter().map(figure).sum::<u64>();
        let lines: usize = self.checks.iter().map(|check| check.lines().len()).sum();
        writeln!(f, "  lines             {lines}")?;
        let (hour, day) = (sum(Check::per_hour), sum(Check::per_day));
        writeln!(
            f,
            "  calls             {hour} an hour and {day} a day at most, beside those that reproduce a failure"
        )?;
        let numbers = self.numbers();
        let (shown, more) =
            (numbers.iter().take(NUMBERS).cloned().collect::<Vec<_>>().join(", "), numbers.len() > NUMBERS);
        match numbers.len() {
            0 => writeln!(f, "  numbers           none that is known beforehand")?,
            count => writeln!(f, "  numbers           {count}: {shown}{}", if more { ", …" } else { "" })?,
        }
        if let Some(influx) = &self.influx {
            writeln!(f, "  results to        {}", influx.url)?;
        }
        if let Some(metrics) = self.metrics {
            writeln!(f, "  figures at        http://{metrics}/metrics")?;
        }
        if let Some(page) = &self.page {
            writeln!(f, "  page at           http://{}/", page.listen)?;
        }
        let notify: Vec<&str> = self.alerts.notify.iter().map(|notify| notify.name.as_str()).collect();
        if !notify.is_empty() {
            let throttle = Period(self.alerts.throttle);
            writeln!(f, "  tells             {}, at most once in {throttle} about the same thing", notify.join(", "))?;
        }
        Ok(())
    }
}

fn words(check: &Check) -> String {
    let often = match &check.cadence {
        Cadence::Every(every) => format!("every {}", Period(*every)),
        Cadence::Cron(cron) => format!("by cron, {} on each of its days", cron.per_day()),
    };
    let lines = match check.lines().len() {
        1 => String::new(),
        lines => format!(", {lines} lines"),
    };
    let preview = Preview::new(&check.plan);
    let calls = check.per_day();
    format!("{}: {} {often}{lines}, {calls} a day; {}", check.name, check.plan.scenario, preview.actors.join("; "))
}
