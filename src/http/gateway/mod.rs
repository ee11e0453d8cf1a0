//! What the tenant's gateway serves: the HTTP API, the route to a session's WebSocket, the web app.

mod audit;
mod candidate_import;
mod candidates;
mod checks;
mod competencies;
mod conduct;
mod directory;
mod edit;
mod events;
mod hooks;
mod invite_link;
mod invites;
mod lists;
mod plans;
mod positions;
mod reads;
mod routing;
mod sessions;
mod settings;
mod setup;
mod static_files;
mod takes;
mod tickets;
mod transcript_text;
mod view;
pub mod websocket_proxy;

use self::checks::Checks;
use self::websocket_proxy::WebSocketProxy;
use crate::config::Config;
use crate::domain::plan::Plan;
use crate::error::ErrorCode;
use crate::http::auth::{Authority, Person};
use crate::http::headers::with_security_headers;
use crate::http::health;
use crate::http::limits::{Address, GatewayLimits};
use crate::http::problem::{ApiError, RequestId, with_request_id};
use crate::ids::{SessionId, TenantId};
use crate::integrations::api_video::ApiVideoClient;
use crate::integrations::store::gateway::{GatewayStore, SessionRow};
use crate::reconcilers::machines::Machines;
use crate::reconcilers::standby::Standby;
use crate::signature::SigningKeys;
use crate::telemetry::request_span;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, patch, post, put};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::{Notify, watch};
use tracing::{Instrument, Span};

const MAX_BODY_BYTES: usize = 64 * 1024;

#[derive(Clone)]
pub struct AppState {
    pub config: Arc<Config>,
    pub store: GatewayStore,
    pub machines: Machines,
    pub standby: Standby,
    pub api_video: ApiVideoClient,
    pub authority: Authority,
    pub websocket_proxy: WebSocketProxy,
    /// A session's machine believes what these signed.
    pub signing: SigningKeys,
    /// Told to the reconciler of the recordings.
    recording_news: Arc<Notify>,
    /// Told to the reconciler of the mails.
    mail_queued: Arc<Notify>,
    pub limits: GatewayLimits,
    /// What keeps a processor busy is done here.
    checks: Checks,
    /// True once the process is told to stop: streams end.
    stopping: watch::Receiver<bool>,
}

impl AppState {
    #[expect(clippy::too_many_arguments, reason = "wiring, called once")]
    pub fn new(
        config: Arc<Config>,
        store: GatewayStore,
        machines: Machines,
        standby: Standby,
        api_video: ApiVideoClient,
        authority: Authority,
        websocket_proxy: WebSocketProxy,
        signing: SigningKeys,
        recording_news: Arc<Notify>,
        mail_queued: Arc<Notify>,
    ) -> Self {
        let limits = GatewayLimits::new(&config.limits);
        let checks = Checks::new(limits.refused().clone());
        // Streams of events and carried WebSockets end at the same word.
        let stopping = websocket_proxy.stopping();
        Self {
            config,
            store,
            machines,
            standby,
            api_video,
            authority,
            websocket_proxy,
            signing,
            recording_news,
            mail_queued,
            limits,
            checks,
            stopping,
        }
    }

    /// The session as this person sees it; 404 for everyone else's.
    async fn visible(&self, person: &Person, id: SessionId) -> Result<SessionRow, ApiError> {
        self.store.session(&person.scope(), id).await?.ok_or_else(ApiError::session_not_found)
    }
}

impl FromRef<AppState> for GatewayLimits {
    fn from_ref(state: &AppState) -> Self {
        state.limits.clone()
    }
}

impl FromRef<AppState> for Authority {
    fn from_ref(state: &AppState) -> Self {
        state.authority.clone()
    }
}

/// Everything the gateway answers.
pub fn router(state: AppState, ready: Arc<AtomicBool>) -> Router {
    let (config, limits) = (state.config.clone(), state.limits.clone());
    let web_dir = state.config.http.web_dir();
    let router = Router::new()
        .merge(api(state.config.tenant.id))
        .with_state(state)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    let router = static_files::serve(router, web_dir.as_deref());
    // Fly's own look at our health is nobody's request.
    let router = router
        .layer(middleware::from_fn_with_state(limits, bounded_by_address))
        .layer(middleware::from_fn(with_request_id))
        .merge(health::router(ready));
    with_security_headers(router, &config, &static_files::content_policy(&config))
}

fn api(tenant: TenantId) -> Router<AppState> {
    let traced = |name, route| traced(tenant, name, route);
    let api = Router::new()
        .route("/config", traced("http.config", get(directory::config)))
        .route("/me", traced("http.me", get(directory::me)))
        .merge(kept_by_recruiters(tenant))
        .route("/sessions", traced("http.create_session", post(sessions::create)))
        .route("/sessions", traced("http.list_sessions", get(sessions::list)))
        .route("/sessions/{id}", traced("http.read_session", get(sessions::read)))
        .route("/sessions/{id}/ticket", traced("http.issue_ticket", post(tickets::issue)))
        .route("/sessions/{id}/preview", traced("http.preview_session", get(tickets::preview)))
        .route("/sessions/{id}/extend", traced("http.extend_invitation", post(sessions::extend)))
        .route("/sessions/{id}/end", traced("http.end_session", post(sessions::end)))
        .route("/sessions/{id}/transcript", traced("http.read_transcript", get(reads::transcript)))
        .route("/sessions/{id}/conduct", traced("http.read_conduct", get(conduct::read)))
        .route("/sessions/{id}/summary", traced("http.read_summary", get(reads::summary)))
        .route("/sessions/{id}/recording", traced("http.read_recording", get(reads::recording)))
        .route("/sessions/{id}/events", traced("http.watch_session", get(events::watch)))
        .route("/positions/{id}/plan", traced("http.set_position_plan", put(plans::set_of_position)))
        .merge(plan_routes(tenant))
        .merge(invite_routes(tenant))
        .route("/", any(unknown_route))
        .route("/{*rest}", any(unknown_route));
    Router::new()
        .nest("/api", api)
        .route("/hooks/api-video", traced("http.api_video_hook", post(hooks::api_video)))
        .route("/ws/{session_id}", traced("http.route_websocket", get(routing::by_path)))
        // The seed's form: the session is in the host name.
        .route("/ws", traced("http.route_websocket", get(routing::by_host)))
}

/// A plan is longer than other bodies.
fn plan_routes(tenant: TenantId) -> Router<AppState> {
    let traced = |name, route| traced(tenant, name, route);
    Router::new()
        .route("/plans", traced("http.list_plans", get(plans::list)))
        .route("/plans", traced("http.create_plan", post(plans::create)))
        .route("/plans/lint", traced("http.lint_plan", post(plans::lint_document)))
        .route("/plans/{id}", traced("http.read_plan", get(plans::read)))
        .route("/plans/{id}/draft", traced("http.change_plan", put(plans::replace_draft)))
        .route("/plans/{id}/lint", traced("http.lint_plan", post(plans::lint_draft)))
        .route("/plans/{id}/rehearse", traced("http.rehearse_plan", post(plans::rehearse_draft)))
        .route("/plans/{id}/publish", traced("http.publish_plan", post(plans::publish)))
        .route("/plans/{id}/archive", traced("http.archive_plan", post(plans::archive)))
        .route("/plans/{id}/restore", traced("http.restore_plan", post(plans::restore)))
        .route("/plans/{id}/versions", traced("http.list_plan_versions", get(plans::versions)))
        .route("/plans/{id}/versions/{number}", traced("http.read_plan_version", get(plans::version)))
        .route("/plans/{id}/diff", traced("http.compare_plan_versions", get(plans::compare)))
        .layer(DefaultBodyLimit::max(Plan::MAX_BYTES))
}

fn invite_routes(tenant: TenantId) -> Router<AppState> {
    let traced = |name, route| traced(tenant, name, route);
    let many = post(invites::create_many).layer(DefaultBodyLimit::max(invites::MAX_BULK_BYTES));
    Router::new()
        .route("/invites", traced("http.create_invite", post(invites::create)))
        .route("/invites", traced("http.list_invites", get(invites::list)))
        .route("/invites/bulk", traced("http.create_invites", many))
        .route("/invites/{id}", traced("http.read_invite", get(invites::read)))
        .route("/invites/{id}/link", traced("http.copy_invite_link", post(invites::link)))
        .route("/invites/{id}/resend", traced("http.resend_invite", post(invites::resend)))
        .route("/invites/{id}/extend", traced("http.extend_invite", post(invites::extend)))
        .route("/invites/{id}/revoke", traced("http.revoke_invite", post(invites::revoke)))
        .route("/invites/{id}/reopen", traced("http.reopen_invite", post(invites::reopen)))
        // For whoever has a link. All of them POST: what only follows links spends nothing.
        .route("/invite/open", traced("http.open_invite", post(invite_link::open)))
        .route("/invite/start", traced("http.start_invite", post(invite_link::start)))
        .route("/invite/renew", traced("http.renew_invite_token", post(invite_link::renew)))
}

/// Candidates, positions and the library of competencies, and who changed what of them.
fn kept_by_recruiters(tenant: TenantId) -> Router<AppState> {
    let traced = |name, route| traced(tenant, name, route);
    let import = post(candidate_import::import).layer(DefaultBodyLimit::max(candidate_import::MAX_BYTES));
    Router::new()
        .route("/audit", traced("http.read_audit", get(audit::list)))
        .route("/candidates", traced("http.list_candidates", get(candidates::list)))
        .route("/candidates", traced("http.create_candidate", post(candidates::create)))
        .route("/candidates/import", traced("http.import_candidates", import))
        .route("/candidates/{id}", traced("http.read_candidate", get(candidates::read)))
        .route("/candidates/{id}", traced("http.update_candidate", patch(candidates::update)))
        .route("/candidates/{id}/archive", traced("http.archive_candidate", post(candidates::archive)))
        .route("/candidates/{id}/restore", traced("http.restore_candidate", post(candidates::restore)))
        .route("/candidates/{id}/merge", traced("http.merge_candidates", post(candidates::merge)))
        .route("/positions", traced("http.list_positions", get(positions::list)))
        .route("/positions", traced("http.create_position", post(positions::create)))
        .route("/positions/{id}", traced("http.read_position", get(positions::read)))
        .route("/positions/{id}", traced("http.update_position", patch(positions::update)))
        .route("/positions/{id}/duplicate", traced("http.duplicate_position", post(positions::duplicate)))
        .route("/positions/{id}/archive", traced("http.archive_position", post(positions::archive)))
        .route("/positions/{id}/restore", traced("http.restore_position", post(positions::restore)))
        .route("/competencies", traced("http.list_competencies", get(competencies::list)))
        .route("/competencies", traced("http.create_competency", post(competencies::create)))
        .route("/competencies/{id}", traced("http.read_competency", get(competencies::read)))
        .route("/competencies/{id}", traced("http.update_competency", patch(competencies::update)))
        .route("/competencies/{id}/archive", traced("http.archive_competency", post(competencies::archive)))
        .route("/competencies/{id}/restore", traced("http.restore_competency", post(competencies::restore)))
}

fn traced(tenant: TenantId, name: &'static str, route: MethodRouter<AppState>) -> MethodRouter<AppState> {
    route.route_layer(middleware::from_fn_with_state(Traced { name, tenant }, in_span))
}

async fn bounded_by_address(State(limits): State<GatewayLimits>, request: Request, next: Next) -> Response {
    match limits.request_of_address(Address::asking(request.extensions())) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn unknown_route() -> ApiError {
    ApiError::not_found(ErrorCode::RouteNotFound, "there is nothing at this address")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::RequestInvalid, "this address does not take that method")
}

#[derive(Clone, Copy)]
struct Traced {
    name: &'static str,
    tenant: TenantId,
}

/// One span for a request; its failure is logged here and nowhere else.
async fn in_span(State(Traced { name, tenant }): State<Traced>, request: Request, next: Next) -> Response {
    let span = request_span(name, request.headers(), tenant);
    let request_id = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.0.clone());
    async move {
        let response = next.run(request).await;
        let span = Span::current();
        span.record("http.response.status_code", response.status().as_u16());
        if let Some(error) = response.extensions().get::<ApiError>() {
            span.record("error.type", error.code().as_str());
            error.log(&request_id);
        }
        response
    }
    .instrument(span)
    .await
}

/// Name the session on the request's span. An id that is none is one nobody has.
fn session_id(text: &str) -> Result<SessionId, ApiError> {
    let id: SessionId = text.parse().map_err(|_| ApiError::session_not_found())?;
    Span::current().record("session.id", tracing::field::display(id));
    Ok(id)
}
