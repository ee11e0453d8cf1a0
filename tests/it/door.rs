//! The public endpoint: who is admitted, what every answer carries, and what one client can use up (docs/ACCESS.md,
//! docs/LIMITS.md).

use crate::support::browser::Browser;
use crate::support::process::Process;
use crate::support::system::System;
use crate::support::{ORIGIN, World, uuid, wait_for};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use interview_runtime::ids::TicketHash;
use interview_sandbox::{GATEWAY_APP, SESSION_APP};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const DESIGNER: &str = "b0000000-0000-4000-8000-000000000002";
const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
const JONAS: &str = "ca000000-0000-4000-8000-000000000012";
/// Of the documentation's network: nobody of these tests has it.
const STRANGER: &str = "192.0.2.66";
const NEIGHBOUR: &str = "192.0.2.77";

/// The gateway itself, without Fly's proxy: who asks is what we say.
fn gateway(system: &System) -> SocketAddr {
    system.sandbox.fly().machines(GATEWAY_APP)[0].status().address.expect("it listens")
}

fn client() -> Client {
    Client::builder().timeout(Duration::from_secs(40)).build().expect("a client")
}

async fn ask(http: &Client, at: SocketAddr, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = http.request(method, format!("http://{at}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

async fn a_few_at_once<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    stream::iter(all).buffer_unordered(16).collect().await
}

/// The status, when to come again, and the code.
async fn told(answer: Response) -> (u16, Option<u64>, String) {
    let retry = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap_or_default();
    (status, retry, problem["code"].as_str().unwrap_or_default().to_owned())
}

async fn database(system: &System) -> PgPool {
    PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection")
}

async fn count(admin: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(admin).await.expect("a count")
}

fn order(candidate: &str, position: &str) -> Value {
    json!({"candidate_id": candidate, "position_id": position, "settings": {}})
}

async fn invited(system: &System, recruiter: &str, candidate: &str) -> String {
    let (status, made) = system.post(recruiter, "/api/sessions", &order(candidate, ENGINEER)).await;
    assert_eq!(status, 201, "{made}");
    made["session_id"].as_str().expect("an id").to_owned()
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_every_route_and_status_carries_the_security_headers_and_no_error_is_kept() {
    let web = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(web.path().join("assets")).expect("a folder");
    for (name, text) in [("index.html", "<!doctype html>"), ("assets/app.js", "1")] {
        std::fs::write(web.path().join(name), text).expect("a file");
    }
    let system = System::start_changed(&[("LIMITS__TICKETS_BURST", "1")], |options| {
        options.web_dir = Some(web.path().to_owned());
    })
    .await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let session = invited(&system, &recruiter, AMARA).await;
    wait_for("the session's process is ready", || async { system.phase(&recruiter, &session).await == "ready" }).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let (recruiter, amara) = (bearer(&recruiter), bearer(&system.amara().await));
    let (http, door) = (client(), gateway(&system));
    let of = |path: &str| format!("/api/sessions/{session}{path}");
    let unmade = Uuid::new_v4();
    let socket = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let (get, post) = (Method::GET, Method::POST);
    let mut answers = Vec::new();
    let machine = system.sandbox.fly().machines(SESSION_APP)[0].status().address.expect("it listens");
    for path in ["/healthz", "/readyz", "/", "/ws", &format!("/ws/{session}"), &format!("/ws/{unmade}"), "/debug/snapshot"] {
        for method in [get.clone(), post.clone()] {
            answers.push(ask(&http, machine, method, path, &[]).await);
        }
    }
    for token in ["", "Bearer nonsense", &amara, &recruiter] {
        let who: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("authorization", token)] };
        for path in ["/config", "/me", "/positions", "/candidates", "/sessions", "/nope", "", "/sessions?limit=0", "/sessions/x"]
        {
            answers.push(ask(&http, door, get.clone(), &format!("/api{path}"), who).await);
        }
        for path in ["", "/transcript", "/summary", "/recording", "/events", "/nope"] {
            answers.push(ask(&http, door, get.clone(), &of(path), who).await);
            answers.push(ask(&http, door, Method::DELETE, &of(path), who).await);
        }
        for path in ["/ticket", "/ticket", "/end"] {
            answers.push(ask(&http, door, post.clone(), &of(path), who).await);
        }
        answers.push(ask(&http, door, post.clone(), "/api/sessions", who).await);
    }
    for path in
        ["/", "/index.html", "/room/x", "/assets/app.js", "/assets/gone.js", "/healthz", "/readyz", "/ws", "/hooks/api-video"]
    {
        for method in [get.clone(), post.clone(), Method::PUT, Method::OPTIONS, Method::HEAD] {
            answers.push(ask(&http, door, method, path, &[]).await);
        }
    }
    for path in [of("").replace("/api/sessions", "/ws"), format!("/ws/{unmade}"), "/ws/x".to_owned()] {
        answers.push(ask(&http, door, get.clone(), &path, &socket).await);
        answers.push(ask(&http, door, get.clone(), &path, &[]).await);
    }
    let huge = http.post(format!("http://{door}/api/sessions")).header("authorization", &recruiter).json(&"x".repeat(64 * 1024));
    answers.push(huge.send().await.expect("an answer"));
    let (mut statuses, mut kept) = (BTreeSet::new(), 0);
    for answer in &answers {
        let (status, headers, at) = (answer.status().as_u16(), answer.headers(), answer.url().to_string());
        statuses.insert(status);
        let one = |name: &str| {
            let all: Vec<_> = headers.get_all(name).iter().map(|value| value.to_str().expect("text").to_owned()).collect();
            assert_eq!(all.len(), 1, "{name} of {status} at {at}: {all:?}");
            all[0].clone()
        };
        assert_eq!(one("x-content-type-options"), "nosniff");
        assert_eq!(one("referrer-policy"), "same-origin");
        assert_eq!(
            (one("cross-origin-opener-policy"), one("cross-origin-resource-policy")),
            ("same-origin".into(), "same-origin".into())
        );
        assert!(
            one("content-security-policy").contains("frame-ancestors 'none'") && one("permissions-policy").contains("camera")
        );
        assert!(!headers.contains_key("strict-transport-security"), "the sandbox is plain HTTP");
        let caching = one("cache-control");
        let page = !at.contains("/api") && !at.contains("healthz") && (200..400).contains(&status) && caching != "no-store";
        assert!(caching == "no-store" || page, "{caching} of {status} at {at}");
        kept += usize::from(page);
    }
    let seen = [200, 202, 400, 401, 403, 404, 405, 413, 426, 429];
    assert!(seen.iter().all(|status| statuses.contains(status)) && kept > 0, "{statuses:?}, {kept}");
    system.stop().await;
}

/// A-22 (the recording: `takes.rs`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seat_is_the_candidates_recruiters_watch_and_end_and_a_consent_names_who_gave_it() {
    let system = System::start().await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.amara().await);
    let jonas = system.sign_in("jonas@demo.test").await;
    let id = invited(&system, &recruiter, AMARA).await;
    let path = |of: &str| format!("/api/sessions/{id}{of}");
    let (status, problem) = system.post(&recruiter, &path("/ticket"), &json!({})).await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("seat_refused")), "{problem}");
    assert_eq!(system.post(&jonas, &path("/ticket"), &json!({})).await.0, 404, "another candidate does not even see it");

    wait_for("the session's process is ready", || async { system.phase(&recruiter, &id).await == "ready" }).await;
    let info = system.join_info(&amara, &id).await;
    let ticket = info["websocket_ticket"].as_str().expect("a ticket");
    let url = info["websocket_url"].as_str().expect("an address");
    let mut page = Browser::connect_from(url, ticket, &system.sandbox.urls().front).await.expect("the socket opens");
    for _ in 0..5 {
        page.consent().await;
    }
    let admin = database(&system).await;
    let consents: Vec<(String, Uuid, Vec<u8>)> =
        sqlx::query_as("select kind, given_by, ticket_sha256 from app.consents where session_id = $1 order by kind")
            .bind(uuid(&id))
            .fetch_all(&admin)
            .await
            .expect("the consents");
    let user: Uuid = sqlx::query_scalar("select user_id from app.candidates where id = $1")
        .bind(uuid(AMARA))
        .fetch_one(&admin)
        .await
        .expect("the candidate's account");
    let hash = TicketHash::of(ticket);
    let expected = ["ai_evaluation", "recording"].map(|kind| (kind.to_owned(), user, hash.0.to_vec()));
    assert_eq!(consents, expected);
    let issued: i64 = sqlx::query_scalar(
        "select count(*) from app.audit_log where action = 'ticket_issued' and actor = $1 and detail->>'ticket_sha256' = $2",
    )
    .bind(user)
    .bind(hash.to_string())
    .fetch_one(&admin)
    .await
    .expect("a count");
    assert_eq!(issued, 1, "the audit log leads from the consent to the request");

    // Watching is for recruiters, and written down before the first word.
    let http = client();
    let watched = || count(&admin, "select count(*) from app.audit_log where action = 'session_watched'");
    let events = async |token: &str| {
        ask(&http, gateway(&system), Method::GET, &path("/events"), &[("authorization", &format!("Bearer {token}"))]).await
    };
    assert_eq!(events(&amara).await.status(), 403);
    assert_eq!(events(&jonas).await.status(), 404);
    assert_eq!(watched().await, 0);
    assert_eq!(events(&recruiter).await.status(), 200);
    assert_eq!(watched().await, 1);
    assert_eq!(system.post(&recruiter, &path("/end"), &json!({})).await.0, 202);
    page.expect("session_ended").await;
    system.stop().await;
}

/// a candidate has one interview of a position, and a race of requests leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_candidate_takes_one_machine_whatever_is_asked_at_once_and_the_tenant_has_a_bound() {
    let keys = [
        ("LIMITS__CANDIDATE_OPEN_SESSIONS", "1"),
        ("LIMITS__RECRUITER_SESSIONS_PER_DAY", "3"),
        ("LIMITS__TENANT_OPEN_SESSIONS", "3"),
    ];
    let system = System::start_with(&keys).await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.amara().await);
    let admin = database(&system).await;
    let videos = || system.sandbox.api_video().snapshot()["videos"].as_array().map_or(0, Vec::len);
    // She is invited to both, so she may ask with her account.
    for position in [ENGINEER, DESIGNER] {
        sqlx::query(
            "insert into app.invites (tenant_id, id, candidate_id, position_id, opens_at, closes_at, zone, locale, created_by)
             select tenant_id, gen_random_uuid(), $1, $2, now(), now() + interval '1 day', 'UTC', 'en', $1 from app.candidates where id = $1",
        )
        .bind(uuid(AMARA))
        .bind(uuid(position))
        .execute(&admin)
        .await
        .expect("an invite");
    }
    let (hers, his) = (order(AMARA, ENGINEER), order(JONAS, ENGINEER));
    let many = (0..12).map(|_| system.post(&amara, "/api/sessions", &hers));
    let mut answers: Vec<u16> = join_all(many).await.into_iter().map(|(status, _)| status).collect();
    answers.sort_unstable();
    assert_eq!((answers[0], answers.iter().filter(|status| **status == 201).count()), (201, 1), "{answers:?}");
    assert!(answers[1..].iter().all(|status| matches!(status, 409 | 429)), "{answers:?}");
    let (status, problem) = system.post(&amara, "/api/sessions", &order(AMARA, ENGINEER)).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("session_already_open")), "{problem}");
    let (status, problem) = system.post(&amara, "/api/sessions", &order(AMARA, DESIGNER)).await;
    assert_eq!((status, problem["code"].as_str()), (429, Some("session_quota_exhausted")), "{problem}");
    assert_eq!((system.sandbox.fly().machines(SESSION_APP).len(), videos()), (1, 1));

    // The same key, eight times at once: one session, one machine, one video.
    let again = (0..8).map(|_| system.post_with(&recruiter, "/api/sessions", &his, &[("idempotency-key", "k")]));
    let answers = join_all(again).await;
    let ids: BTreeSet<_> = answers.iter().map(|(status, made)| (*status < 300, made["session_id"].to_string())).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    assert_eq!(system.sandbox.fly().machines(SESSION_APP).len(), 2);
    wait_for("the losers' videos are thrown away", || async { videos() == 2 }).await;

    invited(&system, &recruiter, JONAS).await;
    let (status, problem) = system.post(&recruiter, "/api/sessions", &order(JONAS, ENGINEER)).await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("tenant_sessions_exhausted")), "{problem}");
    sqlx::query("update app.sessions set created_at = now() - interval '2 days' where by_candidate")
        .execute(&admin)
        .await
        .expect("a change");
    // Hers is over; its process has no say any more.
    let ready = "select count(*) from app.sessions where by_candidate and phase = 'ready'";
    wait_for("her process is ready", || async { count(&admin, ready).await == 1 }).await;
    sqlx::query("update app.sessions set phase = 'failed', epoch = epoch + 1 where by_candidate")
        .execute(&admin)
        .await
        .expect("a change");
    invited(&system, &recruiter, JONAS).await;
    let (status, problem) = system.post(&recruiter, "/api/sessions", &order(JONAS, ENGINEER)).await;
    assert_eq!((status, problem["code"].as_str()), (429, Some("session_quota_exhausted")), "{problem}");
    assert_eq!(count(&admin, "select count(*) from app.sessions").await, 4, "what was refused left no row");
    system.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_tickets_lookups_and_streams_are_bounded_by_person_and_address_and_neighbours_are_served() {
    let keys = [
        ("LIMITS__ADDRESS_REQUESTS_BURST", "150"),
        ("LIMITS__ADDRESS_REQUESTS_PER_S", "1"),
        ("LIMITS__PERSON_REQUESTS_BURST", "40"),
        ("LIMITS__PERSON_REQUESTS_PER_S", "1"),
        ("LIMITS__TICKETS_BURST", "5"),
        ("LIMITS__UNSEEN_SESSIONS_BURST", "5"),
        ("LIMITS__STREAMS_PER_PERSON", "2"),
        ("LIMITS__STREAMS", "3"),
    ];
    let system = System::start_with(&keys).await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.amara().await);
    let (http, door) = (client(), gateway(&system));
    let known = invited(&system, &recruiter, AMARA).await;
    let bearer = |token: &str| format!("Bearer {token}");

    // Tickets: each is a line of the audit log.
    let (path, nothing) = (format!("/api/sessions/{known}/ticket"), json!({}));
    let tickets = (0..8).map(|_| system.post(&amara, &path, &nothing));
    let answers = join_all(tickets).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 5, "{answers:?}");
    assert!(answers.iter().all(|(status, info)| *status == 200 || info["code"] == "ticket_rate_exceeded"), "{answers:?}");

    // Sessions that nobody has: looked for in the database only so often, and an ordinary request not at all.
    let socket = |from: &'static str| [("connection", "Upgrade"), ("upgrade", "websocket"), ("fly-client-ip", from)];
    let asked =
        async |id: &str, from: &'static str| told(ask(&http, door, Method::GET, &format!("/ws/{id}"), &socket(from)).await).await;
    let gone = Uuid::new_v4().to_string();
    for _ in 0..20 {
        assert_eq!(asked(&gone, STRANGER).await.0, 404, "it is remembered that there is none");
    }
    let mut refused = 0;
    for _ in 0..10 {
        let (status, retry, code) = asked(&Uuid::new_v4().to_string(), STRANGER).await;
        assert!(status == 404 || (status, code.as_str()) == (429, "request_rate_exceeded") && retry.is_some(), "{status} {code}");
        refused += usize::from(status == 429);
    }
    assert!((4..=6).contains(&refused), "{refused}");
    assert_eq!(asked(&Uuid::new_v4().to_string(), NEIGHBOUR).await.0, 404, "another address is counted for itself");
    assert_ne!(asked(&known, STRANGER).await.0, 429, "one that is known costs no look");
    let plain =
        told(ask(&http, door, Method::GET, &format!("/ws/{}", Uuid::new_v4()), &[("fly-client-ip", STRANGER)]).await).await;
    assert_eq!(plain.0, 426);

    // Live streams: of one person, and of all.
    let user = system.sandbox.supabase().user("recruiter@demo.test").expect("a user");
    let colleague = {
        let mut options = system.sandbox.supabase().options_for(&user);
        options.subject = Uuid::new_v4().to_string();
        system.sandbox.supabase().mint(options)
    };
    let watch = async |token: &str| {
        ask(&http, door, Method::GET, &format!("/api/sessions/{known}/events"), &[("authorization", &bearer(token))]).await
    };
    let (first, second) = (watch(&recruiter).await, watch(&recruiter).await);
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let (status, retry, code) = told(watch(&recruiter).await).await;
    assert_eq!((status, retry, code.as_str()), (429, Some(10), "streams_exhausted"));
    let third = watch(&colleague).await;
    assert_eq!(third.status(), 200, "a colleague is not concerned");
    let (status, _, code) = told(watch(&colleague).await).await;
    assert_eq!((status, code.as_str()), (503, "service_saturated"));
    drop((first, second));
    let (dropped, mut back) = (Instant::now(), false);
    while !back && dropped.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        back = watch(&recruiter).await.status() == 200;
    }
    assert!(back, "the places come back");

    // Requests of a person, wherever they come from, and of an address, whoever it is.
    let from = async |path: &str, token: &str, from: &str| {
        told(ask(&http, door, Method::GET, path, &[("authorization", token), ("fly-client-ip", from)]).await).await
    };
    let me = bearer(&system.sign_in("jonas@demo.test").await);
    let answers = a_few_at_once((0..60).map(|_| from("/api/me", &me, "192.0.2.1"))).await;
    let limited = answers
        .iter()
        .filter(|(status, retry, code)| (*status, code.as_str()) == (429, "request_rate_exceeded") && retry.is_some())
        .count();
    assert!((5..=20).contains(&limited) && answers.iter().all(|(status, ..)| matches!(status, 200 | 429)), "{limited} of 60");
    let answers = a_few_at_once((0..250).map(|_| from("/api/config", "", "192.0.2.2"))).await;
    let limited = answers.iter().filter(|(status, retry, _)| *status == 429 && retry.is_some()).count();
    assert!((20..=100).contains(&limited) && answers.iter().all(|(status, ..)| matches!(status, 200 | 429)), "{limited} of 250");
    assert_eq!(from("/api/me", &bearer(&amara), NEIGHBOUR).await.0, 200);
    assert_eq!(ask(&http, door, Method::GET, "/healthz", &[("fly-client-ip", "192.0.2.2")]).await.status(), 200);

    // the caller names a trace and says that it is not to be kept. It is a link, and says nothing.
    let callers = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{callers}-00f067aa0ba902b7-00");
    let (status, made) =
        system.post_with(&recruiter, "/api/sessions", &order(JONAS, ENGINEER), &[("traceparent", &parent)]).await;
    assert_eq!(status, 201, "{made}");
    let id = made["session_id"].as_str().expect("an id");
    let (_, view) = system.get(&recruiter, &format!("/api/sessions/{id}")).await;
    let trace = view["trace_id"].as_str().expect("a trace").to_owned();
    assert_ne!(trace, callers);
    let spans = system.sandbox.traces();
    wait_for("its spans are kept", || async {
        spans.of_trace(&trace).iter().any(|span| span.name == "http.create_session" && span.is_root())
    })
    .await;
    assert!(spans.of_trace(callers).is_empty());
    system.stop().await;
}

/// Send `beginning`, then `drip` every 100 ms; how long the other side kept the connection, and what it said.
async fn dripped(at: SocketAddr, beginning: &str, drip: &str) -> (Duration, String) {
    let mut stream = TcpStream::connect(at).await.expect("connects");
    stream.write_all(beginning.as_bytes()).await.expect("sent");
    let (begun, mut answer, mut buffer) = (Instant::now(), Vec::new(), [0; 4096]);
    while begun.elapsed() < Duration::from_secs(20) {
        match timeout(Duration::from_millis(100), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => answer.extend_from_slice(&buffer[..read]),
            Err(_) => {
                if stream.write_all(drip.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    }
    (begun.elapsed(), String::from_utf8_lossy(&answer).into_owned())
}

///
async fn slow_heads_end(at: SocketAddr) {
    let slow = [("", ""), ("GET /healthz HT", ""), ("GET /healthz HTTP/1.1\r\nhost: x\r\n", "a: b\r\n")];
    for ended in join_all(slow.map(|(beginning, drip)| dripped(at, beginning, drip))).await {
        assert!(ended.0 < Duration::from_secs(4), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_and_bodies_end_and_more_connections_than_may_be_are_told_to_come_again() {
    let keys = [
        ("LIMITS__HEAD_TIMEOUT_MS", "700"),
        ("LIMITS__BODY_TIMEOUT_MS", "700"),
        ("LIMITS__GATEWAY_CONNECTIONS", "40"),
        ("API_VIDEO__WEBHOOK_SECRET", "whsec"),
    ];
    let system = System::start_with(&keys).await;
    let (door, recruiter) = (gateway(&system), system.sign_in("recruiter@demo.test").await);
    slow_heads_end(door).await;
    let post = |path: &str, more: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n{more}\r\n{{")
    };
    // Not read at all: it does not even claim to be the vendor.
    let (after, answer) = dripped(door, &post("/hooks/api-video", ""), " ").await;
    assert!(answer.starts_with("HTTP/1.1 401") && after < Duration::from_secs(4), "{after:?} {answer}");
    let token = format!("authorization: Bearer {recruiter}\r\n");
    for (path, more) in [
        ("/hooks/api-video", "x-api-video-signature: 00\r\n"),
        ("/api/sessions", token.as_str()),
        ("/api/sessions/018f0000-0000-7000-8000-000000000000/ticket", &token),
    ] {
        let (after, answer) = dripped(door, &post(path, more), " ").await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timed_out"), "{path}: {answer}");
        assert!(after < Duration::from_secs(5), "{path}: {after:?}");
    }
    // As many as may be, and one more; those who are in are served.
    let mut inside = TcpStream::connect(door).await.expect("connects");
    inside.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.expect("sent");
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(TcpStream::connect(door).await.expect("connects"));
    }
    let full = async {
        let mut answer = String::new();
        let mut last = crowd.pop().expect("one of them");
        let _ = timeout(Duration::from_secs(5), last.read_to_string(&mut answer)).await;
        answer
    };
    let answer = full.await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
    inside.write_all(b"connection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    timeout(Duration::from_secs(5), inside.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    system.stop().await;
}

/// A handshake at a session's own machine.
async fn handshake(process: &Process, ticket: Option<&str>, from: &'static str) -> Result<Browser, (u16, String)> {
    let url = process.websocket_url();
    match Browser::connect_with(&url, ticket.unwrap_or_default(), ORIGIN, &[("fly-client-ip", from)]).await {
        Ok(browser) => Ok(browser),
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
            let code: Value = answer.body().as_deref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
            Err((answer.status().as_u16(), code["code"].as_str().unwrap_or_default().to_owned()))
        }
        Err(error) => panic!("{error}"),
    }
}

/// elsewhere than on Fly nobody else than the other end of the connection is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_flys_proxy_nobody_says_who_asks() {
    let world = World::start().await;
    let process = world.spawn_ready(world.new_session().await, &[("INTERVIEW__LIMITS__TICKETLESS", "12")]).await;
    let mut open = Vec::new();
    for from in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
        open.push(handshake(&process, None, from).await.expect("as many as one address may have"));
    }
    let refused = handshake(&process, None, "192.0.2.5").await.err();
    assert_eq!(refused, Some((503, "service_saturated".to_owned())), "a name in a header is no other address");
    world.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_knows_the_link_keeps_nobody_out_of_a_session() {
    let world = World::start().await;
    let session = world.new_session().await;
    let keys = [
        ("INTERVIEW__LIMITS__HEAD_TIMEOUT_MS", "700"),
        ("INTERVIEW__LIMITS__TICKETLESS", "6"),
        ("INTERVIEW__LIMITS__CALLS", "0"),
        ("INTERVIEW__LIMITS__SESSION_CONNECTIONS", "24"),
        // On Fly, whose proxy says who asks.
        ("FLY_MACHINE_ID", "a-machine"),
    ];
    let process = world.spawn_ready(session, &keys).await;
    slow_heads_end(process.address).await;

    // Sockets without a ticket: four of one address, six in all, and the candidate is let in all the same.
    let mut open = Vec::new();
    for n in 0..10 {
        match handshake(&process, None, STRANGER).await {
            Ok(browser) => open.push(browser),
            Err(refused) => assert_eq!((n >= 4, refused), (true, (503, "service_saturated".to_owned()))),
        }
    }
    assert_eq!(open.len(), 4);
    for from in [NEIGHBOUR, NEIGHBOUR] {
        open.push(handshake(&process, None, from).await.expect("another address has its own places"));
    }
    assert_eq!(handshake(&process, None, NEIGHBOUR).await.err().map(|refused| refused.0), Some(503));
    let mut candidate = handshake(&process, Some(&world.ticket(session).await), "192.0.2.1").await.expect("the handshake");
    candidate.expect("session_ready").await;
    candidate.say(1, &["served"]).await;
    candidate.expect("transcript_ack").await;

    // Tickets that are none hold up nothing that the interview stores: they wait for no lock.
    let mut holder = world.admin.begin().await.expect("a transaction");
    sqlx::query("select from app.sessions where id = $1 for update")
        .bind(session.0)
        .execute(&mut *holder)
        .await
        .expect("the lock");
    let (mut shown, mut refused) = (0, 0);
    for n in 0..30 {
        match handshake(&process, Some(&format!("junk{n}")), STRANGER).await {
            Ok(mut browser) => {
                let code = timeout(Duration::from_secs(8), browser.closed()).await.expect("whoever holds the row");
                assert_eq!(code, 4003);
                shown += 1;
            }
            Err(answer) => {
                assert_eq!(answer, (429, "ticket_rate_exceeded".to_owned()));
                refused += 1;
            }
        }
    }
    holder.rollback().await.expect("it ends");
    assert!((20..=24).contains(&shown) && refused == 30 - shown, "{shown} shown, {refused} refused");
    candidate.say(2, &["still served"]).await;
    candidate.expect("transcript_ack").await;

    // More connections than a machine takes are told to come again; whoever is in stays.
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(TcpStream::connect(process.address).await.expect("connects"));
    }
    let (mut last, mut answer) = (crowd.pop().expect("one of them"), String::new());
    timeout(Duration::from_secs(5), last.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
    candidate.say(3, &["served in the crowd"]).await;
    candidate.expect("transcript_ack").await;

    // No further call when an interview has had its calls.
    candidate.consent().await;
    candidate.send(json!({"type": "sdp_offer", "sdp": "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"})).await;
    let error = candidate.expect("error").await;
    assert_eq!((error["code"].as_str(), error["retryable"].as_bool()), (Some("calls_exhausted"), Some(false)), "{error}");
    world.stop().await;
}
