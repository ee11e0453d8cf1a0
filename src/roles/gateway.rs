//! The tenant's gateway, from boot to exit. It holds nothing that must be kept: two of them run side by side, and either may be
//! replaced at any moment.

use super::{Exit, LINGER, gauges, stop_signal};
use crate::actors::TaskGuard;
use crate::config::Config;
use crate::error::ErrorCode;
use crate::error::chain;
use crate::http::auth::Authority;
use crate::http::gateway::websocket_proxy::WebSocketProxy;
use crate::http::gateway::{AppState, router};
use crate::http::linger::Lingering;
use crate::http::server::{self, Bounds};
use crate::integrations::assign::AssignClient;
use crate::integrations::clients::{Integrations, api_video, http_client, mailer, private_network, store};
use crate::integrations::fly::{FlyClient, FlyOptions};
use crate::integrations::store::gateway::GatewayStore;
use crate::integrations::supabase::{JwksOptions, JwksVerifier};
use crate::reconcilers::Reconcilers;
use crate::reconcilers::machines::Machines;
use crate::reconcilers::standby::Standby;
use opentelemetry::metrics::Meter;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use url::Url;

/// Serve until `stop`.
pub async fn run(config: Config, meter: Meter, stop: impl Future<Output = ()> + Send + 'static) -> Exit {
    let config = Arc::new(config);
    let (closing, closed) = watch::channel(false);
    let started = async {
        let (state, reconcilers) = connect(&config, closed.clone())?;
        let listener = TcpListener::bind(config.http.bind).await?;
        Ok::<_, Box<dyn Error + Send + Sync>>((state, reconcilers, listener))
    };
    match started.await {
        Ok((state, reconcilers, listener)) => {
            gauges::observe_carried(&meter, &state.websocket_proxy);
            gauges::observe_refused(&meter, state.limits.refused());
            let reconcilers = TaskGuard::spawn(reconcilers.run(closed));
            serve(&config, state, reconcilers, listener, closing, stop).await
        }
        Err(error) => {
            tracing::error!(error_code = ErrorCode::ConfigInvalid.as_str(), error = %chain(error.as_ref()), "cannot start");
            Exit::Misconfigured
        }
    }
}

/// As [`run`], stopped by SIGTERM and SIGINT.
pub async fn run_until_signal(config: Config, meter: Meter) -> Exit {
    run(config, meter, stop_signal()).await
}

/// The reconcilers alone, without a door: they work beside those of any gateway.
pub fn reconcilers(config: &Arc<Config>) -> Result<Reconcilers, Box<dyn Error + Send + Sync>> {
    let (_, never) = watch::channel(false);
    connect(config, never).map(|(_, reconcilers)| reconcilers)
}

/// The clients of the door. None of them connects before it is needed.
fn connect(
    config: &Arc<Config>,
    stopping: watch::Receiver<bool>,
) -> Result<(AppState, Reconcilers), Box<dyn Error + Send + Sync>> {
    let http = http_client()?;
    let fly = FlyOptions {
        deadline: config.fly.timeout(),
        create_deadline: config.fly.timeout(),
        requests_per_s: config.fly.requests_per_s,
        burst: config.fly.burst,
        ..FlyOptions::new(config.fly.base_url.clone(), config.fly.api_token.clone())
    };
    let keys = JwksOptions::new(config.supabase.issuer.clone(), Url::parse(&config.supabase.jwks_url())?);
    let database = store(config)?;
    let rows = GatewayStore::new(database.clone(), config.tenant.id);
    let verifier = Arc::new(JwksVerifier::new(http.clone(), keys)?);
    let authority = Authority { verifier, tenant: config.tenant.id, store: rows.clone() };
    let fly = FlyClient::new(http.clone(), fly)?;
    let machines = Machines::new(fly.clone(), config.clone())?;
    let signing = config.routing.signing_keys()?;
    let assign = AssignClient::new(http.clone(), signing.clone(), config.standby.assign_timeout());
    let network = private_network(config, http.clone());
    let standby = Standby::new(rows.clone(), fly, network.clone(), assign, config.clone())?;
    let integrations = Arc::new(Integrations::new(config)?);
    let (recording_news, mail_queued) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let reconcilers = Reconcilers::new(
        rows.clone(),
        Arc::new(database),
        machines.clone(),
        standby.clone(),
        integrations,
        config.clone(),
        recording_news.clone(),
        mail_queued.clone(),
        mailer(config)?,
    );
    let websocket_proxy = WebSocketProxy::new(network, config.clone(), stopping);
    let videos = api_video(config, http)?;
    let state = AppState::new(
        config.clone(),
        rows,
        machines,
        standby,
        videos,
        authority,
        websocket_proxy,
        signing,
        recording_news,
        mail_queued,
    );
    Ok((state, reconcilers))
}

async fn serve(
    config: &Config,
    state: AppState,
    mut reconcilers: TaskGuard,
    listener: TcpListener,
    closing: watch::Sender<bool>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Exit {
    let (store, verifier, websocket_proxy) =
        (state.store.clone(), state.authority.verifier.clone(), state.websocket_proxy.clone());
    let ready = Arc::new(AtomicBool::new(true));
    let mut closed = closing.subscribe();
    let limits = &config.limits;
    let bounds = Bounds::of(config, limits.gateway_connections);
    let served = server::serve(Lingering(listener), router(state, ready.clone()), bounds, async move {
        let _ = closed.wait_for(|closed| *closed).await;
    });
    let mut server = tokio::spawn(served);
    // The first person to sign in should not wait for the keys; without them the next one asks again.
    let warm_up = tokio::spawn(async move {
        if let Err(error) = verifier.warm_up().await {
            tracing::warn!(error = %chain(&error), "sign-ins cannot be checked yet");
        }
    });
    tracing::info!(address = %config.http.bind, "gateway ready");
    let exit = tokio::select! {
        () = stop => {
            tracing::info!("told to stop, finishing what is under way");
            ready.store(false, Ordering::Relaxed);
            let _ = closing.send(true);
            // A request may be waiting for a machine; it gets the time it may take, no more.
            let finished = tokio::time::timeout(config.session.shutdown_timeout(), &mut server).await;
            if finished.is_err() {
                tracing::warn!(error_code = ErrorCode::ServiceDraining.as_str(), "requests were still under way");
                server.abort();
            }
            // Those are no requests any more: their browsers are told to come back, to another gateway.
            if tokio::time::timeout(LINGER, websocket_proxy.emptied()).await.is_err() {
                tracing::info!(carried = websocket_proxy.carried(), "carried WebSockets were cut");
            }
            // The same for a reconciler's pass; what it held is free again when its leases end.
            if tokio::time::timeout(LINGER, reconcilers.ended()).await.is_err() {
                tracing::info!("a reconciler's pass was cut");
            }
            Exit::Done
        }
        ended = &mut server => {
            tracing::error!(error_code = ErrorCode::HttpServerFailed.as_str(), ?ended, "the listener failed");
            Exit::Failed
        }
    };
    warm_up.abort();
    drop(reconcilers);
    let _ = tokio::time::timeout(LINGER, store.close()).await;
    exit
}
