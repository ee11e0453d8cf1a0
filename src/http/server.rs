//! The loop of a listener: HTTP/1.1, with limits for connections and for the time that a request's head and body take.
//!
//! `axum::serve` sets no timer. With it, a connection that sends nothing, or very slowly, is kept for ever.

use crate::config::Config;
use crate::error::ErrorCode;
use crate::http::body_timeout::BodyTimedOut;
use crate::http::limits::Address;
use axum::Router;
use axum::body::Body;
use axum::serve::Listener;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Sleep, sleep, timeout};

/// To a connection above the bound; it is closed behind it.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// The buffer of a new socket is empty, so this is never waited for.
const LAST_WORD: Duration = Duration::from_millis(50);

/// What a listener's peers may take of it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connections: usize,
    /// For a head, from the end of the request before it or the beginning of the connection. So a connection that is
    /// kept open without a request ends as well.
    pub head: Duration,
    /// For a whole body, from when it is read.
    pub body: Duration,
    /// The peer is Fly's proxy, which says who asks.
    behind_fly: bool,
}

impl Bounds {
    pub fn of(config: &Config, connections: usize) -> Self {
        let limits = &config.limits;
        let (head, body) = (limits.head_timeout(), limits.body_timeout());
        Self { connections, head, body, behind_fly: config.http.behind_fly }
    }
}

/// Serve until `closed`; then finish what is under way.
pub async fn serve<L>(mut listener: L, router: Router, bounds: Bounds, closed: impl Future<Output = ()>)
where
    L: Listener<Addr = SocketAddr>,
    L::Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let room = Arc::new(Semaphore::new(bounds.connections));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head);
    let (stop, stopped) = watch::channel(false);
    let mut closed = pin!(closed);
    loop {
        let (mut stream, address) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut closed => break,
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(
                error_code = ErrorCode::ServiceSaturated.as_str(),
                bound = bounds.connections,
                "as many connections as may be"
            );
            let _ = timeout(LAST_WORD, stream.write_all(FULL)).await;
            continue;
        };
        let routes = TowerToHyperService::new(router.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(|body| Body::new(Timed { body, within: bounds.body, end: None }));
            let client = Address::of(request.headers(), address.ip(), bounds.behind_fly);
            request.extensions_mut().insert(client);
            routes.call(request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let told = async {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            tokio::select! {
                // A peer that breaks off, or is too slow, is no failure of ours.
                _ = connection.as_mut() => {}
                () = told => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            drop((permit, stopped));
        });
    }
    drop((listener, stopped));
    let _ = stop.send(true);
    stop.closed().await;
}

/// A body that has to be whole in time.
struct Timed {
    body: Incoming,
    within: Duration,
    end: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let end = this.end.get_or_insert_with(|| Box::pin(sleep(this.within)));
        match end.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyTimedOut.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
