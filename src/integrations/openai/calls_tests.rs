use super::*;
use crate::integrations::openai::OpenAiOptions;
use crate::integrations::test_server::{Reply, Request, TestServer, dead_address, http_client};
use secrecy::SecretString;
use url::Url;

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\na=unusual: \u{e9}\r\n";
const ANSWER: &str = "v=0\r\no=- 3 4 IN IP4 127.0.0.1\r\n";
const LOCATION_OK: (&str, &str) = ("location", "/v1/realtime/calls/rtc_u2_E4xw9V7Wm6BbwNyTjXvsL");

fn client(base: Url) -> OpenAiClient {
    let mut options = OpenAiOptions::new(base, SecretString::from("sk-test-key"));
    options.call_deadline = Duration::from_millis(500);
    OpenAiClient::new(http_client(), options).expect("usable options")
}

fn session() -> SessionConfig {
    SessionConfig { model: Some("gpt-realtime-2.1".into()), ..SessionConfig::default() }
}

async fn open(reply: Reply) -> (Result<CallCreated, CreateCallError>, TestServer) {
    let server = TestServer::always(reply).await;
    let result = client(server.base()).create_call(OFFER, &session()).await;
    (result, server)
}

fn boundary(request: &Request) -> String {
    let content_type = request.header("content-type").expect("a content type");
    content_type.strip_prefix("multipart/form-data; boundary=").expect("multipart").to_owned()
}

#[tokio::test]
async fn offer_and_session_are_sent_to_the_byte() {
    let reply = Reply::new(201, &[LOCATION_OK, ("content-type", "text/plain; charset=utf-8"), ("x-request-id", "req_7")], ANSWER);
    let (result, server) = open(reply).await;
    let call = result.expect("opened");
    assert_eq!(call.call_id.as_str(), "rtc_u2_E4xw9V7Wm6BbwNyTjXvsL");
    assert_eq!(call.answer_sdp, ANSWER);
    assert_eq!(call.request_id.as_deref(), Some("req_7"));

    let request = server.only_request();
    assert_eq!(request.line, "POST /v1/realtime/calls");
    assert_eq!(request.header("authorization"), Some("Bearer sk-test-key"));
    assert_eq!(request.header("accept"), Some("application/sdp"));
    assert_eq!(request.header("openai-beta"), None);
    assert!(request.header("x-client-request-id").is_some());
    let boundary = boundary(&request);
    let expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"sdp\"\r\nContent-Type: application/sdp\r\n\r\n{OFFER}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"session\"\r\nContent-Type: application/json\r\n\r\n\
         {{\"type\":\"realtime\",\"model\":\"gpt-realtime-2.1\"}}\r\n--{boundary}--\r\n"
    );
    let body = String::from_utf8(request.body).expect("utf-8");
    assert_eq!(body, expected);
}

#[test]
fn location_in_every_form() {
    let id = |location: &str| call_id_from_location(location).map(crate::ids::CallId::into_string);
    let found = Some("rtc_123456".to_owned());
    assert_eq!(id("/v1/realtime/calls/rtc_123456"), found);
    assert_eq!(id("https://api.openai.com/v1/realtime/calls/rtc_123456"), found);
    assert_eq!(id("/v1/realtime/calls/calls/rtc_123456"), found);
    assert_eq!(id("/v1/realtime/calls/rtc_123456/"), found);
    assert_eq!(id("/v1/realtime/calls/rtc_123456?x=1#y"), found);
    assert_eq!(id("/v1/realtime?call_id=rtc_123456"), found);
    assert_eq!(id("/v1/realtime?model=x&call_id=rtc_123456"), found);
    assert_eq!(id("rtc_123456"), found);
    for bad in [
        "",
        "/",
        "/v1/realtime/calls/",
        "/v1/realtime/calls/rtc_",
        "/v1/realtime/calls/sess_1",
        "/calls/rtc_a%2Fb",
        "/calls/rtc_a b",
    ] {
        assert_eq!(id(bad), None, "{bad}");
    }
    assert_eq!(id(&format!("/calls/rtc_{}", "x".repeat(300))), None);
}

#[tokio::test]
async fn lost_answer_names_the_orphan() {
    let raw = format!("HTTP/1.1 201 Created\r\n{}: {}\r\ncontent-length: 500\r\n\r\nv=0\r\n", LOCATION_OK.0, LOCATION_OK.1);
    let (result, _server) = open(Reply::Raw(raw.into_bytes())).await;
    let error = result.expect_err("half an answer");
    assert_eq!(error.orphan().map(CallId::as_str), Some("rtc_u2_E4xw9V7Wm6BbwNyTjXvsL"));
    assert_eq!((error.class(), error.code()), (FaultClass::Transient, ErrorCode::OpenAiCallOrphaned));
    assert!(error.is_safe_to_repeat());
}

#[tokio::test]
async fn created_without_an_sdp_names_the_orphan() {
    let (result, _server) = open(Reply::new(201, &[LOCATION_OK], "<html>")).await;
    assert!(result.expect_err("not an sdp").orphan().is_some());
}

#[tokio::test]
async fn created_without_a_call_id_is_not_repeated() {
    let (result, _server) = open(Reply::new(201, &[], ANSWER)).await;
    let error = result.expect_err("no location");
    assert!(error.orphan().is_none());
    assert!(!error.is_safe_to_repeat(), "there is a call that nobody can name");
    assert_eq!(error.code(), ErrorCode::OpenAiAnswerInvalid);
}

#[tokio::test]
async fn location_of_anything_but_a_201_is_no_call() {
    for status in [200, 202, 307] {
        let (result, _server) = open(Reply::new(status, &[LOCATION_OK], ANSWER)).await;
        let error = result.expect_err("not created");
        assert!(error.orphan().is_none(), "{status}");
        assert_eq!(error.class(), FaultClass::Rejected, "{status}");
    }
}

#[tokio::test]
async fn errors_by_the_table() {
    use ErrorCode as C;
    use FaultClass::{Bug, Client, Rejected, Transient};
    let error =
        |code: &str| format!(r#"{{"error":{{"message":"m","type":"invalid_request_error","param":null,"code":"{code}"}}}}"#);
    let eof = r#"{"error":{"message":"Failed to parse offer: failed to unmarshal SDP: EOF","type":"invalid_request_error"}}"#;
    let empty = r#"{"error":{"message":"","type":"","param":"","code":""}}"#;
    let cases: Vec<(u16, String, FaultClass, ErrorCode)> = vec![
        (400, error("invalid_offer"), Client, C::OpenAiOfferRefused),
        (400, eof.to_owned(), Client, C::OpenAiOfferRefused),
        (400, error("unknown_parameter"), Bug, C::OpenAiRequestInvalid),
        (400, empty.to_owned(), Bug, C::OpenAiRequestInvalid),
        (401, error("invalid_api_key"), Rejected, C::OpenAiUnauthorized),
        (401, "not json".to_owned(), Rejected, C::OpenAiUnauthorized),
        (403, String::new(), Rejected, C::OpenAiUnauthorized),
        (404, error("model_not_found"), Rejected, C::OpenAiModelUnavailable),
        (429, error("rate_limit_exceeded"), Transient, C::OpenAiRateLimited),
        (429, error("insufficient_quota"), Rejected, C::OpenAiQuotaExhausted),
        (429, error("billing_hard_limit_reached"), Rejected, C::OpenAiQuotaExhausted),
        (429, r#"{"error":{"type":"insufficient_quota","code":null}}"#.to_owned(), Rejected, C::OpenAiQuotaExhausted),
        (408, String::new(), Transient, C::OpenAiUnavailable),
        (409, String::new(), Transient, C::OpenAiUnavailable),
        (500, "<html>".to_owned(), Transient, C::OpenAiUnavailable),
        (503, error("server_is_overloaded"), Transient, C::OpenAiUnavailable),
    ];
    for (status, body, class, code) in cases {
        let (result, _server) = open(Reply::json(status, &body)).await;
        let failure = result.expect_err("an error status");
        assert_eq!((failure.class(), failure.code()), (class, code), "{status} {body}");
        assert!(failure.is_safe_to_repeat(), "{status}: refused before a call existed");
    }
}

#[tokio::test]
async fn advice_on_retrying_is_followed() {
    let (result, _server) = open(Reply::new(429, &[("retry-after", "3"), ("x-request-id", "req_9")], "{}")).await;
    let error = result.expect_err("slow down");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(error.call_error().request_id(), Some("req_9"));

    let (result, _server) = open(Reply::new(500, &[("x-should-retry", "false")], "{}")).await;
    assert_eq!(result.expect_err("given up").class(), FaultClass::Rejected);
    let (result, _server) = open(Reply::new(422, &[("x-should-retry", "true")], "{}")).await;
    assert_eq!(result.expect_err("try again").class(), FaultClass::Transient);
}

#[tokio::test]
async fn only_silence_is_unsafe_to_repeat() {
    let (result, _server) = open(Reply::Hang).await;
    let error = result.expect_err("hangs");
    assert!(!error.is_safe_to_repeat());
    assert_eq!(error.code(), ErrorCode::OpenAiTimedOut);

    let error = client(dead_address().await).create_call(OFFER, &session()).await.expect_err("nobody there");
    assert!(error.is_safe_to_repeat());
}

#[tokio::test]
async fn no_secret_in_an_error() {
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-test-key.","code":"invalid_api_key"}}"#;
    let (result, _server) = open(Reply::json(401, body)).await;
    let error = result.expect_err("refused");
    let told = format!("{error} {error:?} {}", error.call_error().excerpt().expect("a body").expose());
    assert!(!told.contains("sk-test-key"), "{told}");
}

#[tokio::test]
async fn hanging_up_twice_is_no_failure() {
    let call = CallId::from("rtc_1");
    for (status, expected) in [(200, HungUp::Ending), (404, HungUp::AlreadyEnded), (410, HungUp::AlreadyEnded)] {
        let server = TestServer::always(Reply::new(status, &[], "")).await;
        assert_eq!(client(server.base()).hang_up(&call).await.expect("hung up"), expected);
        assert_eq!(server.only_request().line, "POST /v1/realtime/calls/rtc_1/hangup");
    }
    let server = TestServer::always(Reply::new(500, &[], "")).await;
    assert!(client(server.base()).hang_up(&call).await.expect_err("failed").class().is_transient());
}

#[test]
fn unusable_keys_are_refused_at_start() {
    let base = Url::parse("https://api.openai.com/v1").expect("a url");
    for key in ["", "  ", "a\nb"] {
        let options = OpenAiOptions::new(base.clone(), SecretString::from(key));
        assert!(OpenAiClient::new(http_client(), options).is_err(), "{key:?}");
    }
}
