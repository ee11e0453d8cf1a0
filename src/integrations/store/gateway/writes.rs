//! What the gateway writes, as itself. Each change leaves a line in the audit log.

use super::super::{During, StoreError, Transaction, past_deadlocks};
use super::{
    FailedSetup, GatewayStore, Inserted, KnownSession, NewSession, NewTicket, PreparedRecording, RECORDING_PROVIDER,
    SETUP_FAILED, SessionQuota, phase,
};
use crate::domain::edge::Timestamp;
use crate::domain::invitation::{Invitation, Refusal};
use crate::domain::invite;
use crate::domain::outbox_record::RecordingState;
use crate::domain::phase::Phase;
use crate::ids::{CandidateId, MachineId, PositionId, SessionId, UserId};
use serde_json::{Value, json};
use std::time::Duration;

/// Whose quota is used up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Full {
    Person,
    Tenant,
}

impl GatewayStore {
    /// Insert a session, or find the one this Idempotency-Key made before.
    pub async fn insert_session(&self, new: &NewSession, quota: SessionQuota) -> Result<Inserted, StoreError> {
        past_deadlocks(|| self.try_insert_session(new, quota)).await
    }

    async fn try_insert_session(&self, new: &NewSession, quota: SessionQuota) -> Result<Inserted, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        if let Some(known) = self.known_session(&mut tx, new).await? {
            tx.commit().await.during("find a session by its key")?;
            return Ok(Inserted::Known(Box::new(known)));
        }
        if new.by_candidate
            && let Some(open) = self.open_session(&mut tx, new).await?
        {
            return Ok(Inserted::OpenAlready(open));
        }
        match self.over_quota(&mut tx, new, quota).await? {
            None => {}
            Some(Full::Person) => return Ok(Inserted::PersonFull),
            Some(Full::Tenant) => return Ok(Inserted::TenantFull),
        }
        if let Some(invite) = new.invite
            && let Some(refused) = self.use_invite(&mut tx, invite).await?
        {
            tx.commit().await.during("settle an invite")?;
            return Ok(refused);
        }
        if !self.hold_parties_of(&mut tx, new).await? {
            return Ok(Inserted::NotInvited(invite::Refusal::Closed));
        }
        if !self.insert_session_row(&mut tx, new).await? {
            // Another request was quicker: with the same key, or for the same candidate and position.
            return match self.known_session(&mut tx, new).await? {
                Some(known) => Ok(Inserted::Known(Box::new(known))),
                None => self.open_session(&mut tx, new).await?.map(Inserted::OpenAlready).ok_or(StoreError::NotFound),
            };
        }
        if let Some(invite) = new.invite {
            self.set_invite_session(&mut tx, invite, new.id).await?;
        }
        let detail = json!({"candidate_id": new.candidate, "position_id": new.position, "settings": new.settings});
        self.audit_in(&mut tx, Some(new.created_by), "session_created", new.id, detail).await?;
        tx.commit().await.during("insert a session")?;
        Ok(Inserted::New)
    }

    /// False: one with this key, or for this candidate and position, is there already.
    pub(super) async fn insert_session_row(&self, tx: &mut Transaction, new: &NewSession) -> Result<bool, StoreError> {
        let inserted = sqlx::query!(
            "insert into app.sessions (tenant_id, id, candidate_id, position_id, settings, phase, attempt, idempotency_key,
                                       traceparent, created_by, deadline_at, by_candidate, join_by, plan_id, plan_version)
             select $1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, $11, $12,
                    case when i.id is null then p.plan_id else i.plan_id end,
                    case when i.id is null then p.plan_version else i.plan_version end
             from app.positions p left join app.invites i on i.tenant_id = $1 and i.id = $13
             where p.tenant_id = $1 and p.id = $4
             on conflict do nothing",
            self.tenant.0,
            new.id.0,
            new.candidate.0,
            new.position.0,
            new.settings,
            Phase::Created.as_str(),
            new.idempotency_key,
            new.traceparent,
            new.created_by.0,
            new.deadline_at,
            new.by_candidate,
            new.join_by,
            new.invite.map(|id| id.0),
        )
        .execute(&mut **tx)
        .await
        .during("insert a session")?;
        Ok(inserted.rows_affected() > 0)
    }

    pub(super) async fn over_quota(
        &self,
        tx: &mut Transaction,
        new: &NewSession,
        quota: SessionQuota,
    ) -> Result<Option<Full>, StoreError> {
        let counts = sqlx::query!(
            r#"select (select count(*) from app.sessions where tenant_id = $1 and created_by = $2
                         and phase not in ('completed', 'failed')) as "open!",
                      (select count(*) from app.sessions where tenant_id = $1 and created_by = $2
                         and created_at > now() - interval '1 day') as "today!",
                      (select count(*) from app.sessions where tenant_id = $1
                         and phase not in ('completed', 'failed')) as "tenant_open!""#,
            self.tenant.0,
            new.created_by.0,
        )
        .fetch_one(&mut **tx)
        .await
        .during("count sessions")?;
        if quota.open.is_some_and(|most| counts.open >= i64::from(most)) || counts.today >= i64::from(quota.per_day) {
            return Ok(Some(Full::Person));
        }
        Ok((counts.tenant_open >= i64::from(quota.tenant_open)).then_some(Full::Tenant))
    }

    /// The one of this candidate and position that is open, whoever asked for it.
    async fn open_session(&self, tx: &mut Transaction, new: &NewSession) -> Result<Option<SessionId>, StoreError> {
        let id = sqlx::query_scalar!(
            "select id from app.sessions where tenant_id = $1 and candidate_id = $2 and position_id = $3
               and phase not in ('completed', 'failed') order by created_at desc limit 1",
            self.tenant.0,
            new.candidate.0,
            new.position.0,
        )
        .fetch_optional(&mut **tx)
        .await
        .during("look for an open session")?;
        Ok(id.map(SessionId))
    }

    async fn known_session(&self, tx: &mut Transaction, new: &NewSession) -> Result<Option<KnownSession>, StoreError> {
        if new.idempotency_key.is_none() {
            return Ok(None);
        }
        let Some(row) = sqlx::query!(
            r#"select id, candidate_id, position_id, settings, phase, machine_id, deadline_at,
                      exists (select from app.recordings r where r.tenant_id = s.tenant_id and r.session_id = s.id) as "has_recording!"
               from app.sessions s where tenant_id = $1 and created_by = $2 and idempotency_key = $3"#,
            self.tenant.0,
            new.created_by.0,
            new.idempotency_key,
        )
        .fetch_optional(&mut **tx)
        .await
        .during("find a session by its key")?
        else {
            return Ok(None);
        };
        Ok(Some(KnownSession {
            id: SessionId(row.id),
            candidate: CandidateId(row.candidate_id),
            position: PositionId(row.position_id),
            settings: row.settings,
            phase: phase(&row.phase)?,
            machine: row.machine_id.map(MachineId::new),
            deadline_at: row.deadline_at,
            has_recording: row.has_recording,
        }))
    }

    /// Keep what was prepared for one take of the recording. False: who comes second changes nothing.
    pub async fn insert_recording(
        &self,
        session: SessionId,
        segment: i32,
        prepared: &PreparedRecording,
    ) -> Result<bool, StoreError> {
        let placeholder = session.to_string();
        let (video_id, token, state, failure) = match prepared {
            PreparedRecording::Waiting { video_id, upload_token } => {
                (video_id.as_str(), Some(upload_token.as_str()), "waiting", None)
            }
            PreparedRecording::Failed { code } => (placeholder.as_str(), None, "failed", Some(*code)),
        };
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let inserted = sqlx::query!(
            "insert into app.recordings (tenant_id, session_id, segment, provider, video_id, upload_token, state, failure)
             values ($1, $2, $8, $3, $4, $5, $6, $7) on conflict do nothing",
            self.tenant.0,
            session.0,
            RECORDING_PROVIDER,
            video_id,
            token,
            state,
            failure,
            segment,
        )
        .execute(&mut *tx)
        .await
        .during("store the recording's video")?;
        tx.commit().await.during("store the recording's video")?;
        Ok(inserted.rows_affected() > 0)
    }

    /// What the provider says of a take after the session's process has gone.
    pub async fn recording_seen(
        &self,
        session: SessionId,
        video_id: &str,
        state: RecordingState,
        parts: i32,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "update app.recordings set state = $4, parts = greatest(parts, $5), upload_token = null, updated_at = now()
             where tenant_id = $1 and session_id = $2 and video_id = $3 and state in ('waiting', 'recording', 'uploaded')",
            self.tenant.0,
            session.0,
            video_id,
            state.as_str(),
            parts,
        )
        .execute(&mut *tx)
        .await
        .during("store what became of a recording")?;
        tx.commit().await.during("store what became of a recording")
    }

    /// Remember the machine of an attempt; its time to start is counted from here. False when that attempt is over: the machine is nobody's.
    pub async fn set_machine(
        &self,
        session: SessionId,
        attempt: u32,
        machine: &MachineId,
        region: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let stored = sqlx::query!(
            "update app.sessions set machine_id = $4, machine_region = $5,
               attempt_at = case when machine_id is distinct from $4 then now() else attempt_at end
             where tenant_id = $1 and id = $2 and attempt = $3",
            self.tenant.0,
            session.0,
            attempt as i32,
            machine.as_str(),
            region,
        )
        .execute(&mut *tx)
        .await
        .during("store the session's machine")?;
        tx.commit().await.during("store the session's machine")?;
        Ok(stored.rows_affected() > 0)
    }

    /// Whoever asked for it was told that it could not be set up. The epoch rises, so that a machine that appears after
    /// all can write nothing; the key is freed, so that the same request may be tried again. `with_machine`: also when it has
    /// one. None: it is not to be undone.
    pub async fn fail_setup(
        &self,
        session: SessionId,
        actor: UserId,
        code: &str,
        with_machine: bool,
    ) -> Result<Option<FailedSetup>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let machine = sqlx::query_scalar!(
            "update app.sessions set phase = $3, end_reason = $4, ended_at = now(), epoch = epoch + 1, idempotency_key = null
             where tenant_id = $1 and id = $2 and phase in ('created', 'ready') and (machine_id is null or $5)
             returning machine_id",
            self.tenant.0,
            session.0,
            Phase::Failed.as_str(),
            SETUP_FAILED.as_str(),
            with_machine,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("mark a session as failed")?;
        let Some(machine) = machine else { return Ok(None) };
        let prepared = sqlx::query!(
            r#"with kept as (select segment, upload_token from app.recordings
                             where tenant_id = $1 and session_id = $2 and upload_token is not null for update)
               update app.recordings r set state = 'failed', failure = $3, upload_token = null, updated_at = now()
               from kept where r.tenant_id = $1 and r.session_id = $2 and r.segment = kept.segment
               returning r.video_id, kept.upload_token as "upload_token!""#,
            self.tenant.0,
            session.0,
            code,
        )
        .fetch_all(&mut *tx)
        .await
        .during("give up the recording")?;
        self.audit_in(&mut tx, Some(actor), "session_setup_failed", session, json!({"code": code})).await?;
        tx.commit().await.during("mark a session as failed")?;
        let waiting = |(video_id, upload_token)| PreparedRecording::Waiting { video_id, upload_token };
        let prepared = prepared.into_iter().map(|row| waiting((row.video_id, row.upload_token))).collect();
        Ok(Some(FailedSetup { machine: machine.map(MachineId::new), prepared }))
    }

    /// Keep a ticket; the session's expired ones go.
    pub async fn insert_ticket(&self, ticket: &NewTicket) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "delete from app.websocket_tickets where tenant_id = $1 and session_id = $2 and expires_at < now()",
            self.tenant.0,
            ticket.session.0,
        )
        .execute(&mut *tx)
        .await
        .during("delete expired tickets")?;
        sqlx::query!(
            "insert into app.websocket_tickets (tenant_id, token_sha256, session_id, user_id, origin, expires_at)
             values ($1, $2, $3, $4, $5, $6)",
            self.tenant.0,
            ticket.hash.0.as_slice(),
            ticket.session.0,
            ticket.user.0,
            ticket.origin,
            ticket.expires_at,
        )
        .execute(&mut *tx)
        .await
        .during("store a ticket")?;
        self.audit_in(
            &mut tx,
            Some(ticket.user),
            "ticket_issued",
            ticket.session,
            json!({"ticket_sha256": ticket.hash.to_string()}),
        )
        .await?;
        tx.commit().await.during("store a ticket")
    }

    /// Ask the session's process to end. Asking again changes nothing.
    pub async fn request_end(&self, session: SessionId, by: UserId) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        self.request_end_in(&mut tx, session, Some(by), json!({})).await?;
        tx.commit().await.during("ask for the end")
    }

    /// Ask a session that lives past its deadline to end.
    pub async fn ask_to_end(&self, session: SessionId) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        self.request_end_in(&mut tx, session, None, json!({"because": "deadline"})).await?;
        tx.commit().await.during("ask an overdue session to end")
    }

    /// `by` is nobody when a reconciler asks. Its line of the audit is written when it is asked for the first time.
    pub(super) async fn request_end_in(
        &self,
        tx: &mut Transaction,
        session: SessionId,
        by: Option<UserId>,
        detail: Value,
    ) -> Result<(), StoreError> {
        let asked = sqlx::query!(
            "update app.sessions set end_requested_at = now(), end_requested_by = $3
             where tenant_id = $1 and id = $2 and end_requested_at is null and phase in ('created', 'ready', 'live')",
            self.tenant.0,
            session.0,
            by.map(|by| by.0),
        )
        .execute(&mut **tx)
        .await
        .during("ask for the end")?;
        if asked.rows_affected() == 0 { Ok(()) } else { self.audit_in(tx, by, "session_end_requested", session, detail).await }
    }

    /// Keep an interview that nobody has begun until `join_by`; what else has an end of its own moves with it.
    pub async fn extend_invitation(
        &self,
        session: SessionId,
        by: UserId,
        join_by: Timestamp,
        longest: Duration,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let row = sqlx::query!(
            r#"select phase, started_at is not null as "begun!", end_requested_at is not null as "ending!", created_at,
                 coalesce(join_by, created_at) as "join_by!", now() as "now!"
               from app.sessions where tenant_id = $1 and id = $2 for update"#,
            self.tenant.0,
            session.0,
        )
        .fetch_one(&mut *tx)
        .await
        .during("read an invitation")?;
        let invitation = Invitation {
            phase: phase(&row.phase)?,
            begun: row.begun,
            ending: row.ending,
            made: row.created_at.into(),
            join_by: row.join_by.into(),
        };
        if let Err(refusal) = invitation.extend(join_by, row.now.into(), longest) {
            return Ok(Err(refusal));
        }
        if invitation.join_by != join_by {
            sqlx::query!(
                "update app.sessions set join_by = $3, deadline_at = deadline_at + ($3 - $4::timestamptz)
                 where tenant_id = $1 and id = $2",
                self.tenant.0,
                session.0,
                *join_by,
                row.join_by,
            )
            .execute(&mut *tx)
            .await
            .during("extend an invitation")?;
            let detail = json!({"join_by": join_by, "before": invitation.join_by});
            self.audit_in(&mut tx, Some(by), "invitation_extended", session, detail).await?;
        }
        tx.commit().await.during("extend an invitation")?;
        Ok(Ok(()))
    }

    /// A take was closed although its sender never finished it.
    pub async fn recording_cut_off(&self, session: SessionId, video_id: &str) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "update app.recordings set incomplete = true, updated_at = now() where tenant_id = $1 and session_id = $2 and video_id = $3",
            self.tenant.0,
            session.0,
            video_id,
        )
        .execute(&mut *tx)
        .await
        .during("store that a part of a recording is missing")?;
        tx.commit().await.during("store that a part of a recording is missing")
    }

    /// Who looked at what.
    pub async fn audit(&self, actor: UserId, action: &str, session: SessionId) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        self.audit_in(&mut tx, Some(actor), action, session, json!({})).await?;
        tx.commit().await.during("write the audit log")
    }

    pub(super) async fn audit_in(
        &self,
        tx: &mut Transaction,
        actor: Option<UserId>,
        action: &str,
        session: SessionId,
        detail: Value,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into app.audit_log (tenant_id, actor, action, session_id, detail) values ($1, $2, $3, $4, $5)",
            self.tenant.0,
            actor.map(|actor| actor.0),
            action,
            session.0,
            detail,
        )
        .execute(&mut **tx)
        .await
        .during("write the audit log")?;
        Ok(())
    }
}
