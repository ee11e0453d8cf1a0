//! Webhooks of api.video at the gateway: signed or refused, and each event counts once.

use crate::support::system::System;
use crate::support::wait_for;
use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sqlx::PgPool;

const SECRET: &str = "whsec-for-this-test";

fn signed(body: &str) -> String {
    HEXLOWER.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body.as_bytes()).as_ref())
}

fn event(video: &str, encoding: &str, quality: &str) -> String {
    json!({"type": "video.encoding.quality.completed", "emittedAt": "2026-11-23T10:00:00+00:00", "videoId": video,
           "encoding": encoding, "quality": quality})
    .to_string()
}

async fn post(system: &System, body: String, signature: Option<String>) -> u16 {
    let mut request = reqwest::Client::new()
        .post(format!("{}/hooks/api-video", system.sandbox.urls().front))
        .header("content-type", "application/json")
        .body(body);
    if let Some(signature) = signature {
        request = request.header("x-api-video-signature", signature);
    }
    request.send().await.expect("an answer").status().as_u16()
}

async fn stored(admin: &PgPool, video: &str) -> (String, i64) {
    sqlx::query_as(
        "select state, (select count(*) from app.recording_events e where e.video_id = r.video_id) from app.recordings r where video_id = $1",
    )
    .bind(video)
    .fetch_one(admin)
    .await
    .expect("the recording's row")
}

/// The provider has encoded the video.
fn encoded(system: &System, video: &str) -> bool {
    let videos = system.sandbox.api_video().snapshot()["videos"].clone();
    let of = |shown: &&Value| shown["video_id"] == video;
    videos.as_array().is_some_and(|all| all.iter().find(of).is_some_and(|shown| shown["status"]["encoding"]["playable"] == true))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_hook_changes_nothing_and_a_true_one_makes_one_transition_however_often_it_comes() {
    let system = System::start_with(&[("API_VIDEO__WEBHOOK_SECRET", SECRET), ("KEEPER__INTERVAL_MS", "200")]).await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let order = json!({"candidate_id": "ca000000-0000-4000-8000-000000000011", "position_id": "b0000000-0000-4000-8000-000000000001", "settings": {}});
    let (status, made) = system.post(&recruiter, "/api/sessions", &order).await;
    assert_eq!(status, 201, "{made}");
    let video = made["video_id"].as_str().expect("a video").to_owned();
    let admin = PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection");
    let token: String = sqlx::query_scalar("select upload_token from app.recordings where video_id = $1")
        .bind(&video)
        .fetch_one(&admin)
        .await
        .expect("a token");
    let form = reqwest::multipart::Form::new()
        .text("videoId", video.clone())
        .part("file", reqwest::multipart::Part::bytes(b"webm".as_slice()).file_name("file"));
    let url = format!("{}?token={token}", made["video_upload_url"].as_str().expect("an address"));
    let sent =
        reqwest::Client::new().post(url).header("content-range", "part 1/1").multipart(form).send().await.expect("an answer");
    assert_eq!(sent.status(), 201);
    wait_for("the provider has encoded it", || async { encoded(&system, &video) }).await;

    // Uploaded, and by itself the reconciler looks tomorrow.
    sqlx::query("update app.recordings set state = 'uploaded', next_check_at = now() + interval '1 day' where video_id = $1")
        .bind(&video)
        .execute(&admin)
        .await
        .expect("the row changes");

    let body = event(&video, "hls", "720p");
    let good = signed(&body);
    for (changed, signature) in [
        (body.clone(), None),
        (body.clone(), Some(String::new())),
        (body.clone(), Some(good.to_uppercase())),
        (body.clone(), Some("00".repeat(32))),
        (body.replace("720p", "721p"), Some(good.clone())),
        (format!("{body} "), Some(good.clone())),
        (event(&video, "mp4", "720p"), Some(good.clone())),
    ] {
        assert_eq!(post(&system, changed, signature).await, 401);
    }
    // Signed, but not for us: another's video, another kind of news, no JSON.
    for other in [event("vi-of-somebody-else", "hls", "720p"), body.replace("quality.completed", "x"), "no json".to_owned()] {
        let signature = signed(&other);
        assert_eq!(post(&system, other, Some(signature)).await, 204);
    }
    assert_eq!(stored(&admin, &video).await, ("uploaded".to_owned(), 0));

    let ten = (0..10).map(|_| post(&system, body.clone(), Some(good.clone())));
    let answers = futures_util::future::join_all(ten).await;
    assert_eq!(answers, [204; 10]);
    wait_for("the recording can be watched", || async { stored(&admin, &video).await.0 == "playable" }).await;
    let changed: time::OffsetDateTime = sqlx::query_scalar("select updated_at from app.recordings where video_id = $1")
        .bind(&video)
        .fetch_one(&admin)
        .await
        .expect("a time");
    // Late, again, and of another quality: nothing is left to change.
    for again in [body.clone(), event(&video, "mp4", "720p")] {
        let signature = signed(&again);
        assert_eq!(post(&system, again, Some(signature)).await, 204);
    }
    assert_eq!(stored(&admin, &video).await, ("playable".to_owned(), 2), "one line for each quality");
    let later: time::OffsetDateTime = sqlx::query_scalar("select updated_at from app.recordings where video_id = $1")
        .bind(&video)
        .fetch_one(&admin)
        .await
        .expect("a time");
    assert_eq!(changed, later, "one transition");
    assert!(system.sandbox.ledger().violations().is_empty(), "{:?}", system.sandbox.ledger().violations());
    system.stop().await;
}
