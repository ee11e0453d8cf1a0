//! Work that keeps a processor busy: the linter reads a plan, a plan is rehearsed, a file of candidates is taken apart. It is done on
//! threads of its own, a few at once, so that the event loop answers everybody else meanwhile.

use crate::http::limits::{Bound, Refused};
use crate::http::problem::ApiError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is done at once. More would only take processors from the event loop.
const AT_ONCE: usize = 2;
/// With what waits for its turn.
const PLACES: usize = 16;
/// Nobody waits for longer.
const PATIENCE: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Clone)]
pub struct Checks {
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
    refused: Refused,
}

/// The right to keep one thread busy, for one request. It ends when its work has ended, also when nobody waits for that any more.
pub(super) struct Turn(Arc<[OwnedSemaphorePermit; 2]>);

impl Checks {
    pub fn new(refused: Refused) -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), running: Arc::new(Semaphore::new(AT_ONCE)), refused }
    }

    /// Before a connection to the database is taken: whoever waits here holds nothing.
    pub(super) async fn turn(&self) -> Result<Turn, ApiError> {
        let full = || self.refused.count(Bound::Checks, LATER);
        let place = self.places.clone().try_acquire_owned().map_err(|_| full())?;
        match tokio::time::timeout(PATIENCE, self.running.clone().acquire_owned()).await {
            Ok(Ok(running)) => Ok(Turn(Arc::new([place, running]))),
            Ok(Err(_)) | Err(_) => Err(full()),
        }
    }

    /// Work that was begun and given up: it may go sooner when less is done beside it.
    pub(super) fn took_too_long(&self) -> ApiError {
        self.refused.count(Bound::Checks, LATER)
    }

    /// A turn for one piece of work.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        self.turn().await?.run(work).await
    }
}

impl Turn {
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let held = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(held);
            result
        });
        done.await.map_err(|error| ApiError::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use std::sync::mpsc;

    /// The work ends only when the one event loop there is has gone on and said so.
    #[tokio::test]
    async fn the_event_loop_goes_on_while_a_plan_is_checked() {
        let checks = Checks::new(Refused::default());
        let (tell, told) = mpsc::channel();
        let work = checks.run(move || told.recv_timeout(Duration::from_secs(30)));
        let beside = async move { tell.send("gone on") };
        let (done, sent) = tokio::join!(work, beside);
        sent.expect("the work waits");
        assert_eq!(done.expect("a turn"), Ok("gone on"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_it_full_is_told_at_once_and_who_waits_in_vain_later() {
        let checks = Checks::new(Refused::default());
        let running = join_all((0..AT_ONCE).map(|_| checks.turn())).await;
        assert!(running.iter().all(Result::is_ok));
        let mut waiting: Vec<_> = (AT_ONCE..PLACES).map(|_| Box::pin(checks.turn())).collect();
        for turn in &mut waiting {
            assert!(turn.as_mut().now_or_never().is_none(), "it waits");
        }
        let full = checks.turn().await.err().expect("full");
        assert_eq!((full.status().as_u16(), full.code().as_str()), (503, "service_saturated"));
        for late in join_all(waiting).await {
            assert_eq!(late.err().expect("in vain").status().as_u16(), 503);
        }
        drop(running);
        assert!(checks.turn().await.is_ok(), "places come back");
    }

    #[tokio::test]
    async fn whose_client_has_gone_keeps_its_turn_until_its_work_has_ended() {
        let checks = Checks::new(Refused::default());
        let (end, ended) = mpsc::channel::<()>();
        let turn = checks.turn().await.expect("a turn");
        let mut work = Box::pin(async move { turn.run(move || ended.recv()).await });
        assert!(work.as_mut().now_or_never().is_none(), "it works");
        drop(work);
        assert_eq!(checks.running.available_permits(), AT_ONCE - 1);
        end.send(()).expect("it works on");
        while checks.running.available_permits() < AT_ONCE {
            tokio::task::yield_now().await;
        }
    }
}
