use super::*;
use crate::error::FaultClass;
use crate::integrations::test_server::{Reply, TestServer, dead_address, http_client};
use http::HeaderMap;

fn limits(deadline: Duration) -> CallLimits {
    CallLimits { vendor: Vendor::OpenAi, action: "probe", deadline, max_body_bytes: 1000 }
}

async fn get(url: Url, deadline: Duration) -> Result<Answer, CallError> {
    let http = http_client();
    let request = http.request(Method::GET, url);
    http.send(limits(deadline), request).await
}

const LONG: Duration = Duration::from_secs(5);

#[tokio::test]
async fn redirect_is_not_followed() {
    let server = TestServer::always(Reply::new(307, &[("location", "http://127.0.0.1:1/")], "")).await;
    let answer = get(server.base(), LONG).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 307);
    assert_eq!(answer.failure(None).class(), FaultClass::Rejected);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn refused_connection_is_certain_not_to_have_happened() {
    let error = get(dead_address().await, LONG).await.expect_err("nobody listens");
    assert!(matches!(error.kind(), CallErrorKind::Connect(_)), "{error:?}");
    assert!(!error.may_have_happened());
    assert_eq!((error.class(), error.code()), (FaultClass::Transient, ErrorCode::OpenAiUnavailable));
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_may_have_happened() {
    let server = TestServer::always(Reply::Hang).await;
    let error = get(server.base(), Duration::from_millis(50)).await.expect_err("hangs");
    assert!(matches!(error.kind(), CallErrorKind::TimedOut));
    assert!(error.may_have_happened());
    assert_eq!(error.code(), ErrorCode::OpenAiTimedOut);
}

#[tokio::test]
async fn dropped_connection_may_have_happened() {
    let server = TestServer::always(Reply::Raw(Vec::new())).await;
    let error = get(server.base(), LONG).await.expect_err("dropped");
    assert!(matches!(error.kind(), CallErrorKind::Broken(_)), "{error:?}");
    assert!(error.may_have_happened());
    assert_eq!(server.requests().len(), 1, "no hidden retry");
}

#[tokio::test]
async fn garbage_is_an_error_not_a_panic() {
    let server = TestServer::always(Reply::Raw(b"\x00\xff not http\r\n\r\n".to_vec())).await;
    let error = get(server.base(), LONG).await.expect_err("garbage");
    assert_eq!(error.class(), FaultClass::Transient);
}

#[tokio::test]
async fn body_that_breaks_off_keeps_the_head() {
    let server =
        TestServer::always(Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nx-request-id: req_1\r\n\r\nhalf".to_vec()))
            .await;
    let error = get(server.base(), LONG).await.expect_err("half a body");
    assert!(matches!(error.kind(), CallErrorKind::BodyLost(_)), "{error:?}");
    assert_eq!(error.request_id(), Some("req_1"));
    assert_eq!(error.status(), Some(StatusCode::OK));
}

#[tokio::test]
async fn large_bodies_are_refused_announced_or_not() {
    let server = TestServer::always(Reply::new(200, &[], vec![b'x'; 1001])).await;
    let error = get(server.base(), LONG).await.expect_err("too large");
    assert!(matches!(error.kind(), CallErrorKind::BodyTooLarge));

    let mut raw = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    raw.extend_from_slice(&[b'x'; 1001]);
    let server = TestServer::always(Reply::Raw(raw)).await;
    let error = get(server.base(), LONG).await.expect_err("too large");
    assert!(matches!(error.kind(), CallErrorKind::BodyTooLarge));
}

#[tokio::test]
async fn no_error_text_shows_the_address() {
    let mut url = dead_address().await;
    url.set_query(Some("token=secret-upload-token"));
    let error = get(url, LONG).await.expect_err("nobody listens");
    let mut told = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        told = format!("{told} {inner} {inner:?}");
        source = inner.source();
    }
    assert!(!told.contains("secret-upload-token"), "{told}");
}

fn head_with(name: &'static str, value: &str) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().expect("a header value"));
    Head { status: StatusCode::TOO_MANY_REQUESTS, headers }
}

#[test]
fn retry_after_in_every_spelling() {
    let wait = |name, value: &str| head_with(name, value).retry_after();
    assert_eq!(wait("retry-after", "2"), Some(Duration::from_secs(2)));
    assert_eq!(wait("retry-after", "1.5"), Some(Duration::from_millis(1500)));
    assert_eq!(wait("retry-after-ms", "250"), Some(Duration::from_millis(250)));
    assert_eq!(wait("x-ratelimit-retry-after", "7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
    let far = wait("retry-after", "Fri, 31 Dec 2100 23:59:59 GMT");
    assert_eq!(far, Some(crate::integrations::vendor_call::LONGEST_RETRY_AFTER));
    assert_eq!(wait("retry-after", "1e300"), None);
    for nonsense in ["-1", "soon", "NaN", "inf", ""] {
        assert_eq!(wait("retry-after", nonsense), None, "{nonsense}");
    }
}

#[test]
fn endpoint_keeps_the_base_path_and_escapes_segments() {
    let base = Url::parse("http://localhost:1/openai/v1/").expect("a url");
    let url = endpoint(&base, &["realtime", "calls", "../x?y", "hangup"]);
    assert_eq!(url.as_str(), "http://localhost:1/openai/v1/realtime/calls/..%2Fx%3Fy/hangup");
}

#[test]
fn base_urls_are_checked() {
    let check = |text: &str| check_base_url(&Url::parse(text).expect("a url")).is_ok();
    assert!(check("https://api.openai.com/v1"));
    assert!(check("http://127.0.0.1:9/openai/v1"));
    for bad in ["ftp://x/", "https://user@x/", "https://x/?a=b", "https://x/#f", "data:text/plain,x"] {
        assert!(!check(bad), "{bad}");
    }
}

#[tokio::test]
async fn undecodable_answer_is_not_quoted() {
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[serde(rename = "text")]
        _text: u32,
    }
    let server = TestServer::always(Reply::json(200, r#"{"text":"what the candidate said"}"#)).await;
    let error = get(server.base(), LONG).await.expect("an answer").json::<Wanted>().expect_err("a string");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    let told = format!("{error} {error:?} {source:?}");
    assert!(told.contains("line 1") && !told.contains("candidate said"), "{told}");
}
