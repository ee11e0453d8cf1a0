//! Sends mail over SMTP. One exchange has one deadline; who calls decides about another try.

mod calendar;
mod message;

pub use self::message::{Letter, compose, is_deliverable};

use crate::config::Mail;
use crate::error::{ErrorCode, Fault, FaultClass};
use lettre::message::Mailbox;
use lettre::transport::smtp::{self, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;
use std::time::Duration;

/// Each mail has a connection of its own. The pool would take back one whose exchange was cut off by our deadline, and the next mail
/// would read the late answer as its own.
const KEPT_CONNECTIONS: u32 = 0;

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
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(mail.smtp_url.expose_secret())
            .map_err(|_| MailerError)?
            .timeout(Some(mail.timeout()))
            .pool_config(PoolConfig::new().max_size(KEPT_CONNECTIONS))
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
    let words = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    match error.status().map(|code| code.to_string()) {
        Some(code) => by_code(&code, words),
        // TLS that cannot be agreed on stays so.
        None if error.is_tls() => MailError::Refused(words),
        None => MailError::Unavailable(words),
    }
}

/// RFC 5321: 4xx passes, 5xx stays. Whether it is about the recipient is told by the enhanced status (RFC 3463), or else by 550, 551
/// and 553. All else is about us or the message, and a person may mend that before we give up.
fn by_code(code: &str, words: String) -> MailError {
    let recipient = match words.split_whitespace().find_map(enhanced_status) {
        // No such mailbox, no such domain, an address of no form, moved, takes no mail, disabled.
        Some(status) => matches!(status, (1, 1 | 2 | 3 | 6 | 10) | (2, 1)),
        None => matches!(code, "550" | "551" | "553"),
    };
    match code {
        code if code.starts_with('5') && recipient => MailError::Bounced(words),
        code if code.starts_with('5') => MailError::Refused(words),
        _ => MailError::Unavailable(words),
    }
}

/// Subject and detail of `5.subject.detail`.
fn enhanced_status(word: &str) -> Option<(u16, u16)> {
    let (subject, detail) = word.trim_start_matches('#').strip_prefix("5.")?.split_once('.')?;
    Some((subject.parse().ok()?, detail.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    #[test]
    fn what_is_refused_for_good_is_the_recipient_or_us() {
        for (code, words, told) in [
            ("550", "no such user", ErrorCode::MailBounced),
            ("553", "", ErrorCode::MailBounced),
            ("550", "5.1.1 no such user", ErrorCode::MailBounced),
            ("550", "#5.2.1 disabled", ErrorCode::MailBounced),
            ("550", "5.7.1 your address is on a list", ErrorCode::MailRefused),
            ("550", "5.7.26 not authenticated", ErrorCode::MailRefused),
            ("552", "too large", ErrorCode::MailRefused),
            ("552", "5.2.2 mailbox full", ErrorCode::MailRefused),
            ("554", "no SMTP service here", ErrorCode::MailRefused),
            ("535", "5.7.8 bad password", ErrorCode::MailRefused),
            ("530", "", ErrorCode::MailRefused),
            ("502", "", ErrorCode::MailRefused),
            ("421", "", ErrorCode::MailUnavailable),
            ("450", "4.2.1 later", ErrorCode::MailUnavailable),
        ] {
            assert_eq!(by_code(code, words.to_owned()).code(), told, "{code} {words}");
        }
    }

    /// Says `late` only when the first client must have given up; takes every other mail at once.
    async fn serve(listener: TcpListener, patience: Duration) {
        let mut first = true;
        while let Ok((stream, _)) = listener.accept().await {
            let slow = std::mem::take(&mut first);
            tokio::spawn(async move {
                let (reader, mut writer) = stream.into_split();
                let mut lines = BufReader::new(reader).lines();
                let _ = writer.write_all(b"220 test\r\n").await;
                let mut in_mail = false;
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer = match line.as_str() {
                        "." => {
                            in_mail = false;
                            if slow {
                                tokio::time::sleep(patience * 2).await;
                            }
                            "250 taken"
                        }
                        _ if in_mail => continue,
                        "DATA" => {
                            in_mail = true;
                            "354 go on"
                        }
                        line if line.starts_with("RCPT") && line.contains("gone@") => "550 5.1.1 no such user",
                        _ => "250 fine",
                    };
                    if writer.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    }

    #[tokio::test]
    async fn a_late_answer_is_never_taken_for_the_next_mails() {
        let patience = Duration::from_millis(400);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let mail = serde_json::json!({"smtp_url": url, "from": "a@acme.example", "reply_to": "", "timeout_ms": patience.as_millis() as u64,
            "retry_ms": 1000, "tries": 3, "at_once": 1});
        let mailer = Mailer::new(&serde_json::from_value(mail).expect("keys")).expect("usable").expect("set");
        tokio::spawn(serve(listener, patience));
        let to = |address: &str| {
            let message = Message::builder().from(mailer.from.clone()).to(address.parse().expect("an address")).subject("x");
            message.body("y".to_owned()).expect("a message")
        };
        assert!(matches!(mailer.send(to("slow@demo.test")).await, Err(MailError::TimedOut)));
        for n in 0..3 {
            // The answer to the first one arrives meanwhile.
            tokio::time::sleep(patience / 2).await;
            let gone = mailer.send(to("gone@demo.test")).await;
            assert!(matches!(gone, Err(MailError::Bounced(_))), "{n}: {gone:?}");
            mailer.send(to("here@demo.test")).await.expect("taken");
        }
    }
}
