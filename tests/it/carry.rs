//! What the gateway does with the bytes that it proxies (`proxy_6pn`): a real gateway, and machines that this test plays.

use crate::routing::{carried, fake_session, refusal};
use crate::support::system::System;
use crate::support::wait_for;
use interview_runtime::http::replay_state;
use interview_runtime::ids::SessionId;
use interview_runtime::signature::PublicKeys;
use interview_sandbox::GATEWAY_APP;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);
const ACCEPT: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: interview.v1\r\nX-Own: hidden\r\n\r\n";

async fn start(more: &[(&str, &str)]) -> System {
    let keys = [
        ("ROUTING__MODE", "proxy_6pn"),
        ("ROUTING__CONNECT_TIMEOUT_MS", "1500"),
        ("ROUTING__UPGRADE_TIMEOUT_MS", "1500"),
        ("KEEPER__LOST_AFTER_MS", "120000"),
        ("KEEPER__STUCK_AFTER_MS", "120000"),
        ("FLY__START_DEADLINE_MS", "120000"),
    ];
    System::start_with(&[&keys, more].concat()).await
}

/// A machine of the test's own, and the session it is for.
struct Machine {
    listener: TcpListener,
    session: Uuid,
}

impl Machine {
    async fn of(system: &System) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let session = fake_session(system, Some(listener.local_addr().expect("bound"))).await;
        Self { listener, session }
    }

    /// The gateway's connection, and the head of its request.
    async fn asked(&self) -> (TcpStream, String) {
        let (mut stream, _) = timeout(PATIENCE, self.listener.accept()).await.expect("the gateway comes").expect("accepted");
        let head = head(&mut stream).await;
        (stream, head)
    }

    async fn accepts(&self) -> TcpStream {
        let (mut stream, _) = self.asked().await;
        stream.write_all(ACCEPT.as_bytes()).await.expect("answered");
        stream
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("a head in time");
        bytes.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&bytes))));
    }
    String::from_utf8(bytes).expect("text")
}

fn gateway(system: &System) -> SocketAddr {
    system.sandbox.fly().machines(GATEWAY_APP)[0].status().address.expect("it runs")
}

/// A browser's request, straight to the gateway: without Fly's proxy, which would clean it.
async fn ask(system: &System, path: &str, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway(system)).await.expect("the gateway listens");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: door.test\r\nConnection: keep-alive, Upgrade, X-Own\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// A browser and a machine with a line between them.
async fn line(system: &System) -> (TcpStream, TcpStream) {
    let machine = Machine::of(system).await;
    let mut browser = ask(system, &format!("/ws/{}", machine.session), "").await;
    let accepted = machine.accepts().await;
    let answer = head(&mut browser).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    (browser, accepted)
}

/// A whole frame of a server.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82, 126];
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend(payload);
    frame
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the stream ends").expect("and is not torn");
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_hears_of_a_request_only_what_it_needs_and_the_gateways_own_word() {
    let system = start(&[]).await;
    let machine = Machine::of(&system).await;
    let forged = "Origin: https://door.test\r\nSec-WebSocket-Protocol: interview.v1, ticket.x\r\nUser-Agent: t\r\n\
        Fly-Replay-Src: instance=a;state=99999999999-00\r\nFly-Replay-Src: state=1-0\r\nFly-Client-IP: 6.6.6.6\r\n\
        Fly-Forwarded-Port: 1\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Own: 1\r\nCookie: a=b\r\n\
        Authorization: Bearer y\r\nTE: trailers\r\nProxy-Authorization: z\r\n";
    let mut browser = ask(&system, &format!("/ws/{}?ticket=never", machine.session), forged).await;
    let (mut stream, head_seen) = machine.asked().await;
    let mut lines = head_seen.trim_end().lines();
    assert_eq!(lines.next(), Some(format!("GET /ws/{} HTTP/1.1", machine.session).as_str()), "no query");
    let mut seen: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        seen.entry(name.to_lowercase()).or_default().push(value);
    }
    let proof = seen.remove("fly-replay-src").expect("the gateway's proof");
    let expected = [
        ("connection", "Upgrade"),
        // The proxy's word on Fly, passed on; here nobody stands between.
        ("fly-client-ip", "6.6.6.6"),
        ("host", "door.test"),
        ("origin", "https://door.test"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "interview.v1, ticket.x"),
        ("sec-websocket-version", "13"),
        ("upgrade", "websocket"),
        ("user-agent", "t"),
    ];
    let expected: BTreeMap<String, Vec<&str>> =
        expected.into_iter().map(|(name, value)| (name.to_owned(), vec![value])).collect();
    assert_eq!(seen, expected);
    // The session's own check takes it, and for no other session.
    let keys = PublicKeys::try_from(system.sandbox.settings()["INTERVIEW__ROUTING__PUBLIC_KEYS"].clone()).expect("a key");
    assert_eq!(proof.len(), 1, "{proof:?}");
    assert!(replay_state::admits(proof[0], &keys, SessionId(machine.session)), "{proof:?}");
    assert!(!replay_state::admits(proof[0], &keys, SessionId(Uuid::new_v4())));

    // And the browser of the acceptance, what belongs to a WebSocket.
    stream.write_all(ACCEPT.as_bytes()).await.expect("answered");
    let answer = head(&mut browser).await.to_lowercase();
    for line in
        ["sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=", "sec-websocket-protocol: interview.v1", "upgrade: websocket"]
    {
        assert!(answer.contains(line), "{answer}");
    }
    assert!(!answer.contains("x-own"), "{answer}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_pass_as_they_are_and_both_ends_end_in_order() {
    let system = start(&[]).await;
    let (mut browser, mut machine) = line(&system).await;
    // A megabyte each way, in pieces of any length.
    let mut rng = fastrand::Rng::with_seed(3);
    let sent: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(1 << 20).collect();
    for up in [true, false] {
        let (from, to) = if up { (&mut browser, &mut machine) } else { (&mut machine, &mut browser) };
        let mut got = vec![0; sent.len()];
        let write = async {
            let mut left = &sent[..];
            while !left.is_empty() {
                let (piece, more) = left.split_at(rng.usize(1..=left.len().min(30_000)));
                from.write_all(piece).await.expect("taken");
                left = more;
            }
        };
        let ((), read) = timeout(PATIENCE, async { tokio::join!(write, to.read_exact(&mut got)) }).await.expect("in time");
        read.expect("all of it");
        assert!(got == sent, "up: {up}");
    }
    // The machine says its last words and ends; the browser hears them, and the end.
    machine.write_all(b"last words").await.expect("taken");
    machine.shutdown().await.expect("ended");
    assert_eq!(rest(&mut browser).await, b"last words");
    drop(browser);
    assert_eq!(rest(&mut machine).await, b"");

    // The browser ends, and the machine still answers.
    let (mut browser, mut machine) = line(&system).await;
    browser.write_all(b"bye").await.expect("taken");
    browser.shutdown().await.expect("ended");
    assert_eq!(rest(&mut machine).await, b"bye");
    machine.write_all(b"good bye").await.expect("taken");
    machine.shutdown().await.expect("ended");
    assert_eq!(rest(&mut browser).await, b"good bye");

    // Either side is torn away.
    let (browser, mut machine) = line(&system).await;
    browser.set_zero_linger().expect("set");
    drop(browser);
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, machine.read_to_end(&mut bytes)).await.expect("the machine is told");
    let (mut browser, machine) = line(&system).await;
    machine.set_zero_linger().expect("set");
    drop(machine);
    let _ = timeout(PATIENCE, browser.read_to_end(&mut bytes)).await.expect("the browser is told");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_slow_mute_confused_or_unwilling_is_answered_for() {
    let system = start(&[]).await;
    // Slow, but within its time.
    let machine = Machine::of(&system).await;
    let mut browser = ask(&system, &format!("/ws/{}", machine.session), "").await;
    let (mut stream, _) = machine.asked().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for piece in ACCEPT.as_bytes().chunks(7) {
        stream.write_all(piece).await.expect("taken");
        stream.flush().await.expect("sent");
    }
    assert!(head(&mut browser).await.starts_with("HTTP/1.1 101"));

    let garbage: &[u8] = b"\x00\xff nothing of this is HTTP\r\n\r\n";
    let huge = format!("HTTP/1.1 101 Switching Protocols\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    for (what, answer) in
        [("mute", None), ("garbage", Some(garbage)), ("hang up", Some(b"".as_slice())), ("huge", Some(huge.as_bytes()))]
    {
        let machine = Machine::of(&system).await;
        let path = format!("/ws/{}", machine.session);
        let behave = async {
            let (mut stream, _) = machine.asked().await;
            match answer {
                Some(answer) => {
                    let _ = stream.write_all(answer).await;
                    let _ = stream.shutdown().await;
                }
                // Until the gateway gives up.
                None => assert_eq!(rest(&mut stream).await, b""),
            }
        };
        let ((), (status, retry, problem)) = tokio::join!(behave, refusal(&system, &path, &[]));
        assert_eq!((status, problem["code"].as_str()), (503, Some("session_not_ready")), "{what}: {problem}");
        assert!(retry.is_some() && problem["retryable"] == true, "{what}: {problem}");
    }

    // Its own refusal is its own.
    let machine = Machine::of(&system).await;
    let path = format!("/ws/{}", machine.session);
    let behave = async {
        let (mut stream, _) = machine.asked().await;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!\n").await.expect("taken");
    };
    let ((), (status, _, _)) = tokio::join!(behave, refusal(&system, &path, &[]));
    assert_eq!(status, 403);

    // Nobody listens.
    let machine = Machine::of(&system).await;
    let path = format!("/ws/{}", machine.session);
    drop(machine.listener);
    let (status, _, problem) = refusal(&system, &path, &[]).await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("session_not_ready")), "{problem}");
    wait_for("nothing is carried any more", || async { carried(&system) == Some(1.0) }).await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_carried_is_bounded_in_number_in_bytes_and_in_silence() {
    let system = start(&[("ROUTING__MAX_CARRIED", "2"), ("SOCKET__DEAD_AFTER_MS", "6000")]).await;
    let (mut silent, _machine) = line(&system).await;
    let (browser, mut machine) = line(&system).await;
    // One too many.
    let third = Machine::of(&system).await;
    let (status, retry, problem) = refusal(&system, &format!("/ws/{}", third.session), &[]).await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("carried_sockets_exhausted")), "{problem}");
    assert!(retry.is_some());

    // A browser that does not read: its machine's words wait in TCP, not in the gateway.
    let mut written = 0;
    let chunk = frame(&vec![7; 60_000]);
    while let Ok(Ok(())) = timeout(Duration::from_secs(1), machine.write_all(&chunk)).await {
        written += chunk.len();
        assert!(written < 64 << 20, "nothing holds it back");
    }
    println!("{written} bytes on the way to a browser that does not read");

    // A machine of which nothing is heard for twice as long as a session keeps silent.
    assert_eq!(rest(&mut silent).await, b"");
    // And a browser that takes nothing for as long.
    let mut end = Vec::new();
    let _ = timeout(PATIENCE, machine.read_to_end(&mut end)).await.expect("the machine is told");
    drop(browser);
    wait_for("there is room again", || async { carried(&system) == Some(0.0) }).await;
    let _line = line(&system).await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_says_so_between_two_frames_and_never_inside_one() {
    let system = start(&[]).await;
    let (mut between, mut machine) = line(&system).await;
    machine.write_all(&frame(b"whole")).await.expect("taken");
    let (mut inside, mut other) = line(&system).await;
    let half = frame(b"never whole");
    other.write_all(&half[..9]).await.expect("taken");
    // What was sent has arrived before the stop.
    let mut got = [0; 9];
    between.read_exact(&mut got).await.expect("the frame");
    inside.read_exact(&mut got).await.expect("half of one");

    let gateway = system.sandbox.fly().machines(GATEWAY_APP).remove(0);
    let pid = gateway.status().pid.expect("it runs").to_string();
    let sent = std::process::Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill runs");
    assert!(sent.success());
    assert_eq!(rest(&mut between).await, [0x88, 0x02, 0x03, 0xf4], "1012: come back at once");
    let mut torn = Vec::new();
    let _ = timeout(PATIENCE, inside.read_to_end(&mut torn)).await.expect("it ends with the process");
    assert_eq!(torn, b"", "nothing of ours is put into a frame of theirs");
    let exit = wait_for_exit(&system).await;
    assert_eq!(exit, Some(0), "stopped in order");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carried_socket_costs_its_buffers_and_little_more() {
    const LINES: usize = 300;
    let system = start(&[]).await;
    let pid = system.sandbox.fly().machines(GATEWAY_APP)[0].status().pid.expect("it runs");
    let memory_kib = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    let machine = Machine::of(&system).await;
    let path = format!("/ws/{}", machine.session);
    let mut lines = Vec::new();
    let mut before = 0;
    for number in 0..LINES + 20 {
        // The first ones warm everything up.
        if number == 20 {
            before = memory_kib();
        }
        let mut browser = ask(&system, &path, "").await;
        let mut accepted = machine.accepts().await;
        assert!(head(&mut browser).await.starts_with("HTTP/1.1 101"));
        // Both ways have been used.
        browser.write_all(&[0x82, 0]).await.expect("taken");
        accepted.read_u16().await.expect("passed on");
        accepted.write_all(&[0x82, 0]).await.expect("taken");
        browser.read_u16().await.expect("passed on");
        lines.push((browser, accepted));
    }
    let each = memory_kib().saturating_sub(before) / LINES as u64;
    println!("{each} KiB of memory for each of {LINES} carried WebSockets");
    assert!(each < 100, "{each} KiB each");
    system.stop().await;
}

/// The exit code of the gateway's last process.
async fn wait_for_exit(system: &System) -> Option<i64> {
    let gateway = system.sandbox.fly().machines(GATEWAY_APP).remove(0);
    let exit = || {
        let events = gateway.status().events;
        events.iter().find(|event| event.kind == "exit").map(|event| event.request["exit_event"]["exit_code"].as_i64())
    };
    wait_for("the gateway's process has ended", || async { exit().is_some() }).await;
    exit().flatten()
}
