//! One task per machine: starts its child process, watches it, restarts it by its
//! policy, stops it when told, destroys it at the end.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt as _;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::model::{MachineState, Restart};
use super::{Fly, Machine};
use crate::process;
use crate::util::{now, random_bytes, rfc3339};

/// Fly's default between signal and kill, and its largest allowed value.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_STOP: Duration = Duration::from_mins(5);
/// Fly's default restarts within five minutes.
const MAX_RETRIES: u32 = 10;
const RETRY_WINDOW: Duration = Duration::from_mins(5);
/// How long a machine that lingers stays `destroying`.
const LINGER: Duration = Duration::from_millis(1_500);
/// What is left of a process group after its leader's end gets this long.
const REAP: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum Order {
    Start,
    Stop { signal: Option<Signal>, timeout: Option<Duration> },
    Signal(Signal),
    Destroy,
}

/// How a run of the child ended.
enum Ended {
    Exited(ExitStatus),
    /// By order; `destroy` says what comes next.
    Ordered {
        status: Option<ExitStatus>,
        destroy: bool,
    },
    /// It could not be started at all.
    NotStarted(String),
}

/// The life of a machine, until it is destroyed or the sandbox stops.
pub(super) async fn live(fly: Fly, machine: Arc<Machine>, mut orders: mpsc::Receiver<Order>) {
    loop {
        let Some(order) = orders.recv().await else { return };
        match order {
            Order::Start => {
                if run_until_stopped(&fly, &machine, &mut orders).await {
                    break;
                }
            }
            Order::Destroy => break,
            Order::Stop { .. } | Order::Signal(_) => {}
        }
    }
    machine.change(|status| {
        status.state = MachineState::Destroying;
        status.note("destroy", "destroying", "user", Value::Null);
    });
    if machine.status().lingers {
        tokio::time::sleep(LINGER).await;
    }
    machine.change(|status| {
        status.state = MachineState::Destroyed;
        status.address = None;
        status.note("destroy", "destroyed", "flyd", Value::Null);
    });
}

/// Runs and restarts the child. True when the machine is to be destroyed.
async fn run_until_stopped(fly: &Fly, machine: &Arc<Machine>, orders: &mut mpsc::Receiver<Order>) -> bool {
    let mut retries: Vec<Instant> = Vec::new();
    loop {
        let ended = run_once(fly, machine, orders).await;
        let config = machine.status().config;
        let restart = config.restart.clone().unwrap_or_else(Restart::assumed);
        let (wants_restart, destroy) = match &ended {
            Ended::Exited(status) => (
                match restart.policy.as_str() {
                    "always" => true,
                    "no" => false,
                    _ => !status.success(),
                },
                false,
            ),
            Ended::Ordered { destroy, .. } => (false, *destroy),
            Ended::NotStarted(_) => (false, false),
        };
        retries.retain(|at| at.elapsed() < RETRY_WINDOW);
        let most = restart.max_retries.unwrap_or(MAX_RETRIES) as usize;
        let restarting = wants_restart && (restart.policy == "always" || retries.len() < most);
        note_end(machine, &ended, restarting);
        if restarting {
            retries.push(Instant::now());
            let pause = Duration::from_millis(200 << retries.len().min(5)).min(Duration::from_secs(5));
            match wait_or_order(orders, pause).await {
                None => continue,
                Some(Order::Destroy) => return true,
                Some(_) => {
                    machine.change(|status| status.state = MachineState::Stopped);
                    return config.auto_destroy;
                }
            }
        }
        if matches!(ended, Ended::NotStarted(_)) {
            return false;
        }
        return destroy || config.auto_destroy;
    }
}

/// A pause that an order to stop ends.
async fn wait_or_order(orders: &mut mpsc::Receiver<Order>, pause: Duration) -> Option<Order> {
    let end = tokio::time::Instant::now() + pause;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(end) => return None,
            order = orders.recv() => match order {
                Some(Order::Start | Order::Signal(_)) => {}
                other => return other.or(Some(Order::Destroy)),
            },
        }
    }
}

fn note_end(machine: &Machine, ended: &Ended, restarting: bool) {
    let (exit, requested) = match ended {
        Ended::Exited(status) => (Some(*status), false),
        Ended::Ordered { status, .. } => (*status, true),
        Ended::NotStarted(reason) => {
            tracing::error!(machine = %machine.id, %reason, "the machine could not be started");
            machine.change(|status| {
                status.state = MachineState::Failed;
                status.pid = None;
                status.note("launch", "failed", "flyd", json!({ "error": reason }));
            });
            return;
        }
    };
    let signal = exit.and_then(|status| status.signal());
    let code = exit.and_then(|status| status.code()).or(signal.map(|number| 128 + number));
    let request = json!({ "exit_event": {
        "exit_code": code,
        "guest_exit_code": exit.and_then(|status| status.code()).unwrap_or_default(),
        "guest_signal": signal.unwrap_or(-1),
        "signal": signal.unwrap_or(-1),
        "oom_killed": false,
        "requested_stop": requested,
        "restarting": restarting,
        "error": "",
        "exited_at": rfc3339(now()),
    }, "restart_count": machine.status().restarts });
    machine.change(|status| {
        status.pid = None;
        status.note("exit", if restarting { "restarting" } else { "stopped" }, "flyd", request);
        status.state = if restarting { MachineState::Restarting } else { MachineState::Stopped };
        if restarting {
            status.restarts += 1;
        }
    });
}

async fn run_once(fly: &Fly, machine: &Arc<Machine>, orders: &mut mpsc::Receiver<Order>) -> Ended {
    machine.change(|status| {
        status.state = MachineState::Starting;
        status.note("start", "starting", "user", Value::Null);
    });
    if let Some(address) = machine.external {
        return run_external(machine, address, orders).await;
    }
    let started = match start_child(fly, machine).await {
        Ok(started) => started,
        Err(reason) => return Ended::NotStarted(reason),
    };
    let (mut child, pid, note) = started;
    machine.change(|status| {
        status.state = MachineState::Started;
        status.pid = Some(pid);
        status.note("start", "started", "flyd", Value::Null);
    });
    let ended = watch(machine, &mut child, pid, orders).await;
    // Grandchildren must not outlive their machine.
    process::signal(pid, Signal::KILL, true);
    let _ = tokio::time::timeout(REAP, child.wait()).await;
    let _ = std::fs::remove_file(note);
    ended
}

async fn watch(machine: &Machine, child: &mut Child, pid: u32, orders: &mut mpsc::Receiver<Order>) -> Ended {
    loop {
        let order = tokio::select! {
            status = child.wait() => return match status {
                Ok(status) => Ended::Exited(status),
                Err(error) => Ended::NotStarted(error.to_string()),
            },
            order = orders.recv() => order.unwrap_or(Order::Destroy),
        };
        match order {
            Order::Start => {}
            Order::Signal(signal) => {
                process::signal(pid, signal, false);
            }
            Order::Stop { signal, timeout } => {
                let config = machine.status().config.stop_config;
                let named = config.signal.as_deref().and_then(process::signal_by_name);
                let signal = signal.or(named).unwrap_or(Signal::INT);
                let timeout = timeout.or(config.timeout.map(|timeout| timeout.0));
                machine.change(|status| {
                    status.state = MachineState::Stopping;
                    status.note("stop", "stopping", "user", Value::Null);
                });
                let (status, destroy) =
                    stop_child(child, pid, signal, timeout.unwrap_or(STOP_TIMEOUT).min(LONGEST_STOP), orders).await;
                return Ended::Ordered { status, destroy };
            }
            Order::Destroy => {
                process::signal(pid, Signal::KILL, true);
                let status = tokio::time::timeout(REAP, child.wait()).await;
                let status = status.ok().and_then(Result::ok);
                return Ended::Ordered { status, destroy: true };
            }
        }
    }
}

/// Signal, grace, kill. An order to destroy ends the grace.
async fn stop_child(
    child: &mut Child,
    pid: u32,
    signal: Signal,
    grace: Duration,
    orders: &mut mpsc::Receiver<Order>,
) -> (Option<ExitStatus>, bool) {
    process::signal(pid, signal, false);
    let end = tokio::time::Instant::now() + grace;
    let mut destroy = false;
    loop {
        tokio::select! {
            status = child.wait() => return (status.ok(), destroy),
            () = tokio::time::sleep_until(end) => break,
            order = orders.recv() => match order {
                Some(Order::Destroy) | None => {
                    destroy = true;
                    break;
                }
                Some(_) => {}
            },
        }
    }
    process::signal(pid, Signal::KILL, true);
    let status = tokio::time::timeout(REAP, child.wait()).await;
    (status.ok().and_then(Result::ok), destroy)
}

/// A machine whose "process" lives in the test that registered it.
async fn run_external(machine: &Machine, address: SocketAddr, orders: &mut mpsc::Receiver<Order>) -> Ended {
    machine.change(|status| {
        status.state = MachineState::Started;
        status.address = Some(address);
        status.note("start", "started", "flyd", Value::Null);
    });
    loop {
        match orders.recv().await {
            Some(Order::Start | Order::Signal(_)) => {}
            Some(Order::Stop { .. }) => return Ended::Ordered { status: None, destroy: false },
            Some(Order::Destroy) | None => return Ended::Ordered { status: None, destroy: true },
        }
    }
}

async fn start_child(fly: &Fly, machine: &Arc<Machine>) -> Result<(Child, u32, PathBuf), String> {
    let status = machine.status();
    let port = status.config.services.first().map_or(8080, |service| service.internal_port);
    // A restart keeps its address, so that whoever has learnt it finds the machine again.
    let address = match status.address {
        Some(address) if is_free(address).await => address,
        _ => own_address(port).await.ok_or("no free loopback address was found")?,
    };
    machine.change(|status| status.address = Some(address));

    let folder = &fly.options().data_dir;
    let log_path = folder.join(format!("{}-{}-{}.log", machine.app, machine.name, machine.id));
    let text = |error: std::io::Error| format!("{}: {error}", log_path.display());
    std::fs::create_dir_all(folder.join("pids")).map_err(text)?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path).map_err(text)?;
    let errors = log.try_clone().map_err(text)?;

    let mut argv = fly.options().runtime.clone();
    argv.extend(status.config.init.cmd.iter().cloned());
    if !status.config.init.exec.is_empty() {
        argv.clone_from(&status.config.init.exec);
    }
    let (program, arguments) = argv.split_first().ok_or("no runtime was given to the sandbox")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(fly.environment(machine, address))
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors))
        // Ctrl-C in the terminal is for the sandbox; it stops its machines in order.
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
    let pid = child.id().ok_or("the process ended at once")?;
    let note = folder.join("pids").join(&machine.id);
    if let Some(identity) = process::identity(pid) {
        let _ = std::fs::write(&note, identity);
    }
    Ok((child, pid, note))
}

async fn is_free(address: SocketAddr) -> bool {
    tokio::net::TcpListener::bind(address).await.is_ok()
}

/// Each machine has its own loopback address, as each has its own network card at Fly.
/// Random, because other sandboxes may run at the same time. Systems that only know
/// 127.0.0.1 (macOS) get a random port there instead.
async fn own_address(port: u16) -> Option<SocketAddr> {
    for _ in 0..64 {
        let [high, middle, low] = random_bytes::<3>();
        let ip = Ipv4Addr::new(127, 64 | (high & 63), middle, low.clamp(1, 254));
        let address = SocketAddr::from((ip, port));
        match tokio::net::TcpListener::bind(address).await {
            Ok(_) => return Some(address),
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => break,
            Err(_) => {}
        }
    }
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.ok()?;
    listener.local_addr().ok()
}

/// Kills what an earlier sandbox, killed itself, has left behind.
pub(super) fn clear_leftovers(folder: &std::path::Path) {
    let Ok(notes) = std::fs::read_dir(folder.join("pids")) else { return };
    for note in notes.flatten() {
        let written = std::fs::read_to_string(note.path()).unwrap_or_default();
        if let Some(pid) = process::still_lives(&written) {
            tracing::info!(pid, "ending a machine of an earlier run");
            process::signal(pid, Signal::KILL, true);
        }
        let _ = std::fs::remove_file(note.path());
    }
}
