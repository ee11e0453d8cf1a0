//! Watching an interview: its state and captions as server-sent events.
//!
//! The session runs in another process. So the database is asked once a second, as the person who watches. The stream ends with
//! the interview, with the person's token, or with this process.

use super::view::SessionView;
use super::{AppState, session_id};
use crate::clock;
use crate::domain::transcript::Entry;
use crate::error::chain;
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::http::auth::Person;
use crate::http::limits::Held;
use crate::http::problem::ApiError;
use crate::ids::{SessionId, UserId};
use crate::integrations::store::StoreError;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures_util::stream;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::{Interval, MissedTickBehavior, interval};

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A row may become visible this long after its `stored_at`, and clocks differ.
const OVERLAP: time::Duration = time::Duration::seconds(60);
/// Polls in a row that may fail before the watcher is sent away to come back.
const MAX_FAILURES: u32 = 30;

/// `GET /api/sessions/{id}/events`
pub(super) async fn watch(State(state): State<AppState>, person: Person, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = session_id(&id)?;
    state.visible(&person, id).await?;
    person.require_recruiter()?;
    let place = state.limits.stream(person.user)?;
    // Before the first word: no entry leaves without a line.
    state.store.audit(person.user, "session_watched", id).await?;
    let mut watcher = Watcher::new(state, person, id, place);
    if !watcher.look().await? {
        return Err(ApiError::session_not_found());
    }
    let events = Sse::new(stream::unfold(watcher, Watcher::next));
    let events = events.keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive"));
    Ok(([(header::CACHE_CONTROL, "no-store")], events).into_response())
}

struct Watcher {
    state: AppState,
    person: Person,
    id: SessionId,
    ticks: Interval,
    waiting: VecDeque<Event>,
    session: Option<SessionView>,
    /// The newest revision sent of each entry.
    entries: HashMap<i32, i32>,
    since: OffsetDateTime,
    failures: u32,
    over: bool,
    _place: Held<UserId>,
}

impl Watcher {
    fn new(state: AppState, person: Person, id: SessionId, place: Held<UserId>) -> Self {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // An interval's first tick comes at once; the first look is not the interval's.
        ticks.reset();
        Self {
            state,
            person,
            id,
            ticks,
            waiting: VecDeque::new(),
            session: None,
            entries: HashMap::new(),
            since: OffsetDateTime::UNIX_EPOCH,
            failures: 0,
            over: false,
            _place: place,
        }
    }

    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((Ok(event), self));
            }
            if self.over || clock::now() >= self.person.expires_at {
                return None;
            }
            tokio::select! {
                _ = self.ticks.tick() => {}
                _ = self.state.stopping.wait_for(|stopping| *stopping) => return None,
            }
            match self.look().await {
                Ok(true) => self.failures = 0,
                Ok(false) => return None,
                Err(error) if error.class() == FaultClass::Transient && self.failures < MAX_FAILURES => self.failures += 1,
                Err(error) => {
                    tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), session.id = %self.id, "a watcher was sent away");
                    return None;
                }
            }
        }
    }

    /// Queue what is new. False when the session is not there for this person.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let asked_at = clock::now();
        let Some((row, entries)) = self.state.store.watch(&self.person.scope(), self.id, self.since).await? else {
            return Ok(false);
        };
        self.since = asked_at - OVERLAP;
        let fresh: Vec<Entry> = entries.into_iter().filter(|entry| is_newer(&self.entries, entry)).collect();
        for entry in fresh {
            self.entries.insert(entry.seq, entry.revision);
            self.queue("transcript_entry", &entry);
        }
        let view = SessionView::from(row);
        self.over = view.phase.is_terminal();
        if self.session.as_ref() != Some(&view) {
            self.queue("session", &view);
            self.session = Some(view);
        }
        Ok(true)
    }

    fn queue(&mut self, name: &'static str, data: &impl Serialize) {
        match Event::default().event(name).json_data(data) {
            Ok(event) => self.waiting.push_back(event),
            Err(error) => tracing::error!(error_code = ErrorCode::InternalFailure.as_str(), %error, "an event cannot be written"),
        }
    }
}

/// What is not of the record is told only of an entry that was: it is withdrawn.
fn is_newer(sent: &HashMap<i32, i32>, entry: &Entry) -> bool {
    sent.get(&entry.seq).map_or(entry.authoritative, |revision| *revision < entry.revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::voice::Speaker;

    #[test]
    fn an_entry_is_told_when_it_is_of_the_record_or_was() {
        let entry = |revision, authoritative| Entry { revision, authoritative, ..Entry::heard(1, Speaker::Candidate, "x") };
        let nobody_knows = HashMap::new();
        let known = HashMap::from([(1, 1)]);
        assert!(is_newer(&nobody_knows, &entry(1, true)) && !is_newer(&nobody_knows, &entry(1, false)));
        assert!(is_newer(&known, &entry(2, false)), "it is withdrawn");
        assert!(!is_newer(&known, &entry(1, true)) && !is_newer(&known, &entry(1, false)), "nothing new");
    }
}
