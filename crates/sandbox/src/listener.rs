//! The HTTP/1.1 listener of both addresses.
//!
//! It does two things that `axum::serve` cannot: a fault can cut one connection in the middle of an answer, and everything ends
//! when the sandbox ends.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::faults::Connection;

/// Far above what a laptop's browser tabs and a load test open.
const MAX_CONNECTIONS: usize = 8_192;
/// Slow-loris protection costs nothing, even on loopback.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// How long an answer that is on its way may take once the sandbox stops.
const DRAIN: Duration = Duration::from_millis(500);

/// The address of the client, in a request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("port {port} on {address} is already in use; stop the program that uses it or choose another port with --port")]
    InUse { address: IpAddr, port: u16 },
    #[error("cannot listen on {address} port {port}: {source}")]
    Other { address: IpAddr, port: u16, source: std::io::Error },
}

async fn bind(address: IpAddr, port: u16) -> Result<TcpListener, ListenError> {
    TcpListener::bind((address, port)).await.map_err(|source| {
        if source.kind() == std::io::ErrorKind::AddrInUse {
            ListenError::InUse { address, port }
        } else {
            ListenError::Other { address, port, source }
        }
    })
}

/// A random port of 127.0.0.1.
pub async fn bind_internal() -> Result<TcpListener, ListenError> {
    bind(Ipv4Addr::LOCALHOST.into(), 0).await
}

/// Both loopback addresses, so that `http://localhost:PORT` works whichever of them
/// the browser tries first. Without IPv6 on the machine, only the first.
pub async fn bind_front(port: u16) -> Result<Vec<TcpListener>, ListenError> {
    // With port 0 the system's choice for IPv4 may be taken on IPv6; then choose again.
    for _ in 0..16 {
        let v4 = bind(Ipv4Addr::LOCALHOST.into(), port).await?;
        let chosen = v4.local_addr().map_or(port, |address| address.port());
        match bind(Ipv6Addr::LOCALHOST.into(), chosen).await {
            Ok(v6) => return Ok(vec![v4, v6]),
            Err(ListenError::InUse { .. }) if port == 0 => {}
            Err(error @ ListenError::InUse { .. }) => return Err(error),
            Err(ListenError::Other { .. }) => return Ok(vec![v4]),
        }
    }
    Err(ListenError::InUse { address: Ipv6Addr::LOCALHOST.into(), port })
}

/// Serves `router` until `stop`; all tasks are counted in `tasks`.
pub fn serve(listener: TcpListener, router: Router, stop: &CancellationToken, tasks: &TaskTracker) {
    let (stop, connections) = (stop.clone(), tasks.clone());
    tasks.spawn(async move {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                // Out of file descriptors, most likely: give the others time to end.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (router, stop) = (router.clone(), stop.clone());
            connections.spawn(async move {
                converse(stream, peer, router, stop).await;
                drop(permit);
            });
        }
    });
}

async fn converse(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let connection = Connection::new();
    let handle = connection.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(handle.clone());
        request.extensions_mut().insert(Peer(peer));
        let router = router.clone();
        async move {
            let response = router.oneshot(request.map(Body::new)).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    tokio::select! {
        _ = served.as_mut() => return,
        () = connection.was_cut() => return,
        () = stop.cancelled() => {}
    }
    // An answer that is being written may end; an idle connection closes at once.
    let _ = tokio::time::timeout(DRAIN, served).await;
}
