//! `http://host:8086?org=o&bucket=b` and its like: where points go, and over which write API.
//!
//! | server | URL | posts to | opened by |
//! |---|---|---|---|
//! | InfluxDB 1.x | `?db=NAME`, or `?db=NAME&rp=POLICY` | `/write` | INFLUX_USERNAME and INFLUX_PASSWORD, where it asks |
//! | InfluxDB 2, Cloud | `?org=ORG&bucket=BUCKET` | `/api/v2/write` | INFLUX_TOKEN |
//! | InfluxDB 3 | `?db=NAME&api=v3` | `/api/v3/write_lp` | INFLUX_TOKEN |
//! | InfluxDB 3 by its v2 API | `?bucket=NAME&api=v2` | `/api/v2/write` | INFLUX_TOKEN |

use reqwest::Url;

use super::Credentials;
use crate::sink::spool::Destination;
use crate::units::Secret;

/// What to write for each server; every mistake ends with it.
const FORMS: &str = "http://HOST:8086?org=ORG&bucket=BUCKET (InfluxDB 2), http://HOST:8086?db=NAME (1.x) or \
                     http://HOST:8181?db=NAME&api=v3 (3)";

/// A database of a server, and what opens it.
#[derive(Clone, Debug)]
pub struct InfluxTarget {
    base: Url,
    place: Place,
    credentials: Credentials,
}

/// The part of a server that points go to, by the API that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    V1 { db: String, rp: Option<String> },
    V2 { org: Option<String>, bucket: String },
    V3 { db: String },
}

/// Why a text is no InfluxDB target. Each says what to write instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// It is no URL.
    #[error("`{0}` is not a URL ({1}): write {FORMS}")]
    NotAUrl(String, String),
    /// Neither http nor https.
    #[error("`{0}:` is not a scheme of InfluxDB: write {FORMS}")]
    Scheme(String),
    /// A user name or password in the URL.
    #[error(
        "the InfluxDB URL holds credentials: put the token in INFLUX_TOKEN, or user name and password of 1.x in \
         INFLUX_USERNAME and INFLUX_PASSWORD"
    )]
    Credentials,
    /// A parameter is missing or empty.
    #[error("the InfluxDB URL lacks `{0}`: write {FORMS}")]
    Missing(&'static str),
    /// A parameter that does not exist, or not in this API.
    #[error("`{0}` is not a parameter of this InfluxDB URL: write {FORMS}; token and password are in the environment")]
    Unknown(String),
    /// The same parameter twice.
    #[error("the InfluxDB URL gives `{0}` twice")]
    Twice(String),
    /// An API that does not exist.
    #[error("`api={0}` is not an API of InfluxDB: v1, v2 and v3 are")]
    Api(String),
    /// A token that no header can carry.
    #[error("INFLUX_TOKEN holds a line feed or another character that a header cannot carry")]
    Token,
    /// Half of what 1.x asks for.
    #[error("INFLUX_USERNAME and INFLUX_PASSWORD go together: only one of them is set")]
    HalfAUser,
}

impl InfluxTarget {
    /// Reads a URL as in the module's table.
    pub fn from_url(text: &str, credentials: Credentials) -> Result<Self, TargetError> {
        let mut base = Url::parse(text).map_err(|error| TargetError::NotAUrl(text.to_owned(), error.to_string()))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if !matches!(base.scheme(), "http" | "https") {
            return Err(TargetError::Scheme(base.scheme().to_owned()));
        }
        let place = Parameters::of(&base)?.place()?;
        base.set_query(None);
        base.set_fragment(None);
        credentials.check()?;
        Ok(Self { base, place, credentials })
    }

    /// What `sink.json` remembers.
    pub fn destination(&self) -> Destination {
        Destination { name: "influxdb".into(), url: self.url() }
    }

    /// The target that a `sink.json` names.
    pub fn from_destination(destination: &Destination, credentials: Credentials) -> Result<Self, TargetError> {
        Self::from_url(&destination.url, credentials)
    }

    /// The target as people write it, without what opens it.
    pub fn url(&self) -> String {
        let mut url = self.base.clone();
        let api = match self.place {
            Place::V1 { .. } | Place::V2 { org: Some(_), .. } => None,
            Place::V2 { org: None, .. } => Some(("api", "v2")),
            Place::V3 { .. } => Some(("api", "v3")),
        };
        url.query_pairs_mut().extend_pairs(self.place.names()).extend_pairs(api);
        url.into()
    }

    /// The address that lines are posted to. Times are nanoseconds, which each API has its own word for.
    pub(super) fn write_url(&self) -> Url {
        let (path, precision) = match &self.place {
            Place::V1 { .. } => ("write", "ns"),
            Place::V2 { .. } => ("api/v2/write", "ns"),
            Place::V3 { .. } => ("api/v3/write_lp", "nanosecond"),
        };
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url.query_pairs_mut().extend_pairs(self.place.names()).append_pair("precision", precision);
        url
    }

    /// The value of the Authorization header.
    pub(super) fn authorization(&self) -> Option<Secret> {
        match self.place {
            // 1.x behind a proxy may ask for a token all the same.
            Place::V1 { .. } => self.credentials.basic().or_else(|| self.credentials.with("Token")),
            Place::V2 { .. } => self.credentials.with("Token"),
            Place::V3 { .. } => self.credentials.with("Bearer"),
        }
    }

    /// What to do about a refusal that only a person can mend.
    pub(super) fn hint(&self, status: u16) -> Option<String> {
        let opened_by = match self.place {
            Place::V1 { .. } => "INFLUX_USERNAME and INFLUX_PASSWORD",
            Place::V2 { .. } | Place::V3 { .. } => "INFLUX_TOKEN",
        };
        match status {
            401 => Some(format!("check {opened_by}")),
            403 => Some(format!("{opened_by} may not write to {}", self.name())),
            404 | 405 => Some(format!(
                "make {} first, or the server speaks another API: ?db=NAME is for InfluxDB 1.x, \
                 ?org=ORG&bucket=BUCKET for 2, ?db=NAME&api=v3 for 3",
                self.name()
            )),
            _ => None,
        }
    }

    fn name(&self) -> String {
        match &self.place {
            Place::V1 { db, rp: None } | Place::V3 { db } => format!("the database `{db}`"),
            Place::V1 { db, rp: Some(rp) } => format!("the database `{db}` and its retention policy `{rp}`"),
            Place::V2 { org: Some(org), bucket } => format!("the bucket `{bucket}` of the organisation `{org}`"),
            Place::V2 { org: None, bucket } => format!("the bucket `{bucket}`"),
        }
    }
}

impl Place {
    /// Its names, as the query of a URL has them.
    fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let (first, second) = match self {
            Self::V1 { db, rp } => (Some(("db", db)), rp.as_ref().map(|rp| ("rp", rp))),
            Self::V2 { org, bucket } => (org.as_ref().map(|org| ("org", org)), Some(("bucket", bucket))),
            Self::V3 { db } => (Some(("db", db)), None),
        };
        first.into_iter().chain(second).map(|(name, value)| (name, value.as_str()))
    }
}

/// The query of a URL, each parameter once.
#[derive(Default)]
struct Parameters {
    api: Option<String>,
    db: Option<String>,
    rp: Option<String>,
    org: Option<String>,
    bucket: Option<String>,
}

impl Parameters {
    fn of(url: &Url) -> Result<Self, TargetError> {
        let mut parameters = Self::default();
        for (name, value) in url.query_pairs() {
            let place = match &*name {
                "api" => &mut parameters.api,
                "db" => &mut parameters.db,
                "rp" => &mut parameters.rp,
                "org" => &mut parameters.org,
                "bucket" => &mut parameters.bucket,
                _ => return Err(TargetError::Unknown(name.into_owned())),
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(TargetError::Twice(name.into_owned()));
            }
        }
        Ok(parameters)
    }

    /// The API that is named, else the one whose words are used.
    fn place(self) -> Result<Place, TargetError> {
        let Self { api, db, rp, org, bucket } = self;
        let version = match api.as_deref() {
            Some("v1") => 1,
            Some("v2") => 2,
            Some("v3") => 3,
            Some(other) => return Err(TargetError::Api(other.to_owned())),
            None if db.is_some() => 1,
            None => 2,
        };
        let foreign = match version {
            1 => vec![("org", &org), ("bucket", &bucket)],
            2 => vec![("db", &db), ("rp", &rp)],
            _ => vec![("org", &org), ("bucket", &bucket), ("rp", &rp)],
        };
        if let Some((name, _)) = foreign.iter().find(|(_, value)| value.is_some()) {
            return Err(TargetError::Unknown((*name).to_owned()));
        }
        let given = |value: Option<String>, name| value.filter(|v| !v.is_empty()).ok_or(TargetError::Missing(name));
        Ok(match version {
            1 => Place::V1 { db: given(db, "db")?, rp: rp.map(|rp| given(Some(rp), "rp")).transpose()? },
            2 => {
                // InfluxDB 3 has no organisations: whoever names the API may leave it out.
                let org = if api.is_some() && org.is_none() { None } else { Some(given(org, "org")?) };
                Place::V2 { org, bucket: given(bucket, "bucket")? }
            }
            _ => Place::V3 { db: given(db, "db")? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<InfluxTarget, TargetError> {
        let credentials = Credentials {
            token: Some(Secret::new("t0ken")),
            username: Some("me".into()),
            password: Some(Secret::new("pw:é")),
        };
        InfluxTarget::from_url(text, credentials)
    }

    #[test]
    fn each_api_has_its_address_and_its_authorization() {
        let table = [
            (
                "http://db:8086?org=my org&bucket=calls",
                "http://db:8086/api/v2/write?org=my+org&bucket=calls&precision=ns",
                "Token t0ken",
            ),
            ("http://db:8181?bucket=b&api=v2", "http://db:8181/api/v2/write?bucket=b&precision=ns", "Token t0ken"),
            ("http://db:8086?db=calls", "http://db:8086/write?db=calls&precision=ns", "Basic bWU6cHc6w6k="),
            (
                "http://db:8086?db=a b&rp=year&api=v1",
                "http://db:8086/write?db=a+b&rp=year&precision=ns",
                "Basic bWU6cHc6w6k=",
            ),
            (
                "http://db:8181?db=calls&api=v3",
                "http://db:8181/api/v3/write_lp?db=calls&precision=nanosecond",
                "Bearer t0ken",
            ),
        ];
        for (text, url, authorization) in table {
            let target = target(text).expect(text);
            assert_eq!(target.write_url().as_str(), url);
            assert_eq!(target.authorization().expect("set").reveal(), authorization, "{text}");
            let shown = format!("{target:?}");
            assert!(!shown.contains("t0ken") && !shown.contains("pw"), "{shown}");
        }
    }

    #[test]
    fn a_server_without_credentials_gets_none() {
        let of = |text| InfluxTarget::from_url(text, Credentials::default()).expect("valid").authorization();
        assert_eq!(of("http://db?db=x"), None);
        assert_eq!(of("http://db?db=x&api=v3"), None);
    }

    #[test]
    fn a_path_before_the_query_is_kept_for_servers_behind_a_proxy() {
        let target = target("https://proxy/influx/?org=o&bucket=b").expect("valid");
        assert_eq!(target.write_url().path(), "/influx/api/v2/write");
    }

    #[test]
    fn a_target_survives_being_remembered() {
        for text in [
            "http://db:8086/x?org=my org&bucket=a%26b",
            "http://db:8086/x?bucket=a%26b&api=v2",
            "http://db:8086/?db=a%26b&rp=é",
            "http://db:8086/?db=calls&api=v3",
        ] {
            let one = target(text).expect("valid");
            let other = InfluxTarget::from_destination(&one.destination(), Credentials::default()).expect("valid");
            assert_eq!((one.write_url(), one.destination()), (other.write_url(), other.destination()));
            assert!(!serde_json::to_string(&one.destination()).expect("JSON").contains("t0ken"));
        }
    }

    #[test]
    fn each_mistake_is_named_with_what_to_write() {
        let of = |text: &str| target(text).expect_err(text).to_string();
        assert!(of("db:8086?org=o&bucket=b").contains("`db:` is not a scheme"));
        assert!(of("not a url").starts_with("`not a url` is not a URL"));
        assert!(of("http://db:8086?bucket=b").contains("lacks `org`"));
        assert!(of("http://db:8086?org=o").contains("lacks `bucket`"));
        assert!(of("http://db:8086?org=o&bucket=").contains("lacks `bucket`"));
        assert!(of("http://db:8086").contains("?db=NAME (1.x)"));
        assert!(of("http://db:8086?db=").contains("lacks `db`"));
        assert!(of("http://db:8086?db=a&rp=").contains("lacks `rp`"));
        assert!(of("http://db:8086?api=v3").contains("lacks `db`"));
        assert!(of("http://db:8086?db=a&bucket=b").contains("`bucket` is not a parameter of this"));
        assert!(of("http://db:8086?db=a&org=b&api=v3").contains("`org` is not a parameter of this"));
        assert!(of("http://db:8086?db=a&api=v4").contains("`api=v4`"));
        assert!(of("http://db:8086?org=o&bucket=b&org=p").contains("`org` twice"));
        assert!(of("http://db:8086?org=o&bucket=b&token=x").contains("in the environment"));
        assert!(of("http://me:pw@db:8086?org=o&bucket=b").contains("INFLUX_TOKEN"));
    }

    #[test]
    fn a_refusal_says_what_to_do_about_it() {
        let hint = |text, status| target(text).expect("valid").hint(status).unwrap_or_default();
        assert_eq!(hint("http://db?db=x", 401), "check INFLUX_USERNAME and INFLUX_PASSWORD");
        assert_eq!(hint("http://db?db=x&api=v3", 401), "check INFLUX_TOKEN");
        assert_eq!(
            hint("http://db?org=o&bucket=b", 403),
            "INFLUX_TOKEN may not write to the bucket `b` of the organisation `o`"
        );
        assert!(
            hint("http://db?db=x&rp=y", 404).starts_with("make the database `x` and its retention policy `y` first")
        );
        assert_eq!(hint("http://db?db=x", 503), "");
    }
}
