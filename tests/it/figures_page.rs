//! `docs/figures.md` says of every figure what its definition says.

use std::fs;

use ringfleet::measure::definition::Definition;

use crate::scenarios::root;

#[test]
fn the_page_of_figures_has_every_definition_as_it_is() {
    let page = fs::read_to_string(root().join("docs/figures.md")).expect("readable");
    let row = |it: &Definition| {
        let unit = if it.unit.is_empty() { String::new() } else { format!(", {}", it.unit) };
        // A bar would end the cell.
        let formula = it.formula.replace("|D|", "abs(D)");
        format!("| `{}`{unit} | {} | {formula} | {} |", it.name, it.title, it.source)
    };
    let missing: Vec<String> = Definition::all().iter().map(row).filter(|row| !page.contains(row)).collect();
    assert!(missing.is_empty(), "docs/figures.md lacks:\n{}", missing.join("\n"));
    let rows = page.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 3).count();
    assert_eq!(rows, Definition::all().len(), "a row without a definition");
}

#[test]
fn the_grammar_on_the_page_is_that_of_the_code() {
    let page = fs::read_to_string(root().join("docs/figures.md")).expect("readable");
    let code = fs::read_to_string(root().join("src/measure/threshold.rs")).expect("readable");
    let rule = |line: &str| line.contains(" := ").then(|| line.trim_start_matches("//! ").trim().to_owned());
    let of_code: Vec<String> = code.lines().take_while(|line| line.starts_with("//!")).filter_map(rule).collect();
    let of_page: Vec<String> = page.lines().filter_map(rule).collect();
    assert_eq!(of_code.len(), 6);
    assert_eq!(of_page, of_code);
}
