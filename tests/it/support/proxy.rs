//! A TCP proxy with faults on request: between a process and its database, or a browser and its process. Without a fault,
//! everything passes unchanged.

// Two programs include this (tests/it and tests/chaos); neither needs all of it.
#![allow(dead_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// How the line is, for every connection, until it is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Nobody listens: connections are refused.
    pub refuse: bool,
    /// Bytes are neither read nor passed on, and nothing is closed.
    pub hole: bool,
    /// Each piece waits this long, in both directions.
    pub delay: Duration,
    /// Bytes a second, each way; none: as fast as they come.
    pub rate: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    Down,
}

/// Strikes once, on whichever connection meets it first.
#[derive(Clone, Debug)]
enum Trap {
    /// Pass so many bytes this way, then cut.
    After { way: Way, left: usize },
    /// When the client has sent this, let the server do it, swallow its reply, and cut.
    ReplyTo(Vec<u8>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    line: Line,
    /// Connections older than this are to end.
    cut: u64,
    /// Connections older than this lose their server, and their client is not told.
    half_open: u64,
}

pub struct Proxy {
    pub address: SocketAddr,
    orders: watch::Sender<Orders>,
    traps: Arc<Mutex<Vec<Trap>>>,
    sprung: watch::Sender<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub fn to(server: SocketAddr) -> Self {
        // Bound and not listening: it keeps the port ours while connections are refused.
        let (placeholder, listener) = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), true);
        let address = listener.local_addr().expect("bound");
        let (orders, _) = watch::channel(Orders::default());
        let (sprung, _) = watch::channel(0);
        let traps = Arc::new(Mutex::new(Vec::new()));
        let gate = MailboxLimit { server, orders: orders.clone(), traps: traps.clone(), sprung: sprung.clone() };
        let task = tokio::spawn(async move {
            let _placeholder = placeholder;
            gate.run(address, listener).await;
        });
        Self { address, orders, traps, sprung, task }
    }

    pub fn set(&self, line: Line) {
        self.orders.send_modify(|orders| orders.line = line);
    }

    /// End all connections now.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cut += 1);
    }

    /// The servers of all connections go away; the clients are not told.
    pub fn half_open(&self) {
        self.orders.send_modify(|orders| orders.half_open += 1);
    }

    /// As if the server was gone: open connections end, new ones are refused.
    pub fn down(&self) {
        self.set(Line { refuse: true, ..Line::default() });
        self.cut();
    }

    pub fn up(&self) {
        self.set(Line::default());
    }

    pub fn cut_after(&self, way: Way, bytes: usize) {
        self.trap(Trap::After { way, left: bytes });
    }

    pub fn cut_reply_to(&self, sent: &str) {
        self.trap(Trap::ReplyTo(sent.as_bytes().to_vec()));
    }

    fn trap(&self, trap: Trap) {
        self.traps.lock().unwrap_or_else(PoisonError::into_inner).push(trap);
    }

    /// How many traps have struck: a test whose fault never happened proves nothing.
    pub fn sprung(&self) -> u64 {
        *self.sprung.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

/// `also_hold`: a second socket on the same port that never listens.
fn listen(address: SocketAddr, also_hold: bool) -> (Option<TcpSocket>, TcpListener) {
    let socket = |address| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_reuseaddr(true)
            .and_then(|()| socket.set_reuseport(true))
            .and_then(|()| socket.bind(address))
            .expect("the port");
        socket
    };
    let hold = also_hold.then(|| socket(address));
    let address = hold.as_ref().map_or(address, |held| held.local_addr().expect("bound"));
    (hold, socket(address).listen(1024).expect("listens"))
}

struct MailboxLimit {
    server: SocketAddr,
    orders: watch::Sender<Orders>,
    traps: Arc<Mutex<Vec<Trap>>>,
    sprung: watch::Sender<u64>,
}

impl MailboxLimit {
    async fn run(self, address: SocketAddr, first: TcpListener) {
        let mut listener = Some(first);
        let mut orders = self.orders.subscribe();
        loop {
            let refuse = orders.borrow_and_update().line.refuse;
            if refuse {
                listener = None;
            } else if listener.is_none() {
                listener = Some(listen(address, false).1);
            }
            let accepted = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = orders.changed() => if changed.is_err() { return },
                accepted = accepted => if let Ok((client, _)) = accepted { self.connect(client) },
            }
        }
    }

    fn connect(&self, mut client: TcpStream) {
        let (address, orders) = (self.server, self.orders.subscribe());
        let traps = Traps { traps: self.traps.clone(), sprung: self.sprung.clone(), swallow: AtomicBool::new(false) };
        tokio::spawn(async move {
            let born = *orders.borrow();
            // Accepted at the very moment it was to be refused.
            if born.line.refuse {
                return;
            }
            let Ok(mut server) = TcpStream::connect(address).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (mut cut, mut half_open) = (orders.clone(), orders.clone());
            let halved = {
                let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
                // One side's end ends the other: these protocols have no use for half a line.
                tokio::select! {
                    () = pump(Way::Up, from_client, to_server, orders.clone(), &traps) => false,
                    () = pump(Way::Down, from_server, to_client, orders, &traps) => false,
                    _ = cut.wait_for(|orders| orders.cut > born.cut) => false,
                    _ = half_open.wait_for(|orders| orders.half_open > born.half_open) => true,
                }
            };
            if halved {
                drop(server);
                let _ = cut.wait_for(|orders| orders.cut > born.cut).await;
            }
        });
    }
}

struct Traps {
    traps: Arc<Mutex<Vec<Trap>>>,
    sprung: watch::Sender<u64>,
    /// The server's next reply on this connection is not to arrive.
    swallow: AtomicBool,
}

enum Verdict {
    Pass,
    /// Pass so many bytes, then end the connection.
    Cut(usize),
}

impl Traps {
    fn judge(&self, way: Way, piece: &[u8]) -> Verdict {
        if way == Way::Down && self.swallow.load(Ordering::Relaxed) {
            return Verdict::Cut(0);
        }
        let mut traps = self.traps.lock().unwrap_or_else(PoisonError::into_inner);
        for index in 0..traps.len() {
            match &mut traps[index] {
                Trap::After { way: on, left } if *on == way => {
                    if piece.len() < *left {
                        *left -= piece.len();
                        continue;
                    }
                    let left = *left;
                    self.spring(&mut traps, index);
                    return Verdict::Cut(left);
                }
                Trap::ReplyTo(sent) if way == Way::Up && piece.windows(sent.len()).any(|window| window == &sent[..]) => {
                    self.spring(&mut traps, index);
                    self.swallow.store(true, Ordering::Relaxed);
                    return Verdict::Pass;
                }
                _ => {}
            }
        }
        Verdict::Pass
    }

    fn spring(&self, traps: &mut Vec<Trap>, index: usize) {
        traps.remove(index);
        self.sprung.send_modify(|sprung| *sprung += 1);
    }
}

async fn pump(way: Way, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut orders: watch::Receiver<Orders>, traps: &Traps) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return };
        // What was on its way when the hole opened waits in it.
        let Ok(Orders { line, .. }) = orders.wait_for(|orders| !orders.line.hole).await.map(|orders| *orders) else { return };
        if count == 0 {
            return;
        }
        let slowness = line.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(count as f64 / f64::from(rate)));
        tokio::time::sleep(line.delay + slowness).await;
        match traps.judge(way, &buffer[..count]) {
            Verdict::Pass => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
            Verdict::Cut(left) => {
                let _ = to.write_all(&buffer[..left]).await;
                return;
            }
        }
    }
}
