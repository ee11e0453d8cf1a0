use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_tungstenite::tungstenite;

use crate::{World, answer};

const GATEWAY: &str = interview_sandbox::GATEWAY_APP;
const SESSIONS: &str = interview_sandbox::SESSION_APP;

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn config() -> Value {
    json!({ "image": "i", "services": [{ "internal_port": 8080, "autostart": false, "ports": [{ "port": 443 }] }] })
}

/// Answers what it was asked, as JSON.
async fn mirror(headers: HeaderMap, uri: Uri, body: String) -> axum::Json<Value> {
    let headers: std::collections::BTreeMap<String, String> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    axum::Json(json!({ "headers": headers, "path": uri.to_string(), "body": body }))
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["interview.v1"]).on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            match message {
                Message::Text(text) if text.as_str() == "die" => return,
                Message::Text(text) => socket.send(Message::Text(text)).await.unwrap(),
                _ => {}
            }
        }
    })
}

/// A gateway whose `/ws…` and `/api…` answers are set by the test, and one session machine.
struct Tenant {
    world: World,
    replay: Arc<Mutex<String>>,
    session: String,
}

async fn tenant() -> Tenant {
    tenant_in(World::start().await).await
}

async fn tenant_in(world: World) -> Tenant {
    let replay = Arc::new(Mutex::new(String::new()));
    let wish = Arc::clone(&replay);
    // As axum must do it on Fly: no upgrade here, a plain answer with the header.
    let gateway = move |headers: HeaderMap| {
        let value = wish.lock().unwrap().clone();
        async move {
            if let Some(failed) = headers.get("fly-replay-failed") {
                return (StatusCode::GONE, failed.to_str().unwrap().to_owned()).into_response();
            }
            (StatusCode::TEMPORARY_REDIRECT, [("fly-replay", value)]).into_response()
        }
    };
    // And as it must not: the upgrade accepted, and a replay asked for.
    let hasty = |upgrade: WebSocketUpgrade| async move {
        let mut response = upgrade.on_upgrade(|_| async {});
        response.headers_mut().insert("fly-replay", http::HeaderValue::from_static("app=interviews-demo-s"));
        response
    };
    let front = Router::new().route("/replay/{*rest}", any(gateway)).route("/hasty", get(hasty)).fallback(mirror);
    let inner = Router::new().route("/replay/ws", get(echo)).fallback(mirror);
    let (front, inner) = (serve(front).await, serve(inner).await);
    let fly = world.sandbox.fly();
    fly.register_app(GATEWAY, "tenant-demo", true);
    fly.register_app(SESSIONS, "tenant-demo", false);
    fly.register_machine(GATEWAY, "gateway-1", front, config()).unwrap();
    let session = fly.register_machine(SESSIONS, "s-1", inner, config()).unwrap();
    *replay.lock().unwrap() = format!("app={SESSIONS};instance={session};state=abc;timeout=3s;fallback=force_self");
    Tenant { world, replay, session }
}

#[tokio::test]
async fn requests_reach_the_public_app_with_flys_headers_only() {
    let tenant = tenant().await;
    let request = tenant
        .world
        .http
        .post(tenant.world.front("/api/x?y=1"))
        .header("fly-replay-src", "forged")
        .header("fly-client-ip", "6.6.6.6")
        .body("hello");
    let (status, seen) = answer(request).await;
    assert_eq!(status, 200);
    assert_eq!((seen["path"].as_str(), seen["body"].as_str()), (Some("/api/x?y=1"), Some("hello")));
    let headers = &seen["headers"];
    assert!(headers.get("fly-replay-src").is_none(), "a forged origin is dropped");
    assert!(["127.0.0.1", "::1"].contains(&headers["fly-client-ip"].as_str().unwrap()));
    assert_eq!(headers["fly-region"], "fra");
    assert!(headers["host"].as_str().unwrap().starts_with("localhost:"));
    let large = "x".repeat(3 * 1024 * 1024);
    let (status, text) = answer(tenant.world.http.post(tenant.world.front("/replay/large")).body(large)).await;
    assert_eq!(status, 502, "too large to be replayed: {text}");
}

#[tokio::test]
async fn a_replay_delivers_the_original_request_to_the_machine() {
    let tenant = tenant().await;
    let request = tenant.world.http.put(tenant.world.front("/replay/it?a=b")).header("x-own", "kept").body("body");
    let (status, seen) = answer(request).await;
    assert_eq!(status, 200, "{seen}");
    assert_eq!((seen["path"].as_str(), seen["body"].as_str()), (Some("/replay/it?a=b"), Some("body")));
    assert_eq!(seen["headers"]["x-own"], "kept");
    let source = seen["headers"]["fly-replay-src"].as_str().unwrap();
    assert!(source.starts_with("instance=") && source.ends_with(";state=abc"), "{source}");
}

#[tokio::test]
async fn a_websocket_is_replayed_and_ends_with_either_side() {
    let tenant = tenant().await;
    let url = tenant.world.front("/replay/ws").replace("http://", "ws://");
    let connect = async || {
        let mut request = tungstenite::client::IntoClientRequest::into_client_request(url.as_str()).unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "interview.v1, ticket.abc".parse().unwrap());
        let (socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "interview.v1");
        socket
    };
    let mut socket = connect().await;
    for word in ["one", "two"] {
        socket.send(tungstenite::Message::text(word)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), word);
    }
    assert_eq!(tenant.world.sandbox.door().open_tunnels(), 1);
    socket.send(tungstenite::Message::text("die")).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    let gone = connect().await;
    drop(gone);
    for _ in 0..100 {
        if tenant.world.sandbox.door().open_tunnels() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a tunnel outlived its ends");
}

#[tokio::test]
async fn an_unknown_or_stopped_target_falls_back_or_is_an_error() {
    let tenant = tenant().await;
    let get = || tenant.world.http.get(tenant.world.front("/replay/x"));
    *tenant.replay.lock().unwrap() = format!("app={SESSIONS};instance=00000000000000;fallback=force_self");
    let (status, reason) = answer(get()).await;
    assert_eq!(status, 410);
    let reason = reason.as_str().unwrap();
    assert!(reason.starts_with(&format!("instance=00000000000000;app={SESSIONS};")), "{reason}");
    assert!(reason.contains("reason=no_candidate"), "{reason}");

    *tenant.replay.lock().unwrap() = format!("app={SESSIONS};instance=00000000000000");
    let (status, text) = answer(get()).await;
    assert_eq!(status, 502);
    assert!(text.as_str().unwrap().starts_with("PR02"), "{text}");

    let path = format!("/apps/{SESSIONS}/machines/{}/stop", tenant.session);
    assert_eq!(answer(tenant.world.fly(reqwest::Method::POST, &path)).await.0, 200);
    *tenant.replay.lock().unwrap() = format!("app={SESSIONS};instance={};fallback=force_self", tenant.session);
    assert_eq!(answer(get()).await.0, 410, "autostart is off");
}

#[tokio::test]
async fn replays_stay_within_the_network_and_do_not_go_in_circles() {
    let tenant = tenant().await;
    let get = || tenant.world.http.get(tenant.world.front("/replay/x"));
    tenant.world.sandbox.fly().register_app("interviews-rival", "tenant-rival", true);
    *tenant.replay.lock().unwrap() = "app=interviews-rival".into();
    let (status, text) = answer(get()).await;
    assert!(status == 502 && text.as_str().unwrap().starts_with("PA05"), "{text}");
    *tenant.replay.lock().unwrap() = format!("app={GATEWAY}");
    let (status, text) = answer(get()).await;
    assert!(status == 502 && text.as_str().unwrap().starts_with("PA02"), "{text}");
    *tenant.replay.lock().unwrap() = "nonsense".into();
    let (status, text) = answer(get()).await;
    assert!(status == 502 && text.as_str().unwrap().starts_with("PA03"), "{text}");
    assert!(tenant.world.sandbox.ledger().violations().len() >= 2);
}

#[tokio::test]
async fn without_a_public_address_there_is_no_way_in() {
    let world = World::start().await;
    world.sandbox.fly().register_app(GATEWAY, "tenant-demo", false);
    assert_eq!(answer(world.http.get(world.front("/healthz"))).await.0, 502);
}

#[tokio::test]
async fn the_proxy_hears_late_of_births_and_of_ends() {
    let lag = Duration::from_secs(3);
    let tenant = tenant_in(World::with(|options| options.proxy_lag = lag).await).await;
    let get = || tenant.world.http.get(tenant.world.front("/replay/x"));
    assert_eq!(answer(tenant.world.http.get(tenant.world.front("/healthz"))).await.0, 503, "not even the gateway is known");
    tokio::time::sleep(lag).await;
    assert_eq!(answer(get()).await.0, 200);

    let fly = tenant.world.sandbox.fly();
    let address = fly.machine(&tenant.session).unwrap().status().address.unwrap();
    let newer = fly.register_machine(SESSIONS, "s-2", address, config()).unwrap();
    *tenant.replay.lock().unwrap() = format!("app={SESSIONS};instance={newer};timeout=10s;fallback=force_self");
    let (status, reason) = answer(get()).await;
    assert_eq!(status, 410, "started, and not known: {reason}");
    assert!(reason.as_str().unwrap().contains("reason=no_candidate"), "{reason}");
    tokio::time::sleep(lag).await;
    assert_eq!(answer(get()).await.0, 200);

    // Destroyed, and still believed in: tried in vain for as long as the replay may take.
    assert!(fly.lose(&newer));
    let gone = fly.machine(&newer).unwrap();
    gone.wait_for(&[interview_sandbox::fly::model::MachineState::Destroyed], Duration::from_secs(5)).await.unwrap();
    *tenant.replay.lock().unwrap() = format!("app={SESSIONS};instance={newer};timeout=300ms;fallback=force_self");
    let (_, reason) = answer(get()).await;
    assert!(reason.as_str().unwrap().contains("reason=timeout"), "{reason}");
    tokio::time::sleep(lag).await;
    let (_, reason) = answer(get()).await;
    assert!(reason.as_str().unwrap().contains("reason=no_candidate"), "{reason}");
}

#[tokio::test]
async fn replays_fail_on_order_with_each_reason() {
    let tenant = tenant().await;
    let get = || tenant.world.http.get(tenant.world.front("/replay/x"));
    let fault = |route: &str, action: Value| {
        let body = json!({ "vendor": "fly-proxy", "route": route, "action": action });
        tenant.world.http.post(tenant.world.internal("/sandbox/faults")).json(&body)
    };
    for reason in ["timeout", "retries_exhausted", "no_candidate"] {
        assert_eq!(answer(fault("replay", reason.into())).await.0, 201);
        let (status, told) = answer(get()).await;
        assert!(status == 410 && told.as_str().unwrap().contains(&format!("reason={reason}")), "{told}");
        assert_eq!(answer(get()).await.0, 200, "once only");
    }
    assert_eq!(answer(fault("replay", json!({ "status": 502, "body": "PR04: could not connect" }))).await.0, 201);
    // It waits for a replay; other requests pass.
    assert_eq!(answer(tenant.world.http.get(tenant.world.front("/x"))).await.0, 200);
    assert_eq!(answer(get()).await.0, 502);
    assert_eq!(answer(fault("request", "drop".into())).await.0, 201);
    assert!(get().send().await.is_err(), "the connection is closed");
}

#[tokio::test]
async fn who_accepts_the_upgrade_and_asks_for_a_replay_gets_neither() {
    let tenant = tenant().await;
    let url = tenant.world.front("/hasty").replace("http", "ws");
    match tokio_tungstenite::connect_async(url).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 502),
        other => panic!("{other:?}"),
    }
    let violations = tenant.world.sandbox.ledger().violations();
    assert!(violations.iter().any(|violation| violation.text.contains("101")), "{violations:?}");
}

#[tokio::test]
async fn a_private_network_tells_its_names_to_its_own_machines_only() {
    let world = World::with(|options| options.runtime = vec!["/bin/sh".into(), "-c".into(), "env; exec sleep 60".into()]).await;
    let fly = world.sandbox.fly();
    let mut found = Vec::new();
    for (app, network) in [(SESSIONS, "tenant-demo"), ("interviews-rival-s", "tenant-rival")] {
        fly.register_app(app, network, false);
        let body = json!({ "name": "m", "config": { "image": "i" } });
        let (status, machine) = answer(world.fly(reqwest::Method::POST, &format!("/apps/{app}/machines")).json(&body)).await;
        assert_eq!(status, 200, "{machine}");
        let id = machine["id"].as_str().unwrap().to_owned();
        fly.machine(&id)
            .unwrap()
            .wait_for(&[interview_sandbox::fly::model::MachineState::Started], Duration::from_secs(5))
            .await
            .unwrap();
        // What its process was given, as it tells itself.
        let log = fly.options().data_dir.join(format!("{app}-m-{id}.log"));
        let mut resolver = None;
        for _ in 0..100 {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            resolver =
                text.lines().find_map(|line| line.strip_prefix("INTERVIEW__ROUTING__PRIVATE_RESOLVER=")).map(str::to_owned);
            if resolver.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        found.push((app, id, resolver.unwrap()));
    }
    let ask = async |resolver: &str, app: &str, id: &str| answer(world.http.get(format!("{resolver}/{app}/{id}"))).await;
    for (own, other) in [(0, 1), (1, 0)] {
        let ((app, id, resolver), (other_app, other_id, _)) = (&found[own], &found[other]);
        let (status, address) = ask(resolver, app, id).await;
        assert_eq!(status, 200);
        let listens = fly.machine(id).unwrap().status().address.unwrap();
        assert_eq!(address.as_str().unwrap().trim(), listens.to_string());
        assert_eq!(ask(resolver, other_app, other_id).await.0, 404, "another tenant's");
        assert_eq!(ask(resolver, app, other_id).await.0, 404);
        let outside = resolver.replace(&world.internal(""), &world.front(""));
        assert_ne!(ask(&outside, app, id).await.0, 200, "not through the public door");
    }
    let (app, id, resolver) = &found[0];
    let guessed = format!("{}/{}", resolver.rsplit_once('/').unwrap().0, "0".repeat(32));
    assert_eq!(ask(&guessed, app, id).await.0, 404);
    assert!(fly.lose(id));
    fly.machine(id)
        .unwrap()
        .wait_for(&[interview_sandbox::fly::model::MachineState::Destroyed], Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(ask(resolver, app, id).await.0, 404, "only started machines have a name");
}
