//! The rows that the reconcilers take and give back. A reconciler takes a row by a lease that ends by itself: a gateway that dies at
//! work blocks nothing for the other.
//!
//! Silence and age are measured by the database's clock, so no two clocks are compared.

use super::super::{During, StoreError};
use super::{GatewayStore, phase};
use crate::domain::outbox_record::RecordingState;
use crate::domain::phase::EndReason;
use crate::domain::placement::Importance;
use crate::domain::reconcile::SessionHealth;
use crate::ids::{CallId, CandidateId, MachineId, PositionId, SessionId, VideoId};
use secrecy::SecretString;
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// A session that a reconciler holds for a while.
#[derive(Clone, Debug)]
pub struct KeptSession {
    pub id: SessionId,
    pub candidate: CandidateId,
    pub position: PositionId,
    pub health: SessionHealth,
    pub machine: Option<MachineId>,
    pub region: Option<String>,
    pub importance: Importance,
    pub traceparent: Option<String>,
}

/// A session as the reconcilers' queries return it.
struct KeptRow {
    id: Uuid,
    candidate_id: Uuid,
    position_id: Uuid,
    phase: String,
    end_reason: Option<String>,
    attempt: i32,
    machine_id: Option<String>,
    machine_region: Option<String>,
    traceparent: Option<String>,
    importance: Option<String>,
    joined: bool,
    silence: f64,
    overdue: f64,
    end_asked: Option<f64>,
}

impl TryFrom<KeptRow> for KeptSession {
    type Error = StoreError;

    fn try_from(row: KeptRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: SessionId(row.id),
            candidate: CandidateId(row.candidate_id),
            position: PositionId(row.position_id),
            health: SessionHealth {
                phase: phase(&row.phase)?,
                attempt: attempt(row.attempt),
                silence: duration(row.silence),
                overdue: (row.overdue > 0.0).then(|| duration(row.overdue)),
                end_asked: row.end_asked.map(duration),
                end: row.end_reason.as_deref().and_then(|reason| reason.parse().ok()),
                joined: row.joined,
            },
            machine: row.machine_id.map(MachineId::new),
            region: row.machine_region,
            // A row that an operator wrote by hand still gets a machine.
            importance: row.importance.as_deref().and_then(Importance::named).unwrap_or_default(),
            traceparent: row.traceparent,
        })
    }
}

/// A session that the reconcilers have to finish.
#[derive(Clone, Debug)]
pub struct Unfinished {
    pub id: SessionId,
    /// Those that are not known to be over.
    pub calls: Vec<CallId>,
    pub traceparent: Option<String>,
    /// It is over, only its summary is missing.
    pub summary_only: bool,
}

/// What is stored of a session that a machine names.
#[derive(Clone, Debug)]
pub struct OwnerRow {
    pub attempt: u32,
    pub machine: Option<MachineId>,
    pub over_for: Option<Duration>,
    pub handed_over: bool,
}

/// A take of a recording whose end is not stored yet, and which no process follows.
#[derive(Clone, Debug)]
pub struct UnsettledRecording {
    pub session: SessionId,
    pub video: VideoId,
    pub state: RecordingState,
    pub parts: i32,
    pub upload_token: Option<SecretString>,
    pub checks: u32,
    pub traceparent: Option<String>,
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn attempt(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

impl GatewayStore {
    /// Take sessions that are silent or past their deadline, the most silent first.
    pub async fn take_silent(&self, silent_for: Duration, lease: Duration, limit: i64) -> Result<Vec<KeptSession>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query_as!(
            KeptRow,
            r#"with taken as (
                 select id from app.sessions
                 where tenant_id = $1 and phase not in ('completed', 'failed') and handed_over_at is null
                   and (kept_until is null or kept_until < now())
                   and (deadline_at < now() or greatest(heartbeat_at, attempt_at) < now() - make_interval(secs => $2))
                 order by greatest(heartbeat_at, attempt_at) limit $4 for update skip locked)
               update app.sessions s set kept_until = now() + make_interval(secs => $3)
               from taken where s.tenant_id = $1 and s.id = taken.id
               returning s.id, s.candidate_id, s.position_id, s.phase, s.end_reason, s.attempt, s.machine_id, s.machine_region, s.traceparent,
                 s.settings->>'importance' as importance,
                 s.started_at is not null as "joined!",
                 extract(epoch from now() - greatest(s.heartbeat_at, s.attempt_at))::float8 as "silence!",
                 extract(epoch from now() - s.deadline_at)::float8 as "overdue!",
                 extract(epoch from now() - s.end_requested_at)::float8 as end_asked"#,
            self.tenant.0,
            seconds(silent_for),
            seconds(lease),
            limit,
        )
        .fetch_all(&mut *tx)
        .await
        .during("take silent sessions")?;
        tx.commit().await.during("take silent sessions")?;
        rows.into_iter().map(KeptSession::try_from).collect()
    }

    /// Take sessions whose machine was made less than `since` ago and whose process has not been
    /// heard of since, the newest machine last.
    pub async fn take_starting(&self, since: Duration, lease: Duration, limit: i64) -> Result<Vec<KeptSession>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query_as!(
            KeptRow,
            r#"with taken as (
                 select id from app.sessions
                 where tenant_id = $1 and phase not in ('completed', 'failed') and handed_over_at is null
                   and (kept_until is null or kept_until < now()) and deadline_at > now()
                   and machine_id is not null and attempt_at > now() - make_interval(secs => $2)
                   and (heartbeat_at is null or heartbeat_at < attempt_at)
                 order by attempt_at limit $4 for update skip locked)
               update app.sessions s set kept_until = now() + make_interval(secs => $3)
               from taken where s.tenant_id = $1 and s.id = taken.id
               returning s.id, s.candidate_id, s.position_id, s.phase, s.end_reason, s.attempt, s.machine_id, s.machine_region, s.traceparent,
                 s.settings->>'importance' as importance,
                 s.started_at is not null as "joined!",
                 extract(epoch from now() - greatest(s.heartbeat_at, s.attempt_at))::float8 as "silence!",
                 extract(epoch from now() - s.deadline_at)::float8 as "overdue!",
                 extract(epoch from now() - s.end_requested_at)::float8 as end_asked"#,
            self.tenant.0,
            seconds(since),
            seconds(lease),
            limit,
        )
        .fetch_all(&mut *tx)
        .await
        .during("take starting sessions")?;
        tx.commit().await.during("take starting sessions")?;
        rows.into_iter().map(KeptSession::try_from).collect()
    }

    /// Hold a session for so much longer; zero gives it back.
    pub async fn keep_for(&self, session: SessionId, lease: Duration) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "update app.sessions set kept_until = now() + make_interval(secs => $3) where tenant_id = $1 and id = $2",
            self.tenant.0,
            session.0,
            seconds(lease),
        )
        .execute(&mut *tx)
        .await
        .during("hold a session")?;
        tx.commit().await.during("hold a session")
    }

    /// Begin the next attempt, if nothing was heard of this one meanwhile. From here on the
    /// machine of this attempt is nobody's.
    pub async fn begin_attempt(
        &self,
        session: SessionId,
        current: u32,
        silent_for: Duration,
        why: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let begun = sqlx::query!(
            "update app.sessions set attempt = attempt + 1, machine_id = null, attempt_at = now()
             where tenant_id = $1 and id = $2 and attempt = $3 and phase not in ('completed', 'failed') and handed_over_at is null
               and greatest(heartbeat_at, attempt_at) < now() - make_interval(secs => $4)",
            self.tenant.0,
            session.0,
            current as i32,
            seconds(silent_for),
        )
        .execute(&mut *tx)
        .await
        .during("begin the next attempt")?
        .rows_affected()
            > 0;
        if begun {
            let detail = json!({"attempt": current + 1, "machine": why});
            self.audit_in(&mut tx, None, "machine_replaced", session, detail).await?;
        }
        tx.commit().await.during("begin the next attempt")?;
        Ok(begun)
    }

    /// Take a session from whoever ran it: its epoch rises, so that no process can write any
    /// more, and the reconcilers finish it. False when its process was heard of meanwhile.
    pub async fn hand_over(
        &self,
        session: SessionId,
        current: u32,
        silent_for: Duration,
        end: EndReason,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let taken = sqlx::query!(
            "update app.sessions set handed_over_at = now(), epoch = epoch + 1, kept_until = null, end_reason = coalesce(end_reason, $5)
             where tenant_id = $1 and id = $2 and attempt = $3 and phase not in ('completed', 'failed') and handed_over_at is null
               and (deadline_at < now() or greatest(heartbeat_at, attempt_at) < now() - make_interval(secs => $4))",
            self.tenant.0,
            session.0,
            current as i32,
            seconds(silent_for),
            end.as_str(),
        )
        .execute(&mut *tx)
        .await
        .during("hand a session over to the reconcilers")?
        .rows_affected()
            > 0;
        if taken {
            self.audit_in(&mut tx, None, "session_handed_over", session, json!({"end_reason": end.as_str()})).await?;
        }
        tx.commit().await.during("hand a session over to the reconcilers")?;
        Ok(taken)
    }

    /// A session that was handed over and cannot be read failed: nobody could ever finish it.
    pub async fn fail_unreadable(&self, session: SessionId, why: &str) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "update app.sessions set phase = 'failed', ended_at = now(), call_id = null, ending_calls = '{}', candidate_connected = false
             where tenant_id = $1 and id = $2 and handed_over_at is not null and phase not in ('completed', 'failed')",
            self.tenant.0,
            session.0,
        )
        .execute(&mut *tx)
        .await
        .during("mark an unreadable session as failed")?;
        self.audit_in(&mut tx, None, "session_unreadable", session, json!({"code": why})).await?;
        tx.commit().await.during("mark an unreadable session as failed")
    }

    /// Take sessions the reconcilers have to finish: handed over, or over with a summary that failed
    /// for one of `reasons` and was asked for less than `max_tries` times, `pause` after the first try,
    /// twice that after the second, and so on. Those that nobody has tried yet come first, then
    /// those whose last try is oldest: one that always fails keeps no other waiting.
    pub async fn take_unfinished(
        &self,
        reasons: &[String],
        max_tries: i32,
        pause: Duration,
        lease: Duration,
        limit: i64,
    ) -> Result<Vec<Unfinished>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query!(
            r#"with taken as (
                 select s.id from app.sessions s
                 left join lateral (select status, failure from app.summaries m
                    where m.tenant_id = s.tenant_id and m.session_id = s.id order by version desc limit 1) m on s.phase = 'completed'
                 where s.tenant_id = $1 and (s.kept_until is null or s.kept_until < now())
                   and ((s.handed_over_at is not null and s.phase not in ('completed', 'failed'))
                     or (m.status = 'failed' and m.failure = any($2) and s.summary_tries < $3
                         and coalesce(s.summary_tried_at < now() - make_interval(
                           secs => $4 * power(2, least(greatest(s.summary_tries, 1) - 1, 20))), true)))
                 order by s.summary_tried_at nulls first, s.deadline_at limit $6 for update of s skip locked)
               update app.sessions s set kept_until = now() + make_interval(secs => $5)
               from taken where s.tenant_id = $1 and s.id = taken.id
               returning s.id, array_append(s.ending_calls, s.call_id) as "calls!: Vec<Option<String>>", s.traceparent, s.phase = 'completed' as "summary_only!""#,
            self.tenant.0,
            reasons,
            max_tries,
            seconds(pause),
            seconds(lease),
            limit,
        )
        .fetch_all(&mut *tx)
        .await
        .during("take unfinished sessions")?;
        tx.commit().await.during("take unfinished sessions")?;
        Ok(rows
            .into_iter()
            .map(|row| Unfinished {
                id: SessionId(row.id),
                calls: row.calls.into_iter().flatten().map(CallId::new).collect(),
                traceparent: row.traceparent,
                summary_only: row.summary_only,
            })
            .collect())
    }

    /// Take a turn of a duty over a whole list: one gateway's in each `every`.
    pub async fn take_duty(&self, duty: &str, every: Duration) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let taken = sqlx::query_scalar!(
            r#"insert into app.keeper_duties as d (tenant_id, duty, due_at) values ($1, $2, now() + make_interval(secs => $3))
               on conflict (tenant_id, duty) do update set due_at = excluded.due_at where d.due_at <= now()
               returning true as "taken!""#,
            self.tenant.0,
            duty,
            seconds(every),
        )
        .fetch_optional(&mut *tx)
        .await
        .during("take a turn of a duty")?;
        tx.commit().await.during("take a turn of a duty")?;
        Ok(taken.is_some())
    }

    /// What is stored of the sessions that machines name; a session that does not exist is missing.
    pub async fn owners(&self, sessions: &[SessionId]) -> Result<HashMap<SessionId, OwnerRow>, StoreError> {
        let ids: Vec<_> = sessions.iter().map(|session| session.0).collect();
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query!(
            r#"select id, attempt, machine_id, handed_over_at is not null as "handed_over!",
                 extract(epoch from now() - case when phase in ('completed', 'failed')
                   then coalesce(ended_at, created_at) else handed_over_at end)::float8 as over_for
               from app.sessions where tenant_id = $1 and id = any($2)"#,
            self.tenant.0,
            &ids,
        )
        .fetch_all(&mut *tx)
        .await
        .during("look up the sessions of machines")?;
        tx.commit().await.during("look up the sessions of machines")?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let owner = OwnerRow {
                    attempt: attempt(row.attempt),
                    machine: row.machine_id.map(MachineId::new),
                    over_for: row.over_for.map(duration),
                    handed_over: row.handed_over,
                };
                (SessionId(row.id), owner)
            })
            .collect())
    }

    /// Take recordings whose state may change and which no process follows any more; each look
    /// is twice as far from the last, from `pause` to `longest_pause`. What a browser may still
    /// be sending is left alone for `upload_grace`.
    pub async fn take_recordings(
        &self,
        pause: Duration,
        longest_pause: Duration,
        upload_grace: Duration,
        limit: i64,
    ) -> Result<Vec<UnsettledRecording>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query!(
            r#"with taken as (
                 select r.session_id, r.segment from app.recordings r
                 join app.sessions s on s.tenant_id = r.tenant_id and s.id = r.session_id
                 where r.tenant_id = $1 and r.next_check_at <= now()
                   and (r.state = 'uploaded' or (r.state in ('waiting', 'recording') and s.phase in ('completed', 'failed')
                        and coalesce(s.ended_at, s.created_at) <= now() - make_interval(secs => $5)))
                 order by r.next_check_at limit $4 for update of r skip locked)
               update app.recordings r set checks = checks + 1,
                 next_check_at = now() + make_interval(secs => least($2 * power(2, least(checks, 20)), $3))
               from taken, app.sessions s
               where r.tenant_id = $1 and r.session_id = taken.session_id and r.segment = taken.segment
                 and s.tenant_id = r.tenant_id and s.id = r.session_id
               returning r.session_id, r.video_id, r.state, r.parts, r.upload_token, r.checks, s.traceparent"#,
            self.tenant.0,
            seconds(pause),
            seconds(longest_pause),
            limit,
            seconds(upload_grace),
        )
        .fetch_all(&mut *tx)
        .await
        .during("take unsettled recordings")?;
        tx.commit().await.during("take unsettled recordings")?;
        rows.into_iter()
            .map(|row| {
                Ok(UnsettledRecording {
                    session: SessionId(row.session_id),
                    video: VideoId::new(row.video_id),
                    state: RecordingState::named(&row.state)
                        .ok_or_else(|| StoreError::Corrupt(format!("unknown state of a recording: {}", row.state)))?,
                    parts: row.parts,
                    upload_token: row.upload_token.map(SecretString::from),
                    checks: attempt(row.checks),
                    traceparent: row.traceparent,
                })
            })
            .collect()
    }

    /// Store what became of a recording, unless someone else has settled it. True if it changed.
    pub async fn settle_recording(
        &self,
        recording: &UnsettledRecording,
        state: RecordingState,
        parts: i32,
        failure: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let changed = sqlx::query!(
            "update app.recordings set state = $4, parts = greatest(parts, $5), failure = coalesce($6, failure), upload_token = null,
               incomplete = incomplete or ($4 = 'failed' and state = 'recording'), updated_at = now()
             where tenant_id = $1 and session_id = $2 and video_id = $3 and state in ('waiting', 'recording', 'uploaded') and state <> $4",
            self.tenant.0,
            recording.session.0,
            recording.video.as_str(),
            state.as_str(),
            parts,
            failure,
        )
        .execute(&mut *tx)
        .await
        .during("settle a recording")?
        .rows_affected()
            > 0;
        tx.commit().await.during("settle a recording")?;
        Ok(changed)
    }

    /// Keep what the provider told of a video, once; its recording is looked at next. False when
    /// it was told before, or the video is not ours.
    pub async fn recording_event(&self, video: &VideoId, kind: &str, encoding: &str, quality: &str) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let news = sqlx::query!(
            "insert into app.recording_events (tenant_id, video_id, type, encoding, quality)
             select $1, $2, $3, $4, $5 where exists (select from app.recordings where tenant_id = $1 and video_id = $2)
             on conflict do nothing",
            self.tenant.0,
            video.as_str(),
            kind,
            encoding,
            quality,
        )
        .execute(&mut *tx)
        .await
        .during("keep a recording's event")?
        .rows_affected()
            > 0;
        if news {
            sqlx::query!(
                "update app.recordings set next_check_at = now() where tenant_id = $1 and video_id = $2",
                self.tenant.0,
                video.as_str(),
            )
            .execute(&mut *tx)
            .await
            .during("look at a recording next")?;
        }
        tx.commit().await.during("keep a recording's event")?;
        Ok(news)
    }
}
