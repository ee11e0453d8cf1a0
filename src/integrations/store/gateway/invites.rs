//! Invites: read as the person who asks, written by the gateway. Each change locks the row, settles it, lets the domain decide,
//! and leaves a line in the audit.

use super::super::{During, Scope, StoreError, Transaction, past_deadlocks};
use super::change::write_audit;
use super::listing::like_literal;
use super::parties::Parties;
use super::writes::Full;
use super::{Actor, GatewayStore, Inserted, NewSession, SessionQuota, phase};
use crate::domain::edge::Timestamp;
use crate::domain::invite::{Begun, Invite, Refusal, Start, State};
use crate::domain::mail::Kind;
use crate::ids::{CandidateId, InviteId, PositionId, SessionId, TicketHash, UserId};
use crate::integrations::mail::is_deliverable;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use time::OffsetDateTime;
use uuid::Uuid;

/// Tokens and links of one invite that are kept: further ones take the place of the oldest.
const MOST_TOKENS: i64 = 64;
const MOST_LINKS: i64 = 64;

/// An invite as recruiters see it.
#[derive(Clone, Debug)]
pub struct InviteRow {
    pub id: InviteId,
    pub invite: Invite,
    pub candidate: CandidateId,
    pub candidate_name: String,
    pub candidate_email: String,
    pub position: PositionId,
    pub position_title: String,
    pub session: Option<SessionId>,
    pub external_id: Option<String>,
    pub zone: String,
    pub locale: String,
    pub settings: Value,
    pub reason: Option<String>,
    pub created_at: OffsetDateTime,
    pub sent_at: Option<OffsetDateTime>,
    pub opened_at: Option<OffsetDateTime>,
    pub started_at: Option<OffsetDateTime>,
    pub finished_at: Option<OffsetDateTime>,
    /// Of the newest mail.
    pub mail_state: Option<String>,
    pub mail_failure: Option<String>,
}

/// What whoever has the link is shown.
#[derive(Clone, Debug)]
pub struct OpenedInvite {
    pub invite: Invite,
    pub company: String,
    pub candidate_name: String,
    pub position_title: String,
    pub zone: String,
    pub locale: String,
    pub settings: Value,
    pub now: Timestamp,
}

/// An invite to be made.
#[derive(Clone, Debug)]
pub struct NewInvite {
    pub id: InviteId,
    pub candidate: CandidateId,
    pub position: PositionId,
    pub external_id: Option<String>,
    pub opens: Timestamp,
    pub closes: Timestamp,
    pub zone: String,
    pub locale: &'static str,
    pub settings: Value,
    pub attempts: u32,
    /// Of the link that is given out at once, if one is.
    pub link: Option<TicketHash>,
}

/// What became of one that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    New(InviteId),
    /// Its external id stands for this one, of the same candidate and position.
    Known(InviteId),
    /// Its external id stands for another.
    Conflicts,
    /// Archived, or merged into another, at the same moment.
    CandidateGone,
    PositionGone,
    /// It was to be mailed, and no mail can be sent to its candidate's address.
    Unmailable,
}

/// Which invites are listed.
#[derive(Clone, Debug, Default)]
pub struct InviteFilter {
    pub states: Vec<String>,
    /// A part of a name, an address, a title or an external id.
    pub search: Option<String>,
    pub after: Option<InviteId>,
    pub limit: i64,
}

/// Who came by an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invited {
    pub session: SessionId,
    pub candidate: CandidateId,
    pub expires_at: OffsetDateTime,
}

/// Whom an interview is begun for.
#[derive(Clone, Debug)]
pub struct InviteParties {
    pub candidate: CandidateId,
    pub position: PositionId,
    pub settings: Value,
}

/// The interview behind an invite.
#[derive(Clone, Debug)]
pub struct StartedInvite {
    pub session: SessionId,
    pub parties: InviteParties,
    /// It was begun now: nobody asked for its machine yet.
    pub fresh: bool,
}

#[derive(Clone, Debug)]
pub enum StartOutcome {
    Started(StartedInvite),
    Refused(Refusal),
    PersonFull,
    TenantFull,
}

/// A change that a recruiter asks for.
#[derive(Clone, Debug)]
pub enum InviteChange {
    Extend {
        closes: Timestamp,
    },
    Revoke {
        reason: Option<String>,
    },
    Reopen {
        closes: Timestamp,
        reason: String,
    },
    /// Another link, to be mailed or copied.
    Link {
        hash: TicketHash,
    },
    Resend,
}

impl InviteChange {
    fn action(&self) -> &'static str {
        match self {
            Self::Extend { .. } => "extended",
            Self::Revoke { .. } => "revoked",
            Self::Reopen { .. } => "reopened",
            Self::Link { .. } => "link_copied",
            Self::Resend => "resent",
        }
    }
}

/// What is stored of an invite, as each query that locks one returns it.
pub(super) struct RawInvite {
    pub(super) id: Uuid,
    pub(super) state: String,
    pub(super) created_at: OffsetDateTime,
    pub(super) opens_at: OffsetDateTime,
    pub(super) closes_at: OffsetDateTime,
    pub(super) sent_at: Option<OffsetDateTime>,
    pub(super) opened_at: Option<OffsetDateTime>,
    pub(super) attempts: i32,
    pub(super) attempts_used: i32,
    pub(super) starts: i32,
    pub(super) session_id: Option<Uuid>,
    pub(super) session_phase: Option<String>,
    pub(super) session_end: Option<String>,
    pub(super) session_begun: Option<bool>,
    pub(super) candidate_id: Uuid,
    pub(super) position_id: Uuid,
    pub(super) settings: Value,
    pub(super) now: OffsetDateTime,
}

impl RawInvite {
    pub(super) fn invite(&self) -> Result<Invite, StoreError> {
        invite_of(self)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now.into()
    }
}

fn invite_of(raw: &RawInvite) -> Result<Invite, StoreError> {
    let count = |number: i32| u32::try_from(number).unwrap_or_default();
    let begun = match &raw.session_phase {
        None => None,
        Some(name) => Some(Begun {
            phase: phase(name)?,
            end: raw.session_end.as_deref().and_then(|reason| reason.parse().ok()),
            spoken: raw.session_begun.unwrap_or(false),
        }),
    };
    Ok(Invite {
        state: state(&raw.state)?,
        opens: raw.opens_at.into(),
        closes: raw.closes_at.into(),
        sent: raw.sent_at.is_some(),
        opened: raw.opened_at.is_some(),
        attempts: count(raw.attempts),
        used: count(raw.attempts_used),
        starts: count(raw.starts),
        begun,
    })
}

fn state(name: &str) -> Result<State, StoreError> {
    State::named(name).ok_or_else(|| StoreError::Corrupt(format!("unknown state of an invite: {name}")))
}

/// Why this one is not made, as those it is for stand now.
fn refused(new: &NewInvite, parties: &Parties, mail: Option<&str>) -> Option<Made> {
    match parties.candidates.get(&new.candidate.0) {
        None => Some(Made::CandidateGone),
        _ if !parties.positions.contains(&new.position.0) => Some(Made::PositionGone),
        Some(email) => (mail.is_some() && !is_deliverable(email)).then_some(Made::Unmailable),
    }
}

impl GatewayStore {
    /// Make invites of one recruiter, those with a mail and those without. In one transaction: all or none. What became of each
    /// is told by its id.
    pub async fn insert_invites(
        &self,
        new: &[NewInvite],
        by: &Actor,
        mail: Option<&str>,
    ) -> Result<HashMap<InviteId, Made>, StoreError> {
        past_deadlocks(|| self.try_insert_invites(new, by, mail)).await
    }

    async fn try_insert_invites(
        &self,
        asked: &[NewInvite],
        by: &Actor,
        mail: Option<&str>,
    ) -> Result<HashMap<InviteId, Made>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let of = |of: fn(&NewInvite) -> Uuid| asked.iter().map(of).collect::<Vec<_>>();
        let parties = self.hold_parties(&mut tx, &of(|each| each.candidate.0), &of(|each| each.position.0)).await?;
        let mut new: Vec<&NewInvite> = asked.iter().filter(|each| refused(each, &parties, mail).is_none()).collect();
        // Two requests with the same external ids wait for each other in one order.
        new.sort_by(|one, other| one.external_id.cmp(&other.external_id));
        let column = |of: fn(&NewInvite) -> Uuid| new.iter().map(|each| of(each)).collect::<Vec<_>>();
        let time = |of: fn(&NewInvite) -> Timestamp| new.iter().map(|each| *of(each)).collect::<Vec<OffsetDateTime>>();
        let attempts: Vec<i32> = new.iter().map(|each| each.attempts as i32).collect();
        let locales: Vec<String> = new.iter().map(|each| each.locale.to_owned()).collect();
        let externals: Vec<Option<String>> = new.iter().map(|each| each.external_id.clone()).collect();
        let zones: Vec<String> = new.iter().map(|each| each.zone.clone()).collect();
        let settings: Vec<Value> = new.iter().map(|each| each.settings.clone()).collect();
        let inserted = sqlx::query_scalar!(
            r#"insert into app.invites (tenant_id, id, candidate_id, position_id, external_id, opens_at, closes_at, zone, locale,
                                        settings, attempts, created_by, plan_id, plan_version)
               select $1, n.id, n.candidate_id, n.position_id, n.external_id, n.opens_at, n.closes_at, n.zone, n.locale, n.settings,
                      n.attempts, $2, p.plan_id, p.plan_version
               from unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::text[],
                           $10::text[], $11::jsonb[], $12::int[])
                 as n (id, candidate_id, position_id, external_id, opens_at, closes_at, zone, locale, settings, attempts)
               join app.positions p on p.tenant_id = $1 and p.id = n.position_id
               on conflict (tenant_id, external_id) do nothing returning id"#,
            self.tenant.0,
            by.user.0,
            &column(|each| each.id.0),
            &column(|each| each.candidate.0),
            &column(|each| each.position.0),
            &externals as &[Option<String>],
            &time(|each| each.opens),
            &time(|each| each.closes),
            &zones,
            &locales,
            &settings,
            &attempts,
        )
        .fetch_all(&mut *tx)
        .await
        .during("make invites")?;
        let made: HashSet<Uuid> = inserted.iter().copied().collect();
        let links: Vec<(&NewInvite, TicketHash)> =
            new.iter().filter(|each| made.contains(&each.id.0)).filter_map(|each| each.link.map(|hash| (*each, hash))).collect();
        sqlx::query!(
            "insert into app.invite_links (tenant_id, token_sha256, invite_id)
             select $1, n.hash, n.invite from unnest($2::bytea[], $3::uuid[]) as n (hash, invite)",
            self.tenant.0,
            &links.iter().map(|(_, hash)| hash.0.to_vec()).collect::<Vec<_>>(),
            &links.iter().map(|(each, _)| each.id.0).collect::<Vec<_>>(),
        )
        .execute(&mut *tx)
        .await
        .during("store links of invites")?;
        write_audit(&mut tx, self.tenant, by, ("created", "invite"), &inserted, json!({})).await?;
        if let Some(host) = mail {
            self.queue_invite_mails(&mut tx, &inserted, Kind::Invite, host).await?;
        }
        let mut outcome = self.known_invites(&mut tx, asked, &made).await?;
        tx.commit().await.during("make invites")?;
        for each in asked {
            if let Some(refused) = refused(each, &parties, mail) {
                outcome.entry(each.id).or_insert(refused);
            }
        }
        Ok(outcome)
    }

    /// Those that are there now: made by this request, or before it.
    async fn known_invites(
        &self,
        tx: &mut Transaction,
        new: &[NewInvite],
        inserted: &HashSet<Uuid>,
    ) -> Result<HashMap<InviteId, Made>, StoreError> {
        let asked: Vec<String> =
            new.iter().filter(|each| !inserted.contains(&each.id.0)).filter_map(|each| each.external_id.clone()).collect();
        let known = sqlx::query!(
            r#"select id, external_id as "external_id!", candidate_id, position_id from app.invites
               where tenant_id = $1 and external_id = any($2)"#,
            self.tenant.0,
            &asked,
        )
        .fetch_all(&mut **tx)
        .await
        .during("find invites by their external ids")?;
        let known: HashMap<&str, _> = known.iter().map(|row| (row.external_id.as_str(), row)).collect();
        let of = |each: &NewInvite| {
            if inserted.contains(&each.id.0) {
                return Some(Made::New(each.id));
            }
            let row = each.external_id.as_deref().and_then(|external| known.get(external))?;
            let same = (row.candidate_id, row.position_id) == (each.candidate.0, each.position.0);
            Some(if same { Made::Known(InviteId(row.id)) } else { Made::Conflicts })
        };
        Ok(new.iter().filter_map(|each| of(each).map(|made| (each.id, made))).collect())
    }

    /// Which of these candidates and positions the person may invite.
    pub async fn may_invite(
        &self,
        person: &Scope,
        candidates: &[CandidateId],
        positions: &[PositionId],
    ) -> Result<(HashSet<CandidateId>, HashSet<PositionId>), StoreError> {
        let mut tx = self.store.begin(person).await?;
        let candidates = sqlx::query_scalar!(
            "select id from app.candidates where tenant_id = $1 and id = any($2) and archived_at is null",
            self.tenant.0,
            &candidates.iter().map(|id| id.0).collect::<Vec<_>>(),
        )
        .fetch_all(&mut *tx)
        .await
        .during("look candidates up")?;
        let positions = sqlx::query_scalar!(
            "select id from app.positions where tenant_id = $1 and id = any($2) and archived_at is null",
            self.tenant.0,
            &positions.iter().map(|id| id.0).collect::<Vec<_>>(),
        )
        .fetch_all(&mut *tx)
        .await
        .during("look positions up")?;
        tx.commit().await.during("look candidates and positions up")?;
        Ok((candidates.into_iter().map(CandidateId).collect(), positions.into_iter().map(PositionId).collect()))
    }

    pub async fn invites(&self, person: &Scope, filter: &InviteFilter) -> Result<Vec<InviteRow>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let rows = self.select_invites(&mut tx, None, filter).await?;
        tx.commit().await.during("list the invites")?;
        Ok(rows)
    }

    /// One invite, or None when it is not there for this person.
    pub async fn invite(&self, person: &Scope, id: InviteId) -> Result<Option<InviteRow>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let rows = self.select_invites(&mut tx, Some(id), &InviteFilter { limit: 1, ..InviteFilter::default() }).await?;
        tx.commit().await.during("read an invite")?;
        Ok(rows.into_iter().next())
    }

    async fn select_invites(
        &self,
        tx: &mut Transaction,
        id: Option<InviteId>,
        filter: &InviteFilter,
    ) -> Result<Vec<InviteRow>, StoreError> {
        let search = filter.search.as_deref().map(|text| format!("%{}%", like_literal(text)));
        let rows = sqlx::query!(
            r#"select i.id, i.state, i.created_at, i.opens_at, i.closes_at, i.sent_at, i.opened_at, i.started_at, i.finished_at,
                 i.attempts, i.attempts_used, i.starts, i.session_id, i.candidate_id, i.position_id, i.external_id, i.zone, i.locale,
                 i.settings, i.reason, c.name as candidate_name, c.email as candidate_email, p.title as position_title,
                 s.phase as "session_phase?", s.end_reason as "session_end?", s.started_at is not null as "session_begun?",
                 m.state as "mail_state?", m.failure as "mail_failure?", now() as "now!"
               from app.invites i
               join app.candidates c on c.tenant_id = i.tenant_id and c.id = i.candidate_id
               join app.positions p on p.tenant_id = i.tenant_id and p.id = i.position_id
               left join app.sessions s on s.tenant_id = i.tenant_id and s.id = i.session_id
               left join lateral (select m.state, m.failure from app.mail_outbox m
                                  where m.tenant_id = i.tenant_id and m.invite_id = i.id order by m.created_at desc limit 1) m on true
               where i.tenant_id = $1 and ($2::uuid is null or i.id = $2)
                 and (cardinality($3::text[]) = 0 or i.state = any($3))
                 and ($4::text is null or c.name ilike $4 or c.email ilike $4 or p.title ilike $4 or i.external_id ilike $4)
                 and ($5::uuid is null or i.id < $5)
               order by i.id desc limit $6"#,
            self.tenant.0,
            id.map(|id| id.0),
            &filter.states,
            search,
            filter.after.map(|id| id.0),
            filter.limit,
        )
        .fetch_all(&mut **tx)
        .await
        .during("read invites")?;
        rows.into_iter()
            .map(|row| {
                let raw = RawInvite {
                    id: row.id,
                    state: row.state,
                    created_at: row.created_at,
                    opens_at: row.opens_at,
                    closes_at: row.closes_at,
                    sent_at: row.sent_at,
                    opened_at: row.opened_at,
                    attempts: row.attempts,
                    attempts_used: row.attempts_used,
                    starts: row.starts,
                    session_id: row.session_id,
                    session_phase: row.session_phase,
                    session_end: row.session_end,
                    session_begun: row.session_begun,
                    candidate_id: row.candidate_id,
                    position_id: row.position_id,
                    settings: row.settings,
                    now: row.now,
                };
                Ok(InviteRow {
                    id: InviteId(raw.id),
                    invite: raw.invite()?.settled(raw.now()),
                    candidate: CandidateId(raw.candidate_id),
                    candidate_name: row.candidate_name,
                    candidate_email: row.candidate_email,
                    position: PositionId(raw.position_id),
                    position_title: row.position_title,
                    session: raw.session_id.map(SessionId),
                    external_id: row.external_id,
                    zone: row.zone,
                    locale: row.locale,
                    settings: raw.settings,
                    reason: row.reason,
                    created_at: raw.created_at,
                    sent_at: raw.sent_at,
                    opened_at: raw.opened_at,
                    started_at: row.started_at,
                    finished_at: row.finished_at,
                    mail_state: row.mail_state,
                    mail_failure: row.mail_failure,
                })
            })
            .collect()
    }

    /// Lock an invite, as it stands. None: there is no such invite here. In two statements: who has waited for the lock in one that
    /// joins the interview would see the invite as it is now and the interview as it was before.
    pub(super) async fn lock_invite(&self, tx: &mut Transaction, id: InviteId) -> Result<Option<RawInvite>, StoreError> {
        let locked =
            sqlx::query_scalar!("select id from app.invites where tenant_id = $1 and id = $2 for update", self.tenant.0, id.0,)
                .fetch_optional(&mut **tx)
                .await
                .during("lock an invite")?;
        if locked.is_none() {
            return Ok(None);
        }
        sqlx::query_as!(
            RawInvite,
            r#"select i.id, i.state, i.created_at, i.opens_at, i.closes_at, i.sent_at, i.opened_at, i.attempts, i.attempts_used, i.starts,
                 i.session_id, s.phase as "session_phase?", s.end_reason as "session_end?",
                 s.started_at is not null as "session_begun?", i.candidate_id, i.position_id, i.settings, now() as "now!"
               from app.invites i left join app.sessions s on s.tenant_id = i.tenant_id and s.id = i.session_id
               where i.tenant_id = $1 and i.id = $2"#,
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut **tx)
        .await
        .during("read an invite")
    }

    async fn invite_of_link(&self, tx: &mut Transaction, link: TicketHash) -> Result<Option<InviteId>, StoreError> {
        let id = sqlx::query_scalar!(
            "select invite_id from app.invite_links where tenant_id = $1 and token_sha256 = $2",
            self.tenant.0,
            link.0.as_slice(),
        )
        .fetch_optional(&mut **tx)
        .await
        .during("look up a link")?;
        Ok(id.map(InviteId))
    }

    /// Write down what the domain has decided. Each time is stored when its state is reached first.
    pub(super) async fn save_invite(&self, tx: &mut Transaction, raw: &RawInvite, next: &Invite) -> Result<(), StoreError> {
        if raw.invite()? == *next {
            return Ok(());
        }
        sqlx::query!(
            "update app.invites set state = $3, closes_at = $4, attempts = $5, attempts_used = $6, starts = $7, updated_at = now(),
               sent_at = case when $8 then coalesce(sent_at, now()) else sent_at end,
               opened_at = case when $9 then coalesce(opened_at, now()) else opened_at end,
               started_at = case when $3 = 'started' then coalesce(started_at, now()) else started_at end,
               finished_at = case when $3 = 'finished' then coalesce(finished_at, now()) else finished_at end,
               calendar_sequence = calendar_sequence + case when closes_at <> $4 or (state = 'revoked') <> ($3 = 'revoked') then 1 else 0 end
             where tenant_id = $1 and id = $2",
            self.tenant.0,
            raw.id,
            next.state.as_str(),
            *next.closes,
            next.attempts as i32,
            next.used as i32,
            next.starts as i32,
            next.sent,
            next.opened,
        )
        .execute(&mut **tx)
        .await
        .during("store an invite")?;
        Ok(())
    }

    /// What the page behind a link shows. It spends nothing. None: the link leads nowhere.
    pub async fn open_invite(&self, link: TicketHash) -> Result<Option<OpenedInvite>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let Some(id) = self.invite_of_link(&mut tx, link).await? else { return Ok(None) };
        let Some(raw) = self.lock_invite(&mut tx, id).await? else { return Ok(None) };
        let invite = raw.invite()?.open(raw.now());
        self.save_invite(&mut tx, &raw, &invite).await?;
        let shown = sqlx::query!(
            "select t.name as company, c.name as candidate_name, p.title as position_title, i.zone, i.locale
             from app.invites i
             join app.tenants t on t.id = i.tenant_id
             join app.candidates c on c.tenant_id = i.tenant_id and c.id = i.candidate_id
             join app.positions p on p.tenant_id = i.tenant_id and p.id = i.position_id
             where i.tenant_id = $1 and i.id = $2",
            self.tenant.0,
            id.0,
        )
        .fetch_one(&mut *tx)
        .await
        .during("read what an invite is for")?;
        tx.commit().await.during("open an invite")?;
        let now = raw.now();
        Ok(Some(OpenedInvite {
            invite,
            company: shown.company,
            candidate_name: shown.candidate_name,
            position_title: shown.position_title,
            zone: shown.zone,
            locale: shown.locale,
            settings: raw.settings,
            now,
        }))
    }

    /// Begin the interview, or find the one that runs; the page gets `token` for it. Who asks at the same time waits for the
    /// row, and finds the interview that the first one began. None: the link leads nowhere.
    pub async fn start_invite(
        &self,
        link: TicketHash,
        token: TicketHash,
        expires_at: OffsetDateTime,
        quota: SessionQuota,
        session: impl Fn(&InviteParties) -> NewSession,
    ) -> Result<Option<StartOutcome>, StoreError> {
        past_deadlocks(|| self.try_start_invite(link, token, expires_at, quota, &session)).await
    }

    async fn try_start_invite(
        &self,
        link: TicketHash,
        token: TicketHash,
        expires_at: OffsetDateTime,
        quota: SessionQuota,
        session: &impl Fn(&InviteParties) -> NewSession,
    ) -> Result<Option<StartOutcome>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let Some(id) = self.invite_of_link(&mut tx, link).await? else { return Ok(None) };
        let Some(raw) = self.lock_invite(&mut tx, id).await? else { return Ok(None) };
        let (invite, decided) = raw.invite()?.start(raw.now());
        let parties = InviteParties {
            candidate: CandidateId(raw.candidate_id),
            position: PositionId(raw.position_id),
            settings: raw.settings.clone(),
        };
        let (session, fresh) = match (decided, raw.session_id) {
            (Err(refusal), _) => {
                self.save_invite(&mut tx, &raw, &invite).await?;
                tx.commit().await.during("settle an invite")?;
                return Ok(Some(StartOutcome::Refused(refusal)));
            }
            (Ok(Start::Resume), Some(running)) => (SessionId(running), false),
            (Ok(_), _) => {
                let new = NewSession { invite: Some(id), ..session(&parties) };
                if !self.hold_parties_of(&mut tx, &new).await? {
                    return Ok(Some(StartOutcome::Refused(Refusal::Closed)));
                }
                match self.over_quota(&mut tx, &new, quota).await? {
                    None => {}
                    Some(Full::Person) => return Ok(Some(StartOutcome::PersonFull)),
                    Some(Full::Tenant) => return Ok(Some(StartOutcome::TenantFull)),
                }
                self.insert_session_row(&mut tx, &new).await?;
                self.set_invite_session(&mut tx, id, new.id).await?;
                (new.id, true)
            }
        };
        self.save_invite(&mut tx, &raw, &invite).await?;
        self.insert_invite_token(&mut tx, id, session, token, expires_at).await?;
        let action = if fresh { "invite_started" } else { "invite_resumed" };
        self.audit_in(&mut tx, Some(UserId(raw.candidate_id)), action, session, json!({"invite_id": id})).await?;
        tx.commit().await.during("start an invite")?;
        Ok(Some(StartOutcome::Started(StartedInvite { session, parties, fresh })))
    }

    pub(super) async fn set_invite_session(
        &self,
        tx: &mut Transaction,
        id: InviteId,
        session: SessionId,
    ) -> Result<(), StoreError> {
        sqlx::query!("update app.invites set session_id = $3 where tenant_id = $1 and id = $2", self.tenant.0, id.0, session.0)
            .execute(&mut **tx)
            .await
            .during("store the interview of an invite")?;
        Ok(())
    }

    /// The newest invite of this candidate for this position: by it they may ask for an interview with their account.
    pub async fn invite_for(&self, candidate: CandidateId, position: PositionId) -> Result<Option<InviteId>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let id = sqlx::query_scalar!(
            "select id from app.invites where tenant_id = $1 and candidate_id = $2 and position_id = $3
             order by state in ('exhausted', 'finished', 'expired', 'revoked'), id desc limit 1",
            self.tenant.0,
            candidate.0,
            position.0,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("look up the invite of a candidate")?;
        tx.commit().await.during("look up the invite of a candidate")?;
        Ok(id.map(InviteId))
    }

    /// An interview is begun by an invite with an account. Some: it is not to be.
    pub(super) async fn use_invite(&self, tx: &mut Transaction, id: InviteId) -> Result<Option<Inserted>, StoreError> {
        let raw = self.lock_invite(tx, id).await?.ok_or(StoreError::NotFound)?;
        let (invite, decided) = raw.invite()?.start(raw.now());
        self.save_invite(tx, &raw, &invite).await?;
        Ok(match (decided, raw.session_id) {
            (Ok(Start::Resume), Some(running)) => Some(Inserted::OpenAlready(SessionId(running))),
            (Ok(_), _) => None,
            (Err(refusal), _) => Some(Inserted::NotInvited(refusal)),
        })
    }

    async fn insert_invite_token(
        &self,
        tx: &mut Transaction,
        id: InviteId,
        session: SessionId,
        token: TicketHash,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from app.invite_tokens where tenant_id = $1 and invite_id = $2 and (expires_at < now() or token_sha256 not in (
               select token_sha256 from app.invite_tokens where tenant_id = $1 and invite_id = $2 order by created_at desc limit $3))",
            self.tenant.0,
            id.0,
            MOST_TOKENS - 1,
        )
        .execute(&mut **tx)
        .await
        .during("delete old tokens")?;
        sqlx::query!(
            "insert into app.invite_tokens (tenant_id, token_sha256, invite_id, session_id, expires_at) values ($1, $2, $3, $4, $5)",
            self.tenant.0,
            token.0.as_slice(),
            id.0,
            session.0,
            expires_at,
        )
        .execute(&mut **tx)
        .await
        .during("store a token")?;
        Ok(())
    }

    /// Who holds this token. A token of an invite that was revoked is none, and one of an interview that another took the place of.
    pub async fn invited(&self, token: TicketHash) -> Result<Option<Invited>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let row = sqlx::query!(
            "select t.session_id, t.expires_at, i.candidate_id from app.invite_tokens t
             join app.invites i on i.tenant_id = t.tenant_id and i.id = t.invite_id
             where t.tenant_id = $1 and t.token_sha256 = $2 and t.expires_at > now() and i.state <> 'revoked'
               and i.session_id = t.session_id",
            self.tenant.0,
            token.0.as_slice(),
        )
        .fetch_optional(&mut *tx)
        .await
        .during("look up a token")?;
        tx.commit().await.during("look up a token")?;
        Ok(row.map(|row| Invited {
            session: SessionId(row.session_id),
            candidate: CandidateId(row.candidate_id),
            expires_at: row.expires_at,
        }))
    }

    /// The page lives: its token is good until `expires_at`. False: it is none any more.
    pub async fn renew_token(&self, token: TicketHash, expires_at: OffsetDateTime) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let renewed = sqlx::query!(
            "update app.invite_tokens set expires_at = greatest(expires_at, $3)
             where tenant_id = $1 and token_sha256 = $2 and expires_at > now()",
            self.tenant.0,
            token.0.as_slice(),
            expires_at,
        )
        .execute(&mut *tx)
        .await
        .during("renew a token")?;
        tx.commit().await.during("renew a token")?;
        Ok(renewed.rows_affected() > 0)
    }

    /// Another link that leads to an invite.
    pub async fn insert_link(&self, id: InviteId, link: TicketHash) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        self.insert_link_in(&mut tx, id, link).await?;
        tx.commit().await.during("store a link")
    }

    async fn insert_link_in(&self, tx: &mut Transaction, id: InviteId, link: TicketHash) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from app.invite_links where tenant_id = $1 and invite_id = $2 and token_sha256 not in (
               select token_sha256 from app.invite_links where tenant_id = $1 and invite_id = $2 order by created_at desc limit $3)",
            self.tenant.0,
            id.0,
            MOST_LINKS - 1,
        )
        .execute(&mut **tx)
        .await
        .during("delete old links")?;
        sqlx::query!(
            "insert into app.invite_links (tenant_id, token_sha256, invite_id) values ($1, $2, $3)",
            self.tenant.0,
            link.0.as_slice(),
            id.0,
        )
        .execute(&mut **tx)
        .await
        .during("store a link")?;
        Ok(())
    }

    /// It has reached nobody.
    pub async fn delete_link(&self, link: TicketHash) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!("delete from app.invite_links where tenant_id = $1 and token_sha256 = $2", self.tenant.0, link.0.as_slice())
            .execute(&mut *tx)
            .await
            .during("delete a link")?;
        tx.commit().await.during("delete a link")
    }

    /// `send`: tell the candidate by mail, from `host`.
    pub async fn change_invite(
        &self,
        id: InviteId,
        by: &Actor,
        change: &InviteChange,
        mail: (bool, &str),
        longest: std::time::Duration,
    ) -> Result<Result<(), Refusal>, StoreError> {
        past_deadlocks(|| self.try_change_invite(id, by, change, mail, longest)).await
    }

    async fn try_change_invite(
        &self,
        id: InviteId,
        by: &Actor,
        change: &InviteChange,
        (send, host): (bool, &str),
        longest: std::time::Duration,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let raw = self.lock_invite(&mut tx, id).await?.ok_or(StoreError::NotFound)?;
        let (before, now) = (raw.invite()?.settled(raw.now()), raw.now());
        let decided = match change {
            InviteChange::Extend { closes } => before.extend(*closes, now, longest),
            InviteChange::Revoke { .. } => before.revoke(now),
            InviteChange::Reopen { closes, .. } => before.reopen(*closes, now, longest),
            InviteChange::Link { .. } | InviteChange::Resend => before.resend(now),
        };
        // A withdrawal is not asked for: it is sent if it can be.
        let asks = send && !matches!(change, InviteChange::Revoke { .. });
        let decided = match decided {
            Ok(_) if asks && !self.may_mail(&mut tx, &raw).await? => Err(Refusal::Unmailable),
            decided => decided,
        };
        let next = match decided {
            Ok(next) => next,
            Err(refusal) => {
                self.save_invite(&mut tx, &raw, &before).await?;
                tx.commit().await.during("settle an invite")?;
                return Ok(Err(refusal));
            }
        };
        self.save_invite(&mut tx, &raw, &next).await?;
        let repeated = next == before && !matches!(change, InviteChange::Link { .. } | InviteChange::Resend);
        if !repeated {
            let detail = json!({"closes_at": next.closes, "state": next.state, "before": before.state});
            write_audit(&mut tx, self.tenant, by, (change.action(), "invite"), &[id.0], detail).await?;
            self.carry_out(&mut tx, &raw, by, change, (send, host), before.sent).await?;
        }
        tx.commit().await.during("change an invite")?;
        Ok(Ok(()))
    }

    async fn may_mail(&self, tx: &mut Transaction, raw: &RawInvite) -> Result<bool, StoreError> {
        let email = sqlx::query_scalar!(
            "select email from app.candidates where tenant_id = $1 and id = $2",
            self.tenant.0,
            raw.candidate_id
        );
        Ok(is_deliverable(&email.fetch_one(&mut **tx).await.during("read a candidate's address")?))
    }

    /// What a change does besides the row itself. `told`: the candidate has got a mail.
    async fn carry_out(
        &self,
        tx: &mut Transaction,
        raw: &RawInvite,
        by: &Actor,
        change: &InviteChange,
        (send, host): (bool, &str),
        told: bool,
    ) -> Result<(), StoreError> {
        let id = InviteId(raw.id);
        match change {
            // What waits is as true as before.
            InviteChange::Link { hash } => return self.insert_link_in(tx, id, *hash).await,
            InviteChange::Revoke { reason } => {
                self.set_reason(tx, id, reason.as_deref()).await?;
                self.end_session_of(tx, raw, by.user).await?;
            }
            InviteChange::Reopen { reason, .. } => self.set_reason(tx, id, Some(reason)).await?,
            InviteChange::Extend { .. } | InviteChange::Resend => {}
        }
        let waited = self.replace_mails(tx, &[id.0]).await? > 0;
        let (kind, due) = match change {
            // Who was never told of it need not be told of its end. If a mail is just leaving, `mail_ended` sees to it.
            InviteChange::Revoke { .. } => (Kind::Withdrawal, send && told),
            // A mail that was asked for is still owed, with what is true now.
            _ => (Kind::Invite, send || waited),
        };
        if due { self.queue_invite_mails(tx, &[id.0], kind, host).await } else { Ok(()) }
    }

    async fn set_reason(&self, tx: &mut Transaction, id: InviteId, reason: Option<&str>) -> Result<(), StoreError> {
        sqlx::query!("update app.invites set reason = $3 where tenant_id = $1 and id = $2", self.tenant.0, id.0, reason)
            .execute(&mut **tx)
            .await
            .during("store why an invite was changed")?;
        Ok(())
    }

    /// An interview that runs by an invite ends with it.
    async fn end_session_of(&self, tx: &mut Transaction, raw: &RawInvite, by: UserId) -> Result<(), StoreError> {
        if let Some(session) = raw.session_id {
            self.request_end_in(tx, SessionId(session), Some(by), json!({"because": "invite_revoked"})).await?;
        }
        sqlx::query!("delete from app.invite_tokens where tenant_id = $1 and invite_id = $2", self.tenant.0, raw.id)
            .execute(&mut **tx)
            .await
            .during("delete the tokens of an invite")?;
        Ok(())
    }

    /// Store what time and interviews have done to invites; tokens that are of no use go. How many there were.
    pub async fn settle_invites(&self, limit: i64) -> Result<usize, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query_as!(
            RawInvite,
            r#"select i.id, i.state, i.created_at, i.opens_at, i.closes_at, i.sent_at, i.opened_at, i.attempts, i.attempts_used, i.starts,
                 i.session_id, s.phase as "session_phase?", s.end_reason as "session_end?",
                 s.started_at is not null as "session_begun?", i.candidate_id, i.position_id, i.settings, now() as "now!"
               from app.invites i left join app.sessions s on s.tenant_id = i.tenant_id and s.id = i.session_id
               where i.tenant_id = $1
                 and (i.state = 'started' and s.phase in ('completed', 'failed')
                      or i.state in ('created', 'sent', 'opened', 'bounced') and i.closes_at <= now())
               order by i.closes_at limit $2 for update of i skip locked"#,
            self.tenant.0,
            limit,
        )
        .fetch_all(&mut *tx)
        .await
        .during("take invites to settle")?;
        for raw in &rows {
            let settled = raw.invite()?.settled(raw.now());
            self.save_invite(&mut tx, raw, &settled).await?;
        }
        sqlx::query!(
            "delete from app.invite_tokens where tenant_id = $1 and expires_at < now() - interval '1 hour'",
            self.tenant.0
        )
        .execute(&mut *tx)
        .await
        .during("delete expired tokens")?;
        tx.commit().await.during("settle invites")?;
        Ok(rows.len())
    }
}
