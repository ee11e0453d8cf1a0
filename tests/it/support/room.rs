//! One interview in a call of the [`VoiceStub`]: the real binary, the real PostgreSQL, a browser's socket.

// The campaigns use the other parts.
#![allow(dead_code)]

use super::browser::Browser;
use super::process::Process;
use super::voice_stub::{Call, OFFER, OPENING, VoiceStub};
use super::{World, wait_for};
use interview_runtime::ids::SessionId;
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What our line cannot explain for so long after it came belongs to what it was not there to hear
/// (`call_guard::JOINING`).
pub const JOINING: Duration = Duration::from_millis(2_100);

pub struct Room {
    pub process: Process,
    pub browser: Browser,
    pub call: Call,
    pub stub: VoiceStub,
    /// Just before the call was opened.
    pub opened: OffsetDateTime,
    pub joined: tokio::time::Instant,
    /// How often the page has brought a new offer because it was asked to.
    renegotiated: usize,
}

impl World {
    /// A session's process that speaks with `stub`, and its candidate, who has consented.
    pub async fn lobby(&self, stub: &VoiceStub, overrides: &[(&str, &str)]) -> (Process, Browser) {
        self.lobby_of(self.new_session().await, stub, overrides).await
    }

    pub async fn lobby_of(&self, session: SessionId, stub: &VoiceStub, overrides: &[(&str, &str)]) -> (Process, Browser) {
        let overrides: Vec<_> =
            [("INTERVIEW__OPENAI__BASE_URL", stub.url.as_str()), ("INTERVIEW__INTERVIEW__AWAITED_WORDS_S", "1")]
                .into_iter()
                .chain(overrides.iter().copied())
                .collect();
        let process = self.spawn_ready(session, &overrides).await;
        let mut browser = Browser::join(&process.websocket_url(), &self.ticket(session).await).await;
        browser.consent().await;
        (process, browser)
    }

    pub async fn set_language(&self, session: SessionId, language: &str) {
        sqlx::query("update app.sessions set settings = settings || jsonb_build_object('language', $2::text) where id = $1")
            .bind(session.0)
            .bind(language)
            .execute(&self.admin)
            .await
            .expect("a language");
    }

    /// The same with a call that our line hears, and the interviewer has opened.
    pub async fn room(&self, stub: &VoiceStub, overrides: &[(&str, &str)]) -> Room {
        let (process, mut browser) = self.lobby(stub, overrides).await;
        let (opened, calls) = (OffsetDateTime::now_utc(), stub.calls());
        offer(&mut browser, OFFER).await;
        let call = stub.call(calls).await;
        let joined = tokio::time::Instant::now();
        browser.send(json!({"type": "media_state", "state": "connected"})).await;
        browser.until_told(OPENING).await;
        Room { process, browser, call, stub: stub.clone(), opened, joined, renegotiated: 0 }
    }

    /// Every stored entry of what was said, whole, in the order of the conversation.
    pub async fn entries(&self, session: SessionId) -> Vec<Value> {
        self.json("select to_jsonb(e) from app.transcript_entries e where session_id = $1 order by position", session).await
    }

    pub async fn notes(&self, session: SessionId) -> Vec<Value> {
        self.json("select to_jsonb(e) from app.integrity_events e where session_id = $1 order by n", session).await
    }

    /// How often something of this kind was noted.
    pub async fn noted(&self, session: SessionId, kind: &str) -> usize {
        self.notes(session).await.iter().filter(|note| note["kind"] == kind).count()
    }

    /// The stored course of the interview.
    pub async fn conducted(&self, session: SessionId) -> Vec<Value> {
        self.json(
            "select event || jsonb_build_object('number', number) from app.conduct_events where session_id = $1 order by number",
            session,
        )
        .await
    }

    /// What the vendors were asked for.
    pub async fn usage(&self, session: SessionId) -> Vec<Value> {
        self.json("select to_jsonb(u) from app.usage u where session_id = $1 order by at, subject", session).await
    }

    pub async fn set_aside(&self, session: SessionId) -> Vec<Value> {
        self.json("select to_jsonb(d) from app.dead_letters d where session_id = $1", session).await
    }

    async fn json(&self, sql: &'static str, session: SessionId) -> Vec<Value> {
        sqlx::query_scalar(sql).bind(session.0).fetch_all(&self.admin).await.expect("rows")
    }

    /// The stored entry with this text.
    pub async fn entry(&self, session: SessionId, text: &str) -> Option<Value> {
        self.entries(session).await.into_iter().find(|entry| entry["text"] == text)
    }

    pub async fn until_stored(&self, session: SessionId, text: &str) {
        wait_for(text, || async { self.entry(session, text).await.is_some() }).await;
    }

    /// The interview is over: completed, by a process that nothing ended and whose actors all held.
    pub async fn over(&self, process: &mut Process, browser: &mut Browser, restarts: u64) {
        browser.send(json!({"type": "end_session"})).await;
        browser.expect("session_ended").await;
        let ended = process.ended(Duration::from_secs(30)).await;
        let log = process.lines();
        let panics = log.iter().filter(|line| line.contains("panicked at")).count();
        assert_eq!((ended.code, panics, restarts), (Some(0), 0, 0), "{log:#?}");
        assert_eq!(self.text(process.session, "phase").await.as_deref(), Some("completed"));
    }
}

impl Process {
    /// Restarts of any of its actors.
    pub async fn restarts(&self) -> u64 {
        let answer = reqwest::get(format!("http://{}/debug/snapshot", self.address)).await.expect("an answer");
        let snapshot: Value = answer.json().await.expect("JSON");
        snapshot["restarts"].as_object().expect("counts").values().filter_map(Value::as_u64).sum()
    }
}

impl Room {
    pub fn session(&self) -> SessionId {
        self.process.session
    }

    /// Our line has been in the call for so long that everything in it is judged.
    pub async fn settled(&self) {
        tokio::time::sleep_until(self.joined + JOINING).await;
    }

    /// The page answers `media_renegotiate`; from now on the new call is played.
    pub async fn renegotiate(&mut self) {
        let asked = |event: &&Value| event["type"] == "media_renegotiate";
        if self.browser.seen.iter().filter(asked).count() == self.renegotiated {
            self.browser.expect("media_renegotiate").await;
        }
        self.renegotiated += 1;
        self.offer_again().await;
    }

    pub async fn offer_again(&mut self) {
        let calls = self.stub.calls();
        offer(&mut self.browser, OFFER).await;
        self.call = self.stub.call(calls).await;
        self.joined = tokio::time::Instant::now();
        self.browser.send(json!({"type": "media_state", "state": "connected"})).await;
    }

    /// Tell words as a page does, and wait until they are stored.
    pub async fn tell(&mut self, seq: u64, entry: Value) {
        self.browser.tell(seq, vec![entry]).await;
        self.browser.acked(seq).await;
    }

    pub async fn over(mut self, world: &World) {
        let restarts = self.process.restarts().await;
        world.over(&mut self.process, &mut self.browser, restarts).await;
    }
}

pub async fn offer(browser: &mut Browser, sdp: &str) {
    browser.send(json!({"type": "sdp_offer", "sdp": sdp})).await;
    browser.expect("sdp_answer").await;
}

/// An entry that a page tells of an item.
pub fn told(speaker: &str, item: &str, text: &str) -> Value {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).expect("a time");
    json!({"text": text, "speaker": speaker, "timestamp": now, "id": format!("{item}-{text}"), "item_id": item})
}

/// The same without an item: a client that knows the first protocol only.
pub fn note(speaker: &str, text: &str) -> Value {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).expect("a time");
    json!({"text": text, "speaker": speaker, "timestamp": now})
}

impl Browser {
    /// The page is told an entry with this text.
    pub async fn until_told(&mut self, text: &str) -> Value {
        let seen = self.seen.iter().find(|event| event["type"] == "transcript_entry" && event["entry"]["text"] == text);
        if let Some(event) = seen {
            return event["entry"].clone();
        }
        loop {
            let event = self.expect("transcript_entry").await;
            if event["entry"]["text"] == text {
                return event["entry"].clone();
            }
        }
    }

    pub async fn tell(&mut self, seq: u64, entries: Vec<Value>) {
        self.send(json!({"type": "transcript_update", "seq": seq, "entries": entries})).await;
    }

    /// Everything up to this number is stored.
    pub async fn acked(&mut self, seq: u64) {
        let known = |event: &Value| event["type"] == "transcript_ack" && event["seq"].as_u64() >= Some(seq);
        if !self.seen.iter().any(known) {
            while self.expect("transcript_ack").await["seq"].as_u64() < Some(seq) {}
        }
    }
}
