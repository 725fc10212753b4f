//! The resolver below [`crate::sip::locate`]: its questions go to DNS, on the calling thread.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::clock;
use crate::sip::locate::{Answer, LocateError, Located, Locator, Naptr, Query, Srv, Step, Wanted};

/// Time for one answer; it is asked for twice.
const PATIENCE: Duration = Duration::from_secs(2);

/// Finds the places of a server (RFC 3263), in the order to try them. Without `nameserver` the system's are asked, and
/// its hosts file. Blocks.
///
/// # Errors
/// [`LocateError`].
pub fn locate(wanted: Wanted, nameserver: Option<SocketAddr>, seed: u64) -> Result<Located, LocateError> {
    let host = wanted.host.clone();
    // Without a resolver of our own nobody is asked.
    let nobody = |text: String| LocateError::Unanswered(host.clone(), text);
    let begun = clock::now();
    let mut locator = Locator::new(wanted, seed);
    let (mut resolver, mut ttl) = (None, None::<u32>);
    loop {
        match locator.poll() {
            Step::Found(hops) => {
                let took = resolver.is_some().then(|| clock::now().saturating_duration_since(begun));
                return Ok(Located { hops, ttl: ttl.map(|seconds| Duration::from_secs(seconds.into())), took });
            }
            Step::Failed(error) => return Err(error),
            Step::Ask(query) => {
                if resolver.is_none() {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                    let runtime = runtime.map_err(|error| nobody(error.to_string()))?;
                    let made = runtime.block_on(async { resolver_of(nameserver) });
                    resolver = Some((runtime, made.map_err(|error| nobody(error.to_string()))?));
                }
                let Some((runtime, resolver)) = &resolver else { continue };
                let (answer, lives) = runtime.block_on(ask(resolver, &query));
                ttl = ttl.into_iter().chain(lives).min();
                locator.handle_answer(answer);
            }
        }
    }
}

fn resolver_of(nameserver: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let mut builder = match nameserver {
        None => TokioResolver::builder_tokio()?,
        Some(address) => {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
            let server = NameServerConfig::new(address.ip(), true, connections.to_vec());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    builder.options_mut().timeout = PATIENCE;
    builder.options_mut().attempts = 1;
    builder.build()
}

/// The answer, and the shortest TTL of its records, seconds.
async fn ask(resolver: &TokioResolver, query: &Query) -> (Answer, Option<u32>) {
    match query {
        Query::Address(host) => match resolver.lookup_ip(host.as_str()).await {
            Ok(found) => {
                let ttl = shortest(found.as_lookup().answers());
                let mut addresses: Vec<_> = found.iter().collect();
                // IPv4 first, as most equipment has it.
                addresses.sort_by_key(std::net::IpAddr::is_ipv6);
                (Answer::Address(addresses), ttl)
            }
            Err(error) if error.is_no_records_found() => (Answer::Address(Vec::new()), None),
            Err(error) => (failure(&error), None),
        },
        Query::Srv(name) => match records(resolver, name, RecordType::SRV).await {
            Ok((found, ttl)) => (Answer::Srv(found.iter().filter_map(srv).collect()), ttl),
            Err(error) => (failure(&error), None),
        },
        Query::Naptr(name) => match records(resolver, name, RecordType::NAPTR).await {
            Ok((found, ttl)) => (Answer::Naptr(found.iter().filter_map(naptr).collect()), ttl),
            Err(error) => (failure(&error), None),
        },
    }
}

/// Whether somebody said that it cannot be said, or nobody said anything.
fn failure(error: &NetError) -> Answer {
    match error {
        NetError::Timeout | NetError::NoConnections | NetError::Io(_) | NetError::Busy => {
            Answer::Unanswered(error.to_string())
        }
        _ => Answer::Failed(error.to_string()),
    }
}

fn shortest(records: &[Record]) -> Option<u32> {
    records.iter().map(|record| record.ttl).min()
}

type Found = (Vec<RData>, Option<u32>);

async fn records(resolver: &TokioResolver, name: &str, kind: RecordType) -> Result<Found, NetError> {
    // A final dot: search domains are for hosts, not for services.
    match resolver.lookup(format!("{}.", name.trim_end_matches('.')), kind).await {
        Ok(found) => {
            let ttl = shortest(found.answers());
            Ok((found.answers().iter().map(|record| record.data.clone()).collect(), ttl))
        }
        Err(error) if error.is_no_records_found() => Ok((Vec::new(), None)),
        Err(error) => Err(error),
    }
}

fn srv(record: &RData) -> Option<Srv> {
    let RData::SRV(record) = record else { return None };
    let (priority, weight, port) = (record.priority, record.weight, record.port);
    Some(Srv { priority, weight, port, target: text_of(&record.target) })
}

fn naptr(record: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = record else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Naptr {
        order: record.order,
        preference: record.preference,
        flags: text(&record.flags),
        service: text(&record.services),
        replacement: text_of(&record.replacement),
    })
}

fn text_of(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
