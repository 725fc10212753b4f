//! `report.html`: the run for people, in one file that needs no network and no scripts, on a screen or printed.
//!
//! What stands on the page is decided here, how it looks in `report.html.j2`; the template escapes everything it
//! writes. What was not measured says so and is never 0.

mod chart;
mod page;
mod timeline;
mod words;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment};

use super::Summary;
use crate::measure::Window;
use crate::record::CallRecord;
use page::Page;
pub(super) use words::short;

/// Failed calls that the report lists.
pub const FAILURES_SHOWN: usize = 100;

/// The page of a run, with its `windows` in order and the first of its failed calls.
pub fn render(summary: &Summary, windows: &[Window], failures: &[CallRecord]) -> String {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters are valid"));
    let page = Value::from(Serde(Page::new(summary, windows, failures)));
    environment
        .render_named_str("report.html", include_str!("../report.html.j2"), page)
        .expect("the template is part of the program, and tests render every branch of it")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
