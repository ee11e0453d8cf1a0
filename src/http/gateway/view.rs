//! Rows as the API shows them.

use crate::domain::phase::Phase;
use crate::http::problem::ApiError;
use crate::ids::{CandidateId, CompetencyId, InviteId, MachineId, PlanId, PositionId, SessionId};
use crate::integrations::store::gateway::{CompetencyRow, PageKey, PositionRow, SessionRow};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SessionView {
    session_id: SessionId,
    pub(super) phase: Phase,
    end_reason: Option<String>,
    candidate: CandidateView,
    position: PositionName,
    /// With which version of which plan it was created.
    plan: Option<PlanName>,
    /// That it was begun by, for recruiters: its end counts for the candidate, and not `join_by`.
    invite: Option<InviteName>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    deadline_at: OffsetDateTime,
    /// Until when it is kept while nobody has begun it.
    #[serde(with = "time::serde::rfc3339::option")]
    join_by: Option<OffsetDateTime>,
    /// Until when it waits for a candidate who is gone.
    #[serde(with = "time::serde::rfc3339::option")]
    return_by: Option<OffsetDateTime>,
    candidate_connected: bool,
    machine: MachineView,
    recording: RecordingView,
    summary: SummaryStatusView,
    transcript_entries: i64,
    trace_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct CandidateView {
    id: CandidateId,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct PositionName {
    id: PositionId,
    title: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct PlanName {
    pub(super) plan_id: PlanId,
    pub(super) version: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct InviteName {
    invite_id: InviteId,
    #[serde(with = "time::serde::rfc3339")]
    closes_at: OffsetDateTime,
}

impl From<(PlanId, i32)> for PlanName {
    fn from((plan_id, version): (PlanId, i32)) -> Self {
        Self { plan_id, version }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct MachineView {
    id: Option<MachineId>,
    region: Option<String>,
    attempt: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct RecordingView {
    state: String,
    video_id: Option<String>,
    parts: i32,
    mime_type: Option<String>,
    incomplete: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct SummaryStatusView {
    status: &'static str,
}

impl From<SessionRow> for SessionView {
    fn from(row: SessionRow) -> Self {
        let summary = summary_status(row.phase, row.summary_status.as_deref());
        Self {
            session_id: row.id,
            phase: row.phase,
            end_reason: row.end_reason,
            candidate: CandidateView { id: row.candidate, name: row.candidate_name },
            position: PositionName { id: row.position, title: row.position_title },
            plan: row.plan.map(PlanName::from),
            invite: row.invite.map(|(invite_id, closes_at)| InviteName { invite_id, closes_at }),
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            deadline_at: row.deadline_at,
            join_by: row.join_by,
            return_by: row.return_by.filter(|_| row.phase == Phase::Live && !row.candidate_connected),
            candidate_connected: row.candidate_connected,
            machine: MachineView { id: row.machine, region: row.machine_region, attempt: row.attempt },
            recording: row.recording.map_or_else(
                || RecordingView { state: "waiting".to_owned(), video_id: None, parts: 0, mime_type: None, incomplete: false },
                |recording| RecordingView {
                    state: recording.state,
                    video_id: recording.video_id,
                    parts: recording.parts,
                    mime_type: recording.mime_type,
                    incomplete: row.recording_incomplete,
                },
            ),
            summary: SummaryStatusView { status: summary },
            transcript_entries: row.transcript_entries,
            trace_id: row.traceparent.as_deref().and_then(trace_id),
        }
    }
}

/// Of the newest summary, or what is to be expected while there is none.
pub(super) fn summary_status(phase: Phase, newest: Option<&str>) -> &'static str {
    match newest {
        Some("stored") => "stored",
        Some(_) => "failed",
        None if matches!(phase, Phase::Ending | Phase::Summarizing) => "pending",
        None => "none",
    }
}

/// `00-{trace id}-{span id}-{flags}`
fn trace_id(traceparent: &str) -> Option<String> {
    traceparent.split('-').nth(1).filter(|id| id.len() == 32).map(str::to_owned)
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct CompetencyView {
    id: CompetencyId,
    name: String,
    description: String,
}

impl From<CompetencyRow> for CompetencyView {
    fn from(row: CompetencyRow) -> Self {
        Self { id: row.id, name: row.name, description: row.description }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct PositionView {
    id: PositionId,
    title: String,
    description: String,
    competencies: Vec<CompetencyView>,
}

impl From<PositionRow> for PositionView {
    fn from(row: PositionRow) -> Self {
        Self {
            id: row.id,
            title: row.title,
            description: row.description,
            competencies: row.competencies.into_iter().map(CompetencyView::from).collect(),
        }
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// None on the last page.
    pub(super) next_cursor: Option<String>,
}

/// How many rows a request asks for, or may.
pub(super) fn limit(asked: Option<i64>, usual: i64, most: i64) -> Result<i64, ApiError> {
    let limit = asked.unwrap_or(usual);
    if asked.is_none() || (1..=most).contains(&limit) { Ok(limit) } else { Err(ApiError::invalid(format!("limit: 1 to {most}"))) }
}

impl<T> Page<T> {
    /// The first `limit` of these rows. One more than that tells whether there is another page; `cursor` says where it goes on.
    pub(super) fn of<R>(mut rows: Vec<R>, limit: i64, cursor: impl FnOnce(&R) -> String, view: impl FnMut(R) -> T) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(cursor);
        Self { items: rows.into_iter().map(view).collect(), next_cursor }
    }

    /// A list that is always whole.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

/// Opaque to clients: time and id of the last row of the page before.
pub(super) fn write_cursor(key: PageKey) -> String {
    let micros = key.created_at.unix_timestamp_nanos() / 1_000;
    let mut bytes = i64::try_from(micros).unwrap_or(i64::MAX).to_be_bytes().to_vec();
    bytes.extend(key.id.0.as_bytes());
    BASE64URL_NOPAD.encode(&bytes)
}

pub(super) fn read_cursor(text: &str) -> Result<PageKey, ApiError> {
    let key = || {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (time, id) = bytes.split_first_chunk::<8>()?;
        let nanos = i128::from(i64::from_be_bytes(*time)) * 1_000;
        Some(PageKey {
            // What the database can hold, whoever made it up.
            created_at: OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().filter(|at| (1..=9_999).contains(&at.year()))?,
            id: SessionId(Uuid::from_slice(id).ok()?),
        })
    };
    key().ok_or_else(|| ApiError::invalid("cursor: take it from next_cursor"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_others_are_refused() {
        let key = PageKey { created_at: datetime!(2026-11-23 10:11:12.123456 UTC), id: SessionId(Uuid::now_v7()) };
        assert_eq!(read_cursor(&write_cursor(key)).expect("our own"), key);
        for odd in ["", "x", "AAAA", &BASE64URL_NOPAD.encode(&[255; 25]), &BASE64URL_NOPAD.encode(&[127; 24])] {
            assert!(read_cursor(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_summary_is_pending_only_while_one_is_written() {
        assert_eq!(summary_status(Phase::Live, None), "none");
        assert_eq!(summary_status(Phase::Summarizing, None), "pending");
        assert_eq!(summary_status(Phase::Completed, None), "none");
        assert_eq!(summary_status(Phase::Completed, Some("stored")), "stored");
        assert_eq!(summary_status(Phase::Completed, Some("failed")), "failed");
    }

    #[test]
    fn the_trace_is_the_second_part() {
        assert_eq!(
            trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert_eq!(trace_id("nonsense"), None);
    }
}
