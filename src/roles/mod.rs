//! The roles in which the one binary runs: only wiring, in order.

pub mod gateway;
mod gauges;
pub mod session;
pub mod standby;
pub mod watchdog;

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How a process ended, as its exit code says (docs/RUNBOOK.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was to be done is done; Fly destroys the machine.
    Done,
    /// Something outside or inside failed; Fly's restart policy starts us again.
    Failed,
    /// The event loop stood still and the watchdog ended the process; it is started again.
    Stalled,
    /// Told to stop before the end; the interview is not over.
    Interrupted,
    /// The configuration is wrong: starting again will not help.
    Misconfigured,
}

impl Exit {
    /// After sysexits.h: EX_SOFTWARE, EX_OSERR, EX_TEMPFAIL, EX_CONFIG.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 70,
            Self::Stalled => 71,
            Self::Interrupted => 75,
            Self::Misconfigured => 78,
        }
    }
}

/// Resolves when the process is told to stop. Fly sends SIGINT unless told otherwise.
pub async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        // Without handlers the default action ends the process, which is what was asked.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// A little time for answers under way when a listener stops.
pub const LINGER: Duration = Duration::from_millis(500);
