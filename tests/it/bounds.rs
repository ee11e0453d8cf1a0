//! What one client can do to a session's process: nothing that another client would notice, and nothing that costs more than a
//! bounded amount of memory. Real processes, real sockets.

use crate::support::browser::Browser;
use crate::support::process::Process;
use crate::support::{ORIGIN, World, wait_for};
use futures_util::{SinkExt, StreamExt};
use interview_runtime::ids::SessionId;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// A connection whose every byte is ours to send, read or leave.
type Raw = WebSocketStream<TcpStream>;

async fn connect(process: &Process, ticket: &str) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Small, so that a peer that does not read is noticed soon.
    socket.set_recv_buffer_size(4 * 1024).expect("a size");
    let stream = socket.connect(process.address).await.expect("connects");
    let mut request = process.websocket_url().into_client_request().expect("a request");
    let protocols = if ticket.is_empty() { "interview.v1".to_owned() } else { format!("interview.v1, ticket.{ticket}") };
    let headers = request.headers_mut();
    headers.insert("origin", ORIGIN.parse().expect("an origin"));
    headers.insert("sec-websocket-protocol", protocols.parse().expect("protocols"));
    headers.insert("sec-websocket-extensions", "permessage-deflate; client_max_window_bits".parse().expect("extensions"));
    let (socket, answer) = tokio_tungstenite::client_async(request, stream).await.expect("the handshake");
    assert_eq!(answer.headers().get("sec-websocket-extensions"), None, "compression is never agreed on");
    socket
}

/// The code the connection is closed with; 1006 when there is none.
async fn closed(socket: &mut Raw) -> u16 {
    let code = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return 1006,
            }
        }
    };
    timeout(Duration::from_mins(1), code).await.expect("the connection is closed in time")
}

async fn connected(process: &Process) -> bool {
    snapshot(process).await["connected"] == json!(true)
}

async fn snapshot(process: &Process) -> Value {
    let answer = reqwest::get(format!("http://{}/debug/snapshot", process.address)).await.expect("the process answers");
    answer.json().await.expect("JSON")
}

/// Resident memory in KiB: now, and at most since [`forget_peak`].
fn memory(process: &Process) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("a process");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a field");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn forget_peak(process: &Process) {
    std::fs::write(format!("/proc/{}/clear_refs", process.pid()), "5").expect("the peak is forgotten");
}

#[tokio::test]
async fn a_browser_that_never_reads_costs_little_and_its_session_waits_for_it() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut process = world.spawn_ready(session, &[]).await;
    let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    // Much to tell: 400 entries of 2 KB that the process tells again whenever it is asked.
    for seq in 1..=20 {
        let entry = |n| json!({"text": format!("{seq} {n} {}", "words ".repeat(330)), "speaker": "candidate", "timestamp": "2026-11-23T10:00:00Z", "id": format!("{seq}-{n}")});
        let entries: Vec<Value> = (0..20).map(entry).collect();
        browser.send(json!({"type": "transcript_update", "entries": entries, "seq": seq})).await;
        assert_eq!(browser.expect("transcript_ack").await["seq"], seq);
    }
    let (idle, _) = memory(&process);
    forget_peak(&process);

    let mut deaf = connect(&process, &world.ticket(session).await).await;
    let begun = Instant::now();
    for _ in 0..150 {
        if deaf.send(Message::text(r#"{"type":"resume","last_event":0}"#)).await.is_err() {
            break;
        }
    }
    timeout(Duration::from_secs(30), async {
        while connected(&process).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("closed within 30 s");
    let (took, (_, peak)) = (begun.elapsed(), memory(&process));
    println!(
        "a browser that never reads: let go after {took:.1?}; memory idle {idle} KiB, at most {peak} KiB, x{:.2}",
        peak as f64 / idle as f64
    );
    assert!(peak <= 2 * idle, "{peak} KiB of {idle} KiB");

    // One that was too slow and reads again is told to come back later.
    let mut slow = connect(&process, &world.ticket(session).await).await;
    for _ in 0..20 {
        slow.send(Message::text(r#"{"type":"resume","last_event":0}"#)).await.expect("sent");
    }
    // In the database once everything before it was told.
    slow.send(Message::text(r#"{"type":"integrity_event","kind":"told"}"#)).await.expect("sent");
    wait_for("all was told", || async { notes(&world, session, "told").await == 1 }).await;
    assert_eq!(closed(&mut slow).await, 1013);

    let mut browser = Browser::connect(&process.websocket_url(), &world.ticket(session).await).await.expect("comes back");
    assert_eq!(browser.expect("session_ready").await["acked_seq"], 20);
    browser.say(21, &["still here"]).await;
    browser.expect("transcript_ack").await;
    assert_eq!(world.rows(session).await.len(), 401);
    process.signal("TERM");
    assert_eq!(process.ended(Duration::from_secs(20)).await.code, Some(75));
    world.stop().await;
}

async fn notes(world: &World, session: SessionId, kind: &str) -> i64 {
    sqlx::query_scalar("select count(*) from app.integrity_events where session_id = $1 and kind = $2")
        .bind(session.0)
        .bind(kind)
        .fetch_one(&world.admin)
        .await
        .expect("the notes")
}

#[tokio::test]
async fn a_peer_that_vanishes_is_noticed_within_two_beats() {
    const BEAT: Duration = Duration::from_millis(500);
    let world = World::start().await;
    let session = world.new_session().await;
    let beat_ms = BEAT.as_millis().to_string();
    let dead_ms = (2 * BEAT).as_millis().to_string();
    let keys = [("INTERVIEW__SOCKET__HEARTBEAT_INTERVAL_MS", &*beat_ms), ("INTERVIEW__SOCKET__DEAD_AFTER_MS", &*dead_ms)];
    let process = world.spawn_ready(session, &keys).await;
    // It answers pings for a while, and is kept.
    let mut peer = connect(&process, &world.ticket(session).await).await;
    let _ = timeout(4 * BEAT, async { while let Some(Ok(_)) = peer.next().await {} }).await;
    assert!(connected(&process).await, "a silent browser that answers pings is alive");
    // From here on nothing comes from it, and nothing says that it is gone.
    let begun = Instant::now();
    while connected(&process).await {
        assert!(begun.elapsed() < 10 * BEAT, "not noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = begun.elapsed();
    println!("a peer that vanished was noticed after {took:.2?} with a beat of {BEAT:?}");
    assert!(took <= 2 * BEAT + Duration::from_millis(100), "{took:?}");
    drop(process);
    world.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_big_is_refused_before_it_is_kept() {
    let world = World::start().await;
    let session = world.new_session().await;
    let process = world.spawn_ready(session, &[]).await;
    let (idle, _) = memory(&process);
    forget_peak(&process);
    for bytes in [64 * 1024 + 1, 1_000_000, 17_000_000] {
        let mut browser = connect(&process, &world.ticket(session).await).await;
        let _ = browser.send(Message::text("x".repeat(bytes))).await;
        assert_eq!(closed(&mut browser).await, 1009, "{bytes} bytes in one frame");
        // The same in pieces that are each allowed.
        let mut browser = connect(&process, &world.ticket(session).await).await;
        for piece in 0..bytes.div_ceil(60_000) {
            let opcode = OpCode::Data(if piece == 0 { Data::Text } else { Data::Continue });
            if browser.send(Message::Frame(Frame::message("x".repeat(60_000), opcode, false))).await.is_err() {
                break;
            }
        }
        assert_eq!(closed(&mut browser).await, 1009, "{bytes} bytes in pieces");
    }
    let (_, peak) = memory(&process);
    println!("messages of 64 KiB to 17 MB: memory idle {idle} KiB, at most {} KiB more", peak.saturating_sub(idle));
    assert!(peak <= idle + 4 * 1024, "{peak} KiB of {idle} KiB");
    drop(process);
    world.stop().await;
}

#[tokio::test]
async fn a_flood_ends_its_own_connection_and_no_other_interview_notices() {
    let world = World::start().await;
    let (session, other) = (world.new_session().await, world.new_session().await);
    let (process, neighbour) = (world.spawn_ready(session, &[]).await, world.spawn_ready(other, &[]).await);
    let mut quiet = Browser::join(&neighbour.websocket_url(), &world.ticket(other).await).await;
    let mut acks = Vec::new();
    let mut seq = 0;
    let mut talk = async |acks: &mut Vec<Duration>| {
        seq += 1;
        let begun = Instant::now();
        quiet.say(seq, &["words"]).await;
        assert_eq!(quiet.expect("transcript_ack").await["seq"], seq);
        acks.push(begun.elapsed());
    };
    for _ in 0..50 {
        talk(&mut acks).await;
    }
    let calm = percentile(&mut acks, 0.99);
    acks.clear();
    let (idle, _) = memory(&process);
    forget_peak(&process);

    let mut sent = 0_u32;
    let begun = Instant::now();
    for profile in ["heartbeat", "garbage", "pings", "one byte", "empty pieces"] {
        let mut flooder = connect(&process, &world.ticket(session).await).await;
        for n in 0..10_000 {
            let message = match profile {
                "heartbeat" => Message::text(r#"{"type":"heartbeat"}"#),
                "garbage" => Message::text("[{]}"),
                "pings" => Message::Ping(vec![0; 125].into()),
                "one byte" => Message::text("x"),
                _ => {
                    Message::Frame(Frame::message("", OpCode::Data(if n == 0 { Data::Text } else { Data::Continue }), n == 9_999))
                }
            };
            // Fed, not sent: as fast as the line takes them.
            if flooder.feed(message).await.is_err() {
                break;
            }
            sent += 1;
            if n % 500 == 0 {
                let _ = flooder.flush().await;
                talk(&mut acks).await;
            }
        }
        let _ = flooder.flush().await;
        if profile != "empty pieces" {
            // Too many, or it does not read what it is told of them: whichever is noticed first.
            let code = closed(&mut flooder).await;
            assert!(code == 1008 || code == 1013, "{profile}: {code}");
        }
    }
    let per_s = f64::from(sent) / begun.elapsed().as_secs_f64();
    let (flooded, (_, peak)) = (percentile(&mut acks, 0.99), memory(&process));
    println!(
        "{sent} frames, {per_s:.0} a second; the neighbour's acks p99 {calm:.2?} calm, {flooded:.2?} beside the flood; memory x{:.2}",
        peak as f64 / idle as f64
    );
    assert!(peak <= 2 * idle, "{peak} KiB of {idle} KiB");
    assert!(flooded < Duration::from_secs(1), "{flooded:?}");
    // The session is there for a browser that behaves.
    let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["hello"]).await;
    browser.expect("transcript_ack").await;
    drop((process, neighbour));
    world.stop().await;
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

#[tokio::test]
async fn whatever_a_frame_holds_is_answered_by_its_kind() {
    let world = World::start().await;
    let session = world.new_session().await;
    let process = world
        .spawn_ready(session, &[("INTERVIEW__SOCKET__FRAMES_PER_S", "10000"), ("INTERVIEW__SOCKET__FRAMES_BURST", "10000")])
        .await;
    for (payload, code) in [(vec![0xff, 0xfe, 0xfd], 1007), (vec![0xe2, 0x82], 1007), (vec![0xed, 0xa0, 0x80], 1007)] {
        let mut browser = connect(&process, &world.ticket(session).await).await;
        browser.send(Message::Frame(Frame::message(payload.clone(), OpCode::Data(Data::Text), true))).await.expect("sent");
        assert_eq!(closed(&mut browser).await, code, "{payload:?}");
    }
    let mut browser = connect(&process, &world.ticket(session).await).await;
    browser.send(Message::binary(vec![1, 2, 3])).await.expect("sent");
    assert_eq!(closed(&mut browser).await, 1003);
    let mut browser = connect(&process, &world.ticket(session).await).await;
    browser.send(Message::Frame(Frame::message("x", OpCode::Data(Data::Continue), true))).await.expect("sent");
    assert_eq!(closed(&mut browser).await, 1002, "a continuation of nothing");

    // 10^5 levels are over the size limit; what fits is answered and the connection stays.
    let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    let seq = |seq: &str| format!(r#"{{"type":"transcript_update","entries":[],"seq":{seq}}}"#);
    let numbers = [
        "0",
        "-1",
        "1.5",
        "1e3",
        "1e400",
        "-0",
        "9007199254740993",
        "18446744073709551616",
        "99999999999999999999999999",
        "\"1\"",
        "true",
        "[]",
        "{}",
    ];
    let frames = numbers.map(seq).into_iter().chain([
        "[".repeat(65_000),
        format!("{}1{}", "[".repeat(32_000), "]".repeat(32_000)),
        format!(r#"{{"type":"end_session","final_transcript":{}1{}}}"#, "[".repeat(30_000), "]".repeat(30_000)),
        r#"{"type":"no_such_type"}"#.to_owned(),
        r#"{"type":7}"#.to_owned(),
        "\0".to_owned(),
        r#"{"type":"integrity_event","kind":"a\u0000b"}"#.to_owned(),
        r#"{"type":"resume","last_event":1e999}"#.to_owned(),
        r#"{"type":"heartbeat"}}"#.to_owned(),
        String::new(),
    ]);
    let mut answered = 0;
    for frame in frames {
        browser.send_text(frame.clone()).await;
        assert_eq!(browser.expect("error").await["code"], "message_invalid", "{frame:.90}");
        answered += 1;
    }
    // Text is never refused: what cannot be stored in it is replaced.
    for (seq, text) in [(1, r"\ud800"), (2, r"a\u0000b")] {
        let entry = format!(r#"{{"text":"{text}","speaker":"ai","timestamp":"2026-11-23T10:00:00Z"}}"#);
        browser.send_text(format!(r#"{{"type":"transcript_update","seq":{seq},"entries":[{entry}]}}"#)).await;
        assert_eq!(browser.expect("transcript_ack").await["seq"], seq);
    }
    println!("{answered} frames that mean nothing: each answered, the connection stays");
    drop(process);
    world.stop().await;
}

#[tokio::test]
async fn the_same_number_with_other_words_is_refused_noted_and_changes_nothing() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["first"]).await;
    browser.expect("transcript_ack").await;
    for _ in 0..3 {
        browser.say(1, &["other"]).await;
        assert_eq!(browser.expect("error").await["code"], "seq_conflict");
    }
    // A number is missing: what follows is stored, and not acknowledged before it came.
    browser.say(3, &["third"]).await;
    assert_eq!(browser.expect("transcript_ack").await["seq"], 1);
    browser.say(2, &["second"]).await;
    assert_eq!(browser.expect("transcript_ack").await["seq"], 3);
    let words: Vec<String> = world.rows(session).await.into_iter().map(|row| row.2).collect();
    assert_eq!(words, ["first", "third", "second"]);
    assert_eq!(notes(&world, session, "transcript_seq_conflict").await, 3);
    runtime.stop();
    runtime.exit().await;
    world.stop().await;
}

#[tokio::test]
async fn a_handshake_that_drips_has_no_more_time_than_any_other() {
    let world = World::start().await;
    let session = world.new_session().await;
    let process = world.spawn_ready(session, &[("INTERVIEW__SOCKET__AUTHENTICATE_TIMEOUT_MS", "500")]).await;
    // Bytes of a frame that never ends.
    let mut drip = TcpStream::connect(process.address).await.expect("connects");
    let request = format!(
        "GET /ws/{session} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: interview.v1\r\n\r\n"
    );
    drip.write_all(request.as_bytes()).await.expect("sent");
    let begun = Instant::now();
    let mut frame = vec![0x81, 0xfe, 0x10, 0x00, 0, 0, 0, 0];
    frame.resize(4_000, b'x');
    let mut answer = Vec::new();
    for byte in frame {
        let mut some = [0; 1_024];
        if drip.write_all(&[byte]).await.is_err() {
            break;
        }
        match timeout(Duration::from_millis(20), drip.read(&mut some)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => answer.extend_from_slice(&some[..read]),
            Err(_) => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "a drip keeps its connection");
    }
    let close = answer.windows(4).any(|bytes| bytes[0] == 0x88 && u16::from_be_bytes([bytes[2], bytes[3]]) == 4003);
    assert!(close, "closed with 4003 after {:?}", begun.elapsed());
    drop(process);
    world.stop().await;
}
