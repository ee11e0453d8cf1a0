//! Many interviews' trees in one process, for measuring; and the SDP hop beside a bare forwarder.
//!
//! `scripts/bench` runs it: it prints one line when it is ready, measures the hop, then serves
//! `ws://…/s/{i}/ws` with ticket `bench-{i}` until its input ends.

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::{SinkExt, StreamExt};
use interview_runtime::actors::journal::Journal;
use interview_runtime::actors::session::{Session, SessionArgs};
use interview_runtime::config::{Config, Role};
use interview_runtime::domain::outbox::Limits;
use interview_runtime::domain::transcript::Transcript;
use interview_runtime::http::limits::SessionLimits;
use interview_runtime::http::session::{SessionHttp, router};
use interview_runtime::ids::SessionId;
use interview_runtime::integrations::clients::{Integrations, store};
use interview_runtime::ports::Sessions;
use interview_runtime::telemetry::Trace;
use interview_sandbox::postgres::{ClusterOptions, PrivateCluster};
use ractor::Actor;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

const TENANT: &str = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001";
const OFFER: &str =
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";
const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    // One thread, as a session process has.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let sessions: usize = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1);
    let data = tempfile::tempdir()?;
    let cluster = PrivateCluster::start(ClusterOptions::new(data.path().join("pg"))).await?;
    let admin_url = cluster.create_database("interview").await?;
    interview_runtime::integrations::store::migrate(&admin_url.clone().into()).await?;
    cluster.set_login("interview_runtime", "bench").await?;
    cluster.run_sql("interview", include_str!("../config/sandbox_seed.sql")).await?;
    // The table of the floor that the figures are held against.
    cluster
        .run_sql("interview", "create table public.transcript_entries (session_id uuid, seq int, speaker text, text text, spoken_at timestamptz, primary key (session_id, seq))")
        .await?;
    let admin = PgPool::connect(&admin_url).await?;
    let vendor = serve(
        Router::new().route("/v1/realtime/calls", post(answer)).route("/v1/realtime/calls/{id}/hangup", post(|| async { "" })),
    )
    .await?;
    let config = Arc::new(config(&cluster.url_for("interview_runtime", "bench", "interview"), &vendor)?);
    let store = store(&config)?;
    let integrations = Arc::new(Integrations::new(&config)?);

    let mut all = Router::new();
    let mut kept = Vec::new();
    for index in 0..sessions {
        let session = new_session(&admin, index).await?;
        let (rows, claimed) = store.claim(config.tenant.id, session).await?;
        let trace = Trace::join(None, session, config.tenant.id);
        let limits = Limits { records: config.outbox.max_records, bytes: config.outbox.max_bytes };
        let journal = Journal::new(Transcript::restore(vec![]), 0, limits, 0);
        let (ended, end) = oneshot::channel();
        let args = SessionArgs {
            session,
            claimed: Arc::new(claimed),
            journal: journal.clone(),
            store: rows.clone(),
            integrations: integrations.clone(),
            config: config.clone(),
            trace: trace.clone(),
            ended,
        };
        let (root, _) = Actor::spawn(None, Session, args).await?;
        let (announce, root) = watch::channel(root);
        kept.push((announce, end));
        let http = SessionHttp {
            limits: SessionLimits::new(&config.limits),
            config: config.clone(),
            session_id: session,
            store: rows,
            journal,
            root,
            trace,
            ready: Arc::new(AtomicBool::new(true)),
        };
        all = all.nest(&format!("/s/{index}"), router(http));
    }
    let address = serve(all).await?;
    let direct = hop_direct(&forwarder(&vendor).await?).await?;
    let ours = hop_through_session(&address).await?;
    let (direct, ours) = (median(direct), median(ours));
    let hop = json!({"bare_forwarder_us": direct.as_micros() as u64, "session_us": ours.as_micros() as u64, "rounds": ROUNDS});
    println!("{}", json!({"address": address, "pid": std::process::id(), "database_url": admin_url, "sdp_hop_median": hop}));
    // Until whoever started us closes our standard input.
    let _ = tokio::task::spawn_blocking(|| std::io::Read::read(&mut std::io::stdin(), &mut [0])).await;
    drop(kept);
    admin.close().await;
    store.close().await;
    cluster.stop().await;
    Ok(())
}

fn config(database: &str, vendor: &str) -> Result<Config, Box<dyn Error>> {
    let keys: HashMap<String, String> = [
        ("INTERVIEW__TENANT__ID", TENANT),
        ("INTERVIEW__DATABASE__URL", database),
        ("INTERVIEW__DATABASE__MAX_CONNECTIONS", "10"),
        ("INTERVIEW__ROUTING__PUBLIC_KEYS", "bfWojW5xEbNs-y_p87TTGTPhoc32MmgCwbFKv2mpwas"),
        ("INTERVIEW__OPENAI__BASE_URL", &format!("http://{vendor}/v1")),
        ("INTERVIEW__OPENAI__API_KEY", "sk-bench"),
        ("INTERVIEW__API_VIDEO__API_KEY", "bench"),
        ("INTERVIEW__SOCKET__FRAMES_PER_S", "1000000"),
        ("INTERVIEW__SOCKET__FRAMES_BURST", "1000000"),
        ("INTERVIEW__LIMITS__SHOWN_TICKETS_BURST", "1000000"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    Ok(Config::load(None, Role::Session, Some(keys))?)
}

async fn new_session(admin: &PgPool, index: usize) -> Result<SessionId, sqlx::Error> {
    let id = Uuid::new_v4();
    sqlx::query(
        "insert into app.sessions (tenant_id, id, candidate_id, position_id, deadline_at) values ($1::uuid, $2, 'ca000000-0000-4000-8000-000000000011', 'b0000000-0000-4000-8000-000000000001', now() + interval '2 hours')",
    )
    .bind(TENANT)
    .bind(id)
    .execute(admin)
    .await?;
    for ticket in [format!("bench-{index}"), format!("bench-hop-{index}")] {
        sqlx::query("insert into app.websocket_tickets (tenant_id, token_sha256, session_id, user_id, origin, expires_at) values ($1::uuid, $2, $3, $3, '', now() + interval '1 hour')")
            .bind(TENANT)
            .bind(digest(&SHA256, ticket.as_bytes()).as_ref())
            .bind(id)
            .execute(admin)
            .await?;
    }
    Ok(SessionId(id))
}

async fn serve(router: Router) -> Result<String, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move { axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), router).await });
    Ok(address)
}

/// The provider at its fastest: it answers at once.
async fn answer() -> (StatusCode, [(header::HeaderName, String); 1], &'static str) {
    (StatusCode::CREATED, [(header::LOCATION, format!("/v1/realtime/calls/rtc_{}", Uuid::new_v4().simple()))], OFFER)
}

/// What one would write without any of this.
async fn forwarder(vendor: &str) -> Result<String, std::io::Error> {
    async fn forward(
        State((client, url)): State<(reqwest::Client, String)>,
        Json(offer): Json<Value>,
    ) -> Result<String, StatusCode> {
        let sdp = offer["sdp"].as_str().unwrap_or_default().to_owned();
        let part =
            |text: String, mime: &str| reqwest::multipart::Part::text(text).mime_str(mime).map_err(|_| StatusCode::BAD_REQUEST);
        let form = reqwest::multipart::Form::new()
            .part("sdp", part(sdp, "application/sdp")?)
            .part("session", part("{\"type\":\"realtime\"}".into(), "application/json")?);
        let sent = client.post(url).bearer_auth("sk-bench").multipart(form).send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        sent.text().await.map_err(|_| StatusCode::BAD_GATEWAY)
    }
    let state = (reqwest::Client::new(), format!("http://{vendor}/v1/realtime/calls"));
    serve(Router::new().route("/offer", post(forward)).with_state(state)).await
}

async fn hop_direct(address: &str) -> Result<Vec<Duration>, reqwest::Error> {
    let (client, mut took) = (reqwest::Client::new(), Vec::new());
    for _ in 0..ROUNDS {
        let at = Instant::now();
        client
            .post(format!("http://{address}/offer"))
            .json(&json!({"type": "sdp_offer", "sdp": OFFER}))
            .send()
            .await?
            .text()
            .await?;
        took.push(at.elapsed());
    }
    Ok(took)
}

async fn hop_through_session(address: &str) -> Result<Vec<Duration>, Box<dyn Error>> {
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/s/0/ws")).await?;
    let mut took = Vec::new();
    let consent = json!({"type": "consent", "kinds": ["ai_evaluation", "recording"], "policy_version": "2026-11"});
    for message in [json!({"type": "authenticate", "ticket": "bench-hop-0"}), consent] {
        socket.send(Message::text(message.to_string())).await?;
    }
    loop {
        match socket.next().await.ok_or("the socket closed")?? {
            Message::Text(text) if text.contains("consent_recorded") => break,
            _ => {}
        }
    }
    for _ in 0..ROUNDS {
        let at = Instant::now();
        socket.send(Message::text(json!({"type": "sdp_offer", "sdp": OFFER}).to_string())).await?;
        loop {
            match socket.next().await.ok_or("the socket closed")?? {
                Message::Text(text) if text.contains("\"sdp_answer\"") => break,
                Message::Text(text) if text.contains("\"error\"") => return Err(text.to_string().into()),
                _ => {}
            }
        }
        took.push(at.elapsed());
    }
    Ok(took)
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}
