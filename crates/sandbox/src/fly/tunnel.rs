//! Copies bytes in both directions after a machine has accepted an upgrade.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Both sides must really switch within this.
const SWITCH: Duration = Duration::from_secs(10);
/// When one side of a tunnel has ended, the other may finish its sentence.
const HALF_CLOSED: Duration = Duration::from_secs(5);

/// Answers 101 and copies bytes both ways until either side has ended.
pub(super) fn open(
    client: OnUpgrade,
    mut response: hyper::Response<hyper::body::Incoming>,
    count: &Arc<AtomicUsize>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Response {
    let machine = hyper::upgrade::on(&mut response);
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    let (stop, count) = (stop.clone(), Arc::clone(count));
    tasks.spawn(async move {
        let both = async { tokio::try_join!(client, machine) };
        let Ok(Ok((client, machine))) = tokio::time::timeout(SWITCH, both).await else { return };
        count.fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            () = copy_both(TokioIo::new(client), TokioIo::new(machine)) => {}
            () = stop.cancelled() => {}
        }
        count.fetch_sub(1, Ordering::Relaxed);
    });
    answer
}

async fn copy_both(
    client: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    machine: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_machine, mut to_machine) = tokio::io::split(machine);
    let up = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_machine).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut to_machine).await;
    };
    let down = async {
        let _ = tokio::io::copy(&mut from_machine, &mut to_client).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut to_client).await;
    };
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        () = &mut up => { let _ = tokio::time::timeout(HALF_CLOSED, down).await; }
        () = &mut down => { let _ = tokio::time::timeout(HALF_CLOSED, up).await; }
    }
}
