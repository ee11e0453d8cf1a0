//! The outbox of mails. A row is taken by a lease that ends by itself. Whoever takes it counts a try, and only the holder of the
//! newest try may say what became of it.

use super::super::{During, StoreError, Transaction};
use super::GatewayStore;
use crate::domain::mail::{Kind, Locale};
use crate::ids::{InviteId, MailId};
use serde::Deserialize;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// A mail that a keeper holds for a while.
#[derive(Clone, Debug)]
pub struct TakenMail {
    pub id: MailId,
    pub message_id: String,
    pub invite: Option<InviteId>,
    pub kind: Kind,
    pub recipient: String,
    pub locale: Locale,
    pub variables: Variables,
    /// This one included.
    pub tries: u32,
}

/// What a template may name, and nothing else; as it was when the mail was asked for.
#[derive(Clone, Debug, Deserialize)]
pub struct Variables {
    pub company: String,
    pub candidate: String,
    pub position: String,
    #[serde(with = "time::serde::rfc3339")]
    pub opens_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub closes_at: OffsetDateTime,
    pub zone: String,
    pub minutes: i64,
    /// Of the entry in the candidate's calendar.
    pub sequence: i32,
}

/// What became of a try.
#[derive(Clone, Debug)]
pub enum MailEnd {
    Sent,
    /// The recipient's server refuses it for good.
    Bounced {
        failure: String,
    },
    Later {
        pause: Duration,
        failure: String,
    },
    /// Tried often enough.
    Failed {
        failure: String,
    },
}

impl GatewayStore {
    /// One mail for each of these invites.
    pub(super) async fn queue_invite_mails(
        &self,
        tx: &mut Transaction,
        invites: &[Uuid],
        kind: &str,
        host: &str,
    ) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = invites.iter().map(|_| Uuid::now_v7()).collect();
        // What has not left yet would tell what is no longer true.
        sqlx::query!(
            "update app.mail_outbox set state = 'failed', failure = 'replaced', lease_until = null
             where tenant_id = $1 and invite_id = any($2) and state = 'queued'",
            self.tenant.0,
            invites,
        )
        .execute(&mut **tx)
        .await
        .during("replace mails")?;
        sqlx::query!(
            r#"insert into app.mail_outbox (tenant_id, id, message_id, invite_id, kind, recipient, locale, variables)
               select $1, n.id, '<' || n.id || '@' || $4 || '>', i.id, $5, c.email, i.locale, jsonb_build_object(
                 'company', t.name, 'candidate', c.name, 'position', p.title, 'zone', i.zone, 'sequence', i.calendar_sequence,
                 'minutes', coalesce((i.settings ->> 'max_duration_s')::bigint, 0) / 60,
                 'opens_at', to_char(i.opens_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                 'closes_at', to_char(i.closes_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
               from unnest($2::uuid[], $3::uuid[]) as n (id, invite_id)
               join app.invites i on i.tenant_id = $1 and i.id = n.invite_id
               join app.tenants t on t.id = i.tenant_id
               join app.candidates c on c.tenant_id = i.tenant_id and c.id = i.candidate_id
               join app.positions p on p.tenant_id = i.tenant_id and p.id = i.position_id"#,
            self.tenant.0,
            &ids,
            invites,
            host,
            kind,
        )
        .execute(&mut **tx)
        .await
        .during("queue mails")?;
        Ok(())
    }

    /// Take mails that are due, and those whose holder is gone.
    pub async fn take_mails(&self, lease: Duration, limit: i64) -> Result<Vec<TakenMail>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query!(
            r#"with due as (
                 select id from app.mail_outbox
                 where tenant_id = $1 and state in ('queued', 'sending') and next_try_at <= now()
                   and (state = 'queued' or lease_until < now())
                 order by next_try_at limit $3 for update skip locked)
               update app.mail_outbox m
               set state = 'sending', tries = m.tries + 1, lease_until = now() + make_interval(secs => $2)
               from due where m.tenant_id = $1 and m.id = due.id
               returning m.id, m.message_id, m.invite_id, m.kind, m.recipient, m.locale, m.variables, m.tries"#,
            self.tenant.0,
            lease.as_secs_f64(),
            limit,
        )
        .fetch_all(&mut *tx)
        .await
        .during("take mails")?;
        tx.commit().await.during("take mails")?;
        rows.into_iter()
            .map(|row| {
                let unknown = |what: &str| StoreError::Corrupt(format!("a mail of unknown {what}"));
                Ok(TakenMail {
                    id: MailId(row.id),
                    message_id: row.message_id,
                    invite: row.invite_id.map(InviteId),
                    kind: Kind::named(&row.kind).ok_or_else(|| unknown("kind"))?,
                    recipient: row.recipient,
                    locale: Locale::named(&row.locale).ok_or_else(|| unknown("language"))?,
                    variables: serde_json::from_value(row.variables).map_err(|_| unknown("content"))?,
                    tries: u32::try_from(row.tries).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// What became of this try. A holder whose lease was taken by another changes nothing.
    pub async fn mail_ended(&self, mail: &TakenMail, end: &MailEnd) -> Result<(), StoreError> {
        let (state, pause, failure) = match end {
            MailEnd::Sent => ("sent", Duration::ZERO, None),
            MailEnd::Bounced { failure } => ("bounced", Duration::ZERO, Some(failure)),
            MailEnd::Later { pause, failure } => ("queued", *pause, Some(failure)),
            MailEnd::Failed { failure } => ("failed", Duration::ZERO, Some(failure)),
        };
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let ours = sqlx::query!(
            "update app.mail_outbox set state = $3, failure = $4, lease_until = null,
               next_try_at = now() + make_interval(secs => $5), sent_at = case when $3 = 'sent' then now() end
             where tenant_id = $1 and id = $2 and state = 'sending' and tries = $6",
            self.tenant.0,
            mail.id.0,
            state,
            failure.map(|failure| failure.chars().take(200).collect::<String>()),
            pause.as_secs_f64(),
            mail.tries as i32,
        )
        .execute(&mut *tx)
        .await
        .during("store what became of a mail")?;
        let told = match end {
            MailEnd::Sent => Some(true),
            MailEnd::Bounced { .. } => Some(false),
            MailEnd::Later { .. } | MailEnd::Failed { .. } => None,
        };
        if let (Some(delivered), Some(id), Kind::Invite, 1) = (told, mail.invite, mail.kind, ours.rows_affected())
            && let Some(raw) = self.lock_invite(&mut tx, id).await?
        {
            let next = raw.invite()?.mailed(delivered);
            self.save_invite(&mut tx, &raw, &next).await?;
        }
        tx.commit().await.during("store what became of a mail")
    }
}
