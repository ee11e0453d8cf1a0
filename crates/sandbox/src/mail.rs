//! A mail server that keeps what it gets, for people and tests to look at. It speaks SMTP without TLS, on a port of the loopback.
//!
//! An address that begins with `bounce` is refused for good, one that begins with `later` at its first try.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use mail_parser::{MessageParser, MimeHeaders};
use mailin::{Action, Handler, Response, Session, SessionBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::util::{lock, now, rfc3339};

/// What is kept: the oldest go.
const MOST_MAILS: usize = 12_000;
const MOST_BYTES: usize = 1024 * 1024;
const LONGEST_LINE: usize = 64 * 1024;
const IDLE: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, Serialize)]
pub struct CaughtMail {
    /// From 1, in the order of arrival.
    pub n: u64,
    pub at: String,
    pub from: String,
    pub to: Vec<String>,
    pub message_id: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The part `text/calendar`, if there is one.
    pub calendar: Option<String>,
}

#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    mails: VecDeque<CaughtMail>,
    arrived: u64,
    refused: u64,
    /// Recipients that were told to come back, once.
    told_later: HashSet<String>,
    /// Before each mail is accepted.
    pause: Duration,
}

impl Mailbox {
    pub fn mails(&self) -> Vec<CaughtMail> {
        lock(&self.0).mails.iter().cloned().collect()
    }

    /// Mails that have arrived, and recipients that were refused.
    pub fn counts(&self) -> (u64, u64) {
        let kept = lock(&self.0);
        (kept.arrived, kept.refused)
    }

    /// Take this long over each mail.
    pub fn set_pause(&self, pause: Duration) {
        lock(&self.0).pause = pause;
    }

    pub fn clear(&self) {
        let mut kept = lock(&self.0);
        (kept.mails, kept.told_later) = (VecDeque::new(), HashSet::new());
    }

    fn rcpt(&self, to: &str) -> Response {
        let mut kept = lock(&self.0);
        let mailbox = to.to_ascii_lowercase();
        if mailbox.starts_with("bounce") {
            kept.refused += 1;
            return mailin::response::NO_MAILBOX;
        }
        if mailbox.starts_with("later") && kept.told_later.insert(mailbox) {
            kept.refused += 1;
            return Response::custom(450, "Mailbox busy, try again".to_owned());
        }
        mailin::response::OK
    }

    fn keep(&self, from: String, to: Vec<String>, raw: &[u8]) {
        let parsed = MessageParser::default().parse(raw);
        let part = |of: fn(&mail_parser::Message<'_>) -> Option<String>| parsed.as_ref().and_then(of).unwrap_or_default();
        let calendar = parsed.as_ref().and_then(|mail| {
            let mut parts = mail.parts.iter();
            let found = parts.find(|part| part.content_type().is_some_and(|kind| kind.subtype() == Some("calendar")))?;
            Some(found.text_contents()?.to_owned())
        });
        let mut kept = lock(&self.0);
        kept.arrived += 1;
        let mail = CaughtMail {
            n: kept.arrived,
            at: rfc3339(now()),
            from,
            to,
            message_id: part(|mail| mail.message_id().map(str::to_owned)),
            subject: part(|mail| mail.subject().map(str::to_owned)),
            text: part(|mail| mail.body_text(0).map(Cow::into_owned)),
            html: part(|mail| mail.body_html(0).map(Cow::into_owned)),
            calendar,
        };
        kept.mails.push_back(mail);
        if kept.mails.len() > MOST_MAILS {
            kept.mails.pop_front();
        }
    }
}

/// One connection's handler: `mailin` calls it back.
struct Receiver {
    mailbox: Mailbox,
    from: String,
    to: Vec<String>,
    data: Vec<u8>,
}

impl Handler for Receiver {
    fn rcpt(&mut self, to: &str) -> Response {
        self.mailbox.rcpt(to)
    }

    fn data_start(&mut self, _domain: &str, from: &str, _is8bit: bool, to: &[String]) -> Response {
        (self.from, self.to) = (from.to_owned(), to.to_vec());
        self.data.clear();
        mailin::response::OK
    }

    fn data(&mut self, buf: &[u8]) -> io::Result<()> {
        if self.data.len() + buf.len() > MOST_BYTES {
            return Err(io::Error::other("the mail is too large"));
        }
        self.data.extend_from_slice(buf);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.mailbox.keep(std::mem::take(&mut self.from), std::mem::take(&mut self.to), &self.data);
        mailin::response::OK
    }
}

/// Receives mail until `stop`.
pub(crate) fn serve(listener: TcpListener, mailbox: Mailbox, stop: &CancellationToken, tasks: &TaskTracker) {
    let (stop, connections) = (stop.clone(), tasks.clone());
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (mailbox, stop) = (mailbox.clone(), stop.clone());
            connections.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = converse(stream, peer, mailbox) => {}
                }
            });
        }
    });
}

async fn converse(stream: TcpStream, peer: SocketAddr, mailbox: Mailbox) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let receiver = Receiver { mailbox: mailbox.clone(), from: String::new(), to: Vec::new(), data: Vec::new() };
    let mut session: Session<Receiver> = SessionBuilder::new("sandbox").build(peer.ip(), receiver);
    writer.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = tokio::time::timeout(IDLE, reader.read_until(b'\n', &mut line));
        if read.await.map_err(|_| io::ErrorKind::TimedOut)?? == 0 || line.len() > LONGEST_LINE {
            return Ok(());
        }
        // The end of a mail: whoever sent it waits for our word.
        if line == b".\r\n" {
            let pause = lock(&mailbox.0).pause;
            tokio::time::sleep(pause).await;
        }
        let response = session.process(&line);
        if response.action != Action::NoReply {
            writer.write_all(&response.buffer()?).await?;
        }
        if response.action == Action::Close {
            return Ok(());
        }
    }
}

/// `/sandbox/mailbox`: a page, and the same as JSON.
pub(crate) fn router(mailbox: Mailbox) -> Router {
    Router::new().route("/", get(page)).route("/messages", get(messages).delete(clear)).with_state(mailbox)
}

#[derive(Deserialize)]
struct MessageQuery {
    to: Option<String>,
}

async fn messages(State(mailbox): State<Mailbox>, Query(query): Query<MessageQuery>) -> Json<Value> {
    let wanted = |mail: &CaughtMail| query.to.as_deref().is_none_or(|to| mail.to.iter().any(|each| each == to));
    let mails: Vec<CaughtMail> = mailbox.mails().into_iter().filter(wanted).collect();
    let (arrived, refused) = mailbox.counts();
    Json(json!({ "items": mails, "arrived": arrived, "refused": refused }))
}

async fn clear(State(mailbox): State<Mailbox>) -> StatusCode {
    mailbox.clear();
    StatusCode::NO_CONTENT
}

async fn page(State(mailbox): State<Mailbox>) -> Html<String> {
    let mails = mailbox.mails();
    let listed: String = mails.iter().rev().take(100).map(article).collect();
    let empty = if mails.is_empty() { "<p>No mail has arrived yet. What the gateway sends appears here.</p>" } else { "" };
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Mail · sandbox</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <style>body{{font-family:sans-serif;max-width:44rem;margin:0 auto;padding:1rem}}\
         article{{border:1px solid #8886;border-radius:.5rem;padding:1rem;margin-block:1rem}}\
         pre{{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit}}</style></head>\
         <body><main><h1>Mail of the sandbox</h1><p>Newest first, at most 100. \
         <a href=\"/sandbox/mailbox/messages\">All of it as JSON</a></p>{empty}{listed}</main></body></html>"
    ))
}

fn article(mail: &CaughtMail) -> String {
    let calendar = mail.calendar.as_deref().map_or_else(String::new, |entry| {
        format!("<details><summary>Entry for the calendar</summary><pre>{}</pre></details>", escaped(entry))
    });
    format!(
        "<article><h2>{}</h2><p>To {} · {}</p><pre>{}</pre>{calendar}</article>",
        escaped(&mail.subject),
        escaped(&mail.to.join(", ")),
        escaped(&mail.at),
        linked(&mail.text)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A line that is an address can be followed.
fn linked(text: &str) -> String {
    let line = |line: &str| {
        let line = escaped(line);
        let follows = line.starts_with("http://") || line.starts_with("https://");
        if follows { format!("<a href=\"{line}\">{line}</a>") } else { line }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mailbox: &Mailbox, lines: &[&str]) -> Vec<u16> {
        let receiver = Receiver { mailbox: mailbox.clone(), from: String::new(), to: Vec::new(), data: Vec::new() };
        let mut session = SessionBuilder::new("sandbox").build([127, 0, 0, 1].into(), receiver);
        lines.iter().map(|line| session.process(format!("{line}\r\n").as_bytes()).code).filter(|code| *code > 0).collect()
    }

    #[test]
    fn a_mail_is_kept_with_its_parts() {
        let mailbox = Mailbox::default();
        let mail = [
            "EHLO test",
            "MAIL FROM:<a@acme.example>",
            "RCPT TO:<b@demo.test>",
            "DATA",
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
            "Message-ID: <1@acme.example>",
            "Content-Type: multipart/alternative; boundary=x",
            "",
            "--x",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: quoted-printable",
            "",
            "https://acme.example/#/i/ab=3D",
            "..dot",
            "--x",
            "Content-Type: text/calendar; method=REQUEST",
            "",
            "BEGIN:VCALENDAR",
            "--x--",
            ".",
        ];
        assert_eq!(told(&mailbox, &mail), [250, 250, 250, 354, 250]);
        let caught = mailbox.mails().pop().expect("a mail");
        assert_eq!((caught.subject.as_str(), caught.message_id.as_str()), ("Grüße", "1@acme.example"));
        assert!(caught.text.contains("https://acme.example/#/i/ab=") && caught.text.contains("\n.dot"), "{}", caught.text);
        let page = article(&caught);
        assert!(page.contains("Entry for the calendar") && page.contains("BEGIN:VCALENDAR"), "{page}");
        assert!(linked(&caught.text).contains("<a href=\"https://acme.example/#/i/ab=\">"));
    }

    #[test]
    fn some_addresses_are_refused_for_good_and_some_once() {
        let mailbox = Mailbox::default();
        let to = |who: &'static str| ["EHLO test", "MAIL FROM:<a@acme.example>", who];
        assert_eq!(told(&mailbox, &to("RCPT TO:<bounce-1@demo.test>")).last(), Some(&550));
        assert_eq!(told(&mailbox, &to("RCPT TO:<later@demo.test>")).last(), Some(&450));
        assert_eq!(told(&mailbox, &to("RCPT TO:<later@demo.test>")).last(), Some(&250));
        assert_eq!(mailbox.counts(), (0, 2));
    }
}
