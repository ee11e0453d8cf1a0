//! A real WebRTC peer and a sideband against the OpenAI stand-in, over real sockets.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use interview_candidate::WebRtcPeer;
use interview_sandbox::faults::{Action, Fault, Faults};
use interview_sandbox::ledger::Ledger;
use interview_sandbox::openai::{self, InterviewScript, OpenAi, OpenAiOptions};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "sk-sandbox-test";

struct Stage {
    openai: OpenAi,
    address: SocketAddr,
    ledger: Ledger,
    faults: Faults,
    http: reqwest::Client,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(adjust: impl FnOnce(&mut OpenAiOptions)) -> Self {
        let (ledger, faults) = (Ledger::new(), Faults::new());
        let mut options = OpenAiOptions {
            ledger: ledger.clone(),
            faults: faults.clone(),
            script: InterviewScript::standard().with_questions(2).fast(),
            api_key: Some(KEY.to_owned()),
            ..OpenAiOptions::default()
        };
        adjust(&mut options);
        let openai = OpenAi::new(options);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().nest("/openai", openai::router(openai.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { openai, address, ledger, faults, http: reqwest::Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/openai/v1{path}", self.address)
    }

    async fn post_call(&self, sdp: String, session: &Value) -> reqwest::Response {
        let form = Form::new()
            .part("sdp", Part::text(sdp).mime_str("application/sdp").unwrap())
            .part("session", Part::text(session.to_string()).mime_str("application/json").unwrap());
        self.http.post(self.url("/realtime/calls")).bearer_auth(KEY).multipart(form).send().await.unwrap()
    }

    /// A connected peer and the id of its call.
    async fn call(&self) -> (WebRtcPeer, String) {
        let peer = WebRtcPeer::new().await.unwrap();
        let response = self.post_call(peer.offer().to_owned(), &session()).await;
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        let id = location.strip_prefix("/v1/realtime/calls/").unwrap().to_owned();
        assert!(id.starts_with("rtc_u2_"));
        let answer = response.text().await.unwrap();
        assert!(answer.starts_with("v=0") && answer.contains("a=ice-lite"));
        peer.accept(&answer).await.unwrap();
        peer.wait_connected(PATIENCE).await.unwrap();
        (peer, id)
    }

    async fn sideband(&self, id: &str) -> Sideband {
        self.try_sideband(id, KEY).await.unwrap()
    }

    async fn try_sideband(&self, id: &str, key: &str) -> Result<Sideband, WsError> {
        let mut request = format!("ws://{}/openai/v1/realtime?call_id={id}", self.address).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Sideband { socket, events: Vec::new(), close: None })
    }
}

fn session() -> Value {
    json!({
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "instructions": "You run a structured job interview.",
        "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}, "output": {"voice": "marin"}},
        "tools": [{"type": "function", "name": "end_interview", "description": "The interview is over.",
            "parameters": {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]}}],
    })
}

/// For `tests/conformance`: what was said on the wire, into the folder `CONFORMANCE_OUT`.
fn leave_evidence(name: &str, events: &[Value], ledger: &Ledger) {
    let Some(folder) = std::env::var_os("CONFORMANCE_OUT").map(std::path::PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    std::fs::write(folder.join(format!("{name}.events.jsonl")), lines.join("\n")).unwrap();
    std::fs::write(folder.join(format!("{name}.ledger.json")), serde_json::to_vec(&ledger.entries()).unwrap()).unwrap();
}

struct Sideband {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    events: Vec<Value>,
    close: Option<(u16, String)>,
}

impl Sideband {
    async fn send(&mut self, event: Value) {
        self.socket.send(Message::text(event.to_string())).await.unwrap();
    }

    /// The next event of this type; `None` when the socket ends first.
    async fn wait(&mut self, kind: &str) -> Option<Value> {
        let next = async {
            while let Some(message) = self.socket.next().await {
                match message {
                    Ok(Message::Text(text)) => {
                        let event: Value = serde_json::from_str(&text).unwrap();
                        self.events.push(event.clone());
                        if event["type"] == kind {
                            return Some(event);
                        }
                    }
                    Ok(Message::Close(frame)) => {
                        self.close = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                        return None;
                    }
                    Ok(_) => {}
                    Err(_) => return None,
                }
            }
            None
        };
        tokio::time::timeout(PATIENCE, next).await.unwrap_or_else(|_| panic!("no {kind} in time"))
    }

    async fn expect(&mut self, kind: &str) -> Value {
        self.wait(kind).await.unwrap_or_else(|| panic!("the socket ended before {kind}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_interview() {
    let stage = Stage::new().await;
    let (peer, id) = stage.call().await;
    let mut sideband = stage.sideband(&id).await;
    sideband
        .send(json!({"type": "session.update", "event_id": "rt_1", "session": {"type": "realtime", "instructions": "Be kind."}}))
        .await;
    let updated = sideband.expect("session.updated").await;
    assert_eq!(sideband.events.len(), 1, "a sideband is not told about the session's creation");
    assert_eq!(updated["session"]["id"], id.replace("rtc_", "sess_"));

    sideband.send(json!({"type": "response.create", "event_id": "rt_2"})).await;
    for answer in 1..=2 {
        sideband.expect("output_audio_buffer.stopped").await;
        peer.speak(Duration::from_millis(400)).await.unwrap();
        let done = sideband.expect("conversation.item.input_audio_transcription.completed").await;
        assert!(done["transcript"].as_str().unwrap().len() > 100, "answer {answer}");
    }
    let call = sideband.expect("response.function_call_arguments.done").await;
    assert_eq!(call["name"], "end_interview");
    let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "{\"ok\":true}"});
    sideband.send(json!({"type": "conversation.item.create", "item": output})).await;
    sideband.expect("output_audio_buffer.stopped").await;
    assert!(peer.stats().speech_packets_received > 20, "{:?}", peer.stats());

    let state = stage.openai.call(&id).unwrap();
    assert!(state.alive && state.peer_connected && state.interview_over);
    assert_eq!((state.sidebands, state.questions_asked), (1, 2));
    assert!(state.packets_in > 20);

    let hangup = format!("/realtime/calls/{id}/hangup");
    let response = stage.http.post(stage.url(&hangup)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "");
    peer.wait_closed(PATIENCE).await.unwrap();
    assert!(sideband.wait("nothing").await.is_none());
    assert_eq!(sideband.close.as_ref().unwrap().0, 1000);
    assert_eq!(stage.http.post(stage.url(&hangup)).bearer_auth(KEY).send().await.unwrap().status(), 404);

    // Both clients saw the same events, apart from the first one.
    let channel = peer.events();
    assert_eq!(channel[0]["type"], "session.created");
    let last = sideband.events.last().unwrap();
    assert!(channel.contains(last), "the peer misses {last}");
    assert_eq!(stage.ledger.violations().len(), 0, "{:?}", stage.ledger.violations());
    // The last of the three is written down when its answer is out, which may be just now.
    let sent = || stage.ledger.find(|entry| entry.method == "WS").len();
    let limit = tokio::time::Instant::now() + PATIENCE;
    while sent() < 3 && tokio::time::Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sent(), 3);
    leave_evidence("interview", &channel, &stage.ledger);
    stage.openai.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barge_in_cuts_the_voice() {
    let stage = Stage::with(|options| options.script = InterviewScript::standard()).await;
    let (peer, id) = stage.call().await;
    let mut sideband = stage.sideband(&id).await;
    sideband.send(json!({"type": "response.create"})).await;
    sideband.expect("response.done").await;
    peer.speak(Duration::from_millis(600)).await.unwrap();
    sideband.expect("output_audio_buffer.cleared").await;
    let truncated = sideband.expect("conversation.item.truncated").await;
    assert!(truncated["audio_end_ms"].as_u64().unwrap() > 500);
    let committed = sideband.expect("input_audio_buffer.committed").await;
    assert_eq!(committed["previous_item_id"], truncated["item_id"]);
    let next = sideband.expect("response.created").await;
    assert_ne!(next["response"]["id"], Value::Null);
    leave_evidence("barge_in", &sideband.events, &stage.ledger);
    stage.openai.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sideband_learns_nothing_when_the_peer_leaves() {
    let stage = Stage::new().await;
    let (peer, id) = stage.call().await;
    let mut sideband = stage.sideband(&id).await;
    sideband.send(json!({"type": "session.update", "session": {"type": "realtime"}})).await;
    sideband.expect("session.updated").await;
    peer.close().await;
    peer.wait_closed(PATIENCE).await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(700), sideband.socket.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    let refused = stage.try_sideband(&id, KEY).await.err().unwrap();
    let WsError::Http(response) = refused else { panic!("{refused}") };
    assert_eq!(response.status(), 404);
    let body: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "call_id_not_found");
    assert_eq!(stage.openai.call(&id).unwrap().end_reason, Some("peer_left"));
    stage.openai.shutdown().await;
}

/// ICE needs about a quarter of a minute to be sure, so this is not for every run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 15 seconds"]
async fn a_killed_browser_is_noticed_in_the_end() {
    let stage = Stage::new().await;
    let (peer, id) = stage.call().await;
    let sideband = stage.sideband(&id).await;
    peer.vanish().await;
    let until = std::time::Instant::now() + PATIENCE;
    while stage.openai.call(&id).unwrap().alive && std::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stage.openai.call(&id).unwrap().end_reason, Some("peer_left"));
    assert_eq!(stage.openai.call(&id).unwrap().sidebands, 1, "and still nobody told the sideband");
    drop(sideband);
    stage.openai.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seeded_call_goes_on_where_the_last_one_ended() {
    let stage = Stage::new().await;
    let (peer, id) = stage.call().await;
    let mut sideband = stage.sideband(&id).await;
    let first = InterviewScript::standard().questions[0].clone();
    for (role, kind, text) in [("assistant", "output_text", first.question.text), ("user", "input_text", first.answer)] {
        let item = json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
        sideband.send(json!({"type": "conversation.item.create", "item": item})).await;
        sideband.expect("conversation.item.done").await;
    }
    sideband.send(json!({"type": "response.create", "response": {"instructions": "Continue the interview."}})).await;
    let said = sideband.expect("response.output_audio_transcript.done").await;
    assert!(said["transcript"].as_str().unwrap().starts_with("Let us pick up"), "{said}");
    sideband.expect("output_audio_buffer.stopped").await;
    peer.speak(Duration::from_millis(400)).await.unwrap();
    sideband.expect("response.function_call_arguments.done").await;
    stage.openai.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_expire() {
    let stage = Stage::with(|options| options.longest_call = Duration::from_secs(3)).await;
    let (peer, id) = stage.call().await;
    let mut sideband = stage.sideband(&id).await;
    let error = sideband.expect("error").await;
    assert_eq!(error["error"]["code"], "session_expired");
    assert!(sideband.wait("nothing").await.is_none());
    assert_eq!(sideband.close, Some((1001, "Your session hit the maximum duration of 60 minutes.".to_owned())));
    peer.wait_closed(PATIENCE).await.unwrap();
    stage.openai.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_strike_calls_and_sidebands() {
    let stage = Stage::new().await;
    let busy = Action::Answer { status: 429, headers: vec![("retry-after".into(), "1".into())], body: "{}".into() };
    stage.faults.add(Fault::once("openai", "realtime.calls", busy));
    let peer = WebRtcPeer::new().await.unwrap();
    assert_eq!(stage.post_call(peer.offer().to_owned(), &session()).await.status(), 429);

    let (peer, id) = stage.call().await;
    stage.faults.add(Fault::once("openai", "realtime.sideband", Action::Named("refuse_sideband_404".into())));
    assert!(stage.try_sideband(&id, KEY).await.is_err());
    stage.faults.add(Fault::once("openai", "realtime.sideband", Action::Named("drop_sideband".into())));
    assert!(stage.sideband(&id).await.wait("anything").await.is_none());

    let mut sideband = stage.sideband(&id).await;
    sideband.send(json!({"type": "session.update", "session": {"type": "realtime"}})).await;
    sideband.expect("session.updated").await;
    assert_eq!(stage.openai.inject("mute_sideband_speech", Some(&id)), 1);
    sideband.send(json!({"type": "response.create"})).await;
    sideband.expect("output_audio_buffer.stopped").await;
    peer.speak(Duration::from_millis(400)).await.unwrap();
    sideband.expect("response.created").await;
    assert!(!sideband.events.iter().any(|event| event["type"] == "input_audio_buffer.speech_started"));
    peer.wait_event("input_audio_buffer.committed", PATIENCE).await.unwrap();
    stage.openai.inject("drop_sideband", None);
    assert!(sideband.wait("nothing").await.is_none());
    assert_eq!(sideband.close, None);
    stage.openai.inject("hang_up_peer", None);
    peer.wait_closed(PATIENCE).await.unwrap();
    stage.openai.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_like_the_vendor() {
    let stage = Stage::new().await;
    let peer = WebRtcPeer::new().await.unwrap();
    let offer = peer.offer().to_owned();
    let code = |response: reqwest::Response| async move {
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned(), body["error"]["message"].clone())
    };

    let (status, wanted, message) = code(stage.post_call(offer.trim_end().to_owned(), &session()).await).await;
    assert_eq!((status, wanted.as_str()), (400, "invalid_offer"));
    assert!(message.as_str().unwrap().contains("EOF"));
    let (status, wanted, _) = code(stage.post_call("v=0\r\n".to_owned(), &session()).await).await;
    assert_eq!((status, wanted.as_str()), (400, "invalid_offer"));
    for (change, wanted) in [
        (json!({"type": null}), "invalid_type"),
        (json!({"temperature": 0.7}), "unknown_parameter"),
        (json!({"voice": "marin"}), "unknown_parameter"),
        (json!({"model": "gpt-9"}), "invalid_value"),
    ] {
        let mut session = session();
        for (name, value) in change.as_object().unwrap() {
            session[name] = value.clone();
        }
        assert_eq!(code(stage.post_call(offer.clone(), &session).await).await.1, wanted);
    }
    let form = Form::new().part("sdp", Part::text(offer.clone()).mime_str("text/plain").unwrap());
    let response = stage.http.post(stage.url("/realtime/calls")).bearer_auth(KEY).multipart(form).send().await.unwrap();
    assert_eq!(code(response).await.0, 400);
    let raw = stage.http.post(stage.url("/realtime/calls")).header("content-type", "application/sdp").body(offer.clone());
    let (status, wanted, _) = code(raw.try_clone().unwrap().bearer_auth("sk-wrong").send().await.unwrap()).await;
    assert_eq!((status, wanted.as_str()), (401, "invalid_api_key"));
    assert_eq!(code(raw.try_clone().unwrap().send().await.unwrap()).await.0, 401);
    assert_eq!(code(raw.bearer_auth(KEY).send().await.unwrap()).await.0, 400);
    assert!(stage.try_sideband("rtc_u2_nobody", KEY).await.is_err());
    assert!(stage.try_sideband("rtc_u2_nobody", "sk-wrong").await.is_err());
    assert!(stage.ledger.violations().len() >= 9);
    leave_evidence("refusals", &[], &stage.ledger);
    stage.openai.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_key_makes_a_call_without_a_sideband() {
    let stage = Stage::new().await;
    let request = json!({"expires_after": {"anchor": "created_at", "seconds": 60}, "session": session()});
    let url = stage.url("/realtime/client_secrets");
    let secret: Value = stage.http.post(url).bearer_auth(KEY).json(&request).send().await.unwrap().json().await.unwrap();
    let key = secret["value"].as_str().unwrap();
    assert!(key.starts_with("ek_"));
    assert_eq!(secret["session"]["audio"]["output"]["voice"], "marin");
    let peer = WebRtcPeer::new().await.unwrap();
    let call = stage.http.post(stage.url("/realtime/calls")).bearer_auth(key);
    let response = call.header("content-type", "application/sdp").body(peer.offer().to_owned()).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let id = response.headers()["location"].to_str().unwrap().rsplit('/').next().unwrap().to_owned();
    peer.accept(&response.text().await.unwrap()).await.unwrap();
    peer.wait_connected(PATIENCE).await.unwrap();
    assert!(stage.try_sideband(&id, KEY).await.is_err());
    peer.send(&json!({"type": "response.create"})).await.unwrap();
    peer.wait_event("response.done", PATIENCE).await.unwrap();
    leave_evidence("ephemeral", &peer.events(), &stage.ledger);
    stage.openai.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_calls_at_once() {
    let stage = Stage::new().await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(stage.call().await);
    }
    for (peer, _) in &calls {
        peer.send(&json!({"type": "response.create"})).await.unwrap();
    }
    for (peer, id) in &calls {
        peer.wait_event("output_audio_buffer.stopped", PATIENCE).await.unwrap();
        assert!(peer.stats().speech_packets_received > 3, "{id}");
    }
    assert_eq!(stage.openai.snapshot().calls.iter().filter(|call| call.peer_connected).count(), 20);
    stage.openai.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn summaries_are_made_of_the_transcript() {
    let stage = Stage::new().await;
    let evidence = json!({"type": "array", "items": {"type": "object", "additionalProperties": false, "required": ["entry", "quote"],
        "properties": {"entry": {"type": "integer"}, "quote": {"type": "string"}}}});
    let schema = json!({"type": "object", "additionalProperties": false, "required": ["overall", "strengths"], "properties": {
        "overall": {"type": "string"},
        "strengths": {"type": "array", "items": {"type": "object", "additionalProperties": false, "required": ["text", "evidence"],
            "properties": {"text": {"type": "string"}, "evidence": evidence}}}}});
    let said = "We moved it in nine months. It works.";
    let transcript = json!([{"entry": 3, "speaker": "candidate", "text": said}]);
    let mut request = json!({
        "model": "gpt-6-luna", "store": false, "max_output_tokens": 4000, "reasoning": {"effort": "low"}, "instructions": "Summarise.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": format!("Transcript:\n{transcript}")}]}],
        "text": {"format": {"type": "json_schema", "name": "interview_summary", "strict": true, "schema": schema}},
        "metadata": {"session_id": "s"}, "safety_identifier": "h",
    });
    let ask = |request: Value| stage.http.post(stage.url("/responses")).bearer_auth(KEY).json(&request).send();
    let response = ask(request.clone()).await.unwrap();
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["output"][0]["type"], &body["output"][1]["type"]), (&json!("reasoning"), &json!("message")));
    let summary: Value = serde_json::from_str(body["output"][1]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(summary["strengths"][0]["evidence"][0], json!({"entry": 3, "quote": "We moved it in nine months."}));

    stage.faults.add(Fault::once("openai", "responses", Action::Named("refusal".into())));
    let body: Value = ask(request.clone()).await.unwrap().json().await.unwrap();
    assert_eq!(body["output"][1]["content"][0]["type"], "refusal");
    stage.faults.add(Fault::once("openai", "responses", Action::Named("incomplete".into())));
    let body: Value = ask(request.clone()).await.unwrap().json().await.unwrap();
    assert_eq!(body["incomplete_details"]["reason"], "max_output_tokens");

    request["text"]["format"]["schema"]["required"] = json!(["overall"]);
    let response = ask(request.clone()).await.unwrap();
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["error"]["code"], &body["error"]["param"]), (&json!("invalid_json_schema"), &json!("text.format.schema")));
    request["temperature"] = json!(0.5);
    assert_eq!(ask(request).await.unwrap().status(), 400);
    leave_evidence("summary", &[], &stage.ledger);
    stage.openai.shutdown().await;
}
