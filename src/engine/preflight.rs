//! What a run needs of this machine, before the first call: file descriptors, RTP ports, addresses.
//!
//! Needs are lower bounds (how long a call rings is not known beforehand), so a run that is refused here could not
//! have been placed as it is written.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::host::StartError;
use super::workers::Settings;
use crate::net::{drops, udp};
use crate::pace::{Load, Schedule, peak_of};
use crate::scenario::plan::{Actor, MediaMode, Plan, Registered, Step};
use crate::sip::flow::Hop;

/// Files of a run folder, poll, timers and channels.
const OTHER_DESCRIPTORS: u64 = 48;
/// Descriptors that there is room for from the start, where the limit allows as many: half a megabyte.
const ROOM: u64 = 65_536;
/// Starts of a schedule that are looked at to know how many attempts overlap.
const STARTS_LOOKED_AT: u64 = 200_000;

/// Refuses a run that this machine cannot hold.
pub(super) fn check(settings: &Settings) -> Result<(), StartError> {
    let plan = &settings.plan;
    let at_once = at_once(plan);
    let (limit, open) = (raise_descriptors(), open_descriptors());
    enough("file descriptors (ulimit -n)", descriptors(plan, at_once, settings.workers) + open, limit)?;
    let taken: Vec<u16> = drops::table().iter().map(|line| line.port).collect();
    for range in ranges(plan) {
        let (first, last) = range;
        let what = format!("pairs of RTP ports in {first}-{last} (rtp_ports)");
        enough(&what, port_pairs(plan, range, (at_once, settings.workers)), free_pairs(range, &taken))?;
    }
    for actor in &plan.actors {
        let target = &actor.target;
        let known = settings.servers.iter().find(|(server, _)| *server == target.server);
        let Some((server, located)) = known else { continue };
        let refused = |source| StartError::Address { server: server.host.clone(), port: target.local_port, source };
        // One place that can be reached is enough: of the others, some may be of a family that this machine lacks.
        let towards = |hop: &Hop| Ok((*hop, udp::local_address_towards(hop.address)?));
        let reached: Vec<io::Result<(Hop, IpAddr)>> = located.hops.iter().map(towards).collect();
        let first = reached.into_iter().reduce(|found, other| if found.is_ok() { found } else { other.or(found) });
        let Some((hop, local)) = first.transpose().map_err(refused)? else { continue };
        let mut fitting =
            target.local_addresses.iter().filter(|local| local.is_ipv4() == hop.address.is_ipv4()).peekable();
        if fitting.peek().is_none() && !target.local_addresses.is_empty() {
            return Err(StartError::Family { server: server.host.clone(), address: hop.address.ip() });
        }
        for local in fitting {
            udp::Udp::bind(SocketAddr::new(*local, 0)).map_err(|source| StartError::Address {
                server: format!("{} from {local}", server.host),
                port: 0,
                source,
            })?;
        }
        let local = SocketAddr::new(local, target.local_port);
        if target.local_port != 0 && !hop.transport.is_reliable() {
            udp::Udp::bind(local).map_err(refused)?;
        }
    }
    Ok(())
}

fn enough(what: &str, needed: u64, had: u64) -> Result<(), StartError> {
    if needed <= had { Ok(()) } else { Err(StartError::Short { what: what.to_owned(), needed, had }) }
}

/// Attempts that are under way at the same time, at least.
fn at_once(plan: &Plan) -> u64 {
    let most = u64::from(plan.safety.max_concurrent).min(plan.load.planned().unwrap_or(u64::MAX));
    let wanted = match &plan.load.schedule {
        Schedule::Closed { concurrent } => u64::from(*concurrent),
        Schedule::Open { .. } => {
            let lasts: Option<Vec<Duration>> = plan.actors.iter().map(shortest).collect();
            let overlapping = |lasts| overlapping(&plan.load.evened(), lasts, most);
            let mean = lasts.and_then(|all| all.into_iter().max()).map_or(most, overlapping);
            if plan.draws() { peak_of(mean as f64) as u64 } else { mean }
        }
        Schedule::Search(search) => search.most_held(),
        Schedule::OnDemand => 1,
        Schedule::OnCommand { concurrent } => (*concurrent).into(),
    };
    wanted.min(most).max(1)
}

/// The most attempts that are under way at the same time where each lasts so long.
fn overlapping(load: &Load, lasts: Duration, enough: u64) -> u64 {
    let (mut most, mut oldest) = (0, 0);
    for k in 0..STARTS_LOOKED_AT.min(load.planned().unwrap_or(u64::MAX)) {
        let Some(start) = load.start_of(k).filter(|_| most < enough) else { break };
        while load.start_of(oldest).is_some_and(|older| older + lasts <= start) && oldest < k {
            oldest += 1;
        }
        most = most.max(k - oldest + 1);
    }
    most
}

/// How long an attempt of this actor lasts at least; `None` where it lasts as long as the load.
fn shortest(actor: &Actor) -> Option<Duration> {
    let of_step = |step: &Step| match step {
        Step::Talk(talk) => Some(talk.duration.map_or(Duration::ZERO, |length| length.mean())),
        Step::Wait(length) => Some(length.mean()),
        Step::Dtmf(step) => Some(step.press.length()),
        Step::Disturb(step) => Some(step.lasts),
        Step::HoldOpen => None,
        _ => Some(Duration::ZERO),
    };
    actor.steps.iter().map(of_step).sum()
}

/// Streams with sockets of their own that one attempt has at the same time: the built-in lab's run in this process too.
fn media_legs(actor: &Actor) -> u64 {
    let (audio, shared) = (has_audio(actor), actor.target.shared_media);
    let streams = u64::from(audio && !shared) + u64::from(audio && actor.has_own_video());
    if actor.target.lab { 2 * streams } else { streams }
}

fn has_audio(actor: &Actor) -> bool {
    actor.steps.iter().any(|step| match step {
        Step::Dial(dial) => dial.media == MediaMode::Audio,
        Step::Answer(answer) => answer.media == MediaMode::Audio,
        _ => false,
    })
}

/// Pairs of sockets from this range that the workers have each for all their calls: one for each local address.
fn shared_pairs(plan: &Plan, range: (u16, u16), workers: usize) -> u64 {
    let sharing =
        plan.actors.iter().filter(|actor| actor.target.shared_media && has_audio(actor) && range_of(actor) == range);
    let addresses = sharing.map(|actor| actor.target.local_addresses.len().max(1)).max().unwrap_or_default();
    (workers * addresses) as u64
}

fn descriptors(plan: &Plan, at_once: u64, workers: usize) -> u64 {
    let of_actor = |actor: &Actor| {
        let own = actor.target.socket_each || actor.target.server.is_reliable();
        let connections = match &actor.pool {
            Some(pool) if own && actor.registered == Registered::All => pool.accounts.len() as u64,
            Some(pool) if own => at_once.min(pool.accounts.len() as u64),
            _ => 1,
        };
        2 * media_legs(actor) * at_once + connections
    };
    let shared: u64 = ranges(plan).into_iter().map(|range| 2 * shared_pairs(plan, range, workers)).sum();
    most_of_a_cast(plan, of_actor) + shared + OTHER_DESCRIPTORS
}

/// The sum over the actors of an attempt, of whichever kind it is the greatest.
fn most_of_a_cast(plan: &Plan, of_actor: impl Fn(&Actor) -> u64) -> u64 {
    plan.casts().into_iter().map(|cast| plan.actors[cast].iter().map(&of_actor).sum()).max().unwrap_or_default()
}

fn ranges(plan: &Plan) -> Vec<(u16, u16)> {
    let with_audio = plan.actors.iter().filter(|actor| has_audio(actor));
    let mut ranges: Vec<(u16, u16)> = with_audio.map(range_of).collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

fn range_of(actor: &Actor) -> (u16, u16) {
    actor.target.rtp_ports.unwrap_or(udp::MEDIA_PORTS)
}

fn port_pairs(plan: &Plan, range: (u16, u16), (at_once, workers): (u64, usize)) -> u64 {
    let own = |actor: &Actor| if range_of(actor) == range { media_legs(actor) * at_once } else { 0 };
    most_of_a_cast(plan, own) + shared_pairs(plan, range, workers)
}

/// Even ports of the range with the port after them, neither taken.
fn free_pairs((first, last): (u16, u16), taken: &[u16]) -> u64 {
    let mut taken: Vec<u16> = taken.iter().filter(|port| (first..=last).contains(port)).map(|port| port & !1).collect();
    taken.sort_unstable();
    taken.dedup();
    let first = u32::from(first).next_multiple_of(2);
    let pairs = (u32::from(last) + 1).saturating_sub(first) / 2;
    u64::from(pairs).saturating_sub(taken.len() as u64)
}

/// Raises the limit of open files as far as the system lets us, makes room for them, and returns the limit.
pub(super) fn raise_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    let limit = if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    make_room(limit.min(ROOM));
    limit
}

/// Has the kernel make its table of our descriptors so large at once. It grows by doubling, and in a process of several
/// threads whoever opens the one too many waits until every processor has let go of the old table (`synchronize_rcu`): up to
/// 14 ms were seen, in which a worker sends nothing.
fn make_room(descriptors: u64) {
    let highest = descriptors.saturating_sub(1).try_into().unwrap_or(i32::MAX);
    // The highest number is asked for and closed again. Without it the table grows as it is needed.
    let _ = File::open("/dev/null").and_then(|null| Ok(rustix::io::fcntl_dupfd_cloexec(null, highest)?));
}

fn open_descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::{Arrivals, Ramp, Stop};
    use crate::units::CallsPerSecond;

    #[test]
    fn the_table_of_descriptors_does_not_grow_in_the_middle_of_calls() {
        let room = raise_descriptors().min(ROOM);
        let status = std::fs::read_to_string("/proc/self/status").expect("a file of the system");
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).map(str::trim);
        let size: u64 = size.and_then(|size| size.parse().ok()).expect("a number");
        assert!(size >= room, "room for {size} of {room}");
    }

    #[test]
    fn a_pair_begins_at_an_even_port_and_both_must_be_free() {
        assert_eq!(free_pairs((16_384, 16_393), &[]), 5);
        assert_eq!(free_pairs((16_385, 16_393), &[]), 4);
        assert_eq!(free_pairs((16_384, 16_393), &[16_384, 16_385, 16_391, 5060]), 3);
        assert_eq!(free_pairs((16_384, 16_384), &[]), 0);
    }

    #[test]
    fn attempts_overlap_as_long_as_each_lasts() {
        let load = |from, to, calls| {
            let rate = |rate| CallsPerSecond::new(rate).expect("valid");
            let ramps = vec![Ramp { from: rate(from), to: rate(to), over: None }];
            Load {
                schedule: Schedule::Open { ramps, arrivals: Arrivals::Even },
                stop: Stop { calls: Some(calls), after: None },
            }
        };
        let seconds = Duration::from_secs;
        assert_eq!(overlapping(&load(10.0, 10.0, 1000), seconds(5), u64::MAX), 50);
        assert_eq!(overlapping(&load(10.0, 10.0, 20), seconds(5), u64::MAX), 20, "no more than there are");
        assert_eq!(overlapping(&load(10.0, 10.0, 1000), Duration::ZERO, u64::MAX), 1);
    }

    #[test]
    fn what_is_short_is_told_with_the_number_needed_and_had() {
        let error = enough("file descriptors (ulimit -n)", 2100, 1024).expect_err("too few");
        assert_eq!(error.to_string(), "the run needs 2100 file descriptors (ulimit -n), and there are 1024");
        assert!(enough("x", 5, 5).is_ok());
    }
}
