//! A model of the machines: processes that run the real loop, die, and are started again.

use crate::database::Database;
use crate::vendors::{Videos, Writer};
use crate::voice::Voice;
use crate::world::{KillSwitch, World};
use axum::serve::Listener;
use interview_runtime::config::Config;
use interview_runtime::ids::SessionId;
use interview_runtime::integrations::clients::Integrations;
use interview_runtime::roles::Exit;
use interview_runtime::roles::session::{Outside, run_with};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use uuid::Uuid;

pub const SESSION: SessionId = SessionId(Uuid::from_u128(0x51));
/// Whom every connection comes from.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
const PIPE_BYTES: usize = 64 * 1024;

/// The process's listener.
struct Door(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Door {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.0.recv().await {
            Some(stream) => (stream, PEER),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(PEER)
    }
}

/// A connection to a process, and whether that has died meanwhile.
pub struct Address {
    pub stream: DuplexStream,
    pub dead: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Process {
    cut: KillSwitch,
    connect: mpsc::UnboundedSender<DuplexStream>,
    dead: watch::Sender<bool>,
    stop: Option<oneshot::Sender<()>>,
    task: AbortHandle,
}

#[derive(Clone, Debug)]
pub struct Fleet(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    world: World,
    database: Database,
    voice: Voice,
    writer: Writer,
    videos: Videos,
    config: Arc<Config>,
    processes: BTreeMap<u32, Process>,
    started: u32,
    exits: mpsc::UnboundedSender<(u32, Exit)>,
}

impl Fleet {
    pub fn new(
        world: World,
        database: Database,
        voice: Voice,
        writer: Writer,
        videos: Videos,
        config: Arc<Config>,
        exits: mpsc::UnboundedSender<(u32, Exit)>,
    ) -> Self {
        let processes = BTreeMap::new();
        Self(Arc::new(Mutex::new(Inner { world, database, voice, writer, videos, config, processes, started: 0, exits })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new process takes the session.
    pub fn start(&self) -> u32 {
        let mut inner = self.lock();
        inner.started += 1;
        let (number, cut) = (inner.started, KillSwitch::default());
        let (connect, door) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (dead, _) = watch::channel(false);
        let integrations = Integrations {
            voice: inner.voice.door(number, cut.clone()),
            summaries: inner.writer.door(cut.clone()),
            video: inner.videos.door(cut.clone()),
            clock: inner.world.clock(),
        };
        let outside = Outside {
            sessions: Arc::new(inner.database.door(number, cut.clone())),
            integrations: Arc::new(integrations),
            meter: None,
        };
        let (config, exits) = (inner.config.clone(), inner.exits.clone());
        let (died, begins) = (dead.clone(), cut.clone());
        inner.world.note(format_args!("machine: process {number} starts"));
        inner.voice.process_begins(number);
        let task = tokio::spawn(async move {
            begins.begins_here();
            let told = async move {
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let exit = run_with(outside, Door(door), config, SESSION, told).await;
            died.send_replace(true);
            let _ = exits.send((number, exit));
        });
        inner.processes.insert(number, Process { cut, connect, dead, stop: Some(stop), task: task.abort_handle() });
        number
    }

    /// The newest process; that is where the proxy carries everyone.
    pub fn newest(&self) -> Option<u32> {
        self.lock().processes.keys().next_back().copied()
    }

    pub fn started(&self) -> u32 {
        self.lock().started
    }

    pub fn gone(&self, number: u32) {
        self.lock().processes.remove(&number);
    }

    pub fn count(&self) -> usize {
        self.lock().processes.len()
    }

    /// Everything it has in memory is gone, and what it had begun reaches nobody.
    pub fn kill(&self, number: u32) {
        let Some(process) = self.lock().processes.remove(&number) else { return };
        process.cut.cut();
        process.dead.send_replace(true);
        process.task.abort();
    }

    pub fn terminate(&self, number: u32) -> bool {
        self.lock().processes.get_mut(&number).and_then(|process| process.stop.take()).is_some_and(|stop| stop.send(()).is_ok())
    }

    pub fn dial(&self) -> Option<Address> {
        let inner = self.lock();
        let process = inner.processes.values().next_back()?;
        let (stream, theirs) = duplex(PIPE_BYTES);
        process.connect.send(theirs).ok()?;
        Some(Address { stream, dead: process.dead.subscribe() })
    }

    /// The process's debug interface. None: nobody answers.
    pub async fn request(&self, method: &str, path: &str) -> Option<String> {
        let Address { mut stream, mut dead } = self.dial()?;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        tokio::select! {
            biased;
            read = stream.read_to_end(&mut answer) => drop(read.ok()?),
            _ = dead.wait_for(|dead| *dead) => return None,
            () = tokio::time::sleep(std::time::Duration::from_secs(5)) => return None,
        }
        String::from_utf8(answer).ok()
    }
}
