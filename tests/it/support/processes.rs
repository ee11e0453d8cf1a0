//! The processes of a storm's sessions: real rows, real heartbeats, and a planned fate for each.

// As in storm.rs.
#![allow(dead_code)]

use interview_runtime::domain::outbox_record::Record;
use interview_runtime::domain::phase::{EndReason, Phase};
use interview_runtime::ids::{SessionId, TenantId};
use interview_runtime::integrations::store::{Store, StoreError};
use interview_runtime::ports::Sessions;
use interview_sandbox::SESSION_APP;
use interview_sandbox::fly::model::MachineState;
use interview_sandbox::fly::{Fly, Machine};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

const HEARTBEAT: Duration = Duration::from_secs(1);

/// What may become of a session's process, in shares of a hundred.
const FATES: &[(u32, Fate)] = &[
    (60, Fate::Ends),
    (12, Fate::MachineLost),
    (8, Fate::HostLost),
    (6, Fate::CutOff),
    (6, Fate::Hangs),
    (6, Fate::Killed),
    (2, Fate::StaysOn),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ends,
    MachineLost,
    /// Its host is gone, the process with it.
    HostLost,
    /// Its host is cut off from Fly; the process goes on to the end.
    CutOff,
    /// Nothing is heard of it, the machine runs.
    Hangs,
    /// The kernel kills it; its machine starts it again.
    Killed,
    /// Until it is asked to end, or for ever.
    StaysOn,
}

impl Fate {
    fn of(session: SessionId, machine: &Machine, seed: u64) -> (Self, fastrand::Rng) {
        let (high, low) = session.0.as_u64_pair();
        let tries = u64::from(machine.status().restarts) + machine.name.len() as u64;
        let mut rng = fastrand::Rng::with_seed(seed ^ high.rotate_left(17) ^ low ^ (tries << 40));
        let mut roll = rng.u32(..100);
        for (share, fate) in FATES {
            if roll < *share {
                return (*fate, rng);
            }
            roll -= share;
        }
        (Self::Ends, rng)
    }
}

/// The processes of all sessions.
pub struct Processes {
    pub store: Store,
    pub fly: Fly,
    pub seed: u64,
    pub stop: AtomicBool,
    pub counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Processes {
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().expect("not poisoned").entry(what).or_default() += 1;
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub async fn run(self: Arc<Self>) {
        let mut known: HashSet<u32> = HashSet::new();
        while !self.stopped() {
            for machine in self.fly.machines(SESSION_APP) {
                let status = machine.status();
                if status.state == MachineState::Started
                    && let Some(pid) = status.pid
                    && known.insert(pid)
                {
                    let processes = self.clone();
                    tokio::spawn(async move { processes.live(machine, pid).await });
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether the process still runs and may go on.
    fn lives(&self, machine: &Machine, pid: u32) -> bool {
        !self.stopped() && machine.status().pid == Some(pid)
    }

    async fn live(&self, machine: Arc<Machine>, pid: u32) {
        let env = machine.status().config.env;
        let (session, tenant): (SessionId, TenantId) =
            (env["SESSION_ID"].parse().expect("a UUID"), env["TENANT_ID"].parse().expect("a UUID"));
        // As the real one: until the database has it or the machine is gone.
        let (rows, claimed) = loop {
            match self.store.claim(tenant, session).await {
                Ok(taken) => break taken,
                Err(_) if !self.lives(&machine, pid) => return,
                Err(_) => tokio::time::sleep(HEARTBEAT).await,
            }
        };
        if claimed.phase.is_terminal() {
            self.fly.finish(&machine.id);
            return;
        }
        self.count("process started");
        let (fate, mut rng) = Fate::of(session, &machine, self.seed);
        let at = OffsetDateTime::now_utc;
        let mut beats = if fate == Fate::StaysOn { u32::MAX } else { rng.u32(1..4) };
        let joined = [Phase::Ready, Phase::Live].map(|phase| Record::Phase { phase, end: None, at: at().into() });
        let _ = rows.append(&joined).await;
        let mut end = EndReason::InterviewerEnded;
        while beats > 0 && self.lives(&machine, pid) {
            tokio::time::sleep(HEARTBEAT.mul_f64(0.8 + rng.f64() * 0.2)).await;
            beats -= 1;
            match rows.heartbeat().await {
                Ok(pulse) => {
                    if let Some(reason) = pulse.end_requested {
                        (end, beats) = (reason, 0);
                    }
                }
                // Somebody else has the session: it ends without another word.
                Err(StoreError::Fenced { .. }) => {
                    self.count("process fenced off");
                    self.fly.finish(&machine.id);
                    return;
                }
                Err(_) => {}
            }
        }
        if !self.lives(&machine, pid) {
            return;
        }
        match fate {
            Fate::MachineLost => {
                self.count("machine lost");
                self.fly.lose(&machine.id);
                return;
            }
            Fate::HostLost => {
                self.count("host lost");
                self.fly.lose_host(&machine.id);
                return;
            }
            Fate::Hangs => {
                self.count("process hung");
                let late = Instant::now() + Duration::from_secs(20);
                while self.lives(&machine, pid) && Instant::now() < late {
                    tokio::time::sleep(HEARTBEAT).await;
                }
                // What it had begun to write arrives long after its machine was taken away.
                tokio::time::sleep(Duration::from_secs(3)).await;
                if let Err(StoreError::Fenced { .. }) = rows.append(&[Record::Greeted]).await {
                    self.count("late write fenced off");
                }
                return;
            }
            Fate::Killed => {
                self.count("process killed");
                let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
                return;
            }
            Fate::CutOff => {
                self.count("host cut off");
                self.fly.lose_host(&machine.id);
            }
            Fate::Ends | Fate::StaysOn => {}
        }
        let over = [Record::Connected(false), Record::Phase { phase: Phase::Completed, end: Some(end), at: at().into() }];
        for _ in 0..5 {
            match rows.append(&over).await {
                Ok(()) => {
                    self.count("session ended by its process");
                    break;
                }
                Err(StoreError::Fenced { .. }) => break,
                Err(_) => tokio::time::sleep(HEARTBEAT).await,
            }
        }
        self.fly.finish(&machine.id);
    }
}
