//! Detects that the event loop stalls, and ends the process so that it is started again.
//!
//! One blocking call on the only thread stops everything: acknowledgements, heartbeats, even the answer to a stop signal.
//! Nothing on that thread can detect it, so a plain thread does. It counts its own wake-ups and not the time. So a machine that
//! was suspended as a whole is not mistaken for a stalled one.

use super::Exit;
use crate::actors::TaskGuard;
use crate::error::ErrorCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// Wake-ups without a sign of life that make a stall.
const STRIKES: u32 = 8;
/// What the last words of a stalled process may take: the stalled thread may hold the log.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Watches for as long as it is held.
#[derive(Debug)]
pub struct Watchdog {
    _held: Arc<()>,
    _beats: TaskGuard,
}

/// End the process when the runtime this is called in stands still for `stall_after`.
pub fn guard_process(stall_after: Duration) -> std::io::Result<Watchdog> {
    watch(stall_after, move || end_process(stall_after))
}

fn watch(stall_after: Duration, stalled: impl FnOnce() + Send + 'static) -> std::io::Result<Watchdog> {
    let (held, beats) = (Arc::new(()), Arc::new(AtomicU64::new(0)));
    let interval = stall_after / STRIKES;
    let (holder, counter) = (Arc::downgrade(&held), beats.clone());
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        if stands_still(interval, &holder, &counter) {
            stalled();
        }
    })?;
    let beat = TaskGuard::spawn(async move {
        let mut ticks = tokio::time::interval(interval / 2);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            beats.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok(Watchdog { _held: held, _beats: beat })
}

/// Returns true on a stall, false when nobody wants to know any more.
fn stands_still(interval: Duration, holder: &Weak<()>, beats: &AtomicU64) -> bool {
    let (mut last, mut strikes) = (beats.load(Ordering::Relaxed), 0);
    loop {
        thread::sleep(interval);
        if holder.strong_count() == 0 {
            return false;
        }
        let now = beats.load(Ordering::Relaxed);
        strikes = if now == last { strikes + 1 } else { 0 };
        last = now;
        if strikes >= STRIKES {
            return true;
        }
    }
}

fn end_process(stall_after: Duration) {
    // Neither the log nor the handlers that run at exit may keep a stalled process alive.
    thread::spawn(|| {
        thread::sleep(LAST_WORDS * 4);
        std::process::abort();
    });
    let told = thread::spawn(move || {
        tracing::error!(
            error_code = ErrorCode::EventLoopStalled.as_str(),
            stalled_ms = stall_after.as_millis() as u64,
            "the event loop stands still, ending the process"
        );
    });
    for _ in 0..20 {
        if told.is_finished() {
            break;
        }
        thread::sleep(LAST_WORDS / 20);
    }
    std::process::exit(i32::from(Exit::Stalled.code()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_loop_that_blocks_is_noticed() {
        let (tell, told) = mpsc::channel();
        let _watch = watch(Duration::from_millis(80), move || tell.send(()).expect("somebody listens")).expect("a thread");
        tokio::task::yield_now().await;
        // Blocks this runtime's only thread until the watchdog barks.
        told.recv_timeout(Duration::from_secs(5)).expect("the stall is noticed");
    }

    #[tokio::test]
    async fn a_loop_that_runs_is_left_alone_and_one_that_ended_too() {
        let (tell, told) = mpsc::channel();
        let watch = watch(Duration::from_millis(400), move || tell.send(()).expect("somebody listens")).expect("a thread");
        tokio::time::sleep(Duration::from_millis(900)).await;
        drop(watch);
        // The thread is gone with the watch, so nobody can tell any more.
        assert_eq!(told.recv_timeout(Duration::from_secs(5)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
