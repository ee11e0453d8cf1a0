//! An interview that is led through its plan, on the wire: the call is told the current question and nothing that comes later; what
//! was heard decides; what was decided is stored and survives `kill -9` (docs/CONVERSATION.md).

use crate::support::browser::Browser;
use crate::support::process::Process;
use crate::support::room::offer;
use crate::support::voice_stub::{Call, OFFER, VoiceStub};
use crate::support::{World, wait_for};
use interview_runtime::ids::SessionId;
use serde_json::{Value, json};

const OPENING: &str = "Welcome. I am an AI interviewer, and a person reviews this interview later.";
const NEEDS: &str = "Please tell me about a customer who could not say what they needed.";
const RESULT: &str = "How did it end for the customer?";
const TEAM: &str = "Please describe a time when you had to disagree with your team.";
const INVITATION: &str = "What would you like to ask about the position?";
const CLOSING: &str = "Thank you for your time. You will hear from us by e-mail.";
const ANCHOR: &str = "Acts on a guess and does not ask.";

fn plan() -> Value {
    let passage = |text: &str| json!({"minutes": 1, "spoken": {"en": text}});
    let question = |id: &str, text: &str, probes: Value| {
        json!({"id": id, "kind": "core", "competency": "listening", "spoken": {"en": text}, "probes": probes,
               "target_s": 120, "hard_s": 240})
    };
    json!({
        "title": "Support agent", "default_language": "en", "languages": ["en"], "minutes": 12,
        "competencies": [{"id": "listening", "name": "Listening", "anchors": {"1": ANCHOR, "3": "Asks.", "5": "Finds more."}}],
        "opening": passage(OPENING),
        "sections": [{"id": "main", "name": "Main part", "minutes": 9, "questions": [
            question("needs", NEEDS, json!([{"id": "result", "trigger": "no_result", "spoken": {"en": RESULT}}])),
            question("team", TEAM, json!([])),
        ]}],
        "candidate_questions": passage(INVITATION),
        "closing": passage(CLOSING),
    })
}

struct Led {
    world: World,
    process: Process,
    browser: Browser,
    call: Call,
    stub: VoiceStub,
    session: SessionId,
}

impl Led {
    /// The interviewer has opened and asked the first question.
    async fn begin() -> Self {
        let (world, stub) = (World::start().await, VoiceStub::start().await);
        stub.reply_by_hand();
        let session = world.planned_session(&plan()).await;
        let (process, mut browser) = world.lobby_of(session, &stub, &[]).await;
        offer(&mut browser, OFFER).await;
        let call = stub.call(0).await;
        browser.send(json!({"type": "media_state", "state": "connected"})).await;
        call.until_asked(&["opening"]).await;
        let led = Self { world, process, browser, call, stub, session };
        assert!(led.instructions().contains(OPENING) && led.instructions().contains(NEEDS));
        led.call.reply_for("opening", &format!("Hello Amara. {OPENING} {NEEDS}"));
        led.until_event("asked").await;
        led
    }

    fn instructions(&self) -> String {
        self.call.configuration()["instructions"].as_str().unwrap_or_default().to_owned()
    }

    async fn until_instructed(&self, text: &str) {
        wait_for(text, || async { self.instructions().contains(text) }).await;
    }

    async fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.world.conducted(self.session).await;
        events.into_iter().filter(|event| event["kind"] == kind).collect()
    }

    async fn until_event(&self, kind: &str) {
        wait_for(kind, || async { !self.events(kind).await.is_empty() }).await;
    }

    async fn answer(&self, tool: &str) -> Value {
        wait_for("the tool is answered", || async { !self.call.outputs(tool).is_empty() }).await;
        let answers = self.call.outputs(tool);
        assert_eq!(answers.len(), 1, "{answers:?}");
        serde_json::from_str(&answers[0]).expect("JSON")
    }

    /// `until` more replies than before were asked for.
    async fn until_asked_again(&self, before: usize) {
        wait_for("a reply is asked for", || async { self.call.asked().len() > before }).await;
    }

    /// The interviewer asks what comes next, and says it.
    async fn next(&self, tool: &str, expected: &str) {
        let before = self.call.asked().len();
        self.call.tool_alone(tool, "next_question", "{}");
        assert_eq!(self.answer(tool).await["say"], json!(expected));
        self.until_asked_again(before).await;
        self.until_instructed(expected).await;
        self.call.reply_for("tool", expected);
    }

    async fn told_waiting(&mut self, state: &str) -> Value {
        loop {
            let event = self.browser.expect("waiting").await;
            if event["state"] == state {
                return event;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interview_is_led_through_its_plan_and_goes_on_where_it_was_after_a_kill() {
    let mut led = Led::begin().await;
    led.until_instructed("You have asked").await;
    let instructions = led.instructions();
    assert!(instructions.contains(RESULT) && !instructions.contains(TEAM) && !instructions.contains(CLOSING), "{instructions}");
    let tools: Vec<String> = led.call.configuration()["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .filter_map(|tool| tool["name"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(tools.len(), 7, "{tools:?}");
    led.call.turn("A baker who wanted something for his oven.");
    led.call.reply(RESULT);
    led.until_event("probed").await;
    led.call.turn("He bought another one.");
    led.next("c1", TEAM).await;
    assert!(!led.instructions().contains(NEEDS), "only the question that is due is told");

    // The machine's process dies with the second question on the candidate's ears.
    wait_for("the second question is asked", || async { led.events("asked").await.len() == 2 }).await;
    led.process.signal("KILL");
    led.process.ended(std::time::Duration::from_secs(10)).await;
    let lines = led.call.lines();
    let base_url = led.stub.url.clone();
    led.process = led.world.spawn_ready(led.session, &[("INTERVIEW__OPENAI__BASE_URL", base_url.as_str())]).await;
    led.browser = Browser::join(&led.process.websocket_url(), &led.world.ticket(led.session).await).await;
    wait_for("the line is back", || async { led.call.lines() > lines }).await;
    led.until_instructed("You have asked").await;
    assert!(led.instructions().contains(TEAM) && !led.instructions().contains(OPENING), "it goes on where it was");
    led.call.turn("We argued about a release.");
    led.next("c2", INVITATION).await;
    led.until_event("invited").await;
    led.call.turn("How large is the team?");
    led.call.reply("A person of the company will tell you.");
    led.next("c3", CLOSING).await;
    led.browser.expect("session_ended").await;

    let events = led.world.conducted(led.session).await;
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["number"].as_u64()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>(), "{events:#?}");
    let asked = led.events("asked").await;
    let asked: Vec<_> = asked.iter().map(|event| (event["question"].as_str(), event["verbatim"].as_bool())).collect();
    assert_eq!(asked, [(Some("needs"), Some(true)), (Some("team"), Some(true))]);
    assert_eq!(led.world.text(led.session, "end_reason").await.as_deref(), Some("interviewer_ended"));
    assert!(led.world.notes(led.session).await.is_empty(), "our own updates are nobody's intrusion");
    // Nothing of what the candidate is judged by was ever in the call.
    let sent = led.call.sent("session.update").into_iter().chain(led.call.sent("conversation.item.create"));
    assert!(sent.into_iter().all(|sent| !sent.to_string().contains(ANCHOR)));
    led.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_to_think_is_granted_by_the_tool_and_by_the_button_and_nobody_speaks_meanwhile() {
    let mut led = Led::begin().await;
    let before = led.call.asked().len();
    led.call.turn("Let me think for a moment.");
    led.call.tool_alone("c1", "give_time", r#"{"seconds": 30}"#);
    assert_eq!(led.answer("c1").await["ok"], json!(true));
    assert_eq!(led.told_waiting("thinking").await["at_most_s"], json!(30));
    led.browser.send(json!({"type": "go_on"})).await;
    led.told_waiting("nothing").await;
    led.browser.send(json!({"type": "think"})).await;
    assert_eq!(led.told_waiting("thinking").await["at_most_s"], json!(120));
    led.call.turn("Now I know.");
    led.told_waiting("nothing").await;
    assert_eq!(led.call.asked().len(), before, "nobody was asked to speak");
    wait_for("both are stored", || async { led.events("pause_began").await.len() == 2 }).await;

    // Too early, unless the candidate wants it.
    led.call.tool_alone("c2", "end_interview", "{}");
    assert!(led.answer("c2").await["not_yet"].as_str().is_some_and(|because| because.contains("one question is left")));
    led.call.tool_alone("c3", "flag", r#"{"kind": "wants_to_stop", "quote": "I want to stop"}"#);
    led.until_event("flagged").await;
    led.call.tool_alone("c4", "end_interview", r#"{"reason": "candidate_asked"}"#);
    wait_for("a goodbye", || async { led.call.asked().last().is_some_and(|asked| asked == "goodbye") }).await;
    led.call.reply_for("goodbye", "Thank you, goodbye.");
    led.browser.expect("session_ended").await;
    assert_eq!(led.world.text(led.session, "end_reason").await.as_deref(), Some("interviewer_ended"));
    led.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_told_that_there_is_time_and_then_helped() {
    let mut led = Led::begin().await;
    led.told_waiting("take_your_time").await;
    let before = led.call.notes().len();
    wait_for("a soft line", || async { led.call.notes().len() > before }).await;
    assert!(led.call.notes().last().is_some_and(|note| note.contains("no hurry")));
    wait_for("it is asked for", || async { led.call.asked().last().is_some_and(|asked| asked == "conduct") }).await;
    led.call.reply_for("conduct", "There is no hurry.");
    led.call.turn("Sorry. There was a baker.");
    led.until_event("answered").await;
    led.world.stop().await;
}

/// It is an answer to the question that stands, and the interview goes on as after a spoken one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_answer_is_an_answer_of_the_plan() {
    let mut led = Led::begin().await;
    led.until_instructed("You have asked").await;
    let before = led.call.asked().len();
    led.browser.send(json!({"type": "typed_answer", "id": "a-1", "text": "A baker who wanted something for his oven."})).await;
    led.browser.expect("typed_answer_ack").await;
    led.until_asked_again(before).await;
    led.until_event("answered").await;
    let answered = led.events("answered").await;
    assert_eq!((&answered[0]["question"], &answered[0]["item"]), (&json!("needs"), &json!(led.call.typed()[0].0)));
    led.next("c1", TEAM).await;
    wait_for("the second question is asked", || async { led.events("asked").await.len() == 2 }).await;
    led.world.stop().await;
}
