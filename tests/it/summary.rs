//! The summary against the real process, the real reconcilers and PostgreSQL, with a model that answers as each
//! test wants it to. The interviews are rows: held, over, and waiting for their summary.

use crate::support::browser::Browser;
use crate::support::process::Process;
use crate::support::{TENANT, World, uuid, wait_for};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use interview_runtime::ids::SessionId;
use interview_runtime::roles::Exit;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

type Answers = Arc<dyn Fn(&Value, usize) -> Option<Value> + Send + Sync>;

/// Who writes the summaries, and what it was asked.
#[derive(Clone)]
struct Model {
    url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    answers: Answers,
    /// Until then it thinks.
    thinks: Arc<AtomicBool>,
}

impl Model {
    /// `answers`: to a request that is the n-th, from 1; none: no answer ever.
    async fn start(answers: impl Fn(&Value, usize) -> Option<Value> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
        let model = Self { url, asked: Arc::default(), answers: Arc::new(answers), thinks: Arc::default() };
        let router = Router::new().route("/v1/responses", post(respond)).with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        model
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn asked_for(&self, session: SessionId) -> usize {
        self.asked().iter().filter(|request| is_for(request, session)).count()
    }
}

async fn respond(State(model): State<Model>, Json(request): Json<Value>) -> Json<Value> {
    let number = {
        let mut asked = model.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(request.clone());
        asked.len()
    };
    while model.thinks.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(10)).await;
    }
    match (model.answers)(&request, number) {
        Some(answer) => Json(answer),
        None => std::future::pending().await,
    }
}

fn is_for(request: &Value, session: SessionId) -> bool {
    request["metadata"]["session_id"] == session.to_string()
}

fn completed(text: &str) -> Value {
    let content = json!([{"type": "output_text", "text": text}]);
    json!({"id": "r", "status": "completed", "model": "m", "output": [{"type": "message", "role": "assistant", "content": content}]})
}

/// Every competency strong, with this reason and this quote of entry 2.
fn strong(request: &Value, rationale: &str, quote: &str) -> Value {
    let input = request["input"][0]["content"][0]["text"].as_str().expect("the input");
    let asked = input.split_once("Competencies:\n").and_then(|(_, rest)| rest.split_once("\nTranscript:")).expect("the prompt").0;
    let evidence = json!([{"entry": 2, "quote": quote}]);
    let competencies: Vec<Value> = serde_json::from_str::<Vec<Value>>(asked)
        .expect("JSON")
        .iter()
        .map(|asked| json!({"competency_id": asked["competency_id"], "name": "x", "assessment": "strong", "rationale": rationale, "evidence": evidence}))
        .collect();
    let strengths = json!([{"text": rationale, "evidence": evidence}]);
    let answer = json!({"overall": "Good.", "recommendation": "advance", "competencies": competencies, "strengths": strengths, "concerns": []});
    completed(&answer.to_string())
}

fn cut() -> Value {
    json!({"id": "r", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [{"type": "reasoning", "summary": []}]})
}

/// An interview that was held: its entries by speaker and whether they are the record's.
async fn held(world: &World, phase: &str, entries: &[(&str, &str, bool)]) -> SessionId {
    let session = world.new_session().await;
    for (seq, (speaker, text, authoritative)) in (1..).zip(entries) {
        sqlx::query(
            "insert into app.transcript_entries (tenant_id, session_id, seq, entry_key, segment, position, speaker, text, source, authoritative, status, at, epoch)
             values ($1, $2, $3, $4, 1, $3, $5, $6, 'sideband', $7, 'final', now(), 0)",
        )
        .bind(uuid(TENANT))
        .bind(session.0)
        .bind(seq)
        .bind(format!("item_{seq}"))
        .bind(speaker)
        .bind(text)
        .bind(authoritative)
        .execute(&world.admin)
        .await
        .expect("an entry");
    }
    sqlx::query("update app.sessions set phase = $2, end_reason = 'candidate_ended', segment = 1, started_at = now(), ended_at = now() where id = $1")
        .bind(session.0)
        .bind(phase)
        .execute(&world.admin)
        .await
        .expect("the session");
    session
}

const SAID: &str = "I keep two teams busy and I built a ledger.";

async fn over(world: &World, said: &str) -> SessionId {
    held(world, "summarizing", &[("ai", "What did you build there?", true), ("candidate", said, true)]).await
}

async fn hand_over(world: &World, session: SessionId) {
    sqlx::query("update app.sessions set handed_over_at = now() where id = $1")
        .bind(session.0)
        .execute(&world.admin)
        .await
        .expect("the session");
}

/// Status, content and failure of the newest row.
async fn newest(world: &World, session: SessionId) -> Option<(String, Option<Value>, Option<String>)> {
    sqlx::query_as("select status, content, failure from app.summaries where session_id = $1 order by version desc limit 1")
        .bind(session.0)
        .fetch_optional(&world.admin)
        .await
        .expect("the summaries")
}

async fn status(world: &World, session: SessionId) -> Option<String> {
    newest(world, session).await.map(|(status, ..)| status)
}

/// The session's process, to its end.
async fn summarized(world: &World, model: &Model, session: SessionId) -> (String, Option<Value>, Option<String>) {
    let runtime = world.run_with(session, &[("INTERVIEW__OPENAI__BASE_URL", &model.url)]).await;
    assert_eq!(runtime.exit().await, Exit::Done);
    assert_eq!(world.text(session, "phase").await.as_deref(), Some("completed"));
    newest(world, session).await.expect("a summary, or why there is none")
}

fn reconcilers(world: &World, model: &Model, more: &[(&str, &str)]) -> Process {
    let quick = [("INTERVIEW__OPENAI__BASE_URL", model.url.as_str()), ("INTERVIEW__KEEPER__INTERVAL_MS", "100")];
    world.spawn_gateway_with(&[&quick[..], more].concat())
}

/// S-01, S-02, S-05.
#[tokio::test]
async fn what_differs_in_writing_looks_like_markup_or_holds_a_nul_costs_nobody_the_summary() {
    let world = World::start().await;
    let model = Model::start(|request, _| {
        let of = |said: &str| request["input"][0]["content"][0]["text"].as_str().is_some_and(|input| input.contains(said));
        Some(if of("ledger") {
            strong(request, "Used Vec<String> and Map<K,V>; calls https://api.example.", "I'm responsible for two teams")
        } else {
            strong(request, "Explains \u{0} it.", "We ran a caf\u{e9}")
        })
    })
    .await;
    let cases = [
        (
            "Well, I’m responsible for  two teams and built a ledger.",
            "I’m responsible for  two teams",
            "Used Vec<String> and Map<K,V>; calls https://api.example.",
        ),
        ("We ran a cafe\u{301} in Lyon.", "We ran a cafe\u{301}", "Explains \u{fffd} it."),
    ];
    for (said, span, rationale) in cases {
        let session = over(&world, said).await;
        let (status, content, failure) = summarized(&world, &model, session).await;
        assert_eq!((status.as_str(), failure), ("stored", None), "{said}");
        let content = content.expect("content");
        for judged in content["competencies"].as_array().expect("a list") {
            assert_eq!((&judged["assessment"], &judged["rationale"]), (&json!("strong"), &json!(rationale)));
            assert_eq!(judged["evidence"], json!([{"entry": 2, "quote": span}]));
        }
        assert_eq!((&content["recommendation"], model.asked_for(session)), (&json!("advance"), 1));
    }
    world.stop().await;
}

/// S-03.
#[tokio::test]
async fn an_answer_that_is_cut_off_gets_more_room_within_a_bound() {
    let world = World::start().await;
    let room =
        |model: &Model| -> Vec<u64> { model.asked().iter().filter_map(|asked| asked["max_output_tokens"].as_u64()).collect() };
    let model = Model::start(|_, _| Some(cut())).await;
    let session = over(&world, SAID).await;
    let (status, _, failure) = summarized(&world, &model, session).await;
    assert_eq!((status.as_str(), failure.as_deref()), ("failed", Some("openai_summary_incomplete")));
    assert_eq!(room(&model), [8_000, 16_000, 32_000]);
    assert_eq!(world.text(session, "summary_tries").await.as_deref(), Some("3"));

    let model = Model::start(|request, n| Some(if n < 3 { cut() } else { strong(request, "Good.", "built a ledger") })).await;
    let session = over(&world, SAID).await;
    assert_eq!(summarized(&world, &model, session).await.0, "stored");
    assert_eq!(room(&model), [8_000, 16_000, 32_000]);
    world.stop().await;
}

/// A-05: process and reconcilers together.
#[tokio::test]
async fn a_model_that_never_answers_well_is_asked_a_counted_number_of_times() {
    let world = World::start().await;
    let model = Model::start(|_, _| Some(completed("I am sorry, the candidate said: {"))).await;
    let session = over(&world, SAID).await;
    let tries = ("INTERVIEW__KEEPER__SUMMARY_TRIES", "5");
    let mut process = world.spawn(session, &[("INTERVIEW__OPENAI__BASE_URL", &model.url), tries]);
    assert_eq!(process.ended(Duration::from_secs(20)).await.code, Some(0));
    let told = process.lines().join("\n");
    assert!(told.contains("summary_invalid") && !told.contains("sorry"), "only the shape is told: {told}");
    let of_process = model.asked_for(session);
    assert!((1..5).contains(&of_process), "{of_process}: some are left for later");

    let reconcilers = reconcilers(&world, &model, &[tries, ("INTERVIEW__KEEPER__SUMMARY_RETRY_MS", "20")]);
    wait_for("the reconcilers ask again", || async { model.asked_for(session) == 5 }).await;
    // Were there a sixth, it would be due within this time: 20 ms doubled four times.
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!((model.asked_for(session), world.text(session, "summary_tries").await.as_deref()), (5, Some("5")));
    assert_eq!(newest(&world, session).await.map(|(.., failure)| failure), Some(Some("summary_invalid".to_owned())));
    assert_eq!(world.summaries(session).await, 1, "the same reason is stored once");
    drop(reconcilers);
    world.stop().await;
}

#[tokio::test]
async fn processes_that_crash_while_they_ask_do_not_ask_for_ever() {
    let world = World::start().await;
    let model = Model::start(|_, _| None).await;
    let session = over(&world, SAID).await;
    let keys = [("INTERVIEW__OPENAI__BASE_URL", model.url.as_str()), ("INTERVIEW__KEEPER__SUMMARY_TRIES", "2")];
    for crashes in 1..=2 {
        let mut process = world.spawn(session, &keys);
        wait_for("the model is asked", || async { model.asked_for(session) == crashes }).await;
        process.signal("KILL");
        process.ended(Duration::from_secs(5)).await;
    }
    let mut process = world.spawn(session, &keys);
    assert_eq!(process.ended(Duration::from_secs(20)).await.code, Some(0));
    assert_eq!(model.asked_for(session), 2);
    assert_eq!(newest(&world, session).await, Some(("failed".to_owned(), None, Some("summary_failed".to_owned()))));
    world.stop().await;
}

#[tokio::test]
async fn sessions_that_always_fail_keep_no_other_waiting_and_a_later_success_is_stored() {
    let world = World::start().await;
    let mut bad = Vec::new();
    for _ in 0..5 {
        bad.push(over(&world, "I said something else here.").await);
    }
    let (good, late) = (over(&world, SAID).await, over(&world, "This one comes back later.").await);
    sqlx::query("update app.sessions set deadline_at = deadline_at + interval '1 hour' where id = $1")
        .bind(good.0)
        .execute(&world.admin)
        .await
        .expect("the youngest");
    let model = Model::start(move |request, n| {
        let well = is_for(request, good) || is_for(request, late) && n > 12;
        Some(if well { strong(request, "Good.", "this one comes back") } else { completed("{}") })
    })
    .await;
    for session in bad.iter().chain([&good, &late]) {
        hand_over(&world, *session).await;
    }
    // No pause to speak of: whoever fails is due again at once.
    let reconcilers =
        reconcilers(&world, &model, &[("INTERVIEW__KEEPER__SUMMARY_RETRY_MS", "1"), ("INTERVIEW__KEEPER__SUMMARY_TRIES", "9")]);
    wait_for("the good one is finished", || async { status(&world, good).await.as_deref() == Some("stored") }).await;
    assert!(model.asked().len() <= 12, "after one try of each that was before it: {}", model.asked().len());
    wait_for("the later success is stored", || async { status(&world, late).await.as_deref() == Some("stored") }).await;
    for session in &bad {
        assert_eq!(world.text(*session, "phase").await.as_deref(), Some("completed"));
    }
    drop(reconcilers);
    world.stop().await;
}

#[tokio::test]
async fn stored_is_told_when_it_is_stored_and_failed_when_the_database_refuses_it() {
    let world = World::start().await;
    let model = Model::start(|request, _| Some(strong(request, "Good.", "built a ledger"))).await;
    let thinks = |thinks: bool| model.thinks.store(thinks, Ordering::Relaxed);

    thinks(true);
    let session = over(&world, SAID).await;
    let runtime = world.run_with(session, &[("INTERVIEW__OPENAI__BASE_URL", &model.url)]).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    let mut lock = world.admin.begin().await.expect("a transaction");
    sqlx::query("lock table app.summaries in exclusive mode").execute(&mut *lock).await.expect("locked");
    thinks(false);
    let early = timeout(Duration::from_millis(800), browser.expect("session_ended")).await;
    assert!(early.is_err(), "told before it was: {early:?}");
    lock.rollback().await.expect("unlocked");
    assert_eq!(browser.expect("session_ended").await["summary"], "stored");
    assert_eq!(status(&world, session).await.as_deref(), Some("stored"));
    assert_eq!(runtime.exit().await, Exit::Done);

    thinks(true);
    world.sql("alter table app.summaries add constraint refused check (status <> 'stored') not valid").await;
    let session = over(&world, SAID).await;
    let runtime = world.run_with(session, &[("INTERVIEW__OPENAI__BASE_URL", &model.url)]).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    thinks(false);
    assert_eq!(browser.expect("session_ended").await["summary"], "failed");
    assert_eq!(runtime.exit().await, Exit::Done);
    let told = newest(&world, session).await;
    assert_eq!(told, Some(("failed".to_owned(), None, Some("transcript_record_set_aside".to_owned()))));
    let aside: Vec<String> = sqlx::query_scalar("select kind from app.dead_letters where session_id = $1")
        .bind(session.0)
        .fetch_all(&world.admin)
        .await
        .expect("the dead letters");
    assert_eq!(aside, ["summary"]);
    world.stop().await;
}

#[tokio::test]
async fn without_words_of_the_candidate_that_count_no_summary_is_asked_for() {
    let world = World::start().await;
    let model = Model::start(|_, _| Some(completed("{}"))).await;
    let silent = [("ai", "Hello, what did you build?", true), ("candidate", "I built the moon, really.", false)];
    let (ended, handed) = (held(&world, "ending", &silent).await, held(&world, "ending", &silent).await);
    let keys = [("INTERVIEW__OPENAI__BASE_URL", model.url.as_str()), ("INTERVIEW__INTERVIEW__AWAITED_WORDS_S", "1")];
    assert_eq!(world.run_with(ended, &keys).await.exit().await, Exit::Done);
    hand_over(&world, handed).await;
    let reconcilers = reconcilers(&world, &model, &[]);
    wait_for("the reconcilers finish it", || async { world.text(handed, "phase").await.as_deref() == Some("completed") }).await;
    assert_eq!(world.text(ended, "phase").await.as_deref(), Some("completed"));
    assert_eq!((model.asked().len(), status(&world, ended).await, status(&world, handed).await), (0, None, None));
    drop(reconcilers);
    world.stop().await;
}
