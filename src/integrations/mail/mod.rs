//! Sends mail over SMTP. One exchange has one deadline; who calls decides about another try.

mod calendar;
mod message;

pub use self::message::{Letter, compose};

use crate::config::Mail;
use crate::error::{ErrorCode, Fault, FaultClass};
use lettre::message::Mailbox;
use lettre::transport::smtp::{self, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;
use std::time::Duration;

/// A connection that nobody uses is closed after this.
const IDLE: Duration = Duration::from_secs(20);

/// Cheap to clone: all clones share the connections.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    pub from: Mailbox,
    pub reply_to: Option<Mailbox>,
    deadline: Duration,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The words are the server's.
    #[error("the recipient is refused for good: {0}")]
    Bounced(String),
    #[error("the mail server refuses us: {0}")]
    Refused(String),
    #[error("the mail server does not take the mail now: {0}")]
    Unavailable(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("the mail cannot be written: {0}")]
    Unwritable(String),
}

impl MailError {
    /// Whether the mail has certainly not left: then its link has reached nobody.
    pub fn certain(&self) -> bool {
        !matches!(self, Self::TimedOut | Self::Unavailable(_))
    }
}

impl Fault for MailError {
    fn class(&self) -> FaultClass {
        match self {
            Self::Bounced(_) => FaultClass::Client,
            Self::Refused(_) => FaultClass::Rejected,
            Self::Unavailable(_) | Self::TimedOut => FaultClass::Transient,
            Self::Unwritable(_) => FaultClass::Bug,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Bounced(_) => ErrorCode::MailBounced,
            Self::Refused(_) | Self::Unwritable(_) => ErrorCode::MailRefused,
            Self::Unavailable(_) | Self::TimedOut => ErrorCode::MailUnavailable,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the address of the mail server or of the sender is not usable")]
pub struct MailerError;

impl Mailer {
    /// None: no mail is sent.
    pub fn new(mail: &Mail) -> Result<Option<Self>, MailerError> {
        if !mail.is_set() {
            return Ok(None);
        }
        let pool = PoolConfig::new().max_size(u32::try_from(mail.at_once).unwrap_or(4)).idle_timeout(IDLE);
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(mail.smtp_url.expose_secret())
            .map_err(|_| MailerError)?
            .timeout(Some(mail.timeout()))
            .pool_config(pool)
            .build();
        let from = mail.from.parse().map_err(|_| MailerError)?;
        let reply_to = match mail.reply_to.as_str() {
            "" => None,
            address => Some(address.parse().map_err(|_| MailerError)?),
        };
        Ok(Some(Self { transport, from, reply_to, deadline: mail.timeout() }))
    }

    pub async fn send(&self, message: Message) -> Result<(), MailError> {
        match tokio::time::timeout(self.deadline, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(MailError::TimedOut),
        }
    }

    /// Whether the server answers, and lets us in.
    pub async fn check(&self) -> Result<(), MailError> {
        match tokio::time::timeout(self.deadline, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(MailError::Unavailable("it closes the connection".to_owned())),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(MailError::TimedOut),
        }
    }
}

fn classify(error: &smtp::Error) -> MailError {
    let words = crate::error::chain(error);
    match error.status().map(|code| code.to_string()) {
        Some(code) => by_code(&code, words),
        // TLS that cannot be agreed on stays so.
        None if error.is_tls() => MailError::Refused(words),
        None => MailError::Unavailable(words),
    }
}

/// RFC 5321: 4xx passes, 5xx stays. 55x is about the mailbox or the message; the others are about us.
fn by_code(code: &str, words: String) -> MailError {
    match code {
        code if code.starts_with("55") => MailError::Bounced(words),
        code if code.starts_with('5') => MailError::Refused(words),
        _ => MailError::Unavailable(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_for_good_is_the_recipient_or_us() {
        for (code, told) in [
            ("550", ErrorCode::MailBounced),
            ("553", ErrorCode::MailBounced),
            ("535", ErrorCode::MailRefused),
            ("530", ErrorCode::MailRefused),
            ("502", ErrorCode::MailRefused),
            ("421", ErrorCode::MailUnavailable),
            ("450", ErrorCode::MailUnavailable),
        ] {
            assert_eq!(by_code(code, String::new()).code(), told, "{code}");
        }
    }
}
