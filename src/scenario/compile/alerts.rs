//! `alerts:` of a watch.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Input;
use super::doc::{At, Report};
use super::secret::{self, Rules};
use crate::scenario::file::notify::{AlertsFile, ChatFile, NotifyFile, OnlyFile};
use crate::scenario::file::scalar::Digits;
use crate::scenario::watch::form::{Form, Mistake};
use crate::scenario::watch::{Alerts, Chat, Heartbeat, How, LINK_WORDS, Notify, Only, Template};
use crate::units::{Period, Secret};

/// What the heartbeat is called among those who are told.
const HEARTBEAT: &str = "heartbeat";
/// How long a command may take where nothing is written.
const COMMAND_TAKES: Duration = Duration::from_secs(30);

pub(super) fn compile(input: &Input<'_>, file: &AlertsFile, at: At<'_>, report: &mut Report) -> Alerts {
    let default = Alerts::default();
    let window = within(file.window, default.window, (10, 24 * 3600), at.key("window"), report);
    let throttle = within(file.throttle, default.throttle, (1, 168 * 3600), at.key("throttle"), report);
    let heartbeat = file.heartbeat.as_ref().and_then(|file| {
        let at = at.key("heartbeat");
        let every = within(Some(file.every), file.every.0, (1, 24 * 3600), at.key("every"), report);
        Some(Heartbeat { every, url: address(input, &file.url, at, report)? })
    });
    let links = links(&file.links, at.key("links"), report);
    let share = file.widespread.share.as_ref().map_or(default.widespread_share, |text| {
        let percent: f64 = text.trim_end_matches('%').trim().parse().unwrap_or(f64::NAN);
        if !(percent > 0.0 && percent <= 100.0) {
            let at = at.key("widespread").key("share");
            report.add(at, format!("`{text}` is no share of agents"), "write more than 0% and at most 100%, as 30%");
        }
        percent / 100.0
    });
    let mut notify = Vec::new();
    for ((index, file), name) in file.notify.iter().enumerate().zip(names(&file.notify, at.key("notify"), report)) {
        notify.extend(one(input, file, name, at.key("notify").index(index), report));
    }
    let widespread_agents = file.widespread.agents.unwrap_or(default.widespread_agents);
    Alerts {
        window,
        widespread_agents,
        widespread_share: share,
        throttle,
        reproduce_per_minute: file.reproduce_per_minute.unwrap_or(default.reproduce_per_minute),
        heartbeat,
        links,
        notify,
    }
}

/// Names of those who are told, each once: as they are written, else `webhook`, `slack`, `webhook-2`.
fn names(notify: &[NotifyFile], at: At<'_>, report: &mut Report) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (index, file) in notify.iter().enumerate() {
        let (word, written) = file.named();
        let same = notify[..index].iter().filter(|other| other.named().0 == word).count();
        let numbered = || if same == 0 { word.to_owned() } else { format!("{word}-{}", same + 1) };
        let name = written.map_or_else(numbered, str::to_owned);
        if name == HEARTBEAT || names.contains(&name) {
            let at = at.index(index).key(word);
            let at = if written.is_some() { at.key("name") } else { at };
            report.add(at, format!("two who are told are called `{name}`"), "give each a `name:` of its own");
        }
        names.push(name);
    }
    names
}

fn one(input: &Input<'_>, file: &NotifyFile, name: String, at: At<'_>, report: &mut Report) -> Option<Notify> {
    let (how, only) = match file {
        NotifyFile::Webhook(file) => {
            let at = at.key("webhook");
            let url = address(input, &file.url, at, report);
            let secret = file.secret.as_ref().map(|secret| hidden(input, secret, at.key("secret"), report));
            let header = |(name, value): (&String, &Digits), report: &mut Report| {
                let value = secret::resolve(input, &value.0, Rules::Text, at.key("headers").key(name), report)?;
                Some((name.clone(), value))
            };
            let headers = file.headers.iter().filter_map(|entry| header(entry, report)).collect();
            let template = template(input, file.template.as_ref(), at, report);
            (How::Webhook { url: url?, secret: secret.flatten(), headers, template }, &file.only)
        }
        NotifyFile::Alertmanager(file) => {
            (How::Alertmanager(address(input, &file.url, at.key("alertmanager"), report)?), &file.only)
        }
        NotifyFile::Slack(file) => (chat(input, Chat::Slack, file, at.key("slack"), report)?, &file.only),
        NotifyFile::Teams(file) => (chat(input, Chat::Teams, file, at.key("teams"), report)?, &file.only),
        NotifyFile::Email(file) => {
            let at = at.key("email");
            let server = secret::resolve(input, &file.server.0, Rules::Text, at.key("server"), report)?;
            if !["smtp://", "smtps://"].iter().any(|scheme| server.reveal().starts_with(scheme)) {
                let help = "write smtps://HOST, or smtp://HOST:25 for a server that this machine may use";
                report.add(at.key("server"), "this is no mail server", help);
            }
            let to = file.to.as_slice().to_vec();
            for address in std::iter::once(&file.from).chain(&to) {
                if !address.contains('@') {
                    report.add(at, format!("`{address}` is no mail address"), "as oncall@example.com");
                }
            }
            if to.is_empty() {
                report.add(at.key("to"), "nobody gets this message", "write one address or more");
            }
            let password = file.password.as_ref().map(|password| hidden(input, password, at.key("password"), report));
            if file.username.is_some() != file.password.is_some() {
                report.add(at, "`username` and `password` go together", "write both, or neither");
            }
            let plain = server.reveal().starts_with("smtp://") && !server.reveal().contains("tls=required");
            if file.password.is_some() && plain && !is_here(server.reveal()) {
                let help = "write smtps://HOST or smtp://HOST?tls=required";
                report.add(at.key("server"), "the password would be sent for everybody to read", help);
            }
            let login = file.username.clone().zip(password.flatten());
            (How::Email { server, from: file.from.clone(), to, login }, &file.only)
        }
        NotifyFile::Pagerduty(file) => {
            let at = at.key("pagerduty");
            let url = file.url.as_ref().map(|url| address(input, url, at, report));
            let routing_key = hidden(input, &file.routing_key, at.key("routing_key"), report)?;
            (How::Pagerduty { routing_key, url: url.flatten() }, &file.only)
        }
        NotifyFile::Command(file) => {
            let at = at.key("command");
            if file.run.first().is_none_or(String::is_empty) {
                report.add(at.key("run"), "no command", "as run: [/usr/local/bin/page, --now]");
            }
            let time_out = within(file.timeout, COMMAND_TAKES, (1, 300), at.key("timeout"), report);
            (How::Command { run: file.run.clone(), time_out }, &file.only)
        }
    };
    Some(Notify { name, how, only: self::only(only) })
}

fn only(file: &OnlyFile) -> Only {
    let units = file.units.as_ref().map(|units| units.as_slice().to_vec()).unwrap_or_default();
    Only { units, severity: file.severity }
}

fn chat(input: &Input<'_>, chat: Chat, file: &ChatFile, at: At<'_>, report: &mut Report) -> Option<How> {
    let url = address(input, &file.url, at, report);
    let template = template(input, file.template.as_ref(), at, report);
    Some(How::Chat { chat, url: url?, template })
}

/// An address to post to.
fn address(input: &Input<'_>, url: &Digits, at: At<'_>, report: &mut Report) -> Option<Secret> {
    let at = at.key("url");
    let url = secret::resolve(input, &url.0, Rules::Text, at, report)?;
    let rest = ["http://", "https://"].iter().find_map(|scheme| url.reveal().strip_prefix(scheme));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
        report.add(at, "this is no address to post to", "write http://HOST:PORT/PATH or https://HOST/PATH");
        return None;
    }
    Some(url)
}

fn hidden(input: &Input<'_>, text: &Digits, at: At<'_>, report: &mut Report) -> Option<Secret> {
    secret::resolve(input, &text.0, Rules::ReferenceOnly, at, report)
}

/// A template that can be read, knows what a message has, and renders JSON.
fn template(input: &Input<'_>, path: Option<&String>, at: At<'_>, report: &mut Report) -> Option<Template> {
    let (path, at) = (at.doc().beside(path?), at.key("template"));
    let text = super::doc::read(input, &path, at, report)?;
    if let Err(Mistake { line, what, help }) = Form::json(&text).and_then(|form| form.try_as_body(&text)) {
        let line = line.map_or_else(String::new, |line| format!(":{line}"));
        let help = if help.is_empty() { "mend the template".to_owned() } else { help };
        report.add(at, format!("{}{line}: {what}", path.display()), help);
        return None;
    }
    Some(Template { path, text })
}

/// Links whose places are known.
fn links(file: &BTreeMap<String, String>, at: At<'_>, report: &mut Report) -> Vec<(String, String)> {
    for (name, url) in file {
        let at = at.key(name);
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            report.add(at, "this is no address", "write http://HOST/PATH or https://HOST/PATH");
        }
        let tried = Form::address(url).and_then(|form| form.try_with_words(url, &LINK_WORDS));
        if let Err(Mistake { what, help, .. }) = tried {
            report.add(at, what, help);
        }
    }
    file.iter().map(|(name, url)| (name.clone(), url.clone())).collect()
}

/// Whether a mail server is this machine.
fn is_here(server: &str) -> bool {
    let host = server.trim_start_matches("smtp://").rsplit('@').next().unwrap_or_default();
    ["127.", "localhost", "[::1]"].iter().any(|here| host.starts_with(here))
}

/// A period between two numbers of seconds.
pub(super) fn within(
    written: Option<Period>,
    default: Duration,
    (least, most): (u64, u64),
    at: At<'_>,
    report: &mut Report,
) -> Duration {
    let period = written.map_or(default, |period| period.0);
    if !(Duration::from_secs(least)..=Duration::from_secs(most)).contains(&period) {
        let (least, most) = (Period::from_secs(least), Period::from_secs(most));
        report.add(at, format!("{} is out of range", Period(period)), format!("write {least} to {most}"));
    }
    period
}
