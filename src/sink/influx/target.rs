//! `http://host:8086?org=o&bucket=b`: where points go.

use reqwest::Url;

use crate::sink::spool::Destination;
use crate::units::Secret;

/// A bucket of a server, and the token that opens it.
#[derive(Clone, Debug)]
pub struct InfluxTarget {
    base: Url,
    org: String,
    bucket: String,
    token: Option<Secret>,
}

/// Why a text is no InfluxDB target. Each says what to write instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// It is no URL.
    #[error("`{0}` is not a URL ({1}): write http://host:8086?org=ORG&bucket=BUCKET")]
    NotAUrl(String, String),
    /// Neither http nor https.
    #[error("`{0}:` is not a scheme of InfluxDB: write http://host:8086?org=ORG&bucket=BUCKET")]
    Scheme(String),
    /// A user name or password in the URL.
    #[error("the InfluxDB URL holds credentials: put the token in INFLUX_TOKEN")]
    Credentials,
    /// `org` or `bucket` is missing or empty.
    #[error("the InfluxDB URL lacks `{0}`: write http://host:8086?org=ORG&bucket=BUCKET")]
    Missing(&'static str),
    /// A parameter that is not org or bucket.
    #[error("`{0}` is not a parameter of the InfluxDB URL: it takes org and bucket, and the token is in INFLUX_TOKEN")]
    Unknown(String),
    /// The same parameter twice.
    #[error("the InfluxDB URL gives `{0}` twice")]
    Twice(&'static str),
    /// A token that no header can carry.
    #[error("the InfluxDB token holds a line feed or another character that a header cannot carry")]
    Token,
}

impl InfluxTarget {
    /// Reads `http://host:8086?org=o&bucket=b`. The token comes from elsewhere, so that it is in no list of processes.
    pub fn from_url(text: &str, token: Option<Secret>) -> Result<Self, TargetError> {
        let mut base = Url::parse(text).map_err(|error| TargetError::NotAUrl(text.to_owned(), error.to_string()))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if !matches!(base.scheme(), "http" | "https") {
            return Err(TargetError::Scheme(base.scheme().to_owned()));
        }
        let (mut org, mut bucket) = (None, None);
        for (name, value) in base.query_pairs() {
            let (place, name) = match &*name {
                "org" => (&mut org, "org"),
                "bucket" => (&mut bucket, "bucket"),
                _ => return Err(TargetError::Unknown(name.into_owned())),
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(TargetError::Twice(name));
            }
        }
        base.set_query(None);
        base.set_fragment(None);
        let given = |value: Option<String>, name| value.filter(|v| !v.is_empty()).ok_or(TargetError::Missing(name));
        let token = token.filter(|token| !token.reveal().is_empty());
        if token.as_ref().is_some_and(|token| !token.reveal().bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
            return Err(TargetError::Token);
        }
        Ok(Self { base, org: given(org, "org")?, bucket: given(bucket, "bucket")?, token })
    }

    /// What `sink.json` remembers.
    pub fn destination(&self) -> Destination {
        Destination {
            name: "influxdb".into(),
            url: self.base.to_string(),
            org: self.org.clone(),
            bucket: self.bucket.clone(),
        }
    }

    /// The target that a `sink.json` names.
    pub fn from_destination(destination: &Destination, token: Option<Secret>) -> Result<Self, TargetError> {
        let Destination { url, org, bucket, .. } = destination;
        let text = Url::parse_with_params(url, [("org", org), ("bucket", bucket)])
            .map_err(|error| TargetError::NotAUrl(url.clone(), error.to_string()))?;
        Self::from_url(text.as_str(), token)
    }

    /// The target as people write it, without the token.
    pub fn url(&self) -> String {
        self.with_query(self.base.clone(), &[]).to_string()
    }

    /// The address that lines are posted to.
    pub(super) fn write_url(&self) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v2/write", self.base.path().trim_end_matches('/')));
        self.with_query(url, &[("precision", "ns")])
    }

    /// The value of the Authorization header.
    pub(super) fn authorization(&self) -> Option<Secret> {
        self.token.as_ref().map(|token| Secret::new(format!("Token {}", token.reveal())))
    }

    /// Whether the server is this machine, where no proxy stands in between.
    pub(super) fn is_local(&self) -> bool {
        self.base.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]")
    }

    fn with_query(&self, mut url: Url, more: &[(&str, &str)]) -> Url {
        url.query_pairs_mut().append_pair("org", &self.org).append_pair("bucket", &self.bucket).extend_pairs(more);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<InfluxTarget, TargetError> {
        InfluxTarget::from_url(text, Some(Secret::new("t0ken")))
    }

    #[test]
    fn a_target_gives_the_write_address_and_hides_its_token() {
        let target = target("http://db:8086?org=my org&bucket=calls").expect("valid");
        assert_eq!(target.write_url().as_str(), "http://db:8086/api/v2/write?org=my+org&bucket=calls&precision=ns");
        assert_eq!(target.url(), "http://db:8086/?org=my+org&bucket=calls");
        assert_eq!(target.authorization().expect("set").reveal(), "Token t0ken");
        assert!(!format!("{target:?}").contains("t0ken"));
    }

    #[test]
    fn a_path_before_the_query_is_kept_for_servers_behind_a_proxy() {
        let target = target("https://proxy/influx/?org=o&bucket=b").expect("valid");
        assert_eq!(target.write_url().path(), "/influx/api/v2/write");
    }

    #[test]
    fn a_target_survives_being_remembered() {
        let one = target("http://db:8086/x?org=my org&bucket=a%26b").expect("valid");
        let other = InfluxTarget::from_destination(&one.destination(), None).expect("valid");
        assert_eq!((one.write_url(), one.destination()), (other.write_url(), other.destination()));
        assert!(!serde_json::to_string(&one.destination()).expect("JSON").contains("t0ken"));
    }

    #[test]
    fn each_mistake_is_named_with_what_to_write() {
        let of = |text: &str| target(text).expect_err(text).to_string();
        assert!(of("db:8086?org=o&bucket=b").contains("`db:` is not a scheme"));
        assert!(of("not a url").starts_with("`not a url` is not a URL"));
        assert!(of("http://db:8086?bucket=b").contains("lacks `org`"));
        assert!(of("http://db:8086?org=o").contains("lacks `bucket`"));
        assert!(of("http://db:8086?org=o&bucket=").contains("lacks `bucket`"));
        assert!(of("http://db:8086?org=o&bucket=b&org=p").contains("twice"));
        assert!(of("http://db:8086?org=o&bucket=b&token=x").contains("INFLUX_TOKEN"));
        assert!(of("http://me:pw@db:8086?org=o&bucket=b").contains("INFLUX_TOKEN"));
        let token = InfluxTarget::from_url("http://db?org=o&bucket=b", Some(Secret::new("a\nb")));
        assert_eq!(token.expect_err("refused"), TargetError::Token);
    }
}
