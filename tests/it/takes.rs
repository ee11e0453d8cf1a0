//! A recording that is interrupted goes on in another container, and nothing of it is lost.

use crate::support::system::System;
use crate::support::wait_for;
use serde_json::{Value, json};

const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const AMARA: &str = "ca000000-0000-4000-8000-000000000011";

/// The recruiter, the candidate, and what the recruiter was answered.
async fn invited(system: &System) -> (String, String, Value) {
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let order = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
    let (status, made) = system.post(&recruiter, "/api/sessions", &order).await;
    assert_eq!(status, 201, "{made}");
    let id = made["session_id"].as_str().expect("an id").to_owned();
    wait_for("the session's process is ready", || async { system.phase(&recruiter, &id).await == "ready" }).await;
    (recruiter, system.amara().await, made)
}

async fn ticket(system: &System, token: &str, session: &str, wish: Value) -> Value {
    let (status, info) = system.post(token, &format!("/api/sessions/{session}/ticket"), &json!({"recording": wish})).await;
    assert_eq!(status, 200, "{info}");
    info
}

async fn upload(info: &Value, video: &str, part: &str) -> u16 {
    let url = format!(
        "{}?token={}",
        info["video_upload_url"].as_str().expect("an address"),
        info["video_token"].as_str().expect("a token")
    );
    let form = reqwest::multipart::Form::new()
        .text("videoId", video.to_owned())
        .part("file", reqwest::multipart::Part::bytes(b"webm".as_slice()).file_name("file"));
    let sent = reqwest::Client::new().post(url).header("content-range", format!("part {part}")).multipart(form).send().await;
    sent.expect("an answer").status().as_u16()
}

fn containers(system: &System) -> usize {
    system.sandbox.api_video().snapshot()["videos"].as_array().map_or(0, Vec::len)
}

async fn recording_of(system: &System, token: &str, session: &str) -> Value {
    let path = format!("/api/sessions/{session}/recording");
    wait_for("the recording can be watched", || async { system.get(token, &path).await.1["state"] == "playable" }).await;
    system.get(token, &path).await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_comes_back_gets_another_container_and_a_reload_storm_leaves_no_pile() {
    let system = System::start_with(&[("LIMITS__TAKES", "3")]).await;
    let (token, amara, made) = invited(&system).await;
    let (id, first) = (made["session_id"].as_str().expect("an id"), made["video_id"].clone());
    assert_eq!(made["video_segment"], 1, "{made}");
    for _ in 0..5 {
        assert_eq!(ticket(&system, &amara, id, json!({})).await["video_id"], first, "nothing was recorded yet");
    }

    // A page records: one part is stored. Its own reconnects keep the container.
    let mut page = system.join(&amara, id).await;
    assert!(ticket(&system, &amara, id, json!({})).await["video_token"].is_null(), "nobody has consented yet");
    page.consent().await;
    let made = ticket(&system, &amara, id, json!({})).await;
    page.send(json!({"type": "recording_state", "state": "recording", "video_id": first})).await;
    let path = format!("/api/sessions/{id}");
    wait_for("the recording is known", || async { system.get(&token, &path).await.1["recording"]["state"] == "recording" }).await;
    assert_eq!(ticket(&system, &amara, id, json!({})).await["video_id"], first, "begun, but nothing has arrived");
    assert_eq!(upload(&made, first.as_str().expect("an id"), "1/*").await, 201);
    assert_eq!(ticket(&system, &amara, id, json!({"continues": first})).await["video_id"], first);

    // It is reloaded, many times at once: one more container, however many ask.
    let storm = (0..6).map(|_| ticket(&system, &amara, id, json!({})));
    let answers = futures_util::future::join_all(storm).await;
    let second = answers[0]["video_id"].clone();
    assert_ne!(second, first);
    assert!(answers.iter().all(|info| info["video_id"] == second && info["video_segment"] == 2), "{answers:?}");
    wait_for("the losers of the race have cleaned up", || async { containers(&system) == 2 }).await;

    // The next page has something left of the second, although none of it was sent.
    let info = ticket(&system, &amara, id, json!({"left": [second]})).await;
    let third = info["video_id"].clone();
    assert_eq!((&info["video_segment"], third != second), (&json!(3), true), "{info}");
    // That is as many as may be. The interview goes on without another.
    for _ in 0..5 {
        let none = ticket(&system, &amara, id, json!({"left": [third]})).await;
        assert!(none["video_id"].is_null() && none["warnings"].to_string().contains("recording_unavailable"), "{none}");
        assert!(none["websocket_ticket"].is_string(), "{none}");
    }
    assert_eq!(containers(&system), 3);
    let mut page = system.join(&amara, id).await;
    page.send(json!({"type": "recording_state", "state": "recording", "video_id": third})).await;
    assert_eq!(upload(&info, first.as_str().expect("an id"), "2/2").await, 201, "a token opens every container");
    assert_eq!(upload(&info, third.as_str().expect("an id"), "1/1").await, 201);
    for (video, part) in [(&first, 2), (&third, 1)] {
        page.send(json!({"type": "recording_state", "state": "finished", "video_id": video, "part": part})).await;
    }
    let (status, _) = system.post(&token, &format!("{path}/end"), &json!({})).await;
    assert_eq!(status, 202);
    wait_for("the interview is stored", || async { system.phase(&token, id).await == "completed" }).await;

    let recording = recording_of(&system, &token, id).await;
    let takes = recording["segments"].as_array().expect("takes");
    let told: Vec<_> = takes.iter().map(|take| (&take["segment"], &take["video_id"], &take["parts"])).collect();
    assert_eq!(told, [(&json!(1), &first, &json!(2)), (&json!(3), &third, &json!(1))], "{recording}");
    assert!(takes.iter().all(|take| take["playback_url"].is_string()), "{recording}");
    assert_eq!(recording["video_id"], first, "who knows no takes sees the first");
    assert_eq!((&recording["incomplete"], &recording["mime_type"]), (&json!(false), &Value::Null), "{recording}");
    // The candidate sees how far it is; who may play it is the company's to decide.
    let (status, seen) = system.get(&amara, &format!("{path}/recording")).await;
    assert_eq!((status, seen["state"].as_str()), (200, Some("playable")), "{seen}");
    assert!(!seen.to_string().contains("http"), "{seen}");
    assert_eq!(system.sandbox.ledger().violations().len(), 0, "{:?}", system.sandbox.ledger().violations());
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrived_from_a_page_that_never_came_back_can_be_watched() {
    let system = System::start().await;
    let (token, amara, made) = invited(&system).await;
    let (id, video) = (made["session_id"].as_str().expect("an id"), made["video_id"].as_str().expect("a video"));
    let mut page = system.join(&amara, id).await;
    page.consent().await;
    let info = ticket(&system, &amara, id, json!({})).await;
    // A name of the container that is none is left out, and the first good one stays.
    for name in ["video/webm;\u{0}", &"x".repeat(65), "video/webm;codecs=vp8,opus", "video/mp4"] {
        page.send(json!({"type": "recording_state", "state": "recording", "video_id": video, "mime_type": name})).await;
    }
    let path = format!("/api/sessions/{id}");
    wait_for("the recording is known", || async { system.get(&token, &path).await.1["recording"]["state"] == "recording" }).await;
    for part in ["1/*", "2/*"] {
        assert_eq!(upload(&info, video, part).await, 201);
    }
    drop(page);
    wait_for("the page is gone", || async { system.get(&token, &path).await.1["candidate_connected"] == false }).await;
    system.post(&token, &format!("{path}/end"), &json!({})).await;
    wait_for("the interview is stored", || async { system.phase(&token, id).await == "completed" }).await;
    let recording = recording_of(&system, &token, id).await;
    assert_eq!(recording["segments"][0]["parts"], 3, "two of the page, one that closes: {recording}");
    // Whole as far as the provider knows, and said to lack a part.
    let seen = system.get(&token, &path).await.1;
    for told in [&recording, &recording["segments"][0], &seen["recording"]] {
        assert_eq!((&told["incomplete"], &told["mime_type"]), (&json!(true), &json!("video/webm;codecs=vp8,opus")), "{told}");
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_does_not_wait_long_for_a_container_that_cannot_be_had() {
    let system = System::start().await;
    let (_, amara, made) = invited(&system).await;
    let (id, first) = (made["session_id"].as_str().expect("an id"), made["video_id"].clone());
    let broken = interview_sandbox::faults::Action::Answer { status: 500, headers: vec![], body: "{}".into() };
    system.sandbox.faults().add(interview_sandbox::faults::Fault::once("api.video", "videos.create", broken));
    let info = ticket(&system, &amara, id, json!({"left": [first]})).await;
    assert!(info["video_id"].is_null() && info["warnings"].to_string().contains("recording_unavailable"), "{info}");
    assert!(info["websocket_ticket"].is_string(), "the interview goes on all the same: {info}");
    let info = ticket(&system, &amara, id, json!({"left": [first]})).await;
    assert_eq!(info["video_segment"], 2, "and the next ticket has one: {info}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_a_recording_that_cannot_be_are_refused_and_claims_count_for_nothing() {
    let system = System::start().await;
    let (token, amara, made) = invited(&system).await;
    let (id, video) = (made["session_id"].as_str().expect("an id"), made["video_id"].as_str().expect("a video"));
    let path = format!("/api/sessions/{id}");
    let report = |state: &str, more: Value| {
        let mut report = json!({"type": "recording_state", "state": state, "video_id": video});
        report.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        report
    };
    let mut page = system.join(&amara, id).await;
    page.send(report("recording", json!({}))).await;
    let error = page.expect("error").await;
    assert_eq!((&error["code"], &error["request_type"]), (&json!("consent_required"), &json!("recording_state")), "{error}");
    assert_eq!(system.get(&token, &path).await.1["recording"]["state"], "waiting", "it was no report");

    page.consent().await;
    for part in [json!(0), json!(10_001), json!(-1), json!(u64::MAX), json!(1.5), json!("1"), json!([])] {
        page.send(report("part_stored", json!({"part": part}))).await;
        let error = page.expect("error").await;
        assert_eq!((&error["code"], &error["request_type"]), (&json!("message_invalid"), &json!("recording_state")), "{part}");
    }
    for foreign in ["viNobodys", "", "it\0em", &"x".repeat(300)] {
        page.send(report("recording", json!({"video_id": foreign}))).await;
        let error = page.expect("error").await;
        assert_eq!((&error["code"], &error["retryable"]), (&json!("recording_unknown"), &json!(false)), "{foreign:?}: {error}");
    }

    // A container of another type than it can have is left out; the rest of the report counts.
    page.send(report("recording", json!({"mime_type": 7}))).await;
    wait_for("the recording is known", || async { system.get(&token, &path).await.1["recording"]["state"] == "recording" }).await;
    let info = ticket(&system, &amara, id, json!({})).await;
    assert_eq!(upload(&info, video, "1/*").await, 201);
    page.send(report("part_stored", json!({"part": 9_000}))).await;
    page.send(report("failed", json!({}))).await;
    let (status, _) = system.post(&token, &format!("{path}/end"), &json!({})).await;
    assert_eq!(status, 202);
    wait_for("the interview is stored", || async { system.phase(&token, id).await == "completed" }).await;
    let recording = recording_of(&system, &token, id).await;
    assert_eq!(recording["segments"][0]["parts"], 2, "the one that arrived, and the one that closes: {recording}");
    assert_eq!(system.sandbox.ledger().violations().len(), 0, "{:?}", system.sandbox.ledger().violations());
    system.stop().await;
}
