//! The lab on a thread of its own, in this process.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::application::Served;
use super::host::{self, StartError, Stop};
use super::preflight;
use crossbeam_channel::Sender;

use crate::media::clock::NtpClock;
use crate::net::clock;
use crate::net::tls::{SelfSigned, dtls_identity};
use crate::pbx::{Config, Pbx};
use crate::reactor::{Reactor, Security};
use crate::scenario::lab::LabPlan;
use crate::scenario::plan::Policy;
use crate::sip::endpoint;
use crate::station::Dismissed;
use crate::units::Redacted;

/// A running lab.
pub struct Lab {
    /// Where it listens: UDP, TCP, TLS and WebSocket.
    pub address: SocketAddr,
    /// The CA of its certificate, PEM.
    pub ca: String,
    /// Where the application beside it listens, where it has one: HTTP.
    pub application: Option<SocketAddr>,
    _served: Option<Served>,
    changes: Sender<LabPlan>,
    stop: Stop,
    thread: JoinHandle<()>,
    last: Arc<Mutex<host::Beat>>,
}

impl Lab {
    /// Starts a lab that listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(plan: LabPlan, address: SocketAddr) -> Result<Self, StartError> {
        preflight::raise_descriptors();
        let signed = SelfSigned::new(&plan.domain, address.ip()).map_err(StartError::Tls)?;
        let (ca, security) = (signed.ca, Security { acceptor: Some(signed.acceptor), servers: Vec::new() });
        let served = plan.application.map(|application| Served::start(&plan, application)).transpose()?;
        let now = clock::now();
        let since_epoch = clock::timestamp().as_duration().try_into().unwrap_or_default();
        let spoken = plan.srtp.as_ref().is_none_or(|srtp| srtp.policy != Policy::Off);
        let identity = if spoken { Some(dtls_identity().map_err(StartError::Tls)?) } else { None };
        let ntp = NtpClock::from_unix(now, since_epoch);
        let config = Config { plan, clock: ntp, secret: Redacted(clock::secret()), identity };
        let agent = concat!("ringfleet-lab/", env!("CARGO_PKG_VERSION")).to_owned();
        let endpoint = endpoint::Config { agent, ..endpoint::Config::default() };
        let pbx = Pbx::new(config, endpoint, clock::seed(), now);
        let mut reactor = Reactor::new(pbx, security).map_err(StartError::Worker)?;
        let listening = reactor.listen(address).map_err(|source| StartError::Listen { address, source })?;
        let stop = Stop::of(&reactor)?;
        let last = Arc::new(Mutex::new(host::Beat::default()));
        let (asked, told) = (stop.clone(), Arc::clone(&last));
        let (changes, changed) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new().name("lab".into()).spawn(move || {
            let note = |_: &Pbx, beat: host::Beat| {
                if let Ok(mut last) = told.lock() {
                    *last = beat;
                }
            };
            let tend = |reactor: &mut Reactor<Pbx>| {
                for plan in changed.try_iter() {
                    let now = reactor.now();
                    reactor.station.change(now, plan);
                }
            };
            if let Err(error) = host::run(&mut reactor, &mut (), &asked, tend, |(), ()| {}, note) {
                tracing::error!(%error, "the lab has ended");
            }
        });
        Ok(Self {
            address: listening,
            ca,
            application: served.as_ref().map(|served| served.address),
            _served: served,
            changes,
            stop,
            thread: thread.map_err(StartError::Worker)?,
            last,
        })
    }

    /// Makes it another one as far as that goes while it runs ([`Pbx::change`]).
    pub fn change(&self, plan: LabPlan) {
        // A lab that has ended is none.
        let _ = self.changes.send(plan);
        self.stop.wake();
    }

    /// CPU time of the lab so far: it is not the generator's.
    pub fn cpu(&self) -> Duration {
        self.last.lock().map(|last| last.cpu).unwrap_or_default()
    }

    /// Ends every call and the lab. Connections that it had to close in its time.
    pub fn stop(self) -> Dismissed {
        self.stop.ask();
        let _ = self.thread.join();
        self.last.lock().map(|last| last.health.dismissed).unwrap_or_default()
    }

    /// Waits for the lab's end.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}
