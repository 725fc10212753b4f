//! What opens a database: from the environment, never from a URL or a file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::TargetError;
use crate::units::Secret;

/// What the environment holds to open a database. None of it ever stands in a URL or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `INFLUX_TOKEN`.
    pub token: Option<Secret>,
    /// `INFLUX_USERNAME`.
    pub username: Option<String>,
    /// `INFLUX_PASSWORD`.
    pub password: Option<Secret>,
}

impl Credentials {
    /// Reads them by a function that gives the value of an environment variable; an empty one is none.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            token: value("INFLUX_TOKEN").map(Secret::new),
            username: value("INFLUX_USERNAME"),
            password: value("INFLUX_PASSWORD").map(Secret::new),
        }
    }

    /// A token alone.
    pub fn token(token: impl Into<String>) -> Self {
        Self { token: Some(Secret::new(token)), ..Self::default() }
    }

    /// What a header cannot carry, or is only half there.
    pub(super) fn check(&self) -> Result<(), TargetError> {
        // RFC 9110 §5.5: what a field value may hold.
        let fits = |secret: &Option<Secret>| {
            secret.as_ref().is_none_or(|secret| secret.reveal().bytes().all(|byte| (b' '..=b'~').contains(&byte)))
        };
        if !fits(&self.token) {
            return Err(TargetError::Token);
        }
        if self.username.is_some() != self.password.is_some() {
            return Err(TargetError::HalfAUser);
        }
        Ok(())
    }

    /// The value of an Authorization header with user name and password.
    pub(super) fn basic(&self) -> Option<Secret> {
        let (username, password) = (self.username.as_ref()?, self.password.as_ref()?);
        Some(Secret::new(format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.reveal())))))
    }

    /// The value of an Authorization header with the token.
    pub(super) fn with(&self, scheme: &str) -> Option<Secret> {
        self.token.as_ref().map(|token| Secret::new(format!("{scheme} {}", token.reveal())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_from_the_environment_and_must_fit() {
        let of = |set: &[(&str, &str)]| {
            let find = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            let credentials = Credentials::from_environment(find);
            credentials.check().map(|()| credentials)
        };
        assert_eq!(of(&[("INFLUX_TOKEN", "a\nb")]).expect_err("refused"), TargetError::Token);
        assert_eq!(of(&[("INFLUX_USERNAME", "me")]).expect_err("refused"), TargetError::HalfAUser);
        assert_eq!(of(&[("INFLUX_PASSWORD", "pw")]).expect_err("refused"), TargetError::HalfAUser);
        assert_eq!(of(&[("INFLUX_TOKEN", "")]), Ok(Credentials::default()));
    }
}
