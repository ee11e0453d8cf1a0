//! The two listeners: the internal one for servers, the front for browsers.

use axum::Router;

use crate::api_video::{self, ApiVideo};
use crate::control::{self, Control};
use crate::cors::open_to_browsers;
use crate::faults::Faults;
use crate::fly;
use crate::ledger::{Ledger, Recorder};
use crate::openai;
use crate::otlp;
use crate::supabase::{self, Supabase};

fn recorder(control: &Control, vendor: &'static str, route: fn(&http::Method, &str) -> &'static str) -> Recorder {
    let (ledger, faults): (Ledger, Faults) = (control.ledger.clone(), control.faults.clone());
    Recorder { ledger, faults, vendor, route }
}

/// GoTrue where Supabase has it, so the ledger shows Supabase's own paths.
fn supabase(control: &Control, project: &Supabase) -> Router {
    let auth = Router::new().nest("/auth/v1", project.router());
    open_to_browsers(recorder(control, supabase::VENDOR, supabase::route_name).wrap(auth))
}

fn browser_uploads(control: &Control, api: &ApiVideo) -> Router {
    open_to_browsers(recorder(control, api_video::VENDOR, api_video::route_name).wrap(api.browser_router()))
}

/// What servers call.
pub(crate) fn internal(control: &Control) -> Router {
    let machines = Router::new().nest("/v1", control.fly.router());
    let api = recorder(control, api_video::VENDOR, api_video::route_name).wrap(control.api_video.router());
    Router::new()
        // It records and lets faults strike by itself.
        .nest("/openai", openai::router(control.openai.clone()))
        .nest("/supabase", supabase(control, &control.supabase))
        .nest("/api-video", open_to_browsers(api))
        .nest("/fly", recorder(control, fly::VENDOR, fly::route_name).wrap(machines))
        .nest("/private", control.fly.private_router(control.faults.clone()))
        .nest("/otlp", otlp::router(control.traces.clone()))
        .nest("/sandbox", control::router(control.clone()))
}

/// What browsers call; everything that is not the sandbox's own goes to a machine.
pub(crate) fn front(control: &Control) -> Router {
    Router::new()
        .nest("/sandbox/supabase", supabase(control, &control.supabase))
        .nest("/sandbox/api-video", browser_uploads(control, &control.api_video))
        .nest("/sandbox", control::router(control.clone()))
        .fallback_service(control.door.router())
}
