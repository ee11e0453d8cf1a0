use interview_sandbox::faults::{Action, Fault};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use std::time::Duration;

use crate::{World, answer};

impl World {
    fn video_api(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.sandbox.urls().api_video))
            .basic_auth(self.sandbox.api_video().api_key(), Some(""))
    }

    async fn container(&self) -> (String, String) {
        let body = json!({
            "title": "Interview", "public": false,
            "metadata": [{ "key": "session_id", "value": "s-1" }]
        });
        let (status, video) = answer(self.video_api(reqwest::Method::POST, "/videos").json(&body)).await;
        assert_eq!(status, 201, "{video}");
        let (status, token) = answer(self.video_api(reqwest::Method::POST, "/upload-tokens").json(&json!({ "ttl": 60 }))).await;
        assert_eq!(status, 200, "{token}");
        (video["videoId"].as_str().unwrap().to_owned(), token["token"].as_str().unwrap().to_owned())
    }

    /// One part, sent the way a page does.
    fn part(&self, token: &str, video: &str, range: &str, bytes: &[u8]) -> reqwest::RequestBuilder {
        let form = Form::new().text("videoId", video.to_owned()).part("file", Part::bytes(bytes.to_vec()).file_name("file"));
        self.http.post(format!("{}?token={token}", self.sandbox.urls().upload)).header("content-range", range).multipart(form)
    }

    async fn video_status(&self, video: &str) -> Value {
        answer(self.video_api(reqwest::Method::GET, &format!("/videos/{video}/status"))).await.1
    }
}

fn slug(problem: &Value) -> &str {
    problem["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

#[tokio::test]
async fn a_recording_arrives_in_parts_and_plays_privately() {
    let world = World::start().await;
    let (video, token) = world.container().await;
    assert_eq!(answer(world.part(&token, &video, "part 1/*", b"\x1a\x45\xdf\xa3 first part ")).await.0, 201);
    let status = world.video_status(&video).await;
    assert_eq!(status["ingest"]["receivedParts"], json!({ "parts": [1], "total": null }));
    assert_eq!(status["encoding"]["playable"], false);
    assert_eq!(answer(world.part(&token, &video, "part 2/2", b"end")).await.0, 201);
    let status = world.video_status(&video).await;
    assert_eq!(status["ingest"]["status"], "uploaded");
    assert_eq!(status["ingest"]["receivedParts"], json!({ "parts": [1, 2], "total": 2 }));
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(world.video_status(&video).await["encoding"]["playable"], true);

    let (_, shown) = answer(world.video_api(reqwest::Method::GET, &format!("/videos/{video}"))).await;
    let url = shown["assets"]["mp4"].as_str().unwrap();
    assert!(url.starts_with(&world.sandbox.urls().front), "{url}");
    let play = |agent: &'static str| world.http.get(url).header("user-agent", agent);
    let whole = play("a").send().await.unwrap();
    assert_eq!(whole.headers()["content-type"], "video/webm");
    assert_eq!(whole.bytes().await.unwrap().as_ref(), b"\x1a\x45\xdf\xa3 first part end");
    let range = play("a").header("range", "bytes=5-9").send().await.unwrap();
    assert_eq!(range.status(), 206);
    assert_eq!(range.bytes().await.unwrap().as_ref(), b"first");
    assert_eq!(play("b").send().await.unwrap().status(), 403, "the token is spent");

    assert_eq!(answer(world.video_api(reqwest::Method::DELETE, &format!("/videos/{video}"))).await.0, 204);
    assert_eq!(answer(world.video_api(reqwest::Method::DELETE, &format!("/videos/{video}"))).await.0, 404);
}

#[tokio::test]
async fn a_part_whose_answer_was_lost_is_said_to_be_there_already() {
    let world = World::start().await;
    let (video, token) = world.container().await;
    world.sandbox.faults().add(Fault::once("api.video", "upload", Action::Named("lose_answer".into())));
    assert!(world.part(&token, &video, "part 1/1", b"all of it").send().await.is_err(), "the connection was cut");
    let (status, problem) = answer(world.part(&token, &video, "part 1/1", b"all of it")).await;
    assert_eq!((status, slug(&problem)), (400, "video-content-range-by-part-part-already-sent"));
    assert_eq!(world.video_status(&video).await["ingest"]["receivedParts"]["total"], 1);
}

#[tokio::test]
async fn the_vendors_rules_for_parts_hold() {
    let world = World::start().await;
    let (video, token) = world.container().await;
    let refused = async |range: &str, bytes: &[u8]| {
        let (status, problem) = answer(world.part(&token, &video, range, bytes)).await;
        assert_eq!(status, 400, "{problem}");
        slug(&problem).to_owned()
    };
    assert_eq!(refused("part 1/*", b"small").await, "video-content-range-by-part-uploaded-file-too-small");
    assert_eq!(refused("part 1/*", b"").await, "uploaded-file-empty");
    assert_eq!(refused("part one/*", b"0123456789").await, "video-content-range-malformed");
    assert_eq!(answer(world.part(&token, &video, "part 2/3", b"0123456789")).await.0, 201);
    assert_eq!(refused("part 1/4", b"0123456789").await, "video-content-range-by-part-different-total-parts");
    assert_eq!(refused("bytes 0-9/20", b"0123456789").await, "video-content-range-already-initiated");
    let (status, problem) = answer(world.part("to-nobody", &video, "part 1/3", b"0123456789")).await;
    assert_eq!((status, slug(&problem)), (401, "authentication-invalid-upload-token"));
    assert_eq!(answer(world.part(&token, "vi-unknown", "part 1/3", b"0123456789")).await.0, 404);
}

#[tokio::test]
async fn containers_are_found_by_metadata_and_keys_are_checked() {
    let world = World::start().await;
    let (video, _) = world.container().await;
    let search = |value: &str| world.video_api(reqwest::Method::GET, "/videos").query(&[("metadata[session_id]", value)]);
    let (_, found) = answer(search("s-1")).await;
    assert_eq!(found["data"][0]["videoId"], video.as_str());
    assert_eq!(answer(search("s-2")).await.1["pagination"]["itemsTotal"], 0);

    let base = &world.sandbox.urls().api_video;
    let (status, problem) = answer(world.http.get(format!("{base}/videos")).basic_auth("wrong", Some(""))).await;
    assert_eq!((status, slug(&problem)), (401, "authentication-invalid-api-key"));
    let body = json!({ "apiKey": world.sandbox.api_video().api_key() });
    let (_, grant) = answer(world.http.post(format!("{base}/auth/api-key")).json(&body)).await;
    let bearer = grant["access_token"].as_str().unwrap();
    let response = world.http.get(format!("{base}/videos")).bearer_auth(bearer).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-ratelimit-limit"], "500");
}
