//! The application beside a lab: its agents sign in, are ready or not, and sign out. JSON in, JSON out; whoever serves it
//! gives it the time.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use crate::scenario::plan::Account;
use crate::units::{Random, Secret};

/// What is answered: a status code of HTTP, and JSON.
pub type Reply = (u16, Value);

/// The application.
#[derive(Debug)]
pub struct Desk {
    accounts: FxHashMap<String, Option<Secret>>,
    /// How long an agent who wants to be ready is not yet.
    ready_after: Duration,
    random: Random,
    /// Who is signed in, by token.
    seats: FxHashMap<String, Seat>,
}

#[derive(Debug)]
struct Seat {
    user: String,
    /// From when on it is ready; `None` while it does not want to be.
    ready_from: Option<Instant>,
}

impl Desk {
    /// An application of these accounts, where nobody is signed in.
    pub fn new(accounts: &[Account], ready_after: Duration, seed: u64) -> Self {
        let accounts = accounts.iter().map(|account| (account.user.clone(), account.password.clone())).collect();
        Self { accounts, ready_after, random: Random::new(seed), seats: FxHashMap::default() }
    }

    /// Answers a request of HTTP: `POST /sign-in`, `GET` and `PUT /state`, `POST /sign-out`.
    pub fn handle(&mut self, now: Instant, request: (&str, &str), token: Option<&str>, body: &[u8]) -> Reply {
        match request {
            ("POST", "/sign-in") => self.sign_in(body),
            ("GET", "/state") => self.state(now, token),
            ("PUT", "/state") => match serde_json::from_slice::<Value>(body) {
                Ok(wanted) => self.set_state(now, token, &wanted),
                Err(_) => error(400, "no JSON"),
            },
            ("POST", "/sign-out") => self.sign_out(token),
            (_, "/sign-in" | "/state" | "/sign-out" | "/events") => error(405, "no such method here"),
            _ => error(404, "no such place"),
        }
    }

    /// Answers a message of a WebSocket of the agent with this token: `{ "state": "ready" }`.
    pub fn handle_message(&mut self, now: Instant, token: &str, text: &str) -> Value {
        match serde_json::from_str::<Value>(text) {
            Ok(wanted) => self.set_state(now, Some(token), &wanted).1,
            Err(_) => error(400, "no JSON").1,
        }
    }

    /// The state of an agent.
    pub fn state(&self, now: Instant, token: Option<&str>) -> Reply {
        let Some(seat) = token.and_then(|token| self.seats.get(token)) else { return error(401, "not signed in") };
        let ready = seat.ready_from.is_some_and(|from| from <= now);
        (200, json!({ "agent": seat.user, "state": if ready { "ready" } else { "not_ready" } }))
    }

    fn sign_in(&mut self, body: &[u8]) -> Reply {
        let Ok(asked) = serde_json::from_slice::<Value>(body) else { return error(400, "no JSON") };
        let field = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (user, password) = (field("user"), field("password"));
        let proves = |wanted: &Option<Secret>| wanted.as_ref().is_none_or(|wanted| wanted.reveal() == password);
        if !self.accounts.get(&user).is_some_and(proves) {
            return error(401, "wrong user name or password");
        }
        // Who signs in again has left its other place.
        self.seats.retain(|_, seat| seat.user != user);
        let token = format!("{:016x}{:016x}", self.random.next_u64(), self.random.next_u64());
        self.seats.insert(token.clone(), Seat { user: user.clone(), ready_from: None });
        (200, json!({ "agent": user, "state": "not_ready", "session": { "token": token } }))
    }

    fn set_state(&mut self, now: Instant, token: Option<&str>, wanted: &Value) -> Reply {
        let ready_after = self.ready_after;
        let Some(seat) = token.and_then(|token| self.seats.get_mut(token)) else { return error(401, "not signed in") };
        match wanted.get("state").and_then(Value::as_str) {
            Some("ready") => seat.ready_from = seat.ready_from.or(Some(now + ready_after)),
            Some("not_ready") => seat.ready_from = None,
            _ => return error(422, "`state` is `ready` or `not_ready`"),
        }
        self.state(now, token)
    }

    fn sign_out(&mut self, token: Option<&str>) -> Reply {
        match token.and_then(|token| self.seats.remove(token)) {
            Some(seat) => (200, json!({ "agent": seat.user, "state": "signed_out" })),
            None => error(401, "not signed in"),
        }
    }
}

fn error(status: u16, text: &str) -> Reply {
    (status, json!({ "error": text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn an_agent_signs_in_is_ready_after_a_while_and_signs_out() {
        let account = Account { user: "1001".into(), password: Some(Secret::new("p")), ..Account::default() };
        let mut desk = Desk::new(&[account], Duration::from_secs(1), 7);
        let now = Instant::now();
        let wrong = desk.handle(now, ("POST", "/sign-in"), None, br#"{"user":"1001","password":"q"}"#);
        assert_eq!(wrong.0, 401);
        let (status, signed_in) = desk.handle(now, ("POST", "/sign-in"), None, br#"{"user":"1001","password":"p"}"#);
        assert_eq!((status, &signed_in["state"]), (200, &json!("not_ready")));
        let token = signed_in["session"]["token"].as_str().expect("a token");
        let asked = desk.handle(now, ("PUT", "/state"), Some(token), br#"{"state":"ready"}"#);
        assert_eq!(asked, (200, json!({ "agent": "1001", "state": "not_ready" })), "not yet");
        let later = now + Duration::from_secs(1);
        assert_eq!(desk.state(later, Some(token)).1["state"], "ready");
        assert_eq!(desk.handle_message(later, token, r#"{"state":"not_ready"}"#)["state"], "not_ready");
        assert_eq!(desk.handle_message(later, token, "ready").get("error"), Some(&json!("no JSON")));
        assert_eq!(desk.handle(later, ("POST", "/sign-out"), Some(token), b"").1["state"], "signed_out");
        assert_eq!(desk.handle(later, ("GET", "/state"), Some(token), b"").0, 401);
        let strange = [("GET", "/sign-in"), ("GET", "/else")].map(|asked| desk.handle(later, asked, None, b"").0);
        assert_eq!(strange, [405, 404]);
    }
}
