//! One worker for many plans that come and go, whose attempts start on command.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rustc_hash::{FxHashMap, FxHashSet};

use super::evidence::{Keep, Keeper};
use super::host::{self, Beat, StartError, Stop};
use super::preflight;
use super::side::Door;
use super::workers::{identity_for, prepare_audio};
use crate::call::{
    Callers, Config, Finished, Group, GroupReport, MemberId, NotBegun, Pause, Progress, Report, attempt_of,
};
use crate::evidence::File;
use crate::media::clock::NtpClock;
use crate::net::clock;
use crate::net::dialer::Dialer;
use crate::net::drops::Drops;
use crate::net::side::Teller;
use crate::reactor::{Reactor, Security};
use crate::record::{Anchor, MediaSecond};
use crate::scenario::plan::{Plan, Server};
use crate::sip::endpoint;
use crate::sip::locate::Located;
use crate::station::side::Told as SideTold;
use crate::units::Redacted;

/// Results that may wait to be taken. A worker that finds the channel full waits, and its lateness shows.
const WAITING: usize = 65_536;
/// Orders that may wait to be read.
const ORDERS: usize = 65_536;
/// Numbers of members have 15 bits: the highest of an owner says that it is of no attempt.
const MAX_MEMBER: MemberId = 0x7fff;

/// A plan that joins.
#[derive(Clone, Debug)]
pub struct Joining {
    /// Its attempts start on command, or as calls come in.
    pub plan: Arc<Plan>,
    /// Its servers, each with its number (of [`GroupWorker::add_server`]) and its places.
    pub servers: Vec<(Server, u16, Located)>,
    /// Beginning of every `call_id`.
    pub run_id: String,
    /// `site` of every record.
    pub site: Option<String>,
    /// Legs whose seconds of media are told, at the same time at most.
    pub watched_legs: u32,
}

/// What the worker tells.
#[derive(Debug)]
pub enum GroupTold {
    /// A leg has ended; the files are its evidence, where it has some.
    Finished {
        /// Whose it is.
        member: MemberId,
        /// Index of the attempt, from 1; 0 where it is of none.
        n: u64,
        /// What it showed.
        finished: Box<Finished>,
        /// Its evidence.
        files: Option<Vec<File>>,
    },
    /// An attempt was asked for and not started.
    NotBegun {
        /// Whose it is.
        member: MemberId,
        /// Its index, from 1.
        n: u64,
        /// Why.
        why: NotBegun,
    },
    /// The far side wants no calls for a while.
    Paused(MemberId, Box<Pause>),
    /// A second of a leg's media has passed.
    Second(Box<MediaSecond>),
    /// A member that was told to leave is gone.
    Left(MemberId),
    /// How the worker is.
    Beat {
        /// How far its attempts are.
        progress: Box<Progress>,
        /// How it is itself.
        beat: Box<Beat>,
        /// Messages that are no SIP.
        malformed: u64,
    },
    /// The worker has ended, by an error where there is one.
    Ended(Option<String>),
}

/// What the worker is to do.
enum Order {
    Server(Box<Dialer>),
    Join(MemberId, Box<(Config, endpoint::Config, Vec<u16>)>),
    Start { member: MemberId, intended: Instant, account: Option<usize>, anchor: Anchor },
    Revise(MemberId, Arc<Plan>),
    Leave(MemberId),
    Places(u16, Located),
    Unanswered(u16),
    Side(Box<SideTold>),
}

/// The worker, and what it is told.
pub struct GroupWorker {
    /// What it tells.
    pub told: Receiver<GroupTold>,
    orders: Sender<Order>,
    stop: Stop,
    thread: JoinHandle<()>,
    drops: Drops,
    servers: u16,
    next: MemberId,
    /// Numbers of members that are not gone.
    members: FxHashSet<MemberId>,
}

impl GroupWorker {
    /// Starts a worker without members.
    ///
    /// # Errors
    /// [`StartError`]: the system gives no thread or file descriptor.
    pub fn start() -> Result<Self, StartError> {
        preflight::raise_descriptors();
        let now = clock::now();
        let mut reactor = Reactor::new(Group::new(now), Security::default()).map_err(StartError::Worker)?;
        let drops = Drops::default();
        reactor.count_drops(drops.clone());
        let stop = Stop::of(&reactor)?;
        let (sender, told) = bounded(WAITING);
        let (orders, inbox) = bounded(ORDERS);
        let (asked, counted, own) = (stop.clone(), drops.clone(), orders.clone());
        let thread = std::thread::Builder::new().name("watch-worker".into()).spawn(move || {
            work(&mut reactor, &asked, (&inbox, own), &sender);
            // Once more while the sockets are open.
            counted.read();
        });
        Ok(Self {
            told,
            orders,
            stop,
            thread: thread.map_err(StartError::Worker)?,
            drops,
            servers: 0,
            next: 0,
            members: FxHashSet::default(),
        })
    }

    /// A server that plans may name, and how connections to it are made. Its number; `None` where there are too many.
    pub fn add_server(&mut self, dialer: Dialer) -> Option<u16> {
        let number = self.servers;
        self.servers = number.checked_add(1).filter(|next| *next < u16::MAX)?;
        self.order(Order::Server(Box::new(dialer)));
        Some(number)
    }

    /// A plan joins. Its number.
    pub fn join(&mut self, joining: Joining) -> MemberId {
        // There are never so many that none is free: each has its sockets.
        while !self.members.insert(self.next) {
            self.next = (self.next + 1) & MAX_MEMBER;
        }
        let id = self.next;
        self.next = (id + 1) & MAX_MEMBER;
        prepare_audio(&joining.plan);
        let (now, timestamp) = (clock::now(), clock::timestamp());
        let numbers = joining.servers.iter().map(|(_, number, _)| *number).collect();
        let agent = joining.plan.actors.iter().find_map(|actor| actor.target.user_agent.clone());
        let identity = identity_for(&joining.plan).unwrap_or_else(|error| {
            tracing::error!(%error, "calls of WebRTC will fail");
            None
        });
        let config = Config {
            plan: joining.plan,
            servers: joining.servers.into_iter().map(|(server, _, located)| (server, located)).collect(),
            fail_over: true,
            share: (0, 1),
            start: now,
            closes: None,
            anchor: Anchor { instant: now, timestamp },
            clock: NtpClock::from_unix(now, timestamp.as_duration().try_into().unwrap_or_default()),
            secret: Redacted(clock::secret()),
            identity,
            run_id: joining.run_id,
            site: joining.site,
            probe: None,
            watched_legs: joining.watched_legs,
            whole_every: 1,
        };
        let mut endpoint = endpoint::Config::default();
        endpoint.agent = agent.unwrap_or(endpoint.agent);
        self.order(Order::Join(id, Box::new((config, endpoint, numbers))));
        id
    }

    /// To all that have joined: no name server answered when the places of a server were asked for.
    pub fn unanswered(&self, server: u16) {
        self.order(Order::Unanswered(server));
    }

    /// A member starts an attempt, of this account or the next.
    pub fn begin(&self, member: MemberId, intended: Instant, account: Option<usize>) {
        let anchor = Anchor { instant: clock::now(), timestamp: clock::timestamp() };
        self.order(Order::Start { member, intended, account, anchor });
    }

    /// Another plan of a member from now on, whose agents are registered as those of the plan before
    /// ([`Plan::registers_as`]): their registrations stay, and attempts that are under way end as they began.
    pub fn revise(&self, member: MemberId, plan: Arc<Plan>) {
        prepare_audio(&plan);
        self.order(Order::Revise(member, plan));
    }

    /// A member starts nothing more; what is under way ends by itself.
    pub fn leave(&self, member: MemberId) {
        self.order(Order::Leave(member));
    }

    /// A member is gone, as was told: its number may be given again.
    pub fn forget(&mut self, member: MemberId) {
        self.members.remove(&member);
    }

    /// Tells, from any thread, where DNS says that a server is now.
    pub fn place_teller(&self) -> impl Fn(u16, Located) + Send + 'static {
        let (orders, stop) = (self.orders.clone(), self.stop.clone());
        move |server, located| {
            // A full box is that of a worker which has ended.
            let _ = orders.try_send(Order::Places(server, located));
            stop.wake();
        }
    }

    /// Hangs up every leg; the worker then ends.
    pub fn stop(&self) {
        self.stop.ask();
    }

    /// Datagrams that the kernel dropped so far because our own sockets were not read in time.
    pub fn lost_datagrams(&self) -> u64 {
        self.drops.read()
    }

    /// Waits for the worker's end.
    pub fn join_thread(self) {
        drop(self.told);
        if self.thread.join().is_err() {
            tracing::error!("the worker ended by a bug of ours");
        }
    }

    fn order(&self, order: Order) {
        // It waits where the box is full; a worker that has ended reads none, and has told so.
        let _ = self.orders.send(order);
        self.stop.wake();
    }
}

/// Tells the worker itself what came of its requests beside the calls.
fn teller(own: Sender<Order>, stop: Stop) -> Teller {
    Arc::new(move |told| match own.try_send(Order::Side(Box::new(told))) {
        Err(TrySendError::Full(Order::Side(told))) => Err(*told),
        // Nobody waits for it where the worker has ended.
        Ok(()) | Err(_) => {
            stop.wake();
            Ok(())
        }
    })
}

fn work(
    reactor: &mut Reactor<Group>,
    stop: &Stop,
    (inbox, own): (&Receiver<Order>, Sender<Order>),
    sender: &Sender<GroupTold>,
) {
    let tell = |told| {
        // Nobody listens any more: the watch was given up.
        let _ = sender.send(told);
    };
    let mut keeper = Keeper::new(
        Anchor { instant: clock::now(), timestamp: clock::timestamp() },
        Keep { all: false, masked: false, folders: None },
    );
    let masks = std::cell::RefCell::new(FxHashMap::default());
    let tend = |reactor: &mut Reactor<Group>| {
        let mut read = false;
        let now = clock::now().max(reactor.now());
        for order in inbox.try_iter() {
            read = true;
            match order {
                Order::Server(dialer) => drop(reactor.add_server(*dialer)),
                Order::Join(id, joining) => {
                    let (config, endpoint, servers) = *joining;
                    masks.borrow_mut().insert(id, config.plan.mask_numbers);
                    let callers = Callers::new(config, endpoint, clock::seed(), now);
                    reactor.station.join(now, id, callers, servers);
                }
                Order::Start { member, intended, account, anchor } => {
                    reactor.station.command(now, member, (intended, account), anchor);
                }
                Order::Revise(id, plan) => {
                    masks.borrow_mut().insert(id, plan.mask_numbers);
                    reactor.station.revise(id, plan);
                }
                Order::Leave(id) => reactor.station.leave(now, id),
                Order::Places(server, located) => reactor.station.handle_places(server, &located),
                Order::Unanswered(server) => reactor.station.handle_unanswered(server),
                Order::Side(told) => reactor.station.handle_side(now, *told),
            }
        }
        if read {
            reactor.wake_soon();
        }
    };
    let mut door = Door::new(teller(own, stop.clone()));
    let report = |keeper: &mut Keeper, report| match report {
        GroupReport::Left(id) => {
            masks.borrow_mut().remove(&id);
            tell(GroupTold::Left(id));
        }
        GroupReport::Of(member, report) => {
            keeper.set_masked(masks.borrow().get(&member).copied().unwrap_or(false));
            match report {
                Report::Side(order) => door.order(*order),
                Report::Finished(mut finished) => {
                    let files = keeper.bundle(&mut finished);
                    let n = if finished.beside { 0 } else { attempt_of(finished.owner) };
                    tell(GroupTold::Finished { member, n, finished, files });
                }
                Report::Dropped { n, why } => tell(GroupTold::NotBegun { member, n, why }),
                Report::Paused(pause) => tell(GroupTold::Paused(member, Box::new(pause))),
                Report::Second(mut second) => {
                    keeper.mask_second(&mut second);
                    tell(GroupTold::Second(second));
                }
                // No plan of a group has a time in which it may start, or a search, and each of its legs is told whole.
                Report::Closed | Report::Limit(_) | Report::Counted(_) => {}
            }
        }
    };
    let beat = |group: &Group, beat| {
        let (progress, beat) = (Box::new(group.progress()), Box::new(beat));
        tell(GroupTold::Beat { progress, beat, malformed: group.malformed() });
    };
    let ended = host::run(reactor, &mut keeper, stop, tend, report, beat);
    tell(GroupTold::Ended(ended.err().map(|error| error.to_string())));
}
