//! The rows of one interview, as its own process reads and writes them.

use super::bounded::{Bounded, within};
use super::entries::{EntryRow, name};
use super::{During, Scope, Store, StoreError, Transaction};
use crate::domain::claimed::{Claimed, Pulse, Recording, TicketRefusal};
use crate::domain::conduct::Recorded;
use crate::domain::edge::{EntryKey, Label, Millis, Text, Timestamp};
use crate::domain::outbox_record::{Record, RecordingRecord, RecordingState, SummaryRecord};
use crate::domain::phase::EndReason;
use crate::domain::plan::Plan;
use crate::domain::recording::KnownTake;
use crate::domain::seat::Seat;
use crate::domain::summary::{Competency, PROMPT_VERSION};
use crate::domain::transcript::{Entry, Logprob, Source, Status};
use crate::error::ErrorCode;
use crate::ids::{CallId, CandidateId, CompetencyId, Epoch, PositionId, SessionId, TenantId, TicketHash, UserId, VideoId};
use crate::ports::{DeadLetter, Rows, SessionRows, Sessions};
use async_trait::async_trait;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;

/// One session's rows under one epoch.
#[derive(Clone, Debug)]
pub struct SessionStore {
    store: Store,
    scope: Scope,
    tenant: TenantId,
    session: SessionId,
    epoch: Epoch,
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Corrupt(error.to_string()))
}

impl SessionStore {
    /// Take the session: raises its epoch, so that whoever held it before can write no more.
    pub async fn claim(store: &Store, tenant: TenantId, session: SessionId) -> Result<(Self, Claimed), StoreError> {
        let scope = Scope::Session { tenant, session };
        let mut tx = store.begin(&scope).await?;
        let epoch = sqlx::query_scalar!(
            r#"update app.sessions set epoch = epoch + 1, heartbeat_at = now(), candidate_connected = false
               where tenant_id = $1 and id = $2 and ($3::int is null or attempt <= $3) returning epoch"#,
            tenant.0,
            session.0,
            store.attempt,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("take the session")?;
        let Some(epoch) = epoch else {
            let known = sqlx::query!("select id from app.sessions where tenant_id = $1 and id = $2", tenant.0, session.0);
            let known = known.fetch_optional(&mut *tx).await.during("look for the session")?;
            // It has moved on to another machine: whoever starts on an old one takes nothing back.
            return Err(match (known, store.attempt) {
                (Some(_), Some(attempt)) => StoreError::Superseded { attempt },
                _ => StoreError::NotFound,
            });
        };
        let claimed = read_claimed(&mut tx, tenant, session).await?;
        tx.commit().await.during("take the session")?;
        Ok((Self { store: store.clone(), scope, tenant, session, epoch: Epoch(epoch) }, claimed))
    }
}

#[async_trait]
impl Sessions for Store {
    async fn claim(&self, tenant: TenantId, session: SessionId) -> Result<(Rows, Claimed), StoreError> {
        let (rows, claimed) = within(self.deadline, "take the session", SessionStore::claim(self, tenant, session)).await?;
        Ok((Arc::new(Bounded { rows, deadline: self.deadline }), claimed))
    }

    async fn close(&self) {
        self.close().await;
    }
}

#[async_trait]
impl SessionRows for SessionStore {
    async fn reread(&self) -> Result<Claimed, StoreError> {
        let mut tx = self.store.begin(&self.scope).await?;
        let claimed = read_claimed(&mut tx, self.tenant, self.session).await?;
        tx.commit().await.during("read the session")?;
        Ok(claimed)
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        self.write(records).await?.commit().await.during("commit a batch")
    }

    async fn rehearse(&self, records: &[Record]) -> Result<(), StoreError> {
        // Dropped without a commit.
        self.write(records).await.map(drop)
    }

    async fn set_aside(&self, letter: DeadLetter<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.scope).await?;
        self.fence(&mut tx, None).await?;
        sqlx::query!(
            r#"insert into app.dead_letters (tenant_id, session_id, epoch, ordinal, kind, content, error_code, refusal)
               values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing"#,
            self.tenant.0,
            self.session.0,
            self.epoch.0,
            letter.ordinal as i64,
            letter.record.kind(),
            serde_json::to_vec(&letter.record.content()).map_err(|error| StoreError::Corrupt(error.to_string()))?,
            letter.code.as_str(),
            letter.refusal.as_str(),
        )
        .execute(&mut *tx)
        .await
        .during("set a record aside")?;
        tx.commit().await.during("set a record aside")
    }

    async fn heartbeat(&self) -> Result<Pulse, StoreError> {
        let mut tx = self.store.begin(&self.scope).await?;
        let row = sqlx::query!(
            "update app.sessions set heartbeat_at = now() where tenant_id = $1 and id = $2 and epoch = $3 returning end_requested_at, end_requested_by, join_by",
            self.tenant.0,
            self.session.0,
            self.epoch.0,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("touch the session")?
        .ok_or(StoreError::Fenced { epoch: self.epoch.0 })?;
        tx.commit().await.during("touch the session")?;
        let reason = if row.end_requested_by.is_some() { EndReason::RecruiterEnded } else { EndReason::TimeLimit };
        Ok(Pulse { end_requested: row.end_requested_at.map(|_| reason), join_by: row.join_by.map(Timestamp::from) })
    }

    async fn consume_ticket(&self, ticket: &str, origin: Option<&str>) -> Result<Result<Seat, TicketRefusal>, StoreError> {
        let hash = TicketHash::of(ticket);
        let mut tx = self.store.begin(&self.scope).await?;
        // Only read at first: whoever shows a ticket that is none must not hold up what the interview stores.
        let row = sqlx::query!(
            r#"select user_id, origin, expires_at < now() as "expired!", consumed_at is not null as "consumed!"
               from app.websocket_tickets where tenant_id = $1 and token_sha256 = $2 and session_id = $3"#,
            self.tenant.0,
            hash.0.as_slice(),
            self.session.0,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("read a ticket")?;
        let Some(row) = row else { return Ok(Err(TicketRefusal::Unknown)) };
        if row.consumed {
            return Ok(Err(TicketRefusal::Consumed));
        }
        if row.expired {
            return Ok(Err(TicketRefusal::Expired));
        }
        if origin.is_some_and(|origin| origin != row.origin) {
            return Ok(Err(TicketRefusal::WrongOrigin));
        }
        // Who no longer holds the session lets nobody in: a browser would hear what was true before.
        self.fence(&mut tx, None).await?;
        let taken = sqlx::query!(
            "update app.websocket_tickets set consumed_at = now()
             where tenant_id = $1 and token_sha256 = $2 and session_id = $3 and consumed_at is null",
            self.tenant.0,
            hash.0.as_slice(),
            self.session.0,
        )
        .execute(&mut *tx)
        .await
        .during("consume a ticket")?;
        if taken.rows_affected() == 0 {
            // Another connection with the same ticket was quicker.
            return Ok(Err(TicketRefusal::Consumed));
        }
        tx.commit().await.during("consume a ticket")?;
        Ok(Ok(Seat { user: UserId(row.user_id), ticket: hash }))
    }

    /// The gateway makes the recording's container while our machine boots: ask again later.
    async fn recordings(&self) -> Result<Vec<Recording>, StoreError> {
        let mut tx = self.store.begin(&self.scope).await?;
        let recordings = read_recordings(&mut tx, self.tenant, self.session).await?;
        tx.commit().await.during("read the recordings")?;
        Ok(recordings)
    }

    async fn count_summary_try(&self, most: i32) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.scope).await?;
        self.fence(&mut tx, None).await?;
        let counted = sqlx::query!(
            "update app.sessions set summary_tries = summary_tries + 1, summary_tried_at = now()
             where tenant_id = $1 and id = $2 and summary_tries < $3",
            self.tenant.0,
            self.session.0,
            most,
        )
        .execute(&mut *tx)
        .await
        .during("count a try of the summary")?;
        tx.commit().await.during("count a try of the summary")?;
        Ok(counted.rows_affected() > 0)
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut tx = self.store.begin(&self.scope).await?;
        let entries = read_entries(&mut tx, self.tenant, self.session).await?;
        tx.commit().await.during("read the transcript")?;
        Ok(entries)
    }
}

impl SessionStore {
    async fn write(&self, records: &[Record]) -> Result<Transaction, StoreError> {
        let mut tx = self.store.begin(&self.scope).await?;
        let client_seq =
            records.iter().filter_map(|r| if let Record::ClientSeq(seq) = r { Some(*seq) } else { None }).next_back();
        self.fence(&mut tx, client_seq).await?;
        self.upsert_entries(&mut tx, records).await?;
        for record in records {
            self.append_one(&mut tx, record).await?;
        }
        Ok(tx)
    }

    async fn fence(&self, tx: &mut Transaction, client_seq: Option<u64>) -> Result<(), StoreError> {
        let held = sqlx::query!(
            "update app.sessions set acked_client_seq = coalesce($4, acked_client_seq) where tenant_id = $1 and id = $2 and epoch = $3",
            self.tenant.0,
            self.session.0,
            self.epoch.0,
            client_seq.map(|seq| seq.min(i64::MAX as u64) as i64),
        )
        .execute(&mut **tx)
        .await
        .during("hold the session")?;
        if held.rows_affected() == 0 { Err(StoreError::Fenced { epoch: self.epoch.0 }) } else { Ok(()) }
    }

    /// One statement for all entries; of several revisions of one entry the newest counts.
    async fn upsert_entries(&self, tx: &mut Transaction, records: &[Record]) -> Result<(), StoreError> {
        let mut newest: HashMap<&EntryKey, &Entry> = HashMap::new();
        for record in records {
            if let Record::Entry(entry) = record
                && newest.get(&entry.key).is_none_or(|known| known.revision <= entry.revision)
            {
                newest.insert(&entry.key, entry);
            }
        }
        if newest.is_empty() {
            return Ok(());
        }
        let mut entries: Vec<&Entry> = newest.into_values().collect();
        entries.sort_by_key(|entry| entry.seq);
        fn column<T>(entries: &[&Entry], value: impl Fn(&Entry) -> T) -> Vec<T> {
            entries.iter().map(|entry| value(entry)).collect()
        }
        sqlx::query!(
            r#"insert into app.transcript_entries as stored
                 (tenant_id, session_id, epoch, seq, entry_key, item_id, segment, position, revision, speaker, text, source,
                  authoritative, status, interrupted, heard_ms, heard_text, commentary, started_ms, ended_ms, at, doubt, claimed_at,
                  logprob, language)
               select $1, $2, $3, * from unnest($4::int[], $5::text[], $6::text[], $7::int[], $8::bigint[], $9::int[], $10::text[],
                  $11::text[], $12::text[], $13::bool[], $14::text[], $15::bool[], $16::int[], $17::text[], $18::bool[],
                  $19::bigint[], $20::bigint[], $21::timestamptz[], $22::text[], $23::text[],
                  $24::float8[], $25::text[])
               on conflict (tenant_id, session_id, entry_key) do update set
                  epoch = excluded.epoch, position = excluded.position, revision = excluded.revision, text = excluded.text,
                  source = excluded.source, authoritative = excluded.authoritative, doubt = excluded.doubt, status = excluded.status,
                  interrupted = excluded.interrupted, heard_ms = excluded.heard_ms, heard_text = excluded.heard_text,
                  commentary = excluded.commentary, started_ms = excluded.started_ms, ended_ms = excluded.ended_ms, logprob = excluded.logprob,
                  language = excluded.language, stored_at = now()
               where excluded.revision > stored.revision"#,
            self.tenant.0,
            self.session.0,
            self.epoch.0,
            &column(&entries, |e| e.seq),
            &column(&entries, |e| e.key.as_str().to_owned()),
            &column(&entries, |e| e.item_id.as_ref().map(|item| item.as_str().to_owned())) as &[Option<String>],
            &column(&entries, |e| e.segment),
            &column(&entries, |e| e.position),
            &column(&entries, |e| e.revision),
            &column(&entries, |e| e.speaker.as_str().to_owned()),
            &column(&entries, |e| e.text.as_str().to_owned()),
            &column(&entries, |e| source_name(e.source).to_owned()),
            &column(&entries, |e| e.authoritative),
            &column(&entries, |e| status_name(e.status).to_owned()),
            &column(&entries, |e| e.interrupted),
            &column(&entries, |e| e.heard_ms.map(Millis::get)) as &[Option<i32>],
            &column(&entries, |e| e.heard_text.clone().map(Text::into_string)) as &[Option<String>],
            &column(&entries, |e| e.commentary),
            &column(&entries, |e| e.started_ms.map(|ms| i64::from(ms.get()))) as &[Option<i64>],
            &column(&entries, |e| e.ended_ms.map(|ms| i64::from(ms.get()))) as &[Option<i64>],
            &column(&entries, |e| *e.at),
            &column(&entries, |e| e.doubt.map(|doubt| doubt.as_str().to_owned())) as &[Option<String>],
            &column(&entries, |e| e.claimed_at.clone().map(Text::into_string)) as &[Option<String>],
            &column(&entries, |e| e.logprob.map(Logprob::get)) as &[Option<f64>],
            &column(&entries, |e| e.language.as_ref().map(|language| language.as_str().to_owned())) as &[Option<String>],
        )
        .execute(&mut **tx)
        .await
        .during("store transcript entries")?;
        Ok(())
    }

    async fn append_one(&self, tx: &mut Transaction, record: &Record) -> Result<(), StoreError> {
        let (tenant, session) = (self.tenant.0, self.session.0);
        let query = match record {
            Record::Entry(_) | Record::ClientSeq(_) => return Ok(()),
            Record::Phase { phase, end, at } => sqlx::query!(
                r#"update app.sessions set phase = $3, end_reason = coalesce($4, end_reason),
                     started_at = case when $3 = 'live' then coalesce(started_at, $5) else started_at end,
                     ended_at = case when $4::text is not null then coalesce(ended_at, $5) else ended_at end
                   where tenant_id = $1 and id = $2"#,
                tenant,
                session,
                phase.as_str(),
                end.map(EndReason::as_str),
                **at,
            ),
            Record::Call { call, ending, segment } => sqlx::query!(
                "update app.sessions set call_id = $3, segment = greatest(segment, $4), ending_calls = $5
                 where tenant_id = $1 and id = $2",
                tenant,
                session,
                call.as_ref().map(CallId::as_str),
                segment,
                ending.iter().map(|call| call.as_str().to_owned()).collect::<Vec<_>>() as Vec<String>,
            ),
            Record::Greeted => {
                sqlx::query!("update app.sessions set greeted = true where tenant_id = $1 and id = $2", tenant, session)
            }
            Record::Connected(connected) => {
                sqlx::query!(
                    "update app.sessions set candidate_connected = $3 where tenant_id = $1 and id = $2",
                    tenant,
                    session,
                    connected
                )
            }
            Record::ReturnBy(at) => {
                sqlx::query!("update app.sessions set return_by = $3 where tenant_id = $1 and id = $2", tenant, session, **at)
            }
            Record::Consent { kind, policy_version, given_by } => sqlx::query!(
                "insert into app.consents (tenant_id, session_id, kind, policy_version, given_by, ticket_sha256)
                 values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
                tenant,
                session,
                kind.as_str(),
                policy_version.as_str(),
                given_by.user.0,
                given_by.ticket.0.as_slice(),
            ),
            Record::Recording(recording) => return self.append_recording(tx, recording).await,
            Record::Summary(summary) => return self.append_summary(tx, summary).await,
            Record::Usage(usage) => sqlx::query!(
                "insert into app.usage as stored (tenant_id, session_id, kind, subject, model, outcome, input_text_tokens,
                   input_audio_tokens, input_cached_tokens, output_text_tokens, output_audio_tokens, audio_ms, latency_ms, at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                 on conflict (tenant_id, session_id, kind, subject)
                   do update set latency_ms = coalesce(stored.latency_ms, excluded.latency_ms)",
                tenant,
                session,
                usage.kind.as_str(),
                usage.subject.as_str(),
                usage.model.as_str(),
                usage.outcome.as_str(),
                i64::from(usage.tokens.input_text),
                i64::from(usage.tokens.input_audio),
                i64::from(usage.tokens.input_cached),
                i64::from(usage.tokens.output_text),
                i64::from(usage.tokens.output_audio),
                usage.audio_ms.map(Millis::get),
                usage.latency_ms.map(Millis::get),
                *usage.at,
            ),
            Record::Conduct(recorded) => {
                let event = serde_json::to_value(&recorded.event).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                sqlx::query!(
                    "insert into app.conduct_events (tenant_id, session_id, number, at_ms, event, epoch)
                     values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
                    tenant,
                    session,
                    i32::try_from(recorded.number).unwrap_or(i32::MAX),
                    i64::try_from(recorded.at_ms).unwrap_or(i64::MAX),
                    event,
                    self.epoch.0,
                )
            }
            Record::Integrity { kind, at, claimed_at } => sqlx::query!(
                "insert into app.integrity_events (tenant_id, session_id, kind, at, claimed_at) values ($1, $2, $3, $4, $5)
                 on conflict do nothing",
                tenant,
                session,
                kind.as_str(),
                **at,
                claimed_at.as_deref(),
            ),
        };
        query.execute(&mut **tx).await.during("store a record")?;
        Ok(())
    }

    async fn append_recording(&self, tx: &mut Transaction, recording: &RecordingRecord) -> Result<(), StoreError> {
        sqlx::query!(
            r#"update app.recordings set state = $3, parts = greatest(parts, $4), failure = coalesce($5, failure), updated_at = now(),
                 upload_token = case when $3 in ('uploaded','playable','failed','declined') then null else upload_token end,
                 mime_type = coalesce(mime_type, $7), incomplete = incomplete or $8
               where tenant_id = $1 and session_id = $2 and video_id = $6"#,
            self.tenant.0,
            self.session.0,
            recording.state.as_str(),
            recording.parts,
            recording.failure.as_deref(),
            recording.video.as_str(),
            recording.mime_type.as_ref().map(Label::as_str),
            recording.incomplete,
        )
        .execute(&mut **tx)
        .await
        .during("store the recording's state")?;
        Ok(())
    }

    async fn append_summary(&self, tx: &mut Transaction, summary: &SummaryRecord) -> Result<(), StoreError> {
        let (status, content, failure) = match &summary.outcome {
            Ok(content) => {
                ("stored", Some(serde_json::to_value(content).map_err(|error| StoreError::Corrupt(error.to_string()))?), None)
            }
            Err(code) => ("failed", None, Some(*code)),
        };
        // A repeated batch finds its own row. A summary that is there is not written over; a reason for none
        // is stored when it is news, and does not keep a summary out.
        sqlx::query!(
            r#"insert into app.summaries (tenant_id, session_id, version, status, model, prompt_version, content, failure)
               select $1, $2, coalesce((select max(version) from app.summaries where tenant_id = $1 and session_id = $2), 0) + 1,
                      $3, $4, $5, $6, $7
               where not exists (select from app.summaries where tenant_id = $1 and session_id = $2 and status = 'stored')
                 and ($3 = 'stored' or $7 is distinct from (select failure from app.summaries
                   where tenant_id = $1 and session_id = $2 order by version desc limit 1))"#,
            self.tenant.0,
            self.session.0,
            status,
            summary.model.as_str(),
            PROMPT_VERSION,
            content,
            failure,
        )
        .execute(&mut **tx)
        .await
        .during("store the summary")?;
        Ok(())
    }
}

async fn read_claimed(tx: &mut Transaction, tenant: TenantId, session: SessionId) -> Result<Claimed, StoreError> {
    let row = sqlx::query!(
        r#"select phase, end_reason, segment, call_id, ending_calls, greeted, acked_client_seq, candidate_id, position_id,
                  settings, traceparent, started_at, deadline_at, join_by
           from app.sessions where tenant_id = $1 and id = $2"#,
        tenant.0,
        session.0,
    )
    .fetch_one(&mut **tx)
    .await
    .during("read the session")?;
    let context = sqlx::query!(
        r#"select t.name as company, t.required_consents, t.consent_policy_version, t.judge_deaf_line,
                  p.title, p.description, p.guidance, c.name as candidate_name
           from app.tenants t
           join app.positions p on p.tenant_id = t.id and p.id = $2
           join app.candidates c on c.tenant_id = t.id and c.id = $3
           where t.id = $1"#,
        tenant.0,
        row.position_id,
        row.candidate_id,
    )
    .fetch_one(&mut **tx)
    .await
    .during("read the session's context")?;
    let competencies = sqlx::query!(
        "select id, name, description from app.competencies where tenant_id = $1 and position_id = $2 order by rank, id",
        tenant.0,
        row.position_id,
    )
    .fetch_all(&mut **tx)
    .await
    .during("read the competencies")?
    .into_iter()
    .map(|c| Competency { id: CompetencyId(c.id), name: c.name, description: c.description })
    .collect();
    let given = sqlx::query_scalar!(
        "select kind from app.consents where tenant_id = $1 and session_id = $2 and policy_version = $3 and withdrawn_at is null",
        tenant.0,
        session.0,
        context.consent_policy_version,
    )
    .fetch_all(&mut **tx)
    .await
    .during("read the consents")?;
    let recordings = read_recordings(tx, tenant, session).await?;
    let entries = read_entries(tx, tenant, session).await?;
    let (plan, conducted) = match (read_plan(tx, tenant, session).await?, read_conducted(tx, tenant, session).await?) {
        (Ok(plan), Ok(conducted)) => (plan.map(Arc::new), conducted),
        (Err(error), _) | (_, Err(error)) => {
            // An interview must not stop because of how it was to be held.
            tracing::error!(error_code = ErrorCode::PlanUnreadable.as_str(), %error, "the plan of the interview, or its course, cannot be read");
            (None, Vec::new())
        }
    };
    Ok(Claimed {
        phase: parse(&row.phase)?,
        end: row.end_reason.as_deref().map(parse).transpose()?,
        segment: row.segment,
        call: row.call_id.map(CallId::new),
        ending_calls: row.ending_calls.into_iter().map(CallId::new).collect(),
        greeted: row.greeted,
        acked_client_seq: row.acked_client_seq as u64,
        candidate: CandidateId(row.candidate_id),
        position: PositionId(row.position_id),
        position_title: context.title,
        position_description: context.description,
        guidance: context.guidance,
        company: context.company,
        candidate_name: context.candidate_name,
        competencies,
        settings: serde_json::from_value(row.settings).map_err(|error| StoreError::Corrupt(error.to_string()))?,
        required_consents: context.required_consents.iter().map(|kind| name(kind)).collect::<Result<_, _>>()?,
        consent_policy_version: context.consent_policy_version.into(),
        judge_deaf_line: context.judge_deaf_line,
        given_consents: given.iter().map(|kind| name(kind)).collect::<Result<_, _>>()?,
        recordings,
        traceparent: row.traceparent,
        started_at: row.started_at,
        deadline_at: row.deadline_at,
        join_by: row.join_by.map(Timestamp::from),
        entries,
        plan,
        conducted,
    })
}

/// As it is stored, or why this program cannot read it.
type Stored<T> = Result<T, serde_json::Error>;

/// The version that the interview was made with.
async fn read_plan(tx: &mut Transaction, tenant: TenantId, session: SessionId) -> Result<Stored<Option<Plan>>, StoreError> {
    let document = sqlx::query_scalar!(
        "select v.document from app.sessions s
         join app.plan_versions v on v.tenant_id = s.tenant_id and v.plan_id = s.plan_id and v.number = s.plan_version
         where s.tenant_id = $1 and s.id = $2",
        tenant.0,
        session.0,
    )
    .fetch_optional(&mut **tx)
    .await
    .during("read the plan")?;
    Ok(document.map(serde_json::from_value).transpose())
}

async fn read_conducted(tx: &mut Transaction, tenant: TenantId, session: SessionId) -> Result<Stored<Vec<Recorded>>, StoreError> {
    let rows = sqlx::query!(
        "select number, at_ms, event from app.conduct_events where tenant_id = $1 and session_id = $2 order by number",
        tenant.0,
        session.0,
    )
    .fetch_all(&mut **tx)
    .await
    .during("read the course of the interview")?;
    let recorded = |number: i32, at_ms: i64, event| {
        Ok(Recorded { number: number.unsigned_abs(), at_ms: at_ms.unsigned_abs(), event: serde_json::from_value(event)? })
    };
    Ok(rows.into_iter().map(|row| recorded(row.number, row.at_ms, row.event)).collect())
}

async fn read_recordings(tx: &mut Transaction, tenant: TenantId, session: SessionId) -> Result<Vec<Recording>, StoreError> {
    // A failed one without parts never had a container, or nothing in it: its id may be a placeholder.
    sqlx::query!(
        "select segment, video_id, upload_token, state, parts from app.recordings
         where tenant_id = $1 and session_id = $2 and (state <> 'failed' or parts > 0) order by segment",
        tenant.0,
        session.0,
    )
    .fetch_all(&mut **tx)
    .await
    .during("read the recordings")?
    .into_iter()
    .map(|row| {
        let state = RecordingState::named(&row.state)
            .ok_or_else(|| StoreError::Corrupt(format!("unknown state of a recording: {}", row.state)))?;
        Ok(Recording {
            take: KnownTake { segment: row.segment, video: VideoId::new(row.video_id), state, parts: row.parts },
            upload_token: row.upload_token.map(SecretString::from),
        })
    })
    .collect()
}

async fn read_entries(tx: &mut Transaction, tenant: TenantId, session: SessionId) -> Result<Vec<Entry>, StoreError> {
    sqlx::query_as!(
        EntryRow,
        r#"select seq, entry_key, item_id, segment, position, revision, speaker, text, source, authoritative, doubt, status, interrupted,
                  heard_ms, heard_text, commentary, started_ms, ended_ms, at, claimed_at, logprob, language
           from app.transcript_entries where tenant_id = $1 and session_id = $2 order by position, seq"#,
        tenant.0,
        session.0,
    )
    .fetch_all(&mut **tx)
    .await
    .during("read the transcript")?
    .into_iter()
    .map(Entry::try_from)
    .collect()
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Sideband => "sideband",
        Source::Browser => "browser",
        Source::Typed => "typed",
    }
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Final => "final",
        Status::Failed => "failed",
        Status::Missing => "missing",
        Status::Partial => "partial",
    }
}
