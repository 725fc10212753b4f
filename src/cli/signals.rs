//! Signals that commands obey.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use super::exit;

/// Interruption by SIGINT or SIGTERM.
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(super) fn watch() -> anyhow::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // A second signal ends the process at once, for those who cannot wait for the BYEs.
            signal_hook::flag::register_conditional_shutdown(signal, exit::INTERRUPTED.into(), Arc::clone(&flag))
                .context("cannot watch for signals")?;
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot watch for signals")?;
        }
        Ok(Self(flag))
    }

    pub(super) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits a while. Whether it came.
    pub(super) fn waited(&self, time: Duration) -> bool {
        if !self.came() {
            std::thread::sleep(time);
        }
        self.came()
    }
}

/// SIGHUP: files are to be read again.
pub(super) struct HangUp(Arc<AtomicBool>);

impl HangUp {
    pub(super) fn watch() -> anyhow::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&flag))
            .context("cannot watch for signals")?;
        Ok(Self(flag))
    }

    /// Whether it came since this was asked last.
    pub(super) fn came(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
