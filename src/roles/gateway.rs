//! The tenant's door, from boot to exit. It holds nothing that matters: two of them run side
//! by side, and either may be replaced at any moment.

use super::{Exit, LINGER, stop_signal};
use crate::config::Config;
use crate::error::chain;
use crate::http::auth::Authority;
use crate::http::gateway::{AppState, router};
use crate::integrations::clients::{api_video, http_client, store};
use crate::integrations::fly::{FlyClient, FlyOptions};
use crate::integrations::store::gateway::GatewayStore;
use crate::integrations::supabase::{JwksOptions, JwksVerifier};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

/// Serve until `stop`.
pub async fn run(config: Config, stop: impl Future<Output = ()> + Send + 'static) -> Exit {
    let config = Arc::new(config);
    let (closing, closed) = watch::channel(false);
    let started = async {
        let state = connect(&config, closed.clone())?;
        let listener = TcpListener::bind(config.http.bind).await?;
        Ok::<_, Box<dyn Error + Send + Sync>>((state, listener))
    };
    match started.await {
        Ok((state, listener)) => serve(&config, state, listener, closing, stop).await,
        Err(error) => {
            tracing::error!(error_code = "config_invalid", error = %chain(error.as_ref()), "cannot start");
            Exit::Misconfigured
        }
    }
}

/// As [`run`], stopped by SIGTERM and SIGINT.
pub async fn run_until_signal(config: Config) -> Exit {
    run(config, stop_signal()).await
}

/// The clients of the door. None of them connects before it is needed.
fn connect(config: &Arc<Config>, stopping: watch::Receiver<bool>) -> Result<AppState, Box<dyn Error + Send + Sync>> {
    let http = http_client()?;
    let fly = FlyOptions {
        deadline: config.fly.timeout(),
        create_deadline: config.fly.timeout(),
        ..FlyOptions::new(config.fly.base_url.clone(), config.fly.api_token.clone())
    };
    let keys = JwksOptions::new(config.supabase.issuer.clone(), Url::parse(&config.supabase.jwks_url())?);
    let authority = Authority { verifier: Arc::new(JwksVerifier::new(http.clone(), keys)?), tenant: config.tenant.id };
    Ok(AppState::new(
        config.clone(),
        GatewayStore::new(store(config)?, config.tenant.id),
        FlyClient::new(http.clone(), fly)?,
        api_video(config, http)?,
        authority,
        stopping,
    ))
}

async fn serve(
    config: &Config,
    state: AppState,
    listener: TcpListener,
    closing: watch::Sender<bool>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Exit {
    let (store, verifier) = (state.store.clone(), state.authority.verifier.clone());
    let ready = Arc::new(AtomicBool::new(true));
    let mut closed = closing.subscribe();
    let served = axum::serve(listener, router(state, ready.clone())).with_graceful_shutdown(async move {
        let _ = closed.wait_for(|closed| *closed).await;
    });
    let mut server = tokio::spawn(served.into_future());
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
                tracing::warn!(error_code = "service_draining", "requests were still under way");
                server.abort();
            }
            Exit::Done
        }
        ended = &mut server => {
            tracing::error!(error_code = "http_server_failed", ?ended, "the listener failed");
            Exit::Failed
        }
    };
    warm_up.abort();
    let _ = tokio::time::timeout(LINGER, store.close()).await;
    exit
}
