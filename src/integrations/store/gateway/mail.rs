//! The outbox of mails. A row is taken by a lease that ends by itself. Whoever takes it counts a try, and only the holder of the
//! newest try may say what became of it.

use super::super::{During, StoreError, Transaction, past_deadlocks};
use super::GatewayStore;
use crate::domain::edge::Text;
use crate::domain::invite::State;
use crate::domain::mail::{Kind, Locale};
use crate::error::ErrorCode;
use crate::ids::{InviteId, MailId};
use serde::Deserialize;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// A mail that a reconciler holds for a while.
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

/// Characters of the server's words that are kept.
const FAILURE: usize = 200;

impl GatewayStore {
    /// What has not left yet would tell what is no longer true. One that is being sent may still leave: [`GatewayStore::mail_ended`]
    /// learns of it. How many of them were to bring a link.
    pub(super) async fn replace_mails(&self, tx: &mut Transaction, invites: &[Uuid]) -> Result<usize, StoreError> {
        let replaced = sqlx::query_scalar!(
            "update app.mail_outbox set replaced = true, state = case state when 'queued' then 'failed' else state end,
               failure = case state when 'queued' then 'replaced' else failure end
             where tenant_id = $1 and invite_id = any($2) and state in ('queued', 'sending') and not replaced returning kind",
            self.tenant.0,
            invites,
        );
        let kinds = replaced.fetch_all(&mut **tx).await.during("replace mails")?;
        Ok(kinds.iter().filter(|kind| *kind == Kind::Invite.as_str()).count())
    }

    /// One mail for each of these invites.
    pub(super) async fn queue_invite_mails(
        &self,
        tx: &mut Transaction,
        invites: &[Uuid],
        kind: Kind,
        host: &str,
    ) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = invites.iter().map(|_| Uuid::now_v7()).collect();
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
            kind.as_str(),
        )
        .execute(&mut **tx)
        .await
        .during("queue mails")?;
        Ok(())
    }

    /// Take mails that are due, and those whose holder is gone. What was replaced meanwhile, or tried `most` times, ends here. How many
    /// were taken, and those that can be understood: the others end too, and cost no other its turn.
    pub async fn take_mails(&self, lease: Duration, limit: i64, most: u32) -> Result<(usize, Vec<TakenMail>), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "with over as (
               select id from app.mail_outbox
               where tenant_id = $1 and (replaced or tries >= $2)
                 and (state = 'queued' or state = 'sending' and lease_until < now()) for update skip locked)
             update app.mail_outbox m set state = 'failed', lease_until = null,
               failure = case when m.replaced then 'replaced' else $3 end
             from over where m.tenant_id = $1 and m.id = over.id",
            self.tenant.0,
            i32::try_from(most).unwrap_or(i32::MAX),
            ErrorCode::MailGivenUp.as_str(),
        )
        .execute(&mut *tx)
        .await
        .during("end mails that are not sent")?;
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
        let (mut taken, mut unknown, count) = (Vec::new(), Vec::new(), rows.len());
        for row in rows {
            let (kind, locale) = (Kind::named(&row.kind), Locale::named(&row.locale));
            let (Some(kind), Some(locale), Ok(variables)) = (kind, locale, serde_json::from_value(row.variables)) else {
                unknown.push(row.id);
                continue;
            };
            let (id, invite) = (MailId(row.id), row.invite_id.map(InviteId));
            let tries = u32::try_from(row.tries).unwrap_or_default();
            let (message_id, recipient) = (row.message_id, row.recipient);
            taken.push(TakenMail { id, message_id, invite, kind, recipient, locale, variables, tries });
        }
        sqlx::query!(
            "update app.mail_outbox set state = 'failed', lease_until = null, failure = $3 where tenant_id = $1 and id = any($2)",
            self.tenant.0,
            &unknown,
            format!("{}: this version does not understand it", ErrorCode::MailRefused.as_str()),
        )
        .execute(&mut *tx)
        .await
        .during("end mails that are not understood")?;
        tx.commit().await.during("take mails")?;
        if !unknown.is_empty() {
            tracing::error!(error_code = ErrorCode::MailRefused.as_str(), mails = ?unknown, "mails that are not understood");
        }
        Ok((count, taken))
    }

    /// What became of this try. A holder whose lease was taken by another changes nothing. The invite is locked before its mail, as by
    /// who changes it.
    pub async fn mail_ended(&self, mail: &TakenMail, end: &MailEnd, host: &str) -> Result<(), StoreError> {
        past_deadlocks(|| self.try_mail_ended(mail, end, host)).await
    }

    async fn try_mail_ended(&self, mail: &TakenMail, end: &MailEnd, host: &str) -> Result<(), StoreError> {
        let (state, pause, failure) = match end {
            MailEnd::Sent => ("sent", Duration::ZERO, None),
            MailEnd::Bounced { failure } => ("bounced", Duration::ZERO, Some(failure)),
            MailEnd::Later { pause, failure } => ("queued", *pause, Some(failure)),
            MailEnd::Failed { failure } => ("failed", Duration::ZERO, Some(failure)),
        };
        let told = match end {
            MailEnd::Sent => Some(true),
            MailEnd::Bounced { .. } => Some(false),
            MailEnd::Later { .. } | MailEnd::Failed { .. } => None,
        };
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let invite = match (told, mail.invite, mail.kind) {
            (Some(delivered), Some(id), Kind::Invite) => self.lock_invite(&mut tx, id).await?.map(|raw| (raw, delivered)),
            _ => None,
        };
        let ours = sqlx::query!(
            "update app.mail_outbox set lease_until = null,
               state = case when replaced and $3 = 'queued' then 'failed' else $3 end,
               failure = case when replaced and $3 = 'queued' then 'replaced' else $4 end,
               next_try_at = now() + make_interval(secs => $5), sent_at = case when $3 = 'sent' then now() end
             where tenant_id = $1 and id = $2 and state = 'sending' and tries = $6",
            self.tenant.0,
            mail.id.0,
            state,
            failure.map(|failure| Text::bounded(failure, FAILURE).into_string()),
            pause.as_secs_f64(),
            mail.tries as i32,
        )
        .execute(&mut *tx)
        .await
        .during("store what became of a mail")?;
        if let Some((raw, delivered)) = invite.filter(|_| ours.rows_affected() == 1) {
            let next = raw.invite()?.mailed(delivered);
            self.save_invite(&mut tx, &raw, &next).await?;
            // It was on its way when the invite was revoked.
            if delivered && next.state == State::Revoked {
                self.replace_mails(&mut tx, &[raw.id]).await?;
                self.queue_invite_mails(&mut tx, &[raw.id], Kind::Withdrawal, host).await?;
            }
        }
        tx.commit().await.during("store what became of a mail")
    }
}
