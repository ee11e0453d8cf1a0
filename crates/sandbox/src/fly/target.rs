//! Chooses the machine for a request and connects to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::model::{MachineState, internal_port};
use super::runner::Order;
use super::{Fly, Machine};
use crate::util::now;

/// The stand-in's door plays the part of Fly's TLS port: services are matched by it.
const EXTERNAL_PORT: u16 = 443;
const CONNECT: Duration = Duration::from_secs(2);
/// How long a machine that is booting is tried.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long one is that is not known, or gone: news travels slowly at Fly.
const UNKNOWN_PATIENCE: Duration = Duration::from_millis(1_500);
const RETRY: Duration = Duration::from_millis(100);
/// Nobody listens there: what is left of a machine that the proxy still believes in.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// Where the request goes next.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    pub(super) app: String,
    pub(super) instance: Option<String>,
    pub(super) prefer: Option<String>,
    pub(super) regions: Vec<String>,
    /// Not this machine.
    pub(super) except: Option<String>,
    pub(super) patience: Option<Duration>,
}

/// Fly's names for a target that could not be reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missed {
    Timeout,
    RetriesExhausted,
    NoCandidate,
}

impl Missed {
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Timeout, Self::RetriesExhausted, Self::NoCandidate].into_iter().find(|missed| missed.as_str() == name)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RetriesExhausted => "retries_exhausted",
            Self::NoCandidate => "no_candidate",
        }
    }
}

/// Connects to a machine that fits, waiting a while for one that is starting.
pub(super) async fn reach(fly: &Fly, target: &Target, turn: usize) -> Result<(Arc<Machine>, TcpStream), Missed> {
    let begun = Instant::now();
    let patience = target.patience.unwrap_or(PATIENCE);
    let mut tried = false;
    loop {
        let (candidates, hopeless) = candidates(fly, target, turn);
        for machine in candidates {
            let Some(address) = service_address(&machine, EXTERNAL_PORT) else { continue };
            tried = true;
            let connect = tokio::time::timeout(CONNECT, TcpStream::connect(address));
            if let Ok(Ok(stream)) = connect.await {
                let _ = stream.set_nodelay(true);
                return Ok((machine, stream));
            }
        }
        let patience = if hopeless { patience.min(UNKNOWN_PATIENCE) } else { patience };
        if begun.elapsed() >= patience {
            return Err(match (tried, target.patience) {
                _ if hopeless => Missed::NoCandidate,
                (_, Some(_)) => Missed::Timeout,
                (true, None) => Missed::RetriesExhausted,
                (false, None) => Missed::NoCandidate,
            });
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Machines to try, best first; and whether nothing is going to become one.
fn candidates(fly: &Fly, target: &Target, turn: usize) -> (Vec<Arc<Machine>>, bool) {
    let mut hopeless = true;
    let mut found: Vec<Arc<Machine>> = fly
        .machines(&target.app)
        .into_iter()
        .filter(|machine| {
            let status = machine.status();
            let wanted = target.instance.as_ref().is_none_or(|id| *id == machine.id)
                && target.except.as_ref().is_none_or(|id| *id != machine.id)
                && (target.regions.is_empty()
                    || target.regions.contains(&machine.region)
                    || target.regions.iter().any(|region| region == "any"));
            let named = target.instance.is_some();
            let service =
                status.config.services.iter().find(|service| service.ports.iter().any(|port| port.port == Some(EXTERNAL_PORT)));
            let Some(service) = service.filter(|_| wanted && (named || !status.cordoned)) else {
                return false;
            };
            match status.state {
                // The news of its birth has not come yet.
                _ if is_news(fly, machine.created) => return false,
                MachineState::Started => hopeless = false,
                // Nor that of its end: it is tried in vain.
                MachineState::Destroyed if is_news(fly, status.updated) => hopeless = false,
                MachineState::Created | MachineState::Starting | MachineState::Restarting => {
                    hopeless = false;
                    return false;
                }
                MachineState::Stopped if service.autostart != Some(false) && !status.config.auto_destroy => {
                    hopeless = false;
                    machine.order(Order::Start);
                    return false;
                }
                _ => return false,
            }
            true
        })
        .collect();
    let shift = found.len().max(1);
    found.rotate_left(turn % shift);
    found.sort_by_key(|machine| target.prefer.as_ref() != Some(&machine.id));
    (found, hopeless)
}

fn is_news(fly: &Fly, at: time::OffsetDateTime) -> bool {
    now() - at < fly.options().proxy_lag
}

/// The address of a machine's service behind an external port.
fn service_address(machine: &Machine, external: u16) -> Option<SocketAddr> {
    let status = machine.status();
    if status.state.is_gone() {
        return Some(NOBODY);
    }
    let internal = internal_port(&status.config, external)?;
    let address = status.address?;
    // A fallback address on 127.0.0.1 has its own port; otherwise Fly's rule applies.
    if machine.external.is_some() || address.ip() == std::net::Ipv4Addr::LOCALHOST {
        return Some(address);
    }
    Some((address.ip(), internal).into())
}
