//! Pools of accounts: from CSV files and ranges of users.

use std::collections::BTreeMap;

use super::Input;
use super::doc::{self, At, Report};
use super::secret;
use crate::scenario::file::target::AccountsFile;
use crate::scenario::plan::{Account, Pool};
use crate::units::Secret;

/// Accounts of one pool at most.
const MAX_ACCOUNTS: usize = 100_000;

/// The pool `name` of a target.
pub(super) fn pool(
    input: &Input<'_>,
    name: &str,
    file: &AccountsFile,
    at: At<'_>,
    report: &mut Report,
) -> Option<Pool> {
    let password = secret::password(input, (file.password.as_ref(), file.password_file.as_ref()), at, report);
    let accounts = match (&file.csv, &file.users) {
        (Some(path), None) => from_csv(input, path, at, report)?,
        (None, Some(users)) => {
            if file.password.is_none() && file.password_file.is_none() {
                let help = "write `password: \"${NAME}\"` and set that environment variable";
                report.add(at, format!("the users of `{name}` have no password"), help);
            }
            let account = |user| Account { user, ..Account::default() };
            users_of(&users.0, at.key("users"), report)?.into_iter().map(account).collect()
        }
        _ => {
            let help = "write `csv: FILE`, or `users: \"1001..1020\"` with a password";
            report.add(at, format!("the pool `{name}` needs either `csv` or `users`"), help);
            return None;
        }
    };
    let fill = |mut account: Account| {
        account.password = account.password.or_else(|| password.clone());
        account.auth_user = account.auth_user.or_else(|| file.auth_user.as_ref().map(|user| user.0.clone()));
        account.unit = account.unit.or_else(|| file.unit.clone());
        account
    };
    let accounts: Vec<Account> = accounts.into_iter().map(fill).collect();
    if accounts.is_empty() {
        report.add(at, format!("the pool `{name}` has no account"), "");
        return None;
    }
    Some(Pool { name: name.to_owned(), accounts, calls_each: file.calls_each })
}

/// Users of `1001..1020, 1030`.
pub(super) fn users_of(text: &str, at: At<'_>, report: &mut Report) -> Option<Vec<String>> {
    let mut users = Vec::new();
    for part in text.split(',').map(str::trim) {
        let range = match part.split_once("..") {
            None if is_user(part) => Some(vec![part.to_owned()]),
            None => None,
            Some((first, last)) => user_range(first.trim(), last.trim()),
        };
        let Some(range) = range.filter(|range| users.len() + range.len() <= MAX_ACCOUNTS) else {
            let help = "write the first and the last user, as in 1001..1020; at most 100,000 in all";
            report.add(at, format!("`{part}` is no range of users"), help);
            return None;
        };
        users.extend(range);
    }
    Some(users)
}

fn user_range(first: &str, last: &str) -> Option<Vec<String>> {
    // The part in front of the digits may be the same word on both sides: agent1..agent9.
    let digits = first.len() - first.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (word, first) = first.split_at(digits);
    let last = last.strip_prefix(word)?;
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(first) || !all_digits(last) || !(word.is_empty() || is_user(word)) {
        return None;
    }
    let (from, to): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let width = first.len();
    (from <= to && to - from < MAX_ACCOUNTS as u64)
        .then(|| (from..=to).map(|number| format!("{word}{number:0width$}")).collect())
}

/// RFC 3261 §25.1 `user`, without escapes.
fn is_user(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/#".contains(c))
}

fn from_csv(input: &Input<'_>, path: &str, at: At<'_>, report: &mut Report) -> Option<Vec<Account>> {
    let path = at.doc().beside(path);
    let text = doc::read(input, &path, at.key("csv"), report)?;
    let name = path.display().to_string();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let columns: Vec<String> = match reader.headers() {
        Ok(headers) => headers.iter().map(|column| column.trim_start_matches('\u{feff}').to_owned()).collect(),
        Err(error) => {
            report.whole(&name, format!("not a CSV file: {error}"), "");
            return None;
        }
    };
    if !columns.iter().any(|column| column == "user") {
        let help = "the first line names the columns: user,auth_user,password_env,did,unit";
        report.whole(&format!("{name}:1"), "there is no column `user`", help);
        return None;
    }
    let mut accounts: Vec<Account> = Vec::new();
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                report.whole(&format!("{name}:{line}"), csv_message(&error), "");
                continue;
            }
        };
        let line = row.position().map_or(0, csv::Position::line);
        let place = format!("{name}:{line}");
        if accounts.len() == MAX_ACCOUNTS {
            report.whole(&place, "more than 100,000 accounts", "");
            break;
        }
        let Some(account) = account(input, &columns, &row, &place, at, report) else { continue };
        match lines.insert(account.user.clone(), line) {
            Some(first) => {
                report.whole(&place, format!("user `{}` is also on line {first}", account.user), "keep one of the two");
            }
            None => accounts.push(account),
        }
    }
    Some(accounts)
}

fn account(
    input: &Input<'_>,
    columns: &[String],
    row: &csv::StringRecord,
    place: &str,
    at: At<'_>,
    report: &mut Report,
) -> Option<Account> {
    let mut account = Account::default();
    for (column, value) in columns.iter().zip(row).filter(|(_, value)| !value.is_empty()) {
        let text = value.to_owned();
        match column.as_str() {
            "user" => account.user = text,
            "auth_user" => account.auth_user = Some(text),
            "did" => account.did = Some(text),
            "unit" => account.unit = Some(text),
            "password" => account.password = Some(Secret::new(text)),
            "password_file" => {
                let path = at.doc().beside(value);
                match (input.read)(&path) {
                    Ok(text) => account.password = Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
                    Err(error) => report.whole(place, format!("cannot read `{}`: {error}", path.display()), ""),
                }
            }
            "password_env" => match (input.env)(value) {
                Some(password) => account.password = Some(Secret::new(password)),
                None => {
                    let help = format!("set it: export {value}=…");
                    report.whole(place, format!("the environment variable {value} is not set"), help);
                }
            },
            _ => {
                account.columns.insert(column.clone(), text);
            }
        }
    }
    if !is_user(&account.user) {
        report.whole(place, "`user` is empty or has characters that no user name has", "");
        return None;
    }
    Some(account)
}

/// The cause without the row: it may hold a password.
fn csv_message(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} columns, but the first line names {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => "cannot be read".to_owned(),
    }
}
