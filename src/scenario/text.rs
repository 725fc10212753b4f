//! Texts with placeholders that differ from attempt to attempt: `{{ n }}`, `{{ n | pad(4) }}`, `{{ account.user }}`, and
//! `{{ agent.user }}` for the account of another actor, and names that an earlier step of the attempt has captured.
//!
//! Constants (`variables:`, `--set`) are put in when a scenario is compiled; what is left is rendered per attempt.

use std::fmt::{self, Write as _};

use super::plan::Account;
use crate::units::Secret;

/// A text with placeholders, parsed once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// The attempt's index from 1, padded with zeros to this width.
    N(usize),
    Account(String),
    /// A field of the account that another actor has in the attempt.
    Other(String, String),
    /// What an earlier step kept under this name.
    Captured(String),
    /// What stands in the environment or in a file of its own.
    Secret(Secret),
}

/// What placeholders stand for in one attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    /// The attempt's index, from 1.
    pub n: u64,
    /// The account the actor uses.
    pub account: Option<&'a Account>,
    /// The accounts of all actors by their names, where the text may name others.
    pub others: &'a [(&'a str, Option<&'a Account>)],
    /// What earlier steps captured, by name.
    pub captured: &'a [(String, String)],
    /// Whether `account.password` stands for something: in requests to an application only.
    pub password: bool,
}

/// Why a text cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TextError {
    /// `{{` without `}}`.
    #[error("`{{{{` is never closed: write `}}}}` after the name")]
    Unclosed,
    /// A placeholder that nothing stands behind.
    #[error("`{0}` is not known here: use n, n | pad(4), account.user, ACTOR.user or a name under `variables:`")]
    Unknown(String),
}

impl Text {
    /// Parses `text`; `constant` gives the value of names under `variables:` and `--set`, `actor` knows the names of
    /// actors, and `captured` those of what earlier steps keep.
    ///
    /// # Errors
    /// [`TextError`] names the placeholder that is not known or never closed.
    pub fn parse(
        text: &str,
        constant: &dyn Fn(&str) -> Option<String>,
        actor: &dyn Fn(&str) -> bool,
        captured: &dyn Fn(&str) -> bool,
    ) -> Result<Self, TextError> {
        let mut parsed = Self::default();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            parsed.push_literal(&rest[..open]);
            let close = rest[open..].find("}}").ok_or(TextError::Unclosed)?;
            let name = rest[open + 2..open + close].trim();
            parsed.push_placeholder(name, (constant, actor, captured))?;
            rest = &rest[open + close + 2..];
        }
        parsed.push_literal(rest);
        Ok(parsed)
    }

    /// A text without placeholders.
    pub fn literal(text: impl Into<String>) -> Self {
        Self { pieces: vec![Piece::Literal(text.into())] }
    }

    /// This text with another after it.
    pub fn append(&mut self, other: Self) {
        for piece in other.pieces {
            match piece {
                Piece::Literal(text) => self.push_literal(&text),
                piece => self.pieces.push(piece),
            }
        }
    }

    /// This text with a secret after it, which is never shown.
    pub fn append_secret(&mut self, secret: Secret) {
        self.pieces.push(Piece::Secret(secret));
    }

    /// Secrets in it, and `account.password` where that is one.
    pub fn secrets<'a>(&'a self, values: &Values<'a>) -> impl Iterator<Item = &'a str> {
        let password = values.account.and_then(|account| account.password.as_ref());
        self.pieces.iter().filter_map(move |piece| match piece {
            Piece::Secret(secret) => Some(secret.reveal()),
            Piece::Account(field) if field == PASSWORD => password.map(Secret::reveal),
            _ => None,
        })
    }

    /// It has something in it that an earlier step captures: what it comes to shows in the attempt only.
    pub fn uses_captured(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Captured(_)))
    }

    /// The text itself, if it is the same in every attempt.
    pub fn as_constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Its constant pieces.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// It begins with a constant piece.
    pub fn starts_with_literal(&self) -> bool {
        matches!(self.pieces.first(), Some(Piece::Literal(_)))
    }

    /// It has the attempt's index in it.
    pub fn uses_index(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::N(_)))
    }

    /// Fields of the account in it.
    pub fn account_fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Account(field) => Some(field.as_str()),
            _ => None,
        })
    }

    /// Fields of the accounts of other actors in it: the name of the actor, and the field.
    pub fn other_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Other(name, field) => Some((name.as_str(), field.as_str())),
            _ => None,
        })
    }

    /// The text in one attempt. A column that an account lacks renders as nothing.
    pub fn render(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::N(width) => write!(out, "{:0width$}", values.n).expect("a String takes every write"),
                Piece::Account(field) if field == PASSWORD => {
                    let account = values.account.filter(|_| values.password);
                    out.push_str(account.and_then(|a| a.password.as_ref()).map_or("", Secret::reveal));
                }
                Piece::Account(field) => out.push_str(values.account.and_then(|a| a.field(field)).unwrap_or("")),
                Piece::Captured(name) => {
                    let kept = values.captured.iter().find(|(known, _)| known == name);
                    out.push_str(kept.map_or("", |(_, value)| value));
                }
                Piece::Secret(secret) => out.push_str(secret.reveal()),
                Piece::Other(name, field) => {
                    let account =
                        values.others.iter().find(|(other, _)| other == name).and_then(|(_, account)| *account);
                    out.push_str(account.and_then(|account| account.field(field)).unwrap_or(""));
                }
            }
        }
        out
    }

    fn push_literal(&mut self, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Literal(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Literal(text.to_owned())),
        }
    }

    fn push_placeholder(&mut self, name: &str, (constant, actor, captured): Known<'_>) -> Result<(), TextError> {
        let unknown = || TextError::Unknown(name.to_owned());
        let (base, filter) = name.split_once('|').map_or((name, None), |(b, f)| (b.trim(), Some(f.trim())));
        if base == "n" {
            let width = match filter {
                None => 0,
                Some(filter) => filter
                    .strip_prefix("pad(")
                    .and_then(|f| f.strip_suffix(')'))
                    .and_then(|width| width.trim().parse().ok())
                    .filter(|width| *width <= 32)
                    .ok_or_else(unknown)?,
            };
            self.pieces.push(Piece::N(width));
        } else if let (Some(field), None) = (base.strip_prefix("account."), filter) {
            self.pieces.push(Piece::Account(field.to_owned()));
        } else if filter.is_none() && captured(base) {
            self.pieces.push(Piece::Captured(base.to_owned()));
        } else {
            let value = if filter.is_none() { constant(base) } else { None };
            let other = base.split_once('.').filter(|(name, _)| value.is_none() && filter.is_none() && actor(name));
            match other {
                Some((name, field)) => self.pieces.push(Piece::Other(name.to_owned(), field.to_owned())),
                None => self.push_literal(&value.ok_or_else(unknown)?),
            }
        }
        Ok(())
    }
}

/// What knows constants, actors, and what earlier steps keep.
type Known<'a> = (&'a dyn Fn(&str) -> Option<String>, &'a dyn Fn(&str) -> bool, &'a dyn Fn(&str) -> bool);

/// The field of an account that is known to requests only.
const PASSWORD: &str = "password";

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => f.write_str(text)?,
                Piece::N(0) => f.write_str("{{ n }}")?,
                Piece::N(width) => write!(f, "{{{{ n | pad({width}) }}}}")?,
                Piece::Account(field) => write!(f, "{{{{ account.{field} }}}}")?,
                Piece::Other(name, field) => write!(f, "{{{{ {name}.{field} }}}}")?,
                Piece::Captured(name) => write!(f, "{{{{ {name} }}}}")?,
                Piece::Secret(_) => f.write_str("***")?,
            }
        }
        Ok(())
    }
}

impl Account {
    /// A field by the name it has in the CSV file. The password is not among them.
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "user" => Some(&self.user),
            "auth_user" => self.auth_user.as_deref(),
            "did" => self.did.as_deref(),
            "unit" => self.unit.as_deref(),
            other => self.columns.get(other).map(String::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Text, TextError> {
        let constant = |name: &str| (name == "city").then(|| "taipei".to_owned());
        Text::parse(text, &constant, &|name| name == "agent", &|name| name == "token")
    }

    #[test]
    fn placeholders_are_filled_per_attempt() {
        let account = Account { user: "1001".into(), ..Account::default() };
        let agent = Account { user: "2002".into(), ..Account::default() };
        let values = Values { n: 7, account: Some(&account), others: &[("agent", Some(&agent))], ..Values::default() };
        let text = parse("{{ city }}-9{{ n | pad(4) }}-{{n}}-{{ account.user }}").expect("valid");
        assert_eq!(text.render(&values), "taipei-90007-7-1001");
        assert_eq!(text.as_constant(), None);
        let other = parse("9{{ agent.user }}").expect("valid");
        assert_eq!((other.render(&values).as_str(), other.to_string().as_str()), ("92002", "9{{ agent.user }}"));
        assert_eq!(other.other_fields().collect::<Vec<_>>(), [("agent", "user")]);
        assert_eq!(parse("{{ city }}!").expect("valid").as_constant(), Some("taipei!"));
    }

    #[test]
    fn what_a_step_captured_and_passwords_are_filled_in_where_they_may_be() {
        let account = Account { user: "1001".into(), password: Some(Secret::new("hunter2")), ..Account::default() };
        let captured = [("token".to_owned(), "t-7".to_owned())];
        let mut text = parse("{{ token }} {{ account.password }} ").expect("valid");
        text.append_secret(Secret::new("s3cret"));
        assert!(text.uses_captured() && text.as_constant().is_none());
        let values = Values { account: Some(&account), captured: &captured, password: true, ..Values::default() };
        assert_eq!(text.render(&values), "t-7 hunter2 s3cret");
        assert_eq!(text.secrets(&values).collect::<Vec<_>>(), ["hunter2", "s3cret"]);
        let elsewhere = Values { password: false, ..values };
        assert_eq!(text.render(&elsewhere), "t-7  s3cret", "a number or a header of SIP never shows it");
        assert_eq!(text.to_string(), "{{ token }} {{ account.password }} ***");
    }

    #[test]
    fn an_unknown_or_unclosed_placeholder_is_named() {
        assert_eq!(parse("{{ town }}"), Err(TextError::Unknown("town".into())));
        assert_eq!(parse("{{ n | pad(x) }}"), Err(TextError::Unknown("n | pad(x)".into())));
        assert_eq!(parse("900{{ n"), Err(TextError::Unclosed));
    }
}
