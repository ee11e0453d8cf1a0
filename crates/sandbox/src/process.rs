//! Signals to child processes, and cleaning up those of an earlier run.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// Sends a signal to a process, or with `group` to all of its group.
pub(crate) fn signal(pid: u32, signal: Signal, group: bool) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    if group {
        rustix::process::kill_process_group(pid, signal).is_ok()
    } else {
        rustix::process::kill_process(pid, signal).is_ok()
    }
}

/// The signals that Fly's `stop_config` may name.
pub(crate) fn signal_by_name(name: &str) -> Option<Signal> {
    Some(match name {
        "SIGHUP" => Signal::HUP,
        "SIGINT" => Signal::INT,
        "SIGQUIT" => Signal::QUIT,
        "SIGKILL" => Signal::KILL,
        "SIGUSR1" => Signal::USR1,
        "SIGUSR2" => Signal::USR2,
        "SIGTERM" => Signal::TERM,
        _ => return None,
    })
}

/// Text that is equal only for the same process: its number may have been given to
/// another one since. `None` when no such process lives.
pub(crate) fn identity(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Field 2 is the name in brackets and may hold anything; count after it.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        if fields.next()? == "Z" {
            return None;
        }
        return Some(format!("{pid} {}", fields.nth(18)?));
    }
    let output = std::process::Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
    let started = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!started.is_empty()).then(|| format!("{pid} {started}"))
}

/// Whether the process written down as `identity` still lives; its number if so.
pub(crate) fn still_lives(written: &str) -> Option<u32> {
    let pid = written.split(' ').next()?.parse().ok()?;
    (identity(pid)? == written.trim()).then_some(pid)
}

/// The processes that `parent` started and that still live.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().filter_map(|number| number.parse::<u32>().ok());
        Some((numbers.next()?, numbers.next()?))
    });
    rows.filter(|(_, of)| *of == parent).map(|(pid, _)| pid).collect()
}

/// Waits until the process is gone; false when it is still there at the deadline.
pub(crate) async fn gone_within(pid: u32, deadline: Duration) -> bool {
    let end = tokio::time::Instant::now() + deadline;
    while identity(pid).is_some() {
        if tokio::time::Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}
