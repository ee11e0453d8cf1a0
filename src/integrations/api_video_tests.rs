use serde_json::json;

use super::*;
use crate::error::Fault;
use crate::integrations::test_server::{Reply, TestServer, http_client};

const VIDEO: &str = r#"{"videoId":"vi4blUQJFrYWbaG44NChkH27","title":"t","createdAt":"2026-11-23T10:00:00+00:00","public":false,"language":false,
 "metadata":[{"key":"session_id","value":"s1"},{"key":"tenant_id","value":"t1"}],
 "assets":{"player":"https://embed.api.video/vod/vi4blUQJFrYWbaG44NChkH27?token=pt-1","hls":"https://vod.api.video/vod/vi4/token/pt-1/hls/manifest.m3u8",
 "mp4":"javascript:alert(1)","iframe":"<iframe>"}}"#;

fn client(base: Url) -> ApiVideoClient {
    ApiVideoClient::new(http_client(), ApiVideoOptions::new(base, SecretString::from("key"))).expect("usable options")
}

fn metadata() -> [(&'static str, String); 2] {
    [("session_id", "s1".to_owned()), ("tenant_id", "t1".to_owned())]
}

#[tokio::test]
async fn container_is_private_and_carries_our_ids() {
    let server = TestServer::always(Reply::json(201, VIDEO)).await;
    let video = client(server.base()).create_video("Interview s1", &metadata()).await.expect("created");
    assert_eq!(video.video_id.as_str(), "vi4blUQJFrYWbaG44NChkH27");
    let sent = server.only_request();
    assert_eq!(sent.line, "POST /v1/videos");
    assert_eq!(sent.header("authorization"), Some("Basic a2V5Og=="), "the colon belongs to it");
    let expected = json!({
        "title": "Interview s1", "public": false, "transcript": false, "mp4Support": true,
        "metadata": [{"key": "session_id", "value": "s1"}, {"key": "tenant_id", "value": "t1"}]
    });
    assert_eq!(sent.json(), expected);
}

#[tokio::test]
async fn upload_token_is_minted_with_an_end_and_deleted_once() {
    let server =
        TestServer::always(Reply::json(200, r#"{"token":"to123","ttl":3600,"expiresAt":"2026-11-23T11:00:00+00:00"}"#)).await;
    let token = client(server.base()).create_upload_token(Duration::ZERO).await.expect("minted");
    assert_eq!(server.only_request().json(), json!({"ttl": 1}), "zero would mean for ever");
    assert!(!format!("{token:?}").contains("to123"));

    for status in [204, 404] {
        let server = TestServer::always(Reply::new(status, &[], "")).await;
        client(server.base()).delete_upload_token(&token.token).await.expect("gone");
        assert_eq!(server.only_request().line, "DELETE /v1/upload-tokens/to123");
    }
}

#[tokio::test]
async fn status_survives_missing_and_odd_fields() {
    let full = r#"{"ingest":{"status":"uploading","filesize":null,"receivedBytes":[],"receivedParts":{"parts":[1,2],"total":3}},
        "encoding":{"playable":true,"qualities":[{"type":"hls","quality":"720p","status":"encoded"},{"type":"mp4","quality":"720p","status":"waiting"}],
        "metadata":{"bitrate":411.2,"duration":4176}}}"#;
    let cases: [(&str, bool, bool, u32); 6] = [
        (full, false, true, 2),
        (r#"{"ingest":{"receivedParts":{"parts":[1,2,3],"total":3}}}"#, true, false, 3),
        (r#"{"ingest":{"status":"uploaded"},"encoding":null}"#, true, false, 0),
        (r#"{"ingest":{"status":"ingested","receivedParts":"odd"}}"#, true, false, 0),
        (r#"{"ingest":{"status":"last_chunck_uploaded","receivedParts":{"parts":null,"total":null}}}"#, false, false, 0),
        ("{}", false, false, 0),
    ];
    for (body, uploaded, playable, parts) in cases {
        let server = TestServer::always(Reply::json(200, body)).await;
        let status = client(server.base()).status(&VideoId::from("vi1")).await.expect("a status");
        assert_eq!((status.uploaded(), status.playable(), status.parts()), (uploaded, playable, parts), "{body}");
        assert!(!status.encoded());
    }
}

#[tokio::test]
async fn playback_addresses_do_not_print_and_are_web_addresses() {
    let server = TestServer::always(Reply::json(200, VIDEO)).await;
    let playback = client(server.base()).playback(&VideoId::from("vi1")).await.expect("assets");
    assert!(playback.player_url.as_ref().is_some_and(|url| url.as_str().contains("token=pt-1")));
    assert_eq!(playback.mp4_url, None, "a script is no address");
    assert!(!format!("{playback:?}").contains("pt-1"));
}

#[tokio::test]
async fn errors_by_the_table() {
    use FaultClass::{Bug, Rejected, Transient};
    let problem = |slug: &str| format!(r#"{{"type":"https://docs.api.video/reference/{slug}","title":"t"}}"#);
    let cases = [
        (400, problem("invalid-attribute"), Bug, ErrorCode::ApiVideoRequestInvalid),
        (401, problem("authentication-invalid-api-key"), Rejected, ErrorCode::ApiVideoUnauthorized),
        (403, problem("authorization-suspended-account"), Rejected, ErrorCode::ApiVideoAccountSuspended),
        (404, problem("resource-not-found"), Rejected, ErrorCode::ApiVideoVideoNotFound),
        (404, problem("unrecognized-request-url"), Bug, ErrorCode::ApiVideoRequestInvalid),
        (429, problem("too-many-requests"), Transient, ErrorCode::ApiVideoRateLimited),
        (500, "<html>".to_owned(), Transient, ErrorCode::ApiVideoUnavailable),
        (302, String::new(), Rejected, ErrorCode::ApiVideoAnswerInvalid),
    ];
    for (status, body, class, code) in cases {
        let server = TestServer::always(Reply::new(status, &[("x-ratelimit-retry-after", "9")], &body)).await;
        let error = client(server.base()).status(&VideoId::from("vi1")).await.expect_err("an error status");
        assert_eq!((error.class(), error.code()), (class, code), "{status} {body}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(9)));
    }
}

#[test]
fn recording_urls_that_name_a_video() {
    let id = |text: &str| parse_recording_url(text).map(crate::ids::VideoId::into_string);
    let vi = Some("vi52d1jtaik8jfej213r".to_owned());
    for good in [
        "https://api.video/videos/vi52d1jtaik8jfej213r",
        "https://ws.api.video/videos/vi52d1jtaik8jfej213r",
        "https://embed.api.video/vod/vi52d1jtaik8jfej213r",
        "https://embed.api.video/vod/vi52d1jtaik8jfej213r?token=abc-1",
        "https://vod.api.video/vod/vi52d1jtaik8jfej213r/token/pt1/hls/manifest.m3u8",
        "https://cdn.api.video/vod/vi52d1jtaik8jfej213r/mp4/source.mp4",
    ] {
        assert_eq!(id(good), vi, "{good}");
    }
}

#[test]
fn forged_recording_urls_are_refused() {
    let long = format!("https://api.video/videos/vi1/{}", "a".repeat(MAX_URL_BYTES));
    let long_id = format!("https://api.video/videos/vi{}", "a".repeat(MAX_VIDEO_ID_BYTES));
    for bad in [
        "",
        "vi52d1jtaik8jfej213r",
        "http://api.video/videos/vi1a",
        "HTTPS://api.video/videos/vi1a",
        "https:api.video/videos/vi1a",
        "https:///api.video/videos/vi1a",
        "//api.video/videos/vi1a",
        "javascript://api.video/videos/vi1a",
        "data:text/html,https://api.video/videos/vi1a",
        "https://api.video.evil.test/videos/vi1a",
        "https://evil.test/videos/vi1a",
        "https://evilapi.video/videos/vi1a",
        "https://x.api.video/videos/vi1a",
        "https://sandbox.api.video/videos/vi1a",
        "https://api.video./videos/vi1a",
        "https://api.video:443/videos/vi1a",
        "https://api.video:8443/videos/vi1a",
        "https://user@api.video/videos/vi1a",
        "https://api.video@evil.test/videos/vi1a",
        "https://api.video:x@evil.test/videos/vi1a",
        "https://api.video\\@evil.test/videos/vi1a",
        "https://api.video\\videos\\vi1a",
        "https://evil.test/https://api.video/videos/vi1a",
        "https://evil.test?https://api.video/videos/vi1a",
        "https://evil.test#https://api.video/videos/vi1a",
        "https://api.video?x=/videos/vi1a",
        "https://api.video#/videos/vi1a",
        "https://api.video/videos/vi1a#x",
        "https://аpi.video/videos/vi1a",
        "https://api。video/videos/vi1a",
        "https://xn--pi-7lb.video/videos/vi1a",
        "https://API.video/videos/vi1a",
        "https://%61pi.video/videos/vi1a",
        "https://api.video/videos/%76i1a",
        "https://api.video/videos/vi1a%00",
        "https://api.video/videos/vi1a\n",
        " https://api.video/videos/vi1a",
        "https://api.video/vid\teos/vi1a",
        "https://api.video/videos/vi1a/../vi2b",
        "https://api.video/videos/../videos/vi1a",
        "https://api.video//videos/vi1a",
        "https://api.video/videos//vi1a",
        "https://api.video/videos/",
        "https://api.video/videos/vi",
        "https://api.video/videos/li1a",
        "https://api.video/videos/vi1a;x",
        "https://api.video/videos/vi-1a",
        "https://api.video/live/vi1a",
        "https://api.video/vi1a",
        "https://api.video",
        "https://127.0.0.1/videos/vi1a",
        "https://[::1]/videos/vi1a",
        long.as_str(),
        long_id.as_str(),
    ] {
        assert_eq!(parse_recording_url(bad), None, "{bad:?}");
    }
}
