//! What people may see, read as those people.

use super::super::entries::EntryRow;
use super::super::{During, Scope, StoreError, Transaction};
use super::plans::pinned;
use super::{
    CompetencyRow, GatewayStore, JoinRow, OfferedTake, PageKey, PositionRow, RecordingRow, RouteRow, SessionRow, SummaryRow,
    phase,
};
use crate::domain::outbox_record::RecordingState;
use crate::domain::transcript::Entry;
use crate::ids::{CandidateId, CompetencyId, InviteId, MachineId, PositionId, SessionId, UserId, VideoId};
use std::collections::HashMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// A session row as the query yields it.
struct RawSession {
    id: Uuid,
    phase: String,
    end_reason: Option<String>,
    candidate_id: Uuid,
    candidate_name: String,
    position_id: Uuid,
    position_title: String,
    plan_id: Option<Uuid>,
    plan_version: Option<i32>,
    created_at: OffsetDateTime,
    started_at: Option<OffsetDateTime>,
    ended_at: Option<OffsetDateTime>,
    deadline_at: OffsetDateTime,
    join_by: Option<OffsetDateTime>,
    return_by: Option<OffsetDateTime>,
    candidate_connected: bool,
    machine_id: Option<String>,
    machine_region: Option<String>,
    attempt: i32,
    traceparent: Option<String>,
    recording_state: Option<String>,
    recording_provider: Option<String>,
    video_id: Option<String>,
    parts: Option<i32>,
    recording_segment: Option<i32>,
    mime_type: Option<String>,
    take_incomplete: Option<bool>,
    recording_incomplete: bool,
    summary_status: Option<String>,
    transcript_entries: i64,
    invite_id: Option<Uuid>,
    invite_closes_at: Option<OffsetDateTime>,
}

impl TryFrom<RawSession> for SessionRow {
    type Error = StoreError;

    fn try_from(raw: RawSession) -> Result<Self, StoreError> {
        Ok(Self {
            id: SessionId(raw.id),
            phase: phase(&raw.phase)?,
            end_reason: raw.end_reason,
            candidate: CandidateId(raw.candidate_id),
            candidate_name: raw.candidate_name,
            position: PositionId(raw.position_id),
            position_title: raw.position_title,
            plan: pinned(raw.plan_id, raw.plan_version),
            invite: raw.invite_id.map(InviteId).zip(raw.invite_closes_at),
            created_at: raw.created_at,
            started_at: raw.started_at,
            ended_at: raw.ended_at,
            deadline_at: raw.deadline_at,
            join_by: raw.join_by,
            return_by: raw.return_by,
            candidate_connected: raw.candidate_connected,
            machine: raw.machine_id.map(MachineId::new),
            machine_region: raw.machine_region,
            attempt: raw.attempt,
            traceparent: raw.traceparent,
            recording: raw.recording_state.zip(raw.recording_provider).map(|(state, provider)| RecordingRow {
                segment: raw.recording_segment.unwrap_or(1),
                state,
                provider,
                video_id: raw.video_id,
                parts: raw.parts.unwrap_or(0),
                mime_type: raw.mime_type,
                incomplete: raw.take_incomplete.unwrap_or(false),
            }),
            recording_incomplete: raw.recording_incomplete,
            summary_status: raw.summary_status,
            transcript_entries: raw.transcript_entries,
        })
    }
}

fn recording_state(name: &str) -> Result<RecordingState, StoreError> {
    RecordingState::named(name).ok_or_else(|| StoreError::Corrupt(format!("unknown state of a recording: {name}")))
}

impl GatewayStore {
    /// One session, or None when it is not there for this person.
    pub async fn session(&self, person: &Scope, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let rows = self.select_sessions(&mut tx, Some(id), None, 1).await?;
        tx.commit().await.during("read a session")?;
        Ok(rows.into_iter().next())
    }

    /// The newest sessions, or those behind `after`.
    pub async fn sessions(&self, person: &Scope, after: Option<PageKey>, limit: i64) -> Result<Vec<SessionRow>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let rows = self.select_sessions(&mut tx, None, after, limit).await?;
        tx.commit().await.during("list the sessions")?;
        Ok(rows)
    }

    /// A session with the transcript entries stored since, for who watches it; also those that are not the record's, for
    /// one that was may be withdrawn.
    pub async fn watch(
        &self,
        person: &Scope,
        id: SessionId,
        since: OffsetDateTime,
    ) -> Result<Option<(SessionRow, Vec<Entry>)>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let Some(session) = self.select_sessions(&mut tx, Some(id), None, 1).await?.into_iter().next() else { return Ok(None) };
        // Read after the session: a finished session's entries are then all there.
        let entries = self.select_entries(&mut tx, id, true, since).await?;
        tx.commit().await.during("watch a session")?;
        Ok(Some((session, entries)))
    }

    /// The transcript in the order of the conversation; None when the session is not there for this person.
    pub async fn transcript(
        &self,
        person: &Scope,
        id: SessionId,
        client_reports: bool,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        if !self.sees(&mut tx, id).await? {
            return Ok(None);
        }
        let entries = self.select_entries(&mut tx, id, client_reports, OffsetDateTime::UNIX_EPOCH).await?;
        tx.commit().await.during("read the transcript")?;
        Ok(Some(entries))
    }

    /// The newest summary, if there is one.
    pub async fn summary(&self, person: &Scope, id: SessionId) -> Result<Option<SummaryRow>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let row = sqlx::query_as!(
            SummaryRow,
            "select version, status, model, content, failure, created_at from app.summaries
             where tenant_id = $1 and session_id = $2 order by version desc limit 1",
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("read the summary")?;
        tx.commit().await.during("read the summary")?;
        Ok(row)
    }

    /// The candidate who signs in with this account.
    pub async fn candidate_of(&self, person: &Scope, user: UserId) -> Result<Option<CandidateId>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let id = sqlx::query_scalar!(
            "select id from app.candidates where tenant_id = $1 and user_id = $2 order by created_at, id limit 1",
            self.tenant.0,
            user.0,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("read who is signed in")?;
        tx.commit().await.during("read who is signed in")?;
        Ok(id.map(CandidateId))
    }

    /// The positions that are interviewed for, with what they are judged by.
    pub async fn positions(&self, person: &Scope) -> Result<Vec<PositionRow>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let positions = sqlx::query!(
            "select id, title, description from app.positions where tenant_id = $1 order by title, id limit 1000",
            self.tenant.0
        )
        .fetch_all(&mut *tx)
        .await
        .during("list the positions")?;
        let competencies = sqlx::query!(
            "select position_id, id, name, description from app.competencies where tenant_id = $1 order by position_id, rank, id",
            self.tenant.0,
        )
        .fetch_all(&mut *tx)
        .await
        .during("list the competencies")?;
        tx.commit().await.during("list the positions")?;
        let mut of_position: HashMap<Uuid, Vec<CompetencyRow>> = HashMap::new();
        for row in competencies {
            let one = CompetencyRow { id: CompetencyId(row.id), name: row.name, description: row.description };
            of_position.entry(row.position_id).or_default().push(one);
        }
        Ok(positions
            .into_iter()
            .map(|position| PositionRow {
                id: PositionId(position.id),
                title: position.title,
                description: position.description,
                competencies: of_position.remove(&position.id).unwrap_or_default(),
            })
            .collect())
    }

    /// What a browser must know to join. Read as the door itself, for a person who sees the session.
    pub async fn join(&self, id: SessionId) -> Result<Option<JoinRow>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let Some(row) = sqlx::query!(
            r#"select s.phase, s.deadline_at, s.join_by, s.position_id, p.title, p.description, t.name as company, t.required_consents,
                      t.consent_policy_version, c.user_id as "candidate_user?",
                      exists (select from app.consents g where g.tenant_id = s.tenant_id and g.session_id = s.id
                              and g.kind = 'recording' and g.withdrawn_at is null) as "recording_consented!"
               from app.sessions s
               join app.tenants t on t.id = s.tenant_id
               join app.candidates c on c.tenant_id = s.tenant_id and c.id = s.candidate_id
               join app.positions p on p.tenant_id = s.tenant_id and p.id = s.position_id
               where s.tenant_id = $1 and s.id = $2"#,
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("read what is needed to join")?
        else {
            return Ok(None);
        };
        let competencies = sqlx::query!(
            "select id, name, description from app.competencies where tenant_id = $1 and position_id = $2 order by rank, id",
            self.tenant.0,
            row.position_id,
        )
        .fetch_all(&mut *tx)
        .await
        .during("read the competencies")?;
        let take = self.select_newest_take(&mut tx, id).await?;
        tx.commit().await.during("read what is needed to join")?;
        Ok(Some(JoinRow {
            phase: phase(&row.phase)?,
            deadline_at: row.deadline_at,
            join_by: row.join_by,
            company: row.company,
            required_consents: row.required_consents,
            consent_policy_version: row.consent_policy_version,
            candidate_user: row.candidate_user.map(UserId),
            recording_consented: row.recording_consented,
            position: PositionRow {
                id: PositionId(row.position_id),
                title: row.title,
                description: row.description,
                competencies: competencies
                    .into_iter()
                    .map(|row| CompetencyRow { id: CompetencyId(row.id), name: row.name, description: row.description })
                    .collect(),
            },
            take,
        }))
    }

    /// The take that a page may be offered.
    pub async fn newest_take(&self, id: SessionId) -> Result<Option<OfferedTake>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let take = self.select_newest_take(&mut tx, id).await?;
        tx.commit().await.during("read the newest take")?;
        Ok(take)
    }

    async fn select_newest_take(&self, tx: &mut Transaction, id: SessionId) -> Result<Option<OfferedTake>, StoreError> {
        let row = sqlx::query!(
            "select segment, video_id, upload_token, state, parts from app.recordings
             where tenant_id = $1 and session_id = $2 order by segment desc limit 1",
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut **tx)
        .await
        .during("read the newest take")?;
        row.map(|row| {
            // Without a container its id is a placeholder.
            let placeholder = row.video_id == id.to_string();
            Ok(OfferedTake {
                segment: row.segment,
                video: (!placeholder).then_some(VideoId::new(row.video_id)),
                upload_token: row.upload_token,
                state: recording_state(&row.state)?,
                parts: row.parts,
            })
        })
        .transpose()
    }

    /// All takes of a recording in order; empty when the session is not there for this person.
    pub async fn recordings(&self, person: &Scope, id: SessionId) -> Result<Vec<RecordingRow>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let rows = sqlx::query!(
            "select segment, state, provider, video_id, parts, mime_type, incomplete from app.recordings
             where tenant_id = $1 and session_id = $2 order by segment",
            self.tenant.0,
            id.0,
        )
        .fetch_all(&mut *tx)
        .await
        .during("read the recordings")?;
        tx.commit().await.during("read the recordings")?;
        Ok(rows
            .into_iter()
            .map(|row| RecordingRow {
                segment: row.segment,
                video_id: (row.video_id != id.to_string()).then_some(row.video_id),
                state: row.state,
                provider: row.provider,
                parts: row.parts,
                mime_type: row.mime_type,
                incomplete: row.incomplete,
            })
            .collect())
    }

    /// Where a session's WebSocket belongs. Asked before anyone has signed in: the session's
    /// machine checks the ticket.
    pub async fn route(&self, id: SessionId) -> Result<Option<RouteRow>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let row =
            sqlx::query!("select phase, machine_id from app.sessions where tenant_id = $1 and id = $2", self.tenant.0, id.0)
                .fetch_optional(&mut *tx)
                .await
                .during("look up a session's machine")?;
        tx.commit().await.during("look up a session's machine")?;
        row.map(|row| Ok(RouteRow { phase: phase(&row.phase)?, machine: row.machine_id.map(MachineId::new) })).transpose()
    }

    async fn sees(&self, tx: &mut Transaction, id: SessionId) -> Result<bool, StoreError> {
        sqlx::query_scalar!(
            r#"select exists (select from app.sessions where tenant_id = $1 and id = $2) as "seen!""#,
            self.tenant.0,
            id.0,
        )
        .fetch_one(&mut **tx)
        .await
        .during("look up a session")
    }

    async fn select_sessions(
        &self,
        tx: &mut Transaction,
        id: Option<SessionId>,
        after: Option<PageKey>,
        limit: i64,
    ) -> Result<Vec<SessionRow>, StoreError> {
        // Of several takes the newest that holds something; where no video could be had, its id is a placeholder.
        sqlx::query_as!(
            RawSession,
            r#"select s.id, s.phase, s.end_reason, s.candidate_id, c.name as candidate_name, s.position_id, p.title as position_title, s.plan_id, s.plan_version,
                 s.created_at, s.started_at, s.ended_at, s.deadline_at, s.join_by, s.return_by, s.candidate_connected,
                 s.machine_id, s.machine_region, s.attempt, s.traceparent,
                 r.state as "recording_state?", r.provider as "recording_provider?", r.parts as "parts?",
                 r.segment as "recording_segment?", r.mime_type as "mime_type?", r.incomplete as "take_incomplete?",
                 nullif(r.video_id, s.id::text) as video_id,
                 exists (select from app.recordings i where i.tenant_id = s.tenant_id and i.session_id = s.id
                         and (i.incomplete or i.state = 'recording' and s.phase in ('completed', 'failed'))) as "recording_incomplete!",
                 (select m.status from app.summaries m where m.tenant_id = s.tenant_id and m.session_id = s.id
                  order by m.version desc limit 1) as summary_status,
                 (select count(*) from app.transcript_entries e
                  where e.tenant_id = s.tenant_id and e.session_id = s.id and e.authoritative) as "transcript_entries!",
                 i.id as "invite_id?", i.closes_at as "invite_closes_at?"
               from app.sessions s
               join app.candidates c on c.tenant_id = s.tenant_id and c.id = s.candidate_id
               join app.positions p on p.tenant_id = s.tenant_id and p.id = s.position_id
               left join lateral (select r.state, r.provider, r.parts, r.segment, r.video_id, r.mime_type, r.incomplete
                                  from app.recordings r where r.tenant_id = s.tenant_id and r.session_id = s.id
                                  order by r.parts = 0 and r.state in ('waiting', 'failed', 'declined'), r.segment desc limit 1) r on true
               left join app.invites i on i.tenant_id = s.tenant_id and i.session_id = s.id
               where s.tenant_id = $1
                 and ($2::uuid is null or s.id = $2)
                 and ($3::timestamptz is null or (s.created_at, s.id) < ($3, $4::uuid))
               order by s.created_at desc, s.id desc
               limit $5"#,
            self.tenant.0,
            id.map(|id| id.0),
            after.map(|key| key.created_at),
            after.map(|key| key.id.0),
            limit,
        )
        .fetch_all(&mut **tx)
        .await
        .during("read sessions")?
        .into_iter()
        .map(SessionRow::try_from)
        .collect()
    }

    async fn select_entries(
        &self,
        tx: &mut Transaction,
        id: SessionId,
        client_reports: bool,
        since: OffsetDateTime,
    ) -> Result<Vec<Entry>, StoreError> {
        sqlx::query_as!(
            EntryRow,
            r#"select seq, entry_key, item_id, segment, position, revision, speaker, text, source, authoritative, doubt, status, interrupted,
                      heard_ms, heard_text, commentary, started_ms, ended_ms, at, claimed_at, logprob, language
               from app.transcript_entries
               where tenant_id = $1 and session_id = $2 and (authoritative or $3) and stored_at >= $4
               order by position, seq"#,
            self.tenant.0,
            id.0,
            client_reports,
            since,
        )
        .fetch_all(&mut **tx)
        .await
        .during("read the transcript")?
        .into_iter()
        .map(Entry::try_from)
        .collect()
    }
}
