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
    let world = World::start().await;
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
    let front = Router::new().route("/replay/{*rest}", any(gateway)).fallback(mirror);
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
