//! Sends what waits in the outbox, and settles invites whose interview or window is over.
//!
//! A gateway that dies with a mail in hand leaves it to its lease: another sends it then, with the same Message-ID. Each try has a link
//! of its own, of which only a hash is stored.

use super::Reconcilers;
use crate::domain::mail::{Kind, pause};
use crate::error::{ErrorCode, Fault, chain};
use crate::ids::Secret;
use crate::integrations::mail::{Letter, MailError, Mailer, compose};
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::mail::{MailEnd, TakenMail};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::Instant;

/// What is left after this is the next pass's.
const PASS: Duration = Duration::from_secs(20);
const INVITES: i64 = 200;

/// One pass, whatever the server does.
pub(super) fn longest(exchange: Duration) -> Duration {
    PASS + exchange * 3
}

impl Reconcilers {
    pub(super) async fn send_mails(self) -> Result<(), StoreError> {
        let Some(mailer) = self.mailer.clone() else { return Ok(()) };
        let began = Instant::now();
        while self.send_batch(&mailer).await? > 0 && began.elapsed() < PASS {}
        Ok(())
    }

    /// How many there were. No more are taken than are sent at once, so no lease ends in a queue.
    async fn send_batch(&self, mailer: &Mailer) -> Result<usize, StoreError> {
        let mail = &self.config.mail;
        let (count, taken) = self.store.take_mails(mail.timeout() * 2, mail.at_once as i64, mail.tries).await?;
        futures_util::stream::iter(taken)
            .for_each_concurrent(mail.at_once, |mail| {
                let (reconcilers, mailer) = (self.clone(), mailer.clone());
                async move { reconcilers.send_one(&mailer, mail).await }
            })
            .await;
        Ok(count)
    }

    async fn send_one(&self, mailer: &Mailer, mail: TakenMail) {
        let done = match self.try_to_send(mailer, &mail).await {
            Ok(end) => self.store.mail_ended(&mail, &end, self.config.http.host()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            // Its lease ends by itself; then it is sent once more, as the same mail.
            tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), mail.id = %mail.id, "what became of a mail is not stored");
        }
    }

    async fn try_to_send(&self, mailer: &Mailer, mail: &TakenMail) -> Result<MailEnd, StoreError> {
        let mut link = None;
        let address = match (mail.kind, mail.invite) {
            (Kind::Invite, Some(invite)) => {
                let Some(secret) = Secret::new("") else {
                    return Ok(self.failed(mail, &MailError::Unwritable("no randomness".to_owned())));
                };
                self.store.insert_link(invite, secret.hash).await?;
                link = Some(secret.hash);
                self.config.http.invite_link(&secret.text)
            }
            _ => String::new(),
        };
        let sent = match self.write(mailer, mail, &address) {
            Ok(message) => mailer.send(message).await,
            Err(error) => Err(error),
        };
        let Err(error) = sent else {
            tracing::info!(mail.id = %mail.id, mail.tries = mail.tries, "a mail has left");
            return Ok(MailEnd::Sent);
        };
        // A link that certainly reached nobody is of no use.
        if let Some(link) = link.filter(|_| error.certain()) {
            self.store.delete_link(link).await?;
        }
        Ok(self.failed(mail, &error))
    }

    fn write(&self, mailer: &Mailer, mail: &TakenMail, link: &str) -> Result<lettre::Message, MailError> {
        let host = self.config.http.host();
        let uid = mail.invite.map_or_else(|| mail.id.to_string(), |invite| invite.to_string());
        let variables = &mail.variables;
        compose(
            mailer,
            &Letter {
                kind: mail.kind,
                locale: mail.locale,
                message_id: &mail.message_id,
                recipient: &mail.recipient,
                company: &variables.company,
                candidate: &variables.candidate,
                position: &variables.position,
                opens_at: variables.opens_at,
                closes_at: variables.closes_at,
                zone: &variables.zone,
                minutes: variables.minutes,
                link,
                uid: &format!("{uid}@{host}"),
                sequence: variables.sequence,
            },
        )
    }

    fn failed(&self, mail: &TakenMail, error: &MailError) -> MailEnd {
        let failure = format!("{}: {}", error.code().as_str(), chain(error));
        let end = match error {
            MailError::Bounced(_) => MailEnd::Bounced { failure },
            _ if mail.tries >= self.config.mail.tries => MailEnd::Failed { failure },
            _ => MailEnd::Later { pause: pause(mail.tries, self.config.mail.retry()), failure },
        };
        // The server's words may name the recipient: they are for the recruiter, not for the log.
        let code = if matches!(end, MailEnd::Failed { .. }) { ErrorCode::MailGivenUp } else { error.code() };
        tracing::warn!(error_code = code.as_str(), cause = error.code().as_str(), mail.id = %mail.id, mail.tries = mail.tries, "a mail has not left");
        end
    }

    pub(super) async fn settle_invites(self) -> Result<(), StoreError> {
        let began = Instant::now();
        while self.store.settle_invites(INVITES).await? as i64 == INVITES && began.elapsed() < PASS {}
        Ok(())
    }
}
