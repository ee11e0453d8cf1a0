use std::future::Future;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use url::Url;

use super::*;
use crate::integrations::openai::OpenAiOptions;
use crate::integrations::test_server::{Reply, TestServer, dead_address, http_client};

fn client(base: Url) -> OpenAiClient {
    let mut options = OpenAiOptions::new(base, SecretString::from("sk-test"));
    options.handshake_deadline = Duration::from_millis(300);
    options.hang_up_deadline = Duration::from_millis(300);
    options.silence_deadline = Duration::from_millis(300);
    OpenAiClient::new(http_client(), options).expect("usable options")
}

struct Peer {
    base: Url,
    /// Target and authorization of the handshake.
    seen: Arc<Mutex<Option<(String, String)>>>,
    task: JoinHandle<()>,
}

/// One WebSocket server for one connection.
async fn peer<F, Fut>(behave: F) -> Peer
where
    F: FnOnce(WebSocketStream<TcpStream>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = Url::parse(&format!("http://{}/openai/v1", listener.local_addr().expect("bound"))).expect("a url");
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        let look = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            let key = request.headers().get("authorization").expect("a key").to_str().expect("text").to_owned();
            *note.lock().expect("not poisoned") = Some((request.uri().to_string(), key));
            Ok(response)
        };
        behave(tokio_tungstenite::accept_hdr_async(stream, look).await.expect("a handshake")).await;
    });
    Peer { base, seen, task }
}

fn call() -> CallId {
    CallId::from("rtc_u0_1")
}

#[tokio::test]
async fn events_go_both_ways() {
    let server = peer(|mut socket| async move {
        let sent = socket.next().await.expect("a frame").expect("readable");
        assert_eq!(
            sent.into_text().expect("text").as_str(),
            r#"{"type":"session.update","event_id":"rt-1","session":{"type":"realtime"}}"#
        );
        socket.send(Message::text(r#"{"type":"session.updated","session":{"expires_at":1795500000}}"#)).await.expect("sent");
        socket.send(Message::text("broken {")).await.expect("sent");
        socket.send(Message::binary(vec![1, 2])).await.expect("sent");
        socket.send(Message::text(r#"{"type":"output_audio_buffer.stopped","response_id":"r"}"#)).await.expect("sent");
        let close = CloseFrame { code: CloseCode::Away, reason: "Your session hit the maximum duration of 60 minutes.".into() };
        socket.close(Some(close)).await.expect("closed");
    })
    .await;
    let mut sideband = client(server.base.clone()).connect_sideband(&call()).await.expect("joined");
    let seen = server.seen.lock().expect("not poisoned").clone();
    assert_eq!(seen, Some(("/openai/v1/realtime?call_id=rtc_u0_1".into(), "Bearer sk-test".into())));

    let update = ClientEvent::SessionUpdate { event_id: "rt-1".into(), session: Box::default() };
    sideband.send(&update).await.expect("sent");
    let Inbound::Event(ServerEvent::SessionUpdated(updated)) = sideband.next().await.expect("an event") else { panic!() };
    assert_eq!(updated.session.expires_at, Some(1_795_500_000));
    assert!(matches!(sideband.next().await, Ok(Inbound::Event(ServerEvent::Unknown { .. }))));
    assert!(matches!(sideband.next().await, Ok(Inbound::Event(ServerEvent::PlaybackStopped(_)))), "binary is skipped");
    let Inbound::Closed(closed) = sideband.next().await.expect("a close") else { panic!() };
    assert_eq!((closed.code, closed.meaning()), (1001, ClosedMeaning::Expired));
    server.task.await.expect("the peer saw what it expected");
}

#[tokio::test]
async fn halves_work_apart_and_pings_are_answered() {
    let server = peer(|mut socket| async move { while let Some(Ok(_)) = socket.next().await {} }).await;
    let (mut reader, mut writer) = client(server.base.clone()).connect_sideband(&call()).await.expect("joined").split();
    let reading = tokio::spawn(async move { (reader.next().await, reader.next().await) });
    writer.ping().await.expect("sent");
    writer.close().await.expect("sent");
    let (first, second) = reading.await.expect("read");
    assert!(matches!(first, Ok(Inbound::Pong)), "{first:?}");
    assert!(matches!(second, Ok(Inbound::Closed(Closed { code: 1000, .. }))), "{second:?}");
}

#[tokio::test]
async fn silence_and_loss_are_told_apart() {
    let server = peer(|socket| async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(socket);
    })
    .await;
    let mut sideband = client(server.base.clone()).connect_sideband(&call()).await.expect("joined");
    let error = sideband.next().await.expect_err("silent");
    assert_eq!((error.class(), error.code()), (FaultClass::Transient, ErrorCode::OpenAiSidebandSilent));
    server.task.abort();

    let server = peer(|socket| async move { drop(socket) }).await;
    let mut sideband = client(server.base.clone()).connect_sideband(&call()).await.expect("joined");
    let error = sideband.next().await.expect_err("lost");
    assert_eq!((error.class(), error.code()), (FaultClass::Transient, ErrorCode::OpenAiSidebandLost));
}

#[tokio::test]
async fn oversized_message_ends_the_connection() {
    let server = peer(|mut socket| async move {
        let _ = socket.send(Message::text("x".repeat(MAX_MESSAGE_BYTES + 1))).await;
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let mut sideband = client(server.base.clone()).connect_sideband(&call()).await.expect("joined");
    assert!(matches!(sideband.next().await, Err(SidebandError::TooLarge)));
}

#[tokio::test]
async fn refused_handshakes_by_the_table() {
    use FaultClass::{Bug, Rejected, Transient};
    let not_found = r#"{"error":{"code":"call_id_not_found","message":"No session found for the provided call_id","type":"x"}}"#;
    let quota = r#"{"error":{"code":"insufficient_quota","type":"x"}}"#;
    let cases = [
        (401, "", Rejected, ErrorCode::OpenAiUnauthorized),
        (403, "", Rejected, ErrorCode::OpenAiUnauthorized),
        (404, not_found, Rejected, ErrorCode::OpenAiCallGone),
        (404, "", Rejected, ErrorCode::OpenAiCallGone),
        (410, "", Rejected, ErrorCode::OpenAiCallGone),
        (400, "{}", Bug, ErrorCode::OpenAiRequestInvalid),
        (429, "{}", Transient, ErrorCode::OpenAiRateLimited),
        (429, quota, Rejected, ErrorCode::OpenAiQuotaExhausted),
        (500, "<html>", Transient, ErrorCode::OpenAiUnavailable),
        (503, "", Transient, ErrorCode::OpenAiUnavailable),
        (200, "", Transient, ErrorCode::OpenAiUnavailable),
    ];
    for (status, body, class, code) in cases {
        let server = TestServer::always(Reply::new(status, &[("retry-after", "2")], body)).await;
        let error = client(server.base()).connect_sideband(&call()).await.expect_err("refused");
        assert_eq!((error.class(), error.code()), (class, code), "{status} {body}: {error:?}");
        if matches!(error, ConnectSidebandError::Refused { .. }) {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
        }
    }
}

#[tokio::test]
async fn handshake_has_a_deadline() {
    let server = TestServer::always(Reply::Hang).await;
    let error = client(server.base()).connect_sideband(&call()).await.expect_err("hangs");
    assert!(matches!(error, ConnectSidebandError::TimedOut));

    let error = client(dead_address().await).connect_sideband(&call()).await.expect_err("nobody there");
    assert!(matches!(error, ConnectSidebandError::Connect(_)));
    assert!(error.class().is_transient());
}

#[test]
fn closes_by_their_meaning() {
    let meaning = |code, reason: &str| Closed { code, reason: reason.to_owned() }.meaning();
    assert_eq!(meaning(1001, "Your session hit the maximum duration of 60 minutes."), ClosedMeaning::Expired);
    assert_eq!(meaning(1001, ""), ClosedMeaning::Ambiguous);
    assert_eq!(meaning(1000, ""), ClosedMeaning::Ambiguous);
    assert_eq!(meaning(1005, ""), ClosedMeaning::Ambiguous);
    assert_eq!(meaning(1011, "keepalive"), ClosedMeaning::Failed);
    assert_eq!(meaning(4000, "beta_api_shape_disabled"), ClosedMeaning::Refused);
}

/// rustls panics if it cannot tell which crypto provider to use, for instance after
/// a dependency has brought a second one.
#[tokio::test]
async fn tls_needs_no_installed_crypto_provider() {
    let server = TestServer::always(Reply::Raw(b"no tls here".to_vec())).await;
    let mut base = server.base();
    base.set_scheme("https").expect("a special scheme");
    let client = client(base);
    let error = client.connect_sideband(&call()).await.expect_err("no tls there");
    assert!(error.class().is_transient(), "{error:?}");
    let error = client.hang_up(&call()).await.expect_err("no tls there");
    assert!(error.class().is_transient(), "{error:?}");
}
