//! The page: what a [`View`] says to people. What stands on it is decided in `words`, how it looks in the template and the
//! style sheet; it is whole without a script, and one keeps it up to date.

mod words;

use std::sync::LazyLock;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context};

use super::view::View;
use words::Page;

/// How the page looks. It is written into it: what is asked for first is painted first.
pub(super) const STYLE: &str = include_str!("page.css");

/// The page of a view; `silent` says for how long nothing was heard of the watch, where that is too long. Of checks with
/// many lines those that `unfolded` names stand there with their lines.
pub(super) fn render(view: &View, silent: Option<Duration>, unfolded: &[String]) -> String {
    write("page", Value::from(Serde(Page::new(view, silent, unfolded))))
}

/// What asks for the token.
pub(super) fn login(wrong: bool) -> String {
    write("login", context! { wrong })
}

fn write(name: &str, values: Value) -> String {
    static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.expect("the usual delimiters are valid"));
        environment.add_global("style", Value::from_safe_string(STYLE.to_owned()));
        for (name, text) in [("page", include_str!("page.html.j2")), ("login", include_str!("login.html.j2"))] {
            environment.add_template(name, text).expect("the template is part of the program, and tests render it");
        }
        environment
    });
    let template = TEMPLATES.get_template(name).expect("it was added above");
    template.render(values).expect("the template is part of the program, and tests render every branch of it")
}
