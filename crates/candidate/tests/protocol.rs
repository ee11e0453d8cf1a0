//! The candidate against a runtime that is played by the test.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use interview_candidate::{Candidate, Closed, ConnectOptions, Error, Join, TicketIn, WebRtcPeer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const PATIENCE: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TcpStream>;

/// Accepts one connection. Gives the socket and the subprotocols that were asked for.
async fn accept(listener: &TcpListener) -> (Socket, String) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut asked = String::new();
    #[allow(clippy::result_large_err)]
    let check = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        request.headers()["sec-websocket-protocol"].to_str().unwrap().clone_into(&mut asked);
        response.headers_mut().insert("sec-websocket-protocol", "interview.v1".parse().unwrap());
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
    (socket, asked)
}

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next message that is not a heartbeat, and how many of those came first.
async fn receive(socket: &mut Socket) -> (Value, usize) {
    let mut beats = 0;
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        let value: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        if value["type"] != "heartbeat" {
            return (value, beats);
        }
        beats += 1;
    }
}

async fn stage() -> (TcpListener, Join) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let join = Join::new(format!("ws://{}/ws/s1", listener.local_addr().unwrap()), "t1");
    (listener, join)
}

#[tokio::test]
async fn speaks_the_protocol() {
    let (listener, join) = stage().await;
    let runtime = tokio::spawn(async move {
        let (mut socket, asked) = accept(&listener).await;
        assert_eq!(asked, "interview.v1, ticket.t1");
        let ready = json!({"type": "session_ready", "n": 1, "heartbeat_interval_ms": 20, "required_consents": ["recording"]});
        send(&mut socket, ready).await;
        let (consent, _) = receive(&mut socket).await;
        assert_eq!((&consent["type"], &consent["kinds"]), (&json!("consent"), &json!(["recording"])));
        send(&mut socket, json!({"type": "consent_recorded", "n": 2, "kinds": ["recording"]})).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        let (end, beats) = receive(&mut socket).await;
        assert_eq!((&end["type"], &end["reason"]), (&json!("end_session"), &json!("done")));
        assert!(beats >= 2, "{beats} heartbeats");
        send(&mut socket, json!({"type": "error", "n": 3, "code": "not_now", "message": "no", "request_type": "end_session"}))
            .await;
        let frame = CloseFrame { code: 4010.into(), reason: "over".into() };
        socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    });
    let mut candidate = Candidate::connect(&join).await.unwrap();
    let ready = candidate.expect("session_ready").await.unwrap();
    candidate.consent(&ready).await.unwrap();
    tokio::time::sleep(Duration::from_millis(120)).await;
    candidate.end("done").await.unwrap();
    let refused = candidate.expect("session_ended").await.unwrap_err();
    assert!(matches!(refused, Error::Refused { ref code, .. } if code == "not_now"), "{refused}");
    let closed = candidate.wait_closed(PATIENCE).await.unwrap();
    assert_eq!(closed, Closed { code: Some(4010), reason: "over".into() });
    assert_eq!(candidate.last_event(), 3);
    let gone = candidate.expect("anything").await.unwrap_err();
    assert!(matches!(gone, Error::Closed { code: Some(4010), .. }), "{gone}");
    runtime.await.unwrap();
}

#[tokio::test]
async fn reconnects_with_a_new_ticket_in_the_first_message() {
    let (listener, join) = stage().await;
    let runtime = tokio::spawn(async move {
        for ticket in ["t1", "t2"] {
            let (mut socket, asked) = accept(&listener).await;
            assert_eq!(asked, "interview.v1");
            let (first, _) = receive(&mut socket).await;
            assert_eq!(first, json!({"type": "authenticate", "ticket": ticket}));
            send(&mut socket, json!({"type": "session_ready", "n": 7})).await;
            // Until the candidate drops the connection.
            while let Some(Ok(_)) = socket.next().await {}
        }
    });
    let options = ConnectOptions { ticket_in: TicketIn::FirstMessage, ..ConnectOptions::default() };
    let mut candidate = Candidate::connect_with(&join, options).await.unwrap();
    candidate.expect("session_ready").await.unwrap();
    assert_eq!(candidate.last_event(), 7);
    candidate.drop_socket().await;
    assert!(candidate.send(json!({"type": "heartbeat"})).await.is_err());
    candidate.reconnect(&Join { websocket_ticket: "t2".into(), ..join }).await.unwrap();
    candidate.expect("session_ready").await.unwrap();
    candidate.hang_up().await;
    runtime.await.unwrap();
}

#[tokio::test]
async fn says_what_came_instead() {
    let (listener, join) = stage().await;
    tokio::spawn(async move {
        let (mut socket, _) = accept(&listener).await;
        send(&mut socket, json!({"type": "time_left", "seconds": 60})).await;
        while let Some(Ok(_)) = socket.next().await {}
    });
    let mut candidate = Candidate::connect(&join).await.unwrap();
    let late = candidate.expect_within("session_ready", Duration::from_millis(200)).await.unwrap_err();
    assert!(late.to_string().contains("time_left"), "{late}");
    assert!(matches!(candidate.peer(), Err(Error::NoMedia)));
}

#[tokio::test]
async fn a_refused_handshake_tells_its_status() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let join = Join::new(format!("ws://{}/", listener.local_addr().unwrap()), "t1");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 2048]).await;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    let refused = Candidate::connect(&join).await.unwrap_err();
    assert!(matches!(refused, Error::Handshake(403)), "{refused}");
}

#[tokio::test]
async fn an_offer_is_whole() {
    let peer = WebRtcPeer::new().await.unwrap();
    let offer = peer.offer();
    assert!(offer.ends_with("\r\n") && offer.contains("m=audio") && offer.contains("webrtc-datachannel"));
    assert!(offer.contains("urn:ietf:params:rtp-hdrext:ssrc-audio-level"));
    assert!(peer.accept("nonsense").await.is_err());
    peer.close().await;
    peer.wait_closed(PATIENCE).await.unwrap();
}
