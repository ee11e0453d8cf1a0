//! Our frame layers beside the Autobahn test suite, run by `kosoku` (PyPI).
//!
//! `scripts/autobahn` installs it and runs this; without `KOSOKU` (the path of the program) the
//! tests say that they were skipped. The cases echo messages of up to 16 MiB, binary ones too,
//! so the echoes here differ from what ships in these two: the size limit, and that a message
//! goes back instead of to an actor. Settings, errors and the way to part are the shipped ones.

use axum::Router;
use axum::extract::ws::{Message as AxumMessage, WebSocketUpgrade};
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use interview_runtime::http::linger::Lingering;
use interview_runtime::http::session::frames::{Farewell, hear, limited, part, say};
use interview_runtime::integrations::openai::sideband::frame_settings;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Message;

/// All cases but 12 and 13, which are about compression: we have none.
const CASES: usize = 301;
const MAX_MESSAGE_BYTES: usize = 20 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

fn kosoku() -> Option<Command> {
    let Some(program) = std::env::var_os("KOSOKU") else {
        let _ = writeln!(
            std::io::stderr(),
            "\nNOTICE: KOSOKU is not set: the Autobahn cases were SKIPPED (scripts/autobahn runs them)\n"
        );
        return None;
    };
    let mut command = Command::new(program);
    command.args(["-x", "12.*", "-x", "13.*"]).kill_on_drop(true);
    Some(command)
}

/// How many cases ended how, after a look that none failed and none closed uncleanly.
fn judged(folder: &Path) -> String {
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json")).expect("a report")).expect("JSON");
    let agents = index.as_object().expect("agents");
    let cases: Vec<_> = agents.values().flat_map(|cases| cases.as_object().expect("cases")).collect();
    let mut counts = BTreeMap::<String, usize>::new();
    let mut odd = Vec::new();
    for (id, case) in &cases {
        let (behavior, close) =
            (case["behavior"].as_str().expect("a verdict"), case["behaviorClose"].as_str().expect("a verdict"));
        assert!(matches!(behavior, "OK" | "NON-STRICT" | "INFORMATIONAL"), "case {id}: {behavior}");
        assert!(matches!(close, "OK" | "INFORMATIONAL"), "case {id} closed: {close}");
        if behavior != "OK" {
            odd.push(id.as_str());
        }
        *counts.entry(format!("{behavior}, closed {close}")).or_default() += 1;
    }
    assert_eq!(cases.len(), CASES);
    format!("{} cases: {counts:?}; not simply OK: {odd:?}", cases.len())
}

async fn echo(upgrade: WebSocketUpgrade) -> axum::response::Response {
    limited(upgrade, MAX_MESSAGE_BYTES).on_upgrade(|socket| async move {
        let (mut sink, mut stream) = socket.split();
        let farewell = loop {
            match hear(&mut stream, PATIENCE).await {
                Ok(message @ (AxumMessage::Text(_) | AxumMessage::Binary(_))) => {
                    if !say(&mut sink, message).await {
                        break Farewell::Lost;
                    }
                }
                Ok(_) => {}
                Err(farewell) => break farewell,
            }
        };
        part(sink, stream, farewell).await;
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_browsers_side_passes_all_autobahn_cases() {
    let Some(mut kosoku) = kosoku() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(Lingering(listener), Router::new().route("/", get(echo))).await });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let done = kosoku.args(["-m", "fuzzingclient", "-o"]).arg(folder.path()).arg(format!("ws://{address}")).output().await;
    let done = done.expect("kosoku runs");
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("server side: {}", judged(folder.path()));
}

/// One connection of the client under test; what it heard as text.
async fn converse(address: SocketAddr, path: &str) -> Option<String> {
    let settings = frame_settings(MAX_MESSAGE_BYTES).max_write_buffer_size(usize::MAX);
    let url = format!("ws://{address}{path}");
    let (mut socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(settings), true).await.ok()?;
    let mut heard = None;
    let echoes = path.starts_with("/runCase");
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) if !echoes => heard = Some(text.to_string()),
            message @ (Message::Text(_) | Message::Binary(_)) => drop(socket.send(message).await),
            _ => {}
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_providers_side_passes_all_autobahn_cases() {
    let Some(mut kosoku) = kosoku() else { return };
    let address = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let folder = tempfile::tempdir().expect("a temporary folder");
    kosoku.args(["-m", "fuzzingserver", "-o"]).arg(folder.path()).arg(address.to_string());
    let mut server = kosoku.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("kosoku runs");
    let mut lines = BufReader::new(server.stderr.take().expect("piped")).lines();
    while let Some(line) = lines.next_line().await.expect("readable") {
        if line.contains("listening") {
            break;
        }
    }
    let count = converse(address, "/getCaseCount").await.expect("a number of cases");
    let count: usize = count.parse().expect("a number");
    for case in 1..=count {
        converse(address, &format!("/runCase?case={case}&agent=sideband")).await;
    }
    converse(address, "/updateReports?agent=sideband").await;
    let done = tokio::time::timeout(PATIENCE, server.wait_with_output()).await.expect("it ends by itself").expect("an exit");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    println!("client side: {}", judged(folder.path()));
}
