//! What checks need to be called: the worker, the labs that stand for targets, the places of servers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::call::MemberId;
use crate::engine::{GroupWorker, Joining, Lab, LookedUp, Names, Renewal, StartError};
use crate::net::clock;
use crate::net::dialer::Dialer;
use crate::net::resolve::locate;
use crate::net::tls::TlsError;
use crate::scenario::plan::{Plan, Server};
use crate::scenario::watch::Check;
use crate::sip::flow::Hop;
use crate::sip::locate::{LocateError, Located};

/// Why a check cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The system gives too little.
    #[error(transparent)]
    Start(#[from] StartError),
    /// TLS cannot be set up with a server.
    #[error("server {server}: {error}")]
    Tls {
        /// The server.
        server: String,
        /// Why.
        error: TlsError,
    },
    /// There are more than 65,534.
    #[error("too many servers: restart the watch")]
    Servers,
    /// The thread that looks names up again cannot be started.
    #[error("cannot look names up: {0}")]
    Names(std::io::Error),
}

/// Where checks are called from.
pub(super) struct Stage {
    pub(super) worker: GroupWorker,
    labs: Vec<(String, Lab)>,
    servers: Vec<Known>,
    renewal: Option<Renewal>,
    nameserver: Option<SocketAddr>,
    run_id: String,
    watched_legs: u32,
    reproductions: u64,
    looked_up: Arc<Mutex<Renewed>>,
}

/// What later look-ups brought.
#[derive(Default)]
struct Renewed {
    /// By the number of a server: its places now.
    located: BTreeMap<u16, Located>,
    /// By server: why its places could not be asked for last.
    unknown: BTreeMap<String, String>,
}

impl Renewed {
    fn note(&mut self, server: &Server, error: Option<&String>) {
        match error {
            Some(error) => self.unknown.insert(server.to_string(), error.clone()),
            None => self.unknown.remove(&server.to_string()),
        };
    }
}

/// A server that was looked for.
struct Known {
    server: Server,
    /// The lab that it is.
    lab: Option<usize>,
    number: u16,
    located: Located,
    /// No name server answered when its places were asked for first.
    unanswered: bool,
}

impl Stage {
    pub(super) fn new(nameserver: Option<SocketAddr>, run_id: String, watched_legs: u32) -> Result<Self, StageError> {
        Ok(Self {
            worker: GroupWorker::start()?,
            labs: Vec::new(),
            servers: Vec::new(),
            renewal: None,
            nameserver,
            run_id,
            watched_legs,
            reproductions: 0,
            looked_up: Arc::default(),
        })
    }

    /// A check joins. What could not be looked up is told; its calls fail, until DNS knows it.
    pub(super) fn join(&mut self, check: &Check, say: &mut dyn FnMut(String)) -> Result<MemberId, StageError> {
        let joining = self.joining(check, format!("{}-{}", self.run_id, check.name), say)?;
        Ok(self.let_join(joining))
    }

    /// A member of its own, with new sockets and a registration of its own, that starts one attempt and leaves.
    pub(super) fn reproduce(&mut self, check: &Check, account: Option<usize>) -> Result<MemberId, StageError> {
        self.reproductions += 1;
        let run_id = format!("{}-{}-again{}", self.run_id, check.name, self.reproductions);
        let joining = self.joining(check, run_id, &mut |_| {})?;
        let member = self.let_join(joining);
        self.worker.begin(member, clock::now(), account);
        self.worker.leave(member);
        Ok(member)
    }

    /// A member calls as another check says from now on; its agents stay registered.
    pub(super) fn revise(&mut self, member: MemberId, check: &Check) -> Result<(), StageError> {
        let lab = self.lab_of(check)?;
        self.worker.revise(member, self.plan_of(check, lab));
        Ok(())
    }

    fn let_join(&mut self, joining: Joining) -> MemberId {
        let asked_in_vain = |number: &u16| self.servers.iter().any(|known| known.number == *number && known.unanswered);
        let unanswered: Vec<u16> = joining.servers.iter().map(|(_, number, _)| *number).filter(asked_in_vain).collect();
        let member = self.worker.join(joining);
        unanswered.into_iter().for_each(|number| self.worker.unanswered(number));
        member
    }

    /// Servers whose places could not be asked for last, and why: what was known of them before is kept.
    pub(super) fn unknown(&self) -> Vec<String> {
        lock(&self.looked_up).unknown.values().cloned().collect()
    }

    /// Looks names up again from now on, those of all checks that have joined.
    pub(super) fn keep_names(&mut self, mut told: impl FnMut(&LookedUp) + Send + 'static) -> Result<(), StageError> {
        let servers: Vec<(Server, Located)> =
            self.servers.iter().map(|known| (known.server.clone(), known.located.clone())).collect();
        let numbers: Vec<u16> = self.servers.iter().map(|known| known.number).collect();
        let names = Names { nameserver: self.nameserver, ..Names::default() };
        let place = self.worker.place_teller();
        let renewed = Arc::clone(&self.looked_up);
        let tell = move |looked_up: LookedUp| {
            told(&looked_up);
            lock(&renewed).note(&looked_up.server, looked_up.found.as_ref().err());
            if let (Some(number), Ok(located)) = (numbers.get(looked_up.number), looked_up.found) {
                lock(&renewed).located.insert(*number, located.clone());
                place(*number, located);
            }
        };
        self.renewal = Renewal::start(&names, &servers, tell).map_err(StageError::Names)?;
        Ok(())
    }

    /// Waits for the worker's end, and ends the labs.
    pub(super) fn close(self) {
        drop(self.renewal);
        self.worker.join_thread();
        for (_, lab) in self.labs {
            lab.stop();
        }
    }

    fn joining(&mut self, check: &Check, run_id: String, say: &mut dyn FnMut(String)) -> Result<Joining, StageError> {
        let lab = self.lab_of(check)?;
        let mut servers: Vec<(Server, u16, Located)> = Vec::new();
        for actor in &check.plan.actors {
            for server in actor.target.servers() {
                if servers.iter().any(|(other, ..)| other == server) {
                    continue;
                }
                let lab = lab.filter(|_| actor.target.lab && *server == actor.target.server);
                let known = self.server(server, lab, say)?;
                servers.push((server.clone(), known.number, known.located.clone()));
            }
        }
        let plan = self.plan_of(check, lab);
        Ok(Joining { plan, servers, run_id, site: check.site.clone(), watched_legs: self.watched_legs })
    }

    /// The plan of a check, with the application that its lab serves.
    fn plan_of(&self, check: &Check, lab: Option<usize>) -> Arc<Plan> {
        let mut plan = Arc::clone(&check.plan);
        let application = lab.and_then(|index| self.labs.get(index)).and_then(|(_, lab)| lab.application);
        if let Some(application) = application {
            Arc::make_mut(&mut plan).serve_application(&format!("http://{application}"));
        }
        plan
    }

    /// The lab of a check: equal ones are one.
    fn lab_of(&mut self, check: &Check) -> Result<Option<usize>, StageError> {
        let Some(plan) = &check.lab else { return Ok(None) };
        let key = format!("{plan:?}");
        if let Some(index) = self.labs.iter().position(|(known, _)| *known == key) {
            return Ok(Some(index));
        }
        let lab = Lab::start((**plan).clone(), SocketAddr::from(([127, 0, 0, 1], 0)))?;
        self.labs.push((key, lab));
        Ok(Some(self.labs.len() - 1))
    }

    fn server(
        &mut self,
        server: &Server,
        lab: Option<usize>,
        say: &mut dyn FnMut(String),
    ) -> Result<&Known, StageError> {
        let found = self.servers.iter().position(|known| known.server == *server && known.lab == lab);
        if let Some(index) = found {
            let known = &mut self.servers[index];
            if let Some(located) = lock(&self.looked_up).located.get(&known.number) {
                known.located.clone_from(located);
                known.unanswered = false;
            }
            return Ok(known);
        }
        let lab_running = lab.and_then(|index| self.labs.get(index)).map(|(_, lab)| lab);
        let mut unanswered = false;
        let located = match lab_running {
            Some(lab) => {
                let transport = server.transport.unwrap_or_default();
                vec![Hop { transport, address: lab.address }].into()
            }
            None => locate(server.wanted(), self.nameserver, clock::seed()).unwrap_or_else(|error| {
                unanswered = matches!(error, LocateError::Unanswered(..));
                let error = error.to_string();
                lock(&self.looked_up).note(server, Some(&error));
                say(format!("{error}: calls to {server} fail until it is known"));
                Located { ttl: Some(Duration::ZERO), ..Located::default() }
            }),
        };
        let dialer = Dialer::new(server, &located.hops, lab_running.map(|lab| lab.ca.as_str()));
        let dialer = dialer.map_err(|error| StageError::Tls { server: server.to_string(), error })?;
        let number = self.worker.add_server(dialer).ok_or(StageError::Servers)?;
        self.servers.push(Known { server: server.clone(), lab, number, located, unanswered });
        Ok(&self.servers[self.servers.len() - 1])
    }
}

fn lock(looked_up: &Mutex<Renewed>) -> MutexGuard<'_, Renewed> {
    looked_up.lock().unwrap_or_else(PoisonError::into_inner)
}
