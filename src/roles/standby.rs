//! A session process that does not know its session yet: it waits until the gateway gives it one.
//!
//! Then it becomes the ordinary session process ([`super::session`]), on the same listener. When it starts, it asks whether a
//! session names its machine: after a crash the process goes on with its session, and a process that had a session gets no
//! other one (ADR 0007).

use super::{Exit, LINGER};
use crate::actors::TaskGuard;
use crate::backoff::Backoff;
use crate::config::Config;
use crate::error::ErrorCode;
use crate::error::{Fault, FaultClass, chain};
use crate::http::headers::{NO_PAGE, with_security_headers};
use crate::http::server::{self, Bounds};
use crate::http::standby::{Waiting, router};
use crate::ids::{MachineId, SessionId};
use crate::integrations::clients::store;
use crate::integrations::store::{Named, Store};
use std::net::TcpListener as BoundListener;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

/// Told to stop; it goes on to whoever runs the session.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A session, and the listener its browsers will find it at.
#[derive(Debug)]
pub struct Assigned {
    pub session: SessionId,
    pub listener: BoundListener,
}

/// Wait for a session. An `Err` is how the process ends without one.
pub async fn wait(config: &Config, machine: MachineId, stop: &mut Stop) -> Result<Assigned, Exit> {
    let bound = async { TcpListener::bind(config.http.bind).await?.into_std() };
    let (store, listener) = match (store(config), bound.await) {
        (Ok(store), Ok(listener)) => (store, listener),
        (Err(error), _) => return Err(misconfigured(&error)),
        (_, Err(error)) => return Err(misconfigured(&error)),
    };
    let named = tokio::select! {
        named = whose(&store, config, &machine) => named?,
        () = &mut *stop => return Err(Exit::Done),
    };
    // It waits for hours; a connection to the database is for those that work.
    let _ = tokio::time::timeout(LINGER, store.close()).await;
    match named {
        Named::Session(session) => {
            tracing::info!(session.id = %session, "this machine has its session already");
            Ok(Assigned { session, listener })
        }
        Named::Spent => {
            tracing::info!("this machine had its session");
            Err(Exit::Done)
        }
        Named::Free => serve(config, machine, listener, stop).await,
    }
}

fn misconfigured(error: &dyn std::error::Error) -> Exit {
    tracing::error!(error_code = ErrorCode::ConfigInvalid.as_str(), error = %chain(error), "cannot start");
    Exit::Misconfigured
}

/// The session that names this machine; the database may be away for a while.
async fn whose(store: &Store, config: &Config, machine: &MachineId) -> Result<Named, Exit> {
    let deadline = Instant::now() + config.session.claim_timeout();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match store.named(config.tenant.id, machine).await {
            Ok(named) => return Ok(named),
            Err(error) if error.class() == FaultClass::Transient && Instant::now() < deadline => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "the database is away, waiting for it");
                tokio::time::sleep(backoff.next_delay()).await;
            }
            Err(error) => {
                tracing::error!(error_code = error.code().as_str(), error = %chain(&error), "cannot ask for this machine's session");
                return Err(Exit::Failed);
            }
        }
    }
}

/// Answer until a session is assigned. The session listens on the same socket, so that a
/// connection that comes between the two waits instead of being refused.
async fn serve(config: &Config, machine: MachineId, listener: BoundListener, stop: &mut Stop) -> Result<Assigned, Exit> {
    let (waiting, assigned) = Waiting::new(machine, config.routing.public_keys.clone());
    let ours = match listener.try_clone().and_then(TcpListener::from_std) {
        Ok(ours) => ours,
        Err(error) => {
            tracing::error!(error_code = ErrorCode::HttpServerFailed.as_str(), %error, "the listener failed");
            return Err(Exit::Failed);
        }
    };
    let (closing, mut closed) = watch::channel(false);
    let limits = &config.limits;
    let bounds = Bounds::of(config, limits.session_connections);
    let router = with_security_headers(router(waiting), config, NO_PAGE);
    let mut server = TaskGuard::spawn(server::serve(ours, router, bounds, async move {
        let _ = closed.wait_for(|closed| *closed).await;
    }));
    tracing::info!(address = %config.http.bind, "waiting for a session");
    let session = tokio::select! {
        assigned = assigned => assigned.map_err(|_| Exit::Failed),
        () = server.ended() => Err(Exit::Failed),
        () = tokio::time::sleep(config.standby.max_idle()) => {
            tracing::info!("no session came");
            Err(Exit::Done)
        }
        () = stop => {
            tracing::info!("told to stop, no session came");
            Err(Exit::Done)
        }
    };
    let _ = closing.send(true);
    let _ = tokio::time::timeout(LINGER, server.ended()).await;
    let session = session?;
    tracing::info!(session.id = %session, "a session is assigned");
    Ok(Assigned { session, listener })
}
