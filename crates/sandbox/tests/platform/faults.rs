use serde_json::json;
use std::time::{Duration, Instant};

use crate::{World, answer};

#[tokio::test]
async fn faults_strike_in_order_and_are_used_up() {
    let world = World::start().await;
    let order = |action: serde_json::Value| {
        let body = json!({ "vendor": "supabase", "route": "jwks", "action": action });
        world.http.post(world.internal("/sandbox/faults")).json(&body)
    };
    let jwks = || world.http.get(&world.sandbox.urls().jwks);
    let refusal = json!({ "status": 503, "headers": { "retry-after": "7" }, "body": { "error": "down" } });
    assert_eq!(answer(order(refusal)).await.0, 201);
    assert_eq!(answer(order(json!("drop"))).await.0, 201);
    assert_eq!(answer(order(json!("garbage"))).await.0, 201);
    assert_eq!(answer(order(json!({ "delay_ms": 300 }))).await.0, 201);

    let refused = jwks().send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "7"));
    assert!(jwks().send().await.is_err(), "dropped");
    assert!(jwks().send().await.unwrap().json::<serde_json::Value>().await.is_err(), "garbage");
    let begun = Instant::now();
    assert_eq!(answer(jwks()).await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(answer(jwks()).await.0, 200, "all used up");

    let (_, ledger) = answer(world.http.get(world.internal("/sandbox/ledger?vendor=supabase"))).await;
    let statuses: Vec<_> = ledger["items"].as_array().unwrap().iter().map(|entry| entry["status"].clone()).collect();
    assert_eq!(statuses, [503, 0, 200, 200, 200]);
}

#[tokio::test]
async fn the_ledger_shows_bodies_but_no_credentials() {
    let world = World::start().await;
    let request = world
        .http
        .post(format!("{}/auth/v1/token?grant_type=password", world.sandbox.urls().supabase))
        .header("apikey", world.sandbox.supabase().publishable_key())
        .bearer_auth("very-secret")
        .json(&json!({ "email": "nobody@demo.test", "password": "x" }));
    assert_eq!(answer(request).await.0, 400);
    let entry = world.sandbox.ledger().of("supabase").pop().unwrap();
    assert_eq!((entry.path.as_str(), entry.query.as_str()), ("/auth/v1/token", "grant_type=password"));
    assert_eq!(entry.request["email"], "nobody@demo.test");
    assert_eq!(entry.response["error_code"], "invalid_credentials");
    let value = |name: &str| entry.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(value("authorization"), Some("Bearer [redacted]"));
    assert_eq!(value("apikey"), Some("[redacted]"));
}

#[tokio::test]
async fn the_info_page_lists_the_people_of_the_demo_tenant() {
    let world = World::start().await;
    let (_, info) = answer(world.http.get(world.front("/sandbox/info"))).await;
    assert_eq!(info["sandbox"], true);
    let emails: Vec<_> = info["sign_ins"].as_array().unwrap().iter().map(|person| person["email"].clone()).collect();
    assert_eq!(emails, ["recruiter@demo.test", "amara@demo.test", "jonas@demo.test", "mei@demo.test"]);
}
